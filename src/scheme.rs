//! The scheme profile as far as it is about people: who blocks, who helps, in
//! which languages. It is data, so that another country needs a file and no
//! program. The rest of the profile belongs to the publisher of lists.

use std::collections::BTreeMap;
use std::path::Path;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use serde::Deserialize;
use serde::de::IgnoredAny;
use unic_langid::LanguageIdentifier;

use crate::config::{Category, Layer};

/// The profile that is used when the configuration names none.
const ALBANIA: &str = include_str!("../config/scheme/albania.toml");
/// Texts that come with the program.
const SHIPPED: [(&str, &str); 2] =
    [("sq", include_str!("../config/scheme/texts/sq.ftl")), ("en", include_str!("../config/scheme/texts/en.ftl"))];
/// The keys that every language has to have. `why-CATEGORY` may be added.
const KEYS: [&str; 32] = [
    "title",
    "calm",
    "why",
    "help-title",
    "help-trust",
    "report",
    "appeal-title",
    "appeal",
    "appeal-site",
    "appeal-button",
    "appeal-privacy",
    "appeal-mail",
    "appeal-wrong",
    "appeal-ok-title",
    "appeal-ok",
    "appeal-ask",
    "appeal-full",
    "back",
    "privacy",
    "who",
    "quarter-title",
    "quarter-intro",
    "quarter-privacy",
    "quarter-none",
    "quarter-open",
    "quarter-denied",
    "quarter-no-policy",
    "quarter-hotspot",
    "quarter-category",
    "quarter-total",
    "quarter-chart",
    "quarter-table",
];

/// What is wrong with a profile; the caller adds the file's name.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the sentences say it
pub enum SchemeError {
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    #[error("version {0} is unknown; this program reads version 1")]
    Version(u32),
    #[error("{0}")]
    People(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    id: String,
    #[serde(rename = "name")]
    _name: IgnoredAny,
    people: Shape,
    #[serde(default, rename = "class")]
    _class: IgnoredAny,
    #[serde(default, rename = "canary")]
    _canary: IgnoredAny,
    #[serde(default, rename = "source")]
    _source: IgnoredAny,
    #[serde(default)]
    category: Vec<CategoryShape>,
    #[serde(default, rename = "legal_basis")]
    _legal_basis: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    organisation: String,
    url: String,
    contact: Vec<String>,
    report_url: String,
    report_name: String,
    review_days: u32,
    language: Vec<LanguageShape>,
    helpline: Vec<Helpline>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LanguageShape {
    code: String,
    name: String,
    texts: String,
}

/// A category, of which only the names are read here, by code of language.
#[derive(Deserialize)]
struct CategoryShape {
    id: String,
    #[serde(flatten)]
    rest: BTreeMap<String, toml::Value>,
}

/// Somebody who helps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helpline {
    /// The number, as it stands behind `tel:`.
    pub tel: String,
    /// The sentence that tells of it, by code of language.
    pub sentence: BTreeMap<String, String>,
}

/// A scheme, as people see it.
pub struct Scheme {
    /// A short word for it.
    pub id: String,
    /// Who answers for the blocking.
    pub organisation: String,
    /// Their own page.
    pub url: String,
    /// `mailto:` and `tel:` addresses for questions about a block; at least one.
    pub contact: Vec<String>,
    /// Where anything that worries somebody is reported.
    pub report_url: String,
    /// What that is called.
    pub report_name: String,
    /// Working days within which a request for review is answered.
    pub review_days: u32,
    /// At least one; the first is for whoever asks for none of them.
    pub languages: Vec<Language>,
    /// Who helps; at least one.
    pub helplines: Vec<Helpline>,
    categories: Vec<CategoryShape>,
}

/// A language, with its texts.
pub struct Language {
    /// `sq`
    pub code: String,
    /// `Shqip`
    pub name: String,
    texts: FluentBundle<FluentResource>,
}

impl Scheme {
    /// The profile that is shipped, or that of a file.
    ///
    /// # Errors
    /// One sentence with the file and what is wrong in it.
    pub fn load(file: Option<&Path>) -> Result<Self, String> {
        let Some(path) = file else { return Ok(Self::shipped()) };
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        Self::read(&text, path.parent().unwrap_or(Path::new(""))).map_err(|error| failed(&error))
    }

