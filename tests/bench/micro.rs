//! Nanoseconds of the parts of an answer, and of whole answers:
//! `cargo bench --bench micro`. For a look at one change; what is held is the
//! count of instructions (`tests/instructions.rs`).

use std::net::IpAddr;
use std::sync::LazyLock;

use divan::{Bencher, black_box};
use friendly_resolver::block::Block;
use friendly_resolver::edns::Reply;
use friendly_resolver::query::Query;
use friendly_resolver::scheme::Scheme;
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{List, Scope};
use signed_list::name::Name;

#[path = "world.rs"]
mod world;

use world::{Kinds, NOW, World};

/// Names on the list.
const NAMES: u64 = 1_000_000;
/// Different names asked for in a row, so that look-ups read memory and not the
/// cache of the processor.
const ASKED: u64 = 65_536;

static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| world::list(NAMES));
static WORLD: LazyLock<(World, Kinds)> = LazyLock::new(|| {
    let world = World::measured(FILE.clone());
    let kinds = Kinds::new(&world);
    (world, kinds)
});

fn main() {
    // Made before anything is timed, or the first sample is what making takes.
    LazyLock::force(&WORLD);
    divan::main();
}

fn query(question: &[u8]) -> Query {
    Query::parse(question).expect("a good question")
}

#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let question = &WORLD.1.cached;
    bencher.bench_local(|| Query::parse(black_box(question)).is_ok());
}

#[divan::bench]
fn suffix_digests_of_three_labels(bencher: Bencher<'_, '_>) {
    let query = query(&WORLD.1.cached);
    let mut suffixes = Suffixes::new();
    bencher.bench_local(|| DigestKey::OPEN.suffixes(black_box(query.name.as_wire()), &mut suffixes));
}

/// Digests of the names from number `first` on.
fn digests(first: u64) -> Vec<Suffixes> {
    let digest = |i: u64| {
        let mut suffixes = Suffixes::new();
        let name = Name::parse(&world::text(first + i * 13 % NAMES)).expect("a name");
        DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
        suffixes
    };
    // 1.4 kB each: with more of them the questions, not the list, fill the cache.
    (0..ASKED / 64).map(digest).collect()
}

fn look_up(bencher: Bencher<'_, '_>, first: u64, listed: bool) {
    let list = List::open(&FILE[..], None).expect("a list");
    let names = digests(first);
    assert!(names.iter().all(|name| (list.lookup(name).name != 0) == listed));
    let mut next = names.iter().cycle();
    bencher.bench_local(|| list.lookup(black_box(next.next().expect("endless"))));
}

#[divan::bench]
fn look_up_hit(bencher: Bencher<'_, '_>) {
    look_up(bencher, 0, true);
}

#[divan::bench]
fn look_up_miss(bencher: Bencher<'_, '_>) {
    look_up(bencher, NAMES, false);
}

#[divan::bench]
fn entry_from_memory(bencher: Bencher<'_, '_>) {
    let (world, kinds) = &*WORLD;
    let query = query(&kinds.cached);
    let mut packet = [0u8; 1232];
    packet[..kinds.cached.len()].copy_from_slice(&kinds.cached);
    bencher.bench_local(|| {
        let cache = &world.pipeline.cache;
        let entry = cache.get(cache.key(black_box(&query)), &query).expect("remembered");
        entry.write(&mut packet, &query, NOW.seconds() + 1, None, 1232, &Reply::plain(1232))
    });
}

#[divan::bench]
fn blocked_answer(bencher: Bencher<'_, '_>) {
    let block = Block::of_policy(&Scheme::shipped(), Scope::Subtree);
    let question = &WORLD.1.blocked;
    let query = query(question);
    let mut packet = [0u8; 1232];
    packet[..question.len()].copy_from_slice(question);
    bencher.bench_local(|| block.write(&mut packet, black_box(&query), &Reply::plain(1232)));
}

#[divan::bench(args = ["blocked", "null", "cached", "alias", "negative", "local", "later"])]
fn whole_answer(bencher: Bencher<'_, '_>, kind: &str) {
    let (world, kinds) = &*WORLD;
    let question = match kind {
        "blocked" => &kinds.blocked,
        "null" => &kinds.null,
        "cached" => &kinds.cached,
        "alias" => &kinds.alias,
        "negative" => &kinds.negative,
        "local" => &kinds.local,
        _ => &kinds.unknown,
    };
    let client: IpAddr = world::CLIENT.parse().expect("an address");
    let mut buffer = [0u8; 1232];
    bencher.bench_local(|| world.ask(&mut buffer, black_box(question), client));
}

/// Another listed name each time: the list is read from memory.
#[divan::bench]
fn whole_answer_to_many_blocked_names(bencher: Bencher<'_, '_>) {
    let (world, _) = &*WORLD;
    let questions: Vec<_> = (0..ASKED).map(|i| world::question(&world::text(i * 13 % NAMES), 1)).collect();
    let mut next = questions.iter().cycle();
    let client: IpAddr = world::CLIENT.parse().expect("an address");
    let mut buffer = [0u8; 1232];
    bencher.bench_local(|| world.ask(&mut buffer, next.next().expect("endless"), client));
}
