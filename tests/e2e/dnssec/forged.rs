//! An upstream that changes what the lab says, in ways that validators have
//! fallen for: nothing it makes up is ever an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use domain::base::iana::Rtype;

use super::lab::Lab;
use super::strict;
use crate::client::{self, AD, Ask, NOERROR, SERVFAIL, wire_name};
use crate::liar::{Deed, Liar, Saying, Seen};
use crate::world::{ANSWER, World, eventually};

/// What the lab says to a question as it came.
pub(super) fn genuine(lab: SocketAddr, question: &[u8]) -> Vec<u8> {
    let answers = client::tcp([127, 0, 0, 1], lab, &[question.to_vec()], 1, ANSWER);
    answers.into_iter().next().expect("the lab answers")
}

/// What the lab says to another question, as if it had been this one. Names of
/// the same length keep all pointers right.
fn replayed(lab: SocketAddr, seen: &Seen, name: &str, qtype: Rtype) -> Vec<u8> {
    let (mine, other) = (wire_name(&seen.name), wire_name(name));
    assert_eq!(mine.len(), other.len(), "{name} and {}", seen.name);
    let end = 12 + mine.len();
    let mut question = seen.octets.clone();
    question[12..end].copy_from_slice(&other);
    question[end..end + 2].copy_from_slice(&qtype.to_int().to_be_bytes());
    let mut answer = genuine(lab, &question);
    answer[12..end + 2].copy_from_slice(&seen.octets[12..end + 2]);
    answer
}

/// An address that nobody signed, with a signature that claims to be of `signer`.
fn signed_by(seen: &Seen, signer: &str) -> Vec<u8> {
    let mut data = vec![0, 1, 13, 3, 0, 0, 1, 44];
    data.extend_from_slice(&i32::MAX.to_be_bytes());
    data.extend_from_slice(&[0x60, 0, 0, 0, 0x12, 0x34]);
    data.extend_from_slice(&wire_name(signer));
    data.extend_from_slice(&[7; 64]);
    Saying::to(seen).record("@", Rtype::A, 300, &[203, 0, 113, 6]).record("@", Rtype::RRSIG, 300, &data).done()
}

fn unsigned(seen: &Seen) -> Vec<u8> {
    Saying::to(seen).record("@", Rtype::A, 300, &[203, 0, 113, 6]).done()
}

/// What the forger says.
fn forged(lab: SocketAddr, seen: &Seen) -> Vec<u8> {
    match (seen.name.as_str(), seen.qtype) {
        ("www.nothing-13-nsec.lab", _) => unsigned(seen),
        // The signer is unsigned by right, and does not hold the name.
        ("mail.nothing-13-nsec.lab", _) => signed_by(seen, "u.nothing-13-nsec.lab"),
        ("alias.nothing-13-nsec.lab", _) => signed_by(seen, "lab"),
        ("mail.nothing-14-nsec3.lab", _) => signed_by(seen, "mail.nothing-14-nsec3.lab"),
        // Proofs of something else.
        ("mail.nothing-8-nsec.lab", _) => replayed(lab, seen, "nope.nothing-8-nsec.lab", seen.qtype),
        ("mail.nothing-8-nsec3.lab", _) => replayed(lab, seen, "nope.nothing-8-nsec3.lab", seen.qtype),
        ("www.nothing-14-nsec.lab", Rtype::AAAA) => replayed(lab, seen, "www.nothing-14-nsec.lab", Rtype::MX),
        ("other.wild.nothing-13-nsec3.lab", _) => replayed(lab, seen, "qther.wild.nothing-13-nsec3.lab", Rtype::TXT),
        ("other.wild.nothing-14-nsec3.lab", _) => replayed(lab, seen, "qther.wild.nothing-14-nsec3.lab", Rtype::TXT),
        // The gap behind a delegation, as the zone above sees it (RFC 6840 section 4.1).
        ("www.nothing-14-optout.lab", _) => replayed(lab, seen, "nothing-14-optoutaaaa.lab", seen.qtype),
        // A zone made to look unsigned: by nothing, and by a proof for another one.
        ("nothing-15-nsec.lab", Rtype::DS) => Saying::to(seen).soa(300).done(),
        ("www.nothing-15-nsec.lab", _) => unsigned(seen),
        ("nothing-15-nsec3.lab", Rtype::DS) => replayed(lab, seen, "nothing-99-nsec3.lab", Rtype::DS),
        ("www.nothing-15-nsec3.lab", _) => unsigned(seen),
        ("nothing-15-optout.lab", Rtype::DNSKEY) => Saying::to(seen).soa(300).done(),
        // The response code is not signed: "no such name" over a good answer.
        ("www.nothing-14-nsec3.lab", Rtype::A) => {
            let mut answer = genuine(lab, &seen.octets);
            answer[3] |= 3;
            answer
        }
        // Something of its own beside what is good, and a longer life.
        ("www.nothing-8-optout.lab", _) => {
            let mut answer = genuine(lab, &seen.octets);
            let at = 12 + wire_name(&seen.name).len() + 4;
            answer[at + 6..at + 10].copy_from_slice(&[0, 1, 0x51, 0x80]);
            let extra = [&wire_name("bank.example")[..], &[0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 203, 0, 113, 6]].concat();
            answer.splice(at..at, extra);
            answer[7] += 1;
            answer
        }
        _ => genuine(lab, &seen.octets),
    }
}

