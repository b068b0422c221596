//! The whole way of a decision, by changes and by whole lists.

use std::fs;

use friendly_blocklist::release::canary::Canaries;
use friendly_blocklist::release::receipts;
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, Delta, List, ListMeta, Scope};
use signed_list::name::Name;
use signed_list::release::{Class, Manifest, SPEC};

use super::forge::Forge;
use super::mirror::Lie;
use super::{SOON, Scene, names_in};
use crate::client::{Ask, NXDOMAIN, SERVFAIL};
use crate::world::{Daemon, World, eventually};

#[test]
fn a_decision_is_in_force_with_a_receipt_and_taken_back_it_resolves_again() {
    let scene = Scene::new("way");
    let daemon = scene.follow(&[Class::Legal, Class::Operator]);
    assert!(daemon.blocks("first.example") && daemon.blocks("www.bad.example") && daemon.passes("second.example"));
    let samples = |daemon: &Daemon| daemon.metric("time_to_block_seconds_count{list=\"legal\"}");
    assert_eq!(samples(&daemon), 0, "a resolver that has just been set up says nothing about the way here");

    scene.legal("isigurt/2", "second.example");
    scene.publish();
    assert!(eventually(SOON, || daemon.blocks("second.example")), "{}", daemon.log());
    let reply = daemon.ask(&Ask::a("second.example"));
    assert_eq!((reply.rcode, reply.ede()), (NXDOMAIN, vec![17]));
    assert_eq!(daemon.ask(&Ask::a("bad.example")).ede(), [15]);
    assert!(eventually(SOON, || samples(&daemon) == 1));
    assert_eq!(
        daemon.metric("time_to_block_seconds_bucket{list=\"legal\",le=\"60\"}"),
        1,
        "{}",
        daemon.get("/metrics").1
    );
    // By a change beside the list, without fetching it whole.
    assert_eq!(names_in(&scene.state(Class::Legal)).iter().filter(|name| name.ends_with(".delta")).count(), 1);
    assert!(daemon.metric("list_changes_pending{list=\"legal\"}") > 0);

    scene.runtime.block_on(scene.publisher.delist("isigurt/1"));
    scene.publish();
    assert!(eventually(SOON, || daemon.passes("first.example")), "{}", daemon.log());
    assert!(daemon.blocks("second.example"));

    let serial = scene.serial(Class::Legal);
    assert!(eventually(SOON, || daemon.metric("list_serial{list=\"legal\"}") == serial));
    let followed = daemon.followed(Class::Legal);
    assert_eq!((followed["stale"].as_bool(), followed["problem"].is_null()), (Some(false), true), "{followed}");
    let now = super::publisher::clock() / 1000;
    assert!(now - daemon.metric("list_verified_timestamp_seconds{list=\"legal\"}") < 120);
    assert_eq!(daemon.metric("list_stale{list=\"legal\"}"), 0);
    assert_eq!(daemon.metric("release_failures_total{list=\"legal\""), 0, "{}", daemon.log());

    // What the operator hands to a regulator: a receipt for each release that was in force here.
    let place = scene.state(Class::Legal).join("receipts.jws");
    assert!(eventually(SOON, || fs::read_to_string(&place).is_ok_and(|text| text.lines().count() == 3)));
    let recipients = scene.publisher.work.recipients().expect("our own");
    let releases = scene.runtime.block_on(scene.publisher.ledger.releases(Class::Legal)).expect("a ledger");
    let text = fs::read_to_string(place).expect("text");
    for (line, serial) in text.lines().zip(1..) {
        let checked = receipts::check(line, &recipients, Some(&releases)).expect("a receipt that counts");
        assert_eq!((checked.receipt.serial, checked.receipt.class), (serial, Class::Legal));
        assert_eq!(Some(checked.receipt.resolver.as_str()), followed["resolver"].as_str());
        assert!(checked.receipt.applied_at >= checked.receipt.created * 1000);
    }
    assert!(!scene.state(Class::Operator).join("receipts.jws").exists(), "an open list has no enrolled resolver");
}

