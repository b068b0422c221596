//! One answer of an upstream, from the question along its aliases to the end.
//!
//! Two rules hold everything together: a signature counts only if the zone that
//! made it holds the name it stands over, and what has no signature counts only
//! where the zone is proven to be unsigned.

use super::chain::{Chain, Known, claimed, proven_by};
use super::denial::{Denial, Nsec};
use super::hashed::{Hashed, Shown};
use super::names::{is_below, is_within, labels, parent};
use super::sets::Set;
use super::signature::{Proven, Zone, verify};
use super::{Fault, Work, fault};
use crate::upstream::Failure;
use crate::wire::{MAX_NAME, Section, rcode, rtype};

/// Aliases that are followed, as in Unbound.
const MOST_ALIASES: usize = 11;
/// Records of non-existence that are looked at; a proof needs three.
const MOST_PROOFS: usize = 10;

/// What an answer is worth.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// Every step is signed. For each set that counts, its index and the seconds
    /// for which it may be kept; all other sets are somebody's addition.
    Secure(Vec<(usize, u32)>),
    /// A step lies in a zone that is proven to be unsigned.
    Insecure(Option<Fault>),
    /// Something contradicts what is trusted.
    Bogus(Fault),
    /// It could not be found out.
    Unknown(Failure),
}

/// Where a set comes from.
enum Origin {
    Secure(std::sync::Arc<Zone>, Proven),
    /// The verdict on the whole answer, since it cannot become better.
    Other(Verdict),
}

/// A step that ends the judgement, or a fault on the way.
type Step<T> = Result<T, Verdict>;

impl From<Fault> for Verdict {
    fn from(fault: Fault) -> Self {
        Verdict::Bogus(fault)
    }
}

/// An answer being judged.
pub(super) struct Case<'a> {
    pub(super) chain: &'a Chain,
    pub(super) sets: &'a [Set],
    pub(super) name: &'a [u8],
    pub(super) qtype: u16,
    pub(super) code: u8,
    pub(super) work: &'a mut Work,
}

impl<'a> Case<'a> {
    /// The verdict on the whole answer.
    pub(super) async fn judge(mut self) -> Verdict {
        match self.follow().await {
            Ok(good) => Verdict::Secure(good),
            Err(verdict) => verdict,
        }
    }

    async fn follow(&mut self) -> Step<Vec<(usize, u32)>> {
        let mut name = self.name.to_vec();
        let mut good = Vec::new();
        // Further steps may still be bogus when one is unsigned.
        let mut insecure = None;
        for _ in 0..=MOST_ALIASES {
            if self.chain.is_exempt(&name) {
                return Err(Verdict::Insecure(None));
            }
            // Of an alias that a DNAME made, the DNAME is what is signed.
            let made = match self.qtype {
                rtype::CNAME => self.alias(&name)?.filter(|(index, _)| self.sets[*index].rtype == rtype::DNAME),
                _ => None,
            };
            let answers = made.map_or_else(|| self.answers(&name), |(index, _)| vec![index]);
            if !answers.is_empty() {
                for index in answers {
                    self.step(index, &name, &mut good, &mut insecure).await?;
                    self.keep_made_alias(index, &name, &mut good);
                }
                // The response code is not signed: a name that has something exists.
                return match insecure {
                    Some(why) => Err(Verdict::Insecure(why)),
                    None if self.code == rcode::NXDOMAIN => Err(fault::BOGUS.into()),
                    None => Ok(good),
                };
            }
            let Some((index, target)) = self.alias(&name)? else { break };
            self.step(index, &name, &mut good, &mut insecure).await?;
            self.keep_made_alias(index, &name, &mut good);
            name = target;
        }
        if self.alias(&name)?.is_some() {
            return Err(Verdict::Bogus(fault::ALIASES));
        }
        self.absent(&name, &mut good, &mut insecure).await?;
        insecure.map_or(Ok(good), |why| Err(Verdict::Insecure(why)))
    }

