//! The zones that are handed out, and the versions of each that are kept beside the releases.
//!
//! A version is never changed once it is there, so a transfer reads on from an open file whatever is published
//! meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use signed_list::name::Name;
use signed_list::release::Class;

use super::zone::{Owners, soa_serial};
use crate::release::work::{Work, WorkError};

/// All zones at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    zones: BTreeMap<Name, Versions>,
    /// Names of zones that are refused for ever, because what they ask for is the legal list.
    refused: Vec<Name>,
}

/// The versions of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// By serial of the zone.
    files: BTreeMap<u32, PathBuf>,
    newest: u32,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A zone.
    Zone(&'a Versions),
    /// The legal list, which is never handed out.
    Legal,
    /// No zone of this server.
    Nothing,
}

impl Shelf {
    /// Looks what there is in a work directory.
    pub fn read(work: &Work) -> Result<Shelf, WorkError> {
        let origin = work.zone_origin();
        let name = |list: &str| Name::parse(&format!("{list}.{origin}")).ok();
        let mut shelf = Shelf::default();
        let legal = work.scheme.categories(Class::Legal).iter().map(String::as_str);
        shelf.refused.extend([Class::Legal.word()].into_iter().chain(legal).filter_map(name));
        for class in work.settings.zones.open_classes() {
            let kept = work.zones(class)?;
            // What is offered is what the newest release has; older versions are only what changes are made from.
            let Some((newest, zones)) = kept.last_key_value() else { continue };
            for list in zones.keys() {
                let Some(name) = name(list).filter(|name| !shelf.refused.contains(name)) else { continue };
                let files = kept
                    .iter()
                    .filter_map(|(serial, zones)| Some((soa_serial(*serial), zones.get(list)?.clone())))
                    .collect();
                shelf.zones.insert(name, Versions { files, newest: soa_serial(*newest) });
            }
        }
        Ok(shelf)
    }

    /// Zones whose versions lie in these files, by serial; those without any are none.
    pub fn of(zones: impl IntoIterator<Item = (Name, BTreeMap<u32, PathBuf>)>) -> Shelf {
        let zones = zones.into_iter().filter_map(|(name, files)| {
            let newest = *files.last_key_value()?.0;
            Some((name, Versions { files, newest }))
        });
        Shelf { zones: zones.collect(), refused: Vec::new() }
    }

    /// What is meant by a name.
    pub fn find(&self, name: &Name) -> Found<'_> {
        match self.zones.get(name) {
            _ if self.refused.contains(name) => Found::Legal,
            Some(versions) => Found::Zone(versions),
            None => Found::Nothing,
        }
    }

    /// All zones with their serials.
    pub fn zones(&self) -> impl Iterator<Item = (&Name, u32)> {
        self.zones.iter().map(|(name, versions)| (name, versions.newest))
    }
}

impl Versions {
    /// The serial in force.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// The file of a version, if it is still kept.
    pub fn file(&self, serial: u32) -> Option<PathBuf> {
        self.files.get(&serial).cloned()
    }
}

/// Opens a version.
pub fn open(path: &Path) -> io::Result<Owners<BufReader<File>>> {
    Ok(Owners::new(BufReader::with_capacity(64 << 10, File::open(path)?)))
}
