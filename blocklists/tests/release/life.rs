//! What becomes of decisions: releases, changes, epochs, canaries, rollbacks.

use std::fs;

use friendly_blocklist::release::draft::Wish;
use friendly_blocklist::release::outcome::Report;
use friendly_blocklist::release::publish::PublishError;
use signed_list::digest::DigestKey;
use signed_list::list::{Delta, List, Scope};
use signed_list::release::{Class, shards_for};

use crate::world::{DAY, World, covers, epoch, outcome, reason};

#[tokio::test]
async fn two_approvals_and_two_signatures_and_resolvers_block_it() {
    let world = World::new("way").await;
    let (one, two) = (world.enrol("one"), world.enrol("two"));
    world.legal("isigurt/1", "first.test").await;
    world.list("isigurt/2", Class::Legal, "csam", "second.test", Scope::Exact).await;
    world.list("operator/1", Class::Operator, "malware", "malware.test", Scope::Subtree).await;
    world.list("operator/2", Class::Operator, "phishing", "phishing.test", Scope::Subtree).await;

    // One signature is not enough for the legal list; the operator's list needs no other.
    let report = world.try_publish(&["ana", "op"], Wish::default()).await.unwrap();
    let legal = outcome(&report, Class::Legal);
    assert!(!legal.published);
    assert_eq!(
        legal.waiting.iter().map(|it| (it.role.as_str(), it.missing)).collect::<Vec<_>>(),
        [("legal", 1), ("epoch", 1)]
    );
    assert_eq!(legal.waiting[0].by, [world.person("besa").id()]);
    assert!(outcome(&report, Class::Operator).published && outcome(&report, Class::Venue).published);
    let before = world.resolver().await;
    assert!(before.client.targets().iter().all(|name| !name.starts_with("legal/")));
    let operator = before.open(Class::Operator).await;
    assert_eq!(operator.categories(), ["malware", "phishing", "bypass"]);
    assert!(covers(&operator, "www.malware.test") && covers(&operator, "phishing.test"));

    let mut report = Report::default();
    world.sign(&["besa"], &mut report).await.unwrap();
    let resolver = world.resolver().await;
    for identity in [&one, &two] {
        let list = resolver.legal(identity).await.unwrap();
        assert!(list.sealed());
        for (name, covered) in [
            ("first.test", true),
            ("a.first.test", true),
            ("second.test", true),
            ("a.second.test", false),
            ("third.test", false),
            ("csam.test.afw.example", true),
        ] {
            assert_eq!(covers(&list, name), covered, "{name}");
        }
    }
    // The ledger knows exactly what is in force.
    let record = world.ledger.newest_release(Class::Legal).await.unwrap().unwrap();
    let manifest = resolver.manifest(Class::Legal).await;
    assert_eq!((record.serial, record.hash, record.epoch), (1, manifest.hash, Some(1)));
    assert_eq!((record.added, record.removed, record.entries), (2, 0, manifest.entries));
    assert_eq!(manifest.decided.len(), 2);
    assert!(manifest.decided.iter().all(|at| *at <= crate::world::clock()));
}

