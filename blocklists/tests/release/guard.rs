//! What no release does, whoever wants it: names that must not be blocked, too much at once, a clock that is wrong.

use std::fs;

use friendly_blocklist::guard::Guard;
use friendly_blocklist::release::draft::Wish;
use friendly_blocklist::release::outcome::Report;
use friendly_blocklist::release::publish::{PublishError, Publisher};
use signed_list::list::Scope;
use signed_list::release::Class;

use crate::world::{DAY, World, covers, outcome};

#[tokio::test]
async fn the_guard_looks_once_more_and_tells_cases_and_no_names() {
    let mut world = World::new("guard").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.legal("isigurt/2", "help.test").await;
    world.legal("isigurt/3", "canary-one.example").await;
    world.legal("isigurt/4", "page.phone.help.test").await;
    world.legal("isigurt/5", "somebody.github.io").await;
    world.guard = Guard::new("[helpline]\nphone.help.test\n").unwrap();
    let report = world.publish().await;
    let refused = &outcome(&report, Class::Legal).refused;
    let told: Vec<_> = refused.iter().map(|refusal| (refusal.case.as_str(), refusal.why.as_str())).collect();
    assert_eq!(
        told,
        [
            ("isigurt/2", "a protected name lies below it: helpline"),
            ("isigurt/3", "its name belongs to the scheme"),
            ("isigurt/4", "it lies below a protected name: helpline"),
            ("isigurt/5", "it lies on a shared host"),
        ]
    );
    assert!(!serde_json::to_string(&report).unwrap().contains("help.test"));
    let list = world.resolver().await.legal(&identity).await.unwrap();
    assert!(covers(&list, "first.test") && !covers(&list, "help.test"));
}

#[tokio::test]
async fn the_law_lists_no_site_that_has_become_one_of_the_most_visited() {
    let world = World::new("top-site").await;
    let identity = world.enrol("one");
    let site = include_str!("../../top-sites.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let free = |site: &&str| {
        let name = signed_list::name::Name::parse(site).unwrap();
        world.guard.check(&name, Scope::Subtree).is_ok() && world.guard.protected_above(&name).is_none()
    };
    let site = site.filter(free).min().unwrap();
    world.legal("isigurt/1", site).await;
    world.legal("isigurt/2", &format!("www.{site}")).await;
    world.list("operator/1", Class::Operator, "malware", site, Scope::Subtree).await;
    let report = world.publish().await;
    let refused = &outcome(&report, Class::Legal).refused;
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|refusal| refusal.why == "it is one of the most visited sites, or lies below one"));
    assert!(!serde_json::to_string(&report).unwrap().contains(site));
    let resolver = world.resolver().await;
    assert!(!covers(&resolver.legal(&identity).await.unwrap(), site));
    assert!(covers(&resolver.open(Class::Operator).await, site), "what an operator chooses is another matter");
}

#[tokio::test]
async fn how_much_a_release_changes_is_not_taken_from_its_plan() {
    let world = World::new("plan").await;
    world.publish().await;
    for number in 0..51 {
        world.legal(&format!("isigurt/{number}"), &format!("name-{number}.test")).await;
    }
    assert!(outcome(&world.publish().await, Class::Legal).held.is_some());
    // Complete, and somebody with access to the work directory takes the guard's word out of it.
    let path = world.work.staged().join("legal/plan.json");
    let mut plan: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(plan["release"]["jump"].is_object());
    plan["release"]["jump"] = serde_json::Value::Null;
    fs::write(&path, plan.to_string()).unwrap();
    let mut report = Report::default();
    world.sign(&[], &mut report).await.unwrap();
    let report = world.publish().await;
    assert!(outcome(&report, Class::Legal).held.is_some(), "{report:?}");
    assert_eq!(world.card_of(Class::Legal), Some(1));
    assert!(!world.ledger.releases(Class::Legal).await.unwrap().iter().any(|release| release.serial == 2));

    // What the guard goes by instead is what the signatures stand for: nobody signs it when it is something else.
    fs::remove_dir_all(world.work.staged().join("legal")).unwrap();
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    fs::copy(world.work.kept(Class::Legal, 1, "index"), world.work.staged().join("legal/index")).unwrap();
    let besa = world.key("besa");
    world.run(&["sign", "--key", &besa, "-y"]).failed_with(&["index is not what the ledger says", "do not sign it"]);
}

#[tokio::test]
async fn settings_do_not_widen_what_may_change_by_law() {
    let mut world = World::new("wide").await;
    world.publish().await;
    world.set("entries = 50", "entries = 1000");
    world.set("percent = 5", "percent = 50");
    for number in 0..51 {
        world.legal(&format!("isigurt/{number}"), &format!("name-{number}.test")).await;
    }
    world.operator(0..60).await;
    let report = world.publish().await;
    assert_eq!(outcome(&report, Class::Legal).held.as_ref().map(|jump| jump.limit), Some(50));
    assert!(outcome(&report, Class::Operator).published);
}

#[tokio::test]
async fn f25_a_clock_that_is_wrong_by_a_year_empties_no_list() {
    let world = World::new("clock").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.operator(0..2).await;
    world.publish().await;
    let timestamp = || fs::read(world.work.metadata().join("timestamp.json")).unwrap();
    let (before, now) = (timestamp(), world.now());
    let at = async |now: u64, wish: Wish| {
        let run = async |publisher: &Publisher<'_>| {
            let publisher = Publisher { now, ..*publisher };
            publisher.run(&wish, &mut Report::default()).await
        };
        world.publisher(&["ana", "besa", "op"], run).await
    };
    for (now, words) in [
        (now + 365 * DAY, "listings that are in force would leave the lists"),
        (now + 90 * DAY, "say so once with `publish --clock-is-right`"),
        (now - 365 * DAY, "an admin says so with `ledger correct-clock`"),
    ] {
        for renew in [false, true] {
            let error = at(now, Wish { renew, ..Wish::default() }).await.unwrap_err();
            assert!(matches!(error, PublishError::Clock(_)) && error.to_string().contains(words), "{error}");
        }
    }
    assert_eq!(timestamp(), before, "nothing at all was signed");
    assert_eq!(fs::read_dir(world.work.staged()).unwrap().count(), 0);
    assert!(covers(&world.resolver().await.legal(&identity).await.unwrap(), "first.test"));
    // Whoever means it says so, and the lists are empty because their time is over.
    at(now + 91 * DAY, Wish { clock_is_right: true, ..Wish::default() }).await.unwrap();
    assert_eq!(world.card(Class::Operator).listed, 0);
    at(now + 92 * DAY, Wish::default()).await.unwrap();
}
