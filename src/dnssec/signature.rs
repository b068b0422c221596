//! Keys of zones, and what they signed (RFC 4034, RFC 4035 section 5.3).

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

use super::names::{is_within, labels, suffix};
use super::sets::{Set, Signature};
use super::{Fault, Work, fault};
use crate::wire::{class, u16_at};

/// Signatures over one set that are tried at most, and keys with the tag of one
/// signature: both are what KeyTrap (CVE-2023-50387) multiplies.
const MOST_SIGNATURES: usize = 8;
const MOST_KEYS: usize = 4;

/// A DNSKEY record (RFC 4034 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) tag: u16,
    algorithm: u8,
    pub(super) data: Vec<u8>,
}

/// A zone whose keys are proven.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) apex: Box<[u8]>,
    pub(super) keys: Vec<Key>,
}

/// What a good signature says about a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proven {
    /// Seconds for which the set may be kept (RFC 4035 section 5.3.3).
    pub(super) ttl: u32,
    /// Labels of the wildcard's parent, when the set came from a wildcard.
    pub(super) wildcard: Option<usize>,
}

impl Key {
    /// Reads the data of a DNSKEY record.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let algorithm = *data.get(3)?;
        Some(Key { tag: tag(data), algorithm, data: data.to_vec() })
    }

    /// Zone key bit set, not revoked (RFC 5011), and the one protocol there is.
    pub(super) fn is_of_zone(&self) -> bool {
        self.data[0] & 0x01 != 0 && self.data[2] == 3
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.data[1] & 0x80 != 0
    }
}

/// RFC 4034 appendix B.
fn tag(data: &[u8]) -> u16 {
    let words = data.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    (sum + (sum >> 16)) as u16
}

/// A DS record (RFC 4034 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ds {
    tag: u16,
    algorithm: u8,
    digest: u8,
    value: Vec<u8>,
}

impl Ds {
    /// Reads the data of a DS record.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (tag, value) = (u16_at(data, 0)?, data.get(4..)?.to_vec());
        Some(Ds { tag, algorithm: data[2], digest: data[3], value })
    }

    /// Whether it can be checked here. A zone that has no other is as good as
    /// unsigned (RFC 4035 section 5.2, RFC 6840 section 5.2).
    pub(super) fn is_supported(&self) -> bool {
        matches!(self.algorithm, 5 | 7 | 8 | 10 | 13 | 14 | 15) && matches!(self.digest, 1 | 2 | 4)
    }

    /// SHA-1 counts only where there is nothing better (RFC 4509 section 3).
    pub(super) fn is_weak(&self) -> bool {
        self.digest == 1
    }

    /// Whether it stands for this key of the zone `apex`.
    pub(super) fn is_of(&self, apex: &[u8], key: &Key) -> bool {
        let algorithm = match self.digest {
            1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            2 => &digest::SHA256,
            4 => &digest::SHA384,
            _ => return false,
        };
        if self.tag != key.tag || self.algorithm != key.algorithm {
            return false;
        }
        let mut context = digest::Context::new(algorithm);
        context.update(apex);
        context.update(&key.data);
        context.finish().as_ref() == self.value
    }
}

