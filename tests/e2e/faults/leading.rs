//! Answers that lead where they must not: to private addresses (DNS
//! rebinding) and, behind an innocent name, to listed ones (cloaking).

use std::net::Ipv6Addr;
use std::time::Duration;

use domain::base::iana::Rtype;

use crate::client::{Ask, NOERROR, wire_name};
use crate::faults::listed;
use crate::liar::{Deed, Liar, Saying, Seen, address, honest, service, silence};
use crate::world::{World, eventually};

const PUBLIC: [u8; 4] = [198, 18, 0, 7];

#[test]
fn f6_private_addresses_are_taken_out_and_public_ones_stay() {
    let world = World::new();
    const V4: [[u8; 4]; 9] = [
        [127, 0, 0, 1],
        [10, 1, 2, 3],
        [172, 16, 0, 1],
        [172, 31, 255, 255],
        [192, 168, 1, 1],
        [169, 254, 169, 254],
        [100, 64, 0, 1],
        [0, 0, 0, 0],
        [0, 1, 2, 3],
    ];
    const V6: [&str; 7] = ["::1", "::", "fe80::1", "fd12:3456::1", "fc00::1", "::ffff:192.168.1.1", "::ffff:127.0.0.1"];
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let saying = Saying::to(seen);
        let (kind, number) = seen.name.split_once(|c: char| c.is_ascii_digit()).map_or(("", 0), |(kind, _)| {
            let digits: String =
                seen.name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            (kind, digits.parse().expect("a number"))
        });
        Deed::Say(vec![match (kind, seen.qtype) {
            ("only", Rtype::A) => saying.record("@", Rtype::A, 300, &V4[number]).done(),
            ("only", _) => saying.record("@", Rtype::AAAA, 300, &address(V6[number])).done(),
            // The private one first, in the middle of a chain, and in the additional section.
            ("mixed", Rtype::A) => saying
                .record("@", Rtype::CNAME, 300, &wire_name("alias.example"))
                .record("alias.example", Rtype::A, 300, &V4[number])
                .record("alias.example", Rtype::A, 300, &PUBLIC)
                .additional()
                .record("alias.example", Rtype::A, 300, &V4[number])
                .done(),
            ("mixed", _) => saying
                .record("@", Rtype::AAAA, 300, &address(V6[number]))
                .record("@", Rtype::AAAA, 300, &address("2001:db8::7"))
                .done(),
            _ => honest(seen),
        }])
    });
    let daemon = world.start(&[upstream.address()], "");
    for (n, address) in V4.iter().enumerate() {
        let reply = daemon.ask(&Ask::a(&format!("only{n}.example")));
        assert!(reply.rcode == NOERROR && reply.answer.is_empty(), "{address:?}: {reply}");
        let reply = daemon.ask(&Ask::a(&format!("mixed{n}.example")));
        assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{reply}");
        assert_eq!(reply.data(Rtype::CNAME), ["alias.example"], "{reply}");
        assert!(reply.additional.is_empty(), "{reply}");
    }
    for (n, address) in V6.iter().enumerate() {
        let reply = daemon.ask(&Ask::new(&format!("only{n}.example"), Rtype::AAAA));
        assert!(reply.rcode == NOERROR && reply.answer.is_empty(), "{address}: {reply}");
        let reply = daemon.ask(&Ask::new(&format!("mixed{n}.example"), Rtype::AAAA));
        assert_eq!(reply.data(Rtype::AAAA), ["2001:db8::7"], "{reply}");
    }
    let reply = daemon.ask(&Ask::a("www.example"));
    assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{reply}");
}

#[test]
fn f6_address_hints_are_addresses() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let public = service("", &[(4, &PUBLIC)]);
        let private = match seen.name.split('.').next().unwrap_or_default() {
            "four" => service("", &[(4, &[198, 18, 0, 7, 192, 168, 1, 1])]),
            "six" => service("", &[(1, b"\x02h2"), (6, &address("fd00::1"))]),
            _ => service("", &[(6, &Ipv6Addr::from([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1]).octets())]),
        };
        Deed::Say(vec![
            Saying::to(seen).record("@", seen.qtype, 60, &private).record("@", seen.qtype, 60, &public).done(),
        ])
    });
    let daemon = world.start(&[upstream.address()], "");
    for name in ["four.example", "six.example", "mapped.example"] {
        for rtype in [Rtype::HTTPS, Rtype::SVCB] {
            let reply = daemon.ask(&Ask::new(name, rtype));
            assert_eq!(reply.data(rtype), ["1 . ipv4hint=198.18.0.7"], "{name}: {reply}");
        }
    }
}

