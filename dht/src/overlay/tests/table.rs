//! Who gets into a table: blocks of addresses have few places, and nobody is where we have not met them.

use std::task::Poll;

use libp2p::swarm::ToSwarm;

use super::*;
use crate::config::Defence;

/// As many as one machine can show to another.
const MANY: usize = 2000;

fn at(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

/// Lets so many be met at addresses that `address` tells; how many of them are in the table.
fn meet_many(overlay: &mut Overlay, count: usize, address: impl Fn(usize) -> String) -> usize {
    for number in 0..count {
        let address = address(number);
        overlay.meet_at(PeerId::random(), &at(&address), Endpoint::Dialer, &[&address]);
    }
    overlay.peers()
}

/// Whom it dials now.
fn dialled(overlay: &mut Overlay) -> Vec<PeerId> {
    let mut peers = Vec::new();
    while let Poll::Ready(event) = overlay.poll(&mut Context::from_waker(Waker::noop())) {
        if let ToSwarm::Dial { opts } = event {
            peers.extend(opts.get_peer_id());
        }
    }
    peers
}

#[test]
fn one_block_of_addresses_gets_few_places() {
    let of_v4 = |number: usize| format!("/ip4/8.8.8.{}/tcp/{}", number % 256, 4000 + number);
    let of_v6 = |number: usize| format!("/ip6/2a00:1:2:{number:x}::1/tcp/4001");
    let mut wan = overlay(Scope::Wan);
    assert_eq!(meet_many(&mut wan, MANY, of_v4), 3, "a /24");
    assert_eq!(meet_many(&mut wan, MANY, of_v6), 6, "and a /48");
    let mapped = "/ip4/8.8.8.9/tcp/1";
    assert!(
        wan.meet_at(PeerId::random(), &at("/ip6/::ffff:8.8.8.9/tcp/1"), Endpoint::Dialer, &[mapped])
            .is_empty()
    );
    // Whoever lives elsewhere still finds a place.
    assert_eq!(meet_many(&mut wan, 20, |number| format!("/ip4/9.9.{number}.1/tcp/1")), 26);
    let mut open = with(Scope::Wan, Defences::ALL.without(Defence::AddressBlocks));
    assert!(meet_many(&mut open, MANY, of_v4) > 100, "they would have the table to themselves");
}

#[test]
fn one_block_gets_fewer_places_yet_near_to_ourselves() {
    let mut wan = overlay(Scope::Wan);
    let ours = wan.position;
    let bits = |peer: &PeerId| ours.shared_bits(Position::of_peer(peer));
    let near = || std::iter::repeat_with(PeerId::random).find(|peer| bits(peer) == 3).expect("endless");
    let mut taken = Vec::new();
    for number in 0..10 {
        let address = format!("/ip4/8.8.8.{number}/tcp/1");
        taken.extend(wan.meet_at(near(), &at(&address), Endpoint::Dialer, &[&address]));
    }
    assert_eq!(taken.len(), 2);
}

#[test]
fn a_local_network_is_no_block() {
    let mut lan = overlay(Scope::Lan);
    assert_eq!(meet_many(&mut lan, 40, |number| format!("/ip4/192.168.0.{number}/tcp/1")), lan.peers());
    assert!(lan.peers() >= 30, "{}", lan.peers());
}

#[test]
fn nobody_enters_the_table_of_the_internet_who_was_not_dialled() {
    let (mut wan, caller, from) = (overlay(Scope::Wan), PeerId::random(), at("/ip4/8.8.8.8/tcp/50000"));
    assert!(wan.meet_at(caller, &from, Endpoint::Listener, &[GLOBAL]).is_empty());
    let mut wan = overlay(Scope::Wan);
    let connection = ConnectionId::new_unchecked(1);
    wan.connections.insert(connection, Remote::new(caller, &from, Endpoint::Listener));
    wan.identified(caller, &[wan.protocols.kademlia.protocol().clone()], &addresses(&[GLOBAL]), &from);
    assert_eq!(dialled(&mut wan), [caller], "it is called back");
    assert_eq!(wan.peers(), 0);
    assert_eq!(
        wan.meet_at(caller, &at(GLOBAL), Endpoint::Dialer, &[GLOBAL]),
        [GLOBAL],
        "and enters when it was there"
    );
    let mut open = with(Scope::Wan, Defences::ALL.without(Defence::DialBack));
    assert_eq!(open.meet_at(caller, &from, Endpoint::Listener, &[GLOBAL]), [GLOBAL]);
}

#[test]
fn nobody_is_believed_to_be_where_it_was_not_met() {
    const ELSEWHERE: &str = "/ip4/9.9.9.9/tcp/22";
    let other_port = "/ip4/8.8.8.8/udp/1/quic-v1";
    let (mut wan, peer) = (overlay(Scope::Wan), PeerId::random());
    let said = [GLOBAL, other_port, ELSEWHERE];
    assert_eq!(wan.meet_at(peer, &at(GLOBAL), Endpoint::Dialer, &said), [GLOBAL, other_port]);
    // Nor does it help to call later, from wherever.
    assert_eq!(wan.meet_at(peer, &at(ELSEWHERE), Endpoint::Listener, &[ELSEWHERE]), [GLOBAL, other_port]);
    assert_eq!(wan.meet_at(peer, &at(ELSEWHERE), Endpoint::Dialer, &said), [GLOBAL, other_port, ELSEWHERE]);
    let mut open = with(Scope::Wan, Defences::ALL.without(Defence::DialBack));
    assert_eq!(open.meet_at(peer, &at(GLOBAL), Endpoint::Dialer, &said), said);
}

#[test]
fn a_flood_of_callers_is_called_back_at_a_rate() {
    let mut wan = overlay(Scope::Wan);
    let mut called = 0;
    for number in 0..MANY {
        let address = format!("/ip4/8.8.{}.{}/tcp/1", number / 250, number % 250);
        let connection = ConnectionId::new_unchecked(1);
        let (caller, from) = (PeerId::random(), at("/ip4/8.8.8.8/tcp/50000"));
        wan.connections.insert(connection, Remote::new(caller, &from, Endpoint::Listener));
        let protocols = [wan.protocols.kademlia.protocol().clone()];
        wan.identified(caller, &protocols, &addresses(&[&address]), &from);
        called += dialled(&mut wan).len();
    }
    assert!((4..=40).contains(&called), "{called} were called back in a moment");
    assert_eq!(wan.peers(), 0);
}

#[test]
fn a_full_part_of_the_table_looks_at_few_newcomers() {
    let mut wan = overlay(Scope::Wan);
    let ours = wan.position;
    let far =
        || std::iter::repeat_with(PeerId::random).find(|peer| ours.shared_bits(Position::of_peer(peer)) == 0);
    let mut dials = 0;
    for number in 0..100 {
        let address = format!("/ip4/9.{number}.8.1/tcp/1");
        wan.meet_at(far().expect("endless"), &at(&address), Endpoint::Dialer, &[&address]);
        if wan.peers() >= 20 {
            let (caller, from) = (far().expect("endless"), at("/ip4/8.8.8.8/tcp/50000"));
            let remote = Remote::new(caller, &from, Endpoint::Listener);
            wan.connections.insert(ConnectionId::new_unchecked(1), remote);
            let (protocols, listen) = (
                [wan.protocols.kademlia.protocol().clone()],
                addresses(&[&format!("/ip4/9.8.{number}.1/tcp/1")]),
            );
            wan.identified(caller, &protocols, &listen, &from);
            dials += dialled(&mut wan).len();
        }
    }
    assert_eq!(wan.peers(), 20);
    assert!(dials <= 1, "{dials} of 80 strangers, and of the members that they might replace, were dialled");
}

#[test]
fn who_is_dialled_with_its_name_is_not_dialled_at_the_same_place_without_it() {
    let (mut overlay, peer) = (overlay(Scope::Lan), PeerId::random());
    let [one, other] = ["/ip4/192.168.0.1/tcp/1", "/ip4/192.168.0.2/tcp/1"];
    overlay.meet(peer, &[one, other], AddressClass::Private);
    let named = at(one).with_p2p(peer).expect("an address");
    let connection = ConnectionId::new_unchecked(1);
    let more = overlay
        .handle_pending_outbound_connection(connection, Some(peer), &[named], Endpoint::Dialer)
        .expect("it may dial");
    assert_eq!(more, [at(other)]);
}
