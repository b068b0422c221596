//! The verbs as people and programs meet them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signed_list::list::Scope;
use signed_list::release::{Class, Receipt, SPEC};

use crate::program::{Ended, answered, command, run};
use crate::wait::eventually;
use crate::world::{Resolver, World, covers};

impl World {
    /// Runs the program in the directory, without a terminal.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run(&self.directory, arguments)
    }
}

fn narrow(ended: Ended) -> Ended {
    for line in ended.out.lines().filter(|line| !line.contains('"')) {
        assert!(line.chars().count() <= 80 || line.contains("/target/") || line.contains("/tmp/"), "{line}");
    }
    ended
}

#[tokio::test]
async fn a_repository_begins_on_the_command_line_and_says_who_has_to_sign() {
    let (directory, people, ledger) = World::empty("init").await;
    let run = |arguments: &[&str]| narrow(run(&directory, arguments));
    let init = [
        "init",
        "--root",
        "root1.person",
        "--root",
        "root2.person",
        "--legal",
        "ana.person",
        "--legal",
        "besa.person",
        "--operator",
        "op.person",
        "--to",
        "public",
    ];
    run(&[&init[..], &["--root", "root1.person"]].concat()).failed_with(&["root: 2 of 3 keys", "named once"]);
    run(&["init", "--root", "root1.person", "--legal", "ana.person"])
        .failed_with(&["legal: 2 of 1 keys would have to sign"]);
    run(&["init", "--root", "root1.person", "--root-threshold", "1"]).failed_with(&["nobody would sign any list"]);
    run(&[&init[..], &["--admin", "op.pem"]].concat()).failed_with(&["is not that of an admin of the ledger"]);
    assert_eq!(run(&[&init[..], &["--legal", "nobody.person"]].concat()).status, Some(2));
    run(&[&init[..], &["--legal-threshold", "1"]].concat()).failed_with(&["two people at the least"]);
    assert!(!directory.join("work/release.toml").exists(), "what is refused leaves nothing behind");

    // Whoever sits there is asked before a key signs anything.
    let asked = answered(&directory, &[&init[..], &["--key", "root1.pem"]].concat(), "n");
    assert!(asked.status == Some(1) && asked.out.contains("nothing was signed"), "{asked:?}");
    assert!(!directory.join("work/release.toml").exists());
    let out = run(&[&init[..], &["--admin", "admin.pem", "--key", "root1.pem"]].concat()).fine();
    for part in
        ["root: 1 more, by", "legal: 2 more", "epoch: 2 more", "operator: 1 more", "first root", "sign --key FILE"]
    {
        assert!(out.out.contains(part), "{part:?} is not in\n{}", out.out);
    }
    let told = out.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("all keys of the root are needed") && told.contains("Take three"), "{told}");
    run(&["publish"]).failed_with(&["its first documents wait for signatures"]);
    run(&init).failed_with(&["a publisher's work directory already"]);
    for name in ["root2", "ana", "besa"] {
        assert!(run(&["sign", "--key", &format!("{name}.pem")]).fine().out.contains("waits"), "{name}");
    }
    run(&["sign", "--key", "cen.pem"]).failed_with(&["holds none of the roles that have to sign", "op ("]);
    run(&["sign"]).failed_with(&["nobody signs: name a key"]);
    let last = run(&["sign", "--key", "op.pem"]).fine();
    assert!(last.out.contains("in force") && !last.out.contains("8 files"), "{}", last.out);
    let out = run(&["publish", "--key", "op.pem", "--json"]).pending(&["release 1 of the class legal waits"]).json();
    let class = |name: &str| out["classes"].as_array().unwrap().iter().find(|it| it["class"] == name).cloned().unwrap();
    assert_eq!(
        (class("operator")["published"].clone(), class("legal")["published"].clone()),
        (true.into(), false.into())
    );
    assert_eq!(class("legal")["waiting"][0]["missing"], 2);
    assert!(out["phases"]["compile"].is_number());
    run(&["publish", "--class", "venue"])
        .failed_with(&["the class venue has no keys in this repository", "rotate-key"]);
    let root = fs::read(directory.join("work/public/metadata/1.root.json")).unwrap();
    Resolver::of(&directory.join("public"), &root).await.unwrap();
    run(&["verify", "--from", "public"]).fine();
    // A class that comes later.
    let out = run(&[
        "rotate-key",
        "--role",
        "venue",
        "--add",
        "op.person",
        "--key",
        "root1.pem",
        "--key",
        "root2.pem",
        "--key",
        "op.pem",
    ])
    .fine();
    assert!(out.out.contains("in force"), "{}", out.out);
    run(&["publish", "--class", "venue", "--key", "op.pem"]).fine();
    run(&["rotate-key", "--role", "legal", "--threshold", "1"]).failed_with(&["two people at the least"]);
    run(&["rotate-key", "--drop"]).failed_with(&["no change of keys is staged"]);
    run(&["rotate-key", "--renew", "--key", "root1.pem"]).fine();
    let status = run(&["status"]).fine().out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(status.contains("The change of keys (root and targets: the same keys with new dates) waits"), "{status}");
    assert!(status.contains("Release 1 of the class legal waits for signatures"), "{status}");
    assert!(run(&["rotate-key", "--drop"]).fine().out.contains("Taken back"));
    run(&["sign", "--only", "venue", "--key", "op.pem"]).failed_with(&["nothing is staged here"]);
    drop((ledger, people));
    fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_decision_is_published_at_once_while_somebody_watches() {
    let world = World::new("watch").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let keys = [world.key("ana"), world.key("besa")];
    let arguments = ["publish", "--watch", "0.2", "--json", "--to", "public", "--key", &keys[0], "--key", &keys[1]];
    let mut child = command(&world.directory, &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().expect("a line").unwrap()).unwrap();
    assert_eq!(next()["copied"][0]["to"], "public");

    let seen = async |name: &str, listed: bool| {
        let start = Instant::now();
        let came = eventually(Duration::from_secs(60), async || {
            let resolver = Resolver::of(&world.directory.join("public"), &world.first_root()).await.unwrap();
            covers(&resolver.legal(&identity).await.unwrap(), name) == listed
        });
        assert!(came.await, "it never came");
        start.elapsed()
    };
    let before = world.ledger.head().await.unwrap().number;
    assert!(!world.ledger.has_decided(before).await.unwrap());
    world.legal("isigurt/2", "second.test").await;
    assert!(world.ledger.has_decided(before).await.unwrap());
    println!("from the second approval to published: {:?}", seen("second.test", true).await);
    assert_eq!(next()["classes"][0]["serial"], 2);
    let released = world.ledger.head().await.unwrap().number - 1;
    assert!(!world.ledger.has_decided(released).await.unwrap(), "a release is no news to who made it");
    world.delist("isigurt/2").await;
    println!("from a delisting to published: {:?}", seen("second.test", false).await);
    next();
    // Somebody is enrolled.
    let two = world.enrol("two");
    assert_eq!(next()["classes"][0]["why"][0], "1 enrolled");
    let resolver = Resolver::of(&world.directory.join("public"), &world.first_root()).await.unwrap();
    assert!(resolver.legal(&two).await.is_some());
    // Another command at the same time takes its turn.
    world.run(&["publish", "--to", "public", "--key", &world.key("op")]).fine();
    let stopped = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success() && child.wait().unwrap().success());
}

