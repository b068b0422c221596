//! Encrypted transports, and what clients and this resolver say to each other
//! about a hop: DNS over TLS and HTTPS, cookies, padding, discovery.

mod agreement;
mod hop;
mod keys;
mod limits;
mod programs;
mod upstream;
mod web;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::client::{self, Ask, Reply, framed};
use super::world::{ANSWER, World};

const DOT_PORT: u16 = 5853;
const DOH_PORT: u16 = 5443;
/// The name in the certificates of the tests.
pub(crate) const NAME: &str = "resolver.friendly-wifi.example";

/// A file of `tests/keys`.
pub(crate) fn key(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)
}

impl World {
    fn dot(&self) -> SocketAddr {
        (self.address(1), DOT_PORT).into()
    }

    fn doh(&self) -> SocketAddr {
        (self.address(1), DOH_PORT).into()
    }

    /// Settings with both encrypted transports; certificate and key are copied
    /// into the directory of the test, where it may change them.
    fn encrypted(&self, more: &str) -> String {
        let copy = |name: &str| {
            let content = std::fs::read(key(name)).expect("a key of the tests");
            self.write(name, content).display().to_string()
        };
        format!(
            "[tls]\ncertificate = {:?}\nkey = {:?}\ndot = [\"{}\"]\ndoh = [\"{}\"]\n[discovery]\nname = \"{NAME}\"\n{more}",
            copy("server.pem"),
            copy("server.key"),
            self.dot(),
            self.doh(),
        )
    }
}

/// What a TLS server shows: one of the certificates of the tests.
pub(crate) fn serving(name: &str) -> ServerConfig {
    serving_with(&format!("{name}.pem"), &format!("{name}.key"))
}

/// The same from two files.
pub(crate) fn serving_with(certificate: &str, secret: &str) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(key(certificate)).expect("a certificate of the tests");
    let secret = PrivateKeyDer::from_pem_file(key(secret)).expect("a key of the tests");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_no_client_auth();
    builder.with_single_cert(vec![certificate], secret).expect("they belong together")
}

/// What a TLS client believes and remembers; one for each that remembers apart.
fn believing(protocol: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(key("root.pem")).expect("the root of the tests")).expect("it is one");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    Arc::new(config)
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A TLS connection as this client; the server has to be the right one.
fn tls(client: Ipv4Addr, server: SocketAddr, believing: &Arc<ClientConfig>) -> io::Result<Tls> {
    let mut socket = client::connect(client, server)?;
    socket.set_read_timeout(Some(ANSWER))?;
    let name = ServerName::try_from(NAME).expect("a name");
    let mut connection = ClientConnection::new(believing.clone(), name).expect("a client");
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// Sends all questions over one TLS connection, and reads as many answers.
fn dot(client: Ipv4Addr, server: SocketAddr, questions: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut stream = tls(client, server, &believing("dot")).expect("a TLS connection");
    let all: Vec<u8> = questions.iter().flat_map(|question| framed(question)).collect();
    stream.write_all(&all).expect("the server reads");
    let mut answers = Vec::new();
    for _ in questions {
        answers.push(read_answer(&mut stream).expect("an answer"));
    }
    answers
}

fn read_answer(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn ask_dot(client: Ipv4Addr, server: SocketAddr, ask: &Ask) -> Reply {
    Reply::read(&dot(client, server, &[ask.packet()])[0])
}

/// An HTTP answer.
struct Page {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

/// One request over HTTP/1.1 in TLS.
fn https(client: Ipv4Addr, server: SocketAddr, head: &str, body: &[u8]) -> Page {
    let mut stream = tls(client, server, &believing("http/1.1")).expect("a TLS connection");
    write!(stream, "{head}Host: {NAME}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).expect("sent");
    stream.write_all(body).expect("sent");
    read_page(&mut stream)
}

fn read_page(stream: &mut impl Read) -> Page {
    let mut octets = Vec::new();
    let mut octet = [0];
    while !octets.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).expect("a head");
        octets.extend_from_slice(&octet);
    }
    let head = String::from_utf8(octets).expect("ASCII");
    let mut page = Page { status: 0, body: Vec::new(), head };
    page.status = page.head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let length = page.header("content-length").and_then(|length| length.parse().ok()).expect("a length");
    page.body = vec![0; length];
    stream.read_exact(&mut page.body).expect("the whole content");
    page
}

fn get(ask: &Ask) -> String {
    format!(
        "GET /dns-query?dns={} HTTP/1.1\r\nAccept: application/dns-message\r\n",
        URL_SAFE_NO_PAD.encode(ask.packet())
    )
}

const POST: &str = "POST /dns-query HTTP/1.1\r\nContent-Type: application/dns-message\r\n";

fn ask_get(client: Ipv4Addr, server: SocketAddr, ask: &Ask) -> Reply {
    let page = https(client, server, &get(ask), b"");
    assert_eq!((page.status, page.header("content-type")), (200, Some("application/dns-message")), "{}", page.head);
    Reply::read(&page.body)
}

fn ask_post(client: Ipv4Addr, server: SocketAddr, ask: &Ask) -> Reply {
    let page = https(client, server, POST, &ask.packet());
    assert_eq!(page.status, 200, "{}", page.head);
    Reply::read(&page.body)
}

/// Whether the server closes this connection within so long.
fn is_closed(stream: &mut TcpStream, most: Duration) -> bool {
    let end = Instant::now() + most;
    let mut octets = [0; 512];
    loop {
        let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
            return false;
        };
        stream.set_read_timeout(Some(left)).expect("sockets take time-outs");
        match stream.read(&mut octets) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }
}
