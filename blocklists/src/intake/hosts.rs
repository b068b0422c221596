//! Lines of `/etc/hosts`: an address that leads nowhere, then names, then perhaps a comment.

use std::net::IpAddr;

use signed_list::list::Scope;

use super::{Found, Reason};

/// What every hosts file says about the machine itself. It is neither an entry nor worth a word.
const OWN: [&str; 19] = [
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost4.localdomain4",
    "localhost6",
    "localhost6.localdomain6",
    "local",
    "localdomain",
    "loopback",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "0.0.0.0",
    "127.0.0.1",
];

/// Reads one line that is trimmed and not empty.
pub fn line(line: &str, found: &mut dyn FnMut(Found<'_>)) {
    if line.starts_with(['#', ';', '!']) {
        return;
    }
    let entry = line.split_once('#').map_or(line, |(entry, _)| entry);
    let mut words = entry.split_ascii_whitespace();
    let Some(blocks) = words.next().and_then(leads_nowhere) else {
        return found(Found::Skip(Reason::Form));
    };
    let mut names = 0;
    for name in words {
        names += 1;
        if OWN.contains(&name) {
            continue;
        }
        found(if blocks { Found::Name(name, Scope::Exact) } else { Found::Skip(Reason::Rewrite) });
    }
    if names == 0 {
        found(Found::Skip(Reason::Form));
    }
}

/// Whether the address is one that blocks; `None` if it is no address. Any other one is a redirection, SafeSearch for
/// example, and its name must stay reachable.
pub(super) fn leads_nowhere(word: &str) -> Option<bool> {
    if matches!(word, "0.0.0.0" | "127.0.0.1" | "0") {
        return Some(true);
    }
    let word = word.split_once('%').map_or(word, |(address, _zone)| address);
    let address = word.parse::<IpAddr>().ok()?.to_canonical();
    Some(address.is_unspecified() || address.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::intake::Format;
    use crate::intake::tests::check;

    #[test]
    fn hosts_lines() {
        check(
            Format::Hosts,
            &[
                ("# 0.0.0.0 name.test", ""),
                ("0.0.0.0 name.test", "=name.test"),
                ("127.0.0.1\tname.test # why", "=name.test"),
                ("127.0.0.1 name.test#why", "=name.test"),
                (":: name.test", "=name.test"),
                ("::1 name.test", "=name.test"),
                ("::ffff:0.0.0.0 name.test", "=name.test"),
                ("0 name.test", "=name.test"),
                ("0.0.0.0 a.test b.test", "=a.test =b.test"),
                ("0.0.0.0 a.test word", "=a.test !single-label"),
                ("0.0.0.0 www.name.test.", "=www.name.test"),
                ("0.0.0.0 Name.Test", "=name.test"),
                ("0.0.0.0 -_x.name.test", "=-_x.name.test"),
                ("127.0.0.1 localhost", ""),
                ("127.0.0.1  localhost.localdomain local", ""),
                ("255.255.255.255 broadcasthost", ""),
                ("fe80::1%lo0 localhost", ""),
                ("ff02::3 ip6-allhosts", ""),
                ("0.0.0.0 0.0.0.0", ""),
                ("0.0.0.0 192.0.2.83", "!ip-address"),
                ("192.0.2.120 www.search.test", "!rewrite"),
                ("0.0.0.0 name.test/path", "!url"),
                ("0.0.0.0 [n][a][m][e]", "!not-a-name"),
                ("0.0.0.0", "!form"),
                ("name.test", "name.test"),
                ("name.test # why", "name.test"),
                ("||name.test^", "name.test"),
                ("name.test other.test", "!form"),
            ],
        );
    }
}
