//! What a list means, against a model of it, and that no file can harm.

use std::collections::HashMap;

use proptest::prelude::*;

use super::layout::{HASH, HEADER};
use super::*;
use crate::name::Name;

fn meta(categories: &[&str]) -> ListMeta {
    ListMeta {
        categories: categories.iter().map(|name| name.to_string()).collect(),
        serial: 7,
        created: 1_700_000_000,
        key: DigestKey::OPEN,
        sealed: false,
    }
}

fn suffixes(key: &DigestKey, name: &str) -> Suffixes {
    let mut suffixes = Suffixes::new();
    key.suffixes(Name::parse(name).unwrap().as_wire(), &mut suffixes);
    suffixes
}

fn build(meta: ListMeta, entries: &[(&str, u8, Scope)]) -> Vec<u8> {
    let key = meta.key.clone();
    let mut builder = Builder::new(meta);
    for (name, category, scope) in entries {
        let suffixes = suffixes(&key, name);
        builder.push(suffixes.get(suffixes.labels()), suffixes.labels() as u8, *category, *scope);
    }
    builder.build().unwrap()
}

fn cover<B: AsRef<[u8]>>(list: &List<B>, name: &str) -> Cover {
    list.lookup(&suffixes(list.key(), name))
}

fn lookup<B: AsRef<[u8]>>(list: &List<B>, name: &str) -> u64 {
    cover(list, name).name
}

/// A list with entries of all kinds and a filter.
fn sample() -> Vec<u8> {
    let names: Vec<String> = (0..40).map(|i| format!("host{i}.example.net")).collect();
    let mut entries = vec![
        ("example.com", 0, Scope::Subtree),
        ("example.com", 2, Scope::Exact),
        ("www.example.org", 1, Scope::Exact),
        ("deep.a.b.c.example.org", 2, Scope::Subtree),
        ("deep.a.b.c.example.org", 2, Scope::Subtree),
    ];
    entries.extend(names.iter().map(|name| (name.as_str(), 1, Scope::Subtree)));
    build(meta(&["adult", "gambling", "m\u{e4}lware"]), &entries)
}

#[test]
fn subtrees_cover_what_is_below_and_exact_entries_do_not() {
    let list = List::open(sample(), None).unwrap();
    for (name, categories) in [
        ("example.com", 0b101),
        ("www.example.com", 0b001),
        ("a.b.c.d.e.f.g.example.com", 0b001),
        ("com", 0),
        ("notexample.com", 0),
        ("www.example.org", 0b010),
        ("x.www.example.org", 0),
        ("example.org", 0),
        ("deep.a.b.c.example.org", 0b100),
        ("x.deep.a.b.c.example.org", 0b100),
        ("host39.example.net", 0b010),
        ("host40.example.net", 0),
        (".", 0),
    ] {
        assert_eq!(lookup(&list, name), categories, "{name}");
    }
    assert_eq!(list.categories(), ["adult", "gambling", "m\u{e4}lware"]);
    assert_eq!((list.serial(), list.created(), list.len(), list.sealed()), (7, 1_700_000_000, 44, false));
    assert_eq!(list.hash()[..], sample()[HASH]);
    assert_eq!(list.key(), &DigestKey::OPEN);
}

#[test]
fn what_covers_a_name_alone_is_told_from_what_covers_all_below() {
    let list = List::open(sample(), None).unwrap();
    for (asked, name, below) in [
        ("example.com", 0b101, 0b001),
        ("www.example.com", 0b001, 0b001),
        ("www.example.org", 0b010, 0),
        ("deep.a.b.c.example.org", 0b100, 0b100),
        ("example.org", 0, 0),
    ] {
        assert_eq!(cover(&list, asked), Cover { name, below }, "{asked}");
    }
}

