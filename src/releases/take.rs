//! Brings a release into force: from its changes where they are there, from its whole list otherwise.

use std::io::Read;
use std::sync::Arc;

use signed_list::list::Delta;
use signed_list::release::{Manifest, shard_name};

use super::current::{Current, write_list};
use super::follow::Follower;
use super::sealed::Epoch;
use super::store::Held;
use super::trouble::Trouble;
use super::verify::Verified;

impl Follower {
    /// The release of a manifest, ready to be put in force. `whole` is for changes that did not fit.
    pub(super) async fn make(
        &self,
        verified: &Verified,
        manifest: Manifest,
        old: Option<&Current>,
        whole: bool,
    ) -> Result<Current, Trouble> {
        let epoch = match (manifest.epoch, old.and_then(|old| old.epoch.clone())) {
            (Some(number), Some(epoch)) if epoch.number == number => Some(epoch),
            (Some(number), _) => Some(Arc::new(self.epoch(verified, number, manifest.shards).await?)),
            (None, _) => None,
        };
        let follows = |old: &&Current| !whole && old.held.manifest.epoch == manifest.epoch;
        let steps = old.filter(follows).and_then(|old| Some((old, manifest.steps_from(old.serial())?)));
        if let Some((old, steps)) = steps {
            match self.changed(verified, &manifest, old, &steps).await {
                Err(why) if !matches!(why, Trouble::Disk { .. }) => {
                    // Gone, or signed and not fitting all the same: the whole list is there for that.
                    let list = &self.source.name;
                    tracing::warn!(list, "changes to the list are of no use ({why}); the whole list is fetched");
                }
                made => return made,
            }
        }
        self.whole(verified, manifest, old, epoch).await
    }

    /// Fetches the own envelope of an epoch.
    async fn epoch(&self, verified: &Verified, number: u64, shards: u32) -> Result<Epoch, Trouble> {
        let identity = self.identity.as_ref().ok_or(Trouble::NoIdentity)?;
        let shard = verified.target(&shard_name(number, &identity.resolver(), shards)).await?;
        let envelope = identity.find(&shard, number)?;
        let epoch = identity.open(&envelope)?;
        if epoch.number != number {
            return Err(Trouble::Manifest { name: "envelope".into(), why: "it is of another epoch".into() });
        }
        let place = self.store.envelope(number);
        self.store.write(&place, envelope.as_bytes()).map_err(|error| Trouble::disk(&place, error))?;
        Ok(epoch)
    }

    /// The release from its changes to what is in force.
    async fn changed(
        &self,
        verified: &Verified,
        manifest: &Manifest,
        old: &Current,
        steps: &[(u64, u64)],
    ) -> Result<Current, Trouble> {
        let mut delta = old.change().cloned();
        let mut held = Held { manifest: manifest.clone(), ..old.held.clone() };
        for step in steps {
            let name = self.source.class.delta(step.0, step.1);
            let mut bytes = verified.target(&name).await?.to_vec();
            if let Some(epoch) = &old.epoch {
                let mut opened = Vec::new();
                epoch.payload(&bytes, &name)?.read_to_end(&mut opened).map_err(|error| closed(&name, &error))?;
                bytes = opened;
            }
            delta = Some(then(delta, &bytes)?);
            let place = self.store.delta(*step);
            self.store.write(&place, &bytes).map_err(|error| Trouble::disk(&place, error))?;
            held.deltas.push(*step);
        }
        old.with(held, delta.ok_or(Trouble::Fault)?)
    }

    /// The release from its whole list.
    async fn whole(
        &self,
        verified: &Verified,
        manifest: Manifest,
        old: Option<&Current>,
        epoch: Option<Arc<Epoch>>,
    ) -> Result<Current, Trouble> {
        let name = self.source.class.payload(manifest.serial);
        let bytes = verified.target(&name).await?;
        let serial = manifest.serial;
        let list = match &epoch {
            Some(epoch) => {
                let opened = epoch.payload(&bytes, &name)?.take(manifest.length.saturating_add(1));
                write_list(&self.store, &manifest, Some(epoch.digest_key.clone()), opened)?
            }
            None => write_list(&self.store, &manifest, None, &bytes[..])?,
        };
        drop(bytes);
        let found = (list.len() as u64, list.as_bytes().len() as u64, list.serial());
        if found != (manifest.entries, manifest.length, serial) {
            let why = format!(
                "the list has {} names in {} octets and serial {}, which is not what the manifest says",
                found.0, found.1, found.2
            );
            return Err(Trouble::Manifest { name, why });
        }
        // The same serial once more is what replaces a damaged one.
        let before = old.filter(|old| old.held.list != serial).map(Current::before);
        Current::new(Held { list: serial, deltas: Vec::new(), before, manifest }, epoch, list, None)
    }
}

fn closed(name: &str, error: &std::io::Error) -> Trouble {
    super::sealed::SealedError::Closed { what: name.into(), why: error.to_string() }.into()
}

/// One change for those so far and the next one.
pub(super) fn then(delta: Option<Delta>, bytes: &[u8]) -> Result<Delta, Trouble> {
    let next = Delta::read(bytes)?;
    Ok(match delta {
        Some(delta) => delta.then(&next)?,
        None => next,
    })
}
