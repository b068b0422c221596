//! What a client asked: one parsed question, or the reason why it is refused.

use crate::edns::Asked;
use crate::wire::{self, HEADER, Malformed, WireName, flag, rcode, rtype, u16_at};

/// One question of one client, read from its packet. The packet itself stays
/// where it is: answers are written over it.
#[derive(Clone)]
pub struct Query {
    /// Message id, to be returned as it came.
    pub id: u16,
    /// Second word of the header: RD, AD and CD matter.
    pub flags: u16,
    /// Canonical name; the letter case of the client stays in the packet.
    pub name: WireName,
    /// Type asked for.
    pub qtype: u16,
    /// Class asked for.
    pub qclass: u16,
    /// Offset behind the question section.
    pub question_end: usize,
    /// The client's OPT record, where it sent one.
    pub edns: Option<Edns>,
    /// What answers in its place, see [`crate::safe_search`]; 0 = nothing does.
    pub stand_in: u8,
}

/// What counts of a client's OPT record (RFC 6891 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Largest datagram the client takes, never below 512.
    pub payload: u16,
    /// The client wants DNSSEC records.
    pub dnssec_ok: bool,
    /// Its options, as far as the answer minds them.
    pub asked: Asked,
}

/// Why a packet is not answered as a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No answer at all: not a question, or too short to have an id. An answer
    /// to an answer is how two resolvers are made to talk for ever.
    Silence,
    /// A header with this response code, without a question.
    Code(u8),
    /// The question is fine, its EDNS version is not known (RFC 6891 6.1.3).
    BadVersion,
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Refusal::Code(rcode::FORMERR)
    }
}

impl Query {
    /// No question yet, to be [filled](Query::fill).
    pub const BLANK: Query =
        Query { id: 0, flags: 0, name: WireName::ROOT, qtype: 0, qclass: 0, question_end: 0, edns: None, stand_in: 0 };

    /// Reads a client's packet.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn parse(packet: &[u8]) -> Result<Query, Refusal> {
        let mut query = Query::BLANK;
        query.fill(packet)?;
        Ok(query)
    }

    /// The same into a blank query: on the hot path moving three hundred octets
    /// from result to result would cost more than reading them.
    ///
    /// # Errors
    /// See [`Refusal`]. With [`Refusal::BadVersion`] the query is complete.
    #[inline]
    pub fn fill(&mut self, packet: &[u8]) -> Result<(), Refusal> {
        let header = packet.get(..HEADER).ok_or(Refusal::Silence)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = word(2);
        if flags & flag::QR != 0 {
            return Err(Refusal::Silence);
        }
        if flags & flag::OPCODE != 0 {
            return Err(Refusal::Code(rcode::NOTIMP));
        }
        // One question and nothing answered yet. Two questions have no defined
        // answer (RFC 9619); records in a question serve only an attacker.
        if word(4) != 1 || word(6) != 0 {
            return Err(Refusal::Code(rcode::FORMERR));
        }
        (self.id, self.flags) = (word(0), flags);
        let at = self.name.read_plain(packet, HEADER)?;
        self.qtype = u16_at(packet, at).ok_or(Malformed)?;
        self.qclass = u16_at(packet, at + 2).ok_or(Malformed)?;
        self.question_end = at + 4;
        // Whoever asks for a transfer says what it has (RFC 1995 section 3).
        if word(8) != 0 && self.qtype != rtype::IXFR {
            return Err(Refusal::Code(rcode::FORMERR));
        }
        match self.read_additional(packet)? {
            0 => Ok(()),
            _ => Err(Refusal::BadVersion),
        }
    }

    /// The additional section holds at most one OPT record, at the root, and
    /// whatever else is there (a TSIG, say) is read over, but has to be whole.
    fn read_additional(&mut self, packet: &[u8]) -> Result<u8, Refusal> {
        let mut version = 0;
        let mut records = wire::records(packet, self.question_end);
        for record in records.by_ref() {
            let record = record?;
            if record.rtype != rtype::OPT {
                continue;
            }
            if self.edns.is_some() || packet[record.owner] != 0 {
                return Err(Refusal::Code(rcode::FORMERR));
            }
            let asked = Asked::read(&packet[record.data..record.end])?;
            version = (record.ttl >> 16) as u8;
            self.edns = Some(Edns { payload: record.class.max(512), dnssec_ok: record.ttl & 0x8000 != 0, asked });
        }
        if records.position() != packet.len() {
            return Err(Refusal::Code(rcode::FORMERR));
        }
        Ok(version)
    }

    /// Whether the client asked to hear about DNSSEC at all; only then may AD
    /// be set in the answer (RFC 6840 section 5.7 and 5.8).
    #[inline]
    pub fn wants_ad(&self) -> bool {
        self.flags & flag::AD != 0 || self.dnssec_ok()
    }

    /// The DO bit.
    #[inline]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The CD bit.
    #[inline]
    pub fn checking_disabled(&self) -> bool {
        self.flags & flag::CD != 0
    }
}

