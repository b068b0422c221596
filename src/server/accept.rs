//! Connections: who may have one, how many, and what is spoken on it.
//!
//! Every resource that a client can hold is counted: connections in all, those
//! of one address, unanswered questions on each, and time. Handshakes and
//! everything behind them happen in the connection's own task, so none of them
//! keeps the next client from being accepted.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::BufWriter;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::caller::Caller;
use super::{https, stream, tls};
use crate::journal::Transport;
use crate::pipeline::{Pipeline, Source};

/// Pause after a failed accept: when descriptors have run out, trying again at
/// once only burns the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Octets of TLS records that may wait to leave together.
const RECORDS: usize = 4096;

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

    /// A place for one more connection of this client, if there is room.
    pub(crate) fn enter(self: &Arc<Self>, client: IpAddr, most: usize, most_of_one: usize) -> Option<Entered> {
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

/// Somebody's place, until it is dropped.
pub(crate) struct Entered {
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

/// What a client may do on one connection.
#[derive(Clone, Copy)]
pub struct Rules {
    /// How long it may be silent, or leave its answers untaken.
    pub idle: Duration,
    /// Unanswered questions at a time; at least one.
    pub depth: usize,
    /// Questions in all.
    pub questions: usize,
}

/// Accepts connections for ever, on which a certain transport is spoken.
pub async fn serve(
    listener: TcpListener,
    transport: Transport,
    pipeline: Arc<Pipeline>,
    connections: Arc<Connections>,
) {
    let mut complained: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => accept(stream, peer, transport, &pipeline, &connections),
            Err(error) => {
                // Once a minute: a log that grows with every failure would be
                // the next thing to fill up.
                if complained.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                    tracing::warn!(%error, "connections cannot be accepted; UDP goes on");
                    complained = Some(Instant::now());
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn accept(
    stream: TcpStream,
    peer: SocketAddr,
    transport: Transport,
    pipeline: &Arc<Pipeline>,
    connections: &Arc<Connections>,
) {
    let client = peer.ip().to_canonical();
    let snapshot = pipeline.snapshot.load();
    let server = &snapshot.config.server;
    // A stranger is told that it is refused, as over UDP, but may hold one
    // place only, for one question.
    let stranger = !snapshot.policies.of(client).served;
    let most_of_one = if stranger { 1 } else { server.tcp_connections_per_client };
    let Some(entered) = connections.enter(client, server.tcp_connections, most_of_one) else {
        return;
    };
    drop(stream.set_nodelay(true));
    let rules = Rules {
        idle: server.tcp_idle_timeout,
        depth: server.tcp_pipeline,
        questions: if stranger { 1 } else { usize::MAX },
    };
    let caller = Caller::new(pipeline.clone(), Source { client, transport });
    let keys = snapshot.tls.clone();
    tokio::spawn(async move {
        let _entered = entered;
        match (transport, keys) {
            (Transport::Tls, Some(keys)) => {
                if let Some(stream) = handshake(keys.dot(), stream, rules.idle).await {
                    stream::run(stream, caller, rules).await;
                }
            }
            (Transport::Https, Some(keys)) => {
                if let Some(stream) = handshake(keys.https(), stream, rules.idle).await {
                    https::run(stream, caller, rules, keys.path()).await;
                }
            }
            (Transport::Udp | Transport::Tcp, _) => stream::run(stream, caller, rules).await,
            // The certificate was taken out of the configuration: the listener
            // stays until the next start, and serves nobody in clear.
            (Transport::Tls | Transport::Https, None) => {}
        }
    });
}

/// A TLS connection, unless the client takes too long or speaks something else.
async fn handshake(keys: tls::Acceptor, stream: TcpStream, patience: Duration) -> Option<tls::Stream> {
    timeout(patience, keys.accept(BufWriter::with_capacity(RECORDS, stream))).await.ok()?.ok()
}
