//! Keys: how a repository begins, and how its keys change.
//!
//! Both are staged like a release and come into force when all who have to have signed. A change of root keys is
//! signed by the old holders and by the new ones, so a resolver follows from the root it was installed with, link by
//! link. New keys of a class bring the class's documents with them, signed anew: otherwise what is in force would not
//! be valid any more.

use std::collections::BTreeMap;
use std::path::Path;

use signed_list::release::Class;
use thiserror::Error;

use super::publish::{PublishError, Publisher};
use super::repository::{self, Ceremony, Document, EPOCH, Holders, Metadata};
use super::stage::{KEYS, Plan, Stage};
use super::work::{Work, WorkError};
use crate::person::{Person, PersonId, PublicKey};

const DAY: u64 = 86_400;

/// A change of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Root and targets: who holds them, and how many sign.
    Root(Holders),
    /// A class, and its envelopes.
    Class(Class, Holders),
    /// Snapshot and timestamp: the publisher gets a new key of its own.
    Online,
    /// No other keys, but new dates.
    Renew,
}

impl Change {
    /// What it does, in a few words.
    pub fn about(&self) -> String {
        let signers = |holders: &Holders| format!("{} keys, {} of them sign", holders.keys.len(), holders.threshold);
        match self {
            Change::Root(holders) => format!("root and targets: {}", signers(holders)),
            Change::Class(class, holders) => format!("the class {}: {}", class.word(), signers(holders)),
            Change::Online => "snapshot and timestamp: the publisher gets a new key of its own".to_owned(),
            Change::Renew => "root and targets: the same keys with new dates".to_owned(),
        }
    }
}

/// Why keys cannot be changed.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum CeremonyError {
    #[error("a change of keys is staged already ({0}); have it signed, or take it back with `rotate-key --drop`")]
    Pending(String),
    #[error(
        "the key {0} is to be the publisher's own and to hold the role {1}: a stolen publisher could then do anything"
    )]
    OnlineHolds(PersonId, String),
    #[error("the role {role} would have {keys} keys and need {threshold} signatures: that can never be")]
    Threshold { role: String, keys: usize, threshold: u64 },
    #[error("the key {0} does not hold the role {1}")]
    NotThere(PersonId, String),
    #[error("the key {0} holds the role {1} already")]
    There(PersonId, String),
    #[error("the role {0} stays as it is; name a key with --add or --remove, or another --threshold")]
    Nothing(String),
    #[error("the legal list is signed by two people at the least; {0} would be enough here")]
    LegalAlone(u64),
    #[error("the class {0} has no categories in the scheme")]
    NoCategories(&'static str),
    #[error(transparent)]
    Publish(#[from] Box<PublishError>),
}

impl<T: Into<PublishError>> From<T> for CeremonyError {
    fn from(error: T) -> CeremonyError {
        CeremonyError::Publish(Box::new(error.into()))
    }
}

/// What changes about the holders of a role.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Keys that come.
    pub add: Vec<PublicKey>,
    /// Keys that go.
    pub remove: Vec<PersonId>,
    /// How many have to sign from now on.
    pub threshold: Option<u64>,
}

impl Moves {
    /// The holders after the change. A role without holders begins with `start` signatures.
    pub fn apply(&self, role: &str, before: Option<&Holders>, start: u64) -> Result<Holders, CeremonyError> {
        let mut keys = before.map(|holders| holders.keys.clone()).unwrap_or_default();
        for id in &self.remove {
            let at = keys.iter().position(|key| key.id() == *id);
            keys.remove(at.ok_or_else(|| CeremonyError::NotThere(id.clone(), role.to_owned()))?);
        }
        for key in &self.add {
            if keys.contains(key) {
                return Err(CeremonyError::There(key.id(), role.to_owned()));
            }
            keys.push(*key);
        }
        let threshold = self.threshold.unwrap_or(before.map_or(start, |holders| holders.threshold));
        let count = keys.len();
        let holders = Holders::new(keys, threshold);
        let holders = holders.ok_or(CeremonyError::Threshold { role: role.to_owned(), keys: count, threshold })?;
        if before == Some(&holders) {
            return Err(CeremonyError::Nothing(role.to_owned()));
        }
        Ok(holders)
    }
}

/// What must hold of the holders of classes, whoever chooses them.
pub fn check_classes(classes: &BTreeMap<Class, Holders>) -> Result<(), CeremonyError> {
    match classes.iter().find(|(class, holders)| class.is_sealed() && holders.threshold < 2) {
        Some((_, holders)) => Err(CeremonyError::LegalAlone(holders.threshold)),
        None => Ok(()),
    }
}

