//! What does not exist, by NSEC records (RFC 4035 section 5.4, RFC 6840
//! section 4). Every record here has been proven to be of the zone.

use std::cmp::Ordering;

use super::names::{compare, is_below, is_within, labels, shared_labels, suffix, wildcard};
use super::sets::Set;
use crate::wire::{WireName, rtype};

/// Types that exist at a name (RFC 4034 section 4.1.2).
#[derive(Clone, Debug)]
pub(super) struct Types(Vec<u8>);

impl Types {
    /// Reads the windows; `None` if they do not fit.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let mut rest = data;
        while let [_, length, after @ ..] = rest {
            if !(1..=32).contains(length) {
                return None;
            }
            rest = after.get(usize::from(*length)..)?;
        }
        rest.is_empty().then(|| Types(data.to_vec()))
    }

    pub(super) fn has(&self, rtype: u16) -> bool {
        let [window, low] = rtype.to_be_bytes();
        let mut rest = &self.0[..];
        while let [number, length, after @ ..] = rest {
            let (bits, behind) = after.split_at(usize::from(*length));
            if *number == window {
                return bits.get(usize::from(low / 8)).is_some_and(|octet| octet & 0x80 >> (low % 8) != 0);
            }
            rest = behind;
        }
        false
    }

    /// The name is where another zone begins, seen from above.
    pub(super) fn is_delegation(&self) -> bool {
        self.has(rtype::NS) && !self.has(rtype::SOA)
    }

    /// Whether a name with these types has none of this one, and no alias. The
    /// side above a zone cut speaks for DS only, the side below for all others.
    pub(super) fn lack(&self, qtype: u16, name_is_root: bool) -> bool {
        let right_side = match qtype {
            rtype::DS => !self.has(rtype::SOA) || name_is_root,
            _ => !self.is_delegation(),
        };
        right_side && !self.has(qtype) && !self.has(rtype::CNAME)
    }
}

/// An NSEC record.
#[derive(Debug)]
pub(super) struct Nsec {
    owner: Box<[u8]>,
    next: Vec<u8>,
    types: Types,
}

impl Nsec {
    /// Reads a set of one NSEC record in the zone `apex`.
    pub(super) fn read(set: &Set, apex: &[u8]) -> Option<Self> {
        let [data] = &set.data[..] else { return None };
        let mut next = WireName::ROOT;
        let end = next.read_plain(data, 0).ok()?;
        let types = Types::read(&data[end..])?;
        let inside = is_within(&set.owner, apex) && is_within(next.as_wire(), apex);
        inside.then(|| Nsec { owner: set.owner.clone(), next: next.as_wire().to_vec(), types })
    }

    /// Whether the name lies in the gap behind the owner. The gap of the last
    /// record ends at the apex, which is its next name.
    fn covers(&self, name: &[u8], apex: &[u8]) -> bool {
        let behind = compare(&self.owner, name) == Ordering::Less;
        let before = self.next == apex || compare(name, &self.next) == Ordering::Less;
        behind && before && !self.hides(name)
    }

    /// What is below a zone cut or a DNAME is not in the zone, so the record
    /// says nothing about it (RFC 6840 section 4.1).
    fn hides(&self, name: &[u8]) -> bool {
        is_below(name, &self.owner) && (self.types.is_delegation() || self.types.has(rtype::DNAME))
    }

    /// The name has nothing, but there is something below it.
    fn shows_empty(&self, name: &[u8], apex: &[u8]) -> bool {
        self.covers(name, apex) && is_below(&self.next, name)
    }

    fn shows_nothing(&self, name: &[u8], apex: &[u8]) -> bool {
        self.covers(name, apex) && !is_below(&self.next, name)
    }

    /// Labels of the longest ancestor of `name` that exists; `name` is covered.
    fn encloser(&self, name: &[u8]) -> usize {
        shared_labels(name, &self.owner).max(shared_labels(name, &self.next))
    }
}

/// The NSEC records of a message.
pub(super) struct Denial<'a> {
    pub(super) apex: &'a [u8],
    pub(super) records: Vec<Nsec>,
}

impl Denial<'_> {
    /// The name exists without the type.
    pub(super) fn lacks_type(&self, name: &[u8], qtype: u16) -> bool {
        self.has_without(name, qtype) || self.gap(name).is_some_and(|(_, star)| self.has_without(&star, qtype))
    }

    fn has_without(&self, name: &[u8], qtype: u16) -> bool {
        self.records.iter().any(|nsec| match *nsec.owner == *name {
            true => nsec.types.lack(qtype, labels(name) == 0),
            false => nsec.shows_empty(name, self.apex),
        })
    }

    /// Neither the name exists, nor a wildcard that would stand in for it.
    pub(super) fn lacks_name(&self, name: &[u8]) -> bool {
        self.gap(name).is_some_and(|(_, star)| self.records.iter().any(|nsec| nsec.shows_nothing(&star, self.apex)))
    }

    /// The name does not exist, so the wildcard below its ancestor of `encloser`
    /// labels may stand in for it.
    pub(super) fn lets_wildcard(&self, name: &[u8], encloser: usize) -> bool {
        self.gap(name).is_some_and(|(labels, _)| labels == encloser)
    }

    /// Labels of the closest encloser of a name that does not exist, and the
    /// wildcard there.
    fn gap(&self, name: &[u8]) -> Option<(usize, Vec<u8>)> {
        let nsec = self.records.iter().find(|nsec| nsec.shows_nothing(name, self.apex))?;
        let encloser = nsec.encloser(name);
        Some((encloser, wildcard(suffix(name, encloser))?))
    }

    /// The types at exactly this name, seen from its zone or the one above.
    pub(super) fn types_at(&self, name: &[u8]) -> Option<&Types> {
        self.records.iter().find(|nsec| *nsec.owner == *name).map(|nsec| &nsec.types)
    }

    /// The name does not exist; a wildcard may stand in for it.
    pub(super) fn is_gap(&self, name: &[u8]) -> bool {
        self.records.iter().any(|nsec| nsec.shows_nothing(name, self.apex))
    }

    /// The name is there and empty.
    pub(super) fn is_empty_name(&self, name: &[u8]) -> bool {
        self.records.iter().any(|nsec| nsec.shows_empty(name, self.apex))
    }
}
