//! Decides which groups to ask of which source, and whom to stop asking.
//!
//! Owns: the groups not yet verified, what each source holds, how fast it is, and what it was asked.
//! Hears: sources found, groups verified, requests answered, ended and failed, and the time.
//! Tells: what to request, what to cancel, whom to drop and why.
//! Ends: all is verified, or nobody is left who could help.
//!
//! Pure: no clock, no randomness, no channel. The same events give the same actions.
//!
//! How it decides: every source is asked for pieces that take it about [`PIECE_TIME`], the next one before the last
//! has ended, so that fast sources take more and no round trip is spent idle. When nothing is left to ask for, an
//! idle source takes over the tail of the request that would end last; what little is left then is asked of two.

mod assign;
mod failure;
mod guess;
mod rarity;
mod request;
pub(crate) mod source;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use shoal_content::{GROUP_LEN, GroupRanges, Tree};

pub use self::failure::Failure;
pub use self::guess::MAX_GUESSES;
use self::request::Request;
use self::source::Source;

/// Time without a verified group after which a request is given up. Long enough for a slow link to send one group,
/// short enough that a silent peer does not hold up a download.
pub const STALL: Duration = Duration::from_secs(20);

/// Time a piece should take its source: long against a round trip, short against the whole.
pub const PIECE_TIME: Duration = Duration::from_secs(2);

/// Requests of one fetch at a time. Each has buffers, so this bounds memory.
pub const MAX_REQUESTS: usize = 16;

/// Sources of one fetch at a time. What is found beyond them is not needed while they work.
pub const MAX_SOURCES: usize = 64;

/// Names a source. What is behind it, a peer or a local copy, is the driver's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u64);

/// Names a request; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask `source` for `ranges`.
    Request {
        /// Names the request in what is reported about it.
        id: RequestId,
        /// Whom to ask.
        source: SourceId,
        /// For what; at most a few hundred ranges.
        ranges: GroupRanges,
        /// For so many of these groups, those that the source chooses.
        most: Option<u64>,
        /// The size that the source claims, where another request is to prove it: nothing is kept before it has.
        claim: Option<u64>,
    },
    /// Let the request end before this group: another source brings what comes after.
    Shorten {
        /// Which.
        id: RequestId,
        /// The first group that is not wanted of it any more.
        before: u64,
    },
    /// Stop the request. What it has verified still counts; nothing else about it is listened to.
    Cancel {
        /// Which.
        id: RequestId,
    },
    /// Forget a guess that was wrong, or comes too late; its request is cancelled already, and nobody is to blame.
    Forget {
        /// Whom.
        source: SourceId,
    },
    /// Forget the source; its requests are cancelled already.
    Drop {
        /// Whom.
        source: SourceId,
        /// Why.
        reason: Failure,
    },
}

/// The decisions of one fetch.
#[derive(Debug, Default)]
pub struct Scheduler {
    /// The shape of the content, once a source has proven its size.
    tree: Option<Tree>,
    /// What is not verified yet; empty until the size is proven.
    missing: GroupRanges,
    sources: BTreeMap<SourceId, Source>,
    requests: BTreeMap<RequestId, Request>,
    next_request: u64,
    /// Where the next piece starts, so that nodes that start together do not all ask for the same one.
    cursor: u64,
    /// Requests at a time, if fewer than [`MAX_REQUESTS`].
    max_requests: Option<usize>,
    /// Groups of one request, if there is a limit.
    max_groups: Option<u64>,
    /// Whether no other fetch asks the same sources.
    is_alone: bool,
    actions: Vec<Action>,
}

impl Scheduler {
    /// Starts with nothing known. Nodes that start together should differ in `salt`.
    pub fn new(salt: u64) -> Self {
        Scheduler { cursor: salt, ..Scheduler::default() }
    }

    /// No other fetch asks the same sources: one of them may be asked for more at once.
    pub fn go_alone(&mut self) {
        self.is_alone = true;
    }

    /// The size is proven, by the request `by` or long ago, and `missing` is what is not verified and kept.
    pub fn size_proven(&mut self, size: u64, missing: GroupRanges, by: Option<RequestId>) {
        let tree = Tree::new(size);
        self.tree = Some(tree);
        self.missing = missing;
        // A small content is asked for whole anyway, and the front of it is the nicer part to have first.
        self.cursor = if size > assign::SALTED_FROM { self.cursor % tree.groups() } else { 0 };
        // Proofs bring groups too. Those under way from which nothing came yet have nothing left to prove.
        let under_way: Vec<RequestId> = self.requests.keys().copied().collect();
        for id in under_way {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            let is_of_use = match request.claim.take() {
                Some(claim) => claim == size,
                None => request.heard || Some(id) == by,
            };
            if is_of_use {
                request.todo = tree.clip(&request.todo).intersection(&self.missing);
            } else {
                self.cancel(id);
            }
        }
        self.forget_guesses();
    }

    /// A source was found. `holds` is what it says it has, if it was asked; `size` is its claim.
    ///
    /// False if there are [`MAX_SOURCES`] already and this one is not taken.
    pub fn source_found(&mut self, id: SourceId, holds: Option<GroupRanges>, size: Option<u64>) -> bool {
        let has_room = self.sources.len() < MAX_SOURCES;
        if has_room {
            self.sources.entry(id).or_insert_with(|| Source::new(holds, size));
        }
        has_room
    }

