//! Upstreams that say what is wrong, malformed, or too much.

use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use crate::client::{self, Ask, NOERROR, SERVFAIL, TC, wire_name};
use crate::liar::{Deed, Liar, Saying, Seen, honest};
use crate::world::{ANSWER, World, eventually};

/// For tests in which no good answer comes.
const SHORT: &str = "[upstream]\ntry_timeout_ms = 200\ndeadline_ms = 1500\n";
const MOST: Duration = Duration::from_secs(5);

fn truth(seen: &Seen) -> Vec<u8> {
    honest(seen)
}

/// An answer that nobody must believe.
fn lie(seen: &Seen) -> Saying {
    Saying::to(seen).record("@", Rtype::A, 300, &[203, 0, 113, 66])
}

/// The same, about another name.
fn lie_about(name: &str, seen: &Seen) -> Vec<u8> {
    let mut other = seen.clone();
    other.octets = [&seen.octets[..12], &wire_name(name), &[0, 1, 0, 1]].concat();
    lie(&other).done()
}

#[test]
fn f5_wrong_ids_questions_and_kinds_are_ignored_and_the_right_answer_is_taken() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let mut question = lie(seen).done();
        question[2] &= 0x7f;
        let mut notify = lie(seen).done();
        notify[2] |= 0x20;
        let mut other_type = lie(seen).done();
        let end = 12 + wire_name(&seen.name).len();
        other_type[end + 1] = 28;
        let wrong_id = lie(seen).id(seen.id ^ 1).done();
        let wrong_name = lie_about("other.example", seen);
        Deed::Say(vec![wrong_id, wrong_name, other_type, question, notify, Vec::new(), truth(seen)])
    });
    let daemon = world.start(&[upstream.address()], "");
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{reply}");
    assert_eq!(upstream.count(), 1, "the first exchange succeeded");
    assert_eq!(daemon.metric("upstream_mismatches_total"), 6);
    upstream.behave(|seen| Deed::Say(vec![truth(seen)]));
    let other = daemon.ask(&Ask::a("other.example"));
    assert_eq!(other.data(Rtype::A), ["198.18.0.7"], "nothing was remembered of the lies: {other}");
}

#[test]
fn f5_answers_from_other_ports_and_addresses_are_ignored() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        Deed::FromElsewhere([lie(seen).done(), lie(seen).done(), truth(seen)])
    });
    let daemon = world.start(&[upstream.address()], "");
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{reply}");
}

#[test]
fn f5_lies_alone_are_no_answer() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| Deed::Say(vec![lie(seen).id(seen.id ^ 0x8000).done()]));
    let daemon = world.start(&[upstream.address()], SHORT);
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
    assert!(reply.answer.is_empty());
    assert!(daemon.metric("upstream_mismatches_total") >= 2);
}

#[test]
fn f8_answers_that_are_always_cut_end_in_servfail_and_not_in_a_loop() {
    let world = World::new();
    let cut = |seen: &Seen| Deed::Say(vec![Saying::to(seen).flags(TC).done()]);
    // TCP port closed; TCP open, but silent.
    let closed = Liar::over_udp(world.upstream(1), cut);
    let daemon = world.start(&[closed.address()], "");
    let begin = Instant::now();
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![23]), "{reply}");
    assert!(begin.elapsed() < MOST && closed.count() <= 10, "{} tries in {:?}", closed.count(), begin.elapsed());
    drop(daemon);

    let world = World::new();
    let open = Liar::behaving(world.upstream(1), move |seen| if seen.tcp { Deed::Silence } else { cut(seen) });
    let daemon = world.start(&[open.address()], SHORT);
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.answer.len()), (SERVFAIL, 0), "{reply}");
    assert!(open.seen().iter().any(|seen| seen.tcp), "it was asked over TCP");
    assert!(open.count() <= 20, "{} tries", open.count());
}

