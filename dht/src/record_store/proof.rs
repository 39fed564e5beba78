//! The signed announcements behind the records, so that they can be handed on.
//!
//! Invariant: an announcement is kept only while it is short for the records that it is behind, so that what all of
//! them take is within the limit on records.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use shoal_content::ProviderKey;

use super::{Offer, Record, RecordStore};
use crate::position::Place;
use crate::wire::Receipt;

/// Bytes of an announcement beside its keys: with five addresses they are half of that.
const MAX_OVERHEAD: usize = 512;

const KEY_LEN: usize = 32;

/// An announcement of which less than one part in so many is held is dropped: otherwise one record could keep a
/// whole message in memory, and a stranger make many such.
const LEAST_PART: usize = 4;

/// Who made an announcement, and its number.
pub(crate) type Name = (PeerId, u64);

/// All announcements.
#[derive(Debug, Default)]
pub(super) struct Proofs(HashMap<Name, Proof>);

#[derive(Debug)]
struct Proof {
    bytes: Arc<[u8]>,
    keys: usize,
    /// Records that it is behind.
    held: usize,
    /// Whether all of its records have been placed.
    is_whole: bool,
}

/// An announcement that somebody else should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handable {
    pub(crate) name: Name,
    pub(crate) bytes: Arc<[u8]>,
    /// How many of its keys are wanted.
    pub(crate) keys: usize,
    /// How far the nearest of them is.
    pub(crate) nearest: u32,
}

impl Proofs {
    fn begin(&mut self, offer: &Offer, signed: &[u8], keys: usize) {
        if offer.ttl.is_some() && signed.len() <= MAX_OVERHEAD + keys * KEY_LEN {
            let proof = || Proof { bytes: signed.into(), keys, held: 0, is_whole: false };
            self.0.entry(name(offer)).or_insert_with(proof);
        }
    }

    fn end(&mut self, name: &Name) {
        if let Some(proof) = self.0.get_mut(name) {
            proof.is_whole = true;
            self.review(name);
        }
    }

    pub(super) fn placed(&mut self, offer: &Offer) {
        if let Some(proof) = self.0.get_mut(&name(offer)) {
            proof.held += 1;
        }
    }

    pub(super) fn removed(&mut self, offer: &Offer) {
        if let Some(proof) = self.0.get_mut(&name(offer)) {
            proof.held = proof.held.saturating_sub(1);
            self.review(&name(offer));
        }
    }

    /// Drops an announcement if too little of it is held.
    fn review(&mut self, name: &Name) {
        let is_long = |proof: &Proof| proof.held == 0 || proof.held * LEAST_PART < proof.keys;
        if self.0.get(name).is_some_and(|proof| proof.is_whole && is_long(proof)) {
            self.0.remove(name);
        }
    }
}

fn name(offer: &Offer) -> Name {
    (offer.provider, offer.sequence)
}

impl RecordStore {
    /// Stores what an announcement says of some of its keys, and keeps it: `signed` is the whole of it, with so many
    /// keys.
    pub(crate) fn apply_signed<'a>(
        &mut self,
        offer: Offer,
        keys: impl IntoIterator<Item = &'a ProviderKey>,
        (signed, count): (&[u8], usize),
    ) -> Receipt {
        let name = name(&offer);
        self.proofs.begin(&offer, signed, count);
        let receipt = self.apply(offer, keys);
        self.proofs.end(&name);
        receipt
    }

    /// The announcements that live records of some keys came with, as far as this withdraws them.
    pub(crate) fn withdrawn_by(&self, offer: &Offer, keys: &BTreeSet<ProviderKey>) -> BTreeSet<Name> {
        let of_key = |key| self.find(key, &offer.provider);
        let lose =
            |record: &&Record| record.expires > offer.received && record.offer.sequence < offer.sequence;
        keys.iter().filter_map(of_key).filter(lose).map(|record| name(&record.offer)).collect()
    }

    /// The announcements behind live records that somebody wants: `wants` tells how far from it a key is, and `lacks`
    /// whether what came at some moment is new to it.
    pub(crate) fn handable(
        &self,
        wants: impl Fn(Place) -> Option<u32>,
        lacks: impl Fn(Instant) -> bool,
        now: Instant,
    ) -> Vec<Handable> {
        let mut found: HashMap<Name, Handable> = HashMap::new();
        for (apart, (key, provider)) in self.by_sender.values().flatten() {
            let Some(apart) = wants(self.position.place().at(*apart)) else { continue };
            let Some(record) = self.find(key, provider) else { continue };
            let offer = &record.offer;
            if record.expires <= now || !lacks(offer.received) {
                continue;
            }
            let Some(proof) = self.proofs.0.get(&name(offer)) else { continue };
            let handable = found.entry(name(offer)).or_insert_with(|| Handable {
                name: name(offer),
                bytes: proof.bytes.clone(),
                keys: 0,
                nearest: apart,
            });
            handable.keys += 1;
            handable.nearest = handable.nearest.min(apart);
        }
        found.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
