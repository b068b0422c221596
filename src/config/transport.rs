//! `[tls]` and `[discovery]`: encrypted transports, and how clients find them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use signed_list::name::Name;
use url::Url;

use super::address::{Listen, Server};
use super::check::start;
use super::error::Report;
use super::shape::{self, At};
use super::source::Identity;
use super::value::{Maybe, Text, Written};

/// Encrypted transports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate of this resolver and those that lead from it to a root; PEM.
    pub certificate: PathBuf,
    /// Where its private key is; PEM.
    pub key: Identity,
    /// Addresses that serve DNS over TLS (RFC 7858).
    pub dot: Vec<SocketAddr>,
    /// Addresses that serve DNS over HTTPS (RFC 8484).
    pub doh: Vec<SocketAddr>,
    /// Path of questions over HTTPS; begins with a slash.
    pub path: String,
}

/// What clients may learn about this resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The authentication domain name (RFC 8310), for which the certificate is.
    pub name: Name,
    /// A page about this resolver for people (RFC 9606 section 5).
    pub info_url: Option<String>,
}

/// A resolver to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// How it proves to be the right one; `None` = it is asked in clear.
    pub tls: Option<TlsPeer>,
}

impl Peer {
    /// One that is asked in clear.
    pub fn plain(address: SocketAddr) -> Self {
        Peer { address, tls: None }
    }
}

/// How a resolver proves over TLS to be the right one. At least one of both is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPeer {
    /// A name that its certificate is for.
    pub name: Option<String>,
    /// SHA-256 of public keys that it may have (RFC 7858 section 4.2).
    pub pins: Vec<[u8; 32]>,
    /// Authorities that certify it, as PEM; `None` = the system's.
    pub authorities: Option<PathBuf>,
}

impl Written for Peer {
    const EXPECTED: &'static str =
        r#"an address, as in "192.0.2.53" or "[2001:db8::53]:5353", or over TLS "tls://192.0.2.53#dns.example""#;
    fn read(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("tls://") else {
            if text.contains("://") || text.contains('#') {
                return Err(format!("\"{text}\" is not the address of a resolver; write {}", Self::EXPECTED));
            }
            return Server::read(text).map(|server| Peer::plain(server.0));
        };
        let mut parts = rest.split('#');
        let place = parts.next().unwrap_or("");
        // An address without a port gets 53 there, and TLS has a port of its own.
        let mut address = Server::read(place)?.0;
        if place.parse::<SocketAddr>().is_err() {
            address.set_port(853);
        }
        let mut tls = TlsPeer { name: None, pins: Vec::new(), authorities: None };
        for part in parts {
            match part.strip_prefix("sha256/") {
                Some(pin) => tls.pins.push(
                    read_pin(pin)
                        .ok_or_else(|| format!("\"{pin}\" is not a SHA-256 in base64, as `kdig +tls` shows it"))?,
                ),
                None => {
                    let name = Name::read(part)?.to_string();
                    if tls.name.replace(name).is_some() {
                        return Err(format!("\"{text}\" has two names; write one"));
                    }
                }
            }
        }
        if tls.name.is_none() && tls.pins.is_empty() {
            return Err(format!(
                "\"{text}\" does not say how the server proves to be the right one; write its name behind it, as in \"tls://{place}#dns.example\", or its key, as in \"tls://{place}#sha256/...\""
            ));
        }
        Ok(Peer { address, tls: Some(tls) })
    }
}

