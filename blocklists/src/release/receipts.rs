//! Receipts: a resolver's signed word that a release is in force there. Pure.
//!
//! A receipt is a compact JWS (RFC 7515) with Ed25519 (RFC 8037). It counts if the key is the one that the resolver was
//! enrolled with, and if the ledger knows exactly that release.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use signed_list::release::{Class, Receipt, SPEC};
use thiserror::Error;

use super::recipients::Recipients;
use crate::ledger::event::ReleaseRecord;

/// Octets of a receipt at most.
const LONGEST: usize = 8 << 10;
/// How far the clock of a resolver may be from ours, in milliseconds.
const CLOCK_SLACK: u64 = 5 * 60 * 1000;

/// Why a receipt does not count.
#[derive(Debug, Error, PartialEq, Eq)]
#[allow(missing_docs)] // the sentences say it
pub enum ReceiptError {
    #[error("it is no receipt: {0}")]
    Form(&'static str),
    #[error("its signature is of a kind that receipts do not have")]
    Algorithm,
    #[error("the resolver {0} is not enrolled here")]
    Stranger(String),
    #[error("no receipt key of the resolver {0} is known; add `receipt_key` to it in recipients.toml")]
    NoKey(String),
    #[error("the signature is not that of the resolver {0}")]
    Signature(String),
    #[error("there never was a release {serial} of the class {}", class.word())]
    NoRelease { class: Class, serial: u64 },
    #[error("release {serial} of the class {} had another list than the one it speaks of", class.word())]
    OtherList { class: Class, serial: u64 },
    #[error("it says that the release was in force before it was made; the clock of the resolver is wrong")]
    TooEarly,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// A receipt that counts.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// What the resolver says.
    pub receipt: Receipt,
    /// Milliseconds from the oldest decision in the release until it was in force there.
    pub time_to_block: Option<u64>,
    /// The resolver has been revoked since.
    pub revoked: bool,
}

/// Checks a receipt. Without the releases of a ledger only whether the resolver said it.
pub fn check(text: &str, recipients: &Recipients, releases: Option<&[ReleaseRecord]>) -> Result<Checked, ReceiptError> {
    let text = text.trim();
    if text.len() > LONGEST {
        return Err(ReceiptError::Form("it is too long"));
    }
    let parts: Vec<&str> = text.split('.').collect();
    let &[head, body, signature] = parts.as_slice() else {
        return Err(ReceiptError::Form("it does not have three parts"));
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| ReceiptError::Form("a part is not base64url"));
    let header: Header = serde_json::from_slice(&decode(head)?)
        .map_err(|_| ReceiptError::Form("its header is not what it should be"))?;
    if header.alg != "EdDSA" || header.typ != "receipt+jws" {
        return Err(ReceiptError::Algorithm);
    }
    let receipt: Receipt = serde_json::from_slice(&decode(body)?)
        .map_err(|_| ReceiptError::Form("its content is not what it should be"))?;
    if receipt.spec != SPEC || receipt.resolver != header.kid {
        return Err(ReceiptError::Form("header and content contradict each other"));
    }
    let id = || receipt.resolver.clone();
    let recipient = recipients.find(&receipt.resolver).ok_or_else(|| ReceiptError::Stranger(id()))?;
    let key = recipient.receipt_key.ok_or_else(|| ReceiptError::NoKey(id()))?;
    if !key.verify(format!("{head}.{body}").as_bytes(), &decode(signature)?) {
        return Err(ReceiptError::Signature(id()));
    }
    let (class, serial) = (receipt.class, receipt.serial);
    if let Some(releases) = releases {
        let release = releases.iter().find(|release| release.class == class && release.serial == serial);
        let release = release.ok_or(ReceiptError::NoRelease { class, serial })?;
        if release.hash != receipt.hash || release.created != receipt.created {
            return Err(ReceiptError::OtherList { class, serial });
        }
    }
    if receipt.applied_at.saturating_add(CLOCK_SLACK) < receipt.created.saturating_mul(1000) {
        return Err(ReceiptError::TooEarly);
    }
    let time_to_block = receipt.decided_at.map(|decided| receipt.applied_at.saturating_sub(decided));
    Ok(Checked { time_to_block, revoked: recipient.revoked_at.is_some(), receipt })
}

#[cfg(test)]
mod tests {
    use super::super::recipients::Recipient;
    use super::*;
    use crate::person::Person;

    struct World {
        person: Person,
        recipients: Recipients,
        release: ReleaseRecord,
        receipt: Receipt,
    }

