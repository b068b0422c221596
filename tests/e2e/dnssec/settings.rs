//! What each setting does, and what else happens to signed and bogus answers.

use super::forged::genuine;
use super::lab::Lab;
use super::{start, strict};
use crate::client::{AD, Ask, NOERROR, NXDOMAIN, SERVFAIL};
use crate::liar::{Deed, Liar, Saying, honest};
use crate::operation::clock::start_at;
use crate::world::World;

#[test]
fn an_upstream_without_signatures_is_named_and_used() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| Deed::Say(vec![honest(seen)]));
    let mut resolver = world.start(&[upstream.address()], "[dnssec]\nvalidate = \"auto\"\n");
    resolver.wait_for_log("no upstream shows the signed root");
    let (_, health) = resolver.get("/healthz");
    assert!(health.contains("answers are not validated") && health.contains("\"status\": \"ok\""), "{health}");
    // As long as nothing is judged here, an upstream's own word is passed on, as from a forwarder.
    upstream.behave(|seen| {
        let answer = Saying::to(seen).flags(AD).record("@", domain::base::iana::Rtype::A, 300, &[198, 18, 0, 7]);
        Deed::Say(vec![answer.done()])
    });
    let reply = resolver.ask(&Ask::a("www.example").flags(AD));
    assert_eq!((reply.rcode, reply.flags & AD), (NOERROR, AD), "{reply}");
    assert_eq!(upstream.seen_of("").len(), 1, "the root is asked for rarely");
}

#[test]
fn strict_does_without_an_upstream_that_strips_signatures() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| Deed::Say(vec![honest(seen)]));
    let resolver = world.start(&[upstream.address()], "[dnssec]\nvalidate = \"strict\"\n");
    let reply = resolver.ask(&Ask::a("www.example"));
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![9]), "{reply}");
    assert!(resolver.get("/healthz").1.contains("nothing can be answered"));
    // Names that are answered here need nobody.
    assert_eq!(resolver.ask(&Ask::a("localhost")).rcode, NOERROR);
}

#[test]
fn auto_validates_from_the_first_signed_root_on() {
    let world = World::new();
    let lab = Lab::start(&world);
    let settings = strict(&lab, "").replace("strict", "auto");
    let mut resolver = world.start(&[lab.upstream.address], &settings);
    resolver.wait_for_log("answers are validated from now on");
    let reply = resolver.ask(&Ask::a("www.nothing-15-nsec.lab").flags(AD));
    assert_eq!((reply.rcode, reply.flags & AD), (NOERROR, AD), "{reply}");
    assert_eq!(resolver.ask(&Ask::a("www.wrongsignature-13-nsec.lab")).rcode, SERVFAIL);
    let (_, health) = resolver.get("/healthz");
    assert!(!health.contains("DNSSEC"), "{health}");
}

#[test]
fn what_need_not_be_signed_and_what_is_blocked() {
    let world = World::new();
    let lab = Lab::start(&world);
    world.write_list("a.list", 1, &[("adult", "www.nothing-13-nsec.lab"), ("adult", "www.expired-13-nsec.lab")]);
    let resolver = start(
        &world,
        &lab,
        "negative_trust_anchors = [\"wrongsignature-13-nsec.lab\"]\n[lists]\nfiles = [\"a.list\"]\n\
         [category.adult]\nlayer = \"family\"\n[[policy]]\nname = \"all\"\nnetworks = [\"127.0.0.0/8\"]\n",
    );
    let reply = resolver.ask(&Ask::a("www.wrongsignature-13-nsec.lab").flags(AD));
    assert_eq!((reply.rcode, reply.flags & AD), (NOERROR, 0), "{reply}");
    // The filter's word is its own, on signed and on bogus names, and on what leads there.
    for name in ["www.nothing-13-nsec.lab", "www.expired-13-nsec.lab", "alias.nothing-13-nsec.lab"] {
        let reply = resolver.ask(&Ask::a(name).dnssec_ok());
        assert!(reply.is_blocked() && reply.flags & AD == 0, "{name}: {reply}");
    }
    assert_eq!(resolver.ask(&Ask::a("bogus.chain.lab").dnssec_ok()).rcode, NOERROR, "its target is exempt");
    assert_eq!(resolver.ask(&Ask::a("expired.notyetvalid-15-nsec.lab")).rcode, SERVFAIL);
    assert_eq!(resolver.ask(&Ask::a("nope.nothing-13-nsec3.lab")).rcode, NXDOMAIN);
}

/// Small boxes start in 1970, and need names to learn the time.
#[test]
fn f25_without_the_time_auto_answers_and_strict_does_not() {
    let world = World::new();
    let lab = Lab::start(&world);
    let upstream = lab.upstream.address;
    let relay = Liar::behaving(world.upstream(4), move |seen| Deed::Say(vec![genuine(upstream, &seen.octets)]));
    let ask = Ask::a("www.nothing-15-nsec.lab").flags(AD);
    let time = "@1970-01-01 00:00:10";
    let mut resolver = start_at(&world, &[relay.address()], time, &strict(&lab, "").replace("strict", "auto"));
    resolver.wait_for_log("the clock of this machine is wrong");
    let reply = resolver.ask(&ask);
    assert_eq!((reply.rcode, reply.flags & AD), (NOERROR, 0), "{reply}");
    drop(resolver);
    let resolver = start_at(&world, &[relay.address()], time, &strict(&lab, ""));
    let reply = resolver.ask(&ask);
    assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![8]), "{reply}");
}
