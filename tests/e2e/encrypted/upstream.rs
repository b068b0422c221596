//! Upstreams over TLS: the right server or none, and never in clear.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::base::iana::Rtype;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::client::{Ask, NOERROR, SERVFAIL, framed};
use crate::encrypted::{NAME, key, read_answer, serving_with};
use crate::liar::{Liar, honest_to};
use crate::operation::clock::start_at;
use crate::world::{World, eventually};

/// A server over TLS that answers honestly.
struct Safe {
    connections: Arc<AtomicUsize>,
    /// Lengths of the questions that came.
    questions: Arc<Mutex<Vec<usize>>>,
    /// Closes a connection after each answer.
    hasty: Arc<AtomicBool>,
}

impl Safe {
    fn start(address: SocketAddr) -> Safe {
        Safe::with("server.pem", address)
    }

    /// With another certificate for the same key.
    fn with(certificate: &str, address: SocketAddr) -> Safe {
        let config = Arc::new(serving_with(certificate, "server.key"));
        let listener = TcpListener::bind(address).expect("the address is free");
        let safe = Safe { connections: Arc::default(), questions: Arc::default(), hasty: Arc::default() };
        let (connections, questions, hasty) = (safe.connections.clone(), safe.questions.clone(), safe.hasty.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (config, questions, hasty) = (config.clone(), questions.clone(), hasty.clone());
                let connections = connections.clone();
                std::thread::spawn(move || serve(socket, config, &connections, &questions, &hasty));
            }
        });
        safe
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

fn serve(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    connections: &AtomicUsize,
    questions: &Mutex<Vec<usize>>,
    hasty: &AtomicBool,
) {
    let mut stream = StreamOwned::new(ServerConnection::new(config).expect("a server"), socket);
    let mut first = true;
    while let Ok(question) = read_answer(&mut stream) {
        // Counted with its first question: a client that goes away has asked nothing.
        connections.fetch_add(usize::from(std::mem::take(&mut first)), SeqCst);
        questions.lock().unwrap().push(question.len());
        if stream.write_all(&framed(&honest_to(&question))).is_err() {
            return;
        }
        if hasty.load(SeqCst) {
            stream.conn.send_close_notify();
            drop(stream.flush());
            return;
        }
    }
}

/// The SHA-256 of the public key in a certificate, in base64.
fn pin(name: &str) -> String {
    let certificate = CertificateDer::from_pem_file(key(name)).expect("a certificate");
    let spki = ParsedCertificate::try_from(&certificate).expect("it can be read").subject_public_key_info();
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    child.stdin.take().expect("piped").write_all(&spki).expect("it reads");
    let text = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("ASCII");
    let digits: Vec<u8> = text.bytes().take(64).map(|digit| (digit as char).to_digit(16).expect("hex") as u8).collect();
    STANDARD.encode(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>())
}

fn settings(servers: &[String]) -> String {
    format!("[upstream]\nservers = {servers:?}\nauthorities = {:?}\ndeadline_ms = 2000\n", key("root.pem"))
}

#[test]
fn many_questions_share_one_connection_and_hide_their_lengths() {
    let world = World::new();
    let safe = Safe::start(world.upstream(1));
    let daemon = world.start(&[], &settings(&[format!("tls://{}#{NAME}", world.upstream(1))]));
    for number in 0..50 {
        let reply = daemon.ask(&Ask::a(&format!("{}.example", "n".repeat(1 + number))));
        assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{reply}");
    }
    assert_eq!(safe.connections(), 1);
    let lengths = safe.questions.lock().unwrap().clone();
    assert!(lengths.len() == 50 && lengths.iter().all(|length| length % 128 == 0), "{lengths:?}");

    // A server that closes after each answer costs nobody an answer.
    safe.hasty.store(true, SeqCst);
    for number in 0..20 {
        let reply = daemon.ask(&Ask::a(&format!("hasty-{number}.example")));
        assert_eq!(reply.rcode, NOERROR, "{reply}");
    }
    assert!(safe.connections() >= 19);
}