/// A question on its way to an upstream.
#[derive(Clone)]
pub struct Question {
    /// The question.
    pub query: Query,
    /// Its key in the cache, and among the exchanges under way.
    pub key: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03wWw\x07example\x00\x00\x1c\x00\x01";

    fn with_opt(options: &[u8], version: u8) -> Vec<u8> {
        let mut packet = PLAIN.to_vec();
        packet[11] = 1;
        packet.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, version, 0x80, 0]);
        packet.extend_from_slice(&(options.len() as u16).to_be_bytes());
        packet.extend_from_slice(options);
        packet
    }

    fn refusal(packet: &[u8]) -> Refusal {
        Query::parse(packet).err().expect("refused")
    }

    #[test]
    fn a_question_is_read() {
        let query = Query::parse(PLAIN).ok().unwrap();
        assert_eq!((query.id, query.qtype, query.qclass), (0x1234, rtype::AAAA, 1));
        assert_eq!(query.name.as_wire(), b"\x03www\x07example\x00");
        assert_eq!(query.question_end, PLAIN.len());
        assert_eq!(query.edns, None);
        let query = Query::parse(&with_opt(&[0, 3, 0, 0, 0, 99, 0, 1, 9], 0)).ok().unwrap();
        let asked = Asked { nsid: true, ..Asked::default() };
        assert_eq!(query.edns, Some(Edns { payload: 1232, dnssec_ok: true, asked }));
    }

    #[test]
    fn what_is_no_question_gets_silence() {
        assert_eq!(refusal(&PLAIN[..11]), Refusal::Silence);
        let mut answer = PLAIN.to_vec();
        answer[2] |= 0x80;
        assert_eq!(refusal(&answer), Refusal::Silence);
    }

    #[test]
    fn malformed_questions_get_formerr() {
        for (at, value) in [(4, 1), (5, 0), (5, 2), (6, 1), (7, 1), (9, 1), (11, 1), (12, 0xc0), (12, 0x43)] {
            let mut packet = PLAIN.to_vec();
            packet[at] = value;
            assert_eq!(refusal(&packet), Refusal::Code(rcode::FORMERR), "octet {at}");
        }
        for cut in HEADER..PLAIN.len() {
            assert_eq!(refusal(&PLAIN[..cut]), Refusal::Code(rcode::FORMERR), "cut at {cut}");
        }
        let mut longer = PLAIN.to_vec();
        longer.push(0);
        assert_eq!(refusal(&longer), Refusal::Code(rcode::FORMERR));
    }

    #[test]
    fn whoever_asks_for_a_transfer_may_say_what_it_has() {
        let with_soa = |qtype: u8| {
            let mut packet = PLAIN.to_vec();
            (packet[9], packet[26]) = (1, qtype);
            packet.extend_from_slice(b"\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00\x00\x16");
            packet.extend_from_slice(&[0; 22]);
            packet
        };
        assert_eq!(PLAIN[26], 0x1c, "the type that is replaced");
        assert!(Query::parse(&with_soa(rtype::IXFR as u8)).is_ok());
        for qtype in [rtype::A, rtype::AXFR, rtype::AAAA] {
            assert_eq!(refusal(&with_soa(qtype as u8)), Refusal::Code(rcode::FORMERR));
        }
    }

    #[test]
    fn edns_is_checked() {
        assert_eq!(refusal(&with_opt(&[0, 10, 0, 2, 9], 0)), Refusal::Code(rcode::FORMERR));
        assert_eq!(refusal(&with_opt(&[0, 10, 0], 0)), Refusal::Code(rcode::FORMERR));
        assert_eq!(refusal(&with_opt(&[], 1)), Refusal::BadVersion);
        let mut twice = with_opt(&[], 0);
        let opt = twice[PLAIN.len()..].to_vec();
        twice.extend_from_slice(&opt);
        twice[11] = 2;
        assert_eq!(refusal(&twice), Refusal::Code(rcode::FORMERR));
    }

    #[test]
    fn other_opcodes_are_not_implemented() {
        for opcode in 1..16u8 {
            let mut packet = PLAIN.to_vec();
            packet[2] = opcode << 3;
            assert_eq!(refusal(&packet), Refusal::Code(rcode::NOTIMP));
        }
    }
}
