//! Is this name blocked for this policy? The one place that decides it.
//!
//! Precedence: legal layer, then what the policy allows, then the operator's
//! layer, then what the policy denies, then its family layer. A venue cannot
//! allow what the law lists; it can only appeal it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{Builder, Cover, List, ListMeta, Scope};

use crate::block::Block;
use crate::config::{Config, Layer, Rule};
use crate::entry::{Entry, Target};
use crate::lists::Loaded;
use crate::policy::{Categories, Client, InForce};
use crate::scheme::Scheme;

/// Why a name is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not blocked.
    Pass,
    /// Not blocked although listed, because the policy allows the name. What
    /// the answer leads to is then held against the legal layer only.
    Allowed,
    /// Listed in this category, alone or with everything below it.
    Listed(usize, Scope),
    /// The policy itself denies the name, alone or with everything below it.
    Denied(Scope),
}

/// The lists in force, ready to be asked.
pub struct Filter {
    /// Open and sealed lists, those with the same digest key side by side, so
    /// that a name is hashed once for each key.
    lists: Vec<Arc<Loaded>>,
    local: Vec<LocalRules>,
    /// Networks that make an answer count as listed, with their category.
    addresses: Vec<(IpNet, usize)>,
    layers: Layers,
    blocks: Vec<Blocks>,
    denied: Blocks,
}

/// The prepared answers of one category, or of the policies' own rules.
struct Blocks {
    alone: Block,
    with_all_below: Block,
}

#[derive(Clone, Copy, Default)]
struct Layers {
    legal: Categories,
    operator: Categories,
}

/// One policy's own allow and deny rules.
#[derive(Default)]
struct LocalRules {
    own: Option<List<Vec<u8>>>,
    allow_lists: Vec<Arc<Loaded>>,
}

const OWN_ALLOW: Categories = 1;
const OWN_DENY: Categories = 2;

impl Filter {
    /// `lists` in the order of the configuration; `allow_lists[i]` belong to policy `i`.
    pub fn new(
        config: &Config,
        scheme: &Scheme,
        mut lists: Vec<Arc<Loaded>>,
        allow_lists: Vec<Vec<Arc<Loaded>>>,
    ) -> Self {
        lists.sort_by_key(|loaded| *loaded.list.key().bytes());
        let mut layers = Layers::default();
        let mut addresses = Vec::new();
        for (index, category) in config.categories.iter().enumerate() {
            match category.layer {
                Layer::Legal => layers.legal |= 1 << index,
                Layer::Operator => layers.operator |= 1 << index,
                Layer::Family => {}
            }
            addresses.extend(category.addresses.iter().map(|net| (*net, index)));
        }
        let local = config
            .policies
            .iter()
            .zip(allow_lists)
            .map(|(policy, allow_lists)| LocalRules { own: own_rules(&policy.allow, &policy.deny), allow_lists })
            .chain([LocalRules::default()])
            .collect();
        let blocks = config.categories.iter().map(|category| Blocks::new(|scope| Block::new(category, scheme, scope)));
        let denied = Blocks::new(|scope| Block::of_policy(scheme, scope));
        Filter { lists, local, addresses, layers, blocks: blocks.collect(), denied }
    }

    /// The prepared answer of a verdict that blocks.
    #[inline]
    pub fn block(&self, verdict: Verdict) -> Option<&Block> {
        match verdict {
            Verdict::Pass | Verdict::Allowed => None,
            Verdict::Listed(category, scope) => Some(self.blocks[category].of(scope)),
            Verdict::Denied(scope) => Some(self.denied.of(scope)),
        }
    }

    /// All categories that list this canonical wire name, whoever asks.
    #[inline]
    pub fn listed(&self, wire: &[u8], suffixes: &mut Suffixes) -> Cover {
        let mut found = Cover::default();
        let mut hashed: Option<&DigestKey> = None;
        for loaded in &self.lists {
            let key = loaded.list.key();
            if hashed.is_none_or(|last| last.bytes() != key.bytes()) {
                key.suffixes(wire, suffixes);
                hashed = Some(key);
            }
            loaded.cover(suffixes, &mut found);
        }
        found
    }

