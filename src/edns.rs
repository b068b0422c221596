//! Options of one hop (RFC 6891 section 6.1.2): what a client's OPT record asks
//! of this resolver, and what the OPT record of the answer says besides errors.
//!
//! None of them travels on: a cookie, a padding or a client subnet (RFC 7871)
//! is a matter of the two ends of a connection, and a subnet would tell
//! strangers who asked. What is not named here is read over.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::wire::{Malformed, put_u16, u16_at};

/// Option codes (IANA, DNS EDNS0 Option Codes).
mod code {
    pub(super) const NSID: u16 = 3;
    pub(super) const COOKIE: u16 = 10;
    pub(super) const KEEPALIVE: u16 = 11;
    pub(super) const PADDING: u16 = 12;
    pub(super) const EDE: u16 = 15;
}

/// Longest name of this server that an answer carries (RFC 5001).
pub const NSID_MOST: usize = 64;
/// Room that the options here need at most, padding left aside.
pub const ROOM: usize = (4 + 24) + (4 + NSID_MOST) + (4 + 2);
/// Answers over encrypted transports are a multiple of this long, if the client
/// pads, so that their length tells little (RFC 8467 section 4.1).
const BLOCK: usize = 468;

/// What a client asks of this hop.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Asked {
    /// A cookie (RFC 7873).
    pub cookie: Option<Cookie>,
    /// The name of this server (RFC 5001).
    pub nsid: bool,
    /// How long the connection may be idle (RFC 7828).
    pub keepalive: bool,
    /// An answer whose length tells little (RFC 7830).
    pub padding: bool,
    /// Structured errors, as the drafts of 2024 have it: an extended error
    /// with code 0 and no text.
    pub structured: bool,
    /// The first options without a value that are not known here; 0 = none. One
    /// of them asks for structured errors, and its code is not assigned yet.
    pub empty: [u16; 4],
}

/// A client's cookie, and the server's as it came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The client's.
    pub client: [u8; 8],
    /// The server's, where it has the length of ours.
    pub server: Option<[u8; 16]>,
}

impl Asked {
    /// Whether the answer has nothing to mind, as for most questions. Field by
    /// field, since a comparison of the whole is a call and costs more.
    #[inline]
    pub fn is_nothing(&self) -> bool {
        let flags = self.nsid | self.keepalive | self.padding | self.structured;
        self.cookie.is_none() && !flags && self.empty[0] == 0
    }

    /// Reads the options of an OPT record, which they fill exactly.
    ///
    /// # Errors
    /// One does not fit the record, or is a cookie of a length that no cookie
    /// has (RFC 7873 section 5.2.2).
    pub fn read(mut options: &[u8]) -> Result<Self, Malformed> {
        let mut asked = Asked::default();
        while !options.is_empty() {
            let code = u16_at(options, 0).ok_or(Malformed)?;
            let length = usize::from(u16_at(options, 2).ok_or(Malformed)?);
            let value = options.get(4..4 + length).ok_or(Malformed)?;
            match code {
                // The first of several counts (RFC 7873 section 5.2).
                code::COOKIE if asked.cookie.is_none() => asked.cookie = Some(Cookie::read(value)?),
                code::NSID => asked.nsid = true,
                code::KEEPALIVE => asked.keepalive = true,
                code::PADDING => asked.padding = true,
                code::EDE if value == [0, 0] => asked.structured = true,
                other if value.is_empty() => {
                    if let Some(place) = asked.empty.iter_mut().find(|place| **place == 0) {
                        *place = other;
                    }
                }
                _ => {}
            }
            options = &options[4 + length..];
        }
        Ok(asked)
    }
}

impl Cookie {
    fn read(value: &[u8]) -> Result<Self, Malformed> {
        match value.len() {
            8 | 16..=40 => {}
            _ => return Err(Malformed),
        }
        let client = value[..8].try_into().map_err(|_| Malformed)?;
        Ok(Cookie { client, server: value[8..].try_into().ok() })
    }
}

/// What the OPT record of an answer says besides errors.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Octets of the largest datagram that this resolver takes.
    pub payload: u16,
    /// The client's cookie and the server's.
    pub cookie: Option<[u8; 24]>,
    /// The name of this server; nothing if it is empty.
    pub nsid: &'a [u8],
    /// Tenths of a second that the connection may be idle.
    pub keepalive: Option<u16>,
    /// Whether the answer's length is hidden.
    pub padded: bool,
    /// Whether errors may have text for people in them.
    pub structured: bool,
}

