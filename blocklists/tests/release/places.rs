//! Places that releases are copied to and served from: an S3-compatible store, a web server.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use signed_list::release::Class;
use tokio::net::TcpListener;
use tough::Bytes;

use crate::program::{Ended, command, ended};
use crate::world::{Resolver, World};

/// The smallest thing that speaks enough of the S3 protocol: objects in memory, in one bucket. Debian has no server
/// for it that starts without a cluster around it. It looks at what a real one would refuse first: who signs, and
/// whether the body is the one that was signed for. It does not compute signatures.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// Names in the order in which they were written.
    written: Mutex<Vec<String>>,
    /// So many more are written, and then none.
    room: Mutex<Option<usize>>,
}

const KEY: &str = "testing-key-id";

impl Bucket {
    async fn start() -> (Arc<Bucket>, SocketAddr) {
        let bucket = Arc::new(Bucket::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = bucket.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let bucket = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let bucket = bucket.clone();
                        async move { Ok::<_, Infallible>(bucket.answer(request).await) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        (bucket, address)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
        let hash: String = digest(&SHA256, &body).as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        let signed = header("authorization").starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY}/"));
        if !signed || header("x-amz-content-sha256") != hash {
            return reply(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>".to_owned());
        }
        let Some(name) = head.uri.path().strip_prefix("/lists") else {
            return reply(StatusCode::NOT_FOUND, "<Error><Code>NoSuchBucket</Code></Error>".to_owned());
        };
        let (name, query) = (name.trim_start_matches('/').to_owned(), head.uri.query().unwrap_or("").to_owned());
        let mut objects = self.objects.lock().unwrap();
        match head.method {
            Method::PUT => {
                let mut room = self.room.lock().unwrap();
                if let Some(room) = room.as_mut() {
                    if *room == 0 {
                        let full = "<Error><Code>QuotaExceeded</Code><Message>the bucket is full</Message></Error>";
                        return reply(StatusCode::FORBIDDEN, full.to_owned());
                    }
                    *room -= 1;
                }
                self.written.lock().unwrap().push(name.clone());
                objects.insert(name, body);
                let mut response = reply(StatusCode::OK, String::new());
                response.headers_mut().insert("etag", "\"1\"".parse().unwrap());
                response
            }
            Method::GET if query.contains("list-type=2") => {
                let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).unwrap_or("");
                let prefix = prefix.replace("%2F", "/");
                let contents: String = objects
                    .iter()
                    .filter(|(name, _)| name.starts_with(&prefix))
                    .map(|(name, content)| {
                        let (size, time) = (content.len(), "2026-01-01T00:00:00.000Z");
                        format!(
                            "<Contents><Key>{name}</Key><Size>{size}</Size><LastModified>{time}</LastModified>\
                             <ETag>\"1\"</ETag></Contents>"
                        )
                    })
                    .collect();
                let head = "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>";
                reply(StatusCode::OK, format!("{head}{contents}</ListBucketResult>"))
            }
            Method::GET => match objects.get(&name) {
                None => reply(StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>".to_owned()),
                Some(content) => {
                    let mut response = Response::new(Full::new(content.clone()));
                    for (name, value) in [("etag", "\"1\""), ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")] {
                        response.headers_mut().insert(name, value.parse().unwrap());
                    }
                    response
                }
            },
            Method::DELETE => {
                objects.remove(&name);
                reply(StatusCode::NO_CONTENT, String::new())
            }
            _ => reply(StatusCode::METHOD_NOT_ALLOWED, String::new()),
        }
    }

    /// What is in the bucket, as a repository in a directory.
    fn unpack(&self, to: &Path) {
        let _ = fs::remove_dir_all(to);
        for (name, content) in &*self.objects.lock().unwrap() {
            let path = to.join(name.strip_prefix("some/place/").expect("nothing outside of the prefix"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

fn reply(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// Runs the program with the environment of a store. In a thread of its own, because the store answers from here.
async fn run(world: &World, address: SocketAddr, arguments: &[&str]) -> Ended {
    let mut command = command(&world.directory, arguments);
    command
        .env("AWS_ENDPOINT", format!("http://{address}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "eu-test-1")
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    tokio::task::spawn_blocking(move || ended(command.output().unwrap())).await.unwrap()
}

#[tokio::test]
async fn a_store_gets_the_timestamp_last_and_is_whole_at_any_moment() {
    let world = World::new("s3").await;
    let identity = world.enrol("one");
    world.legal("isigurt/0", "name-0.test").await;
    world.publish().await;
    let (bucket, address) = Bucket::start().await;
    let place = "s3://lists/some/place";
    run(&world, address, &["publish", "--to", place]).await.fine();
    let written = std::mem::take(&mut *bucket.written.lock().unwrap());
    assert_eq!(written.last().map(String::as_str), Some("some/place/metadata/timestamp.json"));
    let first = |what: &str| written.iter().position(|name| name.contains(what)).unwrap();
    let last = |what: &str| written.iter().rposition(|name| name.contains(what)).unwrap();
    assert!(last("/targets/") < first("/metadata/") && last(".snapshot.json") < first(".root.json"), "{written:#?}");
    assert_eq!(written.iter().filter(|name| name.ends_with("timestamp.json")).count(), 1);
    let out = run(&world, address, &["verify", "--from", place]).await.fine();
    assert!(out.out.contains("list opened, 1 envelope"), "{}", out.out);

    // A release of which only so many files arrive.
    let keys = [world.key("ana"), world.key("besa")];
    let publish = ["publish", "--to", place, "--key", &keys[0], "--key", &keys[1], "--class", "legal"];
    let unpacked = world.directory.join("unpacked");
    world.legal("isigurt/1", "name-1.test").await;
    for room in 0..5 {
        *bucket.room.lock().unwrap() = Some(room);
        let out = run(&world, address, &publish).await;
        assert_eq!(out.status, Some(1), "{room}: {}{}", out.out, out.err);
        assert!(out.err.contains("the release before is still in force there, run this again"), "{}", out.err);
        bucket.unpack(&unpacked);
        let resolver = Resolver::of(&unpacked, &world.first_root()).await.unwrap();
        assert_eq!(resolver.legal(&identity).await.unwrap().serial(), 1, "{room}");
        // What arrived stays; the next run sends the rest.
        if room > 0 {
            break;
        }
    }
    *bucket.room.lock().unwrap() = None;
    run(&world, address, &publish).await.fine();
    bucket.unpack(&unpacked);
    let resolver = Resolver::of(&unpacked, &world.first_root()).await.unwrap();
    assert_eq!(resolver.legal(&identity).await.unwrap().serial(), 2);
    // Nothing is sent twice.
    bucket.written.lock().unwrap().clear();
    run(&world, address, &["publish", "--to", place]).await.fine();
    assert_eq!(*bucket.written.lock().unwrap(), ["some/place/metadata/timestamp.json"]);

    let mut stranger = command(&world.directory, &["publish", "--to", place]);
    stranger.env("AWS_ENDPOINT", format!("http://{address}")).env("AWS_ALLOW_HTTP", "true");
    stranger.env("AWS_ACCESS_KEY_ID", "somebody-else").env("AWS_SECRET_ACCESS_KEY", "x");
    let out = tokio::task::spawn_blocking(move || ended(stranger.output().unwrap())).await.unwrap();
    assert_eq!(out.status, Some(1), "{}", out.err);
    for (place, part) in [("s3://", "neither a directory nor s3://"), ("ftp://x/y", "neither a directory nor s3://")] {
        world.run(&["publish", "--to", place]).failed_with(&[part]);
    }
}

#[tokio::test]
async fn files_that_nothing_names_any_more_leave_a_store_too() {
    let mut world = World::new("s3-clean").await;
    world.set("grace_minutes = 60", "grace_minutes = 1");
    world.enrol("one");
    world.publish().await;
    let (bucket, address) = Bucket::start().await;
    run(&world, address, &["publish", "--to", "s3://lists"]).await.fine();
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    world.ahead = 3 * 60_000;
    world.publish().await;
    let lists = |bucket: &Bucket| {
        let objects = bucket.objects.lock().unwrap();
        objects.keys().filter(|name| name.ends_with(".list.age")).count()
    };
    assert_eq!(lists(&bucket), 1);
    bucket.objects.lock().unwrap().insert("targets/notes.txt".into(), Bytes::from_static(b"of somebody else"));
    run(&world, address, &["publish", "--to", "s3://lists"]).await.fine();
    assert_eq!(lists(&bucket), 1, "the old one has gone when the new one came");
    let manifest = Class::Legal.payload(2);
    let objects = bucket.objects.lock().unwrap();
    assert!(objects.keys().any(|name| name.ends_with(&manifest)) && objects.contains_key("targets/notes.txt"));
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(world: &World, directory: &str) -> Server {
        let mut command = command(&world.directory, &["serve", "--dir", directory, "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("{line}")).split('/').next().unwrap();
        Server { address: address.to_owned(), child }
    }

    /// Head and body of the answer to a request in so many words.
    fn ask(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let at = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer");
        (String::from_utf8(answer[..at].to_vec()).unwrap().to_lowercase(), answer[at + 4..].to_vec())
    }

    fn get(&self, path: &str, more: &str) -> (String, Vec<u8>) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_repository_is_served_and_nothing_else() {
    let world = World::new("serve").await;
    world.enrol("one");
    world.legal("isigurt/1", "first.test").await;
    world.publish().await;
    let public = world.copy_to("public").await;
    fs::write(public.join("secret.txt"), b"secret").unwrap();
    fs::write(public.join("metadata/.hidden.json"), b"secret").unwrap();
    fs::write(public.join("metadata/9.legal.json.tmp"), b"secret").unwrap();
    std::os::unix::fs::symlink(world.directory.join("ana.pem"), public.join("metadata/ana.json")).unwrap();
    let server = Server::start(&world, "public");

    let (head, body) = server.get("/metadata/timestamp.json", "");
    assert!(head.starts_with("http/1.1 200") && head.contains("cache-control: no-cache"), "{head}");
    assert_eq!(body, fs::read(public.join("metadata/timestamp.json")).unwrap());
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
        let (head, body) = server.get("/metadata/timestamp.json", &format!("If-None-Match: {known}\r\n"));
        assert!(head.starts_with("http/1.1 304") && head.contains(&tag) && body.is_empty(), "{head}");
    }
    let (head, _) = server.get("/metadata/1.root.json", "");
    assert!(head.contains("immutable") && head.contains("application/json"), "{head}");
    let (head, body) = server.ask("HEAD /metadata/1.root.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{head}");
    // Written anew, it has another tag.
    world.publish_with(friendly_blocklist::release::draft::Wish { renew: true, ..Default::default() }).await;
    world.copy_to("public").await;
    let (head, _) = server.get("/metadata/timestamp.json", &format!("If-None-Match: {tag}\r\n"));
    assert!(head.starts_with("http/1.1 200"), "{head}");

    for path in [
        "/",
        "/metadata",
        "/metadata/",
        "/targets/",
        "/secret.txt",
        "/metadata/.hidden.json",
        "/metadata/9.legal.json.tmp",
        "/metadata/ana.json",
        "/metadata/../secret.txt",
        "/metadata/%2e%2e/secret.txt",
        "/metadata/..%2fsecret.txt",
        "//etc/passwd",
        "/metadata//timestamp.json",
        "/metadata/timestamp.json/",
        "/metadata/\u{0}timestamp.json".trim_end_matches('\u{0}'),
        "/etc/passwd",
        "http://x/../../etc/passwd",
    ] {
        let (head, body) = server.get(path, "");
        assert!(head.starts_with("http/1.1 40"), "{path}: {head}");
        assert!(!body.windows(6).any(|window| window == b"secret"), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let ask = format!(
            "{method} /metadata/timestamp.json HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let (head, _) = server.ask(&ask);
        assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
    }
    // Headers without an end are not read for ever.
    let (head, _) = server.ask(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000)));
    assert!(head.starts_with("http/1.1 431"), "{head}");
    // A whole repository over HTTP, as a resolver fetches it.
    let from = format!("http://{}/", server.address);
    let out = world.run(&["verify", "--from", &from]).fine();
    assert!(out.out.contains("list opened, 1 envelope"), "{}", out.out);
    let out = world.run(&["verify", "--from", "http://127.0.0.1:1/"]);
    let out = out.failed_with(&["http://127.0.0.1:1/: it cannot be reached: ", "check the address"]);
    assert!(!out.err.contains("release:///") && !out.err.contains("ransport"), "{}", out.err);
    world.run(&["verify", "--from", "nowhere"]).failed_with(&["nowhere: there is no such directory"]);
    let nothing = ["nothing: there is no repository there: metadata/timestamp.json is missing; check the address"];
    fs::create_dir(world.directory.join("nothing")).unwrap();
    world.run(&["verify", "--from", "nothing"]).failed_with(&nothing);
}