#[test]
fn a_forger_gains_nothing() {
    let world = World::new();
    let lab = Lab::start(&world);
    let upstream = lab.upstream.address;
    let forger = Liar::behaving(world.upstream(4), move |seen| Deed::Say(vec![forged(upstream, seen)]));
    let resolver = world.start(&[forger.address()], &strict(&lab, ""));
    for (name, rtype, error) in [
        ("www.nothing-13-nsec.lab", Rtype::A, 10),
        ("mail.nothing-13-nsec.lab", Rtype::A, 10),
        ("alias.nothing-13-nsec.lab", Rtype::A, 9),
        ("mail.nothing-14-nsec3.lab", Rtype::A, 10),
        ("www.nothing-14-nsec3.lab", Rtype::A, 6),
        ("mail.nothing-8-nsec.lab", Rtype::MX, 12),
        ("mail.nothing-8-nsec3.lab", Rtype::MX, 12),
        ("www.nothing-14-nsec.lab", Rtype::AAAA, 12),
        ("other.wild.nothing-13-nsec3.lab", Rtype::TXT, 12),
        ("other.wild.nothing-14-nsec3.lab", Rtype::TXT, 12),
        ("www.nothing-14-optout.lab", Rtype::A, 12),
        ("www.nothing-15-nsec.lab", Rtype::A, 10),
        ("www.nothing-15-nsec3.lab", Rtype::A, 12),
        ("www.nothing-15-optout.lab", Rtype::A, 9),
    ] {
        for ask in [Ask::new(name, rtype), Ask::new(name, rtype).dnssec_ok()] {
            let reply = resolver.ask(&ask);
            assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![error]), "{name}: {reply}");
            assert!(reply.answer.is_empty() && reply.flags & AD == 0, "{name}: {reply}");
        }
    }
    // What is not proven does not ride on what is, and nothing lives longer than it was signed for.
    for ask in [Ask::a("www.nothing-8-optout.lab"), Ask::a("www.nothing-8-optout.lab").dnssec_ok()] {
        let reply = resolver.ask(&ask.flags(AD));
        assert_eq!((reply.rcode, reply.data(Rtype::A)), (NOERROR, vec!["192.0.2.2"]), "{reply}");
        assert!(reply.flags & AD != 0 && reply.answer.iter().all(|record| record.ttl <= 300), "{reply}");
    }
    // A zone that was made to look unsigned is none for the question after, either.
    assert_eq!(resolver.ask(&Ask::a("mail.nothing-15-nsec.lab")).rcode, SERVFAIL);
}

#[test]
fn what_became_bogus_is_not_answered_from_before() {
    let world = World::new();
    let lab = Lab::start(&world);
    let (upstream, forging) = (lab.upstream.address, Arc::new(AtomicBool::new(false)));
    let switch = forging.clone();
    let forger = Liar::behaving(world.upstream(4), move |seen| {
        let name = seen.name == "www.nothing-13-nsec.lab";
        let answer = if name && switch.load(SeqCst) { unsigned(seen) } else { genuine(upstream, &seen.octets) };
        Deed::Say(vec![answer])
    });
    let settings = strict(&lab, "[cache]\nmax_ttl = 1\nprefetch = false\n");
    let resolver = world.start(&[forger.address()], &settings);
    let ask = Ask::a("www.nothing-13-nsec.lab").dnssec_ok();
    assert_eq!(resolver.ask(&ask).rcode, NOERROR);
    forging.store(true, SeqCst);
    assert!(eventually(Duration::from_secs(10), || resolver.ask(&ask).rcode == SERVFAIL));
    let asked = forger.seen_of("www.nothing-13-nsec.lab").len();
    for _ in 0..3 {
        assert_eq!(resolver.ask(&ask).ede(), [10]);
    }
    assert_eq!(forger.seen_of("www.nothing-13-nsec.lab").len(), asked, "it is remembered");
    assert_eq!(resolver.outcome("stale"), 0);
}

#[test]
fn one_zone_that_is_silent_holds_nobody() {
    let world = World::new();
    let lab = Lab::start(&world);
    let upstream = lab.upstream.address;
    let relay = Liar::behaving(world.upstream(4), move |seen| match (seen.name.as_str(), seen.qtype) {
        ("nothing-13-nsec.lab", Rtype::DS) => Deed::Silence,
        _ => Deed::Say(vec![genuine(upstream, &seen.octets)]),
    });
    let resolver = world.start(&[relay.address()], &strict(&lab, ""));
    std::thread::scope(|scope| {
        let held = scope.spawn(|| resolver.ask(&Ask::a("www.nothing-13-nsec.lab")));
        let asked = || !relay.seen_of("nothing-13-nsec.lab").is_empty();
        assert!(eventually(ANSWER, asked), "the chain of trust is followed");
        for name in ["www.nothing-8-nsec.lab", "www.nothing-14-nsec3.lab", "www.u.nothing-15-optout.lab"] {
            assert_eq!(resolver.ask(&Ask::a(name)).rcode, NOERROR, "{name}");
        }
        assert!(!held.is_finished(), "others were answered meanwhile");
        let reply = held.join().expect("an answer");
        assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
    });
    let indeterminate = "dnssec_answers_total{state=\"indeterminate\"}";
    assert_eq!(resolver.metric(indeterminate), 1);
}
