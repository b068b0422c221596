//! The program `friendly-blocklist`: arguments in, exit code out. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use friendly_blocklist::command::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("friendly-blocklist: {error}");
            ExitCode::FAILURE
        }
    }
}
