//! Records as they come: whole, odd, hostile. One bad record never costs the others, and no message repeats a URL.

use std::fs;
use std::path::Path;

use friendly_blocklist::takedown::problem::{Place, Reason};
use friendly_blocklist::takedown::scheme::Scheme;
use friendly_blocklist::takedown::{Document, FIELDS, Host, MAX_INPUT, MAX_RECORD, Reading, Record, read, schemas};
use friendly_blocklist::texts::Language;
use proptest::prelude::*;
use serde_json::{Value, json};
use signed_list::list::Scope;
use signed_list::release::Class;

fn reading(text: impl AsRef<[u8]>) -> Reading {
    read(text.as_ref(), &Scheme::shipped())
}

/// A record that is fine, with some fields changed; null takes one out.
fn record(changes: Value) -> Value {
    let mut record = json!({
        "version": 1, "case_ref": "2026-1", "source": "isigurt", "category": "csam", "name": "one.test",
        "dedicated_attestation": true, "assessed_at": "2026-03-01"
    });
    for (field, value) in changes.as_object().unwrap() {
        record[field] = value.clone();
    }
    record
}

/// What is wrong with one record: `field word`, sorted; nothing if it goes through.
fn wrong(changes: Value) -> Vec<String> {
    let reading = reading(record(changes).to_string());
    assert_eq!(reading.takedowns.len() + reading.refused.len(), 1, "{reading:?}");
    let problems = reading.refused.into_iter().flat_map(|refusal| refusal.problems);
    let mut told: Vec<String> =
        problems.map(|problem| format!("{} {}", problem.field.unwrap_or_default(), problem.reason.word())).collect();
    told.sort();
    told
}

#[test]
fn the_samples_are_read_whole() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    for (file, count) in [("takedowns.json", 4), ("takedowns.jsonl", 2), ("takedowns.csv", 3)] {
        let reading = reading(fs::read(sample.join(file)).unwrap());
        assert!(reading.refused.is_empty(), "{file}: {:?}", reading.refused);
        assert_eq!(reading.takedowns.len(), count, "{file}");
    }
    let reading = reading(fs::read(sample.join("takedowns.json")).unwrap());
    let (place, first) = &reading.takedowns[0];
    assert_eq!((*place, first.case.as_str(), first.class), (Place::Record(1), "isigurt/2026-0041", Class::Legal));
    assert_eq!((first.scope, first.is_page, first.assessed_at), (Scope::Subtree, false, 1_772_353_800));
    let (_, second) = &reading.takedowns[1];
    assert!(matches!(&second.host, Host::Name(name) if name.to_string() == "www.dedicated-two.example"));
    assert_eq!((second.scope, second.is_page), (Scope::Exact, true));
}

#[test]
fn the_shipped_schemas_are_those_of_the_types() {
    for (name, text) in schemas() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
        let shipped = fs::read_to_string(&path).unwrap();
        assert_eq!(shipped, text, "run: cargo run -p friendly-blocklist --example schemas");
        let schema: Value = serde_json::from_str(&text).unwrap();
        let record = schema.get("$defs").map_or(&schema, |defs| &defs["Record"]);
        let mut properties: Vec<&str> = record["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut fields = FIELDS.to_vec();
        properties.sort_unstable();
        fields.sort_unstable();
        assert_eq!(properties, fields);
        assert_eq!(record["additionalProperties"], false);
        assert_eq!(record["required"], json!(["case_ref", "source", "category", "assessed_at"]));
    }
}

