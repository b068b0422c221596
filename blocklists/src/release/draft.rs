//! Whether there is a reason for a release, and what it will be like. Pure.

use signed_list::release::Class;

use super::canary::Moves;
use super::settings::Settings;
use super::work::Card;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// What is asked for beyond publishing what the ledger holds.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// These classes only; all of them if empty.
    pub classes: Vec<Class>,
    /// Begin a new epoch.
    pub new_epoch: bool,
    /// So many hidden canaries are used up.
    pub burn: u32,
    /// Put another emergency canary on the list.
    pub emergency: bool,
    /// Go back to what this release held, and stay there.
    pub rollback: Option<u64>,
    /// Why.
    pub reason: Option<String>,
    /// Do not stay there any longer.
    pub resume: bool,
    /// Sign the timestamp even if it is not due.
    pub renew: bool,
    /// The clock is right, however long nothing was done.
    pub clock_is_right: bool,
}

/// What a release will be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its serial.
    pub serial: u64,
    /// How far the canaries will have moved.
    pub moves: Moves,
    /// It will hold what this older release held.
    pub pinned_to: Option<u64>,
    /// Why, as who did it said.
    pub pinned_why: Option<String>,
    /// It begins an epoch.
    pub new_epoch: bool,
    /// Resolvers that it is encrypted to, sorted.
    pub recipients: Vec<String>,
    /// Why there is to be a release, as far as it is not for the entries.
    pub why: Vec<String>,
}

/// What a draft is made from.
pub struct Circumstances<'a> {
    /// The class.
    pub class: Class,
    /// The release in force.
    pub current: Option<&'a Card>,
    /// The newest serial of the class that the ledger or the repository knows.
    pub newest: u64,
    /// The release that waits for signatures. What was wished for it stays wished for.
    pub staged: Option<&'a Card>,
    /// The resolvers that are enrolled, sorted; none for an open class.
    pub recipients: Vec<String>,
    /// When the epoch in force began.
    pub epoch_begun: Option<u64>,
    /// When the metadata of the class, or of its envelopes, expires.
    pub expires: u64,
    /// Somebody who signs for the class is here.
    pub signer: bool,
    /// Now, Unix seconds.
    pub now: u64,
}

/// Drafts a release. Without any reason in [`Draft::why`], and without any change of the entries, none is made.
pub fn draft(circumstances: &Circumstances<'_>, wish: &Wish, settings: &Settings) -> Draft {
    let Circumstances { class, current, staged, now, .. } = *circumstances;
    let before = staged.or(current);
    let mut moves = before.map(|card| card.moves).unwrap_or_default();
    moves.burnt = moves.burnt.saturating_add(wish.burn);
    moves.emergency = moves.emergency.saturating_add(u32::from(wish.emergency));
    let (pinned_to, pinned_why) = match (wish.rollback, wish.resume) {
        (Some(serial), _) => (Some(serial), wish.reason.clone()),
        (None, true) => (None, None),
        (None, false) => before.map_or((None, None), |card| (card.pinned_to, card.pinned_why.clone())),
    };

    let mut why = Vec::new();
    let mut new_epoch = false;
    let Some(card) = current else {
        why.push("the first release of the class".to_owned());
        let recipients = circumstances.recipients.clone();
        return Draft {
            serial: circumstances.newest + 1,
            moves,
            pinned_to,
            pinned_why,
            new_epoch: class.is_sealed(),
            recipients,
            why,
        };
    };
    if class.is_sealed() {
        let recipients = &circumstances.recipients;
        let gone = card.recipients.iter().filter(|id| recipients.binary_search(id).is_err()).count();
        let come = recipients.iter().filter(|id| card.recipients.binary_search(id).is_err()).count();
        let age = now.saturating_sub(circumstances.epoch_begun.unwrap_or(0)) / DAY;
        let mut epoch = |reason: Option<String>| {
            new_epoch |= reason.is_some();
            why.extend(reason);
        };
        epoch((gone > 0).then(|| format!("new epoch: {gone} revoked")));
        epoch((age >= settings.epoch.max_age_days).then(|| format!("new epoch: the last one is {age} days old")));
        let wished = wish.new_epoch || staged.is_some_and(|staged| staged.epoch != card.epoch);
        if wished && !new_epoch {
            new_epoch = true;
            why.push("new epoch, as asked for".to_owned());
        }
        if come > 0 {
            why.push(format!("{come} enrolled"));
        }
    }
    if moves.burnt != card.moves.burnt {
        why.push(format!("{} hidden canaries are used up", moves.burnt - card.moves.burnt));
    }
    if moves.emergency != card.moves.emergency {
        why.push("another emergency canary".to_owned());
    }
    match pinned_to {
        Some(serial) if card.pinned_to != Some(serial) => why.push(format!("back to release {serial}")),
        None if card.pinned_to.is_some() => why.push("the rollback is over".to_owned()),
        _ => {}
    }
    // Time alone is a reason only where it leads to something: otherwise each run would leave a release to be signed.
    let remaining = circumstances.expires.saturating_sub(now);
    let expiring = remaining < settings.expiry.release_days * DAY / 2;
    let age = now.saturating_sub(card.created);
    if age >= settings.release.every_hours * HOUR && (circumstances.signer || staged.is_some()) {
        why.push(format!("the last release is {} hours old", age / HOUR));
    } else if expiring {
        why.push(format!("the metadata expires in {} days", remaining / DAY));
    }
    let serial = circumstances.newest + 1;
    Draft { serial, moves, pinned_to, pinned_why, new_epoch, recipients: circumstances.recipients.clone(), why }
}