#[test]
fn few_and_no_entries_work() {
    let names: Vec<String> = (0..70).map(|i| format!("n{i}.example")).collect();
    for count in 0..names.len() {
        let entries: Vec<_> = names[..count].iter().map(|name| (name.as_str(), 0, Scope::Subtree)).collect();
        let list = List::open(build(meta(&["a"]), &entries), None).unwrap();
        assert_eq!((list.len(), list.is_empty()), (count, count == 0));
        for (i, name) in names.iter().enumerate() {
            assert_eq!(lookup(&list, name), u64::from(i < count));
        }
    }
    assert_eq!(lookup(&List::open(build(meta(&[]), &[]), None).unwrap(), "example.com"), 0);
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let names: Vec<String> = (0..500).map(|i| format!("n{i}.example")).collect();
    let mut entries: Vec<_> = names.iter().map(|name| (name.as_str(), 0, Scope::Subtree)).collect();
    let one = build(meta(&["a"]), &entries);
    entries.reverse();
    entries.extend_from_within(..100);
    assert_eq!(one, build(meta(&["a"]), &entries));
}

#[test]
fn deepest_and_shallowest_entries_are_found() {
    let deepest = "a.".repeat(127);
    let list = build(meta(&["a", "b"]), &[(&deepest, 0, Scope::Exact), ("a", 1, Scope::Subtree)]);
    let list = List::open(list, None).unwrap();
    assert_eq!(lookup(&list, &deepest), 0b11);
    assert_eq!(lookup(&list, &"a.".repeat(126)), 0b10);
}

#[test]
fn all_63_categories_of_one_name_are_found() {
    let names: Vec<String> = (0..63).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let entries: Vec<_> =
        (0..63).flat_map(|c| [("x.example", c, Scope::Exact), ("x.example", c, Scope::Subtree)]).collect();
    let list = List::open(build(meta(&names), &entries), None).unwrap();
    assert_eq!((list.len(), lookup(&list, "x.example")), (126, u64::MAX >> 1));
}

#[test]
fn digests_that_crowd_into_one_bucket_are_all_found() {
    // The first 24 bits of all of them are the same; each of the other 40 is kept.
    let mut builder = Builder::new(meta(&["a", "b"]));
    let crowd: Vec<u64> = (0..5000u64).map(|i| i << 23).collect();
    for &digest in &crowd {
        builder.push(digest, 1, 0, Scope::Subtree);
    }
    builder.push(1, 1, 1, Scope::Subtree);
    let list = List::open(builder.build().unwrap(), None).unwrap();
    let mut suffixes = suffixes(&DigestKey::OPEN, "a");
    for (digest, categories) in crowd.iter().map(|&digest| (digest, 1)).chain([(1, 2), (2, 0)]) {
        suffixes.set(1, digest);
        assert_eq!(list.lookup(&suffixes).name, categories, "{digest:x}");
    }
    assert_eq!(list.len(), crowd.len() + 1);
}

#[test]
fn a_sealed_list_needs_its_key() {
    let key = DigestKey::new([9; 16]);
    let sealed = ListMeta { key: key.clone(), sealed: true, ..meta(&["legal"]) };
    let file = build(sealed, &[("example.com", 0, Scope::Subtree)]);
    assert!(!file.windows(16).any(|window| window == [9; 16]), "the key must not be in the file");
    assert_eq!(List::open(&file, None).unwrap_err(), ListError::KeyRequired);
    assert_eq!(List::open(&file, Some(DigestKey::OPEN)).unwrap_err(), ListError::WrongKey);
    let list = List::open(&file, Some(key)).unwrap();
    assert_eq!((lookup(&list, "www.example.com"), list.sealed()), (1, true));
}

#[test]
fn an_open_list_brings_its_own_key() {
    let own = ListMeta { key: DigestKey::new([9; 16]), ..meta(&["legal"]) };
    let list = List::open(build(own, &[("example.com", 0, Scope::Subtree)]), Some(DigestKey::OPEN)).unwrap();
    assert_eq!(lookup(&list, "example.com"), 1);
}