#[test]
fn a_record_that_is_written_is_read_again() {
    let record = Record {
        version: None,
        case_ref: "2026-1".parse().unwrap(),
        source: "isigurt".parse().unwrap(),
        class: Some(Class::Legal),
        category: "csam".parse().unwrap(),
        name: None,
        url: Some("http://one.test/page".to_owned()),
        scope: Some(Scope::Exact),
        legal_basis: Some("law-18-2017".parse().unwrap()),
        legal_reference: Some("Vendim 12".parse().unwrap()),
        dedicated_attestation: Some(true),
        assessed_at: 1_772_353_800,
        ntd_sent_at: Some(1_772_353_800),
        host_country: Some("NL".to_owned()),
        removed_seen_at: Some(1_772_440_200),
    };
    let text = serde_json::to_string(&Document { version: 1, records: vec![record] }).unwrap();
    let reading = reading(&text);
    assert!(reading.refused.is_empty(), "{:?}", reading.refused);
    let takedown = &reading.takedowns[0].1;
    assert_eq!((takedown.assessed_at, takedown.removed_seen_at), (1_772_353_800, Some(1_772_440_200)));
    assert_eq!(takedown.host_country.as_ref().map(|word| word.as_str()), Some("nl"));
}

#[test]
fn each_field_has_its_rule() {
    assert_eq!(wrong(json!({})), Vec::<String>::new());
    for (changes, expected) in [
        (json!({"version": 2}), "version version"),
        (json!({"version": "1"}), "version version"),
        (json!({"version": null}), "version missing"),
        (json!({"case_ref": null}), "case_ref missing"),
        (json!({"case_ref": ""}), "case_ref missing"),
        (json!({"case_ref": "site.test"}), "case_ref case-ref"),
        (json!({"case_ref": 12}), "case_ref text"),
        (json!({"source": "nobody"}), "source not-in-scheme"),
        (json!({"source": "iSIGURT"}), "source word"),
        (json!({"class": "secret"}), "class class"),
        (json!({"class": "venue", "category": "adult"}), "class class-of-source"),
        (json!({"category": "adult"}), "category category-of-class"),
        (json!({"category": null}), "category missing"),
        (json!({"name": null}), "name no-name"),
        (json!({"url": "http://one.test/"}), "url name-and-url"),
        (json!({"name": "192.0.2.1"}), "name address"),
        (json!({"name": "http://one.test/x"}), "name url-as-name"),
        (json!({"name": "one.test/x"}), "name url-as-name"),
        (json!({"name": "one.test:80"}), "name url-as-name"),
        (json!({"name": "test"}), "name single-label"),
        (json!({"name": "*.one.test"}), "name pattern"),
        (json!({"name": "o ne.test"}), "name not-a-name"),
        (json!({"name": format!("{}.test", "a".repeat(64))}), "name not-a-name"),
        (json!({"name": ["one.test"]}), "name text"),
        (json!({"name": null, "url": "one.test/page"}), "url url"),
        (json!({"name": null, "url": "javascript:alert(1)"}), "url url"),
        (json!({"name": null, "url": "http:///page"}), "url single-label"),
        (json!({"scope": "all"}), "scope scope"),
        (json!({"legal_basis": "law-1"}), "legal_basis not-in-scheme"),
        (json!({"legal_reference": "see http://one.test/x"}), "legal_reference reference"),
        (json!({"dedicated_attestation": "yes"}), "dedicated_attestation yes-or-no"),
        (json!({"assessed_at": null}), "assessed_at missing"),
        (json!({"assessed_at": "1.3.2026"}), "assessed_at date"),
        (json!({"assessed_at": "2026-02-30"}), "assessed_at date"),
        (json!({"assessed_at": "2026-03-01T10:00:00"}), "assessed_at date"),
        (json!({"assessed_at": "1926-03-01"}), "assessed_at date"),
        (json!({"assessed_at": 1772353800}), "assessed_at text"),
        (json!({"host_country": "Albania"}), "host_country country"),
        (json!({"host_country": "al"}), "host_country country"),
        (json!({"ntd_sent_at": true}), "ntd_sent_at text"),
    ] {
        assert_eq!(wrong(changes.clone()), [expected], "{changes}");
    }
    // All that is wrong is told at once.
    let all = wrong(json!({"source": null, "name": "x", "host_country": "x", "colour": "red"}));
    assert_eq!(all, ["colour unknown", "host_country country", "source missing"]);
}