#[tokio::test]
async fn who_watches_is_told_once_what_is_not_in_force_and_why() {
    let mut world = World::new("told").await;
    world.publish().await;
    world.set("entries = 50", "entries = 0");
    let key = world.key("op");
    let arguments = ["publish", "--watch", "0.1", "--key", &key];
    let mut child = command(&world.directory, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut next = || lines.next().expect("a line");
    assert!(next().contains("Watching"));
    world.enrol("one");
    let (line, ana, besa) = (next(), world.person("ana").id(), world.person("besa").id());
    assert!(line.contains("release 2 of the class legal waits for signatures, 2 more by "), "{line}");
    assert!(line.contains(&format!("ana ({ana})")) && line.contains(&format!("besa ({besa})")), "{line}");
    world.operator(0..1).await;
    let line = next();
    assert!(line.contains("release 2 of the class operator is held: 1 of the ledger come and 0 go"), "{line}");
    assert!(line.contains("overrule --class operator"), "{line}");
    // Another look, and what is the same is not told again.
    world.list("venue/1", Class::Venue, "adult", "adult.test", Scope::Subtree).await;
    let line = next();
    assert!(line.contains("release 2 of the class venue is held"), "{line}");
    let stopped = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success() && child.wait().unwrap().success());
    assert_eq!(lines.count(), 0);
}

