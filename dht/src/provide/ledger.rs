//! Our own keys: who was told of which, and when they must be told again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use shoal_content::ProviderKey;

use super::{Answer, Haste, JobId, RETRY};
use crate::position::{Node, Position};
use crate::wire::Sealed;

/// Nodes remembered as holders of a batch, over all its renewals. The oldest are forgotten first: their
/// records expire by themselves.
pub(super) const MAX_HOLDERS: usize = 64;

/// The longest time between two tellings. However long a record lives, newcomers close to its key are to hold it too.
const RENEWAL: Duration = Duration::from_secs(12 * 60 * 60);

/// When to tell again what lives for `ttl`: with time left for another try.
fn renew_after(ttl: Duration) -> Duration {
    (ttl / 2).min(RENEWAL)
}

/// A part of `range` that depends on the place of a batch alone.
fn stagger(range: Duration, place: &Position) -> Duration {
    let [first, second, ..] = *place.as_bytes();
    range * u32::from(u16::from_be_bytes([first, second])) / (1 << u16::BITS)
}

/// The list of our own keys, which no store of records can shorten.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    own: HashMap<ProviderKey, Option<BatchId>>,
    pub(super) batches: BTreeMap<BatchId, Batch>,
    /// Peers in the routing table.
    pub(super) peers: usize,
    /// When a message was acknowledged last.
    pub(super) last_told: Option<Instant>,
    last_id: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BatchId(u64);

/// Keys that go to the same nodes in one message.
#[derive(Debug)]
pub(super) struct Batch {
    job: JobId,
    keys: BTreeSet<ProviderKey>,
    /// None withdraws.
    ttl: Option<Duration>,
    /// Who was sent this and may hold it; the latest last.
    holders: Vec<Node>,
    /// The message, once it was signed; none again when the keys change.
    sealed: Option<Arc<Sealed>>,
    /// Messages not yet answered, and how many were answered well.
    open: usize,
    taken: usize,
    renew: Instant,
    /// Peers in the routing table when it was opened.
    peers_then: usize,
}

/// The content of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel<'a> {
    pub(crate) keys: &'a BTreeSet<ProviderKey>,
    /// None withdraws.
    pub(crate) ttl: Option<Duration>,
}

