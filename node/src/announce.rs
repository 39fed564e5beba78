//! Keeps what this node shares announced: at the start, after a publish, and again before the records expire.

use std::time::{Duration, Instant};

use shoal_content::{Cid, Digest, Kind, NetworkName, ProviderKey};
use shoal_store::Store;
use tokio::sync::{mpsc, watch};

use crate::{
    events::{Event, Sink},
    net::{Acknowledged, Net},
    tasks::Tasks,
};

/// Records of a node that has just started expire this soon: most nodes that leave do so early.
const SHORTEST: Duration = Duration::from_secs(3600);
/// Records of a node that has proven itself live this long.
const LONGEST: Duration = Duration::from_secs(48 * 3600);

/// How long the records of a node that has been up for `uptime` should live.
pub(crate) fn lifetime(uptime: Duration) -> Duration {
    uptime.clamp(SHORTEST, LONGEST)
}

/// Announces for one node.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    pub(crate) net: Net,
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    pub(crate) network: NetworkName,
    pub(crate) started: Instant,
    /// Files of a directory announced besides its root.
    pub(crate) files: usize,
}

impl Announcer {
    /// Announces content now; the receiver hears the acknowledgements.
    pub(crate) async fn announce(&self, digests: &[Digest]) -> watch::Receiver<Acknowledged> {
        self.net.announce(self.keys(digests), lifetime(self.started.elapsed())).await
    }

    /// Tells the holders of records of this content that it is no longer here.
    pub(crate) async fn withdraw(&self, digests: &[Digest]) {
        if !digests.is_empty() {
            self.net.withdraw(self.keys(digests)).await;
        }
    }

    /// Announces what a publish or a get added: the root first and alone, so that its acknowledgements are what the
    /// caller counts, then the files of a directory.
    pub(crate) async fn announce_share(&self, cid: Cid) -> watch::Receiver<Acknowledged> {
        let progress = self.announce(&[cid.digest()]).await;
        if cid.kind() == Kind::Directory {
            let announcer = self.clone();
            self.tasks.spawn_until_stop("announce files", async move {
                let digests = announcer.everything().await;
                drop(announcer.announce(&digests).await);
            });
        }
        progress
    }

    /// Withdraws what turns out to be changed or missing, as it is found.
    pub(crate) async fn withdraw_broken(self, mut broken: mpsc::Receiver<Digest>, events: Sink) {
        while let Some(digest) = broken.recv().await {
            events.send(Event::ShareBroken(Cid::file(digest)));
            self.withdraw(&[digest]).await;
        }
    }

    /// Everything to announce now; the reason of a failure is logged, as a later round tries again.
    pub(crate) async fn everything(&self) -> Vec<Digest> {
        let (store, files) = (self.store.clone(), self.files);
        match self.tasks.blocking(move || store.announceable(files)).await {
            Some(Ok(digests)) => digests,
            Some(Err(error)) => {
                tracing::warn!(%error, "the store cannot say what to announce");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Announces everything at the start, and again with a longer life each time the node's uptime has doubled. In
    /// between the overlay renews by itself what it was told.
    pub(crate) async fn keep_announced(self) {
        let mut proven = SHORTEST;
        while proven <= LONGEST {
            let digests = self.everything().await;
            if !digests.is_empty() {
                drop(self.net.announce(self.keys(&digests), lifetime(proven)).await);
            }
            proven *= 2;
            tokio::time::sleep_until((self.started + proven).into()).await;
        }
    }

    fn keys(&self, digests: &[Digest]) -> Vec<ProviderKey> {
        digests.iter().map(|digest| ProviderKey::derive(&self.network, digest)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_live_longer_the_longer_the_node_has_been_up() {
        let hour = Duration::from_secs(3600);
        assert_eq!(lifetime(Duration::ZERO), hour);
        assert_eq!(lifetime(5 * hour), 5 * hour);
        assert_eq!(lifetime(1000 * hour), 48 * hour);
    }
}
