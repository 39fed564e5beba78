//! What of the records is to be on disk, so that they outlive a restart.
//!
//! Invariant: a record that is neither unsaved nor gone has the row on disk that it was last told with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;

use super::{MAX_AGE, Offer, Record, RecordStore, Sender};

/// A record as it is on disk. Times are ages and remaining lives, for an [`Instant`] means nothing to a later
/// process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) key: ProviderKey,
    pub(crate) provider: PeerId,
    pub(crate) sender: Sender,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) sequence: u64,
    /// Since it was received.
    pub(crate) age: Duration,
    /// Until it expires; zero when it was withdrawn and only its sequence number is remembered.
    pub(crate) life: Duration,
    /// Until that is forgotten too.
    pub(crate) memory: Duration,
}

/// What to do on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeptChange {
    Put(Kept),
    Remove(ProviderKey, PeerId),
}

impl RecordStore {
    /// Up to `max` changes since they were last taken. Whoever takes them is trusted to write them.
    pub(crate) fn take_changes(&mut self, max: usize, now: Instant) -> Vec<KeptChange> {
        let mut changes = Vec::new();
        while changes.len() < max
            && let Some((key, provider)) = self.gone.pop_first()
        {
            changes.push(KeptChange::Remove(key, provider));
        }
        while changes.len() < max
            && let Some((key, provider)) = self.unsaved.pop_first()
        {
            let records = self.by_key.get_mut(&key).into_iter().flatten();
            for record in records.filter(|record| record.offer.provider == provider) {
                record.on_disk = true;
                changes.push(KeptChange::Put(record.kept(key, now)));
            }
        }
        changes
    }

    /// Takes back a record that an earlier process kept. False when it is of no use, and need not be kept.
    ///
    /// It pushes nobody out: what came since the start is newer.
    pub(crate) fn restore(&mut self, kept: Kept, now: Instant) -> bool {
        let Kept { key, provider, sender, addresses, sequence, age, life, memory } = kept;
        let pair = (key, provider);
        if let Some(held) = self.find_mut(&key, &provider) {
            held.on_disk = true;
            if held.offer.sequence >= sequence {
                // Its own row will take the place of this one.
                return true;
            }
            // Somebody replayed an old announcement while this one had not been read yet.
            self.remove(&key, &provider);
        }
        let is_full = self.by_key.get(&key).is_some_and(|records| records.len() >= self.max_providers)
            || self.len >= self.max_records;
        if memory.is_zero() || is_full {
            return false;
        }
        let received = now.checked_sub(age.min(MAX_AGE)).unwrap_or(now);
        let offer = Offer { provider, sender, addresses, sequence, received, ttl: Some(life) };
        let expires = now + life.min(MAX_AGE);
        let forget = (now + memory.min(MAX_AGE)).max(expires);
        self.gone.remove(&pair);
        self.place(key, Record { offer: Arc::new(offer), expires, forget, on_disk: true });
        true
    }

    /// Notes that records of an earlier process will come.
    pub(crate) fn expect_restored(&mut self) {
        self.is_loaded = false;
    }

    /// Notes that everything on disk has been read.
    pub(crate) fn loaded(&mut self) {
        self.is_loaded = true;
    }

    /// Whether everything on disk has been read.
    pub(crate) fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Notes that what was on disk is lost, so that everything is told again.
    pub(crate) fn unkept(&mut self) {
        self.gone.clear();
        for (key, records) in &mut self.by_key {
            for record in records {
                record.on_disk = false;
                self.unsaved.insert((*key, record.offer.provider));
            }
        }
    }

    fn find_mut(&mut self, key: &ProviderKey, provider: &PeerId) -> Option<&mut Record> {
        self.by_key.get_mut(key)?.iter_mut().find(|record| record.offer.provider == *provider)
    }
}

impl Record {
    fn kept(&self, key: ProviderKey, now: Instant) -> Kept {
        let Offer { provider, sender, addresses, sequence, received, .. } = &*self.offer;
        Kept {
            key,
            provider: *provider,
            sender: *sender,
            addresses: addresses.clone(),
            sequence: *sequence,
            age: now.saturating_duration_since(*received),
            life: self.expires.saturating_duration_since(now),
            memory: self.forget.saturating_duration_since(now),
        }
    }
}

#[cfg(test)]
mod tests;
