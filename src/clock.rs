//! The resolver's own clock: it starts with the program and never jumps.
//!
//! Times to live, time-outs and rate limits must not follow the wall clock,
//! which jumps by years on boxes without a battery. Modules never read a
//! clock: they are given a [`Now`].

use std::time::Instant;

/// A moment: milliseconds since the program started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u64);

impl Now {
    /// Whole seconds; good for 136 years of running.
    #[inline]
    pub fn seconds(self) -> u32 {
        (self.0 / 1000) as u32
    }
}

/// Where moments come from.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the clock. It begins at one hour, so that "an hour ago" exists.
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// The present moment; no system call on common machines.
    #[inline]
    pub fn now(self) -> Now {
        Now(3_600_000 + self.start.elapsed().as_millis() as u64)
    }
}
