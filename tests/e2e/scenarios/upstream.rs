//! The upstream of a scenario: NSD behind a relay.
//!
//! The relay makes an authoritative server look like a resolver (RA set, AA
//! not), writes down what it is asked, and changes single replies where the
//! scenario says so.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use super::format::{Change, parse_octets, parse_rcode};
use crate::client::{self, CD, framed, read_framed};
use crate::liar::{Deed, Liar, Seen};

/// How long NSD may take; it answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// A relay that ends with this value.
pub(super) struct Upstream(Liar);

impl Upstream {
    /// Listens on `address` and asks `nsd`.
    pub(super) fn start(address: SocketAddr, nsd: SocketAddr, changes: Vec<Change>) -> Self {
        Upstream(Liar::behaving(address, move |seen| match reply(seen, nsd, &changes) {
            Some(reply) => Deed::Say(vec![reply]),
            None if seen.tcp => Deed::Reset,
            None => Deed::Silence,
        }))
    }

    /// What was asked since the last call; repetitions count once.
    pub(super) fn take_seen(&self) -> Vec<String> {
        let mut seen: Vec<_> = self.0.take_seen().iter().map(text_of).collect();
        seen.dedup();
        seen
    }
}

/// A question as scenarios write it.
fn text_of(seen: &Seen) -> String {
    let mut text = format!("{} {}", if seen.name.is_empty() { "." } else { &seen.name }, seen.qtype);
    let dnssec_ok = seen.opt.as_ref().is_some_and(|opt| opt.dnssec_ok);
    let words =
        [(seen.flags & CD != 0, " +cd"), (dnssec_ok, " +do"), (seen.opt.is_none(), " +noedns"), (seen.tcp, " +tcp")];
    text.extend(words.iter().filter(|(set, _)| *set).map(|(_, word)| *word));
    text
}

fn reply(seen: &Seen, nsd: SocketAddr, changes: &[Change]) -> Option<Vec<u8>> {
    let this = |change: &&Change| change.name == seen.name && change.rtype.is_none_or(|rtype| rtype == seen.qtype);
    let change = changes.iter().find(this).map_or(&[][..], |change| &change.how);
    match change.first().map(String::as_str) {
        Some("drop") => None,
        Some("octets") => {
            let rest = parse_octets(change[1..].iter().map(String::as_str)).expect("octets of a change");
            Some([&seen.octets[..2], &rest].concat())
        }
        _ => {
            let mut reply = ask(seen, nsd)?;
            reply[2] &= !0x04;
            reply[3] |= 0x80;
            change.iter().for_each(|word| alter(&mut reply, word, seen.tcp));
            Some(reply)
        }
    }
}

/// Passes a question on as it came.
fn ask(seen: &Seen, nsd: SocketAddr) -> Option<Vec<u8>> {
    if !seen.tcp {
        return client::udp_raw(nsd.ip(), nsd, &seen.octets, PATIENCE);
    }
    let mut stream = client::connect(nsd.ip(), nsd).ok()?;
    stream.write_all(&framed(&seen.octets)).ok()?;
    read_framed(&mut stream, Instant::now() + PATIENCE)
}

fn alter(reply: &mut Vec<u8>, word: &str, tcp: bool) {
    match word.split_once('=').unwrap_or((word, "")) {
        ("ad", _) => reply[3] |= 0x20,
        ("aa", _) => reply[2] |= 0x04,
        ("tc", _) if !tcp => reply[2] |= 0x02,
        ("tc", _) => {}
        ("rcode", code) => {
            let code = parse_rcode(code).expect("a response code of a change").to_int();
            reply[3] = reply[3] & 0xf0 | code as u8;
        }
        ("ede", code) => {
            let code: u16 = code.parse().expect("an extended error of a change");
            let at = reply.len() - 2;
            let is_bare_opt = reply[at - 9..at - 6] == [0, 0, Rtype::OPT.to_int() as u8] && reply[at..] == [0, 0];
            assert!(is_bare_opt, "NSD's reply ends with an OPT record without options");
            reply[at + 1] = 6;
            reply.extend_from_slice(&[0, 15, 0, 2]);
            reply.extend_from_slice(&code.to_be_bytes());
        }
        _ => panic!("'{word}' is no change of a reply"),
    }
}
