//! The signed metadata of a repository (The Update Framework): made here, one document and one signature at a time.
//!
//! The forms are those of the crate `tough`, whose client has the last word: nothing leaves this program that it has
//! not accepted ([`super::client`]). Its editor is not used, because it wants all keys in one place, and two people
//! who sign a legal release do it on two machines.
//!
//! | role | signed by | says |
//! |---|---|---|
//! | `root` | several people, offline | the keys of these four roles |
//! | `targets` | the same people | the keys of the roles below; names no file |
//! | `legal`, `epoch` | two people | files of the legal list, envelopes of its keys |
//! | `operator`, `venue` | one person | files of the open lists |
//! | `snapshot` | the publisher's own key | the versions of `targets` and of the roles below it |
//! | `timestamp` | the publisher's own key | the version of `snapshot`; the one file that resolvers poll |

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use olpc_cjson::CanonicalFormatter;
use serde::Serialize;
use signed_list::release::Class;
use thiserror::Error;
use tough::TargetName;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key};
use tough::schema::{
    DelegatedRole, Delegations, Hashes, Metafile, PathPattern, PathSet, Role, RoleKeys, RoleType, Root, Signature,
    Signed, Snapshot, Target, Targets, Timestamp,
};

use crate::person::{Person, PersonId, PublicKey, hex};

/// Version of the specification that the metadata keeps to.
const SPEC_VERSION: &str = "1.0.31";
/// The role of the envelopes; its keys are those of the role `legal`.
pub const EPOCH: &str = "epoch";

/// Why metadata cannot be read or made.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum RepositoryError {
    #[error("{}: cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: is not the metadata it should be: {error}", path.display())]
    Parse { path: PathBuf, error: serde_json::Error },
    #[error("metadata cannot be made: {0}")]
    Make(String),
}

fn cannot_make(error: impl std::fmt::Display) -> RepositoryError {
    RepositoryError::Make(error.to_string())
}

/// The keys of a role and how many of them have to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    /// The keys, each once.
    pub keys: Vec<PublicKey>,
    /// So many of them sign.
    pub threshold: u64,
}

/// Who holds the roles of a repository.
#[derive(Clone, Debug)]
pub struct Ceremony {
    /// Root and targets.
    pub root: Holders,
    /// Snapshot and timestamp.
    pub online: PublicKey,
    /// The classes that there are. Those of the legal class sign the envelopes, too.
    pub classes: BTreeMap<Class, Holders>,
}

/// A document that people sign.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// Root metadata.
    Root(Signed<Root>),
    /// Targets metadata of the top level (`targets`) or of a role below it.
    Targets(String, Signed<Targets>),
}

/// Metadata of a repository, as it is in force.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The newest root.
    pub root: Signed<Root>,
    /// The roles below it.
    pub targets: Signed<Targets>,
    /// The roles below that, by name.
    pub delegated: BTreeMap<String, Signed<Targets>>,
    /// The versions in force.
    pub snapshot: Signed<Snapshot>,
    /// The version of the snapshot.
    pub timestamp: Signed<Timestamp>,
}

/// Where a document stands with one of the groups whose signatures it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The role.
    pub role: String,
    /// Holders that have signed.
    pub signed: Vec<PersonId>,
    /// Holders that have not.
    pub open: Vec<PersonId>,
    /// How many have to.
    pub threshold: u64,
}

impl Standing {
    /// How many signatures are missing.
    pub fn missing(&self) -> u64 {
        self.threshold.saturating_sub(self.signed.len() as u64)
    }
}

impl Holders {
    /// Checks that the keys are different and enough.
    pub fn new(mut keys: Vec<PublicKey>, threshold: u64) -> Option<Holders> {
        let given = keys.len();
        keys.sort();
        keys.dedup();
        (keys.len() == given && (1..=given as u64).contains(&threshold)).then_some(Holders { keys, threshold })
    }
}

impl Document {
    /// The role that it is of.
    pub fn role(&self) -> &str {
        match self {
            Document::Root(_) => "root",
            Document::Targets(role, _) => role,
        }
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        match self {
            Document::Root(document) => document.signed.version.get(),
            Document::Targets(_, document) => document.signed.version.get(),
        }
    }

    /// Name of its file.
    pub fn file_name(&self) -> String {
        format!("{}.{}.json", self.version(), self.role())
    }

