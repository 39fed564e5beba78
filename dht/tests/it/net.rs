//! A network of nodes in one task, each a swarm with identify and the behaviour under test.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::stream::SelectAll;
use futures::{Stream, StreamExt};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify};
use libp2p_swarm_test::SwarmExt;
use shoal_content::{Digest, NetworkName, ProviderKey};
use shoal_dht::{AnnounceId, Behaviour, Config, Defences, Event, Limits, LookupId, Outcome, Scopes};

/// Far more than anything here takes, so that only a hang reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

#[derive(NetworkBehaviour)]
pub(crate) struct Protocols {
    identify: identify::Behaviour,
    pub(crate) dht: Behaviour,
}

/// All nodes, and what each one's behaviour has told.
pub(crate) struct Net {
    nodes: SelectAll<Node>,
    count: usize,
    limits: Limits,
    pub(crate) told: Vec<Vec<Event>>,
    next_id: u64,
}

struct Node {
    index: usize,
    swarm: Option<Swarm<Protocols>>,
    remotes: HashMap<ConnectionId, Multiaddr>,
    is_frozen: bool,
}

/// Every event of the swarm, so that conditions are looked at again; those of the behaviour with content.
impl Stream for Node {
    type Item = (usize, Option<Event>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { index, swarm, remotes, is_frozen } = &mut *self;
        if *is_frozen {
            return Poll::Pending;
        }
        let Some(swarm) = swarm else {
            return Poll::Ready(None);
        };
        let Poll::Ready(Some(event)) = swarm.poll_next_unpin(cx) else {
            return Poll::Pending;
        };
        let mut told = None;
        match event {
            SwarmEvent::NewListenAddr { .. } => {
                let listen: Vec<_> = swarm.listeners().cloned().collect();
                swarm.behaviour_mut().dht.set_own_addresses(&listen, &[]);
            }
            SwarmEvent::ConnectionEstablished { connection_id, endpoint, .. } => {
                remotes.insert(connection_id, endpoint.get_remote_address().clone());
            }
            SwarmEvent::Behaviour(ProtocolsEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            })) => swarm.behaviour_mut().dht.identified(peer_id, &info, &remotes[&connection_id]),
            SwarmEvent::Behaviour(ProtocolsEvent::Dht(event)) => told = Some(event),
            _ => {}
        }
        Poll::Ready(Some((*index, told)))
    }
}

impl Net {
    /// Nodes that listen and know nobody.
    pub(crate) async fn new(count: usize) -> Self {
        Self::with_limits(count, Limits::default()).await
    }

    pub(crate) async fn with_limits(count: usize, limits: Limits) -> Self {
        let mut net = Self { nodes: SelectAll::new(), count: 0, limits, told: Vec::new(), next_id: 0 };
        for _ in 0..count {
            net.add().await;
        }
        net
    }

    /// Adds a node that listens and knows nobody.
    pub(crate) async fn add(&mut self) -> usize {
        let limits = self.limits.clone();
        let mut swarm = Swarm::new_ephemeral_tokio(|keypair| {
            let identify = identify::Config::new("/test/1".to_owned(), keypair.public());
            let config = Config {
                network: NetworkName::default(),
                keypair,
                scopes: Scopes::Both,
                mdns: false,
                limits,
                defences: Defences::ALL,
            };
            let (dht, mdns_error) = Behaviour::new(&config);
            assert!(mdns_error.is_none());
            Protocols { identify: identify::Behaviour::new(identify), dht }
        });
        swarm.listen_on("/memory/0".parse().expect("an address")).expect("listens");
        let index = self.count;
        self.nodes.push(Node { index, swarm: Some(swarm), remotes: HashMap::new(), is_frozen: false });
        self.count += 1;
        self.told.push(Vec::new());
        self.until("a listen address", |net| net.swarm(index).listeners().count() > 0).await;
        index
    }

