//! The ledger: who decided what, when, on which legal ground, and until when.
//!
//! It is a chain of signed entries in one SQLite file. An entry says one thing that happened ([`event`]); its hash
//! covers the hash of the entry before, and a person's key signs the same octets. Nothing is changed or deleted. What
//! follows from the entries - cases, people, releases - is kept in tables beside them, written in the same transaction,
//! and can be built anew from the entries at any time.
//!
//! | module | what it does |
//! |---|---|
//! | [`event`] | what can happen, and the octets that are signed |
//! | [`words`] | the few texts that may enter, and what they may not hold |
//! | [`case`] | a case and where it stands at a given time |
//! | [`rules`] | **who may do what**: pure, asked before each entry and again when the ledger is verified |
//! | [`books`] | everything that follows from the entries, in memory |
//! | [`neighbours`] | other cases about the same name, or about one above or below it |
//! | [`desk`] | what takes more than one entry: a file of records, a review |
//! | [`verify`] | walks the chain and names the first entry that is broken |
//! | `store` | the tables |
//!
//! [`Ledger::append`] and its two companions are the only writers. Time is always given by the caller.
//!
//! Two programs may use a ledger at once: a writer takes the database for itself before it reads where the chain ends,
//! so the chain cannot fork. A program that is killed, or a disk that is full, leaves the chain as it was or one entry
//! longer.

pub mod books;
pub mod case;
pub mod desk;
pub mod event;
pub mod neighbours;
pub mod rules;
mod store;
pub mod verify;
pub mod words;

use std::collections::HashSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::release::Class;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqlSafeStr, Sqlite, SqliteConnection, Transaction};
use thiserror::Error;

use crate::person::{Person, PersonId};
use case::Case;
use event::{Entry, Event, Link, ReleaseRecord, VERSION};
use rules::{Change, Member, Override, Refused, Returned, counted, decide};
use store::Tail;
use words::{CaseId, Label, Remark, Word};

/// Seconds since 1970 in UTC.
pub type UnixSeconds = u64;
/// Milliseconds since 1970 in UTC.
pub type UnixMillis = u64;

/// How long a writer waits for another one.
const BUSY: Duration = Duration::from_secs(10);
/// The tables, in the order in which they came to be. A number is never changed once it was shipped.
const MIGRATIONS: [(i64, &str, &str); 1] = [(1, "ledger", include_str!("../migrations/0001_ledger.sql"))];

/// An open ledger. Cheap to share by reference; each call is a transaction of its own.
pub struct Ledger {
    pool: SqlitePool,
    path: PathBuf,
}

/// Why the ledger did not do what was asked.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum LedgerError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{}: there is no ledger; begin one with `friendly-blocklist ledger init`, or name another place with --work", .0.display())]
    Absent(PathBuf),
    #[error("{}: there is a ledger already; nothing was changed", .0.display())]
    Exists(PathBuf),
    #[error("{}: the ledger cannot be opened: {error}", path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("{}: the ledger was made by a newer version of this program; nothing was changed", .0.display())]
    Newer(PathBuf),
    #[error("{}: another program holds the ledger; nothing was written, try again", .0.display())]
    Locked(PathBuf),
    #[error("{}: the disk is full; nothing was written: make room and try again", .0.display())]
    Full(PathBuf),
    #[error("{}: the ledger cannot be written ({what}); nothing was lost: check the disk and the owner of the file", path.display())]
    NotWritable { path: PathBuf, what: String },
    #[error(
        "{}: the file is damaged ({what}); stop writing to it and go back to the last copy of it that verifies", path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error("{}: {broken}; compare it with a copy, and do not release from it", path.display())]
    Broken { path: PathBuf, broken: verify::Broken },
    #[error("case {0} has changed since it was shown; look at it again")]
    Changed(CaseId),
    #[error("{}: {error}", path.display())]
    Database { path: PathBuf, error: sqlx::Error },
}

/// An entry of a list, with what a release needs to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// The case behind it.
    pub case: String,
    /// What is blocked.
    pub name: Name,
    /// With or without what lies below.
    pub scope: Scope,
    /// Its category, a word of the scheme.
    pub category: String,
    /// When it was listed.
    pub listed_at: UnixSeconds,
    /// The same, to the millisecond: what the time to block is measured from.
    pub decided_at_ms: UnixMillis,
    /// When it ends by itself.
    pub review_by: UnixSeconds,
}

/// The end of a chain: whoever noted it can tell later that nothing before it was changed or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub number: u64,
    /// Hash of the last one.
    pub hash: [u8; 32],
}

