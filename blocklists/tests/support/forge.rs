//! What somebody with some of the keys could make of a repository: for tests of everybody who reads one.
//!
//! A forge works on a copy of a repository and on the metadata in it. It signs with whatever keys it is given, right
//! or wrong, and checks nothing. It needs only the public parts of `friendly_blocklist`.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::fs;
use std::path::{Path, PathBuf};

use friendly_blocklist::person::Person;
use friendly_blocklist::release::repository::{self, Dates, Document, Metadata, target, target_file};

/// A copy of a repository, and what it says.
pub struct Forge {
    /// Holds `metadata/` and `targets/`.
    pub directory: PathBuf,
    /// The metadata in force there. Change versions here before something is signed.
    pub base: Metadata,
    /// When what is signed next expires, Unix seconds.
    pub expires: u64,
}

/// The signatures under a document.
pub fn signatures(document: &mut Document) -> &mut Vec<tough::schema::Signature> {
    match document {
        Document::Root(root) => &mut root.signatures,
        Document::Targets(_, targets) => &mut targets.signatures,
    }
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Forge {
    /// Copies a repository.
    pub fn of(from: &Path, to: &Path, expires: u64) -> Forge {
        let _ = fs::remove_dir_all(to);
        copy(from, to);
        Forge { directory: to.to_owned(), base: Metadata::read(&to.join("metadata")).unwrap(), expires }
    }

    fn metadata(&self, name: &str) -> PathBuf {
        self.directory.join("metadata").join(name)
    }

    /// Puts documents in force: with a snapshot and a timestamp that `online` signs, each one version on.
    pub fn put(&mut self, documents: &[Document], online: &Person) {
        let documents: Vec<_> =
            documents.iter().map(|document| (document.clone(), document.write().unwrap())).collect();
        let dates = Dates { snapshot: self.expires, timestamp: self.expires };
        let fronts = repository::fronts(Some(&self.base), &documents, dates, true, online).unwrap();
        for (document, content) in &documents {
            fs::write(self.metadata(&document.file_name()), content).unwrap();
        }
        if let Some((name, content)) = &fronts.snapshot {
            fs::write(self.metadata(name), content).unwrap();
        }
        fs::write(self.metadata("timestamp.json"), fronts.timestamp).unwrap();
        self.base = Metadata::read(&self.directory.join("metadata")).unwrap();
    }

    /// A new snapshot and timestamp with these versions: a fast-forward, if they are large.
    pub fn fronts(&mut self, version: u64, online: &Person) {
        let before = std::num::NonZeroU64::new(version - 1).unwrap();
        self.base.snapshot.signed.version = before;
        self.base.timestamp.signed.version = before;
        self.put(&[], online);
    }

    /// The document in force of a role, one version on and without signatures.
    pub fn next(&self, role: &str) -> Document {
        let mut document = self.base.document(role).unwrap();
        let next = |version: std::num::NonZeroU64| version.checked_add(1).unwrap();
        match &mut document {
            Document::Root(root) => {
                root.signed.version = next(root.signed.version);
                root.signed.expires = repository::moment(self.expires).unwrap();
                root.signatures.clear();
            }
            Document::Targets(_, targets) => {
                targets.signed.version = next(targets.signed.version);
                targets.signed.expires = repository::moment(self.expires).unwrap();
                targets.signatures.clear();
            }
        }
        document
    }

    /// Another content for a target of a role, signed by whoever is given.
    pub fn replace(&mut self, role: &str, name: &str, content: &[u8], people: &[&Person], online: &Person) {
        self.put_target(name, content);
        self.claim(role, &[(name.to_owned(), content.to_vec())], people, online);
    }

    /// Puts the content of a target where it belongs, whoever names it.
    pub fn put_target(&self, name: &str, content: &[u8]) {
        let path = self.directory.join("targets").join(target_file(name, &target(content)));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Has a role name targets, whatever they are called, signed by whoever is given, as often as they are.
    pub fn claim(&mut self, role: &str, targets: &[(String, Vec<u8>)], people: &[&Person], online: &Person) {
        let mut document = self.next(role);
        if let Document::Targets(_, document) = &mut document {
            for (name, content) in targets {
                document.signed.targets.insert(tough::TargetName::new(name).unwrap(), target(content));
            }
        }
        let mut all = Vec::new();
        for person in people {
            // In the place of an earlier one of the same key: both are wanted.
            document.sign(person).unwrap();
            all.extend(signatures(&mut document).pop());
        }
        *signatures(&mut document) = all;
        self.put(&[document], online);
    }

    /// The file of a target as it lies in the repository.
    pub fn file(&self, role: &str, name: &str) -> PathBuf {
        let target = &self.base.delegated[role].signed.targets[&tough::TargetName::new(name).unwrap()];
        self.directory.join("targets").join(target_file(name, target))
    }
}
