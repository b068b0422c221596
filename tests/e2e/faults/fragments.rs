//! A narrow path, as behind a tunnel or a mobile modem: its packets have 1,280
//! octets at most, and what was cut into fragments to fit never arrives.

use std::fs;
use std::net::SocketAddr;

use domain::base::iana::Rtype;
use nix::unistd::gettid;

use crate::client::{self, Ask, NOERROR, Reply, SERVFAIL, TC};
use crate::faults::listed;
use crate::liar::{Deed, Liar, Saying, Seen, honest};
use crate::rights::apart;
use crate::world::{ANSWER, Daemon, PORT, World};

/// Largest packet on the path: the least that IPv6 demands (RFC 8200).
const NARROW: usize = 1280;
/// Largest message that fits through it, by IPv6 and UDP.
const FITTING: usize = NARROW - 40 - 8;
/// The two ends of the path: the resolver, and everybody else.
const ENDS: [[&str; 2]; 2] = [["10.77.0.1", "10.77.0.2"], ["fd77::1", "fd77::2"]];

/// The path, made from the resolver's end before the resolver starts there. The
/// kernel puts fragments together in memory of this size: in none at all.
const PATH: &str = r#"
set -e
outside() { nsenter --net="$other" "$@"; }
ip link set lo up
ip link add inner mtu 1280 type veth peer name outer mtu 1280 netns "$other"
ip address add 10.77.0.1/24 dev inner
ip address add fd77::1/64 dev inner nodad
outside ip address add 10.77.0.2/24 dev outer
outside ip address add fd77::2/64 dev outer nodad
ip link set inner up
outside ip link set outer up
lose_fragments='cd /proc/sys/net
for limit in low high; do echo 0 >ipv4/ipfrag_${limit}_thresh; echo 0 >ipv6/ip6frag_${limit}_thresh; done'
sh -c "$lose_fragments"
outside sh -c "$lose_fragments"
exec "$@"
"#;

/// The resolver at the far end of the path, with these upstreams at this end.
fn start(world: &World, upstreams: &[SocketAddr], settings: &str) -> Daemon {
    let script = format!("other=/proc/{}/task/{}/ns/net\n{PATH}", std::process::id(), gettid());
    let prefix = ["unshare", "--net", "sh", "-c", &script, "sh"];
    let listen = ENDS.map(|[far, _]| at(far).to_string());
    world.start_under(&prefix, upstreams, &format!("{}[server]\nlisten = {listen:?}\n{settings}", listed(world)))
}

fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), PORT)
}

/// Fragments that came to this process's network and were lost there.
fn lost_fragments(process: &str) -> u64 {
    let table = |file: &str| fs::read_to_string(format!("/proc/{process}/net/{file}")).expect("the process runs");
    let v4 = table("snmp");
    let mut rows = v4.lines().filter(|line| line.starts_with("Ip: ")).map(|line| line.split(' '));
    let (names, values) = (rows.next().expect("a head"), rows.next().expect("values"));
    let v4 = names.zip(values).find(|(name, _)| *name == "ReasmFails").expect("a counter").1;
    let v6 = table("snmp6");
    let v6 = v6.lines().find_map(|line| line.strip_prefix("Ip6ReasmFails")).expect("a counter").trim();
    [v4, v6].iter().map(|count| count.parse::<u64>().expect("a number")).sum()
}

/// An answer of as many octets as the first label says.
fn of_size(seen: &Seen) -> Vec<u8> {
    let size = seen.name.trim_start_matches("size").split('.').next().and_then(|size| size.parse::<usize>().ok());
    let Some(size) = size else { return honest(seen) };
    let rest = size - Saying::to(seen).record("@", Rtype::TXT, 300, &[]).done().len();
    let text = vec![b'x'; rest];
    let data: Vec<u8> = text.chunks(256).flat_map(|part| [&[(part.len() - 1) as u8], &part[1..]].concat()).collect();
    Saying::to(seen).record("@", Rtype::TXT, 300, &data).done()
}

/// Over UDP, and over TCP what is cut there.
fn ask(near: SocketAddr, far: SocketAddr, ask: &Ask) -> (Reply, Option<Reply>) {
    let reply = client::udp(near.ip(), far, ask, ANSWER).unwrap_or_else(|| panic!("no answer to {}", ask.text()));
    let over_tcp = || client::tcp(near.ip(), far, &[ask.packet()], 1, ANSWER).pop().expect("an answer over TCP");
    let whole = reply.is_cut().then(|| Reply::read(&over_tcp()));
    (reply, whole)
}

