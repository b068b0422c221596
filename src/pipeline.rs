//! The order of the stages, written once, with the reason above each.
//!
//! [`Pipeline::answer_now`] is the synchronous half: it works on the bytes of
//! the packet, never waits, and allocates nothing for what it answers itself.
//! What needs an upstream comes back as [`Verdict::Later`] and goes through
//! [`Pipeline::answer_later`]. Every transport uses these two calls.

mod later;
mod notify;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use signed_list::digest::Suffixes;

use crate::answer::{Answer, ede_option, record, refuse};
use crate::cache::Cache;
use crate::clock::{Clock, Now};
use crate::config::Config;
use crate::dnssec::Validator;
use crate::edns::{Cookies, Reply};
use crate::entry::{Entry, Ttls};
use crate::filter::{Filter, Verdict as Decision};
use crate::hits::{Hit, Hits};
use crate::journal::{DENIED, Journal, Outcome, Shard, Transport};
use crate::limit::{Limited, Limiter};
use crate::local::Local;
use crate::policy::{Client, Policies};
use crate::query::{Query, Question, Refusal};
use crate::releases::Follower;
use crate::safe_search::SafeSearch;
use crate::scheme::Scheme;
use crate::server::tls::Keys;
use crate::upstream::Upstreams;
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
    /// Search engines that leave things out.
    pub safe_search: &'static SafeSearch,
    /// Who blocks and who helps, for people.
    pub scheme: Arc<Scheme>,
    /// The journal's counter of each category.
    pub counters: Vec<usize>,
    /// How often each policy's clients met a block.
    pub hits: Arc<Hits>,
    /// A list that is followed is not here yet: what no other list blocks is not
    /// answered, since it might be on that one.
    pub incomplete: bool,
    /// Certificate and key of encrypted transports.
    pub tls: Option<Arc<Keys>>,
    /// Followed zones, whose primaries say when there is something new.
    pub zones: Vec<Arc<Follower>>,
    errors: Errors,
    minimal_any: Vec<u8>,
}

/// EDE options that are sent often, ready made.
struct Errors {
    prohibited: Vec<u8>,
    not_supported: Vec<u8>,
    overloaded: Vec<u8>,
    incomplete: Vec<u8>,
}

impl Snapshot {
    /// Prepares all stages for a configuration and its lists.
    pub fn new(
        generation: u32,
        config: Arc<Config>,
        scheme: Arc<Scheme>,
        filter: Filter,
        incomplete: bool,
        zones: Vec<Arc<Follower>>,
    ) -> Self {
        Snapshot {
            generation,
            policies: Policies::new(&config),
            local: Local::new(&config),
            safe_search: SafeSearch::shipped(),
            scheme,
            counters: (0..config.categories.len()).collect(),
            // Behind the last policy: clients that have none. Behind the last category: what policies deny.
            hits: Arc::new(Hits::new(config.policies.len() + 1, config.categories.len() + 1)),
            incomplete,
            tls: None,
            zones,
            filter,
            minimal_any: record(rtype::HINFO, 3600, b"\x07RFC8482\x00"),
            errors: Errors {
                prohibited: ede_option(ede::PROHIBITED, ""),
                not_supported: ede_option(ede::NOT_SUPPORTED, ""),
                overloaded: ede_option(ede::NOT_READY, "too many questions are waiting"),
                incomplete: ede_option(ede::NOT_READY, "the blocklist is not here yet"),
            },
            config,
        }
    }