#[test]
fn f6_names_that_may_lead_inside_keep_their_addresses() {
    let world = World::new();
    let inside = |seen: &Seen| Deed::Say(vec![Saying::to(seen).record("@", Rtype::A, 60, &[192, 168, 1, 1]).done()]);
    let upstream = Liar::behaving(world.upstream(1), inside);
    let daemon = world.start(&[upstream.address()], "[rebinding]\nallow = [\"portal.example\"]\n");
    for (name, kept) in [
        ("portal.example", true),
        ("login.portal.example", true),
        ("portal.example.example", false),
        ("notportal.example", false),
    ] {
        let reply = daemon.ask(&Ask::a(name));
        assert_eq!(!reply.answer.is_empty(), kept, "{name}: {reply}");
    }
    drop(daemon);
    let daemon = world.start(&[upstream.address()], "[rebinding]\nenabled = false\n");
    assert_eq!(daemon.ask(&Ask::a("www.example")).data(Rtype::A), ["192.168.1.1"]);
}

/// Innocent names that lead to `tracker.example` or below it.
fn cloaked(seen: &Seen) -> Deed {
    let saying = Saying::to(seen);
    let target = wire_name("x.tracker.example");
    Deed::Say(vec![
        match seen.name.split('.').next().unwrap_or_default() {
            "cname" => {
                saying.record("@", Rtype::CNAME, 300, &target).record("x.tracker.example", Rtype::A, 300, &PUBLIC)
            }
            "case" => {
                let shouted = wire_name("X.TRACKER.example");
                saying.record("@", Rtype::CNAME, 300, &shouted).record("x.tracker.example", Rtype::A, 300, &PUBLIC)
            }
            "below" => saying
                .record("cloaked.example", Rtype::DNAME, 300, &wire_name("tracker.example"))
                .record("@", Rtype::CNAME, 300, &wire_name("below.tracker.example"))
                .record("below.tracker.example", Rtype::A, 300, &PUBLIC),
            "dname" => saying.record("cloaked.example", Rtype::DNAME, 300, &target).soa(60),
            "hops" => (0..8)
                .fold(saying.record("@", Rtype::CNAME, 300, &wire_name("hop0.example")), |saying, n| {
                    saying.record(
                        &format!("hop{n}.example"),
                        Rtype::CNAME,
                        300,
                        &wire_name(&format!("hop{}.example", n + 1)),
                    )
                })
                .record("hop8.example", Rtype::CNAME, 300, &target)
                .record("x.tracker.example", Rtype::CNAME, 300, &wire_name("cdn.example"))
                .record("cdn.example", Rtype::A, 300, &PUBLIC),
            "dangling" => saying.record("@", Rtype::CNAME, 300, &target).soa(60),
            "gone" => saying.rcode(3).record("@", Rtype::CNAME, 300, &target).soa(60),
            "service" => saying.record("@", seen.qtype, 300, &service("x.tracker.example", &[])),
            _ => return Deed::Say(vec![honest(seen)]),
        }
        .done(),
    ])
}

#[test]
fn f7_names_that_lead_to_listed_names_are_blocked_like_them() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), cloaked);
    let daemon = world.start(&[upstream.address()], listed(&world));
    let names = ["cname", "case", "below", "dname", "hops", "dangling", "gone"];
    let asks = names.map(|name| Ask::a(&format!("{name}.cloaked.example")));
    let services = [Rtype::HTTPS, Rtype::SVCB].map(|rtype| Ask::new("service.cloaked.example", rtype));
    for ask in asks.iter().chain(&services) {
        let fresh = daemon.ask(ask);
        assert!(fresh.is_blocked(), "{}: {fresh}", ask.text());
        let sent = upstream.count();
        let from_cache = daemon.ask(ask);
        assert!(from_cache.is_blocked(), "{} from memory: {from_cache}", ask.text());
        assert_eq!(upstream.count(), sent, "{} was asked for again", ask.text());
    }
    assert_eq!(daemon.outcome("blocked_target"), 2 * (asks.len() + services.len()) as u64);
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
}