#[test]
fn hosts_are_found_in_urls_and_nothing_else_of_them_is_kept() {
    for (url, host) in [
        ("https://one.test/a/secret?b=secret#secret", "one.test"),
        ("http://user:secret@One.Test:8080/secret", "one.test"),
        ("https://bücher.test/secret", "xn--bcher-kva.test"),
        ("http://one.test./secret", "one.test"),
        ("  https://one.test\t", "one.test"),
    ] {
        let reading = reading(record(json!({"name": null, "url": url})).to_string());
        let (_, takedown) = reading.takedowns.first().unwrap_or_else(|| panic!("{url}: {:?}", reading.refused));
        assert!(matches!(&takedown.host, Host::Name(name) if name.to_string() == host), "{url}: {takedown:?}");
        assert!(!format!("{takedown:?}").contains("secret"), "{takedown:?}");
    }
    for url in ["http://192.0.2.1/x", "http://[2001:db8::1]/x", "http://0x7f.1/x", "http://3221225985/"] {
        let reading = reading(record(json!({"name": null, "url": url})).to_string());
        assert_eq!(reading.takedowns[0].1.host, Host::Address, "{url}");
    }
}

#[test]
fn fields_about_people_and_content_are_refused_by_name_and_never_repeated() {
    for (field, reason) in [
        ("reporter", "about-reporter"),
        ("reporter_email", "about-reporter"),
        ("Reporter-Name", "about-reporter"),
        ("contact", "about-reporter"),
        ("phone", "about-reporter"),
        ("ip", "about-visitor"),
        ("ip_address", "about-visitor"),
        ("client_ip", "about-visitor"),
        ("user_agent", "about-visitor"),
        ("visitor", "about-visitor"),
        ("image", "about-content"),
        ("images", "about-content"),
        ("screenshot_url", "about-content"),
        ("description", "about-content"),
        ("comments", "about-content"),
        ("content_hash", "about-content"),
        ("approver_1", "decided"),
        ("review_by", "decided"),
        ("listed_at", "decided"),
        ("colour", "unknown"),
    ] {
        let text = record(json!({field: "ana@hotline.test secret"})).to_string();
        let reading = reading(&text);
        let refusal = &reading.refused[0];
        assert_eq!(refusal.problems.len(), 1, "{field}");
        assert_eq!(refusal.problems[0].reason.word(), reason, "{field}");
        assert_eq!(refusal.case_ref.as_deref(), Some("2026-1"));
        for language in Language::ALL {
            assert!(!refusal.problems[0].reason.sentence(language).contains("secret"));
        }
    }
    let near = |field: &str| match &reading(record(json!({field: "x"})).to_string()).refused[0].problems[0].reason {
        Reason::Unknown { near } => *near,
        other => panic!("{field}: {other:?}"),
    };
    assert_eq!(near("case_reff"), Some("case_ref"));
    assert_eq!(near("Legal Bassis"), Some("legal_basis"));
    assert_eq!(near("colour"), None);
    // A name of a field that is none may hold anything, too.
    let odd = &reading(record(json!({"http://one.test/secret": 1})).to_string()).refused[0].problems[0];
    assert_eq!(odd.field.as_deref(), Some("?"));
}

/// Places of what goes through, and `place word` of what does not.
fn places(text: impl AsRef<[u8]>) -> (Vec<Place>, Vec<(Place, String)>) {
    let reading = reading(text);
    let refused = reading.refused.iter().map(|refusal| (refusal.place, refusal.problems[0].reason.word().to_owned()));
    (reading.takedowns.iter().map(|(place, _)| *place).collect(), refused.collect())
}

