//! Start, stop, a second instance, users and addresses.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{LISTED, Load, RESOLVER, SOON, large_list, run};
use crate::client::{self, Ask, NOERROR, Reply};
use crate::liar::{Deed, Liar, honest};
use crate::rights::is_root;
use crate::world::{Daemon, PORT, World, eventually};

/// A stop takes as long as the longest answer, five seconds, and a little.
const STOP: Duration = Duration::from_secs(6);

#[test]
fn questions_that_arrived_before_the_stop_are_answered() {
    for signal in ["TERM", "INT"] {
        let world = World::new();
        let upstream = Liar::start(world.upstream(1));
        let daemon = world.start(&[upstream.address()], "");
        // While it stands still, questions and the signal arrive.
        daemon.signal("STOP");
        let socket = client::socket(world.address(10), daemon.address);
        // As many as the smallest buffer of a socket holds.
        let asks: Vec<_> = (0..200).map(|n| Ask::a(&format!("n{n}.example"))).collect();
        asks.iter().for_each(|ask| assert!(socket.send(&ask.packet()).is_ok()));
        daemon.signal(signal);
        daemon.signal("CONT");
        let status = daemon.end(STOP);
        assert_eq!(status.code(), Some(0), "{signal}");
        socket.set_nonblocking(true).expect("a socket of ours");
        let mut buffer = [0; 4096];
        let mut answered = 0;
        while let Ok(length) = socket.recv(&mut buffer) {
            let reply = Reply::read(&buffer[..length]);
            assert_eq!(reply.rcode, NOERROR, "{reply}");
            answered += 1;
        }
        assert_eq!(answered, asks.len(), "{signal}");
    }
}

#[test]
fn questions_that_wait_for_an_upstream_at_the_stop_are_answered_over_both_transports() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), |seen| Deed::Later(Duration::from_millis(600), honest(seen)));
    let daemon = world.start(&[upstream.address()], "[upstream]\ntry_timeout_ms = 2000\n");
    let asks: Vec<_> = (0..60).map(|n| Ask::a(&format!("n{n}.example"))).collect();
    let (over_tcp, over_udp) = asks.split_at(30);
    let packets: Vec<_> = over_tcp.iter().map(Ask::packet).collect();
    let (address, client) = (daemon.address, world.address(10));
    let asking = std::thread::spawn(move || client::tcp(client, address, &packets, 30, STOP));
    let socket = client::socket(world.address(11), daemon.address);
    over_udp.iter().for_each(|ask| assert!(socket.send(&ask.packet()).is_ok()));
    assert!(eventually(SOON, || upstream.count() == 60), "{}", upstream.count());
    daemon.signal("TERM");
    let begin = Instant::now();
    assert_eq!(daemon.end(STOP).code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(3), "it waits for answers and not for its patience to end");
    let answers = asking.join().expect("a client");
    assert_eq!(answers.len(), 30, "over TCP");
    assert!(answers.iter().all(|answer| Reply::read(answer).rcode == NOERROR));
    socket.set_nonblocking(true).expect("a socket of ours");
    let mut buffer = [0; 4096];
    assert_eq!(std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count(), 30, "over UDP");
}

#[test]
fn while_it_stops_it_says_that_it_is_not_ready() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), crate::liar::silence);
    let daemon = world.start(&[upstream.address()], "");
    assert_eq!(daemon.get("/readyz"), (200, "ready\n".into()));
    // It waits for the answer to this one.
    let socket = client::socket(world.address(10), daemon.address);
    assert!(socket.send(&Ask::a("lost.example").packet()).is_ok());
    assert!(eventually(SOON, || upstream.count() > 0));
    daemon.signal("TERM");
    assert!(eventually(Duration::from_secs(3), || daemon.get("/readyz").0 == 503));
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.end(STOP).code(), Some(0));
}

#[test]
fn a_stop_under_load_and_with_a_silent_upstream_ends_in_time() {
    let world = World::new();
    let upstream = Liar::behaving(world.upstream(1), crate::liar::silence);
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let daemon = world.start(&[upstream.address()], LISTED);
    let load = Load::start(world.address(11), daemon.address, &["listed.example"], |_, reply| reply.is_blocked());
    let socket = client::socket(world.address(12), daemon.address);
    (0..100).for_each(|n| drop(socket.send(&Ask::a(&format!("n{n}.example")).packet())));
    assert!(eventually(SOON, || upstream.count() >= 100));
    load.wait_for(12);
    load.assert_served(12);
    let load = Load::start(world.address(11), daemon.address, &["listed.example"], |_, _| true);
    daemon.signal("TERM");
    assert_eq!(daemon.end(STOP).code(), Some(0));
    drop(load);
}

