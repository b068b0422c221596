//! What a release says about itself, and what a resolver says back: the few documents that publisher and resolver
//! both read. They are JSON; nothing here signs or encrypts, which the programs do around these forms.
//!
//! A repository (The Update Framework, TUF) holds these targets for a list of the class `legal`:
//!
//! | target | role | content |
//! |---|---|---|
//! | `legal/manifest.json` | `legal` | [`Manifest`] of the newest release |
//! | `legal/<serial>.list.age` | `legal` | the list file, encrypted to the payload key of the epoch |
//! | `legal/<from>-<to>.delta.age` | `legal` | the change from one release to the next, encrypted like that |
//! | `epoch/<epoch>-<shard>.json` | `epoch` | [`Shard`]: an [`Envelope`] for each enrolled resolver, encrypted to it |
//!
//! Lists of the open classes lie in the clear: `operator/<serial>.list`, `operator/<from>-<to>.delta`, and no epochs.
//!
//! What a release costs a resolver does not grow with their number: only `epoch` targets do, they change when the key
//! does, and each resolver fetches one shard of them.

use serde::{Deserialize, Serialize};

/// Version of the forms in this module.
pub const SPEC: u32 = 1;
/// Envelopes in one shard, about: some twenty kilobytes for each resolver at the change of an epoch.
const PER_SHARD: usize = 32;

/// Who stands behind a list, and whether a venue may lift it. Each class is a delegated role of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// By law; encrypted to the enrolled resolvers.
    Legal,
    /// By the operator: malware, walk-arounds. Open.
    Operator,
    /// What a venue may choose: adult, gambling. Open.
    Venue,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 3] = [Class::Legal, Class::Operator, Class::Venue];

    /// Its name in the repository, in configurations and on command lines.
    pub fn word(self) -> &'static str {
        match self {
            Class::Legal => "legal",
            Class::Operator => "operator",
            Class::Venue => "venue",
        }
    }

    /// The class of a word.
    pub fn of_word(word: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.word() == word)
    }

    /// Its payloads are encrypted and its digests have a key of their own.
    pub fn is_sealed(self) -> bool {
        self == Class::Legal
    }

    /// Name of the target that says what is in force.
    pub fn manifest(self) -> String {
        format!("{}/manifest.json", self.word())
    }

    /// Name of the target with a whole list.
    pub fn payload(self, serial: u64) -> String {
        format!("{}/{serial}.list{}", self.word(), self.ending())
    }

    /// Name of the target with the change between two releases.
    pub fn delta(self, from: u64, to: u64) -> String {
        format!("{}/{from}-{to}.delta{}", self.word(), self.ending())
    }

    fn ending(self) -> &'static str {
        if self.is_sealed() { ".age" } else { "" }
    }
}

/// What is in force in a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SPEC`].
    pub spec: u32,
    /// The class, so that no manifest can stand in for another one.
    pub class: Class,
    /// Grows with each release of the class.
    pub serial: u64,
    /// When the release was made, Unix seconds.
    pub created: u64,
    /// Number of the epoch whose keys open it; none for open lists.
    pub epoch: Option<u64>,
    /// How many shards the envelopes of the epoch lie in; 0 without an epoch.
    pub shards: u32,
    /// Categories of the list.
    pub categories: Vec<String>,
    /// Entries in the list.
    pub entries: u64,
    /// Identity of the list: the BLAKE3 hash in its header, after decryption.
    #[serde(with = "hex")]
    pub hash: [u8; 32],
    /// Octets of the list, after decryption: more is not read.
    pub length: u64,
    /// Serials from which a change leads to the next release, ascending; the last one leads to [`Self::serial`]. A
    /// resolver on one of them applies the changes one after the other, any other one loads the list.
    pub deltas: Vec<u64>,
    /// When the decisions were taken that this release brings into force, Unix milliseconds: what time-to-block is
    /// measured from. At most 64, the oldest ones.
    pub decided: Vec<u64>,
}

impl Manifest {
    /// The changes on the way from a release to this one, each from a serial to the next, if all of them are there.
    pub fn steps_from(&self, held: u64) -> Option<Vec<(u64, u64)>> {
        let at = self.deltas.iter().position(|from| *from == held)?;
        let serials: Vec<u64> = self.deltas[at..].iter().copied().chain([self.serial]).collect();
        serials.is_sorted_by(|a, b| a < b).then(|| serials.windows(2).map(|pair| (pair[0], pair[1])).collect())
    }
}

/// The secrets of one epoch for one resolver. Only ever written encrypted.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// [`SPEC`].
    pub spec: u32,
    /// The epoch.
    pub epoch: u64,
    /// Key of the digests.
    #[serde(with = "hex")]
    pub digest_key: [u8; 16],
    /// The age identity (`AGE-SECRET-KEY-1...`) to which payloads of the epoch are encrypted.
    pub payload_key: String,
    /// Digests of names that this resolver alone blocks, with the number of their labels: proof that its own feed is
    /// in use, and the trace of a leak.
    pub watermark: Vec<(u64, u8)>,
}

