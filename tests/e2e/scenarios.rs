//! Scenarios: `tests/scenarios/*.scn` against the real program.
//!
//! Each file is one test with a world of its own: the resolver, NSD as its
//! upstream and, where steps express the common standard, Unbound in front of
//! the same upstream, which has to pass them too. The format is described in
//! `tests/scenarios/README.md`.
//!
//! | file | what it does |
//! |---|---|
//! | `format.rs` | text -> steps |
//! | `peers.rs` | starts and stops the programs |
//! | `upstream.rs` | relay in front of NSD: sees questions, changes replies |
//! | `check.rs` | compares what came with what was expected |

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use format::{Expect, Peer, Scenario, Step};
use peers::Running;
use upstream::Upstream;

use crate::client;
use crate::world::{ANSWER, Daemon, World, compile};

mod check;
mod format;
pub(crate) mod peers;
mod upstream;

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)) })*
        /// The files that are tests.
        const LISTED: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    access
    addresses
    alias_chain
    allow_rules
    block_answers
    block_reasons
    blocked_types
    chaos
    classes
    edns
    exact_entries
    large_from_upstream
    letter_case
    local_forward
    long_names
    malformed
    memory
    negative
    opcodes
    policies
    precedence
    question_flags
    rebinding
    rebinding_off
    record_types
    resolver_arpa
    reverse_zones
    scopes
    signals
    signals_nodata
    signals_off
    signed
    special_names
    special_names_and_lists
    standard_categories
    targets
    transfers
    truncation
    unicode_names
    upstream_trouble
    whole_messages
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

#[test]
fn every_file_is_listed() {
    let files = std::fs::read_dir(folder()).expect("the folder of the scenarios");
    let paths = files.map(|file| file.expect("a file").path());
    let scenarios = paths.filter(|path| path.extension().is_some_and(|extension| extension == "scn"));
    let mut names: Vec<_> =
        scenarios.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    assert_eq!(names, LISTED, "files of tests/scenarios and the list in tests/e2e/scenarios.rs");
}

/// The programs of one scenario; they end in the order of the fields.
struct Stage {
    resolver: Daemon,
    unbound: Option<Running>,
    upstream: Upstream,
    _nsd: Option<Running>,
    _world: World,
}

fn run(name: &str) {
    let path = folder().join(format!("{name}.scn"));
    let scenario = format::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let steps = &scenario.steps;
    let stage = Stage::set(&scenario);
    let mut failures = String::new();
    for step in steps {
        let problems = stage.play(step);
        if !problems.is_empty() {
            let _ = write!(failures, "\n{}:{}: {}\n{problems}", path.display(), step.line, step.text);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

impl Stage {
    fn set(scenario: &Scenario) -> Self {
        let world = World::new();
        let entries = |names: &[(String, String)]| -> Vec<u8> {
            let pairs: Vec<_> = names.iter().map(|(category, name)| (category.as_str(), name.as_str())).collect();
            compile(1, &pairs)
        };
        let mut config: Table = scenario.config.parse().expect("the configuration of a scenario is TOML");
        // On a busy machine nothing is asked twice without need.
        set(&mut config, "upstream", "try_timeout_ms", Value::Integer(2000));
        if !scenario.list.is_empty() {
            world.write("scenario.list", entries(&scenario.list));
            set(&mut config, "lists", "files", Value::Array(vec!["scenario.list".into()]));
        }
        for (file, names) in &scenario.allow_lists {
            let names: Vec<_> = names.iter().map(|name| ("allow".to_owned(), name.clone())).collect();
            world.write(file, entries(&names));
        }
        let nsd = (!scenario.zone.is_empty()).then(|| peers::nsd(scenario, &world));
        let upstream =
            Upstream::start(peers::relay_address(&world), peers::nsd_address(&world), scenario.changes.clone());
        let with_unbound = scenario.steps.iter().any(|step| step.peer != Peer::Absent);
        let unbound = with_unbound.then(|| peers::unbound(scenario, &world));
        let config = toml::to_string(&config).expect("a table of settings");
        let resolver = world.start(&[peers::relay_address(&world)], &config);
        Stage { resolver, unbound, upstream, _nsd: nsd, _world: world }
    }

    /// Everything that is wrong with a step, with what came.
    fn play(&self, step: &Step) -> String {
        let mut text = String::new();
        self.upstream.take_seen();
        let reply = exchange(step, self.resolver.address);
        for problem in check::problems(step, reply.as_deref()) {
            let _ = writeln!(text, "  {problem}");
        }
        let seen = self.upstream.take_seen();
        if let Some(asked) = step.asked.as_ref().filter(|asked| **asked != seen) {
            let _ = writeln!(text, "  the upstream was to be asked {asked:?}, it was asked {seen:?}");
        }
        if !text.is_empty() {
            let _ = writeln!(text, "  got\n{}", check::describe(reply.as_deref()));
        }
        if let (Peer::Same | Peer::Differs, Some(unbound)) = (step.peer, &self.unbound) {
            let reply = exchange(step, unbound.address);
            let problems = check::problems(step, reply.as_deref());
            if step.peer == Peer::Differs && problems.is_empty() {
                let _ = writeln!(text, "  Unbound does the same by now: 'unbound-differs' becomes 'standard'");
            } else if step.peer == Peer::Same && !problems.is_empty() {
                let _ = writeln!(text, "  Unbound: {}", problems.join("\n  Unbound: "));
                let _ = writeln!(text, "  Unbound answered\n{}", check::describe(reply.as_deref()));
            }
        }
        text
    }
}

/// Sets what the scenario does not set itself.
fn set(config: &mut Table, table: &str, key: &str, value: Value) {
    let table = config.entry(table).or_insert_with(|| Value::Table(Table::new()));
    table.as_table_mut().expect("a table").entry(key).or_insert(value);
}

/// Sends the packet of a step and returns what comes back.
fn exchange(step: &Step, server: SocketAddr) -> Option<Vec<u8>> {
    if step.tcp {
        return client::tcp(step.client, server, std::slice::from_ref(&step.packet), 1, ANSWER).pop();
    }
    let socket = client::socket(step.client, server);
    socket.set_read_timeout(Some(ANSWER)).expect("sockets take time-outs");
    socket.send(&step.packet).expect("loopback works");
    let mut buffer = vec![0; 65_535];
    if matches!(step.expect, Expect::Silence) {
        // Servers answer the packets of one socket in their order: when the
        // second one is answered, the first one will not be.
        let sentinel = b"\xff\xff\x01\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03";
        socket.send(sentinel).expect("loopback works");
        let length = socket.recv(&mut buffer).expect("the second packet is answered");
        buffer.truncate(length);
        return (buffer[..2] != sentinel[..2]).then_some(buffer);
    }
    let length = socket.recv(&mut buffer).ok()?;
    buffer.truncate(length);
    Some(buffer)
}
