//! Fetches one list, if it is another one than last time: bounded in octets, in time, and in where it may come from.
//!
//! A server of a stranger must be able neither to hold the publisher up, nor to fill its memory, nor to lead it to an
//! address of its own network: host names are looked up here and private addresses are left out, of the first address
//! and of every redirect alike, unless the feed is said to be private. Proxies are not used, because behind one nobody
//! could tell.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::{Host, Url};

use super::settings::Place;

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// The longest validator that is kept and sent back.
const LONGEST: usize = 512;

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For each piece of an answer.
    pub piece: Duration,
    /// For everything.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        let seconds = Duration::from_secs;
        Patience { connect: seconds(10), piece: seconds(20), whole: seconds(300) }
    }
}

/// What a server said about a list, by which it tells later whether there is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validators {
    /// Its tag.
    pub etag: Option<String>,
    /// Its date, as the server wrote it; of a file its time and size.
    pub last_modified: Option<String>,
}

/// What a look brought.
#[derive(Debug)]
pub enum Got {
    /// Nothing new.
    Unchanged,
    /// A list.
    List(Vec<u8>, Validators),
}

/// Why a list was not fetched.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum FetchError {
    #[error("{0}")]
    Unreachable(String),
    #[error("the server answers with status {0} instead of a list; check the address")]
    Status(StatusCode),
    #[error("it is larger than the {} MiB that max_mib allows; it was not read on", .0 >> 20)]
    TooLarge(u64),
    #[error("it did not arrive within {0} seconds")]
    TooSlow(u64),
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{}: is no regular file", .0.display())]
    NoFile(PathBuf),
    #[error("this system's certificates cannot be used: {0}")]
    Certificates(String),
    #[error(transparent)]
    Address(#[from] Astray),
}

/// Why an address is not gone to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum Astray {
    #[error(
        "{0} is in a private network; if the feed's own server is meant to be there, say private = true in feeds.toml"
    )]
    Private(String),
    #[error("the server sends on to {0}; that is followed from https to https only")]
    Unsafe(String),
    #[error("the server sends on more than {REDIRECTS} times; name the last address in feeds.toml")]
    TooMany,
}

/// Fetches a list. `known` is what was said about the one that is there already.
pub async fn fetch(
    place: &Place,
    known: Option<&Validators>,
    max_octets: u64,
    patience: Patience,
) -> Result<Got, FetchError> {
    match place {
        Place::File(path) => read_file(path, known, max_octets),
        Place::Web { url, private } => {
            let late = |_| FetchError::TooSlow(patience.whole.as_secs());
            let get = get(url, *private, known, max_octets, patience);
            tokio::time::timeout(patience.whole, get).await.map_err(late)?
        }
    }
}

async fn get(
    url: &Url,
    private: bool,
    known: Option<&Validators>,
    max_octets: u64,
    patience: Patience,
) -> Result<Got, FetchError> {
    look(url, private)?;
    let follow = Policy::custom(move |attempt| match follow(attempt.previous(), attempt.url(), private) {
        Ok(()) => attempt.follow(),
        Err(astray) => attempt.error(astray),
    });
    let client = Client::builder()
        .user_agent(concat!("friendly-blocklist/", env!("CARGO_PKG_VERSION")))
        .redirect(follow)
        .referer(false)
        .no_proxy()
        .dns_resolver(std::sync::Arc::new(Lookup { private }))
        .connect_timeout(patience.connect)
        .read_timeout(patience.piece)
        .build()
        .map_err(|error| FetchError::Certificates(all_of(&error)))?;
    let mut request = client.get(url.clone());
    if let Some(known) = known {
        let validators = [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)];
        for (header, value) in validators {
            if let Some(value) = value {
                request = request.header(header, value);
            }
        }
    }
    let response = request.send().await.map_err(|error| unreachable(&error))?;
    match response.status() {
        StatusCode::NOT_MODIFIED if known.is_some() => Ok(Got::Unchanged),
        StatusCode::OK => {
            let validators = validators(response.headers());
            Ok(Got::List(body(response, max_octets).await?, validators))
        }
        status => Err(FetchError::Status(status)),
    }
}

async fn body(mut response: Response, max_octets: u64) -> Result<Vec<u8>, FetchError> {
    if response.content_length().is_some_and(|length| length > max_octets) {
        return Err(FetchError::TooLarge(max_octets));
    }
    let mut octets = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if (octets.len() + piece.len()) as u64 > max_octets {
            return Err(FetchError::TooLarge(max_octets));
        }
        octets.extend_from_slice(&piece);
    }
    Ok(octets)
}

fn validators(headers: &HeaderMap) -> Validators {
    let header = |name: HeaderName| {
        let text = headers.get(name)?.to_str().ok()?;
        (text.len() <= LONGEST).then(|| text.to_owned())
    };
    Validators { etag: header(ETAG), last_modified: header(LAST_MODIFIED) }
}

