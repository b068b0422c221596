//! Bad configurations and bad lists: the state before stays, and everybody who
//! looks is told why.

use std::fs;
use std::path::Path;

use super::{LISTED, RESOLVER, SOON, large_list, list_made_at, run};
use crate::liar::Liar;
use crate::world::{World, eventually};

/// Files that are no good list, and what has to be said of them.
fn spoiled() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = large_list(7, &["listed.example"], 200);
    let flipped = |at: usize| {
        let mut list = good.clone();
        list[at] ^= 4;
        list
    };
    let mut newer = good.clone();
    newer[8] = 3;
    let mut older = good.clone();
    older[8] = 1;
    let page = b"<!DOCTYPE html><title>Welcome to our hotspot</title>".repeat(20);
    vec![
        ("one bit in its head", flipped(72), "damaged"),
        ("one bit in its middle", flipped(good.len() / 2), "damaged"),
        ("one bit at its end", flipped(good.len() - 1), "damaged"),
        ("empty", Vec::new(), "not a list"),
        ("cut in its mark", good[..5].to_vec(), "octets"),
        ("cut in its head", good[..100].to_vec(), "octets"),
        ("cut in its middle", good[..good.len() / 2].to_vec(), "octets"),
        ("cut by one octet", good[..good.len() - 1].to_vec(), "octets"),
        ("too long", [&good[..], b"\n"].concat(), "octets"),
        ("of a newer version", newer, "version 3"),
        ("of an older version", older, "version 1"),
        ("a page of a captive portal", page, "not a list"),
        ("of an unknown category", list_made_at(1, 8, "wine", ["listed.example".into()]), "[category.wine]"),
    ]
}

#[test]
fn f21_f24_a_spoiled_list_is_told_by_name_and_the_one_before_goes_on_filtering() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let good = large_list(1, &["listed.example"], 200);
    world.write("a.list", &good);
    let daemon = world.start(&[upstream.address()], LISTED);
    for (what, list, words) in spoiled() {
        world.write("a.list", &list);
        daemon.signal("HUP");
        let all = ["a.list", words, "serial 1", "in memory", "mend the file"];
        let told = || daemon.problems().iter().any(|problem| all.iter().all(|word| problem.contains(word)));
        assert!(eventually(SOON, told), "{what}: {:?}", daemon.problems());
        assert_eq!(daemon.metric("last_reload_successful"), 0, "{what}");
        assert_eq!(daemon.metric("list_from_last_good"), 1, "{what}");
        assert!(daemon.is_blocked("listed.example"), "{what}");
        assert_eq!(daemon.health()["lists"][0]["serial"], 1, "{what}");
    }
    // Gone altogether, and a directory in its place.
    let path = world.write("a.list", &good);
    for make in [|path: &Path| fs::remove_file(path), |path: &Path| fs::create_dir(path)] {
        make(&path).expect("our own directory");
        assert!(daemon.reload() && daemon.is_blocked("listed.example"));
        assert!(daemon.problems()[0].contains("a.list"));
    }
    // Told again to whoever asks for a reload, and not by itself.
    let said = || daemon.log().matches("WARN").count();
    let before = said();
    assert!(daemon.reload() && daemon.problems().len() == 1);
    assert!(eventually(SOON, || said() == before + 1), "{}", daemon.log());
    fs::remove_dir(&path).expect("our own directory");
    world.write("a.list", &good);
    assert!(eventually(SOON, || daemon.problems().is_empty()), "{}", daemon.log());
    assert_eq!(daemon.metric("list_from_last_good"), 0);
    assert!(daemon.is_blocked("listed.example"));
}

