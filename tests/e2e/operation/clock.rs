//! The wall clock of small boxes: 1970 after each start, years off, or jumping.
//! The clock that counts from the start of the machine is right everywhere.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use super::{LISTED, SOON, list_made_at};
use crate::client::Ask;
use crate::liar::Liar;
use crate::world::{Daemon, World, eventually};

/// Starts with this wall clock, in the words of libfaketime; `@` and a file
/// name stand for the content of that file.
pub(crate) fn start_at(world: &World, upstreams: &[SocketAddr], time: &str, settings: &str) -> Daemon {
    let directories = fs::read_dir("/usr/lib").expect("a system with libraries");
    let library = directories
        .flatten()
        .map(|directory| directory.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
        .expect("the Debian package faketime is installed");
    let library = format!("LD_PRELOAD={}", library.display());
    let time = match time.strip_prefix("file:") {
        Some(file) => format!("FAKETIME_TIMESTAMP_FILE={file}"),
        None => format!("FAKETIME={time}"),
    };
    let prefix = ["env", &library, &time, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    world.start_under(&prefix, upstreams, settings)
}

/// The list was made when it was made, the process is as old as it is, and
/// times to live go down second by second.
fn assert_is_sane(daemon: &Daemon, name: &str, age: std::ops::RangeInclusive<u64>) {
    assert!(daemon.is_blocked("listed.example"));
    let ttl = || daemon.ask(&Ask::a(name)).answer[0].ttl;
    let first = ttl();
    assert!((290..=300).contains(&first), "{first}");
    let mut next = first;
    assert!(eventually(SOON, || {
        next = ttl();
        next != first
    }));
    assert!((first - 2..first).contains(&next), "{first}, then {next}");
    let health = daemon.health();
    assert!(health["uptime_seconds"].as_u64().is_some_and(|uptime| uptime < 60), "{health}");
    assert!(age.contains(&health["lists"][0]["age_seconds"].as_u64().expect("a number")), "{health}");
    assert!(daemon.problems().is_empty());
    assert_eq!(daemon.get("/metrics").0, 200);
}

const YEAR: u64 = 365 * 86_400;

#[test]
fn f25_a_start_in_1970_or_years_ahead_is_a_start_like_any_other() {
    for (time, age) in [("@1970-01-01 00:00:10", 0..=0), ("+10y", 10 * YEAR..=20 * YEAR)] {
        let world = World::new();
        let upstream = Liar::start(world.upstream(1));
        world.write("a.list", list_made_at(1_767_225_600, 1, "adult", ["listed.example".into()]));
        let daemon = start_at(&world, &[upstream.address()], time, LISTED);
        assert_is_sane(&daemon, "free.example", age);
        assert!(daemon.reload());
    }
}

#[test]
fn f25_a_clock_that_jumps_moves_nothing_but_the_age_of_lists() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    world.write("a.list", list_made_at(1_767_225_600, 1, "adult", ["listed.example".into()]));
    let file = world.write("clock", "@2026-02-01 00:00:00\n");
    let set = |time: &str| drop(world.write("clock", format!("{time}\n")));
    let daemon = start_at(&world, &[upstream.address()], &format!("file:{}", file.display()), LISTED);
    let names = ["zero.example", "one.example", "two.example", "three.example"];
    assert!(names.iter().all(|name| daemon.resolves(name)));
    let asked = upstream.count();
    assert_is_sane(&daemon, names[0], 30 * 86_400..=32 * 86_400);
    set("@2027-02-01 00:00:00");
    assert_is_sane(&daemon, names[1], 390 * 86_400..=400 * 86_400);
    set("@2025-02-01 00:00:00");
    assert_is_sane(&daemon, names[2], 0..=0);
    assert!(daemon.reload());
    set("@1970-01-01 00:00:01");
    assert_is_sane(&daemon, names[3], 0..=0);
    assert!(daemon.reload());
    assert_eq!(upstream.count(), asked, "nothing in memory ran out");
}

#[test]
fn a_list_from_the_future_or_from_1970_has_a_sane_age() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for (created, age) in [(now + YEAR, 0..=0), (u64::MAX, 0..=0), (1, now - 1..=now + 60)] {
        let world = World::new();
        world.write("a.list", list_made_at(created, 1, "adult", ["listed.example".into()]));
        let daemon = world.start(&[], LISTED);
        assert!(daemon.is_blocked("listed.example"));
        let health = daemon.health();
        assert!(age.contains(&health["lists"][0]["age_seconds"].as_u64().expect("a number")), "{health}");
        assert_eq!(daemon.get("/metrics").0, 200);
    }
}

#[test]
fn f26_a_short_standstill_loses_nothing() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], "");
    assert!(daemon.resolves("free.example"));
    daemon.signal("STOP");
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| daemon.try_ask(&Ask::a("free.example"), Duration::from_secs(4)));
        eventually(Duration::from_millis(700), || false);
        daemon.signal("CONT");
        asking.join().expect("a client")
    });
    assert!(answer.is_some_and(|reply| reply.rcode == 0));
}
