//! Whether an upstream's answer is what the owner of the name signed (RFC 4033
//! to 4035, 5155, 6840).
//!
//! | file | what it does |
//! |---|---|
//! | `anchors.rs` | where trust begins |
//! | `sets.rs` | a message as sets of records with their signatures |
//! | `signature.rs` | keys, and what they signed |
//! | `denial.rs`, `hashed.rs` | what does not exist, by NSEC and NSEC3 |
//! | `chain.rs` | from an anchor to the keys of a zone, and the state of every name |
//! | `fault.rs`, `work.rs` | why something is not valid, and how much may be done to find out |
//! | `judge.rs` | one answer, along its aliases to the end |
//! | `names.rs` | names as DNSSEC compares them |
//!
//! The validator of the crate `domain` (0.12.3) was tried first: it takes zones of
//! algorithms 14 and 15 for unsigned, knows neither negative trust anchors nor most
//! of the extended errors, and did not pass all of the tests here.
//!
//! Everything happens while an answer is fetched: what is in memory has been
//! judged, and costs a hit nothing.

mod anchors;
mod chain;
mod denial;
mod fault;
mod hashed;
mod judge;
mod names;
mod sets;
mod signature;
mod work;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::{Config, Validate};
use crate::edns::Asked;
use crate::query::{Edns, Query};
use crate::rewrite;
use crate::upstream::{Failure, Upstreams};
use crate::wire::{HEADER, Malformed, Record, WireName, flag, rcode, rtype};

use anchors::Anchors;
use chain::{Chain, Known};
use judge::{Case, Verdict};

pub use fault::Fault;
use work::Work;

/// Seconds for which it is remembered that an answer was bogus: long enough that
/// a broken zone costs little, short enough that its mending is seen soon (RFC
/// 4035 section 4.7; RFC 9520 allows five minutes).
pub const BOGUS_TTL: u32 = 30;
/// Seconds between two looks at whether upstreams pass signatures on.
const LOOK_AGAIN: u64 = 60;
/// The state of an answer, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum State {
    /// Signed all the way.
    Secure,
    /// From a zone that is proven to be unsigned.
    Insecure,
    /// Not what the owner signed.
    Bogus,
    /// It could not be found out.
    Indeterminate,
}

impl State {
    /// All states with their label.
    pub const ALL: [(State, &'static str); 4] = [
        (State::Secure, "secure"),
        (State::Insecure, "insecure"),
        (State::Bogus, "bogus"),
        (State::Indeterminate, "indeterminate"),
    ];
}

/// What becomes of an upstream's answer.
#[derive(Debug)]
pub enum Judged {
    /// It is passed on.
    Passed {
        /// The message, with AD as it has been judged, and TTLs within what the
        /// signatures allow.
        message: Vec<u8>,
        /// Signed all the way: AD is set.
        secure: bool,
        /// What there is to say about it.
        remark: Option<Fault>,
    },
    /// SERVFAIL: it is not what the owner of the name signed.
    Bogus(Fault),
    /// SERVFAIL: what is needed to judge it could not be had.
    Unknown(Failure),
}

/// Judges answers. One lives as long as the settings that it was made from.
pub struct Validator {
    mode: Validate,
    chain: Chain,
    /// An upstream has shown the signed keys of the root.
    proven: AtomicBool,
    /// It has been tried at least once.
    tried: AtomicBool,
    counts: [AtomicU64; State::ALL.len()],
}

impl Validator {
    /// As the configuration wants it.
    ///
    /// # Errors
    /// The trust anchors cannot be used; a sentence.
    pub fn new(config: &Config, upstreams: Upstreams) -> Result<Self, String> {
        let dnssec = &config.dnssec;
        let anchors = dnssec.trust_anchors.as_deref().map_or_else(|| Ok(Anchors::shipped()), read_anchors)?;
        // A zone that upstreams answer though the world says there is none is
        // not in the world's chain of trust.
        let negative = dnssec.negative_trust_anchors.iter().chain(&config.local.forward);
        let negative = negative.map(|name| name.as_wire().into()).collect();
        Ok(Validator {
            mode: dnssec.validate,
            chain: Chain::new(anchors, negative, upstreams),
            proven: AtomicBool::new(false),
            tried: AtomicBool::new(false),
            counts: Default::default(),
        })
    }