#[tokio::test]
async fn diff_and_overrule_and_rollback_are_told_in_plain_words() {
    let world = World::new("words").await;
    let run = |arguments: &[&str]| narrow(world.run(arguments));
    world.publish().await;
    for number in 0..30 {
        world.operator(number..number + 1).await;
    }
    world.list("operator/a", Class::Operator, "phishing", "single.name.test", Scope::Exact).await;
    world.list("operator/b", Class::Operator, "bypass", "part.of.some.test", Scope::Subtree).await;
    let out = run(&["diff", "--class", "operator"]).fine().out;
    for part in [
        "would be released",
        "malware: 30 come, 0 go",
        "30 whole domains, 1 parts of one, 1 single names",
        "and 12 more",
    ] {
        assert!(out.contains(part), "{part:?} is not in\n{out}");
    }
    let json = run(&["diff", "--class", "operator", "--json"]).fine().json();
    assert_eq!(json[0]["added"].as_array().unwrap().len(), 32);
    assert_eq!(
        (json[0]["reach"]["domains"].clone(), json[0]["categories"]["bypass"]["added"].clone()),
        (30.into(), 1.into())
    );
    world.operator(30..60).await;
    let publish = ["publish", "--class", "operator", "--key", &world.key("op")];
    let out = run(&publish).pending(&["is held: 62 of the ledger come", "overrule --class operator"]).out;
    assert!(out.contains("held") && out.contains("overrule --class operator"), "{out}");
    run(&["overrule", "--class", "venue", "--reason", "all right", "--key", &world.key("op")])
        .failed_with(&["no release of the class venue is held"]);
    run(&["overrule", "--class", "operator", "--key", &world.key("op")]).failed_with(&["say why: --reason TEXT"]);
    let overrule = |name: &str| {
        run(&["overrule", "--class", "operator", "--reason", "moved from the old list", "--key", &world.key(name)])
    };
    let asked = overrule("op").fine().out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(asked.contains("has asked for it; somebody else has to agree: moved from the old list"), "{asked}");
    assert!(asked.contains("op ("), "people are told by what they are called: {asked}");
    let status = run(&["status"]).fine().out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(status.contains("Release 2 of the class operator is held") && status.contains("62 decided, 0"), "{status}");
    assert!(status.contains("has asked for it: moved from the old list"), "{status}");
    overrule("op").failed_with(&["somebody else has to agree"]);
    assert!(overrule("ana").fine().out.contains("in force"));
    overrule("ana").failed_with(&["no release of the class operator is held"]);
    let out =
        run(&["rollback", "--class", "operator", "--to", "1", "--reason", "a mistake", "--key", &world.key("op")])
            .fine()
            .out;
    assert!(out.contains("back to release 1") && out.contains("in force"), "{out}");
    // It is told wherever somebody looks, until it is ended.
    for arguments in [&["diff", "--class", "operator"][..], &["publish", "--class", "operator"], &["status"]] {
        let out = run(arguments).fine().out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(out.contains("back at what release 1 held (a mistake)") && out.contains("publish --resume"), "{out}");
        assert!(arguments[0] == "status" || out.contains("nothing to release"), "{out}");
    }
    let out = run(&["status"]).fine().out;
    assert!(out.contains("62 decided, 0 enforced"), "{out}");
    assert!(!run(&["diff", "--class", "operator", "--resume"]).fine().out.contains("62 come"));
}

