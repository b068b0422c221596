//! The publisher's work directory: what is where, who may read it, and one command at a time.
//!
//! ```text
//! release.toml   settings                          seed           all canaries come from it
//! scheme.toml    the scheme profile                online.pem     signs snapshot and timestamp
//! ledger.db      the ledger                        recipients.toml   the enrolled resolvers
//! feeds.toml     public lists that are fetched     feeds/NAME/    what is kept of each of them
//! epochs/        secrets of each epoch, and its envelopes
//! lists/CLASS/   SERIAL.list, SERIAL.index, SERIAL.json: what is kept of a release; of an open one also its zones,
//!                SERIAL.CLASS.rpz and SERIAL.CATEGORY.rpz
//! rpz/           the zones in force
//! staged/        releases and changes of keys that wait for signatures
//! public/        the repository as it is published; copied from here to where the resolvers find it
//! lock           held by the command that is at work
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use signed_list::digest::DigestKey;
use signed_list::name::Name;
use signed_list::release::Class;
use thiserror::Error;

use super::canary::{Moves, Seed};
use super::epoch::{Envelopes, Epoch};
use super::index::Index;
use super::recipients::{RecipientError, Recipients};
use super::scheme::{Scheme, SchemeError};
use super::settings::{Settings, SettingsError};
use super::stage::KEYS;
use super::store::TIMESTAMP;
use crate::feed;
use crate::feed::settings::{Feeds, FeedsError};
use crate::feed::shelf::Shelf;
use crate::output::{NewFile, OutputError};
use crate::person::{Person, PersonError, hex, unhex};

/// A publisher's work directory.
#[derive(Debug)]
pub struct Work {
    directory: PathBuf,
    /// Its settings.
    pub settings: Settings,
    /// Its scheme.
    pub scheme: Scheme,
    /// Its feeds, or what is wrong with their file: that stops no list that holds none.
    pub feeds: Result<Feeds, String>,
    seed: Seed,
}

/// Why a work directory cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum WorkError {
    #[error("{}: cannot be read: {error}; {}", path.display(), advice(error))]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: cannot be made: {error}; name another work directory", path.display())]
    Make { path: PathBuf, error: io::Error },
    #[error("{}: {}", path.display(), one_line(error))]
    Settings { path: PathBuf, error: SettingsError },
    #[error("{}: {}", path.display(), one_line(error))]
    Scheme { path: PathBuf, error: SchemeError },
    #[error("{}: {}", path.display(), one_line(error))]
    Recipients { path: PathBuf, error: RecipientError },
    #[error("{}: is damaged: {why}; bring it back from a backup", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{}: is a publisher's work directory already; nothing was changed", .0.display())]
    Begun(PathBuf),
    #[error("{}: others can read this directory (mode {mode:03o}); run `chmod 700` on it", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "{}: another command has been at work here for {waited} seconds; wait for it to end, or stop it: nothing of it \
         gets lost", path.display()
    )]
    Busy { path: PathBuf, waited: u64 },
    #[error("the random numbers of this machine cannot be read; nothing was made")]
    Random,
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Person(#[from] PersonError),
}

/// What a TOML error says, without the excerpt of the file in its middle.
fn one_line(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) => format!("{first}: {last}"),
        (first, _) => first.unwrap_or_default().to_owned(),
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "make a work directory with `friendly-blocklist init`, or name the right one",
        io::ErrorKind::PermissionDenied => "run this as the user who owns the work directory",
        _ => "check the disk",
    }
}

