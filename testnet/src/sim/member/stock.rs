//! A node of libp2p's Kademlia as it comes, to compare with: memory store, default configuration.

use std::collections::HashMap;

use libp2p::core::upgrade::Version;
use libp2p::{
    Multiaddr, PeerId, Swarm, connection_limits, identify,
    identity::Keypair,
    kad::{
        self, GetProvidersOk, QueryId, QueryResult, RecordKey,
        store::{MemoryStore, RecordStore as _},
    },
    ping,
    swarm::{ConnectionId, NetworkBehaviour},
};
use shoal_content::ProviderKey;
use shoal_dht::OnHeap;

use super::{Behave, Told, shoal};

/// Dials at once, as many as a node makes or lets wait: it does not hold itself back, and is not to suffer from that.
const DIALS: u32 = 512;

/// Stock Kademlia, and the same around it as around Shoal's.
#[derive(NetworkBehaviour)]
pub(crate) struct Stock {
    limits: connection_limits::Behaviour,
    identify: OnHeap<identify::Behaviour>,
    ping: OnHeap<ping::Behaviour>,
    kad: OnHeap<kad::Behaviour<MemoryStore>>,
}

/// Whose queries run.
#[derive(Default)]
pub(crate) struct Books {
    searches: HashMap<QueryId, u64>,
    announcements: HashMap<QueryId, u64>,
    /// Keys of each announcement that are not through.
    left: HashMap<u64, usize>,
    /// Who it is, if its table is filled for it and it does not look around by itself.
    settled: Option<PeerId>,
}

impl Books {
    fn on_progress(&mut self, query: QueryId, result: QueryResult, is_last: bool, told: &mut Vec<Told>) {
        if let Some(&id) = self.searches.get(&query) {
            if let QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders { providers, .. })) = result {
                told.extend(providers.into_iter().map(|provider| Told::Found { id, provider }));
            }
            if is_last {
                self.searches.remove(&query);
                told.push(Told::Ended { id, hops: None });
            }
        } else if is_last && let Some(id) = self.announcements.remove(&query) {
            self.through(id, told);
        }
    }

    /// One more key of an announcement is through. Nobody acknowledges it: stock Kademlia cannot know.
    fn through(&mut self, id: u64, told: &mut Vec<Told>) {
        let Some(left) = self.left.get_mut(&id) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.left.remove(&id);
            told.push(Told::Announced { id, asked: 0, acknowledged: 0, done: true, over: true });
        }
    }
}

impl Stock {
    fn with(key: &Keypair, config: kad::Config) -> Self {
        let peer = key.public().to_peer_id();
        let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), config);
        kad.set_mode(Some(kad::Mode::Server));
        Self {
            limits: shoal::limits(&shoal_node::Limits::default(), DIALS),
            identify: shoal::identify(key),
            ping: shoal::ping(),
            kad: OnHeap::new(kad),
        }
    }

    /// One that never looks around, neither now and then nor when it meets somebody: it will be told whom there is.
    pub(crate) fn settled(key: &Keypair) -> (Self, Books) {
        let mut config = kad::Config::new(kad::PROTOCOL_NAME);
        config.set_periodic_bootstrap_interval(None);
        (Self::with(key, config), Books { settled: Some(key.public().to_peer_id()), ..Books::default() })
    }
}

impl Behave for Stock {
    type Books = Books;

    const NEGOTIATION: Version = Version::V1;

    fn new(key: &Keypair, _: &Multiaddr) -> Self {
        Self::with(key, kad::Config::new(kad::PROTOCOL_NAME))
    }

    fn listens(swarm: &mut Swarm<Self>, _: &Books, address: &Multiaddr) {
        swarm.add_external_address(address.clone());
    }

    fn on_event(
        swarm: &mut Swarm<Self>,
        books: &mut Books,
        event: StockEvent,
        _: impl Fn(ConnectionId) -> Option<Multiaddr>,
        told: &mut Vec<Told>,
    ) {
        match event {
            StockEvent::Identify(identify::Event::Received { peer_id, info, .. })
                if info.protocols.contains(&kad::PROTOCOL_NAME) =>
            {
                for address in info.listen_addrs {
                    swarm.behaviour_mut().kad.add_address(&peer_id, address);
                }
            }
            StockEvent::Ping(ping::Event { connection, result: Err(_), .. }) => {
                swarm.close_connection(connection);
            }
            StockEvent::Kad(kad::Event::OutboundQueryProgressed {
                id,
                result: QueryResult::Bootstrap(_),
                ..
            }) if books.settled.is_some() => {
                if let Some(mut next) = swarm.behaviour_mut().kad.query_mut(&id) {
                    next.finish();
                }
            }
            StockEvent::Kad(kad::Event::OutboundQueryProgressed { id, result, step, .. }) => {
                books.on_progress(id, result, step.last, told);
            }
            _ => {}
        }
    }

    fn find(&mut self, books: &mut Books, id: u64, key: ProviderKey) {
        let query = self.kad.get_providers(RecordKey::new(key.as_bytes()));
        books.searches.insert(query, id);
    }

    fn announce(&mut self, books: &mut Books, id: u64, keys: &[ProviderKey], told: &mut Vec<Told>) {
        books.left.insert(id, keys.len());
        for key in keys {
            match self.kad.start_providing(RecordKey::new(key.as_bytes())) {
                Ok(query) => {
                    books.announcements.insert(query, id);
                }
                // Its store is full of strangers' keys, and nobody will find this one.
                Err(_) => books.through(id, told),
            }
        }
    }

    fn acquaint(&mut self, books: &mut Books, others: &[(PeerId, Multiaddr)]) {
        let Some(own) = books.settled.map(kad::KBucketKey::from) else { return };
        let mut held = HashMap::<_, usize>::new();
        for (peer, address) in others {
            // The bits that they share tell the bucket. A peer beyond what it holds would make the node try the others.
            let held = held.entry(own.distance(&kad::KBucketKey::from(*peer)).ilog2()).or_default();
            *held += 1;
            if *held <= kad::K_VALUE.get() {
                self.kad.add_address(peer, address.clone());
            }
        }
        // Whom it just met would make it look around a moment later; to have begun already keeps it from that. What was
        // begun ends before the first question, each part when the one before is told of.
        if let Ok(query) = self.kad.bootstrap()
            && let Some(mut query) = self.kad.query_mut(&query)
        {
            query.finish();
        }
    }

    fn table(&mut self, _: &Books) -> Vec<PeerId> {
        let buckets = self.kad.kbuckets();
        buckets
            .flat_map(|bucket| bucket.iter().map(|entry| *entry.node.key.preimage()).collect::<Vec<_>>())
            .collect()
    }

    fn holds(&mut self, key: &ProviderKey, provider: &PeerId) -> bool {
        let records = self.kad.store_mut().providers(&RecordKey::new(key.as_bytes()));
        records.iter().any(|record| record.provider == *provider)
    }
}