impl Ledger {
    /// Begins a ledger; the founder becomes its first admin. Makes the directory if there is none, for nobody else to
    /// look into.
    pub async fn create(
        path: &Path,
        founder: &Person,
        label: &Label,
        scheme: &Word,
        at: UnixMillis,
    ) -> Result<Ledger, LedgerError> {
        let failed = |error| LedgerError::Open { path: path.to_owned(), error };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        // The file exists with its mode before SQLite writes to it; its companions get the same mode.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let ledger = Ledger::connect(path, BUSY).await?;
        ledger.migrate().await?;
        // One that was killed right here left a file without entries: this goes on where that one ended.
        let admin = event::Key::from(&founder.introduction());
        let founded = Event::Founded { scheme: scheme.clone(), admin, label: label.clone() };
        match ledger.append(founded, founder, at).await {
            Ok(_) => Ok(ledger),
            Err(LedgerError::Refused(Refused::Begun)) => Err(LedgerError::Exists(path.to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Opens a ledger, and checks that this program can read it and that its chain has no gap. Signatures and rules
    /// take longer: [`Ledger::verify`] checks those too.
    pub async fn open(path: &Path) -> Result<Ledger, LedgerError> {
        Ledger::open_within(path, BUSY).await
    }

    /// The same, with another time to wait for a writer.
    pub async fn open_within(path: &Path, patience: Duration) -> Result<Ledger, LedgerError> {
        let about = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LedgerError::Absent(path.to_owned()),
            _ => LedgerError::Open { path: path.to_owned(), error },
        })?;
        if about.len() == 0 {
            return Err(LedgerError::Absent(path.to_owned()));
        }
        let ledger = Ledger::connect(path, patience).await?;
        ledger.migrate().await?;
        ledger.check_chain().await?;
        Ok(ledger)
    }

    async fn connect(path: &Path, patience: Duration) -> Result<Ledger, LedgerError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            // Readers go on while somebody writes, and a crash at any moment leaves whole transactions.
            .journal_mode(SqliteJournalMode::Wal)
            // A decision that was reported as taken survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON")
            // Rows come from a thread of their own, through a channel. With few places in it, both threads wake each
            // other for every few rows, and that is most of the time in which a large ledger is read.
            .row_buffer_size(4096)
            // Cases are looked up in the order of their ids: 64 MiB, in KiB and negative as SQLite wants it.
            .pragma("cache_size", "-65536")
            .busy_timeout(patience);
        let pool =
            SqlitePoolOptions::new().max_connections(4).acquire_timeout(2 * patience).connect_with(options).await;
        let pool = pool.map_err(|error| told(path, error))?;
        Ok(Ledger { pool, path: path.to_owned() })
    }

    /// Brings the tables to the newest form.
    async fn migrate(&self) -> Result<(), LedgerError> {
        let mut db = self.read().await?;
        let table = "SELECT count(*) AS n FROM sqlite_schema WHERE name = '_sqlx_migrations'";
        let row = sqlx::query(table).fetch_one(&mut *db).await.map_err(|error| self.told(error))?;
        let mut version = 0;
        if row.try_get::<i64, _>("n").map_err(|error| self.told(error))? > 0 {
            let newest = "SELECT max(version) AS version FROM _sqlx_migrations";
            let row = sqlx::query(newest).fetch_one(&mut *db).await.map_err(|error| self.told(error))?;
            version = row.try_get::<Option<i64>, _>("version").map_err(|error| self.told(error))?.unwrap_or(0);
        }
        drop(db);
        let newest = MIGRATIONS.iter().map(|(number, ..)| *number).max().unwrap_or(0);
        match version.cmp(&newest) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(LedgerError::Newer(self.path.clone())),
            std::cmp::Ordering::Less => {
                let migrations = MIGRATIONS.map(|(number, about, sql)| {
                    Migration::new(number, about.into(), MigrationType::Simple, sql.into_sql_str(), false)
                });
                let migrator = Migrator::with_migrations(migrations.into());
                let done = migrator.run(&self.pool).await;
                done.map_err(|error| self.told(sqlx::Error::Migrate(Box::new(error))))
            }
        }
    }

    /// Closes the file in good order. Without it nothing is lost; the file beside it is only taken in later.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one entry, signed by a person, and gives its number.
    pub async fn append(&self, event: Event, person: &Person, at: UnixMillis) -> Result<u64, LedgerError> {
        self.append_if(event, None, person, at).await
    }

