//! Counts what is read, and keeps what was left out: where it stood and why.
//!
//! The summary shows the first lines of each kind; `--report FILE` holds all of them and grows while the lists are
//! read, so that a list of a million wrong lines costs disk and no memory.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use signed_list::name::Name;

use crate::guard::Danger;
use crate::intake::Reason;
use crate::output::{NewFile, OutputError};

/// How many lines of each kind a summary holds.
pub const FIRST: usize = 20;
/// How many of them go to the screen for what is merely skipped; refused names are shown up to [`FIRST`].
const FIRST_SKIPPED_ON_SCREEN: usize = 3;
/// How many characters of a line are worth repeating.
const EXCERPT: usize = 100;

/// Something left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// `skipped`: no entry in the first place. `refused`: an entry that must not be blocked. `exception`: an entry
    /// of the list that lets a name through.
    pub kind: &'static str,
    /// A short word for the reason.
    pub reason: &'static str,
    /// The input.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The name, or the beginning of the line.
    pub text: String,
    /// The reason in words.
    pub why: String,
}

/// How often something was left out for one reason, and where first.
#[derive(Clone, Debug, Serialize)]
pub struct Tally {
    /// The short word for it.
    pub reason: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// How often.
    pub count: u64,
    /// The first of them, at most [`FIRST`].
    pub first: Vec<LeftOut>,
}

/// Counts of one input.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Input {
    /// The input as the user named it.
    pub name: String,
    /// The format it was read as.
    pub format: &'static str,
    /// Lines.
    pub lines: u64,
    /// Names taken, those that come again and those below a listed name included.
    pub names: u64,
    /// Names that the list lets through.
    pub exceptions: u64,
    /// Lines or words that are no entries.
    pub skipped: u64,
    /// Names that must not be blocked.
    pub refused: u64,
}

/// Everything there is to say about a finished run.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The list file.
    pub out: String,
    /// Its category.
    pub category: String,
    /// Its serial.
    pub serial: u64,
    /// When it was made, in Unix seconds.
    pub created: u64,
    /// Octets of the file.
    pub bytes: u64,
    /// Octets for one entry.
    pub bytes_per_entry: f64,
    /// How long it took.
    pub seconds: f64,
    /// Entries in the file.
    pub entries: u64,
    /// Names left out because they were there already.
    pub duplicates: u64,
    /// Names left out because a name above them is listed with all below it.
    pub covered: u64,
    /// What was read and left out.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Counts over all inputs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Each input.
    pub inputs: Vec<Input>,
    /// What was no entry, by reason.
    pub skipped: Vec<Tally>,
    /// What must not be blocked, by reason.
    pub refused: Vec<Tally>,
}

impl Counts {
    /// The sum of a count over all inputs.
    pub fn total(&self, count: impl Fn(&Input) -> u64) -> u64 {
        self.inputs.iter().map(count).sum()
    }
}

/// Collects while the inputs are read.
pub struct Report {
    counts: Counts,
    details: Option<Details>,
    failed: Option<OutputError>,
}

impl Report {
    /// With every line in `file`, if there is one: JSON if its name ends so, text otherwise.
    pub fn new(file: Option<&Path>) -> Result<Report, OutputError> {
        Ok(Report { counts: Counts::default(), details: file.map(Details::create).transpose()?, failed: None })
    }

    /// Begins an input.
    pub fn input(&mut self, name: &str, format: &'static str) {
        self.counts.inputs.push(Input { name: name.to_owned(), format, ..Input::default() });
    }

    /// The input on the way. [`Report::input`] has to come first.
    pub fn current(&mut self) -> &mut Input {
        if self.counts.inputs.is_empty() {
            self.counts.inputs.push(Input::default());
        }
        let last = self.counts.inputs.len() - 1;
        &mut self.counts.inputs[last]
    }

