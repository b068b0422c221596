//! `friendly-blocklist appeal`: somebody asks for another look, and an officer answers.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Failure;
use super::place::{About, Why, block_on, now};
use super::view;
use crate::ledger::event::Event;
use crate::ledger::minute;

/// Record and answer appeals against a listing
///
/// Analysts, approvers, officers and operators record one; an officer answers it. Appeals against the lists of operator and
/// venues are answered
/// by approvers and operators, too.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Record an appeal; the listing stays until it is answered. Who appeals is not kept
    Open {
        #[command(flatten)]
        about: About,
        /// It looks like an evident over-block: an answer is due within 24 hours, not 5 working days
        #[arg(long)]
        evident: bool,
    },
    /// Answer that the listing stays; an officer who did not approve it
    Uphold {
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        about: About,
    },
    /// Answer that the listing goes; an officer who did not approve it
    Delist {
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        about: About,
    },
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (Step::Open { about, .. } | Step::Uphold { about, .. } | Step::Delist { about, .. }) = &arguments.step;
    block_on(async {
        let About { case: id, signer, place } = about;
        let (person, ledger) = about.open().await?;
        let before = about.case(&ledger).await?;
        let (case, what) = (id.clone(), view::brief(&before));
        let (event, question) = match &arguments.step {
            Step::Open { evident, .. } => {
                (Event::AppealOpened { case, evident: *evident }, format!("Record an appeal against {what}?"))
            }
            Step::Uphold { why, .. } => {
                (Event::AppealUpheld { case, reason: why.reason()? }, format!("Go on blocking {what}?"))
            }
            Step::Delist { why, .. } => {
                (Event::AppealDelisted { case, reason: why.reason()? }, format!("Stop blocking {what}?"))
            }
        };
        signer.confirm(&question)?;
        let at = now();
        let number = ledger.append_seen(event, before.last, &person, at).await?;
        let after = about.case(&ledger).await?;
        let due = after.open_appeal().map(|appeal| appeal.due);
        let neighbours = ledger.neighbours(&after, at).await?;
        let value = json!({
            "case": id, "entry": number, "state": after.state_at(at), "due": due, "neighbours": neighbours,
        });
        place.say(&value, || match (&arguments.step, due) {
            (Step::Open { .. }, Some(due)) => format!("{id} is appealed; the answer is due by {}.", minute(due)),
            (Step::Delist { .. }, _) if before.in_force_at(at) => {
                format!("{id} is delisted{}", view::no_longer_blocked(&after, &neighbours))
            }
            (Step::Delist { .. }, _) => format!("{id} is delisted."),
            _ => format!("{id} stays listed; the appeal is answered."),
        })?;
        ledger.close().await;
        Ok(())
    })
}
