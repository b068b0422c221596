//! `friendly-blocklist status`: what is in force, what waits for somebody, or where one case stands.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;
use signed_list::release::Class;

use super::Failure;
use super::place::{Place, block_on, case, now};
use super::press;
use super::screen::{self, Cell, Look, cell, marked};
use super::view::{self, Docket, Names};
use crate::ledger::case::{Case, Waiting};
use crate::ledger::event::ReleaseRecord;
use crate::ledger::rules::Refused;
use crate::ledger::words::CaseId;
use crate::ledger::{Ledger, UnixMillis, UnixSeconds, minute};
use crate::release::state::{InForce, RetiredHolder, State};
use crate::release::work::Work;
use crate::takedown::moment_of;

/// Cases shown of those that wait, unless all are asked for.
const SHOWN: usize = 20;

/// Show what is in force and what waits for somebody, or where one case stands
///
/// Without a case no name is shown: nothing prints the list. With a case, its card.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The case, such as isigurt/2027-0042
    #[arg(value_parser = case)]
    case: Option<CaseId>,

    /// As it is at another time, such as 2027-03-01: what has expired by then
    #[arg(long, value_name = "DATE", value_parser = time)]
    at: Option<UnixSeconds>,

    /// All cases that wait, not only the 20 most urgent
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    place: Place,
}

fn time(text: &str) -> Result<UnixSeconds, String> {
    moment_of(text).ok_or_else(|| "a day such as 2027-03-01, or a moment such as 2027-03-01T10:00:00Z".to_owned())
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { case, place, .. } = arguments;
        let at = arguments.at.map_or_else(now, |at| at * 1000);
        let ledger = place.open().await?;
        match case {
            Some(id) => {
                if let Some(case) = ledger.case(id).await? {
                    let docket = Docket::of(&ledger, &case, &place.scheme(None)?, at).await?;
                    place.print(&docket.shown(), || docket.card())?;
                } else if let Some(returned) = ledger.returned(id).await? {
                    let value = serde_json::json!({ "case": id, "stands": "returned", "ground": returned.ground });
                    let on = minute(returned.at / 1000);
                    place.say(&value, || {
                        format!("{id} went back on {on}: {} (notice and takedown only).\n", returned.ground)
                    })?;
                } else {
                    return Err(Refused::NoCase(id.clone()).into());
                }
            }
            None => {
                let mut releases = Vec::new();
                for class in Class::ALL {
                    releases.extend(ledger.newest_release(class).await?);
                }
                let mut overview =
                    Overview::of(&ledger.cases_counted(at).await?, ledger.all_returned().await?.len(), releases, at);
                overview.feeds = feeds(place)?;
                // Of another time nobody knows what will be enforced.
                overview.repository = if arguments.at.is_none() { repository(place, &ledger).await? } else { None };
                overview.names = Names::of(&ledger.members().await?);
                place.print(&overview, || overview.text(at, if arguments.all { usize::MAX } else { SHOWN }))?;
            }
        }
        ledger.close().await;
        Ok(())
    })
}

/// Numbers, and what waits. No names.
#[derive(Serialize)]
struct Overview {
    in_force: BTreeMap<&'static str, usize>,
    states: BTreeMap<&'static str, usize>,
    returned: usize,
    releases: Vec<ReleaseRecord>,
    repository: Option<State>,
    feeds: Option<Feeds>,
    waiting: Vec<Queued>,
    #[serde(skip)]
    names: Names,
}

/// Where the repository of a work directory stands, if it is one of a publisher.
async fn repository(place: &Place, ledger: &Ledger) -> Result<Option<State>, Failure> {
    if !place.work.join("release.toml").exists() {
        return Ok(None);
    }
    Ok(Some(State::of(&Work::open(&place.work)?, ledger).await?))
}

/// How many public lists are fetched, and what is wrong with them.
#[derive(Serialize)]
struct Feeds {
    count: usize,
    problems: Vec<String>,
}

/// The feeds of a work directory, if it is one of a publisher.
fn feeds(place: &Place) -> Result<Option<Feeds>, Failure> {
    if !place.work.join("release.toml").exists() {
        return Ok(None);
    }
    let work = Work::open(&place.work)?;
    Ok(Some(match &work.feeds {
        Ok(feeds) => Feeds { count: feeds.feeds.len(), problems: super::feeds::troubles(&work) },
        Err(error) => Feeds { count: 0, problems: vec![error.clone()] },
    }))
}

/// One thing to do.
#[derive(Serialize)]
struct Queued {
    case: CaseId,
    state: &'static str,
    waits_for: String,
    due: Option<UnixSeconds>,
    #[serde(skip)]
    urgency: (usize, UnixSeconds),
    #[serde(skip)]
    look: Look,
}

impl Overview {
    fn of(cases: &[Case], returned: usize, releases: Vec<ReleaseRecord>, at: UnixMillis) -> Overview {
        let mut overview = Overview {
            in_force: BTreeMap::new(),
            states: BTreeMap::new(),
            returned,
            releases,
            repository: None,
            feeds: None,
            waiting: Vec::new(),
            names: Names::default(),
        };
        for class in Class::ALL {
            overview.in_force.insert(class.word(), 0);
        }
        for case in cases {
            let state = case.state_at(at);
            *overview.states.entry(state.word()).or_default() += 1;
            if case.in_force_at(at) {
                *overview.in_force.entry(case.facts.class.word()).or_default() += 1;
            }
            if let Some(waiting) = case.waits_for(at) {
                let due = view::due(waiting);
                overview.waiting.push(Queued {
                    case: case.id.clone(),
                    state: state.word(),
                    waits_for: view::waits_for(waiting),
                    due,
                    urgency: (urgency(waiting), due.unwrap_or(case.last)),
                    look: view::look(state),
                });
            }
        }
        overview.waiting.sort_by_key(|queued| queued.urgency);
        overview
    }

