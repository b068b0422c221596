//! The wire code against an independent implementation, the `domain` crate.
//!
//! | file | what it holds |
//! |---|---|
//! | `made.rs` | made-up names, records and messages, built by `domain` |
//! | `questions.rs` | what a client's packet says, and which are refused |
//! | `answers.rs` | an upstream's message into memory and out again |
//! | `rebinding.rs` | private addresses are taken out, and nothing else |
//! | `blocked.rs` | what a blocked question is answered |
//! | `hostile.rs` | octets that nobody made on purpose |

mod answers;
mod blocked;
mod hostile;
mod made;
mod questions;
mod rebinding;

#[path = "../fuzz/targets.rs"]
mod targets;
#[path = "../bench/world.rs"]
mod world;
