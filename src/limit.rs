//! Rate limits per client address and per client network.
//!
//! A fixed table of token buckets in atomics: no lock, no allocation, and no
//! growth under a flood from spoofed addresses. IPv4 counts a /32 and its /24,
//! IPv6 a /64 and its /56, because one device owns a /64.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foldhash::quality::RandomState;
use ipnet::IpNet;
use std::hash::BuildHasher;

use crate::config::RateLimit;

/// Slots of the table; 1 MiB, enough for some 100,000 clients at a time.
const SLOTS: usize = 1 << 17;
/// Slots in which one client may be found.
const WAYS: usize = 4;
/// Milliseconds of one step of a bucket's clock.
const TICK: u64 = 8;

/// Rate limits, shared by all workers.
pub struct Limiter {
    slots: Box<[AtomicU64]>,
    hash: RandomState,
    slip: AtomicU64,
}

/// What a client over its limit gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limited {
    /// Within its limits.
    No,
    /// An empty answer with TC: a real client comes back over TCP, a spoofed
    /// one cannot (the "slip" of response rate limiting).
    Slip,
    /// Nothing over UDP, REFUSED over TCP.
    Drop,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Limiter {
    /// An empty table.
    pub fn new() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Limiter { slots, hash: RandomState::default(), slip: AtomicU64::new(0) }
    }

    /// Counts one question; `now` in milliseconds of the resolver's clock.
    #[inline]
    pub fn take(&self, rules: &RateLimit, client: IpAddr, now: u64) -> Limited {
        if is_exempt(&rules.exempt, client) {
            return Limited::No;
        }
        let (address, network) = match client {
            IpAddr::V4(ip) => (u64::from(u32::from(ip)) << 8, u64::from(u32::from(ip) >> 8) << 32 | 1),
            IpAddr::V6(ip) => {
                let upper = (u128::from(ip) >> 64) as u64;
                (upper ^ 0x9e37_79b9_7f4a_7c15, (upper >> 8) ^ 0xc2b2_ae3d_27d4_eb4f)
            }
        };
        // Both are counted, so that an address over its limit still weighs on
        // its network.
        let address_ok = self.charge(address, rules.per_address, rules.burst, now);
        let network_ok = self.charge(network, rules.per_network, rules.burst, now);
        if address_ok && network_ok {
            return Limited::No;
        }
        let slip = u64::from(rules.slip);
        if slip > 0 && self.slip.fetch_add(1, Relaxed).is_multiple_of(slip) { Limited::Slip } else { Limited::Drop }
    }

    /// One bucket: 16 bits of tag, 24 bits of time in ticks, 24 bits of debt.
    ///
    /// Every tick pays 4096 of debt back, a question costs what the rate allows
    /// in one tick, and a bucket whose debt is over the burst refuses. Time wraps after 37 hours; an idle bucket is empty long
    /// before, and a wrap can only forgive.
    fn charge(&self, who: u64, rate: u32, burst: u32, now: u64) -> bool {
        const UNIT: u64 = 4096;
        const MASK: u64 = 0xff_ffff;
        let hash = self.hash.hash_one(who);
        let tag = hash >> 48 | 1;
        let base = (hash as usize % SLOTS) & !(WAYS - 1);
        let time = (now / TICK) & MASK;
        let cost = (UNIT * (1000 / TICK)).div_ceil(u64::from(rate.max(1)));
        let most = (UNIT * (1000 / TICK) * u64::from(burst.max(1))).min(MASK);
        let ways = &self.slots[base..base + WAYS];
        // The client's own slot, or else the one idle for the longest time.
        let idle = |word: u64| time.wrapping_sub(word >> 24 & MASK) & MASK;
        let mut slot = &ways[0];
        let mut longest = 0;
        for way in ways {
            let word = way.load(Relaxed);
            if word >> 48 == tag {
                slot = way;
                break;
            }
            let age = if word == 0 { MASK + 1 } else { idle(word) };
            if age > longest {
                (slot, longest) = (way, age);
            }
        }
        loop {
            let word = slot.load(Relaxed);
            let debt = if word >> 48 == tag { (word & MASK).saturating_sub(idle(word) * UNIT) } else { 0 };
            let refused = debt + cost > most;
            // A refused question adds no debt: a client that slows down to its
            // rate is served again at once.
            let debt = if refused { debt } else { debt + cost };
            let next = tag << 48 | time << 24 | debt;
            if slot.compare_exchange_weak(word, next, Relaxed, Relaxed).is_ok() {
                return !refused;
            }
        }
    }
}

