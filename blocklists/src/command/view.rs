//! How a case is shown: the card that is looked at before a decision, and the same for programs.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::Serialize;
use signed_list::list::Scope;
use signed_list::release::Class;

use super::readable;
use super::screen::{self, Look};
use crate::ledger::case::{Act, Appeal, Case, State, Waiting};
use crate::ledger::event::{Entry, Event, Outcome};
use crate::ledger::neighbours::{Lies, Neighbour};
use crate::ledger::rules::lapse::lapse;
use crate::ledger::rules::{Lapse, Member, counted};
use crate::ledger::words::Remark;
use crate::ledger::{Ledger, LedgerError, UnixMillis, UnixSeconds, date, minute};
use crate::person::PersonId;
use crate::takedown::scheme::Scheme;

/// Neighbours that are named; a name can have thousands below it.
pub const NEIGHBOURS: usize = 5;

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
    stands: State,
    /// Whether it is in force now.
    in_force: bool,
    /// What it waits for.
    waits_for: Option<String>,
    /// When somebody has to be done with that, Unix seconds.
    due: Option<UnixSeconds>,
    /// Approvals that wait for more, without those of keys that were retired since.
    approvals_that_count: usize,
    /// Other cases that have to do with its name.
    neighbours: &'a [Neighbour],
    #[serde(flatten)]
    case: &'a Case,
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
    let name = readable::shown(&case.facts.name);
    match case.facts.scope {
        Scope::Subtree => format!("{name} and all names below it"),
        Scope::Exact => format!("{name} alone"),
    }
}

/// Everything that the card of a case is made from.
pub struct Docket {
    case: Case,
    /// The case without the approvals that count no longer.
    counted: Case,
    at: UnixMillis,
    entries: Vec<Entry>,
    members: Vec<Member>,
    names: Names,
    neighbours: Vec<Neighbour>,
    scheme: Scheme,
}

impl Docket {
    /// Of a case at a time.
    pub async fn of(ledger: &Ledger, case: &Case, scheme: &Scheme, at: UnixMillis) -> Result<Docket, LedgerError> {
        let members = ledger.members().await?;
        Ok(Docket {
            case: case.clone(),
            counted: counted(case.clone(), &members, at),
            at,
            entries: ledger.history(&case.id).await?,
            names: Names::of(&members),
            members,
            neighbours: ledger.neighbours(case, at).await?,
            scheme: scheme.clone(),
        })
    }

    /// The same for programs.
    pub fn shown(&self) -> Shown<'_> {
        let waiting = self.counted.waits_for(self.at);
        Shown {
            stands: self.case.state_at(self.at),
            in_force: self.case.in_force_at(self.at),
            waits_for: waiting.map(waits_for),
            due: waiting.and_then(due),
            approvals_that_count: self.counted.approvals.len(),
            neighbours: &self.neighbours,
            case: &self.case,
        }
    }

    /// The card: what is looked at before a decision.
    pub fn card(&self) -> String {
        let Docket { case, at, .. } = self;
        let state = case.state_at(*at);
        let approvals = match (case.approvals.len(), case.approvals_needed()) {
            (0, _) | (_, 1) => String::new(),
            (_, needed) => format!(", {} of {needed} approvals", self.counted.approvals.len()),
        };
        let mut out = screen::title(&format!("Case {}", case.id), &format!("{}{approvals}", state.word()), look(state));
        out += &self.facts();
        out.push('\n');
        out += &self.acts();
        if let Some(waiting) = self.counted.waits_for(*at) {
            let until = due(waiting).map_or(String::new(), |due| format!(", by {}", minute(due)));
            out += &screen::field("waits for", &format!("{}{until}", waits_for(waiting)));
        }
        out
    }

    fn facts(&self) -> String {
        let Docket { case, scheme, .. } = self;
        let facts = &case.facts;
        let mut out = String::new();
        let mut field = |name: &str, value: String| out += &screen::field(name, &value);
        field(self.blocks(), covers(case));
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
        let source = case.source().and_then(|word| scheme.source(&word));
        field("source", source.map_or(case.id.source(), |source| source.name.as_str()).to_owned());
        field("at the source", at_the_source(case));
        for (at, neighbour) in self.neighbours.iter().take(NEIGHBOURS).enumerate() {
            field(if at == 0 { "see also" } else { "" }, beside(neighbour));
        }
        if self.neighbours.len() > NEIGHBOURS {
            field("", format!("and {} more", self.neighbours.len() - NEIGHBOURS));
        }
        out
    }

    /// What the entry does to its name now.
    fn blocks(&self) -> &'static str {
        match self.case.state_at(self.at) {
            _ if self.case.in_force_at(self.at) => "blocks",
            State::Reported | State::Assessed | State::Classified | State::Approved => "would block",
            _ if self.case.listings.is_empty() => "never blocked",
            _ => "blocked",
        }
    }

    /// Who did what.
    fn acts(&self) -> String {
        let Docket { case, names, .. } = self;
        let mut out = String::new();
        let mut field = |name: &str, value: String| out += &screen::field(name, &value);
        field("reported", self.when(&case.reported));
        for (name, act) in [("assessed", &case.assessed), ("classified", &case.classified)] {
            if let Some(act) = act {
                field(name, self.when(act));
            }
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
            field("appeal", self.appeal(appeal));
        }
        for entry in &self.entries {
            if let Some((name, reason)) = second_thought(case, entry) {
                field(name, format!("{}: {reason}", self.when(&Act { by: entry.by.clone(), at: entry.at })));
            }
        }
        for approval in &case.approvals {
            let act = Act { by: approval.by.clone(), at: approval.at };
            let lapsed = lapse(approval, case.facts.class, &self.members, self.at);
            let lapsed = lapsed.map_or(String::new(), |lapse| format!("; {}", counts_no_longer(&lapse)));
            field("approved", format!("{}, up to {}{lapsed}", self.when(&act), date(approval.review_by)));
        }
        if let Some(closed) = &case.closed {
            let act = Act { by: closed.by.clone(), at: closed.at };
            let reason = closed.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            field("closed", format!("{}: {}{reason}", self.when(&act), closed.why.words()));
        }
        out
    }

    fn when(&self, act: &Act) -> String {
        format!("{}  {}", minute(act.at / 1000), self.names.show(&act.by))
    }

    /// An appeal and what became of it: what an officer answered, or what ended the listing before.
    fn appeal(&self, appeal: &Appeal) -> String {
        let kind = if appeal.evident { "evident over-block, " } else { "" };
        let answer = match &appeal.answered {
            None => format!("answer due {}", minute(appeal.due)),
            Some(act) => match self.entries.iter().find_map(|entry| settled(entry, act)) {
                Some((how, reason)) => format!("{how} {}{reason}", self.when(act)),
                None => format!("settled {}", self.when(act)),
            },
        };
        format!("{}, {kind}{answer}", minute(appeal.opened.at / 1000))
    }
}

