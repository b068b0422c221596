//! Single settings, and settings that contradict each other.

use super::*;

#[test]
fn numbers_have_a_range_and_both_ends_are_in_it() {
    for (table, key, min, max) in [
        ("server", "workers", 0u64, 512u64),
        ("server", "udp_payload_size", 512, 4096),
        ("server", "tcp_connections", 1, 1_000_000),
        ("server", "tcp_connections_per_client", 1, 1_000_000),
        ("server", "tcp_pipeline", 1, 65_535),
        ("server", "tcp_idle_timeout", 1, 600),
        ("server", "in_flight", 1, 1_000_000),
        ("rate_limit", "per_address", 1, 10_000_000),
        ("rate_limit", "per_network", 1, 10_000_000),
        ("rate_limit", "burst", 1, 60),
        ("rate_limit", "slip", 0, 100),
        ("upstream", "try_timeout_ms", 50, 10_000),
        ("upstream", "deadline_ms", 100, 30_000),
        ("cache", "min_ttl", 0, 86_400),
        ("cache", "max_ttl", 1, 604_800),
        ("cache", "max_negative_ttl", 0, 86_400),
        ("cache", "stale_max", 0, 604_800),
        ("cache", "stale_ttl", 1, 3_600),
        ("cache", "stale_wait_ms", 0, 30_000),
        ("category.a", "ede", 0, 65_535),
        ("category.a", "ttl", 0, 86_400),
    ] {
        // Neighbours that leave the whole range to the key under test.
        let around = match key {
            "tcp_connections_per_client" => "tcp_connections = 1000000",
            "per_address" => "per_network = 10000000",
            "per_network" => "per_address = 1",
            "try_timeout_ms" => "deadline_ms = 30000",
            "deadline_ms" => "try_timeout_ms = 50",
            "max_ttl" => "min_ttl = 0",
            "ede" | "ttl" => "layer = \"family\"",
            _ => "",
        };
        let with = |value: &str| format!("[{table}]\n{key} = {value}\n{around}\n");
        accepted(&with(&min.to_string()));
        accepted(&with(&max.to_string()));
        let range = format!("allowed are {min} to {max}");
        let type_hint = format!("write a whole number from {min} to {max}");
        let place = format!("'{key}' in [{table}]");
        let below = i128::from(min) - 1;
        for wrong in [below.to_string(), (max + 1).to_string(), u64::MAX.to_string()] {
            one(&with(&wrong), 3, &[&place, &wrong, &range]);
        }
        one(&with(&"9".repeat(30)), 3, &[&place, &range]);
        for wrong in ["\"5\"", "1.5", "true", "[1]"] {
            one(&with(wrong), 3, &[&place, &type_hint]);
        }
    }
}

#[test]
fn networks_are_refused_with_the_corrected_one() {
    let with = |net: &str| format!("[access]\nallow = [\n  \"::1/128\",\n  \"{net}\",\n]");
    for (net, words) in [
        ("10.1.2.3/8", "write \"10.0.0.0/8\" for the network or \"10.1.2.3/32\""),
        ("2001:db8::1/32", "write \"2001:db8::/32\" for the network or \"2001:db8::1/128\""),
        ("10.0.0.1", "has no prefix length; for this one address write \"10.0.0.1/32\""),
        ("::1", "write \"::1/128\""),
        ("::ffff:10.0.0.0/104", "write \"10.0.0.0/8\""),
        ("::ffff:0:0/96", "write \"0.0.0.0/0\""),
        ("10.0.0.0/33", "is not a network"),
        ("guests", "is not a network; write a network, as in"),
        ("", "is not a network"),
    ] {
        one(&with(net), 5, &["'allow' in [access]", words]);
    }
    for table in ["[rate_limit]\nexempt", "[category.a]\nlayer = \"family\"\naddresses"] {
        let line = 2 + table.matches('\n').count();
        one(&format!("{table} = [\"10.0.0.1/8\"]"), line, &["write \"10.0.0.0/8\""]);
    }
    one("[access]\nallow = []", 3, &["nobody would be served"]);
}

