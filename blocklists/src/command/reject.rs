//! `friendly-blocklist reject`: a case, or several, will not be listed.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{Done, Several, Why, block_on, now};
use super::view;
use crate::ledger::Ledger;
use crate::ledger::event::Event;
use crate::ledger::words::{CaseId, Remark};
use crate::person::Person;

/// Reject a case that is not listed yet, or several (approvers and officers)
///
/// It is closed with its reason. If it is needed after all, the hotline sends it under a new number. Cases for the lists
/// of operator and venues are rejected by operators, too.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    about: Several,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let (person, ledger) = arguments.about.open().await?;
        let reason = arguments.why.reason()?;
        arguments.about.each(async |id| reject(arguments, id, &reason, &ledger, &person).await).await?;
        ledger.close().await;
        Ok(())
    })
}

async fn reject(
    arguments: &Arguments,
    id: &CaseId,
    reason: &Remark,
    ledger: &Ledger,
    person: &Person,
) -> Result<Done, Failure> {
    let case = ledger.find(id).await?;
    arguments.about.signer.confirm(&format!("Reject {}: {}?", id, view::brief(&case)))?;
    let event = Event::Rejected { case: id.clone(), reason: reason.clone() };
    let number = ledger.append_seen(event, case.last, person, now()).await?;
    let value = json!({ "case": id, "entry": number, "state": "rejected" });
    Ok(Done { value, sentence: format!("{id} is rejected and closed.") })
}
