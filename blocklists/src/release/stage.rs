//! What waits for signatures: a release, or a change of keys. A directory below `staged/` in the work directory.
//!
//! ```text
//! plan.json           what it is
//! metadata/ROLE.json  the documents, with the signatures that they have so far
//! targets/...         files that come into force with them
//! list, index         of a release: what is kept of it
//! epoch.json, envelopes.json   of a release with a new epoch
//! online.pem          of a change of keys: the publisher's next key
//! ```
//!
//! A directory is made beside and renamed, so a stage is there whole or not at all. The directory may be copied to
//! another machine, signed there and brought back: of the copy only signatures are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::hold::Jump;
use super::repository::{self, Document, Metadata, RepositoryError, Standing};
use super::work::{Card, Work, WorkError, read_json};
use crate::output::{NewFile, OutputError};
use crate::person::{Person, PersonId, PublicKey};

/// Name of the stage of a change of keys; those of releases have the name of their class.
pub const KEYS: &str = "keys";

/// Something that waits for signatures.
#[derive(Debug)]
pub struct Stage {
    directory: PathBuf,
    /// What it is.
    pub plan: Plan,
    /// Its documents.
    pub documents: Vec<Document>,
}

/// What a stage is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`KEYS`], or the class of the release.
    pub name: String,
    /// What it does, in a few words.
    pub about: String,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// Roles of its documents, in the order in which they were made.
    pub roles: Vec<String>,
    /// The release.
    pub release: Option<Release>,
}

/// A release that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// What will be kept of it.
    pub card: Card,
    /// It changes so much that two people have to let it pass.
    pub jump: Option<Jump>,
    /// Decisions that it brings into force, Unix milliseconds.
    pub decided: Vec<u64>,
}