#[test]
fn f9_tcp_that_is_reset_half_or_dripping_ends_and_leaves_nothing_open() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| match (seen.tcp, seen.name.as_str()) {
        (false, "good.example") => Deed::Say(vec![truth(seen)]),
        (false, _) => Deed::Say(vec![Saying::to(seen).flags(TC).done()]),
        (true, "reset.example") => Deed::Reset,
        (true, "half.example") => Deed::Raw(client::framed(&truth(seen))[..30].to_vec()),
        (true, "empty.example") => Deed::Raw(vec![0, 0]),
        (true, "wrong.example") => Deed::Raw(client::framed(&lie(seen).id(seen.id ^ 1).done())),
        (true, _) => Deed::Drip(truth(seen)),
    });
    let daemon = world.start(&[upstream.address()], SHORT);
    assert_eq!(daemon.ask(&Ask::a("good.example")).rcode, NOERROR);
    let descriptors = daemon.descriptors();
    for name in ["reset", "half", "empty", "wrong", "drip"] {
        let begin = Instant::now();
        let reply = daemon.ask(&Ask::a(&format!("{name}.example")));
        assert_eq!((reply.rcode, reply.answer.len()), (SERVFAIL, 0), "{name}: {reply}");
        assert!(begin.elapsed() < MOST, "{name} took {:?}", begin.elapsed());
        let over_tcp = upstream.seen_of(&format!("{name}.example")).iter().filter(|seen| seen.tcp).count();
        assert!(over_tcp >= 1, "{name} was asked over TCP");
    }
    assert!(eventually(MOST, || daemon.descriptors() <= descriptors + 1), "{} stay open", daemon.descriptors());
    let reply = daemon.ask(&Ask::new("good.example", Rtype::AAAA));
    assert_eq!(reply.rcode, NOERROR, "{reply}");
}

#[test]
fn f10_malformed_answers_are_neither_passed_on_nor_kept() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let good = || lie(seen).without_opt().done();
        let end = 12 + wire_name(&seen.name).len() + 4;
        let with = |records: &[u8]| [&good()[..end], records].concat();
        let broken = match seen.name.split('.').next().unwrap_or_default() {
            // More records than there are.
            "counts" => [&good()[..6], &[0xff; 6], &good()[12..]].concat(),
            // An owner that is a pointer to itself, ahead, into the header, and
            // an endless chain.
            "self" => with(&[0xc0, end as u8, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 1, 2, 3, 4]),
            "ahead" => with(&[0xc0, end as u8 + 2, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 1, 2, 3, 4]),
            "header" => with(&[0xc0, 0, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 1, 2, 3, 4]),
            "loop" => with(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 44, 0, 4, 1, b'x', 0xc0, end as u8 + 12]),
            // Data longer than the message, shorter than its type, a name that
            // ends outside its record.
            "long" => with(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0xff, 0xff, 1, 2, 3, 4]),
            "short" => with(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 3, 1, 2, 3]),
            "outside" => with(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 44, 0, 1, 3, b'c', b'o', b'm', 0]),
            // An HTTPS record with a half hint, an unknown label type, two OPT.
            "hint" => with(&[0xc0, 12, 0, 65, 0, 1, 0, 0, 1, 44, 0, 9, 0, 1, 0, 0, 4, 0, 2, 1, 2]),
            "label" => with(&[0x41, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 1, 2, 3, 4]),
            "opts" => {
                let opt = [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0];
                let mut message = [good(), opt.to_vec(), opt.to_vec()].concat();
                message[11] = 2;
                message
            }
            name => panic!("'{name}' is not among the broken answers"),
        };
        Deed::Say(vec![broken])
    });
    let mut daemon = world.start(&[upstream.address()], SHORT);
    let names = ["counts", "self", "ahead", "header", "loop", "long", "short", "outside", "hint", "label", "opts"];
    for name in names {
        for ask in [Ask::a(&format!("{name}.example")), Ask::new(&format!("{name}.example"), Rtype::HTTPS)] {
            let reply = daemon.ask(&ask);
            assert_eq!((reply.rcode, reply.ede(), reply.answer.len()), (SERVFAIL, vec![23], 0), "{name}: {reply}");
        }
    }
    assert!(daemon.is_alive());
    upstream.behave(|seen| Deed::Say(vec![truth(seen)]));
    assert_eq!(daemon.ask(&Ask::a("after.example")).rcode, NOERROR);
    // What is kept is that it failed, for five seconds, and nothing of the answer.
    for name in names {
        let good = || daemon.ask(&Ask::a(&format!("{name}.example"))).data(Rtype::A) == ["198.18.0.7"];
        assert!(eventually(2 * MOST, good), "{name} is not asked for again");
    }
    assert_eq!(daemon.outcome("fault"), 0);
}

