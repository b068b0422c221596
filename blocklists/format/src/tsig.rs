//! Keys of transaction signatures (TSIG, RFC 8945), as the programs of others write them into files.
//!
//! Two forms are read: the `key` clause that `tsig-keygen` writes for BIND, and the one line that `dig -y`, `kdig` and
//! `keymgr` speak of, `hmac-sha256:NAME:SECRET`. HMAC-MD5 and SHA-1 are refused: everybody knows SHA-256.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

use crate::name::Name;

/// Octets of the shortest secret: 128 bits.
const SHORTEST: usize = 16;

/// A key. Its `Debug` form does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The name that both sides call it by.
    pub name: Name,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The secret itself.
    pub secret: Vec<u8>,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Algorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

/// Why a text is no key. The sentences hold no part of the secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Neither of the two forms.
    #[error("holds no TSIG key; write one with `tsig-keygen NAME`, or as hmac-sha256:NAME:SECRET")]
    Form,
    /// Something is said before, behind or between what makes a key.
    #[error("holds {0:?} where no such word belongs in a TSIG key")]
    Word(String),
    /// The algorithm is unknown, or too weak.
    #[error("the algorithm {0:?} is none of hmac-sha256, hmac-sha384 and hmac-sha512")]
    Algorithm(String),
    /// The name cannot be one.
    #[error("the name of the key is no domain name: {0}")]
    Name(#[from] crate::name::NameError),
    /// The secret is not base64.
    #[error("the secret is not base64")]
    Secret,
    /// The secret can be guessed.
    #[error("the secret has {0} octets; at least {SHORTEST} are needed")]
    Short(usize),
}

impl Key {
    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Key, KeyError> {
        let words = words(text);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["key", name, "{", ref inside @ .., "}", ";"] => Key::clause(name, inside),
            [line] => match line.split(':').collect::<Vec<_>>()[..] {
                [algorithm, name, secret] => Key::new(name, algorithm, secret),
                _ => Err(KeyError::Form),
            },
            _ => Err(KeyError::Form),
        }
    }

    fn clause(name: &str, inside: &[&str]) -> Result<Key, KeyError> {
        let (mut algorithm, mut secret) = (None, None);
        for statement in inside.split(|word| *word == ";").filter(|statement| !statement.is_empty()) {
            match statement {
                ["algorithm", word] => algorithm = Some(*word),
                ["secret", word] => secret = Some(*word),
                [word, ..] => return Err(KeyError::Word((*word).to_owned())),
                [] => {}
            }
        }
        Key::new(name, algorithm.ok_or(KeyError::Form)?, secret.ok_or(KeyError::Form)?)
    }

    fn new(name: &str, algorithm: &str, secret: &str) -> Result<Key, KeyError> {
        let algorithm = match algorithm.trim_end_matches('.').to_ascii_lowercase().as_str() {
            "hmac-sha256" => Algorithm::HmacSha256,
            "hmac-sha384" => Algorithm::HmacSha384,
            "hmac-sha512" => Algorithm::HmacSha512,
            other => return Err(KeyError::Algorithm(other.to_owned())),
        };
        let secret = BASE64_STANDARD.decode(secret).map_err(|_| KeyError::Secret)?;
        if secret.len() < SHORTEST {
            return Err(KeyError::Short(secret.len()));
        }
        Ok(Key { name: Name::parse(name)?, algorithm, secret })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({} {:?} hidden)", self.name, self.algorithm)
    }
}

/// Words, braces and semicolons, without quotes and comments.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        let mut word = String::new();
        for c in line.chars().chain([' ']) {
            if c.is_whitespace() || ['{', '}', ';'].contains(&c) {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if !c.is_whitespace() {
                    words.push(c.to_string());
                }
            } else if c != '"' {
                word.push(c);
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

    #[test]
    fn both_forms_are_read() {
        let clause = format!(
            "# made for a test\nkey \"isp.example\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n"
        );
        let key = Key::parse(&clause).unwrap();
        assert_eq!((key.name.to_string().as_str(), key.algorithm), ("isp.example", Algorithm::HmacSha256));
        assert_eq!(key.secret, b"0123456789abcdef");
        assert_eq!(Key::parse(&format!("HMAC-SHA256:isp.example.:{SECRET}\n")).unwrap(), key);
        assert!(!format!("{key:?}").contains("0123456789abcdef") && !format!("{key:?}").contains("[48"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let clause = |algorithm: &str, secret: &str| format!("key k {{ algorithm {algorithm}; secret {secret}; }};");
        for (text, part) in [
            (String::new(), "holds no TSIG key"),
            ("key k { algorithm hmac-sha256; };".to_owned(), "holds no TSIG key"),
            (format!("hmac-sha256:{SECRET}"), "holds no TSIG key"),
            (clause("hmac-md5", SECRET), "none of hmac-sha256"),
            (clause("hmac-sha256", "%%"), "not base64"),
            (clause("hmac-sha256", "c2hvcnQ="), "at least 16"),
            (format!("key k {{ algorithm hmac-sha256; secret {SECRET}; server x; }};"), "\"server\""),
            (format!("hmac-sha256:a b:{SECRET}"), "holds no TSIG key"),
            (format!("hmac-sha256:a..b:{SECRET}"), "no domain name"),
        ] {
            let error = Key::parse(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{part:?} is not in {error:?}");
            assert!(!error.contains(SECRET), "{error}");
        }
    }
}
