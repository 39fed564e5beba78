//! What this node offers to peers: the store, and who else was seen to take an interest in the same content.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use libp2p::PeerId;
use shoal_content::{Digest, NetworkName, ProviderKey};
use shoal_store::{Blob, Lead, ReadError, Store};
use shoal_transfer::{
    Library as _,
    have::{Answer, Holder, Holding, MAX_OTHERS},
};

use tokio::sync::{Semaphore, mpsc};

use crate::tasks::Tasks;

/// Contents of which the takers are remembered. Introductions are a help, so forgetting the oldest costs little.
const REMEMBERED_CONTENTS: usize = 1024;
/// How long a peer that took content is introduced. Whoever has it all is found by its own announcement by then.
const TAKEN_LATELY: Duration = Duration::from_secs(600);
/// How soon content is read again on the word of a peer. Without it, one peer could keep the disk busy for ever.
const DOUBT_AGAIN: Duration = Duration::from_secs(600);

/// Answers for the store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    store: Store,
    tasks: Tasks,
    broken: mpsc::Sender<Digest>,
    network: NetworkName,
    seen: Arc<Mutex<Seen>>,
    checking: Arc<Semaphore>,
}

/// What was learnt from peers.
#[derive(Debug, Default)]
struct Seen {
    takers: Takers,
    doubts: Doubts,
    broken: Broken,
}

/// How content is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Changed,
    Missing,
}

impl Damage {
    /// What a failed look at content says of it. Content that is being checked, or that could not be read this time, is
    /// not given up for it.
    fn of(error: &ReadError) -> Option<Self> {
        match error {
            ReadError::Changed { .. } => Some(Self::Changed),
            ReadError::Missing { .. } => Some(Self::Missing),
            _ => None,
        }
    }
}

/// Contents that were told to be broken, so that each question about one is not told again.
#[derive(Debug, Default)]
struct Broken(HashMap<Digest, Damage>);

impl Broken {
    /// Notes what is wrong with content; true if that is news.
    fn is_news(&mut self, digest: Digest, damage: Damage) -> bool {
        if self.0.len() >= REMEMBERED_CONTENTS && !self.0.contains_key(&digest) {
            // To tell some of them again costs less than to remember them all.
            self.0.clear();
        }
        self.0.insert(digest, damage) != Some(damage)
    }

    fn healed(&mut self, digest: &Digest) {
        self.0.remove(digest);
    }
}

/// Contents that were read again on the word of a peer.
#[derive(Debug, Default)]
struct Doubts(HashMap<Digest, Instant>);

impl Doubts {
    /// Whether to read this content again now. A complaint that comes too soon does not put off the next one that counts:
    /// whoever complains for nothing all the time would keep others from being heard.
    fn admit(&mut self, digest: Digest, now: Instant) -> bool {
        self.0.retain(|_, checked| now.saturating_duration_since(*checked) < DOUBT_AGAIN);
        let is_due = self.0.len() < REMEMBERED_CONTENTS && !self.0.contains_key(&digest);
        if is_due {
            self.0.insert(digest, now);
        }
        is_due
    }
}

/// The peers that lately took each content, and so hold some of it themselves.
#[derive(Debug, Default)]
struct Takers {
    of: HashMap<ProviderKey, VecDeque<(PeerId, Instant)>>,
    order: VecDeque<ProviderKey>,
}

impl Takers {
    fn note(&mut self, key: ProviderKey, peer: PeerId, now: Instant) {
        if !self.of.contains_key(&key) {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED_CONTENTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.of.remove(&oldest);
            }
        }
        let peers = self.of.entry(key).or_default();
        peers.retain(|(known, _)| *known != peer);
        peers.push_front((peer, now));
        peers.truncate(MAX_OTHERS);
    }

    fn of(&self, key: &ProviderKey, except: &PeerId, now: Instant) -> Vec<PeerId> {
        let lately = |taken: Instant| now.saturating_duration_since(taken) < TAKEN_LATELY;
        let takers = self.of.get(key).into_iter().flatten();
        takers.filter(|(peer, taken)| peer != except && lately(*taken)).map(|(peer, _)| *peer).collect()
    }
}

impl Library {
    pub(crate) fn new(
        store: Store,
        tasks: Tasks,
        broken: mpsc::Sender<Digest>,
        network: NetworkName,
    ) -> Self {
        let checking = Arc::new(Semaphore::new(1));
        Self { store, tasks, broken, network, seen: Arc::default(), checking }
    }

    /// What this node holds of the content behind `key`, and whom it has seen take it.
    pub(crate) async fn answer(&self, asker: PeerId, key: ProviderKey) -> Answer {
        let library = self.clone();
        let holding = self.tasks.blocking(move || library.holding(&key)).await.flatten();
        let others = self.lock().takers.of(&key, &asker, Instant::now());
        // Their addresses are not handed on: whoever is connected to this node was met in the overlay, where the
        // asker finds them with addresses that they signed.
        let others = others.into_iter().map(|peer| Holder { peer, addresses: Vec::new() }).collect();
        Answer { holding, others }
    }

