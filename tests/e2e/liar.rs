//! An upstream that misbehaves: UDP and TCP on one address, with a behaviour
//! that a test can change while it runs, and a record of all that it was asked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::base::Message;
use domain::base::iana::Rtype;
use socket2::{Domain, Socket, Type};

use super::client::{QR, framed, wire_name};

/// A question that came.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) from: SocketAddr,
    pub(crate) tcp: bool,
    pub(crate) octets: Vec<u8>,
    pub(crate) id: u16,
    pub(crate) flags: u16,
    /// Lower case, without the last dot.
    pub(crate) name: String,
    pub(crate) qtype: Rtype,
    pub(crate) opt: Option<Opt>,
    /// How many came before it.
    pub(crate) turn: usize,
}

/// The OPT record of a question.
#[derive(Clone)]
pub(crate) struct Opt {
    pub(crate) payload: u16,
    pub(crate) dnssec_ok: bool,
    pub(crate) options: usize,
}

/// What is done about a question.
pub(crate) enum Deed {
    /// Nothing.
    Silence,
    /// These messages, in this order. Over TCP with their lengths in front.
    Say(Vec<Vec<u8>>),
    /// One message after a while.
    Later(Duration, Vec<u8>),
    /// The first message from another port, the second from another address,
    /// the third from the right place.
    FromElsewhere([Vec<u8>; 3]),
    /// TCP: these octets as they are, then the end of the connection.
    Raw(Vec<u8>),
    /// TCP: the message octet by octet, so slowly that it never ends.
    Drip(Vec<u8>),
    /// TCP: the connection is cut.
    Reset,
}

type Behaviour = Arc<dyn Fn(&Seen) -> Deed + Send + Sync>;

/// A running upstream; it ends with this value.
pub(crate) struct Liar(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Seen>>,
    later: Mutex<Sender<(Instant, SocketAddr, Vec<u8>)>>,
    over: AtomicBool,
}

impl Liar {
    /// Listens on `address` and answers honestly; see [`honest`].
    pub(crate) fn start(address: SocketAddr) -> Self {
        Liar::behaving(address, |seen| Deed::Say(vec![honest(seen)]))
    }

    /// Listens on `address` and does as it is told.
    pub(crate) fn behaving(address: SocketAddr, behaviour: impl Fn(&Seen) -> Deed + Send + Sync + 'static) -> Self {
        let (liar, listener) = (Liar::over_udp(address, behaviour), TcpListener::bind(address));
        let (listener, shared) = (listener.expect("the upstream's address is free"), liar.0.clone());
        std::thread::spawn(move || shared.serve_tcp(&listener));
        liar
    }

    /// The same with a closed TCP port.
    pub(crate) fn over_udp(address: SocketAddr, behaviour: impl Fn(&Seen) -> Deed + Send + Sync + 'static) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).expect("sockets can be made");
        // Room for a flood: the test's machine must not lose what it counts.
        drop(socket.set_recv_buffer_size(4 << 20));
        socket.bind(&address.into()).expect("the upstream's address is free");
        let socket: UdpSocket = socket.into();
        let (later, queue) = channel();
        let shared = Arc::new(Shared {
            address,
            behaviour: Mutex::new(Arc::new(behaviour)),
            seen: Mutex::default(),
            later: Mutex::new(later),
            over: AtomicBool::new(false),
        });
        let for_later = socket.try_clone().expect("a socket has two handles");
        std::thread::spawn(move || send_later(&for_later, &queue));
        let for_udp = shared.clone();
        std::thread::spawn(move || for_udp.serve_udp(&socket));
        Liar(shared)
    }

    /// Changes what it does from the next question on.
    pub(crate) fn behave(&self, behaviour: impl Fn(&Seen) -> Deed + Send + Sync + 'static) {
        *lock(&self.0.behaviour) = Arc::new(behaviour);
    }

