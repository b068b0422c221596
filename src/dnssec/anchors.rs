//! Where trust begins: DS or DNSKEY records that the operator, or we, put there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use signed_list::name::Name;

use super::names::{is_within, labels};
use super::signature::{Ds, Key};

/// The keys of the root (IANA root-anchors.xml): 20326 since 2018, and 38696,
/// which takes its place in 2026. Whoever has a root of their own names a file.
const ROOT: &str = "\
. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
";

/// What is trusted of one zone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) apex: Box<[u8]>,
    ds: Vec<Ds>,
    keys: Vec<Key>,
}

impl Anchor {
    /// Whether this key is trusted.
    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.keys.contains(key) || self.ds.iter().any(|ds| ds.is_of(&self.apex, key))
    }
}

/// All trust anchors; at least one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Anchors(Vec<Anchor>);

impl Anchors {
    /// The shipped ones.
    pub(super) fn shipped() -> Self {
        Anchors::read(ROOT).expect("the first test of this module reads it")
    }

    /// Reads DS and DNSKEY records as a zone file has them.
    ///
    /// # Errors
    /// What is wrong with the text, as half of a sentence.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut anchors: Vec<Anchor> = Vec::new();
        for (line, words) in lines(text) {
            let wrong = |what: &str| format!("line {line} {what}");
            let (owner, rtype, data) = split(&words).ok_or_else(|| wrong("is no DS or DNSKEY record"))?;
            let apex = match owner {
                "." => Box::from([0]),
                owner => {
                    let name = Name::parse(owner).map_err(|_| wrong("does not begin with a name"))?;
                    Box::from(name.as_wire())
                }
            };
            let index = anchors.iter().position(|anchor| anchor.apex == apex).unwrap_or_else(|| {
                anchors.push(Anchor { apex, ds: Vec::new(), keys: Vec::new() });
                anchors.len() - 1
            });
            let anchor = &mut anchors[index];
            match rtype {
                Kind::Ds => {
                    let ds = ds(data).ok_or_else(|| wrong("has no tag, algorithm, digest type and digest"))?;
                    if !ds.is_supported() {
                        return Err(wrong("has an algorithm that is not known here"));
                    }
                    anchor.ds.push(ds);
                }
                Kind::Key => {
                    let key = key(data).ok_or_else(|| wrong("has no flags, protocol, algorithm and key"))?;
                    if !key.is_of_zone() || key.is_revoked() {
                        return Err(wrong("is no key that signs a zone, or one that was revoked"));
                    }
                    anchor.keys.push(key);
                }
            }
        }
        if anchors.is_empty() { Err("holds no DS or DNSKEY record".into()) } else { Ok(Anchors(anchors)) }
    }

    /// The anchor that is closest above a name, or at it.
    pub(super) fn above(&self, name: &[u8]) -> Option<&Anchor> {
        let above = self.0.iter().filter(|anchor| is_within(name, &anchor.apex));
        above.max_by_key(|anchor| labels(&anchor.apex))
    }

    /// The one that shows whether upstreams pass signatures on: the root's, if
    /// there is one.
    pub(super) fn first(&self) -> &Anchor {
        self.above(&[0]).unwrap_or(&self.0[0])
    }
}

enum Kind {
    Ds,
    Key,
}

/// Records as words, each with the number of its first line. A record in
/// parentheses goes on over line ends; a semicolon begins a comment.
fn lines(text: &str) -> Vec<(usize, Vec<&str>)> {
    let (mut records, mut words, mut open, mut first) = (Vec::new(), Vec::new(), false, 1);
    for (number, line) in text.lines().enumerate() {
        let line = line.split(';').next().unwrap_or("");
        if words.is_empty() {
            first = number + 1;
        }
        for part in line.split_inclusive(['(', ')']) {
            words.extend(part.trim_end_matches(['(', ')']).split_whitespace());
            open = part.ends_with('(') || open && !part.ends_with(')');
        }
        if !open && !words.is_empty() {
            records.push((first, std::mem::take(&mut words)));
        }
    }
    if !words.is_empty() {
        records.push((first, words));
    }
    records
}

