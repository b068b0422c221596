//! The asynchronous half of the pipeline: what needs an upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use signed_list::digest::Suffixes;

use super::{Pipeline, Snapshot, Source, count_block, limit_of, short};
use crate::answer::OPT_ROOM;
use crate::dnssec::{self, Judged, Validator};
use crate::entry::{Entry, Ttls};
use crate::journal::{Outcome, Shard, Transport};
use crate::query::{Query, Question};
use crate::rebinding;
use crate::safe_search::StandIn;
use crate::server::batch::BUFFER;
use crate::upstream::Failure;
use crate::wire::rcode;

/// Time for validation that is left even when the answer came late.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);

impl Pipeline {
    /// The asynchronous half: asks an upstream, unless memory has the answer by
    /// now, and writes the answer over the packet. Never fails: what cannot be
    /// answered is SERVFAIL with the reason.
    pub async fn answer_later(
        self: &Arc<Self>,
        question: Box<Question>,
        packet: &mut Vec<u8>,
        source: Source,
    ) -> usize {
        let snapshot = self.snapshot.load_full();
        let shard = self.journal.shared();
        let fate = Fate(shard);
        let length = self.later(shard, snapshot, question, packet, source).await;
        std::mem::forget(fate);
        length
    }

    async fn later(
        self: &Arc<Self>,
        shard: &Shard,
        snapshot: Arc<Snapshot>,
        question: Box<Question>,
        packet: &mut Vec<u8>,
        source: Source,
    ) -> usize {
        let Some(_place) = Place::take(&self.waiting, snapshot.config.server.in_flight) else {
            shard.ended(Outcome::Overloaded);
            packet.resize(packet.len() + OPT_ROOM, 0);
            let second = self.clock.now().seconds();
            let reply = &self.reply(&snapshot, &question.query, source, second);
            return short(packet, &question.query, rcode::SERVFAIL, reply, &snapshot.errors.overloaded);
        };
        let (entry, stale) = self.resolve(&snapshot, &question).await;

        // The lists may have changed while the upstream was asked: a name that
        // was listed in between is blocked, as it would be from memory.
        let snapshot = self.snapshot.load_full();
        let query = &question.query;
        let second = self.clock.now().seconds();
        let reply = &self.reply(&snapshot, query, source, second);
        let room = if source.transport == Transport::Udp { BUFFER } else { usize::from(u16::MAX) };
        let most = limit_of(query, source.transport, reply.payload, room);
        packet.resize(most.max(packet.len()) + OPT_ROOM, 0);
        let client = snapshot.policies.of(source.client);
        let decision = snapshot.filter.judge(client, query.name.as_wire(), &mut Suffixes::new());
        if let Some(block) = snapshot.filter.block(decision) {
            count_block(&snapshot, shard, client.policy, decision, Outcome::BlockedName);
            return block.write(packet, query, reply);
        }
        let outcome = match (&entry, stale) {
            (_, Some(_)) => Outcome::Stale,
            (entry, None) if entry.is_failure() => Outcome::Failed,
            _ => Outcome::Resolved,
        };
        self.write(&snapshot, shard, packet, query, reply, client, decision, &entry, stale, second, most, outcome)
    }

    /// Fetches an answer anew, for nobody in particular.
    pub async fn refresh(self: &Arc<Self>, question: Box<Question>) {
        let snapshot = self.snapshot.load_full();
        let Some(_place) = Place::take(&self.waiting, snapshot.config.server.in_flight) else { return };
        drop(self.ask(&snapshot, &question).await);
    }

