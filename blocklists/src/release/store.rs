//! Where releases go: a directory that a web server serves, or an S3-compatible store.
//!
//! The order is what makes it safe: files that nothing names yet first, then the metadata that names them, and last
//! `timestamp.json`, which brings all of it into force. Whoever is interrupted leaves the old release in force, and the
//! next run goes on: what is there already is not sent again, because a name never gets another content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload};
use thiserror::Error;

use super::stage::walk;
use crate::output::{NewFile, OutputError};

/// The file that brings everything into force.
pub const TIMESTAMP: &str = "metadata/timestamp.json";

/// The file by which one repository is told from another.
const FIRST_ROOT: &str = "metadata/1.root.json";

/// A place that releases are copied to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// As the user wrote it.
    pub name: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Directory(PathBuf),
    Store(Arc<dyn ObjectStore>),
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Copied {
    /// Where to.
    pub to: String,
    /// Files that were not there, or not the same.
    pub files: u64,
    /// Their octets.
    pub octets: u64,
    /// Files that nothing has named for a while.
    pub removed: u64,
}

/// Why releases cannot be copied. The old release stays in force there.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum StoreError {
    #[error("{0}: is neither a directory nor s3://BUCKET/PREFIX")]
    Address(String),
    #[error("{0}: is neither a directory nor s3://BUCKET/PREFIX nor http(s)://...")]
    Source(String),
    #[error("{0}: holds another repository; nothing was changed there. Name an empty place, or empty this one")]
    Foreign(String),
    #[error("{to}: the store cannot be used: {error}; check AWS_ENDPOINT, AWS_REGION and the credentials")]
    Open { to: String, error: Box<object_store::Error> },
    #[error("{to}: {file} cannot be {step}: {error}; the release before is still in force there, run this again")]
    Store { to: String, file: String, step: &'static str, error: Box<object_store::Error> },
    #[error("{}: cannot be {step}: {error}; the release before is still in force there", path.display())]
    Io { path: PathBuf, step: &'static str, error: io::Error },
    #[error("{0}; the release before is still in force there")]
    Output(#[from] OutputError),
}

impl Destination {
    /// A directory, relative to `base` if it is, or `s3://bucket/prefix`.
    pub fn parse(text: &str, base: &FilePath) -> Result<Destination, StoreError> {
        let place = match text.split_once("://") {
            None if !text.is_empty() => Place::Directory(base.join(text)),
            Some(("s3", _)) => Place::Store(s3(text)?),
            _ => return Err(StoreError::Address(text.to_owned())),
        };
        Ok(Destination { name: text.to_owned(), place })
    }

    /// The whole repository as a store to read from.
    pub fn reader(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match &self.place {
            Place::Store(store) => Ok(store.clone()),
            Place::Directory(path) => local(path, &self.name),
        }
    }

    /// Copies the publisher's own repository here, in the order that keeps resolvers safe, and takes away what it does
    /// not have any more.
    pub async fn copy(&self, public: &FilePath) -> Result<Copied, StoreError> {
        let mut here = files(public)?;
        let there = self.list().await?;
        let mut copied = Copied { to: self.name.clone(), ..Copied::default() };
        if there.contains_key(FIRST_ROOT) && !self.has_same(public, FIRST_ROOT).await?
            || there.contains_key(TIMESTAMP) && !there.contains_key(FIRST_ROOT)
        {
            return Err(StoreError::Foreign(self.name.clone()));
        }
        let timestamp = here.remove(TIMESTAMP);
        let mut wanted: Vec<(&String, &u64)> =
            here.iter().filter(|(name, length)| there.get(*name) != Some(*length)).collect();
        // A new root is of use only together with a timestamp that its keys signed, so it comes as late as possible.
        wanted.sort_by_key(|(name, _)| (name.starts_with("metadata/"), name.ends_with(".root.json"), *name));
        for (name, length) in wanted {
            self.put(public, name).await?;
            copied.files += 1;
            copied.octets += length;
        }
        if timestamp.is_some() && !self.has_same(public, TIMESTAMP).await? {
            self.put(public, TIMESTAMP).await?;
            copied.files += 1;
            copied.octets += timestamp.unwrap_or(0);
        }
        for name in there.keys().filter(|name| !here.contains_key(*name) && *name != TIMESTAMP && is_ours(name)) {
            self.remove(name).await?;
            copied.removed += 1;
        }
        Ok(copied)
    }

    async fn list(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        match &self.place {
            Place::Directory(path) => {
                fs::create_dir_all(path).map_err(io(path, "made"))?;
                files(path)
            }
            Place::Store(store) => {
                let list = store.list(None).map_ok(|meta| (meta.location.to_string(), meta.size));
                list.try_collect().await.map_err(|error| self.failed("", "listed", error))
            }
        }
    }

    async fn put(&self, public: &FilePath, name: &str) -> Result<(), StoreError> {
        let from = public.join(name);
        let content = fs::read(&from).map_err(io(&from, "read"))?;
        match &self.place {
            Place::Directory(path) => {
                let path = path.join(name);
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder).map_err(io(folder, "made"))?;
                }
                Ok(NewFile::put(&path, &content, false)?)
            }
            Place::Store(store) => {
                let put = store.put(&Path::from(name), PutPayload::from(content)).await;
                put.map(drop).map_err(|error| self.failed(name, "written", error))
            }
        }
    }

    async fn has_same(&self, public: &FilePath, name: &str) -> Result<bool, StoreError> {
        let from = public.join(name);
        let here = fs::read(&from).map_err(io(&from, "read"))?;
        match &self.place {
            Place::Directory(path) => Ok(fs::read(path.join(name)).is_ok_and(|there| there == here)),
            Place::Store(store) => match store.get(&Path::from(name)).await {
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(self.failed(name, "read", error)),
                Ok(there) => {
                    let there = there.bytes().await.map_err(|error| self.failed(name, "read", error))?;
                    Ok(there == here)
                }
            },
        }
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        match &self.place {
            Place::Directory(path) => {
                let path = path.join(name);
                fs::remove_file(&path).map_err(io(&path, "taken away"))?;
                // The folder of a payload has only it; one that has more stays.
                let _ = path.parent().map(fs::remove_dir);
                Ok(())
            }
            Place::Store(store) => {
                store.delete(&Path::from(name)).await.map_err(|error| self.failed(name, "taken away", error))
            }
        }
    }

    fn failed(&self, file: &str, step: &'static str, error: object_store::Error) -> StoreError {
        StoreError::Store { to: self.name.clone(), file: file.to_owned(), step, error: error.into() }
    }
}

