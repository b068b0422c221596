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

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use signed_list::list::BuildError;
use signed_list::release::Class;
use thiserror::Error;
use tough::Bytes;

use super::client::{Client, ClientError};
use super::clock::{self, WrongClock};
use super::draft::Wish;
use super::epoch::EpochError;
use super::outcome::{Keys, Outcome, Report, waiting};
use super::payload::PayloadError;
use super::repository::{self, Ceremony, Dates, Document, Metadata, RepositoryError, expiry};
use super::stage::{KEYS, Release, Stage, StageError};
use super::state;
use super::store::{self, Destination, Retired, StoreError, TIMESTAMP};
use super::work::{Card, Lock, Work, WorkError, read_json};
use super::zones;
use crate::guard::Guard;
use crate::ledger::event::{ReleaseRecord, Role};
use crate::ledger::words::Label;
use crate::ledger::{Ledger, LedgerError};
use crate::output::{NewFile, OutputError};
use crate::person::{Person, PersonId, PublicKey, unhex};

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

    /// Brings into force whatever is complete, also what an interrupted run left half done.
    ///
    /// What is complete goes alone if it can, so that nothing that is wrong with it stops anything else. But resolvers
    /// accept a repository as a whole or not at all: where several documents have expired, none of their successors would
    /// be accepted without the others, and those go together.
    pub async fn settle(&self, report: &mut Report) -> Result<(), PublishError> {
        loop {
            let start = Instant::now();
            let base = self.find_base()?;
            let mut ready = self.ready(base.as_ref(), report).await?;
            let mut refused = None;
            let mut accepted = None;
            for set in sets(&ready) {
                let stages: Vec<&Stage> = set.iter().map(|at| &ready[*at]).collect();
                match self.bring_into_force(&stages, base.as_ref(), report).await {
                    Ok(()) => accepted = Some(set),
                    Err(PublishError::Refused(why)) => {
                        refused.get_or_insert(why);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                break;
            }
            report.phase("bring into force", start);
            let Some(set) = accepted else { return refused.map_or(Ok(()), |why| Err(why.into())) };
            // From behind, so that the places of the others stay what they are.
            for at in set.into_iter().rev() {
                let stage = ready.swap_remove(at);
                tell_in_force(&stage, report);
                stage.remove()?;
            }
            self.rebase_keys()?;
        }
    }

    /// What is complete and may pass. Signatures of retired keys are taken off before.
    async fn ready(&self, base: Option<&Metadata>, report: &mut Report) -> Result<Vec<Stage>, PublishError> {
        let stages = Stage::all(self.work)?;
        let retired = if stages.is_empty() { BTreeMap::new() } else { state::retired(self.ledger).await? };
        let retired: Vec<PublicKey> = retired.into_values().collect();
        let mut ready = Vec::new();
        for mut stage in stages {
            // A change of keys may need the very signature of who leaves; a release never does.
            if stage.plan.release.is_some() && stage.strike(&retired)? > 0 {
                report.warnings.push(format!(
                    "{}: signatures of keys that the ledger has retired since do not count any more",
                    stage.plan.about
                ));
            }
            let standings = stage.standings(base)?;
            let complete = standings.iter().all(|standing| standing.missing() == 0);
            if stage.plan.release.is_none() {
                let about = stage.plan.about.clone();
                report.keys = Some(Keys { about, in_force: false, waiting: waiting(&standings) });
            }
            if complete && self.may_pass(&mut stage, base, report).await? {
                ready.push(stage);
            }
        }
        Ok(ready)
    }

    /// Whether a stage changes no more than is allowed, or two people let it pass. How much it changes is looked at anew,
    /// and stands in its plan from then on.
    async fn may_pass(
        &self,
        stage: &mut Stage,
        base: Option<&Metadata>,
        report: &mut Report,
    ) -> Result<bool, PublishError> {
        let jump = self.jump_of(stage, base)?;
        let Some(release) = &mut stage.plan.release else { return Ok(true) };
        release.jump.clone_from(&jump);
        let Some(jump) = jump else { return Ok(true) };
        let Card { class, serial, .. } = release.card;
        let said = match unhex(&release.card.hash) {
            Some(hash) => self.ledger.overriding(class, &hash).await?,
            None => None,
        };
        let passes = said.is_some_and(|said| said.approved.is_some());
        let same = |outcome: &&mut Outcome| outcome.class == class && outcome.serial == Some(serial);
        if let Some(outcome) = report.classes.iter_mut().find(same).filter(|_| !passes) {
            outcome.held = Some(jump);
        }
        Ok(passes)
    }

    async fn is_operator(&self, person: &Person) -> Result<bool, PublishError> {
        let member = self.ledger.member(&person.id()).await?;
        Ok(member.is_some_and(|member| member.is(Role::Operator)))
    }

    /// Steps 3 to 5, of one stage or of several at once. Done twice, it comes to the same; the stages are still there.
    async fn bring_into_force(
        &self,
        stages: &[&Stage],
        base: Option<&Metadata>,
        report: &mut Report,
    ) -> Result<(), PublishError> {
        let next_online = stages.iter().map(|stage| stage.directory().join("online.pem")).find(|path| path.exists());
        let online = Person::read(next_online.as_ref().unwrap_or(&self.work.online_path())).map_err(WorkError::from)?;
        let mut documents = Vec::new();
        for document in stages.iter().flat_map(|stage| &stage.documents) {
            documents.push((document.clone(), document.write()?));
        }
        // What another key signed is worth nothing any more.
        let renew = next_online.is_some();
        let fronts = repository::fronts(base, &documents, self.dates(), renew, &online)?;

        let mut metadata: Vec<(String, Bytes)> =
            documents.iter().map(|(document, content)| (document.file_name(), content.clone().into())).collect();
        metadata.extend(fronts.snapshot.map(|(name, content)| (name, content.into())));
        let timestamp = Bytes::from(fronts.timestamp);
        self.ask_client(&metadata, &timestamp).await?;

        for stage in stages {
            if let Some(release) = &stage.plan.release {
                self.verify_ledger(report).await?;
                self.note(release).await?;
                self.keep(stage, release)?;
            }
        }
        let public = self.work.public();
        for stage in stages {
            for name in stage.targets()? {
                link(&stage.directory().join("targets").join(&name), &public.join("targets").join(&name))?;
            }
        }
        if let Some(next_online) = &next_online {
            // Before any file that it has signed: should this end here, the next run signs them anew.
            let key = fs::read(next_online).map_err(io(next_online, "read"))?;
            NewFile::put(&self.work.online_path(), &key, true)?;
        }
        for (name, content) in &metadata {
            NewFile::put(&public.join("metadata").join(name), content, false)?;
        }
        NewFile::put(&public.join(TIMESTAMP), &timestamp, false)?;
        report.timestamp = Some(self.base()?.timestamp.signed.version.get());
        Ok(())
    }

    /// Asks the client of the resolvers whether it would accept this, beginning with the very first root.
    async fn ask_client(&self, metadata: &[(String, Bytes)], timestamp: &Bytes) -> Result<(), PublishError> {
        let mut first: HashMap<String, Bytes> =
            metadata.iter().map(|(name, content)| (format!("metadata/{name}"), content.clone())).collect();
        first.insert(TIMESTAMP.to_owned(), timestamp.clone());
        let root = match first.get("metadata/1.root.json") {
            Some(root) => root.to_vec(),
            None => {
                let path = self.work.metadata().join("1.root.json");
                fs::read(&path).map_err(io(&path, "read"))?
            }
        };
        let public = Destination::parse("public", self.work.directory())?;
        Client::open(&root, first, public.reader()?).await?;
        Ok(())
    }

    /// Has the ledger note a release, unless an interrupted run did it already.
    async fn note(&self, release: &Release) -> Result<(), PublishError> {
        let card = &release.card;
        let newest = self.ledger.newest_release(card.class).await?;
        let hash = unhex(&card.hash).unwrap_or_default();
        if newest.is_some_and(|newest| newest.serial == card.serial && newest.hash == hash) {
            return Ok(());
        }
        let online = self.work.online()?;
        let mut operator = None;
        for person in self.people.iter().chain([&online]) {
            if operator.is_none() && self.is_operator(person).await? {
                operator = Some(person);
            }
        }
        let operator = operator.ok_or_else(|| PublishError::NoOperator(online.id(), self.work.how_to_register()))?;
        let record = ReleaseRecord {
            class: card.class,
            serial: card.serial,
            epoch: card.epoch,
            created: card.created,
            entries: card.entries,
            added: card.added,
            removed: card.removed,
            hash,
            overridden: release.jump.is_some(),
        };
        self.ledger.record_release(record, operator, self.now).await?;
        Ok(())
    }

    /// Keeps what later releases are made and compared with.
    fn keep(&self, stage: &Stage, release: &Release) -> Result<(), PublishError> {
        let card = &release.card;
        let epoch = read_json(&stage.directory().join("epoch.json"))?;
        if let Some(epoch) = epoch {
            let envelopes = read_json(&stage.directory().join("envelopes.json"))?.unwrap_or_default();
            self.work.keep_epoch(&epoch, &envelopes)?;
        }
        for what in ["list", "index"] {
            link(&stage.directory().join(what), &self.work.kept(card.class, card.serial, what))?;
        }
        let lists = zones::lists(&self.work.scheme, card.class);
        for list in &lists {
            let staged = stage.directory().join(zones::staged(list));
            let in_force = self.work.zone_in_force(list);
            if staged.exists() {
                link(&staged, &self.work.zone(card.class, card.serial, list))?;
                link(&staged, &in_force)?;
            } else {
                // Not offered any more, or staged by an older version of this program: no old zone passes for a new one.
                gone(fs::remove_file(&in_force)).map_err(io(&in_force, "taken away"))?;
            }
        }
        let text = serde_json::to_vec_pretty(card).map_err(PayloadError::Manifest)?;
        NewFile::put(&self.work.kept(card.class, card.serial, "json"), &text, true)?;
        let serials = self.work.serials(card.class)?;
        let old = serials.len().saturating_sub(usize::try_from(self.work.settings.release.keep).unwrap_or(usize::MAX));
        for serial in serials.into_iter().take(old).filter(|serial| Some(*serial) != card.pinned_to) {
            for what in ["json", "index", "list"] {
                let path = self.work.kept(card.class, serial, what);
                gone(fs::remove_file(&path)).map_err(io(&path, "taken away"))?;
            }
        }
        let zones = self.work.zones(card.class)?;
        let old = zones.len().saturating_sub(usize::try_from(self.work.settings.zones.keep).unwrap_or(usize::MAX));
        for path in zones.values().take(old).flat_map(BTreeMap::values) {
            gone(fs::remove_file(path)).map_err(io(path, "taken away"))?;
        }
        Ok(())
    }

    /// A change of keys that waits stands on documents that have just been replaced: those are made anew, and their
    /// holders have to sign them again. The signatures under root and targets stay.
    fn rebase_keys(&self) -> Result<(), PublishError> {
        let (Some(mut stage), Some(base)) = (Stage::find(self.work, KEYS)?, self.find_base()?) else { return Ok(()) };
        let delegated = stage.documents.iter().filter(|document| !["root", "targets"].contains(&document.role()));
        let stale: Vec<String> =
            delegated.filter(|document| base.has(document)).map(|document| document.role().to_owned()).collect();
        for role in stale {
            if let Some(document) = self.renewed(&role, &base)? {
                stage.replace(document)?;
            }
        }
        Ok(())
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

    fn dates(&self) -> Dates {
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

/// What can come into force at once, the smallest sets first: no document twice, so no class together with a change of
/// keys that renews its documents.
fn sets(stages: &[Stage]) -> Vec<Vec<usize>> {
    let all = 1..1usize << stages.len(); // a change of keys and three classes at the most
    let sets = all.map(|set| (0..stages.len()).filter(|at| (set >> at) & 1 == 1).collect::<Vec<_>>());
    let mut sets: Vec<Vec<usize>> = sets
        .filter(|set| {
            let roles: Vec<&String> = set.iter().flat_map(|at| &stages[*at].plan.roles).collect();
            roles.iter().collect::<BTreeSet<_>>().len() == roles.len()
        })
        .collect();
    sets.sort_by_key(Vec::len);
    sets
}

/// Puts down that a stage is in force.
fn tell_in_force(stage: &Stage, report: &mut Report) {
    let Some(release) = &stage.plan.release else {
        if let Some(keys) = &mut report.keys {
            keys.in_force = true;
        }
        return;
    };
    let Card { class, serial, .. } = release.card;
    let same = |outcome: &&mut Outcome| outcome.class == class && outcome.serial == Some(serial);
    if let Some(outcome) = report.classes.iter_mut().find(same) {
        outcome.published = true;
        outcome.held = None;
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

/// Gives a file another name as well, in the place of whatever has that name.
fn link(from: &Path, to: &Path) -> Result<(), PublishError> {
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io(folder, "made"))?;
    let beside = PathBuf::from(format!("{}.tmp", to.display()));
    gone(fs::remove_file(&beside)).map_err(io(&beside, "taken away"))?;
    fs::hard_link(from, &beside).map_err(io(to, "put in place"))?;
    fs::rename(&beside, to).map_err(io(to, "put in place"))?;
    // Two names of one file are not renamed onto each other, as an interrupted run would have left them.
    gone(fs::remove_file(&beside)).map_err(io(&beside, "taken away"))?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder, "made to survive a crash"))
}

/// What is not there need not be taken away.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn io(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> PublishError {
    move |error| PublishError::Io { path: path.to_owned(), step, error }
}
