//! The files that are shipped, as they are and broken in every place.

use super::*;

/// The shipped files.
const SHIPPED: [(&str, &str); 3] = [
    ("friendly-resolver.toml", include_str!("../../../config/friendly-resolver.toml")),
    ("municipal.toml", include_str!("../../../config/municipal.toml")),
    ("isp.toml", include_str!("../../../config/isp.toml")),
];

#[test]
fn shipped_files_parse() {
    for (name, text) in SHIPPED {
        Config::parse(text, Path::new(name)).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn the_default_file_and_an_empty_one_equal_the_builtin() {
    assert_eq!(parse(SHIPPED[0].1).unwrap(), Config::builtin());
    assert_eq!(accepted(""), Config::builtin());
}

#[test]
fn the_default_file_states_every_setting() {
    // What is written is known, since the file parses; here the other direction.
    // The error for a key that resembles nothing names all keys of its table.
    let known = |table: &str| -> Vec<String> {
        let problem = &refused(&format!("{table}\nzzzzzzzzzz = 1"))[0];
        let (_, known) = problem.text.split_once("it knows ").unwrap();
        known.split(", ").map(str::to_owned).collect()
    };
    for table in [
        "[server]",
        "[tls]",
        "[discovery]",
        "[access]",
        "[rate_limit]",
        "[upstream]",
        "[dnssec]",
        "[cache]",
        "[lists]",
        "[category.adult]",
        "[[policy]]",
        "[local]",
        "[rebinding]",
        "[admin]",
        "[log]",
    ] {
        let text = SHIPPED[0].1;
        let start = text.find(&format!("\n{table}\n")).unwrap_or_else(|| panic!("no {table}"));
        let body = &text[start + 1 + table.len()..];
        let body = &body[..body.find("\n[").unwrap_or(body.len())];
        for key in known(table) {
            assert!(body.contains(&format!("\n{key} = ")), "{key} is missing in {table}");
        }
    }
}

#[test]
fn a_bogus_key_is_refused_at_every_place_of_every_shipped_file() {
    let mut places = 0;
    for (_, text) in SHIPPED {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let key =
                line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            // Once for each key and, behind the header, once for each table.
            let (at, bogus) = match line.starts_with('[') {
                true => (i + 1, "bogus = 1"),
                false if key => (i, "bogus = 1"),
                false => continue,
            };
            let mut lines = lines.clone();
            lines.insert(at, bogus);
            let problems = problems(&lines.join("\n"));
            assert_eq!(problems.len(), 1, "{problems:#?}");
            assert_eq!(problems[0].line, at + 1, "{problems:?}");
            assert!(problems[0].text.starts_with("unknown "), "{problems:?}");
            assert!(problems[0].text.contains("'bogus'"), "{problems:?}");
            places += 1;
        }
    }
    assert!(places > 120, "only {places} places");
}

#[test]
fn a_bogus_table_is_refused_wherever_a_table_may_stand() {
    for (_, text) in SHIPPED {
        let lines: Vec<&str> = text.lines().collect();
        for (i, _) in lines.iter().enumerate().filter(|(_, line)| line.starts_with('[')) {
            let mut lines = lines.clone();
            lines.insert(i, "[bogus]\nkey = 1");
            let problems = problems(&lines.join("\n"));
            assert_eq!(problems.len(), 1, "{problems:#?}");
            assert_eq!(problems[0].line, i + 1);
            assert!(problems[0].text.contains("unknown table or key 'bogus'"), "{problems:?}");
        }
    }
}

#[test]
fn mutilated_files_never_panic() {
    let text = SHIPPED[1].1;
    for (at, _) in text.char_indices().step_by(7) {
        let _ = parse(&text[..at]);
        let _ = parse(&format!("{}={}", &text[..at], &text[at..]));
        let _ = parse(&format!("{}\"{}", &text[..at], &text[at..]));
    }
}
