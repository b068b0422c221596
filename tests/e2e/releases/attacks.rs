//! Attacks on a signed feed. After each of them the list of before is in force, metrics and health name the cause, and
//! when it ends the resolver follows again.

use std::fs;

use friendly_blocklist::person::Person;
use friendly_blocklist::release::ceremony::Change;
use friendly_blocklist::release::outcome::Report;
use signed_list::release::Class;

use super::mirror::Lie;
use super::{SOON, Scene};
use crate::world::{Daemon, eventually};

const CLASS: Class = Class::Operator;

/// What was in force is in force, and nothing else.
fn assert_unmoved(daemon: &Daemon, serial: u64, what: &str) {
    assert!(daemon.blocks("bad.example") && daemon.passes("free.example"), "{what}");
    assert_eq!(daemon.serial_of(CLASS), serial, "{what}");
    assert!(daemon.get("/healthz").1.contains("\"degraded\""), "{what}");
    assert_eq!(daemon.get("/readyz").0, 200, "{what}");
}

#[test]
fn u1_u5_u6_u13_u16_what_is_changed_cut_endless_elsewhere_or_not_there_is_refused() {
    let scene = Scene::new("lies");
    let daemon = scene.follow(&[CLASS]);
    let html = || Lie::Content(b"<!DOCTYPE html><title>Please log in</title>".to_vec());
    let cases = [
        ("F24 captive portal", "", html(), "metadata", "no metadata at all"),
        ("U16 server error", "", Lie::Status(500), "unreachable", "answered with status 500"),
        ("U16 not there", "snapshot.json", Lie::Status(404), "unreachable", "is not there (404)"),
        ("U13 redirect", "timestamp", Lie::Redirect("http://127.0.0.1:1/".into()), "unreachable", "status 302"),
        (
            "U13 to metadata of the cloud",
            "targets/",
            Lie::Redirect("http://169.254.169.254/".into()),
            "unreachable",
            "302",
        ),
        ("U16 reset", "", Lie::Reset, "unreachable", "cannot be fetched"),
        ("U1 timestamp", "timestamp", Lie::Flip(80), "", ""),
        ("U1 snapshot", "snapshot.json", Lie::Flip(80), "mismatch", "changed on the way"),
        ("U1 role", "operator.json", Lie::Flip(80), "mismatch", "changed on the way"),
        ("U1 manifest", "operator/manifest.json", Lie::Flip(80), "mismatch", "changed on the way"),
        ("U1 list and change", ".list|.delta", Lie::Flip(400), "mismatch", "changed on the way"),
        ("U1 cut", ".list|.delta", Lie::Cut(1), "mismatch", "changed on the way"),
        ("U6 endless timestamp", "timestamp", Lie::Endless, "too_large", "was not read on"),
        ("U6 endless metadata", "operator.json", Lie::Endless, "too_large", "was not read on"),
        ("U6 endless list", ".list|.delta", Lie::Endless, "too_large", "was not read on"),
        ("U6 announced", ".list|.delta", Lie::Announce(1 << 40), "too_large", "was not read on"),
        ("U6 less than announced", ".list|.delta", Lie::Announce(200), "", ""),
    ];
    for (number, (what, part, lie, reason, words)) in cases.into_iter().enumerate() {
        eprintln!("{what}");
        let before = scene.serial(CLASS);
        scene.mirror.lie(part, lie);
        let new = format!("new-{number}.example");
        scene.operator(&format!("operator/{}", 100 + number), &new);
        scene.publish();
        if reason.is_empty() {
            // Refused in one way or another.
            daemon.signal("HUP");
            assert!(eventually(SOON, || !daemon.trouble(CLASS).is_empty()), "{what}");
        } else {
            daemon.wait_for_trouble(CLASS, reason, words);
        }
        assert_unmoved(&daemon, before, what);
        assert!(daemon.passes(&new), "{what}");
        scene.honest();
        daemon.wait_for_serial(CLASS, before + 1);
        daemon.wait_for_peace(CLASS);
        assert!(daemon.blocks(&new), "{what}");
    }
}

