//! One question, asked until somebody gives a good answer or time is over.
//!
//! Sockets are plain ones of the system, not those of a DNS library: each try
//! has a fresh, *connected* socket, so that the source port is the kernel's
//! random choice, packets from elsewhere never arrive, and an ICMP refusal is
//! an error at once and not a time-out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Failure;
use super::health::{Server, order};
use crate::entry::is_answer_to;
use crate::query::Query;
use crate::wire::{HEADER, flag, put_u16, rcode, rtype};

/// Tries for one question at most, all servers together.
const MOST_TRIES: usize = 10;
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
    let deadline = Instant::now() + settings.deadline;
    let order = &order(servers, random());
    if order.is_empty() {
        return Err(Failure::NoUpstream);
    }
    let start = |index: usize| async move { (index, one_try(&order[index], settings, query, deadline).await) };
    let mut tries = FuturesUnordered::new();
    // Servers that answered badly, or that the network says are not there, are
    // not asked again; silence (loss) is what further rounds are for.
    let mut spoiled = vec![false; order.len()];
    let mut failure = Failure::Timeout;
    let mut poor_answer = None;
    tries.push(start(0));
    let mut started = 1;
    let mut next = pin!(sleep_until(Instant::now() + pause(&order[0], settings)));
    loop {
        tokio::select! {
            Some((index, result)) = tries.next() => {
                match result {
                    Ok(message) if is_good(&message) => return Ok(message),
                    Ok(message) => {
                        failure = Failure::Refused;
                        if message[3] & 0x0f == rcode::SERVFAIL {
                            poor_answer = Some(message);
                        }
                    }
                    Err(reason) if failure != Failure::Refused => failure = reason,
                    Err(_) => {}
                }
                spoiled[index] = true;
                if spoiled.iter().all(|spoiled| *spoiled) {
                    return poor_answer.ok_or(failure);
                }
                if started < order.len() {
                    next.as_mut().reset(Instant::now());
                }
            },
            () = &mut next => {
                let now = Instant::now();
                if now >= deadline {
                    return poor_answer.ok_or(failure);
                }
                let mut candidates = (started..started + order.len()).map(|turn| turn % order.len());
                let candidate = candidates.find(|index| !spoiled[*index]);
                let again = match candidate.filter(|_| started < MOST_TRIES) {
                    Some(index) => {
                        tries.push(start(index));
                        let round = started / order.len();
                        started += 1;
                        let pause = pause(&order[index], settings) * (1 << round.min(3));
                        now + pause.min(LONGEST_PAUSE)
                    }
                    None => deadline,
                };
                next.as_mut().reset(again.min(deadline));
            }
        }
    }
}

/// An answer that ends the search: data, or the certainty that there is none.
fn is_good(message: &[u8]) -> bool {
    const YXDOMAIN: u8 = 6;
    matches!(message[3] & 0x0f, rcode::NOERROR | rcode::NXDOMAIN | YXDOMAIN)
}

fn pause(server: &Server, settings: &Settings) -> Duration {
    let known = server.round_trip().map(|round_trip| round_trip * 3 + Duration::from_millis(50));
    known.map_or(settings.try_timeout, |known| known.clamp(Duration::from_millis(100), settings.try_timeout * 2))
}

async fn one_try(server: &Server, settings: &Settings, query: &Query, deadline: Instant) -> Result<Vec<u8>, Failure> {
    let begin = Instant::now();
    server.sent.fetch_add(1, Relaxed);
    // A silent server is judged after a while, though its socket stays open
    // until the deadline: the answer may be late and not lost.
    let judge = pause(server, settings).min(settings.deadline);
    let mut work = pin!(over_udp(server, settings, query));
    let result = match timeout_at((begin + judge).min(deadline), &mut work).await {
        Ok(result) => result,
        Err(_) => {
            server.timed_out(judge);
            timeout_at(deadline, work).await.unwrap_or(Err(Failure::Timeout))
        }
    };
    match &result {
        Ok(_) => server.good(begin.elapsed()),
        Err(Failure::Network) => server.refused(),
        Err(_) => {}
    }
    result
}

async fn over_udp(server: &Server, settings: &Settings, query: &Query) -> Result<Vec<u8>, Failure> {
    let socket = connected(server.address).await.map_err(|_| Failure::Network)?;
    let mut edns = true;
    loop {
        let question = encode(query, edns.then_some(settings.payload));
        socket.send(&question).await.map_err(|_| Failure::Network)?;
        let answer = receive(&socket, server, &question, query).await?;
        let flags = u16::from_be_bytes([answer[2], answer[3]]);
        if flags & flag::TC != 0 {
            return over_tcp(server.address, &question, query).await;
        }
        // A server from before EDNS (RFC 6891 section 7). Asked once more, for
        // this question only: nothing is remembered that somebody could forge.
        let code = (flags & flag::RCODE) as u8;
        if edns && matches!(code, rcode::FORMERR | rcode::NOTIMP) {
            edns = false;
            continue;
        }
        return Ok(answer);
    }
}

/// Waits for the answer to this question and ignores everything else: an
/// attacker's wrong guess must not end the wait for the right answer.
async fn receive(socket: &UdpSocket, server: &Server, question: &[u8], query: &Query) -> Result<Vec<u8>, Failure> {
    let id = u16::from_be_bytes([question[0], question[1]]);
    let mut buffer = vec![0; 4096];
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

async fn connected(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// The question as it goes to an upstream: a random id, RD, the client's CD
/// and DO, AD to be told about validation (RFC 6840 section 5.7), and no
/// option of the client's.
fn encode(query: &Query, payload: Option<u16>) -> Vec<u8> {
    let mut message = Vec::with_capacity(query.question_end + 11);
    message.extend_from_slice(&random().to_be_bytes());
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

/// Unpredictable, from the system: an id is half of what protects an answer.
fn random() -> u16 {
    let mut bytes = [0; 2];
    // The call fails only on systems without a random source; a question with
    // a guessable id would be worse than none.
    getrandom::fill(&mut bytes).expect("the system's random source works");
    u16::from_ne_bytes(bytes)
}
