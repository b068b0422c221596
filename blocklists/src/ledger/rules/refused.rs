//! Why something cannot be done: the sentences that people read.

use signed_list::release::Class;
use thiserror::Error;

use crate::ledger::case::{RENEWABLE, State};
use crate::ledger::words::{CaseId, Label, Word};
use crate::ledger::{UnixMillis, UnixSeconds, date, minute};
use crate::person::PersonId;

/// Why something cannot be done. One sentence each: what is so, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum Refused {
    #[error("the key {0} is not registered in this ledger; an admin registers it with `person add`")]
    Stranger(PersonId),
    #[error("the key {0} was retired; use the key that you were registered with since, or have a new one registered")]
    Retired(PersonId),
    #[error("{label} may not {deed}: it takes the role {needed}, and this key has {has}")]
    Role { label: Label, deed: &'static str, needed: String, has: String },
    #[error("there is no case {0} in this ledger; check its source and number (`status` shows the cases that wait)")]
    NoCase(CaseId),
    #[error(
        "{case} is no case: it went back to the hotline on {}, for notice and takedown only ({ground}); if it can be \
         blocked after all, the hotline sends it again", date(at / 1000)
    )]
    WentBack { case: CaseId, ground: Word, at: UnixMillis },
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
    #[error(
        "case {case} was assessed on {}, and cannot have been gone on {} already; check the date", date(*assessed),
        date(*seen)
    )]
    GoneBefore { case: CaseId, assessed: UnixSeconds, seen: UnixSeconds },
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
        State::Approved => {
            "it waits for the second approval; if anything in it is wrong, reject it, and the hotline sends it under a \
             new number"
        }
        State::Listed => "it is in force, and can be withdrawn, appealed or delisted",
        State::Appealed => "its appeal has to be answered first",
        State::Expired => "it can be approved again by two people",
        State::Removed => "it is closed, as it is gone at its source; if it is back, it comes in under a new number",
        State::Delisted => "it is off the list; if it has to come back, it comes in under a new number",
        State::Rejected | State::Withdrawn => "it is closed; if it is needed again, it comes in under a new number",
    }
}
