//! A ledger, a work directory, the people who sign, and a resolver's view; taken away at the end of a test. Tests of the
//! resolver use it, too, so it needs only the public parts of `friendly_blocklist`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use friendly_blocklist::guard::Guard;
use friendly_blocklist::ledger::Ledger;
use friendly_blocklist::ledger::event::{Event, Facts, Key, Role};
use friendly_blocklist::ledger::words::{CaseId, Label, Remark, Word};
use friendly_blocklist::person::Person;
use friendly_blocklist::release::ceremony;
use friendly_blocklist::release::client::{Client, ClientError};
use friendly_blocklist::release::draft::Wish;
use friendly_blocklist::release::epoch::{Epoch, open_envelope};
use friendly_blocklist::release::outcome::{Outcome, Report};
use friendly_blocklist::release::publish::{PublishError, Publisher};
use friendly_blocklist::release::recipients::Recipient;
use friendly_blocklist::release::repository::Holders;
use friendly_blocklist::release::settings::TEMPLATE;
use friendly_blocklist::release::stage::Stage;
use friendly_blocklist::release::store::{self, Destination};
use friendly_blocklist::release::work::{Card, Work};
use signed_list::digest::{DigestKey, Suffixes};
use signed_list::list::{List, Scope};
use signed_list::name::Name;
use signed_list::release::{Class, Manifest, Shard, shard_name};

pub(crate) const DAY: u64 = 86_400_000;
const SCHEME: &str = include_str!("../../../config/scheme/albania.toml");

pub(crate) struct World {
    pub(crate) directory: PathBuf,
    pub(crate) work: Work,
    pub(crate) ledger: Ledger,
    pub(crate) guard: Guard,
    /// Milliseconds that this world is ahead of the clock.
    pub(crate) ahead: u64,
    people: BTreeMap<&'static str, PathBuf>,
}

/// Milliseconds since 1970.
pub(crate) fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

pub(crate) fn word(text: &str) -> Word {
    Word::parse(text).unwrap()
}

pub(crate) fn case(text: &str) -> CaseId {
    CaseId::parse(text).unwrap()
}

pub(crate) fn reason() -> Remark {
    Remark::parse("for a reason").unwrap()
}

impl World {
    /// People and a ledger; no repository.
    pub(crate) async fn empty(test: &str) -> (PathBuf, BTreeMap<&'static str, PathBuf>, Ledger) {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("release-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let mut people = BTreeMap::new();
        for name in ["admin", "analyst", "ana", "besa", "cen", "op", "root1", "root2", "root3"] {
            let path = directory.join(format!("{name}.pem"));
            let person = Person::create(&path).unwrap();
            fs::write(path.with_extension("person"), person.introduction().to_string()).unwrap();
            people.insert(name, path);
        }
        let admin = Person::read(&people["admin"]).unwrap();
        let at = clock() - 10 * DAY;
        let path = directory.join("work/ledger.db");
        let ledger = Ledger::create(&path, &admin, &Label::parse("admin").unwrap(), &word("al"), at).await.unwrap();
        for (name, role) in
            [("analyst", Role::Analyst), ("ana", Role::Approver), ("besa", Role::Approver), ("op", Role::Operator)]
        {
            let person = Person::read(&people[name]).unwrap();
            add(&ledger, &person, name, role, &admin, at).await;
        }
        (directory, people, ledger)
    }

    /// A repository with all its roles, in force.
    pub(crate) async fn new(test: &str) -> World {
        let (directory, people, ledger) = World::empty(test).await;
        let work = Work::create(&directory.join("work"), Some(SCHEME), TEMPLATE).unwrap();
        let person = |name: &str| Person::read(&people[name]).unwrap();
        let holders = |names: &[&str], threshold| {
            Holders::new(names.iter().map(|name| person(name).public()).collect(), threshold).unwrap()
        };
        let classes = BTreeMap::from([
            (Class::Legal, holders(&["ana", "besa"], 2)),
            (Class::Operator, holders(&["op"], 1)),
            (Class::Venue, holders(&["op"], 1)),
        ]);
        ceremony::begin(&work, holders(&["root1", "root2"], 2), classes, clock() / 1000).unwrap();
        add(&ledger, &work.online().unwrap(), "publisher", Role::Operator, &person("admin"), clock() - 10 * DAY).await;
        let world = World { directory, work, ledger, guard: Guard::shipped(), ahead: 0, people };
        let mut report = Report::default();
        world.sign(&["root1", "root2", "ana", "besa", "op"], &mut report).await.unwrap();
        assert!(report.keys.unwrap().in_force);
        world
    }

    /// The same work directory, opened once more, for changed settings.
    pub(crate) fn reopen(&mut self) {
        self.work = Work::open(self.work.directory()).unwrap();
    }

