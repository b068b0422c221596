//! A small world for tests and measurements: a pipeline in this process, with
//! made-up names on its list and made-up answers in its memory.
//!
//! Used by `tests/no_alloc.rs`, by the examples and benchmarks beside this file
//! and by the fuzz targets; each takes what it needs.
#![allow(dead_code, unreachable_pub)]

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use friendly_resolver::clock::Now;
use friendly_resolver::config::Config;
use friendly_resolver::dnssec::Validator;
use friendly_resolver::entry::{Entry, Ttls};
use friendly_resolver::filter::Filter;
use friendly_resolver::journal::Transport;
use friendly_resolver::lists::embedded;
use friendly_resolver::pipeline::{Pipeline, Snapshot, Source, Verdict};
use friendly_resolver::query::Query;
use friendly_resolver::scheme::Scheme;
use friendly_resolver::upstream::{Settings, Upstreams};
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, ListMeta, Scope};
use signed_list::name::Name;

/// Limits on, one policy, three categories with an answer of each kind, and an
/// access list that leaves 192.0.2.0/24 out (which no limit counts).
pub const CONFIG: &str = r#"
version = 1
[access]
allow = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "fc00::/7"]
[rate_limit]
per_address = 500
per_network = 2000
exempt = ["10.0.0.0/8", "192.0.2.0/24"]
[cache]
size = "4 MiB"
[category.court]
layer = "legal"
[category.malware]
layer = "operator"
answer = "null"
[category.adult]
layer = "family"
answer = ["192.0.2.80", "2001:db8::80"]
[[policy]]
name = "default"
networks = ["0.0.0.0/0", "::/0"]
categories = ["malware", "adult"]
"#;

/// Categories of the list, in the order of [`CONFIG`]; entry `i` of the list is
/// in category `i % 3`.
pub const CATEGORIES: [&str; 3] = ["court", "malware", "adult"];

/// The moment at which everything happens: entries are this old and limits
/// begin here.
pub const NOW: Now = Now(3_600_000);

/// A client that is served and never limited.
pub const CLIENT: &str = "10.1.2.3";

/// A pipeline and the snapshot that its questions see.
pub struct World {
    /// The pipeline. Nobody answers behind it.
    pub pipeline: Arc<Pipeline>,
    /// Its snapshot.
    pub snapshot: Arc<Snapshot>,
}

impl World {
    /// With `list`, a list file as [`list`] makes it.
    pub fn new(list: Vec<u8>) -> World {
        World::with(CONFIG, list)
    }

    /// The same with another configuration.
    pub fn with(config: &str, list: Vec<u8>) -> World {
        let config = Config::parse(config, Path::new("world.toml")).expect("the configuration of the tests is good");
        let lists = vec![embedded(&config, list)];
        let allow_lists = config.policies.iter().map(|_| Vec::new()).collect();
        let scheme = Arc::new(Scheme::shipped());
        let filter = Filter::new(&config, &scheme, lists, allow_lists);
        let settings = Settings::new(Duration::from_millis(1), Duration::from_millis(1), 1232);
        let upstreams = Upstreams::new(Vec::new(), settings);
        let validator = Validator::new(&config, upstreams.clone()).expect("the shipped trust anchors");
        let snapshot = Snapshot::new(1, Arc::new(config), scheme, filter, false, Vec::new());
        let pipeline = Arc::new(Pipeline::new(snapshot, upstreams, validator, 1));
        let snapshot = pipeline.snapshot.load_full();
        World { pipeline, snapshot }
    }

    /// As [`World::new`], but every client is counted, and none is limited
    /// before millions of questions: what a measurement wants.
    pub fn measured(list: Vec<u8>) -> World {
        let rules = "per_address = 500\nper_network = 2000\nexempt = [\"10.0.0.0/8\", \"192.0.2.0/24\"]";
        let wide = "per_address = 1000000\nper_network = 1000000\nburst = 60\nexempt = []";
        assert!(CONFIG.contains(rules));
        World::with(&CONFIG.replace(rules, wide), list)
    }

    /// Puts what an upstream would have said to `question` into memory.
    pub fn remember(&self, question: &[u8], message: &[u8]) {
        let query = Query::parse(question).expect("a good question");
        let ttls = Ttls { min: 0, max: 86_400, max_negative: 3_600 };
        let entry = Entry::from_upstream(message, &query, ttls, NOW.seconds()).expect("a good message");
        assert!(entry.is_cacheable(), "the message has no time to live");
        self.pipeline.cache.insert(self.pipeline.cache.key(&query), Arc::new(entry));
    }

    /// One question over UDP; the answer is in `buffer`.
    #[inline]
    pub fn ask(&self, buffer: &mut [u8], question: &[u8], client: IpAddr) -> Verdict {
        buffer[..question.len()].copy_from_slice(question);
        let source = Source { client, transport: Transport::Udp };
        let shard = self.pipeline.journal.shard(0);
        self.pipeline.answer_now(&self.snapshot, shard, buffer, question.len(), source, NOW)
    }
}