/// A file: another one if its time or its size is another.
fn read_file(path: &Path, known: Option<&Validators>, max_octets: u64) -> Result<Got, FetchError> {
    let failed = |error| FetchError::File { path: path.to_owned(), error };
    // Looked at before it is opened: to open a pipe that nobody writes to would take for ever.
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err(FetchError::NoFile(path.to_owned()));
    }
    let stamp = format!("{}.{:09} {}", about.mtime(), about.mtime_nsec(), about.len());
    if known.is_some_and(|known| known.last_modified.as_ref() == Some(&stamp)) {
        return Ok(Got::Unchanged);
    }
    let file = File::open(path).map_err(failed)?;
    let mut octets = Vec::new();
    file.take(max_octets + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > max_octets {
        return Err(FetchError::TooLarge(max_octets));
    }
    Ok(Got::List(octets, Validators { etag: None, last_modified: Some(stamp) }))
}

/// Whether a redirect is followed. `previous` begins with the address of the feed.
fn follow(previous: &[Url], to: &Url, private: bool) -> Result<(), Astray> {
    if previous.len() > REDIRECTS {
        return Err(Astray::TooMany);
    }
    // An address inside is one's own, and there http is common.
    if !["http", "https"].contains(&to.scheme())
        || !private && (to.scheme() != "https" || previous.iter().any(|url| url.scheme() != "https"))
    {
        return Err(Astray::Unsafe(shown(to)));
    }
    look(to, private)
}

/// An address that is written as numbers is looked at here; names are when they are looked up.
fn look(url: &Url, private: bool) -> Result<(), Astray> {
    let inside = match url.host() {
        Some(Host::Ipv4(address)) => is_private(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_private(IpAddr::V6(address)),
        _ => false,
    };
    if inside && !private { Err(Astray::Private(shown(url))) } else { Ok(()) }
}

fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Looks host names up, and leaves private addresses out.
struct Lookup {
    private: bool,
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut inside = false;
            let mut addresses: Vec<SocketAddr> = found.collect();
            addresses.retain(|address| {
                let keep = private || !is_private(address.ip());
                inside |= !keep;
                keep
            });
            if addresses.is_empty() && inside {
                return Err(Astray::Private(name.as_str().to_owned()).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one that the internet does not route: of this machine, of its network, or of nobody.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_4(address),
        IpAddr::V6(address) => is_private_6(address),
    }
}

fn is_private_4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_private_6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    // Of an address that has one of version 4 inside, that one counts.
    let inner = |high: u16, low: u16| is_private_4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match parts {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => inner(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
        [0x2002, high, low, ..] => inner(high, low),
        [0x64, 0xff9b, 1, ..] | [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..] => true,
        // Only 2000::/3 is given out.
        [first, ..] => first & 0xe000 != 0x2000 && first != 0x64,
    }
}

fn unreachable(error: &reqwest::Error) -> FetchError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(astray) = error.downcast_ref::<Astray>() {
            return FetchError::Address(astray.clone());
        }
        cause = error.source();
    }
    let at = error.url().map(|url| format!("{}: ", shown(url))).unwrap_or_default();
    FetchError::Unreachable(format!("{at}{}", all_of(error)))
}

/// An error with its causes: "error sending request" alone helps nobody. Without the address, which may hold a secret.
fn all_of(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { "the server cannot be asked".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn addresses_inside_are_told_from_those_outside() {
        for (address, private) in [
            ("127.0.0.1", true),
            ("0.0.0.0", true),
            ("10.1.2.3", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("169.254.169.254", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("192.0.0.8", true),
            ("198.18.0.1", true),
            ("224.0.0.1", true),
            ("255.255.255.255", true),
            ("8.8.8.8", false),
            ("1.1.1.1", false),
            ("::", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::7f00:1", true),
            ("64:ff9b::808:808", false),
            ("2002:7f00:1::", true),
            ("fc00::1", true),
            ("fe80::1", true),
            ("ff02::1", true),
            ("2001:db8::1", true),
            ("2001:4860:4860::8888", false),
            ("2a00:1450::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }

    #[test]
    fn redirects_are_followed_from_https_to_https_outside_and_three_times() {
        let from = |texts: &[&str]| texts.iter().map(|text| url(text)).collect::<Vec<_>>();
        let one = from(&["https://a.example/x"]);
        assert_eq!(follow(&one, &url("https://b.example/y"), false), Ok(()));
        for (to, astray) in [
            ("http://b.example/", Astray::Unsafe("http://b.example".into())),
            ("https://127.0.0.1/", Astray::Private("https://127.0.0.1".into())),
            ("https://2130706433/", Astray::Private("https://127.0.0.1".into())),
            ("https://[::1]/", Astray::Private("https://[::1]".into())),
            ("https://169.254.169.254/latest", Astray::Private("https://169.254.169.254".into())),
        ] {
            assert_eq!(follow(&one, &url(to), false), Err(astray), "{to}");
        }
        let down = from(&["http://a.example/x"]);
        assert!(matches!(follow(&down, &url("https://a.example/x"), false), Err(Astray::Unsafe(_))));
        let far = from(&["https://a.example/"; 4]);
        assert_eq!(follow(&far, &url("https://a.example/"), false), Err(Astray::TooMany));
        let inside = from(&["http://127.0.0.1/x"]);
        assert_eq!(follow(&inside, &url("http://10.0.0.1/"), true), Ok(()));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_gone_to() {
        let place = Place::Web { url: url("https://localhost:1/list"), private: false };
        let error = fetch(&place, None, 1000, Patience::default()).await.unwrap_err();
        assert!(matches!(error, FetchError::Address(Astray::Private(_))), "{error}");
    }
}
