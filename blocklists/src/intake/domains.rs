//! Plain names, one a line; `*.name` and `.name` are the same as `name`.
//!
//! Comments begin with `#`, `;`, `!` or `//`, on a line of their own or behind the name.

use signed_list::list::Scope;

use super::{Found, Reason};

/// Reads one line that is trimmed and not empty.
pub fn line(line: &str, found: &mut dyn FnMut(Found<'_>)) {
    if is_comment(line) {
        return;
    }
    let entry = line.split_once('#').map_or(line, |(entry, _)| entry);
    let mut words = entry.split_ascii_whitespace();
    let Some(name) = words.next() else { return };
    if words.next().is_some_and(|word| !is_comment(word)) {
        return found(Found::Skip(Reason::Form));
    }
    found(Found::Name(without_wildcard(name), Scope::Subtree));
}

/// The name below which `*.name`, `+.name` or `.name` covers everything; other texts as they are.
pub(super) fn without_wildcard(name: &str) -> &str {
    name.strip_prefix("*.").or_else(|| name.strip_prefix("+.")).or_else(|| name.strip_prefix('.')).unwrap_or(name)
}

fn is_comment(text: &str) -> bool {
    text.starts_with(['#', ';', '!']) || text.starts_with("//")
}

#[cfg(test)]
mod tests {
    use crate::intake::Format;
    use crate::intake::tests::check;

    #[test]
    fn plain_names() {
        check(
            Format::Domains,
            &[
                ("", ""),
                ("# name.test", ""),
                ("! name.test", ""),
                ("; name.test", ""),
                ("// name.test", ""),
                ("name.test", "name.test"),
                ("  name.test\t", "name.test"),
                ("MixedCase.test.", "mixedcase.test"),
                ("name.test # why", "name.test"),
                ("name.test# why", "name.test"),
                ("name.test    ; why", "name.test"),
                ("xn--bcher-kva.test    # was: bücher.test", "xn--bcher-kva.test"),
                ("*.name.test", "name.test"),
                (".name.test", "name.test"),
                ("+.name.test", "name.test"),
                (".test", "!single-label"),
                ("free", "!single-label"),
                ("na*.test", "!pattern"),
                ("*", "!pattern"),
                ("..name.test", "!not-a-name"),
                ("192.0.2.1", "!ip-address"),
                ("192.0.2.1:8080", "!port"),
                ("name.test/path/get.php", "!url"),
                ("http://192.0.2.1", "!url"),
                ("name.test other.test", "!form"),
                ("0.0.0.0 name.test", "=name.test"),
                ("||name.test^", "name.test"),
                ("||name.test^$third-party", "!modifier"),
                ("<html lang=\"en\">", "!form"),
            ],
        );
    }

    #[test]
    fn wildcards() {
        check(
            Format::Wildcard,
            &[("*.name.test", "name.test"), ("name.test", "name.test"), ("*.*.name.test", "!pattern")],
        );
    }
}
