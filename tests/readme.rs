//! What the README tells a reader to do is done, and what it shows is compared.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use friendly_resolver::config::Config;

/// Who has the ports that the README speaks of.
static PORTS: Mutex<()> = Mutex::new(());
/// Whole walkthrough, in seconds: some ten of them are two times waiting for the resolver to look.
const PATIENCE: u32 = 300;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What stands under a heading.
fn section(title: &str) -> String {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = text.split_once(&format!("\n## {title}\n")).expect("the heading is there");
    rest.split("\n## ").next().unwrap().to_owned()
}

/// Fenced blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    fenced(&fs::read_to_string(root().join("README.md")).unwrap(), language)
}

fn fenced(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Commands of a console block, each with the output that is shown. One goes on after a backslash, and until its `END`.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => all.push((command.to_owned(), String::new())),
            None if all.last().is_some_and(|(command, _)| is_open(command)) => {
                let (command, _) = all.last_mut().expect("it was looked at");
                *command += "\n";
                *command += line;
            }
            None => {
                let (_, output) = all.last_mut().expect("a block begins with a command");
                *output += line;
                *output += "\n";
            }
        }
    }
    all
}

fn is_open(command: &str) -> bool {
    command.ends_with('\\') || command.contains("<<END") && !command.ends_with("\nEND")
}

/// Ids are random, serials and ages grow, dates and seconds are of the day: compared as 0.
fn steady(output: &str) -> String {
    let mut steady = String::new();
    for line in output.lines() {
        let mut line = line.split(", made ").next().unwrap().to_owned();
        for before in ["id: ", "serial ", "listed until ", "in force after "] {
            if let Some((head, tail)) = line.split_once(before) {
                line = format!(
                    "{head}{before}0{}",
                    tail.trim_start_matches(|c: char| c.is_ascii_digit() || "-.".contains(c))
                );
            }
        }
        steady += &line;
        steady += "\n";
    }
    steady
}

/// Where the programs of the release build are. It is made by `tests/build`, as `tests/run` has done already: what
/// `cargo run` builds for one package has other features of its dependencies, and takes as long once more.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let here = Path::new(env!("CARGO_BIN_EXE_friendly-resolver"));
        let target = here.ancestors().nth(2).expect("a folder in the target directory");
        let mut build = Command::new(root().join("tests/build"));
        build.args(["--quiet", "--target-dir"]).arg(target);
        assert!(build.status().expect("tests/build starts").success());
        target.join("release")
    })
}

/// A command, with the program in place of the `cargo run` that builds and starts it.
fn built(command: &str) -> String {
    const RUN: &str = "cargo run --release -q";
    let program = |name: &str| format!("'{}' ", programs().join(name).display());
    let command = command.replace(&format!("{RUN} -p friendly-blocklist -- "), &program("friendly-blocklist"));
    let command = command.replace(&format!("{RUN} -- "), &program("friendly-resolver"));
    assert!(!command.contains("cargo run"), "{command}");
    command
}

fn shell(command: &str, folder: &Path) -> String {
    let command = if command.contains("cargo") { built(command) } else { command.to_owned() };
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

/// A program that answers every question with the same address, as the internet would.
fn internet() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let mut end = 12;
            while packet[end] != 0 {
                end += 1 + usize::from(packet[end]);
            }
            let end = end + 5;
            assert!(end <= length, "the resolver asks whole questions");
            let mut answer = packet[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 31, 196, 1]);
            socket.send_to(&answer, from).unwrap();
        }
    });
    address.to_string()
}

/// A shell with all that it started, which ends with it.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status());
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
    let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut resolver = Command::new(env!("CARGO_BIN_EXE_friendly-resolver"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the resolver starts");
    let mut stderr = BufReader::new(resolver.stderr.take().expect("piped"));
    let _running = Running(resolver);
    let lines = stderr.by_ref().lines().map_while(Result::ok);
    let greeting: Vec<String> = lines.take_while(|line| !line.starts_with("Stop:")).collect();
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
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(shell(&format!("dig @::1 -p 1053 {transport} +short localhost AAAA"), &folder), "::1\n");
    }

    // What it prints to try, and what it says will come.
    let told = |word: &str| {
        let found = greeting.iter().find_map(|line| line.strip_prefix(word));
        found.unwrap_or_else(|| panic!("no '{word}' in {greeting:?}")).trim().to_owned()
    };
    let (answer, expected) = (shell(&told("Try:"), &folder), told("Expect:"));
    let (status, error) = expected.split_once(", and ").expect("a status and a reason");
    assert!(answer.contains(&status.replace("status ", "status: ")), "{expected}\n{answer}");
    let error = error.trim_end_matches('.').trim_matches('"');
    assert!(error.starts_with("EDE: ") && answer.contains(error), "{expected}\n{answer}");
}

