//! The command line.

use std::fs;

use serde_json::Value;

use super::{Ended, LISTED, RESOLVER, list_made_at, run};
use crate::world::{World, compile};

#[test]
fn what_a_configuration_speaks_of_has_to_be_there_before_anything_is_bound() {
    let world = World::new();
    // Somebody else has the address: whoever binds first complains of that.
    let _taken = std::net::UdpSocket::bind(world.resolver()).expect("a free address");
    let server = format!("[upstream]\nservers = [\"tls://{}#resolver.example\"]\n", world.upstream(1));
    let empty = world.write("empty.pem", "no certificate\n").display().to_string();
    let cases = [
        ("[server]\nuser = \"nobody-at-all\"\n".to_owned(), ["'nobody-at-all'", "no such user"]),
        (format!("{server}authorities = \"missing.pem\"\n"), ["missing.pem", "authorities"]),
        (format!("{server}authorities = {empty:?}\n"), ["empty.pem", "no certificate"]),
    ];
    for (settings, words) in cases {
        let config = world.write("friendly.toml", world.config(&[], &settings));
        let config = config.to_str().expect("a plain path");
        run(&[RESOLVER, "check-config", config]).assert_refused(&words);
        run(&[RESOLVER, "--config", config]).assert_refused(&words);
    }
}

const LAYERS: &str = "\
    [lists]\nfiles = [\"a.list\", \"legal.list\"]\n\
    [category.csam]\nlayer = \"legal\"\n[category.malware]\nlayer = \"operator\"\n[category.adult]\nlayer = \"family\"\n\
    [access]\nallow = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n\
    [[policy]]\nname = \"guests\"\nnetworks = [\"0.0.0.0/0\"]\ncategories = [\"malware\", \"adult\"]\n\
    allow = [\"allowed.example\", \"law.example\", \"=only.example\"]\ndeny = [\"denied.example\"]\n\
    [[policy]]\nname = \"staff\"\nnetworks = [\"10.9.0.0/16\"]\ncategories = [\"malware\"]\n";

fn with_layers(world: &World) -> String {
    world.write("legal.list", list_made_at(1_700_000_000, 3, "csam", ["law.example".into()]));
    let entries = [("adult", "adult.example"), ("malware", "bad.example"), ("adult", "allowed.example")];
    world.write("a.list", compile(7, &entries));
    let config = world.write("friendly.toml", world.config(&[], LAYERS));
    config.to_str().expect("a plain path").into()
}

fn explain(config: &str, more: &[&str]) -> Ended {
    run(&[&[RESOLVER, "explain", "--config", config], more].concat())
}

#[test]
fn explain_names_the_verdict_its_layer_and_the_lists() {
    let world = World::new();
    let config = with_layers(&world);
    let cases = [
        ("law.example", "127.0.0.1", "blocked", Some("legal"), Some("csam"), 1),
        ("www.law.example", "127.0.0.1", "blocked", Some("legal"), Some("csam"), 1),
        ("bad.example", "127.0.0.1", "blocked", Some("operator"), Some("malware"), 1),
        ("BAD.Example.", "10.9.1.1", "blocked", Some("operator"), Some("malware"), 1),
        ("a.b.adult.example", "127.0.0.1", "blocked", Some("family"), Some("adult"), 1),
        ("adult.example", "10.9.1.1", "forwarded", None, None, 1),
        ("denied.example", "127.0.0.1", "blocked", Some("family"), None, 0),
        ("denied.example", "10.9.1.1", "forwarded", None, None, 0),
        ("allowed.example", "127.0.0.1", "allowed", None, None, 1),
        ("only.example", "127.0.0.1", "allowed", None, None, 0),
        ("www.only.example", "127.0.0.1", "forwarded", None, None, 0),
        ("free.example", "127.0.0.1", "forwarded", None, None, 0),
        ("printer.local", "127.0.0.1", "answered locally", None, None, 0),
        ("4.3.2.10.in-addr.arpa", "127.0.0.1", "answered locally", None, None, 0),
        ("use-application-dns.net", "127.0.0.1", "answered locally", None, None, 0),
        ("mask.icloud.com", "127.0.0.1", "answered locally", None, None, 0),
        ("law.example", "192.0.2.1", "refused", None, None, 1),
    ];
    for (name, client, result, layer, category, lists) in cases {
        let ended = explain(&config, &[name, "--client", client, "--json"]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{name}");
        let value: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.out));
        assert_eq!(value["result"], result, "{name} for {client}: {value}");
        assert_eq!(value["layer"].as_str(), layer, "{name} for {client}: {value}");
        assert_eq!(value["category"].as_str(), category, "{name} for {client}: {value}");
        assert_eq!(value["lists"].as_array().expect("a list").len(), lists, "{name}: {value}");
        assert_eq!(value["policy"], if client == "10.9.1.1" { "staff" } else { "guests" });

        let ended = explain(&config, &[name, "--client", client]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.out.contains(&format!("result    {result}\n")), "{}", ended.out);
        for word in [client, &name.trim_end_matches('.').to_lowercase()].into_iter().chain(layer).chain(category) {
            assert!(ended.out.contains(word), "'{word}' is missing in\n{}", ended.out);
        }
        assert_narrow(&ended.out);
    }
}

fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "wider than 80 columns: {line}");
    }
}

