//! What is to be sent to which peer, one message per peer at a time.
//!
//! The order per peer matters: a withdrawal that overtook its announcement would be lost.

use std::collections::{HashMap, VecDeque};

use libp2p::{Multiaddr, PeerId};

use super::ledger::BatchId;
use crate::position::Node;

/// Messages on their way at once. Each may have to dial; more would only compete for the same uplink.
const MAX_SENDING: usize = 32;

/// How often one message is tried. A connection that both sides open at once may close under a message;
/// a peer that fails twice is left to the next renewal.
const MAX_TRIES: u8 = 2;

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: HashMap<PeerId, Queue>,
    /// Peers that have something to receive and nothing on its way, in turn.
    ready: VecDeque<PeerId>,
    sending: usize,
}

#[derive(Debug, Default)]
struct Queue {
    addresses: Vec<Multiaddr>,
    sending: Option<Errand>,
    waiting: VecDeque<Errand>,
}

#[derive(Clone, Copy, Debug)]
struct Errand {
    batch: BatchId,
    tries: u8,
}

impl Outbox {
    pub(crate) fn push(&mut self, to: &Node, batch: BatchId) {
        let queue = self.queues.entry(to.peer).or_default();
        if !to.addresses.is_empty() {
            queue.addresses.clone_from(&to.addresses);
        }
        if queue.sending.is_none() && queue.waiting.is_empty() {
            self.ready.push_back(to.peer);
        }
        queue.waiting.push_back(Errand { batch, tries: 0 });
    }

    /// The next message to send, if one may be sent now.
    pub(crate) fn next(&mut self) -> Option<(Node, BatchId)> {
        if self.sending >= MAX_SENDING {
            return None;
        }
        loop {
            let peer = self.ready.pop_front()?;
            let Some(queue) = self.queues.get_mut(&peer) else {
                continue;
            };
            let Some(errand) = queue.waiting.pop_front() else {
                continue;
            };
            queue.sending = Some(Errand { tries: errand.tries + 1, ..errand });
            self.sending += 1;
            return Some((Node { peer, addresses: queue.addresses.clone() }, errand.batch));
        }
    }

    /// The message on its way to `peer` was answered, or never will be.
    pub(crate) fn finish(&mut self, peer: &PeerId) -> Option<BatchId> {
        let queue = self.queues.get_mut(peer)?;
        let done = queue.sending.take()?;
        self.sending -= 1;
        if queue.waiting.is_empty() {
            self.queues.remove(peer);
        } else {
            self.ready.push_back(*peer);
        }
        Some(done.batch)
    }

    /// The message on its way to `peer` was lost: true when it will be sent again.
    pub(crate) fn retry(&mut self, peer: &PeerId) -> bool {
        let Some(queue) = self.queues.get_mut(peer) else {
            return false;
        };
        let Some(errand) = queue.sending.filter(|errand| errand.tries < MAX_TRIES) else {
            return false;
        };
        queue.sending = None;
        queue.waiting.push_front(errand);
        self.sending -= 1;
        self.ready.push_back(*peer);
        true
    }

    /// Gives up on a peer: all that was on its way or waiting for it.
    pub(crate) fn give_up(&mut self, peer: &PeerId) -> Vec<BatchId> {
        let Some(queue) = self.queues.remove(peer) else {
            return Vec::new();
        };
        self.ready.retain(|ready| ready != peer);
        self.sending -= usize::from(queue.sending.is_some());
        queue.sending.into_iter().chain(queue.waiting).map(|errand| errand.batch).collect()
    }
}