/// Why something cannot be staged or signed.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum StageError {
    #[error("{}: cannot be {step}: {error}; nothing that is published was changed", path.display())]
    Io { path: PathBuf, step: &'static str, error: io::Error },
    #[error("{}: nothing is staged here", .0.display())]
    Nothing(PathBuf),
    #[error(
        "the key {key} holds none of the roles that have to sign ({roles}); they belong to {holders}. Nothing was signed"
    )]
    NoHolder { key: PersonId, roles: String, holders: String },
    #[error("{}: this is a copy of something else than what is staged now ({}); copy it again", path.display(), about)]
    OtherStage { path: PathBuf, about: String },
    #[error(transparent)]
    Work(#[from] WorkError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

fn io(path: &Path, step: &'static str) -> impl FnOnce(io::Error) -> StageError {
    move |error| StageError::Io { path: path.to_owned(), step, error }
}

impl Stage {
    /// Stages something in the place of what was staged under the same name. `files` are paths within the stage.
    pub fn put(
        work: &Work,
        plan: Plan,
        documents: Vec<Document>,
        files: &[(String, &[u8])],
    ) -> Result<Stage, StageError> {
        let place = work.staged().join(&plan.name);
        let beside = work.staged().join(format!("{}.new", plan.name));
        remove(&beside)?;
        let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        make(&beside.join("metadata")).map_err(io(&beside, "made"))?;
        for (name, content) in files {
            let path = beside.join(name);
            if let Some(folder) = path.parent() {
                make(folder).map_err(io(folder, "made"))?;
            }
            NewFile::put(&path, content, !name.starts_with("targets/"))?;
        }
        for document in &documents {
            NewFile::put(&document_path(&beside, document.role()), &document.write()?, false)?;
        }
        let text = serde_json::to_vec_pretty(&plan).map_err(|error| RepositoryError::Make(error.to_string()))?;
        NewFile::put(&beside.join("plan.json"), &text, false)?;
        remove(&place)?;
        fs::rename(&beside, &place).map_err(io(&place, "put in place"))?;
        sync(&work.staged())?;
        Ok(Stage { directory: place, plan, documents })
    }

    /// Opens a stage or a copy of one.
    pub fn open(directory: &Path) -> Result<Option<Stage>, StageError> {
        let Some(plan) = read_json::<Plan>(&directory.join("plan.json"))? else { return Ok(None) };
        let mut documents = Vec::new();
        for role in &plan.roles {
            let path = document_path(directory, role);
            let octets = fs::read(&path).map_err(io(&path, "read"))?;
            let document = Document::read(role, &octets);
            documents.push(document.map_err(|error| RepositoryError::Parse { path, error })?);
        }
        Ok(Some(Stage { directory: directory.to_owned(), plan, documents }))
    }

    /// What is staged under a name.
    pub fn find(work: &Work, name: &str) -> Result<Option<Stage>, StageError> {
        Stage::open(&work.staged().join(name))
    }

    /// Everything that is staged, the change of keys first.
    pub fn all(work: &Work) -> Result<Vec<Stage>, StageError> {
        let path = work.staged();
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(io(&path, "read"))? {
            let name = entry.map_err(io(&path, "read"))?.file_name().to_string_lossy().into_owned();
            // What was being made when the machine went down is none.
            if !name.contains('.') {
                names.push(name);
            }
        }
        names.sort_by_key(|name| (name != KEYS, name.clone()));
        let stages = names.iter().map(|name| Stage::find(work, name));
        stages.filter_map(Result::transpose).collect()
    }

    /// Takes away what commands that were killed left half made or half taken away. Only while nobody else is at work.
    pub fn sweep(work: &Work) -> Result<(), StageError> {
        let path = work.staged();
        for entry in fs::read_dir(&path).map_err(io(&path, "read"))? {
            let path = entry.map_err(io(&path, "read"))?.path();
            // Names of stages have no dot.
            if path.extension().is_none() {
                continue;
            }
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.map_err(io(&path, "taken away"))?;
        }
        Ok(())
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where all its documents stand. `base` is missing only when a repository begins.
    pub fn standings(&self, base: Option<&Metadata>) -> Result<Vec<Standing>, StageError> {
        let mut standings = Vec::new();
        for document in &self.documents {
            standings.extend(repository::standings(document, base, &self.documents)?);
        }
        Ok(standings)
    }

    /// Whether all signatures are there.
    pub fn is_complete(&self, base: Option<&Metadata>) -> Result<bool, StageError> {
        Ok(self.standings(base)?.iter().all(|standing| standing.missing() == 0))
    }

    /// Signs the documents that a person holds, and tells how many signatures are new.
    pub fn sign(&mut self, person: &Person, base: Option<&Metadata>) -> Result<usize, StageError> {
        let id = person.id();
        let (mut held, mut new) = (false, Vec::new());
        let mut all = Vec::new();
        for (at, document) in self.documents.iter().enumerate() {
            for standing in repository::standings(document, base, &self.documents)? {
                held |= standing.signed.contains(&id) || standing.open.contains(&id);
                if standing.open.contains(&id) && new.last() != Some(&at) {
                    new.push(at);
                }
                all.push(standing);
            }
        }
        if !held {
            let roles = all.iter().map(|standing| standing.role.as_str());
            let holders = all.iter().flat_map(|standing| standing.signed.iter().chain(&standing.open));
            let holders: BTreeSet<&str> = holders.map(PersonId::as_str).collect();
            return Err(StageError::NoHolder {
                key: id,
                roles: roles.collect::<Vec<_>>().join(", "),
                holders: holders.into_iter().collect::<Vec<_>>().join(", "),
            });
        }
        for &at in &new {
            self.documents[at].sign(person)?;
            self.keep(at)?;
        }
        Ok(new.len())
    }

    /// Signs all documents, for a copy: who holds them is known where it came from, and there only the right ones are
    /// taken.
    pub fn sign_all(&mut self, person: &Person) -> Result<usize, StageError> {
        for at in 0..self.documents.len() {
            self.documents[at].sign(person)?;
            self.keep(at)?;
        }
        Ok(self.documents.len())
    }

    /// Takes the signatures of these people off, and tells how many there were.
    pub fn strike(&mut self, keys: &[PublicKey]) -> Result<usize, StageError> {
        let mut struck = 0;
        for at in 0..self.documents.len() {
            let count = self.documents[at].strike(keys)?;
            if count > 0 {
                self.keep(at)?;
            }
            struck += count;
        }
        Ok(struck)
    }

    /// Takes the signatures of a copy.
    pub fn join(&mut self, copy: &Stage) -> Result<usize, StageError> {
        let copies: BTreeMap<&str, &Document> =
            copy.documents.iter().map(|document| (document.role(), document)).collect();
        let mut new = 0;
        for at in 0..self.documents.len() {
            let Some(copy) = copies.get(self.documents[at].role()) else { continue };
            let count = self.documents[at].join(copy)?;
            if count > 0 {
                self.keep(at)?;
            }
            new += count;
        }
        if new == 0 && copy.plan != self.plan {
            let about = self.plan.about.clone();
            return Err(StageError::OtherStage { path: copy.directory.clone(), about });
        }
        Ok(new)
    }

    /// Puts another document in the place of the one with its role: what it stood on has changed.
    pub fn replace(&mut self, document: Document) -> Result<(), StageError> {
        if let Some(at) = self.documents.iter().position(|other| other.role() == document.role()) {
            self.documents[at] = document;
            self.keep(at)?;
        }
        Ok(())
    }

    fn keep(&self, at: usize) -> Result<(), StageError> {
        let document = &self.documents[at];
        Ok(NewFile::put(&document_path(&self.directory, document.role()), &document.write()?, false)?)
    }

    /// Names of the files that come into force with it, below `targets/`.
    pub fn targets(&self) -> Result<Vec<String>, StageError> {
        let mut files = Vec::new();
        let folder = self.directory.join("targets");
        if folder.exists() {
            walk(&folder, "", &mut files).map_err(io(&folder, "read"))?;
        }
        files.sort();
        Ok(files)
    }

    /// Takes it away.
    pub fn remove(self) -> Result<(), StageError> {
        remove(&self.directory)
    }
}

fn document_path(directory: &Path, role: &str) -> PathBuf {
    directory.join(format!("metadata/{role}.json"))
}

/// Takes a directory away in one step, and what is in it afterwards.
fn remove(directory: &Path) -> Result<(), StageError> {
    let gone = directory.with_extension("gone");
    for (from, to) in [(directory, Some(&gone)), (&gone, None)] {
        let result = match to {
            Some(to) => {
                let _ = fs::remove_dir_all(to); // left over from a crash; the rename tells if it could not go
                fs::rename(from, to)
            }
            None => fs::remove_dir_all(from),
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(from, "taken away")(error)),
            _ => {}
        }
    }
    Ok(())
}

fn sync(directory: &Path) -> Result<(), StageError> {
    let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(io(directory, "made to survive a crash"))
}

/// All files below a folder, by path from it.
pub(super) fn walk(folder: &Path, prefix: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push(name);
        }
    }
    Ok(())
}