    pub(crate) fn set(&mut self, from: &str, to: &str) {
        let path = self.work.directory().join("release.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        self.reopen();
    }

    pub(crate) fn person(&self, name: &str) -> Person {
        Person::read(&self.people[name]).unwrap()
    }

    pub(crate) fn key(&self, name: &str) -> String {
        self.people[name].display().to_string()
    }

    pub(crate) fn now(&self) -> u64 {
        clock() + self.ahead
    }

    /// Does something as the publisher.
    pub(crate) async fn publisher<T>(&self, people: &[&str], act: impl AsyncFnOnce(&Publisher<'_>) -> T) -> T {
        let lock = self.work.lock(Duration::from_secs(20)).unwrap();
        let people: Vec<Person> = people.iter().map(|name| self.person(name)).collect();
        let World { work, ledger, guard, .. } = self;
        act(&Publisher { work, lock: &lock, ledger, guard, people: &people, now: self.now() }).await
    }

    /// Publishes with these keys.
    pub(crate) async fn try_publish(&self, people: &[&str], wish: Wish) -> Result<Report, PublishError> {
        let mut report = Report::default();
        self.publisher(people, async |publisher| publisher.run(&wish, &mut report).await).await?;
        Ok(report)
    }

    pub(crate) async fn publish(&self) -> Report {
        self.publish_with(Wish::default()).await
    }

    pub(crate) async fn publish_with(&self, wish: Wish) -> Report {
        self.try_publish(&["ana", "besa", "op"], wish).await.unwrap()
    }

    /// Signs all that is staged, and settles.
    pub(crate) async fn sign(&self, people: &[&str], report: &mut Report) -> Result<(), PublishError> {
        self.publisher(people, async |publisher| {
            for name in people {
                for mut stage in Stage::all(&self.work)? {
                    let base = publisher.find_base()?;
                    match stage.sign(&self.person(name), base.as_ref()) {
                        Ok(_) | Err(friendly_blocklist::release::stage::StageError::NoHolder { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            publisher.settle(report).await
        })
        .await
    }

    /// Takes a case to the list.
    pub(crate) async fn list(&self, id: &str, class: Class, category: &str, name: &str, scope: Scope) {
        self.list_at(id, class, category, name, scope, self.now()).await;
    }

    pub(crate) async fn list_at(&self, id: &str, class: Class, category: &str, name: &str, scope: Scope, at: u64) {
        let facts = Facts {
            class,
            category: word(category),
            name: Name::parse(name).unwrap(),
            scope,
            legal_basis: Some(word("law-18-2017")),
            legal_reference: None,
            dedicated_attestation: true,
            assessed_at: at / 1000 - 3600,
            ntd_sent_at: None,
            host_country: None,
        };
        let (category, legal_basis) = (word(category), Some(word("law-18-2017")));
        let review_by = at / 1000 + 90 * 86_400;
        let analyst = self.person("analyst");
        let mut steps = vec![
            (&analyst, Event::Reported { case: case(id), facts }),
            (&analyst, Event::Assessed { case: case(id) }),
            (&analyst, Event::Classified { case: case(id), category, legal_basis, legal_reference: None }),
        ];
        let (ana, besa) = (self.person("ana"), self.person("besa"));
        steps.push((&ana, Event::Approved { case: case(id), review_by }));
        if class == Class::Legal {
            steps.push((&besa, Event::Approved { case: case(id), review_by }));
        }
        for (person, event) in steps {
            self.ledger.append(event, person, at).await.unwrap();
        }
    }

    /// A legal case for a whole domain.
    pub(crate) async fn legal(&self, id: &str, name: &str) {
        self.list(id, Class::Legal, "csam", name, Scope::Subtree).await;
    }

    /// Many operator cases at once.
    pub(crate) async fn operator(&self, cases: std::ops::Range<u32>) {
        for number in cases {
            let name = format!("operator-{number}.test");
            self.list(&format!("operator/{number}"), Class::Operator, "malware", &name, Scope::Subtree).await;
        }
    }

    pub(crate) async fn delist(&self, id: &str) {
        let event = Event::EmergencyDelisted { case: case(id), reason: reason() };
        self.ledger.append(event, &self.person("ana"), self.now()).await.unwrap();
    }

    /// Enrols a resolver.
    pub(crate) fn enrol(&self, note: &str) -> age::x25519::Identity {
        let identity = age::x25519::Identity::generate();
        let mut recipients = self.work.recipients().unwrap();
        let age = identity.to_public().to_string();
        let enrolled_at = self.now() / 1000;
        let recipient = Recipient { age, receipt_key: None, note: note.to_owned(), enrolled_at, revoked_at: None };
        recipients.enrol(recipient).unwrap();
        self.work.keep_recipients(&recipients).unwrap();
        identity
    }

    pub(crate) fn revoke(&self, identity: &age::x25519::Identity) {
        let mut recipients = self.work.recipients().unwrap();
        recipients.revoke(&identity.to_public().to_string(), self.now() / 1000).unwrap();
        self.work.keep_recipients(&recipients).unwrap();
    }

    pub(crate) fn card(&self, class: Class) -> Card {
        let serial = *self.work.serials(class).unwrap().last().expect("a release");
        self.work.card(class, serial).unwrap().unwrap()
    }

    /// Serial of the newest release that is kept, which is the one in force.
    pub(crate) fn card_of(&self, class: Class) -> Option<u64> {
        self.work.serials(class).unwrap().last().copied()
    }

    /// The publisher's own repository as a resolver sees it.
    pub(crate) async fn resolver(&self) -> Resolver {
        Resolver::of(&self.work.public(), &self.first_root()).await.unwrap()
    }

    pub(crate) fn first_root(&self) -> Vec<u8> {
        fs::read(self.work.metadata().join("1.root.json")).unwrap()
    }

    /// Copies the repository into a directory, as `publish --to` does.
    pub(crate) async fn copy_to(&self, name: &str) -> PathBuf {
        let path = self.directory.join(name);
        let destination = Destination::parse(name, &self.directory).unwrap();
        destination.copy(&self.work.public()).await.unwrap();
        path
    }
}

pub(crate) async fn add(ledger: &Ledger, person: &Person, label: &str, role: Role, admin: &Person, at: u64) {
    let person = Key::from(&person.introduction());
    let event = Event::PersonAdded { person, label: Label::parse(label).unwrap(), roles: vec![role] };
    ledger.append(event, admin, at).await.unwrap();
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What a resolver finds in a repository.
pub(crate) struct Resolver {
    pub(crate) client: Client,
}

impl Resolver {
    pub(crate) async fn of(directory: &Path, root: &[u8]) -> Result<Resolver, ClientError> {
        let store = store::reader(directory.to_str().unwrap()).unwrap();
        Ok(Resolver { client: Client::open(root, HashMap::new(), store).await? })
    }

    pub(crate) async fn manifest(&self, class: Class) -> Manifest {
        serde_json::from_slice(&self.client.target(&class.manifest()).await.unwrap()).unwrap()
    }

    /// The digest key and the payload key that a resolver finds in its envelope; `None` if it has none.
    pub(crate) async fn envelope(&self, identity: &age::x25519::Identity) -> Option<signed_list::release::Envelope> {
        let manifest = self.manifest(Class::Legal).await;
        let id = signed_list::release::resolver_id(&identity.to_public().to_string());
        let name = shard_name(manifest.epoch.unwrap(), &id, manifest.shards);
        let shard: Shard = serde_json::from_slice(&self.client.target(&name).await.unwrap()).unwrap();
        shard.envelopes.get(&id).map(|envelope| open_envelope(identity, envelope).unwrap())
    }

    /// The legal list, opened as this resolver can.
    pub(crate) async fn legal(&self, identity: &age::x25519::Identity) -> Option<List<Vec<u8>>> {
        let envelope = self.envelope(identity).await?;
        let manifest = self.manifest(Class::Legal).await;
        let sealed = self.client.target(&Class::Legal.payload(manifest.serial)).await.unwrap();
        let key: age::x25519::Identity = envelope.payload_key.parse().unwrap();
        let list = age::decrypt(&key, &sealed).unwrap();
        assert_eq!(list.len() as u64, manifest.length);
        let list = List::open(list, Some(DigestKey::new(envelope.digest_key))).unwrap();
        assert_eq!(list.hash(), manifest.hash);
        Some(list)
    }

    /// An open list.
    pub(crate) async fn open(&self, class: Class) -> List<Vec<u8>> {
        let manifest = self.manifest(class).await;
        let list = self.client.target(&class.payload(manifest.serial)).await.unwrap();
        List::open(list, None).unwrap()
    }
}

/// Whether a list covers a name.
pub(crate) fn covers(list: &List<Vec<u8>>, name: &str) -> bool {
    let mut suffixes = Suffixes::new();
    list.key().suffixes(Name::parse(name).unwrap().as_wire(), &mut suffixes);
    let cover = list.lookup(&suffixes);
    cover.name != 0
}

pub(crate) fn outcome(report: &Report, class: Class) -> &Outcome {
    report.classes.iter().find(|outcome| outcome.class == class).unwrap()
}

pub(crate) fn epoch(world: &World) -> Epoch {
    world.work.epoch(world.card(Class::Legal).epoch.unwrap()).unwrap().unwrap()
}
