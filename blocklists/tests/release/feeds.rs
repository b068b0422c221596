//! Feeds: public lists from the web to resolvers, and servers that lie, stall, flood or vanish.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use friendly_blocklist::feed::fetch::Patience;
use friendly_blocklist::feed::refresh::{Desk, Looked, What};
use friendly_blocklist::feed::shelf::State;
use friendly_blocklist::release::draft::Wish;
use friendly_blocklist::release::outcome::Report;
use friendly_blocklist::release::publish::PublishError;
use friendly_blocklist::release::stage::Stage;
use friendly_blocklist::release::work::Work;
use signed_list::list::Scope;
use signed_list::release::Class;

use crate::kill::{changes, killed_before, turns};
use crate::program::command;
use crate::server::{Answer, Server};
use crate::wait::eventually;
use crate::world::{Resolver, World, covers, outcome};

/// A feed in the class of venues.
fn feed(name: &str, url: &str, more: &str) -> String {
    // The servers of these tests.
    let private = if url.contains("//127.0.0.1") && !more.contains("private") { "private = true\n" } else { "" };
    format!(
        "\n[[feed]]\nname = \"{name}\"\nclass = \"venue\"\ncategory = \"adult\"\nurl = \"{url}\"\n{private}{more}\n"
    )
}

fn configure(world: &mut World, feeds: &str) {
    fs::write(world.work.directory().join("feeds.toml"), format!("version = 1\n{feeds}")).unwrap();
    world.reopen();
}

fn state(world: &World, feed: &str) -> State {
    world.work.shelf().state(feed).unwrap()
}

/// Looks at all feeds, with little patience.
async fn look(world: &World, force: bool) -> Vec<Looked> {
    let seconds = Duration::from_secs;
    let patience = Patience { connect: seconds(20), piece: seconds(1), whole: seconds(20) };
    look_for(world, force, patience).await
}

async fn look_for(world: &World, force: bool, patience: Patience) -> Vec<Looked> {
    let (shelf, now) = (world.work.shelf(), world.now() / 1000);
    let desk = Desk { shelf: &shelf, guard: &world.guard, hold: world.work.settings.hold, patience, force, now };
    let feeds: Vec<_> = world.work.feeds.as_ref().unwrap().feeds.iter().collect();
    // A program that another test starts holds every open file of this process for a moment, and so its locks.
    let start = Instant::now();
    loop {
        let looked = desk.look_at_all(&feeds).await;
        if looked.iter().all(|looked| looked.what != What::Busy) || start.elapsed() > Duration::from_secs(20) {
            return looked;
        }
        tokio::task::yield_now().await;
    }
}

/// So many names, one a line.
fn names(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|number| format!("name-{number}.test\n")).collect()
}

