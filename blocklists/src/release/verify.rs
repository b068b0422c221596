//! Checks a repository as a resolver would, and, where the secrets are at hand, what only resolvers can open.

use std::collections::BTreeMap;

use serde::Serialize;
use signed_list::digest::DigestKey;
use signed_list::list::{List, ListError};
use signed_list::release::{Class, Manifest, SPEC, Shard, shard_name};
use thiserror::Error;

use super::client::{Client, ClientError};
use super::epoch::EpochError;
use super::work::{Work, WorkError};

/// What is wrong with a repository whose signatures are good.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum VerifyError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Work(Box<WorkError>),
    #[error("{0}: is not what it should be: {1}")]
    Json(String, serde_json::Error),
    #[error("{0}: {1}")]
    Sealed(String, Box<EpochError>),
    #[error("{0}: {1}")]
    List(String, ListError),
    #[error("{0}: does not fit the manifest: {1}")]
    Manifest(String, &'static str),
    #[error("the resolver {0} is enrolled, and has no envelope of epoch {1}; publish a release")]
    NoEnvelope(String, u64),
}

impl From<WorkError> for VerifyError {
    fn from(error: WorkError) -> VerifyError {
        VerifyError::Work(Box::new(error))
    }
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Files that were fetched.
    pub files: u64,
    /// Their octets.
    pub octets: u64,
    /// The classes that have a release.
    pub classes: Vec<ClassVerified>,
}

/// What was found of a class.
#[derive(Debug, Serialize)]
pub struct ClassVerified {
    /// The class.
    pub class: Class,
    /// Its release.
    pub serial: u64,
    /// The epoch of it.
    pub epoch: Option<u64>,
    /// Entries in its list.
    pub entries: u64,
    /// Changes that lead to it.
    pub changes: usize,
    /// The list could be opened, and is the one that the manifest speaks of.
    pub opened: bool,
    /// Envelopes of enrolled resolvers that were found.
    pub envelopes: Option<u64>,
}

/// Checks everything.
pub async fn verify(client: &Client, work: Option<&Work>) -> Result<Verified, VerifyError> {
    let mut contents = BTreeMap::new();
    for name in client.targets() {
        let content = client.target(&name).await?;
        contents.insert(name, content);
    }
    let mut verified = Verified {
        files: contents.len() as u64,
        octets: contents.values().map(|content| content.len() as u64).sum(),
        classes: Vec::new(),
    };
    for class in Class::ALL {
        let name = class.manifest();
        let Some(text) = contents.get(&name) else { continue };
        let manifest: Manifest =
            serde_json::from_slice(text).map_err(|error| VerifyError::Json(name.clone(), error))?;
        if manifest.spec != SPEC || manifest.class != class || manifest.epoch.is_some() != class.is_sealed() {
            return Err(VerifyError::Manifest(name, "it is of another form or class"));
        }
        verified.classes.push(check_class(&manifest, &contents, work)?);
    }
    Ok(verified)
}

fn check_class(
    manifest: &Manifest,
    contents: &BTreeMap<String, Vec<u8>>,
    work: Option<&Work>,
) -> Result<ClassVerified, VerifyError> {
    let class = manifest.class;
    let name = class.payload(manifest.serial);
    let missing = |name: &str| VerifyError::Manifest(name.to_owned(), "it is missing");
    let payload = contents.get(&name).ok_or_else(|| missing(&name))?;
    let ends = manifest.deltas.iter().skip(1).chain(std::iter::once(&manifest.serial));
    for (from, to) in manifest.deltas.iter().zip(ends) {
        let name = class.delta(*from, *to);
        contents.get(&name).ok_or_else(|| missing(&name))?;
    }
    let mut found = ClassVerified {
        class,
        serial: manifest.serial,
        epoch: manifest.epoch,
        entries: manifest.entries,
        changes: manifest.deltas.len(),
        opened: false,
        envelopes: None,
    };
    let epoch = match (manifest.epoch, work) {
        (Some(number), Some(work)) => work.epoch(number)?,
        _ => None,
    };
    let sealed = |error| VerifyError::Sealed(name.clone(), Box::new(error));
    let (list, key) = match &epoch {
        Some(epoch) => (epoch.open(payload).map_err(sealed)?, epoch.digest_key()),
        None if class.is_sealed() => return Ok(found),
        None => (payload.clone(), DigestKey::OPEN),
    };
    let list = List::open(list, Some(key)).map_err(|error| VerifyError::List(name.clone(), error))?;
    if list.hash() != manifest.hash || list.serial() != manifest.serial || list.len() as u64 != manifest.entries {
        return Err(VerifyError::Manifest(name, "it is another list"));
    }
    found.opened = true;
    if let (Some(number), Some(work)) = (manifest.epoch, work) {
        found.envelopes = Some(check_envelopes(number, manifest.shards, contents, work)?);
    }
    Ok(found)
}

fn check_envelopes(
    epoch: u64,
    shards: u32,
    contents: &BTreeMap<String, Vec<u8>>,
    work: &Work,
) -> Result<u64, VerifyError> {
    let mut count = 0;
    for recipient in work.recipients()?.active() {
        let id = recipient.id();
        let name = shard_name(epoch, &id, shards);
        let none = || VerifyError::NoEnvelope(id.clone(), epoch);
        let text = contents.get(&name).ok_or_else(none)?;
        let shard: Shard = serde_json::from_slice(text).map_err(|error| VerifyError::Json(name, error))?;
        shard.envelopes.get(&id).ok_or_else(none)?;
        count += 1;
    }
    Ok(count)
}
