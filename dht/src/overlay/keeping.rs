//! Strangers' records on their way to the disk and back.

use std::time::{Instant, SystemTime};

use super::Overlay;
use crate::disk::RecordChange;
use crate::record_store::Kept;

impl Overlay {
    /// Up to `max` changes of the records since they were last taken.
    pub(crate) fn take_record_changes(&mut self, max: usize, now: Instant) -> Vec<RecordChange> {
        let (scope, wall) = (self.scope, SystemTime::now());
        let changes = self.records.take_changes(max, now);
        changes.into_iter().map(|change| RecordChange::encode(scope, change, wall)).collect()
    }

    /// Takes back a record of an earlier run; false when it is of no use any more.
    pub(crate) fn restore_record(&mut self, kept: Kept, now: Instant) -> bool {
        let is_whole = kept.life.is_zero() || !kept.addresses.is_empty();
        is_whole && kept.provider != self.local && self.records.restore(kept, now)
    }

    /// Notes that records of an earlier run will be restored.
    pub(crate) fn expect_records(&mut self) {
        self.records.expect_restored();
    }

    /// Notes that every record of earlier runs has been taken back.
    pub(crate) fn records_loaded(&mut self) {
        self.records.loaded();
    }

    /// Notes that nothing is on disk any more.
    pub(crate) fn records_unkept(&mut self) {
        self.records.unkept();
    }
}