#[test]
fn f24_a_spoiled_list_keeps_neither_the_configuration_nor_another_list_back() {
    let rules = "[[policy]]\nname = \"all\"\nnetworks = [\"0.0.0.0/0\"]\ndeny = [\"denied.example\"]\n";
    for last_good in ["", "last_good = \"good\"\n"] {
        let world = World::new();
        let upstream = Liar::start(world.upstream(1));
        let path = world.write_list("a.list", 1, &[("adult", "a.example")]);
        fs::create_dir(path.with_file_name("good")).expect("our own directory");
        world.write_list("b.list", 1, &[("adult", "old.example")]);
        let lists = |files: &str| format!("[lists]\nfiles = [{files}]\n{last_good}{rules}");
        let before = lists("\"a.list\", \"b.list\"").replace(rules, "");
        let daemon = world.start(&[upstream.address()], &before);

        // One spoiled, one new, one more, and a rule.
        world.write("a.list", "spoiled");
        world.write_list("b.list", 2, &[("adult", "new.example")]);
        world.write_list("c.list", 3, &[("gambling", "c.example")]);
        let after = lists("\"c.list\", \"a.list\", \"b.list\"")
            + "[category.gambling]\nlayer = \"family\"\n[category.adult]\nlayer = \"family\"\n";
        world.write("friendly.toml", world.config(&[upstream.address()], &after));
        let all =
            || ["a.example", "new.example", "c.example", "denied.example"].iter().all(|name| daemon.is_blocked(name));
        assert!(eventually(SOON, all), "{last_good}: {}", daemon.log());
        assert!(daemon.resolves("old.example"));
        assert_eq!(daemon.problems().len(), 1, "{:?}", daemon.problems());
        let told = daemon.problems().remove(0);
        assert!(["a.list", "not a list", "serial 1"].iter().all(|word| told.contains(word)), "{told}");
        for (list, old) in [("a.list", 1), ("b.list", 0), ("c.list", 0)] {
            assert_eq!(daemon.metric(&format!("list_from_last_good{{list=\"{list}\"}}")), old, "{list}");
        }

        // What the configuration does not name any more is gone.
        world.write("friendly.toml", world.config(&[upstream.address()], &after.replace("\"a.list\", ", "")));
        assert!(eventually(SOON, || daemon.resolves("a.example")), "{}", daemon.log());
        assert!(daemon.problems().is_empty() && daemon.is_blocked("new.example"));
        // And what was never in force is an error.
        world.write("friendly.toml", world.config(&[upstream.address()], &after.replace("a.list", "d.list")));
        assert!(eventually(SOON, || daemon.metric("last_reload_successful") == 0));
        assert!(daemon.problems()[0].contains("d.list") && daemon.is_blocked("new.example"));
    }
}

#[test]
fn f21_p6_a_start_with_a_spoiled_list_fails_with_one_sentence() {
    let world = World::new();
    let config = world.write("friendly.toml", world.config(&[], LISTED));
    for (what, list, words) in spoiled() {
        let path = world.write("a.list", list);
        let ended = run(&[RESOLVER, "--config", config.to_str().expect("a plain path")]);
        eprintln!("{what}: {}", ended.err.trim_end());
        ended.assert_refused(&[path.to_str().expect("a plain path"), words]);
    }
}

#[test]
fn f21_p6_p7_a_start_with_a_spoiled_list_takes_the_last_good_copy_and_says_so() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let good = large_list(1, &["listed.example"], 200);
    let path = world.write("a.list", &good);
    let settings = format!("{LISTED}last_good = \"good\"\n");
    fs::create_dir(path.with_file_name("good")).expect("our own directory");
    drop(world.start(&[upstream.address()], &settings));
    for (what, list, words) in spoiled() {
        world.write("a.list", &list);
        let daemon = world.start(&[upstream.address()], &settings);
        assert!(daemon.is_blocked("listed.example"), "{what}");
        let is_told = || {
            let health = daemon.health();
            assert_eq!(health["lists"][0]["serial"], 1, "{what}: {health}");
            assert_eq!(health["lists"][0]["from_last_good"], true, "{what}: {health}");
            let problems = daemon.problems();
            let told = |problem: &String| problem.contains("last good copy") && problem.contains(words);
            problems.iter().any(told) && daemon.metric("list_from_last_good") == 1
        };
        assert!(is_told(), "{what}: {:?}", daemon.problems());
        // As long as it is so, a reload does not make it look better.
        daemon.reload();
        assert!(is_told(), "{what}, after a reload: {:?}", daemon.problems());
        daemon.break_off();
    }
    let daemon = world.start(&[upstream.address()], &settings);
    world.write("a.list", &good);
    assert!(eventually(SOON, || daemon.problems().is_empty()), "{:?}", daemon.problems());
    assert_eq!(daemon.health()["lists"][0]["from_last_good"], false);
}

