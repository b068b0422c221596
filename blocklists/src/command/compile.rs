//! `friendly-blocklist compile`: public block lists in, one compiled list out.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{BuildError, ListMeta, Scope};
use signed_list::name::Name;
use thiserror::Error;

use crate::compile::{Compiled, Compiler};
use crate::guard::Guard;
use crate::intake::Format;
use crate::output::{NewFile, OutputError};
use crate::reading::{Limit, Reading, Unfit};
use crate::report::{self, Report, Summary, grouped};
use crate::source::{Source, SourceError};

/// Compile public block lists into one list file of one category
///
/// Reads plain names, hosts files, Adblock rules (||name^), wildcards (*.name), dnsmasq and Unbound configuration,
/// and RPZ zones; plain, gzip or zstd. What is no name is skipped and counted, names that must not be blocked are
/// refused and listed. The file is written beside and renamed: a resolver sees the old list or the new one.
///
/// Exit status: 0 the list is in place; 1 it is not, the reason is on standard error; 2 wrong arguments.
#[derive(Debug, Args)]
#[command(override_usage = "friendly-blocklist compile --category NAME --out FILE [OPTIONS] INPUT...")]
pub struct Arguments {
    /// The category that the resolver's configuration names, such as adult
    #[arg(long, value_name = "NAME", value_parser = category)]
    category: String,

    /// The list file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// What an entry covers: the name alone, all below it too, or what the format means (exact for hosts lines and
    /// plain RPZ names, subtree for all others)
    #[arg(long, value_enum, default_value_t = ScopeChoice::Auto)]
    scope: ScopeChoice,

    /// The format of the inputs. Default: found out for each of them
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// How much of one input may be skipped or refused: a number, or a share such as 5%. Default: 5%, but always 100
    #[arg(long, value_name = "N|P%", value_parser = limit)]
    max_skipped: Option<Limit>,

    /// How many entries each input must have at the least
    #[arg(long, value_name = "N", default_value_t = 1)]
    min_entries: u64,

    /// List this name although it is protected or a public suffix; may be given several times
    #[arg(long, value_name = "NAME", value_parser = name)]
    allow_protected: Vec<Name>,

    /// Write no list if any name is refused
    #[arg(long)]
    strict: bool,

    /// Write every skipped and refused line to this file; JSON if its name ends in .json, text otherwise
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,

    /// Serial of the list, for reports and metrics. Default: the time of --created
    #[arg(long, value_name = "N")]
    serial: Option<u64>,

    /// When the list was made, in Unix seconds. Default: now. The same inputs, serial and time give the same file
    #[arg(long, value_name = "SECONDS")]
    created: Option<u64>,

    /// Block lists to read; - is standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeChoice {
    Auto,
    Subtree,
    Exact,
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Format] {
        &Format::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.word()))
    }
}

/// The same rule as for category names in the resolver's configuration.
fn category(text: &str) -> Result<String, String> {
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
    let good = text.len() <= 32
        && text.bytes().enumerate().all(|(at, octet)| plain(octet) || octet == b'-' && at > 0)
        && !text.is_empty();
    if good { Ok(text.to_owned()) } else { Err("use 1 to 32 of a-z, 0-9 and -, the first not a -".to_owned()) }
}

fn limit(text: &str) -> Result<Limit, String> {
    let bad = || "use a number such as 1000, or a share from 0% to 100%".to_owned();
    match text.strip_suffix('%') {
        Some(share) => match share.parse() {
            Ok(share) if (0.0..=100.0).contains(&share) => Ok(Limit::Percent(share)),
            _ => Err(bad()),
        },
        None => text.parse().map(Limit::Count).map_err(|_| bad()),
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// Why no list was written. Each is for the one who called the program.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum CompileError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{unfit}{advice}. Nothing was written.", unfit = .0, advice = advice(.0))]
    Unfit(Unfit),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("{0}: the output is also an input; name another output")]
    OutputIsInput(String),
    #[error(
        "{} refused and --strict asks for none; take them out of the list, or admit single ones with \
         --allow-protected NAME. Nothing was written.",
        names_are(*.0)
    )]
    Refused(u64),
    #[error("the list cannot be built: {0}")]
    Build(#[from] BuildError),
    #[error("the list is in place, but standard output cannot be written: {0}")]
    Print(io::Error),
}

impl From<Unfit> for CompileError {
    fn from(unfit: Unfit) -> CompileError {
        match unfit {
            Unfit::Source(error) => CompileError::Source(error),
            unfit => CompileError::Unfit(unfit),
        }
    }
}

/// What the one who called the program can do about it.
fn advice(unfit: &Unfit) -> &'static str {
    match unfit {
        Unfit::AllowList { .. } => {
            ", and blocking what it allows would do harm; use it as an allow list in the resolver's policy"
        }
        Unfit::TooMuchLeftOut { .. } => {
            "; look at them with --report FILE, check --format, and raise --max-skipped if they can go"
        }
        // Says itself what to do.
        Unfit::NotAList(..) => "",
        _ => "; check that it is a block list, and --format",
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), CompileError> {
    let start = Instant::now();
    refuse_to_overwrite_an_input(arguments)?;
    let mut report = Report::new(arguments.report.as_deref())?;
    // Told the time once: what is printed has to be what the list says.
    let (serial, created) = version(arguments);

    let compiled = match compile(arguments, (serial, created), &mut report) {
        Ok(compiled) => compiled,
        Err(error) => {
            // The report is what explains such an end; the error itself counts more than one of the report.
            eprint!("{}", report::left_out(report.counts()));
            report.finish(None)?;
            return Err(error);
        }
    };
    let mut file = NewFile::create(&arguments.out)?;
    file.write(&compiled.file)?;
    file.finish()?;

    let summary = Summary {
        out: arguments.out.display().to_string(),
        category: arguments.category.clone(),
        serial,
        created,
        bytes: compiled.file.len() as u64,
        bytes_per_entry: compiled.file.len() as f64 / compiled.entries.max(1) as f64,
        seconds: (start.elapsed().as_secs_f64() * 1e3).round() / 1e3,
        entries: compiled.entries,
        duplicates: compiled.duplicates,
        covered: compiled.covered,
        counts: report.counts().clone(),
    };
    report.finish(Some(&summary))?;
    print(arguments, &summary).map_err(CompileError::Print)
}

