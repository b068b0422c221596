//! The change from one list to the next, as a resolver reads it, and as a publisher makes it.

use std::sync::LazyLock;

use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, Delta, List, ListMeta, Overlay, Scope};

use crate::world;

/// Names that lists of this target are made of.
const NAMES: u64 = 12;
/// Where the hash of the list that is changed lies in a delta, and how long the hash at its end is.
const FROM: std::ops::Range<usize> = 16..48;
const SUM: usize = 32;

static NAMED: LazyLock<Vec<Suffixes>> = LazyLock::new(|| {
    let suffixes = |i| {
        let name = signed_list::name::Name::parse(&world::text(i)).expect("a made-up name");
        let mut suffixes = Suffixes::new();
        DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
        suffixes
    };
    (0..NAMES).map(suffixes).collect()
});

static BASE: LazyLock<List<Vec<u8>>> = LazyLock::new(|| list(1, &[0x00, 0x01, 0x02, 0x43, 0x84]));

/// A delta as it is, with its hash set right, and for a list that is at hand; and one that is made of the octets.
pub fn delta(input: &[u8]) {
    apply(input);
    if input.len() >= FROM.end + SUM {
        let mut bytes = input.to_vec();
        seal(&mut bytes);
        apply(&bytes);
        bytes[FROM].copy_from_slice(&BASE.hash());
        seal(&mut bytes);
        apply(&bytes);
    }
    made(input);
}

fn seal(delta: &mut [u8]) {
    let end = delta.len() - SUM;
    let sum = blake3::hash(&delta[..end]);
    delta[end..].copy_from_slice(sum.as_bytes());
}

/// Lays a delta over the list; if it can be merged as well, both say the same about every name.
fn apply(bytes: &[u8]) {
    let Ok(delta) = Delta::read(bytes) else { return };
    let merged = BASE.merge(&delta);
    let Ok(overlay) = Overlay::new(&BASE, delta.clone()) else { return };
    let all = (1 << BASE.categories().len()) - 1;
    for suffixes in NAMED.iter() {
        let cover = overlay.lookup(&BASE, suffixes);
        assert!(cover.name <= all && cover.below & !cover.name == 0);
    }
    if let Ok(merged) = merged {
        same(&overlay, &List::open(merged, None).expect("what was merged is a list"));
    }
    drop(delta.then(&delta));
}

/// Three lists in a row, cut out of the octets: every way from the first one to the last one leads to the same.
fn made(input: &[u8]) {
    let third = input.len().min(48) / 3;
    let (first, rest) = input.split_at(third);
    let (second, rest) = rest.split_at(third);
    let [first, second, last] =
        [(1, first), (2, second), (3, &rest[..third])].map(|(serial, octets)| list(serial, octets));
    let between = |old, new| Delta::read(&Delta::between(old, new).expect("related lists")).expect("a good delta");
    let (one, two, both) = (between(&first, &second), between(&second, &last), between(&first, &last));
    let joined = one.then(&two).expect("one follows on the other");
    assert_eq!((joined.added(), joined.removed()), (both.added(), both.removed()));
    assert!(two.then(&one).is_err() || first.hash() == last.hash(), "they do not follow on each other backwards");
    for (old, delta, new) in [(&first, one, &second), (&first, joined, &last), (&first, both, &last)] {
        assert_eq!((delta.from_hash(), delta.to_hash()), (old.hash(), new.hash()));
        assert_eq!(old.merge(&delta).expect("it fits"), new.as_bytes());
        same_over(old, &Overlay::new(old, delta).expect("it fits"), new);
    }
}

fn same(overlay: &Overlay, merged: &List<Vec<u8>>) {
    same_over(&BASE, overlay, merged);
}

fn same_over(old: &List<Vec<u8>>, overlay: &Overlay, new: &List<Vec<u8>>) {
    for suffixes in NAMED.iter() {
        assert_eq!(overlay.lookup(old, suffixes), new.lookup(suffixes));
    }
}

/// A list with an entry for each octet: which name or what is above it, which of two categories, which scope.
fn list(serial: u64, octets: &[u8]) -> List<Vec<u8>> {
    let categories = vec!["a".into(), "b".into()];
    let mut builder = Builder::new(ListMeta { categories, serial, created: 0, key: DigestKey::OPEN, sealed: false });
    for octet in octets {
        let suffixes = &NAMED[usize::from(octet & 15) % NAMED.len()];
        let labels = suffixes.labels() - usize::from(octet >> 4 & 1);
        let scope = if octet & 0x80 == 0 { Scope::Subtree } else { Scope::Exact };
        builder.push(suffixes.get(labels), labels as u8, octet >> 6 & 1, scope);
    }
    List::open(builder.build().expect("few entries"), None).expect("a good list")
}
