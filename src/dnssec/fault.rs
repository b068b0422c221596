//! Why an answer is not valid.

use crate::wire::ede;

/// Why something is not valid: an extended error code (RFC 8914) and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Info code.
    pub code: u16,
    /// For people.
    pub text: &'static str,
}

impl Fault {
    /// Which of several faults says most.
    pub(super) fn rank(self) -> u8 {
        match self.code {
            ede::SIGNATURE_EXPIRED | ede::SIGNATURE_NOT_YET_VALID => 3,
            ede::DNSKEY_MISSING => 1,
            _ => 2,
        }
    }
}

const fn fault(code: u16, text: &'static str) -> Fault {
    Fault { code, text }
}

pub(super) const BOGUS: Fault = fault(ede::DNSSEC_BOGUS, "a signature is wrong");
pub(super) const ALIASES: Fault = fault(ede::DNSSEC_BOGUS, "too many aliases");
pub(super) const TOO_MUCH: Fault = fault(ede::DNSSEC_BOGUS, "it would be too much work");
pub(super) const EXPIRED: Fault = fault(ede::SIGNATURE_EXPIRED, "");
pub(super) const NOT_YET_VALID: Fault = fault(ede::SIGNATURE_NOT_YET_VALID, "");
pub(super) const DNSKEY_MISSING: Fault = fault(ede::DNSKEY_MISSING, "");
pub(super) const RRSIGS_MISSING: Fault = fault(ede::RRSIGS_MISSING, "");
pub(super) const NO_ZONE_KEY: Fault = fault(ede::NO_ZONE_KEY_BIT, "");
pub(super) const NSEC_MISSING: Fault = fault(ede::NSEC_MISSING, "");
pub(super) const ITERATIONS: Fault = fault(ede::NSEC3_ITERATIONS, "");
