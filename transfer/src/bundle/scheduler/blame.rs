//! Decides which sources are dropped: those that lie, fall silent, or do not have what they claim.

use std::time::Instant;

use super::{Action, BundleId, MAX_BAD, Scheduler};
use crate::scheduler::{Failure, STALL, SourceId};

/// Bundles in a row from which a source that names the files it has may give none, before it is not believed any more. It
/// could name them again and again, and so keep others from being asked for what it alone pretends to have.
pub(super) const MAX_BROKEN: u32 = 6;

/// For how many of these its silence counts: each is waited for as long as [`STALL`].
const BROKEN_BY_SILENCE: u32 = MAX_BROKEN / 2;

impl Scheduler {
    pub(super) fn give_up_stalled(&mut self, now: Instant) {
        let stalled = self.bundles.iter().filter(|(_, bundle)| bundle.quiet(now) >= STALL);
        let stalled: Vec<BundleId> = stalled.map(|(id, _)| *id).collect();
        for id in stalled {
            if let Some(index) = self.cancel(id) {
                self.blame(index, Failure::Stalled, now);
            }
        }
    }

    /// Counts that a source did not give what it named, if it names what it has. True if that was once too often.
    pub(super) fn is_unbelievable(&mut self, index: usize, times: u32) -> bool {
        let Some(slot) = self.sources.get_mut(index).filter(|slot| slot.names_files) else { return false };
        slot.broken += times;
        slot.broken >= MAX_BROKEN
    }

    pub(super) fn blame(&mut self, index: usize, failure: Failure, now: Instant) {
        let times = if failure == Failure::Stalled { BROKEN_BY_SILENCE } else { 1 };
        let is_over = self.is_unbelievable(index, times);
        let Some(slot) = self.sources.get_mut(index).filter(|slot| !slot.is_dropped) else { return };
        if !slot.source.failed(&failure, now) || is_over {
            if failure.is_proof() {
                slot.bad = MAX_BAD;
            }
            self.drop_source(index, failure);
        }
    }

    pub(super) fn drop_source(&mut self, index: usize, reason: Failure) {
        let Some(slot) = self.sources.get_mut(index).filter(|slot| !slot.is_dropped) else { return };
        slot.is_dropped = true;
        self.queue.forget(index);
        let its = self.bundles.iter().filter(|(_, bundle)| bundle.source == index);
        let its: Vec<BundleId> = its.map(|(id, _)| *id).collect();
        for id in its {
            self.cancel(id);
        }
        self.actions.push(Action::Drop { source: SourceId(index as u64), reason });
    }
}
