//! What enters an overlay, what leaves it, and who is believed.

use std::collections::BTreeSet;
use std::io;
use std::task::{Context, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use libp2p::core::Endpoint;
use libp2p::core::transport::TransportError;
use libp2p::swarm::DialError;

use super::*;
use crate::config::{Defences, Limits};
use crate::provide::{AnnounceId, WithdrawalId};
use crate::scope::Scopes;
use crate::wire::{Receipt, Sealed, Term};

mod busy;
mod handing;
mod table;
mod telling;

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/1";
const PRIVATE: &str = "/ip4/192.168.0.1/tcp/1";
const GLOBAL: &str = "/ip4/8.8.8.8/tcp/1";
const STORED: Receipt = Receipt { stored: 1, refused: 0 };
const REFUSED: Receipt = Receipt { stored: 0, refused: 1 };

fn overlay(scope: Scope) -> Overlay {
    with(scope, Defences::ALL)
}

fn with(scope: Scope, defences: Defences) -> Overlay {
    let config = Config {
        network: NetworkName::default(),
        keypair: Keypair::generate_ed25519(),
        scopes: Scopes::Both,
        mdns: false,
        limits: Limits::default(),
        defences,
    };
    let now = Instant::now();
    Overlay::new(scope, &config, SharedKeys::default(), Clock::new(now, SystemTime::now()), now)
}

fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

fn key() -> ProviderKey {
    ProviderKey::from_bytes([7; 32])
}

/// An address of a class.
fn place(class: AddressClass) -> Multiaddr {
    let text = match class {
        AddressClass::Loopback => LOOPBACK,
        AddressClass::Private => PRIVATE,
        _ => GLOBAL,
    };
    text.parse().expect("an address")
}

impl Overlay {
    /// Lets a peer that we dialled and that serves this overlay be identified; tells what the table says.
    fn meet(&mut self, peer: PeerId, listen: &[&str], over: AddressClass) -> Vec<String> {
        self.meet_at(peer, &place(over), Endpoint::Dialer, listen)
    }

    /// Lets a peer be identified over a connection to `place`.
    fn meet_at(&mut self, peer: PeerId, place: &Multiaddr, way: Endpoint, listen: &[&str]) -> Vec<String> {
        let protocols = [self.protocols.kademlia.protocol().clone()];
        let connection = ConnectionId::new_unchecked(1000 + self.connections.len());
        self.connections.insert(connection, Remote::new(peer, place, way));
        self.identified(peer, &protocols, &addresses(listen), place);
        self.connections.remove(&connection);
        self.settle();
        self.known_at(&peer)
    }

    fn settle(&mut self) {
        while self.poll(&mut Context::from_waker(Waker::noop())).is_ready() {}
    }

    /// The addresses of a peer in the table.
    fn known_at(&self, peer: &PeerId) -> Vec<String> {
        self.table.addresses(peer).iter().map(ToString::to_string).collect()
    }

    /// Receives an announcement over a connection, from its provider.
    fn hear(&mut self, said: &[&str], term: Term, over: AddressClass) -> Receipt {
        let provider = Keypair::generate_ed25519();
        self.hear_from(&provider, provider.public().to_peer_id(), said, term, over)
    }

    fn hear_from(
        &mut self,
        provider: &Keypair,
        sender: PeerId,
        said: &[&str],
        term: Term,
        over: AddressClass,
    ) -> Receipt {
        let connection = ConnectionId::new_unchecked(1);
        let remote = Remote::new(sender, &place(over), Endpoint::Listener);
        self.connections.insert(connection, remote);
        let sealed = self.sealed(provider, 1, said, term);
        self.receive(sender, connection, &sealed, Instant::now())
    }

    /// What a provider says of [`key`] in this overlay.
    fn sealed(&self, provider: &Keypair, sequence: u64, said: &[&str], term: Term) -> Sealed {
        let place = (&self.network, self.scope);
        Sealed::seal(sequence, term, &addresses(said), BTreeSet::from([key()]), place, provider)
            .expect("it can sign")
    }

    fn told(&self) -> Vec<Vec<Multiaddr>> {
        self.known(&key(), K, Instant::now()).into_iter().map(|node| node.addresses).collect()
    }
}

const SOME_DAY: Term = Term::Until(u64::MAX);

#[test]
fn wan_takes_global_addresses_only() {
    let mut wan = overlay(Scope::Wan);
    let all = [LOOPBACK, PRIVATE, GLOBAL];
    assert_eq!(wan.meet(PeerId::random(), &all, AddressClass::Global), [GLOBAL]);
    for over in [AddressClass::Loopback, AddressClass::Private, AddressClass::Global] {
        assert!(wan.meet(PeerId::random(), &[LOOPBACK, PRIVATE], over).is_empty());
    }
    assert_eq!(wan.peers(), 1);
}

#[test]
fn lan_takes_local_addresses_over_local_connections_only() {
    let mut lan = overlay(Scope::Lan);
    let all = [LOOPBACK, PRIVATE, GLOBAL];
    assert_eq!(lan.meet(PeerId::random(), &all, AddressClass::Private), [PRIVATE]);
    assert_eq!(lan.meet(PeerId::random(), &all, AddressClass::Loopback), [PRIVATE, LOOPBACK]);
    assert!(lan.meet(PeerId::random(), &all, AddressClass::Global).is_empty());
    assert!(lan.meet(PeerId::random(), &[LOOPBACK], AddressClass::Private).is_empty());
}

#[test]
fn a_peer_that_stops_serving_leaves_the_table() {
    let (mut lan, peer) = (overlay(Scope::Lan), PeerId::random());
    lan.meet(peer, &[PRIVATE], AddressClass::Private);
    // Over the internet it does not offer this overlay to us, which says nothing about it.
    lan.identified(peer, &[], &[], &place(AddressClass::Global));
    assert_eq!(lan.peers(), 1);
    lan.identified(peer, &[], &[], &place(AddressClass::Private));
    assert_eq!((lan.peers(), lan.has_peers()), (0, false));
}

#[test]
fn a_peer_has_few_addresses_and_those_at_which_it_is_not_found_go() {
    let (mut lan, peer) = (overlay(Scope::Lan), PeerId::random());
    let texts: Vec<_> = (1..20).map(|port| format!("/ip4/192.168.0.1/tcp/{port}")).collect();
    for text in &texts {
        lan.meet(peer, &[text], AddressClass::Private);
    }
    let max = crate::scope::MAX_ADDRESSES;
    assert_eq!(lan.known_at(&peer), texts[..max]);
    // As the swarm tells them, with the peer behind them.
    let full: Vec<_> =
        addresses(&[&texts[0], &texts[2]]).into_iter().map(|at| at.with_p2p(peer).expect("bare")).collect();
    for address in &full {
        lan.not_found_at(&peer, address);
    }
    assert_eq!(lan.known_at(&peer), [texts[1].as_str(), &texts[3], &texts[4]]);
    for text in &texts {
        lan.not_found_at(&peer, &text.parse().expect("an address"));
    }
    assert_eq!(
        lan.known_at(&peer),
        [texts[4].as_str()],
        "the last one stays: perhaps it is our own network that is down"
    );
    lan.meet(peer, &[PRIVATE], AddressClass::Private);
    assert_eq!(lan.known_at(&peer), [texts[4].as_str(), PRIVATE]);
}

#[test]
fn only_what_is_reachable_is_announced_and_makes_a_server() {
    let now = Instant::now();
    let (mut lan, mut wan) = (overlay(Scope::Lan), overlay(Scope::Wan));
    let listen = addresses(&[LOOPBACK, PRIVATE, GLOBAL]);
    let own = |overlay: &Overlay| overlay.own_addresses.clone();
    for overlay in [&mut lan, &mut wan] {
        overlay.set_own_addresses(&listen, &[], now);
    }
    assert_eq!(own(&lan), addresses(&[PRIVATE, LOOPBACK]));
    assert_eq!(own(&wan), [], "listening is not being reachable");
    assert_eq!(wan.protocols.kademlia.mode(), Mode::Client);
    for overlay in [&mut lan, &mut wan] {
        overlay.set_own_addresses(&listen, &addresses(&[PRIVATE, GLOBAL]), now);
    }
    assert_eq!(own(&wan), addresses(&[GLOBAL]));
    assert_eq!((wan.protocols.kademlia.mode(), lan.protocols.kademlia.mode()), (Mode::Server, Mode::Server));
    wan.set_own_addresses(&listen, &[], now);
    assert_eq!(wan.protocols.kademlia.mode(), Mode::Client);
}

#[test]
fn our_own_keys_are_answered_with_addresses_of_the_scope_or_not_at_all() {
    let mut wan = overlay(Scope::Wan);
    wan.announce(Task::Announce(AnnounceId(1)), &[key()], Duration::from_secs(60));
    assert!(wan.told().is_empty(), "nobody could come to us");
    wan.set_own_addresses(&[], &addresses(&[PRIVATE, GLOBAL]), Instant::now());
    assert_eq!(wan.told(), [addresses(&[GLOBAL])]);
    wan.withdraw(Task::Withdraw(WithdrawalId(1)), &[key()], Instant::now());
    assert!(wan.told().is_empty());
}

#[test]
fn announced_loopback_addresses_are_believed_over_loopback_only() {
    let mut lan = overlay(Scope::Lan);
    assert_eq!(lan.hear(&[LOOPBACK], SOME_DAY, AddressClass::Private), REFUSED);
    assert!(lan.told().is_empty());
    assert_eq!(lan.hear(&[LOOPBACK, PRIVATE], SOME_DAY, AddressClass::Private), STORED);
    assert_eq!(lan.told(), [addresses(&[PRIVATE])]);
    assert_eq!(lan.hear(&[LOOPBACK], SOME_DAY, AddressClass::Loopback), STORED);
    assert_eq!(lan.told().len(), 2);
    assert_eq!(overlay(Scope::Wan).hear(&[LOOPBACK, PRIVATE], SOME_DAY, AddressClass::Loopback), REFUSED);
}

#[test]
fn stale_announcements_and_those_in_our_name_are_refused() {
    let mut lan = overlay(Scope::Lan);
    let (ourselves, somebody) = (lan.keypair.clone(), PeerId::random());
    let (provider, past) = (Keypair::generate_ed25519(), Term::Until(1_700_000_000));
    assert_eq!(lan.hear_from(&provider, somebody, &[PRIVATE], past, AddressClass::Private), REFUSED);
    assert_eq!(lan.hear_from(&ourselves, somebody, &[PRIVATE], SOME_DAY, AddressClass::Private), REFUSED);
    assert_eq!(lan.records(), 0);
}

#[test]
fn what_a_provider_brings_holds_for_as_long_as_it_meant_whatever_its_clock_says() {
    const HOUR: u64 = 60 * 60;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970").as_secs();
    for its_now in [1_000, now - 10 * HOUR, now, now + 10 * HOUR] {
        let (mut lan, provider) = (overlay(Scope::Lan), Keypair::generate_ed25519());
        let (peer, connection) = (provider.public().to_peer_id(), ConnectionId::new_unchecked(1));
        let remote = Remote::new(peer, &place(AddressClass::Private), Endpoint::Listener);
        lan.connections.insert(connection, remote);
        let sealed = lan.sealed(&provider, its_now * 1_000_000, &[PRIVATE], Term::Until(its_now + HOUR));
        let heard = Instant::now();
        assert_eq!(lan.receive(peer, connection, &sealed, heard), STORED, "by its clock it is {its_now}");
        let known = |later| lan.known(&key(), K, heard + Duration::from_secs(later)).len();
        assert_eq!([known(HOUR - 10), known(HOUR + 10)], [1, 0], "by its clock it is {its_now}");
    }
}

#[test]
fn a_withdrawal_needs_no_address() {
    let (mut lan, provider) = (overlay(Scope::Lan), Keypair::generate_ed25519());
    let peer = provider.public().to_peer_id();
    assert_eq!(lan.hear_from(&provider, peer, &[PRIVATE], SOME_DAY, AddressClass::Private), STORED);
    let withdrawal = lan.sealed(&provider, 2, &[], Term::Withdrawn);
    let connection = ConnectionId::new_unchecked(1);
    assert_eq!(lan.receive(peer, connection, &withdrawal, Instant::now()), STORED);
    assert!(lan.told().is_empty());
}

#[test]
fn a_withdrawal_of_what_is_not_known_yet_costs_as_much_as_an_announcement() {
    let mut lan = overlay(Scope::Lan);
    let (provider, now) = (Keypair::generate_ed25519(), Instant::now());
    let peer = provider.public().to_peer_id();
    let connection = ConnectionId::new_unchecked(1);
    let remote = Remote::new(peer, &place(AddressClass::Private), Endpoint::Listener);
    let sender = remote.sender;
    lan.connections.insert(connection, remote);
    while lan.purses.may_announce(sender, 1024, now) {}
    let withdrawal = lan.sealed(&provider, 1, &[], Term::Withdrawn);
    lan.expect_records();
    assert_eq!(lan.receive(peer, connection, &withdrawal, now), REFUSED, "it would have to be remembered");
    lan.records_loaded();
    assert_eq!(lan.receive(peer, connection, &withdrawal, now), STORED, "there is nothing to remember");
}

/// A dial that met nobody, at an address that is not the peer's only one.
fn refused() -> DialError {
    let refused = TransportError::Other(io::ErrorKind::ConnectionRefused.into());
    DialError::Transport(vec![("/ip4/192.168.0.9/tcp/1".parse().expect("an address"), refused)])
}

#[test]
fn a_peer_that_fails_again_and_again_leaves_unless_we_are_offline() {
    let (mut lan, dead) = (overlay(Scope::Lan), PeerId::random());
    lan.meet(dead, &[PRIVATE], AddressClass::Private);
    for _ in 0..10 {
        lan.on_dial_failure(dead, &refused(), Instant::now());
    }
    assert_eq!(lan.peers(), 1, "without any connection it is our own network that is down");
    let remote = Remote::new(PeerId::random(), &place(AddressClass::Private), Endpoint::Listener);
    lan.connections.insert(ConnectionId::new_unchecked(1), remote);
    lan.on_dial_failure(dead, &DialError::Aborted, Instant::now());
    for failure in 1..=MAX_DIAL_FAILURES {
        assert_eq!(lan.peers(), 1, "before failure {failure}");
        lan.on_dial_failure(dead, &refused(), Instant::now());
    }
    assert_eq!(lan.peers(), 0);
    lan.on_dial_failure(dead, &refused(), Instant::now());
    assert!(lan.dial_failures.is_empty(), "strangers outside the table are not counted");
}

#[test]
fn one_stall_is_one_failure_however_many_questions_wait_through_it() {
    let (mut lan, peer) = (overlay(Scope::Lan), PeerId::random());
    lan.meet(peer, &[PRIVATE, "/ip4/192.168.0.2/tcp/1"], AddressClass::Private);
    let remote = Remote::new(peer, &place(AddressClass::Private), Endpoint::Listener);
    lan.connections.insert(ConnectionId::new_unchecked(1), remote);
    let now = Instant::now();
    for _ in 0..10 {
        lan.silent(peer, now);
    }
    assert_eq!(lan.peers(), 1);
    assert!(lan.absent.contains(&peer, now), "walks leave it alone");
    lan.on_dial_failure(peer, &refused(), now);
    assert_eq!(lan.peers(), 0, "it is gone indeed");
}

#[test]
fn whose_address_was_not_tried_is_not_taken_for_dead() {
    let (mut lan, peer) = (overlay(Scope::Lan), PeerId::random());
    lan.meet(peer, &[PRIVATE, "/ip4/192.168.0.2/tcp/1"], AddressClass::Private);
    let remote = Remote::new(PeerId::random(), &place(AddressClass::Private), Endpoint::Listener);
    lan.connections.insert(ConnectionId::new_unchecked(1), remote);
    let not_tried = |address: &str| {
        let error = io::Error::other(io::Error::new(io::ErrorKind::QuotaExceeded, "too many dials failed"));
        (address.parse().expect("an address"), TransportError::Other(error))
    };
    let failed = |address: &str| {
        let error = io::ErrorKind::ConnectionRefused.into();
        (address.parse().expect("an address"), TransportError::Other(error))
    };
    let now = Instant::now();
    for _ in 0..10 {
        lan.on_dial_failure(peer, &DialError::Transport(vec![not_tried(PRIVATE)]), now);
    }
    assert_eq!((lan.peers(), lan.known_at(&peer).len()), (1, 2));
    let one_failed = vec![not_tried(PRIVATE), failed("/ip4/192.168.0.2/tcp/1")];
    lan.on_dial_failure(peer, &DialError::Transport(one_failed), now);
    assert_eq!(lan.known_at(&peer), [PRIVATE]);
    assert!(!lan.absent.contains(&peer, now) && lan.dial_failures.is_empty());
}

#[test]
fn whose_address_is_not_known_yet_is_not_taken_for_dead() {
    let (mut lan, peer) = (overlay(Scope::Lan), PeerId::random());
    let remote = Remote::new(PeerId::random(), &place(AddressClass::Private), Endpoint::Listener);
    lan.connections.insert(ConnectionId::new_unchecked(1), remote);
    let now = Instant::now();
    lan.on_dial_failure(peer, &DialError::NoAddresses, now);
    assert!(!lan.absent.contains(&peer, now), "it may be named in a moment");
    lan.on_dial_failure(peer, &refused(), now);
    assert!(lan.absent.contains(&peer, now));
}

#[test]
fn an_address_of_somebody_else_is_dropped_at_once() {
    let (mut lan, peer) = (overlay(Scope::Lan), PeerId::random());
    lan.meet(peer, &[PRIVATE, "/ip4/192.168.0.2/tcp/1"], AddressClass::Private);
    let error =
        DialError::WrongPeerId { obtained: PeerId::random(), address: PRIVATE.parse().expect("an address") };
    lan.on_dial_failure(peer, &error, Instant::now());
    assert_eq!(lan.known_at(&peer), ["/ip4/192.168.0.2/tcp/1"]);
}