    /// The same, if nothing has happened to the case since its entry `seen`: who decides has looked at what is decided.
    pub async fn append_seen(
        &self,
        event: Event,
        seen: u64,
        person: &Person,
        at: UnixMillis,
    ) -> Result<u64, LedgerError> {
        self.append_if(event, Some(seen), person, at).await
    }

    async fn append_if(
        &self,
        event: Event,
        seen: Option<u64>,
        person: &Person,
        at: UnixMillis,
    ) -> Result<u64, LedgerError> {
        let mut writer = self.writer().await?;
        if let (Some(seen), Some(id)) = (seen, event.case()) {
            writer.case_as_seen(id, seen).await?;
        }
        let number = writer.enter(event, person, at).await?;
        writer.commit().await?;
        Ok(number)
    }

    /// Writes several entries in one transaction. What the rules refuse is left out; everything else is written, or
    /// nothing at all.
    pub async fn append_all(
        &self,
        events: Vec<Event>,
        person: &Person,
        at: UnixMillis,
    ) -> Result<Vec<Result<u64, Refused>>, LedgerError> {
        let mut writer = self.writer().await?;
        let mut done = Vec::with_capacity(events.len());
        for event in events {
            done.push(match writer.enter(event, person, at).await {
                Ok(number) => Ok(number),
                Err(LedgerError::Refused(refused)) => Err(refused),
                Err(error) => return Err(error),
            });
        }
        writer.commit().await?;
        Ok(done)
    }

