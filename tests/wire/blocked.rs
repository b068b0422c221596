//! What a blocked question is answered, in every mode.

use std::sync::LazyLock;

use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::name::ToName;
use domain::base::opt::ExtendedError;
use domain::base::{Message, Name, ParsedName};
use domain::rdata::{A, Aaaa, Soa};
use friendly_resolver::block::Block;
use friendly_resolver::config::{BlockAnswer, Category, Layer};
use friendly_resolver::edns::Reply;
use friendly_resolver::query::Query;
use friendly_resolver::scheme::Scheme;
use proptest::prelude::*;
use signed_list::list::Scope;

use crate::made::{name, seen};

fn category(answer: BlockAnswer, ede: u16, ttl: u32) -> Category {
    Category { name: "x".into(), layer: Layer::Family, answer, ede, ttl, addresses: Vec::new() }
}

fn mode() -> impl Strategy<Value = BlockAnswer> {
    let v4 = any::<Option<[u8; 4]>>().prop_map(|v4| v4.map(Into::into));
    let v6 = any::<Option<[u8; 16]>>().prop_map(|v6| v6.map(Into::into));
    prop_oneof![
        Just(BlockAnswer::NxDomain),
        Just(BlockAnswer::NoData),
        Just(BlockAnswer::Null),
        (v4, v6).prop_map(|(v4, v6)| BlockAnswer::Addresses { v4, v6 }),
    ]
}

fn packet(name: &Name<Vec<u8>>, qtype: u16, flags: [bool; 3], edns: Option<bool>) -> Vec<u8> {
    let [rd, ad, cd] = flags;
    let mut packet = vec![1, 2, u8::from(rd), u8::from(ad) << 5 | u8::from(cd) << 4, 0, 1, 0, 0, 0, 0, 0, 0];
    packet[11] = u8::from(edns.is_some());
    packet.extend_from_slice(name.as_slice());
    packet.extend_from_slice(&qtype.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    if let Some(dnssec_ok) = edns {
        packet.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
    }
    packet
}

/// Who blocks.
static SCHEME: LazyLock<Scheme> = LazyLock::new(Scheme::shipped);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_mode_answers_every_type(
        mode in mode(),
        scope in prop_oneof![Just(Scope::Subtree), Just(Scope::Exact)],
        (ede, ttl) in (any::<u16>(), 0u32..1_000_000),
        qname in name(),
        qtype in prop_oneof![Just(1u16), Just(28u16), Just(65u16), any::<u16>()],
        flags in any::<[bool; 3]>(),
        edns in any::<Option<bool>>(),
    ) {
        let block = Block::new(&category(mode.clone(), ede, ttl), &SCHEME, scope);
        let packet = packet(&qname, qtype, flags, edns);
        let query = Query::parse(&packet).expect("a good question");
        let mut buffer = [0xee; 1232];
        buffer[..packet.len()].copy_from_slice(&packet);
        let length = block.write(&mut buffer, &query, &Reply::plain(1232));
        prop_assert!(length <= 512, "{} octets", length);
        let answer = Message::from_octets(&buffer[..length]).expect("a header");

        let header = answer.header();
        prop_assert_eq!(header.id(), 0x0102);
        prop_assert!(header.qr() && header.ra() && !header.aa() && !header.tc() && !header.ad());
        prop_assert_eq!((header.rd(), header.cd()), (flags[0], flags[2]));
        // What denies all below a name is only said where all below it is blocked.
        let denies_all = mode == BlockAnswer::NxDomain && scope == Scope::Subtree;
        let code = if denies_all { Rcode::NXDOMAIN } else { Rcode::NOERROR };
        prop_assert_eq!(header.rcode(), code);
        prop_assert_eq!(&buffer[12..query.question_end], &packet[12..query.question_end]);

        let addresses = match &mode {
            BlockAnswer::Null => (Some([0; 4].into()), Some([0; 16].into())),
            BlockAnswer::Addresses { v4, v6 } => (*v4, *v6),
            _ => (None, None),
        };
        let forged = match qtype { 1 => addresses.0.is_some(), 28 => addresses.1.is_some(), _ => false };
        let (_, answers, authority, _) = answer.sections().expect("whole sections");
        if forged {
            let record = answers.into_iter().next().expect("an address").expect("a whole record");
            prop_assert!(record.owner().to_name::<Vec<u8>>() == qname);
            prop_assert_eq!((record.class(), record.ttl().as_secs()), (Class::IN, ttl));
            let a = record.to_record::<A>().expect("an address").map(|record| record.data().addr());
            let aaaa = record.to_record::<Aaaa>().expect("an address").map(|record| record.data().addr());
            prop_assert_eq!(a.or(aaaa.is_some().then_some([9; 4].into())), if qtype == 1 { addresses.0 } else { Some([9; 4].into()) });
            prop_assert_eq!(aaaa, if qtype == 28 { addresses.1 } else { None });
        } else {
            // The negative answer is cached for our time (RFC 2308).
            let record = authority.into_iter().next().expect("an SOA").expect("a whole record");
            prop_assert!(record.owner().to_name::<Vec<u8>>() == qname);
            prop_assert_eq!((record.class(), record.ttl().as_secs()), (Class::IN, ttl));
            let soa = record.to_record::<Soa<ParsedName<_>>>().expect("whole data").expect("an SOA");
            prop_assert_eq!(soa.data().minimum().as_secs(), ttl);
            prop_assert!(soa.data().mname().to_string().ends_with("invalid"));
        }
        prop_assert_eq!(seen(&buffer[..length]).len(), 1);

        prop_assert_eq!(answer.opt().is_some(), edns.is_some());
        if let Some(opt) = answer.opt() {
            prop_assert_eq!((opt.udp_payload_size(), opt.version(), Some(opt.dnssec_ok())), (1232, 0, edns));
            let errors = opt.opt().iter::<ExtendedError<&[u8]>>().map(|error| error.expect("whole"));
            let errors: Vec<_> = errors.map(|error| (error.code().to_int(), error.text().is_none())).collect();
            prop_assert_eq!(errors, if forged { vec![(ede, true), (4, true)] } else { vec![(ede, true)] });
        }
    }
}

/// Who compares answers must not see which of the lists a name stands on.
#[test]
fn legal_and_family_blocks_look_the_same() {
    let question = packet(&"www.example.com".parse().unwrap(), Rtype::A.to_int(), [true, false, false], Some(false));
    let query = Query::parse(&question).ok().unwrap();
    let write = |layer, scope| {
        let mut buffer = [0; 1232];
        buffer[..question.len()].copy_from_slice(&question);
        let category = Category { layer, ..category(BlockAnswer::NxDomain, 17, 60) };
        let length = Block::new(&category, &SCHEME, scope).write(&mut buffer, &query, &Reply::plain(1232));
        buffer[..length].to_vec()
    };
    for scope in [Scope::Subtree, Scope::Exact] {
        assert_eq!(write(Layer::Legal, scope), write(Layer::Family, scope));
    }
}
