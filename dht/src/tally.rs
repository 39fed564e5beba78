//! Counts how many nodes answered an announcement, over all scopes.

use std::collections::{BTreeSet, HashMap};

use libp2p::PeerId;

use crate::provide::{Note, Task};
use crate::scope::Scope;

/// The counts of every task that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    tasks: HashMap<Task, Count>,
    changed: BTreeSet<Task>,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) task: Task,
    pub(crate) asked: usize,
    pub(crate) acknowledged: usize,
    pub(crate) done: bool,
}

#[derive(Debug, Default)]
struct Count {
    peers: HashMap<PeerId, Heard>,
    going: BTreeSet<Scope>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Yes,
    No,
}

impl Tally {
    pub(crate) fn note(&mut self, scope: Scope, task: Task, note: Note) {
        if task == Task::Renew {
            return;
        }
        self.changed.insert(task);
        let count = self.tasks.entry(task).or_default();
        match note {
            Note::Started => {
                count.going.insert(scope);
            }
            Note::Asked(peer) => {
                count.peers.entry(peer).or_insert(Heard::Nothing);
            }
            Note::Acknowledged(peer) => {
                let heard = count.peers.entry(peer).or_insert(Heard::Yes);
                // A node that keeps only some of the keys has not acknowledged the announcement.
                if *heard == Heard::Nothing {
                    *heard = Heard::Yes;
                }
            }
            Note::Failed(peer) => {
                count.peers.insert(peer, Heard::No);
            }
            Note::Done => {
                count.going.remove(&scope);
                count.ended = true;
            }
        }
    }

    /// The tasks whose standing changed since the last call. One that is done is forgotten.
    pub(crate) fn take_changed(&mut self) -> Vec<Standing> {
        let mut standings = Vec::new();
        for task in std::mem::take(&mut self.changed) {
            let Some(count) = self.tasks.get(&task) else {
                continue;
            };
            let done = count.ended && count.going.is_empty();
            let acknowledged = count.peers.values().filter(|heard| **heard == Heard::Yes).count();
            standings.push(Standing { task, asked: count.peers.len(), acknowledged, done });
            if done {
                self.tasks.remove(&task);
            }
        }
        standings
    }
}

#[cfg(test)]
mod tests;
