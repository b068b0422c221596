//! Loopback HTTP for the operator: health, readiness, metrics.
//!
//! It knows counters and lists, never a question or a client. Addresses other
//! than loopback are refused by the configuration.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::metrics;
use crate::releases::OLD;
use crate::state::Service;

/// Connections at a time; a scraper needs one.
const CONNECTIONS: usize = 32;
/// Time for the head of a request to arrive, and for an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves for ever.
pub async fn serve(listener: TcpListener, service: Arc<Service>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = service.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(request, &service));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 << 10).keep_alive(false);
            // Bodies are never read; a slow or endless request ends here.
            drop(tokio::time::timeout(2 * PATIENCE, http.serve_connection(TokioIo::new(stream), answer)).await);
            drop(place);
        });
    }
}

async fn answer(request: Request<Incoming>, service: &Service) -> Result<Response<Full<Bytes>>, Infallible> {
    let json = "application/json";
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => {
            let health = Health::of(service);
            (StatusCode::OK, json, serde_json::to_string_pretty(&health).expect("plain data") + "\n")
        }
        (&Method::GET | &Method::HEAD, "/readyz") if service.is_ready() => {
            (StatusCode::OK, "text/plain", "ready\n".into())
        }
        (&Method::GET | &Method::HEAD, "/readyz") => {
            (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "stopping, or a list is not here yet\n".into())
        }
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(service)),
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, "text/plain", "not here; there are /healthz, /readyz and /metrics\n".into())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET and HEAD\n".into()),
    };
    let body = if request.method() == Method::HEAD { String::new() } else { body };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}

/// What `/healthz` says. Always with status 200 as long as questions are
/// answered: a supervisor that restarts a resolver because its list is old
/// makes things worse.
#[derive(Serialize)]
struct Health {
    /// "ok", or "degraded" when `problems` is not empty.
    status: &'static str,
    /// What an operator should look after, in sentences.
    problems: Vec<String>,
    version: &'static str,
    uptime_seconds: u64,
    /// Whether answers of upstreams are validated (DNSSEC).
    validation: &'static str,
    lists: Vec<ListState>,
    /// Lists that are followed.
    followed: Vec<FollowedState>,
}

#[derive(Serialize)]
struct FollowedState {
    list: String,
    /// Class of the list in its repository; "zone" for one that comes by zone transfer.
    class: &'static str,
    /// Address of the repository, or of the primary and its zone.
    repository: String,
    /// Serial in force; 0 before the first release.
    serial: u64,
    /// Unix time at which the repository was last seen to be current.
    verified: Option<u64>,
    /// Not for three days: it filters, and can no longer claim to be fresh.
    stale: bool,
    /// Why the last look failed.
    problem: Option<String>,
    /// This resolver's name in releases and receipts.
    resolver: Option<String>,
}

#[derive(Serialize)]
struct ListState {
    list: String,
    categories: Vec<String>,
    serial: u64,
    names: usize,
    /// Unix time at which it was made; 0 for the built-in sample.
    created: u64,
    age_seconds: Option<u64>,
    /// BLAKE3 of the file.
    hash: String,
    /// The file was spoiled, this is a copy of an earlier one.
    from_last_good: bool,
}

impl Health {
    fn of(service: &Service) -> Self {
        let snapshot = service.pipeline.snapshot.load();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let lists: Vec<_> = snapshot
            .filter
            .every_list()
            .map(|loaded| ListState {
                list: loaded.name(),
                categories: loaded.list.categories().to_vec(),
                serial: loaded.serial(),
                names: loaded.names(),
                created: loaded.created(),
                age_seconds: (loaded.created() > 0).then(|| now.saturating_sub(loaded.created())),
                hash: loaded.hash().iter().map(|octet| format!("{octet:02x}")).collect(),
                from_last_good: loaded.from_last_good,
            })
            .collect();
        let mut problems = Vec::new();
        {
            let reloads = service.reloads();
            problems.extend(reloads.problem.clone());
            problems.extend(reloads.notes.iter().cloned());
        }
        let mut followed = Vec::new();
        for follower in service.followers() {
            let status = follower.status();
            let stale = status.is_stale(now);
            let name = follower.name();
            if status.serial == 0 {
                let meanwhile = match snapshot.incomplete {
                    true => "what no other list blocks is answered with SERVFAIL",
                    false => "until it is, everything is answered as before the reload that added it",
                };
                problems.push(format!("list {name} is not here yet: {meanwhile}"));
            } else if stale {
                problems.push(format!(
                    "list {name} is stale: its repository has not been seen to be current for three days"
                ));
            } else if status.age(now).is_some_and(|age| age > OLD) {
                problems.push(format!("list {name}: its repository has not been seen to be current for a day"));
            }
            problems.extend(status.problem.iter().map(|problem| format!("list {name}: {problem}")));
            problems.extend(status.shrunk(now).map(|text| format!("list {name}: {text}")));
            followed.push(FollowedState {
                list: name.to_owned(),
                class: follower.class(),
                repository: follower.origin(),
                serial: status.serial,
                verified: status.verified_at,
                stale,
                problem: status.problem,
                resolver: follower.resolver(),
            });
        }
        let servers = service.pipeline.upstreams.servers();
        if !servers.is_empty() && servers.iter().all(|server| !server.is_healthy()) {
            problems.push("no upstream answers".into());
        }
        problems.extend(service.pipeline.validator.load().problem().map(str::to_owned));
        Health {
            status: if problems.is_empty() { "ok" } else { "degraded" },
            problems,
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: service.uptime().as_secs(),
            validation: service.pipeline.validator.load().words(),
            lists,
            followed,
        }
    }
}
