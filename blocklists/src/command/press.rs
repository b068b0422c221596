//! What the verbs around releases share: opening everything, and telling what was done.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use signed_list::release::Class;

use super::Failure;
use super::place::{Place, now};
use super::screen::{self, Look, paint};
use super::view::Names;
use crate::guard::Guard;
use crate::ledger::Ledger;
use crate::person::{Introduction, Person, PersonId, PublicKey};
use crate::release::outcome::{Outcome, Report, Waiting};
use crate::release::publish::Publisher;
use crate::release::select::Share;
use crate::release::store::Destination;
use crate::release::work::{Lock, Work};
use crate::report::{counted, entries, grouped};

/// Who signs.
#[derive(Debug, Args)]
pub struct Keys {
    /// A key that signs; may be given several times
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,

    /// How long to wait for another command that is at work here, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub patience: u64,

    /// Do not ask before signing
    #[arg(long, short)]
    pub yes: bool,
}

/// Everything that a release is made with. Nobody else is at work as long as it exists.
pub struct Press {
    /// The work directory.
    pub work: Work,
    /// Shows that nobody else is at work.
    pub lock: Lock,
    /// The ledger.
    pub ledger: Ledger,
    guard: Guard,
    people: Vec<Person>,
}

impl Keys {
    /// Reads the keys.
    pub fn people(&self) -> Result<Vec<Person>, Failure> {
        let mut people = Vec::with_capacity(self.key.len());
        for path in &self.key {
            people.push(Person::read(path)?);
        }
        Ok(people)
    }

    /// Asks, where somebody can answer. Elsewhere the command line itself is the answer.
    pub fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.yes || !screen::is_interactive() || screen::confirm(question)? {
            return Ok(());
        }
        Err("nothing was signed".into())
    }
}

impl Press {
    /// Opens everything.
    pub async fn open(place: &Place, keys: &Keys) -> Result<Press, Failure> {
        let people = keys.people()?;
        let work = Work::open(&place.work)?;
        let lock = work.lock(Duration::from_secs(keys.patience))?;
        let ledger = Ledger::open(&work.ledger()).await?;
        Ok(Press { work, lock, ledger, guard: Guard::shipped(), people })
    }

    /// The publisher, now.
    pub fn publisher(&self) -> Publisher<'_> {
        self.at(now())
    }

    /// The publisher at a time.
    pub fn at(&self, now: u64) -> Publisher<'_> {
        let Press { work, lock, ledger, guard, people } = self;
        Publisher { work, lock, ledger, guard, people, now }
    }

    /// What people are called.
    pub async fn names(&self) -> Result<Names, Failure> {
        Ok(Names::of(&self.ledger.members().await?))
    }

    /// Who signs here.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// Where releases go: the given places, or those of the settings.
    pub fn destinations(&self, given: &[String]) -> Result<Vec<Destination>, Failure> {
        destinations(&self.work, given)
    }
}

/// Where releases go: the given places, relative to where the user is; or those of the settings, relative to the work
/// directory.
pub fn destinations(work: &Work, given: &[String]) -> Result<Vec<Destination>, Failure> {
    let (places, base) = match given {
        [] => (&work.settings.to[..], work.directory()),
        given => (given, Path::new("")),
    };
    let mut destinations = Vec::with_capacity(places.len());
    for place in places {
        destinations.push(Destination::parse(place, base)?);
    }
    Ok(destinations)
}

/// A class from the command line.
pub fn class(text: &str) -> Result<Class, String> {
    Class::of_word(text).ok_or_else(|| "legal, operator or venue".to_owned())
}

/// Somebody from the command line: an introduction, or a file that holds one.
pub fn introduced(text: &str) -> Result<PublicKey, String> {
    if let Ok(introduction) = text.parse::<Introduction>() {
        return Ok(introduction.key());
    }
    let read =
        std::fs::read_to_string(text).map_err(|error| format!("{text}: the introduction cannot be read: {error}"))?;
    read.trim().parse::<Introduction>().map(|introduction| introduction.key()).map_err(|why| format!("{text}: {why}"))
}

/// Prints what was done, and warnings to standard error.
pub fn print(place: &Place, report: &Report, names: &Names) -> Result<(), Failure> {
    place.print(report, || text(report, names))?;
    warn(place, report);
    Ok(())
}

/// Warnings, to standard error; a program has them in the report.
pub fn warn(place: &Place, report: &Report) {
    if !place.json {
        for warning in &report.warnings {
            eprint!("{}", screen::wrap(&format!("friendly-blocklist: warning: {warning}"), 0));
        }
    }
}

/// What was done, for people.
pub fn text(report: &Report, names: &Names) -> String {
    let mut out = String::new();
    if let Some(keys) = &report.keys {
        let (state, look) = if keys.in_force { ("in force", Look::Good) } else { ("waits", Look::Warn) };
        out += &screen::title("Keys", state, look);
        out += &screen::field("change", &keys.about);
        out += &waits(&keys.waiting, names);
    }
    for outcome in &report.classes {
        out += &class_text(outcome, names);
    }
    out += &super::feeds::brief(&report.feeds);
    if let Some(version) = report.timestamp {
        out += &screen::field("timestamp", &format!("version {version} is signed"));
    }
    for copied in &report.copied {
        let what = match copied.files {
            0 => "has everything already".to_owned(),
            files => format!("{}, {}", counted(files, "file"), counted(copied.octets, "octet")),
        };
        out += &screen::field("copied", &format!("{}: {what}", copied.to));
    }
    out
}

