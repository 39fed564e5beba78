//! Decides which source is asked for which groups next.

use std::time::{Duration, Instant};

use shoal_content::{GROUP_LEN, GroupRanges, Tree};

use super::rarity::Rarity;
use super::source::Source;
use super::{Action, MAX_REQUESTS, PIECE_TIME, Request, RequestId, Scheduler, SourceId};

/// Contents up to this size are asked for from the front, and whole while their size is a mere claim.
pub(super) const SALTED_FROM: u64 = 16 * 1024 * 1024;

/// A claim up to this size is fetched whole to prove it: one round trip for a small file.
const WHOLE_UP_TO: u64 = 1024 * 1024;

/// Groups from the front that come with the proof of a size of which nothing is known.
const HEAD: u64 = 4;

/// Silence of the proofs under way after which one more source is asked to prove the size: what a dead one costs.
const PROOF_PATIENCE: Duration = Duration::from_millis(300);

/// Time in which a source should choose. Until then no other is asked to choose of the same.
const CHOICE_WITHIN: Duration = Duration::from_millis(500);

/// So many times slower than the fastest, a source does not make what it holds less rare.
const TOO_SLOW: u64 = 8;

/// Ranges in one request. A fragmented rest is asked for in several.
const MAX_RANGES: usize = 256;

/// Smallest piece in groups; smaller ones cost more in round trips than they balance. It fits into the window of a
/// stream: a source that is read from as slowly as our user wants must not be taken for one that nobody reads from.
const MIN_PIECE: u64 = 12;

/// Piece for a source of unknown speed. The first is asked for together with the proof of the size: it is also what a
/// liar can make us fetch in vain.
const FIRST_PIECE: u64 = 64;

/// Largest piece: 32 MiB. A larger one gains nothing and takes longer to take back.
const MAX_PIECE: u64 = 2048;

/// Requests to one source at a time: the second is there when the first ends.
const MAX_PER_SOURCE: usize = 2;

/// The same to the only source of the only fetch. Each request has a stream, whose window is small at first and is filled
/// by what waits behind one lost packet: with fewer of them the connection has nothing to send while it finds out what
/// the way bears, and takes that for all it bears. Half of what a source serves to one peer.
const MAX_TO_THE_ONLY: usize = 4;

/// Groups that are under way from the only source as soon as the size is proven: 6 MiB, what long ways bear in a few
/// round trips. Asked for only as they come, one request that gets lost lets the source wait.
const HEAD_START: u64 = 384;

/// Rest of a request in groups that is repeated rather than split: splitting costs more than it saves.
const REPEAT_UP_TO: u64 = 16;

/// A request that ends sooner than this is left alone.
const TAKEOVER_FROM: Duration = Duration::from_millis(500);

/// Before the end, a request that ends sooner than this is left alone: it took its source for slower than it is, or
/// shares it with others.
const OVERDUE: Duration = Duration::from_secs(4 * PIECE_TIME.as_secs());

/// How often an idle source looks for something to take over.
pub(super) const TAKEOVER_CHECK: Duration = Duration::from_millis(250);

/// Time a request may take to its first group before an idle source takes it over.
const FIRST_GROUP_WITHIN: Duration = Duration::from_secs(2);

impl Scheduler {
    /// Makes only so many requests at a time from now on, at most [`MAX_REQUESTS`], and at least two: one must be able to
    /// take over from another. Each is for no more than `max_groups`, if that is given.
    pub fn limit_requests(&mut self, max: usize, max_groups: Option<u64>) {
        self.max_requests = Some(max.clamp(2, MAX_REQUESTS));
        self.max_groups = max_groups;
    }

    pub(super) fn assign(&mut self, now: Instant) {
        let Some(tree) = self.tree else {
            return self.ask_for_proofs(now);
        };
        let mut unasked = self.missing.clone();
        for request in self.requests.values() {
            unasked = unasked.difference(&request.todo).difference(&request.writing);
        }
        let fastest = self.sources.values().filter_map(|source| source.speed(now)).max().unwrap_or(0);
        // What only those have who take for ever is as good as what nobody has.
        let counts = |source: &&Source| {
            source.may_ask(now) && source.speed(now).is_none_or(|speed| speed >= fastest / TOO_SLOW)
        };
        let rarity = Rarity::among(self.sources.values().filter(counts), tree);
        for source in self.by_rank(now, 0) {
            if self.is_full() {
                return;
            }
            if self.is_worth_asking(source, &unasked, now)
                && !self.ask_for_piece(source, &mut unasked, &rarity, now)
            {
                let is_end = self.is_the_end(&unasked, now);
                self.take_over(source, is_end, now);
            }
        }
        for active in 1..MAX_TO_THE_ONLY {
            for source in self.by_rank(now, active) {
                if self.is_full() {
                    return;
                }
                if active < self.places(source, &rarity, now) && self.is_due(source, now) {
                    self.ask_for_piece(source, &mut unasked, &rarity, now);
                }
            }
        }
    }

