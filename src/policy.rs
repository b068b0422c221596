//! Which client gets which policy: the longest matching network decides.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::config::{Config, Layer};

/// A set of categories, a bit for each index in [`Config::categories`].
pub type Categories = u64;

/// Clients that are served, and the policy of each.
pub struct Policies {
    v4: PrefixMap<Ipv4Net, bool>,
    v6: PrefixMap<Ipv6Net, bool>,
    v4_policy: PrefixMap<Ipv4Net, u16>,
    v6_policy: PrefixMap<Ipv6Net, u16>,
    /// Categories in force, for each policy, legal ones included.
    in_force: Vec<InForce>,
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
        let legal = config
            .categories
            .iter()
            .enumerate()
            .filter(|(_, category)| category.layer == Layer::Legal)
            .fold(0, |mask, (index, _)| mask | 1 << index);
        let mut policies = Policies {
            v4: PrefixMap::new(),
            v6: PrefixMap::new(),
            v4_policy: PrefixMap::new(),
            v6_policy: PrefixMap::new(),
            in_force: Vec::new(),
        };
        for network in &config.access {
            match network {
                IpNet::V4(net) => drop(policies.v4.insert(net.trunc(), true)),
                IpNet::V6(net) => drop(policies.v6.insert(net.trunc(), true)),
            }
        }
        for (index, policy) in config.policies.iter().enumerate() {
            let liftable = policy.categories.iter().fold(0, |mask, index| mask | 1 << index);
            policies.in_force.push(InForce { legal, liftable });
            for network in &policy.networks {
                match network {
                    IpNet::V4(net) => drop(policies.v4_policy.insert(net.trunc(), index as u16)),
                    IpNet::V6(net) => drop(policies.v6_policy.insert(net.trunc(), index as u16)),
                }
            }
        }
        // A client that no policy names is served without the liftable layers,
        // but never without the legal one.
        policies.in_force.push(InForce { legal, liftable: 0 });
        policies
    }

    /// Whether this client is served at all. IPv4-mapped addresses count as
    /// IPv4: a dual-stack socket reports IPv4 clients in that form.
    #[inline]
    pub fn serves(&self, client: IpAddr) -> bool {
        match client {
            IpAddr::V4(ip) => self.v4.get_lpm(&ip.into()).is_some(),
            IpAddr::V6(ip) => self.v6.get_lpm(&ip.into()).is_some(),
        }
    }

    /// Index of the client's policy. The index behind the last configured
    /// policy stands for "none".
    #[inline]
    pub fn of(&self, client: IpAddr) -> usize {
        let found = match client {
            IpAddr::V4(ip) => self.v4_policy.get_lpm(&ip.into()).map(|(_, index)| *index),
            IpAddr::V6(ip) => self.v6_policy.get_lpm(&ip.into()).map(|(_, index)| *index),
        };
        found.map_or(self.in_force.len() - 1, usize::from)
    }

    /// The network that gave `client` its policy, for `explain`.
    pub fn network_of(&self, client: IpAddr) -> Option<IpNet> {
        match client {
            IpAddr::V4(ip) => self.v4_policy.get_lpm(&ip.into()).map(|(net, _)| IpNet::V4(net)),
            IpAddr::V6(ip) => self.v6_policy.get_lpm(&ip.into()).map(|(net, _)| IpNet::V6(net)),
        }
    }

    /// Categories that a policy enforces.
    #[inline]
    pub fn in_force(&self, policy: usize) -> InForce {
        self.in_force[policy]
    }
}