    fn node(&mut self, index: usize) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.index == index).expect("a running node")
    }

    fn swarm(&mut self, index: usize) -> &mut Swarm<Protocols> {
        self.node(index).swarm.as_mut().expect("a running node")
    }

    pub(crate) fn dht(&mut self, index: usize) -> &mut Behaviour {
        &mut self.swarm(index).behaviour_mut().dht
    }

    pub(crate) fn peer(&mut self, index: usize) -> PeerId {
        *self.swarm(index).local_peer_id()
    }

    pub(crate) fn address(&mut self, index: usize) -> Multiaddr {
        self.swarm(index).listeners().next().expect("it listens").clone()
    }

    pub(crate) fn lan_peers(&mut self, index: usize) -> usize {
        self.dht(index).stats().lan_peers
    }

    /// Ends a node without a word to anybody.
    pub(crate) fn kill(&mut self, index: usize) {
        self.node(index).swarm = None;
    }

    /// Stops a node in its tracks: its connections stay, and nobody answers.
    pub(crate) fn freeze(&mut self, index: usize) {
        self.node(index).is_frozen = true;
    }

    /// Lets a node dial another one.
    pub(crate) fn dial(&mut self, from: usize, to: usize) {
        let address = self.address(to).with_p2p(self.peer(to)).expect("an address");
        self.swarm(from).dial(address).expect("dials");
    }

    /// Connects every node to the one before it, and waits until tables hold `at_least` peers.
    pub(crate) async fn chain(&mut self, at_least: usize) {
        for index in 1..self.count {
            self.dial(index, index - 1);
        }
        self.until("full tables", |net| (0..net.count).all(|i| net.lan_peers(i) >= at_least)).await;
    }

    /// Runs all nodes until a condition holds.
    pub(crate) async fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            self.run_before(deadline, what).await;
        }
    }

    /// Runs all nodes until one of them has done something.
    pub(crate) async fn step(&mut self, what: &str) {
        self.run_before(Instant::now() + PATIENCE, what).await;
    }

    async fn run_before(&mut self, deadline: Instant, what: &str) {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, self.nodes.next()).await {
            Ok(Some((index, told))) => self.told[index].extend(told),
            Ok(None) => panic!("no node runs"),
            Err(_) => panic!("waited in vain for {what}: {:?}", self.told),
        }
    }

    pub(crate) fn is_in_table(&mut self, index: usize, peer: &PeerId) -> bool {
        self.dht(index).table().iter().any(|(_, member, _)| member == peer)
    }

    /// Announces keys and waits until everybody asked has answered: (acknowledged, asked).
    pub(crate) async fn announce(&mut self, index: usize, keys: &[ProviderKey]) -> (usize, usize) {
        let id = self.start_announcing(index, keys);
        self.announced(index, id).await
    }

    pub(crate) fn start_announcing(&mut self, index: usize, keys: &[ProviderKey]) -> AnnounceId {
        self.next_id += 1;
        let id = AnnounceId(self.next_id);
        self.dht(index).announce(id, keys, HOUR);
        id
    }

    pub(crate) async fn announced(&mut self, index: usize, id: AnnounceId) -> (usize, usize) {
        let mut counts = None;
        self.until("an announcement", |net| {
            counts = net.told[index].iter().find_map(|event| match event {
                Event::Announced { id: of, acknowledged, asked, over: true, .. } if *of == id => {
                    Some((*acknowledged, *asked))
                }
                _ => None,
            });
            counts.is_some()
        })
        .await;
        counts.expect("the loop ended")
    }

    pub(crate) fn start_finding(&mut self, index: usize, key: ProviderKey) -> LookupId {
        self.next_id += 1;
        let id = LookupId(self.next_id);
        self.dht(index).find(id, key);
        id
    }

    /// Looks a key up, to the end.
    pub(crate) async fn find(&mut self, index: usize, key: ProviderKey) -> Found {
        let id = self.start_finding(index, key);
        self.until("the end of a lookup", |net| net.found(index, id).ended.is_some()).await;
        self.found(index, id)
    }

    /// Looks a key up until the first provider, or to the end.
    pub(crate) async fn find_one(&mut self, index: usize, key: ProviderKey) -> Option<PeerId> {
        let id = self.start_finding(index, key);
        self.until("a provider", |net| {
            let found = net.found(index, id);
            found.ended.is_some() || !found.providers.is_empty()
        })
        .await;
        self.dht(index).stop_find(id);
        self.found(index, id).providers.into_keys().next()
    }

    /// What a lookup has told so far.
    pub(crate) fn found(&self, index: usize, lookup: LookupId) -> Found {
        let mut found = Found::default();
        for event in &self.told[index] {
            match event {
                Event::Found { id, provider, addresses } if *id == lookup => {
                    found.providers.entry(*provider).or_default().extend(addresses.iter().cloned());
                }
                Event::LookupEnded { id, asked, outcome, .. } if *id == lookup => {
                    assert_eq!(found.ended, None, "a lookup ends once");
                    found.ended = Some((*asked, *outcome));
                }
                _ => {}
            }
        }
        found
    }
}

/// What a lookup told.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) providers: HashMap<PeerId, Vec<Multiaddr>>,
    pub(crate) ended: Option<(usize, Outcome)>,
}

pub(crate) fn key(seed: u64) -> ProviderKey {
    ProviderKey::derive(&NetworkName::default(), &Digest::of(&seed.to_be_bytes()))
}
