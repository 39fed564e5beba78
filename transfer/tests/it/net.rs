//! Swarms over memory transport, each driven by a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::channel::oneshot;
use futures::{FutureExt, StreamExt};
use libp2p::core::transport::MemoryTransport;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, Transport, noise, yamux};
use shoal_content::NetworkName;
use shoal_store::Store;
use shoal_transfer::{Behaviour, Incoming, Limits, Opener, Outcome, Pool, ServeError, ServeEvent, serve};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What must happen soon in a test must happen within this.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("this must happen soon")
}

/// A node: its swarm runs until this is dropped.
pub(crate) struct Node {
    pub(crate) id: PeerId,
    pub(crate) address: Multiaddr,
    pub(crate) opener: Opener,
    /// Connections now open.
    pub(crate) connections: watch::Receiver<usize>,
    stop: oneshot::Sender<()>,
    tasks: JoinSet<()>,
}

/// How to start a node.
pub(crate) struct Config {
    pub(crate) key: Keypair,
    pub(crate) address: Multiaddr,
    pub(crate) limits: Limits,
    pub(crate) idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            key: Keypair::generate_ed25519(),
            address: "/memory/0".parse().unwrap(),
            limits: Limits::default(),
            idle: Duration::from_secs(10),
        }
    }
}

pub(crate) fn swarm<B: NetworkBehaviour>(key: Keypair, idle: Duration, behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|key| {
            MemoryTransport::default()
                .upgrade(Version::V1Lazy)
                .authenticate(noise::Config::new(key).unwrap())
                .multiplex(yamux::Config::default())
        })
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(idle)
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .build()
}

impl Node {
    pub(crate) async fn start(config: Config) -> (Self, Incoming) {
        let id = config.key.public().to_peer_id();
        let (behaviour, opener, incoming) = Behaviour::new(id, &NetworkName::default(), config.limits);
        let mut swarm = swarm(config.key, config.idle, behaviour);
        let listener = swarm.listen_on(config.address).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = soon(swarm.next()).await.unwrap() {
                break address;
            }
        };
        let (count, connections) = watch::channel(0);
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut stopped = stopped.fuse();
            loop {
                tokio::select! {
                    // A memory address is free again when its listener is removed, not when it is dropped.
                    Ok(()) = &mut stopped => {
                        swarm.remove_listener(listener);
                        return;
                    }
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::ConnectionEstablished { .. } => count.send_modify(|count| *count += 1),
                        SwarmEvent::ConnectionClosed { .. } => count.send_modify(|count| *count -= 1),
                        _ => {}
                    }
                }
            }
        });
        (Node { id, address, opener, connections, stop, tasks }, incoming)
    }
}

impl Node {
    /// Stops the swarm and waits until its address is free.
    pub(crate) async fn stop(mut self) {
        self.stop.send(()).unwrap();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A node that serves a store.
pub(crate) struct Provider {
    pub(crate) node: Node,
    pub(crate) served: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) bytes: AtomicU64,
    pub(crate) streams: AtomicUsize,
    pub(crate) requests: AtomicUsize,
    /// Wants of peers that know the digest.
    pub(crate) asked: AtomicUsize,
    pub(crate) changed: AtomicUsize,
    /// Streams that did not end well, but for those that broke.
    pub(crate) failed: AtomicUsize,
}

impl Provider {
    pub(crate) async fn start(store: &Store, pool: &Arc<dyn Pool>) -> Self {
        Provider::start_with(Config::default(), store, pool).await
    }

    pub(crate) async fn start_with(config: Config, store: &Store, pool: &Arc<dyn Pool>) -> Self {
        let limits = config.limits.clone();
        let (node, mut incoming) = Node::start(config).await;
        let served = Arc::new(Counts::default());
        let (store, pool, counts) = (store.clone(), pool.clone(), served.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut transfers = JoinSet::new();
            while let Some(inbound) = incoming.next().await {
                let (store, pool, limits, counts) =
                    (store.clone(), pool.clone(), limits.clone(), counts.clone());
                transfers.spawn(async move {
                    counts.streams.fetch_add(1, Ordering::Relaxed);
                    let observe = |event| counts.count(event);
                    match serve(inbound, &store, &*pool, &limits, observe).await {
                        // A peer that has everything closes the connection without waiting for us.
                        Ok(()) | Err(ServeError::Io(_)) => 0,
                        Err(_) => counts.failed.fetch_add(1, Ordering::Relaxed),
                    };
                });
            }
        });
        Provider { node, served, _tasks: tasks }
    }
}

impl Counts {
    fn count(&self, event: ServeEvent) {
        match event {
            ServeEvent::Began => self.requests.fetch_add(1, Ordering::Relaxed),
            ServeEvent::Asked(_) => self.asked.fetch_add(1, Ordering::Relaxed),
            ServeEvent::Served(served) if served.outcome == Outcome::Changed => {
                self.changed.fetch_add(1, Ordering::Relaxed)
            }
            _ => 0,
        };
        if let ServeEvent::Sent(bytes) = event {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}
