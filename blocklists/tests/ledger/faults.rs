//! Disks, locks, kills and two writers at once: nothing is lost, and a sentence says what to do.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::Duration;

use friendly_blocklist::ledger::event::{Entry, Event};
use friendly_blocklist::ledger::rules::Refused;
use friendly_blocklist::ledger::words::Label;
use friendly_blocklist::ledger::{Ledger, LedgerError};
use signed_list::release::Class;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use crate::kill::{changes, killed_before, turns};
use crate::program::{Ended, ended};
use crate::world::{START, World, approved, case, listed, ready, reported, word};

/// Records for `count` new cases.
fn records(count: usize) -> String {
    let record = |number: usize| {
        format!(
            "{{\"version\":1,\"case_ref\":\"2026-{number}\",\"source\":\"isigurt\",\"category\":\"csam\",\"name\":\
             \"name-{number}.test\",\"dedicated_attestation\":true,\"assessed_at\":\"2026-03-01\"}}\n"
        )
    };
    (0..count).map(record).collect()
}

#[tokio::test]
async fn a_ledger_is_for_its_owner_alone_and_is_begun_once() {
    let world = World::empty("begin");
    fs::remove_dir_all(world.directory.join("work")).unwrap();
    let ledger = world.begin().await;
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(world.directory.join("work")), 0o700);
    assert_eq!(mode(world.path()), 0o600);
    assert_eq!(mode(world.directory.join("work/ledger.db-wal")), 0o600);
    ledger.close().await;

    let label = Label::parse("other").unwrap();
    let again = Ledger::create(&world.path(), &world.besa, &label, &word("al"), START).await.err().unwrap();
    assert!(matches!(again, LedgerError::Exists(_)), "{again}");
    world.open().await.unwrap().verify(None).await.unwrap();
}

#[tokio::test]
async fn a_beginning_that_was_killed_is_begun_again() {
    let world = World::empty("rebegin");
    fs::write(world.path(), "").unwrap();
    assert!(matches!(world.open().await.err().unwrap(), LedgerError::Absent(_)));
    world.begin().await.verify(None).await.unwrap();
}

#[tokio::test]
async fn what_is_no_ledger_is_told() {
    let world = World::empty("none");
    let absent = world.open().await.err().unwrap().to_string();
    assert!(absent.contains("there is no ledger") && absent.contains("ledger init"), "{absent}");
    fs::write(world.path(), "not a database, but long enough to look like a file of some kind").unwrap();
    let other = world.open().await.err().unwrap();
    assert!(matches!(other, LedgerError::Damaged { .. }), "{other}");

    let (world, ledger) = World::new("newer").await;
    ledger.close().await;
    let mut db = SqliteConnectOptions::new().filename(world.path()).connect().await.unwrap();
    db.execute("UPDATE _sqlx_migrations SET version = 99").await.unwrap();
    assert!(matches!(world.open().await.err().unwrap(), LedgerError::Newer(_)));
}

#[tokio::test]
async fn damage_is_found_and_named() {
    for (name, damage) in [("zeroed", 0), ("cut", 1)] {
        let (world, ledger) = World::new(&format!("damage-{name}")).await;
        for number in 0..40 {
            listed(&world, &ledger, &format!("isigurt/{number}"), &format!("n{number}.test"), START).await;
        }
        ledger.close().await;
        let file = OpenOptions::new().write(true).open(world.path()).unwrap();
        let length = file.metadata().unwrap().len();
        if damage == 0 {
            file.write_all_at(&[0; 8192], length / 2 / 4096 * 4096).unwrap();
        } else {
            file.set_len(length / 2).unwrap();
        }
        let found = match world.open().await {
            Err(error) => error,
            Ok(ledger) => ledger.verify(None).await.unwrap_err(),
        };
        let told = found.to_string();
        assert!(matches!(found, LedgerError::Damaged { .. } | LedgerError::Broken { .. }), "{name}: {told}");
        assert!(told.contains("copy"), "{told}");
    }
}

