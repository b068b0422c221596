//! `friendly-blocklist publish`: from the ledger to a release in force.

use std::fs;
use std::mem;
use std::time::{Duration, SystemTime};

use clap::Args;
use signed_list::release::Class;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, sleep};

use super::Failure;
use super::feeds::{self, Trouble};
use super::place::{Place, block_on, now};
use super::press::{self, Keys, Press};
use super::screen;
use super::view::Names;
use crate::feed::fetch::Patience;
use crate::feed::refresh::{Looked, What};
use crate::ledger::Ledger;
use crate::ledger::verify::Auditor;
use crate::release::draft::Wish;
use crate::release::outcome::Report;
use crate::release::publish::PublishError;
use crate::release::repository::Ceremony;
use crate::release::work::Work;

/// While it watches: everything is looked at again at least so often, also what no decision announces, such as an
/// entry that expires.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// While it watches: after a failure it tries again so soon, and then less often.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Publish what the ledger holds in force
///
/// Makes a release of each class in which something has changed, signs it with the keys given, and brings it into force
/// if no signature is missing; otherwise it is staged and waits for `sign`. Without a change it signs the timestamp
/// anew. Interrupted at any moment, the release before stays in force, and the next run goes on.
///
/// Feeds that are due are fetched before the open lists are made; the list of the law never waits for them, and what
/// fails leaves their last good content in the release.
///
/// Exit status: 0 in force, or nothing to release; 1 not done, the reason is on standard error; 3 done, but a feed has
/// a problem; 4 a release is not in force yet, because it is held or waits for signatures.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this class; may be given several times
    #[arg(long, value_name = "CLASS", value_parser = press::class)]
    class: Vec<Class>,

    /// Copy to this place instead of those in release.toml: a directory, or s3://BUCKET/PREFIX; several times
    #[arg(long, value_name = "PLACE")]
    to: Vec<String>,

    /// Begin a new epoch: new keys of the sealed list, which all resolvers then load as a whole
    #[arg(long)]
    new_epoch: bool,

    /// So many hidden canaries are used up: take the oldest ones off, put others on
    #[arg(long, value_name = "N", default_value_t = 0)]
    burn_hidden: u32,

    /// Put an emergency canary on the list, which shows how long a decision takes to arrive
    #[arg(long)]
    emergency: bool,

    /// End a rollback: publish what the ledger holds
    #[arg(long)]
    resume: bool,

    /// The clock of this machine is right, although nothing was published for 30 days
    #[arg(long)]
    clock_is_right: bool,

    /// Stay, look for decisions every so many seconds, and publish each at once
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    watch: Option<Duration>,

    /// How long each feed may take that is due, in seconds; 0 fetches none
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=3600))]
    feed_patience: u64,

    #[command(flatten)]
    keys: Keys,

    #[command(flatten)]
    place: Place,
}

impl Arguments {
    /// How long feeds may take; nothing, if none is to be fetched.
    fn patience(&self) -> Option<Patience> {
        let whole = Duration::from_secs(self.feed_patience);
        (self.feed_patience > 0).then(|| Patience { whole, ..Patience::default() })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds from 0.1 to 3600".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let wish = Wish {
        classes: arguments.class.clone(),
        new_epoch: arguments.new_epoch,
        burn: arguments.burn_hidden,
        emergency: arguments.emergency,
        rollback: None,
        reason: None,
        resume: arguments.resume,
        renew: arguments.watch.is_none(),
        clock_is_right: arguments.clock_is_right,
    };
    block_on(async {
        match arguments.watch {
            None => once(&arguments.place, &arguments.keys, &wish, &arguments.to, arguments.patience()).await,
            Some(interval) => watch(arguments, wish, interval).await,
        }
    })
}

/// One run, as the user sees it. `rollback` does the same with another wish and without feeds.
pub async fn once(
    place: &Place,
    keys: &Keys,
    wish: &Wish,
    to: &[String],
    feeds: Option<Patience>,
) -> Result<(), Failure> {
    let mut report = Report::default();
    let mut copied = Ok(());
    let mut rest = wish.clone();
    if let Some(patience) = feeds {
        let work = Work::open(&place.work)?;
        // What is wrong with feeds.toml is told where its lists are made.
        let due = feeds::is_due(&work, &wish.classes).unwrap_or_default();
        if !due.is_empty() {
            // A takedown does not wait for the servers of strangers.
            let (first, others) = apart(place, keys, wish).await?;
            if let Some(first) = first {
                copied = part(place, keys, &first, to, &mut report).await?;
                if matches!(copied, Err(PublishError::Refused(_))) {
                    // It stays staged, and the others may be what is missing: the second part tells.
                    copied = Ok(());
                }
            }
            report.feeds = feeds::look(&work, &due, false, patience).await;
            rest = others;
        }
    }
    let copied = copied.and(part(place, keys, &rest, to, &mut report).await?);
    let troubles = feeds::troubles(&Work::open(&place.work)?);
    let count = troubles.len() + report.classes.iter().filter(|outcome| outcome.problem.is_some()).count();
    report.warnings.extend(troubles);
    // Told in any case: what is in force here is in force, even if a copy of it failed.
    let names = names(place).await?;
    press::print(place, &report, &names)?;
    copied?;
    match report.classes.iter().find_map(|outcome| press::standing(outcome, &names)) {
        Some(standing) => Err(Pending(standing).into()),
        None => Ok(Trouble::of(count)?),
    }
}

