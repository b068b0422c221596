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
use super::screen::{self, Look, paint};
use crate::ledger::desk::Taken;
use crate::person::Person;
use crate::takedown::problem::{Place as Where, Refusal};
use crate::takedown::{MAX_INPUT, Reading, Takedown, read};
use crate::texts::Language;
use crate::triage::{Ground, Triage, Verdict};

/// Take in a hotline's records, as JSON or CSV
///
/// Each record becomes a case that waits for review, or comes back: as refused, with what is wrong field by field, or
/// for notice and takedown only, with the reason. A record that was taken in before is no second case. Nothing of a URL
/// beyond its host is kept.
///
/// Exit status: 0 all records were taken in or came back for takedown; 1 some were refused; 2 wrong arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The records; - is standard input
    file: PathBuf,

    /// Your own key; an analyst's
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    key: Option<PathBuf>,

    /// Only look: say what would become of the records, without a ledger and a key
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
    let taken = match key {
        None => takedowns.iter().map(|takedown| judged(triage.judge(takedown, &scheme))).collect(),
        Some(key) => {
            let person = Person::read(key)?;
            block_on(async {
                let ledger = place.open().await?;
                let taken = ledger.take_in(&takedowns, &triage, &scheme, &person, now()).await?;
                ledger.close().await;
                Ok(taken)
            })?
        }
    };
    let report = Outcome { file, check: arguments.check, reading: &reading, taken: &taken };
    place.print(&report.json(), || report.text(arguments.language.language()))?;
    match report.refused() {
        0 => Ok(()),
        1 => Err("1 record was refused; the others were taken in as said above".into()),
        count => Err(format!("{count} records were refused; the others were taken in as said above").into()),
    }
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

fn judged(verdict: Verdict) -> Taken {
    match verdict {
        Verdict::Entry(_) => Taken::New,
        Verdict::TakedownOnly(ground) => Taken::Returned(ground),
    }
}

/// What became of a file.
struct Outcome<'a> {
    file: &'a Path,
    check: bool,
    reading: &'a Reading,
    taken: &'a [Taken],
}

impl Outcome<'_> {
    fn each(&self) -> impl Iterator<Item = (Where, &Takedown, &Taken)> {
        self.reading.takedowns.iter().zip(self.taken).map(|((place, takedown), taken)| (*place, takedown, taken))
    }

    fn refused(&self) -> usize {
        let later = self.taken.iter().filter(|taken| matches!(taken, Taken::Conflict | Taken::Refused(_)));
        self.reading.refused.len() + later.count()
    }

    fn json(&self) -> Value {
        let both = |said: &dyn Fn(Language) -> String| json!({ "sq": said(Language::Albanian), "en": said(Language::English) });
        let taken: Vec<Value> = self
            .each()
            .map(|(place, takedown, taken)| {
                let mut value = json!({ "at": place, "case": takedown.case, "outcome": word(taken) });
                match taken {
                    Taken::Returned(ground) | Taken::KnownReturned(ground) => {
                        value["ground"] = json!(ground.word());
                        value["why"] = both(&|language| ground.sentence(language));
                    }
                    Taken::Known(state) => value["state"] = json!(state),
                    Taken::Refused(refused) => value["why"] = json!({ "en": refused.to_string() }),
                    Taken::Conflict => value["why"] = json!({ "en": CONFLICT }),
                    _ => {}
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
        let mut counts: BTreeMap<(u8, &str, bool), usize> = BTreeMap::new();
        for taken in self.taken {
            let (order, words) = match taken {
                Taken::New => (0, if self.check { "can become entries" } else { "new, waiting for review" }),
                Taken::Removed => (1, "gone at the source: closed, and off the list with the next release"),
                Taken::Returned(_) => (2, "for notice and takedown only: back to the hotline"),
                Taken::KnownReturned(_) => (3, "for notice and takedown only, as before"),
                Taken::Known(_) => (4, "known already"),
                Taken::Gone => (5, "gone at the source already: nothing to block"),
                Taken::Conflict | Taken::Refused(_) => (6, "refused"),
            };
            *counts.entry((order, words, order == 6)).or_default() += 1;
        }
        if !self.reading.refused.is_empty() {
            *counts.entry((6, "refused", true)).or_default() += self.reading.refused.len();
        }
        let total: usize = counts.values().sum();
        let what = if self.check { "Check of" } else { "Intake of" };
        let records = if total == 1 { "1 record".to_owned() } else { format!("{total} records") };
        let mut out = screen::title(&format!("{what} {}", self.file.display()), &records, Look::Faint);
        for ((_, words, bad), count) in &counts {
            let look = if *bad { Look::Bad } else { Look::Plain };
            let _ = writeln!(out, "{count:6}  {}", paint(words, look));
        }

        let back = |taken: &Taken| matches!(taken, Taken::Returned(_) | Taken::KnownReturned(_));
        let mut by_ground: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
        for (_, takedown, taken) in self.each().filter(|(.., taken)| back(taken)) {
            let (Taken::Returned(ground) | Taken::KnownReturned(ground)) = taken else { continue };
            let sentence = sentence(ground, language);
            by_ground
                .entry(sentence.clone())
                .or_insert_with(|| (sentence, Vec::new()))
                .1
                .push(takedown.case.to_string());
        }
        if !by_ground.is_empty() {
            let _ = writeln!(out, "\n{}", paint("Notice and takedown only", Look::Strong));
            for (sentence, cases) in by_ground.values() {
                out += &screen::wrap(&cases.join(", "), 2);
                out += &screen::wrap(sentence, 6);
            }
        }
        if self.refused() > 0 {
            let _ = writeln!(out, "\n{}", paint("Refused", Look::Strong));
            for refusal in &self.reading.refused {
                out += &refused(refusal, language);
            }
            for (place, takedown, taken) in self.each() {
                let why = match taken {
                    Taken::Conflict => CONFLICT.to_owned(),
                    Taken::Refused(refused) => refused.to_string(),
                    _ => continue,
                };
                let _ = writeln!(out, "  {}{}", spot(place), takedown.case);
                out += &screen::wrap(&why, 6);
            }
        }
        out
    }
}

const CONFLICT: &str = "Another record came in under this number, for another name, scope or list. Nothing was changed; \
                        send this one under a number of its own.";

fn sentence(ground: &Ground, language: Language) -> String {
    ground.sentence(language)
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

fn spot(place: Where) -> String {
    match place {
        Where::Line(number) => format!("line {number}, "),
        Where::Record(number) => format!("record {number}, "),
        Where::Whole => String::new(),
    }
}

fn refused(refusal: &Refusal, language: Language) -> String {
    let number = refusal.case_ref.as_deref().unwrap_or("without a number that can be read");
    let mut out = match refusal.place {
        Where::Whole => String::new(),
        place => format!("  {}{number}\n", spot(place)),
    };
    for problem in &refusal.problems {
        let field = problem.field.as_ref().map(|field| format!("{field} ")).unwrap_or_default();
        out += &screen::wrap(&format!("{field}{}", problem.reason.sentence(language)), 6);
    }
    out
}
