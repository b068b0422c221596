//! `friendly-blocklist enrol` and `revoke-recipient`: the resolvers that sealed releases are encrypted to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Failure;
use super::place::{Place, now};
use super::screen::{self, Look, cell, marked};
use crate::ledger::date;
use crate::person::PublicKey;
use crate::release::recipients::Recipient;
use crate::release::work::Work;
use crate::report::grouped;

/// How long to wait for another command that is at work.
const PATIENCE: Duration = Duration::from_secs(10);

/// Enrol resolvers: the next release of the sealed list is encrypted to them, too
///
/// `friendly-resolver identity FILE` prints what is wanted of a resolver.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The age recipient of a resolver, age1...
    #[arg(value_name = "RECIPIENT", required_unless_present_any = ["from", "list"])]
    recipient: Option<String>,

    /// The key that it signs its receipts with, 64 hexadecimal digits
    #[arg(long, value_name = "KEY", requires = "recipient")]
    receipt_key: Option<PublicKey>,

    /// Where it stands; published nowhere. With --from, of those who have no note there
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "list")]
    note: String,

    /// Enrol many: lines of RECIPIENT [RECEIPT-KEY [NOTE]], or what `friendly-resolver identity` prints
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipient", "list"])]
    from: Option<PathBuf>,

    /// Show who is enrolled
    #[arg(long, conflicts_with = "recipient")]
    list: bool,

    #[command(flatten)]
    place: Place,
}

/// Revoke a resolver: the next release begins an epoch that is not opened to it
///
/// It cannot come back under the same identity: enrolled again, it needs a new one.
#[derive(Debug, Args)]
pub struct Revocation {
    /// The resolver: its id, or its age recipient
    #[arg(value_name = "RESOLVER")]
    resolver: String,

    /// Do not ask before it is revoked
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    place: Place,
}

/// Runs `enrol`.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = &arguments.place;
    let work = Work::open(&place.work)?;
    if arguments.list {
        return list(&work, place);
    }
    let enrolled_at = now() / 1000;
    let made = |(age, receipt_key, note)| Recipient { age, receipt_key, note, enrolled_at, revoked_at: None };
    let new: Vec<Recipient> = match (&arguments.recipient, &arguments.from) {
        (Some(age), _) => vec![made((age.clone(), arguments.receipt_key, arguments.note.clone()))],
        (None, Some(path)) => {
            let noted =
                |(age, key, note): Line| (age, key, if note.is_empty() { arguments.note.clone() } else { note });
            read(path)?.into_iter().map(noted).map(made).collect()
        }
        (None, None) => Vec::new(),
    };
    let _lock = work.lock(PATIENCE)?;
    let mut recipients = work.recipients()?;
    let mut ids = Vec::new();
    for recipient in new {
        ids.push(recipients.enrol(recipient)?);
    }
    work.keep_recipients(&recipients)?;
    let active = recipients.active().count();
    place.print(&json!({ "enrolled": ids, "active": active }), || {
        let mut text = String::new();
        for id in &ids {
            text += &screen::field("enrolled", id);
        }
        text + &screen::field("in all", &format!("{}; the next release is encrypted to them", grouped(active as u64)))
    })
}

/// Runs `revoke-recipient`.
pub fn revoke(arguments: &Revocation) -> Result<(), Failure> {
    let place = &arguments.place;
    let work = Work::open(&place.work)?;
    let _lock = work.lock(PATIENCE)?;
    let mut recipients = work.recipients()?;
    let id = recipients.revoke(&arguments.resolver, now() / 1000)?;
    let note = recipients.find(&id).map(|recipient| recipient.note.as_str()).unwrap_or_default();
    let about = if note.is_empty() { String::new() } else { format!(" ({note})") };
    let question = format!("Revoke the resolver {id}{about}? It cannot come back with this identity.");
    if !arguments.yes && screen::is_interactive() && !screen::confirm(&question)? {
        return Err("nobody was revoked".into());
    }
    work.keep_recipients(&recipients)?;
    place.print(&json!({ "revoked": id, "active": recipients.active().count() }), || {
        let next = "the next release begins an epoch that is not opened to it: publish one now";
        screen::field("revoked", &id) + &screen::field("", next)
    })
}

/// A resolver of a file: its age recipient, the key of its receipts, a note.
pub(super) type Line = (String, Option<PublicKey>, String);

/// Resolvers from a file.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut found: Vec<Line> = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        let wrong = |why: &str| format!("{}:{number}: {why}; nobody was enrolled", path.display());
        let key = |text: &str| text.parse::<PublicKey>().map_err(wrong);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["resolver", _] => {}
            [word, ..] if word.starts_with('#') => {}
            ["recipient", age] => found.push(((*age).to_owned(), None, String::new())),
            ["receipt", "key", digits] => match found.last_mut() {
                Some(last) => last.1 = Some(key(digits)?),
                None => return Err(wrong("a receipt key without a recipient before it").into()),
            },
            [age, rest @ ..] if age.starts_with("age1") => {
                let receipt_key = rest.first().map(|digits| key(digits)).transpose()?;
                found.push(((*age).to_owned(), receipt_key, rest.get(1..).unwrap_or_default().join(" ")));
            }
            _ => return Err(wrong("not RECIPIENT [RECEIPT-KEY [NOTE]]").into()),
        }
    }
    Ok(found)
}

fn list(work: &Work, place: &Place) -> Result<(), Failure> {
    let recipients = work.recipients()?;
    let value: Vec<_> = recipients.all().iter().map(|recipient| {
        json!({
            "id": recipient.id(), "age": recipient.age, "receipt_key": recipient.receipt_key, "note": recipient.note,
            "enrolled_at": recipient.enrolled_at, "revoked_at": recipient.revoked_at,
        })
    })
    .collect();
    let row = |recipient: &Recipient| {
        let (state, look) = match recipient.revoked_at {
            Some(at) => (format!("revoked {}", date(at)), Look::Faint),
            None => (format!("since {}", date(recipient.enrolled_at)), Look::Plain),
        };
        let receipts = if recipient.receipt_key.is_some() { "yes" } else { "no key" };
        vec![cell(recipient.id()), marked(state, look), cell(receipts), cell(&recipient.note)]
    };
    let rows: Vec<_> = recipients.all().iter().map(row).collect();
    place.print(&value, || screen::table(&["RESOLVER", "", "RECEIPTS", "NOTE"], &rows))
}
