//! What is kept of a feed between two looks: `feeds/NAME/` in the work directory.
//!
//! ```text
//! state.json    what is known of it: validators, counts, times, the last problem
//! HASH.names    names that passed, see [`super::names`]; the newest ones, and those that a release was made from
//! lock          held by whoever is fetching it
//! ```
//!
//! Names are put in place before the state that names them, each whole or not at all: whoever is interrupted at any
//! moment leaves the last good names in force.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::fetch::Validators;
use super::names::Names;
use crate::output::{NewFile, OutputError};

/// Where all feeds are kept.
#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
}

/// What is known of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Its last good content.
    pub content: Option<Content>,
    /// When there was last something new, Unix seconds.
    pub fetched_at: Option<u64>,
    /// When it was last looked at with success, Unix seconds.
    pub checked_at: Option<u64>,
    /// When it was last looked at, with success or without, Unix seconds.
    pub tried_at: u64,
    /// When it is looked at next, Unix seconds.
    pub next_at: u64,
    /// What is wrong with it.
    pub problem: Option<Problem>,
}

/// The last good content of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// What tells its place from another one.
    pub source: String,
    /// How the server will know it again.
    pub validators: Validators,
    /// Hash of its names.
    pub hash: String,
    /// How many there are.
    pub entries: u64,
    /// Lines of the list.
    pub lines: u64,
    /// Lines that are no entries.
    pub skipped: u64,
    /// Names that must not be blocked.
    pub refused: u64,
    /// Names that the list lets through.
    pub exceptions: u64,
    /// Names left out because they came twice or lay below another.
    pub covered: u64,
    /// The format it was read as.
    pub format: String,
}

/// Why the last look failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// In words.
    pub why: String,
    /// When it began, Unix seconds.
    pub since: u64,
    /// How many looks have failed since.
    pub times: u32,
}

/// Why what is kept cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum ShelfError {
    #[error("{}: cannot be {step}: {error}", path.display())]
    Io { path: PathBuf, step: &'static str, error: io::Error },
    #[error("{}: is damaged: {why}; fetch the feed again with `feeds fetch {feed} --force`", path.display())]
    Damaged { path: PathBuf, feed: String, why: String },
    #[error("the names of the feed {feed} that were used are not here any more ({hash}...); `publish` again")]
    Gone { feed: String, hash: String },
    #[error("the feed {0} is being fetched by another command")]
    Busy(String),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Shows that nobody else is fetching this feed.
#[derive(Debug)]
pub struct FeedLock {
    _file: File,
}

impl Shelf {
    /// In a work directory.
    pub fn new(work: &Path) -> Shelf {
        Shelf { directory: work.join("feeds") }
    }

    fn of(&self, feed: &str) -> PathBuf {
        self.directory.join(feed)
    }

    /// Makes room for a feed, and takes the right to change what is kept of it.
    pub fn lock(&self, feed: &str) -> Result<FeedLock, ShelfError> {
        let directory = self.of(feed);
        let make = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        make.map_err(io(&directory, "made"))?;
        let path = directory.join("lock");
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(io(&path, "opened"))?;
        match file.try_lock() {
            Ok(()) => Ok(FeedLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(ShelfError::Busy(feed.to_owned())),
            Err(TryLockError::Error(error)) => Err(io(&path, "locked")(error)),
        }
    }

    /// What is known of a feed.
    pub fn state(&self, feed: &str) -> Result<State, ShelfError> {
        let path = self.of(feed).join("state.json");
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(io(&path, "read")(error)),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| damaged(path, feed, error.to_string())),
        }
    }

    /// Keeps what is known of a feed.
    pub fn keep(&self, feed: &str, state: &State, _lock: &FeedLock) -> Result<(), ShelfError> {
        let path = self.of(feed).join("state.json");
        let text = serde_json::to_vec_pretty(state).map_err(|error| damaged(path.clone(), feed, error.to_string()))?;
        Ok(NewFile::put(&path, &text, true)?)
    }

    /// Keeps names, and tells their hash.
    pub fn keep_names(&self, feed: &str, names: &Names, _lock: &FeedLock) -> Result<String, ShelfError> {
        let hash = names.hash();
        let path = self.names_path(feed, &hash);
        if fs::read(&path).is_ok_and(|kept| kept == names.as_str().as_bytes()) {
            return Ok(hash);
        }
        NewFile::put(&path, names.as_str().as_bytes(), true)?;
        Ok(hash)
    }

    fn names_path(&self, feed: &str, hash: &str) -> PathBuf {
        self.of(feed).join(format!("{hash}.names"))
    }

    /// Names by their hash, which they are held against.
    pub fn names(&self, feed: &str, hash: &str) -> Result<Names, ShelfError> {
        let path = self.names_path(feed, hash);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let hash = hash.chars().take(16).collect();
                return Err(ShelfError::Gone { feed: feed.to_owned(), hash });
            }
            other => other.map_err(io(&path, "read"))?,
        };
        let names = Names::read(text).map_err(|line| damaged(path.clone(), feed, format!("line {line} is no name")))?;
        if names.hash() != hash {
            return Err(damaged(path, feed, "it has another hash than its name says".to_owned()));
        }
        Ok(names)
    }

    /// Takes away what no feed and no release needs any more: names other than `pinned` and the newest ones, and all of
    /// feeds that are not `configured`. Whatever is being fetched just now stays as it is.
    pub fn tidy(&self, configured: &BTreeSet<&str>, pinned: &BTreeSet<String>) -> Result<(), ShelfError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(io(&self.directory, "read"))?,
        };
        for entry in entries.flatten() {
            let feed = entry.file_name().to_string_lossy().into_owned();
            let Ok(lock) = self.lock_if_there(&feed) else { continue };
            let gone = !configured.contains(feed.as_str());
            // What is damaged is looked at by people.
            let Ok(state) = self.state(&feed) else { continue };
            let newest = state.content.map(|content| content.hash).filter(|_| !gone);
            let mut left = false;
            for file in fs::read_dir(entry.path()).map_err(io(&entry.path(), "read"))?.flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                let needed = match name.strip_suffix(".names") {
                    Some(hash) => pinned.contains(hash) || newest.as_deref() == Some(hash),
                    None => !gone && !name.ends_with(".tmp"),
                };
                left |= needed;
                if !needed && name != "lock" {
                    fs::remove_file(file.path()).map_err(io(&file.path(), "taken away"))?;
                }
            }
            if gone && !left {
                fs::remove_dir_all(entry.path()).map_err(io(&entry.path(), "taken away"))?;
            }
            drop(lock);
        }
        Ok(())
    }

    fn lock_if_there(&self, feed: &str) -> Result<FeedLock, ShelfError> {
        if self.of(feed).is_dir() { self.lock(feed) } else { Err(ShelfError::Busy(feed.to_owned())) }
    }
}

