//! What lives as long as the process, and how it takes over a change.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::runtime::Handle;

use crate::clock::Now;
use crate::config::{Config, Peer};
use crate::dnssec::Validator;
use crate::hits::{self, Keeper};
use crate::lists::Manner;
use crate::origin::{self, Beside, Origin, Stamps};
use crate::pipeline::Pipeline;
use crate::releases::Follower;
use crate::scheme::Scheme;
use crate::server::accept::Connections;
use crate::server::udp::Pulse;
use crate::upstream::{Server, Settings};

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
    /// The certificate and key that the configuration names could not be used.
    pub keys_refused: bool,
}

/// What lives as long as the process.
pub struct Service {
    /// The stages.
    pub pipeline: Arc<Pipeline>,
    /// TCP connections.
    pub connections: Arc<Connections>,
    /// Lists that are followed in repositories.
    pub followers: Mutex<Vec<Arc<Follower>>>,
    /// How reloads went.
    pub reloads: Mutex<Reloads>,
    /// When it all began, by the wall clock.
    pub started: SystemTime,
    /// The same by the clock that does not jump.
    pub(crate) began: Now,
    /// The configuration of the start, for what only a start can change.
    pub(crate) first: Arc<Config>,
    /// The configuration that was read last, in force or not: its files are
    /// the ones that have to change before it can be.
    pub(crate) wanted: Mutex<Arc<Config>>,
    pub(crate) origin: Origin,
    /// Held by whoever puts a new snapshot in place of the one it began with.
    pub(crate) changing: Mutex<()>,
    pub(crate) pulse: Arc<Pulse>,
    /// Where connections to upstreams live.
    pub(crate) home: Handle,
    /// Counts for the transparency report.
    pub(crate) keeper: Mutex<Keeper>,
}

impl Service {
    /// Whether it takes questions.
    pub fn is_ready(&self) -> bool {
        !self.pulse.stop.load(Relaxed) && !self.pipeline.snapshot.load().incomplete
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        Duration::from_millis(self.pipeline.clock.now().0.saturating_sub(self.began.0))
    }

    /// Takes what hotspots have counted, and writes it down where an hour has
    /// ended; `last` when the process ends.
    pub(crate) fn collect_hits(&self, last: bool) {
        let snapshot = self.pipeline.snapshot.load();
        let now = Timestamp::now();
        let lines = {
            let mut keeper = self.keeper();
            keeper.collect(&snapshot.hits, |hotspot, category| hits::names(&snapshot.config, hotspot, category));
            if last { keeper.finish(now) } else { keeper.close(now) }
        };
        let Some(directory) = snapshot.config.report.clone().filter(|_| !lines.is_empty()) else { return };
        let write = move || {
            if let Err(error) = hits::write(&directory, &lines) {
                tracing::warn!(%error, "counts for the report are lost; see [report] directory");
            }
        };
        match last {
            true => write(),
            // Aside: a disk that hangs must not hold up a stop or a reload.
            false => drop(std::thread::Builder::new().name("report".into()).spawn(write)),
        }
    }

    /// Counts for the transparency report.
    pub(crate) fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How reloads went.
    pub fn reloads(&self) -> MutexGuard<'_, Reloads> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads configuration and lists anew. What cannot be used changes nothing.
    /// `asked` if a person waits for what comes of it.
    pub fn reload(&self, asked: bool) {
        let mut notes = Vec::new();
        // What is tried again and again is said once.
        match self.try_reload(&mut notes) {
            Ok(mut reloads) => {
                reloads.done += 1;
                for note in notes.iter().filter(|note| asked || !reloads.notes.contains(note)) {
                    tracing::warn!("{note}");
                }
                (reloads.problem, reloads.notes) = (None, notes);
                tracing::info!(lists = %self.lists_in_words(), "reloaded");
            }
            Err(error) => {
                let mut reloads = self.reloads();
                reloads.refused += 1;
                let problem = error.to_string();
                if asked || reloads.problem.as_ref() != Some(&problem) {
                    tracing::error!("not reloaded, the state before stays in force: {problem}");
                }
                reloads.problem = Some(problem);
            }
        }
    }

