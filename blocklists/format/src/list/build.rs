//! Makes a list file out of digests.

use thiserror::Error;

use super::layout::{self, EXACT, Header, MAX_BUCKET_BITS, MAX_CATEGORIES, MIN_BUCKET_BITS, Sections};
use super::{Entry, ListMeta, Scope, filter};
use crate::name::MAX_LABELS;

/// Why a list cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// More than 2^32 - 1 entries, or more than memory can hold.
    #[error("the list would have more entries than a file can hold (4294967295); split it")]
    TooManyEntries,
    /// More than 63 categories.
    #[error("the list has {0} categories; at most 63 are possible")]
    TooManyCategories(usize),
    /// A category without a name, with one above 255 octets, or with the name of another.
    #[error("the category name {0:?} is empty, longer than 255 octets, or there twice")]
    CategoryName(String),
    /// An entry of a category that the list does not have.
    #[error("an entry has category {category}, but the list has only {categories}")]
    NoSuchCategory {
        /// Index in the entry.
        category: u8,
        /// Categories of the list.
        categories: usize,
    },
    /// An entry for the root, which would cover everything, or with more labels than a name can have.
    #[error("an entry has {0} labels; an entry must have 1 to 127")]
    Labels(u8),
}

/// Collects entries and makes the file. Takes nine octets an entry until [`Builder::build`], and then some 25 at the
/// most.
pub struct Builder {
    meta: ListMeta,
    entries: Vec<Entry>,
    subtree_depths: u128,
    exact_depths: u128,
    /// The first thing that was wrong; reported by `build`, so that pushing stays simple.
    error: Option<BuildError>,
}

impl Builder {
    /// An empty list.
    pub fn new(meta: ListMeta) -> Builder {
        Builder { meta, entries: Vec::new(), subtree_depths: 0, exact_depths: 0, error: None }
    }

    /// Adds an entry: the digest of a whole name under the key of the list, its number of labels, and the index of its
    /// category. An entry may come several times, and a name in several categories and scopes; the order is free.
    /// What is wrong with an entry is reported by [`Self::build`].
    pub fn push(&mut self, digest: u64, labels: u8, category: u8, scope: Scope) {
        let categories = self.meta.categories.len();
        if usize::from(category) >= categories {
            self.error.get_or_insert(BuildError::NoSuchCategory { category, categories });
            return;
        }
        if labels == 0 || usize::from(labels) > MAX_LABELS {
            self.error.get_or_insert(BuildError::Labels(labels));
            return;
        }
        let tag = match scope {
            Scope::Subtree => {
                self.subtree_depths |= 1 << labels;
                category
            }
            Scope::Exact => {
                self.exact_depths |= 1 << labels;
                category | EXACT
            }
        };
        self.entries.push(Entry { digest, tag });
    }

    /// The file. The same entries and the same [`ListMeta`] give the same octets.
    pub fn build(self) -> Result<Vec<u8>, BuildError> {
        let Builder { meta, mut entries, subtree_depths, exact_depths, error } = self;
        check_categories(&meta.categories)?;
        if let Some(error) = error {
            return Err(error);
        }
        entries.sort_unstable();
        entries.dedup();
        let header = Header {
            sealed: meta.sealed,
            hash: [0; 32],
            key: if meta.sealed { [0; 16] } else { *meta.key.bytes() },
            key_check: meta.key.check(),
            serial: meta.serial,
            created: meta.created,
            subtree_depths,
            exact_depths,
            // What follows from the entries.
            entries: 0,
            categories: 0,
            bucket_bits: 0,
            shards: 0,
            sections: Sections::EMPTY,
        };
        file(header, &meta.categories, &entries)
    }
}

/// The file with these entries, which ascend. Of the header counts and places are found out here.
pub(super) fn file(mut header: Header, categories: &[String], entries: &[Entry]) -> Result<Vec<u8>, BuildError> {
    let bucket_bits = bucket_bits(entries.len());
    let filter = filter::build(entries.iter().map(|entry| entry.digest), entries.len());
    let names = layout::write_categories(categories);
    let lengths = [
        names.len(),
        filter.records.len(),
        filter.fingerprints.len(),
        ((1 << bucket_bits) + 1) * 4,
        entries.len().checked_mul(8).ok_or(BuildError::TooManyEntries)?,
    ];
    header.entries = u32::try_from(entries.len()).map_err(|_| BuildError::TooManyEntries)?;
    header.categories = categories.len() as u32;
    header.bucket_bits = bucket_bits;
    header.shards = filter.count;
    header.sections = Sections::of_lengths(lengths).ok_or(BuildError::TooManyEntries)?;
    let sections = header.sections;

    let mut file = Vec::with_capacity(sections.file_length());
    file.extend(header.write());
    for (index, section) in [names, filter.records, filter.fingerprints].into_iter().enumerate() {
        sections.pad(&mut file, index);
        file.extend(section);
    }
    sections.pad(&mut file, 3);
    let mut end = 0;
    for bucket in 0..1 << bucket_bits {
        file.extend((end as u32).to_le_bytes());
        while entries.get(end).is_some_and(|entry| layout::bucket(entry.digest, bucket_bits) == bucket) {
            end += 1;
        }
    }
    file.extend((end as u32).to_le_bytes());
    sections.pad(&mut file, 4);
    for entry in entries {
        file.extend((layout::remainder(entry.digest, bucket_bits) | u64::from(entry.tag)).to_le_bytes());
    }
    layout::seal(&mut file);
    Ok(file)
}

/// Bits that choose a bucket, so that there are three to six entries in one: the offsets then take 0.7 to 1.3 octets
/// an entry and a hit looks at one cache line.
fn bucket_bits(entries: usize) -> u32 {
    (entries / 3).checked_ilog2().unwrap_or(0).clamp(MIN_BUCKET_BITS, MAX_BUCKET_BITS)
}

fn check_categories(names: &[String]) -> Result<(), BuildError> {
    if names.len() > MAX_CATEGORIES {
        return Err(BuildError::TooManyCategories(names.len()));
    }
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() || name.len() > 255 || names[..i].contains(name) {
            return Err(BuildError::CategoryName(name.clone()));
        }
    }
    Ok(())
}
