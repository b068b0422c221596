//! The state machine under any sequence of events.

use std::collections::BTreeSet;

use friendly_blocklist::ledger::case::State;
use friendly_blocklist::ledger::event::{Event, Outcome};
use friendly_blocklist::person::{Person, PersonId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use signed_list::release::Class;

use crate::desk::{Desk, people};
use crate::world::{DAY, approved, case, classified, reason, reported};

/// What random people try in random order.
#[derive(Clone, Debug)]
enum Try {
    Case(usize, usize),
    Retire(usize),
    Wait(u64),
}

const KINDS: usize = 14;

fn event(kind: usize, at: u64) -> Event {
    let id = || case("isigurt/1");
    match kind {
        0 => reported("isigurt/1", Class::Legal, "one.test"),
        1 => Event::Assessed { case: id() },
        2 => classified("isigurt/1"),
        3 | 4 => approved("isigurt/1", at),
        5 => Event::Approved { case: id(), review_by: at / 1000 + 20 * 86_400 },
        6 => Event::Withdrawn { case: id(), reason: reason() },
        7 => Event::EmergencyDelisted { case: id(), reason: reason() },
        8 => Event::Reviewed { case: id(), outcome: Outcome::Reopened, reason: reason() },
        9 => Event::Reviewed { case: id(), outcome: Outcome::Confirmed, reason: reason() },
        10 => Event::AppealOpened { case: id(), evident: false },
        11 => Event::AppealUpheld { case: id(), reason: reason() },
        12 => Event::AppealDelisted { case: id(), reason: reason() },
        _ => Event::Removed { case: id(), seen_at: at / 1000 },
    }
}

fn tries(actors: usize) -> impl Strategy<Value = Vec<Try>> {
    let one = prop_oneof![
        12 => (0..actors, 0..KINDS).prop_map(|(actor, kind)| Try::Case(actor, kind)),
        // The way to the list, more often than chance would find it.
        12 => (0..actors, 0..6usize).prop_map(|(actor, kind)| Try::Case(actor, kind)),
        1 => (0..actors).prop_map(Try::Retire),
        3 => (1..40u64).prop_map(Try::Wait),
    ];
    prop::collection::vec(one, 1..60)
}

/// What an onlooker notes who knows nothing of the rules: who approved since the case was last taken off.
#[derive(Default)]
struct Onlooker {
    approvals: Vec<(PersonId, u64)>,
    retired: BTreeSet<PersonId>,
}

impl Onlooker {
    fn keys(&self) -> BTreeSet<&PersonId> {
        self.approvals.iter().map(|(key, _)| key).collect()
    }
}

/// Runs the tries and holds the books against the onlooker after each; gives how often the case was in force.
fn run(actors: &[&Person], tries: Vec<Try>) -> Result<usize, TestCaseError> {
    let mut desk = Desk::new();
    let mut onlooker = Onlooker::default();
    let mut in_force = 0;
    for one in tries {
        match one {
            Try::Wait(days) => desk.at += days * DAY,
            Try::Retire(actor) => {
                let retired = Event::PersonRetired { person: actors[actor].id(), reason: reason() };
                if desk.enter(&people().admin, retired).is_ok() {
                    onlooker.retired.insert(actors[actor].id());
                }
            }
            Try::Case(actor, kind) => {
                let event = event(kind, desk.at);
                if desk.enter(actors[actor], event.clone()).is_ok() {
                    prop_assert!(!onlooker.retired.contains(&actors[actor].id()), "a retired key signed {event:?}");
                    match event {
                        Event::Approved { review_by, .. } => onlooker.approvals.push((actors[actor].id(), review_by)),
                        Event::Withdrawn { .. }
                        | Event::EmergencyDelisted { .. }
                        | Event::AppealDelisted { .. }
                        | Event::Removed { .. } => onlooker.approvals.clear(),
                        _ => {}
                    }
                }
            }
        }
        let Some(case) = desk.books.cases.get(&case("isigurt/1")) else { continue };
        if case.in_force_at(desk.at) {
            in_force += 1;
            prop_assert!(onlooker.keys().len() >= 2, "in force by {:?}", onlooker.approvals);
            let last = onlooker.approvals.iter().map(|(_, review_by)| *review_by).max().unwrap_or(0);
            prop_assert!(desk.at / 1000 < last, "in force past every date that anybody approved");
            prop_assert!(matches!(case.state_at(desk.at), State::Listed | State::Appealed));
        } else {
            prop_assert!(case.state_at(desk.at) != State::Listed);
        }
        let ends = case.listings.iter().filter(|listing| listing.until.is_none_or(|until| until > desk.at));
        prop_assert!(ends.count() <= case.listings.len());
        for pair in case.listings.windows(2) {
            let end = pair[0].until.unwrap_or(u64::MAX).min(pair[0].review_by * 1000);
            prop_assert!(end <= pair[1].from, "two listings of one case never overlap");
        }
    }
    Ok(in_force)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_sequence_of_events_by_one_key_lists_a_legal_entry(tries in tries(1)) {
        prop_assert_eq!(run(&[&people().all], tries)?, 0);
    }

    #[test]
    fn what_is_in_force_was_approved_by_two_and_has_an_end(tries in tries(4)) {
        let people = people();
        run(&[&people.all, &people.second, &people.third, &people.besa], tries)?;
    }

    #[test]
    fn whoever_may_not_approve_lists_nothing(tries in tries(4)) {
        let people = people();
        prop_assert_eq!(run(&[&people.analyst, &people.officer, &people.operator, &people.besa], tries)?, 0);
    }
}

#[test]
fn random_sequences_do_reach_the_list() {
    // Otherwise the properties above would hold for nothing.
    let people = people();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached = 0;
    for _ in 0..100 {
        let tries = tries(4).new_tree(&mut runner).unwrap().current();
        reached += usize::from(run(&[&people.all, &people.second, &people.third, &people.besa], tries).unwrap() > 0);
    }
    assert!(reached >= 10, "{reached} of 100 sequences had the case in force");
}
