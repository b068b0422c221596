//! `friendly-blocklist approve`: one person's approval of a case.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{About, block_on, now};
use super::screen::is_interactive;
use super::view::{self, Names};
use crate::ledger::case::{Case, LISTED_AT_MOST, State};
use crate::ledger::event::Event;
use crate::ledger::{UnixSeconds, date};
use crate::takedown::moment_of;

/// Approve the listing of a case
///
/// A case for the legal list takes effect when two different people have approved it. The listing ends by itself at its
/// review date, 90 days from now at the latest; in its last 30 days, and afterwards, it can be approved again.
#[derive(Debug, Args)]
pub struct Arguments {
    /// When the listing ends unless it is approved again, such as 2027-05-31. Default: in 90 days
    #[arg(long, value_name = "DATE", value_parser = day)]
    review_by: Option<UnixSeconds>,

    #[command(flatten)]
    about: About,
}

fn day(text: &str) -> Result<UnixSeconds, String> {
    moment_of(text).ok_or_else(|| "a day such as 2027-05-31".to_owned())
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { review_by, about } = arguments;
        let About { case: id, signer, place } = about;
        let (person, ledger) = about.open().await?;
        let case = about.case(&ledger).await?;
        if is_interactive() && !signer.yes {
            let (scheme, members) = (place.scheme(None)?, ledger.members().await?);
            eprintln!("{}", view::card(&case, now(), &scheme, &Names::of(&members)));
        }
        signer.confirm(&format!("Block {}?", view::brief(&case)))?;
        let at = now();
        let review_by = review_by.unwrap_or(at / 1000 + LISTED_AT_MOST);
        let event = Event::Approved { case: id.clone(), review_by };
        let number = ledger.append_seen(event, case.last, &person, at).await?;
        let case = about.case(&ledger).await?;
        let missing = case.approvals_needed().saturating_sub(case.approvals.len());
        let in_force = case.in_force_at(at);
        let value = json!({
            "case": id, "entry": number, "state": case.state_at(at), "in_force": in_force,
            "approvals": case.approvals.len(), "review_by": case.review_by(),
        });
        place.say(&value, || said(&case, in_force, missing))?;
        ledger.close().await;
        Ok(())
    })
}

fn said(case: &Case, in_force: bool, missing: usize) -> String {
    let until = date(case.review_by().unwrap_or_default());
    match (case.state, case.approvals.is_empty()) {
        (State::Listed, true) => {
            format!("{} is listed until {until}; the next release enforces it.", case.id)
        }
        (State::Listed, false) if in_force => {
            format!("{} is listed until {until}; for longer, it takes {missing} more approval.", case.id)
        }
        _ => format!("{} is approved by one; it takes {missing} more approval, by somebody else.", case.id),
    }
}