#[test]
fn explain_agrees_with_the_answers_of_a_running_resolver_and_leaves_its_copies_alone() {
    let world = World::new();
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let path = world.write("here", "");
    let directory = path.with_file_name("good");
    fs::create_dir(&directory).expect("our own directory");
    let daemon = world.start(&[], &format!("{LISTED}last_good = \"good\"\n"));
    assert!(daemon.is_blocked("listed.example"));
    let copies = || -> Vec<_> {
        let entries = fs::read_dir(&directory).expect("our own directory").flatten();
        entries.map(|entry| (entry.file_name(), fs::read(entry.path()).expect("a copy"))).collect()
    };
    let before = copies();
    assert_eq!(before.len(), 1);
    // A list that nobody has taken over yet is not a good one.
    let list = world.write("next.list", compile(2, &[("adult", "next.example")]));
    let next = world.config(&[], &format!("{LISTED}last_good = \"good\"\n")).replace("a.list", "next.list");
    let config = world.write("next.toml", next);
    let config = config.to_str().expect("a plain path");
    let ended = explain(config, &["next.example", "--json"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(ended.out.contains("\"blocked\""), "{}", ended.out);
    assert_eq!(run(&[RESOLVER, "check-config", config]).code, Some(0));
    assert_eq!(copies(), before, "only the resolver itself writes copies");
    // Nor does an old copy make a spoiled list good.
    let config = path.with_file_name("friendly.toml");
    let config = config.to_str().expect("a plain path");
    let mut spoiled = fs::read(&list).expect("our own list");
    spoiled.truncate(300);
    world.write("a.list", spoiled);
    run(&[RESOLVER, "check-config", config]).assert_refused(&["a.list", "octets", "last good copy"]);
    let ended = explain(config, &["listed.example"]);
    assert!(
        ended.out.contains("result    blocked") && ended.err.contains("last good copy"),
        "{}{}",
        ended.out,
        ended.err
    );
}

#[test]
fn check_config_says_what_is_good_and_what_is_not_with_file_and_line() {
    let world = World::new();
    let config = with_layers(&world);
    let ended = run(&[RESOLVER, "check-config", &config]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    for words in
        [" is good.", "2 policies", "3 categories", "a.list: serial 7, 3 names", "legal.list: serial 3, 1 name,"]
    {
        assert!(ended.out.contains(words), "'{words}' is missing in\n{}", ended.out);
    }
    let good = fs::read_to_string(&config).expect("our own file");
    let bad = world.write("bad.toml", good.replace("[rate", "[rat") + "\n[server2]\nx = 1\n[log]\nlevl = \"info\"\n");
    let bad = bad.to_str().expect("a plain path");
    let ended = run(&[RESOLVER, "check-config", bad]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    let line = good.lines().count();
    for words in [format!("{bad}:{}: ", line + 2), format!("{bad}:{}: ", line + 5), "'level'".into()] {
        assert!(ended.err.contains(&words), "'{words}' is missing in\n{}", ended.err);
    }
    world.write("legal.list", "spoiled");
    run(&[RESOLVER, "check-config", &config]).assert_refused(&["legal.list", "not a list"]);
    let missing = world.write("here", "").with_file_name("missing.toml");
    let missing = missing.to_str().expect("a plain path");
    run(&[RESOLVER, "check-config", missing]).assert_refused(&[missing, "no such file"]);
    run(&[RESOLVER, "--config", missing]).assert_refused(&[missing, "no such file"]);
    run(&[RESOLVER, "explain", "x.example", "--config", missing]).assert_refused(&[missing, "no such file"]);
}

#[test]
fn the_configuration_counts_wherever_it_stands() {
    let world = World::new();
    let config = with_layers(&world);
    let explained = explain(&config, &["law.example"]).out;
    assert!(explained.contains("blocked"), "{explained}");
    for words in [["--config", &config, "explain", "law.example"], ["-c", &config, "explain", "law.example"]] {
        assert_eq!(run(&[&[RESOLVER], &words[..]].concat()).out, explained, "{words:?}");
    }
    let checked = run(&[RESOLVER, "check-config", &config]).out;
    assert_eq!(run(&[RESOLVER, "--config", &config, "check-config"]).out, checked);
    for words in [["--config", "/no/such.toml", "run"], ["run", "--config", "/no/such.toml"]] {
        run(&[&[RESOLVER], &words[..]].concat()).assert_refused(&["/no/such.toml", "no such file"]);
    }
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_would_be_right() {
    let cases: [(&[&str], &str); 8] = [
        (&["--cnfig", "x"], "--config"),
        (&["chek-config"], "check-config"),
        (&["check-config"], "check-config FILE"),
        (&["check-config", "a", "b"], "'b'"),
        (&["explain"], "<NAME>"),
        (&["explain", "x.example", "--client", "nobody"], "nobody"),
        (&["run", "--config"], "--config"),
        (&["--config", "x", "--config", "y"], "--config"),
    ];
    for (words, hint) in cases {
        let ended = run(&[&[RESOLVER], words].concat());
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{words:?}");
        assert!(ended.err.contains(hint), "{words:?}: {}", ended.err);
    }
    run(&[RESOLVER, "explain", "two..dots"]).assert_refused(&["'two..dots'", "empty label"]);
}

#[test]
fn help_fits_a_terminal_and_the_version_is_told() {
    for words in
        [&["--help"][..], &["-h"], &["help"], &["run", "--help"], &["check-config", "--help"], &["explain", "--help"]]
    {
        let ended = run(&[&[RESOLVER], words].concat());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{words:?}");
        assert!(ended.out.contains("Usage: friendly-resolver"), "{}", ended.out);
        assert_narrow(&ended.out);
    }
    for word in ["--version", "-V"] {
        let ended = run(&[RESOLVER, word]);
        assert_eq!(ended.out, format!("friendly-resolver {}\n", env!("CARGO_PKG_VERSION")));
    }
}
