//! The handle to a running node, and how it starts and stops.

use std::{
    collections::HashSet,
    future::Future,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures::{Stream, StreamExt};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Cid, Digest, Link, NetworkName, ProviderKey, Ticket, TicketError, safe_file_name};
use shoal_store::{Selector, Share, Store};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    announce::{Announce, Announcer},
    config::Builder,
    error::{StartError, StoreError},
    events::{Events, Sink},
    find::{self, Find},
    get::{Flights, GetRequest},
    hint::{Hint, Unreached},
    home::{Home, Paths},
    job, join,
    library::Library,
    listen,
    net::{self, Driver, Net, PeerInfo, Wiring},
    publish::{self, PublishRequest},
    rates::{Pacers, Rates},
    seek::Seek,
    serve,
    status::{self, Status},
    strangers::Keeper,
    tasks::Tasks,
    trust::Trust,
};

/// How long a stopping node tells others that its records are void.
const WITHDRAWING: Duration = Duration::from_millis(1500);
/// How long the tasks of a stopping node get to end.
const ENDING: Duration = Duration::from_secs(3);

/// Contents found changed or missing that wait to be withdrawn. What does not fit is found again when it is asked for.
const BROKEN: usize = 256;

/// How often left-overs are cleared away.
const TIDYING: Duration = Duration::from_secs(24 * 3600);

/// A running node. Cheap to clone; dropping the last handle stops it, without the farewell of [`Node::stop`].
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
    _last: Arc<DropGuard>,
}

/// What the parts of a node share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Builder,
    pub(crate) paths: Paths,
    pub(crate) me: PeerId,
    pub(crate) store: Store,
    pub(crate) net: Net,
    pub(crate) opener: shoal_transfer::Opener,
    pub(crate) tasks: Tasks,
    pub(crate) events: Sink,
    pub(crate) announcer: Announcer,
    pub(crate) traffic: Traffic,
    pub(crate) flights: Flights,
    pub(crate) pacers: Pacers,
    started: Instant,
    mdns_failure: Option<String>,
    unreached: watch::Receiver<Vec<Unreached>>,
    jobs: watch::Sender<usize>,
    stop_asked: CancellationToken,
    trust: Mutex<Trust>,
    home: Mutex<Option<Home>>,
}

/// Bytes of content moved since the start, and ranges being sent now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: Arc<AtomicU64>,
    pub(crate) received: Arc<AtomicU64>,
    pub(crate) sending: Arc<AtomicU64>,
}

/// Counts one publish or get as under way until it is dropped.
pub(crate) struct Working(watch::Sender<usize>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.send_modify(|jobs| *jobs = jobs.saturating_sub(1));
    }
}

impl Inner {
    pub(crate) fn working(&self) -> Working {
        self.jobs.send_modify(|jobs| *jobs += 1);
        Working(self.jobs.clone())
    }

    /// Notes that `peer` sent bytes that are provably not those of `digest`.
    pub(crate) fn distrust(&self, peer: PeerId, digest: Digest) {
        let mut trust = self.trust.lock().unwrap_or_else(PoisonError::into_inner);
        if trust.proven(peer, digest, Instant::now()) {
            let net = self.net.clone();
            self.tasks.spawn_until_stop("ban", async move { net.ban(peer).await });
        }
    }

    /// A search for holders of `digest`.
    pub(crate) fn seek(&self, digest: Digest, hints: Vec<Hint>) -> Seek {
        Seek {
            net: self.net.clone(),
            me: self.me,
            key: ProviderKey::derive(&self.config.network, &digest),
            hints,
            started: self.started,
        }
    }

    /// Runs a short piece of work on the store.
    async fn on_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, shoal_store::StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        let done = self.tasks.blocking(move || work(&store)).await;
        Ok(done.ok_or(StoreError::Stopped)??)
    }
}