#[test]
fn f7_what_one_client_may_see_from_memory_is_blocked_for_another() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), cloaked);
    let free = world.address(77);
    let settings = format!(
        "{}[[policy]]\nname = \"default\"\nnetworks = [\"0.0.0.0/0\", \"::/0\"]\ncategories = [\"adult\"]\n\
         [[policy]]\nname = \"free\"\nnetworks = [\"{free}/32\"]\ncategories = []\n",
        listed(&world)
    );
    let daemon = world.start(&[upstream.address()], &settings);
    let ask = Ask::a("cname.cloaked.example");
    for _ in 0..2 {
        assert_eq!(daemon.ask_as(free, &ask).data(Rtype::A), ["198.18.0.7"]);
        let reply = daemon.ask(&ask);
        assert!(reply.is_blocked(), "{reply}");
    }
    assert_eq!(upstream.count(), 1);
}

#[test]
fn f7_b21_a_new_list_blocks_what_is_in_memory_fresh_or_stale_at_once() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let ttl = if seen.name.starts_with("stale") { 1 } else { 300 };
        let saying = Saying::to(seen);
        Deed::Say(vec![if seen.name.ends_with("alias.example") {
            let saying = saying.record("@", Rtype::CNAME, ttl, &wire_name("target.fresh.example"));
            saying.record("target.fresh.example", Rtype::A, ttl, &PUBLIC).done()
        } else {
            saying.record("@", Rtype::A, ttl, &PUBLIC).done()
        }])
    });
    let settings = format!("{}[cache]\nstale_wait_ms = 50\n[upstream]\ndeadline_ms = 600\n", listed(&world));
    let daemon = world.start(&[upstream.address()], &settings);
    let names = ["www.fresh.example", "www.alias.example", "stale.fresh.example", "stale.alias.example"];
    for name in names {
        assert_eq!(daemon.ask(&Ask::a(name)).data(Rtype::A), ["198.18.0.7"], "{name}");
    }
    upstream.behave(silence);
    for name in ["stale.fresh.example", "stale.alias.example"] {
        let stale = || daemon.ask(&Ask::a(name)).ede() == [3];
        assert!(eventually(Duration::from_secs(5), stale), "{name} is served stale");
    }
    let entries = [("adult", "blocked.example"), ("adult", "fresh.example")];
    world.write_list("names.list", 2, &entries);
    daemon.signal("HUP");
    let blocked = || daemon.ask(&Ask::a("probe.fresh.example")).is_blocked();
    assert!(eventually(Duration::from_secs(5), blocked), "the new list is in force");
    upstream.take_seen();
    for name in names {
        let reply = daemon.ask(&Ask::a(name));
        assert!(reply.is_blocked(), "{name}: {reply}");
    }
    assert_eq!(upstream.seen_of("www.alias.example").len() + upstream.seen_of("www.fresh.example").len(), 0);
    // And the other way round: what is no longer listed is there again.
    world.write_list("names.list", 3, &entries[..1]);
    daemon.signal("HUP");
    let free = || daemon.ask(&Ask::a("www.alias.example")).data(Rtype::A) == ["198.18.0.7"];
    assert!(eventually(Duration::from_secs(5), free), "the third list is in force");
}

#[test]
fn p1_a_broken_list_changes_nothing() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], listed(&world));
    let good = crate::world::compile(2, &[("adult", "other.example")]);
    let flipped = {
        let mut bytes = good.clone();
        bytes[good.len() / 2] ^= 1;
        bytes
    };
    let stands_in = "list_from_last_good{list=\"names.list\"}";
    let serial = "list_serial{list=\"names.list\"}";
    for (number, broken) in
        [&b""[..], b"<html>please log in</html>", &good[..good.len() - 1], &flipped].iter().enumerate()
    {
        let before = daemon.metric("reloads_total{result=\"done\"}");
        world.write("names.list", broken);
        daemon.signal("HUP");
        // The reload goes through without the broken file: what was in force
        // stands in for it, and this is told.
        let noticed = || daemon.metric("reloads_total{result=\"done\"}") > before && daemon.metric(stands_in) == 1;
        assert!(eventually(Duration::from_secs(5), noticed), "broken list {number} was not noticed");
        assert_eq!(daemon.metric(serial), 1, "broken list {number}");
        assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
        assert_eq!(daemon.ask(&Ask::a("other.example")).rcode, NOERROR);
    }
    world.write("names.list", &good);
    daemon.signal("HUP");
    assert!(eventually(Duration::from_secs(5), || daemon.ask(&Ask::a("other.example")).is_blocked()));
    assert_eq!((daemon.metric(stands_in), daemon.metric(serial)), (0, 2));
}
