//! Whether the publisher's clock can be right. Pure.
//!
//! Each listing ends by its date, and without anybody's doing: a clock that is months ahead would end all of them, and a
//! publisher that watches would sign empty lists. One that is behind would leave out what was decided since.

use thiserror::Error;

use crate::ledger::rules::CLOCK_SLACK;
use crate::ledger::{UnixMillis, minute};

/// So long nothing is decided and no timestamp signed only where nobody publishes any more: a class without a release
/// for so long expires, too.
const SILENCE: UnixMillis = 30 * 86_400_000;

/// Why a clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum WrongClock {
    #[error(
        "the clock of this machine says {}, and the last that was done here was done at {}: if it is ahead, listings that \
         are in force would leave the lists as if they were over. Set the clock; if it is right, say so once with `publish \
         --clock-is-right`. Nothing was published", minute(now / 1000), minute(last / 1000)
    )]
    Ahead { now: UnixMillis, last: UnixMillis },
    #[error(
        "the clock of this machine says {}, but the ledger's last entry was made at {}: what was decided since would be \
         missing. Set the clock; if it was wrong then and is right now, an admin says so with `ledger correct-clock`. \
         Nothing was published", minute(now / 1000), minute(last / 1000)
    )]
    Behind { now: UnixMillis, last: UnixMillis },
}

/// Holds the clock against the ledger's last entry and the moment at which the timestamp was signed. Somebody may say
/// that it is right although it is far ahead.
pub fn judge(now: UnixMillis, entry: UnixMillis, signed: UnixMillis, is_right: bool) -> Result<(), WrongClock> {
    if now + CLOCK_SLACK < entry {
        return Err(WrongClock::Behind { now, last: entry });
    }
    let last = entry.max(signed);
    if now > last + SILENCE && !is_right {
        return Err(WrongClock::Ahead { now, last });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = 1_800_000_000_000;
    const DAY: UnixMillis = 86_400_000;

    #[test]
    fn a_clock_is_believed_while_something_happens() {
        for (entry, signed, fine) in [
            (NOW, NOW, true),
            (NOW - 29 * DAY, 0, true),
            (NOW - 31 * DAY, 0, false),
            // Nothing was decided for a year, and a publisher was there all the time.
            (NOW - 365 * DAY, NOW - DAY / 2, true),
            (NOW - 365 * DAY, NOW - 90 * DAY, false),
            // Other machines have other clocks, by a little.
            (NOW + CLOCK_SLACK, 0, true),
            (NOW + CLOCK_SLACK + 1, 0, false),
            // A timestamp that was signed under a wrong clock stops nobody who has set it right.
            (NOW - DAY, NOW + 365 * DAY, true),
        ] {
            assert_eq!(judge(NOW, entry, signed, false).is_ok(), fine, "{entry} {signed}");
        }
        assert_eq!(judge(NOW, 0, 0, true), Ok(()));
        assert!(judge(NOW, NOW + DAY, 0, true).is_err(), "the ledger would not take such an entry");
    }
}
