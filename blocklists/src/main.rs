//! The program `friendly-blocklist`: arguments in, exit code out. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use friendly_blocklist::command::Cli;
use friendly_blocklist::command::feeds::Trouble;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("friendly-blocklist: {error}");
            // Done, but a feed needs somebody: a timer unit can tell that from a release that was not made.
            if error.is::<Trouble>() { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}
