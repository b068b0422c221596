//! What a file may say, and what an operator reads when it says something else.

use super::*;

mod filtering;
mod shipped;
mod source;
mod transport;
mod values;

/// Reads `text` as if it lay in `etc/test.toml`.
fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("etc/test.toml"))
}

/// Reads `body` below a first line with the version.
fn accepted(body: &str) -> Config {
    parse(&format!("version = 1\n{body}")).unwrap_or_else(|e| panic!("refused:\n{body}\n{e}"))
}

/// The problems of `body` below a first line with the version.
fn refused(body: &str) -> Vec<Problem> {
    problems(&format!("version = 1\n{body}"))
}

fn problems(text: &str) -> Vec<Problem> {
    match parse(text) {
        Err(ConfigError::Refused { problems, .. }) => problems,
        other => panic!("not refused: {other:?}\n{text}"),
    }
}

/// Asserts that `body` has exactly one problem, on `line`, which says all of
/// `words`.
#[track_caller]
fn one(body: &str, line: usize, words: &[&str]) {
    let problems = refused(body);
    let [problem] = &problems[..] else { panic!("{body}\n{problems:#?}") };
    assert_eq!(problem.line, line, "{body}\n{problem:?}");
    for word in words {
        assert!(problem.text.contains(word), "no {word:?} in {:?}", problem.text);
    }
}

#[test]
fn unknown_keys_and_tables_come_with_the_nearest_known_one() {
    let error = parse("version = 1\n[server]\nlistn = []\n").unwrap_err().to_string();
    assert_eq!(error, "etc/test.toml:3: unknown key 'listn' in [server]; did you mean 'listen'?");
    one("[servr]", 2, &["unknown table or key 'servr'; did you mean [server]?"]);
    one("[[policies]]", 2, &["'policies'", "[[policy]]"]);
    one("[category.adult]\nlayer = \"family\"\nedee = 1", 4, &["'edee' in [category.adult]", "'ede'"]);
    one(
        "[[policy]]\nname = \"a\"\nnetworks = [\"::/0\"]\nalow = []",
        5,
        &["'alow' in [[policy]] \"a\"; did you mean 'allow'?"],
    );
    one("[cache]\nzzzzzzzzz = 1", 3, &["it knows size, min_ttl"]);
    one("zzzzzzzzz = 1", 2, &["the file knows version = 1, [server]", "[[policy]]"]);
    one("server.listn = []", 2, &["'listn' in [server]", "'listen'"]);
    one("[log]\n\"list`en, expected `x\" = 1", 3, &["it knows level, format"]);
}

#[test]
fn the_version_comes_first() {
    for (text, line, words) in [
        ("", 1, "missing; put version = 1 above the first table (this program reads version 1)"),
        ("[server]\nlisten = 5", 1, "missing"),
        ("[cache]\nversion = 1", 1, "missing"),
        ("# about\nversion = 2\nnew = 1", 2, "version 2 and this program reads version 1"),
        ("version = 0", 1, "no version 0"),
        ("version = \"1\"", 1, "not a whole number; write version = 1"),
    ] {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert_eq!(problems[0].line, line, "{text}");
        assert!(problems[0].text.contains(words), "{:?}", problems[0].text);
    }
}

#[test]
fn values_of_the_wrong_type_are_named() {
    one("[cache]\nprefetch = 1", 3, &["'prefetch' in [cache] is integer `1`; write true or false"]);
    one("[server]\nlisten = \"127.0.0.1:53\"", 3, &["'listen' in [server] is string", "write a list in [ ]"]);
    one("[server]\nlisten = [53]", 3, &["'listen' in [server] is integer `53`; write an address with its port"]);
    one("[cache]\nsize = 0", 3, &["'size' in [cache] is integer `0`; write a size in quotes"]);
    one("server = 5", 2, &["[server] is integer `5`; write a table"]);
    one("[[server]]\nworkers = 1", 2, &["[[server]] is a list; write a table"]);
    one("cache = [\"1 MiB\", 5]", 2, &["[cache] is a list; write a table"]);
    one("policy = [[\"a\", [\"::/0\"]]]", 2, &["[policy] is a list; write a table"]);
    one("[policy]\nname = \"a\"", 2, &["[policy] is a table; write it with two brackets, [[policy]]"]);
    one("[category]\nadult = \"family\"", 3, &["[category.adult] is string \"family\"; write a table of its own"]);
}

#[test]
fn text_that_is_not_toml_is_shown_by_line() {
    one("[server\nworkers = 1", 2, &["this is not TOML"]);
    one("[server]\nworkers = 1\nworkers = 2", 4, &["this is not TOML", "duplicate key"]);
    one("[server]\n\n[server]", 4, &["this is not TOML", "duplicate key"]);
    one("[server]\nuser = friendly", 3, &["this is not TOML"]);
}

#[test]
fn all_problems_are_shown_at_once_in_the_order_of_the_file() {
    let text = r#"version = 1
[server]
listn = []
workers = -1
listen = ["127.0.0.1", "::1", "127.0.0.1:5300", "127.0.0.1:5300"]
[access]
allow = []
[cache]
min_ttl = 10
max_ttl = 5
[[policy]]
name = "a"
networks = ["10.0.0.1/8", "::/0"]
categories = ["adlut", "csam"]
[[policy]]
name = "a"
networks = ["::/0"]
[lgo]
"#;
    let problems = problems(text);
    let lines: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [3, 4, 5, 5, 5, 10, 13, 14, 14, 16, 17, 18], "{problems:#?}");
    let shown = parse(text).unwrap_err().to_string();
    assert_eq!(shown.lines().count(), 12);
    assert!(shown.lines().all(|line| line.starts_with("etc/test.toml:")), "{shown}");
}

#[test]
fn endless_problems_are_cut_off() {
    let nets = "\"x\",\n".repeat(500);
    let problems = refused(&format!("[access]\nallow = [{nets}]"));
    assert_eq!(problems.len(), 51);
    assert!(problems[50].text.contains("may be more"));
}

#[test]
fn files_that_cannot_be_read() {
    let directory = std::env::temp_dir().join(format!("friendly-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let message = |path: &Path| Config::load(path).unwrap_err().to_string();
    let missing = directory.join("missing.toml");
    assert_eq!(
        message(&missing),
        format!(
            "{}: cannot read the configuration: there is no such file; check the path after --config",
            missing.display()
        )
    );
    assert!(message(&directory).contains("it is a directory"));
    let file = directory.join("latin1.toml");
    std::fs::write(&file, b"version = 1\n# caf\xe9\n").unwrap();
    assert!(message(&file).contains("line 2 is not UTF-8 text"));
    std::fs::write(&file, "\u{feff}version = 1\r\n[lists]\r\nfiles = [\"a.list\"]\r\n").unwrap();
    assert_eq!(Config::load(&file).unwrap().lists, [directory.join("a.list")]);
    std::fs::remove_dir_all(&directory).unwrap();
}