#[test]
fn wrong_entries_and_categories_are_reported_by_build() {
    let error = |meta: ListMeta, labels: u8, category: u8| {
        let mut builder = Builder::new(meta);
        builder.push(1, labels, category, Scope::Exact);
        builder.build().unwrap_err()
    };
    assert_eq!(error(meta(&["a"]), 0, 0), BuildError::Labels(0));
    assert_eq!(error(meta(&["a"]), 128, 0), BuildError::Labels(128));
    assert_eq!(error(meta(&["a"]), 1, 1), BuildError::NoSuchCategory { category: 1, categories: 1 });
    assert_eq!(error(meta(&["a", "a"]), 1, 0), BuildError::CategoryName("a".into()));
    assert_eq!(error(meta(&[""]), 1, 0), BuildError::CategoryName("".into()));
    assert_eq!(error(meta(&["x"; 64]), 1, 0), BuildError::TooManyCategories(64));
    let long = "x".repeat(256);
    assert_eq!(error(meta(&[&long]), 1, 0), BuildError::CategoryName(long.clone()));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = sample();
    let mut file = good.clone();
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(List::open(&file, None).is_err(), "bit {bit}");
        file[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(file, good);
}

#[test]
fn every_cut_and_every_addition_is_noticed() {
    let mut file = sample();
    for length in 0..file.len() {
        assert!(List::open(&file[..length], None).is_err(), "{length} octets");
    }
    file.push(0);
    let expected = file.len() as u64 - 1;
    assert_eq!(List::open(&file, None).unwrap_err(), ListError::Length { expected, found: expected + 1 });
}

#[test]
fn what_is_wrong_with_a_file_is_told_apart() {
    let changed = |at: usize, to: u8| {
        let mut file = sample();
        file[at] = to;
        List::open(file, None).unwrap_err()
    };
    assert_eq!(List::open(&b""[..], None).unwrap_err(), ListError::NotAList);
    assert_eq!(List::open(&b"example.com\n"[..], None).unwrap_err(), ListError::NotAList);
    assert_eq!(changed(8, 3), ListError::Newer(3));
    assert_eq!(changed(8, 1), ListError::Older(1));
    assert_eq!(changed(8, 0), ListError::Malformed("version"));
    assert_eq!(changed(20, 1), ListError::Hash);
    assert_eq!(changed(72, 1), ListError::Hash);
    assert!(ListError::Newer(3).to_string().contains("newer version"));
}

/// A list whose sections are longer than the pieces in which they are checked.
fn long() -> Vec<u8> {
    let names: Vec<String> = (0..60_000).map(|i| format!("n{i}.example")).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), 0, Scope::Subtree)).collect();
    build(meta(&["a"]), &entries)
}

#[test]
fn contradictions_between_pieces_are_found() {
    let good = long();
    let checked = Checked::read(&good[..], None).unwrap();
    let sections = &checked.header.sections;
    let wrong = |at: usize, octets: &[u8]| {
        let mut file = good.clone();
        file[at..at + octets.len()].copy_from_slice(octets);
        layout::seal(&mut file);
        List::open(file, None).map(|list| list.len()).unwrap_err()
    };
    let numbers = |index| sections.start(index)..sections.start(index) + sections.length(index);

    // Two entries of one bucket, the one the last of a piece and the other the first of the next: exchanged.
    let entries = sections.entries(&good);
    let mut offsets: Vec<u32> = sections.buckets(&good).iter().map(|offset| u32::from_le_bytes(*offset)).collect();
    offsets.dedup();
    let mut pairs = (1..entries.len() * 8 / check::PIECE + 1).map(|piece| piece * check::PIECE / 8);
    let second = pairs.find(|second| offsets.binary_search(&(*second as u32)).is_err()).expect("a bucket over an edge");
    let at = sections.start(4) + (second - 1) * 8;
    let exchanged = [entries[second], entries[second - 1]].concat();
    assert_eq!(wrong(at, &exchanged), ListError::Malformed("order of entries"));
    assert_eq!(wrong(at, &entries[second].repeat(2)), ListError::Malformed("order of entries"));

    let ends = numbers(4);
    assert_eq!(wrong(ends.end - 8, &[1]), ListError::Malformed("category of an entry"));
    let buckets = numbers(3);
    assert_eq!(wrong(buckets.start, &[1]), ListError::Malformed("first bucket"));
    assert_eq!(wrong(buckets.end - 4, &u32::MAX.to_le_bytes()), ListError::Malformed("last bucket"));
    assert_eq!(wrong(buckets.end - 4, &0u32.to_le_bytes()), ListError::Malformed("order of buckets"));
    assert_eq!(wrong(buckets.end, &[1]), ListError::Malformed("octets between sections"));
    // The whole last bucket, and with it its end, is somebody else's.
    let short = (entries.len() as u32 - 1).to_le_bytes();
    assert_eq!(wrong(buckets.end - 4, &short), ListError::Malformed("last bucket"));
}

