//! Lines of a dnsmasq configuration: `address=`, `server=` and `local=` with names between slashes.
//!
//! What stands behind the last slash decides. Nothing (or, for `address=`, an address that leads nowhere) is a block;
//! a server or another address sends the name elsewhere and is none; `#` asks the usual servers after all.

use signed_list::list::Scope;

use super::{Found, Reason, domains, hosts};

/// Reads one line that is trimmed and not empty.
pub fn line(line: &str, found: &mut dyn FnMut(Found<'_>)) {
    if line.starts_with(['#', ';']) {
        return;
    }
    let entry = line.split(" #").next().unwrap_or(line).trim_end();
    let option =
        entry.strip_prefix("--").unwrap_or(entry).split_once('=').map(|(key, value)| (key.trim(), value.trim()));
    let Some((key @ ("address" | "server" | "local"), value)) = option else {
        return found(Found::Skip(Reason::Form));
    };
    let Some((names, target)) = value.strip_prefix('/').and_then(|names| names.rsplit_once('/')) else {
        return found(Found::Skip(Reason::Form));
    };
    let blocks = match target {
        "" => true,
        "#" => key == "address",
        target => key == "address" && hosts::leads_nowhere(target) == Some(true),
    };
    for name in names.split('/') {
        found(match name {
            _ if target == "#" && key != "address" => Found::Exception,
            _ if !blocks => Found::Skip(Reason::Rewrite),
            "#" => Found::Skip(Reason::Pattern), // every name there is
            name => Found::Name(domains::without_wildcard(name), Scope::Subtree),
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::intake::Format;
    use crate::intake::tests::check;

    #[test]
    fn options() {
        check(
            Format::Dnsmasq,
            &[
                ("# address=/name.test/", ""),
                ("address=/name.test/", "name.test"),
                ("address=/name.test/0.0.0.0", "name.test"),
                ("address=/name.test/::", "name.test"),
                ("address=/name.test/127.0.0.1", "name.test"),
                ("address=/name.test/#", "name.test"),
                ("--address=/name.test/0.0.0.0", "name.test"),
                ("address=/a.test/b.test/0.0.0.0", "a.test b.test"),
                ("server=/name.test/", "name.test"),
                ("local=/name.test/", "name.test"),
                ("local=/*.name.test/ # why", "name.test"),
                ("address=/.name.test/", "name.test"),
                ("server=/name.test/192.0.2.53", "!rewrite"),
                ("server=/name.test/#", "@"),
                ("address=/search.test/192.0.2.120", "!rewrite"),
                ("address=/#/0.0.0.0", "!pattern"),
                ("address=/test/", "!single-label"),
                ("address=//", "!not-a-name"),
                ("address=name.test", "!form"),
                ("server=192.0.2.53", "!form"),
                ("conf-file=/etc/more.conf", "!form"),
                ("name.test", "!form"),
            ],
        );
    }
}