/// What is kept of a release beside its list and its index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Its class.
    pub class: Class,
    /// Its serial.
    pub serial: u64,
    /// Its epoch.
    pub epoch: Option<u64>,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// Entries in its list, the canaries included.
    pub entries: u64,
    /// Entries that stand for a case.
    pub listed: u64,
    /// Of these, what the release before did not have.
    pub added: u64,
    /// What only the release before had.
    pub removed: u64,
    /// BLAKE3 hash of its list, in hexadecimal digits.
    pub hash: String,
    /// Decisions up to this moment are in it, Unix milliseconds.
    pub decided_until: u64,
    /// How far the canaries have moved.
    pub moves: Moves,
    /// It holds what this older release held, and so will the next ones until somebody ends that.
    pub pinned_to: Option<u64>,
    /// Why, as who did it said.
    #[serde(default)]
    pub pinned_why: Option<String>,
    /// What was new was too much at once and waits: it holds nothing that this release before it did not hold.
    #[serde(default)]
    pub only_of: Option<u64>,
    /// Two people let it pass the jump guard.
    pub overridden: bool,
    /// Resolvers that its epoch was opened to.
    pub recipients: Vec<String>,
    /// What it was made from beside the ledger.
    #[serde(default)]
    pub feeds: Vec<Pin>,
}

/// Which names of a feed a release was made from: whoever signs it makes it again from the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The feed.
    pub feed: String,
    /// Its category.
    pub category: String,
    /// Hash of its names.
    pub hash: String,
    /// How many there are.
    pub entries: u64,
    /// What tells which names were to stay free.
    pub allowed: String,
}

