//! TCP: pipelined questions, answers in the order in which they are ready
//! (RFC 7766 sections 6.2.1.1 and 7).
//!
//! Every resource that a client can hold is counted: connections in all, those
//! of one address, unanswered questions on each, and time. A connection that
//! sends nothing, or does not take its answers, is closed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::answer::OPT_ROOM;
use crate::journal::Transport;
use crate::pipeline::{Pipeline, Source, Verdict};

/// Pause after a failed accept: when descriptors have run out, trying again at
/// once only burns the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Room for the answer that is being prepared.
const ROOM: usize = u16::MAX as usize + OPT_ROOM;

/// Connections that are open, and by whom.
pub struct Connections {
    /// Whatever the configuration says, half of the process's descriptors stay
    /// free for questions to upstreams.
    ceiling: usize,
    all: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, usize>>,
    refused: AtomicUsize,
}

impl Connections {
    /// No connections yet, and never more than `ceiling`.
    pub fn within(ceiling: usize) -> Self {
        Connections { ceiling, all: AtomicUsize::new(0), by_client: Mutex::default(), refused: AtomicUsize::new(0) }
    }

    /// Open now.
    pub fn open(&self) -> usize {
        self.all.load(Relaxed)
    }

    /// Closed at once because of a limit.
    pub fn refused(&self) -> usize {
        self.refused.load(Relaxed)
    }

    fn enter(self: &Arc<Self>, client: IpAddr, most: usize, most_of_one: usize) -> Option<Entered> {
        let mut clients = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = clients.get(&client).copied().unwrap_or(0);
        if mine >= most_of_one || self.all.load(Relaxed) >= most.min(self.ceiling) {
            self.refused.fetch_add(1, Relaxed);
            return None;
        }
        clients.insert(client, mine + 1);
        self.all.fetch_add(1, Relaxed);
        Some(Entered { connections: self.clone(), client })
    }
}

