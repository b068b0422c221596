//! Measures names, digests and list files of N entries (default: a million), on one thread:
//!
//!     cargo run --release -p signed-list --example list_bench -- 10000000
//!
//! Names are made up. They are asked for in random order, so that a large list is read from memory and not from the
//! cache. A lookup is what is left when the digests are taken off.

use std::hint::black_box;
use std::time::Instant;

use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, List, ListMeta, Scope};
use signed_list::name::Name;

const ASKED: u64 = 1_000_000;

fn main() {
    let entries: u64 = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().expect("a number of entries"));
    let key = DigestKey::OPEN;
    let mut suffixes = Suffixes::new();

    let texts: Vec<String> = (0..ASKED).map(|i| format!("www.{}", text(i, 0))).collect();
    let start = Instant::now();
    for text in &texts {
        black_box(Name::parse(black_box(text)).expect("a name"));
    }
    println!("parse                   {:8.1} ns", nanoseconds(start));

    // Only names with two labels are listed, so a name costs one probe, whether it has two labels or three.
    let mut builder = Builder::new(ListMeta {
        categories: vec!["adult".to_owned()],
        serial: 1,
        created: 0,
        key: key.clone(),
        sealed: false,
    });
    for i in 0..entries {
        key.suffixes(Name::parse(&text(i, 0)).expect("a name").as_wire(), &mut suffixes);
        builder.push(suffixes.get(2), 2, 0, Scope::Subtree);
    }
    let start = Instant::now();
    let file = builder.build().expect("a list");
    println!("build                   {:8.1} ms", start.elapsed().as_secs_f64() * 1e3);
    println!("file                    {:8.2} octets an entry", file.len() as f64 / entries.max(1) as f64);
    let start = Instant::now();
    let list = List::open(file, None).expect("a list");
    println!("open                    {:8.1} ms", start.elapsed().as_secs_f64() * 1e3);

    for (what, seed) in [("miss", 1), ("hit", 0)] {
        let asked: Vec<Vec<u8>> = (0..ASKED)
            .map(|i| format!("www.{}", text(mix(i) % entries.max(1), seed)))
            .map(|text| Name::parse(&text).expect("a name").as_wire().to_vec())
            .collect();
        let (mut digests, mut both, mut found) = (f64::MAX, f64::MAX, 0);
        for _ in 0..5 {
            let start = Instant::now();
            for wire in &asked {
                key.suffixes(black_box(wire), &mut suffixes);
                black_box(&suffixes);
            }
            digests = digests.min(nanoseconds(start));
            let start = Instant::now();
            found = 0;
            for wire in &asked {
                key.suffixes(black_box(wire), &mut suffixes);
                found += list.lookup(black_box(&suffixes)).name.count_ones();
            }
            both = both.min(nanoseconds(start));
        }
        println!("{what}: digests of 3 labels {digests:6.1} ns, with lookup {both:6.1} ns; {found} of {ASKED} found");
    }
}

fn nanoseconds(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64 / ASKED as f64
}

/// The `i`-th made-up name with two labels; another seed gives other names.
fn text(i: u64, seed: u64) -> String {
    format!("{:x}.{}", mix(i ^ seed << 40) >> 12, ["com", "net", "example"][(i % 3) as usize])
}

/// SplitMix64: an even spread of numbers, the same on each run.
fn mix(i: u64) -> u64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