#[tokio::test]
async fn resolvers_are_enrolled_in_the_ways_there_are() {
    let world = World::new("enrol").await;
    let run = |arguments: &[&str]| narrow(world.run(arguments));
    let age = || age::x25519::Identity::generate().to_public().to_string();
    let key = world.person("op").public().to_string();
    let one = age();
    let out = run(&["enrol", &one, "--receipt-key", &key, "--note", "library", "--json"]).fine().json();
    assert_eq!(out["active"], 1);
    run(&["enrol", &one]).failed_with(&["is enrolled already"]);
    run(&["enrol", "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQ"]).failed_with(&["no age recipient"]);
    let (two, three) = (age(), age());
    fs::write(world.directory.join("many.txt"), format!("# bars\n{two} {key} a bar\n{three}\n")).unwrap();
    run(&["enrol", "--from", "many.txt"]).fine();
    let four = age();
    let printed = format!("resolver     0011223344556677\nrecipient    {four}\nreceipt key  {key}\n");
    fs::write(world.directory.join("printed.txt"), printed).unwrap();
    run(&["enrol", "--from", "printed.txt", "--note", "a school"]).fine();
    assert_eq!(world.work.recipients().unwrap().all()[3].note, "a school");
    fs::write(world.directory.join("wrong.txt"), format!("{}\nnonsense\n", age())).unwrap();
    run(&["enrol", "--from", "wrong.txt"]).failed_with(&["wrong.txt:2:", "nobody was enrolled"]);
    let asked = answered(&world.directory, &["revoke-recipient", &two], "n");
    assert!(asked.out.contains("cannot come back") && asked.out.contains("nobody was revoked"), "{asked:?}");
    assert_eq!(world.work.recipients().unwrap().active().count(), 4);
    run(&["revoke-recipient", &two]).fine();
    run(&["enrol", &two]).failed_with(&["cannot come back", "friendly-resolver identity NEWFILE"]);
    run(&["revoke-recipient", "0011223344556677"]).failed_with(&["is not enrolled"]);
    let listed = run(&["enrol", "--list", "--json"]).fine().json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 4);
    assert!(
        listed[1]["revoked_at"].is_number() && listed[3]["receipt_key"] == key.as_str() && listed[1]["note"] == "a bar"
    );
    assert!(run(&["enrol", "--list"]).fine().out.contains("library"));
}

