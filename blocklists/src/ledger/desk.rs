//! What takes more than one look and more than one entry: a file of records that comes in, and an analyst's review.
//!
//! Here the tables of the scheme and triage have their say, which change over the years. The rules in [`super::rules`]
//! do not ask them, so that old entries stay valid.

use signed_list::name::Name;
use signed_list::release::Class;

use super::case::{Case, State};
use super::event::{Event, Facts};
use super::rules::Refused;
use super::words::{CaseId, Remark, Word};
use super::{Ledger, LedgerError, UnixMillis, Writer};
use crate::person::Person;
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
        let id = &takedown.case;
        if let Some(case) = self.case(id).await? {
            return self.again(takedown, case, person, at).await;
        }
        if takedown.removed_seen_at.is_some() {
            return Ok(Taken::Gone);
        }
        match triage.judge(takedown, scheme) {
            Verdict::TakedownOnly(ground) => {
                // The words of grounds keep to the rule of words; a test holds them to it.
                let word = Word::parse(ground.word()).map_err(|_| Refused::NoGround(id.clone()))?;
                if self.returned(id).await?.is_some_and(|known| known.ground == word) {
                    return Ok(Taken::KnownReturned(ground));
                }
                let (case, category) = (id.clone(), takedown.category.clone());
                self.enter(Event::Returned { case, category, ground: word }, person, at).await?;
                Ok(Taken::Returned(ground))
            }
            Verdict::Entry(name) => {
                self.enter(Event::Reported { case: id.clone(), facts: facts(takedown, name) }, person, at).await?;
                Ok(Taken::New)
            }
        }
    }

    /// A record that had come in before.
    async fn again(
        &mut self,
        takedown: &Takedown,
        case: Case,
        person: &Person,
        at: UnixMillis,
    ) -> Result<Taken, LedgerError> {
        let same = matches!(&takedown.host, Host::Name(name) if *name == case.facts.name)
            && takedown.class == case.facts.class
            && takedown.scope == case.facts.scope;
        if !same {
            return Ok(Taken::Conflict);
        }
        let state = case.state_at(at);
        let closed = matches!(state, State::Removed | State::Delisted | State::Rejected | State::Withdrawn);
        match takedown.removed_seen_at {
            Some(seen_at) if !closed => {
                self.enter(Event::Removed { case: case.id, seen_at }, person, at).await?;
                Ok(Taken::Removed)
            }
            _ => Ok(Taken::Known(state)),
        }
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
