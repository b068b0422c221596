//! List files on their way from the disk into the filter.
//!
//! A file is checked from its first octet to its last before it is used. One
//! that fails leaves what is in force in force: a bad list never disarms the
//! filter, and never keeps another list or the configuration from being taken
//! over. Only where nothing can stand in for it, it is an error.
//!
//! Where `[lists] last_good` names a directory, each good list is copied there
//! and looked up from the copy, which nobody else writes to; after a restart
//! the copy stands in for a file that was spoiled meanwhile. The copy is checked
//! while it is made, so that it does not matter what becomes of the file
//! meanwhile, and no page of a new list is resident before it is asked for.
//! Without that directory, and where its disk is full, the file is read into
//! memory: a file mapped from a place where others write can be cut short under
//! our feet, which ends a process.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signed_list::digest::Suffixes;
use signed_list::list::{CheckError, Checked, Cover, List, ListError, Overlay};

use self::keep::Keeping;
use crate::config::Config;
use crate::policy::Categories;

pub use self::map::write_piece;

mod keep;
mod map;

/// Largest list file that is read: 4 GiB is some 400 million names.
const MOST: u64 = 4 << 30;

/// A list in force.
pub struct Loaded {
    /// The list, checked.
    pub list: Arc<List<Bytes>>,
    /// Where the configuration says it is; of a followed list its directory.
    pub path: PathBuf,
    /// State of that file when it was read.
    pub stamp: Option<Stamp>,
    /// The file is spoiled and this is an earlier one: its copy, or what was in
    /// force before.
    pub from_last_good: bool,
    /// What a followed list has beside its file.
    followed: Option<Followed>,
    /// It is looked up from its copy in the `last_good` directory.
    kept: bool,
    /// What messages and metrics call it.
    name: String,
    /// For each category of the file, its bit in the configuration.
    categories: Vec<Categories>,
}

impl Loaded {
    /// Adds the categories, as the configuration counts them, that cover this
    /// name.
    #[inline]
    pub fn cover(&self, suffixes: &Suffixes, found: &mut Cover) {
        let mut local = match &self.followed {
            None => self.list.lookup(suffixes),
            Some(followed) => followed.lookup(suffixes),
        };
        while local.name != 0 {
            let index = local.name.trailing_zeros();
            let category = self.categories[index as usize];
            found.name |= category;
            found.below |= if local.below >> index & 1 != 0 { category } else { 0 };
            local.name &= local.name - 1;
        }
    }

    /// It comes from a repository.
    pub fn is_followed(&self) -> bool {
        self.followed.is_some()
    }

    fn change(&self) -> Option<&Overlay> {
        self.followed.as_ref()?.change.as_deref()
    }

    /// Serial in force.
    pub fn serial(&self) -> u64 {
        self.change().map_or(self.list.serial(), |change| change.delta().to_serial())
    }

    /// When it was made, Unix seconds.
    pub fn created(&self) -> u64 {
        self.change().map_or(self.list.created(), |change| change.delta().to_created())
    }

    /// Identity of its content.
    pub fn hash(&self) -> [u8; 32] {
        self.change().map_or(self.list.hash(), |change| change.delta().to_hash())
    }

    /// Number of names.
    pub fn names(&self) -> usize {
        let change = self.change().map(Overlay::delta);
        let (come, gone) = change.map_or((0, 0), |delta| (delta.added(), delta.removed()));
        (self.list.len() + come).saturating_sub(gone)
    }

    /// It stands in for a file that is spoiled, or has no copy where it should.
    /// This is tried again at each reload: file or disk may be mended, and until
    /// then the trouble has to be told.
    pub fn is_makeshift(&self, config: &Config) -> bool {
        !self.is_followed() && (self.from_last_good || config.last_good.is_some() && !self.kept)
    }

    /// File name for messages and metrics: without its directory, unless another
    /// list has the same.
    pub fn name(&self) -> String {
        self.name.clone()
    }
}

/// A list that comes from a repository.
#[derive(Clone)]
pub struct Followed {
    /// The list file, as it was merged last.
    pub list: Arc<List<Bytes>>,
    /// Changes to it.
    pub change: Option<Arc<Overlay>>,
    /// Names that this resolver alone blocks; with the categories and the key of the list.
    pub own: Option<Arc<List<Vec<u8>>>>,
    /// Names that the list lets through, whatever else it says.
    pub except: Option<Arc<List<Vec<u8>>>>,
}

