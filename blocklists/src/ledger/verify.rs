//! Walks a ledger from its first entry and names the first one that is broken.
//!
//! [`Auditor`] checks, entry by entry: the number, the hash, the signature of a registered person, the one written form,
//! and that the rules allowed it. [`Ledger::verify`] also compares the tables with what the entries make of them, since
//! lists are made from the tables.
//!
//! What a chain cannot show is that its end was cut off. Whoever notes its [`Head`] from time to time can: the head of a
//! ledger that was only added to is still in it.

use std::fmt;

use thiserror::Error;

use super::books::Books;
use super::event::{Entry, Event};
use super::rules::{Member, Refused};
use super::store::{self, Stored1};
use super::{Head, Ledger, LedgerError};
use crate::person::hex;

/// Entries read at once.
const PAGE: u32 = 1000;

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// In which entry; 0 if it is in the tables beside them.
    pub number: u64,
    /// What.
    pub what: Flaw,
}

/// What is wrong with an entry, or with the tables.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum Flaw {
    #[error("an entry is missing before it")]
    Missing,
    #[error("its hash does not fit it: it, or one before it, was changed")]
    Hash,
    #[error("it is not an entry in the written form")]
    Unreadable,
    #[error("its columns say something else than what was signed")]
    Columns,
    #[error("its signature is not that of {0}")]
    Signature(String),
    #[error("it is against the rules: {0}")]
    Rules(Refused),
    #[error("the ledger no longer holds the noted entry with the hash {0}")]
    Noted(String),
    #[error(
        "the table of {0} says something else than the entries; what the entries say can be put back with `ledger \
         rebuild`, after it is clear who changed the table"
    )]
    Table(String),
    #[error("the file is damaged: {0}")]
    File(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            0 => write!(out, "the ledger is broken: {}", self.what),
            number => write!(out, "entry {number} is broken: {}", self.what),
        }
    }
}

/// Follows a ledger and remembers how far it was found whole, so that a program that runs for long checks each entry
/// once.
#[derive(Clone, Debug, Default)]
pub struct Auditor {
    books: Books,
}

impl Auditor {
    /// Everything that follows from the entries seen so far.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Checks one more entry as it is stored.
    fn follow(&mut self, row: &Stored1) -> Result<(), Flaw> {
        if row.number != self.books.count + 1 {
            return Err(Flaw::Missing);
        }
        if !row.link.holds(&self.books.hash, &row.octets) {
            return Err(Flaw::Hash);
        }
        let entry = Entry::read(&row.octets).ok_or(Flaw::Unreadable)?;
        let (at, kind, case) = &row.repeats;
        let same = *at == entry.at as i64 && kind == entry.event.kind();
        if entry.number != row.number || !same || case.as_deref() != entry.event.case().map(|case| case.as_str()) {
            return Err(Flaw::Columns);
        }
        let key = match &entry.event {
            // The first entry brings the key that signs it.
            Event::Founded { admin, .. } if row.number == 1 => Some(admin.key),
            _ => self.books.members.get(&entry.by).map(|member: &Member| member.key),
        };
        let key = key.ok_or_else(|| Flaw::Rules(Refused::Stranger(entry.by.clone())))?;
        if !row.link.is_signed_by(key, &self.books.hash, &row.octets) {
            return Err(Flaw::Signature(entry.by.to_string()));
        }
        self.books.enter(&entry).map_err(Flaw::Rules)?;
        self.books.hash = row.link.hash;
        Ok(())
    }
}

impl Ledger {
    /// Checks everything: chain, signatures, rules, tables. With the head that was noted earlier, also that the ledger
    /// still holds it. Gives the present head.
    pub async fn verify(&self, noted: Option<&Head>) -> Result<Head, LedgerError> {
        let mut db = self.pool.begin().await.map_err(|error| self.told(error))?;
        let row = sqlx::query_scalar::<_, String>("PRAGMA integrity_check(1)").fetch_one(&mut *db).await;
        let said = row.map_err(|error| self.told(error))?;
        if said != "ok" {
            return Err(self.broken(0, Flaw::File(said)));
        }
        self.follow_all(&mut db, &mut Auditor::default(), noted).await
    }

    /// The same, for a program that does it often: entries that the auditor has seen are not checked again, the tables
    /// are. The chain up to there was looked at when the ledger was opened, and has to end where the auditor left it.
    pub async fn verify_on(&self, auditor: &mut Auditor) -> Result<Head, LedgerError> {
        let mut db = self.pool.begin().await.map_err(|error| self.told(error))?;
        self.follow_all(&mut db, auditor, None).await
    }

