//! `friendly-blocklist compile` as an operator meets it: the real program, files, exit status and messages.
//!
//! All names are invented, under `.test` and `.example`, but those whose refusal is what is tested.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::List;
use signed_list::name::Name;

/// A directory of its own for each test, taken away at its end.
struct World(PathBuf);

/// What the program did.
struct Ended {
    status: Option<i32>,
    out: String,
    err: String,
}

impl World {
    fn new(test: &str) -> World {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        World(directory)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).unwrap();
    }

    /// Runs `compile --category test --out out.list ...` in the directory.
    fn compile(&self, arguments: &[&str]) -> Ended {
        self.compile_from(arguments, b"")
    }

    fn compile_from(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_friendly-blocklist"));
        command.args(["compile", "--category", "test", "--out", "out.list"]).args(arguments);
        run(command.current_dir(&self.0), input)
    }

    fn list(&self) -> Vec<u8> {
        fs::read(self.0.join("out.list")).unwrap()
    }

    fn blocks(&self, name: &str) -> bool {
        let mut suffixes = Suffixes::new();
        DigestKey::OPEN.suffixes(Name::parse(name).unwrap().as_wire(), &mut suffixes);
        List::open(self.list(), None).unwrap().lookup(&suffixes).name == 1
    }

    /// Files in the directory, sorted.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(command: &mut Command, input: &[u8]) -> Ended {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that ends before it has read all of its input is one of the cases under test.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    Ended { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Ended {
    fn fine(self) -> Ended {
        assert_eq!(self.status, Some(0), "{}{}", self.out, self.err);
        self
    }

    /// Ended with 1, and the last line on standard error holds all of these.
    fn failed_with(self, parts: &[&str]) -> Ended {
        assert_eq!(self.status, Some(1), "{}{}", self.out, self.err);
        let last = self.err.lines().last().unwrap_or("");
        for part in parts {
            assert!(last.contains(part), "{part:?} is not in {last:?}");
        }
        self
    }
}

/// `count` different plain names, one a line.
fn names(count: usize) -> String {
    (0..count).map(|i| format!("name-{i}.test\n")).collect()
}

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(octets).unwrap();
    packer.finish().unwrap()
}

#[test]
fn several_formats_become_one_list() {
    let world = World::new("formats");
    world.write("plain.txt", "# plain\na.test\nwww.a.test\n");
    world.write("hosts.txt", "127.0.0.1 localhost\n0.0.0.0 b.test # why\n0.0.0.0 c.test www.c.test\n");
    world.write("rules.txt", "! rules\n||d.test^\n||e.test^$important\n");
    world.write("zone.rpz", "$TTL 2h\n@ SOA ns host 1 12h 15m 3w 3h\nf.test CNAME .\n*.f.test CNAME .\n");
    let inputs = ["plain.txt", "hosts.txt", "rules.txt", "zone.rpz"];
    let ended = world.compile(&inputs).fine();
    assert!(ended.out.contains("7  entries written"), "{}", ended.out);
    assert!(ended.out.lines().all(|line| line.chars().count() <= 80), "{}", ended.out);
    assert_eq!(ended.err, "", "no bar and no warning without a terminal");

    for name in ["a.test", "x.a.test", "b.test", "www.c.test", "x.d.test", "e.test", "f.test", "x.f.test"] {
        assert!(world.blocks(name), "{name}");
    }
    for name in ["x.b.test", "test", "g.test", "localhost"] {
        assert!(!world.blocks(name), "{name}");
    }
}

#[test]
fn the_sample_lists_compile() {
    for category in ["adult", "malware", "gambling"] {
        let world = World::new(&format!("sample-{category}"));
        let sample = format!("{}/sample/{category}.txt", env!("CARGO_MANIFEST_DIR"));
        world.compile(&["--max-skipped", "0", &sample]).fine();
        assert!(world.blocks(&format!("www.{category}.friendly-wifi.example")));
        assert!(!world.blocks("friendly-wifi.example"));
    }
}

#[test]
fn the_scope_can_be_forced() {
    let world = World::new("scope");
    world.write("hosts.txt", "0.0.0.0 a.test\n");
    world.compile(&["--scope", "subtree", "hosts.txt"]).fine();
    assert!(world.blocks("x.a.test"));
    world.compile(&["--scope", "exact", "hosts.txt"]).fine();
    assert!(world.blocks("a.test") && !world.blocks("x.a.test"));
}