#[test]
fn u6_a_server_that_drips_or_says_nothing_is_left() {
    let scene = Scene::new("drip");
    let daemon = scene.follow(&[CLASS]);
    for (part, lie, reason, words) in [
        ("timestamp", Lie::Drip, "too_slow", "did not arrive within"),
        ("timestamp", Lie::Silence, "unreachable", "cannot be fetched"),
    ] {
        scene.mirror.lie(part, lie);
        daemon.wait_for_trouble(CLASS, reason, words);
        assert_unmoved(&daemon, 1, reason);
        scene.honest();
        daemon.wait_for_peace(CLASS);
    }
}

#[test]
fn u4_nothing_is_not_taken_for_something_unchanged() {
    let scene = Scene::new("unmodified");
    scene.mirror.lie("timestamp", Lie::Status(304));
    let daemon = scene.start(&[CLASS]);
    daemon.wait_for_trouble(CLASS, "unreachable", "status 304");
    assert!(daemon.followed(CLASS)["verified"].is_null());
    scene.honest();
    daemon.wait_for_serial(CLASS, 1);
}

#[test]
fn u2_u4_u5_older_frozen_and_mixed_metadata_is_refused() {
    let scene = Scene::new("older");
    let daemon = scene.follow(&[CLASS]);
    let public = scene.publisher.work.public();
    let old = fs::read(public.join("metadata/timestamp.json")).expect("a timestamp");
    scene.operator("operator/2", "second.example");
    scene.publish();
    daemon.wait_for_serial(CLASS, 2);

    scene.mirror.lie("timestamp", Lie::Content(old));
    daemon.wait_for_trouble(CLASS, "rollback", "older than what was trusted before");
    assert_unmoved(&daemon, 2, "rollback");
    assert!(daemon.blocks("second.example"));
    scene.honest();
    daemon.wait_for_peace(CLASS);

    // After a start as before it.
    scene.wait_until_kept(&daemon, CLASS);
    daemon.kill();
    let older = scene.publisher.directory.join("older");
    super::forge::copy(&public, &older);
    scene.operator("operator/3", "third.example");
    scene.publish();
    let daemon = scene.start(&[CLASS]);
    daemon.wait_for_serial(CLASS, 3);
    scene.wait_until_kept(&daemon, CLASS);
    daemon.kill();
    scene.mirror.serve(&older);
    let daemon = scene.start(&[CLASS]);
    daemon.wait_for_trouble(CLASS, "rollback", "(rollback)");
    assert_unmoved(&daemon, 3, "rollback after a start");
    scene.honest();
    daemon.wait_for_peace(CLASS);

    // Signed by the publisher's own key, but over, and then for three seconds only.
    let online = scene.publisher.work.online().expect("our own");
    scene.forge(-60).fronts(500, &online);
    daemon.wait_for_trouble(CLASS, "expired", "its time is over");
    scene.forge(3).fronts(500, &online);
    daemon.wait_for_trouble(CLASS, "expired", "nothing but metadata that expired at 20");
    assert_unmoved(&daemon, 3, "frozen");
    // Files of other versions in the place of those that are wanted.
    let mut forge = scene.forge(3600);
    forge.fronts(600, &online);
    fs::copy(forge.directory.join("metadata/1.snapshot.json"), forge.directory.join("metadata/600.snapshot.json"))
        .expect("our own copy");
    daemon.wait_for_trouble(CLASS, "mismatch", "do not belong together");
    assert_unmoved(&daemon, 3, "mixed");
    scene.forge(3600).fronts(601, &online);
    daemon.wait_for_peace(CLASS);
}

