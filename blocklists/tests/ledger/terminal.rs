//! Somebody at a terminal, who is asked before a key signs anything.

use crate::program::answered;
use crate::verbs::{as_, desk};

const RECORDS: &str = "case_ref,source,category,name,url,legal_basis,dedicated_attestation,assessed_at\n\
    1,isigurt,csam,one.test,,law-18-2017,yes,2026-03-01\n\
    2,isigurt,csam,two.test,,law-18-2017,yes,2026-03-01\n";

#[test]
fn each_step_of_a_case_happens_with_a_yes_and_with_nothing_else() {
    let world = desk("terminal");
    world.write("r.csv", RECORDS);
    as_(&world, "analyst", &["intake", "r.csv"]).fine();
    let entries = || world.run(&["ledger", "verify", "--json"]).fine().json()["entries"].clone();
    let state = |case: &str| world.run(&["status", case, "--json"]).fine().json()["stands"].clone();
    for (key, question, words) in [
        ("analyst", "the whole domain dedicated to it?", &["review", "isigurt/1"][..]),
        ("besa", "Block ", &["approve", "isigurt/1"]),
        ("cen", "Block ", &["approve", "isigurt/1"]),
        ("analyst", "Record an appeal against ", &["appeal", "open", "isigurt/1"]),
        ("officer", "Go on blocking ", &["appeal", "uphold", "isigurt/1", "--reason", "it is right"]),
        ("besa", "Stop blocking ", &["withdraw", "isigurt/1", "--reason", "it is wrong"]),
        ("officer", "Reject isigurt/2", &["reject", "isigurt/2", "--reason", "it is wrong"]),
    ] {
        let case = *words.iter().find(|word| word.starts_with("isigurt")).unwrap();
        let (before, known) = (state(case), entries());
        let key = format!("{key}.pem");
        let arguments = [words, &["--key", &key]].concat();
        for no in ["n", "", "perhaps"] {
            let asked = answered(&world.directory, &arguments, no);
            assert_eq!(asked.status, Some(1), "{asked:?}");
            assert!(asked.out.contains(question) && asked.out.contains("nothing was signed"), "{asked:?}");
            assert_eq!((state(case), entries()), (before.clone(), known.clone()), "{words:?} {no:?}");
        }
        let asked = answered(&world.directory, &arguments, "y").fine();
        assert!(asked.out.contains(question), "{asked:?}");
        assert!(state(case) != before && entries() != known, "{words:?}");
    }
}
