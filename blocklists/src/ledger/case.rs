//! A case: what the ledger knows about one report, and where it stands at a given time.
//!
//! ```text
//! reported -> assessed -> classified -> approved (one of two) -> listed
//!     listed -> listed again (two approve) | expired (review_by has come) | removed (gone at its source)
//!             | appealed -> listed (upheld) or delisted | delisted (by one person, looked at by a second one)
//! before it is listed: -> rejected | withdrawn | removed
//! ```
//!
//! All transitions stand in [`super::rules`]. Expiry needs none: it follows from the time alone.

use serde::{Deserialize, Serialize};
use signed_list::release::Class;

use super::event::Facts;
use super::words::{CaseId, Remark, Word};
use super::{UnixMillis, UnixSeconds};
use crate::person::PersonId;

/// Longest time a listing holds without being approved again.
pub const LISTED_AT_MOST: u64 = 90 * DAY;
/// How long before its end a listing can be approved again.
pub const RENEWABLE: u64 = 30 * DAY;
/// How long before its end a listing is shown as due.
pub const DUE_SOON: u64 = 14 * DAY;
/// Seconds of a day.
pub const DAY: u64 = 86_400;

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Came in.
    Reported,
    /// An analyst has looked at it.
    Assessed,
    /// Category and legal ground are settled; it waits for approvals.
    Classified,
    /// One of two people has approved it.
    Approved,
    /// In force until its review date.
    Listed,
    /// In force, and somebody has asked for another look.
    Appealed,
    /// Its review date came and nobody approved it again.
    Expired,
    /// Gone at its source; no longer in force.
    Removed,
    /// Taken off the list.
    Delisted,
    /// Never listed: not approved.
    Rejected,
    /// Never listed: taken back by who reported it.
    Withdrawn,
}

impl State {
    /// All of them.
    pub const ALL: [State; 11] = [
        State::Reported,
        State::Assessed,
        State::Classified,
        State::Approved,
        State::Listed,
        State::Appealed,
        State::Expired,
        State::Removed,
        State::Delisted,
        State::Rejected,
        State::Withdrawn,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Reported => "reported",
            State::Assessed => "assessed",
            State::Classified => "classified",
            State::Approved => "approved",
            State::Listed => "listed",
            State::Appealed => "appealed",
            State::Expired => "expired",
            State::Removed => "removed",
            State::Delisted => "delisted",
            State::Rejected => "rejected",
            State::Withdrawn => "withdrawn",
        }
    }
}

/// One report and its fate. Built from entries and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Which case.
    pub id: CaseId,
    /// What the records say.
    pub facts: Facts,
    /// Where it stood when its last entry was made; [`Case::state_at`] knows about time.
    pub state: State,
    /// Who took it in, and when.
    pub reported: Act,
    /// Who assessed it.
    pub assessed: Option<Act>,
    /// Who classified it.
    pub classified: Option<Act>,
    /// Approvals that wait for more.
    pub approvals: Vec<Approval>,
    /// When it was in force, oldest first.
    pub listings: Vec<Listing>,
    /// When its source was seen without it.
    pub removed_seen_at: Option<UnixSeconds>,
    /// Why it is off the list, or never came to it.
    pub closed: Option<Closing>,
    /// One person took it off the list, and no second one has looked at that yet.
    pub unreviewed: bool,
    /// Appeals, oldest first.
    pub appeals: Vec<Appeal>,
    /// Number of its last entry.
    pub last: u64,
}

/// Who did something, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Who.
    pub by: PersonId,
    /// When.
    pub at: UnixMillis,
}

/// One person's approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who.
    pub by: PersonId,
    /// When.
    pub at: UnixMillis,
    /// Until when, at the longest.
    pub review_by: UnixSeconds,
}

/// A time in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The decision: when the last needed person approved.
    pub from: UnixMillis,
    /// It ends by itself then.
    pub review_by: UnixSeconds,
    /// Taken off the list before.
    pub until: Option<UnixMillis>,
    /// Everybody who approved it, for the first period and for later ones.
    pub approvers: Vec<PersonId>,
}

/// An end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// Who.
    pub by: PersonId,
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub why: Why,
    /// In words.
    pub reason: Option<Remark>,
}

/// Why a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Not approved.
    Rejected,
    /// Taken back by who reported it.
    Withdrawn,
    /// Gone at its source.
    Removed,
    /// Taken off at once by one person.
    Emergency,
    /// An appeal was granted.
    Appeal,
}

impl Why {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Why::Rejected => "rejected",
            Why::Withdrawn => "withdrawn",
            Why::Removed => "removed at source",
            Why::Emergency => "emergency",
            Why::Appeal => "appeal granted",
        }
    }
}

/// A request for another look, without the one who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appeal {
    /// When it was recorded, and by whom.
    pub opened: Act,
    /// It looks like an evident over-block.
    pub evident: bool,
    /// An answer is due by then.
    pub due: UnixSeconds,
    /// Who answered, and when.
    pub answered: Option<Act>,
    /// The listing stays.
    pub upheld: bool,
}

impl Listing {
    /// Whether it is in force at a time.
    pub fn holds_at(&self, at: UnixMillis) -> bool {
        self.from <= at && at / 1000 < self.review_by && self.until.is_none_or(|until| at < until)
    }
}

