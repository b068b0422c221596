//! The configuration: one TOML file, `version = 1`, checked whole before a
//! socket is bound.
//!
//! | file | what it does |
//! |---|---|
//! | `mod.rs` | the validated form that every module uses |
//! | `read.rs` | text -> tables, with a sentence for everything that does not fit |
//! | `shape.rs` | the tables and keys of the file, with the default of each |
//! | `value.rs`, `address.rs` | single values: ranges, names, sizes, networks |
//! | `check.rs` | what spans several settings; tables -> [`Config`] |
//! | `filtering.rs` | the same for lists, categories and policies |
//! | `source.rs`, `zone.rs` | the same for lists that are followed, in a repository or by zone transfer |
//! | `signal.rs` | the same for what people are told where something is blocked |
//! | `dnssec.rs` | the same for validation, and what is trusted |
//! | `transport.rs` | the same for encrypted transports, and how clients find them |
//! | `remarks.rs` | what is allowed and rarely meant |
//! | `error.rs` | the problems of a file, each with its line and what to do |
//!
//! Nothing else feeds settings in: no environment variables, no includes. What
//! an operator reads in the file is what runs. Whether files, users and
//! addresses *exist* on this machine is not asked here, so that a configuration
//! can be checked on another one.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use signed_list::{list::Scope, name::Name};

mod address;
mod check;
mod dnssec;
mod error;
mod filtering;
mod read;
mod remarks;
mod shape;
mod signal;
mod source;
#[cfg(test)]
mod tests;
mod transport;
mod value;
mod zone;

pub use dnssec::{Dnssec, Validate};
pub use error::{ConfigError, Problem};
pub use signal::{Reviews, StopPage, StructuredErrors};
pub use source::{Identity, Source};
pub use transport::{Discovery, Peer, Tls, TlsPeer};
pub use zone::Zone;

/// The version of the file format that this program reads.
pub const VERSION: u64 = 1;

/// Most categories that one configuration may define: the categories that cover
/// a name travel as the bits of a `u64`.
pub const MAX_CATEGORIES: usize = 64;

/// A configuration without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Sockets, workers and limits of the listeners.
    pub server: Server,
    /// Encrypted transports; `None` = there are none.
    pub tls: Option<Tls>,
    /// What clients may learn about this resolver; `None` = nothing.
    pub discovery: Option<Discovery>,
    /// Clients that are served; all others get REFUSED. Never empty.
    pub access: Vec<IpNet>,
    /// Limits for each client; `None` = off.
    pub rate_limit: Option<RateLimit>,
    /// Where questions go that we cannot answer.
    pub upstream: Upstream,
    /// Whether answers are validated.
    pub dnssec: Dnssec,
    /// The answer cache.
    pub cache: Cache,
    /// Compiled list files, joined with the directory of the configuration
    /// file; they need not exist.
    pub lists: Vec<PathBuf>,
    /// Lists that are followed in a repository.
    pub sources: Vec<Source>,
    /// Lists that are zones of somebody else, by zone transfer.
    pub zones: Vec<Zone>,
    /// Where good lists are kept, to outlive a spoiled file and a restart.
    pub last_good: Option<PathBuf>,
    /// Categories in the order of the file, at most [`MAX_CATEGORIES`].
    pub categories: Vec<Category>,
    /// Policies in the order of the file; no network occurs twice.
    pub policies: Vec<Policy>,
    /// The scheme profile, which need not exist; `None` = the one that is shipped.
    pub scheme: Option<PathBuf>,
    /// Errors that programs can show to people; `None` = there are none.
    pub structured_errors: Option<StructuredErrors>,
    /// The page in place of what is blocked; `None` = there is none.
    pub stop_page: Option<StopPage>,
    /// Where counts for the transparency report are kept; `None` = nowhere.
    pub report: Option<PathBuf>,
    /// Names that are answered without asking anybody.
    pub local: Local,
    /// Names (subtrees) whose answers may hold private addresses; `None` = the
    /// protection is off.
    pub rebinding: Option<Vec<Name>>,
    /// Loopback address of the admin HTTP server; `None` = there is none.
    pub admin: Option<SocketAddr>,
    /// What is logged, and how.
    pub log: Log,
}

/// Sockets, workers and limits of the listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Addresses that serve UDP and TCP. Never empty.
    pub listen: Vec<SocketAddr>,
    /// UDP threads; 0 = one for each usable core.
    pub workers: usize,
    /// User to become after binding; `None` = stay.
    pub user: Option<String>,
    /// Octets of the largest datagram that we send, and what we tell upstreams.
    pub udp_payload_size: u16,
    /// TCP connections open at once.
    pub tcp_connections: usize,
    /// TCP connections open at once from one address.
    pub tcp_connections_per_client: usize,
    /// Unanswered questions on one TCP connection.
    pub tcp_pipeline: usize,
    /// After which a silent TCP connection is closed.
    pub tcp_idle_timeout: Duration,
    /// Questions waiting for an upstream at once.
    pub in_flight: usize,
}

/// Limits in questions a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Of one client address (IPv6: one /64).
    pub per_address: u32,
    /// Of one /24 (IPv6: one /56). Not below `per_address`.
    pub per_network: u32,
    /// Seconds' worth of questions that may come at once.
    pub burst: u32,
    /// Every n-th limited UDP question gets TC=1; 0 = none does.
    pub slip: u32,
    /// Clients without a limit.
    pub exempt: Vec<IpNet>,
}

/// Where questions go that we cannot answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Resolvers to ask; empty = those of the system. All of them over TLS, or none.
    pub servers: Vec<Peer>,
    /// Patience of the first try. Not above `deadline`.
    pub try_timeout: Duration,
    /// After which a question fails.
    pub deadline: Duration,
}

