//! Text -> tables, with a sentence of our own for everything that TOML or serde
//! object to.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::VERSION;
use super::error::{Report, nearest};
use super::shape::File;

/// Problems after which reading stops: the rest is noise, and each costs
/// another walk over the whole file.
const MAX_PROBLEMS: usize = 50;

impl File {
    /// Reads `text` and reports what is wrong with it, value by value; `None`
    /// when nothing sensible is left to look at.
    ///
    /// serde stops at the first error. So the value that it stumbled over is
    /// noted, taken out of the document, and the rest is read again: an operator
    /// sees all mistakes of a file at once instead of one for each start.
    pub(super) fn read(text: &str, report: &mut Report<'_>) -> Option<File> {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            // One slip often gives several errors in a row; the first is the
            // one that helps.
            if !report.has_line_of(at) {
                report.add(at, format!("this is not TOML: {}", error.message()));
            }
        }
        if !errors.is_empty() || !version(document.get_ref(), report) {
            return None;
        }
        let (place, mut table) = (document.span(), document.into_inner());
        while report.len() < MAX_PROBLEMS {
            let whole = Spanned::new(place.clone(), table.clone());
            let error = match File::deserialize(toml::Deserializer::from(whole)) {
                Ok(file) => return Some(file),
                Err(error) => error,
            };
            let at = error.span().map_or(0, |span| span.start);
            let mut path = Vec::new();
            let taken = take(&mut table, at, &mut path);
            report.add(at, describe(error.message(), &path));
            if !taken {
                return None;
            }
        }
        report.add(text.len(), "there may be more problems; correct these first");
        None
    }
}

/// Whether the file is of the version that we read. Said before anything else,
/// because the keys of another version may well be others.
fn version(table: &DeTable<'_>, report: &mut Report<'_>) -> bool {
    let this = format!("this program reads version {VERSION}");
    let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == "version") else {
        let what =
            format!("the version of the file is missing; put version = {VERSION} above the first table ({this})");
        report.add(0, what);
        return false;
    };
    let number = value.get_ref().as_integer().and_then(|int| int.as_str().parse::<i128>().ok());
    match number {
        Some(number) if number == i128::from(VERSION) => return true,
        Some(number) if number > i128::from(VERSION) => report.add(
            key.span().start,
            format!(
                "the file is of version {number} and {this}; update the program, or write the file in version {VERSION}"
            ),
        ),
        Some(number) => report.add(
            key.span().start,
            format!("there is no version {number} of the file; {this}, so write version = {VERSION}"),
        ),
        None => report
            .add(key.span().start, format!("the version is not a whole number; write version = {VERSION} ({this})")),
    }
    false
}

/// A step on the way to a value.
enum Step {
    /// A key of a table.
    Key(String),
    /// An element of a list: the `name` in it when it is a table, and whether
    /// it is one.
    Element { name: Option<String>, table: bool },
}

/// Takes the value or the key that stands at `at` out of `table`, and writes
/// down the way to it. False when nothing stands there.
fn take(table: &mut DeTable<'_>, at: usize, path: &mut Vec<Step>) -> bool {
    let found = table.iter().find(|(key, value)| key.span().contains(&at) || holds(value, at));
    let Some(key) = found.map(|(key, _)| key.clone()) else {
        return false;
    };
    path.push(Step::Key(key.get_ref().to_string()));
    if let Some(value) = table.get_mut::<str>(key.get_ref().as_ref())
        && !key.span().contains(&at)
        && take_within(value.get_mut(), at, path)
    {
        return true;
    }
    table.remove::<str>(key.get_ref().as_ref()).is_some()
}

/// [`take`] for what is inside of a value.
fn take_within(value: &mut DeValue<'_>, at: usize, path: &mut Vec<Step>) -> bool {
    match value {
        DeValue::Table(table) => take(table, at, path),
        DeValue::Array(array) => {
            let Some(i) = array.iter().position(|element| holds(element, at)) else {
                return false;
            };
            let name = array[i].get_ref().get("name").and_then(|name| name.get_ref().as_str());
            let table = array[i].get_ref().is_table();
            path.push(Step::Element { name: name.map(str::to_owned), table });
            if take_within(array.as_mut()[i].get_mut(), at, path) {
                return true;
            }
            let rest = std::mem::replace(array, DeArray::new()).into_iter().enumerate();
            *array = rest.filter(|(j, _)| *j != i).map(|(_, element)| element).collect();
            // A list that nothing is left of goes as a whole: nobody wrote an
            // empty one.
            !array.is_empty()
        }
        _ => false,
    }
}

