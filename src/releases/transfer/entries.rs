//! What the records of a zone say about names, as digests: in memory to change it, on the disk to keep it, and as the
//! list that is looked up.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use foldhash::fast::RandomState;
use signed_list::digest::DigestKey;
use signed_list::list::{Builder, List, ListMeta, Scope};
use signed_list::name::Name;

use super::reading::{Change, Soa};
use super::trouble::Trouble;

/// The name is blocked.
pub(super) const BLOCKS: u8 = 1;
/// What is below the name is blocked.
pub(super) const BLOCKS_BELOW: u8 = 2;
/// The name is let through.
pub(super) const PASSES: u8 = 4;
/// What is below the name is let through.
pub(super) const PASSES_BELOW: u8 = 8;

const MAGIC: &[u8; 8] = b"FWZONE1\n";
/// Octets of an entry in the file.
const ENTRY: usize = 10;

/// What one record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Digest of the name under the open key.
    pub(super) digest: u64,
    /// Labels of the name.
    pub(super) labels: u8,
    /// One of the four flags.
    pub(super) flag: u8,
}

/// What all records of a version say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) soa: Soa,
    /// When it was taken, Unix seconds.
    pub(super) created: u64,
    /// Records that a list of names cannot hold.
    pub(super) skipped: u64,
    /// By digest: labels, and all flags.
    names: HashMap<u64, (u8, u8), RandomState>,
}