#[inline]
fn is_exempt(exempt: &[IpNet], client: IpAddr) -> bool {
    exempt.iter().any(|network| network.contains(&client))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(per_address: u32, per_network: u32) -> RateLimit {
        let exempt = vec!["192.0.2.0/24".parse().unwrap()];
        RateLimit { per_address, per_network, burst: 2, slip: 2, exempt }
    }

    fn passed(limiter: &Limiter, rules: &RateLimit, client: &str, questions: u32, now: u64) -> u32 {
        let client = client.parse().unwrap();
        (0..questions).filter(|_| limiter.take(rules, client, now) == Limited::No).count() as u32
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let (limiter, rules) = (Limiter::new(), rules(100, 10_000));
        assert_eq!(passed(&limiter, &rules, "10.0.0.1", 1000, 1_000_000), 200);
        assert_eq!(passed(&limiter, &rules, "10.0.0.2", 10, 1_000_000), 10);
        let second = passed(&limiter, &rules, "10.0.0.1", 1000, 1_001_000);
        assert!((99..=101).contains(&second), "{second}");
    }

    #[test]
    fn a_network_is_limited_as_a_whole() {
        let (limiter, rules) = (Limiter::new(), rules(1000, 50));
        let all: u32 = (0..=255).map(|n| passed(&limiter, &rules, &format!("10.1.2.{n}"), 10, 5_000)).sum();
        assert!((95..=105).contains(&all), "{all}");
        assert_eq!(passed(&limiter, &rules, "10.1.3.1", 10, 5_000), 10);
        let all: u32 = (0..100).map(|n| passed(&limiter, &rules, &format!("2001:db8:0:{n:x}::1"), 10, 5_000)).sum();
        assert!((95..=105).contains(&all), "{all}");
    }

    #[test]
    fn all_addresses_of_one_household_share_a_burst() {
        let (limiter, rules) = (Limiter::new(), rules(10, 10_000));
        let all: u32 = (1..=1000).map(|n| passed(&limiter, &rules, &format!("2001:db8:7:1::{n:x}"), 1, 5_000)).sum();
        assert_eq!(all, 20);
        assert_eq!(passed(&limiter, &rules, "2001:db8:7:2::1", 1, 5_000), 1);
    }

    #[test]
    fn every_second_limited_question_slips() {
        let (limiter, rules) = (Limiter::new(), rules(10, 1000));
        let client = "10.0.0.1".parse().unwrap();
        let all: Vec<_> = (0..120).map(|_| limiter.take(&rules, client, 10_000)).collect();
        assert_eq!(all.iter().filter(|limited| **limited == Limited::Slip).count(), 50);
        assert_eq!(all.iter().filter(|limited| **limited == Limited::Drop).count(), 50);
    }

    #[test]
    fn exempt_networks_and_a_clock_that_stands_still_or_wraps() {
        let (limiter, rules) = (Limiter::new(), rules(10, 10));
        assert_eq!(passed(&limiter, &rules, "192.0.2.7", 5000, 0), 5000);
        assert_eq!(passed(&limiter, &rules, "10.0.0.1", 100, 0), 20);
        let wrapped = (1 << 24) * TICK;
        assert_eq!(passed(&limiter, &rules, "10.0.0.1", 100, wrapped + 60_000), 20);
    }
}
