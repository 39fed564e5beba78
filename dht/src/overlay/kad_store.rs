//! The record store as Kademlia sees it: our own keys first, then strangers' records.

use std::borrow::Cow;
use std::iter;
use std::time::Instant;

use libp2p::kad::store::{Error, RecordStore as KadRecordStore, Result};
use libp2p::kad::{K_VALUE, ProviderRecord, Record, RecordKey};
use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;

use crate::position::Node;
use crate::provide::own::{SharedKeys, State};
use crate::record_store::RecordStore;
use crate::scope::Scope;

/// Our own keys and strangers' records. The two never compete for room.
pub struct KadStore {
    local: PeerId,
    scope: Scope,
    own: SharedKeys,
    own_addresses: Vec<Multiaddr>,
    pub(crate) records: RecordStore,
}

impl KadStore {
    pub(crate) fn new(local: PeerId, scope: Scope, own: SharedKeys, records: RecordStore) -> Self {
        Self { local, scope, own, own_addresses: Vec::new(), records }
    }

    /// Sets where we say that we are.
    pub(crate) fn set_own_addresses(&mut self, addresses: Vec<Multiaddr>) {
        self.own_addresses = addresses;
    }

    pub(crate) fn own_addresses(&self) -> &[Multiaddr] {
        &self.own_addresses
    }

    /// Up to `max` providers of a key, ourselves first and those believed to be `absent` last.
    pub(crate) fn known(
        &self,
        key: &ProviderKey,
        max: usize,
        absent: impl Fn(&PeerId) -> bool,
        now: Instant,
    ) -> Vec<Node> {
        // Without an address in this scope Kademlia would fill in all of ours, whatever their scope.
        let is_own =
            !self.own_addresses.is_empty() && self.own.lock().state(self.scope, key) != State::Foreign;
        let own = is_own.then(|| Node { peer: self.local, addresses: self.own_addresses.clone() });
        let strangers = self.records.sample(key, max, absent, now);
        let node = |(peer, addresses)| Node { peer, addresses };
        own.into_iter().chain(strangers.into_iter().map(node)).take(max).collect()
    }
}

/// Kademlia's own ways to store are refused: everything arrives as a signed announcement.
impl KadRecordStore for KadStore {
    type RecordsIter<'a> = iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = iter::Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    fn put(&mut self, _: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        iter::empty()
    }

    fn add_provider(&mut self, _: ProviderRecord) -> Result<()> {
        Err(Error::MaxProvidedKeys)
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let Ok(bytes) = <[u8; 32]>::try_from(key.as_ref()) else {
            return Vec::new();
        };
        let known = self.known(&ProviderKey::from_bytes(bytes), K_VALUE.get(), |_| false, Instant::now());
        let record = |node: Node| ProviderRecord::new(key.clone(), node.peer, node.addresses);
        known.into_iter().map(record).collect()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        iter::empty()
    }

    fn remove_provider(&mut self, _: &RecordKey, _: &PeerId) {}
}
