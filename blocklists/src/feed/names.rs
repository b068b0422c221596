//! What a list comes to: the names that passed, in one order and one form, so that the same list always has the same
//! hash. Pure.
//!
//! File: one entry a line, ascending by labels from right to left; `=` in front says that it covers the name alone. What
//! comes twice or lies below a name that is listed with all below it is left out.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use foldhash::HashSet;
use signed_list::list::Scope;
use signed_list::name::Name;

/// Names as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(String);

/// Collects names while a list is read.
#[derive(Debug, Default)]
pub struct Collector {
    /// Labels from right to left with a NUL behind each, then the scope: so sorted, everything below a name follows it.
    keys: Vec<Box<[u8]>>,
}

/// In a key behind the name: with all below it, or the name alone. A NUL sorts before every label.
const SUBTREE: u8 = 0;
const EXACT: u8 = 1;

impl Collector {
    /// Adds a name.
    pub fn push(&mut self, name: &Name, scope: Scope) {
        let mut labels: [&[u8]; 128] = [b""; 128];
        let mut count = 0;
        for label in name.iter() {
            labels[count] = label;
            count += 1;
        }
        let mut key = Vec::with_capacity(name.as_wire().len() + 1);
        for label in labels[..count].iter().rev() {
            key.extend_from_slice(label);
            key.push(0);
        }
        key.push(if scope == Scope::Exact { EXACT } else { SUBTREE });
        self.keys.push(key.into());
    }

    /// The names, and how many lay below another or came twice.
    pub fn finish(mut self) -> (Names, u64) {
        self.keys.sort_unstable();
        let mut text = String::with_capacity(self.keys.iter().map(|key| key.len()).sum());
        let (mut left_out, mut above, mut before) = (0, None::<&[u8]>, None::<&[u8]>);
        for key in &self.keys {
            let Some((scope, name)) = key.split_last() else { continue };
            // With the NUL behind its last label, so that `name.test` is no beginning of `name-2.test`.
            if before == Some(name) || above.is_some_and(|above| name.starts_with(above)) {
                left_out += 1;
                continue;
            }
            before = Some(name);
            if *scope == SUBTREE {
                above = Some(name);
            } else {
                text.push('=');
            }
            let mut labels = name.split(|octet| *octet == 0).rev().skip(1).peekable();
            while let Some(label) = labels.next() {
                text.push_str(&String::from_utf8_lossy(label)); // names of lists are letters, digits, - and _
                text.push(if labels.peek().is_some() { '.' } else { '\n' });
            }
        }
        (Names(text), left_out)
    }
}

impl Names {
    /// From the file; the error is the number of the line that is wrong.
    pub fn read(text: String) -> Result<Names, usize> {
        for (line, number) in text.lines().zip(1..) {
            if Name::parse(line.strip_prefix('=').unwrap_or(line)).is_err() {
                return Err(number);
            }
        }
        Ok(Names(text))
    }

    /// The file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// BLAKE3 hash of the file, in hexadecimal digits.
    pub fn hash(&self) -> String {
        blake3::hash(self.0.as_bytes()).to_hex().to_string()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.bytes().filter(|octet| *octet == b'\n').count() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Name, Scope)> {
        self.0.lines().filter_map(|line| {
            let (text, scope) = match line.strip_prefix('=') {
                Some(text) => (text, Scope::Exact),
                None => (line, Scope::Subtree),
            };
            Some((Name::parse(text).ok()?, scope))
        })
    }

    /// How many come and how many go after `before`.
    pub fn change(&self, before: &Names) -> (u64, u64) {
        let (mut added, mut removed) = (0, 0);
        let (mut old, mut new) = (before.0.lines().peekable(), self.0.lines().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return (added, removed),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => order(old, new),
            };
            if order != Ordering::Greater {
                old.next();
                removed += u64::from(order == Ordering::Less);
            }
            if order != Ordering::Less {
                new.next();
                added += u64::from(order == Ordering::Greater);
            }
        }
    }
}

/// The order of the lines of the file.
fn order(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let mark = |line: &str| usize::from(line.starts_with('='));
    let (left, right) = (&a[mark(a)..], &b[mark(b)..]);
    left.rsplit('.').cmp(right.rsplit('.')).then(mark(a).cmp(&mark(b)))
}

/// Names that a feed may not block, whatever it lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Names alone, and names with all below them.
    names: BTreeSet<(String, bool)>,
}

/// The same, ready to be asked.
pub struct Free {
    /// Names that stay free.
    names: HashSet<Box<[u8]>>,
    /// Names above one that stays free: blocked with all below, they would block it.
    above: HashSet<Box<[u8]>>,
    /// Names that stay free with all below them.
    trees: HashSet<Box<[u8]>>,
}

