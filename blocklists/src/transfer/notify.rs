//! Tells subscribers that a zone has a new version (RFC 1996): one datagram each, again and again until it is answered.
//!
//! It is not signed: all that it makes a subscriber do is to ask for the serial, and that question and its answer are.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::{Message, MessageBuilder, Name as DnsName, Rtype};
use signed_list::name::Name;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::message::{Raw, soa};
use super::server::Server;

/// Tries for one version; the pauses between them double, from [`FIRST`] on.
const TRIES: u32 = 6;
/// Patience of the first try.
const FIRST: Duration = Duration::from_secs(1);

/// Tells all targets of all zones whenever one has changed, for ever. `from` is the address that subscribers know.
pub async fn run(server: &Arc<Server>, targets: &[SocketAddr], from: IpAddr) {
    let mut shelf = server.shelf();
    let mut told: HashMap<Name, u32> = HashMap::new();
    // A newer version makes the tries for an older one needless.
    let mut under_way: HashMap<Name, JoinSet<()>> = HashMap::new();
    loop {
        let zones: Vec<(Name, u32)> =
            shelf.borrow_and_update().zones().map(|(zone, serial)| (zone.clone(), serial)).collect();
        for (zone, serial) in zones {
            if told.insert(zone.clone(), serial) == Some(serial) {
                continue;
            }
            let mut tasks = JoinSet::new();
            for target in targets.iter().copied() {
                let (server, zone) = (server.clone(), zone.clone());
                tasks.spawn(async move {
                    let said = tell(&zone, serial, target, from).await;
                    match said {
                        Ok(true) => server.tell(&format!("{zone} {serial}: {target} was notified")),
                        // It has subscribed to other zones.
                        Ok(false) => {}
                        Err(why) => server.tell(&format!("{zone} {serial}: {target} was not notified: {why}")),
                    }
                });
            }
            under_way.insert(zone, tasks);
        }
        if shelf.changed().await.is_err() {
            return;
        }
    }
}

/// Tells one target until it answers; `false` if it says that the zone does not concern it.
async fn tell(zone: &Name, serial: u32, target: SocketAddr, from: IpAddr) -> Result<bool, String> {
    let from = if from.is_ipv4() == target.is_ipv4() { from } else { unspecified(target) };
    let socket = UdpSocket::bind((from, 0)).await.map_err(|error| error.to_string())?;
    socket.connect(target).await.map_err(|error| error.to_string())?;
    let message = notify(zone, serial).ok_or("its name cannot be sent")?;
    let mut patience = FIRST;
    let mut why = "no answer".to_owned();
    for _ in 0..TRIES {
        // Refused by a host whose server is just starting: tried again like silence, but not at once.
        match socket.send(&message).await {
            Ok(_) => match timeout(patience, answered(&socket, &message)).await {
                Ok(Ok(Rcode::NOERROR)) => return Ok(true),
                Ok(Ok(Rcode::REFUSED | Rcode::NOTAUTH | Rcode::NOTIMP)) => return Ok(false),
                Ok(Ok(rcode)) => return Err(format!("it answers with {rcode}")),
                Ok(Err(error)) => {
                    why = error.to_string();
                    sleep(patience).await;
                }
                Err(_) => "no answer".clone_into(&mut why),
            },
            Err(error) => {
                why = error.to_string();
                sleep(patience).await;
            }
        }
        patience *= 2;
    }
    Err(why)
}

/// Waits for the answer to a message, and returns its code.
async fn answered(socket: &UdpSocket, message: &[u8]) -> std::io::Result<Rcode> {
    let mut buffer = [0; 512];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Ok(answer) = Message::from_octets(&buffer[..length])
            && answer.header().qr()
            && answer.header().opcode() == Opcode::NOTIFY
            && buffer[..2] == message[..2]
        {
            return Ok(answer.header().rcode());
        }
    }
}

fn notify(zone: &Name, serial: u32) -> Option<Vec<u8>> {
    let name = DnsName::from_octets(zone.as_wire().to_vec()).ok()?;
    let mut builder = MessageBuilder::new_vec();
    let mut id = [0; 2];
    aws_lc_rs::rand::fill(&mut id).ok()?;
    let header = builder.header_mut();
    header.set_id(u16::from_be_bytes(id));
    header.set_opcode(Opcode::NOTIFY);
    header.set_aa(true);
    let mut question = builder.question();
    question.push((name, Rtype::SOA, Class::IN)).ok()?;
    let mut answer = question.answer();
    answer.push(Raw(&soa(serial))).ok()?;
    Some(answer.finish())
}

fn unspecified(target: SocketAddr) -> IpAddr {
    match target {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}