#[tokio::test]
async fn a_list_goes_from_the_web_to_resolvers_and_is_fetched_again_only_if_it_has_changed() {
    let mut world = World::new("feed-way").await;
    let server = Server::new(Answer::List(names(0..3).into_bytes(), "\"v1\"", "Mon, 02 Mar 2026 10:00:00 GMT"));
    configure(&mut world, &feed("one", &server.url(), "licence = \"CC0\""));

    // What is due is fetched by `publish` itself.
    let out = world
        .run(&["publish", "--to", "public", "--key", &world.key("op"), "--json"])
        .pending(&["class legal waits"])
        .json();
    assert_eq!((out["feeds"][0]["what"].clone(), out["feeds"][0]["entries"].clone()), ("new".into(), 3.into()));
    let resolver = Resolver::of(&world.directory.join("public"), &world.first_root()).await.unwrap();
    let list = resolver.open(Class::Venue).await;
    assert!(covers(&list, "www.name-2.test") && !covers(&list, "name-3.test"));
    assert_eq!(world.card(Class::Venue).feeds[0].entries, 3);
    assert!(!server.heads()[0].contains("if-none-match"));

    // It is not due again, and when it is asked for, only what has changed comes.
    world.run(&["feeds", "fetch", "--due"]).fine();
    assert_eq!(server.heads().len(), 0);
    assert!(world.run(&["feeds", "fetch", "one"]).fine().out.contains("unchanged"));
    let head = server.heads().remove(0);
    assert!(head.contains("if-none-match: \"v1\"") && head.contains("if-modified-since: mon, 02 mar 2026"), "{head}");
    let again = world.run(&["publish", "--key", &world.key("op")]).pending(&["class legal waits"]);
    assert!(again.out.contains("nothing to release"), "{}", again.out);

    // By its date alone, too.
    server.says(Answer::List(names(1..5).into_bytes(), "", "Tue, 03 Mar 2026 10:00:00 GMT"));
    let out = world.run(&["feeds", "fetch"]).fine();
    assert!(out.out.contains("new") && out.out.lines().all(|line| line.chars().count() <= 80), "{}", out.out);
    assert_eq!(look(&world, false).await[0].what, What::Unchanged);
    assert!(!server.heads().pop().unwrap().contains("if-none-match"));
    let out = world.run(&["diff", "--class", "venue"]).fine().out;
    assert!(out.contains("one: 2 come, 1 go"), "{out}");
    assert!(!out.contains("name-"), "a million names are counted and not printed: {out}");
    let report = world.publish().await;
    let venue = outcome(&report, Class::Venue);
    assert!(venue.published && (venue.added, venue.removed) == (2, 1), "{venue:?}");
    assert_eq!((venue.feeds[0].added, venue.feeds[0].removed, venue.feeds[0].entries), (2, 1, 4));
    let list = world.resolver().await.open(Class::Venue).await;
    assert!(covers(&list, "name-4.test") && !covers(&list, "name-0.test"));

    let shown = world.run(&["feeds", "--json"]).fine().json();
    assert_eq!((shown[0]["licence"].clone(), shown[0]["entries"].clone()), ("CC0".into(), 4.into()));
    assert!(shown[0]["problem"].is_null() && shown[0]["next_at"].is_number());
    assert!(world.run(&["feeds"]).fine().out.contains("all well"));
    assert!(world.run(&["status"]).fine().out.contains("1 feed, all well"));
    world.run(&["feeds", "fetch", "two"]).failed_with(&["there is no feed 'two' in feeds.toml; it has one"]);
    // What an older release was made from, and nobody has to sign, goes away.
    let kept = fs::read_dir(world.work.directory().join("feeds/one")).unwrap();
    let kept = kept.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".names"));
    assert_eq!(kept.count(), 1);
}

#[tokio::test]
async fn whatever_a_server_does_the_last_good_names_stay() {
    let mut world = World::new("feed-bad").await;
    let server = Server::list(&names(0..20));
    configure(&mut world, &feed("one", &server.url(), "max_mib = 1\nmax_entries = 100"));
    assert_eq!(look(&world, false).await[0].what, What::New);
    let good = state(&world, "one");

    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b'\n'; 32 << 20]).unwrap();
    let text = |text: &str| Answer::List(text.as_bytes().to_vec(), "", "");
    let odd: String = (0..300).map(|number| format!("no name {number}\n")).collect();
    let table = [
        (text("<!DOCTYPE html><html><body>Log in</body></html>"), "looks like HTML"),
        (text("{\"error\": \"quota\"}"), "looks like JSON"),
        (text(""), "0 entries"),
        (text("# nothing today\n"), "0 entries"),
        (text(&odd), "300 skipped"),
        (text("@@||a.test^\n@@||b.test^\n||c.test^\n"), "looks like an allow list"),
        (text(&names(0..101)), "more than 100 entries"),
        (text(&names(1000..1060)), "60 names come and 20 go of 20, and no more than 50 may at once"),
        (Answer::List(vec![0, 1, 2, 3], "", ""), "holds NUL octets"),
        (Answer::List(bomb.finish().unwrap(), "", ""), "cannot be read any further"),
        (Answer::List(vec![b'a'; 2 << 20], "", ""), "larger than the 1 MiB that max_mib allows"),
        (Answer::Status("404 Not Found"), "status 404"),
        (Answer::Status("500 Internal Server Error"), "status 500"),
        (Answer::Status("204 No Content"), "status 204"),
        (Answer::Status("304 Not Modified"), "status 304"),
        (Answer::Endless, "larger than the 1 MiB"),
        (Answer::Silent, "timed out"),
        (Answer::Short, "end of file"),
        (Answer::Redirect(server.url()), "sends on more than 3 times"),
        (Answer::Redirect("file:///etc/passwd".to_owned()), "status 302"),
    ];
    for (number, (answer, part)) in (1..).zip(table) {
        server.says(answer);
        let looked = look(&world, false).await.remove(0);
        let problem = looked.problem.clone().unwrap_or_default();
        assert_eq!(looked.what, What::Kept, "{part}");
        assert!(problem.contains(part), "{part:?} is not in {problem:?} ({number})");
        let now = state(&world, "one");
        assert_eq!((&now.content, now.fetched_at, now.checked_at.is_some()), (&good.content, good.fetched_at, true));
        assert!(now.next_at <= now.tried_at + 91_000 && now.problem.unwrap().why == problem);
    }
    // One octet after the other keeps to the time of a piece, and not to that of the whole.
    server.says(Answer::Drip);
    let quick = Patience { whole: Duration::from_secs(2), ..Patience::default() };
    let looked = look_for(&world, false, quick).await.remove(0);
    assert!(looked.problem.unwrap().contains("did not arrive within 2 seconds"));

    // The release is made with what there is, and the trouble is told where people and timers look.
    let publish = ["publish", "--class", "venue", "--to", "public", "--feed-patience", "0", "--key"];
    let out = world.run(&[&publish[..], &[&world.key("op")]].concat());
    assert_eq!(out.status, Some(3), "{out:?}");
    assert!(out.err.contains("1 feed has a problem; the last good content stays in force"), "{}", out.err);
    assert!(out.err.contains("feed one: it did not arrive"), "{}", out.err);
    assert!(covers(&world.resolver().await.open(Class::Venue).await, "name-19.test"));
    let out = world.run(&["feeds", "fetch", "--deadline", "1"]);
    assert_eq!(out.status, Some(3));
    assert!(world.run(&["feeds"]).fine().out.contains("1 with a problem"));
    assert!(world.run(&["status"]).fine().out.contains("1 with a problem"));

    // And then it is well again.
    server.lists(&names(0..21));
    assert_eq!(look(&world, false).await[0].what, What::New);
    assert_eq!(state(&world, "one").problem, None);
    drop(server);
}