#[test]
fn listen_addresses() {
    for (address, words) in [
        ("127.0.0.1", "has no port; write \"127.0.0.1:53\""),
        ("::1", "has no port; write \"[::1]:53\""),
        ("[::1]", "has no port; write \"[::1]:53\""),
        ("::1:5353", "has no brackets; write \"[::1]:5353\""),
        ("localhost:53", "is not an address to listen on"),
        (":53", "is not an address to listen on"),
        ("127.0.0.1:65536", "is not an address to listen on"),
        ("[::ffff:127.0.0.1]:53", "IPv6 clothes; write 127.0.0.1"),
        ("224.0.0.1:53", "not the address of one machine"),
    ] {
        one(&format!("[server]\nlisten = [\"{address}\"]"), 3, &["'listen' in [server]", words]);
    }
    one("[server]\nlisten = []", 3, &["'listen' in [server] is empty"]);
    let twice = "[server]\nlisten = [\n\"127.0.0.1:53\",\n\"127.0.0.1:53\"]";
    one(twice, 5, &["names 127.0.0.1:53 twice, first in line 4"]);
    let wide = "[server]\nlisten = [\n\"127.0.0.1:53\",\n\"0.0.0.0:53\",\n\"[::1]:53\"]";
    one(wide, 4, &["0.0.0.0:53 is every address and so 127.0.0.1:53, too"]);
    accepted("[server]\nlisten = [\"0.0.0.0:53\", \"[::]:53\", \"127.0.0.1:54\"]\n");
    let free = accepted("[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n");
    assert_eq!(free.server.listen.len(), 2);
}

#[test]
fn upstreams_get_port_53_and_are_never_ourselves() {
    let config = accepted(
        "[upstream]\nservers = [\"192.0.2.53\", \"192.0.2.54:5353\", \"2001:db8::53\", \"[2001:db8::54]\", \"[2001:db8::53]:54\"]",
    );
    let expected = ["192.0.2.53:53", "192.0.2.54:5353", "[2001:db8::53]:53", "[2001:db8::54]:53", "[2001:db8::53]:54"];
    let expected = expected.map(|address| Peer::plain(address.parse().unwrap()));
    assert_eq!(config.upstream.servers, expected);
    for (server, words) in [
        ("dns.example", "is not the address of a resolver"),
        ("0.0.0.0", "cannot be asked"),
        ("192.0.2.1:0", "cannot be asked"),
        ("ff02::1", "not the address of one machine"),
        ("127.0.0.1:1053", "is this resolver itself"),
    ] {
        one(&format!("[upstream]\nservers = [\"{server}\"]"), 3, &[words]);
    }
    let any = "[upstream]\nservers = [\"127.0.0.1\"]\n[server]\nlisten = [\"0.0.0.0:53\"]";
    one(any, 3, &["the upstream 127.0.0.1:53 is this resolver itself"]);
    one("[upstream]\nservers = [\"192.0.2.1\",\n\"192.0.2.1:53\"]", 4, &["twice"]);
}

#[test]
fn the_admin_address_is_loopback_and_its_own() {
    one("[admin]\nlisten = \"0.0.0.0:1054\"", 3, &["no password; write \"127.0.0.1:1054\""]);
    one("[admin]\nlisten = \"192.0.2.1:80\"", 3, &["other machines", "\"[::1]:80\""]);
    one("[admin]\nlisten = \"localhost:80\"", 3, &["loopback address with its port"]);
    one("[admin]\nlisten = \"127.0.0.1:1053\"", 3, &["taken by both [server] and [admin]"]);
    one("[server]\nlisten = [\"0.0.0.0:1054\"]", 3, &["taken by both"]);
    assert_eq!(accepted("[admin]\nlisten = \"\"").admin, None);
    assert_eq!(accepted("[admin]\nlisten = \"[::1]:0\"").admin, Some("[::1]:0".parse().unwrap()));
}