    /// Keeps what `old` has learned of the upstreams.
    pub fn after(self, old: &Validator) -> Self {
        // That upstreams pass signatures on is a matter of theirs, not of what
        // is trusted: a reload must not begin anew with believing everything.
        self.proven.store(old.proven.load(Relaxed), Relaxed);
        self.tried.store(old.tried.load(Relaxed), Relaxed);
        for (mine, theirs) in self.counts.iter().zip(&old.counts) {
            mine.store(theirs.load(Relaxed), Relaxed);
        }
        self
    }

    /// Whether answers are judged. In `auto` that begins with the first upstream
    /// that shows the signed root, and never ends: an attacker who can strip
    /// signatures later gains nothing by it, one who can at the very start does,
    /// which is what `strict` excludes. A machine that starts without the time
    /// begins with the first right clock, for which it may need names.
    pub fn is_active(&self) -> bool {
        match self.mode {
            Validate::Off => false,
            Validate::Auto => self.proven.load(Relaxed),
            Validate::Strict => true,
        }
    }

    /// What an operator should look after, as a sentence. That `auto` finds no
    /// signatures is none: it is what it is for.
    pub fn problem(&self) -> Option<&'static str> {
        self.missing().filter(|_| self.mode == Validate::Strict)
    }

    /// Whether answers are judged, in words.
    pub fn words(&self) -> &'static str {
        match (self.mode, self.proven.load(Relaxed)) {
            (Validate::Off, _) => "off",
            (_, true) => "on",
            (_, false) => self.missing().unwrap_or("not known yet"),
        }
    }

    /// Why nothing can be judged.
    fn missing(&self) -> Option<&'static str> {
        if self.proven.load(Relaxed) || !self.tried.load(Relaxed) {
            return None;
        }
        match self.mode {
            Validate::Off => None,
            Validate::Auto => Some(
                "DNSSEC: answers are not validated, since no upstream shows the signed root; it strips signatures, does not answer, or the clock of this machine is wrong",
            ),
            Validate::Strict => Some(
                "DNSSEC: nothing can be answered, since no upstream shows the signed root; it strips signatures, does not answer, or the clock of this machine is wrong",
            ),
        }
    }

    /// Answers that had this state.
    pub fn count(&self, state: State) -> u64 {
        self.counts[state as usize].load(Relaxed)
    }

    /// Looks whether upstreams pass signatures on, unless that is known. `true`
    /// if this look is the one that found it.
    pub async fn look(&self) -> bool {
        if self.mode == Validate::Off || self.proven.load(Relaxed) {
            return false;
        }
        let anchor = self.chain.anchors.first();
        let signed = matches!(self.chain.look_again(anchor, &mut Work::new()).await, Known::Secure(_));
        let first = !self.tried.swap(true, Relaxed);
        match (signed, self.missing()) {
            (true, _) => tracing::info!("an upstream shows the signed root: answers are validated from now on"),
            (false, Some(problem)) if first => tracing::warn!("{problem}"),
            _ => {}
        }
        signed && !self.proven.swap(true, Relaxed)
    }

    /// Looks once, and every minute until upstreams pass signatures on or other
    /// settings are in force.
    pub async fn watch(&self, in_force: impl Fn() -> bool, mut found: impl FnMut()) {
        while self.mode != Validate::Off && !self.proven.load(Relaxed) && in_force() {
            if self.look().await {
                found();
            }
            tokio::time::sleep(Duration::from_secs(LOOK_AGAIN)).await;
        }
    }

    /// Judges an answer to `query`, for which upstreams were asked with DO and
    /// CD set, within `patience`.
    pub async fn judge(&self, message: Vec<u8>, query: &Query, patience: Duration) -> Judged {
        let code = message.get(3).map_or(rcode::SERVFAIL, |octet| octet & 0x0f);
        if !matches!(code, rcode::NOERROR | rcode::NXDOMAIN) || message.len() <= HEADER {
            // It says that something failed, which nobody signs; records have no
            // place in it.
            let bare = rewrite::without(&message, query.question_end, |record| record.rtype == rtype::OPT);
            let message = without_ad(bare.unwrap_or(message));
            return Judged::Passed { message, secure: false, remark: None };
        }
        let (state, judged) = match self.verdict(&message, code, query, patience).await {
            Verdict::Secure(good) => (State::Secure, self.secure(message, query, &good)),
            Verdict::Insecure(remark) => {
                (State::Insecure, Judged::Passed { message: without_ad(message), secure: false, remark })
            }
            Verdict::Bogus(fault) => (State::Bogus, Judged::Bogus(fault)),
            Verdict::Unknown(failure) => (State::Indeterminate, Judged::Unknown(failure)),
        };
        self.counts[state as usize].fetch_add(1, Relaxed);
        judged
    }

    async fn verdict(&self, message: &[u8], code: u8, query: &Query, patience: Duration) -> Verdict {
        let Ok(sets) = sets::read(message, query.question_end) else { return Verdict::Unknown(Failure::Malformed) };
        let (chain, name, qtype) = (&self.chain, query.name.as_wire(), query.qtype);
        let case = Case { chain, sets: &sets, name, qtype, code, work: &mut Work::new() };
        match tokio::time::timeout(patience, case.judge()).await {
            Ok(Verdict::Secure(good)) => Verdict::Secure(places(&sets, &good)),
            Ok(verdict) => verdict,
            Err(_) => Verdict::Unknown(Failure::Timeout),
        }
    }

    /// A secure answer holds what was proven and nothing else, for no longer
    /// than its signatures allow (RFC 4035 section 5.3.3). What upstreams add of
    /// their own stays out: AD would vouch for it.
    fn secure(&self, mut message: Vec<u8>, query: &Query, good: &[(usize, u32)]) -> Judged {
        let kept: HashMap<usize, u32> = good.iter().copied().collect();
        let mut stays_whole = true;
        let records: Vec<Record> = crate::wire::records(&message, query.question_end).flatten().collect();
        for record in &records {
            match kept.get(&record.owner) {
                Some(ttl) => {
                    let ttl = record.ttl.min(*ttl);
                    message[record.ttl_at..record.ttl_at + 4].copy_from_slice(&ttl.to_be_bytes());
                }
                None => stays_whole &= record.rtype == rtype::OPT,
            }
        }
        let message = match stays_whole {
            true => Ok(message),
            false => rewrite::without(&message, query.question_end, |record| {
                record.rtype == rtype::OPT || kept.contains_key(&record.owner)
            }),
        };
        match message {
            Ok(mut message) => {
                message[3] |= flag::AD as u8;
                Judged::Passed { message, secure: true, remark: None }
            }
            Err(Malformed) => Judged::Unknown(Failure::Malformed),
        }
    }
}

