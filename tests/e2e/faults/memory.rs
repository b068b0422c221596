//! The cache: times to live, what is served while upstreams fail, and how few
//! questions reach them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use crate::client::{self, AD, Ask, CD, NOERROR, NXDOMAIN, Reply, SERVFAIL};
use crate::liar::{Deed, Liar, Saying, Seen, honest, silence};
use crate::world::{ANSWER, World, eventually};

const PATIENCE: Duration = Duration::from_secs(6);

/// Address `last`, for `ttl` seconds.
fn a(seen: &Seen, ttl: u32, last: u8) -> Deed {
    Deed::Say(vec![Saying::to(seen).record("@", Rtype::A, ttl, &[198, 18, 0, last]).done()])
}

#[test]
fn p5_during_an_outage_old_answers_are_served_with_ttl_30_and_their_reason() {
    let world = World::new();
    let short = |seen: &Seen| match seen.name.starts_with("nx") {
        true => Deed::Say(vec![Saying::to(seen).rcode(3).soa(1).done()]),
        false => a(seen, 1, 7),
    };
    let upstream = Liar::behaving(world.upstream(1), short);
    let daemon = world.start(&[upstream.address()], "[cache]\nstale_wait_ms = 200\n");
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
    assert_eq!(daemon.ask(&Ask::a("nx.example")).rcode, NXDOMAIN);
    upstream.behave(silence);
    let mut reply: Option<Reply> = None;
    let mut stale = |name: &str, code| {
        let serves = || {
            reply = Some(daemon.ask(&Ask::a(name)));
            reply.as_ref().is_some_and(|reply| reply.ede() == [code])
        };
        assert!(eventually(PATIENCE, serves), "{name} is served stale");
        reply.take().expect("asked")
    };
    let old = stale("www.example", 3);
    assert_eq!((old.rcode, old.data(Rtype::A), old.answer[0].ttl), (NOERROR, vec!["198.18.0.7"], 30), "{old}");
    let old = stale("nx.example", 19);
    assert_eq!((old.rcode, old.authority[0].ttl), (NXDOMAIN, 30), "{old}");
    assert!(daemon.outcome("stale") >= 2);
    // A client without EDNS gets the answer without the reason.
    let plain = daemon.ask(&Ask::a("www.example").plain());
    assert!(!plain.has_opt && plain.answer[0].ttl == 30, "{plain}");
    // The attempt behind the stale answer goes on, and finds the upstream back.
    upstream.behave(|seen| a(seen, 300, 8));
    let fresh = || daemon.ask(&Ask::a("www.example")).data(Rtype::A) == ["198.18.0.8"];
    assert!(eventually(PATIENCE, fresh), "the fresh answer is served");
    let reply = daemon.ask(&Ask::a("www.example"));
    assert!(reply.ede().is_empty() && reply.answer[0].ttl > 200, "{reply}");
}

#[test]
fn p5_while_upstreams_are_known_to_be_down_nobody_waits_for_them() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| a(seen, 1, 7));
    let settings = "[cache]\nstale_wait_ms = 1000\n[upstream]\ndeadline_ms = 1200\n";
    let daemon = world.start(&[upstream.address()], settings);
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
    upstream.behave(silence);
    assert!(eventually(PATIENCE, || daemon.ask(&Ask::a("www.example")).ede() == [3]), "it is served stale");
    // The one attempt has failed; the next one is half a minute away.
    assert!(eventually(PATIENCE, || daemon.metric("waiting_queries") == 0));
    upstream.take_seen();
    let quick = || {
        let begin = Instant::now();
        assert_eq!(daemon.ask(&Ask::a("www.example")).ede(), [3]);
        begin.elapsed() < Duration::from_millis(500)
    };
    assert!(eventually(PATIENCE, quick), "somebody waits each time");
    let before = upstream.count();
    assert!((0..200).all(|_| quick()), "all others are served at once");
    assert_eq!(upstream.count(), before, "the upstream is left alone");
}

