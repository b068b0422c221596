//! Who may sign what, and how keys change: also after a theft.

use std::fs;
use std::path::Path;

use friendly_blocklist::release::ceremony::{CeremonyError, Change, Moves, begin};
use friendly_blocklist::release::draft::Wish;
use friendly_blocklist::release::outcome::Report;
use friendly_blocklist::release::publish::PublishError;
use friendly_blocklist::release::repository::{Ceremony, Document};
use friendly_blocklist::release::stage::{KEYS, Stage, StageError};
use signed_list::release::Class;
use tough::RepositoryLoader;
use url::Url;

use crate::forge::{Forge, copy};
use crate::program::answered;
use crate::world::{Resolver, World, clock, covers, epoch, outcome};

/// Opens a repository as a resolver does that has been there before: what it trusted then lies in `state`.
async fn look(repository: &Path, root: &[u8], state: &Path) -> Result<tough::Repository, String> {
    fs::create_dir_all(state).unwrap();
    let base = |folder: &str| Url::from_directory_path(repository.join(folder)).unwrap();
    // What was trusted last stands for the root that was installed.
    let root = fs::read(state.join("root.json")).unwrap_or_else(|_| root.to_vec());
    let loader = RepositoryLoader::new(&root, base("metadata"), base("targets")).datastore(state);
    loader.load().await.map_err(|error| error.to_string())
}

pub(crate) async fn stage(world: &World, change: Change) -> Result<(), CeremonyError> {
    world
        .publisher(&[], async |publisher| {
            let base = publisher.base()?;
            publisher.change_keys(change, &base).map(drop)
        })
        .await
}

pub(crate) async fn holders(
    world: &World,
    role: &str,
    moves: Moves,
) -> friendly_blocklist::release::repository::Holders {
    world
        .publisher(&[], async |publisher| {
            let base = publisher.base().unwrap();
            let ceremony = Ceremony::of(&base.root, &base.targets).unwrap();
            let before = match Class::of_word(role) {
                Some(class) => &ceremony.classes[&class],
                None => &ceremony.root,
            };
            moves.apply(role, Some(before), 1).unwrap()
        })
        .await
}

