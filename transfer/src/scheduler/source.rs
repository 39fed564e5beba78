//! What is known of one source: its groups, its speed, its failures.

use std::time::{Duration, Instant};

use shoal_content::{GROUP_LEN, GroupRanges, Tree};

use super::Failure;

/// Time over which speed is measured; shorter windows measure the batches of the writer.
const WINDOW: Duration = Duration::from_millis(200);

/// First wait before a source is asked again.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// Longest wait before a source is asked again: about the time a provider takes to restart.
const LAST_RETRY: Duration = Duration::from_secs(15);

/// Failures in a row after which a source that never brought a group is dropped. More would only delay the answer
/// that nobody can be reached.
const MAX_FAILURES_UNPROVEN: u32 = 3;

/// Failures in a row after which a source that did bring groups is dropped, unless only its connection is lost: a
/// provider that restarts must be able to go on.
const MAX_FAILURES: u32 = 6;

#[derive(Debug)]
pub(crate) struct Source {
    /// Whether nobody said yet that it holds anything.
    pub(crate) is_guess: bool,
    /// Everything, as far as we know, if it does not say.
    holds: Option<GroupRanges>,
    /// The size it claims.
    pub(crate) claims: Option<u64>,
    /// Whether it may be able to prove the size: it has the last group, or we do not know.
    pub(crate) may_prove: bool,
    /// Requests under way.
    pub(crate) active: usize,
    /// Not to be asked before.
    pub(crate) retry_at: Option<Instant>,
    /// Whether it ever brought a group.
    has_delivered: bool,
    /// Whether it was asked since it last brought one.
    owes: bool,
    /// Failures since it last brought a group: how often it was busy or failed, and how often it failed.
    waits: u32,
    failures: u32,
    speed: Speed,
}

/// Bytes per second while requests are under way.
#[derive(Debug, Default)]
struct Speed {
    measured: Option<u64>,
    /// Since when it is asked for something without a pause.
    since: Option<Instant>,
    /// How long it was before, since it was last measured.
    before: Duration,
    /// When something came last.
    last: Option<Instant>,
    /// Bytes since it was last measured.
    bytes: u64,
    /// Bytes since it was first asked.
    total: u64,
    /// Whether it was once measured to be hardly faster than before.
    is_steady: bool,
}

impl Source {
    pub(crate) fn new(holds: Option<GroupRanges>, claims: Option<u64>) -> Self {
        Source {
            is_guess: false,
            may_prove: holds_last(holds.as_ref(), claims),
            holds,
            claims,
            active: 0,
            retry_at: None,
            has_delivered: false,
            owes: false,
            waits: 0,
            failures: 0,
            speed: Speed::default(),
        }
    }

    pub(crate) fn guess() -> Self {
        Source { is_guess: true, ..Source::new(None, None) }
    }

    pub(crate) fn updated(&mut self, holds: GroupRanges, claims: u64) {
        self.may_prove = holds_last(Some(&holds), Some(claims));
        self.holds = Some(holds);
        self.claims = Some(claims);
    }

    /// The groups of `wanted` that it holds, as far as we know.
    pub(crate) fn held_of(&self, wanted: &GroupRanges) -> GroupRanges {
        self.holds.as_ref().map_or_else(|| wanted.clone(), |holds| holds.intersection(wanted))
    }

    /// It turned out not to hold these.
    pub(crate) fn lacks(&mut self, absent: &GroupRanges) {
        if !absent.is_empty() {
            let holds = self.holds.take().unwrap_or_else(|| GroupRanges::all(u64::MAX));
            self.holds = Some(holds.difference(absent));
        }
    }

    /// The groups it is known to hold, if it says that it does not hold all.
    pub(crate) fn partial(&self, tree: Tree) -> Option<&GroupRanges> {
        let all = GroupRanges::all(tree.groups());
        self.holds.as_ref().filter(|holds| !all.difference(holds).is_empty())
    }

