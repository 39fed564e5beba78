//! Who stays, who does not, and who is not wanted.

use std::time::Duration;

use futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, Transport, identity::Keypair};

use super::*;

/// Connections that nobody keeps end after this long.
const IDLE: Duration = Duration::from_millis(100);

const PROTOCOL: StreamProtocol = StreamProtocol::new("/stay/1");

/// A node that listens, and where.
async fn node(protocol: StreamProtocol) -> (Swarm<Behaviour>, Multiaddr) {
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id();
    let transport = libp2p::core::transport::MemoryTransport::default()
        .upgrade(libp2p::core::upgrade::Version::V1Lazy)
        .authenticate(libp2p::noise::Config::new(&key).expect("a key"))
        .multiplex(libp2p::yamux::Config::default())
        .boxed();
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE);
    let mut swarm = Swarm::new(transport, Behaviour::new(protocol), peer, config);
    swarm.listen_on("/memory/0".parse().expect("an address")).expect("it can listen");
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return (swarm, address);
        }
    }
}

/// Lets `swarm` dial a node, which then runs by itself.
#[expect(clippy::disallowed_methods, reason = "it ends with its test")]
async fn connect(
    swarm: &mut Swarm<Behaviour>,
    (mut other, address): (Swarm<Behaviour>, Multiaddr),
) -> PeerId {
    let peer = *other.local_peer_id();
    tokio::spawn(async move {
        loop {
            other.select_next_some().await;
        }
    });
    swarm.dial(address).expect("it can be dialled");
    until(swarm, |event| matches!(event, SwarmEvent::ConnectionEstablished { .. })).await;
    peer
}

/// Runs until something happens.
async fn until(swarm: &mut Swarm<Behaviour>, what: impl Fn(&SwarmEvent<Ended>) -> bool) {
    let seen = async { while !what(&swarm.select_next_some().await) {} };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("it does not happen");
}

fn stay(swarm: &mut Swarm<Behaviour>, peer: PeerId) -> ConnectionId {
    let connection = swarm.behaviour().connection(&peer).expect("they are connected");
    swarm.behaviour_mut().stay(peer, connection);
    connection
}

#[tokio::test]
async fn a_connection_that_is_kept_outlasts_one_that_is_not() {
    let (mut swarm, _) = node(PROTOCOL).await;
    let kept = connect(&mut swarm, node(PROTOCOL).await).await;
    stay(&mut swarm, kept);
    // The second one comes later and is idle for as long as it takes to be ended.
    for _ in 0..3 {
        let other = connect(&mut swarm, node(PROTOCOL).await).await;
        until(
            &mut swarm,
            |event| matches!(event, SwarmEvent::ConnectionClosed { peer_id, .. } if *peer_id == other),
        )
        .await;
    }
    assert!(swarm.behaviour().connection(&kept).is_some());
}

#[tokio::test]
async fn who_has_too_many_guests_or_no_idea_of_it_lets_nobody_stay() {
    let (full, address) = node(PROTOCOL).await;
    full.behaviour().guests.store(MAX_GUESTS, Ordering::Relaxed);
    for other in [(full, address), node(StreamProtocol::new("/another/1")).await] {
        let (mut swarm, _) = node(PROTOCOL).await;
        let peer = connect(&mut swarm, other).await;
        let connection = stay(&mut swarm, peer);
        until(
            &mut swarm,
            |event| matches!(event, SwarmEvent::Behaviour(ended) if ended.connection == connection),
        )
        .await;
    }
}

#[tokio::test]
async fn a_guest_that_leaves_makes_room() {
    let (host, address) = node(PROTOCOL).await;
    let guests = host.behaviour().guests.clone();
    let (mut swarm, _) = node(PROTOCOL).await;
    let peer = connect(&mut swarm, (host, address)).await;
    stay(&mut swarm, peer);
    let came = async {
        while guests.load(Ordering::Relaxed) == 0 {
            tokio::select! {
                _ = swarm.select_next_some() => {}
                () = tokio::task::yield_now() => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), came).await.expect("it comes");
    drop(swarm);
    let left = async {
        while guests.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), left).await.expect("it leaves");
}
