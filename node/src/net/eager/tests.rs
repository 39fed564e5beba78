//! Dials over TCP to peers that have TLS, Noise or neither.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::{
    Swarm,
    core::transport::PortUse,
    multiaddr::Protocol,
    noise,
    swarm::{self, DialError, SwarmEvent, dummy},
    tcp, yamux,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// Most that two swarms on one machine may take for anything.
const DEADLINE: Duration = Duration::from_secs(20);

const OPTIONS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };

fn ours(key: &Keypair) -> Boxed<Connection> {
    Eager::new(tcp::tokio::Transport::new(tcp::Config::default()), key).unwrap().boxed()
}

fn with_noise_alone(key: &Keypair) -> Boxed<Connection> {
    tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed()
}

/// Dials `accepts` once; tells who answered, and how many connections that took.
async fn dialled(mut accepts: Boxed<Connection>) -> (io::Result<PeerId>, usize) {
    accepts.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = accepts.select_next_some().await.into_new_address().unwrap();
    let knocks = AtomicUsize::new(0);
    let serve = async {
        let mut upgrades = FuturesUnordered::new();
        loop {
            tokio::select! {
                event = accepts.select_next_some() => if let Some((upgrade, _)) = event.into_incoming() {
                    knocks.fetch_add(1, Ordering::Relaxed);
                    upgrades.push(upgrade);
                },
                // Kept until the end: a connection that is dropped takes its last words with it.
                Some(_) = upgrades.next() => {}
            }
        }
    };
    let mut dials = ours(&Keypair::generate_ed25519());
    tokio::select! {
        dialled = dials.dial(address, OPTIONS).unwrap() => (dialled.map(|(peer, _)| peer), knocks.into_inner()),
        () = serve => unreachable!("it serves for ever"),
    }
}

#[tokio::test]
async fn a_peer_with_tls_is_dialled_once() {
    let key = Keypair::generate_ed25519();
    let (peer, knocks) = dialled(ours(&key)).await;
    assert_eq!((peer.unwrap(), knocks), (key.public().to_peer_id(), 1));
}

#[tokio::test]
async fn a_peer_without_tls_is_dialled_again() {
    let key = Keypair::generate_ed25519();
    let (peer, knocks) = dialled(with_noise_alone(&key)).await;
    assert_eq!((peer.unwrap(), knocks), (key.public().to_peer_id(), 2));
}

#[tokio::test]
async fn the_handshake_begins_before_the_peer_has_said_a_word() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut dials = ours(&Keypair::generate_ed25519());
    let dial = dials.dial(format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap(), OPTIONS).unwrap();
    let hears = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        // A record of a handshake, and in it the first message of a client.
        while !heard.windows(6).any(|bytes| matches!(bytes, [0x16, 3, _, _, _, 1])) {
            assert!(socket.read_buf(&mut heard).await.unwrap() > 0, "it hung up: {heard:?}");
        }
        socket.shutdown().await.unwrap();
    };
    let (dialled, ()) = tokio::join!(dial, hears);
    assert!(dialled.is_err(), "nobody is dialled again who hung up");
}

fn swarm(key: &Keypair) -> Swarm<dummy::Behaviour> {
    let me = key.public().to_peer_id();
    Swarm::new(ours(key), dummy::Behaviour, me, swarm::Config::with_tokio_executor())
}

/// Runs both swarms until neither has a connection, open or opening, and both had one; gives why the dial failed.
async fn until_all_is_over(
    server: &mut Swarm<dummy::Behaviour>,
    client: &mut Swarm<dummy::Behaviour>,
) -> DialError {
    let is_empty = |swarm: &Swarm<dummy::Behaviour>| {
        let counters = swarm.network_info().connection_counters().clone();
        counters.num_connections() == 0 && counters.num_pending() == 0
    };
    let (mut knocked, mut failed) = (false, None);
    loop {
        if is_empty(server)
            && is_empty(client)
            && knocked
            && let Some(error) = failed.take()
        {
            return error;
        }
        tokio::select! {
            event = server.select_next_some() => {
                knocked |= matches!(event, SwarmEvent::IncomingConnection { .. });
            }
            event = client.select_next_some() => match event {
                SwarmEvent::OutgoingConnectionError { error, .. } => failed = Some(error),
                SwarmEvent::ConnectionEstablished { peer_id, .. } => panic!("connected to {peer_id}"),
                _ => {}
            },
        }
    }
}

#[tokio::test]
async fn whoever_is_not_the_peer_that_was_dialled_is_hung_up_on() {
    let (key, other) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (is, expected) = (key.public().to_peer_id(), other.public().to_peer_id());
    let mut server = swarm(&key);
    let mut client = swarm(&Keypair::generate_ed25519());
    server.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    client.dial(address.clone().with(Protocol::P2p(expected))).unwrap();
    let over = until_all_is_over(&mut server, &mut client);
    let error = tokio::time::timeout(DEADLINE, over).await.expect("something stays open");
    let DialError::WrongPeerId { obtained, address: dialled } = error else { panic!("{error:?}") };
    assert_eq!(obtained, is);
    assert!(dialled.to_string().starts_with(&address.to_string()), "{dialled}");
    // The same address is fine for whoever it belongs to.
    client.dial(address.with(Protocol::P2p(is))).unwrap();
    let connects = async {
        loop {
            tokio::select! {
                _ = server.select_next_some() => {}
                event = client.select_next_some() => match event {
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => return peer_id,
                    SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                    _ => {}
                },
            }
        }
    };
    assert_eq!(tokio::time::timeout(DEADLINE, connects).await.expect("it does not connect"), is);
}
