//! Search engines that leave out what is not for children, in place of
//! themselves.
//!
//! An engine keeps a second name for this. The name asked for becomes an alias
//! of that name, and its addresses are asked for at that moment, for A, AAAA
//! and HTTPS alike: a browser that finds an old address by one of them walks
//! around the others. Which names those are is data: `config/safe-search.toml`.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::LazyLock;

use serde::Deserialize;
use signed_list::name::Name;

use crate::answer::{record, soa};
use crate::config::{Search, YouTube};
use crate::edns::{Asked, Reply};
use crate::entry::Entry;
use crate::query::{Edns, Query};
use crate::wire::{self, HEADER, Malformed, Section, WireName, class, flag, put_u16, rcode, rtype};

/// Seconds that an alias lives, and an answer that knows no better time.
const TTL: u32 = 300;
/// Octets of the largest question and answer.
const MOST: usize = u16::MAX as usize;

/// Names that something else answers in place of.
pub struct SafeSearch {
    hosts: HashMap<Box<[u8]>, Host, foldhash::fast::FixedState>,
    /// Lengths that these names have: most others fail here.
    lengths: [u64; 4],
    /// By number, from 1.
    stand_ins: Vec<StandIn>,
    moderate: u8,
    strict: u8,
}

#[derive(Clone, Copy)]
enum Host {
    /// Its stand-in.
    Engine(u8),
    YouTube,
}

/// What answers in place of a name.
pub struct StandIn {
    /// The engine, for people.
    pub engine: String,
    target: Target,
}

