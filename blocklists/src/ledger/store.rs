//! The tables, and nothing but the tables: rows to values and back. What is allowed is decided in [`super::rules`].

use std::collections::BTreeMap;

use signed_list::release::Class;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::books::{About, Books};
use super::case::{Act, Case, State};
use super::event::{Entry, Link, NOTHING_BEFORE, ReleaseRecord, Role};
use super::rules::{Before, Change, Member, Override, Returned, correct};
use super::words::CaseId;
use super::{UnixMillis, UnixSeconds};
use crate::person::{PersonId, PublicKey, hex};

/// What goes wrong here: the database itself, or a row that is not what was written.
pub(super) type Stored<T> = Result<T, sqlx::Error>;

/// The end of the chain.
pub(super) struct Tail {
    pub(super) number: u64,
    pub(super) hash: [u8; 32],
    pub(super) at: Option<UnixMillis>,
}

/// One entry as it is stored.
pub(super) struct Stored1 {
    pub(super) number: u64,
    pub(super) octets: Vec<u8>,
    pub(super) link: Link,
    /// Columns that repeat what the octets say.
    pub(super) repeats: (i64, String, Option<String>),
}

/// A value that SQLite cannot hold is a mistake nobody can make by hand: no count and no time comes near it.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn wrong(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} is not what was written").into())
}

fn uint(row: &SqliteRow, column: &str) -> Stored<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| wrong(column))
}

fn maybe_uint(row: &SqliteRow, column: &str) -> Stored<Option<u64>> {
    row.try_get::<Option<i64>, _>(column)?.map(|value| u64::try_from(value).map_err(|_| wrong(column))).transpose()
}

fn octets<const N: usize>(row: &SqliteRow, column: &str) -> Stored<[u8; N]> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|_| wrong(column))
}

fn parsed<T: std::str::FromStr>(row: &SqliteRow, column: &str) -> Stored<T> {
    row.try_get::<&str, _>(column)?.parse().map_err(|_| wrong(column))
}

fn class(row: &SqliteRow) -> Stored<Class> {
    Class::of_word(row.try_get("class")?).ok_or_else(|| wrong("class"))
}

fn maybe_act(row: &SqliteRow, by: &str, at: &str) -> Stored<Option<Act>> {
    let Some(id) = row.try_get::<Option<&str>, _>(by)? else { return Ok(None) };
    let by = id.parse().map_err(|_| wrong(by))?;
    Ok(Some(Act { by, at: uint(row, at)? }))
}

pub(super) async fn tail(db: &mut SqliteConnection) -> Stored<Tail> {
    let row =
        sqlx::query("SELECT number, hash, at FROM entries ORDER BY number DESC LIMIT 1").fetch_optional(db).await?;
    match row {
        None => Ok(Tail { number: 0, hash: NOTHING_BEFORE, at: None }),
        Some(row) => {
            Ok(Tail { number: uint(&row, "number")?, hash: octets(&row, "hash")?, at: Some(uint(&row, "at")?) })
        }
    }
}

/// Some entries after `number`, in order.
pub(super) async fn entries_after(db: &mut SqliteConnection, number: u64, limit: u32) -> Stored<Vec<Stored1>> {
    let query = "SELECT * FROM entries WHERE number > ? ORDER BY number LIMIT ?";
    let rows = sqlx::query(query).bind(int(number)).bind(limit).fetch_all(db).await?;
    rows.iter().map(entry_row).collect()
}

/// All entries about a case, in order.
pub(super) async fn entries_of(db: &mut SqliteConnection, case: &CaseId) -> Stored<Vec<Stored1>> {
    let query = "SELECT * FROM entries WHERE case_id = ? ORDER BY number";
    let rows = sqlx::query(query).bind(case.as_str()).fetch_all(db).await?;
    rows.iter().map(entry_row).collect()
}

