//! What the Swarm tells the network task, and who is told of it.

use std::time::Instant;

use libp2p::{
    PeerId, identify,
    swarm::{ConnectionId, SwarmEvent},
};

use super::Driver;
use crate::{
    events::Event,
    net::{Acknowledged, Provider, Walk, behaviour::BehaviourEvent},
};

impl Driver {
    pub(super) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::NewListenAddr { address, .. } => {
                self.wiring.events.send(Event::Listening(address));
                self.own_addresses_changed();
            }
            SwarmEvent::ExpiredListenAddr { .. } | SwarmEvent::ListenerClosed { .. } => {
                self.own_addresses_changed();
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener failed"),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.waiting.connected(connection_id, peer_id);
                if self.peers.connected(peer_id, connection_id, &endpoint, Instant::now()) {
                    self.wiring.events.send(Event::PeerConnected(peer_id));
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                let was_last = self.peers.disconnected(&peer_id, connection_id);
                if was_last {
                    self.bump();
                    self.wiring.events.send(Event::PeerDisconnected(peer_id));
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.dial_failed(connection_id, peer_id, &error);
            }
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, connection_id, info }) => {
                self.identified(peer_id, connection_id, &info);
            }
            BehaviourEvent::Ping(ping) => match ping.result {
                Ok(round_trip) => self.peers.measured(&ping.peer, round_trip),
                // The ping behaviour only reports; a connection that does not answer is ours to close.
                Err(libp2p::ping::Failure::Unsupported) => {}
                Err(_) => drop(self.swarm.close_connection(ping.connection)),
            },
            BehaviourEvent::Dht(event) => self.on_dht(event),
            BehaviourEvent::Have(event) => self.on_have(event),
            _ => {}
        }
    }

    fn identified(&mut self, peer: PeerId, connection: ConnectionId, info: &identify::Info) {
        let Some(over) = self.peers.address_of(&peer, connection) else {
            return;
        };
        let behaviour = self.swarm.behaviour_mut();
        behaviour.dht.identified(peer, info, &over);
        behaviour.ranges.lives_at(&peer, &info.listen_addrs);
        if self.reseed.found(&peer) {
            // It may come from a part of the network that we had lost.
            self.swarm.behaviour_mut().dht.bootstrap();
        }
        let member = info.protocol_version == self.wiring.protocol_version;
        if self.peers.identified(&peer, info.agent_version.clone(), member) {
            self.bump();
        }
    }

    fn on_dht(&mut self, event: shoal_dht::Event) {
        match event {
            shoal_dht::Event::Found { id, provider, addresses } => {
                let provider = Provider { peer: provider, addresses };
                if !self.waiting.found(id.0, provider) {
                    self.swarm.behaviour_mut().dht.stop_find(id);
                }
            }
            shoal_dht::Event::LookupEnded { id, asked, hops, messages, timeouts, .. } => {
                self.waiting.walked(id.0, Walk { asked, hops, messages, timeouts });
            }
            shoal_dht::Event::Announced { id, acknowledged, asked, done, .. } => {
                self.waiting.announced(id.0, Acknowledged { acknowledged, asked, last: done });
            }
            shoal_dht::Event::Withdrawn { id, .. } => self.waiting.withdrawn(id),
            shoal_dht::Event::PeerDiscovered { peer, addresses } => self.discovered(peer, addresses),
            shoal_dht::Event::TableChanged => self.bump(),
            _ => {}
        }
    }

    fn own_addresses_changed(&mut self) {
        let listening: Vec<_> = self.swarm.listeners().cloned().collect();
        self.wiring.rules.lock().listens_at(&listening);
        self.swarm.behaviour_mut().dht.set_own_addresses(&listening, &self.wiring.external);
        self.listening.send_replace(listening);
        self.bump();
    }
}