/// How an entry settled the appeal that is answered by this act, if it is that entry.
fn settled(entry: &Entry, answered: &Act) -> Option<(&'static str, String)> {
    if entry.at != answered.at || entry.by != answered.by {
        return None;
    }
    match &entry.event {
        Event::AppealUpheld { reason, .. } => Some(("upheld", format!(": {reason}"))),
        // Why stands at the end of the case, or at its reopening.
        Event::AppealDelisted { .. } => Some(("granted", String::new())),
        Event::EmergencyDelisted { .. } => Some(("ended by the emergency delisting", String::new())),
        Event::Withdrawn { .. } => Some(("ended by the withdrawal", String::new())),
        Event::Removed { .. } => Some(("ended by the removal at source", String::new())),
        _ => None,
    }
}

/// What somebody thought better of: the next who decide have to know it. The end of the case has its own place.
fn second_thought<'a>(case: &Case, entry: &'a Entry) -> Option<(&'static str, &'a Remark)> {
    let is_end = case.closed.as_ref().is_some_and(|closed| closed.at == entry.at && closed.by == entry.by);
    match &entry.event {
        Event::EmergencyDelisted { reason, .. } if !is_end => Some(("emergency", reason)),
        Event::Withdrawn { reason, .. } if !is_end => Some(("withdrawn", reason)),
        Event::Reviewed { outcome: Outcome::Reopened, reason, .. } => Some(("reopened", reason)),
        Event::Reviewed { outcome: Outcome::Confirmed, reason, .. } => Some(("confirmed", reason)),
        _ => None,
    }
}

fn at_the_source(case: &Case) -> String {
    let facts = &case.facts;
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
    said
}

/// Why an approval counts no longer, in words.
pub fn counts_no_longer(lapse: &Lapse) -> String {
    match lapse {
        Lapse::Retired { at } => format!("counts no longer: the key was retired {}", date(at / 1000)),
        Lapse::NoApprover => "counts no longer: the key has no role that approves".to_owned(),
        Lapse::Over { since } => format!("counts no longer: it was given up to {}", date(*since)),
    }
}

/// A neighbour of a case, in words. No names: nothing prints what else is listed.
pub fn beside(neighbour: &Neighbour) -> String {
    let lies = match neighbour.lies {
        Lies::Same => "the same name",
        Lies::SameAlone => "the same name, alone",
        Lies::Above => "a name above, with all below it",
        Lies::Below => "a name below",
    };
    format!("{} ({}): {lies}", neighbour.case, neighbour.state.word())
}

/// What the next release does with the name of a case that was just taken off, as the rest of a sentence.
pub fn no_longer_blocked(case: &Case, neighbours: &[Neighbour]) -> String {
    let by = |lies: &[Lies]| -> Vec<String> {
        let in_force = neighbours.iter().filter(|neighbour| neighbour.in_force && lies.contains(&neighbour.lies));
        in_force.map(|neighbour| neighbour.case.to_string()).collect()
    };
    let (name, below) = (by(&[Lies::Same, Lies::SameAlone, Lies::Above]), by(&[Lies::Below]));
    let still = match (name.is_empty(), below.is_empty()) {
        // Public lists are made into the others; of the law's list there is none.
        (true, true) if case.facts.class != Class::Legal => {
            return "; the next release no longer blocks it, unless a public list has it.".to_owned();
        }
        (true, true) => return "; the next release no longer blocks it.".to_owned(),
        (false, _) => format!("the name is still blocked by {}", list(&name)),
        (true, false) => format!("names below it are still blocked by {}", list(&below)),
    };
    format!(", but {still}; for that to stop, take off what blocks it, too.")
}

/// Some of them; a name can have thousands below it.
fn list(cases: &[String]) -> String {
    let shown = cases[..cases.len().min(NEIGHBOURS)].join(", ");
    match cases.len().saturating_sub(NEIGHBOURS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// One line that says what a case is about, for a question.
pub fn brief(case: &Case) -> String {
    format!("{}, {} list", covers(case), case.facts.class.word())
}
