//! Which entries a release holds, and where from: kept beside its list file, so that `diff` can say what a release
//! changes, `rollback` what an older one held, and the jump guard how much comes and goes.
//!
//! It holds no name, only digests, and under a key of its own which never changes: so releases of different epochs can
//! be compared. An entry stands for a case of the ledger or comes from a feed; a million entries of feeds take 16 octets
//! each in memory and 10 in the file.
//!
//! File: the mark, then the number of origins (4 octets, little-endian) and each of them (its length in 1 octet, and its
//! word), then the number of entries (8) and for each of them the digest (8), the category with 128 added if it covers
//! its name alone (1), and the number of its origin (7 bits an octet, the lowest first, 128 added if another follows).
//! Origins and entries ascend.

use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::HashMap;
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::Scope;

use super::select::Entry;

const MARK: &[u8; 8] = b"FWINDEX2";

/// In front of the name of a feed, where an origin is written: no case has a colon in its id.
const FEED: &str = "feed:";

/// Added to the category of an entry that covers its name alone; there are 63 categories at the most.
const EXACT: u8 = 0x80;

/// Where an entry comes from: a case of the ledger, or a feed. Cases come before feeds, so that of several origins of
/// one entry the case is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A case, by its id.
    Case(Arc<str>),
    /// A feed, by its name.
    Feed(Arc<str>),
}

impl Origin {
    /// In one word.
    pub fn word(&self) -> String {
        match self {
            Origin::Case(case) => case.to_string(),
            Origin::Feed(feed) => format!("{FEED}{feed}"),
        }
    }

    fn of_word(word: &str) -> Origin {
        match word.strip_prefix(FEED) {
            Some(feed) => Origin::Feed(feed.into()),
            None => Origin::Case(word.into()),
        }
    }

    /// The feed, if it is one.
    pub fn feed(&self) -> Option<&str> {
        match self {
            Origin::Feed(feed) => Some(feed),
            Origin::Case(_) => None,
        }
    }
}

/// The entries of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    origins: Vec<Origin>,
    entries: Vec<Indexed>,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Indexed {
    /// Digest of the name under the key of the index.
    pub digest: u64,
    /// Number of the category.
    pub category: u8,
    /// It covers its name alone.
    pub exact: bool,
    /// Number of its origin.
    origin: u32,
}

impl Indexed {
    /// What is blocked, wherever it comes from.
    pub fn what(&self) -> What {
        (self.digest, self.category, self.exact)
    }
}

/// What an entry blocks.
pub type What = (u64, u8, bool);

/// What an entry blocks, under the key of an index. `suffixes` is room to work in.
pub fn what(entry: &Entry, key: &DigestKey, suffixes: &mut Suffixes) -> What {
    key.suffixes(entry.name.as_wire(), suffixes);
    (suffixes.get(suffixes.labels()), entry.category, entry.scope == Scope::Exact)
}

/// What comes and what goes between two releases.
#[derive(Debug, Default)]
pub struct Change {
    /// In the new one only.
    pub added: Vec<Indexed>,
    /// In the old one only.
    pub removed: Vec<Indexed>,
}

impl Index {
    /// Of the entries of a release.
    pub fn of(entries: &[Entry], key: &DigestKey) -> Index {
        let mut numbers: HashMap<&Origin, u32> = HashMap::default();
        for entry in entries {
            numbers.entry(&entry.origin).or_default();
        }
        let mut origins: Vec<Origin> = numbers.keys().map(|origin| (*origin).clone()).collect();
        origins.sort_unstable();
        for (origin, number) in origins.iter().zip(0..) {
            if let Some(place) = numbers.get_mut(origin) {
                *place = number;
            }
        }
        let mut suffixes = Suffixes::new();
        let indexed = entries.iter().map(|entry| {
            let (digest, category, exact) = what(entry, key, &mut suffixes);
            Indexed { digest, category, exact, origin: numbers.get(&entry.origin).copied().unwrap_or_default() }
        });
        let mut indexed: Vec<Indexed> = indexed.collect();
        indexed.sort_unstable();
        indexed.dedup();
        drop(numbers);
        Index { origins, entries: indexed }
    }