#[tokio::test]
async fn keys_sign_for_their_role_only_and_each_counts_once() {
    let world = World::new("threshold").await;
    world.legal("isigurt/1", "first.test").await;
    // The key of another role, and one of nobody.
    for stranger in ["root1", "cen"] {
        let error = world.try_publish(&[stranger], Wish::default()).await.unwrap_err();
        assert!(matches!(error, PublishError::NoHolder(_)), "{error}");
    }
    world.try_publish(&["ana", "ana"], Wish::default()).await.unwrap();
    let open = |stage: &Stage| {
        stage
            .documents
            .iter()
            .map(|document| match document {
                Document::Targets(_, document) => document.signatures.len(),
                Document::Root(document) => document.signatures.len(),
            })
            .collect::<Vec<_>>()
    };
    let mut staged = Stage::find(&world.work, "legal").unwrap().unwrap();
    assert_eq!(open(&staged), [1, 1], "the same key twice is one signature");
    let base = world.publisher(&[], async |publisher| publisher.base().unwrap()).await;
    assert_eq!(staged.sign(&world.person("ana"), Some(&base)).unwrap(), 0);
    let error = staged.sign(&world.person("op"), Some(&base)).unwrap_err();
    let StageError::NoHolder { roles, holders, .. } = &error else { panic!("{error}") };
    assert!(roles == "legal, epoch" && holders.contains(world.person("besa").id().as_str()), "{error}");
    world.publisher(&[], async |publisher| publisher.settle(&mut Report::default()).await).await.unwrap();
    assert_eq!(world.card_of(Class::Legal), None, "one signature is not enough");

    // A signature put in by hand under somebody else's name does not count either.
    let path = world.work.staged().join("legal/metadata/legal.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut forged = value["signatures"][0].clone();
    forged["keyid"] =
        serde_json::to_value(friendly_blocklist::release::repository::key_id(&world.person("besa").public()).unwrap())
            .unwrap();
    value["signatures"].as_array_mut().unwrap().push(forged);
    fs::write(&path, value.to_string()).unwrap();
    world.publisher(&[], async |publisher| publisher.settle(&mut Report::default()).await).await.unwrap();
    assert_eq!(world.card_of(Class::Legal), None);
    fs::write(&path, text).unwrap();
    world.sign(&["besa"], &mut Report::default()).await.unwrap();
    assert_eq!(world.card_of(Class::Legal), Some(1));
}

#[tokio::test]
async fn a_release_is_signed_on_another_machine_and_of_the_copy_only_signatures_are_taken() {
    let world = World::new("detached").await;
    world.legal("isigurt/1", "first.test").await;
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    let away = world.directory.join("away");
    copy(&world.work.staged().join("legal"), &away);
    let signed = world.run(&["sign", "--copy", "away", "--key", &world.key("besa"), "-y"]).fine();
    assert!(signed.out.contains("2 documents of release 1 of the class legal are signed"), "{}", signed.out);
    // Whatever else somebody changes in the copy is not looked at.
    fs::write(away.join("list"), b"another list").unwrap();
    fs::write(away.join("index"), b"another index").unwrap();
    world.run(&["sign", "--from", "away"]).fine();
    assert_eq!(world.card_of(Class::Legal), Some(1));

    // The copy of what is not staged any more is told from a good one.
    world.legal("isigurt/2", "second.test").await;
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    world.run(&["sign", "--from", "away"]).failed_with(&["a copy of something else", "release 2 of the class legal"]);
}

#[tokio::test]
async fn nobody_signs_what_the_ledger_does_not_say() {
    let world = World::new("tampered").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    let besa = world.key("besa");

    // Somebody with access to the work directory puts another list in, with hash and metadata that fit. The signature
    // under it is lost by that; the next one to sign would not have to notice.
    let mut staged = Stage::find(&world.work, "legal").unwrap().unwrap();
    let Some(Document::Targets(_, document)) = staged.documents.first().cloned() else { panic!() };
    let epoch: friendly_blocklist::release::epoch::Epoch =
        serde_json::from_slice(&fs::read(staged.directory().join("epoch.json")).unwrap()).unwrap();
    let mut builder = signed_list::list::Builder::new(signed_list::list::ListMeta {
        categories: vec!["csam".into()],
        serial: 1,
        created: staged.plan.created,
        key: epoch.digest_key(),
        sealed: true,
    });
    builder.push(1, 2, 0, signed_list::list::Scope::Subtree);
    let sealed = epoch.seal(&builder.build().unwrap()).unwrap();
    let mut forged = document.clone();
    let name = tough::TargetName::new("legal/1.list.age").unwrap();
    forged.signed.targets.insert(name, friendly_blocklist::release::repository::target(&sealed));
    forged.signatures.clear();
    let file = friendly_blocklist::release::repository::target_file(
        "legal/1.list.age",
        &friendly_blocklist::release::repository::target(&sealed),
    );
    let path = staged.directory().join("targets").join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &sealed).unwrap();
    staged.replace(Document::Targets("legal".into(), forged)).unwrap();
    world
        .run(&["sign", "--key", &besa, "-y"])
        .failed_with(&["legal/1.list.age is not what the ledger says", "do not sign it"]);

    // Made anew it is right.
    fs::remove_dir_all(world.work.staged().join("legal")).unwrap();
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    world.run(&["sign", "--key", &besa, "-y"]).fine();
    assert!(covers(&world.resolver().await.legal(&identity).await.unwrap(), "first.test"));
}