/// A repository to read: a directory, a store, or a web server.
pub fn reader(text: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    match text.split_once("://") {
        Some(("http" | "https", _)) => {
            let options = ClientOptions::new().with_allow_http(true).with_timeout(Duration::from_secs(60));
            let store = HttpBuilder::new().with_url(text).with_client_options(options).build();
            Ok(Arc::new(store.map_err(|error| StoreError::Open { to: text.to_owned(), error: error.into() })?))
        }
        Some(("s3", _)) => s3(text),
        None => local(FilePath::new(text), text),
        Some(_) => Err(StoreError::Source(text.to_owned())),
    }
}

fn local(path: &FilePath, name: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let store = LocalFileSystem::new_with_prefix(path);
    Ok(Arc::new(store.map_err(|error| StoreError::Open { to: name.to_owned(), error: error.into() })?))
}

fn s3(text: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let failed = |error: object_store::Error| StoreError::Open { to: text.to_owned(), error: error.into() };
    let (bucket, prefix) =
        text.trim_start_matches("s3://").split_once('/').unwrap_or((text.trim_start_matches("s3://"), ""));
    if bucket.is_empty() {
        return Err(StoreError::Address(text.to_owned()));
    }
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        // Not all stores have the call that deletes many at once.
        .with_disable_bulk_delete(true)
        .build()
        .map_err(failed)?;
    let prefix = Path::parse(prefix).map_err(|error| failed(error.into()))?;
    Ok(if prefix.as_ref().is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
}

/// Files of a repository with their lengths. What was being written when somebody was interrupted is none.
fn files(directory: &FilePath) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut names = Vec::new();
    for folder in ["metadata", "targets"] {
        let path = directory.join(folder);
        if path.exists() {
            walk(&path, &format!("{folder}/"), &mut names).map_err(io(&path, "read"))?;
        }
    }
    let mut files = BTreeMap::new();
    for name in names.into_iter().filter(|name| !name.ends_with(".tmp")) {
        let path = directory.join(&name);
        files.insert(name, fs::metadata(&path).map_err(io(&path, "read"))?.len());
    }
    Ok(files)
}

/// Whether a name is one that this program gives: nothing else is ever taken away.
fn is_ours(name: &str) -> bool {
    if let Some(name) = name.strip_prefix("metadata/") {
        let version = name.split_once('.').filter(|(_, role)| role.ends_with(".json"));
        return version.is_some_and(|(version, _)| version.bytes().all(|digit| digit.is_ascii_digit()));
    }
    let hash = name.strip_prefix("targets/").and_then(|name| name.split_once('.'));
    hash.is_some_and(|(hash, _)| hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Since when files have been named by no metadata any more, Unix seconds.
pub type Retired = BTreeMap<String, u64>;

/// Takes files away that no metadata has named for so many seconds: nobody can still be fetching them.
pub fn clean(
    public: &FilePath,
    named: &BTreeSet<String>,
    retired: &mut Retired,
    grace: u64,
    now: u64,
) -> Result<(), StoreError> {
    let files = files(public)?;
    retired.retain(|name, _| files.contains_key(name) && !named.contains(name));
    for name in files.into_keys() {
        if name == TIMESTAMP || name.ends_with(".root.json") || named.contains(&name) {
            continue;
        }
        if now.saturating_sub(*retired.entry(name.clone()).or_insert(now)) > grace {
            let path = public.join(&name);
            fs::remove_file(&path).map_err(io(&path, "taken away"))?;
            let _ = path.parent().map(fs::remove_dir); // only if it is empty
            retired.remove(&name);
        }
    }
    Ok(())
}

fn io(path: &FilePath, step: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::Io { path: path.to_owned(), step, error }
}
