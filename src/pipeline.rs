//! The order of the stages, written once, with the reason above each.
//!
//! [`Pipeline::answer_now`] is the synchronous half: it works on the bytes of
//! the packet, never waits, and allocates nothing for what it answers itself.
//! What needs an upstream comes back as [`Verdict::Later`] and goes through
//! [`Pipeline::answer_later`]. Every transport uses these two calls.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use signed_list::digest::Suffixes;

use crate::answer::{Answer, ede_option, refuse};
use crate::cache::Cache;
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::entry::{Entry, Target, Ttls};
use crate::filter::{Client, Filter, Verdict as Decision};
use crate::journal::{DENIED, Journal, Outcome, Shard, Transport};
use crate::limit::{Limited, Limiter};
use crate::local::Local;
use crate::policy::Policies;
use crate::query::{Query, Refusal};
use crate::upstream::{Failure, Upstreams};
use crate::wire::{class, ede, flag, rcode, rtype};

/// Everything that a reload replaces. A query sees one snapshot from its first
/// stage to its last, so never half of an old list and half of a new one.
pub struct Snapshot {
    /// Counts reloads; entries remember for which one they were checked.
    pub generation: u32,
    /// The configuration it was made from.
    pub config: Arc<Config>,
    /// Who is served, and how.
    pub policies: Policies,
    /// The lists.
    pub filter: Filter,
    /// Names answered here.
    pub local: Local,
    errors: Errors,
}

/// EDE options that are sent often, ready made.
struct Errors {
    prohibited: Vec<u8>,
    not_supported: Vec<u8>,
    overloaded: Vec<u8>,
}

impl Snapshot {
    /// Prepares all stages for a configuration and its lists.
    pub fn new(generation: u32, config: Arc<Config>, filter: Filter) -> Self {
        Snapshot {
            generation,
            policies: Policies::new(&config),
            local: Local::new(&config),
            filter,
            errors: Errors {
                prohibited: ede_option(ede::PROHIBITED, ""),
                not_supported: ede_option(ede::NOT_SUPPORTED, ""),
                overloaded: ede_option(ede::NOT_READY, "too many questions are waiting"),
            },
            config,
        }
    }

    fn ttls(&self) -> Ttls {
        let cache = &self.config.cache;
        Ttls { min: cache.min_ttl, max: cache.max_ttl, max_negative: cache.max_negative_ttl }
    }
}

/// The stages that outlive a reload, and the snapshot of those that do not.
pub struct Pipeline {
    /// The current snapshot; take it once for each batch of packets.
    pub snapshot: ArcSwap<Snapshot>,
    /// Answers in memory.
    pub cache: Cache,
    /// Where questions go.
    pub upstreams: Upstreams,
    /// Counters.
    pub journal: Journal,
    /// The resolver's own time.
    pub clock: Clock,
    limiter: Limiter,
    waiting: AtomicUsize,
}

/// Where a packet came from.
#[derive(Clone, Copy)]
pub struct Source {
    /// The client, IPv4-mapped addresses already taken apart.
    pub client: IpAddr,
    /// How it came.
    pub transport: Transport,
}

/// What the synchronous half decided.
pub enum Verdict {
    /// An answer of this length stands in the packet.
    Send(usize),
    /// The same, and the answer should be fetched anew before it runs out.
    SendAndRefresh(usize, Box<Question>),
    /// No answer.
    Drop,
    /// An upstream has to be asked; the packet is unchanged.
    Later(Box<Question>),
}

/// A question on its way to an upstream.
#[derive(Clone)]
pub struct Question {
    /// The question.
    pub query: Query,
    /// Its key in the cache.
    pub key: u64,
}

