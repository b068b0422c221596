//! Upstreams that are dead, frozen, slow, or lose questions.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::client::{Ask, NOERROR, SERVFAIL, TC};
use crate::faults::listed;
use crate::liar::{Deed, Liar, Saying, Seen, honest, silence};
use crate::world::{World, eventually};

/// Within this time a client must have an answer of whatever kind.
const MOST: Duration = Duration::from_secs(5);

#[test]
fn f1_a_dead_upstream_is_replaced_within_a_second() {
    let world = World::new();
    let dead = Liar::behaving(world.upstream(1), silence);
    let alive = Liar::start(world.upstream(2));
    let daemon = world.start(&[dead.address(), alive.address()], "");
    // Which is asked first has something of chance in it.
    for n in 0..40 {
        let begin = Instant::now();
        let reply = daemon.ask(&Ask::a(&format!("host{n}.example")));
        assert_eq!(reply.rcode, NOERROR, "{reply}");
        assert!(begin.elapsed() < Duration::from_secs(1), "took {:?}", begin.elapsed());
    }
    assert!((1..20).contains(&dead.count()), "the dead upstream was asked {} of 40 times", dead.count());
}

#[test]
fn f1_the_log_says_when_an_upstream_stops_and_when_it_begins_to_answer() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), silence);
    let mut daemon = world.start(&[upstream.address()], "[upstream]\ntry_timeout_ms = 50\ndeadline_ms = 500\n");
    for name in ["lost.example", "gone.example", "away.example"] {
        assert_eq!(daemon.ask(&Ask::a(name)).rcode, SERVFAIL);
    }
    let named = format!("upstream={}", upstream.address());
    daemon.wait_for_log("does not answer; others are asked first");
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    assert_eq!(daemon.ask(&Ask::a("found.example")).rcode, NOERROR);
    daemon.wait_for_log("answers again");
    assert_eq!(daemon.log().lines().filter(|line| line.contains(&named) && line.contains("answer")).count(), 2);
    assert!(!daemon.log().contains("example"), "no name that was asked for");
}

#[test]
fn f1_a_dead_upstream_alone_means_servfail_within_five_seconds_and_blocked_names_stay_blocked() {
    let world = World::new();
    let dead = Liar::behaving(world.upstream(1), silence);
    let daemon = world.start(&[dead.address()], listed(&world));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| (daemon.ask(&Ask::a("lost.example")), begin.elapsed()));
        assert!(eventually(MOST, || dead.count() > 0));
        let mut worst = Duration::ZERO;
        for n in 0..200 {
            let asked = Instant::now();
            let reply = daemon.ask(&Ask::a(&format!("host{n}.blocked.example")));
            assert!(reply.is_blocked(), "{reply}");
            worst = worst.max(asked.elapsed());
        }
        assert!(worst < Duration::from_millis(500), "a blocked name took {worst:?}");
        assert!(!waiting.is_finished(), "the blocked names were answered meanwhile");
        let (reply, took) = waiting.join().expect("no failure");
        assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
        assert!(took < MOST, "took {took:?}");
    });
}

#[test]
fn f2_a_refusal_by_icmp_is_fail_over_at_once() {
    let world = World::new();
    let alive = Liar::start(world.upstream(2));
    // Nothing listens on the first one: loopback answers with ICMP.
    let daemon = world.start(&[world.upstream(1), alive.address()], "[upstream]\ntry_timeout_ms = 4000\n");
    for n in 0..10 {
        let begin = Instant::now();
        let reply = daemon.ask(&Ask::a(&format!("host{n}.example")));
        assert_eq!(reply.rcode, NOERROR, "{reply}");
        assert!(begin.elapsed() < Duration::from_secs(1), "took {:?}", begin.elapsed());
    }
    assert!(daemon.metric("upstream_errors_total") >= 1, "the refusing one was tried");
}

#[test]
fn f2_a_refusal_by_icmp_of_the_only_upstream_is_a_network_error_at_once() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], "");
    let begin = Instant::now();
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![23]), "{reply}");
    assert!(begin.elapsed() < Duration::from_secs(1), "took {:?}", begin.elapsed());
}

#[test]
fn f3_slow_answers_still_count_and_nothing_grows() {
    let world = World::new();
    let slow = |seen: &_| Deed::Later(Duration::from_secs(3), honest(seen));
    let upstream = Liar::behaving(world.upstream(1), slow);
    let daemon = world.start(&[upstream.address()], "");
    let (resident, descriptors) = (daemon.resident(), daemon.descriptors());
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let ask = |n| daemon.ask(&Ask::a(&format!("slow{n}.example")));
        let asked: Vec<_> = (0..60).map(|n| scope.spawn(move || (ask(n), begin.elapsed()))).collect();
        for reply in asked {
            let (reply, took) = reply.join().expect("no failure");
            assert_eq!(reply.rcode, NOERROR, "{reply}");
            assert!(took > Duration::from_millis(2900) && took < MOST, "took {took:?}");
        }
    });
    assert!(eventually(MOST, || daemon.descriptors() <= descriptors + 5), "{} sockets stay", daemon.descriptors());
    assert!(daemon.resident() < resident + (8 << 10), "{resident} KiB grew to {}", daemon.resident());
    assert_eq!(daemon.metric("waiting_queries"), 0);
}

