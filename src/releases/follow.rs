//! One followed list: looks at its repository, brings into force what is new, and goes on whatever happens.
//!
//! All of it runs on a thread of its own, so that neither a disk that hangs nor a large list holds up answers; files
//! are read and written there as if nothing else was to be done.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use prometheus::{Histogram, HistogramOpts};
use reqwest::header::HeaderValue;
use signed_list::release::{Manifest, Receipt, SPEC};
use tokio::sync::Notify;

use super::current::Current;
use super::remote::{Look, Remote};
use super::restore::Restore;
use super::sealed::Identity;
use super::store::Store;
use super::trouble::Trouble;
use super::verify::{Expiry, Verified, check_root};
use super::{Status, receipt};
use crate::config::Source;
use crate::lists::Followed;

/// How often the time of the last good look is written to the disk, in seconds.
const NOTE: u64 = 60;

/// A list that is followed.
pub struct Follower {
    /// What the configuration says about it.
    pub source: Source,
    pub(super) identity: Option<Identity>,
    pub(super) store: Store,
    remote: Remote,
    root: Vec<u8>,
    /// Shared with whoever followed it before with other settings, so that a reload leaves no gap.
    current: Arc<ArcSwapOption<Current>>,
    state: Mutex<State>,
    asked: Notify,
}

struct State {
    status: Status,
    etag: Option<HeaderValue>,
    /// The timestamp that was looked at last, when all of what it led to is in force and on the disk.
    seen: Vec<u8>,
    /// When the time of the last good look was written.
    noted: u64,
    /// When the metadata that is trusted ends.
    expiry: Option<Expiry>,
    /// What is in force is not what `held.json` says.
    unkept: bool,
    /// Receipts that are not on the disk yet.
    receipts: Vec<String>,
    /// The changes beside the list did not fit it: it has to be fetched whole.
    whole: bool,
}

/// Puts what `Follower::list` says in force.
pub type TakeOver<'a> = &'a dyn Fn() -> Result<(), String>;

impl Follower {
    /// Prepares to follow a list, and takes what was in force when the program last ran. `before` followed it until
    /// now, with other settings.
    ///
    /// `live` is for the resolver itself; without it nothing is written.
    ///
    /// # Errors
    /// What the operator has to mend before the list can be followed.
    pub fn new(source: &Source, before: Option<&Follower>, live: bool) -> Result<Self, String> {
        let title = |error: String| format!("[[list]] \"{}\": {error}", source.name);
        let identity = source.identity.as_ref().map(Identity::load).transpose();
        let identity = identity.map_err(|error| title(error.to_string()))?;
        let path = |path: &Path, error: &dyn std::fmt::Display| title(format!("{}: {error}", path.display()));
        let root = std::fs::read(&source.root)
            .map_err(|error| path(&source.root, &format!("{error}; it is the root metadata of the repository")))?;
        check_root(&root).map_err(|error| path(&source.root, &error))?;
        let store = match before {
            Some(before) => Ok(before.store.clone()),
            None if live => Store::open(&source.state),
            None => Ok(Store::read_only(&source.state)),
        };
        let store = store.map_err(|error| {
            path(&source.state, &format!("{error}; this user has to be able to write to the directory, alone"))
        })?;
        let same = before.filter(|it| (it.source.class, &it.source.identity) == (source.class, &source.identity));
        let follower = Follower {
            remote: Remote::new(source).map_err(title)?,
            state: Mutex::new(State {
                status: Status::new(store.verified(), time_to_block(&source.name)),
                etag: None,
                seen: Vec::new(),
                noted: 0,
                expiry: None,
                unkept: false,
                receipts: Vec::new(),
                whole: false,
            }),
            source: source.clone(),
            identity,
            store,
            root,
            current: same.map_or_else(Arc::default, |before| before.current.clone()),
            asked: Notify::new(),
        };
        match same {
            Some(_) => follower.catch_up(),
            None => follower.restore(),
        }
        Ok(follower)
    }