#[test]
fn f10_random_octets_do_no_harm() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        // A good answer with a few octets spoiled, another place each time.
        let mut dice = seen.turn as u64 + 1;
        let mut roll = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize
        };
        let good = Saying::to(seen).record("@", Rtype::CNAME, 300, &wire_name("alias.example"));
        let mut message = good.record("alias.example", Rtype::A, 300, &[198, 18, 0, 7]).soa(30).done();
        for _ in 0..1 + roll() % 4 {
            let at = 2 + roll() % (message.len() - 2);
            message[at] = roll() as u8;
        }
        message.truncate(message.len() - (roll() % 8) / 7 * (roll() % 40));
        Deed::Say(vec![message, truth(seen)])
    });
    let mut daemon = world.start(&[upstream.address()], SHORT);
    let packets = (0..3000).map(|n| Ask::a(&format!("fuzz{n}.example")).packet());
    let replies = client::many(world.address(10), daemon.address, packets, 50, ANSWER);
    assert_eq!(replies.len(), 3000, "every question is answered");
    assert!(daemon.is_alive());
    assert_eq!(daemon.outcome("fault"), 0);
    let resolved = daemon.outcome("resolved");
    assert!(resolved > 500, "many were answered in spite of it: {resolved}");
}

#[test]
fn f12_b7_upstreams_are_told_1232_and_larger_answers_come_over_tcp() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        if !seen.tcp {
            return Deed::Say(vec![Saying::to(seen).flags(TC).done()]);
        }
        let many = (0..200u8).fold(Saying::to(seen), |saying, n| saying.record("@", Rtype::A, 300, &[198, 18, 1, n]));
        Deed::Say(vec![many.done()])
    });
    let daemon = world.start(&[upstream.address()], "");
    let reply = daemon.ask_tcp(&Ask::a("many.example"));
    assert_eq!((reply.rcode, reply.answer.len()), (NOERROR, 200), "{reply}");
    let seen = upstream.seen();
    assert_eq!(seen.iter().map(|seen| seen.tcp).collect::<Vec<_>>(), [false, true]);
    for seen in &seen {
        let opt = seen.opt.as_ref().expect("EDNS is used");
        assert_eq!((opt.payload, opt.dnssec_ok, opt.options), (1232, false, 0));
    }
    // Over UDP the client gets no more than it takes, and the hint to use TCP.
    for (ask, most) in [(Ask::a("many.example"), 1232), (Ask::a("many.example").payload(4096), 1232)] {
        let reply = daemon.ask(&ask);
        assert!(reply.is_cut() && reply.octets.len() <= most && reply.answer.is_empty(), "{reply}");
    }
    let reply = daemon.ask(&Ask::a("many.example").plain());
    assert!(reply.is_cut() && reply.octets.len() <= 512 && !reply.has_opt, "{reply}");
}

/// A message filled up to this length.
fn filled(saying: impl Fn() -> Saying, length: usize) -> Vec<u8> {
    let text = vec![b'x'; length - saying().record("@", Rtype::TXT, 300, &[]).done().len()];
    let pieces = text.chunks(256).flat_map(|part| [&[(part.len() - 1) as u8], &part[1..]].concat());
    saying().record("@", Rtype::TXT, 300, &pieces.collect::<Vec<u8>>()).done()
}

#[test]
fn b7_a_larger_answer_than_was_asked_for_is_not_believed_but_asked_for_over_tcp() {
    let world = World::new();
    // Does not care what was asked for; says so much over UDP as its name has in it.
    let stubborn = |seen: &Seen| {
        let label = seen.name.split('.').next().unwrap_or_default();
        let old = label.starts_with("old");
        Deed::Say(vec![match label.trim_start_matches(|c: char| !c.is_ascii_digit()).parse() {
            _ if seen.tcp => truth(seen),
            _ if old && seen.opt.is_some() => Saying::to(seen).rcode(1).without_opt().done(),
            Ok(size) => filled(|| lie(seen), size),
            Err(_) => truth(seen),
        }])
    };
    let upstream = Liar::behaving(world.upstream(1), stubborn);
    let daemon = world.start(&[upstream.address()], "");
    // At the limit and beyond it, with EDNS and without.
    for (name, believed) in [
        ("size400.example", true),
        ("size1232.example", true),
        ("size1233.example", false),
        ("size4000.example", false),
        ("size9000.example", false),
        ("old512.example", true),
        ("old513.example", false),
        ("old1232.example", false),
    ] {
        let reply = daemon.ask_tcp(&Ask::a(name));
        let address = if believed { "203.0.113.66" } else { "198.18.0.7" };
        assert_eq!(reply.data(Rtype::A), [address], "{name}: {reply}");
        assert_eq!(upstream.seen_of(name).iter().filter(|seen| seen.tcp).count(), usize::from(!believed), "{name}");
    }
    drop(daemon);
    // Without TCP there is nothing to be believed.
    let upstream = Liar::over_udp(world.upstream(2), stubborn);
    let daemon = world.start(&[upstream.address()], SHORT);
    let reply = daemon.ask(&Ask::a("size1233.example"));
    assert_eq!((reply.rcode, reply.answer.len()), (SERVFAIL, 0), "{reply}");
}

