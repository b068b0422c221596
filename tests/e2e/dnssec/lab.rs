//! A tree of zones, signed at test time: good ones of every algorithm and kind
//! of proof, and ones that are broken in one way each.
//!
//! NSD serves all of them. One Unbound without validation is the upstream of the
//! resolver, another one with validation is the oracle; both know where every
//! zone is, so that no port below 1024 is needed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::scenarios::peers::{Running, start_nsd};
use crate::world::{PORT, World};

/// How a zone shows what is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    Nsec,
    /// With salt, five more rounds.
    Nsec3,
    /// Unsigned delegations have no record.
    OptOut,
    /// More rounds than any resolver does (RFC 9276).
    Rounds,
}

/// What is wrong with a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// A DS record above it, no key in it.
    NoKey,
    WrongDs,
    /// No DS that anybody knows the algorithm, or the digest, of.
    UnknownAlgorithm,
    UnknownDigest,
    Expired,
    NotYetValid,
    /// Records that came in after signing.
    Unsigned,
    /// The signatures over `www` are gone, or wrong.
    NoSignature,
    WrongSignature,
    /// The records of non-existence are gone.
    NoDenial,
}

/// One zone below `lab`.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) algorithm: u8,
    pub(super) denial: Denial,
    pub(super) fault: Fault,
}

/// The good zones, then the broken ones.
pub(super) fn zones() -> Vec<Zone> {
    use Denial::*;
    let zone = |fault: Fault, algorithm: u8, denial: Denial| {
        let name = format!("{fault:?}-{algorithm}-{denial:?}.lab").to_lowercase();
        Zone { name, algorithm, denial, fault }
    };
    let mut zones = Vec::new();
    for algorithm in [8, 13, 14, 15] {
        zones.extend([Nsec, Nsec3, OptOut].map(|denial| zone(Fault::Nothing, algorithm, denial)));
    }
    zones.push(zone(Fault::Nothing, 13, Rounds));
    let broken = [
        Fault::NoKey,
        Fault::WrongDs,
        Fault::UnknownAlgorithm,
        Fault::UnknownDigest,
        Fault::Expired,
        Fault::NotYetValid,
        Fault::Unsigned,
        Fault::NoSignature,
        Fault::WrongSignature,
        Fault::NoDenial,
    ];
    for (turn, fault) in broken.into_iter().enumerate() {
        let [first, second] = if turn % 2 == 0 { [13, 8] } else { [15, 14] };
        zones.extend([zone(fault, first, Nsec), zone(fault, second, Nsec3)]);
    }
    zones
}

/// The programs of the lab.
pub(super) struct Lab {
    pub(super) upstream: Running,
    pub(super) oracle: Running,
    /// The keys of its root, as a file.
    pub(super) anchors: PathBuf,
    _nsd: Running,
}

impl Lab {
    pub(super) fn start(world: &World) -> Self {
        let home = world.write("lab.dir", "").parent().expect("a file is in a directory").to_owned();
        let keys = Keys::make(&home);
        let zones = zones();
        // Two at a time: signing is what takes the time here.
        let (next, ds) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(zone) = zones.get(next.fetch_add(1, Relaxed)) {
                        let made = make(&home, &keys, zone);
                        ds.lock().expect("nobody panics").insert(zone.name.clone(), made);
                    }
                });
            }
        });
        let mut names: Vec<String> = vec!["".into(), "lab".into(), "chain.lab".into()];
        let chain = Zone { name: "chain.lab".into(), algorithm: 13, denial: Denial::Nsec, fault: Fault::Nothing };
        let mut ds = ds.into_inner().expect("nobody panicked");
        fs::write(home.join("chain.lab.plain"), head("chain.lab") + CHAINS).expect("written");
        ds.insert(chain.name.clone(), sign(&home, &keys, &chain));
        let mut lab = format!("{}ns A {}\n", head("lab"), nsd_address(world).ip());
        for (name, ds) in &ds {
            let _ = write!(lab, "{name}. NS ns.lab.\n{ds}");
        }
        for zone in &zones {
            names.extend([zone.name.clone(), format!("u.{}", zone.name)]);
        }
        fs::write(home.join("lab.plain"), lab).expect("written");
        let top = Zone { name: "lab".into(), ..chain.clone() };
        let lab_ds = sign(&home, &keys, &top);
        fs::write(home.join("root.plain"), format!("{}lab. NS ns.lab.\n{lab_ds}", head(""))).expect("written");
        sign(&home, &keys, &Zone { name: String::new(), ..chain });
        let key = fs::read_to_string(keys.file(&home, 13, "")).expect("made above");
        let anchors = world.write("anchors", key);
        let nsd = nsd(world, &home, &names);
        let upstream = unbound(world, world.upstream(1), &names, "module-config: \"iterator\"");
        let validating = format!("module-config: \"validator iterator\"\n    trust-anchor-file: {anchors:?}");
        let oracle = unbound(world, world.upstream(3), &names, &validating);
        Lab { upstream, oracle, anchors, _nsd: nsd }
    }
}

