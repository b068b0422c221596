//! The house is as its maps say: modules, crate graph, README, dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What cargo knows of the packages for the platforms of deny.toml; those of other systems are never built.
fn metadata() -> Value {
    let policy: toml::Table = read("deny.toml").parse().expect("deny.toml is TOML");
    let platforms = policy["graph"]["targets"].as_array().expect("platforms").iter();
    let platforms = platforms.flat_map(|platform| ["--filter-platform", platform.as_str().expect("a platform")]);
    // Not --offline: a build has fetched what this platform needs, and the policy holds for all of them.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(platforms)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Modules that a file declares with `mod NAME;`.
fn declared(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(|line| line.trim_start_matches("pub(crate) ").trim_start_matches("pub "));
    let names = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

#[test]
fn the_map_of_the_resolver_names_every_module_and_no_other() {
    let text = read("src/lib.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let mapped: BTreeSet<String> = rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned())).collect();
    assert_eq!(mapped, declared(&text), "the table in src/lib.rs and its modules differ");
    for module in &mapped {
        let file = root().join(format!("src/{module}.rs"));
        let folder = root().join(format!("src/{module}/mod.rs"));
        assert!(file.exists() || folder.exists(), "module {module} has no file");
    }
}

#[test]
fn every_source_file_is_reachable_from_its_crate() {
    for source in ["src", "blocklists/src", "blocklists/format/src"] {
        let mut files = Vec::new();
        collect(&root().join(source), &mut files);
        for file in files {
            let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
            if ["lib", "main", "mod"].contains(&stem.as_str()) {
                continue;
            }
            let folder = file.parent().unwrap();
            let parents =
                [folder.join("mod.rs"), folder.join("lib.rs"), folder.join("main.rs"), folder.with_extension("rs")];
            let texts = parents.iter().filter_map(|parent| fs::read_to_string(parent).ok());
            assert!(
                texts.into_iter().any(|text| declared(&text).contains(&stem)),
                "nobody declares {}",
                file.display()
            );
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn the_crate_graph_is_the_one_that_was_drawn() {
    let metadata = metadata();
    let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeMap<&str, &Value> = packages
        .iter()
        .filter(|package| members.contains(package["id"].as_str().unwrap()))
        .map(|package| (package["name"].as_str().unwrap(), package))
        .collect();
    let uses = |package: &Value| -> BTreeSet<String> {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
        let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
        names.filter(|name| ours.contains_key(name.as_str())).collect()
    };
    let graph: BTreeMap<&str, BTreeSet<String>> = ours.iter().map(|(name, package)| (*name, uses(package))).collect();
    let leaf = BTreeSet::from(["signed-list".to_owned()]);
    let drawn = BTreeMap::from([
        ("signed-list", BTreeSet::new()),
        ("friendly-blocklist", leaf.clone()),
        ("friendly-resolver", leaf),
    ]);
    assert_eq!(graph, drawn);
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|value| value.as_str().unwrap())
}

#[test]
fn the_leaf_crate_knows_no_files_clocks_networks_or_tasks() {
    let mut files = Vec::new();
    collect(&root().join("blocklists/format/src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["std::fs", "std::net", "std::time", "std::thread", "tokio", "async fn", "std::process", "std::env"]
        {
            assert!(!text.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn unsafe_code_stands_only_in_the_named_modules() {
    let allowed = ["src/server/batch.rs", "src/lists/map.rs"];
    let mut files = Vec::new();
    for folder in ["src", "blocklists"] {
        collect(&root().join(folder), &mut files);
    }
    for file in files {
        let name = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let unsafe_code =
            text.contains("unsafe {") || text.contains("unsafe impl") || text.contains("allow(unsafe_code)");
        assert_eq!(unsafe_code, allowed.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn every_dependency_has_a_line_that_says_why() {
    let text = read("Cargo.toml");
    let start = text.find("[workspace.dependencies]").expect("the table is there");
    let table = text[start..].lines().skip(1).take_while(|line| !line.starts_with('['));
    for line in table.filter(|line| line.contains('=')) {
        let why = line.split_once('#').map(|(_, why)| why.trim());
        assert!(why.is_some_and(|why| why.len() >= 10), "no reason: {line}");
    }
}

#[test]
fn the_named_packages_are_there() {
    let text = read("Cargo.toml");
    for name in ["hickory-server", "hickory-resolver", "tokio", "serde", "toml", "ipnet", "reqwest", "prometheus"] {
        assert!(text.contains(&format!("\n{name}.workspace = true")), "{name} is not used by the resolver");
    }
}

#[test]
fn dependencies_keep_to_the_policy() {
    let policy: toml::Table = read("deny.toml").parse().expect("deny.toml is TOML");
    let list = |table: &str, key: &str| policy[table][key].as_array().unwrap().clone();
    let licences = list("licenses", "allow");
    let licences: BTreeSet<&str> = licences.iter().map(|licence| licence.as_str().unwrap()).collect();
    let bans = list("bans", "deny");
    assert!(list("advisories", "ignore").is_empty());

    let metadata = metadata();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        seen += 1;
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence, &licences), "{name} {version}: licence {licence}");
        let source = package["source"].as_str().unwrap_or("here");
        assert!(source == "here" || source.starts_with("registry+"), "{name} comes from {source}");
        for ban in bans.iter().filter(|ban| ban["crate"].as_str() == Some(name)) {
            let banned = ban["version"].as_str().unwrap();
            let hit = banned == "*" || banned.strip_prefix('<').is_some_and(|first| numbers(version) < numbers(first));
            assert!(!hit, "{name} {version} is banned: {}", ban["reason"]);
        }
    }
    assert!(seen > 50, "cargo named {seen} packages only");
}

/// `A OR B` needs one that is allowed, `A AND B` all of them.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let plain = expression.replace(" / ", " OR ").replace('/', " OR ").replace(['(', ')'], "");
    let needs = plain.split(" AND ");
    needs.into_iter().all(|need| need.split(" OR ").any(|licence| allowed.contains(licence.trim())))
}

fn numbers(version: &str) -> Vec<u64> {
    let plain = version.split(['-', '+']).next().unwrap();
    plain.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[test]
fn the_policy_check_can_fail() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0"]);
    assert!(is_allowed("MIT OR GPL-3.0", &allowed));
    assert!(!is_allowed("MIT AND GPL-3.0", &allowed));
    assert!(!is_allowed("GPL-3.0", &allowed));
    assert!(numbers("0.4.9") < numbers("0.4.16"));
}

#[test]
fn the_dns_library_stands_only_where_the_system_is_asked_for_its_upstreams() {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    let uses = |file: &PathBuf| fs::read_to_string(file).unwrap().contains("hickory_");
    let users: Vec<_> = files.into_iter().filter(uses).collect();
    assert_eq!(users, [root().join("src/state.rs")]);
}

/// Programs that every Debian system has: packages coreutils, dash and bash.
const EVERYWHERE: [&str; 6] = ["bash", "cp", "mkfifo", "sh", "sha256sum", "timeout"];

#[test]
fn every_program_that_tests_start_is_one_that_is_installed_for_them() {
    let script = read("tests/run");
    let table = script.split("needs='").nth(1).and_then(|rest| rest.split('\'').next()).expect("the table is there");
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    let rows: Vec<_> = rows.iter().filter(|row| !row.is_empty()).collect();
    assert!(rows.iter().all(|row| row.len() >= 3), "program, package, and what for");
    let packages: BTreeSet<&str> = rows.iter().map(|row| row[1]).collect();
    let known: BTreeSet<&str> = rows.iter().map(|row| row[0]).chain(EVERYWHERE).collect();
    let mut seen = BTreeSet::new();
    for (start, folders) in [
        (concat!("Command::", "new(\""), &["src", "tests", "blocklists"][..]),
        (concat!("sa", "id(\""), &["tests/e2e"]),
    ] {
        let mut files = Vec::new();
        folders.iter().for_each(|folder| collect(&root().join(folder), &mut files));
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for part in text.split(start).skip(1) {
                let program = part.split('"').next().unwrap();
                // In a package with another one of the table.
                let with = [
                    ("nsenter", "util-linux"),
                    ("nsupdate", "bind9-dnsutils"),
                    ("dnssec-keygen", "bind9-utils"),
                    ("dnssec-signzone", "bind9-utils"),
                    ("dnssec-dsfromkey", "bind9-utils"),
                ];
                let covered = with.iter().any(|(name, package)| *name == program && packages.contains(package));
                assert!(known.contains(program) || covered, "{} starts {program}", file.display());
                seen.insert(program.to_owned());
            }
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn links_in_the_readme_lead_somewhere() {
    let text = read("README.md");
    let mut links = 0;
    for part in text.split("](").skip(1) {
        let link = part.split_once(')').expect("a link ends").0;
        assert!(root().join(link).exists(), "README links to {link}, which is not there");
        links += 1;
    }
    for path in [
        "src/block.rs",
        "src/filter.rs",
        "src/local.rs",
        "src/upstream",
        "src/config/shape.rs",
        "blocklists/src/intake",
    ] {
        assert!(text.contains(path) && root().join(path).exists(), "{path}");
    }
    assert!(links >= 5);
}

#[test]
fn figures_in_the_readme_were_measured() {
    let text = read("README.md");
    let results = read("tests/bench/RESULTS.md");
    let newest = results.rsplit("## compare").next().expect("a table of compare");
    let mut rows = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 5) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('*')).collect();
        let (name, figures) = (cells[1], &cells[2..5]);
        if name.is_empty() {
            continue;
        }
        let is_row = |line: &&str| line.split_whitespace().next() == Some(name) && line.split_whitespace().count() > 12;
        let measured = newest.lines().find(is_row);
        let measured = measured.unwrap_or_else(|| panic!("{name} was not measured"));
        for figure in figures {
            assert!(measured.split_whitespace().any(|word| word == *figure), "{name}: {figure} is not in\n{measured}");
        }
        rows += 1;
    }
    assert!(rows >= 7, "{rows} rows");
}

#[test]
fn no_file_speaks_of_the_place_where_it_was_written() {
    let output = Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git runs");
    let words = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("crates", ".io"), concat!("deb.deb", "ian.org")];
    for name in String::from_utf8_lossy(&output.stdout).lines().filter(|name| !name.ends_with(".lock")) {
        let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
        for word in words {
            assert!(!text.contains(word), "{name} holds '{word}'");
        }
    }
}
