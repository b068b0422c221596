//! What an operator does with followed lists, and what nobody finds out from them.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD as BASE64, BASE64_URL_SAFE_NO_PAD as BASE64URL};
use signed_list::name::Name;
use signed_list::release::Class;

use super::mirror::Lie;
use super::{SOON, Scene};
use crate::client::{NOERROR, NXDOMAIN, SERVFAIL};
use crate::operation::Load;
use crate::operation::privacy::assert_is_conventional;
use crate::world::eventually;

/// Output and success of the program.
fn run(words: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_friendly-resolver")).args(words).output().expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

#[test]
fn releases_and_reloads_under_load_lose_no_question() {
    let scene = Scene::new("load");
    let daemon = scene.follow(&[Class::Operator]);
    let names = &["bad.example", "free.example"];
    let load = Load::start(scene.world.address(11), daemon.address, names, |name, reply| match name {
        "bad.example" => reply.rcode == NXDOMAIN,
        _ => reply.rcode == NOERROR && reply.answer.len() == 1,
    });
    for round in 0..8 {
        let name = format!("load-{round}.example");
        scene.operator(&format!("operator/{}", 10 + round), &name);
        scene.publish();
        // A look and a reload at once.
        daemon.wait_for_serial(Class::Operator, 2 + round);
        assert!(daemon.blocks(&name));
        load.wait_for(100);
    }
    load.assert_served(800);
    assert_eq!(daemon.metric("reloads_total{result=\"refused\"}"), 0, "{}", daemon.log());
    assert_eq!(daemon.metric("queries_total"), daemon.metric("outcomes_total"));
    let metrics = daemon.get("/metrics").1;
    assert!(metrics.contains("time_to_block_seconds_bucket{"), "{metrics}");
    assert_is_conventional(&metrics);
}

#[test]
fn a_list_is_added_changed_and_removed_by_a_reload() {
    let scene = Scene::new("reload");
    let daemon = scene.start(&[]);
    let configure = |settings: &str| {
        scene.world.write("friendly.toml", scene.world.config(&[scene.upstream.address()], settings));
        daemon.signal("HUP");
    };
    assert!(daemon.passes("bad.example"));
    // One that cannot be had yet stops nothing.
    let settings = scene.settings(&[Class::Operator]);
    scene.mirror.lie("", Lie::Reset);
    configure(&settings);
    daemon.wait_for_trouble(Class::Operator, "unreachable", "cannot be fetched");
    assert!(daemon.passes("free.example") && daemon.get("/readyz").0 == 200);
    assert!(daemon.get("/healthz").1.contains("everything is answered as before the reload"));
    scene.honest();
    assert!(eventually(SOON, || daemon.blocks("bad.example")), "{}", daemon.log());

    // Other settings, the same directory: it goes on from what is there, without a gap.
    let load =
        Load::start(scene.world.address(11), daemon.address, &["bad.example"], |_, reply| reply.rcode == NXDOMAIN);
    let fetched = |path: &str| scene.mirror.asked().iter().any(|asked| asked.contains(path));
    fetched("");
    for interval in 2..6 {
        configure(&settings.replace("interval = 1", &format!("interval = {interval}")));
        load.wait_for(100);
        daemon.wait_for_peace(Class::Operator);
    }
    load.assert_served(400);
    assert!(!fetched(".list"), "nothing was fetched anew");
    scene.operator("operator/2", "second.example");
    scene.publish();
    daemon.wait_for_serial(Class::Operator, 2);
    assert!(daemon.blocks("second.example"));

    // What is wrong is refused as a whole.
    let refused = || daemon.metric("reloads_total{result=\"refused\"}");
    configure(&settings.replace("root.json", "none.json"));
    assert!(eventually(SOON, || refused() > 0 && daemon.get("/healthz").1.contains("none.json")), "{}", daemon.log());
    assert!(daemon.blocks("second.example"));

    // Another list in its place must not leave a gap.
    scene.mirror.lie("", Lie::Reset);
    configure(&settings.replace("\"operator\"", "\"venue\""));
    assert!(eventually(SOON, || daemon.get("/readyz").0 == 503), "{}", daemon.log());
    assert_eq!(daemon.ask(&crate::client::Ask::a("bad.example")).rcode, SERVFAIL);
    scene.honest();
    daemon.wait_for_serial(Class::Venue, 1);
    assert!(eventually(SOON, || daemon.passes("bad.example")) && daemon.get("/readyz").0 == 200);

    configure("");
    let none = || daemon.followed(Class::Venue).is_null() && daemon.passes("free.example");
    assert!(eventually(SOON, none), "{}", daemon.log());
}

#[test]
fn explain_and_check_config_know_followed_lists() {
    let scene = Scene::new("explain");
    let settings = scene.settings(&[Class::Operator, Class::Legal]);
    let file = scene.world.write("friendly.toml", scene.world.config(&[scene.upstream.address()], &settings));
    let file = file.to_str().expect("a plain path");
    let (good, text) = run(&["check-config", file]);
    assert!(good && text.contains("list legal: followed, and not fetched yet"), "{text}");
    let (_, text) = run(&["explain", "free.example", "--config", file]);
    assert!(text.contains("not answered"), "{text}");
    assert!(!scene.state(Class::Legal).exists(), "nothing was written");

    let daemon = scene.follow(&[Class::Operator, Class::Legal]);
    // Beside the resolver that runs.
    for (name, list, category) in [("www.bad.example", "operator", "malware"), ("first.example", "legal", "csam")] {
        let (good, text) = run(&["explain", name, "--config", file]);
        assert!(good && text.contains(&format!("list      {list} serial 1: {category}, made ")), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    let (good, text) = run(&["check-config", file]);
    assert!(good && text.contains("list operator: serial 1,") && text.contains("list legal: serial 1,"), "{text}");
    daemon.kill();
    fs::write(scene.state(Class::Operator).join("held.json"), "{").expect("its state");
    let (good, text) = run(&["check-config", file]);
    assert!(!good && text.contains("list operator: what was in force cannot be used"), "{text}");
    fs::write(scene.path("root.json"), "{}").expect("our own directory");
    let (good, text) = run(&["check-config", file]);
    assert!(!good && text.contains("root.json") && text.contains("it is no root metadata"), "{text}");
}

/// The forms in which a name could give itself away.
fn forms(name: &str) -> Vec<Vec<u8>> {
    let parsed = Name::parse(name).expect("a name");
    let text = parsed.to_string();
    let wire = parsed.as_wire();
    let mut forms = vec![
        text.clone().into_bytes(),
        text.to_uppercase().into_bytes(),
        wire[..wire.len() - 1].to_vec(),
        text.bytes().rev().collect(),
        text.split('.').rev().collect::<Vec<_>>().join(".").into_bytes(),
        text.bytes().flat_map(|octet| format!("{octet:02x}").into_bytes()).collect(),
        text.split('.').next().expect("a label").as_bytes().to_vec(),
    ];
    for shift in 0..3 {
        let padded = [&b"\0\0"[..shift], text.as_bytes()].concat();
        for encoded in [BASE64.encode(&padded), BASE64URL.encode(&padded)] {
            forms.push(encoded.as_bytes()[4..encoded.len() - 3].to_vec());
        }
    }
    forms
}

fn files(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory of the test") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).expect("a file")));
        }
    }
}

#[test]
fn no_listed_name_is_in_any_file_log_or_page_of_the_resolver() {
    let scene = Scene::bare("leaks");
    let names = ["plainly-listed-one.example", "plainly-listed-two.example", "plainly-listed-three.example"];
    scene.legal("isigurt/1", names[0]);
    scene.publish();
    let daemon = scene.follow(&[Class::Legal]);
    scene.legal("isigurt/2", names[1]);
    scene.publish();
    daemon.wait_for_serial(Class::Legal, 2);
    // With trouble on the way, about which sentences are written.
    scene.mirror.lie(".list|.delta", Lie::Flip(300));
    scene.legal("isigurt/3", names[2]);
    scene.publish();
    daemon.wait_for_trouble(Class::Legal, "mismatch", "changed on the way");
    scene.honest();
    daemon.wait_for_serial(Class::Legal, 3);
    assert!(names.iter().all(|name| daemon.blocks(name)));
    let mut found = vec![
        ("log".to_owned(), daemon.log().into_bytes()),
        ("metrics".to_owned(), daemon.get("/metrics").1.into_bytes()),
        ("health".to_owned(), daemon.get("/healthz").1.into_bytes()),
    ];
    files(&scene.state(Class::Legal), &mut found);
    assert!(found.len() > 12, "{}", found.len());
    for (place, content) in &found {
        for name in names {
            for form in forms(name) {
                let hit = content.windows(form.len()).any(|window| window == form);
                assert!(!hit, "{name} is in {place} as {:?}", String::from_utf8_lossy(&form));
            }
        }
    }
    // The search finds what it looks for.
    assert!(
        forms(names[0]).iter().any(|form| format!("x{}", names[0]).as_bytes().windows(form.len()).any(|it| it == form))
    );
    // Files are for this user alone.
    use std::os::unix::fs::MetadataExt;
    let mode = |path: &Path| fs::metadata(path).expect("a file").mode() & 0o777;
    assert_eq!(mode(&scene.state(Class::Legal)), 0o700);
    assert_eq!(mode(&scene.path("identity")), 0o600);
}
