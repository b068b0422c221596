//! Open lists in the hands of other software: BIND, Unbound and PowerDNS subscribe to `friendly-blocklist serve`, dig asks for
//! what it may have and for what it may not.
//!
//! Each test has a network of its own in 127/8. All names are invented, under `.test` and `.example`.

#[path = "../support/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "../support/world.rs"]
#[allow(dead_code)] // shared with the tests of releases, which use all of it
mod world;

mod bounds;
mod peers;
mod refused;
mod subscribed;
mod text;

impl world::World {
    /// Runs the program in the directory, without a terminal.
    fn run(&self, arguments: &[&str]) -> program::Ended {
        program::run(&self.directory, arguments)
    }
}
