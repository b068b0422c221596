//! Which entries a release holds, by case: kept beside its list file, so that `diff` can say what a release changes,
//! `rollback` what an older one held, and the jump guard how much comes and goes.
//!
//! It holds no name, only digests, and under a key of its own which never changes: so releases of different epochs can
//! be compared. File: the mark, then the number of entries (8 octets, little-endian), then for each of them the digest
//! (8), category (1), scope (1: 0 subtree, 1 exact), length of the case (1) and the case; ascending.

use std::cmp::Ordering;

use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::Scope;

use super::select::Entry;

const MARK: &[u8; 8] = b"FWINDEX1";

/// The entries of a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    entries: Vec<Indexed>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Indexed {
    /// Digest of the name under the key of the index.
    pub digest: u64,
    /// Number of the category.
    pub category: u8,
    /// It covers its name alone.
    pub exact: bool,
    /// The case it stands for.
    pub case: String,
}

impl Indexed {
    /// What is blocked, whatever case it stands for.
    fn what(&self) -> (u64, u8, bool) {
        (self.digest, self.category, self.exact)
    }
}

/// What comes and what goes between two releases.
#[derive(Debug, Default)]
pub struct Change<'a> {
    /// In the new one only.
    pub added: Vec<&'a Indexed>,
    /// In the old one only.
    pub removed: Vec<&'a Indexed>,
}

impl Index {
    /// Of the entries of a release.
    pub fn of(entries: &[Entry], key: &DigestKey) -> Index {
        let mut suffixes = Suffixes::new();
        let mut indexed: Vec<Indexed> = entries
            .iter()
            .map(|entry| {
                key.suffixes(entry.name.as_wire(), &mut suffixes);
                Indexed {
                    digest: suffixes.get(suffixes.labels()),
                    category: entry.category,
                    exact: entry.scope == Scope::Exact,
                    case: entry.case.clone(),
                }
            })
            .collect();
        indexed.sort_unstable();
        indexed.dedup();
        Index { entries: indexed }
    }

    /// Keeps the entries that `self` holds: those of an older release that are still in force.
    pub fn retain(&self, entries: &mut Vec<Entry>, key: &DigestKey) {
        let mut suffixes = Suffixes::new();
        entries.retain(|entry| {
            key.suffixes(entry.name.as_wire(), &mut suffixes);
            let what = (suffixes.get(suffixes.labels()), entry.category, entry.scope == Scope::Exact);
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

    /// What a release with these entries changes after one with `before`. A name that moves from one case to another
    /// is no change: what is blocked stays the same.
    pub fn change<'a>(&'a self, before: &'a Index) -> Change<'a> {
        let mut change = Change::default();
        let (mut old, mut new) = (before.entries.iter().peekable(), self.entries.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return change,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.what().cmp(&new.what()),
            };
            let what = match order {
                Ordering::Less => old.peek().map(|entry| entry.what()),
                _ => new.peek().map(|entry| entry.what()),
            };
            // All cases of the same thing are one entry.
            let take = |entries: &mut std::iter::Peekable<std::slice::Iter<'a, Indexed>>| {
                let mut first = None;
                while let Some(entry) = entries.next_if(|entry| Some(entry.what()) == what) {
                    first.get_or_insert(entry);
                }
                first
            };
            match order {
                Ordering::Less => change.removed.extend(take(&mut old)),
                Ordering::Greater => change.added.extend(take(&mut new)),
                Ordering::Equal => {
                    take(&mut old);
                    take(&mut new);
                }
            }
        }
    }

    /// The file.
    pub fn write(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(16 + self.entries.len() * 28);
        file.extend_from_slice(MARK);
        file.extend((self.entries.len() as u64).to_le_bytes());
        for Indexed { digest, category, exact, case } in &self.entries {
            file.extend(digest.to_le_bytes());
            let case = &case.as_bytes()[..case.len().min(255)];
            file.extend([*category, u8::from(*exact), case.len() as u8]);
            file.extend_from_slice(case);
        }
        file
    }

    /// From the file; nothing if it is not one, or cut off.
    pub fn read(file: &[u8]) -> Option<Index> {
        let (mark, rest) = file.split_first_chunk::<8>()?;
        let (count, mut rest) = rest.split_first_chunk::<8>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        if mark != MARK || count > rest.len() / 11 {
            return None;
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let (digest, after) = rest.split_first_chunk::<8>()?;
            let ([category, exact, length], after) = after.split_first_chunk::<3>()?;
            let (case, after) = after.split_at_checked(usize::from(*length))?;
            entries.push(Indexed {
                digest: u64::from_le_bytes(*digest),
                category: *category,
                exact: *exact != 0,
                case: String::from_utf8(case.to_vec()).ok()?,
            });
            rest = after;
        }
        (rest.is_empty() && entries.is_sorted()).then_some(Index { entries })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use signed_list::name::Name;

    use super::*;

    fn entry(case: &str, name: &str, category: u8, scope: Scope) -> Entry {
        Entry { case: case.to_owned(), name: Name::parse(name).unwrap(), scope, category }
    }

    fn key() -> DigestKey {
        DigestKey::new([5; 16])
    }

    #[test]
    fn an_index_comes_back_as_it_went_and_a_cut_one_does_not() {
        let entries = [entry("c-1", "a.test", 0, Scope::Subtree), entry("c-2", "b.test", 3, Scope::Exact)];
        let index = Index::of(&entries, &key());
        let file = index.write();
        assert_eq!(Index::read(&file), Some(index));
        for length in 0..file.len() {
            assert_eq!(Index::read(&file[..length]), None);
        }
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
                entry("c-9", "a.test", 0, Scope::Subtree),
                entry("c-8", "a.test", 0, Scope::Subtree),
                entry("c-3", "c.test", 0, Scope::Subtree),
                entry("c-4", "d.test", 1, Scope::Subtree),
            ],
            &key(),
        );
        let change = after.change(&before);
        let cases = |entries: &[&Indexed]| {
            let mut cases: Vec<String> = entries.iter().map(|entry| entry.case.clone()).collect();
            cases.sort();
            cases
        };
        assert_eq!(cases(&change.added), ["c-3", "c-4"]);
        assert_eq!(cases(&change.removed), ["c-2", "c-3"]);
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
        assert_eq!(now.iter().map(|entry| entry.case.as_str()).collect::<Vec<_>>(), ["1"]);
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
            let cases = |entries: &[&Indexed]| {
                entries.iter().map(|entry| entry.case.parse::<u32>().unwrap()).collect::<std::collections::BTreeSet<_>>()
            };
            prop_assert_eq!(cases(&change.added), after.difference(&before).copied().collect());
            prop_assert_eq!(cases(&change.removed), before.difference(&after).copied().collect());
        }
    }
}