/// Whether one of the zone's keys signed the set. `unix` is the time by the
/// wall clock, which is what signatures are dated by.
pub(super) fn verify(set: &Set, zone: &Zone, work: &mut Work, unix: u32) -> Result<Proven, Fault> {
    let own_labels = labels(&set.owner);
    // What is said when nothing fits: the first reason, but a signature that is
    // merely out of date says more than one by an unknown key.
    let mut reason: Option<Fault> = None;
    let mut note = |found: Fault| {
        if reason.as_ref().is_none_or(|known| known.rank() < found.rank()) {
            reason = Some(found);
        }
    };
    let mine = set.signatures.iter().filter(|signature| signature.signer == zone.apex);
    for signature in mine.take(MOST_SIGNATURES) {
        if !is_within(&set.owner, &zone.apex) || usize::from(signature.labels) > own_labels {
            note(fault::BOGUS);
            continue;
        }
        // Serial number arithmetic (RFC 4034 section 3.1.5).
        let left = signature.expiration.wrapping_sub(unix) as i32;
        if left < 0 {
            note(fault::EXPIRED);
            continue;
        }
        if (unix.wrapping_sub(signature.inception) as i32) < 0 {
            note(fault::NOT_YET_VALID);
            continue;
        }
        let fits = |key: &&Key| key.tag == signature.tag && key.algorithm == signature.algorithm;
        let mut any = false;
        for key in zone.keys.iter().filter(fits).take(MOST_KEYS) {
            any = true;
            if !key.is_of_zone() {
                note(fault::NO_ZONE_KEY);
                continue;
            }
            // It signs nothing but that it is revoked (RFC 5011 section 2.1).
            if key.is_revoked() {
                note(fault::DNSKEY_MISSING);
                continue;
            }
            work.signature(canonical_octets(set))?;
            if is_signed(set, signature, key) {
                let signed = usize::from(signature.labels);
                // A wildcard asked for by its own name is no substitute.
                let own = signed + 1 == own_labels && set.owner.starts_with(b"\x01*");
                let ttl = set.ttl.min(signature.ttl).min(signature.original_ttl).min(left as u32);
                return Ok(Proven { ttl, wildcard: (signed < own_labels && !own).then_some(signed) });
            }
            note(fault::BOGUS);
        }
        if !any {
            note(fault::DNSKEY_MISSING);
        }
    }
    Err(reason.unwrap_or(fault::RRSIGS_MISSING))
}

/// How much there is to hash.
fn canonical_octets(set: &Set) -> usize {
    set.data.iter().map(|data| set.owner.len() + 10 + data.len()).sum()
}

/// The cryptography, over the set in canonical form (RFC 4035 section 5.3.2).
fn is_signed(set: &Set, signature: &Signature, key: &Key) -> bool {
    let signed_labels = usize::from(signature.labels);
    let mut owner = set.owner.to_vec();
    if signed_labels < labels(&set.owner) {
        owner = [b"\x01*", suffix(&set.owner, signed_labels)].concat();
    }
    let mut message = signature.head.clone();
    for data in &set.data {
        message.extend_from_slice(&owner);
        message.extend_from_slice(&set.rtype.to_be_bytes());
        message.extend_from_slice(&class::IN.to_be_bytes());
        message.extend_from_slice(&signature.original_ttl.to_be_bytes());
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(data);
    }
    is_good(key, &message, &signature.value)
}

fn is_good(key: &Key, message: &[u8], signature: &[u8]) -> bool {
    let public = &key.data[4..];
    let curve = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8]| {
        UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
    };
    let uncompressed = || [&[4], public].concat();
    match key.algorithm {
        13 => curve(&ECDSA_P256_SHA256_FIXED, &uncompressed()),
        14 => curve(&ECDSA_P384_SHA384_FIXED, &uncompressed()),
        15 => curve(&ED25519, public),
        algorithm => {
            let parameters = match algorithm {
                5 | 7 => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
                8 => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                10 => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                _ => return false,
            };
            let Some((e, n)) = rsa(public) else { return false };
            RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
        }
    }
}