impl Draft {
    /// Whether a release that waits is what this draft would come to, its entries aside.
    pub fn is(&self, staged: &Card, current: Option<&Card>) -> bool {
        let new_epoch = staged.epoch.is_some() && staged.epoch != current.and_then(|card| card.epoch);
        self.serial == staged.serial
            && self.moves == staged.moves
            && self.pinned_to == staged.pinned_to
            && self.pinned_why == staged.pinned_why
            && self.recipients == staged.recipients
            && self.new_epoch == new_epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn card(class: Class) -> Card {
        Card {
            class,
            serial: 7,
            epoch: class.is_sealed().then_some(2),
            created: NOW - HOUR,
            entries: 10,
            listed: 1,
            added: 0,
            removed: 0,
            hash: String::new(),
            decided_until: 0,
            moves: Moves::default(),
            pinned_to: None,
            pinned_why: None,
            only_of: None,
            overridden: false,
            recipients: if class.is_sealed() { vec!["aa".into(), "bb".into()] } else { Vec::new() },
            feeds: Vec::new(),
        }
    }

    fn circumstances(card: &Card) -> Circumstances<'_> {
        Circumstances {
            class: card.class,
            current: Some(card),
            newest: card.serial,
            staged: None,
            recipients: card.recipients.clone(),
            epoch_begun: Some(NOW - DAY),
            expires: NOW + 29 * DAY,
            signer: true,
            now: NOW,
        }
    }

    fn why(circumstances: &Circumstances<'_>, wish: &Wish) -> Vec<String> {
        draft(circumstances, wish, &Settings::default()).why
    }

    #[test]
    fn nothing_happens_without_a_reason() {
        for class in Class::ALL {
            let card = card(class);
            let draft = draft(&circumstances(&card), &Wish::default(), &Settings::default());
            assert_eq!((draft.serial, draft.why.len(), draft.new_epoch), (8, 0, false), "{class:?}");
        }
    }

    #[test]
    fn the_first_release_of_a_sealed_class_begins_an_epoch() {
        for class in Class::ALL {
            let card = card(class);
            let first = Circumstances { current: None, newest: 0, ..circumstances(&card) };
            let draft = draft(&first, &Wish::default(), &Settings::default());
            assert_eq!((draft.serial, draft.why.len(), draft.new_epoch), (1, 1, class == Class::Legal));
        }
    }

    #[test]
    fn revocations_age_and_wishes_begin_epochs_and_enrolments_do_not() {
        let card = card(Class::Legal);
        let settings = Settings::default();
        let with = |recipients: &[&str]| Circumstances {
            recipients: recipients.iter().map(|id| id.to_string()).collect(),
            ..circumstances(&card)
        };
        let revoked = draft(&with(&["aa"]), &Wish::default(), &settings);
        assert_eq!((revoked.new_epoch, revoked.why), (true, vec!["new epoch: 1 revoked".to_owned()]));
        let enrolled = draft(&with(&["aa", "bb", "cc"]), &Wish::default(), &settings);
        assert_eq!((enrolled.new_epoch, enrolled.why), (false, vec!["1 enrolled".to_owned()]));
        let old = Circumstances { epoch_begun: Some(NOW - 90 * DAY), ..circumstances(&card) };
        assert!(draft(&old, &Wish::default(), &settings).new_epoch);
        let wish = Wish { new_epoch: true, ..Wish::default() };
        assert!(draft(&circumstances(&card), &wish, &settings).new_epoch);
        let open = self::card(Class::Venue);
        assert_eq!(why(&circumstances(&open), &wish), Vec::<String>::new(), "an open class has no epochs");
    }

    #[test]
    fn what_was_wished_for_a_release_that_waits_stays_wished_for() {
        let card = card(Class::Legal);
        let moves = Moves { burnt: 5, emergency: 1 };
        let staged = Card { serial: 8, epoch: Some(3), moves, pinned_to: Some(4), ..card.clone() };
        let waits = Circumstances { staged: Some(&staged), ..circumstances(&card) };
        let draft = draft(&waits, &Wish::default(), &Settings::default());
        assert!(draft.is(&staged, Some(&card)), "{draft:?}");
        assert_eq!(draft.why.len(), 4, "{:?}", draft.why);
        assert!(!draft.is(&Card { moves: Moves::default(), ..staged.clone() }, Some(&card)));
    }

    #[test]
    fn a_rollback_stays_until_it_is_ended() {
        let pinned = Card { pinned_to: Some(3), ..card(Class::Operator) };
        let circumstances = circumstances(&pinned);
        let same = draft(&circumstances, &Wish::default(), &Settings::default());
        assert_eq!((same.pinned_to, same.why.len()), (Some(3), 0));
        let wish = Wish { rollback: Some(2), ..Wish::default() };
        assert_eq!(why(&circumstances, &wish), ["back to release 2"]);
        let wish = Wish { resume: true, ..Wish::default() };
        assert_eq!(why(&circumstances, &wish), ["the rollback is over"]);
    }

    #[test]
    fn time_is_a_reason_where_somebody_can_sign_or_metadata_is_about_to_expire() {
        let old = Card { created: NOW - 25 * HOUR, ..card(Class::Venue) };
        assert_eq!(why(&circumstances(&old), &Wish::default()), ["the last release is 25 hours old"]);
        let alone = Circumstances { signer: false, ..circumstances(&old) };
        assert_eq!(why(&alone, &Wish::default()), Vec::<String>::new());
        let expiring = Circumstances { expires: NOW + 14 * DAY, ..alone };
        assert_eq!(why(&expiring, &Wish::default()), ["the metadata expires in 14 days"]);
    }
}