#[test]
fn one_bad_line_costs_one_record() {
    let good = |number: u32| record(json!({"case_ref": number.to_string()})).to_string();
    let long = record(json!({"legal_reference": "x".repeat(MAX_RECORD)})).to_string();
    let text = format!("{}\n{{\"version\": 1,\n\n[1]\n{}\n{long}\n\"text\"\n{}\r\n", good(1), good(2), good(3));
    let (fine, refused) = places(&text);
    assert_eq!(fine, [Place::Line(1), Place::Line(5), Place::Line(8)]);
    let told: Vec<(Place, &str)> = refused.iter().map(|(place, word)| (*place, word.as_str())).collect();
    assert_eq!(
        told,
        [
            (Place::Line(2), "json"),
            (Place::Line(4), "not-an-object"),
            (Place::Line(6), "too-long"),
            (Place::Line(7), "not-an-object")
        ]
    );
    // A broken first line does not make the lines a document.
    let (fine, refused) = places(format!("{{\"version\": 1, \"case\n{}\n{}\n{}", good(1), good(2), good(3)));
    assert_eq!((fine.len(), refused.len(), refused[0].0), (3, 1, Place::Line(1)));
    let mut octets = good(1).into_bytes();
    octets.extend(b"\n{\"version\": 1, \"name\": \"\xff\"}\n");
    octets.extend(good(2).into_bytes());
    let (fine, refused) = places(octets);
    assert_eq!((fine.len(), refused), (2, vec![(Place::Line(2), "not-utf-8".to_owned())]));
}

#[test]
fn one_bad_record_of_a_document_costs_one_record() {
    let good = |number: u32| record(json!({"case_ref": number.to_string(), "version": null}));
    let document = json!({"version": 1, "records": [good(1), 7, null, "x", [good(9)], good(2), {}]});
    let (fine, refused) = places(document.to_string());
    assert_eq!(fine, [Place::Record(1), Place::Record(6)]);
    let at: Vec<Place> = refused.iter().map(|(place, _)| *place).collect();
    assert_eq!(at, [2, 3, 4, 5, 7].map(Place::Record));

    for (text, word) in [
        (json!({"version": 2, "records": []}).to_string(), "version"),
        (json!({"records": []}).to_string(), "no-records"),
        (json!({"version": 1, "records": [], "reporter": "x"}).to_string(), "no-records"),
        (json!({"version": 1, "records": {}}).to_string(), "no-records"),
        ("[]".to_owned(), "no-records"),
        ("{\n  \"version\": 1,\n  \"records\": [\n".to_owned(), "json"),
        (String::new(), "empty"),
        (" \n\u{feff}".trim_end_matches('\u{feff}').to_owned(), "empty"),
        ("[".repeat(10_000), "json"),
        (format!("{{\"version\":1,\"records\":[{{\"name\":{}", "[".repeat(10_000)), "json"),
    ] {
        let (fine, refused) = places(&text);
        assert!(fine.is_empty());
        assert_eq!(refused, [(Place::Whole, word.to_owned())], "{}", &text[..text.len().min(60)]);
    }
}

#[test]
fn a_field_that_stands_there_twice_never_wins_silently() {
    let text = "{\"version\":1,\"case_ref\":\"1\",\"source\":\"isigurt\",\"category\":\"csam\",\"name\":\"one.test\",\
                \"name\":\"two.test\",\"assessed_at\":\"2026-03-01\"}";
    let (fine, refused) = places(text);
    assert_eq!((fine.len(), refused), (0, vec![(Place::Line(1), "twice".to_owned())]));
    let document = format!("{{\"version\":1,\"records\":[{}]}}", text.replace("\"version\":1,", ""));
    assert_eq!(places(document).1, [(Place::Record(1), "twice".to_owned())]);
}

