//! In which format a block list is, from its first lines.

use std::collections::HashMap;

use super::{Format, hosts};

/// What some files are instead of block lists: a captive portal's page fetched with "200 OK", an archive, JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAList {
    /// A web page or other XML.
    #[error("looks like HTML, not like a block list; check the address it was fetched from, and log-in pages")]
    Html,
    /// JSON.
    #[error("looks like JSON, which is not an input format; fetch the list as plain names or as hosts file")]
    Json,
    /// A tar archive.
    #[error("is a tar archive; unpack it and name the list files in it")]
    Tar,
    /// UTF-16.
    #[error("is UTF-16 text; save it as UTF-8")]
    Utf16,
    /// Holds NUL octets.
    #[error("is not text: it holds NUL octets")]
    Binary,
}

/// How many telling lines decide.
const ENOUGH: usize = 500;

/// The format that most of the first lines are in. A file without any telling line passes as plain names.
pub fn detect(head: &[u8]) -> Result<Format, NotAList> {
    refuse_what_is_no_list(head)?;

    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}');
    let mut votes: HashMap<Format, usize> = HashMap::new();
    for line in text.lines().map(str::trim).take(10 * ENOUGH) {
        match telling(line) {
            Telling::Surely(format) => return Ok(format),
            Telling::Maybe(format) => *votes.entry(format).or_default() += 1,
            Telling::Nothing => {}
        }
        if votes.values().sum::<usize>() >= ENOUGH {
            break;
        }
    }
    // Of equals, `max_by_key` takes the last.
    Ok(Format::ALL.into_iter().rev().max_by_key(|format| votes.get(format)).unwrap_or(Format::Domains))
}

fn refuse_what_is_no_list(head: &[u8]) -> Result<(), NotAList> {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err(NotAList::Utf16);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(NotAList::Tar);
    }
    if head.contains(&0) {
        return Err(NotAList::Binary);
    }
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match start.first() {
        Some(b'<') => Err(NotAList::Html),
        Some(b'{') => Err(NotAList::Json),
        // `[Adblock Plus 2.0]` is a header, `[2001:db8::1]` an address; JSON goes on with a quote or another level.
        Some(b'[') if matches!(start[1..].trim_ascii_start().first(), Some(b'"' | b'[' | b'{')) => Err(NotAList::Json),
        _ => Ok(()),
    }
}

enum Telling {
    Surely(Format),
    Maybe(Format),
    Nothing,
}

fn telling(line: &str) -> Telling {
    use Telling::{Maybe, Nothing, Surely};

    if line.starts_with("[Adblock") || line.starts_with("[uBlock") {
        return Surely(Format::Adblock);
    }
    if line.starts_with("$TTL") || line.starts_with("$ORIGIN") {
        return Surely(Format::Rpz);
    }
    if line.starts_with("||") || line.starts_with("@@") || line.starts_with("##") && !line.starts_with("###") {
        return Maybe(Format::Adblock);
    }
    if line.is_empty() || line.starts_with(['#', ';', '!', '(', ')']) || line.starts_with("//") {
        return Nothing;
    }
    // The clause that those stand in; as a line of its own it is no name either.
    if line == "server:" {
        return Nothing;
    }
    if line.starts_with("local-zone:") || line.starts_with("local-data:") {
        return Maybe(Format::Unbound);
    }
    let option = line.strip_prefix("--").unwrap_or(line);
    if ["address=/", "server=/", "local=/"].iter().any(|key| option.starts_with(key)) {
        return Maybe(Format::Dnsmasq);
    }
    let mut words = line.split_ascii_whitespace();
    let first = words.next().unwrap_or("");
    let rest: Vec<&str> = words.take(4).collect();
    if rest.contains(&"SOA") {
        return Surely(Format::Rpz);
    }
    if rest.iter().any(|word| word.eq_ignore_ascii_case("CNAME")) {
        return Maybe(Format::Rpz);
    }
    if !rest.is_empty() && hosts::leads_nowhere(first).is_some() {
        return Maybe(Format::Hosts);
    }
    if first.contains("##") || first.contains("#@#") || first.starts_with('|') || first.contains('^') {
        return Maybe(Format::Adblock);
    }
    if first.starts_with("*.") {
        return Maybe(Format::Wildcard);
    }
    Maybe(Format::Domains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_their_first_lines() {
        let table = [
            ("", Format::Domains),
            ("# only a comment\n", Format::Domains),
            ("# list\na.test\nb.test\n", Format::Domains),
            ("a.test\n192.0.2.1\n192.0.2.1:80\nb.test/path\n", Format::Domains),
            ("# list\n127.0.0.1 localhost\n0.0.0.0 a.test\n", Format::Hosts),
            ("\u{feff}# list\r\n:: a.test\r\n", Format::Hosts),
            ("0.0.0.0 a.test\n192.0.2.1\n0.0.0.0 b.test\n", Format::Hosts),
            ("! Title: x\n||a.test^\n||b.test^\n", Format::Adblock),
            ("\u{feff}[Adblock Plus 3.13]\na.test\nb.test\n", Format::Adblock),
            ("a.test##.banner\n||b.test^\n", Format::Adblock),
            ("*.a.test\n*.b.test\n", Format::Wildcard),
            ("# list\nserver=/a.test/\n", Format::Dnsmasq),
            ("address=/a.test/0.0.0.0\n", Format::Dnsmasq),
            ("$TTL 2h\n@ IN SOA localhost. root.localhost. (\n", Format::Rpz),
            ("@ SOA ns host 1 12h 15m 3w 3h\n", Format::Rpz),
            ("a.test CNAME .\n*.a.test IN CNAME .\n", Format::Rpz),
            ("server:\n local-zone: \"a.test\" always_null\n local-zone: \"b.test\" static\n", Format::Unbound),
        ];
        for (head, format) in table {
            assert_eq!(detect(head.as_bytes()), Ok(format), "{head:?}");
        }
    }

    #[test]
    fn files_that_are_no_lists() {
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let table: [(&[u8], NotAList); 7] = [
            (b"\n <!DOCTYPE html>\n<html>", NotAList::Html),
            (b"\xef\xbb\xbf<html>", NotAList::Html),
            (b"{\n \"name\": \"x\"", NotAList::Json),
            (b"[\"a.test\"]", NotAList::Json),
            (&tar, NotAList::Tar),
            (b"\xff\xfea\0", NotAList::Utf16),
            (b"a.test\0", NotAList::Binary),
        ];
        for (head, expected) in table {
            assert_eq!(detect(head), Err(expected));
        }
        assert_eq!(detect(b"[2001:db8::1]\na.test\nb.test\n"), Ok(Format::Domains));
    }
}
