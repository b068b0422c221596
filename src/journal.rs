//! What is kept of a query: that there was one, and how it ended.
//!
//! Nothing here takes a name or an address, so nothing here can leak one: the
//! only argument is an [`Outcome`] or a category's index. Counters of a worker
//! lie in cache lines of their own and are added up when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How a packet ended. Every packet that arrives ends in exactly one of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Outcome {
    /// Not a question, or too short: no answer.
    Ignored,
    /// FORMERR, NOTIMP or BADVERS.
    Malformed,
    /// REFUSED: not one of our clients.
    Foreign,
    /// REFUSED or NOTIMP: a type or class that is not served.
    Unsupported,
    /// Over a rate limit, answered with TC.
    LimitedSlip,
    /// Over a rate limit, not answered (UDP) or REFUSED (TCP).
    LimitedDrop,
    /// Answered here: signal names, special-use names, CHAOS.
    Local,
    /// Blocked by the name asked for.
    BlockedName,
    /// Blocked by what the answer leads to.
    BlockedTarget,
    /// Answered from memory.
    CacheHit,
    /// Answered from memory after its time, because no upstream answered.
    Stale,
    /// Answered by an upstream.
    Resolved,
    /// SERVFAIL: no upstream answered, or one said so.
    Failed,
    /// SERVFAIL at once: too many questions are waiting for upstreams.
    Overloaded,
    /// SERVFAIL: a list that is followed is not here yet.
    Incomplete,
    /// Received while the process stood still, too old to be answered.
    Outdated,
    /// A fault of ours: the question was lost, the process lives.
    Fault,
}

impl Outcome {
    /// All outcomes with the label they have in metrics.
    pub const ALL: [(Outcome, &'static str); 17] = [
        (Outcome::Ignored, "ignored"),
        (Outcome::Malformed, "malformed"),
        (Outcome::Foreign, "foreign"),
        (Outcome::Unsupported, "unsupported"),
        (Outcome::LimitedSlip, "limited_slip"),
        (Outcome::LimitedDrop, "limited_drop"),
        (Outcome::Local, "local"),
        (Outcome::BlockedName, "blocked_name"),
        (Outcome::BlockedTarget, "blocked_target"),
        (Outcome::CacheHit, "cache_hit"),
        (Outcome::Stale, "stale"),
        (Outcome::Resolved, "resolved"),
        (Outcome::Failed, "failed"),
        (Outcome::Overloaded, "overloaded"),
        (Outcome::Incomplete, "incomplete"),
        (Outcome::Outdated, "outdated"),
        (Outcome::Fault, "fault"),
    ];
}

/// Counter for names that a policy itself denies.
pub const DENIED: usize = 128;

/// Counters of one worker.
#[repr(align(128))]
pub struct Shard {
    received: [AtomicU64; Transport::ALL.len()],
    outcomes: [AtomicU64; Outcome::ALL.len()],
    blocked: [AtomicU64; DENIED + 1],
}

/// How a packet came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A message on a connection.
    Tcp,
    /// The same over TLS (DoT, RFC 7858).
    Tls,
    /// The content of an HTTPS exchange (DoH, RFC 8484).
    Https,
}

impl Transport {
    /// All transports with their label.
    pub const ALL: [(Transport, &'static str); 4] =
        [(Transport::Udp, "udp"), (Transport::Tcp, "tcp"), (Transport::Tls, "dot"), (Transport::Https, "doh")];

    /// Whether messages follow each other on a connection that the resolver may
    /// close when it is silent.
    #[inline]
    pub fn is_stream(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls)
    }

    /// Whether nobody on the way can read it.
    #[inline]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Transport::Tls | Transport::Https)
    }
}

impl Shard {
    fn new() -> Self {
        Shard {
            received: Default::default(),
            outcomes: Default::default(),
            blocked: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// A packet arrived.
    #[inline]
    pub fn received(&self, transport: Transport) {
        self.received[transport as usize].fetch_add(1, Relaxed);
    }

    /// A packet ended.
    #[inline]
    pub fn ended(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    /// A question was blocked: by a category's counter, see
    /// [`Journal::counters`], or [`DENIED`].
    #[inline]
    pub fn blocked(&self, counter: usize) {
        self.blocked[counter].fetch_add(1, Relaxed);
    }
}

/// All counters.
pub struct Journal {
    shards: Vec<Shard>,
    /// Names of all categories that there have been, by their counter.
    categories: Mutex<Vec<String>>,
}

impl Journal {
    /// One shard for each worker.
    pub fn new(shards: usize) -> Self {
        Journal { shards: (0..shards).map(|_| Shard::new()).collect(), categories: Mutex::default() }
    }

    /// A worker's own shard.
    pub fn shard(&self, worker: usize) -> &Shard {
        &self.shards[worker % self.shards.len()]
    }

    /// The shard of everything that is not a worker.
    pub fn shared(&self) -> &Shard {
        self.shard(self.shards.len() - 1)
    }

    fn sum(&self, counter: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards.iter().map(|shard| counter(shard).load(Relaxed)).sum()
    }

    /// Packets that arrived.
    pub fn received(&self, transport: Transport) -> u64 {
        self.sum(|shard| &shard.received[transport as usize])
    }

    /// Packets that ended so.
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.sum(|shard| &shard.outcomes[outcome as usize])
    }

    /// The counters of these categories. A category keeps its own over reloads,
    /// wherever it moves in the configuration; after 128 different ones, the
    /// newer share the last.
    pub fn counters<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<usize> {
        let mut known = self.categories.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = |name: &str| {
            let place = known.iter().position(|known| known == name);
            place.unwrap_or_else(|| {
                if known.len() < DENIED {
                    known.push(name.into());
                }
                known.len() - 1
            })
        };
        names.map(counter).collect()
    }

    /// Questions blocked with this counter.
    pub fn blocked(&self, counter: usize) -> u64 {
        self.sum(|shard| &shard.blocked[counter])
    }
}
