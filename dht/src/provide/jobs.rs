//! Keys on their way to the nodes that should hold them, and somebody who waits for that.
//!
//! Owns: for each job the keys whose nodes are not known yet, and how many messages are not answered.
//! Tells: in notes how each goes. Invariant: a job whose start was told is told to be done once, and is forgotten then.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeInclusive};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use shoal_content::ProviderKey;

use super::task::{Note, Task};
use crate::position::{Node, Position};

pub(super) type JobId = u64;

#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<JobId, Job>,
    last: JobId,
    notes: Vec<(Task, Note)>,
}

#[derive(Debug)]
struct Job {
    task: Task,
    /// None withdraws.
    ttl: Option<Duration>,
    started: bool,
    chosen: bool,
    /// When it does without the nodes that are not known yet.
    until: Option<Instant>,
    /// Keys whose nodes are not known yet, in the order of the key space.
    waiting: BTreeMap<Position, ProviderKey>,
    /// Messages not yet answered.
    open: usize,
}

/// Keys of a job whose nodes are known now.
pub(super) struct Ready {
    pub(super) job: JobId,
    pub(super) keys: BTreeSet<ProviderKey>,
    /// None withdraws.
    pub(super) ttl: Option<Duration>,
}

impl Jobs {
    /// Takes on keys of which no nodes are known. Without a `ttl` they are withdrawn; with `until`, that ends then.
    pub(super) fn add(
        &mut self,
        task: Task,
        keys: impl Iterator<Item = ProviderKey>,
        ttl: Option<Duration>,
        until: Option<Instant>,
    ) -> JobId {
        self.last += 1;
        let waiting = keys.map(|key| (Position::of_key(&key), key)).collect();
        let job = Job { task, ttl, started: false, chosen: false, until, waiting, open: 0 };
        self.jobs.insert(self.last, job);
        self.last
    }

    /// The first walk or message of a job begins.
    pub(super) fn start(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id)
            && !job.started
        {
            job.started = true;
            self.notes.push((job.task, Note::Started));
        }
    }

    /// A message of a job goes to each of these nodes.
    pub(super) fn asked(&mut self, id: JobId, nodes: &[Node]) {
        if let Some(job) = self.jobs.get_mut(&id) {
            self.notes.extend(nodes.iter().map(|node| (job.task, Note::Asked(node.peer))));
            job.open += nodes.len();
        }
    }

    /// One of its messages was answered, or given up.
    pub(super) fn answered(&mut self, id: JobId, peer: PeerId, is_stored: bool) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.open = job.open.saturating_sub(1);
            let note = if is_stored { Note::Acknowledged(peer) } else { Note::Failed(peer) };
            self.notes.push((job.task, note));
        }
        self.finish(id);
    }

    /// Tells how far a job has come when nothing more is to be chosen or answered.
    pub(super) fn finish(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.waiting.is_empty() && !std::mem::replace(&mut job.chosen, true) {
            self.notes.push((job.task, Note::Chosen));
        }
        if job.waiting.is_empty() && job.open == 0 {
            self.notes.push((job.task, Note::Done));
            self.jobs.remove(&id);
        }
    }

    pub(super) fn finish_all(&mut self) {
        self.ids().into_iter().for_each(|id| self.finish(id));
    }

    /// Nobody waits for a task any more. Gives the keys that it leaves, if there is such a job.
    pub(super) fn unwatch(&mut self, task: Task) -> Option<BTreeMap<Position, ProviderKey>> {
        let (id, job) = self.jobs.iter_mut().find(|(_, job)| job.task == task)?;
        let (id, keys) = (*id, std::mem::take(&mut job.waiting));
        if job.started {
            self.finish(id);
        } else {
            // It never began here, so there is no end of it to tell.
            self.jobs.remove(&id);
        }
        Some(keys)
    }

    /// No job is to tell of these keys any more.
    pub(super) fn forget(&mut self, keys: &[ProviderKey]) {
        for position in keys.iter().map(Position::of_key) {
            for job in self.jobs.values_mut() {
                job.waiting.remove(&position);
            }
        }
    }

    /// Has the jobs whose time is over do without the nodes that are not known yet.
    pub(super) fn give_up_late(&mut self, now: Instant) {
        let is_late = |job: &Job| job.until.is_some_and(|until| until <= now) && !job.waiting.is_empty();
        let late: Vec<_> = self.jobs.iter().filter(|(_, job)| is_late(job)).map(|(id, _)| *id).collect();
        for id in late {
            self.jobs.entry(id).and_modify(|job| job.waiting.clear());
            self.finish(id);
        }
    }

    /// Takes the keys out that are within a range whose nodes are known.
    pub(super) fn take_within(&mut self, range: &RangeInclusive<Position>) -> Vec<Ready> {
        let mut found = Vec::new();
        for (id, job) in &mut self.jobs {
            let positions: Vec<_> = job.waiting.range(range.clone()).map(|(at, _)| *at).collect();
            let keys: BTreeSet<_> = positions.iter().filter_map(|at| job.waiting.remove(at)).collect();
            if !keys.is_empty() {
                found.push(Ready { job: *id, keys, ttl: job.ttl });
            }
        }
        found
    }

    /// The first place, from here on, of a key of this job whose nodes are not known.
    pub(super) fn next_waiting(&self, id: JobId, from: Bound<Position>) -> Option<Position> {
        let waiting = &self.jobs.get(&id)?.waiting;
        waiting.range((from, Bound::Unbounded)).next().map(|(at, _)| *at)
    }

    /// Those under way, the oldest first.
    pub(super) fn ids(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }

    /// How many keys wait for their nodes.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.values().map(|job| job.waiting.len()).sum()
    }

    /// What happened since the last call.
    pub(super) fn take_notes(&mut self) -> Vec<(Task, Note)> {
        std::mem::take(&mut self.notes)
    }
}