    /// Whether it follows what the configuration says, from the root that it names now.
    pub fn is_for(&self, source: &Source) -> bool {
        self.source == *source && std::fs::read(&source.root).is_ok_and(|root| root == self.root)
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
        self.state().status.clone()
    }

    /// Gives its directory to the user that this process becomes.
    ///
    /// # Errors
    /// What the system says.
    pub fn give_to(&self, user: u32, group: u32) -> std::io::Result<()> {
        self.store.give_to(user, group)
    }

    /// Has it look now, and not when it would anyway.
    pub fn look_now(&self) {
        self.asked.notify_one();
    }

    /// Looks at the repository now and then, for ever.
    pub async fn run(&self, take_over: TakeOver<'_>) {
        let _turn = self.store.turn().await;
        self.catch_up();
        let mut failures = 0u32;
        loop {
            let looked = AssertUnwindSafe(self.round(take_over)).catch_unwind().await;
            match looked.unwrap_or(Err(Trouble::Fault)) {
                Ok(()) => failures = 0,
                Err(trouble) => {
                    failures += 1;
                    self.tell(&trouble);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause(self.source.interval, failures, random())) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    async fn round(&self, take_over: TakeOver<'_>) -> Result<(), Trouble> {
        self.look(take_over).await?;
        if self.current.load().as_ref().is_some_and(|current| current.is_due()) {
            self.merge(take_over)?;
        }
        Ok(())
    }

    /// One look: whether something is new, and if so, all the way to its being in force.
    async fn look(&self, take_over: TakeOver<'_>) -> Result<(), Trouble> {
        let etag = self.state().etag.clone();
        let (timestamp, etag) = match self.remote.timestamp(etag.as_ref()).await? {
            Look::Unchanged => return self.verified(),
            Look::Changed { bytes, .. } if bytes == self.state().seen => return self.verified(),
            Look::Changed { bytes, etag } => (bytes, etag),
        };
        let verified = Verified::load(&self.store, &self.remote, &self.root, timestamp.clone()).await?;
        self.state().expiry = Some(verified.expiry());
        let manifest = verified.manifest(&self.source).await?;
        let (held, whole) = (self.current.load_full(), self.state().whole);
        match held.as_ref().map(|current| &current.held.manifest) {
            Some(old) if old.serial > manifest.serial => {
                return Err(Trouble::Older { serial: manifest.serial, held: old.serial });
            }
            Some(old) if old.serial == manifest.serial && old.hash != manifest.hash => {
                return Err(Trouble::Twice { serial: manifest.serial });
            }
            Some(old) if old.serial == manifest.serial && !whole => {}
            _ => {
                let new = self.make(&verified, manifest, held.as_deref(), whole).await?;
                self.put_in_force(new, held, take_over)?;
            }
        }
        self.keep()?;
        let mut state = self.state();
        state.status.fetched += verified.fetched();
        (state.etag, state.seen) = (etag, timestamp);
        drop(state);
        self.verified()
    }

    fn put_in_force(&self, new: Current, old: Option<Arc<Current>>, take_over: TakeOver<'_>) -> Result<(), Trouble> {
        let manifest = new.held.manifest.clone();
        self.swap(new, take_over)?;
        let mut state = self.state();
        (state.unkept, state.whole) = (true, false);
        state.status.applied += 1;
        let now = now_ms();
        let (list, serial, names) = (&self.source.name, manifest.serial, manifest.entries);
        tracing::info!(list, serial, names, "a release is in force");
        if let Some(old) = old.as_ref().map(|old| &old.held.manifest) {
            for decided in &manifest.decided {
                // Of a resolver that has just been set up, or was down, this would say nothing about the way here.
                state.status.time_to_block.observe(now.saturating_sub(*decided) as f64 / 1e3);
            }
            if let Some(text) = shrunk(old, &manifest) {
                tracing::warn!(list, "{text}");
                state.status.shrunk = Some((now / 1000, text));
            }
        }
        if let Some(identity) = &self.identity {
            state.receipts.push(receipt::sign(&receipt_of(&manifest, identity, now), identity));
        }
        Ok(())
    }

    /// In one step, or not at all.
    fn swap(&self, new: Current, take_over: TakeOver<'_>) -> Result<(), Trouble> {
        let new = Arc::new(new);
        let before = self.current.swap(Some(new.clone()));
        take_over().map_err(|why| {
            self.current.store(before);
            Trouble::NotTaken { serial: new.serial(), why }
        })?;
        // It was there a moment ago: nobody may see the first release as one of which nothing is known.
        self.state().status.verified_at.get_or_insert(now_ms() / 1000);
        self.note(&new);
        Ok(())
    }

    /// Says what is in force; not before questions are answered by it.
    fn note(&self, current: &Current) {
        let status = &mut self.state().status;
        (status.serial, status.created) = (current.serial(), current.held.manifest.created);
        status.pending = current.changes();
    }

    /// Has the disk say what is in force, also what could not be written before. Receipts come first: after a crash in
    /// between the old release is in force, and the new one comes again, with a receipt of its own.
    fn keep(&self) -> Result<(), Trouble> {
        let place = self.store.receipts();
        let owed = self.state().receipts.clone();
        for text in owed {
            receipt::keep(&place, &text).map_err(|error| Trouble::disk(&place, error))?;
            self.state().receipts.remove(0);
        }
        if let Some(current) = self.current.load_full().filter(|_| self.state().unkept) {
            self.store.hold(&current.held).map_err(|error| Trouble::disk(self.store.directory(), error))?;
            self.state().unkept = false;
        }
        Ok(())
    }

    /// Merges the changes into the list file.
    fn merge(&self, take_over: TakeOver<'_>) -> Result<(), Trouble> {
        let Some(current) = self.current.load_full() else { return Ok(()) };
        let merged = current.merge(&self.store).inspect_err(|trouble| {
            if !matches!(trouble, Trouble::Disk { .. }) {
                let mut state = self.state();
                (state.whole, state.etag) = (true, None);
                state.seen.clear();
            }
        })?;
        self.swap(merged, take_over)?;
        self.state().unkept = true;
        self.keep()
    }

    /// Takes what is on the disk.
    fn restore(&self) {
        let restore = Restore { source: &self.source, store: &self.store, identity: self.identity.as_ref() };
        let (current, trouble) = match restore.held() {
            Ok(current) => (current, None),
            Err(why) => {
                let current = restore.salvage();
                let serial = current.as_ref().map(Current::serial);
                (current, Some(Trouble::Damaged { why: why.to_string(), serial }))
            }
        };
        if let Some(current) = &current {
            self.note(current);
        }
        self.current.store(current.map(Arc::new));
        if let Some(trouble) = trouble {
            self.state().unkept = true;
            self.tell(&trouble);
        }
    }

    /// Whoever followed the list before may have gone on while this one was made.
    fn catch_up(&self) {
        if let Some(current) = self.current.load_full() {
            self.note(&current);
        }
    }

    /// The repository was reached and is current.
    fn verified(&self) -> Result<(), Trouble> {
        let now = now_ms() / 1000;
        let mut state = self.state();
        if let Some(expiry) = state.expiry.as_ref().filter(|expiry| now > expiry.at) {
            // The same timestamp as before, and its time is over: somebody keeps newer ones from us, or nobody signs.
            return Err(Trouble::Frozen { since: expiry.date.clone() });
        }
        state.status.verified_at = Some(now);
        let due = now.abs_diff(state.noted) >= NOTE;
        drop(state);
        if due {
            self.store.set_verified(now).map_err(|error| Trouble::disk(self.store.directory(), error))?;
            self.state().noted = now;
        }
        if self.state().status.problem.take().is_some() {
            tracing::info!(list = self.source.name, "the repository is followed again");
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long until the next look. A repository that is down is not asked more often than it can bear when it comes back;
/// eight intervals are the most, so that nobody waits long for a list once it is back. Spread by a fifth to both sides
/// (`spread` is from 0 to 1), so that ten thousand resolvers do not ask in the same second.
fn pause(interval: Duration, failures: u32, spread: f64) -> Duration {
    (interval * (1 << failures.min(3))).mul_f64(0.8 + 0.4 * spread)
}

fn time_to_block(list: &str) -> Histogram {
    let name = "friendly_resolver_time_to_block_seconds";
    let options = HistogramOpts::new(name, "Time from a decision to its being in force here.");
    let options = options
        .const_label("list", list)
        .buckets(vec![1., 2., 5., 10., 15., 30., 60., 300., 900., 3600., 21_600., 86_400.]);
    Histogram::with_opts(options).expect("good names")
}

/// What there is to say of a release that takes more than half of the names off. It is in force all the same: whoever
/// has to sign it has, and a list that was wrong must not be held on to. But nobody should have to find out by chance.
fn shrunk(old: &Manifest, new: &Manifest) -> Option<String> {
    (new.entries < old.entries / 2).then(|| {
        format!(
            "release {} has {} names where release {} had {}; it is signed and in force. Ask the publisher whether so \
             much is meant to be unblocked at once",
            new.serial, new.entries, old.serial, old.entries
        )
    })
}

fn receipt_of(manifest: &Manifest, identity: &Identity, now: u64) -> Receipt {
    Receipt {
        spec: SPEC,
        resolver: identity.resolver(),
        class: manifest.class,
        serial: manifest.serial,
        hash: manifest.hash,
        created: manifest.created,
        decided_at: manifest.decided.iter().min().copied(),
        applied_at: now,
        software: concat!("friendly-resolver ", env!("CARGO_PKG_VERSION")).into(),
    }
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

#[cfg(test)]
mod tests {
    use signed_list::release::Class;

    use super::*;

    #[test]
    fn looks_are_spread_around_the_interval_and_rarer_while_they_fail() {
        let interval = Duration::from_secs(10);
        for (failures, least, most) in
            [(0, 8, 12), (1, 16, 24), (2, 32, 48), (3, 64, 96), (4, 64, 96), (40, 64, 96), (u32::MAX, 64, 96)]
        {
            let within = |spread| pause(interval, failures, spread).as_secs_f64();
            assert_eq!((within(0.0), within(1.0)), (f64::from(least), f64::from(most)), "{failures}");
            assert!(within(0.3) < within(0.6), "{failures}: each resolver has its own pause");
        }
        let drawn: Vec<Duration> = (0..200).map(|_| pause(interval, 0, random())).collect();
        assert!(drawn.iter().all(|pause| (8.0..=12.0).contains(&pause.as_secs_f64())));
        assert!(drawn.iter().any(|pause| pause.as_secs() < 9) && drawn.iter().any(|pause| pause.as_secs() >= 11));
    }

    #[test]
    fn a_release_that_takes_more_than_half_of_the_names_off_is_told() {
        let manifest = |serial, entries| Manifest {
            spec: SPEC,
            class: Class::Operator,
            serial,
            created: 0,
            epoch: None,
            shards: 0,
            categories: Vec::new(),
            entries,
            hash: [0; 32],
            length: 0,
            deltas: Vec::new(),
            decided: Vec::new(),
        };
        let told = |before, after| shrunk(&manifest(8, before), &manifest(9, after));
        for (before, after) in [(100, 50), (100, 1000), (1, 1), (0, 0), (u64::MAX, u64::MAX)] {
            assert_eq!(told(before, after), None, "{before} {after}");
        }
        let text = told(1000, 499).unwrap();
        assert!(text.starts_with("release 9 has 499 names where release 8 had 1000"), "{text}");
    }
}
