//! `friendly-blocklist withdraw`: off the list, by one person.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{Place, Signer, block_on, case, now, reason, remark};
use super::view;
use crate::ledger::UnixSeconds;
use crate::ledger::event::Event;
use crate::ledger::rules::Refused;
use crate::ledger::words::{CaseId, Remark};
use crate::takedown::moment_of;

/// Take a case back, or a name off the list
///
/// One person is enough, so that a mistake does not last. What the law had listed is looked at by a second person
/// afterwards (`review CASE --confirm` or `--reopen`), unless it is gone at its source.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The case, such as isigurt/2027-0042
    #[arg(value_parser = case)]
    case: CaseId,

    /// It blocks what it should not: take it off at once
    #[arg(long, conflicts_with_all = ["removed_at_source", "seen_at"])]
    emergency: bool,

    /// It is gone at its source
    #[arg(long, conflicts_with = "reason")]
    removed_at_source: bool,

    /// When it was seen gone, such as 2027-03-01. Default: now
    #[arg(long, value_name = "DATE", requires = "removed_at_source", value_parser = seen)]
    seen_at: Option<UnixSeconds>,

    /// Why, in one sentence
    #[arg(long, value_name = "TEXT", value_parser = remark)]
    reason: Option<Remark>,

    #[command(flatten)]
    signer: Signer,

    #[command(flatten)]
    place: Place,
}

fn seen(text: &str) -> Result<UnixSeconds, String> {
    moment_of(text).ok_or_else(|| "a day such as 2027-03-01, or a moment such as 2027-03-01T10:00:00Z".to_owned())
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { case: id, emergency, removed_at_source, seen_at, signer, place, .. } = arguments;
        let (person, ledger) = (signer.person()?, place.open().await?);
        let before = ledger.case(id).await?.ok_or_else(|| Refused::NoCase(id.clone()))?;
        let case = id.clone();
        let event = if *removed_at_source {
            Event::Removed { case, seen_at: seen_at.unwrap_or(now() / 1000) }
        } else {
            let reason = reason(arguments.reason.as_ref())?;
            if *emergency { Event::EmergencyDelisted { case, reason } } else { Event::Withdrawn { case, reason } }
        };
        signer.confirm(&format!("Stop blocking {}?", view::brief(&before)))?;
        let at = now();
        let number = ledger.append_seen(event, before.last, &person, at).await?;
        let after = ledger.case(id).await?.ok_or_else(|| Refused::NoCase(id.clone()))?;
        let value =
            json!({ "case": id, "entry": number, "state": after.state_at(at), "second_look": after.unreviewed });
        place.say(&value, || {
            let was = if before.in_force_at(at) { "; the next release no longer blocks it" } else { "" };
            let look = if after.unreviewed { " A second person has to look at it: review CASE --confirm." } else { "" };
            format!("{id} is {}{was}.{look}", after.state.word())
        })?;
        ledger.close().await;
        Ok(())
    })
}
