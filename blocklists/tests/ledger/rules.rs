//! The state machine, by named cases.

use friendly_blocklist::ledger::books::Books;
use friendly_blocklist::ledger::case::{LISTED_AT_MOST, State, Waiting};
use friendly_blocklist::ledger::event::{Entry, Event, Key, Outcome, ReleaseRecord, Role, VERSION};
use friendly_blocklist::ledger::rules::{Refused, Step, next};
use friendly_blocklist::ledger::words::Label;
use friendly_blocklist::person::Person;
use signed_list::release::Class;

use crate::desk::{Desk, people};
use crate::world::{DAY, START, added, approved, case, classified, reason, reported, word};

#[test]
fn a_legal_listing_takes_two_different_keys() {
    let (mut desk, people) = (Desk::new(), people());
    desk.ready("isigurt/1");
    assert_eq!(desk.waits("isigurt/1"), Some(Waiting::Approvals { missing: 2 }));
    desk.fine(&people.besa, approved("isigurt/1", START));
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Approved, false));
    assert_eq!(desk.waits("isigurt/1"), Some(Waiting::Approvals { missing: 1 }));
    assert!(matches!(desk.refused(&people.besa, approved("isigurt/1", START)), Refused::SameApprover(_)));
    for (person, has) in [(&people.analyst, "analyst"), (&people.officer, "officer"), (&people.operator, "operator")] {
        let refused = desk.refused(person, approved("isigurt/1", START)).to_string();
        assert!(refused.contains("takes the role approver") && refused.contains(has), "{refused}");
    }
    assert!(matches!(desk.refused(&people.stranger, approved("isigurt/1", START)), Refused::Stranger(_)));
    desk.fine(&people.cen, approved("isigurt/1", START));
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Listed, true));
    let listing = &desk.books.cases[&case("isigurt/1")].listings[0];
    assert_eq!(listing.approvers, [people.besa.id(), people.cen.id()]);
}

#[test]
fn who_assessed_may_be_one_of_the_two_and_never_both() {
    let (mut desk, people) = (Desk::new(), people());
    for event in [reported("isigurt/1", Class::Legal, "one.test"), Event::Assessed { case: case("isigurt/1") }] {
        desk.fine(&people.all, event);
    }
    desk.fine(&people.all, classified("isigurt/1"));
    desk.fine(&people.all, approved("isigurt/1", START));
    assert!(matches!(desk.refused(&people.all, approved("isigurt/1", START)), Refused::SameApprover(_)));
    desk.fine(&people.second, approved("isigurt/1", START));
    assert!(desk.in_force("isigurt/1"));
}

#[test]
fn an_approval_of_somebody_who_left_counts_no_longer() {
    let (mut desk, people) = (Desk::new(), people());
    desk.ready("isigurt/1");
    desk.fine(&people.besa, approved("isigurt/1", START));
    desk.fine(&people.admin, Event::PersonRetired { person: people.besa.id(), reason: reason() });
    assert!(matches!(desk.refused(&people.besa, approved("isigurt/1", START)), Refused::Retired(_)));
    desk.fine(&people.cen, approved("isigurt/1", START));
    assert!(!desk.in_force("isigurt/1"), "one key that is still registered is not two");
    desk.fine(&people.all, approved("isigurt/1", START));
    assert!(desk.in_force("isigurt/1"));
    assert!(matches!(desk.refused(&people.admin, added(&people.besa, "Besa", &[Role::Approver])), Refused::Retired(_)));
}

