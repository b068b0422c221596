//! What one subscriber can take, and no more.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::base::{MessageBuilder, Name as DnsName, Rtype};
use friendly_blocklist::transfer::message::Access;
use friendly_blocklist::transfer::server::{PER_ADDRESS, Server};
use friendly_blocklist::transfer::shelf::Shelf;
use friendly_blocklist::transfer::zone::{Head, write};
use signed_list::list::Scope;
use signed_list::name::Name;
use tokio::net::TcpListener;

use super::peers::{Network, dig, eventually};

const ZONE: &str = "malware.rpz.example";

/// A server of one large zone that everybody on loopback may have, and what it says.
async fn serve(address: SocketAddr) -> Arc<Mutex<Vec<String>>> {
    let names: Vec<Name> =
        (0..150_000).map(|n| Name::parse(&format!("a-rather-long-name-{n}.test")).unwrap()).collect();
    let head = Head { list: "malware", scheme: "a test", serial: 1, created: "today" };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bounds-{}.rpz", address.ip()));
    std::fs::write(&path, write(names.iter().map(|name| (name, Scope::Subtree)), &head)).unwrap();
    let shelf = Shelf::of([(Name::parse(ZONE).unwrap(), BTreeMap::from([(1, path)]))]);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = lines.clone();
    let access = Access { networks: vec!["127.0.0.0/8".parse().unwrap()], ..Access::default() };
    let server = Arc::new(Server::new(shelf, access, move |line| heard.lock().unwrap().push(line.to_owned())));
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { server.streams(&listener).await });
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_let_go_and_others_are_served() {
    let network = Network::new();
    let lines = serve(network.address(1)).await;
    let mut question = MessageBuilder::new_vec().question();
    question.push((ZONE.parse::<DnsName<Vec<u8>>>().unwrap(), Rtype::AXFR)).unwrap();
    let request = question.finish();
    let mut idle = TcpStream::connect(network.address(1)).unwrap();
    idle.write_all(&[&(request.len() as u16).to_be_bytes()[..], &request].concat()).unwrap();

    let told = dig(network.address(1), &[ZONE, "AXFR"]);
    assert_eq!(told.lines().filter(|line| line.ends_with("CNAME\t.") || line.ends_with("CNAME .")).count(), 300_000);
    assert!(eventually(|| lines.lock().unwrap().iter().any(|line| line.contains("broken off: timed out"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_connections() {
    let network = Network::new();
    let _lines = serve(network.address(1)).await;
    let connect = || TcpStream::connect(network.address(1)).unwrap();
    let is_closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    };
    let closed = |all: &mut [TcpStream]| all.iter_mut().map(is_closed).filter(|closed| *closed).count();
    // Which one of them is one too many is not said: they are taken side by side.
    let mut all: Vec<TcpStream> = (0..=PER_ADDRESS).map(|_| connect()).collect();
    assert!(eventually(|| closed(&mut all) == 1));
    all.retain_mut(|stream| !is_closed(stream));
    assert_eq!(all.len(), PER_ADDRESS);
    all.pop();
    // A place is free again.
    assert!(eventually(|| !is_closed(&mut connect())));
}
