//! Listening on every address of the host: an answer comes from the address
//! that was asked, since clients throw away all others.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use domain::base::iana::Rtype;

use crate::client::{self, Ask, Reply};
use crate::liar::{Deed, Liar, honest};
use crate::operation::LISTED;
use crate::rights::apart;
use crate::world::{ANSWER, World};

/// Asks the same three things at each of these addresses, over UDP and TCP. The
/// socket of the client hears the address only that it has asked.
fn assert_answers_from(servers: &[SocketAddr], client: IpAddr) {
    let over_udp = |server: SocketAddr, ask: &Ask| {
        let reply = client::udp(client, server, ask, ANSWER);
        reply.unwrap_or_else(|| panic!("{server} does not answer {} itself", ask.text()))
    };
    for (number, server) in servers.iter().enumerate() {
        let ask = Ask::a(&format!("late{number}.example"));
        for turn in ["from the upstream", "from memory"] {
            assert_eq!(over_udp(*server, &ask).data(Rtype::A), ["198.18.0.7"], "{server}, {turn}");
        }
        assert!(over_udp(*server, &Ask::a("listed.example")).is_blocked(), "{server}");
        let answer = client::tcp(client, *server, &[ask.packet()], 1, ANSWER).pop().expect("an answer over TCP");
        assert_eq!(Reply::read(&answer).data(Rtype::A), ["198.18.0.7"], "{server} over TCP");
    }
}

/// An upstream that takes its time, so that its answers come in a batch of their own.
fn slow(address: SocketAddr) -> Liar {
    Liar::behaving(address, |seen| Deed::Later(Duration::from_millis(50), honest(seen)))
}

#[test]
fn on_every_ipv4_address_answers_come_from_the_one_that_was_asked() {
    let world = World::new();
    let upstream = slow(world.upstream(1));
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    // Nobody else's: the addresses of all tests are covered by this one.
    let [_, b, c, _] = world.address(1).octets();
    let port = 10_000 + u16::from(b - 192) * 256 + u16::from(c);
    let listen = format!("{LISTED}[server]\nlisten = [\"0.0.0.0:{port}\", \"[::]:{port}\"]\n");
    let _daemon = world.start(&[upstream.address()], &listen);
    // The kernel by itself would answer all of them from 127.0.0.1.
    let servers = [20, 21].map(|last| (world.address(last), port).into());
    assert_answers_from(&servers, world.address(10).into());
    assert_answers_from(&[([127, 0, 0, 1], port).into()], world.address(10).into());
}

#[test]
fn on_every_ipv6_address_answers_come_from_the_one_that_was_asked() {
    let world = World::new();
    apart(|| {
        for address in ["fd77::1/128", "fd77::2/128", "fd77::3/128"] {
            let added = Command::new("ip").args(["address", "add", address, "dev", "lo", "nodad"]).status();
            assert!(added.is_ok_and(|status| status.success()), "{address}");
        }
        let upstream = slow(world.upstream(1));
        world.write_list("a.list", 1, &[("adult", "listed.example")]);
        let listen = format!("{LISTED}[server]\nlisten = [\"0.0.0.0:5301\", \"[::]:5301\"]\n");
        let _daemon = world.start(&[], &format!("{listen}[upstream]\nservers = [\"{}\"]\n", upstream.address()));
        let address = |text: &str| SocketAddr::new(text.parse().expect("an address"), 5301);
        let servers = ["fd77::1", "fd77::2", "fd77::3", "::1"].map(address);
        assert_answers_from(&servers, servers[2].ip());
        // Both families on one port, each on its own socket.
        assert_answers_from(&[(world.address(20), 5301).into()], world.address(10).into());
    });
}
