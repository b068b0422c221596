//! What takes more than one look and more than one entry: a file of records that comes in, and an analyst's review.
//!
//! Here the tables of the scheme and triage have their say, which change over the years. The rules in [`super::rules`]
//! do not ask them, so that old entries stay valid.

use signed_list::name::Name;
use signed_list::release::Class;

use super::books::Books;
use super::case::{Act, Case, State};
use super::event::{Entry, Event, Facts, Role, VERSION};
use super::rules::{Member, Refused, Returned};
use super::words::{CaseId, Label, Remark, Word};
use super::{Ledger, LedgerError, UnixMillis, Writer};
use crate::person::{Person, PublicKey};
use crate::takedown::scheme::Scheme;
use crate::takedown::{Host, Takedown};
use crate::triage::{Ground, Triage, Verdict};

/// Records taken in by one transaction: others who write wait no longer than that takes.
const AT_ONCE: usize = 500;

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is a new case.
    New,
    /// It goes back: only its source can help.
    Returned(Ground),
    /// It had come in before, and nothing has changed.
    Known(State),
    /// It had come in and gone back before, for the same reason.
    KnownReturned(Ground),
    /// It had come in before, and now it is gone at its source: closed, and off the list with the next release.
    Removed,
    /// It is gone at its source already, so there is nothing to block.
    Gone,
    /// Another record came in under the same number.
    Conflict,
    /// The rules do not allow it.
    Refused(Refused),
}

/// What an analyst settles in a review. What is not said stays as the record has it.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// The category.
    pub category: Option<Word>,
    /// The legal ground.
    pub legal_basis: Option<Word>,
    /// The decision under it.
    pub legal_reference: Option<Remark>,
}

impl Ledger {
    /// Takes records in. The same record twice is no second case, so a file can be given again after an interruption.
    ///
    /// What concerns the whole file - a key that may not do this, a clock that is wrong - ends it with an error; every
    /// other refusal is that of one record.
    pub async fn take_in(
        &self,
        takedowns: &[Takedown],
        triage: &Triage,
        scheme: &Scheme,
        person: &Person,
        at: UnixMillis,
    ) -> Result<Vec<Taken>, LedgerError> {
        let mut taken = Vec::with_capacity(takedowns.len());
        for some in takedowns.chunks(AT_ONCE) {
            let mut writer = self.writer().await?;
            for takedown in some {
                taken.push(match writer.take_in(takedown, triage, scheme, person, at).await {
                    Ok(taken) => taken,
                    Err(LedgerError::Refused(refused)) if !is_about_the_file(&refused) => Taken::Refused(refused),
                    Err(error) => return Err(error),
                });
            }
            writer.commit().await?;
        }
        Ok(taken)
    }

    /// An analyst's review: assesses a case that has come in, settles category and legal ground, and leaves it waiting
    /// for approvals. `seen` is the last entry of the case that the analyst has looked at.
    pub async fn review(
        &self,
        id: &CaseId,
        seen: u64,
        settled: Settled,
        scheme: &Scheme,
        person: &Person,
        at: UnixMillis,
    ) -> Result<(), LedgerError> {
        let mut writer = self.writer().await?;
        let case = writer.case_as_seen(id, seen).await?.ok_or_else(|| Refused::NoCase(id.clone()))?;
        let Case { facts, state, .. } = &case;
        let category = settled.category.unwrap_or_else(|| facts.category.clone());
        let legal_basis = settled.legal_basis.or_else(|| facts.legal_basis.clone());
        let legal_reference = settled.legal_reference.or_else(|| facts.legal_reference.clone());
        hold_against(scheme, facts.class, &category, legal_basis.as_ref())?;
        if *state == State::Reported {
            writer.enter(Event::Assessed { case: id.clone() }, person, at).await?;
        }
        let case = id.clone();
        writer.enter(Event::Classified { case, category, legal_basis, legal_reference }, person, at).await?;
        writer.commit().await
    }
}

fn is_about_the_file(refused: &Refused) -> bool {
    matches!(
        refused,
        Refused::Stranger(_)
            | Refused::Retired(_)
            | Refused::Role { .. }
            | Refused::Clock { .. }
            | Refused::ClockNeverSet(_)
            | Refused::NotBegun
    )
}

fn hold_against(scheme: &Scheme, class: Class, category: &Word, basis: Option<&Word>) -> Result<(), Refused> {
    let words = |words: &mut dyn Iterator<Item = &Word>| words.map(Word::as_str).collect::<Vec<_>>().join(", ");
    let blockable = |word: &Word| scheme.category(word).is_some_and(|known| known.class == class && known.dns);
    if !blockable(category) {
        let known = words(&mut scheme.categories(class).filter(|word| blockable(word)));
        return Err(Refused::Category { category: category.clone(), class, known });
    }
    match basis {
        Some(basis) if scheme.legal_basis(basis).is_none() => {
            Err(Refused::Basis { basis: basis.clone(), known: words(&mut scheme.legal_bases()) })
        }
        _ => Ok(()),
    }
}

