//! Lists that are zones of somebody else: from BIND, from our own server of zones, and from primaries that lie.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::{Message, MessageBuilder, Name, Rtype, Serial, Ttl};
use domain::rdata::{A, Cname, Soa};
use friendly_blocklist::transfer::message::{Access, signing_key};
use friendly_blocklist::transfer::notify;
use friendly_blocklist::transfer::server::Server;
use friendly_blocklist::transfer::shelf::Shelf;
use friendly_blocklist::transfer::zone::{self, Head};
use signed_list::list::Scope;
use signed_list::name::Name as ListName;
use signed_list::tsig;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::client::Ask;
use super::liar::{Deed, Liar, Seen};
use super::world::{Daemon, World, eventually};

const PATIENCE: Duration = Duration::from_secs(40);
const ZONE: &str = "rpz.example";
const SECRET: &str = "YSBzZWNyZXQgZm9yIHRoaXMgdGVzdCBhbG9uZSEhISE=";

/// The table of a list that is this zone.
fn list(primary: SocketAddr, more: &str) -> String {
    format!(
        "[[list]]\nname = \"threats\"\nzone = \"{ZONE}\"\nprimary = [\"{primary}\"]\ncategory = \"malware\"\n\
         state = \"threats\"\n{more}\n"
    )
}

fn clause(secret: &str) -> String {
    format!("key \"isp\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{secret}\";\n}};\n")
}

fn is_blocked(daemon: &Daemon, name: &str) -> bool {
    daemon.ask(&Ask::a(name)).ede().contains(&15)
}

/// Waits until a serial is in force.
fn wait_for_serial(daemon: &Daemon, serial: u64) {
    let metric = "list_serial{list=\"threats\"}";
    let found = eventually(PATIENCE, || {
        daemon.get("/metrics").1.lines().any(|line| line == format!("friendly_resolver_{metric} {serial}"))
    });
    assert!(found, "serial {serial} is not in force:\n{}", daemon.log());
}

fn failures(daemon: &Daemon, reason: &str) -> u64 {
    daemon.metric(&format!("release_failures_total{{list=\"threats\",reason=\"{reason}\"}}"))
}

/// Tells the resolver that the zone has changed, as a server at this address does; returns the code of the answer.
fn notify_from(from: SocketAddr, daemon: &Daemon) -> u8 {
    let socket = UdpSocket::bind((from.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_opcode(Opcode::NOTIFY);
    let mut question = builder.question();
    question.push((name(ZONE), Rtype::SOA, Class::IN)).unwrap();
    socket.send_to(&question.finish(), daemon.address).unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).expect("an answer");
    let answer = Message::from_octets(&buffer[..length]).unwrap();
    assert!(answer.header().qr() && answer.header().opcode() == Opcode::NOTIFY);
    answer.header().rcode().to_int()
}

fn name(text: &str) -> Name<Vec<u8>> {
    text.parse().unwrap()
}

/// What a primary says in one message: `SOA n`, `bad.example`, `*.bad.example`, `+passed.example`, `-rewritten.example`,
/// and `!` in front of a name that is not of this zone.
fn message(seen: &Seen, records: &[&str]) -> Vec<u8> {
    let request = Message::from_octets(seen.octets.as_slice()).unwrap();
    let mut answer = MessageBuilder::new_vec().start_answer(&request, Rcode::NOERROR).unwrap();
    let ttl = Ttl::from_secs(60);
    let blocked = Cname::new(Name::<Vec<u8>>::root_vec());
    for record in records {
        if let Some(serial) = record.strip_prefix("SOA ") {
            let (ns, day) = (name("ns.example"), Ttl::from_secs(86_400));
            let soa = Soa::new(ns.clone(), ns, Serial::from(serial.parse::<u32>().unwrap()), day, ttl, day, ttl);
            answer.push((name(ZONE), Class::IN, ttl, soa)).unwrap();
        } else if let Some(passed) = record.strip_prefix('+') {
            let pass = Cname::new(name("rpz-passthru"));
            answer.push((name(&format!("{passed}.{ZONE}")), Class::IN, ttl, pass)).unwrap();
        } else if let Some(rewritten) = record.strip_prefix('-') {
            let owner = name(&format!("{rewritten}.{ZONE}"));
            answer.push((owner, Class::IN, ttl, A::from_octets(192, 0, 2, 9))).unwrap();
        } else if let Some(foreign) = record.strip_prefix('!') {
            answer.push((name(foreign), Class::IN, ttl, blocked.clone())).unwrap();
        } else {
            answer.push((name(&format!("{record}.{ZONE}")), Class::IN, ttl, blocked.clone())).unwrap();
        }
    }
    answer.finish()
}

/// A primary that says the same to whoever asks for a transfer.
fn primary(world: &World, records: &'static [&'static str]) -> Liar {
    Liar::behaving(world.upstream(2), move |seen| Deed::Say(vec![message(seen, records)]))
}