fn refuse_to_overwrite_an_input(arguments: &Arguments) -> Result<(), CompileError> {
    let Ok(out) = arguments.out.canonicalize() else { return Ok(()) };
    for input in &arguments.inputs {
        if input.canonicalize().is_ok_and(|input| input == out) {
            return Err(CompileError::OutputIsInput(input.display().to_string()));
        }
    }
    Ok(())
}

/// Serial and time of the list. The time is a good serial: it goes up from run to run on its own.
fn version(arguments: &Arguments) -> (u64, u64) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let created = arguments.created.unwrap_or_else(now);
    (arguments.serial.unwrap_or(created), created)
}

/// All inputs, through intake and guard into one list of this version.
fn compile(arguments: &Arguments, version: (u64, u64), report: &mut Report) -> Result<Compiled, CompileError> {
    let mut guard = Guard::shipped();
    for name in &arguments.allow_protected {
        guard.admit(name.clone());
    }
    let mut sink = Sink { guard, compiler: Compiler::default(), suffixes: Suffixes::new(), report };
    for input in &arguments.inputs {
        read(arguments, input, &mut sink)?;
    }
    let refused = sink.report.counts().total(|input| input.refused);
    if arguments.strict && refused > 0 {
        return Err(CompileError::Refused(refused));
    }

    let (serial, created) = version;
    let categories = vec![arguments.category.clone()];
    let meta = ListMeta { categories, serial, created, key: DigestKey::OPEN, sealed: false };
    Ok(sink.compiler.build(meta)?)
}

/// Reads one input to its end, then judges whether it was a block list.
fn read(arguments: &Arguments, path: &Path, sink: &mut Sink<'_>) -> Result<(), CompileError> {
    let mut source = Source::open(path)?;
    let reading = Reading {
        format: arguments.format,
        scope: match arguments.scope {
            ScopeChoice::Auto => None,
            ScopeChoice::Subtree => Some(Scope::Subtree),
            ScopeChoice::Exact => Some(Scope::Exact),
        },
        max_left_out: arguments.max_skipped,
        min_entries: arguments.min_entries,
        max_entries: u64::MAX,
    };
    let bar = progress(&source, source.name());
    let Sink { guard, compiler, suffixes, report } = sink;
    let mut entry = |name: Name, scope| {
        DigestKey::OPEN.suffixes(name.as_wire(), suffixes);
        compiler.push(suffixes, scope);
    };
    let read =
        reading.read(&mut source, guard, report, &mut entry, &|source: &Source| bar.set_position(source.taken()));
    bar.finish_and_clear();
    Ok(read?)
}

/// Where the names of all inputs go.
struct Sink<'a> {
    guard: Guard,
    compiler: Compiler,
    suffixes: Suffixes,
    report: &'a mut Report,
}

/// A bar on a terminal; nothing in a log file or a pipe.
fn progress(source: &Source, name: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match source.size() {
        Some(size) => (ProgressBar::new(size), "{wide_msg} {bar:20} {bytes:>10} of {total_bytes:10} {eta:>4}"),
        None => (ProgressBar::new_spinner(), "{wide_msg} {spinner} {bytes:>10}"),
    };
    // The templates are ours and right; the plain bar is good enough should one ever be wrong.
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    bar.set_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn print(arguments: &Arguments, summary: &Summary) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, summary)?;
        return writeln!(out);
    }
    write!(out, "{summary}")?;
    let refused = summary.counts.total(|input| input.refused);
    if refused > 0 {
        eprintln!(
            "friendly-blocklist: warning: {} NOT in the list, as blocking would do harm; see \"Refused\" \
             above",
            names_are(refused)
        );
    }
    let skipped = summary.counts.total(|input| input.skipped);
    if skipped > 0 {
        let lines = if skipped == 1 { "line is" } else { "lines are" };
        eprintln!("friendly-blocklist: warning: {} {lines} no entries; see \"Skipped\" above", grouped(skipped));
    }
    Ok(())
}

fn names_are(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "name is" } else { "names are" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_those_of_the_resolver() {
        for good in ["adult", "a", "0-9", &"x".repeat(32)] {
            assert_eq!(category(good), Ok(good.to_owned()));
        }
        for bad in ["", "-a", "Adult", "a_b", "a b", &"x".repeat(33)] {
            assert!(category(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn limits_are_numbers_or_shares() {
        assert_eq!(limit("12"), Ok(Limit::Count(12)));
        assert_eq!(limit("2.5%"), Ok(Limit::Percent(2.5)));
        for bad in ["", "%", "-1", "101%", "1.5", "NaN%"] {
            assert!(limit(bad).is_err(), "{bad:?}");
        }
    }
}
