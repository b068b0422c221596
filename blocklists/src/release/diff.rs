//! What a release would change, and how far that reaches. Pure.

use std::collections::{BTreeMap, HashSet};

use foldhash::HashMap;
use psl::Psl;
use serde::Serialize;
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::Scope;
use signed_list::name::Name;

use super::index::{Index, Indexed, Origin, What, what};
use super::select::Entry;

/// The most visited sites as shipped, one registered name a line.
const TOP_SITES: &str = include_str!("../../top-sites.txt");

/// What a release would change.
#[derive(Debug, Default, Serialize)]
pub struct Diff {
    /// Entries before and after.
    pub before: u64,
    /// See `before`.
    pub after: u64,
    /// For each category how many entries come, and how many go.
    pub categories: BTreeMap<String, Counts>,
    /// How far the entries reach that come.
    pub reach: Reach,
    /// For each feed how many of these come, and how many go: names of feeds are counted and not listed.
    pub feeds: BTreeMap<String, Counts>,
    /// Entries of the ledger that come, by case.
    pub added: Vec<Added>,
    /// Cases of entries that go.
    pub removed: Vec<String>,
}

/// How many entries come, and how many go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Entries that come.
    pub added: u64,
    /// Entries that go.
    pub removed: u64,
}

/// How far entries reach that come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Registered names with all below them.
    pub domains: u64,
    /// Names below a registered one, with all below them.
    pub subtrees: u64,
    /// Single names.
    pub exact: u64,
    /// Entries that are a top site, or a part of one.
    pub top_sites: u64,
}

/// An entry that comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Added {
    /// Its case.
    pub case: String,
    /// Its category.
    pub category: String,
    /// How far it reaches: `domain`, `subtree` or `exact`.
    pub reach: &'static str,
    /// The top site that it is, or lies below.
    pub top_site: Option<String>,
}

impl Diff {
    /// Between the release in force and what would be released.
    pub fn between(before: &Index, after: &Index, entries: &[Entry], categories: &[String], key: &DigestKey) -> Diff {
        let change = after.change(before);
        let tops: HashSet<Name> = TOP_SITES
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .filter_map(|line| Name::parse(line).ok())
            .collect();
        let category = |entry: &Indexed| {
            let name = categories.get(usize::from(entry.category));
            name.cloned().unwrap_or_else(|| "of an older scheme".to_owned())
        };
        let mut diff = Diff { before: before.len() as u64, after: after.len() as u64, ..Diff::default() };
        for indexed in &change.removed {
            diff.categories.entry(category(indexed)).or_default().removed += 1;
            match before.origin(indexed) {
                Origin::Case(case) => diff.removed.push(case.to_string()),
                Origin::Feed(feed) => diff.feeds.entry(feed.to_string()).or_default().removed += 1,
            }
        }
        let mut added: HashMap<What, &Indexed> = change.added.iter().map(|entry| (entry.what(), entry)).collect();
        let mut suffixes = Suffixes::new();
        for entry in entries {
            // Found once: what several bring is one entry.
            let Some(indexed) = added.remove(&what(entry, key, &mut suffixes)) else { continue };
            let reach = reach(&entry.name, entry.scope);
            *match reach {
                "domain" => &mut diff.reach.domains,
                "subtree" => &mut diff.reach.subtrees,
                _ => &mut diff.reach.exact,
            } += 1;
            let (category, top_site) = (category(indexed), top_site(&entry.name, &tops));
            diff.reach.top_sites += u64::from(top_site.is_some());
            diff.categories.entry(category.clone()).or_default().added += 1;
            match after.origin(indexed) {
                Origin::Case(case) => diff.added.push(Added { case: case.to_string(), category, reach, top_site }),
                Origin::Feed(feed) => diff.feeds.entry(feed.to_string()).or_default().added += 1,
            }
        }
        diff.removed.sort();
        diff.added.sort_by(|a, b| (b.top_site.is_some(), &a.case).cmp(&(a.top_site.is_some(), &b.case)));
        diff
    }
}

fn reach(name: &Name, scope: Scope) -> &'static str {
    if scope == Scope::Exact {
        return "exact";
    }
    let text = name.to_string();
    let registered = psl::List.domain(text.as_bytes()).is_none_or(|domain| domain.as_bytes() == text.as_bytes());
    if registered { "domain" } else { "subtree" }
}

fn top_site(name: &Name, tops: &HashSet<Name>) -> Option<String> {
    let above = std::iter::successors(Some(name.clone()), Name::parent);
    above.into_iter().find(|name| tops.contains(name)).map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(case: &str, name: &str, category: u8, scope: Scope) -> Entry {
        Entry { origin: Origin::Case(case.into()), name: Name::parse(name).unwrap(), scope, category }
    }

    #[test]
    fn a_diff_counts_by_category_and_reach_and_names_cases_only() {
        let key = DigestKey::new([3; 16]);
        let before = [entry("a/1", "old.test", 1, Scope::Subtree), entry("a/2", "stays.test", 0, Scope::Subtree)];
        let after = [
            entry("a/2", "stays.test", 0, Scope::Subtree),
            entry("a/3", "whole.co.uk", 0, Scope::Subtree),
            entry("a/4", "part.whole2.test", 0, Scope::Subtree),
            entry("a/5", "one.test", 1, Scope::Exact),
        ];
        let (old, new) = (Index::of(&before, &key), Index::of(&after, &key));
        let diff = Diff::between(&old, &new, &after, &["first".to_owned(), "second".to_owned()], &key);
        assert_eq!((diff.before, diff.after), (2, 4));
        assert_eq!(diff.categories["first"], Counts { added: 2, removed: 0 });
        assert_eq!(diff.categories["second"], Counts { added: 1, removed: 1 });
        assert_eq!(diff.reach, Reach { domains: 1, subtrees: 1, exact: 1, top_sites: 0 });
        assert_eq!(diff.removed, ["a/1"]);
        let text = serde_json::to_string(&diff).unwrap();
        assert!(!text.contains(".test") && !text.contains("co.uk"), "{text}");
    }

    #[test]
    fn parts_of_a_top_site_are_found() {
        let tops = HashSet::from([Name::parse("big.example").unwrap()]);
        let found = |name: &str| top_site(&Name::parse(name).unwrap(), &tops);
        assert_eq!(found("big.example").as_deref(), Some("big.example"));
        assert_eq!(found("user.pages.big.example").as_deref(), Some("big.example"));
        assert_eq!(found("notbig.example"), None);
    }
}
