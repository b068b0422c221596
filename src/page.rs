//! The page that people see in place of what is blocked, over HTTP.
//!
//! HTTPS is never intercepted: no certificate is forged, and whoever tries port
//! 443 of a stop address is refused by the system at once. The page sets no
//! cookie, has no script, loads nothing from elsewhere, and nothing is kept of
//! who saw it or where they wanted to go.

mod html;
mod review;

pub use review::Desk;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use signed_list::digest::Suffixes;
use signed_list::name::Name;
use tokio::net::TcpListener;

use crate::config::Category;
use crate::filter::Verdict;
use crate::pipeline::{Pipeline, Snapshot};
use crate::scheme::{Language, Scheme};
use crate::server::accept::Connections;
use crate::wire::ede;

/// Connections at once, and of one address. A browser opens some for each site.
const CONNECTIONS: usize = 512;
const CONNECTIONS_PER_CLIENT: usize = 32;
/// Time for the head of a request to arrive, and for all of it with its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets of a form.
const FORM: usize = 4 << 10;
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves for ever.
pub async fn serve(listener: TcpListener, pipeline: Arc<Pipeline>, visitors: Arc<Connections>, desk: Arc<Desk>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let client = peer.ip().to_canonical();
        let Some(place) = visitors.enter(client, CONNECTIONS, CONNECTIONS_PER_CLIENT) else { continue };
        let (pipeline, desk) = (pipeline.clone(), desk.clone());
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let (pipeline, desk) = (&pipeline, &desk);
                async move { Ok::<_, Infallible>(answer(request, client, pipeline, desk).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(16 << 10).keep_alive(false);
            drop(tokio::time::timeout(2 * PATIENCE, http.serve_connection(TokioIo::new(stream), answer)).await);
            drop(place);
        });
    }
}

/// What a page says.
struct View<'a> {
    scheme: &'a Scheme,
    language: &'a Language,
    /// Why the site is blocked.
    why: String,
    /// The number of this page, for whoever asks about it.
    code: String,
    /// The site, where it is known.
    site: String,
    /// Whether reviews can be asked for here.
    form: bool,
    notice: Option<Notice>,
}

/// What came of a request for review.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notice {
    Taken,
    NoSite,
    Full,
}

async fn answer(
    request: Request<Incoming>,
    client: IpAddr,
    pipeline: &Pipeline,
    desk: &Arc<Desk>,
) -> Response<Full<Bytes>> {
    let snapshot = pipeline.snapshot.load_full();
    let scheme = &*snapshot.scheme;
    let headers = request.headers();
    // Whoever is not one of our clients learns nothing about any name.
    let served = snapshot.policies.of(client).served;
    let site = host(headers);
    let category = site.as_ref().filter(|_| served).and_then(|site| blocked_by(&snapshot, client, site));
    // Public orders are named as such (RFC 7725), everything else is not.
    let status = match category {
        Some(category) if category.ede == ede::CENSORED => StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
        _ => StatusCode::FORBIDDEN,
    };
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let wanted = request.uri().query().and_then(|query| value_of(query, "lang"));
    let language = wanted.and_then(|code| scheme.of_code(&code)).unwrap_or_else(|| scheme.language(accepted));
    let reviews = snapshot.config.stop_page.as_ref().and_then(|page| page.reviews.clone()).filter(|_| served);
    let mut view = View {
        scheme,
        language,
        why: language.why(category),
        code: review::code(),
        site: site.as_ref().map(ToString::to_string).unwrap_or_default(),
        form: reviews.is_some(),
        notice: None,
    };
    match *request.method() {
        Method::GET | Method::HEAD if is_part_of_a_page(headers) => {
            // A picture or a style in somebody else's page: nobody would see it.
            return finish(status, scheme, language, String::new());
        }
        Method::GET | Method::HEAD => return finish(status, scheme, language, html::page(&view)),
        Method::POST => {}
        _ => {
            let mut response = finish(StatusCode::METHOD_NOT_ALLOWED, scheme, language, String::new());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            return response;
        }
    }
    let body = tokio::time::timeout(PATIENCE, Limited::new(request.into_body(), FORM).collect()).await;
    let Ok(Ok(body)) = body else {
        return finish(StatusCode::BAD_REQUEST, scheme, language, String::new());
    };
    let form = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    // The site's own forms lead here, too: what is not ours gets the page.
    let (Some(reviews), Some(code)) = (reviews, value_of(&form, "code").filter(|code| review::is_code(code))) else {
        return finish(status, scheme, language, html::page(&view));
    };
    view.code = code;
    let asked = value_of(&form, "site").unwrap_or_default();
    let (status, notice) = match review::site(&asked) {
        None => (StatusCode::UNPROCESSABLE_ENTITY, Notice::NoSite),
        Some(site) => match desk.take(&reviews, &scheme.id, &view.code, &site).await {
            true => (StatusCode::OK, Notice::Taken),
            false => (StatusCode::SERVICE_UNAVAILABLE, Notice::Full),
        },
    };
    view.site = asked.chars().take(255).collect();
    view.notice = Some(notice);
    finish(status, scheme, language, html::page(&view))
}

/// The site that somebody wanted to open.
fn host(headers: &HeaderMap) -> Option<Name> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let host =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |it| it.0);
    Name::parse(host).ok().filter(|name| host.parse::<IpAddr>().is_err() && name.labels() > 1)
}

/// The category that this visitor is kept from the site by.
fn blocked_by<'a>(snapshot: &'a Snapshot, client: IpAddr, site: &Name) -> Option<&'a Category> {
    let client = snapshot.policies.of(client);
    match snapshot.filter.judge(client, site.as_wire(), &mut Suffixes::new()) {
        Verdict::Listed(category, _) => snapshot.config.categories.get(category),
        _ => None,
    }
}

/// Whether the browser wants something else than a page, as for a picture in
/// one (RFC 9110 section 12.5.1).
fn is_part_of_a_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| accepted != "*/*" && !accepted.contains("text/html"))
}

/// A value of a query or of a form.
fn value_of(form: &str, key: &str) -> Option<String> {
    url::form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
}

fn finish(status: StatusCode, scheme: &Scheme, language: &Language, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        // What does not fit a header is left out; a test holds the shipped profile.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    set(header::CONTENT_LANGUAGE, &language.code);
    set(header::VARY, "Accept-Language");
    set(header::CACHE_CONTROL, "no-store");
    set(header::CONTENT_SECURITY_POLICY, html::policy());
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if status == StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS {
        set(header::LINK, &format!("<{}>; rel=\"blocked-by\"", scheme.url));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_site_is_what_the_browser_asked_for() {
        let of = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
            super::host(&headers).map(|name| name.to_string())
        };
        assert_eq!(of("Site.Example").as_deref(), Some("site.example"));
        assert_eq!(of("site.example:8080").as_deref(), Some("site.example"));
        for nothing in ["", "192.0.2.80", "192.0.2.80:80", "[2001:db8::80]", "localhost", "a b.example", "<script>"] {
            assert_eq!(of(nothing), None, "{nothing:?}");
        }
        assert_eq!(super::host(&HeaderMap::new()), None);
    }
}