#[tokio::test]
async fn a_change_leads_from_one_release_to_the_next_and_only_so_many_are_kept() {
    let mut world = World::new("delta").await;
    world.set("grace_minutes = 60", "grace_minutes = 1");
    let identity = world.enrol("one");
    let mut lists = Vec::new();
    for number in 1..=20 {
        world.legal(&format!("isigurt/{number}"), &format!("name-{number}.test")).await;
        if number == 5 {
            world.delist("isigurt/2").await;
        }
        let report = world.publish().await;
        assert!(outcome(&report, Class::Legal).published, "{report:?}");
        lists.push(world.resolver().await.legal(&identity).await.unwrap());
    }
    let resolver = world.resolver().await;
    let manifest = resolver.manifest(Class::Legal).await;
    assert_eq!((manifest.serial, manifest.deltas.clone()), (20, (4..20).collect()));
    let epoch = epoch(&world);
    let mut octets = lists[3].as_bytes().to_vec();
    for from in manifest.deltas {
        let sealed = resolver.client.target(&Class::Legal.delta(from, from + 1)).await.unwrap();
        let delta = Delta::read(&epoch.open(&sealed).unwrap()).unwrap();
        octets = List::open(octets, Some(epoch.digest_key())).unwrap().merge(&delta).unwrap();
        assert_eq!(octets, lists[from as usize].as_bytes(), "{from}");
    }
    assert!(!covers(&lists[19], "name-2.test") && covers(&lists[3], "name-2.test"));
    // Of the lists only the newest is a target; files of older ones go when nobody can be fetching them any more.
    let whole = resolver.client.targets().into_iter().filter(|name| name.ends_with(".list.age")).count();
    assert_eq!(whole, 1);
    let payloads =
        || crate::leaks::files(&world.work.public()).iter().filter(|path| path.ends_with(".list.age")).count();
    assert_eq!(payloads(), 20);
    world.ahead = 3 * 60_000;
    world.publish_with(Wish { renew: true, ..Wish::default() }).await;
    assert_eq!(payloads(), 1);
    world.resolver().await.legal(&identity).await.unwrap();
}

