//! The resolver's own secret, and what opens with it: its envelope, and through that the payloads of an epoch.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use signed_list::digest::DigestKey;
use signed_list::release::{Envelope, SPEC, Shard, resolver_id};

use crate::config;

/// Separates the key for receipts from everything else that is made of the secret.
const RECEIPTS: &str = "friendly-wifi 2026-11-23 key for signing receipts";

/// Why a secret or an envelope cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// The file cannot be read.
    #[error("the identity {path} cannot be read: {source}; {}", advice(source, path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is something else.
    #[error("{path} holds no age identity (a line that begins with AGE-SECRET-KEY-1)")]
    NoIdentity {
        /// The file.
        path: PathBuf,
    },
    /// systemd gave none.
    #[error("there is no credential '{0}': add LoadCredential={0}:FILE to the unit, or name a file")]
    NoCredential(String),
    /// The file is there already.
    #[error("{path} cannot be made: {source}")]
    NotMade {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody enrolled this resolver.
    #[error(
        "this resolver ({0}) is not enrolled for epoch {1}: give its line from 'friendly-resolver identity' to the publisher, \
         who runs 'friendly-blocklist enrol'; one that was revoked needs a new one first, \
         from 'friendly-resolver identity NEWFILE'"
    )]
    NotEnrolled(String, u64),
    /// An envelope or payload that does not open.
    #[error("{what} cannot be opened: {why}")]
    Closed {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
}

fn advice(error: &io::Error, path: &Path) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("make one with 'friendly-resolver identity {}'", path.display()),
        _ => "let the user of [server], and nobody else, read it".into(),
    }
}

/// The secret of this resolver.
pub struct Identity {
    age: x25519::Identity,
    receipts: Ed25519KeyPair,
}

impl Identity {
    /// Reads it from where the configuration says.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(place: &config::Identity) -> Result<Self, SealedError> {
        let path = match place {
            config::Identity::File(path) => path.clone(),
            config::Identity::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY");
                Path::new(&directory.ok_or_else(|| SealedError::NoCredential(name.clone()))?).join(name)
            }
        };
        let text =
            std::fs::read_to_string(&path).map_err(|source| SealedError::Unreadable { path: path.clone(), source })?;
        let line = text.lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-1"));
        let identity = line.and_then(|line| line.parse().ok());
        identity.map(Identity::new).ok_or(SealedError::NoIdentity { path })
    }

    /// Makes one and writes it to a new file that only this user can read. A file that is there is never overwritten:
    /// what was encrypted to it could not be opened any more.
    ///
    /// # Errors
    /// Why there is no such file now.
    pub fn make(path: &Path) -> Result<Self, SealedError> {
        let identity = Identity::new(x25519::Identity::generate());
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "# Secret of a Friendly Wi-Fi resolver. Public half: {}", identity.recipient())?;
            writeln!(file, "{}", identity.age.to_string().expose_secret())?;
            file.sync_all()
        };
        write().map_err(|source| SealedError::NotMade { path: path.into(), source })?;
        Ok(identity)
    }

    fn new(age: x25519::Identity) -> Self {
        let seed = blake3::derive_key(RECEIPTS, age.to_string().expose_secret().as_bytes());
        let receipts = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 octets are a seed");
        Identity { age, receipts }
    }

    /// The public half (`age1...`).
    pub fn recipient(&self) -> String {
        self.age.to_public().to_string()
    }

    /// The name of this resolver in releases and receipts.
    pub fn resolver(&self) -> String {
        resolver_id(&self.recipient())
    }

    /// The public half of the key that signs receipts, 64 hexadecimal digits.
    pub fn receipt_key(&self) -> String {
        self.receipts.public_key().as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
    }

    pub(super) fn signer(&self) -> &Ed25519KeyPair {
        &self.receipts
    }

    /// Finds the own envelope in a shard: the armoured text, still closed.
    ///
    /// # Errors
    /// What is wrong with the shard, or that this resolver is not enrolled.
    pub fn find(&self, shard: &[u8], epoch: u64) -> Result<String, SealedError> {
        let what = || format!("the envelopes of epoch {epoch}");
        let shard: Shard = serde_json::from_slice(shard)
            .map_err(|error| SealedError::Closed { what: what(), why: error.to_string() })?;
        if (shard.spec, shard.epoch) != (SPEC, epoch) {
            return Err(SealedError::Closed { what: what(), why: "they are of another epoch or version".into() });
        }
        let mine = shard.envelopes.get(&self.resolver());
        mine.cloned().ok_or_else(|| SealedError::NotEnrolled(self.resolver(), epoch))
    }

    /// Opens the own envelope.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(&self, envelope: &str) -> Result<Epoch, SealedError> {
        let closed = |why: String| SealedError::Closed { what: "the envelope of this resolver".into(), why };
        let text = age::decrypt(&self.age, envelope.as_bytes()).map_err(|error| closed(error.to_string()))?;
        // The place, not the message: that repeats what stands there, and there are keys.
        let envelope: Envelope = serde_json::from_slice(&text)
            .map_err(|error| closed(format!("what is in it is no envelope (octet {})", error.column())))?;
        if envelope.spec != SPEC {
            return Err(closed(format!("it has version {}, this program reads {SPEC}: update it", envelope.spec)));
        }
        Ok(Epoch {
            number: envelope.epoch,
            digest_key: DigestKey::new(envelope.digest_key),
            payload: envelope.payload_key.parse().map_err(|why: &str| closed(why.into()))?,
            watermark: envelope.watermark,
        })
    }
}