    /// Keeps the entries that `self` holds: those of an older release that are still in force.
    pub fn retain(&self, entries: &mut Vec<Entry>, key: &DigestKey) {
        let mut suffixes = Suffixes::new();
        entries.retain(|entry| {
            let what = what(entry, key, &mut suffixes);
            self.entries.binary_search_by(|indexed| indexed.what().cmp(&what)).is_ok()
        });
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where an entry of this index comes from.
    pub fn origin(&self, entry: &Indexed) -> &Origin {
        &self.origins[entry.origin as usize]
    }

    /// Whether any of its entries comes from there.
    pub fn has_origin(&self, origin: &Origin) -> bool {
        self.origins.binary_search(origin).is_ok()
    }

    /// How many entries come from the ledger (`None`) and from each feed.
    pub fn count<'a>(&'a self, entries: &[Indexed]) -> HashMap<Option<&'a str>, u64> {
        let mut counts: Vec<u64> = vec![0; self.origins.len()];
        for entry in entries {
            counts[entry.origin as usize] += 1;
        }
        let mut sums = HashMap::default();
        for (origin, count) in self.origins.iter().zip(counts) {
            *sums.entry(origin.feed()).or_default() += count;
        }
        sums
    }

    /// How many come from each feed.
    pub fn count_feeds(&self, entries: &[Indexed]) -> Vec<(String, u64)> {
        let counts = self.count(entries).into_iter();
        counts.filter_map(|(feed, count)| Some((feed?.to_owned(), count)).filter(|(_, count)| *count > 0)).collect()
    }

    /// The same of all entries.
    pub fn count_all(&self) -> HashMap<Option<&str>, u64> {
        self.count(&self.entries)
    }

    /// What a release with these entries changes after one with `before`. A name that moves from one origin to another
    /// is no change: what is blocked stays the same.
    pub fn change(&self, before: &Index) -> Change {
        let mut change = Change::default();
        let (mut old, mut new) = (before.entries.as_slice(), self.entries.as_slice());
        loop {
            let order = match (old.first(), new.first()) {
                (None, None) => return change,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.what().cmp(&new.what()),
            };
            if order != Ordering::Greater {
                change.removed.extend(take(&mut old).filter(|_| order == Ordering::Less));
            }
            if order != Ordering::Less {
                change.added.extend(take(&mut new).filter(|_| order == Ordering::Greater));
            }
        }
    }

    /// The file.
    pub fn write(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(20 + self.origins.len() * 20 + self.entries.len() * 11);
        file.extend_from_slice(MARK);
        file.extend((self.origins.len() as u32).to_le_bytes());
        for origin in &self.origins {
            let word = origin.word();
            let word = &word.as_bytes()[..word.len().min(255)];
            file.push(word.len() as u8);
            file.extend_from_slice(word);
        }
        file.extend((self.entries.len() as u64).to_le_bytes());
        for Indexed { digest, category, exact, origin } in &self.entries {
            file.extend(digest.to_le_bytes());
            file.push(category | if *exact { EXACT } else { 0 });
            let mut rest = *origin;
            while rest >= 0x80 {
                file.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            file.push(rest as u8);
        }
        file
    }

    /// From the file; nothing if it is not one, or cut off.
    pub fn read(file: &[u8]) -> Option<Index> {
        let mut rest = file.strip_prefix(MARK)?;
        let count = u32::from_le_bytes(octets(&mut rest)?);
        let mut origins = Vec::with_capacity((count as usize).min(rest.len()));
        for _ in 0..count {
            let [length] = octets(&mut rest)?;
            let (word, after) = rest.split_at_checked(usize::from(length))?;
            origins.push(Origin::of_word(std::str::from_utf8(word).ok()?));
            rest = after;
        }
        let count = usize::try_from(u64::from_le_bytes(octets(&mut rest)?)).ok()?;
        let mut entries = Vec::with_capacity(count.min(rest.len() / 10));
        for _ in 0..count {
            let digest = u64::from_le_bytes(octets(&mut rest)?);
            let [category] = octets(&mut rest)?;
            let mut origin = 0u32;
            for shift in (0..32).step_by(7) {
                let [octet] = octets(&mut rest)?;
                origin |= u32::from(octet & 0x7f) << shift;
                if octet & 0x80 == 0 {
                    break;
                }
            }
            if origin as usize >= origins.len() {
                return None;
            }
            entries.push(Indexed { digest, category: category & !EXACT, exact: category & EXACT != 0, origin });
        }
        let good = rest.is_empty() && entries.is_sorted() && origins.is_sorted();
        good.then_some(Index { origins, entries })
    }
}

/// The next entry, and past all that block the same.
fn take(entries: &mut &[Indexed]) -> impl Iterator<Item = Indexed> + use<> {
    let first = entries.first().copied();
    while let (Some(next), Some(first)) = (entries.first(), &first)
        && next.what() == first.what()
    {
        *entries = &entries[1..];
    }
    first.into_iter()
}