#[test]
fn a_listing_ends_by_itself_and_can_be_approved_again_by_two() {
    let (mut desk, people) = (Desk::new(), people());
    desk.ready("isigurt/1");
    for review_by in [START / 1000, START / 1000 + LISTED_AT_MOST + 1] {
        let event = Event::Approved { case: case("isigurt/1"), review_by };
        assert!(matches!(desk.refused(&people.besa, event), Refused::ReviewBy { .. }));
    }
    // The shorter of two wishes counts.
    desk.fine(&people.besa, Event::Approved { case: case("isigurt/1"), review_by: (START + 40 * DAY) / 1000 });
    desk.fine(&people.cen, approved("isigurt/1", START));
    desk.at = START + 9 * DAY;
    assert!(matches!(desk.refused(&people.besa, approved("isigurt/1", desk.at)), Refused::TooEarly { .. }));
    assert_eq!(desk.waits("isigurt/1"), None);
    desk.at = START + 30 * DAY;
    let until = (START + 40 * DAY) / 1000;
    assert_eq!(desk.waits("isigurt/1"), Some(Waiting::Renewal { until, missing: 2 }));
    desk.fine(&people.besa, approved("isigurt/1", desk.at));
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Listed, true));
    assert!(matches!(desk.refused(&people.besa, approved("isigurt/1", desk.at)), Refused::SameApprover(_)));

    desk.at = START + 40 * DAY - 1;
    assert!(desk.in_force("isigurt/1"));
    desk.at += 1;
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Expired, false));
    desk.fine(&people.cen, approved("isigurt/1", desk.at));
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Listed, true));
    let listings = &desk.books.cases[&case("isigurt/1")].listings;
    assert_eq!(listings.len(), 2, "there was a moment without it");
}

#[test]
fn a_renewal_in_time_leaves_no_gap() {
    let (mut desk, people) = (Desk::new(), people());
    desk.listed("isigurt/1");
    desk.at = START + 80 * DAY;
    desk.fine(&people.all, approved("isigurt/1", desk.at));
    desk.fine(&people.second, approved("isigurt/1", desk.at));
    let listings = &desk.books.cases[&case("isigurt/1")].listings;
    assert_eq!(listings.len(), 1);
    assert_eq!(listings[0].review_by, (START + 170 * DAY) / 1000);
    assert_eq!(listings[0].approvers.len(), 4);
}

#[test]
fn one_person_takes_a_name_off_and_a_second_one_looks() {
    let (mut desk, people) = (Desk::new(), people());
    for (id, event) in [
        ("isigurt/1", Event::EmergencyDelisted { case: case("isigurt/1"), reason: reason() }),
        ("isigurt/2", Event::Withdrawn { case: case("isigurt/2"), reason: reason() }),
    ] {
        desk.listed(id);
        desk.fine(&people.besa, event);
        assert_eq!((desk.state(id), desk.in_force(id)), (State::Delisted, false));
        assert_eq!(desk.waits(id), Some(Waiting::SecondLook));
        let reviewed = |outcome| Event::Reviewed { case: case(id), outcome, reason: reason() };
        assert!(matches!(desk.refused(&people.besa, reviewed(Outcome::Confirmed)), Refused::OwnDelisting(_)));
        assert!(matches!(desk.refused(&people.analyst, reviewed(Outcome::Confirmed)), Refused::Role { .. }));
        assert!(matches!(desk.refused(&people.cen, approved(id, START)), Refused::State { .. }));
    }
    let reviewed = |id, outcome| Event::Reviewed { case: case(id), outcome, reason: reason() };
    desk.fine(&people.officer, reviewed("isigurt/1", Outcome::Confirmed));
    assert_eq!(desk.waits("isigurt/1"), None);
    let again = reviewed("isigurt/1", Outcome::Confirmed);
    assert!(matches!(desk.refused(&people.officer, again), Refused::NothingToReview(_)));

    desk.fine(&people.cen, reviewed("isigurt/2", Outcome::Reopened));
    assert_eq!((desk.state("isigurt/2"), desk.in_force("isigurt/2")), (State::Classified, false));
    desk.fine(&people.cen, approved("isigurt/2", START));
    assert!(!desk.in_force("isigurt/2"), "it needs both approvals anew");
    desk.fine(&people.besa, approved("isigurt/2", START));
    assert!(desk.in_force("isigurt/2"));
}

