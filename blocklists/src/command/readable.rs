//! Names as people read them: beside the form that DNS knows, the letters that it stands for.
//!
//! `xn--fmij-lpad.example (fëmijë.example)`. The form of DNS always stands there, because it alone is what is blocked;
//! the letters only where they tell the truth. A name can be made of letters that look like others, and whoever decides
//! must not take it for the other name.

use signed_list::name::Name;

/// Cyrillic letters that pass for Latin ones, as Chromium's list of them has it.
const LATIN_IN_CYRILLIC: &str = "аысеԁһіюјӏорԗԛѕԝхуъьҽпгѵѡ";
/// Greek letters that do.
const LATIN_IN_GREEK: &str = "αικνρυωηοτ";

/// A name, with its letters behind it where it has others than DNS knows and they deceive nobody.
pub fn shown(name: &Name) -> String {
    match letters(name) {
        Some(letters) => format!("{name} ({letters})"),
        None => name.to_string(),
    }
}

/// The letters of an internationalised name; `None` if it is none, if they would not lead back to it, or if they could
/// be taken for others.
fn letters(name: &Name) -> Option<String> {
    let text = name.to_string();
    if !text.split('.').any(|label| label.starts_with("xn--")) {
        return None;
    }
    let (letters, done) = idna::domain_to_unicode(&text);
    done.ok()?;
    let leads_back = Name::parse(&letters).is_ok_and(|back| back == *name);
    (leads_back && letters.split('.').all(is_plain)).then_some(letters)
}

/// Whether a label is of one script that people here read, and not of look-alikes alone.
fn is_plain(label: &str) -> bool {
    let of_script = |script: fn(char) -> bool| {
        label.chars().all(|letter| letter.is_ascii_digit() || letter == '-' || script(letter))
    };
    let only = |alike: &str| label.chars().filter(|letter| !letter.is_ascii()).all(|letter| alike.contains(letter));
    of_script(is_latin)
        || of_script(is_greek) && !only(LATIN_IN_GREEK)
        || of_script(is_cyrillic) && !only(LATIN_IN_CYRILLIC)
}

/// Letters of the languages that are written around here, without those that pass for another one: ı, ĸ, ŉ, þ, ſ.
fn is_latin(letter: char) -> bool {
    letter.is_ascii_lowercase()
        || letter == '_'
        || matches!(letter, 'ß'..='ö' | 'ø'..='ý' | 'ÿ'..='ķ' | 'Ĺ'..='ň' | 'Ŋ'..='ž' | 'ș' | 'ț') && letter != 'ı'
}

fn is_greek(letter: char) -> bool {
    matches!(letter, 'ά'..='ώ' | 'ΐ')
}

fn is_cyrillic(letter: char) -> bool {
    matches!(letter, 'а'..='џ' | 'ґ' | 'ғ' | 'ԁ' | 'ԛ' | 'ԝ' | 'ӏ' | 'һ')
}