#[test]
fn a_watermark_is_blocked_on_its_own_resolver_only_and_a_stranger_gets_no_list() {
    let scene = Scene::bare("watermark");
    let other = World::new();
    let ids = ["identity", "other"].map(|file| match file {
        "identity" => scene.publisher.work.recipients().expect("our own").all()[0].id(),
        file => scene.enrol(file),
    });
    scene.legal("isigurt/1", "first.example");
    scene.publish();
    let epoch = scene.publisher.card(Class::Legal).epoch.expect("a sealed class");
    let work = &scene.publisher.work;
    let watermark =
        |id: &str| Canaries::new(work.seed(), &work.scheme.ground, Class::Legal).watermark(id, epoch)[0].to_string();
    let first = scene.follow(&[Class::Legal]);
    let settings =
        scene.settings(&[Class::Legal]).replace("\"identity\"", "\"other\"").replace("\"root.json\"", "\"r\"");
    other.write("r", scene.publisher.first_root());
    other.write("other", fs::read(scene.path("other")).expect("an identity"));
    let second = other.start(&[scene.upstream.address()], &settings);
    second.wait_for_serial(Class::Legal, 1);
    for (daemon, own, foreign) in [(&first, 0, 1), (&second, 1, 0)] {
        assert!(daemon.blocks("first.example"));
        assert!(daemon.blocks(&watermark(&ids[own])) && daemon.passes(&watermark(&ids[foreign])), "{own}");
    }

    // Somebody who was never enrolled.
    other.write("other", "");
    fs::remove_file(other.write("other", "")).expect("our own file");
    let place = other.write("here", "").with_file_name("other");
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_friendly-resolver")).arg("identity").arg(&place).output();
    assert!(made.expect("the program runs").status.success());
    second.kill();
    fs::remove_dir_all(place.with_file_name("legal")).expect("its state");
    let stranger = other.start(&[scene.upstream.address()], &settings);
    stranger.wait_for_trouble(Class::Legal, "sealed", "not enrolled for epoch 1");
    assert_eq!(stranger.serial_of(Class::Legal), 0);
    assert_eq!(stranger.get("/readyz").0, 503);
}

