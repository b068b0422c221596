//! The other servers of a scenario, NSD and Unbound: children in the
//! foreground, on loopback, with their files in the directory of the world.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::format::Scenario;
use crate::world::{PORT, World, eventually};

/// Until a program answers after its start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the relay is that everybody asks.
pub(super) fn relay_address(world: &World) -> SocketAddr {
    world.upstream(1)
}

/// Where NSD is.
pub(super) fn nsd_address(world: &World) -> SocketAddr {
    world.upstream(2)
}

/// A program that ends with this value.
pub(crate) struct Running {
    child: Child,
    /// Where it answers.
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts a server with its configuration and asks until any answer comes.
    pub(crate) fn start(program: &str, world: &World, address: SocketAddr, config: &str) -> Self {
        let config = world.write(&format!("{program}-{}.conf", address.ip()), config);
        let log = config.with_extension("log");
        let out = File::create(&log).expect("the target directory can be written");
        let second = out.try_clone().expect("a file has two handles");
        let mut command = Command::new(find(program));
        command.arg("-d").arg("-c").arg(config).stdin(Stdio::null()).stdout(out).stderr(second);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}; is it installed?"));
        let mut running = Running { child, address };

        // CH version.bind: every server answers it in one way or another.
        let question = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03";
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback works");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("sockets take time-outs");
        socket.connect(address).expect("loopback works");
        let is_over = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_some());
        let came_up = eventually(PATIENCE, || {
            // A port that is still closed is an error at once.
            let answered = socket.send(question).and_then(|_| socket.recv(&mut [0; 512]));
            answered.is_ok() || is_over(&mut running.child)
        });
        let log = || fs::read_to_string(&log).unwrap_or_default();
        assert!(came_up && !is_over(&mut running.child), "{program} did not come up:\n{}", log());
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // NSD's children end only with a parent that is told so in peace.
        let pid = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &pid]).status());
        drop(self.child.wait());
    }
}

/// NSD with the zone of the scenario as the root zone.
pub(super) fn nsd(scenario: &Scenario, world: &World) -> Running {
    let zone = format!(
        "$ORIGIN .\n$TTL 300\n. 3600 IN SOA ns.invalid. nobody.invalid. 1 7200 900 86400 600\n. IN NS ns.invalid.\n{}",
        scenario.zone
    );
    let zone = world.write("root.zone", zone);
    let home = zone.parent().expect("a file is in a directory");
    let more = format!("round-robin: no\n    {}", scenario.nsd);
    start_nsd(world, nsd_address(world), home, &more, "zone:\n    name: \".\"\n    zonefile: \"root.zone\"\n")
}

/// NSD with these lines in its `server:` clause, and these zones.
pub(crate) fn start_nsd(world: &World, address: SocketAddr, home: &Path, more: &str, zones: &str) -> Running {
    let (ip, home) = (address.ip(), home.display());
    let config = format!(
        "server:
    ip-address: {ip}@{PORT}
    port: {PORT}
    server-count: 1
    zonesdir: \"{home}\"
    database: \"\"
    pidfile: \"\"
    xfrdfile: \"\"
    xfrdir: \"{home}\"
    zonelistfile: \"{home}/zone.list\"
    cookie-secret-file: \"{home}/cookies\"
    username: \"\"
    chroot: \"\"
    minimal-responses: yes
    rrl-ratelimit: 0
    ipv4-edns-size: 4096
    {more}
remote-control:
    control-enable: no
{zones}"
    );
    Running::start("nsd", world, address, &config)
}

/// Unbound as a forwarder to the same upstream, without validation.
pub(super) fn unbound(scenario: &Scenario, world: &World) -> Running {
    let (address, relay) = (world.upstream(3), relay_address(world).ip());
    let (ip, more) = (address.ip(), &scenario.unbound);
    let config = format!(
        "server:
    interface: {ip}
    port: {PORT}
    access-control: 127.0.0.0/8 allow
    module-config: \"iterator\"
    chroot: \"\"
    username: \"\"
    pidfile: \"\"
    use-syslog: no
    do-daemonize: no
    num-threads: 1
    outgoing-range: 64
    num-queries-per-thread: 32
    msg-cache-size: 1m
    rrset-cache-size: 1m
    do-ip6: no
    do-not-query-localhost: no
    qname-minimisation: no
    edns-buffer-size: 1232
    max-udp-size: 1232
    ede: yes
    rrset-roundrobin: no
    minimal-responses: yes
    so-reuseport: no
{more}
remote-control:
    control-enable: no
forward-zone:
    name: \".\"
    forward-addr: {relay}@{PORT}
"
    );
    Running::start("unbound", world, address, &config)
}

/// Servers live where the PATH of an ordinary user does not look.
fn find(program: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(|place| Path::new(place).join(program));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| program.into())
}
