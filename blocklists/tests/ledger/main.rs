//! The ledger: rules, chain, faults, records, and the verbs as an analyst meets them.
//!
//! All names are invented, under `.test` and `.example`, but those whose refusal is what is tested.

#[path = "../support/kill.rs"]
mod kill;
#[path = "../support/program.rs"]
mod program;

mod analyst;
mod chain;
mod desk;
mod faults;
mod neighbours;
mod random;
mod readable;
mod records;
mod requests;
mod rules;
mod terminal;
mod verbs;
mod world;
