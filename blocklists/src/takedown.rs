//! A hotline's record: what comes in from outside, and what is left of it when it is let in.
//!
//! ```text
//! octets -> json | csv (fields) -> Record (each field by its own rule) -> Takedown (what may be kept)
//! ```
//!
//! Records come as JSON - one document with `"version": 1` and `records`, or one record a line, each with its version -
//! or as CSV with a header line. The schemas in `blocklists/schema/` are made from the types below. What is wrong with a
//! record is said field by field, and the records beside it go through.
//!
//! A URL is taken to find out which host it is about, and forgotten here: a [`Takedown`] has no field for more of it. A
//! field that says something about a reporter, a visitor or what was seen is refused by its name, so that a hotline
//! learns of it, and its content is neither kept nor repeated.
//!
//! Everything here is pure: octets in, values out.

pub mod csv;
pub mod json;
pub mod problem;
pub mod scheme;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::release::Class;

use crate::intake::{self, entry_name};
use crate::ledger::UnixSeconds;
use crate::ledger::words::{CaseId, CaseRef, Remark, Word};
use problem::{Place, Problem, Reason, Refusal};
use scheme::Scheme;

/// Version of the form of records.
pub const VERSION: u32 = 1;
/// Octets of one input: a hotline's year fits in.
pub const MAX_INPUT: usize = 16 << 20;
/// Octets of one record.
pub const MAX_RECORD: usize = 16 << 10;
/// Records of one input.
pub const MAX_RECORDS: usize = 100_000;

/// Records as one JSON document.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "Takedowns of a hotline, version 1", deny_unknown_fields)]
pub struct Document {
    /// Version of the form: 1.
    #[schemars(with = "u32", extend("const" = 1))]
    pub version: u32,
    /// The records.
    #[schemars(length(max = 100_000))]
    pub records: Vec<Record>,
}

/// One takedown as a hotline hands it over. In a file with one record a line, each has its `version`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(
    title = "Takedown of a hotline, version 1",
    deny_unknown_fields,
    extend("oneOf" = [{"required": ["name"]}, {"required": ["url"]}])
)]
pub struct Record {
    /// Version of the form: 1. Needed where a record stands alone on a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", extend("const" = 1), default)]
    pub version: Option<u32>,
    /// The hotline's own number for the case. It says nothing to others; no dots, so that it can hold no name.
    #[schemars(with = "String", regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9/_-]{0,63}$"))]
    pub case_ref: CaseRef,
    /// Who hands it over, a word of the scheme: isigurt, aksk, interpol, iwf, court, operator.
    #[schemars(with = "String", regex(pattern = "^[a-z0-9][a-z0-9-]{0,31}$"))]
    pub source: Word,
    /// Which list it is for. What is meant without it is the first class of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ClassWord", default)]
    pub class: Option<Class>,
    /// What for, a word of the scheme, such as csam.
    #[schemars(with = "String", regex(pattern = "^[a-z0-9][a-z0-9-]{0,31}$"))]
    pub category: Word,
    /// The domain name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 1024), default)]
    pub name: Option<String>,
    /// The URL, instead of the name: only its host is looked at, and no other part of it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 8192), default)]
    pub url: Option<String>,
    /// What the entry covers: the name with all below it (subtree, which is meant without it), or the name alone (exact).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "scope_out")]
    #[schemars(with = "ScopeWord", default)]
    pub scope: Option<Scope>,
    /// The legal ground, a word of the scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[a-z0-9][a-z0-9-]{0,31}$"), default)]
    pub legal_basis: Option<Word>,
    /// The decision under that ground, such as its number and date. No URL, no e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 3, max = 160), default)]
    pub legal_reference: Option<Remark>,
    /// The hotline has looked and says: the whole domain serves this and nothing else. Without it no name is blocked by
    /// law.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool", default)]
    pub dedicated_attestation: Option<bool>,
    /// When the hotline assessed it: a day (2027-03-01) or a moment with its zone (2027-03-01T10:00:00Z).
    #[schemars(with = "Moment")]
    #[serde(serialize_with = "moment_out")]
    pub assessed_at: UnixSeconds,
    /// When notice and takedown was sent.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "moment_maybe_out")]
    #[schemars(with = "Moment", default)]
    pub ntd_sent_at: Option<UnixSeconds>,
    /// Country of the hosting, two capital letters (ISO 3166-1).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[A-Z]{2}$"), default)]
    pub host_country: Option<String>,
    /// When it was seen gone at its source: takes a listed name off again.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "moment_maybe_out")]
    #[schemars(with = "Moment", default)]
    pub removed_seen_at: Option<UnixSeconds>,
}

