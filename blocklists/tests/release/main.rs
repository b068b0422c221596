//! Releases: the whole way from the ledger to files that resolvers trust, and what happens when something breaks.
//!
//! All names are invented, under `.test` and `.example`, but those whose refusal is what is tested.

#[path = "../support/forge.rs"]
mod forge;
#[path = "../support/kill.rs"]
mod kill;
#[path = "../support/program.rs"]
mod program;
#[path = "../support/world.rs"]
mod world;

mod expired;
mod faults;
mod feeds;
mod forged;
mod guard;
mod keys;
mod leaks;
mod life;
mod places;
mod server;
mod verbs;
mod wait;
