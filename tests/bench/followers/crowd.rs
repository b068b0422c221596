//! Many resolvers that follow one list.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use friendly_blocklist::ledger::Ledger;
use friendly_blocklist::ledger::event::Event;
use friendly_blocklist::ledger::words::CaseId;
use friendly_blocklist::person::Person;
use friendly_resolver::config::{self, Source};
use friendly_resolver::releases::{Follower, Identity};
use serde_json::{Value, json};
use signed_list::digest::Suffixes;
use signed_list::name::Name;
use signed_list::release::Class;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::relay::{Fetch, Traffic};
use crate::{Failure, now};

/// Longest wait for everybody to have something in force.
const PATIENCE: Duration = Duration::from_secs(120);
/// A listing ends after so many seconds.
const LISTED: u64 = 80 * 86_400;

/// Makes the secrets of many resolvers, and prints lines for `enrol --from`
#[derive(Args)]
pub(crate) struct Identities {
    count: usize,
    directory: PathBuf,
}

impl Identities {
    pub(crate) fn run(self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.directory)?;
        for number in 0..self.count {
            let identity = Identity::make(&identity(&self.directory, number))?;
            println!("{} {}", identity.recipient(), identity.receipt_key());
        }
        Ok(())
    }
}

fn identity(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("{number}.key"))
}

/// Lets many resolvers follow the legal list, decides, and prints one line of JSON
#[derive(Args)]
pub(crate) struct Follow {
    /// Address of the web server with the repository
    #[arg(long)]
    server: SocketAddr,
    /// Its process, whose processor time is read
    #[arg(long)]
    server_pid: u32,
    /// The first root
    #[arg(long)]
    root: PathBuf,
    /// Where `identities` has put them
    #[arg(long)]
    directory: PathBuf,
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// Seconds between two looks of a resolver
    #[arg(long, default_value_t = 10)]
    interval: u64,
    /// The ledger in which the cases wait for their second approval
    #[arg(long)]
    ledger: PathBuf,
    /// Who gives it
    #[arg(long)]
    key: PathBuf,
    /// The cases: a number and a name on each line, all of one source
    #[arg(long)]
    cases: PathBuf,
    /// The source
    #[arg(long, default_value = "isigurt")]
    source: String,
    /// Seconds from one decision to the next: half of it to one and a half times as many
    #[arg(long, default_value_t = 8.0)]
    pause: f64,
    /// Seconds in which nothing is decided, to see what looking costs
    #[arg(long, default_value_t = 30.0)]
    idle: f64,
}

/// A decision, and when it was in force where.
struct Decision {
    case: CaseId,
    name: Name,
    /// Unix milliseconds; none before it is taken.
    at: Option<u64>,
    in_force: BTreeMap<usize, u64>,
}

/// One resolver.
struct Resolver {
    follower: Follower,
    traffic: Arc<Traffic>,
    /// Octets of files that had been fetched whenever a release came.
    fetched: Mutex<Vec<u64>>,
}

impl Follow {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let person = Person::read(&self.key)?;
        let ledger = Ledger::open(&self.ledger).await?;
        let decisions = Arc::new(Mutex::new(self.decisions()?));
        let mut resolvers = Vec::with_capacity(self.count);
        for number in 0..self.count {
            resolvers.push(self.resolver(number).await?);
        }
        let resolvers = Arc::new(resolvers);
        for number in 0..self.count {
            // A thread for each, as the resolver has one for each list: files are read and written there.
            let (all, decisions, interval) = (resolvers.clone(), decisions.clone(), self.interval);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            std::thread::spawn(move || runtime.block_on(live(number, &all, &decisions, interval)));
        }
        until("the first release", || resolvers.iter().all(|it| it.follower.list().is_some())).await?;
        let first = mean_and_max(resolvers.iter().map(|it| it.follower.status().fetched));

        let idle = self.measured(&resolvers, sleep(Duration::from_secs_f64(self.idle))).await;
        let busy = self.measured(&resolvers, self.decide(&ledger, &person, &decisions)).await;
        busy.1?;
        ledger.close().await;

