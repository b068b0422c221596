//! The verbs as people and programs meet them: the real program, exit codes, messages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::program::Ended;
use crate::world::World;

/// A world in which the verbs have begun the ledger and registered everybody.
pub(crate) fn desk(test: &str) -> World {
    let world = World::empty(test);
    fs::remove_dir_all(world.directory.join("work")).unwrap();
    world.run(&["ledger", "init", "--key", "admin.pem"]).fine();
    for (name, label, roles) in [
        ("analyst", "Ana", &["analyst"][..]),
        ("besa", "Besa", &["approver"]),
        ("cen", "Cen", &["approver"]),
        ("officer", "Drita", &["officer"]),
        ("operator", "Edi", &["operator"]),
    ] {
        let shown = world.run(&["person", "show", "--key", &format!("{name}.pem")]).fine();
        world.write(&format!("{name}.person"), shown.out);
        let introduction = format!("{name}.person");
        let mut arguments = vec!["person", "add", &introduction, "--label", label, "--key", "admin.pem"];
        roles.iter().for_each(|role| arguments.extend(["--role", role]));
        world.run(&arguments).fine();
    }
    world
}

pub(crate) fn as_(world: &World, key: &str, arguments: &[&str]) -> Ended {
    let key = format!("{key}.pem");
    world.run(&[arguments, &["--key", &key]].concat())
}

const RECORDS: &str = "case_ref,source,category,name,url,legal_basis,dedicated_attestation,assessed_at\n\
    1,isigurt,csam,one.test,,law-18-2017,yes,2026-03-01\n\
    2,isigurt,csam,two.test,,,yes,2026-03-01\n\
    3,isigurt,csam,,https://platform.github.io/a/secret,,,2026-03-01\n\
    4,isigurt,csam,,https://four.test/secret,,,2026-03-01\n";

fn state(world: &World, case: &str) -> (String, bool) {
    let value = world.run(&["status", case, "--json"]).fine().json();
    (value["stands"].as_str().unwrap().to_owned(), value["in_force"].as_bool().unwrap())
}

