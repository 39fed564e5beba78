//! One overlay on the wire: Kademlia and the announce protocol, kept within their scope.
//!
//! Owns: the routing table, the records, the announcer.  Hears: what the swarm and strangers say, keys to
//! find, announce and withdraw.  Tells: providers found, walks ended, how announcements go.
//! Invariant: of the addresses that strangers tell, only those of this scope are stored, handed on or
//! dialled, and a connection from outside the scope is not offered these protocols.

mod hearing;
mod kad_store;
mod remote;
mod wiring;

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;
use libp2p::kad::{self, QueryId, RecordKey};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use shoal_content::{NetworkName, ProviderKey};

use crate::codec::Codec;
use crate::config::Config;
use crate::lookup::LookupId;
use crate::provide::{self, Note, Provide, Task};
use crate::record_store::RecordStore;
use crate::scope::{AddressClass, Scope};
use kad_store::KadStore;
use remote::Remote;

/// Bytes of one Kademlia message: forty peers with all their addresses. The library's 16 KiB would make
/// a full answer undecodable.
const MAX_KAD_MESSAGE: usize = 64 * 1024;

/// Requests that one walk keeps open. With the library's three, three dead peers stall a walk for as long
/// as it takes to find out.
const WALK_PARALLELISM: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// An announcement and its receipt must be through within this.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(10);

/// Announce streams per connection, both ways. We send one at a time to a peer, and each inbound one may
/// hold a whole message in memory.
const ANNOUNCE_STREAMS: usize = 4;

/// Failed dials in a row after which a peer leaves the table. Every walk that meets a dead peer waits for
/// it; one failure may be a lost packet.
const MAX_DIAL_FAILURES: u8 = 2;

/// How often expired records and other leftovers are dropped. Records are not told any more as soon as they
/// expire.
const SWEEP: Duration = Duration::from_secs(60);

/// The two protocols of a scope, within it.
pub struct Overlay {
    scope: Scope,
    network: NetworkName,
    keypair: Keypair,
    local: PeerId,
    kad_protocol: StreamProtocol,
    protocols: Protocols,
    provide: Provide,
    queries: HashMap<QueryId, Query>,
    connections: HashMap<ConnectionId, Remote>,
    dial_failures: HashMap<PeerId, u8>,
    /// Peers in the routing table.
    peers: usize,
    /// How strangers' loopback addresses are taken: see [`Overlay::refresh_table`].
    believes: AddressClass,
    last_sequence: u64,
    next_sweep: Instant,
    events: VecDeque<Event>,
}

/// The behaviours underneath.
#[derive(NetworkBehaviour)]
pub struct Protocols {
    kad: kad::Behaviour<KadStore>,
    announce: request_response::Behaviour<Codec>,
}

/// What an overlay tells the façade.
#[derive(Debug)]
pub enum Event {
    /// A lookup met a provider.
    Found { id: LookupId, provider: PeerId, addresses: Vec<Multiaddr> },
    /// So many nodes have answered a lookup's walk through this overlay; perhaps it is over.
    Walked { id: LookupId, asked: usize, over: bool },
    /// A task went on.
    Task(Task, Note),
    /// The routing table gained a peer.
    TableGrew,
    /// The routing table lost a peer, or an address changed.
    TableChanged,
}

/// Why a Kademlia query runs.
#[derive(Clone, Copy)]
enum Query {
    Lookup(LookupId),
    Walk(provide::Walk),
}

