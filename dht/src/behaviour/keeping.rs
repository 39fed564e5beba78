//! What a node keeps on disk for us: what strangers made us remember, and how far telling of our own keys has come.
//!
//! Both are bytes to the node. They are of one network: those of another are of no use here, and take up room.

use std::time::{Instant, SystemTime};

use super::Behaviour;
use crate::disk::{self, RecordChange};
use crate::overlay::Overlay;
use crate::provide::Marks;

impl Behaviour {
    /// Up to `max` changes of the rows that hold strangers' records, in the order in which they are to be written.
    ///
    /// Each change is told once: whoever takes them and fails to write them says so by
    /// [`Behaviour::records_unkept`].
    pub fn take_record_changes(&mut self, max: usize) -> Vec<RecordChange> {
        let now = Instant::now();
        let mut changes = Vec::new();
        for overlay in self.overlays() {
            changes.extend(overlay.take_record_changes(max.saturating_sub(changes.len()), now));
        }
        changes
    }

    /// Says that records of an earlier run will be restored: until then no withdrawal is taken lightly.
    pub fn expect_records(&mut self) {
        for overlay in self.overlays() {
            overlay.expect_records();
        }
    }

    /// Takes back records of an earlier run, which count like all others and push nobody out. Returns the keys of
    /// the rows that are of no use any more: expired ones, and bytes that are no record.
    pub fn restore_records(&mut self, rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut useless = Vec::new();
        for (key, row) in rows {
            let kept = disk::decode(key, row, wall);
            let is_kept = kept.is_some_and(|(scope, kept)| {
                self.overlay(scope).is_some_and(|overlay| overlay.restore_record(kept, now))
            });
            if !is_kept {
                useless.push(key.clone());
            }
        }
        useless
    }

    /// Says that [`Behaviour::restore_records`] has seen every row.
    pub fn records_loaded(&mut self) {
        for overlay in self.overlays() {
            overlay.records_loaded();
        }
    }

    /// Says that no row is on disk any more: all of them are told again.
    pub fn records_unkept(&mut self) {
        for overlay in self.overlays() {
            overlay.records_unkept();
        }
    }

    /// Takes what [`Behaviour::take_progress`] gave in an earlier run, before any key: what was told then is told again
    /// when it is time for it, from the same addresses. Without it, everything is told after a start.
    pub fn resume(&mut self, progress: &[u8]) {
        let marks = Marks::read(progress);
        for overlay in self.overlays() {
            if let Some(mark) = marks.of(overlay.scope()) {
                overlay.resume(mark);
            }
        }
        self.marks = marks;
    }

    /// Says that [`Behaviour::keep_announced`] has seen every key that an earlier run may have told.
    pub fn all_kept(&mut self) {
        self.overlays().for_each(Overlay::all_kept);
    }

    /// How far telling of our own keys has come, to be kept for the next run, if that is news since the last call.
    pub fn take_progress(&mut self) -> Option<Vec<u8>> {
        let now = Instant::now();
        let marks = self.overlays().map(|overlay| Some((overlay.scope(), overlay.mark(now)?)));
        let marks = marks.collect::<Option<Vec<_>>>()?;
        self.marks.changed(marks)
    }
}