impl Writer<'_> {
    async fn take_in(
        &mut self,
        takedown: &Takedown,
        triage: &Triage,
        scheme: &Scheme,
        person: &Person,
        at: UnixMillis,
    ) -> Result<Taken, LedgerError> {
        let known = self.case(&takedown.case).await?;
        let returned = self.returned(&takedown.case).await?;
        let (event, taken) = turn(takedown, known, returned, triage, scheme, at)?;
        if let Some(event) = event {
            self.enter(event, person, at).await?;
        }
        Ok(taken)
    }
}

/// What is to be entered for a record, if anything, and what has become of it then.
fn turn(
    takedown: &Takedown,
    known: Option<Case>,
    returned: Option<Returned>,
    triage: &Triage,
    scheme: &Scheme,
    at: UnixMillis,
) -> Result<(Option<Event>, Taken), Refused> {
    let id = &takedown.case;
    if let Some(case) = known {
        return again(takedown, case, at);
    }
    if takedown.removed_seen_at.is_some() {
        return Ok((None, Taken::Gone));
    }
    match triage.judge(takedown, scheme) {
        Verdict::TakedownOnly(ground) => {
            // The words of grounds keep to the rule of words; a test holds them to it.
            let word = Word::parse(ground.word()).map_err(|_| Refused::NoGround(id.clone()))?;
            if returned.is_some_and(|known| known.ground == word) {
                return Ok((None, Taken::KnownReturned(ground)));
            }
            let (case, category) = (id.clone(), takedown.category.clone());
            Ok((Some(Event::Returned { case, category, ground: word }), Taken::Returned(ground)))
        }
        Verdict::Entry(name) => {
            Ok((Some(Event::Reported { case: id.clone(), facts: facts(takedown, name) }), Taken::New))
        }
    }
}

/// A record that had come in before.
fn again(takedown: &Takedown, case: Case, at: UnixMillis) -> Result<(Option<Event>, Taken), Refused> {
    let same = matches!(&takedown.host, Host::Name(name) if *name == case.facts.name)
        && takedown.class == case.facts.class
        && takedown.scope == case.facts.scope;
    if !same {
        return Ok((None, Taken::Conflict));
    }
    let state = case.state_at(at);
    match takedown.removed_seen_at {
        Some(seen_at) if !is_closed(state) => Ok((Some(Event::Removed { case: case.id, seen_at }), Taken::Removed)),
        _ => Ok((None, Taken::Known(state))),
    }
}

/// Whether a case is over for good: the same site again is a case of its own.
pub fn is_closed(state: State) -> bool {
    matches!(state, State::Removed | State::Delisted | State::Rejected | State::Withdrawn)
}

/// What would become of records if somebody took them in now. Nothing is signed and nothing is written.
pub struct Rehearsal {
    books: Books,
    at: UnixMillis,
}

impl Rehearsal {
    /// With a ledger in which there is nothing yet.
    pub fn new(at: UnixMillis) -> Rehearsal {
        let by = PublicKey::NOBODY.id();
        let label = Label::parse("nobody").ok();
        let mut books = Books { last_at: Some(at), ..Books::default() };
        // Somebody who may take in records of every class.
        books.members.extend(label.map(|label| {
            let (roles, added) = (vec![Role::Analyst], Act { by: by.clone(), at });
            (by, Member { key: PublicKey::NOBODY, label, roles, added, retired: None })
        }));
        Rehearsal { books, at }
    }

    /// With what a ledger holds.
    pub async fn of(ledger: &Ledger, at: UnixMillis) -> Result<Rehearsal, LedgerError> {
        let mut rehearsal = Rehearsal::new(at);
        let Books { cases, returned, .. } = &mut rehearsal.books;
        cases.extend(ledger.cases().await?.into_iter().map(|case| (case.id.clone(), case)));
        returned.extend(ledger.all_returned().await?.into_iter().map(|back| (back.case.clone(), back)));
        Ok(rehearsal)
    }

    /// Takes records in as [`Ledger::take_in`] does.
    pub fn take_in(&mut self, takedowns: &[Takedown], triage: &Triage, scheme: &Scheme) -> Vec<Taken> {
        let one = |takedown| self.take_in_one(takedown, triage, scheme).unwrap_or_else(Taken::Refused);
        takedowns.iter().map(one).collect()
    }

    fn take_in_one(&mut self, takedown: &Takedown, triage: &Triage, scheme: &Scheme) -> Result<Taken, Refused> {
        let known = self.books.cases.get(&takedown.case).cloned();
        let returned = self.books.returned.get(&takedown.case).cloned();
        let (event, taken) = turn(takedown, known, returned, triage, scheme, self.at)?;
        if let Some(event) = event {
            let (number, by) = (self.books.count + 1, PublicKey::NOBODY.id());
            self.books.enter(&Entry { version: VERSION, number, at: self.at, by, event })?;
        }
        Ok(taken)
    }

    /// All cases there would be.
    pub fn cases(self) -> Vec<Case> {
        self.books.cases.into_values().collect()
    }
}

fn facts(takedown: &Takedown, name: Name) -> Facts {
    Facts {
        class: takedown.class,
        category: takedown.category.clone(),
        name,
        scope: takedown.scope,
        legal_basis: takedown.legal_basis.clone(),
        legal_reference: takedown.legal_reference.clone(),
        dedicated_attestation: takedown.dedicated_attestation,
        assessed_at: takedown.assessed_at,
        ntd_sent_at: takedown.ntd_sent_at,
        host_country: takedown.host_country.clone(),
    }
}
