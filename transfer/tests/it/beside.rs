//! Two peers on loopback that are connected over QUIC: what is opened next goes over TCP, where there is TCP.

use std::net::TcpListener;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, Transport, noise, quic, tcp, yamux};
use shoal_content::NetworkName;
use shoal_transfer::{Behaviour, Incoming, Limits, Opener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::net::soon;

/// A swarm that is driven, and the connections that it has or had.
struct Peer {
    id: PeerId,
    addresses: [Multiaddr; 2],
    opener: Opener,
    connected: watch::Receiver<Vec<(ConnectionId, Multiaddr)>>,
    _driving: JoinSet<()>,
}

fn swarm() -> (Swarm<Behaviour>, Opener, Incoming) {
    let mut ends = None;
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_other_transport(|key| {
            quic::tokio::Transport::new(quic::Config::new(key))
                .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        })
        .unwrap()
        .with_behaviour(|key| {
            let me = key.public().to_peer_id();
            let (behaviour, opener, incoming) =
                Behaviour::new(me, &NetworkName::default(), Limits::default());
            ends = Some((opener, incoming));
            behaviour
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    let (opener, incoming) = ends.unwrap();
    (swarm, opener, incoming)
}

/// One who listens over QUIC and over TCP, and dials `other` at the first of `addresses`, if there are any. Of all of them
/// it is told afterwards.
async fn peer(dials: Option<(PeerId, [Multiaddr; 2])>) -> (Peer, Incoming) {
    let (mut swarm, opener, incoming) = swarm();
    let mut listen = async |address: &str| {
        swarm.listen_on(address.parse().unwrap()).unwrap();
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = soon(swarm.select_next_some()).await {
                return address;
            }
        }
    };
    let addresses = [listen("/ip4/127.0.0.1/udp/0/quic-v1").await, listen("/ip4/127.0.0.1/tcp/0").await];
    let id = *swarm.local_peer_id();
    let (tell, connected) = watch::channel(Vec::new());
    if let Some((other, [first, _])) = &dials {
        swarm.dial(DialOpts::peer_id(*other).addresses(vec![first.clone()]).build()).unwrap();
    }
    let mut driving = JoinSet::new();
    driving.spawn(async move {
        loop {
            if let SwarmEvent::ConnectionEstablished { connection_id, endpoint, .. } =
                swarm.select_next_some().await
            {
                if let Some((other, addresses)) = &dials {
                    swarm.behaviour_mut().lives_at(other, addresses);
                }
                let address = endpoint.get_remote_address().clone();
                tell.send_modify(|connected| connected.push((connection_id, address)));
            }
        }
    });
    (Peer { id, addresses, opener, connected, _driving: driving }, incoming)
}

fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::QuicV1)
}

impl Peer {
    /// Opens a stream to `other`, which tells over what it came.
    async fn opened(&self, other: &Peer, incoming: &mut Incoming) -> (bool, shoal_transfer::RangeStream) {
        let mut stream = soon(self.opener.open(other.id, Vec::new())).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        let mut inbound = soon(incoming.next()).await.unwrap();
        inbound.stream.read_exact(&mut [0]).await.unwrap();
        let connected = other.connected.borrow();
        let (_, address) = connected.iter().find(|(id, _)| *id == inbound.connection).unwrap();
        (is_quic(address), stream)
    }
}

#[tokio::test]
async fn the_first_stream_takes_what_is_there_and_the_next_ones_go_over_tcp() {
    let (server, mut incoming) = peer(None).await;
    let (mut client, _) = peer(Some((server.id, server.addresses.clone()))).await;
    soon(client.connected.wait_for(|connected| connected.len() == 1)).await.unwrap();
    let (over_quic, _first) = client.opened(&server, &mut incoming).await;
    assert!(over_quic, "the first byte does not wait for a dial");
    for _ in 0..3 {
        let (over_quic, _) = client.opened(&server, &mut incoming).await;
        assert!(!over_quic);
    }
    assert_eq!(client.connected.borrow().len(), 2, "it is dialled once");
}

#[tokio::test]
async fn a_peer_without_tcp_is_asked_over_quic() {
    let (server, mut incoming) = peer(None).await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let [quic, _] = server.addresses.clone();
    let tcp = format!("/ip4/127.0.0.1/tcp/{closed}").parse().unwrap();
    let (mut client, _) = peer(Some((server.id, [quic, tcp]))).await;
    soon(client.connected.wait_for(|connected| connected.len() == 1)).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let (over_quic, stream) = client.opened(&server, &mut incoming).await;
        assert!(over_quic);
        streams.push(stream);
    }
}