fn octets<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (octets, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*octets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use signed_list::name::Name;

    use super::*;

    fn entry(case: &str, name: &str, category: u8, scope: Scope) -> Entry {
        Entry { origin: Origin::of_word(case), name: Name::parse(name).unwrap(), scope, category }
    }

    fn key() -> DigestKey {
        DigestKey::new([5; 16])
    }

    #[test]
    fn an_index_comes_back_as_it_went_and_a_cut_one_does_not() {
        let mut entries = vec![entry("c-1", "a.test", 0, Scope::Subtree), entry("feed:x", "b.test", 3, Scope::Exact)];
        for number in 0..300 {
            entries.push(entry(&format!("c/{number}"), &format!("n{number}.test"), 0, Scope::Subtree));
        }
        let index = Index::of(&entries, &key());
        let file = index.write();
        assert_eq!(Index::read(&file), Some(index));
        for length in 0..file.len() {
            assert_eq!(Index::read(&file[..length]), None);
        }
    }

    #[test]
    fn entries_of_feeds_are_small_and_counted_by_feed() {
        let mut entries: Vec<Entry> =
            (0..1000).map(|n| entry("feed:one", &format!("n{n}.test"), 0, Scope::Subtree)).collect();
        entries.push(entry("c/1", "n1.test", 0, Scope::Subtree));
        entries.push(entry("feed:two", "x.test", 0, Scope::Subtree));
        let index = Index::of(&entries, &key());
        assert!(index.write().len() < 10_100, "{}", index.write().len());
        let counts = index.count_all();
        assert_eq!((counts[&None], counts[&Some("one")], counts[&Some("two")]), (1, 1000, 1));
        // Of several origins of one entry the case is told.
        let change = index.change(&Index::default());
        assert_eq!(change.added.len(), 1001);
        assert!(change.added.iter().any(|entry| index.origin(entry) == &Origin::Case("c/1".into())));
    }

    #[test]
    fn a_change_is_told_by_what_is_blocked_and_not_by_case() {
        let before = Index::of(
            &[
                entry("c-1", "a.test", 0, Scope::Subtree),
                entry("c-2", "b.test", 0, Scope::Subtree),
                entry("c-3", "c.test", 0, Scope::Exact),
            ],
            &key(),
        );
        let after = Index::of(
            &[
                entry("feed:c-9", "a.test", 0, Scope::Subtree),
                entry("c-8", "a.test", 0, Scope::Subtree),
                entry("c-3", "c.test", 0, Scope::Subtree),
                entry("c-4", "d.test", 1, Scope::Subtree),
            ],
            &key(),
        );
        let change = after.change(&before);
        let cases = |index: &Index, entries: &[Indexed]| {
            let mut cases: Vec<String> = entries.iter().map(|entry| index.origin(entry).word()).collect();
            cases.sort();
            cases
        };
        assert_eq!(cases(&after, &change.added), ["c-3", "c-4"]);
        assert_eq!(cases(&before, &change.removed), ["c-2", "c-3"]);
    }

    #[test]
    fn an_older_release_keeps_what_is_still_in_force() {
        let old = Index::of(&[entry("1", "a.test", 0, Scope::Subtree), entry("2", "b.test", 0, Scope::Exact)], &key());
        let mut now = vec![
            entry("1", "a.test", 0, Scope::Subtree),
            entry("3", "c.test", 0, Scope::Subtree),
            entry("2", "b.test", 1, Scope::Exact),
        ];
        old.retain(&mut now, &key());
        assert_eq!(now.iter().map(|entry| entry.origin.word()).collect::<Vec<_>>(), ["1"]);
    }

    proptest! {
        #[test]
        fn any_octets_are_harmless(file in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Index::read(&[&MARK[..], &file].concat());
        }

        #[test]
        fn a_change_is_the_difference_of_sets(
            before in prop::collection::btree_set(0u32..30, 0..20),
            after in prop::collection::btree_set(0u32..30, 0..20),
        ) {
            let index = |numbers: &std::collections::BTreeSet<u32>| {
                let entries: Vec<Entry> = numbers
                    .iter()
                    .map(|number| entry(&number.to_string(), &format!("n{number}.test"), 0, Scope::Subtree))
                    .collect();
                Index::of(&entries, &key())
            };
            let (old, new) = (index(&before), index(&after));
            let change = new.change(&old);
            let cases = |index: &Index, entries: &[Indexed]| {
                let numbers = entries.iter().map(|entry| index.origin(entry).word().parse::<u32>().unwrap());
                numbers.collect::<std::collections::BTreeSet<_>>()
            };
            prop_assert_eq!(cases(&new, &change.added), after.difference(&before).copied().collect());
            prop_assert_eq!(cases(&old, &change.removed), before.difference(&after).copied().collect());
        }
    }
}