impl Case {
    /// Where it stands at a time after its last entry: what is listed expires by itself. An open appeal stays one, for
    /// whoever asked waits for an answer; [`Case::in_force_at`] says whether it is still listed.
    pub fn state_at(&self, at: UnixMillis) -> State {
        match self.state {
            State::Listed if !self.in_force_at(at) => State::Expired,
            state => state,
        }
    }

    /// Whether it is legally in force at a time, now or in the past.
    pub fn in_force_at(&self, at: UnixMillis) -> bool {
        self.listings.iter().any(|listing| listing.holds_at(at))
    }

    /// When the present listing ends by itself.
    pub fn review_by(&self) -> Option<UnixSeconds> {
        self.listings.last().map(|listing| listing.review_by)
    }

    /// How many different people must approve it.
    pub fn approvals_needed(&self) -> usize {
        approvals_needed(self.facts.class)
    }

    /// The appeal that waits for an answer.
    pub fn open_appeal(&self) -> Option<&Appeal> {
        self.appeals.last().filter(|appeal| appeal.answered.is_none())
    }

    /// Who handed it over, a word of the scheme.
    pub fn source(&self) -> Option<Word> {
        Word::parse(self.id.source()).ok()
    }

    /// Everybody who ever approved it.
    pub fn approvers(&self) -> impl Iterator<Item = &PersonId> {
        let listed = self.listings.iter().flat_map(|listing| &listing.approvers);
        listed.chain(self.approvals.iter().map(|approval| &approval.by))
    }
}

/// What a case waits for: the desk's list of things to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// An appeal has to be answered.
    Answer {
        /// By then.
        due: UnixSeconds,
    },
    /// A second person has to look at what one did alone.
    SecondLook,
    /// Approvals for another period.
    Renewal {
        /// It ends by itself then.
        until: UnixSeconds,
        /// So many different people have to approve yet.
        missing: usize,
    },
    /// Approvals.
    Approvals {
        /// So many different people have to approve yet.
        missing: usize,
    },
    /// An analyst.
    Review,
}

impl Case {
    /// What it waits for at a time, the most urgent thing if there are several.
    pub fn waits_for(&self, at: UnixMillis) -> Option<Waiting> {
        let missing = self.approvals_needed().saturating_sub(self.approvals.len()).max(1);
        match self.state_at(at) {
            State::Appealed => self.open_appeal().map(|appeal| Waiting::Answer { due: appeal.due }),
            _ if self.unreviewed => Some(Waiting::SecondLook),
            State::Listed | State::Expired => {
                let until = self.review_by()?;
                // What has expired long ago is nobody's work any more.
                let now = at / 1000;
                let near = if now < until { until - now <= DUE_SOON } else { now - until <= RENEWABLE };
                near.then_some(Waiting::Renewal { until, missing })
            }
            State::Classified | State::Approved => Some(Waiting::Approvals { missing }),
            State::Reported | State::Assessed => Some(Waiting::Review),
            State::Removed | State::Delisted | State::Rejected | State::Withdrawn => None,
        }
    }
}

/// How many different people must approve a case of a class: the law wants two.
pub fn approvals_needed(class: Class) -> usize {
    match class {
        Class::Legal => 2,
        Class::Operator | Class::Venue => 1,
    }
}

/// When an appeal has to be answered: an evident over-block within a day, anything else by the end of the fifth working
/// day after it (Monday to Friday, in UTC; holidays of a country are not known here, so that no answer is late by them).
pub fn appeal_due(opened: UnixSeconds, evident: bool) -> UnixSeconds {
    if evident {
        return opened + DAY;
    }
    let mut day = opened / DAY;
    let mut left = 5;
    while left > 0 {
        day += 1;
        // 1970-01-01 was a Thursday: days 2 and 3 after it a Saturday and a Sunday.
        if !matches!(day % 7, 2 | 3) {
            left -= 1;
        }
    }
    (day + 1) * DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appeal_is_due_after_a_day_or_five_working_days() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second() as u64;
        let due = |opened: &str| appeal_due(at(opened), false);
        // A Monday, a Friday, a Saturday and a Sunday of 2027.
        assert_eq!(due("2027-03-01T10:00:00Z"), at("2027-03-09T00:00:00Z"));
        assert_eq!(due("2027-03-05T23:59:59Z"), at("2027-03-13T00:00:00Z"));
        assert_eq!(due("2027-03-06T00:00:00Z"), at("2027-03-13T00:00:00Z"));
        assert_eq!(due("2027-03-07T12:00:00Z"), at("2027-03-13T00:00:00Z"));
        assert_eq!(appeal_due(at("2027-03-05T23:00:00Z"), true), at("2027-03-06T23:00:00Z"));
    }

    #[test]
    fn a_listing_holds_from_its_decision_to_its_end() {
        let listing =
            |until| Listing { from: 5_500, review_by: 10, until, approvers: vec!["0123456789abcdef".parse().unwrap()] };
        for (at, open, closed) in [
            (5_499, false, false),
            (5_500, true, true),
            (7_000, true, false),
            (9_999, true, false),
            (10_000, false, false),
        ] {
            assert_eq!(listing(None).holds_at(at), open, "{at}");
            assert_eq!(listing(Some(7_000)).holds_at(at), closed, "{at}");
        }
    }
}
