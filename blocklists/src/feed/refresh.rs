//! One look at a feed: fetched if it has changed, read, judged, and kept or refused.
//!
//! A list that is refused changes nothing but what is said about it: the last good names stay, and the next look comes
//! sooner than usual.

use std::io::Cursor;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use signed_list::release::Class;

use super::fetch::{Got, Patience, Validators, fetch};
use super::names::{Collector, Names};
use super::settings::Feed;
use super::shelf::{Content, FeedLock, Problem, Shelf, ShelfError, State};
use crate::guard::Guard;
use crate::release::hold::Bounds;
use crate::report::{Counts, Report, grouped};
use crate::source::Source;

/// After a failure a feed is looked at again so soon, in seconds, and then less often.
const TRY_AGAIN: u64 = 300;
/// Feeds fetched at the same time: each may take its `max_mib` of memory.
const AT_ONCE: usize = 8;
/// Refused names that are shown.
const SHOWN: usize = 5;

/// What looks are made with.
#[derive(Clone)]
pub struct Desk<'a> {
    /// Where feeds are kept.
    pub shelf: &'a Shelf,
    /// Judges names.
    pub guard: &'a Guard,
    /// How much may come or go at once, where a feed does not say.
    pub hold: Bounds,
    /// How long a server may take.
    pub patience: Patience,
    /// Fetch also what is known to be the same, and take it however much it changes.
    pub force: bool,
    /// Now, Unix seconds.
    pub now: u64,
}

/// What a look came to.
#[derive(Clone, Debug, Serialize)]
pub struct Looked {
    /// The feed.
    pub feed: String,
    /// Its class.
    pub class: Class,
    /// Its category.
    pub category: String,
    /// What came of it.
    pub what: What,
    /// Names it has now.
    pub entries: u64,
    /// Names that are new.
    pub added: u64,
    /// Names that are gone.
    pub removed: u64,
    /// Lines that are no entries.
    pub skipped: u64,
    /// Names that must not be blocked.
    pub refused: u64,
    /// The first of them, with the reason.
    pub first_refused: Vec<String>,
    /// What is wrong.
    pub problem: Option<String>,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// There is another list.
    New,
    /// It is the same list.
    Unchanged,
    /// Something is wrong; the last good names stay.
    Kept,
    /// Another command is fetching it.
    Busy,
}

/// Whether it is time to look at a feed.
pub fn is_due(feed: &Feed, state: &State, now: u64) -> bool {
    // A clock that was ahead, and a feed that is to be looked at more often than before, must not put it off for long.
    let latest = state.tried_at.saturating_add(feed.every + feed.every / 10);
    now >= state.next_at.min(latest) || now < state.tried_at || state.content.is_none() && state.problem.is_none()
}

/// Feeds that are due. One whose state cannot be read is: the look tells what is wrong.
pub fn due<'a>(feeds: &'a [Feed], shelf: &Shelf, now: u64) -> Vec<&'a Feed> {
    let is_due = |feed: &&Feed| shelf.state(&feed.name).map_or(true, |state| is_due(feed, &state, now));
    feeds.iter().filter(is_due).collect()
}

