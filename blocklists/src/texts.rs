//! What people read, in their language: sentences by key from `texts/*.ftl` (Project Fluent).
//!
//! The verbs speak English to whoever runs the program. What goes back to a hotline - why a record is refused, why a
//! case is for notice and takedown only - exists in Albanian, too.

use std::sync::OnceLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use unic_langid::LanguageIdentifier;

/// A language that the texts are there in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// shqip
    Albanian,
    /// English
    English,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 2] = [Language::Albanian, Language::English];

    /// Its code (ISO 639-1).
    pub fn code(self) -> &'static str {
        match self {
            Language::Albanian => "sq",
            Language::English => "en",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Language::Albanian => include_str!("../texts/sq.ftl"),
            Language::English => include_str!("../texts/en.ftl"),
        }
    }
}

/// The text of a key, with its arguments in place. The key itself where there is no text, which a test rules out.
pub fn say(language: Language, key: &str, arguments: &[(&str, String)]) -> String {
    let bundle = bundle(language);
    let Some(pattern) = bundle.get_message(key).and_then(|message| message.value()) else { return key.to_owned() };
    let mut values = FluentArgs::new();
    for (name, value) in arguments {
        values.set(*name, value.as_str());
    }
    // An argument that is missing shows as its name in braces.
    bundle.format_pattern(pattern, Some(&values), &mut Vec::new()).into_owned()
}

fn bundle(language: Language) -> &'static FluentBundle<FluentResource> {
    static BUNDLES: OnceLock<[FluentBundle<FluentResource>; 2]> = OnceLock::new();
    let read = |language: Language| {
        let locale: LanguageIdentifier = language.code().parse().unwrap_or_default();
        let mut bundle = FluentBundle::new_concurrent(vec![locale]);
        // Marks that hold right-to-left names apart would be rubbish in a terminal and in JSON.
        bundle.set_use_isolating(false);
        // The files are part of the program and a test reads all of them.
        let resource = FluentResource::try_new(language.source().to_owned()).unwrap_or_else(|(resource, _)| resource);
        let _ = bundle.add_resource(resource);
        bundle
    };
    &BUNDLES.get_or_init(|| Language::ALL.map(read))[language as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The keys of a file, each with the arguments that its text asks for.
    fn keys(language: Language) -> BTreeMap<String, Vec<String>> {
        assert!(FluentResource::try_new(language.source().to_owned()).is_ok(), "{}.ftl", language.code());
        let mut keys = BTreeMap::new();
        let mut key = String::new();
        for line in language.source().lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            if !line.starts_with(' ') {
                key = line.split_once(" =").expect("key = text").0.to_owned();
                assert!(keys.insert(key.clone(), Vec::new()).is_none(), "{key} stands there twice");
            }
            let arguments = line.split("{ $").skip(1).map(|rest| rest.split(' ').next().unwrap().to_owned());
            let known: &mut Vec<String> = keys.get_mut(&key).unwrap();
            known.extend(arguments);
            known.sort();
        }
        keys
    }

    #[test]
    fn both_languages_say_the_same_things() {
        let (albanian, english) = (keys(Language::Albanian), keys(Language::English));
        assert_eq!(albanian, english);
        assert!(english.len() > 40);
        for key in english.keys() {
            assert_ne!(say(Language::Albanian, key, &[]), say(Language::English, key, &[]), "{key}");
        }
    }

    #[test]
    fn arguments_stand_in_their_places() {
        let arguments = [("near", "name".to_owned())];
        assert_eq!(
            say(Language::English, "refused-unknown-near", &arguments),
            "is not a field of a record; is 'name' meant?"
        );
        assert!(say(Language::Albanian, "refused-unknown-near", &arguments).contains("'name'"));
    }
}
