//! `friendly-blocklist ledger`: the ledger itself.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Failure;
use super::place::{Place, Signer, Why, block_on, now};
use super::screen::{self, Look, paint};
use crate::ledger::event::Event;
use crate::ledger::words::Label;
use crate::ledger::{Head, Ledger};
use crate::person::{hex, unhex};

/// Begin, check and mend the ledger
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Begin a ledger; your key becomes its first admin
    Init {
        /// What colleagues call you
        #[arg(long, value_name = "TEXT", default_value = "admin")]
        label: Label,
        #[command(flatten)]
        signer: Signer,
        #[command(flatten)]
        place: Place,
    },
    /// Check every entry: chain, signatures, rules, and the tables that lists are made from
    ///
    /// Prints the head of the ledger. Note it elsewhere: --noted shows later that nothing before it was cut off.
    Verify {
        /// A head that was noted earlier, as NUMBER:HASH; the ledger must still hold it
        #[arg(long, value_name = "HEAD", value_parser = head)]
        noted: Option<Head>,
        #[command(flatten)]
        place: Place,
    },
    /// Build all tables anew from the entries
    Rebuild {
        #[command(flatten)]
        place: Place,
    },
    /// Say that the clock had been ahead, and is right now; only an admin can
    ///
    /// What was decided under the wrong clock counts from this moment on.
    CorrectClock {
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        signer: Signer,
        #[command(flatten)]
        place: Place,
    },
}

fn head(text: &str) -> Result<Head, String> {
    let read = || {
        let (number, hash) = text.split_once(':')?;
        Some(Head { number: number.parse().ok()?, hash: unhex(hash)? })
    };
    read().ok_or_else(|| "a head as `ledger verify` prints it: NUMBER:HASH".to_owned())
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        match &arguments.step {
            Step::Init { label, signer, place } => {
                let person = signer.person()?;
                signer.confirm(&format!("Begin a ledger in {} with you as its admin?", place.work.display()))?;
                let scheme = place.scheme(None)?.word;
                let ledger = Ledger::create(&place.ledger(), &person, label, &scheme, now()).await?;
                let value = json!({ "ledger": ledger.path(), "admin": person.id() });
                place.say(&value, || {
                    let place = place.ledger();
                    format!("{} is begun; its admin is {label} ({}).", place.display(), person.id())
                })?;
                ledger.close().await;
            }
            Step::Verify { noted, place } => {
                let ledger = place.open().await?;
                let head = ledger.verify(noted.as_ref()).await?;
                say(place, &head, "is whole", noted.is_some())?;
                ledger.close().await;
            }
            Step::Rebuild { place } => {
                let ledger = place.open().await?;
                let head = ledger.rebuild().await?;
                say(place, &head, "is whole, and its tables are built anew", false)?;
                ledger.close().await;
            }
            Step::CorrectClock { why, signer, place } => {
                let (person, ledger) = (signer.person()?, place.open().await?);
                let reason = why.reason()?;
                signer.confirm("Is the clock of this machine right now?")?;
                let number = ledger.append(Event::ClockCorrected { reason }, &person, now()).await?;
                place.say(&json!({ "entry": number }), || "No time after this one counts.".to_owned())?;
                ledger.close().await;
            }
        }
        Ok(())
    })
}

fn say(place: &Place, head: &Head, is: &str, noted: bool) -> Result<(), Failure> {
    let text = format!("{}:{}", head.number, hex(&head.hash));
    let value = json!({ "entries": head.number, "head": text });
    place.print(&value, || {
        let kept = if noted { " It holds the noted head." } else { "" };
        let good =
            paint(&format!("The ledger {is}: {}.{kept}", screen::count(head.number, "entry", "entries")), Look::Good);
        // On a line of its own, whole, so that it can be copied. Note it: --noted wants it.
        format!("{good} Its head:\n{text}\n")
    })
}