fn class_text(outcome: &Outcome, names: &Names) -> String {
    let word = outcome.class.word();
    if let Some(problem) = &outcome.problem {
        let title = screen::title(&format!("Class {word}"), "no release can be made", Look::Bad);
        return title + &screen::field("problem", problem);
    }
    let Some(serial) = outcome.serial else {
        let title = screen::title(&format!("Class {word}"), "nothing to release", Look::Faint);
        return title + &pinned(outcome.pinned_to, outcome.pinned_why.as_deref());
    };
    let (state, look) = match (outcome.published, &outcome.held) {
        (true, _) => ("in force", Look::Good),
        (false, Some(_)) => ("held", Look::Bad),
        (false, None) => ("waits for signatures", Look::Warn),
    };
    let mut out = screen::title(&format!("Class {word}, release {serial}"), state, look);
    out += &screen::field("why", &outcome.why.join("; "));
    out += &pinned(outcome.pinned_to, outcome.pinned_why.as_deref());
    let epoch = outcome.epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    let change = format!("{} come, {} go", grouped(outcome.added), grouped(outcome.removed));
    let (listed, all) = (grouped(outcome.listed), grouped(outcome.entries));
    out += &screen::field("entries", &format!("{listed}: {change}{epoch}; {all} in the list with its canaries"));
    for share in &outcome.feeds {
        out += &screen::field("feed", &share_text(share));
    }
    if let Some(hash) = &outcome.hash {
        out += &screen::field("list", hash.get(..32).unwrap_or(hash));
    }
    if let Some(jump) = &outcome.rest {
        let text = format!("{} more would come, too many at once: they wait for two people", grouped(jump.added));
        out += &screen::field("held back", &text);
    }
    for refusal in &outcome.refused {
        out += &screen::field("left out", &format!("{}: {}", refusal.case, refusal.why));
    }
    if outcome.published {
        return out;
    }
    if let Some(jump) = &outcome.held {
        let (limit, before) = (grouped(jump.limit), grouped(jump.before));
        let of = jump.feed.as_ref().map_or_else(|| "the ledger".to_owned(), |feed| format!("the feed {feed}"));
        out += &screen::field(
            "held",
            &format!(
                "no more than {limit} of {of} may come or go at once (it has {before} now). If it is right, two different people let \
                 it pass: friendly-blocklist overrule --class {word} --reason TEXT --key FILE"
            ),
        );
        if let Some(person) = &outcome.override_asked_by {
            let reason = outcome.override_reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let who = names.show(person);
            out += &screen::field("", &format!("{who} has asked for it; somebody else has to agree{reason}"));
        }
    }
    out += &waits(&outcome.waiting, names);
    out
}

/// That a rollback is in force, and how it ends.
pub fn pinned(to: Option<u64>, why: Option<&str>) -> String {
    let text = to.map(|serial| screen::field("rollback", &rolled_back(serial, why)));
    text.unwrap_or_default()
}

/// The same in a sentence.
pub fn rolled_back(serial: u64, why: Option<&str>) -> String {
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    format!("back at what release {serial} held{why}; what is new waits until `publish --resume` ends that")
}

/// What a feed brings, in a few words.
fn share_text(share: &Share) -> String {
    let mut text = format!("{}: {}", share.feed, entries(share.entries));
    let rest = [
        (share.added, "come"),
        (share.removed, "go"),
        (share.allowed, "are to stay free"),
        (share.refused, "must not be blocked"),
    ];
    for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!(", {} {what}", grouped(count));
    }
    text
}

/// Who has still to sign.
pub fn waits(waiting: &[Waiting], names: &Names) -> String {
    let mut out = String::new();
    for Waiting { role, missing, by } in waiting {
        out += &screen::field("to sign", &format!("{role}: {missing} more, by {}", people(by, names)));
    }
    if !waiting.is_empty() {
        out += &screen::field("", "with: friendly-blocklist sign --key FILE");
    }
    out
}

fn people(ids: &[PersonId], names: &Names) -> String {
    ids.iter().map(|id| names.show(id)).collect::<Vec<_>>().join(", ")
}

/// Why a release is not in force, whom it waits for, and what to do: one sentence. Nothing for one that is.
pub fn standing(outcome: &Outcome, names: &Names) -> Option<String> {
    let serial = outcome.serial.filter(|_| !outcome.published)?;
    let word = outcome.class.word();
    let release = format!("release {serial} of the class {word}");
    if let Some(jump) = &outcome.held {
        let (added, removed, limit) = (grouped(jump.added), grouped(jump.removed), grouped(jump.limit));
        let of = jump.feed.as_ref().map_or_else(|| "the ledger".to_owned(), |feed| format!("the feed {feed}"));
        let reason = outcome.override_reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let asked = outcome.override_asked_by.as_ref();
        let asked = asked.map(|id| format!(" ({} has asked for it{reason})", names.show(id))).unwrap_or_default();
        return Some(format!(
            "{release} is held: {added} of {of} come and {removed} go, and no more than {limit} may at once; if that is \
             right, two people let it pass with `overrule --class {word}`{asked}"
        ));
    }
    let (mut missing, mut few): (Vec<String>, bool) = (Vec::new(), false);
    for waiting in &outcome.waiting {
        let text = format!("{} more by {}", waiting.missing, people(&waiting.by, names));
        // The envelopes of a sealed list are signed by the same people as the list.
        if !missing.contains(&text) {
            missing.push(text);
        }
        few |= (waiting.by.len() as u64) < waiting.missing;
    }
    let few =
        if few { "; that is too few: the holders of the root give the role other keys, with `rotate-key`" } else { "" };
    Some(format!("{release} waits for signatures, {}; they give them with `sign`{few}", missing.join(", and ")))
}

/// One line on standard error.
pub fn note(text: &str) {
    // Nobody is left to be told if standard error is gone.
    let _ = writeln!(std::io::stderr(), "{}", paint(text, Look::Plain));
}