    /// The answer, and the TTL to show if it is one past its time.
    async fn resolve(self: &Arc<Self>, snapshot: &Arc<Snapshot>, question: &Question) -> (Arc<Entry>, Option<u32>) {
        let rules = &snapshot.config.cache;
        let second = self.clock.now().seconds();
        let old = self.cache.get(question.key, &question.query);
        let old = old.filter(|old| !old.is_failure() && old.expired_for(second) < rules.stale_max);
        let Some(old) = old else {
            return (self.ask(snapshot, question).await, None);
        };
        if old.remaining(second) > 0 {
            return (old, None);
        }
        // RFC 8767 section 5: try for a while, then show the old answer; the
        // attempt goes on behind it. While upstreams are known to be down for
        // this name, only one question in thirty seconds waits for them.
        if !old.claim_refresh(second, 30) && !self.upstreams.is_asked(question) {
            return (old, Some(rules.stale_ttl));
        }
        let (pipeline, snapshot, question) = (self.clone(), snapshot.clone(), question.clone());
        let asking = tokio::spawn(async move { pipeline.ask(&snapshot, &question).await });
        let fresh = tokio::time::timeout(rules.stale_wait, asking).await;
        match fresh {
            // What is bogus now must not live on in an older answer.
            Ok(Ok(fresh)) if !fresh.is_failure() || fresh.is_bogus() => (fresh, None),
            _ => (old, Some(rules.stale_ttl)),
        }
    }

    /// Fetches an answer, and remembers it.
    async fn ask(self: &Arc<Self>, snapshot: &Snapshot, question: &Question) -> Arc<Entry> {
        match snapshot.safe_search.of(question.query.stand_in) {
            None => self.ask_upstream(snapshot, question).await,
            Some(stand_in) => self.ask_stand_in(snapshot, question, stand_in).await,
        }
    }

    /// The answer of what stands in for the name, under the name.
    async fn ask_stand_in(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        question: &Question,
        stand_in: &StandIn,
    ) -> Arc<Entry> {
        let query = &question.query;
        let message = match stand_in.question(query) {
            None => Ok(stand_in.fixed(query)),
            Some(asked) => {
                let key = self.cache.key(&asked);
                let second = self.second();
                let known = self.cache.get(key, &asked).filter(|entry| entry.remaining(second) > 0);
                let asked = Question { query: asked, key };
                let entry = match known {
                    Some(entry) => entry,
                    None => self.ask_upstream(snapshot, &asked).await,
                };
                stand_in.alias(query, &asked.query, &entry, self.second())
            }
        };
        let second = self.second();
        let entry = message.and_then(|message| Entry::from_upstream(&message, query, snapshot.ttls(), second));
        let entry = entry
            .unwrap_or_else(|_| Entry::failure(query, Failure::Malformed.ede(), Failure::Malformed.text(), second));
        self.keep(question, Arc::new(entry), second, snapshot.config.cache.stale_max)
    }

    /// Asks upstreams, one question at a time for each key, and remembers.
    async fn ask_upstream(self: &Arc<Self>, snapshot: &Snapshot, question: &Question) -> Arc<Entry> {
        let query = &question.query;
        let validator = self.validator.load_full();
        let judging = validator.is_active();
        let asked = if judging { dnssec::asked(query) } else { query.clone() };
        let end = Instant::now() + snapshot.config.upstream.deadline;
        let take_over = async |result: Result<Vec<u8>, Failure>| {
            let entry = match result {
                Ok(message) if judging => {
                    // Something is left for a chain of trust even when the answer was late.
                    let patience = end.saturating_duration_since(Instant::now()).max(LEAST_PATIENCE);
                    self.judge(snapshot, &validator, query, message, patience).await
                }
                // As a forwarder: an upstream's own AD is passed on.
                Ok(message) => self.entry(snapshot, query, message, snapshot.ttls()),
                Err(failure) => Err(failure),
            };
            let second = self.second();
            let entry = entry.unwrap_or_else(|failure| Entry::failure(query, failure.ede(), failure.text(), second));
            let entry = self.keep(question, Arc::new(entry), second, snapshot.config.cache.stale_max);
            let now = self.validator.load();
            if !Arc::ptr_eq(&now, &validator) || !judging && now.is_active() {
                // Other trust is in force meanwhile, or validation has begun:
                // nothing that came before stays.
                self.cache.clear();
            }
            entry
        };
        self.upstreams.shared(question, &asked, take_over).await
    }

