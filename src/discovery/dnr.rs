//! Discovery of Network-designated Resolvers (RFC 9463): what the DHCP server or
//! the router of a network hands out, so that devices use the encrypted
//! transports from their first question on.

use std::net::IpAddr;

use super::{Service, octets_v4, octets_v6};

/// The option of DHCPv4, and those of DHCPv6 and of router advertisements.
pub const DHCP_V4: u8 = 162;
/// See [`DHCP_V4`].
pub const DHCP_V6: u16 = 144;
const ADVERTISEMENT: u8 = 144;

/// Content of the DHCPv4 option: one instance for each service that has an
/// IPv4 address (RFC 9463 section 5.1); empty if none has.
pub fn dhcp_v4(services: &[Service], name: &[u8]) -> Vec<u8> {
    let mut option = Vec::new();
    for (priority, service) in (1u16..).zip(services) {
        let addresses: Vec<u8> = service.addresses.iter().filter_map(|ip| octets_v4(*ip)).flatten().collect();
        if addresses.is_empty() {
            continue;
        }
        let instance = [
            &priority.to_be_bytes()[..],
            &[name.len() as u8],
            name,
            &[addresses.len() as u8],
            &addresses,
            &service.parameters(false),
        ]
        .concat();
        option.extend_from_slice(&(instance.len() as u16).to_be_bytes());
        option.extend_from_slice(&instance);
    }
    option
}

/// Contents of the DHCPv6 options, one for each service that has an IPv6
/// address (RFC 9463 section 4.1).
pub fn dhcp_v6(services: &[Service], name: &[u8]) -> Vec<Vec<u8>> {
    let content = |(priority, service): (u16, &Service)| {
        let addresses = of_v6(&service.addresses)?;
        Some([&priority.to_be_bytes()[..], &counted(name), &counted(&addresses), &service.parameters(false)].concat())
    };
    (1..).zip(services).filter_map(content).collect()
}

/// Whole options of router advertisements (RFC 9463 section 6.1), good for so
/// many seconds.
pub fn advertisements(services: &[Service], name: &[u8], lifetime: u32) -> Vec<Vec<u8>> {
    let option = |(priority, service): (u16, &Service)| {
        let addresses = of_v6(&service.addresses)?;
        let mut option = [
            &[ADVERTISEMENT, 0][..],
            &priority.to_be_bytes(),
            &lifetime.to_be_bytes(),
            &counted(name),
            &counted(&addresses),
            &counted(&service.parameters(false)),
        ]
        .concat();
        // In units of eight octets (RFC 4861 section 4.6).
        option.resize(option.len().next_multiple_of(8), 0);
        option[1] = (option.len() / 8) as u8;
        Some(option)
    };
    (1..).zip(services).filter_map(option).collect()
}

fn of_v6(addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let octets: Vec<u8> = addresses.iter().filter_map(|ip| octets_v6(*ip)).flatten().collect();
    (!octets.is_empty()).then_some(octets)
}

fn counted(octets: &[u8]) -> Vec<u8> {
    [&(octets.len() as u16).to_be_bytes()[..], octets].concat()
}

/// The sheet for whoever keeps the DHCP server: each option in hexadecimal
/// digits, and as some servers want it.
///
/// # Errors
/// A sentence: there is nothing to hand out.
pub fn sheet(mut services: Vec<Service>, name: &[u8], shown: &str, addresses: &[IpAddr]) -> Result<String, String> {
    for service in &mut services {
        if !addresses.is_empty() {
            service.addresses = addresses.to_vec();
        }
    }
    let (v4, v6) = (dhcp_v4(&services, name), dhcp_v6(&services, name));
    if v4.is_empty() && v6.is_empty() {
        return Err("[tls] listens on every address; say with --address which ones clients reach".into());
    }
    let mut out = format!("Encrypted transports of {shown}, for DHCP and routers (RFC 9463)\n");
    for (number, service) in (1..).zip(&services) {
        let what = if service.alpn == "dot" { "DNS over TLS" } else { "DNS over HTTPS" };
        let list: Vec<_> = service.addresses.iter().map(ToString::to_string).collect();
        out += &format!("  {number}. {what}, port {}, {}\n", service.port, list.join(", "));
    }
    if !v4.is_empty() {
        out += &format!("\nDHCPv4, option {DHCP_V4}\n{}\n", digits(&v4));
        out += &format!("  dnsmasq: dhcp-option={DHCP_V4},{}\n", colons(&v4));
    }
    for option in &v6 {
        out += &format!("\nDHCPv6, option {DHCP_V6}\n{}\n", digits(option));
    }
    for option in advertisements(&services, name, 3600) {
        out += &format!("\nRouter advertisement, whole option {ADVERTISEMENT}, for an hour\n{}\n", digits(&option));
    }
    Ok(out)
}

