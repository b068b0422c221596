//! Changes of configuration and lists, under load.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::{LISTED, Load, SOON, large_list, run};
use crate::client::{Ask, NOERROR};
use crate::liar::Liar;
use crate::rights::apart;
use crate::world::{World, compile, eventually};

const DENY: &str = "[[policy]]\nname = \"default\"\nnetworks = [\"0.0.0.0/0\"]\ndeny = [\"denied.example\"]\n";

#[test]
fn a_changed_list_is_taken_over_by_itself_and_memory_is_no_way_around_it() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    world.write_list("a.list", 1, &[("adult", "old.example")]);
    let daemon = world.start(&[upstream.address()], LISTED);
    assert!(daemon.is_blocked("old.example") && daemon.resolves("new.example"));
    assert!(daemon.resolves("new.example"), "from memory");
    assert_eq!(upstream.seen_of("new.example").len(), 1);

    world.write_list("a.list", 2, &[("adult", "new.example")]);
    assert!(eventually(SOON, || daemon.is_blocked("new.example")), "{}", daemon.log());
    assert!(daemon.resolves("old.example"), "what was taken off the list resolves");
    assert_eq!(daemon.health()["lists"][0]["serial"], 2);
}

#[test]
fn a_changed_configuration_is_taken_over_on_sighup_and_by_itself() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], "");
    assert!(daemon.resolves("denied.example"));
    world.write("friendly.toml", world.config(&[upstream.address()], DENY));
    daemon.signal("HUP");
    assert!(eventually(SOON, || daemon.is_blocked("denied.example")));
    world.write("friendly.toml", world.config(&[upstream.address()], ""));
    assert!(eventually(SOON, || daemon.resolves("denied.example")));
    assert!(daemon.problems().is_empty());
}

#[test]
fn p2_twenty_reloads_under_load_lose_no_question_and_fail_none() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let lists = [1, 2].map(|serial| {
        let turning = if serial == 2 { "turning.example" } else { "other.example" };
        large_list(serial, &["always.example", turning], 20_000)
    });
    world.write("a.list", &lists[0]);
    let settings = format!("{LISTED}last_good = \"good\"\n");
    fs::create_dir(world.write("here", "").with_file_name("good")).expect("a directory of the test");
    let daemon = world.start(&[upstream.address()], &settings);
    let names = &["always.example", "never.example", "turning.example"];
    let load = Load::start(world.address(11), daemon.address, names, |name, reply| match name {
        "always.example" => reply.is_blocked(),
        "never.example" => reply.rcode == NOERROR,
        _ => reply.is_blocked() || reply.rcode == NOERROR && reply.answer.len() == 1,
    });
    for turn in 1..=20 {
        let list = &lists[turn % 2];
        world.write("a.list", list);
        daemon.signal("HUP");
        let expected = if turn % 2 == 1 { 2 } else { 1 };
        load.wait_for(150);
        assert!(eventually(SOON, || daemon.metric("list_serial") == expected), "{}", daemon.log());
    }
    load.assert_served(3000);
    // Counted a moment after it is in force.
    assert!(eventually(SOON, || daemon.metric("reloads_total{result=\"done\"}") >= 20));
    assert_eq!(daemon.metric("reloads_total{result=\"refused\"}"), 0, "{}", daemon.log());
    assert_eq!(daemon.metric("queries_total"), daemon.metric("outcomes_total"));
    assert_eq!(daemon.outcome("fault") + daemon.outcome("failed") + daemon.outcome("outdated"), 0);
}