#[tokio::test]
async fn a_class_gets_other_keys_and_what_is_in_force_stays_valid() {
    let world = World::new("rotate-class").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let state = world.directory.join("state");
    look(&world.work.public(), &world.first_root(), &state).await.unwrap();

    let moves =
        Moves { add: vec![world.person("cen").public()], remove: vec![world.person("besa").id()], threshold: None };
    let change = Change::Class(Class::Legal, holders(&world, "legal", moves).await);
    stage(&world, change.clone()).await.unwrap();
    assert!(matches!(stage(&world, change).await, Err(CeremonyError::Pending(_))));
    // The holders of the root, and the new holders under what is in force.
    world.sign(&["root1", "root2"], &mut Report::default()).await.unwrap();
    let mut report = Report::default();
    world.sign(&["ana"], &mut report).await.unwrap();
    let keys = report.keys.unwrap();
    assert!(!keys.in_force);
    assert!(keys.waiting.iter().all(|it| it.missing == 1 && it.by == [world.person("cen").id()]), "{keys:?}");

    // Meanwhile a release under the old keys: the change stands on the new one then, and only its holders sign again.
    world.legal("isigurt/2", "second.test").await;
    world.publish().await;
    let mut report = Report::default();
    world.sign(&["ana", "cen"], &mut report).await.unwrap();
    assert!(report.keys.unwrap().in_force);

    let seen = look(&world.work.public(), &world.first_root(), &state).await.unwrap();
    assert_eq!(seen.targets().signed.version.get(), 2);
    assert!(covers(&world.resolver().await.legal(&identity).await.unwrap(), "second.test"));
    world.legal("isigurt/3", "third.test").await;
    assert!(matches!(world.try_publish(&["besa"], Wish::default()).await, Err(PublishError::NoHolder(_))));
    let report = world.try_publish(&["ana", "cen"], Wish::default()).await.unwrap();
    assert!(outcome(&report, Class::Legal).published);
    look(&world.work.public(), &world.first_root(), &state).await.unwrap();
}

#[tokio::test]
async fn the_root_changes_link_by_link_and_old_resolvers_follow() {
    let world = World::new("rotate-root").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let person = |name: &str| world.person(name);
    let moves = Moves { add: vec![person("root3").public()], remove: vec![person("root1").id()], threshold: None };
    stage(&world, Change::Root(holders(&world, "root", moves).await)).await.unwrap();
    // The new ones alone are not enough, and neither are the old ones.
    let mut report = Report::default();
    world.sign(&["root2", "root3"], &mut report).await.unwrap();
    let waiting = report.keys.unwrap().waiting;
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].role.as_str(), waiting[0].missing), ("root, as it was", 1));
    world.sign(&["root1"], &mut Report::default()).await.unwrap();
    assert!(Stage::find(&world.work, KEYS).unwrap().is_none());

    // A second link, which only the new ones sign.
    stage(&world, Change::Renew).await.unwrap();
    let mut report = Report::default();
    world.sign(&["root2", "root3"], &mut report).await.unwrap();
    assert!(report.keys.unwrap().in_force);
    let resolver = world.resolver().await;
    assert_eq!(resolver.client.repository().root().signed.version.get(), 3);
    assert!(covers(&resolver.legal(&identity).await.unwrap(), "first.test"));

    // Without the link in the middle nobody follows, and a link that only the new ones signed is none.
    let expires = clock() / 1000 + 3600;
    let forge = Forge::of(&world.work.public(), &world.directory.join("forge"), expires);
    fs::remove_file(forge.directory.join("metadata/2.root.json")).unwrap();
    let error = Resolver::of(&forge.directory, &world.first_root()).await.map(drop).unwrap_err();
    // It stays with the first root, whose holders of the targets did not sign those in force.
    assert!(error.to_string().contains("targets"), "{error}");
    let forge = Forge::of(&world.work.public(), &world.directory.join("forge"), expires);
    let path = forge.directory.join("metadata/2.root.json");
    let mut link = Document::read("root", &fs::read(&path).unwrap()).unwrap();
    if let Document::Root(root) = &mut link {
        root.signatures.clear();
    }
    link.sign(&person("root2")).unwrap();
    link.sign(&person("root3")).unwrap();
    fs::write(&path, link.write().unwrap()).unwrap();
    let error = Resolver::of(&forge.directory, &world.first_root()).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("root"), "{error}");
}

