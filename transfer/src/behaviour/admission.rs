//! Which inbound substreams are served: a permit per transfer, counted per peer and in total.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;

use crate::Limits;

/// Hands out permits to serve. Shared by the handlers of every connection.
#[derive(Clone, Debug)]
pub(super) struct Admission(Arc<Shared>);

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

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        Admission(Arc::new(Shared {
            per_peer: limits.per_peer_transfers,
            total: limits.total_transfers,
            held: Mutex::default(),
        }))
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
        Some(Permit { admission: self.clone(), peer })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to serve one transfer, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Admission,
    peer: PeerId,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.admission.held();
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
        let limits = Limits { per_peer_transfers: 2, total_transfers: 3, ..Limits::default() };
        let admission = Admission::new(&limits);
        let (a, b) = (PeerId::random(), PeerId::random());
        let first = admission.admit(a).unwrap();
        let second = admission.admit(a).unwrap();
        assert!(admission.admit(a).is_none(), "per peer");
        let third = admission.admit(b).unwrap();
        assert!(admission.admit(b).is_none(), "in total");
        drop(first);
        let again = admission.admit(b).unwrap();
        drop((second, third, again));
        let held = admission.held();
        assert_eq!(held.total, 0);
        assert!(held.by_peer.is_empty());
    }
}
