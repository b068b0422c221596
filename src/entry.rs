//! One upstream answer, kept in wire form so that a hit is a copy.
//!
//! On the way out only what stands behind the question is copied: the question
//! itself is in the client's packet already, at the same offset and in the
//! client's letter case, so compression pointers into it stay right. The OPT
//! record is taken off (it belongs to one hop); its extended errors are kept
//! beside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::answer::{Answer, ERRORS_ROOM, ede_option};
use crate::dnssec::{BOGUS_TTL, Fault};
use crate::edns::Reply;
use crate::policy::Categories;
use crate::query::Query;
use crate::wire::{self, HEADER, Malformed, Record, Section, WireName, flag, rcode, rtype, u16_at, u32_at};

/// Limits on the times that upstreams give, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Ttls {
    /// Nothing is kept for less, unless its TTL is 0.
    pub min: u32,
    /// Nothing is kept for longer.
    pub max: u32,
    /// The same for names and types that do not exist (RFC 2308 section 5).
    pub max_negative: u32,
}

/// How long a failure is remembered (RFC 9520 section 3.2: 1 to 300 seconds).
const FAILURE_TTL: u32 = 5;

/// An answer in memory. Times are whole seconds of the resolver's own clock,
/// which starts at 0 with the program and never jumps.
pub struct Entry {
    /// A whole message with a canonical question, then EDE options.
    bytes: Box<[u8]>,
    /// Offsets of TTL fields in the message.
    ttl_offsets: Box<[u16]>,
    question_end: u16,
    message_end: u16,
    counts: [u16; 3],
    qtype: u16,
    /// See [`kind_of`]: what changes the answer besides name and type.
    kind: u8,
    /// AD and the response code as the upstream sent them.
    flags: u16,
    stored: u32,
    ttl: u32,
    /// There are names or addresses in it that the filter has to see.
    leads_on: bool,
    /// A failure because the answer was not what the owner of the name signed.
    bogus: bool,
    /// Categories that list what this leads to, valid for one list generation.
    touched: AtomicU64,
    generation: AtomicU32,
    /// Second after which the next refresh may start; keeps a crowd of hits
    /// from starting a crowd of refreshes.
    refresh_after: AtomicU32,
}

/// DO, CD, and what answers in place of the name, as a small number.
#[inline]
pub fn kind_of(query: &Query) -> u8 {
    u8::from(query.dnssec_ok()) | u8::from(query.checking_disabled()) << 1 | query.stand_in << 2
}

/// What an answer leads to besides the name asked for.
pub enum Target<'a> {
    /// A CNAME, DNAME, SVCB or HTTPS target.
    Name(&'a WireName),
    /// An address, or an address hint of SVCB and HTTPS.
    Address(IpAddr),
}

