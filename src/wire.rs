//! Reading DNS messages where they lie (RFC 1035 section 4).
//!
//! Nothing here allocates, and nothing trusts a count or a length it has not
//! compared with the bytes that are there. Upstream messages come from the
//! network and are hostile until [`records`] has walked them to the end.

/// Octets of the fixed header.
pub const HEADER: usize = 12;
/// The longest name, with its root label (RFC 1035 section 3.1).
pub const MAX_NAME: usize = 255;

/// Record types that something here treats by name.
pub mod rtype {
    #![allow(missing_docs)]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const MD: u16 = 3;
    pub const MF: u16 = 4;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const MB: u16 = 7;
    pub const MG: u16 = 8;
    pub const MR: u16 = 9;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MINFO: u16 = 14;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const RP: u16 = 17;
    pub const AFSDB: u16 = 18;
    pub const RT: u16 = 21;
    pub const SIG: u16 = 24;
    pub const PX: u16 = 26;
    pub const AAAA: u16 = 28;
    pub const NXT: u16 = 30;
    pub const SRV: u16 = 33;
    pub const NAPTR: u16 = 35;
    pub const KX: u16 = 36;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const NSEC3: u16 = 50;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const RESINFO: u16 = 261;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const MAILB: u16 = 253;
    pub const MAILA: u16 = 254;
    pub const ANY: u16 = 255;
}

/// Classes.
pub mod class {
    #![allow(missing_docs)]
    pub const IN: u16 = 1;
    pub const CH: u16 = 3;
}

/// Response codes (RFC 1035, 6895).
pub mod rcode {
    #![allow(missing_docs)]
    pub const NOERROR: u8 = 0;
    pub const FORMERR: u8 = 1;
    pub const SERVFAIL: u8 = 2;
    pub const NXDOMAIN: u8 = 3;
    pub const NOTIMP: u8 = 4;
    pub const REFUSED: u8 = 5;
}

/// Bits of the header's second 16-bit word.
pub mod flag {
    #![allow(missing_docs)]
    pub const QR: u16 = 0x8000;
    pub const OPCODE: u16 = 0x7800;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const RA: u16 = 0x0080;
    pub const AD: u16 = 0x0020;
    pub const CD: u16 = 0x0010;
    pub const RCODE: u16 = 0x000f;
}

/// Extended DNS error codes that this resolver sends (RFC 8914 section 4).
pub mod ede {
    #![allow(missing_docs)]
    pub const STALE_ANSWER: u16 = 3;
    pub const FORGED_ANSWER: u16 = 4;
    pub const DNSSEC_INDETERMINATE: u16 = 5;
    pub const DNSSEC_BOGUS: u16 = 6;
    pub const SIGNATURE_EXPIRED: u16 = 7;
    pub const SIGNATURE_NOT_YET_VALID: u16 = 8;
    pub const DNSKEY_MISSING: u16 = 9;
    pub const RRSIGS_MISSING: u16 = 10;
    pub const NO_ZONE_KEY_BIT: u16 = 11;
    pub const NSEC_MISSING: u16 = 12;
    pub const CACHED_ERROR: u16 = 13;
    pub const NOT_READY: u16 = 14;
    pub const BLOCKED: u16 = 15;
    pub const CENSORED: u16 = 16;
    pub const FILTERED: u16 = 17;
    pub const PROHIBITED: u16 = 18;
    pub const STALE_NXDOMAIN: u16 = 19;
    pub const NOT_SUPPORTED: u16 = 21;
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    pub const NETWORK_ERROR: u16 = 23;
    pub const NSEC3_ITERATIONS: u16 = 27;
}

/// EDNS option code of an extended DNS error (RFC 8914 section 2).
pub const OPTION_EDE: u16 = 15;

/// The message cannot be read: a length, a count or a pointer leads out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed DNS message")]
pub struct Malformed;

/// Big-endian 16-bit word at `at`.
#[inline]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Big-endian 32-bit word at `at`.
#[inline]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Writes a big-endian 16-bit word; the caller has checked the length.
#[inline]
pub fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// A name in canonical form on the stack: uncompressed wire form, lower case.
///
/// All comparison, hashing and listing happens on this form (RFC 4034
/// section 6.2 lower-casing: ASCII letters only).
#[derive(Clone)]
pub struct WireName {
    bytes: [u8; MAX_NAME],
    len: u8,
    labels: u8,
    /// Offset of the last label before the root.
    last: u8,
}

