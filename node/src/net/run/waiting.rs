//! Who waits for what from the Swarm.
//!
//! Invariant: every entry leaves on its last event, when its caller is gone, or at wind-down.

use std::collections::{HashMap, VecDeque};

use libp2p::{PeerId, request_response::OutboundRequestId, swarm::ConnectionId};
use shoal_transfer::have;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::{Acknowledged, NetError, Provider, Walk};

type Reply<T> = oneshot::Sender<Result<T, NetError>>;

/// A lookup under way.
pub(super) struct Find {
    pub(super) found: mpsc::Sender<Provider>,
    pub(super) summary: oneshot::Sender<Walk>,
}

struct Dial {
    peer: Option<PeerId>,
    reply: Reply<PeerId>,
}

#[derive(Default)]
pub(super) struct Waiting {
    last_id: u64,
    dials: HashMap<ConnectionId, Dial>,
    pub(super) asks: HashMap<OutboundRequestId, Reply<have::Response>>,
    pub(super) finds: HashMap<u64, Find>,
    pub(super) announcements: HashMap<u64, watch::Sender<Acknowledged>>,
    pub(super) withdrawals: VecDeque<oneshot::Sender<()>>,
}

impl Waiting {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn dial(&mut self, connection: ConnectionId, peer: Option<PeerId>, reply: Reply<PeerId>) {
        self.dials.insert(connection, Dial { peer, reply });
    }

    /// Answers whoever dialled this connection, and whoever wanted this peer over any.
    pub(super) fn connected(&mut self, connection: ConnectionId, peer: PeerId) {
        self.settle(connection, Some(peer), || Ok(peer));
    }

    pub(super) fn dial_failed(&mut self, connection: ConnectionId, peer: Option<PeerId>, why: &str) {
        self.settle(connection, peer, || Err(NetError::Unreachable(why.into())));
    }

    fn settle(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        answer: impl Fn() -> Result<PeerId, NetError>,
    ) {
        let settled =
            |id: &ConnectionId, dial: &Dial| *id == connection || (peer.is_some() && dial.peer == peer);
        for (_, dial) in self.dials.extract_if(|id, dial| settled(id, dial)) {
            drop(dial.reply.send(answer()));
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

    /// Withdrawals end in the order in which they began, near enough for callers that only wait for theirs.
    pub(super) fn withdrawn(&mut self) {
        if let Some(done) = self.withdrawals.pop_front() {
            let _ = done.send(());
        }
    }

    /// Forgets announcements that nobody watches any more, and tells which.
    pub(super) fn unwatched(&mut self) -> Vec<u64> {
        self.announcements.extract_if(|_, reply| reply.is_closed()).map(|(id, _)| id).collect()
    }

    /// Forgets what nobody waits for any more; returns the lookups to stop.
    pub(super) fn abandoned(&mut self) -> Vec<u64> {
        self.asks.retain(|_, reply| !reply.is_closed());
        self.dials.retain(|_, dial| !dial.reply.is_closed());
        self.finds.extract_if(|_, find| find.found.is_closed()).map(|(id, _)| id).collect()
    }
}
