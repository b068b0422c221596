//! Zones as files: other programs load them, and ours reads the same names back.

use std::fs;

use signed_list::digest::DigestKey;
use signed_list::list::{List, Scope};
use signed_list::release::Class;

use super::peers::output;
use super::world::{World, covers};

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_file_is_loaded_by_bind_and_read_back_by_our_own_compiler() {
    let world = World::new("text").await;
    world.list("case/1", Class::Operator, "malware", "listed.test", Scope::Subtree).await;
    world.list("case/2", Class::Operator, "malware", "www.listed.test", Scope::Exact).await;
    world.list("case/3", Class::Operator, "phishing", "only.test", Scope::Exact).await;
    world.publish().await;
    for list in ["operator", "malware"] {
        let path = world.work.directory().join(format!("rpz/{list}.rpz"));
        let path = path.to_str().unwrap();
        let told = output("named-checkzone", "bind9-utils", &["-k", "fail", "rpz.example", path]);
        assert!(told.contains("loaded serial 1") && told.ends_with("OK\n"), "{told}");
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("; The open list") && text.contains("\n*.listed.test CNAME .\n"), "{text}");
        assert!(!text.contains("www.listed.test"), "it would open a hole below the wildcard: {text}");
        assert_eq!(text.contains("only.test"), list == "operator", "{text}");
    }

    world.run(&["compile", "--category", "malware", "work/rpz/operator.rpz", "--out", "back.list"]).fine();
    let list = List::open(fs::read(world.directory.join("back.list")).unwrap(), Some(DigestKey::OPEN)).unwrap();
    for name in ["listed.test", "a.listed.test", "www.listed.test", "only.test", "malware.test.afw.example"] {
        assert!(covers(&list, name), "{name}");
    }
    assert!(!covers(&list, "www.only.test") && !covers(&list, "other.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_are_kept_for_as_many_releases_as_the_settings_say() {
    let mut world = World::new("kept").await;
    world.set("keep = 8", "keep = 2");
    for release in 1..=3 {
        world.operator(release..release + 1).await;
        world.publish().await;
    }
    let zones = world.work.zones(Class::Operator).unwrap();
    assert_eq!(zones.keys().copied().collect::<Vec<_>>(), [2, 3]);
    assert_eq!(world.work.serials(Class::Operator).unwrap(), [1, 2, 3], "the releases themselves stay");
    let in_force = fs::read_to_string(world.work.zone_in_force("operator")).unwrap();
    assert!(in_force.contains("operator-3.test") && in_force.contains("hostmaster.localhost. 3 "), "{in_force}");
    assert!(world.work.zones(Class::Legal).unwrap().is_empty());
}
