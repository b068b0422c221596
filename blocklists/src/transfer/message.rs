//! One request of a subscriber: is it signed as it should be, which zone does it want, may it have it. Pure.
//!
//! The order is that of RFC 8945 section 5.2 and then of what an operator has to know first: a bad signature before
//! anything else, the legal list before who asks for it.

use std::net::IpAddr;
use std::sync::Arc;

use domain::base::iana::{Class, ExtendedErrorCode, Opcode, OptRcode, Rcode};
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder};
use domain::base::name::ToName;
use domain::base::opt::ExtendedError;
use domain::base::record::ComposeRecord;
use domain::base::wire::Composer;
use domain::base::{Message, MessageBuilder, Rtype};
use domain::rdata::Soa;
use domain::rdata::tsig::Time48;
use domain::tsig::{Key, KeyName, ServerSequence};
use ipnet::IpNet;
use signed_list::name::Name;

use super::NEVER_IN_CLEAR;
use super::flow::Plan;
use super::shelf::{Found, Shelf};
use super::zone::{EXPIRE, REFRESH, RETRY, TTL};

/// Where the name of the zone stands in every message: behind the header, as the question.
const ZONE_NAME: [u8; 2] = [0xc0, 12];
const SOA: u16 = 6;
const NS: u16 = 2;
const CNAME: u16 = 5;

/// Keys by name and algorithm.
pub type Keys = std::collections::HashMap<(KeyName, domain::tsig::Algorithm), Arc<Key>>;

/// Who may transfer zones: whoever signs with a key, or asks from one of the networks.
#[derive(Default)]
pub struct Access {
    /// The keys.
    pub keys: Keys,
    /// Networks that need none.
    pub networks: Vec<IpNet>,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// As a datagram: it gets one message.
    Udp,
    /// On a connection.
    Tcp,
}

/// What a request gets.
pub enum Reply {
    /// Nothing: it is no request.
    Silence,
    /// This message.
    Message(Vec<u8>),
    /// A transfer.
    Transfer(Box<Plan>),
}

/// A record in wire form, with the name of its zone as a pointer to the question.
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl ComposeRecord for Raw<'_> {
    fn compose_record<Target: Composer + ?Sized>(&self, target: &mut Target) -> Result<(), Target::AppendError> {
        target.append_slice(self.0)
    }
}

/// A key in the form that signs.
pub fn signing_key(key: &signed_list::tsig::Key) -> Option<Key> {
    use signed_list::tsig::Algorithm::{HmacSha256, HmacSha384, HmacSha512};
    let algorithm = match key.algorithm {
        HmacSha256 => domain::tsig::Algorithm::Sha256,
        HmacSha384 => domain::tsig::Algorithm::Sha384,
        HmacSha512 => domain::tsig::Algorithm::Sha512,
    };
    let name: KeyName = key.name.to_string().parse().ok()?;
    Key::new(algorithm, &key.secret, name, None, None).ok()
}

/// Answers a request.
pub fn answer(shelf: &Shelf, access: &Access, packet: Vec<u8>, client: IpAddr, over: Over, now: Time48) -> Reply {
    let Ok(mut request) = Message::from_octets(packet) else { return Reply::Silence };
    if request.header().qr() {
        return Reply::Silence;
    }
    let signer = match ServerSequence::request(&access.keys, &mut request, now) {
        Ok(signer) => signer,
        Err(error) => return bad_signature(error, &request),
    };
    let asked = Asked { request: &request, signer };
    if request.header().opcode() != Opcode::QUERY {
        return asked.refuse(Rcode::NOTIMP, None);
    }
    let Ok(question) = request.sole_question() else { return asked.refuse(Rcode::FORMERR, None) };
    let Ok(zone) = Name::from_wire(question.qname().to_vec().as_slice()) else {
        return asked.refuse(Rcode::FORMERR, None);
    };
    let versions = match shelf.find(&zone) {
        Found::Legal => return asked.refuse(Rcode::REFUSED, Some((ExtendedErrorCode::PROHIBITED, NEVER_IN_CLEAR))),
        Found::Nothing => {
            let why = "no zone of this server; it hands out open lists and answers no other questions";
            return asked.refuse(Rcode::NOTAUTH, Some((ExtendedErrorCode::NOT_AUTHORITATIVE, why)));
        }
        Found::Zone(versions) => versions,
    };
    if asked.signer.is_none() && !access.networks.iter().any(|network| network.contains(&client)) {
        let why = "sign with a TSIG key of this server, or ask from a network that it allows";
        return asked.refuse(Rcode::REFUSED, Some((ExtendedErrorCode::PROHIBITED, why)));
    }
    if question.qclass() != Class::IN {
        return asked.refuse(Rcode::REFUSED, None);
    }
    let soa = soa(versions.newest());
    let held = held(&request);
    match question.qtype() {
        Rtype::SOA => asked.one(&soa),
        Rtype::NS => asked.one(&ns()),
        // RFC 5936 section 4.2: never over UDP.
        Rtype::AXFR if over == Over::Udp => asked.refuse(Rcode::FORMERR, None),
        Rtype::IXFR if held.is_none() => asked.refuse(Rcode::FORMERR, None),
        // Up to date, or too much for a datagram: the SOA record alone says both (RFC 1995 section 2).
        Rtype::IXFR if over == Over::Udp || held.is_some_and(|held| !is_newer(versions.newest(), held)) => {
            asked.one(&soa)
        }
        Rtype::AXFR | Rtype::IXFR => {
            let (newest, signer) = (versions.newest(), asked.signer);
            let Some(new) = versions.file(newest) else { return Reply::Silence };
            let old = held.filter(|_| question.qtype() == Rtype::IXFR);
            let old = old.and_then(|held| Some((held, versions.file(held)?)));
            Reply::Transfer(Box::new(Plan { zone, request: request.as_slice().to_vec(), signer, newest, new, old }))
        }
        _ => {
            let why = "this server hands out zones and answers no questions about what is in them";
            asked.refuse(Rcode::REFUSED, Some((ExtendedErrorCode::PROHIBITED, why)))
        }
    }
}

