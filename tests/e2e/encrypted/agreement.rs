//! B24: a policy holds whatever a client speaks.

use domain::base::iana::Rtype;

use crate::client::{Ask, NXDOMAIN, Reply, wire_name};
use crate::encrypted::{ask_dot, ask_get, ask_post};
use crate::liar::{Deed, Liar, Saying, honest};
use crate::world::World;

/// What a client sees of an answer that does not depend on the moment.
fn seen(reply: &Reply) -> (u16, Vec<u16>, Vec<(String, Rtype, String)>) {
    let records = reply.answer.iter().map(|record| (record.owner.clone(), record.rtype, record.data.clone()));
    (reply.rcode, reply.ede(), records.collect())
}

#[test]
fn b24_every_policy_gives_the_same_verdict_on_every_transport() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| match &*seen.name {
        "cloaked.example" => {
            Deed::Say(vec![Saying::to(seen).record("@", Rtype::CNAME, 300, &wire_name("adult.example")).done()])
        }
        _ => Deed::Say(vec![honest(seen)]),
    });
    let entries =
        [("csam", "law.example"), ("malware", "bad.example"), ("adult", "adult.example"), ("adult", "=lone.example")];
    let list = world.write_list("all.list", 1, &entries);
    let of = |last: u8| format!("{}/32", world.address(last));
    let policies = format!(
        "[lists]\nfiles = [{list:?}]\n\
         [[policy]]\nname = \"guests\"\nnetworks = [\"0.0.0.0/0\"]\nallow = [\"free.adult.example\"]\ndeny = [\"own.example\"]\n\
         [[policy]]\nname = \"staff\"\nnetworks = [\"{}\"]\ncategories = []\n\
         [access]\nallow = [\"{}\", \"{}\"]\n",
        of(11),
        of(10),
        of(11),
    );
    let daemon = world.start(&[upstream.address()], &world.encrypted(&policies));
    // Guest, staff, and somebody who is not served.
    for (client, refused, blocked) in [(10, false, 5), (11, false, 1), (12, true, 0)] {
        let client = world.address(client);
        let mut blocks = 0;
        for name in [
            "law.example",
            "www.bad.example",
            "adult.example",
            "free.adult.example",
            "lone.example",
            "www.lone.example",
            "own.example",
            "cloaked.example",
            "plain.example",
            "use-application-dns.net",
        ] {
            for rtype in [Rtype::A, Rtype::AAAA, Rtype::HTTPS, Rtype::TXT] {
                let ask = Ask::new(name, rtype);
                let udp = daemon.ask_as(client, &ask);
                assert_eq!(udp.rcode == 5, refused, "{name}: {udp}");
                if rtype == Rtype::A && udp.rcode == NXDOMAIN && !udp.ede().is_empty() {
                    blocks += 1;
                }
                let tcp = crate::client::tcp(client, daemon.address, &[ask.packet()], 1, crate::world::ANSWER);
                let replies = [
                    ("tcp", Reply::read(&tcp[0])),
                    ("dot", ask_dot(client, world.dot(), &ask)),
                    ("doh get", ask_get(client, world.doh(), &ask)),
                    ("doh post", ask_post(client, world.doh(), &ask)),
                ];
                for (transport, reply) in replies {
                    assert_eq!(seen(&reply), seen(&udp), "{name} {rtype} for {client} over {transport}");
                }
            }
        }
        assert_eq!(blocks, blocked, "names that {client} does not get");
    }
}