    /// The one that is shipped.
    pub fn shipped() -> Self {
        // It is part of the program and a test reads all of it.
        Self::read(ALBANIA, Path::new("")).unwrap_or_else(|error| panic!("config/scheme/albania.toml: {error}"))
    }

    /// Reads a profile whose texts lie in `directory`.
    ///
    /// # Errors
    /// What is wrong in it.
    pub fn read(text: &str, directory: &Path) -> Result<Self, SchemeError> {
        let File { version, id, people, category: categories, .. } = toml::from_str(text)?;
        if version != 1 {
            return Err(SchemeError::Version(version));
        }
        let wrong = |sentence: String| Err(SchemeError::People(sentence));
        for address in &people.contact {
            if !address.starts_with("mailto:") && !address.starts_with("tel:") {
                return wrong(format!("people.contact: \"{address}\" is neither mailto: nor tel:"));
            }
        }
        for (key, address) in [("url", &people.url), ("report_url", &people.report_url)] {
            if !url::Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "https" | "http")) {
                return wrong(format!("people.{key}: \"{address}\" is not a web address; write https://..."));
            }
        }
        for (key, empty) in [
            ("contact", people.contact.is_empty()),
            ("language", people.language.is_empty()),
            ("helpline", people.helpline.is_empty()),
        ] {
            if empty {
                return wrong(format!("people.{key} is empty; the stop page needs at least one"));
            }
        }
        for helpline in &people.helpline {
            if let Some(missing) = people.language.iter().find(|it| !helpline.sentence.contains_key(&it.code)) {
                let (tel, code) = (&helpline.tel, &missing.code);
                return wrong(format!("people.helpline {tel} has no sentence in {code}; add {code} = \"...\""));
            }
        }
        let languages = people.language.into_iter().map(|shape| Language::read(shape, directory));
        Ok(Scheme {
            id,
            organisation: people.organisation,
            url: people.url,
            contact: people.contact,
            report_url: people.report_url,
            report_name: people.report_name,
            review_days: people.review_days,
            languages: languages.collect::<Result<_, _>>()?,
            helplines: people.helpline,
            categories,
        })
    }

    /// The language of an `Accept-Language` header (RFC 9110 section 12.5.4)
    /// that fits best.
    pub fn language(&self, accepted: &str) -> &Language {
        let ranges = accepted.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let code = parts.next()?.split('-').next()?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            let language = self.languages.iter().find(|language| language.code == code)?;
            (weight > 0.0).then_some((language, weight))
        });
        // The first of those that are wanted equally.
        let best = ranges.reduce(|best, other| if other.1 > best.1 { other } else { best });
        best.map_or(&self.languages[0], |(language, _)| language)
    }

    /// What a category is called, where the profile says it.
    pub fn category_name(&self, id: &str, language: &Language) -> Option<&str> {
        self.categories.iter().find(|category| category.id == id)?.rest.get(&language.code)?.as_str()
    }

    /// The language with this code.
    pub fn of_code(&self, code: &str) -> Option<&Language> {
        self.languages.iter().find(|language| language.code == code)
    }
}

impl Language {
    fn read(shape: LanguageShape, directory: &Path) -> Result<Self, SchemeError> {
        let LanguageShape { code, name, texts } = shape;
        let wrong = |sentence: String| SchemeError::People(format!("people.language {code}: {sentence}"));
        let shipped = SHIPPED.iter().find(|(known, _)| texts.is_empty() && *known == code);
        let source = match shipped {
            Some((_, source)) => (*source).to_owned(),
            None if texts.is_empty() => return Err(wrong("there are no shipped texts of it; name a file".into())),
            None => {
                let path = directory.join(&texts);
                std::fs::read_to_string(&path).map_err(|error| wrong(format!("{}: {error}", path.display())))?
            }
        };
        let locale: LanguageIdentifier = code.parse().map_err(|_| wrong("this is no code of a language".into()))?;
        let mut bundle = FluentBundle::new_concurrent(vec![locale]);
        // Marks that hold right-to-left names apart are shown as rubbish by some.
        bundle.set_use_isolating(false);
        let resource = FluentResource::try_new(source)
            .map_err(|(_, errors)| wrong(errors.first().map_or_else(String::new, ToString::to_string)))?;
        bundle.add_resource(resource).map_err(|errors| wrong(format!("{errors:?}")))?;
        match KEYS.iter().find(|key| !bundle.has_message(key)) {
            Some(key) => Err(wrong(format!("the text '{key}' is missing"))),
            None => Ok(Language { code, name, texts: bundle }),
        }
    }

