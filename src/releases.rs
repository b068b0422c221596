//! Lists that are followed in a repository of signed releases (TUF): from a decision somewhere to its being in force
//! here within seconds, and never anything that was not signed, is older, or is not whole.
//!
//! | file | what it does |
//! |---|---|
//! | `follow.rs` | one list: looks again and again, puts in force, signs for it, goes on whatever happens |
//! | `remote.rs` | fetches, within bounds of size and time |
//! | `verify.rs` | checks what a repository says |
//! | `take.rs` | a release from its changes, or from its whole list |
//! | `current.rs` | what is in force: list, changes beside it, and their merging |
//! | `restore.rs` | what was in force when the program last ran, also from a damaged disk |
//! | `sealed.rs` | the secret of this resolver and what opens with it |
//! | `store.rs` | what is on the disk, in an order that survives every crash |
//! | `receipt.rs` | signs that a release is in force |
//! | `trouble.rs` | everything that can be wrong, in sentences |
//!
//! What happens when something is wrong:
//!
//! | what | the list | told |
//! |---|---|---|
//! | anything not signed, older, expired, not whole, too slow | the last good one stays in force | problem, `release_failures_total` by reason |
//! | not seen to be current for [`OLD`] | the same | problem |
//! | not seen to be current for [`STALE`] | the same; it can no longer claim to be fresh | *stale* |
//! | no list at all since the start | what no other list blocks gets SERVFAIL | not ready, problem |
//! | a list that a reload adds is not here yet | everything goes on as before | problem |
//! | disk full or read-only | the release is not taken: what could not survive a restart is not in force | problem |
//! | a file here is damaged | the newest one that is good, or the one before; the repository mends it | problem |
//! | an empty list, validly signed | refused: every release holds test names | problem |
//! | less than half of the names, validly signed | in force, since an error must be undone as fast as it was made | problem for a day |
//!
//! The publisher's own guard against sudden jumps wants two more people for the last of these; here it is only told.

mod current;
mod follow;
mod receipt;
mod remote;
mod restore;
mod sealed;
mod store;
mod take;
mod trouble;
mod verify;

use std::collections::BTreeMap;

use prometheus::Histogram;

pub use follow::{Follower, TakeOver};
pub use sealed::{Identity, SealedError};

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
    /// When a release took more than half of the names off, Unix seconds, and the sentence about it.
    pub shrunk: Option<(u64, String)>,
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
            shrunk: None,
            time_to_block,
        }
    }

    /// Seconds since the repository was last seen to be current.
    pub fn age(&self, now: u64) -> Option<u64> {
        self.verified_at.map(|at| now.saturating_sub(at))
    }

    /// What is still to be told of a release that took many names off.
    pub fn shrunk(&self, now: u64) -> Option<&str> {
        let told = self.shrunk.as_ref().filter(|(at, _)| now.abs_diff(*at) < OLD);
        told.map(|(_, text)| text.as_str())
    }

    /// Whether the list may be too old to be called fresh.
    pub fn is_stale(&self, now: u64) -> bool {
        self.age(now).is_none_or(|age| age > STALE)
    }
}