/// Whether `at` lies in the value or in something inside of it. The place of a
/// table is that of its header alone, so its content is looked at as well.
fn holds(value: &Spanned<DeValue<'_>>, at: usize) -> bool {
    value.span().contains(&at)
        || match value.get_ref() {
            DeValue::Table(table) => table.iter().any(|(key, value)| key.span().contains(&at) || holds(value, at)),
            DeValue::Array(array) => array.iter().any(|element| holds(element, at)),
            _ => false,
        }
}

/// The sentence for an error of serde or of `value.rs` at the end of `path`.
fn describe(message: &str, path: &[Step]) -> String {
    let Some((place, table)) = place(path) else {
        return message.to_owned();
    };
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown(rest, path, &table);
    }
    let Some(rest) = message.strip_prefix("invalid type: ") else {
        return format!("{place}: {message}");
    };
    // serde speaks of its own data model.
    let (found, expected) = rest.rsplit_once(", expected ").unwrap_or((rest, "something else"));
    let found = match found {
        "map" => "a table",
        "sequence" => "a list",
        other => other,
    };
    let expected = match expected {
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a table" if place.starts_with("[category.") => "a table of its own for each category, as in [category.adult]",
        "a map" => "a table",
        "a sequence" if place == "[policy]" => "it with two brackets, [[policy]]",
        "a sequence" if place == "[list]" => "it with two brackets, [[list]]",
        "a sequence" => "a list in [ ]",
        other => other,
    };
    format!("{place} is {found}; write {expected}")
}

/// The sentence for a key that is not known. `rest` is what serde says behind
/// "unknown field": the key and the ones it would have known.
fn unknown(rest: &str, path: &[Step], table: &str) -> String {
    let known = rest.rsplit_once(", expected ").map_or("", |(_, known)| known);
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let Some(Step::Key(key)) = path.last() else {
        return format!("unknown key {rest}");
    };
    let near = nearest(key, known.iter().copied());
    if path.len() > 1 {
        return match near {
            Some(near) => format!("unknown key '{key}' in {table}; did you mean '{near}'?"),
            None => format!("unknown key '{key}' in {table}; it knows {}", known.join(", ")),
        };
    }
    let header = |name: &str| match name {
        "version" => "version = 1".to_owned(),
        "policy" | "list" => format!("[[{name}]]"),
        "category" => "[category.NAME]".to_owned(),
        name => format!("[{name}]"),
    };
    match near {
        Some(near) => format!("unknown table or key '{key}'; did you mean {}?", header(near)),
        None => {
            let known: Vec<_> = known.iter().map(|name| header(name)).collect();
            format!("unknown table or key '{key}'; the file knows {}", known.join(", "))
        }
    }
}

/// The value at the end of `path` and the table around it, in the words of the
/// file; `None` for the whole file.
fn place(path: &[Step]) -> Option<(String, String)> {
    match path {
        [Step::Key(root)] => Some((format!("[{root}]"), "the file".into())),
        [Step::Key(root), Step::Element { table: true, name }, rest @ ..] => {
            let table = match name {
                Some(name) => format!("[[{root}]] \"{name}\""),
                None => format!("[[{root}]]"),
            };
            Some((inside(rest, &table), table))
        }
        [Step::Key(root), Step::Key(name)] if root == "category" => {
            Some((format!("[category.{name}]"), "[category]".into()))
        }
        [Step::Key(root), Step::Key(name), rest @ ..] if root == "category" => {
            let table = format!("[category.{name}]");
            Some((inside(rest, &table), table))
        }
        [Step::Key(root), rest @ ..] => {
            let table = format!("[{root}]");
            Some((inside(rest, &table), table))
        }
        _ => None,
    }
}

/// "'key' in TABLE". Elements are not counted: their text is in the message.
fn inside(path: &[Step], table: &str) -> String {
    let keys = path.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Element { .. } => None,
    });
    match keys.collect::<Vec<_>>().join(".") {
        key if key.is_empty() => table.to_owned(),
        key => format!("'{key}' in {table}"),
    }
}
