//! The behaviours of a node's Swarm and the transports under it.

use std::time::{Duration, Instant};

use libp2p::{
    PeerId, Swarm, SwarmBuilder, Transport as _, allow_block_list, connection_limits,
    core::{muxing::StreamMuxerBox, transport::Boxed},
    dns, identify,
    identity::Keypair,
    memory_connection_limits, noise, ping, quic,
    swarm::NetworkBehaviour,
    tcp, yamux,
};
use shoal_dht::OnHeap;

use super::{
    eager::Eager,
    gate,
    guard::{Guard, Rules},
    head_start::HeadStart,
    port::AnyPort,
    socket,
};
use crate::{
    config::{Builder, Limits, Transport},
    error::StartError,
};

/// A connection without streams is kept this long, so that the next step of a walk or of a transfer does not dial again.
/// A node that has met many would hold as many connections for as long; those worth more are kept by the overlay.
const IDLE_CONNECTION: Duration = Duration::from_secs(10);
/// Streams of one connection that have not said yet what they are for. Others wait, and what is sent on them meanwhile fills
/// their windows; with these they are as many as a peer may open.
const MAX_UNSAID: usize = 32;
/// A handshake that takes longer is a peer that does not speak.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A peer that does not answer a ping for this long is gone.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long QUIC lets a connection be silent before it says something: longer than pings let it be, so that nothing is
/// sent for this alone.
const QUIC_ALIVE: Duration = Duration::from_secs(15);
/// Milliseconds without a packet after which QUIC gives a connection up: longer than a ping takes to find out.
const QUIC_IDLE: u32 = 30_000;
/// Dials of our own that may wait for their turn, in their future and at little cost. Many lookups in a network that is
/// not connected yet want more at once than are made at once, and one that is refused is a node that is not asked.
const WAITING_DIALS: u32 = 448;
/// Identified peers whose addresses are remembered for dialling by id alone.
const IDENTIFY_CACHE: usize = 1000;

/// Invariant: the deniers stand first. A behaviour that has seen a connection which a later one denies never hears of
/// its end, and leaks what it noted.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    gate: gate::Behaviour,
    identify: OnHeap<identify::Behaviour>,
    ping: OnHeap<ping::Behaviour>,
    pub(crate) dht: shoal_dht::Behaviour,
    pub(crate) have: OnHeap<shoal_transfer::have::Behaviour>,
    pub(crate) ranges: OnHeap<shoal_transfer::Behaviour>,
}

/// What the Swarm hands to others when it is built.
pub(crate) struct Parts {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) opener: shoal_transfer::Opener,
    pub(crate) incoming: shoal_transfer::Incoming,
    /// What may be dialled.
    pub(crate) rules: Rules,
    /// Why multicast discovery is off although it was asked for.
    pub(crate) mdns_failure: Option<String>,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Builds the Swarm; it does not listen yet.
pub(crate) fn build(config: &Builder, key: &Keypair) -> Result<Parts, StartError> {
    let (dht, mdns_failure) = shoal_dht::Behaviour::new(&shoal_dht::Config {
        network: config.network.clone(),
        keypair: key.clone(),
        scopes: config.scopes,
        mdns: config.mdns && config.transport == Transport::Internet,
        limits: overlay_limits(&config.limits),
        defences: shoal_dht::Defences::ALL,
    });
    let limits = config.limits.of_transfer();
    let (ranges, opener, incoming) =
        shoal_transfer::Behaviour::new(key.public().to_peer_id(), &config.network, limits);
    let behaviour = Behaviour {
        blocked: allow_block_list::Behaviour::default(),
        limits: connection_limits::Behaviour::new(connection_limits(&config.limits)),
        memory: memory_connection_limits::Behaviour::with_max_bytes(config.limits.memory),
        gate: gate::Behaviour::new(&config.limits),
        identify: OnHeap::new(identify::Behaviour::new(
            identify::Config::new(protocol_version(&config.network), key.public())
                .with_agent_version(concat!("shoal/", env!("CARGO_PKG_VERSION")).to_owned())
                .with_push_listen_addr_updates(true)
                .with_cache_size(IDENTIFY_CACHE),
        )),
        ping: OnHeap::new(ping::Behaviour::new(
            ping::Config::new().with_timeout(PING_TIMEOUT).with_interval(PING_INTERVAL),
        )),
        dht,
        have: OnHeap::new(shoal_transfer::have::behaviour(&config.network)),
        ranges: OnHeap::new(ranges),
    };
    let rules = Rules::new(&config.limits, Instant::now());
    let swarm = match config.transport {
        Transport::Internet => internet(key, behaviour, &rules),
        Transport::Memory => memory(key, behaviour),
    };
    let swarm = swarm.map_err(|source| StartError::Transport { source })?;
    Ok(Parts { swarm, opener, incoming, rules, mdns_failure: mdns_failure.map(|error| error.to_string()) })
}

