//! How a case is shown: the card that is looked at before a decision, and the same for programs.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::Serialize;
use signed_list::list::Scope;

use super::screen::{self, Look};
use crate::ledger::case::{Case, State, Waiting};
use crate::ledger::rules::Member;
use crate::ledger::{UnixMillis, UnixSeconds, date, minute};
use crate::person::PersonId;
use crate::takedown::scheme::Scheme;

/// People by what colleagues call them.
#[derive(Default)]
pub struct Names(HashMap<PersonId, String>);

impl Names {
    /// Of everybody who is or was registered.
    pub fn of(members: &[Member]) -> Names {
        Names(members.iter().map(|member| (member.id(), member.label.to_string())).collect())
    }

    /// The label with the key behind it: the label alone is nobody.
    pub fn show(&self, id: &PersonId) -> String {
        match self.0.get(id) {
            Some(label) => format!("{label} ({id})"),
            None => id.to_string(),
        }
    }
}

/// A case for programs.
#[derive(Serialize)]
pub struct Shown<'a> {
    /// Where it stands now, which the case's own `state` cannot know.
    pub stands: State,
    /// Whether it is in force now.
    pub in_force: bool,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// When somebody has to be done with that, Unix seconds.
    pub due: Option<UnixSeconds>,
    #[serde(flatten)]
    case: &'a Case,
}

impl<'a> Shown<'a> {
    /// At a time.
    pub fn at(case: &'a Case, at: UnixMillis) -> Shown<'a> {
        let waiting = case.waits_for(at);
        Shown {
            stands: case.state_at(at),
            in_force: case.in_force_at(at),
            waits_for: waiting.map(waits_for),
            due: waiting.and_then(due),
            case,
        }
    }
}

/// What a case waits for, in words.
pub fn waits_for(waiting: Waiting) -> String {
    let approvals = |missing| if missing == 1 { "one approval" } else { "two approvals" };
    match waiting {
        Waiting::Review => "review by an analyst".to_owned(),
        Waiting::Approvals { missing } => approvals(missing).to_owned(),
        Waiting::Renewal { missing, .. } => format!("{} for longer", approvals(missing)),
        Waiting::Answer { .. } => "answer to an appeal".to_owned(),
        Waiting::SecondLook => "look by a second person".to_owned(),
    }
}

/// Until when.
pub fn due(waiting: Waiting) -> Option<UnixSeconds> {
    match waiting {
        Waiting::Answer { due } => Some(due),
        Waiting::Renewal { until, .. } => Some(until),
        Waiting::Review | Waiting::Approvals { .. } | Waiting::SecondLook => None,
    }
}

/// How a state stands out.
pub fn look(state: State) -> Look {
    match state {
        State::Listed => Look::Good,
        State::Reported | State::Assessed | State::Classified | State::Approved | State::Appealed => Look::Warn,
        State::Delisted | State::Expired | State::Removed => Look::Bad,
        State::Rejected | State::Withdrawn => Look::Faint,
    }
}

/// What the entry covers, in words.
pub fn covers(case: &Case) -> String {
    match case.facts.scope {
        Scope::Subtree => format!("{} and all names below it", case.facts.name),
        Scope::Exact => format!("{} alone", case.facts.name),
    }
}

/// The card of a case.
pub fn card(case: &Case, at: UnixMillis, scheme: &Scheme, names: &Names) -> String {
    let mut out = String::new();
    let state = case.state_at(at);
    let approvals = match (case.approvals.len(), case.approvals_needed()) {
        (0, _) | (_, 1) => String::new(),
        (given, needed) => format!(", {given} of {needed} approvals"),
    };
    out += &screen::title(&format!("Case {}", case.id), &format!("{}{approvals}", state.word()), look(state));

    let mut field = |name: &str, value: String| out += &screen::field(name, &value);
    let facts = &case.facts;
    field("blocks", covers(case));
    let category = scheme.category(&facts.category).map_or(String::new(), |known| format!(" ({})", known.en));
    field("list", format!("{}, {}{category}", facts.class.word(), facts.category));
    if let Some(basis) = &facts.legal_basis {
        let known = scheme.legal_basis(basis).map_or(String::new(), |known| format!(": {}", known.name));
        field("legal ground", format!("{basis}{known}"));
    }
    if let Some(reference) = &facts.legal_reference {
        field("reference", reference.to_string());
    }
    let attested = if facts.dedicated_attestation { "the whole domain is dedicated to it" } else { "none" };
    field("attestation", attested.to_owned());
    let source =
        case.source().and_then(|word| scheme.source(&word)).map_or(case.id.source(), |source| source.name.as_str());
    field("source", source.to_owned());
    let mut said = format!("assessed {}", date(facts.assessed_at));
    if let Some(sent) = facts.ntd_sent_at {
        let _ = write!(said, ", takedown asked for {}", date(sent));
    }
    if let Some(country) = &facts.host_country {
        let _ = write!(said, ", hosted in {}", country.as_str().to_uppercase());
    }
    if let Some(seen) = case.removed_seen_at {
        let _ = write!(said, ", seen gone {}", date(seen));
    }
    field("at the source", said);
    out.push('\n');

    let mut field = |name: &str, value: String| out += &screen::field(name, &value);
    let when = |at: UnixMillis, by: &PersonId| format!("{}  {}", minute(at / 1000), names.show(by));
    field("reported", when(case.reported.at, &case.reported.by));
    for (name, act) in [("assessed", &case.assessed), ("classified", &case.classified)] {
        if let Some(act) = act {
            field(name, when(act.at, &act.by));
        }
    }
    for approval in &case.approvals {
        field("approved", format!("{}, up to {}", when(approval.at, &approval.by), date(approval.review_by)));
    }
    for listing in &case.listings {
        let approvers: Vec<String> = listing.approvers.iter().map(|id| names.show(id)).collect();
        let end = match listing.until {
            Some(until) => minute(until / 1000),
            None => format!("{} at the latest", date(listing.review_by)),
        };
        field("in force", format!("{} to {end}, by {}", minute(listing.from / 1000), approvers.join(" and ")));
    }
    for appeal in &case.appeals {
        let kind = if appeal.evident { "evident over-block, " } else { "" };
        let answer = match &appeal.answered {
            Some(act) if appeal.upheld => format!("upheld {}", when(act.at, &act.by)),
            Some(act) => format!("granted {}", when(act.at, &act.by)),
            None => format!("answer due {}", minute(appeal.due)),
        };
        field("appeal", format!("{}, {kind}{answer}", minute(appeal.opened.at / 1000)));
    }
    if let Some(closed) = &case.closed {
        field("closed", format!("{}: {}", when(closed.at, &closed.by), closed.why.words()));
        if let Some(reason) = &closed.reason {
            field("", reason.to_string());
        }
    }
    if let Some(waiting) = case.waits_for(at) {
        let until = due(waiting).map_or(String::new(), |due| format!(", by {}", minute(due)));
        field("waits for", format!("{}{until}", waits_for(waiting)));
    }
    out
}

/// One line that says what a case is about, for a question.
pub fn brief(case: &Case) -> String {
    format!("{}, {} list", covers(case), case.facts.class.word())
}