impl Overlay {
    pub(crate) fn new(scope: Scope, config: &Config, now: Instant) -> Self {
        let local = config.keypair.public().to_peer_id();
        let kad_protocol = protocol(&config.network, scope, "kad");
        let records = RecordStore::new(config.limits.records, config.limits.providers_per_key);

        let mut kad_config = kad::Config::new(kad_protocol.clone());
        kad_config
            .set_max_packet_size(MAX_KAD_MESSAGE)
            .set_parallelism(WALK_PARALLELISM)
            .set_query_timeout(config.limits.lookup_deadline)
            .set_kbucket_inserts(kad::BucketInserts::Manual)
            // Announcements come signed, by a protocol of their own, and are renewed by our own list.
            .set_record_filtering(kad::StoreInserts::FilterBoth)
            .set_caching(kad::Caching::Disabled)
            .set_replication_interval(None)
            .set_publication_interval(None)
            .set_provider_publication_interval(None);
        let mut kad = kad::Behaviour::with_config(local, KadStore::new(local, records), kad_config);
        kad.set_mode(Some(match scope {
            Scope::Lan => kad::Mode::Server,
            Scope::Wan => kad::Mode::Client,
        }));
        let announce = request_response::Behaviour::with_codec(
            Codec::new(config.network.clone(), scope),
            [(protocol(&config.network, scope, "announce"), ProtocolSupport::Full)],
            request_response::Config::default()
                .with_request_timeout(ANNOUNCE_TIMEOUT)
                .with_max_concurrent_streams(ANNOUNCE_STREAMS),
        );
        Self {
            scope,
            network: config.network.clone(),
            keypair: config.keypair.clone(),
            local,
            kad_protocol,
            protocols: Protocols { kad, announce },
            provide: Provide::default(),
            queries: HashMap::new(),
            connections: HashMap::new(),
            dial_failures: HashMap::new(),
            peers: 0,
            believes: AddressClass::Private,
            last_sequence: 0,
            next_sweep: now,
            events: VecDeque::new(),
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether there is somebody to ask.
    pub(crate) fn has_peers(&self) -> bool {
        self.peers > 0
    }

    /// Whether an announcement can be made: there is somebody to tell, and an address to tell.
    pub(crate) fn can_announce(&mut self) -> bool {
        self.has_peers() && !self.protocols.kad.store_mut().own_addresses().is_empty()
    }

    /// Sets the addresses that we announce.
    ///
    /// A node joins the `wan` table of others only once one of its addresses is known to be reachable.
    pub(crate) fn set_own_addresses(&mut self, listen: &[Multiaddr], external: &[Multiaddr], now: Instant) {
        let own = match self.scope {
            Scope::Lan => self.scope.usable(listen.iter().chain(external), AddressClass::Loopback),
            Scope::Wan => self.scope.usable(external, AddressClass::Loopback),
        };
        if own == self.protocols.kad.store_mut().own_addresses() {
            return;
        }
        if self.scope == Scope::Wan {
            let mode = if own.is_empty() { kad::Mode::Client } else { kad::Mode::Server };
            self.protocols.kad.set_mode(Some(mode));
        }
        self.protocols.kad.store_mut().set_own_addresses(own);
        self.provide.renew_all(now);
    }

    /// Takes what identify learned over a connection of class `over`: a peer that serves this overlay joins
    /// the table, one that does not leaves it.
    pub(crate) fn identified(
        &mut self,
        peer: PeerId,
        protocols: &[StreamProtocol],
        listen: &[Multiaddr],
        over: AddressClass,
    ) {
        if !self.scope.speaks_over(over) {
            return;
        }
        if protocols.contains(&self.kad_protocol) {
            self.add_peer(peer, listen, over);
        } else {
            self.remove_peer(&peer);
        }
    }

    /// Adds addresses that a peer connected over `over` told, or our own user for [`AddressClass::Loopback`].
    pub(crate) fn add_peer(&mut self, peer: PeerId, addresses: &[Multiaddr], over: AddressClass) {
        for address in self.scope.usable(addresses, over) {
            self.protocols.kad.add_address(&peer, address);
        }
    }

    pub(crate) fn remove_peer(&mut self, peer: &PeerId) {
        self.dial_failures.remove(peer);
        if self.protocols.kad.remove_peer(peer).is_some() {
            self.refresh_table();
            self.events.push_back(Event::TableChanged);
        }
    }

    pub(crate) fn bootstrap(&mut self) {
        // The only error is an empty table, which fills by itself or not at all.
        let _ = self.protocols.kad.bootstrap();
    }

    pub(crate) fn table(&mut self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let kad = &mut self.protocols.kad;
        kad.kbuckets()
            .flat_map(|bucket| {
                let peers = bucket
                    .iter()
                    .map(|entry| (*entry.node.key.preimage(), entry.node.value.iter().cloned().collect()));
                peers.collect::<Vec<_>>()
            })
            .collect()
    }

    pub(crate) fn announce(&mut self, task: Task, keys: &[ProviderKey], ttl: Duration) {
        self.protocols.kad.store_mut().provide(keys);
        self.provide.announce(task, keys, ttl);
    }

    pub(crate) fn withdraw(&mut self, task: Task, keys: &[ProviderKey], now: Instant) {
        self.protocols.kad.store_mut().stop_providing(keys);
        self.provide.withdraw(task, keys, now);
    }

    /// What we hold ourselves about a key.
    pub(crate) fn recall(&mut self, key: &ProviderKey, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.protocols.kad.store_mut().records.sample(key, kad::K_VALUE.get(), now)
    }

    /// Begins a lookup's walk.
    pub(crate) fn find(&mut self, id: LookupId, key: ProviderKey) {
        let query = self.protocols.kad.get_providers(RecordKey::new(key.as_bytes()));
        self.queries.insert(query, Query::Lookup(id));
    }

    /// Ends every walk of a lookup.
    pub(crate) fn stop_find(&mut self, id: LookupId) {
        self.queries.retain(|query, why| {
            let stop = matches!(why, Query::Lookup(other) if *other == id);
            if stop && let Some(mut running) = self.protocols.kad.query_mut(query) {
                running.finish();
            }
            !stop
        });
    }

    /// Notes that time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            self.protocols.kad.store_mut().records.sweep(now);
            let table: HashSet<_> = self.table().into_iter().map(|(peer, _)| peer).collect();
            self.dial_failures.retain(|peer, _| table.contains(peer));
        }
        self.refresh_table();
        self.provide.table_size(self.peers, now);
        self.provide.tick(now);
    }

    pub(crate) fn peers(&self) -> usize {
        self.peers
    }

    pub(crate) fn records(&mut self) -> usize {
        self.protocols.kad.store_mut().records.len()
    }

    pub(crate) fn own_keys(&self) -> usize {
        self.provide.len()
    }
}

/// `/shoal/<network>/<scope>/<name>/1`
#[expect(clippy::expect_used, reason = "the only way to be wrong is not to begin with a slash")]
fn protocol(network: &NetworkName, scope: Scope, name: &str) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/shoal/{}/{scope}/{name}/1", network.as_str()))
        .expect("it begins with a slash")
}

#[cfg(test)]
mod tests;
