//! Where questions go that nobody here can answer.
//!
//! [`Upstreams::shared`] is all that the pipeline sees: a question goes in, the
//! answer of the first upstream that gave a good one comes out, in wire form.
//! Identical questions share one exchange. Which server is asked, how often and
//! over which transport is decided in here, so that encrypted transports and
//! recursion can come in without the pipeline noticing.

mod exchange;
mod health;
mod tls;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::config::Peer;
use crate::entry::Entry;
use crate::query::{Query, Question};
use crate::wire::ede;

pub use exchange::Settings;
pub use health::Server;

/// Why no upstream's answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// None answered in time.
    Timeout,
    /// The network refused: port closed, no route, connection cut.
    Network,
    /// All that answered refused, or did not understand.
    Refused,
    /// What came was no DNS message, or was cut.
    Malformed,
    /// This host has no descriptor, port or memory left for a socket.
    OutOfSockets,
    /// No upstream is configured, nor known to the system.
    NoUpstream,
}

impl Failure {
    /// The extended error code (RFC 8914) that says it.
    pub fn ede(self) -> u16 {
        match self {
            Failure::Timeout | Failure::Refused | Failure::NoUpstream => ede::NO_REACHABLE_AUTHORITY,
            Failure::Network | Failure::Malformed => ede::NETWORK_ERROR,
            Failure::OutOfSockets => ede::NOT_READY,
        }
    }

    /// The same in words.
    pub fn text(self) -> &'static str {
        match self {
            Failure::Timeout => "no upstream answered in time",
            Failure::Network => "the network refused",
            Failure::Refused => "the upstreams refused",
            Failure::Malformed => "an upstream sent a malformed message",
            Failure::OutOfSockets => "this resolver has no free sockets",
            Failure::NoUpstream => "no upstream is known",
        }
    }
}

/// Whether somebody certifies each of those that are asked over TLS.
///
/// # Errors
/// A sentence: nobody does.
pub fn check(peers: &[Peer]) -> Result<(), String> {
    peers.iter().filter_map(|peer| peer.tls.as_ref()).try_for_each(|peer| tls::client(peer).map(drop))
}

type Flight = watch::Receiver<Option<Arc<Entry>>>;

/// What a question does about the exchange for it.
enum Role {
    /// Another one leads it.
    Join(Flight),
    /// It leads, and tells the others.
    Lead(watch::Sender<Option<Arc<Entry>>>),
}

/// The upstream servers and the exchanges under way. A clone is another handle
/// to the same.
#[derive(Clone)]
pub struct Upstreams(Arc<Inner>);

struct Inner {
    servers: ArcSwap<Vec<Arc<Server>>>,
    settings: ArcSwap<Settings>,
    flights: Mutex<HashMap<u64, Flight>>,
}

impl Upstreams {
    /// Servers in no order: the fastest is found by asking.
    pub fn new(servers: Vec<Arc<Server>>, settings: Settings) -> Self {
        Upstreams(Arc::new(Inner {
            servers: ArcSwap::from_pointee(servers),
            settings: ArcSwap::from_pointee(settings),
            flights: Mutex::new(HashMap::new()),
        }))
    }

    /// Replaces the servers.
    pub fn replace(&self, servers: Vec<Arc<Server>>, settings: Settings) {
        self.0.servers.store(Arc::new(servers));
        self.0.settings.store(Arc::new(settings));
    }

    /// The servers, for metrics.
    pub fn servers(&self) -> Arc<Vec<Arc<Server>>> {
        self.0.servers.load_full()
    }

    /// Whether an exchange for this question is under way.
    pub fn is_asked(&self, question: &Question) -> bool {
        self.flights().contains_key(&question.key)
    }

    /// The answer to a question: joins the exchange that is under way for the
    /// same one, or leads it. `asked` is how upstreams are asked it. `take_over`
    /// turns the message into an entry; it runs once for each exchange.
    ///
    /// The exchange belongs to the task that leads it. A caller that may stop
    /// waiting before the end gives it a task of its own.
    pub async fn shared<F: Future<Output = Arc<Entry>>>(
        &self,
        question: &Question,
        asked: &Query,
        take_over: impl FnOnce(Result<Vec<u8>, Failure>) -> F,
    ) -> Arc<Entry> {
        let sender = match self.join_or_lead(question.key) {
            Role::Lead(sender) => sender,
            Role::Join(mut flight) => {
                let arrived = flight.wait_for(Option::is_some).await.ok().and_then(|entry| entry.clone());
                // Flights are found by a hash; two names with the same one are
                // as good as impossible, and must not get each other's answer.
                let mine = arrived.filter(|entry| entry.answers(&question.query));
                let lost = || Entry::failure(&question.query, Failure::Network.ede(), Failure::Network.text(), 0);
                return mine.unwrap_or_else(|| Arc::new(lost()));
            }
        };
        // Landed even if what follows panics: those who joined see a closed
        // channel and answer SERVFAIL, and the next question starts anew.
        let landing = Landing { upstreams: self, key: question.key };
        let entry = take_over(self.message(asked).await).await;
        // In this order: whoever finds no flight finds the answer in memory.
        drop(landing);
        sender.send_replace(Some(entry.clone()));
        entry
    }

    /// The message with which the first upstream answers that gives a good
    /// answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn message(&self, query: &Query) -> Result<Vec<u8>, Failure> {
        let (servers, settings) = (self.0.servers.load_full(), self.0.settings.load_full());
        exchange::exchange(&servers, &settings, query).await
    }

    fn join_or_lead(&self, key: u64) -> Role {
        match self.flights().entry(key) {
            Slot::Occupied(flight) => Role::Join(flight.get().clone()),
            Slot::Vacant(slot) => {
                let (sender, flight) = watch::channel(None);
                slot.insert(flight);
                Role::Lead(sender)
            }
        }
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Flight>> {
        // The map is whole at every point where a holder could panic.
        self.0.flights.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Landing<'a> {
    upstreams: &'a Upstreams,
    key: u64,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.upstreams.flights().remove(&self.key);
    }
}

/// How long a whole exchange may take, and a single try at first.
impl Settings {
    /// From the configuration.
    pub fn new(try_timeout: Duration, deadline: Duration, payload: u16) -> Self {
        Settings { try_timeout, deadline, payload }
    }
}
