//! Metadata that is signed well by whoever may sign it, so that only its form or its names can be what is refused.

use std::fs;

use friendly_blocklist::person::Person;
use friendly_blocklist::release::repository::{key_id, target};
use serde_json::{Value, json};
use signed_list::release::Class;

use super::forge::{Forge, copy};
use super::{SOON, Scene, names_in};
use crate::world::eventually;

const CLASS: Class = Class::Operator;

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A document with good signatures over whatever it says: its keys are sorted, which is its canonical form.
fn signed(document: &Value, people: &[Person]) -> String {
    let text = serde_json::to_vec(document).expect("JSON");
    let signature =
        |person: &Person| json!({ "keyid": key_id(&person.public()).expect("a key"), "sig": hex(&person.sign(&text)) });
    let signatures: Vec<Value> = people.iter().map(signature).collect();
    json!({ "signatures": signatures, "signed": document }).to_string()
}

/// The publisher's own key under an algorithm that is none, with the id that it has then.
fn without_algorithm(root: &mut Value) {
    let id = root["roles"]["timestamp"]["keyids"][0].as_str().expect("an id").to_owned();
    let keys = root["keys"].as_object_mut().expect("keys");
    let mut key = keys.remove(&id).expect("the key of the timestamp");
    key["scheme"] = "none".into();
    let new = hex(&target(&serde_json::to_vec(&key).expect("JSON")).hashes.sha256);
    keys.insert(new.clone(), key);
    for role in ["timestamp", "snapshot"] {
        root["roles"][role]["keyids"] = json!([new]);
    }
}

#[test]
fn u10_u18_roots_of_another_form_or_without_an_algorithm_are_refused_however_well_signed() {
    let scene = Scene::new("forms");
    let daemon = scene.follow(&[CLASS]);
    let people = ["root1", "root2"].map(|name| scene.publisher.person(name));
    let online = scene.publisher.work.online().expect("our own");
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 3] = [
        ("U18 no algorithm", without_algorithm, "metadata"),
        ("U10 another form", |root| root["_type"] = "Root".into(), "signature"),
        ("the same root once more", |_| (), ""),
    ];
    for (number, (what, change, reason)) in (50..).zip(changes) {
        let expires = super::publisher::clock() / 1000 + 3600;
        let place = scene.publisher.directory.join(format!("forms-{number}"));
        let mut forge = Forge::of(&scene.publisher.work.public(), &place, expires);
        forge.fronts(number, &online);
        let root = fs::read(place.join("metadata/1.root.json")).expect("a root");
        let mut root = serde_json::from_slice::<Value>(&root).expect("JSON")["signed"].take();
        root["version"] = 2.into();
        change(&mut root);
        fs::write(place.join("metadata/2.root.json"), signed(&root, &people)).expect("our own copy");
        scene.mirror.serve(&place);
        if reason.is_empty() {
            // So it was the change that was refused, and not how it is signed here.
            daemon.wait_for_peace(CLASS);
            let trusted = scene.state(CLASS).join("trusted/root.json");
            let followed = || fs::read_to_string(&trusted).is_ok_and(|root| root.contains("\"version\":2"));
            assert!(eventually(SOON, followed), "{what}: {}", daemon.log());
        } else {
            daemon.wait_for_trouble(CLASS, reason, "");
        }
        assert!(daemon.blocks("bad.example") && daemon.passes("free.example"), "{what}");
        assert_eq!(daemon.serial_of(CLASS), 1, "{what}");
    }
    scene.honest();
    scene.operator("operator/2", "second.example");
    scene.publish();
    // Signed under a higher version than ours was all that those of the forge were.
    scene.mirror.serve(&scene.publisher.work.public());
    daemon.wait_for_trouble(CLASS, "rollback", "older than what was trusted before");
    assert!(daemon.blocks("bad.example"));
}

