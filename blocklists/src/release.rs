//! From the ledger to files that resolvers trust: releases.
//!
//! | module | what it does |
//! |---|---|
//! | [`scheme`] | which classes, categories and test names a country has |
//! | [`canary`] | test names, a pure function of a secret |
//! | [`supply`] | what feeds bring, pinned by its hash |
//! | [`select`] | ledger entries and names of feeds to a list file: guard, categories, canaries; pure |
//! | [`index`] | which entries a release holds, and what two of them differ in; pure |
//! | [`hold`] | releases that change too much at once wait for two people; pure |
//! | [`clock`] | whether the publisher's clock can be right; pure |
//! | [`draft`] | whether there is a reason for a release, and what it will be like; pure |
//! | [`diff`] | what a release changes, and how far that reaches; pure |
//! | [`epoch`] | keys of the sealed list, and their envelopes for the resolvers |
//! | [`recipients`] | the enrolled resolvers |
//! | [`payload`] | the files of a release: list, change, manifest |
//! | [`repository`] | the signed metadata (The Update Framework), one signature at a time |
//! | [`ceremony`] | how the keys of a repository begin and change |
//! | [`client`] | the same as a resolver sees it |
//! | [`verify`] | everything that is out there, checked |
//! | [`stage`] | what waits for signatures |
//! | [`make`] | makes a release and stages it |
//! | `check` | what is staged, held against the ledger and the guard once more |
//! | [`publish`] | **the one writer**: stages, has it come into force, and copies it out |
//! | `settle` | what is signed comes into force, alone or together |
//! | [`store`] | the places it is copied to |
//! | [`serve`] | a small web server for trials |
//! | [`receipts`] | what resolvers say about releases in force; pure |
//! | [`settings`], [`work`] | the publisher's work directory |
//! | [`zones`] | open releases as zones, for those who run other software; pure |
//! | [`outcome`] | what a run did |
//! | [`state`] | what is enforced of what was decided, and whom everything else waits for |
//!
//! Who holds which key: two people for the legal class, one for the others, several for the root, who are needed only
//! when keys change. The publisher's own key signs nothing but which versions belong together; who steals it can hold
//! a release back for as long as the timestamp lives, and cannot list a single name.

pub mod canary;
pub mod ceremony;
mod check;
pub mod client;
pub mod clock;
pub mod diff;
pub mod draft;
pub mod epoch;
pub mod hold;
pub mod index;
pub mod make;
pub mod outcome;
pub mod payload;
pub mod publish;
pub mod receipts;
pub mod recipients;
pub mod repository;
pub mod scheme;
pub mod select;
pub mod serve;
pub mod settings;
mod settle;
pub mod stage;
pub mod state;
pub mod store;
pub mod supply;
pub mod verify;
pub mod work;
pub mod zones;
