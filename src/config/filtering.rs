//! What is filtered for whom: lists, categories and policies from the tables of
//! the file, checked against each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::check::{plain, start};
use super::error::{Report, nearest};
use super::shape::{self, At, Table};
use super::value::{FilePath, LABEL_RULE, Label, Text, is_label};
use super::{BlockAnswer, Category, Layer, MAX_CATEGORIES, Policy, Rule, Search, YouTube};

/// Categories of a file that defines none.
const STANDARD: [(&str, Layer); 6] = [
    ("csam", Layer::Legal),
    ("malware", Layer::Operator),
    ("phishing", Layer::Operator),
    ("bypass", Layer::Operator),
    ("adult", Layer::Family),
    ("gambling", Layer::Family),
];

/// Every client.
const EVERYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];

impl Category {
    /// A category with the settings that are usual in its layer. `name` has to
    /// be a short name as in the file.
    pub fn new(name: &str, layer: Layer) -> Category {
        // The code of the legal layer is that of the family layer, so that it
        // does not tell which of the two it was. The time to live does: a legal
        // entry that was wrong has to be gone at once.
        let (ede, ttl) = match layer {
            Layer::Legal => (17, 10),
            Layer::Operator => (15, 30),
            Layer::Family => (17, 60),
        };
        let (answer, addresses) = (BlockAnswer::NxDomain, Vec::new());
        Category { name: name.to_owned(), layer, answer, ede, ttl, addresses }
    }
}

/// Files joined with `directory`, each with its place in the configuration.
pub(super) fn paths(
    files: &[At<Text<FilePath>>],
    directory: &Path,
    table: &str,
    report: &mut Report<'_>,
) -> Vec<(PathBuf, usize)> {
    let mut all: Vec<(PathBuf, usize)> = Vec::new();
    for file in files {
        let path = directory.join(&file.get_ref().0.0);
        if all.iter().any(|(other, _)| *other == path) {
            report.add(start(file), format!("{table} names {} twice; remove one", path.display()));
        }
        all.push((path, start(file)));
    }
    all
}

/// `[category.NAME]`
pub(super) fn categories(
    tables: BTreeMap<At<String>, Table<shape::Category>>,
    whole: bool,
    report: &mut Report<'_>,
) -> Vec<Category> {
    if tables.is_empty() {
        return STANDARD.map(|(name, layer)| Category::new(name, layer)).into();
    }
    let mut tables: Vec<_> = tables.into_iter().collect();
    // A map sorts by name; the order of the file is the operator's.
    tables.sort_by_key(|(name, _)| start(name));
    if let Some((name, _)) = tables.get(MAX_CATEGORIES) {
        report.add(
            start(name),
            format!("there are {} categories and at most {MAX_CATEGORIES} can be told apart; merge some", tables.len()),
        );
    }
    tables.into_iter().map(|(name, Table(table))| category(&name, table, whole, report)).collect()
}

/// One `[category.NAME]`
fn category(name: &At<String>, table: shape::Category, whole: bool, report: &mut Report<'_>) -> Category {
    if !is_label(name.get_ref()) {
        report.add(start(name), format!("\"{name}\" cannot be the name of a category; {LABEL_RULE}"));
    }
    if whole && table.layer.is_none() {
        report.add(
            start(name),
            format!("'layer' in [category.{name}] is missing; write layer = \"legal\", \"operator\" or \"family\""),
        );
    }
    for net in &table.addresses {
        if net.get_ref().0.prefix_len() == 0 {
            report.add(
                start(net),
                format!(
                    "'addresses' in [category.{name}]: {} would block every name; name smaller networks",
                    net.get_ref().0
                ),
            );
        }
    }
    let usual = Category::new(name.get_ref(), table.layer.map_or(Layer::Family, |layer| layer.0));
    Category {
        answer: table.answer.unwrap_or(usual.answer),
        ede: table.ede.map_or(usual.ede, |ede| ede.to()),
        ttl: table.ttl.map_or(usual.ttl, |ttl| ttl.to()),
        addresses: plain(table.addresses),
        ..usual
    }
}

/// What all policies of a file share while they are checked.
struct Policies<'a> {
    categories: &'a [Category],
    lists: &'a [(PathBuf, usize)],
    directory: &'a Path,
    whole: bool,
    /// Policy names with the place of each.
    names: HashMap<String, usize>,
    /// Networks with the place of each and the policy they belong to.
    networks: HashMap<IpNet, (usize, String)>,
}

/// `[[policy]]`
pub(super) fn policies(
    tables: Vec<At<Table<shape::Policy>>>,
    categories: &[Category],
    lists: &[(PathBuf, usize)],
    directory: &Path,
    whole: bool,
    report: &mut Report<'_>,
) -> Vec<Policy> {
    // Without any policy everybody gets the whole filter. When the tables are
    // gone because they were refused, the file is refused too.
    if tables.is_empty() {
        return vec![Policy {
            name: "default".into(),
            networks: EVERYBODY.map(|net| net.parse().expect("a valid network")).into(),
            search: search(None, None, &everything(categories), categories),
            categories: everything(categories),
            allow: Vec::new(),
            deny: Vec::new(),
            allow_lists: Vec::new(),
        }];
    }
    let (names, networks) = (HashMap::new(), HashMap::new());
    let mut policies = Policies { categories, lists, directory, whole, names, networks };
    tables.into_iter().map(|table| policies.check(table, report)).collect()
}