impl Followed {
    /// Which categories cover a name now. `suffixes` must have been made with the key of the list.
    #[inline]
    pub fn lookup(&self, suffixes: &Suffixes) -> Cover {
        let mut cover = match &self.change {
            None => self.list.lookup(suffixes),
            Some(change) => change.lookup(&self.list, suffixes),
        };
        if let Some(own) = &self.own {
            let more = own.lookup(suffixes);
            cover.name |= more.name;
            cover.below |= more.below;
        }
        if cover.name != 0
            && let Some(except) = &self.except
            && except.lookup(suffixes).name != 0
        {
            return Cover::default();
        }
        cover
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
/// replaced by an earlier one, or that could not be copied.
///
/// # Errors
/// The first list that cannot be used, has no good copy and is not in `old`.
pub fn load(
    config: &Config,
    old: &[Arc<Loaded>],
    manner: Manner,
    notes: &mut Vec<String>,
) -> Result<Lists, ListsError> {
    let mut loader = Loader { config, old, manner, notes };
    let lists = config.lists.iter().map(|path| loader.list(path, true)).collect::<Result<_, _>>()?;
    let allow =
        config.policies.iter().map(|policy| policy.allow_lists.iter().map(|path| loader.list(path, false)).collect());
    Ok(Lists { lists, allow: allow.collect::<Result<_, _>>()? })
}

/// For whom lists are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// For a look at them. Nothing is written: copies are mapped by the resolver
    /// that runs, and a second program could cut one short under its feet.
    Look,
    /// For a resolver that starts, and has nothing better to do.
    Start,
    /// For one that answers questions meanwhile: they come first.
    Aside,
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
    manner: Manner,
    notes: &'a mut Vec<String>,
}

impl Loader<'_> {
    fn list(&mut self, path: &Path, blocks: bool) -> Result<Arc<Loaded>, ListsError> {
        let stamp = Stamp::of(path);
        let old = self.old;
        let before = old.iter().find(|loaded| loaded.path == path);
        let same = |old: &&Arc<Loaded>| old.path == path && old.stamp == stamp && stamp.is_some();
        let config = self.config;
        let ready = |list: Arc<List<Bytes>>, kept, from_last_good, categories| {
            let name = label(config, path);
            Ok(Arc::new(Loaded {
                list,
                path: path.into(),
                stamp,
                from_last_good,
                followed: None,
                kept,
                name,
                categories,
            }))
        };
        if let Some(old) = old.iter().find(same).filter(|old| !old.is_makeshift(config)) {
            // The categories may have moved in the configuration.
            let categories = self.categories(path, old.list.categories(), blocks)?;
            return ready(old.list.clone(), old.kept, false, categories);
        }
        let copy = config.last_good.as_ref().map(|directory| directory.join(copy_name(path)));
        let error = match self.take(path, copy.as_deref(), before, blocks) {
            Ok((list, kept, categories)) => return ready(Arc::new(list), kept, false, categories),
            Err(error) => error,
        };
        let usable = |list: &List<Bytes>| self.categories(path, list.categories(), blocks).ok();
        if let Some((old, categories)) = before.and_then(|old| Some((old, usable(&old.list)?))) {
            self.notes.push(instead(&error, &old.list, old.kept));
            return ready(old.list.clone(), old.kept, true, categories);
        }
        let saved = copy.and_then(|copy| keep::saved(&copy).ok());
        if let Some((list, categories)) = saved.and_then(|list| usable(&list).map(|categories| (list, categories))) {
            self.notes.push(instead(&error, &list, true));
            return ready(Arc::new(list), true, true, categories);
        }
        Err(error)
    }

    /// The file as it is now, if it is good, from its copy where it has one.
    fn take(
        &mut self,
        path: &Path,
        copy: Option<&Path>,
        before: Option<&Arc<Loaded>>,
        blocks: bool,
    ) -> Result<(List<Bytes>, bool, Vec<Categories>), ListsError> {
        let read = |source| ListsError::Read { path: path.into(), source };
        let wrong = |error| match error {
            CheckError::Read(source) => read(source),
            CheckError::List(source) => ListsError::Format { path: path.into(), source },
        };
        let Some(copy) = copy.filter(|_| self.manner != Manner::Look) else {
            let list = self.in_memory(path).map_err(wrong)?;
            let categories = self.categories(path, list.categories(), blocks)?;
            return Ok((list, false, categories));
        };
        if before.is_some_and(|before| before.from_last_good) {
            // Likely to be spoiled still, and tried every few seconds: it is
            // not written each time before it is known to be good.
            Checked::read(self.open(path).map_err(read)?, None).map_err(wrong)?;
        }
        let mut keeping = Keeping::new(self.open(path).map_err(read)?, copy);
        let checked = Checked::read(&mut keeping, None).map_err(wrong)?;
        // Nothing becomes the last good copy before all of it is known to be
        // good.
        let categories = self.categories(path, checked.categories(), blocks)?;
        let kept = keeping.finish().and_then(|map| checked.over(Bytes::Mapped(map)).map_err(io::Error::other));
        let error = match kept {
            Ok(list) => return Ok((list, true, categories)),
            Err(error) => error,
        };
        let list = self.in_memory(path).map_err(wrong)?;
        let categories = self.categories(path, list.categories(), blocks)?;
        self.notes.push(format!(
            "{} is in force, but could not be kept as last good copy: {}: {error}; check that the directory exists, has \
             room, and that this user may write to it",
            path.display(),
            copy.display()
        ));
        Ok((list, false, categories))
    }

