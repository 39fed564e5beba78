//! What a Swarm dials, and over which transport, with real sockets.

use std::{
    net::{TcpListener, UdpSocket},
    sync::{Arc, atomic::AtomicBool},
};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr,
    multiaddr::Protocol,
    swarm::{SwarmEvent, dial_opts::DialOpts, dummy},
};

use super::*;

#[tokio::test]
async fn more_dials_than_are_made_at_once_are_not_refused() {
    let limits = Limits::default();
    let config = Builder::default().mdns(false).limits(limits.clone());
    let mut swarm = build(&config, &Keypair::generate_ed25519()).unwrap().swarm;
    let place = |at: u32| format!("/ip4/127.1.{}.{}/tcp/1", at / 256, at % 256).parse().unwrap();
    for at in 0..5 * limits.pending {
        let dial = DialOpts::peer_id(PeerId::random()).addresses(vec![place(at)]);
        assert!(swarm.dial(dial.build()).is_ok(), "the dial number {at}");
    }
}

/// A node's transports over a behaviour that does nothing. To it, loopback is far away.
fn swarm(is_question: bool) -> Swarm<dummy::Behaviour> {
    let rules = Rules::new(&Limits::default(), Instant::now());
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| {
            let is_question = Arc::new(AtomicBool::new(is_question));
            Ok(HeadStart::with_far(tcp_and_quic(key, &rules)?, is_question, |_| true))
        })
        .unwrap()
        .with_behaviour(|_| dummy::Behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_CONNECTION))
        .with_connection_timeout(HANDSHAKE)
        .build()
}

/// Somebody who listens on loopback, over QUIC and over TCP.
async fn listener() -> (Swarm<dummy::Behaviour>, [Multiaddr; 2]) {
    let mut swarm = swarm(false);
    let mut listen = async |address: &str| {
        swarm.listen_on(address.parse().unwrap()).unwrap();
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                return address;
            }
        }
    };
    let addresses = [listen("/ip4/127.0.0.1/udp/0/quic-v1").await, listen("/ip4/127.0.0.1/tcp/0").await];
    (swarm, addresses)
}

/// Dials, and tells over which address the peer was reached.
async fn reached(is_question: bool, mut peer: Swarm<dummy::Behaviour>, addresses: &[Multiaddr]) -> Multiaddr {
    let mut dialler = swarm(is_question);
    let dial = DialOpts::peer_id(*peer.local_peer_id()).addresses(addresses.to_vec());
    dialler.dial(dial.build()).unwrap();
    let established = async {
        loop {
            match dialler.select_next_some().await {
                SwarmEvent::ConnectionEstablished { endpoint, .. } => {
                    let mut address = endpoint.get_remote_address().clone();
                    assert!(matches!(address.pop(), Some(Protocol::P2p(_))));
                    return address;
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    };
    let listens = async {
        loop {
            peer.select_next_some().await;
        }
    };
    tokio::select! {
        address = tokio::time::timeout(HANDSHAKE, established) => address.unwrap(),
        () = listens => unreachable!("it listens for ever"),
    }
}

#[tokio::test]
async fn questions_arrive_over_quic_and_the_rest_over_tcp_in_whichever_order_addresses_are_told() {
    for is_question in [false, true] {
        for is_turned in [false, true] {
            let (peer, [quic, tcp]) = listener().await;
            let expected = if is_question { &quic } else { &tcp };
            let mut addresses = [quic.clone(), tcp.clone()];
            if is_turned {
                addresses.reverse();
            }
            assert_eq!(reached(is_question, peer, &addresses).await, *expected);
        }
    }
}

#[tokio::test]
async fn a_question_arrives_where_udp_is_dropped() {
    let (peer, [_, tcp]) = listener().await;
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let quic = format!("/ip4/127.0.0.1/udp/{port}/quic-v1").parse().unwrap();
    let start = Instant::now();
    assert_eq!(reached(true, peer, &[quic, tcp.clone()]).await, tcp);
    assert!(start.elapsed() < Duration::from_secs(2), "QUIC alone would have taken longer to give up");
}

#[tokio::test]
async fn whatever_is_wanted_arrives_where_tcp_is_refused() {
    for is_question in [false, true] {
        let (peer, [quic, _]) = listener().await;
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let tcp = format!("/ip4/127.0.0.1/tcp/{closed}").parse().unwrap();
        assert_eq!(reached(is_question, peer, &[tcp, quic.clone()]).await, quic);
    }
}
