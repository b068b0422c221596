//! What a blocked question is answered, prepared once for each category.
//!
//! All types of a blocked name get the same treatment. Legal and family blocks
//! carry the same error code by default, so that an answer does not tell which
//! of the lists a name stands on.
//!
//! NXDOMAIN denies everything below the name, too, and caches may conclude so
//! (RFC 8020). A name that is blocked alone gets NODATA in its place: names
//! below it go on resolving.
//!
//! A client that asks for structured errors shows people a sentence itself, so
//! it gets that instead of the address of a stop page.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use signed_list::list::Scope;

use crate::answer::{Answer, ede_option, record, soa};
use crate::config::{BlockAnswer, Category, Layer};
use crate::edns::Reply;
use crate::query::Query;
use crate::scheme::Scheme;
use crate::wire::{ede, rcode, rtype};

/// Octets of a structured error with everything in it; longer ones are sent
/// without the words.
const TEXT_MOST: usize = 600;

/// Prepared answers of one category, or of a policy's own list.
pub struct Block {
    rcode: u8,
    /// What a client gets that asked for structured errors: never forged, so
    /// never the address of a stop page.
    plain_rcode: u8,
    /// Address records for A and AAAA, where the answer has any.
    a: Option<Vec<u8>>,
    aaaa: Option<Vec<u8>>,
    soa: Vec<u8>,
    negative_errors: Vec<u8>,
    forged_errors: Vec<u8>,
    structured: Vec<u8>,
    structured_short: Vec<u8>,
}

/// EXTRA-TEXT of a structured error
/// (draft-ietf-dnsop-structured-dns-error section 4).
#[derive(Serialize)]
struct Structured<'a> {
    /// Where to ask about the block.
    c: &'a [String],
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    j: Option<&'a str>,
    /// Which kind of threat.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<u8>,
    /// Who blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    o: Option<&'a str>,
    /// The language of the words.
    #[serde(skip_serializing_if = "Option::is_none")]
    l: Option<&'a str>,
}

impl Block {
    /// The answers that `category` asks for in the configuration, for a name
    /// that is blocked alone or with everything below it.
    pub fn new(category: &Category, scheme: &Scheme, scope: Scope) -> Self {
        Self::with(&category.answer, category.ede, category.ttl, scope, scheme, Some(category))
    }

    /// The answers for names that a policy denies by itself.
    pub fn of_policy(scheme: &Scheme, scope: Scope) -> Self {
        Self::with(&BlockAnswer::NxDomain, ede::FILTERED, 60, scope, scheme, None)
    }

    fn with(
        answer: &BlockAnswer,
        code: u16,
        ttl: u32,
        scope: Scope,
        scheme: &Scheme,
        category: Option<&Category>,
    ) -> Self {
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
        let negative = |answer: &BlockAnswer| match (answer, scope) {
            (BlockAnswer::NxDomain, Scope::Subtree) => rcode::NXDOMAIN,
            _ => rcode::NOERROR,
        };
        let plain_rcode = match answer {
            BlockAnswer::Addresses { .. } => negative(&BlockAnswer::NxDomain),
            other => negative(other),
        };
        let language = &scheme.languages[0];
        let why = language.why(category);
        let whole = Structured {
            c: &scheme.contact,
            j: Some(&why),
            s: category.and_then(kind),
            o: Some(&scheme.organisation),
            l: Some(&language.code),
        };
        // The words go first when there is no room.
        let short = Structured { j: None, o: None, l: None, ..whole };
        let option =
            |structured: &Structured<'_>| ede_option(code, &serde_json::to_string(structured).expect("plain data"));
        let (structured, structured_short) = (option(&whole), option(&short));
        let whole_fits = structured.len() <= TEXT_MOST;
        Block {
            rcode: negative(answer),
            plain_rcode,
            a,
            aaaa,
            soa: soa(ttl),
            negative_errors,
            forged_errors,
            structured: if whole_fits { structured } else { structured_short.clone() },
            structured_short,
        }
    }

    /// Writes the answer over the question; returns its length.
    #[inline]
    pub fn write(&self, packet: &mut [u8], query: &Query, reply: &Reply<'_>) -> usize {
        if reply.structured {
            return self.write_structured(packet, query, reply);
        }
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

    fn write_structured(&self, packet: &mut [u8], query: &Query, reply: &Reply<'_>) -> usize {
        let taken = query.question_end + self.soa.len() + 11 + reply.length();
        let limit = query.edns.map_or(512, |edns| usize::from(edns.payload.min(reply.payload)));
        let fits = |errors: &[u8]| taken + errors.len() <= limit.min(packet.len());
        let errors = [&self.structured, &self.structured_short].into_iter().find(|errors| fits(errors));
        let mut answer = Answer::new(packet, query, self.plain_rcode);
        answer.records(&self.soa, [0, 1, 0]);
        answer.finish(query, reply, 0, errors.unwrap_or(&self.negative_errors))
    }
}

/// Sub-error of a category of the operator
/// (draft-ietf-dnsop-structured-dns-error section 10.3). The other layers have
/// none: it would tell on which list a name stands.
fn kind(category: &Category) -> Option<u8> {
    match (category.layer, &*category.name) {
        (Layer::Operator, "malware") => Some(1),
        (Layer::Operator, "phishing") => Some(2),
        (Layer::Operator, "bypass") => Some(5),
        _ => None,
    }
}
