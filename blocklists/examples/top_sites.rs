//! Makes `blocklists/top-sites.txt` from a ranking of names, most asked first, one a line:
//!
//! ```console
//! $ zstdcat umbrella-top-100k-20260724.txt.zst |
//!     cargo run -p friendly-blocklist --example top_sites > blocklists/top-sites.txt
//! ```
//!
//! A ranking of names that are asked for holds parts of sites, services and makers' boxes. What is kept: the registered
//! name (the label below a public suffix of a registry) of each, the first 4,000 of them, and all under `.al` in the whole
//! ranking. The order of the ranking is not kept, the names are sorted.

use std::collections::BTreeSet;
use std::io::{self, BufRead};

use psl::{Psl, Type};
use signed_list::name::Name;

/// How many of the most asked registered names.
const MOST: usize = 4000;

fn main() -> io::Result<()> {
    let mut found: BTreeSet<Name> = BTreeSet::new();
    for line in io::stdin().lock().lines() {
        let Some(site) = Name::parse(line?.trim()).ok().as_ref().and_then(registered) else { continue };
        if found.len() < MOST || site.to_string().ends_with(".al") {
            found.insert(site);
        }
    }
    println!("# The most visited sites: no name of them, and none below, is listed by law.");
    println!("#");
    println!(
        "# Made by blocklists/examples/top_sites.rs from Cisco's Umbrella ranking of 2026-07-24 (100,000 names, free to"
    );
    println!(
        "# use): the {MOST} registered names that are asked for most, and all under .al. Names only, sorted; no ranks."
    );
    for site in &found {
        println!("{site}");
    }
    Ok(())
}

/// The registered name that a name lies under. Nothing for hosting companies' customers, who are refused as such, and
/// for names whose top-level domain is none.
fn registered(name: &Name) -> Option<Name> {
    let labels: Vec<&[u8]> = name.iter().collect();
    let suffix = psl::List.find(labels.iter().rev().copied());
    if suffix.typ != Some(Type::Icann) {
        return None;
    }
    let mut site = name.clone();
    while site.as_wire().len() - 2 > suffix.len {
        let parent = site.parent()?;
        if parent.as_wire().len() - 2 <= suffix.len {
            return Some(site);
        }
        site = parent;
    }
    None
}
