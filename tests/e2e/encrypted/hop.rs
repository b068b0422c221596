//! What client and resolver say to each other about their hop: cookies,
//! padding, keepalive, the server's name, and where its services are.

use domain::base::Message;
use domain::base::iana::Rtype;
use domain::base::opt::{AllOptData, ComposeOptData, OptData};

use crate::client::{Ask, FORMERR, NOERROR, Reply, tcp, udp_raw};
use crate::encrypted::{NAME, ask_dot, ask_post};
use crate::liar::Liar;
use crate::world::{ANSWER, World};

const NSID: u16 = 3;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;

/// The value of an option in an answer.
fn option(reply: &Reply, code: u16) -> Option<Vec<u8>> {
    let message = Message::from_slice(&reply.octets).expect("read before");
    let opt = message.opt()?;
    for option in opt.opt().iter::<AllOptData<_, _>>() {
        let option = option.expect("an option that can be read");
        if option.code().to_int() == code {
            let mut value = Vec::new();
            option.compose_option(&mut value).expect("a vector");
            return Some(value);
        }
    }
    None
}

#[test]
fn options_are_answered_in_kind_and_never_travel_on() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let settings = world.encrypted("[local]\nidentity = \"hotspot-7\"\n[server]\ntcp_idle_timeout = 7\n");
    let daemon = world.start(&[upstream.address()], &settings);
    let client = world.address(10);
    for name in ["one.example", "use-application-dns.net", "localhost"] {
        let ask = Ask::a(name).option(NSID, b"").option(KEEPALIVE, b"").option(PADDING, &[0; 9]);
        let ask = ask.option(COOKIE, b"octets-8").option(8, &[0, 1, 24, 0, 198, 51, 100]);
        let replies = [
            ("udp", daemon.ask(&ask)),
            ("tcp", daemon.ask_tcp(&ask)),
            ("dot", ask_dot(client, world.dot(), &ask)),
            ("doh", ask_post(client, world.doh(), &ask)),
        ];
        for (transport, reply) in replies {
            let encrypted = transport.starts_with("do");
            let stream = matches!(transport, "tcp" | "dot");
            assert_eq!(option(&reply, NSID).as_deref(), Some(&b"hotspot-7"[..]), "{transport} {name}");
            let cookie = option(&reply, COOKIE).expect("a cookie");
            assert!(cookie.starts_with(b"octets-8") && cookie.len() == 24, "{transport} {name}");
            assert_eq!(option(&reply, KEEPALIVE), stream.then(|| vec![0, 70]), "{transport} {name}");
            assert_eq!(option(&reply, PADDING).is_some(), encrypted, "{transport} {name}");
            if encrypted {
                assert_eq!(reply.octets.len() % 468, 0, "{transport} {name}");
            }
            assert_eq!(option(&reply, 8), None, "a client subnet is not taken: {transport} {name}");
        }
        let bare = ask_dot(client, world.dot(), &Ask::a(name));
        assert!([NSID, COOKIE, KEEPALIVE, PADDING].iter().all(|code| option(&bare, *code).is_none()), "{name}");
    }
    for seen in upstream.seen() {
        assert_eq!(seen.opt.map(|opt| opt.options), Some(0), "{}", seen.name);
    }
}

#[test]
fn a_cookie_of_a_length_that_none_has_is_a_format_error() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], "");
    for length in [0, 1, 7, 9, 15, 41, 60] {
        let reply = daemon.ask(&Ask::a("localhost").option(COOKIE, &vec![7; length]));
        assert_eq!(reply.rcode, FORMERR, "{length}");
    }
    for length in [8, 16, 24, 40] {
        let reply = daemon.ask(&Ask::a("localhost").option(COOKIE, &vec![7; length]));
        assert_eq!((reply.rcode, option(&reply, COOKIE).map(|cookie| cookie.len())), (NOERROR, Some(24)), "{length}");
    }
}

