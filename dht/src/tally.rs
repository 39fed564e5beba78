//! Counts how many nodes answered an announcement, over all scopes.
//!
//! It is done when three of four of them hold the keys: whoever looks asks twenty, and the slowest few of those
//! told would make a publisher wait for nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// Enough have answered, or all.
    pub(crate) done: bool,
    /// All have answered or were given up.
    pub(crate) over: bool,
}

#[derive(Debug, Default)]
struct Count {
    peers: HashMap<PeerId, Heard>,
    /// The scopes in which it goes on, and whether all who will be asked there are known.
    going: BTreeMap<Scope, bool>,
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
        self.changed.insert(task);
        let count = self.tasks.entry(task).or_default();
        match note {
            Note::Started => {
                count.going.insert(scope, false);
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
            Note::Chosen => {
                if let Some(chosen) = count.going.get_mut(&scope) {
                    *chosen = true;
                }
            }
            Note::Done => {
                count.going.remove(&scope);
                count.ended = true;
            }
        }
    }

    /// The tasks whose standing changed since the last call. One that is over is forgotten.
    pub(crate) fn take_changed(&mut self) -> Vec<Standing> {
        let mut standings = Vec::new();
        for task in std::mem::take(&mut self.changed) {
            let Some(count) = self.tasks.get(&task) else {
                continue;
            };
            let over = count.ended && count.going.is_empty();
            let (asked, acknowledged) = (count.peers.len(), count.acknowledged());
            let enough = acknowledged > 0 && acknowledged * 4 >= asked * 3;
            let done = over || (enough && count.going.values().all(|chosen| *chosen));
            standings.push(Standing { task, asked, acknowledged, done, over });
            if over {
                self.tasks.remove(&task);
            }
        }
        standings
    }
}

impl Count {
    fn acknowledged(&self) -> usize {
        self.peers.values().filter(|heard| **heard == Heard::Yes).count()
    }
}

#[cfg(test)]
mod tests;
