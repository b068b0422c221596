//! Cases about the same name, or about one above or below it: what is still blocked when one of them ends.
//!
//! Two hotlines report one site, and each report is a case of its own with an end of its own. Who takes one of them off
//! has to hear of the other, or the site stays blocked and nobody knows why.

use std::collections::BTreeMap;

use serde::Serialize;
use signed_list::list::Scope;
use signed_list::name::Name;

use super::case::{Case, State};
use super::words::CaseId;
use super::{Ledger, LedgerError, UnixMillis};

/// Cases by their names. [`Name`] orders a name before everything below it.
#[derive(Debug, Default)]
pub struct Neighbours(BTreeMap<Name, Vec<Case>>);

/// Another case that has to do with the name of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// Which case.
    pub case: CaseId,
    /// Where its name lies.
    pub lies: Lies,
    /// Where it stands.
    pub state: State,
    /// Whether it is in force.
    pub in_force: bool,
}

/// Where the name of a neighbour lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lies {
    /// The same name, covered in the same way or with what lies below it.
    Same,
    /// The same name, but the neighbour covers it alone, and the case what lies below it, too.
    SameAlone,
    /// Above, and its entry covers the name.
    Above,
    /// Below, and covered by the entry of the case.
    Below,
}

impl Neighbours {
    /// Of these cases.
    pub fn of(cases: Vec<Case>) -> Neighbours {
        let mut by_name: BTreeMap<Name, Vec<Case>> = BTreeMap::new();
        for case in cases {
            by_name.entry(case.facts.name.clone()).or_default().push(case);
        }
        Neighbours(by_name)
    }

    /// All cases of a name, whatever became of them, by their ids.
    pub fn cases_of(&self, name: &Name) -> &[Case] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The neighbours of a case.
    pub fn near(&self, case: &Case, at: UnixMillis) -> Vec<Neighbour> {
        let mut near = self.around(&case.facts.name, case.facts.scope, at);
        near.retain(|neighbour| neighbour.case != case.id);
        near
    }

    /// What there is about a name, or about a name with all below it: the cases of the name itself that are open, in
    /// force, or were taken off the list by people, which whoever decides anew has to know; and those above and below
    /// that are in force. Everything else has ended, or may never be listed.
    pub fn around(&self, name: &Name, scope: Scope, at: UnixMillis) -> Vec<Neighbour> {
        let mut around = Vec::new();
        let mut add = |other: &Case, lies: Lies| {
            let (state, in_force) = (other.state_at(at), other.in_force_at(at));
            let same = matches!(lies, Lies::Same | Lies::SameAlone);
            if in_force || same && matters(state) {
                around.push(Neighbour { case: other.id.clone(), lies, state, in_force });
            }
        };
        for other in self.cases_of(name) {
            let alone = scope == Scope::Subtree && other.facts.scope == Scope::Exact;
            add(other, if alone { Lies::SameAlone } else { Lies::Same });
        }
        let above = std::iter::successors(name.parent(), Name::parent);
        for other in above.flat_map(|above| self.cases_of(&above).iter().collect::<Vec<_>>()) {
            if other.facts.scope == Scope::Subtree {
                add(other, Lies::Above);
            }
        }
        if scope == Scope::Subtree {
            let after = self.0.range(name..).skip_while(|(other, _)| *other == name);
            let below = after.take_while(|(other, _)| other.is_same_or_below(name));
            below.flat_map(|(_, cases)| cases).for_each(|other| add(other, Lies::Below));
        }
        around
    }
}

/// Whether a case of the same name matters to another one though it is not in force.
fn matters(state: State) -> bool {
    let open = [State::Reported, State::Assessed, State::Classified, State::Approved, State::Appealed];
    state == State::Delisted || open.contains(&state)
}

impl Ledger {
    /// The neighbours of a case.
    ///
    /// All cases are read for it: opening the ledger has walked its whole chain, which takes longer.
    pub async fn neighbours(&self, case: &Case, at: UnixMillis) -> Result<Vec<Neighbour>, LedgerError> {
        Ok(Neighbours::of(self.cases().await?).near(case, at))
    }
}