/// Exponent and modulus (RFC 3110 section 2), without leading zeros and of at
/// most 4,096 bits.
fn rsa(public: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match public {
        [0, high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        [length, rest @ ..] => (usize::from(*length), rest),
        [] => return None,
    };
    let (exponent, modulus) = rest.split_at_checked(length)?;
    let is_number = |octets: &[u8]| (1..=512).contains(&octets.len()) && octets[0] != 0;
    (is_number(exponent) && is_number(modulus)).then_some((exponent, modulus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dnssec::work::MOST_SIGNATURES as MOST_OF_AN_ANSWER;
    use crate::wire::{Section, rtype};

    const NOW: u32 = 1_800_000_000;

    fn signature(tag: u16, inception: u32, expiration: u32) -> Signature {
        Signature {
            algorithm: 13,
            labels: 1,
            original_ttl: 300,
            expiration,
            inception,
            tag,
            signer: Box::from(*b"\x07example\x00"),
            head: vec![0; 18],
            value: vec![7; 64],
            ttl: 300,
        }
    }

    fn set(signatures: Vec<Signature>) -> Set {
        let (owner, data) = (Box::from(*b"\x07example\x00"), vec![vec![192, 0, 2, 1]]);
        Set { section: Section::Answer, owner, rtype: rtype::A, ttl: 300, data, signatures, places: Vec::new() }
    }

    /// Keys that differ and have the same tag, which is a sum of words.
    fn keys(count: usize) -> Vec<Key> {
        let key = |turn: usize| {
            let mut data = vec![0x01, 0x00, 3, 13];
            data.resize(4 + 64, 0);
            data[4 + 2 * (turn % 32)] = 9;
            Key::read(&data).unwrap()
        };
        (0..count).map(key).collect()
    }

    fn zone(keys: Vec<Key>) -> Zone {
        Zone { apex: Box::from(*b"\x07example\x00"), keys }
    }

    #[test]
    fn keys_and_signatures_are_not_multiplied() {
        let zone = zone(keys(32));
        let tag = zone.keys[0].tag;
        assert!(zone.keys.iter().all(|key| key.tag == tag));
        let set = set((0..100).map(|_| signature(tag, NOW - 9, NOW + 9)).collect());
        let mut work = Work::new();
        assert_eq!(verify(&set, &zone, &mut work, NOW), Err(fault::BOGUS));
        assert_eq!(usize::from(MOST_OF_AN_ANSWER - work.signatures), MOST_SIGNATURES * MOST_KEYS);
        // Sets share what one answer may cost.
        while work.signatures > 0 {
            let _bogus = verify(&set, &zone, &mut work, NOW);
        }
        assert_eq!(verify(&set, &zone, &mut work, NOW), Err(fault::TOO_MUCH));
    }

    #[test]
    fn the_reason_says_most() {
        let zone = zone(keys(1));
        let tag = zone.keys[0].tag;
        let verdict = |signatures| verify(&set(signatures), &zone, &mut Work::new(), NOW).unwrap_err();
        assert_eq!(verdict(vec![]), fault::RRSIGS_MISSING);
        assert_eq!(verdict(vec![signature(tag ^ 1, NOW - 9, NOW + 9)]), fault::DNSKEY_MISSING);
        assert_eq!(verdict(vec![signature(tag, NOW - 9, NOW - 1)]), fault::EXPIRED);
        assert_eq!(verdict(vec![signature(tag, NOW + 1, NOW + 9)]), fault::NOT_YET_VALID);
        assert_eq!(verdict(vec![signature(tag, NOW - 9, NOW + 9)]), fault::BOGUS);
        let both = vec![signature(tag ^ 1, NOW - 9, NOW + 9), signature(tag, NOW - 9, NOW - 1)];
        assert_eq!(verdict(both), fault::EXPIRED);
        let foreign = Signature { signer: Box::from([0]), ..signature(tag, NOW - 9, NOW + 9) };
        assert_eq!(verdict(vec![foreign]), fault::RRSIGS_MISSING);
    }

    #[test]
    fn a_key_that_is_not_the_zone_s_signs_nothing() {
        let mut data = keys(1)[0].data.clone();
        data[0] = 0;
        let zone = zone(vec![Key::read(&data).unwrap()]);
        let set = set(vec![signature(zone.keys[0].tag, NOW - 9, NOW + 9)]);
        assert_eq!(verify(&set, &zone, &mut Work::new(), NOW), Err(fault::NO_ZONE_KEY));
    }

    #[test]
    fn dates_go_on_past_2106() {
        let zone = zone(keys(1));
        let tag = zone.keys[0].tag;
        let verdict = |now: u32, inception: u32, expiration: u32| {
            verify(&set(vec![signature(tag, inception, expiration)]), &zone, &mut Work::new(), now).unwrap_err()
        };
        assert_eq!(verdict(u32::MAX - 5, u32::MAX - 9, 9), fault::BOGUS, "valid, and wrong");
        assert_eq!(verdict(5, u32::MAX - 9, 9), fault::BOGUS, "valid, and wrong");
        assert_eq!(verdict(10, u32::MAX - 9, 9), fault::EXPIRED);
        assert_eq!(verdict(u32::MAX - 10, u32::MAX - 9, 9), fault::NOT_YET_VALID);
    }
}
