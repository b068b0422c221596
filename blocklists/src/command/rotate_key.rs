//! `friendly-blocklist rotate-key`: other keys, or the same with new dates.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use signed_list::release::Class;

use super::Failure;
use super::admin;
use super::place::{Place, block_on};
use super::press::{self, Keys, Press};
use super::sign;
use crate::person::{PersonId, PublicKey};
use crate::release::ceremony::{Change, Moves};
use crate::release::outcome::Report;
use crate::release::repository::Ceremony;
use crate::release::stage::{KEYS, Stage};

/// Change the keys of a role, or renew root and targets
///
/// The change is signed by the holders of the root: when they change themselves, by the old ones and by the new ones.
/// New keys of a class also sign what is in force of it. Whoever is not here signs later with `sign`.
///
/// After a theft of the publisher's own key: rotate-key --role online --admin FILE, and the thief's metadata are void,
/// whatever versions they had; the ledger retires the old key and knows the new one.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Whose keys change; online stands for snapshot and timestamp, the publisher's own key
    #[arg(long, value_enum, required_unless_present_any = ["renew", "drop"])]
    role: Option<RoleWord>,

    /// A key that comes: an introduction, or its file; several times
    #[arg(long, value_name = "PERSON", value_parser = press::introduced)]
    add: Vec<PublicKey>,

    /// A key that goes, by its short form; several times
    #[arg(long, value_name = "ID")]
    remove: Vec<PersonId>,

    /// How many have to sign from now on
    #[arg(long, value_name = "N")]
    threshold: Option<u64>,

    /// The same keys of root and targets, with new dates
    #[arg(long, conflicts_with_all = ["role", "add", "remove", "threshold"])]
    renew: bool,

    /// Take a staged change back
    #[arg(long, conflicts_with_all = ["role", "add", "remove", "threshold", "renew"])]
    drop: bool,

    /// An admin of the ledger, who retires the publisher's old key there and registers the new one; with --role online
    #[arg(long, value_name = "FILE", requires = "role")]
    admin: Option<PathBuf>,

    /// Copy to this place instead of those in release.toml; several times
    #[arg(long, value_name = "PLACE")]
    to: Vec<String>,

    #[command(flatten)]
    keys: Keys,

    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleWord {
    Root,
    Online,
    Timestamp,
    Snapshot,
    Legal,
    Operator,
    Venue,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { place, keys, .. } = arguments;
    block_on(async {
        let press = Press::open(place, keys).await?;
        let publisher = press.publisher();
        let base = publisher.base()?;
        if arguments.drop {
            let stage = Stage::find(&press.work, KEYS)?.ok_or("no change of keys is staged")?;
            let about = stage.plan.about.clone();
            stage.remove()?;
            return place.print(&serde_json::json!({ "dropped": about }), || format!("Taken back: {about}.\n"));
        }
        let ceremony = Ceremony::of(&base.root, &base.targets)?;
        let change = change(arguments, &ceremony)?;
        if arguments.admin.is_some() && change != Change::Online {
            return Err("--admin registers the publisher's own key; it goes with --role online".into());
        }
        let admin = match &arguments.admin {
            Some(path) => Some(admin::read(path, &press.ledger).await?),
            None => None,
        };
        let before = press.work.online()?.id();
        // Nothing is left behind by who says no.
        keys.confirm(&format!("Sign this change? {}", change.about()))?;
        publisher.change_keys(change, &base)?;
        let mut report = Report::default();
        sign::all_staged(&press, &mut report).await?;
        // Releases that wait for signatures are not what this is about.
        report.classes.retain(|outcome| outcome.published);
        let in_force = report.keys.as_ref().is_some_and(|keys| keys.in_force);
        match admin {
            Some(admin) if in_force => admin::hand_over(&press, &before, &admin).await?,
            Some(_) => report.warnings.push(format!(
                "the publisher keeps the key {before} until all have signed; then an admin retires it with `person \
                 retire`, and registers the new one: {}",
                press.work.how_to_register()
            )),
            None => {}
        }
        sign::finish(&press, &arguments.to, report, place).await
    })
}

fn change(arguments: &Arguments, ceremony: &Ceremony) -> Result<Change, Failure> {
    let Some(role) = arguments.role else { return Ok(Change::Renew) };
    let moves = Moves { add: arguments.add.clone(), remove: arguments.remove.clone(), threshold: arguments.threshold };
    let class = match role {
        RoleWord::Root => return Ok(Change::Root(moves.apply("root", Some(&ceremony.root), 1)?)),
        RoleWord::Online | RoleWord::Timestamp | RoleWord::Snapshot => {
            if !moves.add.is_empty() || !moves.remove.is_empty() || moves.threshold.is_some() {
                return Err(
                    "the publisher makes its own key; --add, --remove and --threshold are for the others".into()
                );
            }
            return Ok(Change::Online);
        }
        RoleWord::Legal => Class::Legal,
        RoleWord::Operator => Class::Operator,
        RoleWord::Venue => Class::Venue,
    };
    let start = if class.is_sealed() { 2 } else { 1 };
    Ok(Change::Class(class, moves.apply(class.word(), ceremony.classes.get(&class), start)?))
}