    fn text(&self, at: UnixMillis, shown: usize) -> String {
        let mut out = screen::title("In force", &minute(at / 1000), Look::Faint);
        let release = |class: &str| self.releases.iter().find(|release| release.class.word() == class);
        let rows: Vec<Vec<Cell>> = self
            .in_force
            .iter()
            .map(|(class, count)| {
                let released = match release(class) {
                    Some(release) => {
                        format!("serial {}, {}, {} entries", release.serial, minute(release.created), release.entries)
                    }
                    None => "none yet".to_owned(),
                };
                vec![marked(*class, Look::Strong), cell(self.decided(class, *count)), cell(released)]
            })
            .collect();
        out += &screen::table(&["LIST", "CASES", "NEWEST RELEASE"], &rows);
        for (class, back) in self.rolled_back() {
            out += &screen::wrap(&format!("The class {class} is {back}."), 0);
        }
        let states: Vec<String> = self.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let all = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
        let _ = writeln!(
            out,
            "\n{}",
            screen::wrap(&format!("All cases: {all}; {} went back for takedown only.", self.returned), 0).trim_end()
        );

        if let Some(feeds) = self.feeds.as_ref().filter(|feeds| feeds.count > 0 || !feeds.problems.is_empty()) {
            let count = if feeds.count == 1 { "1 feed".to_owned() } else { format!("{} feeds", feeds.count) };
            let well = match feeds.problems.len() {
                0 => "all well".to_owned(),
                problems => format!("{problems} with a problem"),
            };
            let _ = writeln!(out, "\nPublic lists: {count}, {well}; `feeds` shows them.");
            for problem in &feeds.problems {
                out += &screen::wrap(problem, 2);
            }
        }

        out.push('\n');
        let standing = self.standing();
        out += &screen::title("Waiting", &(standing.len() + self.waiting.len()).to_string(), Look::Faint);
        for sentence in &standing {
            out += &screen::wrap(sentence, 0);
        }
        let rows: Vec<Vec<Cell>> = self
            .waiting
            .iter()
            .take(shown)
            .map(|queued| {
                let late = queued.due.is_some_and(|due| due <= at / 1000);
                let due = queued.due.map(minute).unwrap_or_default();
                let look = if late { Look::Bad } else { Look::Plain };
                vec![
                    cell(queued.case.as_str()),
                    marked(queued.state, queued.look),
                    cell(&queued.waits_for),
                    marked(due, look),
                ]
            })
            .collect();
        if rows.is_empty() {
            out += if standing.is_empty() { "Nothing waits for anybody.\n" } else { "" };
            return out;
        }
        if !standing.is_empty() {
            out.push('\n');
        }
        out += &screen::table(&["CASE", "STATE", "WAITS FOR", "DUE"], &rows);
        if self.waiting.len() > rows.len() {
            let _ = writeln!(out, "... and {} more; --all shows them.", self.waiting.len() - rows.len());
        }
        out
    }
}

impl Overview {
    /// How many cases of a class are to be blocked, and how many resolvers are told to block, where that differs.
    fn decided(&self, class: &str, decided: usize) -> String {
        let Some(repository) = &self.repository else { return decided.to_string() };
        match repository.in_force.iter().find(|it| it.class.word() == class) {
            Some(it) if it.cases != decided as u64 => format!("{decided} decided, {} enforced", it.cases),
            None if decided > 0 => format!("{decided} decided, 0 enforced"),
            _ => decided.to_string(),
        }
    }

    /// The classes that are rolled back, and to what.
    fn rolled_back(&self) -> Vec<(&'static str, String)> {
        let in_force = self.repository.iter().flat_map(|repository| &repository.in_force);
        let back = |it: &InForce| Some((it.class.word(), press::rolled_back(it.pinned_to?, it.pinned_why.as_deref())));
        in_force.filter_map(back).collect()
    }

    /// What waits beside cases, and for whom: a sentence each.
    fn standing(&self) -> Vec<String> {
        let Some(State { staged, keys, retired, .. }) = &self.repository else { return Vec::new() };
        let mut sentences: Vec<String> =
            staged.iter().filter_map(|outcome| press::standing(outcome, &self.names)).collect();
        if let Some(keys) = keys {
            let people = keys.waiting.iter().map(|it| {
                let by: Vec<String> = it.by.iter().map(|id| self.names.show(id)).collect();
                format!("{}: {} more by {}", it.role, it.missing, by.join(", "))
            });
            let people = people.collect::<Vec<_>>().join("; ");
            sentences.push(format!("the change of keys ({}) waits for signatures, {people}", keys.about));
        }
        for RetiredHolder { person, role } in retired {
            let who = self.names.show(person);
            sentences.push(format!(
                "the key {who} is retired and still holds the role {role}; take it out with `rotate-key --role {role} \
                 --remove {person}`, and --add another key where too few are left"
            ));
        }
        for sentence in &mut sentences {
            if let Some(first) = sentence.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            sentence.push('.');
        }
        sentences
    }
}

/// What comes first: what hurts somebody, then what ends by itself, then what blocks nothing yet.
fn urgency(waiting: Waiting) -> usize {
    match waiting {
        Waiting::Answer { .. } => 0,
        Waiting::SecondLook => 1,
        Waiting::Renewal { .. } => 2,
        Waiting::Approvals { .. } => 3,
        Waiting::Review => 4,
    }
}
