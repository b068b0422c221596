//! The filter in front of the entries: binary fuse filters with 16-bit fingerprints (Graf and Lemire, 2022).
//!
//! It answers "not in the list" for all but one in 65536 names that are not, in three reads of 2.26 octets an entry.
//! `xorf` builds the filters; they are read here, because `xorf` reads borrowed octets through unsafe code that
//! trusts their alignment and every number in the descriptor.
//!
//! A large list has several filters, one for each range of digests. Building takes memory of some 35 octets an
//! entry and jumps about in it: in shards of about a million it stays small and mostly in the cache.
//!
//! Where a digest is looked for: `h = murmur3_mix64(digest + seed)`, the fingerprint is the low 16 bits of
//! `h ^ (h >> 32)`, and it is the XOR of the three fingerprints at `h0 = high 64 bits of h * S`,
//! `h1 = (h0 + L) ^ ((h >> 18) & (L - 1))` and `h2 = (h0 + 2 L) ^ (h & (L - 1))`, where L is the segment length, a
//! power of two, and S the segment count times L. A filter has S + 2 L fingerprints.

use xorf::BinaryFuse16;

use super::{ListError, layout};

/// Octets of one record of the shard section.
pub(super) const RECORD: usize = 24;
/// Most shards a file may have; enough for 2^32 entries.
pub(super) const MAX_SHARDS: u32 = 1 << 16;
/// A shard is split when it would have more digests than this on average.
const SHARD_TARGET: usize = 1_500_000;
/// With fewer digests than this no filter is made: the entries are found at once, and the formulas for the size of a
/// filter are not meant for so few.
const WORTHWHILE: usize = 32;

/// Describes one filter among the fingerprints of all.
struct Shard {
    seed: u64,
    /// Index of its first fingerprint.
    start: usize,
    segment_length: u32,
    segment_count_length: u32,
}

/// The filters of a list, without their fingerprints, which stay in the file.
pub(super) struct Filter {
    shards: Box<[Shard]>,
    /// 63 less the bits that choose the shard.
    shift: u32,
}

impl Filter {
    /// Reads the shard section of a file with so many fingerprints. Afterwards every index that [`Self::passes`] makes
    /// lies inside its shard.
    pub(super) fn read(records: &[u8], count: u32, fingerprints: usize) -> Result<Filter, ListError> {
        if count != 0 && !(count.is_power_of_two() && count <= MAX_SHARDS) || records.len() != count as usize * RECORD {
            return Err(ListError::Malformed("number of filter shards"));
        }
        let mut end = 0;
        let mut shards = Vec::with_capacity(count as usize);
        for record in records.as_chunks::<RECORD>().0 {
            let [seed, start, lengths] = [0, 8, 16].map(|at| u64::from_le_bytes(layout::bytes(record, at)));
            let shard = Shard {
                seed,
                start: end,
                segment_length: lengths as u32,
                segment_count_length: (lengths >> 32) as u32,
            };
            if start != end as u64 {
                return Err(ListError::Malformed("place of a filter shard"));
            }
            let whole_segments = match shard.segment_length {
                0 => shard.segment_count_length == 0,
                length => length.is_power_of_two() && shard.segment_count_length.is_multiple_of(length),
            };
            if !whole_segments {
                return Err(ListError::Malformed("segments of a filter shard"));
            }
            let size = u64::from(shard.segment_count_length) + 2 * u64::from(shard.segment_length);
            end = usize::try_from(size)
                .ok()
                .and_then(|size| end.checked_add(size))
                .filter(|&end| end <= fingerprints)
                .ok_or(ListError::Malformed("size of a filter shard"))?;
            shards.push(shard);
        }
        if end != fingerprints {
            return Err(ListError::Malformed("number of fingerprints"));
        }
        Ok(Filter { shards: shards.into(), shift: 63 - count.max(1).trailing_zeros() })
    }

    /// Whether the digest may be in the list. What is in the list always passes.
    #[inline]
    pub(super) fn passes(&self, fingerprints: &[[u8; 2]], digest: u64) -> bool {
        let Some(shard) = self.shards.get((digest >> 1 >> self.shift) as usize) else {
            return true;
        };
        let hash = mix(digest, shard.seed);
        let [a, b, c] = positions(hash, shard.segment_length, shard.segment_count_length);
        let at = |position: u64| fingerprints.get(shard.start + position as usize);
        let (Some(&a), Some(&b), Some(&c)) = (at(a), at(b), at(c)) else {
            return true;
        };
        let fingerprint = (hash ^ hash >> 32) as u16;
        fingerprint == u16::from_le_bytes(a) ^ u16::from_le_bytes(b) ^ u16::from_le_bytes(c)
            || shard.segment_length == 0
    }
}

