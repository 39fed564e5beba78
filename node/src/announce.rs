//! Keeps what this node shares announced: at the start, after a publish, and again before the records expire.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shoal_content::{Cid, Digest, Kind, NetworkName, ProviderKey};
use shoal_dht::OwnKey;
use shoal_store::{Announceable, Selector, Store};
use tokio::sync::{mpsc, watch};

use crate::{
    config::DEFAULT_ANNOUNCED_FILES,
    events::{Event, Sink},
    net::{Acknowledged, Net, SaveProgress},
    tasks::Tasks,
};

/// Records of a node that has just started expire this soon: most nodes that leave do so early.
const SHORTEST: Duration = Duration::from_secs(3600);
/// Records of a node that has proven itself live this long.
const LONGEST: Duration = Duration::from_secs(48 * 3600);

/// How often a node that has proven itself looks again what there is to announce.
const LOOKING: Duration = Duration::from_secs(12 * 3600);
/// How long anybody waits for withdrawals to arrive; they go on by themselves.
pub(crate) const WITHDRAWING: Duration = Duration::from_millis(1500);
/// Keys that are withdrawn when the node stops. More cannot be told to their nodes before it is gone, and a library of
/// which only a part was withdrawn would have to be announced anew as a whole.
const WITHDRAWN_AT_ONCE: usize = 1000;
/// Keys handed to the Swarm's task at once: it takes a few milliseconds for them.
const KEPT_AT_ONCE: usize = 4096;

/// How long the records of a node that has been up for `uptime` should live.
pub(crate) fn lifetime(uptime: Duration) -> Duration {
    uptime.clamp(SHORTEST, LONGEST)
}

/// When to look again what there is to announce, and how long records live from then on: twice as long each time the
/// uptime has doubled, to the longest.
fn rounds() -> impl Iterator<Item = (Duration, Duration)> {
    let next = |(due, _): &(Duration, Duration)| {
        let due = if *due < LONGEST { (*due * 2).clamp(2 * SHORTEST, LONGEST) } else { *due + LOOKING };
        Some((due, lifetime(due)))
    };
    std::iter::successors(Some((Duration::ZERO, SHORTEST)), next)
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
        self.announce_shares(&[cid]).await
    }

    /// Announces what was published together.
    pub(crate) async fn announce_shares(&self, cids: &[Cid]) -> watch::Receiver<Acknowledged> {
        if self.policy == Announce::Nothing {
            return watch::channel(Acknowledged { last: true, ..Acknowledged::default() }).1;
        }
        let digests: Vec<_> = cids.iter().map(Cid::digest).collect();
        let progress = self.announce(&digests).await;
        let is_directory = |cid: &&Cid| cid.kind() == Kind::Directory;
        let directories: Vec<_> = cids.iter().filter(is_directory).copied().collect();
        if !directories.is_empty() && self.policy != Announce::Roots {
            let announcer = self.clone();
            self.tasks.spawn_until_stop("announce files", async move {
                for cid in directories {
                    announcer.keep_files(cid).await;
                }
            });
        }
        progress
    }

    /// Keeps the files of a directory announced.
    async fn keep_files(&self, cid: Cid) {
        let (store, files) = (self.store.clone(), self.policy.files());
        let found = self.tasks.blocking(move || store.announceable_of(&Selector::Cid(cid), files)).await;
        match found {
            Some(Ok(digests)) => {
                // It was published a moment ago: no earlier run can have announced it.
                let contents = digests.into_iter().map(|digest| (digest, u64::MAX)).collect();
                self.keep(contents, lifetime(self.started.elapsed())).await;
            }
            Some(Err(error)) => tracing::warn!(%error, "the store cannot say what to announce"),
            None => {}
        }
    }

    /// Withdraws what turns out to be changed or missing, as it is found.
    pub(crate) async fn withdraw_broken(self, mut broken: mpsc::Receiver<Digest>, events: Sink) {
        while let Some(digest) = broken.recv().await {
            events.send(Event::ShareBroken(Cid::file(digest)));
            drop(tokio::time::timeout(WITHDRAWING, self.withdraw(&[digest])).await);
        }
    }

    /// Withdraws everything, if that can be done before the node is gone. Of a large library the announcements stay:
    /// whoever is back before they expire has not lost its place, and need not announce all of it again.
    pub(crate) async fn farewell(&self) {
        self.net.withdraw_all(WITHDRAWN_AT_ONCE).await;
    }

    /// Keeps everything announced from the start on, looks again each time the node's uptime has doubled, and then now
    /// and then: what was changed or missing may be back. In between the overlay announces by itself what it was told.
    pub(crate) async fn keep_announced(self) {
        let mut is_first = true;
        for (due, life) in rounds() {
            tokio::time::sleep_until((self.started + due).into()).await;
            if self.policy != Announce::Nothing {
                self.keep_everything(life).await;
            }
            if std::mem::take(&mut is_first) {
                self.net.all_kept().await;
            }
        }
    }

    async fn keep_everything(&self, life: Duration) {
        let mut after = None;
        loop {
            let (store, files) = (self.store.clone(), self.policy.files());
            let next = move || store.announceable(after.as_deref(), files);
            match self.tasks.blocking(next).await {
                Some(Ok(Some(Announceable { contents, last }))) => {
                    self.keep(contents, life).await;
                    after = Some(last);
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "the store cannot say what to announce");
                    return;
                }
                Some(Ok(None)) | None => return,
            }
        }
    }

    async fn keep(&self, contents: Vec<(Digest, u64)>, life: Duration) {
        let own = |(digest, since)| OwnKey { key: ProviderKey::derive(&self.network, &digest), since };
        let keys: Vec<_> = contents.into_iter().map(own).collect();
        // The Swarm's task takes them in small portions, so that it is not held up.
        for keys in keys.chunks(KEPT_AT_ONCE) {
            self.net.keep_announced(keys.to_vec(), life).await;
        }
    }

    fn keys(&self, digests: &[Digest]) -> Vec<ProviderKey> {
        digests.iter().map(|digest| ProviderKey::derive(&self.network, digest)).collect()
    }
}

