//! From the tables of the file to [`Config`], and what no single value can
//! know: contradictions between settings, names that nobody defined, things
//! said twice.
//!
//! Nothing stops at the first problem. Values that were refused before are
//! missing here (`whole` is false then), so that something is *absent* is said
//! only of a file that is otherwise fine.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use signed_list::name::Name;

use super::address::Listen;
use super::dnssec::dnssec;
use super::error::Report;
use super::filtering::{categories, paths, policies};
use super::shape::{self, At};
use super::signal::{stop_page, structured_errors};
use super::source::sources;
use super::transport::{discovery, tls};
use super::value::Text;
use super::{Cache, Config, Local, Log, Peer, RateLimit, Server, Upstream};

/// The configuration that `file` describes, with its relative paths in
/// `directory`. Usable only when `report` is empty afterwards.
pub(super) fn config(file: shape::File, directory: &Path, report: &mut Report<'_>) -> Config {
    let whole = report.is_empty();
    loops(&file, report);
    let tls = tls(&file, directory, whole, report);
    let stop_page = stop_page(&file.stop_page.0, directory, whole, report);
    let lists = paths(&file.lists.0.files, directory, "[lists]", report);
    let categories = categories(file.category, whole, report);
    let policies = policies(file.policy, &categories, &lists, directory, whole, report);
    let (sources, zones) = sources(file.list, &categories, directory, whole, report);
    Config {
        discovery: discovery(file.discovery.0, report),
        tls,
        server: server(file.server.0, whole, report),
        access: access(file.access.0, whole, report),
        rate_limit: rate_limit(file.rate_limit.0, report),
        upstream: upstream(file.upstream.0, directory, report),
        dnssec: dnssec(file.dnssec.0, directory),
        cache: cache(file.cache.0, report),
        last_good: file.lists.0.last_good.0.0.map(|path| directory.join(path)),
        sources,
        zones,
        lists: lists.into_iter().map(|(path, _)| path).collect(),
        categories,
        policies,
        scheme: file.scheme.0.profile.0.0.map(|path| directory.join(path.0)),
        structured_errors: structured_errors(&file.structured_errors.0),
        stop_page,
        report: file.report.0.directory.0.0.map(|path| directory.join(path)),
        local: local(file.local.0, report),
        rebinding: file.rebinding.0.enabled.then(|| plain(file.rebinding.0.allow)),
        admin: file.admin.0.listen.into_inner().0.0,
        log: Log { level: file.log.0.level.0, json: file.log.0.format.0.0 },
    }
}

/// Values without their places.
pub(super) fn plain<T>(values: Vec<At<Text<T>>>) -> Vec<T> {
    values.into_iter().map(|value| value.into_inner().0).collect()
}

/// Where a value begins.
pub(super) fn start<T>(value: &At<T>) -> usize {
    value.span().start
}

/// The later of two settings that contradict each other: a default has the
/// place 0, so it is never the one that is blamed.
fn later<A, B>(a: &At<A>, b: &At<B>) -> usize {
    start(a).max(start(b))
}

/// Addresses that would make the resolver talk to itself.
fn loops(file: &shape::File, report: &mut Report<'_>) {
    let listen = file.server.0.listen.get_ref();
    // Port 0 stands for a port that nobody else has.
    let same = |Listen(ours): Listen, other: SocketAddr| {
        let (ours_ip, ip) = (ours.ip(), other.ip());
        let any = ours_ip.is_unspecified() && ip.is_loopback();
        ours.port() != 0 && ours.port() == other.port() && (ours_ip == ip || any && ours_ip.is_ipv4() == ip.is_ipv4())
    };
    for server in &file.upstream.0.servers {
        let address = server.get_ref().0.address;
        if listen.iter().any(|ours| same(ours.get_ref().0, address)) {
            report.add(
                start(server),
                format!("the upstream {address} is this resolver itself, see 'listen' in [server]; name another one"),
            );
        }
    }
    if let Text(admin) = file.admin.0.listen.get_ref()
        && let Some(address) = admin.0
        && let Some(ours) = listen.iter().find(|ours| same(ours.get_ref().0, address))
    {
        report.add(
            later(&file.admin.0.listen, ours),
            format!("{address} is taken by both [server] and [admin]; give [admin] another port"),
        );
    }
}

/// `[server]`
fn server(table: shape::Server, whole: bool, report: &mut Report<'_>) -> Server {
    if whole && table.listen.get_ref().is_empty() {
        let what = "'listen' in [server] is empty and nobody could ask anything; name at least one address";
        report.add(start(&table.listen), what);
    }
    let mut seen = HashMap::new();
    for listen in table.listen.get_ref() {
        let address = listen.get_ref().0.0;
        if let Some(before) = seen.insert(address, start(listen))
            && address.port() != 0
        {
            report.add(
                start(listen),
                format!(
                    "'listen' in [server] names {address} twice, first in line {}; remove one",
                    report.line(before)
                ),
            );
        }
    }
    for listen in table.listen.get_ref() {
        let address = listen.get_ref().0.0;
        let of_all = |other: &&At<Text<Listen>>| {
            let other = other.get_ref().0.0;
            other != address
                && other.ip().is_unspecified()
                && other.port() == address.port()
                && other.is_ipv4() == address.is_ipv4()
        };
        if address.port() != 0
            && let Some(wide) = table.listen.get_ref().iter().find(of_all)
        {
            report.add(
                start(listen),
                format!(
                    "'listen' in [server]: {} is every address and so {address}, too; remove one",
                    wide.get_ref().0.0
                ),
            );
        }
    }
    let (each, total) = (&table.tcp_connections_per_client, &table.tcp_connections);
    if each.get_ref().get() > total.get_ref().get() && start(each) > 0 {
        report.add(
            later(each, total),
            format!(
                "'tcp_connections_per_client' ({}) is above 'tcp_connections' ({}) in [server]; lower the first or raise the second",
                each.get_ref().get(),
                total.get_ref().get(),
            ),
        );
    }
    Server {
        tcp_connections_per_client: each.get_ref().get().min(total.get_ref().get()) as usize,
        tcp_connections: total.get_ref().to(),
        listen: plain(table.listen.into_inner()).into_iter().map(|Listen(address)| address).collect(),
        workers: table.workers.to(),
        user: table.user.0.0,
        udp_payload_size: table.udp_payload_size.to(),
        tcp_pipeline: table.tcp_pipeline.to(),
        tcp_idle_timeout: Duration::from_secs(table.tcp_idle_timeout.get()),
        in_flight: table.in_flight.to(),
    }
}

