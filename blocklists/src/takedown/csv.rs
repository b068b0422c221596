//! Records as CSV (RFC 4180) with a header line, as spreadsheets write it: with commas, semicolons or tabs.
//!
//! No field of a record goes over several lines, so a line is a record: a quote that is never closed costs one record
//! and not the rest of the file.

use serde_json::Value;

use super::problem::{Place, Problem, Reason, Refusal, not_a_field, shown};
use super::scheme::Scheme;
use super::{MAX_RECORD, Reading};

pub(super) fn read(octets: &[u8], scheme: &Scheme, reading: &mut Reading) {
    let mut lines = octets.split(|octet| *octet == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty());
    let Some((head, number)) = lines.next() else { return reading.refuse(Place::Whole, Reason::Empty) };
    let place = Place::Line(number);
    let Some((columns, separator)) = header(head) else { return reading.refuse(place, Reason::NoHeader) };

    // A column that may not be there is in every record. Nothing is read, and the hotline hears of all such columns.
    let mut problems: Vec<Problem> = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let twice = columns[..at].contains(column).then_some(Reason::Twice);
        if let Some(reason) = not_a_field(column).or(twice) {
            problems.push(Problem { field: Some(shown(column)), reason });
        }
    }
    if !problems.is_empty() {
        return reading.refused.push(Refusal { place, case_ref: None, problems });
    }

    for (line, number) in lines.filter(|(line, _)| !is_blank(line, separator)) {
        let place = Place::Line(number);
        match record(line, separator, &columns) {
            Ok(fields) => reading.record(place, false, fields, scheme),
            Err(reason) => reading.refuse(place, reason),
        }
    }
}

/// Whether all cells of a line are empty: spreadsheets write such rows below a table.
fn is_blank(line: &[u8], separator: char) -> bool {
    line.iter().all(|octet| octet.is_ascii_whitespace() || *octet == b'"' || char::from(*octet) == separator)
}

/// Names of the columns and what stands between them; `None` if the line has not a single field of a record.
fn header(line: &[u8]) -> Option<(Vec<String>, char)> {
    if line.len() > MAX_RECORD {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    let separators = [',', ';', '\t'];
    let separator = separators.into_iter().max_by_key(|separator| line.matches(*separator).count())?;
    let columns: Vec<String> = cells(line, separator).ok()?.iter().map(|cell| cell.trim().to_lowercase()).collect();
    columns.iter().any(|column| not_a_field(column).is_none()).then_some((columns, separator))
}

fn record(line: &[u8], separator: char, columns: &[String]) -> Result<Vec<(String, Value)>, Reason> {
    if line.len() > MAX_RECORD {
        return Err(Reason::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| Reason::NotUtf8)?.trim_end_matches('\r');
    let cells = cells(line, separator)?;
    if cells.len() != columns.len() {
        return Err(Reason::Columns { found: cells.len(), expected: columns.len() });
    }
    Ok(columns.iter().cloned().zip(cells).map(|(column, cell)| (column.clone(), value(&column, cell))).collect())
}

/// The cells of a line, without the quotes around them.
fn cells(line: &str, separator: char) -> Result<Vec<String>, Reason> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let mut cell = String::new();
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let (text, after) = quoted.split_once('"').ok_or(Reason::Quotes)?;
                cell.push_str(text);
                match after.strip_prefix('"') {
                    Some(after) => {
                        cell.push('"');
                        quoted = after;
                    }
                    None => {
                        rest = after;
                        break;
                    }
                }
            }
        } else {
            let end = rest.find(separator).unwrap_or(rest.len());
            cell.push_str(&rest[..end]);
            rest = &rest[end..];
        }
        cells.push(cell);
        match rest.strip_prefix(separator) {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(cells),
            None => return Err(Reason::Quotes),
        }
    }
}

/// The value as it would stand in JSON.
fn value(column: &str, cell: String) -> Value {
    let text = cell.trim();
    match (column, text.to_ascii_lowercase().as_str()) {
        ("version", number) if number.parse::<u32>().is_ok() => number.parse::<u32>().map_or(Value::Null, Value::from),
        // Spreadsheets write it in capitals, and in the language of the desk.
        ("dedicated_attestation", "true" | "yes" | "po") => Value::Bool(true),
        ("dedicated_attestation", "false" | "no" | "jo") => Value::Bool(false),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_as_spreadsheets_write_them() {
        let table: [(&str, Result<&[&str], Reason>); 9] = [
            ("a,b", Ok(&["a", "b"])),
            ("", Ok(&[""])),
            ("a,", Ok(&["a", ""])),
            (",,", Ok(&["", "", ""])),
            ("\"a,b\",c", Ok(&["a,b", "c"])),
            ("\"a \"\"b\"\"\",c", Ok(&["a \"b\"", "c"])),
            ("a \"b\",c", Ok(&["a \"b\"", "c"])),
            ("\"a,b", Err(Reason::Quotes)),
            ("\"a\"b,c", Err(Reason::Quotes)),
        ];
        for (line, expected) in table {
            let found = cells(line, ',');
            assert_eq!(found, expected.map(|cells| cells.iter().map(|cell| cell.to_string()).collect()), "{line}");
        }
    }
}
