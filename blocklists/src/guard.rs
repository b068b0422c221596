//! Refuses entries that must not be blocked, whatever a list says.
//!
//! Published lists hold `google.com`, `co.uk` and `github.io` by mistake or by another taste than ours; in March 2012
//! one wrong file made a country block 8,000 names, Google among them. Three kinds of names are refused: public
//! suffixes, under which people who have nothing to do with each other have their names (the private section of the
//! Public Suffix List included: shared hosting); special-use names, which networks and programs work by; and the names of `protected.txt`.

pub mod shared;

use std::collections::{HashMap, HashSet};
use std::fmt;

use psl::{Psl, Type};
use signed_list::list::Scope;
use signed_list::name::Name;

/// The protected names as shipped, in the format that its own first lines describe.
const PROTECTED: &str = include_str!("../protected.txt");

/// Names that are no sites (RFC 6761 and the registry it founded), with all below them: most of them the resolver answers
/// itself; `internal` and what is public in `arpa` it asks upstreams for. `test` and `example` are not among them: test entries lie there.
const SPECIAL_USE: [&str; 8] = ["alt", "arpa", "internal", "invalid", "local", "localhost", "onion", "home.arpa"];

/// Why an entry is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Danger {
    /// The name is a public suffix.
    PublicSuffix {
        /// It belongs to a company that gives out names below it, and not to a registry.
        private: bool,
    },
    /// Every name directly below it is a public suffix.
    AboveSuffixes,
    /// Networks and programs work by it; it is no site.
    SpecialUse,
    /// It is protected.
    Protected(String),
    /// It would block a protected name below it.
    AboveProtected {
        /// The name below.
        name: Name,
        /// The group of the name below.
        group: String,
    },
}

impl Danger {
    /// A short stable word, for reports that programs read.
    pub fn word(&self) -> &'static str {
        match self {
            Danger::PublicSuffix { .. } | Danger::AboveSuffixes => "public-suffix",
            Danger::SpecialUse => "special-use",
            Danger::Protected(_) | Danger::AboveProtected { .. } => "protected",
        }
    }
}

/// Without the name of the entry, which stands in front of it.
impl fmt::Display for Danger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Danger::PublicSuffix { private: false } => out.write_str("a public suffix"),
            Danger::PublicSuffix { private: true } => out.write_str("a public suffix (shared hosting)"),
            Danger::AboveSuffixes => out.write_str("public suffixes lie below it"),
            Danger::SpecialUse => out.write_str("special use; networks and programs work by it"),
            Danger::Protected(group) => write!(out, "protected: {group}"),
            Danger::AboveProtected { name, group } => write!(out, "would block {name}, protected: {group}"),
        }
    }
}

/// What is protected of a name, by wire form.
struct Mark {
    group: usize,
    /// The protected name that this mark stands for: the name itself, or one below it.
    name: Name,
    /// Everything below is protected too.
    tree: bool,
}

/// The judge over entries. One for a whole run.
pub struct Guard {
    groups: Vec<String>,
    marks: HashMap<Box<[u8]>, Mark, foldhash::fast::RandomState>,
    special: HashSet<Box<[u8]>, foldhash::fast::RandomState>,
    admitted: HashSet<Name>,
    top_sites: shared::TopSites,
}

impl Guard {
    /// With the protected names that are shipped.
    pub fn shipped() -> Guard {
        // The file is part of the program and a test reads all of it, so what is wrong in it cannot reach a user.
        let guard = Guard::new(PROTECTED).unwrap_or_else(|line| panic!("protected.txt:{line}: not a name"));
        Guard { top_sites: shared::shipped(), ..guard }
    }

