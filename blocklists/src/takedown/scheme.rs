//! The scheme profile as far as it is about records: sources, categories, legal grounds. They are data, so that another
//! country needs a file and no program. The rest of the profile is read by [`crate::release::scheme`].

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use signed_list::release::Class;
use thiserror::Error;

use crate::ledger::words::Word;

/// The scheme as shipped.
const ALBANIA: &str = include_str!("../../../config/scheme/albania.toml");

/// A scheme.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    version: u32,
    /// Its word in the ledger.
    #[serde(rename = "id")]
    pub word: Word,
    /// Its name.
    pub name: String,
    // What releases need of it.
    #[serde(default, rename = "class")]
    _class: IgnoredAny,
    #[serde(default, rename = "canary")]
    _canary: IgnoredAny,
    // What the stop page of the resolver needs.
    #[serde(default, rename = "people")]
    _people: IgnoredAny,
    #[serde(rename = "source")]
    sources: Vec<Source>,
    #[serde(rename = "category")]
    categories: Vec<Category>,
    #[serde(rename = "legal_basis")]
    legal_bases: Vec<LegalBasis>,
}

/// Who hands over records.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its word in records.
    #[serde(rename = "id")]
    pub word: Word,
    /// Its name.
    pub name: String,
    /// Which lists its records may be for; the first one is meant where a record does not say.
    pub classes: Vec<Class>,
}

/// What a name is listed for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its word in records.
    #[serde(rename = "id")]
    pub word: Word,
    /// The list it belongs to.
    pub class: Class,
    /// Whether DNS may block it at all.
    pub dns: bool,
    /// Its name in Albanian.
    pub sq: String,
    /// Its name in English.
    pub en: String,
}

/// The law behind a listing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegalBasis {
    /// Its word in records.
    #[serde(rename = "id")]
    pub word: Word,
    /// Its name.
    pub name: String,
}

/// What is wrong with a scheme file.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum SchemeError {
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    #[error("version {0} is unknown; this program reads version 1")]
    Version(u32),
    #[error("the {table} '{word}' stands there twice")]
    Twice { table: &'static str, word: Word },
    #[error("the source '{0}' has no class")]
    NoClass(Word),
}

impl Scheme {
    /// The one that is shipped.
    pub fn shipped() -> Scheme {
        // The file is part of the program and a test reads all of it, so what is wrong in it cannot reach a user.
        Scheme::read(ALBANIA).unwrap_or_else(|error| panic!("config/scheme/albania.toml: {error}"))
    }

    /// Reads a scheme file.
    pub fn read(text: &str) -> Result<Scheme, SchemeError> {
        let scheme: Scheme = toml::from_str(text)?;
        if scheme.version != 1 {
            return Err(SchemeError::Version(scheme.version));
        }
        once("source", scheme.sources.iter().map(|source| &source.word))?;
        once("category", scheme.categories.iter().map(|category| &category.word))?;
        once("legal_basis", scheme.legal_bases.iter().map(|basis| &basis.word))?;
        match scheme.sources.iter().find(|source| source.classes.is_empty()) {
            Some(source) => Err(SchemeError::NoClass(source.word.clone())),
            None => Ok(scheme),
        }
    }

    /// The source of a word.
    pub fn source(&self, word: &Word) -> Option<&Source> {
        self.sources.iter().find(|source| source.word == *word)
    }

    /// The category of a word.
    pub fn category(&self, word: &Word) -> Option<&Category> {
        self.categories.iter().find(|category| category.word == *word)
    }

    /// The legal basis of a word.
    pub fn legal_basis(&self, word: &Word) -> Option<&LegalBasis> {
        self.legal_bases.iter().find(|basis| basis.word == *word)
    }

    /// Words of all sources.
    pub fn sources(&self) -> impl Iterator<Item = &Word> {
        self.sources.iter().map(|source| &source.word)
    }

    /// Words of the categories of a class.
    pub fn categories(&self, class: Class) -> impl Iterator<Item = &Word> {
        self.categories.iter().filter(move |category| category.class == class).map(|category| &category.word)
    }

    /// Words of all legal bases.
    pub fn legal_bases(&self) -> impl Iterator<Item = &Word> {
        self.legal_bases.iter().map(|basis| &basis.word)
    }
}

fn once<'a>(table: &'static str, words: impl Iterator<Item = &'a Word>) -> Result<(), SchemeError> {
    let mut seen = BTreeSet::new();
    match words.into_iter().find(|word| !seen.insert(*word)) {
        Some(word) => Err(SchemeError::Twice { table, word: word.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_scheme_is_whole() {
        let scheme = Scheme::shipped();
        assert_eq!(scheme.word.as_str(), "al");
        let sources: Vec<&str> = scheme.sources().map(Word::as_str).collect();
        assert_eq!(sources, ["isigurt", "aksk", "interpol", "iwf", "court", "operator"]);
        for class in Class::ALL {
            assert!(scheme.categories(class).count() > 0, "{class:?}");
        }
        let word = |text| Word::parse(text).unwrap();
        // The hotline also hears of bullying; that alone is no reason to block a name for a whole country.
        assert!(!scheme.category(&word("bullying")).unwrap().dns);
        assert!(scheme.category(&word("csam")).unwrap().dns);
        assert!(scheme.legal_basis(&word("law-18-2017")).is_some());
    }

    #[test]
    fn what_is_wrong_in_a_scheme_is_told() {
        let told = |text: &str| Scheme::read(text).unwrap_err().to_string();
        let twice = ALBANIA.replace("id = \"aksk\"", "id = \"isigurt\"");
        assert!(told(&twice).contains("'isigurt' stands there twice"));
        assert!(told(&ALBANIA.replace("version = 1", "version = 2")).contains("version 2 is unknown"));
        assert!(told(&ALBANIA.replacen("dns =", "dsn =", 1)).contains("dsn"));
        assert!(told(&ALBANIA.replace("id = \"csam\"", "id = \"CSAM\"")).contains("1 to 32 of a-z"));
    }
}
