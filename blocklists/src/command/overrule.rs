//! `friendly-blocklist overrule`: two people let a release pass that the jump guard holds.

use clap::Args;
use signed_list::release::Class;

use super::Failure;
use super::place::{Place, Why, block_on, now};
use super::press::{self, Keys, Press};
use super::sign;
use crate::person::unhex;
use crate::release::outcome::{Outcome, Report};
use crate::release::stage::Stage;

/// Let exactly this release pass, although it changes so much at once
///
/// The first person asks, the second one agrees; both say why, and all of it enters the ledger. Any change of the
/// release makes another one of it, which is held again.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The class whose release is held
    #[arg(long, value_name = "CLASS", value_parser = press::class)]
    class: Class,

    #[command(flatten)]
    why: Why,

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
    let Arguments { place, keys, class, .. } = arguments;
    block_on(async {
        let press = Press::open(place, keys).await?;
        let [person] = press.people() else {
            return Err("one person asks, and another one agrees: name one key with --key FILE".into());
        };
        let word = class.word();
        let stage = Stage::find(&press.work, word)?;
        let release = stage.as_ref().and_then(|stage| stage.plan.release.as_ref()).filter(|it| it.jump.is_some());
        let Some(release) = release else {
            return Err(format!("no release of the class {word} is held").into());
        };
        let hash = unhex(&release.card.hash).ok_or("the staged release is damaged; publish it again")?;
        let said = press.ledger.overriding(*class, &hash).await?;
        if said.as_ref().is_some_and(|said| said.approved.is_some()) {
            return Err("two people have let this release pass already; it waits for signatures".into());
        }
        let why = arguments.why.reason()?;
        let card = &release.card;
        let about = format!("release {} of the class {word} ({} come, {} go)", card.serial, card.added, card.removed);
        if let Some(said) = &said {
            let who = press.names().await?.show(&said.requested.by);
            keys.confirm(&format!("{who} asks for it: {}. Agree to let {about} pass?", said.reason))?;
            press.ledger.approve_override(*class, hash, why, person, now()).await?;
        } else {
            keys.confirm(&format!("Ask to let {about} pass?"))?;
            press.ledger.request_override(*class, hash, why, person, now()).await?;
        }
        let mut report = Report::default();
        let publisher = press.publisher();
        if let (Some(stage), Some(base)) = (&stage, publisher.find_base()?) {
            let mut outcome = Outcome::of(*class);
            outcome.why.push("it was staged".to_owned());
            publisher.tell(stage, &base, &mut outcome).await?;
            report.classes.push(outcome);
        }
        sign::finish(&press, &arguments.to, report, place).await
    })
}
