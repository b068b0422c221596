//! Everything that follows from the entries, in memory: what the tables of the database have to agree with.

use std::collections::BTreeMap;

use signed_list::release::Class;

use super::UnixMillis;
use super::case::Case;
use super::event::{Entry, Event, NOTHING_BEFORE, ReleaseRecord, Role};
use super::rules::{Before, Change, Member, Override, Refused, Returned, correct, decide};
use super::words::{CaseId, Label};
use crate::person::PersonId;

/// The state after some entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Books {
    /// How many entries there are.
    pub count: u64,
    /// Hash of the last one.
    pub hash: [u8; 32],
    /// Time of the last one.
    pub last_at: Option<UnixMillis>,
    /// Everybody who is or was registered.
    pub members: BTreeMap<PersonId, Member>,
    /// All cases.
    pub cases: BTreeMap<CaseId, Case>,
    /// Records that went back.
    pub returned: BTreeMap<CaseId, Returned>,
    /// What was said about releases that the guard held.
    pub overrides: BTreeMap<(Class, [u8; 32]), Override>,
    /// Releases by class and serial.
    pub releases: BTreeMap<(Class, u64), ReleaseRecord>,
}

impl Default for Books {
    fn default() -> Books {
        Books {
            count: 0,
            hash: NOTHING_BEFORE,
            last_at: None,
            members: BTreeMap::new(),
            cases: BTreeMap::new(),
            returned: BTreeMap::new(),
            overrides: BTreeMap::new(),
            releases: BTreeMap::new(),
        }
    }
}

impl Books {
    /// Takes an entry over, if the rules allow it. Chain and signature are somebody else's part.
    pub fn enter(&mut self, entry: &Entry) -> Result<(), Refused> {
        let change = decide(entry, self.before(entry))?;
        match change {
            Change::Member(member) => {
                self.members.insert(member.id(), member);
            }
            Change::Case(case) => {
                self.returned.remove(&case.id);
                self.cases.insert(case.id.clone(), *case);
            }
            Change::Returned(returned) => {
                self.returned.insert(returned.case.clone(), returned);
            }
            Change::Override(said) => {
                self.overrides.insert((said.class, said.hash), said);
            }
            Change::Release(release) => {
                self.releases.insert((release.class, release.serial), release);
            }
            Change::Clock(now) => self.cases.values_mut().for_each(|case| correct(case, now)),
        }
        self.count += 1;
        self.last_at = Some(entry.at);
        Ok(())
    }

    fn before(&self, entry: &Entry) -> Before {
        let about = About::of(&entry.event);
        let case = about.case.and_then(|id| self.cases.get(id)).cloned();
        let held = case.iter().flat_map(|case| &case.approvals).map(|approval| approval.by.clone());
        let admins = self.members.values().filter(|member| member.is(Role::Admin)).count() as u64;
        let namesake = self.members.values().find(|member| {
            member.retired.is_none() && Some(&member.label) == about.label && Some(member.id()) != about.person
        });
        let people = held.chain(about.person.clone()).filter_map(|id| self.members.get(&id).cloned()).collect();
        Before {
            signer: self.members.get(&entry.by).cloned(),
            last_at: self.last_at,
            returned: about.case.and_then(|id| self.returned.get(id)).cloned(),
            people,
            namesake: namesake.map(Member::id),
            admins,
            release: about
                .class
                .and_then(|class| self.releases.range((class, 0)..=(class, u64::MAX)).next_back())
                .map(|(_, release)| release.clone()),
            overriding: about.hash.and_then(|(class, hash)| self.overrides.get(&(class, *hash))).cloned(),
            case,
        }
    }
}

/// What an event is about: where to look before the rules are asked.
#[derive(Default)]
pub(super) struct About<'a> {
    pub(super) case: Option<&'a CaseId>,
    pub(super) person: Option<PersonId>,
    pub(super) label: Option<&'a Label>,
    pub(super) class: Option<Class>,
    pub(super) hash: Option<(Class, &'a [u8; 32])>,
}

impl About<'_> {
    pub(super) fn of(event: &Event) -> About<'_> {
        let nothing = About::default();
        match event {
            Event::PersonAdded { person, label, .. } => {
                About { person: Some(person.key.id()), label: Some(label), ..nothing }
            }
            Event::PersonRetired { person, .. } => About { person: Some(person.clone()), ..nothing },
            Event::OverrideRequested { class, hash, .. } | Event::OverrideApproved { class, hash, .. } => {
                About { hash: Some((*class, hash)), ..nothing }
            }
            Event::Released { release } => {
                let (class, hash) = (release.class, &release.hash);
                About { class: Some(class), hash: Some((class, hash)), ..nothing }
            }
            event => About { case: event.case(), ..nothing },
        }
    }
}
