//! Upstream answers in memory, bounded in octets.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use quick_cache::sync::{Cache as Store, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use crate::entry::{Entry, kind_of};
use crate::query::Query;

/// The answer cache: sharded, S3-FIFO eviction, no lock is held while an
/// answer is copied.
pub struct Cache {
    store: Option<Store<u64, Arc<Entry>, Octets, Ready>>,
    /// Seeded per process: nobody outside can build names that collide.
    hash: foldhash::quality::RandomState,
}

#[derive(Clone)]
struct Octets;

impl Weighter<u64, Arc<Entry>> for Octets {
    fn weight(&self, _: &u64, entry: &Arc<Entry>) -> u64 {
        entry.weight()
    }
}

impl Cache {
    /// A cache of at most `size` octets; 0 keeps nothing.
    pub fn new(size: u64) -> Self {
        let store = (size > 0).then(|| {
            let options = OptionsBuilder::new()
                .weight_capacity(size)
                // Answers weigh some 400 octets with all that belongs to them.
                .estimated_items_capacity((size / 400) as usize)
                .build()
                .expect("a capacity above zero is all that this asks for");
            Store::with_options(options, Octets, Ready, DefaultLifecycle::default())
        });
        Cache { store, hash: foldhash::quality::RandomState::default() }
    }

    /// The key of a question: name, type and [`kind_of`] it, hashed.
    #[inline]
    pub fn key(&self, query: &Query) -> u64 {
        let mut hasher = self.hash.build_hasher();
        hasher.write(query.name.as_wire());
        hasher.write_u32(u32::from(query.qtype) << 8 | u32::from(kind_of(query)));
        hasher.finish()
    }

    /// The answer to this question, fresh or not.
    #[inline]
    pub fn get(&self, key: u64, query: &Query) -> Option<Arc<Entry>> {
        self.store.as_ref()?.get(&key).filter(|entry| entry.answers(query))
    }

    /// Keeps an answer.
    pub fn insert(&self, key: u64, entry: Arc<Entry>) {
        if let Some(store) = &self.store {
            store.insert(key, entry);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        if let Some(store) = &self.store {
            store.clear();
        }
    }

    /// Changes the bound. A cache that was switched off stays off until the
    /// next start, and the other way round.
    pub fn resize(&self, size: u64) {
        if let Some(store) = &self.store {
            store.set_capacity(size.max(1));
        }
    }

    /// Entries and octets in use.
    pub fn size(&self) -> (u64, u64) {
        self.store.as_ref().map_or((0, 0), |store| (store.len() as u64, store.weight()))
    }
}

/// Keys are hashes already: this passes them through.
#[derive(Clone)]
struct Ready;

impl BuildHasher for Ready {
    type Hasher = ReadyHasher;
    fn build_hasher(&self) -> ReadyHasher {
        ReadyHasher(0)
    }
}

struct ReadyHasher(u64);

impl Hasher for ReadyHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64")
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