#[test]
fn what_is_gone_at_its_source_leaves_the_list() {
    let (mut desk, people) = (Desk::new(), people());
    desk.listed("isigurt/1");
    let removed = |seen_at| Event::Removed { case: case("isigurt/1"), seen_at };
    assert!(matches!(desk.refused(&people.analyst, removed(START / 1000 + 2 * 86_400)), Refused::Future(_)));
    // On the day before the hotline saw it, it cannot have been gone; on that very day it can.
    let refused = desk.refused(&people.analyst, removed(START / 1000 - 3600 - 86_400));
    assert!(refused.to_string().contains("cannot have been gone"), "{refused}");
    desk.fine(&people.analyst, removed(START / 1000 - 3600));
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Removed, false));
    assert_eq!(desk.waits("isigurt/1"), None);
}

#[test]
fn an_appeal_is_decided_by_an_officer_who_did_not_approve() {
    let (mut desk, people) = (Desk::new(), people());
    let opened = |evident| Event::AppealOpened { case: case("isigurt/1"), evident };
    let upheld = || Event::AppealUpheld { case: case("isigurt/1"), reason: reason() };
    let granted = || Event::AppealDelisted { case: case("isigurt/1"), reason: reason() };
    desk.ready("isigurt/1");
    assert!(matches!(desk.refused(&people.operator, opened(true)), Refused::State { .. }));
    desk.fine(&people.all, approved("isigurt/1", START));
    desk.fine(&people.second, approved("isigurt/1", START));
    desk.fine(&people.operator, opened(true));
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Appealed, true));
    assert_eq!(desk.waits("isigurt/1"), Some(Waiting::Answer { due: START / 1000 + 86_400 }));
    assert!(matches!(desk.refused(&people.all, upheld()), Refused::OwnApproval(_)));
    assert!(matches!(desk.refused(&people.second, granted()), Refused::OwnApproval(_)));
    assert!(matches!(desk.refused(&people.besa, granted()), Refused::Role { .. }));
    desk.fine(&people.officer, upheld());
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Listed, true));
    assert!(matches!(desk.refused(&people.officer, upheld()), Refused::State { .. }));

    desk.fine(&people.operator, opened(false));
    desk.at += DAY;
    desk.fine(&people.third, granted());
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Delisted, false));
    assert_eq!(desk.waits("isigurt/1"), None, "a delisting by appeal needs no second look");

    // An appeal outlives the listing: whoever asked gets an answer.
    desk.listed("isigurt/2");
    desk.fine(&people.operator, Event::AppealOpened { case: case("isigurt/2"), evident: false });
    desk.at += 100 * DAY;
    assert_eq!((desk.state("isigurt/2"), desk.in_force("isigurt/2")), (State::Appealed, false));
    desk.fine(&people.officer, Event::AppealUpheld { case: case("isigurt/2"), reason: reason() });
    assert_eq!(desk.state("isigurt/2"), State::Expired);
}

#[test]
fn lists_of_operator_and_venues_take_one_person() {
    let (mut desk, people) = (Desk::new(), people());
    let id = "operator/1";
    desk.fine(&people.operator, reported(id, Class::Operator, "mal.test"));
    desk.fine(&people.operator, Event::Assessed { case: case(id) });
    let (category, none) = (word("malware"), None);
    desk.fine(
        &people.operator,
        Event::Classified { case: case(id), category, legal_basis: none, legal_reference: None },
    );
    desk.fine(&people.operator, approved(id, START));
    assert!(desk.in_force(id));
    desk.fine(&people.operator, Event::Withdrawn { case: case(id), reason: reason() });
    assert_eq!(desk.waits(id), None);
}

#[test]
fn a_legal_case_needs_attestation_and_ground() {
    let (mut desk, people) = (Desk::new(), people());
    let Event::Reported { case: id, mut facts } = reported("isigurt/1", Class::Legal, "one.test") else {
        unreachable!()
    };
    facts.dedicated_attestation = false;
    let event = Event::Reported { case: id.clone(), facts: facts.clone() };
    assert!(matches!(desk.refused(&people.analyst, event), Refused::NotDedicated(_)));
    facts.dedicated_attestation = true;
    facts.assessed_at = START / 1000 + 2 * 86_400;
    let event = Event::Reported { case: id, facts };
    assert!(matches!(desk.refused(&people.analyst, event), Refused::Future(_)));

    desk.fine(&people.analyst, reported("isigurt/1", Class::Legal, "one.test"));
    desk.fine(&people.analyst, Event::Assessed { case: case("isigurt/1") });
    let event =
        Event::Classified { case: case("isigurt/1"), category: word("csam"), legal_basis: None, legal_reference: None };
    assert!(matches!(desk.refused(&people.analyst, event), Refused::NoGround(_)));
}

