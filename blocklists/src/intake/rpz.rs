//! Response policy zones in master-file form (draft-vixie-dnsop-dns-rpz, RFC 1035 section 5).
//!
//! The owner of a record, taken relative to the zone, is the name it is about; the target of its CNAME is what to do:
//!
//! | target | meaning | here |
//! |---|---|---|
//! | `.` | NXDOMAIN | entry |
//! | `*.` | NODATA | entry |
//! | `rpz-drop.` | no answer at all | entry: what a block answers is up to the category |
//! | `rpz-passthru.`, or the owner itself | let through | exception |
//! | `rpz-tcp-only.` and other names | not a block | left out |
//!
//! Most published zones write `@` as the owner of their SOA record and never name the zone; then relative owners are
//! all there is.

use signed_list::list::Scope;
use signed_list::rpz::{Action, is_other_trigger};

use super::{Found, Reason, hosts};

/// A zone file on the way.
#[derive(Default)]
pub struct Zone {
    /// Where relative owners start, without the dot at the end; empty while unknown.
    origin: String,
    /// The zone itself, as far as a SOA record or `$ORIGIN` told it.
    apex: Option<String>,
    /// The owner of the record before, as written.
    owner: String,
    /// Parentheses open at the end of the line.
    depth: usize,
}

impl Zone {
    /// Reads one line, with the blanks it begins with.
    pub fn line(&mut self, line: &str, found: &mut dyn FnMut(Found<'_>)) {
        let line = without_comment(line);
        let continued = self.depth > 0;
        self.depth = parentheses(line, self.depth);
        if continued || line.is_empty() {
            return;
        }
        if let Some(directive) = line.strip_prefix('$') {
            return self.directive(directive, found);
        }
        let mut words = line.split([' ', '\t', '(', ')']).filter(|word| !word.is_empty());
        if !line.starts_with([' ', '\t']) {
            let Some(owner) = words.next() else { return };
            self.owner.clear();
            self.owner.push_str(owner);
        }
        let Some(kind) = words.find(|word| !is_ttl(word) && !is_class(word)) else {
            return found(Found::Skip(Reason::Form));
        };
        self.record(kind, words.next().unwrap_or(""), found);
    }

    fn directive(&mut self, directive: &str, found: &mut dyn FnMut(Found<'_>)) {
        let mut words = directive.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("TTL"), _) => {}
            (Some("ORIGIN"), Some(origin)) => {
                let absolute = match origin.strip_suffix('.') {
                    Some(absolute) => absolute.to_ascii_lowercase(),
                    None if self.origin.is_empty() => origin.to_ascii_lowercase(),
                    None => format!("{}.{}", origin.to_ascii_lowercase(), self.origin),
                };
                self.apex.get_or_insert_with(|| absolute.clone());
                self.origin = absolute;
            }
            // $INCLUDE would read a file of the list's choosing, $GENERATE would make names without end.
            _ => found(Found::Skip(Reason::Form)),
        }
    }

    fn record(&mut self, kind: &str, data: &str, found: &mut dyn FnMut(Found<'_>)) {
        if kind.eq_ignore_ascii_case("SOA") {
            let owner = self.owner.to_ascii_lowercase();
            match owner.strip_suffix('.') {
                Some(absolute) => self.apex = Some(absolute.to_owned()),
                None if owner == "@" && !self.origin.is_empty() => self.apex = Some(self.origin.clone()),
                None => {}
            }
            if self.origin.is_empty() {
                self.origin = self.apex.clone().unwrap_or_default();
            }
            return;
        }
        if kind.eq_ignore_ascii_case("NS") || self.owner == "@" {
            return; // the zone's own records
        }
        let name = match self.trigger() {
            Ok(Some(name)) => name,
            Ok(None) => return,
            Err(reason) => return found(Found::Skip(reason)),
        };
        if name.contains("rpz-") && is_other_trigger(name.rsplit('.').next().unwrap_or(&name).as_bytes()) {
            return found(Found::Skip(Reason::Trigger));
        }
        let blocks = if kind.eq_ignore_ascii_case("CNAME") {
            match Action::of(data, &name) {
                Action::PassThru => return found(Found::Exception),
                action => action == Action::Block,
            }
        } else {
            let address = kind.eq_ignore_ascii_case("A") || kind.eq_ignore_ascii_case("AAAA");
            address && hosts::leads_nowhere(data) == Some(true)
        };
        match name.strip_prefix("*.") {
            _ if !blocks => found(Found::Skip(Reason::Rewrite)),
            Some(below) => found(Found::Name(below, Scope::Subtree)),
            None => found(Found::Name(&name, Scope::Exact)),
        }
    }

    /// The name the current record is about; `None` for the zone itself.
    fn trigger(&self) -> Result<Option<std::borrow::Cow<'_, str>>, Reason> {
        let apex = self.apex.as_deref().unwrap_or("");
        if let Some(absolute) = self.owner.strip_suffix('.') {
            if apex.is_empty() {
                return Err(Reason::OutOfZone);
            }
            return match below(absolute, apex) {
                Some("") => Ok(None),
                Some(name) => Ok(Some(name.into())),
                None => Err(Reason::OutOfZone),
            };
        }
        match below(&self.origin, apex) {
            Some("") => Ok(Some(self.owner.as_str().into())),
            Some(middle) => Ok(Some(format!("{}.{middle}", self.owner).into())),
            None => Err(Reason::OutOfZone),
        }
    }
}

