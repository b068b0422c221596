//! What can happen in a ledger, and the octets that are signed for it.
//!
//! An [`Entry`] is an [`Event`] with its number, its time and who signed it. [`Entry::octets`] is its one written form:
//! JSON without blanks, the fields in the order of the types below. These octets are stored, hashed and signed as they
//! are; nothing is ever written anew to be checked.

use serde::{Deserialize, Serialize};
use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::release::Class;

use super::words::{CaseId, Label, Remark, Word};
use super::{UnixMillis, UnixSeconds};
use crate::person::{Introduction, Person, PersonId, PublicKey, hex, unhex};

/// Version of the form of entries.
pub const VERSION: u32 = 1;
/// What is hashed and signed begins with this, so that no other document can pass for an entry.
const PURPOSE: &[u8] = b"friendly-blocklist ledger 1\n";

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`VERSION`].
    pub version: u32,
    /// Its number, from 1 without a gap.
    pub number: u64,
    /// When it was signed, by the clock of the machine.
    pub at: UnixMillis,
    /// Who signed it.
    pub by: PersonId,
    /// What happened.
    pub event: Event,
}

impl Entry {
    /// The written form.
    pub fn octets(&self) -> Vec<u8> {
        // Strings, numbers and lists of them: nothing in these types can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the written form; `None` unless it is exactly what [`Entry::octets`] writes.
    pub fn read(octets: &[u8]) -> Option<Entry> {
        let entry: Entry = serde_json::from_slice(octets).ok()?;
        (entry.version == VERSION && entry.octets() == octets).then_some(entry)
    }
}

/// The place of an entry in the chain: what its signature and the next entry hold on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// BLAKE3 of the purpose, the hash before and the octets.
    pub hash: [u8; 32],
    /// Ed25519 over the same.
    pub signature: [u8; 64],
}

/// Hash before the first entry.
pub const NOTHING_BEFORE: [u8; 32] = [0; 32];

fn message(before: &[u8; 32], octets: &[u8]) -> Vec<u8> {
    [PURPOSE, before, octets].concat()
}

impl Link {
    /// Signs an entry behind the one whose hash is `before`.
    pub fn sign(before: &[u8; 32], octets: &[u8], person: &Person) -> Link {
        let message = message(before, octets);
        Link { hash: *blake3::hash(&message).as_bytes(), signature: person.sign(&message) }
    }

    /// Whether octets and hash belong together.
    pub fn holds(&self, before: &[u8; 32], octets: &[u8]) -> bool {
        *blake3::hash(&message(before, octets)).as_bytes() == self.hash
    }

    /// Whether the holder of the key signed the octets in this place.
    pub fn is_signed_by(&self, key: PublicKey, before: &[u8; 32], octets: &[u8]) -> bool {
        key.verify(&message(before, octets), &self.signature)
    }
}

/// What a person may do. Somebody can have several roles; an admin has no other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Registers and retires people, and decides about no case.
    Admin,
    /// Takes in, assesses and classifies.
    Analyst,
    /// Approves listings, two of them for a legal one.
    Approver,
    /// Decides appeals and looks after what one person did alone.
    Officer,
    /// Keeps the lists of the operator and the venues, and makes releases.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] = [Role::Admin, Role::Analyst, Role::Approver, Role::Officer, Role::Operator];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Analyst => "analyst",
            Role::Approver => "approver",
            Role::Officer => "officer",
            Role::Operator => "operator",
        }
    }

    /// The role of a word.
    pub fn of_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// What the records say about a case that may become an entry. No URL, no description, nobody's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Which list it is for.
    pub class: Class,
    /// Why, as a word of the scheme.
    pub category: Word,
    /// The name, in the form in which names are compared.
    #[serde(with = "name_text")]
    pub name: Name,
    /// What the entry covers.
    #[serde(with = "scope_word")]
    pub scope: Scope,
    /// The legal ground, as a word of the scheme.
    pub legal_basis: Option<Word>,
    /// The decision under that ground.
    pub legal_reference: Option<Remark>,
    /// The hotline says that the whole domain serves nothing else.
    pub dedicated_attestation: bool,
    /// When the hotline assessed it.
    pub assessed_at: UnixSeconds,
    /// When notice and takedown was sent.
    pub ntd_sent_at: Option<UnixSeconds>,
    /// Where it is hosted, as ISO 3166 letters.
    pub host_country: Option<Word>,
}

