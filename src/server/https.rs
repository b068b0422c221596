//! Questions as HTTPS exchanges (DoH, RFC 8484), over HTTP/2 and HTTP/1.1.
//!
//! A question is a GET with the message in `?dns=`, or a POST with the message
//! as its content. Nothing else is served here, and nothing is kept of a
//! request: no header of it is read but the type of its content.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::accept::Rules;
use super::caller::{Caller, Reply};
use super::records::Records;
use super::tls::Stream;
use crate::wire;

/// The media type of messages (RFC 8484 section 6).
const MESSAGE: &str = "application/dns-message";
/// Octets of the largest question. Whoever sends more sends no question.
const QUESTION: usize = 4096;
/// Octets of all headers of a request.
const HEADERS: u32 = 8 << 10;

/// base64url without padding (RFC 8484 section 4.1); with it, too, because
/// clients do that.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Serves one connection to its end.
pub async fn run(stream: Stream, caller: Caller, rules: Rules, path: Arc<str>) {
    let talk = Arc::new(Talk {
        caller,
        path,
        permits: Arc::new(Semaphore::new(rules.depth)),
        began: Instant::now(),
        last: AtomicU64::new(0),
        left: AtomicUsize::new(rules.questions),
    });
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let serving = talk.clone();
    let service = service_fn(move |request| {
        let talk = serving.clone();
        async move { Ok::<_, Infallible>(talk.answer(request).await) }
    });
    if http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(rules.depth.min(256) as u32)
            .max_header_list_size(HEADERS)
            // One connection never holds more of its client's octets than this.
            .initial_stream_window_size(16 << 10)
            .initial_connection_window_size(64 << 10)
            .max_send_buf_size(128 << 10);
        let connection = builder.serve_connection(TokioIo::new(Records::new(stream)), service);
        until_silent(&talk, rules.idle, connection, |connection| connection.graceful_shutdown()).await;
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(rules.idle).max_buf_size(HEADERS as usize * 2);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        until_silent(&talk, rules.idle, connection, |connection| connection.graceful_shutdown()).await;
    }
}

/// Drives a connection until it ends, or is told to because its client is
/// silent; what it has begun by then has as long again.
async fn until_silent<C: Future>(talk: &Talk, idle: Duration, connection: C, end: impl FnOnce(Pin<&mut C>)) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = talk.silence(idle) => {}
    }
    end(connection.as_mut());
    drop(tokio::time::timeout(idle, connection).await);
}

/// One connection.
struct Talk {
    caller: Caller,
    path: Arc<str>,
    /// Questions that may wait for an upstream.
    permits: Arc<Semaphore>,
    began: Instant,
    /// Milliseconds from the beginning to the last request or answer.
    last: AtomicU64,
    /// Questions that may still come.
    left: AtomicUsize,
}

