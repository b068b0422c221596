//! The rules: who may do what, and what it makes of a case. Pure; the only place that says yes or no.
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

use signed_list::release::Class;
use thiserror::Error;

use super::case::{Act, Appeal, Approval, Case, Closing, LISTED_AT_MOST, Listing, RENEWABLE, State, Why, appeal_due};
use super::event::{Entry, Event, Facts, Key, Outcome, ReleaseRecord, Role};
use super::words::{CaseId, Label, Remark, Word};
use super::{UnixMillis, UnixSeconds, date, minute};
use crate::person::{Introduction, PersonId, PublicKey};

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

/// Why something cannot be done. One sentence each: what is so, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum Refused {
    #[error("the key {0} is not registered in this ledger; an admin registers it with `person add`")]
    Stranger(PersonId),
    #[error("the key {0} was retired; use the key that you were registered with since, or have a new one registered")]
    Retired(PersonId),
    #[error("{label} may not do this ({act}): it takes the role {needed}, and this key has {has}")]
    Role { label: Label, act: &'static str, needed: String, has: String },
    #[error("there is no case {0}; `status` lists the cases")]
    NoCase(CaseId),
    #[error("case {0} is in the ledger already")]
    Known(CaseId),
    #[error("case {case} is {}: {act} is not possible; {}", state.word(), what_is_possible(*state))]
    State { case: CaseId, state: State, act: &'static str },
    #[error("you have approved case {0} already; the second approval must come from somebody else")]
    SameApprover(CaseId),
    #[error("case {case} is listed until {}; it can be approved again from {} on", date(*until), date(until - RENEWABLE))]
    TooEarly { case: CaseId, until: UnixSeconds },
    #[error("a listing ends after its beginning and within 90 days: choose a review date up to {}", date(*latest))]
    ReviewBy { latest: UnixSeconds },
    #[error("you approved case {0} yourself; an appeal is decided by an officer who did not")]
    OwnApproval(CaseId),
    #[error("you took case {0} off the list yourself; somebody else has to look at it")]
    OwnDelisting(CaseId),
    #[error("nothing waits for a second look in case {0}")]
    NothingToReview(CaseId),
    #[error("only a dedicated domain can be listed by law, and case {0} has no attestation of it")]
    NotDedicated(CaseId),
    #[error("case {0} has no legal ground yet; say it with --legal-basis")]
    NoGround(CaseId),
    #[error("the date {} lies in the future; check the record, and the clock of this machine", date(*.0))]
    Future(UnixSeconds),
    #[error(
        "the clock of this machine says {}, but the ledger's last entry was made at {}; set the clock. If the clock was \
         wrong then and is right now, an admin says so with `ledger correct-clock`", minute(now / 1000), minute(last / 1000)
    )]
    Clock { now: UnixMillis, last: UnixMillis },
    #[error("the clock of this machine says {}; set it first", minute(.0 / 1000))]
    ClockNeverSet(UnixMillis),
    #[error("the clock has not been ahead: the last entry is not in the future")]
    ClockIsRight,
    #[error("'{category}' is not a category that the class {} can be listed for; known are: {known}", class.word())]
    Category { category: Word, class: Class, known: String },
    #[error("'{basis}' is not a legal ground of the scheme; known are: {known}")]
    Basis { basis: Word, known: String },
    #[error("give at least one role")]
    NoRole,
    #[error("an admin registers people and decides about no case: give the role admin alone")]
    AdminAlone,
    #[error("{0} is the last admin; register another one first")]
    LastAdmin(PersonId),
    #[error("another key is registered as '{label}' ({id}); choose another label, or retire that key first")]
    Namesake { label: Label, id: PersonId },
    #[error("the proof of the key does not fit it; ask for a new introduction (`person show`)")]
    Proof,
    #[error("the short form of this key is taken by another key; make a new key")]
    SameShortForm,
    #[error("nobody is registered with the key {0}")]
    NoPerson(PersonId),
    #[error("this ledger has been begun already")]
    Begun,
    #[error("the first entry of a ledger is its beginning")]
    NotBegun,
    #[error("an override of this release was asked for already; somebody else agrees to it now")]
    OverrideKnown,
    #[error("nobody has asked to override the guard for this release")]
    NoOverride,
    #[error("you asked for this override yourself; somebody else has to agree")]
    OwnOverride,
    #[error("two people have not agreed to let this release pass")]
    NotOverridden,
    #[error("a number in this release is larger than any real one")]
    Number,
    #[error("release {serial} of the class {} is not newer than the last one, {last}", class.word())]
    Serial { class: Class, serial: u64, last: u64 },
}