/// Shows that this command alone is at work; gone when it is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Work {
    /// Makes a directory a publisher's work directory. It may be there already, with a ledger in it and a scheme.
    pub fn create(directory: &Path, scheme: Option<&str>, settings: &str) -> Result<Work, WorkError> {
        let failed = |error| WorkError::Make { path: directory.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        // Until there is a first document, a beginning that was interrupted can be made again.
        if directory.join(format!("public/{TIMESTAMP}")).exists() || directory.join("staged").join(KEYS).exists() {
            return Err(WorkError::Begun(directory.to_owned()));
        }
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| WorkError::Random)?;
        for folder in ["epochs", "feeds", "lists", "staged", "public", "public/metadata", "public/targets"] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory.join(folder)).map_err(failed)?;
        }
        NewFile::put(&directory.join("seed"), format!("{}\n", hex(&seed)).as_bytes(), true)?;
        NewFile::put(&directory.join("recipients.toml"), Recipients::default().write().as_bytes(), true)?;
        if let Some(scheme) = scheme {
            NewFile::put(&directory.join("scheme.toml"), scheme.as_bytes(), true)?;
        }
        if !directory.join(feed::settings::FILE).exists() {
            NewFile::put(&directory.join(feed::settings::FILE), feed::settings::TEMPLATE.as_bytes(), true)?;
        }
        NewFile::put(&directory.join("release.toml"), settings.as_bytes(), true)?;
        Work::open(directory)
    }

    /// Opens a work directory that nobody else can read.
    pub fn open(directory: &Path) -> Result<Work, WorkError> {
        let path = directory.join("release.toml");
        let text = read_text(&path)?;
        let mode = fs::metadata(directory).map_err(|error| WorkError::Read { path: path.clone(), error })?;
        let mode = mode.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(WorkError::Exposed { path: directory.to_owned(), mode });
        }
        let settings = Settings::read(&text).map_err(|error| WorkError::Settings { path, error })?;
        let path = directory.join("scheme.toml");
        let scheme = Scheme::read(&read_text(&path)?).map_err(|error| WorkError::Scheme { path, error })?;
        let path = directory.join("seed");
        let seed = unhex(read_text(&path)?.trim()).map(Seed::new);
        let seed = seed.ok_or_else(|| WorkError::Damaged { path, why: "it must have 64 digits".to_owned() })?;
        let feeds = read_feeds(directory, &scheme);
        Ok(Work { directory: directory.to_owned(), settings, scheme, feeds, seed })
    }

    /// Waits until no other command is at work here, at most so long.
    pub fn lock(&self, patience: Duration) -> Result<Lock, WorkError> {
        let path = self.directory.join("lock");
        let failed = |error| WorkError::Read { path: path.clone(), error };
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(WorkError::Busy { path: self.directory.clone(), waited: patience.as_secs() });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The ledger.
    pub fn ledger(&self) -> PathBuf {
        self.directory.join("ledger.db")
    }

    /// The publisher's own copy of the repository.
    pub fn public(&self) -> PathBuf {
        self.directory.join("public")
    }

    /// Its metadata.
    pub fn metadata(&self) -> PathBuf {
        self.directory.join("public/metadata")
    }

    /// What waits for signatures.
    pub fn staged(&self) -> PathBuf {
        self.directory.join("staged")
    }

    /// The secret that canaries come from.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// What is kept of its feeds.
    pub fn shelf(&self) -> Shelf {
        Shelf::new(&self.directory)
    }

    /// Key of the digests in indexes; it never changes.
    pub fn index_key(&self) -> DigestKey {
        DigestKey::new(self.seed.derive("index"))
    }

    /// Where the publisher's own key is.
    pub fn online_path(&self) -> PathBuf {
        self.directory.join("online.pem")
    }

    /// Makes the publisher's own key, unless an interrupted beginning did.
    pub fn make_online(&self) -> Result<Person, WorkError> {
        let path = self.online_path();
        Ok(if path.exists() { Person::read(&path)? } else { Person::create(&path)? })
    }

    /// The publisher's own key.
    pub fn online(&self) -> Result<Person, WorkError> {
        Ok(Person::read(&self.online_path())?)
    }

    /// How an admin has the ledger know the publisher's own key.
    pub fn how_to_register(&self) -> String {
        let key = self.online_path();
        format!(
            "`person show --key {} > publisher.person`, then `person add publisher.person --label LABEL --role operator \
             --key ADMIN`",
            key.display()
        )
    }

    /// The enrolled resolvers.
    pub fn recipients(&self) -> Result<Recipients, WorkError> {
        let path = self.directory.join("recipients.toml");
        Recipients::read(&read_text(&path)?).map_err(|error| WorkError::Recipients { path, error })
    }

    /// Keeps them.
    pub fn keep_recipients(&self, recipients: &Recipients) -> Result<(), WorkError> {
        Ok(NewFile::put(&self.directory.join("recipients.toml"), recipients.write().as_bytes(), true)?)
    }

    fn epoch_path(&self, number: u64, what: &str) -> PathBuf {
        self.directory.join(format!("epochs/{number}{what}.json"))
    }

    /// The secrets of an epoch, if there is such an epoch.
    pub fn epoch(&self, number: u64) -> Result<Option<Epoch>, WorkError> {
        read_json(&self.epoch_path(number, ""))
    }

    /// The envelopes of an epoch.
    pub fn envelopes(&self, number: u64) -> Result<Envelopes, WorkError> {
        Ok(read_json(&self.epoch_path(number, "-envelopes"))?.unwrap_or_default())
    }

    /// Keeps an epoch with its envelopes.
    pub fn keep_epoch(&self, epoch: &Epoch, envelopes: &Envelopes) -> Result<(), WorkError> {
        let json = |path: PathBuf, error: serde_json::Error| WorkError::Damaged { path, why: error.to_string() };
        for (what, content) in [("", serde_json::to_vec(epoch)), ("-envelopes", serde_json::to_vec(envelopes))] {
            let path = self.epoch_path(epoch.number, what);
            let content = content.map_err(|error| json(path.clone(), error))?;
            NewFile::put(&path, &content, true)?;
        }
        Ok(())
    }

    /// Path of something that is kept of a release: `list`, `index` or `json`.
    pub fn kept(&self, class: Class, serial: u64, what: &str) -> PathBuf {
        self.directory.join(format!("lists/{}/{serial}.{what}", class.word()))
    }

    /// The card of a release that is kept.
    pub fn card(&self, class: Class, serial: u64) -> Result<Option<Card>, WorkError> {
        read_json(&self.kept(class, serial, "json"))
    }

    /// The index of a release that is kept.
    pub fn index(&self, class: Class, serial: u64) -> Result<Option<Index>, WorkError> {
        let path = self.kept(class, serial, "index");
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WorkError::Read { path, error }),
            Ok(octets) => Index::read(&octets)
                .map(Some)
                .ok_or_else(|| WorkError::Damaged { path, why: "it is cut off or changed".to_owned() }),
        }
    }

    /// The name that all zones lie below.
    pub fn zone_origin(&self) -> Name {
        let own = || {
            let zone = &self.scheme.ground.test_zone;
            let domain = zone.parent().filter(|domain| domain.labels() > 1).unwrap_or_else(|| zone.clone());
            Name::parse(&format!("rpz.{domain}"))
        };
        // Checked where settings are read; a test zone too long for four more octets has no zones either.
        Name::parse(&self.settings.zones.origin)
            .or_else(|_| own())
            .unwrap_or_else(|_| self.scheme.ground.test_zone.clone())
    }

    /// The file of a zone of a release.
    pub fn zone(&self, class: Class, serial: u64, list: &str) -> PathBuf {
        self.kept(class, serial, &format!("{list}.rpz"))
    }

    /// The file of a zone in force.
    pub fn zone_in_force(&self, list: &str) -> PathBuf {
        self.directory.join(format!("rpz/{list}.rpz"))
    }

    /// The zones of a class that are kept, by serial and by class or category.
    pub fn zones(&self, class: Class) -> Result<BTreeMap<u64, BTreeMap<String, PathBuf>>, WorkError> {
        let mut zones: BTreeMap<u64, BTreeMap<String, PathBuf>> = BTreeMap::new();
        let path = self.directory.join(format!("lists/{}", class.word()));
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(zones),
            other => other.map_err(|error| WorkError::Read { path: path.clone(), error })?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| WorkError::Read { path: path.clone(), error })?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let parts = name.strip_suffix(".rpz").and_then(|name| name.split_once('.'));
            let parts = parts.and_then(|(serial, list)| Some((serial.parse::<u64>().ok()?, list.to_owned())));
            // The card is put in place after the zones: without it they belong to a release that is just being kept.
            if let Some((serial, list)) = parts.filter(|(serial, _)| self.kept(class, *serial, "json").exists()) {
                zones.entry(serial).or_default().insert(list, entry.path());
            }
        }
        Ok(zones)
    }

    /// Serials of the releases of a class that are kept, ascending.
    pub fn serials(&self, class: Class) -> Result<Vec<u64>, WorkError> {
        let path = self.directory.join(format!("lists/{}", class.word()));
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| WorkError::Read { path: path.clone(), error })?,
        };
        let mut serials = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| WorkError::Read { path: path.clone(), error })?;
            let name = entry.file_name().to_string_lossy().into_owned();
            serials.extend(name.strip_suffix(".json").and_then(|serial| serial.parse::<u64>().ok()));
        }
        serials.sort_unstable();
        Ok(serials)
    }
}

/// The hash on a card, as the ledger has it.
pub fn hash(digits: &str) -> Option<[u8; 32]> {
    unhex(digits)
}

/// The feeds, or what is wrong with their file, with its path. Without a file there are none.
fn read_feeds(directory: &Path, scheme: &Scheme) -> Result<Feeds, String> {
    let path = directory.join(feed::settings::FILE);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Feeds::default()),
        Err(error) => Err(format!("{}: cannot be read: {error}", path.display())),
        Ok(text) => Feeds::read(&text, directory, scheme).map_err(|error| match error {
            FeedsError::Allow { .. } | FeedsError::AllowLine { .. } => error.to_string(),
            error => format!("{}: {}", path.display(), one_line(&error)),
        }),
    }
}

fn read_text(path: &Path) -> Result<String, WorkError> {
    fs::read_to_string(path).map_err(|error| WorkError::Read { path: path.to_owned(), error })
}

/// A JSON file, or nothing where there is none.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, WorkError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(WorkError::Read { path: path.to_owned(), error }),
        Ok(octets) => serde_json::from_slice(&octets)
            .map(Some)
            .map_err(|error| WorkError::Damaged { path: path.to_owned(), why: error.to_string() }),
    }
}
