//! Made-up names, records and messages, and what `domain` reads of messages.

use domain::base::iana::{Class, OptionCode, Rcode, Rtype};
use domain::base::message_builder::TreeCompressor;
use domain::base::name::ToName;
use domain::base::opt::ExtendedError;
use domain::base::rdata::{ComposeRecordData, UnknownRecordData};
use domain::base::{Message, MessageBuilder, Name, ParsedName, Record, Serial, Ttl};
use domain::dep::octseq::OctetsBuilder;
use domain::rdata::svcb::SvcParams;
use domain::rdata::svcb::value::{Ipv4Hint, Ipv6Hint, Port};
use domain::rdata::{A, Aaaa, AllRecordData, Cname, Dname, Https, Mx, Ns, Ptr, Soa, Srv, Svcb, Txt};
use proptest::prelude::*;

pub(crate) type Data = AllRecordData<Vec<u8>, Name<Vec<u8>>>;

/// A record to be built.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) owner: Name<Vec<u8>>,
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

/// The parts of a message that an upstream sends.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) rcode: u8,
    pub(crate) ad: bool,
    pub(crate) answer: Vec<Made>,
    pub(crate) authority: Vec<Made>,
    pub(crate) additional: Vec<Made>,
    /// Before which record of the additional section OPT stands, and its
    /// extended errors.
    pub(crate) opt: Option<(usize, Vec<(u16, String)>)>,
}

/// Labels that meet again and again, so that there is something to compress,
/// in both letter cases, and now and then any octets at all.
pub(crate) fn name() -> impl Strategy<Value = Name<Vec<u8>>> {
    let known = proptest::sample::select(vec!["www", "WWW", "a", "Example", "example", "net", "Com", "x-1", "_dns"]);
    let label = prop_oneof![
        12 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..=63),
    ];
    proptest::collection::vec(label, 0..5).prop_filter_map("at most 255 octets", |labels| {
        let mut wire: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).collect();
        wire.push(0);
        Name::from_octets(wire).ok()
    })
}

fn v4() -> impl Strategy<Value = [u8; 4]> {
    let private = proptest::sample::select(vec![
        [10, 0, 0, 1],
        [192, 168, 1, 1],
        [127, 0, 0, 1],
        [172, 31, 255, 255],
        [172, 32, 0, 0],
        [100, 64, 0, 9],
        [100, 128, 0, 0],
        [169, 254, 1, 1],
        [0, 0, 0, 0],
    ]);
    prop_oneof![any::<[u8; 4]>(), private]
}

fn v6() -> impl Strategy<Value = [u8; 16]> {
    let private = proptest::sample::select(vec!["::", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "2001:db8::1"]);
    let private = private.prop_map(|text| text.parse::<std::net::Ipv6Addr>().expect("an address").octets());
    prop_oneof![any::<[u8; 16]>(), private]
}

/// Parameters of a service: a port, address hints, something unknown.
fn params() -> impl Strategy<Value = SvcParams<Vec<u8>>> {
    let hints = (proptest::collection::vec(v4(), 0..3), proptest::collection::vec(v6(), 0..3));
    (any::<Option<u16>>(), hints).prop_map(|(port, (v4, v6))| {
        SvcParams::from_values(|params| {
            if let Some(port) = port {
                params.push(&Port::new(port))?;
            }
            if !v4.is_empty() {
                let hint: Ipv4Hint<Vec<u8>> = Ipv4Hint::from_addrs(v4.iter().map(|ip| (*ip).into())).expect("few");
                params.push(&hint)?;
            }
            if !v6.is_empty() {
                let hint: Ipv6Hint<Vec<u8>> = Ipv6Hint::from_addrs(v6.iter().map(|ip| (*ip).into())).expect("few");
                params.push(&hint)?;
            }
            Ok(())
        })
        .expect("few parameters")
    })
}

pub(crate) fn data() -> impl Strategy<Value = Data> {
    let soa =
        (name(), name(), any::<[u32; 5]>()).prop_map(|(mname, rname, [serial, refresh, retry, expire, least])| {
            let seconds = Ttl::from_secs;
            Soa::new(mname, rname, Serial(serial), seconds(refresh), seconds(retry), seconds(expire), seconds(least))
        });
    let unknown = (1000u16..2000, proptest::collection::vec(any::<u8>(), 0..40));
    let service = || (any::<u16>(), name(), params());
    prop_oneof![
        3 => v4().prop_map(|ip| A::new(ip.into()).into()),
        3 => v6().prop_map(|ip| Aaaa::new(ip.into()).into()),
        3 => name().prop_map(|name| Cname::new(name).into()),
        1 => name().prop_map(|name| Dname::new(name).into()),
        1 => name().prop_map(|name| Ns::new(name).into()),
        1 => name().prop_map(|name| Ptr::new(name).into()),
        1 => (any::<u16>(), name()).prop_map(|(preference, name)| Mx::new(preference, name).into()),
        1 => (any::<[u16; 3]>(), name()).prop_map(|([a, b, c], name)| Srv::new(a, b, c, name).into()),
        1 => soa.prop_map(Data::Soa),
        1 => proptest::collection::vec(any::<u8>(), 1..300)
            .prop_map(|text| Data::Txt(Txt::build_from_slice(&text).expect("short"))),
        1 => service().prop_map(|(priority, name, params)| Data::Svcb(Svcb::new(priority, name, params).expect("short"))),
        1 => service().prop_map(|(priority, name, params)| Data::Https(Https::new(priority, name, params).expect("short"))),
        1 => unknown.prop_map(|(kind, data)| {
            Data::Unknown(UnknownRecordData::from_octets(Rtype::from_int(kind), data).expect("short"))
        }),
    ]
}

