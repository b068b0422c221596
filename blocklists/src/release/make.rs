//! Makes a release of a class and stages it: from ledger and feeds to files and documents that wait for signatures.

use std::collections::btree_map;
use std::fs;
use std::mem;
use std::time::Instant;

use foldhash::HashSet;
use signed_list::digest::DigestKey;
use signed_list::release::{Class, Manifest, shards_for};
use tough::TargetName;
use tough::schema::Target;

use super::canary::Canaries;
use super::check::Measured;
use super::draft::{Circumstances, Draft, Wish, draft};
use super::epoch::{Envelopes, Epoch, shards};
use super::hold::Jump;
use super::index::{Change, Index, Origin};
use super::outcome::{Outcome, Report};
use super::payload::{File, Parts, PayloadError, payload};
use super::publish::{PublishError, Publisher, io};
use super::repository::{self, Document, EPOCH, Holders, Metadata, expiry};
use super::select::{self, Entry, Head, Refusal, Selection, Share};
use super::stage::{Plan, Release, Stage, StageError};
use super::state;
use super::supply;
use super::work::{Card, Pin, WorkError};
use super::zones;
use crate::person::hex;

const DAY: u64 = 86_400;

/// The release of a class that is in force.
pub(super) struct Current {
    card: Option<Card>,
    pub(super) index: Index,
    manifest: Option<Manifest>,
}

/// What there would be to release now.
pub struct Survey {
    /// What it will be like.
    pub draft: Draft,
    /// What goes in.
    pub entries: Vec<Entry>,
    /// What is left out.
    pub refused: Vec<Refusal>,
    /// What feeds bring, and what goes with them.
    pub feeds: Vec<Share>,
    pins: Vec<Pin>,
    /// The same entries by digest, with their origins.
    pub index: Index,
    /// The release in force alike.
    pub before: Index,
    /// It changes so much at once that two people have to let it pass.
    pub jump: Option<Jump>,
    /// So much would come at once that it waits for two people: this is what can be released without them.
    pub rest: Option<Jump>,
    added: u64,
    removed: u64,
    decided: Vec<u64>,
    decided_until: u64,
    current: Current,
    staged: Option<Stage>,
}

