//! Single values of the configuration file. Each knows what it accepts, so a
//! value that was read is a value that may be used, and an error carries the
//! place of exactly this value. Addresses have a file of their own, `address.rs`.
//!
//! The messages are halves of a sentence: the reader of the file puts file,
//! line, key and table in front.

use std::fmt;
use std::net::Ipv4Addr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use signed_list::{list::Scope, name::Name};
use tracing::Level;

use super::error::nearest;
use super::{Layer, PrivateRelay, Rule, YouTube};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Int<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Int<MIN, MAX> {
    /// A default. Panics when it is out of range: the tests read every default.
    pub(super) fn new(value: u64) -> Self {
        assert!((MIN..=MAX).contains(&value), "default {value} is not in {MIN}..={MAX}");
        Int(value)
    }

    /// The number.
    pub(super) fn get(self) -> u64 {
        self.0
    }

    /// The number as another type.
    ///
    /// Panics when it does not fit, which depends on `MAX` alone and so is seen
    /// by the first test that reads the setting's upper end.
    pub(super) fn to<T: TryFrom<u64>>(self) -> T {
        T::try_from(self.0).ok().expect("MAX fits the type that the setting is kept in")
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Int<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Range<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> Visitor<'_> for Range<MIN, MAX> {
            type Value = Int<MIN, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                match u64::try_from(value) {
                    Ok(value) if (MIN..=MAX).contains(&value) => Ok(Int(value)),
                    _ => Err(E::custom(format!("{value} is out of range; allowed are {MIN} to {MAX}"))),
                }
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                Err(E::custom(format!("{value} is out of range; allowed are {MIN} to {MAX}")))
            }
            fn visit_i128<E: Error>(self, value: i128) -> Result<Self::Value, E> {
                Err(E::custom(format!("{value} is out of range; allowed are {MIN} to {MAX}")))
            }
        }
        deserializer.deserialize_any(Range)
    }
}

/// Something that is written as a string in the file.
pub(super) trait Written: Sized {
    /// What to write, for errors; with an example.
    const EXPECTED: &'static str;
    /// Reads it, or says what is wrong and what to do.
    fn read(text: &str) -> Result<Self, String>;
}

/// A value that is written as a string.
#[derive(Clone, Debug)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: Written> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<T: Written> Visitor<'_> for Reader<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                T::read(text).map(Text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader(std::marker::PhantomData))
    }
}

/// Finds `text` among the words that a setting knows.
pub(super) fn choose<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let all: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let hint = match nearest(text, words.iter().map(|(word, _)| *word)) {
        Some(word) => format!("; did you mean \"{word}\"?"),
        None => String::new(),
    };
    Err(format!("\"{text}\" is not one of {}{hint}", all.join(", ")))
}

impl Written for Layer {
    const EXPECTED: &'static str = r#""legal", "operator" or "family""#;
    fn read(text: &str) -> Result<Self, String> {
        let words = [("legal", Layer::Legal), ("operator", Layer::Operator), ("family", Layer::Family)];
        choose(text, &words)
    }
}

impl Written for PrivateRelay {
    const EXPECTED: &'static str = r#""nxdomain", "nodata" or "forward""#;
    fn read(text: &str) -> Result<Self, String> {
        let words = [
            ("nxdomain", PrivateRelay::NxDomain),
            ("nodata", PrivateRelay::NoData),
            ("forward", PrivateRelay::Forward),
        ];
        choose(text, &words)
    }
}

impl Written for YouTube {
    const EXPECTED: &'static str = r#""free", "moderate" or "strict""#;
    fn read(text: &str) -> Result<Self, String> {
        choose(text, &[("free", YouTube::Free), ("moderate", YouTube::Moderate), ("strict", YouTube::Strict)])
    }
}

impl Written for Level {
    const EXPECTED: &'static str = r#""error", "warn", "info" or "debug""#;
    fn read(text: &str) -> Result<Self, String> {
        let words = [("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO), ("debug", Level::DEBUG)];
        choose(text, &words)
    }
}

/// `log.format`; true = JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json(pub(super) bool);

impl Written for Json {
    const EXPECTED: &'static str = r#""text" or "json""#;
    fn read(text: &str) -> Result<Self, String> {
        choose(text, &[("text", Json(false)), ("json", Json(true))])
    }
}

/// Name of a policy: it becomes a label of metrics and a word in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label(pub(super) String);

impl Written for Label {
    const EXPECTED: &'static str = r#"a short name, as in "library""#;
    fn read(text: &str) -> Result<Self, String> {
        if is_label(text) {
            return Ok(Label(text.to_owned()));
        }
        Err(format!("\"{text}\" is not a short name; {LABEL_RULE}"))
    }
}

/// What [`is_label`] asks for, in words.
pub(super) const LABEL_RULE: &str = "use 1 to 32 of a-z, 0-9 and '-', and begin with a letter or a digit";

/// Whether `text` matches `^[a-z0-9][a-z0-9-]{0,31}$`.
pub(super) fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=32).contains(&text.len()) && text.bytes().all(|b| plain(b) || b == b'-') && plain(text.as_bytes()[0])
}

