//! The enrolled resolvers: to whom sealed releases are encrypted, and with which key each of them signs its receipts.
//!
//! A file of the work directory, which people may read and correct:
//!
//! ```toml
//! version = 1
//!
//! [[recipient]]
//! age = "age1..."
//! receipt_key = "d75a98..."
//! note = "library, first floor"
//! enrolled_at = 1800000000
//! ```

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use signed_list::release::resolver_id;
use thiserror::Error;

use crate::person::PublicKey;

/// All recipients, the revoked ones included: their receipts stay valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    recipients: Vec<Recipient>,
}

/// One resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// Its age recipient (`age1...`).
    pub age: String,
    /// The Ed25519 key that its receipts are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_key: Option<PublicKey>,
    /// Where it stands, for people; published nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Unix seconds.
    pub enrolled_at: u64,
    /// Unix seconds; since then no epoch has been opened to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    version: u32,
    #[serde(default)]
    recipient: Vec<Recipient>,
}

/// Why a resolver is not enrolled or revoked.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum RecipientError {
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    #[error("version {0} is unknown; this program reads version 1")]
    Version(u32),
    #[error("'{0}...' is no age recipient (age1...): {1}")]
    Recipient(String, &'static str),
    #[error("resolver {0} is enrolled already; nothing was changed")]
    Enrolled(String),
    #[error(
        "resolver {0} was revoked and cannot come back: make a new identity there with `friendly-resolver identity NEWFILE`, name that \
             file as its `identity`, and enrol what the command prints"
    )]
    Revoked(String),
    #[error("resolver {0} is not enrolled; `friendly-blocklist enrol --list` shows who is")]
    Unknown(String),
}

impl Recipient {
    /// The name of the resolver in releases and receipts.
    pub fn id(&self) -> String {
        resolver_id(&self.age)
    }
}

impl Recipients {
    /// Reads the file.
    pub fn read(text: &str) -> Result<Recipients, RecipientError> {
        let Shape { version, recipient: recipients } = toml::from_str(text)?;
        if version != 1 {
            return Err(RecipientError::Version(version));
        }
        for recipient in &recipients {
            check(&recipient.age)?;
        }
        Ok(Recipients { recipients })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        let shape = Shape { version: 1, recipient: self.recipients.clone() };
        // Text and numbers in tables: nothing of it can fail.
        toml::to_string(&shape).unwrap_or_default()
    }

    /// Enrols a resolver and tells its id.
    pub fn enrol(&mut self, recipient: Recipient) -> Result<String, RecipientError> {
        check(&recipient.age)?;
        let id = recipient.id();
        match self.recipients.iter().find(|known| known.age == recipient.age) {
            Some(Recipient { revoked_at: Some(_), .. }) => return Err(RecipientError::Revoked(id)),
            Some(_) => return Err(RecipientError::Enrolled(id)),
            None => self.recipients.push(recipient),
        }
        Ok(id)
    }

    /// Revokes a resolver, named by its id or its age recipient.
    pub fn revoke(&mut self, who: &str, now: u64) -> Result<String, RecipientError> {
        let id = if who.starts_with("age1") { resolver_id(who) } else { who.to_owned() };
        match self.recipients.iter_mut().find(|recipient| recipient.id() == id) {
            None => Err(RecipientError::Unknown(id)),
            Some(recipient) => {
                recipient.revoked_at.get_or_insert(now);
                Ok(id)
            }
        }
    }

    /// A resolver by its id.
    pub fn find(&self, id: &str) -> Option<&Recipient> {
        self.recipients.iter().find(|recipient| recipient.id() == id)
    }

    /// All of them.
    pub fn all(&self) -> &[Recipient] {
        &self.recipients
    }

    /// Those that releases are encrypted to.
    pub fn active(&self) -> impl Iterator<Item = &Recipient> {
        self.recipients.iter().filter(|recipient| recipient.revoked_at.is_none())
    }
}

fn check(recipient: &str) -> Result<(), RecipientError> {
    age::x25519::Recipient::from_str(recipient)
        .map(drop)
        // Not all of it: it might be the secret half.
        .map_err(|reason| RecipientError::Recipient(recipient.chars().take(16).collect(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(note: &str) -> Recipient {
        Recipient {
            age: age::x25519::Identity::generate().to_public().to_string(),
            receipt_key: None,
            note: note.to_owned(),
            enrolled_at: 1,
            revoked_at: None,
        }
    }

    #[test]
    fn recipients_come_back_as_they_went() {
        let mut recipients = Recipients::default();
        for note in ["library", "", "\"a\"\nb"] {
            recipients.enrol(recipient(note)).unwrap();
        }
        recipients.revoke(&recipients.all()[1].id(), 7).unwrap();
        let read = Recipients::read(&recipients.write()).unwrap();
        assert_eq!(read, recipients);
        assert_eq!(read.active().count(), 2);
        assert_eq!(Recipients::read("version = 1").unwrap(), Recipients::default());
    }

    #[test]
    fn nobody_is_enrolled_twice_or_comes_back_after_a_revocation() {
        let mut recipients = Recipients::default();
        let one = recipient("");
        let id = recipients.enrol(one.clone()).unwrap();
        assert!(matches!(recipients.enrol(one.clone()), Err(RecipientError::Enrolled(_))));
        assert_eq!(recipients.revoke(&one.age, 5).unwrap(), id);
        assert_eq!(recipients.revoke(&id, 6).unwrap(), id);
        assert_eq!(recipients.find(&id).unwrap().revoked_at, Some(5));
        assert!(matches!(recipients.enrol(one), Err(RecipientError::Revoked(_))));
        assert!(matches!(recipients.revoke("0011223344556677", 5), Err(RecipientError::Unknown(_))));
    }

    #[test]
    fn what_is_no_recipient_is_refused() {
        let mut recipients = Recipients::default();
        for wrong in ["", "age1", "age1qqqq", "AGE-SECRET-KEY-1", "ssh-ed25519 AAAA"] {
            let error = recipients.enrol(Recipient { age: wrong.to_owned(), ..recipient("") }).unwrap_err();
            assert!(error.to_string().contains("no age recipient"), "{error}");
        }
        assert!(Recipients::read("version = 2").is_err());
        assert!(Recipients::read("version = 1\n[[recipient]]\nage = \"x\"\nenrolled_at = 1").is_err());
    }
}
