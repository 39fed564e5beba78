//! A node as Shoal composes it, without what moves content.

use std::time::Duration;

use libp2p::core::upgrade::Version;
use libp2p::{
    Multiaddr, PeerId, Swarm, Transport as _, connection_limits, identify,
    identity::Keypair,
    ping,
    swarm::{ConnectionId, NetworkBehaviour, dial_opts::DialOpts},
};
use shoal_content::{NetworkName, ProviderKey};
use shoal_dht::{AddressClass, AnnounceId, Defences, Event, LookupId, OnHeap, OwnKey, Scopes};

use super::{Behave, Told, Wires};

/// For how long announcements hold: longer than any simulation.
const TTL: Duration = Duration::from_secs(6 * 3600);

/// As the node.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
const PING_INTERVAL: Duration = Duration::from_secs(10);
const IDENTIFY_CACHE: usize = 1000;

/// What the node's swarm consists of, as far as the overlay needs it.
#[derive(NetworkBehaviour)]
pub(crate) struct Shoal {
    limits: connection_limits::Behaviour,
    identify: OnHeap<identify::Behaviour>,
    ping: OnHeap<ping::Behaviour>,
    dht: shoal_dht::Behaviour,
}

/// How a node is made that is not quite as usual.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) limits: shoal_dht::Limits,
    pub(crate) connections: shoal_node::Limits,
    pub(crate) defences: Defences,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: shoal_dht::Limits::default(),
            connections: shoal_node::Limits::default(),
            defences: Defences::ALL,
        }
    }
}

/// The limits on connections that a node has, with so many dials of its own at once.
pub(crate) fn limits(limits: &shoal_node::Limits, dials: u32) -> connection_limits::Behaviour {
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits.pending))
        .with_max_pending_outgoing(Some(dials))
        .with_max_established_incoming(Some(limits.incoming))
        .with_max_established(Some(limits.total))
        .with_max_established_per_peer(Some(limits.per_peer));
    connection_limits::Behaviour::new(limits)
}

/// Identify as a node configures it.
pub(crate) fn identify(key: &Keypair) -> OnHeap<identify::Behaviour> {
    OnHeap::new(identify::Behaviour::new(
        identify::Config::new("/shoal/main/1".to_owned(), key.public())
            .with_push_listen_addr_updates(true)
            .with_cache_size(IDENTIFY_CACHE),
    ))
}

/// Ping as a node configures it.
pub(crate) fn ping() -> OnHeap<ping::Behaviour> {
    OnHeap::new(ping::Behaviour::new(
        ping::Config::new().with_timeout(PING_TIMEOUT).with_interval(PING_INTERVAL),
    ))
}

impl Shoal {
    pub(crate) fn with(key: &Keypair, address: &Multiaddr, options: &Options) -> Self {
        let is_global = AddressClass::of(address) == AddressClass::Global;
        // The scope without addresses would stay empty; leaving it out saves a third of the handlers.
        let scopes = if is_global { Scopes::Wan } else { Scopes::Lan };
        let (dht, _) = shoal_dht::Behaviour::new(&shoal_dht::Config {
            network: NetworkName::default(),
            keypair: key.clone(),
            scopes,
            mdns: false,
            limits: options.limits.clone(),
            defences: options.defences,
        });
        // What a node lets wait for its turn is refused here: the overlay should not want it in the first place.
        let limits = limits(&options.connections, options.connections.pending);
        Self { limits, identify: identify(key), ping: ping(), dht }
    }

    /// Takes what [`Behave::progress`] told in an earlier life.
    pub(crate) fn resume(&mut self, progress: &[u8]) {
        self.dht.resume(progress);
    }
}

/// What a node does with what the overlay tells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Nothing: the overlay alone is looked at.
    #[default]
    Aloof,
    /// As a node that wants content, it dials the providers that lookups find.
    Visiting(Dials),
}

/// What holds its dials back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dials {
    Free,
    /// The rules of a node, by its usual limits.
    Ruled,
}

impl Behave for Shoal {
    type Books = Habit;

    const NEGOTIATION: Version = Version::V1Lazy;

    fn new(key: &Keypair, address: &Multiaddr) -> Self {
        Self::with(key, address, &Options::default())
    }

    fn wrap(habit: &Habit, transport: Wires) -> Wires {
        match habit {
            Habit::Visiting(Dials::Ruled) => {
                shoal_node::ruled(transport, &shoal_node::Limits::default()).boxed()
            }
            _ => transport,
        }
    }

    fn listens(swarm: &mut Swarm<Self>, _: &Habit, address: &Multiaddr) {
        let own = [address.clone()];
        swarm.behaviour_mut().dht.set_own_addresses(&own, &own);
    }

    fn on_event(
        swarm: &mut Swarm<Self>,
        habit: &mut Habit,
        event: ShoalEvent,
        over: impl Fn(ConnectionId) -> Option<Multiaddr>,
        told: &mut Vec<Told>,
    ) {
        match event {
            ShoalEvent::Identify(identify::Event::Received { peer_id, connection_id, info }) => {
                if let Some(over) = over(connection_id) {
                    swarm.behaviour_mut().dht.identified(peer_id, &info, &over);
                }
            }
            ShoalEvent::Ping(ping::Event { connection, result: Err(_), .. }) => {
                swarm.close_connection(connection);
            }
            ShoalEvent::Dht(event) => {
                told.extend(tell(&event));
                if *habit != Habit::Aloof
                    && let Event::Found { provider, addresses, .. } = event
                {
                    // One who is connected already need not be dialled.
                    drop(swarm.dial(DialOpts::peer_id(provider).addresses(addresses).build()));
                }
            }
            _ => {}
        }
    }

    fn find(&mut self, _: &mut Habit, id: u64, key: ProviderKey) {
        self.dht.find(LookupId(id), key);
    }

    fn announce(&mut self, _: &mut Habit, id: u64, keys: &[ProviderKey], _: &mut Vec<Told>) {
        self.dht.announce(AnnounceId(id), keys, TTL);
    }

    fn table(&mut self, _: &Habit) -> Vec<PeerId> {
        self.dht.table().into_iter().map(|(_, peer, _)| peer).collect()
    }

    fn keep(&mut self, keys: &[OwnKey], ttl: Duration) {
        self.dht.keep_announced(keys, ttl);
        self.dht.all_kept();
    }

    fn progress(&mut self) -> Option<Vec<u8>> {
        self.dht.take_progress()
    }

    fn holds(&mut self, key: &ProviderKey, provider: &PeerId) -> bool {
        self.dht.holds(key, provider)
    }
}

fn tell(event: &Event) -> Option<Told> {
    match *event {
        Event::Found { id, provider, .. } => Some(Told::Found { id: id.0, provider }),
        Event::LookupEnded { id, hops, .. } => Some(Told::Ended { id: id.0, hops: Some(hops.into()) }),
        Event::Announced { id, asked, acknowledged, done, over } => {
            Some(Told::Announced { id: id.0, asked, acknowledged, done, over })
        }
        _ => None,
    }
}