    fn world() -> World {
        // The key of RFC 8410 section 10.3.
        let text = "-----BEGIN PRIVATE KEY-----\n\
                    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                    -----END PRIVATE KEY-----\n";
        let person = Person::from_pem(text.as_bytes()).unwrap();
        let mut recipients = Recipients::default();
        let age = age::x25519::Identity::generate().to_public().to_string();
        let recipient = Recipient {
            age,
            receipt_key: Some(person.public()),
            note: String::new(),
            enrolled_at: 1,
            revoked_at: None,
        };
        let resolver = recipients.enrol(recipient).unwrap();
        let release = ReleaseRecord {
            class: Class::Legal,
            serial: 7,
            epoch: Some(1),
            created: 1_800_000_000,
            entries: 5,
            added: 1,
            removed: 0,
            hash: [9; 32],
            overridden: false,
        };
        let receipt = Receipt {
            spec: SPEC,
            resolver,
            class: Class::Legal,
            serial: 7,
            hash: [9; 32],
            created: 1_800_000_000,
            decided_at: Some(1_799_999_999_500),
            applied_at: 1_800_000_004_000,
            software: "friendly-resolver 0.1.0".to_owned(),
        };
        World { person, recipients, release, receipt }
    }

    impl World {
        fn signed(&self, header: &str, receipt: &Receipt) -> String {
            let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(receipt).unwrap());
            let text = format!("{}.{body}", URL_SAFE_NO_PAD.encode(header));
            let signature = self.person.sign(text.as_bytes());
            format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
        }

        fn header(&self) -> String {
            format!("{{\"alg\":\"EdDSA\",\"kid\":\"{}\",\"typ\":\"receipt+jws\"}}", self.receipt.resolver)
        }

        fn check(&self, text: &str) -> Result<Checked, ReceiptError> {
            check(text, &self.recipients, Some(std::slice::from_ref(&self.release)))
        }
    }

    #[test]
    fn a_receipt_tells_how_long_it_took() {
        let mut world = world();
        let text = world.signed(&world.header(), &world.receipt);
        let checked = world.check(&format!("{text}\n")).unwrap();
        assert_eq!((checked.time_to_block, checked.revoked), (Some(4_500), false));
        world.recipients.revoke(&world.receipt.resolver, 5).unwrap();
        assert!(world.check(&text).unwrap().revoked, "what was in force stays proven");
    }

    #[test]
    fn what_was_changed_or_comes_from_somebody_else_does_not_count() {
        let world = world();
        let good = world.signed(&world.header(), &world.receipt);
        let id = world.receipt.resolver.clone();
        let wrong = |text: &str| world.check(text).map(drop).unwrap_err();
        let with = |change: &dyn Fn(&mut Receipt)| {
            let mut receipt = world.receipt.clone();
            change(&mut receipt);
            wrong(&world.signed(&world.header(), &receipt))
        };
        assert_eq!(with(&|it| it.serial = 8), ReceiptError::NoRelease { class: Class::Legal, serial: 8 });
        assert_eq!(with(&|it| it.hash = [8; 32]), ReceiptError::OtherList { class: Class::Legal, serial: 7 });
        assert_eq!(with(&|it| it.created += 1), ReceiptError::OtherList { class: Class::Legal, serial: 7 });
        assert_eq!(with(&|it| it.applied_at = 1_700_000_000_000), ReceiptError::TooEarly);
        assert_eq!(
            with(&|it| it.resolver = "00".into()),
            ReceiptError::Form("header and content contradict each other")
        );

        let none = world.header().replace("EdDSA", "none");
        assert_eq!(wrong(&world.signed(&none, &world.receipt)), ReceiptError::Algorithm);
        let (text, _) = good.rsplit_once('.').unwrap();
        assert_eq!(wrong(&format!("{text}.")), ReceiptError::Signature(id.clone()));
        assert_eq!(wrong(text), ReceiptError::Form("it does not have three parts"));
        for end in ["", ".x", "="] {
            let text = if end.is_empty() { String::new() } else { format!("{good}{end}") };
            assert!(matches!(wrong(&text), ReceiptError::Form(_)));
        }
        assert!(matches!(wrong(&"x".repeat(LONGEST + 1)), ReceiptError::Form("it is too long")));
    }

    #[test]
    fn strangers_and_resolvers_without_a_key_are_told_apart() {
        let mut world = world();
        let text = world.signed(&world.header(), &world.receipt);
        let id = world.receipt.resolver.clone();
        let kept = std::mem::take(&mut world.recipients);
        assert_eq!(world.check(&text).map(drop), Err(ReceiptError::Stranger(id.clone())));
        let keyless = Recipient { receipt_key: None, ..kept.all()[0].clone() };
        world.recipients.enrol(keyless).unwrap();
        assert_eq!(world.check(&text).map(drop), Err(ReceiptError::NoKey(id)));
    }
}