#[test]
fn csv_as_spreadsheets_write_it() {
    let comma = "Case_Ref,source,category,name,dedicated_attestation,assessed_at\n";
    for text in [
        format!("{comma}1,isigurt,csam,one.test,TRUE,2026-03-01\n"),
        format!("\u{feff}{comma}1,isigurt,csam,one.test,yes,2026-03-01\r\n\r\n"),
        format!("{comma}\"1\",\"isigurt\",\"csam\",\"one.test\",\"po\",\"2026-03-01\"").replace("\"1\"", "1"),
        format!("{comma}1,isigurt,csam,one.test,true,2026-03-01\n").replace(',', ";"),
        format!("{comma}1,isigurt,csam,one.test,true,2026-03-01\n").replace(',', "\t"),
        format!("version,{comma}1,1,isigurt,csam,one.test,true,2026-03-01\n"),
    ] {
        let reading = reading(&text);
        assert!(reading.refused.is_empty(), "{text}: {:?}", reading.refused);
        assert_eq!(reading.takedowns[0].0, Place::Line(2));
        assert!(reading.takedowns[0].1.dedicated_attestation, "{text}");
    }
}

#[test]
fn one_bad_line_of_a_table_costs_one_record() {
    let text = "case_ref,source,category,name,assessed_at,legal_reference\n\
                1,isigurt,csam,one.test,2026-03-01,\n\
                2,isigurt,csam,\"two.test,2026-03-01,\n\
                3,isigurt,csam,three.test\n\
                4,isigurt,csam,four.test,2026-03-01,\"a, \"\"b\"\"\"\n\
                5,isigurt,csam,five.test,soon,\n";
    let (fine, refused) = places(text);
    assert_eq!(fine, [Place::Line(2), Place::Line(5)]);
    let expected = [(3, "quotes"), (4, "columns"), (6, "date")];
    assert_eq!(refused, expected.map(|(line, word)| (Place::Line(line), word.to_owned())));

    // A column about people is in every record, so nothing is read, and all such columns are named.
    let reading = reading("case_ref,reporter_email,name,screenshot,name\n1,ana@hotline.test,one.test,x,y\n");
    assert!(reading.takedowns.is_empty());
    let problems = &reading.refused[0].problems;
    let words: Vec<&str> = problems.iter().map(|problem| problem.reason.word()).collect();
    assert_eq!(words, ["about-reporter", "about-content", "twice"]);
    for text in ["no table at all", "<html>\n<body>", "\u{0}\u{1}", "a,b\n1,2\n"] {
        assert_eq!(places(text).1, [(Place::Line(1), "no-header".to_owned())], "{text:?}");
    }
}

#[test]
fn sizes_have_limits() {
    assert_eq!(places(vec![b' '; MAX_INPUT + 1]).1, [(Place::Whole, "too-large".to_owned())]);
    let line = "1,isigurt,csam,one.test,2026-03-01\n";
    let many = format!("case_ref,source,category,name,assessed_at\n{}", line.repeat(100_002));
    let (fine, refused) = places(many);
    assert_eq!((fine.len(), refused), (100_000, vec![(Place::Whole, "too-many".to_owned())]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_octets_are_read_without_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        reading(octets);
    }

    #[test]
    fn anything_like_records_is_read_without_panic(
        text in "([ -~\\n]|[{}\\[\\]\",:;\\t]|\"(version|name|url|case_ref|records)\":|http://|\\\\u00|ë|\\r\\n|1){0,80}"
    ) {
        let reading = reading(&text);
        for refusal in reading.refused {
            prop_assert!(!refusal.problems.is_empty());
            for problem in refusal.problems {
                let open = problem.reason.sentence(Language::Albanian).contains('{');
                prop_assert!(!open, "an argument is missing: {:?}", problem);
            }
        }
    }

    #[test]
    fn each_line_is_taken_or_refused(lines in prop::collection::vec(0..4usize, 0..30)) {
        let forms = [
            record(json!({})).to_string(),
            "{\"version\":1}".to_owned(),
            "{broken}".to_owned(),
            "{}".to_owned(),
        ];
        let text: String = lines.iter().map(|line| format!("{}\n", forms[*line])).collect();
        let reading = reading(&text);
        let good = lines.iter().filter(|line| **line == 0).count();
        if !lines.is_empty() && lines.len() > 1 {
            prop_assert_eq!(reading.takedowns.len(), good);
            prop_assert_eq!(reading.refused.len(), lines.len() - good);
        }
    }
}