#[test]
fn p5_a_servfail_does_not_displace_an_old_answer_and_stale_max_0_means_never() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| a(seen, 1, 7));
    let daemon = world.start(&[upstream.address()], "");
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
    let failing = |seen: &Seen| Deed::Say(vec![Saying::to(seen).rcode(2).done()]);
    upstream.behave(failing);
    let stale = || daemon.ask(&Ask::a("www.example")).ede() == [3];
    assert!(eventually(PATIENCE, stale));
    assert!((0..5).all(|_| stale()), "it stays so");
    drop(daemon);

    upstream.behave(|seen| a(seen, 1, 7));
    let daemon = world.start(&[upstream.address()], "[cache]\nstale_max = 0\n");
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
    upstream.behave(failing);
    let failed = || daemon.ask(&Ask::a("www.example")).rcode == SERVFAIL;
    assert!(eventually(PATIENCE, failed), "nothing is served stale");
}

#[test]
fn failures_are_remembered_for_a_few_seconds() {
    let world = World::new();
    let upstream =
        Liar::behaving(world.upstream(1), |seen| Deed::Say(vec![Saying::to(seen).rcode(2).ede(22, "far away").done()]));
    let daemon = world.start(&[upstream.address()], "");
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
    let (begin, sent) = (Instant::now(), upstream.count());
    while begin.elapsed() < Duration::from_secs(2) {
        for _ in 0..100 {
            assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, SERVFAIL);
        }
        let other = daemon.ask(&Ask::new("www.example", Rtype::AAAA));
        assert_eq!(other.rcode, SERVFAIL, "{other}");
        assert!(eventually(Duration::from_secs(1), || begin.elapsed().subsec_millis() % 500 < 100));
    }
    assert_eq!(upstream.seen().iter().filter(|seen| seen.qtype == Rtype::A).count(), sent, "asked again too soon");
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    let back = || daemon.ask(&Ask::a("www.example")).rcode == NOERROR;
    assert!(eventually(PATIENCE, back), "a failure is forgotten after five seconds");
}

#[test]
fn times_to_live_are_kept_within_limits_and_count_down() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let ttl = seen.name.split('.').next().and_then(|label| label.parse().ok()).expect("names are numbers");
        a(seen, ttl, 7)
    });
    let daemon = world.start(&[upstream.address()], "[cache]\nmin_ttl = 60\nmax_ttl = 1000\nprefetch = false\n");
    for (given, shown, kept) in [
        (5, 60, true),
        (61, 61, true),
        (1000, 1000, true),
        (86_400, 1000, true),
        (2_147_483_647, 1000, true),
        // The top bit means 0 (RFC 2181 section 8), and 0 means "for this moment".
        (2_147_483_648u32, 0, false),
        (0, 0, false),
    ] {
        let name = format!("{given}.example");
        assert_eq!(daemon.ask(&Ask::a(&name)).answer[0].ttl, shown, "TTL {given}");
        let again = daemon.ask(&Ask::a(&name)).answer[0].ttl;
        assert!(again <= shown && shown - again <= 3, "TTL {given}, then {again}");
        assert_eq!(upstream.seen_of(&name).len(), if kept { 1 } else { 2 }, "TTL {given}");
    }
    assert!(eventually(PATIENCE, || daemon.ask(&Ask::a("1000.example")).answer[0].ttl < 1000), "it counts down");
    assert_eq!(upstream.seen_of("1000.example").len(), 1);
}

#[test]
fn an_answer_is_asked_for_again_when_its_time_is_over() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| a(seen, 1, seen.turn as u8 + 1));
    let daemon = world.start(&[upstream.address()], "");
    let first = daemon.ask(&Ask::a("www.example"));
    assert_eq!(first.data(Rtype::A), ["198.18.0.1"], "{first}");
    let begin = Instant::now();
    let renewed = || daemon.ask(&Ask::a("www.example")).data(Rtype::A) == ["198.18.0.2"];
    assert!(eventually(PATIENCE, renewed));
    assert!(begin.elapsed() < Duration::from_secs(3), "after {:?}", begin.elapsed());
}