/// Something that happened. The field `kind` of the written form is the name of the variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // fields say themselves what they are
pub enum Event {
    /// The ledger begins. Signed by its first admin, whose key it holds.
    Founded { scheme: Word, admin: Key, label: Label },
    /// Somebody may sign from now on, or has other roles from now on.
    PersonAdded { person: Key, label: Label, roles: Vec<Role> },
    /// Somebody signs no longer: left, or lost the key.
    PersonRetired { person: PersonId, reason: Remark },
    /// The clock had been wrong: times after this moment are taken back to it.
    ClockCorrected { reason: Remark },
    /// A hotline's record came in, and triage let it pass.
    Reported { case: CaseId, facts: Facts },
    /// A hotline's record came in, and went back: only notice and takedown at the source can help. The name is not kept.
    Returned { case: CaseId, category: Word, ground: Word },
    /// An analyst has looked at the case.
    Assessed { case: CaseId },
    /// An analyst has settled category and legal ground.
    Classified { case: CaseId, category: Word, legal_basis: Option<Word>, legal_reference: Option<Remark> },
    /// One approval, for the first listing or for another period.
    Approved { case: CaseId, review_by: UnixSeconds },
    /// It will not be listed.
    Rejected { case: CaseId, reason: Remark },
    /// Who reported it takes it back.
    Withdrawn { case: CaseId, reason: Remark },
    /// Off the list at once, by one person.
    EmergencyDelisted { case: CaseId, reason: Remark },
    /// A second person has looked at what one did alone.
    Reviewed { case: CaseId, outcome: Outcome, reason: Remark },
    /// It is gone at its source.
    Removed { case: CaseId, seen_at: UnixSeconds },
    /// Somebody asks for another look. Who asks is not kept.
    AppealOpened { case: CaseId, evident: bool },
    /// The listing stays.
    AppealUpheld { case: CaseId, reason: Remark },
    /// The listing goes.
    AppealDelisted { case: CaseId, reason: Remark },
    /// One of two asks to let a release pass that the guard holds.
    OverrideRequested {
        class: Class,
        #[serde(with = "hash_text")]
        hash: [u8; 32],
        reason: Remark,
    },
    /// The other one agrees.
    OverrideApproved {
        class: Class,
        #[serde(with = "hash_text")]
        hash: [u8; 32],
        reason: Remark,
    },
    /// A release was made.
    Released { release: ReleaseRecord },
}

/// A public key, and the proof that its holder sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key.
    pub key: PublicKey,
    /// Its proof.
    #[serde(with = "proof_text")]
    pub proof: [u8; 64],
}

impl From<&Introduction> for Key {
    fn from(introduction: &Introduction) -> Key {
        Key { key: introduction.key(), proof: introduction.proof() }
    }
}

/// What comes of a delisting that one person did alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was right.
    Confirmed,
    /// The case goes back to where it waits for approvals.
    Reopened,
}

/// A release as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRecord {
    /// Its class.
    pub class: Class,
    /// Its serial, larger than the one before in the class.
    pub serial: u64,
    /// Epoch of its keys.
    pub epoch: Option<u64>,
    /// When it was made.
    pub created: UnixSeconds,
    /// Entries in it.
    pub entries: u64,
    /// Entries that the release before did not have.
    pub added: u64,
    /// Entries that only the release before had.
    pub removed: u64,
    /// BLAKE3 hash of the list.
    #[serde(with = "hash_text")]
    pub hash: [u8; 32],
    /// Two people let it pass the guard; they are found by its hash.
    pub overridden: bool,
}

impl Event {
    /// The case it is about.
    pub fn case(&self) -> Option<&CaseId> {
        match self {
            Event::Reported { case, .. }
            | Event::Returned { case, .. }
            | Event::Assessed { case }
            | Event::Classified { case, .. }
            | Event::Approved { case, .. }
            | Event::Rejected { case, .. }
            | Event::Withdrawn { case, .. }
            | Event::EmergencyDelisted { case, .. }
            | Event::Reviewed { case, .. }
            | Event::Removed { case, .. }
            | Event::AppealOpened { case, .. }
            | Event::AppealUpheld { case, .. }
            | Event::AppealDelisted { case, .. } => Some(case),
            _ => None,
        }
    }

    /// What somebody does who makes it, in words.
    pub fn deed(&self) -> &'static str {
        match self {
            Event::Founded { .. } => "begin a ledger",
            Event::PersonAdded { .. } => "register people",
            Event::PersonRetired { .. } => "retire keys",
            Event::ClockCorrected { .. } => "correct the clock",
            Event::Reported { .. } | Event::Returned { .. } => "take in records",
            Event::Assessed { .. } | Event::Classified { .. } => "review a case",
            Event::Approved { .. } => "approve a case",
            Event::Rejected { .. } => "reject a case",
            Event::Withdrawn { .. } => "withdraw a case",
            Event::EmergencyDelisted { .. } => "take a case off the list",
            Event::Reviewed { .. } => "look at a delisting as the second person",
            Event::Removed { .. } => "close a case as removed at source",
            Event::AppealOpened { .. } => "record an appeal",
            Event::AppealUpheld { .. } | Event::AppealDelisted { .. } => "answer an appeal",
            Event::OverrideRequested { .. } | Event::OverrideApproved { .. } => "let a held release pass",
            Event::Released { .. } => "make a release",
        }
    }

    /// Its kind, as in the written form.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Founded { .. } => "founded",
            Event::PersonAdded { .. } => "person_added",
            Event::PersonRetired { .. } => "person_retired",
            Event::ClockCorrected { .. } => "clock_corrected",
            Event::Reported { .. } => "reported",
            Event::Returned { .. } => "returned",
            Event::Assessed { .. } => "assessed",
            Event::Classified { .. } => "classified",
            Event::Approved { .. } => "approved",
            Event::Rejected { .. } => "rejected",
            Event::Withdrawn { .. } => "withdrawn",
            Event::EmergencyDelisted { .. } => "emergency_delisted",
            Event::Reviewed { .. } => "reviewed",
            Event::Removed { .. } => "removed",
            Event::AppealOpened { .. } => "appeal_opened",
            Event::AppealUpheld { .. } => "appeal_upheld",
            Event::AppealDelisted { .. } => "appeal_delisted",
            Event::OverrideRequested { .. } => "override_requested",
            Event::OverrideApproved { .. } => "override_approved",
            Event::Released { .. } => "released",
        }
    }
}