    /// The followed lists, as they are now.
    pub fn followers(&self) -> Vec<Arc<Follower>> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts in force what the followers have, with everything else as it is.
    ///
    /// # Errors
    /// A list has a category that the configuration does not know.
    pub fn take_over_lists(&self) -> Result<(), String> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.pipeline.snapshot.load_full();
        let files = old.filter.lists().filter(|list| !list.is_followed()).cloned().collect();
        let (config, allow) = (old.config.clone(), old.filter.allow_lists());
        let beside = Beside { keys: old.tls.clone(), scheme: old.scheme.clone() };
        let new = origin::filtered(old.generation + 1, config, beside, files, allow, &self.followers());
        let mut new = new.map_err(|error| error.to_string())?;
        new.incomplete &= old.incomplete;
        new.hits = old.hits.clone();
        self.pipeline.replace(new);
        Ok(())
    }

    /// Hands out the report, locked: whoever sees what is in force now must not read how the reload before went.
    fn try_reload(&self, notes: &mut Vec<String>) -> Result<MutexGuard<'_, Reloads>, String> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.pipeline.snapshot.load_full();
        let config = self.origin.config().map_err(|error| error.to_string())?;
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config.clone());
        let (now, first) = (&config.server, &self.first.server);
        let encrypted = |config: &Config| config.tls.as_ref().map(|tls| (tls.dot.clone(), tls.doh.clone()));
        let page = |config: &Config| config.stop_page.as_ref().map(|page| page.listen.clone());
        let changed = [
            ("[server] listen", now.listen != first.listen),
            ("[server] workers", now.workers != first.workers),
            ("[server] user", now.user != first.user),
            ("[tls] dot or doh", encrypted(&config) != encrypted(&self.first)),
            ("[stop_page] listen", page(&config) != page(&self.first)),
            ("[admin] listen", config.admin != self.first.admin),
            ("[log]", config.log != self.first.log),
        ];
        for (setting, _) in changed.into_iter().filter(|(_, changed)| *changed) {
            notes.push(format!("the changed {setting} takes effect at the next start"));
        }
        let before = old.config.remarks();
        for remark in config.remarks().iter().filter(|remark| !before.contains(remark)) {
            tracing::warn!("{remark}");
        }
        // A renewal that went wrong must not keep a new list from being enforced.
        let (keys, keys_refused) = match origin::keys(&config, old.tls.as_ref()) {
            Ok(keys) => (keys, false),
            Err(error) => {
                notes.push(format!("{error}; the certificate and key before stay in use"));
                (old.tls.clone(), true)
            }
        };
        can_write(&config)?;
        let beside = Beside { keys, scheme: Scheme::load(config.scheme.as_deref())?.into() };
        let servers = upstream_servers(&config, &self.pipeline.upstreams.servers(), &self.home, notes)?;
        let trust_changed = config.dnssec != old.config.dnssec || config.local.forward != old.config.local.forward;
        let validator = match trust_changed {
            true => {
                Some(Validator::new(&config, self.pipeline.upstreams.clone())?.after(&self.pipeline.validator.load()))
            }
            false => None,
        };
        let loaded: Vec<_> = old.filter.every_list().filter(|list| !list.is_followed()).cloned().collect();
        let followers = origin::followers(&config, &self.followers(), true)?;
        let mut new = origin::snapshot(
            &self.origin,
            config,
            old.generation + 1,
            beside,
            &loaded,
            &followers,
            Manner::Aside,
            notes,
        )
        .map_err(|error| error.to_string())?;
        // A list that is only added is waited for without an effect on anybody. One that comes in the place of another
        // must not leave a gap.
        let lost = |list: &Arc<crate::lists::Loaded>| !new.filter.lists().any(|other| other.path == list.path);
        new.incomplete &= old.incomplete || old.filter.lists().any(lost);
        let mut report = self.reloads();
        report.keys_refused = keys_refused;
        *self.followers.lock().unwrap_or_else(PoisonError::into_inner) = followers;
        self.pipeline.upstreams.replace(servers, settings(&new.config));
        self.pipeline.cache.resize(new.config.cache.size);
        // Counters go by the number of their policy and category.
        let named = |config: &Config| -> Vec<String> {
            let policies = config.policies.iter().map(|policy| policy.name.clone());
            policies.chain(config.categories.iter().map(|category| category.name.clone())).collect()
        };
        match (new.config.policies.len(), named(&new.config)) == (old.config.policies.len(), named(&old.config)) {
            true => new.hits = old.hits.clone(),
            false => self.collect_hits(false),
        }
        let rules_changed =
            trust_changed || new.config.rebinding != old.config.rebinding || new.config.cache != old.config.cache;
        self.pipeline.replace(new);
        if let Some(validator) = validator {
            self.pipeline.validator.store(Arc::new(validator));
            self.watch_validation();
        }
        if rules_changed {
            // Answers in memory were made by the old rules.
            self.pipeline.cache.clear();
        }
        Ok(report)
    }

    /// Looks in the background whether upstreams pass signatures on, until they do.
    pub(crate) fn watch_validation(&self) {
        let pipeline = self.pipeline.clone();
        let validator = pipeline.validator.load_full();
        self.home.spawn(async move {
            let in_force = || Arc::ptr_eq(&pipeline.validator.load(), &validator);
            // Nothing that came before validation stays.
            validator.watch(in_force, || pipeline.cache.clear()).await;
        });
    }

    pub(crate) fn lists_in_words(&self) -> String {
        let snapshot = self.pipeline.snapshot.load();
        let words = snapshot.filter.lists().map(|loaded| {
            let names = if loaded.names() == 1 { "name" } else { "names" };
            format!("{} serial {} ({} {names})", loaded.name(), loaded.serial(), loaded.names())
        });
        let words: Vec<_> = words.collect();
        if words.is_empty() { "none".into() } else { words.join(", ") }
    }

    /// Whether something older, or without its copy, is in force for want of
    /// what should be.
    pub(crate) fn is_makeshift(&self) -> bool {
        let snapshot = self.pipeline.snapshot.load();
        let refused = {
            let reloads = self.reloads();
            reloads.problem.is_some() || reloads.keys_refused
        };
        refused || snapshot.filter.every_list().any(|list| list.is_makeshift(&snapshot.config))
    }

    pub(crate) fn stamps(&self) -> Stamps {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        origin::stamps(&self.origin, &wanted)
    }
}

