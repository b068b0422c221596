//! `friendly-blocklist intake`: a hotline's records into the ledger.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::Failure;
use super::place::{Place, block_on, now};
use super::readable;
use super::screen::{self, Look, paint};
use super::view;
use crate::ledger::case::{Case, State};
use crate::ledger::date;
use crate::ledger::desk::{Rehearsal, Taken, is_closed};
use crate::ledger::neighbours::{Lies, Neighbour, Neighbours};
use crate::ledger::rules::Refused;
use crate::person::Person;
use crate::takedown::problem::{Place as Where, Refusal};
use crate::takedown::scheme::Scheme;
use crate::takedown::{Host, MAX_INPUT, Reading, Takedown, read};
use crate::texts::{Language, say};
use crate::triage::Triage;

/// Take in a hotline's records, as JSON or CSV
///
/// Each record becomes a case that waits for review, or comes back: as refused, with what is wrong field by field, or
/// for notice and takedown only, with the reason. A record that was taken in before is no second case. Nothing of a URL
/// beyond its host is kept.
///
/// A record has to have case_ref, source, category, assessed_at, and name or url; for the legal list also
/// dedicated_attestation. All fields and their rules stand in blocklists/schema/takedowns-1.schema.json, and examples in
/// blocklists/sample/takedowns.csv and takedowns.json. In CSV the fields are the columns.
///
/// Exit status: 0 all records were taken in or came back for takedown; 1 some were refused, or there were none; 2 wrong
/// arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The records; - is standard input
    file: PathBuf,

    /// Your own key; an analyst's
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    key: Option<PathBuf>,

    /// Only look, without a key: say what would become of the records. A ledger is asked if there is one
    #[arg(long, conflicts_with = "key")]
    check: bool,

    /// The language of what goes back to the hotline
    #[arg(long, value_enum, default_value_t = Tongue::En)]
    language: Tongue,

    /// The scheme profile, if not the one of the work directory
    #[arg(long, value_name = "FILE")]
    scheme: Option<PathBuf>,

    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tongue {
    /// shqip
    Sq,
    /// English
    En,
}

impl Tongue {
    fn language(self) -> Language {
        match self {
            Tongue::Sq => Language::Albanian,
            Tongue::En => Language::English,
        }
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { file, key, place, .. } = arguments;
    let scheme = place.scheme(arguments.scheme.as_deref())?;
    let reading = read(&octets(file)?, &scheme);
    let triage = Triage::shipped();
    let takedowns: Vec<Takedown> = reading.takedowns.iter().map(|(_, takedown)| takedown.clone()).collect();
    let (taken, cases) = block_on(async {
        match key {
            None => rehearse(place, &takedowns, &triage, &scheme).await,
            Some(key) => {
                let (person, ledger) = (Person::read(key)?, place.open().await?);
                let taken = ledger.take_in(&takedowns, &triage, &scheme, &person, now()).await?;
                let cases = ledger.cases().await?;
                ledger.close().await;
                Ok((taken, cases))
            }
        }
    })?;
    let near = near(&takedowns, &taken, cases);
    let report = Outcome { file, check: arguments.check, reading: &reading, taken: &taken, near: &near };
    place.print(&report.json(), || report.text(arguments.language.language()))?;
    match (report.refused(), arguments.check) {
        (0, _) if reading.refused.is_empty() => Ok(()),
        (0, _) if takedowns.is_empty() => Err("the file was not taken in; why stands above".into()),
        (0, _) => Err("the rest of the file was not read; why stands above".into()),
        (1, true) => Err("1 record would be refused; this was a check, and nothing was taken in".into()),
        (count, true) => {
            Err(format!("{count} records would be refused; this was a check, and nothing was taken in").into())
        }
        (1, false) => Err("1 record was refused; the others were taken in as said above".into()),
        (count, false) => Err(format!("{count} records were refused; the others were taken in as said above").into()),
    }
}

/// What would become of the records, by the rules of the real run.
async fn rehearse(
    place: &Place,
    takedowns: &[Takedown],
    triage: &Triage,
    scheme: &Scheme,
) -> Result<(Vec<Taken>, Vec<Case>), Failure> {
    let mut rehearsal = if place.ledger().exists() {
        let ledger = place.open().await?;
        let rehearsal = Rehearsal::of(&ledger, now()).await?;
        ledger.close().await;
        rehearsal
    } else {
        Rehearsal::new(now())
    };
    let taken = rehearsal.take_in(takedowns, triage, scheme);
    Ok((taken, rehearsal.cases()))
}

/// For each record that became a case or ended one, the other cases that have to do with its name.
fn near(takedowns: &[Takedown], taken: &[Taken], cases: Vec<Case>) -> Vec<Vec<Neighbour>> {
    let all = Neighbours::of(cases);
    let near = |(takedown, taken): (&Takedown, &Taken)| match (&takedown.host, taken) {
        (Host::Name(name), Taken::New | Taken::Removed) => {
            let mut around = all.around(name, takedown.scope, now());
            around.retain(|neighbour| neighbour.case != takedown.case);
            around
        }
        _ => Vec::new(),
    };
    takedowns.iter().zip(taken).map(near).collect()
}

fn octets(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let failed = |error| format!("{}: cannot be read: {error}", path.display());
    // One more than is taken, so that a file that is too large is known to be.
    let limit = MAX_INPUT as u64 + 1;
    if path.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut octets).map_err(failed)?;
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut octets)).map_err(failed)?;
    }
    Ok(octets)
}

