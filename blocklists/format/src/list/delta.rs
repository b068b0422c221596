//! The change from one list to the next: a few hundred octets where the list has ten million.
//!
//! A delta is in force at once through an [`Overlay`], which is asked together with the old list, and is merged into a
//! new file afterwards. Both say the same about every name, and the merged file is octet for octet the one that its
//! publisher compiled: the delta carries that file's header, and its hash is checked.
//!
//! # Format, version 1
//!
//! All numbers are little-endian.
//!
//! | octets | field |
//! |---|---|
//! | 0..8 | mark: `89 'F' 'W' 'D' 'E' 'L' 'T' 0A` |
//! | 8..12 | format version, 1 |
//! | 12..16 | 0 |
//! | 16..48 | hash of the list that is changed |
//! | 48..304 | header of the list that comes out |
//! | 304..308 | entries that go |
//! | 308..312 | entries that come |
//! | 312.. | 9 octets for each entry: digest (8) and tag (1, as in a list); first those that go, then those that come, each ascending |
//! | the last 32 | BLAKE3 hash of everything before |
//!
//! The categories stay the same, in the same order; another set of categories wants a whole list.

use thiserror::Error;

use super::layout::{self, EXACT, HASH, HEADER, Header, TAG};
use super::{Cover, Entry, List, build, depths};
use crate::digest::Suffixes;

const MARK: [u8; 8] = *b"\x89FWDELT\n";
const VERSION: u32 = 1;
const ENTRIES: usize = 312;
const ENTRY: usize = 9;
const SUM: usize = 32;

