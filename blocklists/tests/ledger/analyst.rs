//! What somebody meets who works with the verbs all day: two cases of one name, keys that are retired, appeals that end
//! otherwise than asked, files as spreadsheets write them.

use std::fs;

use crate::program::Ended;
use crate::verbs::{as_, desk};
use crate::world::World;

const HEAD: &str = "case_ref,source,category,name,legal_basis,dedicated_attestation,assessed_at,removed_seen_at\n";

/// A record of a source's case for a name, as a line of a table.
fn line(source: &str, number: u32, name: &str) -> String {
    format!("{number},{source},csam,{name},law-18-2017,po,2026-03-01,\n")
}

fn take_in(world: &World, lines: &[String]) -> Ended {
    world.write("r.csv", HEAD.to_owned() + &lines.concat());
    as_(world, "analyst", &["intake", "r.csv"])
}

/// Takes cases to the list.
fn list(world: &World, cases: &[&str]) {
    as_(world, "analyst", &[&["review"], cases].concat()).fine();
    as_(world, "besa", &[&["approve"], cases].concat()).fine();
    as_(world, "cen", &[&["approve"], cases].concat()).fine();
}

/// A text without its line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has(ended: &Ended, parts: &[&str]) {
    let text = flat(&ended.out);
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{}", ended.out);
    }
}

fn retire(world: &World, label: &str) {
    let people = world.run(&["person", "list", "--json"]).fine().json();
    let person = people.as_array().unwrap().iter().find(|person| person["label"] == label).unwrap();
    let id = person["id"].as_str().unwrap();
    as_(world, "admin", &["person", "retire", id, "--reason", "has left"]).fine();
}

#[test]
fn a_name_that_another_case_blocks_is_not_said_to_be_free() {
    let world = desk("still-blocked");
    let taken = take_in(&world, &[line("isigurt", 1, "one.test"), line("iwf", 2, "one.test")]).fine();
    has(&taken, &["iwf/2 (reported): the same name", "isigurt/1 (reported): the same name"]);
    list(&world, &["isigurt/1", "iwf/2"]);
    has(&world.run(&["status", "isigurt/1"]).fine(), &["see also iwf/2 (listed): the same name"]);

    let off = as_(&world, "analyst", &["withdraw", "isigurt/1", "--reason", "not dedicated"]).fine();
    has(&off, &["isigurt/1 is delisted, but the name is still blocked by iwf/2"]);
    assert!(!off.out.contains("no longer blocks"), "{}", off.out);
    let gone = as_(&world, "analyst", &["withdraw", "iwf/2", "--removed-at-source"]).fine();
    has(&gone, &["iwf/2 is removed; the next release no longer blocks it."]);

    // The same by a record.
    take_in(&world, &[line("isigurt", 5, "five.test"), line("iwf", 5, "five.test")]).fine();
    list(&world, &["isigurt/5", "iwf/5"]);
    let gone = "5,isigurt,csam,five.test,law-18-2017,po,2026-03-01,2026-03-05\n".to_owned();
    has(&take_in(&world, &[gone]).fine(), &["iwf/5 (listed): the same name, which it still blocks"]);

    // Above, below, and by an officer's answer to an appeal.
    take_in(&world, &[line("isigurt", 3, "two.test"), line("iwf", 4, "www.two.test")]).fine();
    list(&world, &["isigurt/3", "iwf/4"]);
    as_(&world, "operator", &["appeal", "open", "iwf/4"]).fine();
    let delisted = as_(&world, "officer", &["appeal", "delist", "iwf/4", "--reason", "a shop"]).fine();
    has(&delisted, &["iwf/4 is delisted, but the name is still blocked by isigurt/3"]);
    has(&world.run(&["history", "www.two.test"]).fine(), &["iwf/4 delisted", "See also isigurt/3 (listed)"]);
    has(&world.run(&["history", "a.two.test"]).fine(), &["0 cases", "See also isigurt/3 (listed): a name above"]);
    world.run(&["history", "three.test"]).failed_with(&["no case about three.test"]);
    let found = world.run(&["history", "one.test", "--json"]).fine().json();
    let states: Vec<&str> =
        found["cases"].as_array().unwrap().iter().map(|case| case["stands"].as_str().unwrap()).collect();
    assert_eq!(states, ["delisted", "removed"]);
}

#[test]
fn an_approval_of_a_retired_key_is_not_counted_anywhere() {
    let world = desk("retired");
    take_in(&world, &[line("isigurt", 1, "one.test")]).fine();
    as_(&world, "analyst", &["review", "isigurt/1"]).fine();
    as_(&world, "besa", &["approve", "isigurt/1"]).fine();
    retire(&world, "Besa");
    let card = world.run(&["status", "isigurt/1"]).fine();
    has(&card, &["0 of 2 approvals", "counts no longer: the key was retired", "waits for two approvals"]);
    let queue = world.run(&["status", "--json"]).fine().json();
    assert_eq!(queue["waiting"][0]["waits_for"], "two approvals");
    let approved = as_(&world, "cen", &["approve", "isigurt/1"]).fine();
    has(&approved, &["it takes 1 more approval", "The approval by Besa", "counts no longer"]);
    let history = world.run(&["history", "isigurt/1"]).fine();
    assert_eq!(flat(&history.out).matches("counts no longer").count(), 1, "{}", history.out);
    assert!(!world.run(&["status", "isigurt/1"]).fine().out.contains("Besa"));
}