/// What became of a file.
struct Outcome<'a> {
    file: &'a Path,
    check: bool,
    reading: &'a Reading,
    taken: &'a [Taken],
    near: &'a [Vec<Neighbour>],
}

impl Outcome<'_> {
    fn each(&self) -> impl Iterator<Item = (Where, &Takedown, &Taken)> {
        self.reading.takedowns.iter().zip(self.taken).map(|((place, takedown), taken)| (*place, takedown, taken))
    }

    /// Records that were refused; what is wrong with the file as a whole is none.
    fn refused(&self) -> usize {
        let read = self.reading.refused.iter().filter(|refusal| refusal.place != Where::Whole);
        read.count() + self.taken.iter().filter(|taken| later(taken, Language::English).is_some()).count()
    }

    fn json(&self) -> Value {
        let both = |said: &dyn Fn(Language) -> String| json!({ "sq": said(Language::Albanian), "en": said(Language::English) });
        let taken: Vec<Value> = self
            .each()
            .zip(self.near)
            .map(|((place, takedown, taken), near)| {
                let mut value = json!({ "at": place, "case": takedown.case, "outcome": word(taken) });
                match taken {
                    Taken::Returned(ground) | Taken::KnownReturned(ground) => {
                        value["ground"] = json!(ground.word());
                        value["why"] = both(&|language| ground.sentence(language));
                    }
                    Taken::Known(state) => value["state"] = json!(state),
                    Taken::Conflict | Taken::Refused(_) => {
                        value["why"] = both(&|language| later(taken, language).unwrap_or_default());
                    }
                    _ => {}
                }
                if !near.is_empty() {
                    value["neighbours"] = json!(near);
                }
                value
            })
            .collect();
        let refused: Vec<Value> = self
            .reading
            .refused
            .iter()
            .map(|refusal| {
                let problems: Vec<Value> = refusal
                    .problems
                    .iter()
                    .map(|problem| {
                        let why = both(&|language| problem.reason.sentence(language));
                        json!({ "field": problem.field, "reason": problem.reason.word(), "why": why })
                    })
                    .collect();
                json!({ "at": refusal.place, "case_ref": refusal.case_ref, "problems": problems })
            })
            .collect();
        json!({ "checked_only": self.check, "records": taken, "refused": refused })
    }

    fn text(&self, language: Language) -> String {
        let mut out = self.counts(language);
        out += &self.returned(language);
        out += &self.closed(language);
        out += &self.beside(language);
        out += &self.problems(language);
        out
    }

    fn counts(&self, language: Language) -> String {
        let mut counts: BTreeMap<(u8, &str), usize> = BTreeMap::new();
        for taken in self.taken {
            let key = match taken {
                Taken::New => (0, if self.check { "intake-new-check" } else { "intake-new" }),
                Taken::Removed => (1, "intake-removed"),
                Taken::Returned(_) => (2, "intake-returned"),
                Taken::KnownReturned(_) => (3, "intake-returned-known"),
                Taken::Known(_) => (4, "intake-known"),
                Taken::Gone => (5, "intake-gone"),
                Taken::Conflict | Taken::Refused(_) => continue,
            };
            *counts.entry(key).or_default() += 1;
        }
        if self.refused() > 0 {
            counts.insert(REFUSED, self.refused());
        }
        let total: usize = counts.values().sum();
        let title = if self.check { "intake-title-check" } else { "intake-title" };
        let title = say(language, title, &[("file", self.file.display().to_string())]);
        let records = match total {
            1 => say(language, "intake-one-record", &[]),
            _ => say(language, "intake-records", &[("count", total.to_string())]),
        };
        let mut out = screen::title(&title, &records, Look::Faint);
        for (key, count) in &counts {
            let look = if *key == REFUSED { Look::Bad } else { Look::Plain };
            let _ = writeln!(out, "{count:6}  {}", paint(&say(language, key.1, &[]), look));
        }
        out
    }

    /// What goes back, by its reason.
    fn returned(&self, language: Language) -> String {
        let mut by_ground: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (_, takedown, taken) in self.each() {
            let (Taken::Returned(ground) | Taken::KnownReturned(ground)) = taken else { continue };
            by_ground.entry(ground.sentence(language)).or_default().push(takedown.case.as_str());
        }
        let mut out = String::new();
        for (sentence, cases) in &by_ground {
            out += &screen::wrap(&cases.join(", "), 2);
            out += &screen::wrap(sentence, 6);
        }
        under("intake-heading-takedown", out, language)
    }

    /// Records of cases that are over: the hotline may think that they are blocked.
    fn closed(&self, language: Language) -> String {
        let mut out = String::new();
        for (_, takedown, taken) in self.each() {
            if let Taken::Known(state) = taken
                && is_closed(*state)
            {
                out += &screen::wrap(&format!("{}: {}", takedown.case, state_in(*state, language)), 2);
            }
        }
        if !out.is_empty() {
            out += &screen::wrap(&say(language, "intake-closed-again", &[]), 6);
        }
        under("intake-heading-closed", out, language)
    }

    /// Other cases that have to do with the same names.
    fn beside(&self, language: Language) -> String {
        let mut out = String::new();
        for ((_, takedown, taken), near) in self.each().zip(self.near).filter(|(_, near)| !near.is_empty()) {
            let Host::Name(name) = &takedown.host else { continue };
            out += &screen::wrap(&format!("{}, {}", takedown.case, readable::shown(name)), 2);
            for neighbour in near.iter().take(view::NEIGHBOURS) {
                let still = *taken == Taken::Removed && neighbour.in_force && neighbour.lies != Lies::Below;
                let still = if still { say(language, "intake-still-blocked", &[]) } else { String::new() };
                out += &screen::wrap(&format!("{}{still}", beside_in(neighbour, language)), 6);
            }
            if near.len() > view::NEIGHBOURS {
                let _ = writeln!(out, "      ... +{}", near.len() - view::NEIGHBOURS);
            }
        }
        under("intake-heading-beside", out, language)
    }

    /// What was refused, and why.
    fn problems(&self, language: Language) -> String {
        let mut out = String::new();
        for refusal in &self.reading.refused {
            out += &refused(refusal, language);
        }
        for (place, takedown, taken) in self.each() {
            if let Some(why) = later(taken, language) {
                let _ = writeln!(out, "  {}{}", spot(place, language), takedown.case);
                out += &screen::wrap(&why, 6);
            }
        }
        under("intake-heading-refused", out, language)
    }
}

