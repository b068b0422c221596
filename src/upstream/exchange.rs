//! One question, asked until somebody gives a good answer or time is over.
//!
//! Sockets are plain ones of the system, not those of a DNS library: each try
//! has a fresh, *connected* socket, so that the source port is the kernel's
//! random choice, packets from elsewhere never arrive, and an ICMP refusal is
//! an error at once and not a time-out.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::Failure;
use super::health::{Server, order};
use super::tls::Line;
use crate::entry::{is_answer_to, targets};
use crate::query::Query;
use crate::wire::{HEADER, Record, flag, put_u16, rcode, records, rtype};

/// Tries for one question at most, all servers together.
const MOST_TRIES: usize = 10;
/// Largest answer over UDP to a question without EDNS (RFC 1035 section 4.2.1).
const PLAIN: u16 = 512;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Times and sizes of exchanges.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Pause before the second try, where nothing is known of a server.
    pub try_timeout: Duration,
    /// The whole exchange.
    pub deadline: Duration,
    /// Largest datagram that upstreams may send (EDNS).
    pub payload: u16,
}

/// Asks servers, best one first, the next when one is silent or refuses.
///
/// Earlier tries stay open while later ones start, so a slow answer still
/// counts. A response code that another server may not share (SERVFAIL,
/// REFUSED and the like) is returned only when no server had a better one.
pub(super) async fn exchange(servers: &[Arc<Server>], settings: &Settings, query: &Query) -> Result<Vec<u8>, Failure> {
    let begin = Instant::now();
    let deadline = begin + settings.deadline;
    let (id, dice) = random();
    let order = &order(servers, dice);
    let Some(best) = order.first() else { return Err(Failure::NoUpstream) };

    // Nearly every question ends here: the best server answers in time.
    let mut first = pin!(one_try(best, settings, query, id));
    let first_pause = pause(best, settings).min(settings.deadline);
    let first_result = timeout_at(begin + first_pause, &mut first).await;
    if let Ok(Ok(message)) = &first_result
        && is_good(message, query)
    {
        return first_result.unwrap_or(Err(Failure::Timeout));
    }

    let mut search = Search { spoiled: vec![false; order.len()], failure: Failure::Timeout, poor_answer: None };
    let mut waiting = first_result.is_err();
    match first_result {
        Err(_) => best.timed_out(first_pause),
        Ok(result) => drop(search.settle(0, query, result)),
    }
    let mut tries = FuturesUnordered::new();
    let mut started = 1;
    let mut next = pin!(sleep_until(Instant::now()));
    loop {
        if search.is_over() {
            return search.result();
        }
        let (index, result) = tokio::select! {
            result = &mut first, if waiting => {
                waiting = false;
                (0, result)
            }
            Some(settled) = tries.next() => settled,
            () = &mut next => {
                let now = Instant::now();
                if now >= deadline {
                    return search.result();
                }
                let again = match search.candidate(started).filter(|_| started < MOST_TRIES) {
                    Some(index) => {
                        let server = &order[index];
                        let round = started / order.len();
                        let pause = (pause(server, settings) * (1 << round.min(3))).min(LONGEST_PAUSE);
                        let (id, _) = random();
                        tries.push(async move { (index, judged_try(server, settings, query, id, pause).await) });
                        started += 1;
                        now + pause
                    }
                    None => deadline,
                };
                next.as_mut().reset(again.min(deadline));
                continue;
            }
        };
        if let Some(good) = search.settle(index, query, result) {
            return Ok(good);
        }
        if started < order.len() {
            next.as_mut().reset(Instant::now());
        }
    }
}

/// What is known while servers are asked one after the other.
struct Search {
    /// Servers that answered badly, or that the network says are not there,
    /// are not asked again; silence (loss) is what further rounds are for.
    spoiled: Vec<bool>,
    failure: Failure,
    /// A SERVFAIL, which is passed on if nobody knows better.
    poor_answer: Option<Vec<u8>>,
}

impl Search {
    /// Notes how a try ended; returns the answer if it ends the search.
    fn settle(&mut self, index: usize, query: &Query, result: Result<Vec<u8>, Failure>) -> Option<Vec<u8>> {
        self.spoiled[index] = true;
        match result {
            Ok(message) if is_good(&message, query) => return Some(message),
            Ok(message) => {
                self.failure = Failure::Refused;
                if message[3] & 0x0f == rcode::SERVFAIL {
                    self.poor_answer = Some(message);
                }
            }
            Err(reason) if self.failure != Failure::Refused => self.failure = reason,
            Err(_) => {}
        }
        None
    }

