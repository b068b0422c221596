//! Lines of an Unbound configuration: `local-zone:` with a type that blocks, and `local-data:` with an address that
//! leads nowhere.

use signed_list::list::Scope;

use super::{Found, Reason, hosts};

/// The name of a `redirect` zone seen last: its `local-data:` line stands for everything below it.
#[derive(Default)]
pub struct Redirect(String);

impl Redirect {
    /// Reads one line that is trimmed and not empty.
    pub fn line(&mut self, line: &str, found: &mut dyn FnMut(Found<'_>)) {
        if line.starts_with('#') || line == "server:" {
            return;
        }
        let Some((key @ ("local-zone" | "local-data"), value)) = line.split_once(':') else {
            return found(Found::Skip(Reason::Form));
        };
        let value = value.split_once('#').map_or(value, |(value, _)| value);
        // Quotes are for the shell of the format; no name, type or address has one inside.
        let mut words =
            value.split(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'')).filter(|word| !word.is_empty());
        let Some(name) = words.next() else { return found(Found::Skip(Reason::Form)) };
        if key == "local-zone" {
            self.zone(name, words.next().unwrap_or(""), found);
        } else {
            self.data(name, words, found);
        }
    }

    fn zone(&mut self, name: &str, kind: &str, found: &mut dyn FnMut(Found<'_>)) {
        match kind {
            "always_nxdomain" | "always_nodata" | "always_null" | "always_refuse" | "always_deny" | "static"
            | "refuse" | "deny" | "inform_deny" => found(Found::Name(name, Scope::Subtree)),
            // What the answer is comes with its local-data line.
            "redirect" | "inform_redirect" => {
                self.0.clear();
                self.0.push_str(name);
            }
            "transparent" | "always_transparent" | "typetransparent" | "inform" | "nodefault" => {
                found(Found::Exception)
            }
            _ => found(Found::Skip(Reason::Form)),
        }
    }

    /// `name [ttl] [class] type data`.
    fn data<'a>(&self, name: &str, words: impl Iterator<Item = &'a str>, found: &mut dyn FnMut(Found<'_>)) {
        let scope =
            if name.trim_end_matches('.') == self.0.trim_end_matches('.') { Scope::Subtree } else { Scope::Exact };
        let mut words =
            words.skip_while(|word| word.eq_ignore_ascii_case("IN") || word.bytes().all(|c| c.is_ascii_digit()));
        let address =
            words.next().is_some_and(|kind| kind.eq_ignore_ascii_case("A") || kind.eq_ignore_ascii_case("AAAA"));
        let blocks = address && words.next().and_then(hosts::leads_nowhere) == Some(true);
        found(if blocks { Found::Name(name, scope) } else { Found::Skip(Reason::Rewrite) });
    }
}

#[cfg(test)]
mod tests {
    use crate::intake::Format;
    use crate::intake::tests::{check, read};

    #[test]
    fn clauses() {
        check(
            Format::Unbound,
            &[
                ("server:", ""),
                ("# local-zone: \"name.test\" static", ""),
                ("local-zone: \"name.test.\" always_null", "name.test"),
                ("  local-zone: \"name.test\" always_nxdomain # why", "name.test"),
                ("local-zone: name.test. static", "name.test"),
                ("local-zone: 'name.test' refuse", "name.test"),
                ("local-zone: \"name.test\" transparent", "@"),
                ("local-zone: \"name.test\" always_transparent", "@"),
                ("local-zone: \"name.test\"", "!form"),
                ("local-zone: \"test\" static", "!single-label"),
                ("local-data: \"name.test A 0.0.0.0\"", "=name.test"),
                ("local-data: \"name.test. 60 IN AAAA ::\"", "=name.test"),
                ("local-data: \"search.test A 192.0.2.120\"", "!rewrite"),
                ("local-data: \"name.test TXT 'word'\"", "!rewrite"),
                ("include: \"/etc/more.conf\"", "!form"),
                ("name.test", "!form"),
            ],
        );
    }

    #[test]
    fn a_redirect_zone_blocks_only_with_an_address_that_leads_nowhere() {
        let zone = "local-zone: \"name.test\" redirect\nlocal-data: \"name.test A 0.0.0.0\"";
        assert_eq!(read(Format::Unbound, zone), ["name.test"]);
        let zone = "local-zone: \"search.test\" redirect\nlocal-data: \"search.test A 192.0.2.120\"";
        assert_eq!(read(Format::Unbound, zone), ["!rewrite"]);
    }
}
