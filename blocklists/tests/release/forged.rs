//! What somebody with some of the keys could make, as a resolver sees it.

use std::fs;

use friendly_blocklist::person::Person;
use friendly_blocklist::release::ceremony::{Change, Moves};
use friendly_blocklist::release::outcome::Report;
use signed_list::release::Class;

use crate::forge::{Forge, signatures};
use crate::keys::{holders, stage};
use crate::world::{Resolver, World, clock};

#[tokio::test]
async fn forged_repositories_are_not_accepted() {
    let world = World::new("forged").await;
    world.legal("isigurt/1", "first.test").await;
    world.operator(0..2).await;
    world.publish().await;
    let (public, root) = (world.work.public(), world.first_root());
    let (online, op, ana, besa) =
        (world.work.online().unwrap(), world.person("op"), world.person("ana"), world.person("besa"));
    let stranger = Person::create(&world.directory.join("stranger.pem")).unwrap();
    let soon = clock() / 1000 + 3600;
    let forge = || Forge::of(&public, &world.directory.join("forge"), soon);
    let refused = async |forge: &Forge, part: &str| {
        let error = Resolver::of(&forge.directory, &root).await.map(drop).unwrap_err().to_string().to_lowercase();
        assert!(error.contains(part), "{part:?} is not in {error}");
    };
    // Good keys, good repository: what follows fails for the reason given and no other.
    let mut good = forge();
    good.replace("operator", "operator/manifest.json", b"{}", &[&op], &online);
    Resolver::of(&good.directory, &root).await.map(drop).unwrap();

    for people in [&[&stranger][..], &[&ana], &[]] {
        let mut forge = forge();
        forge.replace("operator", "operator/manifest.json", b"{}", people, &online);
        refused(&forge, "signature threshold").await;
    }
    for (people, part) in [
        (&[&ana][..], "signature threshold"),
        (&[&ana, &op], "signature threshold"),
        (&[&ana, &ana], "duplicate key id"),
        (&[&ana, &besa, &ana], "duplicate key id"),
    ] {
        let mut forge = forge();
        forge.replace("legal", "legal/manifest.json", b"{}", people, &online);
        refused(&forge, part).await;
    }
    // Enough of them, and somebody who has nothing to say beside them.
    let mut enough = forge();
    enough.replace("legal", "legal/manifest.json", b"{}", &[&stranger, &ana, &besa], &online);
    Resolver::of(&enough.directory, &root).await.map(drop).unwrap();
    // Both sign, but for a file of another class.
    let mut other = forge();
    other.replace("legal", "operator/9.list", b"x", &[&ana, &besa], &online);
    refused(&other, "operator/9.list").await;
    let mut fronts = forge();
    fronts.fronts(50, &stranger);
    refused(&fronts, "signature threshold").await;
    // Expired.
    let mut old = Forge::of(&public, &world.directory.join("forge"), clock() / 1000 - 60);
    old.fronts(50, &online);
    refused(&old, "expired").await;
    // Another content behind the same name.
    let spoiled = forge();
    let path = spoiled.file("operator", "operator/manifest.json");
    let mut content = fs::read(&path).unwrap();
    content[20] ^= 1;
    fs::write(path, content).unwrap();
    let resolver = Resolver::of(&spoiled.directory, &root).await.unwrap();
    assert!(resolver.client.target("operator/manifest.json").await.is_err());
    // More of it than there should be.
    let endless = forge();
    let path = endless.file("operator", "operator/manifest.json");
    fs::write(&path, [fs::read(&path).unwrap(), vec![b' '; 1 << 20]].concat()).unwrap();
    let resolver = Resolver::of(&endless.directory, &root).await.unwrap();
    assert!(resolver.client.target("operator/manifest.json").await.is_err());
}

#[tokio::test]
async fn u9_enough_good_signatures_win_beside_a_broken_one_of_another_holder() {
    let world = World::new("broken-signature").await;
    world.publish().await;
    let add = Moves { add: vec![world.person("cen").public()], ..Moves::default() };
    stage(&world, Change::Class(Class::Legal, holders(&world, "legal", add).await)).await.unwrap();
    world.sign(&["root1", "root2", "ana", "besa"], &mut Report::default()).await.unwrap();
    let online = world.work.online().unwrap();
    // Two of the three have to sign.
    for (good, fine) in [(&["ana", "besa"][..], true), (&["ana"], false)] {
        let mut forge = Forge::of(&world.work.public(), &world.directory.join("forge"), clock() / 1000 + 3600);
        let mut document = forge.next("legal");
        document.sign(&world.person("cen")).unwrap();
        let mut octets = signatures(&mut document)[0].sig.to_vec();
        octets[7] ^= 1;
        signatures(&mut document)[0].sig = octets.into();
        good.iter().for_each(|name| document.sign(&world.person(name)).unwrap());
        assert_eq!(signatures(&mut document).len(), good.len() + 1);
        forge.put(&[document], &online);
        let opened = Resolver::of(&forge.directory, &world.first_root()).await.map(drop);
        assert_eq!(opened.is_ok(), fine, "{good:?}: {opened:?}");
    }
}
