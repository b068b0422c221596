//! Why something in a block list is left out, and the one gate every written name passes.

use std::net::{Ipv4Addr, Ipv6Addr};

use signed_list::name::{Name, NameError};

/// Why something in a list is not an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An address or a network.
    IpAddress,
    /// A name or an address with a port.
    Port,
    /// A URL, or a name with a path.
    Url,
    /// One label: a whole top-level domain, or a word.
    SingleLabel,
    /// Not a domain name at all.
    NotAName(NameError),
    /// A `*` that is not the whole first label, or an adblock pattern that is not a whole name.
    Pattern,
    /// A regular expression.
    Regex,
    /// A rule for elements of a page.
    Cosmetic,
    /// An adblock rule with a condition that DNS cannot see, or that cancels other rules.
    Modifier,
    /// Answers with another address or name, or asks another server.
    Rewrite,
    /// An RPZ trigger other than the name asked for.
    Trigger,
    /// The owner of a record lies outside its zone.
    OutOfZone,
    /// Not a line of this format.
    Form,
    /// Longer than a line may be.
    LineTooLong,
    /// Not UTF-8.
    NotUtf8,
}

impl Reason {
    /// A short stable word, for reports that programs read.
    pub fn word(&self) -> &'static str {
        match self {
            Reason::IpAddress => "ip-address",
            Reason::Port => "port",
            Reason::Url => "url",
            Reason::SingleLabel => "single-label",
            Reason::NotAName(_) => "not-a-name",
            Reason::Pattern => "pattern",
            Reason::Regex => "regex",
            Reason::Cosmetic => "cosmetic",
            Reason::Modifier => "modifier",
            Reason::Rewrite => "rewrite",
            Reason::Trigger => "trigger",
            Reason::OutOfZone => "out-of-zone",
            Reason::Form => "form",
            Reason::LineTooLong => "line-too-long",
            Reason::NotUtf8 => "not-utf-8",
        }
    }

    /// What it means, for people; at most 60 characters. The same for all lines with one [`Reason::word`].
    pub fn sentence(&self) -> &'static str {
        match self {
            Reason::IpAddress => "an address, not a name",
            Reason::Port => "has a port: DNS sees only the name",
            Reason::Url => "a URL or path: DNS sees only the name",
            Reason::SingleLabel => "a single label: a word or a whole top-level domain",
            Reason::NotAName(_) => "not a domain name",
            Reason::Pattern => "a pattern, not one whole name",
            Reason::Regex => "a regular expression",
            Reason::Cosmetic => "a rule for elements of a page: only browsers can do it",
            Reason::Modifier => "a rule with a condition that DNS cannot see",
            Reason::Rewrite => "leads to another address, name or server: no block",
            Reason::Trigger => "an RPZ trigger other than the name asked for",
            Reason::OutOfZone => "the owner lies outside the zone",
            Reason::Form => "not a line of this format",
            Reason::LineTooLong => "the line is longer than 64 KiB",
            Reason::NotUtf8 => "not UTF-8 text",
        }
    }
}

/// Reads one name of a list into normal form, or says what stands there instead.
///
/// [`Name::parse`] takes anything DNS can be asked for; a list has to be stricter, because addresses and single
/// words pass as names and would be entries nobody meant.
pub fn entry_name(text: &str) -> Result<Name, Reason> {
    match Name::parse(text) {
        Ok(name) => {
            let mut labels = 0;
            let mut numeric = false;
            for label in name.iter() {
                labels += 1;
                numeric = label.iter().all(u8::is_ascii_digit);
            }
            match labels {
                // No top-level domain is a number, so this is an address or a piece of one.
                _ if numeric => Err(Reason::IpAddress),
                0 | 1 => Err(Reason::SingleLabel),
                _ => Ok(name),
            }
        }
        Err(error) => Err(instead_of_a_name(text, error)),
    }
}

fn instead_of_a_name(text: &str, error: NameError) -> Reason {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<Ipv6Addr>().is_ok() {
        return Reason::IpAddress;
    }
    if let Some((address, length)) = bare.split_once('/') {
        let network = address.parse::<Ipv4Addr>().is_ok() || address.parse::<Ipv6Addr>().is_ok();
        let length = !length.is_empty() && length.bytes().all(|octet| octet.is_ascii_digit());
        return if network && length { Reason::IpAddress } else { Reason::Url };
    }
    if text.contains('?') && text.contains('.') {
        return Reason::Url;
    }
    if let Some((_, port)) = text.rsplit_once(':')
        && !port.is_empty()
        && port.bytes().all(|octet| octet.is_ascii_digit())
    {
        return Reason::Port;
    }
    match error {
        NameError::Wildcard => Reason::Pattern,
        error => Reason::NotAName(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name_and_what_stands_there_instead() {
        let long_label = format!("{}.test", "a".repeat(64));
        let long_name = format!("{}test", "abcdefgh.".repeat(30));
        let table = [
            ("Name.Test", "name.test"),
            ("name.test.", "name.test"),
            ("r1---sn-x.test", "r1---sn-x.test"),
            ("-name-.test", "-name-.test"),
            ("under_score.test", "under_score.test"),
            ("bücher.test", "xn--bcher-kva.test"),
            ("xn--bcher-kva.test", "xn--bcher-kva.test"),
            ("1e2699fc9047.test", "1e2699fc9047.test"),
            ("192.0.2.1", "ip-address"),
            ("192.0.2", "ip-address"),
            ("192.0.2.0/24", "ip-address"),
            ("2001:db8::1", "ip-address"),
            ("[2001:db8::1]", "ip-address"),
            ("2001:db8::/32", "ip-address"),
            ("192.0.2.1:8080", "port"),
            ("name.test:443", "port"),
            ("http://name.test", "url"),
            ("http://192.0.2.1", "url"),
            ("name.test/path.php", "url"),
            ("/path/only.php", "url"),
            ("name.test?id=1", "url"),
            ("free", "single-label"),
            ("test.", "single-label"),
            (".", "single-label"),
            ("", "not-a-name"),
            ("name..test", "not-a-name"),
            (".name.test", "not-a-name"),
            ("\"name.test", "not-a-name"),
            ("%20name.test", "not-a-name"),
            ("na me.test", "not-a-name"),
            ("[a-z]{1}\\.name\\.test", "not-a-name"),
            ("name,test", "not-a-name"),
            ("na*me.test", "pattern"),
            (&long_label, "not-a-name"),
            (&long_name, "not-a-name"),
        ];
        for (text, expected) in table {
            let found = match entry_name(text) {
                Ok(name) => name.to_string(),
                Err(reason) => reason.word().to_owned(),
            };
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