/// A release was made and is not in force yet: it is held, or waits for signatures. The program ends with a status of
/// its own then, so that a timer unit can tell.
#[derive(Debug, Error)]
#[error("not in force yet: {0}")]
pub struct Pending(String);

/// What people are called.
async fn names(place: &Place) -> Result<Names, Failure> {
    let ledger = place.open().await?;
    let names = Names::of(&ledger.members().await?);
    ledger.close().await;
    Ok(names)
}

/// The wish for the list of the law, and the wish for what may have to wait for feeds. The first only if the law's list
/// is wished for, and there is one.
async fn apart(place: &Place, keys: &Keys, wish: &Wish) -> Result<(Option<Wish>, Wish), Failure> {
    let press = Press::open(place, keys).await?;
    let base = press.publisher().base()?;
    let mut classes: Vec<Class> = Ceremony::of(&base.root, &base.targets)?.classes.into_keys().collect();
    classes.retain(|class| wish.classes.is_empty() || wish.classes.contains(class));
    press.ledger.close().await;
    let (sealed, open): (Vec<Class>, Vec<Class>) = classes.into_iter().partition(|class| class.is_sealed());
    if sealed.is_empty() || open.is_empty() {
        return Ok((None, wish.clone()));
    }
    // The timestamp is signed anew by the second one, if at all.
    let first = Wish { classes: sealed, renew: false, ..wish.clone() };
    Ok((Some(first), Wish { classes: open, ..wish.clone() }))
}

/// Publishes the classes of a wish. The inner result is that of what follows when the rest is in force already: copying,
/// and what resolvers would not accept.
async fn part(
    place: &Place,
    keys: &Keys,
    wish: &Wish,
    to: &[String],
    report: &mut Report,
) -> Result<Result<(), PublishError>, Failure> {
    let press = Press::open(place, keys).await?;
    let destinations = press.destinations(to)?;
    if !keys.yes && screen::is_interactive() && !press.people().is_empty() {
        let text = super::diff::all(&press, wish).await?.iter().map(super::diff::Shown::text).collect::<String>();
        eprint!("{text}");
        keys.confirm("Sign and publish this?")?;
    }
    let publisher = press.publisher();
    let done = unless_refused(publisher.run(wish, report).await)?;
    let copied = publisher.copy(&destinations, report).await;
    press.ledger.close().await;
    Ok(done.and(copied))
}

/// What is in force goes out also when there is something that resolvers would not accept.
pub(super) fn unless_refused(done: Result<(), PublishError>) -> Result<Result<(), PublishError>, PublishError> {
    match done {
        Err(error) if !matches!(error, PublishError::Refused(_)) => Err(error),
        done => Ok(done),
    }
}

