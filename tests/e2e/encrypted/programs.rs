//! Clients of others: kdig, curl, dnsperf.

use domain::base::iana::Rtype;

use crate::encrypted::{NAME, key};
use crate::interop::said;
use crate::liar::{Deed, Liar, Saying};
use crate::world::World;

#[test]
fn programs_of_others_get_their_answers_over_tls_and_https() {
    let world = World::new();
    let upstream = Liar::start(world.upstream(1));
    let list = world.write_list("family.list", 1, &[("adult", "listed.example")]);
    let settings =
        world.encrypted(&format!("[lists]\nfiles = [{list:?}]\n[rebinding]\nallow = [\"portal.example\"]\n"));
    let daemon = world.start(&[upstream.address()], &settings);
    let at = format!("@{}", daemon.address.ip());
    let (dot, doh) = (world.dot().port().to_string(), world.doh().port().to_string());
    let (ca, host) = (format!("+tls-ca={}", key("root.pem").display()), format!("+tls-host={NAME}"));

    for way in [&["-p", &dot, "+tls"][..], &["-p", &doh, "+https"], &["-p", &doh, "+https-get", "+https"]] {
        let base = [&[at.as_str()][..], way, &[&ca, &host, "+edns"]].concat();
        let text = said("kdig", "knot-dnsutils", &[&base[..], &["www.example", "A"]].concat());
        assert!(text.contains("status: NOERROR") && text.contains("TLS session (TLS1.3)"), "{way:?}: {text}");
        let text = said("kdig", "knot-dnsutils", &[&base[..], &["www.listed.example", "AAAA"]].concat());
        assert!(text.contains("status: NXDOMAIN") && text.contains("EDE: 17"), "{way:?}: {text}");
    }
    // Not for another name, and not by another authority.
    let wrong = std::process::Command::new("kdig")
        .args([&at, "-p", &dot, "+tls", &ca, "+tls-host=other.example", "+retry=0", "www.example"])
        .output()
        .expect("kdig");
    assert!(!String::from_utf8_lossy(&wrong.stdout).contains("NOERROR"));

    let questions = world.write("questions", "www.example A\nwww.listed.example AAAA\n").display().to_string();
    let server = daemon.address.ip().to_string();
    for (mode, port) in [("dot", &dot), ("doh", &doh)] {
        let uri = format!("doh-uri=https://{server}:{port}/dns-query");
        let base = ["-s", &server, "-p", port, "-d", &questions, "-n", "1000", "-c", "4", "-e", "-m", mode];
        let arguments = if mode == "doh" { [&base[..], &["-O", &uri]].concat() } else { base.to_vec() };
        let text = said("dnsperf", "dnsperf", &arguments);
        assert!(text.contains("Queries lost:         0 (0.00%)"), "{mode}: {text}");
        assert!(text.contains("NOERROR 1000 (50.00%), NXDOMAIN 1000 (50.00%)"), "{mode}: {text}");
    }

    // curl finds the admin address of the resolver by a name that it asks over HTTPS.
    let portal = daemon.admin();
    let octets = world.address(1).octets();
    upstream.behave(move |seen| {
        let saying = Saying::to(seen);
        let answer = if seen.qtype == Rtype::A { saying.record("@", Rtype::A, 60, &octets) } else { saying };
        Deed::Say(vec![answer.done()])
    });
    let page = format!("http://portal.example:{}/readyz", portal.port());
    let url = format!("https://{NAME}:{doh}/dns-query");
    let ca = key("root.pem").display().to_string();
    let resolve = format!("{NAME}:{doh}:{}", daemon.address.ip());
    let base = ["-sS", "--doh-url", &url, "--cacert", &ca, "--resolve", &resolve, "--max-time", "20"];
    // Its questions go over TLS that it can check by the authority alone.
    let trusted = ["--proto", "=http", &page];
    let arguments = [&base[..], &trusted].concat();
    assert_eq!(said("curl", "curl", &arguments), "ready\n");
}