#[test]
fn from_a_record_to_the_list_and_off_it_again() {
    let world = desk("life");
    world.write("r.csv", RECORDS);
    let taken = as_(&world, "analyst", &["intake", "r.csv", "--json"]).fine().json();
    let outcomes: Vec<&str> =
        taken["records"].as_array().unwrap().iter().map(|r| r["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["new", "new", "takedown-only", "takedown-only"]);
    assert_eq!(taken["records"][2]["ground"], "shared-host");
    assert!(taken["records"][2]["why"]["sq"].as_str().unwrap().contains("github.io"));

    as_(&world, "analyst", &["review", "isigurt/1"]).fine();
    assert_eq!(state(&world, "isigurt/1"), ("classified".to_owned(), false));
    as_(&world, "besa", &["approve", "isigurt/1"]).fine();
    assert_eq!(state(&world, "isigurt/1"), ("approved".to_owned(), false));
    as_(&world, "besa", &["approve", "isigurt/1"]).failed_with(&["approved case isigurt/1 already", "somebody else"]);
    let done = as_(&world, "cen", &["approve", "isigurt/1", "--json"]).fine().json();
    assert_eq!((&done["state"], &done["in_force"]), (&Value::from("listed"), &Value::from(true)));

    as_(&world, "analyst", &["withdraw", "isigurt/1", "--reason", "it was a mistake"]).fine();
    assert_eq!(state(&world, "isigurt/1"), ("delisted".to_owned(), false));
    as_(&world, "officer", &["review", "isigurt/1"]).failed_with(&["--confirm", "--reopen"]);
    let confirm = ["review", "isigurt/1", "--confirm", "--reason", "seen, it was a mistake"];
    as_(&world, "analyst", &confirm).failed_with(&["takes the role approver or officer"]);
    as_(&world, "officer", &confirm).fine();

    let history = world.run(&["history", "isigurt/1", "--json"]).fine().json();
    let kinds: Vec<&str> = history.as_array().unwrap().iter().map(|e| e["event"]["kind"].as_str().unwrap()).collect();
    let expected = ["reported", "assessed", "classified", "approved", "approved", "withdrawn", "reviewed"];
    assert_eq!(kinds, expected);
    let verified = world.run(&["ledger", "verify", "--json"]).fine().json();
    let head = verified["head"].as_str().unwrap().to_owned();
    world.run(&["ledger", "verify", "--noted", &head]).fine();
    world.run(&["ledger", "rebuild"]).fine();
    let other = format!("3:{}", "0".repeat(64));
    world.run(&["ledger", "verify", "--noted", &other]).failed_with(&["entry 3 is broken", "no longer holds"]);
}

#[test]
fn intake_again_makes_no_second_case_and_notices_what_changed() {
    let world = desk("again");
    world.write("r.csv", RECORDS);
    as_(&world, "analyst", &["intake", "r.csv"]).fine();
    let entries = world.run(&["ledger", "verify", "--json"]).fine().json()["entries"].clone();
    let again = as_(&world, "analyst", &["intake", "r.csv", "--json"]).fine().json();
    let outcomes: Vec<&str> =
        again["records"].as_array().unwrap().iter().map(|r| r["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["known", "known", "known-takedown-only", "known-takedown-only"]);
    assert_eq!(world.run(&["ledger", "verify", "--json"]).fine().json()["entries"], entries);

    // The attestation that was lacking comes in; another name under a known number does not.
    let head = RECORDS.lines().next().unwrap();
    let later = format!(
        "{head},removed_seen_at\n4,isigurt,csam,four.test,,,yes,2026-03-01,\n1,isigurt,csam,other.test,,,yes,2026-03-01,\n2,isigurt,csam,two.test,,,yes,2026-03-01,2026-03-05\n9,isigurt,csam,nine.test,,,yes,2026-03-01,2026-03-05\n"
    );
    world.write("later.csv", later);
    let refused = as_(&world, "analyst", &["intake", "later.csv", "--json"]);
    let value = refused.json();
    let outcomes: Vec<&str> =
        value["records"].as_array().unwrap().iter().map(|r| r["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["new", "conflict", "removed", "gone"]);
    refused.failed_with(&["1 record was refused"]);
    assert_eq!(state(&world, "isigurt/2"), ("removed".to_owned(), false));
    world.run(&["status", "isigurt/9"]).failed_with(&["there is no case isigurt/9"]);
}

#[test]
fn nothing_of_a_url_is_kept_or_repeated() {
    let world = desk("privacy");
    let record = |number: u32, more: &str| {
        format!(
            "{{\"version\":1,\"case_ref\":\"{number}\",\"source\":\"isigurt\",\"category\":\"csam\",\"url\":\"https://user-secret:pw@host-{number}.test/path-secret?q=secret#secret\",\"assessed_at\":\"2026-03-01\"{more}}}\n"
        )
    };
    let text = record(1, ",\"dedicated_attestation\":true")
        + &record(2, "")
        + &record(3, ",\"reporter_email\":\"secret@secret.test\"")
        + &record(4, ",\"scope\":\"secret\"");
    world.write("r.jsonl", text);
    for arguments in
        [&["intake", "r.jsonl"][..], &["intake", "r.jsonl", "--json"], &["intake", "r.jsonl", "--language", "sq"]]
    {
        let ended = as_(&world, "analyst", arguments);
        assert_eq!(ended.status, Some(1));
        assert!(!ended.out.contains("secret") && !ended.err.contains("secret"), "{}{}", ended.out, ended.err);
    }
    for entry in fs::read_dir(world.directory.join("work")).unwrap() {
        let path = entry.unwrap().path();
        let octets = fs::read(&path).unwrap();
        let found = |text: &[u8]| octets.windows(text.len()).any(|window| window == text);
        assert!(!found(b"secret"), "{}", path.display());
        assert!(!found(b"host-2.test") && !found(b"host-4.test"), "what goes back leaves no name: {}", path.display());
    }
}

#[test]
fn a_check_needs_no_ledger_and_no_key() {
    let world = World::empty("check");
    world.write("r.csv", RECORDS);
    let checked = world.run(&["intake", "--check", "r.csv", "--json"]).fine().json();
    assert_eq!(checked["checked_only"], true);
    assert_eq!(checked["records"][0]["outcome"], "new");
    assert_eq!(checked["records"][3]["ground"], "not-dedicated");
    let text = world.run(&["intake", "--check", "r.csv", "--language", "sq"]).fine().out;
    assert!(text.contains("Kërkojini ofruesit të hostimit"), "{text}");
    assert!(!world.path().exists());
    let ended = world.run(&["intake", "r.csv"]);
    assert_eq!(ended.status, Some(2), "{}", ended.err);
}

#[test]
fn appeals_have_a_due_date_and_are_answered_by_an_officer() {
    let world = desk("appeal");
    world.write("r.csv", RECORDS);
    as_(&world, "analyst", &["intake", "r.csv"]).fine();
    as_(&world, "analyst", &["appeal", "open", "isigurt/1"]).failed_with(&["isigurt/1 is reported"]);
    as_(&world, "analyst", &["review", "isigurt/2"]).failed_with(&["no legal ground", "--legal-basis"]);
    as_(&world, "analyst", &["review", "isigurt/2", "--legal-basis", "law-0"])
        .failed_with(&["'law-0'", "law-18-2017, court-order"]);
    as_(&world, "analyst", &["review", "isigurt/2", "--legal-basis", "law-18-2017", "--category", "bullying"])
        .failed_with(&["'bullying'", "csam"]);
    as_(&world, "analyst", &["review", "isigurt/2", "--legal-basis", "law-18-2017", "--reference", "Vendim 7"]).fine();
    as_(&world, "besa", &["approve", "isigurt/2", "--review-by", "2020-01-01"]).failed_with(&["within 90 days"]);
    as_(&world, "besa", &["approve", "isigurt/2"]).fine();
    as_(&world, "cen", &["approve", "isigurt/2"]).fine();
    let opened = as_(&world, "operator", &["appeal", "open", "isigurt/2", "--evident", "--json"]).fine().json();
    assert!(opened["due"].as_u64().is_some());
    let queue = world.run(&["status", "--json"]).fine().json();
    assert_eq!(queue["waiting"][0]["case"], "isigurt/2");
    assert_eq!(queue["waiting"][0]["due"], opened["due"]);
    as_(&world, "officer", &["appeal", "uphold", "isigurt/2"]).failed_with(&["--reason"]);
    as_(&world, "besa", &["appeal", "uphold", "isigurt/2", "--reason", "it stays"]).failed_with(&["role officer"]);
    as_(&world, "officer", &["appeal", "uphold", "isigurt/2", "--reason", "it stays"]).fine();
    assert_eq!(state(&world, "isigurt/2"), ("listed".to_owned(), true));
    as_(&world, "operator", &["appeal", "open", "isigurt/2"]).fine();
    as_(&world, "officer", &["appeal", "delist", "isigurt/2", "--reason", "it goes"]).fine();
    assert_eq!(state(&world, "isigurt/2"), ("delisted".to_owned(), false));
    // Expiry needs nobody: the same card, later.
    as_(&world, "analyst", &["review", "isigurt/1"]).fine();
    as_(&world, "besa", &["approve", "isigurt/1"]).fine();
    as_(&world, "cen", &["approve", "isigurt/1"]).fine();
    let later = world.run(&["status", "isigurt/1", "--json", "--at", "2099-01-01"]).fine().json();
    assert_eq!((later["stands"].as_str(), later["in_force"].as_bool()), (Some("expired"), Some(false)));
}

#[test]
fn rejecting_and_taking_off_in_all_its_forms() {
    let world = desk("off");
    world.write("r.csv", RECORDS);
    as_(&world, "analyst", &["intake", "r.csv"]).fine();
    as_(&world, "analyst", &["reject", "isigurt/2", "--reason", "not dedicated"]).failed_with(&["approver or officer"]);
    as_(&world, "besa", &["reject", "isigurt/2", "--reason", "see http://two.test/x"])
        .status
        .filter(|code| *code == 2)
        .unwrap();
    as_(&world, "besa", &["reject", "isigurt/2"]).failed_with(&["say why: --reason"]);
    as_(&world, "besa", &["reject", "isigurt/2", "--reason", "not dedicated"]).fine();
    assert_eq!(state(&world, "isigurt/2"), ("rejected".to_owned(), false));
    as_(&world, "analyst", &["review", "isigurt/1"]).fine();
    as_(&world, "besa", &["approve", "isigurt/1"]).fine();
    as_(&world, "cen", &["approve", "isigurt/1"]).fine();
    let done = as_(&world, "operator", &["withdraw", "isigurt/1", "--emergency", "--reason", "over-block", "--json"]);
    assert_eq!(done.fine().json()["second_look"], true);
    as_(&world, "operator", &["withdraw", "isigurt/1", "--removed-at-source"]).failed_with(&["role analyst"]);
    as_(&world, "officer", &["review", "isigurt/1", "--reopen", "--reason", "it is no over-block"]).fine();
    assert_eq!(state(&world, "isigurt/1"), ("classified".to_owned(), false));
    as_(&world, "analyst", &["withdraw", "isigurt/1", "--removed-at-source", "--seen-at", "2026-03-04"]).fine();
    assert_eq!(state(&world, "isigurt/1"), ("removed".to_owned(), false));
}

#[test]
fn people_are_registered_by_an_admin_from_what_they_hand_over() {
    let world = desk("people");
    let made = world.run(&["person", "new", "fatmir.pem", "--json"]).fine().json();
    let mode = fs::metadata(world.directory.join("fatmir.pem")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(
        fs::read_to_string(world.directory.join("fatmir.person")).unwrap().trim(),
        made["introduction"].as_str().unwrap()
    );
    world.run(&["person", "new", "fatmir.pem"]).failed_with(&["fatmir.person", "another file"]);
    let add = |label: &str, roles: &[&str], key: &str| {
        let mut arguments = vec!["person", "add", "fatmir.person", "--label", label];
        roles.iter().for_each(|role| arguments.extend(["--role", role]));
        as_(&world, key, &arguments)
    };
    add("Fatmir", &["analyst"], "besa").failed_with(&["Besa may not register people", "role admin"]);
    add("Besa", &["analyst"], "admin").failed_with(&["another key is registered as 'Besa'"]);
    add("Fatmir", &["admin", "analyst"], "admin").failed_with(&["admin alone"]);
    assert_eq!(add("Fatmir", &["king"], "admin").status, Some(2));
    add("Fatmir", &["approver", "officer"], "admin").fine();
    let id = made["id"].as_str().unwrap();
    as_(&world, "admin", &["person", "retire", id, "--reason", "has left"]).fine();
    add("Fatmir", &["analyst"], "admin").failed_with(&["was retired"]);
    let list = world.run(&["person", "list", "--json"]).fine().json();
    let him = list.as_array().unwrap().iter().find(|person| person["id"] == id).unwrap();
    assert!(him["retired_at"].as_u64().is_some());
    assert_eq!(him["roles"], serde_json::json!(["approver", "officer"]));

    world.write("cut.person", &made["introduction"].as_str().unwrap()[..90]);
    as_(&world, "admin", &["person", "add", "cut.person", "--label", "X", "--role", "analyst"])
        .failed_with(&["introduction"]);
    world.write("open.pem", fs::read(world.directory.join("besa.pem")).unwrap());
    fs::set_permissions(world.directory.join("open.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    as_(&world, "open", &["approve", "isigurt/1"]).failed_with(&["open.pem", "others can read this key", "chmod 600"]);
}

#[test]
fn messages_say_what_where_and_what_to_do() {
    let world = World::empty("messages");
    as_(&world, "besa", &["approve", "isigurt/1"]).failed_with(&["work/ledger.db", "no ledger", "ledger init"]);
    as_(&world, "nobody", &["approve", "isigurt/1"]).failed_with(&["nobody.pem", "person new"]);
    let world = desk("messages-two");
    as_(&world, "besa", &["approve", "isigurt/1"]).failed_with(&["there is no case isigurt/1", "status"]);
    as_(&world, "admin", &["ledger", "init"]).failed_with(&["a ledger already"]);
    as_(&world, "admin", &["ledger", "correct-clock", "--reason", "was ahead"]).failed_with(&["has not been ahead"]);
    for arguments in
        [&["approve", "not a case"][..], &["status", "--at", "soon"], &["ledger", "verify", "--noted", "x"]]
    {
        assert_eq!(world.run(arguments).status, Some(2), "{arguments:?}");
    }
    let full = Command::new("sh")
        .args(["-c", "\"$0\" status >/dev/full"])
        .arg(env!("CARGO_BIN_EXE_friendly-blocklist"))
        .current_dir(&world.directory)
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(1));
}

#[test]
fn what_people_read_fits_into_80_columns_and_shows_no_list() {
    let world = desk("columns");
    let long = "a-rather-long-name-of-sixty-octets-and-some-more-in-it".to_owned();
    let text: String = (0..30)
        .map(|number| format!("{number}-with-a-long-number-of-the-hotline-itself,isigurt,csam,{long}-{number}.test,,law-18-2017,yes,2026-03-01\n"))
        .collect();
    world.write(
        "r.csv",
        RECORDS.lines().next().unwrap().to_owned()
            + "\n"
            + &text
            + "77,isigurt,csam,192.0.2.1,,,yes,soon\n78,isigurt,csam,,https://github.io/x,,yes,2026-03-01\n",
    );
    let case = "isigurt/7-with-a-long-number-of-the-hotline-itself";
    let taken = as_(&world, "analyst", &["intake", "r.csv"]);
    let review = as_(&world, "analyst", &["review", case]).fine();
    as_(&world, "besa", &["approve", case]).fine();
    as_(&world, "cen", &["approve", case]).fine();
    let card = world.run(&["status", case]).fine();
    assert!(card.out.contains(&long), "{}", card.out);
    let status = world.run(&["status"]).fine();
    assert!(!status.out.contains(&long), "no command prints the list: {}", status.out);
    assert!(status.out.contains("and 9 more"), "{}", status.out);
    let pages =
        [taken, review, card, status, world.run(&["history", case]).fine(), world.run(&["person", "list"]).fine()];
    for page in pages {
        assert!(!page.out.contains('\u{1b}'), "no colours without a terminal");
        for line in page.out.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    for verb in ["intake", "review", "approve", "reject", "withdraw", "appeal", "status", "history", "person", "ledger"]
    {
        let help = world.run(&[verb, "--help"]).fine().out;
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}
