//! The directory of a followed list: what has to be there after a crash, a power cut or a week without a network.
//!
//! | file | what it is |
//! |---|---|
//! | `held.json` | what is in force: manifest, list file, changes to it; renamed into place after everything that it names |
//! | `<serial>.list` | a list file (digests; of a sealed list without its key), and the one before it |
//! | `<from>-<to>.delta` | changes that are not merged into the list file yet |
//! | `envelope-<epoch>.age` | the own envelope, encrypted as it came |
//! | `trusted/` | metadata that was checked: the guard against older ones |
//! | `trusted.new/` | the same while a look is under way |
//! | `metadata/` | signed metadata files that never change, to fetch them once |
//! | `verified` | its time is when the repository was last seen to be current |
//! | `receipts.jws` | receipts, one on each line |

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use signed_list::release::Manifest;

/// The metadata that is trusted from one look to the next. tough keeps more, for nobody: the documents of all roles
/// under each of their versions, and the time, which after a clock that was wrong for a while would forbid every look.
const TRUSTED: [&str; 5] = ["pinned", "root.json", "timestamp.json", "snapshot.json", "targets.json"];

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
    /// The list file before this one, for the case that this one is damaged.
    pub(super) before: Option<Before>,
}

/// A list file that stays although another one is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    pub(super) list: u64,
    pub(super) epoch: Option<u64>,
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
    /// Locked, unless it is only read.
    lock: Option<Arc<File>>,
    /// Whoever follows the list has it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Store {
    /// Opens the directory to read what is in it.
    pub(super) fn read_only(directory: &Path) -> Self {
        Store { directory: directory.into(), lock: None, turn: Arc::default() }
    }

    /// Opens the directory, which is made if it is not there. As long as this value lives no other process does.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut store = Store::read_only(directory);
        for directory in [directory, &store.trusted(), &store.metadata()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let lock = File::open(directory)?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another resolver follows a list with this directory"),
            fs::TryLockError::Error(error) => error,
        })?;
        store.lock = Some(Arc::new(lock));
        Ok(store)
    }

    /// Opens a directory for a list that is in no repository.
    pub(super) fn bare(directory: &Path, make: bool) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        if make {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(Store::read_only(directory))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Waits until nobody else of this process follows the list: after a reload the one before may still be at it.
    pub(super) async fn turn(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Gives all of it to the user that this process becomes.
    pub(super) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        // Links are not followed: the directory may have been that user's before.
        std::os::unix::fs::lchown(&self.directory, Some(user), Some(group))?;
        for directory in [&self.directory, &self.trusted(), &self.metadata()].into_iter().filter(|path| path.exists()) {
            for entry in fs::read_dir(directory)?.flatten() {
                std::os::unix::fs::lchown(entry.path(), Some(user), Some(group))?;
            }
        }
        Ok(())
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

    pub(super) fn held_file(&self) -> PathBuf {
        self.directory.join("held.json")
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
        match fs::read(self.held_file()) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts `held` in force for the next start, and removes what it does not need.
    pub(super) fn hold(&self, held: &Held) -> io::Result<()> {
        self.write(&self.held_file(), &serde_json::to_vec_pretty(held).map_err(io::Error::other)?)?;
        let before = held.before;
        let lists = [Some(held.list), before.map(|before| before.list)];
        let epochs = [held.manifest.epoch, before.and_then(|before| before.epoch)];
        let needed = |name: &str| match name.rsplit_once('.') {
            Some((serial, "list")) => lists.iter().flatten().any(|list| serial == list.to_string()),
            Some((change, "delta")) => held.deltas.iter().any(|(from, to)| change == format!("{from}-{to}")),
            Some((name, "age")) => epochs.iter().flatten().any(|epoch| name == format!("envelope-{epoch}")),
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

    /// Numbers of the files `<prefix><number><suffix>`, the largest first: what can be tried when `held.json` is of no
    /// use.
    pub(super) fn numbers(&self, prefix: &str, suffix: &str) -> Vec<u64> {
        let number = |name: &str| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut numbers: Vec<u64> = entries.filter_map(|entry| entry.file_name().to_str().and_then(number)).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers
    }

    /// Writes a file beside its place and renames it: after a crash at any moment the old one is there or the new one.
    pub(super) fn write(&self, place: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write_with(place, |file| file.write_all(bytes))
    }

    /// The same for what `fill` writes; when it fails, nothing is left of it.
    pub(super) fn write_with<T, E: From<io::Error>>(
        &self,
        place: &Path,
        fill: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut beside = place.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let write = || -> Result<T, E> {
            let mut file = File::create(&beside)?;
            let filled = fill(&mut file)?;
            file.sync_all()?;
            fs::rename(&beside, place)?;
            Ok(filled)
        };
        let filled = write().inspect_err(|_| {
            // Half of a file takes room on a disk that may be full.
            drop(fs::remove_file(&beside));
        })?;
        File::open(place.parent().unwrap_or(place))?.sync_all()?;
        Ok(filled)
    }

    /// A directory with a copy of the trusted metadata, for one look at the repository.
    pub(super) fn stage(&self) -> io::Result<PathBuf> {
        let staged = self.directory.join("trusted.new");
        if staged.exists() {
            fs::remove_dir_all(&staged)?;
        }
        fs::create_dir(&staged)?;
        for name in TRUSTED {
            match fs::copy(self.trusted().join(name), staged.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(staged)
    }

    /// Trusts what a look has checked. Each file for itself is the old one or the new one at any moment.
    pub(super) fn trust(&self, staged: &Path) -> io::Result<()> {
        for name in TRUSTED {
            let (from, to) = (staged.join(name), self.trusted().join(name));
            match File::open(&from) {
                Ok(file) => file.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            fs::rename(from, to)?;
        }
        File::open(self.trusted())?.sync_all()
    }

    /// Forgets the metadata files that are kept to fetch them once: one of them may not be what was signed.
    pub(super) fn forget(&self) {
        self.keep_only(&[]);
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

#[cfg(test)]
mod tests {
    use signed_list::release::{Class, SPEC};

    use super::*;

    /// A directory that is gone at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(test: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("friendly-store-{}-{test}", std::process::id()));
            drop(fs::remove_dir_all(&directory));
            Place(directory)
        }

        fn files(&self, folder: &str) -> Vec<String> {
            let entries = fs::read_dir(self.0.join(folder)).unwrap();
            let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn held(list: u64, deltas: &[(u64, u64)], before: Option<u64>) -> Held {
        let manifest = Manifest {
            spec: SPEC,
            class: Class::Legal,
            serial: deltas.last().map_or(list, |(_, to)| *to),
            created: 0,
            epoch: Some(2),
            shards: 1,
            categories: Vec::new(),
            entries: 1,
            hash: [0; 32],
            length: 0,
            deltas: Vec::new(),
            decided: Vec::new(),
        };
        let before = before.map(|list| Before { list, epoch: Some(1) });
        Held { manifest, list, deltas: deltas.into(), before }
    }

    #[test]
    fn what_is_in_force_and_what_was_before_stay_and_all_else_goes() {
        let place = Place::new("hold");
        let store = Store::open(&place.0).unwrap();
        assert_eq!(store.held().unwrap(), None);
        let names = ["3.list", "5.list", "6.list", "5-6.delta", "6-7.delta", "3-4.delta", "6.list.new", "receipts.jws"];
        let envelopes = ["envelope-0.age", "envelope-1.age", "envelope-2.age"];
        for name in names.into_iter().chain(envelopes) {
            store.write(&place.0.join(name), b"x").unwrap();
        }
        let now = held(5, &[(5, 6), (6, 7)], Some(3));
        store.hold(&now).unwrap();
        assert_eq!(store.held().unwrap(), Some(now));
        let kept = ["3.list", "5-6.delta", "5.list", "6-7.delta", "envelope-1.age", "envelope-2.age", "held.json"];
        assert_eq!(place.files(""), [&kept[..], &["metadata", "receipts.jws", "trusted"]].concat());
        assert_eq!((store.numbers("", ".list"), store.numbers("envelope-", ".age")), (vec![5, 3], vec![2, 1]));
        // In the words of a program that knew nothing of what was before.
        let text = fs::read_to_string(store.held_file()).unwrap().replace("\"before\"", "\"after\"");
        fs::write(store.held_file(), text).unwrap();
        assert!(store.held().is_err());
    }

    #[test]
    fn of_what_cannot_be_written_nothing_is_left() {
        let place = Place::new("write");
        let store = Store::open(&place.0).unwrap();
        let file = store.list(1);
        store.write(&file, b"old").unwrap();
        let failed: io::Result<()> = store.write_with(&file, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("full"))
        });
        assert!(failed.is_err());
        assert_eq!((place.files("").len(), fs::read(&file).unwrap()), (3, b"old".to_vec()));
    }

    #[test]
    fn a_look_works_on_a_copy_and_leaves_what_is_trusted_only() {
        let place = Place::new("stage");
        let store = Store::open(&place.0).unwrap();
        for round in 0..3 {
            let staged = store.stage().unwrap();
            for name in ["root.json", "timestamp.json", "latest_known_time.json", &format!("{round}.legal.json")] {
                fs::write(staged.join(name), format!("{round}")).unwrap();
            }
            assert!(round == 0 || fs::read_to_string(store.trusted().join("root.json")).unwrap() != format!("{round}"));
            store.trust(&staged).unwrap();
            assert_eq!(place.files("trusted"), ["root.json", "timestamp.json"], "nothing grows from look to look");
        }
        assert_eq!(fs::read_to_string(store.trusted().join("root.json")).unwrap(), "2");
    }

    #[test]
    fn one_process_at_a_time_has_the_directory_and_others_may_read_it() {
        let place = Place::new("lock");
        let store = Store::open(&place.0).unwrap();
        assert!(Store::open(&place.0).unwrap_err().to_string().contains("another resolver"));
        let same = store.clone();
        drop(store);
        assert!(Store::open(&place.0).is_err() && Store::read_only(&place.0).held().unwrap().is_none());
        drop(same);
        Store::open(&place.0).unwrap();
    }

    #[test]
    fn root_gives_all_of_it_to_another_user_and_nothing_that_a_link_leads_to() {
        use std::os::unix::fs::MetadataExt;
        let owner = |path: &Path| fs::symlink_metadata(path).unwrap().uid();
        if owner(Path::new("/proc/self")) != 0 {
            eprintln!("NOT RUN: only root gives files away");
            return;
        }
        let place = Place::new("give");
        let store = Store::open(&place.0.join("state")).unwrap();
        let (own, other) = (store.list(1), place.0.join("other"));
        store.write(&own, b"x").unwrap();
        fs::write(&other, "x").unwrap();
        std::os::unix::fs::symlink(&other, place.0.join("state/link")).unwrap();
        store.give_to(65_534, 65_534).unwrap();
        let given = [store.directory().into(), own, store.trusted(), store.metadata(), place.0.join("state/link")];
        assert!(given.iter().all(|path| owner(path) == 65_534));
        assert_eq!((owner(&other), owner(&place.0)), (0, 0));
    }

    #[test]
    fn the_time_of_the_last_good_look_is_kept_whatever_the_clock_says() {
        let place = Place::new("verified");
        let store = Store::open(&place.0).unwrap();
        assert_eq!(store.verified(), None);
        for seconds in [1_800_000_000, 10, 0, 1_900_000_000] {
            store.set_verified(seconds).unwrap();
            assert_eq!(store.verified(), Some(seconds));
        }
    }
}
