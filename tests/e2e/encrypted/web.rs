//! DNS over HTTPS as HTTP: methods, statuses, headers (RFC 8484), and clients
//! that misuse HTTP/2.

use std::io::{Read, Write};
use std::time::Duration;

use domain::base::iana::Rtype;

use crate::client::Ask;
use crate::encrypted::{POST, ask_get, believing, get, https, is_closed, tls};
use crate::liar::{Deed, Liar, Saying, honest};
use crate::world::World;

#[test]
fn what_is_no_question_gets_the_status_that_says_so() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], &world.encrypted(""));
    let client = world.address(10);
    let packet = Ask::a("localhost").packet();
    let long = format!("GET /dns-query?dns={} HTTP/1.1\r\n", "A".repeat(6000));
    let json = "POST /dns-query HTTP/1.1\r\nContent-Type: application/json\r\n";
    for (head, body, status) in [
        ("GET / HTTP/1.1\r\n", &b""[..], 404),
        ("GET /dns-query/ HTTP/1.1\r\n", b"", 404),
        ("GET /dns-query HTTP/1.1\r\n", b"", 400),
        ("GET /dns-query?name=localhost HTTP/1.1\r\n", b"", 400),
        ("GET /dns-query?dns= HTTP/1.1\r\n", b"", 400),
        ("GET /dns-query?dns=%% HTTP/1.1\r\n", b"", 400),
        ("GET /dns-query?dns=AAAA HTTP/1.1\r\n", b"", 400),
        (&long, b"", 414),
        ("PUT /dns-query HTTP/1.1\r\n", &packet, 405),
        ("DELETE /dns-query HTTP/1.1\r\n", b"", 405),
        (json, &packet, 415),
        ("POST /dns-query HTTP/1.1\r\n", &packet, 415),
        (POST, b"", 400),
        (POST, &[0; 5000], 413),
        (POST, &packet, 200),
        // A question that cannot be read is answered in DNS.
        (POST, &packet[..packet.len() - 3], 200),
    ] {
        let page = https(client, world.doh(), head, body);
        assert_eq!(page.status, status, "{head}{}", String::from_utf8_lossy(&page.body));
        assert_eq!(page.header("allow").is_some(), status == 405, "{head}");
        assert_eq!(page.header("server"), None, "nobody has to know what runs here");
    }
    assert_eq!(daemon.outcome("fault"), 0);
}

#[test]
fn http_keeps_an_answer_no_longer_than_it_lives() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        let saying = Saying::to(seen);
        Deed::Say(vec![match &*seen.name {
            "two.example" => {
                saying.record("@", Rtype::A, 300, &[198, 18, 0, 1]).record("@", Rtype::A, 40, &[198, 18, 0, 2]).done()
            }
            _ => honest(seen),
        }])
    });
    let list = world.write_list("all.list", 1, &[("adult", "listed.example")]);
    let settings = world.encrypted(&format!("[lists]\nfiles = [{list:?}]\n"));
    let daemon = world.start(&[upstream.address()], &settings);
    let client = world.address(10);
    let age = |name: &str| {
        let page = https(client, world.doh(), &get(&Ask::a(name)), b"");
        page.header("cache-control").expect("a cache-control").to_owned()
    };
    assert!(["max-age=40", "max-age=39"].contains(&age("two.example").as_str()));
    assert_eq!(age("listed.example"), "max-age=60", "as long as the block");
    assert_eq!(age("localhost"), "max-age=600");
    drop(upstream);
    assert_eq!(age("nobody-answers.example"), "max-age=0");
    drop(daemon);
}

#[test]
fn a_connection_is_used_again_and_again_and_then_closed() {
    let world = World::new();
    let settings = world.encrypted("[server]\ntcp_idle_timeout = 1\n");
    let daemon = world.start(&[world.upstream(1)], &settings);
    let mut stream = tls(world.address(10), world.doh(), &believing("http/1.1")).expect("TLS");
    for _ in 0..50 {
        write!(stream, "{}Host: x\r\n\r\n", get(&Ask::a("localhost"))).expect("sent");
        assert_eq!(crate::encrypted::read_page(&mut stream).status, 200);
    }
    assert!(is_closed(&mut stream.sock, Duration::from_secs(10)));
    drop(daemon);
}

/// One frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// Misuses of HTTP/2: what is sent behind the preface.
fn misuses() -> Vec<(&'static str, Vec<u8>)> {
    let settings = frame(4, 0, 0, b"");
    // `:method GET`, `:scheme https`, `:path /`, `:authority x`.
    let headers = [0x82, 0x87, 0x84, 0x41, 0x01, b'x'];
    let reset = |stream: u32| [frame(1, 5, stream, &headers), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
    let rapid: Vec<u8> = (0..20_000).flat_map(|turn| reset(2 * turn + 1)).collect();
    let settings_flood: Vec<u8> = (0..50_000).flat_map(|_| frame(4, 0, 0, b"")).collect();
    let pings: Vec<u8> = (0..50_000).flat_map(|_| frame(6, 0, 0, &[7; 8])).collect();
    let mut endless = frame(1, 1, 1, &headers);
    endless.extend(
        (0..2_000).flat_map(|_| frame(9, 0, 1, &[&[0x40, 0x01, b'a', 0x7f, 0x80, 0x01][..], &[b'b'; 200]].concat())),
    );
    let bomb: Vec<u8> = {
        // One long header in the table, and then its index again and again.
        let mut block = headers.to_vec();
        block.extend([0x40, 0x01, b'a', 0x7f, 0x81, 0x1e]);
        block.extend([b'b'; 4000]);
        block.extend([0xbe; 12_000]);
        frame(1, 5, 1, &block)
    };
    let windows: Vec<u8> = (0..50_000).flat_map(|_| frame(8, 0, 0, &[0, 0, 0, 1])).collect();
    vec![
        ("rapid reset", [&settings[..], &rapid].concat()),
        ("settings flood", settings_flood),
        ("ping flood", [&settings[..], &pings].concat()),
        ("continuation flood", [&settings[..], &endless].concat()),
        ("header bomb", [&settings[..], &bomb].concat()),
        ("window updates", [&settings[..], &windows].concat()),
        ("nonsense", vec![0xff; 100_000]),
    ]
}

#[test]
fn misuse_of_http2_costs_its_sender_the_connection_and_nobody_else_anything() {
    let world = World::new();
    let settings = world.encrypted("[server]\ntcp_idle_timeout = 2\n");
    let daemon = world.start(&[world.upstream(1)], &settings);
    let client = world.address(10);
    ask_get(client, world.doh(), &Ask::a("localhost"));
    let before = daemon.resident();
    for (what, octets) in misuses() {
        let mut stream = tls(client, world.doh(), &believing("h2")).expect("TLS");
        stream.sock.set_write_timeout(Some(Duration::from_secs(5))).expect("sockets take time-outs");
        let whole = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &octets[..]].concat();
        // The server may close while we are sending: that is what is wanted.
        let sent = stream.write_all(&whole);
        let other = ask_get(world.address(11), world.doh(), &Ask::a("localhost"));
        assert_eq!(other.data(Rtype::A), ["127.0.0.1"], "{what}");
        if sent.is_ok() {
            let mut rest = [0; 4096];
            while matches!(stream.read(&mut rest), Ok(1..)) {}
        }
        assert!(daemon.resident() < before + 30_000, "{what}: {} KiB, before {before}", daemon.resident());
    }
    assert_eq!(daemon.outcome("fault"), 0);
}