/// Publishes each decision at once, until it is told to stop.
async fn watch(arguments: &Arguments, mut wish: Wish, interval: Duration) -> Result<(), Failure> {
    let Arguments { place, keys, .. } = arguments;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // What cannot work is told now; what breaks later is told when it does, and tried again.
    let work = Work::open(&place.work)?;
    keys.people()?;
    press::destinations(&work, &arguments.to)?;
    let ledger = Ledger::open(&work.ledger()).await?;
    if !place.json {
        press::note(&format!("Watching {} every {interval:?}. Stop: Ctrl-C", place.work.display()));
    }

    // Beside, so that no decision waits for a feed.
    let (tell, mut fetched) = unbounded_channel();
    if let Some(patience) = arguments.patience() {
        feeds::look_beside(place.work.clone(), wish.classes.clone(), patience, tell.clone());
    }
    let mut looked: Vec<Looked> = Vec::new();
    // Now, so that the first decision does not wait for it: a hundred thousand entries take seconds. What is wrong is told
    // where something is to be released.
    let mut auditor = Auditor::default();
    let _ = ledger.verify_on(&mut auditor).await;
    let mut uncopied = true;
    let mut failures = 0u32;
    let mut told: Vec<String> = Vec::new();
    let mut seen = 0;
    loop {
        // Without an answer now, older entries count once more.
        seen = ledger.head().await.map_or(seen, |head| head.number);
        let begin = now();
        let mut report =
            Report { feeds: mem::take(&mut looked), auditor: mem::take(&mut auditor), ..Report::default() };
        let done = cycle(arguments, &wish, &mut report, &mut uncopied).await;
        auditor = mem::take(&mut report.auditor);
        if report.timestamp.is_some() || report.copied.iter().any(|copied| copied.files > 0) {
            line(place, &report)?;
        }
        // What stays wrong is told once.
        let mut problems: Vec<String> = report.classes.iter().filter_map(|outcome| outcome.problem.clone()).collect();
        let names = ledger.members().await.map(|members| Names::of(&members)).unwrap_or_default();
        problems.extend(report.classes.iter().filter_map(|outcome| press::standing(outcome, &names)));
        problems.extend(report.classes.iter().filter_map(|outcome| {
            let back = press::rolled_back(outcome.pinned_to?, outcome.pinned_why.as_deref());
            Some(format!("the class {} is {back}", outcome.class.word()))
        }));
        if done.is_ok() && problems != told {
            let new = problems.iter().filter(|problem| !told.contains(problem));
            new.for_each(|problem| press::note(&format!("friendly-blocklist: {problem}")));
            told = problems;
        }
        let pause = match done {
            Ok(()) => {
                // Wished for once, and done.
                wish = Wish { classes: wish.classes, ..Wish::default() };
                failures = 0;
                LOOK_AGAIN
            }
            Err(error) => {
                press::note(&format!("friendly-blocklist: {error}"));
                failures += 1;
                (TRY_AGAIN * 2u32.saturating_pow(failures.min(5))).min(LOOK_AGAIN)
            }
        };
        let again = Instant::now() + pause;
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                Some(news) = fetched.recv() => {
                    feeds::tell(&news);
                    let changed = news.iter().any(|looked| looked.what == What::New);
                    looked.extend(news);
                    if changed && failures == 0 {
                        break;
                    }
                }
                () = sleep(interval) => {}
            }
            if Instant::now() >= again || failures == 0 && is_news(&ledger, &work, seen, begin).await {
                break;
            }
        }
    }
}

/// One look at everything.
async fn cycle(arguments: &Arguments, wish: &Wish, report: &mut Report, uncopied: &mut bool) -> Result<(), Failure> {
    let press = Press::open(&arguments.place, &arguments.keys).await?;
    let publisher = press.publisher();
    let done = unless_refused(publisher.run(wish, report).await)?;
    if report.timestamp.is_some() || *uncopied {
        *uncopied = true;
        publisher.copy(&press.destinations(&arguments.to)?, report).await?;
        *uncopied = false;
    }
    press.ledger.close().await;
    Ok(done?)
}

/// Whether there is a decision behind that entry, or somebody was enrolled or revoked since.
async fn is_news(ledger: &Ledger, work: &Work, seen: u64, since: u64) -> bool {
    // An error here is an error of the next look at everything, which tells it.
    if ledger.has_decided(seen).await.unwrap_or(false) {
        return true;
    }
    let changed = fs::metadata(work.directory().join("recipients.toml")).and_then(|about| about.modified());
    changed.is_ok_and(|time| time > SystemTime::UNIX_EPOCH + Duration::from_millis(since))
}

/// What a look brought, in one line.
fn line(place: &Place, report: &Report) -> Result<(), Failure> {
    if place.json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    let mut parts = Vec::new();
    for outcome in report.classes.iter().filter(|outcome| outcome.serial.is_some()) {
        let state = match (outcome.published, outcome.held.is_some()) {
            (true, _) => "in force",
            (false, true) => "held",
            (false, false) => "waits for signatures",
        };
        let (word, serial) = (outcome.class.word(), outcome.serial.unwrap_or(0));
        parts.push(format!("{word} {serial} {state} (+{} -{})", outcome.added, outcome.removed));
    }
    if parts.is_empty() {
        parts.push("timestamp signed".to_owned());
    }
    let seconds: f64 = report.phases.values().sum();
    println!("{}  {}  {seconds:.2} s", crate::ledger::minute(now() / 1000), parts.join(", "));
    for warning in &report.warnings {
        press::note(&format!("friendly-blocklist: warning: {warning}"));
    }
    Ok(())
}