    /// How many requests a source may have at a time.
    fn places(&self, id: SourceId, rarity: &Rarity, now: Instant) -> usize {
        let is_only = !rarity.has_crowd() && self.others(id, now) == 0;
        if is_only && self.is_alone { MAX_TO_THE_ONLY } else { MAX_PER_SOURCE }
    }

    /// How many other sources are worth asking.
    fn others(&self, id: SourceId, now: Instant) -> usize {
        let others = self.sources.iter().filter(|(other, _)| **other != id);
        others.filter(|(_, source)| source.may_ask(now) && source.rank(now) > 0).count()
    }

    /// Whether nobody could be asked for anything but what others were asked for already. Until then what an idle source
    /// could take over will mostly come in time, and taking it over wastes what is on its way.
    fn is_the_end(&self, unasked: &GroupRanges, now: Instant) -> bool {
        let mut sources = self.sources.values().filter(|source| source.may_ask(now));
        !sources.any(|source| !source.held_of(unasked).is_empty())
    }

    /// Whether as many requests are under way as may be. Those to guesses take nobody's place.
    fn is_full(&self) -> bool {
        let guesses = self.requests.values().filter(|request| self.is_guess(request.source)).count();
        self.requests.len() - guesses >= self.max_requests.unwrap_or(MAX_REQUESTS)
    }