/// A source that gives as much at once as it likes, and fails where it is told to.
struct Drip<'a> {
    octets: &'a [u8],
    pieces: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    fails: bool,
}

impl std::io::Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let piece = *self.pieces.next().unwrap();
        if piece == 0 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        if self.octets.is_empty() && self.fails {
            return Err(std::io::Error::other("the disk is gone"));
        }
        let (now, later) = self.octets.split_at(piece.min(buffer.len()).min(self.octets.len()));
        buffer[..now.len()].copy_from_slice(now);
        self.octets = later;
        Ok(now.len())
    }
}

#[test]
fn a_source_that_fails_is_told_from_a_bad_list() {
    let file = sample();
    for length in [0, 7, 100, 300, file.len()] {
        let source = Drip { octets: &file[..length], pieces: [50].iter().cycle(), fails: true };
        let error = Checked::read(source, None).map(|checked| checked.hash()).unwrap_err();
        assert_eq!(error.to_string(), "the disk is gone", "{length}");
    }
}

#[test]
fn a_proof_does_not_fit_octets_of_another_length() {
    let file = sample();
    for length in [0, file.len() - 1, file.len() + 1] {
        let mut other = file.clone();
        other.resize(length, 0);
        let error = Checked::read(&file[..], None).unwrap().over(other).unwrap_err();
        assert_eq!(error, ListError::Length { expected: file.len() as u64, found: length as u64 });
    }
}

