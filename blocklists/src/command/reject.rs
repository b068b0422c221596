//! `friendly-blocklist reject`: a case will not be listed.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{Place, Signer, block_on, case, now, reason, remark};
use super::view;
use crate::ledger::event::Event;
use crate::ledger::rules::Refused;
use crate::ledger::words::{CaseId, Remark};

/// Reject a case that is not listed yet
///
/// It is closed with its reason. If it is needed after all, the hotline sends it under a new number.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The case, such as isigurt/2027-0042
    #[arg(value_parser = case)]
    case: CaseId,

    /// Why, in one sentence
    #[arg(long, value_name = "TEXT", value_parser = remark)]
    reason: Option<Remark>,

    #[command(flatten)]
    signer: Signer,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { case: id, signer, place, .. } = arguments;
        let (person, ledger) = (signer.person()?, place.open().await?);
        let case = ledger.case(id).await?.ok_or_else(|| Refused::NoCase(id.clone()))?;
        let reason = reason(arguments.reason.as_ref())?;
        signer.confirm(&format!("Reject {}: {}?", id, view::brief(&case)))?;
        let event = Event::Rejected { case: id.clone(), reason };
        let number = ledger.append_seen(event, case.last, &person, now()).await?;
        let value = json!({ "case": id, "entry": number, "state": "rejected" });
        place.say(&value, || format!("{id} is rejected and closed."))?;
        ledger.close().await;
        Ok(())
    })
}