        let mut times: Vec<u64> = Vec::new();
        for decision in lock(&decisions).iter() {
            let at = decision.at.ok_or("a decision was not taken")?;
            times.extend(decision.in_force.values().map(|in_force| in_force.saturating_sub(at)));
        }
        times.sort_unstable();
        let per_release = resolvers.iter().flat_map(Resolver::each_release);
        let seconds = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize] as f64 / 1e3;
        println!(
            "{}",
            json!({
                "resolvers": self.count, "decisions": lock(&decisions).len(), "in_force": times.len(),
                "p50": seconds(0.5), "p99": seconds(0.99), "max": seconds(1.0),
                "first_release": first, "each_release": mean_and_max(per_release),
                "idle": idle.0, "busy": busy.0,
                "refused": resolvers.iter().map(|it| it.follower.status().refused.values().sum::<u64>()).sum::<u64>(),
            })
        );
        Ok(())
    }

    fn decisions(&self) -> Result<Vec<Decision>, Failure> {
        let mut decisions = Vec::new();
        for line in std::fs::read_to_string(&self.cases)?.lines() {
            let (number, name) = line.split_once(' ').ok_or("a case is a number and a name")?;
            let case = CaseId::parse(&format!("{}/{number}", self.source))?;
            let name = Name::parse(name).map_err(|error| error.to_string())?;
            decisions.push(Decision { case, name, at: None, in_force: BTreeMap::new() });
        }
        Ok(decisions)
    }

    async fn resolver(&self, number: usize) -> Result<Resolver, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let source = Source {
            name: "national".into(),
            class: Class::Legal,
            repository: format!("http://{}/", listener.local_addr()?).parse()?,
            addresses: Vec::new(),
            root: self.root.clone(),
            state: self.directory.join(number.to_string()),
            identity: Some(config::Identity::File(identity(&self.directory, number))),
            interval: Duration::from_secs(self.interval),
        };
        let traffic = Arc::<Traffic>::default();
        tokio::spawn(traffic.clone().pass(listener, self.server));
        Ok(Resolver { follower: Follower::of_repository(&source, None, true)?, traffic, fetched: Mutex::default() })
    }

    /// Takes all decisions at random moments, as the verb does, and waits until they are in force everywhere.
    async fn decide(&self, ledger: &Ledger, person: &Person, decisions: &Mutex<Vec<Decision>>) -> Result<(), Failure> {
        let count = lock(decisions).len();
        for number in 0..count {
            sleep(Duration::from_secs_f64(self.pause * (0.5 + random()))).await;
            let (case, at) = (lock(decisions)[number].case.clone(), now());
            lock(decisions)[number].at = Some(at);
            ledger.append(Event::Approved { case, review_by: at / 1000 + LISTED }, person, at).await?;
        }
        until("the last decision", || lock(decisions).iter().all(|it| it.in_force.len() == self.count)).await
    }

    /// What the server and the resolvers did meanwhile.
    async fn measured<T>(&self, resolvers: &[Resolver], meanwhile: impl Future<Output = T>) -> (Value, T) {
        let counts: Vec<usize> = resolvers.iter().map(|it| it.traffic.count()).collect();
        let (begin, cpu) = (Instant::now(), cpu(self.server_pid));
        let done = meanwhile.await;
        let (seconds, cpu) = (begin.elapsed().as_secs_f64(), self::cpu(self.server_pid) - cpu);
        let fetches: Vec<Fetch> =
            resolvers.iter().zip(counts).flat_map(|(resolver, from)| resolver.traffic.since(from)).collect();
        let sum = |octets: fn(&Fetch) -> u64| fetches.iter().map(octets).sum::<u64>();
        let value = json!({
            "seconds": seconds, "requests": fetches.len(), "cpu_us": cpu as f64 / 1e3,
            "up": sum(|fetch| fetch.up), "down": sum(|fetch| fetch.down),
        });
        (value, done)
    }
}

impl Resolver {
    /// Octets of the files of each release but the first one.
    fn each_release(&self) -> Vec<u64> {
        let mut totals = lock(&self.fetched).clone();
        totals.push(self.follower.status().fetched);
        totals.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// Follows, from some moment on as after a start of its own, and notes what is in force whenever it takes over.
async fn live(number: usize, all: &[Resolver], decisions: &Mutex<Vec<Decision>>, interval: u64) {
    sleep(Duration::from_secs_f64(interval as f64 * random())).await;
    let Resolver { follower, fetched, .. } = &all[number];
    let take_over = || {
        let at = now();
        let mut suffixes = Suffixes::new();
        if let Some(list) = follower.list() {
            for decision in lock(decisions).iter_mut().filter(|it| it.at.is_some()) {
                list.list.key().suffixes(decision.name.as_wire(), &mut suffixes);
                if list.lookup(&suffixes).name != 0 {
                    decision.in_force.entry(number).or_insert(at);
                }
            }
        }
        // What this release costs is counted when it is in force.
        lock(fetched).push(follower.status().fetched);
        Ok(())
    };
    follower.run(&take_over).await;
}

async fn until(what: &str, condition: impl Fn() -> bool) -> Result<(), Failure> {
    let begin = Instant::now();
    while !condition() {
        if begin.elapsed() > PATIENCE {
            return Err(format!("{what} is not in force everywhere after {PATIENCE:?}").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn mean_and_max(values: impl IntoIterator<Item = u64>) -> Value {
    let values: Vec<u64> = values.into_iter().collect();
    let mean = values.iter().sum::<u64>() / (values.len() as u64).max(1);
    json!({ "mean": mean, "max": values.iter().max() })
}

/// Nanoseconds of a process on a core, all its threads together, as `cpu` in lib.sh.
fn cpu(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let time = |thread: std::fs::DirEntry| {
        std::fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    };
    threads.filter_map(time).sum()
}

/// From 0 to 1.
fn random() -> f64 {
    let mut octets = [0; 4];
    getrandom::fill(&mut octets).expect("this system has randomness");
    f64::from(u32::from_le_bytes(octets)) / f64::from(u32::MAX)
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
