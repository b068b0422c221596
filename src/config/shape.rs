//! The tables and keys of the file, and the default of each setting: this is
//! the one place that states it. `config/friendly-resolver.toml` repeats it for
//! operators, and a test compares the two.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use signed_list::name::Name;
use signed_list::release::Class;
use toml::Spanned;
use tracing::Level;

use super::address::{Admin, Listen, Server as Resolver};
use super::dnssec::Validate;
use super::signal::Recipient;
use super::source::{Identity, Repository};
use super::transport::{HttpPath, InfoUrl, Peer};
use super::value::{Directory, FilePath, Int, Json, Label, Maybe, Size, Text, TxtString, User};
use super::{BlockAnswer, Layer, PrivateRelay, Rule, YouTube};

/// A value with its place in the file; defaults have the place 0..0.
pub(super) type At<T> = Spanned<T>;

/// A default.
fn at<T>(value: T) -> At<T> {
    Spanned::new(0..0, value)
}

/// A default that is written as the file would write it. Panics when it cannot
/// be read, which the first test of [`super::Config::builtin`] sees.
fn all<T: super::value::Written>(texts: &[&str]) -> Vec<At<Text<T>>> {
    let read = |text: &&str| at(Text(T::read(text).expect("a default can be read")));
    texts.iter().map(read).collect()
}

/// A table and nothing else: serde by itself would also take a list, and read
/// its elements as the values of the keys in the order of the struct.
#[derive(Default)]
pub(super) struct Table<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Table<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Table<T>, M::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Table)
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// The whole file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    /// Has been checked before the rest is read.
    #[serde(rename = "version")]
    _version: Option<Int<0, { u64::MAX }>>,
    pub(super) server: Table<Server>,
    pub(super) tls: Table<Tls>,
    pub(super) discovery: Table<Discovery>,
    pub(super) access: Table<Access>,
    pub(super) rate_limit: Table<RateLimit>,
    pub(super) upstream: Table<Upstream>,
    pub(super) dnssec: Table<Dnssec>,
    pub(super) cache: Table<Cache>,
    pub(super) lists: Table<Lists>,
    pub(super) list: Vec<At<Table<Source>>>,
    pub(super) category: BTreeMap<At<String>, Table<Category>>,
    pub(super) policy: Vec<At<Table<Policy>>>,
    pub(super) scheme: Table<Scheme>,
    pub(super) structured_errors: Table<StructuredErrors>,
    pub(super) stop_page: Table<StopPage>,
    pub(super) report: Table<Report>,
    pub(super) local: Table<Local>,
    pub(super) rebinding: Table<Rebinding>,
    pub(super) admin: Table<AdminTable>,
    pub(super) log: Table<Log>,
}

/// `[server]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    pub(super) listen: At<Vec<At<Text<Listen>>>>,
    pub(super) workers: Int<0, 512>,
    pub(super) user: Text<User>,
    pub(super) udp_payload_size: Int<512, 4096>,
    pub(super) tcp_connections: At<Int<1, 1_000_000>>,
    pub(super) tcp_connections_per_client: At<Int<1, 1_000_000>>,
    pub(super) tcp_pipeline: Int<1, 65_535>,
    pub(super) tcp_idle_timeout: Int<1, 600>,
    pub(super) in_flight: Int<1, 1_000_000>,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: at(all(&["127.0.0.1:1053", "[::1]:1053"])),
            workers: Int::new(0),
            user: Text(User(None)),
            udp_payload_size: Int::new(1232),
            tcp_connections: at(Int::new(1024)),
            tcp_connections_per_client: at(Int::new(64)),
            tcp_pipeline: Int::new(64),
            tcp_idle_timeout: Int::new(10),
            in_flight: Int::new(10_000),
        }
    }
}

/// `[tls]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) certificate: At<Text<Maybe<FilePath>>>,
    pub(super) key: At<Text<Maybe<Identity>>>,
    pub(super) dot: At<Vec<At<Text<Listen>>>>,
    pub(super) doh: At<Vec<At<Text<Listen>>>>,
    pub(super) path: Text<HttpPath>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            certificate: at(Text(Maybe(None))),
            key: at(Text(Maybe(None))),
            dot: at(Vec::new()),
            doh: at(Vec::new()),
            path: Text(HttpPath("/dns-query".into())),
        }
    }
}

