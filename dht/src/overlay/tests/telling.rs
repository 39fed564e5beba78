//! Who is to be told of a key is dialled while the walk to it still asks.

use std::task::Poll;

use libp2p::swarm::ToSwarm;

use super::*;
use crate::provide::AnnounceId;
use crate::wire::find::Reply;

/// Peers that the overlay wants to dial.
fn dials(overlay: &mut Overlay) -> HashSet<PeerId> {
    let mut dials = HashSet::new();
    while let Poll::Ready(event) = overlay.poll(&mut Context::from_waker(Waker::noop())) {
        if let ToSwarm::Dial { opts } = event {
            dials.extend(opts.get_peer_id());
        }
    }
    dials
}

/// Lets a peer that was asked name these.
fn answer(overlay: &mut Overlay, peer: PeerId, named: &[PeerId]) {
    let open = overlay.searches.asked_to_announce().expect("somebody was asked");
    let nodes = named.iter().map(|peer| Node { peer: *peer, addresses: addresses(&[PRIVATE]) });
    let reply = Reply { closer: nodes.collect(), providers: Vec::new() };
    overlay.on_reply(peer, ConnectionId::new_unchecked(1), open, reply, Instant::now());
}

#[test]
fn whoever_will_probably_be_told_is_dialled_ahead_of_it() {
    let now = Instant::now();
    let mut lan = overlay(Scope::Lan);
    // Whom it dials is looked at here, and not how many.
    lan.under_way = UnderWay::new(1000, 1000);
    lan.set_own_addresses(&addresses(&[PRIVATE]), &[], now);
    let target = Position::of_key(&key());
    let mut peers: Vec<_> = (0..400).map(|_| PeerId::random()).collect();
    peers.sort_by_key(|peer| Position::of_peer(peer).distance(target));
    // Of those that we know one is not far from the key.
    let (near, far) = (peers[15], peers[200]);
    // The two that matter come first: their parts of the table may be full of the others afterwards.
    for peer in [&near].into_iter().chain(&peers[200..240]) {
        lan.meet(*peer, &[PRIVATE], AddressClass::Private);
    }
    lan.settle();
    lan.announce(Task::Announce(AnnounceId(1)), &[key()], Duration::from_secs(3600));
    let asked = dials(&mut lan);
    assert!(asked.contains(&near) && asked.contains(&far), "the nearest are asked");
    answer(&mut lan, far, &peers[100..130]);
    let next = dials(&mut lan);
    let named = peers[100..130].iter().filter(|peer| next.contains(peer)).count();
    assert!(named < 12, "whom it names is asked at most, for it will not be told itself: {named}");

    answer(&mut lan, near, &peers[..20]);
    let ahead = dials(&mut lan);
    assert!(peers[..20].iter().filter(|peer| **peer != near).all(|peer| ahead.contains(peer)), "{ahead:?}");
}