/// Indexes of all categories that a policy may hold.
fn everything(categories: &[Category]) -> Vec<usize> {
    (0..categories.len()).filter(|i| categories[*i].layer != Layer::Legal).collect()
}

/// What searching leaves out. A policy that keeps something from children by
/// its family layer keeps it from them here too, unless it says otherwise.
fn search(safe: Option<bool>, youtube: Option<YouTube>, in_force: &[usize], all: &[Category]) -> Search {
    let family = || in_force.iter().any(|index| all[*index].layer == Layer::Family);
    let safe = safe.unwrap_or_else(family);
    Search { safe, youtube: youtube.unwrap_or(if safe { YouTube::Moderate } else { YouTube::Free }) }
}

impl Policies<'_> {
    /// One `[[policy]]`
    fn check(&mut self, table: At<Table<shape::Policy>>, report: &mut Report<'_>) -> Policy {
        let place = start(&table);
        let Table(table) = table.into_inner();
        let name = self.name(table.name, place, report);
        let title = format!("[[policy]] \"{name}\"");
        let categories = match table.categories {
            Some(categories) => self.categories(&categories, &title, report),
            None => everything(self.categories),
        };
        let denied: HashSet<&Rule> = table.deny.iter().map(|deny| &deny.get_ref().0).collect();
        for allow in &table.allow {
            let Text(rule) = allow.get_ref();
            if denied.contains(rule) {
                report
                    .add(start(allow), format!("{title} both allows and denies {}; remove one of the two", rule.name));
            }
        }
        let allow_lists = paths(&table.allow_lists, self.directory, &title, report);
        for (path, at) in &allow_lists {
            // What was meant to unblock would block: that took the certificate
            // checks of a whole network down elsewhere.
            if let Some((_, block)) = self.lists.iter().find(|(other, _)| other == path) {
                report.add(
                    *at,
                    format!(
                        "'allow_lists' in {title} names {}, which line {} uses as a block list; remove one",
                        path.display(),
                        report.line(*block)
                    ),
                );
            }
        }
        Policy {
            networks: self.networks(table.networks, &name, place, report),
            search: search(table.safe_search, table.youtube.map(|word| word.0), &categories, self.categories),
            name,
            categories,
            allow: rules(table.allow),
            deny: rules(table.deny),
            allow_lists: allow_lists.into_iter().map(|(path, _)| path).collect(),
        }
    }

    /// The name, which nobody else may have.
    fn name(&mut self, name: Option<At<Text<Label>>>, place: usize, report: &mut Report<'_>) -> String {
        let Some(name) = name else {
            if self.whole {
                report.add(place, "'name' in [[policy]] is missing; write name = \"default\" or the like");
            }
            return String::new();
        };
        let (place, name) = (start(&name), name.into_inner().0.0);
        if let Some(before) = self.names.insert(name.clone(), place) {
            report.add(
                place,
                format!("there is another [[policy]] \"{name}\" in line {}; rename one", report.line(before)),
            );
        }
        name
    }

    /// The networks, which no other policy may have: a client has one policy.
    fn networks(
        &mut self,
        networks: Option<At<Vec<At<Text<IpNet>>>>>,
        name: &str,
        place: usize,
        report: &mut Report<'_>,
    ) -> Vec<IpNet> {
        let place = networks.as_ref().map_or(place, start);
        let networks = networks.map(At::into_inner).unwrap_or_default();
        if self.whole && networks.is_empty() {
            report.add(
                place,
                format!("[[policy]] \"{name}\" has no networks and would be nobody's; write networks = [\"0.0.0.0/0\", \"::/0\"] for everybody"),
            );
        }
        for net in &networks {
            let Text(address) = net.get_ref();
            let entry = (start(net), name.to_owned());
            if let Some((before, owner)) = self.networks.insert(*address, entry) {
                let line = report.line(before);
                report.add(
                    start(net),
                    format!("'networks' in [[policy]] \"{name}\": {address} already belongs to [[policy]] \"{owner}\" in line {line}; remove one"),
                );
            }
        }
        plain(networks)
    }

    /// Indexes of the categories that a policy names.
    fn categories(&self, names: &[At<String>], title: &str, report: &mut Report<'_>) -> Vec<usize> {
        let mut indexes = BTreeSet::new();
        for name in names {
            let Some(i) = self.categories.iter().position(|known| known.name == *name.get_ref()) else {
                report.add(start(name), self.unknown(name.get_ref(), title));
                continue;
            };
            if self.categories[i].layer == Layer::Legal {
                report.add(
                    start(name),
                    format!("'categories' in {title}: \"{name}\" is of the legal layer, which is always in force; remove it here"),
                );
            }
            if !indexes.insert(i) {
                report.add(start(name), format!("'categories' in {title} names \"{name}\" twice; remove one"));
            }
        }
        indexes.into_iter().collect()
    }

    /// The sentence for a category that nobody defined.
    fn unknown(&self, name: &str, title: &str) -> String {
        let known = || self.categories.iter().filter(|c| c.layer != Layer::Legal).map(|c| &*c.name);
        let hint = match nearest(name, known()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("define [category.{name}], or use one of {}", known().collect::<Vec<_>>().join(", ")),
        };
        format!("'categories' in {title}: there is no category \"{name}\"; {hint}")
    }
}

/// Rules in the order of the file, each once.
fn rules(values: Vec<At<Text<Rule>>>) -> Vec<Rule> {
    let mut seen = HashSet::new();
    let mut rules = plain(values);
    rules.retain(|rule| seen.insert(rule.clone()));
    rules
}
