//! Messages with a length in front, on a connection in clear (RFC 1035 section
//! 4.2.2) or over TLS (DoT, RFC 7858): pipelined questions, answers in the
//! order in which they are ready (RFC 7766 sections 6.2.1.1 and 7).
//!
//! One task for each connection. What can be answered at once is answered while
//! the questions of one read are gone through, and leaves in one write; what
//! needs an upstream comes back through a channel. A connection that sends
//! nothing, or does not take its answers, is closed.

use std::future::pending;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::accept::Rules;
use super::caller::{Caller, Reply};

/// Octets that are read at once, and that a silent connection holds.
const READ: usize = 4096;
/// Octets of answers that leave before more questions are gone through.
const WRITE: usize = 16 << 10;

/// Serves one connection to its end.
pub async fn run(mut stream: impl AsyncRead + AsyncWrite + Unpin, caller: Caller, rules: Rules) {
    let _ended = Talk::new(caller, rules).run(&mut stream).await;
    drop(timeout(rules.idle, stream.shutdown()).await);
}

struct Talk {
    caller: Caller,
    rules: Rules,
    /// What was read and not gone through yet.
    input: Vec<u8>,
    /// Framed answers that are not written yet.
    output: Vec<u8>,
    /// Questions that wait for an upstream.
    waiting: usize,
    late: mpsc::Receiver<Option<Vec<u8>>>,
    back: mpsc::Sender<Option<Vec<u8>>>,
    /// Questions that may still come.
    left: usize,
    /// When the client has been silent for too long: a question comes whole
    /// within the same time, since one octet a minute would hold a place for an
    /// hour.
    deadline: Instant,
}

impl Talk {
    fn new(caller: Caller, rules: Rules) -> Self {
        // The channel is as deep as the pipeline: an answer always finds room.
        let (back, late) = mpsc::channel(rules.depth);
        Talk {
            caller,
            left: rules.questions,
            deadline: Instant::now() + rules.idle,
            rules,
            input: Vec::with_capacity(READ),
            output: Vec::new(),
            waiting: 0,
            late,
            back,
        }
    }

    /// Until the client is gone or silent, and its questions are answered.
    async fn run(mut self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        let mut reading = true;
        loop {
            let more = self.go_through();
            self.write(stream).await?;
            if more {
                continue;
            }
            reading &= self.left > 0;
            if !reading && self.waiting == 0 {
                return Ok(());
            }
            // Not reading is what makes a client stop that asks faster than
            // upstreams answer.
            let full = self.waiting >= self.rules.depth;
            let deadline = self.deadline;
            self.input.reserve(READ);
            tokio::select! {
                Some(answer) = self.late.recv() => self.take(answer),
                read = async {
                    if !reading || full {
                        return pending().await;
                    }
                    timeout_at(deadline, stream.read_buf(&mut self.input)).await
                } => {
                    // The end of the stream, an error, silence: answers under
                    // way are still written.
                    reading = matches!(read, Ok(Ok(octets)) if octets > 0);
                }
            }
        }
    }

    /// Takes a late answer, or the word that there will be none.
    fn take(&mut self, answer: Option<Vec<u8>>) {
        self.waiting -= 1;
        if let Some(answer) = answer {
            frame(&mut self.output, &answer);
        }
        while let Ok(answer) = self.late.try_recv() {
            self.waiting -= 1;
            if let Some(answer) = answer {
                frame(&mut self.output, &answer);
            }
        }
        self.deadline = self.deadline.max(Instant::now() + self.rules.idle);
    }

    /// Goes through the questions that are here. Whether there may be more of
    /// them, once what is ready has been written.
    fn go_through(&mut self) -> bool {
        let mut at = 0;
        let mut more = false;
        while self.left > 0 && self.waiting < self.rules.depth {
            if self.output.len() >= WRITE {
                more = true;
                break;
            }
            let Some((length, rest)) = self.input[at..].split_first_chunk() else { break };
            let Some(question) = rest.get(..usize::from(u16::from_be_bytes(*length))) else { break };
            at += 2 + question.len();
            self.left -= 1;
            let output = &mut self.output;
            match self.caller.ask(question, |answer| frame(output, answer)) {
                Reply::Now(()) | Reply::Nothing | Reply::Lost => {}
                Reply::Later(later) => {
                    self.waiting += 1;
                    let (caller, packet) = (self.caller.clone(), question.to_vec());
                    let mut back = Back(Some(self.back.clone()));
                    tokio::spawn(async move {
                        let answer = caller.wait(later, packet).await;
                        back.send(Some(answer));
                    });
                }
            }
        }
        if at > 0 {
            self.input.drain(..at);
            self.input.shrink_to(2 * READ);
            self.deadline = Instant::now() + self.rules.idle;
        }
        more
    }