#[tokio::test]
async fn a_server_that_is_gone_and_a_redirect_inside_are_told_apart() {
    let mut world = World::new("feed-away").await;
    let end = Server::list(&names(0..3));
    let start = Server::new(Answer::Redirect(end.url()));
    configure(&mut world, &feed("one", &start.url(), ""));
    assert_eq!(look(&world, false).await[0].what, What::New, "one's own servers may send on to each other");
    start.says(Answer::Redirect("http://127.0.0.1:1/".to_owned()));
    assert!(look(&world, false).await[0].problem.as_ref().unwrap().contains("refused"));
    // A name that leads into the own network, without leave to go there.
    let url = format!("http://localhost:{}/", end.port);
    configure(&mut world, &feed("one", &url, ""));
    let problem = look(&world, false).await[0].problem.clone().unwrap();
    assert!(problem.contains("private network") && problem.contains("private = true"), "{problem}");
    configure(&mut world, &feed("one", &url, "private = true"));
    assert_eq!(look(&world, false).await[0].problem, None);
    // The same of an address that is written as numbers: nobody gets there without saying so.
    for (more, well) in [("private = false", false), ("private = true", true)] {
        configure(&mut world, &feed("one", &end.url(), more));
        let problem = look(&world, false).await[0].problem.clone();
        assert_eq!(problem.is_none(), well, "{problem:?}");
        assert!(problem.is_none_or(|problem| problem.contains("is in a private network")));
    }
}

