//! The hot path: one thread for each socket, batches in, batches out.
//!
//! Each worker has its own socket on the same address (SO_REUSEPORT), so that
//! workers share nothing on the way of a question. What needs an upstream is
//! handed to the asynchronous side and answered from there, over the same
//! socket.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use socket2::Socket;
use tokio::runtime::Handle;

use super::batch::{BATCH, Batch};
use crate::journal::{Outcome, Transport};
use crate::pipeline::{Pipeline, Source, Verdict};

/// How often an idle worker looks up from its socket, to let go of a replaced
/// list and to notice the end.
const LOOK_UP: Duration = Duration::from_millis(200);
/// A process that stood still for longer answers nothing that waited: the
/// clients have given up (they try again after 5 seconds), and an hour's
/// backlog after a suspend would only be in the way.
const STANDSTILL: u64 = 3_000;

/// What all workers see of the process's life.
#[derive(Default)]
pub struct Pulse {
    /// The end has come.
    pub stop: AtomicBool,
    /// Milliseconds at the last beat of the asynchronous side.
    beat: AtomicU64,
    /// How often the process stood still.
    standstills: AtomicU64,
}

impl Pulse {
    /// Called every second by the asynchronous side.
    pub fn beat(&self, now: u64) {
        let last = self.beat.swap(now, Relaxed);
        if last != 0 && now.saturating_sub(last) > STANDSTILL {
            self.standstills.fetch_add(1, Relaxed);
        }
    }

    fn stands_still(&self, now: u64) -> bool {
        let last = self.beat.load(Relaxed);
        last != 0 && now.saturating_sub(last) > STANDSTILL
    }
}

/// One worker: a socket and the thread that serves it.
pub struct Worker {
    /// Its number, which is that of its counters.
    pub number: usize,
    /// Its socket.
    pub socket: Socket,
    /// What it is bound to.
    pub address: SocketAddr,
    /// The stages.
    pub pipeline: Arc<Pipeline>,
    /// The asynchronous side.
    pub runtime: Handle,
    /// The process's life.
    pub pulse: Arc<Pulse>,
}

impl Worker {
    /// Serves until the end.
    pub fn run(self) {
        let socket = Arc::new(self.socket);
        drop(socket.set_read_timeout(Some(LOOK_UP)));
        let mut batch = Batch::new(self.address.ip().is_unspecified());
        let mut standstills = self.pulse.standstills.load(Relaxed);
        let mut outdated = false;
        // After the end has come, what has arrived already is still answered.
        let mut last_batches = 64;
        while last_batches > 0 {
            if self.pulse.stop.load(Relaxed) {
                last_batches -= 1;
                drop(socket.set_nonblocking(true));
            }
            let count = match batch.receive(socket.as_fd()) {
                Ok(count) => count,
                Err(_) if last_batches < 64 => break,
                Err(error) => {
                    wait_out(&error);
                    continue;
                }
            };
            let now = self.pipeline.clock.now();
            let seen = self.pulse.standstills.load(Relaxed);
            if seen != standstills || self.pulse.stands_still(now.0) {
                (outdated, standstills) = (true, seen);
            }
            let shard = self.pipeline.journal.shard(self.number);
            if outdated {
                for _ in 0..count {
                    shard.received(Transport::Udp);
                    shard.ended(Outcome::Outdated);
                }
                // A batch that is not full was the last of what had waited.
                outdated = count == BATCH;
                continue;
            }
            let snapshot = self.pipeline.snapshot.load();
            for i in 0..count {
                let client = batch.client(i);
                let (packet, length) = batch.datagram(i);
                let Some(length) = length else {
                    // Larger than any question: not read, not answered.
                    shard.received(Transport::Udp);
                    shard.ended(Outcome::Ignored);
                    continue;
                };
                let source = Source { client, transport: Transport::Udp };
                // A fault in a stage loses one question, not the process.
                let verdict = catch_unwind(AssertUnwindSafe(|| {
                    self.pipeline.answer_now(&snapshot, shard, packet, length, source, now)
                }));
                match verdict {
                    Ok(Verdict::Send(length)) => batch.queue(i, length),
                    Ok(Verdict::SendAndRefresh(length, question)) => {
                        batch.queue(i, length);
                        let pipeline = self.pipeline.clone();
                        self.runtime.spawn(async move { pipeline.refresh(question).await });
                    }
                    Ok(Verdict::Drop) => {}
                    Ok(Verdict::Later(question)) => {
                        let mut packet = packet[..length].to_vec();
                        let to = batch.reply_to(i);
                        let (pipeline, socket) = (self.pipeline.clone(), socket.clone());
                        self.runtime.spawn(async move {
                            let length = pipeline.answer_later(question, &mut packet, source).await;
                            to.send(socket.as_fd(), &packet[..length]);
                        });
                    }
                    Err(_) => shard.ended(Outcome::Fault),
                }
            }
            batch.flush(socket.as_fd());
        }
    }
}

/// Errors of a UDP socket pass: a time-out that lets us look up, an ICMP
/// message of some client that went away, no memory for the moment.
fn wait_out(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) {
        std::thread::sleep(Duration::from_millis(1));
    }
}