#[test]
fn what_does_not_exist_is_remembered_as_its_soa_says() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let saying = Saying::to(seen).rcode(if seen.name.contains("nx") { 3 } else { 0 });
        Deed::Say(vec![if seen.name.starts_with("bare") { saying.done() } else { saying.soa(300).done() }])
    });
    let daemon = world.start(&[upstream.address()], "[cache]\nmax_negative_ttl = 50\n");
    for (name, rcode, asked) in [
        ("nx.example", NXDOMAIN, 1),
        ("none.example", NOERROR, 1),
        ("bare-nx.example", NXDOMAIN, 3),
        ("bare.example", NOERROR, 3),
    ] {
        for _ in 0..3 {
            let reply = daemon.ask(&Ask::a(name));
            assert!(reply.rcode == rcode && reply.answer.is_empty(), "{name}: {reply}");
            if asked == 1 {
                let soa = &reply.authority[0];
                assert!(soa.rtype == Rtype::SOA && (45..=50).contains(&soa.ttl), "{name}: {reply}");
            }
        }
        assert_eq!(upstream.seen_of(name).len(), asked, "{name}");
    }
}

#[test]
fn popular_answers_are_renewed_before_they_run_out() {
    let world = World::new();
    // Ten seconds is the shortest TTL that is renewed early: one second before.
    let upstream = Liar::behaving(world.upstream(1), |seen| a(seen, 10, seen.turn as u8 + 1));
    let daemon = world.start(&[upstream.address()], "");
    let begin = Instant::now();
    assert_eq!(daemon.ask(&Ask::a("www.example")).data(Rtype::A), ["198.18.0.1"]);
    let mut lowest = 10;
    let renewed = || {
        let reply = daemon.ask(&Ask::a("www.example"));
        lowest = lowest.min(reply.answer[0].ttl);
        upstream.count() > 1
    };
    assert!(eventually(Duration::from_secs(12), renewed), "never renewed");
    assert!(begin.elapsed() > Duration::from_secs(8), "after {:?}", begin.elapsed());
    assert_eq!(lowest, 1, "nobody had to wait: the answer was still good");
    let taken_over = || daemon.ask(&Ask::a("www.example")).data(Rtype::A) == ["198.18.0.2"];
    assert!(eventually(PATIENCE, taken_over));
    assert_eq!(upstream.count(), 2, "once, for a crowd of hits");
}

#[test]
fn without_prefetch_an_answer_is_asked_for_when_its_time_is_over_and_not_before() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| a(seen, 10, seen.turn as u8 + 1));
    let daemon = world.start(&[upstream.address()], "[cache]\nprefetch = false\n");
    let mut lowest = 10;
    let over = || {
        let reply = daemon.ask(&Ask::a("www.example"));
        let old = reply.data(Rtype::A) == ["198.18.0.1"];
        if old {
            lowest = lowest.min(reply.answer[0].ttl);
            assert_eq!(upstream.count(), 1, "asked for early, with {} seconds left", reply.answer[0].ttl);
        }
        !old
    };
    assert!(eventually(Duration::from_secs(15), over));
    assert_eq!((lowest, upstream.count()), (1, 2));
}

#[test]
fn without_a_cache_every_question_is_asked_anew_and_nothing_is_stale() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| a(seen, 300, seen.turn as u8 + 1));
    let settings = "[cache]\nsize = \"0\"\n[upstream]\ntry_timeout_ms = 100\ndeadline_ms = 300\n";
    let daemon = world.start(&[upstream.address()], settings);
    for turn in 1..=5 {
        let reply = daemon.ask(&Ask::a("www.example"));
        assert_eq!(reply.data(Rtype::A), [format!("198.18.0.{turn}")], "{reply}");
    }
    assert_eq!((upstream.count(), daemon.outcome("cache_hit"), daemon.metric("cache_entries")), (5, 0, 0));
    upstream.behave(silence);
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR, "failures are not remembered either");
}