/// What the store keeps of how far announcing has come: for which network and how many files of a directory, and what
/// the overlays make of it.
#[derive(Serialize, Deserialize)]
struct Progress(u8, String, u64, ByteBuf);

const VERSION: u8 = 1;

/// Writes how far announcing has come in the node's blocking threads.
pub(crate) fn saver(tasks: Tasks, store: Store, network: NetworkName, policy: Announce) -> SaveProgress {
    Arc::new(move |progress| {
        let (tasks, store) = (tasks.clone(), store.clone());
        let row = pack_progress(&network, policy, progress);
        tasks.clone().spawn("progress", async move {
            if let Some(Err(error)) = tasks.blocking(move || store.set_progress(&row)).await {
                tracing::warn!(%error, "it could not be noted what has been announced");
            }
        });
    })
}

/// Packs how far announcing has come for the store.
pub(crate) fn pack_progress(network: &NetworkName, policy: Announce, progress: Vec<u8>) -> Vec<u8> {
    let files = u64::try_from(policy.files()).unwrap_or(u64::MAX);
    let row = Progress(VERSION, network.as_str().to_owned(), files, progress.into());
    // Numbers, text and bytes have a form.
    serde_ipld_dagcbor::to_vec(&row).unwrap_or_default()
}

/// Unpacks it; nothing if it is of another network, or if other things are to be announced now.
pub(crate) fn unpack_progress(network: &NetworkName, policy: Announce, row: &[u8]) -> Option<Vec<u8>> {
    let Progress(version, of, files, progress) = serde_ipld_dagcbor::from_slice(row).ok()?;
    let is_ours = of == network.as_str() && usize::try_from(files).ok()? == policy.files();
    (version == VERSION && is_ours && policy != Announce::Nothing).then(|| progress.into_vec())
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
        let hours: Vec<_> =
            rounds().map(|(due, life)| (due.as_secs() / 3600, life.as_secs() / 3600)).take(9).collect();
        assert_eq!(hours, [(0, 1), (2, 2), (4, 4), (8, 8), (16, 16), (32, 32), (48, 48), (60, 48), (72, 48)]);
    }

    #[test]
    fn progress_is_of_one_network_and_one_choice_of_what_to_announce() {
        let [here, there] = ["here", "there"].map(|name| NetworkName::parse(name).unwrap());
        let row = pack_progress(&here, Announce::Files(10), vec![1, 2, 3]);
        assert_eq!(unpack_progress(&here, Announce::Files(10), &row), Some(vec![1, 2, 3]));
        assert_eq!(unpack_progress(&there, Announce::Files(10), &row), None);
        assert_eq!(unpack_progress(&here, Announce::Files(11), &row), None);
        assert_eq!(unpack_progress(&here, Announce::Roots, &row), None);
        assert_eq!(unpack_progress(&here, Announce::Files(10), b"rot"), None);
    }
}
