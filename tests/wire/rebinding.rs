//! Private addresses are taken out, and nothing else.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use domain::base::iana::{Class, Rtype};
use domain::base::message_builder::TreeCompressor;
use domain::base::rdata::{ComposeRecordData, RecordData, UnknownRecordData};
use domain::base::wire::Composer;
use domain::base::{Message, MessageBuilder, Name, ToName, Ttl};
use domain::rdata::{A, AllRecordData};
use friendly_resolver::query::Query;
use friendly_resolver::rebinding::{is_private, strip};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use crate::made::{Data, Made, Upstream, name, seen, upstream};
use crate::world;

const SOA: u16 = 6;

/// The networks as their RFCs write them.
const V4: [&str; 7] =
    ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"];
const V6: [&str; 4] = ["::/128", "::1/128", "fc00::/7", "fe80::/10"];

/// Where an IPv4 address stands inside an IPv6 address, and from which bit on:
/// compatible, mapped, NAT64 (RFC 6052), 6to4.
const CARRIERS: [(&str, u8); 4] = [("::", 96), ("::ffff:0:0", 96), ("64:ff9b::", 96), ("2002::", 16)];

/// All private networks, those of IPv4 inside each carrier as well.
static PRIVATE: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    let plain = V4.iter().chain(&V6).map(|network| network.parse().expect("a network"));
    let carried = V4.iter().flat_map(|network| {
        let network: Ipv4Net = network.parse().expect("a network");
        CARRIERS.iter().map(move |(carrier, from)| {
            let carrier: Ipv6Addr = carrier.parse().expect("an address");
            let inner = u128::from(u32::from(network.addr())) << (96 - from);
            let address = Ipv6Addr::from(u128::from(carrier) | inner);
            IpNet::new(address.into(), from + network.prefix_len()).expect("a prefix")
        })
    });
    plain.chain(carried).collect()
});

fn in_a_network(address: IpAddr) -> bool {
    PRIVATE.iter().any(|network| network.contains(&address))
}

/// Whether the record holds a private address, as `domain` reads it.
fn holds_a_private_address(data: &Data) -> bool {
    let hints = |params: &domain::rdata::svcb::SvcParams<Vec<u8>>| {
        let v4 = params.first::<domain::rdata::svcb::value::Ipv4Hint<_>>();
        let v6 = params.first::<domain::rdata::svcb::value::Ipv6Hint<_>>();
        let v4: Vec<IpAddr> = v4.map_or(Vec::new(), |hint| hint.iter().map(IpAddr::V4).collect());
        let v6: Vec<IpAddr> = v6.map_or(Vec::new(), |hint| hint.iter().map(IpAddr::V6).collect());
        v4.into_iter().chain(v6).any(in_a_network)
    };
    match data {
        AllRecordData::A(a) => in_a_network(a.addr().into()),
        AllRecordData::Aaaa(aaaa) => in_a_network(aaaa.addr().into()),
        AllRecordData::Svcb(svcb) => hints(svcb.params()),
        AllRecordData::Https(https) => hints(https.params()),
        _ => false,
    }
}

/// Types whose data holds names that a sender may compress (RFC 1035, RFC 3597
/// section 4), and two that some may take for such, KX and DNAME: octets before
/// the names, texts before them, names, octets behind.
const NAMED: [(u16, usize, usize, usize, usize); 22] = [
    (2, 0, 0, 1, 0),    // NS
    (3, 0, 0, 1, 0),    // MD
    (4, 0, 0, 1, 0),    // MF
    (5, 0, 0, 1, 0),    // CNAME
    (6, 0, 0, 2, 20),   // SOA
    (7, 0, 0, 1, 0),    // MB
    (8, 0, 0, 1, 0),    // MG
    (9, 0, 0, 1, 0),    // MR
    (12, 0, 0, 1, 0),   // PTR
    (14, 0, 0, 2, 0),   // MINFO
    (15, 2, 0, 1, 0),   // MX
    (17, 0, 0, 2, 0),   // RP
    (18, 2, 0, 1, 0),   // AFSDB
    (21, 2, 0, 1, 0),   // RT
    (24, 18, 0, 1, 30), // SIG
    (26, 2, 0, 2, 0),   // PX
    (30, 0, 0, 1, 9),   // NXT
    (33, 6, 0, 1, 0),   // SRV
    (35, 4, 3, 1, 0),   // NAPTR
    (36, 2, 0, 1, 0),   // KX
    (39, 0, 0, 1, 0),   // DNAME
    (1000, 7, 0, 0, 0), // of no type that is known
];

