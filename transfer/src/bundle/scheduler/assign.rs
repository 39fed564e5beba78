//! Decides which source is asked for which blobs next.

use std::time::{Duration, Instant};

use super::{Action, Bundle, BundleId, MAX_BUNDLE, Scheduler, Slot};
use crate::scheduler::SourceId;
use crate::wire::MAX_WANTS;

/// Time a bundle should take its source: long against a round trip, short against the whole.
const BUNDLE_TIME: Duration = Duration::from_millis(500);

/// Bytes of a bundle for a source of unknown speed.
const FIRST_BUNDLE: u64 = 256 * 1024;

/// Fewest bytes of a bundle, but for the last one: smaller ones cost more in round trips than they balance.
const MIN_BUNDLE: u64 = 64 * 1024;

/// Bundles of one source at a time: the second is there when the first ends.
const MAX_PER_SOURCE: usize = 2;

impl Scheduler {
    /// Asks as many sources as may be asked, the best first: each for a first bundle before any is asked for a second.
    pub(super) fn assign(&mut self, now: Instant) {
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

    /// The bytes that a source is asked for at once.
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

    /// Begins a bundle.
    pub(super) fn request(&mut self, index: usize, wants: Vec<usize>, now: Instant) {
        let id = BundleId(self.next_bundle);
        self.next_bundle += 1;
        if let Some(slot) = self.sources.get_mut(index) {
            slot.source.started(now);
        }
        self.bundles.insert(id, Bundle::new(index, &wants, now));
        self.actions.push(Action::Request { id, source: SourceId(index as u64), wants });
    }
}
