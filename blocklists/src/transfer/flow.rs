//! The messages of a transfer, made one after the other while the subscriber takes them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::base::Message;
use domain::base::iana::Rcode;
use domain::base::message_builder::AnswerBuilder;
use domain::rdata::tsig::Time48;
use domain::tsig::{Key, ServerSequence};
use signed_list::name::Name;

use super::message::{Raw, cname, ns, owner_length, soa, start};
use super::shelf::open;
use super::zone::{Changes, Owner, changes};

/// Octets of a message, with room for a signature up to the 65,535 that a length can say.
const MESSAGE: usize = 60_000;
/// Changed records that are sent as changes: some 20 MB in memory for the time of a transfer.
const MOST_CHANGES: usize = 200_000;
/// Octets of the longest name in wire form.
const NAME: usize = 255;

/// A transfer that was granted.
pub struct Plan {
    /// The zone.
    pub zone: Name,
    /// The request, without its signature.
    pub request: Vec<u8>,
    /// Signs each message.
    pub signer: Option<ServerSequence<Arc<Key>>>,
    /// Serial of the version that the subscriber gets.
    pub newest: u32,
    /// Its file.
    pub new: PathBuf,
    /// The version that it has, if it asks for changes and that version is still kept.
    pub old: Option<(u32, PathBuf)>,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// From which version, if only changes were sent.
    pub from: Option<u32>,
    /// Records that went out as removed.
    pub removed: u64,
    /// Records that went out as added, or as all there are.
    pub added: u64,
    /// Messages.
    pub messages: u64,
    /// Records whose name is too long below the name of this zone.
    pub too_long: u64,
}

/// Why a transfer ended before its end.
#[derive(Debug)]
pub enum Broken {
    /// A file cannot be read.
    Io(io::Error),
    /// The subscriber went away, or took too long.
    Gone,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

impl Plan {
    /// Makes the messages; `send` is given each, and says whether there is still somebody to take the next.
    pub fn run(self, send: &mut dyn FnMut(Vec<u8>) -> bool) -> Result<Sent, Broken> {
        let request = Message::from_octets(self.request).map_err(|_| Broken::Gone)?;
        let mut sheets = Sheets {
            answer: sheet(&request),
            request,
            room: NAME - (self.zone.as_wire().len() - 1) - 1,
            signer: self.signer,
            record: Vec::new(),
            sent: Sent::default(),
            send,
        };
        let changes = match &self.old {
            Some((serial, old)) => worthwhile(old, &self.new)?.map(|changes| (*serial, changes)),
            None => None,
        };
        sheets.raw(&soa(self.newest))?;
        match changes {
            None => {
                sheets.raw(&ns())?;
                for owner in open(&self.new)? {
                    sheets.sent.added += u64::from(sheets.owner(&owner?)?);
                }
            }
            Some((serial, changes)) => {
                // One step from there to here, whatever lay between (RFC 1995 section 5).
                sheets.sent.from = Some(serial);
                sheets.raw(&soa(serial))?;
                for owner in &changes.removed {
                    sheets.sent.removed += u64::from(sheets.owner(owner)?);
                }
                sheets.raw(&soa(self.newest))?;
                for owner in &changes.added {
                    sheets.sent.added += u64::from(sheets.owner(owner)?);
                }
            }
        }
        sheets.raw(&soa(self.newest))?;
        sheets.turn()?;
        Ok(sheets.sent)
    }
}

/// What changed, unless so much did that the whole zone is shorter, or more than is held in memory.
fn worthwhile(old: &Path, new: &Path) -> io::Result<Option<Changes>> {
    let changes = changes(open(old)?, open(new)?, MOST_CHANGES)?;
    Ok(changes.filter(|changes| {
        let count = changes.removed.len() + changes.added.len();
        count < 64 || count < changes.records
    }))
}

/// Messages on the way.
struct Sheets<'a> {
    answer: AnswerBuilder<Vec<u8>>,
    request: Message<Vec<u8>>,
    /// Octets that an owner may have in front of the name of the zone.
    room: usize,
    signer: Option<ServerSequence<Arc<Key>>>,
    record: Vec<u8>,
    sent: Sent,
    send: &'a mut dyn FnMut(Vec<u8>) -> bool,
}

fn sheet(request: &Message<Vec<u8>>) -> AnswerBuilder<Vec<u8>> {
    let mut answer = start(request, Rcode::NOERROR);
    answer.set_push_limit(MESSAGE);
    answer
}