#[test]
fn with_a_stale_wait_of_0_nobody_waits_for_an_upstream_that_is_slow() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| a(seen, 1, 7));
    let daemon = world.start(&[upstream.address()], "[cache]\nstale_wait_ms = 0\n");
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
    let pause = Duration::from_secs(2);
    upstream.behave(move |seen| Deed::Later(pause, honest(seen)));
    let mut old = None;
    let served = || {
        let begin = Instant::now();
        let reply = daemon.ask(&Ask::a("www.example"));
        assert!(begin.elapsed() < pause, "somebody waited for the upstream");
        old = Some(reply).filter(|reply| reply.ede() == [3]);
        old.is_some()
    };
    assert!(eventually(PATIENCE, served), "the old answer is served");
    let old = old.expect("it was served");
    assert_eq!((old.data(Rtype::A), old.answer[0].ttl), (vec!["198.18.0.7"], 30), "{old}");
    assert!(eventually(PATIENCE, || upstream.count() > 1), "the upstream is asked behind it");
    let fresh = || daemon.ask(&Ask::a("www.example")).answer[0].ttl > 200;
    assert!(eventually(PATIENCE, fresh), "and its answer is taken over");
}

#[test]
fn do_and_cd_have_answers_of_their_own_and_ad_reaches_those_who_ask() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let with_do = seen.opt.as_ref().is_some_and(|opt| opt.dnssec_ok);
        let last = 1 + u8::from(with_do) + 2 * u8::from(seen.flags & CD != 0);
        Deed::Say(vec![Saying::to(seen).flags(AD).record("@", Rtype::A, 300, &[198, 18, 0, last]).done()])
    });
    let daemon = world.start(&[upstream.address()], "");
    let ask = || Ask::a("www.example");
    for _ in 0..2 {
        for (ask, address, ad) in [
            (ask(), "198.18.0.1", false),
            (ask().flags(AD), "198.18.0.1", true),
            (ask().dnssec_ok(), "198.18.0.2", true),
            (ask().flags(CD), "198.18.0.3", false),
            (ask().flags(CD).dnssec_ok(), "198.18.0.4", true),
        ] {
            let reply = daemon.ask(&ask);
            assert_eq!((reply.data(Rtype::A), reply.flags & AD != 0), (vec![address], ad), "{reply}");
        }
    }
    assert_eq!(upstream.count(), 4);
}

#[test]
fn b4_a_thousand_identical_questions_are_one_exchange() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), silence);
    let daemon = world.start(&[upstream.address()], "");
    // A hundred each, so that all answers at once fit the sockets' buffers.
    let sockets: Vec<_> = (10..20).map(|last| client::socket(world.address(last), daemon.address)).collect();
    for (id, socket) in (0..1000).zip(sockets.iter().cycle()) {
        socket.send(&Ask { id, ..Ask::a("same.example") }.packet()).expect("loopback works");
    }
    assert!(eventually(PATIENCE, || daemon.metric("waiting_queries") == 1000), "{}", daemon.metric("waiting_queries"));
    let tries = upstream.count();
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    let mut ids = HashSet::new();
    let mut buffer = [0; 2048];
    for (n, socket) in (0..1000).zip(sockets.iter().cycle()) {
        socket.set_read_timeout(Some(ANSWER)).expect("sockets take time-outs");
        let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{n} are answered: {error}"));
        let reply = Reply::read(&buffer[..length]);
        assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{reply}");
        assert!(ids.insert(reply.id), "id {} was answered twice", reply.id);
    }
    assert!(upstream.count() <= 10, "{} tries, {tries} before it answered", upstream.count());
}

#[test]
fn b4_questions_that_wait_are_bounded() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), silence);
    let daemon = world.start(&[upstream.address()], "[server]\nin_flight = 50\n[upstream]\ndeadline_ms = 1500\n");
    let packets: Vec<_> = (0..200).map(|n| Ask::a(&format!("pulse{n}.example")).packet()).collect();
    let answers = client::many(world.address(10), daemon.address, packets, 200, ANSWER);
    let replies: Vec<_> = answers.iter().map(|octets| Reply::read(octets)).collect();
    let count = |code: u16| replies.iter().filter(|reply| reply.rcode == SERVFAIL && reply.ede() == [code]).count();
    assert_eq!((count(22), count(14)), (50, 150), "waited, and turned away");
    let names: HashSet<String> = upstream.seen().into_iter().map(|seen| seen.name).collect();
    assert_eq!(names.len(), 50);
    assert_eq!((daemon.outcome("overloaded"), daemon.metric("waiting_queries")), (150, 0));
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    assert_eq!(daemon.ask(&Ask::a("after.example")).rcode, NOERROR);
}