    fn is_over(&self) -> bool {
        self.spoiled.iter().all(|spoiled| *spoiled)
    }

    /// The server whose turn it is.
    fn candidate(&self, turn: usize) -> Option<usize> {
        let count = self.spoiled.len();
        (turn..turn + count).map(|turn| turn % count).find(|index| !self.spoiled[*index])
    }

    fn result(self) -> Result<Vec<u8>, Failure> {
        self.poor_answer.ok_or(self.failure)
    }
}

/// An answer that ends the search: data, or the certainty that there is none.
/// The upper bits of the code stand in the OPT record (BADVERS, say).
fn is_good(message: &[u8], query: &Query) -> bool {
    const YXDOMAIN: u8 = 6;
    let upper = |record: &Record| record.rtype == rtype::OPT && record.ttl >> 24 != 0;
    matches!(message[3] & 0x0f, rcode::NOERROR | rcode::NXDOMAIN | YXDOMAIN)
        && !records(message, query.question_end).flatten().any(|record| upper(&record))
}

/// Whether all of a message can be read. Found out here and not when it is
/// taken over, so that another server is asked instead.
fn is_whole(message: &[u8], query: &Query) -> bool {
    // A bare header refuses, and that is all that it says.
    message.len() == HEADER
        || records(message, query.question_end).all(|record| record.is_ok())
            && targets(message, query.question_end, |_| ()).is_ok()
}

fn pause(server: &Server, settings: &Settings) -> Duration {
    let known = server.round_trip().map(|round_trip| round_trip * 3 + Duration::from_millis(50));
    known.map_or(settings.try_timeout, |known| known.clamp(Duration::from_millis(100), settings.try_timeout * 2))
}

/// A try that counts as a time-out of its server after `pause`, though it goes
/// on: the answer may be late and not lost.
async fn judged_try(
    server: &Server,
    settings: &Settings,
    query: &Query,
    id: u16,
    pause: Duration,
) -> Result<Vec<u8>, Failure> {
    let mut work = pin!(one_try(server, settings, query, id));
    if let Ok(result) = timeout(pause, &mut work).await {
        return result;
    }
    server.timed_out(pause);
    work.await
}

async fn one_try(server: &Server, settings: &Settings, query: &Query, id: u16) -> Result<Vec<u8>, Failure> {
    let begin = Instant::now();
    server.sent.fetch_add(1, Relaxed);
    let result = match &server.line {
        Some(line) => over_tls(line, settings, query, id).await,
        None => over_udp(server, settings, query, id).await,
    };
    let result =
        result.and_then(|message| if is_whole(&message, query) { Ok(message) } else { Err(Failure::Malformed) });
    match &result {
        Ok(_) => server.good(begin.elapsed()),
        Err(Failure::Network) => server.refused(),
        Err(_) => {}
    }
    result
}

async fn over_udp(server: &Server, settings: &Settings, query: &Query, id: u16) -> Result<Vec<u8>, Failure> {
    let socket = connected(server.address).map_err(|error| blame(&error))?;
    let mut question = encode(query, id, Some(settings.payload));
    // Sent before the socket is given to the event loop, which would first wait
    // to hear that it can be written to: that a fresh socket can is certain.
    socket.send(&question).map_err(|_| Failure::Network)?;
    let socket = UdpSocket::from_std(socket.into()).map_err(|error| blame(&error))?;
    let mut edns = true;
    loop {
        let most = if edns { settings.payload } else { PLAIN };
        let answer = receive(&socket, server, &question, query, usize::from(most) + 1).await?;
        let flags = u16::from_be_bytes([answer[2], answer[3]]);
        // One that is larger than what was asked for may have come in pieces, of
        // which anybody can send the second without a guess at id and port: all
        // that it says counts as much as that of an answer that is cut.
        if flags & flag::TC != 0 || answer.len() > usize::from(most) {
            return over_tcp(server.address, &question, query).await;
        }
        // A server from before EDNS (RFC 6891 section 7). Asked once more, for
        // this question only: nothing is remembered that somebody could forge.
        let code = (flags & flag::RCODE) as u8;
        if edns && matches!(code, rcode::FORMERR | rcode::NOTIMP) {
            edns = false;
            question = encode(query, id, None);
            socket.send(&question).await.map_err(|_| Failure::Network)?;
            continue;
        }
        return Ok(answer);
    }
}

