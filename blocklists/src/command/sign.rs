//! `friendly-blocklist sign`: a signature under what is staged.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{Place, block_on};
use super::press::{self, Keys, Press};
use super::publish::unless_refused;
use super::screen;
use super::view::Names;
use crate::ledger::event::Role;
use crate::release::outcome::{Outcome, Report};
use crate::release::publish::Publisher;
use crate::release::repository::Metadata;
use crate::release::stage::{Plan, Stage, StageError};
use crate::report::{counted, grouped};

/// Sign a staged release or a staged change of keys
///
/// A release is made once more out of the ledger and compared before it is signed. With the last signature that is
/// missing it comes into force.
///
/// On another machine: copy staged/NAME of the work directory there, sign it with --copy DIR, bring it back, and take
/// the signatures over with --from DIR.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this: a class, or keys
    #[arg(long, value_name = "NAME")]
    only: Option<String>,

    /// Sign this copy of a staged directory, without ledger and work directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from", "only"])]
    copy: Option<PathBuf>,

    /// Take over the signatures of this copy
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,

    /// Copy to this place instead of those in release.toml; several times
    #[arg(long, value_name = "PLACE")]
    to: Vec<String>,

    #[command(flatten)]
    keys: Keys,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { place, keys, .. } = arguments;
    if keys.key.is_empty() && arguments.from.is_none() {
        return Err("nobody signs: name a key with --key FILE, or a signed copy with --from DIR".into());
    }
    if let Some(directory) = &arguments.copy {
        return sign_copy(directory, keys, place);
    }
    block_on(async {
        let press = Press::open(place, keys).await?;
        let publisher = press.publisher();
        let base = publisher.find_base()?;
        let mut report = Report::default();
        let mut stages = Stage::all(&press.work)?;
        stages.retain(|stage| arguments.only.as_ref().is_none_or(|only| stage.plan.name == *only));
        if stages.is_empty() {
            return Err(StageError::Nothing(press.work.staged()).into());
        }
        if stages.iter().any(|stage| stage.plan.release.is_some()) {
            publisher.refuse_retired().await?;
        }
        let copy = match &arguments.from {
            None => None,
            Some(path) => Some(open(path)?),
        };
        let (mut signed, mut held, mut refused) = (0, false, None);
        for stage in &mut stages {
            if let Some(copy) = copy.as_ref().filter(|copy| copy.plan.name == stage.plan.name) {
                signed += stage.join(copy)?;
                held = true;
            }
            if !press.people().is_empty() {
                look(&publisher, stage, base.as_ref()).await?;
                keys.confirm(&format!("Sign {}?\n{}", stage.plan.about, summary(&stage.plan)))?;
            }
            for person in press.people() {
                match stage.sign(person, base.as_ref()) {
                    Ok(count) => (signed, held) = (signed + count, true),
                    // Somebody else's: an error only if it is so everywhere.
                    Err(error @ StageError::NoHolder { .. }) => refused = Some(error),
                    Err(error) => return Err(error.into()),
                }
            }
            tell(&publisher, stage, base.as_ref(), &mut report).await?;
        }
        if let Some(error) = refused.filter(|_| !held) {
            return Err(named(error, &press.names().await?).into());
        }
        if signed == 0 {
            report.warnings.push("no signature is new: these keys have signed all of it already".to_owned());
        }
        finish(&press, &arguments.to, report, place).await
    })
}