    /// Opens a file that somebody else may write to at any time.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read>> {
        let file = File::open(path)?;
        if file.metadata()?.len() > MOST {
            return Err(io::Error::other("the file is larger than 4 GiB"));
        }
        let file = file.take(MOST);
        Ok(if self.manner == Manner::Aside { Box::new(Aside::new(file)) } else { Box::new(file) })
    }

    fn in_memory(&self, path: &Path) -> Result<List<Bytes>, CheckError> {
        let mut bytes = Vec::with_capacity(path.metadata()?.len().min(MOST) as usize);
        self.open(path)?.read_to_end(&mut bytes)?;
        let checked = match self.manner {
            Manner::Aside => Checked::read(Aside::new(&bytes[..]), None)?,
            _ => Checked::read(&bytes[..], None)?,
        };
        Ok(checked.over(Bytes::Memory(bytes))?)
    }

    fn categories(&self, path: &Path, names: &[String], blocks: bool) -> Result<Vec<Categories>, ListsError> {
        categories(self.config, path, names, blocks)
    }
}

/// A list that is followed, ready for the filter. `state` is its directory.
///
/// # Errors
/// It holds a category that the configuration does not know.
pub fn followed(config: &Config, name: &str, state: &Path, followed: Followed) -> Result<Arc<Loaded>, ListsError> {
    let categories = categories(config, state, followed.list.categories(), true)?;
    Ok(Arc::new(Loaded {
        list: followed.list.clone(),
        path: state.into(),
        stamp: None,
        from_last_good: false,
        followed: Some(followed),
        kept: false,
        name: name.into(),
        categories,
    }))
}

/// Maps a file that only this program writes, and that has been checked.
///
/// # Errors
/// What the system says, or that the file has another length now.
pub fn open_copy(place: &Path, checked: Checked) -> io::Result<List<Bytes>> {
    let map = map::Map::new(&File::open(place)?)?;
    checked.over(Bytes::Mapped(map)).map_err(io::Error::other)
}

/// For each category of a list, its bit in the configuration.
fn categories(config: &Config, path: &Path, names: &[String], blocks: bool) -> Result<Vec<Categories>, ListsError> {
    let index = |name: &String| config.categories.iter().position(|category| category.name == *name);
    let bit = |name: &String| match index(name) {
        // A name on an allow list is allowed whatever its category is called.
        _ if !blocks => Ok(1),
        Some(index) => Ok(1 << index),
        None => Err(ListsError::UnknownCategory { path: path.into(), category: name.clone() }),
    };
    names.iter().map(bit).collect()
}

/// Says that an earlier list stands in for one that is spoiled.
fn instead(error: &ListsError, list: &List<Bytes>, kept: bool) -> String {
    let serial = list.serial();
    match kept {
        true => format!("{error}. The last good copy of it (serial {serial}) is used instead."),
        false => format!(
            "{error}. The one before it (serial {serial}) stays in force, but only in memory: mend the file before the \
             next start, which needs it."
        ),
    }
}

/// A list that is built into the program, for the defaults.
pub fn embedded(config: &Config, bytes: Vec<u8>) -> Arc<Loaded> {
    let list = Arc::new(List::open(Bytes::Memory(bytes), None).expect("built a moment ago"));
    let index = |name: &String| config.categories.iter().position(|category| category.name == *name);
    let categories = list.categories().iter().map(|name| index(name).map_or(0, |index| 1 << index)).collect();
    let path = PathBuf::from("built-in sample");
    let name = short_name(&path);
    Arc::new(Loaded { list, path, stamp: None, from_last_good: false, followed: None, kept: false, name, categories })
}

/// A source that is read at half speed: whoever reads it piece by piece rests after each for as long as it worked on
/// it. Where one processor does everything, questions that arrive meanwhile wait for a piece and not for the list; a
/// low priority alone does not do that, since the scheduler lets it end its turn of some milliseconds.
pub struct Aside<R> {
    source: R,
    since: Instant,
}

impl<R: Read> Aside<R> {
    /// Longest rest: on a machine that is busy all the time, work seems to take long.
    const REST: Duration = Duration::from_millis(2);

    /// Reads `source`.
    pub fn new(source: R) -> Self {
        Aside { source, since: Instant::now() }
    }
}

impl<R: Read> Read for Aside<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(self.since.elapsed().min(Self::REST));
        self.since = Instant::now();
        self.source.read(buffer)
    }
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

/// What messages and metrics call a list: two lists must not share a name.
fn label(config: &Config, path: &Path) -> String {
    let of_policies = config.policies.iter().flat_map(|policy| &policy.allow_lists);
    let mut others = config.lists.iter().chain(of_policies).filter(|other| *other != path);
    let name = short_name(path);
    if others.any(|other| short_name(other) == name) { path.display().to_string() } else { name }
}