/// The answer cache. TTLs in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Octets; 0 = no cache.
    pub size: u64,
    /// Shorter TTLs are raised to this. Not above `max_ttl`.
    pub min_ttl: u32,
    /// Longer TTLs are cut to this.
    pub max_ttl: u32,
    /// Longer TTLs of negative answers are cut to this (RFC 2308).
    pub max_negative_ttl: u32,
    /// Whether popular names are refreshed before they expire.
    pub prefetch: bool,
    /// How long after its end an answer may still serve (RFC 8767); 0 = never.
    pub stale_max: u32,
    /// TTL that a stale answer is given.
    pub stale_ttl: u32,
    /// How long a client waits for a fresh answer before it gets a stale one.
    pub stale_wait: Duration,
}

/// Who is behind a category; the order of precedence is `Legal`, then a
/// policy's allow rules, then `Operator`, then `Family`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// By law: in force for every client, and no policy can allow a name of it.
    Legal,
    /// Of the operator of the network: malware, bypass hosts.
    Operator,
    /// Of the venue: adult content, gambling.
    Family,
}

/// What a blocked question gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BlockAnswer {
    /// NXDOMAIN.
    NxDomain,
    /// NOERROR without records.
    NoData,
    /// `0.0.0.0` and `::`.
    Null,
    /// The addresses of a stop page; at least one of them is there.
    Addresses {
        /// For A questions.
        v4: Option<Ipv4Addr>,
        /// For AAAA questions.
        v6: Option<Ipv6Addr>,
    },
}

/// One category of listed names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// `[a-z0-9][a-z0-9-]{0,31}`, the name that list files use.
    pub name: String,
    /// Who is behind it.
    pub layer: Layer,
    /// What a blocked question gets.
    pub answer: BlockAnswer,
    /// Info code of the extended DNS error (RFC 8914).
    pub ede: u16,
    /// Seconds that a client may keep the blocked answer.
    pub ttl: u32,
    /// An answer that leads into one of these is treated as listed.
    pub addresses: Vec<IpNet>,
}

/// What is in force for the clients of some networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `[a-z0-9][a-z0-9-]{0,31}`, unique.
    pub name: String,
    /// Clients; the policy with the longest matching network is theirs.
    pub networks: Vec<IpNet>,
    /// Indexes into [`Config::categories`], rising; never of the legal layer.
    pub categories: Vec<usize>,
    /// Names let through, unless the legal layer lists them.
    pub allow: Vec<Rule>,
    /// Names blocked beyond the lists.
    pub deny: Vec<Rule>,
    /// Compiled list files used as allow rules; they need not exist.
    pub allow_lists: Vec<PathBuf>,
    /// What searching leaves out.
    pub search: Search,
}

/// What searching leaves out, for the clients of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Search engines are those that leave out what is not for children.
    pub safe: bool,
    /// How much YouTube leaves out.
    pub youtube: YouTube,
}

/// How much YouTube leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum YouTube {
    /// Nothing.
    #[default]
    Free,
    /// What may not be for children.
    Moderate,
    /// All that nobody has looked at.
    Strict,
}

/// A name in a policy; never the root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The name.
    pub name: Name,
    /// Whether the names below it are meant as well.
    pub scope: Scope,
}

/// Names that are answered without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Special-use zones that upstreams shall answer after all.
    pub forward: Vec<Name>,
    /// Names of iCloud Private Relay.
    pub private_relay: PrivateRelay,
    /// Whether `use-application-dns.net` gets NXDOMAIN.
    pub firefox_canary: bool,
    /// Answer to CH TXT `version.bind` and `version.server`; at most 255 octets.
    pub version: Option<String>,
    /// Answer to CH TXT `id.server` and `hostname.bind`; at most 255 octets.
    pub identity: Option<String>,
}

/// What the names of iCloud Private Relay get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrivateRelay {
    /// NXDOMAIN: devices say that the network does not allow it, and go on.
    NxDomain,
    /// NOERROR without records.
    NoData,
    /// Nothing special: Private Relay works, and bypasses the filter.
    Forward,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Least important level that is written.
    pub level: tracing::Level,
    /// JSON lines instead of text.
    pub json: bool,
}

impl Config {
    /// What runs without a configuration file; equal to a file that says
    /// nothing but its version.
    pub fn builtin() -> Config {
        check::config(shape::File::default(), Path::new(""), &mut error::Report::new(""))
    }

    /// Reads and checks the file at `path`.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let unreadable = |what: String| ConfigError::Unreadable { file: path.to_owned(), what };
        if path.is_dir() {
            return Err(unreadable("it is a directory; name the file in it".into()));
        }
        let bytes = std::fs::read(path).map_err(|e| unreadable(error::read_failure(&e)))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = error::line_of(e.as_bytes(), e.utf8_error().valid_up_to());
            unreadable(format!("line {line} is not UTF-8 text; save the file as UTF-8"))
        })?;
        Config::parse(&text, path)
    }

    /// Checks `text`, the content of `file`, which is used for error messages
    /// and for the directory that relative paths start from; it is not read.
    ///
    /// The error holds every problem that could be found at once.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let mut report = error::Report::new(text);
        let config = shape::File::read(text, &mut report).map(|shape| {
            let directory = file.parent().unwrap_or(Path::new(""));
            check::config(shape, directory, &mut report)
        });
        match config {
            Some(config) if report.is_empty() => Ok(config),
            _ => Err(ConfigError::Refused { file: file.to_owned(), problems: report.finish() }),
        }
    }
}
