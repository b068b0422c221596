//! `followers`: what `tests/bench/follow` needs beside the shipped programs.
//!
//! | verb | what it does |
//! |---|---|
//! | `identities` | makes the secrets of many resolvers, prints what the publisher has to enrol |
//! | `follow` | lets them all follow one list in this process, decides now and then, and measures until it is in force |
//! | `fill` | brings many names into a ledger, decided and signed as by hand, and leaves some for later |
//! | `decide` | decides about those |
//! | `relay` | stands between a resolver and its web server, and says what went through and when |
//!
//! What is measured is the resolver's own code: [`friendly_resolver::releases::Follower`] with a directory, an identity
//! and a connection of its own for each. Everything stays on loopback.

use std::error::Error;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;

#[path = "followers/crowd.rs"]
mod crowd;
#[path = "followers/fill.rs"]
mod fill;
#[path = "followers/relay.rs"]
mod relay;

type Failure = Box<dyn Error + Send + Sync>;

/// Resolvers that follow a list, and what they need.
#[derive(Parser)]
enum Verb {
    Identities(crowd::Identities),
    Follow(crowd::Follow),
    Fill(fill::Fill),
    Decide(fill::Decide),
    Relay(relay::Relay),
}

fn main() -> ExitCode {
    let verb = Verb::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Failure::from).and_then(|runtime| {
        runtime.block_on(async {
            match verb {
                Verb::Identities(verb) => verb.run(),
                Verb::Follow(verb) => verb.run().await,
                Verb::Fill(verb) => verb.run().await,
                Verb::Decide(verb) => verb.run().await,
                Verb::Relay(verb) => verb.run().await,
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("followers: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Unix milliseconds, the clock of decisions.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