fn io(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> ShelfError {
    move |error| ShelfError::Io { path: path.to_owned(), step, error }
}

fn damaged(path: PathBuf, feed: &str, why: String) -> ShelfError {
    ShelfError::Damaged { path, feed: feed.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::names::Collector;
    use signed_list::list::Scope;
    use signed_list::name::Name;

    #[test]
    fn what_is_kept_comes_back_and_what_is_changed_is_told() {
        let work = std::env::temp_dir().join(format!("feed-shelf-{}", std::process::id()));
        let shelf = Shelf::new(&work);
        let lock = shelf.lock("one").unwrap();
        assert!(matches!(shelf.lock("one"), Err(ShelfError::Busy(_))));
        assert_eq!(shelf.state("one").unwrap(), State::default());
        let names = |name: &str| {
            let mut collector = Collector::default();
            collector.push(&Name::parse(name).unwrap(), Scope::Subtree);
            collector.finish().0
        };
        let (old, new) = (names("old.test"), names("new.test"));
        let hashes = [&old, &new].map(|names| shelf.keep_names("one", names, &lock).unwrap());
        let content = Some(Content { hash: hashes[1].clone(), ..Content::default() });
        shelf.keep("one", &State { content, ..State::default() }, &lock).unwrap();
        assert_eq!(shelf.names("one", &hashes[0]).unwrap(), old);

        // Nothing goes away while it is fetched, nor what a release was made from.
        shelf.tidy(&BTreeSet::from(["one"]), &BTreeSet::new()).unwrap();
        assert!(shelf.names("one", &hashes[0]).is_ok());
        drop(lock);
        shelf.tidy(&BTreeSet::from(["one"]), &BTreeSet::from([hashes[0].clone()])).unwrap();
        assert!(shelf.names("one", &hashes[0]).is_ok());
        shelf.tidy(&BTreeSet::from(["one"]), &BTreeSet::new()).unwrap();
        assert!(matches!(shelf.names("one", &hashes[0]), Err(ShelfError::Gone { .. })));

        let path = work.join("feeds/one").join(format!("{}.names", hashes[1]));
        fs::write(&path, "other.test\n").unwrap();
        assert!(shelf.names("one", &hashes[1]).unwrap_err().to_string().contains("another hash"));
        fs::write(work.join("feeds/one/state.json"), "{").unwrap();
        assert!(shelf.state("one").unwrap_err().to_string().contains("feeds fetch one --force"));
        fs::remove_file(work.join("feeds/one/state.json")).unwrap();
        shelf.tidy(&BTreeSet::new(), &BTreeSet::new()).unwrap();
        assert!(!work.join("feeds/one").exists());
        fs::remove_dir_all(work).unwrap();
    }
}
