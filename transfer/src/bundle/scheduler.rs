//! Decides which small blobs to ask of which source, many in one request.
//!
//! Owns: which blobs are still to come, who refused which, what each source was asked.
//! Hears: sources found, wants answered or refused, bundles ended, the time.
//! Tells: what to request, what to cancel, whom to drop and why.
//! Ends: all came, or no known source is left that could bring what did not.
//!
//! Pure: no clock, no randomness, no channel. The same events give the same actions.
//!
//! How it decides: every source gets bundles that take it about half a second, the next one before the last has
//! ended. A source that holds everything is first asked for what nobody else holds, in an order that differs between
//! peers that fetch the same directory. A source that is fetching it too is asked for what it has. A blob that one
//! source refused is requested from the others. When nothing is left to ask for, an idle source takes over the tail
//! of the bundle that would end last, and whichever copy comes first counts.

mod assign;
mod blame;
mod queue;
mod sources;
mod takeover;
mod turns;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use self::queue::Queue;
pub(super) use self::sources::Part;
use self::sources::Slot;
pub(super) use self::turns::Turns;
pub use self::turns::rank;
use crate::scheduler::{Failure, STALL, SourceId};

/// Most bytes of a bundle: what is taken back when its source falls silent.
const MAX_BUNDLE: u64 = 4 * 1024 * 1024;

/// What a blob costs beside its bytes, in bytes: opening and placing a file.
const PER_BLOB: u64 = 1024;

/// Bundles at a time. Each has buffers, so this bounds memory.
const MAX_BUNDLES: usize = 16;

/// Blobs that did not match their digest after which their sender is not asked any more. One or two may be files that
/// changed under an honest peer.
const MAX_BAD: u32 = 3;

/// How often a source that refused all of a bundle is asked for the same again. It may be fetching the directory itself.
const MAX_SECOND_CHANCES: u32 = 6;

/// Names a bundle; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BundleId(u64);

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask `source` for these blobs, in this order.
    Request { id: BundleId, source: SourceId, wants: Vec<usize> },
    /// Stop the bundle. What it brought still counts; nothing else about it is listened to.
    Cancel { id: BundleId },
    /// Forget the source; its bundles are cancelled already.
    Drop { source: SourceId, reason: Failure },
}

/// What became of one want of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It came, and matches.
    Came,
    /// It did not, from this source.
    Refused(Failure),
    /// It cannot come in a bundle, from nobody.
    Unfit,
}

/// The decisions of one fetch of many small blobs.
#[derive(Debug)]
pub(super) struct Scheduler {
    queue: Queue,
    sources: Vec<Slot>,
    bundles: BTreeMap<BundleId, Bundle>,
    next_bundle: u64,
    /// Bundles at a time.
    most: usize,
    /// Bytes of one.
    most_bytes: u64,
    /// Until when somebody may come to hold what nobody holds that can be asked.
    growing_until: Option<Instant>,
    actions: Vec<Action>,
}

#[derive(Debug)]
struct Bundle {
    source: usize,
    /// What its source does not have.
    refused: Vec<usize>,
    /// Whether anything of it came.
    has_some: bool,
    /// Whether anything of it was refused.
    is_broken: bool,
    /// What is still to be answered, in order.
    wants: VecDeque<usize>,
    /// When it was asked for, or last answered.
    progress_at: Instant,
    /// Whether it waits for our disk, and so may be silent.
    is_held: bool,
}

impl Bundle {
    /// A bundle that a source is just asked for.
    fn new(source: usize, wants: &[usize], now: Instant) -> Self {
        Bundle {
            source,
            refused: Vec::new(),
            has_some: false,
            is_broken: false,
            wants: wants.iter().copied().collect(),
            progress_at: now,
            is_held: false,
        }
    }

    /// How long its source has been silent without an excuse.
    fn quiet(&self, now: Instant) -> Duration {
        if self.is_held { Duration::ZERO } else { now.saturating_duration_since(self.progress_at) }
    }
}

impl Scheduler {
    /// Starts with nothing asked. Each blob is given by its number in the directory and its size; here its number is its
    /// place among them.
    pub(super) fn new(blobs: impl Iterator<Item = (usize, u64)>, turns: Turns) -> Self {
        let with_cost = |(file, size): (usize, u64)| (file, size.saturating_add(PER_BLOB));
        Scheduler {
            queue: Queue::new(blobs.map(with_cost), turns),
            sources: Vec::new(),
            bundles: BTreeMap::new(),
            next_bundle: 0,
            most: MAX_BUNDLES,
            most_bytes: u64::MAX,
            growing_until: None,
            actions: Vec::new(),
        }
    }

