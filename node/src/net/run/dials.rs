//! Whom the node dials, and whom it has nothing to do with for a while.

use std::{
    collections::HashSet,
    time::{Instant, SystemTime},
};

use libp2p::{
    Multiaddr, PeerId,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::sync::oneshot;

use super::{super::NetError, Driver, failure, waiting::Dial};

impl Driver {
    /// Dials a peer, or whoever lives at the first of these addresses, and tells when it is connected.
    pub(super) fn dial(
        &mut self,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
        reply: oneshot::Sender<Result<PeerId, NetError>>,
    ) {
        if let Some(peer) = peer {
            if self.swarm.is_connected(&peer) {
                drop(reply.send(Ok(peer)));
                return;
            }
            if let Some(connection) = self.waiting.dial_of(&peer, &addresses) {
                self.waiting.dials.push(Dial { connection, peer: Some(peer), addresses, reply });
                return;
            }
        }
        let options = match (peer, addresses.first()) {
            // Others may be dialling it where it is not, and what fails there must not speak for these addresses.
            (Some(peer), _) => DialOpts::peer_id(peer)
                .addresses(addresses.clone())
                .condition(PeerCondition::Disconnected)
                .extend_addresses_through_behaviour()
                .build(),
            (None, Some(address)) => DialOpts::unknown_peer_id().address(address.clone()).build(),
            (None, None) => {
                drop(reply.send(Err(NetError::Unreachable("no address".into()))));
                return;
            }
        };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => self.waiting.dials.push(Dial { connection, peer, addresses, reply }),
            Err(error) => drop(reply.send(Err(NetError::Unreachable(failure::of_dial(&error).into())))),
        }
    }

    pub(super) fn dial_failed(&mut self, connection: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        let why = failure::of_dial(error);
        tracing::debug!(?peer, error = %why, "a dial failed");
        self.waiting.dial_failed(connection, &why);
        if let Some(peer) = peer {
            self.waiting.tried(&peer, &failure::places(error));
        }
    }

    /// Multicast is a hint from anyone: worth a dial. The overlays bound the rate, and tell again whom we have not met.
    pub(super) fn discovered(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        if !self.swarm.is_connected(&peer) {
            drop(self.swarm.dial(DialOpts::peer_id(peer).addresses(addresses).build()));
        }
    }

    /// Dials some of the peers that the tables have lost.
    pub(super) fn try_the_lost(&mut self) {
        let now = Instant::now();
        if !self.reseed.is_due(now) {
            return;
        }
        // Whoever is lost a moment after it came is known as well.
        self.note_connected();
        let table: HashSet<_> =
            self.swarm.behaviour_mut().dht.table().into_iter().map(|(_, peer, _)| peer).collect();
        let here = |peer: &PeerId| table.contains(peer) || self.swarm.is_connected(peer);
        let picked = self.reseed.pick(self.wiring.book.sightings(SystemTime::now()), here, now);
        for (peer, addresses) in picked {
            drop(self.swarm.dial(DialOpts::peer_id(peer).addresses(addresses).build()));
        }
    }

    pub(super) fn ban(&mut self, peer: PeerId) {
        tracing::info!(%peer, "a peer that keeps sending wrong bytes is locked out for a while");
        self.bans.add(peer, Instant::now());
        self.swarm.behaviour_mut().blocked.block_peer(peer);
    }

    pub(super) fn end_bans(&mut self) {
        for peer in self.bans.served(Instant::now()) {
            self.swarm.behaviour_mut().blocked.unblock_peer(peer);
        }
    }
}
