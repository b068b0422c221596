//! What is known of one upstream server: how fast it is and whether it answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::tls::Line;
use crate::config::Peer;

/// Time-outs in a row after which a server is asked last.
const FAILS: u32 = 3;
/// Longest time a server is asked last before it gets another first chance.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// One upstream server and its counters.
pub struct Server {
    /// Where it is.
    pub address: SocketAddr,
    /// What the configuration says of it.
    peer: Peer,
    /// The connection to it, if it is asked over TLS.
    pub(super) line: Option<Line>,
    created: Instant,
    /// Smoothed round trip in microseconds; 0 = not measured yet.
    round_trip: AtomicU32,
    fails: AtomicU32,
    /// Milliseconds after `created` until which it is asked last.
    rests_until: AtomicU64,
    /// Questions sent.
    pub sent: AtomicU64,
    /// Good answers.
    pub answered: AtomicU64,
    /// Tries that ran out of time.
    pub timeouts: AtomicU64,
    /// Tries that the network refused.
    pub errors: AtomicU64,
    /// Datagrams that came from the right address with a wrong id or question:
    /// somebody guesses, or the server is broken.
    pub mismatches: AtomicU64,
}

impl Server {
    /// A server of which nothing is known yet.
    ///
    /// # Errors
    /// A sentence: nothing certifies it.
    pub fn new(peer: &Peer, home: &Handle) -> Result<Self, String> {
        let line = peer.tls.as_ref().map(|tls| Line::new(peer.address, tls, home)).transpose()?;
        Ok(Server {
            address: peer.address,
            peer: peer.clone(),
            line,
            created: Instant::now(),
            round_trip: AtomicU32::new(0),
            fails: AtomicU32::new(0),
            rests_until: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            mismatches: AtomicU64::new(0),
        })
    }

    /// Whether it is this one.
    pub fn is(&self, peer: &Peer) -> bool {
        self.peer == *peer
    }

    /// Whether nobody on the way can read what it is asked.
    pub fn is_encrypted(&self) -> bool {
        self.line.is_some()
    }

    /// It answered.
    pub fn good(&self, round_trip: Duration) {
        self.answered.fetch_add(1, Relaxed);
        if self.fails.load(Relaxed) > 0 && self.fails.swap(0, Relaxed) >= FAILS {
            tracing::info!(upstream = %self.address, "answers again");
        }
        self.rests_until.store(0, Relaxed);
        self.measure(round_trip);
    }

    /// It did not answer in time.
    pub fn timed_out(&self, after: Duration) {
        self.timeouts.fetch_add(1, Relaxed);
        self.measure(after * 2);
        self.failed();
    }

    /// The network says that it is not there.
    pub fn refused(&self) {
        self.errors.fetch_add(1, Relaxed);
        // One refusal is proof: the next question goes elsewhere first.
        self.fails.fetch_max(FAILS - 1, Relaxed);
        self.failed();
    }

    fn failed(&self) {
        let fails = self.fails.fetch_add(1, Relaxed) + 1;
        if fails == FAILS {
            tracing::warn!(upstream = %self.address, "does not answer; others are asked first");
        }
        if fails >= FAILS {
            let rest = Duration::from_secs(1 << (fails - FAILS).min(5)).min(LONGEST_REST);
            let until = self.created.elapsed() + rest;
            self.rests_until.store(until.as_millis() as u64, Relaxed);
        }
    }

    fn measure(&self, sample: Duration) {
        let sample = sample.as_micros().clamp(1, 8_000_000) as u32;
        let old = self.round_trip.load(Relaxed);
        // Down fast, up slowly: one loss must not make the next ones wait long.
        // A lost update between two tasks costs one sample.
        let new = match old {
            0 => sample,
            _ if sample < old => old.midpoint(sample),
            _ => old - old / 8 + sample / 8,
        };
        self.round_trip.store(new.max(1), Relaxed);
    }

    /// Smoothed round trip, once measured.
    pub fn round_trip(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Whether it is asked before others.
    pub fn is_healthy(&self) -> bool {
        (self.created.elapsed().as_millis() as u64) >= self.rests_until.load(Relaxed)
    }
}

/// The order in which to ask: healthy ones first, fast ones first, those never
/// measured in front so that they get measured. `dice` lets one question in
/// sixteen start elsewhere: a server that was slow once is noticed when it
/// becomes fast.
pub(super) fn order(servers: &[Arc<Server>], dice: u16) -> Vec<Arc<Server>> {
    let mut order = servers.to_vec();
    order.sort_by_cached_key(|server| (!server.is_healthy(), server.round_trip().unwrap_or(Duration::ZERO)));
    let healthy = order.iter().filter(|server| server.is_healthy()).count();
    if healthy > 1 && dice.is_multiple_of(16) {
        order.swap(0, 1 + usize::from(dice / 16) % (healthy - 1));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Vec<Arc<Server>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let peer = |n| Peer::plain(([192, 0, 2, n], 53).into());
        (1..=3).map(|n| Arc::new(Server::new(&peer(n), runtime.handle()).unwrap())).collect()
    }

    #[test]
    fn the_fastest_healthy_server_comes_first() {
        let servers = servers();
        for (server, millis) in servers.iter().zip([30, 10, 20]) {
            server.good(Duration::from_millis(millis));
        }
        let first = |dice| order(&servers, dice)[0].address;
        assert_eq!(first(1), servers[1].address);
        servers[1].refused();
        assert_eq!(first(1), servers[2].address);
        assert_eq!(order(&servers, 1)[2].address, servers[1].address);
        servers[1].good(Duration::from_millis(10));
        assert_eq!(first(1), servers[1].address);
    }

    #[test]
    fn three_time_outs_make_a_server_rest() {
        let servers = servers();
        for _ in 0..2 {
            servers[0].timed_out(Duration::from_millis(400));
        }
        assert!(servers[0].is_healthy());
        servers[0].timed_out(Duration::from_millis(400));
        assert!(!servers[0].is_healthy());
    }

    #[test]
    fn now_and_then_another_one_is_tried() {
        let servers = servers();
        for (server, millis) in servers.iter().zip([30, 10, 20]) {
            server.good(Duration::from_millis(millis));
        }
        let elsewhere = (0..1600).filter(|dice| order(&servers, *dice)[0].address != servers[1].address).count();
        assert_eq!(elsewhere, 100);
    }
}
