//! The life of the process: start, reload, stop. The only place that starts
//! threads and long-lived tasks.
//!
//! Start order: configuration and lists are read and checked before anything
//! is bound, sockets are bound before privileges are dropped, and only then are
//! questions taken. So a resolver that answers, filters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, ListMeta, Scope};
use signed_list::name::Name;
use socket2::Socket;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin;
use crate::clock::{Clock, Now};
use crate::config::{Config, ConfigError};
use crate::filter::Filter;
use crate::lists::{self, ListsError, Loaded, Stamp};
use crate::pipeline::{Pipeline, Snapshot};
use crate::server::tcp::Connections;
use crate::server::udp::{Pulse, Worker};
use crate::server::{bind_tcp, bind_udp, tcp};
use crate::upstream::{Settings, Upstreams};

/// How often files are looked at for changes.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two tries to take over what was refused, or to do without a
/// substitute. The file may have been caught half written, and completed within
/// the same tick of its clock; the disk may have room again.
const TRY_AGAIN: u32 = 10;
/// How long answers under way are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the resolver cannot start. Each is one sentence for the person at the
/// keyboard.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A list.
    #[error(transparent)]
    Lists(#[from] ListsError),
    /// An address.
    #[error("cannot listen on {address} ({transport}): {source}; {advice}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        transport: &'static str,
        /// What the system says.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// The user to become.
    #[error("cannot become user '{user}' (setting [server] user): {reason}")]
    User {
        /// The user.
        user: String,
        /// Why.
        reason: String,
    },
    /// Something the system refused.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Where the configuration comes from.
#[derive(Clone)]
pub enum Origin {
    /// Built-in defaults and the embedded sample list.
    BuiltIn,
    /// A file.
    File(PathBuf),
}

impl Origin {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn config(&self) -> Result<Config, ConfigError> {
        match self {
            Origin::BuiltIn => Ok(Config::builtin()),
            Origin::File(path) => Config::load(path),
        }
    }
}

/// Loads everything that a snapshot needs; `keep` is that of [`lists::load`].
///
/// # Errors
/// The first list that cannot be used.
pub fn snapshot(
    origin: &Origin,
    config: Config,
    generation: u32,
    old: &[Arc<Loaded>],
    keep: bool,
    notes: &mut Vec<String>,
) -> Result<Snapshot, ListsError> {
    let mut loaded = lists::load(&config, old, keep, notes)?;
    if matches!(origin, Origin::BuiltIn) {
        loaded.lists.push(lists::embedded(&config, sample_list()));
    }
    let filter = Filter::new(&config, loaded.lists, loaded.allow);
    Ok(Snapshot::new(generation, Arc::new(config), filter))
}

/// The sample, by category of the built-in configuration.
const SAMPLE: [(&str, &str); 3] = [
    ("malware", include_str!("../blocklists/sample/malware.txt")),
    ("adult", include_str!("../blocklists/sample/adult.txt")),
    ("gambling", include_str!("../blocklists/sample/gambling.txt")),
];

/// The embedded sample list: names that exist for nothing else.
fn sample_list() -> Vec<u8> {
    let categories = SAMPLE.iter().map(|(name, _)| (*name).into()).collect();
    let meta = ListMeta { categories, serial: 1, created: 0, key: DigestKey::OPEN, sealed: false };
    let mut builder = Builder::new(meta);
    let mut suffixes = Suffixes::new();
    for (category, (_, text)) in SAMPLE.iter().enumerate() {
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let name = Name::parse(line).expect("the sample holds good names");
            DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
            let labels = name.labels();
            builder.push(suffixes.get(labels), labels as u8, category as u8, Scope::Subtree);
        }
    }
    builder.build().expect("the sample is small")
}

/// How reloads went, for health and metrics.
#[derive(Default)]
pub struct Reloads {
    /// Reloads that were taken over.
    pub done: u64,
    /// Reloads that were refused; the state before them is still in force.
    pub refused: u64,
    /// Why the last one was refused, if it was.
    pub problem: Option<String>,
    /// What is not as it should be, though everything is in force.
    pub notes: Vec<String>,
    /// When the last one was.
    pub at: Option<SystemTime>,
}

