//! What one client, and all of them, may hold of connections.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use crate::client::{self, Ask, NOERROR, Reply, connect, framed, read_framed};
use crate::faults::listed;
use crate::liar::{Deed, Liar, honest, silence};
use crate::world::{ANSWER, World, eventually};

const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the other side ends this connection, and says nothing on it.
fn is_ended(stream: &mut TcpStream) -> bool {
    let begin = Instant::now();
    read_framed(stream, begin + PATIENCE).is_none() && begin.elapsed() < PATIENCE
}

#[test]
fn b10_all_clients_together_never_have_more_than_the_limit() {
    let world = World::new();
    let settings = format!("{}[server]\ntcp_connections = 5\ntcp_connections_per_client = 2\n", listed(&world));
    let daemon = world.start(&[world.upstream(1)], &settings);
    let connect = |client: u8| connect(world.address(client), daemon.address).expect("accepted by the system");
    let mut open: Vec<_> = [20, 20, 21, 21, 22].map(connect).into();
    assert!(eventually(PATIENCE, || daemon.metric("tcp_connections") == 5));
    assert_eq!(daemon.metric("tcp_refused_total"), 0);
    // One that has no connection yet, and one that has had its share.
    for (number, client) in [23, 20].into_iter().enumerate() {
        assert!(is_ended(&mut connect(client)), "client {client} is one too many");
        assert_eq!(daemon.metric("tcp_refused_total"), number as u64 + 1);
    }
    assert!(daemon.ask_as(world.address(23), &Ask::a("blocked.example")).is_blocked(), "UDP has no such limit");
    // Those that are open are served, and a place that is given back is taken.
    for stream in &mut open {
        stream.write_all(&framed(&Ask::a("blocked.example").packet())).expect("it is open");
        let answer = read_framed(stream, Instant::now() + ANSWER).expect("an answer");
        assert!(Reply::read(&answer).is_blocked());
    }
    drop(open.pop());
    assert!(eventually(PATIENCE, || daemon.metric("tcp_connections") == 4));
    let question = [Ask::a("blocked.example").packet()];
    assert_eq!(client::tcp(world.address(23), daemon.address, &question, 1, ANSWER).len(), 1);
}

#[test]
fn b11_of_hundreds_of_questions_on_one_connection_few_wait_at_a_time() {
    const DEPTH: usize = 10;
    const COUNT: usize = 300;
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), silence);
    let settings = format!(
        "{}[server]\ntcp_pipeline = {DEPTH}\n[upstream]\ntry_timeout_ms = 100\ndeadline_ms = 20000\n",
        listed(&world)
    );
    let daemon = world.start(&[upstream.address()], &settings);
    let asks: Vec<_> = (0..COUNT).map(|n| Ask::a(&format!("n{n}.example"))).collect();
    let mut stream = connect(world.address(66), daemon.address).expect("accepted");
    let octets: Vec<u8> = asks.iter().flat_map(|ask| framed(&ask.packet())).collect();
    stream.write_all(&octets).expect("the system takes so much");
    // Each of those that wait has been asked for three times meanwhile, and no other.
    assert!(eventually(PATIENCE, || upstream.count() >= 3 * DEPTH), "{}", upstream.count());
    let names = || upstream.seen().into_iter().map(|seen| seen.name).collect::<HashSet<_>>().len();
    assert_eq!((names(), daemon.metric("waiting_queries")), (DEPTH, DEPTH as u64));
    assert_eq!(daemon.metric("queries_total{transport=\"tcp\"}"), DEPTH as u64, "the rest is not even looked at");
    // Whoever asks elsewhere does not notice.
    assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
    let other = client::tcp(world.address(67), daemon.address, &[Ask::a("blocked.example").packet()], 1, ANSWER);
    assert_eq!(other.len(), 1);
    // In the end all of them have their answers, each its own.
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    let end = Instant::now() + 2 * PATIENCE;
    let answers = std::iter::from_fn(|| read_framed(&mut stream, end)).take(COUNT).map(|octets| Reply::read(&octets));
    let good = answers.filter(|reply| reply.data(Rtype::A) == ["198.18.0.7"]);
    let answered: HashSet<u16> = good.map(|reply| reply.id).collect();
    assert!(asks.iter().all(|ask| answered.contains(&ask.id)), "{} of {COUNT}", answered.len());
}

#[test]
fn b10_a_client_that_never_reads_is_let_go_after_the_idle_time() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], "[server]\ntcp_idle_timeout = 1\n");
    let ask = Ask::a("cached.example");
    assert_eq!(daemon.ask(&ask).rcode, NOERROR);
    let mut stream = connect(world.address(66), daemon.address).expect("accepted");
    socket2::SockRef::from(&stream).set_recv_buffer_size(64 << 10).expect("sockets have buffers");
    let many = framed(&ask.packet()).repeat(1000);
    // It asks on and on: silence is not what ends it.
    let asking = std::thread::spawn(move || {
        let mut asked = 0;
        while stream.write_all(&many).is_ok() {
            asked += 1000;
            assert!(asked < 10_000_000, "the resolver reads without end");
        }
        stream
    });
    assert!(eventually(PATIENCE, || daemon.metric("queries_total{transport=\"tcp\"}") > 0));
    assert!(eventually(PATIENCE, || daemon.metric("tcp_connections") == 0), "it is still there");
    let mut stream = asking.join().expect("the connection was ended");
    // What had been sent is there, and then the end.
    while read_framed(&mut stream, Instant::now() + ANSWER).is_some() {}
    let ended = || daemon.metric("outcomes_total") == daemon.metric("queries_total");
    assert!(eventually(PATIENCE, ended), "each question has an outcome");
}

#[test]
fn strangers_are_refused_over_tcp_too_once_and_on_one_connection() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], &format!("[access]\nallow = [\"{}/25\"]\n", world.address(0)));
    let (guest, stranger) = (world.address(10), world.address(203));
    let questions = ["one.example", "two.example"].map(|name| Ask::a(name).packet());
    assert_eq!(client::tcp(guest, daemon.address, &questions, 2, ANSWER).len(), 2);
    let begin = Instant::now();
    let answers = client::tcp(stranger, daemon.address, &questions, 2, PATIENCE);
    assert!(answers.len() == 1 && begin.elapsed() < PATIENCE, "{} answers, then the end", answers.len());
    let reply = Reply::read(&answers[0]);
    assert_eq!((reply.rcode, reply.ede()), (5, vec![18]), "{reply}");

    assert!(eventually(PATIENCE, || daemon.metric("tcp_connections") == 0));
    let mut first = connect(stranger, daemon.address).expect("accepted by the system");
    assert!(eventually(PATIENCE, || daemon.metric("tcp_connections") == 1));
    let refused = daemon.metric("tcp_refused_total");
    assert!(is_ended(&mut connect(stranger, daemon.address).expect("accepted by the system")));
    assert_eq!(daemon.metric("tcp_refused_total"), refused + 1);
    first.write_all(&framed(&questions[0])).expect("it is open");
    let answer = read_framed(&mut first, Instant::now() + ANSWER).expect("an answer");
    assert_eq!(Reply::read(&answer).rcode, 5);
    assert_eq!(daemon.metric("queries_total{transport=\"tcp\"}"), 4);
}