#[tokio::test]
async fn after_a_theft_of_the_publishers_key_a_new_one_undoes_even_the_highest_versions() {
    let world = World::new("theft").await;
    let identity = world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let (root, state) = (world.first_root(), world.directory.join("state"));
    let public = world.work.public();
    look(&public, &root, &state).await.unwrap();

    // The thief cannot list or take off a name, but shows a resolver versions that we will never reach.
    let thief = world.work.online().unwrap();
    let mut forge = Forge::of(&public, &world.directory.join("forge"), clock() / 1000 + 3600);
    forge.fronts(u64::MAX / 4, &thief);
    look(&forge.directory, &root, &state).await.unwrap();
    let frozen = look(&public, &root, &state).await.unwrap_err();
    assert!(frozen.contains("version") || frozen.contains("older"), "{frozen}");

    stage(&world, Change::Online).await.unwrap();
    let mut report = Report::default();
    world.sign(&["root1", "root2"], &mut report).await.unwrap();
    assert!(report.keys.unwrap().in_force);
    assert_ne!(world.work.online().unwrap().id(), thief.id());
    let seen = look(&public, &root, &state).await.unwrap();
    assert!(seen.timestamp().signed.version.get() < 1000);
    // What the thief signs from now on is nothing.
    let mut forge = Forge::of(&public, &world.directory.join("forge"), clock() / 1000 + 3600);
    forge.fronts(1_000_000, &thief);
    look(&forge.directory, &root, &state).await.unwrap_err();
    look(&public, &root, &state).await.unwrap();
    // The new key is not known to the ledger yet; who is an operator there notes the release.
    world.legal("isigurt/2", "second.test").await;
    let error = world.try_publish(&["ana", "besa"], Wish::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::NoOperator(..)), "{error}");
    world.publish().await;
    assert!(covers(&world.resolver().await.legal(&identity).await.unwrap(), "second.test"));
    look(&public, &root, &state).await.unwrap();
}

#[tokio::test]
async fn a_retired_key_signs_no_release() {
    let world = World::new("retired").await;
    world.publish().await;
    world.legal("isigurt/1", "first.test").await;
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    let (ana, key) = (world.person("ana").id().to_string(), |name: &str| world.key(name));
    let rotate = format!("rotate-key --role legal --remove {ana}");
    let flat = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let out = world.run(&["person", "retire", &ana, "--reason", "lost it", "--key", &key("admin")]).fine().out;
    assert!(flat(out.clone()).contains(&rotate), "{out}");
    let out = world.run(&["status"]).fine().out;
    assert!(flat(out.clone()).contains("is retired and still holds the role legal"), "{out}");

    // What it signed before it was retired does not count any more, and it signs nothing new.
    let mut report = Report::default();
    world.sign(&["besa"], &mut report).await.unwrap();
    assert!(report.warnings[0].contains("retired since do not count"), "{report:?}");
    assert_eq!(world.card_of(Class::Legal), Some(1));
    let error = world.try_publish(&["ana", "besa"], Wish::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::Retired { .. }), "{error}");
    world.run(&["sign", "--key", &key("ana")]).failed_with(&["is retired in the ledger and signs no release"]);
    world.run(&["publish", "--class", "legal", "--key", &key("besa")]).pending(&["that is too few"]);

    // Others take over, and nothing is left to be told.
    let (root1, root2, besa, cen) = (key("root1"), key("root2"), key("besa"), key("cen"));
    let keys = ["--key", &root1, "--key", &root2, "--key", &besa, "--key", &cen];
    let rotate = ["rotate-key", "--role", "legal", "--add", "cen.person", "--remove", &ana];
    assert!(world.run(&[&rotate[..], &keys].concat()).fine().out.contains("in force"));
    world.run(&["publish", "--class", "legal", "--key", &besa, "--key", &cen]).fine();
    assert_eq!(world.card_of(Class::Legal), Some(2));
    assert!(!world.run(&["status"]).fine().out.contains("is retired"));
}

