//! `friendly-blocklist feeds`: public lists that are fetched and released in the open classes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use signed_list::release::Class;
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

use super::Failure;
use super::place::{Place, block_on, now};
use super::press;
use super::screen::{self, Look, cell, marked};
use crate::feed::fetch::Patience;
use crate::feed::refresh::{Desk, Looked, What, due};
use crate::feed::settings::{Feed, Feeds};
use crate::feed::shelf::{Content, Problem, State};
use crate::guard::Guard;
use crate::ledger::minute;
use crate::release::work::Work;
use crate::report::{entries, grouped};

/// While somebody watches: feeds that are due are looked for so often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Show the public lists that are fetched, or fetch them
///
/// Which lists these are stands in feeds.toml in the work directory. `publish` fetches what is due and releases it;
/// whatever goes wrong, the last good content of a feed stays in the release.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    step: Option<Step>,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Fetch all feeds now, or some of them
    ///
    /// Exit status: 0 all are well; 1 nothing could be done; 3 a feed has a problem, and its last good content stays.
    Fetch {
        /// Only this feed; several may be named
        #[arg(value_name = "NAME")]
        feeds: Vec<String>,

        /// Only what is due: for a timer
        #[arg(long)]
        due: bool,

        /// Fetch also what has not changed, and take a list however much it changes
        #[arg(long, conflicts_with = "due")]
        force: bool,

        /// How long each feed may take, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
        deadline: u64,

        #[command(flatten)]
        place: Place,
    },
}

/// Everything was done that could be; still somebody has to look at a feed.
#[derive(Debug, Error)]
#[error("{0}; the last good content stays in force. See `friendly-blocklist feeds`")]
pub struct Trouble(String);