/// Why a request is no question: status, and a sentence.
struct Refused(StatusCode, &'static str);

/// A fault of ours.
const LOST: Refused = Refused(StatusCode::INTERNAL_SERVER_ERROR, "The answer was lost.\n");

impl Talk {
    /// Waits until the client has asked nothing for so long. A request that
    /// does not come to its end counts as silence; one that waits for its
    /// answer gets it all the same.
    async fn silence(&self, idle: Duration) {
        loop {
            let last = self.began + Duration::from_millis(self.last.load(Relaxed));
            if Instant::now() >= last + idle {
                return;
            }
            sleep_until(last + idle).await;
        }
    }

    fn touch(&self) {
        self.last.store(self.began.elapsed().as_millis() as u64, Relaxed);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.touch();
        let response = match self.question(request).await {
            Ok(question) => self.ask(question).await,
            Err(refused) => Err(refused),
        };
        self.touch();
        response.unwrap_or_else(|Refused(status, why)| {
            let mut response = Response::new(Full::new(Bytes::from_static(why.as_bytes())));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            if status == StatusCode::METHOD_NOT_ALLOWED {
                headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
            }
            response
        })
    }

    /// The message of a request.
    async fn question(&self, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
        if request.uri().path() != &*self.path {
            return Err(Refused(StatusCode::NOT_FOUND, "There is nothing here.\n"));
        }
        match *request.method() {
            Method::GET => {
                let pairs = request.uri().query().unwrap_or("").split('&');
                let Some(text) = pairs.filter_map(|pair| pair.strip_prefix("dns=")).next() else {
                    return Err(Refused(StatusCode::BAD_REQUEST, "The query has no dns=.\n"));
                };
                if text.len() > QUESTION * 4 / 3 + 4 {
                    return Err(Refused(StatusCode::URI_TOO_LONG, "No question is that long.\n"));
                }
                BASE64.decode(text).map_err(|_| Refused(StatusCode::BAD_REQUEST, "dns= is not base64url.\n"))
            }
            Method::POST => {
                let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
                if kind != Some(MESSAGE.as_bytes()) {
                    let why = "The content is not application/dns-message.\n";
                    return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
                }
                let body = request.into_body();
                let long = Refused(StatusCode::PAYLOAD_TOO_LARGE, "No question is that long.\n");
                if body.size_hint().lower() > QUESTION as u64 {
                    return Err(long);
                }
                match Limited::new(body, QUESTION).collect().await {
                    Ok(content) => Ok(content.to_bytes().into()),
                    Err(error) if error.is::<LengthLimitError>() => Err(long),
                    Err(_) => Err(Refused(StatusCode::BAD_REQUEST, "The content did not come whole.\n")),
                }
            }
            _ => Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "Questions are GET or POST.\n")),
        }
    }

    async fn ask(&self, question: Vec<u8>) -> Result<Response<Full<Bytes>>, Refused> {
        if self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
            return Err(Refused(StatusCode::FORBIDDEN, "This network is not served here.\n"));
        }
        let answer = match self.caller.ask(&question, Bytes::copy_from_slice) {
            Reply::Now(answer) => answer,
            Reply::Nothing => return Err(Refused(StatusCode::BAD_REQUEST, "This is no question.\n")),
            Reply::Lost => return Err(LOST),
            Reply::Later(later) => {
                let Ok(permit) = self.permits.clone().acquire_owned().await else {
                    return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "The connection is ending.\n"));
                };
                let caller = self.caller.clone();
                // A task of its own: a client that takes its request back must
                // not take the answer away from others who wait for it, and
                // its place is taken until the upstream has answered.
                let waiting = tokio::spawn(async move {
                    let answer = caller.wait(later, question).await;
                    drop(permit);
                    answer
                });
                match waiting.await {
                    Ok(answer) => answer.into(),
                    Err(_) => return Err(LOST),
                }
            }
        };
        let age = HeaderValue::from_str(&format!("max-age={}", freshness(&answer)));
        let mut response = Response::new(Full::new(answer));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
        headers.extend(age.map(|age| (CACHE_CONTROL, age)));
        Ok(response)
    }
}

/// Seconds for which HTTP may keep an answer (RFC 8484 section 5.1): the
/// shortest time in its answer section, or that of a negative answer.
fn freshness(answer: &[u8]) -> u32 {
    let Some(end) = question_end(answer) else { return 0 };
    let mut least = None;
    for record in wire::records(answer, end) {
        let Ok(record) = record else { return 0 };
        let ttl = match (record.section, record.rtype) {
            (wire::Section::Answer, _) => record.ttl,
            (wire::Section::Authority, wire::rtype::SOA) => {
                let minimum = record.end.checked_sub(4).and_then(|at| wire::u32_at(answer, at));
                record.ttl.min(minimum.unwrap_or(0))
            }
            _ => continue,
        };
        least = Some(least.unwrap_or(u32::MAX).min(ttl));
    }
    least.unwrap_or(0)
}

/// Where the only question of a message ends.
fn question_end(message: &[u8]) -> Option<usize> {
    if wire::u16_at(message, 4)? != 1 {
        return None;
    }
    let mut name = wire::WireName::ROOT;
    name.read_plain(message, wire::HEADER).ok().map(|end| end + 4)
}
