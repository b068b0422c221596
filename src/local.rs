//! Names that never go to an upstream.
//!
//! Two kinds, at two places of the pipeline. *Signals* come first, before the
//! filter: browsers and phones read them to decide whether they may walk around
//! the network's resolver, and no list may change them. *Empty zones* come
//! behind the filter: special-use names (RFC 6761 and its successors) and
//! private reverse zones (RFC 6303), of which upstreams know nothing good; an
//! operator can hand them on (`[local] forward`).
//!
//! The resolver's own designation belongs to the signals: where its encrypted
//! transports are (RFC 9462), and what it says about itself (RFC 9606).

use signed_list::name::Name;

use crate::answer::{Answer, record, record_of, soa};
use crate::config::{Config, PrivateRelay};
use crate::discovery::{Service, resolver_info};
use crate::edns::{NSID_MOST, Reply};
use crate::query::Query;
use crate::wire::{WireName, class, flag, rcode, rtype};

/// Negative answers of local zones live this long, in seconds.
const TTL: u32 = 600;

/// Prepared local answers.
pub struct Local {
    /// Zones that hold nothing, in canonical wire form, by top-level domain.
    top: Vec<Box<[u8]>>,
    arpa: Vec<Box<[u8]>>,
    private_relay: PrivateRelay,
    firefox_canary: bool,
    version: Option<Vec<u8>>,
    identity: Option<Vec<u8>>,
    nsid: Vec<u8>,
    soa: Vec<u8>,
    own: Option<Own>,
    localhost: [Vec<u8>; 3],
}

/// What this resolver says about itself.
struct Own {
    /// Its name, and the one below it where its services are asked for
    /// (RFC 9461 section 3), in canonical wire form.
    name: Box<[u8]>,
    services_name: Box<[u8]>,
    /// SVCB records, and how many.
    services: Vec<u8>,
    count: u16,
    info: Vec<u8>,
}

/// RFC 6761, 6762, 7686, 9476. `localhost` answers with the loopback address.
const TOP: &[&str] = &["localhost", "test", "invalid", "local", "onion", "alt"];

/// RFC 6303, 7793, 8375, 9665.
const ARPA: &[&str] = &[
    "home.arpa",
    "service.arpa",
    "0.in-addr.arpa",
    "10.in-addr.arpa",
    "127.in-addr.arpa",
    "254.169.in-addr.arpa",
    "168.192.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "255.255.255.255.in-addr.arpa",
    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    "c.f.ip6.arpa",
    "d.f.ip6.arpa",
    "8.e.f.ip6.arpa",
    "9.e.f.ip6.arpa",
    "a.e.f.ip6.arpa",
    "b.e.f.ip6.arpa",
    "8.b.d.0.1.0.0.2.ip6.arpa",
];

const DESIGNATION: &[u8] = b"\x04_dns\x08resolver\x04arpa\x00";
const RESOLVER_ARPA: &[u8] = b"\x08resolver\x04arpa\x00";
const LOCALHOST: &[u8] = b"\x09localhost\x00";
const LOOPBACK_PTR: &[u8] = b"\x011\x010\x010\x03127\x07in-addr\x04arpa\x00";
const FIREFOX: &[u8] = b"\x13use-application-dns\x03net\x00";
const RELAY: &[&[u8]] = &[b"\x04mask\x06icloud\x03com\x00", b"\x07mask-h2\x06icloud\x03com\x00"];

