//! Addresses and networks of the configuration file: what may be bound, asked,
//! or served. See `value.rs` for how values are read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::BlockAnswer;
use super::value::{Text, Written, choose};

impl Written for IpNet {
    const EXPECTED: &'static str = r#"a network, as in "192.0.2.0/24" or "2001:db8::/32""#;
    fn read(text: &str) -> Result<Self, String> {
        let net: IpNet = text.parse().map_err(|_| match text.parse::<IpAddr>() {
            Ok(address) => {
                format!("\"{text}\" has no prefix length; for this one address write \"{}\"", IpNet::from(address))
            }
            Err(_) => format!("\"{text}\" is not a network; write {}", Self::EXPECTED),
        })?;
        if net.trunc() != net {
            return Err(format!(
                "\"{text}\" has bits set behind its prefix; write \"{}\" for the network or \"{}\" \
                 for the one address",
                net.trunc(),
                IpNet::from(net.addr()),
            ));
        }
        // Clients that come over IPv4 are always seen as IPv4, also on a
        // socket for both: such a network would never match anybody.
        if let IpNet::V6(v6) = net
            && v6.prefix_len() >= 96
            && let Some(v4) = v6.addr().to_ipv4_mapped()
            && let Ok(v4) = Ipv4Net::new(v4, v6.prefix_len() - 96)
        {
            return Err(format!("\"{text}\" is an IPv4 network in IPv6 clothes; write \"{v4}\""));
        }
        Ok(net)
    }
}

/// Refuses what no socket of ours can be bound to or connected to.
fn unicast(text: &str, ip: IpAddr) -> Result<(), String> {
    if let IpAddr::V6(v6) = ip
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(format!("\"{text}\" is an IPv4 address in IPv6 clothes; write {v4}"));
    }
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(format!("\"{text}\" is not the address of one machine; write a unicast address"));
    }
    Ok(())
}

/// An address to listen on. Port 0 lets the system choose one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen(pub(super) SocketAddr);

impl Written for Listen {
    const EXPECTED: &'static str = r#"an address with its port, as in "192.0.2.1:53" or "[::1]:53""#;
    fn read(text: &str) -> Result<Self, String> {
        let address: SocketAddr = text.parse().map_err(|_| {
            let bare = text.trim_start_matches('[').trim_end_matches(']');
            match bare.parse::<IpAddr>() {
                Ok(IpAddr::V6(_)) if !text.starts_with('[') => {
                    // `::1:5353` is an address, and was not meant as one.
                    let port = bare
                        .rsplit_once(':')
                        .and_then(|(ip, port)| Some((ip.parse::<Ipv6Addr>().ok()?, port.parse::<u16>().ok()?)));
                    match port.filter(|(_, port)| *port >= 53) {
                        Some((ip, port)) => format!("\"{text}\" has no brackets; write \"[{ip}]:{port}\""),
                        None => format!("\"{text}\" has no port; write \"[{bare}]:53\""),
                    }
                }
                Ok(ip) => format!("\"{text}\" has no port; write \"{}\"", SocketAddr::new(ip, 53)),
                Err(_) => format!("\"{text}\" is not an address to listen on; write {}", Self::EXPECTED),
            }
        })?;
        unicast(text, address.ip())?;
        Ok(Listen(address))
    }
}

/// The address of the admin HTTP server; `None` when empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin(pub(super) Option<SocketAddr>);

impl Written for Admin {
    const EXPECTED: &'static str = r#"a loopback address with its port, as in "127.0.0.1:1054", or "" for none"#;
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Admin(None));
        }
        let address: SocketAddr =
            text.parse().map_err(|_| format!("\"{text}\" is not such an address; write {}", Self::EXPECTED))?;
        unicast(text, address.ip())?;
        if !address.ip().is_loopback() {
            return Err(format!(
                "\"{text}\" can be reached from other machines and the admin pages have no \
                 password; write \"127.0.0.1:{0}\" or \"[::1]:{0}\"",
                address.port()
            ));
        }
        Ok(Admin(Some(address)))
    }
}

/// A resolver to ask; port 53 unless one is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server(pub(super) SocketAddr);

impl Written for Server {
    const EXPECTED: &'static str = r#"an address with or without a port, as in "192.0.2.53" or "[2001:db8::53]:5353""#;
    fn read(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        let address = match text.parse::<SocketAddr>() {
            Ok(address) => address,
            Err(_) => match bare.unwrap_or(text).parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, 53),
                Err(_) => {
                    return Err(format!("\"{text}\" is not the address of a resolver; write {}", Self::EXPECTED));
                }
            },
        };
        unicast(text, address.ip())?;
        if address.ip().is_unspecified() || address.port() == 0 {
            return Err(format!("\"{text}\" cannot be asked; write {}", Self::EXPECTED));
        }
        Ok(Server(address))
    }
}

impl<'de> Deserialize<'de> for BlockAnswer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnswerReader)
    }
}

/// Reads a word, or one or two stop addresses.
struct AnswerReader;

impl<'de> Visitor<'de> for AnswerReader {
    type Value = BlockAnswer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""nxdomain", "nodata", "null" or stop addresses, as in ["192.0.2.80", "2001:db8::80"]"#)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<BlockAnswer, E> {
        // The word is copied out of a table of small numbers: the answer
        // itself is not `Copy`.
        if text.parse::<IpAddr>().is_ok() {
            return Err(E::custom(format!("stop addresses stand in [ ]; write [\"{text}\"]")));
        }
        match choose(text, &[("nxdomain", 0), ("nodata", 1), ("null", 2)]).map_err(E::custom)? {
            0 => Ok(BlockAnswer::NxDomain),
            1 => Ok(BlockAnswer::NoData),
            _ => Ok(BlockAnswer::Null),
        }
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<BlockAnswer, S::Error> {
        let (mut v4, mut v6): (Option<Ipv4Addr>, Option<Ipv6Addr>) = (None, None);
        while let Some(Text(StopAddress(ip))) = seq.next_element()? {
            let before = match ip {
                IpAddr::V4(ip) => v4.replace(ip).map(IpAddr::from),
                IpAddr::V6(ip) => v6.replace(ip).map(IpAddr::from),
            };
            if let Some(before) = before {
                let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
                return Err(S::Error::custom(format!(
                    "{before} and {ip} are both {family} stop addresses; keep one of them"
                )));
            }
        }
        if v4.is_none() && v6.is_none() {
            return Err(S::Error::custom("there is no stop address; write one, or \"null\""));
        }
        Ok(BlockAnswer::Addresses { v4, v6 })
    }
}

/// The address of a stop page.
struct StopAddress(IpAddr);

impl Written for StopAddress {
    const EXPECTED: &'static str = r#"a stop address, as in "192.0.2.80" or "2001:db8::80""#;
    fn read(text: &str) -> Result<Self, String> {
        let ip: IpAddr = text.parse().map_err(|_| format!("\"{text}\" is not an address; write {}", Self::EXPECTED))?;
        unicast(text, ip)?;
        if ip.is_unspecified() {
            return Err(format!("\"{text}\" is no machine; write answer = \"null\" without [ ]"));
        }
        Ok(StopAddress(ip))
    }
}
