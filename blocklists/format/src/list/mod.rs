//! The list file: keyed digests with category and scope, looked up where they lie (memory-mapped or in memory).
//!
//! This module is the single meaning of "covered by a list": an entry of [`Scope::Subtree`] covers its name and every
//! name below it, an entry of [`Scope::Exact`] its name alone. A lookup asks for the suffixes of a name, shortest
//! first, and only for those with as many labels as some entry has. A filter (`filter.rs`) turns nearly all of them
//! away in three reads; what passes is looked for among the entries themselves, so that a wrong hit needs two names
//! with 64 equal digest bits.
//!
//! # File format, version 2
//!
//! All numbers are little-endian. The file is a header of 256 octets and five sections in this order, each beginning at
//! the next multiple of 64, with zeros between them; the last section ends the file.
//!
//! | octets | header field |
//! |---|---|
//! | 0..8 | mark: `89 'F' 'W' 'L' 'I' 'S' 'T' 0A` |
//! | 8..12 | format version, 2 |
//! | 12..16 | flags: bit 0 = sealed, the others 0 |
//! | 16..48 | BLAKE3 hash of the file without these 32 octets |
//! | 48..64 | digest key (SipHash-2-4); zeros in a sealed list |
//! | 64..72 | key check: the digest of `FF "friendly-wifi list key"` |
//! | 72..80 | serial |
//! | 80..88 | time of making, Unix seconds |
//! | 88..96 | entries, below 2^32 |
//! | 96..112 | bit k set: some subtree entry has k labels (1 to 127) |
//! | 112..128 | bit k set: some exact entry has k labels |
//! | 128..132 | categories, at most 63 |
//! | 132..136 | b, bits of a digest that choose its bucket, 8 to 24 |
//! | 136..140 | filter shards: 0 or a power of two up to 65536 |
//! | 140..144 | 0 |
//! | 144..224 | offset and length of each section, 8 octets each |
//! | 224..256 | 0 |
//!
//! | section | content |
//! |---|---|
//! | categories | for each category: length of its name (1 octet, not 0), name in UTF-8; all different |
//! | shards | 24 octets each: seed (8), first fingerprint (8), segment length (4), segment count times segment length (4) |
//! | fingerprints | 2 octets each: the binary fuse filters of all shards one after the other |
//! | buckets | 2^b + 1 numbers of 4 octets: where in the entries each bucket begins, and the end |
//! | entries | 8 octets each, a number: the 64 - b bits of its digest that follow the b bits of its bucket, in the highest bits; bits 0 to 5 category, bit 6 = 0, bit 7 set = exact scope; zeros in between |
//!
//! Within a bucket the entries strictly ascend. So the same entries give the same file,
//! octet for octet, in whatever order they were pushed; and no file, however it was made, makes a lookup slow.
//!
//! The shard of a digest is chosen by its highest bits; `filter.rs` tells how its fingerprints are found. Without
//! shards, and in a shard with segment length 0, there is no filter and every digest passes.

mod build;
mod check;
mod delta;
mod filter;
mod layout;
#[cfg(test)]
mod tests;

use std::fmt;

use thiserror::Error;

pub use self::build::{BuildError, Builder};
pub use self::check::{CheckError, Checked};
pub use self::delta::{Delta, DeltaError, Overlay};
use self::layout::{EXACT, Header, TAG};
use crate::digest::{DigestKey, Suffixes};

/// What an entry covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// The name and everything below it.
    Subtree,
    /// The name alone.
    Exact,
}

/// What a list says about itself.
#[derive(Clone, Debug)]
pub struct ListMeta {
    /// Category names, at most 63, all different, 1 to 255 octets; entries refer to them by index.
    pub categories: Vec<String>,
    /// Grows with each issue of the same list.
    pub serial: u64,
    /// When the list was made, Unix seconds.
    pub created: u64,
    /// Key of the digests in it.
    pub key: DigestKey,
    /// The key is not written into the file; readers must bring it.
    pub sealed: bool,
}

/// Why a file is not taken as a list. Each sentence says what to do; the caller adds the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// The mark is missing.
    #[error("this is not a list file; make one with 'friendly-blocklist compile'")]
    NotAList,
    /// A format version that this program does not know.
    #[error(
        "the list has format version {0}, made by a newer version; this program reads version 2: update it, or compile the list with the same version"
    )]
    Newer(u32),
    /// A format version from before the first release.
    #[error("the list has the old format version {0}, which is no longer read; compile it again")]
    Older(u32),
    /// The file does not end where its last section ends.
    #[error(
        "the list file has {found} octets instead of {expected}: it was cut off or something was added; copy or compile it again"
    )]
    Length {
        /// Octets the header speaks of.
        expected: u64,
        /// Octets there are.
        found: u64,
    },
    /// The BLAKE3 hash does not fit the content.
    #[error("the list file is damaged, its hash does not fit its content; copy or compile it again")]
    Hash,
    /// The hash is right and the content is not: it was not made by a compiler of this project.
    #[error("the list file contradicts itself ({0}); compile it again")]
    Malformed(&'static str),
    /// A sealed list was opened without a key.
    #[error("the list is sealed and needs the key it was made with; none was given")]
    KeyRequired,
    /// A sealed list was opened with another key than it was made with.
    #[error("the list is sealed with another key than the one given; fetch the key of this list")]
    WrongKey,
}

/// Which categories cover a name: bit i is category i of the file, 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cover {
    /// Those that cover the name, by entries of either scope.
    pub name: u64,
    /// Those of them that also cover everything below it.
    pub below: u64,
}

