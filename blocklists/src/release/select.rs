//! From what the ledger holds in force, and what feeds bring, to the entries of a release, and to its list file. Pure.
//!
//! The guard judges once more here, by the measure of the class, because what is protected or much visited may have
//! changed since a case was approved; and a name of the scheme itself is never listed by a case. What is refused is left out and told; everything else goes on.

use foldhash::HashMap;
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{BuildError, ListMeta, Scope};
use signed_list::name::Name;
use signed_list::release::Class;

use super::canary::{Canaries, Moves};
use super::index::Origin;
use super::scheme::Scheme;
use super::supply::Part;
use crate::compile::{Compiled, Compiler};
use crate::guard::shared::Shared;
use crate::guard::{Danger, Guard};
use crate::ledger::ListedEntry;

/// An entry that goes into a release.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The case that it stands for, or the feed that it comes from.
    pub origin: Origin,
    /// The name; on no account written anywhere but into a digest.
    pub name: Name,
    /// What it covers.
    pub scope: Scope,
    /// Number of its category.
    pub category: u8,
}

/// An entry that is left out, by case: the name stays in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// The case.
    pub case: String,
    /// Why.
    pub why: String,
}

/// What a release is made of.
#[derive(Debug)]
pub struct Selection {
    /// What goes in.
    pub entries: Vec<Entry>,
    /// What does not.
    pub refused: Vec<Refusal>,
    /// What each feed brings.
    pub feeds: Vec<Share>,
}

/// What a feed brings to a release.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Share {
    /// The feed.
    pub feed: String,
    /// Its category.
    pub category: String,
    /// Entries that go in.
    pub entries: u64,
    /// Of these, what the release before did not have.
    pub added: u64,
    /// What only the release before had.
    pub removed: u64,
    /// Names that are left out because they are to stay free.
    pub allowed: u64,
    /// Names that are left out because they must not be blocked.
    pub refused: u64,
}

/// Takes the entries that may be published. The ledger has the word: what it lists goes in whatever feeds let through,
/// and what it took off stays off whatever feeds list, see [`Part::free`].
pub fn select(listed: Vec<ListedEntry>, supply: &[Part], class: Class, scheme: &Scheme, guard: &Guard) -> Selection {
    let categories = scheme.categories(class);
    let numbers: HashMap<&str, u8> = categories.iter().map(String::as_str).zip(0..).collect();
    let supplied: u64 = supply.iter().map(|part| part.pin.entries).sum();
    let room = listed.len() + usize::try_from(supplied).unwrap_or(0);
    let mut selection = Selection { entries: Vec::with_capacity(room), refused: Vec::new(), feeds: Vec::new() };
    for ListedEntry { case, name, scope, category, .. } in listed {
        let why = match numbers.get(category.as_str()) {
            None => format!("its category '{category}' is not one of the class {}", class.word()),
            Some(_) if scheme.owns(&name) => "its name belongs to the scheme".to_owned(),
            Some(&category) => match danger(&name, scope, class, guard) {
                None => {
                    let origin = Origin::Case(case.into());
                    selection.entries.push(Entry { origin, name, scope, category });
                    continue;
                }
                Some(why) => why,
            },
        };
        selection.refused.push(Refusal { case, why });
    }
    for part in supply {
        // A category that the scheme has no longer: nothing of it can go in, and the settings say so at once.
        let Some(&category) = numbers.get(part.pin.category.as_str()) else { continue };
        selection.add(part, category, scheme, guard);
    }
    selection
}

impl Selection {
    /// Adds what a feed brings. Its names passed the guard when they were fetched; what is protected may have changed
    /// since.
    fn add(&mut self, part: &Part, category: u8, scheme: &Scheme, guard: &Guard) {
        let mut share = Share {
            feed: part.pin.feed.clone(),
            category: part.pin.category.clone(),
            entries: 0,
            added: 0,
            removed: 0,
            allowed: 0,
            refused: 0,
        };
        let origin = Origin::Feed(share.feed.as_str().into());
        for (name, scope) in part.names.iter() {
            if part.free.covers(&name, scope) {
                share.allowed += 1;
            } else if scheme.owns(&name) || guard.check(&name, scope).is_err() {
                share.refused += 1;
            } else {
                share.entries += 1;
                self.entries.push(Entry { origin: origin.clone(), name, scope, category });
            }
        }
        self.feeds.push(share);
    }
}

/// Why a case must not be listed, without any name: this is printed and kept where the name is not.
fn danger(name: &Name, scope: Scope, class: Class, guard: &Guard) -> Option<String> {
    if let Err(danger) = guard.check(name, scope) {
        return Some(match danger {
            Danger::AboveProtected { group, .. } => format!("a protected name lies below it: {group}"),
            other => other.to_string(),
        });
    }
    let shared = if class.is_sealed() { guard.shared(name).err()? } else { return None };
    Some(match shared {
        Shared::Protected { group, .. } => format!("it lies below a protected name: {group}"),
        Shared::Host { .. } => "it lies on a shared host".to_owned(),
        Shared::TopSite(_) => "it is one of the most visited sites, or lies below one".to_owned(),
    })
}

/// What the header of a list says.
pub struct Head<'a> {
    /// Class of the list.
    pub class: Class,
    /// Serial of the release.
    pub serial: u64,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// Key of the digests: of the epoch in a sealed class, otherwise the open one.
    pub key: DigestKey,
    /// Canaries of the class.
    pub canaries: Canaries<'a>,
    /// How far the canaries have moved.
    pub moves: Moves,
}

/// Makes the list file of a release: the entries, and the canaries of this release.
pub fn compile(entries: &[Entry], categories: &[String], head: &Head<'_>) -> Result<Compiled, BuildError> {
    let mut compiler = Compiler::default();
    let mut suffixes = Suffixes::new();
    let mut push = |category: u8, name: &Name, scope| {
        head.key.suffixes(name.as_wire(), &mut suffixes);
        compiler.push_in(category, &suffixes, scope);
    };
    for entry in entries {
        push(entry.category, &entry.name, entry.scope);
    }
    for (category, number) in categories.iter().zip(0..) {
        if let Some(name) = head.canaries.test(category) {
            push(number, &name, Scope::Subtree);
        }
    }
    for name in head.canaries.listed(head.serial, head.moves) {
        // A probe asks for a fresh name below the canary, so that no cache can answer.
        push(0, &name, Scope::Subtree);
    }
    compiler.build(ListMeta {
        categories: categories.to_vec(),
        serial: head.serial,
        created: head.created,
        key: head.key.clone(),
        sealed: head.class.is_sealed(),
    })
}