/// The words of [`Class`], for the schema.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
#[allow(dead_code)] // read by the schema alone
enum ClassWord {
    Legal,
    Operator,
    Venue,
}

/// The words of [`Scope`], for the schema.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
#[allow(dead_code)] // read by the schema alone
enum ScopeWord {
    Exact,
    Subtree,
}

/// A point in time, for the schema.
#[derive(JsonSchema)]
#[schemars(inline, extend("anyOf" = [{"format": "date"}, {"format": "date-time"}]))]
#[allow(dead_code)] // read by the schema alone
struct Moment(String);

/// The fields of a record, in the order of [`Record`].
pub const FIELDS: [&str; 15] = [
    "version",
    "case_ref",
    "source",
    "class",
    "category",
    "name",
    "url",
    "scope",
    "legal_basis",
    "legal_reference",
    "dedicated_attestation",
    "assessed_at",
    "ntd_sent_at",
    "host_country",
    "removed_seen_at",
];

/// What a record is about. For triage only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name that DNS could block.
    Name(Name),
    /// An address: no name is asked for when somebody goes there.
    Address,
}

/// What may be kept of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takedown {
    /// Which case.
    pub case: CaseId,
    /// Which list it is for.
    pub class: Class,
    /// What for.
    pub category: Word,
    /// The host it is about.
    pub host: Host,
    /// The record gave a URL: what was reported is a page, not a domain.
    pub is_page: bool,
    /// What the entry would cover.
    pub scope: Scope,
    /// The legal ground.
    pub legal_basis: Option<Word>,
    /// The decision under it.
    pub legal_reference: Option<Remark>,
    /// The whole domain serves this and nothing else.
    pub dedicated_attestation: bool,
    /// When the hotline assessed it.
    pub assessed_at: UnixSeconds,
    /// When notice and takedown was sent.
    pub ntd_sent_at: Option<UnixSeconds>,
    /// Country of the hosting.
    pub host_country: Option<Word>,
    /// When it was seen gone.
    pub removed_seen_at: Option<UnixSeconds>,
}

/// What was found in an input.
#[derive(Debug, Default)]
pub struct Reading {
    /// What goes through, and where it stood.
    pub takedowns: Vec<(Place, Takedown)>,
    /// What does not, and why.
    pub refused: Vec<Refusal>,
}

/// Reads records in whichever of the forms they come.
pub fn read(octets: &[u8], scheme: &Scheme) -> Reading {
    let mut reading = Reading::default();
    if octets.len() > MAX_INPUT {
        reading.refuse(Place::Whole, Reason::TooLarge);
        return reading;
    }
    if octets.starts_with(b"\xff\xfe") || octets.starts_with(b"\xfe\xff") {
        reading.refuse(Place::Whole, Reason::Utf16);
        return reading;
    }
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    match octets.iter().find(|octet| !octet.is_ascii_whitespace()) {
        None => reading.refuse(Place::Whole, Reason::Empty),
        Some(b'{' | b'[') => json::read(octets, scheme, &mut reading),
        Some(_) => csv::read(octets, scheme, &mut reading),
    }
    if reading.takedowns.is_empty() && reading.refused.is_empty() {
        reading.refuse(Place::Whole, Reason::NothingInIt);
    }
    reading
}