/// A path, relative or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePath(pub(super) String);

impl Written for FilePath {
    const EXPECTED: &'static str = r#"the path of a file, as in "adult.list""#;
    fn read(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() || text.contains('\0') {
            return Err(format!("\"{}\" is not the path of a file; write {}", text.escape_debug(), Self::EXPECTED));
        }
        Ok(FilePath(text.to_owned()))
    }
}

/// A value that may be missing: `None` when empty.
#[derive(Clone, Debug)]
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T: Written> Written for Maybe<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(Maybe(None)) } else { T::read(text).map(|value| Maybe(Some(value))) }
    }
}

/// A directory; `None` when empty.
#[derive(Clone, Debug)]
pub(super) struct Directory(pub(super) Option<String>);

impl Written for Directory {
    const EXPECTED: &'static str = r#"the path of a directory, or "" for none"#;
    fn read(text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err(format!(
                "\"{}\" is not the path of a directory; write {}",
                text.escape_debug(),
                Self::EXPECTED
            ));
        }
        Ok(Directory((!text.is_empty()).then(|| text.to_owned())))
    }
}

/// A user of the system; `None` when empty.
#[derive(Clone, Debug)]
pub(super) struct User(pub(super) Option<String>);

impl Written for User {
    const EXPECTED: &'static str = r#"the name of a user, as in "friendly", or "" to stay"#;
    fn read(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if text.len() > 32 || !text.bytes().all(fits) || text.starts_with('-') {
            return Err(format!("\"{}\" is not the name of a user; write {}", text.escape_debug(), Self::EXPECTED));
        }
        Ok(User((!text.is_empty()).then(|| text.to_owned())))
    }
}

/// Text of a TXT record with one string (RFC 1035 section 3.3.14); `None` when
/// empty.
#[derive(Clone, Debug)]
pub(super) struct TxtString(pub(super) Option<String>);

impl Written for TxtString {
    const EXPECTED: &'static str = r#"a text of at most 255 octets, or "" for none"#;
    fn read(text: &str) -> Result<Self, String> {
        if text.len() > 255 {
            return Err(format!("the text has {} octets; shorten it to 255", text.len()));
        }
        Ok(TxtString((!text.is_empty()).then(|| text.to_owned())))
    }
}

/// An amount of memory in octets: 0, or 64 KiB to 1 TiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) u64);

impl Written for Size {
    const EXPECTED: &'static str = r#"a size in quotes, as in "64 MiB", or "0" for none"#;
    fn read(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = (&trimmed[..digits], trimmed[digits..].trim());
        let wrong = || format!("\"{text}\" is not a size; write {}", Self::EXPECTED);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let shift = match unit {
            "" if number == 0 => return Ok(Size(0)),
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "" => {
                return Err(format!("\"{text}\" has no unit; write it with KiB, MiB or GiB, as in \"64 MiB\""));
            }
            other => {
                let near = match other.to_ascii_lowercase().as_bytes() {
                    [first @ (b'k' | b'm' | b'g'), ..] => char::from(first.to_ascii_uppercase()),
                    _ => return Err(wrong()),
                };
                return Err(format!("the unit of \"{text}\" is not known; did you mean \"{number} {near}iB\"?"));
            }
        };
        match number.checked_mul(1 << shift) {
            Some(0) => Ok(Size(0)),
            Some(size) if (64 << 10..=1 << 40).contains(&size) => Ok(Size(size)),
            _ => Err(format!("\"{text}\" is out of range; allowed are \"64 KiB\" to \"1024 GiB\", or \"0\" for none")),
        }
    }
}

impl Written for Name {
    const EXPECTED: &'static str = r#"a domain name, as in "example.org""#;
    fn read(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("*.") {
            return Err(format!("\"{text}\": names below are always meant too; write \"{rest}\""));
        }
        if text.contains(['/', ':', '@']) {
            return Err(format!("\"{text}\" is more than a domain name; write {}", Self::EXPECTED));
        }
        if text.parse::<Ipv4Addr>().is_ok() {
            return Err(format!("\"{text}\" is an address, which no question asks for; write {}", Self::EXPECTED));
        }
        let name = Name::parse(text)
            .map_err(|e| format!("\"{text}\" is not a domain name ({e}); write {}", Self::EXPECTED))?;
        if name.is_root() {
            return Err(format!("\"{text}\" is the root and would mean every name; write {}", Self::EXPECTED));
        }
        Ok(name)
    }
}

impl Written for Rule {
    const EXPECTED: &'static str = r#"a domain name, as in "example.org", or "=example.org" for exactly this name"#;
    fn read(text: &str) -> Result<Self, String> {
        let (name, scope) = match text.strip_prefix('=') {
            Some(exact) => (exact, Scope::Exact),
            None => (text, Scope::Subtree),
        };
        Ok(Rule { name: Name::read(name)?, scope })
    }
}