/// Signs everything that is staged with the keys that are there, and brings into force what is complete. For verbs that
/// have just staged something.
pub async fn all_staged(press: &Press, report: &mut Report) -> Result<(), Failure> {
    let publisher = press.publisher();
    let base = publisher.find_base()?;
    for mut stage in Stage::all(&press.work)? {
        for person in press.people() {
            match stage.sign(person, base.as_ref()) {
                Ok(_) | Err(StageError::NoHolder { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        tell(&publisher, &stage, base.as_ref(), report).await?;
    }
    Ok(publisher.settle(report).await?)
}

/// Brings into force what is complete, copies it out, and tells.
pub async fn finish(press: &Press, to: &[String], mut report: Report, place: &Place) -> Result<(), Failure> {
    let publisher = press.publisher();
    let settled = unless_refused(publisher.settle(&mut report).await)?;
    let online = press.work.online()?;
    let registered = press.ledger.member(&online.id()).await?.is_some_and(|member| member.is(Role::Operator));
    if !registered && report.keys.as_ref().is_some_and(|keys| keys.in_force) {
        report.warnings.push(format!(
            "the publisher's own key {} is not registered in the ledger and cannot note releases there; an admin registers \
             it: {}",
            online.id(),
            press.work.how_to_register()
        ));
    }
    let copied = match report.timestamp {
        Some(_) => publisher.copy(&press.destinations(to)?, &mut report).await,
        None => Ok(()),
    };
    press::print(place, &report, &press.names().await?)?;
    settled?;
    Ok(copied?)
}

/// A refusal that calls the holders by what they are called.
fn named(error: StageError, names: &Names) -> StageError {
    let StageError::NoHolder { key, roles, holders } = error else { return error };
    let named = holders.split(", ").map(|id| id.parse().map_or(id.to_owned(), |id| names.show(&id)));
    StageError::NoHolder { key, roles, holders: named.collect::<Vec<_>>().join(", ") }
}

/// Whether a staged release is what the ledger says.
async fn look(publisher: &Publisher<'_>, stage: &Stage, base: Option<&Metadata>) -> Result<(), Failure> {
    match base {
        Some(base) => Ok(publisher.check(stage, base).await?),
        None => Ok(()),
    }
}

/// Puts down where a stage stands.
async fn tell(
    publisher: &Publisher<'_>,
    stage: &Stage,
    base: Option<&Metadata>,
    report: &mut Report,
) -> Result<(), Failure> {
    if let (Some(release), Some(base)) = (&stage.plan.release, base) {
        let mut outcome = Outcome::of(release.card.class);
        outcome.why.push("it was staged".to_owned());
        publisher.tell(stage, base, &mut outcome).await?;
        report.classes.push(outcome);
    }
    Ok(())
}

fn open(directory: &Path) -> Result<Stage, StageError> {
    Stage::open(directory)?.ok_or_else(|| StageError::Nothing(directory.to_owned()))
}

/// A release in a few lines, to be read before it is signed.
fn summary(plan: &Plan) -> String {
    let Some(release) = &plan.release else { return screen::field("change", &plan.about) };
    let card = &release.card;
    let (added, removed) = (grouped(card.added), grouped(card.removed));
    let mut text = screen::field("made", &crate::ledger::minute(card.created));
    text += &screen::field("entries", &format!("{}: {added} come, {removed} go", grouped(card.listed)));
    for pin in &card.feeds {
        let (entries, hash) = (grouped(pin.entries), pin.hash.get(..16).unwrap_or(&pin.hash));
        text += &screen::field("feed", &format!("{}: {entries} names, {hash}...", pin.feed));
    }
    if let Some(epoch) = card.epoch {
        text += &screen::field(
            "epoch",
            &format!("{epoch}, opened to {}", counted(card.recipients.len() as u64, "resolver")),
        );
    }
    if card.only_of.is_some() {
        text += &screen::field("held back", "what is new, which is too much at once and waits for two people");
    }
    if let Some(serial) = card.pinned_to {
        text += &screen::field("rollback", &format!("to what release {serial} held"));
    }
    text + &screen::field("list", &card.hash)
}

/// Signs a copy: what it says is shown, and cannot be compared with the ledger here.
fn sign_copy(directory: &Path, keys: &Keys, place: &Place) -> Result<(), Failure> {
    let mut stage = open(directory)?;
    let people = keys.people()?;
    eprint!("{}", summary(&stage.plan));
    keys.confirm(&format!("Sign {}? It is a copy, and not compared with the ledger here", stage.plan.about))?;
    let mut signed = 0;
    for person in &people {
        signed += stage.sign_all(person)?;
    }
    let about = stage.plan.about.clone();
    place.print(&json!({ "about": about, "signed": signed }), || {
        format!("{signed} documents of {about} are signed. Bring the directory back, and take the\nsignatures over there with: friendly-blocklist sign --from DIR\n")
    })
}
