//! Writes a message anew without some of its records.
//!
//! Names are written out in full, but for owners that are the name of the
//! question: what is left out may be what a compression pointer leads to.

use crate::wire::{self, HEADER, Malformed, Record, WireName, put_u16, rtype, u16_at};

/// The message without the records that do not stay.
///
/// # Errors
/// [`Malformed`] if a record does not fit the message.
pub fn without(message: &[u8], question_end: usize, stays: impl Fn(&Record) -> bool) -> Result<Vec<u8>, Malformed> {
    let out = message.get(..question_end).ok_or(Malformed)?.to_vec();
    append(message, question_end, out, [0; 3], stays)
}

/// The same behind records that are in `out` already, with their `counts`; they
/// stand in front of all others, so their section must be the first that is used.
pub(crate) fn append(
    message: &[u8],
    question_end: usize,
    mut out: Vec<u8>,
    mut counts: [u16; 3],
    stays: impl Fn(&Record) -> bool,
) -> Result<Vec<u8>, Malformed> {
    for record in wire::records(message, question_end) {
        let record = record?;
        if !stays(&record) {
            continue;
        }
        counts[record.section as usize] += 1;
        copy_owner(message, record.owner, &mut out)?;
        out.extend_from_slice(&message[record.ttl_at - 4..record.ttl_at + 4]);
        let length_at = out.len();
        out.extend_from_slice(&[0, 0]);
        copy_data(message, &record, &mut out, as_written)?;
        let length = out.len() - length_at - 2;
        put_u16(&mut out, length_at, length as u16);
    }
    for (at, count) in [6, 8, 10].into_iter().zip(counts) {
        put_u16(&mut out, at, count);
    }
    Ok(out)
}

/// Appends the data of a record in canonical form (RFC 4034 section 6.2).
///
/// # Errors
/// [`Malformed`] if the data is not what its type demands.
pub(crate) fn canonical_data(message: &[u8], record: &Record, out: &mut Vec<u8>) -> Result<(), Malformed> {
    copy_data(message, record, out, |message, at, out| {
        let mut name = WireName::ROOT;
        let end = name.read(message, at)?;
        out.extend_from_slice(name.as_wire());
        Ok(end)
    })
}

/// Copies the name of an owner; that of the question as a pointer to it.
fn copy_owner(message: &[u8], at: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (mut name, mut question) = (WireName::ROOT, WireName::ROOT);
    name.read(message, at)?;
    question.read_plain(message, HEADER)?;
    if name.as_wire() == question.as_wire() {
        out.extend_from_slice(&[0xc0, HEADER as u8]);
        return Ok(());
    }
    as_written(message, at, out).map(|_| ())
}

/// Writes a name out in full, in the letter case that it has. Returns the offset
/// behind it in the place where it started.
fn as_written(message: &[u8], start: usize, out: &mut Vec<u8>) -> Result<usize, Malformed> {
    // Bounds the walk: pointers lead backwards only, and the name is not too long.
    let mut name = WireName::ROOT;
    let end = name.read(message, start)?;
    let mut at = start;
    loop {
        match usize::from(*message.get(at).ok_or(Malformed)?) {
            0 => {
                out.push(0);
                return Ok(end);
            }
            192.. => at = usize::from(u16_at(message, at).ok_or(Malformed)? & 0x3fff),
            length => {
                out.extend_from_slice(message.get(at..at + 1 + length).ok_or(Malformed)?);
                at += 1 + length;
            }
        }
    }
}

/// Copies the data of a record. Names in it are written out where a sender may
/// have compressed them: in types of RFC 1035, and in those later ones that
/// receivers have to expect so (RFC 3597 section 4). KX and DNAME stand in
/// neither list; expecting them costs nothing. These are also the types whose
/// names are in lower case in canonical form.
fn copy_data(
    message: &[u8],
    record: &Record,
    out: &mut Vec<u8>,
    mut copy_name: impl FnMut(&[u8], usize, &mut Vec<u8>) -> Result<usize, Malformed>,
) -> Result<(), Malformed> {
    let data = &message[record.data..record.end];
    let (before, names) = match record.rtype {
        rtype::NS | rtype::MD | rtype::MF | rtype::CNAME | rtype::MB | rtype::MG | rtype::MR | rtype::PTR => (0, 1),
        rtype::NXT | rtype::DNAME => (0, 1),
        rtype::SOA | rtype::MINFO | rtype::RP => (0, 2),
        rtype::MX | rtype::AFSDB | rtype::RT | rtype::KX => (2, 1),
        rtype::PX => (2, 2),
        rtype::SRV => (6, 1),
        rtype::NAPTR => (before_replacement(data).ok_or(Malformed)?, 1),
        rtype::SIG => (18, 1),
        _ => (0, 0),
    };
    let mut at = record.data + before;
    out.extend_from_slice(data.get(..before).ok_or(Malformed)?);
    for _ in 0..names {
        at = copy_name(message, at, out)?;
    }
    out.extend_from_slice(message.get(at..record.end).ok_or(Malformed)?);
    Ok(())
}

/// Octets of a NAPTR record before its name: order, preference, and three
/// texts with their lengths (RFC 3403 section 4.1).
fn before_replacement(data: &[u8]) -> Option<usize> {
    (0..3).try_fold(4, |at, _| Some(at + 1 + usize::from(*data.get(at)?)))
}
