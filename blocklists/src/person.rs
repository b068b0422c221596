//! A person's signing key: who somebody is to the ledger and to the repository.
//!
//! Nobody is known by a typed name. A decision is signed with an Ed25519 key that one person holds, in a file that only
//! they can read (PKCS#8 as PEM, which OpenSSL reads and writes, too):
//!
//! ```console
//! $ friendly-blocklist person new ana.pem
//! ```
//!
//! What the others get is an [`Introduction`]: the public key, signed by itself so that nobody can have a key registered
//! that they do not hold.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// Octets of a key file that are read at most; a real one has some 120.
const MAX_FILE: u64 = 16 << 10;
/// What stands before the PEM block's content, and at its end.
const TAG: &str = "PRIVATE KEY";
/// First word of an introduction; the number is its version.
const INTRODUCTION: &str = "friendly-person-1";

/// Somebody who can sign. Only whoever holds the key file can make one.
pub struct Person {
    key: Ed25519KeyPair,
    public: PublicKey,
}

/// The public half of a person's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// Short form of a public key, for people's eyes and for the records: the first 16 hexadecimal digits of its SHA-256.
///
/// 64 bits are enough to tell apart the people of one ledger, and nobody can make a second key with a given short form;
/// it is what whoever registers a key compares with what its holder says. A second key with the same one is refused.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PersonId(String);

/// What is sent to the one who registers people: a public key and the proof that its holder sent it. One line of text
/// with nothing secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    key: PublicKey,
    proof: [u8; 64],
}

/// What is wrong with a key.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum PersonError {
    #[error("{}: the key cannot be read: {error}; {}", path.display(), advice(error))]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: the key cannot be written: {error}; {}", path.display(), advice(error))]
    Write { path: PathBuf, error: io::Error },
    #[error(
        "{}: others can read this key (mode {mode:03o}); if nobody did, run `chmod 600` on it, otherwise retire it and \
         make a new one", path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "{}: not a private Ed25519 key in PEM form (`-----BEGIN PRIVATE KEY-----`); make one with `friendly-blocklist \
         person new FILE`", path.display()
    )]
    NotAKey { path: PathBuf },
    #[error(
        "{}: this is an introduction, which anybody may have; the key is the .pem file beside it, such as {}",
        path.display(), beside.display()
    )]
    AnIntroduction { path: PathBuf, beside: PathBuf },
    #[error("the random numbers of this machine cannot be read; no key was made")]
    Random,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path, or make a key with `friendly-blocklist person new FILE`",
        io::ErrorKind::AlreadyExists => "a key is never written over; name another file",
        io::ErrorKind::PermissionDenied => "a key belongs to one person: use your own",
        io::ErrorKind::StorageFull => "make room on the disk; no key was made",
        _ => "nothing was changed",
    }
}

impl Person {
    /// Makes a new key and writes it to a new file that only its owner can read (mode 0600).
    pub fn create(path: &Path) -> Result<Person, PersonError> {
        let key = Ed25519KeyPair::generate().map_err(|_| PersonError::Random)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| PersonError::Random)?;
        let block = pem::Pem::new(TAG, der.as_ref());
        let text =
            Zeroizing::new(pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)));
        let failed = |error| PersonError::Write { path: path.to_owned(), error };
        // `create_new`: the key of somebody else is not written over, and no link is followed.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a key is of no use to anybody.
            let _ = fs::remove_file(path);
            return Err(failed(error));
        }
        Ok(Person::of(key))
    }

    /// Reads a key from its file, which nobody else may be able to read.
    pub fn read(path: &Path) -> Result<Person, PersonError> {
        let failed = |error| PersonError::Read { path: path.to_owned(), error };
        let file = fs::File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(MAX_FILE).read_to_end(&mut text).map_err(failed)?;
        // Before its mode: everybody may read an introduction, and that is not what is wrong with it here.
        if text.starts_with(INTRODUCTION.as_bytes()) {
            return Err(PersonError::AnIntroduction { path: path.to_owned(), beside: path.with_extension("pem") });
        }
        if about.is_file() && about.mode() & 0o077 != 0 {
            return Err(PersonError::Exposed { path: path.to_owned(), mode: about.mode() & 0o777 });
        }
        Person::from_pem(&text).ok_or_else(|| PersonError::NotAKey { path: path.to_owned() })
    }

    /// The person of a PEM block.
    pub fn from_pem(text: &[u8]) -> Option<Person> {
        let block = pem::parse(text).ok().filter(|block| block.tag() == TAG)?;
        let der = Zeroizing::new(block.into_contents());
        Ed25519KeyPair::from_pkcs8(&der).ok().map(Person::of)
    }

    fn of(key: Ed25519KeyPair) -> Person {
        let mut public = [0; 32];
        public.copy_from_slice(key.public_key().as_ref());
        Person { key, public: PublicKey(public) }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Short form of the public half.
    pub fn id(&self) -> PersonId {
        self.public.id()
    }

    /// Signs octets. Whoever calls it puts a word in front that says what they are for, so that a signature made for
    /// one purpose cannot be used for another.
    pub fn sign(&self, octets: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.key.sign(octets).as_ref());
        signature
    }

    /// The key itself, for libraries that sign by themselves.
    pub fn key_pair(&self) -> &Ed25519KeyPair {
        &self.key
    }

    /// What to send to the one who registers people.
    pub fn introduction(&self) -> Introduction {
        Introduction { key: self.public, proof: self.sign(&claim(self.public)) }
    }
}