impl Pipeline {
    /// Joins the stages.
    pub fn new(snapshot: Snapshot, upstreams: Upstreams, workers: usize) -> Self {
        // One shard of counters for each worker, one for everybody else.
        let shards = workers + 1;
        Pipeline {
            cache: Cache::new(snapshot.config.cache.size),
            snapshot: ArcSwap::from_pointee(snapshot),
            upstreams,
            journal: Journal::new(shards),
            clock: Clock,
            limiter: Limiter::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The synchronous half. `packet[..length]` is the question; the answer is
    /// written over it, into at most `packet.len()` octets.
    ///
    /// `packet` holds at least 1,232 octets, and more where a client's OPT or
    /// the transport allows a larger answer.
    #[inline]
    pub fn answer_now(
        &self,
        snapshot: &Snapshot,
        shard: &Shard,
        packet: &mut [u8],
        length: usize,
        source: Source,
        now: Now,
    ) -> Verdict {
        shard.received(source.transport);
        let payload = snapshot.config.server.udp_payload_size;

        // 1. Read. What cannot be read cannot be limited by what it asks, but
        //    it still costs its sender: refusals of broken packets go through
        //    the limit below, too.
        let parsed = Query::parse(&packet[..length]);

        // 2. Limit, first of all stages: its key, the address, is the only
        //    thing that costs an attacker something to change.
        if let Some(rules) = &snapshot.config.rate_limit {
            match self.limiter.take(rules, source.client, now.0) {
                Limited::No => {}
                limited => return over_limit(snapshot, shard, limited, packet, parsed.ok(), source),
            }
        }
        let query = match parsed {
            Ok(query) => query,
            Err((refusal, query)) => return refused(shard, packet, refusal, query.as_deref(), payload),
        };

        // 3. Serve only our own clients: an open resolver is a weapon, and a
        //    list that anybody may ask is a directory.
        if !snapshot.policies.serves(source.client) {
            shard.ended(Outcome::Foreign);
            return Verdict::Send(short(packet, &query, rcode::REFUSED, payload, &snapshot.errors.prohibited));
        }

        // 4. Types and classes that make no sense here.
        if let Some(length) = unsupported(snapshot, packet, &query, payload) {
            let outcome = if query.qclass == class::CH { Outcome::Local } else { Outcome::Unsupported };
            shard.ended(outcome);
            return Verdict::Send(length);
        }

        // 5. Signals, before the filter: no list may turn a phone's question
        //    "may I walk around you?" into something else.
        if let Some(length) = snapshot.local.signal(packet, &query, payload) {
            shard.ended(Outcome::Local);
            return Verdict::Send(length);
        }

        // 6. The name, before the cache: a name taken down a second ago is not
        //    served from memory, and no cache has to be purged.
        let client = Client::of(&snapshot.policies, source.client);
        let mut suffixes = Suffixes::new();
        let wire = query.name.as_wire();
        let listed = snapshot.filter.listed(wire, &mut suffixes);
        let decision = snapshot.filter.decide(client.policy, client.in_force, listed, wire, &mut suffixes);
        if let Some(block) = snapshot.filter.block(decision) {
            count_block(shard, decision, Outcome::BlockedName);
            return Verdict::Send(block.write(packet, &query, payload));
        }

        // 7. Zones that are empty by their nature, behind the filter: what is
        //    listed is answered as listed.
        if let Some(length) = snapshot.local.empty_zone(packet, &query, payload) {
            shard.ended(Outcome::Local);
            return Verdict::Send(length);
        }

        // 8. Memory. The answer is filtered by what it leads to on its way out.
        let key = self.cache.key(&query);
        let Some(entry) = self.cache.get(key, &query) else {
            return Verdict::Later(Box::new(Question { query, key }));
        };
        let second = now.seconds();
        if entry.remaining(second) == 0 {
            return Verdict::Later(Box::new(Question { query, key }));
        }
        let outcome = if entry.is_failure() { Outcome::Failed } else { Outcome::CacheHit };
        let limit = limit_of(&query, source.transport, payload, packet.len());
        let length =
            self.write(snapshot, shard, packet, &query, client, decision, &entry, None, second, limit, outcome);
        if snapshot.config.cache.prefetch && entry.is_almost_over(second) && entry.claim_refresh(second, 10) {
            return Verdict::SendAndRefresh(length, Box::new(Question { query, key }));
        }
        Verdict::Send(length)
    }

    /// Writes an answer from memory, or the block that it leads to.
    #[allow(clippy::too_many_arguments)] // one value for each thing that a query has by now
    fn write(
        &self,
        snapshot: &Snapshot,
        shard: &Shard,
        packet: &mut [u8],
        query: &Query,
        client: Client,
        decision: Decision,
        entry: &Entry,
        stale: Option<u32>,
        second: u32,
        limit: usize,
        outcome: Outcome,
    ) -> usize {
        let payload = snapshot.config.server.udp_payload_size;
        if entry.leads_on() {
            let verdict = leads_to(snapshot, client, decision, entry);
            if let Some(block) = snapshot.filter.block(verdict) {
                count_block(shard, verdict, Outcome::BlockedTarget);
                return block.write(packet, query, payload);
            }
        }
        shard.ended(outcome);
        entry.write(packet, query, second, stale, limit, payload)
    }

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
        let payload = snapshot.config.server.udp_payload_size;
        let Some(_place) = Place::take(&self.waiting, snapshot.config.server.in_flight) else {
            shard.ended(Outcome::Overloaded);
            packet.resize(packet.len() + crate::answer::OPT_ROOM, 0);
            return short(packet, &question.query, rcode::SERVFAIL, payload, &snapshot.errors.overloaded);
        };
        let (entry, stale) = self.resolve(&snapshot, &question).await;

        // The lists may have changed while the upstream was asked: a name that
        // was listed in between is blocked, as it would be from memory.
        let snapshot = self.snapshot.load_full();
        let query = &question.query;
        let room = if source.transport == Transport::Tcp { usize::from(u16::MAX) } else { 4096 + 64 };
        let most = limit_of(query, source.transport, payload, room);
        packet.resize(most.max(packet.len()) + crate::answer::OPT_ROOM, 0);
        let client = Client::of(&snapshot.policies, source.client);
        let mut suffixes = Suffixes::new();
        let wire = query.name.as_wire();
        let listed = snapshot.filter.listed(wire, &mut suffixes);
        let decision = snapshot.filter.decide(client.policy, client.in_force, listed, wire, &mut suffixes);
        if let Some(block) = snapshot.filter.block(decision) {
            count_block(shard, decision, Outcome::BlockedName);
            return block.write(packet, query, payload);
        }
        let outcome = match (&entry, stale) {
            (_, Some(_)) => Outcome::Stale,
            (entry, None) if entry.is_failure() => Outcome::Failed,
            _ => Outcome::Resolved,
        };
        let second = self.clock.now().seconds();
        self.write(&snapshot, shard, packet, query, client, decision, &entry, stale, second, most, outcome)
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
            Ok(Ok(fresh)) if !fresh.is_failure() => (fresh, None),
            _ => (old, Some(rules.stale_ttl)),
        }
    }

