//! Answers one kind of question again and again, for `tests/instructions.rs` to
//! count the instructions of.
//!
//!     budget list FILE NAMES          writes a list file with made-up names
//!     budget ask FILE KIND ANSWERS    answers, and says how often
//!
//! The list is made beforehand because making it takes a hundred times longer
//! under a counting tool than all answers together.

use std::hint::black_box;
use std::process::ExitCode;

use friendly_resolver::pipeline::Verdict;

#[path = "world.rs"]
mod world;

use world::{Kinds, World};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list", file, names] => {
            let names = names.parse().expect("a number of names");
            std::fs::write(file, world::list(names)).expect("the list file can be written");
        }
        ["ask", file, kind, answers] => {
            let world = World::measured(std::fs::read(file).expect("a list file"));
            let kinds = Kinds::new(&world);
            let question = match kind {
                "blocked" => kinds.blocked,
                "null" => kinds.null,
                "cached" => kinds.cached,
                "alias" => kinds.alias,
                "negative" => kinds.negative,
                "local" => kinds.local,
                "later" => kinds.unknown,
                _ => panic!("no such kind of answer: {kind}"),
            };
            let answers = answers.parse().expect("a number of answers");
            // Once outside of what is counted: what is remembered with the
            // first answer is not part of the others.
            measured(&world, &question, 1);
            let sent = counted(&world, &question, answers);
            println!("{sent} of {answers} sent");
        }
        _ => {
            eprintln!("budget list FILE NAMES | budget ask FILE KIND ANSWERS");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Under its own name, so that the tool counts from here on.
#[inline(never)]
fn counted(world: &World, question: &[u8], answers: u64) -> u64 {
    measured(world, question, answers)
}

/// How many of the answers could be sent at once.
#[inline(never)]
fn measured(world: &World, question: &[u8], answers: u64) -> u64 {
    let client = world::CLIENT.parse().expect("an address");
    let mut buffer = [0u8; 1232];
    let mut sent = 0;
    for _ in 0..answers {
        let verdict = world.ask(&mut buffer, black_box(question), client);
        sent += u64::from(matches!(verdict, Verdict::Send(_)));
        black_box(&buffer);
    }
    sent
}
