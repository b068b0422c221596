//! Reads one block list to its end, through intake and guard, and judges whether it was one.
//!
//! The same for a list that somebody compiles by hand and for a feed that is fetched by a timer: a single wrong record
//! must not cost a list of 650,000 names; a log-in page, an allow list or a list in another format must not pass for
//! one.

use signed_list::list::Scope;
use signed_list::name::Name;
use thiserror::Error;

use crate::guard::Guard;
use crate::intake::{self, Format, Found, NotAList, Parser, Reason, entry_name};
use crate::report::{Input, Report};
use crate::source::{LineFault, Source, SourceError};

/// Below this many, skipped lines are nothing to stop for unless the user says so.
const ALWAYS_ALLOWED: u64 = 100;
/// The share of an input that may be left out, in per cent.
pub const LEFT_OUT_PERCENT: f64 = 5.0;

/// How an input is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Its format; found out if not said.
    pub format: Option<Format>,
    /// What its entries cover; what the format means if not said.
    pub scope: Option<Scope>,
    /// How much of it may be left out.
    pub max_left_out: Option<Limit>,
    /// How many entries it must have at the least.
    pub min_entries: u64,
    /// How many it may have at the most.
    pub max_entries: u64,
}

/// A bound on what may be left out of one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many lines or words.
    Count(u64),
    /// A share of all that might have been entries.
    Percent(f64),
}

/// Why an input is not taken.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum Unfit {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{0} {1}")]
    NotAList(String, NotAList),
    #[error("{input}: {found} entries in {lines} lines, fewer than {least} (it was read as {format})")]
    TooFewEntries { input: String, found: u64, lines: u64, least: u64, format: &'static str },
    #[error("{input}: more than {most} entries; it was not read on")]
    TooManyEntries { input: String, most: u64 },
    #[error("{input}: {exceptions} exceptions and only {names} entries; it looks like an allow list")]
    AllowList { input: String, exceptions: u64, names: u64 },
    #[error(
        "{input}: {skipped} skipped and {refused} refused, but only {limit} allowed beside {names} names (it was read \
         as {format})"
    )]
    TooMuchLeftOut { input: String, skipped: u64, refused: u64, limit: u64, names: u64, format: &'static str },
}

impl Reading {
    /// Reads an input to its end and gives each name that may be listed to `entry`. `on_the_way` is called now and
    /// then.
    pub fn read(
        &self,
        source: &mut Source,
        guard: &Guard,
        report: &mut Report,
        entry: &mut dyn FnMut(Name, Scope),
        on_the_way: &dyn Fn(&Source),
    ) -> Result<(), Unfit> {
        let name = source.name().to_owned();
        let detected = intake::detect(source.head()).map_err(|error| Unfit::NotAList(name.clone(), error))?;
        let format = self.format.unwrap_or(detected);
        report.input(&name, format.word());
        let mut parser = Parser::new(format);
        loop {
            if source.lines().is_multiple_of(8192) {
                on_the_way(source);
            }
            let Some(line) = source.next_line()? else { break };
            let number = line.number;
            match line.text {
                Ok(text) => parser.line(text, &mut |found| match found {
                    Found::Name(name, scope) => {
                        take(number, name, self.scope.unwrap_or(scope), guard, report, entry);
                    }
                    Found::Exception => report.exception(number, text),
                    Found::Skip(reason) => report.skip(number, text, &reason),
                }),
                // Comments in some old encoding are common and harm nobody.
                Err(LineFault::NotUtf8([b'#' | b'!' | b';', ..])) => {}
                Err(LineFault::NotUtf8(octets)) => {
                    report.skip(number, &String::from_utf8_lossy(octets), &Reason::NotUtf8);
                }
                Err(LineFault::TooLong) => report.skip(number, "", &Reason::LineTooLong),
            }
            if report.current().names > self.max_entries {
                return Err(Unfit::TooManyEntries { input: name, most: self.max_entries });
            }
        }
        report.current().lines = source.lines();
        self.judge(report.current())
    }

    /// Whether an input was a block list after all.
    fn judge(&self, input: &Input) -> Result<(), Unfit> {
        let Input { name, format, lines, names, exceptions, skipped, refused } = input.clone();
        if exceptions > names {
            return Err(Unfit::AllowList { input: name, exceptions, names });
        }
        let left_out = skipped + refused;
        let share = |percent: f64| ((names + left_out) as f64 * percent / 100.0) as u64;
        let limit = match self.max_left_out {
            Some(Limit::Count(count)) => count,
            Some(Limit::Percent(percent)) => share(percent),
            None => share(LEFT_OUT_PERCENT).max(ALWAYS_ALLOWED),
        };
        if left_out > limit {
            return Err(Unfit::TooMuchLeftOut { input: name, skipped, refused, limit, names, format });
        }
        if names < self.min_entries {
            let least = self.min_entries;
            return Err(Unfit::TooFewEntries { input: name, found: names, lines, least, format });
        }
        Ok(())
    }
}

/// One name, through the gate and the guard.
fn take(line: u64, text: &str, scope: Scope, guard: &Guard, report: &mut Report, entry: &mut dyn FnMut(Name, Scope)) {
    let name = match entry_name(text) {
        Ok(name) => name,
        Err(reason) => return report.skip(line, text, &reason),
    };
    if let Err(danger) = guard.check(&name, scope) {
        return report.refuse(line, &name, &danger);
    }
    report.current().names += 1;
    entry(name, scope);
}