impl Entry {
    /// Takes over an upstream's message, whose id and question have been
    /// checked against `query`.
    ///
    /// # Errors
    /// [`Malformed`] if a record does not fit the message; such an answer is
    /// neither cached nor passed on.
    pub fn from_upstream(message: &[u8], query: &Query, ttls: Ttls, now: u32) -> Result<Self, Malformed> {
        let start = query.question_end;
        let mut flags = u16_at(message, 2).ok_or(Malformed)?;
        let mut counts = [6, 8, 10].map(|at| u16_at(message, at).unwrap_or(0));
        let (mut end, mut offsets) = (start, Vec::new());
        let (mut lowest, mut negative, mut errors) = (u32::MAX, None, Vec::new());
        let (mut leads_on, mut opt_seen, mut additional) = (false, false, None);
        let mut name = WireName::ROOT;
        for record in wire::records(message, start) {
            let record = record?;
            if record.section == Section::Additional {
                additional.get_or_insert((record.owner, offsets.len()));
            }
            if record.rtype == rtype::OPT {
                if record.section != Section::Additional || opt_seen {
                    return Err(Malformed);
                }
                // Upper bits of the code say BADVERS, BADCOOKIE and the like:
                // a matter between us and the upstream.
                if record.ttl >> 24 != 0 {
                    flags = flags & !flag::RCODE | u16::from(rcode::SERVFAIL);
                }
                errors = extended_errors(&message[record.data..record.end])?;
                opt_seen = true;
                counts[2] -= 1;
                continue;
            }
            if opt_seen {
                // Records behind the OPT cannot move up: pointers may lead
                // into them. They are additional data, which may be left out.
                let (cut, kept) = additional.unwrap_or((end, offsets.len()));
                (end, counts[2]) = (cut, 0);
                offsets.truncate(kept);
                break;
            }
            end = record.end;
            // A TTL with the top bit set is 0 (RFC 2181 section 8).
            let ttl = if record.ttl > i32::MAX as u32 { 0 } else { record.ttl };
            offsets.push((record.ttl_at as u16, ttl));
            match (record.section, record.rtype) {
                (Section::Answer, kind) => {
                    name.read(message, record.owner)?;
                    lowest = lowest.min(ttl);
                    leads_on |= matches!(
                        kind,
                        rtype::CNAME | rtype::DNAME | rtype::SVCB | rtype::HTTPS | rtype::A | rtype::AAAA
                    );
                }
                (Section::Authority, rtype::SOA) => {
                    let minimum = record.end.checked_sub(4).and_then(|at| u32_at(message, at));
                    negative = Some(minimum.unwrap_or(0).min(ttl));
                }
                _ => {}
            }
        }
        if message.len() > usize::from(u16::MAX) {
            return Err(Malformed);
        }
        targets(message, start, |_| ())?;
        let code = (flags & flag::RCODE) as u8;
        let positive = code == rcode::NOERROR && answers_type(message, query)?;
        let ttl = match code {
            _ if flags & flag::TC != 0 => 0,
            rcode::NOERROR if positive => clamp(lowest, ttls.min, ttls.max),
            // Without an SOA a negative answer has no time to live (RFC 2308
            // section 5); a CNAME in front may end it sooner.
            rcode::NOERROR | rcode::NXDOMAIN => {
                negative.map_or(0, |ttl| clamp(ttl.min(lowest), ttls.min, ttls.max_negative))
            }
            rcode::SERVFAIL => FAILURE_TTL,
            _ => 0,
        };
        let most = if positive { ttls.max } else { ttls.max_negative };
        let mut bytes = question(query, end + errors.len());
        bytes.extend_from_slice(message.get(start..end).ok_or(Malformed)?);
        for (place, count) in [6, 8, 10].into_iter().zip(counts) {
            wire::put_u16(&mut bytes, place, count);
        }
        for (at, record_ttl) in &offsets {
            let shown = clamp(*record_ttl, ttls.min, most);
            bytes[usize::from(*at)..usize::from(*at) + 4].copy_from_slice(&shown.to_be_bytes());
        }
        let message_end = bytes.len() as u16;
        bytes.extend_from_slice(&errors);
        Ok(Entry {
            ttl_offsets: offsets.iter().map(|(at, _)| *at).collect(),
            message_end,
            counts,
            flags: flags & (flag::AD | flag::RCODE),
            ttl,
            leads_on,
            ..Entry::bare(query, bytes, now)
        })
    }

    /// A SERVFAIL of our own, remembered like one of an upstream.
    pub fn failure(query: &Query, code: u16, text: &str, now: u32) -> Self {
        let mut bytes = question(query, 0);
        bytes.extend_from_slice(&ede_option(code, text));
        Entry::bare(query, bytes, now)
    }

    /// A SERVFAIL in place of an answer that is not what the owner of the name
    /// signed. An older answer is no better than none then.
    pub fn bogus(query: &Query, fault: Fault, now: u32) -> Self {
        Entry { ttl: BOGUS_TTL, bogus: true, ..Entry::failure(query, fault.code, fault.text, now) }
    }

