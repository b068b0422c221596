//! One followed list: looks at its repository, checks, and brings into force what is new.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use prometheus::{Histogram, HistogramOpts};
use reqwest::header::HeaderValue;
use signed_list::digest::DigestKey;
use signed_list::list::{Builder, Checked, Delta, List, ListMeta, Overlay, Scope};
use signed_list::release::{Manifest, Receipt, SPEC, shard_name};
use tough::{ExpirationEnforcement, IntoVec, Limits, Repository, RepositoryLoader, TargetName};

use super::remote::{Fetcher, Look, Remote};
use super::sealed::{Epoch, Identity};
use super::store::{Held, Store};
use super::trouble::Trouble;
use super::{Status, receipt};
use crate::config::Source;
use crate::lists::{Bytes, Followed, open_copy};

/// Largest payload that is read, whatever a manifest says.
const MOST: u64 = 4 << 30;
/// Largest metadata file.
const METADATA: u64 = 16 << 20;
/// Changes that are looked for one by one beside the list, before they are merged into it at once.
const MANY_CHANGES: usize = 4096;
/// Changes stay beside the list until nothing has come for this long: a merge writes the whole list.
pub(super) const QUIET: Duration = Duration::from_secs(600);
/// How often the time of the last good look is written to the disk.
const NOTE: u64 = 60;

/// A list that is followed.
pub struct Follower {
    /// What the configuration says about it.
    pub source: Source,
    identity: Option<Identity>,
    remote: Remote,
    store: Store,
    root: Vec<u8>,
    current: ArcSwapOption<Current>,
    state: Mutex<State>,
}

/// What is in force.
struct Current {
    held: Held,
    epoch: Option<Arc<Epoch>>,
    list: Followed,
    /// When the last change came.
    since: std::time::Instant,
}

struct State {
    status: Status,
    etag: Option<HeaderValue>,
    /// The timestamp that was looked at last, when all of what it led to is in force.
    seen: Vec<u8>,
    noted: u64,
    /// When the metadata that is trusted expires, Unix seconds.
    expires: u64,
}

impl Follower {
    /// Prepares to follow a list, and takes what was in force when the program last ran.
    ///
    /// # Errors
    /// What the operator has to mend before the list can be followed.
    /// `live` is for the resolver itself; without it nothing is written.
    pub fn new(source: &Source, live: bool) -> Result<Self, String> {
        let title = |error: String| format!("[[list]] \"{}\": {error}", source.name);
        let identity = source.identity.as_ref().map(Identity::load).transpose();
        let identity = identity.map_err(|error| title(error.to_string()))?;
        let path = |path: &Path, error: &dyn std::fmt::Display| title(format!("{}: {error}", path.display()));
        let root = std::fs::read(&source.root)
            .map_err(|error| path(&source.root, &format!("{error}; it is the root metadata of the repository")))?;
        let store = Store::open(&source.state, live).map_err(|error| {
            path(&source.state, &format!("{error}; this user has to be able to write to the directory"))
        })?;
        let histogram = HistogramOpts::new(
            "friendly_resolver_time_to_block_seconds",
            "Time from a decision to its being in force here.",
        );
        let histogram = histogram
            .const_label("list", &source.name)
            .buckets(vec![1., 2., 5., 10., 15., 30., 60., 300., 900., 3600., 21_600., 86_400.]);
        let time_to_block = Histogram::with_opts(histogram).expect("good names");
        let follower = Follower {
            remote: Remote::new(source).map_err(title)?,
            state: Mutex::new(State {
                status: Status::new(store.verified(), time_to_block),
                etag: None,
                seen: Vec::new(),
                noted: 0,
                expires: u64::MAX,
            }),
            source: source.clone(),
            identity,
            store,
            root,
            current: ArcSwapOption::empty(),
        };
        if let Err(trouble) = follower.restore() {
            // The repository has it, too.
            follower.tell(&trouble);
        }
        Ok(follower)
    }

    /// The list in force; `None` before the first release.
    pub fn list(&self) -> Option<Followed> {
        self.current.load().as_ref().map(|current| current.list.clone())
    }