pub(crate) fn ttl() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0u32..100_000, 1 => any::<u32>(), 1 => proptest::sample::select(vec![0, 1, 1 << 31, (1 << 31) - 1, u32::MAX])]
}

fn made() -> impl Strategy<Value = Made> {
    (name(), ttl(), data()).prop_map(|(owner, ttl, data)| Made { owner, ttl, data })
}

pub(crate) fn upstream() -> impl Strategy<Value = Upstream> {
    let some = |most| proptest::collection::vec(made(), 0..most);
    let errors = proptest::collection::vec((0u16..40, "[a-z ]{0,60}"), 0..3);
    let code = prop_oneof![4 => Just(0u8), 2 => Just(3u8), 1 => 0u8..16];
    (code, any::<bool>(), some(8), some(4), some(5), proptest::option::of((0usize..5, errors))).prop_map(
        |(rcode, ad, answer, authority, additional, opt)| Upstream { rcode, ad, answer, authority, additional, opt },
    )
}

impl Upstream {
    /// The message, names compressed wherever `domain` would.
    pub(crate) fn build(&self, qname: &Name<Vec<u8>>, qtype: u16) -> Vec<u8> {
        let mut builder = MessageBuilder::from_target(TreeCompressor::new(Vec::new())).expect("memory");
        builder.header_mut().set_id(77);
        builder.header_mut().set_qr(true);
        builder.header_mut().set_rd(true);
        builder.header_mut().set_ra(true);
        builder.header_mut().set_ad(self.ad);
        builder.header_mut().set_rcode(Rcode::masked_from_int(self.rcode));
        let mut builder = builder.question();
        builder.push((qname, Rtype::from_int(qtype))).expect("memory");
        let mut builder = builder.answer();
        for record in &self.answer {
            builder.push((&record.owner, Class::IN, Ttl::from_secs(record.ttl), &record.data)).expect("memory");
        }
        let mut builder = builder.authority();
        for record in &self.authority {
            builder.push((&record.owner, Class::IN, Ttl::from_secs(record.ttl), &record.data)).expect("memory");
        }
        let mut builder = builder.additional();
        let place = self.opt.as_ref().map(|(place, errors)| ((*place).min(self.additional.len()), errors));
        for at in 0..=self.additional.len() {
            if let Some((_, errors)) = place.filter(|(place, _)| *place == at) {
                builder
                    .opt(|opt| {
                        opt.set_udp_payload_size(4096);
                        opt.push_raw_option(OptionCode::NSID, 4, |target| target.append_slice(b"nsid"))?;
                        for (code, text) in errors {
                            let error: ExtendedError<Vec<u8>> =
                                ExtendedError::new_with_str((*code).into(), text).expect("short");
                            opt.push(&error)?;
                        }
                        Ok(())
                    })
                    .expect("memory");
            }
            if let Some(record) = self.additional.get(at) {
                builder.push((&record.owner, Class::IN, Ttl::from_secs(record.ttl), &record.data)).expect("memory");
            }
        }
        builder.finish().into_target()
    }

    /// How many records of the additional section stand behind OPT.
    pub(crate) fn behind_opt(&self) -> usize {
        self.opt.as_ref().map_or(0, |(place, _)| self.additional.len().saturating_sub(*place))
    }
}

/// A record as `domain` reads it: section, owner, type, class, TTL, canonical
/// data. Letter case of names is gone from it.
pub(crate) type Seen = (usize, String, u16, u16, u32, Vec<u8>);

/// All records but OPT, in their order.
pub(crate) fn seen(message: &[u8]) -> Vec<Seen> {
    let message = Message::from_octets(message).expect("a whole header");
    let (_, answer, authority, additional) = message.sections().expect("whole sections");
    let mut all = Vec::new();
    for (section, records) in [answer, authority, additional].into_iter().enumerate() {
        for record in records {
            let record = record.expect("a whole record");
            if record.rtype() == Rtype::OPT {
                continue;
            }
            let record: Record<_, AllRecordData<_, ParsedName<_>>> =
                record.to_any_record().expect("data that fits its type");
            let mut data = Vec::new();
            record.data().compose_canonical_rdata(&mut data).expect("memory");
            let owner = record.owner().to_name::<Vec<u8>>().to_string().to_ascii_lowercase();
            let (kind, class) = (record.rtype().to_int(), record.class().to_int());
            all.push((section, owner, kind, class, record.ttl().as_secs(), data));
        }
    }
    all
}