#[tokio::test]
async fn without_a_change_there_is_no_release_and_the_timestamp_is_signed() {
    let mut world = World::new("quiet").await;
    world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let version = |world: &World| {
        let text = fs::read(world.work.metadata().join("timestamp.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&text).unwrap()["signed"]["version"].as_u64().unwrap()
    };
    let before = version(&world);
    let report = world.publish_with(Wish { renew: true, ..Wish::default() }).await;
    assert!(report.classes.iter().all(|outcome| outcome.serial.is_none()), "{report:?}");
    assert_eq!((report.timestamp, version(&world)), (Some(before + 1), before + 1));
    // Nothing is signed that nobody asked for and that is not due.
    assert_eq!(world.publish().await.timestamp, None);
    // Half of its life is over.
    world.ahead = 13 * 3_600_000;
    assert_eq!(world.publish().await.timestamp, Some(before + 2));
    // A day without decisions: a release all the same, so that the ladder shows how old a list is.
    world.ahead = 25 * 3_600_000;
    let report = world.publish().await;
    assert!(report.classes.iter().all(|outcome| outcome.published && outcome.added + outcome.removed == 0));
    // Nobody here who could sign it: nothing is left lying about.
    world.ahead = 52 * 3_600_000;
    let report = world.try_publish(&[], Wish::default()).await.unwrap();
    assert!(report.classes.iter().all(|outcome| outcome.serial.is_none()));
}

#[tokio::test]
async fn what_is_taken_back_before_it_is_signed_is_dropped() {
    let world = World::new("taken-back").await;
    world.publish().await;
    world.legal("isigurt/1", "first.test").await;
    let report = world.try_publish(&["ana"], Wish::default()).await.unwrap();
    assert_eq!(outcome(&report, Class::Legal).serial, Some(2));
    world.delist("isigurt/1").await;
    let report = world.try_publish(&["ana"], Wish::default()).await.unwrap();
    assert_eq!(outcome(&report, Class::Legal).serial, None);
    assert!(report.warnings[0].contains("what was staged is dropped"), "{report:?}");
    let mut report = Report::default();
    world.sign(&["besa"], &mut report).await.unwrap();
    assert_eq!(world.resolver().await.manifest(Class::Legal).await.serial, 1);
}

#[tokio::test]
async fn a_release_that_waits_keeps_its_signatures_until_the_ledger_goes_on() {
    let world = World::new("waits").await;
    world.publish().await;
    world.legal("isigurt/1", "first.test").await;
    let hash = |report: &Report| outcome(report, Class::Legal).hash.clone().unwrap();
    let first = hash(&world.try_publish(&["ana"], Wish::default()).await.unwrap());
    // Looked at again, also by nobody who signs: it is the same, and ana's signature is still there.
    let again = world.try_publish(&[], Wish::default()).await.unwrap();
    assert_eq!((hash(&again), outcome(&again, Class::Legal).waiting[0].missing), (first.clone(), 1));
    world.legal("isigurt/2", "second.test").await;
    let other = world.try_publish(&[], Wish::default()).await.unwrap();
    assert_ne!(hash(&other), first);
    assert_eq!(outcome(&other, Class::Legal).waiting[0].missing, 2);
    // A wish is not forgotten when the release is made anew.
    let wish = Wish { emergency: true, ..Wish::default() };
    world.try_publish(&[], wish).await.unwrap();
    world.legal("isigurt/3", "third.test").await;
    world.publish().await;
    assert_eq!(world.card(Class::Legal).moves.emergency, 1);
    assert_eq!(world.card(Class::Legal).serial, 2);
}

#[tokio::test]
async fn a_rollback_holds_new_entries_back_and_lets_delistings_through() {
    let world = World::new("rollback").await;
    let identity = world.enrol("one");
    for (id, name) in [("isigurt/1", "one.test"), ("isigurt/2", "two.test")] {
        world.legal(id, name).await;
    }
    world.publish().await;
    world.legal("isigurt/3", "three.test").await;
    world.publish().await;
    let names = ["one.test", "two.test", "three.test", "four.test"];
    let covered = async || {
        let list = world.resolver().await.legal(&identity).await.unwrap();
        names.map(|name| covers(&list, name))
    };
    assert_eq!(covered().await, [true, true, true, false]);

    let back = Wish { classes: vec![Class::Legal], rollback: Some(1), ..Wish::default() };
    let report = world.publish_with(back).await;
    let legal = outcome(&report, Class::Legal);
    assert_eq!((legal.serial, legal.published, legal.added, legal.removed), (Some(3), true, 0, 1));
    assert_eq!(covered().await, [true, true, false, false]);

    // Another epoch changes all digests, and what the older release held is known all the same.
    world.publish_with(Wish { new_epoch: true, ..Wish::default() }).await;
    world.legal("isigurt/4", "four.test").await;
    world.delist("isigurt/1").await;
    world.publish().await;
    assert_eq!(covered().await, [false, true, false, false]);
    world.publish_with(Wish { resume: true, ..Wish::default() }).await;
    assert_eq!(covered().await, [false, true, true, true]);

    let gone = Wish { classes: vec![Class::Legal], rollback: Some(77), ..Wish::default() };
    let error = world.try_publish(&["ana", "besa"], gone).await.unwrap_err();
    assert!(error.to_string().contains("release 77 of the class legal is not kept here; kept are 1 to"), "{error}");
}

#[tokio::test]
async fn a_release_that_changes_too_much_waits_for_two_people() {
    let world = World::new("jump").await;
    world.operator(0..3).await;
    world.publish().await;
    world.operator(3..54).await;
    let report = world.publish().await;
    let held = outcome(&report, Class::Operator);
    assert!(!held.published && held.waiting.is_empty());
    assert_eq!(held.held.as_ref().map(|jump| (jump.added, jump.removed, jump.limit)), Some((51, 0, 50)));
    assert_eq!(world.resolver().await.manifest(Class::Operator).await.serial, 1);

    // What is held stays the same release while it waits.
    let again = world.publish().await;
    let hash = outcome(&again, Class::Operator).hash.clone();
    assert_eq!(hash, held.hash);
    let hash = friendly_blocklist::release::work::hash(&hash.unwrap()).unwrap();
    let (op, ana) = (world.person("op"), world.person("ana"));
    world.ledger.request_override(Class::Operator, hash, reason(), &op, world.now()).await.unwrap();
    let asked = world.publish().await;
    assert_eq!(outcome(&asked, Class::Operator).override_asked_by, Some(op.id()));
    let own = world.ledger.approve_override(Class::Operator, hash, reason(), &op, world.now()).await.unwrap_err();
    assert!(own.to_string().contains("somebody else has to agree"), "{own}");
    world.ledger.approve_override(Class::Operator, hash, reason(), &ana, world.now()).await.unwrap();
    let passed = world.publish().await;
    assert!(
        outcome(&passed, Class::Operator).serial.is_none(),
        "it came into force before anything new was looked for"
    );
    assert_eq!(world.resolver().await.manifest(Class::Operator).await.serial, 2);
    assert!(world.ledger.newest_release(Class::Operator).await.unwrap().unwrap().overridden);

    // The same for what goes, and a changed release is another one.
    for number in 0..52 {
        world.delist(&format!("operator/{number}")).await;
    }
    let report = world.publish().await;
    assert_eq!(outcome(&report, Class::Operator).held.as_ref().map(|jump| jump.removed), Some(52));
    // A rollback is what takes such a change back; it is not held for it.
    let back = Wish { classes: vec![Class::Operator], rollback: Some(1), ..Wish::default() };
    assert!(outcome(&world.publish_with(back).await, Class::Operator).published);
}

#[tokio::test]
async fn what_is_taken_off_does_not_wait_behind_what_is_held() {
    let mut world = World::new("relief").await;
    let identity = world.enrol("one");
    for (id, name) in [("isigurt/1", "one.test"), ("isigurt/2", "two.test"), ("isigurt/3", "three.test")] {
        world.legal(id, name).await;
    }
    world.publish().await;
    let covered = async |world: &World| {
        let list = world.resolver().await.legal(&identity).await.unwrap();
        ["one.test", "two.test", "three.test", "new-0.test"].map(|name| covers(&list, name))
    };
    for number in 0..51 {
        world.legal(&format!("isigurt/n{number}"), &format!("new-{number}.test")).await;
    }
    assert!(outcome(&world.publish().await, Class::Legal).held.is_some());
    let hash = |report: &Report, at: usize| report.classes[at].hash.clone().unwrap();

    // Without all signatures what goes waits for them, and for nobody's agreement; who signs it compares it as always.
    world.delist("isigurt/1").await;
    let report = world.try_publish(&["ana"], Wish::default()).await.unwrap();
    let legal = outcome(&report, Class::Legal);
    assert_eq!((legal.serial, legal.added, legal.removed, legal.held.is_some()), (Some(2), 0, 1, false));
    assert_eq!(legal.rest.as_ref().map(|jump| jump.added), Some(51));
    assert!(world.run(&["diff", "--class", "legal"]).fine().out.contains("51 more would come"));
    world.run(&["sign", "--only", "legal", "--key", &world.key("besa")]).fine();
    assert_eq!(covered(&world).await, [false, true, true, false]);

    // With them it is in force at once, and the rest is staged behind it.
    world.ahead = 5_000;
    world.delist("isigurt/2").await;
    let report = world.publish().await;
    let legal: Vec<_> = report.classes.iter().filter(|outcome| outcome.class == Class::Legal).collect();
    assert_eq!((legal[0].serial, legal[0].published, legal[0].removed), (Some(3), true, 1));
    assert_eq!((legal[1].serial, legal[1].published, legal[1].added), (Some(4), false, 51));
    assert!(legal[1].held.is_some());
    assert_eq!(covered(&world).await, [false, false, true, false]);
    let decided = |manifest: signed_list::release::Manifest| manifest.decided.len();
    assert_eq!(decided(world.resolver().await.manifest(Class::Legal).await), 1, "what waits is not in force");

    // It is what is held from now on, and two people let it pass.
    let at = report.classes.iter().position(|outcome| outcome.held.is_some()).unwrap();
    let again = world.publish().await;
    assert_eq!(outcome(&again, Class::Legal).hash.as_ref(), Some(&hash(&report, at)));
    let held = friendly_blocklist::release::work::hash(&hash(&report, at)).unwrap();
    let (besa, ana) = (world.person("besa"), world.person("ana"));
    world.ledger.request_override(Class::Legal, held, reason(), &besa, world.now()).await.unwrap();
    world.ledger.approve_override(Class::Legal, held, reason(), &ana, world.now()).await.unwrap();
    world.publish().await;
    assert_eq!(covered(&world).await, [false, false, true, true]);
    assert_eq!(decided(world.resolver().await.manifest(Class::Legal).await), 51, "these had waited");

    // A revocation does not wait either, and more than may go at once waits as before.
    let two = world.enrol("two");
    world.publish().await;
    for number in 51..120 {
        world.legal(&format!("isigurt/n{number}"), &format!("new-{number}.test")).await;
    }
    world.revoke(&two);
    let report = world.publish().await;
    assert!(outcome(&report, Class::Legal).published && outcome(&report, Class::Legal).rest.is_some());
    assert!(world.resolver().await.legal(&two).await.is_none());
    for number in 0..51 {
        world.delist(&format!("isigurt/n{number}")).await;
    }
    let report = world.publish().await;
    assert!(!outcome(&report, Class::Legal).published && outcome(&report, Class::Legal).rest.is_none());
}

#[tokio::test]
async fn the_first_legal_release_is_held_as_well_and_the_first_open_one_is_not() {
    let world = World::new("first-jump").await;
    for number in 0..51 {
        world.legal(&format!("isigurt/{number}"), &format!("name-{number}.test")).await;
    }
    world.operator(0..60).await;
    let report = world.publish().await;
    assert!(outcome(&report, Class::Legal).held.is_some() && !outcome(&report, Class::Legal).published);
    assert!(outcome(&report, Class::Operator).published);
}

#[tokio::test]
async fn epochs_shut_out_who_is_revoked_and_leave_the_others_alone() {
    let world = World::new("epochs").await;
    world.legal("isigurt/1", "first.test").await;
    let (one, two) = (world.enrol("one"), world.enrol("two"));
    world.publish().await;
    let first = world.resolver().await;
    let (before, shard) = (first.manifest(Class::Legal).await, first.client.target("epoch/1-0.json").await.unwrap());

    // Another resolver: a release of the same epoch, and nothing changes for the others.
    let three = world.enrol("three");
    let report = world.publish().await;
    assert_eq!(outcome(&report, Class::Legal).why, ["1 enrolled"]);
    let resolver = world.resolver().await;
    let manifest = resolver.manifest(Class::Legal).await;
    assert_eq!((manifest.epoch, manifest.deltas.as_slice()), (Some(1), &[1][..]));
    assert!(covers(&resolver.legal(&three).await.unwrap(), "first.test"));
    let text = resolver.client.target("epoch/1-0.json").await.unwrap();
    let envelopes = |text: &[u8]| serde_json::from_slice::<signed_list::release::Shard>(text).unwrap().envelopes;
    for (id, envelope) in envelopes(&shard) {
        assert_eq!(envelopes(&text)[&id], envelope, "an envelope that was published stays as it is");
    }

    // Revoked: another epoch, other keys, and the whole list.
    world.revoke(&two);
    let report = world.publish().await;
    assert_eq!(outcome(&report, Class::Legal).why, ["new epoch: 1 revoked"]);
    let resolver = world.resolver().await;
    let manifest = resolver.manifest(Class::Legal).await;
    assert_eq!((manifest.epoch, manifest.deltas.len(), manifest.shards), (Some(2), 0, shards_for(2)));
    assert!(resolver.legal(&two).await.is_none());
    assert!(covers(&resolver.legal(&one).await.unwrap(), "first.test"));
    assert!(resolver.client.targets().iter().all(|name| !name.starts_with("epoch/1-")));
    // With what the revoked one has, nothing new opens.
    let old = world.work.epoch(1).unwrap().unwrap();
    let sealed = resolver.client.target(&Class::Legal.payload(manifest.serial)).await.unwrap();
    assert!(old.open(&sealed).is_err());
    assert_ne!(manifest.hash, before.hash);

    // Asked for, and by age.
    world.publish_with(Wish { new_epoch: true, ..Wish::default() }).await;
    assert_eq!(world.resolver().await.manifest(Class::Legal).await.epoch, Some(3));
    let mut world = world;
    world.set("max_age_days = 90", "max_age_days = 1");
    world.ahead = DAY;
    assert!(outcome(&world.publish().await, Class::Legal).why[0].starts_with("new epoch: the last one is 1 days old"));
}

#[tokio::test]
async fn each_resolver_alone_has_its_watermark() {
    let world = World::new("watermark").await;
    let (one, two) = (world.enrol("one"), world.enrol("two"));
    world.publish().await;
    let resolver = world.resolver().await;
    let (first, second) = (resolver.envelope(&one).await.unwrap(), resolver.envelope(&two).await.unwrap());
    assert_eq!((first.watermark.len(), second.watermark.len()), (4, 4));
    assert!(first.watermark.iter().all(|mark| !second.watermark.contains(mark)));
    let list = resolver.legal(&one).await.unwrap();
    let export = world.run(&["canaries", "--class", "legal", "--out", "-"]).fine().json();
    let id = signed_list::release::resolver_id(&one.to_public().to_string());
    let marks = export["watermarks"].as_array().unwrap().iter().find(|mark| mark["resolver"] == id.as_str()).unwrap();
    let key = DigestKey::new(first.digest_key);
    let mut suffixes = signed_list::digest::Suffixes::new();
    for (name, (digest, labels)) in marks["names"].as_array().unwrap().iter().zip(&first.watermark) {
        let name = signed_list::name::Name::parse(name.as_str().unwrap()).unwrap();
        key.suffixes(name.as_wire(), &mut suffixes);
        assert_eq!((suffixes.get(suffixes.labels()), suffixes.labels()), (*digest, usize::from(*labels)));
        assert!(!covers(&list, &name.to_string()), "it is in the envelope, and not in the list of all");
    }
}

#[tokio::test]
async fn canaries_tell_which_release_is_in_force() {
    let world = World::new("canaries").await;
    let identity = world.enrol("one");
    let mut lists = Vec::new();
    for number in 1..=4 {
        world.legal(&format!("isigurt/{number}"), &format!("name-{number}.test")).await;
        world.publish().await;
        lists.push(world.resolver().await.legal(&identity).await.unwrap());
    }
    world.publish_with(Wish { emergency: true, burn: 10, classes: vec![Class::Legal], ..Wish::default() }).await;
    lists.push(world.resolver().await.legal(&identity).await.unwrap());
    world.run(&["canaries", "--class", "legal", "--serials", "1-5", "--out", "audit.json"]).fine();
    let path = world.directory.join("audit.json");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777, 0o600);
    let export: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let releases = export["releases"].as_array().unwrap();
    assert_eq!(releases.len(), 5);
    let names = |at: usize, kind: &str| -> Vec<String> {
        releases[at][kind].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    for (at, list) in lists.iter().enumerate() {
        let covered = |names: &[String]| names.iter().filter(|name| covers(list, &format!("nonce.{name}"))).count();
        assert_eq!(covered(&names(at, "hidden")), 160);
        assert_eq!(covered(&names(at, "controls")), 0);
        // A release before it was not there yet, and what was taken off since still was.
        for other in 0..5 {
            assert_eq!(covered(&names(other, "added")), if other <= at { 4 } else { 0 }, "{at} {other}");
            assert_eq!(covered(&names(other, "removed")), if other <= at { 0 } else { 4 }, "{at} {other}");
        }
        assert_eq!(covered(&names(4, "emergency")), usize::from(at == 4));
    }
    assert_eq!(names(4, "hidden")[..150], names(3, "hidden")[10..]);
    assert_eq!(export["test"][0][1], "csam.test.afw.example");
}

#[tokio::test]
async fn expired_listings_leave_by_themselves() {
    let mut world = World::new("expiry").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    for days in [29, 58, 87, 91] {
        world.ahead = days * DAY;
        world.publish().await;
    }
    assert!(!covers(&world.resolver().await.legal(&identity).await.unwrap(), "first.test"));
}

#[tokio::test]
async fn what_is_going_to_expire_is_told() {
    let mut world = World::new("warn").await;
    world.publish().await;
    world.ahead = 21 * DAY + 3_600_000;
    let report =
        world.try_publish(&["ana", "besa"], Wish { classes: vec![Class::Legal], ..Wish::default() }).await.unwrap();
    assert!(report.warnings.iter().any(|it| it.contains("the role operator expires in 8 days")), "{report:?}");
    assert!(report.warnings.iter().all(|it| !it.contains("the role legal")), "{report:?}");
}

#[tokio::test]
async fn a_class_without_keys_and_a_repository_without_releases_are_told() {
    let world = World::new("none").await;
    let error = world.try_publish(&["root1"], Wish::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::NoHolder(_)), "{error}");
    let shown = world.run(&["diff"]).fine().out;
    assert!(shown.contains("the first release of the class"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
}