#[tokio::test]
async fn receipts_are_checked_against_the_ledger() {
    let world = World::new("receipts").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let path = world.work.directory().join("recipients.toml");
    let signer = world.person("cen");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("note = ", &format!("receipt_key = \"{}\"\nnote = ", signer.public()));
    fs::write(&path, text).unwrap();
    let manifest = world.resolver().await.manifest(Class::Legal).await;
    let resolver = signed_list::release::resolver_id(&identity.to_public().to_string());
    let receipt = |hash: [u8; 32]| {
        let receipt = Receipt {
            spec: SPEC,
            resolver: resolver.clone(),
            class: Class::Legal,
            serial: 1,
            hash,
            created: manifest.created,
            decided_at: manifest.decided.first().copied(),
            applied_at: manifest.decided[0] + 4_200,
            software: "friendly-resolver".to_owned(),
        };
        let header = format!("{{\"alg\":\"EdDSA\",\"kid\":\"{resolver}\",\"typ\":\"receipt+jws\"}}");
        let body = serde_json::to_vec(&receipt).unwrap();
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
        format!("{text}.{}\n", URL_SAFE_NO_PAD.encode(signer.sign(text.as_bytes())))
    };
    let file = world.directory.join("receipts.jws");
    fs::write(&file, receipt(manifest.hash).repeat(2)).unwrap();
    let out = narrow(world.run(&["receipts", "verify", "receipts.jws"])).fine().out;
    assert!(out.contains("in force after 4.2 s") && out.contains("4.2 s in the median"), "{out}");
    fs::write(&file, format!("{}{}nonsense\n", receipt(manifest.hash), receipt([7; 32]))).unwrap();
    let out = world
        .run(&["receipts", "verify", "receipts.jws", "--json"])
        .failed_with(&["2 of 3 receipts do not count"])
        .json();
    let counts: Vec<_> = out.as_array().unwrap().iter().map(|it| it["counts"].as_bool().unwrap()).collect();
    assert_eq!(counts, [true, false, false]);
    assert!(out[1]["why"].as_str().unwrap().contains("another list"));
    // A reason is told whole, also into a pipe.
    let out = world.run(&["receipts", "verify", "receipts.jws"]).failed_with(&["2 of 3 receipts do not count"]).out;
    let said = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("receipts.jws:2: does not count: release 1 of the class legal had another list"), "{said}");
    assert!(said.contains("than the one it speaks of receipts.jws:3:"), "{said}");
    fs::write(world.directory.join("empty.jws"), "\n").unwrap();
    world.run(&["receipts", "verify", "empty.jws"]).failed_with(&["empty.jws: there are no receipts in it"]);

    // Somebody who has neither work directory nor ledger: what the resolver printed of itself is enough.
    let (age, key) = (identity.to_public(), signer.public());
    let printed = format!("resolver     {resolver}\nrecipient    {age}\nreceipt key  {key}\n");
    fs::write(world.directory.join("resolver.txt"), printed).unwrap();
    fs::write(&file, receipt(manifest.hash)).unwrap();
    let verify = ["receipts", "verify", "--resolver", "../resolver.txt", "../receipts.jws"];
    let elsewhere = world.directory.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let out = run(&elsewhere, &verify).fine().out;
    assert!(out.contains("in force after 4.2 s") && out.contains("signatures alone"), "{out}");
    let other = format!("recipient {age}\nreceipt key {}\n", world.person("op").public());
    fs::write(world.directory.join("resolver.txt"), other).unwrap();
    run(&elsewhere, &verify).failed_with(&["1 of 1 receipt"]);
}

#[tokio::test]
async fn whoever_publishes_or_signs_at_a_terminal_is_asked_first() {
    let world = World::new("asked").await;
    world.publish().await;
    world.legal("isigurt/1", "first.test").await;
    let (ana, besa) = (world.key("ana"), world.key("besa"));
    let publish = ["publish", "--class", "legal", "--key", &ana];
    let sign = ["sign", "--only", "legal", "--key", &besa];
    let staged = || fs::read(world.work.staged().join("legal/metadata/legal.json")).unwrap_or_default();
    for (words, question, status) in
        [(&publish[..], "Sign and publish this?", 4), (&sign, "Sign release 2 of the class legal?", 0)]
    {
        let before = staged();
        for no in ["n", ""] {
            let asked = answered(&world.directory, words, no);
            assert!(asked.status == Some(1) && asked.out.contains("nothing was signed"), "{asked:?}");
            assert!(asked.out.contains(question), "{asked:?}");
            assert_eq!((staged(), world.card_of(Class::Legal)), (before.clone(), Some(1)), "{no:?}");
        }
        let asked = answered(&world.directory, words, "y");
        assert!(asked.status == Some(status) && asked.out.contains(question), "{asked:?}");
    }
    assert_eq!(world.card_of(Class::Legal), Some(2));
}