    /// All categories that list this address.
    #[inline]
    pub fn listed_address(&self, address: IpAddr) -> Categories {
        let hit = |(net, _): &&(IpNet, usize)| net.contains(&address);
        self.addresses.iter().filter(hit).fold(0, |mask, (_, index)| mask | 1 << index)
    }

    /// Whether answers have to be searched for addresses.
    #[inline]
    pub fn has_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Whether this policy has rules of its own, which may change what a
    /// category mask alone would say.
    #[inline]
    pub fn has_own_rules(&self, policy: usize) -> bool {
        let rules = &self.local[policy];
        rules.own.is_some() || !rules.allow_lists.is_empty()
    }

    /// Decides a name that stands in the categories `listed`.
    ///
    /// It is blocked with everything below it where some entry of the layers
    /// that block it covers that, too, whichever category is named.
    #[inline]
    pub fn decide(
        &self,
        policy: usize,
        in_force: InForce,
        listed: Cover,
        wire: &[u8],
        suffixes: &mut Suffixes,
    ) -> Verdict {
        if let Some(category) = first(listed.name & in_force.legal) {
            return Verdict::Listed(category, scope(listed.below & in_force.legal));
        }
        let liftable = listed.name & in_force.liftable;
        if liftable == 0 && !self.has_own_rules(policy) {
            return Verdict::Pass;
        }
        let own = self.local[policy].ask(wire, suffixes);
        if own.name & OWN_ALLOW != 0 {
            return Verdict::Allowed;
        }
        let scope = scope(listed.below & in_force.liftable | own.below & OWN_DENY);
        match (first(liftable & self.layers.operator), own.name & OWN_DENY != 0, first(liftable)) {
            (Some(category), _, _) => Verdict::Listed(category, scope),
            (None, true, _) => Verdict::Denied(scope),
            (None, false, Some(category)) => Verdict::Listed(category, scope),
            (None, false, None) => Verdict::Pass,
        }
    }

    /// Decides a name for a client.
    #[inline]
    pub fn judge(&self, client: Client, wire: &[u8], suffixes: &mut Suffixes) -> Verdict {
        let listed = self.listed(wire, suffixes);
        self.decide(client.policy, client.in_force, listed, wire, suffixes)
    }

    /// What the answer leads to, judged for this client.
    ///
    /// The categories that an answer touches are remembered with it for one
    /// generation of lists, so that a hit costs one comparison; only where one
    /// of them is in force, or the policy has rules of its own, is the answer
    /// walked again, name by name. What scope an entry for a target has says
    /// nothing about the name asked for, which is denied as a whole.
    pub fn leads_to(&self, generation: u32, client: Client, decision: Verdict, entry: &Entry) -> Verdict {
        let touched = match entry.touched(generation) {
            Some(touched) => touched,
            None => {
                let mut touched = 0;
                let mut suffixes = Suffixes::new();
                entry.each_target(|target| {
                    touched |= match target {
                        Target::Name(name) => self.listed(name.as_wire(), &mut suffixes).name,
                        Target::Address(address) => self.listed_address(address),
                    }
                });
                entry.set_touched(generation, touched);
                touched
            }
        };
        let in_force = client.in_force;
        let allowed = decision == Verdict::Allowed;
        let relevant = touched & (in_force.legal | if allowed { 0 } else { in_force.liftable });
        if relevant == 0 && (allowed || !self.has_own_rules(client.policy)) {
            return Verdict::Pass;
        }
        let mut verdict = Verdict::Pass;
        let mut suffixes = Suffixes::new();
        entry.each_target(|target| {
            if self.block(verdict).is_some() {
                return;
            }
            let found = match target {
                Target::Name(name) => self.judge(client, name.as_wire(), &mut suffixes),
                Target::Address(address) => {
                    let listed = self.listed_address(address);
                    let listed = listed & (in_force.legal | in_force.liftable);
                    first(listed).map_or(Verdict::Pass, |category| Verdict::Listed(category, Scope::Subtree))
                }
            };
            // A name that the policy allows may lead where it likes, but not
            // to what the law lists.
            verdict = match found {
                Verdict::Listed(category, _) if allowed && self.legal() & 1 << category == 0 => verdict,
                Verdict::Denied(_) if allowed => verdict,
                Verdict::Listed(category, _) => Verdict::Listed(category, Scope::Subtree),
                Verdict::Denied(_) => Verdict::Denied(Scope::Subtree),
                found => found,
            };
        });
        verdict
    }