async fn over_tls(line: &Line, settings: &Settings, query: &Query, id: u16) -> Result<Vec<u8>, Failure> {
    let mut question = encode(query, id, Some(settings.payload));
    pad(&mut question);
    let message = line.ask(&question).await?;
    // Refusals may come as a bare header, as over UDP.
    let bare = message.len() == HEADER && message[2] & 0x80 != 0 && message[3] & 0x0f != 0;
    if bare || is_answer_to(&message, id, query) { Ok(message) } else { Err(Failure::Malformed) }
}

/// Makes a question with an OPT record at its end a multiple of 128 octets, so
/// that its length tells little (RFC 8467 section 4.1).
fn pad(question: &mut Vec<u8>) {
    let end = (question.len() + 4).next_multiple_of(128);
    let padding = end - question.len() - 4;
    let at = question.len() - 2;
    put_u16(question, at, 4 + padding as u16);
    question.extend_from_slice(&[0, 12]);
    question.extend_from_slice(&(padding as u16).to_be_bytes());
    question.resize(end, 0);
}

/// Waits for the answer to this question and ignores everything else: an
/// attacker's wrong guess must not end the wait for the right answer. What does
/// not fit is cut off.
async fn receive(
    socket: &UdpSocket,
    server: &Server,
    question: &[u8],
    query: &Query,
    room: usize,
) -> Result<Vec<u8>, Failure> {
    let id = u16::from_be_bytes([question[0], question[1]]);
    let mut buffer = vec![0; room];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|_| Failure::Network)?;
        if is_answer_to(&buffer[..length], id, query) {
            buffer.truncate(length);
            return Ok(buffer);
        }
        // Some servers refuse with a bare header.
        let bare = length == HEADER && buffer[..2] == question[..2] && buffer[2] & 0x80 != 0 && buffer[3] & 0x0f != 0;
        if bare {
            buffer.truncate(length);
            return Ok(buffer);
        }
        server.mismatches.fetch_add(1, Relaxed);
    }
}

async fn over_tcp(address: SocketAddr, question: &[u8], query: &Query) -> Result<Vec<u8>, Failure> {
    let id = u16::from_be_bytes([question[0], question[1]]);
    let work = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut framed = (question.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(question);
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut message = vec![0; usize::from(length)];
        stream.read_exact(&mut message).await?;
        std::io::Result::Ok(message)
    };
    let message = work.await.map_err(|_| Failure::Network)?;
    // An answer that is cut even over TCP is not whole, whatever it says.
    let whole = is_answer_to(&message, id, query) && message[2] & (flag::TC >> 8) as u8 == 0;
    if whole { Ok(message) } else { Err(Failure::Malformed) }
}

/// Whose fault it is that there is no socket: that of this host, which has run
/// out of something, or of the way to the server.
fn blame(error: &std::io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::EAGAIN) => Failure::OutOfSockets,
        _ => Failure::Network,
    }
}

/// A socket that hears this server only; the kernel chooses a random port.
fn connected(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.connect(&address.into())?;
    Ok(socket)
}

/// The question as it goes to an upstream: a random id, RD, the client's CD
/// and DO, AD to be told about validation (RFC 6840 section 5.7), and no
/// option of the client's.
fn encode(query: &Query, id: u16, payload: Option<u16>) -> Vec<u8> {
    let mut message = Vec::with_capacity(query.question_end + 11);
    message.extend_from_slice(&id.to_be_bytes());
    let flags = flag::RD | flag::AD | query.flags & flag::CD;
    message.extend_from_slice(&flags.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(query.name.as_wire());
    message.extend_from_slice(&query.qtype.to_be_bytes());
    message.extend_from_slice(&query.qclass.to_be_bytes());
    if let Some(payload) = payload {
        put_u16(&mut message, 10, 1);
        message.push(0);
        message.extend_from_slice(&rtype::OPT.to_be_bytes());
        message.extend_from_slice(&payload.to_be_bytes());
        message.extend_from_slice(&[0, 0, if query.dnssec_ok() { 0x80 } else { 0 }, 0, 0, 0]);
    }
    message
}

/// An unpredictable id, from the system: half of what protects an answer. And,
/// from the same call, a number to choose servers with.
fn random() -> (u16, u16) {
    let mut bytes = [0; 4];
    // The call fails only on systems without a random source; a question with
    // a guessable id would be worse than none.
    getrandom::fill(&mut bytes).expect("the system's random source works");
    (u16::from_ne_bytes([bytes[0], bytes[1]]), u16::from_ne_bytes([bytes[2], bytes[3]]))
}
