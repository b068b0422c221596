//! A small web server for a repository: for trials, and behind a cache. Any other web server or object store does as
//! well; all it has to do is to hand out files.
//!
//! It hands out files below `metadata/` and `targets/` and nothing else: no list of a directory, nothing hidden,
//! nothing through a link that leads out.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tough::Bytes;

/// Connections at once; more wait.
const CONNECTIONS: usize = 1024;
/// A client that says nothing for so long is let go.
const SILENCE: Duration = Duration::from_secs(30);
/// Octets of files that are kept in memory: one list is sent to many resolvers at once, and read only once.
const MEMORY: usize = 256 << 20;

/// A directory that is served.
pub struct Site {
    root: PathBuf,
    files: Mutex<HashMap<PathBuf, (String, Bytes)>>,
}

impl Site {
    /// Serves a directory.
    pub fn new(root: &Path) -> io::Result<Arc<Site>> {
        Ok(Arc::new(Site { root: root.canonicalize()?, files: Mutex::default() }))
    }

    /// Answers until the future that it returns is dropped.
    pub async fn serve(self: Arc<Site>, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                // Out of descriptors, most likely: others have to end before it is worth asking again.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let site = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = site.answer(&request);
                    async { Ok::<_, Infallible>(response) }
                });
                let mut connection = http1::Builder::new();
                connection.timer(TokioTimer::new()).header_read_timeout(SILENCE).max_buf_size(16 << 10);
                // Nothing to be done about a client that goes away.
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                drop(permit);
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let Some((tag, content)) = self.read(request.uri().path()) else {
            return plain(StatusCode::NOT_FOUND, "no such file\n");
        };
        let known = request.headers().get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let known = known.flat_map(|value| value.split(',')).any(|value| value.trim().trim_start_matches("W/") == tag);
        let mut response = match known {
            true => Response::new(Full::default()),
            false => Response::new(Full::new(content)),
        };
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        // Only the timestamp ever changes under its name.
        let keep = match request.uri().path().ends_with("/timestamp.json") {
            true => "no-cache",
            false => "public, max-age=31536000, immutable",
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind(request.uri().path())));
        headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (ETAG, tag)));
        response
    }

    /// Tag and content of the file that a path asks for.
    fn read(&self, path: &str) -> Option<(String, Bytes)> {
        let path = self.find(path)?;
        let about = std::fs::metadata(&path).ok().filter(|about| about.is_file())?;
        let time = (about.mtime() as u128) << 32 | about.mtime_nsec() as u128;
        let tag = format!("\"{:x}-{:x}-{time:x}\"", about.ino(), about.len());
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, content)) = files.get(&path)
            && *known == tag
        {
            return Some((tag, content.clone()));
        }
        let content = Bytes::from(std::fs::read(&path).ok()?);
        let kept: usize = files.values().map(|(_, content)| content.len()).sum();
        if kept + content.len() > MEMORY {
            files.clear();
        }
        files.insert(path, (tag.clone(), content.clone()));
        Some((tag, content))
    }

    /// The file that a path asks for, if it is one that may be handed out.
    fn find(&self, path: &str) -> Option<PathBuf> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let first = parts.next().filter(|part| ["metadata", "targets"].contains(part))?;
        let mut found = self.root.join(first);
        for part in parts {
            let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
            if part.is_empty() || part.starts_with('.') || part.ends_with(".tmp") || !part.bytes().all(plain) {
                return None;
            }
            found.push(part);
        }
        let found = found.canonicalize().ok()?;
        found.starts_with(&self.root).then_some(found)
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn kind(path: &str) -> &'static str {
    if path.ends_with(".json") { "application/json" } else { "application/octet-stream" }
}