fn head(name: &str) -> String {
    format!("$ORIGIN {name}.\n$TTL 300\n@ SOA ns.lab. nobody.lab. 1 7200 900 86400 300\n@ NS ns.lab.\n")
}

/// What every zone below `lab` holds.
const CONTENT: &str = "\
@ A 192.0.2.1
www A 192.0.2.2
www AAAA 2001:db8::2
www TXT \"text\"
mail MX 10 www
Mixed.Case PTR Www
alias CNAME www
*.wild A 192.0.2.3
*.wild TXT \"wild\"
other.wild TXT \"other\"
*.starry CNAME www
deep.ent A 192.0.2.4
dname DNAME tree
a.tree A 192.0.2.5
u NS ns.lab.
";

/// Ways from one zone to another; `chain.lab` itself is good.
const CHAINS: &str = "\
secure CNAME www.nothing-8-nsec3.lab.
twice CNAME secure
insecure CNAME www.u.nothing-13-nsec.lab.
optout CNAME www.u.nothing-13-optout.lab.
unknown CNAME www.unknownalgorithm-13-nsec.lab.
bogus CNAME www.wrongsignature-13-nsec.lab.
expired CNAME www.expired-13-nsec.lab.
nokey CNAME www.nokey-13-nsec.lab.
nodenial CNAME nope.nodenial-15-nsec.lab.
missing CNAME nope.nothing-13-nsec3.lab.
nodata CNAME mail.nothing-15-nsec.lab.
back CNAME alias.u.nothing-13-nsec.lab.
tobogus CNAME bogus.u.nothing-13-nsec.lab.
*.star CNAME www.nothing-14-nsec.lab.
tree DNAME nothing-13-nsec3.lab.
btree DNAME wrongsignature-13-nsec.lab.
itree DNAME u.nothing-13-nsec.lab.
one CNAME two
two CNAME one
";

/// The keys of the lab: one for each algorithm, under the name of every zone.
struct Keys(BTreeMap<u8, (String, String, String)>);

impl Keys {
    fn make(home: &Path) -> Self {
        let mut keys = BTreeMap::new();
        for algorithm in [8, 13, 14, 15] {
            let mut command = Command::new("dnssec-keygen");
            command.args(["-q", "-f", "KSK", "-a", &algorithm.to_string()]);
            if algorithm == 8 {
                command.args(["-b", "2048"]);
            }
            let name = run(command.arg("-K").arg(home).arg("key.lab"));
            let tag = name.trim().rsplit('+').next().expect("K<zone>+<algorithm>+<tag>").to_owned();
            let read = |end: &str| fs::read_to_string(home.join(format!("{}.{end}", name.trim()))).expect("made above");
            keys.insert(algorithm, (tag, read("key"), read("private")));
        }
        Keys(keys)
    }

    /// The file with the public key for a zone. A tag says nothing of the owner.
    fn file(&self, home: &Path, algorithm: u8, zone: &str) -> PathBuf {
        let (tag, key, private) = &self.0[&algorithm];
        let base = home.join(format!("K{zone}.+{algorithm:03}+{tag}"));
        let file = |end: &str| PathBuf::from(format!("{}.{end}", base.display()));
        let key = key.replace("key.lab.", &format!("{zone}."));
        fs::write(file("key"), key).and_then(|()| fs::write(file("private"), private)).expect("written");
        file("key")
    }
}

/// Makes a zone below `lab` and the unsigned one below it; returns its DS records.
fn make(home: &Path, keys: &Keys, zone: &Zone) -> String {
    let name = &zone.name;
    let below = format!(
        "{}@ A 192.0.2.6\nwww A 192.0.2.7\nalias CNAME www.nothing-13-nsec3.lab.\nbogus CNAME www.wrongsignature-13-nsec.lab.\n",
        head(&format!("u.{name}"))
    );
    fs::write(home.join(format!("u.{name}.zone")), below).expect("written");
    fs::write(home.join(format!("{name}.plain")), head(name) + CONTENT).expect("written");
    let ds = sign(home, keys, zone);
    spoil(home, zone);
    let field = |at: usize, to: &str| {
        let changed = ds.lines().map(|line| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            let type_at = words.iter().position(|word| *word == "DS").expect("a DS record");
            words[type_at + at] = to;
            words.join(" ") + "\n"
        });
        changed.collect()
    };
    match zone.fault {
        Fault::WrongDs => field(4, &"ab".repeat(32)),
        Fault::UnknownAlgorithm => field(2, "200"),
        Fault::UnknownDigest => field(3, "200"),
        _ => ds,
    }
}