#[test]
fn b8_ids_and_source_ports_cannot_be_guessed() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], "");
    const COUNT: usize = 5000;
    let packets = (0..COUNT).map(|n| Ask::a(&format!("guess{n}.example")).packet());
    let replies = client::many(world.address(10), daemon.address, packets, 64, ANSWER);
    assert_eq!(replies.len(), COUNT);
    let seen = upstream.seen();
    assert!(seen.len() >= COUNT);
    // Both octets of the id: chi-square with 255 degrees of freedom has mean
    // 255 and deviation 22.6; 400 is more than six deviations away.
    for shift in [0, 8] {
        let mut bins = [0f64; 256];
        seen.iter().for_each(|seen| bins[usize::from(seen.id >> shift & 0xff)] += 1.0);
        let expected = seen.len() as f64 / 256.0;
        let chi: f64 = bins.iter().map(|bin| (bin - expected).powi(2) / expected).sum();
        assert!(chi < 400.0, "ids >> {shift} are uneven: chi-square {chi}");
    }
    let near = |a: u16, b: u16| a.wrapping_sub(b).wrapping_add(16) < 32;
    let successors =
        |value: fn(&Seen) -> u16| seen.windows(2).filter(|pair| near(value(&pair[0]), value(&pair[1]))).count();
    assert!(successors(|seen| seen.id) < COUNT / 100, "ids follow each other");
    assert!(successors(|seen| seen.from.port()) < COUNT / 50, "ports follow each other");
    let mut ports: Vec<u16> = seen.iter().map(|seen| seen.from.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    // 5,000 random draws of some 28,000 ports are 4,580 different ones.
    assert!(ports.len() > COUNT * 8 / 10, "only {} different ports", ports.len());
    assert!(ports[ports.len() - 1] - ports[0] > 20_000, "ports of a small range");
}

#[test]
fn b9_a_forged_formerr_does_not_take_edns_away() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let forged = Saying::to(seen).id(seen.id ^ 7).rcode(1).without_opt().done();
        Deed::Say(vec![forged, truth(seen)])
    });
    let daemon = world.start(&[upstream.address()], "");
    for n in 0..3 {
        assert_eq!(daemon.ask(&Ask::a(&format!("edns{n}.example"))).rcode, NOERROR);
    }
    let seen = upstream.seen();
    assert!(seen.len() == 3 && seen.iter().all(|seen| seen.opt.is_some()), "every question has an OPT record");
}

#[test]
fn a_server_from_before_edns_is_asked_again_without_it_each_time() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        if seen.opt.is_some() {
            // Some answer with a bare header.
            let whole = Saying::to(seen).rcode(1).without_opt().done();
            let bare = [&whole[..4], &[0; 8]].concat();
            return Deed::Say(vec![if seen.name.starts_with("bare") { bare } else { whole }]);
        }
        Deed::Say(vec![truth(seen)])
    });
    let daemon = world.start(&[upstream.address()], "");
    for name in ["old.example", "bare.example"] {
        let reply = daemon.ask(&Ask::a(name));
        assert_eq!((reply.rcode, reply.has_opt), (NOERROR, true), "{reply}");
        let edns: Vec<_> = upstream.seen_of(name).iter().map(|seen| seen.opt.is_some()).collect();
        assert_eq!(edns, [true, false], "{name}");
    }
}