#[tokio::test]
async fn a_new_key_of_the_publisher_is_known_to_the_ledger_at_once() {
    let world = World::new("hand-over").await;
    world.publish().await;
    let (admin, root1, root2) = (world.key("admin"), world.key("root1"), world.key("root2"));
    let before = world.work.online().unwrap().id();
    let online = ["rotate-key", "--role", "online", "--key", &root1, "--key", &root2];
    world.run(&[&online[..], &["--admin", &world.key("op")]].concat()).failed_with(&["is not that of an admin"]);
    world
        .run(&["rotate-key", "--role", "root", "--add", "cen.person", "--admin", &admin])
        .failed_with(&["goes with --role online"]);
    // Who says no leaves nothing behind.
    let asked = answered(&world.directory, &["rotate-key", "--renew", "--key", &root1], "n");
    assert!(asked.status == Some(1) && asked.out.contains("nothing was signed"), "{asked:?}");
    assert!(Stage::find(&world.work, KEYS).unwrap().is_none());

    world.run(&[&online[..], &["--admin", &admin]].concat()).fine();
    assert!(world.ledger.member(&before).await.unwrap().unwrap().retired.is_some());
    world.legal("isigurt/1", "first.test").await;
    let report = world.try_publish(&["ana", "besa"], Wish::default()).await.unwrap();
    assert!(outcome(&report, Class::Legal).published);
    // Without an admin it is told how to go on.
    let out = world.run(&online).fine();
    let said = out.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("is not registered in the ledger") && said.contains("person show --key work/online.pem"),
        "{said}"
    );
}

#[tokio::test]
async fn the_publishers_key_holds_no_other_role_and_thresholds_can_be_met() {
    let world = World::new("rules").await;
    world.publish().await;
    let online = world.work.online().unwrap();
    let moves = Moves { add: vec![online.public()], ..Moves::default() };
    let error = stage(&world, Change::Root(holders(&world, "root", moves).await)).await.unwrap_err();
    assert!(error.to_string().contains("a stolen publisher could then do anything"), "{error}");
    let ceremony = world
        .publisher(&[], async |publisher| {
            let base = publisher.base().unwrap();
            Ceremony::of(&base.root, &base.targets).unwrap()
        })
        .await;
    let try_moves = |moves: Moves| moves.apply("root", Some(&ceremony.root), 1).unwrap_err().to_string();
    let too_many = try_moves(Moves { threshold: Some(3), ..Moves::default() });
    assert!(too_many.contains("2 keys and need 3 signatures"), "{too_many}");
    assert!(try_moves(Moves::default()).contains("stays as it is"));
    assert!(try_moves(Moves { remove: vec![world.person("ana").id()], ..Moves::default() }).contains("does not hold"));
    assert!(try_moves(Moves { add: vec![world.person("root1").public()], ..Moves::default() }).contains("already"));

    // Nobody lists by law alone: not in a repository that begins, and not after a change.
    let alone = Moves { threshold: Some(1), ..Moves::default() };
    let alone = holders(&world, "legal", alone).await;
    let error = stage(&world, Change::Class(Class::Legal, alone.clone())).await.unwrap_err();
    assert!(matches!(error, CeremonyError::LegalAlone(1)), "{error}");
    let root = ceremony.root.clone();
    let classes = std::collections::BTreeMap::from([(Class::Legal, alone)]);
    let error = begin(&world.work, root, classes, clock() / 1000).map(drop).unwrap_err();
    assert!(matches!(error, CeremonyError::LegalAlone(1)), "{error}");
    assert!(Stage::find(&world.work, KEYS).unwrap().is_none());
}

#[tokio::test]
async fn who_publishes_signs_no_release_that_somebody_else_put_in_place() {
    let world = World::new("swapped").await;
    world.publish().await;
    world.legal("isigurt/1", "first.test").await;
    world.try_publish(&["ana"], Wish::default()).await.unwrap();
    // Other files than those that the ledger leads to, under names and an index that are right.
    let mut staged = Stage::find(&world.work, "legal").unwrap().unwrap();
    let Some(Document::Targets(_, document)) = staged.documents.first().cloned() else { panic!() };
    let mut forged = document;
    let name = tough::TargetName::new("legal/2.list.age").unwrap();
    let sealed = epoch(&world).seal(b"another list").unwrap();
    let target = friendly_blocklist::release::repository::target(&sealed);
    let file = friendly_blocklist::release::repository::target_file("legal/2.list.age", &target);
    let path = staged.directory().join("targets").join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &sealed).unwrap();
    forged.signed.targets.insert(name, target);
    forged.signatures.clear();
    staged.replace(Document::Targets("legal".into(), forged)).unwrap();
    let error = world.try_publish(&["besa"], Wish::default()).await.unwrap_err();
    assert!(error.to_string().contains("legal/2.list.age is not what the ledger says"), "{error}");
    assert_eq!(world.card_of(Class::Legal), Some(1));
}