impl Entries {
    pub(super) fn add(&mut self, entry: Entry) {
        self.names.entry(entry.digest).or_insert((entry.labels, 0)).1 |= entry.flag;
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Makes the changes. What is to be removed has to be there: otherwise this is not the version they begin at.
    pub(super) fn apply(&mut self, changes: &[Change]) -> Result<(), Trouble> {
        for change in changes {
            match change {
                Change::Add(entry) => self.add(*entry),
                Change::Skipped(count) => self.skipped = self.skipped.saturating_add_signed(i64::from(*count)),
                Change::Remove(entry) => {
                    let flags = self.names.get_mut(&entry.digest).map(|(_, flags)| flags);
                    let flags = flags.filter(|flags| **flags & entry.flag != 0).ok_or(Trouble::Changes)?;
                    *flags &= !entry.flag;
                    if *flags == 0 {
                        self.names.remove(&entry.digest);
                    }
                }
            }
        }
        Ok(())
    }

    /// The list of what is blocked.
    pub(super) fn list(&self, category: &str) -> Result<Vec<u8>, Trouble> {
        self.build(category, BLOCKS, BLOCKS_BELOW)
    }

    /// The list of what is let through; `None` if that is nothing.
    pub(super) fn exceptions(&self) -> Result<Option<List<Vec<u8>>>, Trouble> {
        if self.names.values().all(|(_, flags)| flags & (PASSES | PASSES_BELOW) == 0) {
            return Ok(None);
        }
        let bytes = self.build("exceptions", PASSES, PASSES_BELOW)?;
        List::open(bytes, None).map(Some).map_err(|error| Trouble::List(error.to_string()))
    }

    fn build(&self, category: &str, exact: u8, below: u8) -> Result<Vec<u8>, Trouble> {
        let mut builder = Builder::new(ListMeta {
            categories: vec![category.into()],
            serial: u64::from(self.soa.serial),
            created: self.created,
            key: DigestKey::OPEN,
            sealed: false,
        });
        for (digest, (labels, flags)) in &self.names {
            // As everywhere here, what is below a name covers the name, too.
            if flags & below != 0 {
                builder.push(*digest, *labels, 0, Scope::Subtree);
            } else if flags & exact != 0 {
                builder.push(*digest, *labels, 0, Scope::Exact);
            }
        }
        builder.build().map_err(|error| Trouble::List(error.to_string()))
    }

    /// The file: which zone, the numbers, the entries, and a hash over all of it.
    pub(super) fn write(&self, zone: &Name) -> Vec<u8> {
        let mut octets = Vec::with_capacity(400 + self.names.len() * ENTRY);
        octets.extend_from_slice(MAGIC);
        octets.push(zone.as_wire().len() as u8);
        octets.extend_from_slice(zone.as_wire());
        for number in [self.soa.serial, self.soa.refresh, self.soa.retry, self.soa.expire] {
            octets.extend_from_slice(&number.to_be_bytes());
        }
        for number in [self.created, self.skipped, self.names.len() as u64] {
            octets.extend_from_slice(&number.to_be_bytes());
        }
        for (digest, (labels, flags)) in &self.names {
            octets.extend_from_slice(&digest.to_be_bytes());
            octets.extend_from_slice(&[*labels, *flags]);
        }
        let hash = blake3::hash(&octets);
        octets.extend_from_slice(hash.as_bytes());
        octets
    }

    /// Reads the file; `None` if there is none, or it is that of another zone.
    pub(super) fn read(path: &Path, zone: &Name) -> io::Result<Option<Entries>> {
        let octets = match fs::read(path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || io::Error::other("it is damaged; the zone is transferred again");
        let (content, hash) = octets.split_last_chunk::<32>().ok_or_else(damaged)?;
        if blake3::hash(content) != *hash {
            return Err(damaged());
        }
        let rest = content.strip_prefix(MAGIC).ok_or_else(damaged)?;
        let (&length, rest) = rest.split_first().ok_or_else(damaged)?;
        let (name, mut rest) = rest.split_at_checked(usize::from(length)).ok_or_else(damaged)?;
        if name != zone.as_wire() {
            return Ok(None);
        }
        let mut entries = Entries::default();
        let soa = &mut entries.soa;
        for number in [&mut soa.serial, &mut soa.refresh, &mut soa.retry, &mut soa.expire] {
            let (octets, more) = rest.split_first_chunk().ok_or_else(damaged)?;
            (*number, rest) = (u32::from_be_bytes(*octets), more);
        }
        let mut count = 0;
        for number in [&mut entries.created, &mut entries.skipped, &mut count] {
            let (octets, more) = rest.split_first_chunk().ok_or_else(damaged)?;
            (*number, rest) = (u64::from_be_bytes(*octets), more);
        }
        if rest.len() as u64 != count * ENTRY as u64 {
            return Err(damaged());
        }
        entries.names.reserve(rest.len() / ENTRY);
        for entry in rest.chunks_exact(ENTRY) {
            let (digest, about) = entry.split_first_chunk().ok_or_else(damaged)?;
            entries.names.insert(u64::from_be_bytes(*digest), (about[0], about[1]));
        }
        Ok(Some(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digest: u64, flag: u8) -> Entry {
        Entry { digest, labels: 2, flag }
    }

    #[test]
    fn changes_are_made_record_by_record() {
        let mut entries = Entries::default();
        for one in [entry(1, BLOCKS), entry(1, BLOCKS_BELOW), entry(2, PASSES)] {
            entries.add(one);
        }
        entries.apply(&[Change::Remove(entry(1, BLOCKS_BELOW)), Change::Skipped(3), Change::Skipped(-1)]).unwrap();
        assert_eq!((entries.len(), entries.skipped), (2, 2), "the name alone is still blocked");
        entries.apply(&[Change::Remove(entry(2, PASSES)), Change::Add(entry(2, BLOCKS))]).unwrap();
        assert!(entries.exceptions().unwrap().is_none());
        for absent in [entry(3, BLOCKS), entry(1, BLOCKS_BELOW)] {
            assert!(matches!(entries.apply(&[Change::Remove(absent)]), Err(Trouble::Changes)));
        }
    }

    #[test]
    fn a_file_is_read_back_and_a_damaged_one_is_not() {
        let zone = Name::parse("rpz.example").unwrap();
        let soa = Soa { serial: 7, refresh: 60, retry: 5, expire: 900 };
        let mut entries = Entries { soa, created: 5, skipped: 2, ..Entries::default() };
        for number in 0..100 {
            entries.add(entry(number, BLOCKS));
        }
        let path = std::env::temp_dir().join(format!("entries-{}", std::process::id()));
        let octets = entries.write(&zone);
        fs::write(&path, &octets).unwrap();
        assert_eq!(Entries::read(&path, &zone).unwrap().unwrap(), entries);
        assert!(Entries::read(&path, &Name::parse("other.example").unwrap()).unwrap().is_none());
        for cut in [0, 7, 50, octets.len() - 1] {
            fs::write(&path, &octets[..cut]).unwrap();
            assert!(Entries::read(&path, &zone).is_err(), "cut at {cut}");
        }
        fs::remove_file(&path).unwrap();
        assert!(Entries::read(&path, &zone).unwrap().is_none());
    }
}