#[test]
fn a_list_that_is_written_over_in_place_is_taken_over_once_it_is_whole() {
    for last_good in ["", "last_good = \"good\"\n"] {
        let world = World::new();
        let upstream = Liar::start(world.upstream(1));
        let path = world.write("a.list", large_list(1, &["always.example", "old.example"], 3000));
        fs::create_dir(path.with_file_name("good")).expect("a directory of the test");
        let daemon = world.start(&[upstream.address()], &format!("{LISTED}{last_good}"));
        let new = large_list(2, &["always.example", "new.example"], 3000);
        let load = Load::start(world.address(11), daemon.address, &["always.example"], |_, reply| reply.is_blocked());

        // As `cp` does: the same file, emptied and filled again.
        let mut file = OpenOptions::new().write(true).truncate(true).open(&path).expect("our own list");
        daemon.reload();
        file.write_all(&new[..new.len() / 2]).expect("room for a list");
        daemon.reload();
        assert!(daemon.is_blocked("old.example") && daemon.resolves("new.example"), "{}", daemon.log());
        let problems = daemon.problems();
        assert!(
            problems.iter().any(|problem| problem.contains("a.list") && problem.contains("octets")),
            "{problems:?}"
        );
        file.write_all(&new[new.len() / 2..]).expect("room for a list");
        drop(file);
        assert!(eventually(SOON, || daemon.is_blocked("new.example")), "{}", daemon.log());
        assert!(daemon.resolves("old.example") && daemon.problems().is_empty());
        load.wait_for(100);
        load.assert_served(100);
    }
}

#[test]
fn a_list_changed_behind_its_time_stamp_is_taken_over() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let path = world.write_list("a.list", 1, &[("adult", "one.example")]);
    let daemon = world.start(&[upstream.address()], LISTED);
    let time = path.metadata().and_then(|meta| meta.modified()).expect("every file system here has times");
    let (old, new) = (fs::read(&path).expect("our own list"), compile(2, &[("adult", "two.example")]));
    assert_eq!(old.len(), new.len());
    // As `rsync --inplace --times` with a careless source does.
    fs::write(&path, new).expect("our own list");
    File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("our own list");
    assert!(eventually(SOON, || daemon.is_blocked("two.example")), "{}", daemon.log());
}

#[test]
fn a_list_that_comes_after_the_configuration_that_names_it_is_taken_over_by_itself() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], "");
    world.write("friendly.toml", world.config(&[upstream.address()], LISTED));
    assert!(eventually(SOON, || daemon.metric("last_reload_successful") == 0));
    assert!(daemon.problems()[0].contains("a.list"));
    world.write_list("a.list", 1, &[("adult", "late.example")]);
    assert!(eventually(SOON, || daemon.is_blocked("late.example")), "{}", daemon.log());
    assert!(daemon.problems().is_empty());
}

#[test]
fn two_lists_of_one_file_name_are_told_apart() {
    let world = World::new();
    let directory = world.write_list("a.list", 1, &[("adult", "one.example")]).with_file_name("more");
    fs::create_dir(&directory).expect("a directory of the test");
    world.write_list("more/a.list", 2, &[("adult", "two.example")]);
    world.write_list("b.list", 3, &[("adult", "three.example")]);
    let settings = |files: &str| format!("[lists]\nfiles = [{files}]\n");
    let daemon = world.start(&[], &settings("\"a.list\", \"more/a.list\", \"b.list\""));
    let serial = |path: &Path| daemon.metric(&format!("list_serial{{list=\"{}\"}}", path.display()));
    assert_eq!(serial(&directory.with_file_name("a.list")), 1);
    assert_eq!(serial(&directory.join("a.list")), 2);
    assert_eq!(serial(Path::new("b.list")), 3);
    let told: Vec<_> = (0..3).map(|at| daemon.health()["lists"][at]["list"].to_string()).collect();
    assert!(told.iter().all(|name| told.iter().filter(|other| *other == name).count() == 1), "{told:?}");
    // Alone, each goes by its short name again.
    world.write("friendly.toml", world.config(&[], &settings("\"more/a.list\", \"b.list\"")));
    assert!(eventually(SOON, || daemon.health()["lists"].as_array().is_some_and(|lists| lists.len() == 2)));
    assert_eq!((serial(Path::new("a.list")), serial(Path::new("b.list"))), (2, 3));
}

