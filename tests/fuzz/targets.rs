//! What the fuzzer does with octets from strangers, one function for each way
//! in. None may panic, and what comes out has to keep what its function says.
//!
//! The fuzz targets call these with octets that a fuzzer found, `tests/corpus.rs`
//! with the ones that are kept beside this file, and `tests/wire` with made-up
//! ones.
#![allow(dead_code, unreachable_pub)]

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use friendly_resolver::clock::Now;
use friendly_resolver::config::Config;
use friendly_resolver::edns::Reply;
use friendly_resolver::entry::{Entry, Target, Ttls, is_answer_to, targets};
use friendly_resolver::filter::Filter;
use friendly_resolver::journal::Transport;
use friendly_resolver::pipeline::{Snapshot, Source, Verdict};
use friendly_resolver::query::Query;
use friendly_resolver::rebinding::{is_private, strip};
use friendly_resolver::scheme::Scheme;
use friendly_resolver::wire::{self, HEADER, WireName, u16_at};
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{List, ListMeta, Scope};

use crate::world::{self, Kinds, World};

pub mod delta;
pub mod record;
pub mod release;

/// A way in: its name, as its folder of the corpus is called, and its function.
pub type Way = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: [Way; 8] = [
    ("packet", packet),
    ("upstream", upstream),
    ("list_file", list_file),
    ("delta", delta::delta),
    ("release", release::release),
    ("list_text", list_text),
    ("record", record::record),
    ("config", config),
];

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let world = World::new(world::list(100));
    Kinds::new(&world);
    world
});

/// A client's packet, behind one octet that chooses the client and how it came.
pub fn packet(input: &[u8]) {
    let Some((&how, packet)) = input.split_first() else { return };
    let packet = &packet[..packet.len().min(4096)];
    let client = ["10.1.2.3", "fd00::7", "192.0.2.1", "172.16.0.9"][usize::from(how & 3)];
    let client: IpAddr = client.parse().expect("an address");
    let transport = if how & 4 == 0 { Transport::Udp } else { Transport::Tcp };
    let room = if transport == Transport::Udp { 4096 } else { 65_535 };

    let parsed = Query::parse(packet).ok();
    let mut buffer = vec![0; room];
    buffer[..packet.len()].copy_from_slice(packet);
    let shard = WORLD.pipeline.journal.shard(0);
    // Up to half a minute later, before anything in memory has run out.
    let now = Now(world::NOW.0 + u64::from(how >> 3) * 1000);
    let source = Source { client, transport };
    match WORLD.pipeline.answer_now(&WORLD.snapshot, shard, &mut buffer, packet.len(), source, now) {
        Verdict::Send(length) | Verdict::SendAndRefresh(length, _) => {
            let limit = match (&parsed, transport) {
                (_, Transport::Tcp) => 65_535,
                (Some(query), _) => query.edns.map_or(512, |edns| usize::from(edns.payload.min(1232))),
                (None, _) => 512,
            };
            assert!((HEADER..=limit).contains(&length), "{length} octets, {limit} allowed");
            check_answer(packet, parsed.as_ref(), &buffer[..length]);
        }
        Verdict::Drop => {}
        Verdict::Later(question) => {
            assert_eq!(&buffer[..packet.len()], packet, "the packet of a question for later is left alone");
            assert!(parsed.is_some_and(|query| query.name.as_wire() == question.query.name.as_wire()));
        }
    }
}