fn entry_row(row: &SqliteRow) -> Stored<Stored1> {
    let link = Link { hash: octets(row, "hash")?, signature: octets(row, "signature")? };
    let repeats = (row.try_get("at")?, row.try_get("kind")?, row.try_get("case_id")?);
    Ok(Stored1 { number: uint(row, "number")?, octets: row.try_get("octets")?, link, repeats })
}

pub(super) async fn insert(db: &mut SqliteConnection, entry: &Entry, octets: &[u8], link: &Link) -> Stored<()> {
    sqlx::query("INSERT INTO entries (number, octets, hash, signature, at, kind, case_id) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(int(entry.number))
        .bind(octets)
        .bind(&link.hash[..])
        .bind(&link.signature[..])
        .bind(int(entry.at))
        .bind(entry.event.kind())
        .bind(entry.event.case().map(CaseId::as_str))
        .execute(db)
        .await
        .map(drop)
}

/// What the rules look at before an entry.
pub(super) async fn before(db: &mut SqliteConnection, entry: &Entry, last_at: Option<UnixMillis>) -> Stored<Before> {
    let about = About::of(&entry.event);
    let mut before = Before { last_at, signer: member(db, &entry.by).await?, ..Before::default() };
    if let Some(id) = about.case {
        before.case = case(db, id).await?;
        before.returned = returned(db, id).await?;
    }
    let held = before.case.iter().flat_map(|case| &case.approvals).map(|approval| approval.by.clone());
    for id in held.chain(about.person.clone()).collect::<Vec<_>>() {
        before.people.extend(member(db, &id).await?);
    }
    if let Some(label) = about.label {
        let query = "SELECT id FROM members WHERE label = ? AND retired_at IS NULL AND id IS NOT ? LIMIT 1";
        let own = about.person.as_ref().map(PersonId::as_str);
        let row = sqlx::query(query).bind(label.as_str()).bind(own).fetch_optional(&mut *db).await?;
        before.namesake = row.map(|row| parsed(&row, "id")).transpose()?;
    }
    if about.person.is_some() {
        let members = members(db).await?;
        before.admins = members.values().filter(|member| member.is(Role::Admin)).count() as u64;
    }
    if let Some(class) = about.class {
        before.release = releases(db, Some(class), true).await?.pop();
    }
    if let Some((class, hash)) = about.hash {
        before.overriding = overriding(db, class, hash).await?;
    }
    Ok(before)
}

/// Makes the tables say what an entry made of them.
pub(super) async fn apply(db: &mut SqliteConnection, change: &Change) -> Stored<()> {
    match change {
        Change::Member(member) => put_member(db, member).await,
        Change::Case(case) => {
            // A record that went back may come in after all, with the attestation that it lacked.
            sqlx::query("DELETE FROM returned WHERE case_id = ?").bind(case.id.as_str()).execute(&mut *db).await?;
            put_case(db, case).await
        }
        Change::Returned(returned) => put_returned(db, returned).await,
        Change::Override(said) => put_override(db, said).await,
        Change::Release(release) => put_release(db, release).await,
        Change::Clock(now) => {
            for mut case in cases(db).await?.into_values() {
                correct(&mut case, *now);
                put_case(db, &case).await?;
            }
            Ok(())
        }
    }
}

/// Empties all tables that follow from the entries, and fills them anew.
pub(super) async fn rebuild(db: &mut SqliteConnection, books: &Books) -> Stored<()> {
    for statement in [
        "DELETE FROM members",
        "DELETE FROM cases",
        "DELETE FROM listings",
        "DELETE FROM returned",
        "DELETE FROM overrides",
        "DELETE FROM releases",
    ] {
        sqlx::query(statement).execute(&mut *db).await?;
    }
    for member in books.members.values() {
        put_member(db, member).await?;
    }
    for case in books.cases.values() {
        put_case(db, case).await?;
    }
    for returned in books.returned.values() {
        put_returned(db, returned).await?;
    }
    for said in books.overrides.values() {
        put_override(db, said).await?;
    }
    for release in books.releases.values() {
        put_release(db, release).await?;
    }
    Ok(())
}

pub(super) async fn member(db: &mut SqliteConnection, id: &PersonId) -> Stored<Option<Member>> {
    let row = sqlx::query("SELECT * FROM members WHERE id = ?").bind(id.as_str()).fetch_optional(db).await?;
    row.as_ref().map(member_row).transpose()
}

pub(super) async fn members(db: &mut SqliteConnection) -> Stored<BTreeMap<PersonId, Member>> {
    let rows = sqlx::query("SELECT * FROM members").fetch_all(db).await?;
    rows.iter().map(|row| Ok((parsed(row, "id")?, member_row(row)?))).collect()
}

fn member_row(row: &SqliteRow) -> Stored<Member> {
    let key: PublicKey = hex(row.try_get("key")?).parse().map_err(|_| wrong("key"))?;
    let words: &str = row.try_get("roles")?;
    let roles: Option<Vec<Role>> = words.split(',').map(Role::of_word).collect();
    Ok(Member {
        key,
        label: parsed(row, "label")?,
        roles: roles.ok_or_else(|| wrong("roles"))?,
        added: Act { by: parsed(row, "added_by")?, at: uint(row, "added_at")? },
        retired: maybe_act(row, "retired_by", "retired_at")?,
    })
}

async fn put_member(db: &mut SqliteConnection, member: &Member) -> Stored<()> {
    let roles = member.roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(",");
    sqlx::query("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(member.id().as_str())
        .bind(&member.key.as_octets()[..])
        .bind(member.label.as_str())
        .bind(roles)
        .bind(member.added.by.as_str())
        .bind(int(member.added.at))
        .bind(member.retired.as_ref().map(|act| act.by.as_str()))
        .bind(member.retired.as_ref().map(|act| int(act.at)))
        .execute(db)
        .await
        .map(drop)
}

pub(super) async fn case(db: &mut SqliteConnection, id: &CaseId) -> Stored<Option<Case>> {
    let row = sqlx::query("SELECT body FROM cases WHERE id = ?").bind(id.as_str()).fetch_optional(db).await?;
    row.as_ref().map(case_row).transpose()
}

pub(super) async fn cases(db: &mut SqliteConnection) -> Stored<BTreeMap<CaseId, Case>> {
    let rows = sqlx::query("SELECT body FROM cases").fetch_all(db).await?;
    rows.iter().map(|row| case_row(row).map(|case| (case.id.clone(), case))).collect()
}

fn case_row(row: &SqliteRow) -> Stored<Case> {
    serde_json::from_str(row.try_get("body")?).map_err(|_| wrong("body"))
}

async fn put_case(db: &mut SqliteConnection, case: &Case) -> Stored<()> {
    let body = serde_json::to_string(case).map_err(|_| wrong("body"))?;
    sqlx::query("INSERT OR REPLACE INTO cases VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(case.id.as_str())
        .bind(case.facts.class.word())
        .bind(case.state.word())
        .bind(case.unreviewed)
        .bind(case.open_appeal().map(|appeal| int(appeal.due)))
        .bind(case.review_by().map(int))
        .bind(body)
        .execute(&mut *db)
        .await?;
    for (ordinal, listing) in case.listings.iter().enumerate() {
        sqlx::query("INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?, ?, ?)")
            .bind(case.id.as_str())
            .bind(int(ordinal as u64))
            .bind(case.facts.class.word())
            .bind(int(listing.from))
            .bind(int(listing.review_by))
            .bind(listing.until.map(int))
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// Cases of a class that are in force at a moment.
pub(super) async fn in_force(db: &mut SqliteConnection, class: Class, at: UnixMillis) -> Stored<Vec<(Case, usize)>> {
    let query = "SELECT cases.body, listings.ordinal FROM listings JOIN cases ON cases.id = listings.case_id \
                 WHERE listings.class = ?1 AND listings.review_by > ?2 / 1000 AND listings.from_ms <= ?2 \
                 AND (listings.until_ms IS NULL OR listings.until_ms > ?2) ORDER BY cases.id";
    let rows = sqlx::query(query).bind(class.word()).bind(int(at)).fetch_all(db).await?;
    rows.iter().map(|row| Ok((case_row(row)?, uint(row, "ordinal")? as usize))).collect()
}

/// Cases of a class that were listed, and that people took off the list up to a moment for another reason than that
/// they were gone at their source.
pub(super) async fn taken_off(db: &mut SqliteConnection, class: Class, at: UnixMillis) -> Stored<Vec<Case>> {
    let query = "SELECT body FROM cases WHERE state = ?1 AND class = ?2";
    let rows = sqlx::query(query).bind(State::Delisted.word()).bind(class.word()).fetch_all(db).await?;
    let mut cases = rows.iter().map(case_row).collect::<Stored<Vec<Case>>>()?;
    cases.retain(|case| case.closed.as_ref().is_some_and(|closed| closed.at <= at));
    Ok(cases)
}

/// When decisions changed a list, in a time that begins after `after` and ends with `until`; ascending.
pub(super) async fn decisions(
    db: &mut SqliteConnection,
    class: Class,
    after: UnixMillis,
    until: UnixMillis,
) -> Stored<Vec<UnixMillis>> {
    let query = "SELECT moment FROM (SELECT from_ms AS moment FROM listings WHERE class = ?1 \
                 UNION ALL SELECT until_ms FROM listings WHERE class = ?1 AND until_ms IS NOT NULL) \
                 WHERE moment > ?2 AND moment <= ?3 ORDER BY moment";
    let rows = sqlx::query(query).bind(class.word()).bind(int(after)).bind(int(until)).fetch_all(db).await?;
    rows.iter().map(|row| uint(row, "moment")).collect()
}

/// Whether an entry after that number is of a kind that may change a list.
pub(super) async fn has_decided(db: &mut SqliteConnection, after: u64) -> Stored<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM entries WHERE number > ? AND kind NOT IN ('reported', 'returned', \
                 'assessed', 'classified', 'appeal_opened', 'override_requested', 'released')) AS found";
    let row = sqlx::query(query).bind(int(after)).fetch_one(db).await?;
    Ok(uint(&row, "found")? != 0)
}

pub(super) async fn returned(db: &mut SqliteConnection, id: &CaseId) -> Stored<Option<Returned>> {
    let row = sqlx::query("SELECT * FROM returned WHERE case_id = ?").bind(id.as_str()).fetch_optional(db).await?;
    row.as_ref().map(returned_row).transpose()
}

pub(super) async fn all_returned(db: &mut SqliteConnection) -> Stored<BTreeMap<CaseId, Returned>> {
    let rows = sqlx::query("SELECT * FROM returned").fetch_all(db).await?;
    rows.iter().map(|row| returned_row(row).map(|returned| (returned.case.clone(), returned))).collect()
}

fn returned_row(row: &SqliteRow) -> Stored<Returned> {
    let (category, ground) = (parsed(row, "category")?, parsed(row, "ground")?);
    Ok(Returned { case: parsed(row, "case_id")?, category, ground, at: uint(row, "at")? })
}

async fn put_returned(db: &mut SqliteConnection, returned: &Returned) -> Stored<()> {
    sqlx::query("INSERT OR REPLACE INTO returned VALUES (?, ?, ?, ?)")
        .bind(returned.case.as_str())
        .bind(returned.category.as_str())
        .bind(returned.ground.as_str())
        .bind(int(returned.at))
        .execute(db)
        .await
        .map(drop)
}

pub(super) async fn overriding(db: &mut SqliteConnection, class: Class, hash: &[u8; 32]) -> Stored<Option<Override>> {
    let query = "SELECT * FROM overrides WHERE class = ? AND hash = ?";
    let row = sqlx::query(query).bind(class.word()).bind(&hash[..]).fetch_optional(db).await?;
    row.as_ref().map(override_row).transpose()
}

pub(super) async fn overrides(db: &mut SqliteConnection) -> Stored<BTreeMap<(Class, [u8; 32]), Override>> {
    let rows = sqlx::query("SELECT * FROM overrides").fetch_all(db).await?;
    rows.iter().map(|row| override_row(row).map(|said| ((said.class, said.hash), said))).collect()
}

fn override_row(row: &SqliteRow) -> Stored<Override> {
    let requested = Act { by: parsed(row, "requested_by")?, at: uint(row, "requested_at")? };
    let approved = maybe_act(row, "approved_by", "approved_at")?;
    Ok(Override { class: class(row)?, hash: octets(row, "hash")?, requested, reason: parsed(row, "reason")?, approved })
}

async fn put_override(db: &mut SqliteConnection, said: &Override) -> Stored<()> {
    sqlx::query("INSERT OR REPLACE INTO overrides VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(said.class.word())
        .bind(&said.hash[..])
        .bind(said.requested.by.as_str())
        .bind(int(said.requested.at))
        .bind(said.reason.as_str())
        .bind(said.approved.as_ref().map(|act| act.by.as_str()))
        .bind(said.approved.as_ref().map(|act| int(act.at)))
        .execute(db)
        .await
        .map(drop)
}

/// Releases, of one class or all, by class and serial; or only the newest one of a class.
pub(super) async fn releases(
    db: &mut SqliteConnection,
    class: Option<Class>,
    newest: bool,
) -> Stored<Vec<ReleaseRecord>> {
    let query = if newest {
        "SELECT * FROM releases WHERE class = ?1 ORDER BY serial DESC LIMIT 1"
    } else {
        "SELECT * FROM releases WHERE ?1 IS NULL OR class = ?1 ORDER BY class, serial"
    };
    let rows = sqlx::query(query).bind(class.map(Class::word)).fetch_all(db).await?;
    rows.iter().map(release_row).collect()
}

fn release_row(row: &SqliteRow) -> Stored<ReleaseRecord> {
    Ok(ReleaseRecord {
        class: class(row)?,
        serial: uint(row, "serial")?,
        epoch: maybe_uint(row, "epoch")?,
        created: uint(row, "created")?,
        entries: uint(row, "entries")?,
        added: uint(row, "added")?,
        removed: uint(row, "removed")?,
        hash: octets(row, "hash")?,
        overridden: row.try_get("overridden")?,
    })
}

async fn put_release(db: &mut SqliteConnection, release: &ReleaseRecord) -> Stored<()> {
    sqlx::query("INSERT OR REPLACE INTO releases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(release.class.word())
        .bind(int(release.serial))
        .bind(release.epoch.map(int))
        .bind(int(release.created))
        .bind(int(release.entries))
        .bind(int(release.added))
        .bind(int(release.removed))
        .bind(&release.hash[..])
        .bind(release.overridden)
        .execute(db)
        .await
        .map(drop)
}

/// Everything the tables say, in the form of [`Books`]; without count, hash and time, which only entries have.
pub(super) async fn books(db: &mut SqliteConnection) -> Stored<Books> {
    let releases = releases(db, None, false).await?;
    Ok(Books {
        members: members(db).await?,
        cases: cases(db).await?,
        returned: all_returned(db).await?,
        overrides: overrides(db).await?,
        releases: releases.into_iter().map(|release| ((release.class, release.serial), release)).collect(),
        ..Books::default()
    })
}

/// Listings by case, as the table that lists are made from has them.
pub(super) async fn listings(
    db: &mut SqliteConnection,
) -> Stored<BTreeMap<(CaseId, u64), (Class, UnixMillis, UnixSeconds, Option<UnixMillis>)>> {
    let rows = sqlx::query("SELECT * FROM listings").fetch_all(db).await?;
    let read = |row: &SqliteRow| {
        let key = (parsed(row, "case_id")?, uint(row, "ordinal")?);
        Ok((key, (class(row)?, uint(row, "from_ms")?, uint(row, "review_by")?, maybe_uint(row, "until_ms")?)))
    };
    rows.iter().map(read).collect()
}