impl Local {
    /// Prepares the answers that the configuration asks for.
    pub fn new(config: &Config) -> Self {
        let wire = |text: &str| Box::<[u8]>::from(Name::parse(text).expect("a zone in this file").as_wire());
        let kept = |zone: &[u8]| !config.local.forward.iter().any(|name| name.as_wire() == zone);
        let ranges = (16..32).map(|n| format!("{n}.172.in-addr.arpa"));
        let shared = (64..128).map(|n| format!("{n}.100.in-addr.arpa"));
        let arpa = ARPA.iter().map(|zone| wire(zone));
        let arpa = arpa.chain(ranges.chain(shared).map(|zone| wire(&zone)));
        Local {
            top: TOP.iter().map(|zone| wire(zone)).filter(|zone| kept(zone)).collect(),
            arpa: arpa.filter(|zone| kept(zone)).collect(),
            private_relay: config.local.private_relay,
            firefox_canary: config.local.firefox_canary,
            version: config.local.version.as_deref().map(txt),
            identity: config.local.identity.as_deref().map(txt),
            nsid: config.local.identity.iter().flat_map(|name| name.bytes()).take(NSID_MOST).collect(),
            soa: soa(TTL),
            own: Own::new(config),
            localhost: [
                record(rtype::A, TTL, &[127, 0, 0, 1]),
                record(rtype::AAAA, TTL, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
                record(rtype::PTR, TTL, LOCALHOST),
            ],
        }
    }

    /// The name of this server for those who ask for it (RFC 5001); empty if it
    /// tells nobody.
    #[inline]
    pub fn nsid(&self) -> &[u8] {
        &self.nsid
    }

    /// Answers to signal names; `None` for all others. Returns the length.
    #[inline]
    pub fn signal(&self, packet: &mut [u8], query: &Query, reply: &Reply<'_>) -> Option<usize> {
        let name = query.name.as_wire();
        if let Some(own) = &self.own
            && let Some(length) = own.answer(packet, query, reply)
        {
            return Some(length);
        }
        // Nearly every name fails on its length or its top-level domain.
        match name.len() {
            17 | 20 if RELAY.contains(&name) => match self.private_relay {
                PrivateRelay::NxDomain => Some(self.negative(packet, query, rcode::NXDOMAIN, reply)),
                PrivateRelay::NoData => Some(self.negative(packet, query, rcode::NOERROR, reply)),
                PrivateRelay::Forward => None,
            },
            25 if self.firefox_canary && name == FIREFOX => Some(self.negative(packet, query, rcode::NXDOMAIN, reply)),
            // An upstream's designation (RFC 9462) would move phones off the
            // filter: nothing of resolver.arpa ever leaves this host.
            _ if query.name.tld() == b"\x04arpa\x00" && query.name.is_same_or_below(RESOLVER_ARPA) => {
                Some(self.negative(packet, query, rcode::NOERROR, reply))
            }
            _ => None,
        }
    }

    /// Answers to names in empty zones; `None` for all others.
    #[inline]
    pub fn empty_zone(&self, packet: &mut [u8], query: &Query, reply: &Reply<'_>) -> Option<usize> {
        let tld = query.name.tld();
        if tld == b"\x04arpa\x00" {
            let zone = self.arpa.iter().find(|zone| query.name.is_same_or_below(zone))?;
            // DS stands above the cut, in `arpa`: only its proof that the zone
            // is unsigned lets a validating client believe the answers below
            // (RFC 8375 section 4, item 4; RFC 6303 section 3).
            if query.qtype == rtype::DS && query.name.as_wire() == &**zone {
                return None;
            }
            return Some(self.inside(packet, query, zone, reply));
        }
        let zone = self.top.iter().find(|zone| &***zone == tld)?;
        Some(self.inside(packet, query, zone, reply))
    }

    fn inside(&self, packet: &mut [u8], query: &Query, zone: &[u8], reply: &Reply<'_>) -> usize {
        let name = query.name.as_wire();
        let found = match query.qtype {
            rtype::A if zone == LOCALHOST => Some(0),
            rtype::AAAA if zone == LOCALHOST => Some(1),
            rtype::PTR if name == LOOPBACK_PTR || is_loopback_v6(zone) => Some(2),
            _ => None,
        };
        if let Some(index) = found {
            let mut answer = Answer::new(packet, query, rcode::NOERROR);
            answer.records(&self.localhost[index], [1, 0, 0]);
            return answer.finish(query, reply, 0, &[]);
        }
        // The names between a zone and 1.0.0.127 exist, too, because it does: a
        // client that was told otherwise need not ask for it (RFC 8020).
        let exists = name == zone || zone == LOCALHOST || LOOPBACK_PTR.ends_with(name);
        let code = if exists { rcode::NOERROR } else { rcode::NXDOMAIN };
        self.negative(packet, query, code, reply)
    }

    fn negative(&self, packet: &mut [u8], query: &Query, code: u8, reply: &Reply<'_>) -> usize {
        let mut answer = Answer::new(packet, query, code);
        answer.records(&self.soa, [0, 1, 0]);
        answer.finish(query, reply, 0, &[])
    }

    /// The answer to `version.bind` and its kin in class CH, where configured.
    pub fn chaos(&self, packet: &mut [u8], query: &Query, reply: &Reply<'_>) -> Option<usize> {
        let text = match query.name.as_wire() {
            b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => self.version.as_ref(),
            b"\x02id\x06server\x00" | b"\x08hostname\x04bind\x00" => self.identity.as_ref(),
            _ => None,
        }?;
        if !matches!(query.qtype, rtype::TXT | rtype::ANY) {
            return None;
        }
        let mut answer = Answer::new(packet, query, rcode::NOERROR);
        answer.records(text, [1, 0, 0]);
        Some(answer.finish(query, reply, 0, &[]))
    }

    /// The empty zone that holds this name, for `explain`.
    pub fn zone_of(&self, name: &WireName) -> Option<&[u8]> {
        let zones = self.top.iter().chain(&self.arpa);
        zones.map(|zone| &**zone).find(|zone| name.is_same_or_below(zone))
    }

    /// Whether the name is a signal that is answered here, for `explain`.
    pub fn is_signal(&self, name: &WireName) -> bool {
        let wire = name.as_wire();
        name.is_same_or_below(RESOLVER_ARPA)
            || self.own.as_ref().is_some_and(|own| wire == &*own.services_name)
            || RELAY.contains(&wire) && self.private_relay != PrivateRelay::Forward
            || wire == FIREFOX && self.firefox_canary
    }
}

impl Own {
    fn new(config: &Config) -> Option<Self> {
        let discovery = config.discovery.as_ref()?;
        let name = discovery.name.as_wire();
        let services = config.tls.as_ref().map(Service::all).unwrap_or_default();
        let svcb = |(priority, service): (u16, &Service)| record(rtype::SVCB, TTL, &service.svcb(priority, name));
        Some(Own {
            name: name.into(),
            services_name: [b"\x04_dns", name].concat().into(),
            count: services.len() as u16,
            services: (1..).zip(&services).flat_map(svcb).collect(),
            info: record(rtype::RESINFO, TTL, &resolver_info(config, discovery)),
        })
    }

    #[inline]
    fn answer(&self, packet: &mut [u8], query: &Query, reply: &Reply<'_>) -> Option<usize> {
        let name = query.name.as_wire();
        let (records, count) = match query.qtype {
            rtype::SVCB if self.count > 0 && (name == DESIGNATION || name == &*self.services_name) => {
                (&self.services, self.count)
            }
            rtype::RESINFO if name == RESOLVER_ARPA || name == &*self.name => (&self.info, 1),
            _ => return None,
        };
        let mut answer = Answer::new(packet, query, rcode::NOERROR);
        answer.set(flag::AA);
        answer.records(records, [count, 0, 0]);
        Some(answer.finish(query, reply, 0, &[]))
    }
}

/// Whether this is the zone of `::1`, the only reverse zone that begins with a 1.
fn is_loopback_v6(zone: &[u8]) -> bool {
    zone.starts_with(b"\x011\x010")
}

fn txt(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(255)];
    record_of(class::CH, rtype::TXT, 0, &[&[text.len() as u8], text].concat())
}
