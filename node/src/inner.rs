//! What the parts of a running node share.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Instant,
};

use libp2p::PeerId;
use shoal_content::{Digest, ProviderKey};
use shoal_store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    announce::Announcer,
    config::Builder,
    error::StoreError,
    events::Sink,
    get::Flights,
    hint::{Hint, Unreached},
    home::{Home, Paths},
    net::Net,
    rates::Pacers,
    seek::{Former, Seek},
    tasks::Tasks,
    trust::Trust,
};

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
    pub(crate) former: Former,
    pub(crate) pacers: Pacers,
    pub(crate) started: Instant,
    pub(crate) mdns_failure: Option<String>,
    pub(crate) unreached: watch::Receiver<Vec<Unreached>>,
    /// In words, why what others announced does not outlive a restart.
    pub(crate) unkept: watch::Receiver<Option<String>>,
    pub(crate) jobs: watch::Sender<usize>,
    pub(crate) stop_asked: CancellationToken,
    pub(crate) trust: Mutex<Trust>,
    pub(crate) home: Mutex<Option<Home>>,
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
            former: self.former.clone(),
            tasks: self.tasks.clone(),
            started: self.started,
        }
    }

    /// Runs a short piece of work on the store.
    pub(crate) async fn on_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, shoal_store::StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        match self.tasks.blocking(move || work(&store)).await {
            None | Some(Err(shoal_store::StoreError::Closed)) => Err(StoreError::Stopped),
            Some(done) => Ok(done?),
        }
    }
}
