//! A domain name in the one normal form that everybody compares.
//!
//! Lists, policies and queries write the same name in many ways: `Bücher.Example`, `xn--bcher-kva.example.`,
//! `XN--BCHER-KVA.EXAMPLE`. [`Name`] holds the uncompressed wire form (RFC 1035 section 3.1) in lower case, and two
//! names are the same exactly when these octets are the same.
//!
//! Which text is a name:
//!
//! * Text that is ASCII throughout is taken octet by octet: letters, digits, `-` and `_`, each label 1 to 63 long.
//!   Hyphens may stand anywhere and an `xn--` label is not decoded, because resolvers are asked for `-a-.example`,
//!   `r1---sn-x.example` and `xn--0.example` whatever IDNA says about them, and a list must be able to hold whatever
//!   can be asked.
//! * Text with any character outside ASCII goes through UTS 46 (non-transitional, as browsers do it; it maps what
//!   IDNA 2008 leaves to applications and keeps `ß` and the joiners), and then has to pass the rule for ASCII. Here an
//!   `xn--` label that does not decode is refused, because UTS 46 judges a name as a whole.
//! * `*` is refused with an error of its own: an entry of a list covers the names below it by its scope.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use thiserror::Error;

/// Octets of the longest name in wire form, the root's zero included (RFC 1035 section 2.3.4).
const MAX_WIRE: usize = 255;
/// Octets of the longest label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// Labels of the longest name, without the root: 127 times two octets and the zero.
pub(crate) const MAX_LABELS: usize = 127;
/// Longest text given to IDNA, whose work grows with the square of a label. No name needs as much.
const MAX_UNICODE_TEXT: usize = 1024;

/// A domain name: uncompressed wire form, lower case, ending with the root's zero octet; 1 to 255 octets.
///
/// Names order as DNSSEC orders them (RFC 4034 section 6.1): label by label from the right, so that a name is
/// followed by everything below it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

/// Why a text or a wire form is not a name. The sentences do not repeat the name: the caller knows where it stood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// There is no text at all.
    #[error("the name is empty; the root is written \".\"")]
    Empty,
    /// Two dots in a row, or a dot at the beginning.
    #[error("the name has an empty label (a dot at its beginning, or two in a row)")]
    EmptyLabel,
    /// A label above 63 octets; the number is its length.
    #[error("a label of the name has {0} octets; at most 63 are possible")]
    LabelTooLong(usize),
    /// More than 255 octets in wire form.
    #[error("the name is longer than the 255 octets that DNS allows")]
    TooLong,
    /// A character that no name in a list can hold.
    #[error("the name holds {0:?}; only letters, digits, '-' and '_' can be in a name")]
    Character(char),
    /// `*` stands in the name.
    #[error("the name holds '*'; write the name without it, an entry already covers the names below it")]
    Wildcard,
    /// UTS 46 refuses the name: disallowed characters, mixed directions, a broken `xn--` label.
    #[error("the name is not a valid internationalised name (UTS 46)")]
    Idna,
    /// The octets are not one uncompressed name: cut off, compressed, or followed by something else.
    #[error("the octets are not one whole uncompressed name")]
    Wire,
}