enum Target {
    Name(Box<WireName>),
    Address(Ipv4Addr),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Map {
    #[serde(rename = "version")]
    _version: u32,
    engine: Vec<Engine>,
    youtube: Videos,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Engine {
    name: String,
    target: Option<String>,
    address: Option<Ipv4Addr>,
    hosts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Videos {
    moderate: String,
    strict: String,
    hosts: Vec<String>,
}

impl SafeSearch {
    /// The engines that are known to the program.
    pub fn shipped() -> &'static SafeSearch {
        static SHIPPED: LazyLock<SafeSearch> = LazyLock::new(|| {
            let text = include_str!("../config/safe-search.toml");
            SafeSearch::new(toml::from_str(text).expect("the shipped map is whole"))
        });
        &SHIPPED
    }

    fn new(map: Map) -> Self {
        let mut all =
            SafeSearch { hosts: HashMap::default(), lengths: [0; 4], stand_ins: Vec::new(), moderate: 0, strict: 0 };
        for engine in map.engine {
            let target = match (engine.target, engine.address) {
                (Some(name), None) => Target::Name(Box::new(wire_name(&name))),
                (None, Some(address)) => Target::Address(address),
                _ => panic!("{} has a target or an address", engine.name),
            };
            let number = all.add(engine.name, target);
            all.hosts(&engine.hosts, Host::Engine(number));
        }
        all.moderate = all.add("youtube".into(), Target::Name(Box::new(wire_name(&map.youtube.moderate))));
        all.strict = all.add("youtube".into(), Target::Name(Box::new(wire_name(&map.youtube.strict))));
        all.hosts(&map.youtube.hosts, Host::YouTube);
        all
    }

    fn add(&mut self, engine: String, target: Target) -> u8 {
        self.stand_ins.push(StandIn { engine, target });
        let number = self.stand_ins.len() as u8;
        // It is kept in six bits beside the key of an answer.
        assert!(number < 64, "at most 63 stand-ins");
        number
    }

    fn hosts(&mut self, names: &[String], host: Host) {
        for name in names {
            let name = wire_name(name);
            let wire = name.as_wire();
            self.lengths[wire.len() / 64] |= 1 << (wire.len() % 64);
            self.hosts.insert(wire.into(), host);
        }
    }

    /// The number of what answers in place of this canonical name; 0 if nothing does.
    #[inline]
    pub fn stand_in(&self, search: Search, wire: &[u8]) -> u8 {
        if search == Search::default() || self.lengths[wire.len() / 64] & 1 << (wire.len() % 64) == 0 {
            return 0;
        }
        match (self.hosts.get(wire), search.youtube) {
            (Some(Host::Engine(number)), _) if search.safe => *number,
            (Some(Host::YouTube), YouTube::Moderate) => self.moderate,
            (Some(Host::YouTube), YouTube::Strict) => self.strict,
            _ => 0,
        }
    }

    /// What has this number.
    pub fn of(&self, number: u8) -> Option<&StandIn> {
        self.stand_ins.get(usize::from(number).checked_sub(1)?)
    }
}

fn wire_name(text: &str) -> WireName {
    let name = Name::parse(text).expect("a name of the shipped map");
    let mut wire = WireName::ROOT;
    wire.read_plain(name.as_wire(), 0).expect("a canonical name");
    wire
}

impl StandIn {
    /// Where the alias leads, or the address, for people.
    pub fn target(&self) -> String {
        match &self.target {
            Target::Name(name) => Name::from_wire(name.as_wire()).map_or_else(|_| "?".into(), |name| name.to_string()),
            Target::Address(address) => address.to_string(),
        }
    }

    /// The question to ask in place of this one; `None` if no name answers it.
    pub fn question(&self, query: &Query) -> Option<Query> {
        let Target::Name(name) = &self.target else { return None };
        // With an OPT record, so that errors come back with the answer.
        let edns = Some(Edns { payload: 1232, dnssec_ok: query.dnssec_ok(), asked: Asked::default() });
        let question_end = HEADER + name.as_wire().len() + 4;
        Some(Query { name: (**name).clone(), question_end, edns, stand_in: 0, ..query.clone() })
    }

    /// A whole answer with the address, for A; with nothing for all other types.
    pub fn fixed(&self, query: &Query) -> Vec<u8> {
        let mut message = question(query, rcode::NOERROR);
        match &self.target {
            Target::Address(address) if query.qtype == rtype::A => {
                message.extend_from_slice(&record(rtype::A, TTL, &address.octets()));
                put_u16(&mut message, 6, 1);
            }
            _ => {
                message.extend_from_slice(&soa(TTL));
                put_u16(&mut message, 8, 1);
            }
        }
        message
    }

    /// A whole answer: an alias of the name asked for, and what `entry`, the
    /// answer to the question `asked`, says of the name behind it.
    ///
    /// Signatures are left out: they are of other names, and an alias that
    /// nobody signed makes none of them prove anything.
    ///
    /// # Errors
    /// The answer cannot be written under another name.
    pub fn alias(&self, query: &Query, asked: &Query, entry: &Entry, second: u32) -> Result<Vec<u8>, Malformed> {
        let mut from = vec![0; MOST];
        let plain = Reply::plain(1232);
        let length = entry.write(&mut from, asked, second, None, MOST - 64, &plain);
        let from = &from[..length];
        let mut message = question(query, entry.rcode());
        let mut counts = [0u16; 3];
        if !entry.is_failure() {
            message.extend_from_slice(&record(rtype::CNAME, TTL, asked.name.as_wire()));
            counts[0] = 1;
        }
        let mut name = WireName::ROOT;
        for found in wire::records(from, asked.question_end) {
            let found = found?;
            let data = match (found.section, found.rtype) {
                (Section::Answer, rtype::CNAME) => {
                    name.read(from, found.data)?;
                    name.as_wire().to_vec()
                }
                // Names in these are never compressed (RFC 9460 section 2.2).
                (Section::Answer, rtype::A | rtype::AAAA | rtype::SVCB | rtype::HTTPS | rtype::TXT) => {
                    from[found.data..found.end].to_vec()
                }
                (Section::Authority, rtype::SOA) => {
                    let mut data = Vec::new();
                    let mut at = found.data;
                    for _ in 0..2 {
                        at = name.read(from, at)?;
                        data.extend_from_slice(name.as_wire());
                    }
                    data.extend_from_slice(&from[at..found.end]);
                    data
                }
                // Errors travel in it.
                (Section::Additional, rtype::OPT) => from[found.data..found.end].to_vec(),
                _ => continue,
            };
            name.read(from, found.owner)?;
            message.extend_from_slice(name.as_wire());
            for word in [found.rtype, found.class, (found.ttl >> 16) as u16, found.ttl as u16, data.len() as u16] {
                message.extend_from_slice(&word.to_be_bytes());
            }
            message.extend_from_slice(&data);
            counts[found.section as usize] += 1;
        }
        for (place, count) in [6, 8, 10].into_iter().zip(counts) {
            put_u16(&mut message, place, count);
        }
        Ok(message)
    }
}

/// The header and the question of an answer to `query`.
fn question(query: &Query, code: u8) -> Vec<u8> {
    let mut message = vec![0; HEADER];
    put_u16(&mut message, 2, flag::QR | flag::RD | flag::RA | u16::from(code));
    put_u16(&mut message, 4, 1);
    message.extend_from_slice(query.name.as_wire());
    for word in [query.qtype, class::IN] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand_in(search: Search, name: &str) -> Option<String> {
        let all = SafeSearch::shipped();
        all.of(all.stand_in(search, wire_name(name).as_wire())).map(StandIn::target)
    }

    const SAFE: Search = Search { safe: true, youtube: YouTube::Free };

    #[test]
    fn engines_are_found_by_exactly_their_names() {
        for (name, target) in [
            ("www.google.com", "forcesafesearch.google.com"),
            ("www.google.al", "forcesafesearch.google.com"),
            ("www.google.co.uk", "forcesafesearch.google.com"),
            ("www.bing.com", "strict.bing.com"),
            ("edgeservices.bing.com", "strict.bing.com"),
            ("duckduckgo.com", "safe.duckduckgo.com"),
            ("start.duckduckgo.com", "safe.duckduckgo.com"),
            ("pixabay.com", "safesearch.pixabay.com"),
            ("www.ecosia.org", "strict-safe-search.ecosia.org"),
            ("search.brave.com", "forcesafe.search.brave.com"),
            ("yandex.com", "213.180.193.56"),
        ] {
            assert_eq!(stand_in(SAFE, name).as_deref(), Some(target), "{name}");
            assert_eq!(stand_in(Search::default(), name), None, "{name}");
            assert_eq!(stand_in(SAFE, &format!("mail.{name}")), None, "below {name}");
        }
        for name in ["google.com", "mail.google.com", "www.google.example", "bing.com", "html.duckduckgo.com"] {
            assert_eq!(stand_in(SAFE, name), None, "{name}");
        }
        // What they lead to leads nowhere else.
        let all = SafeSearch::shipped();
        assert!(all.stand_ins.iter().all(|one| one.target().parse::<Ipv4Addr>().is_ok() || {
            stand_in(Search { safe: true, youtube: YouTube::Strict }, &one.target()).is_none()
        }));
    }

    #[test]
    fn youtube_is_set_apart_from_search() {
        for name in ["www.youtube.com", "m.youtube.com", "youtubei.googleapis.com", "www.youtube-nocookie.com"] {
            let of = |safe, youtube| stand_in(Search { safe, youtube }, name);
            assert_eq!(of(true, YouTube::Free), None);
            assert_eq!(of(false, YouTube::Moderate).as_deref(), Some("restrictmoderate.youtube.com"));
            assert_eq!(of(true, YouTube::Strict).as_deref(), Some("restrict.youtube.com"));
        }
    }
}
