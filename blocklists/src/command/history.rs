//! `friendly-blocklist history`: everything that happened to a case, and the cases of a name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use serde_json::json;
use signed_list::list::Scope;
use signed_list::name::Name;

use super::Failure;
use super::place::{Place, block_on, case, now};
use super::readable;
use super::screen::{self, Cell, Look, cell, marked};
use super::view::{self, Names, beside, counts_no_longer};
use crate::ledger::case::{Case, State};
use crate::ledger::event::{Entry, Event, Outcome, scope_text};
use crate::ledger::neighbours::{Lies, Neighbour, Neighbours};
use crate::ledger::rules::{Lapse, Refused, lapsed};
use crate::ledger::words::CaseId;
use crate::ledger::{Ledger, UnixMillis, date, minute};

/// Show everything that happened to a case: what, when, by whom; or the cases of a name
///
/// With a name, the cases about it and where they stand, and those in force that cover it from above: what an appeal has
/// to be recorded against.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The case, such as isigurt/2027-0042; or a name, such as name.example
    #[arg(value_name = "CASE|NAME", value_parser = about)]
    about: About,

    #[command(flatten)]
    place: Place,
}

/// What is asked about.
#[derive(Clone, Debug)]
enum About {
    Case(CaseId),
    Name(Name),
}

/// A case has a slash and no dot, a name it is the other way round.
fn about(text: &str) -> Result<About, String> {
    if text.contains('/') || !text.contains('.') {
        let wrong = |rule: String| format!("{rule}; or a name with a dot, such as name.example");
        return case(text).map(About::Case).map_err(wrong);
    }
    Name::parse(text).map(About::Name).map_err(|error| error.to_string())
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { about, place } = arguments;
        let ledger = place.open().await?;
        match about {
            About::Case(id) => of_case(id, place, &ledger).await?,
            About::Name(name) => of_name(name, place, &ledger).await?,
        }
        ledger.close().await;
        Ok(())
    })
}

async fn of_case(id: &CaseId, place: &Place, ledger: &Ledger) -> Result<(), Failure> {
    let (entries, members) = (ledger.history(id).await?, ledger.members().await?);
    if entries.is_empty() {
        return Err(Refused::NoCase(id.clone()).into());
    }
    let lapsed = lapsed(&entries, &members, now());
    place.print(&entries, || text(id, &entries, &lapsed, &Names::of(&members)))
}

async fn of_name(name: &Name, place: &Place, ledger: &Ledger) -> Result<(), Failure> {
    let at = now();
    let all = Neighbours::of(ledger.cases().await?);
    let cases = all.cases_of(name);
    let covering: Vec<Neighbour> =
        all.around(name, Scope::Exact, at).into_iter().filter(|near| near.lies == Lies::Above).collect();
    let shown = readable::shown(name);
    if cases.is_empty() && covering.is_empty() {
        return Err(format!("there is no case about {shown} in this ledger, and none in force that covers it").into());
    }
    let value = json!({
        "name": name.to_string(),
        "cases": cases.iter().map(|case| json!({
            "case": case.id, "stands": case.state_at(at), "in_force": case.in_force_at(at), "review_by": case.review_by(),
        })).collect::<Vec<_>>(),
        "covered_by": covering,
    });
    place.print(&value, || {
        let mut out = screen::title(
            &format!("Cases of {shown}"),
            &screen::count(cases.len() as u64, "case", "cases"),
            Look::Faint,
        );
        if !cases.is_empty() {
            let rows: Vec<Vec<Cell>> = cases.iter().map(|case| row(case, at)).collect();
            out += &screen::table(&["CASE", "STATE", "COVERS", "SINCE", ""], &rows);
        }
        for near in &covering {
            out += &screen::wrap(&format!("See also {}.", beside(near)), 0);
        }
        out
    })
}

fn row(case: &Case, at: UnixMillis) -> Vec<Cell> {
    let state = case.state_at(at);
    let end = match (&case.closed, case.review_by()) {
        (Some(closed), _) => format!("{} {}", closed.why.words(), date(closed.at / 1000)),
        (None, Some(until)) if case.in_force_at(at) => format!("until {}", date(until)),
        (None, Some(until)) if state == State::Expired => format!("ended {}", date(until)),
        _ => String::new(),
    };
    vec![
        cell(case.id.as_str()),
        marked(state.word(), view::look(state)),
        cell(scope_text(case.facts.scope)),
        cell(date(case.reported.at / 1000)),
        cell(end),
    ]
}

fn text(id: &CaseId, entries: &[Entry], lapsed: &BTreeMap<u64, Lapse>, names: &Names) -> String {
    let mut out = screen::title(
        &format!("History of {id}"),
        &screen::count(entries.len() as u64, "entry", "entries"),
        Look::Faint,
    );
    for entry in entries {
        let (kind, mut details) = told(&entry.event);
        if let Some(lapse) = lapsed.get(&entry.number) {
            let _ = write!(details, "; {}", counts_no_longer(lapse));
        }
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
            let scope = scope_text(facts.scope);
            format!("{} ({scope}), {} list, {}", readable::shown(&facts.name), facts.class.word(), facts.category)
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
