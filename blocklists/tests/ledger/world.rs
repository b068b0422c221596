//! A ledger with its people in a directory of its own, taken away at the end of a test.

use std::fs;
use std::path::{Path, PathBuf};

use friendly_blocklist::ledger::event::{Event, Facts, Key, Role};
use friendly_blocklist::ledger::words::{CaseId, Label, Remark, Word};
use friendly_blocklist::ledger::{Ledger, LedgerError};
use friendly_blocklist::person::Person;
use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::release::Class;

use crate::program::{self, Ended};

/// 2027-03-01 10:00 UTC.
pub(crate) const START: u64 = 1_803_895_200_000;
pub(crate) const DAY: u64 = 86_400_000;

pub(crate) struct World {
    pub(crate) directory: PathBuf,
    pub(crate) admin: Person,
    pub(crate) analyst: Person,
    pub(crate) besa: Person,
    pub(crate) cen: Person,
    pub(crate) officer: Person,
    pub(crate) operator: Person,
}

impl World {
    /// A directory and six people with keys; nobody is registered.
    pub(crate) fn empty(test: &str) -> World {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ledger-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("work")).unwrap();
        let person = |name: &str| Person::create(&directory.join(format!("{name}.pem"))).unwrap();
        World {
            admin: person("admin"),
            analyst: person("analyst"),
            besa: person("besa"),
            cen: person("cen"),
            officer: person("officer"),
            operator: person("operator"),
            directory,
        }
    }

    /// The same with a ledger in which they are registered.
    pub(crate) async fn new(test: &str) -> (World, Ledger) {
        let world = World::empty(test);
        let ledger = world.begin().await;
        (world, ledger)
    }

    pub(crate) async fn begin(&self) -> Ledger {
        let label = Label::parse("admin").unwrap();
        let ledger = Ledger::create(&self.path(), &self.admin, &label, &word("al"), START).await.unwrap();
        for (person, label, roles) in [
            (&self.analyst, "Ana", vec![Role::Analyst]),
            (&self.besa, "Besa", vec![Role::Approver]),
            (&self.cen, "Cen", vec![Role::Approver]),
            (&self.officer, "Drita", vec![Role::Officer]),
            (&self.operator, "Edi", vec![Role::Operator]),
        ] {
            let event = added(person, label, &roles);
            ledger.append(event, &self.admin, START).await.unwrap();
        }
        ledger
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("work/ledger.db")
    }

    pub(crate) fn key(&self, name: &str) -> String {
        self.directory.join(format!("{name}.pem")).display().to_string()
    }

    pub(crate) async fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(&self.path()).await
    }

    /// Runs the program in the directory, without a terminal.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        program::run(&self.directory, arguments)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.directory.join(name), content).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn added(person: &Person, label: &str, roles: &[Role]) -> Event {
    let person = Key::from(&person.introduction());
    Event::PersonAdded { person, label: Label::parse(label).unwrap(), roles: roles.to_vec() }
}

pub(crate) fn word(text: &str) -> Word {
    Word::parse(text).unwrap()
}

pub(crate) fn reason() -> Remark {
    Remark::parse("for a reason").unwrap()
}

pub(crate) fn case(text: &str) -> CaseId {
    CaseId::parse(text).unwrap()
}

pub(crate) fn reported(id: &str, class: Class, name: &str) -> Event {
    let category = if class == Class::Legal { "csam" } else { "malware" };
    Event::Reported {
        case: case(id),
        facts: Facts {
            class,
            category: word(category),
            name: Name::parse(name).unwrap(),
            scope: Scope::Subtree,
            legal_basis: None,
            legal_reference: None,
            dedicated_attestation: true,
            assessed_at: START / 1000 - 3600,
            ntd_sent_at: None,
            host_country: None,
        },
    }
}

pub(crate) fn classified(id: &str) -> Event {
    let legal_basis = Some(word("law-18-2017"));
    Event::Classified { case: case(id), category: word("csam"), legal_basis, legal_reference: None }
}

/// Takes a case to the point where it waits for approvals.
pub(crate) async fn ready(world: &World, ledger: &Ledger, id: &str, name: &str, at: u64) {
    for event in [reported(id, Class::Legal, name), Event::Assessed { case: case(id) }, classified(id)] {
        ledger.append(event, &world.analyst, at).await.unwrap();
    }
}

pub(crate) fn approved(id: &str, at: u64) -> Event {
    Event::Approved { case: case(id), review_by: at / 1000 + 90 * 86_400 }
}

/// Takes a case to the list.
pub(crate) async fn listed(world: &World, ledger: &Ledger, id: &str, name: &str, at: u64) {
    ready(world, ledger, id, name, at).await;
    ledger.append(approved(id, at), &world.besa, at).await.unwrap();
    ledger.append(approved(id, at), &world.cen, at).await.unwrap();
}