    async fn writer(&self) -> Result<Writer<'_>, LedgerError> {
        // IMMEDIATE takes the right to write before the end of the chain is read: two writers that had read the same
        // end would fork it.
        let mut db = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.told(error))?;
        let tail = store::tail(&mut db).await.map_err(|error| self.told(error))?;
        Ok(Writer { ledger: self, db, tail })
    }

    async fn read(&self) -> Result<sqlx::pool::PoolConnection<Sqlite>, LedgerError> {
        self.pool.acquire().await.map_err(|error| self.told(error))
    }

    /// What is legally in force at a time, now or in the past: listed, not expired, not delisted. By case.
    ///
    /// Decisions are taken in milliseconds; all of those of the second `t` count.
    pub async fn entries_at(&self, class: Class, t: UnixSeconds) -> Result<Vec<ListedEntry>, LedgerError> {
        let mut db = self.read().await?;
        let found = store::in_force(&mut db, class, end_of(t)).await.map_err(|error| self.told(error))?;
        let entry = |(case, ordinal): (Case, usize)| {
            let listing = case.listings.get(ordinal)?;
            Some(ListedEntry {
                listed_at: listing.from / 1000,
                decided_at_ms: listing.from,
                review_by: listing.review_by,
                case: case.id.as_str().to_owned(),
                name: case.facts.name,
                scope: case.facts.scope,
                category: case.facts.category.as_str().to_owned(),
            })
        };
        Ok(found.into_iter().filter_map(entry).collect())
    }

    /// Names that people took off the list of a class up to a time, other than those that were gone at their source: no
    /// public list brings them back. A name that was listed again since is not among them.
    pub async fn taken_off_at(&self, class: Class, t: UnixSeconds) -> Result<Vec<Name>, LedgerError> {
        let mut db = self.read().await?;
        let cases = store::taken_off(&mut db, class, end_of(t)).await.map_err(|error| self.told(error))?;
        if cases.is_empty() {
            return Ok(Vec::new());
        }
        let listed = store::in_force(&mut db, class, end_of(t)).await.map_err(|error| self.told(error))?;
        let listed: HashSet<Name> = listed.into_iter().map(|(case, _)| case.facts.name).collect();
        let names = cases.into_iter().map(|case| case.facts.name);
        Ok(names.filter(|name| !listed.contains(name)).collect())
    }

    /// When people changed the list of a class: moments after `after` and up to `until`, ascending. What expired by
    /// itself is no decision.
    pub async fn decisions_between(
        &self,
        class: Class,
        after: UnixMillis,
        until: UnixMillis,
    ) -> Result<Vec<UnixMillis>, LedgerError> {
        let mut db = self.read().await?;
        store::decisions(&mut db, class, after, until).await.map_err(|error| self.told(error))
    }

    /// Whether there is an entry after that number which may change a list or let a release pass. By number and not by
    /// time: an entry can be written a moment after the one that it names.
    pub async fn has_decided(&self, after: u64) -> Result<bool, LedgerError> {
        let mut db = self.read().await?;
        store::has_decided(&mut db, after).await.map_err(|error| self.told(error))
    }

    /// Notes a release.
    pub async fn record_release(
        &self,
        release: ReleaseRecord,
        person: &Person,
        at: UnixMillis,
    ) -> Result<u64, LedgerError> {
        self.append(Event::Released { release }, person, at).await
    }

    /// Releases of a class, oldest first.
    pub async fn releases(&self, class: Class) -> Result<Vec<ReleaseRecord>, LedgerError> {
        let mut db = self.read().await?;
        store::releases(&mut db, Some(class), false).await.map_err(|error| self.told(error))
    }

    /// The newest release of a class.
    pub async fn newest_release(&self, class: Class) -> Result<Option<ReleaseRecord>, LedgerError> {
        let mut db = self.read().await?;
        Ok(store::releases(&mut db, Some(class), true).await.map_err(|error| self.told(error))?.pop())
    }

    /// Asks to let exactly this release pass, which the guard holds.
    pub async fn request_override(
        &self,
        class: Class,
        hash: [u8; 32],
        reason: Remark,
        person: &Person,
        at: UnixMillis,
    ) -> Result<u64, LedgerError> {
        self.append(Event::OverrideRequested { class, hash, reason }, person, at).await
    }

    /// Agrees to that; somebody else than who asked.
    pub async fn approve_override(
        &self,
        class: Class,
        hash: [u8; 32],
        reason: Remark,
        person: &Person,
        at: UnixMillis,
    ) -> Result<u64, LedgerError> {
        self.append(Event::OverrideApproved { class, hash, reason }, person, at).await
    }

    /// What was said about a release that the guard holds; it may pass when [`Override::approved`] is there.
    pub async fn overriding(&self, class: Class, hash: &[u8; 32]) -> Result<Option<Override>, LedgerError> {
        let mut db = self.read().await?;
        store::overriding(&mut db, class, hash).await.map_err(|error| self.told(error))
    }

    /// A case.
    pub async fn case(&self, id: &CaseId) -> Result<Option<Case>, LedgerError> {
        let mut db = self.read().await?;
        store::case(&mut db, id).await.map_err(|error| self.told(error))
    }

    /// A case that somebody wants to decide; where there is none, why not.
    pub async fn find(&self, id: &CaseId) -> Result<Case, LedgerError> {
        if let Some(case) = self.case(id).await? {
            return Ok(case);
        }
        Err(match self.returned(id).await? {
            Some(Returned { case, ground, at, .. }) => Refused::WentBack { case, ground, at }.into(),
            None => Refused::NoCase(id.clone()).into(),
        })
    }

    /// All cases, by their ids.
    pub async fn cases(&self) -> Result<Vec<Case>, LedgerError> {
        let mut db = self.read().await?;
        Ok(store::cases(&mut db).await.map_err(|error| self.told(error))?.into_values().collect())
    }

    /// The same, without approvals that count no longer at a time, such as those of keys that were retired.
    pub async fn cases_counted(&self, at: UnixMillis) -> Result<Vec<Case>, LedgerError> {
        let (cases, members) = (self.cases().await?, self.members().await?);
        Ok(cases.into_iter().map(|case| counted(case, &members, at)).collect())
    }

    /// A record that went back to the hotline.
    pub async fn returned(&self, id: &CaseId) -> Result<Option<Returned>, LedgerError> {
        let mut db = self.read().await?;
        store::returned(&mut db, id).await.map_err(|error| self.told(error))
    }

    /// All records that went back, by their ids.
    pub async fn all_returned(&self) -> Result<Vec<Returned>, LedgerError> {
        let mut db = self.read().await?;
        Ok(store::all_returned(&mut db).await.map_err(|error| self.told(error))?.into_values().collect())
    }

    /// Everything that happened to a case, oldest first.
    pub async fn history(&self, id: &CaseId) -> Result<Vec<Entry>, LedgerError> {
        let mut db = self.read().await?;
        let rows = store::entries_of(&mut db, id).await.map_err(|error| self.told(error))?;
        let read = |row: store::Stored1| {
            let broken = verify::Broken { number: row.number, what: verify::Flaw::Unreadable };
            Entry::read(&row.octets).ok_or_else(|| LedgerError::Broken { path: self.path.clone(), broken })
        };
        rows.into_iter().map(read).collect()
    }

    /// Everybody who is or was registered, by their ids.
    pub async fn members(&self) -> Result<Vec<Member>, LedgerError> {
        let mut db = self.read().await?;
        Ok(store::members(&mut db).await.map_err(|error| self.told(error))?.into_values().collect())
    }

    /// Somebody who is or was registered.
    pub async fn member(&self, id: &PersonId) -> Result<Option<Member>, LedgerError> {
        let mut db = self.read().await?;
        store::member(&mut db, id).await.map_err(|error| self.told(error))
    }

    /// The end of the chain.
    pub async fn head(&self) -> Result<Head, LedgerError> {
        let mut db = self.read().await?;
        let tail = store::tail(&mut db).await.map_err(|error| self.told(error))?;
        Ok(Head { number: tail.number, hash: tail.hash })
    }

    /// When its last entry was made.
    pub async fn last_at(&self) -> Result<Option<UnixMillis>, LedgerError> {
        let mut db = self.read().await?;
        Ok(store::tail(&mut db).await.map_err(|error| self.told(error))?.at)
    }

    fn told(&self, error: sqlx::Error) -> LedgerError {
        told(&self.path, error)
    }
}

