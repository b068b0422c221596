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
//! | `transfer.rs` | lists that are zones of somebody else, followed by zone transfer instead |
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
mod transfer;
mod trouble;
mod verify;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use prometheus::Histogram;

use crate::config::{Source, Zone};
use crate::lists::Followed;
pub use follow::TakeOver;
pub use sealed::{Epoch, Identity, SealedError};

/// Seconds without a look at a current repository after which it is told: a day.
pub const OLD: u64 = 24 * 3600;
/// Seconds after which a list is stale: three days.
pub const STALE: u64 = 72 * 3600;

/// A list that is followed, in one of the two ways.
pub enum Follower {
    /// In a repository of signed releases.
    Repository(Box<follow::Follower>),
    /// By zone transfer.
    Zone(Box<transfer::Follower>),
}

impl Follower {
    /// Prepares to follow a list in a repository, and takes what was in force when the program last ran. `before`
    /// followed it until now, with other settings. `live` is for the resolver itself; without it nothing is written.
    ///
    /// # Errors
    /// What the operator has to mend before the list can be followed.
    pub fn of_repository(source: &Source, before: Option<&Follower>, live: bool) -> Result<Self, String> {
        let before = match before {
            Some(Follower::Repository(before)) => Some(&**before),
            _ => None,
        };
        Ok(Follower::Repository(Box::new(follow::Follower::new(source, before, live)?)))
    }

    /// Prepares to follow a zone.
    ///
    /// # Errors
    /// What the operator has to mend before the zone can be followed.
    pub fn of_zone(zone: &Zone, live: bool) -> Result<Self, String> {
        Ok(Follower::Zone(Box::new(transfer::Follower::new(zone, live)?)))
    }

    /// Whether this is how that list is followed already.
    pub fn follows(&self, source: &Source) -> bool {
        matches!(self, Follower::Repository(follower) if follower.is_for(source))
    }

    /// Whether this is how that zone is followed already.
    pub fn transfers(&self, zone: &Zone) -> bool {
        matches!(self, Follower::Zone(follower) if follower.source == *zone)
    }

    /// Whether it is a zone, whose primaries send NOTIFY.
    pub fn is_zone(&self) -> bool {
        matches!(self, Follower::Zone(_))
    }

    /// The name of the list in metrics and logs.
    pub fn name(&self) -> &str {
        match self {
            Follower::Repository(follower) => &follower.source.name,
            Follower::Zone(follower) => &follower.source.name,
        }
    }

    /// Its directory.
    pub fn state(&self) -> &Path {
        match self {
            Follower::Repository(follower) => &follower.source.state,
            Follower::Zone(follower) => &follower.source.state,
        }
    }

    /// The class of the list; `zone` where it has none.
    pub fn class(&self) -> &'static str {
        match self {
            Follower::Repository(follower) => follower.source.class.word(),
            Follower::Zone(_) => "zone",
        }
    }

    /// Where it comes from.
    pub fn origin(&self) -> String {
        match self {
            Follower::Repository(follower) => follower.source.repository.to_string(),
            Follower::Zone(follower) => follower.source.origin(),
        }
    }

    /// The list in force; `None` before the first one.
    pub fn list(&self) -> Option<Followed> {
        match self {
            Follower::Repository(follower) => follower.list(),
            Follower::Zone(follower) => follower.list(),
        }
    }

    /// The name of this resolver in releases and receipts.
    pub fn resolver(&self) -> Option<String> {
        match self {
            Follower::Repository(follower) => follower.resolver(),
            Follower::Zone(_) => None,
        }
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        match self {
            Follower::Repository(follower) => follower.status(),
            Follower::Zone(follower) => follower.status(),
        }
    }

    /// Somebody says that a zone (in wire form) has changed. Returns whether it is this one, and who says it is one of
    /// its primaries.
    pub fn notify(&self, from: IpAddr, zone: &[u8]) -> bool {
        matches!(self, Follower::Zone(follower) if follower.notify(from, zone))
    }

    /// Gives its directory to the user that this process becomes.
    ///
    /// # Errors
    /// What the system says.
    pub fn give_to(&self, user: u32, group: u32) -> std::io::Result<()> {
        match self {
            Follower::Repository(follower) => follower.give_to(user, group),
            Follower::Zone(follower) => follower.give_to(user, group),
        }
    }

    /// Has it look now, and not when it would anyway.
    pub fn look_now(&self) {
        match self {
            Follower::Repository(follower) => follower.look_now(),
            Follower::Zone(follower) => follower.look_now(),
        }
    }

    /// Follows it, for ever.
    pub async fn run(&self, take_over: TakeOver<'_>) {
        match self {
            Follower::Repository(follower) => follower.run(take_over).await,
            Follower::Zone(follower) => follower.run(take_over).await,
        }
    }
}

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
    /// Records of a zone that a list of names cannot hold, and names that are too broad to be blocked.
    pub skipped: u64,
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
            skipped: 0,
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
