//! What the fuzzers found once, held without them: every file of
//! `tests/fuzz/corpus/TARGET` goes through the function that its target calls.

use std::fs;
use std::path::Path;

#[path = "fuzz/targets.rs"]
mod targets;
#[path = "bench/world.rs"]
mod world;

#[test]
fn every_kept_input_of_the_fuzzers_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for (target, run) in targets::ALL {
        let folder = corpus.join(target);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("a folder can be read").path())
            .collect();
        files.sort();
        assert!(files.len() >= 5, "{target} has {} files only", files.len());
        for file in files {
            let input = fs::read(&file).expect("a file can be read");
            // Names the file if what follows panics.
            println!("{}", file.display());
            run(&input);
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the fuzz crate is there");
    for (target, _) in targets::ALL {
        assert!(fuzz.join(format!("fuzz_targets/{target}.rs")).exists(), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
    assert_eq!(fs::read_dir(fuzz.join("corpus")).expect("the corpus is there").count(), targets::ALL.len());
}
