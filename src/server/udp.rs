//! The hot path: one thread for each socket, batches in, batches out.
//!
//! Each worker has its own socket on the same address (SO_REUSEPORT), so that
//! workers share nothing on the way of a question, and its own event loop for
//! what needs an upstream: a question is received, asked on and answered by one
//! thread. As long as nothing waits for an upstream that thread sleeps in
//! recvmmsg, without the event loop around it; see `Worker::next`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime, RuntimeMetrics};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::batch::{BATCH, Batch, arrivals};
use crate::clock::Now;
use crate::journal::{Outcome, Shard, Transport};
use crate::pipeline::{Pipeline, Snapshot, Source, Verdict};

/// How often an idle worker looks up from its socket, to notice the end.
const LOOK_UP: Duration = Duration::from_millis(200);
/// Batches that are still taken from the socket after the end has come.
const LAST_BATCHES: usize = 64;
/// How long answers under way are waited for at the end.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// A process that stood still for longer answers nothing that waited: the
/// clients have given up (they try again after 5 seconds), and an hour's
/// backlog after a suspend would only be in the way.
const STANDSTILL: u64 = 3_000;

/// What all workers see of the process's life.
#[derive(Default)]
pub struct Pulse {
    /// The end has come.
    pub stop: AtomicBool,
    /// Wakes workers that wait in their event loop when it comes.
    stopped: Notify,
    /// Milliseconds at the last beat of the asynchronous side.
    beat: AtomicU64,
    /// How often the process stood still.
    standstills: AtomicU64,
}

impl Pulse {
    /// Questions that have arrived are answered, new ones are not taken.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
        self.stopped.notify_waiters();
    }

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
    number: usize,
    socket: Arc<Socket>,
    /// Not bound to one address: answers have to name theirs.
    wildcard: bool,
    pipeline: Arc<Pipeline>,
    pulse: Arc<Pulse>,
    /// The socket as its event loop sees it.
    arrivals: AsyncFd<Arc<Socket>>,
    /// Its event loop, which nobody else drives.
    runtime: Runtime,
}

impl Worker {
    /// A worker for a socket that is bound to `address`.
    ///
    /// # Errors
    /// The system has no descriptors for its event loop.
    pub fn new(
        number: usize,
        socket: Socket,
        address: SocketAddr,
        pipeline: Arc<Pipeline>,
        pulse: Arc<Pulse>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        socket.set_read_timeout(Some(LOOK_UP))?;
        let socket = Arc::new(socket);
        let arrivals = {
            let _inside = runtime.enter();
            arrivals(&socket)?
        };
        Ok(Worker { number, wildcard: address.ip().is_unspecified(), socket, pipeline, pulse, arrivals, runtime })
    }

    /// Serves until the end.
    pub fn run(self) {
        let pipeline = &self.pipeline;
        self.runtime.block_on(self.serve(|snapshot, shard, packet, length, source, now| {
            pipeline.answer_now(snapshot, shard, packet, length, source, now)
        }));
    }

    /// The same with any first half of the pipeline in place of
    /// [`Pipeline::answer_now`].
    async fn serve(&self, answer: impl Fn(&Snapshot, &Shard, &mut [u8], usize, Source, Now) -> Verdict) {
        let mut batch = Batch::new(self.wildcard);
        let mut backlog = Backlog { standstills: self.pulse.standstills.load(Relaxed), outdated: false };
        let tasks = self.runtime.metrics();
        let mut stopped = pin!(self.pulse.stopped.notified());
        while !self.pulse.stop.load(Relaxed) {
            match self.next(&mut batch, &tasks, stopped.as_mut()).await {
                Ok(count) => self.serve_batch(&mut batch, count, &mut backlog, &answer),
                Err(error) => wait_out(&error),
            }
            if batch.is_full() && tasks.num_alive_tasks() > 0 {
                // More is waiting, but tasks have their turn between batches.
                tokio::task::yield_now().await;
            }
        }
        // What has arrived already is still answered, and so is what waits for
        // an upstream.
        for _ in 0..LAST_BATCHES {
            let Ok(count) = batch.receive(self.socket.as_fd(), false) else { break };
            self.serve_batch(&mut batch, count, &mut backlog, &answer);
        }
        self.pipeline.drain(PATIENCE).await;
    }

    /// Waits for datagrams, while tasks go on.
    async fn next(
        &self,
        batch: &mut Batch,
        tasks: &RuntimeMetrics,
        stopped: Pin<&mut Notified<'_>>,
    ) -> io::Result<usize> {
        if tasks.num_alive_tasks() == 0 {
            return batch.receive(self.socket.as_fd(), true);
        }
        let mut ready = tokio::select! {
            biased;
            ready = self.arrivals.readable() => ready?,
            () = stopped => return Ok(0),
        };
        let received = batch.receive(self.socket.as_fd(), false);
        if !batch.is_full() {
            // That was all: the event loop tells when there is more.
            ready.clear_ready();
        }
        received
    }

