//! Requests for review that people made on stop pages: who alone can read them, and the cases they are about.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::review::{EXTENSION, Review, VERSION};
use thiserror::Error;

use crate::ledger::UnixMillis;
use crate::ledger::case::Case;
use crate::ledger::neighbours::{Lies, Neighbours};
use crate::ledger::words::CaseId;

/// Octets of the largest file that is read: far more than any request has.
const MOST: u64 = 64 << 10;
/// What the name of a request ends with once it stands in the ledger.
const DONE: &str = "done";

/// Why a secret or a request cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum AppealError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} holds no age identity (a line that begins with AGE-SECRET-KEY-1); `appeal key FILE` makes one")]
    NoIdentity { path: PathBuf },
    #[error("{path} cannot be opened with this secret: {why}")]
    Closed { path: PathBuf, why: String },
    #[error("{path} is no request for review: {why}")]
    NoReview { path: PathBuf, why: String },
}

/// Makes the secret of those who answer, in a new file that only this user can read, and gives the public half, which
/// resolvers have in `recipient` of `[stop_page]`.
pub fn make(path: &Path) -> Result<String, AppealError> {
    let identity = Identity::generate();
    let public = identity.to_public().to_string();
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "# Opens requests for review from stop pages. Public half: {public}")?;
        writeln!(file, "{}", identity.to_string().expose_secret())?;
        file.sync_all()
    };
    write().map_err(|source| AppealError::File { path: path.into(), source })?;
    Ok(public)
}

/// Reads the secret.
pub fn secret(path: &Path) -> Result<Identity, AppealError> {
    let text = std::fs::read_to_string(path).map_err(|source| AppealError::File { path: path.into(), source })?;
    let line = text.lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-1"));
    line.and_then(|line| line.parse().ok()).ok_or(AppealError::NoIdentity { path: path.into() })
}

/// The requests among these files and in these directories, in the order of their names.
pub fn waiting(paths: &[PathBuf]) -> Result<Vec<PathBuf>, AppealError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failed = |source| AppealError::File { path: path.clone(), source };
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            files.extend(file.extension().is_some_and(|it| it == EXTENSION).then_some(file));
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a request: what was asked for, and the site.
pub fn open(path: &Path, secret: &Identity) -> Result<(Review, Name), AppealError> {
    let failed = |source| AppealError::File { path: path.into(), source };
    let no_review = |why: String| AppealError::NoReview { path: path.into(), why };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > MOST {
        return Err(no_review(format!("it has {length} octets")));
    }
    let sealed = std::fs::read(path).map_err(failed)?;
    let text = age::decrypt(secret, &sealed)
        .map_err(|error| AppealError::Closed { path: path.into(), why: error.to_string() })?;
    let review: Review = serde_json::from_slice(&text).map_err(|error| no_review(error.to_string()))?;
    if review.version != VERSION {
        return Err(no_review(format!("it has version {}, this program reads {VERSION}", review.version)));
    }
    // Anybody can encrypt to us: what is shown at a terminal has to be what it says.
    if !review.code.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        return Err(no_review("its number is none".into()));
    }
    let name = Name::parse(&review.site).map_err(|error| no_review(error.to_string()))?;
    Ok((review, name))
}

/// Marks a request as one that stands in the ledger. It stays where it is, and is no longer waiting.
pub fn done(path: &Path) -> Result<(), AppealError> {
    let to = path.with_extension(format!("{EXTENSION}.{DONE}"));
    std::fs::rename(path, to).map_err(|source| AppealError::File { path: path.into(), source })
}

/// The cases in force that block a name, alone or from above.
pub fn about(name: &Name, all: &Neighbours, at: UnixMillis) -> Vec<CaseId> {
    let own = all.cases_of(name).iter().filter(|case| case.in_force_at(at)).map(|case: &Case| case.id.clone());
    let above = all.around(name, Scope::Exact, at).into_iter().filter(|near| near.lies == Lies::Above && near.in_force);
    own.chain(above.map(|near| near.case)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("friendly-appeal-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn review(site: &str) -> Review {
        Review { version: VERSION, scheme: "al".into(), code: "K7F2-9QXM".into(), site: site.into(), day: 0 }
    }

    #[test]
    fn a_request_opens_for_those_who_answer_and_for_nobody_else() {
        let directory = scratch("open");
        let (mine, other) = (directory.join("mine"), directory.join("other"));
        let public: age::x25519::Recipient = make(&mine).unwrap().parse().unwrap();
        make(&other).unwrap();
        assert!(make(&mine).is_err(), "a secret is never overwritten");
        let path = directory.join("K7F2-9QXM.review");
        let write = |text: &[u8]| std::fs::write(&path, age::encrypt(&public, text).unwrap()).unwrap();
        write(&serde_json::to_vec(&review("site.test")).unwrap());
        let (read, name) = open(&path, &secret(&mine).unwrap()).unwrap();
        assert_eq!((read, name.to_string().as_str()), (review("site.test"), "site.test"));
        assert!(matches!(open(&path, &secret(&other).unwrap()), Err(AppealError::Closed { .. })));
        for text in [&b"{}"[..], b"site.test", &serde_json::to_vec(&review("no name")).unwrap()] {
            write(text);
            assert!(matches!(open(&path, &secret(&mine).unwrap()), Err(AppealError::NoReview { .. })));
        }
        write(&serde_json::to_vec(&Review { version: 2, ..review("site.test") }).unwrap());
        assert!(open(&path, &secret(&mine).unwrap()).unwrap_err().to_string().contains("version 2"));
        std::fs::write(&path, b"not age at all").unwrap();
        assert!(matches!(open(&path, &secret(&mine).unwrap()), Err(AppealError::Closed { .. })));
        let paths = [directory.clone()];
        assert_eq!(waiting(&paths).unwrap(), std::slice::from_ref(&path));
        done(&path).unwrap();
        assert!(waiting(&paths).unwrap().is_empty() && !path.exists());
        std::fs::write(directory.join("none"), "nothing").unwrap();
        let none = secret(&directory.join("none")).err().expect("no secret in it");
        assert!(none.to_string().contains("AGE-SECRET-KEY-1"));
    }
}
