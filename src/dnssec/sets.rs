//! A message as sets of records with the signatures over them.

use std::collections::HashMap;

use crate::rewrite::canonical_data;
use crate::wire::{self, Malformed, Record, Section, WireName, rtype, u16_at, u32_at};

/// Everything of one type at one name, in one section.
pub(super) struct Set {
    pub(super) section: Section,
    pub(super) owner: Box<[u8]>,
    pub(super) rtype: u16,
    /// The lowest of its records.
    pub(super) ttl: u32,
    /// Canonical data, in canonical order and without repetitions.
    pub(super) data: Vec<Vec<u8>>,
    pub(super) signatures: Vec<Signature>,
    /// Offsets of its records in the message, those of the signatures too.
    pub(super) places: Vec<usize>,
}

/// An RRSIG record (RFC 4034 section 3).
pub(super) struct Signature {
    pub(super) algorithm: u8,
    /// Labels of the name that was signed: fewer than the owner has when a
    /// wildcard was put in its place.
    pub(super) labels: u8,
    pub(super) original_ttl: u32,
    pub(super) expiration: u32,
    pub(super) inception: u32,
    pub(super) tag: u16,
    pub(super) signer: Box<[u8]>,
    /// Its data without the signature, which is signed too; the signer's name
    /// is in lower case.
    pub(super) head: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) ttl: u32,
}

/// The sets of the answer and authority sections. What stands in the additional
/// section proves nothing.
///
/// # Errors
/// [`Malformed`] if a record is not what its type demands.
pub(super) fn read(message: &[u8], question_end: usize) -> Result<Vec<Set>, Malformed> {
    let mut sets: Vec<Set> = Vec::new();
    let mut known = HashMap::new();
    let mut name = WireName::ROOT;
    for record in wire::records(message, question_end) {
        let record = record?;
        if record.section == Section::Additional {
            break;
        }
        if record.class != wire::class::IN {
            return Err(Malformed);
        }
        name.read(message, record.owner)?;
        let signature = (record.rtype == rtype::RRSIG).then(|| Signature::read(message, &record)).transpose()?;
        let covered = signature.as_ref().map_or(record.rtype, |(covered, _)| *covered);
        let key = (Box::<[u8]>::from(name.as_wire()), covered, record.section as usize);
        let index = *known.entry(key).or_insert_with_key(|key| {
            sets.push(Set {
                section: record.section,
                owner: key.0.clone(),
                rtype: covered,
                ttl: u32::MAX,
                data: Vec::new(),
                signatures: Vec::new(),
                places: Vec::new(),
            });
            sets.len() - 1
        });
        let set = &mut sets[index];
        set.places.push(record.owner);
        match signature {
            Some((_, signature)) => set.signatures.push(signature),
            None => {
                let mut data = Vec::new();
                canonical_data(message, &record, &mut data)?;
                set.ttl = set.ttl.min(record.ttl);
                set.data.push(data);
            }
        }
    }
    for set in &mut sets {
        set.data.sort_unstable();
        set.data.dedup();
    }
    Ok(sets)
}

impl Signature {
    /// Type covered and signature.
    fn read(message: &[u8], record: &Record) -> Result<(u16, Self), Malformed> {
        let data = &message[record.data..record.end];
        let word = |at| u16_at(data, at).ok_or(Malformed);
        let long = |at| u32_at(data, at).ok_or(Malformed);
        let mut signer = WireName::ROOT;
        let end = signer.read(message, record.data + 18)?;
        let value = message.get(end..record.end).ok_or(Malformed)?.to_vec();
        let head = [&data[..18], signer.as_wire()].concat();
        let signature = Signature {
            algorithm: data[2],
            labels: data[3],
            original_ttl: long(4)?,
            expiration: long(8)?,
            inception: long(12)?,
            tag: word(16)?,
            signer: signer.as_wire().into(),
            head,
            value,
            ttl: record.ttl,
        };
        Ok((word(0)?, signature))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Work;
    use super::super::denial::{Denial, Nsec};
    use super::super::hashed::Hashed;
    use super::super::signature::{Ds, Key, Zone, verify};
    use super::*;
    use crate::wire::HEADER;

    /// A message of records that may be anything, behind a question for `a.b`.
    fn message(records: &[(u8, u16, Vec<u8>)]) -> Vec<u8> {
        let mut message = vec![0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, records.len() as u8, 0, 0];
        message.extend_from_slice(b"\x01a\x01b\x00\x00\x01\x00\x01");
        for (owner, rtype, data) in records {
            // The name of the question, its parent, or the root.
            message.extend_from_slice(&[0xc0, HEADER as u8 + 2 * (owner % 3)]);
            message.extend_from_slice(&rtype.to_be_bytes());
            message.extend_from_slice(&[0, 1, 0, 0, 1, 0]);
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    fn records() -> impl Strategy<Value = Vec<(u8, u16, Vec<u8>)>> {
        let types = prop::sample::select(vec![1, 2, 5, 6, 15, 35, 39, 43, 46, 47, 48, 50]);
        let octet = prop_oneof![0u8..5, any::<u8>()];
        prop::collection::vec((any::<u8>(), types, prop::collection::vec(octet, 0..60)), 0..12)
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(records in records()) {
            let message = message(&records);
            let Ok(sets) = read(&message, HEADER + 9) else { return Ok(()) };
            let (name, apex) = (&b"\x01a\x01b\x00"[..], &b"\x01b\x00"[..]);
            let mut work = Work::new();
            let nsec = Denial { apex, records: sets.iter().filter_map(|set| Nsec::read(set, apex)).collect() };
            let _ = (nsec.lacks_type(name, 1), nsec.lacks_name(name), nsec.lets_wildcard(name, 1));
            let hashed = Hashed::read(sets.iter(), apex);
            let _ = hashed.lacks_type(name, 1, &mut work).and_then(|_| hashed.lacks_name(name, &mut work));
            let data = || sets.iter().flat_map(|set| &set.data);
            let zone = Zone { apex: apex.into(), keys: data().filter_map(|data| Key::read(data)).collect() };
            let ds: Vec<_> = data().filter_map(|data| Ds::read(data)).collect();
            let _ = zone.keys.iter().filter(|key| ds.iter().any(|ds| ds.is_of(apex, key))).count();
            for set in &sets {
                prop_assert!(verify(set, &zone, &mut Work::new(), 0).is_err());
            }
        }
    }
}