/// `exact` or `subtree`.
pub fn scope_text(scope: Scope) -> &'static str {
    match scope {
        Scope::Exact => "exact",
        Scope::Subtree => "subtree",
    }
}

mod scope_word {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(scope: &Scope, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(scope_text(*scope))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Scope, D::Error> {
        match String::deserialize(input)?.as_str() {
            "exact" => Ok(Scope::Exact),
            "subtree" => Ok(Scope::Subtree),
            _ => Err(D::Error::custom("a scope is exact or subtree")),
        }
    }
}

mod name_text {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(name: &Name, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Name, D::Error> {
        Name::parse(&String::deserialize(input)?).map_err(D::Error::custom)
    }
}

mod hash_text {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer, const N: usize>(octets: &[u8; N], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&hex(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(input: D) -> Result<[u8; N], D::Error> {
        let wrong = || D::Error::custom(format!("{} hexadecimal digits are wanted", 2 * N));
        unhex(&String::deserialize(input)?).ok_or_else(wrong)
    }
}

use hash_text as proof_text;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            version: VERSION,
            number: 7,
            at: 1_800_000_000_123,
            by: "0123456789abcdef".parse().unwrap(),
            event: Event::Reported {
                case: CaseId::parse("isigurt/2027-1").unwrap(),
                facts: Facts {
                    class: Class::Legal,
                    category: Word::parse("csam").unwrap(),
                    name: Name::parse("Bücher.test").unwrap(),
                    scope: Scope::Subtree,
                    legal_basis: Some(Word::parse("law-18-2017").unwrap()),
                    legal_reference: None,
                    dedicated_attestation: true,
                    assessed_at: 1_799_000_000,
                    ntd_sent_at: None,
                    host_country: None,
                },
            },
        }
    }

    #[test]
    fn the_written_form_is_fixed() {
        // Ledgers that exist are in this form: whoever changes it makes a new version.
        let text = String::from_utf8(entry().octets()).unwrap();
        assert_eq!(
            text,
            "{\"version\":1,\"number\":7,\"at\":1800000000123,\"by\":\"0123456789abcdef\",\"event\":{\"kind\":\
             \"reported\",\"case\":\"isigurt/2027-1\",\"facts\":{\"class\":\"legal\",\"category\":\"csam\",\"name\":\
             \"xn--bcher-kva.test\",\"scope\":\"subtree\",\"legal_basis\":\"law-18-2017\",\"legal_reference\":null,\
             \"dedicated_attestation\":true,\"assessed_at\":1799000000,\"ntd_sent_at\":null,\"host_country\":null}}}"
        );
        assert_eq!(Entry::read(text.as_bytes()), Some(entry()));
    }

    #[test]
    fn only_the_written_form_is_read() {
        let text = String::from_utf8(entry().octets()).unwrap();
        for wrong in [
            text.replacen(":7", ": 7", 1),
            text.replacen("xn--bcher-kva", "XN--bcher-kva", 1),
            text.replacen("{\"version\":1,", "{", 1),
            text.replacen("\"version\":1", "\"version\":2", 1),
            text.replacen("\"kind\"", "\"extra\":1,\"kind\"", 1),
            text.replacen("\"case\"", "\"extra\":1,\"case\"", 1),
            text.replacen("\"number\":7", "\"number\":7,\"number\":7", 1),
            format!("{text} "),
        ] {
            assert_eq!(Entry::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn the_kind_in_the_written_form_is_the_kind() {
        let case = CaseId::parse("a/1").unwrap();
        let reason = Remark::parse("a reason").unwrap();
        for event in [
            Event::Assessed { case: case.clone() },
            Event::EmergencyDelisted { case: case.clone(), reason: reason.clone() },
            Event::AppealOpened { case, evident: true },
            Event::OverrideApproved { class: Class::Legal, hash: [1; 32], reason },
        ] {
            let text = serde_json::to_string(&event).unwrap();
            assert!(text.starts_with(&format!("{{\"kind\":\"{}\"", event.kind())), "{text}");
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }
}
