//! Open lists for networks that run other software: as response policy zones (RPZ), over zone transfer.
//!
//! | module | what it does |
//! |---|---|
//! | [`zone`] | entries of a release as the text of a zone, and reading it back; pure |
//! | [`shelf`] | which zones there are, and the versions of each on the disk |
//! | [`message`] | a request judged and answered: signature, zone, who asks; pure |
//! | [`flow`] | the messages of a transfer: all of a zone (RFC 5936), or what changed (RFC 1995) |
//! | [`server`] | sockets, and the limits of what one subscriber can take |
//! | [`notify`] | tells subscribers at once that there is something new (RFC 1996) |
//!
//! hickory-server sends a zone as one message and has neither IXFR nor NOTIFY, so these are ours; messages and
//! signatures are those of the `domain` crate.
//!
//! Zones come from the selected entries of a release of an **open** class, at the moment that it is made. Released
//! lists hold digests, and nothing here could turn one back into names: the legal list is never on the shelf, and
//! whoever asks for it is refused with the reason.

pub mod flow;
pub mod message;
pub mod notify;
pub mod server;
pub mod shelf;
pub mod zone;

/// Why nobody gets the legal list.
pub const NEVER_IN_CLEAR: &str = "the legal list never leaves in clear; enrol a resolver of the scheme instead";