impl Name {
    /// Reads a name as people write it; the module says which texts are names. One dot at the end is allowed, and
    /// `.` alone is the root. IP addresses are not told apart from names.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        if text.is_ascii() {
            return Name::parse_ascii(text.as_bytes());
        }
        if text.len() > MAX_UNICODE_TEXT {
            return Err(NameError::TooLong);
        }
        // Neither the deny list nor the length rule of UTS 46 are asked for: the ASCII rule below is the one that counts.
        let ascii = Uts46::new()
            .to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore)
            .map_err(|_| NameError::Idna)?;
        Name::parse_ascii(ascii.as_bytes())
    }

    fn parse_ascii(text: &[u8]) -> Result<Name, NameError> {
        match text {
            b"" => return Err(NameError::Empty),
            b"." => return Ok(Name(Box::new([0]))),
            _ => {}
        }
        let text = text.strip_suffix(b".").unwrap_or(text);
        // In wire form the length octets take the places of the dots, plus one in front and the zero at the end.
        let size = text.len() + 2;
        let mut wire = [0u8; MAX_WIRE];
        let mut start = 0; // where the length octet of the current label goes
        let mut end = 1;
        let mut close = |wire: &mut [u8; MAX_WIRE], end: usize| match end - start - 1 {
            0 => Err(NameError::EmptyLabel),
            length @ 1..=MAX_LABEL => {
                wire[start] = length as u8;
                start = end;
                Ok(())
            }
            length => Err(NameError::LabelTooLong(length)),
        };
        for &octet in text.iter().take(MAX_WIRE - 1) {
            match CANONICAL[usize::from(octet)] {
                0 if octet == b'.' => close(&mut wire, end)?,
                0 if octet == b'*' => return Err(NameError::Wildcard),
                0 => return Err(NameError::Character(char::from(octet))),
                canonical => wire[end] = canonical,
            }
            end += 1;
        }
        if size > MAX_WIRE {
            return Err(NameError::TooLong);
        }
        close(&mut wire, end)?;
        Ok(Name(wire[..size].into()))
    }

    /// Takes a name from uncompressed wire form and lower-cases it. Any octet may stand in a label, as in DNS itself;
    /// nothing may follow the root's zero.
    pub fn from_wire(wire: &[u8]) -> Result<Name, NameError> {
        let mut rest = wire;
        loop {
            let (&length, after) = rest.split_first().ok_or(NameError::Wire)?;
            if length == 0 {
                break;
            }
            // Lengths from 64 on are compression pointers and label types that DNS has given up.
            if usize::from(length) > MAX_LABEL {
                return Err(NameError::Wire);
            }
            rest = after.get(usize::from(length)..).ok_or(NameError::Wire)?;
        }
        if rest.len() != 1 {
            return Err(NameError::Wire);
        }
        if wire.len() > MAX_WIRE {
            return Err(NameError::TooLong);
        }
        // Length octets are below 64 and therefore never upper-case letters.
        Ok(Name(wire.to_ascii_lowercase().into()))
    }

    /// The wire form: length and octets of each label, lower case, the root's zero at the end.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Number of labels without the root, 0 to 127.
    pub fn labels(&self) -> usize {
        self.iter().count()
    }

    /// The labels without the root, from left to right; at least one octet each.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        suffixes(&self.0).map(|suffix| &suffix[1..1 + usize::from(suffix[0])])
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Whether this name is `ancestor` or lies below it, label by label: `notexample.com` is not below `example.com`.
    pub fn is_same_or_below(&self, ancestor: &Name) -> bool {
        let mut at = 0;
        while self.0.len() - at > ancestor.0.len() {
            at += 1 + usize::from(self.0[at]);
        }
        self.0[at..] == ancestor.0[..]
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(&self) -> Option<Name> {
        (!self.is_root()).then(|| Name(self.0[1 + usize::from(self.0[0])..].into()))
    }
}

/// What an octet of a text becomes in a name: letters in lower case, digits, '-' and '_'; 0 for everything else.
const CANONICAL: [u8; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let lower = (octet as u8).to_ascii_lowercase();
        if lower.is_ascii_lowercase() || lower.is_ascii_digit() || lower == b'-' || lower == b'_' {
            table[octet] = lower;
        }
        octet += 1;
    }
    table
};