impl WireName {
    /// The root.
    pub const ROOT: WireName = WireName { bytes: [0; MAX_NAME], len: 1, labels: 0, last: 0 };

    /// Reads a name that holds no compression pointer, as in a question.
    /// Returns the offset behind it.
    #[inline]
    pub fn read_plain(&mut self, message: &[u8], start: usize) -> Result<usize, Malformed> {
        let (mut at, mut last) = (start, start);
        let mut labels = 0u8;
        loop {
            let len = usize::from(*message.get(at).ok_or(Malformed)?);
            if len == 0 {
                break;
            }
            // 0b01 and 0b10 are unassigned label types, 0b11 is a pointer.
            if len > 63 || at - start + len + 2 > MAX_NAME {
                return Err(Malformed);
            }
            last = at;
            at += 1 + len;
            labels += 1;
        }
        let end = at + 1;
        let wire = message.get(start..end).ok_or(Malformed)?;
        self.bytes[..wire.len()].copy_from_slice(wire);
        // Length octets are below 64 and so never look like upper-case
        // letters: the whole name can be lowered in one pass.
        self.bytes[..wire.len()].make_ascii_lowercase();
        self.len = wire.len() as u8;
        self.labels = labels;
        self.last = (last - start) as u8;
        Ok(end)
    }

    /// Reads a name that may be compressed. Returns the offset behind it in
    /// the place where it started.
    ///
    /// Pointers have to lead strictly backwards, so a walk ends after at most
    /// as many jumps as the message has octets; the length limit of 255 ends
    /// it much sooner (advisories: compression loops and quadratic walks).
    pub fn read(&mut self, message: &[u8], start: usize) -> Result<usize, Malformed> {
        let (mut at, mut lowest, mut end) = (start, start, None);
        let mut len = 0usize;
        (self.labels, self.last) = (0, 0);
        loop {
            let first = usize::from(*message.get(at).ok_or(Malformed)?);
            match first {
                0 => {
                    self.bytes[len] = 0;
                    self.len = (len + 1) as u8;
                    return Ok(end.unwrap_or(at + 1));
                }
                1..=63 => {
                    let label = message.get(at..at + 1 + first).ok_or(Malformed)?;
                    if len + label.len() >= MAX_NAME {
                        return Err(Malformed);
                    }
                    let target = &mut self.bytes[len..len + label.len()];
                    target.copy_from_slice(label);
                    target.make_ascii_lowercase();
                    self.last = len as u8;
                    len += label.len();
                    self.labels += 1;
                    at += label.len();
                }
                192.. => {
                    let to = usize::from(u16_at(message, at).ok_or(Malformed)? & 0x3fff);
                    if to >= lowest || to < HEADER {
                        return Err(Malformed);
                    }
                    end.get_or_insert(at + 2);
                    (at, lowest) = (to, to);
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// The canonical wire form, with the root label.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many labels, the root not counted.
    #[inline]
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// The last label with its length octet and the root: the top-level domain.
    #[inline]
    pub fn tld(&self) -> &[u8] {
        &self.bytes[usize::from(self.last)..usize::from(self.len)]
    }

    /// Whether this name is `ancestor` (canonical wire form) or lies below it.
    pub fn is_same_or_below(&self, ancestor: &[u8]) -> bool {
        let mine = self.as_wire();
        let Some(cut) = mine.len().checked_sub(ancestor.len()) else { return false };
        if &mine[cut..] != ancestor {
            return false;
        }
        // The cut has to fall on a label boundary, not inside a label.
        let mut at = 0;
        while at < cut {
            at += 1 + usize::from(mine[at]);
        }
        at == cut
    }
}

/// Skips a name, compressed or not, without reading where pointers lead.
pub fn skip_name(message: &[u8], mut at: usize) -> Result<usize, Malformed> {
    let start = at;
    loop {
        match *message.get(at).ok_or(Malformed)? {
            0 => return Ok(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            192.. => return if at + 2 <= message.len() { Ok(at + 2) } else { Err(Malformed) },
            _ => return Err(Malformed),
        }
        if at - start >= MAX_NAME {
            return Err(Malformed);
        }
    }
}

/// The section a record stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Zone cut or the SOA of a negative answer.
    Authority,
    /// Glue, OPT and the like.
    Additional,
}

/// One record, as offsets into its message.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Where it stands.
    pub section: Section,
    /// Offset of the owner name.
    pub owner: usize,
    /// Record type.
    pub rtype: u16,
    /// Class; the payload size in an OPT record.
    pub class: u16,
    /// Offset of the TTL field.
    pub ttl_at: usize,
    /// Seconds to live; flags and version in an OPT record.
    pub ttl: u32,
    /// Offset of the data.
    pub data: usize,
    /// Offset behind the data.
    pub end: usize,
}

/// Walks the records behind the question section, which ends at `at`.
///
/// The iterator ends after the last record that the header counts, or with an
/// error. It costs one pass and cannot be made to allocate by the counts.
pub fn records(message: &[u8], at: usize) -> Records<'_> {
    let count = |i| u16_at(message, i).map_or(0, usize::from);
    Records { message, at, left: [count(6), count(8), count(10)] }
}

/// See [`records`].
pub struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: [usize; 3],
}

impl Records<'_> {
    /// Offset behind the last record that was returned.
    pub fn position(&self) -> usize {
        self.at
    }

