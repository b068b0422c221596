//! Test names in a release, by which a probe proves what a hotspot enforces. Pure: the same seed and numbers give the
//! same names.
//!
//! | kind | in the list | shows |
//! |---|---|---|
//! | test | yes, and public | that a category is in force; for venues and citizens, no proof |
//! | hidden | yes | that the list is really applied: nobody but the scheme can tell which digests they are |
//! | ladder | some releases long | which release is in force |
//! | watermark | that of one resolver | that its own feed is in use, and whose file leaked |
//! | emergency | from a secret moment on | how long a decision takes to arrive |
//! | control | never | twins of the hidden ones, which must resolve: who blocks whatever is unknown fails |
//!
//! Who holds the keys of a list can test names against it. So names are drawn from some 2^79 for each domain: nobody
//! finds them by trying, and a hotspot cannot enforce the canaries alone. All kinds but the public one come out of one
//! generator, so that a question for one looks like a question for any other.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::{constant_time, hmac};
use serde::Serialize;
use signed_list::name::Name;
use signed_list::release::Class;

/// Names that a release puts on the ladder and takes off it.
pub const RUNG: u64 = 4;
/// Syllables of one of the two labels of a name. A hundred syllables, twelve of them: 79.7 bits.
const SYLLABLES: usize = 6;
const CONSONANTS: &[u8; 20] = b"bcdfghjklmnpqrstvwxz";
const VOWELS: &[u8; 5] = b"aeiou";

/// The secret that all canaries come from. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct Seed([u8; 32]);

/// Where test names lie, and how many of each kind there are.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Public test names lie directly below it.
    pub test_zone: Name,
    /// All others lie below one of these; at least one.
    pub domains: Vec<Name>,
    /// Hidden canaries in a list.
    pub hidden: u32,
    /// Releases that a name on the ladder is listed for.
    pub ladder: u32,
    /// Names that one resolver alone blocks.
    pub watermark: u32,
}

/// What moves canaries beside the serial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moves {
    /// Hidden canaries that are used up: audits have shown them to hotspots.
    pub burnt: u32,
    /// Emergency canaries listed so far.
    pub emergency: u32,
}

/// Emergency canaries stay listed until so many newer ones are.
const EMERGENCIES: u32 = 8;

/// Draws names out of a seed for one class.
pub struct Canaries<'a> {
    seed: &'a Seed,
    ground: &'a Ground,
    class: Class,
}

impl Seed {
    /// A seed from good randomness.
    pub fn new(octets: [u8; 32]) -> Seed {
        Seed(octets)
    }

    /// The seed itself, to be kept in a file that nobody else reads.
    pub fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// Another secret out of the same seed, for another purpose.
    pub fn derive(&self, purpose: &str) -> [u8; 16] {
        let tag = self.tag(&[b"derive", purpose.as_bytes()]);
        let mut key = [0; 16];
        key.copy_from_slice(&tag.as_ref()[..16]);
        key
    }

    /// HMAC-SHA-256 over the parts, each with its length in front, so that no two lists of parts look the same.
    fn tag(&self, parts: &[&[u8]]) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

impl PartialEq for Seed {
    fn eq(&self, other: &Seed) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Seed(hidden)")
    }
}