#[test]
fn u14_a_role_that_names_what_is_not_its_own_puts_nothing_in_its_place() {
    let scene = Scene::new("names");
    let legal = Class::Legal;
    let daemon = scene.follow(&[CLASS, legal]);
    // The law's next release, good in all of its files: with it the operator tries to move the law's list.
    let (public, older) = (scene.publisher.work.public(), scene.publisher.directory.join("older"));
    copy(&public, &older);
    scene.mirror.serve(&older);
    scene.legal("isigurt/2", "second.example");
    scene.publish();
    let new = Forge::of(&public, &scene.publisher.directory.join("new"), 0);
    let mut release = Vec::new();
    for role in ["legal", "epoch"] {
        for name in new.base.delegated[role].signed.targets.keys() {
            release.push((name.raw().to_owned(), fs::read(new.file(role, name.raw())).expect("a file of the release")));
        }
    }
    let manifest = release.iter().find(|(name, _)| *name == legal.manifest()).expect("a manifest").1.clone();
    let one = |name: &str| vec![(name.to_owned(), manifest.clone())];
    let long = format!("operator/{}", "x".repeat(9000));
    let cases = [
        ("another class", release.clone(), Some("Target file not delegated: ")),
        ("dots", one("operator/../legal/2.list.age"), Some("not delegated: operator/../legal/2.list.age")),
        (
            "dots to what the other one has",
            one("operator/../legal/manifest.json"),
            Some("operator/../legal/manifest.json"),
        ),
        ("absolute", one("/operator/manifest.json"), Some("not delegated: /operator/manifest.json")),
        ("upper case", one("OPERATOR/manifest.json"), Some("not delegated: OPERATOR/manifest.json")),
        // Of these a role may speak, and nobody asks for what it says. (A zero octet in a name is no JSON.)
        ("what the other one has", one("legal/manifest.json"), None),
        ("percent", one("operator/%2e%2e%2flegal%2fmanifest.json"), None),
        ("very long", one(&long), None),
        ("almost its own", one("operator/Manifest.json"), None),
    ];
    let (op, online) = (scene.publisher.person("op"), scene.publisher.work.online().expect("our own"));
    // But for what is just being written.
    let lasting = |names: Vec<String>| names.into_iter().filter(|name| !name.ends_with(".new")).collect::<Vec<_>>();
    let files = || [CLASS, legal].map(|class| lasting(names_in(&scene.state(class))));
    let before = files();
    for (what, claims, words) in cases {
        let expires = super::publisher::clock() / 1000 + 3600;
        let mut forge = Forge::of(&older, &scene.publisher.directory.join("forge"), expires);
        release.iter().for_each(|(name, content)| forge.put_target(name, content));
        forge.claim("operator", &claims, &[&op], &online);
        scene.mirror.asked();
        scene.mirror.serve(&forge.directory);
        match words {
            Some(words) => {
                for class in [CLASS, legal] {
                    daemon.wait_for_trouble(class, "metadata", words);
                }
            }
            None => {
                // What is trusted is written down in another order.
                let read = |path| serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok();
                let shown = read(forge.directory.join("metadata/timestamp.json"));
                for class in [CLASS, legal] {
                    daemon.signal("HUP");
                    let taken = || read(scene.state(class).join("trusted/timestamp.json")) == shown;
                    assert!(eventually(SOON, taken), "{what}: {}", daemon.log());
                    daemon.wait_for_peace(class);
                }
                let asked = scene.mirror.asked();
                let strange = |path: &String| path.contains("targets/") && !path.ends_with("/manifest.json");
                assert!(!asked.iter().any(strange), "{what}: {asked:?}");
            }
        }
        assert_eq!((daemon.serial_of(CLASS), daemon.serial_of(legal)), (1, 1), "{what}");
        assert!(daemon.blocks("first.example") && daemon.blocks("bad.example"), "{what}");
        assert!(daemon.passes("second.example") && daemon.passes("free.example"), "{what}");
        assert_eq!(files(), before, "{what}");
        scene.mirror.serve(&older);
    }
    // From its own role it is in force at once.
    scene.honest();
    scene.operator("operator/2", "third.example");
    scene.publish();
    daemon.wait_for_serial(legal, 2);
    daemon.wait_for_serial(CLASS, 2);
    assert!(daemon.blocks("second.example") && daemon.blocks("third.example"));
}
