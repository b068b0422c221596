//! Where configuration and lists come from: a file, or what is built in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, ListMeta, Scope};
use signed_list::name::Name;

use crate::config::{Config, ConfigError, Source, Zone};
use crate::filter::Filter;
use crate::lists::{self, ListsError, Loaded, Manner, Stamp};
use crate::pipeline::Snapshot;
use crate::releases::Follower;
use crate::scheme::Scheme;
use crate::server::tls::{Keys, KeysError};

/// Where the configuration comes from.
#[derive(Clone)]
pub enum Origin {
    /// Built-in defaults and the embedded sample list.
    BuiltIn,
    /// A file.
    File(PathBuf),
}

impl Origin {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn config(&self) -> Result<Config, ConfigError> {
        match self {
            Origin::BuiltIn => Ok(Config::builtin()),
            Origin::File(path) => Config::load(path),
        }
    }
}

/// What a snapshot holds besides the configuration and the lists.
#[derive(Clone)]
pub struct Beside {
    /// Certificate and key, where the configuration has some.
    pub keys: Option<Arc<Keys>>,
    /// The scheme profile.
    pub scheme: Arc<Scheme>,
}

/// Certificate and key, where the configuration has some; `before` goes on if
/// they are the same.
///
/// # Errors
/// Why they cannot be used.
pub fn keys(config: &Config, before: Option<&Arc<Keys>>) -> Result<Option<Arc<Keys>>, KeysError> {
    config.tls.as_ref().map(|tls| Keys::load(tls, before)).transpose()
}

/// Loads everything that a snapshot needs.
///
/// # Errors
/// The first list that cannot be used.
#[allow(clippy::too_many_arguments)] // one value for each thing that a snapshot is made of
pub fn snapshot(
    origin: &Origin,
    config: Config,
    generation: u32,
    beside: Beside,
    old: &[Arc<Loaded>],
    followers: &[Arc<Follower>],
    manner: Manner,
    notes: &mut Vec<String>,
) -> Result<Snapshot, ListsError> {
    let mut loaded = lists::load(&config, old, manner, notes)?;
    if matches!(origin, Origin::BuiltIn) {
        loaded.lists.push(lists::embedded(&config, sample_list()));
    }
    filtered(generation, Arc::new(config), beside, loaded.lists, loaded.allow, followers)
}

/// The same with lists that are loaded already.
///
/// # Errors
/// A followed list has a category that the configuration does not know.
pub fn filtered(
    generation: u32,
    config: Arc<Config>,
    beside: Beside,
    mut lists: Vec<Arc<Loaded>>,
    allow: Vec<Vec<Arc<Loaded>>>,
    followers: &[Arc<Follower>],
) -> Result<Snapshot, ListsError> {
    let mut missing = false;
    for follower in followers {
        match follower.list() {
            Some(list) => lists.push(lists::followed(&config, follower.name(), follower.state(), list)?),
            None => missing = true,
        }
    }
    let filter = Filter::new(&config, &beside.scheme, lists, allow);
    let zones = followers.iter().filter(|follower| follower.is_zone()).cloned().collect();
    let mut snapshot = Snapshot::new(generation, config, beside.scheme, filter, missing, zones);
    snapshot.tls = beside.keys;
    Ok(snapshot)
}

/// A follower for each list that the configuration follows; those of `old` go on
/// that are configured as they were. `live` is for the resolver itself.
///
/// # Errors
/// What the operator has to mend.
pub fn followers(config: &Config, old: &[Arc<Follower>], live: bool) -> Result<Vec<Arc<Follower>>, String> {
    let at = |state: &Path| old.iter().find(|follower| follower.state() == state);
    let source = |source: &Source| match at(&source.state) {
        Some(follower) if follower.follows(source) => Ok(follower.clone()),
        before => Follower::of_repository(source, before.map(|before| &**before), live).map(Arc::new),
    };
    let zone = |zone: &Zone| match old.iter().find(|follower| follower.transfers(zone)) {
        Some(follower) => Ok(follower.clone()),
        None => Follower::of_zone(zone, live).map(Arc::new),
    };
    config.sources.iter().map(source).chain(config.zones.iter().map(zone)).collect()
}

/// The sample, by category of the built-in configuration.
const SAMPLE: [(&str, &str); 3] = [
    ("malware", include_str!("../blocklists/sample/malware.txt")),
    ("adult", include_str!("../blocklists/sample/adult.txt")),
    ("gambling", include_str!("../blocklists/sample/gambling.txt")),
];

/// The embedded sample list: names that exist for nothing else.
fn sample_list() -> Vec<u8> {
    let categories = SAMPLE.iter().map(|(name, _)| (*name).into()).collect();
    let meta = ListMeta { categories, serial: 1, created: 0, key: DigestKey::OPEN, sealed: false };
    let mut builder = Builder::new(meta);
    let mut suffixes = Suffixes::new();
    for (category, (_, text)) in SAMPLE.iter().enumerate() {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let name = Name::parse(line).expect("the sample holds good names");
            DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
            let labels = name.labels();
            builder.push(suffixes.get(labels), labels as u8, category as u8, Scope::Subtree);
        }
    }
    builder.build().expect("the sample is small")
}

/// State of each file whose change asks for a reload.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// The files whose change asks for a reload, as they are now.
pub fn stamps(origin: &Origin, config: &Config) -> Stamps {
    let mut files: Vec<&Path> = config.lists.iter().map(PathBuf::as_path).collect();
    if let Origin::File(path) = origin {
        files.push(path);
    }
    if let Some(tls) = &config.tls {
        files.extend([Some(&*tls.certificate), tls.key.file()].into_iter().flatten());
    }
    files.extend(config.scheme.as_deref());
    files.extend(config.policies.iter().flat_map(|policy| policy.allow_lists.iter().map(PathBuf::as_path)));
    if config.upstream.servers.is_empty() {
        files.push(Path::new("/etc/resolv.conf"));
    }
    files.into_iter().map(|file| (file.to_owned(), Stamp::of(file))).collect()
}
