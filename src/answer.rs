//! Writing answers over the question they answer.
//!
//! The client's packet is the buffer: its id, its question and its letter case
//! stay in place, the header is patched, records are put behind the question.

use crate::edns::{self, Reply};
use crate::query::Query;
use crate::wire::{HEADER, class, flag, put_u16, rtype};

/// Room for extended errors: one, with the texts this resolver knows or an
/// upstream sent.
pub const ERRORS_ROOM: usize = 4 + 2 + 96;
/// Room that the OPT record of an answer needs at most, padding left aside.
pub const OPT_ROOM: usize = 11 + ERRORS_ROOM + edns::ROOM;

/// An answer being written over the packet of its question.
pub struct Answer<'a> {
    packet: &'a mut [u8],
    at: usize,
    flags: u16,
    counts: [u16; 3],
}

impl<'a> Answer<'a> {
    /// Starts an answer behind the question. `packet` is the whole buffer, not
    /// only the question, and has to hold the largest answer that is written.
    #[inline]
    pub fn new(packet: &'a mut [u8], query: &Query, rcode: u8) -> Self {
        let kept = query.flags & (flag::RD | flag::CD);
        let flags = flag::QR | flag::RA | kept | u16::from(rcode);
        Answer { packet, at: query.question_end, flags, counts: [0; 3] }
    }

    /// Sets header bits (AD, TC, AA).
    #[inline]
    pub fn set(&mut self, bits: u16) -> &mut Self {
        self.flags |= bits;
        self
    }

    /// Appends finished records; `counts` are those of the answer, authority
    /// and additional section they add to. The caller keeps sections in order.
    #[inline]
    pub fn records(&mut self, bytes: &[u8], counts: [u16; 3]) -> &mut Self {
        self.packet[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            *sum += count;
        }
        self
    }

    /// The records written behind the question, to patch their TTLs.
    #[inline]
    pub fn written(&mut self, from: usize) -> &mut [u8] {
        &mut self.packet[from..self.at]
    }

    /// Ends the answer with an OPT record if the question had one (RFC 6891
    /// section 7) and returns its length. `extended_rcode` are the upper eight
    /// bits of a response code; `errors` are EDE options in wire form.
    #[inline]
    pub fn finish(mut self, query: &Query, reply: &Reply<'_>, extended_rcode: u8, errors: &[u8]) -> usize {
        if let Some(edns) = query.edns {
            let at = self.at;
            let flags = if edns.dnssec_ok { 0x80 } else { 0 };
            let [high, low] = reply.payload.to_be_bytes();
            let [_, kind] = rtype::OPT.to_be_bytes();
            let fixed = [0, 0, kind, high, low, extended_rcode, 0, flags, 0];
            self.packet[at..at + 9].copy_from_slice(&fixed);
            let options = at + 11;
            self.packet[options..options + errors.len()].copy_from_slice(errors);
            self.at = reply.write(self.packet, options + errors.len());
            put_u16(self.packet, at + 9, (self.at - options) as u16);
            self.counts[2] += 1;
        }
        put_u16(self.packet, 2, self.flags);
        put_u16(self.packet, 4, 1);
        for (at, count) in [6, 8, 10].into_iter().zip(self.counts) {
            put_u16(self.packet, at, count);
        }
        self.at
    }
}

/// A header without a question: what a packet gets that could not be read.
/// `packet` has at least the octets of a header.
pub fn refuse(packet: &mut [u8], rcode: u8) -> usize {
    let kept = u16::from_be_bytes([packet[2], packet[3]]) & (flag::OPCODE | flag::RD);
    put_u16(packet, 2, flag::QR | kept | u16::from(rcode));
    packet[4..HEADER].fill(0);
    HEADER
}

/// An EDE option in wire form (RFC 8914 section 2).
pub fn ede_option(code: u16, text: &str) -> Vec<u8> {
    let mut option = Vec::with_capacity(6 + text.len());
    option.extend_from_slice(&crate::wire::OPTION_EDE.to_be_bytes());
    option.extend_from_slice(&(2 + text.len() as u16).to_be_bytes());
    option.extend_from_slice(&code.to_be_bytes());
    option.extend_from_slice(text.as_bytes());
    option
}

/// A synthetic SOA whose owner is the name asked for, as a compression pointer
/// to the question.
///
/// A negative answer needs one, so that it is cached for our time and not for
/// the client's (RFC 2308 section 5), and stub resolvers want its owner to be
/// the name or above it. The name server it names does not exist (RFC 6761).
pub fn soa(ttl: u32) -> Vec<u8> {
    // `invalid` is written out twice: a pointer would need the offset at which
    // the record will stand in its message.
    let mut data = b"\x0dfriendly-wifi\x07invalid\x00\x06nobody\x07invalid\x00".to_vec();
    for number in [1, 3600, 600, 86400, ttl] {
        data.extend_from_slice(&u32::to_be_bytes(number));
    }
    record(rtype::SOA, ttl, &data)
}

/// A record of class IN whose owner is the name asked for.
pub fn record(rtype: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    record_of(class::IN, rtype, ttl, data)
}

/// As [`record`], for any class.
pub fn record_of(class: u16, rtype: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xc0, HEADER as u8];
    bytes.extend_from_slice(&rtype.to_be_bytes());
    bytes.extend_from_slice(&class.to_be_bytes());
    bytes.extend_from_slice(&ttl.to_be_bytes());
    bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}