impl Sheets<'_> {
    fn owner(&mut self, owner: &Owner) -> Result<bool, Broken> {
        if owner_length(owner) > self.room {
            self.sent.too_long += 1;
            return Ok(false);
        }
        let mut record = std::mem::take(&mut self.record);
        cname(&mut record, owner);
        self.raw(&record)?;
        self.record = record;
        Ok(true)
    }

    fn raw(&mut self, record: &[u8]) -> Result<(), Broken> {
        if self.answer.push(Raw(record)).is_err() {
            self.turn()?;
            self.answer.push(Raw(record)).map_err(|_| Broken::Gone)?;
        }
        Ok(())
    }

    /// Sends the message that is full, and begins another.
    fn turn(&mut self) -> Result<(), Broken> {
        let full = std::mem::replace(&mut self.answer, sheet(&self.request));
        let mut additional = full.additional();
        if let Some(signer) = &mut self.signer {
            additional.clear_push_limit();
            signer.answer(&mut additional, Time48::now()).map_err(|_| Broken::Gone)?;
        }
        self.sent.messages += 1;
        if (self.send)(additional.finish()) { Ok(()) } else { Err(Broken::Gone) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use domain::base::{MessageBuilder, Name as DnsName, Rtype};
    use domain::tsig::{Algorithm, ClientSequence, KeyName};
    use signed_list::list::Scope;

    use super::*;
    use crate::transfer::zone::{Head, write};

    const ZONE: &str = "malware.rpz.example";

    fn version(serial: u64, names: impl Iterator<Item = u32>) -> PathBuf {
        let path = std::env::temp_dir().join(format!(
            "flow-{serial}-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let names: Vec<Name> = names.map(|n| Name::parse(&format!("listed-{n}.test")).unwrap()).collect();
        let head = Head { list: "malware", scheme: "a test", serial, created: "today" };
        fs::write(&path, write(names.iter().map(|name| (name, Scope::Subtree)), &head)).unwrap();
        path
    }

    /// The records of a transfer in short form, and how many messages it took.
    fn transfer(new: PathBuf, old: Option<(u32, PathBuf)>) -> (Vec<String>, Sent) {
        let name: KeyName = "isp".parse().unwrap();
        let key = Arc::new(Key::new(Algorithm::Sha256, b"0123456789abcdef", name, None, None).unwrap());
        let mut question = MessageBuilder::new_vec().question();
        question.push((ZONE.parse::<DnsName<Vec<u8>>>().unwrap(), Rtype::IXFR)).unwrap();
        let mut additional = question.additional();
        let mut client = ClientSequence::request(key.clone(), &mut additional, Time48::now()).unwrap();
        let mut request = additional.into_message();
        let signer = ServerSequence::request(&key, &mut request, Time48::now()).unwrap();
        let plan =
            Plan { zone: Name::parse(ZONE).unwrap(), request: request.into_octets(), signer, newest: 2, new, old };
        let mut records = Vec::new();
        let sent = plan.run(&mut |message| {
            assert!(message.len() <= 65_535);
            let mut message = Message::from_octets(message).unwrap();
            client.answer(&mut message, Time48::now()).expect("each message is signed");
            for record in message.answer().unwrap() {
                let record = record.unwrap();
                let owner = record.owner().to_string();
                assert!(owner.ends_with(ZONE), "{owner}");
                records.push(format!("{} {}", owner.trim_end_matches(ZONE).trim_end_matches('.'), record.rtype()));
            }
            true
        });
        client.done().unwrap();
        (records, sent.unwrap())
    }

    #[test]
    fn a_zone_goes_out_in_messages_each_of_them_signed() {
        let path = version(2, 0..5000);
        let (records, sent) = transfer(path.clone(), None);
        assert_eq!(records.len(), 10_003);
        assert_eq!((records[0].as_str(), records[1].as_str(), records[10_002].as_str()), (" SOA", " NS", " SOA"));
        assert!(records.contains(&"*.listed-4999.test CNAME".to_owned()));
        assert_eq!((sent.from, sent.added), (None, 10_000));
        assert!((3..10).contains(&sent.messages), "{sent:?}");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn changes_go_out_between_the_serials_and_the_whole_zone_where_that_is_less() {
        let (old, new) = (version(1, 0..200), version(2, 1..201));
        let (records, sent) = transfer(new.clone(), Some((1, old.clone())));
        let expected = [
            " SOA",
            " SOA",
            "listed-0.test CNAME",
            "*.listed-0.test CNAME",
            " SOA",
            "listed-200.test CNAME",
            "*.listed-200.test CNAME",
            " SOA",
        ];
        assert_eq!(records, expected);
        assert_eq!((sent.from, sent.removed, sent.added, sent.messages), (Some(1), 2, 2, 1));
        fs::remove_file(&new).unwrap();
        let new = version(2, 200..230);
        let (records, sent) = transfer(new.clone(), Some((1, old.clone())));
        assert_eq!((records.len(), sent.from), (63, None), "230 changes are more than 30 names");
        for path in [old, new] {
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_subscriber_that_goes_away_ends_it() {
        let path = version(2, 0..10_000);
        let mut question = MessageBuilder::new_vec().question();
        question.push((ZONE.parse::<DnsName<Vec<u8>>>().unwrap(), Rtype::AXFR)).unwrap();
        let request = question.finish();
        let plan =
            Plan { zone: Name::parse(ZONE).unwrap(), request, signer: None, newest: 2, new: path.clone(), old: None };
        let mut count = 0;
        let result = plan.run(&mut |_| {
            count += 1;
            count < 2
        });
        assert!(matches!(result, Err(Broken::Gone)) && count == 2, "{count}");
        fs::remove_file(path).unwrap();
    }
}
