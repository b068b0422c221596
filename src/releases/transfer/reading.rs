//! The records of a transfer in their order: all of a zone (RFC 5936), or what changed (RFC 1995). Pure.
//!
//! A transfer is whole when the SOA record that it began with comes again, and not before; changes have to begin at the
//! serial that is held and lead without a gap to the one that the transfer began with.

use domain::base::iana::Class;
use domain::base::name::{ParsedName, ToName};
use domain::base::{Message, Rtype};
use domain::rdata::{AllRecordData, Cname};
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::name::Name;
use signed_list::rpz::{Action, is_other_trigger};

use super::entries::{BLOCKS, BLOCKS_BELOW, Entries, Entry, PASSES, PASSES_BELOW};
use super::trouble::Trouble;

/// Names that a zone may hold.
pub(super) const MOST: usize = 10_000_000;

/// The numbers of a SOA record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Soa {
    pub(super) serial: u32,
    pub(super) refresh: u32,
    pub(super) retry: u32,
    pub(super) expire: u32,
}

/// What a transfer brought.
pub(super) enum Outcome {
    /// Nothing: the primary has what we have.
    UpToDate,
    /// All of the zone.
    Whole(Entries),
    /// What changed since the version that is held.
    Changes { from: u32, soa: Soa, changes: Vec<Change> },
}

/// One change, in the order in which they have to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Remove(Entry),
    Add(Entry),
    /// Of records that say nothing about names.
    Skipped(i32),
}

/// A transfer on the way.
pub(super) struct Reading {
    zone: Name,
    /// The serial in force here; nothing older is taken.
    held: Option<u32>,
    /// The serial that changes were asked from.
    from: Option<u32>,
    state: State,
    whole: bool,
    first: Soa,
    entries: Entries,
    changes: Vec<Change>,
    /// Records so far.
    pub(super) records: u64,
    suffixes: Suffixes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// After the first SOA record: the next one tells which kind of transfer it is.
    First,
    Whole,
    Removing,
    Adding {
        to: u32,
    },
    Done,
    UpToDate,
}

/// What a record is about.
enum Said {
    Entry(Entry),
    Skip,
    Nothing,
}

impl Reading {
    pub(super) fn new(zone: &Name, held: Option<u32>, from: Option<u32>) -> Reading {
        Reading {
            zone: zone.clone(),
            held,
            from,
            state: State::Start,
            whole: false,
            first: Soa::default(),
            entries: Entries::default(),
            changes: Vec::new(),
            records: 0,
            suffixes: Suffixes::new(),
        }
    }

    /// Reads the answer section of one message; `true` when the transfer is whole.
    pub(super) fn message<Octs: AsRef<[u8]> + ?Sized>(&mut self, message: &Message<Octs>) -> Result<bool, Trouble> {
        let message = Message::from_slice(message.as_slice()).map_err(|_| Trouble::Message("it is cut"))?;
        let broken = |_| Trouble::Message("its records cannot be read");
        let answer = message.answer().map_err(broken)?;
        for record in answer {
            let record = record.map_err(broken)?;
            if record.class() != Class::IN {
                return Err(Trouble::Message("it holds a record of another class"));
            }
            let owner = Name::from_wire(record.owner().to_vec().as_slice()).map_err(|_| Trouble::Foreign)?;
            if !owner.is_same_or_below(&self.zone) {
                return Err(Trouble::Foreign);
            }
            self.records += 1;
            let rtype = record.rtype();
            let data = match rtype {
                Rtype::SOA | Rtype::CNAME => record
                    .to_record::<AllRecordData<_, ParsedName<_>>>()
                    .map_err(broken)?
                    .map(|record| record.into_data()),
                _ => None,
            };
            match data {
                Some(AllRecordData::Soa(soa)) => {
                    if owner != self.zone {
                        return Err(Trouble::Foreign);
                    }
                    self.soa(Soa {
                        serial: soa.serial().into_int(),
                        refresh: soa.refresh().as_secs(),
                        retry: soa.retry().as_secs(),
                        expire: soa.expire().as_secs(),
                    })?;
                }
                Some(AllRecordData::Cname(cname)) => {
                    let said = self.cname(&owner, &cname);
                    self.said(said)?;
                }
                _ if owner == self.zone => self.said(Said::Nothing)?,
                _ => self.said(Said::Skip)?,
            }
        }
        Ok(matches!(self.state, State::Done | State::UpToDate))
    }

    /// What the whole transfer brought.
    pub(super) fn finish(mut self) -> Outcome {
        match self.state {
            State::UpToDate => Outcome::UpToDate,
            _ if self.whole => {
                self.entries.soa = self.first;
                Outcome::Whole(self.entries)
            }
            _ => Outcome::Changes { from: self.from.unwrap_or_default(), soa: self.first, changes: self.changes },
        }
    }