    /// The name of this resolver in releases and receipts.
    pub fn resolver(&self) -> Option<String> {
        self.identity.as_ref().map(Identity::resolver)
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        let mut status = self.state().status.clone();
        if let Some(current) = &*self.current.load() {
            status.serial = current.held.manifest.serial;
            status.created = current.held.manifest.created;
            status.pending =
                current.list.change.as_ref().map_or(0, |change| change.delta().added() + change.delta().removed());
        }
        status
    }

    /// Looks at the repository now and then, for ever. `take_over` puts what [`Self::list`] says in force.
    pub async fn run(self: Arc<Self>, take_over: impl Fn() -> Result<(), String> + Send + Sync) {
        let mut failures = 0u32;
        loop {
            match self.look(&take_over).await {
                Ok(()) => failures = 0,
                Err(trouble) => {
                    failures += 1;
                    self.tell(&trouble);
                }
            }
            self.merge_when_quiet(&take_over).await;
            // A repository that is down is not asked more often than it can bear when it comes back. Spread, so that
            // ten thousand resolvers do not ask in the same second.
            let pause = self.source.interval * (1 << failures.min(3));
            tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * random())).await;
        }
    }

    /// One look: whether something is new, and if so, all the way to its being in force.
    pub(super) async fn look(&self, take_over: &(impl Fn() -> Result<(), String> + Sync)) -> Result<(), Trouble> {
        let etag = self.state().etag.clone();
        let (timestamp, etag) = match self.remote.timestamp(etag.as_ref()).await? {
            Look::Unchanged => return self.verified(),
            Look::Changed { bytes, .. } if bytes == self.state().seen => return self.verified(),
            Look::Changed { bytes, etag } => (bytes, etag),
        };
        let fetcher = Fetcher::new(&self.remote, timestamp.clone(), &self.store.metadata(), METADATA);
        let repository = self.check(&fetcher).await.map_err(|trouble| {
            self.store.forget();
            fetcher.failure().map_or(trouble, Trouble::from)
        })?;
        let expires = [
            repository.timestamp().signed.expires,
            repository.snapshot().signed.expires,
            repository.targets().signed.expires,
        ];
        self.state().expires = expires.iter().map(|expires| expires.as_second() as u64).min().unwrap_or(0);
        let manifest = self.manifest(&repository, &fetcher).await?;
        let held = self.current.load_full();
        match held.as_ref().map(|current| &current.held.manifest) {
            Some(old) if old.serial > manifest.serial => {
                return Err(Trouble::Older { serial: manifest.serial, held: old.serial });
            }
            Some(old) if old.serial == manifest.serial && old.hash != manifest.hash => {
                return Err(Trouble::Twice { serial: manifest.serial });
            }
            Some(old) if old.serial == manifest.serial => {}
            _ => self.take(&repository, &fetcher, manifest, held.as_deref(), take_over).await?,
        }
        let mut state = self.state();
        state.status.fetched += fetcher.fetched() + timestamp.len() as u64;
        (state.etag, state.seen) = (etag, timestamp);
        drop(state);
        self.verified()
    }

    /// Checks the metadata: signatures, versions, hashes, expiry.
    async fn check(&self, fetcher: &Fetcher) -> Result<Repository, Trouble> {
        let staged = self.store.stage().map_err(|error| Trouble::disk(&self.store.trusted(), error))?;
        // The newest root that was ever trusted; the one of the configuration is where it began.
        let trusted = self.pinned(&staged)?;
        let repository = RepositoryLoader::new(&trusted, self.remote.metadata().clone(), self.remote.targets().clone())
            .transport(fetcher.clone())
            .datastore(&staged)
            .expiration_enforcement(ExpirationEnforcement::Safe)
            .limits(Limits {
                max_root_size: 1 << 20,
                max_targets_size: METADATA,
                max_timestamp_size: 64 << 10,
                max_snapshot_size: 1 << 20,
                max_root_updates: 1024,
            })
            .load()
            .await?;
        self.store.trust(&staged).map_err(|error| Trouble::disk(&self.store.trusted(), error))?;
        // tough writes to it whenever a target is read.
        std::fs::create_dir_all(&staged).map_err(|error| Trouble::disk(&staged, error))?;
        let mut names = vec![format!("{}.snapshot.json", repository.snapshot().signed.version)];
        names.extend(repository.snapshot().signed.meta.iter().map(|(name, meta)| format!("{}.{name}", meta.version)));
        self.store.keep_only(&names);
        Ok(repository)
    }

    /// The root to begin with. When the operator has pinned another one, nothing of before is trusted any more.
    fn pinned(&self, staged: &Path) -> Result<Vec<u8>, Trouble> {
        let disk = |error| Trouble::disk(staged, error);
        let mark = blake3::hash(&self.root).to_hex();
        let place = staged.join("pinned");
        if std::fs::read_to_string(&place).is_ok_and(|before| before == mark.as_str())
            && let Ok(root) = std::fs::read(staged.join("root.json"))
        {
            return Ok(root);
        }
        for name in ["root.json", "timestamp.json", "snapshot.json", "targets.json"] {
            match std::fs::remove_file(staged.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(error)),
                _ => {}
            }
        }
        std::fs::write(&place, mark.as_str()).map_err(disk)?;
        Ok(self.root.clone())
    }

    async fn manifest(&self, repository: &Repository, fetcher: &Fetcher) -> Result<Manifest, Trouble> {
        let name = self.source.class.manifest();
        let bytes = target(repository, fetcher, &name).await?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| Trouble::Manifest { name: name.clone(), why: error.to_string() })?;
        let wrong = |why: &str| Err(Trouble::Manifest { name: name.clone(), why: why.into() });
        if manifest.spec != SPEC {
            return wrong("it has a version that this program does not read; update it");
        }
        if manifest.class != self.source.class {
            return wrong("it is that of another class");
        }
        if manifest.class.is_sealed() != manifest.epoch.is_some() {
            return wrong("its epoch does not fit its class");
        }
        if manifest.length > MOST {
            return wrong("its list is larger than 4 GiB");
        }
        Ok(manifest)
    }

    /// Brings a release into force.
    async fn take(
        &self,
        repository: &Repository,
        fetcher: &Fetcher,
        manifest: Manifest,
        old: Option<&Current>,
        take_over: &(impl Fn() -> Result<(), String> + Sync),
    ) -> Result<(), Trouble> {
        let epoch = match (manifest.epoch, old.and_then(|old| old.epoch.clone())) {
            (Some(number), Some(epoch)) if epoch.number == number => Some(epoch),
            (Some(number), _) => Some(Arc::new(self.epoch(repository, fetcher, number, manifest.shards).await?)),
            (None, _) => None,
        };
        let follows = |old: &&Current| old.held.manifest.epoch == manifest.epoch;
        let steps = old.filter(follows).and_then(|old| manifest.steps_from(old.held.manifest.serial));
        let current = match (old, steps) {
            (Some(old), Some(steps)) => {
                match self.changes(repository, fetcher, &manifest, old, &steps, epoch.as_deref()).await {
                    // What was fetched is signed and does not fit all the same: the whole list is there for that.
                    Err(Trouble::Change(why)) => {
                        tracing::warn!(
                            list = self.source.name,
                            "changes to the list do not fit ({why}); the whole list is fetched"
                        );
                        self.whole(repository, fetcher, manifest, epoch).await?
                    }
                    current => current?,
                }
            }
            _ => self.whole(repository, fetcher, manifest, epoch).await?,
        };
        let manifest = current.held.manifest.clone();
        let before = self.current.swap(Some(Arc::new(current)));
        if let Err(error) = take_over() {
            self.current.store(before);
            return Err(Trouble::NotTaken { serial: manifest.serial, why: error });
        }
        // Only now: after a crash before it, the old release is in force, and this one comes again.
        let held = self.current.load().as_ref().map(|current| current.held.clone());
        if let Some(held) = held {
            self.store.hold(&held).map_err(|error| Trouble::disk(&self.source.state, error))?;
        }
        self.applied(&manifest)
    }

    /// Fetches the own envelope of an epoch.
    async fn epoch(
        &self,
        repository: &Repository,
        fetcher: &Fetcher,
        number: u64,
        shards: u32,
    ) -> Result<Epoch, Trouble> {
        let identity = self.identity.as_ref().ok_or(Trouble::NoIdentity)?;
        let shard = target(repository, fetcher, &shard_name(number, &identity.resolver(), shards)).await?;
        let envelope = identity.find(&shard, number)?;
        let epoch = identity.open(&envelope)?;
        if epoch.number != number {
            return Err(Trouble::Manifest { name: "envelope".into(), why: "it is of another epoch".into() });
        }
        let place = self.store.envelope(number);
        self.store.write(&place, envelope.as_bytes()).map_err(|error| Trouble::disk(&place, error))?;
        Ok(epoch)
    }

    /// The release from its changes to what is in force.
    async fn changes(
        &self,
        repository: &Repository,
        fetcher: &Fetcher,
        manifest: &Manifest,
        old: &Current,
        steps: &[(u64, u64)],
        epoch: Option<&Epoch>,
    ) -> Result<Current, Trouble> {
        let mut delta = old.list.change.as_ref().map(|change| change.delta().clone());
        let mut held = Held { manifest: manifest.clone(), ..old.held.clone() };
        for step in steps {
            let name = self.source.class.delta(step.0, step.1);
            let bytes = target(repository, fetcher, &name).await?;
            let bytes = match epoch {
                Some(epoch) => epoch.payload(&bytes, &name, manifest.length)?,
                None => bytes,
            };
            let next = Delta::read(&bytes)?;
            delta = Some(match delta {
                Some(delta) => delta.then(&next)?,
                None => next,
            });
            let place = self.store.delta(*step);
            self.store.write(&place, &bytes).map_err(|error| Trouble::disk(&place, error))?;
            held.deltas.push(*step);
        }
        let change = delta.map(|delta| overlay(&old.list.list, delta, manifest)).transpose()?;
        let list = Followed { change: change.map(Arc::new), ..old.list.clone() };
        Ok(Current { held, epoch: old.epoch.clone(), list, since: std::time::Instant::now() })
    }

    /// The release from its whole list.
    async fn whole(
        &self,
        repository: &Repository,
        fetcher: &Fetcher,
        manifest: Manifest,
        epoch: Option<Arc<Epoch>>,
    ) -> Result<Current, Trouble> {
        let name = self.source.class.payload(manifest.serial);
        let bytes = target(repository, fetcher, &name).await?;
        let bytes = match &epoch {
            Some(epoch) => epoch.payload(&bytes, &name, manifest.length)?,
            None => bytes,
        };
        if bytes.len() as u64 != manifest.length {
            return Err(Trouble::Manifest {
                name,
                why: format!("the list has {} octets instead of {}", bytes.len(), manifest.length),
            });
        }
        let place = self.store.list(manifest.serial);
        let (store, hash, key) =
            (self.store.clone(), manifest.hash, epoch.as_ref().map(|epoch| epoch.digest_key.clone()));
        // Hashing and writing take a while for millions of names.
        let list = tokio::task::spawn_blocking(move || {
            let checked = Checked::read(&bytes[..], key)?;
            if checked.hash() != hash {
                return Err(Trouble::Manifest {
                    name,
                    why: "the list is not the one that the manifest speaks of".into(),
                });
            }
            store.write(&place, &bytes).map_err(|error| Trouble::disk(&place, error))?;
            drop(bytes);
            open_copy(&place, checked).map_err(|error| Trouble::disk(&place, error))
        });
        let list = Arc::new(list.await.map_err(|_| Trouble::Fault)??);
        let held = Held { list: manifest.serial, deltas: Vec::new(), manifest };
        self.current_of(held, epoch, list, None)
    }

    fn current_of(
        &self,
        held: Held,
        epoch: Option<Arc<Epoch>>,
        list: Arc<List<Bytes>>,
        change: Option<Overlay>,
    ) -> Result<Current, Trouble> {
        let own = epoch.as_ref().map(|epoch| watermark(&list, epoch)).transpose()?.flatten().map(Arc::new);
        let list = Followed { list, change: change.map(Arc::new), own, except: None };
        Ok(Current { held, epoch, list, since: std::time::Instant::now() })
    }

    /// Takes what is on the disk.
    fn restore(&self) -> Result<(), Trouble> {
        let state = &self.source.state;
        let Some(held) = self.store.held().map_err(|error| Trouble::disk(&state.join("held.json"), error))? else {
            return Ok(());
        };
        let epoch = match (held.manifest.epoch, &self.identity) {
            (Some(number), Some(identity)) => {
                let place = self.store.envelope(number);
                let envelope = std::fs::read_to_string(&place).map_err(|error| Trouble::disk(&place, error))?;
                Some(Arc::new(identity.open(&envelope)?))
            }
            (Some(_), None) => return Err(Trouble::NoIdentity),
            (None, _) => None,
        };
        let place = self.store.list(held.list);
        let file = std::fs::File::open(&place).map_err(|error| Trouble::disk(&place, error))?;
        let checked = Checked::read(&file, epoch.as_ref().map(|epoch| epoch.digest_key.clone()))
            .map_err(|error| Trouble::disk(&place, std::io::Error::other(error)))?;
        let list = Arc::new(open_copy(&place, checked).map_err(|error| Trouble::disk(&place, error))?);
        let mut delta: Option<Delta> = None;
        for step in &held.deltas {
            let place = self.store.delta(*step);
            let bytes = std::fs::read(&place).map_err(|error| Trouble::disk(&place, error))?;
            let next = Delta::read(&bytes)?;
            delta = Some(match delta {
                Some(delta) => delta.then(&next)?,
                None => next,
            });
        }
        let change = delta.map(|delta| overlay(&list, delta, &held.manifest)).transpose()?;
        if change.is_none() && list.hash() != held.manifest.hash {
            return Err(Trouble::Manifest {
                name: place.display().to_string(),
                why: "it is another list than was in force".into(),
            });
        }
        self.current.store(Some(Arc::new(self.current_of(held, epoch, list, change)?)));
        Ok(())
    }

    /// Notes that a release is in force, and signs for it.
    fn applied(&self, manifest: &Manifest) -> Result<(), Trouble> {
        let now = now_ms();
        {
            let status = &mut self.state().status;
            status.applied += 1;
            for decided in &manifest.decided {
                status.time_to_block.observe(now.saturating_sub(*decided) as f64 / 1e3);
            }
        }
        tracing::info!(
            list = self.source.name,
            serial = manifest.serial,
            names = manifest.entries,
            "a release is in force"
        );
        let Some(identity) = &self.identity else { return Ok(()) };
        let receipt = Receipt {
            spec: SPEC,
            resolver: identity.resolver(),
            class: manifest.class,
            serial: manifest.serial,
            hash: manifest.hash,
            created: manifest.created,
            decided_at: manifest.decided.iter().min().copied(),
            applied_at: now,
            software: concat!("friendly-resolver ", env!("CARGO_PKG_VERSION")).into(),
        };
        let place = self.store.receipts();
        receipt::keep(&place, &receipt::sign(&receipt, identity)).map_err(|error| Trouble::disk(&place, error))
    }

    /// Merges changes into the list file when they are many, or nothing has come for a while.
    async fn merge_when_quiet(&self, take_over: &(impl Fn() -> Result<(), String> + Sync)) {
        let Some(current) = self.current.load_full() else { return };
        let Some(change) = &current.list.change else { return };
        let many = change.delta().added() + change.delta().removed() > MANY_CHANGES;
        if (many || current.since.elapsed() >= QUIET)
            && let Err(trouble) = self.merge(current, take_over).await
        {
            self.tell(&trouble);
        }
    }

    /// Merges: the same answers from one file.
    async fn merge(
        &self,
        current: Arc<Current>,
        take_over: &(impl Fn() -> Result<(), String> + Sync),
    ) -> Result<(), Trouble> {
        let (list, change) = (current.list.list.clone(), current.list.change.clone());
        let Some(change) = change else { return Ok(()) };
        let place = self.store.list(current.held.manifest.serial);
        let (store, key) = (self.store.clone(), current.epoch.as_ref().map(|epoch| epoch.digest_key.clone()));
        let merged = tokio::task::spawn_blocking(move || {
            let file = list.merge(change.delta())?;
            store.write(&place, &file).map_err(|error| Trouble::disk(&place, error))?;
            let checked = Checked::read(&file[..], key)?;
            drop(file);
            open_copy(&place, checked).map_err(|error| Trouble::disk(&place, error))
        });
        let list = Arc::new(merged.await.map_err(|_| Trouble::Fault)??);
        let manifest = current.held.manifest.clone();
        let held = Held { list: manifest.serial, deltas: Vec::new(), manifest };
        let merged = self.current_of(held.clone(), current.epoch.clone(), list, None)?;
        self.current.store(Some(Arc::new(merged)));
        if let Err(why) = take_over() {
            let serial = held.manifest.serial;
            self.current.store(Some(current));
            return Err(Trouble::NotTaken { serial, why });
        }
        self.store.hold(&held).map_err(|error| Trouble::disk(&self.source.state, error))
    }

    /// The repository was reached and is current.
    fn verified(&self) -> Result<(), Trouble> {
        let now = now_ms() / 1000;
        let mut state = self.state();
        if now > state.expires {
            // The same timestamp as before, and its time is over: somebody keeps newer ones from us, or nobody signs.
            return Err(Trouble::Frozen { since: state.expires });
        }
        state.status.verified_at = Some(now);
        if state.status.problem.take().is_some() {
            tracing::info!(list = self.source.name, "the repository is followed again");
        }
        if now.abs_diff(state.noted) >= NOTE {
            state.noted = now;
            drop(state);
            let place = &self.source.state;
            self.store.set_verified(now).map_err(|error| Trouble::disk(place, error))?;
        }
        Ok(())
    }

    fn tell(&self, trouble: &Trouble) {
        let text = trouble.to_string();
        let mut state = self.state();
        *state.status.refused.entry(trouble.kind()).or_default() += 1;
        // Said once, though it is tried again and again.
        if state.status.problem.as_ref() != Some(&text) {
            tracing::warn!(list = self.source.name, "{text}; the last good list stays in force");
        }
        state.status.problem = Some(text);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn overlay(list: &List<Bytes>, delta: Delta, manifest: &Manifest) -> Result<Overlay, Trouble> {
    if (delta.to_hash(), delta.to_serial()) != (manifest.hash, manifest.serial) {
        return Err(Trouble::Change(signed_list::list::DeltaError::Outcome));
    }
    Ok(Overlay::new(list, delta)?)
}

/// The names that this resolver alone blocks, as a small list under the key of the other one.
fn watermark(list: &List<Bytes>, epoch: &Epoch) -> Result<Option<List<Vec<u8>>>, Trouble> {
    if epoch.watermark.is_empty() || list.categories().is_empty() {
        return Ok(None);
    }
    let key: DigestKey = epoch.digest_key.clone();
    let meta = ListMeta { categories: list.categories().to_vec(), serial: 0, created: 0, key, sealed: false };
    let mut builder = Builder::new(meta);
    for (digest, labels) in &epoch.watermark {
        builder.push(*digest, *labels, 0, Scope::Subtree);
    }
    let wrong = |why: String| Trouble::Manifest { name: "envelope".into(), why };
    let bytes = builder.build().map_err(|error| wrong(error.to_string()))?;
    List::open(bytes, None).map(Some).map_err(|error| wrong(error.to_string()))
}

/// A target: fetched, and what was signed.
async fn target(repository: &Repository, fetcher: &Fetcher, name: &str) -> Result<Vec<u8>, Trouble> {
    let missing = || Trouble::NoTarget { name: name.into() };
    let target = TargetName::new(name).map_err(|_| missing())?;
    let stream = repository.read_target(&target).await;
    let bytes = match stream {
        Ok(Some(stream)) => stream.into_vec().await,
        Ok(None) => return Err(missing()),
        Err(error) => Err(error),
    };
    bytes.map_err(|error| fetcher.failure().map_or_else(|| error.into(), Trouble::from))
}

/// Unix milliseconds.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// From 0 to 1. Without randomness everybody would only come at the same time.
pub(super) fn random() -> f64 {
    let mut octets = [0; 4];
    if getrandom::fill(&mut octets).is_err() {
        return 0.5;
    }
    f64::from(u32::from_le_bytes(octets)) / f64::from(u32::MAX)
}