impl Reply<'_> {
    /// Without options.
    pub const fn plain(payload: u16) -> Self {
        Reply { payload, cookie: None, nsid: &[], keepalive: None, padded: false, structured: false }
    }

    /// Octets of the options, padding left aside.
    #[inline]
    pub fn length(&self) -> usize {
        let cookie = if self.cookie.is_some() { 4 + 24 } else { 0 };
        let nsid = if self.nsid.is_empty() { 0 } else { 4 + self.nsid.len() };
        cookie + nsid + if self.keepalive.is_some() { 4 + 2 } else { 0 }
    }

    /// Writes the options behind `at` and returns where they end. A message is
    /// padded as far as the packet has room for it.
    #[inline]
    pub fn write(&self, packet: &mut [u8], mut at: usize) -> usize {
        if let Some(cookie) = &self.cookie {
            at = option(packet, at, code::COOKIE, cookie);
        }
        if !self.nsid.is_empty() {
            at = option(packet, at, code::NSID, self.nsid);
        }
        if let Some(keepalive) = self.keepalive {
            at = option(packet, at, code::KEEPALIVE, &keepalive.to_be_bytes());
        }
        if self.padded {
            at = pad(packet, at);
        }
        at
    }
}

fn option(packet: &mut [u8], at: usize, code: u16, value: &[u8]) -> usize {
    put_u16(packet, at, code);
    put_u16(packet, at + 2, value.len() as u16);
    packet[at + 4..at + 4 + value.len()].copy_from_slice(value);
    at + 4 + value.len()
}

fn pad(packet: &mut [u8], at: usize) -> usize {
    let most = packet.len().min(usize::from(u16::MAX));
    let end = (at + 4).next_multiple_of(BLOCK).min(most);
    if end < at + 4 {
        return at;
    }
    put_u16(packet, at, code::PADDING);
    put_u16(packet, at + 2, (end - at - 4) as u16);
    packet[at + 4..end].fill(0);
    end
}

/// Seconds after which a server's cookie is no longer believed, and after which
/// a younger one is handed out (RFC 9018 section 4.3).
const BELIEVED: u32 = 3600;
const YOUNG: u32 = 1800;
/// Seconds by which one may come from the future (the same section).
const AHEAD: u32 = 300;

/// Server cookies (RFC 9018): whoever sends one back has received it, so its
/// address is no forgery. Nothing is kept for each client.
pub struct Cookies {
    secret: [u8; 16],
    /// Unix time when the resolver's clock stood at 0.
    epoch: u32,
}

impl Cookies {
    /// Cookies under a secret; `epoch` is the Unix time at which the
    /// resolver's clock began.
    pub fn new(secret: [u8; 16], epoch: u32) -> Self {
        Cookies { secret, epoch }
    }

    /// Whether this client has the server's cookie; `second` of the resolver's clock.
    pub fn knows(&self, cookie: &Cookie, client: IpAddr, second: u32) -> bool {
        cookie.server.is_some_and(|server| self.age(cookie, &server, client, second).is_some())
    }

    /// The client's cookie and the server's, for an answer. One that is young
    /// goes back as it came.
    pub fn answer(&self, cookie: &Cookie, client: IpAddr, second: u32) -> [u8; 24] {
        let server = match cookie.server {
            Some(server) if self.age(cookie, &server, client, second).is_some_and(|age| age <= YOUNG) => server,
            _ => self.make(&cookie.client, self.epoch.wrapping_add(second), client),
        };
        let mut answer = [0; 24];
        answer[..8].copy_from_slice(&cookie.client);
        answer[8..].copy_from_slice(&server);
        answer
    }

    /// Seconds since the server's cookie was made, if it is ours and still good.
    fn age(&self, cookie: &Cookie, server: &[u8; 16], client: IpAddr, second: u32) -> Option<u32> {
        let stamp = u32::from_be_bytes([server[4], server[5], server[6], server[7]]);
        // Serial number arithmetic (RFC 1982), as the cookie's time has 32 bits.
        let age = self.epoch.wrapping_add(second).wrapping_sub(stamp);
        let good = age <= BELIEVED || age.wrapping_neg() <= AHEAD;
        let same = good
            && aws_lc_rs::constant_time::verify_slices_are_equal(&self.make(&cookie.client, stamp, client), server)
                .is_ok();
        same.then_some(if age <= BELIEVED { age } else { 0 })
    }

