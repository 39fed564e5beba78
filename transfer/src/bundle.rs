//! Fetches the small files of a directory, many in one request, from several peers at once.
//!
//! Owns: the bundles under way and who the sources are. Decisions are the [`Scheduler`]'s.
//! Hears: sources found, blobs verified and placed, bundles ended, the time.
//! Tells: the caller how it goes; the [`PartialDirectory`] every verified file.
//! Ends: all is placed, or what is left nobody known could bring; no progress for too long; the disk failed.

mod blob;
mod inbox;
mod receive;
mod scheduler;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures::stream::Fuse;
use futures::{FutureExt, StreamExt, select_biased};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Digest, GROUP_LEN};
use shoal_store::{FinishError, PartialDirectory};

use self::receive::{Ended, Event, Order, Shared, receive};
pub use self::scheduler::rank;
use self::scheduler::{Action, BundleId, Part, Scheduler, Turns};
use crate::fetch::{
    Dropped, FetchOptions, IDLE, Lines, MAX_REPORTED, News, RequestLimits, Source, SourceStream, Timer,
    UnderWay, limits_at, salt,
};
use crate::scheduler::SourceId;
use crate::{Pool, PoolClosed};

/// Which files to fetch and with what.
pub struct BundleJob {
    /// Where verified files go, and where their digests and sizes come from.
    pub directory: Arc<PartialDirectory>,
    /// The files, by their numbers in the manifest; none longer than [`Store::SMALL_LEN`](shoal_store::Store::SMALL_LEN).
    pub files: Vec<usize>,
    /// How to reach sources.
    pub lines: Arc<Lines>,
    /// Where disk writes run.
    pub pool: Arc<dyn Pool>,
    /// Whom to ask. What they say they hold is of the directory; who names no files is thought to have them all.
    pub sources: SourceStream,
    /// A number of this node's own, from which those who fetch the same directory tell who begins with what: its [`salt()`].
    /// None where it is fetched in the order of its files.
    pub salt: Option<u64>,
    /// How.
    pub options: FetchOptions,
}

/// How a fetch of bundles goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleEvent {
    /// These files are verified and in their places.
    Placed {
        /// Who sent them.
        peer: PeerId,
        /// How many.
        files: u64,
        /// How many bytes they have.
        bytes: u64,
    },
    /// A file does not match its digest. Its sender should be told: it may not know that its file changed.
    Bad {
        /// Who sent it.
        peer: PeerId,
        /// Of which file.
        digest: Digest,
        /// In which group, if it was not among the hashes above the groups.
        group: Option<u64>,
    },
    /// A source is asked no more.
    Dropped(Dropped),
}

/// A fetch of bundles that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bundled {
    /// What nobody known could bring, by its numbers in the manifest: each to be fetched by itself, which finds others
    /// to ask or tells why it cannot be had.
    pub left: Vec<usize>,
    /// Who was asked, was not dropped, and brought nothing.
    pub silent: Vec<PeerId>,
}

