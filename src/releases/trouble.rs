//! What keeps a list from being followed, in a sentence for the operator, and in a word for metrics.

use std::io;
use std::path::{Path, PathBuf};

use signed_list::list::{CheckError, DeltaError};
use tough::error::Error;

use super::remote::FetchError;
use super::sealed::SealedError;

/// Why the repository could not be followed. The last good list stays in force through all of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Sealed(#[from] SealedError),
    #[error("what the repository shows is refused: {}", sentence(.0))]
    Metadata(Box<Error>),
    #[error("the repository has no '{name}'; is the class of the list right, and has anything been published?")]
    NoTarget { name: String },
    #[error("'{name}' cannot be used: {why}")]
    Manifest { name: String, why: String },
    #[error("the repository offers serial {serial}, which is older than the {held} in force (rollback)")]
    Older { serial: u64, held: u64 },
    #[error("the repository offers another list with the serial {serial} that is in force")]
    Twice { serial: u64 },
    #[error("the repository shows nothing but metadata that expired at {since}: it is frozen, or the clock is wrong")]
    Frozen { since: String },
    #[error("{0}")]
    Change(#[from] DeltaError),
    #[error("the list is refused: {0}")]
    List(#[from] CheckError),
    #[error("serial {serial} cannot be brought into force: {why}")]
    NotTaken { serial: u64, why: String },
    #[error("the list is sealed and no identity is configured")]
    NoIdentity,
    #[error("{path}: {source}; check that the directory exists, has room, and that this user may write to it", path = .path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("what was in force cannot be used: {why}; {}", instead(*.serial))]
    Damaged { why: String, serial: Option<u64> },
    #[error("a fault in this program; it is tried again")]
    Fault,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Metadata(Box::new(error))
    }
}

impl Trouble {
    pub(super) fn disk(path: &Path, source: io::Error) -> Self {
        Trouble::Disk { path: path.into(), source }
    }

    /// The word for metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Trouble::Fetch(FetchError::TooLarge { .. }) => "too_large",
            Trouble::Fetch(FetchError::TooSlow { .. }) => "too_slow",
            Trouble::Fetch(_) => "unreachable",
            Trouble::Sealed(_) | Trouble::NoIdentity => "sealed",
            Trouble::Metadata(error) => kind(error),
            Trouble::NoTarget { .. } | Trouble::Manifest { .. } | Trouble::List(_) | Trouble::Change(_) => "content",
            Trouble::Older { .. } | Trouble::Twice { .. } => "rollback",
            Trouble::Frozen { .. } => "expired",
            Trouble::NotTaken { .. } => "configuration",
            Trouble::Disk { .. } | Trouble::Damaged { .. } => "disk",
            Trouble::Fault => "fault",
        }
    }

    /// All words, so that each has its counter from the beginning.
    pub(super) const KINDS: [&str; 13] = [
        "configuration",
        "content",
        "disk",
        "expired",
        "fault",
        "metadata",
        "mismatch",
        "rollback",
        "sealed",
        "signature",
        "too_large",
        "too_slow",
        "unreachable",
    ];
}

fn instead(serial: Option<u64>) -> String {
    match serial {
        Some(serial) => format!("serial {serial}, which is still there, filters until the repository was reached"),
        None => "the list comes back when the repository was reached".into(),
    }
}

fn kind(error: &Error) -> &'static str {
    match cause(error) {
        Error::OlderMetadata { .. }
        | Error::OlderSnapshotInTimestamp { .. }
        | Error::SnapshotRoleRollback { .. }
        | Error::SnapshotRoleMissing { .. } => "rollback",
        Error::ExpiredMetadata { .. } => "expired",
        Error::VerifyMetadata { .. } | Error::VerifyRoleMetadata { .. } | Error::VerifyTrustedMetadata { .. } => {
            "signature"
        }
        Error::HashMismatch { .. } | Error::VersionMismatch { .. } => "mismatch",
        Error::MaxSizeExceeded { .. } => "too_large",
        Error::DatastoreCreate { .. } | Error::DatastoreOpen { .. } | Error::DatastoreRemove { .. } => "disk",
        Error::Transport { .. } => "unreachable",
        _ => "metadata",
    }
}

/// tough says that it could not fetch what it did fetch and then refused.
fn cause(error: &Error) -> &Error {
    use std::error::Error as _;
    let inner = match error {
        Error::Transport { source, .. } => source.source().and_then(|source| source.downcast_ref::<Error>()),
        _ => None,
    };
    inner.map_or(error, cause)
}

/// tough's errors, in the words of an operator.
fn sentence(error: &Error) -> String {
    let meaning = match kind(error) {
        "rollback" => "it is older than what was trusted before (rollback)",
        "expired" => "its time is over: the repository is frozen, nobody signs it any more, or the clock is wrong",
        "signature" => "not enough of the people or machines who must sign it did",
        "mismatch" => "its parts do not belong together, or one was changed on the way",
        "too_large" => "it is larger than announced or allowed",
        "disk" => "it could not be written down; check that the disk has room, and that this user may write to it",
        _ => match cause(error) {
            Error::ParseMetadata { .. } | Error::ParseTrustedMetadata { .. } => {
                "it is no metadata at all; is this the address of a repository?"
            }
            _ => return full(error),
        },
    };
    format!("{meaning} ({})", full(cause(error)))
}

fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
