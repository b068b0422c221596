//! The scheme profile: which classes and categories there are, and which test names the scheme owns. All that differs
//! from one country to the next, as data.

use std::collections::BTreeMap;

use serde::Deserialize;
use signed_list::name::Name;
use signed_list::release::Class;
use thiserror::Error;

use super::canary::Ground;
use crate::takedown;

/// A scheme profile that was read and checked.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// A short word for the scheme.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Where test names lie, and how many there are.
    pub ground: Ground,
    categories: BTreeMap<Class, Vec<String>>,
}

/// Why a scheme profile is refused; the caller adds the file's name.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the sentences say it
pub enum SchemeError {
    #[error(transparent)]
    Records(#[from] takedown::scheme::SchemeError),
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    #[error("'{0}' is no name: {1}")]
    Name(String, signed_list::name::NameError),
    #[error("canary.domains must hold at least one domain")]
    NoDomain,
    #[error("canary.{0} must be from {1} to {2}")]
    Count(&'static str, u32, u32),
    #[error("the class {0} has {1} categories; at most 63 are possible")]
    Categories(&'static str, usize),
}

/// All other keys are checked where records are read.
#[derive(Deserialize)]
struct Shape {
    canary: CanaryShape,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CanaryShape {
    test_zone: String,
    domains: Vec<String>,
    hidden: u32,
    ladder: u32,
    watermark: u32,
}

impl Scheme {
    /// Reads a profile.
    pub fn read(text: &str) -> Result<Scheme, SchemeError> {
        let records = takedown::scheme::Scheme::read(text)?;
        let Shape { canary } = toml::from_str(text)?;
        // The upper bounds keep canaries from outgrowing the list that they stand in.
        for (what, count, least, most) in [
            ("hidden", canary.hidden, 1, 10_000),
            ("ladder", canary.ladder, 1, 10_000),
            ("watermark", canary.watermark, 1, 16),
        ] {
            if !(least..=most).contains(&count) {
                return Err(SchemeError::Count(what, least, most));
            }
        }
        let name = |text: &str| Name::parse(text).map_err(|error| SchemeError::Name(text.to_owned(), error));
        let domains: Vec<Name> = canary.domains.iter().map(|text| name(text)).collect::<Result<_, _>>()?;
        if domains.is_empty() {
            return Err(SchemeError::NoDomain);
        }
        let mut categories = BTreeMap::new();
        for class in Class::ALL {
            let blocked = records.categories(class).filter(|word| records.category(word).is_some_and(|it| it.dns));
            let words: Vec<String> = blocked.map(|word| word.as_str().to_owned()).collect();
            if words.len() > 63 {
                return Err(SchemeError::Categories(class.word(), words.len()));
            }
            categories.insert(class, words);
        }
        Ok(Scheme {
            id: records.word.as_str().to_owned(),
            name: records.name,
            ground: Ground {
                test_zone: name(&canary.test_zone)?,
                domains,
                hidden: canary.hidden,
                ladder: canary.ladder,
                watermark: canary.watermark,
            },
            categories,
        })
    }

    /// Categories of a class, in the order of their numbers in its list; none for a class that the scheme lacks.
    pub fn categories(&self, class: Class) -> &[String] {
        self.categories.get(&class).map_or(&[], Vec::as_slice)
    }

    /// Whether the name belongs to the scheme itself, which no case may list.
    pub fn owns(&self, name: &Name) -> bool {
        let ground = &self.ground;
        name.is_same_or_below(&ground.test_zone)
            || ground.domains.iter().any(|domain| name.is_same_or_below(domain) || domain.is_same_or_below(name))
            || ground.test_zone.is_same_or_below(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../config/scheme/albania.toml");

    #[test]
    fn the_shipped_scheme_is_good() {
        let scheme = Scheme::read(SHIPPED).unwrap();
        assert_eq!((scheme.id.as_str(), scheme.name.as_str()), ("al", "Albania Friendly Wi-Fi"));
        assert_eq!(scheme.categories(Class::Legal), ["csam"], "what DNS may not block is no category of a list");
        for class in Class::ALL {
            assert!(!scheme.categories(class).is_empty(), "{class:?}");
        }
    }

    #[test]
    fn names_of_the_scheme_and_above_them_are_its_own() {
        let scheme = Scheme::read(SHIPPED).unwrap();
        for (name, own) in [
            ("adult.test.afw.example", true),
            ("afw.example", true),
            ("example", true),
            ("a.canary-two.example", true),
            ("other.example", false),
            ("www.afw.example", false),
        ] {
            assert_eq!(scheme.owns(&Name::parse(name).unwrap()), own, "{name}");
        }
    }

    #[test]
    fn wrong_profiles_are_refused_with_the_reason() {
        for (from, to, reason) in [
            ("version = 1", "version = 2", "version 2 is unknown"),
            ("hidden = 160", "hidden = 0", "canary.hidden must be from 1"),
            ("hidden = 160", "hidden = 160\nmore = 1", "unknown field `more`"),
            ("[canary]", "[canaries]", "unknown field `canaries`"),
            ("id = \"csam\"", "id = \"CSAM\"", "1 to 32 of a-z"),
            ("test.afw.example\"", "a b\"", "'a b' is no name"),
        ] {
            let text = SHIPPED.replacen(from, to, 1);
            assert_ne!(text, SHIPPED);
            let error = Scheme::read(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{reason:?} is not in {error:?}");
        }
    }
}