/// `[discovery]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Discovery {
    pub(super) name: At<Text<Maybe<Name>>>,
    pub(super) info_url: At<Text<Maybe<InfoUrl>>>,
}

impl Default for Discovery {
    fn default() -> Self {
        Discovery { name: at(Text(Maybe(None))), info_url: at(Text(Maybe(None))) }
    }
}

/// `[access]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Access {
    pub(super) allow: At<Vec<At<Text<IpNet>>>>,
}

impl Default for Access {
    fn default() -> Self {
        let private = [
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ];
        Access { allow: at(all(&private)) }
    }
}

/// `[rate_limit]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateLimit {
    pub(super) enabled: bool,
    pub(super) per_address: At<Int<1, 10_000_000>>,
    pub(super) per_network: At<Int<1, 10_000_000>>,
    pub(super) burst: Int<1, 60>,
    pub(super) slip: Int<0, 100>,
    pub(super) exempt: Vec<At<Text<IpNet>>>,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit {
            enabled: true,
            per_address: at(Int::new(500)),
            per_network: at(Int::new(2000)),
            burst: Int::new(4),
            slip: Int::new(2),
            exempt: all(&["127.0.0.0/8", "::1/128"]),
        }
    }
}

/// `[upstream]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Upstream {
    pub(super) servers: Vec<At<Text<Peer>>>,
    pub(super) authorities: Text<Maybe<FilePath>>,
    pub(super) try_timeout_ms: At<Int<50, 10_000>>,
    pub(super) deadline_ms: At<Int<100, 30_000>>,
}

impl Default for Upstream {
    fn default() -> Self {
        Upstream {
            servers: Vec::new(),
            authorities: Text(Maybe(None)),
            try_timeout_ms: at(Int::new(400)),
            deadline_ms: at(Int::new(4500)),
        }
    }
}

/// `[dnssec]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dnssec {
    pub(super) validate: Text<Validate>,
    pub(super) trust_anchors: Text<Maybe<FilePath>>,
    pub(super) negative_trust_anchors: Vec<At<Text<Name>>>,
}

impl Default for Dnssec {
    fn default() -> Self {
        Dnssec { validate: Text(Validate::Auto), trust_anchors: Text(Maybe(None)), negative_trust_anchors: Vec::new() }
    }
}

/// `[cache]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cache {
    pub(super) size: Text<Size>,
    pub(super) min_ttl: At<Int<0, 86_400>>,
    pub(super) max_ttl: At<Int<1, 604_800>>,
    pub(super) max_negative_ttl: Int<0, 86_400>,
    pub(super) prefetch: bool,
    pub(super) stale_max: Int<0, 604_800>,
    pub(super) stale_ttl: Int<1, 3_600>,
    pub(super) stale_wait_ms: Int<0, 30_000>,
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            size: Text(Size(64 << 20)),
            min_ttl: at(Int::new(0)),
            max_ttl: at(Int::new(86_400)),
            max_negative_ttl: Int::new(3_600),
            prefetch: true,
            stale_max: Int::new(86_400),
            stale_ttl: Int::new(30),
            stale_wait_ms: Int::new(1_800),
        }
    }
}

/// `[lists]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lists {
    pub(super) files: Vec<At<Text<FilePath>>>,
    pub(super) last_good: Text<Directory>,
}

impl Default for Lists {
    fn default() -> Self {
        Lists { files: Vec::new(), last_good: Text(Directory(None)) }
    }
}

/// `[[list]]`, of both kinds: in a repository, and by zone transfer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Source {
    pub(super) name: Option<At<Text<Label>>>,
    pub(super) class: Option<At<Text<Class>>>,
    pub(super) repository: Option<At<Text<Repository>>>,
    pub(super) addresses: At<Vec<At<Text<IpAddr>>>>,
    pub(super) root: Option<At<Text<FilePath>>>,
    pub(super) state: Option<At<Text<FilePath>>>,
    pub(super) identity: Option<At<Text<Identity>>>,
    pub(super) interval: At<Int<1, 3_600>>,
    pub(super) zone: Option<At<Text<Name>>>,
    pub(super) primary: At<Vec<At<Text<Resolver>>>>,
    pub(super) tsig: Option<At<Text<Identity>>>,
    pub(super) category: Option<At<Text<Label>>>,
}