/// Data of one of these types.
#[derive(Clone, Debug)]
struct Named {
    rtype: u16,
    before: Vec<u8>,
    names: Vec<Name<Vec<u8>>>,
    behind: Vec<u8>,
}

impl Named {
    /// With names in full and, as everywhere in the resolver, in lower case.
    fn plain(&self) -> Vec<u8> {
        let mut data = Vec::new();
        self.compose_canonical_rdata(&mut data).expect("memory");
        data
    }
}

impl RecordData for Named {
    fn rtype(&self) -> Rtype {
        Rtype::from_int(self.rtype)
    }
}

impl ComposeRecordData for Named {
    fn rdlen(&self, _: bool) -> Option<u16> {
        None
    }

    fn compose_rdata<Target: Composer + ?Sized>(&self, target: &mut Target) -> Result<(), Target::AppendError> {
        target.append_slice(&self.before)?;
        self.names.iter().try_for_each(|name| target.append_compressed_name(name))?;
        target.append_slice(&self.behind)
    }

    fn compose_canonical_rdata<Target: Composer + ?Sized>(
        &self,
        target: &mut Target,
    ) -> Result<(), Target::AppendError> {
        target.append_slice(&self.before)?;
        self.names.iter().try_for_each(|name| name.compose_canonical(target))?;
        target.append_slice(&self.behind)
    }
}

fn named() -> impl Strategy<Value = Named> {
    let octets = proptest::collection::vec(any::<u8>(), 30);
    let texts = proptest::collection::vec("[ -~]{0,20}", 3);
    (proptest::sample::select(&NAMED[..]), octets, texts, (name(), name())).prop_map(
        |((rtype, fixed, several, names, behind), octets, texts, (first, second))| {
            let texts = texts.iter().take(several).flat_map(|text| [&[text.len() as u8], text.as_bytes()].concat());
            Named {
                rtype,
                before: octets[..fixed].iter().copied().chain(texts).collect(),
                names: [first, second].into_iter().take(names).collect(),
                behind: octets[..behind].to_vec(),
            }
        },
    )
}

