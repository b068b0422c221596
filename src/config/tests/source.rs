//! Lists that are followed.

use signed_list::release::Class;

use super::*;

const GOOD: &str = r#"
[[list]]
name = "national"
class = "legal"
repository = "https://lists.example/al"
root = "root.json"
state = "/var/lib/national"
identity = "credential:identity"
"#;

#[test]
fn a_list_is_followed_from_where_the_file_says() {
    let config = accepted(&format!("{GOOD}addresses = [\"192.0.2.80\", \"2001:db8::80\"]\ninterval = 5"));
    let [source] = &config.sources[..] else { panic!("{:?}", config.sources) };
    assert_eq!((source.name.as_str(), source.class), ("national", Class::Legal));
    // The slash makes it a directory; without it the last part would be replaced.
    assert_eq!(source.repository.as_str(), "https://lists.example/al/");
    assert_eq!(source.root, Path::new("etc/root.json"));
    assert_eq!(source.state, Path::new("/var/lib/national"));
    assert_eq!(source.identity, Some(Identity::Credential("identity".into())));
    assert_eq!(source.addresses.len(), 2);
    assert_eq!(source.interval, Duration::from_secs(5));

    let config = accepted(GOOD);
    assert_eq!(config.sources[0].interval, Duration::from_secs(10));
    let config = accepted(&GOOD.replace("credential:identity", "identity.txt"));
    assert_eq!(config.sources[0].identity, Some(Identity::File("etc/identity.txt".into())));
}

#[test]
fn the_shipped_examples_are_lists() {
    let text = include_str!("../../../config/friendly-resolver.toml");
    let start = text.find("# [[list]]").unwrap();
    let end = text.find("\n\n\n# Categories").unwrap();
    // One mark makes a line of an example; a second one is a remark in it, and a sentence is no key.
    let lines = text[start..end].lines().filter_map(|line| line.strip_prefix("# "));
    let is_key = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let body = lines.filter(|line| is_key(line) || *line == "[[list]]").collect::<Vec<_>>().join("\n");
    let config = accepted(&body);
    assert_eq!((config.sources.len(), config.zones.len()), (1, 1), "{body}");
    // Every key that the table knows stands in one of the examples.
    let problem = &refused("[[list]]\nzzzzzzzzzz = 1")[0];
    let (_, known) = problem.text.split_once("it knows ").unwrap();
    for key in known.split(", ") {
        assert!(body.contains(&format!("\n{key} = ")), "{key} is missing");
    }
}

const ZONE: &str = r#"
[[list]]
name = "threats"
zone = "RPZ.example."
primary = ["192.0.2.53", "[2001:db8::53]:5353"]
category = "malware"
state = "threats"
"#;

#[test]
fn a_zone_is_followed_from_its_primaries() {
    let config = accepted(&format!("{ZONE}tsig = \"threats.key\""));
    let [zone] = &config.zones[..] else { panic!("{:?}", config.zones) };
    assert_eq!((zone.name.as_str(), zone.zone.to_string().as_str()), ("threats", "rpz.example"));
    assert_eq!(
        zone.primaries.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.53:53", "[2001:db8::53]:5353"]
    );
    assert_eq!(zone.tsig, Some(Identity::File("etc/threats.key".into())));
    assert_eq!((zone.category.as_str(), zone.state.as_path()), ("malware", Path::new("etc/threats")));
    assert_eq!(zone.origin(), "dns://192.0.2.53:53,[2001:db8::53]:5353/rpz.example");
    assert!(config.sources.is_empty());
}

#[test]
fn what_is_wrong_with_a_zone_is_said() {
    one("[[list]]\nzone = \"a.example\"", 2, &["no 'name', 'primary', 'category', 'state'; each list needs it"]);
    one(&ZONE.replace("malware", "malwar"), 7, &["'category' in [[list]] \"threats\"", "did you mean \"malware\"?"]);
    one(&ZONE.replace("malware", "csam"), 7, &["\"csam\" is of the legal layer", "signed by nobody"]);
    one(&ZONE.replace("[\"192.0.2.53\",", "[\"rpz.example\","), 6, &["'primary'", "is not the address"]);
    for (key, line) in [
        ("repository = \"https://lists.example/\"", "'repository'"),
        ("root = \"root.json\"", "'root'"),
        ("class = \"operator\"", "'class'"),
        ("identity = \"identity.txt\"", "'identity'"),
        ("addresses = [\"192.0.2.80\"]", "'addresses'"),
        ("interval = 10", "'interval'"),
    ] {
        one(&format!("{ZONE}{key}"), 9, &["[[list]] \"threats\" has both", line, "'zone'", "remove one of them"]);
    }
    let twice =
        refused(&format!("{ZONE}{}", GOOD.replace("national", "threats").replace("/var/lib/threats", "threats")));
    assert_eq!(twice.len(), 2, "{twice:#?}");
}

#[test]
fn what_is_wrong_with_a_list_is_said() {
    one("[[list]]\nname = \"a\"", 2, &["no 'class', 'repository', 'root', 'state'; each list needs it"]);
    one("[list]\nname = \"a\"", 2, &["[[list]]"]);
    one(&GOOD.replace("legal", "legl"), 5, &["'class' in [[list]] \"national\"", "did you mean \"legal\"?"]);
    one(&GOOD.replace("identity = \"credential:identity\"", ""), 3, &["no 'identity'", "friendly-resolver identity"]);
    one(&GOOD.replace("credential:identity", "credential:../x"), 9, &["'identity'", "name of a credential"]);
    for wrong in ["lists.example", "ftp://lists.example/", "file:///etc/", "https://a:b@lists.example/", "https:///x?"]
    {
        one(&GOOD.replace("https://lists.example/al", wrong), 6, &["'repository' in [[list]] \"national\""]);
    }
    one(&format!("{GOOD}addresses = [\"lists.example\"]"), 10, &["'addresses'", "is not an address"]);
    one(&format!("{GOOD}interval = 0"), 10, &["'interval'", "1 to 3600"]);

    let twice = refused(&format!("{GOOD}{GOOD}"));
    assert_eq!(twice.len(), 2, "{twice:#?}");
    assert!(twice[0].text.contains("national is already used in line 4"), "{twice:#?}");
    assert!(twice[1].text.contains("/var/lib/national is already used in line 8"), "{twice:#?}");
}
