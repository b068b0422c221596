//! What is somebody else's site in part: no danger to block, but no name for the law's list.

use std::collections::HashSet;

use psl::{Psl, Type};
use signed_list::name::Name;

use super::Guard;

/// The most visited sites as shipped, one registered name a line.
pub(crate) const TOP_SITES: &str = include_str!("../../top-sites.txt");

/// The most visited sites.
pub(super) type TopSites = HashSet<Name, foldhash::fast::RandomState>;

/// Why a name is somebody else's in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    /// It is protected, or lies below a protected name.
    Protected {
        /// The protected name.
        name: Name,
        /// Its group.
        group: String,
    },
    /// It is a company's that gives names to customers, or one of those names.
    Host {
        /// The name that the company gives names under.
        suffix: Name,
    },
    /// It is one of the most visited sites, or lies below one.
    TopSite(Name),
}

/// The sites as shipped.
pub(super) fn shipped() -> TopSites {
    // The file is part of the program and a test reads all of it, so what is wrong in it cannot reach a user.
    let names = lines(TOP_SITES).map(|line| Name::parse(line).unwrap_or_else(|_| panic!("top-sites.txt: {line}")));
    names.collect()
}

impl Guard {
    /// Whether a name is not all of one hand: the law lists only what is.
    pub fn shared(&self, name: &Name) -> Result<(), Shared> {
        if let Some((name, group)) = self.protected_above(name) {
            return Err(Shared::Protected { name: name.clone(), group: group.to_owned() });
        }
        if let Some(suffix) = private_suffix(name) {
            return Err(Shared::Host { suffix });
        }
        let mut above = Some(name.clone());
        while let Some(name) = above {
            if self.top_sites.contains(&name) {
                return Err(Shared::TopSite(name));
            }
            above = name.parent();
        }
        Ok(())
    }
}

/// The company's name under which a name lies, if it lies under one.
fn private_suffix(name: &Name) -> Option<Name> {
    let labels: Vec<&[u8]> = name.iter().collect();
    let found = psl::List.find(labels.iter().rev().copied());
    if found.typ != Some(Type::Private) {
        return None;
    }
    let mut suffix = name.clone();
    // The length of the suffix as text; a name's wire form is two octets longer than its text.
    while suffix.as_wire().len() - 2 > found.len {
        suffix = suffix.parent()?;
    }
    Some(suffix)
}

pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_top_sites_are_registered_names_and_sorted() {
        let names: Vec<Name> = lines(TOP_SITES).map(|line| Name::parse(line).unwrap()).collect();
        assert!((3000..10_000).contains(&names.len()), "{}", names.len());
        assert!(names.is_sorted());
        for name in &names {
            let labels: Vec<&[u8]> = name.iter().collect();
            let domain = psl::List.domain(name.to_string().as_bytes()).map(|domain| domain.as_bytes().len());
            assert!(labels.len() >= 2 && domain == Some(name.to_string().len()), "{name}");
        }
    }
}