#[test]
fn a_zone_is_enforced_with_its_exceptions_and_outlives_its_primary() {
    let world = World::new();
    let _upstream = Liar::start(world.upstream(1));
    let records = &[
        "SOA 5",
        "bad.example",
        "*.bad.example",
        "only.example",
        "*.wide.example",
        "+good.wide.example",
        "-rewritten.example",
        "32.1.2.0.192.rpz-ip",
        "*.com",
        "SOA 5",
    ];
    let liar = primary(&world, records);
    let settings = list(world.upstream(2), "");
    let daemon = world.start(&[world.upstream(1)], &settings);
    wait_for_serial(&daemon, 5);
    for (name, blocked) in [
        ("bad.example", true),
        ("deep.below.bad.example", true),
        ("only.example", true),
        ("www.only.example", false),
        ("x.wide.example", true),
        ("good.wide.example", false),
        ("rewritten.example", false),
        ("other.com", false),
    ] {
        assert_eq!(is_blocked(&daemon, name), blocked, "{name}");
    }
    assert_eq!(daemon.metric("list_records_skipped{list=\"threats\"}"), 3);
    let (_, health) = daemon.get("/healthz");
    assert!(health.contains("\"class\": \"zone\"") && health.contains("\"status\": \"ok\""), "{health}");
    // Neither name nor zone stands in clear where the list is kept.
    for file in fs::read_dir(world.write("x", "").with_file_name("threats")).unwrap() {
        let octets = fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&octets).contains("bad"), "a listed name in clear");
    }
    let verified = world.write("x", "").with_file_name("threats").join("verified");
    assert!(eventually(PATIENCE, || verified.exists()), "{}", daemon.log());
    drop(daemon);
    drop(liar);

    // Without any network, and after four days: it filters, and says that it is stale.
    let file = fs::File::options().append(true).open(&verified).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(4 * 86_400)).unwrap();
    let daemon = world.start(&[world.upstream(1)], &settings);
    assert!(is_blocked(&daemon, "www.bad.example") && !is_blocked(&daemon, "good.wide.example"));
    assert!(eventually(PATIENCE, || failures(&daemon, "unreachable") > 0));
    let (_, health) = daemon.get("/healthz");
    assert!(health.contains("list threats is stale") && health.contains("cannot be reached"), "{health}");
    assert!(health.contains("by its own word the zone has expired"), "{health}");
}

#[test]
fn what_is_wrong_is_refused_and_the_last_good_list_stays() {
    let world = World::new();
    let _upstream = Liar::start(world.upstream(1));
    let liar = primary(&world, &["SOA 5", "bad.example", "SOA 5"]);
    let mut daemon = world.start(&[world.upstream(1)], &list(world.upstream(2), ""));
    wait_for_serial(&daemon, 5);

    type Lie = fn(&Seen) -> Deed;
    let lies: [(&str, &str, Lie); 7] = [
        ("older", "rollback", |seen| Deed::Say(vec![message(seen, &["SOA 4", "new.example", "SOA 4"])])),
        ("cut off", "unreachable", |seen| Deed::Raw(super::client::framed(&message(seen, &["SOA 6", "new.example"])))),
        ("another zone", "content", |seen| Deed::Say(vec![message(seen, &["SOA 6", "!new.example", "SOA 6"])])),
        ("do not fit together", "content", |seen| Deed::Say(vec![message(seen, &["SOA 6", "new.example", "SOA 7"])])),
        ("behind its end", "content", |seen| {
            Deed::Say(vec![message(seen, &["SOA 6", "new.example", "SOA 6", "more.example"])])
        }),
        // Changes that begin elsewhere, and no whole zone either.
        ("do not lead", "content", |seen| {
            Deed::Say(vec![message(seen, &["SOA 9", "SOA 7", "SOA 9", "new.example", "SOA 9"])])
        }),
        ("refuses the transfer with REFUSED", "unreachable", |seen| {
            let request = Message::from_octets(seen.octets.as_slice()).unwrap();
            Deed::Say(vec![MessageBuilder::new_vec().start_answer(&request, Rcode::REFUSED).unwrap().finish()])
        }),
    ];
    for (words, reason, lie) in lies {
        let before = failures(&daemon, reason);
        liar.behave(lie);
        assert_eq!(notify_from(world.upstream(2), &daemon), 0);
        assert!(eventually(PATIENCE, || failures(&daemon, reason) > before), "{words}: {}", daemon.log());
        let (_, health) = daemon.get("/healthz");
        // The last one is told by the whole zone that is asked for then.
        assert!(words == "do not lead" || health.contains(words), "{words}: {health}");
        assert!(is_blocked(&daemon, "bad.example") && !is_blocked(&daemon, "new.example"), "{words}");
        assert_eq!(daemon.metric("list_serial{list=\"threats\"}"), 5, "{words}");
    }

    // And mended, all is well.
    liar.behave(|seen| {
        Deed::Say(vec![message(seen, &["SOA 6", "SOA 5", "bad.example", "SOA 6", "new.example", "SOA 6"])])
    });
    assert_eq!(notify_from(world.upstream(2), &daemon), 0);
    wait_for_serial(&daemon, 6);
    assert!(is_blocked(&daemon, "new.example") && !is_blocked(&daemon, "bad.example"));
    assert!(eventually(PATIENCE, || daemon.get("/healthz").1.contains("\"status\": \"ok\"")));
    daemon.wait_for_log("kind=\"changes\"");
    // Nobody else can wake it.
    assert_eq!(notify_from(world.upstream(3), &daemon), 4);
}

