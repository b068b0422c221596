//! Compares what came back with what the scenario expects.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use domain::base::iana::Class;
use domain::base::opt::AllOptData;
use domain::base::{Message, ParsedRecord, ToName};
use domain::rdata::AllRecordData;

use super::format::{Answer, Expect, Step};

/// Everything that is not as expected, a sentence each.
pub(super) fn problems(step: &Step, reply: Option<&[u8]>) -> Vec<String> {
    match (&step.expect, reply) {
        (Expect::Silence, None) => Vec::new(),
        (Expect::Silence, Some(_)) => vec!["silence was expected".into()],
        (_, None) => vec!["no answer came".into()],
        (Expect::Octets(octets, true), Some(reply)) if reply == octets => Vec::new(),
        (Expect::Octets(octets, false), Some(reply)) if reply.starts_with(octets) => Vec::new(),
        (Expect::Octets(octets, _), Some(reply)) => {
            vec![format!("octets\n    expected {}\n    got      {}", hex(octets), hex(reply))]
        }
        (Expect::Answer(answer), Some(reply)) => match Reply::read(reply) {
            Ok(read) => of_answer(step, answer, reply, &read),
            Err(error) => vec![format!("the answer cannot be read: {error}: {}", hex(reply))],
        },
    }
}

/// A message in words, for a failure.
pub(super) fn describe(reply: Option<&[u8]>) -> String {
    let Some(octets) = reply else { return "    silence".into() };
    let Ok(reply) = Reply::read(octets) else { return format!("    {}", hex(octets)) };
    let mut text =
        format!("    {} {} (opt {:?}, {} octets)", reply.rcode, reply.flags.join(" "), reply.opt, octets.len());
    if !reply.errors.is_empty() {
        text.push_str(&format!(" ede={:?}", reply.errors));
    }
    for (section, records) in SECTIONS.iter().zip(&reply.records) {
        for record in records {
            text.push_str(&format!("\n    {section} {record}"));
        }
    }
    text
}

const SECTIONS: [&str; 3] = ["answer", "authority", "additional"];

/// What is compared of a message.
struct Reply {
    rcode: String,
    flags: Vec<&'static str>,
    question: Vec<u8>,
    /// Version and DO of the OPT record.
    opt: Option<(u8, bool)>,
    errors: Vec<u16>,
    records: [Vec<String>; 3],
}

