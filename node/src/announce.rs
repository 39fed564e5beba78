//! Keeps what this node shares announced: at the start, after a publish, and again before the records expire.

use std::time::{Duration, Instant};

use shoal_content::{Cid, Digest, Kind, NetworkName, ProviderKey};
use shoal_store::Store;
use tokio::sync::{mpsc, watch};

use crate::{
    config::DEFAULT_ANNOUNCED_FILES,
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

/// The lives that records get in turn: twice as long each time, to the longest.
fn lifetimes() -> impl Iterator<Item = Duration> {
    let longer = |life: &Duration| (*life < LONGEST).then(|| (*life * 2).min(LONGEST));
    std::iter::successors(Some(SHORTEST), longer)
}

/// Announces for one node.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    pub(crate) net: Net,
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    pub(crate) network: NetworkName,
    pub(crate) started: Instant,
    pub(crate) policy: Announce,
}

/// What of its shares a node announces. Whatever it does not announce it still serves to those who ask it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// Nothing: only those who are told of this node get anything from it.
    Nothing,
    /// Files, and directories as a whole.
    Roots,
    /// Files, directories, and so many of the files in each directory.
    Files(usize),
}

impl Announce {
    /// Files of a directory that may have been announced.
    pub(crate) fn files(self) -> usize {
        match self {
            Self::Nothing | Self::Roots => 0,
            Self::Files(files) => files,
        }
    }
}

impl Default for Announce {
    fn default() -> Self {
        Self::Files(DEFAULT_ANNOUNCED_FILES)
    }
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
        if self.policy == Announce::Nothing {
            return watch::channel(Acknowledged { last: true, ..Acknowledged::default() }).1;
        }
        let progress = self.announce(&[cid.digest()]).await;
        if cid.kind() == Kind::Directory && self.policy != Announce::Roots {
            let announcer = self.clone();
            self.tasks.spawn_until_stop("announce files", async move {
                // All but the files of this directory are announced already, and not told again.
                announcer.keep(&announcer.everything().await, lifetime(announcer.started.elapsed())).await;
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

    /// Everything to announce now, roots first; the reason of a failure is logged, as a later round tries again.
    pub(crate) async fn everything(&self) -> Vec<Digest> {
        match self.policy {
            Announce::Nothing => Vec::new(),
            policy => self.shares(policy.files()).await,
        }
    }

    /// Announces everything at the start, and again with a longer life each time the node's uptime has doubled. In
    /// between the overlay renews by itself what it was told.
    pub(crate) async fn keep_announced(self) {
        if self.policy == Announce::Nothing {
            return;
        }
        for proven in lifetimes() {
            // The first at once, each other one when the node has been up for as long.
            let due = if proven == SHORTEST { Duration::ZERO } else { proven };
            tokio::time::sleep_until((self.started + due).into()).await;
            // Roots first: whoever has a directory's manifest finds its files at the same nodes.
            self.keep(&self.shares(0).await, proven).await;
            self.keep(&self.everything().await, proven).await;
        }
    }

    async fn shares(&self, files: usize) -> Vec<Digest> {
        let store = self.store.clone();
        match self.tasks.blocking(move || store.announceable(files)).await {
            Some(Ok(digests)) => digests,
            Some(Err(error)) => {
                tracing::warn!(%error, "the store cannot say what to announce");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    async fn keep(&self, digests: &[Digest], ttl: Duration) {
        if !digests.is_empty() {
            self.net.keep_announced(self.keys(digests), ttl).await;
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
        let hours: Vec<_> = lifetimes().map(|life| life.as_secs() / 3600).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16, 32, 48]);
    }
}