impl<'a> Canaries<'a> {
    /// Canaries of a class.
    pub fn new(seed: &'a Seed, ground: &'a Ground, class: Class) -> Canaries<'a> {
        Canaries { seed, ground, class }
    }

    /// The public test name of a category.
    pub fn test(&self, category: &str) -> Option<Name> {
        Name::parse(&format!("{category}.{}", self.ground.test_zone)).ok()
    }

    /// The hidden canaries that are listed.
    pub fn hidden(&self, moves: Moves) -> Vec<Name> {
        let first = u64::from(moves.burnt);
        self.draw("hidden", first..first + u64::from(self.ground.hidden))
    }

    /// The twins of the hidden canaries, which are never listed.
    pub fn controls(&self, moves: Moves) -> Vec<Name> {
        let first = u64::from(moves.burnt);
        self.draw("control", first..first + u64::from(self.ground.hidden))
    }

    /// All names on the ladder of a release.
    pub fn ladder(&self, serial: u64) -> Vec<Name> {
        // From the first release on the ladder is whole: a release takes the rung off that has its number, and puts
        // one on at the other end.
        self.draw("ladder", serial * RUNG..(serial + u64::from(self.ground.ladder)) * RUNG)
    }

    /// Names that a release put on the ladder.
    pub fn added(&self, serial: u64) -> Vec<Name> {
        let rung = serial + u64::from(self.ground.ladder) - 1;
        self.draw("ladder", rung * RUNG..(rung + 1) * RUNG)
    }

    /// Names that a release took off the ladder.
    pub fn removed(&self, serial: u64) -> Vec<Name> {
        let rung = serial.saturating_sub(1);
        self.draw("ladder", rung * RUNG..(rung + 1) * RUNG)
    }

    /// Emergency canaries that are listed.
    pub fn emergency(&self, moves: Moves) -> Vec<Name> {
        let last = u64::from(moves.emergency);
        self.draw("emergency", last.saturating_sub(u64::from(EMERGENCIES))..last)
    }

    /// All names that a release lists but the public ones: hidden, ladder, emergency.
    pub fn listed(&self, serial: u64, moves: Moves) -> impl Iterator<Item = Name> {
        [self.hidden(moves), self.ladder(serial), self.emergency(moves)].into_iter().flatten()
    }

    /// Names that one resolver alone blocks during an epoch.
    pub fn watermark(&self, resolver: &str, epoch: u64) -> Vec<Name> {
        let name = |number: u64| self.name(&[b"watermark", resolver.as_bytes(), &epoch.to_be_bytes()], number);
        (0..u64::from(self.ground.watermark)).map(name).collect()
    }

    fn draw(&self, kind: &str, numbers: Range<u64>) -> Vec<Name> {
        numbers.map(|number| self.name(&[kind.as_bytes()], number)).collect()
    }

    /// Two labels of syllables below one of the domains.
    fn name(&self, context: &[&[u8]], number: u64) -> Name {
        let number = number.to_be_bytes();
        let parts: Vec<&[u8]> = [&[self.class.word().as_bytes()], context, &[&number]].concat();
        let tag = self.seed.tag(&parts);
        let mut words = tag.as_ref().chunks_exact(2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])));
        let domain = &self.ground.domains[words.next().unwrap_or(0) % self.ground.domains.len()];
        let mut wire = Vec::with_capacity(2 * (1 + 2 * SYLLABLES) + domain.as_wire().len());
        for _ in 0..2 {
            wire.push(2 * SYLLABLES as u8);
            for word in words.by_ref().take(SYLLABLES) {
                wire.extend([CONSONANTS[word % 20], VOWELS[word / 20 % 5]]);
            }
        }
        wire.extend_from_slice(domain.as_wire());
        // Short labels of letters below a checked domain; too long only if the domain has some 230 octets.
        Name::from_wire(&wire).unwrap_or_else(|_| domain.clone())
    }
}

/// What a checker has to know about a class, for some of its releases. Secret: who has it can tell an audit from other
/// questions.
#[derive(Debug, Serialize)]
pub struct Export {
    /// The class.
    pub class: Class,
    /// Public test names by category.
    pub test: Vec<(String, String)>,
    /// Names on the ladder, for each release.
    pub releases: Vec<Rungs>,
    /// For each resolver the names that it alone blocks.
    pub watermarks: Vec<Watermark>,
}

/// One release in an [`Export`].
#[derive(Debug, Serialize)]
pub struct Rungs {
    /// The release.
    pub serial: u64,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// Its epoch.
    pub epoch: Option<u64>,
    /// Blocked from this release on.
    pub added: Vec<String>,
    /// Not blocked any more from this release on.
    pub removed: Vec<String>,
    /// Blocked, and unknown to everybody.
    pub hidden: Vec<String>,
    /// Never blocked.
    pub controls: Vec<String>,
    /// Blocked since a moment that nobody knows.
    pub emergency: Vec<String>,
}

/// Names that one resolver alone blocks.
#[derive(Debug, Serialize)]
pub struct Watermark {
    /// The resolver.
    pub resolver: String,
    /// The epoch.
    pub epoch: u64,
    /// Its names.
    pub names: Vec<String>,
}

