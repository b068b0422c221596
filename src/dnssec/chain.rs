//! From a trust anchor to the keys of a zone: DS and DNSKEY records, fetched from
//! our own upstreams and remembered.
//!
//! No lock is held while somebody waits: what is known is looked up in a cache,
//! what is on its way is a future that all who want it poll together.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::anchors::{Anchor, Anchors};
use super::denial::{Denial, Nsec, Types};
use super::hashed::{Hashed, Shown};
use super::names::{is_below, is_within, labels, parent, suffix};
use super::sets::{self, Set};
use super::signature::{Ds, Key, Zone, verify};
use super::{BOGUS_TTL, Fault, Work, fault, question};
use crate::clock::Clock;
use crate::upstream::{Failure, Upstreams};
use crate::wire::{HEADER, Section, WireName, rcode, rtype};

/// Octets for what is remembered of names: a name takes some two hundred, a zone
/// with its keys about a thousand, and somebody's zone may have large keys.
const MEMORY: u64 = 8 << 20;
/// Nothing is remembered for longer, in seconds: a zone that is signed anew or
/// no longer comes right within the hour.
const LONGEST: u32 = 3600;
/// How long it is remembered that nobody answered (RFC 9520).
const FAILURE_TTL: u32 = 5;
/// DS records of a zone that are compared with its keys at most.
const MOST_DS: usize = 12;
/// Keys of a zone that are looked at, at most.
const MOST_KEYS: usize = 32;

/// What is known of a name.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// A signed zone begins here, or, for an answer of [`Chain::containing`],
    /// holds the name.
    Secure(Arc<Zone>),
    /// Here, or above, it is proven that nothing is signed.
    Insecure(Option<Fault>),
    /// No zone begins here.
    NotCut,
    /// There is no such name, nor anything below it.
    Nothing,
    /// What was found contradicts what is trusted.
    Bogus(Fault),
    /// It could not be found out.
    Unknown(Failure),
}

/// Weighs what is remembered, in octets.
#[derive(Clone)]
struct Octets;

impl Weighter<Box<[u8]>, (u32, Known)> for Octets {
    fn weight(&self, name: &Box<[u8]>, (_, known): &(u32, Known)) -> u64 {
        let keys = match known {
            Known::Secure(zone) => zone.keys.iter().map(|key| key.data.len() + size_of::<Key>()).sum(),
            _ => 0,
        };
        (name.len() + keys + 200) as u64
    }
}

type Fetched = Arc<Result<Vec<u8>, Failure>>;
type Flight = Shared<BoxFuture<'static, Fetched>>;
type Place = (Box<[u8]>, u16);

/// The chain of trust, as far as it is known.
pub(super) struct Chain {
    pub(super) anchors: Anchors,
    /// Names below which nothing is validated (RFC 7646).
    negative: Vec<Box<[u8]>>,
    upstreams: Upstreams,
    known: Cache<Box<[u8]>, (u32, Known), Octets>,
    flights: Mutex<HashMap<Place, Flight>>,
}

impl Chain {
    pub(super) fn new(anchors: Anchors, negative: Vec<Box<[u8]>>, upstreams: Upstreams) -> Self {
        let (known, flights) = (Cache::with_weighter((MEMORY / 400) as usize, MEMORY, Octets), Mutex::default());
        Chain { anchors, negative, upstreams, known, flights }
    }

    /// Whether the operator wants nothing validated here.
    pub(super) fn is_exempt(&self, name: &[u8]) -> bool {
        self.negative.iter().any(|negative| is_within(name, negative))
    }

    /// The zone that holds a name: a secure one, or why there is none.
    pub(super) async fn containing(&self, name: &[u8], work: &mut Work) -> Known {
        let Some(anchor) = self.anchors.above(name) else { return Known::Insecure(None) };
        let mut current = self.zone(&anchor.apex, work).await;
        for count in labels(&anchor.apex) + 1..=labels(name) {
            if !matches!(current, Known::Secure(_)) {
                break;
            }
            match self.zone(suffix(name, count), work).await {
                Known::NotCut => {}
                Known::Nothing => break,
                other => current = other,
            }
        }
        current
    }

