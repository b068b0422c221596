//! `friendly-blocklist diff`: what the next release would change.

use clap::Args;
use serde::Serialize;
use signed_list::release::Class;

use super::Failure;
use super::place::{Place, block_on};
use super::press::{self, Keys, Press};
use super::screen::{self, Look, cell};
use crate::release::diff::Diff;
use crate::release::draft::Wish;
use crate::release::hold::Jump;
use crate::release::outcome::Report;
use crate::release::publish::PublishError;
use crate::release::repository::Ceremony;
use crate::release::select::Refusal;
use crate::report::grouped;

/// Cases that a terminal shows of each kind.
const SHOWN: usize = 20;

/// Show what the next release would change, and how far that reaches
///
/// Names are not shown, only cases: `status` and `history` tell about those.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this class; may be given several times
    #[arg(long, value_name = "CLASS", value_parser = press::class)]
    class: Vec<Class>,

    /// Show what would be without the rollback that is in force
    #[arg(long)]
    resume: bool,

    #[command(flatten)]
    place: Place,
}

/// What a release of a class would change.
#[derive(Debug, Serialize)]
pub struct Shown {
    class: Class,
    serial: u64,
    why: Vec<String>,
    held: Option<Jump>,
    rest: Option<Jump>,
    pinned_to: Option<u64>,
    pinned_why: Option<String>,
    refused: Vec<Refusal>,
    #[serde(flatten)]
    diff: Diff,
    problem: Option<String>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let keys = Keys { key: Vec::new(), patience: 10, yes: true };
    let wish = Wish { classes: arguments.class.clone(), resume: arguments.resume, ..Wish::default() };
    block_on(async {
        let press = Press::open(&arguments.place, &keys).await?;
        let shown = all(&press, &wish).await?;
        arguments.place.print(&shown, || shown.iter().map(Shown::text).collect())
    })
}

/// What the releases would change that a wish asks for.
pub async fn all(press: &Press, wish: &Wish) -> Result<Vec<Shown>, Failure> {
    let publisher = press.publisher();
    let base = publisher.base()?;
    let ceremony = Ceremony::of(&base.root, &base.targets)?;
    let mut shown = Vec::new();
    for (class, holders) in &ceremony.classes {
        if !wish.classes.is_empty() && !wish.classes.contains(class) {
            continue;
        }
        let survey = match publisher.survey(*class, holders, wish, &base, &mut Report::default()).await {
            Err(PublishError::Feeds(problem)) => {
                shown.push(Shown::without(*class, problem));
                continue;
            }
            survey => survey?,
        };
        let categories = press.work.scheme.categories(*class);
        let key = press.work.index_key();
        let diff = Diff::between(&survey.before, &survey.index, &survey.entries, categories, &key);
        shown.push(Shown {
            class: *class,
            serial: survey.draft.serial,
            why: survey.why(),
            held: survey.jump,
            rest: survey.rest,
            pinned_to: survey.draft.pinned_to,
            pinned_why: survey.draft.pinned_why,
            refused: survey.refused,
            diff,
            problem: None,
        });
    }
    Ok(shown)
}

impl Shown {
    /// Of a class that no release can be made of.
    fn without(class: Class, problem: String) -> Shown {
        Shown {
            class,
            serial: 0,
            why: Vec::new(),
            held: None,
            rest: None,
            pinned_to: None,
            pinned_why: None,
            refused: Vec::new(),
            diff: Diff::default(),
            problem: Some(problem),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let diff = &self.diff;
        if let Some(problem) = &self.problem {
            let title = screen::title(&format!("Class {}", self.class.word()), "no release can be made", Look::Bad);
            return title + &screen::field("problem", problem);
        }
        let (state, look) = match (self.why.is_empty(), &self.held) {
            (true, _) => ("nothing to release", Look::Faint),
            (false, Some(_)) => ("would be held", Look::Bad),
            (false, None) => ("would be released", Look::Good),
        };
        let mut out = screen::title(&format!("Class {}, release {}", self.class.word(), self.serial), state, look);
        out += &press::pinned(self.pinned_to, self.pinned_why.as_deref());
        if self.why.is_empty() {
            return out;
        }
        out += &screen::field("why", &self.why.join("; "));
        out += &screen::field("entries", &format!("{} now, {} then", grouped(diff.before), grouped(diff.after)));
        for (category, counts) in &diff.categories {
            let (added, removed) = (grouped(counts.added), grouped(counts.removed));
            out += &screen::field("", &format!("{category}: {added} come, {removed} go"));
        }
        for (feed, counts) in &diff.feeds {
            let (added, removed) = (grouped(counts.added), grouped(counts.removed));
            out += &screen::field("feed", &format!("{feed}: {added} come, {removed} go"));
        }
        let reach = diff.reach;
        if reach != Default::default() {
            let kinds =
                [(reach.domains, "whole domains"), (reach.subtrees, "parts of one"), (reach.exact, "single names")];
            let kinds = kinds.iter().filter(|(count, _)| *count > 0);
            let text: Vec<String> = kinds.map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
            out += &screen::field("reach", &text.join(", "));
        }
        if reach.top_sites > 0 {
            out += &screen::field(
                "top sites",
                &format!("{} entries are one of the most visited sites or lie below one", reach.top_sites),
            );
        }
        if let Some(jump) = &self.held {
            let of = jump.feed.as_ref().map_or_else(|| "the ledger".to_owned(), |feed| format!("the feed {feed}"));
            let limit = grouped(jump.limit);
            let text = format!("{limit} of {of} may come or go at once; two people would have to let it pass");
            out += &screen::field("held", &text);
        }
        if let Some(jump) = &self.rest {
            let count = grouped(jump.added);
            let text = format!("{count} more would come, too many at once: they would wait for two people");
            out += &screen::field("held back", &text);
        }
        for refusal in &self.refused {
            out += &screen::field("left out", &format!("{}: {}", refusal.case, refusal.why));
        }
        let mut rows = Vec::new();
        for added in diff.added.iter().take(SHOWN) {
            let top = added.top_site.as_ref().map(|site| format!("part of {site}")).unwrap_or_default();
            rows.push(vec![cell("+"), cell(&added.case), cell(&added.category), cell(added.reach), cell(top)]);
        }
        for case in diff.removed.iter().take(SHOWN) {
            rows.push(vec![cell("-"), cell(case), cell(""), cell(""), cell("")]);
        }
        if !rows.is_empty() {
            out += &screen::table(&["", "CASE", "CATEGORY", "REACH", ""], &rows);
        }
        let more = diff.added.len().saturating_sub(SHOWN) + diff.removed.len().saturating_sub(SHOWN);
        if more > 0 {
            out += &format!("and {} more; --json has all of them\n", grouped(more as u64));
        }
        out
    }
}
