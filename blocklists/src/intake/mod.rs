//! What a line of a block list says: a name to list, an exception, something DNS cannot block, or nothing.
//!
//! One module for each format; [`mod@detect`] finds out which one a file is in. Under the scope `auto` an entry covers
//! what the format's own programs would block:
//!
//! | format | line | covers |
//! |---|---|---|
//! | [`domains`] | `name.test`, `*.name.test`, `.name.test` | the name and all below it |
//! | [`domains`] as `wildcard` | the same | the same |
//! | [`hosts`] | `0.0.0.0 name.test` | exactly the name |
//! | [`adblock`] | `\|\|name.test^` | the name and all below it |
//! | [`adblock`] | `\|name.test^` | exactly the name |
//! | [`dnsmasq`] | `address=/name.test/`, `server=/name.test/`, `local=/name.test/` | the name and all below it |
//! | [`rpz`] | `name.test CNAME .` | exactly the name |
//! | [`rpz`] | `*.name.test CNAME .` | the name and all below it |
//! | [`unbound`] | `local-zone: "name.test" always_nxdomain` | the name and all below it |
//! | [`unbound`] | `local-data: "name.test A 0.0.0.0"` | exactly the name |
//!
//! A compiled list knows two scopes, a name alone and a name with all below it. So `*.name.test` covers `name.test`
//! too, which differs from RPZ and DNS wildcards; lists that mean only what is below are rare, and in those seen
//! the name itself stands beside.

pub mod adblock;
pub mod detect;
pub mod dnsmasq;
pub mod domains;
pub mod hosts;
pub mod reason;
pub mod rpz;
pub mod unbound;

use signed_list::list::Scope;

pub use detect::{NotAList, detect};
pub use reason::{Reason, entry_name};

/// The formats of block lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One name a line.
    Domains,
    /// `/etc/hosts`.
    Hosts,
    /// Rules for Adblock Plus, uBlock Origin and AdGuard.
    Adblock,
    /// One name a line, with `*.` in front.
    Wildcard,
    /// Configuration of dnsmasq.
    Dnsmasq,
    /// A response policy zone in master-file form.
    Rpz,
    /// Configuration of Unbound.
    Unbound,
}

impl Format {
    /// All of them. Where the lines of a file speak for several alike, [`detect()`] takes the first.
    pub const ALL: [Format; 7] = [
        Format::Domains,
        Format::Wildcard,
        Format::Hosts,
        Format::Adblock,
        Format::Dnsmasq,
        Format::Rpz,
        Format::Unbound,
    ];

    /// The word for it on the command line and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Format::Domains => "domains",
            Format::Hosts => "hosts",
            Format::Adblock => "adblock",
            Format::Wildcard => "wildcard",
            Format::Dnsmasq => "dnsmasq",
            Format::Rpz => "rpz",
            Format::Unbound => "unbound",
        }
    }
}

/// One thing that a line says. Comments, headers and the usual `localhost` lines say nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A name to list, as written: [`entry_name`] still has to accept it. The scope is the one of `auto`.
    Name(&'a str, Scope),
    /// A name that the list lets through. It is counted and never imported: as a block it would do the opposite of
    /// what it says, and has done so (an allow list imported as a block list once took OCSP down).
    Exception,
    /// Something that a list of names cannot hold.
    Skip(Reason),
}

/// Reads the lines of one input, in order. Zone files and Unbound's redirects go over several lines.
pub struct Parser {
    format: Format,
    zone: rpz::Zone,
    unbound: unbound::Redirect,
}

impl Parser {
    /// For an input in this format.
    pub fn new(format: Format) -> Parser {
        Parser { format, zone: rpz::Zone::default(), unbound: unbound::Redirect::default() }
    }

    /// Gives everything the line says to `found`, from left to right.
    pub fn line(&mut self, line: &str, found: &mut dyn FnMut(Found<'_>)) {
        // A blank at the beginning of a line of a zone file stands for the owner of the record before.
        if self.format == Format::Rpz {
            return self.zone.line(line, found);
        }
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if line.starts_with("@@") {
            return found(Found::Exception);
        }
        // Lists are put together from others: a line that can only be of another format is read as that.
        if matches!(self.format, Format::Domains | Format::Wildcard | Format::Hosts) {
            let mut words = line.split_ascii_whitespace();
            let first = words.next().unwrap_or("");
            let address = hosts::leads_nowhere(first).is_some();
            let more = words.next().is_some_and(|word| !word.starts_with(['#', ';', '!']));
            match self.format {
                _ if first.starts_with("||") => return adblock::line(line, found),
                Format::Domains | Format::Wildcard if address && more => return hosts::line(line, found),
                Format::Hosts if !address && !more => return domains::line(line, found),
                _ => {}
            }
        }
        match self.format {
            Format::Domains | Format::Wildcard => domains::line(line, found),
            Format::Hosts => hosts::line(line, found),
            Format::Adblock => adblock::line(line, found),
            Format::Dnsmasq => dnsmasq::line(line, found),
            Format::Unbound => self.unbound.line(line, found),
            Format::Rpz => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What `lines` say, written short: `name` for a subtree, `=name` for an exact name, `@` for an exception, and
    /// `!reason` for what is left out.
    pub(crate) fn read(format: Format, lines: &str) -> Vec<String> {
        let mut parser = Parser::new(format);
        let mut said = Vec::new();
        for line in lines.split('\n') {
            parser.line(line, &mut |found| {
                said.push(match found {
                    Found::Name(text, scope) => match (entry_name(text), scope) {
                        (Ok(name), Scope::Subtree) => name.to_string(),
                        (Ok(name), Scope::Exact) => format!("={name}"),
                        (Err(reason), _) => format!("!{}", reason.word()),
                    },
                    Found::Exception => "@".to_owned(),
                    Found::Skip(reason) => format!("!{}", reason.word()),
                });
            });
        }
        said
    }

    /// Checks a table of line and what it says, blanks between several things.
    pub(crate) fn check(format: Format, table: &[(&str, &str)]) {
        for (line, expected) in table {
            assert_eq!(read(format, line).join(" "), *expected, "{}: {line:?}", format.word());
        }
    }

    proptest::proptest! {
        /// Lists come from strangers: no text may stop the program.
        #[test]
        fn any_text_is_read_without_panic(text in "([ -~\\n]|[#@|^$./*:;(){}\"]|[äß公🥞]|CNAME|SOA|local-zone:|server=/|rpz-ip){0,60}") {
            let _ = detect(text.as_bytes());
            for format in Format::ALL {
                read(format, &text);
            }
        }
    }

    #[test]
    fn an_exception_is_never_a_block_in_any_format_of_lines() {
        for format in [Format::Domains, Format::Wildcard, Format::Hosts, Format::Adblock, Format::Dnsmasq] {
            check(format, &[("@@||ocsp.ca.test^", "@"), ("@@|ocsp.ca.test^|$important", "@"), ("@@ocsp.ca.test", "@")]);
        }
    }
}