/// A Swarm over TCP and QUIC.
fn internet(key: &Keypair, behaviour: Behaviour, rules: &Rules) -> Result<Swarm<Behaviour>, AnyError> {
    let is_question = behaviour.dht.dials_now();
    Ok(SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_other_transport(|key| Ok(HeadStart::new(tcp_and_quic(key, rules)?, is_question)))?
        .with_behaviour(|_| behaviour)?
        .with_swarm_config(settings)
        .with_connection_timeout(HANDSHAKE)
        .build())
}

/// Both, and names resolved to their addresses.
fn tcp_and_quic(key: &Keypair, rules: &Rules) -> Result<Boxed<(PeerId, StreamMuxerBox)>, AnyError> {
    let guarded = |transport| Guard::new(transport, rules.clone());
    let both = guarded(tcp(key)?).or_transport(guarded(quic(key)));
    let resolved = dns::tokio::Transport::system(both)?;
    Ok(resolved.map(|connection, _| connection.into_inner()).boxed())
}

/// A Swarm that reaches nobody outside of this process.
fn memory(key: &Keypair, behaviour: Behaviour) -> Result<Swarm<Behaviour>, AnyError> {
    Ok(SwarmBuilder::with_existing_identity(key.clone())
        .with_tokio()
        .with_other_transport(in_memory)?
        .with_behaviour(|_| behaviour)?
        .with_swarm_config(settings)
        .with_connection_timeout(HANDSHAKE)
        .build())
}

fn settings(config: libp2p::swarm::Config) -> libp2p::swarm::Config {
    config
        .with_max_negotiating_inbound_streams(MAX_UNSAID)
        .with_idle_connection_timeout(IDLE_CONNECTION)
        // Each of our streams proposes one protocol: what is said on it need not wait for the peer to agree.
        .with_substream_upgrade_protocol_override(libp2p::core::upgrade::Version::V1Lazy)
}

fn tcp(key: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, AnyError> {
    let sockets = socket::Settings::of_this_machine();
    let streams = AnyPort::new(tcp::tokio::Transport::new(tcp::Config::default()));
    Ok(Eager::new(streams.map(move |stream, _| sockets.set(stream)), key)?.boxed())
}

fn quic(key: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    let mut config = quic::Config::new(key);
    config.keep_alive_interval = QUIC_ALIVE;
    config.max_idle_timeout = QUIC_IDLE;
    quic::tokio::Transport::new(config)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed()
}

fn in_memory(key: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, AnyError> {
    Ok(libp2p::core::transport::MemoryTransport::default()
        .upgrade(libp2p::core::upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux::Config::default())
        .boxed())
}

/// What every member of a network says it speaks.
pub(crate) fn protocol_version(network: &shoal_content::NetworkName) -> String {
    format!("/shoal/{network}/1")
}

/// The part of a node's limits that the overlay keeps to: what a transfer wants to dial meanwhile needs room too.
fn overlay_limits(limits: &Limits) -> shoal_dht::Limits {
    let wide = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    shoal_dht::Limits {
        dials: wide(limits.pending / 4 * 3),
        connections: wide(limits.total - limits.total / 12),
        ..shoal_dht::Limits::default()
    }
}

fn connection_limits(limits: &Limits) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.pending))
        .with_max_pending_outgoing(Some(limits.pending.saturating_add(WAITING_DIALS)))
        .with_max_established_incoming(Some(limits.incoming))
        .with_max_established(Some(limits.total))
        .with_max_established_per_peer(Some(limits.per_peer))
}

#[cfg(test)]
mod tests;
