//! One client in front of the pipeline, whatever its connection speaks.

use std::cell::RefCell;
use std::sync::Arc;

use crate::answer::OPT_ROOM;
use crate::pipeline::{Pipeline, Source, Verdict};
use crate::query::Question;

/// Room for the answer that is being prepared.
const ROOM: usize = u16::MAX as usize + OPT_ROOM;

/// A client of one connection.
#[derive(Clone)]
pub struct Caller {
    pipeline: Arc<Pipeline>,
    source: Source,
}

/// What came of a question at once.
pub enum Reply<T> {
    /// The answer.
    Now(T),
    /// It needs an upstream: see [`Caller::wait`].
    Later(Box<Question>),
    /// Nothing will come.
    Nothing,
}

impl Caller {
    /// A client at this address.
    pub fn new(pipeline: Arc<Pipeline>, source: Source) -> Self {
        Caller { pipeline, source }
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
            match pipeline.answer_now(&snapshot, shard, scratch, question.len(), self.source, now) {
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