    /// The same answer with one more extended error, if there is room for it.
    pub fn with_error(self, code: u16, text: &str) -> Self {
        let option = ede_option(code, text);
        let errors = self.bytes.len() - usize::from(self.message_end);
        if errors + option.len() > ERRORS_ROOM - 6 {
            return self;
        }
        Entry { bytes: [&self.bytes[..], &option].concat().into(), ..self }
    }

    /// A failure without records; `bytes` is a question and EDE options.
    fn bare(query: &Query, bytes: Vec<u8>, now: u32) -> Self {
        Entry {
            bytes: bytes.into(),
            ttl_offsets: Box::default(),
            question_end: query.question_end as u16,
            message_end: query.question_end as u16,
            counts: [0; 3],
            qtype: query.qtype,
            kind: kind_of(query),
            flags: u16::from(rcode::SERVFAIL),
            stored: now,
            ttl: FAILURE_TTL,
            leads_on: false,
            bogus: false,
            touched: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            refresh_after: AtomicU32::new(0),
        }
    }

    /// Whether this is the answer to `query`: the key of the cache is a hash.
    #[inline]
    pub fn answers(&self, query: &Query) -> bool {
        self.qtype == query.qtype
            && self.kind == kind_of(query)
            && usize::from(self.question_end) == query.question_end
            && &self.bytes[HEADER..query.question_end - 4] == query.name.as_wire()
    }

    /// Seconds until it has to be asked for again; 0 when that is now.
    #[inline]
    pub fn remaining(&self, now: u32) -> u32 {
        (self.stored + self.ttl).saturating_sub(now)
    }

    /// Whether it may be kept at all.
    pub fn is_cacheable(&self) -> bool {
        self.ttl > 0
    }

    /// Seconds since it ran out.
    pub fn expired_for(&self, now: u32) -> u32 {
        now.saturating_sub(self.stored + self.ttl)
    }

    /// Whether it says that something failed.
    #[inline]
    pub fn is_failure(&self) -> bool {
        !matches!((self.flags & flag::RCODE) as u8, rcode::NOERROR | rcode::NXDOMAIN)
    }

    /// Whether it failed because of what an upstream said, not for want of it.
    pub fn is_bogus(&self) -> bool {
        self.bogus
    }

    /// Response code.
    #[inline]
    pub fn rcode(&self) -> u8 {
        (self.flags & flag::RCODE) as u8
    }

    /// Whether the filter has to look at what it leads to.
    #[inline]
    pub fn leads_on(&self) -> bool {
        self.leads_on
    }

    /// Claims the refresh of this entry, for `pause` seconds.
    #[inline]
    pub fn claim_refresh(&self, now: u32, pause: u32) -> bool {
        let after = self.refresh_after.load(Relaxed);
        now >= after && self.refresh_after.compare_exchange(after, now + pause, Relaxed, Relaxed).is_ok()
    }

    /// Whether a tenth or less of its time is left (RFC-less common practice,
    /// as Unbound does), so that a popular name should be asked for again.
    #[inline]
    pub fn is_almost_over(&self, now: u32) -> bool {
        self.ttl >= 10 && self.remaining(now) <= self.ttl / 10
    }

    /// Categories that the targets touch, if known for this list generation.
    #[inline]
    pub fn touched(&self, generation: u32) -> Option<Categories> {
        // The mask is written before the generation, so the order of these two
        // loads makes a stale mask with a fresh generation impossible.
        let known = self.generation.load(std::sync::atomic::Ordering::Acquire) == generation;
        known.then(|| self.touched.load(Relaxed))
    }

    /// Remembers the categories that the targets touch.
    pub fn set_touched(&self, generation: u32, categories: Categories) {
        self.touched.store(categories, Relaxed);
        self.generation.store(generation, std::sync::atomic::Ordering::Release);
    }

    /// Octets in memory, for the bound of the cache.
    pub fn weight(&self) -> u64 {
        // Two heap blocks, the reference-counted struct, and the slots of the
        // cache's own tables, measured at some 100 octets an entry.
        (self.bytes.len() + 2 * self.ttl_offsets.len() + size_of::<Entry>() + 16 * 3 + 100) as u64
    }

