//! What is in force of a followed list: a list file, changes beside it, and the names that this resolver alone blocks.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signed_list::digest::DigestKey;
use signed_list::list::{Builder, CheckError, Checked, Delta, DeltaError, List, ListMeta, Overlay, Scope};
use signed_list::release::Manifest;

use super::sealed::Epoch;
use super::store::{Before, Held, Store};
use super::trouble::Trouble;
use crate::lists::{Aside, Bytes, Followed, open_copy, write_piece};

/// Changes that are looked for one by one beside the list, before they are merged into it at once.
const MANY_CHANGES: usize = 4096;
/// Fewer stay beside the list until nothing has come for this long: a merge writes the whole list.
const QUIET: Duration = Duration::from_secs(600);

/// What is in force.
pub(super) struct Current {
    /// The same in the words of `held.json`.
    pub(super) held: Held,
    pub(super) epoch: Option<Arc<Epoch>>,
    pub(super) list: Followed,
    /// When the last change came.
    since: Instant,
}

impl Current {
    /// A list with changes.
    pub(super) fn new(
        held: Held,
        epoch: Option<Arc<Epoch>>,
        list: List<Bytes>,
        change: Option<Delta>,
    ) -> Result<Self, Trouble> {
        let change = change.map(|delta| overlay(&list, delta, &held.manifest)).transpose()?;
        if change.is_none() && list.hash() != held.manifest.hash {
            return Err(another(&held.manifest));
        }
        let own = epoch.as_ref().map(|epoch| watermark(&list, epoch)).transpose()?.flatten().map(Arc::new);
        let list = Followed { list: Arc::new(list), change: change.map(Arc::new), own, except: None };
        Ok(Current { held, epoch, list, since: Instant::now() })
    }

    /// The next release: the same list with more changes beside it.
    pub(super) fn with(&self, held: Held, delta: Delta) -> Result<Self, Trouble> {
        let change = overlay(&self.list.list, delta, &held.manifest)?;
        let list = Followed { change: Some(Arc::new(change)), ..self.list.clone() };
        Ok(Current { held, epoch: self.epoch.clone(), list, since: Instant::now() })
    }

    pub(super) fn serial(&self) -> u64 {
        self.held.manifest.serial
    }

    /// The changes beside the list.
    pub(super) fn change(&self) -> Option<&Delta> {
        self.list.change.as_ref().map(|change| change.delta())
    }

    /// How many they are.
    pub(super) fn changes(&self) -> usize {
        self.change().map_or(0, |delta| delta.added() + delta.removed())
    }

    /// What a list file in the place of this one keeps of it.
    pub(super) fn before(&self) -> Before {
        Before { list: self.held.list, epoch: self.held.manifest.epoch }
    }

    /// Whether it is time to merge the changes into the list file.
    pub(super) fn is_due(&self) -> bool {
        is_due(self.changes(), self.since.elapsed())
    }

    /// Merges: the same answers from one file, which is octet for octet the one that was published.
    pub(super) fn merge(&self, store: &Store) -> Result<Self, Trouble> {
        let Some(delta) = self.change() else { return Err(Trouble::Fault) };
        let file = self.list.list.merge(delta)?;
        let manifest = self.held.manifest.clone();
        let key = self.epoch.as_ref().map(|epoch| epoch.digest_key.clone());
        let list = write_list(store, &manifest, key, &file[..])?;
        drop(file);
        let held = Held { list: manifest.serial, deltas: Vec::new(), before: Some(self.before()), manifest };
        Current::new(held, self.epoch.clone(), list, None)
    }
}

fn is_due(changes: usize, quiet: Duration) -> bool {
    changes > MANY_CHANGES || changes > 0 && quiet >= QUIET
}

fn another(manifest: &Manifest) -> Trouble {
    let why = "the list is not the one that the manifest speaks of".into();
    Trouble::Manifest { name: manifest.class.payload(manifest.serial), why }
}

/// Checks a list while it is read and written to the disk, and maps it there. So it never stands in memory as a whole.
pub(super) fn write_list(
    store: &Store,
    manifest: &Manifest,
    key: Option<DigestKey>,
    source: impl Read,
) -> Result<List<Bytes>, Trouble> {
    /// Why nothing was written.
    enum Stop {
        Disk(std::io::Error),
        List(CheckError),
        Another,
    }
    impl From<std::io::Error> for Stop {
        fn from(error: std::io::Error) -> Self {
            Stop::Disk(error)
        }
    }
    let place = store.list(manifest.serial);
    let written = store.write_with(&place, |file| {
        let mut copying = Copying { source: Aside::new(source), file, written: 0, failure: None };
        let checked = Checked::read(&mut copying, key);
        match (copying.failure.take(), checked) {
            (Some(error), _) => Err(Stop::Disk(error)),
            (None, Err(error)) => Err(Stop::List(error)),
            (None, Ok(checked)) if checked.hash() != manifest.hash => Err(Stop::Another),
            (None, Ok(checked)) => Ok(checked),
        }
    });
    let checked = written.map_err(|stop| match stop {
        Stop::Disk(error) => Trouble::disk(&place, error),
        Stop::List(error) => Trouble::List(error),
        Stop::Another => another(manifest),
    })?;
    open_copy(&place, checked).map_err(|error| Trouble::disk(&place, error))
}

/// A source of which all that is read goes to a file.
struct Copying<'a, R> {
    source: R,
    file: &'a std::fs::File,
    written: u64,
    /// Why it could not be written, to tell it from a source that cannot be read.
    failure: Option<std::io::Error>,
}

impl<R: Read> Read for Copying<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.source.read(buffer)?;
        if let Err(error) = write_piece(self.file, self.written, &buffer[..length]) {
            let kind = error.kind();
            self.failure = Some(error);
            return Err(kind.into());
        }
        self.written += length as u64;
        Ok(length)
    }
}

fn overlay(list: &List<Bytes>, delta: Delta, manifest: &Manifest) -> Result<Overlay, Trouble> {
    if (delta.to_hash(), delta.to_serial()) != (manifest.hash, manifest.serial) {
        return Err(Trouble::Change(DeltaError::Outcome));
    }
    Ok(Overlay::new(list, delta)?)
}

/// The names that this resolver alone blocks, as a small list under the key of the other one.
fn watermark(list: &List<Bytes>, epoch: &Epoch) -> Result<Option<List<Vec<u8>>>, Trouble> {
    if epoch.watermark.is_empty() || list.categories().is_empty() {
        return Ok(None);
    }
    let key: DigestKey = epoch.digest_key.clone();
    let meta = ListMeta { categories: list.categories().to_vec(), serial: 0, created: 0, key, sealed: false };
    let mut builder = Builder::new(meta);
    for (digest, labels) in &epoch.watermark {
        builder.push(*digest, *labels, 0, Scope::Subtree);
    }
    let wrong = |why: String| Trouble::Manifest { name: "envelope".into(), why };
    let bytes = builder.build().map_err(|error| wrong(error.to_string()))?;
    List::open(bytes, None).map(Some).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_merged_when_they_are_many_or_old() {
        assert!(!is_due(0, Duration::MAX) && !is_due(1, QUIET - Duration::from_secs(1)));
        assert!(is_due(1, QUIET));
        assert!(!is_due(MANY_CHANGES, Duration::ZERO) && is_due(MANY_CHANGES + 1, Duration::ZERO));
    }
}
