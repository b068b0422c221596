//! `friendly-blocklist review`: an analyst's look at a case, and a second person's look at what one did alone.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{About, Why, block_on, now, remark};
use super::screen::{ask, is_interactive};
use super::view::{self, Names};
use crate::ledger::case::{Case, State};
use crate::ledger::desk::Settled;
use crate::ledger::event::{Event, Outcome};
use crate::ledger::words::{Remark, Word};
use crate::takedown::scheme::Scheme;

/// Look at a case: assess and classify it, or look at a delisting that one person did alone
///
/// A case that came in is assessed, and its category and legal ground are settled; then it waits for approvals. A case
/// that one person took off the list is confirmed, or reopened so that it can be approved anew; both want a reason.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Category, if not the one that it came with
    #[arg(long, value_name = "WORD")]
    category: Option<Word>,

    /// Legal ground, a word of the scheme
    #[arg(long, value_name = "WORD")]
    legal_basis: Option<Word>,

    /// The decision under that ground, such as its number and date
    #[arg(long, value_name = "TEXT", value_parser = remark)]
    reference: Option<Remark>,

    /// The delisting was right
    #[arg(long, conflicts_with_all = ["category", "legal_basis", "reference", "reopen"])]
    confirm: bool,

    /// The delisting was wrong: the case waits for approvals again
    #[arg(long, conflicts_with_all = ["category", "legal_basis", "reference"])]
    reopen: bool,

    #[command(flatten)]
    why: Why,

    /// The scheme profile, if not the one of the work directory
    #[arg(long, value_name = "FILE")]
    scheme: Option<std::path::PathBuf>,

    #[command(flatten)]
    about: About,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let About { case: id, signer, place } = &arguments.about;
        let (person, ledger) = arguments.about.open().await?;
        let scheme = place.scheme(arguments.scheme.as_deref())?;
        let case = arguments.about.case(&ledger).await?;
        let asking = is_interactive() && !signer.yes;
        if asking {
            eprintln!("{}", view::card(&case, now(), &scheme, &Names::of(&ledger.members().await?)));
        }
        if arguments.confirm || arguments.reopen || case.unreviewed {
            let outcome = outcome(arguments, asking)?;
            let reason = arguments.why.reason()?;
            let event = Event::Reviewed { case: id.clone(), outcome, reason };
            ledger.append_seen(event, case.last, &person, now()).await?;
        } else {
            let settled = settle(arguments, &case, &scheme, asking)?;
            signer.confirm("Is it so, and the whole domain dedicated to it?")?;
            ledger.review(id, case.last, settled, &scheme, &person, now()).await?;
        }
        let after = arguments.about.case(&ledger).await?;
        let value = json!({ "case": id, "entry": after.last, "state": after.state });
        place.say(&value, || match after.state {
            State::Delisted => format!("{id} stays off the list."),
            state => {
                let waiting = after.waits_for(now()).map_or("nothing".to_owned(), view::waits_for);
                format!("{id} is {} and waits for {waiting}.", state.word())
            }
        })?;
        ledger.close().await;
        Ok(())
    })
}

fn outcome(arguments: &Arguments, asking: bool) -> Result<Outcome, Failure> {
    match (arguments.confirm, arguments.reopen) {
        (true, _) => Ok(Outcome::Confirmed),
        (_, true) => Ok(Outcome::Reopened),
        _ if asking => match ask("Was it right to take it off the list? [y/n]")?.to_lowercase().as_str() {
            "y" | "yes" | "po" => Ok(Outcome::Confirmed),
            "n" | "no" | "jo" => Ok(Outcome::Reopened),
            _ => Err("nothing was signed".into()),
        },
        _ => Err("one person took this case off the list; say --confirm if it was right, or --reopen".into()),
    }
}

/// What the command line says, and what the record lacks.
fn settle(arguments: &Arguments, case: &Case, scheme: &Scheme, asking: bool) -> Result<Settled, Failure> {
    let Arguments { category, legal_basis, reference, .. } = arguments;
    let mut settled =
        Settled { category: category.clone(), legal_basis: legal_basis.clone(), legal_reference: reference.clone() };
    let lacks = settled.legal_basis.is_none() && case.facts.legal_basis.is_none() && case.approvals_needed() > 1;
    if lacks && asking {
        eprintln!("The record names no legal ground. Known are:");
        for basis in scheme.legal_bases() {
            let name = scheme.legal_basis(basis).map_or("", |known| known.name.as_str());
            eprint!("{}", super::screen::field(basis.as_str(), name));
        }
        let word = ask("Legal ground:")?;
        settled.legal_basis = Some(Word::parse(&word).map_err(|rule| format!("a legal ground has {rule}"))?);
    }
    Ok(settled)
}