    /// Notes that `peer` takes content and so will soon hold some of it.
    pub(crate) fn asked(&self, peer: PeerId, digest: Digest) {
        self.lock().takers.note(ProviderKey::derive(&self.network, &digest), peer, Instant::now());
    }

    /// Looks again at content of which a peer says that it got bytes that do not match. Reading a whole file is a lot to
    /// do for a stranger's word, so it is done for one content at a time and not again soon.
    pub(crate) async fn suspect(&self, key: ProviderKey) {
        let Ok(_one) = self.checking.try_acquire() else { return };
        let library = self.clone();
        let find = move || library.digest_for(&key);
        let Some(digest) = self.tasks.blocking(find).await.flatten() else { return };
        if !self.lock().doubts.admit(digest, Instant::now()) {
            return;
        }
        let store = self.store.clone();
        match self.tasks.long(move || store.report_bad(&digest)).await {
            Some(Ok(true)) => self.found_broken(digest, Damage::Changed),
            Some(Ok(false)) | None => {}
            Some(Err(error)) => tracing::warn!(%error, "a doubtful share could not be checked"),
        }
    }

    /// What the store holds behind `key`.
    fn holding(&self, key: &ProviderKey) -> Option<Holding> {
        let digest = self.digest_for(key)?;
        let held = self.noting_broken(&digest, self.store.held(&digest)).ok()??;
        let name = self.store.label(&digest).ok().flatten().map(|label| label.name);
        let files = self.store.files_held(&digest).ok()?;
        Some(Holding { size: held.size, ranges: held.ranges, complete: held.complete, name, files })
    }

    /// Passes on what a look at content found, and notes when that was that it is no longer what was published.
    fn noting_broken<T>(&self, digest: &Digest, found: Result<T, ReadError>) -> Result<T, ReadError> {
        match &found {
            Ok(_) => self.lock().broken.healed(digest),
            Err(error) => {
                if let Some(damage) = Damage::of(error) {
                    self.found_broken(*digest, damage);
                }
            }
        }
        found
    }

    /// Passes on, once, that content is no longer here; when too many wait, it will be found again.
    fn found_broken(&self, digest: Digest, damage: Damage) {
        let mut seen = self.lock();
        if seen.broken.is_news(digest, damage) && self.broken.try_send(digest).is_err() {
            seen.broken.healed(&digest);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl shoal_transfer::Library for Library {
    fn look_up(&self, digests: &[Digest]) -> Vec<Lead> {
        self.store.look_up(digests)
    }

    fn open(&self, digest: &Digest, lead: Lead) -> Result<Option<Blob>, ReadError> {
        self.noting_broken(digest, self.store.blob_by(digest, lead))
    }

    fn digest_for(&self, key: &ProviderKey) -> Option<Digest> {
        shoal_transfer::Library::digest_for(&self.store, key)
    }

    fn report_bad(&self, digest: &Digest) {
        shoal_transfer::Library::report_bad(&self.store, digest);
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use super::*;

    #[test]
    fn complaints_that_come_too_soon_do_not_put_off_the_next_check() {
        let (digest, start) = (Digest::of(b"x"), Instant::now());
        let mut doubts = Doubts::default();
        assert!(doubts.admit(digest, start));
        assert!(!doubts.admit(digest, start + DOUBT_AGAIN * 3 / 4));
        assert!(doubts.admit(digest, start + DOUBT_AGAIN));
    }

    #[tokio::test]
    async fn broken_content_is_told_once_for_each_state_and_a_passing_failure_never() {
        let folder = tempfile::tempdir().unwrap();
        let network = NetworkName::default();
        let store = Store::open(folder.path(), &network).unwrap();
        let (broken, mut told) = mpsc::channel(8);
        let library = Library::new(store, Tasks::new(), broken, network);
        let digest = Digest::of(b"x");
        let path = || PathBuf::from("/x");
        let mut is_told = |found: Result<(), ReadError>| {
            drop(library.noting_broken(&digest, found));
            told.try_recv().is_ok()
        };

        let io = || io::Error::other("the disk is away");
        assert!(!is_told(Err(ReadError::Io { path: path(), source: io() })));
        assert!(!is_told(Err(ReadError::Store(shoal_store::StoreError::Io(io())))));
        assert!(!is_told(Err(ReadError::Checking { path: path() })));
        assert!(is_told(Err(ReadError::Changed { path: path() })));
        assert!(!is_told(Err(ReadError::Changed { path: path() })), "it was told");
        assert!(is_told(Err(ReadError::Missing { path: path() })));
        assert!(!is_told(Err(ReadError::Io { path: path(), source: io() })));
        assert!(!is_told(Err(ReadError::Missing { path: path() })), "a passing failure heals nothing");
        assert!(!is_told(Ok(())));
        assert!(is_told(Err(ReadError::Missing { path: path() })), "it was well in between");
    }
}