/// Why a fetch of bundles ended early. What was placed stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Nothing was placed for [`FetchOptions::timeout`].
    #[error("no progress for {} s", .after.as_secs())]
    TimedOut {
        /// How long.
        after: Duration,
        /// Who was asked, was not dropped, and brought nothing.
        silent: Vec<PeerId>,
    },
    /// Verified files could not be written.
    #[error("could not write what was received")]
    Place(#[from] FinishError),
    /// The node is shutting down.
    #[error(transparent)]
    PoolClosed(#[from] PoolClosed),
}

/// Fetches small files in bundles, telling `observer` how it goes.
///
/// # Errors
/// See [`BundleError`].
///
/// # Cancel safety
/// Dropping the future resets every stream; files that were placed are found by the next fetch.
pub async fn fetch_bundles(
    job: BundleJob,
    observer: impl FnMut(BundleEvent) + Send,
) -> Result<Bundled, BundleError> {
    let sources = job.sources.fuse();
    let entries = job.directory.manifest().entries();
    let most = bytes_at(&limits_at(job.lines.rates())).unwrap_or(u64::MAX);
    // By itself a file is received in parts, which a bundle cannot do.
    let (files, long): (Vec<usize>, Vec<usize>) = job
        .files
        .into_iter()
        .filter(|index| *index < entries.len())
        .partition(|index| entries.get(*index).is_some_and(|entry| entry.size <= most));
    let blobs = files.iter().filter_map(|index| Some((*index, entries.get(*index)?.size)));
    let turns = Turns::of_directory(entries.len(), job.salt);
    let driver = Driver {
        scheduler: Scheduler::new(blobs, turns),
        shared: Arc::new(Shared {
            claimed: files.iter().map(|_| AtomicBool::new(false)).collect(),
            files,
            directory: job.directory.clone(),
            lines: job.lines,
            pool: job.pool,
            credential: job.options.credential.clone(),
        }),
        timeout: job.options.timeout,
        observer,
        long,
        peers: HashMap::new(),
        sources: Vec::new(),
        bundles: UnderWay::new(job.options.timeout),
        silent: BTreeSet::new(),
        reported: 0,
    };
    driver.run(sources).await
}

/// How many bytes one bundle may be for, if that is limited.
fn bytes_at(limits: &RequestLimits) -> Option<u64> {
    limits.groups.map(|groups| groups.saturating_mul(GROUP_LEN))
}

struct Driver<F> {
    shared: Arc<Shared>,
    timeout: Duration,
    observer: F,
    /// What is not to be asked for here.
    long: Vec<usize>,
    scheduler: Scheduler,
    peers: HashMap<PeerId, SourceId>,
    /// Each at the place that its id says.
    sources: Vec<(PeerId, Vec<Multiaddr>)>,
    bundles: UnderWay<BundleId, Event, Ended>,
    /// Those sources that were asked for something and have brought nothing yet.
    silent: BTreeSet<PeerId>,
    /// Drops that were told.
    reported: usize,
}

impl<F: FnMut(BundleEvent) + Send> Driver<F> {
    async fn run(mut self, mut found: Fuse<SourceStream>) -> Result<Bundled, BundleError> {
        let mut timer = Timer::new(Instant::now(), IDLE);
        loop {
            let now = Instant::now();
            let limits = limits_at(self.shared.lines.rates());
            self.scheduler.limit_bundles(limits.requests, bytes_at(&limits));
            for id in self.bundles.look_for_life(self.scheduler.first_stall(), now) {
                self.scheduler.alive(id, now);
            }
            for action in self.scheduler.poll(now) {
                self.apply(action, now);
            }
            if self.bundles.is_empty() && self.is_over(found.is_done(), now) {
                let left = self.scheduler.left();
                let left = left.into_iter().filter_map(|at| self.shared.files.get(at).copied());
                let left = left.chain(self.long).collect();
                return Ok(Bundled { left, silent: self.silent.into_iter().collect() });
            }
            let timeout = self.bundles.times_out_at();
            if timeout.is_some_and(|at| at <= now) {
                let silent = self.silent.into_iter().collect();
                return Err(BundleError::TimedOut { after: self.timeout, silent });
            }
            let wake = self.scheduler.next_wake(now).into_iter().chain(timeout).min();
            timer.set(now, wake.unwrap_or(now + IDLE));
            select_biased! {
                news = self.bundles.next() => match news {
                    News::Told(event) => self.on_event(event),
                    News::Ended(id, ended) => self.on_ended(id, ended)?,
                },
                source = found.next() => self.on_source(source),
                () = (&mut timer).fuse() => {}
            }
        }
    }

    /// Whether there is nothing to wait for. With sources that could bring none of the rest, asking others for it one by
    /// one is better than waiting; with none at all, one may be found.
    fn is_over(&self, no_more: bool, now: Instant) -> bool {
        self.scheduler.is_done()
            || (!self.scheduler.has_hope(now) && (no_more || self.scheduler.has_sources()))
    }

    fn on_source(&mut self, source: Option<Source>) {
        let Some(Source { peer, addresses, holding, .. }) = source else { return };
        let known = self.peers.get(&peer).copied();
        let files = holding.and_then(|holding| holding.files);
        let part = files.map(|files| Part { salt: salt(&peer), files });
        let Some(id) = self.scheduler.source_found(known, part, Instant::now()) else { return };
        if known.is_none() {
            self.peers.insert(peer, id);
            self.sources.push((peer, addresses));
        } else if let Some((_, old)) = self.source_mut(id).filter(|_| !addresses.is_empty()) {
            *old = addresses;
        }
    }

    fn source_mut(&mut self, id: SourceId) -> Option<&mut (PeerId, Vec<Multiaddr>)> {
        self.sources.get_mut(usize::try_from(id.0).ok()?)
    }

    fn apply(&mut self, action: Action, now: Instant) {
        match action {
            Action::Request { id, source, wants } => {
                let Some((peer, addresses)) = self.source_mut(source).cloned() else { return };
                let order = Order { id, peer, addresses, wants };
                let shared = self.shared.clone();
                self.bundles.begin(id, |tell, bit| receive(shared, order, tell, bit));
                self.bundles.expect_progress(now);
                self.silent.insert(peer);
            }
            Action::Cancel { id } => self.bundles.stop(id),
            Action::Drop { source, reason } => {
                let Some((peer, _)) = self.source_mut(source) else { return };
                let peer = *peer;
                tracing::debug!(%peer, %reason, "source dropped");
                self.silent.remove(&peer);
                self.reported += 1;
                if self.reported <= MAX_REPORTED {
                    (self.observer)(BundleEvent::Dropped(Dropped { peer, reason }));
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Answered { id, peer, answers } => {
                self.bundles.came(now);
                for (answer, bad) in answers {
                    if answer == scheduler::Answer::Came {
                        self.silent.remove(&peer);
                    }
                    let is_heard = self.scheduler.answered(id, answer, now);
                    if let Some((digest, group)) = bad.filter(|_| is_heard) {
                        (self.observer)(BundleEvent::Bad { peer, digest, group });
                    }
                }
            }
            Event::Held(id, is_held) => self.scheduler.held(id, is_held, now),
            Event::Alive(id) => {
                self.bundles.came(now);
                self.scheduler.alive(id, now);
            }
            Event::Placed { peer, files, bytes } => {
                self.bundles.came(now);
                (self.observer)(BundleEvent::Placed { peer, files, bytes });
            }
        }
    }

    fn on_ended(&mut self, id: BundleId, ended: Result<(), Ended>) -> Result<(), BundleError> {
        while let Some(event) = self.bundles.told() {
            self.on_event(event);
        }
        let now = Instant::now();
        match ended {
            Ok(()) => self.scheduler.finished(id, now),
            Err(Ended::Failure(failure)) => self.scheduler.failed(id, failure, now),
            Err(Ended::Place(error)) => return Err(error.into()),
            Err(Ended::PoolClosed(error)) => return Err(error.into()),
        }
        Ok(())
    }
}
