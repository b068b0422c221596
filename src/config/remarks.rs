//! What is allowed and rarely meant: said when a configuration is checked and
//! when it comes into force, and never a reason to refuse it.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::{BlockAnswer, Category, Config};

impl Config {
    /// Sentences for the operator; none if there is nothing to say.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let policies: Vec<IpNet> = self.policies.iter().flat_map(|policy| policy.networks.iter().copied()).collect();
        let left: Vec<String> =
            self.access.iter().filter(|net| !is_covered(net, &policies)).map(ToString::to_string).collect();
        if !left.is_empty() {
            remarks.push(format!(
                "clients in {} are served and are (in part) in no policy: only the legal layer filters for them; name their networks in a policy, or 0.0.0.0/0 and ::/0 for everybody else",
                left.join(", ")
            ));
        }
        for net in self.access.iter().filter(|net| net.prefix_len() == 0) {
            remarks.push(format!(
                "[access] allow has {net}: a resolver that serves everybody is used to attack others; name the networks of your clients"
            ));
        }
        if self.lists.is_empty() && self.sources.is_empty() && self.zones.is_empty() {
            remarks.push("there is no list: nothing is filtered but what policies deny by themselves".into());
        }
        if let Some(page) = &self.stop_page {
            let leads = |category: &Category| matches!(category.answer, BlockAnswer::Addresses { .. });
            if !self.categories.iter().any(leads) {
                remarks.push(
                    "no category leads to the stop page: write its address as 'answer' of those that shall".into(),
                );
            }
            let https = self.tls.iter().flat_map(|tls| &tls.doh).filter(|doh| doh.port() == 443);
            let shared = |doh: &&SocketAddr| {
                page.listen
                    .iter()
                    .any(|it| it.ip() == doh.ip() || doh.ip().is_unspecified() && it.is_ipv4() == doh.is_ipv4())
            };
            if let Some(doh) = https.clone().find(shared) {
                remarks.push(format!(
                    "[tls] doh listens on {doh}, which is port 443 of the stop page, too: browsers would warn of a wrong certificate instead of giving up; give one of them another address"
                ));
            }
        }
        for policy in &self.policies {
            for rule in policy.deny.iter().filter(|rule| rule.name.labels() == 1) {
                remarks.push(format!("policy '{}' denies {} and with it every name below", policy.name, rule.name));
            }
        }
        remarks
    }
}

/// Whether every address of a network is in one of these.
fn is_covered(net: &IpNet, by: &[IpNet]) -> bool {
    if by.iter().any(|other| other.contains(net)) {
        return true;
    }
    // Only where some of them lie inside can halves be covered that the whole
    // is not; there are as many steps as they have bits.
    if !by.iter().any(|other| net.contains(other)) {
        return false;
    }
    let halves = net.subnets(net.prefix_len() + 1);
    halves.is_ok_and(|mut halves| halves.all(|half| is_covered(&half, by)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn remarks(text: &str) -> Vec<String> {
        Config::parse(&format!("version = 1\n{text}"), Path::new("t.toml")).unwrap().remarks()
    }

    fn one(text: &str, words: &str) {
        let remarks = remarks(text);
        assert!(remarks.len() == 1 && remarks[0].contains(words), "{text}: {remarks:?}");
    }

    const LIST: &str = "[lists]\nfiles = [\"a.list\"]\n";

    #[test]
    fn clients_without_a_policy_are_named() {
        let policy = |networks: &str| format!("{LIST}[[policy]]\nname = \"a\"\nnetworks = [{networks}]\n");
        assert!(remarks(LIST).is_empty());
        assert!(remarks(&policy("\"0.0.0.0/0\", \"::/0\"")).is_empty());
        one(&policy("\"0.0.0.0/0\""), "clients in ::1/128, fc00::/7, fe80::/10 are served");
        let access = "[access]\nallow = [\"10.0.0.0/8\"]\n";
        one(&(access.to_owned() + &policy("\"10.1.0.0/16\"")), "clients in 10.0.0.0/8 are served");
        one(&(access.to_owned() + &policy("\"192.168.0.0/16\"")), "clients in 10.0.0.0/8 are served");
        assert!(
            remarks(&(access.to_owned() + &policy("\"10.0.0.0/9\", \"10.128.0.0/10\", \"10.192.0.0/10\""))).is_empty()
        );
    }

    #[test]
    fn what_is_rarely_meant_is_said() {
        one("", "there is no list");
        one(&format!("{LIST}[access]\nallow = [\"0.0.0.0/0\"]\n"), "used to attack others");
        let page = format!("{LIST}[stop_page]\nlisten = [\"192.0.2.80:80\"]\n");
        one(&page, "no category leads to the stop page");
        let leads = "[category.a]\nlayer = \"family\"\nanswer = [\"192.0.2.80\"]\n";
        assert!(remarks(&format!("{page}{leads}")).is_empty());
        let tls = |doh: &str| format!("[tls]\ncertificate = \"c\"\nkey = \"k\"\ndoh = [\"{doh}\"]\n");
        one(&format!("{page}{leads}{}", tls("192.0.2.80:443")), "port 443 of the stop page");
        one(&format!("{page}{leads}{}", tls("0.0.0.0:443")), "port 443 of the stop page");
        for other in ["192.0.2.81:443", "[::]:443", "192.0.2.80:8443"] {
            assert!(remarks(&format!("{page}{leads}{}", tls(other))).is_empty(), "{other}");
        }
        let deny = "[[policy]]\nname = \"a\"\nnetworks = [\"0.0.0.0/0\", \"::/0\"]\ndeny = [\"com\", \"b.com\"]\n";
        one(&format!("{LIST}{deny}"), "policy 'a' denies com and with it every name below");
    }
}