impl Reading {
    fn refuse(&mut self, place: Place, reason: Reason) {
        self.refused.push(Refusal { place, case_ref: None, problems: vec![Problem { field: None, reason }] });
    }

    /// Takes the fields of one record. Fields that are null or empty are not there.
    fn record(&mut self, place: Place, alone: bool, fields: Vec<(String, Value)>, scheme: &Scheme) {
        if self.takedowns.len() + self.refused.len() >= MAX_RECORDS {
            if self.refused.last().is_none_or(|last| last.place != Place::Whole) {
                self.refuse(Place::Whole, Reason::TooMany);
            }
            return;
        }
        let mut fields = Fields::new(fields);
        let record = fields.record(alone);
        let case_ref = record.as_ref().map(|record| record.case_ref.clone()).or(fields.case_ref.take());
        let takedown = record.and_then(|record| record.check(scheme, &mut fields.problems));
        match takedown.filter(|_| fields.problems.is_empty()) {
            Some(takedown) => self.takedowns.push((place, takedown)),
            None => {
                let case_ref = case_ref.map(|number| number.to_string());
                self.refused.push(Refusal { place, case_ref, problems: fields.problems });
            }
        }
    }
}

/// The fields of one record on the way, and what was wrong with them.
struct Fields {
    values: Vec<(String, Value)>,
    problems: Vec<Problem>,
    /// For the message, where the rest of the record is wrong.
    case_ref: Option<CaseRef>,
}

impl Fields {
    fn new(values: Vec<(String, Value)>) -> Fields {
        let mut fields = Fields { values: Vec::with_capacity(values.len()), problems: Vec::new(), case_ref: None };
        for (name, value) in values {
            if let Some(reason) = problem::not_a_field(&name) {
                fields.problem(problem::shown(&name), reason);
            } else if fields.values.iter().any(|(known, _)| *known == name) {
                fields.problem(name, Reason::Twice);
            } else if !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty()) {
                fields.values.push((name, value));
            }
        }
        fields
    }

    fn problem(&mut self, field: String, reason: Reason) {
        self.problems.push(Problem { field: Some(field), reason });
    }

    /// A field by its own rule; a problem where it does not keep to it.
    fn take<T>(&mut self, field: &'static str, rule: fn(&Value) -> Result<T, Reason>) -> Option<T> {
        let at = self.values.iter().position(|(name, _)| name == field)?;
        let (_, value) = self.values.swap_remove(at);
        rule(&value).map_err(|reason| self.problem(field.to_owned(), reason)).ok()
    }

    fn need<T>(&mut self, field: &'static str, rule: fn(&Value) -> Result<T, Reason>) -> Option<T> {
        if !self.values.iter().any(|(name, _)| name == field) {
            self.problem(field.to_owned(), Reason::Missing);
        }
        self.take(field, rule)
    }

    /// All fields; each one is looked at, so that the hotline hears of all that is wrong at once.
    fn record(&mut self, alone: bool) -> Option<Record> {
        let version = if alone { self.need("version", version) } else { self.take("version", version) };
        let case_ref = self.need("case_ref", case_ref);
        let source = self.need("source", word);
        let class = self.take("class", class);
        let category = self.need("category", word);
        let (name, url) = (self.take("name", text), self.take("url", text));
        let scope = self.take("scope", scope);
        let legal_basis = self.take("legal_basis", word);
        let legal_reference = self.take("legal_reference", reference);
        let dedicated_attestation = self.take("dedicated_attestation", yes_or_no);
        let assessed_at = self.need("assessed_at", moment);
        let ntd_sent_at = self.take("ntd_sent_at", moment);
        let host_country = self.take("host_country", country);
        let removed_seen_at = self.take("removed_seen_at", moment);
        self.case_ref = case_ref.clone();
        Some(Record {
            version,
            case_ref: case_ref?,
            source: source?,
            class,
            category: category?,
            name,
            url,
            scope,
            legal_basis,
            legal_reference,
            dedicated_attestation,
            assessed_at: assessed_at?,
            ntd_sent_at,
            host_country,
            removed_seen_at,
        })
    }
}

