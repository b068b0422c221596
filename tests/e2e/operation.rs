//! Operating the resolver: reloads, spoiled files, full disks, wrong clocks,
//! signals, privileges, health, metrics and the command line.
//!
//! | module | what it shows |
//! |---|---|
//! | `reload` | changes are taken over without a lost question |
//! | `spoiled` | a bad file changes nothing, and is told about |
//! | `disk` | full, read-only and failing disks, and being killed while writing |
//! | `clock` | the wall clock is wrong, or jumps |
//! | `process` | start, stop, a second instance, users and addresses |
//! | `addresses` | every address of the host, and answers from the right one |
//! | `workers` | several sockets and threads for one address |
//! | `admin` | health and metrics over HTTP, and clients that misuse it |
//! | `privacy` | counters add up, and nothing names a client or what it asked |
//! | `report` | how often each hotspot blocked, for the public |
//! | `command` | `check-config`, `explain` and wrong arguments |

mod addresses;
mod admin;
pub(crate) mod clock;
mod command;
mod disk;
pub(crate) mod privacy;
mod process;
mod reload;
mod report;
mod spoiled;
mod workers;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, ListMeta, Scope};
use signed_list::name::Name;

use super::client::{self, Ask, NOERROR, Reply};
use super::world::{Daemon, eventually};

/// The program under test.
const RESOLVER: &str = env!("CARGO_BIN_EXE_friendly-resolver");
/// Within this a change has to be in force. The resolver looks every second;
/// the rest is for a disk that others write to, on which a copy may take long.
const SOON: Duration = Duration::from_secs(15);
/// The list that most tests here have.
const LISTED: &str = "[lists]\nfiles = [\"a.list\"]\n";

