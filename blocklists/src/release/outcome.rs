//! What a run of the publisher did: for people, and with `--json` for programs.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use signed_list::release::Class;

use super::hold::Jump;
use super::repository::Standing;
use super::select::{Refusal, Share};
use super::store::Copied;
use crate::feed::refresh::Looked;
use crate::ledger::verify::Auditor;
use crate::ledger::words::Remark;
use crate::person::PersonId;

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What became of each class.
    pub classes: Vec<Outcome>,
    /// A change of keys that waits or came into force.
    pub keys: Option<Keys>,
    /// Feeds that were looked at.
    pub feeds: Vec<Looked>,
    /// Version of the timestamp, if it was signed.
    pub timestamp: Option<u64>,
    /// What was copied, for each place.
    pub copied: Vec<Copied>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// How far the ledger was found whole.
    #[serde(skip)]
    pub auditor: Auditor,
    /// How long it took, by phase, in seconds.
    pub phases: BTreeMap<&'static str, f64>,
}

/// What became of a change of keys.
#[derive(Debug, Serialize)]
pub struct Keys {
    /// What it does.
    pub about: String,
    /// It came into force.
    pub in_force: bool,
    /// Who has still to sign.
    pub waiting: Vec<Waiting>,
}

/// What became of a class.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The class.
    pub class: Class,
    /// The release, if there is one that is new or waits.
    pub serial: Option<u64>,
    /// It is in force.
    pub published: bool,
    /// Why there is a release.
    pub why: Vec<String>,
    /// Entries that come.
    pub added: u64,
    /// Entries that go.
    pub removed: u64,
    /// Entries that stand for a case.
    pub listed: u64,
    /// Entries in the list, canaries included.
    pub entries: u64,
    /// Its epoch.
    pub epoch: Option<u64>,
    /// Hash of its list.
    pub hash: Option<String>,
    /// It changes too much at once and waits for two people.
    pub held: Option<Jump>,
    /// So much more would come at once that it waits for two people; what goes does not wait with it.
    pub rest: Option<Jump>,
    /// It holds what this older release held, until somebody ends that.
    pub pinned_to: Option<u64>,
    /// Why, as who did it said.
    pub pinned_why: Option<String>,
    /// Who asked to let it pass, if somebody did.
    pub override_asked_by: Option<PersonId>,
    /// Why, as they said.
    pub override_reason: Option<Remark>,
    /// Who has still to sign.
    pub waiting: Vec<Waiting>,
    /// Cases that are left out.
    pub refused: Vec<Refusal>,
    /// What feeds bring, and what goes with them.
    pub feeds: Vec<Share>,
    /// Why no release can be made; the one before stays in force.
    pub problem: Option<String>,
}

/// Signatures that are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The role.
    pub role: String,
    /// How many are missing.
    pub missing: u64,
    /// Who could give them.
    pub by: Vec<PersonId>,
}

/// Signatures that are missing, by role.
pub fn waiting(standings: &[Standing]) -> Vec<Waiting> {
    let open = standings.iter().filter(|standing| standing.missing() > 0);
    let waiting = open.map(|standing| Waiting {
        role: standing.role.clone(),
        missing: standing.missing(),
        by: standing.open.clone(),
    });
    waiting.collect()
}

impl Report {
    /// Adds the time since `start` to a phase, and begins the next one.
    pub(super) fn phase(&mut self, name: &'static str, start: Instant) -> Instant {
        let seconds = self.phases.entry(name).or_default();
        *seconds = ((*seconds + start.elapsed().as_secs_f64()) * 1e4).round() / 1e4;
        Instant::now()
    }
}

impl Outcome {
    /// Of a class without a release.
    pub fn of(class: Class) -> Outcome {
        Outcome {
            class,
            serial: None,
            published: false,
            why: Vec::new(),
            added: 0,
            removed: 0,
            listed: 0,
            entries: 0,
            epoch: None,
            hash: None,
            held: None,
            rest: None,
            pinned_to: None,
            pinned_why: None,
            override_asked_by: None,
            override_reason: None,
            waiting: Vec::new(),
            refused: Vec::new(),
            feeds: Vec::new(),
            problem: None,
        }
    }
}
