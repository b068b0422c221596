//! Entries in, list file out: what comes twice or lies below a listed name is dropped. Pure, and the same entries
//! give the same file in whatever order they come.
//!
//! Names are not kept, only the digests of their suffixes, some 16 octets for a name: five million names compile in a
//! few hundred megabytes, and no name can leak into the file from here.

use std::collections::HashSet;
use std::iter;

use signed_list::digest::Suffixes;
use signed_list::list::{BuildError, Builder, ListMeta, Scope};

type Digests = HashSet<u64, foldhash::fast::RandomState>;

/// Collects the entries of a list.
#[derive(Default)]
pub struct Compiler {
    /// Labels of each entry in the order they came, with [`EXACT`] added.
    heads: Vec<u8>,
    /// Category of each entry; empty while all of them are in the first one, which is the common case.
    categories: Vec<u8>,
    /// For each entry the digests of its suffixes from two labels up to the whole name. The top-level domain is left
    /// out: nothing lists a whole one, and if it did, entries below it would only be kept without need.
    chains: Vec<u64>,
}

/// In a head: the entry is for exactly the name.
const EXACT: u8 = 0x80;

/// A compiled list and what became of its entries.
#[derive(Debug)]
pub struct Compiled {
    /// The list file.
    pub file: Vec<u8>,
    /// Entries in the file.
    pub entries: u64,
    /// Entries left out because the same name was there already.
    pub duplicates: u64,
    /// Entries left out because a name above them is listed with all below it.
    pub covered: u64,
}

impl Compiler {
    /// Adds an entry of the first category, see [`Self::push_in`].
    pub fn push(&mut self, name: &Suffixes, scope: Scope) {
        self.push_in(0, name, scope);
    }

    /// Adds an entry by the digests of its name under the key of the list; a digest of 1 to 127 labels. A name that
    /// comes in one category with both scopes is listed with all below it. Categories do not cover each other.
    pub fn push_in(&mut self, category: u8, name: &Suffixes, scope: Scope) {
        if category != 0 || !self.categories.is_empty() {
            self.categories.resize(self.heads.len(), 0);
            self.categories.push(category);
        }
        let labels = name.labels();
        let exact = if scope == Scope::Exact { EXACT } else { 0 };
        self.heads.push(labels as u8 | exact); // at most 127 labels
        self.chains.extend((labels.min(2)..=labels).map(|k| name.get(k)));
    }

    /// Builds the file. `meta` names the categories, and the key that the digests were made under.
    pub fn build(self, meta: ListMeta) -> Result<Compiled, BuildError> {
        let (again, subtrees) = self.duplicates();
        let mut builder = Builder::new(meta);
        let (mut entries, mut duplicates, mut covered) = (0, 0, 0);
        for (Collected { head, category, above, digest }, again) in self.entries().zip(again) {
            if again {
                duplicates += 1;
            } else if above.iter().any(|suffix| subtrees.contains(&within(category, *suffix))) {
                covered += 1;
            } else {
                entries += 1;
                let whole = subtrees.contains(&within(category, digest));
                builder.push(digest, head & !EXACT, category, if whole { Scope::Subtree } else { Scope::Exact });
            }
        }
        // The builder needs the room for its sorting and its filter.
        drop((self, subtrees));
        Ok(Compiled { file: builder.build()?, entries, duplicates, covered })
    }

    /// Which entries came before, and the digests of all names that are listed with all below them.
    ///
    /// This waits for the end because the sets are far larger than a processor's cache: their misses cost half as
    /// much in one tight loop of known length as between the parsing of two lines.
    fn duplicates(&self) -> (Vec<bool>, Digests) {
        let exact = self.heads.iter().filter(|head| *head & EXACT != 0).count();
        let mut exacts = Digests::with_capacity_and_hasher(exact, Default::default());
        let mut subtrees = Digests::with_capacity_and_hasher(self.heads.len() - exact, Default::default());
        let again = self.entries().map(|Collected { head, category, digest, .. }| {
            let digest = within(category, digest);
            if head & EXACT != 0 {
                subtrees.contains(&digest) || !exacts.insert(digest)
            } else {
                !subtrees.insert(digest) || exacts.contains(&digest)
            }
        });
        (again.collect(), subtrees)
    }

    /// The entries as they came.
    fn entries(&self) -> impl Iterator<Item = Collected<'_>> {
        let mut rest = self.chains.as_slice();
        let categories = self.categories.iter().copied().chain(iter::repeat(0));
        self.heads.iter().zip(categories).filter_map(move |(&head, category)| {
            let length = usize::from(head & !EXACT).saturating_sub(1).max(1);
            let (chain, after) = rest.split_at_checked(length)?;
            rest = after;
            let (&digest, above) = chain.split_last()?;
            Some(Collected { head, category, above, digest })
        })
    }
}