    /// What signatures stand over.
    fn canonical(&self) -> Result<Vec<u8>, RepositoryError> {
        match self {
            Document::Root(document) => document.signed.canonical_form().map_err(cannot_make),
            Document::Targets(_, document) => document.signed.canonical_form().map_err(cannot_make),
        }
    }

    fn signatures(&self) -> &[Signature] {
        match self {
            Document::Root(document) => &document.signatures,
            Document::Targets(_, document) => &document.signatures,
        }
    }

    fn signatures_mut(&mut self) -> &mut Vec<Signature> {
        match self {
            Document::Root(document) => &mut document.signatures,
            Document::Targets(_, document) => &mut document.signatures,
        }
    }

    /// Adds a signature, in the place of an earlier one of the same key.
    pub fn sign(&mut self, person: &Person) -> Result<(), RepositoryError> {
        let signature = signature(&self.canonical()?, person)?;
        let signatures = self.signatures_mut();
        signatures.retain(|other| other.keyid != signature.keyid);
        signatures.push(signature);
        Ok(())
    }

    /// Takes over the signatures of a copy that was signed elsewhere; of another document none is taken.
    pub fn join(&mut self, other: &Document) -> Result<usize, RepositoryError> {
        if self.canonical()? != other.canonical()? {
            return Ok(0);
        }
        let new: Vec<Signature> = other
            .signatures()
            .iter()
            .filter(|signature| self.signatures().iter().all(|known| known.keyid != signature.keyid))
            .cloned()
            .collect();
        let count = new.len();
        self.signatures_mut().extend(new);
        Ok(count)
    }

    /// Takes the signatures of these keys off, and tells how many there were.
    pub fn strike(&mut self, keys: &[PublicKey]) -> Result<usize, RepositoryError> {
        let ids = keys.iter().map(key_id).collect::<Result<Vec<_>, _>>()?;
        let before = self.signatures().len();
        self.signatures_mut().retain(|signature| !ids.contains(&signature.keyid));
        Ok(before - self.signatures().len())
    }

    /// Keys among these whose signature is there and good.
    fn signed_by(&self, holders: &Holders) -> Result<Vec<PublicKey>, RepositoryError> {
        let text = self.canonical()?;
        let mut signed = Vec::new();
        for key in &holders.keys {
            let id = key_id(key)?;
            let good = |signature: &Signature| signature.keyid == id && key.verify(&text, &signature.sig);
            if self.signatures().iter().any(good) {
                signed.push(*key);
            }
        }
        Ok(signed)
    }

    /// The file.
    pub fn write(&self) -> Result<Vec<u8>, RepositoryError> {
        match self {
            Document::Root(document) => file(document),
            Document::Targets(_, document) => file(document),
        }
    }

    /// From the file.
    pub fn read(role: &str, octets: &[u8]) -> Result<Document, serde_json::Error> {
        if role == "root" {
            return serde_json::from_slice(octets).map(Document::Root);
        }
        serde_json::from_slice(octets).map(|document| Document::Targets(role.to_owned(), document))
    }
}

/// Signs the canonical form of a document. Its first octets are `{"_type":`, which no other thing that people sign
/// begins with.
fn signature(canonical: &[u8], person: &Person) -> Result<Signature, RepositoryError> {
    Ok(Signature { keyid: key_id(&person.public())?, sig: person.sign(canonical).to_vec().into() })
}

fn tuf_key(key: &PublicKey) -> Key {
    Key::Ed25519 {
        keyval: Ed25519Key { public: key.as_octets().to_vec().into(), _extra: HashMap::new() },
        scheme: Ed25519Scheme::Ed25519,
        _extra: HashMap::new(),
    }
}

/// The id of a key in metadata.
pub fn key_id(key: &PublicKey) -> Result<Decoded<Hex>, RepositoryError> {
    tuf_key(key).key_id().map_err(cannot_make)
}

fn public_key(key: &Key) -> Option<PublicKey> {
    match key {
        Key::Ed25519 { keyval, .. } => hex(&keyval.public).parse().ok(),
        _ => None,
    }
}

/// Metadata as it is published: canonical JSON, because it is short and always the same.
fn file(document: &impl Serialize) -> Result<Vec<u8>, RepositoryError> {
    let mut octets = Vec::new();
    let mut out = serde_json::Serializer::with_formatter(&mut octets, CanonicalFormatter::new());
    document.serialize(&mut out).map_err(cannot_make)?;
    Ok(octets)
}