/// Offsets of the records of good sets, with the seconds for each.
fn places(sets: &[sets::Set], good: &[(usize, u32)]) -> Vec<(usize, u32)> {
    good.iter().flat_map(|(index, ttl)| sets[*index].places.iter().map(|place| (*place, *ttl))).collect()
}

/// The message without AD: nobody here vouches for it.
pub fn without_ad(mut message: Vec<u8>) -> Vec<u8> {
    if let Some(octet) = message.get_mut(3) {
        *octet &= !(flag::AD as u8);
    }
    message
}

/// The message without the records of DNSSEC that a client with DO=0 did not ask
/// for (RFC 4035 section 3.2.1).
///
/// # Errors
/// [`Malformed`] if a record does not fit the message.
pub fn plain(message: Vec<u8>, query: &Query) -> Result<Vec<u8>, Malformed> {
    let stays = |record: &Record| {
        !matches!(record.rtype, rtype::RRSIG | rtype::NSEC | rtype::NSEC3)
            || record.rtype == query.qtype
            || query.qtype == rtype::ANY
    };
    let mut records = crate::wire::records(&message, query.question_end).flatten();
    if records.all(|record| stays(&record)) {
        return Ok(message);
    }
    rewrite::without(&message, query.question_end, stays)
}

/// The question as upstreams are asked it when the answer is judged here: with
/// signatures, and without a judgement of theirs (RFC 6840 section 5.9).
pub fn asked(query: &Query) -> Query {
    let edns = Edns { payload: 1232, dnssec_ok: true, asked: Asked::default() };
    Query { flags: query.flags | flag::CD, edns: Some(edns), ..query.clone() }
}

/// A question of our own.
fn question(name: &[u8], qtype: u16) -> Query {
    let mut wire = WireName::ROOT;
    let read = wire.read_plain(name, 0);
    debug_assert!(read.is_ok(), "names here come from messages that were read");
    let mut query = Query { flags: flag::RD, qtype, qclass: crate::wire::class::IN, ..Query::BLANK };
    query.question_end = HEADER + wire.as_wire().len() + 4;
    query.name = wire;
    asked(&query)
}

/// Seconds by the wall clock, which signatures are dated by; a serial number.
fn unix() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32)
}

fn read_anchors(file: &Path) -> Result<Anchors, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("trust anchors in {} cannot be read: {error}", file.display()))?;
    Anchors::read(&text).map_err(|what| format!("trust anchors in {}: {what}", file.display()))
}