#[test]
fn the_register_keeps_its_admin() {
    let (mut desk, people) = (Desk::new(), people());
    let refused = |desk: &mut Desk, event| desk.refused(&people.admin, event);
    let retire = |person: &Person| Event::PersonRetired { person: person.id(), reason: reason() };
    assert!(matches!(refused(&mut desk, retire(&people.admin)), Refused::LastAdmin(_)));
    assert!(matches!(refused(&mut desk, retire(&people.stranger)), Refused::NoPerson(_)));
    assert!(matches!(refused(&mut desk, added(&people.stranger, "X", &[])), Refused::NoRole));
    let both = added(&people.stranger, "X", &[Role::Admin, Role::Approver]);
    assert!(matches!(refused(&mut desk, both), Refused::AdminAlone));
    assert!(matches!(refused(&mut desk, added(&people.stranger, "Besa", &[Role::Approver])), Refused::Namesake { .. }));
    let demoted = added(&people.admin, "admin", &[Role::Officer]);
    assert!(matches!(refused(&mut desk, demoted), Refused::LastAdmin(_)));
    let forged = Event::PersonAdded {
        person: Key { key: people.stranger.public(), proof: people.besa.introduction().proof() },
        label: Label::parse("X").unwrap(),
        roles: vec![Role::Approver],
    };
    assert!(matches!(refused(&mut desk, forged), Refused::Proof));
    assert!(matches!(desk.refused(&people.all, added(&people.stranger, "X", &[Role::Analyst])), Refused::Role { .. }));
    assert!(matches!(desk.refused(&people.admin, reported("a/1", Class::Legal, "a.test")), Refused::Role { .. }));

    desk.fine(&people.admin, added(&people.stranger, "Ilir", &[Role::Admin]));
    desk.fine(&people.stranger, retire(&people.admin));
    assert!(matches!(desk.refused(&people.admin, retire(&people.besa)), Refused::Retired(_)));
}

#[test]
fn a_held_release_passes_when_two_people_say_so() {
    let (mut desk, people) = (Desk::new(), people());
    let (class, hash) = (Class::Legal, [7; 32]);
    let requested = || Event::OverrideRequested { class, hash, reason: reason() };
    let agreed = || Event::OverrideApproved { class, hash, reason: reason() };
    let made = |serial, overridden| Event::Released {
        release: ReleaseRecord {
            class,
            serial,
            epoch: Some(1),
            created: START / 1000,
            entries: 900,
            added: 800,
            removed: 0,
            hash,
            overridden,
        },
    };
    assert!(matches!(desk.refused(&people.besa, agreed()), Refused::NoOverride));
    assert!(matches!(desk.refused(&people.operator, requested()), Refused::Role { .. }));
    desk.fine(&people.besa, requested());
    assert!(matches!(desk.refused(&people.besa, agreed()), Refused::OwnOverride));
    assert!(matches!(desk.refused(&people.operator, made(1, true)), Refused::NotOverridden));
    desk.fine(&people.officer, agreed());
    assert!(matches!(desk.refused(&people.cen, agreed()), Refused::NoOverride));
    desk.fine(&people.operator, made(2, true));
    assert!(matches!(desk.refused(&people.operator, made(2, true)), Refused::Serial { last: 2, .. }));
    assert!(matches!(desk.refused(&people.operator, made(u64::MAX, false)), Refused::Number));
    assert!(matches!(desk.refused(&people.besa, made(3, false)), Refused::Role { .. }));
}