/// Why there is no delta, or why one cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeltaError {
    /// The mark, the length or the hash is wrong.
    #[error("this is no whole delta; fetch it again")]
    Damaged,
    /// A format version that this program does not know.
    #[error("the delta has format version {0}; this program reads version 1: update it")]
    Newer(u32),
    /// It contradicts itself or the list.
    #[error("the delta contradicts itself ({0})")]
    Malformed(&'static str),
    /// It was made for another list.
    #[error("the delta changes another list than the one at hand")]
    OtherList,
    /// Key or categories differ.
    #[error("the two lists have {0}, so there is no delta from one to the other; the whole list is needed")]
    Unrelated(&'static str),
    /// The merged file is not the one that was published.
    #[error("the list with the delta merged in is not the one that was published; the whole list is needed")]
    Outcome,
}

/// A change, read and checked.
#[derive(Clone, Debug)]
pub struct Delta {
    from: [u8; 32],
    head: [u8; HEADER],
    gone: Vec<Entry>,
    come: Vec<Entry>,
}

impl Delta {
    /// The octets that lead from `old` to `new`.
    ///
    /// # Errors
    /// The lists have different keys or categories.
    pub fn between<A: AsRef<[u8]>, B: AsRef<[u8]>>(old: &List<A>, new: &List<B>) -> Result<Vec<u8>, DeltaError> {
        if old.key() != new.key() || old.sealed() != new.sealed() {
            return Err(DeltaError::Unrelated("different keys"));
        }
        if old.categories() != new.categories() {
            return Err(DeltaError::Unrelated("different categories"));
        }
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        let (mut left, mut right) = (old.entries().peekable(), new.entries().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a == b => drop((left.next(), right.next())),
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    gone.push(*a);
                    left.next();
                }
                (_, Some(b)) => {
                    come.push(*b);
                    right.next();
                }
                (_, None) => break,
            }
        }
        let number = |count: usize| u32::try_from(count).map_err(|_| DeltaError::Unrelated("nothing in common"));
        let mut bytes = Vec::with_capacity(ENTRIES + (gone.len() + come.len()) * ENTRY + SUM);
        bytes.extend(MARK);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(old.hash());
        bytes.extend(&new.as_bytes()[..HEADER]);
        bytes.extend(number(gone.len())?.to_le_bytes());
        bytes.extend(number(come.len())?.to_le_bytes());
        for entry in gone.iter().chain(&come) {
            bytes.extend({ entry.digest }.to_le_bytes());
            bytes.push(entry.tag);
        }
        let sum = blake3::hash(&bytes);
        bytes.extend(sum.as_bytes());
        Ok(bytes)
    }

    /// Reads a delta and checks all that can be checked without its list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Delta, DeltaError> {
        if bytes.first_chunk() != Some(&MARK) {
            return Err(DeltaError::Damaged);
        }
        let version = bytes.get(8..12).ok_or(DeltaError::Damaged)?;
        let version = u32::from_le_bytes(layout::bytes(version, 0));
        if version != VERSION {
            return Err(DeltaError::Newer(version));
        }
        let (body, sum) = bytes.split_at_checked(bytes.len().saturating_sub(SUM)).ok_or(DeltaError::Damaged)?;
        if body.len() < ENTRIES || blake3::hash(body).as_bytes() != sum {
            return Err(DeltaError::Damaged);
        }
        let count = |at| u32::from_le_bytes(layout::bytes(body, at)) as usize;
        let (gone, come) = (count(304), count(308));
        let (entries, rest) = body[ENTRIES..].as_chunks::<ENTRY>();
        if layout::bytes::<4>(body, 12) != [0; 4] || !rest.is_empty() || entries.len() != gone + come {
            return Err(DeltaError::Malformed("length"));
        }
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| Entry { digest: u64::from_le_bytes(layout::bytes(entry, 0)), tag: entry[8] })
            .collect();
        let (gone, come) = entries.split_at(gone);
        if [gone, come].iter().any(|entries| !entries.is_sorted_by(|a, b| a < b)) {
            return Err(DeltaError::Malformed("order"));
        }
        if entries.iter().any(|entry| entry.tag & !(EXACT | 63) != 0) {
            return Err(DeltaError::Malformed("tag"));
        }
        Header::read(&layout::bytes(body, 48)).map_err(|_| DeltaError::Malformed("header"))?;
        Ok(Delta { from: layout::bytes(body, 16), head: layout::bytes(body, 48), gone: gone.into(), come: come.into() })
    }

    /// Hash of the list that it changes.
    pub fn from_hash(&self) -> [u8; 32] {
        self.from
    }

    /// Hash of the list that comes out.
    pub fn to_hash(&self) -> [u8; 32] {
        layout::bytes(&self.head, HASH.start)
    }

    /// Serial of the list that comes out.
    pub fn to_serial(&self) -> u64 {
        self.header().serial
    }

    /// When the list that comes out was made, Unix seconds.
    pub fn to_created(&self) -> u64 {
        self.header().created
    }

    /// Entries that come.
    pub fn added(&self) -> usize {
        self.come.len()
    }

    /// Entries that go.
    pub fn removed(&self) -> usize {
        self.gone.len()
    }

    fn header(&self) -> Header {
        Header::read(&self.head).expect("checked when it was read")
    }

    /// One delta for this one and the one after it.
    ///
    /// # Errors
    /// `next` does not follow on this one.
    pub fn then(&self, next: &Delta) -> Result<Delta, DeltaError> {
        if next.from != self.to_hash() {
            return Err(DeltaError::OtherList);
        }
        // What comes and goes again, or goes and comes again, was not changed.
        let without = |entries: &[Entry], undone: &[Entry]| -> Vec<Entry> {
            entries.iter().filter(|entry| undone.binary_search(entry).is_err()).copied().collect()
        };
        let join = |mut a: Vec<Entry>, b: Vec<Entry>| {
            a.extend(b);
            a.sort_unstable();
            a
        };
        let gone = join(without(&self.gone, &next.come), without(&next.gone, &self.come));
        let come = join(without(&self.come, &next.gone), without(&next.come, &self.gone));
        Ok(Delta { from: self.from, head: next.head, gone, come })
    }
}

