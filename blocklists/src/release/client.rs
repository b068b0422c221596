//! The other end: a repository as a resolver sees it, checked by `tough` from a pinned root.
//!
//! `publish` runs it over what it is about to put in force, before anybody else sees it; `verify` over what is out
//! there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use thiserror::Error;
use tough::{
    Bytes, IntoVec, Repository, RepositoryLoader, TargetName, Transport, TransportError, TransportErrorKind,
    TransportStream,
};
use url::Url;

/// Why a repository is not accepted.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum ClientError {
    #[error("{0}")]
    Refused(String),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("there is no repository there: {0} is missing")]
    NoRepository(String),
    #[error("the target {0} is not in the repository")]
    Absent(String),
}

/// A repository that was accepted.
pub struct Client {
    repository: Repository,
}

/// Files by name in memory, before those of a store.
#[derive(Clone)]
struct Files {
    first: Arc<HashMap<String, Bytes>>,
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Files {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Files({} in memory, {})", self.first.len(), self.store)
    }
}

#[tough::async_trait]
impl Transport for Files {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.path().trim_start_matches('/').to_owned();
        if let Some(content) = self.first.get(&name) {
            let content = content.clone();
            return Ok(Box::pin(futures_util::stream::once(async move { Ok(content) })));
        }
        let failed = move |error: object_store::Error| {
            let kind = match error {
                object_store::Error::NotFound { .. } => TransportErrorKind::FileNotFound,
                _ => TransportErrorKind::Other,
            };
            TransportError::new_with_cause(kind, url.as_str(), error)
        };
        let path = Path::parse(&name).map_err(|error| failed(error.into()))?;
        let result = self.store.get(&path).await.map_err(&failed)?;
        // The client wants a stream that is `Sync`, which those of stores are not. Targets are read as a whole anyway.
        let content = result.bytes().await.map_err(failed)?;
        Ok(Box::pin(futures_util::stream::once(async move { Ok(content) })))
    }
}

impl Client {
    /// Accepts a repository or says why not. `first` are files, by name, that stand before those of the store.
    pub async fn open(
        root: &[u8],
        first: HashMap<String, Bytes>,
        store: Arc<dyn ObjectStore>,
    ) -> Result<Client, ClientError> {
        let base = |folder: &str| {
            Url::parse(&format!("release:///{folder}/")).map_err(|error| ClientError::Refused(error.to_string()))
        };
        let loader = RepositoryLoader::new(&root, base("metadata")?, base("targets")?);
        let files = Files { first: Arc::new(first), store };
        let repository = loader.transport(files).load().await.map_err(|error| match error {
            // Each of these is there in any repository.
            tough::error::Error::Transport { source, url, .. } if source.kind() == TransportErrorKind::FileNotFound => {
                ClientError::NoRepository(url.path().trim_start_matches('/').to_owned())
            }
            error => refused(error),
        })?;
        Ok(Client { repository })
    }

    /// The metadata that was accepted.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Names of all targets, sorted.
    pub fn targets(&self) -> Vec<String> {
        let mut names: Vec<String> = self.repository.all_targets().map(|(name, _)| name.raw().to_owned()).collect();
        names.sort();
        names
    }

    /// The content of a target, as long as it should be and with the right hash.
    pub async fn target(&self, name: &str) -> Result<Vec<u8>, ClientError> {
        let target = TargetName::new(name).map_err(refused)?;
        let stream = self.repository.read_target(&target).await.map_err(refused)?;
        let stream = stream.ok_or_else(|| ClientError::Absent(name.to_owned()))?;
        stream.map_err(|error| error).into_vec().await.map_err(refused)
    }
}

/// The first cause of an error: the sentences around it repeat addresses that are none.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// With all its causes: the outermost sentence of `tough` often says only which document it was.
fn refused(error: tough::error::Error) -> ClientError {
    if let tough::error::Error::Transport { source, .. } = &error
        && source.kind() == TransportErrorKind::Other
    {
        return ClientError::Unreachable(innermost(source));
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let sentence = error.to_string();
        if !text.contains(&sentence) {
            text = format!("{text}: {sentence}");
        }
        cause = error.source();
    }
    ClientError::Refused(text)
}
