//! Which connection is taken, and what is kept of those that are gone.

use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::NetworkBehaviour;

use super::*;

fn connection(id: usize, path: Path) -> Connection {
    let id = ConnectionId::new_unchecked(id);
    let (machine, slots) = (Some([45, 0, 0, 1].into()), Slots::new(Freed::default()));
    Connection { id, path, machine, since: Instant::now(), slots }
}

#[test]
fn direct_connections_come_first_and_full_ones_not_at_all() {
    let connections =
        vec![connection(0, Path::Relayed), connection(1, Path::Best), connection(2, Path::Best)];
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
    peer.connections.retain(|connection| connection.path == Path::Relayed);
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

#[test]
fn long_answers_move_to_tcp_and_the_first_byte_does_not_wait() {
    let (id, now) = (PeerId::random(), Instant::now());
    let mut peer = Peer { connections: vec![connection(0, Path::Quic)], ..Peer::default() };
    let addresses = [
        "/ip4/45.0.0.1/udp/4001/quic-v1",
        "/ip4/45.0.0.2/tcp/4001",
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/45.0.0.1/tcp/4001",
    ];
    peer.learn(&addresses.map(|address| address.parse().unwrap()));
    let best = |peer: &Peer| peer.best_connection(9).map(|best| best.id);
    let number = |id| Some(ConnectionId::new_unchecked(id));
    assert_eq!(best(&peer), number(0));
    assert!(peer.dial_beside(id, now).is_none(), "nothing is asked of it");

    let first = peer.connections[0].slots.take();
    assert!(peer.dial_beside(id, now).is_some());
    assert_eq!(peer.tcp, [addresses[3].parse().unwrap()], "where it is known to be");
    assert!(peer.dial_beside(id, now).is_none(), "one at a time");
    assert_eq!(best(&peer), None, "the second one waits");

    peer.connections.push(connection(1, Path::Best));
    peer.rank();
    assert_eq!(best(&peer), number(1));
    assert!(peer.connections[0].slots.is_outdone() && !peer.connections[1].slots.is_outdone());
    peer.connections.pop();
    peer.rank();
    assert_eq!(best(&peer), number(0));
    assert!(!peer.connections[0].slots.is_outdone(), "it is the best one again");
    drop(first);
}

#[test]
fn without_tcp_all_goes_over_quic() {
    let (id, now) = (PeerId::random(), Instant::now());
    let mut peer = Peer { connections: vec![connection(0, Path::Quic)], ..Peer::default() };
    let address: Multiaddr = "/ip4/45.0.0.1/tcp/4001".parse().unwrap();
    peer.learn(&[address.clone(), address.clone().with_p2p(id).unwrap()]);
    assert_eq!(peer.tcp, [address], "it is one address, with the peer's name or without");
    let _first = peer.connections[0].slots.take();
    let dial = peer.dial_beside(id, now).unwrap().connection_id();
    assert!(peer.best_connection(9).is_none());
    peer.beside.is_late();
    assert!(peer.best_connection(9).is_some(), "nobody waits for ever");
    peer.not_beside(dial, now);
    assert!(peer.best_connection(9).is_some());
    assert!(peer.dial_beside(id, now).is_none(), "it is not tried again at once");
    let later = now + Duration::from_secs(60);
    let dial = peer.dial_beside(id, later).unwrap().connection_id();
    assert!(peer.best_connection(9).is_some(), "nobody waits for what failed before");
    peer.not_beside(dial, later);
    assert!(peer.dial_beside(id, later + Duration::from_secs(60)).is_none(), "longer each time");
    assert!(peer.dial_beside(id, later + Duration::from_secs(120)).is_some());
}

#[test]
fn a_peer_that_ends_the_connection_beside_at_once_is_left_alone() {
    let id = PeerId::random();
    let mut peer = Peer { connections: vec![connection(0, Path::Quic)], ..Peer::default() };
    peer.learn(&["/ip4/45.0.0.1/tcp/4001".parse().unwrap()]);
    let _first = peer.connections[0].slots.take();
    assert!(peer.dial_beside(id, Instant::now()).is_some());
    for lasts in [Duration::from_secs(1), Duration::from_secs(30)] {
        peer.connections.push(connection(1, Path::Best));
        peer.rank();
        let lost = peer.connections.pop().unwrap();
        let now = lost.since + lasts;
        peer.lost(&lost, now);
        peer.rank();
        assert!(peer.best_connection(9).is_some(), "there is QUIC");
        assert_eq!(peer.dial_beside(id, now).is_some(), lasts > Duration::from_secs(5));
    }
}