#[test]
fn f21_a_spoiled_last_good_copy_is_not_trusted_either() {
    let world = World::new();
    let good = large_list(1, &["listed.example"], 200);
    let path = world.write("a.list", &good);
    let directory = path.with_file_name("good");
    fs::create_dir(&directory).expect("our own directory");
    let settings = format!("{LISTED}last_good = \"good\"\n");
    drop(world.start(&[], &settings));
    let copy = fs::read_dir(&directory).expect("our own directory").next().expect("one copy").expect("a file").path();
    let config = path.with_file_name("friendly.toml");
    for (what, list, words) in spoiled() {
        fs::write(&copy, &list).expect("our own directory");
        world.write("a.list", &list);
        eprintln!("{what}");
        run(&[RESOLVER, "--config", config.to_str().expect("a plain path")]).assert_refused(&["a.list", words]);
    }
    // The file is good again, and so is the copy.
    world.write("a.list", &good);
    let daemon = world.start(&[], &settings);
    assert!(daemon.is_blocked("listed.example") && daemon.problems().is_empty());
    assert_eq!(fs::read(&copy).expect("the copy"), good);
}

#[test]
fn f32_an_error_in_the_configuration_changes_nothing_and_is_told_with_file_and_line() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let mut daemon = world.start(&[upstream.address()], LISTED);
    let good = world.config(&[upstream.address()], LISTED);
    let end = good.lines().count();
    let cases = [
        ("listn = 3\n".to_owned() + &good, 1, "listn"),
        (good.clone() + "[server\n", end + 1, ""),
        (good.replace("version = 1", "version = 2"), 1 + line_of(&good, "version = 1"), "version"),
        (String::new(), 1, "version"),
    ];
    for (text, line, word) in cases {
        let path = world.write("friendly.toml", &text);
        daemon.signal("HUP");
        let place = format!("{}:{line}: ", path.display());
        let told = || daemon.problems().iter().any(|problem| problem.contains(&place) && problem.contains(word));
        assert!(eventually(SOON, told), "{place} {word}: {:?}", daemon.problems());
        assert_eq!(daemon.metric("last_reload_successful"), 0);
        assert!(daemon.is_blocked("listed.example") && daemon.resolves("free.example"));
    }
    let path = world.write("friendly.toml", &good);
    assert!(eventually(SOON, || daemon.metric("last_reload_successful") == 1));
    assert!(daemon.problems().is_empty());
    fs::remove_file(path).expect("our own file");
    assert!(eventually(SOON, || daemon.metric("last_reload_successful") == 0));
    assert!(daemon.is_alive() && daemon.is_blocked("listed.example"));
    assert!(daemon.problems()[0].contains("friendly.toml"));
}

fn line_of(text: &str, words: &str) -> usize {
    text.lines().position(|line| line.contains(words)).expect("the words are there")
}

#[test]
fn a_change_that_needs_a_start_is_noted_until_there_is_one() {
    let world = World::new();
    let daemon = world.start(&[], "");
    let upstream = world.upstream(1);
    let before = world.config(&[upstream], "");
    let moved = before.replace(&daemon.address.to_string(), &format!("{}:5301", world.address(1)));
    assert_ne!(before, moved);
    world.write("friendly.toml", &moved);
    let noted =
        || daemon.problems().iter().any(|problem| problem.contains("[server] listen takes effect at the next start"));
    assert!(eventually(SOON, noted), "{:?}", daemon.problems());
    assert!(daemon.reload() && noted(), "it is still so after the next reload");
    assert_eq!(daemon.ask(&crate::client::Ask::a("x.test")).rcode, crate::client::NXDOMAIN);
    world.write("friendly.toml", &before);
    assert!(eventually(SOON, || !noted()), "{:?}", daemon.problems());
}