    /// The sources that may be asked and have `active` requests, by rank.
    fn by_rank(&self, now: Instant, active: usize) -> Vec<SourceId> {
        let mut found: Vec<(u64, SourceId)> = self
            .sources
            .iter()
            .filter(|(_, source)| source.active == active && source.may_ask(now))
            .map(|(id, source)| (source.rank(now), *id))
            .collect();
        found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// Asks for the last group, which proves the size, with a little from the front or all of a small content.
    ///
    /// One source at a time, and another when that one is silent, which is asked for the last group alone: what several
    /// send of the same content is wasted.
    fn ask_for_proofs(&mut self, now: Instant) {
        self.ask_guesses(now);
        if self.is_full() {
            return;
        }
        let of_known = || self.requests.values().filter(|request| !self.is_guess(request.source));
        let mut proofs = of_known().filter(|request| request.claim.is_none());
        if proofs.any(|request| request.quiet(now) < PROOF_PATIENCE) {
            return self.ask_beside_the_proof(now);
        }
        let is_alone = of_known().next().is_none();
        let is_asked = |id: SourceId| {
            self.requests.values().any(|request| request.source == id && request.claim.is_none())
        };
        let is_known = |source: &Source| source.may_prove && !source.is_guess;
        let may_prove = |id: &SourceId| self.sources.get(id).is_some_and(is_known) && !is_asked(*id);
        // A proof may have failed while the piece that goes with it is still under way.
        let free = self.by_rank(now, 0).into_iter().chain(self.by_rank(now, 1));
        let Some(id) = free.into_iter().find(may_prove) else { return };
        let claim = self.sources.get(&id).and_then(|source| source.claims);
        let last = last_group();
        if !is_alone {
            return self.request(id, last, None, now);
        }
        match claim {
            Some(size) if Tree::new(size).groups() <= self.clip(WHOLE_UP_TO / GROUP_LEN) => {
                self.request(id, GroupRanges::all(u64::MAX), None, now);
            }
            Some(size) => {
                self.request(id, last.clone(), None, now);
                self.ask_on_a_claim(id, size, &last, now);
            }
            None => self.request(id, head_and_last(), None, now),
        }
    }

    /// As many groups as one request may be for.
    fn clip(&self, groups: u64) -> u64 {
        self.max_groups.map_or(groups, |max| groups.min(max))
    }

    /// Asks for the first piece before the size is proven, so that the proof costs no round trip. It is without what was
    /// `asked` for with the proof.
    pub(super) fn ask_on_a_claim(&mut self, id: SourceId, size: u64, asked: &GroupRanges, now: Instant) {
        let last = Tree::new(size).groups() - 1;
        let from = if size > SALTED_FROM { self.cursor % (last + 1) } else { 0 };
        let piece = GroupRanges::from(from..last.min(from.saturating_add(self.clip(FIRST_PIECE))));
        let piece = piece.difference(asked);
        let held = self.sources.get(&id).map(|source| source.held_of(&piece)).unwrap_or_default();
        let held: GroupRanges = held.iter().take(MAX_RANGES).collect();
        if !held.is_empty() {
            self.request_on(Some(size), id, held, None, now);
        }
    }

    /// Whether to ask a source although it owes us an answer: only for what the others do not have within reach.
    fn is_worth_asking(&self, id: SourceId, unasked: &GroupRanges, now: Instant) -> bool {
        let owes = |source: &Source| source.rank(now) == 0;
        if !self.sources.get(&id).is_some_and(owes) {
            return true;
        }
        let others = self.sources.values().filter(|source| source.may_ask(now) && !owes(source));
        let reach = others.map(|source| source.held_of(unasked).len().min(piece(source, now))).sum();
        unasked.len() > reach
    }

    /// Whether a source with one request under way should get the next.
    fn is_due(&self, id: SourceId, now: Instant) -> bool {
        let Some(source) = self.sources.get(&id) else {
            return false;
        };
        let todo: u64 =
            self.requests.values().filter(|request| request.source == id).map(Request::expected).sum();
        // The last place is kept for what is asked when there is something to tell from what came.
        let is_young = source.is_growing() && source.active < MAX_TO_THE_ONLY - 1 && todo < HEAD_START;
        todo <= piece(source, now) / 2 || todo <= 2 * source.growth() || self.is_alone && is_young
    }

    fn ask_for_piece(
        &mut self,
        id: SourceId,
        unasked: &mut GroupRanges,
        rarity: &Rarity,
        now: Instant,
    ) -> bool {
        let Some(source) = self.sources.get(&id) else {
            return false;
        };
        let mut held = source.held_of(unasked);
        if held.is_empty() {
            return false;
        }
        // What few partial holders have is rarer: ask for that first, and leave to them what they can give.
        held = rarity.rarest(held, source.partial(rarity.tree).is_some());
        let is_whole = source.partial(rarity.tree).is_none();
        let others = self.others(id, now) as u64;
        let mut groups = piece(source, now);
        if !rarity.has_crowd() {
            groups = groups.max(self.growing_piece(id, source, others == 0)).min(MAX_PIECE);
        }
        if others > 0 {
            // Pieces shrink towards the end, so that all sources end together.
            groups = groups.min((unasked.len() / (2 * (others + 1))).max(MIN_PIECE));
        }
        groups = self.clip(groups);
        if is_whole && rarity.has_crowd() {
            return self.leave_the_choice(id, &held, groups, now);
        }
        let mut ahead = held.clone();
        ahead.remove(0..self.cursor);
        let from = if ahead.is_empty() { &held } else { &ahead };
        let ranges: GroupRanges = from.first_groups(groups).iter().take(MAX_RANGES).collect();
        self.cursor = ranges.iter().last().map_or(0, |range| range.end);
        *unasked = unasked.difference(&ranges);
        self.request(id, ranges, None, now);
        true
    }

    /// The groups to ask next of a source that still becomes faster: its connection is finding out what the way bears, and
    /// brings in each round trip as much as in all before. When what is under way has come, which shares the connection
    /// with this piece, enough of this must be left for one more round trip, else the source has nothing to send.
    fn growing_piece(&self, id: SourceId, source: &Source, only: bool) -> u64 {
        if !source.is_growing() {
            return 0;
        }
        let todo = self.requests.values().filter(|request| request.source == id).map(Request::expected);
        let todo: u64 = todo.sum();
        match source.growth() {
            came if only && self.is_alone && came + todo < HEAD_START => HEAD_START / 2,
            0 => 0,
            came => 2 * came + 4 * todo,
        }
    }

    /// Has a source that holds everything choose what to send: it alone knows what it sent to others, who pass it on.
    /// One at a time, since two could choose the same.
    fn leave_the_choice(&mut self, id: SourceId, held: &GroupRanges, groups: u64, now: Instant) -> bool {
        let is_choosing = |request: &Request| request.offer.is_some() && request.quiet(now) < CHOICE_WITHIN;
        if self.requests.values().any(is_choosing) {
            return true;
        }
        let ranges: GroupRanges = held.iter().take(MAX_RANGES).collect();
        self.request(id, ranges, Some(groups), now);
        true
    }

    /// Lets an idle source take the tail of the request that would end last, or repeat it if little is left.
    fn take_over(&mut self, id: SourceId, is_end: bool, now: Instant) {
        let Some(source) = self.sources.get(&id) else {
            return;
        };
        let slowest = self
            .requests
            .iter()
            .filter(|(_, request)| request.source != id && !source.held_of(&request.todo).is_empty())
            .filter(|(request, _)| !self.is_repeated(**request))
            .map(|(request, _)| (self.time_left(*request, now), *request))
            .filter(|(left, _)| *left >= if is_end { TAKEOVER_FROM } else { OVERDUE })
            .max();
        let Some((_, slow_id)) = slowest else { return };
        let our_speed = source.speed(now);
        let Some(slow) = self.requests.get(&slow_id) else {
            return;
        };
        let their_speed = self.sources.get(&slow.source).and_then(|slow| slow.speed(now));
        let left = slow.todo.len();
        let repeats = left <= REPEAT_UP_TO;
        if repeats && !is_end {
            return;
        }
        let keep = if repeats { 0 } else { share(left, their_speed, our_speed) };
        let tail = source.held_of(&slow.todo.difference(&slow.todo.first_groups(keep)));
        let tail: GroupRanges = tail.iter().take(MAX_RANGES).collect();
        if tail.is_empty() || tail.len() > self.clip(tail.len()) {
            return;
        }
        if let Some(slow) = self.requests.get_mut(&slow_id).filter(|_| !repeats) {
            slow.todo = slow.todo.difference(&tail);
            let before = slow.todo.iter().last().map_or(0, |range| range.end);
            self.actions.push(Action::Shorten { id: slow_id, before });
        }
        self.request(id, tail, None, now);
    }

    /// Whether any of what this request is to bring was asked for twice.
    fn is_repeated(&self, id: RequestId) -> bool {
        let Some(request) = self.requests.get(&id) else {
            return false;
        };
        let others = self.requests.iter().filter(|(other, _)| **other != id);
        others.into_iter().any(|(_, other)| !other.todo.intersection(&request.todo).is_empty())
    }

    /// Time until a request ends, if its source goes on as it does.
    fn time_left(&self, id: RequestId, now: Instant) -> Duration {
        let Some(request) = self.requests.get(&id) else {
            return Duration::ZERO;
        };
        let quiet = request.quiet(now);
        let speed = self.sources.get(&request.source).and_then(|source| source.speed(now));
        let of_source = self.requests.values().filter(|other| other.source == request.source);
        let bytes = of_source.map(Request::expected).sum::<u64>().saturating_mul(GROUP_LEN);
        match speed {
            // Silence longer than its speed explains counts for more than its speed.
            Some(speed) => Duration::from_millis(bytes.saturating_mul(1000) / speed.max(1)).max(quiet),
            None if quiet >= FIRST_GROUP_WITHIN => Duration::MAX,
            None => Duration::ZERO,
        }
    }
}

/// The group that proves the size, whichever it is.
fn last_group() -> GroupRanges {
    GroupRanges::from(u64::MAX - 1..u64::MAX)
}

/// What to ask of a source of whose content nothing is known.
pub(super) fn head_and_last() -> GroupRanges {
    GroupRanges::from(0..HEAD).union(&last_group())
}

/// The groups that take a source about [`PIECE_TIME`].
fn piece(source: &Source, now: Instant) -> u64 {
    source.speed(now).map_or(FIRST_PIECE, |speed| {
        (speed.saturating_mul(PIECE_TIME.as_secs()) / GROUP_LEN).clamp(MIN_PIECE, MAX_PIECE)
    })
}

/// How many of `groups` the slow source keeps, so that both end together.
fn share(groups: u64, their_speed: Option<u64>, our_speed: Option<u64>) -> u64 {
    let (theirs, ours) = match (their_speed, our_speed) {
        (Some(theirs), Some(ours)) => (u128::from(theirs), u128::from(ours)),
        (Some(_), None) => (1, 1),
        (None, _) => (0, 1),
    };
    let kept = u128::from(groups) * theirs / (theirs + ours).max(1);
    // At least one group changes hands, else nothing would; and one stays, so that silence still tells.
    u64::try_from(kept).unwrap_or(groups).clamp(1, groups - 1)
}
