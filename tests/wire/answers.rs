//! An upstream's message into memory and out again.

use domain::base::name::ToName;
use domain::base::opt::ExtendedError;
use domain::base::{Message, Name};
use friendly_resolver::edns::Reply;
use friendly_resolver::entry::{Entry, Ttls, is_answer_to};
use friendly_resolver::query::Query;
use proptest::prelude::*;

use crate::made::{Seen, Upstream, name, seen, upstream};

const STORED: u32 = 50_000;
const A: u16 = 1;
const SOA: u16 = 6;

/// A client's question, in the client's letter case.
#[derive(Clone, Debug)]
struct Client {
    rd: bool,
    ad: bool,
    cd: bool,
    edns: Option<(u16, bool)>,
    upper: bool,
}

fn client() -> impl Strategy<Value = Client> {
    let edns = proptest::option::of((0u16..5000, any::<bool>()));
    (any::<[bool; 4]>(), edns).prop_map(|([rd, ad, cd, upper], edns)| Client { rd, ad, cd, edns, upper })
}

impl Client {
    fn packet(&self, name: &Name<Vec<u8>>, qtype: u16) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, u8::from(self.rd), u8::from(self.ad) << 5 | u8::from(self.cd) << 4];
        packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())]);
        let mut wire = name.as_slice().to_vec();
        if self.upper {
            wire.make_ascii_uppercase();
        }
        packet.extend_from_slice(&wire);
        packet.extend_from_slice(&qtype.to_be_bytes());
        packet.extend_from_slice(&[0, 1]);
        if let Some((payload, dnssec_ok)) = self.edns {
            packet.extend_from_slice(&[0, 0, 41]);
            packet.extend_from_slice(&payload.to_be_bytes());
            packet.extend_from_slice(&[0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
        }
        packet
    }
}

fn ttls() -> impl Strategy<Value = Ttls> {
    let min = prop_oneof![2 => Just(0u32), 1 => 0u32..600];
    (min, 1000u32..90_000, 600u32..4000).prop_map(|(min, max, max_negative)| Ttls { min, max, max_negative })
}

/// The times that records are shown with: 0 where the top bit is set (RFC
/// 2181), within the limits unless it is 0, minus their age.
fn shown(ttl: u32, ttls: Ttls, positive: bool, age: u32) -> u32 {
    let most = if positive { ttls.max } else { ttls.max_negative };
    match ttl {
        0 | 0x8000_0000.. => 0,
        ttl => ttl.clamp(ttls.min, most).saturating_sub(age),
    }
}

/// ANY is answered by whatever there is.
fn is_of(kind: u16, qtype: u16) -> bool {
    kind == qtype || qtype == 255
}

/// Records behind an OPT are left out, with all of their section.
fn expected(made: &Upstream, message: &[u8], qtype: u16, ttls: Ttls, age: u32) -> Vec<Seen> {
    let all = seen(message);
    let positive = made.rcode == 0 && all.iter().any(|(section, _, kind, ..)| *section == 0 && is_of(*kind, qtype));
    let keep = |(section, ..): &Seen| *section < 2 || made.behind_opt() == 0;
    let all = all.into_iter().filter(keep);
    all.map(|(section, owner, kind, class, ttl, data)| {
        (section, owner, kind, class, shown(ttl, ttls, positive, age), data)
    })
    .collect()
}