/// What a program left that ended by itself.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    /// Insists on one sentence of refusal with these words in it. Log lines may
    /// stand before it.
    fn assert_refused(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        let sentences: Vec<_> = self.err.lines().filter(|line| line.starts_with("friendly-resolver: ")).collect();
        assert_eq!(sentences.len(), 1, "{}", self.err);
        assert!(self.err.trim_end().ends_with(sentences[0]), "the last word is the sentence:\n{}", self.err);
        for word in words {
            assert!(sentences[0].contains(word), "'{word}' is missing in: {}", sentences[0]);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// Runs a program to its end.
fn run(words: &[&str]) -> Ended {
    let output = Command::new("timeout").arg("20").args(words).output().expect("timeout is part of every system");
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("programs write UTF-8");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A list of one category made at `created`, Unix seconds.
fn list_made_at(created: u64, serial: u64, category: &str, names: impl IntoIterator<Item = String>) -> Vec<u8> {
    let meta = ListMeta { categories: vec![category.into()], serial, created, key: DigestKey::OPEN, sealed: false };
    let mut builder = Builder::new(meta);
    let mut suffixes = Suffixes::new();
    for name in names {
        let name = Name::parse(&name).expect("a name of a list");
        DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
        builder.push(suffixes.get(name.labels()), name.labels() as u8, 0, Scope::Subtree);
    }
    builder.build().expect("a list")
}

/// A list with so many names besides `names`.
fn large_list(serial: u64, names: &[&str], more: usize) -> Vec<u8> {
    let names = names.iter().map(|name| (*name).to_owned());
    list_made_at(1_700_000_000, serial, "adult", names.chain((0..more).map(|n| format!("n{n}.list{serial}.example"))))
}

impl Daemon {
    fn is_blocked(&self, name: &str) -> bool {
        self.ask(&Ask::a(name)).is_blocked()
    }

    /// Whether upstreams are asked about the name, and answer.
    fn resolves(&self, name: &str) -> bool {
        let reply = self.ask(&Ask::a(name));
        reply.rcode == NOERROR && reply.answer.len() == 1
    }

    fn health(&self) -> Value {
        let (status, body) = self.get("/healthz");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// The problems that `/healthz` tells of, and that its status fits them.
    pub(crate) fn problems(&self) -> Vec<String> {
        let health = self.health();
        let problems = health["problems"].as_array().expect("a list").iter();
        let problems: Vec<String> = problems.map(|problem| problem.as_str().expect("a sentence").into()).collect();
        let status = if problems.is_empty() { "ok" } else { "degraded" };
        assert_eq!(health["status"], status, "{health}");
        problems
    }

    /// Ends it at once: a stop takes up to a second, which adds up.
    fn break_off(self) {
        self.signal("KILL");
        self.end(SOON);
    }

    fn reloads(&self) -> u64 {
        self.metric("reloads_total")
    }

    /// Asks for a reload by signal, waits for its end, and tells whether it was
    /// taken over. The files must not have changed, or the timer may be first.
    pub(crate) fn reload(&self) -> bool {
        let done = || self.metric("reloads_total{result=\"done\"}");
        let (before, done_before) = (self.reloads(), done());
        self.signal("HUP");
        assert!(eventually(SOON, || self.reloads() > before), "no reload:\n{}", self.log());
        done() > done_before
    }
}

/// A client that asks without a pause and keeps count.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    thread: JoinHandle<Tally>,
}

/// What came of it.
#[derive(Default)]
struct Tally {
    asked: usize,
    lost: usize,
    /// The longest that some questions sent at once took.
    slowest: Duration,
    /// Answers that were not good, in words.
    wrong: Vec<String>,
}

impl Load {
    /// Asks for these names in turn, some at a time.
    pub(crate) fn start(
        client: Ipv4Addr,
        server: SocketAddr,
        names: &'static [&'static str],
        is_good: impl Fn(&str, &Reply) -> bool + Send + 'static,
    ) -> Self {
        const AT_ONCE: usize = 12;
        let over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let (stop, count) = (over.clone(), answered.clone());
        let thread = std::thread::spawn(move || {
            let socket = client::socket(client, server);
            let mut tally = Tally::default();
            let mut buffer = [0; 4096];
            while !stop.load(Relaxed) {
                let asks: Vec<_> = (0..AT_ONCE).map(|at| (at, Ask::a(names[at % names.len()]))).collect();
                asks.iter().for_each(|(_, ask)| drop(socket.send(&ask.packet())));
                tally.asked += AT_ONCE;
                let mut open: Vec<_> = asks.iter().map(|(at, ask)| (ask.id, names[at % names.len()])).collect();
                let begin = Instant::now();
                while !open.is_empty() {
                    let left = Duration::from_secs(2).saturating_sub(begin.elapsed()).max(Duration::from_millis(1));
                    socket.set_read_timeout(Some(left)).expect("sockets take time-outs");
                    let Ok(length) = socket.recv(&mut buffer) else { break };
                    let reply = Reply::read(&buffer[..length]);
                    let Some(place) = open.iter().position(|(id, _)| *id == reply.id) else { continue };
                    let (_, name) = open.remove(place);
                    if !is_good(name, &reply) {
                        tally.wrong.push(format!("{name}: {reply}"));
                    }
                }
                tally.lost += open.len();
                tally.slowest = tally.slowest.max(begin.elapsed());
                count.fetch_add(AT_ONCE - open.len(), Relaxed);
            }
            tally
        });
        Load { over, answered, thread }
    }

    /// Waits until so many more questions have been answered.
    pub(crate) fn wait_for(&self, more: usize) {
        let most = self.answered.load(Relaxed) + more;
        assert!(eventually(SOON, || self.answered.load(Relaxed) >= most), "questions are not answered any more");
    }

    /// Stops asking. Every question has to have had a good answer.
    pub(crate) fn assert_served(self, at_least: usize) {
        self.over.store(true, Relaxed);
        let tally = self.thread.join().expect("the load ends");
        assert_eq!(tally.lost, 0, "of {} questions", tally.asked);
        assert!(tally.wrong.is_empty(), "{} of {} wrong, first: {}", tally.wrong.len(), tally.asked, tally.wrong[0]);
        assert!(tally.asked >= at_least, "only {} questions were asked", tally.asked);
        eprintln!("{} questions, the slowest {:?}", tally.asked, tally.slowest);
    }
}
