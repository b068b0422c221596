//! What the steps of a ledger cost with so many listed cases (10,000 without an argument):
//! `cargo run --release -p friendly-blocklist --example ledger_bench -- 10000`.

use std::time::Instant;

use friendly_blocklist::ledger::Ledger;
use friendly_blocklist::ledger::event::{Event, Key, Role};
use friendly_blocklist::ledger::words::{CaseId, Label, Word};
use friendly_blocklist::person::Person;
use friendly_blocklist::takedown::read;
use friendly_blocklist::takedown::scheme::Scheme;
use friendly_blocklist::triage::Triage;
use signed_list::release::Class;

const AT: u64 = 1_803_895_200_000;

fn lap(what: &str, start: Instant) {
    println!("{:10.1} ms  {what}", start.elapsed().as_secs_f64() * 1e3);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cases: usize = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let directory = std::env::temp_dir().join(format!("ledger-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let path = directory.join("ledger.db");
    let person = |name: &str| Person::create(&directory.join(name));
    let (admin, analyst, one, two) = (person("admin")?, person("analyst")?, person("one")?, person("two")?);
    let ledger = Ledger::create(&path, &admin, &Label::parse("admin")?, &Word::parse("al")?, AT).await?;
    for (person, label, role) in
        [(&analyst, "Ana", Role::Analyst), (&one, "Besa", Role::Approver), (&two, "Cen", Role::Approver)]
    {
        let (person, label) = (Key::from(&person.introduction()), Label::parse(label)?);
        ledger.append(Event::PersonAdded { person, label, roles: vec![role] }, &admin, AT).await?;
    }

    let head = "case_ref,source,category,name,legal_basis,dedicated_attestation,assessed_at\n";
    let line = |number| format!("{number},isigurt,csam,name-{number}.test,law-18-2017,yes,2026-03-01\n");
    let text = head.to_owned() + &(0..cases).map(line).collect::<String>();
    let (scheme, triage) = (Scheme::shipped(), Triage::shipped());
    let start = Instant::now();
    let reading = read(text.as_bytes(), &scheme);
    lap("records read", start);
    let takedowns: Vec<_> = reading.takedowns.into_iter().map(|(_, takedown)| takedown).collect();
    let start = Instant::now();
    ledger.take_in(&takedowns, &triage, &scheme, &analyst, AT).await?;
    lap("taken in", start);
    let start = Instant::now();
    ledger.take_in(&takedowns, &triage, &scheme, &analyst, AT).await?;
    lap("taken in again: all known", start);

    let id = |number: usize| CaseId::parse(&format!("isigurt/{number}"));
    let start = Instant::now();
    let review_by = AT / 1000 + 80 * 86_400;
    for number in 0..cases {
        let case = id(number)?;
        let (category, legal_basis) = (Word::parse("csam")?, Some(Word::parse("law-18-2017")?));
        let events = vec![
            Event::Assessed { case: case.clone() },
            Event::Classified { case, category, legal_basis, legal_reference: None },
        ];
        ledger.append_all(events, &analyst, AT).await?;
        ledger.append(Event::Approved { case: id(number)?, review_by }, &one, AT).await?;
        if number + 1 < cases {
            ledger.append(Event::Approved { case: id(number)?, review_by }, &two, AT).await?;
        }
    }
    lap("all but the last one listed, each decision flushed to disk", start);
    ledger.close().await;

    let start = Instant::now();
    let ledger = Ledger::open(&path).await?;
    lap("opened: hashes of the whole chain", start);
    let start = Instant::now();
    ledger.append(Event::Approved { case: id(cases - 1)?, review_by }, &two, AT).await?;
    lap("the last approval", start);
    let start = Instant::now();
    let listed = ledger.entries_at(Class::Legal, AT / 1000).await?;
    lap("entries in force", start);
    let start = Instant::now();
    let head = ledger.verify(None).await?;
    lap("verified: signatures, rules, tables", start);
    println!("{} entries, {} in force, {} octets", head.number, listed.len(), std::fs::metadata(&path)?.len());
    ledger.close().await;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
