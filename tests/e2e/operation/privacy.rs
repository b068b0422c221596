//! What is kept of questions: counters that add up, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use domain::base::iana::Rtype;
use serde_json::Value;

use super::SOON;
use crate::client::{self, Ask, SERVFAIL};
use crate::liar::{Deed, Liar, Saying, honest};
use crate::rights::is_root;
use crate::world::{Daemon, World, eventually};

/// Part of every name that is asked for.
const MARK: &str = "zq7marker";

/// A resolver, and one question at least of every way to end.
struct Mixture {
    daemon: Daemon,
    _upstream: Liar,
    /// Whom the questions came from.
    clients: Vec<Ipv4Addr>,
}

impl Mixture {
    fn start(world: &World, log: &str) -> Self {
        let silent = Arc::new(AtomicBool::new(false));
        let is_silent = silent.clone();
        let upstream = Liar::behaving(world.upstream(1), move |seen| match &seen.name {
            _ if is_silent.load(Relaxed) => Deed::Silence,
            name if name.starts_with("servfail") => Deed::Say(vec![Saying::to(seen).rcode(2).done()]),
            name if name.starts_with("stale") => {
                Deed::Say(vec![Saying::to(seen).record("@", Rtype::A, 1, &[198, 18, 0, 9]).done()])
            }
            name if name.starts_with("leads") => {
                let target = client::wire_name(&format!("listed.{MARK}.example"));
                Deed::Say(vec![Saying::to(seen).record("@", Rtype::CNAME, 60, &target).done()])
            }
            name if name.starts_with("liar") => {
                let lie = Saying::to(seen).id(seen.id ^ 1).done();
                Deed::Say(vec![lie, honest(seen)])
            }
            _ => Deed::Say(vec![honest(seen)]),
        });
        let listed = format!("listed.{MARK}.example");
        world.write_list("a.list", 1, &[("adult", &listed)]);
        fs::create_dir(world.write("here", "").with_file_name("good")).expect("our own directory");
        let network = format!("{}/25", world.address(0));
        let settings = format!(
            "[lists]\nfiles = [\"a.list\"]\nlast_good = \"good\"\n[access]\nallow = [\"{network}\"]\n\
             [rate_limit]\nper_address = 100\nper_network = 100000\nburst = 1\nexempt = [\"{}/26\"]\n\
             [cache]\nstale_wait_ms = 100\n[upstream]\ntry_timeout_ms = 100\ndeadline_ms = 400\n\
             [[policy]]\nname = \"default\"\nnetworks = [\"0.0.0.0/0\"]\ndeny = [\"denied.{MARK}.example\"]\n{log}",
            world.address(0),
        );
        let daemon = world.start(&[upstream.address()], &settings);
        let clients: Vec<_> = [17, 99, 203].map(|last| world.address(last)).into();
        let ask = |name: &str| daemon.ask_as(clients[0], &Ask::a(&format!("{name}.{MARK}.example")));
        for name in ["free", "free", "nxname", "listed", "below.listed", "denied", "leads", "liar", "stale"] {
            ask(name);
        }
        assert_eq!(ask("servfail").rcode, SERVFAIL);
        daemon.ask_as(clients[0], &Ask::a(&format!("{MARK}.test")));
        daemon.ask_as(clients[0], &Ask::new(&format!("free.{MARK}.example"), Rtype::AXFR));
        let packet = Ask::a(&format!("broken.{MARK}.example")).packet();
        let short = Duration::from_millis(50);
        for broken in [&packet[..20], &packet[..5], &[&[0, 9, 0x81], &packet[3..]].concat(), &[0; 3000]] {
            drop(client::udp_raw(clients[0], daemon.address, broken, short));
        }
        let questions = ["free", "listed", "tcp"].map(|name| Ask::a(&format!("{name}.{MARK}.example")).packet());
        assert_eq!(client::tcp(clients[0], daemon.address, &questions, 3, SOON).len(), 3);
        let foreign = Ask::a(&format!("foreign.{MARK}.example"));
        assert_eq!(daemon.ask_as(clients[2], &foreign).rcode, 5, "REFUSED");
        let flood = client::socket(clients[1], daemon.address);
        (0..400).for_each(|_| drop(flood.send(&Ask::a(&format!("free.{MARK}.example")).packet())));
        silent.store(true, Relaxed);
        let stale = || ask("stale").answer.first().is_some_and(|record| record.ttl == 30);
        assert!(eventually(SOON, stale), "{}", daemon.log());
        ask("gone");
        Mixture { daemon, _upstream: upstream, clients }
    }
}

