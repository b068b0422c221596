//! The files of a release: the list, the change from the release before, and the manifest that names them.

use signed_list::digest::DigestKey;
use signed_list::list::{Delta, DeltaError, List, ListError};
use signed_list::release::{Class, Manifest, SPEC};
use thiserror::Error;
use tough::schema::Target;

use super::epoch::{Epoch, EpochError};
use super::repository::{target, target_file};

/// Changes that a manifest names at most. Who is further behind loads the list.
pub const CHANGES: usize = 16;
/// Times of decisions that a manifest names at most.
const DECISIONS: usize = 64;

/// Why the files of a release cannot be made.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum PayloadError {
    #[error(transparent)]
    Epoch(#[from] EpochError),
    #[error("the new list does not pass its own check: {0}")]
    New(ListError),
    #[error("the change from the release before cannot be made: {0}")]
    Delta(#[from] DeltaError),
    #[error("the manifest cannot be made: {0}")]
    Manifest(#[from] serde_json::Error),
}

/// A file of a release.
#[derive(Debug)]
pub struct File {
    /// Name of the target.
    pub name: String,
    /// Its entry in the metadata.
    pub target: Target,
    /// Its content.
    pub content: Vec<u8>,
}

impl File {
    /// A file under a name.
    pub fn new(name: String, content: Vec<u8>) -> File {
        File { target: target(&content), name, content }
    }

    /// Where it lies below `targets/`.
    pub fn path(&self) -> String {
        target_file(&self.name, &self.target)
    }
}

/// What a release is made from.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Its class.
    pub class: Class,
    /// Its epoch, in a sealed class.
    pub epoch: Option<&'a Epoch>,
    /// How many shards the envelopes lie in.
    pub shards: u32,
    /// The list file.
    pub list: &'a [u8],
    /// The list file of the release before, unless it has another key.
    pub before: Option<&'a [u8]>,
    /// The manifest of that release.
    pub manifest: Option<&'a Manifest>,
    /// When the decisions were taken that it brings into force, Unix milliseconds, ascending.
    pub decided: &'a [u64],
}

/// The files of a release.
#[derive(Debug)]
pub struct Payload {
    /// What it says about itself.
    pub manifest: Manifest,
    /// The new files: list, change, manifest.
    pub files: Vec<File>,
    /// Names of older changes that stay.
    pub stay: Vec<String>,
}

impl Parts<'_> {
    fn key(&self) -> Option<DigestKey> {
        self.epoch.map(Epoch::digest_key)
    }

    fn seal(&self, content: Vec<u8>) -> Result<Vec<u8>, EpochError> {
        match self.epoch {
            Some(epoch) => epoch.seal(&content),
            None => Ok(content),
        }
    }
}

impl Parts<'_> {
    /// The change from the release before; none where the whole list has to be loaded, because it has another key or
    /// other categories, comes from an older program, or is smaller than the change.
    fn delta(&self, list: &List<&[u8]>) -> Result<Option<Vec<u8>>, PayloadError> {
        let Some(before) = self.before else { return Ok(None) };
        let Ok(old) = List::open(before, self.key()) else { return Ok(None) };
        match Delta::between(&old, list) {
            Ok(delta) => Ok(Some(delta).filter(|delta| delta.len() < self.list.len())),
            Err(DeltaError::Unrelated(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes the files of a release.
pub fn payload(parts: &Parts<'_>) -> Result<Payload, PayloadError> {
    let class = parts.class;
    let list = List::open(parts.list, parts.key()).map_err(PayloadError::New)?;
    let mut files = vec![File::new(class.payload(list.serial()), parts.seal(parts.list.to_vec())?)];
    let (mut deltas, mut stay) = (Vec::new(), Vec::new());
    if let (Some(delta), Some(manifest)) = (parts.delta(&list)?, parts.manifest) {
        // The newest ones stay: each leads to the next one, and the last of them to the release before.
        let kept = manifest.deltas.len().saturating_sub(CHANGES - 1);
        deltas.extend_from_slice(&manifest.deltas[kept..]);
        let ends = deltas.iter().skip(1).chain(std::iter::once(&manifest.serial));
        stay.extend(deltas.iter().zip(ends).map(|(from, to)| class.delta(*from, *to)));
        deltas.push(manifest.serial);
        files.push(File::new(class.delta(manifest.serial, list.serial()), parts.seal(delta)?));
    }
    let manifest = Manifest {
        spec: SPEC,
        class,
        serial: list.serial(),
        created: list.created(),
        epoch: parts.epoch.map(|epoch| epoch.number),
        shards: parts.shards,
        categories: list.categories().to_vec(),
        entries: list.len() as u64,
        hash: list.hash(),
        length: parts.list.len() as u64,
        deltas,
        decided: parts.decided.iter().copied().take(DECISIONS).collect(),
    };
    files.push(File::new(class.manifest(), serde_json::to_vec(&manifest)?));
    Ok(Payload { manifest, files, stay })
}
