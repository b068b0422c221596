//! What a release says about itself, as a resolver reads it when the signatures are right.

use std::sync::LazyLock;

use friendly_resolver::config;
use friendly_resolver::releases::{Epoch, Identity};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signed_list::release::{Class, Envelope, Manifest, Receipt, SPEC, Shard, shard_name};

/// Stands in the corpus for the name of the resolver, whose key is another one in every run.
const RESOLVER: &[u8] = b"0000000000000000";
const EPOCH: u64 = 4;

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("friendly-fuzz-{}.identity", std::process::id()));
    drop(std::fs::remove_file(&path));
    drop(Identity::make(&path).expect("a key can be made"));
    let identity = Identity::load(&config::Identity::File(path.clone())).expect("it can be read");
    drop(std::fs::remove_file(path));
    identity
});

/// One octet that says what it is, and the octets of it.
pub fn release(input: &[u8]) {
    let Some((&what, text)) = input.split_first() else { return };
    match what % 6 {
        0 => manifest(text),
        1 => shard(text),
        2 => envelope(&encrypted(text)),
        3 => envelope(text),
        4 => payload(text),
        _ => drop(back_and_forth::<Receipt>(text)),
    }
}

fn manifest(text: &[u8]) {
    let Some(manifest) = back_and_forth::<Manifest>(text) else { return };
    for class in Class::ALL {
        assert_eq!(Class::of_word(class.word()), Some(class));
    }
    let name = shard_name(manifest.epoch.unwrap_or(0), &IDENTITY.resolver(), manifest.shards);
    let number = name.rsplit_once('-').and_then(|(_, rest)| rest.strip_suffix(".json"));
    let number: u64 = number.and_then(|number| number.parse().ok()).expect("a number");
    assert!(number < u64::from(manifest.shards.max(1)));
    for held in manifest.deltas.iter().copied().chain([0, manifest.serial]).take(64) {
        let Some(steps) = manifest.steps_from(held) else { continue };
        assert!(steps.iter().all(|(from, to)| from < to) && steps.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!((steps[0].0, steps[steps.len() - 1].1), (held, manifest.serial));
    }
}

fn shard(text: &[u8]) {
    let text = named(text);
    if let Ok(found) = IDENTITY.find(&text, EPOCH) {
        let shard: Shard = back_and_forth(&text).expect("it was read before");
        assert_eq!((shard.spec, shard.epoch), (SPEC, EPOCH));
        assert_eq!(shard.envelopes.get(&IDENTITY.resolver()), Some(&found));
        envelope(found.as_bytes());
    }
}

/// The envelope of this resolver, closed.
fn envelope(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    match IDENTITY.open(text) {
        Ok(epoch) => assert!(!opens(&epoch, b"no list")),
        // What is wrong is told, and nothing of what is in it: there are keys.
        Err(error) => assert!(!error.to_string().contains("AGE-SECRET-KEY")),
    }
}

/// A payload of an epoch, closed.
fn payload(bytes: &[u8]) {
    static EPOCH_OPEN: LazyLock<Epoch> = LazyLock::new(|| {
        use age::secrecy::ExposeSecret;
        let key = age::x25519::Identity::generate().to_string();
        let (digest_key, payload_key, watermark) = ([7; 16], key.expose_secret().into(), Vec::new());
        let envelope = Envelope { spec: SPEC, epoch: EPOCH, digest_key, payload_key, watermark };
        let closed = encrypted(&serde_json::to_vec(&envelope).expect("plain data"));
        IDENTITY.open(std::str::from_utf8(&closed).expect("armoured")).expect("its own envelope")
    });
    assert!(!opens(&EPOCH_OPEN, bytes), "nobody guesses a key");
}

/// Whether all of a payload opens.
fn opens(epoch: &Epoch, sealed: &[u8]) -> bool {
    epoch.payload(sealed, "it").is_ok_and(|mut reader| std::io::copy(&mut reader, &mut std::io::sink()).is_ok())
}

fn encrypted(text: &[u8]) -> Vec<u8> {
    let recipient: age::x25519::Recipient = IDENTITY.recipient().parse().expect("its own recipient");
    age::encrypt_and_armor(&recipient, text).expect("memory can be written").into_bytes()
}

/// The octets with the name of this resolver in them.
fn named(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    if let Some(at) = text.windows(RESOLVER.len()).position(|window| window == RESOLVER) {
        text[at..at + RESOLVER.len()].copy_from_slice(IDENTITY.resolver().as_bytes());
    }
    text
}

/// What can be read can be written, and read again as the same.
fn back_and_forth<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(text).ok()?;
    let again: T = serde_json::from_slice(&serde_json::to_vec(&read).expect("plain data")).expect("our own text");
    assert_eq!(again, read);
    Some(read)
}
