//! One transfer from one primary, within bounds of time and size, every message signed where there is a key.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::name::Name as DnsName;
use domain::base::{Message, MessageBuilder, Rtype, Serial, Ttl};
use domain::rdata::Soa;
use domain::rdata::tsig::Time48;
use domain::tsig::{Algorithm, ClientSequence, Key, KeyName};
use signed_list::name::Name;
use signed_list::tsig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::reading::{Outcome, Reading};
use super::trouble::Trouble;
use crate::config::Identity;

/// Time for a connection, and without an octet of an answer.
const SILENCE: Duration = Duration::from_secs(20);
/// Time for a whole transfer.
const WHOLE: Duration = Duration::from_secs(900);
/// Octets of a whole transfer.
const OCTETS: u64 = 2 << 30;

/// Reads a key from where the configuration says it is.
pub(super) fn key(place: &Identity) -> Result<Key, String> {
    let path = match place {
        Identity::File(path) => path.clone(),
        Identity::Credential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                format!("'tsig': there are no credentials here; set LoadCredential={name}:FILE in the systemd unit")
            })?;
            Path::new(&directory).join(name)
        }
    };
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let text = fs::read_to_string(&path).map_err(|error| failed(&format!("{error}; it is the key of 'tsig'")))?;
    let key = tsig::Key::parse(&text).map_err(|error| failed(&error))?;
    let algorithm = match key.algorithm {
        tsig::Algorithm::HmacSha256 => Algorithm::Sha256,
        tsig::Algorithm::HmacSha384 => Algorithm::Sha384,
        tsig::Algorithm::HmacSha512 => Algorithm::Sha512,
    };
    let name: KeyName = key.name.to_string().parse().map_err(|_| failed(&"the name of the key cannot be used"))?;
    Key::new(algorithm, &key.secret, name, None, None).map_err(|error| failed(&error))
}

/// Transfers a zone: what changed since `from`, or all of it. Nothing older than `held` is taken. Returns the octets
/// that it took, too.
pub(super) async fn fetch(
    primary: SocketAddr,
    zone: &Name,
    key: Option<Arc<Key>>,
    held: Option<u32>,
    from: Option<u32>,
) -> Result<(Outcome, u64), Trouble> {
    timeout(WHOLE, transfer(primary, zone, key, held, from)).await.unwrap_or(Err(Trouble::TooSlow))
}

async fn transfer(
    primary: SocketAddr,
    zone: &Name,
    key: Option<Arc<Key>>,
    held: Option<u32>,
    from: Option<u32>,
) -> Result<(Outcome, u64), Trouble> {
    let unreachable = |source| Trouble::Unreachable { primary, source };
    let (request, mut sequence) = request(zone, key, from).ok_or(Trouble::Fault)?;
    let id = [request[0], request[1]];
    let connected = timeout(SILENCE, TcpStream::connect(primary)).await.map_err(|_| Trouble::TooSlow)?;
    let mut stream = connected.map_err(unreachable)?;
    let mut framed = (request.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&request);
    stream.write_all(&framed).await.map_err(unreachable)?;

    let mut reading = Reading::new(zone, held, from);
    let mut octets = 0;
    loop {
        let Some(message) = next(&mut stream).await? else {
            return Err(Trouble::Cut { records: reading.records });
        };
        octets += message.len() as u64;
        if octets > OCTETS {
            return Err(Trouble::TooLarge { most: OCTETS, what: "octets" });
        }
        let mut message = Message::from_octets(message).map_err(|_| Trouble::Message("it is no message"))?;
        let header = message.header();
        if [message.as_slice()[0], message.as_slice()[1]] != id || !header.qr() || header.opcode() != Opcode::QUERY {
            return Err(Trouble::Message("it answers something else"));
        }
        // The signature first: what is not signed is nobody's word, a refusal included.
        if let Some(sequence) = &mut sequence {
            sequence.answer(&mut message, Time48::now()).map_err(|error| Trouble::Signature(error.to_string()))?;
        }
        if header.rcode() != Rcode::NOERROR {
            return Err(refused(header.rcode(), sequence.is_some()));
        }
        if header.tc() {
            return Err(Trouble::Message("it is cut"));
        }
        if reading.message(&message)? {
            break;
        }
    }
    if let Some(sequence) = sequence {
        sequence.done().map_err(|error| Trouble::Signature(error.to_string()))?;
    }
    Ok((reading.finish(), octets))
}

fn refused(rcode: Rcode, signed: bool) -> Trouble {
    let hint = match (rcode, signed) {
        (Rcode::REFUSED | Rcode::NOTAUTH, false) => "; does it know this resolver's address, or want a key ('tsig')?",
        (Rcode::REFUSED | Rcode::NOTAUTH, true) => "; does it have the zone, and may this key transfer it?",
        _ => "",
    };
    Trouble::Refused { rcode: rcode.to_string(), hint }
}

/// The next message; `None` at the end of the connection.
async fn next(stream: &mut TcpStream) -> Result<Option<Vec<u8>>, Trouble> {
    let read = timeout(SILENCE, async {
        let length = stream.read_u16().await?;
        let mut message = vec![0; usize::from(length)];
        stream.read_exact(&mut message).await?;
        Ok::<_, std::io::Error>(message)
    });
    match read.await {
        Err(_) => Err(Trouble::TooSlow),
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(_)) => Ok(None),
    }
}

type Signed = (Vec<u8>, Option<ClientSequence<Arc<Key>>>);

fn request(zone: &Name, key: Option<Arc<Key>>, from: Option<u32>) -> Option<Signed> {
    let name = DnsName::from_octets(zone.as_wire().to_vec()).ok()?;
    let mut builder = MessageBuilder::new_vec();
    let mut id = [0; 2];
    getrandom::fill(&mut id).ok()?;
    builder.header_mut().set_id(u16::from_be_bytes(id));
    let mut question = builder.question();
    question.push((&name, if from.is_some() { Rtype::IXFR } else { Rtype::AXFR }, Class::IN)).ok()?;
    let mut authority = question.authority();
    if let Some(serial) = from {
        let (root, zero) = (DnsName::root_vec(), Ttl::from_secs(0));
        let soa = Soa::new(root.clone(), root, Serial::from(serial), zero, zero, zero, zero);
        authority.push((&name, Class::IN, zero, soa)).ok()?;
    }
    let mut additional = authority.additional();
    let sequence = match key {
        Some(key) => Some(ClientSequence::request(key, &mut additional, Time48::now()).ok()?),
        None => None,
    };
    Some((additional.finish(), sequence))
}
