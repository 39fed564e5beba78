//! Which connection is taken, and what is kept of those that are gone.

use libp2p::core::ConnectedPoint;
use libp2p::swarm::NetworkBehaviour;

use super::*;

fn connection(id: usize, relayed: bool) -> Connection {
    let id = ConnectionId::new_unchecked(id);
    Connection { id, relayed, slots: Slots::new(Freed::default()) }
}

#[test]
fn direct_connections_come_first_and_full_ones_not_at_all() {
    let connections = vec![connection(0, true), connection(1, false), connection(2, false)];
    let mut peer = Peer { connections, ..Peer::default() };
    let best = |peer: &Peer| peer.best_connection(2).map(|best| best.id);
    let id = |id| Some(ConnectionId::new_unchecked(id));
    assert_eq!(best(&peer), id(1));
    let first = peer.connections[1].slots.take();
    assert_eq!(best(&peer), id(2), "the one with fewer streams");
    let _held = [
        peer.connections[1].slots.take(),
        peer.connections[2].slots.take(),
        peer.connections[2].slots.take(),
    ];
    assert_eq!(best(&peer), None, "a relay is no way around a limit");
    drop(first);
    assert_eq!(best(&peer), id(1));
    peer.connections.retain(|connection| connection.relayed);
    assert_eq!(best(&peer), id(0), "a relay is better than nothing");
}

#[test]
fn nothing_is_kept_of_connections_that_were_denied_or_closed() {
    let (mut behaviour, _opener, _incoming) =
        Behaviour::new(PeerId::random(), &NetworkName::default(), Limits::default());
    let address: Multiaddr = "/memory/1".parse().unwrap();
    for i in 0..100 {
        let (peer_id, connection_id) = (PeerId::random(), ConnectionId::new_unchecked(i));
        // Another behaviour may deny the connection after this.
        drop(
            behaviour
                .handle_established_inbound_connection(connection_id, peer_id, &address, &address)
                .unwrap(),
        );
        assert!(behaviour.peers.is_empty());

        let endpoint =
            &ConnectedPoint::Listener { local_addr: address.clone(), send_back_addr: address.clone() };
        behaviour.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id,
            connection_id,
            endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
        assert_eq!(behaviour.peers.len(), 1);
        behaviour.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id,
            connection_id,
            endpoint,
            cause: None,
            remaining_established: 0,
        }));
        assert!(behaviour.peers.is_empty());
    }
}
