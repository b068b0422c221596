//! Metadata whose time is over: how what has expired comes back, whoever signs first.

use std::fs;

use friendly_blocklist::release::ceremony::{Change, Moves};
use friendly_blocklist::release::draft::Wish;
use friendly_blocklist::release::outcome::Report;
use friendly_blocklist::release::publish::PublishError;
use friendly_blocklist::release::repository::Metadata;
use friendly_blocklist::release::stage::{KEYS, Stage};
use signed_list::release::Class;

use crate::forge::Forge;
use crate::keys::{holders, stage};
use crate::world::{DAY, Resolver, World, clock};

/// Puts metadata in force that have expired since they were signed, under a snapshot that has not.
fn let_expire(world: &World, roles: &[(&str, &[&str])]) {
    let directory = world.work.public();
    let base = Metadata::read(&directory.join("metadata")).unwrap();
    let mut forge = Forge { directory, base, expires: clock() / 1000 - 60 };
    let mut documents = Vec::new();
    for (role, holders) in roles {
        let mut document = forge.next(role);
        holders.iter().for_each(|name| document.sign(&world.person(name)).unwrap());
        documents.push(document);
    }
    forge.expires = clock() / 1000 + 86_400;
    forge.put(&documents, &world.work.online().unwrap());
}

const LEGAL: [(&str, &[&str]); 2] = [("legal", &["ana", "besa"]), ("epoch", &["ana", "besa"])];

#[tokio::test]
async fn two_classes_that_have_expired_come_back_whoever_signs_first() {
    for order in [[&["op"][..], &["ana", "besa"]], [&["ana", "besa"], &["op"]]] {
        let world = World::new("both-expired").await;
        world.legal("isigurt/1", "first.test").await;
        world.publish().await;
        let_expire(&world, &[LEGAL[0], LEGAL[1], ("operator", &["op"])]);
        let error = Resolver::of(&world.work.public(), &world.first_root()).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("expired"), "{error}");

        // The first one is told that something else is missing, and what was signed stays.
        let error = world.try_publish(order[0], Wish::default()).await.unwrap_err();
        assert!(matches!(error, PublishError::Refused(_)), "{error}");
        assert!(error.to_string().contains("what is signed stays staged"), "{error}");
        assert_eq!((world.card_of(Class::Legal), world.card_of(Class::Operator)), (Some(1), Some(1)));
        let report = world.try_publish(order[1], Wish::default()).await.unwrap();
        assert_eq!((world.card_of(Class::Legal), world.card_of(Class::Operator)), (Some(2), Some(2)));
        assert!(report.classes.iter().any(|outcome| outcome.published), "{report:?}");
        assert_eq!(fs::read_dir(world.work.staged()).unwrap().count(), 0);
        world.resolver().await;
        world.ledger.verify(None).await.unwrap();
    }
}

#[tokio::test]
async fn a_release_that_is_complete_does_not_stop_who_brings_what_is_missing() {
    let world = World::new("all-expired").await;
    world.publish().await;
    let_expire(&world, &[LEGAL[0], LEGAL[1], ("operator", &["op"]), ("venue", &["op"])]);
    // Complete long before the last one, which sorts behind it and is the only one that is missing.
    for people in [&["ana", "besa"][..], &["ana", "besa"]] {
        world.try_publish(people, Wish::default()).await.unwrap_err();
    }
    for class in [Class::Operator, Class::Venue] {
        let wish = Wish { classes: vec![class], ..Wish::default() };
        let done = world.try_publish(&["op"], wish).await;
        assert_eq!(done.is_ok(), class == Class::Venue, "{done:?}");
    }
    world.resolver().await;
    for class in Class::ALL {
        assert_eq!(world.card_of(class), Some(2), "{class:?}");
    }
}

#[tokio::test]
async fn keys_change_also_while_a_class_has_expired() {
    let world = World::new("keys-expired").await;
    world.publish().await;
    let_expire(&world, &LEGAL);
    let add = Moves { add: vec![world.person("root3").public()], ..Moves::default() };
    stage(&world, Change::Root(holders(&world, "root", add).await)).await.unwrap();
    let error = world.sign(&["root1", "root2"], &mut Report::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error}");
    assert!(Stage::find(&world.work, KEYS).unwrap().is_some(), "nobody has to sign again");
    world.publish().await;
    let resolver = world.resolver().await;
    assert_eq!(resolver.client.repository().root().signed.version.get(), 2);
    assert_eq!(world.card_of(Class::Legal), Some(2));

    // Other keys of the class bring its documents with them, and with them new dates.
    let_expire(&world, &[LEGAL[0], LEGAL[1], ("venue", &["op"])]);
    let moves =
        Moves { add: vec![world.person("cen").public()], remove: vec![world.person("besa").id()], threshold: None };
    stage(&world, Change::Class(Class::Legal, holders(&world, "legal", moves).await)).await.unwrap();
    let error = world.sign(&["root1", "root2", "ana", "cen"], &mut Report::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error}");
    world.try_publish(&["op"], Wish { classes: vec![Class::Venue], ..Wish::default() }).await.unwrap();
    assert!(Stage::find(&world.work, KEYS).unwrap().is_none());
    world.resolver().await;
}

#[tokio::test]
async fn a_release_that_waited_until_it_expired_is_made_anew() {
    let mut world = World::new("waited").await;
    world.publish().await;
    world.legal("isigurt/1", "first.test").await;
    world.set("release_days = 30", "release_days = 1");
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    let created = |world: &World| Stage::find(&world.work, "legal").unwrap().unwrap().plan.created;
    let first = created(&world);
    world.set("release_days = 1", "release_days = 30");
    world.ahead = 3_600_000;
    // What it would bring into force has less than a day to live.
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    assert!(created(&world) > first);
    let again = created(&world);
    world.ahead += 3_600_000;
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    assert_eq!(created(&world), again, "a young one stays");
}

#[tokio::test]
async fn expired_metadata_is_published_to_nobody() {
    let mut world = World::new("expired").await;
    world.publish().await;
    // The root lives for a year; a publisher that comes back after it cannot sign anything that would be accepted.
    world.ahead = 366 * DAY;
    world.set("root_days = 365", "root_days = 7");
    stage(&world, Change::Renew).await.unwrap();
    fs::remove_dir_all(world.work.staged().join(KEYS)).unwrap();
    let forge = Forge::of(&world.work.public(), &world.directory.join("forge"), clock() / 1000 - 10);
    let mut root = forge.next("root");
    for name in ["root1", "root2"] {
        root.sign(&world.person(name)).unwrap();
    }
    fs::write(world.work.metadata().join(root.file_name()), root.write().unwrap()).unwrap();
    world.ahead = 0;
    world.legal("isigurt/1", "first.test").await;
    let error = world.try_publish(&["ana", "besa"], Wish::default()).await.unwrap_err();
    assert!(error.to_string().contains("resolvers would not accept the result, so nothing was published"), "{error}");
    assert!(error.to_string().contains("expired"), "{error}");
    assert_eq!(world.card(Class::Legal).serial, 1);
    // Renewed, the release that was complete goes out by itself.
    stage(&world, Change::Renew).await.unwrap();
    world.sign(&["root1", "root2"], &mut Report::default()).await.unwrap();
    world.publish().await;
    assert_eq!(world.card(Class::Legal).serial, 2);
}