/// Names as text.
pub fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(Name::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ground() -> Ground {
        let name = |text| Name::parse(text).unwrap();
        Ground {
            test_zone: name("test.afw.example"),
            domains: vec![name("one.example"), name("two.test")],
            hidden: 60,
            ladder: 16,
            watermark: 4,
        }
    }

    #[test]
    fn a_release_adds_four_names_to_the_ladder_and_takes_four_away() {
        let (seed, ground) = (Seed::new([7; 32]), ground());
        let canaries = Canaries::new(&seed, &ground, Class::Legal);
        for serial in 1..40 {
            let before: HashSet<Name> = canaries.ladder(serial - 1).into_iter().collect();
            let now: HashSet<Name> = canaries.ladder(serial).into_iter().collect();
            assert_eq!(now.len(), 64);
            let added: HashSet<Name> = canaries.added(serial).into_iter().collect();
            let removed: HashSet<Name> = canaries.removed(serial).into_iter().collect();
            assert_eq!(now.difference(&before).cloned().collect::<HashSet<_>>(), added, "{serial}");
            assert_eq!(before.difference(&now).cloned().collect::<HashSet<_>>(), removed, "{serial}");
        }
    }

    #[test]
    fn a_name_on_the_ladder_tells_releases_apart_for_as_long_as_the_ladder_is() {
        let (seed, ground) = (Seed::new([7; 32]), ground());
        let canaries = Canaries::new(&seed, &ground, Class::Legal);
        let name = &canaries.added(100)[0];
        let listed: Vec<u64> = (1..200).filter(|serial| canaries.ladder(*serial).contains(name)).collect();
        assert_eq!(listed, (100..116).collect::<Vec<_>>());
    }

    #[test]
    fn kinds_classes_seeds_resolvers_and_epochs_share_no_name() {
        let ground = ground();
        let mut seen = HashSet::new();
        let mut fresh = |names: Vec<Name>| names.into_iter().for_each(|name| assert!(seen.insert(name)));
        let moves = Moves { burnt: 0, emergency: 3 };
        for seed in [Seed::new([7; 32]), Seed::new([8; 32])] {
            for class in Class::ALL {
                let canaries = Canaries::new(&seed, &ground, class);
                fresh(canaries.hidden(moves));
                fresh(canaries.controls(moves));
                fresh(canaries.ladder(5));
                fresh(canaries.emergency(moves));
                for (resolver, epoch) in [("aa", 1), ("aa", 2), ("bb", 1)] {
                    fresh(canaries.watermark(resolver, epoch));
                }
            }
        }
    }

    #[test]
    fn burnt_canaries_leave_and_as_many_come() {
        let (seed, ground) = (Seed::new([7; 32]), ground());
        let canaries = Canaries::new(&seed, &ground, Class::Venue);
        let (before, after) =
            (canaries.hidden(Moves::default()), canaries.hidden(Moves { burnt: 20, ..Moves::default() }));
        assert_eq!(after.len(), 60);
        assert_eq!(before[20..], after[..40]);
    }

    #[test]
    fn a_name_says_nothing_about_its_kind() {
        let (seed, ground) = (Seed::new([7; 32]), ground());
        let canaries = Canaries::new(&seed, &ground, Class::Legal);
        let shape = |name: &Name| {
            let text = name.to_string();
            let (first, rest) = text.split_once('.').unwrap();
            let (second, domain) = rest.split_once('.').unwrap();
            assert!(domain == "one.example" || domain == "two.test", "{text}");
            (first.len(), second.len())
        };
        let all = [canaries.hidden(Moves::default()), canaries.controls(Moves::default()), canaries.ladder(1)];
        let all = all.concat();
        assert!(all.iter().all(|name| shape(name) == (12, 12)));
        let first = all.iter().filter(|name| name.to_string().ends_with("one.example")).count();
        assert!(first > all.len() / 3 && first < all.len() * 2 / 3, "both domains are used alike");
    }

    #[test]
    fn the_public_name_of_a_category_can_be_guessed_and_the_seed_does_not_show() {
        let (seed, ground) = (Seed::new([7; 32]), ground());
        let canaries = Canaries::new(&seed, &ground, Class::Venue);
        assert_eq!(canaries.test("adult").unwrap().to_string(), "adult.test.afw.example");
        assert_eq!(format!("{seed:?}"), "Seed(hidden)");
        assert_ne!(seed.derive("a"), seed.derive("b"));
    }
}
