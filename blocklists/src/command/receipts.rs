//! `friendly-blocklist receipts`: what resolvers say about releases in force.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use signed_list::release::Class;

use super::Failure;
use super::enrol;
use super::place::{Place, block_on};
use super::screen::{self, Look, cell, marked};
use crate::ledger::Ledger;
use crate::ledger::event::ReleaseRecord;
use crate::release::receipts::{Checked, check};
use crate::release::recipients::{Recipient, Recipients};
use crate::release::work::Work;
use crate::report::{counted, grouped};

/// Check the receipts that resolvers sign when a release is in force there
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Check receipts: one on each line of the files
    ///
    /// The publisher compares them with its ledger. Whoever has only the receipts checks with --resolver that they are
    /// those of the resolver, and not which releases there were.
    Verify {
        /// Files of receipts, such as receipts.jws of a resolver
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,

        /// Without work directory and ledger: what `friendly-resolver identity` printed of the resolvers; several times
        #[arg(long, value_name = "FILE", conflicts_with = "work")]
        resolver: Vec<PathBuf>,

        #[command(flatten)]
        place: Place,
    },
}

/// What receipts are held against.
struct Known {
    recipients: Recipients,
    releases: Option<Vec<ReleaseRecord>>,
}

impl Known {
    /// What the publisher knows.
    async fn of_publisher(place: &Place) -> Result<Known, Failure> {
        let work = Work::open(&place.work)?;
        let ledger = Ledger::open(&work.ledger()).await?;
        let mut releases = Vec::new();
        for class in Class::ALL {
            releases.extend(ledger.releases(class).await?);
        }
        ledger.close().await;
        Ok(Known { recipients: work.recipients()?, releases: Some(releases) })
    }

    /// What resolvers printed of themselves.
    fn of_resolvers(files: &[PathBuf]) -> Result<Known, Failure> {
        let mut recipients = Recipients::default();
        for path in files {
            for (age, receipt_key, note) in enrol::read(path)? {
                recipients.enrol(Recipient { age, receipt_key, note, enrolled_at: 0, revoked_at: None })?;
            }
        }
        Ok(Known { recipients, releases: None })
    }
}

/// Runs the verb. It ends with 1 if any receipt does not count.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Step::Verify { files, resolver, place } = &arguments.step;
    block_on(async {
        let known = match resolver.is_empty() {
            true => Known::of_publisher(place).await?,
            false => Known::of_resolvers(resolver)?,
        };
        let (mut values, mut rows, mut times, mut wrong) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for path in files {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let before = values.len();
            for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
                let place = format!("{}:{number}", path.display());
                match check(line, &known.recipients, known.releases.as_deref()) {
                    Ok(checked) => {
                        times.extend(checked.time_to_block);
                        rows.push(row(&checked));
                        values.push(json!({ "line": place, "counts": true, "receipt": checked }));
                    }
                    Err(error) => {
                        values.push(json!({ "line": place, "counts": false, "why": error.to_string() }));
                        wrong.push(format!("{place}: does not count: {error}"));
                    }
                }
            }
            if values.len() == before {
                return Err(format!(
                    "{}: there are no receipts in it; a resolver writes its own to receipts.jws in \
                    its state directory",
                    path.display()
                )
                .into());
            }
        }
        times.sort_unstable();
        place.print(&values, || {
            let mut text = String::new();
            if !rows.is_empty() {
                text += &screen::table(&["RESOLVER", "COUNTS", "RELEASE", ""], &rows);
            }
            for sentence in &wrong {
                text += &screen::wrap(sentence, 0);
            }
            if let Some(worst) = times.last() {
                let median = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2;
                text += &format!(
                    "\nFrom decision to enforced: {} in the median, {} at most\n",
                    seconds(median),
                    seconds(*worst)
                );
            }
            if known.releases.is_none() {
                text += "\nThese are signatures alone: the ledger of the publisher says which releases there were.\n";
            }
            text
        })?;
        if wrong.is_empty() {
            return Ok(());
        }
        let count = counted(values.len() as u64, "receipt");
        Err(format!("{} of {count} do not count", grouped(wrong.len() as u64)).into())
    })
}

fn row(checked: &Checked) -> Vec<screen::Cell> {
    let receipt = &checked.receipt;
    let release = format!("{} {}", receipt.class.word(), receipt.serial);
    let mut about = checked.time_to_block.map(|time| format!("in force after {}", seconds(time))).unwrap_or_default();
    if checked.revoked {
        about += " (revoked since)";
    }
    vec![cell(&receipt.resolver), marked("yes", Look::Good), cell(release), cell(about.trim())]
}

fn seconds(milliseconds: u64) -> String {
    format!("{:.1} s", milliseconds as f64 / 1000.0)
}
