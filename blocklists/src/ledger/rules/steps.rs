//! The life of a case as a table: which step leads from which state to which.

use crate::ledger::case::State;

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

    pub(super) fn words(self) -> &'static str {
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
