//! Disks, clocks and processes that fail: nothing is lost, the last good list is in force, and the alarm names the cause.

use std::fs;
use std::path::Path;

use friendly_blocklist::release::draft::Wish;
use signed_list::release::Class;

use super::kill::{busiest, killing, traced, turns};
use super::mirror::Lie;
use super::{SOON, Scene, names_in};
use crate::rights::is_root;
use crate::world::{Daemon, eventually};

const CLASS: Class = Class::Operator;

/// Starts below libfaketime, with the clock that a file says.
fn start_at(scene: &Scene, class: Class, time: &str) -> Daemon {
    start_under_clock(scene, time, &[], &scene.settings(&[class]))
}

/// The same with more of an environment and with these settings.
pub(super) fn start_under_clock(scene: &Scene, time: &str, environment: &[&str], settings: &str) -> Daemon {
    let directories = fs::read_dir("/usr/lib").expect("a system with libraries");
    let library = directories
        .flatten()
        .map(|directory| directory.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
        .expect("the Debian package faketime is installed");
    let clock = scene.world.write("clock", format!("{time}\n"));
    let library = format!("LD_PRELOAD={}", library.display());
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", clock.display());
    let prefix = ["env", &library, &file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"];
    scene.world.start_under(&[&prefix, environment].concat(), &[scene.upstream.address()], settings)
}

#[test]
fn f20_p7_killed_at_any_moment_the_next_start_has_the_old_list_or_the_new_one() {
    let scene = Scene::new("kill");
    let class = Class::Legal;
    scene.follow(&[class]).kill();
    let (state, saved, log) = (scene.state(class), scene.path("saved"), scene.path("changes.log"));
    let restore = |from: &Path, to: &Path| {
        drop(fs::remove_dir_all(to));
        super::forge::copy(from, to);
    };
    // A change of the list, and a whole one in a new epoch.
    for (number, new_epoch) in [(2, false), (3, true)] {
        restore(&state, &saved);
        let (before, name) = (scene.serial(class), format!("new-{number}.example"));
        scene.legal(&format!("isigurt/{number}"), &name);
        scene.runtime.block_on(scene.publisher.publish_with(Wish { new_epoch, ..Wish::default() }));
        let held = format!("\"serial\": {},", before + 1);
        let done = || fs::read_to_string(state.join("held.json")).is_ok_and(|text| text.contains(&held));
        let start = |prefix: &[String]| {
            scene.world.start_doomed(prefix, &[scene.upstream.address()], &scene.settings(&[class]))
        };
        start(&traced(log.to_str().expect("a plain path"))).doomed(done);
        let changes = busiest(&fs::read_to_string(&log).expect("strace writes it"));
        let (mut seen, mut killed) = ([0, 0], 0);
        for turn in turns(20, changes) {
            restore(&saved, &state);
            killed += usize::from(start(&killing(turn)).doomed(done));
            // What is on the disk has to do alone.
            scene.mirror.lie("", Lie::Reset);
            let daemon = scene.start(&[class]);
            let serial = daemon.serial_of(class);
            assert!((before..=before + 1).contains(&serial), "{turn} of {changes}: {serial}\n{}", daemon.log());
            assert!(!daemon.log().contains("cannot be used"), "{}", daemon.log());
            assert!(daemon.blocks("first.example") && daemon.passes("free.example"));
            assert_eq!(daemon.blocks(&name), serial > before, "{turn} of {changes}");
            seen[usize::from(serial > before)] += 1;
            scene.honest();
            daemon.wait_for_serial(class, before + 1);
            assert!(daemon.blocks(&name));
            scene.wait_until_kept(&daemon, class);
            daemon.kill();
        }
        assert!(seen[0] > 0 && seen[1] > 0 && killed > 5, "{seen:?}, {killed} were killed");
    }
}

#[test]
fn f21_each_file_of_the_directory_may_be_damaged() {
    let scene = Scene::new("damage");
    let class = Class::Legal;
    let state = scene.state(class);
    let daemon = scene.follow(&[class]);
    // A whole list in an epoch of its own, so that the one before it stays, and a change beside it.
    for (case, name, new_epoch) in [("isigurt/2", "second.example", true), ("isigurt/3", "third.example", false)] {
        scene.legal(case, name);
        scene.runtime.block_on(scene.publisher.publish_with(Wish { new_epoch, ..Wish::default() }));
        daemon.wait_for_serial(class, scene.serial(class));
        scene.wait_until_kept(&daemon, class);
    }
    daemon.kill();
    let saved = scene.path("saved");
    super::forge::copy(&state, &saved);
    let mut files = Vec::new();
    for folder in ["", "trusted", "metadata"] {
        let folder_path = saved.join(folder);
        let names = names_in(&folder_path).into_iter().filter(|name| folder_path.join(name).is_file());
        files.extend(names.map(|name| Path::new(folder).join(name)));
    }
    assert!(files.len() > 10, "{files:?}");
    for file in &files {
        for (how, damage) in [("empty", 0), ("cut", 1), ("changed", 2)] {
            fs::remove_dir_all(&state).expect("its state");
            super::forge::copy(&saved, &state);
            let mut content = fs::read(state.join(file)).expect("a file");
            let half = content.len() / 2;
            match damage {
                0 => content.clear(),
                1 => content.truncate(half),
                _ if content.is_empty() => continue,
                _ => content[half] ^= 0x10,
            }
            fs::write(state.join(file), content).expect("our own copy");
            let what = format!("{} {how}", file.display());
            // Without a network, as far as that goes.
            scene.mirror.lie("", Lie::Reset);
            let daemon = scene.start(&[class]);
            let (serial, ready) = (daemon.serial_of(class), daemon.get("/readyz").0);
            let told = daemon.log().contains("cannot be used");
            let least = match file.to_str().expect("a plain path") {
                "2.list" | "envelope-2.age" => 1,
                "held.json" | "2-3.delta" => 2,
                _ => 3,
            };
            // A change may also do no harm, in a description say.
            assert!(
                serial >= least && told == (serial < 3) && ready == 200,
                "{what}: {serial}, {told}\n{}",
                daemon.log()
            );
            for (name, since) in [("first.example", 1), ("second.example", 2), ("third.example", 3)] {
                assert_eq!(daemon.blocks(name), since <= serial, "{what}: {name}");
            }
            assert!(daemon.passes("free.example"), "{what}");
            scene.honest();
            daemon.wait_for_serial(class, 3);
            daemon.wait_for_peace(class);
            assert!(
                ["first.example", "second.example", "third.example"].iter().all(|name| daemon.blocks(name)),
                "{what}"
            );
            assert!(daemon.passes("free.example"), "{what}");
            scene.wait_until_kept(&daemon, class);
            daemon.kill();
            // And it is whole again.
            scene.mirror.lie("", Lie::Reset);
            let daemon = scene.start(&[class]);
            assert_eq!(daemon.serial_of(class), 3, "{what}");
            assert!(!daemon.log().contains("cannot be used"), "{what}: {}", daemon.log());
            scene.honest();
            daemon.kill();
        }
    }
}

/// Not while the resolver is writing a file there.
const READ_ONLY: &str = "until mount -o remount,ro $D 2>/dev/null; do :; done";

#[test]
fn f18_f19_a_disk_that_is_full_or_read_only_refuses_the_release_and_keeps_the_list() {
    if !is_root() {
        return;
    }
    for (what, fill, mend) in [("full", "head -c 4m /dev/zero >$D/filler; true", true), ("read-only", READ_ONLY, false)]
    {
        let scene = Scene::new(&format!("disk-{what}"));
        let state = scene.state(CLASS);
        fs::create_dir(&state).expect("our own directory");
        // Mounted in a namespace of its own, which ends with the resolver.
        let script = format!("D={}; mount -t tmpfs -o size=1m tmpfs $D && exec \"$@\"", state.display());
        let prefix = ["unshare", "-m", "sh", "-c", &script, "sh"];
        let daemon = scene.world.start_under(&prefix, &[scene.upstream.address()], &scene.settings(&[CLASS]));
        daemon.wait_for_serial(CLASS, 1);
        let inside = |script: &str| {
            let script = format!("D={}; {script}", state.display());
            let pid = daemon.pid().to_string();
            let ended = std::process::Command::new("nsenter").args(["-m", "-t", &pid, "sh", "-c", &script]).status();
            assert!(ended.is_ok_and(|status| status.success()), "{script}");
        };
        inside(fill);
        scene.operator("operator/2", "second.example");
        scene.publish();
        daemon.wait_for_trouble(CLASS, "disk", "has room, and that this user may write to it");
        assert!(
            daemon.blocks("bad.example") && daemon.passes("free.example") && daemon.serial_of(CLASS) == 1,
            "{what}"
        );
        if mend {
            inside("rm $D/filler");
            daemon.wait_for_serial(CLASS, 2);
            daemon.wait_for_peace(CLASS);
            assert!(daemon.blocks("second.example"));
        }
    }
}

#[test]
fn f22_an_fsync_that_fails_is_told_and_mended_later() {
    let scene = Scene::new("fsync");
    let daemon = scene.follow(&[CLASS]);
    daemon.kill();
    scene.operator("operator/2", "second.example");
    scene.publish();
    let trace = ["strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=fsync"];
    let prefix = [&trace[..], &["-e", "inject=fsync:error=EIO"]].concat();
    let daemon = scene.world.start_under(&prefix, &[scene.upstream.address()], &scene.settings(&[CLASS]));
    daemon.wait_for_trouble(CLASS, "disk", "Input/output error");
    assert!(daemon.blocks("bad.example") && daemon.passes("free.example"));
    daemon.kill();
    let daemon = scene.follow(&[CLASS]);
    assert!(daemon.blocks("second.example"));
    daemon.wait_for_peace(CLASS);
}

#[test]
fn f23_u4_a_server_that_is_down_for_a_week_leaves_a_stale_list_that_filters() {
    let scene = Scene::new("week");
    let daemon = scene.follow(&[CLASS]);
    assert!(eventually(SOON, || scene.state(CLASS).join("verified").exists()));
    daemon.kill();
    scene.mirror.lie("", Lie::Reset);
    for (time, stale, words) in [("+2d", 0, "for a day"), ("+8d", 1, "is stale")] {
        let daemon = start_at(&scene, CLASS, time);
        daemon.wait_for_trouble(CLASS, "unreachable", "cannot be fetched");
        assert!(daemon.blocks("bad.example") && daemon.passes("free.example"), "{time}");
        assert_eq!(daemon.metric("list_stale{list=\"operator\"}"), stale, "{time}");
        assert_eq!(daemon.followed(CLASS)["stale"], stale == 1);
        assert!(daemon.get("/healthz").1.contains(words), "{time}");
        assert_eq!(daemon.get("/readyz").0, 200);
        daemon.kill();
    }
    // A server that is there, and shows what it showed a week ago.
    scene.honest();
    let daemon = start_at(&scene, CLASS, "+8d");
    daemon.wait_for_trouble(CLASS, "expired", "its time is over");
    assert!(daemon.blocks("bad.example") && daemon.metric("list_stale{list=\"operator\"}") == 1);
    daemon.kill();
    let daemon = scene.follow(&[CLASS]);
    daemon.wait_for_peace(CLASS);
    assert_eq!(daemon.metric("list_stale{list=\"operator\"}"), 0);
}

#[test]
fn f25_u11_wrong_clocks_refuse_nothing_for_ever_and_never_stop_filtering() {
    let scene = Scene::new("clock");
    scene.follow(&[CLASS]).kill();
    let daemon = start_at(&scene, CLASS, "+0");
    let set = |time: &str| drop(scene.world.write("clock", format!("{time}\n")));
    daemon.wait_for_peace(CLASS);
    for (number, time) in ["+365d", "-365d", "@1970-01-01 00:00:10", "+0"].into_iter().enumerate() {
        set(time);
        let before = scene.serial(CLASS);
        let new = format!("clock-{number}.example");
        scene.operator(&format!("operator/{}", 10 + number), &new);
        scene.publish();
        if time == "+365d" {
            daemon.wait_for_trouble(CLASS, "expired", "or the clock is wrong");
            assert_eq!(daemon.serial_of(CLASS), before);
        } else {
            // A clock that is behind cannot tell what is over, and takes what is newer.
            daemon.wait_for_serial(CLASS, before + 1);
            assert!(daemon.blocks(&new), "{time}");
        }
        assert!(daemon.blocks("bad.example") && daemon.passes("free.example"), "{time}");
        assert_eq!((daemon.get("/metrics").0, daemon.get("/readyz").0), (200, 200), "{time}");
    }
    daemon.wait_for_peace(CLASS);
    // Said a moment after the release is in force.
    assert!(eventually(SOON, || daemon.metric("list_stale{list=\"operator\"}") == 0), "{}", daemon.log());
    scene.wait_until_kept(&daemon, CLASS);
    daemon.kill();
    for time in ["+365d", "@1970-01-01 00:00:10"] {
        let daemon = start_at(&scene, CLASS, time);
        assert!(daemon.blocks("bad.example") && daemon.blocks("clock-3.example"), "{time}");
        daemon.kill();
    }
}

#[test]
fn u17_a_second_resolver_with_the_same_directory_does_not_start() {
    let scene = Scene::new("two");
    let daemon = scene.follow(&[CLASS]);
    let other = scene.path("other.toml");
    let config = scene.world.config(&[scene.upstream.address()], &scene.settings(&[CLASS]));
    fs::write(
        &other,
        config.replace(&format!("{}:", scene.world.address(1)), &format!("{}:", scene.world.address(12))),
    )
    .expect("our own directory");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_friendly-resolver"));
    let ended = command.arg("run").arg("--config").arg(&other).output().expect("the program runs");
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && text.contains("another resolver follows a list with this directory"), "{text}");
    assert!(daemon.blocks("bad.example"));
    daemon.kill();
    // A lock ends with its process.
    assert!(scene.start(&[CLASS]).blocks("bad.example"));
}