/// A list file with the names `text(0)` to `text(names - 1)`, all as subtrees.
pub fn list(names: u64) -> Vec<u8> {
    let categories = CATEGORIES.map(str::to_owned).to_vec();
    let mut builder = Builder::new(ListMeta { categories, serial: 1, created: 0, key: DigestKey::OPEN, sealed: false });
    let mut suffixes = Suffixes::new();
    for i in 0..names {
        let name = Name::parse(&text(i)).expect("a made-up name");
        DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
        builder.push(suffixes.get(name.labels()), name.labels() as u8, (i % 3) as u8, Scope::Subtree);
    }
    builder.build().expect("far fewer than 2^32 names")
}

/// The `i`-th made-up name: two or three labels below some top-level domains.
pub fn text(i: u64) -> String {
    let spread = mix(i);
    let host = if i.is_multiple_of(4) { "shop." } else { "" };
    format!("{host}{:x}.{}", spread >> 16, ["com", "net", "org", "al", "info"][(spread % 5) as usize])
}

/// SplitMix64: an even spread of numbers, the same in each run.
fn mix(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A question as stub resolvers send it today: RD, and an OPT record.
pub fn question(name: &str, qtype: u16) -> Vec<u8> {
    let mut packet = plain_question(name, qtype);
    packet[11] = 1;
    packet.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    packet
}

/// The same without OPT.
pub fn plain_question(name: &str, qtype: u16) -> Vec<u8> {
    let mut packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    packet.extend_from_slice(Name::parse(name).expect("a name").as_wire());
    packet.extend_from_slice(&qtype.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet
}

/// A record whose owner is the name in the question; TTL 300 s.
pub fn record(qtype: u16, data: &[u8]) -> Vec<u8> {
    record_at(12, qtype, data)
}

/// A record whose owner stands at `owner` in the message.
pub fn record_at(owner: u16, qtype: u16, data: &[u8]) -> Vec<u8> {
    let mut record = (0xc000 | owner).to_be_bytes().to_vec();
    record.extend_from_slice(&qtype.to_be_bytes());
    record.extend_from_slice(&[0, 1, 0, 0, 1, 44]);
    record.extend_from_slice(&(data.len() as u16).to_be_bytes());
    record.extend_from_slice(data);
    record
}

/// An upstream's message to `question`; `counts` are those of the sections.
pub fn message(question: &[u8], rcode: u8, counts: [u16; 3], records: &[Vec<u8>]) -> Vec<u8> {
    let query = Query::parse(question).expect("a good question");
    let mut message = question[..query.question_end].to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80 | rcode]);
    for (at, count) in [6, 8, 10].into_iter().zip(counts) {
        message[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
    records.iter().for_each(|record| message.extend_from_slice(record));
    message
}

/// The kinds of answers that are counted and measured, each a question.
pub struct Kinds {
    /// Listed, answered NXDOMAIN.
    pub blocked: Vec<u8>,
    /// Listed, answered 0.0.0.0.
    pub null: Vec<u8>,
    /// In memory: two addresses.
    pub cached: Vec<u8>,
    /// In memory: two CNAME records and an address.
    pub alias: Vec<u8>,
    /// In memory: NXDOMAIN with its SOA.
    pub negative: Vec<u8>,
    /// Answered here, without list or memory.
    pub local: Vec<u8>,
    /// Not listed and not in memory.
    pub unknown: Vec<u8>,
}

impl Kinds {
    /// The questions; what memory has to hold for them is put there.
    pub fn new(world: &World) -> Kinds {
        const A: u16 = 1;
        let kinds = Kinds {
            blocked: question(&format!("www.{}", text(3)), A),
            null: question(&format!("www.{}", text(1)), A),
            cached: question("www.library.example", A),
            alias: question("www.theatre.example", A),
            negative: question("no.museum.example", A),
            local: question("printer.local", A),
            unknown: question("www.unknown.example", A),
        };
        let addresses = [record(A, &[203, 0, 113, 1]), record(A, &[203, 0, 113, 2])];
        world.remember(&kinds.cached, &message(&kinds.cached, 0, [2, 0, 0], &addresses));

        // The second and third owner are the targets before them.
        let first = b"\x04edge\x03cdn\x07example\x00";
        let second = b"\x02a1\x04node\x03net\x00";
        let start = Query::parse(&kinds.alias).expect("a good question").question_end as u16;
        let target = start + 12;
        let next = target + first.len() as u16 + 12;
        let chain = [record(5, first), record_at(target, 5, second), record_at(next, A, &[203, 0, 113, 3])];
        world.remember(&kinds.alias, &message(&kinds.alias, 0, [3, 0, 0], &chain));

        let soa = [&b"\x02ns\xc0\x0f\x04host\xc0\x0f"[..], &[0, 0, 1, 44].repeat(5)].concat();
        world.remember(&kinds.negative, &message(&kinds.negative, 3, [0, 1, 0], &[record_at(15, 6, &soa)]));
        kinds
    }
}