impl Trouble {
    /// Of so many feeds, if there is any.
    pub fn of(count: usize) -> Result<(), Trouble> {
        match count {
            0 => Ok(()),
            1 => Err(Trouble("1 feed has a problem".to_owned())),
            count => Err(Trouble(format!("{count} feeds have a problem"))),
        }
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.step {
        None => {
            let place = &arguments.place;
            let work = Work::open(&place.work)?;
            let shown = all(&work)?;
            place.print(&shown, || text(&shown, now() / 1000))
        }
        Some(Step::Fetch { feeds, due, force, deadline, place }) => {
            let work = Work::open(&place.work)?;
            let configured = configured(&work)?;
            for name in feeds {
                if !configured.feeds.iter().any(|feed| feed.name == *name) {
                    return Err(format!("there is no feed '{name}' in feeds.toml; it has {}", names(configured)).into());
                }
            }
            let mut chosen = if *due { is_due(&work, &[])? } else { configured.feeds.iter().collect() };
            chosen.retain(|feed| feeds.is_empty() || feeds.contains(&feed.name));
            let patience = Patience { whole: Duration::from_secs(*deadline), ..Patience::default() };
            let looked = block_on(async { Ok(look(&work, &chosen, *force, patience).await) })?;
            place.print(&looked, || looked_text(&looked))?;
            Ok(Trouble::of(looked.iter().filter(|looked| looked.what == What::Kept).count())?)
        }
    }
}

fn configured(work: &Work) -> Result<&Feeds, Failure> {
    work.feeds.as_ref().map_err(|error| error.clone().into())
}

fn names(feeds: &Feeds) -> String {
    let names: Vec<&str> = feeds.feeds.iter().map(|feed| feed.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Feeds of some classes, or of all if none is named, that are due.
pub fn is_due<'a>(work: &'a Work, classes: &[Class]) -> Result<Vec<&'a Feed>, Failure> {
    let mut feeds = due(&configured(work)?.feeds, &work.shelf(), now() / 1000);
    feeds.retain(|feed| classes.is_empty() || classes.contains(&feed.class));
    Ok(feeds)
}

/// Looks at feeds. The work directory is not locked for it.
pub async fn look(work: &Work, feeds: &[&Feed], force: bool, patience: Patience) -> Vec<Looked> {
    let (shelf, guard) = (work.shelf(), Guard::shipped());
    let desk = Desk { shelf: &shelf, guard: &guard, hold: work.settings.hold, patience, force, now: now() / 1000 };
    desk.look_at_all(feeds).await
}

/// Fetches what is due beside everything else, on a thread of its own, and tells what came of it. It ends with the
/// process; a look that is cut off changes nothing.
pub fn look_beside(directory: PathBuf, classes: Vec<Class>, patience: Patience, tell: UnboundedSender<Vec<Looked>>) {
    std::thread::spawn(move || {
        while !tell.is_closed() {
            // What is wrong with the settings is told by the publisher itself.
            if let Ok(work) = Work::open(&directory)
                && let Ok(feeds) = is_due(&work, &classes)
                && !feeds.is_empty()
                && let Ok(looked) = block_on(async { Ok(look(&work, &feeds, false, patience).await) })
                && tell.send(looked).is_err()
            {
                return;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    });
}

/// What is wrong with feeds, one sentence for each of them.
pub fn troubles(work: &Work) -> Vec<String> {
    let Ok(feeds) = &work.feeds else { return Vec::new() };
    let shelf = work.shelf();
    let trouble = |feed: &Feed| match shelf.state(&feed.name) {
        Ok(state) => state.problem.map(|problem| problem_text(feed, &problem)),
        Err(error) => Some(error.to_string()),
    };
    feeds.feeds.iter().filter_map(trouble).collect()
}

fn problem_text(feed: &Feed, problem: &Problem) -> String {
    let looks = if problem.times == 1 { "1 look".to_owned() } else { format!("{} looks", problem.times) };
    format!("feed {}: {} (since {}, {looks})", feed.name, problem.why, minute(problem.since))
}

/// A feed as it stands.
#[derive(Debug, Serialize)]
pub struct Shown {
    name: String,
    class: Class,
    category: String,
    from: String,
    licence: String,
    entries: u64,
    fetched_at: Option<u64>,
    checked_at: Option<u64>,
    next_at: Option<u64>,
    content: Option<Content>,
    problem: Option<Problem>,
}

/// All feeds as they stand.
pub fn all(work: &Work) -> Result<Vec<Shown>, Failure> {
    let shelf = work.shelf();
    let show = |feed: &Feed| {
        let unreadable = |error: crate::feed::shelf::ShelfError| State {
            problem: Some(Problem { why: error.to_string(), since: now() / 1000, times: 1 }),
            ..State::default()
        };
        let state = shelf.state(&feed.name).unwrap_or_else(unreadable);
        Shown {
            name: feed.name.clone(),
            class: feed.class,
            category: feed.category.clone(),
            from: feed.place.shown(),
            licence: feed.licence.clone(),
            entries: state.content.as_ref().map_or(0, |content| content.entries),
            fetched_at: state.fetched_at,
            checked_at: state.checked_at,
            next_at: (state.next_at > 0).then_some(state.next_at),
            content: state.content,
            problem: state.problem,
        }
    };
    Ok(configured(work)?.feeds.iter().map(show).collect())
}

fn text(shown: &[Shown], now: u64) -> String {
    let trouble = shown.iter().filter(|feed| feed.problem.is_some()).count();
    let (state, look) = match trouble {
        0 => ("all well".to_owned(), Look::Good),
        count => (format!("{count} with a problem"), Look::Bad),
    };
    if shown.is_empty() {
        return screen::wrap("No feed is fetched: feeds.toml in the work directory names none.", 0);
    }
    let mut out = screen::title(&format!("Feeds: {}", shown.len()), &state, look);
    let mut rows = Vec::new();
    for feed in shown {
        let age = feed.checked_at.map_or_else(|| "never".to_owned(), |at| age(now.saturating_sub(at)));
        let (state, look) = match &feed.problem {
            Some(_) => ("problem", Look::Bad),
            None if feed.checked_at.is_none() => ("never fetched", Look::Warn),
            None => ("well", Look::Good),
        };
        rows.push(vec![
            cell(&feed.name),
            cell(format!("{}/{}", feed.class.word(), feed.category)),
            cell(format!("{:>9}", grouped(feed.entries))),
            cell(feed.fetched_at.map(minute).unwrap_or_default().trim_end_matches(" UTC")),
            cell(age),
            marked(state, look),
        ]);
    }
    out += &screen::table(&["FEED", "LIST", "  ENTRIES", "CHANGED (UTC)", "SEEN", "STATE"], &rows);
    for feed in shown {
        let Some(problem) = &feed.problem else { continue };
        out += "\n";
        out += &screen::field("problem", &format!("{}: {}", feed.name, problem.why));
        out += &screen::field("since", &format!("{}, seen {} times", minute(problem.since), problem.times));
    }
    out
}

/// A time that has passed, in few letters.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => "now".to_owned(),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn looked_text(looked: &[Looked]) -> String {
    if looked.is_empty() {
        return "No feed is due.\n".to_owned();
    }
    let mut rows = Vec::new();
    for it in looked {
        let (word, look) = word(it.what);
        let left_out = it.skipped + it.refused;
        let change = |count: u64| if it.what == What::Unchanged { String::new() } else { grouped(count) };
        rows.push(vec![
            cell(&it.feed),
            marked(word, look),
            cell(grouped(it.entries)),
            cell(change(it.added)),
            cell(change(it.removed)),
            cell(change(left_out)),
        ]);
    }
    let mut out = screen::table(&["FEED", "", "ENTRIES", "COME", "GO", "LEFT OUT"], &rows);
    for it in looked {
        for name in &it.first_refused {
            out += &screen::field("not blocked", &format!("{}: {name}", it.feed));
        }
        if let Some(problem) = &it.problem {
            out += &screen::field("problem", &format!("{}: {problem}", it.feed));
        }
    }
    out
}

fn word(what: What) -> (&'static str, Look) {
    match what {
        What::New => ("new", Look::Good),
        What::Unchanged => ("unchanged", Look::Plain),
        What::Kept => ("problem", Look::Bad),
        What::Busy => ("busy", Look::Warn),
    }
}

/// What came of looks, for a person who publishes.
pub fn brief(looked: &[Looked]) -> String {
    let mut out = String::new();
    for it in looked.iter().filter(|it| it.what != What::Kept) {
        let text = match it.what {
            What::New => format!("{}: new, {}", it.feed, entries(it.entries)),
            What::Busy => format!("{}: another command is fetching it", it.feed),
            _ => format!("{}: unchanged", it.feed),
        };
        out += &screen::field("fetched", &text);
    }
    out
}

/// Tells somebody who watches.
pub fn tell(looked: &[Looked]) {
    for it in looked {
        match (&it.problem, it.what) {
            (Some(problem), What::Kept) => press::note(&format!("friendly-blocklist: feed {}: {problem}", it.feed)),
            (_, What::New) => {
                let (added, removed) = (grouped(it.added), grouped(it.removed));
                press::note(&format!("feed {}: +{added} -{removed}", it.feed));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_fits_a_terminal_whatever_a_feed_says() {
        let shown = |name: &str, problem: Option<&str>| Shown {
            name: name.into(),
            class: Class::Operator,
            category: "phishing".to_owned(),
            from: "https://lists.example/".to_owned(),
            licence: String::new(),
            entries: 1_234_567,
            fetched_at: Some(1_800_000_000),
            checked_at: Some(1_800_000_000),
            next_at: None,
            content: None,
            problem: problem.map(|why| Problem { why: why.to_owned(), since: 1_800_000_000, times: 3 }),
        };
        let all = [shown("a-name-of-thirty-two-letters-all", Some(&"a long story ".repeat(20))), shown("short", None)];
        let text = text(&all, 1_800_010_000);
        assert!(text.lines().all(|line| screen::width(line) <= screen::WIDTH), "{text}");
        for part in ["1,234,567", "2 h", "1 with a problem", "a long story"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn ages_are_short() {
        for (seconds, text) in [(3, "now"), (130, "2 min"), (3 * 3600, "3 h"), (47 * 3600, "47 h"), (200_000, "2 days")]
        {
            assert_eq!(age(seconds), text);
        }
    }
}