fn question_end(name: &Name<Vec<u8>>) -> usize {
    12 + name.len() + 4
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn exactly_the_records_with_private_addresses_are_gone(made in upstream(), qname in name()) {
        let before = made.build(&qname, 1);
        let after = strip(before.clone(), question_end(&qname));
        let public = |records: &[Made]| -> Vec<Made> {
            records.iter().filter(|record| !holds_a_private_address(&record.data)).cloned().collect()
        };
        let expected = Upstream { answer: public(&made.answer), additional: public(&made.additional), ..made.clone() };
        let removed = expected.answer.len() < made.answer.len() || expected.additional.len() < made.additional.len();
        let (mut left, expected) = (seen(&after), seen(&expected.build(&qname, 1)));
        // An answer of which nothing is left gets an SOA, to be kept in memory.
        let had_answers = !made.answer.is_empty();
        if removed && had_answers && !expected.iter().any(|record| record.0 == 0 || (record.0, record.2) == (1, SOA)) {
            let (section, owner, kind, ..) = left.remove(0);
            prop_assert_eq!((section, owner, kind), (1, qname.to_string().to_ascii_lowercase(), SOA));
        }
        prop_assert_eq!(left, expected);
        prop_assert_eq!(&after[4..6], &before[4..6]);
        prop_assert_eq!(&after[12..question_end(&qname)], &before[12..question_end(&qname)]);
        let opt = |message: &[u8]| {
            let message = domain::base::Message::from_octets(message.to_vec()).expect("a header");
            message.opt().map(|opt| {
                let mut options = Vec::new();
                opt.opt().compose_rdata(&mut options).expect("memory");
                (opt.udp_payload_size(), options)
            })
        };
        prop_assert_eq!(opt(&after), opt(&before));
        prop_assert!(removed || after == before, "what holds nothing private is left as it is");
        // What was validated is not what is left: AD goes, the rest of the header stays.
        prop_assert_eq!(&after[..3], &before[..3]);
        prop_assert_eq!(after[3], before[3] & if removed { !0x20 } else { 0xff });
    }

    /// What a name in the data points to may be the record that is taken out.
    #[test]
    fn names_in_data_are_written_out(
        qname in name(),
        gone in name(),
        kept in proptest::collection::vec((name(), named()), 1..6),
    ) {
        let builder = MessageBuilder::from_target(TreeCompressor::new(Vec::new())).expect("memory");
        let mut builder = builder.question();
        builder.push((&qname, Rtype::ANY)).expect("memory");
        let mut builder = builder.answer();
        let ttl = Ttl::from_secs(300);
        builder.push((&gone, Class::IN, ttl, A::new([10, 0, 0, 1].into()))).expect("memory");
        for (owner, data) in &kept {
            builder.push((owner, Class::IN, ttl, data)).expect("memory");
        }
        let after = strip(builder.finish().into_target(), question_end(&qname));
        let message = Message::from_octets(&after[..]).expect("a header");
        let left: Vec<_> = message.answer().expect("a section").map(|record| {
            let raw = record.expect("a record").to_record::<UnknownRecordData<_>>().expect("data").expect("of any type");
            // Names keep the letter case that they have where a pointer leads.
            (raw.owner().to_name::<Vec<u8>>(), raw.rtype().to_int(), raw.data().data().to_ascii_lowercase())
        }).collect();
        let expected: Vec<_> =
            kept.iter().map(|(owner, data)| (owner.clone(), data.rtype, data.plain().to_ascii_lowercase())).collect();
        prop_assert_eq!(left, expected);
    }

    #[test]
    fn private_is_what_the_networks_say(v4 in any::<u32>(), v6 in any::<u128>(), short in any::<u16>()) {
        for address in [
            IpAddr::V4(v4.into()),
            IpAddr::V6(v6.into()),
            IpAddr::V6((0xffff_0000_0000 | u128::from(v4)).into()),
            IpAddr::V6((u128::from(short) << 112 | u128::from(v4)).into()),
            IpAddr::V6((0x64_ff9b << 96 | u128::from(v4)).into()),
            IpAddr::V6((0x2002 << 112 | u128::from(v4) << 80 | u128::from(short)).into()),
        ] {
            prop_assert_eq!(is_private(address), in_a_network(address), "{}", address);
        }
    }
}

#[test]
fn borders_of_the_private_networks() {
    for network in &*PRIVATE {
        assert!(is_private(network.network()) && is_private(network.broadcast()), "{network}");
    }
    for public in
        ["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0"]
    {
        assert!(!is_private(public.parse().unwrap()), "{public}");
    }
    for public in [
        "::1.0.0.0",
        "64:ff9b::192.0.2.1",
        "2002:c000:201::1",
        "fbff:ffff::",
        "fe7f::",
        "fec0::",
        "2001:db8::1",
        "::ffff:192.0.2.1",
    ] {
        assert!(!is_private(IpAddr::V6(public.parse::<Ipv6Addr>().unwrap())), "{public}");
    }
}

/// A message that cannot be written anew must not pass as it came: it holds a
/// private address beside something that is broken.
#[test]
fn a_broken_record_does_not_save_a_private_address() {
    let question = world::question("www.example.com", 1);
    let end = Query::parse(&question).ok().unwrap().question_end;
    let private = world::record(1, &[192, 168, 1, 1]);
    // The name server's name leads forward, out of the message.
    let broken = world::record(2, b"\xff\xff");
    let message = world::message(&question, 0, [1, 1, 0], &[private, broken]);
    let after = strip(message, end);
    assert!(!after.windows(4).any(|octets| octets == [192, 168, 1, 1]), "{after:?}");
}
