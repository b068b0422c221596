//! The life of the process: start, reload, stop. The only place that starts
//! threads and long-lived tasks.
//!
//! Start order: configuration and lists are read and checked before anything
//! is bound, sockets are bound before privileges are dropped, and only then are
//! questions taken. So a resolver that answers, filters.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::User;
use socket2::Socket;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::admin;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::dnssec::Validator;
use crate::journal::Transport;
use crate::lists::{ListsError, Manner};
use crate::origin::{self, Beside, Origin, Stamps};
use crate::page;
use crate::pipeline::Pipeline;
use crate::releases::Follower;
use crate::scheme::Scheme;
use crate::server::accept::{self, Connections};
use crate::server::tls::KeysError;
use crate::server::udp::{PATIENCE, Pulse, Worker};
use crate::server::{bind_tcp, bind_udp};
use crate::state::{Reloads, Service, can_write, settings, upstream_servers};
use crate::upstream::{self, Upstreams};

/// How often files are looked at for changes.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two tries to take over what was refused, or to do without a
/// substitute. The file may have been caught half written, and completed within
/// the same tick of its clock; the disk may have room again.
const TRY_AGAIN: u32 = 10;
/// How nice threads are that check long lists: they must not keep clients waiting.
const GIVE_WAY: i32 = 10;

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
    /// Certificate and key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An address.
    #[error("cannot listen on {address} ({transport}): {source}; {advice}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What is spoken there.
        transport: &'static str,
        /// What the system says.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// A followed list.
    #[error("{0}")]
    Follow(String),
    /// The scheme profile.
    #[error("{0}")]
    Scheme(String),
    /// A directory to write in.
    #[error("{0}")]
    Directory(String),
    /// Trust anchors.
    #[error("{0}")]
    Dnssec(String),
    /// Upstreams over TLS.
    #[error("{0}")]
    Upstreams(String),
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
    let stamps = origin::stamps(&origin, &config);
    let mut notes = Vec::new();
    let followers = origin::followers(&config, &[], true).map_err(StartError::Follow)?;
    let scheme = Scheme::load(config.scheme.as_deref()).map_err(StartError::Scheme)?.into();
    let beside = Beside { keys: origin::keys(&config, None)?, scheme };
    let first = origin::snapshot(&origin, config, 1, beside, &[], &followers, Manner::Start, &mut notes)?;
    let config = first.config.clone();

    check(&config)?;
    let sockets = bind(&config, per_address, &mut notes)?;
    let descriptors = raise_descriptors();
    if let Some(user) = &config.server.user {
        become_user(user, &followers)?;
        can_reload(user, stamps.keys())?;
    }
    can_write(&config).map_err(StartError::Directory)?;

    let servers = upstream_servers(&config, &[], runtime.handle(), &mut notes).map_err(StartError::Upstreams)?;
    let upstreams = Upstreams::new(servers, settings(&config));
    let validator = Validator::new(&config, upstreams.clone()).map_err(StartError::Dnssec)?;
    for note in &notes {
        tracing::warn!("{note}");
    }
    if matches!(origin, Origin::File(_)) {
        for remark in config.remarks() {
            tracing::warn!("{remark}");
        }
    }
    let workers = sockets.udp.len();
    let pulse = Arc::new(Pulse::default());
    let service = Arc::new(Service {
        pipeline: Arc::new(Pipeline::new(first, upstreams, validator, workers)),
        connections: Arc::new(Connections::within(descriptors / 2)),
        followers: Mutex::new(followers),
        changing: Mutex::new(()),
        reloads: Mutex::new(Reloads { notes, ..Reloads::default() }),
        started: SystemTime::now(),
        began: Clock.now(),
        first: config.clone(),
        wanted: Mutex::new(config.clone()),
        origin,
        pulse: pulse.clone(),
        home: runtime.handle().clone(),
        keeper: Mutex::default(),
    });
    let threads = start_workers(sockets.udp, &service)?;
    runtime.block_on(async {
        for (listener, transport) in sockets.streams {
            let listener = TcpListener::from_std(listener.into())?;
            let (pipeline, connections) = (service.pipeline.clone(), service.connections.clone());
            tokio::spawn(accept::serve(listener, transport, pipeline, connections));
        }
        let (visitors, desk) = (Arc::new(Connections::within(descriptors / 8)), Arc::new(page::Desk::default()));
        for listener in sockets.pages {
            let listener = TcpListener::from_std(listener.into())?;
            tokio::spawn(page::serve(listener, service.pipeline.clone(), visitors.clone(), desk.clone()));
        }
        if let Some(listener) = sockets.admin {
            tokio::spawn(admin::serve(TcpListener::from_std(listener.into())?, service.clone()));
        }
        announce(&service, &config);
        service.watch_validation();
        watch(&service, signals, stamps).await;
        Ok::<(), std::io::Error>(())
    })?;

    let patience_ends = Instant::now() + PATIENCE;
    pulse.stop();
    for thread in threads {
        drop(thread.join());
    }
    // The workers have waited for their own, and TCP went on meanwhile.
    runtime.block_on(service.pipeline.drain(patience_ends.saturating_duration_since(Instant::now())));
    service.collect_hits(true);
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(())
}