/// Without the secret half.
impl fmt::Debug for Person {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Person({})", self.id())
    }
}

impl PublicKey {
    /// Nobody's key: stands where nothing is signed.
    pub(crate) const NOBODY: PublicKey = PublicKey([0; 32]);

    /// The octets (RFC 8032).
    pub fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// Short form.
    pub fn id(&self) -> PersonId {
        PersonId(hex(&digest(&SHA256, &self.0).as_ref()[..8]))
    }

    /// Whether the holder of the key signed these octets.
    pub fn verify(&self, octets: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(octets, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PublicKey, &'static str> {
        unhex(text).map(PublicKey).ok_or("a public key has 64 hexadecimal digits, in lower case")
    }
}

impl TryFrom<String> for PublicKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<PublicKey, &'static str> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

impl PersonId {
    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for PersonId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for PersonId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PersonId, &'static str> {
        let digits = unhex::<8>(text);
        digits.map(|_| PersonId(text.to_owned())).ok_or("a person's id has 16 hexadecimal digits, in lower case")
    }
}

impl TryFrom<String> for PersonId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<PersonId, &'static str> {
        text.parse()
    }
}

impl From<PersonId> for String {
    fn from(id: PersonId) -> String {
        id.0
    }
}

fn claim(key: PublicKey) -> Vec<u8> {
    format!("{INTRODUCTION}\n{key}").into_bytes()
}

impl Introduction {
    /// The key, which its holder has shown to hold.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// The proof, which goes into the ledger with the key.
    pub fn proof(&self) -> [u8; 64] {
        self.proof
    }

    /// Puts the parts together; `None` if the holder of the key did not make the proof.
    pub fn new(key: PublicKey, proof: [u8; 64]) -> Option<Introduction> {
        key.verify(&claim(key), &proof).then_some(Introduction { key, proof })
    }
}

impl fmt::Display for Introduction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{INTRODUCTION} {} {}", self.key, hex(&self.proof))
    }
}

impl FromStr for Introduction {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Introduction, &'static str> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let &[INTRODUCTION, key, proof] = words.as_slice() else {
            return Err("not an introduction: the line that `person new` and `person show` print, whole, is wanted");
        };
        let proof = unhex(proof).ok_or("the proof of the introduction is cut off or changed")?;
        Introduction::new(key.parse()?, proof).ok_or("the introduction was changed: its proof does not fit its key")
    }
}

/// Octets as hexadecimal digits, in lower case.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Octets from exactly so many hexadecimal digits, in lower case: each value has one way to write it.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directory(test: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("friendly-person-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_key_comes_back_from_its_file_and_is_for_one_person_only() {
        let directory = directory("file");
        let path = directory.join("ana.pem");
        let made = Person::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let read = Person::read(&path).unwrap();
        assert_eq!((made.public(), made.id()), (read.public(), read.id()));
        assert!(made.public().verify(b"text", &read.sign(b"text")));
        assert!(!made.public().verify(b"texT", &read.sign(b"text")));

        let again = Person::create(&path).unwrap_err().to_string();
        assert!(again.contains("never written over"), "{again}");
        assert_eq!(Person::read(&path).unwrap().id(), made.id());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let exposed = Person::read(&path).unwrap_err().to_string();
        assert!(exposed.contains("mode 640") && exposed.contains("chmod 600"), "{exposed}");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_no_key_is_told() {
        let directory = directory("wrong");
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            Person::read(&path).unwrap_err().to_string()
        };
        for text in ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(write("wrong.pem", text).contains("not a private Ed25519 key"), "{text:?}");
        }
        let absent = Person::read(&directory.join("absent.pem")).unwrap_err().to_string();
        assert!(absent.contains("person new"), "{absent}");
        let folder = Person::read(&directory).unwrap_err().to_string();
        assert!(folder.contains("directory"), "{folder}");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn keys_of_openssl_are_read() {
        // From RFC 8410 section 10.3, where `openssl genpkey -algorithm ed25519` writes the same form.
        let text = "-----BEGIN PRIVATE KEY-----\n\
                    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                    -----END PRIVATE KEY-----\n";
        let person = Person::from_pem(text.as_bytes()).unwrap();
        assert_eq!(person.public().to_string(), "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        let hash = digest(&SHA256, person.public().as_octets());
        assert_eq!(person.id().as_str(), hex(hash.as_ref()).get(..16).unwrap());
    }

    #[test]
    fn an_introduction_holds_for_its_own_key_only() {
        let directory = directory("introduction");
        let ana = Person::create(&directory.join("ana.pem")).unwrap();
        let besa = Person::create(&directory.join("besa.pem")).unwrap();
        let line = ana.introduction().to_string();
        let read: Introduction = format!("  {line}\n").parse().unwrap();
        assert_eq!((read.key(), read.proof()), (ana.public(), ana.introduction().proof()));
        let stolen = format!("{INTRODUCTION} {} {}", besa.public(), hex(&ana.introduction().proof()));
        for wrong in [stolen.as_str(), &line[..line.len() - 1], &line.to_uppercase(), &line[18..], ""] {
            assert!(wrong.parse::<Introduction>().is_err(), "{wrong}");
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
