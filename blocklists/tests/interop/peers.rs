//! Other programs on addresses of their own, ended with the test.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype};
use domain::rdata::A;

/// Longest wait for something to happen on a busy machine. Subscribers look by themselves every 300 seconds only.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// Port of everybody.
pub(crate) const PORT: u16 = 5353;

/// Waits until `condition` holds.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begin.elapsed() > PATIENCE {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A network 127.x.y.0/24 that no other test has. The publisher is 1.
pub(crate) struct Network([u8; 2], #[allow(dead_code)] TcpListener); // held, so that it stays ours

impl Network {
    pub(crate) fn new() -> Network {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let turn = NEXT.fetch_add(1, Relaxed) + std::process::id().wrapping_mul(13);
            let (x, y) = (128 + (turn / 256 % 60) as u8, (turn % 256) as u8);
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(127, x, y, 254), 5399)) {
                return Network([x, y], claim);
            }
        }
    }

    pub(crate) fn address(&self, last: u8) -> SocketAddr {
        (Ipv4Addr::new(127, self.0[0], self.0[1], last), PORT).into()
    }
}

/// A place for BIND, which takes only addresses that an interface lists.
pub(crate) fn place_for_bind() -> SocketAddr {
    let stream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    stream.local_addr().unwrap()
}

/// A program that runs until the test ends, and what it writes.
pub(crate) struct Peer {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Peer {
    pub(crate) fn start(package: &str, command: &mut Command) -> Peer {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{command:?} ({error}): install the package '{package}'"));
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for mut stream in streams {
            let said = said.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    said.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                }
            });
        }
        Peer { child, said }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn wait_for(&self, words: &str) {
        assert!(eventually(|| self.said().contains(words)), "{words:?} was not said:\n{}", self.said());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- a peer said:\n{}", self.said());
        }
    }
}

/// `friendly-blocklist serve --zones` on address 1.
pub(crate) fn serve(network: &Network, work: &Path) -> Peer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_friendly-blocklist"));
    command.args(["serve", "--zones", &network.address(1).to_string(), "--work"]).arg(work);
    let peer = Peer::start("friendly-blocklist", &mut command);
    peer.wait_for("Handing out zones");
    peer
}

/// A TSIG key as BIND writes it, in a file that nobody else can read.
pub(crate) fn write_key(path: &Path, name: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).unwrap();
    let clause =
        format!("key \"{name}\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{}\";\n}};\n", BASE64_STANDARD.encode(secret));
    fs::write(path, &clause).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    clause
}

/// What a program says; it may fail.
pub(crate) fn output(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} ({error}): install the Debian package '{package}'"));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What dig says to a question for an address.
pub(crate) fn dig(server: SocketAddr, arguments: &[&str]) -> String {
    let (server, port) = (format!("@{}", server.ip()), server.port().to_string());
    let fixed = [server.as_str(), "-p", &port, "+time=3", "+tries=2"];
    output("dig", "bind9-dnsutils", &[&fixed[..], arguments].concat())
}

/// Whether a resolver answers with the address that everything below `test` has.
pub(crate) fn resolves(server: SocketAddr, name: &str) -> bool {
    dig(server, &[name, "A"]).contains("192.0.2.1")
}

/// Whether a resolver says that there is no such name.
pub(crate) fn is_blocked(server: SocketAddr, name: &str) -> bool {
    dig(server, &[name, "A"]).contains("status: NXDOMAIN")
}

/// An authority that has the address 192.0.2.1 for every name, until the test program ends. BIND asks its policy about
/// answers of others only, not about its own zones, and Unbound neither.
pub(crate) fn everything(address: SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            let Ok(question) = Message::from_octets(&buffer[..length]) else { continue };
            let Ok(mut answer) = MessageBuilder::new_vec().start_answer(&question, Rcode::NOERROR) else { continue };
            if let Some(asked) = question.first_question().filter(|asked| asked.qtype() == Rtype::A) {
                answer.push((asked.qname(), 60, A::from_octets(192, 0, 2, 1))).unwrap();
            }
            let _ = socket.send_to(&answer.finish(), client);
        }
    });
}

