//! The rules: who may do what, and what it makes of a case. Pure; the only place that says yes or no.
//!
//! | module | what it holds |
//! |---|---|
//! | here | what is looked at, who may do what, people, releases, overrides |
//! | [`steps`] | the life of a case: which step leads where |
//! | [`cases`] | what an entry makes of a case |
//! | [`lapse`] | approvals that count no longer |
//! | [`refused`] | the sentences that say no |
//!
//! [`decide`] is asked before an entry is written, and again for every entry when a ledger is verified: a ledger in
//! which anything happened against the rules does not verify, however it came to be there.
//!
//! What is held here about two people:
//!
//! * A legal entry is listed, and listed again, by two different keys that both belong to approvers who are registered
//!   at that moment. The one who assessed or classified may be one of the two and never both, so at least one of them
//!   has only looked.
//! * One person can take anything off the list. Unless it was gone at its source, a second person has to look at it.
//! * An appeal is decided by an officer who never approved the case.
//! * A release that the guard holds passes when two different people say so about this very release.
//! * Who registers people decides about no case.

pub mod cases;
pub mod lapse;
pub mod refused;
pub mod steps;

use signed_list::release::Class;

use super::case::{Act, Case, State};
use super::event::{Entry, Event, Facts, Key, ReleaseRecord, Role};
use super::words::{CaseId, Label, Remark, Word};
use super::{UnixMillis, UnixSeconds};
use crate::person::{Introduction, PersonId, PublicKey};

pub use cases::correct;
use cases::on_case;
pub use lapse::{Lapse, counted, lapsed};
pub use refused::Refused;
pub use steps::{Step, next};

/// How far the clock may go back between two entries: less than this is adjusted by time servers.
pub const CLOCK_SLACK: UnixMillis = 5 * 60 * 1000;
/// How far in the future a date of a record may be: other machines have other clocks.
const FUTURE_SLACK: UnixSeconds = 86_400;
/// No ledger was begun before 2026: a clock that says so was never set.
const EARLIEST: UnixMillis = 1_767_225_600_000;

/// Somebody who is, or was, registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The key.
    pub key: PublicKey,
    /// What colleagues call them.
    pub label: Label,
    /// What they may do.
    pub roles: Vec<Role>,
    /// Who registered them last, and when.
    pub added: Act,
    /// Who retired them, and when.
    pub retired: Option<Act>,
}

impl Member {
    /// Short form of the key.
    pub fn id(&self) -> PersonId {
        self.key.id()
    }

    /// Whether they may sign now in this role.
    pub fn is(&self, role: Role) -> bool {
        self.retired.is_none() && self.roles.contains(&role)
    }
}

/// A record that went back to the hotline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Which case it would have been.
    pub case: CaseId,
    /// Its category.
    pub category: Word,
    /// Why, as a word of [`crate::triage::Ground`].
    pub ground: Word,
    /// When.
    pub at: UnixMillis,
}

/// That two people let a release pass which the guard holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Class of the release.
    pub class: Class,
    /// Hash of its list.
    pub hash: [u8; 32],
    /// Who asked, and when.
    pub requested: Act,
    /// Why.
    pub reason: Remark,
    /// Who agreed, and when.
    pub approved: Option<Act>,
}

/// What the rules look at: what the ledger holds before the entry, as far as the entry is concerned with it.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Who signs, if registered.
    pub signer: Option<Member>,
    /// Time of the entry before.
    pub last_at: Option<UnixMillis>,
    /// The case of the entry.
    pub case: Option<Case>,
    /// The case came in before and went back.
    pub returned: Option<Returned>,
    /// Whoever the entry is about, and those whose approvals the case holds.
    pub people: Vec<Member>,
    /// Somebody else who is registered under the label of the entry.
    pub namesake: Option<PersonId>,
    /// How many admins are registered.
    pub admins: u64,
    /// Newest release of the class of the entry.
    pub release: Option<ReleaseRecord>,
    /// What was said about the release of the entry.
    pub overriding: Option<Override>,
}

/// What the entry makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Somebody is registered, or registered otherwise.
    Member(Member),
    /// A case is new or stands elsewhere.
    Case(Box<Case>),
    /// A record went back.
    Returned(Returned),
    /// Two people, or the first of them, let a release pass.
    Override(Override),
    /// There is a new release.
    Release(ReleaseRecord),
    /// No time after this one counts.
    Clock(UnixMillis),
}

