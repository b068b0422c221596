//! Feeds: public block lists that are fetched by themselves and released in the open classes.
//!
//! | module | what it does |
//! |---|---|
//! | [`settings`] | `feeds.toml`: which lists, into which class and category, within which bounds |
//! | [`fetch`] | one list over HTTP(S) or from a file, only if it has changed; bounded in octets, time and addresses |
//! | [`names`] | what a list comes to: names that passed, sorted, without what lies below another |
//! | [`shelf`] | what is kept of a feed between two looks; the last good names |
//! | [`refresh`] | one look at a feed: due, fetched, judged, kept or refused |
//!
//! Lists are made by strangers and fetched from strangers, so a feed never gets worse than it was: whatever fails, or
//! changes too much at once, its last good names stay in the release, and somebody is told. Names come from a feed into
//! the classes `operator` and `venue` only: what is blocked by law, two people have decided.
//!
//! Fetching does not hold the publisher's lock and no release waits for it. A release pins the names that it was made
//! from by their hash, so that whoever signs it makes the same list again.

pub mod fetch;
pub mod names;
pub mod refresh;
pub mod settings;
pub mod shelf;
