//! Requests for review from stop pages become appeals.

use std::fs;

use signed_list::review::{Review, VERSION};

use crate::verbs::{as_, desk};
use crate::world::{World, case};

/// A request as a resolver keeps it.
fn request(world: &World, recipient: &str, code: &str, site: &str) {
    let review =
        Review { version: VERSION, scheme: "al".into(), code: code.into(), site: site.into(), day: 1_803_859_200 };
    let recipient: age::x25519::Recipient = recipient.parse().unwrap();
    let sealed = age::encrypt_and_armor(&recipient, &serde_json::to_vec(&review).unwrap()).unwrap();
    world.write(&format!("reviews/{code}.review"), sealed);
}

#[tokio::test]
async fn requests_become_appeals_against_the_cases_that_block_their_sites() {
    let world = desk("requests");
    let head = "case_ref,source,category,name,legal_basis,dedicated_attestation,assessed_at";
    let record = |number: u32, name: &str| format!("{number},isigurt,csam,{name},law-18-2017,yes,2026-03-01");
    let records = [record(1, "shop.test"), record(2, "other.test"), record(3, "waiting.test")];
    world.write("r.csv", format!("{head}\n{}\n", records.join("\n")));
    as_(&world, "analyst", &["intake", "r.csv"]).fine();
    for case in ["isigurt/1", "isigurt/2"] {
        as_(&world, "analyst", &["review", case]).fine();
        as_(&world, "besa", &["approve", case]).fine();
        as_(&world, "cen", &["approve", case]).fine();
    }

    let made = world.run(&["appeal", "key", "reviews.key"]).fine().out;
    let recipient = made.trim();
    assert!(recipient.starts_with("age1"), "{recipient}");
    world.run(&["appeal", "key", "reviews.key"]).failed_with(&["reviews.key"]);
    fs::create_dir(world.directory.join("reviews")).unwrap();
    request(&world, recipient, "AAAA-0001", "www.shop.test");
    request(&world, recipient, "AAAA-0002", "shop.test");
    request(&world, recipient, "AAAA-0003", "waiting.test");
    world.write("reviews/AAAA-0004.review", "no longer whole");

    let key = world.key("analyst");
    let import = ["appeal", "import", "reviews", "--secret", "reviews.key", "--key", &key];
    let ended = world.run(&import);
    assert!(ended.status != Some(0), "{}", ended.err);
    for words in ["AAAA-0004.review", "1 of 4 files were not read"] {
        assert!(ended.err.contains(words), "{}", ended.err);
    }
    let ledger = world.open().await.unwrap();
    assert!(ledger.find(&case("isigurt/1")).await.unwrap().open_appeal().is_some());
    for untouched in ["isigurt/2", "isigurt/3"] {
        assert!(ledger.find(&case(untouched)).await.unwrap().open_appeal().is_none(), "{untouched}");
    }
    let entries = ledger.verify(None).await.unwrap().number;
    ledger.close().await;
    let left: Vec<_> =
        fs::read_dir(world.directory.join("reviews")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.iter().filter(|name| name.to_string_lossy().ends_with(".review")).count(), 1, "{left:?}");

    // What stands in the ledger is not taken in again; the broken file is told again.
    fs::remove_file(world.directory.join("reviews/AAAA-0004.review")).unwrap();
    assert!(world.run(&import).fine().out.contains("No request is waiting"));
    request(&world, recipient, "AAAA-0005", "shop.test");
    let told = world.run(&[&import[..], &["--json"]].concat()).fine().json();
    assert_eq!((told[0]["code"].as_str(), told[0]["cases"][0].as_str()), (Some("AAAA-0005"), Some("isigurt/1")));
    assert_eq!(told[0]["day"], "2027-03-01");
    let ledger = world.open().await.unwrap();
    assert_eq!(ledger.verify(None).await.unwrap().number, entries, "one appeal is enough for both");
    ledger.close().await;

    request(&world, recipient, "AAAA-0006", "unknown.test");
    let out = world.run(&import).fine().out;
    assert!(out.contains("AAAA-0006 unknown.test: no case of this ledger blocks it"), "{out}");
    world
        .run(&["appeal", "import", "reviews", "--secret", "analyst.pem", "--key", &key])
        .failed_with(&["AGE-SECRET-KEY-1"]);
}
