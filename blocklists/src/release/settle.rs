//! Steps 3 to 5 of [`super::publish`]: what all have signed comes into force, alone or together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tough::Bytes;

use super::client::Client;
use super::outcome::{Keys, Outcome, Report, waiting};
use super::payload::PayloadError;
use super::publish::{PublishError, Publisher, io};
use super::repository::{self, Metadata};
use super::stage::{KEYS, Release, Stage};
use super::state;
use super::store::{Destination, TIMESTAMP};
use super::work::{Card, WorkError, read_json};
use super::zones;
use crate::ledger::event::ReleaseRecord;
use crate::output::NewFile;
use crate::person::{Person, PublicKey, unhex};

impl Publisher<'_> {
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