    /// Sets that answer the question at this name.
    fn answers(&self, name: &[u8]) -> Vec<usize> {
        let sets =
            self.sets.iter().enumerate().filter(|(_, set)| set.section == Section::Answer && *set.owner == *name);
        let of_type = |set: &Set| match self.qtype {
            rtype::ANY => true,
            // Signatures over something that is not there: they sign nothing.
            rtype::RRSIG => !set.signatures.is_empty(),
            qtype => set.rtype == qtype && !set.data.is_empty(),
        };
        sets.filter(|(_, set)| of_type(set)).map(|(index, _)| index).collect()
    }

    /// The alias at, or the DNAME above, a name, and where it leads.
    fn alias(&self, name: &[u8]) -> Step<Option<(usize, Vec<u8>)>> {
        let sets = || self.sets.iter().enumerate().filter(|(_, set)| set.section == Section::Answer);
        // Above the anchor that counts for the name nobody speaks for it.
        let counts = |owner: &[u8]| self.chain.anchors.above(name).is_none_or(|anchor| is_within(owner, &anchor.apex));
        let dname =
            sets().find(|(_, set)| set.rtype == rtype::DNAME && is_below(name, &set.owner) && counts(&set.owner));
        if let Some((index, set)) = dname {
            let [target] = &set.data[..] else { return Err(fault::BOGUS.into()) };
            let front = &name[..name.len() - set.owner.len()];
            if front.len() + target.len() > MAX_NAME {
                return Err(fault::BOGUS.into());
            }
            return Ok(Some((index, [front, target].concat())));
        }
        let cname = sets().find(|(_, set)| set.rtype == rtype::CNAME && *set.owner == *name && !set.data.is_empty());
        match cname {
            Some((index, set)) if set.data.len() == 1 => Ok(Some((index, set.data[0].clone()))),
            Some(_) => Err(fault::BOGUS.into()),
            None => Ok(None),
        }
    }

    /// The CNAME that a server makes of a DNAME is not signed (RFC 6672 section
    /// 5.3.1). It stays when it says what the DNAME says.
    fn keep_made_alias(&self, dname: usize, name: &[u8], good: &mut Vec<(usize, u32)>) {
        let set = &self.sets[dname];
        if set.rtype != rtype::DNAME {
            return;
        }
        let Some(ttl) = good.iter().find(|(known, _)| *known == dname).map(|(_, ttl)| *ttl) else { return };
        let expected = [&name[..name.len() - set.owner.len()], &set.data[0]].concat();
        let made = |set: &Set| {
            set.section == Section::Answer
                && set.rtype == rtype::CNAME
                && *set.owner == *name
                && set.data.iter().all(|target| *target == expected)
        };
        let found = self.sets.iter().enumerate().filter(|(_, set)| made(set));
        good.extend(found.map(|(index, _)| (index, ttl)));
    }

    /// One set of the answer section on the way.
    async fn step(
        &mut self,
        index: usize,
        name: &[u8],
        good: &mut Vec<(usize, u32)>,
        insecure: &mut Option<Option<Fault>>,
    ) -> Step<()> {
        let set = &self.sets[index];
        if set.data.is_empty() {
            insecure.get_or_insert(None);
            return Ok(());
        }
        match self.origin(set).await {
            Origin::Secure(zone, proven) => {
                let before = good.len();
                good.push((index, proven.ttl));
                if let Some(encloser) = proven.wildcard {
                    if set.rtype == rtype::DNAME {
                        // What a wildcard DNAME means is not defined (RFC 6672 section 3.3).
                        return Err(fault::BOGUS.into());
                    }
                    self.expanded(&zone, name, encloser, good, insecure).await?;
                    for_as_long_as_all(&mut good[before..]);
                }
                Ok(())
            }
            Origin::Other(Verdict::Insecure(why)) => {
                insecure.get_or_insert(why);
                Ok(())
            }
            Origin::Other(verdict) => Err(verdict),
        }
    }

