//! Killed at any moment, a full disk, two at once: the release before stays in force, and the next run goes on.

use std::fs;
use std::process::Command;
use std::time::Duration;

use friendly_blocklist::release::draft::Wish;
use friendly_blocklist::release::outcome::Report;
use friendly_blocklist::release::publish::PublishError;
use friendly_blocklist::release::work::{Work, WorkError};
use signed_list::release::Class;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::kill::{changes, killed_before, turns};
use crate::program::{command, ended};
use crate::world::{Resolver, World, covers, outcome};

#[tokio::test]
async fn killed_at_any_moment_what_is_public_always_verifies() {
    let world = World::new("kill").await;
    let identity = world.enrol("one");
    world.legal("isigurt/0", "name-0.test").await;
    world.publish().await;
    let public = world.copy_to("public").await;
    let keys = [world.key("ana"), world.key("besa"), world.key("op")];
    let arguments = ["publish", "--to", "public", "--key", &keys[0], "--key", &keys[1], "--key", &keys[2]];
    world.legal("isigurt/1", "name-1.test").await;
    let program = env!("CARGO_BIN_EXE_friendly-blocklist");
    let changes = changes(program, &world.directory, &arguments);
    let (mut serial, mut killed, mut finished) = (2, 0, 0);
    for (number, turn) in (2u32..=40).zip(turns(39, changes)) {
        world.legal(&format!("isigurt/{number}"), &format!("name-{number}.test")).await;
        match killed_before(turn, program, &world.directory, &arguments) {
            true => killed += 1,
            false => finished += 1,
        }
        for directory in [&public, &world.work.public()] {
            let resolver = Resolver::of(directory, &world.first_root()).await.unwrap();
            let list = resolver.legal(&identity).await.unwrap();
            assert!(list.serial() >= serial, "a release that was in force is gone");
            if directory == &public {
                serial = list.serial();
            }
            // Whole releases only: every name before the newest of them, or it and those before.
            let covered: Vec<bool> = (0..=number).map(|it| covers(&list, &format!("name-{it}.test"))).collect();
            assert!(covered.is_sorted_by(|a, b| a >= b), "{covered:?}");
        }
    }
    assert!(killed >= 10, "{killed} of 39 were killed; a run made {changes} changes at first and makes much fewer now");
    // And then it goes on as if nothing had been.
    let out = ended(command(&world.directory, &arguments).output().unwrap()).fine();
    assert!(!out.out.is_empty() && killed + finished == 39);
    let resolver = Resolver::of(&public, &world.first_root()).await.unwrap();
    let list = resolver.legal(&identity).await.unwrap();
    assert!((0..=40).all(|number| covers(&list, &format!("name-{number}.test"))));
    world.ledger.verify(None).await.unwrap();
    // The ledger knows each release that is in force, and none twice.
    let releases = world.ledger.releases(Class::Legal).await.unwrap();
    assert!(releases.is_sorted_by(|a, b| a.serial < b.serial));
    assert_eq!(releases.last().unwrap().hash, list.hash());
    world.run(&["verify", "--from", "public"]).fine();
    // What was half done is gone.
    assert_eq!(fs::read_dir(world.work.staged()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_killed_commands_left_in_the_stages_is_gone_with_the_next_publish() {
    let world = World::new("left").await;
    world.publish().await;
    for left in ["legal.new", "operator.gone"] {
        fs::create_dir_all(world.work.staged().join(left).join("metadata")).unwrap();
    }
    fs::write(world.work.staged().join("online.pem.new"), "").unwrap();
    assert!(world.publish().await.classes.iter().all(|outcome| outcome.serial.is_none()));
    assert_eq!(fs::read_dir(world.work.staged()).unwrap().count(), 0);
}

#[tokio::test]
async fn nothing_is_released_from_a_ledger_whose_tables_say_something_else() {
    let world = World::new("broken").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    // Somebody takes a name off the list without an entry.
    let mut db = SqliteConnectOptions::new().filename(world.work.ledger()).connect().await.unwrap();
    sqlx::query("DELETE FROM listings WHERE case_id = 'isigurt/1'").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let error = world.try_publish(&["ana", "besa", "op"], Wish::default()).await.unwrap_err().to_string();
    assert!(error.contains("the table of listings (case isigurt/1) says something else"), "{error}");
    assert!(covers(&world.resolver().await.legal(&identity).await.unwrap(), "first.test"));
    world.run(&["ledger", "rebuild"]).fine();
    world.legal("isigurt/2", "second.test").await;
    assert!(outcome(&world.publish().await, Class::Legal).published);
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_old_release_is_served() {
    let world = World::new("full").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let public = world.copy_to("public").await;
    world.legal("isigurt/2", "second.test").await;
    let keys = [world.key("ana"), world.key("besa")];
    let program = env!("CARGO_BIN_EXE_friendly-blocklist");
    let verb = ["publish", "--class", "legal", "--to", "public", "--key", &keys[0], "--key", &keys[1]];
    // Room for less than each of the files that come one after the other: the list, and what is smaller.
    for limit in ["0", "1000", "6000", "12000"] {
        let mut limited = Command::new("sh");
        // A file that is too large is an error then, as a full disk is, and no signal.
        limited.args(["-c", "trap '' XFSZ; exec prlimit \"$@\"", "sh", &format!("--fsize={limit}"), program]);
        limited.args(verb).current_dir(&world.directory);
        let failed = ended(limited.output().expect("prlimit is installed (util-linux)"));
        assert_eq!(failed.status, Some(1), "{limit}: {failed:?}");
        assert_eq!(failed.err.lines().count(), 1, "{}", failed.err);
        let resolver = Resolver::of(&public, &world.first_root()).await.unwrap();
        let list = resolver.legal(&identity).await.unwrap();
        assert!(covers(&list, "first.test") && !covers(&list, "second.test"), "{limit}");
    }
    world.run(&verb).fine();
    let resolver = Resolver::of(&public, &world.first_root()).await.unwrap();
    assert!(covers(&resolver.legal(&identity).await.unwrap(), "second.test"));
}

#[tokio::test]
async fn f22_an_fsync_that_fails_is_told_and_the_next_run_goes_on() {
    let world = World::new("fsync").await;
    let identity = world.enrol("one");
    world.legal("isigurt/0", "name-0.test").await;
    world.publish().await;
    let public = world.copy_to("public").await;
    let keys = [world.key("ana"), world.key("besa")];
    let verb = ["publish", "--class", "legal", "--to", "public", "--key", &keys[0], "--key", &keys[1]];
    let serial = async || {
        let resolver = Resolver::of(&public, &world.first_root()).await.unwrap();
        resolver.legal(&identity).await.unwrap().serial()
    };
    let mut failed = 0;
    // All of them, and each alone that comes so late: in the ledger, in the stage, in the repository, in its copy.
    for (number, when) in (1u64..).zip(["1+", "1", "4", "8", "13", "19", "26", "34"]) {
        world.legal(&format!("isigurt/{number}"), &format!("name-{number}.test")).await;
        let before = serial().await;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qqq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
        strace.args(["-e", &format!("inject=fsync,fdatasync:error=EIO:when={when}")]);
        strace.arg(env!("CARGO_BIN_EXE_friendly-blocklist")).args(verb).current_dir(&world.directory);
        let ended = ended(strace.output().expect("install the Debian package 'strace'"));
        // What is not known to be on the disk is no success.
        if ended.status != Some(0) {
            failed += 1;
            assert_eq!((ended.status, ended.err.lines().count()), (Some(1), 1), "{when}: {ended:?}");
            assert!(ended.err.contains("put") || ended.err.contains("disk"), "{when}: {}", ended.err);
        }
        // Whole releases only, whatever came of it, and none that was in force is gone.
        assert!((before..=before + 1).contains(&serial().await), "{when}");
        world.run(&verb).fine();
        let list = Resolver::of(&public, &world.first_root()).await.unwrap().legal(&identity).await.unwrap();
        assert!((0..=number).all(|number| covers(&list, &format!("name-{number}.test"))), "{when}");
        world.ledger.verify(None).await.unwrap();
    }
    assert!(failed >= 4, "{failed} of 8 failed");
}

#[tokio::test]
async fn two_publishers_at_once_take_turns() {
    let world = World::new("two").await;
    world.publish().await;
    let lock = world.work.lock(Duration::ZERO).unwrap();
    world
        .run(&["publish", "--patience", "0", "--key", &world.key("op")])
        .failed_with(&["another command has been at work here", "nothing of it gets lost"]);
    let busy = Work::open(world.work.directory()).unwrap().lock(Duration::from_millis(50)).map(drop).unwrap_err();
    assert!(matches!(busy, WorkError::Busy { .. }), "{busy}");
    drop(lock);
    // Both wait for each other and do their part.
    world.operator(0..3).await;
    world.legal("isigurt/1", "first.test").await;
    let keys = [world.key("op"), world.key("ana"), world.key("besa")];
    let one = ["publish", "--key", &keys[0], "--to", "public"];
    let two = ["publish", "--key", &keys[1], "--key", &keys[2], "--to", "public"];
    let children: Vec<_> = [&one[..], &two[..], &one[..], &two[..]]
        .iter()
        .map(|arguments| {
            let mut command = command(&world.directory, arguments);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let ended = ended(child.wait_with_output().unwrap());
        // Whose turn it is first leaves the class of the others waiting for them.
        assert!([Some(0), Some(4)].contains(&ended.status), "{ended:?}");
    }
    let resolver = Resolver::of(&world.directory.join("public"), &world.first_root()).await.unwrap();
    assert!(covers(&resolver.open(Class::Operator).await, "operator-2.test"));
    assert_eq!(resolver.manifest(Class::Operator).await.serial, 2);
}

#[tokio::test]
async fn damaged_files_of_the_publisher_are_told_by_name() {
    let world = World::new("damaged").await;
    world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let spoil = async |name: &str, content: Option<&[u8]>, part: &str| {
        let path = world.work.directory().join(name);
        let kept = fs::read(&path).unwrap();
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let out = world.run(&["publish", "--key", &world.key("ana")]);
        assert_eq!(out.status, Some(1), "{name}");
        assert!(out.err.contains(part) && out.err.lines().count() == 1, "{part:?} is not in {:?}", out.err);
        fs::write(&path, kept).unwrap();
        // The ledger and keys may be read by nobody else.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).unwrap();
    };
    spoil("release.toml", Some(b"version = 1\nkeeep = 3\n"), "release.toml").await;
    spoil("release.toml", None, "make a work directory with `friendly-blocklist init`").await;
    spoil("scheme.toml", Some(b"version = 9"), "scheme.toml").await;
    spoil("seed", Some(b"12"), "bring it back from a backup").await;
    spoil(
        "recipients.toml",
        Some(b"version = 1\n[[recipient]]\nage = \"age1x\"\nenrolled_at = 1\n"),
        "recipients.toml",
    )
    .await;
    spoil("lists/legal/1.index", Some(b"FWINDEX1"), "1.index: is damaged").await;
    spoil("lists/legal/1.json", Some(b"{}"), "1.json: is damaged").await;
    spoil("lists/legal/1.json", None, "what was kept of release 1 is missing").await;
    spoil("public/metadata/timestamp.json", Some(b"<html>"), "timestamp.json: is not the metadata it should be").await;
    spoil("public/metadata/timestamp.json", None, "there is no repository here yet").await;
    // All good again.
    world.run(&["publish", "--key", &world.key("ana")]).fine();
    fs::set_permissions(world.work.directory(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.run(&["publish", "--key", &world.key("ana")]).failed_with(&["others can read this directory", "chmod 700"]);
}

#[tokio::test]
async fn without_the_list_of_the_release_before_all_load_the_whole_one() {
    let world = World::new("no-list").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    fs::write(world.work.kept(Class::Legal, 1, "list"), b"spoiled").unwrap();
    world.legal("isigurt/2", "second.test").await;
    world.publish().await;
    let resolver = world.resolver().await;
    assert!(resolver.manifest(Class::Legal).await.deltas.is_empty());
    assert!(covers(&resolver.legal(&identity).await.unwrap(), "second.test"));
}

#[tokio::test]
async fn a_place_that_fails_does_not_keep_the_others_waiting() {
    let world = World::new("place").await;
    world.publish().await;
    world.legal("isigurt/1", "first.test").await;
    fs::write(world.directory.join("file"), b"no directory").unwrap();
    let keys = [world.key("ana"), world.key("besa")];
    let out = world.run(&["publish", "--to", "file", "--to", "public", "--key", &keys[0], "--key", &keys[1]]);
    assert_eq!(out.status, Some(1));
    assert!(out.err.contains("file") && out.err.contains("the release before is still in force there"), "{}", out.err);
    Resolver::of(&world.directory.join("public"), &world.first_root()).await.unwrap();
    // Another repository is not written over.
    let other = World::new("place-other").await;
    other.publish().await;
    let path = other.work.public();
    world
        .run(&["publish", "--to", path.to_str().unwrap()])
        .failed_with(&["holds another repository", "nothing was changed there"]);
    Resolver::of(&path, &other.first_root()).await.unwrap();
}

#[tokio::test]
async fn an_operator_of_the_ledger_is_needed_and_nothing_goes_out_without() {
    let world = World::new("operator").await;
    world.publish().await;
    let admin = world.person("admin");
    let event = friendly_blocklist::ledger::event::Event::PersonRetired {
        person: world.work.online().unwrap().id(),
        reason: crate::world::reason(),
    };
    world.ledger.append(event, &admin, world.now()).await.unwrap();
    world.legal("isigurt/1", "first.test").await;
    let error = world.try_publish(&["ana", "besa"], Wish::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::NoOperator(..)), "{error}");
    assert_eq!(world.card(Class::Legal).serial, 1);
    let mut report = Report::default();
    world.publisher(&["op"], async |publisher| publisher.settle(&mut report).await).await.unwrap();
    assert_eq!(world.card(Class::Legal).serial, 2);
    assert!(outcome(&world.publish().await, Class::Legal).serial.is_none());
}
