//! `[[list]]`: lists that are followed in a signed repository. Those that come by zone transfer are in `zone.rs`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signed_list::release::Class;
use url::Url;

use super::Category;
use super::check::{plain, start};
use super::error::Report;
use super::shape::{self, At, Table};
use super::value::{FilePath, Written, choose};
use super::zone::{self, Zone};

/// A list that is followed in a repository of releases (TUF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `[a-z0-9][a-z0-9-]{0,31}`, unique; names the list in metrics and logs.
    pub name: String,
    /// Which list of the repository.
    pub class: Class,
    /// Where the repository is; ends with a slash. Below lie `metadata/` and `targets/`.
    pub repository: Url,
    /// Addresses of its host: when there are some, no resolver is asked for them.
    pub addresses: Vec<IpAddr>,
    /// The root metadata that is trusted from the beginning.
    pub root: PathBuf,
    /// Directory for metadata, last good list and receipts. No other source has it.
    pub state: PathBuf,
    /// Where the age identity of this resolver is; there for sealed classes.
    pub identity: Option<Identity>,
    /// Time between two looks at the repository.
    pub interval: Duration,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// In a file.
    File(PathBuf),
    /// Given by systemd, in the directory that `CREDENTIALS_DIRECTORY` names.
    Credential(String),
}

impl Identity {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Identity::File(path) => Some(path),
            Identity::Credential(_) => None,
        }
    }

    /// The same with relative paths in a directory.
    pub(super) fn below(self, directory: &Path) -> Identity {
        match self {
            Identity::File(path) => Identity::File(directory.join(path)),
            credential => credential,
        }
    }
}

impl Written for Identity {
    const EXPECTED: &'static str = r#"the path of a file, or "credential:NAME""#;
    fn read(text: &str) -> Result<Self, String> {
        let Some(name) = text.strip_prefix("credential:") else {
            return FilePath::read(text).map(|path| Identity::File(path.0.into()));
        };
        // systemd's own rule for names; a slash would lead out of the directory.
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
            || name.starts_with('.')
        {
            return Err(format!(
                "\"{}\" is not the name of a credential; write {}",
                text.escape_debug(),
                Self::EXPECTED
            ));
        }
        Ok(Identity::Credential(name.to_owned()))
    }
}

impl Written for Class {
    const EXPECTED: &'static str = r#""legal", "operator" or "venue""#;
    fn read(text: &str) -> Result<Self, String> {
        choose(text, &Class::ALL.map(|class| (class.word(), class)))
    }
}

/// Where a repository is.
#[derive(Clone, Debug)]
pub(super) struct Repository(pub(super) Url);

impl Written for Repository {
    const EXPECTED: &'static str = r#"the address of a repository, as in "https://lists.example/""#;
    fn read(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("\"{}\" {what}; write {}", text.escape_debug(), Self::EXPECTED));
        let Ok(mut url) = Url::parse(text) else { return wrong("is not an address on the web") };
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return wrong("is not an address on the web");
        }
        // A password would end up in logs and in errors.
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("holds a user or a password, which no repository needs");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return wrong("has a question mark or a hash behind its path");
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Repository(url))
    }
}

impl Written for IpAddr {
    const EXPECTED: &'static str = r#"an address, as in "192.0.2.1" or "2001:db8::1""#;
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("\"{text}\" is not an address; write {}", Self::EXPECTED))
    }
}

/// `[[list]]`: those in a repository, and those that come by zone transfer.
pub(super) fn sources(
    tables: Vec<At<Table<shape::Source>>>,
    categories: &[Category],
    directory: &Path,
    whole: bool,
    report: &mut Report<'_>,
) -> (Vec<Source>, Vec<Zone>) {
    let (mut names, mut states) = (HashMap::new(), HashMap::new());
    let (mut sources, mut zones) = (Vec::new(), Vec::new());
    for table in tables {
        let place = start(&table);
        let Table(table) = table.into_inner();
        let title = match &table.name {
            Some(name) => format!("[[list]] \"{}\"", name.get_ref().0.0),
            None => "[[list]]".to_owned(),
        };
        let of_zone = zone::keys(&table);
        let of_repository = keys(&table);
        if let Some((key, at)) = of_repository.iter().find(|_| !of_zone.is_empty()) {
            let (other, _) = of_zone[0];
            report.add(*at, format!("{title} has both '{key}', which is for a list in a repository, and '{other}', which is for a zone transfer; remove one of them, or make two lists"));
            continue;
        }
        if let Some(name) = &table.name {
            once(&mut names, &name.get_ref().0.0, name, "'name' in [[list]]", report);
        }
        let at = |path: &FilePath| directory.join(&path.0);
        let state = table.state.as_ref().map(|state| at(&state.get_ref().0));
        if let (Some(path), Some(state)) = (&state, &table.state) {
            once(&mut states, &path.display().to_string(), state, &format!("'state' in {title}"), report);
        }
        if !of_zone.is_empty() {
            zones.extend(zone::zone(table, state, categories, directory, &title, place, whole, report));
            continue;
        }
        let (Some(name), Some(class), Some(repository), Some(root), Some(state)) =
            (&table.name, &table.class, &table.repository, &table.root, state)
        else {
            let missing = [
                ("name", table.name.is_none()),
                ("class", table.class.is_none()),
                ("repository", table.repository.is_none()),
                ("root", table.root.is_none()),
                ("state", table.state.is_none()),
            ];
            absent(&missing, place, whole, report);
            continue;
        };
        let class = class.get_ref().0;
        if class.is_sealed() && table.identity.is_none() && whole {
            report.add(
                place,
                format!("{title} has no 'identity', and lists of class \"{}\" are encrypted; make one with 'friendly-resolver identity FILE', have it enrolled, and name the file", class.word()),
            );
        }
        sources.push(Source {
            name: name.get_ref().0.0.clone(),
            class,
            repository: repository.get_ref().0.0.clone(),
            root: at(&root.get_ref().0),
            addresses: plain(table.addresses.into_inner()),
            state,
            identity: table.identity.map(|identity| identity.into_inner().0.below(directory)),
            interval: Duration::from_secs(table.interval.get_ref().get()),
        });
    }
    (sources, zones)
}

/// The keys in a table that only a list in a repository has, with their places.
fn keys(table: &shape::Source) -> Vec<(&'static str, usize)> {
    let keys = [
        ("class", table.class.as_ref().map(start)),
        ("repository", table.repository.as_ref().map(start)),
        ("addresses", Some(start(&table.addresses)).filter(|at| *at > 0)),
        ("root", table.root.as_ref().map(start)),
        ("identity", table.identity.as_ref().map(start)),
        ("interval", Some(start(&table.interval)).filter(|at| *at > 0)),
    ];
    keys.into_iter().filter_map(|(key, at)| Some((key, at?))).collect()
}

/// Reports the keys without which a list cannot be.
pub(super) fn absent(missing: &[(&str, bool)], place: usize, whole: bool, report: &mut Report<'_>) {
    let missing: Vec<_> = missing.iter().filter(|(_, gone)| *gone).map(|(key, _)| format!("'{key}'")).collect();
    // What was refused is not absent.
    if whole {
        report.add(place, format!("[[list]] has no {}; each list needs it", missing.join(", ")));
    }
}

/// Reports a value that another list has already.
fn once<T>(seen: &mut HashMap<String, usize>, value: &str, place: &At<T>, what: &str, report: &mut Report<'_>) {
    if let Some(before) = seen.insert(value.to_owned(), start(place)) {
        let line = report.line(before);
        report.add(start(place), format!("{what}: {value} is already used in line {line}; each list needs its own"));
    }
}