#[test]
fn after_a_sigkill_the_same_address_serves_again_at_once() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    for _ in 0..3 {
        let daemon = world.start(&[upstream.address()], "");
        // Open connections, and some that wait out their time.
        let open = client::connect(world.address(10), daemon.address).expect("it takes connections");
        assert_eq!(daemon.ask_tcp(&Ask::a("free.example")).rcode, NOERROR);
        assert_eq!(daemon.get("/readyz").0, 200);
        daemon.signal("KILL");
        assert!(!daemon.end(SOON).success());
        drop(open);
    }
    drop(world.start(&[upstream.address()], ""));
}

#[test]
fn a_second_instance_is_refused_by_address_and_the_first_goes_on() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let daemon = world.start(&[upstream.address()], "");
    let config = world.write("friendly.toml", world.config(&[upstream.address()], ""));
    let start = || run(&[RESOLVER, "--config", config.to_str().expect("a plain path")]);
    start().assert_refused(&[&daemon.address.to_string(), "another program", "listen"]);
    let other = format!("[server]\nlisten = [\"{}:5301\"]\n", world.address(1));
    world.write("friendly.toml", world.config(&[upstream.address()], &other));
    start().assert_refused(&[&daemon.admin.to_string(), "admin", "another program"]);
    assert!((0..50).all(|n| daemon.resolves(&format!("n{n}.example"))));
}

#[test]
fn a_port_below_1024_needs_a_right_and_the_sentence_says_so() {
    if !is_root() {
        return;
    }
    let world = World::open_to_others();
    let settings = format!("[server]\nlisten = [\"{}:53\"]\n", world.address(1));
    let config = world.write("friendly.toml", world.config(&[], &settings));
    // In a network of its own, where the rule is the one of the kernel.
    let user = ["unshare", "-n", "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    let ended = run(&[&user[..], &[world.program(), "--config", config.to_str().expect("a plain path")]].concat());
    ended.assert_refused(&[&format!("{}:53", world.address(1)), "1024", "CAP_NET_BIND_SERVICE"]);
}

/// Lines of /proc/PID/status of all threads.
fn status(daemon: &Daemon, key: &str) -> Vec<Vec<String>> {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("the process runs");
    let texts = threads.map(|thread| fs::read_to_string(thread.expect("a thread").path().join("status")));
    let line = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned)).expect("a known key");
        line.split_whitespace().map(str::to_owned).collect()
    };
    texts.filter_map(Result::ok).map(line).collect()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}

#[test]
fn after_binding_it_becomes_another_user_for_good() {
    if !is_root() {
        return;
    }
    let world = World::open_to_others();
    let upstream = Liar::start(world.upstream(1));
    let path = world.write("a.list", large_list(1, &["listed.example", "old.example"], 10));
    let directory = path.with_file_name("good");
    fs::create_dir(&directory).expect("our own directory");
    let settings =
        format!("{LISTED}last_good = \"good\"\n[server]\nuser = \"nobody\"\nlisten = [\"{}:53\"]\n", world.address(1));
    let mut daemon = world.start(&[upstream.address()], &settings);
    daemon.address.set_port(53);
    let id = |what: &str| run(&["id", what, "nobody"]).out.trim().to_owned();
    let (user, group) = (id("-u"), id("-g"));
    for (key, expected) in [("Uid:", vec![&user; 4]), ("Gid:", vec![&group; 4]), ("Groups:", vec![&group])] {
        for thread in status(&daemon, key) {
            assert_eq!(thread.iter().collect::<Vec<_>>(), expected, "{key}");
        }
    }
    for key in ["CapEff:", "CapPrm:", "CapAmb:"] {
        assert!(status(&daemon, key).iter().all(|thread| thread == &["0000000000000000"]), "{key}");
    }
    assert!(daemon.is_blocked("listed.example") && daemon.resolves("free.example"));
    assert_eq!(daemon.ask_tcp(&Ask::a("free.example")).rcode, NOERROR);
    assert!(daemon.problems().is_empty(), "{:?}", daemon.problems());

    // A list that only root may read is refused until it is opened to others.
    let new = large_list(2, &["listed.example", "new.example"], 10);
    let hidden = world.write("hidden", &new);
    mode(&hidden, 0o600);
    fs::rename(&hidden, &path).expect("our own directory");
    let told = || daemon.problems().iter().any(|problem| problem.contains("a.list") && problem.contains("ermission"));
    assert!(eventually(SOON, told), "{:?}", daemon.problems());
    assert!(daemon.is_blocked("old.example"));
    let (user, group) = (user.parse().ok(), group.parse().ok());
    chown(&directory, user, group).expect("root may do this");
    mode(&path, 0o644);
    assert!(eventually(SOON, || daemon.is_blocked("new.example")), "{}", daemon.log());
    assert!(eventually(SOON, || daemon.problems().is_empty()), "{:?}", daemon.problems());
}

#[test]
fn a_user_that_could_not_read_its_files_again_is_refused() {
    if !is_root() {
        return;
    }
    let world = World::open_to_others();
    let list = world.write_list("a.list", 1, &[("adult", "listed.example")]);
    mode(&list, 0o600);
    let settings = "[lists]\nfiles = [\"a.list\"]\n[server]\nuser = \"nobody\"\n";
    let config = world.write("friendly.toml", world.config(&[], settings));
    let ended = run(&[world.program(), "--config", config.to_str().expect("a plain path")]);
    ended.assert_refused(&["'nobody'", "a.list", "read", "chmod"]);
}

