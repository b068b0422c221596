//! Health and metrics over HTTP, and clients that misuse it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{LISTED, Load, SOON, list_made_at};
use crate::client::{Ask, NXDOMAIN};
use crate::liar::Liar;
use crate::world::{Daemon, World, eventually};

/// The answer to a raw request: its head and body, as far as they came.
fn http(daemon: &Daemon, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(daemon.admin).expect("the admin address takes connections");
    stream.set_read_timeout(Some(SOON)).expect("sockets take time-outs");
    // The other side may have heard enough before the end.
    drop(stream.write_all(request));
    let mut octets = Vec::new();
    drop(stream.read_to_end(&mut octets));
    String::from_utf8_lossy(&octets).into_owned()
}

#[test]
fn health_tells_of_each_list_and_readiness_and_metrics_are_there() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let list = list_made_at(1_700_000_000, 42, "adult", ["listed.example".into(), "other.example".into()]);
    world.write("a.list", &list);
    let daemon = world.start(&[upstream.address()], LISTED);
    let health = daemon.health();
    let keys = |value: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&health), ["followed", "lists", "problems", "status", "uptime_seconds", "validation", "version"]);
    assert_eq!(health["validation"], "off");
    assert_eq!(health["status"], "ok");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    let state = &health["lists"][0];
    let expected = ["age_seconds", "categories", "created", "from_last_good", "hash", "list", "names", "serial"];
    assert_eq!(keys(state), expected);
    assert_eq!((&state["list"], &state["serial"], &state["names"]), (&"a.list".into(), &42.into(), &2.into()));
    assert_eq!((&state["created"], &state["categories"][0]), (&1_700_000_000.into(), &"adult".into()));
    assert!(state["age_seconds"].as_u64().is_some_and(|age| age > 50_000_000), "{health}");
    let stored: String = list[16..48].iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(state["hash"], stored);
    assert_eq!(daemon.get("/readyz"), (200, "ready\n".into()));
    assert_eq!(daemon.get("/metrics").0, 200);
    for path in ["/", "/healthz/", "/metrics/../healthz", "/debug/pprof", "/%2e%2e/etc/passwd", "//metrics", "/Healthz"]
    {
        assert_eq!(daemon.get(path).0, 404, "{path}");
    }
}

#[test]
fn methods_and_heads_are_those_of_http() {
    let world = World::new();
    let daemon = world.start(&[], "");
    for method in ["POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "BREW"] {
        let target = if method == "CONNECT" { "x:1" } else { "/healthz" };
        let answer = http(&daemon, format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        let head = answer.to_lowercase();
        assert!(head.starts_with("http/1.1 405 ") && head.contains("\r\nallow: get, head\r\n"), "{method}: {answer}");
    }
    let answer = http(&daemon, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").to_lowercase();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{answer}");
    let answer = http(&daemon, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = answer.split_once("\r\n\r\n").expect("a head").0.to_lowercase();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    assert!(!head.contains("access-control-allow"), "{head}");
    assert!(http(&daemon, b"GET /healthz HTTP/1.0\r\n\r\n").contains("\"status\""));
    for rubbish in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        assert!(!http(&daemon, rubbish).contains(" 200 "));
    }
    assert_eq!(daemon.get("/readyz").0, 200);
}

#[test]
fn b23_bodies_and_heads_without_end_are_cut_off() {
    let world = World::new();
    let daemon = world.start(&[], "");
    let resident = daemon.resident();
    let begin = Instant::now();
    let answer = http(&daemon, b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    let answer = http(&daemon, b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let chunks = b"1000\r\n".iter().chain([b'x'; 0x1000].iter()).chain(b"\r\n").copied().collect::<Vec<u8>>();
    let endless =
        [&b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &chunks.repeat(4000)];
    http(&daemon, &endless.concat());
    for line in ["X-Header: value\r\n".repeat(20_000), format!("X-Header: {}\r\n", "v".repeat(4 << 20))] {
        let answer = http(&daemon, format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{line}\r\n").as_bytes());
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    let answer = http(&daemon, format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(4 << 20)).as_bytes());
    assert!(!answer.contains(" 200 "), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(daemon.resident() < resident + 8192, "{} KiB, before {resident}", daemon.resident());
    assert_eq!(daemon.get("/readyz").0, 200);
}

#[test]
fn b10_b23_idle_and_slow_clients_hold_up_neither_questions_nor_the_admin_for_long() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let daemon = world.start(&[upstream.address()], LISTED);
    assert!(daemon.resolves("free.example"));
    let descriptors = daemon.descriptors();
    let load = Load::start(world.address(11), daemon.address, &["listed.example"], |_, reply| reply.is_blocked());
    let mut idle: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(daemon.admin).ok()).collect();
    // Every other one sends its head an octet at a time.
    let head = b"GET /healthz HTTP/1.1\r\nHost: ";
    let mut at = 0;
    let begin = Instant::now();
    let cut = eventually(Duration::from_secs(7), || {
        for stream in idle.iter_mut().step_by(2) {
            drop(stream.write_all(&head[at % head.len()..][..1]));
        }
        at += 1;
        eventually(Duration::from_millis(200), || false);
        idle[1].set_read_timeout(Some(Duration::from_millis(1))).expect("sockets take time-outs");
        matches!(idle[1].read(&mut [0; 512]), Ok(0))
    });
    assert!(cut, "an idle connection is closed");
    assert!(begin.elapsed() > Duration::from_secs(1));
    assert!(daemon.descriptors() < descriptors + 60, "{} open", daemon.descriptors());
    load.wait_for(100);
    load.assert_served(500);
    drop(idle);
    let begin = Instant::now();
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert!(eventually(SOON, || daemon.descriptors() <= descriptors + 5));
}

#[test]
fn without_an_admin_address_there_is_none() {
    let world = World::new();
    let daemon = world.start(&[], "[admin]\nlisten = \"\"\n");
    assert_eq!(daemon.ask(&Ask::a("x.test")).rcode, NXDOMAIN);
    assert!(TcpStream::connect(daemon.admin).is_err());
}
