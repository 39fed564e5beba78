//! Decides which small blobs to ask of which source, many in one request.
//!
//! Owns: which blobs are still to come, who refused which, what each source was asked.
//! Hears: sources found, wants answered or refused, bundles ended, the time.
//! Tells: what to request, what to cancel, whom to drop and why.
//! Ends: all came, or no known source is left that could bring what did not.
//!
//! Pure: no clock, no randomness, no channel. The same events give the same actions.
//!
//! How it decides: every source is given bundles that take it about [`BUNDLE_TIME`], the next one before the last has
//! ended. Who holds all is asked first for what nobody else holds, in an order that differs between those who fetch the
//! same; who fetches it too is asked for what it has. A blob that a source refused is asked of the others. When nothing is
//! left to ask for, an idle source takes over the tail of the bundle that would end last, and whatever comes first counts.

mod blame;
mod queue;
mod takeover;
mod turns;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use shoal_content::GroupRanges;

use self::blame::MAX_BROKEN;
use self::queue::Queue;
pub(super) use self::turns::Turns;
pub use self::turns::rank;
use crate::scheduler::source::Source;
use crate::scheduler::{Failure, STALL, SourceId};
use crate::wire::MAX_WANTS;

/// Time a bundle should take its source: long against a round trip, short against the whole.
const BUNDLE_TIME: Duration = Duration::from_millis(500);

/// Bytes of a bundle for a source of unknown speed.
const FIRST_BUNDLE: u64 = 256 * 1024;

/// Fewest bytes of a bundle, but for the last one: smaller ones cost more in round trips than they balance.
const MIN_BUNDLE: u64 = 64 * 1024;

/// Most bytes of a bundle: what is taken back when its source falls silent.
const MAX_BUNDLE: u64 = 4 * 1024 * 1024;

/// What a blob costs beside its bytes, in bytes: opening and placing a file.
const PER_BLOB: u64 = 1024;

/// Bundles of one source at a time: the second is there when the first ends.
const MAX_PER_SOURCE: usize = 2;

/// Bundles at a time. Each has buffers, so this bounds memory.
const MAX_BUNDLES: usize = 16;

/// Sources of one fetch: as many as bits tell who refused a blob.
const MAX_SOURCES: usize = 64;

/// Blobs that did not match their digest after which their sender is not asked any more. One or two may be files that
/// changed under an honest peer.
const MAX_BAD: u32 = 3;

/// Time for which a source that fetches the directory itself may come to hold something more. Without it, a fetch whose
/// sources all hold parts would end while they still exchange them.
const GROWING: Duration = Duration::from_secs(5);

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

/// What a source holds that fetches the directory itself.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// A number of the source's own.
    pub(super) salt: u64,
    /// The files, by their numbers in the directory.
    pub(super) files: GroupRanges,
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
struct Slot {
    source: Source,
    is_dropped: bool,
    /// Blobs that did not match.
    bad: u32,
    /// Whether it ever named the files that it has.
    names_files: bool,
    /// Bundles since it last brought anything of which it did not give what it had named.
    broken: u32,
    /// How far it has gone through the blobs that somebody refused.
    next_odd: usize,
    /// How often it was given another chance.
    chances: u32,
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

    /// A source was found, or found again: `known` is the name it had. It holds a `part`, or all. None if there are as many
    /// as can be.
    pub(super) fn source_found(
        &mut self,
        known: Option<SourceId>,
        part: Option<Part>,
        now: Instant,
    ) -> Option<SourceId> {
        let id = match known {
            Some(id) => id,
            None => self.add_source()?,
        };
        let index = usize::try_from(id.0).ok()?;
        let slot = self.sources.get_mut(index)?;
        if slot.is_dropped && (slot.bad >= MAX_BAD || slot.broken >= MAX_BROKEN) {
            return Some(id);
        }
        if slot.is_dropped {
            slot.source = Source::new(None, None);
            slot.is_dropped = false;
        }
        // What was refused to others it may hold by now.
        slot.next_odd = 0;
        match part {
            Some(Part { salt, files }) => {
                slot.names_files = true;
                // Only what is still to come is news.
                if self.queue.holds(index, salt, files) || known.is_none() {
                    self.growing_until = Some(now + GROWING);
                }
            }
            None => self.queue.forget(index),
        }
        Some(id)
    }

