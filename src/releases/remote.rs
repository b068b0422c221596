//! Fetching from a repository: what it sends is bounded in octets and in time before anybody looks into it.
//!
//! Redirects are not followed and proxies not used: a repository that moves is configured anew, and nobody can lead
//! the resolver to an address of its own network. Where `addresses` are configured no resolver is asked for the host.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream;
use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::time::Instant;
use tough::{Transport, TransportError, TransportErrorKind, TransportStream, async_trait};
use url::Url;

use crate::config::Source;

/// Time for a connection, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for a file, and a second more for each [`SLOWEST`] octets that have come: a large file has as long as it needs,
/// and a server that drips is left after this, however much it promises.
const DEADLINE: Duration = Duration::from_secs(30);
/// Octets a second that a large file has to come with.
const SLOWEST: u64 = 32 << 10;
/// A timestamp has some 500 octets.
const TIMESTAMP: u64 = 64 << 10;
/// Largest metadata file.
pub(super) const METADATA: u64 = 16 << 20;

/// Why something was not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The server cannot be asked.
    #[error("{url} cannot be fetched: {why}")]
    Unreachable {
        /// What was asked for.
        url: Url,
        /// What happened.
        why: String,
    },
    /// It is not there.
    #[error("{url} is not there (404); the repository is not complete")]
    Missing {
        /// What was asked for.
        url: Url,
    },
    /// Another answer than a file.
    #[error("{url} is answered with status {status} instead of a file; is this the address of the repository?")]
    Status {
        /// What was asked for.
        url: Url,
        /// The answer.
        status: StatusCode,
    },
    /// There is more than there may be.
    #[error("{url} is larger than the {most} octets that were announced or allowed; it was not read on")]
    TooLarge {
        /// What was asked for.
        url: Url,
        /// The limit.
        most: u64,
    },
    /// It takes too long.
    #[error("{url} did not arrive within {seconds} seconds")]
    TooSlow {
        /// What was asked for.
        url: Url,
        /// The limit.
        seconds: u64,
    },
}

/// What a look at the timestamp found.
pub(super) enum Look {
    /// Nothing new.
    Unchanged,
    /// Another one, with the tag to ask with next time.
    Changed {
        /// The file.
        bytes: Vec<u8>,
        /// Its tag.
        etag: Option<HeaderValue>,
    },
}

/// A repository on the web.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    client: Client,
    metadata: Url,
    targets: Url,
}

impl Remote {
    /// Prepares to ask.
    ///
    /// # Errors
    /// What is wrong with this system's certificates.
    pub(super) fn new(source: &Source) -> Result<Self, String> {
        let mut client = Client::builder()
            .user_agent(concat!("friendly-resolver/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            // One connection, kept for the next look.
            .pool_max_idle_per_host(1);
        if let Some(host) = source.repository.host_str()
            && !source.addresses.is_empty()
        {
            let addresses: Vec<_> = source.addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            client = client.resolve_to_addrs(host, &addresses);
        }
        let join = |path| source.repository.join(path).map_err(|error| error.to_string());
        Ok(Remote {
            client: client.build().map_err(|error| all_of(&error))?,
            metadata: join("metadata/")?,
            targets: join("targets/")?,
        })
    }

    pub(super) fn metadata(&self) -> &Url {
        &self.metadata
    }

    pub(super) fn targets(&self) -> &Url {
        &self.targets
    }

    /// Looks whether the timestamp is another one.
    pub(super) async fn timestamp(&self, etag: Option<&HeaderValue>) -> Result<Look, FetchError> {
        let url = self.metadata.join("timestamp.json").expect("a good name");
        let begin = Instant::now();
        let mut request = self.client.get(url.clone());
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = head(&url, begin, request).await?;
        // Said of nothing that we have, it would be a way to keep a resolver content with nothing for ever.
        if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Look::Unchanged);
        }
        let etag = response.headers().get(ETAG).cloned();
        let bytes = read(&url, begin, file_of(&url, response)?, TIMESTAMP).await?;
        Ok(Look::Changed { bytes, etag })
    }

    /// A whole file of at most `most` octets.
    async fn file(&self, url: &Url, most: u64) -> Result<Vec<u8>, FetchError> {
        let begin = Instant::now();
        let response = head(url, begin, self.client.get(url.clone())).await?;
        read(url, begin, file_of(url, response)?, most).await
    }
}

async fn head(url: &Url, begin: Instant, request: RequestBuilder) -> Result<Response, FetchError> {
    let response = tokio::time::timeout_at(begin + DEADLINE, request.send()).await;
    response.map_err(|_| too_slow(url, begin))?.map_err(|error| unreachable(url, &error))
}

fn too_slow(url: &Url, begin: Instant) -> FetchError {
    FetchError::TooSlow { url: url.clone(), seconds: begin.elapsed().as_secs() }
}