#[test]
fn sizes() {
    for (text, size) in [
        ("0", 0),
        ("0 MiB", 0),
        ("64 KiB", 64 << 10),
        ("64MiB", 64 << 20),
        (" 2  GiB ", 2 << 30),
        ("1024 GiB", 1 << 40),
    ] {
        assert_eq!(accepted(&format!("[cache]\nsize = \"{text}\"")).cache.size, size, "{text}");
    }
    for (text, words) in [
        ("64", "has no unit"),
        ("64 MB", "did you mean \"64 MiB\"?"),
        ("64m", "did you mean \"64 MiB\"?"),
        ("1 TiB", "is not a size"),
        ("1.5 GiB", "is not a size"),
        ("", "is not a size"),
        ("-1 MiB", "is not a size"),
        ("63 KiB", "out of range; allowed are \"64 KiB\" to \"1024 GiB\""),
        ("1025 GiB", "out of range"),
        ("18446744073709551615 GiB", "out of range"),
    ] {
        one(&format!("[cache]\nsize = \"{text}\""), 3, &["'size' in [cache]", words]);
    }
}

#[test]
fn settings_that_contradict_each_other() {
    one("[cache]\nmin_ttl = 100\nmax_ttl = 50", 4, &["'min_ttl' (100) is above 'max_ttl' (50)"]);
    one("[cache]\nmax_ttl = 50\nmin_ttl = 100", 4, &["is above"]);
    one("[rate_limit]\nper_address = 2001", 3, &["'per_network' (2000)", "raise the second"]);
    one("[rate_limit]\n\nper_network = 10", 4, &["'per_address' (500)"]);
    one("[upstream]\ndeadline_ms = 300", 3, &["'try_timeout_ms' (400) is above 'deadline_ms' (300)"]);
    one("[server]\ntcp_connections = 5\ntcp_connections_per_client = 6", 4, &["is above"]);
    // A default that is above what is asked for gives way by itself.
    assert_eq!(accepted("[server]\ntcp_connections = 5").server.tcp_connections_per_client, 5);
}

#[test]
fn words() {
    one("[log]\nlevel = \"inof\"", 3, &["not one of \"error\", \"warn\"", "did you mean \"info\"?"]);
    one("[log]\nformat = \"xml\"", 3, &["\"text\", \"json\""]);
    one("[local]\nprivate_relay = \"block\"", 3, &["\"nxdomain\", \"nodata\", \"forward\""]);
    one("[category.a]\nlayer = \"familly\"", 3, &["did you mean \"family\"?"]);
    let config = accepted("[log]\nlevel = \"debug\"\nformat = \"json\"\n[local]\nprivate_relay = \"forward\"");
    assert_eq!(config.log, Log { level: tracing::Level::DEBUG, json: true });
    assert_eq!(config.local.private_relay, PrivateRelay::Forward);
}

#[test]
fn texts() {
    let config = accepted("[server]\nuser = \"friendly\"\n[local]\nversion = \"1\"\nidentity = \"a\"");
    assert_eq!(config.server.user.as_deref(), Some("friendly"));
    assert_eq!(config.local.version.as_deref(), Some("1"));
    assert_eq!(config.local.identity.as_deref(), Some("a"));
    one("[server]\nuser = \"two words\"", 3, &["is not the name of a user"]);
    one(&format!("[local]\nversion = \"{}\"", "é".repeat(128)), 3, &["has 256 octets; shorten it to 255"]);
}

#[test]
fn names_in_other_tables() {
    let config = accepted("[local]\nforward = [\"home.arpa\"]\n[rebinding]\nallow = [\"portal.example\"]");
    assert_eq!(config.local.forward, [Name::parse("home.arpa").unwrap()]);
    assert_eq!(config.rebinding, Some(vec![Name::parse("portal.example").unwrap()]));
    assert_eq!(accepted("[rebinding]\nenabled = false").rebinding, None);
    assert_eq!(accepted("[rate_limit]\nenabled = false").rate_limit, None);
    for name in ["resolver.arpa", "_dns.resolver.arpa", "arpa"] {
        one(&format!("[local]\nforward = [\"{name}\"]"), 3, &["a way past the filter", "RFC 9462"]);
    }
}