    async fn follow_all(
        &self,
        db: &mut sqlx::SqliteConnection,
        auditor: &mut Auditor,
        noted: Option<&Head>,
    ) -> Result<Head, LedgerError> {
        self.walk(db, auditor, noted).await?;
        let tail = store::tail(db).await.map_err(|error| self.told(error))?;
        if (tail.number, tail.hash) != (auditor.books.count, auditor.books.hash) {
            return Err(self.broken(auditor.books.count, Flaw::Hash));
        }
        let told = |error| self.told(error);
        let books = store::books(db).await.map_err(told)?;
        let entered = auditor.books();
        let table = |same: bool, table: &str| {
            if same { Ok(()) } else { Err(self.broken(0, Flaw::Table(table.to_owned()))) }
        };
        table(books.members == entered.members, "people")?;
        if let Some(id) = differing(&books.cases, &entered.cases) {
            table(false, &format!("cases (case {id})"))?;
        }
        table(books.returned == entered.returned, "returned records")?;
        table(books.overrides == entered.overrides, "overrides")?;
        table(books.releases == entered.releases, "releases")?;
        let listings = store::listings(db).await.map_err(told)?;
        let expected = entered.cases.values().flat_map(|case| {
            case.listings.iter().enumerate().map(|(ordinal, listing)| {
                let row = (case.facts.class, listing.from, listing.review_by, listing.until);
                ((case.id.clone(), ordinal as u64), row)
            })
        });
        if let Some((id, _)) = differing(&listings, &expected.collect()) {
            table(false, &format!("listings (case {id})"))?;
        }
        Ok(Head { number: entered.count, hash: entered.hash })
    }

    /// Checks the entries that an auditor has not seen, and gives the present head.
    pub async fn audit(&self, auditor: &mut Auditor) -> Result<Head, LedgerError> {
        let mut db = self.pool.begin().await.map_err(|error| self.told(error))?;
        self.walk(&mut db, auditor, None).await?;
        Ok(Head { number: auditor.books.count, hash: auditor.books.hash })
    }

    /// Builds all tables anew from the entries, after checking these.
    pub async fn rebuild(&self) -> Result<Head, LedgerError> {
        let mut db = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.told(error))?;
        let mut auditor = Auditor::default();
        self.walk(&mut db, &mut auditor, None).await?;
        store::rebuild(&mut db, &auditor.books).await.map_err(|error| self.told(error))?;
        db.commit().await.map_err(|error| self.told(error))?;
        Ok(Head { number: auditor.books.count, hash: auditor.books.hash })
    }

    async fn walk(
        &self,
        db: &mut sqlx::SqliteConnection,
        auditor: &mut Auditor,
        noted: Option<&Head>,
    ) -> Result<(), LedgerError> {
        let mut missed = noted.filter(|noted| noted.number > 0);
        loop {
            let rows = store::entries_after(db, auditor.books.count, PAGE).await.map_err(|error| self.told(error))?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                auditor.follow(row).map_err(|flaw| self.broken(row.number, flaw))?;
                missed = missed.filter(|noted| noted.number != row.number || noted.hash != row.link.hash);
            }
        }
        match missed {
            Some(noted) => Err(self.broken(noted.number, Flaw::Noted(hex(&noted.hash)))),
            None => Ok(()),
        }
    }

    /// Whether the hashes hold on to each other: cheap enough to be done whenever a ledger is opened.
    pub(super) async fn check_chain(&self) -> Result<(), LedgerError> {
        let mut db = self.read().await?;
        let mut last = store::Tail { number: 0, hash: super::event::NOTHING_BEFORE, at: None };
        loop {
            let rows = store::entries_after(&mut db, last.number, PAGE).await.map_err(|error| self.told(error))?;
            for row in &rows {
                if row.number != last.number + 1 {
                    return Err(self.broken(row.number, Flaw::Missing));
                }
                if !row.link.holds(&last.hash, &row.octets) {
                    return Err(self.broken(row.number, Flaw::Hash));
                }
                last = store::Tail { number: row.number, hash: row.link.hash, at: None };
            }
            if rows.is_empty() {
                return Ok(());
            }
        }
    }

    fn broken(&self, number: u64, what: Flaw) -> LedgerError {
        LedgerError::Broken { path: self.path.clone(), broken: Broken { number, what } }
    }
}

/// The first key whose value differs, or that only one of two maps has.
fn differing<K: Ord + Clone, V: PartialEq>(
    one: &std::collections::BTreeMap<K, V>,
    other: &std::collections::BTreeMap<K, V>,
) -> Option<K> {
    let changed = one.iter().find(|(key, value)| other.get(key) != Some(value)).map(|(key, _)| key);
    changed.or_else(|| other.keys().find(|key| !one.contains_key(key))).cloned()
}