    /// An entry of what the validator makes of an answer.
    async fn judge(
        &self,
        snapshot: &Snapshot,
        validator: &Validator,
        query: &Query,
        message: Vec<u8>,
        patience: Duration,
    ) -> Result<Entry, Failure> {
        // Whoever sets CD judges by itself, and gets what came.
        let judged = match query.checking_disabled() {
            true => Judged::Passed { message: dnssec::without_ad(message), secure: false, remark: None },
            false => validator.judge(message, query, patience).await,
        };
        let (message, secure, remark) = match judged {
            Judged::Passed { message, secure, remark } => (message, secure, remark),
            Judged::Bogus(fault) => return Ok(Entry::bogus(query, fault, self.second())),
            Judged::Unknown(failure) => return Err(failure),
        };
        let message = match query.dnssec_ok() {
            true => message,
            false => dnssec::plain(message, query).map_err(|_| Failure::Malformed)?,
        };
        // No TTL is raised past the end of a signature.
        let ttls = snapshot.ttls();
        let ttls = if secure { Ttls { min: 0, ..ttls } } else { ttls };
        let entry = self.entry(snapshot, query, message, ttls)?;
        Ok(match remark {
            Some(fault) => entry.with_error(fault.code, fault.text),
            None => entry,
        })
    }

    /// Turns an upstream's message into an entry, without the private addresses
    /// of a public name.
    fn entry(&self, snapshot: &Snapshot, query: &Query, message: Vec<u8>, ttls: Ttls) -> Result<Entry, Failure> {
        let allow = snapshot.config.rebinding.as_deref();
        let guard = allow.is_some_and(|allow| !allow.iter().any(|name| query.name.is_same_or_below(name.as_wire())));
        let message = if guard { rebinding::strip(message, query.question_end) } else { message };
        Entry::from_upstream(&message, query, ttls, self.second()).map_err(|_| Failure::Malformed)
    }

    fn keep(&self, question: &Question, entry: Arc<Entry>, second: u32, stale_max: u32) -> Arc<Entry> {
        // A failure never pushes an answer out that could still be shown stale.
        // What is bogus only spares one that is still fresh.
        let of_use = |old: &Entry| match entry.is_bogus() {
            true => !old.is_failure() && old.remaining(second) > 0,
            false => !old.is_failure() && old.expired_for(second) < stale_max,
        };
        let keep =
            !entry.is_failure() || !self.cache.get(question.key, &question.query).is_some_and(|old| of_use(&old));
        if entry.is_cacheable() && keep {
            self.cache.insert(question.key, entry.clone());
        }
        entry
    }

    fn second(&self) -> u32 {
        self.clock.now().seconds()
    }

    /// Questions that wait for an upstream now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Waits until every packet that arrived has ended, at most for `patience`.
    pub async fn drain(&self, patience: Duration) {
        let pause = Duration::from_millis(20);
        let end = tokio::time::Instant::now() + patience;
        // What has ended is read first: a packet in between only makes us wait
        // longer. Counting those that wait would miss the ones whose task has
        // not begun.
        let is_settled = || {
            let ended: u64 = Outcome::ALL.iter().map(|(outcome, _)| self.journal.ended(*outcome)).sum();
            let received: u64 = Transport::ALL.iter().map(|(transport, _)| self.journal.received(*transport)).sum();
            ended >= received
        };
        while !is_settled() && tokio::time::Instant::now() < end {
            tokio::time::sleep(pause).await;
        }
        // The last answers are on their way to the writers of their connections.
        tokio::time::sleep(pause).await;
    }
}

/// Counts a question that is lost on its way, by a fault of ours or at the end
/// of the process: every packet has an outcome.
struct Fate<'a>(&'a Shard);

impl Drop for Fate<'_> {
    fn drop(&mut self) {
        self.0.ended(Outcome::Fault);
    }
}

/// A place among the questions that may wait at once.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        if waiting.fetch_add(1, Relaxed) >= most {
            waiting.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Place(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