#[test]
fn f38_a_disk_that_hangs_during_a_reload_stops_neither_answers_nor_the_end() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let path = world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let daemon = world.start(&[upstream.address()], LISTED);
    assert!(daemon.resolves("cached.example"));
    // Whoever opens a pipe waits for a writer, as for a file server that is gone.
    let pipe = path.with_file_name("pipe");
    assert_eq!(run(&["mkfifo", pipe.to_str().expect("a plain path")]).code, Some(0));
    fs::rename(pipe, path).expect("our own directory");
    daemon.signal("HUP");
    // Longer than a process may stand still before it drops what waited.
    let lost = eventually(Duration::from_secs(4), || {
        let answer = |name| daemon.try_ask(&Ask::a(name), Duration::from_secs(1));
        let cached = answer("cached.example").is_some_and(|reply| reply.rcode == NOERROR);
        !cached || !answer("listed.example").is_some_and(|reply| reply.is_blocked())
    });
    assert!(!lost, "{}", daemon.log());
    assert_eq!(daemon.outcome("outdated"), 0);
    daemon.signal("TERM");
    assert!(daemon.end(Duration::from_secs(6)).success());
}

#[test]
fn a_slow_start_answers_nothing_survives_a_sighup_and_filters_from_its_first_answer() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let list = compile(1, &[("adult", "listed.example")]);
    let path = world.write("here", "").with_file_name("a.list");
    assert_eq!(run(&["mkfifo", path.to_str().expect("a plain path")]).code, Some(0));
    let (mut daemon, stderr) = world.start_unread(&[upstream.address()], LISTED);
    daemon.read_log(stderr);
    // Returns when the resolver reads.
    let mut pipe = OpenOptions::new().write(true).open(&path).expect("our own pipe");
    for _ in 0..3 {
        daemon.signal("HUP");
        assert!(daemon.try_ask(&Ask::a("listed.example"), Duration::from_millis(50)).is_none());
        assert!(daemon.is_alive(), "a SIGHUP at the start ended it");
    }
    world.write("a.list", &list);
    pipe.write_all(&list).expect("the resolver reads");
    drop(pipe);
    let mut first = None;
    eventually(SOON, || {
        first = daemon.try_ask(&Ask::a("listed.example"), Duration::from_millis(50));
        first.is_some()
    });
    assert!(first.expect("an answer").is_blocked(), "{}", daemon.log());
    daemon.wait_for_log("ready");
}

#[test]
fn the_first_answer_for_a_listed_name_is_always_the_block() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    world.write("a.list", large_list(1, &["listed.example"], 3000));
    for _ in 0..20 {
        let (daemon, stderr) = world.start_unread(&[upstream.address()], LISTED);
        daemon.read_log(stderr);
        let mut first = None;
        eventually(SOON, || {
            first = daemon.try_ask(&Ask::a("listed.example"), Duration::from_millis(20));
            first.is_some()
        });
        assert!(first.expect("an answer").is_blocked());
        daemon.break_off();
    }
    assert_eq!(upstream.count(), 0);
}

#[test]
fn the_upstreams_of_the_system_are_asked_and_followed_when_they_change() {
    let world = World::new();
    apart(|| {
        let [first, second] = [1, 2].map(|number| Liar::start((world.upstream(number).ip(), 53).into()));
        let system = |upstream: &Liar| format!("search lan\nnameserver {}\noptions edns0\n", upstream.address().ip());
        let path = world.write("resolv.conf", system(&first));
        // Over the one of this machine, for the resolver alone.
        let mount = format!("mount --bind '{}' /etc/resolv.conf && exec \"$@\"", path.display());
        let daemon = world.start_under(&["unshare", "--mount", "sh", "-c", &mount, "sh"], &[], "");
        assert!(daemon.resolves("one.example"), "{}", daemon.log());
        assert_eq!((first.count(), second.count()), (1, 0));
        // In its place, and not by a rename: that is what was mounted.
        fs::write(&path, system(&second)).expect("our own file");
        let mut turn = 0;
        let followed = eventually(SOON, || {
            turn += 1;
            assert!(daemon.resolves(&format!("n{turn}.example")), "{}", daemon.log());
            second.count() > 0
        });
        assert!(followed, "{}", daemon.log());
        first.take_seen();
        assert!(daemon.resolves("last.example"));
        assert_eq!(first.count(), 0, "the old one is not asked any more");
    });
}