/// The secrets of an epoch.
pub struct Epoch {
    pub(super) number: u64,
    pub(super) digest_key: DigestKey,
    payload: x25519::Identity,
    /// Digests, with their labels, of the names that this resolver alone blocks.
    pub(super) watermark: Vec<(u64, u8)>,
}

impl Epoch {
    /// Opens a payload, which is decrypted while it is read: a list goes to the disk without standing in memory a
    /// second time. What does not open in the middle is an error of the reader.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn payload<'a>(&self, sealed: &'a [u8], what: &str) -> Result<impl Read + 'a, SealedError> {
        let closed = |error: age::DecryptError| SealedError::Closed { what: what.into(), why: error.to_string() };
        let file = age::Decryptor::new_buffered(sealed).map_err(closed)?;
        file.decrypt(std::iter::once(&self.payload as &dyn age::Identity)).map_err(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("friendly-sealed-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        directory.join("identity")
    }

    #[test]
    fn an_identity_is_made_once_for_its_owner_and_is_the_same_when_it_is_read() {
        use std::os::unix::fs::PermissionsExt;
        let path = scratch("made");
        let made = Identity::make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Identity::load(&config::Identity::File(path.clone())).unwrap();
        assert_eq!(
            (made.recipient(), made.receipt_key(), made.resolver()),
            (read.recipient(), read.receipt_key(), read.resolver())
        );
        assert!(made.recipient().starts_with("age1"));
        assert_eq!(made.receipt_key().len(), 64);
        assert!(Identity::make(&path).is_err_and(|error| error.to_string().contains("cannot be made")));
        assert_ne!(Identity::make(&path.with_extension("2")).unwrap().receipt_key(), made.receipt_key());
    }

    #[test]
    fn what_is_no_identity_is_said() {
        let path = scratch("wrong");
        let load = |path: &Path| Identity::load(&config::Identity::File(path.into())).err().unwrap().to_string();
        assert!(load(&path).contains("cannot be read"));
        std::fs::write(&path, "# comment\nAGE-SECRET-KEY-1XX\n").unwrap();
        assert!(load(&path).contains("holds no age identity"));
        let credential = Identity::load(&config::Identity::Credential("nobody".into())).err().unwrap();
        assert!(credential.to_string().contains("LoadCredential=nobody"), "{credential}");
    }

    #[test]
    fn an_envelope_opens_for_its_resolver_and_what_is_in_it_opens_payloads() {
        let path = scratch("envelope");
        let (mine, other) = (Identity::make(&path).unwrap(), Identity::make(&path.with_extension("other")).unwrap());
        let key = x25519::Identity::generate();
        let envelope = Envelope {
            spec: SPEC,
            epoch: 4,
            digest_key: [7; 16],
            payload_key: key.to_string().expose_secret().into(),
            watermark: vec![(u64::MAX, 3)],
        };
        let text = serde_json::to_vec(&envelope).unwrap();
        let closed = age::encrypt_and_armor(&mine.age.to_public(), &text).unwrap();
        let shard = Shard { spec: SPEC, epoch: 4, envelopes: [(mine.resolver(), closed)].into() };
        let shard = serde_json::to_vec(&shard).unwrap();

        let epoch = mine.open(&mine.find(&shard, 4).unwrap()).unwrap();
        assert_eq!((epoch.number, &epoch.watermark[..]), (4, &[(u64::MAX, 3)][..]));
        assert!(epoch.digest_key == DigestKey::new([7; 16]));
        let sealed = age::encrypt(&key.to_public(), b"a list").unwrap();
        let mut list = Vec::new();
        epoch.payload(&sealed, "it").unwrap().read_to_end(&mut list).unwrap();
        assert_eq!(list, b"a list");
        assert!(epoch.payload(&vec![0; 1 << 20], "it").is_err());
        let cut = epoch.payload(&sealed[..sealed.len() - 1], "it").unwrap().read_to_end(&mut list);
        assert!(cut.is_err());

        let wrong = String::from_utf8(text).unwrap().replace("\"epoch\"", "\"digest_key\"");
        let misplaced = wrong.replace("\"spec\":1", &format!("\"spec\":\"{}\"", key.to_string().expose_secret()));
        for text in [wrong, misplaced] {
            let closed = age::encrypt_and_armor(&mine.age.to_public(), text.as_bytes()).unwrap();
            let said = mine.open(&closed).err().unwrap().to_string();
            assert!(said.contains("no envelope") && !said.contains("SECRET"), "{said}");
        }
        assert!(mine.find(&shard, 5).err().unwrap().to_string().contains("another epoch"));
        assert!(mine.find(b"<html>", 4).is_err());
        let stranger = other.find(&shard, 4).err().unwrap().to_string();
        assert!(stranger.contains(&other.resolver()) && stranger.contains("enrol"), "{stranger}");
        assert!(other.open(&mine.find(&shard, 4).unwrap()).is_err());
    }
}
