//! Questions over TCP, many open at once on each connection (RFC 7766, section 6.2.1.1).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

use crate::Plan;
use crate::tally::Tally;
use crate::udp::client;
use crate::window::Window;

/// Unsent octets above which no further question is written to a connection.
const BACKLOG: usize = 16 * 1024;
/// Answers are read in pieces of this size.
const PIECE: usize = 64 * 1024;

/// One connection and what is under way on it.
struct Connection {
    stream: TcpStream,
    window: Window,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

pub(crate) fn run(plan: &Plan, connections: usize, tally: &mut Tally) -> io::Result<()> {
    let connections = connections.min(plan.window);
    let mut open = Vec::with_capacity(connections);
    for i in 0..connections {
        open.push(Connection {
            stream: connect(plan, i)?,
            window: Window::new(plan.window / connections),
            incoming: Vec::new(),
            outgoing: Vec::new(),
        });
    }
    let mut piece = vec![0; PIECE];
    let (end, timeout) = (plan.seconds.as_nanos() as u64, plan.timeout.as_nanos() as u64);
    let mut asked = 0;
    let mut stopped_at = None;
    tally.begin();
    loop {
        let mut idle = true;
        for (i, connection) in open.iter_mut().enumerate() {
            let alive = connection.exchange(plan, &mut piece, stopped_at.is_none(), &mut asked, &mut idle, tally)?;
            if !alive {
                // the server closed the connection: what was open on it is lost, and a new one takes its place
                tally.lost(connection.window.expire(u64::MAX));
                connection.stream = connect(plan, i)?;
                connection.incoming.clear();
                connection.outgoing.clear();
            }
        }
        let now = tally.now();
        if stopped_at.is_none() && (now >= end || asked >= plan.count) {
            stopped_at = Some(now);
            tally.stop(now);
        }
        if let Some(at) = stopped_at
            && (open.iter().all(|connection| connection.window.open() == 0) || now > at + timeout)
        {
            break;
        }
        if idle {
            thread::yield_now();
        }
    }
    for connection in &mut open {
        tally.lost(connection.window.expire(u64::MAX));
    }
    Ok(())
}

impl Connection {
    /// Reads answers, writes questions, without waiting; `false` when the server has closed the connection.
    fn exchange(
        &mut self,
        plan: &Plan,
        piece: &mut [u8],
        asking: bool,
        asked: &mut u64,
        idle: &mut bool,
        tally: &mut Tally,
    ) -> io::Result<bool> {
        match self.stream.read(piece) {
            Ok(0) => return Ok(false),
            Ok(length) => {
                *idle = false;
                self.incoming.extend_from_slice(&piece[..length]);
                let now = tally.now();
                let mut rest = self.incoming.as_slice();
                while let Some((message, after)) = frame(rest) {
                    tally.answer(message, &mut self.window, &plan.questions, now);
                    rest = after;
                }
                let taken = self.incoming.len() - rest.len();
                self.incoming.drain(..taken);
            }
            Err(problem) if problem.kind() == ErrorKind::WouldBlock => {}
            Err(problem) if problem.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(problem) => return Err(problem),
        }
        let now = tally.now();
        let mut new = 0;
        while asking && *asked < plan.count && self.outgoing.len() < BACKLOG {
            let question = (*asked % plan.questions.len() as u64) as usize;
            let Some(id) = self.window.ask(question, now) else {
                break;
            };
            let message = plan.questions.message(question);
            self.outgoing.extend_from_slice(&(message.len() as u16).to_be_bytes());
            self.outgoing.extend_from_slice(&id.to_be_bytes());
            self.outgoing.extend_from_slice(&message[2..]);
            *asked += 1;
            new += 1;
        }
        tally.sent(new);
        if self.outgoing.is_empty() {
            return Ok(true);
        }
        match self.stream.write(&self.outgoing) {
            Ok(length) => {
                *idle = false;
                self.outgoing.drain(..length);
                Ok(true)
            }
            Err(problem) if problem.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(problem) if matches!(problem.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Ok(false),
            Err(problem) => Err(problem),
        }
    }
}

/// The first whole message of `octets`, and what follows it.
fn frame(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Connection number `index`, from its client address when there are several.
fn connect(plan: &Plan, index: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(plan.server), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(clients) = plan.clients {
        socket.bind(&SocketAddr::from((client(index as u32 % clients), 0)).into())?;
    }
    socket.connect(&plan.server.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
