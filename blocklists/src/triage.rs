//! May a takedown become an entry of a list, or can only its source help? Pure.
//!
//! DNS blocks a whole name for everybody. That is right for a domain that serves nothing but what was reported, and wrong
//! for everything else: for a page on a platform, a customer of a hosting company, a network that many sites share. Nine
//! of ten reported URLs are of that kind. They go back for notice and takedown, with the [`Ground`] in words.
//!
//! | for a list of the class | goes back |
//! |---|---|
//! | all | addresses, public suffixes, special-use names, protected names and what would block them, categories that DNS may not block |
//! | `legal` | also what nobody attests to be dedicated, names below a protected one, everything on shared hosts, top sites and what lies below them |
//!
//! The law's list is stricter than the others: `page.platform.example` is no danger to the platform, but it is still the
//! platform's page, and the platform can remove it. [`Guard`] knows both measures, and each release passes it once more.

use signed_list::list::Scope;
use signed_list::name::Name;
use signed_list::release::Class;

use crate::guard::shared::Shared;
use crate::guard::{Danger, Guard};
use crate::takedown::scheme::Scheme;
use crate::takedown::{Host, Takedown};
use crate::texts::{Language, say};

/// The judge. One for a whole run.
pub struct Triage {
    guard: Guard,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may become an entry for this name.
    Entry(Name),
    /// Only its source can help.
    TakedownOnly(Ground),
}

/// Why only the source can help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nobody attests that the whole domain is dedicated to it.
    NotDedicated,
    /// There is no name, only an address.
    Address,
    /// The category is no ground for a block.
    Category(String),
    /// Many people have their names under it.
    PublicSuffix,
    /// It is a company's that gives names to customers, or one of those names.
    SharedHost {
        /// The name that the company gives names under.
        suffix: Name,
    },
    /// It is no site at all.
    SpecialUse,
    /// It is protected, or lies below what is.
    Protected {
        /// The protected name.
        name: Name,
        /// What it is.
        group: String,
    },
    /// It would block a protected name below it.
    AboveProtected {
        /// The protected name.
        name: Name,
        /// What it is.
        group: String,
    },
    /// It is one of the most visited sites, or lies below one.
    TopSite(Name),
}

impl Ground {
    /// A short stable word, for programs, the ledger and as the key of the texts.
    pub fn word(&self) -> &'static str {
        match self {
            Ground::NotDedicated => "not-dedicated",
            Ground::Address => "address",
            Ground::Category(_) => "category",
            Ground::PublicSuffix => "public-suffix",
            Ground::SharedHost { .. } => "shared-host",
            Ground::SpecialUse => "special-use",
            Ground::Protected { .. } => "protected",
            Ground::AboveProtected { .. } => "above-protected",
            Ground::TopSite(_) => "top-site",
        }
    }

    /// What it means and what to do instead, in a language.
    pub fn sentence(&self, language: Language) -> String {
        let arguments = match self {
            Ground::Category(category) => vec![("category", category.clone())],
            Ground::SharedHost { suffix } => vec![("suffix", suffix.to_string())],
            Ground::Protected { name, group } | Ground::AboveProtected { name, group } => {
                vec![("name", name.to_string()), ("group", group_in(language, group))]
            }
            Ground::TopSite(name) => vec![("name", name.to_string())],
            _ => Vec::new(),
        };
        say(language, &format!("takedown-{}", self.word()), &arguments)
    }
}

impl From<Shared> for Ground {
    fn from(shared: Shared) -> Ground {
        match shared {
            Shared::Protected { name, group } => Ground::Protected { name, group },
            Shared::Host { suffix } => Ground::SharedHost { suffix },
            Shared::TopSite(name) => Ground::TopSite(name),
        }
    }
}

/// What a protected name is, in a language.
fn group_in(language: Language, group: &str) -> String {
    let key = format!("group-{}", group.to_lowercase().replace(' ', "-"));
    let text = say(language, &key, &[]);
    // A text that lacks is its key, which says less than the English words.
    if text == key { group.to_owned() } else { text }
}

