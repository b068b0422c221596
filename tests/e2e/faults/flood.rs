//! Too much of everything: questions, connections, records.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use crate::client::{self, Ask, NOERROR, Reply, SERVFAIL, TC, connect, framed, wire_name};
use crate::faults::listed;
use crate::liar::{Deed, Liar, Saying, Seen, honest, silence};
use crate::world::{ANSWER, Daemon, World, eventually};

const PATIENCE: Duration = Duration::from_secs(6);

/// Asks for a name in memory and a blocked one until `over`; returns the times.
fn ordinary_client(world: &World, daemon: &Daemon, over: &AtomicBool) -> Vec<Duration> {
    let client = world.address(200);
    let mut times = Vec::new();
    // On a busy machine a flood may be over before a few have had their turn.
    while !over.load(Relaxed) || times.len() <= 10 {
        let begin = Instant::now();
        let reply = daemon.ask_as(client, &Ask::a("cached.example"));
        assert_eq!(reply.data(Rtype::A), ["198.18.0.7"], "{reply}");
        times.push(begin.elapsed());
        let reply = daemon.ask_as(client, &Ask::a("blocked.example"));
        assert!(reply.is_blocked(), "{reply}");
        // As often as a person's devices might, so that it is no flood itself.
        assert!(eventually(PATIENCE, || begin.elapsed() > Duration::from_millis(5)));
    }
    times.sort_unstable();
    times
}

#[test]
fn f14_one_clients_flood_is_limited_and_others_do_not_notice() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let settings = format!(
        "{}[rate_limit]\nexempt = []\nper_address = 200\nper_network = 2000\nburst = 1\nslip = 2\n",
        listed(&world)
    );
    let daemon = world.start(&[upstream.address()], &settings);
    assert_eq!(daemon.ask(&Ask::a("cached.example")).rcode, NOERROR);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| ordinary_client(&world, &daemon, &over));
        let flooder = client::socket(world.address(66), daemon.address);
        let begin = Instant::now();
        let mut sent = 0u32;
        while begin.elapsed() < Duration::from_secs(1) {
            // Ten times the rate that is allowed.
            let due = begin.elapsed().as_millis() as u32 * 2;
            while sent < due {
                flooder.send(&Ask::a(&format!("random{sent}.example")).packet()).expect("loopback works");
                sent += 1;
            }
            std::thread::yield_now();
        }
        over.store(true, Relaxed);
        let seconds = begin.elapsed().as_secs_f64();
        let times = others.join().expect("no failure");
        assert!(times.len() > 20, "only {} questions of others", times.len());
        let middle = times[times.len() / 2];
        assert!(middle < Duration::from_millis(20), "half of the others took more than {middle:?}");

        let (slip, drop) = (daemon.outcome("limited_slip"), daemon.outcome("limited_drop"));
        assert!(slip + drop > u64::from(sent) / 2, "{slip} + {drop} of {sent} were limited");
        assert!(slip.abs_diff(drop) <= 1, "every second one gets TC: {slip}, {drop}");
        let passed = upstream.count() as f64;
        assert!(passed < 200.0 * (seconds + 1.0) * 1.2 + 1.0, "{passed} questions passed in {seconds} s");
        // What the flooder got are its answers, and empty ones that say "use TCP".
        flooder.set_read_timeout(Some(Duration::from_millis(200))).expect("sockets take time-outs");
        let mut buffer = [0; 2048];
        let mut cut = 0;
        while let Ok(length) = flooder.recv(&mut buffer) {
            let reply = Reply::read(&buffer[..length]);
            assert!(reply.is_cut() == reply.answer.is_empty(), "{reply}");
            cut += u64::from(reply.is_cut());
        }
        assert!(cut > 0 && cut <= slip);
    });
}

