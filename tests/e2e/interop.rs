//! Between programs of others: hickory-server as upstream, reqwest as scraper,
//! dig, kdig and dnsperf as clients.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::base::Rtype;
use hickory_server::Server;
use hickory_server::proto::rr::rdata::{CNAME, MX, SOA, TXT};
use hickory_server::proto::rr::{Name, RData, Record, rdata::A};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;

use super::client::Ask;
use super::world::World;

/// Serves `interop.example` until the runtime ends.
fn serve_zone(runtime: &Runtime, address: SocketAddr) {
    let name = |text: &str| Name::from_ascii(text).expect("a good name");
    let origin = name("interop.example.");
    let mut zone: InMemoryZoneHandler = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let soa = SOA::new(name("ns.interop.example."), name("nobody.interop.example."), 7, 3600, 600, 86400, 300);
    let mut add = |owner: &str, data: RData| {
        zone.upsert_mut(Record::from_rdata(name(owner), 600, data), 0);
    };
    add("interop.example.", RData::SOA(soa));
    add("www.interop.example.", RData::A(A::new(192, 0, 2, 80)));
    add("alias.interop.example.", RData::CNAME(CNAME(name("www.interop.example."))));
    add("interop.example.", RData::MX(MX::new(10, name("mail.interop.example."))));
    for part in 0..12 {
        add("large.interop.example.", RData::TXT(TXT::new(vec![format!("{part:0>200}")])));
    }
    let mut catalog = Catalog::new();
    catalog.upsert(origin.into(), vec![Arc::new(zone)]);
    runtime.block_on(async {
        let mut server = Server::new(catalog);
        server.register_socket(UdpSocket::bind(address).await.expect("the address is ours"));
        let listener = TcpListener::bind(address).await.expect("the address is ours");
        server.register_listener(listener, Duration::from_secs(5), 32);
        tokio::spawn(async move { server.block_until_done().await });
    });
}

#[test]
fn a_zone_of_hickory_server_comes_through() {
    let world = World::new();
    let runtime = Runtime::new().expect("threads");
    serve_zone(&runtime, world.upstream(1));
    let daemon = world.start(&[world.upstream(1)], "");

    let reply = daemon.ask(&Ask::a("alias.interop.example"));
    assert_eq!(reply.data(Rtype::CNAME), ["www.interop.example"], "{reply}");
    assert_eq!(reply.data(Rtype::A), ["192.0.2.80"], "{reply}");
    let reply = daemon.ask(&Ask::new("interop.example", Rtype::MX));
    assert_eq!(reply.answer.len(), 1, "{reply}");
    let reply = daemon.ask(&Ask::a("nobody-there.interop.example"));
    assert_eq!((reply.rcode, reply.authority.len()), (3, 1), "{reply}");

    // Too large for a datagram between any two of the three: TCP to the
    // upstream, TC to the client, and whole over TCP.
    let large = Ask::new("large.interop.example", Rtype::TXT);
    let reply = daemon.ask(&large);
    assert!(reply.is_cut() && reply.answer.is_empty(), "{reply}");
    let reply = daemon.ask_tcp(&large);
    assert_eq!(reply.data(Rtype::TXT).len(), 12, "{reply}");
}

#[test]
fn an_http_client_reads_health_and_metrics() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], "");
    let runtime = Runtime::new().expect("threads");
    let get = |path: &str| {
        let url = format!("http://{}{path}", daemon.admin());
        let (status, kind, body) = runtime.block_on(async {
            let response = reqwest::get(url).await.expect("an answer");
            let kind = response.headers()["content-type"].to_str().expect("ASCII").to_owned();
            (response.status().as_u16(), kind, response.text().await.expect("text"))
        });
        assert_eq!(status, 200, "{path}");
        (kind, body)
    };
    assert_eq!(get("/readyz").1, "ready\n");
    let (kind, body) = get("/healthz");
    assert_eq!(kind, "application/json");
    let health: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(health["status"], "ok", "{body}");
    let (kind, body) = get("/metrics");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(body.contains("friendly_resolver_build_info{version="), "{body}");
}

/// What a program says on standard output; it has to end well.
pub(crate) fn said(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} ({error}): install the Debian package '{package}'"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn programs_of_others_get_their_answers() {
    let world = World::new();
    let runtime = Runtime::new().expect("threads");
    serve_zone(&runtime, world.upstream(1));
    let list = world.write_list("family.list", 1, &[("adult", "listed.example")]);
    let lists = format!("[lists]\nfiles = [{:?}]\n", list.display().to_string());
    let daemon = world.start(&[world.upstream(1)], &lists);
    let at = format!("@{}", daemon.address.ip());
    let port = daemon.address.port().to_string();

    let text = said("dig", "bind9-dnsutils", &[&at, "-p", &port, "+short", "alias.interop.example"]);
    assert_eq!(text, "www.interop.example.\n192.0.2.80\n");
    let text = said("kdig", "knot-dnsutils", &[&at, "-p", &port, "+tcp", "+short", "www.interop.example"]);
    assert_eq!(text, "192.0.2.80\n");
    let text = said("kdig", "knot-dnsutils", &[&at, "-p", &port, "+edns", "www.listed.example"]);
    assert!(text.contains("NXDOMAIN") && text.contains("EDE: 17"), "{text}");

    let questions = world.write("questions", "www.interop.example A\nwww.listed.example AAAA\n");
    let questions = questions.display().to_string();
    let server = daemon.address.ip().to_string();
    let arguments = ["-s", &server, "-p", &port, "-d", &questions, "-n", "2000", "-c", "8", "-e"];
    for transport in ["udp", "tcp"] {
        let text = said("dnsperf", "dnsperf", &[&arguments[..], &["-m", transport]].concat());
        assert!(text.contains("Queries lost:         0 (0.00%)"), "{transport}: {text}");
        assert!(text.contains("NOERROR 2000 (50.00%), NXDOMAIN 2000 (50.00%)"), "{transport}: {text}");
    }
}
