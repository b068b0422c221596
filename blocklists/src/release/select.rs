//! From what the ledger holds in force to the entries of a release, and to its list file. Pure.
//!
//! The guard judges once more here, because what is protected may have changed since a case was approved, and a name of
//! the scheme itself is never listed by a case. What is refused is left out and told; everything else goes on.

use foldhash::HashMap;
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{BuildError, ListMeta, Scope};
use signed_list::name::Name;
use signed_list::release::Class;

use super::canary::{Canaries, Moves};
use super::scheme::Scheme;
use crate::compile::{Compiled, Compiler};
use crate::guard::{Danger, Guard};
use crate::ledger::ListedEntry;

/// An entry that goes into a release.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The case that it stands for.
    pub case: String,
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
}

/// Takes the entries that may be published.
pub fn select(listed: Vec<ListedEntry>, class: Class, scheme: &Scheme, guard: &Guard) -> Selection {
    let categories = scheme.categories(class);
    let numbers: HashMap<&str, u8> = categories.iter().map(String::as_str).zip(0..).collect();
    let mut selection = Selection { entries: Vec::with_capacity(listed.len()), refused: Vec::new() };
    for ListedEntry { case, name, scope, category, .. } in listed {
        let why = match numbers.get(category.as_str()) {
            None => format!("its category '{category}' is not one of the class {}", class.word()),
            Some(_) if scheme.owns(&name) => "its name belongs to the scheme".to_owned(),
            Some(&category) => match guard.check(&name, scope) {
                Ok(()) => {
                    selection.entries.push(Entry { case, name, scope, category });
                    continue;
                }
                Err(danger) => reason(&danger),
            },
        };
        selection.refused.push(Refusal { case, why });
    }
    selection
}

/// Why, without any name: this is printed and kept where the name is not.
fn reason(danger: &Danger) -> String {
    match danger {
        Danger::AboveProtected { group, .. } => format!("a protected name lies below it: {group}"),
        other => other.to_string(),
    }
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