#[test]
fn f15_a_flood_from_many_addresses_leaves_memory_and_cached_answers_alone() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let settings = format!(
        "{}[server]\nin_flight = 200\n[rate_limit]\nexempt = []\n[upstream]\ndeadline_ms = 1500\n",
        listed(&world)
    );
    let daemon = world.start(&[upstream.address()], &settings);
    assert_eq!(daemon.ask(&Ask::a("cached.example")).rcode, NOERROR);
    upstream.behave(silence);
    let resident = daemon.resident();
    let over = AtomicBool::new(false);
    let descriptors = daemon.descriptors();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let others = scope.spawn(|| ordinary_client(&world, &daemon, &over));
        for n in 0..10_000u32 {
            // Ten thousand sources, none over its own limit.
            let source = Ipv4Addr::from(0x7f40_0000 | n.wrapping_mul(2_654_435_761) >> 10 & 0x003f_ffff);
            let socket = UdpSocket::bind((source, 0)).expect("every address of 127/8 is ours");
            let ask = Ask::a(&format!("flood{n}.example")).packet();
            socket.send_to(&ask, daemon.address).expect("loopback works");
        }
        over.store(true, Relaxed);
        let times = others.join().expect("no failure");
        assert!(times.len() > 10, "only {} questions of others", times.len());
        let middle = times[times.len() / 2];
        assert!(middle < Duration::from_millis(50), "half of the others took more than {middle:?}");
    });
    assert!(daemon.metric("waiting_queries") <= 200);
    let grown = daemon.resident().saturating_sub(resident);
    assert!(grown < 32 << 10, "memory grew by {grown} KiB");
    // 200 at a time for a second and a half; the rest was shed, by the resolver
    // or, when its socket was full, by the kernel.
    let asked: HashSet<String> = upstream.seen().into_iter().map(|seen| seen.name).collect();
    let rounds = begin.elapsed().as_millis() as usize / 1500 + 2;
    assert!(asked.len() <= 200 * rounds, "{} names were asked for", asked.len());
    assert!(daemon.outcome("overloaded") > 1000, "{} were shed", daemon.outcome("overloaded"));
    // Five seconds after its end all is as before.
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    let back = || daemon.try_ask(&Ask::a("after.example"), PATIENCE).is_some_and(|reply| reply.rcode == NOERROR);
    assert!(eventually(Duration::from_secs(5), back));
    assert!(eventually(Duration::from_secs(5), || daemon.metric("waiting_queries") == 0));
    assert!(eventually(Duration::from_secs(5), || daemon.descriptors() <= descriptors + 5));
}

#[test]
fn f16_five_hundred_connections_leave_descriptors_for_questions() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let settings = format!("{}[server]\ntcp_connections = 1000\ntcp_connections_per_client = 1000\n", listed(&world));
    let daemon = world.start_under(&["prlimit", "--nofile=64:64"], &[upstream.address()], &settings);
    let connections: Vec<_> = (0..500).filter_map(|_| connect(world.address(66), daemon.address).ok()).collect();
    assert_eq!(connections.len(), 500);
    let all_seen = || daemon.metric("tcp_connections") + daemon.metric("tcp_refused_total") == 500;
    assert!(eventually(PATIENCE, all_seen), "{}", daemon.get("/metrics").1);
    let kept = daemon.metric("tcp_connections");
    assert!((16..48).contains(&kept), "{kept} connections are kept");
    let used = daemon.processor();
    for n in 0..100 {
        let reply = daemon.ask(&Ask::a(&format!("new{n}.example")));
        assert_eq!(reply.rcode, NOERROR, "{reply}");
        assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
    }
    let used = daemon.processor() - used;
    assert!(used < 300, "{used} ms of processor time for 200 questions");
    drop(connections);
    assert!(eventually(PATIENCE, || daemon.metric("tcp_connections") == 0));
    assert_eq!(daemon.ask_tcp(&Ask::a("new1.example")).rcode, NOERROR);
}

