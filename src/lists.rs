//! List files on their way from the disk into the filter.
//!
//! A file is checked from its first octet to its last before it is used. One
//! that fails leaves what is in force in force: a bad list never disarms the
//! filter. Where `[lists] last_good` names a directory, each good list is
//! copied there and looked up from the copy, which nobody else writes to; after
//! a restart the copy stands in for a file that was spoiled meanwhile. Without
//! that directory the file is read into memory: a file mapped from a place
//! where others write can be cut short under our feet, which ends a process.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signed_list::digest::Suffixes;
use signed_list::list::{List, ListError};

use crate::config::Config;
use crate::policy::Categories;

mod map;

/// Largest list file that is read: 4 GiB is some 400 million names.
const MOST: u64 = 4 << 30;

/// A list in force.
pub struct Loaded {
    /// The list, checked.
    pub list: List<Bytes>,
    /// Where the configuration says it is.
    pub path: PathBuf,
    /// State of that file when it was read.
    pub stamp: Option<Stamp>,
    /// The file was spoiled and this is the copy of an earlier one.
    pub from_last_good: bool,
    /// It is looked up from its copy in the `last_good` directory.
    kept: bool,
    /// For each category of the file, its bit in the configuration.
    categories: Vec<Categories>,
}

impl Loaded {
    /// Categories, as the configuration counts them, that cover this name.
    #[inline]
    pub fn categories(&self, suffixes: &Suffixes) -> Categories {
        let mut local = self.list.lookup(suffixes);
        let mut found = 0;
        while local != 0 {
            found |= self.categories[local.trailing_zeros() as usize];
            local &= local - 1;
        }
        found
    }

    /// It is a copy of an earlier file, or has no copy where it should. This is
    /// tried again at each reload: the disk may be mended, and until then the
    /// trouble has to be told.
    pub fn is_makeshift(&self, config: &Config) -> bool {
        self.from_last_good || config.last_good.is_some() && !self.kept
    }

    /// File name without its directory, for messages and metrics.
    pub fn name(&self) -> String {
        short_name(&self.path)
    }
}

/// Octets of a list: a private map of our own copy, or memory.
pub enum Bytes {
    /// A file below `last_good`, which only this program writes.
    Mapped(map::Map),
    /// Read from somebody else's file, or built in.
    Memory(Vec<u8>),
}

impl AsRef<[u8]> for Bytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map.as_ref(),
            Bytes::Memory(bytes) => bytes,
        }
    }
}

/// What tells that a file has changed: time, length and inode. The time is that
/// of the inode: it moves with every write, also when the tool that wrote sets
/// the time of the content back, and when the file becomes readable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    changed: (i64, i64),
    length: u64,
    inode: u64,
}

impl Stamp {
    /// The state of a file; `None` if there is none.
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(path).ok()?;
        Some(Stamp { changed: (meta.ctime(), meta.ctime_nsec()), length: meta.len(), inode: meta.ino() })
    }
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListsError {
    /// The file cannot be read.
    #[error("list {path}: {source}; check that the file exists and that this user may read it")]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no list, or not whole.
    #[error("list {path}: {source}")]
    Format {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        source: ListError,
    },
    /// The file holds a category that the configuration does not know.
    #[error(
        "list {path} holds category '{category}', which the configuration does not define; add [category.{category}]"
    )]
    UnknownCategory {
        /// Its path.
        path: PathBuf,
        /// The category.
        category: String,
    },
}

/// Loads all lists of a configuration, taking over from `old` what has not
/// changed. The first result are the category lists, the second the allow
/// lists of each policy; `notes` gets a sentence for each list that had to be
/// replaced by its last good copy, or that could not be copied.
///
/// `keep` is for the resolver itself: copies are mapped, and a second program
/// that writes them could cut one short under its feet.
///
/// # Errors
/// The first list that cannot be used and has no good copy.
pub fn load(config: &Config, old: &[Arc<Loaded>], keep: bool, notes: &mut Vec<String>) -> Result<Lists, ListsError> {
    let mut loader = Loader { config, old, may_keep: keep, notes };
    let lists = config.lists.iter().map(|path| loader.list(path, true)).collect::<Result<_, _>>()?;
    let allow =
        config.policies.iter().map(|policy| policy.allow_lists.iter().map(|path| loader.list(path, false)).collect());
    Ok(Lists { lists, allow: allow.collect::<Result<_, _>>()? })
}

/// What [`load`] returns.
pub struct Lists {
    /// In the order of the configuration.
    pub lists: Vec<Arc<Loaded>>,
    /// For each policy.
    pub allow: Vec<Vec<Arc<Loaded>>>,
}

struct Loader<'a> {
    config: &'a Config,
    old: &'a [Arc<Loaded>],
    may_keep: bool,
    notes: &'a mut Vec<String>,
}