    /// With the protected names of a text; the error is the number of the line that is wrong.
    pub fn new(protected: &str) -> Result<Guard, usize> {
        let mut guard = Guard {
            groups: vec![String::new()],
            marks: HashMap::default(),
            special: HashSet::default(),
            admitted: HashSet::new(),
            top_sites: shared::TopSites::default(),
        };
        for name in SPECIAL_USE {
            let name = Name::parse(name).map_err(|_| 0usize)?;
            guard.special.insert(name.as_wire().into());
        }
        for (line, number) in protected.lines().map(str::trim).zip(1usize..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(group) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                guard.groups.push(group.to_owned());
                continue;
            }
            let bare = line.strip_prefix("*.").unwrap_or(line);
            let name = Name::parse(bare).map_err(|_| number)?;
            let twin = Name::parse(&format!("www.{bare}")).map_err(|_| number)?;
            guard.protect(name, bare != line);
            guard.protect(twin, false);
        }
        Ok(guard)
    }

    fn protect(&mut self, name: Name, tree: bool) {
        let group = self.groups.len() - 1;
        let mut above = name.parent();
        while let Some(parent) = above.filter(|parent| !parent.is_root()) {
            let mark = || Mark { group, name: name.clone(), tree: false };
            self.marks.entry(parent.as_wire().into()).or_insert_with(mark);
            above = parent.parent();
        }
        // A name of its own wins over standing above another one, and keeps a tree that an earlier line asked for.
        let tree = tree || self.marks.get(name.as_wire()).is_some_and(|mark| mark.tree);
        self.marks.insert(name.as_wire().into(), Mark { group, name, tree });
    }

    /// The protected name that this name is or lies below, and its group.
    pub fn protected_above(&self, name: &Name) -> Option<(&Name, &str)> {
        let mut above = Some(name.clone());
        while let Some(name) = above {
            if let Some(mark) = self.marks.get(name.as_wire()).filter(|mark| mark.name == name) {
                return Some((&mark.name, &self.groups[mark.group]));
            }
            above = name.parent();
        }
        None
    }

    /// Lets exactly this name pass whatever it is, for an operator who means it.
    pub fn admit(&mut self, name: Name) {
        self.admitted.insert(name);
    }

    /// Whether an entry may be listed.
    pub fn check(&self, name: &Name, scope: Scope) -> Result<(), Danger> {
        match self.danger(name, scope) {
            Some(danger) if !self.admitted.contains(name) => Err(danger),
            _ => Ok(()),
        }
    }

    fn danger(&self, name: &Name, scope: Scope) -> Option<Danger> {
        let subtree = scope == Scope::Subtree;
        let mut rest = name.as_wire();
        let mut suffix_of = None;
        let mut whole = true;
        while rest.len() > 1 {
            if self.special.contains(rest) {
                return Some(Danger::SpecialUse);
            }
            if let Some(mark) = self.marks.get(rest) {
                let group = || self.groups[mark.group].clone();
                let itself = mark.name.as_wire() == rest;
                if whole && !itself && subtree {
                    suffix_of = Some(Danger::AboveProtected { name: mark.name.clone(), group: group() });
                } else if whole && itself || mark.tree {
                    return public_suffix(name, subtree).or_else(|| Some(Danger::Protected(group())));
                }
            }
            whole = false;
            rest = &rest[1 + usize::from(rest[0])..];
        }
        // A public suffix is the better reason than the protected names that happen to lie below it.
        public_suffix(name, subtree).or(suffix_of)
    }
}

