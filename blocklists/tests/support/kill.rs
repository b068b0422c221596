//! The program killed at a certain point of its work: before its n-th change of a disk. Not after some time, which would
//! be another point on every machine.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// System calls that change what is on a disk, or say that it is there to stay. Some do not exist everywhere.
const CHANGES: &str =
    "write,pwrite64,fsync,fdatasync,ftruncate,?rename,renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,linkat";

fn strace(directory: &Path, options: &[&str], arguments: &[&str]) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq"]).args(options).arg(env!("CARGO_BIN_EXE_friendly-blocklist")).args(arguments);
    strace.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    strace
}

/// Runs the program to its end, and gives how many changes its busiest thread makes.
pub(crate) fn changes(directory: &Path, arguments: &[&str]) -> usize {
    let log = directory.join("changes.log");
    let mut command = strace(directory, &["-e", &format!("trace={CHANGES}"), "-o", "changes.log"], arguments);
    assert!(command.status().expect("install the Debian package 'strace'").success(), "{arguments:?}");
    let mut threads: HashMap<String, usize> = HashMap::new();
    for line in std::fs::read_to_string(&log).expect("strace writes it").lines().filter(|line| line.contains('(')) {
        *threads.entry(line.split(' ').next().unwrap_or("").to_owned()).or_default() += 1;
    }
    std::fs::remove_file(log).expect("our own file");
    threads.into_values().max().expect("at least one change")
}

/// Kills the program before the `turn`-th change of one of its threads; `false` if it had ended before.
pub(crate) fn killed_before(turn: usize, directory: &Path, arguments: &[&str]) -> bool {
    let (trace, kill) = (format!("trace={CHANGES}"), format!("inject={CHANGES}:signal=SIGKILL:when={turn}"));
    let status = strace(directory, &["-e", &trace, "-e", &kill, "-o", "/dev/null"], arguments).status();
    // strace ends as the program did.
    status.expect("install the Debian package 'strace'").signal() == Some(9)
}

/// `rounds` turns from the first change to behind the last one.
pub(crate) fn turns(rounds: usize, changes: usize) -> impl Iterator<Item = usize> {
    (0..rounds).map(move |round| 1 + round * (changes + 1) / rounds)
}
