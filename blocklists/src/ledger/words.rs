//! The few texts that enter a ledger, each with a rule that keeps out what must not be stored: URLs, names of sites,
//! addresses of people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not taken, as the end of a sentence that begins with what it is.
pub type Wrong = &'static str;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a text that keeps to the rule.
            pub fn parse(text: &str) -> Result<$name, Wrong> {
                let check: fn(&str) -> Result<(), Wrong> = $check;
                check(text).map(|()| $name(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Wrong;

            fn try_from(text: String) -> Result<$name, Wrong> {
                $name::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = Wrong;

            fn from_str(text: &str) -> Result<$name, Wrong> {
                $name::parse(text)
            }
        }
    };
}

text! {
    /// A word from the scheme's tables: a source, a category, a legal basis, a country. 1 to 32 of `a-z 0-9 -`.
    Word, |text| {
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit();
        let good = text.bytes().enumerate().all(|(at, octet)| plain(octet) || octet == b'-' && at > 0);
        if good && (1..=32).contains(&text.len()) { Ok(()) } else { Err("1 to 32 of a-z, 0-9 and -, the first not a -") }
    }
}

text! {
    /// The hotline's own number for a case. 1 to 64 of `A-Z a-z 0-9 - _ /`: without dots it can hold no name and no URL.
    CaseRef, |text| {
        let plain = |octet: u8| octet.is_ascii_alphanumeric();
        let good = text.bytes().enumerate().all(|(at, octet)| plain(octet) || at > 0 && b"-_/".contains(&octet));
        let wrong = "1 to 64 letters, digits, -, _ and /, the first a letter or digit; no dots, so that it can hold no name";
        if good && (1..=64).contains(&text.len()) { Ok(()) } else { Err(wrong) }
    }
}

text! {
    /// A case: its source, `/`, and the source's own number for it, such as `isigurt/2027-0042`.
    CaseId, |text| {
        let wrong = "the source, / and its number for the case, such as isigurt/2027-0042";
        let (source, number) = text.split_once('/').ok_or(wrong)?;
        Word::parse(source).and(CaseRef::parse(number).map(drop)).map_err(|_| wrong)
    }
}

text! {
    /// What colleagues call somebody: shown beside the key, and never what anybody is known by. 1 to 24 characters.
    Label, |text| {
        let good = text.chars().all(|letter| letter.is_alphanumeric() || " -_'.".contains(letter));
        let count = text.chars().count();
        if good && (1..=24).contains(&count) && text.trim() == text {
            Ok(())
        } else {
            Err("1 to 24 letters, digits, blanks, - _ ' and .")
        }
    }
}

text! {
    /// A reason or a reference in one short sentence. 3 to 160 characters, no URL, no site, no e-mail address.
    Remark, |text| {
        if !(3..=160).contains(&text.chars().count()) || text.trim() != text {
            return Err("3 to 160 characters");
        }
        if text.chars().any(|letter| letter.is_control() || is_hidden(letter)) {
            return Err("one line of plain text");
        }
        if text.contains('@') || text.contains("://") || text.to_ascii_lowercase().contains("www.") {
            return Err("without URLs and e-mail addresses: they are not kept");
        }
        if text.split_whitespace().any(is_like_a_path) {
            return Err("without paths of a site: they are not kept");
        }
        Ok(())
    }
}

/// Marks that turn the direction of a text or have no width: what is read would not be what is signed.
fn is_hidden(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `name.test/path` is, `465/2019` and `Nr.` are not.
fn is_like_a_path(word: &str) -> bool {
    let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
    word.split_once('/').is_some_and(|(host, _)| host.contains('.') && host.chars().any(char::is_alphabetic))
}

impl CaseId {
    /// The case of a source and its number.
    pub fn new(source: &Word, number: &CaseRef) -> CaseId {
        CaseId(format!("{source}/{number}"))
    }

    /// Whose case it is.
    pub fn source(&self) -> &str {
        self.0.split_once('/').map_or("", |(source, _)| source)
    }

    /// The source's number for it.
    pub fn number(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, number)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_hold_no_names() {
        for good in ["csam", "a", "law-18-2017", "0day"] {
            assert!(Word::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "Csam", "a b", "a.b", "ë", &"a".repeat(33)] {
            assert!(Word::parse(bad).is_err(), "{bad}");
        }
        for good in ["1", "2027-0042", "AL_77/b"] {
            assert!(CaseRef::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/1", "-1", "site.test", "http://site.test", "a b", "a\n", &"1".repeat(65)] {
            assert!(CaseRef::parse(bad).is_err(), "{bad}");
        }
        let case = CaseId::parse("isigurt/2027/0042").unwrap();
        assert_eq!((case.source(), case.number()), ("isigurt", "2027/0042"));
        for bad in ["isigurt", "isigurt/", "/1", "Isigurt/1", "isigurt/a.test"] {
            assert!(CaseId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn remarks_hold_no_urls_and_no_addresses_of_people() {
        for good in
            ["VKM 465/2019", "Vendim Nr. 12/3, dt. 4.5.2027", "gabim: faqja është tjetër", "see 465/2019.", "abc"]
        {
            assert!(Remark::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "no",
            " abc",
            "two\nlines",
            "http://site.test/x",
            "on www.site.test",
            "ask ana@hotline.test",
            "see site.test/picture",
            "see (site.test/picture)",
            "\u{1b}[31mred",
            "turned \u{202e}txet",
            &"a".repeat(161),
        ] {
            assert!(Remark::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_are_short_and_plain() {
        for good in ["AN-1", "Ana D.", "Ëndri"] {
            assert!(Label::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " Ana", "ana@hotline.test", "a\tb", &"a".repeat(25), "<b>"] {
            assert!(Label::parse(bad).is_err(), "{bad}");
        }
    }
}
