//! Which client gets which policy: the longest matching network decides.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::config::{Config, Layer, Search};

/// A set of categories, a bit for each index in [`Config::categories`].
pub type Categories = u64;

/// Clients that are served, and the policy of each.
///
/// One look-up finds both. All networks that hold an address lie in each other,
/// so the longest of them, whether it stands in `[access]` or in a policy,
/// knows what the longest of either kind says.
pub struct Policies {
    v4: PrefixMap<Ipv4Net, Client>,
    v6: PrefixMap<Ipv6Net, Client>,
    nowhere: Client,
}

/// What a client's address says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Whether it is served at all.
    pub served: bool,
    /// Index of its policy. The index behind the last configured policy stands
    /// for "none".
    pub policy: usize,
    /// Categories in force for it.
    pub in_force: InForce,
    /// What searching leaves out for it.
    pub search: Search,
}

/// Categories that a policy enforces, by layer.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct InForce {
    /// In force whatever the policy says; an allow list does not lift them.
    pub legal: Categories,
    /// The operator's layer and the family layer: an allow list lifts them.
    pub liftable: Categories,
}

impl Policies {
    /// Builds the look-up tables.
    pub fn new(config: &Config) -> Self {
        let categories = config.categories.iter().enumerate();
        let legal = categories.filter(|(_, category)| category.layer == Layer::Legal);
        let legal = legal.fold(0, |mask, (index, _)| mask | 1 << index);
        // A client that no policy names is served without the liftable layers,
        // but never without the legal one.
        let in_force = InForce { legal, liftable: 0 };
        let none = Client { served: false, policy: config.policies.len(), in_force, search: Search::default() };
        let of = |network: &IpNet| {
            let policy = longest(config, network).map_or(config.policies.len(), |(index, _)| index);
            let categories = config.policies.get(policy).map_or(&[][..], |policy| &policy.categories);
            let liftable = categories.iter().fold(0, |mask, index| mask | 1 << index);
            let served = config.access.iter().any(|access| access.contains(network));
            let search = config.policies.get(policy).map_or(Search::default(), |policy| policy.search);
            Client { served, policy, in_force: InForce { legal, liftable }, search }
        };
        let mut policies = Policies { v4: PrefixMap::new(), v6: PrefixMap::new(), nowhere: none };
        for network in config.policies.iter().flat_map(|policy| &policy.networks).chain(&config.access) {
            match network {
                IpNet::V4(net) => drop(policies.v4.insert(*net, of(network))),
                IpNet::V6(net) => drop(policies.v6.insert(*net, of(network))),
            }
        }
        policies
    }

    /// What this client's address says. IPv4-mapped addresses have to be taken
    /// apart before: a dual-stack socket reports IPv4 clients in that form.
    #[inline]
    pub fn of(&self, address: IpAddr) -> Client {
        let found = match address {
            IpAddr::V4(ip) => self.v4.get_lpm(&ip.into()).map(|(_, client)| client),
            IpAddr::V6(ip) => self.v6.get_lpm(&ip.into()).map(|(_, client)| client),
        };
        *found.unwrap_or(&self.nowhere)
    }
}

/// The policy of a network or address, and the network that gives it.
pub fn longest<'a>(config: &'a Config, inner: &IpNet) -> Option<(usize, &'a IpNet)> {
    let all = config.policies.iter().enumerate();
    let networks = all.flat_map(|(index, policy)| policy.networks.iter().map(move |network| (index, network)));
    networks.filter(|(_, network)| network.contains(inner)).max_by_key(|(_, network)| network.prefix_len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn policies(access: &str, networks: [&str; 2]) -> Policies {
        let [first, second] = networks;
        let text = format!(
            "version = 1\n[access]\nallow = [{access}]\n[[policy]]\nname = \"first\"\nnetworks = [{first}]\n\
             categories = [\"adult\"]\n[[policy]]\nname = \"second\"\nnetworks = [{second}]\ncategories = []\n"
        );
        Policies::new(&Config::parse(&text, Path::new("t.toml")).unwrap())
    }

    fn of(policies: &Policies, address: &str) -> (bool, usize) {
        let client = policies.of(address.parse().unwrap());
        (client.served, client.policy)
    }

    #[test]
    fn access_and_policy_are_found_apart_though_looked_up_together() {
        let policies = policies(
            r#""10.0.0.0/8", "10.9.0.0/16", "fd00::/8""#,
            [r#""0.0.0.0/0", "::/0""#, r#""10.0.7.0/24", "192.0.2.0/24", "fd00:7::/32""#],
        );
        assert_eq!(of(&policies, "10.1.1.1"), (true, 0));
        assert_eq!(of(&policies, "10.0.7.1"), (true, 1));
        assert_eq!(of(&policies, "10.9.1.1"), (true, 0));
        assert_eq!(of(&policies, "192.0.2.1"), (false, 1));
        assert_eq!(of(&policies, "198.51.100.1"), (false, 0));
        assert_eq!(of(&policies, "fd00:7::1"), (true, 1));
        assert_eq!(of(&policies, "fd01::1"), (true, 0));
        assert_eq!(of(&policies, "2001:db8::1"), (false, 0));
    }

    #[test]
    fn a_client_of_no_policy_has_none_and_keeps_the_legal_layer() {
        let policies = policies(r#""10.0.0.0/8""#, [r#""10.1.0.0/16""#, r#""10.2.0.0/16""#]);
        assert_eq!(of(&policies, "10.3.0.1"), (true, 2));
        let client = policies.of("10.3.0.1".parse().unwrap());
        assert!(client.in_force.legal != 0 && client.in_force.liftable == 0);
        assert!(policies.of("10.1.0.1".parse().unwrap()).in_force.liftable != 0);
    }
}
