//! The process itself: stopped and continued, not read, started too early.

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use crate::client::{self, Ask, NOERROR, SERVFAIL};
use crate::faults::listed;
use crate::liar::{Deed, Liar, Saying, honest};
use crate::rights::is_root;
use crate::world::{PORT, World, eventually};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn f26_what_waited_while_the_process_stood_still_is_not_answered() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], listed(&world));
    assert_eq!(daemon.ask(&Ask::a("cached.example")).rcode, NOERROR);
    // Its heart beats once a second; it has to have beaten once.
    let begin = Instant::now();
    assert!(eventually(PATIENCE, || begin.elapsed() > Duration::from_millis(1100)));
    daemon.signal("STOP");
    let stopped = Instant::now();
    let socket = client::socket(world.address(10), daemon.address);
    for n in 0..150 {
        let name = if n % 2 == 0 { "cached.example" } else { "blocked.example" };
        socket.send(&Ask { id: n, ..Ask::a(name) }.packet()).expect("loopback works");
    }
    assert!(eventually(PATIENCE, || stopped.elapsed() > Duration::from_millis(3300)));
    daemon.signal("CONT");
    // The next question is answered soon, though it stands behind the backlog.
    let begin = Instant::now();
    let soon = Duration::from_millis(300);
    let answered = || daemon.try_ask(&Ask::a("cached.example"), soon).is_some_and(|reply| reply.rcode == NOERROR);
    assert!(eventually(PATIENCE, answered));
    assert!(begin.elapsed() < Duration::from_secs(2), "after {:?}", begin.elapsed());
    let dropped = daemon.outcome("outdated");
    assert!(dropped >= 150, "{dropped} of 150 were dropped");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("sockets take time-outs");
    assert!(socket.recv(&mut [0; 512]).is_err(), "a question of three seconds ago was answered");
    assert_eq!(daemon.ask(&Ask::a("new.example")).rcode, NOERROR, "upstreams are asked as before");
}

#[test]
fn f34_a_log_that_nobody_reads_holds_nobody_up() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let (daemon, mut unread) = world.start_unread(&[upstream.address()], listed(&world));
    let ready = || std::net::TcpStream::connect(daemon.address).is_ok();
    assert!(eventually(PATIENCE, ready), "it starts");
    assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
    // A refused configuration is reported with what is wrong in it, here 50 kB
    // of it: three times that is more than a pipe holds.
    let good = world.config(&[upstream.address()], listed(&world));
    for number in 1..=4u64 {
        world.write("friendly.toml", format!("{good}\n[{}{number}]\n", "x".repeat(50_000)));
        daemon.signal("HUP");
        assert!(
            eventually(PATIENCE, || daemon.metric("reloads_total{result=\"refused\"}") >= number),
            "reload {number}"
        );
    }
    for n in 0..200 {
        assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
        assert_eq!(daemon.ask(&Ask::a(&format!("unread{n}.example"))).rcode, NOERROR);
    }
    assert_eq!(daemon.get("/readyz").0, 200);
    // So many lines may wait; what more there is counts as dropped.
    assert!(daemon.get("/metrics").1.contains("\nfriendly_resolver_log_lines_dropped_total 0\n"));
    // It ends although the pipe is full; only then is the pipe read.
    drop(daemon);
    let mut text = Vec::new();
    unread.read_to_end(&mut text).expect("the other end is closed");
    assert!(text.len() >= 60_000, "the pipe was full: {} octets", text.len());
}