#[test]
fn lists_and_configuration_work_as_shown() {
    let folder = tempfolder("lists");
    let configurations = blocks("toml");
    let [own, encrypted, page] = &configurations[..] else { panic!("{} configurations", configurations.len()) };
    fs::write(folder.join("friendly.toml"), own).unwrap();
    // What is added for encrypted transports and for people is good beside it.
    let all = format!("{own}\n{encrypted}\n{page}");
    let all = Config::parse(&all, &folder.join("all.toml")).expect("a good configuration");
    assert!(all.tls.is_some() && all.discovery.is_some() && all.report.is_some());
    assert!(all.stop_page.is_some_and(|page| page.reviews.is_some()));
    let mut run = 0;
    let own_lists = section("Your own lists");
    for block in fenced(&own_lists, "console") {
        for (command, shown) in commands(&block) {
            let output = shell(&command, &folder);
            // Where no output is shown, it is the command that counts.
            assert!(shown.is_empty() || steady(&output) == steady(&shown), "{command}\n{output}");
            run += 1;
        }
    }
    assert!(run >= 5, "{run} commands");
}

#[test]
fn a_decision_becomes_a_block_and_is_lifted_again_as_shown() {
    let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfolder("walkthrough");
    let all: Vec<_> =
        fenced(&section("From a decision to a block"), "console").iter().flat_map(|it| commands(it)).collect();
    let (build, rest) = all.split_first().expect("commands");
    assert_eq!(build.0, "cargo build --release --workspace && PATH=$PWD/target/release:$PATH");
    // One shell for all, and a mark after each command.
    let mut script = format!("PATH='{}':$PATH\n", programs().display());
    for (command, _) in rest {
        // There may be no internet here.
        if command.starts_with("friendly-resolver --config") {
            script += &format!("printf '[upstream]\\nservers = [\"{}\"]\\n' >> friendly.toml\n", internet());
        }
        script += &format!("{command}\nprintf '\\036'\n");
    }
    let path = folder.join("walkthrough.sh");
    fs::write(&path, script).unwrap();
    let [out, errors] = ["out", "errors"].map(|name| folder.join(name));
    let bash = Command::new("timeout")
        .args([&PATIENCE.to_string(), "bash", "-euo", "pipefail"])
        .arg(&path)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(&errors).unwrap())
        .process_group(0)
        .spawn()
        .expect("bash runs");
    let mut bash = Shell(bash);
    let status = bash.0.wait().unwrap();
    let text = fs::read_to_string(&out).unwrap();
    let mut outputs = text.split('\u{1e}');
    for (command, shown) in rest {
        let output = outputs.next().unwrap_or_default();
        let told = || format!("{command}\n{output}\n{}", fs::read_to_string(&errors).unwrap_or_default());
        assert!(shown.is_empty() || steady(output) == steady(shown), "{}", told());
    }
    assert!(status.success(), "{status}\n{text}\n{}", fs::read_to_string(&errors).unwrap());
    assert_eq!(outputs.collect::<Vec<_>>(), [""], "all commands were run to the end");
    for port in [1053, 8053] {
        let free = TcpListener::bind(("127.0.0.1", port));
        assert!(free.is_ok(), "a program that was started still answers on port {port}");
    }

    // Not how fast: that they are seconds of this run.
    let after = |line: &str| line.split_once("in force after ")?.1.strip_suffix(" s")?.parse().ok();
    let measured: Vec<f64> = text.lines().filter_map(after).collect();
    let most = f64::from(PATIENCE);
    assert!(measured.len() == 2 && measured.iter().all(|seconds| (0.0..most).contains(seconds)), "{measured:?}");
    fs::remove_dir_all(folder).unwrap();
}

fn tempfolder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("friendly-readme-{name}-{}", std::process::id()));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}