    /// Names the lists in which `wire` stands, for `explain`.
    pub fn lists_of(&self, wire: &[u8]) -> Vec<(&Loaded, Categories)> {
        let mut suffixes = Suffixes::new();
        let mut ask = |loaded: &Loaded| {
            let mut cover = Cover::default();
            loaded.list.key().suffixes(wire, &mut suffixes);
            loaded.cover(&suffixes, &mut cover);
            cover.name
        };
        let hits = self.lists.iter().map(|loaded| (&**loaded, ask(loaded)));
        hits.filter(|(_, categories)| *categories != 0).collect()
    }

    /// The lists in force.
    pub fn lists(&self) -> impl Iterator<Item = &Arc<Loaded>> {
        self.lists.iter()
    }

    /// The allow lists of each policy.
    pub fn allow_lists(&self) -> Vec<Vec<Arc<Loaded>>> {
        // The last one stands for clients without a policy and has none.
        let policies = self.local.len().saturating_sub(1);
        self.local[..policies].iter().map(|rules| rules.allow_lists.clone()).collect()
    }

    /// The lists in force and the allow lists.
    pub fn every_list(&self) -> impl Iterator<Item = &Arc<Loaded>> {
        self.lists.iter().chain(self.local.iter().flat_map(|rules| &rules.allow_lists))
    }

    /// Categories of the legal layer.
    pub fn legal(&self) -> Categories {
        self.layers.legal
    }
}

impl Blocks {
    fn new(make: impl Fn(Scope) -> Block) -> Self {
        Blocks { alone: make(Scope::Exact), with_all_below: make(Scope::Subtree) }
    }

    #[inline]
    fn of(&self, scope: Scope) -> &Block {
        match scope {
            Scope::Exact => &self.alone,
            Scope::Subtree => &self.with_all_below,
        }
    }
}

impl LocalRules {
    fn ask(&self, wire: &[u8], suffixes: &mut Suffixes) -> Cover {
        let mut found = Cover::default();
        if let Some(own) = &self.own {
            own.key().suffixes(wire, suffixes);
            found = own.lookup(suffixes);
        }
        for loaded in &self.allow_lists {
            loaded.list.key().suffixes(wire, suffixes);
            if loaded.list.lookup(suffixes).name != 0 {
                found.name |= OWN_ALLOW;
            }
        }
        found
    }
}

/// A policy's own rules as a small list in memory: one way to match names.
fn own_rules(allow: &[Rule], deny: &[Rule]) -> Option<List<Vec<u8>>> {
    if allow.is_empty() && deny.is_empty() {
        return None;
    }
    let categories = vec!["allow".into(), "deny".into()];
    let meta = ListMeta { categories, serial: 0, created: 0, key: DigestKey::OPEN, sealed: false };
    let mut builder = Builder::new(meta);
    let mut suffixes = Suffixes::new();
    for (category, rules) in [allow, deny].into_iter().enumerate() {
        for rule in rules {
            DigestKey::OPEN.suffixes(rule.name.as_wire(), &mut suffixes);
            let labels = rule.name.labels();
            builder.push(suffixes.get(labels), labels as u8, category as u8, rule.scope);
        }
    }
    let bytes = builder.build().expect("a configuration holds far fewer than 2^32 rules");
    Some(List::open(bytes, None).expect("what was just built opens"))
}

#[inline]
fn first(categories: Categories) -> Option<usize> {
    (categories != 0).then(|| categories.trailing_zeros() as usize)
}