impl Record {
    /// Holds it against the scheme, and lets go of what may not be kept.
    fn check(self, scheme: &Scheme, problems: &mut Vec<Problem>) -> Option<Takedown> {
        let mut problem = |field: &str, reason| problems.push(Problem { field: Some(field.to_owned()), reason });
        let words = |words: &mut dyn Iterator<Item = &Word>| words.map(Word::as_str).collect::<Vec<_>>().join(", ");

        let source = scheme.source(&self.source);
        if source.is_none() {
            problem("source", Reason::NotInScheme { known: words(&mut scheme.sources()) });
        }
        let class = self.class.or(source.and_then(|source| source.classes.first().copied()));
        if let (Some(source), Some(class)) = (source, class)
            && !source.classes.contains(&class)
        {
            problem("class", Reason::ClassOfSource { source: self.source.to_string(), class: class.word() });
        }
        if let Some(class) = class
            && scheme.category(&self.category).is_none_or(|category| category.class != class)
        {
            let known = words(&mut scheme.categories(class));
            problem("category", Reason::CategoryOfClass { class: class.word(), known });
        }
        if let Some(basis) = &self.legal_basis
            && scheme.legal_basis(basis).is_none()
        {
            problem("legal_basis", Reason::NotInScheme { known: words(&mut scheme.legal_bases()) });
        }
        let host = match (&self.name, &self.url) {
            (Some(_), Some(_)) => {
                problem("url", Reason::NameAndUrl);
                None
            }
            (None, None) => {
                // Unless there is one that could not be read, which has been told.
                if !problems.iter().any(|problem| matches!(problem.field.as_deref(), Some("name" | "url"))) {
                    problems.push(Problem { field: Some("name".to_owned()), reason: Reason::NoName });
                }
                return None;
            }
            (Some(name), None) => host_of_name(name).map_err(|reason| problem("name", reason)).ok(),
            (None, Some(url)) => host_of_url(url).map_err(|reason| problem("url", reason)).ok(),
        };
        Some(Takedown {
            case: CaseId::new(&self.source, &self.case_ref),
            class: class?,
            category: self.category,
            host: host?,
            is_page: self.url.is_some(),
            scope: self.scope.unwrap_or(Scope::Subtree),
            legal_basis: self.legal_basis,
            legal_reference: self.legal_reference,
            dedicated_attestation: self.dedicated_attestation.unwrap_or(false),
            assessed_at: self.assessed_at,
            ntd_sent_at: self.ntd_sent_at,
            host_country: self.host_country.and_then(|letters| Word::parse(&letters.to_ascii_lowercase()).ok()),
            removed_seen_at: self.removed_seen_at,
        })
    }
}

fn host_of_name(text: &str) -> Result<Host, Reason> {
    entry_name(text.trim()).map(Host::Name).map_err(|reason| match reason {
        intake::Reason::IpAddress => Reason::Address,
        intake::Reason::Url | intake::Reason::Port => Reason::UrlAsName,
        intake::Reason::SingleLabel => Reason::SingleLabel,
        intake::Reason::Pattern => Reason::Pattern,
        _ => Reason::NotAName,
    })
}

fn host_of_url(text: &str) -> Result<Host, Reason> {
    let url = url::Url::parse(text.trim()).map_err(|_| Reason::Url)?;
    if !matches!(url.scheme(), "http" | "https" | "ftp") {
        return Err(Reason::Url);
    }
    match url.host() {
        Some(url::Host::Domain(host)) => match entry_name(host) {
            Ok(name) => Ok(Host::Name(name)),
            Err(intake::Reason::SingleLabel) => Err(Reason::SingleLabel),
            Err(_) => Err(Reason::Url),
        },
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => Ok(Host::Address),
        None => Err(Reason::Url),
    }
}

