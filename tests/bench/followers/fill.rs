//! Many names in a ledger: taken in, reviewed and approved like one by hand, only many in one transaction.

use std::path::{Path, PathBuf};

use clap::Args;
use friendly_blocklist::ledger::Ledger;
use friendly_blocklist::ledger::event::Event;
use friendly_blocklist::ledger::words::{CaseId, Word};
use friendly_blocklist::person::Person;
use friendly_blocklist::takedown::scheme::Scheme;
use friendly_blocklist::takedown::{Host, Takedown};
use friendly_blocklist::triage::Triage;
use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::release::Class;

use crate::{Failure, now};

/// Cases in one transaction.
const AT_ONCE: usize = 20_000;
const LISTED: u64 = 80 * 86_400;

/// Brings names into a ledger, for the operator's list
#[derive(Args)]
pub(crate) struct Fill {
    #[arg(long)]
    ledger: PathBuf,
    /// One name a line
    #[arg(long)]
    names: PathBuf,
    /// Who takes them in
    #[arg(long)]
    analyst: PathBuf,
    /// Who approves them
    #[arg(long)]
    approver: PathBuf,
    /// So many of the last ones wait for `decide`; they are printed, a number and a name on each line
    #[arg(long, default_value_t = 10)]
    wait: usize,
}

impl Fill {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (analyst, approver) = (Person::read(&self.analyst)?, Person::read(&self.approver)?);
        let (scheme, triage) = (Scheme::shipped(), Triage::shipped());
        let ledger = Ledger::open(&self.ledger).await?;
        let text = std::fs::read_to_string(&self.names)?;
        let names: Vec<Name> = text.lines().filter_map(|line| Name::parse(line).ok()).collect();
        let category = Word::parse("malware")?;
        // What is protected and what is no domain is not asked for approval, as it would be sent back.
        let guard = friendly_blocklist::guard::Guard::shipped();
        let names: Vec<Name> = names.into_iter().filter(|name| guard.check(name, Scope::Subtree).is_ok()).collect();
        let last = names.len().saturating_sub(self.wait);
        for (part, some) in names.chunks(AT_ONCE).enumerate() {
            let (first, at) = (part * AT_ONCE, now());
            let id = |number: usize| CaseId::parse(&format!("operator/{number}"));
            let mut takedowns = Vec::with_capacity(some.len());
            let (mut reviews, mut approvals) = (Vec::new(), Vec::new());
            for (number, name) in (first..).zip(some) {
                takedowns.push(takedown(id(number)?, name, &category, at));
                reviews.push(Event::Assessed { case: id(number)? });
                let (case, category) = (id(number)?, category.clone());
                reviews.push(Event::Classified { case, category, legal_basis: None, legal_reference: None });
                match number < last {
                    true => approvals.push(Event::Approved { case: id(number)?, review_by: at / 1000 + LISTED }),
                    false => println!("{number} {name}"),
                }
            }
            ledger.take_in(&takedowns, &triage, &scheme, &analyst, at).await?;
            enter(&ledger, reviews, &analyst).await?;
            enter(&ledger, approvals, &approver).await?;
            eprint!("\r{} of {} names", first + some.len(), names.len());
        }
        eprintln!();
        ledger.close().await;
        Ok(())
    }
}

/// Approves the cases that wait
#[derive(Args)]
pub(crate) struct Decide {
    #[arg(long)]
    ledger: PathBuf,
    /// What `fill` has printed
    #[arg(long)]
    cases: PathBuf,
    #[arg(long)]
    approver: PathBuf,
}

impl Decide {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (approver, ledger) = (Person::read(&self.approver)?, Ledger::open(&self.ledger).await?);
        let review_by = now() / 1000 + LISTED;
        let events = numbers(&self.cases)?
            .into_iter()
            .map(|number| Ok(Event::Approved { case: CaseId::parse(&format!("operator/{number}"))?, review_by }));
        enter(&ledger, events.collect::<Result<_, Failure>>()?, &approver).await?;
        ledger.close().await;
        Ok(())
    }
}

fn numbers(cases: &Path) -> Result<Vec<usize>, Failure> {
    let text = std::fs::read_to_string(cases)?;
    let number = |line: &str| Ok(line.split(' ').next().unwrap_or_default().parse()?);
    text.lines().map(number).collect()
}

async fn enter(ledger: &Ledger, events: Vec<Event>, person: &Person) -> Result<(), Failure> {
    for done in ledger.append_all(events, person, now()).await? {
        done?;
    }
    Ok(())
}

fn takedown(case: CaseId, name: &Name, category: &Word, at: u64) -> Takedown {
    Takedown {
        case,
        class: Class::Operator,
        category: category.clone(),
        host: Host::Name(name.clone()),
        is_page: false,
        scope: Scope::Subtree,
        legal_basis: None,
        legal_reference: None,
        dedicated_attestation: false,
        assessed_at: at / 1000 - 3600,
        ntd_sent_at: None,
        host_country: None,
        removed_seen_at: None,
    }
}
