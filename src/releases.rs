//! Lists that are followed in a repository of signed releases (TUF): from a decision somewhere to its being in force
//! here within seconds, and never anything that was not signed, is older, or is not whole.
//!
//! | file | what it does |
//! |---|---|
//! | `follow.rs` | one list: look, check, bring into force, merge, sign for it |
//! | `remote.rs` | fetches, within bounds of size and time |
//! | `sealed.rs` | the secret of this resolver and what opens with it |
//! | `store.rs` | what is on the disk, in an order that survives every crash |
//! | `receipt.rs` | signs that a release is in force |
//! | `trouble.rs` | everything that can be wrong, in sentences |
//!
//! Whatever is wrong, the last good list stays in force. What is older than [`OLD`] is told as a problem, what is
//! older than [`STALE`] as *stale*: it goes on filtering, and can no longer claim to be fresh.

mod follow;
mod receipt;
mod remote;
mod sealed;
mod store;
mod trouble;

use std::collections::BTreeMap;

use prometheus::Histogram;

pub use follow::Follower;
pub use sealed::{Epoch, Identity, SealedError};

/// Seconds without a look at a current repository after which it is told: a day.
pub const OLD: u64 = 24 * 3600;
/// Seconds after which a list is stale: three days.
pub const STALE: u64 = 72 * 3600;

/// How following a list goes.
#[derive(Clone)]
pub struct Status {
    /// Serial in force; 0 before the first release.
    pub serial: u64,
    /// When that release was made, Unix seconds.
    pub created: u64,
    /// When the repository was last seen to be current, Unix seconds.
    pub verified_at: Option<u64>,
    /// What is wrong now.
    pub problem: Option<String>,
    /// Releases that were brought into force since the start.
    pub applied: u64,
    /// Looks that failed, by kind of trouble.
    pub refused: BTreeMap<&'static str, u64>,
    /// Octets fetched for looks that found something new.
    pub fetched: u64,
    /// Changes beside the list that are not merged yet.
    pub pending: usize,
    /// Seconds from decisions to their being in force here.
    pub time_to_block: Histogram,
}

impl Status {
    fn new(verified_at: Option<u64>, time_to_block: Histogram) -> Self {
        Status {
            serial: 0,
            created: 0,
            verified_at,
            problem: None,
            applied: 0,
            refused: trouble::Trouble::KINDS.map(|kind| (kind, 0)).into(),
            fetched: 0,
            pending: 0,
            time_to_block,
        }
    }

    /// Seconds since the repository was last seen to be current.
    pub fn age(&self, now: u64) -> Option<u64> {
        self.verified_at.map(|at| now.saturating_sub(at))
    }

    /// Whether the list may be too old to be called fresh.
    pub fn is_stale(&self, now: u64) -> bool {
        self.age(now).is_none_or(|age| age > STALE)
    }
}