/// What every answer keeps: id, QR, opcode and RD; the question where it was
/// read; counts that lead exactly to the end; OPT if and only if it was asked.
fn check_answer(packet: &[u8], query: Option<&Query>, answer: &[u8]) {
    assert_eq!(answer[..2], packet[..2]);
    assert_eq!(answer[2] & 0xf9, packet[2] & 0x79 | 0x80, "QR, opcode and RD");
    let Some(query) = query else {
        // Either a bare header, or BADVERS with its question.
        assert!(answer.len() == HEADER && answer[4..] == [0; 8] || u16_at(answer, 4) == Some(1));
        return;
    };
    assert_eq!(answer[HEADER..query.question_end], packet[HEADER..query.question_end]);
    assert_eq!(u16_at(answer, 4), Some(1));
    let mut records = wire::records(answer, query.question_end);
    let mut opts = 0;
    for record in records.by_ref() {
        let record = record.expect("our own answers can be read");
        opts += usize::from(record.rtype == wire::rtype::OPT);
        let mut name = WireName::ROOT;
        name.read(answer, record.owner).expect("a name");
    }
    assert_eq!(records.position(), answer.len());
    assert_eq!(opts, usize::from(query.edns.is_some()));
}

/// An upstream's message, behind one octet that says what the client sent and
/// how old the answer is when it is asked for.
pub fn upstream(input: &[u8]) {
    let Some((&how, message)) = input.split_first() else { return };
    if message.len() > usize::from(u16::MAX) {
        return;
    }
    let mut name = WireName::ROOT;
    for at in 0..message.len().min(600) {
        if let Ok(end) = name.read(message, at) {
            assert!(end <= message.len() && (1..=255).contains(&name.as_wire().len()));
            assert_eq!(name.as_wire().last(), Some(&0));
        }
    }
    assert!(wire::records(message, HEADER).count() <= message.len() + 1);

    // The question that this would be the answer to.
    let Ok(end) = name.read_plain(message, HEADER) else { return };
    let Some(question) = message.get(HEADER..end + 4) else { return };
    let mut client = [&[0, 7, 1, 0x10 * (how >> 2 & 1), 0, 1, 0, 0, 0, 0, 0, how & 1], question].concat();
    if how & 1 != 0 {
        client.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, how << 6 & 0x80, 0, 0, 0]);
    }
    let query = Query::parse(&client).expect("a question made from a question");
    if !is_answer_to(message, u16_at(message, 0).unwrap_or(0), &query) {
        return;
    }

    let kept = strip(message.to_vec(), query.question_end);
    let _ = targets(message, query.question_end, |_| ());
    let ttls = Ttls { min: 0, max: 86_400, max_negative: 3_600 };
    for (stripped, message) in [(false, message), (true, &kept)] {
        let Ok(entry) = Entry::from_upstream(message, &query, ttls, 1000) else { continue };
        entry.each_target(|target| match target {
            Target::Name(name) => assert!(!name.as_wire().is_empty()),
            Target::Address(address) => assert!(!stripped || !is_private(address), "{address} got through"),
        });
        let now = 1000 + u32::from(how >> 4) * 97;
        let stale = (how & 8 != 0).then_some(30);
        for limit in [512, 1232, 65_535] {
            let mut packet = vec![0; 65_535];
            packet[..client.len()].copy_from_slice(&client);
            let length = entry.write(&mut packet, &query, now, stale, limit, &Reply::plain(1232));
            assert!(length <= limit, "{length} octets, {limit} allowed");
            check_framing(&client, &query, &packet[..length]);
        }
    }
}

/// As [`check_answer`], but for names in records of which nobody asked: they
/// are an upstream's, and the client reads them for itself.
fn check_framing(packet: &[u8], query: &Query, answer: &[u8]) {
    assert_eq!(answer[HEADER..query.question_end], packet[HEADER..query.question_end]);
    let mut records = wire::records(answer, query.question_end);
    let opts = records.by_ref().filter(|record| record.expect("whole").rtype == wire::rtype::OPT).count();
    assert_eq!(records.position(), answer.len());
    assert_eq!(opts, usize::from(query.edns.is_some()));
}

/// A list file: as it is, and with its hash set right.
pub fn list_file(input: &[u8]) {
    const HASH: std::ops::Range<usize> = 16..48;
    ask_list(input);
    if input.len() >= HASH.end {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&input[..HASH.start]).update(&input[HASH.end..]);
        let mut file = input.to_vec();
        file[HASH].copy_from_slice(hasher.finalize().as_bytes());
        ask_list(&file);
    }
}