/// Answers of all sizes come, to clients of both families.
fn every_answer_comes(from: &str) {
    let world = World::new();
    apart(|| {
        let daemon = start(&world, &[at(from)], "");
        let upstream = Liar::behaving(at(from), |seen| {
            let message = of_size(seen);
            let most = seen.opt.as_ref().map_or(512, |opt| usize::from(opt.payload));
            let fits = seen.tcp || message.len() <= most;
            Deed::Say(vec![if fits { message } else { Saying::to(seen).flags(TC).done() }])
        });
        for (family, [far, near]) in ENDS.map(|ends| ends.map(at)).into_iter().enumerate() {
            for size in [400, 1200, FITTING, FITTING + 1, 1500, 4000, 60_000] {
                let name = format!("size{size}.{family}.example");
                let question = Ask::new(&name, Rtype::TXT).payload(4096);
                let (reply, over_tcp) = ask(near, far, &question);
                assert!(reply.octets.len() <= FITTING, "{size}: {reply}");
                assert_eq!(over_tcp.is_some(), size > FITTING, "{size}: {reply}");
                let whole = over_tcp.unwrap_or(reply);
                assert_eq!((whole.rcode, whole.octets.len(), whole.answer.len()), (NOERROR, size, 1), "{size}");

                // The first question of all waits for the address of the neighbour, and may be asked again.
                let payload = |seen: &Seen| seen.opt.as_ref().map(|opt| opt.payload);
                let mut asked: Vec<_> = upstream.seen_of(&name).iter().map(|seen| (seen.tcp, payload(seen))).collect();
                asked.dedup();
                let (over_udp, over_tcp) = ((false, Some(1232)), (true, Some(1232)));
                assert_eq!(asked, [over_udp, over_tcp][..if size > FITTING { 2 } else { 1 }], "{size}");

                // A client from before EDNS.
                let (reply, over_tcp) = ask(near, far, &question.plain());
                assert!(reply.octets.len() <= 512 && reply.is_cut() == (size > 512), "{size}: {reply}");
                assert_eq!(over_tcp.unwrap_or(reply).answer.len(), 1, "{size}");
            }
        }
        let lost = [daemon.pid().to_string(), "thread-self".into()].map(|process| lost_fragments(&process));
        assert_eq!(lost, [0, 0], "something was cut into fragments");
    });
}

#[test]
fn f12_answers_of_all_sizes_come_through_a_narrow_path_from_an_ipv4_upstream() {
    every_answer_comes(ENDS[0][1]);
}

#[test]
fn f12_answers_of_all_sizes_come_through_a_narrow_path_from_an_ipv6_upstream() {
    every_answer_comes(ENDS[1][1]);
}

#[test]
fn f12_an_upstream_whose_fragments_are_lost_is_one_that_is_silent() {
    let world = World::new();
    apart(|| {
        let [[far, near], [_, other]] = ENDS.map(|ends| ends.map(at));
        let daemon = start(&world, &[near, other], "[upstream]\ndeadline_ms = 1000\n");
        // Both say more in one datagram than they were allowed to.
        let stubborn = |seen: &Seen| Deed::Say(vec![of_size(seen)]);
        let (_first, second) = (Liar::behaving(near, stubborn), Liar::behaving(other, stubborn));
        let large = |n: u8| ask(near, far, &Ask::new(&format!("size4000.{n}.example"), Rtype::TXT)).0;
        let reply = large(0);
        assert_eq!((reply.rcode, reply.ede()), (SERVFAIL, vec![22]), "{reply}");
        let lost = lost_fragments(&daemon.pid().to_string());
        assert!(lost >= 4, "{lost} fragments were lost: the path is not what it should be");
        // Everybody else goes on.
        assert!(ask(near, far, &Ask::a("blocked.example")).0.is_blocked());
        assert_eq!(ask(near, far, &Ask::a("www.example")).0.rcode, NOERROR);
        // And with one that keeps to the limit, so do large answers.
        second.behave(|seen| Deed::Say(vec![if seen.tcp { of_size(seen) } else { Saying::to(seen).flags(TC).done() }]));
        for n in 1..6 {
            let reply = large(n);
            assert!(reply.rcode == NOERROR && reply.is_cut(), "{reply}");
        }
    });
}