    /// Asks upstreams, one question at a time for each key, and remembers.
    async fn ask(self: &Arc<Self>, snapshot: &Snapshot, question: &Question) -> Arc<Entry> {
        let (ttls, stale_max) = (snapshot.ttls(), snapshot.config.cache.stale_max);
        let rebinding = snapshot.config.rebinding.as_deref();
        let rebinding =
            rebinding.filter(|allow| !allow.iter().any(|name| question.query.name.is_same_or_below(name.as_wire())));
        let guard = rebinding.is_some();
        let take_over = |result| self.take_over(question, result, ttls, stale_max, guard);
        self.upstreams.shared(question, take_over).await
    }

    /// Turns what an upstream said into an entry, and keeps it.
    fn take_over(
        &self,
        question: &Question,
        result: Result<Vec<u8>, Failure>,
        ttls: Ttls,
        stale_max: u32,
        guard: bool,
    ) -> Arc<Entry> {
        let second = self.clock.now().seconds();
        let query = &question.query;
        let entry = result.and_then(|message| {
            let message = if guard { crate::rebinding::strip(message, query.question_end) } else { message };
            Entry::from_upstream(&message, query, ttls, second).map_err(|_| Failure::Malformed)
        });
        let entry =
            Arc::new(entry.unwrap_or_else(|failure| Entry::failure(query, failure.ede(), failure.text(), second)));
        // A failure never pushes an answer out that could still be shown stale.
        let of_use = |old: &Entry| !old.is_failure() && old.expired_for(second) < stale_max;
        let keep = !entry.is_failure() || !self.cache.get(question.key, query).is_some_and(|old| of_use(&old));
        if entry.is_cacheable() && keep {
            self.cache.insert(question.key, entry.clone());
        }
        entry
    }

