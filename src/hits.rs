//! How often the clients of a hotspot met a block, by hour and category: what
//! the transparency report is made of, and no trace of who or what.
//!
//! | step | what happens |
//! |---|---|
//! | [`Hits`] | a counter for each policy and category, raised where a question is blocked |
//! | [`Keeper::collect`] | takes what was counted since, once a second |
//! | [`Keeper::close`] | at the end of an hour: cells below ten become part of the day; at its end: are forgotten |
//! | [`read`] | the months of a quarter back from their files |
//!
//! A cell of a hotspot below ten could point at a single person, so it is never
//! written or shown. What is counted are questions; one visit makes several.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Cells below this are not shown to anybody.
pub const LEAST: u64 = 10;
/// Months for which files are kept: two years and a quarter.
const MONTHS: usize = 27;

/// A blocked question, as far as anything may be kept of it: nothing here can
/// hold a client, and there is no other way into the counters.
///
/// ```
/// use friendly_resolver::hits::{Hit, Hits};
/// Hits::new(1, 1).count(Hit { hotspot: 0, category: 0 });
/// ```
///
/// ```compile_fail,E0560
/// use friendly_resolver::hits::Hit;
/// let client: std::net::IpAddr = [192, 0, 2, 1].into();
/// let hit = Hit { hotspot: 0, category: 0, client };
/// ```
///
/// ```compile_fail,E0061
/// use friendly_resolver::hits::{Hit, Hits};
/// let client: std::net::IpAddr = [192, 0, 2, 1].into();
/// Hits::new(1, 1).count(Hit { hotspot: 0, category: 0 }, client);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Index of the policy: the networks of a hotspot, not one of its clients.
    pub hotspot: usize,
    /// Index of the category; the one behind the last stands for what a policy
    /// denies by itself.
    pub category: usize,
}

/// Counters of one snapshot, shared by all workers.
pub struct Hits {
    cells: Vec<AtomicU32>,
    categories: usize,
}

impl Hits {
    /// All at zero.
    pub fn new(hotspots: usize, categories: usize) -> Self {
        Hits { cells: (0..hotspots * categories).map(|_| AtomicU32::new(0)).collect(), categories }
    }

    /// One more.
    #[inline]
    pub fn count(&self, hit: Hit) {
        if let Some(cell) = self.cells.get(hit.hotspot * self.categories + hit.category) {
            cell.fetch_add(1, Relaxed);
        }
    }

    /// What was counted since the last time, by hotspot and category.
    fn take(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let cells = self.cells.iter().enumerate();
        let taken = cells.map(|(at, cell)| (at, if cell.load(Relaxed) == 0 { 0 } else { cell.swap(0, Relaxed) }));
        let categories = self.categories;
        taken.filter(|(_, count)| *count > 0).map(move |(at, count)| (at / categories, at % categories, count.into()))
    }
}

/// A hotspot and a category, by name.
type Cell = (String, String);

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The hour, `2026-11-27T21`, or the day, `2026-11-27`, in UTC.
    pub when: String,
    /// Name of the policy.
    pub hotspot: String,
    /// Name of the category, or `policy-deny`.
    pub category: String,
    /// At least [`LEAST`].
    pub count: u64,
}

/// The names of a policy and of a category, by their numbers.
pub fn names(config: &Config, hotspot: usize, category: usize) -> (String, String) {
    let policy = config.policies.get(hotspot).map_or("no-policy", |policy| &policy.name);
    let category = config.categories.get(category).map_or("policy-deny", |category| &category.name);
    (policy.to_owned(), category.to_owned())
}

/// Collects, and closes hours and days.
#[derive(Default)]
pub struct Keeper {
    hour: BTreeMap<Cell, u64>,
    day: BTreeMap<Cell, u64>,
    /// The hour that is being counted.
    now: Option<DateTime>,
    /// What may be shown, since the start.
    shown: BTreeMap<Cell, u64>,
}

impl Keeper {
    /// Takes what was counted; `names` gives hotspots and categories their names.
    pub fn collect(&mut self, hits: &Hits, names: impl Fn(usize, usize) -> Cell) {
        for (hotspot, category, count) in hits.take() {
            *self.hour.entry(names(hotspot, category)).or_default() += count;
        }
    }

    /// What may be shown of everything since the start, by hotspot and category.
    pub fn shown(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.shown.iter().map(|((hotspot, category), count)| (&**hotspot, &**category, *count))
    }

    /// Ends the hour, and the day, if it is another one by now. Gives the lines
    /// that may be written.
    pub fn close(&mut self, now: Timestamp) -> Vec<Line> {
        let now = hour_of(now);
        let Some(before) = self.now.replace(now).filter(|before| *before != now) else { return Vec::new() };
        self.end(before, before.date() != now.date())
    }

    /// Ends the hour and the day as they are, because the process ends.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Line> {
        let now = self.now.take().unwrap_or_else(|| hour_of(now));
        self.end(now, true)
    }

    fn end(&mut self, hour: DateTime, day_ends: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        for (cell, count) in std::mem::take(&mut self.hour) {
            match count >= LEAST {
                true => lines.push((hour.strftime("%Y-%m-%dT%H").to_string(), cell, count)),
                false => *self.day.entry(cell).or_default() += count,
            }
        }
        if day_ends {
            let enough = std::mem::take(&mut self.day).into_iter().filter(|(_, count)| *count >= LEAST);
            lines.extend(enough.map(|(cell, count)| (hour.strftime("%Y-%m-%d").to_string(), cell, count)));
        }
        let line = |(when, cell, count): (String, Cell, u64)| {
            *self.shown.entry(cell.clone()).or_default() += count;
            Line { when, hotspot: cell.0, category: cell.1, count }
        };
        lines.into_iter().map(line).collect()
    }
}

