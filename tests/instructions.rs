//! How many instructions an answer costs, with a million names on the list.
//!
//! Counted, not timed: callgrind gives the same number in each run, on a busy
//! machine too. `tests/bench/instructions KIND` shows where they go. It is driven
//! directly and not through gungraun, which needs a runner of its very version
//! installed beside cargo; what it would add is here the one switch that says
//! where counting begins and ends.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Most instructions for one answer of each kind, some ten per cent above what
/// was measured when the line was last changed: x86-64, release build.
/// Whoever makes an answer cheaper lowers its line.
const BUDGET: [(&str, u64, &str); 7] = [
    ("blocked", 2700, "a listed name of three labels, NXDOMAIN"),
    ("null", 2760, "a listed name of three labels, 0.0.0.0"),
    ("cached", 3160, "two addresses from memory"),
    ("alias", 3190, "two CNAME records and an address from memory"),
    ("negative", 3100, "NXDOMAIN from memory"),
    ("local", 2310, "a name below .local"),
    ("later", 2880, "neither listed nor in memory: on its way to an upstream"),
];
/// Names on the list.
const NAMES: &str = "1000000";
/// Answers that are counted.
const ANSWERS: u64 = 1000;

#[test]
fn answers_keep_to_their_instruction_budget() {
    let program = build();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let list = folder.join("budget.list");
    let made = Command::new(&program).arg("list").arg(&list).arg(NAMES).status().expect("the example starts");
    assert!(made.success(), "the example cannot write {}", list.display());
    let octets = std::fs::metadata(&list).expect("it was written").len();
    assert!(octets < 11 << 20, "a million names take {octets} octets, more than 11 MiB");

    let mut over = Vec::new();
    for (kind, most, what) in BUDGET {
        let each = count(&program, &list, kind) / ANSWERS;
        println!("{kind:8} {each:5} of {most:5}  {what}");
        if each > most {
            over.push(format!("{kind} ({what}): {each} instructions, {most} allowed"));
        }
    }
    assert!(over.is_empty(), "over budget; `tests/bench/instructions KIND` shows where they go: {over:#?}");
}

/// The example as users' release builds are made; quick when it is there.
fn build() -> PathBuf {
    // Where the tests put things, if that was said on the command line.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder in the target directory");
    let mut build = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/build"));
    build.args(["--quiet", "--target-dir"]).arg(target);
    assert!(build.status().expect("tests/build starts").success(), "the example 'budget' cannot be built for release");
    target.join("release/examples/budget")
}

/// Instructions of all answers of one run.
fn count(program: &Path, list: &Path, kind: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=budget::counted"])
        .arg(program)
        .arg("ask")
        .arg(list)
        .args([kind, &ANSWERS.to_string()])
        .output()
        .expect("valgrind counts the instructions and is not there: install the Debian package 'valgrind'");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{kind}: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let sum: u64 = collected.unwrap_or_else(|| panic!("valgrind told no sum: {said}"));
    assert!(sum > ANSWERS * 100, "{kind}: only {sum} instructions; was `counted` inlined?");

    let sent = String::from_utf8_lossy(&output.stdout);
    let expected = if kind == "later" { 0 } else { ANSWERS };
    assert_eq!(sent.trim(), format!("{expected} of {ANSWERS} sent"), "{kind}");
    sum
}