/// RFC 1982: whether `new` comes after `old`.
fn is_newer(new: u32, old: u32) -> bool {
    (new.wrapping_sub(old) as i32) > 0
}

/// The serial that a request for changes says it has.
fn held(request: &Message<Vec<u8>>) -> Option<u32> {
    let mut records = request.authority().ok()?.limit_to::<Soa<_>>();
    let soa = records.next()?.ok()?;
    Some(soa.data().serial().into_int())
}

/// A request whose signature is good, or that has none.
struct Asked<'a> {
    request: &'a Message<Vec<u8>>,
    signer: Option<ServerSequence<Arc<Key>>>,
}

impl Asked<'_> {
    fn one(mut self, record: &[u8]) -> Reply {
        let mut answer = start(self.request, Rcode::NOERROR);
        // Into memory that grows: it cannot fail.
        let _ = answer.push(Raw(record));
        let mut additional = answer.additional();
        self.finish(&mut additional);
        Reply::Message(additional.finish())
    }

    fn refuse(mut self, rcode: Rcode, why: Option<(ExtendedErrorCode, &str)>) -> Reply {
        let mut additional = start(self.request, rcode).additional();
        additional.header_mut().set_aa(false);
        if self.request.opt().is_some() {
            let _ = additional.opt(|opt| {
                opt.set_rcode(OptRcode::from(rcode));
                opt.set_udp_payload_size(1232);
                if let Some((code, text)) = why
                    && let Ok(error) = ExtendedError::<Vec<u8>>::new_with_str(code, text)
                {
                    opt.push(&error)?;
                }
                Ok(())
            });
        }
        self.finish(&mut additional);
        Reply::Message(additional.finish())
    }

    fn finish(&mut self, additional: &mut AdditionalBuilder<Vec<u8>>) {
        if let Some(signer) = &mut self.signer {
            let _ = signer.answer(additional, Time48::now());
        }
    }
}

/// The beginning of an answer: header and question.
pub(super) fn start(request: &Message<impl domain::dep::octseq::Octets>, rcode: Rcode) -> AnswerBuilder<Vec<u8>> {
    let mut answer = match MessageBuilder::new_vec().start_answer(request, rcode) {
        Ok(answer) => answer,
        Err(_) => MessageBuilder::new_vec().answer(),
    };
    answer.header_mut().set_aa(true);
    answer
}

/// The refusal of a bad signature, itself unsigned (RFC 8945 section 5.2).
fn bad_signature(error: domain::tsig::ServerError<Arc<Key>>, request: &Message<Vec<u8>>) -> Reply {
    let Ok(builder) = error.build_message(request, MessageBuilder::new_vec()) else { return Reply::Silence };
    let is_notauth = builder.header().rcode() == Rcode::NOTAUTH;
    let mut message = builder.finish();
    // domain 0.12.3 calls a signature that is wrong FORMERR (1) instead of BADSIG (16). The error is the word before
    // the last of the record, which is the last of the message.
    let at = message.len().saturating_sub(4);
    if is_notauth && message[at..] == [0, 1, 0, 0] {
        message[at + 1] = 16;
    }
    Reply::Message(message)
}

/// The record of a name: block it.
pub(super) fn cname(record: &mut Vec<u8>, owner: &super::zone::Owner) {
    record.clear();
    if owner.below {
        record.extend_from_slice(b"\x01*");
    }
    let wire = owner.name.as_wire();
    record.extend_from_slice(&wire[..wire.len() - 1]);
    head(record, CNAME, 1);
    record.push(0);
}

/// Octets that the owner of such a record takes without the name of its zone.
pub(super) fn owner_length(owner: &super::zone::Owner) -> usize {
    owner.name.as_wire().len() - 1 + if owner.below { 2 } else { 0 }
}

/// The SOA record of a version.
pub(super) fn soa(serial: u32) -> Vec<u8> {
    let names = b"\x09localhost\x00\x0ahostmaster\x09localhost\x00";
    let mut record = Vec::with_capacity(80);
    head(&mut record, SOA, names.len() as u16 + 20);
    record.extend_from_slice(names);
    for number in [serial, REFRESH, RETRY, EXPIRE, TTL] {
        record.extend_from_slice(&number.to_be_bytes());
    }
    record
}

/// The NS record, which every zone must have and nobody asks.
pub(super) fn ns() -> Vec<u8> {
    let mut record = Vec::with_capacity(32);
    head(&mut record, NS, 11);
    record.extend_from_slice(b"\x09localhost\x00");
    record
}

/// The rest of an owner, and what stands before the data.
fn head(record: &mut Vec<u8>, rtype: u16, length: u16) {
    record.extend_from_slice(&ZONE_NAME);
    record.extend_from_slice(&rtype.to_be_bytes());
    record.extend_from_slice(&1u16.to_be_bytes());
    record.extend_from_slice(&TTL.to_be_bytes());
    record.extend_from_slice(&length.to_be_bytes());
}