impl Node {
    /// Sets up a node.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(config: Builder) -> Result<Self, StartError> {
        let tasks = Tasks::new();
        let last = tasks.stopping().clone().drop_guard();
        let place = config.home.clone().ok_or(StartError::NoHome)?;
        let network = config.network.clone();
        let opening = tasks.blocking(move || {
            let home = Home::open(place)?;
            let key = home.identity()?;
            let store = Store::open(&home.paths().store, &network)?;
            let book = net::Book::open(home.paths().peers.clone(), SystemTime::now());
            Ok::<_, StartError>((home, key, store, book))
        });
        let (home, key, store, book) = opening.await.ok_or(StartError::Stopped)??;
        let me = key.public().to_peer_id();
        let mut parts = net::build(&config, &key)?;
        listen::listen(&mut parts.swarm, &config)?;

        let events = Sink::new();
        let known = book.recent();
        let (broken, found_broken) = mpsc::channel(BROKEN);
        let library = Library::new(store.clone(), tasks.clone(), broken, config.network.clone());
        // A node that is gone in a moment learns nothing worth keeping.
        let keeps_records = !config.transient;
        let (records, record_changes) = mpsc::channel(1);
        let wiring = Wiring {
            records,
            rules: parts.rules,
            answer: serve::answers(library.clone()),
            save: net::saver(tasks.clone()),
            events: events.clone(),
            book,
            external: config.external.clone(),
            protocol_version: net::protocol_version(&config.network),
            stop: tasks.stopping().clone(),
        };
        if keeps_records {
            parts.swarm.behaviour_mut().dht.expect_records();
        }
        let (driver, net) = Driver::new(parts.swarm, wiring);
        let started = Instant::now();
        let announcer = Announcer {
            net: net.clone(),
            store: store.clone(),
            tasks: tasks.clone(),
            network: config.network.clone(),
            started,
            policy: config.announce,
        };
        let traffic = Traffic::default();
        let pacers = Pacers::new(config.rates);
        tasks.spawn("network", driver.run());
        if keeps_records {
            let (path, network) = (home.paths().records.clone(), config.network.clone());
            let keeper = Keeper { net: net.clone(), tasks: tasks.clone(), network, path };
            tasks.spawn("records", keeper.run(record_changes));
        }
        tasks.spawn_until_stop(
            "serve",
            serve::serve_all(
                parts.incoming,
                library,
                tasks.clone(),
                traffic.clone(),
                pacers.clone(),
                config.limits.of_transfer(),
            ),
        );
        tasks.spawn_until_stop("withdraw", announcer.clone().withdraw_broken(found_broken, events.clone()));
        tasks.spawn_until_stop("announce", announcer.clone().keep_announced());
        let (tell, unreached) = watch::channel(Vec::new());
        let named = config.peers.clone();
        let joining = join::stay_joined(net.clone(), config.network.clone(), named, known, tell);
        tasks.spawn_until_stop("join", joining);
        if let Some(reason) = &parts.mdns_failure {
            tracing::warn!(%reason, "peers on the local network are not found by themselves; name one with --peer");
        }
        let mut listening = net.listening.clone();
        drop(
            tokio::time::timeout(listen::READY, listening.wait_for(|addresses| !addresses.is_empty())).await,
        );
        let inner = Inner {
            paths: home.paths().clone(),
            home: Mutex::new(Some(home)),
            config,
            me,
            store,
            net,
            opener: parts.opener,
            tasks,
            events,
            announcer,
            traffic,
            flights: Flights::default(),
            pacers,
            started,
            mdns_failure: parts.mdns_failure,
            unreached,
            jobs: watch::Sender::new(0),
            stop_asked: CancellationToken::new(),
            trust: Mutex::default(),
        };
        let inner = Arc::new(inner);
        inner.tasks.spawn_until_stop("tidy up", tidy_up(inner.store.clone(), inner.tasks.clone()));
        inner.tasks.spawn_until_stop("restore", publish::restore(inner.clone()));
        Ok(Self { inner, _last: Arc::new(last) })
    }

    /// The node's name in the network, which its secret key proves.
    pub fn peer_id(&self) -> PeerId {
        self.inner.me
    }

    /// The overlay that the node is in.
    pub fn network(&self) -> &NetworkName {
        &self.inner.config.network
    }

    /// Where its files are.
    pub fn paths(&self) -> &Paths {
        &self.inner.paths
    }

    /// The addresses that it listens on now.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.inner.net.listening.borrow().clone()
    }

    /// Publishes a file or directory where it is: nothing is copied.
    pub fn publish(&self, path: impl AsRef<Path>) -> PublishRequest {
        PublishRequest::new(self.clone(), path.as_ref())
    }

    /// Fetches content by its name, or by a ticket that also says where it may be.
    pub fn get(&self, link: impl Into<Link>) -> GetRequest {
        GetRequest::new(self.clone(), link.into())
    }

    /// Finds out who has content, whole or in part; `peers` are addresses to ask besides.
    pub fn find(&self, link: impl Into<Link>, peers: Vec<Multiaddr>) -> Find {
        find::find(&self.inner, &link.into(), peers)
    }

    /// Everything that this node shares, and whether it still is what was published.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn shares(&self) -> Result<Vec<Share>, StoreError> {
        self.inner.on_store(Store::shares).await
    }

    /// Whether this node itself has content, whole or in part, and serves it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn holds(&self, cid: &Cid) -> bool {
        let (store, digest) = (self.inner.store.clone(), cid.digest());
        let held = self.inner.tasks.blocking(move || store.held(&digest)).await;
        matches!(held, Some(Ok(Some(_))))
    }

    /// Paths that were shared, and of which a damaged store lost what it knew. They are published again while the node
    /// runs; what is still here after that is gone, or cannot be read.
    pub fn lost(&self) -> Vec<PathBuf> {
        self.inner.store.lost()
    }

    /// Stops sharing content and withdraws its announcements; the files stay. Returns what was shared.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave announcements to expire by themselves.
    pub async fn unpublish(&self, what: Selector) -> Result<Vec<Share>, StoreError> {
        let (files, network) = (self.inner.announcer.policy.files(), self.inner.config.network.clone());
        let unpublish = move |store: &Store| {
            let mut gone = store.announceable_of(&what, files)?;
            let removed = store.unpublish(&what)?;
            // What another share has too is here as before.
            let is_gone = |digest: &Digest| {
                matches!(store.digest_for(&ProviderKey::derive(&network, digest)), Ok(None))
            };
            gone.retain(is_gone);
            Ok((removed, gone))
        };
        let (removed, gone) = self.inner.on_store(unpublish).await?;
        drop(tokio::time::timeout(WITHDRAWING, self.inner.announcer.withdraw(&gone)).await);
        Ok(removed)
    }

    /// A ticket for content: its name and where this node can be reached, private addresses only with `lan`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn ticket(&self, cid: &Cid, lan: bool) -> Result<Ticket, TicketError> {
        let (store, digest) = (self.inner.store.clone(), cid.digest());
        let label = self.inner.tasks.blocking(move || store.label(&digest)).await;
        let label = label.and_then(Result::ok).flatten();
        let addresses = self.inner.config.external.iter().cloned().chain(self.addresses());
        let addresses = listen::for_ticket(addresses, self.peer_id(), lan);
        let size = label.as_ref().map(|label| label.size);
        let name = label.and_then(|label| safe_file_name(&label.name));
        Ticket::new(*cid, size, name, addresses)
    }

    /// The state of the node now.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn status(&self) -> Status {
        let inner = &self.inner;
        let peers = inner.net.peers().await;
        let overlay = inner.net.overlay().await;
        let limits = &inner.config.limits;
        let shares = inner.on_store(Store::share_count).await.unwrap_or_default();
        let announces = inner.config.announce != Announce::Nothing;
        Status {
            version: env!("CARGO_PKG_VERSION"),
            peer_id: inner.me,
            network: inner.config.network.clone(),
            scopes: inner.config.scopes,
            addresses: self.addresses(),
            external: inner.config.external.clone(),
            uptime: inner.started.elapsed(),
            peers: peers.len(),
            members: peers.iter().filter(|peer| peer.member).count(),
            shares,
            tables: overlay.tables,
            records: overlay.records,
            own_keys: overlay.own_keys,
            problems: status::problems(&overlay.stats, shares, announces),
            overlays: overlay.stats,
            sent: inner.traffic.sent.load(Ordering::Relaxed),
            received: inner.traffic.received.load(Ordering::Relaxed),
            sending: usize::try_from(inner.traffic.sending.load(Ordering::Relaxed)).unwrap_or(usize::MAX),
            jobs: *inner.jobs.borrow(),
            panics: inner.tasks.panics(),
            mdns_failure: inner.mdns_failure.clone(),
            rates: self.rates(),
            unreached: inner.unreached.borrow().clone(),
            limits: limits.list(),
        }
    }

    /// How fast content may move.
    pub fn rates(&self) -> Rates {
        self.inner.pacers.rates()
    }

    /// Changes how fast content may move, for what is under way too.
    pub fn set_rates(&self, rates: Rates) {
        self.inner.pacers.set(rates);
    }

    /// The connected peers.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn peers(&self) -> Vec<PeerInfo> {
        self.inner.net.peers().await
    }

    /// Tells which of the peers that the builder was given cannot be used, as that is found: each reason once.
    pub fn unreached(&self) -> impl Stream<Item = Unreached> + Send + 'static + use<> {
        let mut lists = self.inner.unreached.clone();
        lists.mark_changed();
        let mut told = HashSet::new();
        let peers = job::snapshots_of(lists).flat_map(futures::stream::iter);
        peers.filter(move |peer| futures::future::ready(told.insert(peer.clone())))
    }

    /// Watches what happens from now on.
    pub fn events(&self) -> Events {
        self.inner.events.watch()
    }

    /// Waits until no publish, no get and no find is under way, whoever started it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn jobs_done(&self) {
        drop(self.inner.jobs.subscribe().wait_for(|jobs| *jobs == 0).await);
    }

    /// Asks whoever owns the node's life to stop it; see [`Node::stop_asked`].
    pub fn ask_to_stop(&self) {
        self.inner.stop_asked.cancel();
    }

    /// Waits until somebody asks the node to stop.
    pub fn stop_asked(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.stop_asked.clone().cancelled_owned()
    }

    /// Stops the node: withdraws its announcements, ends its jobs, closes its connections, frees its home.
    ///
    /// # Errors
    ///
    /// Some tasks did not end within the deadline; they are cut off when the runtime ends.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a node that is stopped half way neither serves nor frees its home.
    pub async fn stop(self) -> Result<(), StopError> {
        let inner = &self.inner;
        let withdrawal = async {
            let digests = inner.announcer.everything().await;
            inner.announcer.withdraw(&digests).await;
        };
        drop(tokio::time::timeout(WITHDRAWING, withdrawal).await);
        let ended = inner.tasks.end(ENDING).await;
        let running = inner.tasks.running();
        drop(inner.home.lock().unwrap_or_else(PoisonError::into_inner).take());
        if ended { Ok(()) } else { Err(StopError { running }) }
    }
}

/// Clears away what killed processes and removed parts left in the store: soon after the start, and once a day.
async fn tidy_up(store: Store, tasks: Tasks) {
    loop {
        let store = store.clone();
        match tasks.long(move || store.collect()).await {
            Some(Ok(0)) | None => {}
            Some(Ok(count)) => tracing::debug!(count, "left-overs were cleared away"),
            Some(Err(error)) => tracing::warn!(%error, "left-overs could not be cleared away"),
        }
        tokio::time::sleep(TIDYING).await;
    }
}

/// Some work did not end when the node stopped.
#[derive(Debug, thiserror::Error)]
#[error("{running} tasks did not end in time")]
pub struct StopError {
    /// How many.
    pub running: usize,
}
