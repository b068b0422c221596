//! The sockets of the server of zones, and what bounds a subscriber.
//!
//! | bound | why |
//! |---|---|
//! | [`CONNECTIONS`], [`PER_ADDRESS`] | nobody keeps others from their zones by opening connections |
//! | [`TRANSFERS`] | each reads files and holds two messages in memory, and no more |
//! | [`SILENCE`] | who does not read or ask is let go |
//! | [`WHOLE`] | a reader that takes an octet now and then ends, too |

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::rdata::tsig::Time48;
use signed_list::name::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::flow::{Broken, Plan, Sent};
use super::message::{Access, Over, Reply, answer};
use super::shelf::Shelf;
use crate::release::work::Work;

/// Connections at a time.
pub const CONNECTIONS: usize = 64;
/// Connections of one address at a time.
pub const PER_ADDRESS: usize = 16;
/// Transfers at a time; others wait for their turn.
pub const TRANSFERS: usize = 8;
/// Time without a request on a connection, and without room for a message of a transfer.
pub const SILENCE: Duration = Duration::from_secs(20);
/// Time for a whole transfer.
pub const WHOLE: Duration = Duration::from_secs(900);
/// How often the work directory is looked at for a new release.
pub const LOOK: Duration = Duration::from_millis(500);

/// A server of zones.
pub struct Server {
    access: Access,
    shelf: watch::Sender<Arc<Shelf>>,
    transfers: Semaphore,
    connections: Arc<Semaphore>,
    clients: Mutex<HashMap<IpAddr, usize>>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

/// The place of a connection; free again when it is dropped.
struct Seat<'a>(&'a Server, IpAddr);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.1);
            }
        }
    }
}

impl Server {
    /// A server of what is on the shelf. `tell` is given a line for each transfer and each trouble.
    pub fn new(shelf: Shelf, access: Access, tell: impl Fn(&str) + Send + Sync + 'static) -> Server {
        Server {
            access,
            shelf: watch::Sender::new(Arc::new(shelf)),
            transfers: Semaphore::new(TRANSFERS),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            clients: Mutex::default(),
            tell: Box::new(tell),
        }
    }

    /// What is on the shelf, now and whenever it changes.
    pub fn shelf(&self) -> watch::Receiver<Arc<Shelf>> {
        self.shelf.subscribe()
    }

    /// Says a line.
    pub(super) fn tell(&self, line: &str) {
        (self.tell)(line);
    }

    /// Puts other zones on the shelf, or other versions. Transfers under way go on with what they began with.
    pub fn put(&self, shelf: Shelf) {
        self.shelf.send_if_modified(|current| {
            let changed = **current != shelf;
            if changed {
                *current = Arc::new(shelf);
            }
            changed
        });
    }

    /// Looks for new releases, for ever.
    pub async fn watch(&self, work: &Work) {
        loop {
            sleep(LOOK).await;
            match Shelf::read(work) {
                Ok(shelf) => self.put(shelf),
                // What is handed out now stays; the next look may be luckier.
                Err(error) => self.tell(&error.to_string()),
            }
        }
    }

    /// Answers datagrams, for ever.
    pub async fn datagrams(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; 4096];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let shelf = self.shelf.borrow().clone();
            let packet = buffer[..length].to_vec();
            if let Reply::Message(message) =
                answer(&shelf, &self.access, packet, plain(client), Over::Udp, Time48::now())
            {
                // A client that cannot be reached asks again.
                let _ = socket.send_to(&message, client).await;
            }
        }
    }

    /// Answers connections, for ever.
    pub async fn streams(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let Ok(permit) = self.connections.clone().acquire_owned().await else { return };
            let Ok((stream, client)) = listener.accept().await else {
                // Out of descriptors, most likely: others have to end first.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let server = self.clone();
            tokio::spawn(async move {
                if let Some(_seat) = server.seat(plain(client)) {
                    // Nothing to be done about a client that goes away.
                    let _ = server.stream(stream, client).await;
                }
                drop(permit);
            });
        }
    }

    fn seat(&self, client: IpAddr) -> Option<Seat<'_>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_default();
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Seat(self, client))
    }

    /// One connection: requests one after the other.
    async fn stream(&self, mut stream: TcpStream, client: SocketAddr) -> io::Result<()> {
        loop {
            let length = timeout(SILENCE, stream.read_u16()).await??;
            let mut packet = vec![0; usize::from(length)];
            timeout(SILENCE, stream.read_exact(&mut packet)).await??;
            let shelf = self.shelf.borrow().clone();
            match answer(&shelf, &self.access, packet, plain(client), Over::Tcp, Time48::now()) {
                Reply::Silence => return Ok(()),
                Reply::Message(message) => write(&mut stream, &message).await?,
                Reply::Transfer(plan) => self.transfer(&mut stream, *plan, client).await?,
            }
        }
    }

    async fn transfer(&self, stream: &mut TcpStream, plan: Plan, client: SocketAddr) -> io::Result<()> {
        let Ok(_turn) = self.transfers.acquire().await else { return Ok(()) };
        let begin = Instant::now();
        let (zone, newest) = (plan.zone.clone(), plan.newest);
        let (give, mut take) = mpsc::channel::<Vec<u8>>(1);
        let maker = spawn_blocking(move || plan.run(&mut |message| give.blocking_send(message).is_ok()));
        let sent = timeout(WHOLE, async {
            while let Some(message) = take.recv().await {
                write(stream, &message).await?;
            }
            Ok::<(), io::Error>(())
        });
        let sent = sent.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        // The maker stops at its next message, when nobody takes it.
        drop(take);
        let made = maker.await.map_err(io::Error::other)?;
        match (sent, made) {
            (Ok(()), Ok(sent)) => {
                self.tell(&line(&zone, newest, &sent, client, begin));
                Ok(())
            }
            (Err(error), _) => {
                self.tell(&format!("{zone} {newest} to {client}: broken off: {error}"));
                Err(error)
            }
            (_, Err(Broken::Io(error))) => {
                self.tell(&format!("{zone} {newest} to {client}: cannot be read: {error}"));
                Err(error)
            }
            (_, Err(Broken::Gone)) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&(message.len() as u16).to_be_bytes());
    framed.extend_from_slice(message);
    timeout(SILENCE, stream.write_all(&framed)).await?
}

/// The address of a client; IPv4 on an IPv6 socket is IPv4.
fn plain(client: SocketAddr) -> IpAddr {
    client.ip().to_canonical()
}

/// What was sent, in a line for the operator.
fn line(zone: &Name, newest: u32, sent: &Sent, client: SocketAddr, begin: Instant) -> String {
    let Sent { removed, added, messages, .. } = sent;
    let what = match sent.from {
        Some(from) => format!("IXFR from {from}, -{removed} +{added} records"),
        None => format!("AXFR, {added} records"),
    };
    let short = match sent.too_long {
        0 => String::new(),
        count => format!("; {count} names are too long for this zone"),
    };
    format!("{zone} {newest} to {client}: {what}, {messages} messages, {:.2} s{short}", begin.elapsed().as_secs_f64())
}
