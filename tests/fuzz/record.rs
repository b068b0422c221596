//! A hotline's records, in whichever form they come.

use std::sync::LazyLock;

use friendly_blocklist::takedown::scheme::Scheme;
use friendly_blocklist::takedown::{Host, MAX_RECORDS, read};
use friendly_blocklist::texts::Language;
use friendly_blocklist::triage::{Triage, Verdict};

/// Sentences of one input that are said: the texts are slow beside everything else.
const SAID: usize = 8;

static SHIPPED: LazyLock<(Scheme, Triage)> = LazyLock::new(|| (Scheme::shipped(), Triage::shipped()));

/// Read, judged, and what is wrong told to the hotline: all the way to the ledger, which takes what is left.
pub fn record(input: &[u8]) {
    let (scheme, triage) = &*SHIPPED;
    let reading = read(input, scheme);
    assert!(reading.takedowns.len() + reading.refused.len() <= MAX_RECORDS + 1);
    let mut sentences = Vec::new();
    for (_, takedown) in &reading.takedowns {
        let known = scheme.category(&takedown.category).expect("a category of the scheme");
        assert_eq!(known.class, takedown.class);
        if let Some(reference) = &takedown.legal_reference {
            assert!(!reference.as_str().contains(['@', '\n']) && !reference.as_str().contains("://"));
        }
        match triage.judge(takedown, scheme) {
            Verdict::Entry(name) => {
                assert!(!name.is_root() && takedown.host == Host::Name(name), "what is blocked is what was reported");
                assert!(known.dns);
            }
            Verdict::TakedownOnly(ground) => {
                if sentences.len() < SAID {
                    sentences.extend(Language::ALL.map(|language| ground.sentence(language)));
                }
            }
        }
    }
    for refusal in &reading.refused {
        assert!(!refusal.problems.is_empty(), "a refusal says why");
        for problem in refusal.problems.iter().take(SAID.saturating_sub(sentences.len())) {
            assert!(
                problem.field.as_ref().is_none_or(|field| field.len() <= 40),
                "a field that says more than its name"
            );
            sentences.extend(Language::ALL.map(|language| problem.reason.sentence(language)));
        }
    }
    for sentence in sentences {
        assert!(sentence.contains(' ') || sentence.ends_with('.'), "there is a text for {sentence}");
        assert!(!sentence.contains("{$"), "{sentence}");
    }
    // A mark in front, as spreadsheets put it there, changes nothing.
    if !input.starts_with(b"\xef\xbb\xbf") {
        let marked = read(&[b"\xef\xbb\xbf", input].concat(), scheme);
        assert_eq!((marked.takedowns, marked.refused), (reading.takedowns, reading.refused));
    }
}
