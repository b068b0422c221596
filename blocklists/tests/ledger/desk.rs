//! Books without a file, and people who sign nothing: for the rules alone.

use std::sync::OnceLock;

use friendly_blocklist::ledger::books::Books;
use friendly_blocklist::ledger::case::{State, Waiting};
use friendly_blocklist::ledger::event::{Entry, Event, Key, Role, VERSION};
use friendly_blocklist::ledger::rules::Refused;
use friendly_blocklist::ledger::words::Label;
use friendly_blocklist::person::{Person, PersonId};
use signed_list::release::Class;

use crate::world::{START, added, approved, case, classified, reported, word};

/// Keys for tests that sign nothing: the rules look at who signs, the chain at the signature.
pub(crate) struct People {
    pub(crate) admin: Person,
    pub(crate) analyst: Person,
    pub(crate) besa: Person,
    pub(crate) cen: Person,
    pub(crate) officer: Person,
    pub(crate) operator: Person,
    /// Somebody with every role that one person can have.
    pub(crate) all: Person,
    pub(crate) second: Person,
    pub(crate) third: Person,
    pub(crate) stranger: Person,
}

pub(crate) fn people() -> &'static People {
    static PEOPLE: OnceLock<People> = OnceLock::new();
    PEOPLE.get_or_init(|| {
        let directory = std::env::temp_dir().join(format!("friendly-rules-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let person = |name: &str| Person::create(&directory.join(name)).unwrap();
        let people = People {
            admin: person("admin"),
            analyst: person("analyst"),
            besa: person("besa"),
            cen: person("cen"),
            officer: person("officer"),
            operator: person("operator"),
            all: person("all"),
            second: person("second"),
            third: person("third"),
            stranger: person("stranger"),
        };
        std::fs::remove_dir_all(directory).unwrap();
        people
    })
}

pub(crate) const EVERY_ROLE: [Role; 4] = [Role::Analyst, Role::Approver, Role::Officer, Role::Operator];

/// Books with everybody but the stranger registered.
pub(crate) struct Desk {
    pub(crate) books: Books,
    pub(crate) at: u64,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        let people = people();
        let mut desk = Desk { books: Books::default(), at: START };
        let admin = Key::from(&people.admin.introduction());
        let label = Label::parse("admin").unwrap();
        desk.fine(&people.admin, Event::Founded { scheme: word("al"), admin, label });
        for (person, label, roles) in [
            (&people.analyst, "Ana", &[Role::Analyst][..]),
            (&people.besa, "Besa", &[Role::Approver]),
            (&people.cen, "Cen", &[Role::Approver]),
            (&people.officer, "Drita", &[Role::Officer]),
            (&people.operator, "Edi", &[Role::Operator]),
            (&people.all, "Fatmir", &EVERY_ROLE),
            (&people.second, "Gent", &EVERY_ROLE),
            (&people.third, "Hana", &EVERY_ROLE),
        ] {
            desk.fine(&people.admin, added(person, label, roles));
        }
        desk
    }

    pub(crate) fn enter(&mut self, by: &Person, event: Event) -> Result<(), Refused> {
        self.enter_as(by.id(), event)
    }

    pub(crate) fn enter_as(&mut self, by: PersonId, event: Event) -> Result<(), Refused> {
        self.books.enter(&Entry { version: VERSION, number: self.books.count + 1, at: self.at, by, event })
    }

    pub(crate) fn fine(&mut self, by: &Person, event: Event) {
        self.enter(by, event.clone()).unwrap_or_else(|refused| panic!("{event:?}: {refused}"));
    }

    pub(crate) fn refused(&mut self, by: &Person, event: Event) -> Refused {
        let before = self.books.clone();
        let refused = self.enter(by, event).expect_err("refused");
        assert_eq!(self.books, before, "what is refused changes nothing");
        refused
    }

    pub(crate) fn ready(&mut self, id: &str) {
        let analyst = &people().analyst;
        self.fine(analyst, reported(id, Class::Legal, "one.test"));
        self.fine(analyst, Event::Assessed { case: case(id) });
        self.fine(analyst, classified(id));
    }

    pub(crate) fn listed(&mut self, id: &str) {
        self.ready(id);
        self.fine(&people().besa, approved(id, self.at));
        self.fine(&people().cen, approved(id, self.at));
    }

    pub(crate) fn state(&self, id: &str) -> State {
        self.books.cases[&case(id)].state_at(self.at)
    }

    pub(crate) fn in_force(&self, id: &str) -> bool {
        self.books.cases[&case(id)].in_force_at(self.at)
    }

    pub(crate) fn waits(&self, id: &str) -> Option<Waiting> {
        self.books.cases[&case(id)].waits_for(self.at)
    }
}