impl Reply {
    fn read(octets: &[u8]) -> Result<Self, String> {
        let message = Message::from_slice(octets).map_err(|error| error.to_string())?;
        let wrong = |error: domain::base::wire::ParseError| error.to_string();
        let header = message.header();
        let flags = [
            (header.aa(), "aa"),
            (header.tc(), "tc"),
            (header.rd(), "rd"),
            (header.ra(), "ra"),
            (header.z(), "z"),
            (header.ad(), "ad"),
            (header.cd(), "cd"),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        let mut opt = None;
        let mut errors = Vec::new();
        if let Some(record) = message.opt() {
            opt = Some((record.version(), record.dnssec_ok()));
            for option in record.opt().iter::<AllOptData<_, _>>() {
                if let AllOptData::ExtendedError(error) = option.map_err(wrong)? {
                    errors.push(error.code().to_int());
                }
            }
        }
        let (_, answer, authority, additional) = message.sections().map_err(wrong)?;
        let mut records: [Vec<String>; 3] = Default::default();
        let mut opts = 0;
        for (place, section) in [answer, authority, additional].into_iter().enumerate() {
            for record in section {
                let record = record.map_err(wrong)?;
                if record.rtype() == domain::base::iana::Rtype::OPT {
                    opts += 1;
                } else {
                    records[place].push(text_of(record)?);
                }
            }
        }
        if opts > 1 || (opts == 1) != opt.is_some() {
            return Err("one OPT record at most, in the additional section".into());
        }
        let end = message.answer().map_err(wrong)?.pos();
        let question = octets[12..end].to_vec();
        let reply = Reply { rcode: message.opt_rcode().to_string(), flags, question, opt, errors, records };
        Ok(reply)
    }
}

fn text_of(record: ParsedRecord<'_, [u8]>) -> Result<String, String> {
    let record = record.to_any_record::<AllRecordData<_, _>>().map_err(|error| error.to_string())?;
    let class = if record.class() == Class::IN { String::new() } else { format!("{} ", record.class()) };
    let (owner, ttl, data) = (record.owner().fmt_with_dot(), record.ttl().as_secs(), record.data());
    Ok(plain(&format!("{owner} {ttl} {class}{} {data}", record.rtype())))
}

/// Lower case, one space, names without their last dot.
fn plain(text: &str) -> String {
    let word = |word: &str| if word == "." { word.to_owned() } else { word.trim_end_matches('.').to_lowercase() };
    // Data of an unknown type is one run of digits (RFC 3597 section 5).
    let (known, unknown) = text.split_once("\\# ").unwrap_or((text, ""));
    let mut words: Vec<_> = known.split_whitespace().map(word).collect();
    if let Some((length, digits)) = unknown.split_once(' ') {
        words.push(format!("\\# {length} {}", digits.replace(' ', "").to_lowercase()));
    }
    words.join(" ")
}

fn of_answer(step: &Step, answer: &Answer, octets: &[u8], reply: &Reply) -> Vec<String> {
    let mut problems = Vec::new();
    let mut compare = |what: &str, expected: String, got: String| {
        if expected != got {
            problems.push(format!("{what}: expected {expected}, got {got}"));
        }
    };
    let sent = Message::from_slice(&step.packet).expect("the runner's own question");
    let name = sent.sole_question().map(|question| plain(&question.qname().to_string())).unwrap_or_default();
    let end = sent.answer().map_or(12, |section| section.pos());

    // What follows from the question.
    compare("id", hex(&step.packet[..2]), hex(&octets[..2]));
    compare("question and its letter case", hex(&step.packet[12..end]), hex(&reply.question));
    let usual = |word: &str| !answer.missing.iter().any(|missing| missing[1..] == *word);
    let header = sent.header();
    let mut flags: BTreeSet<&str> = answer.flags.iter().map(String::as_str).collect();
    let implied = [(header.rd(), "rd"), (header.cd(), "cd"), (usual("ra"), "ra")];
    flags.extend(implied.iter().filter(|(set, _)| *set).map(|(_, name)| *name));
    compare(
        "opcode",
        header.opcode().to_string(),
        Message::from_slice(octets).expect("read before").header().opcode().to_string(),
    );
    compare("flags", format!("{flags:?}"), format!("{:?}", reply.flags.iter().collect::<BTreeSet<_>>()));
    let opt = sent.opt().filter(|_| usual("opt")).map(|opt| (0, opt.dnssec_ok()));
    compare("OPT (version, DO)", format!("{opt:?}"), format!("{:?}", reply.opt));

    // What is written.
    compare("response code", answer.rcode.to_string(), reply.rcode.clone());
    compare("extended errors", format!("{:?}", answer.errors), format!("{:?}", reply.errors));
    for ((section, expected), got) in SECTIONS.iter().zip(&answer.records).zip(&reply.records) {
        let mut left: Vec<&String> = got.iter().collect();
        for pattern in &expected.records {
            match left.iter().position(|record| matches(pattern, record, &name)) {
                Some(at) => drop(left.remove(at)),
                None => problems.push(format!("{section} lacks {pattern}")),
            }
        }
        if !expected.open {
            problems.extend(left.iter().map(|record| format!("{section} has {record}")));
        }
        let aliases = |records: &[String]| -> Vec<String> {
            let owner = |record: &String| record.split(' ').next().unwrap_or_default().replace('@', &name);
            records
                .iter()
                .filter(|record| plain(record).contains(" cname "))
                .map(|record| plain(&owner(record)))
                .collect()
        };
        if !expected.open && aliases(&expected.records) != aliases(got) {
            problems.push(format!("{section}: aliases stand in another order"));
        }
    }
    problems
}

/// Whether a record is as written: `@` is the name of the question, `*` is
/// anything, a TTL may be a range or `~300`, which has just begun to run.
fn matches(pattern: &str, record: &str, name: &str) -> bool {
    let pattern = plain(pattern);
    let (mut wanted, mut got) = (pattern.split(' '), record.split(' '));
    for place in 0.. {
        match (wanted.next(), got.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) if place < 3 => {}
            (Some("*"), _) => return true,
            (Some(ttl), Some(got)) if place == 1 => {
                if !range(ttl).is_some_and(|range| got.parse().is_ok_and(|got: u32| range.contains(&got))) {
                    return false;
                }
            }
            (Some(wanted), Some(got)) if wanted == got || wanted == "@" && got == name => {}
            _ => return false,
        }
    }
    true
}

fn range(ttl: &str) -> Option<RangeInclusive<u32>> {
    if let Some(from) = ttl.strip_prefix('~') {
        let from: u32 = from.parse().ok()?;
        return Some(from.saturating_sub(5)..=from);
    }
    match ttl.split_once('-') {
        Some((low, high)) => Some(low.parse().ok()?..=high.parse().ok()?),
        None => ttl.parse().ok().map(|ttl| ttl..=ttl),
    }
}

/// Octets as the files write them.
pub(super) fn hex(octets: &[u8]) -> String {
    let pairs: Vec<_> =
        octets.chunks(2).map(|pair| pair.iter().map(|octet| format!("{octet:02x}")).collect::<String>()).collect();
    pairs.join(" ")
}