fn keys_of<'a>(holders: impl IntoIterator<Item = &'a Holders>) -> Result<HashMap<Decoded<Hex>, Key>, RepositoryError> {
    let keys = holders.into_iter().flat_map(|holders| &holders.keys);
    keys.map(|key| Ok((key_id(key)?, tuf_key(key)))).collect()
}

fn ids_of(holders: &Holders) -> Result<Vec<Decoded<Hex>>, RepositoryError> {
    holders.keys.iter().map(key_id).collect()
}

fn count(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)
}

/// A moment of metadata, which is always a whole second.
pub fn moment(seconds: u64) -> Result<jiff::Timestamp, RepositoryError> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .ok_or_else(|| RepositoryError::Make(format!("{seconds} seconds is no date")))
}

/// When metadata expires, Unix seconds.
pub fn expiry(moment: jiff::Timestamp) -> u64 {
    u64::try_from(moment.as_second()).unwrap_or(0)
}

impl Ceremony {
    /// Root metadata with these keys.
    pub fn root(&self, version: u64, expires: u64) -> Result<Document, RepositoryError> {
        let online = Holders { keys: vec![self.online], threshold: 1 };
        let role = |holders: &Holders| {
            Ok(RoleKeys { keyids: ids_of(holders)?, threshold: count(holders.threshold), _extra: HashMap::new() })
        };
        let roles = HashMap::from([
            (RoleType::Root, role(&self.root)?),
            (RoleType::Targets, role(&self.root)?),
            (RoleType::Snapshot, role(&online)?),
            (RoleType::Timestamp, role(&online)?),
        ]);
        let root = Root {
            spec_version: SPEC_VERSION.to_owned(),
            consistent_snapshot: true,
            version: count(version),
            expires: moment(expires)?,
            keys: keys_of([&self.root, &online])?,
            roles,
            _extra: HashMap::new(),
        };
        Ok(Document::Root(Signed { signed: root, signatures: Vec::new() }))
    }

    /// Targets metadata that delegates the classes.
    pub fn targets(&self, version: u64, expires: u64) -> Result<Document, RepositoryError> {
        let mut roles = Vec::new();
        for (role, holders) in self.delegated() {
            roles.push(DelegatedRole {
                name: role.to_owned(),
                keyids: ids_of(holders)?,
                threshold: count(holders.threshold),
                paths: PathSet::Paths(vec![PathPattern::new(format!("{role}/*")).map_err(cannot_make)?]),
                terminating: true,
                targets: None,
            });
        }
        let mut targets = Targets::new(SPEC_VERSION.to_owned(), count(version), moment(expires)?);
        targets.delegations = Some(Delegations { keys: keys_of(self.classes.values())?, roles });
        Ok(Document::Targets("targets".to_owned(), Signed { signed: targets, signatures: Vec::new() }))
    }

    /// The delegated roles and who holds them.
    pub fn delegated(&self) -> Vec<(&'static str, &Holders)> {
        let mut roles = Vec::new();
        for (class, holders) in &self.classes {
            roles.push((class.word(), holders));
            if class.is_sealed() {
                roles.push((EPOCH, holders));
            }
        }
        roles
    }

    /// Who holds the roles of a repository, from its metadata.
    pub fn of(root: &Signed<Root>, targets: &Signed<Targets>) -> Result<Ceremony, RepositoryError> {
        let role = |kind| root_holders(root, kind).ok_or_else(|| cannot_make("a role has no keys that are known here"));
        let online = role(RoleType::Timestamp)?;
        let mut classes = BTreeMap::new();
        for class in Class::ALL {
            if let Some(holders) = delegated_holders(targets, class.word()) {
                classes.insert(class, holders);
            }
        }
        let online = *online.keys.first().ok_or_else(|| cannot_make("the timestamp has no key"))?;
        Ok(Ceremony { root: role(RoleType::Root)?, online, classes })
    }
}

fn root_holders(root: &Signed<Root>, role: RoleType) -> Option<Holders> {
    let keys = root.signed.keys(role).map(public_key).collect::<Option<Vec<_>>>()?;
    Some(Holders { keys, threshold: root.signed.roles.get(&role)?.threshold.get() })
}