/// Times and sizes of exchanges with upstreams.
pub(crate) fn settings(config: &Config) -> Settings {
    Settings::new(config.upstream.try_timeout, config.upstream.deadline, config.server.udp_payload_size)
}

/// The upstreams of the configuration, or else those of the system; what is
/// known of those that stay is kept. Connections to them live on `home`.
///
/// # Errors
/// Nothing certifies those over TLS.
pub(crate) fn upstream_servers(
    config: &Config,
    old: &[Arc<Server>],
    home: &Handle,
    notes: &mut Vec<String>,
) -> Result<Vec<Arc<Server>>, String> {
    let keep = |peer: &Peer| old.iter().find(|server| server.is(peer)).cloned();
    let server = |peer: &Peer| keep(peer).map_or_else(|| Server::new(peer, home).map(Arc::new), Ok);
    peers(config, notes).iter().map(server).collect()
}

/// Makes the directories that the configuration names to write in, and sees
/// whether they can be written.
///
/// # Errors
/// What is to be done.
pub(crate) fn can_write(config: &Config) -> Result<(), String> {
    let reviews = config.stop_page.as_ref().and_then(|page| page.reviews.as_ref());
    let reviews = reviews.map(|reviews| ("[stop_page] reviews", &*reviews.directory));
    let report = config.report.as_deref().map(|directory| ("[report] directory", directory));
    for (setting, directory) in reviews.into_iter().chain(report) {
        let probe = directory.join(format!(".probe-{}", std::process::id()));
        let tried = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&probe, b""));
        tried.and_then(|()| std::fs::remove_file(&probe)).map_err(|error| {
            format!(
                "nothing can be kept in {} (setting {setting}): {error}; make the directory and give it to the user of [server]",
                directory.display()
            )
        })?;
    }
    Ok(())
}

fn peers(config: &Config, notes: &mut Vec<String>) -> Vec<Peer> {
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
    servers.into_iter().map(Peer::plain).collect()
}