impl<B: AsRef<[u8]>> List<B> {
    /// All entries, ascending.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let file = self.bytes.as_ref();
        let Header { bucket_bits, sections, .. } = &self.checked.header;
        let (buckets, entries, bits) = (sections.buckets(file), sections.entries(file), *bucket_bits);
        buckets.windows(2).enumerate().flat_map(move |(bucket, ends)| {
            let range = u32::from_le_bytes(ends[0]) as usize..u32::from_le_bytes(ends[1]) as usize;
            entries.get(range).unwrap_or(&[]).iter().map(move |entry| {
                let number = layout::number(entry);
                Entry { digest: layout::digest(bucket, number, bits), tag: (number & TAG) as u8 }
            })
        })
    }

    /// The file that comes out when a delta is merged into this list: the one that was published.
    ///
    /// # Errors
    /// The delta belongs to another list, or something else comes out.
    pub fn merge(&self, delta: &Delta) -> Result<Vec<u8>, DeltaError> {
        if delta.from != self.hash() {
            return Err(DeltaError::OtherList);
        }
        let header = delta.header();
        let count = header.entries as usize;
        // Before room is made for as many as the delta speaks of.
        if (count + delta.gone.len()) as u64 != self.len() as u64 + delta.come.len() as u64 {
            return Err(DeltaError::Outcome);
        }
        let mut entries = Vec::with_capacity(count);
        let (mut gone, mut come) = (delta.gone.iter().copied().peekable(), delta.come.iter().copied().peekable());
        for entry in self.entries() {
            while let Some(new) = come.next_if(|new| *new < entry) {
                entries.push(new);
            }
            if gone.next_if_eq(&entry).is_none() {
                entries.push(entry);
            }
        }
        entries.extend(come);
        if gone.next().is_some() {
            return Err(DeltaError::Outcome);
        }
        let file = build::file(header, self.categories(), &entries).map_err(|_| DeltaError::Outcome)?;
        if file.get(..HEADER) == Some(&delta.head[..]) { Ok(file) } else { Err(DeltaError::Outcome) }
    }
}

/// A delta in force: asked together with the list that it changes.
#[derive(Clone, Debug)]
pub struct Overlay {
    delta: Delta,
    subtree_depths: u128,
    exact_depths: u128,
}

impl Overlay {
    /// Puts a delta before a list.
    ///
    /// # Errors
    /// The delta belongs to another list, or one of its entries has a category that the list does not have.
    pub fn new<B: AsRef<[u8]>>(list: &List<B>, delta: Delta) -> Result<Overlay, DeltaError> {
        if delta.from != list.hash() {
            return Err(DeltaError::OtherList);
        }
        if delta.come.iter().any(|entry| usize::from(entry.tag & !EXACT) >= list.categories().len()) {
            return Err(DeltaError::Malformed("category"));
        }
        let header = delta.header();
        Ok(Overlay { subtree_depths: header.subtree_depths, exact_depths: header.exact_depths, delta })
    }

    /// The change in it.
    pub fn delta(&self) -> &Delta {
        &self.delta
    }

    /// What covers a name in the changed list: what [`List::lookup`] will say when the delta is merged. Costs the
    /// look-up in the list and one search among the changes for each of its suffixes.
    #[inline]
    pub fn lookup<B: AsRef<[u8]>>(&self, list: &List<B>, suffixes: &Suffixes) -> Cover {
        let Delta { gone, come, .. } = &self.delta;
        let mut cover = list.lookup_but(suffixes, |entry| gone.binary_search(&entry).is_ok());
        let mut depths = depths(self.exact_depths, self.subtree_depths, suffixes.labels());
        while depths != 0 && !come.is_empty() {
            let depth = depths.trailing_zeros() as usize;
            depths &= depths - 1;
            let digest = suffixes.get(depth);
            let first = come.partition_point(|entry| entry.digest < digest);
            for entry in come[first..].iter().take_while(|entry| { entry.digest } == digest) {
                cover.add(entry.tag, depth == suffixes.labels());
            }
        }
        cover
    }
}
