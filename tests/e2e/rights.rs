//! What only root may do: networks apart, other users. Where a test cannot be
//! run, that is written down for `tests/run`, which tells it at its end: cargo
//! shows nothing of tests that pass.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Whether this is root. Where it is not, the test that asks is left out.
pub(crate) fn is_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("not-run");
        let file = OpenOptions::new().create(true).append(true).open(path);
        // In one piece: other tests write at the same time.
        let line = format!("{name}: needs root\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the target directory can be written");
    }
    root
}

/// Runs a test in a network namespace of its own, which has loopback and nothing
/// else, with all threads and processes that it starts.
pub(crate) fn apart(test: impl FnOnce() + Send) {
    if !is_root() {
        return;
    }
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|status| status.success()), "install the Debian package 'iproute2'");
        test();
    };
    // A thread of its own, which does not go on to other tests.
    if let Err(panic) = std::thread::scope(|scope| scope.spawn(inside).join()) {
        std::panic::resume_unwind(panic);
    }
}