/// Whether entries that cover everything below a name, in these categories, are
/// among those that block it.
#[inline]
fn scope(below: Categories) -> Scope {
    if below == 0 { Scope::Exact } else { Scope::Subtree }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists;
    use signed_list::name::Name;
    use std::path::Path;

    const CONFIG: &str = "version = 1\n[category.law]\nlayer = \"legal\"\n[category.crime]\nlayer = \"operator\"\n\
        [category.adult]\nlayer = \"family\"\n[[policy]]\nname = \"all\"\nnetworks = [\"0.0.0.0/0\"]\n\
        allow = [\"free.test\"]\ndeny = [\"=denied.test\", \"mine.test\"]\n";

    /// A filter with one list of these entries, `=name` for exact ones.
    fn filter(config: &Config, entries: &[(&str, &str)]) -> Filter {
        let categories: Vec<String> = config.categories.iter().map(|category| category.name.clone()).collect();
        let index = |category: &str| categories.iter().position(|name| name == category).unwrap() as u8;
        let meta =
            ListMeta { categories: categories.clone(), serial: 1, created: 0, key: DigestKey::OPEN, sealed: false };
        let mut builder = Builder::new(meta);
        let mut suffixes = Suffixes::new();
        for (category, name) in entries {
            let scope = if name.starts_with('=') { Scope::Exact } else { Scope::Subtree };
            let name = Name::parse(name.trim_start_matches('=')).unwrap();
            DigestKey::OPEN.suffixes(name.as_wire(), &mut suffixes);
            builder.push(suffixes.get(name.labels()), name.labels() as u8, index(category), scope);
        }
        let list = lists::embedded(config, builder.build().unwrap());
        Filter::new(config, &Scheme::shipped(), vec![list], config.policies.iter().map(|_| Vec::new()).collect())
    }

    fn judge(entries: &[(&str, &str)], name: &str) -> Verdict {
        let config = Config::parse(CONFIG, Path::new("t.toml")).unwrap();
        let client = crate::policy::Policies::new(&config).of("127.0.0.1".parse().unwrap());
        filter(&config, entries).judge(client, Name::parse(name).unwrap().as_wire(), &mut Suffixes::new())
    }

    fn listed(category: &str, scope: Scope) -> Verdict {
        let config = Config::parse(CONFIG, Path::new("t.toml")).unwrap();
        Verdict::Listed(config.categories.iter().position(|known| known.name == category).unwrap(), scope)
    }

    #[test]
    fn a_name_is_blocked_alone_when_only_exact_entries_block_it() {
        use Scope::{Exact, Subtree};
        let one = |category| [(category, "=x.test")];
        for category in ["law", "crime", "adult"] {
            assert_eq!(judge(&one(category), "x.test"), listed(category, Exact));
            assert_eq!(judge(&one(category), "www.x.test"), Verdict::Pass);
            assert_eq!(judge(&[(category, "test")], "x.test"), listed(category, Subtree));
        }
        assert_eq!(judge(&[], "denied.test"), Verdict::Denied(Exact));
        assert_eq!(judge(&[], "www.mine.test"), Verdict::Denied(Subtree));
        // The layer that comes first names the category; below it another one may block.
        assert_eq!(judge(&[("crime", "=x.test"), ("adult", "x.test")], "x.test"), listed("crime", Subtree));
        assert_eq!(judge(&[("crime", "x.test"), ("adult", "=x.test")], "x.test"), listed("crime", Subtree));
        assert_eq!(judge(&[("adult", "=denied.test")], "denied.test"), Verdict::Denied(Exact));
        assert_eq!(judge(&[("adult", "denied.test")], "denied.test"), Verdict::Denied(Subtree));
        assert_eq!(judge(&[("crime", "=mine.test")], "mine.test"), listed("crime", Subtree));
        // What the law lists alone may be free below, whatever else lists it.
        assert_eq!(judge(&[("law", "=free.test"), ("adult", "free.test")], "free.test"), listed("law", Exact));
        assert_eq!(judge(&[("law", "=free.test"), ("adult", "free.test")], "www.free.test"), Verdict::Allowed);
    }
}