/// The part of `name` in front of `apex`, without the dot between; empty for the apex itself.
fn below<'a>(name: &'a str, apex: &str) -> Option<&'a str> {
    if apex.is_empty() {
        return Some(name);
    }
    let at = name.len().checked_sub(apex.len()).filter(|&at| name.is_char_boundary(at))?;
    let (front, rest) = name.split_at(at);
    if !rest.eq_ignore_ascii_case(apex) {
        return None;
    }
    if front.is_empty() { Some("") } else { front.strip_suffix('.') }
}

/// The line up to a `;` that is not quoted, without blanks at its end.
fn without_comment(line: &str) -> &str {
    if !line.contains(';') {
        return line.trim_end();
    }
    let mut quoted = false;
    let end = line.find(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    line[..end.unwrap_or(line.len())].trim_end()
}

/// Parentheses open behind this line; they bind lines together (RFC 1035 section 5.1).
fn parentheses(line: &str, open: usize) -> usize {
    if !line.contains(['(', ')']) {
        return open;
    }
    let mut quoted = false;
    line.bytes().fold(open, |open, octet| match octet {
        b'"' => {
            quoted = !quoted;
            open
        }
        b'(' if !quoted => open + 1,
        b')' if !quoted => open.saturating_sub(1),
        _ => open,
    })
}

/// `3600`, and BIND's `2h`, `1d12h`.
fn is_ttl(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.bytes().all(|octet| octet.is_ascii_digit() || b"smhdwSMHDW".contains(&octet))
}

fn is_class(word: &str) -> bool {
    ["IN", "CH", "HS"].iter().any(|class| word.eq_ignore_ascii_case(class))
}

#[cfg(test)]
mod tests {
    use crate::intake::Format;
    use crate::intake::tests::{check, read};

    #[test]
    fn records() {
        check(
            Format::Rpz,
            &[
                ("; comment", ""),
                ("", ""),
                ("name.test CNAME .", "=name.test"),
                ("name.test IN CNAME . ; why", "=name.test"),
                ("name.test\t2h IN\tCNAME\t.", "=name.test"),
                ("name.test IN 1d12h cname .", "=name.test"),
                ("Name.Test CNAME *.", "=name.test"),
                ("name.test CNAME rpz-drop.", "=name.test"),
                ("*.name.test CNAME .", "name.test"),
                ("name-.test CNAME .", "=name-.test"),
                ("name.test A 0.0.0.0", "=name.test"),
                ("name.test AAAA ::", "=name.test"),
                ("ocsp.ca.test CNAME rpz-passthru.", "@"),
                ("ocsp.ca.test CNAME ocsp.ca.test.", "@"),
                ("name.test CNAME rpz-tcp-only.", "!rewrite"),
                ("search.test CNAME safe.search.test.", "!rewrite"),
                ("search.test A 192.0.2.120", "!rewrite"),
                ("name.test TXT \"a ; b ( c\"", "!rewrite"),
                ("32.7.2.0.192.rpz-ip CNAME .", "!trigger"),
                ("48.zz.101.db8.2001.rpz-nsip CNAME .", "!trigger"),
                ("ns.name.test.rpz-nsdname CNAME .", "!trigger"),
                ("32.7.2.0.192.rpz-client-ip CNAME rpz-drop.", "!trigger"),
                ("rpz-name.test CNAME .", "=rpz-name.test"),
                ("name.test. CNAME .", "!out-of-zone"),
                ("* CNAME .", "!pattern"),
                ("test CNAME .", "!single-label"),
                ("192.0.2.1 CNAME .", "!ip-address"),
                ("name.test/path CNAME .", "!url"),
                ("$INCLUDE /etc/passwd", "!form"),
                ("$GENERATE 1-100 a$.test CNAME .", "!form"),
                ("name.test", "!form"),
            ],
        );
    }

    #[test]
    fn a_whole_zone_with_a_soa_record_over_several_lines() {
        let zone = "$TTL 2h\n\
            ;name   ttl     class\n\
            @                       IN      SOA     rpz.test.     support.test. (\n\
            \x20                       1782967939    ; serial (of today)\n\
            \x20                       15m  3w  2h )\n\
            \x20                       IN      NS      localhost.\n\
            @ 300 TXT \"about\"\n\
            a.test IN CNAME .\n\
            \x20      IN A 0.0.0.0\n\
            *.a.test IN CNAME .\n\
            b.test CNAME rpz-passthru.";
        assert_eq!(read(Format::Rpz, zone), ["=a.test", "=a.test", "a.test", "@"]);
    }

    #[test]
    fn owners_are_relative_to_the_zone() {
        let zone = "$ORIGIN rpz.example.\n\
            @ SOA ns hostmaster 1 12h 15m 3w 3h\n\
            a.test CNAME .\n\
            b.test.rpz.example. CNAME .\n\
            $ORIGIN test.RPZ.example.\n\
            c CNAME .\n\
            *.d CNAME .\n\
            elsewhere.test. CNAME .\n\
            $ORIGIN other.example.\n\
            e.test CNAME .";
        assert_eq!(
            read(Format::Rpz, zone),
            ["=a.test", "=b.test", "=c.test", "d.test", "!out-of-zone", "!out-of-zone"]
        );
    }

    #[test]
    fn the_owner_of_the_soa_record_names_the_zone() {
        let zone = "rpz.example. 3600 IN SOA ns.example. admin.example. 1 2 3 4 5\n\
            rpz.example. IN NS ns.example.\n\
            a.test.rpz.example. CNAME .\n\
            b.test CNAME .\n\
            rpz.example. TXT x";
        assert_eq!(read(Format::Rpz, zone), ["=a.test", "=b.test"]);
    }
}
