//! Lists, categories and policies.

use super::*;

#[test]
fn categories_have_the_defaults_of_their_layer() {
    let config = accepted(
        "[category.z]\nlayer = \"legal\"\n[category.b]\nlayer = \"operator\"\n[category.a]\nlayer = \"family\"\n",
    );
    let (z, b, a) =
        (Category::new("z", Layer::Legal), Category::new("b", Layer::Operator), Category::new("a", Layer::Family));
    assert_eq!((z.ede, z.ttl), (17, 10));
    assert_eq!((b.ede, b.ttl), (15, 30));
    assert_eq!((a.ede, a.ttl), (17, 60));
    assert_eq!(config.categories, [z, b, a], "in the order of the file");
    assert_eq!(config.policies[0].categories, [1, 2], "all but the legal ones");
    one("[category.a]", 2, &["'layer' in [category.a] is missing"]);
    one("[category.Adult]\nlayer = \"family\"", 2, &["\"Adult\" cannot be the name", "1 to 32 of a-z"]);
    one("[category.\"-a\"]\nlayer = \"family\"", 2, &["cannot be the name"]);
    one(
        "[category.a]\nlayer = \"family\"\naddresses = [\"0.0.0.0/0\"]",
        4,
        &["'addresses' in [category.a]: 0.0.0.0/0 would block every name"],
    );
}

#[test]
fn blocked_answers() {
    let with = |answer: &str| format!("[category.a]\nlayer = \"family\"\nanswer = {answer}");
    let (v4, v6) = (Ipv4Addr::new(192, 0, 2, 80), "2001:db8::80".parse().unwrap());
    for (text, answer) in [
        ("\"nxdomain\"", BlockAnswer::NxDomain),
        ("\"nodata\"", BlockAnswer::NoData),
        ("\"null\"", BlockAnswer::Null),
        ("[\"192.0.2.80\"]", BlockAnswer::Addresses { v4: Some(v4), v6: None }),
        ("[\"2001:db8::80\"]", BlockAnswer::Addresses { v4: None, v6: Some(v6) }),
        ("[\"2001:db8::80\", \"192.0.2.80\"]", BlockAnswer::Addresses { v4: Some(v4), v6: Some(v6) }),
    ] {
        assert_eq!(accepted(&with(text)).categories[0].answer, answer);
    }
    for (text, words) in [
        ("\"nxdomian\"", "did you mean \"nxdomain\"?"),
        ("[]", "no stop address"),
        ("[\"192.0.2.80\", \"192.0.2.81\"]", "are both IPv4 stop addresses; keep one"),
        ("[\"2001:db8::1\", \"192.0.2.81\", \"2001:db8::2\"]", "are both IPv6 stop addresses"),
        ("[\"0.0.0.0\"]", "write answer = \"null\""),
        ("[\"stop.example\"]", "is not an address"),
        ("[\"192.0.2.80/32\"]", "is not an address"),
        ("5", "is integer `5`; write \"nxdomain\""),
    ] {
        let bare = "[category.a]\nlayer = \"family\"\nanswer = \"192.0.2.80\"";
        one(bare, 4, &["stop addresses stand in [ ]; write [\"192.0.2.80\"]"]);
        one(&with(text), 4, &["'answer' in [category.a]", words]);
    }
}

#[test]
fn at_most_64_categories() {
    let some = |n: usize| -> String { (0..n).map(|i| format!("[category.c{i}]\nlayer = \"family\"\n")).collect() };
    assert_eq!(accepted(&some(64)).categories.len(), 64);
    one(&some(65), 2 + 2 * 64, &["there are 65 categories and at most 64"]);
}

/// A policy named `name` with `networks` and more lines.
fn policy(name: &str, networks: &str, more: &str) -> String {
    format!("[[policy]]\nname = \"{name}\"\nnetworks = [{networks}]\n{more}\n")
}

