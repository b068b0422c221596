//! Clients that are slow, rude, or many.

use std::io::Write;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use crate::client::{self, Ask, Reply, framed};
use crate::encrypted::{ask_dot, ask_get, believing, dot, is_closed, read_answer, tls};
use crate::liar::{Deed, Liar, honest};
use crate::world::World;

#[test]
fn answers_come_in_the_order_in_which_they_are_ready() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| match seen.name.starts_with("slow") {
        true => Deed::Later(Duration::from_millis(300), honest(seen)),
        false => Deed::Say(vec![honest(seen)]),
    });
    let daemon = world.start(&[upstream.address()], &world.encrypted(""));
    let asks = ["slow.example", "quick.example", "localhost"].map(Ask::a);
    let answers = dot(world.address(10), world.dot(), &asks.each_ref().map(Ask::packet));
    let order: Vec<u16> = answers.iter().map(|answer| Reply::read(answer).id).collect();
    assert_eq!(order, [asks[2].id, asks[1].id, asks[0].id]);
    drop(daemon);
}

#[test]
fn whoever_stops_in_the_middle_is_let_go_and_holds_up_nobody() {
    let world = World::new();
    let settings = world.encrypted("[server]\ntcp_idle_timeout = 1\ntcp_connections_per_client = 200\n");
    let daemon = world.start(&[world.upstream(1)], &settings);
    let client = world.address(10);
    let hello = {
        // The beginning of a real handshake.
        let mut connection =
            rustls::ClientConnection::new(believing("dot"), "resolver.friendly-wifi.example".try_into().unwrap())
                .unwrap();
        let mut octets = Vec::new();
        connection.write_tls(&mut octets).unwrap();
        octets
    };
    let mut stuck = Vec::new();
    for server in [world.dot(), world.doh()] {
        for part in [&b""[..], b"\x16", &hello[..40], &hello, b"GET / HTTP/1.1\r\n\r\n", &[0; 300]] {
            let mut stream = client::connect(client, server).expect("accepted");
            stream.write_all(part).expect("sent");
            stuck.push(stream);
        }
    }
    // In the middle of a question, of a head, and of a content.
    let mut half = tls(client, world.dot(), &believing("dot")).expect("TLS");
    half.write_all(&framed(&Ask::a("localhost").packet())[..9]).expect("sent");
    let mut head = tls(client, world.doh(), &believing("http/1.1")).expect("TLS");
    head.write_all(b"GET /dns-query?dns=AA").expect("sent");
    let mut content = tls(client, world.doh(), &believing("http/1.1")).expect("TLS");
    content
        .write_all(b"POST /dns-query HTTP/1.1\r\nHost: x\r\nContent-Type: application/dns-message\r\nContent-Length: 40\r\n\r\nabc")
        .expect("sent");
    let mut h2 = tls(client, world.doh(), &believing("h2")).expect("TLS");
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");

    let before = Instant::now();
    assert_eq!(ask_dot(client, world.dot(), &Ask::a("localhost")).data(Rtype::A), ["127.0.0.1"]);
    assert_eq!(ask_get(client, world.doh(), &Ask::a("localhost")).data(Rtype::A), ["127.0.0.1"]);
    assert!(before.elapsed() < Duration::from_secs(4), "nobody waits for them");
    stuck.extend([half.sock, head.sock, content.sock, h2.sock]);
    for (number, stream) in stuck.iter_mut().enumerate() {
        assert!(is_closed(stream, Duration::from_secs(10)), "connection {number} is still open");
    }
    assert_eq!(daemon.metric("tcp_connections"), 0);
}

#[test]
fn one_client_never_has_more_than_its_connections() {
    let world = World::new();
    let settings = world.encrypted("[server]\ntcp_connections_per_client = 3\n");
    let daemon = world.start(&[world.upstream(1)], &settings);
    let client = world.address(10);
    let open: Vec<_> = (0..3).map(|_| tls(client, world.dot(), &believing("dot")).expect("TLS")).collect();
    for server in [world.dot(), world.doh(), daemon.address] {
        let mut more = client::connect(client, server).expect("accepted by the system");
        assert!(is_closed(&mut more, Duration::from_secs(5)), "{server}");
    }
    assert_eq!(ask_dot(world.address(11), world.dot(), &Ask::a("localhost")).rcode, 0);
    drop(open);
}

#[test]
fn empty_and_endless_messages_do_no_harm() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], &world.encrypted(""));
    let client = world.address(10);
    let mut stream = tls(client, world.dot(), &believing("dot")).expect("TLS");
    // A hundred messages of no octets, one of each short length, one of the greatest.
    stream.write_all(&[0; 200]).expect("sent");
    for length in 1..20u16 {
        stream.write_all(&framed(&vec![0; usize::from(length)])).expect("sent");
    }
    stream.write_all(&framed(&vec![0xff; 65_535])).expect("sent");
    let ask = Ask::a("localhost");
    stream.write_all(&framed(&ask.packet())).expect("sent");
    loop {
        let answer = read_answer(&mut stream).expect("the connection goes on");
        if Reply::read(&answer).id == ask.id && answer.len() > 12 {
            break;
        }
    }
    drop(stream);
    assert_eq!(daemon.outcome("fault"), 0);
}