#[test]
fn f35_every_question_has_one_outcome_and_none_is_a_fault() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| match seen.turn % 4 {
        0 => Deed::Silence,
        1 => Deed::Say(vec![Saying::to(seen).rcode(2).done()]),
        _ => Deed::Say(vec![honest(seen)]),
    });
    let mut daemon = world.start(&[upstream.address()], &format!("{}[upstream]\ndeadline_ms = 500\n", listed(&world)));
    let mut dice = 1u64;
    let mut roll = move || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize
    };
    let socket = client::socket(world.address(10), daemon.address);
    const COUNT: u64 = 20_000;
    for n in 0..COUNT {
        let mut packet = Ask::a(["blocked.example", "www.example", "localhost"][n as usize % 3]).dnssec_ok().packet();
        for _ in 0..roll() % 4 {
            let at = roll() % packet.len();
            packet[at] = roll() as u8;
        }
        packet.truncate(packet.len() - (roll() % 5) / 4 * (roll() % 20));
        socket.send(&packet).expect("loopback works");
        if n % 200 == 199 {
            // Wait for it to catch up: the kernel must not drop what is counted.
            assert!(eventually(PATIENCE, || daemon.metric("queries_total{transport=\"udp\"}") > n));
        }
    }
    let settled = || daemon.metric("queries_total") == daemon.metric("outcomes_total");
    assert!(
        eventually(PATIENCE, settled),
        "{} questions, {} outcomes",
        daemon.metric("queries_total"),
        daemon.metric("outcomes_total")
    );
    assert_eq!(daemon.metric("queries_total"), COUNT);
    assert_eq!(daemon.outcome("fault"), 0);
    for outcome in ["malformed", "ignored", "blocked_name", "cache_hit"] {
        assert!(daemon.outcome(outcome) > 0, "none was {outcome}");
    }
    assert!(daemon.is_alive());
}

#[test]
fn f37_it_starts_without_an_upstream_that_answers_and_uses_it_when_it_comes() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], &format!("{}[upstream]\ndeadline_ms = 500\n", listed(&world)));
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
    for n in 0..5 {
        assert_eq!(daemon.ask(&Ask::a(&format!("early{n}.example"))).rcode, SERVFAIL);
    }
    let upstream = Liar::start(world.upstream(1));
    let begin = Instant::now();
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
    assert!(begin.elapsed() < Duration::from_secs(1), "after {:?}", begin.elapsed());
    assert_eq!(upstream.count(), 1);
}

#[test]
fn f37_it_starts_where_the_system_knows_no_upstream() {
    if !is_root() {
        return;
    }
    let world = World::new();
    // In a mount namespace of its own, /etc/resolv.conf names nobody.
    let prefix = ["unshare", "--mount", "sh", "-c", "mount --bind /dev/null /etc/resolv.conf && exec \"$@\"", "sh"];
    let mut daemon = world.start_under(&prefix, &[], listed(&world));
    daemon.wait_for_log("no upstream is known");
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
    assert_eq!(daemon.ask(&Ask::a("localhost")).data(Rtype::A), ["127.0.0.1"]);
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
    let (_, health) = daemon.get("/healthz");
    assert!(health.contains("degraded") && health.contains("no upstream is known"), "{health}");
}

#[test]
fn f37_it_starts_before_the_network_and_becomes_ready_by_itself() {
    if !is_root() {
        return;
    }
    let world = World::new();
    // A network namespace of its own, in which the address does not exist yet.
    let prefix = ["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
    let settings = format!("{}[server]\nlisten = [\"192.0.2.1:{PORT}\", \"[2001:db8::1]:{PORT}\"]\n", listed(&world));
    let mut daemon = world.start_under(&prefix, &[world.upstream(1)], &settings);
    let target = daemon.pid().to_string();
    let inside = |words: &[&str]| {
        let output = Command::new("nsenter").args(["--net", "--target", &target]).args(words).output();
        let output = output.expect("nsenter of util-linux");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let port = PORT.to_string();
    let dig = |server: &str, more: &[&str], name: &str| {
        let words = ["dig", server, "-p", &port, "+tries=1", "+time=1"];
        inside(&[&words[..], more, &[name]].concat()).1
    };
    let v4 = |more: &[&str], name: &str| dig("@192.0.2.1", &[&["-b", "127.0.0.1"], more].concat(), name);
    assert!(!v4(&[], "blocked.example").contains("status"), "the address is not there yet");
    assert!(inside(&["ip", "address", "add", "192.0.2.1/32", "dev", "lo"]).0, "root may");
    assert!(inside(&["ip", "-6", "address", "add", "2001:db8::1/128", "dev", "lo", "nodad"]).0, "root may");
    assert!(eventually(PATIENCE, || v4(&[], "blocked.example").contains("NXDOMAIN")), "{}", v4(&[], "blocked.example"));
    assert!(v4(&["+tcp"], "blocked.example").contains("NXDOMAIN"));
    let v6 = dig("@2001:db8::1", &["-b", "::1"], "blocked.example");
    assert!(v6.contains("NXDOMAIN"), "{v6}");
    let failed = v4(&[], "www.example");
    assert!(failed.contains("SERVFAIL") && failed.contains("EDE: 23"), "no upstream is there: {failed}");
    assert!(daemon.is_alive());
}
