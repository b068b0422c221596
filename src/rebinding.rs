//! Private addresses in answers to public names are taken out.
//!
//! A page from outside that makes its own name point to 192.168.1.1 can use a
//! visitor's browser against the router behind it (DNS rebinding). Names that
//! may point inside, such as the captive portal, are named in the
//! configuration and never come here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::answer::soa;
use crate::entry::Target;
use crate::rewrite;
use crate::wire::{self, Malformed, Record, Section, WireName, flag, rtype};

/// Seconds for which an answer is kept that had private addresses only.
const EMPTIED_TTL: u32 = 60;

/// Whether an address belongs to the host or to a network behind a router
/// (RFC 1122, 1918, 3927, 4193, 4291, 6598).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => private_v4(ip),
        IpAddr::V6(ip) => {
            let first = ip.segments()[0];
            // IPv4 inside IPv6: mapped, compatible, NAT64 (RFC 6052), 6to4.
            let octets = ip.octets();
            let inner = |at: usize| Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3]);
            let mapped = match ip.segments() {
                [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => private_v4(inner(12)),
                [0x2002, ..] => private_v4(inner(2)),
                _ => false,
            };
            mapped || ip.is_unspecified() || ip.is_loopback() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}

fn private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 0 || ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
}

/// The message without the records of its answer and additional sections that
/// hold a private address or a private address hint.
///
/// A message that holds one and cannot be written anew comes back empty, which
/// no later step takes for an answer: a broken record in it must not save the
/// private one.
pub fn strip(message: Vec<u8>, question_end: usize) -> Vec<u8> {
    let mut records = wire::records(&message, question_end);
    if !records.any(|record| record.is_ok_and(|record| is_private_record(&message, &record))) {
        return message;
    }
    rebuild(&message, question_end).unwrap_or_default()
}

/// Writes the message anew without the private records.
fn rebuild(message: &[u8], question_end: usize) -> Result<Vec<u8>, Malformed> {
    let mut out = message[..question_end].to_vec();
    let mut counts = [0u16; 3];
    let stays = |record: &Record| !is_private_record(message, record);
    // Answers that stay, or the SOA of a negative answer.
    let is_answer = |record: &Record| match record.section {
        Section::Answer => stays(record),
        Section::Authority => record.rtype == rtype::SOA,
        Section::Additional => false,
    };
    let had_answers = message[6..8] != [0, 0];
    if had_answers && !wire::records(message, question_end).flatten().any(|record| is_answer(&record)) {
        // Nothing is left: without an SOA it could not be kept, and every
        // question would go to an upstream again.
        out.extend_from_slice(&soa(EMPTIED_TTL));
        counts[1] += 1;
    }
    let mut out = rewrite::append(message, question_end, out, counts, stays)?;
    // AD would say that this is what the zone holds (RFC 4035 section 3.2.3).
    out[3] &= !(flag::AD as u8);
    Ok(out)
}

fn is_private_record(message: &[u8], record: &Record) -> bool {
    if !matches!(record.section, Section::Answer | Section::Additional) {
        return false;
    }
    let data = &message[record.data..record.end];
    match record.rtype {
        rtype::A => <[u8; 4]>::try_from(data).is_ok_and(|ip| is_private(IpAddr::from(ip))),
        rtype::AAAA => <[u8; 16]>::try_from(data).is_ok_and(|ip| is_private(Ipv6Addr::from(ip).into())),
        rtype::SVCB | rtype::HTTPS => {
            let mut private = false;
            let mut name = WireName::ROOT;
            let mut look = |target: Target<'_>| private |= matches!(target, Target::Address(ip) if is_private(ip));
            let read = crate::entry::service(message, record, &mut name, &mut look);
            read.is_err() || private
        }
        _ => false,
    }
}