/// Who may make an entry: any of the roles.
fn roles(event: &Event, class: Option<Class>) -> &'static [Role] {
    use Role::{Admin, Analyst, Approver, Officer, Operator};
    // Lists of the operator and the venues are the operator's own; the law's list is not.
    let legal = class == Some(Class::Legal);
    match event {
        Event::Founded { .. }
        | Event::PersonAdded { .. }
        | Event::PersonRetired { .. }
        | Event::ClockCorrected { .. } => &[Admin],
        Event::Reported { .. }
        | Event::Returned { .. }
        | Event::Assessed { .. }
        | Event::Classified { .. }
        | Event::Removed { .. } => {
            if legal {
                &[Analyst]
            } else {
                &[Analyst, Operator]
            }
        }
        Event::Approved { .. } => {
            if legal {
                &[Approver]
            } else {
                &[Approver, Operator]
            }
        }
        Event::Rejected { .. } => {
            if legal {
                &[Approver, Officer]
            } else {
                &[Approver, Officer, Operator]
            }
        }
        Event::Withdrawn { .. } => {
            if legal {
                &[Analyst, Approver, Officer]
            } else {
                &[Analyst, Approver, Officer, Operator]
            }
        }
        // Over-blocking hurts by the minute: whoever is on duty may stop it.
        Event::EmergencyDelisted { .. } | Event::AppealOpened { .. } => &[Analyst, Approver, Officer, Operator],
        Event::Reviewed { .. } => {
            if legal {
                &[Approver, Officer]
            } else {
                &[Approver, Officer, Operator]
            }
        }
        Event::AppealUpheld { .. } | Event::AppealDelisted { .. } => {
            if legal {
                &[Officer]
            } else {
                &[Officer, Approver, Operator]
            }
        }
        Event::OverrideRequested { .. } | Event::OverrideApproved { .. } => {
            if legal {
                &[Approver, Officer]
            } else {
                &[Approver, Officer, Operator]
            }
        }
        Event::Released { .. } => &[Operator],
    }
}

/// What an entry makes of what was before, or why it cannot be.
pub fn decide(entry: &Entry, before: Before) -> Result<Change, Refused> {
    if let Event::Founded { admin, label, .. } = &entry.event {
        return found(entry, &before, admin, label);
    }
    let signer = signer(entry, &before)?;
    clock(entry, &before)?;
    let act = Act { by: entry.by.clone(), at: entry.at };
    match &entry.event {
        Event::Founded { .. } => Err(Refused::Begun),
        Event::PersonAdded { person, label, roles } => add(act, &before, person, label, roles),
        Event::PersonRetired { person, .. } => retire(act, &before, person),
        Event::ClockCorrected { .. } => match before.last_at {
            Some(last) if last > entry.at => Ok(Change::Clock(entry.at)),
            _ => Err(Refused::ClockIsRight),
        },
        Event::Reported { case, facts } => report(entry, act, &before, case, facts),
        Event::Returned { case, category, ground } => {
            if before.case.is_some() || before.returned.is_some_and(|known| known.ground == *ground) {
                return Err(Refused::Known(case.clone()));
            }
            let (case, category, ground) = (case.clone(), category.clone(), ground.clone());
            Ok(Change::Returned(Returned { case, category, ground, at: entry.at }))
        }
        Event::OverrideRequested { class, hash, reason } => {
            if before.overriding.is_some() {
                return Err(Refused::OverrideKnown);
            }
            let (class, hash, reason) = (*class, *hash, reason.clone());
            Ok(Change::Override(Override { class, hash, requested: act, reason, approved: None }))
        }
        Event::OverrideApproved { .. } => {
            let known = before.overriding.filter(|known| known.approved.is_none()).ok_or(Refused::NoOverride)?;
            if known.requested.by == signer.id() {
                return Err(Refused::OwnOverride);
            }
            Ok(Change::Override(Override { approved: Some(act), ..known }))
        }
        Event::Released { release } => made(release, before),
        _ => on_case(entry, act, before).map(|case| Change::Case(Box::new(case))),
    }
}

fn signer(entry: &Entry, before: &Before) -> Result<Member, Refused> {
    let stranger = || if before.last_at.is_none() { Refused::NotBegun } else { Refused::Stranger(entry.by.clone()) };
    let signer = before.signer.clone().filter(|member| member.id() == entry.by).ok_or_else(stranger)?;
    if signer.retired.is_some() {
        return Err(Refused::Retired(signer.id()));
    }
    let class = match &entry.event {
        Event::Reported { facts, .. } => Some(facts.class),
        Event::OverrideRequested { class, .. } | Event::OverrideApproved { class, .. } => Some(*class),
        // The hotline's own records are returned by analysts, whatever they were meant for.
        Event::Returned { .. } => None,
        event => match (event.case(), &before.case) {
            (Some(case), None) => return Err(Refused::NoCase(case.clone())),
            (_, case) => case.as_ref().map(|case| case.facts.class),
        },
    };
    let needed = roles(&entry.event, class);
    if needed.iter().any(|role| signer.is(*role)) {
        return Ok(signer);
    }
    let words = |roles: &[Role], between| roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(between);
    let (needed, has) = (words(needed, " or "), words(&signer.roles, ", "));
    Err(Refused::Role { label: signer.label, deed: entry.event.deed(), needed, has })
}