    fn soa(&mut self, soa: Soa) -> Result<(), Trouble> {
        let order = Err(Trouble::Message("its SOA records do not fit together"));
        self.state = match self.state {
            State::Start => {
                self.first = soa;
                match self.held {
                    Some(held) if held == soa.serial && self.from.is_some() => State::UpToDate,
                    Some(held) if is_newer(held, soa.serial) => {
                        return Err(Trouble::Older { serial: soa.serial, held });
                    }
                    _ => State::First,
                }
            }
            State::First if self.from == Some(soa.serial) => State::Removing,
            State::First if self.from.is_some() && soa.serial != self.first.serial => return Err(Trouble::Changes),
            State::Whole if soa == self.first => State::Done,
            State::Removing if self.is_step(soa.serial) => State::Adding { to: soa.serial },
            State::Adding { to } if to == self.first.serial && soa == self.first => State::Done,
            State::Adding { to } if to == soa.serial => State::Removing,
            State::Removing | State::Adding { .. } => return Err(Trouble::Changes),
            State::UpToDate => State::UpToDate,
            State::First | State::Whole | State::Done => return order,
        };
        Ok(())
    }

    /// A step leads forward, and not past the end.
    fn is_step(&self, to: u32) -> bool {
        to == self.first.serial || is_newer(self.first.serial, to)
    }

    fn said(&mut self, said: Said) -> Result<(), Trouble> {
        if self.state == State::First {
            (self.state, self.whole) = (State::Whole, true);
        }
        match (self.state, said) {
            (State::Start, _) => Err(Trouble::Message("it does not begin with a SOA record")),
            (State::Done, _) => Err(Trouble::Message("it goes on behind its end")),
            // The rest of a zone that we have.
            (State::UpToDate, _) | (_, Said::Nothing) => Ok(()),
            (State::Whole, Said::Skip) => {
                self.entries.skipped += 1;
                Ok(())
            }
            (State::Whole, Said::Entry(entry)) => {
                self.entries.add(entry);
                self.bounded(self.entries.len())
            }
            (State::Removing, Said::Skip) => self.change(Change::Skipped(-1)),
            (State::Removing, Said::Entry(entry)) => self.change(Change::Remove(entry)),
            (_, Said::Skip) => self.change(Change::Skipped(1)),
            (_, Said::Entry(entry)) => self.change(Change::Add(entry)),
        }
    }

    fn change(&mut self, change: Change) -> Result<(), Trouble> {
        self.changes.push(change);
        self.bounded(self.changes.len())
    }

    fn bounded(&self, count: usize) -> Result<(), Trouble> {
        if count > MOST { Err(Trouble::TooLarge { most: MOST as u64, what: "names" }) } else { Ok(()) }
    }

    /// What a CNAME record is about.
    fn cname<N: ToName>(&mut self, owner: &Name, cname: &Cname<N>) -> Said {
        let wire = owner.as_wire();
        let mut name = wire[..wire.len() - self.zone.as_wire().len()].to_vec();
        let below = name.starts_with(b"\x01*");
        if below {
            name.drain(..2);
        }
        name.push(0);
        let Ok(name) = Name::from_wire(&name) else { return Said::Skip };
        // A top-level domain is more than any feed of names can mean.
        if name.labels() < 2 || name.iter().last().is_some_and(is_other_trigger) {
            return Said::Skip;
        }
        let target = cname.cname().to_vec();
        let action = match target.as_slice() {
            [0] => Action::Block,
            _ => {
                Action::of(&format!("{}.", target.fmt_with_dot().to_string().trim_end_matches('.')), &name.to_string())
            }
        };
        let flag = match (action, below) {
            (Action::Block, false) => BLOCKS,
            (Action::Block, true) => BLOCKS_BELOW,
            (Action::PassThru, false) => PASSES,
            (Action::PassThru, true) => PASSES_BELOW,
            (Action::Rewrite, _) => return Said::Skip,
        };
        DigestKey::OPEN.suffixes(name.as_wire(), &mut self.suffixes);
        let labels = name.labels();
        Said::Entry(Entry { digest: self.suffixes.get(labels), labels: labels as u8, flag })
    }
}

/// RFC 1982: whether `new` comes after `old`.
pub(super) fn is_newer(new: u32, old: u32) -> bool {
    (new.wrapping_sub(old) as i32) > 0
}

#[cfg(test)]
mod tests {
    use domain::base::iana::Rcode;
    use domain::base::{MessageBuilder, Name as DnsName, Serial, Ttl};
    use domain::rdata::Soa as SoaData;

    use super::*;

    const ZONE: &str = "rpz.example";

