//! `feeds.toml` in the work directory: which public lists are fetched, into which category, within which bounds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use signed_list::list::Scope;
use signed_list::release::Class;
use thiserror::Error;
use toml::Spanned;
use url::Url;

use super::names::Allowed;
use crate::intake::Format;
use crate::ledger::words::Word;
use crate::reading::{LEFT_OUT_PERCENT, Limit, Reading};
use crate::release::hold::Bounds;
use crate::release::scheme::Scheme;

/// What `init` writes: no feed, and every setting with its default.
pub const TEMPLATE: &str = include_str!("../../feeds.toml");

/// Name of the file.
pub const FILE: &str = "feeds.toml";

/// The feeds of a publisher.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    /// All of them, in the order of the file.
    pub feeds: Vec<Feed>,
}

/// One public list.
#[derive(Clone, Debug)]
pub struct Feed {
    /// A short word for it.
    pub name: String,
    /// The class it goes into: never the legal one.
    pub class: Class,
    /// Its category there.
    pub category: String,
    /// Where it is.
    pub place: Place,
    /// How it is read.
    pub reading: Reading,
    /// How often it is fetched, in seconds.
    pub every: u64,
    /// Octets it may have, packed and unpacked.
    pub max_octets: u64,
    /// How much of it may come or go at once, if not as much as of a release.
    pub max_change_percent: Option<u64>,
    /// Under which licence it may be used.
    pub licence: String,
    /// What it may not block.
    pub allowed: Allowed,
}

/// Where a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a web server.
    Web {
        /// Its address.
        url: Url,
        /// It may be in a private network.
        private: bool,
    },
    /// In a file.
    File(PathBuf),
}

/// Why `feeds.toml` is refused; the caller adds the file's name.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum FeedsError {
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    #[error("line {line}: {why}")]
    At { line: usize, why: String },
    #[error("{}: cannot be read: {error}; feeds.toml names it as a file of names that stay free", path.display())]
    Allow { path: PathBuf, error: io::Error },
    #[error("{}:{line}: '{text}' is no name, nor a name after `*.`", path.display())]
    AllowLine { path: PathBuf, line: usize, text: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<u32>,
    allow: Option<PathBuf>,
    #[serde(default, rename = "feed")]
    feeds: Vec<Shape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    name: Spanned<String>,
    class: Spanned<String>,
    category: Spanned<String>,
    url: Option<Spanned<String>>,
    file: Option<PathBuf>,
    format: Option<Spanned<String>>,
    scope: Option<Spanned<String>>,
    every_hours: Option<Spanned<u64>>,
    max_mib: Option<Spanned<u64>>,
    max_entries: Option<Spanned<u64>>,
    min_entries: Option<u64>,
    max_skipped_percent: Option<Spanned<f64>>,
    max_change_percent: Option<Spanned<u64>>,
    #[serde(default)]
    licence: String,
    allow: Option<PathBuf>,
    #[serde(default)]
    private: bool,
}

impl Feeds {
    /// Reads the file. `directory` is where relative paths begin.
    pub fn read(text: &str, directory: &Path, scheme: &Scheme) -> Result<Feeds, FeedsError> {
        let lines = Lines(text);
        let file: File = toml::from_str(text)?;
        if *file.version.get_ref() != 1 {
            let why = format!("version {} is unknown; this program reads version 1", file.version.get_ref());
            return Err(lines.at(&file.version, why));
        }
        let everywhere = allow_file(file.allow.as_deref(), directory)?;
        let mut feeds: Vec<Feed> = Vec::with_capacity(file.feeds.len());
        for shape in file.feeds {
            let name = lines.word(&shape.name)?;
            if feeds.iter().any(|feed| feed.name == name) {
                return Err(lines.at(&shape.name, format!("there is a feed '{name}' above already")));
            }
            feeds.push(lines.feed(name, shape, directory, scheme, &everywhere)?);
        }
        Ok(Feeds { feeds })
    }

    /// The feeds of a class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Feed> {
        self.feeds.iter().filter(move |feed| feed.class == class)
    }
}

impl Place {
    /// Where it is, in words: without a password that may stand in an address.
    pub fn shown(&self) -> String {
        match self {
            Place::File(path) => path.display().to_string(),
            Place::Web { url, .. } => {
                let mut url = url.clone();
                // Neither fails for an address that has a host.
                let _ = (url.set_password(None), url.set_username(""));
                url.set_query(None);
                url.to_string()
            }
        }
    }
}

impl Feed {
    /// What tells whether two looks were at the same place and read it alike.
    pub fn source(&self) -> String {
        let place = match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Web { url, .. } => url.to_string(),
        };
        // A hash, because an address may hold a password, and what is kept of a feed may be looked at.
        blake3::hash(format!("{place} {:?}", self.reading).as_bytes()).to_hex()[..16].to_owned()
    }

    /// How much of it may come or go at once.
    pub fn bounds(&self, hold: Bounds) -> Bounds {
        Bounds { entries: hold.entries, percent: self.max_change_percent.unwrap_or(hold.percent) }
    }
}

