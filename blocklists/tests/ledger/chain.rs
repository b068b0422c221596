//! The chain: signatures, hashes, order, and every way to change something behind the ledger's back.

use friendly_blocklist::ledger::event::{Entry, Event, Link, ReleaseRecord};
use friendly_blocklist::ledger::rules::Refused;
use friendly_blocklist::ledger::verify::{Auditor, Flaw};
use friendly_blocklist::ledger::{Head, Ledger, LedgerError};
use signed_list::release::Class;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::world::{DAY, START, World, approved, case, listed, ready, reason, reported};

/// The database, past the ledger.
async fn raw(world: &World) -> SqliteConnection {
    SqliteConnectOptions::new().filename(world.path()).connect().await.unwrap()
}

async fn sql(world: &World, statement: &'static str) -> Result<u64, sqlx::Error> {
    let mut db = raw(world).await;
    let done = sqlx::query(statement).execute(&mut db).await.map(|done| done.rows_affected());
    db.close().await.unwrap();
    done
}

/// Takes the triggers away, as somebody would who owns the file.
async fn unlocked(world: &World, statement: &'static str) {
    for trigger in ["entries_are_kept", "entries_are_not_changed", "entries_come_in_order"] {
        let mut db = raw(world).await;
        let drop = sqlx::AssertSqlSafe(format!("DROP TRIGGER IF EXISTS {trigger}"));
        sqlx::query(drop).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }
    assert!(sql(world, statement).await.unwrap() > 0, "{statement}");
}