    /// The next want of a bundle was answered. False if that bundle is not listened to any more.
    pub(super) fn answered(&mut self, id: BundleId, answer: Answer, now: Instant) -> bool {
        let Some(bundle) = self.bundles.get_mut(&id) else { return false };
        let (index, Some(want)) = (bundle.source, bundle.wants.pop_front()) else { return false };
        bundle.progress_at = now;
        let Some(slot) = self.sources.get_mut(index) else { return false };
        match answer {
            Answer::Came => {
                slot.source.delivered(self.queue.cost(want), now);
                slot.broken = 0;
                bundle.has_some = true;
                self.queue.came(want);
            }
            Answer::Unfit => {
                bundle.has_some = true;
                self.queue.unfit(want);
            }
            Answer::Refused(failure) => {
                // A word is an answer, and costs hardly anything.
                slot.source.delivered(PER_BLOB, now);
                bundle.is_broken = true;
                if failure == Failure::NotFound {
                    bundle.refused.push(want);
                }
                self.queue.refused(want, index);
                slot.bad += u32::from(failure.is_proof());
                if slot.bad >= MAX_BAD {
                    self.drop_source(index, failure);
                }
            }
        }
        true
    }

    /// A bundle waits for our disk, or not any more.
    pub(super) fn held(&mut self, id: BundleId, is_held: bool, now: Instant) {
        if let Some(bundle) = self.bundles.get_mut(&id) {
            bundle.is_held = is_held;
            bundle.progress_at = now;
        }
    }

    /// More of a blob came, or a limit of ours kept it from coming.
    pub(super) fn alive(&mut self, id: BundleId, now: Instant) {
        if let Some(bundle) = self.bundles.get_mut(&id) {
            bundle.progress_at = now;
        }
    }

    /// Asks for so many bundles at a time, and no more than ever; each is for no more than `bytes`, if that is given.
    pub(super) fn limit_bundles(&mut self, most: usize, bytes: Option<u64>) {
        self.most = most.clamp(1, MAX_BUNDLES);
        self.most_bytes = bytes.unwrap_or(u64::MAX);
    }

    /// When the first of the bundles under way will count as silent.
    pub(super) fn first_stall(&self) -> Option<Instant> {
        let waiting = self.bundles.values().filter(|bundle| !bundle.is_held);
        waiting.map(|bundle| bundle.progress_at + STALL).min()
    }

    /// A bundle ended as it should. What it did not answer is asked again.
    pub(super) fn finished(&mut self, id: BundleId, now: Instant) {
        let Some(bundle) = self.bundles.get_mut(&id) else { return };
        let (has_some, is_broken) = (bundle.has_some, bundle.is_broken);
        let refused = std::mem::take(&mut bundle.refused);
        let Some(index) = self.remove(id) else { return };
        if is_broken && self.is_unbelievable(index, 1) {
            return self.drop_source(index, Failure::NotFound);
        }
        let Some(slot) = self.sources.get_mut(index) else { return };
        slot.source.ended(now);
        // Of many it has none: it is probably fetching them just now, and will have some in a moment.
        if !has_some && refused.len() > 1 && slot.chances < MAX_SECOND_CHANCES {
            slot.chances += 1;
            slot.next_odd = 0;
            slot.source.failed(&Failure::Busy, now);
            self.queue.forgive(index, &refused);
        }
    }

    /// A bundle failed; its source is asked again later or dropped.
    pub(super) fn failed(&mut self, id: BundleId, failure: Failure, now: Instant) {
        if let Some(index) = self.remove(id) {
            self.blame(index, failure, now);
        }
    }

    /// Gives what is to be done now. Call it after every report and at [`Scheduler::next_wake`].
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Action> {
        self.give_up_stalled(now);
        self.cancel_needless();
        self.assign(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Scheduler::poll`] may decide something new although nothing is reported.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let alive = || self.sources.iter().filter(|slot| !slot.is_dropped);
        let retries = alive().filter_map(|slot| slot.source.retry_at).filter(|at| *at > now);
        let is_watched = !self.bundles.is_empty() && alive().any(|slot| slot.source.is_idle(now));
        let takeovers = is_watched.then(|| now + takeover::CHECK);
        let grown = self.growing_until.filter(|until| *until > now);
        self.first_stall().into_iter().chain(retries).chain(takeovers).chain(grown).min()
    }

    /// Whether nothing is to come any more.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_done()
    }

    /// What did not come.
    pub(super) fn left(&self) -> Vec<usize> {
        self.queue.left()
    }

    /// Cancels bundles of which others brought all that is left.
    fn cancel_needless(&mut self) {
        let is_needless = |bundle: &Bundle| bundle.wants.iter().all(|want| self.queue.is_over(*want));
        let needless =
            self.bundles.iter().filter(|(_, bundle)| is_needless(bundle) && !bundle.wants.is_empty());
        let needless: Vec<BundleId> = needless.map(|(id, _)| *id).collect();
        for id in needless {
            self.cancel(id);
        }
    }

    /// Takes a bundle off the list; what it did not answer may be asked of anybody again. Gives whose it was.
    fn remove(&mut self, id: BundleId) -> Option<usize> {
        let bundle = self.bundles.remove(&id)?;
        for want in bundle.wants.iter().rev() {
            self.queue.returned(*want);
        }
        if let Some(slot) = self.sources.get_mut(bundle.source) {
            slot.source.active = slot.source.active.saturating_sub(1);
        }
        Some(bundle.source)
    }

    fn cancel(&mut self, id: BundleId) -> Option<usize> {
        let index = self.remove(id)?;
        self.actions.push(Action::Cancel { id });
        Some(index)
    }
}