/// Looks many names up, and digests that reach every bucket.
fn exercise(list: &List<&[u8]>) {
    let mut probe = suffixes(list.key(), &"a.".repeat(127));
    for depth in 1..=127u64 {
        probe.set(depth as usize, depth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    for name in ["example.com", "www.example.org", "host3.example.net", "a"] {
        assert!(lookup(list, name) >> list.categories().len() == 0);
    }
    for round in 0..64u64 {
        probe.set(1, round << 58);
        probe.set(127, (round << 58) | 0xffff);
        assert!(list.lookup(&probe).name >> list.categories().len() == 0);
    }
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    // Mostly the header and the small sections after it: that is where the numbers stand that are trusted most.
    let at = prop_oneof![4 => 0..HEADER, 2 => HEADER..HEADER + 192, 1 => 0usize..4096];
    let to = prop_oneof![Just(0u8), Just(1), Just(0xff), Just(0x80), any::<u8>()];
    prop::collection::vec((at, to), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// A file made by an enemy who knows the format: changed, and its hash set right again.
    #[test]
    fn hostile_files_with_the_right_hash_do_no_harm(changes in changes(), cut in prop_oneof![9 => Just(0usize), 1 => 0usize..600]) {
        let mut file = sample();
        file.truncate(file.len().saturating_sub(cut).max(HEADER));
        for (at, to) in changes {
            let at = at % file.len();
            file[at] = to;
        }
        layout::seal(&mut file);
        if let Ok(list) = List::open(&file[..], Some(DigestKey::OPEN)) {
            exercise(&list);
        }
    }

    /// In whatever pieces a file comes, the same is found.
    #[test]
    fn a_file_is_checked_in_any_pieces(
        mut pieces in prop::collection::vec(0usize..400, 1..9),
        changes in prop_oneof![3 => Just(Vec::new()), 1 => changes()],
        cut in prop_oneof![3 => Just(0usize), 1 => 0usize..600],
        sealed: bool,
    ) {
        pieces.push(1);
        let mut file = sample();
        file.truncate(file.len().saturating_sub(cut).max(HEADER));
        for (at, to) in changes {
            let at = at % file.len();
            file[at] = to;
        }
        if sealed {
            layout::seal(&mut file);
        }
        let source = Drip { octets: &file, pieces: pieces.iter().cycle(), fails: false };
        let found = Checked::read(source, Some(DigestKey::OPEN)).map(|checked| checked.hash());
        let expected = List::open(&file[..], Some(DigestKey::OPEN)).map(|list| list.hash());
        prop_assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(|error| error.to_string()));
    }

    /// The octets change after the list was opened, as under a memory map.
    #[test]
    fn octets_that_change_later_do_no_harm(changes in prop::collection::vec((0usize..4096, any::<u8>()), 1..200), cut in 0usize..3000) {
        use std::cell::RefCell;
        use std::rc::Rc;
        // Every `as_ref` shows the octets that are current; leaked, because a borrow of the cell must not end.
        struct Shifting(Rc<RefCell<&'static [u8]>>);
        impl AsRef<[u8]> for Shifting {
            fn as_ref(&self) -> &[u8] {
                *self.0.borrow()
            }
        }
        let good: &'static [u8] = Box::leak(sample().into_boxed_slice());
        let shown = Rc::new(RefCell::new(good));
        let list = List::open(Shifting(shown.clone()), None).unwrap();
        let mut bad = good.to_vec();
        for (at, to) in changes {
            let at = at % bad.len();
            bad[at] = to;
        }
        bad.truncate(bad.len().saturating_sub(cut));
        *shown.borrow_mut() = Box::leak(bad.into_boxed_slice());
        for name in ["example.com", "a.www.example.org", "host3.example.net", "a"] {
            let cover = cover(&list, name);
            prop_assert!(cover.name < 8 && cover.below & !cover.name == 0);
        }
    }
}

fn entry() -> impl Strategy<Value = (String, u8, bool)> {
    ("([ab]{1,2}\\.){0,4}[abc]", 0u8..5, any::<bool>())
}

proptest! {
    /// Few different labels, so that names meet above and below each other all the time.
    #[test]
    fn agrees_with_a_model(entries in prop::collection::vec(entry(), 0..120), asked in prop::collection::vec("([ab]{1,2}\\.){0,5}[abc]", 50)) {
        let mut model: HashMap<(String, bool), u64> = HashMap::new();
        for (name, category, exact) in &entries {
            *model.entry((name.clone(), *exact)).or_default() |= 1 << category;
        }
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, category, exact)| (name.as_str(), *category, if *exact { Scope::Exact } else { Scope::Subtree }))
            .collect();
        let list = List::open(build(meta(&["a", "b", "c", "d", "e"]), &entries), None).unwrap();
        prop_assert_eq!(list.len(), model.values().map(|categories| categories.count_ones() as usize).sum::<usize>());
        for name in asked.iter().map(String::as_str).chain(entries.iter().map(|entry| entry.0)) {
            let exact = model.get(&(name.to_owned(), true)).copied().unwrap_or(0);
            let mut below = 0;
            let mut suffix = Some(name);
            while let Some(ancestor) = suffix {
                below |= model.get(&(ancestor.to_owned(), false)).copied().unwrap_or(0);
                suffix = ancestor.split_once('.').map(|(_, rest)| rest);
            }
            prop_assert_eq!(cover(&list, name), Cover { name: exact | below, below }, "{}", name);
        }
    }
}

mod deltas {
    use super::*;

    type Sample = Vec<(u8, u8, Scope)>;

    fn scope() -> impl Strategy<Value = Scope> {
        prop_oneof![Just(Scope::Subtree), Just(Scope::Exact)]
    }

    /// Entries among 60 names, each above or below some other ones.
    fn entries() -> impl Strategy<Value = Sample> {
        prop::collection::vec((0..60u8, 0..3u8, scope()), 0..120)
    }

    fn name(number: u8) -> String {
        let below = ["", "a.", "b.a.", "c."][usize::from(number % 4)];
        format!("{below}host{}.example", number / 4)
    }

    fn list(serial: u64, entries: &Sample) -> List<Vec<u8>> {
        let meta = ListMeta { serial, ..meta(&["a", "b", "c"]) };
        let named: Vec<_> =
            entries.iter().map(|(number, category, scope)| (name(*number), *category, *scope)).collect();
        let entries: Vec<_> = named.iter().map(|(name, category, scope)| (name.as_str(), *category, *scope)).collect();
        List::open(build(meta, &entries), None).unwrap()
    }

    fn delta<A: AsRef<[u8]>, B: AsRef<[u8]>>(old: &List<A>, new: &List<B>) -> Delta {
        Delta::read(&Delta::between(old, new).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn a_delta_says_what_the_new_list_says_and_becomes_it(one in entries(), two in entries(), three in entries()) {
            let (one, two, three) = (list(1, &one), list(2, &two), list(3, &three));
            let (first, second) = (delta(&one, &two), delta(&two, &three));
            let both = first.then(&second).unwrap();
            prop_assert_eq!(both.to_serial(), 3);
            for (delta, new) in [(first, &two), (both, &three)] {
                prop_assert_eq!(one.merge(&delta).unwrap(), new.as_bytes());
                let overlay = Overlay::new(&one, delta).unwrap();
                for number in 0..60 {
                    for name in [name(number), format!("x.{}", name(number))] {
                        let suffixes = suffixes(&DigestKey::OPEN, &name);
                        prop_assert_eq!(overlay.lookup(&one, &suffixes), new.lookup(&suffixes), "{}", name);
                    }
                }
            }
        }

        #[test]
        fn no_octets_make_reading_or_merging_panic(
            at in 0..600usize, value: u8, resum: bool, cut in 0..700usize, one in entries(), two in entries(),
        ) {
            let (one, two) = (list(1, &one), list(2, &two));
            let mut bytes = Delta::between(&one, &two).unwrap();
            bytes.truncate(cut.max(1));
            let at = at % bytes.len();
            bytes[at] = value;
            if resum && bytes.len() > 32 {
                let end = bytes.len() - 32;
                let sum = blake3::hash(&bytes[..end]);
                bytes[end..].copy_from_slice(sum.as_bytes());
            }
            if let Ok(delta) = Delta::read(&bytes) {
                // Whatever it says, only the list that was published comes out.
                if let Ok(file) = one.merge(&delta) {
                    let hash = List::open(file, None).unwrap().hash();
                    prop_assert_eq!(hash, delta.to_hash());
                }
                if let Ok(overlay) = Overlay::new(&one, delta) {
                    overlay.lookup(&one, &suffixes(&DigestKey::OPEN, "a.host1.example"));
                }
            }
        }
    }

    #[test]
    fn a_delta_is_small_and_belongs_to_its_list() {
        let entries: Sample = (0..60).map(|number| (number, 0, Scope::Subtree)).collect();
        let (old, new) = (list(1, &entries), list(2, &entries[2..].to_vec()));
        let bytes = Delta::between(&old, &new).unwrap();
        assert_eq!(bytes.len(), 312 + 2 * 9 + 32);
        let delta = Delta::read(&bytes).unwrap();
        assert_eq!(
            (delta.removed(), delta.added(), delta.from_hash(), delta.to_hash()),
            (2, 0, old.hash(), new.hash())
        );
        assert_eq!(new.merge(&delta).unwrap_err(), DeltaError::OtherList);
        assert_eq!(Overlay::new(&new, delta.clone()).unwrap_err(), DeltaError::OtherList);
        assert_eq!(delta.then(&delta).unwrap_err(), DeltaError::OtherList);

        let other = List::open(build(meta(&["a", "b"]), &[]), None).unwrap();
        assert!(matches!(Delta::between(&old, &other), Err(DeltaError::Unrelated("different categories"))));
        let key = ListMeta { key: DigestKey::new([1; 16]), ..meta(&["a", "b", "c"]) };
        let other = List::open(build(key, &[]), None).unwrap();
        assert!(matches!(Delta::between(&old, &other), Err(DeltaError::Unrelated("different keys"))));

        assert_eq!(Delta::read(&bytes[..bytes.len() - 1]).unwrap_err(), DeltaError::Damaged);
        assert_eq!(Delta::read(&[]).unwrap_err(), DeltaError::Damaged);
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert_eq!(Delta::read(&newer).unwrap_err(), DeltaError::Newer(2));
    }

    #[test]
    fn a_delta_that_speaks_of_too_many_entries_gets_no_room_for_them() {
        let (old, new) = (list(1, &vec![(1, 0, Scope::Subtree)]), list(2, &vec![(2, 0, Scope::Subtree)]));
        let mut bytes = Delta::between(&old, &new).unwrap();
        let end = bytes.len() - 32;
        // In the header of the list that comes out: entries, and how long their section is.
        bytes[48 + 88..48 + 96].copy_from_slice(&u64::from(u32::MAX).to_le_bytes());
        bytes[48 + 216..48 + 224].copy_from_slice(&(u64::from(u32::MAX) * 8).to_le_bytes());
        let sum = blake3::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(sum.as_bytes());
        let delta = Delta::read(&bytes).unwrap();
        assert_eq!(old.merge(&delta).unwrap_err(), DeltaError::Outcome);
        Overlay::new(&old, delta).unwrap();
    }
}
