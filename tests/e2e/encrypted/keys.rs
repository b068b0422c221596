//! Certificates: renewed, spoiled, resumed, and of which versions of TLS.

use std::process::Command;
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::Write;

use crate::client::{Ask, SERVFAIL, framed};
use crate::encrypted::{Tls, believing, key, read_answer, tls};
use crate::world::{World, eventually};

const PATIENCE: Duration = Duration::from_secs(20);

fn certificate(stream: &Tls) -> Vec<u8> {
    stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

fn shipped(name: &str) -> Vec<u8> {
    CertificateDer::from_pem_file(key(name)).expect("a certificate of the tests").to_vec()
}

#[test]
fn a_renewed_certificate_is_taken_over_and_a_spoiled_one_is_not() {
    let world = World::new();
    world.write_list("a.list", 1, &[("adult", "old.example")]);
    let settings =
        world.encrypted("[lists]\nfiles = [\"a.list\"]\n[upstream]\ntry_timeout_ms = 100\ndeadline_ms = 200\n");
    let mut daemon = world.start(&[world.upstream(1)], &settings);
    let connect = || tls(world.address(10), world.dot(), &believing("dot")).expect("a TLS connection");
    let mut old = connect();
    assert_eq!(certificate(&old), shipped("server.pem"));

    // Half of a renewal: the certificate is there, its key is not yet.
    world.write("server.pem", std::fs::read(key("renewed.pem")).unwrap());
    daemon.wait_for_log("this is not the key of");
    assert_eq!(certificate(&connect()), shipped("server.pem"));
    let (_, health) = daemon.get("/healthz");
    assert!(health.contains("this is not the key of"), "{health}");

    // It holds nothing else back: a name that is listed meanwhile is blocked.
    assert_eq!(daemon.ask(&Ask::a("new.example")).rcode, SERVFAIL);
    world.write_list("a.list", 2, &[("adult", "new.example")]);
    assert!(eventually(PATIENCE, || daemon.ask(&Ask::a("new.example")).is_blocked()));
    let config = world.write("x", "").with_file_name("friendly.toml");
    let program = env!("CARGO_BIN_EXE_friendly-resolver");
    let checked = Command::new(program).arg("check-config").arg(&config).output().expect("the program");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success() && said.contains("this is not the key of"), "{said}");

    world.write("server.key", std::fs::read(key("renewed.key")).unwrap());
    assert!(eventually(PATIENCE, || certificate(&connect()) == shipped("renewed.pem")));
    // What is open goes on.
    old.write_all(&framed(&Ask::a("localhost").packet())).expect("still open");
    assert!(!read_answer(&mut old).expect("an answer").is_empty());

    for (file, content, says) in [
        ("server.pem", "", "there is no certificate in it"),
        ("server.pem", "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n", "not a PEM file"),
        ("server.key", "nothing\n", "there is no private key in it"),
    ] {
        let good = std::fs::read(key(&file.replace("server", "renewed"))).unwrap();
        world.write(file, content);
        daemon.wait_for_log(says);
        assert_eq!(certificate(&connect()), shipped("renewed.pem"));
        world.write(file, good);
        assert!(eventually(PATIENCE, || daemon.get("/healthz").1.contains("\"status\": \"ok\"")));
    }
}

#[test]
fn sessions_are_resumed_also_after_a_reload() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], &world.encrypted(""));
    let client = believing("dot");
    let mut kinds = Vec::new();
    for round in 0..3 {
        if round == 2 {
            let before = daemon.metric("reloads_total{result=\"done\"}");
            daemon.signal("HUP");
            assert!(eventually(PATIENCE, || daemon.metric("reloads_total{result=\"done\"}") > before));
        }
        let mut stream = tls(world.address(10), world.dot(), &client).expect("a TLS connection");
        kinds.push(stream.conn.handshake_kind());
        stream.write_all(&framed(&Ask::a("localhost").packet())).expect("sent");
        // Tickets come behind the handshake, with the first answer at the latest.
        read_answer(&mut stream).expect("an answer");
    }
    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed), Some(HandshakeKind::Resumed)]);
}

#[test]
fn old_versions_of_tls_and_other_protocols_are_refused() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], &world.encrypted(""));
    let hello = |port: u16, arguments: &[&str]| {
        let at = format!("{}:{port}", daemon.address.ip());
        let mut command = Command::new("openssl");
        command.args(["s_client", "-brief", "-connect", &at, "-CAfile", &key("root.pem").display().to_string()]);
        let output = command.args(arguments).stdin(std::process::Stdio::null()).output().expect("openssl");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (dot, doh) = (world.dot().port(), world.doh().port());
    for port in [dot, doh] {
        for version in ["-tls1_2", "-tls1_3"] {
            assert!(hello(port, &[version]).contains("CONNECTION ESTABLISHED"), "{version}");
        }
        for version in ["-tls1", "-tls1_1"] {
            let said = hello(port, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
            assert!(!said.contains("CONNECTION ESTABLISHED"), "{version}: {said}");
        }
    }
    assert!(hello(dot, &["-alpn", "dot"]).contains("CONNECTION ESTABLISHED"));
    // A client that was led here while it wanted to speak something else.
    assert!(!hello(dot, &["-alpn", "h2"]).contains("CONNECTION ESTABLISHED"));
    assert!(!hello(doh, &["-alpn", "dot"]).contains("CONNECTION ESTABLISHED"));
}