fn read_pin(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// The path of an HTTP address.
#[derive(Clone, Debug)]
pub(super) struct HttpPath(pub(super) String);

impl Written for HttpPath {
    const EXPECTED: &'static str = r#"a path, as in "/dns-query""#;
    fn read(text: &str) -> Result<Self, String> {
        // The unreserved characters of RFC 3986 and the slash: no client has
        // to encode them, so none encodes them in another way.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
        if !text.starts_with('/') || text.len() > 128 || !text.bytes().all(fits) {
            return Err(format!("\"{}\" is not such a path; write {}", text.escape_debug(), Self::EXPECTED));
        }
        Ok(HttpPath(text.to_owned()))
    }
}

/// The address of a page for people.
#[derive(Clone, Debug)]
pub(super) struct InfoUrl(pub(super) String);

impl Written for InfoUrl {
    const EXPECTED: &'static str = r#"the address of a page, as in "https://wifi.example/about""#;
    fn read(text: &str) -> Result<Self, String> {
        match Url::parse(text) {
            // It has to fit one string of a TXT record, behind its key.
            Ok(url) if url.scheme() == "https" && url.as_str().len() <= 240 => Ok(InfoUrl(url.into())),
            _ => {
                Err(format!("\"{}\" is not the https address of a page; write {}", text.escape_debug(), Self::EXPECTED))
            }
        }
    }
}

/// `[tls]`
pub(super) fn tls(file: &shape::File, directory: &Path, whole: bool, report: &mut Report<'_>) -> Option<Tls> {
    let table = &file.tls.0;
    let (Text(Maybe(certificate)), Text(Maybe(key))) = (table.certificate.get_ref(), table.key.get_ref());
    once(file, report);
    let listens = [("dot", &table.dot), ("doh", &table.doh)];
    let listening = listens.iter().find(|(_, list)| !list.get_ref().is_empty());
    let missing = |what: &str, why: &str| format!("'{what}' in [tls] is missing; {why}");
    match (certificate, key, listening) {
        (None, None, None) => None,
        (Some(certificate), Some(key), Some(_)) => Some(Tls {
            certificate: directory.join(&certificate.0),
            key: key.clone().below(directory),
            dot: addresses(&table.dot),
            doh: addresses(&table.doh),
            path: table.path.0.0.clone(),
        }),
        // What was refused is not absent.
        _ if !whole => None,
        (None, _, Some((word, list))) => {
            report.add(start(list), missing("certificate", &format!("'{word}' cannot be served without one")));
            None
        }
        (Some(_), None, _) => {
            report.add(start(&table.certificate), missing("key", "a certificate is of no use without its private key"));
            None
        }
        (None, Some(_), None) => {
            report.add(start(&table.key), missing("certificate", "a key is of no use without it"));
            None
        }
        (Some(_), Some(_), None) => {
            let why = "name addresses in 'dot' or 'doh', or leave 'certificate' and 'key' empty";
            report.add(start(&table.certificate), format!("[tls] has a certificate and serves nobody; {why}"));
            None
        }
    }
}

fn addresses(list: &At<Vec<At<Text<Listen>>>>) -> Vec<SocketAddr> {
    list.get_ref().iter().map(|address| address.get_ref().0.0).collect()
}

/// No address may be listened on twice over TCP.
fn once(file: &shape::File, report: &mut Report<'_>) {
    let mut seen: Vec<(SocketAddr, usize)> = Vec::new();
    let listened = [
        (&file.server.0.listen, None),
        (&file.tls.0.dot, Some("[tls]")),
        (&file.tls.0.doh, Some("[tls]")),
        (&file.stop_page.0.listen, Some("[stop_page]")),
    ];
    for (listed, table) in listened {
        for listen in listed.get_ref() {
            let address = listen.get_ref().0.0;
            let before = seen.iter().find(|(other, _)| *other == address && address.port() != 0);
            if let Some((_, before)) = before
                && let Some(table) = table
            {
                let line = report.line(*before);
                report.add(
                    start(listen),
                    format!(
                        "{address} in {table} is taken already, see line {line}; give each service a port of its own"
                    ),
                );
            }
            seen.push((address, start(listen)));
        }
    }
    let Text(admin) = file.admin.0.listen.get_ref();
    if let Some((address, at)) = seen
        .iter()
        .skip(file.server.0.listen.get_ref().len())
        .find(|(other, _)| admin.0.is_some_and(|admin| admin == *other && admin.port() != 0))
    {
        report.add(
            (*at).max(start(&file.admin.0.listen)),
            format!("{address} is taken twice, once by [admin]; give [admin] another port"),
        );
    }
}

/// `[discovery]`
pub(super) fn discovery(table: shape::Discovery, report: &mut Report<'_>) -> Option<Discovery> {
    let at = start(&table.info_url);
    let (Text(Maybe(name)), Text(Maybe(info_url))) = (table.name.into_inner(), table.info_url.into_inner());
    if name.is_none() && info_url.is_some() {
        report.add(at, "'info_url' in [discovery] stands without a 'name'; name this resolver".to_owned());
    }
    Some(Discovery { name: name?, info_url: info_url.map(|url| url.0) })
}
