//! Checks a list file from its first octet to its last, through one small buffer.
//!
//! Whoever maps a large list must not touch it only to check it: each page that is looked at becomes resident, beside
//! those of the list before it. So a file is checked while it is read, or copied, and the proof is then laid over its
//! octets, wherever they are. What is kept on the way is the table of buckets: about one octet an entry.

use std::io::{self, Read};

use thiserror::Error;

use super::filter::Filter;
use super::layout::{self, EXACT, HASH, HEADER, Header, Sections};
use super::{List, ListError};
use crate::digest::DigestKey;

/// Octets that are looked at together. All records have lengths that divide it, so that none is cut in two.
pub(super) const PIECE: usize = 96 << 10;

/// That all octets of a file were read and found good, and what is needed to look names up in them.
pub struct Checked {
    pub(super) header: Header,
    pub(super) key: DigestKey,
    pub(super) categories: Vec<String>,
    pub(super) category_mask: u64,
    pub(super) filter: Filter,
}

/// Why a file could not be checked.
#[derive(Debug, Error)]
pub enum CheckError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It was read, and is no good list.
    #[error(transparent)]
    List(#[from] ListError),
}

impl Checked {
    /// Checks mark, version, length, hash, and every number in the file. Reads all of it once and in order: some 10 ms
    /// for a million entries.
    ///
    /// `key` is for sealed lists and is checked against the file; an open list brings its own, and `key` is ignored.
    pub fn read(source: impl Read, key: Option<DigestKey>) -> Result<Checked, CheckError> {
        let mut head = [0; HEADER];
        let mut pieces = Pieces::new(source);
        let length = fill(&mut pieces.source, &mut head)?;
        let end = layout::read_mark(&head, length)?;
        pieces.hasher.update(&head[..HASH.start]).update(&head[HASH.end..]);
        pieces.length = HEADER as u64;

        // A file that was cut or damaged contradicts itself, too, but this is the better thing to say of it. So all of
        // it is read before anything is said.
        let found = match Header::read(&head).map_err(CheckError::from).and_then(|header| pieces.check(header, key)) {
            Err(error @ CheckError::Read(_)) => return Err(error),
            found => found,
        };
        pieces.finish()?;
        if pieces.length != end {
            return Err(ListError::Length { expected: end, found: pieces.length }.into());
        }
        if pieces.hasher.finalize().as_bytes() != &head[HASH] {
            return Err(ListError::Hash.into());
        }
        found
    }

    /// A list over octets that hold what was checked, which are not looked at now.
    pub fn over<B: AsRef<[u8]>>(self, bytes: B) -> Result<List<B>, ListError> {
        let (expected, found) = (self.header.sections.file_length() as u64, bytes.as_ref().len() as u64);
        if expected == found { Ok(List { bytes, checked: self }) } else { Err(ListError::Length { expected, found }) }
    }

    /// Category names, as [`List::categories`] has them.
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// The hash of the content, as [`List::hash`] has it.
    pub fn hash(&self) -> [u8; 32] {
        self.header.hash
    }
}

/// A source that is read piece by piece, and hashed on the way.
struct Pieces<R> {
    source: R,
    buffer: Box<[u8]>,
    hasher: blake3::Hasher,
    /// Octets read so far.
    length: u64,
}

impl<R: Read> Pieces<R> {
    fn new(source: R) -> Self {
        Pieces { source, buffer: vec![0; PIECE].into(), hasher: blake3::Hasher::new(), length: 0 }
    }

    /// Reads and checks all sections.
    fn check(&mut self, header: Header, key: Option<DigestKey>) -> Result<Checked, CheckError> {
        let key = match (header.sealed, key) {
            (false, _) => DigestKey::new(header.key),
            (true, Some(key)) => key,
            (true, None) => return Err(ListError::KeyRequired.into()),
        };
        if key.check() != header.key_check {
            return Err(if header.sealed { ListError::WrongKey } else { ListError::Malformed("key check") }.into());
        }
        let sections = &header.sections;
        let categories = layout::read_categories(&self.whole(sections, 0)?, header.categories)?;
        let filter = Filter::read(&self.whole(sections, 1)?, header.shards, sections.length(2) / 2)?;
        // Whatever a fingerprint is, it does no harm.
        self.section(sections, 2, |_| Ok(()))?;
        let mut buckets = Buckets::new(&header);
        self.section(sections, 3, |piece| buckets.read(piece))?;
        let mut entries = Entries::new(buckets.finish()?, categories.len());
        self.section(sections, 4, |piece| entries.check(piece))?;
        Ok(Checked { header, key, category_mask: (1 << categories.len()) - 1, categories, filter })
    }

