//! Clients that send what is no ordinary question.

use std::time::Duration;

use domain::base::iana::Rtype;

use crate::client::{self, Ask, FORMERR, NOERROR, QR, Reply, wire_name};
use crate::faults::listed;
use crate::liar::{Deed, Liar, honest};
use crate::world::{ANSWER, Daemon, World};

/// Sends octets over UDP; `None` is silence, found out without waiting: answers
/// to one socket keep their order, and the packet is followed by a good one.
fn send(world: &World, daemon: &Daemon, packet: &[u8]) -> Option<Vec<u8>> {
    let socket = client::socket(world.address(10), daemon.address);
    socket.set_read_timeout(Some(ANSWER)).expect("sockets take time-outs");
    socket.send(packet).expect("loopback works");
    // Blocked names are answered without waiting for anybody.
    let good = Ask { id: 0xffff, ..Ask::a("blocked.example") }.packet();
    socket.send(&good).expect("loopback works");
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).expect("the good question is answered");
    buffer.truncate(length);
    (buffer[..2] != [0xff, 0xff]).then_some(buffer)
}

/// A packet with records behind its question.
fn with_additional(ask: Ask, records: &[&[u8]]) -> Vec<u8> {
    let mut packet = ask.plain().packet();
    packet[11] = records.len() as u8;
    records.iter().for_each(|record| packet.extend_from_slice(record));
    packet
}

fn record(owner: &[u8], rtype: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend_from_slice(&rtype.to_be_bytes());
    record.extend_from_slice(&[0, 255, 0, 0, 0, 0]);
    record.extend_from_slice(&(data.len() as u16).to_be_bytes());
    record.extend_from_slice(data);
    record
}

#[test]
fn b18_clients_options_are_bounded_checked_and_never_passed_on() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], listed(&world));
    // Client subnet, cookie, name server id, padding, key tags, an unknown one.
    let codes = [8, 10, 3, 12, 14, 65_001];
    let all = codes.iter().fold(Ask::a("options.example"), |ask, code| ask.option(*code, &[0, 1, 24, 0, 192, 0, 2, 9]));
    assert_eq!(daemon.ask(&all).rcode, NOERROR);
    let twice = Ask::a("cookies.example").option(10, b"12345678").option(10, b"87654321").option(3, b"").option(3, b"");
    assert_eq!(daemon.ask(&twice).rcode, NOERROR);
    let many = |name: &str, count: usize| (0..count).fold(Ask::a(name), |ask, n| ask.option(20_000 + n as u16, b""));
    assert_eq!(daemon.ask(&many("thousand.example", 1000)).rcode, NOERROR);
    // Three thousand do not fit the largest question that is taken over UDP.
    let too_many = many("three.example", 3000);
    assert!(send(&world, &daemon, &too_many.packet()).is_none());
    assert_eq!(daemon.ask_tcp(&too_many).rcode, NOERROR);
    let largest = many("largest.example", 16_000);
    assert_eq!(daemon.ask_tcp(&largest).rcode, NOERROR);
    for (length, data) in [(1u8, &b""[..]), (9, b"12345678"), (255, b"x")] {
        let mut broken = Ask::a("broken.example");
        broken.options = [&[0, 10, 0, length], data].concat();
        let reply = Reply::read(&send(&world, &daemon, &broken.packet()).expect("an answer"));
        assert_eq!(reply.rcode, FORMERR, "{reply}");
    }
    let mut outside = Ask::a("outside.example").packet();
    let at = outside.len() - 1;
    outside[at] = 40;
    let reply = Reply::read(&send(&world, &daemon, &outside).expect("an answer"));
    assert_eq!(reply.rcode, FORMERR, "{reply}");

    let seen = upstream.seen();
    assert_eq!(seen.len(), 5);
    for seen in seen {
        assert_eq!(seen.opt.expect("EDNS is used").options, 0, "options of a client reached the upstream");
        assert!(seen.octets.len() <= 12 + 255 + 4 + 11);
    }
}

#[test]
fn b22_names_asked_for_never_reach_metrics_health_or_log() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let settings = format!("{}[log]\nlevel = \"debug\"\n[category.adult]\nlayer = \"family\"\n", listed(&world));
    let mut daemon = world.start(&[upstream.address()], &settings);
    const MARK: &str = "zqxmark";
    let odd: [&[u8]; 9] = [
        b"zqxmark\"} 1",
        b"zqxmark<script>",
        b"zqxmark\nfake_total 1",
        b"zqxmark\0",
        b"zqxmark\\\"",
        b"zqxmark\x1b[31m",
        b"zqxmark.dot",
        "zqxmark\u{202e}".as_bytes(),
        b"zqxmark\xff\xfe",
    ];
    for label in odd {
        for parent in ["example", "blocked.example", "test", "1.168.192.in-addr.arpa"] {
            let name = [&[label.len() as u8], label, &wire_name(parent)].concat();
            for rtype in [Rtype::A, Rtype::TXT, Rtype::from_int(65_280)] {
                let reply = daemon.ask(&Ask::wire(name.clone(), rtype));
                // The question comes back as it was, octet for octet.
                assert_eq!(reply.octets[12..12 + name.len()], name, "{reply}");
                assert_eq!(reply.is_blocked(), parent == "blocked.example", "{reply}");
            }
        }
    }
    upstream.behave(|_| Deed::Silence);
    let (status, metrics) = daemon.get("/metrics");
    assert_eq!(status, 200);
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a sample has a name and a value");
        assert!(name.starts_with("friendly_resolver_") && value.parse::<f64>().is_ok(), "{line:?}");
    }
    let (status, health) = daemon.get("/healthz");
    let health_value: serde_json::Value = serde_json::from_str(&health).expect("health is JSON");
    assert_eq!((status, &health_value["status"]), (200, &"ok".into()), "{health}");
    // A reload writes to the log whatever is in force.
    daemon.signal("HUP");
    daemon.wait_for_log("reloaded");
    let log = daemon.log();
    for (place, text) in [("metrics", &metrics), ("health", &health), ("log", &log)] {
        assert!(!text.to_lowercase().contains(MARK), "a name asked for stands in the {place}:\n{text}");
        assert!(!text.contains(&world.address(10).to_string()), "a client's address stands in the {place}:\n{text}");
    }
}

