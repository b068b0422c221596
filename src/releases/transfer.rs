//! A list that is a response policy zone (RPZ) of somebody else, followed by zone transfer.
//!
//! | file | what it does |
//! |---|---|
//! | `transfer/client.rs` | one transfer from one primary: connection, signatures, bounds |
//! | `transfer/reading.rs` | the records of a transfer in their order: all of a zone, or what changed; pure |
//! | `transfer/entries.rs` | what the records say about names, in memory and on the disk |
//! | `transfer/trouble.rs` | everything that can be wrong, in sentences |
//!
//! A zone comes in clear and signed by nobody but, with TSIG, the server that sends it. So it cannot fill a category of
//! the legal layer, and what is kept of it on the disk are digests, as of every other list. `domain`'s own reader of
//! transfers wants its unstable tree of zones, and takes changes without asking whether they begin where we are.
//!
//! Exceptions of a zone (`rpz-passthru.`) are exceptions from this zone: what it lets through it does not block, and
//! other lists still may. Where one name lies below an exception and above it at once, the exception wins.

mod client;
mod entries;
mod reading;
mod trouble;

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use domain::tsig::Key;
use prometheus::{Histogram, HistogramOpts};
use signed_list::list::{Checked, List};
use tokio::sync::Notify;

use self::entries::Entries;
use self::reading::{Outcome, Soa};
use self::trouble::Trouble;
use super::Status;
use super::follow::{TakeOver, now_ms, random};
use super::store::Store;
use crate::config::Zone;
use crate::lists::{Bytes, Followed, open_copy};

/// What a zone may ask for as time between two looks, in seconds: its own word counts between these.
const REFRESH: (u32, u32) = (10, 86_400);
/// The same after a failure.
const RETRY: (u32, u32) = (5, 3_600);
/// Seconds between two looks that a primary's NOTIFY can bring about.
const NOTIFIED: Duration = Duration::from_secs(1);
/// How often the time of the last good look is written to the disk.
const NOTE: u64 = 60;

/// A zone that is followed.
pub struct Follower {
    /// What the configuration says about it.
    pub source: Zone,
    key: Option<Arc<Key>>,
    store: Store,
    current: ArcSwapOption<Current>,
    state: Mutex<State>,
    notified: Notify,
}

/// What is in force.
struct Current {
    soa: Soa,
    created: u64,
    skipped: u64,
    list: Followed,
}

struct State {
    status: Status,
    noted: u64,
    /// The primary that answered last, by its place in the configuration.
    primary: usize,
}

impl Follower {
    /// Prepares to follow a zone, and takes what was in force when the program last ran. `live` is for the resolver
    /// itself; without it nothing is written.
    ///
    /// # Errors
    /// What the operator has to mend before the zone can be followed.
    pub fn new(source: &Zone, live: bool) -> Result<Self, String> {
        let title = |error: String| format!("[[list]] \"{}\": {error}", source.name);
        let key = source.tsig.as_ref().map(client::key).transpose().map_err(title)?.map(Arc::new);
        let store = Store::bare(&source.state, live).map_err(|error| {
            let path = source.state.display();
            title(format!("{path}: {error}; this user has to be able to write to the directory"))
        })?;
        let follower = Follower {
            state: Mutex::new(State {
                status: Status::new(store.verified(), time_to_block(&source.name)),
                noted: 0,
                primary: 0,
            }),
            source: source.clone(),
            key,
            store,
            current: ArcSwapOption::empty(),
            notified: Notify::new(),
        };
        if let Err(trouble) = follower.restore() {
            // The primary has it, too.
            follower.tell(&trouble);
        }
        Ok(follower)
    }

    /// The list in force; `None` before the first transfer.
    pub fn list(&self) -> Option<Followed> {
        self.current.load().as_ref().map(|current| current.list.clone())
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        let mut status = self.state().status.clone();
        if let Some(current) = &*self.current.load() {
            (status.serial, status.created) = (u64::from(current.soa.serial), current.created);
            status.skipped = current.skipped;
        }
        status
    }

    /// A primary says that the zone has changed: the next look comes at once. Returns whether this is one of ours.
    pub fn notify(&self, from: IpAddr, zone: &[u8]) -> bool {
        let ours = self.source.zone.as_wire() == zone
            && self.source.primaries.iter().any(|primary| primary.ip().to_canonical() == from);
        if ours {
            self.notified.notify_one();
        }
        ours
    }

