//! The ledger: rules, chain, faults, records, and the verbs as an analyst meets them.
//!
//! All names are invented, under `.test` and `.example`, but those whose refusal is what is tested.

mod chain;
mod faults;
mod records;
mod rules;
mod verbs;
mod world;
