//! Octets that nobody made on purpose. What each function does with them, and
//! what has to hold of the result, stands in `tests/fuzz/targets.rs`.

use friendly_resolver::wire::{WireName, records, skip_name};
use proptest::prelude::*;

use crate::made::{name, upstream};
use crate::targets;

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let to = prop_oneof![any::<u8>(), Just(0u8), Just(0xc0), Just(0xff), Just(12)];
    proptest::collection::vec((any::<prop::sample::Index>(), to), 0..6)
}

fn change(message: &mut [u8], changes: Vec<(prop::sample::Index, u8)>) {
    for (at, to) in changes {
        let at = at.index(message.len());
        message[at] = to;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_octets_at_all(octets in proptest::collection::vec(any::<u8>(), 0..300), start in any::<usize>()) {
        targets::packet(&octets);
        targets::upstream(&octets);
        let mut name = WireName::ROOT;
        for at in [start, start % 300] {
            let _ = name.read(&octets, at);
            let _ = name.read_plain(&octets, at);
            let _ = skip_name(&octets, at);
            prop_assert!(records(&octets, at).count() <= octets.len() + 1);
        }
    }

    #[test]
    fn changed_messages_of_upstreams(made in upstream(), qname in name(), qtype in any::<u8>(), how in any::<u8>(), changes in changes(), cut in 0usize..60) {
        let mut message = made.build(&qname, u16::from(qtype));
        // The header's counts and the question are hit by chance as well.
        change(&mut message, changes);
        let cut = cut.saturating_sub(40);
        message.truncate(message.len() - cut.min(message.len()));
        targets::upstream(&[&[how], &message[..]].concat());
        targets::packet(&[&[how], &message[..]].concat());
    }
}
