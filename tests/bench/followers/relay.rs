//! Between a resolver and its web server: counts what goes through, heads and all, as neither of them could.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Failure, now};

/// Passes on what a resolver fetches, and prints a line of JSON for each file
#[derive(Args)]
pub(crate) struct Relay {
    /// Where the resolver asks
    #[arg(long)]
    listen: SocketAddr,
    /// The web server
    #[arg(long)]
    server: SocketAddr,
}

impl Relay {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let traffic = Arc::new(Traffic { print: true, ..Traffic::default() });
        traffic.pass(TcpListener::bind(self.listen).await?, self.server).await;
        Ok(())
    }
}

/// A file that was asked for.
#[derive(Clone, Serialize)]
pub(crate) struct Fetch {
    pub(crate) path: String,
    /// Octets of the question.
    pub(crate) up: u64,
    /// Octets of the answer.
    pub(crate) down: u64,
    /// When its last octet so far went through, Unix milliseconds.
    pub(crate) at: u64,
}

/// All that one resolver asked for. It has one connection at a time, so questions and answers take turns.
#[derive(Default)]
pub(crate) struct Traffic {
    fetches: Mutex<Vec<Fetch>>,
    print: bool,
}

impl Traffic {
    /// Accepts connections, for ever.
    pub(crate) async fn pass(self: Arc<Self>, listener: TcpListener, server: SocketAddr) {
        while let Ok((client, _)) = listener.accept().await {
            let traffic = self.clone();
            tokio::spawn(async move {
                // A connection that ends is asked for again by who needs it.
                drop(traffic.carry(client, server).await);
                traffic.tell_last();
            });
        }
    }

    /// What was asked for since the fetch number `from`.
    pub(crate) fn since(&self, from: usize) -> Vec<Fetch> {
        self.fetches().get(from..).unwrap_or_default().to_vec()
    }

    pub(crate) fn count(&self) -> usize {
        self.fetches().len()
    }

    async fn carry(&self, client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
        let upstream = TcpStream::connect(server).await?;
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = upstream.into_split();
        let questions = async {
            let mut piece = vec![0; 16 << 10];
            loop {
                let length = from_client.read(&mut piece).await?;
                if length == 0 {
                    return Ok::<_, std::io::Error>(());
                }
                self.question(&piece[..length]);
                to_server.write_all(&piece[..length]).await?;
            }
        };
        let answers = async {
            let mut piece = vec![0; 256 << 10];
            loop {
                let length = from_server.read(&mut piece).await?;
                if length == 0 {
                    return Ok(());
                }
                to_client.write_all(&piece[..length]).await?;
                if let Some(fetch) = self.fetches().last_mut() {
                    fetch.down += length as u64;
                    fetch.at = now();
                }
            }
        };
        tokio::select! { done = questions => done, done = answers => done }
    }

    /// A head fits into one piece: the questions are short.
    fn question(&self, piece: &[u8]) {
        let path = piece.strip_prefix(b"GET ").and_then(|rest| rest.split(|octet| *octet == b' ').next());
        match path {
            Some(path) => {
                self.tell_last();
                let path = String::from_utf8_lossy(path).into_owned();
                self.fetches().push(Fetch { path, up: piece.len() as u64, down: 0, at: now() });
            }
            None => {
                if let Some(fetch) = self.fetches().last_mut() {
                    fetch.up += piece.len() as u64;
                }
            }
        }
    }

    fn tell_last(&self) {
        if self.print
            && let Some(fetch) = self.fetches().pop()
        {
            println!("{}", serde_json::to_string(&fetch).expect("plain data"));
        }
    }

    fn fetches(&self) -> std::sync::MutexGuard<'_, Vec<Fetch>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