#[test]
fn p4_every_question_has_exactly_one_outcome() {
    let world = World::new();
    let Mixture { daemon, .. } = &Mixture::start(&world, "");
    let all = || (daemon.metric("queries_total"), daemon.metric("outcomes_total"));
    assert!(eventually(SOON, || all().0 == all().1), "{:?}\n{}", all(), daemon.get("/metrics").1);
    let outcomes = [
        "ignored",
        "malformed",
        "foreign",
        "unsupported",
        "limited_slip",
        "limited_drop",
        "local",
        "blocked_name",
        "blocked_target",
        "cache_hit",
        "stale",
        "resolved",
        "failed",
    ];
    for outcome in outcomes {
        assert!(daemon.outcome(outcome) > 0, "nothing ended as {outcome}\n{}", daemon.get("/metrics").1);
    }
    assert_eq!(daemon.outcome("fault") + daemon.outcome("overloaded") + daemon.outcome("outdated"), 0);
    let blocked = daemon.outcome("blocked_name") + daemon.outcome("blocked_target");
    assert_eq!(daemon.metric("blocked_total"), blocked);
    assert_eq!(daemon.metric("blocked_total{category=\"policy-deny\"}"), 1);
    assert_eq!(daemon.metric("queries_total{transport=\"tcp\"}"), 3);
    assert!(daemon.metric("upstream_mismatches_total") >= 1);
    assert_eq!(daemon.metric("waiting_queries"), 0);
}

#[test]
fn metrics_keep_to_the_conventions_and_name_nobody() {
    let world = World::new();
    let mixture = Mixture::start(&world, "");
    let (_, text) = mixture.daemon.get("/metrics");
    assert_is_conventional(&text);
    mixture.assert_names_nobody("/metrics", &text);
}

/// Labels that may be there, each with a bounded number of values.
const LABELS: [&str; 10] =
    ["version", "transport", "outcome", "category", "upstream", "list", "result", "reason", "hotspot", "state"];

