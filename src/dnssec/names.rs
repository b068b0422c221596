//! Names in canonical wire form, as DNSSEC compares them.

use std::cmp::Ordering;

/// How many labels, the root not counted.
pub(super) fn labels(name: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while name[at] != 0 {
        at += 1 + usize::from(name[at]);
        count += 1;
    }
    count
}

/// The name without its first label; `None` above the root.
pub(super) fn parent(name: &[u8]) -> Option<&[u8]> {
    (name[0] != 0).then(|| &name[1 + usize::from(name[0])..])
}

/// The last `count` labels of a name that has at least as many.
pub(super) fn suffix(mut name: &[u8], count: usize) -> &[u8] {
    for _ in count..labels(name) {
        name = &name[1 + usize::from(name[0])..];
    }
    name
}

/// Whether `name` is `ancestor` or lies below it.
pub(super) fn is_within(name: &[u8], ancestor: &[u8]) -> bool {
    let (mine, theirs) = (labels(name), labels(ancestor));
    mine >= theirs && suffix(name, theirs) == ancestor
}

/// Whether `name` lies below `ancestor`.
pub(super) fn is_below(name: &[u8], ancestor: &[u8]) -> bool {
    name.len() > ancestor.len() && is_within(name, ancestor)
}

/// How many labels two names share at their ends.
pub(super) fn shared_labels(a: &[u8], b: &[u8]) -> usize {
    let most = labels(a).min(labels(b));
    (0..=most).rev().find(|count| suffix(a, *count) == suffix(b, *count)).unwrap_or(0)
}

/// The wildcard below `encloser`; `None` if it would be too long to exist.
pub(super) fn wildcard(encloser: &[u8]) -> Option<Vec<u8>> {
    (encloser.len() + 2 <= crate::wire::MAX_NAME).then(|| [b"\x01*", encloser].concat())
}

/// Canonical order (RFC 4034 section 6.1): label by label from the right.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (of_a, of_b) = (labels(a), labels(b));
    for count in 1..=of_a.min(of_b) {
        let label = |name| {
            let name = suffix(name, count);
            &name[1..1 + usize::from(name[0])]
        };
        match label(a).cmp(label(b)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    of_a.cmp(&of_b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> Vec<u8> {
        let labels = text.split('.').filter(|label| !label.is_empty());
        let mut name: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        name.push(0);
        name
    }

    #[test]
    fn names_stand_in_the_order_of_rfc_4034() {
        let order = ["example", "a.example", "yljkjljk.a.example", "z.a.example", "zabc.a.example", "z.example"];
        for pair in order.windows(2) {
            assert_eq!(compare(&wire(pair[0]), &wire(pair[1])), Ordering::Less, "{pair:?}");
            assert_eq!(compare(&wire(pair[1]), &wire(pair[0])), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare(&[0], &wire("example")), Ordering::Less);
    }

    #[test]
    fn names_lie_below_names_at_label_boundaries_only() {
        assert!(is_within(&wire("a.b.c"), &wire("b.c")));
        assert!(is_within(&wire("b.c"), &wire("b.c")) && !is_below(&wire("b.c"), &wire("b.c")));
        assert!(!is_within(&wire("ab.c"), &wire("b.c")));
        assert!(is_below(&wire("a"), &[0]));
        assert_eq!(shared_labels(&wire("x.b.c"), &wire("y.b.c")), 2);
        assert_eq!(shared_labels(&wire("x"), &wire("y")), 0);
        assert_eq!(wildcard(&wire("b.c")), Some(wire("*.b.c")));
        assert_eq!(parent(&wire("a.b")), Some(&wire("b")[..]));
        assert_eq!(parent(&[0]), None);
    }
}
