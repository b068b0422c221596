//! Epochs: the secrets that a sealed list is made and read with, and their envelopes for the enrolled resolvers.
//!
//! An epoch has a key for the digests and an age identity that all payloads are encrypted to. Each resolver gets both
//! in an envelope of its own. Who is revoked gets no envelope of the next epoch, and what it still has opens nothing
//! that comes later.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};
use serde::{Deserialize, Serialize};
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::name::Name;
use signed_list::release::{Envelope, SPEC, Shard, shard_name, shards_for};
use thiserror::Error;

/// The secrets of an epoch. Kept in a file that nobody else reads; its `Debug` form does not show them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// Number, from 1.
    pub number: u64,
    /// When it began, Unix seconds.
    pub created: u64,
    digest_key: [u8; 16],
    payload_key: String,
}

/// The envelopes of an epoch as they are published, by resolver. What is in them stays the same during an epoch, so a
/// resolver that is enrolled later changes no envelope of the others.
pub type Envelopes = BTreeMap<String, String>;

/// Why something cannot be sealed or opened.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum EpochError {
    #[error("the random numbers of this machine cannot be read")]
    Random,
    #[error("the age key is damaged: {0}")]
    Key(&'static str),
    #[error("encryption failed: {0}")]
    Encrypt(#[from] age::EncryptError),
    #[error("the encrypted file cannot be opened: {0}")]
    Decrypt(#[from] age::DecryptError),
    #[error("the envelope is not what it should be: {0}")]
    Envelope(#[from] serde_json::Error),
}

impl Epoch {
    /// Begins an epoch.
    pub fn begin(number: u64, now: u64) -> Result<Epoch, EpochError> {
        let mut digest_key = [0; 16];
        aws_lc_rs::rand::fill(&mut digest_key).map_err(|_| EpochError::Random)?;
        let payload_key = Identity::generate().to_string().expose_secret().to_owned();
        Ok(Epoch { number, created: now, digest_key, payload_key })
    }

    /// Key of the digests.
    pub fn digest_key(&self) -> DigestKey {
        DigestKey::new(self.digest_key)
    }

    fn identity(&self) -> Result<Identity, EpochError> {
        Identity::from_str(&self.payload_key).map_err(EpochError::Key)
    }

    /// Encrypts a payload to the epoch.
    pub fn seal(&self, payload: &[u8]) -> Result<Vec<u8>, EpochError> {
        Ok(age::encrypt(&self.identity()?.to_public(), payload)?)
    }

    /// Opens a payload.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, EpochError> {
        Ok(age::decrypt(&self.identity()?, sealed)?)
    }

    /// The envelope for a resolver, which alone blocks the names of its watermark.
    pub fn envelope(&self, recipient: &str, watermark: &[Name]) -> Result<String, EpochError> {
        let key = self.digest_key();
        let mut suffixes = Suffixes::new();
        let mut digests = Vec::with_capacity(watermark.len());
        for name in watermark {
            key.suffixes(name.as_wire(), &mut suffixes);
            digests.push((suffixes.get(suffixes.labels()), suffixes.labels() as u8)); // at most 127
        }
        let envelope = Envelope {
            spec: SPEC,
            epoch: self.number,
            digest_key: self.digest_key,
            payload_key: self.payload_key.clone(),
            watermark: digests,
        };
        let recipient = Recipient::from_str(recipient).map_err(EpochError::Key)?;
        Ok(age::encrypt_and_armor(&recipient, &serde_json::to_vec(&envelope)?)?)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Epoch({}, hidden)", self.number)
    }
}

/// Opens an envelope, as its resolver does.
pub fn open_envelope(identity: &Identity, envelope: &str) -> Result<Envelope, EpochError> {
    Ok(serde_json::from_slice(&age::decrypt(identity, envelope.as_bytes())?)?)
}

/// The shards that the envelopes of an epoch lie in: name of the target and its content.
pub fn shards(epoch: u64, envelopes: &Envelopes) -> Vec<(String, Vec<u8>)> {
    let count = shards_for(envelopes.len());
    let mut shards: BTreeMap<String, Shard> = (0..count)
        .map(|number| format!("epoch/{epoch}-{number}.json"))
        .map(|name| (name, Shard { spec: SPEC, epoch, envelopes: BTreeMap::new() }))
        .collect();
    for (resolver, envelope) in envelopes {
        if let Some(shard) = shards.get_mut(&shard_name(epoch, resolver, count)) {
            shard.envelopes.insert(resolver.clone(), envelope.clone());
        }
    }
    // Text in maps: nothing of it can fail.
    shards.into_iter().map(|(name, shard)| (name, serde_json::to_vec(&shard).unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use signed_list::release::resolver_id;

    use super::*;

    #[test]
    fn a_payload_opens_with_its_epoch_and_no_other() {
        let (one, two) = (Epoch::begin(1, 5).unwrap(), Epoch::begin(2, 6).unwrap());
        let sealed = one.seal(b"a list").unwrap();
        assert_eq!(one.open(&sealed).unwrap(), b"a list");
        assert!(two.open(&sealed).is_err());
        assert_ne!(one.digest_key(), two.digest_key());
        assert!(one.open(b"no age file").is_err());
        let mut spoiled = sealed.clone();
        *spoiled.last_mut().unwrap() ^= 1;
        assert!(one.open(&spoiled).is_err());
    }

    #[test]
    fn an_epoch_comes_back_from_its_file_and_does_not_show() {
        let epoch = Epoch::begin(3, 5).unwrap();
        let read: Epoch = serde_json::from_slice(&serde_json::to_vec(&epoch).unwrap()).unwrap();
        assert_eq!(read.open(&epoch.seal(b"x").unwrap()).unwrap(), b"x");
        assert_eq!(format!("{epoch:?}"), "Epoch(3, hidden)");
    }

    #[test]
    fn an_envelope_opens_for_its_resolver_alone_and_holds_its_watermark() {
        let epoch = Epoch::begin(3, 5).unwrap();
        let (mine, other) = (Identity::generate(), Identity::generate());
        let names = [Name::parse("a.one.example").unwrap(), Name::parse("b.c.two.example").unwrap()];
        let envelope = epoch.envelope(&mine.to_public().to_string(), &names).unwrap();
        assert!(envelope.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
        let opened = open_envelope(&mine, &envelope).unwrap();
        assert_eq!((opened.spec, opened.epoch), (SPEC, 3));
        assert_eq!(DigestKey::new(opened.digest_key), epoch.digest_key());
        let sealed = epoch.seal(b"a list").unwrap();
        assert_eq!(age::decrypt(&opened.payload_key.parse::<Identity>().unwrap(), &sealed).unwrap(), b"a list");
        let mut suffixes = Suffixes::new();
        epoch.digest_key().suffixes(names[1].as_wire(), &mut suffixes);
        assert_eq!(opened.watermark[1], (suffixes.get(4), 4));
        assert!(open_envelope(&other, &envelope).is_err());
    }

    #[test]
    fn every_resolver_finds_its_envelope_in_the_shard_with_its_name() {
        let envelopes: Envelopes =
            (0..100).map(|i| (resolver_id(&format!("age1{i}")), format!("envelope {i}"))).collect();
        let shards: BTreeMap<String, Vec<u8>> = shards(9, &envelopes).into_iter().collect();
        assert_eq!(shards.len(), 4);
        for (resolver, envelope) in &envelopes {
            let shard: Shard = serde_json::from_slice(&shards[&shard_name(9, resolver, 4)]).unwrap();
            assert_eq!((shard.spec, shard.epoch, &shard.envelopes[resolver]), (SPEC, 9, envelope));
        }
        assert_eq!(super::shards(9, &Envelopes::new()).len(), 1, "an epoch without resolvers has an empty shard");
    }
}
