//! Strangers' records on their way between the overlays and the task that keeps them on disk.

use super::{super::Records, Driver};

/// Changes of them taken at once, which takes a few milliseconds of this task.
const RECORDS_AT_ONCE: usize = 4096;

impl Driver {
    pub(super) fn on_records(&mut self, records: Records) {
        let dht = &mut self.swarm.behaviour_mut().dht;
        match records {
            Records::Restore { rows, reply } => drop(reply.send(dht.restore_records(&rows))),
            Records::Loaded => dht.records_loaded(),
            Records::Unkept => dht.records_unkept(),
        }
    }

    /// Hands changes of strangers' records on to be written; `false` when more wait already.
    pub(super) fn keep_records(&mut self) -> bool {
        let Ok(permit) = self.wiring.records.try_reserve() else {
            // Still writing, or nobody keeps them.
            return self.wiring.records.is_closed();
        };
        let changes = self.swarm.behaviour_mut().dht.take_record_changes(RECORDS_AT_ONCE);
        let was_all = changes.len() < RECORDS_AT_ONCE;
        if !changes.is_empty() {
            permit.send(changes);
        }
        was_all
    }

    /// Hands on what is not written yet. The task that writes it ends with this one, and the node waits for both.
    pub(super) async fn keep_last_records(&mut self) {
        while let Ok(permit) = self.wiring.records.reserve().await {
            let changes = self.swarm.behaviour_mut().dht.take_record_changes(RECORDS_AT_ONCE);
            if changes.is_empty() {
                break;
            }
            permit.send(changes);
        }
    }
}