/// In lines that a terminal holds.
fn digits(octets: &[u8]) -> String {
    let lines: Vec<String> = octets
        .chunks(32)
        .map(|line| format!("  {}", line.iter().map(|octet| format!("{octet:02x}")).collect::<String>()))
        .collect();
    lines.join("\n")
}

fn colons(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x01r\x07example\x00";

    fn services(addresses: &[&str]) -> Vec<Service> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        vec![
            Service { alpn: "dot", port: 853, path: None, addresses: addresses.clone() },
            Service { alpn: "h2", port: 443, path: Some("/q{?dns}".into()), addresses },
        ]
    }

    /// What has a length of two octets in front.
    fn take<'a>(octets: &mut &'a [u8]) -> &'a [u8] {
        let (length, rest) = octets.split_first_chunk().unwrap();
        let (content, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        *octets = rest;
        content
    }

    const DOT: &[u8] = b"\0\x01\0\x04\x03dot\0\x03\0\x02\x03\x55";
    const DOH: &[u8] = b"\0\x01\0\x03\x02h2\0\x03\0\x02\x01\xbb\0\x07\0\x08/q{?dns}";

    #[test]
    fn dhcp_v4_has_an_instance_for_each_service() {
        let option = dhcp_v4(&services(&["192.0.2.1", "2001:db8::1", "192.0.2.2"]), NAME);
        let mut rest = &option[..];
        for (priority, parameters) in [(1, DOT), (2, DOH)] {
            let expected = [&[0, priority, 11][..], NAME, &[8, 192, 0, 2, 1, 192, 0, 2, 2], parameters].concat();
            assert_eq!(take(&mut rest), expected);
        }
        assert!(rest.is_empty());
        assert!(dhcp_v4(&services(&["2001:db8::1"]), NAME).is_empty());
    }

    #[test]
    fn dhcp_v6_and_advertisements_have_an_option_for_each_service() {
        let services = services(&["192.0.2.1", "2001:db8::1"]);
        let address: [u8; 16] = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        for (number, option) in dhcp_v6(&services, NAME).iter().enumerate() {
            let mut rest = &option[2..];
            assert_eq!(option[..2], [0, 1 + number as u8]);
            assert_eq!((take(&mut rest), take(&mut rest)), (NAME, &address[..]));
            assert_eq!(rest, [DOT, DOH][number]);
        }
        for (number, option) in advertisements(&services, NAME, 3600).iter().enumerate() {
            assert_eq!(option[..8], [144, (option.len() / 8) as u8, 0, 1 + number as u8, 0, 0, 14, 16]);
            let mut rest = &option[8..];
            assert_eq!((take(&mut rest), take(&mut rest)), (NAME, &address[..]));
            assert_eq!(take(&mut rest), [DOT, DOH][number]);
            assert!(rest.len() < 8 && rest.iter().all(|octet| *octet == 0));
        }
    }

    #[test]
    fn whoever_listens_everywhere_has_to_say_where_clients_go() {
        assert!(sheet(services(&[]), NAME, "r.example", &[]).unwrap_err().contains("--address"));
        let sheet = sheet(services(&[]), NAME, "r.example", &["192.0.2.1".parse().unwrap()]).unwrap();
        assert!(sheet.contains("DHCPv4, option 162") && !sheet.contains("DHCPv6"), "{sheet}");
        assert!(sheet.lines().all(|line| line.len() <= 80 || line.contains("dhcp-option")), "{sheet}");
    }
}