/// What a configuration speaks of outside its file: whether a start would find it.
///
/// # Errors
/// What is not there.
pub fn check(config: &Config) -> Result<(), StartError> {
    if let Some(user) = &config.server.user {
        find_user(user)?;
    }
    upstream::check(&config.upstream.servers).map_err(StartError::Upstreams)
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
    let mut following = Following::default();
    loop {
        following.follow(service);
        let asked = tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hangup.recv() => true,
            _ = look.tick() => false,
        };
        // The timer does the same full pass that a signal asks for, so a
        // signal that is lost is repaired a second later.
        service.collect_hits(false);
        let now = service.stamps();
        looks = looks.wrapping_add(1);
        let again = looks.is_multiple_of(TRY_AGAIN) && service.is_makeshift();
        if asked || again || now != seen {
            // Not waited for at the end: a disk that hangs must not hold up a
            // stop.
            tokio::select! {
                _ = reload_aside(service, asked) => {}
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
            // The configuration may name other files now. One that changed
            // while it was read has another stamp than `now` had and is read
            // again at the next look.
            seen = service.stamps();
            seen.iter_mut().for_each(|(file, stamp)| *stamp = now.get(file).copied().unwrap_or(*stamp));
        }
        if asked {
            service.followers().iter().for_each(|follower| follower.look_now());
        }
    }
    tracing::info!("stopping");
}

/// The threads that follow lists; each ends with its sender.
#[derive(Default)]
struct Following(Vec<(Arc<Follower>, oneshot::Sender<()>)>);

impl Following {
    /// Begins with the lists that are followed now and are not yet, and ends with those that are no longer.
    fn follow(&mut self, service: &Arc<Service>) {
        let wanted = service.followers();
        self.0.retain(|(follower, _)| wanted.iter().any(|other| Arc::ptr_eq(follower, other)));
        for follower in wanted {
            if self.0.iter().any(|(other, _)| Arc::ptr_eq(&follower, other)) {
                continue;
            }
            let (stop, stopped) = oneshot::channel();
            let (list, service) = (follower.clone(), service.clone());
            let started = std::thread::Builder::new().name("list".into()).spawn(move || {
                let _refused = rustix::process::nice(GIVE_WAY);
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return tracing::error!("a list is not followed: {error}; restart the resolver"),
                };
                let take_over = || service.take_over_lists();
                runtime.block_on(async {
                    tokio::select! {
                        () = list.run(&take_over) => {}
                        _ = stopped => {}
                    }
                });
                // A look-up of the system's resolver may hang.
                runtime.shutdown_background();
            });
            match started {
                Ok(_) => self.0.push((follower, stop)),
                Err(error) => tracing::error!("no thread to follow a list: {error}; it is tried again"),
            }
        }
    }
}

/// Reloads on a thread of its own, where waiting for a disk is allowed, and
/// which gives way: checking a long list must not keep clients waiting.
fn reload_aside(service: &Arc<Service>, asked: bool) -> oneshot::Receiver<()> {
    let (done, waiting) = oneshot::channel();
    let service = service.clone();
    let started = std::thread::Builder::new().name("reload".into()).spawn(move || {
        // On Linux this is a property of the thread. Refused, it only costs.
        let _refused = rustix::process::nice(GIVE_WAY);
        service.reload(asked);
        let _gone = done.send(());
    });
    if let Err(error) = started {
        tracing::error!("no thread for a reload: {error}; it is tried again");
    }
    waiting
}

struct Sockets {
    udp: Vec<(Socket, SocketAddr)>,
    streams: Vec<(Socket, Transport)>,
    pages: Vec<Socket>,
    admin: Option<Socket>,
}