fn flaw(error: LedgerError) -> (u64, Flaw) {
    match error {
        LedgerError::Broken { broken, .. } => (broken.number, broken.what),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_ledger_that_was_only_added_to_verifies_and_holds_its_earlier_heads() {
    let (world, ledger) = World::new("whole").await;
    let noted = ledger.verify(None).await.unwrap();
    listed(&world, &ledger, "isigurt/1", "one.test", START).await;
    let head = ledger.verify(Some(&noted)).await.unwrap();
    assert_eq!(head.number, noted.number + 5);
    assert_eq!(head, ledger.head().await.unwrap());

    let mut auditor = Auditor::default();
    assert_eq!(ledger.audit(&mut auditor).await.unwrap(), head);
    ledger.append(approved("isigurt/1", START + 80 * DAY), &world.besa, START + 80 * DAY).await.unwrap();
    assert_eq!(ledger.audit(&mut auditor).await.unwrap().number, head.number + 1);
    assert_eq!(auditor.books().cases.len(), 1);
    ledger.close().await;
    world.open().await.unwrap().verify(Some(&head)).await.unwrap();
}

#[tokio::test]
async fn the_database_refuses_to_change_or_delete_entries() {
    let (world, ledger) = World::new("triggers").await;
    for (statement, says) in [
        ("UPDATE entries SET at = at + 1 WHERE number = 2", "never changed"),
        ("DELETE FROM entries WHERE number = 6", "never deleted"),
        ("DELETE FROM entries", "never deleted"),
        ("INSERT OR REPLACE INTO entries SELECT * FROM entries WHERE number = 3", "follows the last one"),
        ("INSERT INTO entries SELECT number + 40, octets, hash, signature, at, kind, case_id FROM entries", "follows"),
    ] {
        let refused = sql(&world, statement).await.unwrap_err().to_string();
        assert!(refused.contains(says), "{statement}: {refused}");
    }
    ledger.verify(None).await.unwrap();
}

#[tokio::test]
async fn each_way_to_change_an_entry_is_found_and_named() {
    for (name, statement, expected) in [
        (
            "octets",
            "UPDATE entries SET octets = CAST(replace(CAST(octets AS TEXT), 'one.test', 'two.test') AS BLOB) WHERE number = 7",
            (7, Flaw::Hash),
        ),
        ("hash", "UPDATE entries SET hash = zeroblob(32) WHERE number = 4", (4, Flaw::Hash)),
        ("gone", "DELETE FROM entries WHERE number = 8", (9, Flaw::Missing)),
        ("first", "DELETE FROM entries WHERE number = 1", (2, Flaw::Missing)),
    ] {
        let (world, ledger) = World::new(&format!("changed-{name}")).await;
        listed(&world, &ledger, "isigurt/1", "one.test", START).await;
        ledger.close().await;
        unlocked(&world, statement).await;
        assert_eq!(flaw(world.open().await.err().unwrap()), expected, "{name}");
    }
    // What the hashes do not show is found by `verify`.
    for (name, statement, number) in [
        ("signature", "UPDATE entries SET signature = zeroblob(64) WHERE number = 10", 10),
        ("columns", "UPDATE entries SET case_id = 'isigurt/2' WHERE number = 10", 10),
        ("time", "UPDATE entries SET at = at + 1 WHERE number = 10", 10),
    ] {
        let (world, ledger) = World::new(&format!("changed-{name}")).await;
        listed(&world, &ledger, "isigurt/1", "one.test", START).await;
        unlocked(&world, statement).await;
        let (at, what) = flaw(ledger.verify(None).await.unwrap_err());
        assert_eq!(at, number);
        assert_eq!(matches!(what, Flaw::Signature(_)), name == "signature", "{what}");
        assert_eq!(what == Flaw::Columns, name != "signature", "{what}");
    }
}

#[tokio::test]
async fn an_end_that_was_cut_off_is_missed_by_whoever_noted_it() {
    let (world, ledger) = World::new("cut").await;
    listed(&world, &ledger, "isigurt/1", "one.test", START).await;
    let noted = ledger.verify(None).await.unwrap();
    unlocked(&world, "DELETE FROM entries WHERE number > 10").await;
    ledger.rebuild().await.unwrap();
    // By itself it looks whole.
    ledger.verify(None).await.unwrap();
    let (at, what) = flaw(ledger.verify(Some(&noted)).await.unwrap_err());
    assert_eq!(at, noted.number);
    assert!(matches!(what, Flaw::Noted(_)), "{what}");
    let other = Head { number: 3, hash: [1; 32] };
    assert!(matches!(flaw(ledger.verify(Some(&other)).await.unwrap_err()), (3, Flaw::Noted(_))));
}

/// Puts an entry behind the others past the rules, well chained and well signed.
async fn smuggle(world: &World, ledger: &Ledger, event: Event, person: &friendly_blocklist::person::Person) {
    let head = ledger.head().await.unwrap();
    let entry = Entry { version: 1, number: head.number + 1, at: START, by: person.id(), event };
    let octets = entry.octets();
    let link = Link::sign(&head.hash, &octets, person);
    let mut db = raw(world).await;
    sqlx::query("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(entry.number as i64)
        .bind(octets)
        .bind(&link.hash[..])
        .bind(&link.signature[..])
        .bind(entry.at as i64)
        .bind(entry.event.kind())
        .bind(entry.event.case().map(|case| case.as_str().to_owned()))
        .execute(&mut db)
        .await
        .unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn an_entry_against_the_rules_does_not_verify_however_well_it_is_signed() {
    let (world, ledger) = World::new("smuggled").await;
    ready(&world, &ledger, "isigurt/1", "one.test", START).await;
    ledger.append(approved("isigurt/1", START), &world.besa, START).await.unwrap();
    smuggle(&world, &ledger, approved("isigurt/1", START), &world.besa).await;
    let (_, what) = flaw(ledger.verify(None).await.unwrap_err());
    assert!(matches!(what, Flaw::Rules(Refused::SameApprover(_))), "{what}");
    assert!(matches!(flaw(ledger.rebuild().await.unwrap_err()).1, Flaw::Rules(_)));

    let (world, ledger) = World::new("stranger").await;
    let stranger = friendly_blocklist::person::Person::create(&world.directory.join("x.pem")).unwrap();
    smuggle(&world, &ledger, reported("isigurt/1", Class::Legal, "one.test"), &stranger).await;
    let (_, what) = flaw(ledger.verify(None).await.unwrap_err());
    assert!(matches!(what, Flaw::Rules(Refused::Stranger(_))), "{what}");
}

#[tokio::test]
async fn tables_that_differ_from_the_entries_are_found_and_built_anew() {
    for statement in [
        "UPDATE cases SET body = replace(body, 'one.test', 'two.test')",
        "DELETE FROM cases",
        "UPDATE listings SET review_by = review_by + 1",
        "DELETE FROM listings",
        "INSERT INTO listings VALUES ('isigurt/9', 0, 'legal', 1, 9999999999, NULL)",
        "UPDATE members SET roles = 'admin,approver' WHERE label = 'admin'",
        "INSERT INTO releases VALUES ('legal', 9, 1, 1, 1, 1, 1, zeroblob(32), 0)",
        "UPDATE returned SET ground = 'address'",
    ] {
        let (world, ledger) = World::new("tables").await;
        listed(&world, &ledger, "isigurt/1", "one.test", START).await;
        let (id, category) = (case("isigurt/7"), crate::world::word("csam"));
        let ground = crate::world::word("not-dedicated");
        ledger.append(Event::Returned { case: id, category, ground }, &world.analyst, START).await.unwrap();
        assert!(sql(&world, statement).await.unwrap() > 0, "{statement}");
        let (at, what) = flaw(ledger.verify(None).await.expect_err(statement));
        assert!(at == 0 && matches!(what, Flaw::Table(_)), "{statement}: {what}");
        assert!(what.to_string().contains("ledger rebuild"), "{what}");
        ledger.rebuild().await.unwrap();
        ledger.verify(None).await.unwrap();
        assert_eq!(ledger.entries_at(Class::Legal, START / 1000).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_is_in_force_at_any_time_comes_from_the_ledger() {
    let (world, ledger) = World::new("at").await;
    let (second, day) = (START / 1000, DAY / 1000);
    listed(&world, &ledger, "isigurt/1", "one.test", START + 250).await;
    listed(&world, &ledger, "isigurt/2", "two.test", START + DAY).await;
    let withdrawn = Event::Withdrawn { case: case("isigurt/1"), reason: reason() };
    ledger.append(withdrawn, &world.besa, START + 3 * DAY + 700).await.unwrap();

    let at = async |t| {
        let entries = ledger.entries_at(Class::Legal, t).await.unwrap();
        entries.into_iter().map(|entry| entry.name.to_string()).collect::<Vec<_>>()
    };
    assert!(at(second - 1).await.is_empty());
    assert_eq!(at(second).await, ["one.test"], "a decision of this second counts at once");
    assert_eq!(at(second + day).await, ["one.test", "two.test"]);
    assert_eq!(at(second + 3 * day - 1).await, ["one.test", "two.test"]);
    assert_eq!(at(second + 3 * day).await, ["two.test"], "and so does one that takes a name off");
    assert_eq!(at(second + 91 * day - 1).await, ["two.test"]);
    assert!(at(second + 91 * day).await.is_empty(), "it has expired by itself");
    assert!(ledger.entries_at(Class::Venue, second + day).await.unwrap().is_empty());

    let entry = ledger.entries_at(Class::Legal, second).await.unwrap().remove(0);
    assert_eq!((entry.case.as_str(), entry.category.as_str()), ("isigurt/1", "csam"));
    assert_eq!((entry.listed_at, entry.decided_at_ms), (second, START + 250));
    assert_eq!(entry.review_by, second + 90 * day);

    let decisions = async |after, until| ledger.decisions_between(Class::Legal, after, until).await.unwrap();
    assert_eq!(decisions(0, u64::MAX).await, [START + 250, START + DAY, START + 3 * DAY + 700]);
    assert_eq!(decisions(START + 250, START + DAY).await, [START + DAY]);
}

#[tokio::test]
async fn releases_and_overrides_are_kept() {
    let (world, ledger) = World::new("releases").await;
    let (class, hash) = (Class::Legal, [3; 32]);
    let release = |serial| ReleaseRecord {
        class,
        serial,
        epoch: Some(1),
        created: START / 1000,
        entries: 5,
        added: 5,
        removed: 0,
        hash,
        overridden: serial == 2,
    };
    ledger.record_release(release(1), &world.operator, START).await.unwrap();
    assert!(ledger.record_release(release(2), &world.operator, START).await.is_err());
    assert!(ledger.overriding(class, &hash).await.unwrap().is_none());
    ledger.request_override(class, hash, reason(), &world.besa, START).await.unwrap();
    assert!(ledger.overriding(class, &hash).await.unwrap().unwrap().approved.is_none());
    assert!(ledger.approve_override(class, hash, reason(), &world.besa, START).await.is_err());
    ledger.approve_override(class, hash, reason(), &world.cen, START).await.unwrap();
    assert_eq!(ledger.overriding(class, &hash).await.unwrap().unwrap().approved.unwrap().by, world.cen.id());
    ledger.record_release(release(2), &world.operator, START).await.unwrap();
    assert_eq!(ledger.releases(class).await.unwrap(), [release(1), release(2)]);
    assert_eq!(ledger.newest_release(class).await.unwrap(), Some(release(2)));
    assert!(ledger.releases(Class::Venue).await.unwrap().is_empty());
    ledger.verify(None).await.unwrap();
}

#[tokio::test]
async fn who_decides_has_seen_what_is_decided() {
    let (world, ledger) = World::new("seen").await;
    ready(&world, &ledger, "isigurt/1", "one.test", START).await;
    let seen = ledger.case(&case("isigurt/1")).await.unwrap().unwrap().last;
    ledger.append(crate::world::classified("isigurt/1"), &world.analyst, START).await.unwrap();
    let refused = ledger.append_seen(approved("isigurt/1", START), seen, &world.besa, START).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Changed(_)), "{refused}");
    ledger.append_seen(approved("isigurt/1", START), seen + 1, &world.besa, START).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_ahead_is_put_right_in_the_tables_too() {
    let (world, ledger) = World::new("clock").await;
    listed(&world, &ledger, "isigurt/1", "one.test", START + 365 * DAY).await;
    let late = ledger.append(approved("isigurt/1", START), &world.besa, START).await.unwrap_err();
    assert!(matches!(late, LedgerError::Refused(Refused::Clock { .. })), "{late}");
    ledger.append(Event::ClockCorrected { reason: reason() }, &world.admin, START).await.unwrap();
    assert_eq!(ledger.entries_at(Class::Legal, START / 1000).await.unwrap().len(), 1);
    ledger.verify(None).await.unwrap();
}
