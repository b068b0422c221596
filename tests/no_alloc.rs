//! What the resolver answers by itself, it answers without asking the allocator
//! for anything: memory does not grow under load, and no lock of an allocator
//! makes workers wait for each other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::LazyLock;

use friendly_resolver::journal::Outcome;
use friendly_resolver::pipeline::Verdict;

#[path = "bench/world.rs"]
mod world;

use world::{Kinds, World};

/// The system's allocator, and how often this thread called it.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
    static FREED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator as it came. The counters
// are constant-initialised cells without a destructor, so touching them
// allocates nothing and works at any moment of a thread's life.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + 1);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        FREED.set(FREED.get() + 1);
        // SAFETY: as above; `place` came from `System`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + 1);
        FREED.set(FREED.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations and frees of this thread while `work` runs.
fn count(work: impl FnOnce()) -> (u64, u64) {
    let before = (ALLOCATED.get(), FREED.get());
    work();
    (ALLOCATED.get() - before.0, FREED.get() - before.1)
}

const CALLS: u64 = 5_000;

static WORLD: LazyLock<(World, Kinds)> = LazyLock::new(|| {
    let world = World::new(world::list(100_000));
    let kinds = Kinds::new(&world);
    (world, kinds)
});

/// Asks the same question again and again; every answer must have this
/// response code, and none may cost an allocation. `None`: no answer comes.
#[track_caller]
fn costs_nothing(question: &[u8], client: &str, code: Option<u8>) {
    let (world, _) = &*WORLD;
    let client: IpAddr = client.parse().unwrap();
    let mut buffer = [0u8; 1232];
    let mut wrong = 0;
    let cost = count(|| {
        for _ in 0..CALLS {
            let got = match world.ask(&mut buffer, black_box(question), client) {
                Verdict::Send(_) => Some(buffer[3] & 15),
                Verdict::Drop => None,
                Verdict::SendAndRefresh(..) | Verdict::Later(_) => Some(255),
            };
            wrong += u64::from(got != code);
        }
    });
    assert_eq!(wrong, 0, "of {CALLS} answers have another response code than {code:?}");
    assert_eq!(cost, (0, 0), "allocations and frees in {CALLS} answers");
}

#[test]
fn a_counted_allocation_is_noticed() {
    assert_eq!(count(|| drop(black_box(Box::new(7)))), (1, 1));
    assert_eq!(count(|| drop(black_box(vec![0u8; 9]))), (1, 1));
    assert_eq!(count(|| ()), (0, 0));
    // A question for an upstream travels in a box.
    let (world, kinds) = &*WORLD;
    let mut buffer = [0u8; 1232];
    let client = world::CLIENT.parse().unwrap();
    let cost = count(|| drop(world.ask(&mut buffer, &kinds.unknown, client)));
    assert_eq!(cost, (1, 1));
}

#[test]
fn blocked_names_cost_no_allocation() {
    let kinds = &WORLD.1;
    costs_nothing(&kinds.blocked, world::CLIENT, Some(3));
    costs_nothing(&kinds.null, world::CLIENT, Some(0));
    costs_nothing(&world::plain_question(&world::text(5), 28), world::CLIENT, Some(0));
}

#[test]
fn answers_from_memory_cost_no_allocation() {
    let kinds = &WORLD.1;
    costs_nothing(&kinds.cached, world::CLIENT, Some(0));
    costs_nothing(&kinds.alias, world::CLIENT, Some(0));
    costs_nothing(&kinds.negative, world::CLIENT, Some(3));
}

#[test]
fn an_answer_that_leads_to_a_listed_name_costs_no_allocation() {
    let (world, _) = &*WORLD;
    let question = world::question("www.garden.example", 1);
    let target = signed_list::name::Name::parse(&world::text(6)).unwrap();
    let target_at = question.len() as u16 - 11 + 12; // behind the question without its OPT, and the record's head
    let chain = [world::record(5, target.as_wire()), world::record_at(target_at, 1, &[203, 0, 113, 9])];
    world.remember(&question, &world::message(&question, 0, [2, 0, 0], &chain));
    costs_nothing(&question, world::CLIENT, Some(3));
    assert_eq!(world.pipeline.journal.ended(Outcome::BlockedTarget), CALLS);
}

#[test]
fn local_answers_cost_no_allocation() {
    costs_nothing(&WORLD.1.local, world::CLIENT, Some(3));
    costs_nothing(&world::question("localhost", 28), world::CLIENT, Some(0));
    costs_nothing(&world::question("_dns.resolver.arpa", 64), world::CLIENT, Some(0));
    costs_nothing(&world::question("use-application-dns.net", 1), world::CLIENT, Some(3));
    costs_nothing(&world::question("1.1.168.192.in-addr.arpa", 12), world::CLIENT, Some(3));
    costs_nothing(&world::question("example.com", 252), world::CLIENT, Some(5));
}

#[test]
fn refusals_cost_no_allocation() {
    let kinds = &WORLD.1;
    costs_nothing(&kinds.cached, "192.0.2.1", Some(5));

    let mut notify = kinds.cached.clone();
    notify[2] = 0x20;
    costs_nothing(&notify, world::CLIENT, Some(4));
    costs_nothing(&kinds.cached[..kinds.cached.len() - 1], world::CLIENT, Some(1));
    costs_nothing(&kinds.cached[..11], world::CLIENT, None);
}

#[test]
fn clients_over_their_limit_cost_no_allocation() {
    let (world, kinds) = &*WORLD;
    let client: IpAddr = "172.16.0.9".parse().unwrap();
    let mut buffer = [0u8; 1232];
    let (mut sent, mut cut, mut dropped) = (0, 0, 0);
    let cost = count(|| {
        for _ in 0..CALLS {
            match world.ask(&mut buffer, &kinds.cached, client) {
                Verdict::Send(_) if buffer[2] & 2 != 0 => cut += 1,
                Verdict::Send(_) => sent += 1,
                _ => dropped += 1,
            }
        }
    });
    assert_eq!(cost, (0, 0));
    assert_eq!((sent, cut, dropped), (2000, 1500, 1500), "a burst of 4 seconds at 500, then every second one is cut");
}
