//! The page in place of what is blocked, requests for review, structured errors.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;
use friendly_blocklist::appeal;

use crate::client::{Ask, NOERROR, NXDOMAIN, Reply, connect};
use crate::world::{Daemon, World, eventually};

const PATIENCE: Duration = Duration::from_secs(20);
const PORT: u16 = 8080;

/// Categories whose blocks lead to the page of this world, and a list.
fn settings(world: &World, more: &str) -> String {
    world.write_list(
        "a.list",
        1,
        &[("law", "law.example"), ("court", "court.example"), ("adult", "adult.example"), ("malware", "bad.example")],
    );
    let address = world.address(1);
    format!(
        "[lists]\nfiles = [\"a.list\"]\n[stop_page]\nlisten = [\"{address}:{PORT}\"]\n{more}\n\
         [category.law]\nlayer = \"legal\"\nanswer = [\"{address}\"]\n\
         [category.court]\nlayer = \"legal\"\nanswer = [\"{address}\"]\nede = 16\n\
         [category.malware]\nlayer = \"operator\"\n\
         [category.adult]\nlayer = \"family\"\nanswer = [\"{address}\"]\n"
    )
}

fn page(world: &World) -> SocketAddr {
    (world.address(1), PORT).into()
}

/// Sends these octets and gives everything that comes back.
fn send(world: &World, request: &str) -> String {
    let mut stream = connect(world.address(10), page(world)).expect("the page takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("sockets take time-outs");
    stream.write_all(request.as_bytes()).expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("UTF-8 and a closed connection");
    text
}

fn get(world: &World, host: &str, path: &str, headers: &str) -> String {
    send(world, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"))
}

fn post(world: &World, host: &str, form: &str) -> String {
    let head = format!("POST /?lang=en HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n", form.len());
    send(world, &format!("{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}"))
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n").expect("a head").0;
    head.lines().find_map(|line| line.split_once(": ").filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|it| it.1))
}

/// The number that the page shows.
fn code(answer: &str) -> String {
    let (_, rest) = answer.split_once("name=\"code\" type=\"hidden\" value=\"").expect("a form");
    rest[..9].to_owned()
}

#[test]
fn the_page_speaks_to_people_in_their_language() {
    let world = World::new();
    let _daemon = world.start(&[], &settings(&world, ""));
    let albanian = get(&world, "adult.example", "/", "");
    for text in [
        "<html lang=\"sq\">",
        "Kjo faqe është e bllokuar",
        "Ti nuk ke bërë asgjë të gabuar.",
        "vetëm për të rritur",
        "<a class=\"call\" href=\"tel:116111\">Telefono falas ALO 116 111, ditë e natë.</a>",
        "Raportoje te iSIGURT.al",
        "Albania Friendly Wi-Fi",
        "mailto:isigurt@crca.al",
    ] {
        assert!(albanian.contains(text), "no {text:?} in\n{albanian}");
    }
    assert!(albanian.find("116 111") < albanian.find("isigurt"), "help comes first");
    for (path, headers) in [
        ("/", "Accept-Language: en-GB,en;q=0.9,sq;q=0.8\r\n"),
        ("/deep/path?lang=en", ""),
        ("/?x=1&lang=en", "Accept-Language: sq\r\n"),
    ] {
        let english = get(&world, "adult.example", path, headers);
        assert!(english.contains("<html lang=\"en\">") && english.contains("You did nothing wrong."), "{english}");
        assert_eq!(header(&english, "content-language"), Some("en"));
    }
}

#[test]
fn nothing_is_kept_loaded_or_run_and_the_page_is_small() {
    let world = World::new();
    let daemon = world.start(&[], &settings(&world, ""));
    for host in ["adult.example", "law.example", "unknown.example", "192.0.2.1", "\"><script>alert(1)</script>"] {
        let answer = get(&world, host, "/%3Cscript%3E?lang=%3Cscript%3E", "Accept-Language: <script>\r\n");
        assert_eq!(status(&answer), 403, "{answer}");
        assert!(answer.len() < 20 << 10, "{} octets", answer.len());
        assert_eq!(header(&answer, "cache-control"), Some("no-store"));
        assert_eq!(header(&answer, "set-cookie"), None);
        assert!(header(&answer, "content-security-policy").is_some_and(|it| it.starts_with("default-src 'none'")));
        for never in ["<script", "http-equiv", "src=", "@import", "url("] {
            assert!(!answer.contains(never), "{never} in\n{answer}");
        }
    }
    let client = world.address(10).to_string();
    assert!(!daemon.log().contains("example") && !daemon.log().contains(&client), "{}", daemon.log());
    let head = send(&world, "HEAD / HTTP/1.1\r\nHost: adult.example\r\n\r\n");
    assert!(head.ends_with("\r\n\r\n") && status(&head) == 403, "{head}");
    let picture = get(&world, "adult.example", "/banner.png", "Accept: image/avif,image/png,*/*;q=0.8\r\n");
    assert_eq!((status(&picture), header(&picture, "content-length")), (403, Some("0")));
    let other = send(&world, "DELETE / HTTP/1.1\r\nHost: adult.example\r\n\r\n");
    assert_eq!((status(&other), header(&other, "allow")), (405, Some("GET, HEAD, POST")));
    // The site's own forms lead here, too.
    let login = post(&world, "adult.example", "user=a&site=adult.example&code=AAAA-0000");
    assert!(status(&login) == 403 && login.contains("This site is blocked"), "{login}");
}

#[test]
fn only_public_orders_say_that_it_was_the_law() {
    let world = World::new();
    let _daemon = world.start(&[], &settings(&world, ""));
    let court = get(&world, "court.example", "/", "");
    assert_eq!(status(&court), 451);
    assert_eq!(header(&court, "link"), Some("<https://isigurt.al/>; rel=\"blocked-by\""));
    let law = get(&world, "www.law.example", "/", "");
    assert_eq!((status(&law), header(&law, "link")), (403, None));
    // A confidential entry looks like a name that nobody knows.
    let (start, end) = ("<main>", "<section>");
    let words = |answer: &str| {
        let from = answer.find(start).expect("main");
        answer[from..from + answer[from..].find(end).expect("a section")].to_owned()
    };
    assert_eq!(words(&law), words(&get(&world, "unknown.example", "/", "")));
}

#[test]
fn https_is_refused_at_once() {
    let world = World::new();
    let _daemon = world.start(&[], &settings(&world, ""));
    let begun = Instant::now();
    let refused = TcpStream::connect((world.address(1), 443)).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn another_country_needs_a_file_and_no_program() {
    let world = World::new();
    let shipped = include_str!("../../config/scheme/albania.toml");
    let begin = shipped.find("[people]").expect("the part about people");
    let end = shipped.find("# Test names that the scheme owns").expect("the next part");
    let people = "[people]\norganisation = \"Freedonia Quiet Net\"\nurl = \"https://quiet.example/\"\n\
        contact = [\"tel:+99912345\"]\nreport_url = \"https://tell.example/\"\nreport_name = \"Tell Us\"\n\
        review_days = 3\n[[people.language]]\ncode = \"fr\"\nname = \"Français\"\ntexts = \"fr.ftl\"\n\
        [[people.helpline]]\ntel = \"119\"\nsentence = { fr = \"Appelle le 119.\" }\n";
    let profile = format!("{}{people}{}", &shipped[..begin], &shipped[end..]).replacen("id = \"al\"", "id = \"fd\"", 1);
    world.write("freedonia.toml", profile);
    let english = include_str!("../../config/scheme/texts/en.ftl");
    world.write("fr.ftl", english.replace("This site is blocked", "Ce site est bloqué"));
    let daemon = world.start(&[], &format!("{}[scheme]\nprofile = \"freedonia.toml\"\n", settings(&world, "")));
    let answer = get(&world, "adult.example", "/", "Accept-Language: sq\r\n");
    for text in ["<html lang=\"fr\">", "Ce site est bloqué", "Freedonia Quiet Net", "tel:119", "Tell Us", "+99912345"]
    {
        assert!(answer.contains(text), "no {text:?} in\n{answer}");
    }
    for text in ["116", "iSIGURT", "isigurt", "Albania", "crca", "Shqip"] {
        assert!(!answer.contains(text), "{text:?} in\n{answer}");
    }
    let told = structured(&daemon.ask(&Ask::a("adult.example").option(15, &[0, 0])));
    assert_eq!(
        (&told["o"], &told["c"][0], &told["l"]),
        (&"Freedonia Quiet Net".into(), &"tel:+99912345".into(), &"fr".into())
    );

    // Changed while it runs; spoiled, the one before stays.
    world.write("fr.ftl", "title = nothing else\n");
    assert!(!daemon.reload());
    assert!(daemon.problems().iter().any(|it| it.contains("freedonia.toml") && it.contains("'calm' is missing")));
    assert!(get(&world, "adult.example", "/", "").contains("Ce site est bloqué"));
}

#[test]
fn a_request_for_review_is_sealed_counted_and_reaches_those_who_answer() {
    let world = World::new();
    let secret = world.write("x", "").with_file_name("secret");
    let recipient = appeal::make(&secret).expect("a secret");
    let settings = settings(&world, &format!("reviews = \"reviews\"\nrecipient = \"{recipient}\""));
    let daemon = world.start(&[], &settings);
    let directory = secret.with_file_name("reviews");
    let waiting = || appeal::waiting(std::slice::from_ref(&directory)).expect("the directory");

    let shown = get(&world, "law.example", "/", "");
    assert!(shown.contains("value=\"law.example\"") && !shown.contains("mailto:"), "{shown}");
    let number = code(&shown);
    let taken = post(&world, "law.example", &format!("site=https%3A%2F%2FLaw.example%2Fpage&code={number}"));
    assert_eq!(status(&taken), 200, "{taken}");
    assert!(taken.contains("mailto:isigurt@crca.al"), "where the answer is: {taken}");
    assert!(taken.contains("We got your request") && taken.contains(&format!("Your number: {number}")), "{taken}");
    // Twice is once.
    assert_eq!(status(&post(&world, "law.example", &format!("site=law.example&code={number}"))), 200);
    let [file] = &waiting()[..] else { panic!("{:?}", waiting()) };
    let (review, name) = appeal::open(file, &appeal::secret(&secret).expect("the secret")).expect("it opens");
    assert_eq!((review.code, name.to_string(), review.scheme), (number, "law.example".into(), "al".into()));
    assert_eq!(review.day % 86_400, 0, "the day, not the second");
    let written = fs::metadata(file).and_then(|it| it.modified()).expect("a time");
    let written = written.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert_eq!(written.as_secs(), review.day, "nor the time of the file");
    let octets = fs::read_to_string(file).expect("armoured");
    assert!(octets.starts_with("-----BEGIN AGE") && !octets.contains("law"));
    assert!(!daemon.log().contains("law.example"));

    // What is no site, and numbers that are none of ours.
    let wrong =
        post(&world, "law.example", &format!("site=my+favourite+site&code={number_2}", number_2 = code(&shown)));
    assert_eq!(status(&wrong), 422);
    assert!(wrong.contains("does not look like the address") && wrong.contains("aria-invalid=\"true\""), "{wrong}");
    assert!(wrong.contains("value=\"my favourite site\""), "what was written is not lost");
    assert_eq!(status(&post(&world, "law.example", &format!("code=AAAA-0000&site={}", "a".repeat(5000)))), 400);
    for none in ["site=other.example&code=..%2F..%2Fetc", "site=other.example", "user=a&site=other.example"] {
        assert_eq!(status(&post(&world, "law.example", none)), 403, "{none}");
    }
    assert_eq!(waiting().len(), 1);

    // A flood leaves the disk alone.
    let answers: Vec<u16> =
        (10..70).map(|n| status(&post(&world, "law.example", &format!("site=n{n}.example&code=AAAA-00{n}")))).collect();
    assert!(answers.contains(&503) && waiting().len() < 40, "{answers:?}");
}

#[test]
fn a_directory_that_nobody_can_write_is_refused_at_the_start() {
    let world = World::new();
    let secret = world.write("x", "").with_file_name("secret");
    let recipient = appeal::make(&secret).expect("a secret");
    let settings = settings(&world, &format!("reviews = \"x/reviews\"\nrecipient = \"{recipient}\""));
    let config = world.write("friendly.toml", world.config(&[], &settings));
    let output = Command::new(env!("CARGO_BIN_EXE_friendly-resolver")).arg("-c").arg(&config).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("[stop_page] reviews") && said.contains("x/reviews"), "{said}");
}

#[test]
fn visitors_that_dawdle_do_not_keep_others_out() {
    let world = World::new();
    let _daemon = world.start(&[], &settings(&world, ""));
    let slow: Vec<_> = (0..200).filter_map(|_| connect(world.address(20), page(&world)).ok()).collect();
    for mut stream in &slow {
        drop(stream.write_all(b"GET / HTTP/1.1\r\nHost: a"));
    }
    assert_eq!(status(&get(&world, "adult.example", "/", "")), 403);
    // Those beyond the limit of one address were closed at once, the others are after a while.
    let open = |stream: &TcpStream| {
        stream.set_nonblocking(true).expect("sockets can");
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    assert!(eventually(Duration::from_secs(2), || slow.iter().filter(|stream| open(stream)).count() <= 32));
    assert!(eventually(PATIENCE, || !slow.iter().any(open)));
}

/// The structured error of an answer.
fn structured(reply: &Reply) -> serde_json::Value {
    let text = reply.errors.first().map(|(_, text)| text.clone()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?} in {reply}"))
}

fn ask_structured(daemon: &Daemon, name: &str) -> Reply {
    daemon.ask(&Ask::a(name).option(15, &[0, 0]))
}

#[test]
fn clients_that_ask_get_structured_errors_and_no_forged_address() {
    let world = World::new();
    let settings = format!("{}[structured_errors]\noption = 65023\n", settings(&world, ""));
    let daemon = world.start(&[], &settings);
    let plain = daemon.ask(&Ask::a("adult.example"));
    assert_eq!((plain.rcode, plain.ede()), (NOERROR, vec![17, 4]), "{plain}");
    assert_eq!(plain.data(Rtype::A), [world.address(1).to_string()]);
    for ask in [Ask::a("adult.example").option(15, &[0, 0]), Ask::a("adult.example").option(65023, &[])] {
        let reply = daemon.ask(&ask);
        assert_eq!((reply.rcode, reply.ede(), reply.answer.len()), (NXDOMAIN, vec![17], 0), "{reply}");
        let told = structured(&reply);
        assert_eq!(told["c"], serde_json::json!(["mailto:isigurt@crca.al"]));
        assert_eq!((&told["o"], &told["l"]), (&"Albania Friendly Wi-Fi".into(), &"sq".into()));
        assert!(told["j"].as_str().is_some_and(|why| why.contains("rritur")) && told.get("s").is_none(), "{told}");
    }
    // Another option without a value asks for nothing.
    for ask in [Ask::a("adult.example").option(65024, &[]), Ask::a("adult.example").option(65023, &[1])] {
        assert_eq!(daemon.ask(&ask).ede(), [17, 4]);
    }
    // The operator says which kind of threat; the law and the family do not.
    assert_eq!(structured(&ask_structured(&daemon, "bad.example"))["s"], 1);
    let (law, family) = (ask_structured(&daemon, "law.example"), ask_structured(&daemon, "adult.example"));
    assert_eq!((law.rcode, law.ede()), (family.rcode, family.ede()));
    assert!(structured(&law).get("s").is_none());
    assert_eq!(ask_structured(&daemon, "court.example").ede(), [16]);

    // Where there is no room, the words go first; the code stays always.
    let long = format!("{}.adult.example", vec!["a".repeat(57); 4].join("."));
    let told = structured(&daemon.ask(&Ask::a(&long).payload(512).option(15, &[0, 0])));
    assert!(told.get("j").is_none() && told.get("o").is_none() && told["c"][0] == "mailto:isigurt@crca.al", "{told}");
}
