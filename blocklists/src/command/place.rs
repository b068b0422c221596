//! What most verbs need: where the ledger is, who signs, what time it is.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::Failure;
use super::screen;
use crate::ledger::case::Case;
use crate::ledger::words::{CaseId, Remark};
use crate::ledger::{Ledger, UnixMillis};
use crate::person::Person;
use crate::takedown::scheme::Scheme;

/// Where the ledger is, and how to print.
#[derive(Debug, Args)]
pub struct Place {
    /// The work directory; the ledger in it is ledger.db
    #[arg(long, value_name = "DIR", default_value = "work")]
    pub work: PathBuf,

    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// Who signs.
#[derive(Debug, Args)]
pub struct Signer {
    /// Your own key: decisions are signed with it
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// Do not ask before signing
    #[arg(long, short)]
    pub yes: bool,
}

impl Place {
    /// The ledger's file.
    pub fn ledger(&self) -> PathBuf {
        self.work.join("ledger.db")
    }

    /// Opens the ledger.
    pub async fn open(&self) -> Result<Ledger, Failure> {
        Ok(Ledger::open(&self.ledger()).await?)
    }

    /// The scheme: a given file, or the one of the work directory, or the shipped one.
    pub fn scheme(&self, given: Option<&Path>) -> Result<Scheme, Failure> {
        let own = self.work.join("scheme.toml");
        let path = match given {
            Some(given) => given,
            None if own.exists() => &own,
            None => return Ok(Scheme::shipped()),
        };
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Scheme::read(&text).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    /// Prints a result: as JSON, or the text that people get.
    pub fn print(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, value)?;
            writeln!(out)?;
        } else {
            out.write_all(text().as_bytes())?;
        }
        Ok(())
    }

    /// Prints a result: as JSON, or as a sentence.
    pub fn say(&self, value: &impl Serialize, sentence: impl FnOnce() -> String) -> Result<(), Failure> {
        self.print(value, || screen::wrap(&sentence(), 0))
    }
}

impl Signer {
    /// Reads the key.
    pub fn person(&self) -> Result<Person, Failure> {
        Ok(Person::read(&self.key)?)
    }

    /// Asks, where somebody can answer. Elsewhere the command line itself is the answer.
    pub fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.yes || !screen::is_interactive() || screen::confirm(question)? {
            return Ok(());
        }
        Err("nothing was signed".into())
    }
}

/// The case of a decision, who decides, and where it is written down.
#[derive(Debug, Args)]
pub struct About {
    /// The case, such as isigurt/2027-0042
    #[arg(value_parser = case)]
    pub case: CaseId,

    /// Who decides.
    #[command(flatten)]
    pub signer: Signer,

    /// Where it is written down.
    #[command(flatten)]
    pub place: Place,
}

impl About {
    /// Who signs, and the ledger.
    pub async fn open(&self) -> Result<(Person, Ledger), Failure> {
        Ok((self.signer.person()?, self.place.open().await?))
    }

    /// The case as the ledger has it now.
    pub async fn case(&self, ledger: &Ledger) -> Result<Case, Failure> {
        Ok(ledger.find(&self.case).await?)
    }
}

/// The cases of a decision, each of which is decided by itself.
#[derive(Debug, Args)]
pub struct Several {
    /// The case, such as isigurt/2027-0042; or several, each decided by itself
    #[arg(value_name = "CASE", required = true, value_parser = case)]
    cases: Vec<CaseId>,

    /// Who decides.
    #[command(flatten)]
    pub signer: Signer,

    /// Where it is written down.
    #[command(flatten)]
    pub place: Place,
}

/// What became of one case.
pub struct Done {
    /// For programs.
    pub value: Value,
    /// For people.
    pub sentence: String,
}

impl Several {
    /// Who signs, and the ledger.
    pub async fn open(&self) -> Result<(Person, Ledger), Failure> {
        Ok((self.signer.person()?, self.place.open().await?))
    }

    /// Decides one case after the other and says at once what became of it. One that fails does not stop the others; at
    /// the end it is an error that any did.
    pub async fn each(&self, decide: impl AsyncFn(&CaseId) -> Result<Done, Failure>) -> Result<(), Failure> {
        if let [id] = self.cases.as_slice() {
            let Done { value, sentence } = decide(id).await?;
            return self.place.say(&value, || sentence);
        }
        let mut values = Vec::with_capacity(self.cases.len());
        let mut failed = 0;
        for id in &self.cases {
            let value = match decide(id).await {
                Ok(Done { value, sentence }) => {
                    if !self.place.json {
                        self.place.say(&value, || sentence)?;
                    }
                    value
                }
                Err(error) => {
                    failed += 1;
                    let error = error.to_string();
                    let which = if error.contains(id.as_str()) { String::new() } else { format!("{id}: ") };
                    eprintln!("friendly-blocklist: {which}{error}");
                    json!({ "case": id, "error": error })
                }
            };
            values.push(value);
        }
        if self.place.json {
            self.place.print(&values, String::new)?;
        }
        match failed {
            0 => Ok(()),
            _ => {
                Err(format!("{failed} of {} cases were not decided, as said above; the others are", values.len())
                    .into())
            }
        }
    }
}

/// Why somebody decides so.
#[derive(Debug, Args)]
pub struct Why {
    /// Why, in one sentence; asked for on a terminal, required without one
    #[arg(long, value_name = "TEXT", value_parser = remark)]
    reason: Option<Remark>,
}

impl Why {
    /// The reason from the command line, or asked for.
    pub fn reason(&self) -> Result<Remark, Failure> {
        if let Some(given) = &self.reason {
            return Ok(given.clone());
        }
        if !screen::is_interactive() {
            return Err("say why: --reason TEXT".into());
        }
        loop {
            match Remark::parse(&screen::ask("Reason:")?) {
                Ok(reason) => return Ok(reason),
                Err(rule) => eprintln!("A reason is {rule}."),
            }
        }
    }
}

/// A case from the command line.
pub fn case(text: &str) -> Result<CaseId, String> {
    CaseId::parse(text).map_err(str::to_owned)
}

/// A remark from the command line.
pub fn remark(text: &str) -> Result<Remark, String> {
    Remark::parse(text.trim()).map_err(str::to_owned)
}

/// The time. Only the verbs look at the clock; everything below them is told.
pub fn now() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Runs what a verb does to its end.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