fn ask_list(file: &[u8]) {
    let Ok(list) = List::open(file, Some(DigestKey::OPEN)) else { return };
    assert!(list.categories().len() <= 63);
    let most = (1u64 << list.categories().len()) - 1;
    let mut suffixes = Suffixes::new();
    for name in
        [&b"\x00"[..], b"\x03com\x00", b"\x01a\x01b\x01c\x01d\x03net\x00", &[&b"\x01x".repeat(127)[..], &[0]].concat()]
    {
        list.key().suffixes(name, &mut suffixes);
        let cover = list.lookup(&suffixes);
        assert!(cover.name <= most && cover.below & !cover.name == 0);
    }
    for i in 0..20 {
        let name = signed_list::name::Name::parse(&world::text(i)).expect("a made-up name");
        list.key().suffixes(name.as_wire(), &mut suffixes);
        let cover = list.lookup(&suffixes);
        assert!(cover.name <= most && cover.below & !cover.name == 0);
    }
}

/// A block list as text, plain or packed: found out what it is, read in every
/// format, and compiled.
pub fn list_text(input: &[u8]) {
    use friendly_blocklist::compile::Compiler;
    use friendly_blocklist::guard::Guard;
    use friendly_blocklist::intake::{Format, Found, Parser, detect, entry_name};
    use friendly_blocklist::source::Source;

    thread_local! {
        static GUARD: Guard = Guard::shipped();
    }
    const FORMATS: [Format; 6] =
        [Format::Domains, Format::Hosts, Format::Adblock, Format::Dnsmasq, Format::Rpz, Format::Unbound];

    let raw = std::io::Cursor::new(input.to_vec());
    let Ok(mut source) = Source::new("fuzz".into(), Some(input.len() as u64), Box::new(raw)) else { return };
    let _ = detect(source.head());
    let mut parsers = FORMATS.map(Parser::new);
    let mut compiler = Compiler::default();
    let mut suffixes = Suffixes::new();
    let mut pushed = 0u64;
    let mut unpacked = 0;
    while let Ok(Some(line)) = source.next_line() {
        let Ok(text) = line.text else { continue };
        unpacked += text.len();
        if unpacked > 1 << 16 {
            // Large inputs are slow and show nothing that small ones do not.
            break;
        }
        for parser in &mut parsers {
            parser.line(text, &mut |found| {
                let Found::Name(text, scope) = found else { return };
                let Ok(name) = entry_name(text) else { return };
                assert!(!name.is_root());
                if GUARD.with(|guard| guard.check(&name, scope)).is_ok() {
                    DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
                    compiler.push(&suffixes, scope);
                    pushed += 1;
                }
            });
        }
    }
    let meta = ListMeta { categories: vec!["x".into()], serial: 1, created: 0, key: DigestKey::OPEN, sealed: false };
    let compiled = compiler.build(meta).expect("few names");
    let list = List::open(compiled.file, None).expect("what was compiled opens");
    assert!(list.len() as u64 <= pushed);
    assert_eq!(list.is_empty(), pushed == 0);
}

/// A configuration file; of a good one everything is built that needs no file.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Config::parse(text, Path::new("fuzz.toml")) {
        Err(error) => assert!(error.to_string().contains("fuzz.toml")),
        Ok(config) => {
            assert!(config.categories.len() <= 64 && !config.server.listen.is_empty());
            let allow_lists = config.policies.iter().map(|_| Vec::new()).collect();
            let scheme = Arc::new(Scheme::shipped());
            let filter = Filter::new(&config, &scheme, Vec::new(), allow_lists);
            for rule in config.policies.iter().flat_map(|policy| &policy.deny) {
                assert!(matches!(rule.scope, Scope::Subtree | Scope::Exact) && !rule.name.is_root());
            }
            drop(Snapshot::new(1, Arc::new(config), scheme, filter, false, Vec::new()));
        }
    }
}
