//! Disks that are full, read-only or failing, being killed while writing, and
//! what a list takes of memory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{LISTED, SOON, large_list};
use crate::client::Ask;
use crate::liar::Liar;
use crate::releases::kill::{busiest, killing, traced, turns};
use crate::rights::is_root;
use crate::world::{Daemon, World, eventually};

const KEPT: &str = "[lists]\nfiles = [\"a.list\"]\nlast_good = \"good\"\n";

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory of the test");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names.into_iter().map(|name| name.into_string().expect("a plain name")).collect()
}

/// Filtering and resolving go on, and health tells of a copy that is missing.
fn assert_works_without_copy(daemon: &Daemon, what: &str) {
    assert!(daemon.is_blocked("listed.example") && daemon.resolves("free.example"), "{what}");
    let problems = daemon.problems();
    let told = problems.iter().any(|problem| problem.contains("a.list") && problem.contains("could not be kept"));
    assert!(told, "{what}: {problems:?}");
}

#[test]
fn f18_f19_a_disk_that_is_full_or_read_only_costs_the_copy_and_nothing_else() {
    if !is_root() {
        return;
    }
    let cases = [
        ("full", "mount -t tmpfs -o size=64k tmpfs $D && head -c 61440 /dev/zero >$D/filler"),
        ("no inode", "mount -t tmpfs -o nr_inodes=2 tmpfs $D && touch $D/filler"),
        ("read-only", "mount -t tmpfs -o size=4m tmpfs $D && touch $D/filler && mount -o remount,ro $D"),
    ];
    for (what, mount) in cases {
        let world = World::new();
        let upstream = Liar::start(world.upstream(1));
        let path = world.write("a.list", large_list(1, &["listed.example"], 3000));
        let directory = path.with_file_name("good");
        fs::create_dir(&directory).expect("our own directory");
        // Mounted in a namespace of its own, which ends with the resolver.
        let script = format!("D={}; {mount} && exec \"$@\"", directory.display());
        let prefix = ["unshare", "-m", "sh", "-c", &script, "sh"];
        let daemon = world.start_under(&prefix, &[upstream.address()], KEPT);
        assert_works_without_copy(&daemon, what);
        daemon.reload();
        assert_works_without_copy(&daemon, what);
        let inside = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), directory.display()));
        assert_eq!(names_in(&inside), ["filler"], "{what}: nothing half is left");

        // A new list is in force all the same.
        world.write("a.list", large_list(2, &["listed.example", "new.example"], 3000));
        assert!(eventually(SOON, || daemon.is_blocked("new.example")), "{what}");
        assert_works_without_copy(&daemon, what);

        if what != "read-only" {
            fs::remove_file(inside.join("filler")).expect("root may do this");
            daemon.reload();
            assert!(daemon.problems().is_empty(), "{what}: {:?}", daemon.problems());
            assert_eq!(names_in(&inside).len(), 1, "{what}: the copy is there");
        }
    }
}

#[test]
fn f19_a_missing_directory_costs_the_copy_and_nothing_else() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let path = world.write("a.list", large_list(1, &["listed.example"], 100));
    let daemon = world.start(&[upstream.address()], KEPT);
    assert_works_without_copy(&daemon, "no directory");
    fs::create_dir(path.with_file_name("good")).expect("our own directory");
    daemon.reload();
    assert!(daemon.problems().is_empty(), "{:?}", daemon.problems());
    assert_eq!(names_in(&path.with_file_name("good")).len(), 1);
}

#[test]
fn a_list_that_has_its_copy_is_not_written_again() {
    let world = World::new();
    let good = large_list(1, &["listed.example"], 3000);
    let path = world.write("a.list", &good);
    let directory = path.with_file_name("good");
    fs::create_dir(&directory).expect("our own directory");
    let daemon = world.start(&[], KEPT);
    let copy = directory.join(&names_in(&directory)[0]);
    let stamp = || fs::metadata(&copy).map(|meta| (meta.ino(), meta.ctime(), meta.ctime_nsec())).expect("the copy");
    let before = stamp();
    world.write("a.list", &good);
    assert!(daemon.reload() && daemon.is_blocked("listed.example"));
    assert_eq!(stamp(), before, "after a reload");
    daemon.break_off();
    let daemon = world.start(&[], KEPT);
    assert_eq!(stamp(), before, "after a start");
    world.write("a.list", large_list(2, &["listed.example"], 3000));
    assert!(eventually(SOON, || daemon.metric("list_serial") == 2), "{}", daemon.log());
    assert_ne!(stamp(), before);
    assert_eq!(names_in(&directory).len(), 1);
}