/// Envelopes of some resolvers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// [`SPEC`].
    pub spec: u32,
    /// The epoch.
    pub epoch: u64,
    /// For each [`resolver_id`] an armoured age file with its [`Envelope`].
    pub envelopes: std::collections::BTreeMap<String, String>,
}

/// Name of an enrolled resolver: 16 hexadecimal digits from the hash of its age recipient (`age1...`). It says
/// nothing about where the resolver stands.
pub fn resolver_id(recipient: &str) -> String {
    let hash = blake3::hash(recipient.as_bytes());
    hash.as_bytes()[..8].iter().map(|octet| format!("{octet:02x}")).collect()
}

/// How many shards so many envelopes are cut into: a power of two.
pub fn shards_for(resolvers: usize) -> u32 {
    resolvers.div_ceil(PER_SHARD).next_power_of_two().min(1 << 16) as u32
}

/// Name of the target in which a resolver finds its envelope.
pub fn shard_name(epoch: u64, resolver: &str, shards: u32) -> String {
    let number = u64::from_str_radix(resolver.get(..16).unwrap_or(resolver), 16).unwrap_or(0);
    format!("epoch/{epoch}-{}.json", number % u64::from(shards.max(1)))
}

/// That a release is in force on a resolver. Signed as a compact JWS (RFC 7515) with Ed25519 (RFC 8037), header
/// `{"alg":"EdDSA","kid":<resolver>,"typ":"receipt+jws"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`SPEC`].
    pub spec: u32,
    /// [`resolver_id`] of the resolver, or its configured name where it has no key.
    pub resolver: String,
    /// The class.
    pub class: Class,
    /// The release.
    pub serial: u64,
    /// Hash of the list.
    #[serde(with = "hex")]
    pub hash: [u8; 32],
    /// When the release was made, Unix seconds.
    pub created: u64,
    /// When the oldest decision in it was taken, Unix milliseconds; none when it brings no decision into force.
    pub decided_at: Option<u64>,
    /// When it came into force here, Unix milliseconds.
    pub applied_at: u64,
    /// Program and version.
    pub software: String,
}

/// Octets as hexadecimal digits.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer, const N: usize>(octets: &[u8; N], out: S) -> Result<S::Ok, S::Error> {
        let text: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        out.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(input: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(input)?;
        let wrong = || D::Error::custom(format!("{} hexadecimal digits are wanted", 2 * N));
        if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut octets = [0; N];
        for (octet, digits) in octets.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *octet = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            spec: SPEC,
            class: Class::Legal,
            serial: 7,
            created: 1_800_000_000,
            epoch: Some(2),
            shards: 1,
            categories: vec!["legal".into()],
            entries: 12,
            hash: [0xab; 32],
            length: 4096,
            deltas: vec![5, 6],
            decided: vec![1_799_999_990_123],
        }
    }

    #[test]
    fn a_manifest_comes_back_as_it_went() {
        let text = serde_json::to_string(&manifest()).unwrap();
        assert!(text.contains(&"ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest());
    }

    #[test]
    fn changes_lead_from_one_release_to_the_next() {
        let steps = |held| manifest().steps_from(held);
        assert_eq!(steps(5), Some(vec![(5, 6), (6, 7)]));
        assert_eq!((steps(6), steps(4), steps(7)), (Some(vec![(6, 7)]), None, None));
        for deltas in [vec![5, 4], vec![5, 5], vec![5, 7], vec![5, 8]] {
            assert_eq!(Manifest { deltas, ..manifest() }.steps_from(5), None, "no way leads backwards or in a circle");
        }
    }

    #[test]
    fn a_hash_of_another_length_or_alphabet_and_unknown_fields_are_refused() {
        let text = serde_json::to_string(&manifest()).unwrap();
        for wrong in [
            text.replace(&"ab".repeat(32), &"ab".repeat(31)),
            text.replace(&"ab".repeat(32), &"+b".repeat(32)),
            text.replace(&"ab".repeat(32), &"é".repeat(32)),
            text.replacen('{', "{\"more\":1,", 1),
        ] {
            assert!(serde_json::from_str::<Manifest>(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_resolver_has_one_shard_and_shards_stay_small() {
        assert_eq!((shards_for(0), shards_for(32), shards_for(33), shards_for(10_000)), (1, 1, 2, 512));
        let id = resolver_id("age1example");
        assert_eq!(id.len(), 16);
        assert_eq!(shard_name(3, &id, 1), "epoch/3-0.json");
        let mut sizes = std::collections::HashMap::new();
        for number in 0..10_000 {
            *sizes.entry(shard_name(3, &resolver_id(&format!("age1{number}")), 512)).or_insert(0) += 1;
        }
        assert_eq!(sizes.len(), 512);
        assert!(sizes.values().all(|size| *size < 60));
    }
}