#[test]
fn an_appeal_that_a_delisting_ended_was_not_granted() {
    let world = desk("not-granted");
    take_in(&world, &[line("isigurt", 1, "one.test")]).fine();
    list(&world, &["isigurt/1"]);
    as_(&world, "operator", &["appeal", "open", "isigurt/1"]).fine();
    let off = as_(&world, "analyst", &["withdraw", "isigurt/1", "--emergency", "--reason", "blocks a shop"]).fine();
    has(&off, &["an approver or officer", "`review isigurt/1 --confirm`", "`review isigurt/1 --reopen`"]);
    let ended = ["ended by the emergency delisting", "blocks a shop"];
    let card = world.run(&["status", "isigurt/1"]).fine();
    has(&card, &ended);
    has(&card, &["blocked one.test"]);
    as_(&world, "officer", &["review", "isigurt/1", "--reopen", "--reason", "it is no shop"]).fine();
    // Who approves anew decides from this card.
    let card = world.run(&["status", "isigurt/1"]).fine();
    has(&card, &ended);
    has(&card, &["would block one.test", "reopened", "it is no shop"]);
    as_(&world, "besa", &["approve", "isigurt/1"]).fine();
    as_(&world, "cen", &["approve", "isigurt/1"]).fine();
    let card = world.run(&["status", "isigurt/1"]).fine();
    has(&card, &ended);
    assert!(!card.out.contains("granted"), "{}", card.out);

    as_(&world, "operator", &["appeal", "open", "isigurt/1"]).fine();
    as_(&world, "officer", &["appeal", "delist", "isigurt/1", "--reason", "it is one"]).fine();
    has(&world.run(&["status", "isigurt/1"]).fine(), &["granted", "appeal granted: it is one"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let world = desk("not-meant");
    take_in(&world, &[line("isigurt", 1, "one.test")]).fine();
    list(&world, &["isigurt/1"]);
    let seen = ["withdraw", "isigurt/1", "--seen-at", "2026-03-05", "--reason", "gone"];
    assert_eq!(as_(&world, "analyst", &seen).status, Some(2));
    let early = ["withdraw", "isigurt/1", "--removed-at-source", "--seen-at", "2026-02-28"];
    as_(&world, "analyst", &early).failed_with(&["assessed on 2026-03-01", "gone on 2026-02-28"]);
    let early = "1,isigurt,csam,one.test,law-18-2017,po,2026-03-01,2026-02-28\n".to_owned();
    let refused = take_in(&world, &[early]);
    has(&refused, &["assessed on 2026-03-01", "gone on 2026-02-28"]);
    refused.failed_with(&["1 record was refused"]);
    has(&world.run(&["status", "isigurt/1"]).fine(), &["listed"]);

    // A record of a case that is over is no new one.
    as_(&world, "analyst", &["withdraw", "isigurt/1", "--removed-at-source"]).fine();
    let again = take_in(&world, &[line("isigurt", 1, "one.test")]).fine();
    has(&again, &["Known, and closed isigurt/1: removed", "it comes in under a new number"]);

    take_in(&world, &[line("isigurt", 2, "two.test")]).fine();
    as_(&world, "analyst", &["review", "isigurt/2"]).fine();
    as_(&world, "besa", &["approve", "isigurt/2"]).fine();
    as_(&world, "analyst", &["review", "isigurt/2"]).failed_with(&["reject it", "under a new number"]);
    take_in(&world, &[line("isigurt", 3, "platform.github.io")]).fine();
    as_(&world, "besa", &["approve", "isigurt/3"]).failed_with(&[
        "isigurt/3 is no case",
        "went back to the hotline",
        "shared-host",
    ]);
    as_(&world, "analyst", &["approve", "isigurt/2"]).failed_with(&["Ana may not approve a case", "role approver"]);
    let introduction = ["approve", "isigurt/2", "--key", "cen.person"];
    world.run(&introduction).failed_with(&["cen.person: this is an introduction", "cen.pem"]);
}

#[test]
fn a_check_says_what_the_run_will_say() {
    let world = desk("check-is-run");
    let lines = [
        line("isigurt", 1, "one.test"),
        line("isigurt", 1, "one.test"),
        line("isigurt", 1, "other.test"),
        "2,isigurt,csam,two.test,law-18-2017,po,2098-03-01,\n".to_owned(),
        line("isigurt", 3, "photos.facebook.com"),
    ];
    world.write("r.csv", HEAD.to_owned() + &lines.concat());
    let checked = world.run(&["intake", "--check", "r.csv", "--json"]).json();
    let ran = as_(&world, "analyst", &["intake", "r.csv", "--json"]).json();
    assert_eq!(checked["records"], ran["records"]);
    let outcomes: Vec<&str> =
        ran["records"].as_array().unwrap().iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["new", "known", "conflict", "refused", "takedown-only"]);
    // Now with the ledger that holds the first of them.
    let checked = world.run(&["intake", "--check", "r.csv", "--json"]).json();
    let ran = as_(&world, "analyst", &["intake", "r.csv", "--json"]).json();
    assert_eq!(checked["records"], ran["records"]);
    world.run(&["intake", "--check", "r.csv"]).failed_with(&["2 records would be refused", "nothing was taken in"]);

    // The report can be sent on to a hotline that reads Albanian.
    world.write("r.csv", HEAD.to_owned() + &lines.concat() + ",isigurt,csam,x.test,,,2026-03-01,\n");
    let report = world.run(&["intake", "--check", "r.csv", "--language", "sq"]).out;
    for english in ["Check", "records", "Refused", "Notice", "line", "number", "platform)", "Another", "The date"] {
        assert!(!report.contains(english), "{english}: {report}");
    }
    assert!(report.contains("(platformë e madhe)"), "{report}");
}

#[test]
fn a_file_without_records_is_not_taken_for_one() {
    let world = World::empty("no-records");
    for (name, content, says) in [
        ("head.csv", HEAD.as_bytes().to_vec(), "There are no records in it."),
        ("blank.csv", format!("{HEAD},,,,,,,\n").into_bytes(), "There are no records in it."),
        ("none.json", b"{\"version\": 1, \"records\": []}".to_vec(), "There are no records in it."),
        ("two.json", b"{\"version\": 2, \"records\": []}".to_vec(), "version has to be 1"),
        (
            "utf16.txt",
            HEAD.encode_utf16().fold(vec![0xff, 0xfe], |mut all, unit| {
                all.extend(unit.to_le_bytes());
                all
            }),
            "save it as UTF-8",
        ),
    ] {
        world.write(name, content);
        let ended = world.run(&["intake", "--check", name]);
        has(&ended, &["0 records", says]);
        ended.failed_with(&["the file was not taken in"]);
    }
    // What Excel writes below a table is no record.
    world.write("r.csv", (HEAD.to_owned() + &line("isigurt", 1, "one.test") + ",,,,,,,\r\n").replace(',', ";"));
    has(&world.run(&["intake", "--check", "r.csv"]).fine(), &["1 record ", "1 can become entries"]);
}

#[test]
fn several_cases_are_decided_one_by_one() {
    let world = desk("several");
    let lines: Vec<String> = (1..=3).map(|number| line("isigurt", number, &format!("n{number}.test"))).collect();
    take_in(&world, &lines).fine();
    let ended = as_(&world, "analyst", &["review", "isigurt/1", "isigurt/9", "isigurt/2", "--json"]);
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.err.contains("there is no case isigurt/9") && ended.err.contains("1 of 3 cases were not decided"),
        "{}",
        ended.err
    );
    let value = ended.json();
    assert_eq!((&value[0]["state"], &value[2]["state"]), (&"classified".into(), &"classified".into()));
    assert!(value[1]["error"].as_str().unwrap().contains("isigurt/9"));
    let done = as_(&world, "besa", &["reject", "isigurt/2", "isigurt/3", "--reason", "not dedicated"]).fine();
    has(&done, &["isigurt/2 is rejected", "isigurt/3 is rejected"]);
    assert!(as_(&world, "besa", &["approve", "isigurt/1", "--json"]).fine().json().is_object(), "one is no array");
}

#[test]
fn internationalised_names_are_shown_with_their_letters() {
    let world = desk("letters");
    let taken = take_in(&world, &[line("isigurt", 1, "fëmijë.example"), line("iwf", 1, "fëmijë.example")]).fine();
    let both = "xn--fmij-lpad.example (fëmijë.example)";
    has(&taken, &[both]);
    has(&world.run(&["status", "isigurt/1"]).fine(), &[both]);
    has(&world.run(&["history", "isigurt/1"]).fine(), &[both]);
    has(&world.run(&["history", "fëmijë.example"]).fine(), &[both, "isigurt/1", "iwf/1", "2 cases"]);
}

#[test]
fn what_is_to_be_copied_stands_on_a_line_of_its_own() {
    let world = desk("copied");
    let verified = world.run(&["ledger", "verify"]).fine();
    let head = verified.out.lines().last().unwrap().to_owned();
    world.run(&["ledger", "verify", "--noted", &head]).fine();
    let made = world.run(&["person", "new", "fatmir.pem"]).fine();
    for line in made.out.lines().chain(verified.out.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(fs::metadata(world.directory.join("fatmir.person")).is_ok());
}