/// What lives as long as the process.
pub struct Service {
    /// The stages.
    pub pipeline: Arc<Pipeline>,
    /// TCP connections.
    pub connections: Arc<Connections>,
    /// How reloads went.
    pub reloads: Mutex<Reloads>,
    /// When it all began, by the wall clock.
    pub started: SystemTime,
    /// The same by the clock that does not jump.
    began: Now,
    /// The configuration of the start, for what only a start can change.
    first: Arc<Config>,
    /// The configuration that was read last, in force or not: its files are
    /// the ones that have to change before it can be.
    wanted: Mutex<Arc<Config>>,
    origin: Origin,
    pulse: Arc<Pulse>,
}

impl Service {
    /// Whether it takes questions.
    pub fn is_ready(&self) -> bool {
        !self.pulse.stop.load(Relaxed)
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        Duration::from_millis(self.pipeline.clock.now().0.saturating_sub(self.began.0))
    }

    /// How reloads went.
    pub fn reloads(&self) -> std::sync::MutexGuard<'_, Reloads> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads configuration and lists anew. What cannot be used changes nothing.
    pub fn reload(&self) {
        let mut notes = Vec::new();
        let result = self.try_reload(&mut notes);
        for note in &notes {
            tracing::warn!("{note}");
        }
        let mut reloads = self.reloads();
        reloads.at = Some(SystemTime::now());
        match result {
            Ok(()) => {
                reloads.done += 1;
                (reloads.problem, reloads.notes) = (None, notes);
                tracing::info!(lists = %self.lists_in_words(), "reloaded");
            }
            Err(error) => {
                reloads.refused += 1;
                let problem = error.to_string();
                // Said once, though it is tried again and again.
                if reloads.problem.as_ref() != Some(&problem) {
                    tracing::error!("not reloaded, the state before stays in force: {problem}");
                }
                reloads.problem = Some(problem);
            }
        }
    }

    fn try_reload(&self, notes: &mut Vec<String>) -> Result<(), StartError> {
        let old = self.pipeline.snapshot.load_full();
        let config = self.origin.config()?;
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
        let (now, first) = (&config.server, &self.first.server);
        if (&now.listen, now.workers, &now.user) != (&first.listen, first.workers, &first.user)
            || (config.admin, &config.log) != (self.first.admin, &self.first.log)
        {
            notes.push("a changed listen, workers, user, admin or log setting takes effect at the next start".into());
        }
        let loaded: Vec<_> = old.filter.every_list().cloned().collect();
        let new = snapshot(&self.origin, config, old.generation + 1, &loaded, true, notes)?;
        self.pipeline.upstreams.replace(&upstream_addresses(&new.config, notes), settings(&new.config));
        self.pipeline.cache.resize(new.config.cache.size);
        let rules_changed = new.config.rebinding != old.config.rebinding || new.config.cache != old.config.cache;
        self.pipeline.replace(new);
        if rules_changed {
            // Answers in memory were made by the old rules.
            self.pipeline.cache.clear();
        }
        Ok(())
    }

    fn lists_in_words(&self) -> String {
        let snapshot = self.pipeline.snapshot.load();
        let words = snapshot
            .filter
            .lists()
            .map(|loaded| format!("{} serial {} ({} names)", loaded.name(), loaded.list.serial(), loaded.list.len()));
        let words: Vec<_> = words.collect();
        if words.is_empty() { "none".into() } else { words.join(", ") }
    }

    /// Whether something older, or without its copy, is in force for want of
    /// what should be.
    fn is_makeshift(&self) -> bool {
        let snapshot = self.pipeline.snapshot.load();
        self.reloads().problem.is_some() || snapshot.filter.every_list().any(|list| list.is_makeshift(&snapshot.config))
    }

    fn stamps(&self) -> Stamps {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stamps(&self.origin, &wanted)
    }
}

type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// The files whose change asks for a reload, as they are now.
fn stamps(origin: &Origin, config: &Config) -> Stamps {
    let mut files: Vec<&Path> = config.lists.iter().map(PathBuf::as_path).collect();
    if let Origin::File(path) = origin {
        files.push(path);
    }
    files.extend(config.policies.iter().flat_map(|policy| policy.allow_lists.iter().map(PathBuf::as_path)));
    if config.upstream.servers.is_empty() {
        files.push(Path::new("/etc/resolv.conf"));
    }
    files.into_iter().map(|file| (file.to_owned(), Stamp::of(file))).collect()
}

