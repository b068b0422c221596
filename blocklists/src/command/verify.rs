//! `friendly-blocklist verify`: a repository as a resolver would see it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use super::place::{Place, block_on};
use super::screen::{self, Look, cell, marked};
use crate::ledger::date;
use crate::release::client::{Client, ClientError};
use crate::release::repository::expiry;
use crate::release::store;
use crate::release::verify::{Verified, verify};
use crate::release::work::Work;
use crate::report::{counted, grouped};

/// Check a repository as a resolver would, from a pinned root
///
/// Checks all signatures, versions and dates, and fetches every file and compares its hash. Where the work directory is
/// at hand, it also opens the sealed list, applies the changes one after the other, and looks for the envelope of each
/// enrolled resolver.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The repository: a directory, s3://BUCKET/PREFIX, or http(s)://...
    #[arg(long, value_name = "PLACE")]
    from: String,

    /// The root that is trusted. Default: the first root of the work directory
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,

    #[command(flatten)]
    place: Place,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = &arguments.place;
    block_on(async {
        let work = match place.work.join("release.toml").exists() {
            true => Some(Work::open(&place.work)?),
            false => None,
        };
        let root = match (&arguments.root, &work) {
            (Some(root), _) => root.clone(),
            (None, Some(work)) => work.metadata().join("1.root.json"),
            (None, None) => return Err("name the root that is trusted with --root FILE".into()),
        };
        let pinned = fs::read(&root).map_err(|error| format!("{}: {error}", root.display()))?;
        let from = &arguments.from;
        if !from.contains("://") && !Path::new(from).is_dir() {
            return Err(format!("{from}: there is no such directory; check the address").into());
        }
        let client =
            Client::open(&pinned, HashMap::new(), store::reader(from)?).await.map_err(|error| match error {
                ClientError::Unreachable(_) => format!("{from}: {error}; check the address, and that its server runs"),
                ClientError::NoRepository(_) => format!("{from}: {error}; check the address"),
                error => format!("{from}: {error}"),
            })?;
        let verified = verify(&client, work.as_ref()).await?;
        place.print(&verified, || text(&client, &verified))
    })
}

fn text(client: &Client, verified: &Verified) -> String {
    let repository = client.repository();
    let timestamp = &repository.timestamp().signed;
    let mut out = screen::title("Repository", "good", Look::Good);
    let expires = date(expiry(timestamp.expires));
    out += &screen::field("root", &format!("version {}", repository.root().signed.version));
    out += &screen::field("timestamp", &format!("version {}, until {expires}", timestamp.version));
    let (files, octets) = (counted(verified.files, "file"), counted(verified.octets, "octet"));
    out += &screen::field("files", &format!("{files} with {octets}, all with the right hash"));
    let mut rows = Vec::new();
    for class in &verified.classes {
        let about = match (class.opened, class.envelopes) {
            (true, Some(envelopes)) => format!("list opened, {}", counted(envelopes, "envelope")),
            (true, None) => "list opened".to_owned(),
            (false, _) => "sealed; its key is in the work directory".to_owned(),
        };
        let epoch = class.epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
        rows.push(vec![
            marked(class.class.word(), Look::Strong),
            cell(class.serial.to_string()),
            cell(epoch),
            cell(grouped(class.entries)),
            cell(class.changes.to_string()),
            cell(about),
        ]);
    }
    out + &screen::table(&["CLASS", "SERIAL", "EPOCH", "ENTRIES", "CHANGES", ""], &rows)
}
