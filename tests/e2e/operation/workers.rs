//! Several workers on one address, each with a socket of its own.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use super::{LISTED, SOON};
use crate::client::{self, Ask, NOERROR, NXDOMAIN, Reply};
use crate::liar::{Deed, Liar, Seen, honest};
use crate::world::{Daemon, World, eventually};

/// How many datagrams were lost at each of the resolver's UDP sockets.
fn sockets(daemon: &Daemon) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/net/udp", daemon.pid())).expect("the process runs");
    let std::net::SocketAddr::V4(address) = daemon.address else { panic!("an IPv4 address") };
    let own = format!("{:08X}:{:04X}", u32::from(*address.ip()).swap_bytes(), address.port());
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[1] == own).map(|fields| fields[fields.len() - 1].to_owned()).collect()
}

#[test]
fn four_workers_answer_everybody_count_everything_and_end_well() {
    const CLIENTS: usize = 100;
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| match seen.name.starts_with("late") {
        true => Deed::Later(Duration::from_millis(200), honest(seen)),
        false => Deed::Say(vec![honest(seen)]),
    });
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let daemon = world.start(&[upstream.address()], &format!("{LISTED}[server]\nworkers = 4\n"));
    assert_eq!(daemon.ask(&Ask::a("cached.example")).rcode, NOERROR);
    assert_eq!(sockets(&daemon), ["0"; 4], "sockets, and what each has lost");

    // From so many ports that each worker has its share.
    let asking: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let asks = [
                (Ask::a("cached.example"), NOERROR),
                (Ask::a("www.listed.example"), NXDOMAIN),
                (Ask::a(&format!("late{number}.example")), NOERROR),
                // The same one for many, at several workers at once.
                (Ask::a(&format!("late-shared{}.example", number % 3)), NOERROR),
            ];
            let socket = client::socket(world.address(10), daemon.address);
            asks.iter().for_each(|(ask, _)| assert!(socket.send(&ask.packet()).is_ok()));
            (socket, asks)
        })
        .collect();
    let end = Instant::now() + SOON;
    let mut buffer = [0; 4096];
    for (socket, asks) in &asking {
        let mut open: HashSet<u16> = asks.iter().map(|(ask, _)| ask.id).collect();
        while !open.is_empty() {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            socket.set_read_timeout(Some(left)).expect("sockets take time-outs");
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{} lost: {error}", open.len()));
            let reply = Reply::read(&buffer[..length]);
            let (ask, rcode) = asks.iter().find(|(ask, _)| ask.id == reply.id).expect("an answer to one of them");
            assert!(open.remove(&reply.id) && reply.rcode == *rcode, "{}: {reply}", ask.text());
        }
    }
    let asked = 4 * CLIENTS as u64 + 1;
    assert_eq!(daemon.metric("queries_total{transport=\"udp\"}"), asked);
    assert!(eventually(SOON, || daemon.metric("outcomes_total") == asked), "{}", daemon.get("/metrics").1);
    assert_eq!(daemon.outcome("blocked_name"), CLIENTS as u64);
    assert_eq!(daemon.outcome("fault") + daemon.outcome("failed"), 0);

    // Those that wait at the end get their answers.
    for (number, (socket, _)) in asking.iter().enumerate() {
        assert!(socket.send(&Ask::a(&format!("late-last{number}.example")).packet()).is_ok());
    }
    let last = |seen: &Seen| seen.name.starts_with("late-last").then(|| seen.name.clone());
    let waiting = || upstream.seen().iter().filter_map(last).collect::<HashSet<_>>().len();
    assert!(eventually(SOON, || waiting() == CLIENTS));
    daemon.signal("TERM");
    assert_eq!(daemon.end(SOON).code(), Some(0));
    for (socket, _) in &asking {
        socket.set_nonblocking(true).expect("a socket of ours");
        assert!(socket.recv(&mut buffer).is_ok(), "the last question is answered");
    }
}
