//! `friendly-blocklist withdraw`: off the list, by one person.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{About, Why, block_on, now};
use super::view;
use crate::ledger::UnixSeconds;
use crate::ledger::event::Event;
use crate::takedown::moment_of;

/// Take a case back, or a name off the list
///
/// One person is enough, so that a mistake does not last. What the law had listed is looked at by a second person
/// afterwards (`review CASE --confirm` or `--reopen`), unless it is gone at its source.
#[derive(Debug, Args)]
pub struct Arguments {
    /// It blocks what it should not: take it off at once
    #[arg(long, conflicts_with_all = ["removed_at_source", "seen_at"])]
    emergency: bool,

    /// It is gone at its source
    #[arg(long, conflicts_with = "reason")]
    removed_at_source: bool,

    /// When it was seen gone, such as 2027-03-01. Default: now
    #[arg(long, value_name = "DATE", requires = "removed_at_source", value_parser = seen)]
    seen_at: Option<UnixSeconds>,

    #[command(flatten)]
    why: Why,

    #[command(flatten)]
    about: About,
}

fn seen(text: &str) -> Result<UnixSeconds, String> {
    moment_of(text).ok_or_else(|| "a day such as 2027-03-01, or a moment such as 2027-03-01T10:00:00Z".to_owned())
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { emergency, removed_at_source, seen_at, why, about } = arguments;
        let About { case: id, signer, place } = about;
        let (person, ledger) = about.open().await?;
        let before = about.case(&ledger).await?;
        let case = id.clone();
        let event = if *removed_at_source {
            Event::Removed { case, seen_at: seen_at.unwrap_or(now() / 1000) }
        } else {
            let reason = why.reason()?;
            if *emergency { Event::EmergencyDelisted { case, reason } } else { Event::Withdrawn { case, reason } }
        };
        signer.confirm(&format!("Stop blocking {}?", view::brief(&before)))?;
        let at = now();
        let number = ledger.append_seen(event, before.last, &person, at).await?;
        let after = about.case(&ledger).await?;
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
