//! Clients: questions as packets, answers in words, over UDP and TCP.

use std::collections::HashSet;
use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;
use domain::base::opt::AllOptData;
use domain::base::{Message, ParsedRecord};
use domain::rdata::AllRecordData;
use socket2::{Domain, Socket, Type};

pub(crate) const NOERROR: u16 = 0;
pub(crate) const FORMERR: u16 = 1;
pub(crate) const SERVFAIL: u16 = 2;
pub(crate) const NXDOMAIN: u16 = 3;

pub(crate) const QR: u16 = 0x8000;
pub(crate) const TC: u16 = 0x0200;
pub(crate) const RD: u16 = 0x0100;
pub(crate) const AD: u16 = 0x0020;
pub(crate) const CD: u16 = 0x0010;

/// A question, with EDNS and a payload of 1,232 unless said otherwise.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) name: Vec<u8>,
    pub(crate) qtype: Rtype,
    pub(crate) edns: bool,
    pub(crate) payload: u16,
    pub(crate) dnssec_ok: bool,
    pub(crate) options: Vec<u8>,
}

impl Ask {
    /// A question for a name written with dots.
    pub(crate) fn new(name: &str, qtype: Rtype) -> Self {
        Ask::wire(wire_name(name), qtype)
    }

    /// A question for a name in wire form.
    pub(crate) fn wire(name: Vec<u8>, qtype: Rtype) -> Self {
        static ID: AtomicU16 = AtomicU16::new(1);
        let id = ID.fetch_add(1, Relaxed);
        Ask { id, flags: RD, name, qtype, edns: true, payload: 1232, dnssec_ok: false, options: Vec::new() }
    }

    /// An address question.
    pub(crate) fn a(name: &str) -> Self {
        Ask::new(name, Rtype::A)
    }

    /// Without an OPT record.
    pub(crate) fn plain(self) -> Self {
        Ask { edns: false, ..self }
    }

    /// With the DO bit.
    pub(crate) fn dnssec_ok(self) -> Self {
        Ask { dnssec_ok: true, ..self }
    }

    /// With more header flags.
    pub(crate) fn flags(self, more: u16) -> Self {
        Ask { flags: self.flags | more, ..self }
    }

    /// With another payload size.
    pub(crate) fn payload(self, payload: u16) -> Self {
        Ask { payload, ..self }
    }

    /// With one more EDNS option.
    pub(crate) fn option(mut self, code: u16, data: &[u8]) -> Self {
        self.options.extend_from_slice(&code.to_be_bytes());
        self.options.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.options.extend_from_slice(data);
        self
    }

    /// The packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut packet = Vec::with_capacity(64 + self.options.len());
        for word in [self.id, self.flags, 1, 0, 0, u16::from(self.edns)] {
            packet.extend_from_slice(&word.to_be_bytes());
        }
        packet.extend_from_slice(&self.name);
        packet.extend_from_slice(&self.qtype.to_int().to_be_bytes());
        packet.extend_from_slice(&[0, 1]);
        if self.edns {
            packet.extend_from_slice(&self.opt());
        }
        packet
    }

    /// The OPT record.
    pub(crate) fn opt(&self) -> Vec<u8> {
        let [high, low] = self.payload.to_be_bytes();
        let mut opt = vec![0, 0, 41, high, low, 0, 0, if self.dnssec_ok { 0x80 } else { 0 }, 0];
        opt.extend_from_slice(&(self.options.len() as u16).to_be_bytes());
        opt.extend_from_slice(&self.options);
        opt
    }

    /// For messages about failures.
    pub(crate) fn text(&self) -> String {
        format!("{} {}", String::from_utf8_lossy(&self.name).escape_debug(), self.qtype)
    }
}

/// A name written with dots in wire form.
pub(crate) fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).ok().filter(|length| *length < 64).expect("a short label"));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// One record of an answer, in words; names without their last dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) owner: String,
    pub(crate) rtype: Rtype,
    pub(crate) ttl: u32,
    pub(crate) data: String,
}

/// An answer, read by a library that the resolver does not use.
pub(crate) struct Reply {
    pub(crate) octets: Vec<u8>,
    pub(crate) id: u16,
    /// Second word of the header.
    pub(crate) flags: u16,
    /// Response code with the upper bits of the OPT record.
    pub(crate) rcode: u16,
    pub(crate) answer: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
    pub(crate) has_opt: bool,
    /// Codes and texts of extended errors.
    pub(crate) errors: Vec<(u16, String)>,
}

impl Reply {
    /// Reads an answer, which has to be a good message.
    pub(crate) fn read(octets: &[u8]) -> Self {
        let message = Message::from_slice(octets).expect("an answer has a header");
        let (_, answer, authority, additional) =
            message.sections().unwrap_or_else(|error| panic!("the answer cannot be read: {error}: {octets:02x?}"));
        let [answer, authority, additional] = [answer, authority, additional].map(|section| {
            let records = section.map(|record| record.expect("a record that can be read"));
            records.filter(|record| record.rtype() != Rtype::OPT).map(record_of).collect()
        });
        let mut errors = Vec::new();
        if let Some(opt) = message.opt() {
            for option in opt.opt().iter::<AllOptData<_, _>>() {
                if let AllOptData::ExtendedError(error) = option.expect("an option that can be read") {
                    let text = error.text_slice().map(|text| String::from_utf8_lossy(text).into_owned());
                    errors.push((error.code().to_int(), text.unwrap_or_default()));
                }
            }
        }
        let word = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
        Reply {
            octets: octets.to_vec(),
            id: word(0),
            flags: word(2),
            rcode: message.opt_rcode().to_int(),
            answer,
            authority,
            additional,
            has_opt: message.opt().is_some(),
            errors,
        }
    }

