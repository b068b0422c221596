//! Search engines that leave out what is not for children.

use std::process::Command;

use domain::base::iana::Rtype;

use crate::client::{Ask, NOERROR, SERVFAIL, wire_name};
use crate::liar::{Deed, Liar, Saying, address, honest, service};
use crate::world::World;

const SAFE_V4: [u8; 4] = [216, 239, 38, 120];

/// An engine, its safe name, and a name behind an alias of its own.
fn engines(seen: &crate::liar::Seen) -> Deed {
    let saying = Saying::to(seen);
    Deed::Say(vec![match (&*seen.name, seen.qtype) {
        ("forcesafesearch.google.com", Rtype::A) => saying.record("@", Rtype::A, 90, &SAFE_V4).done(),
        ("forcesafesearch.google.com", Rtype::AAAA) => {
            saying.record("@", Rtype::AAAA, 90, &address("2001:4860:4802:32::78")).done()
        }
        ("forcesafesearch.google.com", Rtype::HTTPS) => {
            saying.record("@", Rtype::HTTPS, 90, &service("", &[(1, b"\x02h2")])).done()
        }
        ("strict.bing.com", Rtype::A) => saying
            .record("@", Rtype::CNAME, 60, &wire_name("edge.bing.example"))
            .record("edge.bing.example", Rtype::A, 30, &[204, 79, 197, 220])
            .done(),
        ("safe.duckduckgo.com", _) => saying.rcode(2).done(),
        _ => honest(seen),
    }])
}

#[test]
fn an_engine_answers_as_its_safe_self_by_every_type() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), engines);
    let daemon = world.start(&[upstream.address()], "");
    // Twice: from the upstream, and from memory.
    for _ in 0..2 {
        for name in ["www.google.com", "www.google.al"] {
            let reply = daemon.ask(&Ask::a(name));
            assert_eq!(reply.data(Rtype::CNAME), ["forcesafesearch.google.com"], "{reply}");
            assert_eq!(reply.data(Rtype::A), ["216.239.38.120"], "{reply}");
            assert!(reply.answer.iter().all(|record| record.ttl <= 300) && reply.flags & 0x20 == 0, "{reply}");
            let reply = daemon.ask(&Ask::new(name, Rtype::AAAA).dnssec_ok());
            assert_eq!(reply.data(Rtype::AAAA), ["2001:4860:4802:32::78"], "{reply}");
            let reply = daemon.ask(&Ask::new(name, Rtype::HTTPS));
            assert_eq!((reply.answer.len(), reply.data(Rtype::HTTPS).len()), (2, 1), "{reply}");
            // A type that is not there: none of the engine's own comes through.
            let reply = daemon.ask(&Ask::new(name, Rtype::MX));
            assert_eq!(reply.data(Rtype::CNAME), ["forcesafesearch.google.com"], "{reply}");
            assert_eq!((reply.answer.len(), reply.authority.len()), (1, 1), "{reply}");
        }
        let reply = daemon.ask(&Ask::a("www.bing.com"));
        assert_eq!(reply.data(Rtype::CNAME), ["edge.bing.example", "strict.bing.com"], "{reply}");
        assert_eq!(reply.data(Rtype::A), ["204.79.197.220"], "{reply}");
        let reply = daemon.ask(&Ask::a("yandex.com"));
        assert_eq!(reply.data(Rtype::A), ["213.180.193.56"], "{reply}");
        let reply = daemon.ask(&Ask::new("yandex.com", Rtype::AAAA));
        assert!(reply.rcode == NOERROR && reply.answer.is_empty() && reply.authority.len() == 1, "{reply}");
        let reply = daemon.ask(&Ask::a("www.youtube.com"));
        assert_eq!(reply.data(Rtype::CNAME), ["restrictmoderate.youtube.com"], "{reply}");
        // Exactly these names.
        for name in ["mail.google.com", "google.com", "sub.www.google.com"] {
            assert!(daemon.ask(&Ask::a(name)).data(Rtype::CNAME).is_empty(), "{name}");
        }
        // The safe engine is not there: the other one does not step in.
        let reply = daemon.ask(&Ask::a("duckduckgo.com"));
        assert_eq!((reply.rcode, reply.answer.len()), (SERVFAIL, 0), "{reply}");
    }
    let asked = upstream.seen();
    for engine in ["www.google.com", "www.google.al", "www.bing.com", "yandex.com", "duckduckgo.com", "www.youtube.com"]
    {
        assert!(asked.iter().all(|seen| seen.name != engine), "{engine} itself was asked");
    }
}

#[test]
fn each_policy_searches_in_its_own_way() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), engines);
    let of = |last: u8| format!("{}/32", world.address(last));
    let list = world.write_list("all.list", 1, &[("adult", "www.google.de"), ("adult", "strict.bing.com")]);
    let settings = format!(
        "[lists]\nfiles = [{list:?}]\n\
         [[policy]]\nname = \"guests\"\nnetworks = [\"0.0.0.0/0\"]\n\
         [[policy]]\nname = \"staff\"\nnetworks = [\"{}\"]\ncategories = []\n\
         [[policy]]\nname = \"school\"\nnetworks = [\"{}\"]\ncategories = []\nsafe_search = true\nyoutube = \"strict\"\n\
         [[policy]]\nname = \"adults\"\nnetworks = [\"{}\"]\nsafe_search = false\n",
        of(11),
        of(12),
        of(13),
    );
    let daemon = world.start(&[upstream.address()], &settings);
    let alias = |client: u8, name: &str| {
        daemon.ask_as(world.address(client), &Ask::a(name)).data(Rtype::CNAME).first().map(|name| (*name).to_owned())
    };
    let (google, video) = ("www.google.com", "www.youtube.com");
    // Answers of one policy are not those of another.
    for _ in 0..2 {
        assert_eq!(alias(10, google).as_deref(), Some("forcesafesearch.google.com"));
        assert_eq!(alias(10, video).as_deref(), Some("restrictmoderate.youtube.com"));
        assert_eq!(alias(11, google), None);
        assert_eq!(alias(11, video), None);
        assert_eq!(alias(12, google).as_deref(), Some("forcesafesearch.google.com"));
        assert_eq!(alias(12, video).as_deref(), Some("restrict.youtube.com"));
        assert_eq!(alias(13, google), None);
        assert_eq!(alias(13, video), None);
    }
    // What is listed is blocked, and so is what leads to something listed.
    assert!(daemon.ask(&Ask::a("www.google.de")).is_blocked());
    assert!(daemon.ask(&Ask::a("www.bing.com")).is_blocked());

    let explain = Command::new(env!("CARGO_BIN_EXE_friendly-resolver"))
        .args(["explain", google, "--client", &world.address(12).to_string(), "--config"])
        .arg(world.write("explained.toml", world.config(&[upstream.address()], &settings)))
        .output()
        .expect("the program");
    let text = String::from_utf8_lossy(&explain.stdout).into_owned();
    assert!(
        text.contains("replaced") && text.contains("google answers as") && text.contains("forcesafesearch.google.com"),
        "{text}"
    );
}
