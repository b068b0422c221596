//! What was in force when the program last ran, from the disk: all of it, or what is left of it.

use std::sync::Arc;

use signed_list::list::{Checked, Delta, List};
use signed_list::release::{Manifest, SPEC};

use super::current::Current;
use super::sealed::{Epoch, Identity};
use super::store::{Held, Store};
use super::take::then;
use super::trouble::Trouble;
use crate::config::Source;
use crate::lists::{Bytes, open_copy};

/// Reads from the directory of a list.
pub(super) struct Restore<'a> {
    pub(super) source: &'a Source,
    pub(super) store: &'a Store,
    pub(super) identity: Option<&'a Identity>,
}

impl Restore<'_> {
    /// What `held.json` says; `None` before the first release.
    pub(super) fn held(&self) -> Result<Option<Current>, Trouble> {
        let place = self.store.held_file();
        let Some(held) = self.store.held().map_err(|error| Trouble::disk(&place, error))? else { return Ok(None) };
        if held.manifest.class != self.source.class {
            // The directory was that of another list.
            return Ok(None);
        }
        let epoch = held.manifest.epoch.map(|number| self.epoch(number)).transpose()?;
        let list = self.list(held.list, epoch.as_deref())?;
        let mut change: Option<Delta> = None;
        for step in &held.deltas {
            let place = self.store.delta(*step);
            let bytes = std::fs::read(&place).map_err(|error| Trouble::disk(&place, error))?;
            let next = then(change, &bytes);
            change = Some(next.map_err(|error| Trouble::disk(&place, std::io::Error::other(error)))?);
        }
        Current::new(held, epoch, list, change).map(Some)
    }

    /// The newest list file that is good: for the case that something else is not. What comes next is fetched from
    /// there.
    pub(super) fn salvage(&self) -> Option<Current> {
        let sealed = self.source.class.is_sealed();
        let epochs: Vec<Option<Arc<Epoch>>> = match sealed {
            true => self
                .store
                .numbers("envelope-", ".age")
                .into_iter()
                .filter_map(|it| self.epoch(it).ok())
                .map(Some)
                .collect(),
            false => vec![None],
        };
        let serials = self.store.numbers("", ".list").into_iter();
        serials.flat_map(|serial| epochs.iter().map(move |epoch| (serial, epoch))).find_map(|(serial, epoch)| {
            let list = self.list(serial, epoch.as_deref()).ok()?;
            let manifest = Manifest {
                spec: SPEC,
                class: self.source.class,
                serial: list.serial(),
                created: list.created(),
                epoch: epoch.as_ref().map(|epoch| epoch.number),
                shards: 0,
                categories: list.categories().to_vec(),
                entries: list.len() as u64,
                hash: list.hash(),
                length: list.as_bytes().len() as u64,
                deltas: Vec::new(),
                decided: Vec::new(),
            };
            let held = Held { manifest, list: serial, deltas: Vec::new(), before: None };
            Current::new(held, epoch.clone(), list, None).ok()
        })
    }

    fn epoch(&self, number: u64) -> Result<Arc<Epoch>, Trouble> {
        let identity = self.identity.ok_or(Trouble::NoIdentity)?;
        let place = self.store.envelope(number);
        let envelope = std::fs::read_to_string(&place).map_err(|error| Trouble::disk(&place, error))?;
        Ok(Arc::new(identity.open(&envelope)?))
    }

    fn list(&self, serial: u64, epoch: Option<&Epoch>) -> Result<List<Bytes>, Trouble> {
        let place = self.store.list(serial);
        let damaged = |error| Trouble::disk(&place, error);
        let file = std::fs::File::open(&place).map_err(damaged)?;
        let checked = Checked::read(&file, epoch.map(|epoch| epoch.digest_key.clone()));
        let list =
            open_copy(&place, checked.map_err(|error| damaged(std::io::Error::other(error)))?).map_err(damaged)?;
        if list.serial() != serial || list.sealed() != self.source.class.is_sealed() {
            return Err(damaged(std::io::Error::other("it is another list than its name says")));
        }
        Ok(list)
    }
}