struct Entered {
    connections: Arc<Connections>,
    client: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.connections.all.fetch_sub(1, Relaxed);
        let mut clients = self.connections.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// Accepts connections for ever.
pub async fn serve(listener: TcpListener, pipeline: Arc<Pipeline>, connections: Arc<Connections>) {
    let mut complained: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => accept(stream, peer, &pipeline, &connections),
            Err(error) => {
                // Once a minute: a log that grows with every failure would be
                // the next thing to fill up.
                if complained.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                    tracing::warn!(%error, "TCP connections cannot be accepted; UDP goes on");
                    complained = Some(Instant::now());
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn accept(stream: TcpStream, peer: SocketAddr, pipeline: &Arc<Pipeline>, connections: &Arc<Connections>) {
    let client = peer.ip().to_canonical();
    let snapshot = pipeline.snapshot.load();
    let rules = &snapshot.config.server;
    // A stranger is told that it is refused, as over UDP, but may hold one
    // place only, for one question.
    let stranger = !snapshot.policies.of(client).served;
    let most_of_one = if stranger { 1 } else { rules.tcp_connections_per_client };
    let Some(entered) = connections.enter(client, rules.tcp_connections, most_of_one) else {
        return;
    };
    drop(stream.set_nodelay(true));
    let connection = Connection {
        pipeline: pipeline.clone(),
        client,
        idle: rules.tcp_idle_timeout,
        depth: rules.tcp_pipeline,
        questions: if stranger { 1 } else { usize::MAX },
    };
    tokio::spawn(async move {
        let _entered = entered;
        connection.run(stream).await;
    });
}

struct Connection {
    pipeline: Arc<Pipeline>,
    client: IpAddr,
    idle: Duration,
    /// Unanswered questions at a time.
    depth: usize,
    /// Questions in all.
    questions: usize,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let (reader, writer) = stream.into_split();
        // The channel is as deep as the pipeline: an answer always finds room,
        // because its question holds a permit until it is written.
        let (answers, queue) = mpsc::channel(self.depth);
        let permits = Arc::new(Semaphore::new(self.depth));
        let idle = self.idle;
        let writing = tokio::spawn(write(writer, queue, permits.clone(), idle));
        // Reading stops at the end of the stream, at an error, or when the
        // client is idle; answers under way are still written.
        let _ended = self.read(BufReader::with_capacity(4096, reader), answers, permits).await;
        drop(writing.await);
    }

    /// Reads questions until there are no more. `None` is a normal end.
    async fn read(
        self,
        mut reader: BufReader<OwnedReadHalf>,
        answers: mpsc::Sender<Vec<u8>>,
        permits: Arc<Semaphore>,
    ) -> Option<()> {
        for _ in 0..self.questions {
            // No permit: the client asks faster than it reads. Not reading is
            // what makes it stop.
            let permit = permits.acquire().await.ok()?;
            let length = timeout(self.idle, reader.read_u16()).await.ok()?.ok()?;
            let mut packet = vec![0; usize::from(length)];
            // A question comes whole, or within the same time: one octet a
            // minute would hold a place for an hour.
            timeout(self.idle, reader.read_exact(&mut packet)).await.ok()?.ok()?;
            permit.forget();
            if let Some(answer) = self.answer(packet, &answers, &permits) {
                answers.send(answer).await.ok()?;
            }
        }
        Some(())
    }

    /// The framed answer, if it is ready at once.
    fn answer(
        &self,
        mut packet: Vec<u8>,
        answers: &mpsc::Sender<Vec<u8>>,
        permits: &Arc<Semaphore>,
    ) -> Option<Vec<u8>> {
        thread_local! {
            static SCRATCH: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; ROOM]);
        }
        let source = Source { client: self.client, transport: Transport::Tcp };
        let pipeline = &self.pipeline;
        let shard = pipeline.journal.shared();
        let length = packet.len();
        let verdict = SCRATCH.with_borrow_mut(|scratch| {
            scratch[..length].copy_from_slice(&packet);
            let now = pipeline.clock.now();
            let verdict = pipeline.answer_now(&pipeline.snapshot.load(), shard, scratch, length, source, now);
            match verdict {
                Verdict::Send(length) => Ok((framed(&scratch[..length]), None)),
                Verdict::SendAndRefresh(length, question) => Ok((framed(&scratch[..length]), Some(question))),
                other => Err(other),
            }
        });
        match verdict {
            Ok((answer, refresh)) => {
                if let Some(question) = refresh {
                    let pipeline = pipeline.clone();
                    tokio::spawn(async move { pipeline.refresh(question).await });
                }
                Some(answer)
            }
            Err(Verdict::Later(question)) => {
                let pipeline = pipeline.clone();
                let back = Back { answers: answers.clone(), permits: permits.clone(), sent: false };
                tokio::spawn(async move {
                    let length = pipeline.answer_later(question, &mut packet, source).await;
                    back.send(framed(&packet[..length])).await;
                });
                None
            }
            Err(_) => {
                permits.add_permits(1);
                None
            }
        }
    }
}

/// The way back of a late answer. Dropped without an answer, after a fault of
/// ours, it still gives the question's place back.
struct Back {
    answers: mpsc::Sender<Vec<u8>>,
    permits: Arc<Semaphore>,
    sent: bool,
}

impl Back {
    async fn send(mut self, answer: Vec<u8>) {
        self.sent = true;
        drop(self.answers.send(answer).await);
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        if !self.sent {
            self.permits.add_permits(1);
        }
    }
}

/// Writes answers until no more can come. Every written answer frees the place
/// of its question.
async fn write(
    mut writer: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Vec<u8>>,
    permits: Arc<Semaphore>,
    patience: Duration,
) {
    let mut out = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut count = 1;
        out.clear();
        out.extend_from_slice(&first);
        // What is ready goes in one packet.
        while out.len() < 16 << 10 {
            let Ok(more) = queue.try_recv() else { break };
            out.extend_from_slice(&more);
            count += 1;
        }
        if !matches!(timeout(patience, writer.write_all(&out)).await, Ok(Ok(()))) {
            break;
        }
        permits.add_permits(count);
    }
    // No more places: the reading side stops waiting for one and ends.
    permits.close();
    drop(writer.shutdown().await);
}

fn framed(answer: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(2 + answer.len());
    framed.extend_from_slice(&(answer.len() as u16).to_be_bytes());
    framed.extend_from_slice(answer);
    framed
}
