//! What is known of the peers that are connected now.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, core::ConnectedPoint, swarm::ConnectionId};

use super::super::PeerInfo;

/// Longest name that a peer may call itself by; more would only be its text in our memory.
const MAX_AGENT_LEN: usize = 128;

#[derive(Debug)]
struct Peer {
    connections: HashMap<ConnectionId, Multiaddr>,
    outgoing: bool,
    since: Instant,
    agent: String,
    member: bool,
    round_trip: Option<Duration>,
}

#[derive(Debug, Default)]
pub(super) struct Peers(HashMap<PeerId, Peer>);

impl Peers {
    /// Notes a connection; `true` when it is the first one to this peer.
    pub(super) fn connected(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
        now: Instant,
    ) -> bool {
        let known = self.0.entry(peer).or_insert_with(|| Peer {
            connections: HashMap::new(),
            outgoing: endpoint.is_dialer(),
            since: now,
            agent: String::new(),
            member: false,
            round_trip: None,
        });
        known.connections.insert(connection, endpoint.get_remote_address().clone());
        known.connections.len() == 1
    }

    /// Notes the end of a connection; `true` when it was the last one to this peer.
    pub(super) fn disconnected(&mut self, peer: &PeerId, connection: ConnectionId) -> bool {
        let Some(known) = self.0.get_mut(peer) else {
            return false;
        };
        known.connections.remove(&connection);
        let last = known.connections.is_empty();
        if last {
            self.0.remove(peer);
        }
        last
    }

    /// Notes what a peer says of itself; `true` when that makes it a member of this network and it was none before.
    pub(super) fn identified(&mut self, peer: &PeerId, mut agent: String, member: bool) -> bool {
        let Some(known) = self.0.get_mut(peer) else {
            return false;
        };
        agent.truncate(agent.floor_char_boundary(MAX_AGENT_LEN));
        known.agent = agent;
        member && !std::mem::replace(&mut known.member, member)
    }

    pub(super) fn measured(&mut self, peer: &PeerId, round_trip: Duration) {
        if let Some(known) = self.0.get_mut(peer) {
            known.round_trip = Some(round_trip);
        }
    }

    pub(super) fn address_of(&self, peer: &PeerId, connection: ConnectionId) -> Option<Multiaddr> {
        self.0.get(peer)?.connections.get(&connection).cloned()
    }

    pub(super) fn list(&self, now: Instant) -> Vec<PeerInfo> {
        let mut peers: Vec<_> = self.0.iter().map(|(peer, known)| known.info(*peer, now)).collect();
        peers.sort_by_key(|info| info.peer);
        peers
    }
}

impl Peer {
    fn info(&self, peer: PeerId, now: Instant) -> PeerInfo {
        PeerInfo {
            peer,
            addresses: self.connections.values().cloned().collect(),
            agent: self.agent.clone(),
            outgoing: self.outgoing,
            round_trip: self.round_trip,
            connected_for: now.saturating_duration_since(self.since),
            member: self.member,
        }
    }
}
