//! What a client's packet says, and which are refused.

use domain::base::iana::{Class, Opcode, OptionCode, Rtype};
use domain::base::name::ToName;
use domain::base::{Message, MessageBuilder, Name};
use domain::dep::octseq::OctetsBuilder;
use friendly_resolver::query::{Query, Refusal};
use proptest::prelude::*;

use crate::made::name;

/// A question to be built.
#[derive(Clone, Debug)]
struct Asked {
    id: u16,
    flags: [bool; 3],
    name: Name<Vec<u8>>,
    qtype: u16,
    qclass: u16,
    edns: Option<Edns>,
}

/// Payload size, DO, and options.
type Edns = (u16, bool, Vec<(u16, Vec<u8>)>);

fn asked() -> impl Strategy<Value = Asked> {
    let options = proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..4);
    let edns = proptest::option::of((any::<u16>(), any::<bool>(), options));
    (any::<u16>(), any::<[bool; 3]>(), name(), any::<u16>(), any::<u16>(), edns)
        .prop_map(|(id, flags, name, qtype, qclass, edns)| Asked { id, flags, name, qtype, qclass, edns })
}

impl Asked {
    fn build(&self) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        let [rd, ad, cd] = self.flags;
        builder.header_mut().set_id(self.id);
        builder.header_mut().set_rd(rd);
        builder.header_mut().set_ad(ad);
        builder.header_mut().set_cd(cd);
        let mut builder = builder.question();
        builder.push((&self.name, Rtype::from_int(self.qtype), Class::from_int(self.qclass))).expect("memory");
        let mut builder = builder.additional();
        if let Some((payload, dnssec_ok, options)) = &self.edns {
            builder
                .opt(|opt| {
                    opt.set_udp_payload_size(*payload);
                    opt.set_dnssec_ok(*dnssec_ok);
                    for (code, data) in options {
                        let length = data.len() as u16;
                        opt.push_raw_option(OptionCode::from_int(*code), length, |target| target.append_slice(data))?;
                    }
                    Ok(())
                })
                .expect("memory");
        }
        builder.finish()
    }
}

fn refusal(packet: &[u8]) -> Option<Refusal> {
    Query::parse(packet).err()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_question_is_read_as_it_was_asked(asked in asked()) {
        let packet = asked.build();
        let query = Query::parse(&packet).expect("a good question");
        let mut canonical = Vec::new();
        asked.name.compose_canonical(&mut canonical).expect("memory");
        prop_assert_eq!(query.name.as_wire(), &canonical[..]);
        prop_assert_eq!(query.name.labels(), asked.name.label_count() - 1);
        prop_assert_eq!((query.id, query.qtype, query.qclass), (asked.id, asked.qtype, asked.qclass));
        prop_assert_eq!(query.question_end, 12 + asked.name.len() + 4);
        let [_, ad, cd] = asked.flags;
        let expected = asked.edns.as_ref().map(|(payload, dnssec_ok, _)| ((*payload).max(512), *dnssec_ok));
        prop_assert_eq!(query.edns.map(|edns| (edns.payload, edns.dnssec_ok)), expected);
        prop_assert_eq!(query.checking_disabled(), cd);
        prop_assert_eq!(query.wants_ad(), ad || expected.is_some_and(|(_, dnssec_ok)| dnssec_ok));
    }

    #[test]
    fn what_is_no_single_plain_question_is_refused(asked in asked(), opcode in 1u8..16, version in 1u8.., cut in any::<prop::sample::Index>()) {
        let packet = asked.build();

        let mut answer = packet.clone();
        answer[2] |= 0x80;
        prop_assert_eq!(refusal(&answer), Some(Refusal::Silence));

        let mut other = Message::from_octets(packet.clone()).expect("a message");
        other.header_mut().set_opcode(Opcode::from_int(opcode));
        prop_assert_eq!(refusal(other.as_slice()), Some(Refusal::Code(4)));

        let cut = cut.index(packet.len());
        prop_assert_eq!(refusal(&packet[..cut]), Some(if cut < 12 { Refusal::Silence } else { Refusal::Code(1) }));
        prop_assert_eq!(refusal(&[&packet[..], &[0]].concat()), Some(Refusal::Code(1)));

        for counts in [[2, 0, 0], [0, 0, 0], [1, 1, 0], [1, 0, 1]] {
            let mut wrong = packet.clone();
            for (at, count) in [5, 7, 9].into_iter().zip(counts) {
                wrong[at] = count;
            }
            prop_assert_eq!(refusal(&wrong), Some(Refusal::Code(1)), "{:?}", counts);
        }

        // Whole records, where a question has none to give.
        let question_end = Query::parse(&packet).expect("a good question").question_end;
        let record = [0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1];
        for count in [7, 9] {
            let mut giving = [&packet[..question_end], &record, &packet[question_end..]].concat();
            giving[count] = 1;
            prop_assert_eq!(refusal(&giving), Some(Refusal::Code(1)));
        }

        if asked.edns.is_some() {
            let opt_at = Query::parse(&packet).expect("a good question").question_end;
            let mut newer = packet.clone();
            newer[opt_at + 6] = version;
            prop_assert_eq!(refusal(&newer), Some(Refusal::BadVersion));

            let mut two = [&packet[..], &packet[opt_at..]].concat();
            two[11] = 2;
            prop_assert_eq!(refusal(&two), Some(Refusal::Code(1)));

            // The owner of OPT is the root, and nothing else.
            let mut owned = packet[..opt_at].to_vec();
            owned.extend_from_slice(&[1, b'a', 0]);
            owned.extend_from_slice(&packet[opt_at + 1..]);
            prop_assert_eq!(refusal(&owned), Some(Refusal::Code(1)));
        }
    }

    #[test]
    fn changed_questions_are_read_as_the_oracle_reads_them(
        asked in asked(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut packet = asked.build();
        for (at, to) in changes {
            let at = at.index(packet.len());
            packet[at] = to;
        }
        let Ok(query) = Query::parse(&packet) else { return Ok(()) };
        let message = Message::from_octets(&packet[..]).expect("a header");
        let question = message.sole_question().expect("one question");
        let mut canonical = Vec::new();
        question.qname().compose_canonical(&mut canonical).expect("memory");
        prop_assert_eq!(query.name.as_wire(), &canonical[..]);
        prop_assert_eq!((query.qtype, query.qclass), (question.qtype().to_int(), question.qclass().to_int()));
        let opt = message.opt();
        prop_assert_eq!(query.edns.map(|edns| edns.payload), opt.as_ref().map(|opt| opt.udp_payload_size().max(512)));
        prop_assert_eq!(query.dnssec_ok(), opt.is_some_and(|opt| opt.dnssec_ok()));
    }
}