    fn message(records: &str) -> Message<Vec<u8>> {
        let name = |text: &str| text.parse::<DnsName<Vec<u8>>>().unwrap();
        let request = MessageBuilder::new_vec().question().into_message();
        let mut answer = MessageBuilder::new_vec().start_answer(&request, Rcode::NOERROR).unwrap();
        let ttl = Ttl::from_secs(60);
        for record in records.split_whitespace() {
            match record.parse::<u32>() {
                Ok(serial) => {
                    let soa =
                        SoaData::new(name("ns.example"), name("ns.example"), Serial::from(serial), ttl, ttl, ttl, ttl);
                    answer.push((name(ZONE), Class::IN, ttl, soa)).unwrap();
                }
                Err(_) => {
                    let (owner, target) = record.split_once('>').unwrap_or((record, "."));
                    let owner = name(&format!("{owner}.{ZONE}"));
                    answer.push((owner, Class::IN, ttl, Cname::new(name(target)))).unwrap();
                }
            }
        }
        answer.into_message()
    }

    /// Reads messages, `|` between them, and says in short what came out. Serials stand for SOA records.
    fn read(held: Option<u32>, from: Option<u32>, messages: &str) -> String {
        let mut reading = Reading::new(&Name::parse(ZONE).unwrap(), held, from);
        let mut whole = false;
        for records in messages.split('|') {
            assert!(!whole, "it was whole before");
            whole = match reading.message(&message(records)) {
                Ok(whole) => whole,
                Err(trouble) => return trouble.to_string(),
            };
        }
        if !whole {
            return "goes on".into();
        }
        match reading.finish() {
            Outcome::UpToDate => "up to date".into(),
            Outcome::Whole(entries) => {
                format!("whole {}: {} and {}", entries.soa.serial, entries.len(), entries.skipped)
            }
            Outcome::Changes { from, soa, changes } => format!("{from} to {}: {}", soa.serial, changes.len()),
        }
    }

    #[test]
    fn whole_zones() {
        assert_eq!(read(None, None, "5 a.test *.a.test b.test 5"), "whole 5: 2 and 0");
        assert_eq!(read(None, None, "5 | a.test | b.test | 5"), "whole 5: 2 and 0");
        assert_eq!(read(Some(4), Some(4), "5 a.test 5"), "whole 5: 1 and 0", "instead of changes");
        assert_eq!(read(Some(5), None, "5 a.test 5"), "whole 5: 1 and 0");
        assert_eq!(read(None, None, "5 a.test"), "goes on");
        let skipped =
            "5 a.test>safe.example. test *.test * 32.1.2.0.192.rpz-ip ns.test.rpz-nsdname b.test>rpz-tcp-only. 5";
        assert_eq!(read(None, None, skipped), "whole 5: 0 and 7");
        let taken = "5 a.test>*. b.test>rpz-drop. c.test>rpz-passthru. d.test>d.test. 5";
        assert_eq!(read(None, None, taken), "whole 5: 4 and 0");
    }

    #[test]
    fn changes() {
        assert_eq!(read(Some(5), Some(5), "5"), "up to date");
        assert_eq!(read(Some(5), Some(5), "5 a.test 5"), "up to date");
        assert_eq!(read(Some(4), Some(4), "5 4 a.test 5 b.test 5"), "4 to 5: 2");
        assert_eq!(read(Some(4), Some(4), "6 4 a.test 5 b.test | 5 6 c.test | 6"), "4 to 6: 3");
        assert_eq!(read(Some(4), Some(4), "5 4 5 5"), "4 to 5: 0", "only the numbers of the zone changed");
        // Around the end of the numbers (RFC 1982).
        assert_eq!(read(Some(u32::MAX), Some(u32::MAX), "1 4294967295 1 b.test 1"), format!("{} to 1: 1", u32::MAX));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let changes = "do not lead from what is here";
        for (held, from, messages, part) in [
            (Some(6), Some(6), "5 4 a.test 5 b.test 5", "older than the 6 in force"),
            (Some(6), None, "5 a.test 5", "older than the 6 in force"),
            (None, None, "a.test 5", "does not begin with a SOA record"),
            (None, None, "5 a.test 6", "SOA records do not fit"),
            (None, None, "5 5", "SOA records do not fit"),
            (None, None, "5 a.test 5 b.test", "behind its end"),
            (Some(4), Some(4), "6 5 a.test 6 b.test 6", changes),
            (Some(4), Some(4), "6 4 a.test 5 b.test 6", changes),
            (Some(4), Some(4), "6 4 a.test 7 b.test 6", changes),
        ] {
            let told = read(held, from, messages);
            assert!(told.contains(part), "{messages}: {part:?} is not in {told:?}");
        }
        let mut reading = Reading::new(&Name::parse("other.example").unwrap(), None, None);
        assert!(matches!(reading.message(&message("5 a.test 5")), Err(Trouble::Foreign)));
    }
}