fn hour_of(now: Timestamp) -> DateTime {
    let now = now.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    now.date().at(now.hour(), 0, 0, 0)
}

/// Adds lines to the file of their month, and removes files that are too old.
///
/// # Errors
/// What the system says; nothing was lost but these lines.
pub fn write(directory: &Path, lines: &[Line]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut months: BTreeMap<&str, String> = BTreeMap::new();
    for line in lines {
        let text = months.entry(&line.when[..7]).or_default();
        text.push_str(&serde_json::to_string(line).map_err(io::Error::other)?);
        text.push('\n');
    }
    for (month, text) in months {
        let path = file(directory, month);
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
        // A power cut may have left half of a line, which must not spoil the next.
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        let gap = if last == *b"\n" { "" } else { "\n" };
        file.write_all(format!("{gap}{text}").as_bytes())?;
        file.sync_all()?;
    }
    let mut files = files(directory)?;
    let old = files.len().saturating_sub(MONTHS);
    files.drain(..old).try_for_each(std::fs::remove_file)
}

/// All lines of a month; none if nothing was counted.
///
/// # Errors
/// What the system says. A line that was cut off, as by a power cut, is left out.
pub fn read(directory: &Path, month: &str) -> io::Result<Vec<Line>> {
    match std::fs::read_to_string(file(directory, month)) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn file(directory: &Path, month: &str) -> PathBuf {
    directory.join(format!("{month}.jsonl"))
}

/// The files of all months, oldest first.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
        let is_month =
            stem.len() == 7 && stem.as_bytes()[4] == b'-' && path.extension().is_some_and(|it| it == "jsonl");
        files.extend(is_month.then_some(path));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hotspot: usize, category: usize) -> Cell {
        (["library", "school"][hotspot].into(), ["adult", "csam"][category].into())
    }

    fn count(keeper: &mut Keeper, hotspot: usize, category: usize, times: usize) {
        let hits = Hits::new(2, 2);
        (0..times).for_each(|_| hits.count(Hit { hotspot, category }));
        keeper.collect(&hits, names);
        keeper.collect(&hits, |_, _| panic!("what was taken is gone"));
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn line(when: &str, hotspot: &str, category: &str, count: u64) -> Line {
        Line { when: when.into(), hotspot: hotspot.into(), category: category.into(), count }
    }

    #[test]
    fn small_cells_become_part_of_the_day_or_of_nothing() {
        let mut keeper = Keeper::default();
        assert!(keeper.close(at("2026-11-27T21:10:00Z")).is_empty());
        count(&mut keeper, 0, 0, 34);
        count(&mut keeper, 0, 1, 6);
        count(&mut keeper, 1, 1, 3);
        assert!(keeper.close(at("2026-11-27T21:59:59Z")).is_empty(), "the same hour");
        assert_eq!(keeper.close(at("2026-11-27T22:00:00Z")), [line("2026-11-27T21", "library", "adult", 34)]);
        count(&mut keeper, 0, 1, 6);
        count(&mut keeper, 1, 1, 6);
        assert_eq!(keeper.close(at("2026-11-28T00:30:00Z")), [line("2026-11-27", "library", "csam", 12)]);
        // Nine of the day before are forgotten, not carried on.
        count(&mut keeper, 1, 1, 1);
        assert!(keeper.close(at("2026-11-29T00:00:00Z")).is_empty());
        let shown: Vec<_> = keeper.shown().collect();
        assert_eq!(shown, [("library", "adult", 34), ("library", "csam", 12)]);
    }

    #[test]
    fn the_end_of_the_process_is_the_end_of_its_hour() {
        let mut keeper = Keeper::default();
        count(&mut keeper, 0, 0, 10);
        count(&mut keeper, 1, 0, 9);
        assert_eq!(keeper.finish(at("2026-11-27T21:10:00Z")), [line("2026-11-27T21", "library", "adult", 10)]);
        assert!(keeper.finish(at("2026-11-27T21:10:00Z")).is_empty());
    }

    #[test]
    fn months_are_files_that_can_be_read_again_and_go_when_they_are_old() {
        let directory = std::env::temp_dir().join(format!("friendly-hits-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        let lines = [line("2026-11-27T21", "library", "adult", 34), line("2026-12-01", "school", "csam", 12)];
        write(&directory, &lines).unwrap();
        write(&directory, &lines[..1]).unwrap();
        // Half of a line, as a power cut leaves it.
        let november = directory.join("2026-11.jsonl");
        OpenOptions::new().append(true).open(&november).unwrap().write_all(b"{\"when\":\"2026-1").unwrap();
        assert_eq!(read(&directory, "2026-11").unwrap(), [lines[0].clone(), lines[0].clone()]);
        write(&directory, &lines[..1]).unwrap();
        assert_eq!(read(&directory, "2026-11").unwrap().len(), 3, "the line behind it is whole");
        assert_eq!(read(&directory, "2026-12").unwrap(), lines[1..]);
        assert!(read(&directory, "2027-01").unwrap().is_empty());
        std::fs::write(directory.join("notes.txt"), "mine").unwrap();
        for month in 1..=MONTHS {
            let when = format!("20{:02}-{:02}", 27 + (month - 1) / 12, (month - 1) % 12 + 1);
            write(&directory, &[line(&format!("{when}-01"), "a", "b", 10)]).unwrap();
        }
        assert!(!november.exists() && directory.join("notes.txt").exists());
        assert_eq!(files(&directory).unwrap().len(), MONTHS);
    }
}