/// Signs `<zone>.plain` as `<zone>.zone`; returns its DS records.
fn sign(home: &Path, keys: &Keys, zone: &Zone) -> String {
    let name = &zone.name;
    let key = keys.file(home, zone.algorithm, name);
    let file = |end: &str| home.join(format!("{}.{end}", if name.is_empty() { "root" } else { name }));
    let origin = format!("{name}.");
    if zone.denial == Denial::Rounds {
        let mut command = Command::new("ldns-signzone");
        command.args(["-n", "-t", "200", "-s", "aabb", "-o", &origin, "-f"]).arg(file("zone"));
        run(command.arg(file("plain")).arg(key.with_extension("")));
    } else {
        let mut command = Command::new("dnssec-signzone");
        command.args(["-q", "-P", "-z", "-S", "-O", "full", "-o", &origin, "-K"]).arg(home).arg("-d").arg(home);
        match zone.denial {
            Denial::Nsec3 => drop(command.args(["-3", "aabbccdd", "-H", "5"])),
            Denial::OptOut => drop(command.args(["-3", "-", "-H", "0", "-A"])),
            Denial::Nsec | Denial::Rounds => {}
        }
        match zone.fault {
            Fault::Expired => drop(command.args(["-s", "20200101000000", "-e", "20200201000000"])),
            Fault::NotYetValid => drop(command.args(["-s", "20400101000000", "-e", "20400201000000"])),
            _ => {}
        }
        run(command.arg("-f").arg(file("zone")).arg(file("plain")));
    }
    run(Command::new("dnssec-dsfromkey").args(["-2"]).arg(key))
}

/// Breaks a signed zone, which has one record in each line.
fn spoil(home: &Path, zone: &Zone) {
    let name = &zone.name;
    let path = home.join(format!("{name}.zone"));
    let text = fs::read_to_string(&path).expect("signed above");
    let owner = format!("www.{name}.");
    let over_www = |words: &[&str]| words.first() == Some(&owner.as_str()) && words.get(3) == Some(&"RRSIG");
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rtype = words.get(3).copied().unwrap_or("");
        let covered = words.get(4).copied().unwrap_or("");
        let is_denial = |rtype: &str| matches!(rtype, "NSEC" | "NSEC3");
        let gone = match zone.fault {
            Fault::NoSignature => over_www(&words),
            Fault::NoDenial => is_denial(rtype) || rtype == "RRSIG" && is_denial(covered),
            _ => false,
        };
        if gone {
            continue;
        }
        let mut line = line.to_owned();
        if zone.fault == Fault::WrongSignature && over_www(&words) {
            let signature = words.last().expect("a signature");
            let first = if signature.starts_with('A') { "B" } else { "A" };
            line = format!("{} {first}{}", words[..words.len() - 1].join(" "), &signature[1..]);
        }
        out.push_str(&line);
        out.push('\n');
    }
    match zone.fault {
        Fault::NoKey => out = head(name) + CONTENT,
        Fault::Unsigned => {
            out.push_str(&format!("extra.{name}. 300 IN A 192.0.2.8\nwww.{name}. 300 IN MX 1 extra.{name}.\n"))
        }
        _ => {}
    }
    fs::write(path, out).expect("written");
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; is it installed?"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn nsd_address(world: &World) -> SocketAddr {
    world.upstream(2)
}

fn nsd(world: &World, home: &Path, names: &[String]) -> Running {
    let zone = |name: &String| {
        let file = if name.is_empty() { "root" } else { name };
        format!("zone:\n    name: \"{name}.\"\n    zonefile: \"{file}.zone\"\n")
    };
    start_nsd(world, nsd_address(world), home, "", &names.iter().map(zone).collect::<String>())
}

fn unbound(world: &World, address: SocketAddr, names: &[String], more: &str) -> Running {
    let (ip, nsd) = (address.ip(), nsd_address(world).ip());
    let mut config = format!(
        "server:
    interface: {ip}
    port: {PORT}
    access-control: 127.0.0.0/8 allow
    {more}
    chroot: \"\"
    username: \"\"
    pidfile: \"\"
    use-syslog: no
    do-daemonize: no
    num-threads: 1
    outgoing-range: 128
    num-queries-per-thread: 64
    do-ip6: no
    do-not-query-localhost: no
    qname-minimisation: no
    trust-anchor-signaling: no
    root-key-sentinel: no
    edns-buffer-size: 1232
    max-udp-size: 1232
    ede: yes
    rrset-roundrobin: no
    so-reuseport: no
remote-control:
    control-enable: no
"
    );
    for name in names {
        let _ = write!(config, "stub-zone:\n    name: \"{name}.\"\n    stub-addr: {nsd}@{PORT}\n");
    }
    Running::start("unbound", world, address, &config)
}
