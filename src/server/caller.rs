//! One client in front of the pipeline, whatever its connection speaks.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::answer::OPT_ROOM;
use crate::clock::Now;
use crate::journal::{Outcome, Shard};
use crate::pipeline::{Pipeline, Snapshot, Source, Verdict};
use crate::query::Question;

/// Room for the answer that is being prepared.
const ROOM: usize = u16::MAX as usize + OPT_ROOM;

/// The first half of the pipeline, [`Pipeline::answer_now`].
type First = fn(&Pipeline, &Snapshot, &Shard, &mut [u8], usize, Source, Now) -> Verdict;

/// A client of one connection.
#[derive(Clone)]
pub struct Caller {
    pipeline: Arc<Pipeline>,
    source: Source,
    first: First,
}

/// What came of a question at once.
pub enum Reply<T> {
    /// The answer.
    Now(T),
    /// It needs an upstream: see [`Caller::wait`].
    Later(Box<Question>),
    /// It gets no answer.
    Nothing,
    /// Its answer is lost, by a fault of ours.
    Lost,
}

impl Caller {
    /// A client at this address.
    pub fn new(pipeline: Arc<Pipeline>, source: Source) -> Self {
        Caller { pipeline, source, first: Pipeline::answer_now }
    }

    /// With another first half, which may have faults.
    #[cfg(test)]
    pub fn with_first(self, first: First) -> Self {
        Caller { first, ..self }
    }

    /// The synchronous half; `made` takes over the answer.
    pub fn ask<T>(&self, question: &[u8], made: impl FnOnce(&[u8]) -> T) -> Reply<T> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM]);
        }
        let pipeline = &self.pipeline;
        SCRATCH.with_borrow_mut(|scratch| {
            scratch[..question.len()].copy_from_slice(question);
            let (now, shard) = (pipeline.clock.now(), pipeline.journal.shared());
            let snapshot = pipeline.snapshot.load();
            let first = || (self.first)(pipeline, &snapshot, shard, scratch, question.len(), self.source, now);
            // A fault in a stage loses one question, not all of the connection.
            let Ok(verdict) = catch_unwind(AssertUnwindSafe(first)) else {
                shard.ended(Outcome::Fault);
                return Reply::Lost;
            };
            match verdict {
                Verdict::Send(length) => Reply::Now(made(&scratch[..length])),
                Verdict::SendAndRefresh(length, question) => {
                    let pipeline = pipeline.clone();
                    tokio::spawn(async move { pipeline.refresh(question).await });
                    Reply::Now(made(&scratch[..length]))
                }
                Verdict::Later(question) => Reply::Later(question),
                Verdict::Drop => Reply::Nothing,
            }
        })
    }

    /// The asynchronous half, for the same packet. It is to be run to its end:
    /// others may wait for the same answer.
    pub async fn wait(&self, question: Box<Question>, mut packet: Vec<u8>) -> Vec<u8> {
        let length = self.pipeline.answer_later(question, &mut packet, self.source).await;
        packet.truncate(length);
        packet
    }
}
