//! `friendly-blocklist reject`: a case will not be listed.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{About, Why, block_on, now};
use super::view;
use crate::ledger::event::Event;

/// Reject a case that is not listed yet
///
/// It is closed with its reason. If it is needed after all, the hotline sends it under a new number.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    about: About,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { why, about } = arguments;
        let About { case: id, signer, place } = about;
        let (person, ledger) = about.open().await?;
        let case = about.case(&ledger).await?;
        let reason = why.reason()?;
        signer.confirm(&format!("Reject {}: {}?", id, view::brief(&case)))?;
        let event = Event::Rejected { case: id.clone(), reason };
        let number = ledger.append_seen(event, case.last, &person, now()).await?;
        let value = json!({ "case": id, "entry": number, "state": "rejected" });
        place.say(&value, || format!("{id} is rejected and closed."))?;
        ledger.close().await;
        Ok(())
    })
}
