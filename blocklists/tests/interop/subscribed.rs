//! Subscribers block what is listed, hear of a new release within seconds, and get only what has changed.

use signed_list::list::Scope;
use signed_list::release::Class;

use super::peers::{
    Network, bind, dig, eventually, everything, is_blocked, place_for_bind, powerdns, resolves, serve, unbound,
    write_key,
};
use super::world::World;

const ZONE: &str = "malware.rpz.afw.example";

#[tokio::test(flavor = "multi_thread")]
async fn bind_and_unbound_enforce_each_release_within_seconds() {
    let network = Network::new();
    let mut world = World::new("subscribed").await;
    let key = write_key(&world.work.directory().join("isp.key"), "isp");
    world.set("keys = []", "keys = [\"isp.key\"]");
    let subscribers = [place_for_bind(), network.address(3)];
    let targets = format!("notify = [\"{}\", \"{}\"]", subscribers[0], subscribers[1]);
    world.set("notify = []", &targets);
    world.list("case/1", Class::Operator, "malware", "first.test", Scope::Subtree).await;
    world.list("case/2", Class::Operator, "malware", "only.test", Scope::Exact).await;
    world.legal("case/3", "secret-legal.test").await;
    world.publish().await;

    everything(network.address(9));
    let server = serve(&network, world.work.directory());
    let _bind = bind(subscribers[0], &network, &world.directory, ZONE, &key);
    let _unbound = unbound(&network, &world.directory, ZONE);
    for address in subscribers {
        assert!(eventually(|| is_blocked(address, "first.test")), "{address} does not block");
        assert!(is_blocked(address, "deep.below.first.test") && is_blocked(address, "only.test"));
        // The category's public test name.
        assert!(is_blocked(address, "malware.test.afw.example"));
        for name in ["other.test", "www.only.test", "secret-legal.test"] {
            assert!(resolves(address, name), "{address} {name}");
        }
    }

    world.list("case/4", Class::Operator, "malware", "second.test", Scope::Subtree).await;
    world.delist("case/1").await;
    world.publish().await;
    for address in subscribers {
        // They would look by themselves after five minutes.
        assert!(eventually(|| is_blocked(address, "www.second.test")), "{address} did not hear of the release");
        assert!(eventually(|| resolves(address, "first.test")), "{address} still blocks what was withdrawn");
        assert!(resolves(address, "deep.below.first.test") && is_blocked(address, "only.test"));
        let told = format!("{ZONE} 2: {address} was notified");
        assert!(eventually(|| server.said().contains(&told)), "{told}");
    }
    let changes = server.said().lines().filter(|line| line.contains("IXFR from 1, -2 +2 records")).count();
    assert_eq!(changes, 2, "each gets only what has changed");
    assert!(!server.said().contains("secret-legal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn powerdns_enforces_each_release_with_a_key() {
    let network = Network::new();
    let mut world = World::new("powerdns").await;
    let key = write_key(&world.work.directory().join("isp.key"), "isp");
    world.set("keys = []", "keys = [\"isp.key\"]");
    world.set("allow = [\"127.0.0.0/8\", \"::1/128\"]", "allow = []");
    world.list("case/1", Class::Operator, "malware", "first.test", Scope::Subtree).await;
    world.publish().await;
    everything(network.address(9));
    let server = serve(&network, world.work.directory());
    let _powerdns = powerdns(&network, &world.directory, ZONE, &key);
    let address = network.address(4);
    assert!(eventually(|| is_blocked(address, "www.first.test")), "{}", server.said());
    assert!(resolves(address, "other.test"));

    world.list("case/2", Class::Operator, "malware", "second.test", Scope::Exact).await;
    world.delist("case/1").await;
    world.publish().await;
    assert!(eventually(|| is_blocked(address, "second.test") && resolves(address, "www.first.test")));
    assert!(server.said().contains("IXFR from 1, -2 +1 records"), "{}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_kept_is_sent_as_a_whole() {
    let network = Network::new();
    let mut world = World::new("whole").await;
    world.set("keep = 8", "keep = 1");
    for release in 1..=2 {
        world
            .list(&format!("case/{release}"), Class::Operator, "malware", &format!("n{release}.test"), Scope::Exact)
            .await;
        world.publish().await;
    }
    let server = serve(&network, world.work.directory());
    let asked = |serial: u32| dig(network.address(1), &[ZONE, &format!("IXFR={serial}")]);
    assert!(asked(1).contains("n1.test.malware"), "all of the zone");
    assert!(eventually(|| server.said().contains("AXFR, 4 records")), "{}", server.said());
    let up_to_date = asked(2);
    assert_eq!(up_to_date.matches("\tSOA\t").count(), 1, "{up_to_date}");
    assert!(!up_to_date.contains("n1.test"), "{up_to_date}");
}
