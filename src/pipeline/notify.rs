//! NOTIFY of the primaries of followed zones (RFC 1996): something new is there, look at once.
//!
//! It proves nothing and need not: all that it brings about is a look, at most one a second, whose answer is checked
//! like every other. From anybody but a primary it is what it always was, an opcode that is not implemented.

use std::net::IpAddr;
use std::sync::Arc;

use crate::releases::Follower;
use crate::wire::{HEADER, WireName, class, flag, put_u16, rtype, u16_at};

/// Opcode 4 and the response code of success, in the second word of the header.
const NOTIFY: u16 = 4 << 11;
const AA: u16 = 0x0400;

/// Answers a NOTIFY for one of the zones; `None` if it is none.
pub(super) fn answer(zones: &[Arc<Follower>], packet: &mut [u8], length: usize, from: IpAddr) -> Option<usize> {
    let message = &packet[..length];
    let word = u16_at(message, 2)?;
    // One question, and in the answer section at most a hint that nobody has to believe.
    if zones.is_empty() || word & (flag::QR | flag::OPCODE) != NOTIFY || u16_at(message, 4)? != 1 {
        return None;
    }
    let mut zone = WireName::ROOT;
    let end = zone.read_plain(message, HEADER).ok()?;
    if (u16_at(message, end)?, u16_at(message, end + 2)?) != (rtype::SOA, class::IN) {
        return None;
    }
    let mut ours = false;
    for follower in zones {
        ours |= follower.notify(from, zone.as_wire());
    }
    ours.then(|| {
        put_u16(packet, 2, flag::QR | NOTIFY | AA);
        packet[6..HEADER].fill(0);
        end + 4
    })
}