/// BIND as a secondary of a zone, signed with the key, which is its policy. It forwards to address 9.
pub(crate) fn bind(own: SocketAddr, network: &Network, directory: &Path, zone: &str, key: &str) -> Peer {
    let directory = directory.join("bind");
    fs::create_dir_all(&directory).unwrap();
    let (publisher, upstream) = (network.address(1).ip(), network.address(9).ip());
    let (ip, port) = (own.ip(), own.port());
    let shown = directory.display();
    let name = key.split('"').nth(1).unwrap();
    let text = format!(
        "{key}options {{ directory \"{shown}\"; pid-file none; session-keyfile none; listen-on port {port} {{ {ip}; }};\n\
         listen-on-v6 {{ none; }}; recursion yes; allow-query {{ any; }}; dnssec-validation no; notify no;\n\
         response-policy {{ zone \"{zone}\"; }} min-update-interval 1 qname-wait-recurse no; }};\n\
         controls {{ }};\n\
         zone \"{zone}\" {{ type secondary; primaries port {PORT} {{ {publisher} key \"{name}\"; }}; \
         file \"zone.db\"; masterfile-format text; }};\n\
         zone \"test\" {{ type forward; forward only; forwarders port {PORT} {{ {upstream}; }}; }};\n"
    );
    let path = directory.join("named.conf");
    fs::write(&path, text).unwrap();
    let peer = Peer::start("bind9", Command::new("named").args(["-g", "-n", "1", "-c"]).arg(&path));
    peer.wait_for("running");
    peer
}

/// Unbound on address 3 with the zone as its policy; it knows no TSIG. It forwards to address 9.
pub(crate) fn unbound(network: &Network, directory: &Path, zone: &str) -> Peer {
    let directory = directory.join("unbound");
    fs::create_dir_all(&directory).unwrap();
    let (own, publisher, upstream) = (network.address(3).ip(), network.address(1).ip(), network.address(9).ip());
    let text = format!(
        "server:\n interface: {own}@{PORT}\n port: {PORT}\n access-control: 127.0.0.0/8 allow\n do-daemonize: no\n \
         username: \"\"\n chroot: \"\"\n directory: \"{}\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n verbosity: 2\n \
         num-threads: 1\n module-config: \"respip iterator\"\n local-zone: \"test\" nodefault\n \
         do-not-query-localhost: no\n\
         forward-zone:\n name: \"test\"\n forward-addr: {upstream}@{PORT}\n\
         rpz:\n name: \"{zone}\"\n primary: {publisher}@{PORT}\n allow-notify: {publisher}\n rpz-log: yes\n",
        directory.display()
    );
    let path: PathBuf = directory.join("unbound.conf");
    fs::write(&path, text).unwrap();
    let peer = Peer::start("unbound", Command::new("unbound").args(["-d", "-p", "-c"]).arg(&path));
    peer.wait_for("start of service");
    peer
}

/// PowerDNS Recursor on address 4 with the zone as its policy, signed with the key. It hears no NOTIFY for such zones
/// and looks every second instead.
pub(crate) fn powerdns(network: &Network, directory: &Path, zone: &str, key: &str) -> Peer {
    let directory = directory.join("powerdns");
    fs::create_dir_all(&directory).unwrap();
    let mut quoted = key.split('"').skip(1).step_by(2);
    let (name, secret) = (quoted.next().unwrap(), quoted.next().unwrap());
    let policy = format!(
        "rpzPrimary({{\"{}\"}}, \"{zone}\", {{tsigname=\"{name}\", tsigalgo=\"hmac-sha256\", tsigsecret=\"{secret}\", \
         refresh=1}})\n",
        network.address(1)
    );
    fs::write(directory.join("policy.lua"), policy).unwrap();
    let shown = directory.display();
    let text = format!(
        "local-address={}\nlua-config-file={shown}/policy.lua\nsocket-dir={shown}\nforward-zones=test={}\ndnssec=off\n\
         security-poll-suffix=\nhint-file=no\nthreads=1\ndisable-packetcache=yes\n",
        network.address(4),
        network.address(9)
    );
    fs::write(directory.join("recursor.conf"), text).unwrap();
    let mut command = Command::new("pdns_recursor");
    command.arg(format!("--config-dir={shown}")).arg("--daemon=no");
    Peer::start("pdns-recursor", &mut command)
}