#[test]
fn an_endless_transfer_ends() {
    let world = World::new();
    let _upstream = Liar::start(world.upstream(1));
    // The beginning of a zone, and then nothing but silence on an open connection.
    let _liar = Liar::behaving(world.upstream(2), |seen| Deed::Drip(message(seen, &["SOA 1", "bad.example"])));
    let daemon = world.start(&[world.upstream(1)], &list(world.upstream(2), ""));
    assert!(eventually(PATIENCE, || failures(&daemon, "too_slow") > 0), "{}", daemon.log());
    assert_eq!(daemon.get("/readyz").0, 503, "a list is not here yet");
}

/// A name server of others, ended with the test.
struct Bind {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Drop for Bind {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let mut said = String::new();
            drop(self.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said)));
            eprintln!("--- named said:\n{said}");
        }
    }
}

/// BIND as the primary of the zone. It takes only addresses that an interface lists.
fn bind(world: &World, secret: &str) -> Bind {
    let directory = world.write("x", "").with_file_name("bind");
    fs::create_dir_all(&directory).unwrap();
    let zone = "$TTL 60\n@ SOA ns.rpz.example. nobody.example. 1 300 60 600 60\n@ NS localhost.\n\
                bad.example CNAME .\n*.bad.example CNAME .\n";
    fs::write(directory.join("rpz.zone"), zone).unwrap();
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, resolver) = (place.local_addr().unwrap(), world.resolver());
    drop(place);
    let text = format!(
        "{}options {{ directory \"{}\"; pid-file none; session-keyfile none; listen-on port {} {{ {}; }};\n\
         listen-on-v6 {{ none; }}; recursion no; notify-source {}; dnssec-validation no; }};\ncontrols {{ }};\n\
         zone \"{ZONE}\" {{ type primary; file \"rpz.zone\"; notify explicit; also-notify {{ {} port {}; }};\n\
         max-ixfr-ratio unlimited; allow-transfer {{ key isp; }}; allow-update {{ key isp; }}; }};\n",
        clause(secret),
        directory.display(),
        own.port(),
        own.ip(),
        own.ip(),
        resolver.ip(),
        resolver.port(),
    );
    let path = directory.join("named.conf");
    fs::write(&path, text).unwrap();
    let mut command = Command::new("named");
    command.args(["-g", "-n", "1", "-c"]).arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("named ({error}): install the Debian package 'bind9'"));
    let bind = Bind { child, address: own, directory };
    let up = eventually(PATIENCE, || std::net::TcpStream::connect(own).is_ok());
    assert!(up, "named does not start");
    bind
}

#[test]
fn a_zone_of_bind_is_followed_with_a_key_from_change_to_change() {
    let world = World::new();
    let _upstream = Liar::start(world.upstream(1));
    let bind = bind(&world, SECRET);
    world.write("isp.key", clause(SECRET));
    let mut daemon = world.start(&[world.upstream(1)], &list(bind.address, "tsig = \"isp.key\""));
    wait_for_serial(&daemon, 1);
    assert!(is_blocked(&daemon, "bad.example") && is_blocked(&daemon, "www.bad.example"));

    let own = bind.address;
    let update = format!(
        "server {} {}\nzone {ZONE}\nupdate delete *.bad.example.{ZONE} CNAME\nupdate add new.example.{ZONE} 60 CNAME .\nsend\n",
        own.ip(),
        own.port()
    );
    let script = bind.directory.join("update");
    fs::write(&script, update).unwrap();
    let key = bind.directory.join("isp.key");
    fs::write(&key, clause(SECRET)).unwrap();
    let updated = Command::new("nsupdate").arg("-k").arg(&key).arg(&script).output();
    let updated = updated.expect("nsupdate: install the Debian package 'bind9-dnsutils'");
    assert!(updated.status.success(), "{}", String::from_utf8_lossy(&updated.stderr));
    // Its refresh time is five minutes: the NOTIFY brought it.
    wait_for_serial(&daemon, 2);
    assert!(is_blocked(&daemon, "new.example") && is_blocked(&daemon, "bad.example"));
    assert!(!is_blocked(&daemon, "www.bad.example"), "only the wildcard was taken away");
    daemon.wait_for_log("kind=\"changes\"");
}

