//! Keyed digests of a name and of all its suffixes, in one pass.
//!
//! A list blocks `example.com` and must be found from `a.b.www.example.com`. So a name is hashed from right to left,
//! one label after the other, each with its length in front: `www.example.com` is the octets `[3]com`, `[7]example`,
//! `[3]www`. After each label a copy of the state is finalised; that is the digest of the suffix so far. The lengths
//! keep suffixes apart that would read the same (`ab.c`, `a.bc`).
//!
//! The digest is SipHash-2-4 (Aumasson and Bernstein, 2012): 64 bits, a 128-bit key, fast on short input, and without
//! the key nobody can say which name a digest stands for, short of breaking the function. Who has key and file can
//! test any name: the key is what a sealed list keeps secret.

use std::fmt;

use crate::name::MAX_LABELS;

/// A SipHash-2-4 key. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestKey([u8; 16]);

impl DigestKey {
    /// The well-known key of open lists. It is the same in all of them, so that a resolver hashes a name once for
    /// all its open lists.
    pub const OPEN: DigestKey = DigestKey(*b"friendly-wifi-v1");

    /// A key of one's own, from a source of good randomness.
    pub const fn new(key: [u8; 16]) -> DigestKey {
        DigestKey(key)
    }

    /// The key itself.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Hashes all suffixes of a name.
    ///
    /// `wire` is the canonical form of [`crate::name::Name::as_wire`]: uncompressed, lower case, ending with the
    /// root's zero. Of anything that is not one whole name the result has no labels, and so matches nothing.
    pub fn suffixes(&self, wire: &[u8], out: &mut Suffixes) {
        // Three short loops, one for each thing: together they want more registers than there are.
        let count = out.find_labels(wire);
        out.reverse(wire, count);
        let mut state = SipState::new(self);
        let mut done = 0;
        for digest in &mut out.digests[1..=count] {
            // The last word of SipHash: what does not fill a word, and the length in the highest octet.
            let last = *digest;
            let words = (last >> 59) as usize;
            for word in &out.words[done..words] {
                state.compress(*word);
            }
            done = words;
            *digest = state.clone().finish(last);
        }
        out.labels = count;
    }

    /// Eight octets that tell a wrong key from the right one: the digest of a string that no name can be (a label
    /// cannot be 255 long).
    pub(crate) fn check(&self) -> u64 {
        let mut state = SipState::new(self);
        let text = b"\xfffriendly-wifi list key";
        let (words, last) = text.as_chunks();
        words.iter().for_each(|word| state.compress(u64::from_le_bytes(*word)));
        state.finish(word_at(last, 0) | (text.len() as u64) << 56)
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if *self == DigestKey::OPEN { "DigestKey(open)" } else { "DigestKey(hidden)" })
    }
}

/// The digests of all suffixes of one name. 1.4 kilobytes without any allocation: keep one and use it again.
#[derive(Clone)]
pub struct Suffixes {
    labels: usize,
    digests: [u64; MAX_LABELS + 1],
    /// Room to work in, so that it need not be zeroed for each name: the octets from right to left as whole words,
    words: [u64; 32],
    /// and where the labels begin.
    starts: [u8; MAX_LABELS + 1],
}

impl Suffixes {
    /// Of no name yet: no labels.
    pub const fn new() -> Suffixes {
        Suffixes { labels: 0, digests: [0; MAX_LABELS + 1], words: [0; 32], starts: [0; MAX_LABELS + 1] }
    }

    /// Labels of the name without the root, 0 to 127; 0 also for octets that were not a name.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Digest of the suffix with `k` labels: 1 is the top-level domain, [`Self::labels`] the whole name. 0 when the
    /// name has no such suffix.
    pub fn get(&self, k: usize) -> u64 {
        if k <= self.labels { self.digests.get(k).copied().unwrap_or(0) } else { 0 }
    }

    /// Notes where the labels of `wire` begin and tells how many they are; 0 when it is not one whole name.
    #[inline(always)]
    fn find_labels(&mut self, wire: &[u8]) -> usize {
        if wire.len() > 255 {
            return 0;
        }
        let (mut at, mut count) = (0, 0);
        while let Some(&length) = wire.get(at) {
            if length == 0 {
                return if at + 1 == wire.len() { count } else { 0 };
            }
            // Above 127 labels there are none in 255 octets; the mask tells the compiler so.
            self.starts[count & MAX_LABELS] = at as u8;
            count += 1;
            at += 1 + usize::from(length);
            if length >= 64 {
                return 0;
            }
        }
        0
    }

    /// Puts the labels in order from right to left into `words`, and where a label ends, what does not fill a word
    /// yet into its place in `digests`, with the length so far in the highest octet.
    #[inline(always)]
    fn reverse(&mut self, wire: &[u8], count: usize) {
        let (mut partial, mut length) = (0, 0);
        let mut end = wire.len().saturating_sub(1);
        for k in 1..=count {
            let start = usize::from(self.starts[(count - k) & MAX_LABELS]);
            let mut at = start;
            while at < end {
                let octets = (end - at).min(8);
                let word = word_at(wire, at) & (u64::MAX >> (64 - 8 * octets));
                let filled = length % 8;
                partial |= word << (8 * filled);
                self.words[length / 8 % 32] = partial;
                if filled + octets >= 8 {
                    // What did not fit. Two shifts, because a shift by 64 would be none.
                    partial = word >> (56 - 8 * filled) >> 8;
                }
                length += octets;
                at += 8;
            }
            self.digests[k] = partial | (length as u64) << 56;
            end = start;
        }
    }

