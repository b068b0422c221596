//! `[[list]]`: lists that are followed in a signed repository.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signed_list::release::Class;
use url::Url;

use super::check::{plain, start};
use super::error::Report;
use super::shape::{self, At, Table};
use super::value::{FilePath, Written, choose};

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

/// `[[list]]`
pub(super) fn sources(
    tables: Vec<At<Table<shape::Source>>>,
    directory: &Path,
    whole: bool,
    report: &mut Report<'_>,
) -> Vec<Source> {
    let (mut names, mut states) = (HashMap::new(), HashMap::new());
    let mut sources = Vec::new();
    for table in tables {
        let place = start(&table);
        let Table(table) = table.into_inner();
        let (Some(name), Some(class), Some(repository), Some(root), Some(state)) =
            (&table.name, &table.class, &table.repository, &table.root, &table.state)
        else {
            let missing = [
                ("name", table.name.is_none()),
                ("class", table.class.is_none()),
                ("repository", table.repository.is_none()),
                ("root", table.root.is_none()),
                ("state", table.state.is_none()),
            ];
            let missing: Vec<_> = missing.iter().filter(|(_, gone)| *gone).map(|(key, _)| format!("'{key}'")).collect();
            if whole {
                let what = format!("[[list]] has no {}; each list needs it", missing.join(", "));
                report.add(place, what);
            }
            continue;
        };
        let title = format!("[[list]] \"{}\"", name.get_ref().0.0);
        once(&mut names, &name.get_ref().0.0, name, "'name' in [[list]]", report);
        let at = |path: &FilePath| directory.join(&path.0);
        let path = at(&state.get_ref().0);
        once(&mut states, &path.display().to_string(), state, &format!("'state' in {title}"), report);
        let class = class.0;
        if class.is_sealed() && table.identity.is_none() && whole {
            report.add(
                place,
                format!("{title} has no 'identity', and lists of class \"{}\" are encrypted; make one with 'friendly-resolver identity FILE', have it enrolled, and name the file", class.word()),
            );
        }
        sources.push(Source {
            name: name.get_ref().0.0.clone(),
            class,
            repository: repository.0.0.clone(),
            addresses: plain(table.addresses),
            root: at(&root.0),
            state: path,
            identity: table.identity.map(|identity| match identity.0 {
                Identity::File(path) => Identity::File(directory.join(path)),
                credential => credential,
            }),
            interval: Duration::from_secs(table.interval.get()),
        });
    }
    sources
}

/// Reports a value that another list has already.
fn once<T>(seen: &mut HashMap<String, usize>, value: &str, place: &At<T>, what: &str, report: &mut Report<'_>) {
    if let Some(before) = seen.insert(value.to_owned(), start(place)) {
        let line = report.line(before);
        report.add(start(place), format!("{what}: {value} is already used in line {line}; each list needs its own"));
    }
}