    /// Counts something that is no entry.
    pub fn skip(&mut self, line: u64, text: &str, reason: &Reason) {
        self.current().skipped += 1;
        let why = match reason {
            Reason::NotAName(error) => error.to_string(),
            reason => reason.sentence().to_owned(),
        };
        let left_out = self.left_out("skipped", reason.word(), line, text, why);
        tally(&mut self.counts.skipped, reason.word(), reason.sentence(), left_out);
    }

    /// Counts a name that must not be blocked.
    pub fn refuse(&mut self, line: u64, name: &Name, danger: &Danger) {
        self.current().refused += 1;
        let left_out = self.left_out("refused", danger.word(), line, &name.to_string(), danger.to_string());
        let meaning = match danger.word() {
            "public-suffix" => "public suffixes: other people's names lie below",
            "special-use" => "special-use names: networks and programs work by them",
            _ => "protected names",
        };
        tally(&mut self.counts.refused, danger.word(), meaning, left_out);
    }

    /// Counts a name that the list lets through.
    pub fn exception(&mut self, line: u64, text: &str) {
        self.current().exceptions += 1;
        self.left_out("exception", "exception", line, text, "lets a name through; not imported".to_owned());
    }

    /// Writes to the report what is left out, and gives it back for the summary.
    fn left_out(&mut self, kind: &'static str, reason: &'static str, line: u64, text: &str, why: String) -> LeftOut {
        let file = self.current().name.clone();
        let left_out = LeftOut { kind, reason, file, line, text: excerpt(text), why };
        // A report that cannot be written must not stop the list; it is told at the end.
        if let Some(details) = &mut self.details
            && let Err(error) = details.write(&left_out)
        {
            self.failed = Some(error);
            self.details = None;
        }
        left_out
    }

    /// What was counted so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Puts the report file in place, with the summary at its end if there is one.
    pub fn finish(self, summary: Option<&Summary>) -> Result<Counts, OutputError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(details) = self.details {
            details.finish(summary)?;
        }
        Ok(self.counts)
    }
}

fn tally(tallies: &mut Vec<Tally>, reason: &'static str, meaning: &'static str, left_out: LeftOut) {
    let at = tallies.iter().position(|tally| tally.reason == reason).unwrap_or_else(|| {
        tallies.push(Tally { reason, meaning, count: 0, first: Vec::new() });
        tallies.len() - 1
    });
    tallies[at].count += 1;
    if tallies[at].first.len() < FIRST {
        tallies[at].first.push(left_out);
    }
}

/// The beginning of a text from a stranger's file, safe to print on a terminal.
fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(EXCERPT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// The report file on the way.
struct Details {
    file: NewFile,
    json: bool,
    written: u64,
}

impl Details {
    fn create(path: &Path) -> Result<Details, OutputError> {
        let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let mut file = NewFile::create(path)?;
        if json {
            file.write(b"{\"left_out\":[")?;
        }
        Ok(Details { file, json, written: 0 })
    }

    fn write(&mut self, left_out: &LeftOut) -> Result<(), OutputError> {
        let LeftOut { kind, reason, file, line, text, why } = left_out;
        let text = if self.json {
            let comma = if self.written > 0 { ",\n" } else { "\n" };
            // Strings and a number: nothing that JSON could refuse.
            format!("{comma}{}", serde_json::to_string(left_out).unwrap_or_default())
        } else {
            format!("{file}:{line}: {kind} {reason}: {text}: {why}\n")
        };
        self.written += 1;
        self.file.write(text.as_bytes())
    }

    fn finish(mut self, summary: Option<&Summary>) -> Result<(), OutputError> {
        let end = match (self.json, summary) {
            (true, summary) => format!("\n],\n\"summary\":{}}}\n", serde_json::to_string(&summary).unwrap_or_default()),
            (false, Some(summary)) => format!("\n{summary}"),
            (false, None) => "\nNo list was written.\n".to_owned(),
        };
        self.file.write(end.as_bytes())?;
        self.file.finish()
    }
}

/// For a terminal of 80 columns; long file names and list lines may go beyond.
impl std::fmt::Display for Summary {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = &self.counts;
        writeln!(out, "{}: category {}, serial {}", self.out, self.category, self.serial)?;
        writeln!(out)?;
        let names = counts.total(|input| input.names);
        let lines = [
            (counts.total(|input| input.lines), format!("lines read from {}", inputs(&counts.inputs))),
            (names, "names found".to_owned()),
            (self.duplicates, "duplicates, left out".to_owned()),
            (self.covered, "below another listed name, left out".to_owned()),
            (self.entries, "entries written".to_owned()),
            (counts.total(|input| input.exceptions), "exceptions, not imported".to_owned()),
            (counts.total(|input| input.skipped), "skipped: no entries".to_owned()),
            (counts.total(|input| input.refused), "refused: must not be blocked".to_owned()),
            (self.bytes, format!("octets, {:.2} an entry", self.bytes_per_entry)),
        ];
        for (count, what) in lines {
            writeln!(out, "{:>15}  {what}", grouped(count))?;
        }
        writeln!(out, "{:>15.2}  seconds", self.seconds)?;
        out.write_str(&left_out(counts))
    }
}