#[test]
fn the_same_inputs_serial_and_time_give_the_same_file() {
    let world = World::new("same");
    world.write("a.txt", names(2000));
    world.write("b.txt", "0.0.0.0 name-1.test\n0.0.0.0 other.test\n");
    world.compile(&["--serial", "7", "--created", "1700000000", "a.txt", "b.txt"]).fine();
    let first = world.list();
    world.compile(&["--serial", "7", "--created", "1700000000", "b.txt", "a.txt"]).fine();
    assert!(first == world.list());

    let list = List::open(first, None).unwrap();
    assert_eq!((list.serial(), list.created(), list.len()), (7, 1_700_000_000, 2001));
    assert_eq!(list.categories(), ["test"]);
}

#[test]
fn packed_files_and_standard_input_are_read_by_what_they_hold() {
    let world = World::new("packed");
    let text = names(1000);
    world.write("plain", &text);
    world.write("a.txt", gzip(text.as_bytes()));
    world.write("b.txt", compress_to_vec(text.as_bytes(), CompressionLevel::Fastest));
    let version = ["--serial", "1", "--created", "1"];
    let compile = |input: &str, pipe: &[u8]| {
        world.compile_from(&[&version[..], &[input]].concat(), pipe).fine();
        world.list()
    };
    let plain = compile("plain", b"");
    assert!(plain == compile("a.txt", b"") && plain == compile("b.txt", b""));
    assert!(plain == compile("-", text.as_bytes()) && plain == compile("-", &gzip(text.as_bytes())));
}

#[test]
fn on_a_terminal_a_bar_shows_how_far_it_is_and_elsewhere_there_is_none() {
    let world = World::new("progress");
    world.write("long.txt", (0..200_000).map(|n| format!("name{n}.test\n")).collect::<String>());
    let words = ["compile", "--category", "test", "--out", "out.list", "long.txt"];
    let line: Vec<String> =
        [env!("CARGO_BIN_EXE_friendly-blocklist")].iter().chain(&words).map(|word| format!("'{word}'")).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).current_dir(&world.0).env("TERM", "xterm");
    script.env_remove("NO_COLOR").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().expect("script is installed (bsdutils)");
    // Kept open: its end would end the terminal.
    let stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("long.txt") && text.contains("B of "), "no bar: {text:?}");
    // It is wiped away in the end, before what is told.
    let last = text.rsplit('\r').find(|part| !part.trim().is_empty()).unwrap_or_default();
    assert!(!last.contains("B of "), "{text:?}");

    let plain = world.compile(&["long.txt"]).fine();
    assert!(!plain.err.contains("B of ") && !plain.err.contains('\r'), "{:?}", plain.err);
}

#[test]
fn what_is_no_name_is_skipped_and_told_with_file_line_and_reason() {
    let world = World::new("skipped");
    world.write("odd.txt", "good.test\n192.0.2.1\nname.test/path\nfree\n\"quoted.test\n192.0.2.1:80\nna*me.test\n");
    let ended = world.compile(&["--report", "report.txt", "odd.txt"]).fine();
    assert!(ended.out.contains("odd.txt:2: 192.0.2.1"), "{}", ended.out);
    assert!(ended.err.contains("warning: 6 lines are no entries; see \"Skipped\" above"), "{}", ended.err);

    let report = fs::read_to_string(world.0.join("report.txt")).unwrap();
    for line in [
        "odd.txt:2: skipped ip-address: 192.0.2.1: an address, not a name",
        "odd.txt:3: skipped url: name.test/path: ",
        "odd.txt:4: skipped single-label: free: ",
        "odd.txt:5: skipped not-a-name: \"quoted.test: the name holds '\"'",
        "odd.txt:6: skipped port: 192.0.2.1:80: ",
        "odd.txt:7: skipped pattern: na*me.test: ",
    ] {
        assert!(report.contains(line), "{line} is not in\n{report}");
    }
}

