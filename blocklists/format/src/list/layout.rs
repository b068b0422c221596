//! Where things lie in a list file; the module above has the table. Both directions stand here, side by side.

use std::ops::Range;

use super::{ListError, filter};

pub(super) const MARK: [u8; 8] = *b"\x89FWLIST\n";
pub(super) const VERSION: u32 = 2;
pub(super) const HEADER: usize = 256;
/// Where the BLAKE3 hash lies, which it does not cover itself.
pub(super) const HASH: Range<usize> = 16..48;
/// Where offset and length of the sections lie.
const SECTIONS: usize = 144;
/// Sections begin at multiples of this: a cache line, and aligned for everything in them.
const ALIGNMENT: usize = 64;
const SEALED: u32 = 1;
/// Bit of a tag: the entry covers its name alone.
pub(super) const EXACT: u8 = 0x80;
/// The bits of an entry's number that are its tag.
pub(super) const TAG: u64 = 0xff;
/// A lookup answers with one bit for each, and leaves one bit to its caller.
pub(super) const MAX_CATEGORIES: usize = 63;
/// With fewer, the tag of an entry would take the place of digest bits.
pub(super) const MIN_BUCKET_BITS: u32 = 8;
/// More would make a table larger than the entries of any list that there will be.
pub(super) const MAX_BUCKET_BITS: u32 = 24;

/// The header as numbers.
pub(super) struct Header {
    pub(super) sealed: bool,
    pub(super) hash: [u8; 32],
    pub(super) key: [u8; 16],
    pub(super) key_check: u64,
    pub(super) serial: u64,
    pub(super) created: u64,
    pub(super) entries: u32,
    pub(super) subtree_depths: u128,
    pub(super) exact_depths: u128,
    pub(super) categories: u32,
    pub(super) bucket_bits: u32,
    pub(super) shards: u32,
    pub(super) sections: Sections,
}

/// Checks mark and version of a file of which `length` octets are there, and says where it ends by its own account.
pub(super) fn read_mark(head: &[u8; HEADER], length: usize) -> Result<u64, ListError> {
    let short = ListError::Length { expected: HEADER as u64, found: length as u64 };
    let file = &head[..length];
    match file.first_chunk() {
        Some(&MARK) => {}
        None if !file.is_empty() && MARK.starts_with(file) => return Err(short),
        _ => return Err(ListError::NotAList),
    }
    // The version comes before everything that another version may do in another way.
    let version = u32::from_le_bytes(*file[8..].first_chunk().ok_or(short.clone())?);
    match version {
        VERSION if length < HEADER => Err(short),
        VERSION => Ok(word(head, SECTIONS + 4 * 16).saturating_add(word(head, SECTIONS + 4 * 16 + 8))),
        0 => Err(ListError::Malformed("version")),
        1 => Err(ListError::Older(version)),
        _ => Err(ListError::Newer(version)),
    }
}

impl Header {
    /// Reads and checks all that can be checked before the sections are looked into.
    pub(super) fn read(head: &[u8; HEADER]) -> Result<Header, ListError> {
        let flags = half(head, 12);
        let entries = u32::try_from(word(head, 88)).map_err(|_| ListError::Malformed("number of entries"))?;
        let header = Header {
            sealed: flags & SEALED != 0,
            hash: bytes(head, HASH.start),
            key: bytes(head, 48),
            key_check: word(head, 64),
            serial: word(head, 72),
            created: word(head, 80),
            entries,
            subtree_depths: u128::from_le_bytes(bytes(head, 96)),
            exact_depths: u128::from_le_bytes(bytes(head, 112)),
            categories: half(head, 128),
            bucket_bits: half(head, 132),
            shards: half(head, 136),
            sections: Sections::read(head)?,
        };
        let unused = [u64::from(half(head, 140)), word(head, 224), word(head, 232), word(head, 240), word(head, 248)];
        if flags & !SEALED != 0 || unused != [0; 5] || header.sealed && header.key != [0; 16] {
            return Err(ListError::Malformed("unused header fields"));
        }
        if (header.subtree_depths | header.exact_depths) & 1 != 0 {
            return Err(ListError::Malformed("an entry for the root"));
        }
        header.check_lengths()?;
        Ok(header)
    }