    /// What begins at this very name. Boxed, since it asks for zones further up.
    pub(super) fn zone<'a>(
        &'a self,
        name: &'a [u8],
        work: &'a mut Work,
    ) -> Pin<Box<dyn Future<Output = Known> + Send + 'a>> {
        Box::pin(async move {
            if self.is_exempt(name) {
                return Known::Insecure(None);
            }
            let Some(anchor) = self.anchors.above(name) else { return Known::Insecure(None) };
            if let Some((until, known)) = self.known.get(name)
                && until > Clock.now().seconds()
            {
                return known;
            }
            let found = match *anchor.apex == *name {
                true => self.trusted(anchor, work).await,
                false => self.delegated(name, work).await,
            };
            let (known, ttl) = match found {
                Ok(found) => found,
                Err(Stop::Failed(failure)) => (Known::Unknown(failure), FAILURE_TTL),
                // How much work one question may cost is no property of the name.
                Err(Stop::Fault(fault::TOO_MUCH)) => return Known::Bogus(fault::TOO_MUCH),
                Err(Stop::Fault(fault)) => (Known::Bogus(fault), BOGUS_TTL),
            };
            let until = Clock.now().seconds() + ttl.clamp(1, LONGEST);
            self.known.insert(name.into(), (until, known.clone()));
            known
        })
    }

    /// Asks for the keys of an anchor, whatever is remembered of them.
    pub(super) async fn look_again(&self, anchor: &Anchor, work: &mut Work) -> Known {
        self.known.remove(&anchor.apex);
        self.zone(&anchor.apex, work).await
    }

    /// A zone whose keys the operator trusts.
    async fn trusted(&self, anchor: &Anchor, work: &mut Work) -> Result<(Known, u32), Stop> {
        self.keys(&anchor.apex, work, u32::MAX, |key| anchor.is_of(key)).await
    }

    /// A name below an anchor: what the zone above says about it.
    async fn delegated(&self, name: &[u8], work: &mut Work) -> Result<(Known, u32), Stop> {
        let fetched = self.fetch(name, rtype::DS, work).await?;
        let sets = read(&fetched)?;
        let is_ds = |set: &&Set| set.rtype == rtype::DS && *set.owner == *name && !set.data.is_empty();
        let in_answer = || sets.iter().filter(|set| set.section == Section::Answer);
        if let Some(set) = in_answer().find(is_ds) {
            let Some(zone) = self.signer(set, name, work).await? else { return self.unsigned(name, work).await };
            let proven = verify(set, &zone, work, super::unix())?;
            if proven.wildcard.is_some() {
                // No delegation comes from a wildcard.
                return Err(fault::BOGUS.into());
            }
            return self.signed(name, set, proven.ttl, work).await;
        }
        // An alias: no zone begins at it, and none below a DNAME.
        let leads = |set: &&Set| {
            set.rtype == rtype::CNAME && *set.owner == *name || set.rtype == rtype::DNAME && is_below(name, &set.owner)
        };
        // A CNAME that a DNAME made is not signed; the DNAME is.
        let alias = in_answer().filter(leads).max_by_key(|set| set.signatures.len());
        if let Some(set) = alias {
            let Some(zone) = self.signer(set, name, work).await? else { return self.unsigned(name, work).await };
            let proven = verify(set, &zone, work, super::unix())?;
            // That the wildcard stands for this name is not shown here, so it is not believed for long.
            let ttl = if proven.wildcard.is_some() { proven.ttl.min(BOGUS_TTL) } else { proven.ttl };
            return Ok((Known::NotCut, ttl));
        }
        self.without_ds(name, &sets, work).await
    }

    /// A DS set that is proven: either its zone is signed with a key that it
    /// names, or it does not use anything known here.
    async fn signed(&self, name: &[u8], set: &Set, ttl: u32, work: &mut Work) -> Result<(Known, u32), Stop> {
        let mut all: Vec<_> = set.data.iter().filter_map(|data| Ds::read(data)).filter(Ds::is_supported).collect();
        if all.is_empty() {
            return Ok((Known::Insecure(None), ttl));
        }
        if all.iter().any(|ds| !ds.is_weak()) {
            all.retain(|ds| !ds.is_weak());
        }
        all.truncate(MOST_DS);
        self.keys(name, work, ttl, |key| all.iter().any(|ds| ds.is_of(name, key))).await
    }

    /// The keys of a zone, signed by one that is trusted.
    async fn keys(
        &self,
        apex: &[u8],
        work: &mut Work,
        ttl: u32,
        is_trusted: impl Fn(&Key) -> bool,
    ) -> Result<(Known, u32), Stop> {
        let fetched = self.fetch(apex, rtype::DNSKEY, work).await?;
        let sets = read(&fetched)?;
        let is_keys = |set: &&Set| set.rtype == rtype::DNSKEY && *set.owner == *apex && !set.data.is_empty();
        let set = sets.iter().find(is_keys).ok_or(fault::DNSKEY_MISSING)?;
        let keys: Vec<_> = set.data.iter().take(MOST_KEYS).filter_map(|data| Key::read(data)).collect();
        let trusted: Vec<_> = keys.iter().filter(|key| is_trusted(key) && !key.is_revoked()).cloned().collect();
        if trusted.is_empty() {
            return Err(fault::DNSKEY_MISSING.into());
        }
        let entry = Zone { apex: apex.into(), keys: trusted };
        let proven = verify(set, &entry, work, super::unix())?;
        Ok((Known::Secure(Arc::new(Zone { apex: apex.into(), keys })), ttl.min(proven.ttl)))
    }

    /// No DS record: the zone above has to prove that there is none.
    async fn without_ds(&self, name: &[u8], sets: &[Set], work: &mut Work) -> Result<(Known, u32), Stop> {
        let is_proof =
            |set: &&Set| set.section == Section::Authority && matches!(set.rtype, rtype::NSEC | rtype::NSEC3);
        let mut zone = None;
        for set in sets.iter().filter(is_proof).take(2) {
            zone = self.signer(set, name, work).await?;
            if zone.is_some() {
                break;
            }
        }
        let Some(zone) = zone else { return self.unsigned(name, work).await };
        let (proofs, ttl) = proven_by(&zone, sets.iter().filter(is_proof), work)?;
        let nsec = proofs.iter().filter(|set| set.rtype == rtype::NSEC).filter_map(|set| Nsec::read(set, &zone.apex));
        let nsec = Denial { apex: &zone.apex, records: nsec.collect() };
        let from_types = |types: &Types| match types {
            types if types.has(rtype::DS) || types.has(rtype::SOA) => Err(Stop::Fault(fault::NSEC_MISSING)),
            types if types.has(rtype::NS) => Ok((Known::Insecure(None), ttl)),
            _ => Ok((Known::NotCut, ttl)),
        };
        if let Some(types) = nsec.types_at(name) {
            return from_types(types);
        }
        if nsec.is_empty_name(name) {
            return Ok((Known::NotCut, ttl));
        }
        if nsec.is_gap(name) {
            return Ok((Known::Nothing, ttl));
        }
        let hashed = Hashed::read(proofs.iter().copied().filter(|set| set.rtype == rtype::NSEC3), &zone.apex);
        if hashed.is_empty() {
            return Err(fault::NSEC_MISSING.into());
        }
        if hashed.is_too_much() {
            return Ok((Known::Insecure(Some(fault::ITERATIONS)), ttl));
        }
        if let Some(types) = hashed.types_at(name, work)? {
            return from_types(types);
        }
        match hashed.is_gap(name, work)? {
            Shown::Insecure => Ok((Known::Insecure(None), ttl)),
            Shown::Secure => Ok((Known::Nothing, ttl)),
            Shown::Nothing => Err(fault::NSEC_MISSING.into()),
        }
    }

    /// What is not signed may only come from an unsigned zone.
    async fn unsigned(&self, name: &[u8], work: &mut Work) -> Result<(Known, u32), Stop> {
        let above = parent(name).expect("the root is an anchor or below none");
        match self.containing(above, work).await {
            Known::Insecure(why) => Ok((Known::Insecure(why), LONGEST)),
            Known::Unknown(failure) => Err(Stop::Failed(failure)),
            Known::Bogus(fault) => Err(fault.into()),
            _ => Err(fault::RRSIGS_MISSING.into()),
        }
    }

    /// The secure zone above `name` that claims to have signed the set. `None`
    /// if nobody does, or if who does signs nothing.
    async fn signer(&self, set: &Set, name: &[u8], work: &mut Work) -> Result<Option<Arc<Zone>>, Stop> {
        let Some(signer) = claimed(set, |signer| is_below(name, signer) && self.is_anchored(name, signer)) else {
            return Ok(None);
        };
        match self.zone(signer, work).await {
            Known::Secure(zone) => Ok(Some(zone)),
            Known::Insecure(_) | Known::NotCut | Known::Nothing => Ok(None),
            Known::Bogus(fault) => Err(fault.into()),
            Known::Unknown(failure) => Err(Stop::Failed(failure)),
        }
    }

    /// Whether a signer is not above the anchor that counts for the name.
    pub(super) fn is_anchored(&self, name: &[u8], signer: &[u8]) -> bool {
        self.anchors.above(name).is_some_and(|anchor| is_within(signer, &anchor.apex))
    }

    /// Asks an upstream, together with everybody who asks the same.
    async fn fetch(&self, name: &[u8], rtype: u16, work: &mut Work) -> Result<Fetched, Stop> {
        work.fetch()?;
        let place: Place = (name.into(), rtype);
        let query = question(name, rtype);
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            let start = || {
                let upstreams = self.upstreams.clone();
                async move { Arc::new(upstreams.message(&query).await) }.boxed().shared()
            };
            flights.entry(place.clone()).or_insert_with(start).clone()
        };
        // Taken out even by one who gives up: those who still poll it go on.
        let _landing = Landing { chain: self, place, flight: flight.clone() };
        let fetched = flight.await;
        match &*fetched {
            Ok(_) => Ok(fetched),
            Err(failure) => Err(Stop::Failed(*failure)),
        }
    }
}