#[test]
fn only_the_right_server_is_asked_and_nobody_in_clear() {
    let world = World::new();
    let safe = Safe::start(world.upstream(1));
    // Listens where a fall-back to plain text would ask.
    let plain = Liar::over_udp(world.upstream(1), |_| panic!("asked in clear"));
    let (right, wrong) = (pin("server.pem"), pin("renewed.pem"));
    let at = world.upstream(1);
    for (server, good) in [
        (format!("tls://{at}#{NAME}"), true),
        (format!("tls://{at}#other.example"), false),
        (format!("tls://{at}#sha256/{right}"), true),
        (format!("tls://{at}#sha256/{wrong}"), false),
        (format!("tls://{at}#{NAME}#sha256/{right}"), true),
        (format!("tls://{at}#{NAME}#sha256/{wrong}"), false),
        (format!("tls://{at}#other.example#sha256/{right}"), false),
        (format!("tls://{at}#sha256/{wrong}#sha256/{right}"), true),
    ] {
        let before = safe.connections();
        let daemon = world.start(&[], &settings(std::slice::from_ref(&server)));
        let reply = daemon.ask(&Ask::a("www.example"));
        assert_eq!(reply.rcode, if good { NOERROR } else { SERVFAIL }, "{server}: {reply}");
        assert_eq!(safe.connections() > before, good, "{server}: a question reached the wrong server");
    }
    // Another authority than the one that certified it.
    let unknown = settings(&[format!("tls://{at}#{NAME}")]).replace("root.pem", "renewed.pem");
    let daemon = world.start(&[], &unknown);
    assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, SERVFAIL);
    assert_eq!(plain.count(), 0);
}

/// The only upstream means SERVFAIL within the deadline, and beside it another
/// one over TLS is asked; nobody is asked in clear.
fn assert_is_as_good_as_none(world: &World) {
    let plain = Liar::over_udp(world.upstream(1), |_| panic!("asked in clear"));
    let second = Safe::start(world.upstream(2));
    let [bad, good] = [1, 2].map(|number| format!("tls://{}#{NAME}", world.upstream(number)));
    // Both authorities of the tests, so that neither is what is wrong.
    let roots = ["root.pem", "expired-root.pem"].map(|name| std::fs::read(key(name)).expect("a key of the tests"));
    let roots = world.write("roots.pem", roots.concat());
    let settings =
        |servers: &[String]| settings(servers).replace(&format!("{:?}", key("root.pem")), &format!("{roots:?}"));
    {
        let daemon = world.start(&[], &settings(std::slice::from_ref(&bad)));
        let begin = Instant::now();
        let reply = daemon.ask(&Ask::a("www.example"));
        assert!(reply.rcode == SERVFAIL && [vec![22], vec![23]].contains(&reply.ede()), "{reply}");
        assert!(begin.elapsed() < Duration::from_secs(5), "after {:?}", begin.elapsed());
        assert!(daemon.metric("upstream_errors_total") + daemon.metric("upstream_timeouts_total") >= 1);
    }
    let daemon = world.start(&[], &settings(&[bad, good]));
    for number in 0..5 {
        let reply = daemon.ask(&Ask::a(&format!("n{number}.example")));
        assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{reply}");
    }
    assert!(second.connections() >= 1 && plain.count() == 0);
}

#[test]
fn f11_a_server_whose_certificate_is_out_of_date_is_no_server() {
    let world = World::new();
    let expired = Safe::with("expired.pem", world.upstream(1));
    let server = settings(&[format!("tls://{}#{NAME}", world.upstream(1))]).replace("root.pem", "expired-root.pem");
    {
        // In its time it was fine.
        let daemon = start_at(&world, &[], "@2020-01-15 12:00:00", &server);
        assert_eq!(daemon.ask(&Ask::a("www.example")).rcode, NOERROR);
    }
    let before = expired.connections();
    assert_is_as_good_as_none(&world);
    assert_eq!(expired.connections(), before, "a question reached it");
}