    /// Codes of extended errors.
    pub(crate) fn ede(&self) -> Vec<u16> {
        self.errors.iter().map(|(code, _)| *code).collect()
    }

    /// Data of the records of this type in the answer section, sorted.
    pub(crate) fn data(&self, rtype: Rtype) -> Vec<&str> {
        let records = self.answer.iter().filter(|record| record.rtype == rtype);
        let mut data: Vec<_> = records.map(|record| record.data.as_str()).collect();
        data.sort_unstable();
        data
    }

    /// Whether the answer was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.flags & TC != 0
    }

    /// Whether it says "blocked": no such name, and why (RFC 8914).
    pub(crate) fn is_blocked(&self) -> bool {
        self.rcode == NXDOMAIN && self.ede() == [17] && self.answer.is_empty()
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rcode {} flags {:04x} ede {:?}", self.rcode, self.flags, self.errors)?;
        for (section, records) in [("an", &self.answer), ("ns", &self.authority), ("ar", &self.additional)] {
            for record in records.iter().take(10) {
                write!(f, "\n  {section} {} {} {} {}", record.owner, record.ttl, record.rtype, record.data)?;
            }
        }
        Ok(())
    }
}

fn record_of(record: ParsedRecord<'_, [u8]>) -> Record {
    let full = record.to_any_record::<AllRecordData<_, _>>().expect("data that can be read");
    let plain = |text: String| text.trim_end_matches('.').to_lowercase();
    Record {
        owner: plain(full.owner().to_string()),
        rtype: full.rtype(),
        ttl: full.ttl().as_secs(),
        data: plain(full.data().to_string()),
    }
}

/// A UDP socket of a client, connected to the server.
pub(crate) fn socket(client: impl Into<IpAddr>, server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((client.into(), 0)).expect("every address of 127/8 is ours");
    socket.connect(server).expect("loopback works");
    socket
}

/// Asks once over UDP. Answers with another id are not taken.
pub(crate) fn udp(client: impl Into<IpAddr>, server: SocketAddr, ask: &Ask, patience: Duration) -> Option<Reply> {
    udp_raw(client, server, &ask.packet(), patience).map(|octets| Reply::read(&octets))
}

/// Sends these octets as one datagram, and returns the answer with their id.
pub(crate) fn udp_raw(
    client: impl Into<IpAddr>,
    server: SocketAddr,
    packet: &[u8],
    patience: Duration,
) -> Option<Vec<u8>> {
    let socket = socket(client, server);
    socket.send(packet).expect("loopback works");
    receive(&socket, &packet[..2], patience)
}

fn receive(socket: &UdpSocket, id: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let end = Instant::now() + patience;
    let mut buffer = vec![0; 65_535];
    loop {
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        socket.set_read_timeout(Some(left)).expect("sockets take time-outs");
        let length = socket.recv(&mut buffer).ok()?;
        if length >= 2 && buffer[..2] == *id {
            buffer.truncate(length);
            return Some(buffer);
        }
    }
}

/// Opens a TCP connection as this client.
pub(crate) fn connect(client: impl Into<IpAddr>, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(client.into(), 0).into())?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Sends all questions in one go over one connection and reads `count` answers,
/// or as many as come before the connection is closed or time is over.
pub(crate) fn tcp(
    client: impl Into<IpAddr>,
    server: SocketAddr,
    questions: &[Vec<u8>],
    count: usize,
    patience: Duration,
) -> Vec<Vec<u8>> {
    let mut stream = connect(client, server).expect("the server takes connections");
    let framed: Vec<u8> = questions.iter().flat_map(|question| framed(question)).collect();
    stream.write_all(&framed).expect("the server reads");
    let end = Instant::now() + patience;
    std::iter::from_fn(|| read_framed(&mut stream, end)).take(count).collect()
}

/// A message with its length in front.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = u16::try_from(message.len()).expect("a DNS message").to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    framed
}

/// Reads one framed message before `end`.
pub(crate) fn read_framed(stream: &mut TcpStream, end: Instant) -> Option<Vec<u8>> {
    let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    stream.set_read_timeout(Some(left)).expect("sockets take time-outs");
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}

/// Sends many questions over UDP, at most `window` of them unanswered at once,
/// and returns the answers that come, each within `patience`. Ids have to be
/// different among those under way.
pub(crate) fn many(
    client: Ipv4Addr,
    server: SocketAddr,
    packets: impl IntoIterator<Item = Vec<u8>>,
    window: usize,
    patience: Duration,
) -> Vec<Vec<u8>> {
    let socket = socket(client, server);
    socket.set_read_timeout(Some(patience)).expect("sockets take time-outs");
    let mut waiting = HashSet::new();
    let mut answers = Vec::new();
    let mut packets = packets.into_iter().fuse();
    let mut buffer = vec![0; 65_535];
    loop {
        while waiting.len() < window {
            let Some(packet) = packets.next() else { break };
            waiting.insert([packet[0], packet[1]]);
            socket.send(&packet).expect("loopback works");
        }
        if waiting.is_empty() {
            return answers;
        }
        let Ok(length) = socket.recv(&mut buffer) else { return answers };
        if length >= 12 && waiting.remove(&[buffer[0], buffer[1]]) {
            answers.push(buffer[..length].to_vec());
        }
    }
}