#[test]
fn f16_when_descriptors_run_out_udp_goes_on_and_the_processor_rests() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let settings = format!("{}[upstream]\ndeadline_ms = 3000\n", listed(&world));
    let daemon = world.start_under(&["prlimit", "--nofile=64:64"], &[upstream.address()], &settings);
    assert_eq!(daemon.ask(&Ask::a("cached.example")).rcode, NOERROR);
    // Questions that wait take the rest of the descriptors, and more.
    upstream.behave(silence);
    let socket = client::socket(world.address(66), daemon.address);
    for n in 0..200 {
        socket.send(&Ask::a(&format!("lost{n}.example")).packet()).expect("loopback works");
    }
    assert!(eventually(PATIENCE, || upstream.count() > 30), "{} wait", upstream.count());
    let connections: Vec<_> = (0..500).filter_map(|_| connect(world.address(66), daemon.address).ok()).collect();
    assert!(connections.len() > 100, "only {} connections", connections.len());
    let (begin, used) = (Instant::now(), daemon.processor());
    let mut asked = 0;
    while begin.elapsed() < Duration::from_secs(1) {
        assert_eq!(daemon.ask(&Ask::a("cached.example")).data(Rtype::A), ["198.18.0.7"]);
        assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
        asked += 2;
        let next = Instant::now();
        assert!(eventually(PATIENCE, || next.elapsed() > Duration::from_millis(10)));
    }
    let used = daemon.processor() - used;
    assert!(asked > 50 && used < 500, "{used} ms of processor time in a second, {asked} questions");
    assert!(daemon.log().lines().count() < 10, "the log is flooded, too:\n{}", daemon.log());
    drop(connections);
    // Recovery: new names and new connections within five seconds.
    upstream.behave(|seen| Deed::Say(vec![honest(seen)]));
    let mut turn = 0;
    let mut back = || {
        turn += 1;
        daemon.ask(&Ask::a(&format!("new{turn}.example"))).rcode == NOERROR
    };
    assert!(eventually(Duration::from_secs(5), &mut back));
    assert!((0..20).all(|_| back()), "it stays so");
    let question = [Ask::a("cached.example").packet()];
    let over_tcp = || client::tcp(world.address(10), daemon.address, &question, 1, ANSWER).len() == 1;
    assert!(eventually(Duration::from_secs(5), over_tcp), "connections are taken again");
}

#[test]
fn b10_idle_connections_are_closed_and_one_client_cannot_take_all() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let settings = format!(
        "{}[server]\ntcp_connections = 60\ntcp_connections_per_client = 40\ntcp_idle_timeout = 1\n",
        listed(&world)
    );
    let daemon = world.start(&[upstream.address()], &settings);
    assert_eq!(daemon.ask(&Ask::a("cached.example")).rcode, NOERROR);
    let begin = Instant::now();
    let mut greedy: Vec<_> = (0..50).map(|_| connect(world.address(66), daemon.address).expect("taken")).collect();
    assert!(eventually(PATIENCE, || daemon.metric("tcp_refused_total") == 10), "40 of 50 are kept");
    assert_eq!(daemon.metric("tcp_connections"), 40);
    // Others get in, as long as there are places at all.
    assert_eq!(
        Reply::read(
            &client::tcp(world.address(67), daemon.address, &[Ask::a("cached.example").packet()], 1, ANSWER)[0]
        )
        .rcode,
        NOERROR
    );
    // Half a length, half a question, a question that comes octet by octet.
    let question = framed(&Ask::a("cached.example").packet());
    greedy[0].write_all(&question[..1]).expect("kept");
    greedy[1].write_all(&question[..20]).expect("kept");
    assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked());
    assert!(eventually(PATIENCE, || daemon.metric("tcp_connections") == 0), "idle connections stay open");
    assert!(begin.elapsed() < Duration::from_secs(4), "closed after {:?}", begin.elapsed());
    for stream in &mut greedy {
        stream.set_read_timeout(Some(ANSWER)).expect("sockets take time-outs");
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "nothing was said on an idle connection");
    }
    assert_eq!(daemon.ask_tcp(&Ask::a("cached.example")).rcode, NOERROR);
}