#[test]
fn errors_of_an_upstream_lead_to_the_next_one_and_its_reasons_reach_the_client() {
    let world = World::new();
    let poor = Liar::behaving(world.upstream(1), |seen| {
        let saying = Saying::to(seen);
        Deed::Say(vec![match seen.name.split('.').next().unwrap_or_default() {
            "refused" => saying.rcode(5).ede(18, "not for you").done(),
            "badvers" => saying.done_with(1),
            _ => saying.rcode(2).ede(9, "no such key").done(),
        }])
    });
    let daemon = world.start(&[poor.address()], SHORT);
    let reply = daemon.ask(&Ask::a("servfail.example"));
    assert_eq!((reply.rcode, reply.errors.clone()), (SERVFAIL, vec![(9, "no such key".to_owned())]), "{reply}");
    let reply = daemon.ask(&Ask::a("refused.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
    assert_eq!(daemon.ask(&Ask::a("badvers.example")).rcode, SERVFAIL);
    drop(daemon);

    let good = Liar::start(world.upstream(2));
    let daemon = world.start(&[poor.address(), good.address()], SHORT);
    for name in ["servfail.example", "refused.example"] {
        let reply = daemon.ask(&Ask::a(name));
        assert_eq!((reply.rcode, reply.ede()), (NOERROR, Vec::new()), "{name}: {reply}");
    }
}

#[test]
fn answers_that_come_twice_are_passed_on_once() {
    let world = World::new();
    let upstream =
        Liar::behaving(world.upstream(1), |seen| Deed::Say(vec![truth(seen), truth(seen), lie(seen).done()]));
    let daemon = world.start(&[upstream.address()], "");
    let socket = client::socket(world.address(10), daemon.address);
    socket.send(&Ask::a("twice.example").packet()).expect("loopback works");
    let mut buffer = [0; 2048];
    socket.set_read_timeout(Some(ANSWER)).expect("sockets take time-outs");
    socket.recv(&mut buffer).expect("an answer");
    // Answers to one socket keep their order: the next is that to another question.
    let next = Ask::a("next.example").packet();
    socket.send(&next).expect("loopback works");
    socket.recv(&mut buffer).expect("an answer");
    assert_eq!(buffer[..2], next[..2], "the first question was answered twice");
    assert_eq!(daemon.ask(&Ask::a("twice.example")).data(Rtype::A), ["198.18.0.7"]);
}

#[test]
fn b5_records_about_other_names_are_not_remembered() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        if seen.name == "sibling.example" {
            return Deed::Say(vec![truth(seen)]);
        }
        let saying = Saying::to(seen).record("@", Rtype::A, 300, &[198, 18, 0, 7]);
        let saying = saying.record("sibling.example", Rtype::A, 300, &[203, 0, 113, 66]);
        let saying = saying.authority().record("example", Rtype::NS, 300, &wire_name("ns.attacker.example"));
        let saying = saying.additional().record("ns.attacker.example", Rtype::A, 300, &[203, 0, 113, 66]);
        Deed::Say(vec![saying.done()])
    });
    let daemon = world.start(&[upstream.address()], "");
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
    assert_eq!(daemon.ask(&Ask::a("sibling.example")).data(Rtype::A), ["198.18.0.7"]);
    assert_eq!(daemon.ask(&Ask::a("ns.attacker.example")).rcode, NOERROR);
    for name in ["sibling.example", "ns.attacker.example"] {
        assert_eq!(upstream.seen_of(name).len(), 1, "{name} was asked for");
    }
}

#[test]
fn f10_another_upstream_is_asked_when_an_answer_is_broken_or_of_no_use() {
    let world = World::new();
    let poor = Liar::behaving(world.upstream(1), |seen| {
        Deed::Say(vec![match seen.name.split('.').next().unwrap_or_default() {
            "badvers" => Saying::to(seen).done_with(1),
            "refused" => Saying::to(seen).rcode(5).done(),
            _ => {
                let mut broken = truth(seen);
                // One more answer than there is.
                broken[7] += 1;
                broken
            }
        }])
    });
    let good = Liar::behaving(world.upstream(2), |seen| Deed::Say(vec![truth(seen)]));
    let daemon = world.start(&[poor.address(), good.address()], "");
    for round in 0..20 {
        for kind in ["badvers", "refused", "broken"] {
            let reply = daemon.ask(&Ask::a(&format!("{kind}.r{round}.example")));
            assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{kind}: {reply}");
        }
    }
    assert!(poor.count() > 0, "the poor one was asked, too");
}