    /// Calls `found` with everything that the answer leads to.
    pub fn each_target(&self, found: impl FnMut(Target<'_>)) {
        let message = &self.bytes[..usize::from(self.message_end)];
        targets(message, usize::from(self.question_end), found)
            .expect("walked without an error when it was taken over");
    }

    /// Writes the answer over the question and returns its length.
    ///
    /// `stale` is the TTL to give when the entry has run out (RFC 8767
    /// section 4), `limit` the largest answer the client takes; a longer one is
    /// cut to an empty one with TC set, because cutting between records shows
    /// half of a set.
    pub fn write(
        &self,
        packet: &mut [u8],
        query: &Query,
        now: u32,
        stale: Option<u32>,
        limit: usize,
        reply: &Reply<'_>,
    ) -> usize {
        let (from, end) = (usize::from(self.question_end), usize::from(self.message_end));
        let code = (self.flags & flag::RCODE) as u8;
        let ad = if query.wants_ad() && stale.is_none() { self.flags & flag::AD } else { 0 };
        let mut answer = Answer::new(packet, query, code);
        answer.set(ad);
        let mut stored_errors = &self.bytes[end..];
        let mut with_stale = [0u8; ERRORS_ROOM];
        if stale.is_some() {
            let code = if code == rcode::NXDOMAIN { wire::ede::STALE_NXDOMAIN } else { wire::ede::STALE_ANSWER };
            let fixed = [0, wire::OPTION_EDE as u8, 0, 2, 0, code as u8];
            with_stale[..6].copy_from_slice(&fixed);
            let room = stored_errors.len().min(ERRORS_ROOM - 6);
            let kept = if room == stored_errors.len() { room } else { 0 };
            with_stale[6..6 + kept].copy_from_slice(&stored_errors[..kept]);
            stored_errors = &with_stale[..6 + kept];
        }
        let opt = if query.edns.is_some() { 11 + stored_errors.len() + reply.length() } else { 0 };
        if end + opt > limit {
            answer.set(flag::TC);
            let errors = if from + opt > limit { &[] } else { stored_errors };
            return answer.finish(query, reply, 0, errors);
        }
        answer.records(&self.bytes[from..end], self.counts);
        let age = now - self.stored.min(now);
        let written = answer.written(from);
        for at in &self.ttl_offsets {
            let at = usize::from(*at) - from;
            let field = &mut written[at..at + 4];
            let ttl = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
            let left = stale.unwrap_or_else(|| ttl.saturating_sub(age));
            field.copy_from_slice(&left.to_be_bytes());
        }
        answer.finish(query, reply, 0, stored_errors)
    }
}

/// A header and the canonical question, with room for a message of `room`.
fn question(query: &Query, room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(room.max(query.question_end + 64));
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend_from_slice(query.name.as_wire());
    bytes.extend_from_slice(&query.qtype.to_be_bytes());
    bytes.extend_from_slice(&query.qclass.to_be_bytes());
    bytes
}

fn clamp(ttl: u32, min: u32, max: u32) -> u32 {
    // 0 means "do not keep": raising it would keep what is good for one moment.
    if ttl == 0 { 0 } else { ttl.clamp(min.min(max), max) }
}

/// Whether the answer section holds what was asked for (and not only a CNAME
/// that leads to nothing).
fn answers_type(message: &[u8], query: &Query) -> Result<bool, Malformed> {
    for record in wire::records(message, query.question_end) {
        let record = record?;
        if record.section != Section::Answer {
            break;
        }
        if record.rtype == query.qtype || query.qtype == rtype::ANY {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Calls `found` with everything that the answer section leads to.
///
/// # Errors
/// [`Malformed`] if a record of a type it reads is not what its type demands.
pub fn targets(message: &[u8], question_end: usize, mut found: impl FnMut(Target<'_>)) -> Result<(), Malformed> {
    let mut name = WireName::ROOT;
    for record in wire::records(message, question_end) {
        let record = record?;
        if record.section != Section::Answer {
            break;
        }
        let data = &message[record.data..record.end];
        match record.rtype {
            rtype::CNAME | rtype::DNAME => {
                if name.read(message, record.data)? != record.end {
                    return Err(Malformed);
                }
                found(Target::Name(&name));
            }
            rtype::A => found(Target::Address(IpAddr::V4(v4(data)?))),
            rtype::AAAA => found(Target::Address(IpAddr::V6(v6(data)?))),
            rtype::SVCB | rtype::HTTPS => service(message, &record, &mut name, &mut found)?,
            _ => {}
        }
    }
    Ok(())
}

/// SVCB and HTTPS data (RFC 9460 section 2.2): priority, target, parameters.
pub(crate) fn service(
    message: &[u8],
    record: &Record,
    name: &mut WireName,
    found: &mut impl FnMut(Target<'_>),
) -> Result<(), Malformed> {
    const IPV4_HINT: u16 = 4;
    const IPV6_HINT: u16 = 6;
    let mut at = name.read(message, record.data + 2)?;
    if at > record.end {
        return Err(Malformed);
    }
    if name.labels() > 0 {
        found(Target::Name(name));
    }
    while at < record.end {
        let key = u16_at(message, at).ok_or(Malformed)?;
        let length = usize::from(u16_at(message, at + 2).ok_or(Malformed)?);
        let (from, to) = (at + 4, at + 4 + length);
        if to > record.end {
            return Err(Malformed);
        }
        match key {
            IPV4_HINT => {
                for hint in message[from..to].chunks(4) {
                    found(Target::Address(IpAddr::V4(v4(hint)?)));
                }
            }
            IPV6_HINT => {
                for hint in message[from..to].chunks(16) {
                    found(Target::Address(IpAddr::V6(v6(hint)?)));
                }
            }
            _ => {}
        }
        at = to;
    }
    Ok(())
}

fn v4(data: &[u8]) -> Result<Ipv4Addr, Malformed> {
    <[u8; 4]>::try_from(data).map(Ipv4Addr::from).map_err(|_| Malformed)
}

fn v6(data: &[u8]) -> Result<Ipv6Addr, Malformed> {
    <[u8; 16]>::try_from(data).map(Ipv6Addr::from).map_err(|_| Malformed)
}

/// The extended errors among an upstream's options, in wire form, as far as
/// they fit the room that an answer has for them. All other options are
/// between us and the upstream.
fn extended_errors(mut options: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut errors = Vec::new();
    while !options.is_empty() {
        let code = u16_at(options, 0).ok_or(Malformed)?;
        let length = usize::from(u16_at(options, 2).ok_or(Malformed)?);
        let option = options.get(..4 + length).ok_or(Malformed)?;
        if code == wire::OPTION_EDE && length >= 2 {
            // The text is for people; the code is what counts.
            let whole = errors.len() + option.len() <= ERRORS_ROOM - 6;
            if whole {
                errors.extend_from_slice(option);
            } else if errors.len() + 6 <= ERRORS_ROOM - 6 {
                errors.extend_from_slice(&[0, wire::OPTION_EDE as u8, 0, 2]);
                errors.extend_from_slice(&option[4..6]);
            }
        }
        options = &options[4 + length..];
    }
    Ok(errors)
}

/// The part of a message that [`Entry::from_upstream`] checks first: an answer
/// to this very question.
pub fn is_answer_to(message: &[u8], id: u16, query: &Query) -> bool {
    let mut name = WireName::ROOT;
    u16_at(message, 0) == Some(id)
        && message.len() >= HEADER
        && message[2] & 0xf8 == 0x80
        && u16_at(message, 4) == Some(1)
        && name.read_plain(message, HEADER) == Ok(query.question_end - 4)
        && name.as_wire() == query.name.as_wire()
        && u16_at(message, query.question_end - 4) == Some(query.qtype)
        && u16_at(message, query.question_end - 2) == Some(query.qclass)
}
