//! A web server on loopback that lists, lies, stalls or floods, as a test tells it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a server answers.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A list, with its tag and its date.
    List(Vec<u8>, &'static str, &'static str),
    /// A status without a list.
    Status(&'static str),
    /// Somewhere else.
    Redirect(String),
    /// Octets for as long as somebody reads.
    Endless,
    /// One octet after the other.
    Drip,
    /// Nothing at all.
    Silent,
    /// Less than was announced.
    Short,
}

/// A web server on loopback that does what it is told.
pub(crate) struct Server {
    pub(crate) port: u16,
    answer: Arc<Mutex<Answer>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn new(answer: Answer) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server { port, answer: Arc::new(Mutex::new(answer)), heads: Arc::default() };
        let (answer, heads) = (server.answer.clone(), server.heads.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, heads) = (answer.clone(), heads.clone());
                thread::spawn(move || drop(serve(stream, &answer, &heads)));
            }
        });
        server
    }

    pub(crate) fn list(lines: &str) -> Server {
        Server::new(Answer::List(lines.as_bytes().to_vec(), "", ""))
    }

    pub(crate) fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn lists(&self, lines: &str) {
        self.says(Answer::List(lines.as_bytes().to_vec(), "", ""));
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/list.txt", self.port)
    }

    /// Heads of the requests since the last look.
    pub(crate) fn heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

fn serve(mut stream: TcpStream, answer: &Mutex<Answer>, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    heads.lock().unwrap().push(head.clone());
    let answer = answer.lock().unwrap().clone();
    match answer {
        Answer::List(body, tag, date) => {
            let known = |header: &str, value: &str| !value.is_empty() && head.contains(&format!("{header}: {value}"));
            if known("if-none-match", &tag.to_lowercase()) || known("if-modified-since", &date.to_lowercase()) {
                return write!(stream, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
            }
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n", body.len())?;
            if !tag.is_empty() {
                write!(stream, "ETag: {tag}\r\n")?;
            }
            if !date.is_empty() {
                write!(stream, "Last-Modified: {date}\r\n")?;
            }
            stream.write_all(b"\r\n")?;
            stream.write_all(&body)
        }
        Answer::Status(status) => write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        Answer::Redirect(to) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Answer::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all("name.test\n".repeat(4096).as_bytes())?;
            }
        }
        Answer::Drip => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(b"a")?;
                thread::sleep(Duration::from_millis(50));
            }
        }
        Answer::Silent => loop {
            stream.read_exact(&mut octet)?;
        },
        Answer::Short => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\none.test\n"),
    }
}