    /// Who signed a set, or that nobody had to.
    async fn origin(&mut self, set: &Set) -> Origin {
        // The zone above a cut speaks about DS, the one below about all else.
        let holds = |signer: &[u8]| match set.rtype {
            rtype::DS => is_below(&set.owner, signer),
            _ => is_within(&set.owner, signer),
        };
        let may = |signer: &[u8]| holds(signer) && self.chain.is_anchored(&set.owner, signer);
        let Some(signer) = claimed(set, may) else { return Origin::Other(self.unsigned(&set.owner, set.rtype).await) };
        let known = self.chain.zone(signer, self.work).await;
        match known {
            Known::Secure(zone) => match verify(set, &zone, self.work, super::unix()) {
                Ok(proven) => Origin::Secure(zone, proven),
                Err(fault) => Origin::Other(fault.into()),
            },
            Known::Insecure(why) => Origin::Other(Verdict::Insecure(why)),
            Known::NotCut | Known::Nothing => Origin::Other(self.unsigned(&set.owner, set.rtype).await),
            Known::Bogus(fault) => Origin::Other(fault.into()),
            Known::Unknown(failure) => Origin::Other(Verdict::Unknown(failure)),
        }
    }

    /// What it means that nothing at a name is signed.
    async fn unsigned(&mut self, name: &[u8], rtype: u16) -> Verdict {
        let held = match rtype {
            rtype::DS => parent(name).unwrap_or(name),
            _ => name,
        };
        match self.chain.containing(held, self.work).await {
            Known::Insecure(why) => Verdict::Insecure(why),
            Known::Unknown(failure) => Verdict::Unknown(failure),
            Known::Bogus(fault) => fault.into(),
            Known::Secure(_) | Known::NotCut | Known::Nothing => fault::RRSIGS_MISSING.into(),
        }
    }

    /// A set came from a wildcard: the name itself must not exist.
    async fn expanded(
        &mut self,
        zone: &Zone,
        name: &[u8],
        encloser: usize,
        good: &mut Vec<(usize, u32)>,
        insecure: &mut Option<Option<Fault>>,
    ) -> Step<()> {
        let proofs = self.proofs(zone)?;
        good.extend(proofs.iter().map(|(index, _, ttl)| (*index, *ttl)));
        let (nsec, hashed) = denials(&proofs, zone);
        if nsec.lets_wildcard(name, encloser) {
            return Ok(());
        }
        if hashed.is_too_much() {
            insecure.get_or_insert(Some(fault::ITERATIONS));
            return Ok(());
        }
        let shown = match hashed.is_empty() {
            true => Shown::Nothing,
            false => hashed.lets_wildcard(name, encloser, self.work)?,
        };
        settle(shown, insecure)
    }

    /// The answer says that there is no such name, or nothing of the type there.
    ///
    /// Behind an alias, the proofs in the answer may be those of the alias alone,
    /// and the name may lie in an unsigned zone below.
    async fn absent(
        &mut self,
        name: &[u8],
        good: &mut Vec<(usize, u32)>,
        insecure: &mut Option<Option<Fault>>,
    ) -> Step<()> {
        let before = good.len();
        match self.shown_absent(name, good, insecure).await {
            Err(Verdict::Bogus(fault)) => {
                good.truncate(before);
                match self.unsigned(name, self.qtype).await {
                    Verdict::Insecure(why) => {
                        insecure.get_or_insert(why);
                        Ok(())
                    }
                    _ => Err(fault.into()),
                }
            }
            shown => {
                for_as_long_as_all(&mut good[before..]);
                shown
            }
        }
    }