    /// Every section must be as long as the numbers of the header want it. Fingerprints and categories have their
    /// length from their content, which is checked where it is read; before, categories must not be too many to read.
    fn check_lengths(&self) -> Result<(), ListError> {
        if !(MIN_BUCKET_BITS..=MAX_BUCKET_BITS).contains(&self.bucket_bits) {
            return Err(ListError::Malformed("bucket bits"));
        }
        if self.shards > filter::MAX_SHARDS {
            return Err(ListError::Malformed("number of filter shards"));
        }
        let [categories, shards, fingerprints, buckets, entries] =
            [0, 1, 2, 3, 4].map(|index| self.sections.length(index) as u64);
        let fits = categories <= MAX_CATEGORIES as u64 * 256
            && shards == u64::from(self.shards) * filter::RECORD as u64
            && fingerprints % 2 == 0
            && buckets == ((1 << self.bucket_bits) + 1) * 4
            && entries == u64::from(self.entries) * 8;
        if fits { Ok(()) } else { Err(ListError::Malformed("length of a section")) }
    }

    /// The header's octets; the hash is put in by [`seal`], when the rest of the file is there.
    pub(super) fn write(&self) -> [u8; HEADER] {
        let mut head = [0; HEADER];
        let mut put = |at: usize, octets: &[u8]| head[at..at + octets.len()].copy_from_slice(octets);
        put(0, &MARK);
        put(8, &VERSION.to_le_bytes());
        put(12, &(if self.sealed { SEALED } else { 0 }).to_le_bytes());
        put(48, &self.key);
        put(64, &self.key_check.to_le_bytes());
        put(72, &self.serial.to_le_bytes());
        put(80, &self.created.to_le_bytes());
        put(88, &u64::from(self.entries).to_le_bytes());
        put(96, &self.subtree_depths.to_le_bytes());
        put(112, &self.exact_depths.to_le_bytes());
        put(128, &self.categories.to_le_bytes());
        put(132, &self.bucket_bits.to_le_bytes());
        put(136, &self.shards.to_le_bytes());
        for (i, (start, end)) in self.sections.0.into_iter().enumerate() {
            put(SECTIONS + i * 16, &(start as u64).to_le_bytes());
            put(SECTIONS + i * 16 + 8, &((end - start) as u64).to_le_bytes());
        }
        head
    }
}

/// Start and end of the five sections in the file, in their order.
#[derive(Clone, Copy)]
pub(super) struct Sections([(usize, usize); 5]);

impl Sections {
    /// No sections yet.
    pub(super) const EMPTY: Sections = Sections([(0, 0); 5]);

    /// The places of sections with these lengths. `None` when the file would be larger than memory can be.
    pub(super) fn of_lengths(lengths: [usize; 5]) -> Option<Sections> {
        let mut end = HEADER;
        let mut places = [(0, 0); 5];
        for (place, length) in places.iter_mut().zip(lengths) {
            let start = end.checked_next_multiple_of(ALIGNMENT)?;
            end = start.checked_add(length)?;
            *place = (start, end);
        }
        Some(Sections(places))
    }

    /// The lengths of the header decide; the offsets must be what follows from them.
    fn read(head: &[u8; HEADER]) -> Result<Sections, ListError> {
        let wrong = ListError::Malformed("place of a section");
        let mut lengths = [0; 5];
        for (i, length) in lengths.iter_mut().enumerate() {
            *length = usize::try_from(word(head, SECTIONS + i * 16 + 8)).map_err(|_| wrong.clone())?;
        }
        let sections = Sections::of_lengths(lengths).ok_or(wrong.clone())?;
        let fits = (0..5).all(|i| sections.start(i) as u64 == word(head, SECTIONS + i * 16));
        if fits { Ok(sections) } else { Err(wrong) }
    }