/// The text, for the numbers of its lines.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn at<T>(&self, value: &Spanned<T>, why: impl Into<String>) -> FeedsError {
        let before = self.0.get(..value.span().start).unwrap_or_default();
        FeedsError::At { line: 1 + before.matches('\n').count(), why: why.into() }
    }

    fn word(&self, value: &Spanned<String>) -> Result<String, FeedsError> {
        match Word::parse(value.get_ref()) {
            Ok(word) => Ok(word.into()),
            Err(rule) => Err(self.at(value, format!("a feed's name is {rule}"))),
        }
    }

    fn within(&self, what: &str, value: &Option<Spanned<u64>>, default: u64, most: u64) -> Result<u64, FeedsError> {
        match value {
            None => Ok(default),
            Some(value) if (1..=most).contains(value.get_ref()) => Ok(*value.get_ref()),
            Some(value) => Err(self.at(value, format!("{what} must be from 1 to {most}"))),
        }
    }

    fn feed(
        &self,
        name: String,
        shape: Shape,
        directory: &Path,
        scheme: &Scheme,
        everywhere: &Allowed,
    ) -> Result<Feed, FeedsError> {
        let class = match Class::of_word(shape.class.get_ref()) {
            Some(Class::Legal) => {
                return Err(self.at(
                    &shape.class,
                    "a feed cannot go into the class legal: what is blocked by law, two people have decided. Use \
                     operator or venue",
                ));
            }
            Some(class) => class,
            None => return Err(self.at(&shape.class, "class must be operator or venue")),
        };
        let (category, known) = (shape.category.get_ref(), scheme.categories(class));
        if !known.contains(category) {
            let why = format!(
                "'{category}' is no category of the class {} in scheme.toml; it has {}",
                class.word(),
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
            return Err(self.at(&shape.category, why));
        }
        let place = match (&shape.url, shape.file) {
            (Some(url), None) => self.web(url, shape.private)?,
            (None, Some(path)) => Place::File(directory.join(path)),
            _ => return Err(self.at(&shape.name, "say where the feed is: with url or with file, and not with both")),
        };
        let format = match shape.format.as_ref().map(|format| (format, format.get_ref().as_str())) {
            None | Some((_, "auto")) => None,
            Some((at, word)) => match Format::ALL.into_iter().find(|format| format.word() == word) {
                Some(format) => Some(format),
                None => {
                    let known = Format::ALL.map(Format::word).join(", ");
                    return Err(self.at(at, format!("format must be auto or one of {known}")));
                }
            },
        };
        let scope = match shape.scope.as_ref().map(|scope| (scope, scope.get_ref().as_str())) {
            None | Some((_, "auto")) => None,
            Some((_, "subtree")) => Some(Scope::Subtree),
            Some((_, "exact")) => Some(Scope::Exact),
            Some((at, _)) => return Err(self.at(at, "scope must be auto, subtree or exact")),
        };
        let percent = match &shape.max_skipped_percent {
            None => LEFT_OUT_PERCENT,
            Some(value) if (0.0..=100.0).contains(value.get_ref()) => *value.get_ref(),
            Some(value) => return Err(self.at(value, "max_skipped_percent must be from 0 to 100")),
        };
        if let Some(value) = shape.max_change_percent.as_ref().filter(|value| *value.get_ref() > 1000) {
            return Err(self.at(value, "max_change_percent must be from 0 to 1000"));
        }
        let mut allowed = allow_file(shape.allow.as_deref(), directory)?;
        allowed.add_all(everywhere);
        Ok(Feed {
            name,
            class,
            category: category.clone(),
            place,
            reading: Reading {
                format,
                scope,
                // Small lists, such as one of forty names, may have some odd lines too.
                max_left_out: shape.max_skipped_percent.is_some().then_some(Limit::Percent(percent)),
                min_entries: shape.min_entries.unwrap_or(1).max(1),
                max_entries: self.within("max_entries", &shape.max_entries, 3_000_000, 50_000_000)?,
            },
            every: 3600 * self.within("every_hours", &shape.every_hours, 24, 24 * 90)?,
            max_octets: self.within("max_mib", &shape.max_mib, 64, 1024)? << 20,
            max_change_percent: shape.max_change_percent.map(Spanned::into_inner),
            licence: shape.licence,
            allowed,
        })
    }

    fn web(&self, text: &Spanned<String>, private: bool) -> Result<Place, FeedsError> {
        let url = Url::parse(text.get_ref()).map_err(|error| self.at(text, format!("url is no address: {error}")))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(self.at(text, "url must begin with https:// or http://; a file is named with file"));
        }
        if url.host().is_none() {
            return Err(self.at(text, "url names no host"));
        }
        Ok(Place::Web { url, private })
    }
}