/// Runs the resolver until it is told to stop.
///
/// # Errors
/// Why it cannot start.
pub fn run(origin: Origin) -> Result<(), StartError> {
    let config = origin.config()?;
    crate::log::start(&config.log);
    let per_address = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(per_address.min(4))
        .thread_name("async")
        .enable_all()
        .build()?;
    // Before the lists, which may take a while: a SIGHUP that nobody waits for
    // ends a process.
    let signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let stamps = stamps(&origin, &config);
    let mut notes = Vec::new();
    let first = snapshot(&origin, config, 1, &[], true, &mut notes)?;
    let config = first.config.clone();

    let sockets = bind(&config, per_address, &mut notes)?;
    let descriptors = raise_descriptors();
    if let Some(user) = &config.server.user {
        become_user(user)?;
    }

    let upstreams = Upstreams::new(&upstream_addresses(&config, &mut notes), settings(&config));
    for note in &notes {
        tracing::warn!("{note}");
    }
    let workers = sockets.udp.len();
    let pulse = Arc::new(Pulse::default());
    let service = Arc::new(Service {
        pipeline: Arc::new(Pipeline::new(first, upstreams, workers)),
        connections: Arc::new(Connections::within(descriptors / 2)),
        reloads: Mutex::new(Reloads { notes, ..Reloads::default() }),
        started: SystemTime::now(),
        began: Clock.now(),
        first: config.clone(),
        wanted: Mutex::new(config.clone()),
        origin,
        pulse: pulse.clone(),
    });
    let threads = start_workers(sockets.udp, &service, runtime.handle());
    runtime.block_on(async {
        for listener in sockets.tcp {
            let listener = TcpListener::from_std(listener.into())?;
            tokio::spawn(tcp::serve(listener, service.pipeline.clone(), service.connections.clone()));
        }
        if let Some(listener) = sockets.admin {
            tokio::spawn(admin::serve(TcpListener::from_std(listener.into())?, service.clone()));
        }
        announce(&service, &config);
        watch(&service, signals, stamps).await;
        Ok::<(), std::io::Error>(())
    })?;

    // Questions that have arrived are answered, new ones are not taken.
    pulse.stop.store(true, Relaxed);
    for thread in threads {
        drop(thread.join());
    }
    runtime.block_on(service.pipeline.drain(PATIENCE));
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(())
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Waits for signals and changes until it is time to stop. `seen` is how the
/// files were before they were read.
async fn watch(service: &Arc<Service>, mut signals: Signals, mut seen: Stamps) {
    let beating = service.clone();
    tokio::spawn(async move {
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            beating.pulse.beat(beating.pipeline.clock.now().0);
        }
    });
    let mut look = tokio::time::interval(LOOK);
    let mut looks = 0u32;
    loop {
        let asked = tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hangup.recv() => true,
            _ = look.tick() => false,
        };
        // The timer does the same full pass that a signal asks for, so a
        // signal that is lost is repaired a second later.
        let now = service.stamps();
        looks = looks.wrapping_add(1);
        let again = looks.is_multiple_of(TRY_AGAIN) && service.is_makeshift();
        if asked || again || now != seen {
            let reloading = service.clone();
            // On a thread where waiting for a disk is allowed, and not waited
            // for at the end: a disk that hangs must not hold up a stop.
            tokio::select! {
                _ = tokio::task::spawn_blocking(move || reloading.reload()) => {}
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
            // The configuration may name other files now. One that changed
            // while it was read has another stamp than `now` had and is read
            // again at the next look.
            seen = service.stamps();
            seen.iter_mut().for_each(|(file, stamp)| *stamp = now.get(file).copied().unwrap_or(*stamp));
        }
    }
    tracing::info!("stopping");
}

struct Sockets {
    udp: Vec<(Socket, SocketAddr)>,
    tcp: Vec<Socket>,
    admin: Option<Socket>,
}

fn bind(config: &Config, per_address: usize, notes: &mut Vec<String>) -> Result<Sockets, StartError> {
    let mut sockets = Sockets { udp: Vec::new(), tcp: Vec::new(), admin: None };
    let failed = |address, transport, source: std::io::Error| {
        let advice = match source.kind() {
            std::io::ErrorKind::AddrInUse => "another program has this address; stop it or change the 'listen' setting",
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
            _ => "check the 'listen' setting",
        };
        StartError::Bind { address, transport, source, advice }
    };
    for address in &config.server.listen {
        // TCP first: it is not shared between processes, so a second resolver
        // on the same address is refused here instead of taking half of the
        // questions.
        match bind_tcp(*address) {
            Ok(socket) => sockets.tcp.push(socket),
            // A host without IPv6 still serves IPv4.
            Err(error) if address.is_ipv6() && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                notes.push(format!("{address} is left out: this host has no IPv6"));
                continue;
            }
            Err(error) => return Err(failed(*address, "TCP", error)),
        }
        for _ in 0..per_address {
            let socket = bind_udp(*address).map_err(|error| failed(*address, "UDP", error))?;
            sockets.udp.push((socket, *address));
        }
    }
    if let Some(address) = config.admin {
        sockets.admin = Some(bind_tcp(address).map_err(|error| failed(address, "admin HTTP", error))?);
    }
    Ok(sockets)
}

