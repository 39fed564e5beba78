//! What of strangers' records is taken from those who hand them on, and who is handed some.

use super::*;

/// An overlay in the quarter of the key space that is farthest from [`key`]: two parts of its table are nearer.
fn far() -> Overlay {
    let far = |overlay: &Overlay| overlay.position.place().apart(Position::of_key(&key()).place()) >= 3 << 30;
    std::iter::repeat_with(|| overlay(Scope::Lan)).find(far).expect("every fourth one")
}

#[test]
fn records_are_taken_from_strangers_where_they_are_near_and_from_their_provider_always() {
    let (mut lan, provider) = (far(), Keypair::generate_ed25519());
    let hear = |lan: &mut Overlay, provider: &Keypair, sender| {
        lan.hear_from(provider, sender, &[PRIVATE], SOME_DAY, AddressClass::Private)
    };
    let stranger = PeerId::random();
    assert_eq!(hear(&mut lan, &provider, stranger), STORED, "we know nobody who is nearer");

    let ours = lan.position.distance(Position::of_key(&key()));
    let nearer = |peer: &PeerId| Position::of_peer(peer).distance(Position::of_key(&key())) < ours;
    let peers = std::iter::repeat_with(PeerId::random).filter(nearer).take(300);
    for peer in peers {
        lan.meet(peer, &[PRIVATE], AddressClass::Private);
    }
    let (another, themselves) = (Keypair::generate_ed25519(), provider.public().to_peer_id());
    assert_eq!(hear(&mut lan, &another, stranger), REFUSED);
    assert_eq!(hear(&mut lan, &another, another.public().to_peer_id()), STORED, "it knows whom it tells");
    assert_ne!(themselves, stranger);
    let withdrawal = lan.sealed(&provider, 2, &[], Term::Withdrawn);
    let connection = ConnectionId::new_unchecked(1);
    assert_eq!(lan.receive(stranger, connection, &withdrawal, Instant::now()), STORED);
    assert_eq!(lan.told().len(), 1, "a withdrawal counts whoever brings it");
}

#[test]
fn only_whom_we_met_is_handed_records() {
    let (mut wan, start) = (overlay(Scope::Wan), Instant::now());
    let provider = Keypair::generate_ed25519();
    let peer = provider.public().to_peer_id();
    assert_eq!(wan.hear_from(&provider, peer, &[GLOBAL], SOME_DAY, AddressClass::Global), STORED);
    let later = start + Duration::from_secs(3600);
    let handed = |wan: &mut Overlay| {
        wan.look_through(later);
        wan.handing.next_message(later).map(|(node, _)| node.peer)
    };
    let (named, caller, met) = (PeerId::random(), PeerId::random(), PeerId::random());
    wan.add_known_peer(named, &addresses(&["/ip4/9.9.9.9/tcp/1"]));
    wan.meet_at(caller, &place(AddressClass::Global), Endpoint::Listener, &[GLOBAL]);
    assert_eq!(handed(&mut wan), None);
    wan.meet(met, &[GLOBAL], AddressClass::Global);
    assert_eq!(handed(&mut wan), Some(met));
    wan.handing.answered(&met, true);
    wan.meet(met, &[GLOBAL], AddressClass::Global);
    assert_eq!(handed(&mut wan), None, "it is no newcomer any more");
}

#[test]
fn whoever_was_handed_a_record_hears_once_that_it_was_withdrawn() {
    let (mut wan, later) = (overlay(Scope::Wan), Instant::now() + Duration::from_secs(3600));
    let (provider, newcomer) = (Keypair::generate_ed25519(), PeerId::random());
    let peer = provider.public().to_peer_id();
    assert_eq!(wan.hear_from(&provider, peer, &[GLOBAL], SOME_DAY, AddressClass::Global), STORED);
    let withdraw = |wan: &mut Overlay, sequence| {
        let withdrawal = wan.sealed(&provider, sequence, &[], Term::Withdrawn);
        assert_eq!(wan.receive(peer, ConnectionId::new_unchecked(1), &withdrawal, Instant::now()), STORED);
        withdrawal
    };
    wan.meet(newcomer, &[GLOBAL], AddressClass::Global);
    wan.look_through(later);
    assert_eq!(wan.handing.next_message(later).map(|(node, _)| node.peer), Some(newcomer));
    wan.handing.answered(&newcomer, true);
    let withdrawal = withdraw(&mut wan, 2);
    let (node, bytes) = wan.handing.next_message(later).expect("it holds what is withdrawn");
    assert_eq!((node.peer, &*bytes), (newcomer, withdrawal.as_bytes()));
    wan.handing.answered(&newcomer, true);
    withdraw(&mut wan, 2);
    withdraw(&mut wan, 3);
    assert_eq!(wan.handing.next_message(later), None, "there is nothing left to take back");
}