/// The names in a file of names that stay free.
fn allow_file(path: Option<&Path>, directory: &Path) -> Result<Allowed, FeedsError> {
    let Some(path) = path else { return Ok(Allowed::default()) };
    let path = directory.join(path);
    let text = fs::read_to_string(&path).map_err(|error| FeedsError::Allow { path: path.clone(), error })?;
    let wrong = |(line, text): (usize, &str)| FeedsError::AllowLine { path, line, text: text.to_owned() };
    Allowed::read(&text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEME: &str = include_str!("../../../config/scheme/albania.toml");

    fn read(text: &str) -> Result<Feeds, FeedsError> {
        Feeds::read(text, Path::new("/nowhere"), &Scheme::read(SCHEME).unwrap())
    }

    /// The template as a user fills it in: one `#` gone from each line of the feed.
    fn filled_in() -> String {
        let (head, feed) = TEMPLATE.split_once("#[[feed]]").unwrap();
        let feed = feed.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
        let feed: Vec<&str> = feed.filter(|line| !line.starts_with("allow")).collect();
        format!("{head}[[feed]]\n{}\n", feed.join("\n"))
    }

    #[test]
    fn the_file_that_init_writes_has_no_feed_and_shows_every_setting_with_its_default() {
        assert_eq!(read(TEMPLATE).unwrap().feeds.len(), 0);
        let shown = read(&filled_in()).unwrap().feeds.remove(0);
        let short = "version = 1\n[[feed]]\nname = \"some-adult-list\"\nclass = \"venue\"\ncategory = \"adult\"\n\
                     url = \"https://lists.example/adult.txt\"\nlicence = \"CC BY 4.0\"\n";
        let mut short = read(short).unwrap().feeds.remove(0);
        // These two are shown as what they come to.
        short.max_change_percent = Some(5);
        short.reading.max_left_out = Some(Limit::Percent(5.0));
        assert_eq!(format!("{shown:?}"), format!("{short:?}"));
        for word in
            ["name", "class", "category", "url", "licence", "format", "scope", "every_hours", "max_mib", "allow"]
        {
            assert!(TEMPLATE.contains(&format!("\n#{word} = ")), "{word}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let good = "version = 1\n\n[[feed]]\nname = \"one\"\nclass = \"venue\"\ncategory = \"adult\"\n\
                    url = \"https://lists.example/a\"\n";
        assert!(read(good).is_ok());
        for (from, to, part) in [
            ("\"venue\"", "\"legal\"", "line 5: a feed cannot go into the class legal: what is blocked by law"),
            ("\"venue\"", "\"venues\"", "line 5: class must be operator or venue"),
            (
                "\"adult\"",
                "\"malware\"",
                "line 6: 'malware' is no category of the class venue in scheme.toml; it has adult",
            ),
            ("\"one\"", "\"One\"", "line 4: a feed's name is 1 to 32 of"),
            ("https:", "ftp:", "line 7: url must begin with https://"),
            ("\"https://lists.example/a\"", "\"lists\"", "line 7: url is no address"),
            ("url = ", "file = \"x\"\nurl = ", "line 4: say where the feed is"),
            ("url = ", "#url = ", "line 4: say where the feed is"),
            ("version = 1", "version = 2", "line 1: version 2 is unknown"),
            ("url = ", "every_hours = 0\nurl = ", "line 7: every_hours must be from 1"),
            ("url = ", "max_mib = 5000\nurl = ", "line 7: max_mib must be from 1 to 1024"),
            ("url = ", "format = \"csv\"\nurl = ", "line 7: format must be auto or one of domains"),
            ("url = ", "scope = \"all\"\nurl = ", "line 7: scope must be"),
            ("url = ", "max_skipped_percent = 101.0\nurl = ", "line 7: max_skipped_percent must be"),
            ("url = ", "evry_hours = 3\nurl = ", "unknown field `evry_hours`"),
            ("url = ", "allow = \"gone.txt\"\nurl = ", "/nowhere/gone.txt: cannot be read"),
        ] {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good, "{from}");
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        let twice = format!("{good}{}", &good["version = 1\n".len()..]);
        assert!(read(&twice).unwrap_err().to_string().contains("line 10: there is a feed 'one' above already"));
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let text = "version = 1\n[[feed]]\nname = \"one\"\nclass = \"venue\"\ncategory = \"adult\"\n\
                    url = \"https://us:pw@lists.example/a?token=t\"\n";
        let shown = read(text).unwrap().feeds[0].place.shown();
        assert_eq!(shown, "https://lists.example/a");
    }
}