#[tokio::test]
async fn a_locked_ledger_says_so_and_readers_go_on() {
    let (world, ledger) = World::new("locked").await;
    ready(&world, &ledger, "isigurt/1", "one.test", START).await;
    let impatient = Ledger::open_within(&world.path(), Duration::from_millis(20)).await.unwrap();
    let mut other = SqliteConnectOptions::new().filename(world.path()).connect().await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();

    let locked = impatient.append(approved("isigurt/1", START), &world.besa, START).await.unwrap_err();
    assert!(matches!(locked, LedgerError::Locked(_)), "{locked}");
    assert!(locked.to_string().contains("nothing was written, try again"), "{locked}");
    assert!(impatient.case(&case("isigurt/1")).await.unwrap().is_some());

    other.execute("ROLLBACK").await.unwrap();
    impatient.append(approved("isigurt/1", START), &world.besa, START).await.unwrap();
    impatient.verify(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_never_fork_the_chain_and_one_of_two_equal_decisions_wins() {
    let (world, ledger) = World::new("race").await;
    let other = world.open().await.unwrap();
    let write = async |ledger: &Ledger, from: usize| {
        for number in 0..40 {
            let event = reported(&format!("isigurt/{}", from + number), Class::Legal, "one.test");
            ledger.append(event, &world.analyst, START).await.unwrap();
        }
    };
    tokio::join!(write(&ledger, 0), write(&other, 1000));
    assert_eq!(ledger.verify(None).await.unwrap().number, 6 + 80);

    ready(&world, &ledger, "isigurt/race", "two.test", START).await;
    let id = "isigurt/race";
    let approve = |ledger: &Ledger| {
        let path = ledger.path().to_owned();
        let (key, event) = (world.key("besa"), approved(id, START));
        tokio::spawn(async move {
            let person = friendly_blocklist::person::Person::read(key.as_ref()).unwrap();
            Ledger::open(&path).await.unwrap().append(event, &person, START).await
        })
    };
    let tasks: Vec<_> = (0..8).map(|_| approve(&ledger)).collect();
    let mut done = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => done += 1,
            Err(LedgerError::Refused(Refused::SameApprover(_))) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(done, 1);
    ledger.verify(None).await.unwrap();
}

#[tokio::test]
async fn two_programs_that_take_in_the_same_file_make_each_case_once() {
    let world = World::empty("programs");
    begin_now(&world).await;
    world.write("r.jsonl", records(600));
    let key = world.key("analyst");
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_friendly-blocklist"))
            .args(["intake", "r.jsonl", "--json", "--key", &key])
            .current_dir(&world.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children = [start(), start()];
    let mut new = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        new += String::from_utf8(output.stdout).unwrap().matches("\"new\"").count();
    }
    assert_eq!(new, 600);
    assert_eq!(world.open().await.unwrap().verify(None).await.unwrap().number, 2 + 600);
}

/// A ledger with an analyst that was begun at the real time, for programs that look at the clock.
async fn begin_now(world: &World) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let label = Label::parse("admin").unwrap();
    let ledger = Ledger::create(&world.path(), &world.admin, &label, &word("al"), now).await.unwrap();
    let analyst = crate::world::added(&world.analyst, "Ana", &[friendly_blocklist::ledger::event::Role::Analyst]);
    ledger.append(analyst, &world.admin, now).await.unwrap();
    ledger.close().await;
}

#[tokio::test]
async fn killed_at_any_moment_the_chain_is_whole_and_a_second_run_completes_it() {
    let world = World::empty("killed");
    begin_now(&world).await;
    world.write("r.jsonl", records(2500));
    let key = world.key("analyst");
    let arguments = ["intake", "r.jsonl", "--key", &key];
    // The same in another place, to know how much there is to interrupt.
    let measured = World::empty("killed-measured");
    begin_now(&measured).await;
    measured.write("r.jsonl", records(2500));
    let changes = changes(
        env!("CARGO_BIN_EXE_friendly-blocklist"),
        &measured.directory,
        &["intake", "r.jsonl", "--key", &measured.key("analyst")],
    );
    let mut last = 2;
    let mut killed = 0;
    for turn in turns(20, changes) {
        killed +=
            u32::from(killed_before(turn, env!("CARGO_BIN_EXE_friendly-blocklist"), &world.directory, &arguments));
        let head = world.open().await.unwrap().verify(None).await.unwrap();
        assert!(head.number >= last, "nothing that was there is lost");
        last = head.number;
    }
    assert!(killed > 0, "no run was killed");
    world.run(&arguments).fine();
    assert_eq!(world.open().await.unwrap().verify(None).await.unwrap().number, 2 + 2500);
}

/// Runs the program under strace, which makes a system call fail.
fn inject(world: &World, what: &str, arguments: &[&str]) -> Ended {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", what, env!("CARGO_BIN_EXE_friendly-blocklist")]);
    ended(strace.args(arguments).current_dir(&world.directory).stdin(Stdio::null()).output().unwrap())
}

#[tokio::test]
async fn a_full_disk_and_a_disk_that_fails_lose_nothing() {
    for (name, what, says) in [
        ("full", "inject=pwrite64:error=ENOSPC:when=4+", "the disk is full; nothing was written"),
        ("broken", "inject=pwrite64:error=EIO:when=4+", "cannot be written"),
        ("fsync", "inject=fsync,fdatasync:error=EIO:when=2+", "cannot be written"),
    ] {
        let world = World::empty(&format!("disk-{name}"));
        begin_now(&world).await;
        world.write("r.jsonl", records(300));
        let before = world.open().await.unwrap().verify(None).await.unwrap();
        let key = world.key("analyst");
        inject(&world, what, &["intake", "r.jsonl", "--key", &key]).failed_with(&["ledger.db", says]);
        let after = world.open().await.unwrap().verify(Some(&before)).await.unwrap();
        // A write that failed at the last flush may have reached the disk; it is there whole or not at all.
        assert!(after == before || name == "fsync" && after.number == before.number + 300, "{name}");
        world.run(&["intake", "r.jsonl", "--key", &key]).fine();
        assert_eq!(world.open().await.unwrap().verify(Some(&before)).await.unwrap().number, 2 + 300, "{name}");
    }
}

#[tokio::test]
async fn the_history_of_a_case_holds_everything_that_happened_to_it() {
    let (world, ledger) = World::new("history").await;
    listed(&world, &ledger, "isigurt/1", "one.test", START).await;
    listed(&world, &ledger, "isigurt/2", "two.test", START).await;
    let history = ledger.history(&case("isigurt/1")).await.unwrap();
    let kinds: Vec<&str> = history.iter().map(|entry: &Entry| entry.event.kind()).collect();
    assert_eq!(kinds, ["reported", "assessed", "classified", "approved", "approved"]);
    assert!(matches!(&history[4].event, Event::Approved { .. }) && history[4].by == world.cen.id());
    assert!(ledger.history(&case("isigurt/3")).await.unwrap().is_empty());
}
