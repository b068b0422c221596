//! Names, keyed digests and the list file: what every Friendly Wi-Fi program agrees on.
//!
//! A name takes one way through this crate, in the compiler and in the resolver alike:
//!
//! 1. [`name`] brings it into the one normal form that is ever compared;
//! 2. [`digest`] turns the name and all its suffixes into keyed 64-bit digests, in one pass;
//! 3. [`list`] looks these digests up, in place, in a compiled list file.
//!
//! [`release`] is what publisher and resolver tell each other about a list, [`review`] what a stop page tells those who
//! answer for it. [`rpz`] and [`tsig`] are for those who run
//! other software: what a record of a response policy zone means, and the keys that sign its transfers.
//!
//! A list holds digests and never names, so a lost file is not a directory of what it blocks. Nothing here opens
//! files, reads clocks, talks to a network or starts threads: bytes come in and bytes go out.

pub mod digest;
pub mod list;
pub mod name;
pub mod release;
pub mod review;
pub mod rpz;
pub mod tsig;