#[test]
fn a_clock_that_was_ahead_is_put_right() {
    let (mut desk, people) = (Desk::new(), people());
    desk.at = START + 365 * DAY;
    desk.listed("isigurt/1");
    let wrong = desk.at;
    desk.at = START + 2 * 60_000;
    assert!(!desk.in_force("isigurt/1"));
    let refused = desk.refused(&people.besa, Event::AppealOpened { case: case("isigurt/1"), evident: false });
    assert!(refused.to_string().contains("correct-clock"), "{refused}");
    assert!(matches!(refused, Refused::Clock { last, .. } if last == wrong));
    assert!(matches!(desk.refused(&people.besa, Event::ClockCorrected { reason: reason() }), Refused::Role { .. }));
    desk.fine(&people.admin, Event::ClockCorrected { reason: reason() });
    assert_eq!((desk.state("isigurt/1"), desk.in_force("isigurt/1")), (State::Listed, true));
    assert!(matches!(desk.refused(&people.admin, Event::ClockCorrected { reason: reason() }), Refused::ClockIsRight));
    desk.at += 90 * DAY;
    assert!(!desk.in_force("isigurt/1"), "it lasts no longer than from the correction");

    let mut desk = Desk::new();
    desk.at -= 60_000;
    desk.fine(&people.analyst, reported("isigurt/1", Class::Legal, "one.test"));
    let mut early = Books::default();
    let founded = Event::Founded {
        scheme: word("al"),
        admin: Key::from(&people.admin.introduction()),
        label: Label::parse("admin").unwrap(),
    };
    let entry = Entry { version: VERSION, number: 1, at: 86_400_000, by: people.admin.id(), event: founded };
    assert!(early.enter(&entry).unwrap_err().to_string().contains("1970-01-02"));
}

#[test]
fn the_table_of_transitions_is_the_one_that_was_drawn() {
    // Every state, and where each step leads from it; what is not here is refused.
    let drawn: &[(State, &[(Step, State)])] = &[
        (
            State::Reported,
            &[
                (Step::Assess, State::Assessed),
                (Step::Reject, State::Rejected),
                (Step::Withdraw, State::Withdrawn),
                (Step::SeeRemoved, State::Removed),
            ],
        ),
        (
            State::Assessed,
            &[
                (Step::Classify, State::Classified),
                (Step::Reject, State::Rejected),
                (Step::Withdraw, State::Withdrawn),
                (Step::SeeRemoved, State::Removed),
            ],
        ),
        (
            State::Classified,
            &[
                (Step::Classify, State::Classified),
                (Step::Approve, State::Approved),
                (Step::List, State::Listed),
                (Step::Reject, State::Rejected),
                (Step::Withdraw, State::Withdrawn),
                (Step::SeeRemoved, State::Removed),
            ],
        ),
        (
            State::Approved,
            &[
                (Step::Approve, State::Approved),
                (Step::List, State::Listed),
                (Step::Reject, State::Rejected),
                (Step::Withdraw, State::Withdrawn),
                (Step::SeeRemoved, State::Removed),
            ],
        ),
        (
            State::Listed,
            &[
                (Step::Approve, State::Listed),
                (Step::List, State::Listed),
                (Step::Withdraw, State::Delisted),
                (Step::SeeRemoved, State::Removed),
                (Step::EmergencyDelist, State::Delisted),
                (Step::Appeal, State::Appealed),
            ],
        ),
        (
            State::Appealed,
            &[
                (Step::Withdraw, State::Delisted),
                (Step::SeeRemoved, State::Removed),
                (Step::EmergencyDelist, State::Delisted),
                (Step::Uphold, State::Listed),
                (Step::Grant, State::Delisted),
            ],
        ),
        (
            State::Expired,
            &[
                (Step::Approve, State::Expired),
                (Step::List, State::Listed),
                (Step::Withdraw, State::Delisted),
                (Step::SeeRemoved, State::Removed),
            ],
        ),
        (State::Delisted, &[(Step::Confirm, State::Delisted), (Step::Reopen, State::Classified)]),
        (State::Removed, &[]),
        (State::Rejected, &[]),
        (State::Withdrawn, &[]),
    ];
    assert_eq!(drawn.len(), State::ALL.len());
    for (state, steps) in drawn {
        for step in Step::ALL {
            let expected = steps.iter().find(|(drawn, _)| *drawn == step).map(|(_, to)| *to);
            assert_eq!(next(*state, step), expected, "{state:?} {step:?}");
        }
    }
}