impl Default for Source {
    fn default() -> Self {
        Source {
            name: None,
            class: None,
            repository: None,
            addresses: at(Vec::new()),
            root: None,
            state: None,
            identity: None,
            interval: at(Int::new(10)),
            zone: None,
            primary: at(Vec::new()),
            tsig: None,
            category: None,
        }
    }
}

/// `[category.NAME]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Category {
    /// Has no default: it decides who may switch the category off.
    pub(super) layer: Option<Text<Layer>>,
    pub(super) answer: Option<BlockAnswer>,
    pub(super) ede: Option<Int<0, 65_535>>,
    pub(super) ttl: Option<Int<0, 86_400>>,
    pub(super) addresses: Vec<At<Text<IpNet>>>,
}

/// `[[policy]]`
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) name: Option<At<Text<Label>>>,
    pub(super) networks: Option<At<Vec<At<Text<IpNet>>>>>,
    /// When missing, everything a policy can filter.
    pub(super) categories: Option<Vec<At<String>>>,
    pub(super) allow: Vec<At<Text<Rule>>>,
    pub(super) deny: Vec<At<Text<Rule>>>,
    pub(super) allow_lists: Vec<At<Text<FilePath>>>,
    /// When missing, on where a category of the family layer is in force.
    pub(super) safe_search: Option<bool>,
    /// When missing, moderate where searching is safe.
    pub(super) youtube: Option<Text<YouTube>>,
}

/// `[scheme]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Scheme {
    pub(super) profile: Text<Maybe<FilePath>>,
}

impl Default for Scheme {
    fn default() -> Self {
        Scheme { profile: Text(Maybe(None)) }
    }
}

/// `[structured_errors]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StructuredErrors {
    pub(super) enabled: bool,
    pub(super) option: Int<0, 65_534>,
}

impl Default for StructuredErrors {
    fn default() -> Self {
        StructuredErrors { enabled: true, option: Int::new(0) }
    }
}

/// `[stop_page]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StopPage {
    pub(super) listen: At<Vec<At<Text<Listen>>>>,
    pub(super) reviews: At<Text<Maybe<FilePath>>>,
    pub(super) recipient: At<Text<Maybe<Recipient>>>,
}

impl Default for StopPage {
    fn default() -> Self {
        StopPage { listen: at(Vec::new()), reviews: at(Text(Maybe(None))), recipient: at(Text(Maybe(None))) }
    }
}

/// `[report]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Report {
    pub(super) directory: Text<Directory>,
}

impl Default for Report {
    fn default() -> Self {
        Report { directory: Text(Directory(None)) }
    }
}

/// `[local]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Local {
    pub(super) forward: Vec<At<Text<Name>>>,
    pub(super) private_relay: Text<PrivateRelay>,
    pub(super) firefox_canary: bool,
    pub(super) version: Text<TxtString>,
    pub(super) identity: Text<TxtString>,
}

impl Default for Local {
    fn default() -> Self {
        Local {
            forward: Vec::new(),
            private_relay: Text(PrivateRelay::NxDomain),
            firefox_canary: true,
            version: Text(TxtString(None)),
            identity: Text(TxtString(None)),
        }
    }
}

/// `[rebinding]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rebinding {
    pub(super) enabled: bool,
    pub(super) allow: Vec<At<Text<Name>>>,
}

impl Default for Rebinding {
    fn default() -> Self {
        Rebinding { enabled: true, allow: Vec::new() }
    }
}

/// `[admin]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminTable {
    pub(super) listen: At<Text<Admin>>,
}

impl Default for AdminTable {
    fn default() -> Self {
        AdminTable { listen: at(Text(Admin(Some(([127, 0, 0, 1], 1054).into())))) }
    }
}

/// `[log]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Text<Level>,
    pub(super) format: Text<Json>,
}

impl Default for Log {
    fn default() -> Self {
        Log { level: Text(Level::INFO), format: Text(Json(false)) }
    }
}
