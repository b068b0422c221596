//! What does not exist, by NSEC3 records (RFC 5155 section 8). Every record here
//! has been proven to be of the zone.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};

use super::denial::Types;
use super::names::{labels, suffix, wildcard};
use super::sets::Set;
use super::{Fault, Work};
use crate::wire::{rtype, u16_at};

/// Rounds of hashing above which a zone is treated as unsigned (RFC 9276
/// section 3.2); the number that Unbound, BIND and Knot agreed on in 2021.
const MOST_ITERATIONS: u16 = 150;
const OPT_OUT: u8 = 1;

/// An NSEC3 record.
struct Nsec3 {
    owner: Vec<u8>,
    next: Vec<u8>,
    flags: u8,
    types: Types,
}

impl Nsec3 {
    fn covers(&self, hash: &[u8]) -> bool {
        let (owner, next) = (&self.owner[..], &self.next[..]);
        if owner < next { owner < hash && hash < next } else { hash > owner || hash < next }
    }
}

/// The NSEC3 records of a message, all with the same parameters.
pub(super) struct Hashed<'a> {
    apex: &'a [u8],
    iterations: u16,
    salt: Vec<u8>,
    records: Vec<Nsec3>,
}

/// What the records show of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// That it is so.
    Secure,
    /// That it may be so: an unsigned delegation could be there (opt-out).
    Insecure,
    /// Nothing.
    Nothing,
}

/// The closest encloser of a name, and the record over the next longer name.
struct Gap<'a> {
    encloser: &'a [u8],
    opt_out: bool,
}

impl<'a> Hashed<'a> {
    /// Reads the sets that can be read; the others prove nothing.
    pub(super) fn read<'s>(sets: impl Iterator<Item = &'s Set>, apex: &'a [u8]) -> Self {
        let mut all = Hashed { apex, iterations: 0, salt: Vec::new(), records: Vec::new() };
        for set in sets {
            let Some((iterations, salt, record)) = read(set, apex) else { continue };
            if all.records.is_empty() {
                (all.iterations, all.salt) = (iterations, salt);
            } else if iterations != all.iterations || salt != all.salt {
                continue;
            }
            all.records.push(record);
        }
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether hashing would cost more than the zone is worth.
    pub(super) fn is_too_much(&self) -> bool {
        self.iterations > MOST_ITERATIONS
    }