/// Owner, type, and the words of the data.
fn split<'a, 'w>(words: &'w [&'a str]) -> Option<(&'a str, Kind, &'w [&'a str])> {
    let at = words.iter().position(|word| word.eq_ignore_ascii_case("DS") || word.eq_ignore_ascii_case("DNSKEY"))?;
    let between = words.get(1..at)?;
    let is_known = |word: &&str| word.eq_ignore_ascii_case("IN") || word.bytes().all(|letter| letter.is_ascii_digit());
    let kind = if words[at].eq_ignore_ascii_case("DS") { Kind::Ds } else { Kind::Key };
    between.iter().all(is_known).then(|| (words[0], kind, &words[at + 1..]))
}

fn ds(words: &[&str]) -> Option<Ds> {
    let [tag, algorithm, digest, value @ ..] = words else { return None };
    let mut data = tag.parse::<u16>().ok()?.to_be_bytes().to_vec();
    data.extend([algorithm.parse::<u8>().ok()?, digest.parse::<u8>().ok()?]);
    let value = value.concat();
    let pairs = value.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    data.extend(pairs.collect::<Option<Vec<u8>>>()?);
    (data.len() > 4).then(|| Ds::read(&data)).flatten()
}

fn key(words: &[&str]) -> Option<Key> {
    let [flags, protocol, algorithm, value @ ..] = words else { return None };
    let mut data = flags.parse::<u16>().ok()?.to_be_bytes().to_vec();
    data.extend([protocol.parse::<u8>().ok()?, algorithm.parse::<u8>().ok()?]);
    data.extend(STANDARD.decode(value.concat()).ok()?);
    (data.len() > 4).then(|| Key::read(&data)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root's keys as DNSKEY records, with their comments and parentheses.
    const KEYS: &str = "\
; the root\n\
.  172800 IN DNSKEY 257 3 8 ( AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3\n\
 +/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kv\n\
 ArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF\n\
 0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+e\n\
 oZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfd\n\
 RUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwN\n\
 R1AkUTV74bU= ) ; key id = 20326\n\
.  DNSKEY 257 3 8 AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc= ; keytag 38696\n";

    #[test]
    fn the_shipped_anchors_are_the_root_s_keys() {
        let (shipped, keys) = (Anchors::shipped(), Anchors::read(KEYS).unwrap());
        let keys = &keys.first().keys;
        assert_eq!(keys.iter().map(|key| key.tag).collect::<Vec<_>>(), [20326, 38696]);
        assert!(keys.iter().all(|key| shipped.first().is_of(key)));
        assert_eq!(shipped.above(b"\x07example\x00").unwrap().apex[..], [0]);
    }

    #[test]
    fn the_closest_anchor_counts() {
        let text = "example. IN DS 1 13 2 00ff\ntest DS 2 13 2 01\nA.Example. 3600 IN DS 3 8 2 ab cd\n";
        let anchors = Anchors::read(text).unwrap();
        let closest = |name: &[u8]| anchors.above(name).map(|anchor| anchor.apex.to_vec());
        assert_eq!(closest(b"\x01b\x01a\x07example\x00"), Some(b"\x01a\x07example\x00".to_vec()));
        assert_eq!(closest(b"\x01c\x07example\x00"), Some(b"\x07example\x00".to_vec()));
        assert_eq!(closest(b"\x03com\x00"), None);
        assert_eq!(anchors.first().apex[..], *b"\x07example\x00");
    }

    #[test]
    fn what_is_no_anchor_is_refused_with_its_line() {
        for (text, what) in [
            ("", "holds no DS"),
            ("\n. IN NS a.example.\n", "line 2 is no DS"),
            (". IN DS 1 13 2 0g\n", "line 1 has no tag"),
            (". IN DS 1 16 2 00\n", "line 1 has an algorithm"),
            (". IN DNSKEY 257 3 8 @\n", "line 1 has no flags"),
            ("a..b. IN DS 1 13 2 00\n", "line 1 does not begin"),
        ] {
            let error = Anchors::read(text).unwrap_err();
            assert!(error.starts_with(what), "{text}: {error}");
        }
    }
}
