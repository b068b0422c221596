//! The program as a user runs it.

use std::path::Path;
use std::process::{Command, Stdio};

/// What the program did.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_friendly-blocklist"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command
}

/// Runs the program as somebody at a terminal who answers, and gives what both of them wrote there.
#[allow(dead_code)] // not all tests that share this module ask
pub(crate) fn answered(directory: &Path, arguments: &[&str], answer: &str) -> Ended {
    let program = env!("CARGO_BIN_EXE_friendly-blocklist");
    let words: Vec<String> = [program].iter().chain(arguments).map(|word| format!("'{word}'")).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).current_dir(directory);
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = script.spawn().expect("script is installed (util-linux)");
    // Kept open: its end would be an answer, too.
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, format!("{answer}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    ended(output)
}

pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Ended {
    ended(command(directory, arguments).output().unwrap())
}

pub(crate) fn ended(output: std::process::Output) -> Ended {
    let text = |octets| String::from_utf8(octets).unwrap();
    Ended { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Ended {
    pub(crate) fn fine(self) -> Ended {
        assert_eq!(self.status, Some(0), "{}{}", self.out, self.err);
        self
    }

    /// Done, but a release is not in force yet: ended with 4, and standard error is one sentence that says why.
    #[allow(dead_code)] // not all tests that share this module have releases
    pub(crate) fn pending(self, parts: &[&str]) -> Ended {
        assert_eq!(self.status, Some(4), "{}{}", self.out, self.err);
        assert_eq!(self.err.lines().filter(|line| line.contains("not in force yet")).count(), 1, "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {:?}", self.err);
        }
        self
    }

    /// Ended with 1, and standard error is one sentence that holds all of these.
    pub(crate) fn failed_with(self, parts: &[&str]) -> Ended {
        assert_eq!(self.status, Some(1), "{}{}", self.out, self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {:?}", self.err);
        }
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}