impl Triage {
    /// With the tables that are shipped.
    pub fn shipped() -> Triage {
        Triage { guard: Guard::shipped() }
    }

    /// Judges one takedown.
    pub fn judge(&self, takedown: &Takedown, scheme: &Scheme) -> Verdict {
        match self.ground(takedown, scheme) {
            Err(ground) => Verdict::TakedownOnly(ground),
            Ok(name) => Verdict::Entry(name),
        }
    }

    fn ground(&self, takedown: &Takedown, scheme: &Scheme) -> Result<Name, Ground> {
        // What the name itself says comes first: for a page of a platform no attestation would help.
        let Host::Name(name) = &takedown.host else { return Err(Ground::Address) };
        self.never(name, takedown.scope)?;
        if takedown.class == Class::Legal {
            self.guard.shared(name).map_err(Ground::from)?;
        }
        if scheme.category(&takedown.category).is_none_or(|category| !category.dns) {
            return Err(Ground::Category(takedown.category.to_string()));
        }
        if takedown.class == Class::Legal && !takedown.dedicated_attestation {
            return Err(Ground::NotDedicated);
        }
        Ok(name.clone())
    }

    /// What no list may hold.
    fn never(&self, name: &Name, scope: Scope) -> Result<(), Ground> {
        self.guard.check(name, scope).map_err(|danger| match danger {
            Danger::PublicSuffix { private: true } => Ground::SharedHost { suffix: name.clone() },
            Danger::PublicSuffix { private: false } | Danger::AboveSuffixes => Ground::PublicSuffix,
            Danger::SpecialUse => Ground::SpecialUse,
            Danger::Protected(group) => {
                let name = self.guard.protected_above(name).map_or_else(|| name.clone(), |(name, _)| name.clone());
                Ground::Protected { name, group }
            }
            Danger::AboveProtected { name, group } => Ground::AboveProtected { name, group },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::shared::{TOP_SITES, lines};
    use crate::ledger::words::{CaseId, Word};

    fn takedown(class: Class, category: &str, host: &str) -> Takedown {
        let host = if host == "192.0.2.7" { Host::Address } else { Host::Name(Name::parse(host).unwrap()) };
        Takedown {
            case: CaseId::parse("isigurt/1").unwrap(),
            class,
            category: Word::parse(category).unwrap(),
            host,
            is_page: true,
            scope: Scope::Subtree,
            legal_basis: None,
            legal_reference: None,
            dedicated_attestation: true,
            assessed_at: 1_800_000_000,
            ntd_sent_at: None,
            host_country: None,
            removed_seen_at: None,
        }
    }

    fn judged(takedown: &Takedown) -> String {
        match Triage::shipped().judge(takedown, &Scheme::shipped()) {
            Verdict::Entry(name) => format!("entry {name}"),
            Verdict::TakedownOnly(ground) => match &ground {
                Ground::SharedHost { suffix: name } | Ground::TopSite(name) | Ground::Protected { name, .. } => {
                    format!("{} {name}", ground.word())
                }
                Ground::AboveProtected { name, .. } => format!("{} {name}", ground.word()),
                _ => ground.word().to_owned(),
            },
        }
    }

    #[test]
    fn what_may_become_a_legal_entry_and_why_the_rest_goes_back() {
        for (host, expected) in [
            ("dedicated.test", "entry dedicated.test"),
            ("www.dedicated.example", "entry www.dedicated.example"),
            ("name.com.al", "entry name.com.al"),
            ("192.0.2.7", "address"),
            // public suffixes
            ("com.al", "public-suffix"),
            ("co.uk", "public-suffix"),
            ("compute.amazonaws.com", "public-suffix"),
            ("kawasaki.jp", "public-suffix"),
            // shared hosts: the company's name, and its customers' names
            ("github.io", "shared-host github.io"),
            ("somebody.github.io", "shared-host github.io"),
            ("deep.below.somebody.github.io", "shared-host github.io"),
            ("somebody.blogspot.com", "shared-host blogspot.com"),
            // networks, platforms, and what lies below them
            ("facebook.com", "protected facebook.com"),
            ("photos.facebook.com", "protected facebook.com"),
            ("somebody.akamaized.net", "protected akamaized.net"),
            ("docs.google.com", "protected docs.google.com"),
            // help
            ("isigurt.al", "protected isigurt.al"),
            ("deep.alo116.al", "protected alo116.al"),
            ("x.onion", "special-use"),
            ("name.localhost", "special-use"),
        ] {
            assert_eq!(judged(&takedown(Class::Legal, "csam", host)), expected, "{host}");
        }
    }

    #[test]
    fn top_sites_and_what_lies_below_them_go_back() {
        let guard = Guard::shipped();
        // One that no other table holds, so that it is this one that says no.
        let known = |site: &&Name| guard.protected_above(site).is_none() && guard.check(site, Scope::Subtree).is_ok();
        let sites = lines(TOP_SITES).map(|line| Name::parse(line).unwrap()).collect::<Vec<_>>();
        let site = sites.iter().filter(known).min().expect("a site of its own").clone();
        assert_eq!(judged(&takedown(Class::Legal, "csam", &site.to_string())), format!("top-site {site}"));
        assert_eq!(judged(&takedown(Class::Legal, "csam", &format!("www.{site}"))), format!("top-site {site}"));
        // What a venue may choose to block is another matter.
        assert_eq!(judged(&takedown(Class::Venue, "gambling", &site.to_string())), format!("entry {site}"));
    }

    #[test]
    fn a_name_above_a_protected_one_goes_back_unless_it_is_meant_alone() {
        let mut above = takedown(Class::Legal, "csam", "inhope.org");
        above.host = Host::Name(Name::parse("mit.edu").unwrap());
        let subtree = judged(&above);
        assert!(subtree.starts_with("above-protected") || subtree.starts_with("top-site"), "{subtree}");
        assert_eq!(judged(&takedown(Class::Operator, "malware", "mit.edu")), "above-protected scratch.mit.edu");
    }

    #[test]
    fn without_attestation_or_with_a_category_beyond_dns_it_goes_back() {
        let mut page = takedown(Class::Legal, "csam", "dedicated.test");
        page.dedicated_attestation = false;
        assert_eq!(judged(&page), "not-dedicated");
        page.is_page = false;
        assert_eq!(judged(&page), "not-dedicated", "a name needs it as well");
        assert_eq!(judged(&takedown(Class::Legal, "bullying", "dedicated.test")), "category");
        let mut malware = takedown(Class::Operator, "malware", "mal.test");
        malware.dedicated_attestation = false;
        assert_eq!(judged(&malware), "entry mal.test", "an operator's list needs none");
    }

    #[test]
    fn no_attestation_helps_a_platform() {
        // Where both are so, the reason is the one that the hotline can do something about: asking the platform.
        let mut page = takedown(Class::Legal, "csam", "photos.facebook.com");
        page.dedicated_attestation = false;
        assert_eq!(judged(&page), "protected facebook.com");
    }

    #[test]
    fn each_ground_has_its_words_in_both_languages() {
        let name = Name::parse("name.test").unwrap();
        let group = "group".to_owned();
        for ground in [
            Ground::NotDedicated,
            Ground::Address,
            Ground::Category("bullying".to_owned()),
            Ground::PublicSuffix,
            Ground::SharedHost { suffix: name.clone() },
            Ground::SpecialUse,
            Ground::Protected { name: name.clone(), group: group.clone() },
            Ground::AboveProtected { name: name.clone(), group },
            Ground::TopSite(name),
        ] {
            assert!(Word::parse(ground.word()).is_ok(), "the ledger takes it");
            for language in Language::ALL {
                let said = ground.sentence(language);
                assert!(said.len() > 60 && said.ends_with('.') && !said.contains('{'), "{said}");
            }
        }
    }

    #[test]
    fn each_group_of_protected_names_has_its_words_in_both_languages() {
        let protected = lines(include_str!("../protected.txt"));
        let groups = protected.filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        for group in groups {
            assert_eq!(group_in(Language::English, group), group);
            assert_ne!(group_in(Language::Albanian, group), group);
        }
    }
}