    fn read(&mut self, section: Section) -> Result<Record, Malformed> {
        let owner = self.at;
        let fixed = skip_name(self.message, owner)?;
        let rtype = u16_at(self.message, fixed).ok_or(Malformed)?;
        let class = u16_at(self.message, fixed + 2).ok_or(Malformed)?;
        let ttl = u32_at(self.message, fixed + 4).ok_or(Malformed)?;
        let length = usize::from(u16_at(self.message, fixed + 8).ok_or(Malformed)?);
        let (data, end) = (fixed + 10, fixed + 10 + length);
        if end > self.message.len() {
            return Err(Malformed);
        }
        self.at = end;
        Ok(Record { section, owner, rtype, class, ttl_at: fixed + 4, ttl, data, end })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let which = self.left.iter().position(|left| *left > 0)?;
        self.left[which] -= 1;
        let section = [Section::Answer, Section::Authority, Section::Additional][which];
        let record = self.read(section);
        if record.is_err() {
            self.left = [0; 3];
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_lowered_and_bounded() {
        let mut name = WireName::ROOT;
        assert_eq!(name.read_plain(b"\x03WwW\x07eXample\x00rest", 0), Ok(13));
        assert_eq!(name.as_wire(), b"\x03www\x07example\x00");
        assert_eq!(name.labels(), 2);
        assert!(name.is_same_or_below(b"\x07example\x00"));
        assert!(!name.is_same_or_below(b"\x06xample\x00"));
        assert_eq!(name.read_plain(b"\xc0\x0c", 0), Err(Malformed));
        assert_eq!(name.read_plain(b"\x05abc", 0), Err(Malformed));
    }

    #[test]
    fn the_longest_name_has_255_octets() {
        let mut long = Vec::new();
        for _ in 0..127 {
            long.extend_from_slice(b"\x01A");
        }
        long.push(0);
        let mut name = WireName::ROOT;
        assert_eq!(long.len(), 255);
        assert_eq!(name.read_plain(&long, 0), Ok(255));
        assert_eq!(name.read(&long, 0), Ok(255));
        assert_eq!(name.labels(), 127);
        long.splice(0..2, *b"\x02AA");
        assert_eq!(name.read_plain(&long, 0), Err(Malformed));
        assert_eq!(name.read(&long, 0), Err(Malformed));
    }

    #[test]
    fn pointers_lead_backwards_only() {
        let mut message = vec![0; 12];
        message.extend_from_slice(b"\x03one\x00\x03two\xc0\x0c\xc0\x11");
        let mut name = WireName::ROOT;
        assert_eq!(name.read(&message, 17), Ok(23));
        assert_eq!(name.as_wire(), b"\x03two\x03one\x00");
        assert_eq!(name.read(&message, 23), Ok(25));
        assert_eq!(name.as_wire(), b"\x03two\x03one\x00");
        for loops in [&b"\xc0\x0c"[..], b"\x01a\xc0\x0c", b"\xc0\x0e\xc0\x0c", b"\xff\xff"] {
            let mut message = vec![0; 12];
            message.extend_from_slice(loops);
            assert_eq!(name.read(&message, 12), Err(Malformed), "{loops:?}");
        }
    }

    #[test]
    fn counts_do_not_lead_out_of_the_message() {
        let mut message = vec![0; 12];
        message[6..12].fill(0xff);
        assert!(records(&message, 12).next().unwrap().is_err());
        assert_eq!(records(&message, 12).count(), 1);
    }
}