    /// RFC 9018 section 4.
    fn make(&self, client_cookie: &[u8; 8], stamp: u32, client: IpAddr) -> [u8; 16] {
        let mut server = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        server[4..8].copy_from_slice(&stamp.to_be_bytes());
        let mut hash = SipHasher24::new_with_key(&self.secret);
        hash.write(client_cookie);
        hash.write(&server[..8]);
        match client {
            IpAddr::V4(ip) => hash.write(&ip.octets()),
            IpAddr::V6(ip) => hash.write(&ip.octets()),
        }
        server[8..].copy_from_slice(&hash.finish().to_le_bytes());
        server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().map(|digit| char::from(digit).to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// RFC 9018 appendix A: secret, client, client cookie, server cookie.
    const VECTORS: [[&str; 4]; 5] = [
        ["e5e973e5a6b2a43f48e7dc849e37bfcf", "198.51.100.100", "2464c4abcf10c957", "010000005cf79f111f8130c3eee29480"],
        ["e5e973e5a6b2a43f48e7dc849e37bfcf", "198.51.100.100", "2464c4abcf10c957", "010000005cf7a871d4a564a1442aca77"],
        ["e5e973e5a6b2a43f48e7dc849e37bfcf", "203.0.113.203", "fc93fc62807ddb86", "010000005cf7a9acf73a7810aca2381e"],
        [
            "dd3bdf9344b678b185a6f5cb60fca715",
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298",
            "010000005cf7c57926556bd0934c72f8",
        ],
        [
            "445536bcd2513298075a5d379663c962",
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298",
            "010000005cf7c609a6bb79d16625507a",
        ],
    ];

    fn made_at(server: &str) -> u32 {
        u32::from_str_radix(&server[8..16], 16).unwrap()
    }

    fn cookies(secret: &str, epoch: u32) -> Cookies {
        Cookies::new(hex(secret).try_into().unwrap(), epoch)
    }

    #[test]
    fn server_cookies_are_those_of_rfc_9018() {
        for [secret, client, cookie, server] in VECTORS {
            let cookie = Cookie::read(&hex(cookie)).unwrap();
            let answer = cookies(secret, made_at(server) - 7).answer(&cookie, client.parse().unwrap(), 7);
            assert_eq!(answer[..8], cookie.client);
            assert_eq!(answer[8..], hex(server)[..], "{client}");
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_client_and_its_hour() {
        let [secret, client, cookie, server] = VECTORS[0];
        let time = made_at(server);
        let client: IpAddr = client.parse().unwrap();
        let cookie = Cookie::read(&hex(&[cookie, server].concat())).unwrap();
        let at = |second: i64| cookies(secret, (i64::from(time) + second) as u32);
        for second in [0, 1800, 3600, -300] {
            assert!(at(second).knows(&cookie, client, 0), "{second}");
        }
        for second in [3601, -301, 86_400] {
            assert!(!at(second).knows(&cookie, client, 0), "{second}");
        }
        assert!(!at(0).knows(&cookie, "198.51.100.101".parse().unwrap(), 0));
        assert!(!cookies(VECTORS[4][0], time).knows(&cookie, client, 0), "another server's");
        // A young one stays as it is, an older one is replaced.
        assert_eq!(at(1800).answer(&cookie, client, 0)[8..], hex(server)[..]);
        let newer = at(1801).answer(&cookie, client, 0);
        assert_ne!(newer[8..], hex(server)[..]);
        assert!(at(5000).knows(&Cookie::read(&newer).unwrap(), client, 0));
    }

    #[test]
    fn cookies_have_the_lengths_of_rfc_7873() {
        let read = |length: usize| Asked::read(&[&[0, 10, 0, length as u8][..], &vec![7; length]].concat());
        for length in 0..60 {
            let good = length == 8 || (16..=40).contains(&length);
            assert_eq!(read(length).is_ok(), good, "{length}");
        }
        assert_eq!(read(24).unwrap().cookie, Some(Cookie { client: [7; 8], server: Some([7; 16]) }));
        assert_eq!(read(20).unwrap().cookie, Some(Cookie { client: [7; 8], server: None }));
    }

    #[test]
    fn a_padded_message_fills_its_block_or_its_packet() {
        for (at, length, end) in
            [(100, 2000, 468), (464, 2000, 468), (465, 2000, 936), (465, 900, 900), (468, 2000, 936), (898, 900, 898)]
        {
            let mut packet = vec![9; length];
            assert_eq!(pad(&mut packet, at), end, "{at}");
            assert!(packet[(at + 4).min(end)..end].iter().all(|octet| *octet == 0));
        }
        let mut packet = vec![9; 70_000];
        assert_eq!(pad(&mut packet, 65_500), 65_520);
        assert_eq!(pad(&mut packet, 65_520), 65_535);
        assert_eq!(pad(&mut packet, 65_533), 65_533);
    }
}