    /// The text of a key, with its arguments in place.
    pub fn say(&self, key: &str, arguments: &[(&str, &str)]) -> String {
        let message = self.texts.get_message(key).and_then(|message| message.value());
        let Some(pattern) = message else { return key.to_owned() };
        let mut values = FluentArgs::new();
        for (name, value) in arguments {
            values.set(*name, *value);
        }
        self.texts.format_pattern(pattern, Some(&values), &mut Vec::new()).into_owned()
    }

    /// Why something is blocked. What the law lists looks like everything else:
    /// neither page nor error tells on which list a name stands.
    pub fn why(&self, category: Option<&Category>) -> String {
        let own = category.filter(|category| category.layer != Layer::Legal);
        let key = own.map(|category| format!("why-{}", category.name));
        let key = key.filter(|key| self.texts.has_message(key));
        self.say(key.as_deref().unwrap_or("why"), &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_profile_has_both_languages_and_the_same_texts_in_each() {
        let scheme = Scheme::shipped();
        assert_eq!(scheme.languages.iter().map(|language| &*language.code).collect::<Vec<_>>(), ["sq", "en"]);
        let keys = |source: &str| -> Vec<String> {
            source.lines().filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
        };
        let [sq, en] = SHIPPED.map(|(_, source)| keys(source));
        assert_eq!(sq, en);
        assert!(KEYS.iter().all(|key| sq.iter().any(|other| other == key)));
        let [sq, en] = [0, 1].map(|at| &scheme.languages[at]);
        let arguments =
            [("organisation", "O"), ("code", "C"), ("days", "5"), ("report", "R"), ("quarter", "Q"), ("least", "10")];
        for key in keys(SHIPPED[0].1) {
            let (albanian, english) = (sq.say(&key, &arguments), en.say(&key, &arguments));
            assert_ne!(albanian, english, "{key}");
            assert!(!albanian.contains('$') && !english.contains('$'), "{key}");
        }
    }

    #[test]
    fn the_language_is_the_one_that_is_liked_best() {
        let scheme = Scheme::shipped();
        for (accepted, code) in [
            ("", "sq"),
            ("*", "sq"),
            ("de", "sq"),
            ("en", "en"),
            ("en-GB,en;q=0.9", "en"),
            ("de, en;q=0.5, sq;q=0.4", "en"),
            ("en;q=0.3, sq-AL", "sq"),
            ("sq, en", "sq"),
            ("en, sq", "en"),
            ("en;q=0, de", "sq"),
            ("EN", "en"),
            (";;;,,q=1", "sq"),
        ] {
            assert_eq!(scheme.language(accepted).code, code, "{accepted:?}");
        }
    }

    #[test]
    fn what_the_law_lists_is_told_like_everything_else() {
        let english = &Scheme::shipped().languages[1];
        let category = |name: &str, layer| Category::new(name, layer);
        assert!(english.why(Some(&category("adult", Layer::Family))).contains("adults"));
        let usual = english.why(None);
        assert_eq!(english.why(Some(&category("adult", Layer::Legal))), usual);
        assert_eq!(english.why(Some(&category("csam", Layer::Legal))), usual);
        assert_eq!(english.why(Some(&category("something-new", Layer::Family))), usual);
    }

    #[test]
    fn what_is_wrong_in_a_profile_is_said() {
        let said = |from: &str, to: &str| {
            assert!(ALBANIA.contains(from), "{from}");
            Scheme::read(&ALBANIA.replacen(from, to, 1), Path::new("")).err().expect("refused").to_string()
        };
        for (from, to, words) in [
            ("version = 1", "version = 2", "version 2 is unknown"),
            ("organisation =", "organization =", "organization"),
            ("[\"mailto:isigurt@crca.al\"]", "[\"https://crca.example\"]", "neither mailto: nor tel:"),
            ("[\"mailto:isigurt@crca.al\"]", "[]", "people.contact is empty"),
            ("url = \"https://", "url = \"javascript:", "is not a web address"),
            ("sentence = { sq =", "sentence = { xx =", "has no sentence in sq"),
            ("code = \"en\"", "code = \"mk\"", "no sentence in mk"),
            ("texts = \"\"", "texts = \"none.ftl\"", "none.ftl"),
        ] {
            let told = said(from, to);
            assert!(told.contains(words), "{told}");
        }
    }
}