/// Extended errors of a message, in their order.
fn errors(message: &[u8]) -> Vec<(u16, String)> {
    let message = Message::from_octets(message).expect("a header");
    let Some(opt) = message.opt() else { return Vec::new() };
    let errors = opt.opt().iter::<ExtendedError<&[u8]>>();
    let text = |error: &ExtendedError<&[u8]>| String::from_utf8_lossy(error.text_slice().unwrap_or(&[])).into_owned();
    errors.map(|error| error.expect("a whole option")).map(|error| (error.code().to_int(), text(&error))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn an_answer_from_memory_is_what_the_upstream_said(
        made in upstream(),
        qname in name(),
        qtype in prop_oneof![Just(A), Just(5u16), Just(65u16), Just(255u16), any::<u16>()],
        (first, second) in (client(), client()),
        ttls in ttls(),
        age in prop_oneof![0u32..500, 0u32..100_000],
        limit in prop_oneof![Just(512usize), 512usize..2000, Just(65_535usize)],
    ) {
        let message = made.build(&qname, qtype);
        prop_assume!(message.len() < 20_000);
        let asked = Query::parse(&first.packet(&qname, qtype)).expect("a good question");
        prop_assert!(is_answer_to(&message, 77, &asked));
        prop_assert!(!is_answer_to(&message, 78, &asked));
        let entry = Entry::from_upstream(&message, &asked, ttls, STORED).expect("a good message");
        let other = name_with_another_label(&qname);
        if let Some(other) = other {
            prop_assert!(!entry.answers(&Query::parse(&first.packet(&other, qtype)).expect("a good question")));
        }

        // Somebody else asks, in another letter case.
        let packet = second.packet(&qname, qtype);
        let query = Query::parse(&packet).expect("a good question");
        let same_kind = (query.dnssec_ok(), query.checking_disabled()) == (asked.dnssec_ok(), asked.checking_disabled());
        prop_assert_eq!(entry.answers(&query), same_kind);
        let mut buffer = vec![0xee; 65_535];
        buffer[..packet.len()].copy_from_slice(&packet);
        let full = entry.write(&mut buffer, &query, STORED + age, None, 65_535, &Reply::plain(1232));
        let whole = buffer[..full].to_vec();

        // The whole answer, as it goes over TCP.
        let answer = Message::from_octets(&whole[..]).expect("a header");
        let header = answer.header();
        prop_assert_eq!(header.id(), 0xabcd);
        prop_assert!(header.qr() && header.ra() && !header.aa() && !header.tc() && !header.z());
        prop_assert_eq!((header.rd(), header.cd()), (second.rd, second.cd));
        prop_assert_eq!(header.ad(), made.ad && query.wants_ad());
        prop_assert_eq!(header.rcode().to_int(), made.rcode);
        prop_assert_eq!(&whole[12..query.question_end], &packet[12..query.question_end]);
        let question = answer.sole_question().expect("one question");
        prop_assert!(question.qname().to_name::<Vec<u8>>() == qname);
        let counts = answer.header_counts();
        let left_out = if made.behind_opt() > 0 { made.additional.len() } else { 0 };
        let additional = made.additional.len() - left_out + usize::from(second.edns.is_some());
        prop_assert_eq!(
            (usize::from(counts.ancount()), usize::from(counts.nscount()), usize::from(counts.arcount())),
            (made.answer.len(), made.authority.len(), additional)
        );
        prop_assert_eq!(seen(&whole), expected(&made, &message, qtype, ttls, age));

        // OPT is ours, and only there if the client sent one.
        let opt = answer.opt();
        prop_assert_eq!(opt.is_some(), second.edns.is_some());
        if let (Some(opt), Some((_, dnssec_ok))) = (opt, second.edns) {
            prop_assert_eq!((opt.udp_payload_size(), opt.dnssec_ok(), opt.version()), (1232, dnssec_ok, 0));
            let sent = made.opt.as_ref().map_or(&[][..], |(_, errors)| errors);
            let kept = errors(&whole);
            let room: usize = sent.iter().map(|(_, text)| 6 + text.len()).sum();
            if room <= 96 {
                prop_assert_eq!(&kept, sent);
            }
            for (error, (code, text)) in kept.iter().zip(sent) {
                prop_assert!(error.0 == *code && (error.1 == *text || error.1.is_empty()));
            }
        }

        // The same within a limit: whole, or empty with TC.
        buffer[..packet.len()].copy_from_slice(&packet);
        let length = entry.write(&mut buffer, &query, STORED + age, None, limit, &Reply::plain(1232));
        prop_assert!(length <= limit);
        if full <= limit {
            prop_assert_eq!(&buffer[..length], &whole[..]);
        } else {
            let cut = Message::from_octets(&buffer[..length]).expect("a header");
            prop_assert!(cut.header().tc() && seen(&buffer[..length]).is_empty());
            prop_assert_eq!(cut.opt().is_some(), second.edns.is_some());
            prop_assert_eq!(&buffer[12..query.question_end], &packet[12..query.question_end]);
        }

        // Past its time: every record for 30 seconds, no AD, and an error that says so.
        buffer[..packet.len()].copy_from_slice(&packet);
        let length = entry.write(&mut buffer, &query, STORED + age, Some(30), 65_535, &Reply::plain(1232));
        prop_assert!(seen(&buffer[..length]).iter().all(|record| record.4 == 30));
        prop_assert!(buffer[3] & 0x20 == 0);
        if second.edns.is_some() {
            let first = errors(&buffer[..length]).first().map(|(code, _)| *code);
            prop_assert_eq!(first, Some(if made.rcode == 3 { 19 } else { 3 }));
        }
    }

    /// RFC 2308: a negative answer lives as long as the lesser of its SOA's TTL
    /// and minimum, and without SOA not at all.
    #[test]
    fn answers_live_as_long_as_their_shortest_part(made in upstream(), qname in name(), ttls in ttls(), code in 0u8..6) {
        let made = Upstream { rcode: code, ..made };
        let message = made.build(&qname, A);
        let plain = Client { rd: true, ad: false, cd: false, edns: None, upper: false };
        let query = Query::parse(&plain.packet(&qname, A)).expect("a good question");
        let entry = Entry::from_upstream(&message, &query, ttls, STORED).expect("a good message");
        let real = |ttl: u32| if ttl > i32::MAX as u32 { 0 } else { ttl };
        let clamp = |ttl: u32, most| if ttl == 0 { 0 } else { ttl.clamp(ttls.min, most) };
        let records = seen(&message);
        let answers = records.iter().filter(|(section, ..)| *section == 0);
        let shortest = answers.clone().map(|record| real(record.4)).min().unwrap_or(u32::MAX);
        let positive = code == 0 && answers.clone().any(|record| record.2 == A);
        let soa = records.iter().rfind(|record| record.0 == 1 && record.2 == SOA);
        let least = soa.map(|(_, _, _, _, ttl, data)| {
            real(*ttl).min(u32::from_be_bytes(data[data.len() - 4..].try_into().expect("four octets")))
        });
        let expected = match code {
            0 if positive => clamp(shortest, ttls.max),
            0 | 3 => least.map_or(0, |least| clamp(least.min(shortest), ttls.max_negative)),
            2 => 5,
            _ => 0,
        };
        prop_assert_eq!(entry.remaining(STORED), expected);
        prop_assert_eq!(entry.remaining(STORED + 100), expected.saturating_sub(100));
        prop_assert_eq!(entry.is_failure(), !matches!(code, 0 | 3));
    }
}

/// The name with one octet changed, unless it is the root.
fn name_with_another_label(name: &Name<Vec<u8>>) -> Option<Name<Vec<u8>>> {
    let mut wire = name.as_slice().to_vec();
    let octet = wire.get_mut(1)?;
    *octet = if octet.eq_ignore_ascii_case(&b'q') { b'z' } else { b'q' };
    Name::from_octets(wire).ok()
}