    /// A known source says anew what it has.
    pub fn source_holds(&mut self, id: SourceId, holds: GroupRanges, size: u64) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.updated(holds, size);
            source.is_guess = false;
        }
    }

    /// The header of a response said that of the groups asked for only these follow. It must be told of every request
    /// that leaves the choice to its source.
    pub fn follows(&mut self, id: RequestId, ranges: &GroupRanges) {
        if self.tree.is_none() {
            return;
        }
        let Some(request) = self.requests.get_mut(&id) else { return };
        let absent = match request.offer.take() {
            // It chose, and what it did not choose it may well have.
            Some(offer) if !ranges.is_empty() => {
                request.todo = ranges.intersection(&offer.of).intersection(&self.missing);
                GroupRanges::empty()
            }
            Some(offer) => offer.of,
            None => {
                let absent = request.todo.difference(ranges);
                request.todo = request.todo.intersection(ranges);
                absent
            }
        };
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.lacks(&absent);
        }
    }

    /// These groups came, match, and are on their way to the disk. Until they are there nobody is blamed for silence:
    /// it may be us who do not read.
    pub fn writing(&mut self, id: RequestId, groups: &GroupRanges, now: Instant) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.todo = request.todo.difference(groups);
            request.writing = request.writing.union(groups);
            request.progress_at = now;
        }
    }

    /// So many groups came that match, but cannot be kept before the size is proven.
    pub fn heard(&mut self, id: RequestId, groups: u64, now: Instant) {
        if let Some(request) = self.requests.get_mut(&id) {
            let bytes = groups.saturating_mul(GROUP_LEN);
            request.credited = request.credited.saturating_add(bytes);
            let source = request.source;
            self.progress(id, bytes, now);
            self.guessed_right(source);
        }
    }

    /// Groups are verified and kept.
    pub fn verified(&mut self, id: RequestId, groups: Range<u64>, now: Instant) {
        self.missing.remove(groups.clone());
        if let Some(request) = self.requests.get_mut(&id) {
            let bytes = groups.end.saturating_sub(groups.start).saturating_mul(GROUP_LEN);
            let credited = bytes.min(request.credited);
            request.credited -= credited;
            request.writing.remove(groups.clone());
            self.progress(id, bytes - credited, now);
        }
        for request in self.requests.values_mut() {
            request.todo.remove(groups.clone());
        }
    }

    fn progress(&mut self, id: RequestId, bytes: u64, now: Instant) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.progress_at = now;
        request.heard = true;
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.delivered(bytes, now);
        }
    }

    /// Something came of this request since, or nothing could because of us: its source is not to blame.
    pub fn alive(&mut self, id: RequestId, now: Instant) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.progress_at = now;
        }
    }

    /// A response ended as it should.
    pub fn finished(&mut self, id: RequestId, now: Instant) {
        if let Some(request) = self.remove(id)
            && let Some(source) = self.sources.get_mut(&request.source)
        {
            source.ended(now);
            match self.tree {
                None if request.claim.is_some() => {}
                // What it did not bring, it does not have: do not ask the same again.
                Some(_) => source.lacks(request.offer.as_ref().map_or(&request.todo, |offer| &offer.of)),
                None => source.may_prove = false,
            }
            self.forget_if_guess(request.source);
        }
    }

    /// A request failed; its source is asked again later or dropped.
    pub fn failed(&mut self, id: RequestId, failure: Failure, now: Instant) {
        if let Some(request) = self.remove(id) {
            self.blame(request.source, failure, now);
        }
    }

    /// Gives what is to be done now. Call it after every report and at [`Scheduler::next_wake`].
    pub fn poll(&mut self, now: Instant) -> Vec<Action> {
        self.give_up_stalled(now);
        self.cancel_needless();
        if !self.is_done() {
            self.assign(now);
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`Scheduler::poll`] may decide something new although nothing is reported.
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        let retries = self.sources.values().filter_map(|source| source.retry_at).filter(|at| *at > now);
        // An idle source waits for a chance to take over from a slow one.
        let takeovers = (!self.requests.is_empty()
            && self.sources.values().any(|source| source.is_idle(now)))
        .then(|| now + assign::TAKEOVER_CHECK);
        self.first_stall().into_iter().chain(retries).chain(takeovers).min()
    }

    /// When the request that is silent for longest counts as stalled.
    pub fn first_stall(&self) -> Option<Instant> {
        let waiting = self.requests.values().filter(|request| request.is_awaited());
        waiting.map(|request| request.progress_at + STALL).min()
    }

    /// Whether everything is verified.
    pub fn is_done(&self) -> bool {
        self.tree.is_some() && self.missing.is_empty()
    }

    /// Whether any source that is known could still bring something, now or later.
    pub fn has_hope(&self) -> bool {
        !self.requests.is_empty() || self.sources.values().any(|source| self.could_help(source))
    }

    fn could_help(&self, source: &Source) -> bool {
        match self.tree {
            None => source.may_prove,
            Some(_) => !source.held_of(&self.missing).is_empty(),
        }
    }
}
