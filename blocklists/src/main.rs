//! The program `friendly-blocklist`: arguments in, exit code out. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use friendly_blocklist::command::Cli;
use friendly_blocklist::command::feeds::Trouble;
use friendly_blocklist::command::publish::Pending;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("friendly-blocklist: {error}");
            // A feed or a release that is made needs somebody: a timer unit can tell that from one that was not made.
            match (error.is::<Trouble>(), error.is::<Pending>()) {
                (true, _) => ExitCode::from(3),
                (_, true) => ExitCode::from(4),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