#[test]
fn f4_thirty_percent_loss_costs_less_than_one_answer_in_a_hundred() {
    let world = World::new();
    // A fixed sequence that looks random: tests must not depend on luck.
    let lossy = |seen: &crate::liar::Seen| {
        let mut dice = (seen.turn as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        dice = (dice ^ dice >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        if (dice >> 32) % 10 < 3 { Deed::Silence } else { Deed::Say(vec![honest(seen)]) }
    };
    let upstream = Liar::behaving(world.upstream(1), lossy);
    let daemon = world.start(&[upstream.address()], "");
    const THREADS: usize = 80;
    const EACH: usize = 5;
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let daemon = &daemon;
        let ask = move |thread: usize, n: usize| {
            let begin = Instant::now();
            let reply = daemon.try_ask(&Ask::a(&format!("lossy{n}.of{thread}.example")), MOST);
            reply.is_some_and(|reply| reply.rcode == NOERROR).then(|| begin.elapsed())
        };
        let all = move |thread| (0..EACH).filter_map(|n| ask(thread, n)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || all(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no failure")).collect()
    });
    times.sort_unstable();
    assert!(times.len() * 100 >= THREADS * EACH * 99, "{} of {} answered", times.len(), THREADS * EACH);
    let slowest = times[times.len() * 99 / 100];
    assert!(slowest < Duration::from_secs(3), "one in a hundred took {slowest:?}");
    let asked = upstream.count();
    assert!(asked > THREADS * EACH * 12 / 10, "only {asked} tries: nothing was lost");
}

#[test]
fn f13_an_upstream_without_a_route_costs_less_than_a_second() {
    let world = World::new();
    let alive = Liar::start(world.upstream(1));
    // Documentation addresses (RFC 3849): nobody is there.
    let nowhere = "[2001:db8::53]:53".parse().expect("an address");
    let daemon = world.start(&[nowhere, alive.address()], "");
    for n in 0..10 {
        let begin = Instant::now();
        let reply = daemon.ask(&Ask::a(&format!("host{n}.example")));
        assert_eq!(reply.rcode, NOERROR, "{reply}");
        assert!(begin.elapsed() < Duration::from_secs(1), "took {:?}", begin.elapsed());
    }
    let sent = daemon.metric("upstream_queries_total{upstream=\"[2001:db8::53]:53\"}");
    assert!(sent >= 1, "the unreachable one was tried");
}

#[test]
fn f27_a_frozen_upstream_is_used_again_when_it_thaws() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), silence);
    let daemon = world.start(&[upstream.address()], "[upstream]\ntry_timeout_ms = 100\ndeadline_ms = 500\n");
    for n in 0..6 {
        let reply = daemon.ask(&Ask::a(&format!("frozen{n}.example")));
        assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
    }
    assert_eq!(daemon.metric("upstream_healthy"), 0);
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    let begin = Instant::now();
    let reply = daemon.ask(&Ask::a("thawed.example"));
    assert_eq!(reply.rcode, NOERROR, "{reply}");
    assert!(begin.elapsed() < Duration::from_secs(1), "took {:?}", begin.elapsed());
    assert_eq!(daemon.metric("upstream_healthy"), 1);
}

#[test]
fn f8_answers_that_are_cut_by_a_server_whose_tcp_leads_nowhere_end_in_servfail() {
    let world = World::new();
    let cut = |seen: &Seen| Deed::Say(vec![Saying::to(seen).flags(TC).done()]);
    let upstream = Liar::over_udp(world.upstream(1), cut);
    // A listener whose queue is full: what else wants in is dropped, as by a firewall.
    let address = world.upstream(1);
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("sockets can be made");
    listener.bind(&address.into()).and_then(|()| listener.listen(0)).expect("the address is free");
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
        assert!(queue.len() < 100, "the queue is never full");
    }
    let daemon = world.start(&[upstream.address()], listed(&world));
    let descriptors = daemon.descriptors();
    let begin = Instant::now();
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
    assert!(begin.elapsed() < MOST, "after {:?}", begin.elapsed());
    assert!(upstream.count() <= 10, "{} tries", upstream.count());
    assert!(eventually(MOST, || daemon.descriptors() <= descriptors), "connections are left open");
    assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
}
