//! A node that dials too many at once says nothing about those it does not reach.

use std::io;
use std::task::Poll;

use libp2p::connection_limits;
use libp2p::core::transport::TransportError;
use libp2p::swarm::behaviour::DialFailure;
use libp2p::swarm::{ConnectionDenied, FromSwarm, ToSwarm};

use super::*;

/// Dials that the overlay begins now.
fn dials(overlay: &mut Overlay) -> Vec<(PeerId, ConnectionId)> {
    let mut dials = Vec::new();
    while let Poll::Ready(event) = overlay.poll(&mut Context::from_waker(Waker::noop())) {
        if let ToSwarm::Dial { opts } = event {
            dials.extend(opts.get_peer_id().map(|peer| (peer, opts.connection_id())));
        }
    }
    dials
}

fn fail(overlay: &mut Overlay, (peer, connection): (PeerId, ConnectionId), error: &DialError) {
    let failure = DialFailure { peer_id: Some(peer), error, connection_id: connection };
    overlay.on_swarm_event(FromSwarm::DialFailure(failure));
}

/// A node with a full table that announces many keys at once.
fn busy() -> Overlay {
    let now = Instant::now();
    let mut lan = overlay(Scope::Lan);
    lan.set_own_addresses(&addresses(&[PRIVATE]), &[], now);
    for _ in 0..200 {
        lan.meet(PeerId::random(), &[PRIVATE], AddressClass::Private);
    }
    // Walks around ourselves have nothing to do with it, and what they dial would be counted too.
    lan.searches = Searches::default();
    lan.under_way = UnderWay::new(4, 1000);
    let remote = Remote::new(PeerId::random(), &place(AddressClass::Private), Endpoint::Listener);
    lan.connections.insert(ConnectionId::new_unchecked(1), remote);
    let keys: Vec<_> = (0..64).map(|number| ProviderKey::from_bytes([number; 32])).collect();
    lan.announce(Task::Announce(AnnounceId(1)), &keys, Duration::from_secs(3600));
    lan
}

#[test]
fn walks_dial_no_more_at_once_than_the_node_makes() {
    let mut lan = busy();
    let first = dials(&mut lan);
    assert_eq!(first.len(), 2, "lookups have the rest to themselves");
    assert!(dials(&mut lan).is_empty());
    fail(&mut lan, first[0], &DialError::NoAddresses);
    assert_eq!(dials(&mut lan).len(), 1, "there is room for one more");
    lan.find(LookupId(1), key(), Instant::now());
    assert!(!dials(&mut lan).is_empty(), "a lookup does not wait for what is announced");
}

#[test]
fn whom_our_own_limits_keep_us_from_dialling_is_not_taken_for_dead() {
    let full = || DialError::Denied { cause: ConnectionDenied::new(exceeded()) };
    let late = || {
        let busy = io::Error::other(io::Error::new(io::ErrorKind::ResourceBusy, "too many dials"));
        DialError::Transport(vec![(addresses(&[PRIVATE])[0].clone(), TransportError::Other(busy))])
    };
    for error in [full(), late()] {
        let mut lan = busy();
        let known = lan.peers();
        let first = dials(&mut lan);
        for dial in &first {
            fail(&mut lan, *dial, &error);
        }
        assert!(dials(&mut lan).is_empty(), "nothing is dialled for a moment");
        lan.tick_searches(Instant::now() + Duration::from_secs(1));
        let again = dials(&mut lan);
        let peers =
            |dials: &[(PeerId, ConnectionId)]| dials.iter().map(|(peer, _)| *peer).collect::<HashSet<_>>();
        assert_eq!(peers(&again), peers(&first), "they are asked after all");
        assert_eq!((lan.peers(), lan.dial_failures.len()), (known, 0));
        assert!(first.iter().all(|(peer, _)| !lan.absent.contains(peer, Instant::now())));
    }
}

/// What a node says that has as many connections as it wants: nobody else can make such an error.
fn exceeded() -> connection_limits::Exceeded {
    let none = connection_limits::ConnectionLimits::default().with_max_pending_outgoing(Some(0));
    let mut limits = connection_limits::Behaviour::new(none);
    let no_connection = ConnectionId::new_unchecked(0);
    let denied = limits.handle_pending_outbound_connection(no_connection, None, &[], Endpoint::Dialer);
    denied.expect_err("none is allowed").downcast().expect("a limit")
}