    fn assign_counters(&mut self, journal: &Journal) {
        self.counters = journal.counters(self.config.categories.iter().map(|category| category.name.as_str()));
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
    /// Judges what they say.
    pub validator: ArcSwap<Validator>,
    /// Counters.
    pub journal: Journal,
    /// The resolver's own time.
    pub clock: Clock,
    limiter: Limiter,
    cookies: Cookies,
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

impl Pipeline {
    /// Joins the stages.
    pub fn new(mut snapshot: Snapshot, upstreams: Upstreams, validator: Validator, workers: usize) -> Self {
        // One shard of counters for each worker, one for everybody else.
        let journal = Journal::new(workers + 1);
        snapshot.assign_counters(&journal);
        Pipeline {
            cache: Cache::new(snapshot.config.cache.size),
            snapshot: ArcSwap::from_pointee(snapshot),
            upstreams,
            validator: ArcSwap::from_pointee(validator),
            journal,
            clock: Clock,
            limiter: Limiter::new(),
            cookies: cookies(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Puts a snapshot in force, for every question that comes from now on.
    pub fn replace(&self, mut snapshot: Snapshot) {
        snapshot.assign_counters(&self.journal);
        self.snapshot.store(Arc::new(snapshot));
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
        // 1. Read. What cannot be read cannot be limited by what it asks, but
        //    it still costs its sender: refusals of broken packets go through
        //    the limit below, too.
        let mut query = Query::BLANK;
        let read = query.fill(&packet[..length]);

        // 2. Limit, first of all stages: its key, the address, is the only
        //    thing that costs an attacker something to change.
        if let Some(rules) = &snapshot.config.rate_limit {
            match self.limiter.take(rules, source.client, now.0) {
                Limited::No => {}
                limited => {
                    let query = read.ok().map(|()| &query);
                    return self.over_limit(snapshot, shard, limited, packet, query, source, now.seconds());
                }
            }
        }
        let reply = &self.reply(snapshot, &query, source, now.seconds());
        if let Err(refusal) = read {
            if let Some(length) = notify::answer(&snapshot.zones, packet, length, source.client) {
                shard.ended(Outcome::Local);
                return Verdict::Send(length);
            }
            return refused(shard, packet, refusal, &query, reply);
        }

        // 3. Serve only our own clients: an open resolver is a weapon, and a
        //    list that anybody may ask is a directory.
        let client = snapshot.policies.of(source.client);
        if !client.served {
            shard.ended(Outcome::Foreign);
            return Verdict::Send(short(packet, &query, rcode::REFUSED, reply, &snapshot.errors.prohibited));
        }

        // 4. Types and classes that make no sense here.
        if let Some(length) = unsupported(snapshot, packet, &query, reply) {
            // Only the names of class CH that are configured get an answer.
            let answered = packet[3] & 0x0f == rcode::NOERROR;
            shard.ended(if answered { Outcome::Local } else { Outcome::Unsupported });
            return Verdict::Send(length);
        }

        // 5. Signals, before the filter: no list may turn a phone's question
        //    "may I walk around you?" into something else.
        if let Some(length) = snapshot.local.signal(packet, &query, reply) {
            shard.ended(Outcome::Local);
            return Verdict::Send(length);
        }

        // 6. The name, before the cache: a name taken down a second ago is not
        //    served from memory, and no cache has to be purged.
        let decision = snapshot.filter.judge(client, query.name.as_wire(), &mut Suffixes::new());
        if let Some(block) = snapshot.filter.block(decision) {
            count_block(snapshot, shard, client.policy, decision, Outcome::BlockedName);
            return Verdict::Send(block.write(packet, &query, reply));
        }

        // 7. Zones that are empty by their nature, behind the filter: what is
        //    listed is answered as listed.
        if let Some(length) = snapshot.local.empty_zone(packet, &query, reply) {
            shard.ended(Outcome::Local);
            return Verdict::Send(length);
        }

        if snapshot.incomplete {
            shard.ended(Outcome::Incomplete);
            return Verdict::Send(short(packet, &query, rcode::SERVFAIL, reply, &snapshot.errors.incomplete));
        }

        // All records of a name are what amplifiers ask for, and what no
        // program needs: one that says so is enough (RFC 8482 section 4.2).
        if query.qtype == rtype::ANY {
            shard.ended(Outcome::Local);
            let mut answer = Answer::new(packet, &query, rcode::NOERROR);
            answer.records(&snapshot.minimal_any, [1, 0, 0]);
            return Verdict::Send(answer.finish(&query, reply, 0, &[]));
        }

        // 8. Search engines, behind the filter: one that is blocked stays
        //    blocked. What answers in its place is part of the cache's key.
        query.stand_in = snapshot.safe_search.stand_in(client.search, query.name.as_wire());

        // 9. Memory. The answer is filtered by what it leads to on its way out.
        let key = self.cache.key(&query);
        let Some(entry) = self.cache.get(key, &query) else {
            return Verdict::Later(Box::new(Question { query, key }));
        };
        let second = now.seconds();
        if entry.remaining(second) == 0 {
            return Verdict::Later(Box::new(Question { query, key }));
        }
        let outcome = if entry.is_failure() { Outcome::Failed } else { Outcome::CacheHit };
        let limit = limit_of(&query, source.transport, reply.payload, packet.len());
        let length =
            self.write(snapshot, shard, packet, &query, reply, client, decision, &entry, None, second, limit, outcome);
        if snapshot.config.cache.prefetch && entry.is_almost_over(second) && entry.claim_refresh(second, 10) {
            return Verdict::SendAndRefresh(length, Box::new(Question { query, key }));
        }
        Verdict::Send(length)
    }

    /// What a client over its limit gets. Only one whose address is proven gets
    /// an answer to each question: all others may be forged.
    #[allow(clippy::too_many_arguments)] // one value for each thing that a question has by now
    fn over_limit(
        &self,
        snapshot: &Snapshot,
        shard: &Shard,
        limited: Limited,
        packet: &mut [u8],
        query: Option<&Query>,
        source: Source,
        second: u32,
    ) -> Verdict {
        let answered = query.and_then(|query| match self.is_proven(query, source, second) {
            true => Some((query, rcode::REFUSED)),
            false => (limited == Limited::Slip).then_some((query, rcode::NOERROR)),
        });
        let Some((query, code)) = answered else {
            shard.ended(Outcome::LimitedDrop);
            return Verdict::Drop;
        };
        let reply = &self.reply(snapshot, query, source, second);
        if code == rcode::REFUSED {
            shard.ended(Outcome::LimitedDrop);
            return Verdict::Send(short(packet, query, code, reply, &snapshot.errors.prohibited));
        }
        shard.ended(Outcome::LimitedSlip);
        let mut answer = Answer::new(packet, query, code);
        answer.set(flag::TC);
        Verdict::Send(answer.finish(query, reply, 0, &[]))
    }

    /// What the OPT record of the answer says besides errors.
    #[inline]
    fn reply<'a>(&self, snapshot: &'a Snapshot, query: &Query, source: Source, second: u32) -> Reply<'a> {
        let server = &snapshot.config.server;
        let mut reply = Reply::plain(server.udp_payload_size);
        let Some(asked) = query.edns.map(|edns| edns.asked).filter(|asked| !asked.is_nothing()) else {
            return reply;
        };
        reply.cookie = asked.cookie.map(|cookie| self.cookies.answer(&cookie, source.client, second));
        if asked.nsid {
            reply.nsid = snapshot.local.nsid();
        }
        if asked.keepalive && source.transport.is_stream() {
            // In tenths of a second; at most 600 seconds are configured.
            reply.keepalive = Some((server.tcp_idle_timeout.as_millis() / 100) as u16);
        }
        reply.padded = asked.padding && source.transport.is_encrypted();
        reply.structured = snapshot.config.structured_errors.as_ref().is_some_and(|errors| {
            asked.structured || errors.option.is_some_and(|option| asked.empty.contains(&option))
        });
        reply
    }

    /// Whether the client has received something from us at this address: the
    /// address is no forgery.
    fn is_proven(&self, query: &Query, source: Source, second: u32) -> bool {
        let cookie = query.edns.and_then(|edns| edns.asked.cookie);
        source.transport != Transport::Udp
            || cookie.is_some_and(|cookie| self.cookies.knows(&cookie, source.client, second))
    }

    /// Writes an answer from memory, or the block that it leads to.
    #[allow(clippy::too_many_arguments)] // one value for each thing that a query has by now
    fn write(
        &self,
        snapshot: &Snapshot,
        shard: &Shard,
        packet: &mut [u8],
        query: &Query,
        reply: &Reply<'_>,
        client: Client,
        decision: Decision,
        entry: &Entry,
        stale: Option<u32>,
        second: u32,
        limit: usize,
        outcome: Outcome,
    ) -> usize {
        if entry.leads_on() {
            let verdict = snapshot.filter.leads_to(snapshot.generation, client, decision, entry);
            if let Some(block) = snapshot.filter.block(verdict) {
                count_block(snapshot, shard, client.policy, verdict, Outcome::BlockedTarget);
                return block.write(packet, query, reply);
            }
        }
        // Counted when it is written: a fault before that counts as one, and once.
        let length = entry.write(packet, query, second, stale, limit, reply);
        shard.ended(outcome);
        length
    }
}

/// Cookies under a secret of this process: after a restart clients get new ones.
fn cookies() -> Cookies {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).expect("the system has random numbers");
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32);
    Cookies::new(secret, unix.wrapping_sub(Clock.now().seconds()))
}

/// The largest answer: what the client says over UDP, but never more than we
/// send in one datagram; the length prefix over TCP.
#[inline]
fn limit_of(query: &Query, transport: Transport, payload: u16, room: usize) -> usize {
    let limit = match (transport, query.edns) {
        (Transport::Udp, Some(edns)) => edns.payload.min(payload),
        (Transport::Udp, None) => 512,
        _ => u16::MAX,
    };
    usize::from(limit).min(room)
}

#[inline]
fn count_block(snapshot: &Snapshot, shard: &Shard, hotspot: usize, decision: Decision, outcome: Outcome) {
    shard.ended(outcome);
    let category = if let Decision::Listed(category, _) = decision { category } else { snapshot.counters.len() };
    snapshot.hits.count(Hit { hotspot, category });
    shard.blocked(if let Decision::Listed(category, _) = decision { snapshot.counters[category] } else { DENIED });
}

/// An answer without records.
fn short(packet: &mut [u8], query: &Query, code: u8, reply: &Reply<'_>, errors: &[u8]) -> usize {
    Answer::new(packet, query, code).finish(query, reply, 0, errors)
}

fn refused(shard: &Shard, packet: &mut [u8], refusal: Refusal, query: &Query, reply: &Reply<'_>) -> Verdict {
    let length = match refusal {
        Refusal::Silence => {
            shard.ended(Outcome::Ignored);
            return Verdict::Drop;
        }
        Refusal::Code(code) => refuse(packet, code),
        // Extended response code 16: one in the OPT record, zero in the header.
        Refusal::BadVersion => Answer::new(packet, query, rcode::NOERROR).finish(query, reply, 1, &[]),
    };
    shard.ended(Outcome::Malformed);
    Verdict::Send(length)
}

/// Answers to what this resolver does not do: zone transfers, classes other
/// than IN, types that are no questions. CHAOS names where configured.
#[inline]
fn unsupported(snapshot: &Snapshot, packet: &mut [u8], query: &Query, reply: &Reply<'_>) -> Option<usize> {
    let errors = &snapshot.errors.not_supported;
    match (query.qclass, query.qtype) {
        (class::IN, rtype::AXFR | rtype::IXFR) => Some(short(packet, query, rcode::REFUSED, reply, errors)),
        (class::IN, 0 | rtype::OPT | rtype::MAILA | rtype::MAILB | 249 | 250) => {
            Some(short(packet, query, rcode::NOTIMP, reply, errors))
        }
        (class::IN, _) => None,
        (class::CH, _) => snapshot
            .local
            .chaos(packet, query, reply)
            .or_else(|| Some(short(packet, query, rcode::REFUSED, reply, errors))),
        _ => Some(short(packet, query, rcode::REFUSED, reply, errors)),
    }
}
