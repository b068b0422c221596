//! How much may be done for one answer.

use super::fault::{self, Fault};

/// What one answer may cost, aliases and chains of trust included. Signatures:
/// some 15 ms of a core at worst (KeyTrap, CVE-2023-50387). Hashes: a few
/// milliseconds (CVE-2023-50868). Fetches: three zones for each alias.
pub(super) const MOST_SIGNATURES: u16 = 96;
/// Octets under these signatures: a message of 64 KiB whose records share one
/// long name by pointers grows to a megabyte for each of them.
const MOST_OCTETS: usize = 4 << 20;
const MOST_HASHES: u16 = 96;
const MOST_FETCHES: u16 = 64;

/// What is left of the work that one answer may cost.
pub(super) struct Work {
    pub(super) signatures: u16,
    octets: usize,
    hashes: u16,
    fetches: u16,
}

impl Work {
    pub(super) fn new() -> Self {
        Work { signatures: MOST_SIGNATURES, octets: MOST_OCTETS, hashes: MOST_HASHES, fetches: MOST_FETCHES }
    }

    /// One signature over so many octets.
    pub(super) fn signature(&mut self, octets: usize) -> Result<(), Fault> {
        self.octets = self.octets.checked_sub(octets).ok_or(fault::TOO_MUCH)?;
        take(&mut self.signatures)
    }

    pub(super) fn hash(&mut self) -> Result<(), Fault> {
        take(&mut self.hashes)
    }

    pub(super) fn fetch(&mut self) -> Result<(), Fault> {
        take(&mut self.fetches)
    }
}

fn take(left: &mut u16) -> Result<(), Fault> {
    *left = left.checked_sub(1).ok_or(fault::TOO_MUCH)?;
    Ok(())
}
