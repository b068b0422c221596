//! The jump guard: a release that changes too much at once waits for two people. Pure.
//!
//! In March 2012 one file in a wrong folder made a country block 8,000 names for three hours. Every one of its entries
//! was formally in order; only their number was not.

use serde::{Deserialize, Serialize};
use signed_list::release::Class;

/// Bounds of what may come or go in one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// So many entries at any time.
    pub entries: u64,
    /// So many per cent of the release before, if that is more.
    pub percent: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { entries: 50, percent: 5 }
    }
}

/// How much a release changes, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// Entries that come.
    pub added: u64,
    /// Entries that go.
    pub removed: u64,
    /// Entries of the release before.
    pub before: u64,
    /// What may come, and what may go.
    pub limit: u64,
    /// The feed that changes so much; the ledger, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<String>,
}

impl Bounds {
    /// The bounds of a class. What the law lists is held within the defaults, whatever the settings say: a line in a file
    /// is no second person.
    pub fn of(self, class: Class) -> Bounds {
        if !class.is_sealed() {
            return self;
        }
        let most = Bounds::default();
        Bounds { entries: self.entries.min(most.entries), percent: self.percent.min(most.percent) }
    }

    /// The jump that a release makes, if it makes one.
    pub fn jump(self, added: u64, removed: u64, before: u64) -> Option<Jump> {
        // In 128 bits, because nothing keeps a setting from being absurd.
        let share = u128::from(before) * u128::from(self.percent) / 100;
        let limit = self.entries.max(u64::try_from(share).unwrap_or(u64::MAX));
        (added > limit || removed > limit).then_some(Jump { added, removed, before, limit, feed: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_make_the_bounds_of_the_law_stricter_and_no_wider() {
        let (wide, strict) = (Bounds { entries: 1000, percent: 50 }, Bounds { entries: 0, percent: 1 });
        assert_eq!((wide.of(Class::Legal), strict.of(Class::Legal)), (Bounds::default(), strict));
        assert_eq!((wide.of(Class::Operator), wide.of(Class::Venue)), (wide, wide));
    }

    #[test]
    fn fifty_entries_or_five_per_cent_whichever_is_more() {
        let bounds = Bounds::default();
        for (added, removed, before, held) in [
            (50, 50, 0, false),
            (51, 0, 0, true),
            (0, 51, 1_000, true),
            (50, 0, 1_000, false),
            (100, 100, 2_000, false),
            (101, 0, 2_000, true),
            (0, 101, 2_000, true),
            (50_000, 0, 1_000_000, false),
            (50_001, 0, 1_000_000, true),
        ] {
            assert_eq!(bounds.jump(added, removed, before).is_some(), held, "{added} {removed} {before}");
        }
        let absurd = Bounds { entries: 0, percent: u64::MAX };
        assert_eq!(absurd.jump(u64::MAX - 1, 0, u64::MAX), None);
    }
}
