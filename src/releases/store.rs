//! The directory of a followed list: what has to be there after a crash, a power cut or a week without a network.
//!
//! | file | what it is |
//! |---|---|
//! | `held.json` | what is in force: manifest, list file, changes to it; renamed into place after everything that it names |
//! | `<serial>.list` | a list file (digests; of a sealed list without its key) |
//! | `<from>-<to>.delta` | changes that are not merged into the list file yet |
//! | `envelope-<epoch>.age` | the own envelope, encrypted as it came |
//! | `trusted/` | metadata that was checked: the guard against older ones |
//! | `metadata/` | signed metadata files that never change, to fetch them once |
//! | `verified` | its time is when the repository was last seen to be current |
//! | `receipts.jws` | receipts, one on each line |

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use signed_list::release::Manifest;

/// What is in force, as `held.json` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    /// The release in force.
    pub(super) manifest: Manifest,
    /// Serial of the list file.
    pub(super) list: u64,
    /// Changes to it, in their order: from which serial to which.
    pub(super) deltas: Vec<(u64, u64)>,
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

impl Store {
    /// Opens the directory; with `make`, it is made if it is not there.
    pub(super) fn open(directory: &Path, make: bool) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let store = Store { directory: directory.into() };
        if !make {
            return Ok(store);
        }
        for directory in [directory, &store.trusted(), &store.metadata()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(store)
    }

    /// Opens a directory for a list that is in no repository.
    pub(super) fn bare(directory: &Path, make: bool) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        if make {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(Store { directory: directory.into() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn trusted(&self) -> PathBuf {
        self.directory.join("trusted")
    }

    pub(super) fn metadata(&self) -> PathBuf {
        self.directory.join("metadata")
    }

    pub(super) fn receipts(&self) -> PathBuf {
        self.directory.join("receipts.jws")
    }

    pub(super) fn list(&self, serial: u64) -> PathBuf {
        self.directory.join(format!("{serial}.list"))
    }

    pub(super) fn delta(&self, (from, to): (u64, u64)) -> PathBuf {
        self.directory.join(format!("{from}-{to}.delta"))
    }

    pub(super) fn envelope(&self, epoch: u64) -> PathBuf {
        self.directory.join(format!("envelope-{epoch}.age"))
    }

    /// What is in force; `None` before the first release.
    pub(super) fn held(&self) -> io::Result<Option<Held>> {
        match fs::read(self.directory.join("held.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts `held` in force for the next start, and removes what it does not need.
    pub(super) fn hold(&self, held: &Held) -> io::Result<()> {
        self.write(&self.directory.join("held.json"), &serde_json::to_vec_pretty(held).map_err(io::Error::other)?)?;
        let needed = |name: &str| match name.rsplit_once('.') {
            Some((serial, "list")) => serial == held.list.to_string(),
            Some((change, "delta")) => held.deltas.iter().any(|(from, to)| change == format!("{from}-{to}")),
            Some((envelope, "age")) => held.manifest.epoch.is_some_and(|epoch| envelope == format!("envelope-{epoch}")),
            Some((_, "new")) => false,
            _ => true,
        };
        for entry in fs::read_dir(&self.directory)?.flatten() {
            if entry.file_name().to_str().is_some_and(|name| !needed(name)) {
                // Left over, it takes room and does no harm.
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    /// Writes a file beside its place and renames it: after a crash at any moment the old one is there or the new one.
    pub(super) fn write(&self, place: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut beside = place.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, place)
        };
        if let Err(error) = write() {
            // Half of a file takes room on a disk that may be full.
            drop(fs::remove_file(&beside));
            return Err(error);
        }
        File::open(place.parent().unwrap_or(place))?.sync_all()
    }

    /// A directory with a copy of the trusted metadata, for one look at the repository.
    pub(super) fn stage(&self) -> io::Result<PathBuf> {
        let staged = self.directory.join("trusted.new");
        if staged.exists() {
            fs::remove_dir_all(&staged)?;
        }
        fs::create_dir(&staged)?;
        for entry in fs::read_dir(self.trusted())?.flatten() {
            // The time of the last look: after a clock that was wrong for a while, it would forbid every later one.
            if entry.file_name() != "latest_known_time.json" {
                fs::copy(entry.path(), staged.join(entry.file_name()))?;
            }
        }
        Ok(staged)
    }

    /// Trusts what a look has checked. Each file for itself is the old one or the new one at any moment.
    pub(super) fn trust(&self, staged: &Path) -> io::Result<()> {
        for entry in fs::read_dir(staged)?.flatten() {
            File::open(entry.path())?.sync_all()?;
            fs::rename(entry.path(), self.trusted().join(entry.file_name()))?;
        }
        File::open(self.trusted())?.sync_all()?;
        fs::remove_dir(staged)
    }

    /// Forgets the metadata files that are kept to fetch them once: one of them may not be what was signed.
    pub(super) fn forget(&self) {
        for entry in fs::read_dir(self.metadata()).into_iter().flatten().flatten() {
            drop(fs::remove_file(entry.path()));
        }
    }

    /// Keeps those metadata files only that are named here.
    pub(super) fn keep_only(&self, names: &[String]) {
        for entry in fs::read_dir(self.metadata()).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|name| names.iter().any(|kept| kept == name)) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    /// When the repository was last seen to be current, Unix seconds.
    pub(super) fn verified(&self) -> Option<u64> {
        let time = fs::metadata(self.directory.join("verified")).ok()?.modified().ok()?;
        time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
    }

    /// Notes that it was, at that time.
    pub(super) fn set_verified(&self, seconds: u64) -> io::Result<()> {
        let file = File::options().append(true).create(true).open(self.directory.join("verified"))?;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }
}
