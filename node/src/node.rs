//! The handle to a running node, and how it starts and stops.

use std::{
    collections::HashSet,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures::{Stream, StreamExt};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Cid, Digest, Link, NetworkName, ProviderKey};
use shoal_store::{Selector, Share, Store};
use tokio_util::sync::DropGuard;

use crate::{
    announce::{Announce, WITHDRAWING},
    config::Builder,
    error::{StartError, StoreError},
    events::Events,
    find::{self, Find},
    get::GetRequest,
    hint::Unreached,
    home::Paths,
    inner::Inner,
    job,
    net::PeerInfo,
    publish::{PublishAll, PublishRequest},
    rates::Rates,
    start::start,
    status::{self, Status},
};

/// How long the tasks of a stopping node get to end.
const ENDING: Duration = Duration::from_secs(3);

/// A running node. Cheap to clone; dropping the last handle stops it, without the farewell of [`Node::stop`], and its home
/// is free a moment later.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
    _last: Arc<DropGuard>,
}

impl Node {
    /// Sets up a node.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn start(config: Builder) -> Result<Self, StartError> {
        let (inner, last) = start(config).await?;
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

    /// Publishes each of these files and directories where it is. Very many of them take far less time than one by one.
    pub fn publish_all(&self, paths: Vec<PathBuf>) -> PublishAll {
        PublishAll::start(self, paths)
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
            announce: inner.config.announce,
            addresses: self.addresses(),
            external: inner.config.external.clone(),
            listen: inner.config.listen.clone(),
            named: inner.config.peers.clone(),
            mdns: inner.config.mdns,
            uptime: inner.started.elapsed(),
            peers: peers.len(),
            members: peers.iter().filter(|peer| peer.member).count(),
            shares,
            tables: overlay.tables,
            records: overlay.records,
            own_keys: overlay.own_keys,
            problems: status::problems(&overlay.stats, shares, announces, inner.unkept.borrow().as_deref()),
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

    /// Stops the node: withdraws its announcements, ends its jobs, closes its connections, frees its home. What is asked of
    /// other handles from then on finds a node that is stopped.
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
        drop(tokio::time::timeout(WITHDRAWING, inner.announcer.farewell()).await);
        let ended = inner.tasks.end(ENDING).await;
        let running = inner.tasks.running();
        inner.events.end();
        if ended {
            inner.store.close();
        }
        drop(inner.home.lock().unwrap_or_else(PoisonError::into_inner).take());
        if ended { Ok(()) } else { Err(StopError { running }) }
    }
}

/// Some work did not end when the node stopped.
#[derive(Debug, thiserror::Error)]
#[error("{running} tasks did not end in time")]
pub struct StopError {
    /// How many.
    pub running: usize,
}
