//! Counters in the text format of Prometheus.
//!
//! No label holds a name that was asked for or a client's address; a test
//! compares names and labels with the conventions and with this promise.

use std::sync::atomic::Ordering::Relaxed;
use std::time::UNIX_EPOCH;

use prometheus::{Encoder, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::config::{Category, Layer};
use crate::dnssec::State;
use crate::hits::LEAST;
use crate::journal::{DENIED, Outcome, Transport};
use crate::releases::Status;
use crate::state::Service;

/// Content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of this moment. They are put together for each scrape from the
/// workers' own counters, so that counting costs the hot path nothing more.
pub fn render(service: &Service) -> String {
    let page = Page(Registry::new());
    let pipeline = &service.pipeline;
    let journal = &pipeline.journal;
    let snapshot = pipeline.snapshot.load();

    page.gauge("build_info", "Always 1; the label names the version.", "version", [(env!("CARGO_PKG_VERSION"), 1)]);
    let started = service.started.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    page.gauge("start_time_seconds", "Unix time of the start.", "", [("", started)]);

    let received = Transport::ALL.map(|(transport, label)| (label, journal.received(transport)));
    page.counter("queries_total", "Packets received, by transport.", "transport", received);
    let ended = Outcome::ALL.map(|(outcome, label)| (label, journal.ended(outcome)));
    page.counter("outcomes_total", "How packets ended; each ends once.", "outcome", ended);
    let categories = snapshot.config.categories.iter().enumerate();
    // Of the law's list no single hit is told: a scrape would say when it was.
    let told = |category: &Category, count: u64| match category.layer {
        Layer::Legal => count - count % LEAST,
        _ => count,
    };
    let blocked = categories
        .map(|(index, category)| (category.name.as_str(), told(category, journal.blocked(snapshot.counters[index]))));
    let denied = [("policy-deny", journal.blocked(DENIED))];
    page.counter(
        "blocked_total",
        "Questions blocked, by category; those of the legal layer in tens.",
        "category",
        blocked.chain(denied),
    );
    hotspots(&page, service);
    page.gauge("waiting_queries", "Questions that wait for an upstream.", "", [("", pipeline.waiting() as u64)]);

    let (entries, bytes) = pipeline.cache.size();
    page.gauge("cache_entries", "Answers in memory.", "", [("", entries)]);
    page.gauge("cache_size_bytes", "Memory that answers take.", "", [("", bytes)]);

    page.gauge("tcp_connections", "Open TCP connections.", "", [("", service.connections.open() as u64)]);
    let refused = service.connections.refused() as u64;
    page.counter("tcp_refused_total", "TCP connections closed at once because of a limit.", "", [("", refused)]);

    upstreams(&page, service);
    let validator = pipeline.validator.load();
    let states = State::ALL.map(|(state, label)| (label, validator.count(state)));
    page.counter("dnssec_answers_total", "Answers of upstreams that were validated, by state.", "state", states);

    let lists: Vec<_> = snapshot.filter.every_list().map(|loaded| (loaded.name(), loaded)).collect();
    let each = |value: fn(&crate::lists::Loaded) -> u64| {
        lists.iter().map(move |(name, loaded)| (name.as_str(), value(loaded)))
    };
    page.gauge("list_names", "Names on a list.", "list", each(|loaded| loaded.names() as u64));
    page.gauge("list_serial", "Serial number of a list.", "list", each(|loaded| loaded.serial()));
    let created = each(|loaded| loaded.created());
    page.gauge("list_created_timestamp_seconds", "Unix time at which a list was made.", "list", created);
    let copies = each(|loaded| u64::from(loaded.from_last_good));
    page.gauge("list_from_last_good", "1 if a spoiled list was replaced by an earlier one.", "list", copies);

    followed(&page, service);

    let makeshift = service.is_makeshift();
    let reloads = service.reloads();
    let results = [("done", reloads.done), ("refused", reloads.refused)];
    page.counter("reloads_total", "Reloads of configuration and lists.", "result", results);
    let good = u64::from(reloads.problem.is_none() && !makeshift);
    page.gauge(
        "last_reload_successful",
        "0 while an older configuration or list is in force because the newer was refused.",
        "",
        [("", good)],
    );
    page.counter(
        "log_lines_dropped_total",
        "Log lines that nobody read in time.",
        "",
        [("", crate::log::DROPPED.load(Relaxed))],
    );

    let mut text = Vec::new();
    TextEncoder::new().encode(&page.0.gather(), &mut text).expect("memory can be written");
    String::from_utf8(text).expect("the text format is UTF-8")
}

/// Only what may be shown: cells of at least ten in an hour or a day.
fn hotspots(page: &Page, service: &Service) {
    let name = "friendly_resolver_hotspot_blocked_total";
    let help = "Questions blocked by policy and category, without hours and days of fewer than ten.";
    let vec = IntCounterVec::new(Opts::new(name, help), &["hotspot", "category"]).expect("good names");
    for (hotspot, category, count) in service.keeper().shown() {
        vec.with_label_values(&[hotspot, category]).inc_by(count);
    }
    page.0.register(Box::new(vec)).expect("registered once");
}

fn followed(page: &Page, service: &Service) {
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let all: Vec<_> =
        service.followers().iter().map(|follower| (follower.name().to_owned(), follower.status())).collect();
    let each = |value: fn(&Status) -> u64| all.iter().map(move |(name, status)| (name.as_str(), value(status)));
    page.counter("releases_applied_total", "Releases brought into force.", "list", each(|status| status.applied));
    page.counter(
        "releases_fetched_bytes_total",
        "Octets fetched for new releases.",
        "list",
        each(|status| status.fetched),
    );
    let verified = each(|status| status.verified_at.unwrap_or(0));
    let help = "Unix time at which the repository of a list was last seen to be current.";
    page.gauge("list_verified_timestamp_seconds", help, "list", verified);
    page.gauge(
        "list_changes_pending",
        "Changes beside a list that are not merged yet.",
        "list",
        each(|status| status.pending as u64),
    );
    let help = "Records of a zone that no list of names can hold.";
    page.gauge("list_records_skipped", help, "list", each(|status| status.skipped));
    let stale = all.iter().map(|(name, status)| (name.as_str(), u64::from(status.is_stale(now))));
    page.gauge("list_stale", "1 if a list has not been seen to be current for three days.", "list", stale);

    let name = "friendly_resolver_release_failures_total";
    let vec = IntCounterVec::new(Opts::new(name, "Looks at a repository that failed, by reason."), &["list", "reason"]);
    let vec = vec.expect("good names");
    for (list, status) in &all {
        for (reason, count) in &status.refused {
            vec.with_label_values(&[list.as_str(), *reason]).inc_by(*count);
        }
    }
    page.0.register(Box::new(vec)).expect("registered once");
    for (_, status) in all {
        page.0.register(Box::new(status.time_to_block)).expect("each list has a name of its own");
    }
}

fn upstreams(page: &Page, service: &Service) {
    let servers = service.pipeline.upstreams.servers();
    let named: Vec<_> = servers.iter().map(|server| (server.address.to_string(), server)).collect();
    let counters = [
        ("upstream_queries_total", "Questions sent to an upstream."),
        ("upstream_answers_total", "Good answers of an upstream."),
        ("upstream_timeouts_total", "Tries at an upstream that ran out of time."),
        ("upstream_errors_total", "Tries at an upstream that the network refused."),
        (
            "upstream_mismatches_total",
            "Datagrams with a wrong id or question: guesses of somebody, or a broken upstream.",
        ),
    ];
    for (which, (name, help)) in counters.into_iter().enumerate() {
        let values = named.iter().map(|(address, server)| {
            let all = [&server.sent, &server.answered, &server.timeouts, &server.errors, &server.mismatches];
            (address.as_str(), all[which].load(Relaxed))
        });
        page.counter(name, help, "upstream", values);
    }
    let healthy = named.iter().map(|(address, server)| (address.as_str(), u64::from(server.is_healthy())));
    page.gauge("upstream_healthy", "1 if an upstream is asked before others.", "upstream", healthy);
    let vec = GaugeVec::new(
        Opts::new("friendly_resolver_upstream_round_trip_seconds", "Smoothed round trip of an upstream."),
        &["upstream"],
    );
    let vec = vec.expect("a good name");
    for (address, server) in &named {
        if let Some(round_trip) = server.round_trip() {
            vec.with_label_values(&[address.as_str()]).set(round_trip.as_secs_f64());
        }
    }
    page.0.register(Box::new(vec)).expect("registered once");
}

struct Page(Registry);

impl Page {
    fn counter<'a>(&self, name: &str, help: &str, label: &str, values: impl IntoIterator<Item = (&'a str, u64)>) {
        let vec = IntCounterVec::new(opts(name, help), labels(&label)).expect("a good name");
        for (value, count) in values {
            vec.with_label_values(if label.is_empty() { &[] } else { std::slice::from_ref(&value) }).inc_by(count);
        }
        self.0.register(Box::new(vec)).expect("registered once");
    }

    fn gauge<'a>(&self, name: &str, help: &str, label: &str, values: impl IntoIterator<Item = (&'a str, u64)>) {
        let vec = IntGaugeVec::new(opts(name, help), labels(&label)).expect("a good name");
        for (value, count) in values {
            vec.with_label_values(if label.is_empty() { &[] } else { std::slice::from_ref(&value) }).set(count as i64);
        }
        self.0.register(Box::new(vec)).expect("registered once");
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("friendly_resolver_{name}"), help)
}

fn labels<'a>(label: &'a &'a str) -> &'a [&'a str] {
    if label.is_empty() { &[] } else { std::slice::from_ref(label) }
}