    /// Puts another digest in, to reach corners of a list that no name is known for.
    #[cfg(test)]
    pub(crate) fn set(&mut self, k: usize, digest: u64) {
        self.digests[k] = digest;
    }
}

impl Default for Suffixes {
    fn default() -> Suffixes {
        Suffixes::new()
    }
}

impl fmt::Debug for Suffixes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.digests.iter().skip(1).take(self.labels)).finish()
    }
}

/// Eight octets from `at` on as a little-endian number, zeros where `bytes` ends. One load in all but the shortest
/// names: near the end it reads the last eight octets and shifts.
#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    if let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        return u64::from_le_bytes(*eight);
    }
    match bytes.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last).unbounded_shr(8 * (at + 8 - bytes.len()) as u32),
        None => short_word_at(bytes, at),
    }
}

#[cold]
fn short_word_at(bytes: &[u8], at: usize) -> u64 {
    bytes.iter().skip(at).rev().fold(0, |word, &octet| word << 8 | u64::from(octet))
}

/// SipHash-2-4 in the middle of its input.
#[derive(Clone)]
struct SipState {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl SipState {
    #[inline(always)]
    fn new(key: &DigestKey) -> SipState {
        let (k0, k1) = (word_at(&key.0, 0), word_at(&key.0, 8));
        SipState {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn compress(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }

    /// `last` is the word that SipHash adds: the octets that are left, and the length in the highest octet.
    #[inline(always)]
    fn finish(mut self, last: u64) -> u64 {
        self.compress(last);
        self.v2 ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use proptest::prelude::*;
    use siphasher::sip::SipHasher24;

    use super::*;
    use crate::name::Name;

    fn oracle(key: &DigestKey, octets: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(key.bytes());
        hasher.write(octets);
        hasher.finish()
    }

    fn digests(key: &DigestKey, wire: &[u8]) -> Vec<u64> {
        // Not fresh: what the last name left behind must not show.
        let mut suffixes = Suffixes::new();
        key.suffixes(&b"\x01a".repeat(127).into_iter().chain([0]).collect::<Vec<_>>(), &mut suffixes);
        assert_eq!(suffixes.labels(), 127);
        key.suffixes(wire, &mut suffixes);
        assert_eq!((suffixes.get(0), suffixes.get(suffixes.labels() + 1), suffixes.get(usize::MAX)), (0, 0, 0));
        (1..=suffixes.labels()).map(|k| suffixes.get(k)).collect()
    }

    #[test]
    fn octets_that_are_no_name_have_no_suffixes() {
        let longest = [&b"\x3f"[..], &[b'a'; 63]].concat();
        for wire in [
            &b""[..],
            b"\0\0",
            b"\x03com",
            b"\x03com\0\0",
            b"\xc0\x0c",
            b"\x40",
            &b"\x01a".repeat(200),
            &[longest.repeat(4), vec![0]].concat(),
            &[longest.repeat(100), vec![0]].concat(),
        ] {
            assert_eq!(digests(&DigestKey::OPEN, wire), Vec::<u64>::new(), "{wire:?}");
        }
        assert_eq!(digests(&DigestKey::OPEN, b"\0"), Vec::<u64>::new());
    }

    #[test]
    fn labels_are_hashed_from_the_right_with_their_lengths() {
        let key = DigestKey::new(*b"0123456789abcdef");
        let expected = [&b"\x03com"[..], b"\x03com\x07example", b"\x03com\x07example\x03www"];
        assert_eq!(digests(&key, b"\x03www\x07example\x03com\0"), expected.map(|octets| oracle(&key, octets)));
        assert_eq!(key.check(), oracle(&key, b"\xfffriendly-wifi list key"));
    }

    #[test]
    fn a_key_does_not_show() {
        let shown = format!("{:?}{:?}", DigestKey::new([77; 16]), DigestKey::OPEN);
        assert_eq!(shown, "DigestKey(hidden)DigestKey(open)");
    }

    proptest! {
        #[test]
        fn agrees_with_siphasher(key: [u8; 16], labels in prop::collection::vec("[a-z0-9]{1,63}", 1..40)) {
            let key = DigestKey::new(key);
            let mut text = labels.join(".");
            text.truncate(253);
            let name = Name::parse(&text).unwrap();
            let mut reversed = Vec::new();
            let labels: Vec<&[u8]> = name.iter().collect();
            let expected: Vec<u64> = labels.iter().rev().map(|label| {
                reversed.push(label.len() as u8);
                reversed.extend_from_slice(label);
                oracle(&key, &reversed)
            }).collect();
            prop_assert_eq!(digests(&key, name.as_wire()), expected);
        }

        #[test]
        fn a_suffix_has_the_digest_of_the_name_it_is(text in "([a-z]{1,9}\\.){1,9}[a-z]{1,9}") {
            let name = Name::parse(&text).unwrap();
            let whole = digests(&DigestKey::OPEN, name.as_wire());
            let parent = digests(&DigestKey::OPEN, name.parent().unwrap().as_wire());
            prop_assert_eq!(&whole[..parent.len()], &parent[..]);
        }

        #[test]
        fn any_octets_are_harmless(wire in prop::collection::vec(0u8..70, 0..300)) {
            prop_assert_eq!(digests(&DigestKey::OPEN, &wire).len(), Name::from_wire(&wire).map_or(0, |name| name.labels()));
        }
    }
}
