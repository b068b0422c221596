//! The resolver follows a real repository, made by the publisher's own library, through a web server that lies.
//!
//! | module | what it shows |
//! |---|---|
//! | `mirror` | (the web server) |
//! | `way` | from a decision to its being in force, and back; receipts, watermarks; changes and whole lists |
//! | `attacks` | U1 to U9, U12, U13, U16 of the list of attacks on signed feeds |
//! | `claims` | U10, U14, U18: what is well signed and of another form, or names what is not its own |
//! | `damage` | F17 to F25: killed, full and damaged disks, wrong clocks, a week without the server; U17 |
//! | `secure` | releases over HTTPS; secrets that systemd keeps |
//! | `operation` | reloads, commands, and that no listed name is anywhere |
//!
//! Of the attacks, U3 (recovery after fast-forward) and U9 (thresholds) are shown with the client library in
//! `blocklists/tests/release/keys.rs`, too; U10 and U18 (canonical forms, algorithms) are also tough's own tests.

mod attacks;
mod claims;
mod damage;
#[path = "../../blocklists/tests/support/forge.rs"]
mod forge;
#[path = "../../blocklists/tests/support/kill.rs"]
pub(crate) mod kill;
mod mirror;
mod operation;
#[allow(dead_code)] // each package uses its part
#[path = "../../blocklists/tests/support/world.rs"]
mod publisher;
mod secure;
mod way;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use friendly_blocklist::release::outcome::Report;
use friendly_blocklist::release::recipients::Recipient;
use signed_list::list::Scope;
use signed_list::release::Class;
use tokio::runtime::Runtime;

use self::forge::Forge;
use self::mirror::Mirror;
use super::client::{Ask, NOERROR, NXDOMAIN};
use super::liar::Liar;
use super::world::{Daemon, World, eventually};

/// Within this something has to happen, on a machine with much else to do.
const SOON: Duration = Duration::from_secs(40);

/// A publisher, its repository on a web server, and surroundings of a resolver.
struct Scene {
    world: World,
    upstream: Liar,
    mirror: Mirror,
    publisher: publisher::World,
    runtime: Runtime,
}

impl Scene {
    /// With one release of each class: `first.example` by law, `bad.example` by the operator.
    fn new(test: &str) -> Self {
        let scene = Scene::bare(test);
        scene.legal("isigurt/1", "first.example");
        scene.operator("operator/1", "bad.example");
        scene.publish();
        scene
    }

    /// Without any release, and with this resolver enrolled.
    fn bare(test: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let publisher = runtime.block_on(publisher::World::new(&format!("e2e-{test}")));
        let world = World::new();
        let mirror = Mirror::start(world.address(9), &publisher.work.public());
        let upstream = Liar::start(world.upstream(1));
        world.write("root.json", publisher.first_root());
        let scene = Scene { world, upstream, mirror, publisher, runtime };
        scene.enrol("identity");
        scene
    }

    /// Makes the secret of a resolver and enrols what the program prints.
    fn enrol(&self, file: &str) -> String {
        let path = self.path(file);
        let printed = Command::new(env!("CARGO_BIN_EXE_friendly-resolver")).arg("identity").arg(&path).output();
        let printed = String::from_utf8(printed.expect("the program runs").stdout).expect("text");
        let field = |name: &str| {
            let line = printed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{printed}"));
            line[name.len()..].trim().to_owned()
        };
        let recipient = Recipient {
            age: field("recipient"),
            receipt_key: Some(field("receipt key").parse().expect("a key")),
            note: file.into(),
            enrolled_at: self.publisher.now() / 1000,
            revoked_at: None,
        };
        let mut recipients = self.publisher.work.recipients().expect("our own work directory");
        let id = recipients.enrol(recipient).expect("a new one");
        assert_eq!(id, field("resolver"));
        self.publisher.work.keep_recipients(&recipients).expect("our own work directory");
        id
    }

    fn legal(&self, case: &str, name: &str) {
        self.runtime.block_on(self.publisher.legal(case, name));
    }

    fn operator(&self, case: &str, name: &str) {
        let listed = self.publisher.list(case, Class::Operator, "malware", name, Scope::Subtree);
        self.runtime.block_on(listed);
    }

    fn publish(&self) -> Report {
        self.runtime.block_on(self.publisher.publish())
    }

    fn serial(&self, class: Class) -> u64 {
        self.publisher.card(class).serial
    }

    /// A copy of the repository to work on, served instead of it.
    fn forge(&self, seconds: i64) -> Forge {
        let expires = (publisher::clock() / 1000).saturating_add_signed(seconds);
        let forge = Forge::of(&self.publisher.work.public(), &self.publisher.directory.join("forge"), expires);
        self.mirror.serve(&forge.directory);
        forge
    }