fn what_is_possible(state: State) -> &'static str {
    match state {
        State::Reported => "an analyst reviews it first",
        State::Assessed => "an analyst classifies it next",
        State::Classified => "it waits for approvals",
        State::Approved => "it waits for the second approval",
        State::Listed => "it is in force, and can be withdrawn, appealed or delisted",
        State::Appealed => "its appeal has to be answered first",
        State::Expired => "it can be approved again by two people",
        State::Removed => "it is closed, as it is gone at its source; if it is back, it comes in under a new number",
        State::Delisted => "it is off the list; if it has to come back, it comes in under a new number",
        State::Rejected | State::Withdrawn => "it is closed; if it is needed again, it comes in under a new number",
    }
}

/// What can be done with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An analyst has looked.
    Assess,
    /// An analyst settles category and ground.
    Classify,
    /// An approval that is not the last one needed.
    Approve,
    /// The last approval needed.
    List,
    /// Not approved.
    Reject,
    /// Taken back.
    Withdraw,
    /// Seen gone at its source.
    SeeRemoved,
    /// Off at once.
    EmergencyDelist,
    /// A second person agrees with what one did alone.
    Confirm,
    /// A second person does not agree.
    Reopen,
    /// Another look is asked for.
    Appeal,
    /// The listing stays.
    Uphold,
    /// The listing goes.
    Grant,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 13] = [
        Step::Assess,
        Step::Classify,
        Step::Approve,
        Step::List,
        Step::Reject,
        Step::Withdraw,
        Step::SeeRemoved,
        Step::EmergencyDelist,
        Step::Confirm,
        Step::Reopen,
        Step::Appeal,
        Step::Uphold,
        Step::Grant,
    ];

    fn words(self) -> &'static str {
        match self {
            Step::Assess => "assessing",
            Step::Classify => "classifying",
            Step::Approve | Step::List => "approving",
            Step::Reject => "rejecting",
            Step::Withdraw => "withdrawing",
            Step::SeeRemoved => "closing it as removed at source",
            Step::EmergencyDelist => "an emergency delisting",
            Step::Confirm | Step::Reopen => "the second look",
            Step::Appeal => "opening an appeal",
            Step::Uphold => "upholding",
            Step::Grant => "delisting on appeal",
        }
    }
}