fn public_suffix(name: &Name, subtree: bool) -> Option<Danger> {
    let mut labels: [&[u8]; 128] = [b""; 128];
    let mut count = 0;
    for label in name.iter() {
        labels[count] = label;
        count += 1;
    }
    let from_right = || labels[..count].iter().rev().copied();
    let text = name.as_wire().len() - 2; // dots take the places of the length octets but the first, and no zero
    let found = psl::List.find(from_right());
    if found.len >= text && found.typ.is_some() {
        return Some(Danger::PublicSuffix { private: found.typ == Some(Type::Private) });
    }
    if !subtree {
        return None;
    }
    // A rule like `*.compute.amazonaws.com` makes no suffix of the name itself but of any label below it.
    let below = psl::List.find(from_right().chain([&b"0"[..]]));
    (below.len >= text + 2 && below.typ.is_some()).then_some(Danger::AboveSuffixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(guard: &Guard, name: &str, scope: Scope) -> String {
        match guard.check(&Name::parse(name).unwrap(), scope) {
            Ok(()) => "fine".to_owned(),
            Err(danger) => danger.to_string(),
        }
    }

    #[test]
    fn public_suffixes_of_both_sections() {
        let guard = Guard::new("").unwrap();
        let registry = "a public suffix";
        let hosting = "a public suffix (shared hosting)";
        let table = [
            ("co.uk", registry),
            ("com.al", registry),
            ("gov.al", registry),
            ("xn--55qx5d.cn", registry),
            ("公司.cn", registry),
            ("anything.ck", registry),
            ("github.io", hosting),
            ("s3.amazonaws.com", hosting),
            ("compute.amazonaws.com", "public suffixes lie below it"),
            ("kawasaki.jp", "public suffixes lie below it"),
            ("www.ck", "fine"),
            ("city.kawasaki.jp", "fine"),
            ("name.com.al", "fine"),
            ("name.github.io", "fine"),
            ("name.test", "fine"),
            ("adult.friendly-wifi.example", "fine"),
        ];
        for (name, expected) in table {
            assert_eq!(verdict(&guard, name, Scope::Subtree), expected, "{name}");
        }
        assert_eq!(verdict(&guard, "github.io", Scope::Exact), hosting);
        assert_eq!(verdict(&guard, "compute.amazonaws.com", Scope::Exact), "fine");
    }

    #[test]
    fn special_use_names() {
        let guard = Guard::new("").unwrap();
        for name in
            ["name.onion", "a.localhost", "printer.local", "1.0.0.127.in-addr.arpa", "x.home.arpa", "a.internal"]
        {
            assert_eq!(verdict(&guard, name, Scope::Exact), "special use; networks and programs work by it", "{name}");
        }
    }

    #[test]
    fn protected_names_and_what_would_block_them() {
        let guard = Guard::new("# names\n[help]\nhelp.one.test\n*.line.test\n\n[portal]\none.test\n").unwrap();
        let table = [
            ("help.one.test", Scope::Subtree, "protected: help"),
            ("help.one.test", Scope::Exact, "protected: help"),
            ("www.help.one.test", Scope::Exact, "protected: help"),
            ("one.test", Scope::Exact, "protected: portal"),
            ("one.test", Scope::Subtree, "protected: portal"),
            ("ads.help.one.test", Scope::Subtree, "fine"),
            ("ads.one.test", Scope::Subtree, "fine"),
            ("line.test", Scope::Exact, "protected: help"),
            ("any.thing.line.test", Scope::Exact, "protected: help"),
            ("otherline.test", Scope::Subtree, "fine"),
        ];
        for (name, scope, expected) in table {
            assert_eq!(verdict(&guard, name, scope), expected, "{name} {scope:?}");
        }
    }

    #[test]
    fn a_name_above_a_protected_one_is_refused_only_as_a_subtree() {
        let guard = Guard::new("[check]\na.b.test\n").unwrap();
        assert_eq!(verdict(&guard, "b.test", Scope::Subtree), "would block a.b.test, protected: check");
        assert_eq!(verdict(&guard, "b.test", Scope::Exact), "fine");
    }

    #[test]
    fn an_admitted_name_passes_and_nothing_else_does() {
        let mut guard = Guard::shipped();
        guard.admit(Name::parse("Facebook.com").unwrap());
        assert_eq!(verdict(&guard, "facebook.com", Scope::Subtree), "fine");
        assert_eq!(verdict(&guard, "www.facebook.com", Scope::Subtree), "protected: major platform");
        assert_eq!(verdict(&guard, "google.com", Scope::Subtree), "protected: major platform");
    }

    #[test]
    fn the_shipped_names_cover_what_must_never_go_away() {
        let guard = Guard::shipped();
        for name in [
            "asp.gov.al",
            "www.alo116.al",
            "isigurt.al",
            "crca.al",
            "ebanking.raiffeisen.al",
            "bankofalbania.org",
            "www.bkt.com.al",
            "bankacredins.com",
            "online.otpbank.al",
            "visa.com",
            "www.mastercard.com",
            "paypal.com",
            "js.stripe.com",
            "ocsp.digicert.com",
            "r10.o.lencr.org",
            "captive.apple.com",
            "connectivitycheck.gstatic.com",
            "0.pool.ntp.org",
            "a.root-servers.net",
            "google.com",
            "gstatic.com",
            "amazonaws.com",
            "download.windowsupdate.com",
        ] {
            assert_ne!(verdict(&guard, name, Scope::Subtree), "fine", "{name}");
        }
        for name in ["ads.google.com", "bucket.s3.amazonaws.com", "name.al", "tracker.facebook.com"] {
            assert_eq!(verdict(&guard, name, Scope::Subtree), "fine", "{name}");
        }
    }

    #[test]
    fn a_wrong_line_is_told() {
        assert_eq!(Guard::new("[x]\nfine.test\nno name\n").err(), Some(3));
    }
}