#[test]
fn f22_an_fsync_that_fails_is_no_success() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let path = world.write("a.list", large_list(1, &["listed.example"], 100));
    let directory = path.with_file_name("good");
    fs::create_dir(&directory).expect("our own directory");
    // A tracer that stands beside, so that the resolver is our child.
    let trace = ["strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=fsync"];
    let prefix = [&trace[..], &["-e", "inject=fsync:error=EIO"]].concat();
    let daemon = world.start_under(&prefix, &[upstream.address()], KEPT);
    assert_works_without_copy(&daemon, "fsync");
    assert!(daemon.problems()[0].contains("Input/output error"), "{:?}", daemon.problems());
    assert!(names_in(&directory).is_empty(), "{:?}", names_in(&directory));
    daemon.break_off();
    let daemon = world.start(&[upstream.address()], KEPT);
    assert!(daemon.problems().is_empty() && daemon.is_blocked("listed.example"));
}

#[test]
fn f20_p7_killed_at_any_moment_of_a_swap_the_old_list_or_the_new_one_is_there() {
    let world = World::new();
    let lists = [1, 2].map(|serial| large_list(serial, &["both.example", &format!("only{serial}.example")], 40_000));
    let path = world.write("a.list", &lists[0]);
    let (good, log) = (path.with_file_name("good"), path.with_file_name("changes.log"));
    let kept = || names_in(&good).into_iter().filter(|name| name.ends_with(".good")).collect::<Vec<_>>();
    // With the first list as its copy.
    let restore = || {
        drop(fs::remove_dir_all(&good));
        fs::create_dir(&good).expect("our own directory");
        world.write("a.list", &lists[0]);
        world.start(&[], KEPT).break_off();
        let copy = fs::read(good.join(&kept()[0])).expect("the copy");
        assert!(copy == lists[0], "the first list");
        world.write("a.list", &lists[1]);
    };
    let done = || kept().iter().any(|name| fs::read(good.join(name)).is_ok_and(|copy| copy == lists[1]));
    restore();
    world.start_doomed(&traced(log.to_str().expect("a plain path")), &[], KEPT).doomed(done);
    let changes = busiest(&fs::read_to_string(&log).expect("strace writes it"));
    let (mut seen, mut killed) = ([0, 0], 0);
    for turn in turns(20, changes) {
        restore();
        killed += usize::from(world.start_doomed(&killing(turn), &[], KEPT).doomed(done));
        // The copy has to do alone.
        world.write("a.list", "spoiled");
        let daemon = world.start(&[], KEPT);
        assert!(daemon.is_blocked("both.example"), "{turn} of {changes}");
        let blocked = ["only1.example", "only2.example"].map(|name| daemon.is_blocked(name));
        assert_ne!(blocked[0], blocked[1], "{turn} of {changes}: one list, whole");
        seen[usize::from(blocked[1])] += 1;
        assert_eq!(daemon.health()["lists"][0]["from_last_good"], true);
        daemon.break_off();
    }
    assert!(seen[0] > 0 && seen[1] > 0 && killed > 5, "{seen:?}, {killed} were killed");
}

#[test]
fn f17_p2_swapping_a_large_list_ten_times_takes_the_memory_of_two_and_with_copies_hardly_any() {
    let lists = [1, 2].map(|serial| large_list(serial, &["listed.example"], 300_000));
    let size = lists[0].len() as u64 / 1024;
    // With a copy only its table of buckets, one piece of the file, and a thread.
    for (settings, most) in [(LISTED, 2 * size + 8192), (KEPT, size / 4 + 2048)] {
        let world = World::new();
        let path = world.write("a.list", &lists[0]);
        fs::create_dir(path.with_file_name("good")).expect("our own directory");
        let daemon = world.start(&[], settings);
        assert!(daemon.is_blocked("listed.example"));
        let (resident, descriptors) = (daemon.resident(), daemon.descriptors());
        for turn in 1..=10 {
            world.write("a.list", &lists[turn % 2]);
            daemon.signal("HUP");
            let serial = [1, 2][turn % 2];
            assert!(eventually(SOON, || daemon.metric("list_serial") == serial), "{}", daemon.log());
        }
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the process runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        eprintln!("list {size} KiB, before {resident} KiB, peak {peak} KiB, after {} KiB", daemon.resident());
        assert!(peak < resident + most, "before {resident} KiB, peak {peak} KiB, list {size} KiB");
        assert!(eventually(SOON, || daemon.descriptors() <= descriptors + 2), "{}", daemon.descriptors());
        assert!(daemon.ask(&Ask::a("listed.example")).is_blocked());
    }
}