/// The conventions of Prometheus: what is named how, and told in which order.
pub(crate) fn assert_is_conventional(text: &str) {
    let (mut helps, mut types) = (BTreeSet::new(), BTreeMap::new());
    let mut series = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(help.ends_with('.') && helps.insert(name), "{line}");
            let plain = name.strip_prefix("friendly_resolver_").unwrap_or_else(|| panic!("no prefix: {name}"));
            assert!(plain.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'), "{name}");
            for unit in ["_ms", "_milliseconds", "_kb", "_mb", "_minutes", "_count", "_sum", "_bucket"] {
                assert!(!plain.ends_with(unit), "{name}: not a base unit, or not free");
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(helps.contains(name) && types.insert(name, kind).is_none(), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
            assert!(value.is_finite() && value >= 0.0 && series.insert(key), "{line}");
            let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
            let parts = ["_bucket", "_sum", "_count"].map(|part| name.strip_suffix(part)).into_iter().flatten();
            let of_histogram = parts.into_iter().any(|name| types.get(name) == Some(&"histogram"));
            let has_type = types.get(name).is_some_and(|kind| *kind != "histogram");
            assert!(has_type || of_histogram, "no type before {line}");
            for label in labels.strip_suffix('}').expect("a closed brace").split(',').filter(|label| !label.is_empty())
            {
                let (label, value) = label.split_once("=\"").expect("a label");
                let bound = label == "le" && of_histogram && name.ends_with("_bucket");
                assert!((bound || LABELS.contains(&label)) && value.ends_with('"'), "{line}");
            }
        }
    }
    assert_eq!(types.keys().copied().collect::<BTreeSet<_>>(), helps);
    assert!(types.len() > 15, "{text}");
}

impl Mixture {
    fn assert_names_nobody(&self, place: &str, text: &str) {
        assert!(!text.to_lowercase().contains(MARK), "a name is in {place}:\n{text}");
        for client in &self.clients {
            assert!(!text.contains(&client.to_string()), "a client is in {place}:\n{text}");
        }
    }
}

/// All files below the directory of the test.
fn files(directory: &std::path::Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("our own directory").flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn nobody_learns_from_logs_health_or_files_who_asked_for_what() {
    let world = World::new();
    let directory = world.write("here", "").with_file_name("");
    let mixture = Mixture::start(&world, "[log]\nlevel = \"debug\"\n");
    let daemon = &mixture.daemon;
    daemon.reload();
    assert!(daemon.log().contains("ready"));
    mixture.assert_names_nobody("the log", &daemon.log());
    mixture.assert_names_nobody("/healthz", &daemon.get("/healthz").1);
    for path in ["/readyz", "/"] {
        mixture.assert_names_nobody(path, &daemon.get(path).1);
    }
    let mut files = files(&directory);
    let copies = files.iter().filter(|name| name.ends_with(".good")).count();
    assert_eq!(copies, 1, "{files:?}");
    files.retain(|name| !name.ends_with(".good"));
    assert_eq!(files, BTreeSet::from(["a.list", "friendly.toml", "here"].map(str::to_owned)));
    // What it has open besides: sockets, and what every process has.
    for entry in fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("the process runs").flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default().to_string_lossy().into_owned();
        let known = ["socket:", "pipe:", "anon_inode:", "/dev/null"];
        assert!(known.iter().any(|known| target.starts_with(known)), "open: {target}");
    }
}

#[test]
fn each_line_of_a_json_log_is_json() {
    let world = World::new();
    let mixture = Mixture::start(&world, "[log]\nformat = \"json\"\nlevel = \"debug\"\n");
    // Refused, taken over, and on its way out: lines of every level.
    world.write("a.list", "a list with \"quotes\", \\ and \u{202e}");
    assert!(eventually(SOON, || mixture.daemon.log().contains("last good copy")), "{}", mixture.daemon.log());
    world.write("friendly.toml", "version = 1\n\"\\u0007\\\"\" = 1\n");
    assert!(eventually(SOON, || mixture.daemon.log().contains("ERROR")), "{}", mixture.daemon.log());
    let log = mixture.daemon.log();
    assert!(log.lines().count() >= 4, "{log}");
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value["timestamp"].is_string() && value["level"].is_string() && value["fields"].is_object(), "{line}");
    }
    mixture.assert_names_nobody("the log", &log);
}

#[test]
fn counters_never_go_back_over_reloads() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let settings = "[lists]\nfiles = [\"a.list\"]\n[category.adult]\nlayer = \"family\"\n";
    let daemon = world.start(&[upstream.address()], settings);
    (0..5).for_each(|_| assert!(daemon.is_blocked("listed.example")));
    assert!(daemon.resolves("free.example"));
    let counts = || {
        let (_, text) = daemon.get("/metrics");
        let samples = text.lines().filter(|line| line.contains("_total")).filter(|line| !line.starts_with('#'));
        let parts = samples.map(|line| line.rsplit_once(' ').expect("a sample"));
        parts.map(|(key, value)| (key.to_owned(), value.parse().expect("a number"))).collect::<BTreeMap<_, u64>>()
    };
    let before = counts();
    // Another category comes before it in the file.
    let more = settings.replace("[category.adult]", "[category.aaa]\nlayer = \"legal\"\n[category.adult]");
    world.write("friendly.toml", world.config(&[upstream.address()], &more));
    assert!(eventually(SOON, || daemon.metric("reloads_total{result=\"done\"}") >= 1));
    let after = counts();
    for (key, value) in before {
        assert!(after.get(&key).is_some_and(|now| *now >= value), "{key} was {value}, now {:?}", after.get(&key));
    }
    assert_eq!(daemon.metric("blocked_total{category=\"aaa\"}"), 0);
    assert_eq!(daemon.metric("blocked_total{category=\"adult\"}"), 5);
}

#[test]
fn files_that_the_resolver_writes_are_its_own() {
    if !is_root() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let path = world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let directory = path.with_file_name("good");
    fs::create_dir(&directory).expect("our own directory");
    let daemon = world.start(&[], "[lists]\nfiles = [\"a.list\"]\nlast_good = \"good\"\n");
    for entry in fs::read_dir(&directory).expect("our own directory").flatten() {
        let mode = entry.metadata().expect("our own file").permissions().mode();
        assert_eq!(mode & 0o022, 0, "{:?} may be written by others: {mode:o}", entry.path());
    }
    assert!(daemon.is_blocked("listed.example"));
}
