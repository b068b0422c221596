//! Looks at what is staged before anybody signs it and before it comes into force: whoever can write to the work
//! directory could have put it there.

use std::fs;

use foldhash::HashMap;
use signed_list::digest::DigestKey;
use signed_list::release::Class;

use super::canary::Canaries;
use super::epoch::Epoch;
use super::hold::Jump;
use super::index::{Change, Index};
use super::make::find_target;
use super::publish::{PublishError, Publisher, io};
use super::repository::{self, Document, EPOCH, Metadata, expiry};
use super::select::{self, Head};
use super::stage::{Release, Stage};
use super::work::{WorkError, read_json};
use super::zones;

const DAY: u64 = 86_400;

/// What decides how much a release may change.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    pub(super) class: Class,
    pub(super) serial: u64,
    /// It is a rollback.
    pub(super) pinned: bool,
}

impl Publisher<'_> {
    /// Whether somebody here has still to sign it.
    pub(super) fn would_sign(&self, stage: &Stage, base: &Metadata) -> Result<bool, PublishError> {
        let standings = stage.standings(Some(base))?;
        Ok(standings.iter().any(|standing| self.people.iter().any(|person| standing.open.contains(&person.id()))))
    }

    /// Whether a release has waited for so long that what it would bring into force expires, its envelopes included. It
    /// is made anew then: no signature could help it any more.
    pub(super) fn is_stale(&self, class: Class, stage: &Stage, base: &Metadata) -> bool {
        let roles: &[&str] = if class.is_sealed() { &[class.word(), EPOCH] } else { &[class.word()] };
        roles.iter().any(|role| {
            let staged = stage.documents.iter().find_map(|document| match document {
                Document::Targets(of, document) if of == role => Some(document),
                _ => None,
            });
            let document = staged.or(base.delegated.get(*role));
            document.is_some_and(|document| expiry(document.signed.expires) < self.seconds() + DAY)
        })
    }

    /// Makes the list of a staged release once more, out of the ledger and the names of feeds that it pins, and compares:
    /// who signs it signs what these say and nothing else.
    pub async fn check(&self, stage: &Stage, base: &Metadata) -> Result<(), PublishError> {
        let Some(Release { card, .. }) = &stage.plan.release else { return Ok(()) };
        let about = || stage.plan.about.clone();
        let class = card.class;
        let end = card.created.saturating_mul(1000).saturating_add(999);
        if !self.ledger.decisions_between(class, card.decided_until, end).await?.is_empty() {
            return Err(PublishError::Overtaken(about()));
        }
        let listed = self.ledger.entries_at(class, card.created).await?;
        let supply = self.supply_of(card, &stage.plan.about).await?;
        let mut entries = select::select(listed, &supply, class, &self.work.scheme, self.guard).entries;
        for serial in card.pinned_to.into_iter().chain(card.only_of) {
            self.index(class, serial)?.retain(&mut entries, &self.work.index_key());
        }
        let staged: Option<Epoch> = read_json(&stage.directory().join("epoch.json"))?;
        // It is what the guard goes by when the release comes into force.
        let path = stage.directory().join("index");
        if fs::read(&path).map_err(io(&path, "read"))? != Index::of(&entries, &self.work.index_key()).write() {
            return Err(PublishError::NotTheLedger { about: about(), file: "index".to_owned() });
        }
        let epoch = match (staged, card.epoch) {
            (None, Some(number)) => self.work.epoch(number)?,
            (staged, _) => staged,
        };
        let head = Head {
            class,
            serial: card.serial,
            created: card.created,
            key: epoch.as_ref().map_or(DigestKey::OPEN, Epoch::digest_key),
            canaries: Canaries::new(self.work.seed(), &self.work.scheme.ground, class),
            moves: card.moves,
        };
        let list = select::compile(&entries, self.work.scheme.categories(class), &head)?.file;
        for (zone, text) in zones::make(&self.work.scheme, &head, &entries) {
            let path = stage.directory().join(zones::staged(&zone));
            if path.exists() && fs::read(&path).map_err(io(&path, "read"))? != text.as_bytes() {
                return Err(PublishError::NotTheLedger { about: about(), file: zones::staged(&zone) });
            }
        }

        // What the documents name is either in force already or lies here with the right hash.
        for document in &stage.documents {
            let Document::Targets(role, document) = document else { continue };
            for (name, target) in &document.signed.targets {
                let name = name.raw();
                if find_target(base, role, name) == Some(target) {
                    continue;
                }
                let path = stage.directory().join("targets").join(repository::target_file(name, target));
                let content = fs::read(&path).map_err(io(&path, "read"))?;
                let mut right = repository::target(&content) == *target;
                if name == class.payload(card.serial) {
                    let content = match &epoch {
                        Some(epoch) => epoch.open(&content)?,
                        None => content,
                    };
                    right &= content == list;
                }
                if !right {
                    return Err(PublishError::NotTheLedger { about: about(), file: name.to_owned() });
                }
            }
        }
        Ok(())
    }

    /// Whether a release changes too much at once: what the ledger lists, or what one of the feeds does, each held
    /// against what it had before. So a feed of a million names does not hide what happens in the ledger, and a feed
    /// that goes wrong is told by name. The first release of an open class has nothing to be compared with, and a
    /// rollback is what takes such a change back: only what it would add is looked at.
    pub(super) fn jump(&self, measured: Measured, change: &Change, index: &Index, before: &Index) -> Option<Jump> {
        let Measured { class, serial, pinned } = measured;
        if serial == 1 && !class.is_sealed() {
            return None;
        }
        let hold = self.work.settings.hold.of(class);
        let (added, removed, all) = (index.count(&change.added), before.count(&change.removed), before.count_all());
        let mut origins: Vec<Option<&str>> = added.keys().chain(removed.keys()).copied().collect();
        origins.sort_unstable();
        origins.dedup();
        origins.into_iter().find_map(|origin| {
            let of = |counts: &HashMap<Option<&str>, u64>| counts.get(&origin).copied().unwrap_or(0);
            let removed = if pinned { 0 } else { of(&removed) };
            let feed = self.work.feeds.as_ref().ok().zip(origin);
            let feed = feed.and_then(|(feeds, name)| feeds.of(class).find(|feed| feed.name == name));
            let bounds = feed.map_or(hold, |feed| feed.bounds(hold));
            let jump = bounds.jump(of(&added), removed, of(&all))?;
            Some(Jump { feed: origin.map(str::to_owned), ..jump })
        })
    }

    /// Whether a staged release changes too much at once, looked at anew: whatever its plan says of that, somebody may
    /// have written.
    pub(super) fn jump_of(&self, stage: &Stage, base: Option<&Metadata>) -> Result<Option<Jump>, PublishError> {
        let Some(Release { card, .. }) = &stage.plan.release else { return Ok(None) };
        let path = stage.directory().join("index");
        let index = Index::read(&fs::read(&path).map_err(io(&path, "read"))?);
        let index = index.ok_or_else(|| WorkError::Damaged { path, why: "it is cut off or changed".to_owned() })?;
        let before = match base {
            Some(base) => self.current(card.class, base)?.index,
            None => Index::default(),
        };
        let measured = Measured { class: card.class, serial: card.serial, pinned: card.pinned_to.is_some() };
        Ok(self.jump(measured, &index.change(&before), &index, &before))
    }
}