#[test]
fn b29_signatures_and_second_opt_records_in_questions_do_no_harm() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let mut daemon = world.start(&[upstream.address()], listed(&world));
    let opt = Ask::a("x").opt();
    let tsig = record(&wire_name("key.example"), 250, &[&wire_name("hmac-sha256")[..], &[0; 16]].concat());
    let sig0 = record(&[0], 24, &[0; 30]);
    let tkey = record(&wire_name("key.example"), 249, &[0; 4]);
    // Whole records are read over, with an OPT before or behind them.
    for (n, records) in [
        vec![&tsig[..]],
        vec![&sig0],
        vec![&tkey],
        vec![&opt, &tsig],
        vec![&tsig, &opt],
        vec![&tsig, &tsig, &sig0, &opt],
    ]
    .iter()
    .enumerate()
    {
        let ask = Ask::a(&format!("signed{n}.example"));
        let answer = client::udp_raw(world.address(10), daemon.address, &with_additional(ask, records), ANSWER);
        let reply = Reply::read(&answer.expect("an answer"));
        assert_eq!(reply.rcode, NOERROR, "{n}: {reply}");
        assert_eq!(reply.has_opt, records.contains(&&opt[..]), "{n}: {reply}");
        assert!(reply.additional.is_empty(), "{n}: {reply}");
        let seen = &upstream.seen_of(&format!("signed{n}.example"))[0];
        assert_eq!(seen.octets[11], 1, "{n}: nothing but our own OPT goes on");
    }
    // Two OPT records, one in the wrong section, one that is not at the root,
    // half a TSIG.
    let www = || Ask::a("www.example");
    let named = [&wire_name("example")[..], &opt[1..]].concat();
    let mut in_answer = with_additional(www(), &[&opt]);
    in_answer.swap(7, 11);
    let mut in_authority = with_additional(www(), &[&opt]);
    in_authority.swap(9, 11);
    for packet in [
        with_additional(www(), &[&opt, &opt]),
        with_additional(www(), &[&opt, &tsig, &opt]),
        with_additional(www(), &[&named]),
        with_additional(www(), &[&tsig[..tsig.len() - 1]]),
        in_answer,
        in_authority,
    ] {
        let reply = Reply::read(&send(&world, &daemon, &packet).expect("an answer"));
        assert_eq!(reply.rcode, FORMERR, "{reply}");
        assert!(reply.octets.len() <= packet.len(), "no amplification");
    }
    assert!(daemon.is_alive());
    assert_eq!((daemon.outcome("fault"), upstream.seen_of("www.example").len()), (0, 0));
}

#[test]
fn b30_answers_get_silence_on_every_transport() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], listed(&world));
    let mut packets: Vec<Vec<u8>> = (0..16).map(|code| Ask::a("www.example").flags(QR | code).packet()).collect();
    packets.extend((0..16).map(|opcode| Ask::a("www.example").flags(QR | opcode << 11).packet()));
    packets.extend([b"".to_vec(), b"x".to_vec(), vec![0; 11], vec![0x80; 12]]);
    for packet in &packets {
        assert!(send(&world, &daemon, packet).is_none(), "an answer to {packet:02x?}");
    }
    let good = Ask { id: 0xfffe, ..Ask::a("www.example") }.packet();
    packets.push(good.clone());
    let answers = client::tcp(world.address(10), daemon.address, &packets, 1, ANSWER);
    assert_eq!(answers[0][..2], good[..2], "the first answer is that to the only question");
    assert_eq!(daemon.outcome("ignored"), 2 * (packets.len() - 1) as u64);
}

#[test]
fn b14_b15_other_opcodes_classes_and_transfers_are_refused_on_every_transport() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| Deed::Say(vec![honest(seen)]));
    let mut daemon = world.start(&[upstream.address()], listed(&world));
    let mut cases = Vec::new();
    for opcode in 1..16u16 {
        cases.push((Ask::a("www.example").flags(opcode << 11).packet(), vec![4]));
    }
    // Transfers, and types that are no questions.
    for rtype in [251, 252, 0, 41, 249, 250, 253, 254] {
        cases.push((Ask::new("www.example", Rtype::from_int(rtype)).packet(), vec![4, 5]));
    }
    for class in [0, 2, 3, 4, 254, 255, 65_535u16] {
        let mut packet = Ask::a("www.example").plain().packet();
        let at = packet.len() - 2;
        packet[at..].copy_from_slice(&class.to_be_bytes());
        cases.push((packet, vec![4, 5]));
    }
    for (packet, codes) in &cases {
        let udp =
            client::udp_raw(world.address(10), daemon.address, packet, Duration::from_secs(3)).expect("an answer");
        let tcp = client::tcp(world.address(10), daemon.address, std::slice::from_ref(packet), 1, ANSWER).remove(0);
        for answer in [udp, tcp] {
            assert!(codes.contains(&(answer[3] & 15)), "{packet:02x?} was answered {answer:02x?}");
            assert_eq!(answer[..2], packet[..2]);
        }
    }
    assert!(daemon.is_alive());
    assert_eq!(upstream.count(), 0, "nothing of it went to the upstream");
}