/// `[access]`
fn access(table: shape::Access, whole: bool, report: &mut Report<'_>) -> Vec<IpNet> {
    if whole && table.allow.get_ref().is_empty() {
        let what = "'allow' in [access] is empty and nobody would be served; name the networks of your clients";
        report.add(start(&table.allow), what);
    }
    plain(table.allow.into_inner())
}

/// `[rate_limit]`
fn rate_limit(table: shape::RateLimit, report: &mut Report<'_>) -> Option<RateLimit> {
    let (address, network) = (&table.per_address, &table.per_network);
    if address.get_ref() > network.get_ref() {
        report.add(
            later(address, network),
            format!(
                "'per_address' ({}) is above 'per_network' ({}) in [rate_limit], so no address could reach it; lower the first or raise the second",
                address.get_ref().get(),
                network.get_ref().get(),
            ),
        );
    }
    table.enabled.then(|| RateLimit {
        per_address: address.get_ref().to(),
        per_network: network.get_ref().to(),
        burst: table.burst.to(),
        slip: table.slip.to(),
        exempt: plain(table.exempt),
    })
}

/// `[upstream]`
fn upstream(table: shape::Upstream, directory: &Path, report: &mut Report<'_>) -> Upstream {
    let mut seen = BTreeSet::new();
    for server in &table.servers {
        let address = server.get_ref().0.address;
        if !seen.insert(address) {
            report.add(start(server), format!("'servers' in [upstream] names {address} twice; remove one"));
        }
    }
    let authorities = table.authorities.0.0.as_ref().map(|path| directory.join(&path.0));
    // A fail-over from one kind to the other would be one to plain text, and nobody would notice.
    let plain_one = table.servers.iter().find(|server| server.get_ref().0.tls.is_none());
    if let Some(plain_one) = plain_one
        && table.servers.iter().any(|server| server.get_ref().0.tls.is_some())
    {
        let address = plain_one.get_ref().0.address;
        report.add(
            start(plain_one),
            format!("'servers' in [upstream]: {address} would be asked in clear whenever those over TLS are slow; write tls:// for it, too, or remove it"),
        );
    }
    let (first, last) = (&table.try_timeout_ms, &table.deadline_ms);
    if first.get_ref().get() > last.get_ref().get() {
        report.add(
            later(first, last),
            format!(
                "'try_timeout_ms' ({}) is above 'deadline_ms' ({}) in [upstream]; lower the first or raise the second",
                first.get_ref().get(),
                last.get_ref().get(),
            ),
        );
    }
    Upstream {
        try_timeout: Duration::from_millis(first.get_ref().get()),
        deadline: Duration::from_millis(last.get_ref().get()),
        servers: plain(table.servers)
            .into_iter()
            .map(|mut peer: Peer| {
                if let Some(tls) = &mut peer.tls {
                    tls.authorities = authorities.clone();
                }
                peer
            })
            .collect(),
    }
}

/// `[cache]`
fn cache(table: shape::Cache, report: &mut Report<'_>) -> Cache {
    let (shortest, longest) = (table.min_ttl.get_ref().get(), table.max_ttl.get_ref().get());
    if shortest > longest {
        report.add(
            later(&table.min_ttl, &table.max_ttl),
            format!(
                "'min_ttl' ({shortest}) is above 'max_ttl' ({longest}) in [cache]; lower the first or raise the second"
            ),
        );
    }
    Cache {
        size: table.size.0.0,
        min_ttl: table.min_ttl.get_ref().to(),
        max_ttl: table.max_ttl.get_ref().to(),
        max_negative_ttl: table.max_negative_ttl.to(),
        prefetch: table.prefetch,
        stale_max: table.stale_max.to(),
        stale_ttl: table.stale_ttl.to(),
        stale_wait: Duration::from_millis(table.stale_wait_ms.get()),
    }
}

/// `[local]`
fn local(table: shape::Local, report: &mut Report<'_>) -> Local {
    let designation = Name::parse("resolver.arpa").expect("a valid name");
    for forward in &table.forward {
        let name = &forward.get_ref().0;
        // An upstream's answer (RFC 9462) would move phones past the filter.
        if name.is_same_or_below(&designation) || designation.is_same_or_below(name) {
            report.add(
                start(forward),
                format!("'forward' in [local]: {name} would let upstreams offer clients a way past the filter (resolver.arpa, RFC 9462); remove it"),
            );
        }
    }
    Local {
        forward: plain(table.forward),
        private_relay: table.private_relay.0,
        firefox_canary: table.firefox_canary,
        version: table.version.0.0,
        identity: table.identity.0.0,
    }
}