    fn add_source(&mut self) -> Option<SourceId> {
        if self.sources.len() >= MAX_SOURCES {
            return None;
        }
        self.sources.push(Slot {
            source: Source::new(None, None),
            is_dropped: false,
            bad: 0,
            names_files: false,
            broken: 0,
            next_odd: 0,
            chances: 0,
        });
        Some(SourceId(self.sources.len() as u64 - 1))
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

    /// Whether any source is left that was not dropped.
    pub(super) fn has_sources(&self) -> bool {
        self.sources.iter().any(|slot| !slot.is_dropped)
    }

    /// Whether any source that is known could still bring something, now or later.
    pub(super) fn has_hope(&self, now: Instant) -> bool {
        let is_growing =
            |index: usize| self.queue.is_part(index) && self.growing_until.is_some_and(|until| until > now);
        let could_help = |(index, slot): (usize, &Slot)| {
            !slot.is_dropped && (self.queue.has_for(index, slot.next_odd) || is_growing(index))
        };
        !self.bundles.is_empty() || self.sources.iter().enumerate().any(could_help)
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

    fn assign(&mut self, now: Instant) {
        for active in 0..MAX_PER_SOURCE {
            for index in self.by_rank(now, active) {
                if self.bundles.len() >= self.most {
                    return;
                }
                // What a part of is here is taken over when all is asked for: until then others bring more that is new.
                let may_take_over = active == 0 && (self.queue.all_asked() || !self.queue.is_part(index));
                if !self.ask(index, now) && may_take_over {
                    self.take_over(index, now);
                }
            }
        }
    }

    /// The sources that may be asked and have `active` bundles, by rank.
    fn by_rank(&self, now: Instant, active: usize) -> Vec<usize> {
        let may_ask =
            |slot: &Slot| !slot.is_dropped && slot.source.active == active && slot.source.may_ask(now);
        let found = self.sources.iter().enumerate().filter(|(_, slot)| may_ask(slot));
        let mut found: Vec<(u64, usize)> =
            found.map(|(index, slot)| (slot.source.rank(now), index)).collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        found.into_iter().map(|(_, index)| index).collect()
    }

    /// Asks a source for what nobody was asked for. False if there is nothing that it has not refused.
    fn ask(&mut self, index: usize, now: Instant) -> bool {
        let budget = self.budget(index, now).min(self.most_bytes);
        let Some(slot) = self.sources.get_mut(index) else { return false };
        let wants = self.queue.take(index, &mut slot.next_odd, budget, MAX_WANTS);
        let found = !wants.is_empty();
        if found {
            self.request(index, wants, now);
        }
        found
    }

    fn budget(&self, index: usize, now: Instant) -> u64 {
        let Some(slot) = self.sources.get(index) else { return 0 };
        let millis = u64::try_from(BUNDLE_TIME.as_millis()).unwrap_or(u64::MAX);
        let own = slot.source.speed(now).map_or(FIRST_BUNDLE, |speed| {
            (speed.saturating_mul(millis) / 1000).clamp(MIN_BUNDLE, MAX_BUNDLE)
        });
        let others = self.sources.iter().enumerate().filter(|(other, slot)| {
            *other != index && !slot.is_dropped && slot.source.may_ask(now) && slot.source.rank(now) > 0
        });
        match others.count() as u64 {
            0 => own,
            // Bundles shrink towards the end, so that all sources end together.
            others => own.min((self.queue.unasked_cost() / (2 * (others + 1))).max(MIN_BUNDLE)),
        }
    }

    fn request(&mut self, index: usize, wants: Vec<usize>, now: Instant) {
        let id = BundleId(self.next_bundle);
        self.next_bundle += 1;
        if let Some(slot) = self.sources.get_mut(index) {
            slot.source.started(now);
        }
        let queued = wants.iter().copied().collect();
        self.bundles.insert(
            id,
            Bundle {
                source: index,
                refused: Vec::new(),
                has_some: false,
                is_broken: false,
                wants: queued,
                progress_at: now,
                is_held: false,
            },
        );
        self.actions.push(Action::Request { id, source: SourceId(index as u64), wants });
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
