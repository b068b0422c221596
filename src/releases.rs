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
//! | `transfer.rs` | lists that are zones of somebody else, followed by zone transfer instead |
//!
//! Whatever is wrong, the last good list stays in force. What is older than [`OLD`] is told as a problem, what is
//! older than [`STALE`] as *stale*: it goes on filtering, and can no longer claim to be fresh.

mod follow;
mod receipt;
mod remote;
mod sealed;
mod store;
mod transfer;
mod trouble;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use prometheus::Histogram;

use crate::config::{Source, Zone};
use crate::lists::Followed;
pub use sealed::{Epoch, Identity, SealedError};

/// Seconds without a look at a current repository after which it is told: a day.
pub const OLD: u64 = 24 * 3600;
/// Seconds after which a list is stale: three days.
pub const STALE: u64 = 72 * 3600;

/// A list that is followed, in one of the two ways.
pub enum Follower {
    /// In a repository of signed releases.
    Repository(Arc<follow::Follower>),
    /// By zone transfer.
    Zone(Arc<transfer::Follower>),
}

impl Follower {
    /// Prepares to follow a list in a repository.
    ///
    /// # Errors
    /// What the operator has to mend before the list can be followed.
    pub fn of_repository(source: &Source, live: bool) -> Result<Self, String> {
        Ok(Follower::Repository(Arc::new(follow::Follower::new(source, live)?)))
    }

    /// Prepares to follow a zone.
    ///
    /// # Errors
    /// What the operator has to mend before the zone can be followed.
    pub fn of_zone(zone: &Zone, live: bool) -> Result<Self, String> {
        Ok(Follower::Zone(Arc::new(transfer::Follower::new(zone, live)?)))
    }

    /// Whether this is how that list is followed already.
    pub fn follows(&self, source: &Source) -> bool {
        matches!(self, Follower::Repository(follower) if follower.source == *source)
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

    /// Follows it, for ever. `take_over` puts what [`Self::list`] says in force.
    pub async fn run(self: Arc<Self>, take_over: impl Fn() -> Result<(), String> + Send + Sync) {
        match &*self {
            Follower::Repository(follower) => follower.clone().run(take_over).await,
            Follower::Zone(follower) => follower.clone().run(take_over).await,
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