    /// Gives its directory to the user that this process becomes.
    pub fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        self.store.give_to(user, group)
    }

    /// Has it look now, and not when it would anyway.
    pub fn look_now(&self) {
        self.notified.notify_one();
    }

    /// Looks at the primaries now and then, for ever. `take_over` puts what [`Self::list`] says in force.
    pub async fn run(&self, take_over: TakeOver<'_>) {
        loop {
            let result = self.look(take_over).await;
            let soa = self.current.load().as_ref().map(|current| current.soa);
            let bounded = |seconds: u32, (least, most): (u32, u32)| f64::from(seconds.clamp(least, most));
            let pause = match (&result, soa) {
                (Ok(()), Some(soa)) => bounded(soa.refresh, REFRESH),
                (_, soa) => bounded(soa.map_or(0, |soa| soa.retry), RETRY),
            };
            if let Err(trouble) = result {
                self.tell(&trouble);
            }
            // Spread, so that not all subscribers ask in the same second.
            let pause = Duration::from_secs_f64(pause * (0.8 + 0.4 * random()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.notified.notified() => tokio::time::sleep(NOTIFIED.mul_f64(random())).await,
            }
        }
    }

    /// One look: the primary that answered last, and the others while none does.
    async fn look(&self, take_over: TakeOver<'_>) -> Result<(), Trouble> {
        let (first, all) = (self.state().primary, self.source.primaries.len());
        let mut trouble = Trouble::Fault;
        for turn in 0..all {
            let number = (first + turn) % all;
            match self.look_at(number, take_over).await {
                Ok(()) => {
                    self.state().primary = number;
                    return self.verified();
                }
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    async fn look_at(&self, number: usize, take_over: TakeOver<'_>) -> Result<(), Trouble> {
        let primary = self.source.primaries[number];
        let held = self.current.load().as_ref().map(|current| current.soa.serial);
        let fetch = |from| client::fetch(primary, &self.source.zone, self.key.clone(), held, from);
        let (outcome, octets) = match fetch(held).await {
            // Not every server knows IXFR, and changes that do not lead here are no reason to stay behind.
            Err(trouble) if held.is_some() && trouble.is_about_changes() => fetch(None).await?,
            other => other?,
        };
        let taken = match self.take(outcome, take_over).await {
            Err(trouble) if trouble.is_about_changes() => {
                let (outcome, more) = fetch(None).await?;
                self.state().status.fetched += more;
                self.take(outcome, take_over).await?
            }
            other => other?,
        };
        if taken {
            self.state().status.fetched += octets;
        }
        Ok(())
    }

    /// Brings what was transferred into force; `false` if there is nothing new.
    async fn take(&self, outcome: Outcome, take_over: TakeOver<'_>) -> Result<bool, Trouble> {
        let begin = Instant::now();
        let (kind, soa) = match &outcome {
            Outcome::UpToDate => return Ok(false),
            Outcome::Whole(entries) => ("whole", entries.soa),
            Outcome::Changes { soa, .. } => ("changes", *soa),
        };
        let created = now_ms() / 1000;
        let (store, source) = (self.store.clone(), self.source.clone());
        let made = tokio::task::spawn_blocking(move || make(outcome, &store, &source, created));
        let current = made.await.map_err(|_| Trouble::Fault)??;
        let (names, skipped) = (current.list.list.len(), current.skipped);
        // It was there a moment ago: nobody may see the first version as one of which nothing is known.
        self.state().status.verified_at.get_or_insert(created);
        let before = self.current.swap(Some(Arc::new(current)));
        if let Err(why) = take_over() {
            self.current.store(before);
            return Err(Trouble::NotTaken { serial: soa.serial, why });
        }
        // Only now: after a crash before it the old version is in force, and this one comes again.
        self.hold(soa.serial).map_err(|error| Trouble::disk(&self.source.state, error))?;
        self.state().status.applied += 1;
        let seconds = begin.elapsed().as_secs_f32();
        let list = &self.source.name;
        tracing::info!(list, serial = soa.serial, kind, names, skipped, seconds, "a version of the zone is in force");
        Ok(true)
    }

    /// Puts a version in force for the next start, and removes the list of the one before.
    fn hold(&self, serial: u32) -> io::Result<()> {
        fs::rename(self.store.path(NEXT), self.store.path(ANCHOR))?;
        File::open(&self.source.state)?.sync_all()?;
        for entry in fs::read_dir(&self.source.state)?.flatten() {
            let name = entry.file_name();
            let list = name.to_str().and_then(|name| name.strip_suffix(".list"));
            if list.is_some_and(|list| list != serial.to_string()) {
                // Left over, it takes room and does no harm.
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    /// Takes what is on the disk.
    fn restore(&self) -> Result<(), Trouble> {
        let place = self.store.path(ANCHOR);
        let entries = match Entries::read(&place, &self.source.zone) {
            Ok(Some(entries)) => entries,
            Ok(None) => return Ok(()),
            Err(error) => return Err(Trouble::disk(&place, error)),
        };
        let place = self.store.list(u64::from(entries.soa.serial));
        let disk = |error| Trouble::disk(&place, error);
        let checked = Checked::read(File::open(&place).map_err(disk)?, None);
        let checked = checked.map_err(|error| disk(std::io::Error::other(error)))?;
        let list = match checked.categories() == [self.source.category.clone()] {
            true => open_copy(&place, checked).map_err(disk)?,
            // Another category now: the list is made anew from what is kept.
            false => List::open(Bytes::Memory(entries.list(&self.source.category)?), None)
                .map_err(|error| Trouble::List(error.to_string()))?,
        };
        let list = Arc::new(list);
        let list = Followed { list, change: None, own: None, except: entries.exceptions()?.map(Arc::new) };
        let (soa, created, skipped) = (entries.soa, entries.created, entries.skipped);
        self.current.store(Some(Arc::new(Current { soa, created, skipped, list })));
        Ok(())
    }

    /// A primary was reached and has what we have.
    fn verified(&self) -> Result<(), Trouble> {
        let now = now_ms() / 1000;
        let mut state = self.state();
        state.status.verified_at = Some(now);
        if state.status.problem.take().is_some() {
            tracing::info!(list = self.source.name, "the zone is followed again");
        }
        if now.abs_diff(state.noted) >= NOTE {
            state.noted = now;
            drop(state);
            self.store.set_verified(now).map_err(|error| Trouble::disk(&self.source.state, error))?;
        }
        Ok(())
    }

    fn tell(&self, trouble: &Trouble) {
        let mut text = trouble.to_string();
        let soa = self.current.load().as_ref().map(|current| current.soa);
        let mut state = self.state();
        if let (Some(age), Some(soa)) = (state.status.age(now_ms() / 1000), soa)
            && age > u64::from(soa.expire)
        {
            // A name server would stop to serve it; a filter does not disarm itself.
            text.push_str("; by its own word the zone has expired");
        }
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

/// The file that says which version is in force, and what is in it.
const ANCHOR: &str = "zone.entries";
/// The same of a version that is not in force yet.
const NEXT: &str = "zone.entries.next";

/// Makes the files of a version.
fn make(outcome: Outcome, store: &Store, source: &Zone, created: u64) -> Result<Current, Trouble> {
    let anchor: PathBuf = store.path(ANCHOR);
    let mut entries = match outcome {
        Outcome::Whole(entries) => entries,
        Outcome::Changes { from, soa, changes, .. } => {
            let held = Entries::read(&anchor, &source.zone).map_err(|error| Trouble::disk(&anchor, error))?;
            let mut held = held.filter(|held| held.soa.serial == from).ok_or(Trouble::Changes)?;
            held.apply(&changes)?;
            held.soa = soa;
            held
        }
        Outcome::UpToDate => return Err(Trouble::Fault),
    };
    entries.created = created;
    let bytes = entries.list(&source.category)?;
    let place = store.list(u64::from(entries.soa.serial));
    let disk = |error| Trouble::disk(&place, error);
    store.write(&place, &bytes).map_err(disk)?;
    let checked = Checked::read(&bytes[..], None).map_err(|error| Trouble::List(error.to_string()))?;
    drop(bytes);
    let list = Arc::new(open_copy(&place, checked).map_err(disk)?);
    let beside = store.path(NEXT);
    store.write(&beside, &entries.write(&source.zone)).map_err(|error| Trouble::disk(&beside, error))?;
    let list = Followed { list, change: None, own: None, except: entries.exceptions()?.map(Arc::new) };
    Ok(Current { soa: entries.soa, created, skipped: entries.skipped, list })
}

/// Nobody tells in a zone when something was decided, so nothing is ever observed; the metric is there for all lists.
fn time_to_block(name: &str) -> Histogram {
    let help = "Time from a decision to its being in force here.";
    let options = HistogramOpts::new("friendly_resolver_time_to_block_seconds", help).const_label("list", name);
    Histogram::with_opts(options).expect("good names")
}
