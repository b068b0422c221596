//! How clients find the encrypted transports of this resolver, and what they
//! may know about it: service parameters (RFC 9461) for Discovery of Designated
//! Resolvers (RFC 9462), and resolver information (RFC 9606).

pub mod dnr;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::config::{BlockAnswer, Config, Discovery, Tls};
use crate::wire::ede;

/// Keys of service parameters (RFC 9460 section 14.3, RFC 9461).
mod key {
    pub(super) const ALPN: u16 = 1;
    pub(super) const PORT: u16 = 3;
    pub(super) const IPV4HINT: u16 = 4;
    pub(super) const IPV6HINT: u16 = 6;
    pub(super) const DOHPATH: u16 = 7;
}

/// One way to reach this resolver over TLS.
pub struct Service {
    /// `dot`, or `h2` for HTTPS.
    pub alpn: &'static str,
    /// TCP port.
    pub port: u16,
    /// Path template of questions over HTTPS.
    pub path: Option<String>,
    /// Addresses that it has, as far as the configuration names them.
    pub addresses: Vec<IpAddr>,
}

impl Service {
    /// The ways in the order in which clients should try them.
    pub fn all(tls: &Tls) -> Vec<Service> {
        let path = format!("{}{{?dns}}", tls.path);
        let of = |listen: &[SocketAddr], alpn, path: Option<String>| {
            // One for each port; the order of the configuration counts.
            let mut services: Vec<Service> = Vec::new();
            for address in listen {
                let at = services.iter().position(|service| service.port == address.port());
                let at = at.unwrap_or_else(|| {
                    services.push(Service { alpn, port: address.port(), path: path.clone(), addresses: Vec::new() });
                    services.len() - 1
                });
                if !address.ip().is_unspecified() {
                    services[at].addresses.push(address.ip());
                }
            }
            services
        };
        let mut all = of(&tls.dot, "dot", None);
        all.extend(of(&tls.doh, "h2", Some(path)));
        all
    }

    /// Service parameters in wire form (RFC 9460 section 2.2), with or without
    /// address hints: DNR carries addresses beside them and forbids hints
    /// (RFC 9463 section 3.1.8).
    pub fn parameters(&self, hints: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut parameter = |key: u16, value: &[u8]| {
            out.extend_from_slice(&key.to_be_bytes());
            out.extend_from_slice(&(value.len() as u16).to_be_bytes());
            out.extend_from_slice(value);
        };
        parameter(key::ALPN, &[&[self.alpn.len() as u8], self.alpn.as_bytes()].concat());
        parameter(key::PORT, &self.port.to_be_bytes());
        if hints {
            let v4: Vec<u8> = self.addresses.iter().filter_map(|ip| octets_v4(*ip)).flatten().collect();
            let v6: Vec<u8> = self.addresses.iter().filter_map(|ip| octets_v6(*ip)).flatten().collect();
            if !v4.is_empty() {
                parameter(key::IPV4HINT, &v4);
            }
            if !v6.is_empty() {
                parameter(key::IPV6HINT, &v6);
            }
        }
        if let Some(path) = &self.path {
            parameter(key::DOHPATH, path.as_bytes());
        }
        out
    }

    /// Data of its SVCB record.
    pub fn svcb(&self, priority: u16, name: &[u8]) -> Vec<u8> {
        [&priority.to_be_bytes()[..], name, &self.parameters(true)].concat()
    }
}

/// The four octets of an IPv4 address.
pub fn octets_v4(ip: IpAddr) -> Option<[u8; 4]> {
    match ip {
        IpAddr::V4(ip) => Some(ip.octets()),
        IpAddr::V6(_) => None,
    }
}

/// The sixteen octets of an IPv6 address.
pub fn octets_v6(ip: IpAddr) -> Option<[u8; 16]> {
    match ip {
        IpAddr::V6(ip) => Some(ip.octets()),
        IpAddr::V4(_) => None,
    }
}

/// Data of the RESINFO record (RFC 9606 section 5): a string for each key. Of
/// extended errors exactly those that this resolver makes by itself.
pub fn resolver_info(config: &Config, discovery: &Discovery) -> Vec<u8> {
    let mut codes = BTreeSet::from([
        ede::CACHED_ERROR,
        ede::NOT_READY,
        ede::PROHIBITED,
        ede::NOT_SUPPORTED,
        ede::NO_REACHABLE_AUTHORITY,
        ede::NETWORK_ERROR,
        // What policies deny by themselves.
        ede::FILTERED,
    ]);
    if config.cache.stale_max > 0 {
        codes.extend([ede::STALE_ANSWER, ede::STALE_NXDOMAIN]);
    }
    for category in &config.categories {
        codes.insert(category.ede);
        if matches!(category.answer, BlockAnswer::Null | BlockAnswer::Addresses { .. }) {
            codes.insert(ede::FORGED_ANSWER);
        }
    }
    let mut data = Vec::new();
    let mut string = |text: String| {
        data.push(text.len() as u8);
        data.extend_from_slice(text.as_bytes());
    };
    string(format!("exterr={}", ranges(&codes)));
    if let Some(url) = &discovery.info_url {
        string(format!("infourl={url}"));
    }
    data
}

/// Numbers as RFC 9606 section 5 writes them: `3-4,15,17`.
fn ranges(numbers: &BTreeSet<u16>) -> String {
    let mut out: Vec<(u16, u16)> = Vec::new();
    for number in numbers.iter().copied() {
        match out.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => out.push((number, number)),
        }
    }
    let text = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    out.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_a_range() {
        let text = |numbers: &[u16]| ranges(&numbers.iter().copied().collect());
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[15]), "15");
        assert_eq!(text(&[3, 4, 15, 17, 18, 19, 22]), "3-4,15,17-19,22");
    }
}