    fn hash(&self, name: &[u8], work: &mut Work) -> Result<Vec<u8>, Fault> {
        work.hash()?;
        let mut value = [name, &self.salt].concat();
        for round in 0..=self.iterations {
            if round > 0 {
                value.extend_from_slice(&self.salt);
            }
            value = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, &value).as_ref().to_vec();
        }
        Ok(value)
    }

    /// The types at exactly this name.
    pub(super) fn types_at(&self, name: &[u8], work: &mut Work) -> Result<Option<&Types>, Fault> {
        let hash = self.hash(name, work)?;
        Ok(self.records.iter().find(|record| record.owner == hash).map(|record| &record.types))
    }

    /// RFC 5155 section 8.3: the longest ancestor that exists, and that the next
    /// longer name does not. `None` also where the name itself exists.
    fn gap<'n>(&self, name: &'n [u8], work: &mut Work) -> Result<Option<Gap<'n>>, Fault> {
        let (apex, all) = (labels(self.apex), labels(name));
        for count in (apex..all).rev() {
            let encloser = suffix(name, count);
            let Some(types) = self.types_at(encloser, work)? else { continue };
            // Below a zone cut or a DNAME nothing is in this zone.
            if types.has(rtype::DNAME) || types.is_delegation() {
                return Ok(None);
            }
            let next = self.hash(suffix(name, count + 1), work)?;
            let over = self.records.iter().find(|record| record.covers(&next));
            return Ok(over.map(|over| Gap { encloser, opt_out: over.flags & OPT_OUT != 0 }));
        }
        Ok(None)
    }

    /// The name exists without the type (sections 8.5 to 8.7).
    pub(super) fn lacks_type(&self, name: &[u8], qtype: u16, work: &mut Work) -> Result<Shown, Fault> {
        if let Some(types) = self.types_at(name, work)? {
            return Ok(if types.lack(qtype, labels(name) == 0) { Shown::Secure } else { Shown::Nothing });
        }
        let Some(gap) = self.gap(name, work)? else { return Ok(Shown::Nothing) };
        let open = if gap.opt_out { Shown::Insecure } else { Shown::Secure };
        if let Some(star) = wildcard(gap.encloser)
            && let Some(types) = self.types_at(&star, work)?
        {
            return Ok(if types.lack(qtype, false) { open } else { Shown::Nothing });
        }
        // An unsigned delegation in an opt-out range has no record of its own;
        // for other types than DS see erratum 3441.
        Ok(if gap.opt_out { Shown::Insecure } else { Shown::Nothing })
    }

    /// Neither the name exists, nor a wildcard for it (section 8.4).
    pub(super) fn lacks_name(&self, name: &[u8], work: &mut Work) -> Result<Shown, Fault> {
        if self.types_at(name, work)?.is_some() {
            return Ok(Shown::Nothing);
        }
        let Some(gap) = self.gap(name, work)? else { return Ok(Shown::Nothing) };
        let Some(star) = wildcard(gap.encloser) else { return Ok(Shown::Nothing) };
        let star = self.hash(&star, work)?;
        if !self.records.iter().any(|record| record.covers(&star)) {
            return Ok(Shown::Nothing);
        }
        Ok(if gap.opt_out { Shown::Insecure } else { Shown::Secure })
    }

    /// The name below the wildcard's parent of `encloser` labels does not exist
    /// (section 8.8).
    pub(super) fn lets_wildcard(&self, name: &[u8], encloser: usize, work: &mut Work) -> Result<Shown, Fault> {
        let next = self.hash(suffix(name, encloser + 1), work)?;
        Ok(match self.records.iter().find(|record| record.covers(&next)) {
            Some(over) if over.flags & OPT_OUT != 0 => Shown::Insecure,
            Some(_) => Shown::Secure,
            None => Shown::Nothing,
        })
    }

    /// The name has no record; insecure where it may be an unsigned delegation.
    pub(super) fn is_gap(&self, name: &[u8], work: &mut Work) -> Result<Shown, Fault> {
        Ok(match self.gap(name, work)? {
            Some(gap) if gap.opt_out => Shown::Insecure,
            Some(_) => Shown::Secure,
            None => Shown::Nothing,
        })
    }
}

/// Iterations, salt and record of a set of one NSEC3 record.
fn read(set: &Set, apex: &[u8]) -> Option<(u16, Vec<u8>, Nsec3)> {
    let [data] = &set.data[..] else { return None };
    let [1, flags, _, _, salt_length, rest @ ..] = &data[..] else { return None };
    // Unknown flags change what the record means (section 8.2).
    if flags & !OPT_OUT != 0 {
        return None;
    }
    let iterations = u16_at(data, 2)?;
    let (salt, rest) = rest.split_at_checked(usize::from(*salt_length))?;
    let (next_length, rest) = rest.split_first()?;
    let (next, types) = rest.split_at_checked(usize::from(*next_length))?;
    let length = usize::from(set.owner[0]);
    let (label, parent) = (set.owner.get(1..=length)?, set.owner.get(length + 1..)?);
    let owner = unhex32(label)?;
    let fits = parent == apex && owner.len() == SHA1_FOR_LEGACY_USE_ONLY.output_len() && next.len() == owner.len();
    let types = Types::read(types)?;
    fits.then(|| (iterations, salt.to_vec(), Nsec3 { owner, next: next.to_vec(), flags: *flags, types }))
}

/// Base 32 with the extended hex alphabet, in lower case (RFC 4648 section 7).
fn unhex32(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut have) = (0u32, 0);
    for letter in text {
        let digit = match letter {
            b'0'..=b'9' => letter - b'0',
            b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        bits = bits << 5 | u32::from(digit);
        have += 5;
        if have >= 8 {
            have -= 8;
            octets.push((bits >> have) as u8);
        }
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_hashes_of_rfc_5155() {
        // Appendix A: salt aabbccdd, 12 iterations.
        let zone = Hashed { apex: &[0], iterations: 12, salt: vec![0xaa, 0xbb, 0xcc, 0xdd], records: Vec::new() };
        let mut work = Work::new();
        for (name, hash) in [
            (&b"\x07example\x00"[..], &b"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"[..]),
            (b"\x01a\x07example\x00", b"35mthgpgcu1qg68fab165klnsnk3dpvl"),
            (b"\x01*\x01w\x07example\x00", b"r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            assert_eq!(Some(zone.hash(name, &mut work).unwrap()), unhex32(hash));
        }
    }
}
