//! What feeds bring to a release: the last good names of each feed of a class, and what is to stay free of them.
//!
//! A release pins the names that it is made from by their hash. Whoever signs it makes the list again from the same
//! names, on another machine too where a copy of the work directory lies, and sees it if anything else went in.

use std::collections::BTreeSet;

use signed_list::release::Class;

use super::publish::{PublishError, Publisher};
use super::select::Share;
use super::stage::Stage;
use super::work::{Card, Pin};
use crate::feed::names::{Free, Names};
use crate::feed::settings::{Feed, Feeds};

/// What one feed brings.
pub struct Part {
    /// Which names these are.
    pub pin: Pin,
    /// The names.
    pub names: Names,
    /// Names that stay free whatever the feed lists: those of its settings, and those that people took off the list of
    /// the class in the ledger.
    pub free: Free,
}

impl Publisher<'_> {
    /// The feeds of the work directory.
    pub(super) fn feeds(&self) -> Result<&Feeds, PublishError> {
        self.work.feeds.as_ref().map_err(|error| PublishError::Feeds(error.clone()))
    }

    /// What the feeds of a class bring now. A feed that was never fetched brings nothing.
    pub(super) async fn supply(&self, class: Class) -> Result<Vec<Part>, PublishError> {
        if class.is_sealed() {
            return Ok(Vec::new());
        }
        let shelf = self.work.shelf();
        let mut pins = Vec::new();
        for feed in self.feeds()?.of(class) {
            let state = shelf.state(&feed.name).map_err(|error| PublishError::Feeds(error.to_string()))?;
            pins.extend(state.content.map(|content| (feed, content.hash)));
        }
        self.parts(class, self.seconds(), pins).await
    }

    /// What feeds brought to a release that is staged: refused, if the settings have changed since.
    pub(super) async fn supply_of(&self, card: &Card, about: &str) -> Result<Vec<Part>, PublishError> {
        if card.class.is_sealed() {
            // A list of the law is made from nothing but the ledger; what else somebody has pinned does not go in.
            return Ok(Vec::new());
        }
        let feeds = self.feeds()?;
        let mut pins = Vec::with_capacity(card.feeds.len());
        for pin in &card.feeds {
            let feed = feeds.of(card.class).find(|feed| feed.name == pin.feed && feed.category == pin.category);
            pins.push((feed.ok_or_else(|| PublishError::Overtaken(about.to_owned()))?, pin.hash.clone()));
        }
        let parts = self.parts(card.class, card.created, pins).await?;
        if parts.iter().zip(&card.feeds).any(|(part, pin)| part.pin != *pin) {
            return Err(PublishError::Overtaken(about.to_owned()));
        }
        Ok(parts)
    }

    async fn parts(&self, class: Class, at: u64, pins: Vec<(&Feed, String)>) -> Result<Vec<Part>, PublishError> {
        if pins.is_empty() {
            return Ok(Vec::new());
        }
        let taken_off = self.ledger.taken_off_at(class, at).await?;
        let shelf = self.work.shelf();
        let mut parts = Vec::with_capacity(pins.len());
        for (feed, hash) in pins {
            let names = shelf.names(&feed.name, &hash).map_err(|error| PublishError::Feeds(error.to_string()))?;
            let mut allowed = feed.allowed.clone();
            for name in &taken_off {
                allowed.add(name);
            }
            let (name, category) = (feed.name.clone(), feed.category.clone());
            let pin = Pin { feed: name, category, hash, entries: names.len(), allowed: allowed.hash() };
            parts.push(Part { pin, names, free: allowed.free() });
        }
        Ok(parts)
    }

    /// Takes away what is kept of feeds and needed no longer.
    pub(super) fn tidy_feeds(&self) -> Result<(), PublishError> {
        let Ok(feeds) = &self.work.feeds else { return Ok(()) };
        let configured: BTreeSet<&str> = feeds.feeds.iter().map(|feed| feed.name.as_str()).collect();
        let mut pinned = BTreeSet::new();
        for stage in Stage::all(self.work)? {
            let pins = stage.plan.release.into_iter().flat_map(|release| release.card.feeds);
            pinned.extend(pins.map(|pin| pin.hash));
        }
        self.work.shelf().tidy(&configured, &pinned).map_err(|error| PublishError::Feeds(error.to_string()))
    }
}

/// Sums up what comes and goes by feed, also of feeds that have gone altogether.
pub(super) fn count(shares: &mut Vec<Share>, added: &[(String, u64)], removed: &[(String, u64)]) {
    for (changes, is_added) in [(added, true), (removed, false)] {
        for (feed, count) in changes {
            let at = shares.iter().position(|share| share.feed == *feed).unwrap_or_else(|| {
                shares.push(Share {
                    feed: feed.clone(),
                    category: String::new(),
                    entries: 0,
                    added: 0,
                    removed: 0,
                    allowed: 0,
                    refused: 0,
                });
                shares.len() - 1
            });
            let share = &mut shares[at];
            *(if is_added { &mut share.added } else { &mut share.removed }) += count;
        }
    }
}