    /// Everything it was asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.0.seen).clone()
    }

    /// What it was asked about this name.
    pub(crate) fn seen_of(&self, name: &str) -> Vec<Seen> {
        lock(&self.0.seen).iter().filter(|seen| seen.name == name).cloned().collect()
    }

    /// How many questions came.
    pub(crate) fn count(&self) -> usize {
        lock(&self.0.seen).len()
    }

    /// Everything it was asked, which it forgets.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.0.seen))
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
        // Wake both threads.
        let any: SocketAddr = (self.0.address.ip(), 0).into();
        drop(UdpSocket::bind(any).and_then(|socket| socket.send_to(&[], self.0.address)));
        drop(TcpStream::connect(self.0.address));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if self.over.load(SeqCst) {
                return;
            }
            match self.decide(&buffer[..length], from, false) {
                Deed::Say(messages) => {
                    messages.iter().for_each(|message| drop(socket.send_to(message, from)));
                }
                Deed::Later(after, message) => drop(lock(&self.later).send((Instant::now() + after, from, message))),
                Deed::FromElsewhere([port, address, right]) => {
                    let mut other = self.address;
                    other.set_port(0);
                    send_from(other, &port, from);
                    // 127.0.0.1 is not the address of any test's upstream.
                    send_from(([127, 0, 0, 1], self.address.port() + 1).into(), &address, from);
                    drop(socket.send_to(&right, from));
                }
                Deed::Silence | Deed::Raw(_) | Deed::Drip(_) | Deed::Reset => {}
            }
        }
    }

    fn serve_tcp(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.over.load(SeqCst) {
                return;
            }
            let (Ok(stream), this) = (stream, self.clone()) else { continue };
            std::thread::spawn(move || this.serve_connection(stream));
        }
    }

    /// Ends with the connection, at the latest some seconds after its last octet.
    fn serve_connection(&self, mut stream: TcpStream) -> Option<()> {
        let from = stream.peer_addr().ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length).ok()?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).ok()?;
            match self.decide(&question, from, true) {
                Deed::Say(messages) => {
                    let all: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
                    stream.write_all(&all).ok()?;
                }
                Deed::Raw(octets) => return stream.write_all(&octets).ok(),
                Deed::Drip(message) => {
                    // One octet whenever the reader has been silent for a second.
                    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
                    for octet in framed(&message) {
                        stream.write_all(&[octet]).ok()?;
                        if matches!(stream.read(&mut [0]), Ok(0)) {
                            return None;
                        }
                    }
                }
                Deed::Reset => return socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok(),
                Deed::Silence | Deed::Later(..) | Deed::FromElsewhere(_) => {}
            }
        }
    }

    fn decide(&self, octets: &[u8], from: SocketAddr, tcp: bool) -> Deed {
        let Some(mut seen) = read(octets, from, tcp) else { return Deed::Silence };
        {
            let mut all = lock(&self.seen);
            seen.turn = all.len();
            all.push(seen.clone());
        }
        let behaviour = lock(&self.behaviour).clone();
        behaviour(&seen)
    }
}

fn read(octets: &[u8], from: SocketAddr, tcp: bool) -> Option<Seen> {
    let message = Message::from_slice(octets).ok()?;
    let question = message.sole_question().ok()?;
    let opt = message.opt().map(|opt| Opt {
        payload: opt.udp_payload_size(),
        dnssec_ok: opt.dnssec_ok(),
        options: opt.opt().len(),
    });
    Some(Seen {
        from,
        tcp,
        octets: octets.to_vec(),
        id: message.header().id(),
        flags: u16::from_be_bytes([octets[2], octets[3]]),
        name: question.qname().to_string().trim_end_matches('.').to_lowercase(),
        qtype: question.qtype(),
        opt,
        turn: 0,
    })
}

fn send_from(address: SocketAddr, message: &[u8], to: SocketAddr) {
    drop(UdpSocket::bind(address).and_then(|socket| socket.send_to(message, to)));
}

/// Sends messages when their time has come, until no more can come.
fn send_later(socket: &UdpSocket, queue: &std::sync::mpsc::Receiver<(Instant, SocketAddr, Vec<u8>)>) {
    let mut waiting = BinaryHeap::new();
    loop {
        let next = waiting.peek().map(|Reverse((at, ..)): &Reverse<(Instant, SocketAddr, Vec<u8>)>| *at);
        let pause = next.map_or(Duration::from_secs(60), |at| at.saturating_duration_since(Instant::now()));
        match queue.recv_timeout(pause) {
            Ok(entry) => waiting.push(Reverse(entry)),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(Reverse((_, to, message))) = waiting.pop() {
                    drop(socket.send_to(&message, to));
                }
            }
        }
    }
}

/// Silence, whatever is asked.
pub(crate) fn silence(_: &Seen) -> Deed {
    Deed::Silence
}

/// The answer of an honest zone: every name has the address 198.18.0.7 for 300
/// seconds, an AAAA and a TXT record, but those that begin with `nx`.
pub(crate) fn honest(seen: &Seen) -> Vec<u8> {
    let answer = Saying::to(seen);
    match seen.qtype {
        _ if seen.name.starts_with("nx") => answer.rcode(3).soa(300).done(),
        Rtype::A => answer.record("@", Rtype::A, 300, &[198, 18, 0, 7]).done(),
        Rtype::AAAA => answer.record("@", Rtype::AAAA, 300, &address("2001:db8::7")).done(),
        Rtype::TXT => answer.record("@", Rtype::TXT, 300, b"\x06honest").done(),
        _ => answer.soa(300).done(),
    }
}

/// The same to a question as it came.
pub(crate) fn honest_to(question: &[u8]) -> Vec<u8> {
    let nobody = ([127, 0, 0, 1], 0).into();
    honest(&read(question, nobody, true).expect("a question"))
}

/// The data of an AAAA record.
pub(crate) fn address(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().expect("an IPv6 address").octets()
}