fn bind(config: &Config, per_address: usize, notes: &mut Vec<String>) -> Result<Sockets, StartError> {
    let mut sockets = Sockets { udp: Vec::new(), streams: Vec::new(), pages: Vec::new(), admin: None };
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
            Ok(socket) => sockets.streams.push((socket, Transport::Tcp)),
            // A host without IPv6 still serves IPv4.
            Err(error) if has_no_ipv6(*address, &error) => {
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
    if let Some(tls) = &config.tls {
        let dot = tls.dot.iter().map(|address| (address, Transport::Tls, "DNS over TLS"));
        let doh = tls.doh.iter().map(|address| (address, Transport::Https, "DNS over HTTPS"));
        for (address, transport, words) in dot.chain(doh) {
            match bind_tcp(*address) {
                Ok(socket) => sockets.streams.push((socket, transport)),
                Err(error) if has_no_ipv6(*address, &error) => {
                    notes.push(format!("{address} is left out: this host has no IPv6"));
                }
                Err(error) => return Err(failed(*address, words, error)),
            }
        }
    }
    for address in config.stop_page.iter().flat_map(|page| &page.listen) {
        match bind_tcp(*address) {
            Ok(socket) => sockets.pages.push(socket),
            Err(error) if has_no_ipv6(*address, &error) => {
                notes.push(format!("{address} is left out: this host has no IPv6"));
            }
            Err(error) => return Err(failed(*address, "stop page", error)),
        }
    }
    if let Some(address) = config.admin {
        sockets.admin = Some(bind_tcp(address).map_err(|error| failed(address, "admin HTTP", error))?);
    }
    Ok(sockets)
}

fn has_no_ipv6(address: SocketAddr, error: &std::io::Error) -> bool {
    address.is_ipv6() && error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn start_workers(sockets: Vec<(Socket, SocketAddr)>, service: &Arc<Service>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let worker = |(number, (socket, address))| {
        let worker = Worker::new(number, socket, address, service.pipeline.clone(), service.pulse.clone())?;
        let thread = std::thread::Builder::new().name(format!("udp-{number}")).stack_size(512 << 10);
        thread.spawn(move || worker.run())
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

fn find_user(name: &str) -> Result<User, StartError> {
    let failed = |reason: String| StartError::User { user: name.into(), reason };
    User::from_name(name)
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed("there is no such user; create it or leave the setting empty".into()))
}

/// Lists are followed as that user, in directories that root may have made.
fn become_user(name: &str, followers: &[Arc<Follower>]) -> Result<(), StartError> {
    let failed = |reason: String| StartError::User { user: name.into(), reason };
    let user = find_user(name)?;
    if nix::unistd::geteuid() == user.uid {
        return Ok(());
    }
    for follower in followers {
        let given = follower.give_to(user.uid.as_raw(), user.gid.as_raw());
        given.map_err(|error| failed(format!("{}: {error}", follower.state().display())))?;
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

/// What was read as root has to be read again at every reload.
fn can_reload<'a>(user: &str, files: impl Iterator<Item = &'a PathBuf>) -> Result<(), StartError> {
    for file in files {
        match std::fs::File::open(file) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let reason = format!(
                    "it could not read {} again when it changes; let it (chown or chmod, also its directory)",
                    file.display()
                );
                return Err(StartError::User { user: user.into(), reason });
            }
            // One that is not there has been spoken of, and may come.
            _ => {}
        }
    }
    Ok(())
}

fn announce(service: &Service, config: &Config) {
    let listen: Vec<_> = config.server.listen.iter().map(ToString::to_string).collect();
    let servers = service.pipeline.upstreams.servers();
    let upstreams: Vec<_> = servers.iter().map(|server| server.address.to_string()).collect();
    tracing::info!(listen = %listen.join(" "), upstreams = %upstreams.join(" "), lists = %service.lists_in_words(), "ready");
    if let (Origin::BuiltIn, Some(address)) = (&service.origin, config.server.listen.first()) {
        // The first thing a new user sees: something to try.
        eprintln!(
            "\nFriendly Wi-Fi resolver on built-in defaults, with a sample list of test names.\nTry:    dig @{} -p {} adult.friendly-wifi.example\nExpect: status NXDOMAIN, and \"EDE: 17 (Filtered)\".\n        Other names are answered by {}.\nStop:   Ctrl-C\n",
            address.ip(),
            address.port(),
            if upstreams.is_empty() { "nobody: no upstream is known".into() } else { upstreams.join(", ") },
        );
    }
}
