//! The upstream of a scenario: NSD behind a relay.
//!
//! The relay makes an authoritative server look like a resolver (RA set, AA
//! not), writes down what it is asked, and changes single replies where the
//! scenario says so. It is one thread for each transport with blocking
//! sockets: nothing here has to be fast.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::Rtype;

use super::format::{Change, parse_octets, parse_rcode};

/// How long NSD may take; it answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);

/// A relay that ends with this value.
pub(super) struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    nsd: SocketAddr,
    changes: Vec<Change>,
    seen: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Upstream {
    /// Listens on `address` and asks `nsd`.
    pub(super) fn start(address: SocketAddr, nsd: SocketAddr, changes: Vec<Change>) -> Self {
        let udp = UdpSocket::bind(address).expect("the upstream's address is free");
        let tcp = TcpListener::bind(address).expect("the upstream's address is free");
        let seen = Mutex::new(Vec::new());
        let shared = Arc::new(Shared { address, nsd, changes, seen, over: AtomicBool::new(false) });
        let (for_udp, for_tcp) = (shared.clone(), shared.clone());
        std::thread::spawn(move || for_udp.serve_udp(&udp));
        std::thread::spawn(move || for_tcp.serve_tcp(&tcp));
        Upstream { shared }
    }

    /// What was asked since the last call; repetitions count once.
    pub(super) fn take_seen(&self) -> Vec<String> {
        let mut seen = std::mem::take(&mut *self.shared.seen.lock().expect("no thread panics with it"));
        seen.dedup();
        seen
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.over.store(true, SeqCst);
        // One packet and one connection to wake the threads up.
        drop(
            UdpSocket::bind((self.shared.address.ip(), 0)).and_then(|socket| socket.send_to(&[], self.shared.address)),
        );
        drop(TcpStream::connect(self.shared.address));
    }
}

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if self.over.load(SeqCst) {
                return;
            }
            let reply = self.reply(&buffer[..length], false, |question| {
                let to_nsd = UdpSocket::bind((self.nsd.ip(), 0)).ok()?;
                to_nsd.set_read_timeout(Some(PATIENCE)).ok()?;
                to_nsd.send_to(question, self.nsd).ok()?;
                let mut reply = vec![0; 4096];
                let length = to_nsd.recv(&mut reply).ok()?;
                reply.truncate(length);
                Some(reply)
            });
            if let Some(reply) = reply {
                drop(socket.send_to(&reply, from));
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.over.load(SeqCst) {
                return;
            }
            let Ok(mut client) = stream else { continue };
            // Resolvers keep no connection to it: one message after the other
            // from one connection after the other is enough.
            drop(client.set_read_timeout(Some(PATIENCE)));
            while let Some(question) = read_framed(&mut client) {
                let reply = self.reply(&question, true, |question| {
                    let mut to_nsd = TcpStream::connect(self.nsd).ok()?;
                    to_nsd.set_read_timeout(Some(PATIENCE)).ok()?;
                    write_framed(&mut to_nsd, question)?;
                    read_framed(&mut to_nsd)
                });
                if reply.and_then(|reply| write_framed(&mut client, &reply)).is_none() {
                    break;
                }
            }
        }
    }

    fn reply(&self, question: &[u8], tcp: bool, ask: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        let message = Message::from_slice(question).ok()?;
        let asked = message.sole_question().ok()?;
        let name = asked.qname().to_string().trim_end_matches('.').to_lowercase();
        let mut text = format!("{} {}", if name.is_empty() { "." } else { &name }, asked.qtype());
        let header = message.header();
        let dnssec_ok = message.opt().is_some_and(|opt| opt.dnssec_ok());
        for (set, word) in
            [(header.cd(), " +cd"), (dnssec_ok, " +do"), (message.opt().is_none(), " +noedns"), (tcp, " +tcp")]
        {
            if set {
                text.push_str(word);
            }
        }
        self.seen.lock().expect("no thread panics with it").push(text);
        let this = |change: &&Change| change.name == name && change.rtype.is_none_or(|rtype| rtype == asked.qtype());
        let change = self.changes.iter().find(this).map_or(&[][..], |change| &change.how);
        match change.first().map(String::as_str) {
            Some("drop") => None,
            Some("octets") => {
                let rest = parse_octets(change[1..].iter().map(String::as_str)).expect("octets of a change");
                Some([&question[..2], &rest].concat())
            }
            _ => {
                let mut reply = ask(question)?;
                reply[2] &= !0x04;
                reply[3] |= 0x80;
                change.iter().for_each(|word| alter(&mut reply, word, tcp));
                Some(reply)
            }
        }
    }
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

/// A message with its length in front, as over TCP.
pub(super) fn read_framed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// The same, written.
pub(super) fn write_framed(stream: &mut TcpStream, message: &[u8]) -> Option<()> {
    let length = u16::try_from(message.len()).ok()?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).ok()
}
