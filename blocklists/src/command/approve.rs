//! `friendly-blocklist approve`: one person's approval of a case, or of several.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{Done, Several, block_on, now};
use super::screen::is_interactive;
use super::view::{self, Docket, Names};
use crate::ledger::case::{Approval, Case, LISTED_AT_MOST, State};
use crate::ledger::event::Event;
use crate::ledger::rules::Member;
use crate::ledger::rules::lapse::lapse;
use crate::ledger::words::CaseId;
use crate::ledger::{Ledger, UnixMillis, UnixSeconds, date};
use crate::person::Person;
use crate::takedown::moment_of;

/// Approve the listing of a case, or of several (approvers)
///
/// A case for the legal list takes effect when two different approvers have approved it; one for the lists of operator
/// and venues with one approval, which an operator can give, too. The listing ends by itself at its review date, 90 days
/// from now at the latest; in its last 30 days, and afterwards, it can be approved again.
#[derive(Debug, Args)]
pub struct Arguments {
    /// When the listing ends unless it is approved again, such as 2027-05-31. Default: in 90 days
    #[arg(long, value_name = "DATE", value_parser = day)]
    review_by: Option<UnixSeconds>,

    #[command(flatten)]
    about: Several,
}

fn day(text: &str) -> Result<UnixSeconds, String> {
    moment_of(text).ok_or_else(|| "a day such as 2027-05-31".to_owned())
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let (person, ledger) = arguments.about.open().await?;
        arguments.about.each(async |id| approve(arguments, id, &ledger, &person).await).await?;
        ledger.close().await;
        Ok(())
    })
}

async fn approve(arguments: &Arguments, id: &CaseId, ledger: &Ledger, person: &Person) -> Result<Done, Failure> {
    let Arguments { review_by, about: Several { signer, place, .. } } = arguments;
    let before = ledger.find(id).await?;
    if is_interactive() && !signer.yes {
        eprintln!("{}", Docket::of(ledger, &before, &place.scheme(None)?, now()).await?.card());
    }
    signer.confirm(&format!("Block {}?", view::brief(&before)))?;
    let at = now();
    let review_by = review_by.unwrap_or(at / 1000 + LISTED_AT_MOST);
    let event = Event::Approved { case: id.clone(), review_by };
    let number = ledger.append_seen(event, before.last, person, at).await?;
    let (case, members) = (ledger.find(id).await?, ledger.members().await?);
    let lapsed = lapsed(&before, &members, at);
    let value = json!({
        "case": id, "entry": number, "state": case.state_at(at), "in_force": case.in_force_at(at),
        "approvals": case.approvals.len(), "review_by": case.review_by(),
        "lapsed": lapsed.iter().map(|(approval, _)| &approval.by).collect::<Vec<_>>(),
    });
    let names = Names::of(&members);
    let mut sentence = said(&case, at);
    for (approval, why) in &lapsed {
        sentence += &format!(" The approval by {} {why}.", names.show(&approval.by));
    }
    Ok(Done { value, sentence })
}

/// Approvals that the case held before this one and that came to nothing: who approves has seen them in the card.
fn lapsed<'a>(before: &'a Case, members: &[Member], at: UnixMillis) -> Vec<(&'a Approval, String)> {
    let why = |approval: &Approval| lapse(approval, before.facts.class, members, at);
    let told = before.approvals.iter().filter_map(|approval| Some((approval, why(approval)?)));
    told.map(|(approval, lapse)| (approval, view::counts_no_longer(&lapse))).collect()
}

fn said(case: &Case, at: UnixMillis) -> String {
    let until = date(case.review_by().unwrap_or_default());
    let missing = case.approvals_needed().saturating_sub(case.approvals.len());
    match (case.state, case.approvals.is_empty()) {
        (State::Listed, true) => {
            format!("{} is listed until {until}; the next release enforces it.", case.id)
        }
        (State::Listed, false) if case.in_force_at(at) => {
            format!("{} is listed until {until}; for longer, it takes {missing} more approval.", case.id)
        }
        _ => format!("{} is approved by one; it takes {missing} more approval, by somebody else.", case.id),
    }
}
