//! The one writer of a repository: stages releases, brings into force what all have signed, and copies it out.
//!
//! What happens, in this order, and why it can be interrupted at any moment:
//!
//! 1. A release is made beside and staged ([`super::make`]). Nothing that is published changes.
//! 2. People sign what is staged, in one place or in several.
//! 3. When all signatures are there, the client that resolvers run is asked whether it would accept the result.
//! 4. The ledger notes the release, so that nothing is ever in force that it does not know.
//! 5. New files go into the publisher's own repository, then the metadata that names them, then `timestamp.json`.
//! 6. The same order again, to every place that resolvers fetch from.
//!
//! From step 3 on an interrupted run is repeated by the next command, with the same result: a stage stays until all of
//! it is done.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use signed_list::list::BuildError;
use signed_list::release::Class;
use thiserror::Error;

use super::client::ClientError;
use super::clock::{self, WrongClock};
use super::draft::Wish;
use super::epoch::EpochError;
use super::outcome::{Outcome, Report};
use super::payload::PayloadError;
use super::repository::{self, Ceremony, Dates, Document, Metadata, RepositoryError, expiry};
use super::stage::{KEYS, Stage, StageError};
use super::store::{self, Destination, Retired, StoreError, TIMESTAMP};
use super::work::{Lock, Work, WorkError, read_json};
use crate::guard::Guard;
use crate::ledger::event::Role;
use crate::ledger::words::Label;
use crate::ledger::{Ledger, LedgerError};
use crate::output::{NewFile, OutputError};
use crate::person::{Person, PersonId};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Why a release is not made or not in force.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum PublishError {
    #[error("{}: there is no repository here yet; make one with `friendly-blocklist init`", .0.display())]
    NotBegun(PathBuf),
    #[error(
        "{}: the repository is not in force yet, its first documents wait for signatures; sign them with \
         `friendly-blocklist sign`", .0.display()
    )]
    NotInForce(PathBuf),
    #[error("the class {} has no keys in this repository; its root holders add some with `rotate-key`", .0.word())]
    NoClass(Class),
    #[error("the key {0} holds no role that signs releases; nothing was done")]
    NoHolder(PersonId),
    #[error(
        "nobody here may note a release in the ledger; give the --key of an operator of the ledger, or have an admin \
         register the publisher's own key ({0}): {1}. Nothing was published"
    )]
    NoOperator(PersonId, String),
    #[error(
        "the key {key} ({label}) is retired in the ledger and signs no release any more; nothing was signed. Where it \
         still holds a role, the holders of the root take it out: `rotate-key --role ROLE --remove {key}`"
    )]
    Retired { key: PersonId, label: Label },
    #[error("release {serial} of the class {} is not kept here; kept are {kept}", class.word())]
    NotKept { class: Class, serial: u64, kept: String },
    #[error("{0}: the ledger has gone on since it was staged; `publish` again, and sign what comes out of that")]
    Overtaken(String),
    #[error(
        "{about}: {file} is not what the ledger says; do not sign it, and find out who made it. Nothing was signed"
    )]
    NotTheLedger { about: String, file: String },
    #[error(transparent)]
    Clock(#[from] WrongClock),
    #[error("{0}")]
    Feeds(String),
    #[error(
        "resolvers would not accept the result, so nothing was published: {0}; what is signed stays staged, and comes \
         into force with whatever mends that"
    )]
    Refused(#[from] ClientError),
    #[error("the list cannot be built: {0}")]
    Build(#[from] BuildError),
    #[error("{}: cannot be {step}: {error}; run this again", path.display())]
    Io { path: PathBuf, step: &'static str, error: io::Error },
    #[error(transparent)]
    Payload(#[from] PayloadError),
    #[error(transparent)]
    Epoch(#[from] EpochError),
    #[error(transparent)]
    Stage(Box<StageError>),
    #[error(transparent)]
    Work(Box<WorkError>),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Ledger(Box<LedgerError>),
    #[error(transparent)]
    Store(Box<StoreError>),
}

/// In a box, because results are handed on and these are large.
macro_rules! boxed {
    ($($from:ident => $variant:ident),*) => {$(
        impl From<$from> for PublishError {
            fn from(error: $from) -> PublishError {
                PublishError::$variant(Box::new(error))
            }
        }
    )*};
}

boxed!(StageError => Stage, WorkError => Work, LedgerError => Ledger, StoreError => Store);

/// Everything that a run needs.
pub struct Publisher<'a> {
    /// The work directory.
    pub work: &'a Work,
    /// Shows that nobody else is at work there.
    pub lock: &'a Lock,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Judges names once more.
    pub guard: &'a Guard,
    /// Who signs here.
    pub people: &'a [Person],
    /// Now, Unix milliseconds.
    pub now: u64,
}

impl Publisher<'_> {
    /// Now, Unix seconds.
    pub(super) fn seconds(&self) -> u64 {
        self.now / 1000
    }

    /// Publishes: stages what is due, signs it, brings into force what is complete. With [`PublishError::Refused`] all else
    /// is done, and what is in force can be copied.
    pub async fn run(&self, wish: &Wish, report: &mut Report) -> Result<(), PublishError> {
        self.refuse_retired().await?;
        self.refuse_wrong_clock(wish).await?;
        Stage::sweep(self.work)?;
        match self.settle(report).await {
            // What this run makes may be what is missing.
            Ok(()) | Err(PublishError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        let base = self.base()?;
        let ceremony = Ceremony::of(&base.root, &base.targets)?;
        for person in self.people {
            let holds = ceremony.delegated().iter().any(|(_, holders)| holders.keys.contains(&person.public()));
            if !holds && !self.is_operator(person).await? {
                return Err(PublishError::NoHolder(person.id()));
            }
        }
        let all = || ceremony.classes.keys().copied().collect();
        let classes = if wish.classes.is_empty() { all() } else { wish.classes.clone() };
        for class in classes {
            let holders = ceremony.classes.get(&class).ok_or(PublishError::NoClass(class))?;
            let outcome = match self.release(class, holders, wish, &base, report).await {
                // What is wrong with a feed stops neither the other classes nor what waits for signatures.
                Err(PublishError::Feeds(why)) => {
                    report.warnings.push(format!("{}: no release can be made: {why}", class.word()));
                    Outcome { problem: Some(why), ..Outcome::of(class) }
                }
                outcome => outcome?,
            };
            report.classes.push(outcome);
        }
        let settled = match self.settle(report).await {
            Err(error) if !matches!(error, PublishError::Refused(_)) => return Err(error),
            // What is in force must not go stale for what is not.
            settled => settled,
        };
        self.stage_the_rest(&ceremony, report).await?;
        self.renew(wish.renew, report)?;
        if let Err(error) = self.tidy_feeds() {
            report.warnings.push(error.to_string());
        }
        self.tidy(report)?;
        settled
    }

    /// Refuses to sign with a key that the ledger has retired, whatever the repository still says of it.
    pub async fn refuse_retired(&self) -> Result<(), PublishError> {
        for person in self.people {
            if let Some(member) = self.ledger.member(&person.id()).await?.filter(|member| member.retired.is_some()) {
                return Err(PublishError::Retired { key: person.id(), label: member.label });
            }
        }
        Ok(())
    }

    /// Refuses to publish by a clock that can hardly be right.
    async fn refuse_wrong_clock(&self, wish: &Wish) -> Result<(), PublishError> {
        let entry = self.ledger.last_at().await?.unwrap_or(0);
        let lives = self.work.settings.expiry.timestamp_hours * HOUR;
        let signed = self.find_base()?.map_or(0, |base| expiry(base.timestamp.signed.expires).saturating_sub(lives));
        Ok(clock::judge(self.now, entry, signed * 1000, wish.clock_is_right)?)
    }

    /// Checks the ledger before anything is released from it: chain, signatures, rules and tables. What was checked in
    /// this run is not checked again but for the tables, which is what a list is made from.
    pub(super) async fn verify_ledger(&self, report: &mut Report) -> Result<(), PublishError> {
        let start = Instant::now();
        self.ledger.verify_on(&mut report.auditor).await?;
        report.phase("verify the ledger", start);
        Ok(())
    }

    /// Stages what the guard holds, behind the releases that went out without it.
    async fn stage_the_rest(&self, ceremony: &Ceremony, report: &mut Report) -> Result<(), PublishError> {
        let parted = report.classes.iter().filter(|outcome| outcome.published && outcome.rest.is_some());
        let parted: Vec<Class> = parted.map(|outcome| outcome.class).collect();
        for (class, holders) in ceremony.classes.iter().filter(|(class, _)| parted.contains(class)) {
            let base = self.base()?;
            // What was wished for is in force already.
            let outcome = self.release(*class, holders, &Wish::default(), &base, report).await?;
            report.classes.push(outcome);
        }
        Ok(())
    }

    /// The metadata in force.
    pub fn base(&self) -> Result<Metadata, PublishError> {
        match self.find_base()? {
            Some(base) => Ok(base),
            None if Stage::find(self.work, KEYS)?.is_some() => {
                Err(PublishError::NotInForce(self.work.directory().to_owned()))
            }
            None => Err(PublishError::NotBegun(self.work.directory().to_owned())),
        }
    }

    /// The metadata in force, if there is any yet.
    pub fn find_base(&self) -> Result<Option<Metadata>, PublishError> {
        let directory = self.work.metadata();
        if !directory.join("timestamp.json").exists() {
            return Ok(None);
        }
        Ok(Some(Metadata::read(&directory)?))
    }

    pub(super) async fn is_operator(&self, person: &Person) -> Result<bool, PublishError> {
        let member = self.ledger.member(&person.id()).await?;
        Ok(member.is_some_and(|member| member.is(Role::Operator)))
    }

    /// The document in force of a delegated role with the next version and a new date, for others to sign.
    pub(super) fn renewed(&self, role: &str, base: &Metadata) -> Result<Option<Document>, PublishError> {
        let Some(current) = base.delegated.get(role) else { return Ok(None) };
        let targets = &current.signed.targets;
        let targets = targets.iter().map(|(name, target)| (name.raw().to_owned(), target.clone()));
        let version = current.signed.version.get() + 1;
        Ok(Some(repository::delegated(role, version, self.release_expiry(), targets)?))
    }

    /// When a release that is made now expires.
    pub(super) fn release_expiry(&self) -> u64 {
        self.seconds() + self.work.settings.expiry.release_days * DAY
    }

    pub(super) fn dates(&self) -> Dates {
        let expiry = &self.work.settings.expiry;
        Dates {
            snapshot: self.seconds() + expiry.snapshot_hours * HOUR,
            timestamp: self.seconds() + expiry.timestamp_hours * HOUR,
        }
    }

    /// Signs the timestamp, and the snapshot, when half of their time is over; the timestamp also when asked to.
    pub fn renew(&self, wanted: bool, report: &mut Report) -> Result<(), PublishError> {
        let base = self.base()?;
        let expires = &self.work.settings.expiry;
        let due = |moment, hours| expiry(moment).saturating_sub(self.seconds()) < hours * HOUR / 2;
        let snapshot = due(base.snapshot.signed.expires, expires.snapshot_hours);
        let timestamp = due(base.timestamp.signed.expires, expires.timestamp_hours);
        if !snapshot && !timestamp && (!wanted || report.timestamp.is_some()) {
            return Ok(());
        }
        let fronts = repository::fronts(Some(&base), &[], self.dates(), snapshot, &self.work.online()?)?;
        if let Some((name, content)) = &fronts.snapshot {
            NewFile::put(&self.work.metadata().join(name), content, false)?;
        }
        NewFile::put(&self.work.public().join(TIMESTAMP), &fronts.timestamp, false)?;
        report.timestamp = Some(base.timestamp.signed.version.get() + 1);
        Ok(())
    }

    /// Takes away what nothing names any more, and warns of what is going to expire.
    fn tidy(&self, report: &mut Report) -> Result<(), PublishError> {
        let base = self.base()?;
        let path = self.work.directory().join("retired.json");
        let mut retired: Retired = read_json(&path)?.unwrap_or_default();
        let before = retired.clone();
        let grace = self.work.settings.release.grace_minutes * 60;
        store::clean(&self.work.public(), &named(&base), &mut retired, grace, self.seconds())?;
        if retired != before {
            let text = serde_json::to_vec(&retired).map_err(PayloadError::Manifest)?;
            NewFile::put(&path, &text, true)?;
        }
        let delegated = base.delegated.iter().map(|(role, document)| (role.as_str(), document.signed.expires));
        let all = [("root", base.root.signed.expires), ("targets", base.targets.signed.expires)].into_iter();
        for (role, expires) in all.chain(delegated) {
            let days = expiry(expires).saturating_sub(self.seconds()) / DAY;
            let lifetime = match role {
                "root" | "targets" => self.work.settings.expiry.root_days,
                _ => self.work.settings.expiry.release_days,
            };
            // An expired document stops all classes: a client accepts a repository as a whole or not at all.
            if days < lifetime / 3 {
                let remedy = match role {
                    "root" | "targets" => "its holders renew it with `rotate-key --renew`",
                    _ => "its holders sign a release of it",
                };
                report.warnings.push(format!(
                    "the metadata of the role {role} expires in {days} days, and then resolvers accept no release of any \
                     class; {remedy}"
                ));
            }
        }
        Ok(())
    }

    /// Copies the repository to places where resolvers fetch it. All of them are tried; the first error is told.
    pub async fn copy(&self, to: &[Destination], report: &mut Report) -> Result<(), PublishError> {
        let start = Instant::now();
        let mut result = Ok(());
        for destination in to {
            match destination.copy(&self.work.public()).await {
                Ok(copied) => report.copied.push(copied),
                Err(error) if result.is_ok() => result = Err(error.into()),
                Err(error) => report.warnings.push(error.to_string()),
            }
        }
        report.phase("copy", start);
        result
    }
}

/// Files of the public repository that its metadata names.
fn named(base: &Metadata) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (name, meta) in base.timestamp.signed.meta.iter().chain(&base.snapshot.signed.meta) {
        named.insert(format!("metadata/{}.{name}", meta.version));
    }
    for document in base.delegated.values() {
        for (name, target) in &document.signed.targets {
            named.insert(format!("targets/{}", repository::target_file(name.raw(), target)));
        }
    }
    named
}

pub(super) fn io(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> PublishError {
    move |error| PublishError::Io { path: path.to_owned(), step, error }
}