#[test]
fn u8_u9_wrong_keys_and_thresholds_are_refused() {
    let scene = Scene::new("keys");
    let daemon = scene.follow(&[CLASS, Class::Legal]);
    let person = |name: &str| scene.publisher.person(name);
    let (op, ana, online) = (person("op"), person("ana"), scene.publisher.work.online().expect("our own"));
    let stranger = Person::create(&scene.publisher.directory.join("stranger.pem")).expect("a key");
    let manifest = CLASS.manifest();
    for (what, people) in [("U8 unknown", &[&stranger][..]), ("U8 other role", &[&ana]), ("U9 nobody", &[])] {
        let mut forge = scene.forge(3600);
        forge.replace("operator", &manifest, b"{}", people, &online);
        daemon.wait_for_trouble(CLASS, "signature", "not enough of the people");
        assert_unmoved(&daemon, 1, what);
    }
    for (what, people, words) in [
        ("U9 one of two", &[&ana][..], "not enough of the people"),
        ("U9 twice the same", &[&ana, &ana], "Duplicate key ID"),
    ] {
        let mut forge = scene.forge(3600);
        forge.replace("legal", &Class::Legal.manifest(), b"{}", people, &online);
        daemon.wait_for_trouble(Class::Legal, "signature", words);
        assert_unmoved(&daemon, 1, what);
        assert!(daemon.blocks("first.example"));
    }
    scene.forge(3600).fronts(50, &stranger);
    daemon.wait_for_trouble(CLASS, "signature", "not enough of the people");
    // Well signed and of no use.
    let mut forge = scene.forge(3600);
    forge.replace("operator", &manifest, b"{\"spec\":1}", &[&op], &online);
    daemon.wait_for_trouble(CLASS, "content", "cannot be used");
    // Enough of the right people, and a stranger beside them: that is enough.
    let good = fs::read(scene.forge(3600).file("operator", &manifest)).expect("what is in force");
    let mut forge = scene.forge(3600);
    forge.replace("operator", &manifest, &good, &[&stranger, &op], &online);
    daemon.wait_for_peace(CLASS);
    assert_eq!(daemon.serial_of(CLASS), 1);
    // Whatever was shown in between, none of it was trusted.
    scene.honest();
    scene.operator("operator/2", "second.example");
    scene.publish();
    daemon.wait_for_serial(CLASS, 2);
    daemon.wait_for_peace(CLASS);
    daemon.wait_for_peace(Class::Legal);
}

#[test]
fn u3_u12_after_a_theft_of_the_publishers_key_a_new_root_undoes_the_highest_versions() {
    let scene = Scene::new("theft");
    let daemon = scene.follow(&[CLASS]);
    let thief = scene.publisher.work.online().expect("our own");
    let highest = u64::MAX / 4;
    scene.forge(3600).fronts(highest, &thief);
    daemon.signal("HUP");
    let trusted = scene.state(CLASS).join("trusted/timestamp.json");
    let believed = || fs::read_to_string(&trusted).is_ok_and(|text| text.contains(&highest.to_string()));
    assert!(eventually(SOON, believed), "{}", daemon.log());
    // The thief cannot list or unlist a name, but now the repository itself looks old.
    scene.honest();
    daemon.wait_for_trouble(CLASS, "rollback", "(rollback)");
    assert_unmoved(&daemon, 1, "fast-forward");
    let change = scene.publisher.publisher(&[], async |publisher| {
        let base = publisher.base().expect("in force");
        publisher.change_keys(Change::Online, &base).map(drop)
    });
    scene.runtime.block_on(change).expect("a new key");
    let mut report = Report::default();
    scene.runtime.block_on(scene.publisher.sign(&["root1", "root2"], &mut report)).expect("signed");
    daemon.wait_for_peace(CLASS);
    scene.operator("operator/2", "second.example");
    scene.publish();
    daemon.wait_for_serial(CLASS, 2);
    // What the thief signs from now on is nothing, and a repository without the new root neither.
    scene.forge(3600).fronts(1_000_000, &thief);
    daemon.wait_for_trouble(CLASS, "signature", "not enough of the people");
    scene.honest();
    daemon.wait_for_peace(CLASS);
    daemon.kill();
    fs::remove_dir_all(scene.state(CLASS)).expect("its state");
    scene.mirror.lie("2.root.json", Lie::Status(404));
    let daemon = scene.start(&[CLASS]);
    daemon.wait_for_trouble(CLASS, "signature", "not enough of the people");
    scene.honest();
    daemon.wait_for_serial(CLASS, 2);
}