impl Publisher<'_> {
    /// Looks what there is to release. Changes nothing.
    pub async fn survey(
        &self,
        class: Class,
        holders: &Holders,
        wish: &Wish,
        base: &Metadata,
        report: &mut Report,
    ) -> Result<Survey, PublishError> {
        let start = Instant::now();
        let mut current = self.current(class, base)?;
        let newest = self.ledger.newest_release(class).await?.map_or(0, |release| release.serial);
        let newest = newest.max(current.card.as_ref().map_or(0, |card| card.serial));
        let listed = self.ledger.entries_at(class, self.seconds()).await?;
        // A decision of this very second may have been taken since the clock was read. It is in the list, so it counts.
        let latest = listed.iter().map(|entry| entry.decided_at_ms).max().unwrap_or(0);
        let decided_until = self.now.max(latest);
        let start = report.phase("ledger", start);

        let staged = Stage::find(self.work, class.word())?;
        let draft = self.draft(class, holders, wish, &current, staged.as_ref(), newest, base)?;
        let supply = self.supply(class).await?;
        let start = report.phase("feeds", start);
        let selection = select::select(listed, &supply, class, &self.work.scheme, self.guard);
        let Selection { mut entries, refused, mut feeds } = selection;
        if let Some(serial) = draft.pinned_to {
            self.index(class, serial)?.retain(&mut entries, &self.work.index_key());
        }
        let mut index = Index::of(&entries, &self.work.index_key());
        let before = mem::take(&mut current.index);
        let mut change = index.change(&before);
        let measured = Measured { class, serial: draft.serial, pinned: draft.pinned_to.is_some() };
        let mut jump = self.jump(measured, &change, &index, &before);
        let mut rest = None;
        if jump.is_some()
            && current.card.is_some()
            && let Some(goes) = self.without_additions(measured, draft.new_epoch, &entries, &change, &before)
        {
            (entries, index) = goes;
            change = index.change(&before);
            rest = jump.take();
            for share in &mut feeds {
                let of = |entry: &&Entry| entry.origin.feed() == Some(&share.feed);
                share.entries = entries.iter().filter(of).count() as u64;
            }
        }
        let decided = self.decided(class, &current, &before, &entries, rest.is_some(), decided_until).await?;
        let (added, removed) = (change.added.len() as u64, change.removed.len() as u64);
        supply::count(&mut feeds, &index.count_feeds(&change.added), &before.count_feeds(&change.removed));
        drop(change);
        report.phase("select", start);
        Ok(Survey {
            draft,
            entries,
            refused,
            feeds,
            pins: supply.into_iter().map(|part| part.pin).collect(),
            index,
            before,
            jump,
            rest,
            added,
            removed,
            decided,
            decided_until,
            current,
            staged,
        })
    }

    /// Makes, stages and signs a release, if there is a reason for one.
    pub(super) async fn release(
        &self,
        class: Class,
        holders: &Holders,
        wish: &Wish,
        base: &Metadata,
        report: &mut Report,
    ) -> Result<Outcome, PublishError> {
        let mut survey = self.survey(class, holders, wish, base, report).await?;
        let (refused, feeds) = (mem::take(&mut survey.refused), mem::take(&mut survey.feeds));
        let (why, added, removed) = (survey.why(), survey.added, survey.removed);
        let rest = survey.rest.take();
        let only_of = rest.as_ref().and(survey.current.card.as_ref()).map(|card| card.serial);
        let mut outcome = Outcome { why, added, removed, refused, feeds, rest, ..Outcome::of(class) };
        (outcome.pinned_to, outcome.pinned_why) = (survey.draft.pinned_to, survey.draft.pinned_why.clone());
        let staged = survey.staged.take();
        if outcome.why.is_empty() {
            if let Some(stage) = staged {
                stage.remove()?;
                let word = class.word();
                report
                    .warnings
                    .push(format!("{word}: what was staged is dropped, there is nothing to release any more"));
            }
            return Ok(outcome);
        }
        self.verify_ledger(report).await?;
        let fits = |stage: &Stage| !wish.new_epoch && survey.is_staged(stage) && !self.is_stale(class, stage, base);
        let staged = match staged.filter(fits) {
            // Nobody signs what somebody else may have put there.
            Some(stage) if self.would_sign(&stage, base)? => match self.check(&stage, base).await {
                Ok(()) => Some(stage),
                Err(PublishError::Overtaken(_)) => None,
                Err(error) => return Err(error),
            },
            staged => staged,
        };
        let mut stage = match staged {
            Some(stage) => stage,
            None => self.make(class, &survey, only_of, base, report)?,
        };
        let start = Instant::now();
        for person in self.people {
            match stage.sign(person, Some(base)) {
                // Somebody else's class.
                Ok(_) | Err(StageError::NoHolder { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.tell(&stage, base, &mut outcome).await?;
        report.phase("sign", start);
        Ok(outcome)
    }

    /// Puts down where a staged release stands.
    pub async fn tell(&self, stage: &Stage, base: &Metadata, outcome: &mut Outcome) -> Result<(), PublishError> {
        state::tell(self.ledger, stage, Some(base), outcome).await
    }

    pub(super) fn current(&self, class: Class, base: &Metadata) -> Result<Current, PublishError> {
        let Some(target) = find_target(base, class.word(), &class.manifest()) else {
            return Ok(Current { card: None, index: Index::default(), manifest: None });
        };
        let path = self.work.public().join("targets").join(repository::target_file(&class.manifest(), target));
        let damaged = |why: String| WorkError::Damaged { path: path.clone(), why };
        let text = fs::read(&path).map_err(io(&path, "read"))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let card = self.work.card(class, manifest.serial)?;
        let card = card.ok_or_else(|| damaged(format!("what was kept of release {} is missing", manifest.serial)))?;
        let index = self.index(class, manifest.serial)?;
        Ok(Current { card: Some(card), index, manifest: Some(manifest) })
    }

    pub(super) fn index(&self, class: Class, serial: u64) -> Result<Index, PublishError> {
        match self.work.index(class, serial)? {
            Some(index) => Ok(index),
            None => {
                let serials = self.work.serials(class)?;
                let kept = match (serials.first(), serials.last()) {
                    (Some(first), Some(last)) => format!("{first} to {last}"),
                    _ => "none".to_owned(),
                };
                Err(PublishError::NotKept { class, serial, kept })
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // each is one fact that the draft depends on
    fn draft(
        &self,
        class: Class,
        holders: &Holders,
        wish: &Wish,
        current: &Current,
        staged: Option<&Stage>,
        newest: u64,
        base: &Metadata,
    ) -> Result<Draft, PublishError> {
        let mut recipients = Vec::new();
        let mut epoch_begun = None;
        if class.is_sealed() {
            recipients.extend(self.work.recipients()?.active().map(|recipient| recipient.id()));
            recipients.sort();
            if let Some(number) = current.card.as_ref().and_then(|card| card.epoch) {
                epoch_begun = self.work.epoch(number)?.map(|epoch| epoch.created);
            }
        }
        let roles = if class.is_sealed() { vec![class.word(), EPOCH] } else { vec![class.word()] };
        let expires = roles.iter().filter_map(|role| base.delegated.get(*role)).map(|role| expiry(role.signed.expires));
        let circumstances = Circumstances {
            class,
            current: current.card.as_ref(),
            newest,
            staged: staged.and_then(|stage| stage.plan.release.as_ref()).map(|release| &release.card),
            recipients,
            epoch_begun,
            expires: expires.min().unwrap_or(0),
            signer: self.people.iter().any(|person| holders.keys.contains(&person.public())),
            now: self.seconds(),
        };
        Ok(draft(&circumstances, wish, &self.work.settings))
    }

    /// Makes the files and documents of a release and stages them.
    fn make(
        &self,
        class: Class,
        survey: &Survey,
        only_of: Option<u64>,
        base: &Metadata,
        report: &mut Report,
    ) -> Result<Stage, PublishError> {
        let Survey { draft, entries, index, current, .. } = survey;
        let start = Instant::now();
        let old_epoch = current.card.as_ref().and_then(|card| card.epoch);
        let (epoch, envelopes) = self.open_epoch(class, draft, old_epoch)?;
        let head = Head {
            class,
            serial: draft.serial,
            created: self.seconds(),
            key: epoch.as_ref().map_or(DigestKey::OPEN, Epoch::digest_key),
            canaries: Canaries::new(self.work.seed(), &self.work.scheme.ground, class),
            moves: draft.moves,
        };
        let compiled = select::compile(entries, self.work.scheme.categories(class), &head)?;
        let start = report.phase("compile", start);

        let kept =
            current.card.as_ref().filter(|_| !draft.new_epoch).map(|card| self.work.kept(class, card.serial, "list"));
        // Without the list of the release before there is no change to publish, and all load the whole list.
        let before = kept.and_then(|path| fs::read(path).ok());
        let parts = Parts {
            class,
            epoch: epoch.as_ref(),
            shards: if epoch.is_some() { shards_for(envelopes.len()) } else { 0 },
            list: &compiled.file,
            before: before.as_deref(),
            manifest: current.manifest.as_ref(),
            decided: &survey.decided,
        };
        let made = payload(&parts)?;
        let start = report.phase("seal", start);

        let mut files = made.files;
        let stay = made.stay.into_iter().filter_map(|name| {
            let target = find_target(base, class.word(), &name)?.clone();
            Some((name, target))
        });
        let targets: Vec<_> = files.iter().map(|file| (file.name.clone(), file.target.clone())).chain(stay).collect();
        let version = |role: &str| base.delegated.get(role).map_or(0, |role| role.signed.version.get()) + 1;
        let word = class.word();
        let mut documents = vec![repository::delegated(word, version(word), self.release_expiry(), targets)?];
        if let Some(epoch) = &epoch {
            documents.extend(self.epoch_document(epoch, &envelopes, draft, current, base, &mut files)?);
        }

        let card = Card {
            class,
            serial: draft.serial,
            epoch: epoch.as_ref().map(|epoch| epoch.number),
            created: head.created,
            entries: compiled.entries,
            listed: index.len() as u64,
            added: survey.added,
            removed: survey.removed,
            hash: hex(&made.manifest.hash),
            decided_until: survey.decided_until,
            moves: draft.moves,
            pinned_to: draft.pinned_to,
            pinned_why: draft.pinned_why.clone(),
            only_of,
            overridden: survey.jump.is_some(),
            recipients: draft.recipients.clone(),
            feeds: survey.pins.clone(),
        };
        let plan = Plan {
            name: word.to_owned(),
            about: format!("release {} of the class {word}", draft.serial),
            created: head.created,
            roles: documents.iter().map(|document| document.role().to_owned()).collect(),
            release: Some(Release { card, jump: survey.jump.clone(), decided: made.manifest.decided }),
        };
        let offered = self.work.settings.zones.open_classes().any(|offered| offered == class);
        let zones = if offered { zones::make(&self.work.scheme, &head, entries) } else { Vec::new() };
        let index = index.write();
        let secrets = epoch.as_ref().filter(|_| draft.new_epoch || !envelopes.is_empty());
        let mut staged: Vec<(String, Vec<u8>)> = Vec::new();
        if let Some(epoch) = secrets {
            let json = |value: serde_json::Result<Vec<u8>>| value.map_err(PayloadError::Manifest);
            staged.push(("epoch.json".to_owned(), json(serde_json::to_vec(epoch))?));
            staged.push(("envelopes.json".to_owned(), json(serde_json::to_vec(&envelopes))?));
        }
        let mut contents: Vec<(String, &[u8])> =
            files.iter().map(|file| (format!("targets/{}", file.path()), file.content.as_slice())).collect();
        contents.push(("list".to_owned(), &compiled.file));
        contents.push(("index".to_owned(), &index));
        contents.extend(zones.iter().map(|(list, text)| (zones::staged(list), text.as_bytes())));
        contents.extend(staged.iter().map(|(name, content)| (name.clone(), content.as_slice())));
        let stage = Stage::put(self.work, plan, documents, &contents)?;
        report.phase("stage", start);
        Ok(stage)
    }

    /// The epoch of a release, and its envelopes: those that are published already stay as they are.
    fn open_epoch(
        &self,
        class: Class,
        draft: &Draft,
        old: Option<u64>,
    ) -> Result<(Option<Epoch>, Envelopes), PublishError> {
        if !class.is_sealed() {
            return Ok((None, Envelopes::new()));
        }
        let (epoch, mut envelopes) = match old.filter(|_| !draft.new_epoch) {
            None => (Epoch::begin(old.unwrap_or(0) + 1, self.seconds())?, Envelopes::new()),
            Some(number) => {
                let path = self.work.directory().join(format!("epochs/{number}.json"));
                let missing = || WorkError::Damaged { path, why: "it is missing".to_owned() };
                (self.work.epoch(number)?.ok_or_else(missing)?, self.work.envelopes(number)?)
            }
        };
        envelopes.retain(|resolver, _| draft.recipients.binary_search(resolver).is_ok());
        let canaries = Canaries::new(self.work.seed(), &self.work.scheme.ground, class);
        for recipient in self.work.recipients()?.active() {
            let id = recipient.id();
            if let btree_map::Entry::Vacant(place) = envelopes.entry(id) {
                let watermark = canaries.watermark(place.key(), epoch.number);
                place.insert(epoch.envelope(&recipient.age, &watermark)?);
            }
        }
        Ok((Some(epoch), envelopes))
    }

    /// The document of the envelopes, if any of them is new or the one in force is getting old.
    fn epoch_document(
        &self,
        epoch: &Epoch,
        envelopes: &Envelopes,
        draft: &Draft,
        current: &Current,
        base: &Metadata,
        files: &mut Vec<File>,
    ) -> Result<Option<Document>, PublishError> {
        let unchanged = current.card.as_ref().is_some_and(|card| card.recipients == draft.recipients);
        if unchanged && !draft.new_epoch {
            let expires = base.delegated.get(EPOCH).map_or(0, |role| expiry(role.signed.expires));
            let young = expires.saturating_sub(self.seconds()) >= self.work.settings.expiry.release_days * DAY / 2;
            return if young { Ok(None) } else { self.renewed(EPOCH, base) };
        }
        let new: Vec<File> =
            shards(epoch.number, envelopes).into_iter().map(|(name, text)| File::new(name, text)).collect();
        let targets = new.iter().map(|file| (file.name.clone(), file.target.clone()));
        let version = base.delegated.get(EPOCH).map_or(0, |role| role.signed.version.get()) + 1;
        let document = repository::delegated(EPOCH, version, self.release_expiry(), targets)?;
        files.extend(new);
        Ok(Some(document))
    }

    /// What can be released while the guard holds what comes: of the release in force, what is still in force. Nothing
    /// that lifts a block, and no revocation, waits for two people to agree about something else. Nothing either if
    /// that alone would be held.
    fn without_additions(
        &self,
        measured: Measured,
        new_epoch: bool,
        entries: &[Entry],
        change: &Change,
        before: &Index,
    ) -> Option<(Vec<Entry>, Index)> {
        if change.removed.is_empty() && !new_epoch {
            return None;
        }
        let key = self.work.index_key();
        let mut goes = entries.to_vec();
        before.retain(&mut goes, &key);
        let index = Index::of(&goes, &key);
        let held = self.jump(measured, &index.change(before), &index, before);
        held.is_none().then_some((goes, index))
    }

    /// When people took the decisions that a release brings into force. Those that it leaves waiting are of the
    /// release that brings them, however much later that is.
    async fn decided(
        &self,
        class: Class,
        current: &Current,
        known: &Index,
        entries: &[Entry],
        additions_wait: bool,
        until: u64,
    ) -> Result<Vec<u64>, PublishError> {
        let before = current.card.as_ref().map_or(0, |card| card.decided_until);
        let mut decided = self.ledger.decisions_between(class, before, until).await?;
        let waited = current.card.as_ref().and_then(|card| card.only_of).is_some();
        if !additions_wait && !waited {
            return Ok(decided);
        }
        let (mut now, mut later) = (Vec::new(), HashSet::default());
        let here: HashSet<&Origin> = entries.iter().map(|entry| &entry.origin).collect();
        for entry in self.ledger.entries_at(class, self.seconds()).await? {
            let origin = Origin::Case(entry.case.into());
            if !here.contains(&origin) {
                later.insert(entry.decided_at_ms);
            } else if waited && entry.decided_at_ms <= before && !known.has_origin(&origin) {
                now.push(entry.decided_at_ms);
            }
        }
        decided.retain(|moment| !later.contains(moment));
        decided.extend(now);
        decided.sort_unstable();
        Ok(decided)
    }
}

impl Survey {
    /// Why there is to be a release; empty if there is none.
    pub fn why(&self) -> Vec<String> {
        let mut why = self.draft.why.clone();
        if self.added + self.removed > 0 {
            why.push(format!("{} added, {} removed", self.added, self.removed));
        }
        why
    }

    /// Whether what waits is what would be made now.
    fn is_staged(&self, stage: &Stage) -> bool {
        let Some(release) = &stage.plan.release else { return false };
        self.draft.is(&release.card, self.current.card.as_ref())
            && self.pins == release.card.feeds
            && fs::read(stage.directory().join("index")).is_ok_and(|staged| staged == self.index.write())
    }
}

pub(super) fn find_target<'a>(base: &'a Metadata, role: &str, name: &str) -> Option<&'a Target> {
    base.delegated.get(role)?.signed.targets.get(&TargetName::new(name).ok()?)
}