/// What was left out, by reason, with the first lines of each.
pub fn left_out(counts: &Counts) -> String {
    let mut text = String::new();
    let refused = counts.refused.iter().map(|tally| ("Refused", tally, FIRST));
    let skipped = counts.skipped.iter().map(|tally| ("Skipped", tally, FIRST_SKIPPED_ON_SCREEN));
    for (what, tally, show) in refused.chain(skipped) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "\n{what} {}: {}", grouped(tally.count), tally.meaning);
        for LeftOut { file, line, text: found, why, .. } in tally.first.iter().take(show) {
            let file = Path::new(file).file_name().map_or(file.as_str().into(), |name| name.to_string_lossy());
            let found = if what == "Skipped" { shortened(found) } else { format!("{found}  ({why})") };
            let _ = writeln!(text, "  {file}:{line}: {found}");
        }
        let more = tally.count.saturating_sub(show as u64);
        if more > 0 {
            let _ = writeln!(text, "  and {} more; --report FILE holds all of them", grouped(more));
        }
    }
    text
}

/// A line that was skipped, as far as a screen is wide.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(48) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn inputs(inputs: &[Input]) -> String {
    match inputs {
        [one] => format!("one input ({})", one.format),
        many => format!("{} inputs", many.len()),
    }
}

/// So many entries.
pub fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{} entries", grouped(number)) }
}

/// So many of something, as `1 file` or `1,234 files`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_summary_fits_a_terminal_and_shows_the_first_lines() {
        let mut report = Report::new(None).unwrap();
        report.input("lists/a.hosts", "hosts");
        report.current().lines = 1_000_030;
        for line in 1..=30 {
            report.skip(line, &format!("192.0.2.{line}"), &Reason::IpAddress);
        }
        report.refuse(31, &Name::parse("gov.al").unwrap(), &Danger::PublicSuffix { private: false });
        let counts = report.finish(None).unwrap();
        assert_eq!((counts.skipped[0].count, counts.skipped[0].first.len()), (30, FIRST));

        let summary = Summary {
            out: "adult.list".into(),
            category: "adult".into(),
            serial: 1,
            created: 1,
            bytes: 10_000_000,
            bytes_per_entry: 10.0,
            seconds: 1.5,
            entries: 1_000_000,
            duplicates: 0,
            covered: 0,
            counts,
        };
        let text = summary.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for part in ["1,000,000  entries written", "a.hosts:3: 192.0.2.3", "and 27 more", "a.hosts:31: gov.al"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_line_of_a_stranger_cannot_write_on_the_terminal() {
        assert_eq!(excerpt("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(excerpt(&"x".repeat(200)).len(), EXCERPT + 3);
    }
}