fn delegated_holders(targets: &Signed<Targets>, role: &str) -> Option<Holders> {
    let delegations = targets.signed.delegations.as_ref()?;
    let role = delegations.roles.iter().find(|other| other.name == role)?;
    let keys = role.keyids.iter().map(|id| public_key(delegations.keys.get(id)?)).collect::<Option<Vec<_>>>()?;
    Some(Holders { keys, threshold: role.threshold.get() })
}

/// An entry of targets metadata.
pub fn target(content: &[u8]) -> Target {
    Target { length: content.len() as u64, hashes: hashes(content), custom: HashMap::new(), _extra: HashMap::new() }
}

fn hashes(content: &[u8]) -> Hashes {
    Hashes { sha256: digest(&SHA256, content).as_ref().to_vec().into(), _extra: HashMap::new() }
}

/// Where the content of a target lies below `targets/`. The whole name stands behind the hash, its folder included,
/// which is how the client of `tough` asks for it.
pub fn target_file(name: &str, target: &Target) -> String {
    format!("{}.{name}", hex(&target.hashes.sha256))
}

/// Metadata of a delegated role.
pub fn delegated(
    role: &str,
    version: u64,
    expires: u64,
    targets: impl IntoIterator<Item = (String, Target)>,
) -> Result<Document, RepositoryError> {
    let mut document = Targets::new(SPEC_VERSION.to_owned(), count(version), moment(expires)?);
    document.delegations = None;
    for (name, target) in targets {
        document.add_target(TargetName::new(name).map_err(cannot_make)?, target);
    }
    Ok(Document::Targets(role.to_owned(), Signed { signed: document, signatures: Vec::new() }))
}

impl Metadata {
    /// Reads the metadata in force from the directory that holds it. What it says is trusted: this is for the
    /// publisher's own copy.
    pub fn read(directory: &Path) -> Result<Metadata, RepositoryError> {
        let timestamp: Signed<Timestamp> = read(&directory.join("timestamp.json"))?;
        let version = |meta: &HashMap<String, Metafile>, name: &str| {
            let meta = meta.get(name).ok_or_else(|| RepositoryError::Make(format!("{name} is not in the metadata")))?;
            Ok::<_, RepositoryError>(directory.join(format!("{}.{name}", meta.version)))
        };
        let snapshot: Signed<Snapshot> = read(&version(&timestamp.signed.meta, "snapshot.json")?)?;
        let targets = read(&version(&snapshot.signed.meta, "targets.json")?)?;
        let mut delegated = BTreeMap::new();
        for name in snapshot.signed.meta.keys().filter(|name| *name != "targets.json") {
            let role = name.trim_end_matches(".json").to_owned();
            delegated.insert(role, read(&version(&snapshot.signed.meta, name)?)?);
        }
        Ok(Metadata { root: newest_root(directory)?, targets, delegated, snapshot, timestamp })
    }

    /// The document in force of a role.
    pub fn document(&self, role: &str) -> Option<Document> {
        match role {
            "root" => Some(Document::Root(self.root.clone())),
            "targets" => Some(Document::Targets(role.to_owned(), self.targets.clone())),
            _ => self.delegated.get(role).map(|document| Document::Targets(role.to_owned(), document.clone())),
        }
    }

    /// Whether a document is in force, or an older one than that in force.
    pub fn has(&self, document: &Document) -> bool {
        self.document(document.role()).is_some_and(|current| current.version() >= document.version())
    }
}

