//! `friendly-blocklist receipts`: what resolvers say about releases in force.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use signed_list::release::Class;

use super::Failure;
use super::place::{Place, block_on};
use super::screen::{self, Look, cell, marked};
use crate::ledger::Ledger;
use crate::release::receipts::{Checked, check};
use crate::release::work::Work;
use crate::report::grouped;

/// Check the receipts that resolvers sign when a release is in force there
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Check receipts: one on each line of the files
    Verify {
        /// Files of receipts, such as receipts.jws of a resolver
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
}

/// Runs the verb. It ends with 1 if any receipt does not count.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Step::Verify { files, place } = &arguments.step;
    block_on(async {
        let work = Work::open(&place.work)?;
        let ledger = Ledger::open(&work.ledger()).await?;
        let recipients = work.recipients()?;
        let mut releases = Vec::new();
        for class in Class::ALL {
            releases.extend(ledger.releases(class).await?);
        }
        let (mut values, mut rows, mut times, mut wrong, mut count) = (Vec::new(), Vec::new(), Vec::new(), 0, 0);
        for path in files {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
                count += 1;
                let place = format!("{}:{number}", path.display());
                match check(line, &recipients, &releases) {
                    Ok(checked) => {
                        times.extend(checked.time_to_block);
                        rows.push(row(&checked));
                        values.push(json!({ "line": place, "counts": true, "receipt": checked }));
                    }
                    Err(error) => {
                        wrong += 1;
                        rows.push(vec![cell(&place), marked("no", Look::Bad), cell(""), cell(error.to_string())]);
                        values.push(json!({ "line": place, "counts": false, "why": error.to_string() }));
                    }
                }
            }
        }
        times.sort_unstable();
        place.print(&values, || {
            let mut text = screen::table(&["RESOLVER", "COUNTS", "RELEASE", ""], &rows);
            if let Some(worst) = times.last() {
                let median = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2;
                text += &format!(
                    "\nFrom decision to enforced: {} in the median, {} at most\n",
                    seconds(median),
                    seconds(*worst)
                );
            }
            text
        })?;
        ledger.close().await;
        if wrong == 0 {
            return Ok(());
        }
        Err(format!("{} of {} receipts do not count", grouped(wrong), grouped(count)).into())
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
