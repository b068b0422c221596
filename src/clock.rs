//! The resolver's own clock: it counts from the start of the machine and never
//! jumps.
//!
//! Times to live, time-outs and rate limits must not follow the wall clock,
//! which jumps by years on boxes without a battery. Time that the machine slept
//! counts: an answer does not get younger by it. Stages never read a clock, they
//! are given a [`Now`].

use nix::time::{ClockId, clock_gettime};

/// A moment: milliseconds since the machine started, and one hour more, so that
/// "an hour ago" exists.
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
pub struct Clock;

impl Clock {
    /// The present moment; no system call on common machines.
    #[inline]
    pub fn now(self) -> Now {
        let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux since 2.6.39 has this clock");
        Now(3_600_000 + time.tv_sec() as u64 * 1000 + time.tv_nsec() as u64 / 1_000_000)
    }
}