#[tokio::test]
async fn every_format_is_read() {
    let mut world = World::new("feed-formats").await;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(b"# gz\npacked.test\n").unwrap();
    let lists: [(&str, Vec<u8>); 8] = [
        ("domains", b"# odd lines\nDOMAINS.test.\n192.0.2.1\nb\xc3\xbccher.test\nhttp://x.test/y\n\n".to_vec()),
        ("hosts", b"127.0.0.1 localhost\n0.0.0.0 hosts.test # comment\n:: six.test\n".to_vec()),
        ("adblock", b"[Adblock Plus 2.0]\n! x\n||adblock.test^\n@@||free.test^\n||two.test^\nx##.ad\n".to_vec()),
        ("wildcard", b"*.wildcard.test\n".to_vec()),
        ("dnsmasq", b"address=/dnsmasq.test/0.0.0.0\nserver=/more.test/\n".to_vec()),
        ("unbound", b"server:\nlocal-zone: \"unbound.test\" always_nxdomain\n".to_vec()),
        ("rpz", b"$TTL 60\n@ SOA ns.test. h.test. 1 2 3 4 5\nrpz.test CNAME .\n*.rpz.test CNAME .\n".to_vec()),
        ("packed", packed.finish().unwrap()),
    ];
    let mut text = String::new();
    let mut servers = Vec::new();
    for (name, body) in &lists {
        servers.push(Server::new(Answer::List(body.clone(), "", "")));
        text += &feed(name, &servers.last().unwrap().url(), "");
    }
    // And one that lies on this machine.
    let path = world.directory.join("file.txt");
    fs::write(&path, "file.test\n").unwrap();
    text += &feed("file", "", "").replace("url = \"\"", &format!("file = \"{}\"", path.display()));
    configure(&mut world, &text);
    for looked in look(&world, false).await {
        assert_eq!((looked.what, &looked.problem), (What::New, &None), "{looked:?}");
    }
    world.publish().await;
    let list = world.resolver().await.open(Class::Venue).await;
    for (name, _) in &lists {
        assert!(covers(&list, &format!("{name}.test")), "{name}");
    }
    assert!(covers(&list, "xn--bcher-kva.test") && covers(&list, "file.test") && covers(&list, "a.rpz.test"));
    assert!(!covers(&list, "free.test") && !covers(&list, "a.hosts.test"));
    // A file is another one if its time or its size is; what is no file is not read.
    assert!(look(&world, false).await.iter().all(|looked| looked.what == What::Unchanged));
    fs::write(&path, "file.test\nmore-file.test\n").unwrap();
    assert_eq!(look(&world, false).await.pop().unwrap().what, What::New);
    fs::remove_file(&path).unwrap();
    assert!(look(&world, false).await.pop().unwrap().problem.unwrap().contains("No such file"));
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(look(&world, false).await.pop().unwrap().problem.unwrap().contains("no regular file"));
}

#[tokio::test]
async fn what_changes_too_much_waits_for_a_person_and_then_for_two() {
    let mut world = World::new("feed-jump").await;
    let server = Server::list(&names(0..100));
    configure(&mut world, &feed("one", &server.url(), ""));
    look(&world, false).await;
    world.publish().await;
    assert!(covers(&world.resolver().await.open(Class::Venue).await, "name-99.test"), "the first release of the class");

    server.lists(&names(0..10));
    let out = world.run(&["feeds", "fetch"]);
    assert_eq!(out.status, Some(3));
    let said = out.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("0 names come and 90 go of 100") && said.contains("feeds fetch one --force"), "{said}");
    assert!(outcome(&world.publish().await, Class::Venue).serial.is_none());
    world.run(&["feeds", "fetch", "one", "--force"]).fine();
    // A decision of the ledger goes into another class meanwhile; this one is held, and says which feed it is.
    world.operator(0..1).await;
    let report = world.publish().await;
    let venue = outcome(&report, Class::Venue);
    let jump = venue.held.clone().unwrap();
    assert_eq!((jump.feed.as_deref(), jump.removed, jump.before, jump.limit), (Some("one"), 90, 100, 50));
    assert!(!venue.published && outcome(&report, Class::Operator).published);
    let out = world
        .run(&["publish", "--key", &world.key("op"), "--feed-patience", "0"])
        .pending(&["of the feed one come"])
        .out;
    let said = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("no more than 50 of the feed one may come or go at once"), "{out}");
    for name in ["ana", "op"] {
        world.run(&["overrule", "--class", "venue", "--reason", "the list was cut", "--key", &world.key(name)]).fine();
    }
    assert!(!covers(&world.resolver().await.open(Class::Venue).await, "name-99.test"));

    // A feed that may change more does; and one that goes takes its names with it.
    configure(&mut world, &feed("one", &server.url(), "max_change_percent = 1000"));
    server.lists(&names(200..300));
    assert_eq!(look(&world, false).await[0].what, What::New);
    assert!(outcome(&world.publish().await, Class::Venue).published);
    configure(&mut world, "");
    let report = world.publish().await;
    let jump = outcome(&report, Class::Venue).held.clone().unwrap();
    assert_eq!((jump.feed.as_deref(), jump.removed), (Some("one"), 100), "that many names need two people");
    assert!(!world.work.directory().join("feeds/one").exists());
}