impl Cover {
    /// Adds the category of an entry for this name, or for one above it.
    #[inline]
    fn add(&mut self, tag: u8, whole: bool) {
        let exact = tag & EXACT != 0;
        if !exact || whole {
            let category = 1 << (tag & 63);
            self.name |= category;
            self.below |= if exact { 0 } else { category };
        }
    }
}

/// What an entry says: the digest of a name, category and scope. Packed, because ten million of them are 90 and not 160
/// megabytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(Rust, packed)]
struct Entry {
    digest: u64,
    tag: u8,
}

/// The numbers of labels of the suffixes of a name that a list may have an entry for.
#[inline]
fn depths(exact: u128, subtree: u128, labels: usize) -> u128 {
    if labels == 0 { 0 } else { exact & (1 << labels) | subtree & (u128::MAX >> (127 - labels)) }
}

/// An opened list over its octets: `&[u8]`, `Vec<u8>`, a memory map.
///
/// All of it was checked before, so that looking up has nothing left to check. It still reads with bounds: should the
/// octets change underneath (somebody writes into a mapped file), answers turn wrong, but nothing panics.
pub struct List<B: AsRef<[u8]>> {
    bytes: B,
    checked: Checked,
}

impl<B: AsRef<[u8]>> List<B> {
    /// Checks octets in memory, as [`Checked::read`] does, and puts the list over them.
    pub fn open(bytes: B, key: Option<DigestKey>) -> Result<Self, ListError> {
        match Checked::read(bytes.as_ref(), key) {
            Ok(checked) => checked.over(bytes),
            Err(CheckError::List(error)) => Err(error),
            Err(CheckError::Read(error)) => unreachable!("memory can be read: {error}"),
        }
    }

    /// Which categories cover the name. `suffixes` must have been made with [`Self::key`]. No allocation.
    #[inline]
    pub fn lookup(&self, suffixes: &Suffixes) -> Cover {
        self.lookup_but(suffixes, |_| false)
    }

    /// The same as if the entries that are `gone` were not in the list.
    #[inline]
    fn lookup_but(&self, suffixes: &Suffixes, gone: impl Fn(Entry) -> bool) -> Cover {
        let mut cover = Cover::default();
        let Header { exact_depths, subtree_depths, sections, .. } = &self.checked.header;
        let mut depths = depths(*exact_depths, *subtree_depths, suffixes.labels());
        if depths != 0 {
            let file = self.bytes.as_ref();
            let fingerprints = sections.fingerprints(file);
            while depths != 0 {
                let depth = depths.trailing_zeros() as usize;
                depths &= depths - 1;
                let digest = suffixes.get(depth);
                if self.checked.filter.passes(fingerprints, digest) {
                    self.find(file, digest, depth == suffixes.labels(), &gone, &mut cover);
                }
            }
        }
        cover
    }

    /// Adds the categories of the entries with this digest; of exact ones only when the whole name was asked for.
    #[inline(never)]
    fn find(&self, file: &[u8], digest: u64, whole: bool, gone: impl Fn(Entry) -> bool, cover: &mut Cover) {
        let Header { bucket_bits, sections, .. } = &self.checked.header;
        let bucket = layout::bucket(digest, *bucket_bits);
        let wanted = layout::remainder(digest, *bucket_bits);
        let buckets = sections.buckets(file);
        let (Some(&first), Some(&end)) = (buckets.get(bucket), buckets.get(bucket + 1)) else {
            return;
        };
        let range = u32::from_le_bytes(first) as usize..u32::from_le_bytes(end) as usize;
        let Some(entries) = sections.entries(file).get(range) else {
            return;
        };
        // Buckets hold three to six entries, unless somebody crafted names for a well-known key.
        let skip = match entries.len() {
            0..=32 => 0,
            _ => entries.partition_point(|entry| layout::number(entry) < wanted),
        };
        for entry in &entries[skip..] {
            let entry = layout::number(entry);
            if entry & !TAG > wanted {
                break;
            }
            let tag = (entry & TAG) as u8;
            if entry & !TAG == wanted && !gone(Entry { digest, tag }) {
                cover.add(tag, whole);
            }
        }
        // Should the octets have changed since they were checked.
        cover.name &= self.checked.category_mask;
        cover.below &= self.checked.category_mask;
    }

    /// Category names; their indexes are the bits of a [`Cover`].
    pub fn categories(&self) -> &[String] {
        &self.checked.categories
    }

    /// Serial of this issue of the list.
    pub fn serial(&self) -> u64 {
        self.checked.header.serial
    }

    /// When the list was made, Unix seconds.
    pub fn created(&self) -> u64 {
        self.checked.header.created
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.checked.header.entries as usize // they lie in memory, so they can be counted
    }

    /// Whether the list covers nothing at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Key of the digests; equal to [`DigestKey::OPEN`] in every open list that this project makes.
    pub fn key(&self) -> &DigestKey {
        &self.checked.key
    }

    /// Whether the file keeps its key to itself.
    pub fn sealed(&self) -> bool {
        self.checked.header.sealed
    }

    /// The BLAKE3 hash that the file carries, which was checked: the identity of its content.
    pub fn hash(&self) -> [u8; 32] {
        self.checked.header.hash
    }

    /// The whole file, as it was opened.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for List<B> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("List")
            .field("categories", &self.categories())
            .field("serial", &self.serial())
            .field("created", &self.created())
            .field("entries", &self.len())
            .field("sealed", &self.sealed())
            .finish_non_exhaustive()
    }
}
