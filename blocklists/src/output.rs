//! Puts a file in place whole or not at all: written beside under another name, flushed to disk, renamed.
//!
//! A resolver that watches the file sees the old list or the new one. When the disk is full or the machine loses
//! power, the old list is still there.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file could not be put in place. What stood there before is untouched.
#[derive(Debug, Error)]
#[error("{}: cannot be {step}: {error}; {}", path.display(), advice(step, error))]
pub struct OutputError {
    /// The file that was being written.
    path: PathBuf,
    /// What was being done.
    step: &'static str,
    /// What the system said.
    error: io::Error,
}

/// The step after the rename.
const KEEP: &str = "made to survive a crash";

fn advice(step: &str, error: &io::Error) -> &'static str {
    match error.kind() {
        _ if step == KEEP => "it is in place; run this again before you rely on it",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room; what was there before is untouched"
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "make the directory or name another one",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "name a directory that you may write to",
        _ => "what was there before is untouched",
    }
}

/// A file on the way to its place. Dropped before [`NewFile::finish`], it leaves nothing behind.
pub struct NewFile {
    path: PathBuf,
    beside: PathBuf,
    file: io::BufWriter<File>,
    finished: bool,
}

impl NewFile {
    /// Starts `path` as `path.tmp`. One left over from a crash is taken away first.
    ///
    /// All may read it: a resolver runs as another user, and must be able to under any umask.
    pub fn create(path: &Path) -> Result<NewFile, OutputError> {
        NewFile::start(path, 0o644)
    }

    /// Writes a whole file; a private one nobody else may read.
    pub fn put(path: &Path, content: &[u8], private: bool) -> Result<(), OutputError> {
        let mut file = NewFile::start(path, if private { 0o600 } else { 0o644 })?;
        file.write(content)?;
        file.finish()
    }

    fn start(path: &Path, mode: u32) -> Result<NewFile, OutputError> {
        let mut beside = OsString::from(path);
        beside.push(".tmp");
        let beside = PathBuf::from(beside);
        let failed = |error| OutputError { path: path.to_owned(), step: "written", error };
        if path.is_dir() {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // A new file and never one that lies there: nobody's link is followed.
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failed)?;
        let file = io::BufWriter::with_capacity(256 << 10, file);
        let new = NewFile { path: path.to_owned(), beside, file, finished: false };
        new.file
            .get_ref()
            .set_permissions(Permissions::from_mode(mode))
            .map_err(|error| new.failed("written", error))?;
        Ok(new)
    }

    /// Adds octets.
    pub fn write(&mut self, octets: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(octets).map_err(|error| self.failed("written", error))
    }

    /// Flushes everything to disk and gives the file its name.
    pub fn finish(mut self) -> Result<(), OutputError> {
        self.file.flush().map_err(|error| self.failed("written", error))?;
        // Without this, a crash after the rename could leave the new name with an empty file.
        self.file.get_ref().sync_all().map_err(|error| self.failed("flushed to disk", error))?;
        fs::rename(&self.beside, &self.path).map_err(|error| self.failed("put in place", error))?;
        self.finished = true;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| self.failed(KEEP, error))
    }

    fn failed(&self, step: &'static str, error: io::Error) -> OutputError {
        OutputError { path: self.path.clone(), step, error }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing better can be done with an error here; the next run takes the rest away.
            let _ = fs::remove_file(&self.beside);
        }
    }
}
