//! Rules of Adblock Plus, uBlock Origin and AdGuard, as far as DNS can follow them.
//!
//! `||name^` is an entry. A rule with a modifier is one only if the modifier changes nothing for DNS (`NEUTRAL` below):
//! `||cdn.test^$third-party` blocks a name on other people's pages, and as an entry it would block it everywhere.

use signed_list::list::Scope;

use super::{Found, Reason, domains, hosts};

/// Modifiers under which a rule still means "this whole name": a precedence among rules, every kind of request, or
/// the page itself.
const NEUTRAL: [&str; 4] = ["important", "all", "document", "doc"];

/// Between the domains and the selector of a rule for elements of a page.
const COSMETIC: [&str; 7] = ["##", "#@#", "#?#", "#$#", "#%#", "#@?#", "$@$"];

/// Reads one line that is trimmed, not empty, and not an exception.
pub fn line(line: &str, found: &mut dyn FnMut(Found<'_>)) {
    let header = line.starts_with("[Adblock") || line.starts_with("[uBlock") || line.starts_with("[AdGuard");
    if line.starts_with('!') || header {
        return;
    }
    if let Some(rest) = line.strip_prefix('#')
        && !COSMETIC.iter().any(|mark| line.starts_with(mark) && !rest[mark.len() - 1..].starts_with(['#', ' ']))
    {
        return; // a comment as in hosts files; AdGuard allows it
    }
    if let Some(rule) = line.strip_prefix("||") {
        return found(name_rule(rule, Scope::Subtree));
    }
    if COSMETIC.iter().any(|mark| line.contains(mark)) {
        return found(Found::Skip(Reason::Cosmetic));
    }
    if let Some(rule) = line.strip_prefix('|') {
        // Without an end mark it is the beginning of an address and not a name.
        let whole = rule.split('$').next().unwrap_or(rule).ends_with(['^', '|']);
        return found(if whole { name_rule(rule, Scope::Exact) } else { Found::Skip(Reason::Pattern) });
    }
    if let Some(rest) = line.strip_prefix('/') {
        let regex = rest.ends_with('/') || rest.contains("/$");
        return found(Found::Skip(if regex { Reason::Regex } else { Reason::Url }));
    }
    // AdGuard takes hosts lines between its rules.
    if line.split_ascii_whitespace().next().and_then(hosts::leads_nowhere).is_some() && line.contains([' ', '\t']) {
        return hosts::line(line, found);
    }
    found(Found::Skip(Reason::Pattern));
}

/// The rest of a rule after `||` or `|`.
fn name_rule(rule: &str, scope: Scope) -> Found<'_> {
    let (body, modifiers) = rule.split_once('$').unwrap_or((rule, ""));
    if modifiers.split(',').any(|modifier| !modifier.is_empty() && !NEUTRAL.contains(&modifier)) {
        return Found::Skip(Reason::Modifier);
    }
    let whole = body.strip_suffix('|').unwrap_or(body);
    let name = domains::without_wildcard(whole.strip_suffix('^').unwrap_or(whole));
    // `||name.` is the beginning of many names, unlike the dot at the end of a name elsewhere.
    if name.ends_with('.') || name.contains(['*', '|']) && !name.contains('/') {
        return Found::Skip(Reason::Pattern);
    }
    Found::Name(name, scope)
}

#[cfg(test)]
mod tests {
    use crate::intake::Format;
    use crate::intake::tests::check;

    #[test]
    fn rules() {
        check(
            Format::Adblock,
            &[
                ("[Adblock Plus 3.15]", ""),
                ("! Title: a list", ""),
                ("!||name.test^", ""),
                ("# hosts comment", ""),
                ("####", ""),
                ("||name.test^", "name.test"),
                ("||name.test", "name.test"),
                ("||name.test|", "name.test"),
                ("||name.test^|", "name.test"),
                ("||*.name.test^", "name.test"),
                ("||Name.test^$important", "name.test"),
                ("||name.test^$all", "name.test"),
                ("||name.test^$document,important", "name.test"),
                ("||xn--bcher-kva.test^", "xn--bcher-kva.test"),
                ("|name.test^", "=name.test"),
                ("|name.test|", "=name.test"),
                ("0.0.0.0 name.test", "=name.test"),
                ("||name.test^$badfilter", "!modifier"),
                ("||name.test^$dnstype=~CNAME", "!modifier"),
                ("||name.test^$client=192.0.2.1", "!modifier"),
                ("||name.test^$denyallow=a.test|b.test", "!modifier"),
                ("||name.test^$dnsrewrite=192.0.2.1", "!modifier"),
                ("||name.test^$popup", "!modifier"),
                ("||name.test^$third-party", "!modifier"),
                ("||name.test^$~media", "!modifier"),
                ("||name.test^$important,domain=a.test", "!modifier"),
                ("||test^", "!single-label"),
                ("||name.", "!pattern"),
                ("||na*me.test^", "!pattern"),
                ("||name.*.test^", "!pattern"),
                ("||name.test*popunder", "!pattern"),
                ("|name-", "!pattern"),
                ("|http://name.", "!pattern"),
                ("-banner-ads-", "!pattern"),
                ("name.test", "!pattern"),
                ("://name.test^", "!pattern"),
                ("||name.test/path^", "!url"),
                ("||name.test/*/app/*/id1^", "!url"),
                ("/path/pixel.gif", "!url"),
                ("/^ads[0-9]+\\.test$/", "!regex"),
                ("/pixel\\.(test|example)/$script", "!regex"),
                ("||192.0.2.7^", "!ip-address"),
                ("||[2001:db8::7]^", "!ip-address"),
                ("name.test##.banner", "!cosmetic"),
                ("##.banner", "!cosmetic"),
                ("a.test,b.test#?#div:has(a)", "!cosmetic"),
                ("a.test#@#.banner", "!cosmetic"),
                ("||xn--0.test^", "xn--0.test"),
            ],
        );
    }
}
