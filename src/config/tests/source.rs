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
fn the_shipped_example_is_a_list() {
    let text = include_str!("../../../config/friendly-resolver.toml");
    let start = text.find("# [[list]]").unwrap();
    let example = text[start..].split("\n\n").next().unwrap();
    let body: String = example.lines().map(|line| line.trim_start_matches("# ").to_owned() + "\n").collect();
    // Settings; sentences may hold an equals sign, too.
    let is_key = |text: &str| text.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_');
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| is_key(key));
    let body = body.lines().filter(|line| is_setting(line) || line.starts_with("[[")).collect::<Vec<_>>().join("\n");
    let config = accepted(&body);
    assert_eq!(config.sources.len(), 1, "{body}");
    // Every key that the table knows stands in the example.
    let problem = &refused("[[list]]\nzzzzzzzzzz = 1")[0];
    let (_, known) = problem.text.split_once("it knows ").unwrap();
    for key in known.split(", ") {
        assert!(body.contains(&format!("\n{key} = ")), "{key} is missing");
    }
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