/// The finaliser of MurmurHash3 over digest and seed.
#[inline]
fn mix(digest: u64, seed: u64) -> u64 {
    let mut hash = digest.wrapping_add(seed);
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

/// Where in its shard the three fingerprints of a hash lie. In 64 bits, so that no segment length can overflow it.
#[inline]
fn positions(hash: u64, segment_length: u32, segment_count_length: u32) -> [u64; 3] {
    let length = u64::from(segment_length);
    let mask = length.wrapping_sub(1) & u64::from(u32::MAX);
    let first = ((u128::from(hash) * u128::from(segment_count_length)) >> 64) as u64;
    [first, (first + length) ^ (hash >> 18 & mask), (first + 2 * length) ^ (hash & mask)]
}

/// The sections of a new file: shard records and fingerprints.
pub(super) struct FilterSections {
    pub(super) count: u32,
    pub(super) records: Vec<u8>,
    pub(super) fingerprints: Vec<u8>,
}

/// Builds the filters over digests in ascending order; repeated ones count once. `len` is about how many there are.
pub(super) fn build(digests: impl Iterator<Item = u64>, len: usize) -> FilterSections {
    build_sharded(digests, len, SHARD_TARGET)
}

fn build_sharded(digests: impl Iterator<Item = u64>, len: usize, target: usize) -> FilterSections {
    if len < WORTHWHILE {
        return FilterSections { count: 0, records: Vec::new(), fingerprints: Vec::new() };
    }
    let mut bits = 0;
    while len >> bits > target && 1 << bits < MAX_SHARDS {
        bits += 1;
    }
    let shift = 63 - bits;
    let count = 1u32 << bits;
    let mut sections = FilterSections {
        count,
        records: Vec::with_capacity(RECORD << bits),
        fingerprints: Vec::with_capacity(len * 9 / 4 + len / 16),
    };
    let mut digests = digests.peekable();
    let mut keys = Vec::with_capacity((len >> bits) + (len >> bits) / 64);
    for shard in 0..u64::from(count) {
        keys.clear();
        while let Some(digest) = digests.next_if(|digest| digest >> 1 >> shift == shard) {
            if keys.last() != Some(&digest) {
                keys.push(digest);
            }
        }
        sections.append(&keys);
    }
    sections
}

impl FilterSections {
    fn append(&mut self, keys: &[u64]) {
        let start = self.fingerprints.len() / 2;
        // A thousand seeds that all fail do not happen by chance; should they, the shard goes without its filter.
        let built = (keys.len() >= WORTHWHILE).then(|| BinaryFuse16::try_from(keys).ok()).flatten();
        let (seed, segment_length, segment_count_length) = match &built {
            Some(filter) => {
                let of = &filter.descriptor;
                self.fingerprints.extend(filter.fingerprints.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()));
                (of.seed, of.segment_length, of.segment_count_length)
            }
            None => (0, 0, 0),
        };
        self.records.extend(seed.to_le_bytes());
        self.records.extend((start as u64).to_le_bytes());
        self.records.extend(segment_length.to_le_bytes());
        self.records.extend(segment_count_length.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xorf::Filter as _;

    use super::*;

    fn read(built: &FilterSections) -> Filter {
        Filter::read(&built.records, built.count, built.fingerprints.len() / 2).unwrap()
    }

    fn digests(seed: u64, count: u64) -> Vec<u64> {
        let mut digests: Vec<u64> = (1..=count).map(|i| mix(i, seed)).collect();
        digests.sort_unstable();
        digests
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// The same answer as xorf for every digest, in the list or not.
        #[test]
        fn agrees_with_xorf(seed: u64, count in 32u64..3000) {
            let keys = digests(seed, count);
            let built = build(keys.iter().copied(), keys.len());
            let (ours, theirs) = (read(&built), BinaryFuse16::try_from(&keys[..]).unwrap());
            for probe in keys.iter().copied().chain((0..20_000).map(|i| mix(i, !seed))) {
                prop_assert_eq!(ours.passes(built.fingerprints.as_chunks().0, probe), theirs.contains(&probe));
            }
        }

        /// Whatever numbers a record has that is not refused, positions lie inside its shard.
        #[test]
        fn positions_stay_inside(hash: u64, bits in 0u32..32, count: u32) {
            let length = 1u32 << bits;
            let count_length = (count / length).max(1) * length;
            for position in positions(hash, length, count_length) {
                prop_assert!(position < u64::from(count_length) + 2 * u64::from(length));
            }
        }
    }

    #[test]
    fn shards_find_all_and_let_few_pass() {
        let keys = digests(7, 20_000);
        let built = build_sharded(keys.iter().copied(), keys.len(), 1000);
        assert_eq!(built.count, 32);
        let (filter, fingerprints) = (read(&built), built.fingerprints.as_chunks().0);
        assert!(keys.iter().all(|&key| filter.passes(fingerprints, key)));
        let passed = (0..1_000_000).filter(|&i| filter.passes(fingerprints, mix(i, 1 << 40))).count();
        assert!(passed < 40, "{passed} of a million pass, 15 are expected");
    }

    #[test]
    fn a_range_of_digests_may_be_empty_or_hold_everything() {
        // Names whose digests crowd into one shard can be crafted for a well-known key.
        let keys: Vec<u64> = (0..10_000).map(|i| u64::MAX - (10_000 - i)).collect();
        let built = build_sharded(keys.iter().copied(), keys.len(), 1000);
        let (filter, fingerprints) = (read(&built), built.fingerprints.as_chunks().0);
        assert!(keys.iter().all(|&key| filter.passes(fingerprints, key)));
        assert!(filter.passes(fingerprints, 0), "a shard without a filter lets everything pass");
    }
}
