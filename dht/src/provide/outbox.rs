//! What is to be sent to which peer, one message per peer at a time.
//!
//! The order per peer matters: a withdrawal that overtook its announcement would be lost.

use std::collections::{HashMap, VecDeque};

use libp2p::{Multiaddr, PeerId};

use super::own::BatchId;
use crate::position::Node;

/// Messages on their way at once. Each may have to dial; more would only compete for the same uplink.
const MAX_SENDING: usize = 32;

/// Messages on their way beyond which nothing is sent that nobody waits for: keeping a hundred thousand keys
/// announced must not be felt by whoever uses the same line.
const UNHURRIED: usize = 8;

/// How often one message is tried. A connection that both sides open at once may close under a message;
/// a peer that fails twice is left to the next renewal.
const MAX_TRIES: u8 = 2;

/// How often one message is put off because this node dials too many others. Each time is half a second at least, so
/// this is longer than idle connections live.
const MAX_PUT_OFF: u8 = 40;

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: HashMap<PeerId, Queue>,
    /// Peers for whom something may be sent, in turn; first those for whom it is urgent. A peer may be there more
    /// than once, or in vain.
    urgent: VecDeque<PeerId>,
    ready: VecDeque<PeerId>,
    sending: usize,
    /// Messages that wait.
    waiting: usize,
    /// Messages that were sent so far.
    sent: u64,
}

#[derive(Debug, Default)]
struct Queue {
    addresses: Vec<Multiaddr>,
    sending: Option<Errand>,
    /// The urgent ones first.
    waiting: VecDeque<Errand>,
}

#[derive(Clone, Copy, Debug)]
struct Errand {
    batch: BatchId,
    haste: Haste,
    tries: u8,
    put_off: u8,
}

/// Whether somebody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Haste {
    Urgent,
    Unhurried,
}

impl Outbox {
    pub(crate) fn push(&mut self, to: &Node, batch: BatchId, haste: Haste) {
        let queue = self.queues.entry(to.peer).or_default();
        if !to.addresses.is_empty() {
            queue.addresses.clone_from(&to.addresses);
        }
        let before = queue.waiting.partition_point(|errand| errand.haste <= haste);
        queue.waiting.insert(before, Errand { batch, haste, tries: 0, put_off: 0 });
        self.waiting += 1;
        self.make_ready(to.peer);
    }

    /// How many messages were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// How many messages are on their way or wait.
    pub(crate) fn len(&self) -> usize {
        self.sending + self.waiting
    }

    /// The next message to send, if one may be sent now to whom `can_reach` says that it can be.
    pub(crate) fn next(&mut self, can_reach: impl Fn(&PeerId) -> bool) -> Option<(Node, BatchId)> {
        let first = |peers: &mut VecDeque<PeerId>| {
            let at = peers.iter().position(&can_reach)?;
            peers.remove(at)
        };
        loop {
            let urgent = if self.sending < MAX_SENDING { first(&mut self.urgent) } else { None };
            let unhurried = || if self.sending < UNHURRIED { first(&mut self.ready) } else { None };
            let peer = urgent.or_else(unhurried)?;
            let Some(queue) = self.queues.get_mut(&peer).filter(|queue| queue.sending.is_none()) else {
                continue;
            };
            let Some(errand) = queue.waiting.pop_front() else {
                continue;
            };
            queue.sending = Some(Errand { tries: errand.tries + 1, ..errand });
            self.sending += 1;
            self.sent += 1;
            self.waiting -= 1;
            return Some((Node { peer, addresses: queue.addresses.clone() }, errand.batch));
        }
    }

    fn make_ready(&mut self, peer: PeerId) {
        let Some(queue) = self.queues.get(&peer).filter(|queue| queue.sending.is_none()) else { return };
        match queue.waiting.front().map(|errand| errand.haste) {
            Some(Haste::Urgent) => self.urgent.push_back(peer),
            Some(Haste::Unhurried) => self.ready.push_back(peer),
            None => {}
        }
    }

    /// The message on its way to `peer` was answered, or never will be.
    pub(crate) fn finish(&mut self, peer: &PeerId) -> Option<BatchId> {
        let queue = self.queues.get_mut(peer)?;
        let done = queue.sending.take()?;
        self.sending -= 1;
        if queue.waiting.is_empty() {
            self.queues.remove(peer);
        }
        self.make_ready(*peer);
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
        self.waiting += 1;
        self.make_ready(*peer);
        true
    }

    /// The message on its way to `peer` was not sent: true when it will be.
    pub(crate) fn postpone(&mut self, peer: &PeerId) -> bool {
        let Some(errand) = self.queues.get_mut(peer).and_then(|queue| queue.sending.as_mut()) else {
            return false;
        };
        if errand.put_off >= MAX_PUT_OFF {
            return false;
        }
        errand.put_off += 1;
        errand.tries -= 1;
        self.sent -= 1;
        self.retry(peer)
    }

    /// Gives up on a peer: all that was on its way or waiting for it.
    pub(crate) fn give_up(&mut self, peer: &PeerId) -> Vec<BatchId> {
        let Some(queue) = self.queues.remove(peer) else {
            return Vec::new();
        };
        self.urgent.retain(|ready| ready != peer);
        self.ready.retain(|ready| ready != peer);
        self.sending -= usize::from(queue.sending.is_some());
        self.waiting -= queue.waiting.len();
        queue.sending.into_iter().chain(queue.waiting).map(|errand| errand.batch).collect()
    }
}
