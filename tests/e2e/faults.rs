//! Faults, attacks and promises: a test for each, named after what must happen.
//!
//! | module | what goes wrong |
//! |---|---|
//! | `silent` | upstreams that are dead, frozen, slow or lose questions |
//! | `lying` | upstreams that say what is wrong, malformed or too much |
//! | `leading` | answers that lead to private addresses or to listed names |
//! | `memory` | the cache while upstreams fail, times to live, shared exchanges |
//! | `fragments` | a narrow path on which large datagrams are lost |
//! | `flood` | too many questions, connections and records |
//! | `connections` | what one client and all of them may hold |
//! | `hostile` | clients that send what is no ordinary question |
//! | `process` | the process itself: stopped, starved, started too early |

use super::world::World;

mod connections;
mod flood;
mod fragments;
mod hostile;
mod leading;
mod lying;
mod memory;
mod process;
mod silent;

/// Writes a list with `blocked.example` and `tracker.example` and returns the
/// setting that names it.
fn listed(world: &World) -> &'static str {
    world.write_list("names.list", 1, &[("adult", "blocked.example"), ("adult", "tracker.example")]);
    "[lists]\nfiles = [\"names.list\"]\n"
}