#[test]
fn over_its_limit_a_client_with_a_cookie_is_told_and_others_are_not() {
    let world = World::new();
    let limits = "[rate_limit]\nper_address = 1\nper_network = 1\nburst = 1\nslip = 0\nexempt = []\n";
    let daemon = world.start(&[world.upstream(1)], limits);
    let client = world.address(10);
    let ask = Ask::a("localhost").option(COOKIE, b"octets-8");
    let cookie = option(&daemon.ask(&ask), COOKIE).expect("a cookie");
    let proven = Ask::a("localhost").option(COOKIE, &cookie);
    let forged = Ask::a("localhost").option(COOKIE, &[&cookie[..23], &[cookie[23] ^ 1]].concat());
    // Some of these find the limit open again: a second is what it takes.
    let mut refused = 0;
    for _ in 0..20 {
        let reply = udp_raw(client, daemon.address, &proven.packet(), ANSWER).expect("always an answer");
        let reply = Reply::read(&reply);
        assert_eq!(reply.ede(), if reply.rcode == 5 { vec![18] } else { Vec::new() }, "{reply}");
        refused += usize::from(reply.rcode == 5);
    }
    assert!(refused >= 10, "{refused}");
    // Over TCP nobody is somebody else.
    let questions = vec![Ask::a("localhost").packet(); 20];
    let replies = tcp(client, daemon.address, &questions, 20, ANSWER);
    let replies: Vec<_> = replies.iter().map(|octets| Reply::read(octets)).collect();
    let refused = replies.iter().filter(|reply| reply.rcode == 5 && reply.ede() == [18]).count();
    assert!(replies.len() == 20 && refused >= 10, "{refused} of {}", replies.len());
    let patience = std::time::Duration::from_millis(100);
    let answered = (0..10).filter(|_| udp_raw(client, daemon.address, &forged.packet(), patience).is_some()).count();
    assert!(answered <= 3, "{answered} forged ones were answered");
    // From another address it proves nothing.
    let other = world.address(11);
    let answered = (0..10).filter(|_| udp_raw(other, daemon.address, &proven.packet(), patience).is_some()).count();
    assert!(answered <= 3, "{answered}");
}

#[test]
fn phones_find_the_encrypted_transports_by_themselves() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let more = "info_url = \"https://wifi.example/about\"\n[category.adult]\nlayer = \"family\"\nanswer = \"null\"\n\
                [category.law]\nlayer = \"legal\"\nede = 16\n";
    let daemon = world.start(&[upstream.address()], &world.encrypted(more));
    let (ip, dot, doh) = (world.address(1), world.dot().port(), world.doh().port());
    for name in ["_dns.resolver.arpa".to_owned(), format!("_dns.{NAME}")] {
        let reply = daemon.ask(&Ask::new(&name, Rtype::SVCB));
        assert_eq!(reply.rcode, NOERROR, "{reply}");
        assert_eq!(
            reply.data(Rtype::SVCB),
            [
                format!("1 {NAME}. alpn=dot port={dot} ipv4hint={ip}"),
                format!("2 {NAME}. alpn=h2 port={doh} ipv4hint={ip} dohpath=/dns-query{{?dns}}"),
            ],
            "{reply}"
        );
    }
    for name in ["resolver.arpa", NAME] {
        let reply = daemon.ask(&Ask::new(name, Rtype::from_int(261)));
        assert!(reply.flags & 0x0400 != 0, "RFC 9606 wants AA: {reply}");
        let text = String::from_utf8_lossy(&reply.octets).into_owned();
        assert!(text.contains("exterr=3-4,13-14,16-19,21-23"), "{text:?}");
        assert!(text.contains("infourl=https://wifi.example/about"), "{text:?}");
        assert_eq!(reply.answer.len(), 1, "exactly one record");
    }
    // Nothing else of it is here, and nothing of it goes upstream.
    for (name, rtype) in
        [("_dns.resolver.arpa", Rtype::A), ("resolver.arpa", Rtype::SVCB), ("x.resolver.arpa", Rtype::SVCB)]
    {
        let reply = daemon.ask(&Ask::new(name, rtype));
        assert!(reply.rcode == NOERROR && reply.answer.is_empty(), "{reply}");
    }
    assert!(upstream.seen().iter().all(|seen| !seen.name.ends_with("resolver.arpa")));
}

#[test]
fn the_options_for_dhcp_are_printed() {
    let world = World::new();
    let file = world.write("found.toml", world.config(&[], &world.encrypted("")));
    let run = |more: &[&str]| {
        let program = env!("CARGO_BIN_EXE_friendly-resolver");
        let output = std::process::Command::new(program).arg("discovery").args(more).output().expect("the program");
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, out, _) = run(&["--config", &file.display().to_string()]);
    assert_eq!(status, Some(0));
    assert!(out.contains(NAME) && out.contains("DNS over TLS, port 5853") && out.contains("dhcp-option=162,"), "{out}");
    let (status, out, error) = run(&[]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(error.contains("it takes [tls] and the 'name' of [discovery]"), "{error}");
}

#[test]
fn without_encrypted_transports_nobody_is_sent_anywhere() {
    let world = World::new();
    let daemon = world.start(&[world.upstream(1)], "");
    let reply = daemon.ask(&Ask::new("_dns.resolver.arpa", Rtype::SVCB));
    assert!(reply.rcode == NOERROR && reply.answer.is_empty() && !reply.authority.is_empty(), "{reply}");
}
