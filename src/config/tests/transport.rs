//! Encrypted transports, in both directions, and discovery.

use super::*;

#[test]
fn the_stop_page_has_a_place_and_a_reader() {
    let page = accepted("[stop_page]\nlisten = [\"192.0.2.80:80\"]\n").stop_page.expect("a page");
    assert!(page.reviews.is_none());
    let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let listen = "[stop_page]\nlisten = [\"192.0.2.80:80\"]\n";
    let both = format!("{listen}reviews = \"r\"\nrecipient = \"{key}\"\n");
    let reviews = accepted(&both).stop_page.and_then(|page| page.reviews).expect("reviews");
    assert_eq!((reviews.directory.as_path(), &*reviews.recipient), (Path::new("etc/r"), key));
    one(&format!("{listen}reviews = \"r\""), 4, &["'recipient' in [stop_page] is missing"]);
    one(&format!("{listen}recipient = \"{key}\""), 4, &["'reviews' in [stop_page] is missing"]);
    one(&format!("{listen}reviews = \"r\"\nrecipient = \"age1nobody\""), 5, &["no public key of age", "appeal key"]);
    one(&format!("[stop_page]\nreviews = \"r\"\nrecipient = \"{key}\""), 3, &["stands without a page"]);
    one(
        "[server]\nlisten = [\"192.0.2.80:80\"]\n[stop_page]\nlisten = [\"192.0.2.80:80\"]",
        5,
        &["[stop_page] is taken already, see line 3"],
    );
    assert!(accepted("[structured_errors]\nenabled = false\n").structured_errors.is_none());
    let option = accepted("[structured_errors]\noption = 65023\n").structured_errors.expect("on").option;
    assert_eq!(option, Some(65023));
}

const TLS: &str = "[tls]\ncertificate = \"a.pem\"\nkey = \"credential:key\"\n";

#[test]
fn certificate_key_and_addresses_belong_together() {
    let config = accepted(&format!("{TLS}dot = [\"192.0.2.1:853\"]\ndoh = [\"[::1]:443\"]\npath = \"/q\"\n"));
    let tls = config.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("etc/a.pem"));
    assert_eq!(tls.key, Identity::Credential("key".into()));
    assert_eq!((tls.dot.len(), tls.doh.len(), &*tls.path), (1, 1, "/q"));
    assert_eq!(accepted("").tls, None);
    one(TLS, 3, &["has a certificate and serves nobody", "'dot' or 'doh'"]);
    one("[tls]\ndot = [\"192.0.2.1:853\"]", 3, &["'certificate' in [tls] is missing", "'dot' cannot be served"]);
    one("[tls]\nkey = \"a\"", 3, &["'certificate' in [tls] is missing"]);
    one("[tls]\ncertificate = \"a\"\ndoh = [\"192.0.2.1:443\"]", 3, &["'key' in [tls] is missing"]);
}

#[test]
fn no_address_serves_two_transports() {
    let twice = format!("{TLS}dot = [\"192.0.2.1:853\"]\ndoh = [\"192.0.2.1:853\"]\n");
    one(&twice, 6, &["192.0.2.1:853 in [tls] is taken already, see line 5"]);
    let plain = format!("{TLS}dot = [\"192.0.2.1:53\"]\n[server]\nlisten = [\"192.0.2.1:53\"]\n");
    one(&plain, 5, &["192.0.2.1:53 in [tls] is taken already, see line 7"]);
    let admin = format!("{TLS}doh = [\"127.0.0.1:8443\"]\n[admin]\nlisten = \"127.0.0.1:8443\"\n");
    one(&admin, 7, &["127.0.0.1:8443 is taken twice, once by [admin]"]);
    // Datagrams and connections of one address are two things, and port 0 is always another one.
    accepted(&format!("{TLS}dot = [\"192.0.2.1:0\"]\ndoh = [\"192.0.2.1:0\"]\n"));
}

#[test]
fn paths_and_pages_are_checked() {
    for path in ["", "dns-query", "/a b", "/{dns}", "/ë", "/a?b"] {
        one(&format!("[tls]\npath = \"{path}\""), 3, &["is not such a path", "/dns-query"]);
    }
    let discovery =
        accepted("[discovery]\nname = \"r.example\"\ninfo_url = \"https://r.example/a\"\n").discovery.unwrap();
    assert_eq!(discovery.info_url.as_deref(), Some("https://r.example/a"));
    for url in ["http://r.example/", "r.example", "https://"] {
        one(&format!("[discovery]\nname = \"r.example\"\ninfo_url = \"{url}\""), 4, &["not the https address"]);
    }
    one("[discovery]\ninfo_url = \"https://r.example/\"", 3, &["stands without a 'name'"]);
}

#[test]
fn upstreams_over_tls_say_how_they_prove_themselves() {
    let pin = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let servers = format!(
        "[upstream]\nservers = [\"tls://192.0.2.53#dns.example\", \"tls://[2001:db8::53]:8853#sha256/{pin}\", \
         \"tls://2001:db8::54#sha256/{pin}#dns.example#sha256/{pin}\"]\n"
    );
    let peers = accepted(&servers).upstream.servers;
    let [first, second, third] = &peers[..] else { panic!("{peers:?}") };
    assert_eq!(first.address, "192.0.2.53:853".parse().unwrap());
    assert_eq!(first.tls.as_ref().unwrap().name.as_deref(), Some("dns.example"));
    assert_eq!(second.address, "[2001:db8::53]:8853".parse().unwrap());
    assert_eq!((&second.tls.as_ref().unwrap().name, second.tls.as_ref().unwrap().pins.len()), (&None, 1));
    assert_eq!(third.address.port(), 853);
    assert_eq!(third.tls.as_ref().unwrap().pins.len(), 2);
    for (server, words) in [
        ("tls://192.0.2.53", "does not say how the server proves"),
        ("tls://192.0.2.53#", "is not a domain name"),
        ("tls://dns.example#dns.example", "is not the address of a resolver"),
        ("tls://192.0.2.53#a.example#b.example", "has two names"),
        ("tls://192.0.2.53#sha256/abc", "is not a SHA-256 in base64"),
        ("https://192.0.2.53/dns-query", "is not the address of a resolver"),
        ("192.0.2.53#dns.example", "is not the address of a resolver"),
    ] {
        one(&format!("[upstream]\nservers = [\"{server}\"]"), 3, &[words]);
    }
}

#[test]
fn encrypted_upstreams_and_plain_ones_do_not_stand_side_by_side() {
    let both = "[upstream]\nservers = [\"tls://192.0.2.53#dns.example\",\n\"192.0.2.54\"]";
    one(both, 4, &["192.0.2.54:53 would be asked in clear", "tls://"]);
}
