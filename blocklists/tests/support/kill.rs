//! A program killed at a certain point of its work: before its n-th change of a disk. Not after some time, which would be
//! another point on every machine. Tests of the resolver use it, too.

#![allow(dead_code)] // each test binary uses its own part

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// System calls that change what is on a disk, or say that it is there to stay. Some do not exist everywhere.
const CHANGES: &str =
    "write,pwrite64,fsync,fdatasync,ftruncate,?rename,renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,linkat";

/// What a program is started below to have its changes written down. The tracer stands beside, so that the program stays
/// the child of whoever starts it.
pub(crate) fn traced(log: &str) -> Vec<String> {
    strace(&["-e", &format!("trace={CHANGES}"), "-o", log])
}

/// What a program is started below to be killed before the `turn`-th change of one of its threads.
pub(crate) fn killing(turn: usize) -> Vec<String> {
    let (trace, kill) = (format!("trace={CHANGES}"), format!("inject={CHANGES}:signal=SIGKILL:when={turn}"));
    strace(&["-e", &trace, "-e", &kill, "-o", "/dev/null"])
}

fn strace(options: &[&str]) -> Vec<String> {
    ["strace", "-D", "-f", "-qqq"].iter().chain(options).map(|word| (*word).to_owned()).collect()
}

/// How many changes the busiest thread made, from what was written down.
pub(crate) fn busiest(log: &str) -> usize {
    let mut threads: HashMap<&str, usize> = HashMap::new();
    for line in log.lines().filter(|line| line.contains('(')) {
        *threads.entry(line.split(' ').next().unwrap_or("")).or_default() += 1;
    }
    threads.into_values().max().expect("at least one change")
}

fn below(words: &[String], program: &str, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program).args(arguments).current_dir(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs a program to its end, and gives how many changes its busiest thread makes.
pub(crate) fn changes(program: &str, directory: &Path, arguments: &[&str]) -> usize {
    let log = directory.join("changes.log");
    // Not beside: its end is the end of what is written down.
    let words: Vec<String> = traced("changes.log").into_iter().filter(|word| word != "-D").collect();
    let mut command = below(&words, program, directory, arguments);
    assert!(command.status().expect("install the Debian package 'strace'").success(), "{arguments:?}");
    let changes = busiest(&std::fs::read_to_string(&log).expect("strace writes it"));
    std::fs::remove_file(log).expect("our own file");
    changes
}

/// Kills a program before the `turn`-th change of one of its threads; `false` if it had ended before.
pub(crate) fn killed_before(turn: usize, program: &str, directory: &Path, arguments: &[&str]) -> bool {
    let status = below(&killing(turn), program, directory, arguments).status();
    status.expect("install the Debian package 'strace'").signal() == Some(9)
}

/// `rounds` turns from the first change to behind the last one.
pub(crate) fn turns(rounds: usize, changes: usize) -> impl Iterator<Item = usize> {
    (0..rounds).map(move |round| 1 + round * (changes + 1) / rounds)
}
