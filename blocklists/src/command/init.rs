//! `friendly-blocklist init`: a repository begins.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use signed_list::release::Class;

use super::Failure;
use super::admin;
use super::place::{Place, block_on, now};
use super::press::{self, Keys, Press};
use super::screen;
use crate::ledger::Ledger;
use crate::person::PublicKey;
use crate::release::ceremony;
use crate::release::outcome::Report;
use crate::release::repository::Holders;
use crate::release::settings::TEMPLATE;
use crate::release::work::Work;

/// The scheme as shipped.
const SCHEME: &str = include_str!("../../../config/scheme/albania.toml");

/// Begin a repository of signed releases in a work directory with a ledger
///
/// Says who holds which role. The first documents come into force when all have signed that have to; whoever is not
/// here signs later with `sign`. Resolvers are installed with the first root, public/metadata/1.root.json.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A holder of the root: an introduction, or its file; several times
    #[arg(long, value_name = "PERSON", required = true, value_parser = press::introduced)]
    root: Vec<PublicKey>,

    /// How many holders of the root have to sign
    #[arg(long, value_name = "N", default_value_t = 2)]
    root_threshold: u64,

    /// Somebody who signs the legal list; several times
    #[arg(long, value_name = "PERSON", value_parser = press::introduced)]
    legal: Vec<PublicKey>,

    /// How many of them have to sign
    #[arg(long, value_name = "N", default_value_t = 2)]
    legal_threshold: u64,

    /// Somebody who signs the operator's list; several times
    #[arg(long, value_name = "PERSON", value_parser = press::introduced)]
    operator: Vec<PublicKey>,

    /// Somebody who signs the lists for venues; several times
    #[arg(long, value_name = "PERSON", value_parser = press::introduced)]
    venue: Vec<PublicKey>,

    /// The scheme profile. Default: the one in the work directory, or that of Albania
    #[arg(long, value_name = "FILE")]
    scheme: Option<PathBuf>,

    /// Where releases go: a directory, or s3://BUCKET/PREFIX; several times
    #[arg(long, value_name = "PLACE")]
    to: Vec<String>,

    /// An admin of the ledger, who registers the publisher's own key there, so that it can note releases
    #[arg(long, value_name = "FILE")]
    admin: Option<PathBuf>,

    #[command(flatten)]
    keys: Keys,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let Arguments { place, keys, .. } = arguments;
        keys.people()?;
        let mut classes = BTreeMap::new();
        for (class, given, threshold) in [
            (Class::Legal, &arguments.legal, arguments.legal_threshold),
            (Class::Operator, &arguments.operator, 1),
            (Class::Venue, &arguments.venue, 1),
        ] {
            if !given.is_empty() {
                classes.insert(class, holders(class.word(), given, threshold)?);
            }
        }
        if classes.is_empty() {
            return Err("nobody would sign any list: name people with --legal, --operator or --venue".into());
        }
        ceremony::check_classes(&classes)?;
        let root = holders("root", &arguments.root, arguments.root_threshold)?;
        // A ledger that cannot be opened, or an admin who is none, is told before anything is made.
        let ledger = Ledger::open(&place.ledger()).await?;
        let admin = match &arguments.admin {
            Some(path) => Some(admin::read(path, &ledger).await?),
            None => None,
        };
        let all_needed = root.threshold == root.keys.len() as u64;
        if !keys.key.is_empty() {
            let about = format!("{} keys of the root, {} of them sign", root.keys.len(), root.threshold);
            keys.confirm(&format!("Begin this repository and sign its first documents ({about})?"))?;
        }

        let scheme = match &arguments.scheme {
            Some(path) => Some(fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?),
            None if place.work.join("scheme.toml").exists() => None,
            None => Some(SCHEME.to_owned()),
        };
        let work = Work::create(&place.work, scheme.as_deref(), &settings(&arguments.to)?)?;
        if let Some(admin) = admin {
            admin::register(&ledger, &work.make_online()?, &admin).await?;
        }
        ledger.close().await;
        // The last step: what comes before it is done again when it was interrupted.
        ceremony::begin(&work, root, classes, now() / 1000)?;

        let press = Press::open(place, keys).await?;
        let mut report = Report::default();
        if all_needed {
            report.warnings.push(
                "all keys of the root are needed whenever keys change: if one is lost, no key can ever be changed again. \
                 Take three, so that one may be lost: `rotate-key --role root --add PERSON`"
                    .to_owned(),
            );
        }
        super::sign::all_staged(&press, &mut report).await?;
        if report.timestamp.is_some() {
            press.publisher().copy(&press.destinations(&[])?, &mut report).await?;
        }
        let online = press.work.online()?;
        let names = press.names().await?;
        place.print(&report, || {
            let mut text = press::text(&report, &names);
            text += &screen::field("first root", &work.metadata().join("1.root.json").display().to_string());
            text += &screen::field("publisher", &format!("{} (its own key, in online.pem)", online.id()));
            text
        })?;
        press::warn(place, &report);
        Ok(())
    })
}

fn holders(role: &str, keys: &[PublicKey], threshold: u64) -> Result<Holders, Failure> {
    let count = keys.len();
    Holders::new(keys.to_vec(), threshold).ok_or_else(|| {
        format!("{role}: {threshold} of {count} keys would have to sign, each of them named once; that cannot be")
            .into()
    })
}

/// The settings that are shipped, with the places where releases go.
fn settings(to: &[String]) -> Result<String, Failure> {
    let mut places = Vec::new();
    for place in to {
        // A path is of where the user is; the file is read from anywhere.
        let absolute =
            if place.contains("://") { place.clone() } else { std::path::absolute(place)?.display().to_string() };
        places.push(serde_json::to_string(&absolute)?);
    }
    Ok(TEMPLATE.replacen("to = []", &format!("to = [{}]", places.join(", ")), 1))
}