/// The wire form cut before each label, the whole first, without the root alone. `wire` is one whole valid name.
fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = (wire.len() > 1).then_some(wire);
    std::iter::successors(first, |suffix| {
        let rest = &suffix[1 + usize::from(suffix[0])..];
        (rest.len() > 1).then_some(rest)
    })
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        let (a, b) = (LabelStarts::of(&self.0), LabelStarts::of(&other.0));
        // A slice orders by octets and then by length, which is what RFC 4034 asks of labels.
        for k in 1..=a.count.min(b.count) {
            match a.label(&self.0, k).cmp(b.label(&other.0, k)) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        a.count.cmp(&b.count)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where the labels of a name begin: a wire form can be walked from the left only.
struct LabelStarts {
    starts: [u8; MAX_LABELS],
    count: usize,
}

impl LabelStarts {
    fn of(wire: &[u8]) -> LabelStarts {
        let mut found = LabelStarts { starts: [0; MAX_LABELS], count: 0 };
        let mut at = 0;
        while wire[at] != 0 {
            found.starts[found.count] = at as u8; // a name has at most 255 octets
            found.count += 1;
            at += 1 + usize::from(wire[at]);
        }
        found
    }

    /// The `k`-th label from the right, 1 being the top-level domain.
    fn label<'a>(&self, wire: &'a [u8], k: usize) -> &'a [u8] {
        let start = usize::from(self.starts[self.count - k]);
        &wire[start + 1..start + 1 + usize::from(wire[start])]
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::parse(text)
    }
}

