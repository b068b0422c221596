//! What is wrong with a record, in words that the hotline can use.
//!
//! No message repeats what stood in a field: it may be a URL, or somebody's address. Field names are repeated only where
//! they look like names of fields.

use serde::Serialize;

use super::FIELDS;
use crate::texts::{Language, say};

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// On a line, from 1.
    Line(u64),
    /// In a JSON document, from 1.
    Record(u64),
    /// It is about the input as a whole.
    Whole,
}

/// A record that does not go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it stands.
    pub place: Place,
    /// Its number, if that much could be read.
    pub case_ref: Option<String>,
    /// All that is wrong with it.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which field; none if it is about the whole record.
    pub field: Option<String>,
    /// What.
    pub reason: Reason,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // texts/en.ftl says it, under `refused-` and the word
pub enum Reason {
    // of an input
    TooLarge,
    TooMany,
    Empty,
    NothingInIt,
    Utf16,
    NotUtf8,
    Json { line: usize, column: usize },
    NoRecords,
    NoHeader,
    // of a record
    TooLong,
    NotAnObject,
    Columns { found: usize, expected: usize },
    Quotes,
    Version,
    // of a field
    Missing,
    Twice,
    Unknown { near: Option<&'static str> },
    AboutReporter,
    AboutVisitor,
    AboutContent,
    Decided,
    Text,
    YesOrNo,
    CaseRef,
    Word,
    Reference,
    Class,
    Scope,
    Country,
    Date,
    NotInScheme { known: String },
    ClassOfSource { source: String, class: &'static str },
    CategoryOfClass { class: &'static str, known: String },
    NameAndUrl,
    NoName,
    Address,
    UrlAsName,
    SingleLabel,
    Pattern,
    NotAName,
    Url,
}

impl Reason {
    /// A short stable word, for programs and as the key of the texts.
    pub fn word(&self) -> &'static str {
        match self {
            Reason::TooLarge => "too-large",
            Reason::TooMany => "too-many",
            Reason::Empty => "empty",
            Reason::NothingInIt => "nothing-in-it",
            Reason::Utf16 => "utf-16",
            Reason::NotUtf8 => "not-utf-8",
            Reason::Json { .. } => "json",
            Reason::NoRecords => "no-records",
            Reason::NoHeader => "no-header",
            Reason::TooLong => "too-long",
            Reason::NotAnObject => "not-an-object",
            Reason::Columns { .. } => "columns",
            Reason::Quotes => "quotes",
            Reason::Version => "version",
            Reason::Missing => "missing",
            Reason::Twice => "twice",
            Reason::Unknown { near: None } => "unknown",
            Reason::Unknown { near: Some(_) } => "unknown-near",
            Reason::AboutReporter => "about-reporter",
            Reason::AboutVisitor => "about-visitor",
            Reason::AboutContent => "about-content",
            Reason::Decided => "decided",
            Reason::Text => "text",
            Reason::YesOrNo => "yes-or-no",
            Reason::CaseRef => "case-ref",
            Reason::Word => "word",
            Reason::Reference => "reference",
            Reason::Class => "class",
            Reason::Scope => "scope",
            Reason::Country => "country",
            Reason::Date => "date",
            Reason::NotInScheme { .. } => "not-in-scheme",
            Reason::ClassOfSource { .. } => "class-of-source",
            Reason::CategoryOfClass { .. } => "category-of-class",
            Reason::NameAndUrl => "name-and-url",
            Reason::NoName => "no-name",
            Reason::Address => "address",
            Reason::UrlAsName => "url-as-name",
            Reason::SingleLabel => "single-label",
            Reason::Pattern => "pattern",
            Reason::NotAName => "not-a-name",
            Reason::Url => "url",
        }
    }

    /// What it means, in a language.
    pub fn sentence(&self, language: Language) -> String {
        let number = |number: &usize| number.to_string();
        let arguments: Vec<(&str, String)> = match self {
            Reason::Json { line, column } => vec![("line", number(line)), ("column", number(column))],
            Reason::Columns { found, expected } => vec![("found", number(found)), ("expected", number(expected))],
            Reason::Unknown { near: Some(near) } => vec![("near", (*near).to_owned())],
            Reason::NotInScheme { known } => vec![("known", known.clone())],
            Reason::ClassOfSource { source, class } => {
                vec![("source", source.clone()), ("class", (*class).to_owned())]
            }
            Reason::CategoryOfClass { class, known } => {
                vec![("class", (*class).to_owned()), ("known", known.clone())]
            }
            _ => Vec::new(),
        };
        say(language, &format!("refused-{}", self.word()), &arguments)
    }
}

/// Words in field names that tell what a field is about; the longest field names of others hold several.
const REPORTER: [&str; 10] = [
    "reporter",
    "reported_by",
    "complainant",
    "contact",
    "email",
    "phone",
    "first_name",
    "last_name",
    "raportuesi",
    "person",
];
const VISITOR: [&str; 9] = ["visitor", "client", "user", "ip", "address", "mac", "device", "session", "cookie"];
const CONTENT: [&str; 14] = [
    "image",
    "picture",
    "photo",
    "video",
    "screenshot",
    "thumbnail",
    "hash",
    "description",
    "content",
    "comment",
    "note",
    "text",
    "title",
    "pershkrimi",
];
/// Fields of an entry that people decide in the ledger.
const DECIDED: [&str; 9] =
    ["id", "approver_1", "approver_2", "listed_at", "review_by", "delisted_at", "delist_reason", "state", "expires_at"];

/// Why a name is not that of a field, `None` if it is.
pub(super) fn not_a_field(name: &str) -> Option<Reason> {
    if FIELDS.contains(&name) {
        return None;
    }
    let lower = name.to_lowercase().replace(['-', ' ', '.'], "_");
    if DECIDED.contains(&lower.as_str()) {
        return Some(Reason::Decided);
    }
    let says = |words: &[&str]| {
        words.iter().any(|word| {
            lower.split('_').any(|part| part.trim_end_matches('s') == *word)
                || word.contains('_') && lower.contains(word)
        })
    };
    // Before the search for a field that is near: `reporter` is no slip of the pen.
    if says(&REPORTER) {
        return Some(Reason::AboutReporter);
    }
    if says(&VISITOR) {
        return Some(Reason::AboutVisitor);
    }
    if says(&CONTENT) {
        return Some(Reason::AboutContent);
    }
    let near = FIELDS.into_iter().map(|field| (strsim::damerau_levenshtein(&lower, field), field)).min();
    Some(Reason::Unknown { near: near.filter(|(far, _)| *far <= 3 && lower.len() > 3).map(|(_, field)| field) })
}

/// The name of an unknown field as it may be repeated: long ones and strange ones may hold anything.
pub(super) fn shown(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_- ".contains(letter);
    if (1..=40).contains(&name.len()) && name.chars().all(plain) { name.to_owned() } else { "?".to_owned() }
}