/// The transitions, all of them.
pub fn next(state: State, step: Step) -> Option<State> {
    Some(match (state, step) {
        (State::Reported, Step::Assess) => State::Assessed,
        (State::Assessed, Step::Classify) => State::Classified,
        // A second look may settle another ground before anybody has approved; what was approved stays as it was read.
        (State::Classified, Step::Classify) => State::Classified,

        (State::Classified | State::Approved, Step::Approve) => State::Approved,
        (State::Classified | State::Approved, Step::List) => State::Listed,
        // For another period, before the end or after it.
        (State::Listed, Step::Approve | Step::List) => State::Listed,
        (State::Expired, Step::Approve) => State::Expired,
        (State::Expired, Step::List) => State::Listed,

        (State::Reported | State::Assessed | State::Classified | State::Approved, Step::Reject) => State::Rejected,
        (State::Reported | State::Assessed | State::Classified | State::Approved, Step::Withdraw) => State::Withdrawn,
        (State::Listed | State::Appealed | State::Expired, Step::Withdraw) => State::Delisted,
        (State::Listed | State::Appealed, Step::EmergencyDelist) => State::Delisted,
        (State::Reported | State::Assessed | State::Classified | State::Approved, Step::SeeRemoved) => State::Removed,
        (State::Listed | State::Appealed | State::Expired, Step::SeeRemoved) => State::Removed,

        (State::Delisted, Step::Confirm) => State::Delisted,
        // It needs its approvals anew.
        (State::Delisted, Step::Reopen) => State::Classified,

        (State::Listed, Step::Appeal) => State::Appealed,
        (State::Appealed, Step::Uphold) => State::Listed,
        (State::Appealed, Step::Grant) => State::Delisted,
        _ => return None,
    })
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
    Err(Refused::Role { label: signer.label, act: entry.event.kind(), needed, has })
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

/// Everything that happens to a case after it came in.
fn on_case(entry: &Entry, act: Act, before: Before) -> Result<Case, Refused> {
    let mut case = match (before.case, entry.event.case()) {
        (Some(case), _) => case,
        (None, Some(id)) => return Err(Refused::NoCase(id.clone())),
        (None, None) => return Err(Refused::NotBegun),
    };
    let state = case.state_at(entry.at);
    let step = |step: Step| next(state, step).ok_or(Refused::State { case: case.id.clone(), state, act: step.words() });
    let in_force = case.in_force_at(entry.at);

    match &entry.event {
        Event::Assessed { .. } => {
            case.state = step(Step::Assess)?;
            case.assessed = Some(act);
        }
        Event::Classified { category, legal_basis, legal_reference, .. } => {
            case.state = step(Step::Classify)?;
            if case.facts.class == Class::Legal && legal_basis.is_none() {
                return Err(Refused::NoGround(case.id));
            }
            case.facts.category = category.clone();
            case.facts.legal_basis = legal_basis.clone();
            case.facts.legal_reference = legal_reference.clone();
            case.classified = Some(act);
        }
        Event::Approved { review_by, .. } => approve(&mut case, state, act, *review_by, &before.people)?,
        Event::Rejected { reason, .. } => {
            case.state = step(Step::Reject)?;
            close(&mut case, act, Why::Rejected, Some(reason), false);
        }
        Event::Withdrawn { reason, .. } => {
            case.state = step(Step::Withdraw)?;
            close(&mut case, act, Why::Withdrawn, Some(reason), in_force);
        }
        Event::EmergencyDelisted { reason, .. } => {
            case.state = step(Step::EmergencyDelist)?;
            close(&mut case, act, Why::Emergency, Some(reason), in_force);
        }
        Event::Removed { seen_at, .. } => {
            case.state = step(Step::SeeRemoved)?;
            not_in_the_future(*seen_at, entry.at)?;
            case.removed_seen_at = Some(*seen_at);
            close(&mut case, act, Why::Removed, None, false);
        }
        Event::Reviewed { outcome, .. } => {
            case.state = step(if *outcome == Outcome::Confirmed { Step::Confirm } else { Step::Reopen })?;
            if !case.unreviewed {
                return Err(Refused::NothingToReview(case.id));
            }
            if case.closed.as_ref().is_some_and(|closed| closed.by == entry.by) {
                return Err(Refused::OwnDelisting(case.id));
            }
            case.unreviewed = false;
            if *outcome == Outcome::Reopened {
                case.closed = None;
            }
        }
        Event::AppealOpened { evident, .. } => {
            case.state = step(Step::Appeal)?;
            let due = appeal_due(entry.at / 1000, *evident);
            case.appeals.push(Appeal { opened: act, evident: *evident, due, answered: None, upheld: false });
        }
        Event::AppealUpheld { .. } | Event::AppealDelisted { .. } => {
            let upheld = matches!(entry.event, Event::AppealUpheld { .. });
            case.state = step(if upheld { Step::Uphold } else { Step::Grant })?;
            if case.approvers().any(|approver| *approver == entry.by) {
                return Err(Refused::OwnApproval(case.id));
            }
            if let Some(appeal) = case.appeals.last_mut() {
                appeal.answered = Some(act.clone());
                appeal.upheld = upheld;
            }
            if let Event::AppealDelisted { reason, .. } = &entry.event {
                close(&mut case, act, Why::Appeal, Some(reason), false);
            }
        }
        _ => return Err(Refused::NotBegun),
    }
    case.last = entry.number;
    Ok(case)
}

/// Ends what is in force. An appeal that is still open ends with it, answered in favour of whoever asked.
fn close(case: &mut Case, act: Act, why: Why, reason: Option<&Remark>, unreviewed: bool) {
    if let Some(listing) = case.listings.last_mut().filter(|listing| listing.holds_at(act.at)) {
        listing.until = Some(act.at);
    }
    if let Some(appeal) = case.appeals.last_mut().filter(|appeal| appeal.answered.is_none()) {
        appeal.answered = Some(act.clone());
    }
    case.approvals.clear();
    // One person may stop a listing of any class, but what the law listed is looked at again.
    case.unreviewed = unreviewed && case.facts.class == Class::Legal;
    case.closed = Some(Closing { by: act.by, at: act.at, why, reason: reason.cloned() });
}

fn approve(case: &mut Case, state: State, act: Act, review_by: UnixSeconds, people: &[Member]) -> Result<(), Refused> {
    let now = act.at / 1000;
    let latest = now + LISTED_AT_MOST;
    if review_by <= now || review_by > latest {
        return Err(Refused::ReviewBy { latest });
    }
    // Approvals of people who have left or whose time has passed count no longer.
    let class = case.facts.class;
    let may = |id: &PersonId| people.iter().any(|member| member.id() == *id && approves(member, class));
    case.approvals.retain(|approval| approval.review_by > now && may(&approval.by));
    if case.approvals.iter().any(|approval| approval.by == act.by) {
        return Err(Refused::SameApprover(case.id.clone()));
    }
    if let (State::Listed, Some(until)) = (state, case.review_by())
        && until > now + RENEWABLE
    {
        return Err(Refused::TooEarly { case: case.id.clone(), until });
    }
    let last = case.approvals.len() + 1 >= case.approvals_needed();
    let step = if last { Step::List } else { Step::Approve };
    let refused = || Refused::State { case: case.id.clone(), state, act: step.words() };
    case.state = match next(state, step).ok_or_else(refused)? {
        // Half approved anew, it is what it was: listed once, and over by its date.
        State::Expired => State::Listed,
        state => state,
    };
    case.approvals.push(Approval { by: act.by, at: act.at, review_by });
    if !last {
        return Ok(());
    }
    let review_by = case.approvals.iter().map(|approval| approval.review_by).min().unwrap_or(review_by);
    let approvers: Vec<PersonId> = case.approvals.drain(..).map(|approval| approval.by).collect();
    match case.listings.last_mut().filter(|listing| listing.holds_at(act.at)) {
        // Without a gap it is one listing, and everybody who ever approved it stays on record.
        Some(listing) => {
            listing.review_by = review_by;
            for approver in approvers {
                if !listing.approvers.contains(&approver) {
                    listing.approvers.push(approver);
                }
            }
        }
        None => case.listings.push(Listing { from: act.at, review_by, until: None, approvers }),
    }
    Ok(())
}

fn approves(member: &Member, class: Class) -> bool {
    member.is(Role::Approver) || class != Class::Legal && member.is(Role::Operator)
}

/// Takes the times of a case back to the moment at which a wrong clock was put right, so that nothing decided under it
/// begins in the future or lasts too long.
pub fn correct(case: &mut Case, now: UnixMillis) {
    let end = now / 1000 + LISTED_AT_MOST;
    for listing in &mut case.listings {
        listing.from = listing.from.min(now);
        listing.review_by = listing.review_by.min(end);
        listing.until = listing.until.map(|until| until.min(now));
    }
    for approval in &mut case.approvals {
        approval.at = approval.at.min(now);
        approval.review_by = approval.review_by.min(end);
    }
    for appeal in &mut case.appeals {
        appeal.due = appeal.due.min(appeal_due(now / 1000, appeal.evident));
    }
}