struct Landing<'a> {
    chain: &'a Chain,
    place: Place,
    flight: Flight,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = self.chain.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.get(&self.place).is_some_and(|flight| flight.ptr_eq(&self.flight)) {
            flights.remove(&self.place);
        }
    }
}

/// Why a chain ends.
pub(super) enum Stop {
    Fault(Fault),
    Failed(Failure),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

/// The sets of a fetched message.
fn read(fetched: &Fetched) -> Result<Vec<Set>, Stop> {
    let Ok(message) = &**fetched else { return Err(Stop::Failed(Failure::Network)) };
    let code = message[3] & 0x0f;
    if !matches!(code, rcode::NOERROR | rcode::NXDOMAIN) || message.len() <= HEADER {
        return Err(Stop::Failed(Failure::Refused));
    }
    let mut name = WireName::ROOT;
    let end = name.read_plain(message, HEADER).map_err(|_| Stop::Failed(Failure::Malformed))? + 4;
    sets::read(message, end).map_err(|_| Stop::Failed(Failure::Malformed))
}

/// The longest name of those that claim to have signed a set and may have.
pub(super) fn claimed(set: &Set, may: impl Fn(&[u8]) -> bool) -> Option<&[u8]> {
    let signers = set.signatures.iter().map(|signature| &*signature.signer);
    signers.filter(|signer| may(signer)).max_by_key(|signer| signer.len())
}

/// Those of the sets that the zone signed, and seconds for which all of them
/// stand. A set that came from a wildcard proves nothing about other names.
///
/// # Errors
/// None is good: why.
pub(super) fn proven_by<'s>(
    zone: &Zone,
    proofs: impl Iterator<Item = &'s Set>,
    work: &mut Work,
) -> Result<(Vec<&'s Set>, u32), Fault> {
    let (mut good, mut ttl, mut reason) = (Vec::new(), u32::MAX, None);
    for set in proofs {
        match verify(set, zone, work, super::unix()) {
            Ok(proven) if proven.wildcard.is_none() => {
                good.push(set);
                ttl = ttl.min(proven.ttl);
            }
            Ok(_) => reason = Some(fault::BOGUS),
            Err(fault::TOO_MUCH) => return Err(fault::TOO_MUCH),
            Err(fault) => reason = Some(fault),
        }
    }
    match (good.is_empty(), reason) {
        (true, reason) => Err(reason.unwrap_or(fault::NSEC_MISSING)),
        (false, _) => Ok((good, ttl)),
    }
}
