//! What keeps a zone from being followed, in a sentence for the operator, and in a word for metrics.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why the zone could not be followed. The last good list stays in force through all of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the primary {primary} cannot be reached: {source}")]
    Unreachable { primary: SocketAddr, source: io::Error },
    #[error("the transfer was cut off after {records} records")]
    Cut { records: u64 },
    #[error("the primary takes too long")]
    TooSlow,
    #[error("the zone is larger than {most} {what}, which is the most that is taken")]
    TooLarge { most: u64, what: &'static str },
    #[error("the primary refuses the transfer with {rcode}{hint}")]
    Refused { rcode: String, hint: &'static str },
    #[error("the signature of the primary is not good: {0}; is the key the same on both sides, and the clock right?")]
    Signature(String),
    #[error("the answer of the primary is no zone transfer: {0}")]
    Message(&'static str),
    #[error("the transfer holds a record of another zone")]
    Foreign,
    #[error(
        "the primary offers serial {serial}, which is older than the {held} in force (rollback); if the zone was begun anew, remove the directory of its state"
    )]
    Older { serial: u32, held: u32 },
    #[error("the changes that the primary sends do not lead from what is here to what it has")]
    Changes,
    #[error("the list cannot be made: {0}")]
    List(String),
    #[error("serial {serial} cannot be brought into force: {why}")]
    NotTaken { serial: u32, why: String },
    #[error("{path}: {source}; check that the directory exists, has room, and that this user may write to it", path = .path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("a fault in this program; it is tried again")]
    Fault,
}

impl Trouble {
    pub(super) fn disk(path: &Path, source: io::Error) -> Self {
        Trouble::Disk { path: path.into(), source }
    }

    /// Whether the whole zone may come where changes to it did not.
    pub(super) fn is_about_changes(&self) -> bool {
        matches!(self, Trouble::Changes | Trouble::Message(_) | Trouble::Refused { .. })
    }

    /// The word for metrics, one of those that all followed lists have.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Trouble::Unreachable { .. } | Trouble::Cut { .. } | Trouble::Refused { .. } => "unreachable",
            Trouble::TooSlow => "too_slow",
            Trouble::TooLarge { .. } => "too_large",
            Trouble::Signature(_) => "signature",
            Trouble::Message(_) | Trouble::Foreign | Trouble::Changes | Trouble::List(_) => "content",
            Trouble::Older { .. } => "rollback",
            Trouble::NotTaken { .. } => "configuration",
            Trouble::Disk { .. } => "disk",
            Trouble::Fault => "fault",
        }
    }
}