// The rules of the fields, one each.

fn text(value: &Value) -> Result<String, Reason> {
    value.as_str().map(str::to_owned).ok_or(Reason::Text)
}

fn version(value: &Value) -> Result<u32, Reason> {
    if value.as_u64() == Some(u64::from(VERSION)) { Ok(VERSION) } else { Err(Reason::Version) }
}

fn case_ref(value: &Value) -> Result<CaseRef, Reason> {
    CaseRef::parse(text(value)?.trim()).map_err(|_| Reason::CaseRef)
}

fn word(value: &Value) -> Result<Word, Reason> {
    Word::parse(text(value)?.trim()).map_err(|_| Reason::Word)
}

fn reference(value: &Value) -> Result<Remark, Reason> {
    Remark::parse(text(value)?.trim()).map_err(|_| Reason::Reference)
}

fn class(value: &Value) -> Result<Class, Reason> {
    Class::of_word(text(value)?.trim()).ok_or(Reason::Class)
}

fn scope(value: &Value) -> Result<Scope, Reason> {
    match text(value)?.trim() {
        "exact" => Ok(Scope::Exact),
        "subtree" => Ok(Scope::Subtree),
        _ => Err(Reason::Scope),
    }
}

fn yes_or_no(value: &Value) -> Result<bool, Reason> {
    value.as_bool().ok_or(Reason::YesOrNo)
}

fn country(value: &Value) -> Result<String, Reason> {
    let letters = text(value)?.trim().to_owned();
    let good = letters.len() == 2 && letters.bytes().all(|letter| letter.is_ascii_uppercase());
    if good { Ok(letters) } else { Err(Reason::Country) }
}

fn moment(value: &Value) -> Result<UnixSeconds, Reason> {
    moment_of(text(value)?.trim()).ok_or(Reason::Date)
}

/// A day, which begins at midnight in UTC, or a moment with its zone; from 2000 to 2099.
pub fn moment_of(text: &str) -> Option<UnixSeconds> {
    let moment = match text.parse::<jiff::civil::Date>() {
        // jiff reads the day out of a moment, too.
        Ok(date) if text.len() == 10 => date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
        _ => text.parse::<jiff::Timestamp>().ok()?,
    };
    let seconds = u64::try_from(moment.as_second()).ok()?;
    (946_684_800..4_102_444_800).contains(&seconds).then_some(seconds)
}

fn moment_out<S: serde::Serializer>(moment: &UnixSeconds, out: S) -> Result<S::Ok, S::Error> {
    let text = jiff::Timestamp::from_second(*moment as i64).map_err(serde::ser::Error::custom)?;
    out.collect_str(&text)
}

fn moment_maybe_out<S: serde::Serializer>(moment: &Option<UnixSeconds>, out: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => moment_out(moment, out),
        None => out.serialize_none(),
    }
}

fn scope_out<S: serde::Serializer>(scope: &Option<Scope>, out: S) -> Result<S::Ok, S::Error> {
    match scope {
        Some(scope) => out.serialize_str(crate::ledger::event::scope_text(*scope)),
        None => out.serialize_none(),
    }
}

/// The schemas that are shipped, by file name in `blocklists/schema/`.
pub fn schemas() -> [(&'static str, String); 2] {
    let text = |schema: schemars::Schema| {
        serde_json::to_string_pretty(&schema).map_or_else(|_| String::new(), |text| text + "\n")
    };
    [
        ("takedowns-1.schema.json", text(schemars::schema_for!(Document))),
        ("takedown-record-1.schema.json", text(schemars::schema_for!(Record))),
    ]
}
