//! What a blocked question is answered, prepared once for each category.
//!
//! All types of a blocked name get the same treatment. Legal and family blocks
//! carry the same error code by default, so that an answer does not tell which
//! of the lists a name stands on.
//!
//! NXDOMAIN denies everything below the name, too, and caches may conclude so
//! (RFC 8020). A name that is blocked alone gets NODATA in its place: names
//! below it go on resolving.

use std::net::{Ipv4Addr, Ipv6Addr};

use signed_list::list::Scope;

use crate::answer::{Answer, ede_option, record, soa};
use crate::config::{BlockAnswer, Category};
use crate::edns::Reply;
use crate::query::Query;
use crate::wire::{ede, rcode, rtype};

/// Prepared answers of one category, or of a policy's own list.
pub struct Block {
    rcode: u8,
    /// Address records for A and AAAA, where the answer has any.
    a: Option<Vec<u8>>,
    aaaa: Option<Vec<u8>>,
    soa: Vec<u8>,
    negative_errors: Vec<u8>,
    forged_errors: Vec<u8>,
}

impl Block {
    /// The answers that `category` asks for in the configuration, for a name
    /// that is blocked alone or with everything below it.
    pub fn new(category: &Category, scope: Scope) -> Self {
        Self::with(&category.answer, category.ede, category.ttl, scope)
    }

    /// The answers for names that a policy denies by itself.
    pub fn of_policy(scope: Scope) -> Self {
        Self::with(&BlockAnswer::NxDomain, ede::FILTERED, 60, scope)
    }

    fn with(answer: &BlockAnswer, code: u16, ttl: u32, scope: Scope) -> Self {
        let a = |ip: Ipv4Addr| record(rtype::A, ttl, &ip.octets());
        let aaaa = |ip: Ipv6Addr| record(rtype::AAAA, ttl, &ip.octets());
        let (a, aaaa) = match answer {
            BlockAnswer::NxDomain | BlockAnswer::NoData => (None, None),
            BlockAnswer::Null => (Some(a(Ipv4Addr::UNSPECIFIED)), Some(aaaa(Ipv6Addr::UNSPECIFIED))),
            BlockAnswer::Addresses { v4, v6 } => (v4.map(a), v6.map(aaaa)),
        };
        let negative_errors = ede_option(code, "");
        // An address that is not the name's own is a forged answer, and says so.
        let forged_errors = [negative_errors.clone(), ede_option(ede::FORGED_ANSWER, "")].concat();
        let rcode = match (answer, scope) {
            (BlockAnswer::NxDomain, Scope::Subtree) => rcode::NXDOMAIN,
            _ => rcode::NOERROR,
        };
        Block { rcode, a, aaaa, soa: soa(ttl), negative_errors, forged_errors }
    }

    /// Writes the answer over the question; returns its length.
    #[inline]
    pub fn write(&self, packet: &mut [u8], query: &Query, reply: &Reply<'_>) -> usize {
        let forged = match query.qtype {
            rtype::A => self.a.as_ref(),
            rtype::AAAA => self.aaaa.as_ref(),
            _ => None,
        };
        let mut answer = Answer::new(packet, query, self.rcode);
        let errors = match forged {
            Some(addresses) => {
                answer.records(addresses, [1, 0, 0]);
                &self.forged_errors
            }
            None => {
                answer.records(&self.soa, [0, 1, 0]);
                &self.negative_errors
            }
        };
        answer.finish(query, reply, 0, errors)
    }
}