    /// Questions that wait for an upstream now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Waits until no question waits, at most for `patience`.
    pub async fn drain(&self, patience: Duration) {
        let end = tokio::time::Instant::now() + patience;
        while self.waiting() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What the answer leads to, judged for this client.
///
/// The categories that an answer touches are remembered with it for one
/// generation of lists, so that a hit costs one comparison; only where one
/// of them is in force, or the policy has rules of its own, is the answer
/// walked again, name by name.
fn leads_to(snapshot: &Snapshot, client: Client, decision: Decision, entry: &Entry) -> Decision {
    let filter = &snapshot.filter;
    let touched = match entry.touched(snapshot.generation) {
        Some(touched) => touched,
        None => {
            let mut touched = 0;
            let mut suffixes = Suffixes::new();
            entry.each_target(|target| {
                touched |= match target {
                    Target::Name(name) => filter.listed(name.as_wire(), &mut suffixes),
                    Target::Address(address) => filter.listed_address(address),
                }
            });
            entry.set_touched(snapshot.generation, touched);
            touched
        }
    };
    let in_force = client.in_force;
    let allowed = decision == Decision::Allowed;
    let relevant = touched & (in_force.legal | if allowed { 0 } else { in_force.liftable });
    if relevant == 0 && (allowed || !filter.has_own_rules(client.policy)) {
        return Decision::Pass;
    }
    let mut verdict = Decision::Pass;
    let mut suffixes = Suffixes::new();
    entry.each_target(|target| {
        if filter.block(verdict).is_some() {
            return;
        }
        let found = match target {
            Target::Name(name) => {
                let wire = name.as_wire();
                let listed = filter.listed(wire, &mut suffixes);
                filter.decide(client.policy, in_force, listed, wire, &mut suffixes)
            }
            Target::Address(address) => {
                let listed = filter.listed_address(address);
                let listed = listed & (in_force.legal | in_force.liftable);
                if listed == 0 { Decision::Pass } else { Decision::Listed(listed.trailing_zeros() as usize) }
            }
        };
        // A name that the policy allows may lead where it likes, but not
        // to what the law lists.
        verdict = match found {
            Decision::Listed(category) if allowed && filter.legal() & 1 << category == 0 => verdict,
            Decision::Denied if allowed => verdict,
            found => found,
        };
    });
    verdict
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

/// The largest answer: what the client says over UDP, but never more than we
/// send in one datagram; the length prefix over TCP.
#[inline]
fn limit_of(query: &Query, transport: Transport, payload: u16, room: usize) -> usize {
    let limit = match (transport, query.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, Some(edns)) => edns.payload.min(payload),
        (Transport::Udp, None) => 512,
    };
    usize::from(limit).min(room)
}

#[inline]
fn count_block(shard: &Shard, decision: Decision, outcome: Outcome) {
    shard.ended(outcome);
    shard.blocked(if let Decision::Listed(category) = decision { category } else { DENIED });
}

/// An answer without records.
fn short(packet: &mut [u8], query: &Query, code: u8, payload: u16, errors: &[u8]) -> usize {
    Answer::new(packet, query, code).finish(query, payload, 0, errors)
}

/// What a client over its limit gets.
fn over_limit(
    snapshot: &Snapshot,
    shard: &Shard,
    limited: Limited,
    packet: &mut [u8],
    query: Option<Query>,
    source: Source,
) -> Verdict {
    let payload = snapshot.config.server.udp_payload_size;
    match (query, source.transport, limited) {
        (Some(query), Transport::Udp, Limited::Slip) => {
            shard.ended(Outcome::LimitedSlip);
            let mut answer = Answer::new(packet, &query, rcode::NOERROR);
            answer.set(flag::TC);
            Verdict::Send(answer.finish(&query, payload, 0, &[]))
        }
        (Some(query), Transport::Tcp, _) => {
            shard.ended(Outcome::LimitedDrop);
            Verdict::Send(short(packet, &query, rcode::REFUSED, payload, &snapshot.errors.prohibited))
        }
        _ => {
            shard.ended(Outcome::LimitedDrop);
            Verdict::Drop
        }
    }
}

fn refused(shard: &Shard, packet: &mut [u8], refusal: Refusal, query: Option<&Query>, payload: u16) -> Verdict {
    let length = match (refusal, query) {
        (Refusal::Silence, _) => {
            shard.ended(Outcome::Ignored);
            return Verdict::Drop;
        }
        (Refusal::Code(code), _) => refuse(packet, code),
        // Extended response code 16: one in the OPT record, zero in the header.
        (Refusal::BadVersion, Some(query)) => Answer::new(packet, query, rcode::NOERROR).finish(query, payload, 1, &[]),
        (Refusal::BadVersion, None) => refuse(packet, rcode::FORMERR),
    };
    shard.ended(Outcome::Malformed);
    Verdict::Send(length)
}

/// Answers to what this resolver does not do: zone transfers, classes other
/// than IN, types that are no questions. CHAOS names where configured.
#[inline]
fn unsupported(snapshot: &Snapshot, packet: &mut [u8], query: &Query, payload: u16) -> Option<usize> {
    let errors = &snapshot.errors.not_supported;
    match (query.qclass, query.qtype) {
        (class::IN, rtype::AXFR | rtype::IXFR) => Some(short(packet, query, rcode::REFUSED, payload, errors)),
        (class::IN, 0 | rtype::OPT | rtype::MAILA | rtype::MAILB | 249 | 250) => {
            Some(short(packet, query, rcode::NOTIMP, payload, errors))
        }
        (class::IN, _) => None,
        (class::CH, _) => snapshot
            .local
            .chaos(packet, query, payload)
            .or_else(|| Some(short(packet, query, rcode::REFUSED, payload, errors))),
        _ => Some(short(packet, query, rcode::REFUSED, payload, errors)),
    }
}