#[test]
fn a_user_that_does_not_exist_is_refused() {
    let world = World::new();
    let config = world.write("friendly.toml", world.config(&[], "[server]\nuser = \"nobody-at-all\"\n"));
    let ended = run(&[RESOLVER, "--config", config.to_str().expect("a plain path")]);
    ended.assert_refused(&["'nobody-at-all'", "[server] user", "no such user"]);
}

#[test]
fn it_runs_as_an_ordinary_user_on_high_ports_and_says_when_it_cannot_become_another() {
    if !is_root() {
        return;
    }
    let world = World::open_to_others();
    let upstream = Liar::start(world.upstream(1));
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    {
        // Naming the user that it is already is fine.
        let settings = format!("{LISTED}[server]\nuser = \"nobody\"\n");
        let daemon = world.start_under(&prefix, &[upstream.address()], &settings);
        assert!(daemon.is_blocked("listed.example") && daemon.resolves("free.example"));
        assert!(daemon.reload());
    }
    let config = world.write("friendly.toml", world.config(&[], "[server]\nuser = \"daemon\"\n"));
    let ended = run(&[&prefix[..], &[world.program(), "--config", config.to_str().expect("a plain path")]].concat());
    ended.assert_refused(&["'daemon'", "only root"]);
}

#[test]
fn f37_an_address_that_comes_later_is_served_when_it_is_there() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let settings = format!(
        "{LISTED}[server]\nlisten = [\"192.0.2.200:{PORT}\", \"[2001:db8::200]:{PORT}\"]\n\
         [access]\nallow = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n"
    );
    let prefix = ["unshare", "-n", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
    let daemon = world.start_under(&prefix, &[world.upstream(1)], &settings);
    for address in ["192.0.2.200", "2001:db8::200"] {
        let warned = |line: &str| line.contains("WARN") && line.contains(address);
        assert!(daemon.log().lines().any(warned), "{}", daemon.log());
    }
    let pid = daemon.pid().to_string();
    let inside = |words: &[&str]| run(&[&["nsenter", "-n", "-t", &pid], words].concat());
    for (address, length) in [("192.0.2.200", 32), ("2001:db8::200", 128)] {
        let network = format!("{address}/{length}");
        let mut add = vec!["ip", "address", "add", &network, "dev", "lo"];
        if length == 128 {
            add.push("nodad");
        }
        assert_eq!(inside(&add).code, Some(0));
        let (server, port) = (format!("@{address}"), PORT.to_string());
        for transport in ["+notcp", "+tcp"] {
            let mut answer = String::new();
            let served = eventually(SOON, || {
                let ask = ["dig", &server, "-p", &port, "+time=1", "+tries=1", transport, "listed.example"];
                answer = inside(&ask).out;
                answer.contains("status: NXDOMAIN") && answer.contains("EDE: 17")
            });
            assert!(served, "{address} {transport}: {answer}\n{}", daemon.log());
        }
    }
}

#[test]
fn f37_without_any_upstream_it_starts_filters_and_says_what_is_missing() {
    let world = World::new();
    world.write_list("a.list", 1, &[("adult", "listed.example")]);
    let daemon = world.start(&[world.upstream(1)], LISTED);
    assert!(daemon.is_blocked("listed.example"));
    assert_eq!(daemon.get("/readyz").0, 200);
    let reply = daemon.ask(&Ask::a("free.example"));
    assert_eq!(reply.rcode, client::SERVFAIL, "{reply}");
    assert!(!reply.ede().is_empty(), "{reply}");
    // It is there at last.
    let upstream = Liar::start(world.upstream(1));
    assert!(eventually(SOON, || daemon.resolves("other.example")), "{}", daemon.log());
    drop(upstream);
}

#[test]
fn f37_on_a_host_without_ipv6_the_rest_is_served_and_the_log_says_so() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    // The first socket of the first thread is the one for this address.
    let settings = format!("[server]\nlisten = [\"[::1]:{PORT}\", \"{}\"]\n", world.resolver());
    let trace = ["strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=socket"];
    let prefix = [&trace[..], &["-e", "inject=socket:error=EAFNOSUPPORT:when=1"]].concat();
    let daemon = world.start_under(&prefix, &[upstream.address()], &settings);
    let told = format!("[::1]:{PORT} is left out: this host has no IPv6");
    assert!(daemon.log().contains(&told), "{}", daemon.log());
    // Over TCP first: each other thread has a first socket, too.
    assert_eq!(daemon.ask_tcp(&Ask::a("localhost")).rcode, NOERROR);
    assert!(eventually(SOON, || daemon.resolves("free.example")), "{}", daemon.log());
    daemon.break_off();
}
