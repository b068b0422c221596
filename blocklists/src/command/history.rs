//! `friendly-blocklist history`: everything that happened to a case.

use std::fmt::Write as _;

use clap::Args;

use super::Failure;
use super::place::{Place, block_on, case};
use super::screen::{self, Look};
use super::view::Names;
use crate::ledger::event::{Entry, Event, Outcome};
use crate::ledger::rules::Refused;
use crate::ledger::words::CaseId;
use crate::ledger::{date, minute};

/// Show everything that happened to a case: what, when, by whom
#[derive(Debug, Args)]
pub struct Arguments {
    /// The case, such as isigurt/2027-0042
    #[arg(value_parser = case)]
    case: CaseId,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { case: id, place } = arguments;
        let ledger = place.open().await?;
        let (entries, members) = (ledger.history(id).await?, ledger.members().await?);
        if entries.is_empty() {
            return Err(Refused::NoCase(id.clone()).into());
        }
        place.print(&entries, || text(id, &entries, &Names::of(&members)))?;
        ledger.close().await;
        Ok(())
    })
}

fn text(id: &CaseId, entries: &[Entry], names: &Names) -> String {
    let mut out = screen::title(&format!("History of {id}"), &format!("{} entries", entries.len()), Look::Faint);
    for entry in entries {
        let (kind, details) = told(&entry.event);
        let head = format!("  {}  {}", minute(entry.at / 1000), screen::paint(&format!("{kind:<20}"), Look::Strong));
        let _ = writeln!(out, "{head} {}", screen::paint(&names.show(&entry.by), Look::Faint));
        out += &screen::wrap(&details, 24);
    }
    out
}

/// What happened, and what is worth saying about it.
fn told(event: &Event) -> (&'static str, String) {
    let kind = match event {
        Event::EmergencyDelisted { .. } => "emergency delisting",
        Event::Removed { .. } => "removed at source",
        Event::Reviewed { outcome: Outcome::Confirmed, .. } => "delisting confirmed",
        Event::Reviewed { outcome: Outcome::Reopened, .. } => "reopened",
        Event::AppealOpened { .. } => "appeal opened",
        Event::AppealUpheld { .. } => "appeal answered",
        Event::AppealDelisted { .. } => "appeal granted",
        event => event.kind(),
    };
    let details = match event {
        Event::Reported { facts, .. } => {
            let scope = crate::ledger::event::scope_text(facts.scope);
            format!("{} ({scope}), {} list, {}", facts.name, facts.class.word(), facts.category)
        }
        Event::Returned { ground, .. } => format!("notice and takedown only: {ground}"),
        Event::Classified { category, legal_basis, legal_reference, .. } => {
            let basis = legal_basis.as_ref().map(|basis| format!(", {basis}")).unwrap_or_default();
            let reference = legal_reference.as_ref().map(|words| format!(", {words}")).unwrap_or_default();
            format!("{category}{basis}{reference}")
        }
        Event::Approved { review_by, .. } => format!("until {} at the latest", date(*review_by)),
        Event::Removed { seen_at, .. } => format!("seen gone {}", minute(*seen_at)),
        Event::AppealOpened { evident: true, .. } => "an evident over-block".to_owned(),
        Event::Rejected { reason, .. }
        | Event::Withdrawn { reason, .. }
        | Event::EmergencyDelisted { reason, .. }
        | Event::Reviewed { reason, .. }
        | Event::AppealUpheld { reason, .. }
        | Event::AppealDelisted { reason, .. } => reason.to_string(),
        _ => String::new(),
    };
    (kind, details)
}
