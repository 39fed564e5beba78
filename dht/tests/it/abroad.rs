//! Two nodes of one local network that are connected over the internet as well.

use std::collections::HashSet;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::future::{Either, select};
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, SwarmEvent, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Swarm, identify};
use libp2p_swarm_test::SwarmExt;
use shoal_content::NetworkName;
use shoal_dht::{AnnounceId, Behaviour, Config, Defences, Event, Limits, LookupId, Scopes};

use crate::net::{HOUR, PATIENCE, key};

/// Ports of memory from here on are on the internet; those below are in the local network.
const FAR: u64 = 1 << 60;

/// The behaviour under test, which takes some ports for the internet.
struct Abroad(Behaviour);

#[derive(NetworkBehaviour)]
struct Protocols {
    identify: identify::Behaviour,
    dht: Abroad,
}

struct Node {
    swarm: Swarm<Protocols>,
    told: Vec<Event>,
    /// Connections to the other one over the internet, and over the local network.
    far: HashSet<ConnectionId>,
    near: HashSet<ConnectionId>,
    /// What the other one offers over the internet.
    offered: Option<Vec<String>>,
}

fn is_far(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Memory(port)) if port >= FAR)
}

fn global() -> Multiaddr {
    "/ip4/8.8.8.8/tcp/1".parse().expect("an address")
}

/// Where the other end of a connection seems to be.
fn seems(remote: &Multiaddr, listener: &Multiaddr) -> Multiaddr {
    if is_far(listener) { global() } else { remote.clone() }
}

impl NetworkBehaviour for Abroad {
    type ConnectionHandler = THandler<Behaviour>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.0.handle_established_inbound_connection(connection, peer, local, &seems(remote, local))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.0.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let remote = seems(remote, remote);
        self.0.handle_established_outbound_connection(connection, peer, &remote, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let FromSwarm::ConnectionEstablished(established) = event else {
            return self.0.on_swarm_event(event);
        };
        let mut endpoint = established.endpoint.clone();
        match &mut endpoint {
            ConnectedPoint::Dialer { address, .. } => *address = seems(address, address),
            ConnectedPoint::Listener { local_addr, send_back_addr } => {
                *send_back_addr = seems(send_back_addr, local_addr);
            }
        }
        let established = ConnectionEstablished { endpoint: &endpoint, ..established };
        self.0.on_swarm_event(FromSwarm::ConnectionEstablished(established));
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.0.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.0.poll(cx)
    }
}

impl Node {
    fn new() -> Self {
        let mut swarm = Swarm::new_ephemeral_tokio(|keypair| {
            let identify = identify::Config::new("/test/1".to_owned(), keypair.public());
            let (dht, _) = Behaviour::new(&Config {
                network: NetworkName::default(),
                keypair,
                scopes: Scopes::Both,
                mdns: false,
                limits: Limits::default(),
                defences: Defences::ALL,
            });
            Protocols { identify: identify::Behaviour::new(identify), dht: Abroad(dht) }
        });
        let port = u64::from_be_bytes(swarm.local_peer_id().to_bytes()[10..18].try_into().expect("8 bytes"));
        let port = port % FAR;
        for port in [port, FAR + port] {
            swarm.listen_on(Protocol::Memory(port).into()).expect("it listens");
        }
        Self { swarm, told: Vec::new(), far: HashSet::new(), near: HashSet::new(), offered: None }
    }

    fn dht(&mut self) -> &mut Behaviour {
        &mut self.swarm.behaviour_mut().dht.0
    }

    fn peer(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    fn address(&self, which: fn(&Multiaddr) -> bool) -> Option<Multiaddr> {
        self.swarm.listeners().find(|address| which(address)).cloned()
    }

    fn near_address(&self) -> Multiaddr {
        self.address(|address| !is_far(address)).expect("it listens")
    }

    fn take(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { connection_id, endpoint, .. } => {
                let (ConnectedPoint::Dialer { address: listener, .. }
                | ConnectedPoint::Listener { local_addr: listener, .. }) = endpoint;
                let connections = if is_far(&listener) { &mut self.far } else { &mut self.near };
                connections.insert(connection_id);
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            })) => {
                let is_far = self.far.contains(&connection_id);
                let over = if is_far { global() } else { self.near_address() };
                self.dht().identified(peer_id, &info, &over);
                if is_far {
                    self.offered = Some(info.protocols.iter().map(ToString::to_string).collect());
                }
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Dht(event)) => self.told.push(event),
            _ => {}
        }
    }
}

/// Runs both until a condition holds.
async fn until(nodes: &mut [Node; 2], what: &str, condition: impl Fn(&[Node; 2]) -> bool) {
    let run = async {
        while !condition(nodes) {
            let [one, other] = nodes;
            match select(one.swarm.select_next_some(), other.swarm.select_next_some()).await {
                Either::Left((event, _)) => one.take(event),
                Either::Right((event, _)) => other.take(event),
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, run).await;
    let [one, other] = nodes;
    assert!(done.is_ok(), "waited in vain for {what}: {:?} {:?}", one.told, other.told);
}

/// Two nodes that are connected over the internet, and know where the other one is in the local network.
async fn neighbours() -> [Node; 2] {
    let mut nodes = [Node::new(), Node::new()];
    until(&mut nodes, "addresses", |nodes| nodes.iter().all(|node| node.swarm.listeners().count() == 2))
        .await;
    let far = nodes[1].address(is_far).expect("it listens").with_p2p(nodes[1].peer()).expect("an address");
    nodes[0].swarm.dial(far).expect("it dials");
    until(&mut nodes, "a connection", |nodes| nodes.iter().all(|node| node.offered.is_some())).await;
    let places = [0, 1].map(|index| (nodes[index].peer(), nodes[index].near_address()));
    for (node, (peer, address)) in nodes.iter_mut().zip(places.iter().rev()) {
        let own = node.near_address();
        node.dht().add_known_peer(*peer, std::slice::from_ref(address));
        node.dht().set_own_addresses(&[own], &[]);
    }
    nodes
}

#[tokio::test]
async fn a_neighbour_met_over_the_internet_is_told_and_asked_over_the_local_network() {
    let mut nodes = neighbours().await;
    nodes[1].dht().announce(AnnounceId(1), &[key(1)], HOUR);
    let announced = |nodes: &[Node; 2]| {
        nodes[1].told.iter().find_map(|event| match event {
            Event::Announced { acknowledged, asked, over: true, .. } => Some((*acknowledged, *asked)),
            _ => None,
        })
    };
    until(&mut nodes, "an announcement", |nodes| announced(nodes).is_some()).await;
    assert_eq!(announced(&nodes), Some((1, 1)));
    nodes[0].dht().find(LookupId(1), key(2));
    let ended = |nodes: &[Node; 2]| {
        nodes[0].told.iter().find_map(|event| match event {
            Event::LookupEnded { asked, .. } => Some(*asked),
            _ => None,
        })
    };
    until(&mut nodes, "the end of a lookup", |nodes| ended(nodes).is_some()).await;
    assert_eq!(ended(&nodes), Some(1));
    assert!(nodes.iter().all(|node| !node.far.is_empty() && !node.near.is_empty()));
}

#[tokio::test]
async fn nothing_of_the_local_network_is_offered_over_the_internet() {
    let nodes = neighbours().await;
    for node in nodes {
        let offered = node.offered.expect("it was identified");
        let of = |scope: &str| offered.iter().filter(|name| name.contains(scope)).count();
        assert_eq!(of("/lan/"), 0, "{offered:?}");
        assert!(of("/wan/") > 0, "{offered:?}");
    }
}