/// Without the dot at the end; the root is `.`. Dots and backslashes inside a label get a backslash, octets that are
/// not printable ASCII become `\DDD` (RFC 1035 section 5.1), so that no name can forge a line of a log.
impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if self.is_root() {
            return out.write_char('.');
        }
        for (i, label) in self.iter().enumerate() {
            if i > 0 {
                out.write_char('.')?;
            }
            for &octet in label {
                match octet {
                    b'.' | b'\\' => write!(out, "\\{}", char::from(octet))?,
                    0x21..=0x7e => out.write_char(char::from(octet))?,
                    _ => write!(out, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Name({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn texts_that_are_names() {
        for (text, shown) in [
            ("example.com", "example.com"),
            ("WWW.Example.COM.", "www.example.com"),
            (".", "."),
            ("_dmarc.a_b.example", "_dmarc.a_b.example"),
            ("-a-.r1---sn-x.example", "-a-.r1---sn-x.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("XN--0.example", "xn--0.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("B\u{dc}CHER.example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("fa\u{df}.de", "xn--fa-hia.de"),
            ("b\u{fc}cher\u{3002}example\u{3002}", "xn--bcher-kva.example"),
            ("_x.-b\u{fc}cher-.example", "_x.xn---bcher--o2a.example"),
            ("\u{4f8b}\u{5b50}.\u{6d4b}\u{8bd5}", "xn--fsqu00a.xn--0zwm56d"),
            ("\u{ff45}\u{ff58}.com", "ex.com"),
        ] {
            assert_eq!(name(text).to_string(), shown, "{text:?}");
        }
    }

    #[test]
    fn texts_that_are_not() {
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join(".");
        for (text, error) in [
            ("", NameError::Empty),
            ("..", NameError::EmptyLabel),
            (".example", NameError::EmptyLabel),
            ("a..example", NameError::EmptyLabel),
            ("example..", NameError::EmptyLabel),
            ("\u{ad}.example", NameError::EmptyLabel),
            (&long_label, NameError::LabelTooLong(64)),
            (&long_name, NameError::TooLong),
            (&"a.".repeat(128), NameError::TooLong),
            (&"x".repeat(70_000), NameError::TooLong),
            (&"\u{fc}".repeat(70_000), NameError::TooLong),
            (" example.com", NameError::Character(' ')),
            ("example.com\n", NameError::Character('\n')),
            ("http://example.com", NameError::Character(':')),
            ("a\\.b", NameError::Character('\\')),
            ("*.example.com", NameError::Wildcard),
            ("\u{ff0a}.b\u{fc}cher.example", NameError::Wildcard),
            ("b\u{fc}cher.xn--0.example", NameError::Idna),
            ("\u{5d0}a.example", NameError::Idna),
        ] {
            assert_eq!(Name::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn longest_names_fit() {
        let text = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        assert_eq!(name(&text).as_wire().len(), 255);
        assert_eq!(name(&format!("{text}.")).to_string(), text);
        let many = name(&"a.".repeat(127));
        assert_eq!((many.labels(), many.as_wire().len()), (127, 255));
        assert_eq!(name(".").labels(), 0);
    }

    #[test]
    fn wire_forms_that_are_not_one_name() {
        for wire in [&b""[..], b"\x03com", b"\x03co", b"\x03com\0\0", b"\xc0\x0c", b"\x03com\xc0\x00", b"\x40"] {
            assert_eq!(Name::from_wire(wire), Err(NameError::Wire), "{wire:?}");
        }
        let long = [&b"\x01a".repeat(127)[..], b"\x01a\0"].concat();
        assert_eq!(Name::from_wire(&long), Err(NameError::TooLong));
        assert_eq!(Name::from_wire(b"\x03WwW\x03CoM\0"), Ok(name("www.com")));
    }

    #[test]
    fn octets_that_are_not_printable_are_shown_as_numbers() {
        let odd = Name::from_wire(b"\x05a.\\\n \x02\xffz\0").unwrap();
        assert_eq!(odd.to_string(), "a\\.\\\\\\010\\032.\\255z");
    }

    #[test]
    fn below_goes_by_labels() {
        assert!(name("www.example.com").is_same_or_below(&name("example.com")));
        assert!(name("example.com").is_same_or_below(&name("example.com")));
        assert!(name("example.com").is_same_or_below(&name(".")));
        assert!(!name("notexample.com").is_same_or_below(&name("example.com")));
        assert!(!name("com").is_same_or_below(&name("example.com")));
        // The last octets are those of `com`, but they stand inside a label.
        let inner = Name::from_wire(b"\x05a\x03com\0").unwrap();
        assert!(!inner.is_same_or_below(&name("com")));
    }

    #[test]
    fn order_is_that_of_rfc_4034() {
        // The example of section 6.1.
        let wire: [&[u8]; 9] = [
            b"\x07example\0",
            b"\x01a\x07example\0",
            b"\x08yljkjljk\x01a\x07example\0",
            b"\x01Z\x01a\x07example\0",
            b"\x04zABC\x01a\x07EXAMPLE\0",
            b"\x01z\x07example\0",
            b"\x01\x01\x01z\x07example\0",
            b"\x01*\x01z\x07example\0",
            b"\x01\xc8\x01z\x07example\0",
        ];
        let names = wire.map(|wire| Name::from_wire(wire).unwrap());
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    proptest! {
        #[test]
        fn any_text_gives_a_name_or_an_error(text: String) {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(&Name::parse(&name.to_string()).unwrap(), &name);
            }
        }

        #[test]
        fn any_octets_give_a_name_or_an_error(wire in prop::collection::vec(0u8..70, 0..300)) {
            if let Ok(name) = Name::from_wire(&wire) {
                prop_assert_eq!(name.as_wire(), wire.to_ascii_lowercase());
                prop_assert!(name.to_string().bytes().all(|octet| octet.is_ascii_graphic()));
            }
        }

        #[test]
        fn text_and_wire_agree(text in "([a-zA-Z0-9_-]{1,20}\\.){0,8}[a-z]{1,10}") {
            let parsed = name(&text);
            prop_assert_eq!(&Name::from_wire(parsed.as_wire()).unwrap(), &parsed);
            prop_assert_eq!(parsed.to_string(), text.to_lowercase());
            prop_assert_eq!(parsed.labels(), text.split('.').count());
            let mut up = Some(parsed.clone());
            let mut steps = 0;
            while let Some(ancestor) = up {
                prop_assert!(parsed.is_same_or_below(&ancestor) && ancestor <= parsed);
                steps += 1;
                up = ancestor.parent();
            }
            prop_assert_eq!(steps, parsed.labels() + 1);
        }

        #[test]
        fn order_is_that_of_reversed_labels(a in "([ab-]{1,3}\\.){0,3}[ab]", b in "([ab-]{1,3}\\.){0,3}[ab]") {
            let reversed = |text: &str| text.rsplit('.').map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(name(&a).cmp(&name(&b)), reversed(&a).cmp(&reversed(&b)));
        }
    }
}
