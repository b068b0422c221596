//! Open lists in the hands of other software: BIND, Unbound and PowerDNS subscribe to `friendly-blocklist serve`, dig asks for
//! what it may have and for what it may not.
//!
//! Each test has a network of its own in 127/8. All names are invented, under `.test` and `.example`.

#[path = "../release/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "../release/world.rs"]
#[allow(dead_code)] // shared with the tests of releases, which use all of it
mod world;

mod bounds;
mod peers;
mod refused;
mod subscribed;
mod text;