#[tokio::test]
async fn settings_that_are_wrong_stop_no_list_of_the_law() {
    let mut world = World::new("feed-settings").await;
    let identity = world.enrol("one");
    world.publish().await;
    let good = feed("one", "https://lists.example/a", "");
    let keys = [world.key("ana"), world.key("besa"), world.key("op")];
    for (number, (from, to, part)) in [
        ("\"venue\"", "\"legal\"", "line 5: a feed cannot go into the class legal"),
        ("\"adult\"", "\"adults\"", "line 6: 'adults' is no category of the class venue"),
        ("url", "adress", "unknown field `adress`"),
    ]
    .into_iter()
    .enumerate()
    {
        configure(&mut world, &good.replacen(from, to, 1));
        let name = format!("takedown-{number}.test");
        world.legal(&format!("isigurt/{number}"), &name).await;
        world.list(&format!("operator/{number}"), Class::Operator, "malware", &name, Scope::Subtree).await;
        let out = world.run(&["publish", "--key", &keys[0], "--key", &keys[1], "--key", &keys[2]]);
        assert_eq!(out.status, Some(3), "{out:?}");
        let said = (out.out + &out.err).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(part) && said.contains("feeds.toml"), "{part:?} is not in {said}");
        let resolver = world.resolver().await;
        assert!(covers(&resolver.legal(&identity).await.unwrap(), &name));
        assert!(!covers(&resolver.open(Class::Operator).await, &name));
        world.run(&["feeds"]).failed_with(&["feeds.toml", part]);
        assert!(world.run(&["diff"]).fine().out.contains("no release can be made"));
    }
    configure(&mut world, "");
    world.publish().await;
    assert!(covers(&world.resolver().await.open(Class::Operator).await, "takedown-2.test"));
}

#[tokio::test]
async fn the_ledger_and_exceptions_have_the_word_over_feeds() {
    let mut world = World::new("feed-word").await;
    let lines = "google.com\nwww.google.com\nx.test.afw.example\ngithub.io\n\
                 free.test\nabove.test\nbelow.tree.test\nstays.test\nwrong.test\nboth.test\na.whole.test\n";
    let server = Server::list(lines);
    let more = "allow = \"own.txt\"\nmax_skipped_percent = 50";
    let text = feed("one", &server.url(), more).replace("venue", "operator").replace("adult", "malware");
    fs::write(world.work.directory().join("all.txt"), "free.test # a school\n").unwrap();
    fs::write(world.work.directory().join("own.txt"), "x.above.test\n*.tree.test\n").unwrap();
    configure(&mut world, &format!("allow = \"all.txt\"\n{text}"));
    world.list("operator/1", Class::Operator, "malware", "whole.test", Scope::Subtree).await;
    world.list("operator/2", Class::Operator, "malware", "wrong.test", Scope::Subtree).await;
    world.list("operator/3", Class::Operator, "malware", "both.test", Scope::Exact).await;
    let looked = look(&world, false).await.remove(0);
    assert_eq!((looked.refused, looked.entries), (3, 8), "{looked:?}");
    assert!(looked.first_refused[0].starts_with("google.com (protected"), "{looked:?}");
    let report = world.publish().await;
    let share = &outcome(&report, Class::Operator).feeds[0];
    assert_eq!((share.allowed, share.refused, share.entries), (3, 1, 4), "{share:?}");
    let blocks = async |world: &World, name: &str| covers(&world.resolver().await.open(Class::Operator).await, name);
    for (name, blocked) in [
        ("free.test", false),
        ("above.test", false),
        ("below.tree.test", false),
        ("google.com", false),
        ("a.whole.test", true),
        ("wrong.test", true),
        ("sub.both.test", true),
        ("stays.test", true),
    ] {
        assert_eq!(blocks(&world, name).await, blocked, "{name}");
    }
    // What lies below a listed name is there once.
    assert_eq!(world.card(Class::Operator).listed, 7);

    // People take it off, and no public list brings it back.
    world.delist("operator/2").await;
    assert!(outcome(&world.publish().await, Class::Operator).published);
    assert!(!blocks(&world, "wrong.test").await);
    // What the ledger lists again is listed, whatever is to stay free of feeds.
    world.list("operator/4", Class::Operator, "malware", "free.test", Scope::Subtree).await;
    world.list("operator/5", Class::Operator, "malware", "wrong.test", Scope::Subtree).await;
    world.publish().await;
    assert!(blocks(&world, "free.test").await && blocks(&world, "wrong.test").await);
    // A rollback takes names of feeds back too, and never brings back what is off.
    server.lists(&format!("{lines}new.test\n"));
    look(&world, false).await;
    world.publish().await;
    assert!(blocks(&world, "new.test").await);
    let wish = Wish { classes: vec![Class::Operator], rollback: Some(1), ..Wish::default() };
    world.publish_with(wish).await;
    assert!(!blocks(&world, "new.test").await && blocks(&world, "stays.test").await);
}

