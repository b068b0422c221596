//! What an entry makes of a case, who may take which step aside.

use signed_list::release::Class;

use super::lapse::lapse;
use super::refused::Refused;
use super::steps::{Step, next};
use super::{Before, Member, not_in_the_future};
use crate::ledger::case::{
    Act, Appeal, Approval, Case, Closing, DAY, LISTED_AT_MOST, Listing, RENEWABLE, State, Why, appeal_due,
};
use crate::ledger::event::{Entry, Event, Outcome};
use crate::ledger::words::Remark;
use crate::ledger::{UnixMillis, UnixSeconds};
use crate::person::PersonId;

/// Everything that happens to a case after it came in.
pub(super) fn on_case(entry: &Entry, act: Act, before: Before) -> Result<Case, Refused> {
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
            can_be_gone(&case, *seen_at)?;
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

/// Whether a case can have been seen gone at that time: not before the day on which the hotline still saw it.
fn can_be_gone(case: &Case, seen: UnixSeconds) -> Result<(), Refused> {
    let assessed = case.facts.assessed_at;
    // Either can be a day alone, which stands for its midnight.
    if seen / DAY < assessed / DAY {
        return Err(Refused::GoneBefore { case: case.id.clone(), assessed, seen });
    }
    Ok(())
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
    case.approvals.retain(|approval| lapse(approval, class, people, act.at).is_none());
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