#[test]
fn b11_a_hundred_thousand_questions_on_one_connection_take_no_memory() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], listed(&world));
    const COUNT: usize = 100_000;
    let ask = Ask::a("cached.example");
    assert_eq!(daemon.ask(&ask).rcode, NOERROR);
    let resident = daemon.resident();
    let questions = framed(&ask.packet()).repeat(1000);
    let mut stream = connect(world.address(66), daemon.address).expect("taken");
    // The kernel must not take all answers in.
    socket2::SockRef::from(&stream).set_recv_buffer_size(64 << 10).expect("sockets have buffers");
    let mut writer = stream.try_clone().expect("a socket has two handles");
    std::thread::scope(|scope| {
        let written = scope.spawn(move || (0..COUNT / 1000).try_for_each(|_| writer.write_all(&questions)));
        // Nothing is read: the resolver has to stop reading, too.
        let mut last = (u64::MAX, Instant::now());
        let stands = || {
            let received = daemon.metric("queries_total{transport=\"tcp\"}");
            if received != last.0 {
                last = (received, Instant::now());
            }
            last.1.elapsed() > Duration::from_millis(500)
        };
        assert!(eventually(PATIENCE, stands), "it reads on and on");
        assert!(last.0 < COUNT as u64, "all {} were read", last.0);
        let grown = daemon.resident().saturating_sub(resident);
        assert!(grown < 8 << 10, "memory grew by {grown} KiB");
        assert!(daemon.ask(&Ask::a("blocked.example")).is_blocked(), "UDP is unaffected");
        let end = Instant::now() + Duration::from_secs(20);
        for n in 0..COUNT {
            let answer = client::read_framed(&mut stream, end).unwrap_or_else(|| panic!("{n} answers came"));
            assert_eq!(answer[3] & 15, 0);
        }
        written.join().expect("no failure").expect("all questions were taken");
    });
    let grown = daemon.resident().saturating_sub(resident);
    assert!(grown < 8 << 10, "memory grew by {grown} KiB");
}

/// Over UDP "use TCP", over TCP the message.
fn over_tcp(seen: &Seen, message: impl FnOnce() -> Vec<u8>) -> Deed {
    Deed::Say(vec![if seen.tcp { message() } else { Saying::to(seen).flags(TC).done() }])
}

/// As many records as fit 64 KiB; `data` makes the next one's data.
fn full(seen: &Seen, rtype: Rtype, data: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut message = Saying::to(seen).done();
    let opt = message.split_off(message.len() - 11);
    let mut count = 0u16;
    loop {
        let data = data(usize::from(count));
        if message.len() + 12 + data.len() + opt.len() > 65_535 {
            break;
        }
        message.extend_from_slice(&[0xc0, 12]);
        message.extend_from_slice(&rtype.to_int().to_be_bytes());
        message.extend_from_slice(&[0, 1, 0, 0, 1, 44]);
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(&data);
        count += 1;
    }
    message[6..8].copy_from_slice(&count.to_be_bytes());
    [message, opt].concat()
}

#[test]
fn b3_b16_answers_of_64_kib_cost_milliseconds() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        over_tcp(seen, || match seen.name.split('.').next().unwrap_or_default() {
            // Names that share nothing, names that are pointers into each other
            // as deep as allowed, addresses, and one text.
            "distinct" => full(seen, Rtype::NS, |n| wire_name(&format!("n{n}.d{n}.example{n}"))),
            "deep" => full(seen, Rtype::NS, |n| match n {
                0 => [&b"\x01a"[..], &[0xc0, 12]].concat(),
                // The data of the record before: 12 octets of record, 4 of data.
                n if n % 100 != 0 => {
                    let at = 12 + wire_name(&seen.name).len() + 4 + 12 + (n - 1) * 16;
                    if at < 0x4000 {
                        [&b"\x01a"[..], &(0xc000 | at as u16).to_be_bytes()].concat()
                    } else {
                        vec![1, b'b', 0xc0, 12]
                    }
                }
                _ => vec![1, b'c', 0xc0, 12],
            }),
            "private" => full(seen, Rtype::A, |n| if n % 2 == 0 { vec![10, 0, 0, 1] } else { vec![198, 18, 0, 7] }),
            "addresses" => full(seen, Rtype::A, |n| vec![198, 18, (n / 256) as u8, n as u8]),
            "aliases" => full(seen, Rtype::CNAME, |n| wire_name(&format!("n{n}.tracker{n}.example"))),
            "types" => full(seen, Rtype::from_int(600), |n| vec![n as u8; 100]),
            _ => full(seen, Rtype::TXT, |_| [&[255][..], &[b'x'; 255]].concat().repeat(16)),
        })
    });
    let daemon = world.start(&[upstream.address()], listed(&world));
    let cases = [
        ("distinct", Rtype::NS, 1500),
        ("deep", Rtype::NS, 4000),
        ("private", Rtype::A, 2000),
        ("addresses", Rtype::A, 4000),
        ("aliases", Rtype::A, 1500),
        ("types", Rtype::from_int(600), 500),
        ("text", Rtype::TXT, 15),
    ];
    let resident = daemon.resident();
    for (name, rtype, least) in cases {
        let ask = Ask::new(&format!("{name}.example"), rtype);
        let used = daemon.processor();
        let first = daemon.ask_tcp(&ask);
        let used = daemon.processor() - used;
        assert!(
            first.rcode == NOERROR && first.answer.len() >= least,
            "{name}: {} of {least} records",
            first.answer.len()
        );
        assert!(used <= 60, "{name} took {used} ms of processor time");
        let used = daemon.processor();
        for _ in 0..20 {
            assert!(daemon.ask(&ask).is_cut(), "{name}: does not fit a datagram");
        }
        let again = daemon.ask_tcp(&ask);
        assert_eq!(again.answer.len(), first.answer.len(), "{name}");
        let used = daemon.processor() - used;
        assert!(used <= 60, "{name} from memory took {used} ms of processor time");
    }
    let grown = daemon.resident().saturating_sub(resident);
    assert!(grown < 12 << 10, "memory grew by {grown} KiB");
    assert_eq!(daemon.outcome("fault"), 0);
}

