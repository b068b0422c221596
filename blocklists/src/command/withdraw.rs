//! `friendly-blocklist withdraw`: off the list, by one person.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{About, Why, block_on, now};
use super::view;
use crate::ledger::UnixSeconds;
use crate::ledger::event::Event;
use crate::ledger::words::CaseId;
use crate::takedown::moment_of;

/// Take a case back, or a name off the list (analysts, approvers, officers)
///
/// One person is enough, so that a mistake does not last. What the law had listed is looked at by a second person
/// afterwards, an approver or officer (`review CASE --confirm` or `--reopen`), unless it is gone at its source, which an
/// analyst says. Operators take off what is on the lists of operator and venues, and anything in an emergency. An appeal
/// is not granted here, but with `appeal delist`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// It blocks what it should not: take it off at once
    #[arg(long, conflicts_with_all = ["removed_at_source", "seen_at"])]
    emergency: bool,

    /// It is gone at its source
    #[arg(long, conflicts_with = "reason")]
    removed_at_source: bool,

    /// With --removed-at-source: when it was seen gone, such as 2027-03-01. Default: now
    // clap lets `requires` go where a reason excludes what is required, so the reason is excluded here as well.
    #[arg(long, value_name = "DATE", requires = "removed_at_source", conflicts_with = "reason", value_parser = seen)]
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
        let neighbours = ledger.neighbours(&after, at).await?;
        let value = json!({
            "case": id, "entry": number, "state": after.state_at(at), "second_look": after.unreviewed,
            "neighbours": neighbours,
        });
        place.say(&value, || {
            let blocked = before.in_force_at(at);
            let was = if blocked { view::no_longer_blocked(&after, &neighbours) } else { ".".to_owned() };
            let look = if after.unreviewed { second_look(id) } else { String::new() };
            format!("{id} is {}{was}{look}", after.state.word())
        })?;
        ledger.close().await;
        Ok(())
    })
}

fn second_look(id: &CaseId) -> String {
    format!(
        " A second person, an approver or officer, has to look at it: `review {id} --confirm` if it was right, `review \
         {id} --reopen` if not."
    )
}