fn start_workers(
    sockets: Vec<(Socket, SocketAddr)>,
    service: &Arc<Service>,
    runtime: &tokio::runtime::Handle,
) -> Vec<JoinHandle<()>> {
    let worker = |(number, (socket, address))| {
        let worker = Worker {
            number,
            socket,
            address,
            pipeline: service.pipeline.clone(),
            runtime: runtime.clone(),
            pulse: service.pulse.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("udp-{number}")).stack_size(512 << 10);
        thread.spawn(move || worker.run()).expect("the system starts a thread")
    };
    sockets.into_iter().enumerate().map(worker).collect()
}

/// Takes as many descriptors as the system allows: each question on its way to
/// an upstream needs one. Returns how many there may be.
fn raise_descriptors() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX)
}

fn become_user(name: &str) -> Result<(), StartError> {
    let failed = |reason: String| StartError::User { user: name.into(), reason };
    let user = nix::unistd::User::from_name(name)
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed("there is no such user; create it or leave the setting empty".into()))?;
    if nix::unistd::geteuid() == user.uid {
        return Ok(());
    }
    // Groups first: without root they can no longer be changed.
    nix::unistd::setgroups(&[user.gid])
        .and_then(|()| nix::unistd::setgid(user.gid))
        .and_then(|()| nix::unistd::setuid(user.uid))
        .map_err(|error| failed(format!("{error}; only root can become another user")))?;
    if nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).is_ok() && !user.uid.is_root() {
        return Err(failed("root could be taken back, which must not be".into()));
    }
    Ok(())
}

fn settings(config: &Config) -> Settings {
    Settings::new(config.upstream.try_timeout, config.upstream.deadline, config.server.udp_payload_size)
}

/// The upstreams of the configuration, or else those of the system.
fn upstream_addresses(config: &Config, notes: &mut Vec<String>) -> Vec<SocketAddr> {
    if !config.upstream.servers.is_empty() {
        return config.upstream.servers.clone();
    }
    let system = match hickory_resolver::system_conf::read_system_conf() {
        Ok((system, _)) => system.name_servers().iter().map(|server| SocketAddr::new(server.ip, 53)).collect(),
        Err(error) => {
            notes.push(format!("the system's upstreams cannot be read ({error}); name some in [upstream] servers"));
            Vec::new()
        }
    };
    // A system that already asks this resolver would send it its own questions.
    let own = |address: &SocketAddr| {
        config.server.listen.iter().any(|mine| {
            mine.port() == address.port()
                && (mine.ip() == address.ip() || mine.ip().is_unspecified() && address.ip().is_loopback())
        })
    };
    let mut servers: Vec<SocketAddr> = Vec::new();
    for server in system {
        if !own(&server) && !servers.contains(&server) {
            servers.push(server);
        }
    }
    if servers.is_empty() {
        notes.push("no upstream is known: listed and local names are answered, all others get SERVFAIL; name some in [upstream] servers".into());
    }
    servers
}

fn announce(service: &Service, config: &Config) {
    let listen: Vec<_> = config.server.listen.iter().map(ToString::to_string).collect();
    let servers = service.pipeline.upstreams.servers();
    let upstreams: Vec<_> = servers.iter().map(|server| server.address.to_string()).collect();
    tracing::info!(listen = %listen.join(" "), upstreams = %upstreams.join(" "), lists = %service.lists_in_words(), "ready");
    if let (Origin::BuiltIn, Some(address)) = (&service.origin, config.server.listen.first()) {
        // The first thing a new user sees: something to try.
        eprintln!(
            "\nFriendly Wi-Fi resolver on built-in defaults, with a sample list of test names.\nTry:    dig @{} -p {} adult.friendly-wifi.example\nExpect: status NXDOMAIN, and \"EDE: 17 (Filtered)\"; other names are answered by {}.\nStop:   Ctrl-C\n",
            address.ip(),
            address.port(),
            if upstreams.is_empty() { "nobody: no upstream is known".into() } else { upstreams.join(", ") },
        );
    }
}