#[test]
fn a_primary_without_the_key_is_nobody() {
    let world = World::new();
    let _upstream = Liar::start(world.upstream(1));
    let other = "b3RoZXIgc2VjcmV0IGZvciB0aGlzIHRlc3QgYWxvbmUh";
    let bind = bind(&world, other);
    world.write("isp.key", clause(SECRET));
    let daemon = world.start(&[world.upstream(1)], &list(bind.address, "tsig = \"isp.key\""));
    assert!(eventually(PATIENCE, || failures(&daemon, "signature") > 0), "{}", daemon.log());
    assert!(daemon.get("/healthz").1.contains("is the key the same on both sides"));
    assert!(!daemon.log().contains(SECRET));
    drop(daemon);

    // A primary that signs nothing at all is no better, whatever it has.
    let world = World::new();
    let _upstream = Liar::start(world.upstream(1));
    let _liar = primary(&world, &["SOA 5", "bad.example", "SOA 5"]);
    world.write("isp.key", clause(SECRET));
    let daemon = world.start(&[world.upstream(1)], &list(world.upstream(2), "tsig = \"isp.key\""));
    assert!(eventually(PATIENCE, || failures(&daemon, "signature") > 0), "{}", daemon.log());
    assert_eq!(daemon.metric("releases_applied_total{list=\"threats\"}"), 0);
}

#[test]
fn our_own_server_of_zones_feeds_our_own_resolver() {
    let world = World::new();
    let _upstream = Liar::start(world.upstream(1));
    let version = |serial: u64, names: &[String]| {
        let names: Vec<ListName> = names.iter().map(|name| ListName::parse(name).unwrap()).collect();
        let head = Head { list: "malware", scheme: "a test", serial, created: "today" };
        world.write(&format!("{serial}.rpz"), zone::write(names.iter().map(|name| (name, Scope::Subtree)), &head))
    };
    // Enough for several messages.
    let mut names: Vec<String> = (0..20_000).map(|number| format!("listed-name-{number}.example")).collect();
    let first = version(1, &names);
    names[7] = "exchanged.example".into();
    let second = version(2, &names);
    let shelf = |files: &[(u32, &PathBuf)]| {
        let files: BTreeMap<u32, PathBuf> = files.iter().map(|(serial, path)| (*serial, (*path).clone())).collect();
        Shelf::of([(ListName::parse(ZONE).unwrap(), files)])
    };
    let key = signing_key(&tsig::Key::parse(&clause(SECRET)).unwrap()).unwrap();
    let mut access = Access::default();
    access.keys.insert((key.name().clone(), key.algorithm()), Arc::new(key));
    let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = lines.clone();
    let server = Server::new(shelf(&[(1, &first)]), access, move |line| heard.lock().unwrap().push(line.to_owned()));
    let server = Arc::new(server);
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind(world.upstream(2))).unwrap();
    let streams = server.clone();
    runtime.spawn(async move { streams.streams(&listener).await });
    let (notifier, resolver, own) = (server.clone(), world.resolver(), world.upstream(2).ip());
    runtime.spawn(async move { notify::run(&notifier, &[resolver], own).await });

    // The key as a credential of systemd.
    let key = world.write("isp.key", clause(SECRET));
    let directory = format!("CREDENTIALS_DIRECTORY={}", key.parent().expect("a directory").display());
    let settings = list(world.upstream(2), "tsig = \"credential:isp.key\"");
    let daemon = world.start_under(&["env", &directory], &[world.upstream(1)], &settings);
    wait_for_serial(&daemon, 1);
    assert!(is_blocked(&daemon, "www.listed-name-7.example") && is_blocked(&daemon, "listed-name-19999.example"));
    server.put(shelf(&[(1, &first), (2, &second)]));
    wait_for_serial(&daemon, 2);
    assert!(is_blocked(&daemon, "exchanged.example") && !is_blocked(&daemon, "www.listed-name-7.example"));
    let said = lines.lock().unwrap().join("\n");
    assert!(said.contains("AXFR, 40000 records") && said.contains("IXFR from 1, -2 +2 records"), "{said}");
    assert!(!said.contains("1 messages, ") || said.contains("AXFR, 40000 records, 2"), "{said}");
}
