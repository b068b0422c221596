//! No listed name stands in any published octet or in any file that is kept, but in the ledger.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use friendly_blocklist::release::draft::Wish;
use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::release::Class;

use crate::world::{World, epoch};

/// All files below a directory, by path from it.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The forms in which a name could give itself away.
fn forms(name: &str) -> Vec<(String, Vec<u8>)> {
    let parsed = Name::parse(name).unwrap();
    let text = parsed.to_string();
    let mut forms = vec![
        ("text".to_owned(), text.clone().into_bytes()),
        ("upper case".to_owned(), text.to_uppercase().into_bytes()),
        ("wire".to_owned(), parsed.as_wire()[..parsed.as_wire().len() - 1].to_vec()),
        ("reversed".to_owned(), text.bytes().rev().collect()),
        ("labels reversed".to_owned(), text.split('.').rev().collect::<Vec<_>>().join(".").into_bytes()),
        ("hexadecimal".to_owned(), text.bytes().flat_map(|octet| format!("{octet:02x}").into_bytes()).collect()),
    ];
    // The label alone, which no digest would hold by chance either.
    let label = text.split('.').next().unwrap();
    forms.push(("first label".to_owned(), label.as_bytes().to_vec()));
    for shift in 0..3 {
        // At each of three places in a group of three octets base64 looks different; its ends depend on the neighbours.
        let padded = [&b"\0\0"[..shift], text.as_bytes()].concat();
        for (kind, encoded) in
            [("base64", STANDARD_NO_PAD.encode(&padded)), ("base64url", URL_SAFE_NO_PAD.encode(&padded))]
        {
            let inner = &encoded.as_bytes()[4..encoded.len() - 3];
            forms.push((format!("{kind}, shifted by {shift}"), inner.to_vec()));
        }
    }
    forms
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}

#[test]
fn the_search_finds_what_it_is_looking_for() {
    let name = "secret-example-name.test";
    let hidden = |content: Vec<u8>| forms(name).iter().any(|(_, form)| contains(&content, form));
    for shift in 0..6 {
        let before = "x".repeat(shift);
        assert!(hidden(STANDARD_NO_PAD.encode(format!("{before}{name} and more")).into_bytes()), "{shift}");
    }
    assert!(hidden(format!("{{\"name\":\"{name}\"}}").into_bytes()));
    assert!(hidden(Name::parse(name).unwrap().as_wire().to_vec()));
    assert!(hidden(name.bytes().rev().collect()));
    assert!(!hidden(b"another-name.test".to_vec()));
}

#[tokio::test]
async fn no_listed_name_is_in_any_published_or_kept_file() {
    let mut world = World::new("leaks").await;
    let names = ["plainly-listed-one.test", "plainly-listed-two.example", "b\u{fc}cher-listed-three.test"];
    world.enrol("library");
    world.enrol("museum");
    world.legal("isigurt/1", names[0]).await;
    world.list("isigurt/2", Class::Legal, "csam", names[1], Scope::Exact).await;
    world.list("operator/1", Class::Operator, "malware", "plainly-listed-four.test", Scope::Subtree).await;
    let mut printed = String::new();
    for step in 0..5 {
        match step {
            1 => world.legal("isigurt/3", names[2]).await,
            2 => world.delist("isigurt/2").await,
            _ => {}
        }
        // In front of the legal release that waits for a signature, and behind it.
        let report = world.try_publish(&["ana", "op"], Wish { emergency: step == 3, ..Wish::default() }).await.unwrap();
        printed += &serde_json::to_string(&report).unwrap();
        printed += &friendly_blocklist::command::press::text(&report, &Default::default());
        check(&world, &names, step);
        let mut report = friendly_blocklist::release::outcome::Report::default();
        world.sign(&["besa"], &mut report).await.unwrap();
        printed += &serde_json::to_string(&report).unwrap();
        check(&world, &names, step);
    }
    // What a resolver finds when it opens the list.
    let epoch = epoch(&world);
    let mut opened = 0;
    for file in files(&world.work.public()).iter().filter(|file| file.ends_with(".age")) {
        let content = epoch.open(&fs::read(world.work.public().join(file)).unwrap()).unwrap();
        for (name, (form, octets)) in
            names.iter().flat_map(|name| forms(name).into_iter().map(move |form| (name, form)))
        {
            assert!(!contains(&content, &octets), "{name} as {form} is in the opened {file}");
        }
        opened += 1;
    }
    assert!(opened >= 6, "{opened}");
    for arguments in [&["diff", "--json"][..], &["diff"], &["verify", "--from", "work/public"]] {
        let ended = world.run(arguments).fine();
        printed += &ended.out;
        printed += &ended.err;
    }
    world.guard = friendly_blocklist::guard::Guard::new("[help]\nhelp.plainly-listed-one.test\n").unwrap();
    let report = world.publish().await;
    printed += &friendly_blocklist::command::press::text(&report, &Default::default());
    for name in names {
        let text = Name::parse(name).unwrap().to_string();
        assert!(!printed.contains(&text), "{text} is printed:\n{printed}");
    }
    // The ledger, which holds them, is the only such file, and nobody else can read it.
    let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap()) & 0o777;
    assert_eq!(mode(world.work.directory()), 0o700);
    for file in ["seed", "online.pem", "recipients.toml", "scheme.toml", "release.toml", "epochs/1.json", "ledger.db"] {
        assert_eq!(mode(&world.work.directory().join(file)), 0o600, "{file}");
    }
    assert!(contains(&ledger(&world), names[0].as_bytes()), "the test looks where the names really are");
}

fn ledger(world: &World) -> Vec<u8> {
    let directory = world.work.directory();
    ["ledger.db", "ledger.db-wal"].iter().flat_map(|file| fs::read(directory.join(file)).unwrap_or_default()).collect()
}

fn check(world: &World, names: &[&str], step: usize) {
    let directory = world.work.directory();
    let files = files(directory);
    assert!(files.len() > 20, "{files:?}");
    for file in files.iter().filter(|file| !file.starts_with("ledger.db")) {
        let content = fs::read(directory.join(file)).unwrap();
        for name in names {
            for (form, octets) in forms(name) {
                assert!(!contains(&content, &octets), "step {step}: {name} as {form} is in {file}");
            }
        }
    }
}
