//! The resolver of Friendly Wi-Fi: answers a hotspot's clients and blocks what
//! is listed.
//!
//! The life of a query, in the order of the modules:
//!
//! | module | what it does |
//! |---|---|
//! | [`service`] | starts, watches and stops everything; the only place that starts threads |
//! | [`state`] | what lives as long as the process, and how it takes over a change |
//! | [`origin`] | where configuration and lists come from: a file, or what is built in |
//! | [`config`] | the configuration file: shape, checks, errors with line numbers |
//! | [`server`] | listeners: bytes to packets, packets to bytes; nothing about names |
//! | [`query`] | a client's packet: parsed question, or the reason to refuse it |
//! | [`edns`] | options between a client and this resolver: cookies, padding, keepalive, name of the server |
//! | [`pipeline`] | **the order of the stages**, written once, with the reasons |
//! | [`limit`] | stage: rate limits per address and network |
//! | [`policy`] | stage: who is served, and which policy a client has |
//! | [`local`] | stage: names that never go to an upstream |
//! | [`discovery`] | how clients find the encrypted transports, and what they may know |
//! | [`filter`] | stage: is this name, or what its answer leads to, blocked? |
//! | [`block`] | what a blocked question is answered |
//! | [`scheme`] | who blocks and who helps, in which languages: a country as data |
//! | [`safe_search`] | search engines that leave out what is not for children |
//! | [`cache`] | stage: answers in memory, bounded in octets |
//! | [`entry`] | one upstream answer in wire form: times to live, targets, copying out |
//! | [`upstream`] | stage: asks other resolvers; one exchange for identical questions |
//! | [`dnssec`] | is an upstream's answer what the owner of the name signed? |
//! | [`rebinding`] | takes private addresses out of answers to public names |
//! | [`rewrite`] | writes a message anew without some of its records |
//! | [`answer`] | writes answers over the questions they answer |
//! | [`wire`] | reads DNS messages where they lie |
//! | [`lists`] | list files: check, keep the last good one, swap |
//! | [`releases`] | lists that are followed, in a repository of signed releases or by zone transfer |
//! | [`journal`] | counters: what is kept of a query, which is never who or what |
//! | [`hits`] | how often a hotspot blocked, by hour and category, and never below ten |
//! | [`report`] | the counts of a quarter for the public, on the command line |
//! | [`metrics`] | the counters as Prometheus text |
//! | [`page`] | the page that people see in place of what is blocked, and requests for review |
//! | [`admin`] | loopback HTTP: health, readiness, metrics |
//! | [`explain`] | tells why a name is blocked or not, on the command line |
//! | [`clock`] | the resolver's own time, which never jumps |
//! | [`log`] | log lines, which never hold a name or a client and never block |
//!
//! Stages do not call each other. Everything up to [`upstream`] runs without
//! waiting and without allocating on the bytes of the packet; every transport
//! uses the same two calls, [`pipeline::Pipeline::answer_now`] and
//! [`pipeline::Pipeline::answer_later`].

pub mod admin;
pub mod answer;
pub mod block;
pub mod cache;
pub mod clock;
pub mod config;
pub mod discovery;
pub mod dnssec;
pub mod edns;
pub mod entry;
pub mod explain;
pub mod filter;
pub mod hits;
pub mod journal;
pub mod limit;
pub mod lists;
pub mod local;
pub mod log;
pub mod metrics;
pub mod origin;
pub mod page;
pub mod pipeline;
pub mod policy;
pub mod query;
pub mod rebinding;
pub mod releases;
pub mod report;
pub mod rewrite;
pub mod safe_search;
pub mod scheme;
pub mod server;
pub mod service;
pub mod state;
pub mod upstream;
pub mod wire;