impl Loader<'_> {
    fn list(&mut self, path: &Path, blocks: bool) -> Result<Arc<Loaded>, ListsError> {
        let stamp = Stamp::of(path);
        let copy = self.config.last_good.as_ref().map(|dir| dir.join(copy_name(path)));
        let same = |loaded: &&Arc<Loaded>| loaded.path == path && loaded.stamp == stamp && stamp.is_some();
        if let Some(old) = self.old.iter().find(same).filter(|old| !old.is_makeshift(self.config)) {
            // The categories may have moved in the configuration.
            if self.categories(path, &old.list, blocks)? == old.categories {
                return Ok(old.clone());
            }
        }
        // Nothing becomes the last good copy before all of it is known to be good.
        let whole = |list| Ok((self.categories(path, &list, blocks)?, list));
        let (categories, list, kept, from_last_good) = match open(path).and_then(whole) {
            Ok((categories, list)) => {
                let (list, kept) = match &copy {
                    Some(copy) if self.may_keep => self.keep(list, path, copy),
                    _ => (list, false),
                };
                (categories, list, kept, false)
            }
            Err(error) => {
                let saved = copy.as_ref().and_then(|copy| map(copy).and_then(whole).ok());
                let Some((categories, list)) = saved else { return Err(error) };
                self.notes
                    .push(format!("{error}. The last good copy of it (serial {}) is used instead.", list.serial()));
                (categories, list, true, true)
            }
        };
        Ok(Arc::new(Loaded { list, path: path.into(), stamp, from_last_good, kept, categories }))
    }

    /// Writes the copy beside its place and renames it: after a crash at any
    /// moment the directory holds the old copy or the new one.
    fn keep(&mut self, list: List<Bytes>, path: &Path, copy: &Path) -> (List<Bytes>, bool) {
        let kept = write_copy(list.as_bytes(), copy).map_err(|source| ListsError::Read { path: copy.into(), source });
        match kept.and_then(|()| map(copy)) {
            Ok(mapped) if mapped.hash() == list.hash() => (mapped, true),
            Ok(_) => (list, false),
            Err(error) => {
                self.notes
                    .push(format!("{} is in force, but could not be kept as last good copy: {error}", path.display()));
                (list, false)
            }
        }
    }

    fn categories(&self, path: &Path, list: &List<Bytes>, blocks: bool) -> Result<Vec<Categories>, ListsError> {
        let index = |name: &String| self.config.categories.iter().position(|category| category.name == *name);
        let bit = |name: &String| match index(name) {
            // A name on an allow list is allowed whatever its category is called.
            _ if !blocks => Ok(1),
            Some(index) => Ok(1 << index),
            None => Err(ListsError::UnknownCategory { path: path.into(), category: name.clone() }),
        };
        list.categories().iter().map(bit).collect()
    }
}

/// A list that is built into the program, for the defaults.
pub fn embedded(config: &Config, bytes: Vec<u8>) -> Arc<Loaded> {
    let list = List::open(Bytes::Memory(bytes), None).expect("built a moment ago");
    let index = |name: &String| config.categories.iter().position(|category| category.name == *name);
    let categories = list.categories().iter().map(|name| index(name).map_or(0, |index| 1 << index)).collect();
    let path = PathBuf::from("built-in sample");
    Arc::new(Loaded { list, path, stamp: None, from_last_good: false, kept: false, categories })
}

/// Reads a file that somebody else may write to at any time.
fn open(path: &Path) -> Result<List<Bytes>, ListsError> {
    let read = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        if length > MOST {
            return Err(io::Error::other("the file is larger than 4 GiB"));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| ListsError::Read { path: path.into(), source })?;
    List::open(Bytes::Memory(bytes), None).map_err(|source| ListsError::Format { path: path.into(), source })
}

fn map(path: &Path) -> Result<List<Bytes>, ListsError> {
    let mapped = File::open(path).and_then(|file| map::Map::new(&file));
    let bytes = mapped.map_err(|source| ListsError::Read { path: path.into(), source })?;
    List::open(Bytes::Mapped(bytes), None).map_err(|source| ListsError::Format { path: path.into(), source })
}

fn write_copy(bytes: &[u8], copy: &Path) -> io::Result<()> {
    if holds(copy, bytes) {
        return Ok(());
    }
    let beside = copy.with_extension("new");
    let mut file = File::create(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&beside, copy)) {
        // Half a copy takes room on a full disk; what is in force stays.
        drop(fs::remove_file(&beside));
        return Err(error);
    }
    // Without this the rename itself could be lost with the power.
    copy.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Whether the file holds this and nothing else. It is read piece by piece: a
/// whole one more in memory would be the third of a large list.
fn holds(copy: &Path, bytes: &[u8]) -> bool {
    let Ok(mut file) = File::open(copy) else { return false };
    let mut piece = vec![0; 64 << 10];
    let mut rest = Some(bytes);
    while let Some(left) = rest {
        match file.read(&mut piece) {
            Ok(0) => return left.is_empty(),
            Ok(length) => rest = left.strip_prefix(&piece[..length]),
            Err(_) => return false,
        }
    }
    false
}

/// Name of the copy: the file's own name and a digest of its whole path, since
/// two directories may hold files of one name.
fn copy_name(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut sum = 0xcbf2_9ce4_8422_2325u64; // FNV-1a: stable from release to release
    for octet in path.as_os_str().as_bytes() {
        sum = (sum ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3);
    }
    format!("{}.{sum:016x}.good", short_name(path))
}

fn short_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
