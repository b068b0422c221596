//! The surroundings of one test: a network of its own in 127/8, a directory,
//! and the real resolver in it.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, ListMeta, Scope};
use signed_list::name::Name;
use toml::{Table, Value};

use super::client::{self, Ask, Reply};

/// Port of the resolver and of its upstreams: above 1024, no right is needed.
pub(crate) const PORT: u16 = 5300;
const ADMIN_PORT: u16 = 5380;
/// A port that nothing listens on but the test that owns a network.
const CLAIM_PORT: u16 = 5399;
/// Longest wait for a program to start or to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than the resolver tries: it always says something in the end.
pub(crate) const ANSWER: Duration = Duration::from_secs(8);

/// Waits until `condition` holds, for `most` at the longest; `false` if it
/// never did. The only place of the tests that waits without being woken.
pub(crate) fn eventually(most: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begin.elapsed() > most {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A network 127.x.y.0/24 and a directory that no other test has.
pub(crate) struct World {
    network: [u8; 3],
    directory: PathBuf,
    program: PathBuf,
    _claim: TcpListener,
}

impl World {
    /// Takes the next network that is free, also of other runs at the same time.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let turn = NEXT.fetch_add(1, Relaxed);
            assert!(turn < 10_000, "no free network in 127.192.0.0/10");
            // By a number that has no factor in common with 63, or few runs at the
            // same time would begin at different networks.
            let run = std::process::id().wrapping_mul(11);
            let network = [127, 192 + ((run + turn / 256) % 63) as u8, (turn % 256) as u8];
            let claim = Ipv4Addr::new(network[0], network[1], network[2], 254);
            let Ok(claim) = TcpListener::bind((claim, CLAIM_PORT)) else { continue };
            let name = format!("world-{}-{}", network[1], network[2]);
            let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            drop(fs::remove_dir_all(&directory));
            fs::create_dir_all(&directory).expect("the target directory can be written");
            let program = env!("CARGO_BIN_EXE_friendly-resolver").into();
            return World { network, directory, program, _claim: claim };
        }
    }

    /// The same where every user comes to, with a copy of the program: the place
    /// of the build may be closed to others.
    pub(crate) fn open_to_others() -> Self {
        let mut world = World::new();
        fs::remove_dir(&world.directory).expect("our own directory");
        let name = world.directory.file_name().expect("a name").display().to_string();
        let directory = std::env::temp_dir().join(format!("friendly-{name}"));
        drop(fs::remove_dir_all(&directory));
        fs::create_dir(&directory)
            .and_then(|()| fs::set_permissions(&directory, Permissions::from_mode(0o755)))
            .expect("the directory of temporary files can be written");
        let program = directory.join("friendly-resolver");
        // By another process: a child of another test might hold what is written
        // here open for a moment, and such a file cannot be started.
        let copied = Command::new("cp").arg(&world.program).arg(&program).status();
        assert!(copied.is_ok_and(|status| status.success()), "there is room for the program");
        (world.directory, world.program) = (directory, program);
        world
    }

    /// The program under test.
    pub(crate) fn program(&self) -> &str {
        self.program.to_str().expect("a plain path")
    }

    /// Address `last` of this network. The resolver is 1, upstreams are 2 to 9,
    /// clients are 10 and above.
    pub(crate) fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, last)
    }

    /// Where the resolver listens.
    pub(crate) fn resolver(&self) -> SocketAddr {
        (self.address(1), PORT).into()
    }

    /// Where upstream `number` (1 to 8) is.
    pub(crate) fn upstream(&self, number: u8) -> SocketAddr {
        assert!((1..=8).contains(&number));
        (self.address(1 + number), PORT).into()
    }

    /// A file in the directory of the configuration.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.join(name);
        // Renamed into its place: a resolver that is running looks at it.
        let new = self.directory.join(format!("{name}.new"));
        fs::write(&new, content).and_then(|()| fs::rename(&new, &path)).expect("the target directory can be written");
        path
    }

    /// Writes a compiled list; see [`compile`].
    pub(crate) fn write_list(&self, file: &str, serial: u64, entries: &[(&str, &str)]) -> PathBuf {
        self.write(file, compile(serial, entries))
    }

    /// Starts the resolver with these upstreams. `settings` is TOML that is
    /// laid over the settings every test has; see [`World::config`].
    pub(crate) fn start(&self, upstreams: &[SocketAddr], settings: &str) -> Daemon {
        self.start_under(&[], upstreams, settings)
    }

    /// The same below another program, which has to replace itself by it, as
    /// prlimit and unshare do.
    pub(crate) fn start_under(&self, prefix: &[&str], upstreams: &[SocketAddr], settings: &str) -> Daemon {
        let mut daemon = self.spawn(prefix, upstreams, settings);
        let stderr = daemon.child.stderr.take().expect("piped");
        daemon.read_log(stderr);
        daemon.wait_for_log("ready");
        daemon
    }

    /// Starts it below another program that may kill it at any moment, and does not wait.
    pub(crate) fn start_doomed(&self, prefix: &[String], upstreams: &[SocketAddr], settings: &str) -> Daemon {
        let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
        let mut daemon = self.spawn(&prefix, upstreams, settings);
        let stderr = daemon.child.stderr.take().expect("piped");
        daemon.read_log(stderr);
        daemon
    }

    /// Starts it with a standard error that nobody reads, and does not wait.
    pub(crate) fn start_unread(&self, upstreams: &[SocketAddr], settings: &str) -> (Daemon, ChildStderr) {
        let mut daemon = self.spawn(&[], upstreams, settings);
        let stderr = daemon.child.stderr.take().expect("piped");
        (daemon, stderr)
    }

    fn spawn(&self, prefix: &[&str], upstreams: &[SocketAddr], settings: &str) -> Daemon {
        let config = self.write("friendly.toml", self.config(upstreams, settings));
        let words: Vec<&str> = prefix.iter().copied().chain([self.program(), "run", "--config"]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", words[0]));
        Daemon {
            child,
            address: self.resolver(),
            admin: (self.address(1), ADMIN_PORT).into(),
            client: self.address(10),
            log: Arc::default(),
        }
    }

    /// The configuration that [`World::start`] writes.
    pub(crate) fn config(&self, upstreams: &[SocketAddr], settings: &str) -> String {
        let servers: Vec<String> = upstreams.iter().map(ToString::to_string).collect();
        let base = format!(
            "version = 1\n[server]\nlisten = [\"{}\"]\nworkers = 1\n[upstream]\nservers = {servers:?}\n\
             [dnssec]\nvalidate = \"off\"\n[cache]\nsize = \"8 MiB\"\n[admin]\nlisten = \"{}:{ADMIN_PORT}\"\n",
            self.resolver(),
            self.address(1),
        );
        let mut table: Table = base.parse().expect("the settings that every test has");
        lay_over(&mut table, settings.parse().expect("the settings of a test are TOML"));
        toml::to_string(&table).expect("a table of settings")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn lay_over(table: &mut Table, settings: Table) {
    for (key, value) in settings {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => lay_over(old, new),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// A list file of (category, name) pairs; `=name` covers exactly this name.
pub(crate) fn compile(serial: u64, entries: &[(&str, &str)]) -> Vec<u8> {
    let mut categories: Vec<String> = entries.iter().map(|(category, _)| (*category).to_owned()).collect();
    categories.sort();
    categories.dedup();
    let meta = ListMeta { categories: categories.clone(), serial, created: 0, key: DigestKey::OPEN, sealed: false };
    let mut builder = Builder::new(meta);
    let mut suffixes = Suffixes::new();
    for (category, rule) in entries {
        let exact = rule.strip_prefix('=');
        let name = Name::parse(exact.unwrap_or(rule)).expect("a name of a list");
        let scope = if exact.is_some() { Scope::Exact } else { Scope::Subtree };
        let index = categories.iter().position(|known| known == category).expect("collected above");
        DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
        builder.push(suffixes.get(name.labels()), name.labels() as u8, index as u8, scope);
    }
    builder.build().expect("a small list")
}

/// A running resolver. It is stopped with this value, and has to end well.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    client: Ipv4Addr,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    /// Collects what it writes to its log from now on.
    pub(crate) fn read_log(&self, mut stderr: ChildStderr) {
        let log = self.log.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until its log holds `words`.
    pub(crate) fn wait_for_log(&mut self, words: &str) {
        let found = eventually(PATIENCE, || self.log().contains(words) || !self.is_alive());
        assert!(found && self.is_alive() && self.log().contains(words), "no '{words}' in the log:\n{}", self.log());
    }

    /// Asks over UDP as the client with address 10.
    pub(crate) fn ask(&self, ask: &Ask) -> Reply {
        self.ask_as(self.client, ask)
    }

    /// Asks over UDP as another client.
    pub(crate) fn ask_as(&self, client: Ipv4Addr, ask: &Ask) -> Reply {
        let reply = client::udp(client, self.address, ask, ANSWER);
        reply.unwrap_or_else(|| panic!("no answer to {}\n{}", ask.text(), self.log()))
    }

    /// Asks over UDP and does not insist on an answer.
    pub(crate) fn try_ask(&self, ask: &Ask, patience: Duration) -> Option<Reply> {
        client::udp(self.client, self.address, ask, patience)
    }

    /// Asks over TCP.
    pub(crate) fn ask_tcp(&self, ask: &Ask) -> Reply {
        let reply = client::tcp(self.client, self.address, &[ask.packet()], 1, ANSWER);
        let octets = reply.into_iter().next().unwrap_or_else(|| panic!("no answer to {}\n{}", ask.text(), self.log()));
        Reply::read(&octets)
    }

    /// Where it answers HTTP.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The answer of the admin address to a GET: status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).expect("the admin address takes connections");
        stream.set_read_timeout(Some(ANSWER)).expect("sockets take time-outs");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin).expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("UTF-8 and a closed connection");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let body = text.split_once("\r\n\r\n").expect("a head").1;
        (status, body.to_owned())
    }

    /// The sum of all samples whose line starts with `friendly_resolver_` and
    /// this; `outcomes_total{outcome="stale"}`, say.
    pub(crate) fn metric(&self, start: &str) -> u64 {
        let (_, text) = self.get("/metrics");
        let start = format!("friendly_resolver_{start}");
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&start)).collect();
        assert!(!lines.is_empty(), "no metric {start} in\n{text}");
        lines
            .iter()
            .map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).expect("a number"))
            .sum()
    }

    /// Questions that ended so.
    pub(crate) fn outcome(&self, outcome: &str) -> u64 {
        self.metric(&format!("outcomes_total{{outcome=\"{outcome}\"}}"))
    }

    /// Sends a signal, by its short name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a running process has memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Processor time used so far, in milliseconds.
    pub(crate) fn processor(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the process runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("a name in parentheses").split(' ').collect();
        let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum();
        ticks * 10
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process runs").count()
    }

    /// Waits until it was killed, or else kills it as soon as it is `done`; whether somebody else had killed it.
    pub(crate) fn doomed(mut self, mut done: impl FnMut() -> bool) -> bool {
        let mut gone = false;
        let ended = eventually(PATIENCE, || {
            gone = !self.is_alive();
            gone || done()
        });
        assert!(ended, "neither killed nor done:\n{}", self.log());
        self.child.kill().expect("our own child, or it has ended");
        let status = self.child.wait().expect("our own child");
        assert_eq!(status.signal(), Some(9), "{}", self.log());
        // Nothing is left to be stopped.
        std::mem::forget(self);
        gone
    }

    /// Waits for its end, which the test has brought about.
    pub(crate) fn end(mut self, most: Duration) -> ExitStatus {
        let mut status = None;
        eventually(most, || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        let status = status.unwrap_or_else(|| panic!("it did not end in {most:?}:\n{}", self.log()));
        assert!(!self.log().contains("panicked"), "a thread panicked:\n{}", self.log());
        // Nothing is left to be stopped.
        std::mem::forget(self);
        status
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ended = self.child.try_wait().ok().flatten();
            drop(self.child.kill());
            drop(self.child.wait());
            eprintln!("log of the resolver (ended: {ended:?}):\n{}", self.log());
            return;
        }
        // A test may have ended it already.
        if self.is_alive() {
            self.signal("TERM");
        }
        assert!(eventually(PATIENCE, || !self.is_alive()), "it does not end:\n{}", self.log());
        let status = self.child.wait().expect("our own child");
        let log = self.log();
        assert!(status.success(), "it ended with {status:?}:\n{log}");
        assert!(!log.contains("panicked"), "a thread panicked:\n{log}");
    }
}
