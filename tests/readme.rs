//! What the README tells a reader to do is done, and what it shows is compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Fenced blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Commands of a console block, each with the output that is shown.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => all.push((command.to_owned(), String::new())),
            None => {
                let (_, output) = all.last_mut().expect("a block begins with a command");
                *output += line;
                *output += "\n";
            }
        }
    }
    all
}

/// Ids are random, serials and ages grow: compared as 0.
fn steady(output: &str) -> String {
    let mut steady = String::new();
    for line in output.lines() {
        let mut line = line.split(", made ").next().unwrap().to_owned();
        for before in ["id: ", "serial "] {
            if let Some((head, tail)) = line.split_once(before) {
                line = format!("{head}{before}0{}", tail.trim_start_matches(|c: char| c.is_ascii_digit()));
            }
        }
        steady += &line;
        steady += "\n";
    }
    steady
}

fn shell(command: &str, folder: &Path) -> String {
    let manifest = root().join("Cargo.toml");
    let command = command.replace("cargo run", &format!("cargo run --manifest-path '{}'", manifest.display()));
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &command])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_first_screen_has_the_two_commands() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let first: String = text.lines().take(30).collect::<Vec<_>>().join("\n");
    assert!(first.contains("```console\ncargo run --release\ntests/run\n```"));
}

#[test]
fn the_built_in_defaults_answer_as_shown() {
    let resolver = Command::new(env!("CARGO_BIN_EXE_friendly-resolver"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the resolver starts");
    let _running = Running(resolver);
    let folder = tempfolder("defaults");
    let end = Instant::now() + Duration::from_secs(10);
    while shell("dig @127.0.0.1 -p 1053 +tries=1 +time=1 +short localhost || true", &folder) != "127.0.0.1\n" {
        assert!(Instant::now() < end, "no answer on 127.0.0.1:1053; is another resolver running there?");
    }
    let consoles = blocks("console");
    let digs = consoles.iter().find(|block| block.contains("$ dig ")).expect("a block with dig");
    for (command, shown) in commands(digs) {
        assert_eq!(steady(&shell(&command, &folder)), steady(&shown), "{command}");
    }
    assert_eq!(shell("dig @::1 -p 1053 +tcp +short localhost AAAA", &folder), "::1\n");
}

#[test]
fn lists_and_configuration_work_as_shown() {
    let folder = tempfolder("lists");
    let configurations = blocks("toml");
    assert_eq!(configurations.len(), 1);
    fs::write(folder.join("friendly.toml"), &configurations[0]).unwrap();
    let mut run = 0;
    for block in blocks("console").iter().filter(|block| block.contains("$ ") && !block.contains("$ dig")) {
        for (command, shown) in commands(block) {
            let output = shell(&command, &folder);
            // Where no output is shown, it is the command that counts.
            assert!(shown.is_empty() || steady(&output) == steady(&shown), "{command}\n{output}");
            run += 1;
        }
    }
    assert!(run >= 5, "{run} commands");
}

fn tempfolder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("friendly-readme-{name}-{}", std::process::id()));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}
