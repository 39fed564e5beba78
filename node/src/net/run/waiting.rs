//! Who waits for what from the Swarm.
//!
//! Invariant: every entry leaves on its last event, when its caller is gone, or at wind-down.

use std::collections::HashMap;

use libp2p::{Multiaddr, PeerId, request_response::OutboundRequestId, swarm::ConnectionId};
use shoal_dht::WithdrawalId;
use shoal_transfer::have;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{Acknowledged, NetError, Provider, Walk, dialling::bare};

type Reply<T> = oneshot::Sender<Result<T, NetError>>;

/// A lookup under way.
pub(super) struct Find {
    pub(super) found: mpsc::Sender<Provider>,
    pub(super) summary: oneshot::Sender<Walk>,
}

/// A question under way.
pub(super) struct Ask {
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) question: have::Request,
    pub(super) reply: Reply<have::Response>,
    /// Nobody was found at any of the addresses.
    is_tried: bool,
    is_again: bool,
}

/// Somebody who waits for a dial.
pub(super) struct Dial {
    pub(super) connection: ConnectionId,
    pub(super) peer: Option<PeerId>,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) reply: Reply<PeerId>,
}

#[derive(Default)]
pub(super) struct Waiting {
    last_id: u64,
    pub(super) dials: Vec<Dial>,
    pub(super) asks: HashMap<OutboundRequestId, Ask>,
    pub(super) finds: HashMap<u64, Find>,
    pub(super) announcements: HashMap<u64, watch::Sender<Acknowledged>>,
    pub(super) withdrawals: HashMap<WithdrawalId, oneshot::Sender<()>>,
}

impl Ask {
    pub(super) fn new(
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        question: have::Request,
        reply: Reply<have::Response>,
    ) -> Self {
        let is_tried = addresses.is_empty();
        Self { peer, addresses, question, reply, is_tried, is_again: false }
    }

    /// Whether it failed with a dial of somebody else, who knew other addresses: a question to a peer that is being
    /// dialled waits for that dial, and fails with it.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        !self.is_tried && !self.is_again && !self.reply.is_closed()
    }

    /// The same question once more.
    pub(super) fn again(self) -> Self {
        Self { is_again: true, ..self }
    }
}

impl Waiting {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The dial under way that tries a peer at all of these addresses.
    pub(super) fn dial_of(&self, peer: &PeerId, addresses: &[Multiaddr]) -> Option<ConnectionId> {
        let covers = |dial: &&Dial| {
            dial.peer == Some(*peer) && addresses.iter().all(|address| dial.addresses.contains(address))
        };
        self.dials.iter().find(covers).map(|dial| dial.connection)
    }

    /// Answers whoever dialled this connection, and whoever wanted this peer over any.
    pub(super) fn connected(&mut self, connection: ConnectionId, peer: PeerId) {
        let settled = |dial: &mut Dial| dial.connection == connection || dial.peer == Some(peer);
        for dial in self.dials.extract_if(.., settled) {
            drop(dial.reply.send(Ok(peer)));
        }
    }

    /// Answers whoever dialled this connection. Those who dial the same peer do so at addresses of their own.
    pub(super) fn dial_failed(&mut self, connection: ConnectionId, why: &str) {
        for dial in self.dials.extract_if(.., |dial| dial.connection == connection) {
            drop(dial.reply.send(Err(NetError::Unreachable(why.into()))));
        }
    }

    /// Notes that a peer was not found in these places.
    pub(super) fn tried(&mut self, peer: &PeerId, places: &[Multiaddr]) {
        for ask in self.asks.values_mut().filter(|ask| ask.peer == *peer) {
            ask.is_tried |= ask.addresses.iter().all(|address| places.contains(&bare(address)));
        }
    }

    /// Hands a provider to the caller of a lookup; `false` when nobody waits for more.
    ///
    /// A caller that lets its queue fill has more providers than it can use, so that one is dropped.
    pub(super) fn found(&mut self, id: u64, provider: Provider) -> bool {
        let Some(find) = self.finds.get(&id) else {
            return false;
        };
        if matches!(find.found.try_send(provider), Err(mpsc::error::TrySendError::Closed(_))) {
            self.finds.remove(&id);
            return false;
        }
        true
    }

    pub(super) fn walked(&mut self, id: u64, walk: Walk) {
        if let Some(find) = self.finds.remove(&id) {
            let _ = find.summary.send(walk);
        }
    }

    pub(super) fn announced(&mut self, id: u64, acknowledged: Acknowledged) {
        let Some(reply) = self.announcements.get(&id) else {
            return;
        };
        reply.send_replace(acknowledged);
        if acknowledged.last {
            self.announcements.remove(&id);
        }
    }

    pub(super) fn withdrawn(&mut self, id: WithdrawalId) {
        if let Some(done) = self.withdrawals.remove(&id) {
            let _ = done.send(());
        }
    }

    /// Forgets announcements that nobody watches any more, and tells which.
    pub(super) fn unwatched(&mut self) -> Vec<u64> {
        self.announcements.extract_if(|_, reply| reply.is_closed()).map(|(id, _)| id).collect()
    }

    /// Forgets what nobody waits for any more; returns the lookups to stop.
    pub(super) fn abandoned(&mut self) -> Vec<u64> {
        self.withdrawals.retain(|_, done| !done.is_closed());
        self.asks.retain(|_, ask| !ask.reply.is_closed());
        self.dials.retain(|dial| !dial.reply.is_closed());
        self.finds.extract_if(|_, find| find.found.is_closed()).map(|(id, _)| id).collect()
    }
}
