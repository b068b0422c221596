//! Several cases about one name, or about names above and below each other.

use friendly_blocklist::ledger::case::State;
use friendly_blocklist::ledger::event::{Event, Facts};
use friendly_blocklist::ledger::neighbours::{Lies, Neighbours};
use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::release::Class;

use crate::desk::{Desk, people};
use crate::world::{approved, case, classified, reason, reported};

/// A case for a name of its own, taken to the list if wanted.
fn add(desk: &mut Desk, id: &str, name: &str, scope: Scope, listed: bool) {
    let Event::Reported { case: number, facts } = reported(id, Class::Legal, name) else { unreachable!() };
    desk.fine(&people().analyst, Event::Reported { case: number, facts: Facts { scope, ..facts } });
    if listed {
        desk.fine(&people().analyst, Event::Assessed { case: case(id) });
        desk.fine(&people().analyst, classified(id));
        desk.fine(&people().besa, approved(id, desk.at));
        desk.fine(&people().cen, approved(id, desk.at));
    }
}

fn near(desk: &Desk, id: &str) -> Vec<(String, Lies)> {
    let all = Neighbours::of(desk.books.cases.values().cloned().collect());
    let near = all.near(&desk.books.cases[&case(id)], desk.at);
    near.into_iter().map(|neighbour| (neighbour.case.to_string(), neighbour.lies)).collect()
}

#[test]
fn a_case_knows_the_others_of_its_name_and_those_above_and_below() {
    let mut desk = Desk::new();
    for (id, name, scope, listed) in [
        ("isigurt/1", "one.test", Scope::Subtree, true),
        ("iwf/1", "one.test", Scope::Subtree, false),
        ("iwf/2", "one.test", Scope::Exact, true),
        ("iwf/3", "www.one.test", Scope::Subtree, true),
        ("iwf/4", "only-reported.one.test", Scope::Subtree, false),
        ("iwf/5", "notone.test", Scope::Subtree, true),
        ("iwf/6", "two.test", Scope::Exact, true),
        ("iwf/7", "www.two.test", Scope::Subtree, true),
    ] {
        add(&mut desk, id, name, scope, listed);
    }
    let told = |lies: &[(&str, Lies)]| lies.iter().map(|(id, lies)| (id.to_string(), *lies)).collect::<Vec<_>>();
    let one = told(&[("iwf/1", Lies::Same), ("iwf/2", Lies::SameAlone), ("iwf/3", Lies::Below)]);
    assert_eq!(near(&desk, "isigurt/1"), one);
    assert_eq!(near(&desk, "iwf/2"), told(&[("isigurt/1", Lies::Same), ("iwf/1", Lies::Same)]));
    assert_eq!(near(&desk, "iwf/3"), told(&[("isigurt/1", Lies::Above)]), "iwf/2 covers its own name alone");
    assert_eq!(near(&desk, "iwf/6"), told(&[]), "an entry for a name alone has nothing below it");
    assert_eq!(near(&desk, "iwf/7"), told(&[]));

    // What was taken off covers nothing any more, but who looks at the same name anew hears of it.
    desk.fine(&people().besa, Event::Withdrawn { case: case("isigurt/1"), reason: reason() });
    assert_eq!(desk.state("isigurt/1"), State::Delisted);
    assert_eq!(near(&desk, "iwf/3"), told(&[]));
    assert!(near(&desk, "iwf/1").contains(&("isigurt/1".to_owned(), Lies::Same)));
    desk.fine(&people().besa, Event::Rejected { case: case("iwf/1"), reason: reason() });
    assert_eq!(near(&desk, "iwf/2"), told(&[("isigurt/1", Lies::Same)]), "what never came to the list is over");
    let all = Neighbours::of(desk.books.cases.values().cloned().collect());
    assert_eq!(all.cases_of(&Name::parse("one.test").unwrap()).len(), 3, "but it is found by its name");
}