#[test]
fn b16_the_cache_is_bounded_in_octets_whatever_the_answers_are() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        over_tcp(seen, || full(seen, Rtype::TXT, |_| [&[255][..], &[b'x'; 255]].concat().repeat(16)))
    });
    let daemon = world.start(&[upstream.address()], "[cache]\nsize = \"4 MiB\"\n");
    let resident = daemon.resident();
    // 26 MB of answers.
    for n in 0..400 {
        assert_eq!(daemon.ask_tcp(&Ask::new(&format!("large{n}.example"), Rtype::TXT)).rcode, NOERROR);
    }
    assert!(daemon.metric("cache_size_bytes") <= 4 << 20, "{} octets", daemon.metric("cache_size_bytes"));
    assert!(daemon.metric("cache_entries") > 10, "{} answers", daemon.metric("cache_entries"));
    let grown = daemon.resident().saturating_sub(resident);
    assert!(grown < 12 << 10, "memory grew by {grown} KiB");
}

#[test]
fn b17_additional_records_are_not_multiplied() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| {
        over_tcp(seen, || {
            let mut saying = Saying::to(seen);
            for n in 0..100 {
                let target = [&[0, 10][..], &wire_name(&format!("mx{n}.example"))].concat();
                saying = saying.record("@", Rtype::MX, 300, &target);
            }
            saying = saying.additional();
            for n in 0..1600usize {
                let owner = format!("mx{}.example", n % 100);
                saying = saying.record(&owner, Rtype::A, 300, &[198, 18, (n / 256) as u8, n as u8]);
            }
            saying.done()
        })
    });
    let daemon = world.start(&[upstream.address()], "");
    let ask = Ask::new("mail.example", Rtype::MX);
    let reply = daemon.ask_tcp(&ask);
    assert_eq!((reply.rcode, reply.answer.len()), (NOERROR, 100));
    assert!(reply.additional.len() <= 1600);
    assert_eq!(upstream.count(), 2, "one question over UDP, one over TCP, and none for the targets");
    let cut = daemon.ask(&ask);
    assert!(cut.is_cut() && cut.octets.len() < 100, "{cut}");
}

#[test]
fn f3_descriptors_of_many_waiting_questions_do_not_make_a_good_upstream_bad() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| match seen.name.starts_with("slow") {
        true => Deed::Later(Duration::from_millis(1500), honest(seen)),
        false => Deed::Say(vec![honest(seen)]),
    });
    // As many descriptors as a service gets by default, many questions at once.
    let daemon = world.start_under(&["prlimit", "--nofile=256:4096"], &[upstream.address()], "");
    let packets: Vec<_> = (0..300).map(|n| Ask::a(&format!("slow{n}.example")).packet()).collect();
    let answers = client::many(world.address(10), daemon.address, packets, 150, ANSWER);
    let failed = answers.iter().filter(|answer| Reply::read(answer).rcode == SERVFAIL).count();
    assert_eq!((answers.len(), failed), (300, 0), "answers, and SERVFAIL among them");
    assert_eq!(daemon.metric("upstream_errors_total"), 0, "no error of the upstream's");
}