impl Ledger {
    pub(super) fn own(&mut self, keys: &[ProviderKey]) {
        for key in keys {
            self.own.entry(*key).or_default();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether some node has acknowledged a key, for at least `ttl`.
    pub(super) fn is_told(&self, key: &ProviderKey, ttl: Duration) -> bool {
        let batch = self.own.get(key).copied().flatten().and_then(|id| self.batches.get(&id));
        batch.is_some_and(|batch| batch.taken > 0 && batch.ttl.is_some_and(|known| known >= ttl))
    }

    /// How many keys some node has acknowledged.
    pub(super) fn told(&self) -> usize {
        let told = |batch: &&Batch| batch.ttl.is_some() && batch.taken > 0;
        self.batches.values().filter(told).map(|batch| batch.keys.len()).sum()
    }

    /// Takes keys off the list. Tells which nodes may hold which of them.
    pub(super) fn disown(&mut self, keys: &[ProviderKey]) -> Vec<(BTreeSet<ProviderKey>, Vec<Node>)> {
        let mut told: BTreeMap<BatchId, BTreeSet<ProviderKey>> = BTreeMap::new();
        for key in keys {
            if let Some(Some(batch)) = self.own.remove(key) {
                told.entry(batch).or_default().insert(*key);
            }
        }
        let mut holders = Vec::new();
        for (id, keys) in told {
            if let Some(batch) = self.batches.get_mut(&id) {
                batch.remove_keys(&keys);
                holders.push((keys, batch.holders.clone()));
            }
            self.drop_if_over(id);
        }
        holders
    }

    /// Opens a batch of messages to so many nodes.
    pub(super) fn open(
        &mut self,
        job: JobId,
        keys: BTreeSet<ProviderKey>,
        ttl: Option<Duration>,
        nodes: usize,
        (haste, now): (Haste, Instant),
    ) -> BatchId {
        self.last_id += 1;
        let id = BatchId(self.last_id);
        let holders = if ttl.is_some() { self.move_keys(&keys, id) } else { Vec::new() };
        let mut wait = renew_after(ttl.unwrap_or_default());
        if haste == Haste::Urgent {
            // All that is published at one moment is not renewed at one moment.
            wait -= keys.first().map_or(Duration::ZERO, |first| stagger(wait / 2, &Position::of_key(first)));
        }
        let renew = now + wait;
        self.batches.insert(
            id,
            Batch {
                job,
                keys,
                ttl,
                holders,
                sealed: None,
                open: nodes,
                taken: 0,
                renew,
                peers_then: self.peers,
            },
        );
        id
    }

    /// The message of a batch, signed by `seal` when it is first sent. None when all was withdrawn meanwhile.
    pub(super) fn message(
        &mut self,
        id: BatchId,
        to: &Node,
        seal: impl FnOnce(&Parcel<'_>) -> Option<Arc<Sealed>>,
    ) -> Option<Arc<Sealed>> {
        let batch = self.batches.get_mut(&id).filter(|batch| !batch.keys.is_empty())?;
        if batch.sealed.is_none() {
            batch.sealed = seal(&Parcel { keys: &batch.keys, ttl: batch.ttl });
        }
        remember(&mut batch.holders, [to]);
        batch.sealed.clone()
    }

    /// Notes that a message of a batch is over for a peer. Tells the job it belonged to.
    pub(super) fn close(&mut self, id: BatchId, peer: PeerId, answer: Answer, now: Instant) -> Option<JobId> {
        let batch = self.batches.get_mut(&id)?;
        batch.open = batch.open.saturating_sub(1);
        if answer == Answer::Stored {
            batch.taken += 1;
            self.last_told = Some(now);
        }
        if answer == Answer::Unreachable {
            batch.holders.retain(|node| node.peer != peer);
        }
        if batch.open == 0 && batch.taken == 0 {
            batch.renew = now + RETRY;
        }
        let job = batch.job;
        self.drop_if_over(id);
        Some(job)
    }

    pub(super) fn renew_all(&mut self, now: Instant) {
        for batch in self.batches.values_mut() {
            batch.renew = batch.renew.min(now);
        }
    }

    /// A table twice as large as it was means that keys have other closest nodes than those that were told.
    pub(super) fn renew_outgrown(&mut self, now: Instant) {
        for batch in self.batches.values_mut() {
            if self.peers >= batch.peers_then.max(1).saturating_mul(2) {
                batch.renew = batch.renew.min(now);
            }
        }
    }

    /// Keys to tell again now, all with the same time to live.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Duration, Vec<ProviderKey>)> {
        let mut due: Option<(Duration, Vec<ProviderKey>)> = None;
        for batch in self.batches.values_mut().filter(|batch| batch.renew <= now && batch.open == 0) {
            let Some(ttl) = batch.ttl else { continue };
            let (common_ttl, keys) = due.get_or_insert_with(|| (ttl, Vec::new()));
            if *common_ttl == ttl {
                batch.renew = now + ttl;
                keys.extend(&batch.keys);
            }
        }
        due
    }

    /// Moves keys to a new batch. Tells who held them so far, who must hear of a withdrawal too.
    fn move_keys(&mut self, keys: &BTreeSet<ProviderKey>, to: BatchId) -> Vec<Node> {
        let mut moved: BTreeMap<BatchId, BTreeSet<ProviderKey>> = BTreeMap::new();
        for key in keys {
            if let Some(old) = self.own.insert(*key, Some(to)).flatten() {
                moved.entry(old).or_default().insert(*key);
            }
        }
        let mut holders = Vec::new();
        for (old, keys) in moved {
            if let Some(batch) = self.batches.get_mut(&old) {
                batch.remove_keys(&keys);
                remember(&mut holders, &batch.holders);
            }
            self.drop_if_over(old);
        }
        holders
    }

    /// Forgets a batch that nobody will ask about: answered by all, and a withdrawal or without keys.
    fn drop_if_over(&mut self, id: BatchId) {
        let over = |batch: &Batch| batch.open == 0 && (batch.keys.is_empty() || batch.ttl.is_none());
        if self.batches.get(&id).is_some_and(over) {
            self.batches.remove(&id);
        }
    }
}

impl Batch {
    fn remove_keys(&mut self, keys: &BTreeSet<ProviderKey>) {
        self.keys.retain(|key| !keys.contains(key));
        self.sealed = None;
    }
}

/// Adds nodes to a list of holders, the latest last and each once.
pub(super) fn remember<'a>(holders: &mut Vec<Node>, nodes: impl IntoIterator<Item = &'a Node>) {
    for node in nodes {
        holders.retain(|known| known.peer != node.peer);
        holders.push(node.clone());
    }
    holders.drain(..holders.len().saturating_sub(MAX_HOLDERS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_life_is_renewed_twice_a_day_all_the_same() {
        let hour = Duration::from_secs(3600);
        assert_eq!(renew_after(hour), hour / 2);
        assert_eq!(renew_after(24 * hour), 12 * hour);
        assert_eq!(renew_after(48 * hour), 12 * hour);
    }
}