fn file_of(url: &Url, response: Response) -> Result<Response, FetchError> {
    match response.status() {
        StatusCode::OK => Ok(response),
        StatusCode::NOT_FOUND => Err(FetchError::Missing { url: url.clone() }),
        status => Err(FetchError::Status { url: url.clone(), status }),
    }
}

async fn read(url: &Url, begin: Instant, mut response: Response, most: u64) -> Result<Vec<u8>, FetchError> {
    let too_large = || FetchError::TooLarge { url: url.clone(), most };
    let length = response.content_length().unwrap_or(0);
    if length > most {
        return Err(too_large());
    }
    // At once, so that a large list is not copied while it grows. What does not come takes no memory.
    let mut bytes = Vec::with_capacity(length as usize);
    loop {
        let until = begin + DEADLINE + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        let piece = tokio::time::timeout_at(until, response.chunk()).await.map_err(|_| too_slow(url, begin))?;
        let Some(piece) = piece.map_err(|error| unreachable(url, &error))? else { return Ok(bytes) };
        if (bytes.len() + piece.len()) as u64 > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
}

fn unreachable(url: &Url, error: &reqwest::Error) -> FetchError {
    FetchError::Unreachable { url: url.clone(), why: all_of(error) }
}

/// An error with its causes: "error sending request" alone helps nobody.
fn all_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What tough fetches through: the network, with the timestamp that is already here, and with the metadata files that
/// never change, which are kept so that a small release is a small fetch.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    remote: Remote,
    timestamp: Arc<Vec<u8>>,
    kept: PathBuf,
    /// Largest target that is read now: as long as it was signed to be.
    allowed: Arc<AtomicU64>,
    /// A kept file was made use of.
    from_kept: Arc<AtomicBool>,
    /// The error in our own words, which tough would wrap three times.
    failure: Arc<Mutex<Option<FetchError>>>,
    /// Octets that came over the network.
    fetched: Arc<AtomicU64>,
}

impl Fetcher {
    pub(super) fn new(remote: &Remote, timestamp: Vec<u8>, kept: &Path) -> Self {
        Fetcher {
            remote: remote.clone(),
            fetched: Arc::new(AtomicU64::new(timestamp.len() as u64)),
            timestamp: Arc::new(timestamp),
            kept: kept.into(),
            allowed: Arc::default(),
            from_kept: Arc::default(),
            failure: Arc::default(),
        }
    }

    /// What went wrong on the way, if something did.
    pub(super) fn failure(&self) -> Option<FetchError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Allows for targets of this length from now on.
    pub(super) fn allow(&self, length: u64) {
        self.allowed.store(length, Relaxed);
    }

    /// Whether one of the kept files was made use of since this was last asked.
    pub(super) fn used_kept(&self) -> bool {
        self.from_kept.swap(false, Relaxed)
    }

    /// Octets that came over the network, without heads.
    pub(super) fn fetched(&self) -> u64 {
        self.fetched.load(Relaxed)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let name = url.path().rsplit('/').next().unwrap_or_default();
        if !url.as_str().starts_with(self.remote.metadata.as_str()) {
            return self.count(self.remote.file(url, self.allowed.load(Relaxed)).await);
        }
        if name == "timestamp.json" {
            return Ok(self.timestamp.to_vec());
        }
        // Roots are looked for under the next number, so a kept one would never be asked for again.
        let keep = name.split_once('.').is_some_and(|(version, rest)| {
            version.bytes().all(|digit| digit.is_ascii_digit()) && rest != "root.json" && !rest.contains('/')
        });
        let place = self.kept.join(name);
        if keep && let Ok(bytes) = std::fs::read(&place) {
            self.from_kept.store(true, Relaxed);
            return Ok(bytes);
        }
        let bytes = self.count(self.remote.file(url, METADATA).await)?;
        if keep && std::fs::write(&place, &bytes).is_err() {
            // Not kept, it is fetched again.
            drop(std::fs::remove_file(&place));
        }
        Ok(bytes)
    }

    fn count(&self, fetched: Result<Vec<u8>, FetchError>) -> Result<Vec<u8>, FetchError> {
        if let Ok(bytes) = &fetched {
            self.fetched.fetch_add(bytes.len() as u64, Relaxed);
        }
        fetched
    }
}

#[async_trait]
impl Transport for Fetcher {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        match self.get(&url).await {
            Ok(bytes) => Ok(Box::pin(stream::iter([Ok(bytes.into())]))),
            Err(error) => {
                let missing = matches!(error, FetchError::Missing { .. });
                let kind = if missing { TransportErrorKind::FileNotFound } else { TransportErrorKind::Other };
                // That the next root is not there is how its absence is found out.
                if !missing || !url.path().ends_with(".root.json") {
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
                Err(TransportError::new(kind, url))
            }
        }
    }
}
