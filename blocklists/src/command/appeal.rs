//! `friendly-blocklist appeal`: somebody asks for another look, and an officer answers.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Failure;
use super::place::{Place, Signer, block_on, case, now, reason, remark};
use super::view;
use crate::ledger::event::Event;
use crate::ledger::minute;
use crate::ledger::rules::Refused;
use crate::ledger::words::{CaseId, Remark};

/// Record and answer appeals against a listing
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
        about: About,
        /// Why, in one sentence
        #[arg(long, value_name = "TEXT", value_parser = remark)]
        reason: Option<Remark>,
    },
    /// Answer that the listing goes; an officer who did not approve it
    Delist {
        #[command(flatten)]
        about: About,
        /// Why, in one sentence
        #[arg(long, value_name = "TEXT", value_parser = remark)]
        reason: Option<Remark>,
    },
}

#[derive(Debug, Args)]
struct About {
    /// The case, such as isigurt/2027-0042
    #[arg(value_parser = case)]
    case: CaseId,

    #[command(flatten)]
    signer: Signer,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (Step::Open { about, .. } | Step::Uphold { about, .. } | Step::Delist { about, .. }) = &arguments.step;
    block_on(async {
        let About { case: id, signer, place } = about;
        let (person, ledger) = (signer.person()?, place.open().await?);
        let before = ledger.case(id).await?.ok_or_else(|| Refused::NoCase(id.clone()))?;
        let (case, what) = (id.clone(), view::brief(&before));
        let (event, question) = match &arguments.step {
            Step::Open { evident, .. } => {
                (Event::AppealOpened { case, evident: *evident }, format!("Record an appeal against {what}?"))
            }
            Step::Uphold { reason: given, .. } => {
                (Event::AppealUpheld { case, reason: reason(given.as_ref())? }, format!("Go on blocking {what}?"))
            }
            Step::Delist { reason: given, .. } => {
                (Event::AppealDelisted { case, reason: reason(given.as_ref())? }, format!("Stop blocking {what}?"))
            }
        };
        signer.confirm(&question)?;
        let at = now();
        let number = ledger.append_seen(event, before.last, &person, at).await?;
        let after = ledger.case(id).await?.ok_or_else(|| Refused::NoCase(id.clone()))?;
        let due = after.open_appeal().map(|appeal| appeal.due);
        let value = json!({ "case": id, "entry": number, "state": after.state_at(at), "due": due });
        place.say(&value, || match (&arguments.step, due) {
            (Step::Open { .. }, Some(due)) => format!("{id} is appealed; the answer is due by {}.", minute(due)),
            (Step::Delist { .. }, _) => format!("{id} is delisted; the next release no longer blocks it."),
            _ => format!("{id} stays listed; the appeal is answered."),
        })?;
        ledger.close().await;
        Ok(())
    })
}
