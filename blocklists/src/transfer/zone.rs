//! A response policy zone as text: made from the entries of a release, and read back line by line.
//!
//! The records stand in the order of DNSSEC, a name before everything below it, so that two versions are compared in
//! one pass over both, and a zone of a million names takes no memory. The text names no zone: it can be loaded under
//! any name.
//!
//! What a listed name already covers is left out. In DNS a name below a wildcard hides that wildcard from everything
//! next to it (RFC 4592 section 2.2.2): a second entry there would open a hole in the first.

use std::cmp::Ordering;
use std::fmt::Write;
use std::io::{self, BufRead};

use signed_list::list::Scope;
use signed_list::name::Name;

/// How long a subscriber keeps an answer that is made from a record.
pub const TTL: u32 = 60;
/// Seconds between two looks of a subscriber that hears no NOTIFY.
pub const REFRESH: u32 = 300;
/// Seconds after which it tries again.
pub const RETRY: u32 = 60;
/// Seconds after which it may forget the zone: a week.
pub const EXPIRE: u32 = 604_800;

/// What the head of a zone says.
pub struct Head<'a> {
    /// Class or category.
    pub list: &'a str,
    /// The scheme, for people.
    pub scheme: &'a str,
    /// Serial of the release.
    pub serial: u64,
    /// When it was made, for people.
    pub created: &'a str,
}

/// The serial of a release as that of a zone. They begin at 1 and do not reach 2^32.
pub fn soa_serial(serial: u64) -> u32 {
    serial as u32
}

/// Writes a zone.
pub fn write<'a>(entries: impl Iterator<Item = (&'a Name, Scope)>, head: &Head<'_>) -> String {
    let mut entries: Vec<_> = entries.collect();
    // Of a name that is listed twice, the wider scope first.
    entries.sort_by(|(a, one), (b, other)| a.cmp(b).then((*one == Scope::Exact).cmp(&(*other == Scope::Exact))));
    let mut covered: Option<&Name> = None;
    let mut before: Option<&Name> = None;
    entries.retain(|(name, scope)| {
        if covered.is_some_and(|above| name.is_same_or_below(above)) || before == Some(name) {
            return false;
        }
        before = Some(name);
        if *scope == Scope::Subtree {
            covered = Some(name);
        }
        true
    });
    let Head { list, scheme, serial, created } = head;
    let mut text = String::with_capacity(256 + 64 * entries.len());
    let _ = write!(
        text,
        "; The open list \"{list}\" of {scheme} as a response policy zone (RPZ).\n\
         ; Release {serial}, {created}, {} names. Load it under any zone name; serve it with\n\
         ; `friendly-blocklist serve --zones`, or any name server.\n\
         $TTL {TTL}\n\
         @ IN SOA localhost. hostmaster.localhost. {} {REFRESH} {RETRY} {EXPIRE} {TTL}\n\
         @ IN NS localhost.\n",
        entries.len(),
        soa_serial(*serial),
    );
    for (name, scope) in entries {
        let _ = writeln!(text, "{name} CNAME .");
        if scope == Scope::Subtree {
            let _ = writeln!(text, "*.{name} CNAME .");
        }
    }
    text
}

/// The owner of a record, without the name of its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The name.
    pub name: Name,
    /// It stands for what is below the name (`*.name`).
    pub below: bool,
}

impl Ord for Owner {
    fn cmp(&self, other: &Owner) -> Ordering {
        self.name.cmp(&other.name).then(self.below.cmp(&other.below))
    }
}

impl PartialOrd for Owner {
    fn partial_cmp(&self, other: &Owner) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reads the owners of a zone that [`write()`] wrote.
pub struct Owners<R> {
    lines: R,
    line: String,
}

impl<R: BufRead> Owners<R> {
    /// From its first line on.
    pub fn new(lines: R) -> Owners<R> {
        Owners { lines, line: String::new() }
    }

    /// Goes on to the next record; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            self.line.clear();
            if self.lines.read_line(&mut self.line)? == 0 {
                return Ok(false);
            }
            if !self.line.starts_with([';', '$', '@', '\n']) {
                return Ok(true);
            }
        }
    }

    /// The owner of the record.
    fn owner(&self) -> io::Result<Owner> {
        let owner = self.line.trim_end().strip_suffix(" CNAME .");
        let owner = owner.ok_or_else(|| io::Error::other("a line of it is not one that this program writes"))?;
        let (name, below) = owner.strip_prefix("*.").map_or((owner, false), |name| (name, true));
        Ok(Owner { name: Name::parse(name).map_err(io::Error::other)?, below })
    }
}

