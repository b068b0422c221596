//! The resolver as a black box: the real program, real sockets, faults and lies.
//!
//! | module | what it does |
//! |---|---|
//! | `world` | addresses and files of a test, and the resolver in it |
//! | `client` | questions as packets, answers in words, UDP and TCP |
//! | `liar` | an upstream that misbehaves in the way a test asks for |
//! | `dnssec` | signed zones, good and broken, with a second validator as the oracle |
//! | `encrypted` | DNS over TLS and HTTPS; cookies, padding, discovery |
//! | `faults` | one test for each fault, attack and promise |
//! | `interop` | servers and clients of others at both ends |
//! | `operation` | reloads, bad files, disks, clocks, signals, health, command line |
//! | `releases` | lists followed in a real repository of signed releases |
//! | `rights` | what only root may, and what is left out without it |
//! | `safe_search` | search engines that leave out what is not for children |
//! | `scenarios` | `tests/scenarios/*.scn` against real zones and a second resolver |
//! | `stop_page` | the page in place of what is blocked, requests for review, structured errors |
//! | `transfer` | lists that are zones of somebody else: BIND, our own server, primaries that lie |
//!
//! Everything happens on loopback. Each test has a network of its own in
//! 127/8 and a directory of its own, so tests run side by side.

mod client;
mod dnssec;
mod encrypted;
mod faults;
mod interop;
mod liar;
mod operation;
mod releases;
mod rights;
mod safe_search;
mod scenarios;
mod stop_page;
mod transfer;
mod world;
