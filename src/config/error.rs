//! The problems of a configuration, each with its line and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A configuration that does not run. Its text is for the operator: one line
/// for each problem, each with file, line, what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read as text.
    #[error("{}: cannot read the configuration: {what}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not, and what to do.
        what: String,
    },
    /// The file holds at least one problem.
    #[error("{}", Lines { file, problems })]
    Refused {
        /// The file.
        file: PathBuf,
        /// In the order of the file; never empty.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong; what to do.
    pub text: String,
}

/// Problems as `FILE:LINE: TEXT`, which editors and terminals turn into links.
struct Lines<'a> {
    file: &'a Path,
    problems: &'a [Problem],
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Problem { line, text }) in self.problems.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{line}: {text}", self.file.display())?;
        }
        Ok(())
    }
}

/// Collects problems while a file is read, so that one run shows all of them.
pub(super) struct Report<'a> {
    text: &'a str,
    problems: Vec<(usize, String)>,
}

impl<'a> Report<'a> {
    /// For the file with the content `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Report { text, problems: Vec::new() }
    }

    /// Notes a problem at the octet `at`.
    pub(super) fn add(&mut self, at: usize, what: impl Into<String>) {
        self.problems.push((at, what.into()));
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems there are so far.
    pub(super) fn len(&self) -> usize {
        self.problems.len()
    }

    /// Whether a problem is known on the line of the octet `at`.
    pub(super) fn has_line_of(&self, at: usize) -> bool {
        self.problems.iter().any(|(other, _)| self.line(*other) == self.line(at))
    }

    /// Line of the octet `at`, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        line_of(self.text.as_bytes(), at)
    }

    /// The problems in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|(at, _)| *at);
        let problems = std::mem::take(&mut self.problems);
        problems.into_iter().map(|(at, text)| Problem { line: self.line(at), text }).collect()
    }
}

/// Line of the octet `at` in `text`, from 1.
pub(super) fn line_of(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|octet| **octet == b'\n').count()
}

/// Why a file could not be read, and what to do.
pub(super) fn read_failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; check the path after --config".into(),
        io::ErrorKind::PermissionDenied => {
            // The user that the program has become, not the one who started it.
            let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
            let user = user.map_or_else(|| "this user".into(), |user| format!("user '{}'", user.name));
            format!("permission denied; let {user} read it")
        }
        _ => format!("{error}; check the file and the disk it lies on"),
    }
}

/// The nearest of `known`, when it is near enough to be what was meant: one
/// slip of the finger for every three letters.
pub(super) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = text.to_lowercase();
    let slips = (lower.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, known), known))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, known)| known)
}
