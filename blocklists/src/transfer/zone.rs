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
}

impl<R: BufRead> Iterator for Owners<R> {
    type Item = io::Result<Owner>;

    fn next(&mut self) -> Option<io::Result<Owner>> {
        loop {
            self.line.clear();
            match self.lines.read_line(&mut self.line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            let line = self.line.trim_end();
            if line.starts_with([';', '$', '@']) || line.is_empty() {
                continue;
            }
            let Some(owner) = line.strip_suffix(" CNAME .") else {
                return Some(Err(io::Error::other("a line of it is not one that this program writes")));
            };
            let (name, below) = owner.strip_prefix("*.").map_or((owner, false), |name| (name, true));
            return Some(Name::parse(name).map(|name| Owner { name, below }).map_err(io::Error::other));
        }
    }
}

/// Which side of a comparison is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What only the older version has.
    Removed,
    /// What only the newer version has.
    Added,
}

/// What differs between two versions, in one pass over both.
pub struct Changes<A: Iterator, B: Iterator> {
    old: std::iter::Peekable<A>,
    new: std::iter::Peekable<B>,
    side: Side,
}

impl<A, B> Changes<A, B>
where
    A: Iterator<Item = io::Result<Owner>>,
    B: Iterator<Item = io::Result<Owner>>,
{
    /// The owners that stand on one side only.
    pub fn new(old: A, new: B, side: Side) -> Changes<A, B> {
        Changes { old: old.peekable(), new: new.peekable(), side }
    }
}

impl<A, B> Iterator for Changes<A, B>
where
    A: Iterator<Item = io::Result<Owner>>,
    B: Iterator<Item = io::Result<Owner>>,
{
    type Item = io::Result<Owner>;

    fn next(&mut self) -> Option<io::Result<Owner>> {
        loop {
            let order = match (self.old.peek(), self.new.peek()) {
                (None, None) => return None,
                (Some(Err(_)), _) => return self.old.next(),
                (_, Some(Err(_))) => return self.new.next(),
                (Some(Ok(_)), None) => Ordering::Less,
                (None, Some(Ok(_))) => Ordering::Greater,
                (Some(Ok(old)), Some(Ok(new))) => old.cmp(new),
            };
            let found = match order {
                Ordering::Less => self.old.next().filter(|_| self.side == Side::Removed),
                Ordering::Greater => self.new.next().filter(|_| self.side == Side::Added),
                Ordering::Equal => {
                    self.old.next();
                    self.new.next();
                    None
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }
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
        let changes = |side| {
            let changes = Changes::new(Owners::new(old.as_bytes()), Owners::new(new.as_bytes()), side);
            changes.map(|owner| owner.unwrap()).map(|o| (o.name.to_string(), o.below)).collect::<Vec<_>>()
        };
        assert_eq!(changes(Side::Removed), [("b.test".to_owned(), false), ("b.test".to_owned(), true)]);
        assert_eq!(changes(Side::Added), [("a.test".to_owned(), true), ("d.test".to_owned(), false)]);
    }

    #[test]
    fn a_line_of_somebody_else_stops_the_reading() {
        let text = zone(1, &[("a.test", Scope::Exact)]) + "b.test A 192.0.2.1\n";
        assert!(Owners::new(text.as_bytes()).nth(1).unwrap().is_err());
    }
}