fn check(ceremony: &Ceremony) -> Result<(), CeremonyError> {
    check_classes(&ceremony.classes)?;
    let root = [("root", &ceremony.root)];
    for (role, holders) in root.into_iter().chain(ceremony.delegated()) {
        if holders.keys.contains(&ceremony.online) {
            return Err(CeremonyError::OnlineHolds(ceremony.online.id(), role.to_owned()));
        }
    }
    Ok(())
}

/// Begins a repository: makes the publisher's own key and stages the first documents.
pub fn begin(work: &Work, root: Holders, classes: BTreeMap<Class, Holders>, now: u64) -> Result<Stage, CeremonyError> {
    for class in classes.keys() {
        if work.scheme.categories(*class).is_empty() {
            return Err(CeremonyError::NoCategories(class.word()));
        }
    }
    check_classes(&classes)?;
    let online = work.make_online()?;
    let ceremony = Ceremony { root, online: online.public(), classes };
    check(&ceremony)?;
    let expiry = &work.settings.expiry;
    let years = now + expiry.root_days * DAY;
    let mut documents = vec![ceremony.root(1, years)?, ceremony.targets(1, years)?];
    for (role, _) in ceremony.delegated() {
        documents.push(repository::delegated(role, 1, now + expiry.release_days * DAY, [])?);
    }
    Ok(Stage::put(work, plan("the first keys of the repository".to_owned(), now, &documents), documents, &[])?)
}

fn plan(about: String, now: u64, documents: &[Document]) -> Plan {
    let roles = documents.iter().map(|document| document.role().to_owned()).collect();
    Plan { name: KEYS.to_owned(), about, created: now, roles, release: None }
}

impl Publisher<'_> {
    /// Stages a change of keys.
    pub fn change_keys(&self, change: Change, base: &Metadata) -> Result<Stage, CeremonyError> {
        if let Some(stage) = Stage::find(self.work, KEYS)? {
            return Err(CeremonyError::Pending(stage.plan.about));
        }
        let mut ceremony = Ceremony::of(&base.root, &base.targets)?;
        let mut online = None;
        let mut about = change.about();
        let renew = change == Change::Renew;
        match change {
            Change::Root(holders) => ceremony.root = holders,
            Change::Class(class, holders) => {
                if self.work.scheme.categories(class).is_empty() {
                    return Err(CeremonyError::NoCategories(class.word()));
                }
                ceremony.classes.insert(class, holders);
            }
            Change::Online => {
                let path = self.work.staged().join("online.pem.new");
                let key = new_key(&path)?;
                about = format!("snapshot and timestamp: the publisher's key becomes {}", key.0.id());
                ceremony.online = key.0.public();
                online = Some(key.1);
            }
            Change::Renew => {}
        }
        check(&ceremony)?;

        let before = Ceremony::of(&base.root, &base.targets)?;
        let now = self.seconds();
        let years = now + self.work.settings.expiry.root_days * DAY;
        let mut documents = Vec::new();
        if renew || ceremony.root != before.root || ceremony.online != before.online {
            documents.push(ceremony.root(base.root.signed.version.get() + 1, years)?);
        }
        // Targets are signed by the holders of the root: where those change, the old signatures are worth nothing.
        if renew || ceremony.root != before.root || ceremony.classes != before.classes {
            documents.push(ceremony.targets(base.targets.signed.version.get() + 1, years)?);
        }
        for (class, holders) in &ceremony.classes {
            if before.classes.get(class) == Some(holders) {
                continue;
            }
            let roles: &[&str] = if class.is_sealed() { &["legal", EPOCH] } else { &[class.word()] };
            for role in roles {
                let document = match self.renewed(role, base)? {
                    Some(document) => document,
                    None => repository::delegated(role, 1, self.release_expiry(), [])?,
                };
                documents.push(document);
            }
        }
        let files: Vec<(String, &[u8])> = online.iter().map(|key| ("online.pem".to_owned(), key.as_slice())).collect();
        Ok(Stage::put(self.work, plan(about, now, &documents), documents, &files)?)
    }
}

/// A new key, and the file that holds it.
fn new_key(path: &Path) -> Result<(Person, Vec<u8>), CeremonyError> {
    let failed = |error| PublishError::Io { path: path.to_owned(), step: "made", error };
    // Left over from a crash; if it cannot go, making the new one tells why.
    let _ = std::fs::remove_file(path);
    let person = Person::create(path).map_err(WorkError::from)?;
    let text = std::fs::read(path).map_err(failed)?;
    std::fs::remove_file(path).map_err(failed)?;
    Ok((person, text))
}
