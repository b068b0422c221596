//! `friendly-blocklist appeal`: somebody asks for another look, and an officer answers.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Failure;
use super::place::{About, Place, Signer, Why, block_on, now};
use super::{readable, screen, view};
use crate::appeal;
use crate::ledger::event::Event;
use crate::ledger::neighbours::Neighbours;
use crate::ledger::words::CaseId;
use crate::ledger::{Ledger, UnixMillis, date, minute};
use crate::person::Person;

/// Record and answer appeals against a listing
///
/// Analysts, approvers, officers and operators record one; an officer answers it. Appeals against the lists of operator and
/// venues are answered
/// by approvers and operators, too.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Record an appeal; the listing stays until it is answered. Who appeals is not kept
    Open {
        #[command(flatten)]
        about: About,
        /// It looks like an evident over-block: an answer is due within 24 hours, not 5 working days
        #[arg(long)]
        evident: bool,
    },
    /// Answer that the listing stays; an officer who did not approve it
    Uphold {
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        about: About,
    },
    /// Record what people asked for on stop pages, from files that resolvers keep
    ///
    /// Each request is opened with the secret and becomes an appeal against every case in force that blocks its site. A
    /// request that no case is about is told, since another list must block the site. What stands in the ledger is
    /// renamed to end with .done.
    Import(Import),
    /// Make the secret that opens requests from stop pages, and print what resolvers get as `recipient`
    Key {
        /// The new file
        file: PathBuf,
    },
    /// Answer that the listing goes; an officer who did not approve it
    Delist {
        #[command(flatten)]
        why: Why,
        #[command(flatten)]
        about: About,
    },
}

/// Requests of stop pages.
#[derive(Debug, Args)]
struct Import {
    /// Files that end with .review, or directories of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The secret that opens them
    #[arg(long, value_name = "FILE")]
    secret: PathBuf,

    #[command(flatten)]
    signer: Signer,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let about = match &arguments.step {
        Step::Open { about, .. } | Step::Uphold { about, .. } | Step::Delist { about, .. } => about,
        Step::Import(import) => return block_on(take_in(import)),
        Step::Key { file } => {
            println!("{}", appeal::make(file)?);
            return Ok(());
        }
    };
    block_on(async {
        let About { case: id, signer, place } = about;
        let (person, ledger) = about.open().await?;
        let before = about.case(&ledger).await?;
        let (case, what) = (id.clone(), view::brief(&before));
        let (event, question) = match &arguments.step {
            Step::Open { evident, .. } => {
                (Event::AppealOpened { case, evident: *evident }, format!("Record an appeal against {what}?"))
            }
            Step::Uphold { why, .. } => {
                (Event::AppealUpheld { case, reason: why.reason()? }, format!("Go on blocking {what}?"))
            }
            Step::Delist { why, .. } => {
                (Event::AppealDelisted { case, reason: why.reason()? }, format!("Stop blocking {what}?"))
            }
            Step::Import(_) | Step::Key { .. } => unreachable!("done above"),
        };
        signer.confirm(&question)?;
        let at = now();
        let number = ledger.append_seen(event, before.last, &person, at).await?;
        let after = about.case(&ledger).await?;
        let due = after.open_appeal().map(|appeal| appeal.due);
        let neighbours = ledger.neighbours(&after, at).await?;
        let value = json!({
            "case": id, "entry": number, "state": after.state_at(at), "due": due, "neighbours": neighbours,
        });
        place.say(&value, || match (&arguments.step, due) {
            (Step::Open { .. }, Some(due)) => format!("{id} is appealed; the answer is due by {}.", minute(due)),
            (Step::Delist { .. }, _) if before.in_force_at(at) => {
                format!("{id} is delisted{}", view::no_longer_blocked(&after, &neighbours))
            }
            (Step::Delist { .. }, _) => format!("{id} is delisted."),
            _ => format!("{id} stays listed; the appeal is answered."),
        })?;
        ledger.close().await;
        Ok(())
    })
}

async fn take_in(import: &Import) -> Result<(), Failure> {
    let Import { paths, secret, signer, place } = import;
    let (person, ledger, secret) = (signer.person()?, place.open().await?, appeal::secret(secret)?);
    let files = appeal::waiting(paths)?;
    signer.confirm(&format!("Record {} requests for review?", files.len()))?;
    let at = now();
    let all = Neighbours::of(ledger.cases().await?);
    let (mut rows, mut text, mut failed) = (Vec::new(), String::new(), 0);
    for file in &files {
        let (review, site) = match appeal::open(file, &secret) {
            Ok(opened) => opened,
            // One file that somebody spoiled must not keep the others from being answered.
            Err(error) => {
                failed += 1;
                eprintln!("friendly-blocklist: {error}");
                continue;
            }
        };
        let cases = appeal::about(&site, &all, at);
        if let Err(error) = record(&ledger, &cases, &person, at).await.and_then(|()| Ok(appeal::done(file)?)) {
            failed += 1;
            eprintln!("friendly-blocklist: {}: {error}", file.display());
            continue;
        }
        let against = match cases.is_empty() {
            true => "no case of this ledger blocks it; look at the lists from the web".to_owned(),
            false => format!("appealed: {}", cases.iter().map(CaseId::as_str).collect::<Vec<_>>().join(", ")),
        };
        text.push_str(&screen::wrap(&format!("{} {}: {against}", review.code, readable::shown(&site)), 0));
        rows.push(json!({ "code": review.code, "site": site.to_string(), "day": date(review.day), "cases": cases }));
    }
    if rows.is_empty() && failed == 0 {
        text.push_str("No request is waiting.\n");
    }
    place.print(&rows, || text)?;
    ledger.close().await;
    match failed {
        0 => Ok(()),
        _ => {
            Err(format!("{failed} of {} files were not read, as said above; they stay where they are", files.len())
                .into())
        }
    }
}

/// An appeal against each of the cases that has none open.
async fn record(ledger: &Ledger, cases: &[CaseId], person: &Person, at: UnixMillis) -> Result<(), Failure> {
    for case in cases {
        let before = ledger.find(case).await?;
        if before.open_appeal().is_none() {
            let event = Event::AppealOpened { case: case.clone(), evident: false };
            ledger.append_seen(event, before.last, person, at).await?;
        }
    }
    Ok(())
}
