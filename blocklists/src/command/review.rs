//! `friendly-blocklist review`: an analyst's look at a case, and a second person's look at what one did alone.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{Done, Several, Why, block_on, now, remark};
use super::screen::{ask, is_interactive};
use super::view::{self, Docket};
use crate::ledger::Ledger;
use crate::ledger::case::{Case, State};
use crate::ledger::desk::Settled;
use crate::ledger::event::{Event, Outcome};
use crate::ledger::words::{CaseId, Remark, Word};
use crate::person::Person;
use crate::takedown::scheme::Scheme;

/// Look at a case: assess and classify it, or look at a delisting that one person did alone
///
/// An analyst assesses a case that came in and settles its category and legal ground; then it waits for approvals. For
/// the lists of operator and venues an operator can, too. A case that one person took off the list is confirmed by an
/// approver or officer, or reopened so that it can be approved anew; both want a reason. Several cases are looked at one
/// by one.
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
    about: Several,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let (person, ledger) = arguments.about.open().await?;
        let scheme = arguments.about.place.scheme(arguments.scheme.as_deref())?;
        arguments.about.each(async |id| review(arguments, id, &scheme, &ledger, &person).await).await?;
        ledger.close().await;
        Ok(())
    })
}

async fn review(
    arguments: &Arguments,
    id: &CaseId,
    scheme: &Scheme,
    ledger: &Ledger,
    person: &Person,
) -> Result<Done, Failure> {
    let signer = &arguments.about.signer;
    let case = ledger.find(id).await?;
    let asking = is_interactive() && !signer.yes;
    if asking {
        eprintln!("{}", Docket::of(ledger, &case, scheme, now()).await?.card());
    }
    if arguments.confirm || arguments.reopen || case.unreviewed {
        let outcome = outcome(arguments, asking)?;
        let reason = arguments.why.reason()?;
        let event = Event::Reviewed { case: id.clone(), outcome, reason };
        ledger.append_seen(event, case.last, person, now()).await?;
    } else {
        let settled = settle(arguments, &case, scheme, asking)?;
        signer.confirm("Is it so, and the whole domain dedicated to it?")?;
        ledger.review(id, case.last, settled, scheme, person, now()).await?;
    }
    let after = ledger.find(id).await?;
    let value = json!({ "case": id, "entry": after.last, "state": after.state });
    let sentence = match after.state {
        State::Delisted => format!("{id} stays off the list."),
        state => {
            let waiting = after.waits_for(now()).map_or("nothing".to_owned(), view::waits_for);
            format!("{id} is {} and waits for {waiting}.", state.word())
        }
    };
    Ok(Done { value, sentence })
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
        _ => Err("one person took this case off the list; say --confirm if that was right, or --reopen if not".into()),
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