    fn serve_batch(
        &self,
        batch: &mut Batch,
        count: usize,
        backlog: &mut Backlog,
        answer: &impl Fn(&Snapshot, &Shard, &mut [u8], usize, Source, Now) -> Verdict,
    ) {
        let now = self.pipeline.clock.now();
        let shard = self.pipeline.journal.shard(self.number);
        if backlog.is_outdated(&self.pulse, now, count) {
            for _ in 0..count {
                shard.received(Transport::Udp);
                shard.ended(Outcome::Outdated);
            }
            return;
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
            let verdict = catch_unwind(AssertUnwindSafe(|| answer(&snapshot, shard, packet, length, source, now)));
            match verdict {
                Ok(Verdict::Send(length)) => batch.queue(i, length),
                Ok(Verdict::SendAndRefresh(length, question)) => {
                    batch.queue(i, length);
                    let pipeline = self.pipeline.clone();
                    tokio::spawn(async move { pipeline.refresh(question).await });
                }
                Ok(Verdict::Drop) => {}
                Ok(Verdict::Later(question)) => {
                    let mut packet = packet[..length].to_vec();
                    let to = batch.reply_to(i);
                    let (pipeline, socket) = (self.pipeline.clone(), self.socket.clone());
                    tokio::spawn(async move {
                        let length = pipeline.answer_later(question, &mut packet, source).await;
                        to.send(socket.as_fd(), &packet[..length]);
                    });
                }
                Err(_) => shard.ended(Outcome::Fault),
            }
        }
        batch.flush(self.socket.as_fd());
    }
}

/// What waited while the process stood still.
struct Backlog {
    /// How often it stood still, as far as this worker has seen.
    standstills: u64,
    outdated: bool,
}

impl Backlog {
    /// Whether a batch is too old to be answered.
    fn is_outdated(&mut self, pulse: &Pulse, now: Now, count: usize) -> bool {
        let seen = pulse.standstills.load(Relaxed);
        if seen != self.standstills || pulse.stands_still(now.0) {
            (self.outdated, self.standstills) = (true, seen);
        }
        // A batch that is not full was the last of what had waited.
        let outdated = self.outdated;
        self.outdated = outdated && count == BATCH;
        outdated
    }
}

/// Errors of a UDP socket pass: a time-out that lets us look up, an ICMP
/// message of some client that went away, no memory for the moment.
fn wait_out(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::server::bind_udp;
    use crate::server::tests::{pipeline, question};

    #[test]
    fn f35_a_stage_that_panics_costs_one_question_and_not_the_worker() {
        const FAULTY: [u16; 3] = [3, 4, 40];
        let (pipeline, pulse) = (pipeline(), Arc::new(Pulse::default()));
        let socket = bind_udp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let worker = Worker::new(0, socket, address, pipeline.clone(), pulse.clone()).unwrap();
        let stages = pipeline.clone();
        let thread = std::thread::spawn(move || {
            worker.runtime.block_on(worker.serve(|snapshot, shard, packet, length, source, now| {
                if FAULTY.contains(&u16::from_be_bytes([packet[0], packet[1]])) {
                    shard.received(source.transport);
                    panic!("a fault in a stage");
                }
                stages.answer_now(snapshot, shard, packet, length, source, now)
            }));
        });

        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Some of one batch, and later ones.
        let mut answered = Vec::new();
        for ids in [1..=20, 21..=40, 41..=60] {
            let mut due = ids.clone().filter(|id| !FAULTY.contains(id)).count();
            ids.for_each(|id| assert!(client.send(&question(id)).is_ok()));
            let mut answer = [0; 512];
            while due > 0 {
                let length = client.recv(&mut answer).expect("all others are answered");
                assert!(length > 12 && answer[3] & 0x0f == 0);
                answered.push(u16::from_be_bytes([answer[0], answer[1]]));
                due -= 1;
            }
        }
        answered.sort_unstable();
        assert!(answered.iter().copied().eq((1..=60).filter(|id| !FAULTY.contains(id))));
        pulse.stop();
        thread.join().expect("the worker ends by itself");
        assert_eq!(pipeline.journal.ended(Outcome::Fault), FAULTY.len() as u64);
        let ended: u64 = Outcome::ALL.iter().map(|(outcome, _)| pipeline.journal.ended(*outcome)).sum();
        assert_eq!((pipeline.journal.received(Transport::Udp), ended), (60, 60), "each has one outcome");
    }
}