impl Allowed {
    /// Reads a file of names: one a line, `#` begins a comment; the error is a line that is wrong.
    pub fn read(text: &str) -> Result<Allowed, (usize, &str)> {
        let mut allowed = Allowed::default();
        for (line, number) in text.lines().zip(1..) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let bare = line.strip_prefix("*.").unwrap_or(line);
            let name = Name::parse(bare).ok().filter(|name| !name.is_root()).ok_or((number, line))?;
            allowed.names.insert((name.to_string(), bare != line));
        }
        Ok(allowed)
    }

    /// Adds all of another.
    pub fn add_all(&mut self, other: &Allowed) {
        self.names.extend(other.names.iter().cloned());
    }

    /// Adds a name alone.
    pub fn add(&mut self, name: &Name) {
        self.names.insert((name.to_string(), false));
    }

    /// What tells two of them apart.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (name, tree) in &self.names {
            hasher.update(name.as_bytes());
            hasher.update(if *tree { b"*" } else { b"\n" });
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Makes it ready to be asked.
    pub fn free(&self) -> Free {
        let mut free = Free { names: HashSet::default(), above: HashSet::default(), trees: HashSet::default() };
        for (text, tree) in &self.names {
            let Ok(name) = Name::parse(text) else { continue };
            let mut parent = name.parent();
            while let Some(above) = parent.filter(|above| !above.is_root()) {
                free.above.insert(above.as_wire().into());
                parent = above.parent();
            }
            let set = if *tree { &mut free.trees } else { &mut free.names };
            set.insert(name.as_wire().into());
        }
        free
    }
}

impl Free {
    /// Whether an entry would block a name that stays free.
    pub fn covers(&self, name: &Name, scope: Scope) -> bool {
        let wire = name.as_wire();
        if self.names.contains(wire) || scope == Scope::Subtree && self.above.contains(wire) {
            return true;
        }
        let mut rest = wire;
        while !self.trees.is_empty() && rest.len() > 1 {
            if self.trees.contains(rest) {
                return true;
            }
            rest = &rest[1 + usize::from(rest[0])..];
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(names: &[&str]) -> (Names, u64) {
        let mut collector = Collector::default();
        for name in names {
            match name.strip_prefix('=') {
                Some(name) => collector.push(&Name::parse(name).unwrap(), Scope::Exact),
                None => collector.push(&Name::parse(name).unwrap(), Scope::Subtree),
            }
        }
        collector.finish()
    }

    #[test]
    fn names_are_sorted_and_what_is_covered_is_left_out() {
        let (names, left_out) = collect(&[
            "b.test",
            "a.b.test",
            "=c.b.test",
            "b-c.test",
            "=d.test",
            "x.d.test",
            "=d.test",
            "a.example",
            "d.test",
        ]);
        assert_eq!(names.as_str(), "a.example\nb.test\nb-c.test\nd.test\n");
        assert_eq!((names.len(), left_out), (4, 5));
        let (names, _) = collect(&["=d.test", "x.d.test"]);
        assert_eq!(names.as_str(), "=d.test\nx.d.test\n");
        assert_eq!(Names::read(names.as_str().to_owned()), Ok(names));
        assert_eq!(Names::read("a.test\n\nb.test\n".to_owned()), Err(2));
    }

    #[test]
    fn what_is_allowed_takes_off_every_entry_that_would_block_it() {
        let free = Allowed::read("# over-blocked\nwww.good.test  # a school\n*.all.test\n").unwrap().free();
        for (name, scope, covered) in [
            ("www.good.test", Scope::Subtree, true),
            ("www.good.test", Scope::Exact, true),
            ("good.test", Scope::Subtree, true),
            ("good.test", Scope::Exact, false),
            ("ads.www.good.test", Scope::Subtree, false),
            ("other.test", Scope::Subtree, false),
            ("all.test", Scope::Exact, true),
            ("x.y.all.test", Scope::Exact, true),
            ("notall.test", Scope::Exact, false),
            ("test", Scope::Subtree, true),
        ] {
            assert_eq!(free.covers(&Name::parse(name).unwrap(), scope), covered, "{name} {scope:?}");
        }
        assert_eq!(Allowed::read("fine.test\nno name\n"), Err((2, "no name")));
        assert_ne!(Allowed::read("a.test").unwrap().hash(), Allowed::read("*.a.test").unwrap().hash());
    }

    proptest! {
        #[test]
        fn the_order_of_a_list_does_not_matter_and_a_change_is_the_difference_of_sets(
            before in prop::collection::vec("=?[ab-]{1,2}(\\.[ab]){0,2}\\.test", 0..12),
            after in prop::collection::vec("=?[ab-]{1,2}(\\.[ab]){0,2}\\.test", 0..12),
        ) {
            let names = |list: &[String]| collect(&list.iter().map(String::as_str).collect::<Vec<_>>()).0;
            let mut back = after.clone();
            back.reverse();
            prop_assert_eq!(names(&after), names(&back));
            let (old, new) = (names(&before), names(&after));
            let (a, b): (BTreeSet<&str>, BTreeSet<&str>) = (old.as_str().lines().collect(), new.as_str().lines().collect());
            prop_assert_eq!(new.change(&old), (b.difference(&a).count() as u64, a.difference(&b).count() as u64));
        }
    }
}