#[test]
fn f11_a_server_that_speaks_no_newer_tls_than_1_1_is_no_server() {
    let world = World::new();
    let at = world.upstream(1).to_string();
    let file = |name: &str| key(name).display().to_string();
    let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &at, "-cert", &file("server.pem"), "-key", &file("server.key")])
        .args(old)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("install the Debian package 'openssl'");
    // A client as old as it gets through.
    let connects = || {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-brief", "-connect", &at]).args(old).stdin(Stdio::null());
        String::from_utf8_lossy(&client.output().expect("openssl").stderr).contains("Protocol version: TLSv1.1")
    };
    assert!(eventually(Duration::from_secs(20), connects), "the server does not start");
    assert_is_as_good_as_none(&world);
    server.kill().expect("our own child");
    server.wait().expect("our own child");
}

#[test]
fn f11_a_server_that_resets_in_the_middle_of_the_handshake_is_no_server() {
    let world = World::new();
    let listener = TcpListener::bind(world.upstream(1)).expect("the address is free");
    let resets = Arc::new(AtomicUsize::new(0));
    let count = resets.clone();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            // The client has said hello, and waits.
            if socket.read(&mut [0; 64]).is_ok_and(|length| length > 0) {
                count.fetch_add(1, SeqCst);
            }
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("sockets linger");
        }
    });
    assert_is_as_good_as_none(&world);
    assert!(resets.load(SeqCst) >= 2);
}

#[test]
fn another_server_over_tls_steps_in_and_the_first_comes_back() {
    let world = World::new();
    let second = Safe::start(world.upstream(2));
    let servers = [1, 2].map(|number| format!("tls://{}#{NAME}", world.upstream(number)));
    let daemon = world.start(&[], &settings(&servers));
    for number in 0..5 {
        assert_eq!(daemon.ask(&Ask::a(&format!("n{number}.example"))).rcode, NOERROR);
    }
    assert!(second.connections() >= 1);
    let first = Safe::start(world.upstream(1));
    let mut number = 0;
    let back = eventually(Duration::from_secs(30), || {
        number += 1;
        daemon.ask(&Ask::a(&format!("later-{number}.example")));
        first.connections() > 0
    });
    assert!(back, "the first server is asked again");
}

#[test]
fn unbound_answers_over_tls() {
    let world = World::new();
    let at = world.upstream(1);
    let file = |name: &str| key(name).display().to_string();
    let config = format!(
        "server:\n directory: \"\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n \
         do-daemonize: no\n num-threads: 1\n interface: {}@{}\n tls-port: {}\n tls-service-key: \"{}\"\n \
         tls-service-pem: \"{}\"\n access-control: 127.0.0.0/8 allow\n do-not-query-localhost: no\n \
         local-zone: \"lab.example\" static\n local-data: \"www.lab.example 300 A 198.18.0.9\"\n\
         remote-control:\n control-enable: no\n",
        at.ip(),
        at.port(),
        at.port(),
        file("server.key"),
        file("server.pem"),
    );
    let config = world.write("unbound.conf", config);
    let mut unbound = Command::new("unbound")
        .args(["-d", "-c"])
        .arg(config)
        .stderr(Stdio::null())
        .spawn()
        .expect("install the Debian package 'unbound'");
    assert!(eventually(Duration::from_secs(20), || TcpStream::connect(at).is_ok()), "unbound does not start");
    let daemon = world.start(&[], &settings(&[format!("tls://{at}#{NAME}")]));
    let reply = daemon.ask(&Ask::a("www.lab.example"));
    let missing = daemon.ask(&Ask::a("nobody.lab.example"));
    unbound.kill().expect("our own child");
    unbound.wait().expect("our own child");
    assert_eq!(reply.data(Rtype::A), ["198.18.0.9"], "{reply}");
    assert_eq!(missing.rcode, 3, "{missing}");
}