#[test]
fn u16_without_any_list_nothing_unknown_is_answered_until_it_comes_and_later_starts_need_no_network() {
    let scene = Scene::new("start");
    scene.mirror.lie("", Lie::Reset);
    let daemon = scene.start(&[Class::Operator]);
    assert_eq!(daemon.get("/readyz").0, 503);
    daemon.wait_for_trouble(Class::Operator, "unreachable", "cannot be fetched");
    let reply = daemon.ask(&Ask::a("free.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![14]));
    assert!(daemon.get("/healthz").1.contains("not here yet"));
    scene.honest();
    // By itself, without being asked.
    assert!(eventually(SOON, || daemon.get("/readyz").0 == 200), "{}", daemon.log());
    assert!(daemon.passes("free.example") && daemon.blocks("bad.example"));
    daemon.wait_for_serial(Class::Operator, 1);
    scene.wait_until_kept(&daemon, Class::Operator);
    daemon.kill();

    scene.mirror.lie("", Lie::Reset);
    let daemon = scene.start(&[Class::Operator]);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(daemon.blocks("bad.example") && daemon.passes("free.example"));
    daemon.wait_for_trouble(Class::Operator, "unreachable", "cannot be fetched");
    assert!(daemon.blocks("bad.example"));
}

/// A list of the operator with these names.
fn list(serial: u64, names: impl Iterator<Item = String>) -> Vec<u8> {
    let categories = vec!["malware".into()];
    let mut builder =
        Builder::new(ListMeta { categories, serial, created: 1_800_000_000, key: DigestKey::OPEN, sealed: false });
    let mut suffixes = Suffixes::new();
    for name in names {
        let name = Name::parse(&name).expect("a name");
        DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
        builder.push(suffixes.get(name.labels()), name.labels() as u8, 0, Scope::Subtree);
    }
    builder.build().expect("a list")
}

/// Puts a list in force, with the change from the one before it.
pub(super) fn put(scene: &Scene, forge: &mut Forge, before: Option<&[u8]>, new: &[u8]) {
    let (op, online) = (scene.publisher.person("op"), scene.publisher.work.online().expect("our own"));
    let list = List::open(new, None).expect("a good list");
    let class = Class::Operator;
    let mut deltas = Vec::new();
    if let Some(before) = before.map(|before| List::open(before, None).expect("a good list")) {
        let delta = Delta::between(&before, &list).expect("of one family");
        deltas.push(before.serial());
        forge.replace("operator", &class.delta(before.serial(), list.serial()), &delta, &[&op], &online);
    }
    forge.replace("operator", &class.payload(list.serial()), new, &[&op], &online);
    let manifest = Manifest {
        spec: SPEC,
        class,
        serial: list.serial(),
        created: list.created(),
        epoch: None,
        shards: 0,
        categories: list.categories().to_vec(),
        entries: list.len() as u64,
        hash: list.hash(),
        length: new.len() as u64,
        deltas,
        decided: vec![super::publisher::clock()],
    };
    let manifest = serde_json::to_vec(&manifest).expect("plain data");
    forge.replace("operator", &class.manifest(), &manifest, &[&op], &online);
}

fn name(number: usize) -> String {
    format!("name-{number}.example")
}

#[test]
fn changes_and_the_whole_list_give_the_same_answers_and_merged_the_same_octets() {
    let scene = Scene::new("merge");
    let mut forge = scene.forge(3600);
    let first = list(100, (0..8000).map(name));
    put(&scene, &mut forge, None, &first);
    let daemon = scene.start(&[Class::Operator]);
    daemon.wait_for_serial(Class::Operator, 100);
    // Few changes stay beside the list.
    let second = list(101, (1000..9000).map(name));
    put(&scene, &mut forge, Some(&first), &second);
    daemon.wait_for_serial(Class::Operator, 101);
    assert_eq!(daemon.metric("list_changes_pending{list=\"operator\"}"), 2000);
    let state = scene.state(Class::Operator);
    assert!(state.join("100-101.delta").exists() && state.join("100.list").exists());

    // Somebody who comes now loads it whole.
    let other = World::new();
    other.write("root.json", scene.publisher.first_root());
    let whole = other.start(&[scene.upstream.address()], &scene.settings(&[Class::Operator]));
    whole.wait_for_serial(Class::Operator, 101);
    assert_eq!(whole.metric("list_changes_pending{list=\"operator\"}"), 0);
    for number in (0..9100).step_by(37) {
        let listed = (1000..9000).contains(&number);
        let blocked = [&daemon, &whole].map(|daemon| daemon.blocks(&format!("www.{}", name(number))));
        assert_eq!(blocked, [listed; 2], "{number}");
    }
    assert_eq!(daemon.metric("list_names{list=\"operator\"}"), 8000);

    // More of them are merged, and the same file comes out.
    let third = list(102, (4000..11_000).map(name));
    put(&scene, &mut forge, Some(&second), &third);
    daemon.wait_for_serial(Class::Operator, 102);
    whole.wait_for_serial(Class::Operator, 102);
    let merged = || daemon.metric("list_changes_pending{list=\"operator\"}") == 0;
    assert!(eventually(SOON, merged), "{}", daemon.log());
    assert!(eventually(SOON, || !state.join("100-101.delta").exists()));
    assert!(fs::read(state.join("102.list")).is_ok_and(|file| file == third), "{:?}", names_in(&state));
    assert!(daemon.blocks(&name(10_999)) && daemon.passes(&name(3999)));
    daemon.kill();
    // What was merged is what the next start takes.
    let daemon = scene.start(&[Class::Operator]);
    assert_eq!(daemon.serial_of(Class::Operator), 102);
    assert!(daemon.blocks(&name(10_999)) && daemon.passes(&name(3999)));
}

#[test]
fn u15_an_empty_list_is_refused_and_one_that_shrinks_is_in_force_and_told() {
    let scene = Scene::new("shrink");
    let mut forge = scene.forge(3600);
    let first = list(100, (0..100).map(name));
    put(&scene, &mut forge, None, &first);
    let daemon = scene.start(&[Class::Operator]);
    daemon.wait_for_serial(Class::Operator, 100);
    let empty = list(101, std::iter::empty());
    put(&scene, &mut forge, None, &empty);
    daemon.wait_for_trouble(Class::Operator, "content", "its list is empty");
    assert!(daemon.blocks(&name(99)) && daemon.serial_of(Class::Operator) == 100);

    // An error is undone as fast as it was made, and nobody has to find out by chance.
    let small = list(102, (0..10).map(name));
    put(&scene, &mut forge, None, &small);
    daemon.wait_for_serial(Class::Operator, 102);
    assert!(daemon.passes(&name(99)) && daemon.blocks(&name(9)));
    daemon.wait_for_peace(Class::Operator);
    let told = "release 102 has 10 names where release 100 had 100";
    assert!(daemon.get("/healthz").1.contains(told) && daemon.log().contains(told), "{}", daemon.log());
}

/// A list that is larger than metadata may be.
#[test]
fn a_list_of_two_million_names_is_fetched_and_stands_in_memory_once_at_most() {
    let scene = Scene::new("large");
    let mut forge = scene.forge(3600);
    let meta =
        ListMeta { categories: vec!["malware".into()], serial: 100, created: 1, key: DigestKey::OPEN, sealed: false };
    let mut builder = Builder::new(meta);
    for number in 0..2_000_000u64 {
        builder.push(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), 2, 0, Scope::Subtree);
    }
    let large = builder.build().expect("a list");
    let size = large.len() as u64 / 1024;
    assert!(size > 17 << 10, "{size}");
    put(&scene, &mut forge, None, &large);
    let daemon = scene.start(&[Class::Operator]);
    let before = daemon.resident();
    daemon.wait_for_serial(Class::Operator, 100);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("the process runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    eprintln!("list {size} KiB, before {before} KiB, peak {peak} KiB, after {} KiB", daemon.resident());
    assert!(peak < before + size + size * 3 / 4 + 8192, "before {before} KiB, peak {peak} KiB, list {size} KiB");
}