impl Desk<'_> {
    /// Looks at feeds, several at the same time.
    pub async fn look_at_all(&self, feeds: &[&Feed]) -> Vec<Looked> {
        let looks = feeds.iter().enumerate().map(|(at, feed)| async move { (at, self.look_at(feed).await) });
        let mut looked: Vec<(usize, Looked)> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        looked.sort_by_key(|(at, _)| *at);
        looked.into_iter().map(|(_, looked)| looked).collect()
    }

    /// Looks at a feed.
    pub async fn look_at(&self, feed: &Feed) -> Looked {
        let mut looked = Looked {
            feed: feed.name.clone(),
            class: feed.class,
            category: feed.category.clone(),
            what: What::Kept,
            entries: 0,
            added: 0,
            removed: 0,
            skipped: 0,
            refused: 0,
            first_refused: Vec::new(),
            problem: None,
        };
        if let Err(error) = self.try_look(feed, &mut looked).await {
            if matches!(error, ShelfError::Busy(_)) {
                looked.what = What::Busy;
            }
            looked.problem = Some(error.to_string());
        }
        looked
    }

    /// The error is one of what is kept here; what is wrong with the list goes into the state.
    async fn try_look(&self, feed: &Feed, looked: &mut Looked) -> Result<(), ShelfError> {
        let lock = self.shelf.lock(&feed.name)?;
        let mut state = match self.shelf.state(&feed.name) {
            Err(ShelfError::Damaged { .. }) if self.force => State::default(),
            state => state?,
        };
        state.tried_at = self.now;
        let failed = match self.news(feed, &state, looked).await {
            Ok(None) => {
                looked.what = What::Unchanged;
                None
            }
            Ok(Some((content, names))) => {
                self.take(feed, &mut state, content, &names, looked, &lock)?;
                None
            }
            Err(why) => Some(why),
        };
        match failed {
            None => {
                state.problem = None;
                state.checked_at = Some(self.now);
                state.next_at = self.now + spread(feed.every);
            }
            Some(why) => {
                let (since, times) = state.problem.map_or((self.now, 0), |problem| (problem.since, problem.times));
                let pause = TRY_AGAIN.saturating_mul(2u64.saturating_pow(times)).min(feed.every);
                state.next_at = self.now + spread(pause);
                looked.problem = Some(why.clone());
                state.problem = Some(Problem { why, since, times: times.saturating_add(1) });
            }
        }
        looked.entries = state.content.as_ref().map_or(0, |content| content.entries);
        self.shelf.keep(&feed.name, &state, &lock)
    }

    fn take(
        &self,
        feed: &Feed,
        state: &mut State,
        mut content: Content,
        names: &Names,
        looked: &mut Looked,
        lock: &FeedLock,
    ) -> Result<(), ShelfError> {
        let same = state.content.as_ref().is_some_and(|known| known.hash == names.hash());
        content.hash = self.shelf.keep_names(&feed.name, names, lock)?;
        state.content = Some(content);
        looked.what = if same { What::Unchanged } else { What::New };
        if !same || state.fetched_at.is_none() {
            state.fetched_at = Some(self.now);
        }
        Ok(())
    }

    /// A list that is new and good, or why there is none.
    async fn news(&self, feed: &Feed, state: &State, looked: &mut Looked) -> Result<Option<(Content, Names)>, String> {
        let last = state.content.as_ref();
        // What is damaged here is fetched anew. Only by force: nobody could tell how much it changes.
        let before = match last.map(|content| self.shelf.names(&feed.name, &content.hash)) {
            None => None,
            Some(Ok(names)) => Some(names),
            Some(Err(_)) if self.force => None,
            Some(Err(error)) => return Err(error.to_string()),
        };
        let source = feed.source();
        let known = last.filter(|content| !self.force && content.source == source).map(|content| &content.validators);
        // Without a question, "not modified" is no answer.
        let known = known.filter(|known| **known != Validators::default());
        let got = fetch(&feed.place, known, feed.max_octets, self.patience).await;
        let (octets, validators) = match got.map_err(|error| error.to_string())? {
            Got::Unchanged => return Ok(None),
            Got::List(octets, validators) => (octets, validators),
        };
        let (names, covered, counts) = read(feed, octets, self.guard)?;
        let input = counts.inputs.first().cloned().unwrap_or_default();
        (looked.skipped, looked.refused) = (input.skipped, input.refused);
        let refused = counts.refused.iter().flat_map(|tally| &tally.first).take(SHOWN);
        looked.first_refused = refused.map(|it| format!("{} ({})", it.text, it.why)).collect();
        let before = before.unwrap_or_default();
        (looked.added, looked.removed) = names.change(&before);
        if last.is_some() && !self.force {
            self.judge(feed, looked, before.len())?;
        }
        let content = Content {
            source,
            validators,
            hash: String::new(),
            entries: names.len(),
            lines: input.lines,
            skipped: input.skipped,
            refused: input.refused,
            exceptions: input.exceptions,
            covered,
            format: input.format.to_owned(),
        };
        Ok(Some((content, names)))
    }

    /// A list that becomes another one at once is more likely a broken one.
    fn judge(&self, feed: &Feed, looked: &Looked, before: u64) -> Result<(), String> {
        let Some(jump) = feed.bounds(self.hold).jump(looked.added, looked.removed, before) else { return Ok(()) };
        Err(format!(
            "{} names come and {} go of {}, and no more than {} may at once; the last good names stay. If that is right: \
             friendly-blocklist feeds fetch {} --force",
            grouped(jump.added),
            grouped(jump.removed),
            grouped(jump.before),
            grouped(jump.limit),
            feed.name
        ))
    }
}

/// Reads a list: the names that passed, how many of them lay below others, and what was left out.
fn read(feed: &Feed, octets: Vec<u8>, guard: &Guard) -> Result<(Names, u64, Counts), String> {
    let mut report = Report::new(None).map_err(|error| error.to_string())?;
    let size = octets.len() as u64;
    let source = Source::bounded("the list".to_owned(), Some(size), Box::new(Cursor::new(octets)), feed.max_octets);
    let mut source = source.map_err(|error| error.to_string())?;
    let mut collector = Collector::default();
    let mut entry = |name, scope| collector.push(&name, scope);
    let read = feed.reading.read(&mut source, guard, &mut report, &mut entry, &|_| {});
    read.map_err(|error| error.to_string())?;
    drop(source);
    let (names, covered) = collector.finish();
    Ok((names, covered, report.counts().clone()))
}

/// A time around `seconds`, a twentieth earlier or later: so that not all publishers ask a server in the same minute.
fn spread(seconds: u64) -> u64 {
    let mut random = [0; 2];
    // Without randomness they do; nothing else depends on it.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let tenth = seconds / 10;
    seconds - tenth / 2 + tenth * u64::from(u16::from_le_bytes(random)) / 65_536
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_spread_and_never_put_off_for_long() {
        for _ in 0..100 {
            assert!((82_080..=90_720).contains(&spread(86_400)));
        }
        let text = "version = 1\n[[feed]]\nname = \"one\"\nclass = \"venue\"\ncategory = \"adult\"\nfile = \"x\"\n";
        let scheme = crate::release::scheme::Scheme::read(include_str!("../../../config/scheme/albania.toml")).unwrap();
        let feeds = super::super::settings::Feeds::read(text, std::path::Path::new("/"), &scheme).unwrap();
        let feed = &feeds.feeds[0];
        let content = Some(Content::default());
        let state = |tried_at, next_at| State { content: content.clone(), tried_at, next_at, ..State::default() };
        let now = 1_800_000_000;
        assert!(is_due(feed, &State::default(), now), "never fetched");
        assert!(!is_due(feed, &state(now - 10, now + 10), now));
        assert!(is_due(feed, &state(now - 10, now), now));
        assert!(is_due(feed, &state(now - 200_000, now + 10), now), "it is to be looked at more often than before");
        assert!(is_due(feed, &state(now + 10, now + 20), now), "the clock was ahead");
    }
}
