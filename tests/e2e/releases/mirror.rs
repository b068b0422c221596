//! A web server with a repository that lies in the way a test asks for.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What it does instead of handing out a file.
#[derive(Clone, Debug)]
pub(crate) enum Lie {
    /// This status and no file.
    Status(u16),
    /// Leads elsewhere.
    Redirect(String),
    /// This, with status 200.
    Content(Vec<u8>),
    /// The file without its last octets.
    Cut(usize),
    /// The file with one bit of this octet flipped.
    Flip(usize),
    /// The file and more behind it without end, and without saying how long it is.
    Endless,
    /// Announces so many octets.
    Announce(u64),
    /// An octet each second.
    Drip,
    /// Takes the question and says nothing.
    Silence,
    /// Ends the connection.
    Reset,
}

struct State {
    root: PathBuf,
    lies: Vec<(String, Lie)>,
    asked: Vec<String>,
}

/// The server. It ends with the process.
pub(crate) struct Mirror {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    /// Serves a directory.
    pub(crate) fn start(address: Ipv4Addr, root: &Path) -> Self {
        Mirror::answering(address, root, |mut stream, state| {
            let socket = stream.try_clone()?;
            answer(&mut stream, &socket, state)
        })
    }

    /// The same over TLS, with the certificate of the tests.
    pub(crate) fn secure(address: Ipv4Addr, root: &Path, config: Arc<ServerConfig>) -> Self {
        Mirror::answering(address, root, move |stream, state| {
            let connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
            let socket = stream.try_clone()?;
            let mut stream = StreamOwned::new(connection, stream);
            answer(&mut stream, &socket, state)?;
            // Without a word of farewell the file might have been cut off.
            stream.conn.send_close_notify();
            stream.flush()
        })
    }

    fn answering(
        address: Ipv4Addr,
        root: &Path,
        serve: impl Fn(TcpStream, &Mutex<State>) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let serve = Arc::new(serve);
        let listener = TcpListener::bind((address, 0)).expect("an address of this test");
        let address = listener.local_addr().expect("a bound address");
        let state = Arc::new(Mutex::new(State { root: root.into(), lies: Vec::new(), asked: Vec::new() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, serve) = (shared.clone(), serve.clone());
                std::thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        Mirror { address, state }
    }

    /// Where the repository is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Serves another directory from now on.
    pub(crate) fn serve(&self, root: &Path) {
        self.state().root = root.into();
    }

    /// Lies about each file whose path holds one of these, with `|` in between, until [`Self::be_honest`].
    pub(crate) fn lie(&self, parts: &str, lie: Lie) {
        self.state().lies.push((parts.into(), lie));
    }

    pub(crate) fn be_honest(&self) {
        self.state().lies.clear();
    }

    /// The paths that were asked for since this was last called.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(stream: &mut (impl Read + Write), socket: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (file, lie) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.push(path.clone());
        let about = |parts: &str| parts.split('|').any(|part| path.contains(part));
        let lie = state.lies.iter().find(|(parts, _)| about(parts)).map(|(_, lie)| lie.clone());
        (state.root.join(path.trim_start_matches('/')), lie)
    };
    let content = fs::read(&file);
    let mut body = content.as_deref().unwrap_or_default().to_vec();
    let mut length = None;
    match lie {
        None => {}
        Some(Lie::Status(status)) => return send(stream, &format!("{status} No"), "", b"no file"),
        Some(Lie::Redirect(to)) => {
            return send(stream, "302 Found", &format!("Location: {to}\r\n"), b"");
        }
        Some(Lie::Content(content)) => return send(stream, "200 OK", "", &content),
        Some(Lie::Cut(octets)) => body.truncate(body.len().saturating_sub(octets)),
        Some(Lie::Flip(at)) => {
            let at = at % body.len().max(1);
            body[at] ^= 1;
        }
        Some(Lie::Announce(octets)) => length = Some(octets),
        Some(Lie::Silence) => {
            // Until the other side has had enough.
            return stream.read_exact(&mut octet);
        }
        Some(Lie::Reset) => return Ok(()),
        Some(lie @ (Lie::Endless | Lie::Drip)) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            if matches!(lie, Lie::Endless) {
                stream.write_all(&body)?;
            }
            loop {
                match lie {
                    Lie::Endless => stream.write_all(&[b' '; 65536])?,
                    _ => {
                        stream.write_all(b" ")?;
                        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
                        drop(stream.read(&mut octet));
                    }
                }
            }
        }
    }
    if content.is_err() {
        return send(stream, "404 Not Found", "", b"no such file");
    }
    let tag = format!("\"{}\"", blake3::hash(&body).to_hex());
    if head.to_lowercase().contains(&format!("if-none-match: {tag}")) {
        return send(stream, "304 Not Modified", &format!("ETag: {tag}\r\n"), b"");
    }
    if let Some(length) = length {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")?;
        return stream.write_all(&body);
    }
    send(stream, "200 OK", &format!("ETag: {tag}\r\n"), &body)
}

fn send(stream: &mut impl Write, status: &str, more: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n")?;
    stream.write_all(body)
}
