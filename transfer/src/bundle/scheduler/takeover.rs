//! An idle source takes over from a slow one.

use std::time::{Duration, Instant};

use super::{Bundle, MAX_BUNDLE, Scheduler};
use crate::wire::MAX_WANTS;

/// A bundle that ends sooner than this is left alone.
const FROM: Duration = Duration::from_millis(500);

/// How often an idle source looks for something to take over.
pub(super) const CHECK: Duration = Duration::from_millis(250);

/// Time a source may take to its first answer before an idle one takes over.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl Scheduler {
    /// Asks an idle source for the tail of the bundle that would end last. Whoever is first brings it.
    pub(super) fn take_over(&mut self, index: usize, now: Instant) {
        let others = self.bundles.values().filter(|bundle| bundle.source != index);
        let slow = others
            .map(|bundle| (self.time_left(bundle, now), bundle))
            .filter(|(left, _)| *left >= FROM)
            .map(|(left, bundle)| (left, bundle.source, self.may_take(bundle, index)))
            .filter(|(_, _, wants)| !wants.is_empty())
            .max_by_key(|(left, ..)| *left);
        let Some((_, from, wants)) = slow else { return };
        let speed = |index: usize| self.sources.get(index).and_then(|slot| slot.source.speed(now));
        let keep = share(wants.len(), speed(from), speed(index));
        let mut budget = MAX_BUNDLE;
        let mut taken = Vec::new();
        for want in wants.into_iter().skip(keep).take(MAX_WANTS) {
            budget = budget.saturating_sub(self.queue.cost(want));
            if budget == 0 && !taken.is_empty() {
                break;
            }
            self.queue.asked(want);
            taken.push(want);
        }
        self.request(index, taken, now);
    }

    /// What a source could bring of a bundle that another was asked for.
    fn may_take(&self, bundle: &Bundle, index: usize) -> Vec<usize> {
        bundle.wants.iter().copied().filter(|want| self.queue.may_repeat(*want, index)).collect()
    }

    /// Time until a bundle ends, if its source goes on as it does.
    fn time_left(&self, bundle: &Bundle, now: Instant) -> Duration {
        let quiet = bundle.quiet(now);
        let speed = self.sources.get(bundle.source).and_then(|slot| slot.source.speed(now));
        let of_source = self.bundles.values().filter(|other| other.source == bundle.source);
        let wants = of_source.flat_map(|other| &other.wants).filter(|want| !self.queue.is_over(**want));
        let cost = wants.map(|want| self.queue.cost(*want)).fold(0, u64::saturating_add);
        match speed {
            // Silence longer than its speed explains counts for more than its speed.
            Some(speed) => Duration::from_millis(cost.saturating_mul(1000) / speed.max(1)).max(quiet),
            None if quiet >= FIRST_ANSWER_WITHIN => Duration::MAX,
            None => Duration::ZERO,
        }
    }
}

/// How many of `count` the slow source keeps, so that both end together.
fn share(count: usize, theirs: Option<u64>, ours: Option<u64>) -> usize {
    let (theirs, ours) = match (theirs, ours) {
        (Some(theirs), Some(ours)) => (u128::from(theirs), u128::from(ours)),
        (Some(_), None) => (1, 1),
        (None, _) => (0, 1),
    };
    let kept = count as u128 * theirs / (theirs + ours).max(1);
    // At least one changes hands, else nothing would.
    usize::try_from(kept).unwrap_or(count).min(count.saturating_sub(1))
}
