//! Where a repository stands: what resolvers enforce of what was decided, and whom everything else waits for.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use signed_list::release::Class;

use super::outcome::{Keys, Outcome, waiting};
use super::publish::PublishError;
use super::repository::{Ceremony, EPOCH, Metadata};
use super::stage::{Release, Stage};
use super::store::TIMESTAMP;
use super::work::Work;
use crate::ledger::Ledger;
use crate::person::{PersonId, PublicKey, unhex};

/// Where a repository stands.
#[derive(Debug, Default, Serialize)]
pub struct State {
    /// The releases in force.
    pub in_force: Vec<InForce>,
    /// Releases that are held or wait for signatures.
    pub staged: Vec<Outcome>,
    /// A change of keys that waits.
    pub keys: Option<Keys>,
    /// Keys that the ledger has retired, and that hold a role all the same.
    pub retired: Vec<RetiredHolder>,
}

/// A release in force.
#[derive(Debug, Serialize)]
pub struct InForce {
    /// Its class.
    pub class: Class,
    /// Its serial.
    pub serial: u64,
    /// How many cases of the ledger it enforces.
    pub cases: u64,
    /// It holds what this older release held, until somebody ends that.
    pub pinned_to: Option<u64>,
    /// Why, as who did it said.
    pub pinned_why: Option<String>,
}

/// A key that is retired in the ledger and still holds a role of the repository.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RetiredHolder {
    /// The key.
    pub person: PersonId,
    /// The role.
    pub role: String,
}

impl State {
    /// Looks. Changes nothing, and waits for nobody who is at work.
    pub async fn of(work: &Work, ledger: &Ledger) -> Result<State, PublishError> {
        let mut state = State::default();
        for class in Class::ALL {
            let Some(serial) = work.serials(class)?.last().copied() else { continue };
            let (Some(card), Some(index)) = (work.card(class, serial)?, work.index(class, serial)?) else { continue };
            let cases = index.count_all().get(&None).copied().unwrap_or(0);
            let (pinned_to, pinned_why) = (card.pinned_to, card.pinned_why);
            state.in_force.push(InForce { class, serial, cases, pinned_to, pinned_why });
        }
        let base = match work.public().join(TIMESTAMP).exists() {
            true => Some(Metadata::read(&work.metadata())?),
            false => None,
        };
        for stage in Stage::all(work)? {
            match &stage.plan.release {
                Some(release) => {
                    let mut outcome = Outcome::of(release.card.class);
                    tell(ledger, &stage, base.as_ref(), &mut outcome).await?;
                    state.staged.push(outcome);
                }
                None => {
                    let (about, waiting) = (stage.plan.about.clone(), waiting(&stage.standings(base.as_ref())?));
                    state.keys = Some(Keys { about, in_force: false, waiting });
                }
            }
        }
        let retired = retired(ledger).await?;
        for (role, person) in base.iter().map(holders).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            if retired.contains_key(&person) {
                state.retired.push(RetiredHolder { person, role });
            }
        }
        Ok(state)
    }
}

/// Everybody who holds a role for people, by role.
fn holders(base: &Metadata) -> Result<Vec<(String, PersonId)>, PublishError> {
    let ceremony = Ceremony::of(&base.root, &base.targets)?;
    // Who signs the envelopes signs the sealed list.
    let delegated = ceremony.delegated().into_iter().filter(|(role, _)| *role != EPOCH);
    let all = [("root", &ceremony.root)].into_iter().chain(delegated);
    Ok(all.flat_map(|(role, holders)| holders.keys.iter().map(move |key| (role.to_owned(), key.id()))).collect())
}

/// The roles that somebody holds in the repository of a work directory; none where there is no repository.
pub fn roles_of(work: &Path, person: &PersonId) -> Vec<String> {
    let base = Metadata::read(&work.join("public/metadata")).ok();
    let holders = base.and_then(|base| holders(&base).ok()).unwrap_or_default();
    holders.into_iter().filter(|(_, holder)| holder == person).map(|(role, _)| role).collect()
}

/// Keys that sign nothing any more.
pub(super) async fn retired(ledger: &Ledger) -> Result<BTreeMap<PersonId, PublicKey>, PublishError> {
    let members = ledger.members().await?.into_iter();
    Ok(members.filter(|member| member.retired.is_some()).map(|member| (member.id(), member.key)).collect())
}

/// Puts down where a staged release stands.
pub(super) async fn tell(
    ledger: &Ledger,
    stage: &Stage,
    base: Option<&Metadata>,
    outcome: &mut Outcome,
) -> Result<(), PublishError> {
    outcome.waiting = waiting(&stage.standings(base)?);
    let retired = retired(ledger).await?;
    for waiting in &mut outcome.waiting {
        waiting.by.retain(|person| !retired.contains_key(person));
    }
    let Some(Release { card, jump, .. }) = &stage.plan.release else { return Ok(()) };
    outcome.serial = Some(card.serial);
    (outcome.listed, outcome.entries) = (card.listed, card.entries);
    outcome.epoch = card.epoch;
    outcome.hash = Some(card.hash.clone());
    (outcome.added, outcome.removed) = (card.added, card.removed);
    (outcome.pinned_to, outcome.pinned_why) = (card.pinned_to, card.pinned_why.clone());
    outcome.held = jump.clone();
    if let Some(hash) = unhex(&card.hash).filter(|_| jump.is_some())
        && let Some(said) = ledger.overriding(card.class, &hash).await?
    {
        (outcome.override_asked_by, outcome.override_reason) = (Some(said.requested.by), Some(said.reason));
        if said.approved.is_some() {
            outcome.held = None;
        }
    }
    Ok(())
}
