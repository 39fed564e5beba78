//! Which inbound substreams and requests are taken: counted per peer and in total.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;

use crate::Limits;
use crate::serve::Spread;

/// What one node takes from its peers. Shared by the handlers of every connection.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// This node.
    pub(super) local: PeerId,
    /// Streams, whether a request is on them or not.
    pub(super) streams: Quota,
    /// Requests being served.
    pub(super) transfers: Quota,
    /// What was sent of each blob.
    pub(super) spread: Spread,
}

impl Admission {
    pub(super) fn new(local: PeerId, limits: &Limits) -> Self {
        Admission {
            local,
            streams: Quota::new(limits.per_peer_inbound, limits.total_inbound),
            transfers: Quota::new(limits.per_peer_transfers, limits.total_transfers),
            spread: Spread::default(),
        }
    }
}

/// Hands out permits to serve one peer.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(super) transfers: Quota,
    pub(super) peer: PeerId,
    /// This node, as its peers know it.
    pub(crate) local: PeerId,
    pub(crate) spread: Spread,
}

impl Gate {
    /// Takes the permit to serve one request, unless this peer or everybody together holds as many as allowed.
    pub(crate) fn admit(&self) -> Option<Permit> {
        self.transfers.admit(self.peer)
    }
}

/// A number of permits, of which no peer may hold more than its share.
#[derive(Clone, Debug)]
pub(super) struct Quota(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    per_peer: usize,
    total: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_peer: HashMap<PeerId, usize>,
}

impl Quota {
    fn new(per_peer: usize, total: usize) -> Self {
        Quota(Arc::new(Shared { per_peer, total, held: Mutex::default() }))
    }

    /// Takes a permit, unless this peer or everybody together holds as many as allowed.
    pub(super) fn admit(&self, peer: PeerId) -> Option<Permit> {
        let mut held = self.held();
        let of_peer = held.by_peer.get(&peer).copied().unwrap_or(0);
        if held.total >= self.0.total || of_peer >= self.0.per_peer {
            return None;
        }
        held.total += 1;
        held.by_peer.insert(peer, of_peer + 1);
        drop(held);
        Some(Permit { quota: self.clone(), peer })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One permit, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    quota: Quota,
    peer: PeerId,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.quota.held();
        held.total = held.total.saturating_sub(1);
        if let Some(of_peer) = held.by_peer.get_mut(&self.peer) {
            *of_peer = of_peer.saturating_sub(1);
            if *of_peer == 0 {
                held.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_end_per_peer_and_in_total_and_leave_nothing() {
        let quota = Quota::new(2, 3);
        let (a, b) = (PeerId::random(), PeerId::random());
        let first = quota.admit(a).unwrap();
        let second = quota.admit(a).unwrap();
        assert!(quota.admit(a).is_none(), "per peer");
        let third = quota.admit(b).unwrap();
        assert!(quota.admit(b).is_none(), "in total");
        drop(first);
        let again = quota.admit(b).unwrap();
        drop((second, third, again));
        let held = quota.held();
        assert_eq!(held.total, 0);
        assert!(held.by_peer.is_empty());
    }
}