    async fn write(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        timeout(self.rules.idle, async {
            stream.write_all(&self.output).await?;
            stream.flush().await
        })
        .await??;
        self.output.clear();
        self.output.shrink_to(2 * WRITE);
        Ok(())
    }
}

fn frame(output: &mut Vec<u8>, answer: &[u8]) {
    output.extend_from_slice(&(answer.len() as u16).to_be_bytes());
    output.extend_from_slice(answer);
}

/// The way back of a late answer. Dropped without one, after a fault of ours,
/// it still says that there will be none.
struct Back(Option<mpsc::Sender<Option<Vec<u8>>>>);

impl Back {
    fn send(&mut self, answer: Option<Vec<u8>>) {
        if let Some(back) = self.0.take() {
            // There is room, or nobody is left to hear it.
            drop(back.try_send(answer));
        }
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        self.send(None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::duplex;

    use super::*;
    use crate::clock::Now;
    use crate::journal::{Outcome, Shard, Transport};
    use crate::pipeline::{Pipeline, Snapshot, Source, Verdict};
    use crate::query::{Query, Question};
    use crate::server::tests::{pipeline, question};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Of three questions one fails at once, and one when it is answered later:
    /// its end is said to lie where no packet has an octet.
    fn faulty(
        pipeline: &Pipeline,
        snapshot: &Snapshot,
        shard: &Shard,
        packet: &mut [u8],
        length: usize,
        source: Source,
        now: Now,
    ) -> Verdict {
        let turn = u16::from_be_bytes([packet[0], packet[1]]) % 3;
        if turn == 0 {
            return pipeline.answer_now(snapshot, shard, packet, length, source, now);
        }
        shard.received(source.transport);
        assert_ne!(turn, 1, "a fault in a stage");
        let mut query = Query::parse(&packet[..length]).expect("a question");
        query.question_end = 100_000;
        let key = pipeline.cache.key(&query);
        Verdict::Later(Box::new(Question { query, key }))
    }

    #[tokio::test]
    async fn f35_a_stage_that_panics_costs_one_question_and_not_the_connection() {
        const COUNT: u16 = 30;
        let pipeline = pipeline();
        let source = Source { client: [127, 0, 0, 1].into(), transport: Transport::Tcp };
        let caller = Caller::new(pipeline.clone(), source).with_first(faulty);
        let (mut client, server) = duplex(1 << 16);
        let rules = Rules { idle: PATIENCE, depth: 4, questions: usize::MAX };
        let served = tokio::spawn(run(server, caller, rules));
        // Some of one read, and some when faults have happened.
        for ids in [0..COUNT / 2, COUNT / 2..COUNT] {
            let mut asked = Vec::new();
            ids.clone().for_each(|id| frame(&mut asked, &question(id)));
            client.write_all(&asked).await.expect("it reads on");
            for id in ids.filter(|id| id % 3 == 0) {
                let mut answer = vec![0; usize::from(client.read_u16().await.expect("all others are answered"))];
                client.read_exact(&mut answer).await.expect("a whole answer");
                assert_eq!((u16::from_be_bytes([answer[0], answer[1]]), answer[3] & 0x0f), (id, 0));
            }
        }
        client.shutdown().await.expect("it is there");
        timeout(PATIENCE, served).await.expect("no answer is waited for that is lost").expect("the connection lives");
        assert_eq!(pipeline.journal.ended(Outcome::Fault), u64::from(COUNT / 3 * 2));
        let ended: u64 = Outcome::ALL.iter().map(|(outcome, _)| pipeline.journal.ended(*outcome)).sum();
        assert_eq!((pipeline.journal.received(Transport::Tcp), ended), (COUNT.into(), COUNT.into()));
        // Nothing that a stop would have to wait for.
        timeout(PATIENCE / 2, pipeline.drain(PATIENCE)).await.expect("each has one outcome");
    }
}
