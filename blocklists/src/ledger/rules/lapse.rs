//! Approvals that were given and count no longer, because of who gave them or when.

use std::collections::BTreeMap;

use super::Member;
use crate::ledger::case::{Act, Approval, Case, approvals_needed};
use crate::ledger::event::{Entry, Event, Role};
use crate::ledger::{UnixMillis, UnixSeconds};
use signed_list::release::Class;

/// Why an approval counts no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// The key was retired.
    Retired {
        /// When.
        at: UnixMillis,
    },
    /// The key is registered without the role.
    NoApprover,
    /// The date up to which it was given has come.
    Over {
        /// That date.
        since: UnixSeconds,
    },
}

/// Why an approval counts no longer, if it does not.
pub fn lapse(approval: &Approval, class: Class, members: &[Member], at: UnixMillis) -> Option<Lapse> {
    let member = members.iter().find(|member| member.id() == approval.by);
    let retired = member.and_then(|member| member.retired.as_ref());
    match (retired, member) {
        (Some(act), _) => Some(Lapse::Retired { at: act.at }),
        (None, Some(member)) if approves(member, class) => over(approval, at),
        _ => Some(Lapse::NoApprover),
    }
}

fn over(approval: &Approval, at: UnixMillis) -> Option<Lapse> {
    (approval.review_by <= at / 1000).then_some(Lapse::Over { since: approval.review_by })
}

fn approves(member: &Member, class: Class) -> bool {
    member.is(Role::Approver) || class != Class::Legal && member.is(Role::Operator)
}

/// A case without the approvals that count no longer: what it really waits for.
pub fn counted(mut case: Case, members: &[Member], at: UnixMillis) -> Case {
    let class = case.facts.class;
    case.approvals.retain(|approval| lapse(approval, class, members, at).is_none());
    case
}

/// Approvals in the history of a case that came to nothing, by the numbers of their entries.
///
/// A case does not keep them: the next approval takes their place.
pub fn lapsed(entries: &[Entry], members: &[Member], at: UnixMillis) -> BTreeMap<u64, Lapse> {
    let mut class = Class::Legal;
    let mut waiting: Vec<(u64, Approval)> = Vec::new();
    let mut lapsed = BTreeMap::new();
    for entry in entries {
        match &entry.event {
            Event::Reported { facts, .. } => class = facts.class,
            Event::Approved { review_by, .. } => {
                // What roles somebody had then is not known here, and a listing says that they were the right ones.
                sweep(&mut waiting, &mut lapsed, |approval| {
                    retired_by(approval, members, entry.at).or_else(|| over(approval, entry.at))
                });
                let approval = Approval { by: entry.by.clone(), at: entry.at, review_by: *review_by };
                waiting.push((entry.number, approval));
                if waiting.len() >= approvals_needed(class) {
                    waiting.clear();
                }
            }
            Event::Rejected { .. }
            | Event::Withdrawn { .. }
            | Event::EmergencyDelisted { .. }
            | Event::Removed { .. }
            | Event::AppealDelisted { .. } => waiting.clear(),
            _ => {}
        }
    }
    sweep(&mut waiting, &mut lapsed, |approval| lapse(approval, class, members, at));
    lapsed
}

fn sweep(
    waiting: &mut Vec<(u64, Approval)>,
    lapsed: &mut BTreeMap<u64, Lapse>,
    why: impl Fn(&Approval) -> Option<Lapse>,
) {
    waiting.retain(|(number, approval)| match why(approval) {
        Some(lapse) => {
            lapsed.insert(*number, lapse);
            false
        }
        None => true,
    });
}

fn retired_by(approval: &Approval, members: &[Member], at: UnixMillis) -> Option<Lapse> {
    let member = members.iter().find(|member| member.id() == approval.by)?;
    let Act { at: retired, .. } = member.retired.as_ref().filter(|act| act.at <= at)?;
    Some(Lapse::Retired { at: *retired })
}