#[test]
fn policies_name_categories_that_exist_and_may_be_chosen() {
    let with = |names: &str| policy("a", "\"::/0\"", &format!("categories = [{names}]"));
    assert_eq!(accepted(&with("\"gambling\", \"malware\"")).policies[0].categories, [1, 5]);
    assert!(accepted(&with("")).policies[0].categories.is_empty());
    assert_eq!(accepted(&policy("a", "\"::/0\"", "")).policies[0].categories, [1, 2, 3, 4, 5]);
    one(&with("\"adlut\""), 5, &["in [[policy]] \"a\": there is no category \"adlut\"; did you mean \"adult\"?"]);
    one(&with("\"violence\""), 5, &["define [category.violence], or use one of malware, phishing"]);
    one(&with("\"csam\""), 5, &["\"csam\" is of the legal layer, which is always in force"]);
    one(&with("\"adult\",\n\"adult\""), 6, &["names \"adult\" twice"]);
    one(&with("5"), 5, &["'categories' in [[policy]] \"a\" is integer `5`"]);
}

#[test]
fn policies_have_a_name_and_networks_of_their_own() {
    one("[[policy]]\nnetworks = [\"::/0\"]", 2, &["'name' in [[policy]] is missing"]);
    one("[[policy]]\nname = \"a\"", 2, &["[[policy]] \"a\" has no networks"]);
    one(&policy("a", "", ""), 4, &["[[policy]] \"a\" has no networks"]);
    one(&policy("Town Square", "\"::/0\"", ""), 3, &["\"Town Square\" is not a short name"]);
    let twice = policy("a", "\"::/0\"", "") + &policy("a", "\"0.0.0.0/0\"", "");
    one(&twice, 7, &["another [[policy]] \"a\" in line 3"]);
    let same = policy("a", "\"::/0\"", "") + &policy("b", "\"0.0.0.0/0\", \"::/0\"", "");
    one(&same, 8, &["in [[policy]] \"b\": ::/0 already belongs to [[policy]] \"a\" in line 4"]);
}

#[test]
fn rules_are_names_with_a_scope() {
    let with = |rules: &str| policy("a", "\"::/0\"", rules);
    let policies = accepted(&with("allow = [\"Example.ORG.\", \"=www.example.org\"]")).policies;
    let rule = |name: &str, scope| Rule { name: Name::parse(name).unwrap(), scope };
    let expected = [rule("example.org", Scope::Subtree), rule("www.example.org", Scope::Exact)];
    assert_eq!(policies[0].allow, expected);
    for (text, words) in [
        ("*.example.org", "write \"example.org\""),
        ("https://example.org/", "is more than a domain name"),
        ("192.0.2.1", "is an address"),
        (".", "would mean every name"),
        ("=", "\"\" is not a domain name"),
        ("two words", "is not a domain name"),
        ("a..example", "is not a domain name"),
    ] {
        let rules = format!("deny = [\"ok.example\",\n\"{text}\"]");
        one(&with(&rules), 6, &["'deny' in [[policy]] \"a\"", words]);
    }
    let both = "allow = [\"example.org\"]\ndeny = [\"example.org\"]";
    one(&with(both), 5, &["both allows and denies example.org"]);
    // The longer of two names, and the exact one of two scopes, may differ.
    accepted(&with("allow = [\"www.example.org\"]\ndeny = [\"example.org\", \"=www.example.org\"]"));
}

#[test]
fn paths_start_in_the_directory_of_the_file() {
    let files = "[lists]\nfiles = [\"a.list\", \"/srv/b.list\"]\n";
    let config = accepted(&(files.to_owned() + &policy("a", "\"::/0\"", "allow_lists = [\"c.list\"]")));
    assert_eq!(config.lists, [Path::new("etc/a.list"), Path::new("/srv/b.list")]);
    assert_eq!(config.policies[0].allow_lists, [Path::new("etc/c.list")]);
    let bare = Config::parse("version = 1\n[lists]\nfiles = [\"a.list\"]", Path::new("x.toml"));
    assert_eq!(bare.unwrap().lists, [Path::new("a.list")]);
    assert_eq!(accepted("[lists]\nlast_good = \"kept\"").last_good.as_deref(), Some(Path::new("etc/kept")));
    one("[lists]\nfiles = [\"\"]", 3, &["is not the path of a file"]);
    one("[lists]\nfiles = [\"a.list\",\n\"a.list\"]", 4, &["names etc/a.list twice"]);
    let both = files.to_owned() + &policy("a", "\"::/0\"", "allow_lists = [\"a.list\"]");
    one(&both, 7, &["names etc/a.list, which line 3 uses as a block list"]);
}