fn newest_root(directory: &Path) -> Result<Signed<Root>, RepositoryError> {
    let mut version = 1;
    while directory.join(format!("{}.root.json", version + 1)).exists() {
        version += 1;
    }
    read(&directory.join(format!("{version}.root.json")))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RepositoryError> {
    let octets = fs::read(path).map_err(|error| RepositoryError::Read { path: path.to_owned(), error })?;
    serde_json::from_slice(&octets).map_err(|error| RepositoryError::Parse { path: path.to_owned(), error })
}

/// Where a document stands with all whose signatures it needs: of the keys in force, and of the keys that documents
/// beside it bring into force. `base` is missing only when a repository begins.
pub fn standings(
    document: &Document,
    base: Option<&Metadata>,
    beside: &[Document],
) -> Result<Vec<Standing>, RepositoryError> {
    let root = beside.iter().find_map(|document| match document {
        Document::Root(root) => Some(root),
        Document::Targets(..) => None,
    });
    let targets = beside.iter().find_map(|document| match document {
        Document::Targets(role, targets) if role == "targets" => Some(targets),
        _ => None,
    });
    let mut wanted: Vec<(String, Option<Holders>)> = Vec::new();
    match document {
        Document::Root(own) => {
            // A root is signed by those whom the root before it names, and by those whom it names itself.
            if let Some(base) = base {
                wanted.push(("root, as it was".to_owned(), root_holders(&base.root, RoleType::Root)));
            }
            wanted.push(("root".to_owned(), root_holders(own, RoleType::Root)));
            wanted.dedup_by(|own, before| own.1 == before.1);
        }
        Document::Targets(role, _) if role == "targets" => {
            let root = root.or(base.map(|base| &base.root));
            wanted.push((role.clone(), root.and_then(|root| root_holders(root, RoleType::Targets))));
        }
        Document::Targets(role, _) => {
            let targets = targets.or(base.map(|base| &base.targets));
            wanted.push((role.clone(), targets.and_then(|targets| delegated_holders(targets, role))));
        }
    }
    wanted
        .into_iter()
        .map(|(role, holders)| {
            let holders = holders.ok_or_else(|| RepositoryError::Make(format!("the role {role} has no keys")))?;
            let signed = document.signed_by(&holders)?;
            let open = holders.keys.iter().filter(|key| !signed.contains(key)).map(PublicKey::id).collect();
            let signed = signed.iter().map(PublicKey::id).collect();
            Ok(Standing { role, signed, open, threshold: holders.threshold })
        })
        .collect()
}

/// The files that bring documents into force: a snapshot and a timestamp, signed by the publisher.
pub struct Fronts {
    /// Name and content of the snapshot; none when the one in force goes on.
    pub snapshot: Option<(String, Vec<u8>)>,
    /// Content of `timestamp.json`.
    pub timestamp: Vec<u8>,
}

/// How long snapshot and timestamp live, and from when on.
#[derive(Clone, Copy, Debug)]
pub struct Dates {
    /// Expiry of the snapshot, Unix seconds.
    pub snapshot: u64,
    /// Expiry of the timestamp, Unix seconds.
    pub timestamp: u64,
}

/// Makes snapshot and timestamp. `documents` are the files that change; `renew` makes a new snapshot even if none does.
pub fn fronts(
    base: Option<&Metadata>,
    documents: &[(Document, Vec<u8>)],
    dates: Dates,
    renew: bool,
    online: &Person,
) -> Result<Fronts, RepositoryError> {
    let listed: Vec<_> = documents.iter().filter(|(document, _)| document.role() != "root").collect();
    let old = base.map(|base| base.timestamp.signed.version.get()).unwrap_or(0);
    let mut timestamp = Timestamp::new(SPEC_VERSION.to_owned(), count(old + 1), moment(dates.timestamp)?);
    let mut fronts = Fronts { snapshot: None, timestamp: Vec::new() };
    match base {
        Some(base) if listed.is_empty() && !renew => timestamp.meta = base.timestamp.signed.meta.clone(),
        _ => {
            let old = base.map_or(0, |base| base.snapshot.signed.version.get());
            let mut snapshot = Snapshot::new(SPEC_VERSION.to_owned(), count(old + 1), moment(dates.snapshot)?);
            snapshot.meta = base.map(|base| base.snapshot.signed.meta.clone()).unwrap_or_default();
            for (document, content) in listed {
                let name = format!("{}.json", document.role());
                snapshot.meta.insert(name, metafile(document.version(), content));
            }
            let content = front(snapshot, online)?;
            timestamp.meta.insert("snapshot.json".to_owned(), metafile(old + 1, &content));
            fronts.snapshot = Some((format!("{}.snapshot.json", old + 1), content));
        }
    }
    fronts.timestamp = front(timestamp, online)?;
    Ok(fronts)
}

fn front<T: Role>(role: T, online: &Person) -> Result<Vec<u8>, RepositoryError> {
    let signature = signature(&role.canonical_form().map_err(cannot_make)?, online)?;
    file(&Signed { signed: role, signatures: vec![signature] })
}

fn metafile(version: u64, content: &[u8]) -> Metafile {
    Metafile {
        length: Some(content.len() as u64),
        hashes: Some(hashes(content)),
        version: count(version),
        _extra: HashMap::new(),
    }
}