#[test]
fn the_summary_and_the_report_are_there_as_json() {
    let world = World::new("json");
    world.write("odd.txt", "good.test\ngood.test\nx.good.test\n192.0.2.1\ngov.al\n@@||fine.test^\n");
    let ended = world.compile(&["--json", "--report", "report.json", "odd.txt"]).fine();
    let summary: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(summary["entries"], 1);
    assert_eq!(summary["duplicates"], 1);
    assert_eq!(summary["covered"], 1);
    assert_eq!(summary["inputs"][0]["exceptions"], 1);
    assert_eq!(summary["skipped"][0]["first"][0]["line"], 4);
    assert_eq!(summary["refused"][0]["first"][0]["text"], "gov.al");

    let report = fs::read_to_string(world.0.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["left_out"].as_array().unwrap().len(), 3);
    assert_eq!(report["left_out"][1]["why"], "a public suffix");
    assert_eq!(report["summary"]["entries"], 1);
}

#[test]
fn few_bad_lines_pass_and_many_stop_the_list() {
    let world = World::new("limit");
    world.write("few.txt", names(10) + &"192.0.2.1\n".repeat(100));
    world.compile(&["few.txt"]).fine();
    let before = world.list();

    world.write("many.txt", names(10) + &"192.0.2.1\n".repeat(101));
    let ended = world.compile(&["many.txt"]);
    let ended =
        ended.failed_with(&["many.txt", "101 skipped", "only 100 allowed", "--max-skipped", "Nothing was written"]);
    assert!(ended.err.contains("many.txt:11: 192.0.2.1"), "{}", ended.err);
    assert!(before == world.list(), "the old list is untouched");

    world.write("large.txt", names(10_000) + &"192.0.2.1\n".repeat(500));
    world.compile(&["large.txt"]).fine();
    world.compile(&["--max-skipped", "4%", "large.txt"]).failed_with(&["only 420 allowed"]);
    world.compile(&["--max-skipped", "499", "large.txt"]).failed_with(&["only 499 allowed"]);
    world.compile(&["--max-skipped", "92%", "many.txt"]).fine();
}

#[test]
fn protected_names_and_public_suffixes_are_refused_loudly() {
    let world = World::new("refused");
    world.write(
        "list.txt",
        "good.test\nco.uk\nname.github.io\ngithub.io\nFacebook.com\nisigurt.al\ngstatic.com\nx.onion\n",
    );
    let ended = world.compile(&["list.txt"]).fine();
    for part in [
        "list.txt:2: co.uk  (a public suffix)",
        "list.txt:4: github.io  (a public suffix (shared hosting))",
        "list.txt:5: facebook.com  (protected: major platform)",
        "list.txt:6: isigurt.al  (protected: helpline or child protection)",
        "list.txt:7: gstatic.com  (protected:",
        "list.txt:8: x.onion  (special use; networks and programs work by it)",
    ] {
        assert!(ended.out.contains(part), "{part} is not in\n{}", ended.out);
    }
    assert!(ended.err.contains("6 names are NOT in the list"), "{}", ended.err);
    assert!(!world.blocks("facebook.com") && world.blocks("name.github.io"));

    world.compile(&["--allow-protected", "facebook.com", "--allow-protected", "co.uk", "list.txt"]).fine();
    assert!(world.blocks("www.facebook.com") && world.blocks("x.co.uk") && !world.blocks("isigurt.al"));

    let before = world.list();
    world.compile(&["--strict", "list.txt"]).failed_with(&["6 names are refused", "--allow-protected"]);
    assert!(before == world.list());
}

#[test]
fn an_allow_list_is_never_imported_as_a_block_list() {
    let world = World::new("allow");
    world.write("allow.txt", "! allow list\n@@||ocsp.ca.test^\n@@||portal.test^\n||ads.test^\n");
    world.compile(&["allow.txt"]).failed_with(&["allow.txt", "2 exceptions", "looks like an allow list"]);
    world.write("allow.rpz", "$TTL 60\n@ SOA n h 1 1 1 1 1\nocsp.ca.test CNAME rpz-passthru.\n");
    world.compile(&["allow.rpz"]).failed_with(&["looks like an allow list"]);

    world.write("block.txt", "||ads.test^\n||more.test^\n@@||fine.ads.test^\n");
    let ended = world.compile(&["block.txt"]).fine();
    assert!(ended.out.contains("1  exceptions, not imported"), "{}", ended.out);
    assert!(!world.blocks("fine.test"));
}

