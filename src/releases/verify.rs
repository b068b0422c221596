//! What a repository says, once everything that it says was checked: signatures, versions, hashes, lengths, expiry.

use std::path::Path;

use futures_util::StreamExt;
use signed_list::release::{Manifest, SPEC};
use tough::error::Error;
use tough::schema::{Root, Signed};
use tough::{Bytes, ExpirationEnforcement, Limits, Repository, RepositoryLoader, TargetName};

use super::remote::{Fetcher, METADATA, Remote};
use super::store::Store;
use super::trouble::Trouble;
use crate::config::Source;

/// Largest payload that is read, whatever is signed.
const MOST: u64 = 4 << 30;

/// A repository whose metadata was checked.
pub(super) struct Verified {
    repository: Repository,
    fetcher: Fetcher,
}

/// When what is trusted ends.
#[derive(Clone, Debug)]
pub(super) struct Expiry {
    /// Unix seconds.
    pub(super) at: u64,
    /// The same for people.
    pub(super) date: String,
}

/// Checks root metadata that an operator has given.
pub(super) fn check_root(octets: &[u8]) -> Result<(), String> {
    let root: Signed<Root> = serde_json::from_slice(octets)
        .map_err(|error| format!("it is no root metadata ({error}); the publisher gives it out as N.root.json"))?;
    root.signed.verify_role(&root).map_err(|error| format!("it is not signed by those whom it names ({error})"))
}

impl Verified {
    /// Checks all metadata of a repository whose timestamp was fetched. What was trusted before is the guard against
    /// older versions, and is replaced only when all of it is good.
    pub(super) async fn load(
        store: &Store,
        remote: &Remote,
        pinned: &[u8],
        timestamp: Vec<u8>,
    ) -> Result<Verified, Trouble> {
        let fetcher = Fetcher::new(remote, timestamp, &store.metadata());
        let mut loaded = load(store, remote, &fetcher, pinned).await;
        if loaded.is_err() && fetcher.used_kept() {
            // One of the files that are kept here may be the spoiled one.
            store.forget();
            loaded = load(store, remote, &fetcher, pinned).await;
        }
        let repository = loaded.map_err(|trouble| {
            store.forget();
            fetcher.failure().map_or(trouble, Trouble::from)
        })?;
        // That the next root could not be asked for, say.
        drop(fetcher.failure());
        Ok(Verified { repository, fetcher })
    }

    /// When the first of its documents ends.
    pub(super) fn expiry(&self) -> Expiry {
        let repository = &self.repository;
        let targets = &repository.targets().signed;
        let roles = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
        let documents = [
            repository.root().signed.expires,
            repository.timestamp().signed.expires,
            repository.snapshot().signed.expires,
            targets.expires,
        ];
        let delegated = roles.filter_map(|role| role.targets.as_ref().map(|targets| targets.signed.expires));
        let first = documents.into_iter().chain(delegated).min().unwrap_or(targets.expires);
        Expiry { at: u64::try_from(first.as_second()).unwrap_or(0), date: first.to_string() }
    }

    /// Octets that came over the network so far.
    pub(super) fn fetched(&self) -> u64 {
        self.fetcher.fetched()
    }

    /// What is in force in the class of a list.
    pub(super) async fn manifest(&self, source: &Source) -> Result<Manifest, Trouble> {
        let name = source.class.manifest();
        let bytes = self.target(&name).await?;
        let wrong = |why: &str| Trouble::Manifest { name: name.clone(), why: why.into() };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
        let fault = match &manifest {
            manifest if manifest.spec != SPEC => "it has a version that this program does not read; update it",
            manifest if manifest.class != source.class => "it is that of another class",
            manifest if manifest.class.is_sealed() != manifest.epoch.is_some() => "its epoch does not fit its class",
            manifest if manifest.length > MOST => "its list is larger than 4 GiB",
            // Each release holds test names, by which audits find out whether it is in force.
            manifest if manifest.entries == 0 => "its list is empty, which no release ever is; ask the publisher",
            _ => return Ok(manifest),
        };
        Err(wrong(fault))
    }

    /// A target: fetched, and what was signed.
    pub(super) async fn target(&self, name: &str) -> Result<Bytes, Trouble> {
        let missing = || Trouble::NoTarget { name: name.into() };
        let target = TargetName::new(name).map_err(|_| missing())?;
        let signed = self.repository.targets().signed.find_target(&target, false).map_err(|_| missing())?;
        if signed.length > MOST {
            return Err(Trouble::Manifest { name: name.into(), why: "it is larger than 4 GiB".into() });
        }
        self.fetcher.allow(signed.length);
        let fetched = async {
            let Some(stream) = self.repository.read_target(&target).await? else { return Ok(None) };
            let mut stream = std::pin::pin!(stream);
            let mut bytes = Bytes::new();
            // It comes in one piece, which is not copied. Read to the end, where its hash is compared.
            while let Some(piece) = stream.next().await {
                let piece = piece?;
                bytes = if bytes.is_empty() { piece } else { [&bytes[..], &piece].concat().into() };
            }
            Ok(Some(bytes))
        };
        let fetched: Result<_, Error> = fetched.await;
        let bytes = fetched.map_err(|error| self.fetcher.failure().map_or_else(|| error.into(), Trouble::from))?;
        bytes.ok_or_else(missing)
    }
}

async fn load(store: &Store, remote: &Remote, fetcher: &Fetcher, pinned: &[u8]) -> Result<Repository, Trouble> {
    let disk = |error| Trouble::disk(&store.trusted(), error);
    let staged = store.stage().map_err(disk)?;
    let root = trusted_root(&staged, pinned).map_err(disk)?;
    let repository = RepositoryLoader::new(&root, remote.metadata().clone(), remote.targets().clone())
        .transport(fetcher.clone())
        .datastore(&staged)
        .expiration_enforcement(ExpirationEnforcement::Safe)
        .limits(Limits {
            max_root_size: 1 << 20,
            max_targets_size: METADATA,
            max_timestamp_size: 64 << 10,
            max_snapshot_size: 1 << 20,
            max_root_updates: 1024,
        })
        .load()
        .await?;
    store.trust(&staged).map_err(disk)?;
    let snapshot = &repository.snapshot().signed;
    let mut names = vec![format!("{}.snapshot.json", snapshot.version)];
    names.extend(snapshot.meta.iter().map(|(name, meta)| format!("{}.{name}", meta.version)));
    store.keep_only(&names);
    Ok(repository)
}

/// The newest root that was ever trusted; the pinned one is where it began. When the operator has pinned another one,
/// nothing of before is trusted any more.
fn trusted_root(staged: &Path, pinned: &[u8]) -> std::io::Result<Vec<u8>> {
    let mark = blake3::hash(pinned).to_hex();
    let place = staged.join("pinned");
    if std::fs::read_to_string(&place).is_ok_and(|before| before == mark.as_str()) {
        let trusted = std::fs::read(staged.join("root.json")).ok().filter(|root| check_root(root).is_ok());
        // A damaged one is made anew from the pinned one, link by link. The other documents stay a guard.
        return Ok(trusted.unwrap_or_else(|| pinned.to_vec()));
    }
    for name in ["root.json", "timestamp.json", "snapshot.json", "targets.json"] {
        match std::fs::remove_file(staged.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::write(&place, mark.as_str())?;
    Ok(pinned.to_vec())
}