impl<R: BufRead> Iterator for Owners<R> {
    type Item = io::Result<Owner>;

    fn next(&mut self) -> Option<io::Result<Owner>> {
        match self.advance() {
            Ok(true) => Some(self.owner()),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// What differs between two versions.
#[derive(Debug, Default)]
pub struct Changes {
    /// What only the older one has.
    pub removed: Vec<Owner>,
    /// What only the newer one has.
    pub added: Vec<Owner>,
    /// Records of the newer one.
    pub records: usize,
}

/// Compares two versions in one pass over both; `None` if they differ in more than `most` records.
pub fn changes<A: BufRead, B: BufRead>(
    mut old: Owners<A>,
    mut new: Owners<B>,
    most: usize,
) -> io::Result<Option<Changes>> {
    let mut changes = Changes::default();
    let (mut older, mut newer) = (old.advance()?, new.advance()?);
    while older || newer {
        let order = match (older, newer) {
            (_, false) => Ordering::Less,
            (false, _) => Ordering::Greater,
            // Nearly all of them: nothing has to be read closer.
            _ if old.line == new.line => Ordering::Equal,
            _ => old.owner()?.cmp(&new.owner()?),
        };
        match order {
            Ordering::Less => changes.removed.push(old.owner()?),
            Ordering::Greater => changes.added.push(new.owner()?),
            Ordering::Equal => {}
        }
        if order.is_le() {
            older = old.advance()?;
        }
        if order.is_ge() {
            newer = new.advance()?;
            changes.records += 1;
        }
        if changes.removed.len() + changes.added.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(changes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Format;
    use crate::intake::tests::read;

    fn zone(serial: u64, entries: &[(&str, Scope)]) -> String {
        let entries: Vec<_> = entries.iter().map(|(name, scope)| (Name::parse(name).unwrap(), *scope)).collect();
        let head = Head { list: "malware", scheme: "a test", serial, created: "today" };
        write(entries.iter().map(|(name, scope)| (name, *scope)), &head)
    }

    fn owners(text: &str) -> Vec<String> {
        let owners = Owners::new(text.as_bytes()).map(Result::unwrap);
        owners.map(|owner| format!("{}{}", if owner.below { "*." } else { "" }, owner.name)).collect()
    }

    #[test]
    fn a_zone_is_read_back_here_and_by_the_intake() {
        use Scope::{Exact, Subtree};
        let text = zone(7, &[("b.test", Subtree), ("a.test", Exact), ("x.b.test", Exact), ("b.test", Exact)]);
        assert_eq!(owners(&text), ["a.test", "b.test", "*.b.test"], "{text}");
        assert_eq!(read(Format::Rpz, &text), ["=a.test", "=b.test", "b.test"]);
        assert!(text.contains("@ IN SOA localhost. hostmaster.localhost. 7 300 60 604800 60\n"), "{text}");
        assert!(text.contains("Release 7, today, 2 names"), "{text}");
    }

    #[test]
    fn a_name_below_a_listed_one_opens_no_hole_in_it() {
        use Scope::{Exact, Subtree};
        let text = zone(1, &[("x.a.test", Exact), ("a.test", Subtree), ("y.x.a.test", Subtree), ("xa.test", Exact)]);
        assert_eq!(owners(&text), ["a.test", "*.a.test", "xa.test"]);
    }

    #[test]
    fn changes_are_found_in_one_pass() {
        use Scope::{Exact, Subtree};
        let old = zone(1, &[("a.test", Exact), ("b.test", Subtree), ("c.example", Exact)]);
        let new = zone(2, &[("a.test", Subtree), ("c.example", Exact), ("d.test", Exact)]);
        let compare = |most| changes(Owners::new(old.as_bytes()), Owners::new(new.as_bytes()), most).unwrap();
        let found = compare(4).unwrap();
        let short = |owners: &[Owner]| owners.iter().map(|o| (o.name.to_string(), o.below)).collect::<Vec<_>>();
        assert_eq!(short(&found.removed), [("b.test".to_owned(), false), ("b.test".to_owned(), true)]);
        assert_eq!(short(&found.added), [("a.test".to_owned(), true), ("d.test".to_owned(), false)]);
        assert_eq!(found.records, 4);
        assert!(compare(3).is_none());
    }

    #[test]
    fn a_line_of_somebody_else_stops_the_reading() {
        let text = zone(1, &[("a.test", Scope::Exact)]) + "b.test A 192.0.2.1\n";
        assert!(Owners::new(text.as_bytes()).nth(1).unwrap().is_err());
    }
}