fn clock(entry: &Entry, before: &Before) -> Result<(), Refused> {
    let goes_back = before.last_at.filter(|last| entry.at + CLOCK_SLACK < *last);
    match goes_back {
        Some(last) if !matches!(entry.event, Event::ClockCorrected { .. }) => {
            Err(Refused::Clock { now: entry.at, last })
        }
        _ if entry.at < EARLIEST => Err(Refused::ClockNeverSet(entry.at)),
        _ => Ok(()),
    }
}

fn found(entry: &Entry, before: &Before, admin: &Key, label: &Label) -> Result<Change, Refused> {
    if before.last_at.is_some() {
        return Err(Refused::Begun);
    }
    clock(entry, before)?;
    if Introduction::new(admin.key, admin.proof).is_none() || admin.key.id() != entry.by {
        return Err(Refused::Proof);
    }
    let added = Act { by: entry.by.clone(), at: entry.at };
    let (key, label) = (admin.key, label.clone());
    Ok(Change::Member(Member { key, label, roles: vec![Role::Admin], added, retired: None }))
}

fn add(act: Act, before: &Before, person: &Key, label: &Label, roles: &[Role]) -> Result<Change, Refused> {
    if roles.is_empty() {
        return Err(Refused::NoRole);
    }
    if roles.contains(&Role::Admin) && roles.iter().any(|role| *role != Role::Admin) {
        return Err(Refused::AdminAlone);
    }
    if Introduction::new(person.key, person.proof).is_none() {
        return Err(Refused::Proof);
    }
    if let Some(id) = &before.namesake {
        return Err(Refused::Namesake { label: label.clone(), id: id.clone() });
    }
    let id = person.key.id();
    if let Some(known) = before.people.iter().find(|member| member.id() == id) {
        if known.key != person.key {
            return Err(Refused::SameShortForm);
        }
        if known.retired.is_some() {
            return Err(Refused::Retired(id));
        }
        if known.is(Role::Admin) && !roles.contains(&Role::Admin) && before.admins == 1 {
            return Err(Refused::LastAdmin(id));
        }
    }
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    roles.dedup();
    Ok(Change::Member(Member { key: person.key, label: label.clone(), roles, added: act, retired: None }))
}

fn retire(act: Act, before: &Before, person: &PersonId) -> Result<Change, Refused> {
    let known = before.people.iter().find(|member| member.id() == *person);
    let member = known.ok_or_else(|| Refused::NoPerson(person.clone()))?;
    if member.retired.is_some() {
        return Err(Refused::Retired(person.clone()));
    }
    if member.is(Role::Admin) && before.admins == 1 {
        return Err(Refused::LastAdmin(person.clone()));
    }
    Ok(Change::Member(Member { retired: Some(act), ..member.clone() }))
}

fn made(release: &ReleaseRecord, before: Before) -> Result<Change, Refused> {
    let ReleaseRecord { serial, epoch, created, entries, added, removed, .. } = release;
    // The tables hold signed numbers.
    if [*serial, epoch.unwrap_or(0), *created, *entries, *added, *removed].iter().any(|n| i64::try_from(*n).is_err()) {
        return Err(Refused::Number);
    }
    if let Some(last) = before.release.filter(|last| release.serial <= last.serial) {
        return Err(Refused::Serial { class: release.class, serial: release.serial, last: last.serial });
    }
    if release.overridden && before.overriding.is_none_or(|known| known.approved.is_none()) {
        return Err(Refused::NotOverridden);
    }
    Ok(Change::Release(release.clone()))
}

fn report(entry: &Entry, act: Act, before: &Before, id: &CaseId, facts: &Facts) -> Result<Change, Refused> {
    if before.case.is_some() {
        return Err(Refused::Known(id.clone()));
    }
    if facts.class == Class::Legal && !facts.dedicated_attestation {
        return Err(Refused::NotDedicated(id.clone()));
    }
    not_in_the_future(facts.assessed_at.max(facts.ntd_sent_at.unwrap_or(0)), entry.at)?;
    Ok(Change::Case(Box::new(Case {
        id: id.clone(),
        facts: facts.clone(),
        state: State::Reported,
        reported: act,
        assessed: None,
        classified: None,
        approvals: Vec::new(),
        listings: Vec::new(),
        removed_seen_at: None,
        closed: None,
        unreviewed: false,
        appeals: Vec::new(),
        last: entry.number,
    })))
}

fn not_in_the_future(date: UnixSeconds, now: UnixMillis) -> Result<(), Refused> {
    if date > now / 1000 + FUTURE_SLACK { Err(Refused::Future(date)) } else { Ok(()) }
}