/// The last of the counts.
const REFUSED: (u8, &str) = (6, "intake-refused");

/// Some lines under a heading, if there are any.
fn under(heading: &str, lines: String, language: Language) -> String {
    if lines.is_empty() {
        return lines;
    }
    format!("\n{}\n{lines}", paint(&say(language, heading, &[]), Look::Strong))
}

/// Why a record is refused that is fine by itself. What concerns the machine and not the record is said in English.
fn later(taken: &Taken, language: Language) -> Option<String> {
    Some(match taken {
        Taken::Conflict => say(language, "refused-conflict", &[]),
        Taken::Refused(Refused::Future(day)) => say(language, "refused-future", &[("date", date(*day))]),
        Taken::Refused(Refused::GoneBefore { assessed, seen, .. }) => {
            say(language, "refused-gone-before", &[("assessed", date(*assessed)), ("seen", date(*seen))])
        }
        Taken::Refused(refused) => refused.to_string(),
        _ => return None,
    })
}

fn state_in(state: State, language: Language) -> String {
    say(language, &format!("state-{}", state.word()), &[])
}

fn beside_in(neighbour: &Neighbour, language: Language) -> String {
    let lies = match neighbour.lies {
        Lies::Same => "lies-same",
        Lies::SameAlone => "lies-same-alone",
        Lies::Above => "lies-above",
        Lies::Below => "lies-below",
    };
    format!("{} ({}): {}", neighbour.case, state_in(neighbour.state, language), say(language, lies, &[]))
}

fn word(taken: &Taken) -> &'static str {
    match taken {
        Taken::New => "new",
        Taken::Returned(_) => "takedown-only",
        Taken::Known(_) => "known",
        Taken::KnownReturned(_) => "known-takedown-only",
        Taken::Removed => "removed",
        Taken::Gone => "gone",
        Taken::Conflict => "conflict",
        Taken::Refused(_) => "refused",
    }
}

fn spot(place: Where, language: Language) -> String {
    let said = |key, number: u64| say(language, key, &[("number", number.to_string())]) + ", ";
    match place {
        Where::Line(number) => said("intake-line", number),
        Where::Record(number) => said("intake-record", number),
        Where::Whole => String::new(),
    }
}

fn refused(refusal: &Refusal, language: Language) -> String {
    let number = refusal.case_ref.clone().unwrap_or_else(|| say(language, "intake-no-number", &[]));
    let mut out = match refusal.place {
        Where::Whole => String::new(),
        place => format!("  {}{number}\n", spot(place, language)),
    };
    for problem in &refusal.problems {
        let field = problem.field.as_ref().map(|field| format!("{field} ")).unwrap_or_default();
        out += &screen::wrap(&format!("{field}{}", problem.reason.sentence(language)), 6);
    }
    out
}