/// One entry.
struct Collected<'a> {
    head: u8,
    category: u8,
    /// Digests of the names above it.
    above: &'a [u64],
    digest: u64,
}

/// What stands for a digest within a category, so that one set serves all of them.
fn within(category: u8, digest: u64) -> u64 {
    digest ^ u64::from(category).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use signed_list::digest::DigestKey;
    use signed_list::list::List;
    use signed_list::name::Name;

    fn suffixes(name: &str) -> Suffixes {
        let mut suffixes = Suffixes::new();
        DigestKey::OPEN.suffixes(Name::parse(name).unwrap().as_wire(), &mut suffixes);
        suffixes
    }

    /// Compiles names, `=name` being exact ones.
    fn compile(names: &[&str]) -> Compiled {
        let mut compiler = Compiler::default();
        for name in names {
            match name.strip_prefix('=') {
                Some(exact) => compiler.push(&suffixes(exact), Scope::Exact),
                None => compiler.push(&suffixes(name), Scope::Subtree),
            }
        }
        let categories = vec!["test".to_owned()];
        let meta = ListMeta { categories, serial: 1, created: 2, key: DigestKey::OPEN, sealed: false };
        compiler.build(meta).unwrap()
    }

    #[test]
    fn names_below_a_listed_name_and_names_that_come_twice_are_dropped() {
        let list = compile(&["a.b.test", "b.test", "=c.b.test", "b.test", "=d.test", "x.d.test", "=d.test"]);
        assert_eq!((list.entries, list.duplicates, list.covered), (3, 2, 2));

        let file = List::open(&list.file, None).unwrap();
        for (name, blocked) in
            [("b.test", 1), ("z.a.b.test", 1), ("d.test", 1), ("y.d.test", 0), ("q.x.d.test", 1), ("test", 0)]
        {
            assert_eq!(file.lookup(&suffixes(name)).name, blocked, "{name}");
        }
    }

    #[test]
    fn a_name_in_both_scopes_is_one_entry_with_all_below_it() {
        for names in [["=a.test", "a.test"], ["a.test", "=a.test"]] {
            let list = compile(&names);
            assert_eq!((list.entries, list.duplicates, list.covered), (1, 1, 0));
            assert_eq!(List::open(&list.file, None).unwrap().lookup(&suffixes("b.a.test")).name, 1);
        }
    }

    #[test]
    fn an_exact_name_covers_nothing_and_a_label_is_not_a_suffix() {
        let list = compile(&["=a.test", "b.a.test", "c-a.test", "=c.b.test"]);
        assert_eq!((list.entries, list.duplicates, list.covered), (4, 0, 0));
    }

    #[test]
    fn the_order_of_the_entries_does_not_matter() {
        let forth = ["a.test", "=b.test", "c.a.test", "d.test", "b.test"];
        let mut back = forth;
        back.reverse();
        assert_eq!(compile(&forth).file, compile(&back).file);
    }

    #[test]
    fn categories_do_not_cover_each_other() {
        let mut compiler = Compiler::default();
        for (category, name, scope) in [
            (0, "a.test", Scope::Subtree),
            (1, "b.a.test", Scope::Subtree),
            (0, "b.a.test", Scope::Subtree),
            (1, "b.a.test", Scope::Exact),
            (0, "c.test", Scope::Exact),
        ] {
            compiler.push_in(category, &suffixes(name), scope);
        }
        let categories = vec!["one".to_owned(), "two".to_owned()];
        let list = compiler
            .build(ListMeta { categories, serial: 1, created: 2, key: DigestKey::OPEN, sealed: false })
            .unwrap();
        assert_eq!((list.entries, list.duplicates, list.covered), (3, 1, 1));
        let file = List::open(&list.file, None).unwrap();
        for (name, blocked) in [("a.test", 0b01), ("x.b.a.test", 0b11), ("c.test", 0b01), ("d.c.test", 0)] {
            assert_eq!(file.lookup(&suffixes(name)).name, blocked, "{name}");
        }
    }

    #[test]
    fn a_top_level_domain_alone_is_an_entry_like_any_other() {
        let list = compile(&["test", "a.example"]);
        assert_eq!(List::open(&list.file, None).unwrap().lookup(&suffixes("b.test")).name, 1);
    }
}