    /// Whether it could be asked now and is asked nothing.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.active == 0 && self.may_ask(now)
    }

    pub(crate) fn may_ask(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    pub(crate) fn started(&mut self, now: Instant) {
        if self.active == 0 {
            self.speed.resume(now);
        }
        self.active += 1;
        self.owes = true;
    }

    /// Whether it may still become faster.
    pub(crate) fn is_growing(&self) -> bool {
        !self.speed.is_steady
    }

    /// The groups that it has brought in all, as long as it becomes faster; then none.
    pub(crate) fn growth(&self) -> u64 {
        if self.speed.is_steady { 0 } else { self.speed.total / GROUP_LEN }
    }

    pub(crate) fn delivered(&mut self, bytes: u64, now: Instant) {
        self.has_delivered = true;
        self.owes = false;
        self.waits = 0;
        self.failures = 0;
        self.speed.last = Some(now);
        self.speed.bytes = self.speed.bytes.saturating_add(bytes);
        self.speed.total = self.speed.total.saturating_add(bytes);
        if let Some(sample) = self.speed.sample(now, WINDOW) {
            self.speed.is_steady |=
                self.speed.measured.is_some_and(|old| sample < old.saturating_add(old / 2));
            self.speed.measured = Some(self.speed.measured.map_or(sample, |old| old / 2 + sample / 2));
            self.speed.since = Some(now);
            self.speed.before = Duration::ZERO;
            self.speed.bytes = 0;
        }
    }

    /// A request ended in order: a measure, if there is none yet.
    pub(crate) fn ended(&mut self, now: Instant) {
        if self.speed.measured.is_none() {
            self.speed.measured = self.speed.sample(now, Duration::ZERO);
        }
    }

    /// Bytes per second, as far as known.
    pub(crate) fn speed(&self, now: Instant) -> Option<u64> {
        self.speed.measured.or_else(|| self.speed.sample(now, Duration::ZERO))
    }

    /// Where it stands when there is little to ask for: the fastest first, but before them those not tried yet, and
    /// last those that owe us an answer.
    pub(crate) fn rank(&self, now: Instant) -> u64 {
        let unknown = if self.owes { 0 } else { u64::MAX };
        self.speed(now).unwrap_or(unknown)
    }

    /// Takes note of a failure. False means that the source is not worth asking again.
    pub(crate) fn failed(&mut self, failure: &Failure, now: Instant) -> bool {
        if *failure == Failure::Busy {
            // A word is an answer.
            self.owes = false;
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        let is_final = match failure {
            Failure::NotFound | Failure::Changed => true,
            proof if proof.is_proof() => true,
            // How long it stays busy is no fault of its own; the fetch as a whole has a time limit.
            Failure::Busy => false,
            // Somebody who never said a word is not worth another silence.
            Failure::Stalled if !self.has_delivered => true,
            Failure::Lost | Failure::Unreachable(_) if self.has_delivered => false,
            _ => {
                let max = if self.has_delivered { MAX_FAILURES } else { MAX_FAILURES_UNPROVEN };
                self.failures >= max
            }
        };
        if *failure == Failure::Stalled {
            self.speed = Speed::default();
        }
        let wait = FIRST_RETRY.saturating_mul(1 << self.waits.min(8)).min(LAST_RETRY);
        self.waits = self.waits.saturating_add(1);
        self.retry_at = Some(now + wait);
        !is_final
    }
}

impl Speed {
    /// It is asked again after a pause, which is no fault of its own. What is short is measured together with what comes
    /// next: else a source that is quickly done with all it is asked for would never be measured.
    fn resume(&mut self, now: Instant) {
        if let (Some(since), Some(last)) = (self.since, self.last) {
            self.before = self.before.saturating_add(last.saturating_duration_since(since));
        }
        self.since = Some(now);
    }

    fn sample(&self, now: Instant, at_least: Duration) -> Option<u64> {
        let elapsed = self.before.saturating_add(now.saturating_duration_since(self.since?));
        if self.bytes == 0 || elapsed < at_least {
            return None;
        }
        let micros = elapsed.as_micros().max(1);
        u64::try_from(u128::from(self.bytes) * 1_000_000 / micros).ok()
    }
}

fn holds_last(holds: Option<&GroupRanges>, claims: Option<u64>) -> bool {
    match (holds, claims) {
        (Some(holds), Some(size)) => holds.contains(Tree::new(size).groups() - 1),
        _ => true,
    }
}