    fn honest(&self) {
        self.mirror.be_honest();
        self.mirror.serve(&self.publisher.work.public());
    }

    /// A file in the directory of the configuration.
    fn path(&self, name: &str) -> PathBuf {
        self.world.write("here", "").with_file_name(name)
    }

    fn state(&self, class: Class) -> PathBuf {
        self.path(class.word())
    }

    /// Follows these lists, each by the name of its class.
    fn settings(&self, classes: &[Class]) -> String {
        let list = |class: &Class| {
            let identity = if class.is_sealed() { "identity = \"identity\"\n" } else { "" };
            let (word, url) = (class.word(), self.mirror.url());
            format!(
                "[[list]]\nname = \"{word}\"\nclass = \"{word}\"\nrepository = \"{url}\"\nroot = \"root.json\"\n\
                 state = \"{word}\"\ninterval = 1\n{identity}"
            )
        };
        classes.iter().map(list).collect()
    }

    fn start(&self, classes: &[Class]) -> Daemon {
        self.world.start(&[self.upstream.address()], &self.settings(classes))
    }

    /// Starts, and waits for what is published.
    fn follow(&self, classes: &[Class]) -> Daemon {
        let daemon = self.start(classes);
        for class in classes {
            daemon.wait_for_serial(*class, self.serial(*class));
            self.wait_until_kept(&daemon, *class);
        }
        daemon
    }

    /// Waits until the disk says what is in force, which is a moment after it is.
    fn wait_until_kept(&self, daemon: &Daemon, class: Class) {
        let (place, serial) = (self.state(class).join("held.json"), daemon.serial_of(class));
        let serial = format!("\"serial\": {serial},");
        let kept = eventually(SOON, || fs::read_to_string(&place).is_ok_and(|held| held.contains(&serial)));
        assert!(kept, "no {serial} in {}\n{}", place.display(), daemon.log());
    }
}

impl Daemon {
    fn blocks(&self, name: &str) -> bool {
        let reply = self.ask(&Ask::a(name));
        // What the layer of the law says, or of the operator.
        reply.is_blocked() || reply.rcode == NXDOMAIN && reply.ede() == [15]
    }

    fn passes(&self, name: &str) -> bool {
        let reply = self.ask(&Ask::a(name));
        reply.rcode == NOERROR && reply.answer.len() == 1
    }

    /// What `/healthz` says about a followed list.
    fn followed(&self, class: Class) -> serde_json::Value {
        let health: serde_json::Value = serde_json::from_str(&self.get("/healthz").1).expect("JSON");
        let lists = health["followed"].as_array().expect("a list");
        lists.iter().find(|list| list["list"] == class.word()).cloned().unwrap_or_default()
    }

    fn serial_of(&self, class: Class) -> u64 {
        self.followed(class)["serial"].as_u64().unwrap_or(0)
    }

    fn trouble(&self, class: Class) -> String {
        self.followed(class)["problem"].as_str().unwrap_or_default().to_owned()
    }

    fn failures(&self, class: Class, reason: &str) -> u64 {
        let start =
            format!("friendly_resolver_release_failures_total{{list=\"{}\",reason=\"{reason}\"}} ", class.word());
        let (_, text) = self.get("/metrics");
        // None before a reload that adds the list.
        let count = text.lines().find_map(|line| line.strip_prefix(&start));
        count.map_or(0, |count| count.parse().expect("a number"))
    }

    fn wait_for_serial(&self, class: Class, serial: u64) {
        self.signal("HUP");
        let there = eventually(SOON, || self.serial_of(class) == serial);
        assert!(there, "{class:?} is not {serial}: {}\n{}", self.followed(class), self.log());
    }

    /// Waits until it follows without a problem.
    fn wait_for_peace(&self, class: Class) {
        self.signal("HUP");
        let well = eventually(SOON, || self.followed(class)["problem"].is_null());
        assert!(well, "{}\n{}", self.followed(class), self.log());
    }

    /// Waits until a look failed for this reason, and health says so with these words.
    fn wait_for_trouble(&self, class: Class, reason: &str, words: &str) {
        let before = self.failures(class, reason);
        self.signal("HUP");
        let told = eventually(SOON, || self.failures(class, reason) > before && self.trouble(class).contains(words));
        assert!(told, "no {reason} with {words:?}: {}\n{}", self.followed(class), self.log());
    }

    fn kill(self) {
        self.signal("KILL");
        self.end(SOON);
    }
}

/// Names of the files in a directory, sorted.
fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory of the test");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("plain")).collect();
    names.sort();
    names
}