#[tokio::test]
async fn whoever_signs_makes_the_same_list_again() {
    let mut world = World::new("feed-sign").await;
    let server = Server::list(&names(0..3));
    configure(&mut world, &feed("one", &server.url(), "allow = \"own.txt\""));
    fs::write(world.work.directory().join("own.txt"), "").unwrap();
    world.reopen();
    look(&world, false).await;
    let report = world.try_publish(&[], Wish::default()).await.unwrap();
    assert!(!outcome(&report, Class::Venue).published);
    let staged = |world: &World| Stage::find(&world.work, "venue").unwrap().unwrap();
    let pin = staged(&world).plan.release.unwrap().card.feeds.remove(0);
    let check = async |world: &World, work: &Work| {
        let lock = work.lock(Duration::from_secs(20)).unwrap();
        let publisher = friendly_blocklist::release::publish::Publisher {
            work,
            lock: &lock,
            ledger: &world.ledger,
            guard: &world.guard,
            people: &[],
            now: world.now(),
        };
        let base = publisher.base().unwrap();
        publisher.check(&Stage::find(work, "venue").unwrap().unwrap(), &base).await
    };
    check(&world, &world.work).await.unwrap();

    // On another machine with a copy of the work directory.
    let copy = world.directory.join("copy");
    let copied = Command::new("cp").arg("-r").arg(world.work.directory()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&copy, mode).unwrap();
    let other = Work::open(&copy).unwrap();
    check(&world, &other).await.unwrap();
    // Other names under the same hash are seen, and so is a pin of other names.
    let path = copy.join("feeds/one").join(format!("{}.names", pin.hash));
    let names_of = fs::read_to_string(&path).unwrap();
    fs::write(&path, names_of.replace("name-1", "name-x")).unwrap();
    let error = check(&world, &other).await.unwrap_err();
    assert!(error.to_string().contains("another hash than its name says"), "{error}");
    fs::write(&path, &names_of).unwrap();
    let plan = copy.join("staged/venue/plan.json");
    let text = fs::read_to_string(&plan).unwrap();
    fs::write(&plan, text.replace("\"feed\": \"one\"", "\"feed\": \"two\"")).unwrap();
    assert!(matches!(check(&world, &other).await, Err(PublishError::Overtaken(_))));
    let without = text.replacen(&pin.hash, &blake3_of(""), 1).replace("\"entries\": 3,\n", "\"entries\": 0,\n");
    fs::write(&plan, without).unwrap();
    fs::write(copy.join("feeds/one").join(format!("{}.names", blake3_of(""))), "").unwrap();
    let error = check(&world, &other).await.unwrap_err();
    assert!(matches!(error, PublishError::NotTheLedger { .. } | PublishError::Overtaken(_)), "{error}");

    // Another list since: what is staged can be signed as it is.
    server.lists(&names(0..4));
    look(&world, false).await;
    check(&world, &world.work).await.unwrap();
    // A name is to stay free since: it is made anew first.
    fs::write(world.work.directory().join("own.txt"), "name-1.test\n").unwrap();
    world.reopen();
    assert!(matches!(check(&world, &world.work).await, Err(PublishError::Overtaken(_))));
    world.run(&["sign", "--key", &world.key("op")]).failed_with(&["has gone on since it was staged"]);
    world.run(&["publish", "--feed-patience", "0"]).pending(&["class legal waits"]);
    let mut report = Report::default();
    world.sign(&["op"], &mut report).await.unwrap();
    let list = world.resolver().await.open(Class::Venue).await;
    assert!(covers(&list, "name-3.test") && !covers(&list, "name-1.test"));
}

fn blake3_of(text: &str) -> String {
    let mut names = friendly_blocklist::feed::names::Collector::default().finish().0;
    if !text.is_empty() {
        names = friendly_blocklist::feed::names::Names::read(text.to_owned()).unwrap();
    }
    names.hash()
}