/// The data of an SVCB or HTTPS record: target and (key, value) parameters.
pub(crate) fn service(target: &str, parameters: &[(u16, &[u8])]) -> Vec<u8> {
    let mut data = vec![0, 1];
    data.extend_from_slice(&wire_name(target));
    for (key, value) in parameters {
        data.extend_from_slice(&key.to_be_bytes());
        data.extend_from_slice(&(value.len() as u16).to_be_bytes());
        data.extend_from_slice(value);
    }
    data
}

/// A message to be said, well formed unless a test takes care of that.
pub(crate) struct Saying {
    octets: Vec<u8>,
    section: usize,
    opt: Option<Vec<u8>>,
}

impl Saying {
    /// An empty answer to this question, of a resolver: QR, RD, RA.
    pub(crate) fn to(seen: &Seen) -> Self {
        let mut octets = Vec::with_capacity(512);
        octets.extend_from_slice(&seen.id.to_be_bytes());
        let flags = QR | 0x0080 | seen.flags & 0x0110;
        octets.extend_from_slice(&flags.to_be_bytes());
        octets.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        let end = 12 + wire_name_length(&seen.octets[12..]) + 4;
        octets.extend_from_slice(&seen.octets[12..end]);
        let opt = seen.opt.as_ref().map(|_| Vec::new());
        Saying { octets, section: 0, opt }
    }

    /// With another id.
    pub(crate) fn id(mut self, id: u16) -> Self {
        self.octets[..2].copy_from_slice(&id.to_be_bytes());
        self
    }

    /// With more header flags.
    pub(crate) fn flags(mut self, more: u16) -> Self {
        let [high, low] = more.to_be_bytes();
        self.octets[2] |= high;
        self.octets[3] |= low;
        self
    }

    /// With this response code.
    pub(crate) fn rcode(mut self, code: u8) -> Self {
        self.octets[3] = self.octets[3] & 0xf0 | code;
        self
    }

    /// With a record in the present section, the answer unless changed.
    /// Owner `@` is a pointer to the name of the question.
    pub(crate) fn record(mut self, owner: &str, rtype: Rtype, ttl: u32, data: &[u8]) -> Self {
        match owner {
            "@" => self.octets.extend_from_slice(&[0xc0, 12]),
            owner => self.octets.extend_from_slice(&wire_name(owner)),
        }
        self.octets.extend_from_slice(&rtype.to_int().to_be_bytes());
        self.octets.extend_from_slice(&[0, 1]);
        self.octets.extend_from_slice(&ttl.to_be_bytes());
        self.octets.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.octets.extend_from_slice(data);
        let at = 6 + 2 * self.section;
        let count = u16::from_be_bytes([self.octets[at], self.octets[at + 1]]) + 1;
        self.octets[at..at + 2].copy_from_slice(&count.to_be_bytes());
        self
    }

    /// Records from here on stand in the authority section.
    pub(crate) fn authority(self) -> Self {
        Saying { section: 1, ..self }
    }

    /// Records from here on stand in the additional section.
    pub(crate) fn additional(self) -> Self {
        Saying { section: 2, ..self }
    }

    /// With the SOA record of a negative answer of this TTL.
    pub(crate) fn soa(self, ttl: u32) -> Self {
        let mut data = [wire_name("ns.example"), wire_name("nobody.example")].concat();
        for number in [1, 3600, 600, 86400, ttl] {
            data.extend_from_slice(&u32::to_be_bytes(number));
        }
        self.authority().record("example", Rtype::SOA, ttl, &data)
    }

    /// With an extended error, if the question had an OPT record.
    pub(crate) fn ede(mut self, code: u16, text: &str) -> Self {
        if let Some(options) = &mut self.opt {
            options.extend_from_slice(&[0, 15]);
            options.extend_from_slice(&(2 + text.len() as u16).to_be_bytes());
            options.extend_from_slice(&code.to_be_bytes());
            options.extend_from_slice(text.as_bytes());
        }
        self
    }

    /// Without an OPT record, as servers from before EDNS answer.
    pub(crate) fn without_opt(self) -> Self {
        Saying { opt: None, ..self }
    }

    /// The message.
    pub(crate) fn done(self) -> Vec<u8> {
        self.done_with(0)
    }

    /// The message, with these upper bits of the response code.
    pub(crate) fn done_with(mut self, upper: u8) -> Vec<u8> {
        if let Some(options) = self.opt.take() {
            self.octets.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, upper, 0, 0, 0]);
            self.octets.extend_from_slice(&(options.len() as u16).to_be_bytes());
            self.octets.extend_from_slice(&options);
            let count = u16::from_be_bytes([self.octets[10], self.octets[11]]) + 1;
            self.octets[10..12].copy_from_slice(&count.to_be_bytes());
        }
        self.octets
    }
}

/// Length of an uncompressed name.
fn wire_name_length(octets: &[u8]) -> usize {
    let mut at = 0;
    while octets[at] != 0 {
        at += 1 + usize::from(octets[at]);
    }
    at + 1
}