/// The last millisecond of a second.
fn end_of(t: UnixSeconds) -> UnixMillis {
    t.saturating_mul(1000).saturating_add(999)
}

/// The right to write, and where the chain ends. Dropped without [`Writer::commit`], nothing has happened.
struct Writer<'a> {
    ledger: &'a Ledger,
    db: Transaction<'static, Sqlite>,
    tail: Tail,
}

impl Writer<'_> {
    /// Asks the rules, signs, and puts entry and consequences into the tables.
    async fn enter(&mut self, event: Event, person: &Person, at: UnixMillis) -> Result<u64, LedgerError> {
        let entry = Entry { version: VERSION, number: self.tail.number + 1, at, by: person.id(), event };
        let db: &mut SqliteConnection = &mut self.db;
        let told = |error| told(&self.ledger.path, error);
        let before = store::before(db, &entry, self.tail.at).await.map_err(told)?;
        let change: Change = decide(&entry, before)?;
        let octets = entry.octets();
        let link = Link::sign(&self.tail.hash, &octets, person);
        store::insert(db, &entry, &octets, &link).await.map_err(told)?;
        store::apply(db, &change).await.map_err(told)?;
        self.tail = Tail { number: entry.number, hash: link.hash, at: Some(at) };
        Ok(entry.number)
    }

    /// The case, if nothing has happened to it since its entry `seen`.
    async fn case_as_seen(&mut self, id: &CaseId, seen: u64) -> Result<Option<Case>, LedgerError> {
        let case = self.case(id).await?;
        match case {
            Some(case) if case.last != seen => Err(LedgerError::Changed(id.clone())),
            case => Ok(case),
        }
    }

    async fn case(&mut self, id: &CaseId) -> Result<Option<Case>, LedgerError> {
        store::case(&mut self.db, id).await.map_err(|error| told(&self.ledger.path, error))
    }

    async fn returned(&mut self, id: &CaseId) -> Result<Option<Returned>, LedgerError> {
        store::returned(&mut self.db, id).await.map_err(|error| told(&self.ledger.path, error))
    }

    async fn commit(self) -> Result<(), LedgerError> {
        self.db.commit().await.map_err(|error| told(&self.ledger.path, error))
    }
}

/// What the database says, in words for those who have to do something about it.
fn told(path: &Path, error: sqlx::Error) -> LedgerError {
    let path = path.to_owned();
    let what = error.to_string();
    let code = match &error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
        sqlx::Error::Migrate(error) => match &**error {
            sqlx::migrate::MigrateError::Execute(sqlx::Error::Database(error))
            | sqlx::migrate::MigrateError::ExecuteMigration(sqlx::Error::Database(error), _) => {
                error.code().and_then(|code| code.parse::<i32>().ok())
            }
            _ => None,
        },
        sqlx::Error::PoolTimedOut => return LedgerError::Locked(path),
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => return LedgerError::Damaged { path, what },
        _ => None,
    };
    // The lower octet is the class of an error (https://sqlite.org/rescode.html).
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => LedgerError::Locked(path),
        Some(13) => LedgerError::Full(path),
        Some(8 | 10 | 14 | 23) => LedgerError::NotWritable { path, what },
        Some(11 | 26) => LedgerError::Damaged { path, what },
        _ => LedgerError::Database { path, error },
    }
}

/// A day, as people write it.
pub fn date(t: UnixSeconds) -> String {
    moment(t).map_or_else(|| format!("second {t}"), |moment| moment.strftime("%Y-%m-%d").to_string())
}

/// A minute in UTC, as people write it.
pub fn minute(t: UnixSeconds) -> String {
    moment(t).map_or_else(|| format!("second {t}"), |moment| moment.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn moment(t: UnixSeconds) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(i64::try_from(t).ok()?).ok()
}
