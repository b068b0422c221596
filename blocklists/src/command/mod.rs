//! The verbs of the program, one file each: arguments and what they do.

pub mod compile;

use clap::{Parser, Subcommand};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "friendly-blocklist", version, max_term_width = 80)]
#[command(about = "Makes the lists that a Friendly Wi-Fi resolver enforces")]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Compile(compile::Arguments),
}

impl Cli {
    /// Does what was asked for. What is printed to standard output is the result; the error is one sentence for
    /// standard error.
    pub fn run(self) -> Result<(), compile::CompileError> {
        match self.verb {
            Verb::Compile(arguments) => compile::run(&arguments),
        }
    }
}