#[test]
fn what_is_no_block_list_is_told_apart() {
    let world = World::new("nolist");
    world.write("portal.txt", "<!DOCTYPE html>\n<html><body>Log in</body></html>\n");
    world.compile(&["portal.txt"]).failed_with(&["portal.txt looks like HTML"]);
    world.compile(&["--format", "hosts", "portal.txt"]).failed_with(&["looks like HTML"]);
    world.write("rules.json", "{\"name\": \"x\"}");
    world.compile(&["rules.json"]).failed_with(&["looks like JSON"]);
    world.write("empty.txt", "");
    world.compile(&["empty.txt"]).failed_with(&["empty.txt: 0 entries in 0 lines, fewer than 1"]);
    world.write("comments.txt", "# nothing\n");
    world.compile(&["comments.txt"]).failed_with(&["0 entries in 1 lines"]);
    world.write("short.txt", names(9));
    world.compile(&["--min-entries", "10", "short.txt"]).failed_with(&["9 entries in 9 lines, fewer than 10"]);
    assert!(!world.files().iter().any(|file| file.starts_with("out.list")));
}

#[test]
fn a_bomb_and_a_damaged_file_end_with_a_sentence() {
    let world = World::new("bomb");
    world.write("bomb.gz", gzip(&"x".repeat(63).repeat(1 << 20).into_bytes()));
    world.compile(&["bomb.gz"]).failed_with(&["bomb.gz", "200 times its size"]);
    let packed = gzip(names(50_000).as_bytes());
    world.write("cut.gz", &packed[..packed.len() / 2]);
    world.compile(&["cut.gz"]).failed_with(&["cut.gz: cannot be read any further after line", "fetch the file again"]);
}

#[test]
fn inputs_that_do_not_open_are_named() {
    let world = World::new("open");
    world.compile(&["absent.txt"]).failed_with(&["absent.txt: cannot be opened"]);
    world.compile(&["."]).failed_with(&[".: is a directory"]);
}

#[test]
fn a_directory_that_is_none_and_an_output_that_is_an_input_are_told() {
    let world = World::new("place");
    world.write("a.txt", "a.test\n");
    world.write("file", "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_friendly-blocklist"));
    command.args(["compile", "--category", "test", "--out", "file/out.list", "a.txt"]);
    run(command.current_dir(&world.0), b"").failed_with(&["file/out.list: cannot be written", "make the directory"]);

    let mut command = Command::new(env!("CARGO_BIN_EXE_friendly-blocklist"));
    command.args(["compile", "--category", "test", "--out", "a.txt", "./a.txt"]);
    run(command.current_dir(&world.0), b"").failed_with(&["the output is also an input"]);
    assert_eq!(fs::read(world.0.join("a.txt")).unwrap(), b"a.test\n");
}

#[test]
fn a_full_disk_leaves_the_old_list_and_nothing_else() {
    let world = World::new("full");
    world.write("small.txt", names(10));
    world.compile(&["small.txt"]).fine();
    let before = world.list();

    // A limit on the size of files stands for the full disk; without the signal the write fails in the same place.
    world.write("large.txt", names(20_000));
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" compile --category test --out out.list large.txt"]);
    shell.arg(env!("CARGO_BIN_EXE_friendly-blocklist")).current_dir(&world.0);
    run(&mut shell, b"").failed_with(&["out.list: cannot be written", "what was there before is untouched"]);
    assert!(before == world.list());
    assert_eq!(world.files(), ["large.txt", "out.list", "small.txt"]);
}

#[test]
fn the_list_is_readable_for_the_resolver_and_a_leftover_is_replaced() {
    let world = World::new("mode");
    world.write("a.txt", "a.test\n");
    world.write("out.list.tmp", "from a crash");
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 077; exec \"$0\" compile --category test --out out.list a.txt"]);
    shell.arg(env!("CARGO_BIN_EXE_friendly-blocklist")).current_dir(&world.0);
    run(&mut shell, b"").fine();
    assert_eq!(fs::metadata(world.0.join("out.list")).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(world.files(), ["a.txt", "out.list"]);
}

#[test]
fn wrong_arguments_end_with_2() {
    let world = World::new("arguments");
    world.write("a.txt", "a.test\n");
    for arguments in [
        &["--max-skipped", "many", "a.txt"][..],
        &["--allow-protected", "no name", "a.txt"],
        &["--format", "csv", "a.txt"],
        &["--category", "Adult", "a.txt"],
        &[],
    ] {
        let ended = world.compile(arguments);
        assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.err);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_friendly-blocklist"));
    let help = run(command.args(["compile", "--help"]), b"").fine().out;
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
}