    /// Octets of the whole file.
    pub(super) fn file_length(&self) -> usize {
        self.0[4].1
    }

    /// Where a section begins.
    pub(super) fn start(&self, index: usize) -> usize {
        self.0[index].0
    }

    /// Octets of a section.
    pub(super) fn length(&self, index: usize) -> usize {
        self.0[index].1 - self.0[index].0
    }

    fn section<'a>(&self, file: &'a [u8], index: usize) -> &'a [u8] {
        let (start, end) = self.0[index];
        // The places were checked with this very file; what it may have become since then is not trusted.
        file.get(start..end).unwrap_or(&[])
    }

    #[inline]
    pub(super) fn fingerprints<'a>(&self, file: &'a [u8]) -> &'a [[u8; 2]] {
        self.section(file, 2).as_chunks().0
    }

    #[inline]
    pub(super) fn buckets<'a>(&self, file: &'a [u8]) -> &'a [[u8; 4]] {
        self.section(file, 3).as_chunks().0
    }

    #[inline]
    pub(super) fn entries<'a>(&self, file: &'a [u8]) -> &'a [[u8; 8]] {
        self.section(file, 4).as_chunks().0
    }

    /// Fills `file` with zeros up to where section `index` begins.
    pub(super) fn pad(&self, file: &mut Vec<u8>, index: usize) {
        file.resize(self.start(index), 0);
    }
}

/// Reads the category section.
pub(super) fn read_categories(mut section: &[u8], count: u32) -> Result<Vec<String>, ListError> {
    let wrong = || ListError::Malformed("category names");
    if count as usize > MAX_CATEGORIES {
        return Err(ListError::Malformed("number of categories"));
    }
    let mut names: Vec<String> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let (&length, rest) = section.split_first().ok_or_else(wrong)?;
        let (name, rest) = rest.split_at_checked(usize::from(length)).ok_or_else(wrong)?;
        let name = std::str::from_utf8(name).map_err(|_| wrong())?;
        if name.is_empty() || names.iter().any(|other| other == name) {
            return Err(wrong());
        }
        names.push(name.to_owned());
        section = rest;
    }
    if section.is_empty() { Ok(names) } else { Err(wrong()) }
}

/// Writes the category section. Names have 1 to 255 octets.
pub(super) fn write_categories(names: &[String]) -> Vec<u8> {
    names.iter().flat_map(|name| std::iter::once(name.len() as u8).chain(name.bytes())).collect()
}

/// BLAKE3 of a file without its hash field. The file has at least a header.
pub(super) fn hash(file: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&file[..HASH.start]);
    hasher.update(&file[HASH.end..]);
    *hasher.finalize().as_bytes()
}

/// Puts the hash into a file that is otherwise complete.
pub(super) fn seal(file: &mut [u8]) {
    let hash = hash(file);
    file[HASH].copy_from_slice(&hash);
}

/// The bucket of a digest: its `bits` highest bits, 8 to 24.
#[inline]
pub(super) fn bucket(digest: u64, bits: u32) -> usize {
    (digest >> (64 - bits)) as usize
}

/// The bits of a digest after those of its bucket, in the highest bits; at least the lowest 8 are 0.
#[inline]
pub(super) fn remainder(digest: u64, bits: u32) -> u64 {
    digest << bits
}

/// An entry as it lies in the file: remainder and tag as one number.
#[inline]
pub(super) fn number(octets: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*octets)
}

/// The whole digest of an entry of a bucket.
pub(super) fn digest(bucket: usize, number: u64, bits: u32) -> u64 {
    (bucket as u64) << (64 - bits) | (number & !TAG) >> bits
}

/// `N` octets of a header or record from `at` on; both are constants, and lie inside.
pub(super) fn bytes<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let mut octets = [0; N];
    octets.copy_from_slice(&record[at..at + N]);
    octets
}

fn word(head: &[u8; HEADER], at: usize) -> u64 {
    u64::from_le_bytes(bytes(head, at))
}

fn half(head: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes(bytes(head, at))
}