    /// That the zone of the proofs in the answer says so.
    async fn shown_absent(
        &mut self,
        name: &[u8],
        good: &mut Vec<(usize, u32)>,
        insecure: &mut Option<Option<Fault>>,
    ) -> Step<()> {
        let holds = |signer: &[u8]| match self.qtype {
            rtype::DS if labels(name) > 0 => is_below(name, signer),
            _ => is_within(name, signer),
        };
        let may = |signer: &[u8]| holds(signer) && self.chain.is_anchored(name, signer);
        let in_authority = || self.sets.iter().filter(|set| set.section == Section::Authority);
        let proofs = || in_authority().filter(|set| matches!(set.rtype, rtype::NSEC | rtype::NSEC3));
        let signer = proofs().filter_map(|set| claimed(set, may)).max_by_key(|signer| signer.len());
        let Some(signer) = signer else {
            let verdict = self.unsigned(name, self.qtype).await;
            let soa = in_authority().find(|set| set.rtype == rtype::SOA);
            return match verdict {
                Verdict::Insecure(why) => {
                    insecure.get_or_insert(why);
                    Ok(())
                }
                // Signed, but for what would show that there is nothing.
                Verdict::Bogus(fault::RRSIGS_MISSING) if soa.is_none_or(|soa| !soa.signatures.is_empty()) => {
                    Err(fault::NSEC_MISSING.into())
                }
                verdict => Err(verdict),
            };
        };
        let zone = match self.chain.zone(signer, self.work).await {
            Known::Secure(zone) => zone,
            Known::Insecure(why) => {
                insecure.get_or_insert(why);
                return Ok(());
            }
            Known::Bogus(fault) => return Err(fault.into()),
            Known::Unknown(failure) => return Err(Verdict::Unknown(failure)),
            Known::NotCut | Known::Nothing => return Err(fault::RRSIGS_MISSING.into()),
        };
        // Clients keep the answer for as long as the SOA says.
        for (index, set) in self.sets.iter().enumerate() {
            if set.section == Section::Authority && set.rtype == rtype::SOA && is_within(name, &set.owner) {
                good.push((index, verify(set, &zone, self.work, super::unix())?.ttl));
            }
        }
        let proofs = self.proofs(&zone)?;
        good.extend(proofs.iter().map(|(index, _, ttl)| (*index, *ttl)));
        let (nsec, hashed) = denials(&proofs, &zone);
        let no_name = self.code == rcode::NXDOMAIN;
        let by_nsec = if no_name { nsec.lacks_name(name) } else { nsec.lacks_type(name, self.qtype) };
        if by_nsec {
            return Ok(());
        }
        if hashed.is_empty() {
            return Err(fault::NSEC_MISSING.into());
        }
        if hashed.is_too_much() {
            insecure.get_or_insert(Some(fault::ITERATIONS));
            return Ok(());
        }
        let shown = match no_name {
            true => hashed.lacks_name(name, self.work)?,
            false => hashed.lacks_type(name, self.qtype, self.work)?,
        };
        settle(shown, insecure)
    }

    /// The records of non-existence that the zone signed, with their indexes
    /// and the seconds for which they may be kept.
    fn proofs(&mut self, zone: &Zone) -> Result<Vec<(usize, &'a Set, u32)>, Fault> {
        let is_proof = |set: &&Set| {
            set.section == Section::Authority
                && matches!(set.rtype, rtype::NSEC | rtype::NSEC3)
                && set.signatures.iter().any(|signature| signature.signer == zone.apex)
        };
        let sets = self.sets;
        let (good, ttl) = proven_by(zone, sets.iter().filter(is_proof).take(MOST_PROOFS), self.work)?;
        let index = |set: &Set| sets.iter().position(|other| std::ptr::eq(other, set)).unwrap_or(0);
        Ok(good.into_iter().map(|set| (index(set), set, ttl)).collect())
    }
}

/// The proofs of both kinds.
fn denials<'z>(proofs: &[(usize, &Set, u32)], zone: &'z Zone) -> (Denial<'z>, Hashed<'z>) {
    let of = |rtype: u16| proofs.iter().map(|(_, set, _)| *set).filter(move |set| set.rtype == rtype);
    let records = of(rtype::NSEC).filter_map(|set| Nsec::read(set, &zone.apex)).collect();
    (Denial { apex: &zone.apex, records }, Hashed::read(of(rtype::NSEC3), &zone.apex))
}

/// What was proven together stands no longer than the first part of it.
fn for_as_long_as_all(good: &mut [(usize, u32)]) {
    let shortest = good.iter().map(|(_, ttl)| *ttl).min().unwrap_or(0);
    good.iter_mut().for_each(|(_, ttl)| *ttl = shortest);
}

fn settle(shown: Shown, insecure: &mut Option<Option<Fault>>) -> Step<()> {
    match shown {
        Shown::Secure => Ok(()),
        Shown::Insecure => {
            insecure.get_or_insert(None);
            Ok(())
        }
        Shown::Nothing => Err(fault::NSEC_MISSING.into()),
    }
}