    /// Section `index`, which comes next behind zeros, piece by piece.
    fn section(
        &mut self,
        sections: &Sections,
        index: usize,
        take: impl FnMut(&[u8]) -> Result<(), ListError>,
    ) -> Result<(), CheckError> {
        let gap = sections.start(index) - self.length as usize;
        self.each(gap, |piece| {
            let zeros = piece.iter().all(|&octet| octet == 0);
            if zeros { Ok(()) } else { Err(ListError::Malformed("octets between sections")) }
        })?;
        self.each(sections.length(index), take)
    }

    /// A section whose length [`Header::read`] has limited.
    fn whole(&mut self, sections: &Sections, index: usize) -> Result<Vec<u8>, CheckError> {
        let mut octets = Vec::new();
        self.section(sections, index, |piece| {
            octets.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(octets)
    }

    /// Hands over the next octets.
    fn each(
        &mut self,
        mut octets: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), ListError>,
    ) -> Result<(), CheckError> {
        while octets > 0 {
            let wanted = octets.min(PIECE);
            let piece = &mut self.buffer[..wanted];
            let length = fill(&mut self.source, piece)?;
            self.hasher.update(&piece[..length]);
            self.length += length as u64;
            if length < wanted {
                // `Checked::read` knows what to say of it.
                return Err(ListError::Malformed("end").into());
            }
            take(piece)?;
            octets -= wanted;
        }
        Ok(())
    }

    /// Reads on to the end, where an error left off.
    fn finish(&mut self) -> io::Result<()> {
        loop {
            let length = fill(&mut self.source, &mut self.buffer)?;
            self.hasher.update(&self.buffer[..length]);
            self.length += length as u64;
            if length == 0 {
                return Ok(());
            }
        }
    }
}

/// Reads until `buffer` is full or nothing more comes.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Bucket offsets: they ascend from 0 to the number of entries.
struct Buckets {
    offsets: Vec<u32>,
    entries: u32,
}

impl Buckets {
    fn new(header: &Header) -> Self {
        Buckets { offsets: Vec::with_capacity((1 << header.bucket_bits) + 1), entries: header.entries }
    }

    fn read(&mut self, piece: &[u8]) -> Result<(), ListError> {
        for offset in piece.as_chunks().0 {
            let offset = u32::from_le_bytes(*offset);
            match self.offsets.last() {
                None if offset != 0 => return Err(ListError::Malformed("first bucket")),
                Some(&before) if offset < before => return Err(ListError::Malformed("order of buckets")),
                _ => self.offsets.push(offset),
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u32>, ListError> {
        let whole = self.offsets.last() == Some(&self.entries);
        if whole { Ok(self.offsets) } else { Err(ListError::Malformed("last bucket")) }
    }
}

/// Entries: they ascend within their bucket and belong to categories that exist.
struct Entries {
    offsets: std::vec::IntoIter<u32>,
    categories: u64,
    /// Number of the next entry, and where its bucket ends.
    next: u32,
    end: u32,
    /// What the next entry must not be below.
    least: u64,
}

impl Entries {
    fn new(offsets: Vec<u32>, categories: usize) -> Self {
        Entries { offsets: offsets.into_iter(), categories: categories as u64, next: 0, end: 0, least: 0 }
    }

    fn check(&mut self, piece: &[u8]) -> Result<(), ListError> {
        for entry in piece.as_chunks().0 {
            while self.next == self.end {
                self.end = self.offsets.next().ok_or(ListError::Malformed("last bucket"))?;
                self.least = 0;
            }
            let entry = layout::number(entry);
            if entry < self.least {
                return Err(ListError::Malformed("order of entries"));
            }
            if entry & u64::from(!EXACT) >= self.categories {
                return Err(ListError::Malformed("category of an entry"));
            }
            self.least = entry + 1;
            self.next += 1;
        }
        Ok(())
    }
}