#[tokio::test]
async fn killed_at_any_moment_of_fetching_the_last_good_names_are_there() {
    let mut world = World::new("feed-kill").await;
    let server = Server::list(&names(0..5000));
    configure(&mut world, &feed("one", &server.url(), "max_change_percent = 1000"));
    let changes = changes(env!("CARGO_BIN_EXE_friendly-blocklist"), &world.directory, &["feeds", "fetch"]);
    look(&world, false).await;
    let mut killed = 0;
    for (number, turn) in (1..=25u32).zip(turns(25, changes)) {
        server.lists(&names(number..5000 + number));
        killed += u32::from(killed_before(
            turn,
            env!("CARGO_BIN_EXE_friendly-blocklist"),
            &world.directory,
            &["feeds", "fetch"],
        ));
        let content = state(&world, "one").content.unwrap();
        let names = world.work.shelf().names("one", &content.hash).unwrap();
        assert_eq!((names.len(), content.entries), (5000, 5000));
    }
    assert!(killed >= 5, "{killed} of 25 were killed; a run makes much fewer changes now");
    // And what was cut off is done with the next one.
    world.run(&["feeds", "fetch"]).fine();
    world.publish().await;
    assert!(covers(&world.resolver().await.open(Class::Venue).await, "name-5024.test"));
    let left = fs::read_dir(world.work.directory().join("feeds/one")).unwrap().count();
    assert_eq!(left, 3, "names, state and lock, and nothing half written");
}

#[tokio::test]
async fn a_full_disk_and_two_at_once_are_harmless() {
    let mut world = World::new("feed-full").await;
    let server = Server::list(&names(0..500));
    configure(&mut world, &feed("one", &server.url(), "max_change_percent = 1000"));
    look(&world, false).await;
    let good = state(&world, "one");
    server.lists(&names(100..900));
    let program = env!("CARGO_BIN_EXE_friendly-blocklist");
    for limit in ["0", "900", "5000"] {
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; exec prlimit \"$@\"", "sh", &format!("--fsize={limit}"), program]);
        let out = limited.args(["feeds", "fetch"]).current_dir(&world.directory).output().unwrap();
        assert_eq!(out.status.code(), Some(3), "{out:?}");
        assert_eq!(state(&world, "one").content, good.content, "{limit}");
    }
    let children: Vec<_> = (0..4)
        .map(|_| command(&world.directory, &["feeds", "fetch"]).stdout(std::process::Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let content = state(&world, "one").content.unwrap();
    assert_eq!(world.work.shelf().names("one", &content.hash).unwrap().len(), 800);
}

#[tokio::test]
async fn a_slow_feed_delays_no_takedown() {
    let mut world = World::new("feed-slow").await;
    let identity = world.enrol("one");
    let server = Server::new(Answer::Silent);
    configure(&mut world, &feed("one", &server.url(), ""));
    world.publish().await;
    let keys = [world.key("ana"), world.key("besa"), world.key("op")];
    let mut arguments = vec!["publish", "--to", "public", "--feed-patience", "600"];
    keys.iter().for_each(|key| arguments.extend(["--key", key]));
    let seen = async |name: &str| {
        let listed = eventually(Duration::from_secs(18), async || {
            if !Path::new(&world.directory.join("public/metadata/timestamp.json")).exists() {
                return false;
            }
            let resolver = Resolver::of(&world.directory.join("public"), &world.first_root()).await.unwrap();
            covers(&resolver.legal(&identity).await.unwrap(), name)
        });
        assert!(listed.await, "the takedown waits for the feed");
    };
    // A single run: the law's list goes out first.
    world.legal("isigurt/1", "first.test").await;
    let mut once = command(&world.directory, &arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    seen("first.test").await;
    assert!(once.try_wait().unwrap().is_none(), "it goes on and waits for the feed");
    once.kill().unwrap();
    once.wait().unwrap();
    // While it watches, no list waits; and when the feed comes, it is released.
    arguments.extend(["--watch", "0.2"]);
    world.legal("isigurt/2", "second.test").await;
    let mut watch = command(&world.directory, &arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    seen("second.test").await;
    world.legal("isigurt/3", "third.test").await;
    seen("third.test").await;
    watch.kill().unwrap();
    watch.wait().unwrap();
    server.lists(&names(0..3));
    let mut watch = command(&world.directory, &arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    let released = eventually(Duration::from_secs(30), async || {
        covers(&world.resolver().await.open(Class::Venue).await, "name-2.test")
    });
    assert!(released.await, "the feed is not released");
    watch.kill().unwrap();
    watch.wait().unwrap();
}
