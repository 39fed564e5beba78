//! Tells the nodes close to our keys that we have them, in one overlay.
//!
//! Owns: the list of our own keys, what is still to be told, and who was told what.
//! Hears: keys to announce or withdraw, walks ended, answers, the table's size, the time.
//! Tells: which walks to begin, which messages to send, how each task goes.
//! Ends: a task ends when every node it concerns has answered or was given up; the keys stay, and are
//! told again at half of their time to live or twice a day, and to more nodes when the network turns out to be larger.

mod ledger;
mod outbox;
mod region;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use shoal_content::ProviderKey;

use crate::position::{Node, Position};
use crate::wire::{MAX_KEYS, Sealed};
use ledger::Ledger;
pub(crate) use ledger::Parcel;
use outbox::{Haste, Outbox};
use region::Region;

/// Walks at once. Each keeps several dials open; more would crowd out the lookups of our user.
const MAX_WALKS: usize = 16;

/// Walks at once for what nobody waits for.
const UNHURRIED_WALKS: usize = 2;

/// Pause after a walk that met nobody, or a batch that nobody took.
const RETRY: Duration = Duration::from_secs(30);

/// How long a table must not have grown before old announcements are compared with it. While a node meets
/// its network, the table doubles again and again.
const SETTLED: Duration = Duration::from_secs(2);

/// Answers of walks kept for further keys. In a network so large that this many regions are in use at
/// once, forgetting one costs a walk.
const MAX_REGIONS: usize = 256;

/// Names one announcement; chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnounceId(pub u64);

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    Announce(AnnounceId),
    Withdraw(u64),
    /// What was told before is told again. Nobody waits for it.
    Renew,
}

impl Task {
    fn haste(self) -> Haste {
        if self == Self::Renew { Haste::Unhurried } else { Haste::Urgent }
    }
}

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    Started,
    Asked(PeerId),
    Acknowledged(PeerId),
    Failed(PeerId),
    /// Nobody else will be asked.
    Chosen,
    Done,
}

/// What a peer did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It keeps all of it.
    Stored,
    /// It keeps none or only a part.
    Refused,
    /// Nobody knows whether it arrived.
    Lost,
    /// It cannot have arrived.
    Unreachable,
    /// It was not sent: its keys were withdrawn meanwhile.
    Withdrawn,
}

/// A walk to begin, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Walk {
    job: JobId,
    pub(crate) target: Position,
}

type JobId = u64;

/// How announcing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Keys of our own.
    pub(crate) keys: usize,
    /// Keys whose nodes are not known yet.
    pub(crate) waiting: usize,
    /// Messages on their way or waiting.
    pub(crate) messages: usize,
    /// Keys that some node has acknowledged.
    pub(crate) told: usize,
    /// When a message was acknowledged last.
    pub(crate) last: Option<Instant>,
}

/// The announcer of one overlay.
#[derive(Debug, Default)]
pub(crate) struct Provide {
    ledger: Ledger,
    jobs: BTreeMap<JobId, Job>,
    last_job: JobId,
    regions: VecDeque<Region>,
    walks: Vec<Position>,
    outbox: Outbox,
    notes: Vec<(Task, Note)>,
    /// When the routing table last grew, unless that has been dealt with.
    grew: Option<Instant>,
    /// No walk before this.
    pause: Option<Instant>,
    /// Something changed that may allow a walk.
    stale: bool,
}

/// Keys on their way to the nodes that should hold them.
#[derive(Debug)]
struct Job {
    task: Task,
    ttl: Duration,
    started: bool,
    chosen: bool,
    /// Keys whose nodes are not known yet, in the order of the key space.
    waiting: BTreeMap<Position, ProviderKey>,
    /// Messages not yet answered.
    open: usize,
}

impl Provide {
    /// Takes keys into our own list, and queues them to be told.
    pub(crate) fn announce(&mut self, task: Task, keys: &[ProviderKey], ttl: Duration) {
        self.ledger.own(keys);
        self.add_job(task, keys, ttl);
        self.finish_jobs();
    }

    /// Takes keys into our own list, and queues those of them that are not told already for as long.
    pub(crate) fn keep(&mut self, keys: &[ProviderKey], ttl: Duration) {
        let untold: Vec<_> = keys.iter().filter(|key| !self.ledger.is_told(key, ttl)).copied().collect();
        self.announce(Task::Renew, &untold, ttl);
    }

    /// Forgets keys, and tells whoever may hold their records.
    pub(crate) fn withdraw(&mut self, task: Task, keys: &[ProviderKey], now: Instant) {
        for position in keys.iter().map(Position::of_key) {
            for job in self.jobs.values_mut() {
                job.waiting.remove(&position);
            }
        }
        let job = self.add_job(task, &[], Duration::ZERO);
        self.start(job);
        for (keys, holders) in self.ledger.disown(keys) {
            self.send(job, keys, None, &holders, now);
        }
        self.finish_jobs();
    }

    /// Makes every key be told again, because what we say about ourselves has changed.
    pub(crate) fn renew_all(&mut self, now: Instant) {
        self.ledger.renew_all(now);
    }

    /// Notes how many peers the routing table holds.
    pub(crate) fn table_size(&mut self, peers: usize, now: Instant) {
        if peers > self.ledger.peers {
            // "These are all there are", and "there is nobody", are no longer true.
            self.regions.retain(|region| !region.is_everything());
            self.pause = None;
            self.stale = true;
            self.grew = Some(now);
        }
        self.ledger.peers = peers;
    }

    /// Notes that time has passed: renews what is half over, and what was told to a much smaller network.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.pause.is_some_and(|until| until <= now) {
            self.pause = None;
            self.stale = true;
        }
        self.regions.retain(|region| region.is_fresh(now));
        if self.grew.is_some_and(|grew| now.saturating_duration_since(grew) >= SETTLED) {
            self.grew = None;
            self.ledger.renew_outgrown(now);
        }
        // One renewal at a time: another one of the same keys could otherwise pile up behind it.
        if !self.jobs.values().any(|job| job.task == Task::Renew)
            && let Some((ttl, keys)) = self.ledger.take_due(now)
        {
            self.add_job(Task::Renew, &keys, ttl);
        }
    }

    /// The walks to begin now. Called only while there is somebody to ask and something to say.
    pub(crate) fn next_walks(&mut self, now: Instant) -> Vec<Walk> {
        if !self.stale || self.pause.is_some() {
            return Vec::new();
        }
        self.stale = false;
        self.use_regions(now);
        // Keys closer together than the last region is wide would probably share the answer of one walk.
        let bits = self.regions.back().map_or(0, Region::bits);
        let mut walks = Vec::new();
        let mut jobs: Vec<_> = self.jobs.iter().collect();
        jobs.sort_by_key(|(id, job)| (job.task.haste(), **id));
        for (id, job) in jobs {
            let most = if job.task.haste() == Haste::Urgent { MAX_WALKS } else { UNHURRIED_WALKS };
            let mut from = Bound::Unbounded;
            while self.walks.len() < most {
                let Some(position) = job.waiting.range((from, Bound::Unbounded)).next().map(|(at, _)| *at)
                else {
                    break;
                };
                from = Bound::Excluded(*position.neighbourhood(bits).end());
                if !self.walks.iter().any(|other| other.shared_bits(position) >= bits) {
                    self.walks.push(position);
                    walks.push(Walk { job: *id, target: position });
                }
            }
        }
        for walk in &walks {
            self.start(walk.job);
        }
        walks
    }

    /// Notes the nodes that a walk found closest to its key.
    pub(crate) fn walk_ended(&mut self, walk: Walk, nodes: Vec<Node>, now: Instant) {
        self.walks.retain(|position| *position != walk.target);
        self.stale = true;
        if nodes.is_empty() {
            self.pause = Some(now + RETRY);
            return;
        }
        self.regions.push_back(Region::new(walk.target, nodes, now));
        if self.regions.len() > MAX_REGIONS {
            self.regions.pop_front();
        }
        self.use_regions(now);
    }

    /// The next message to send, if one may be sent now; `seal` signs it when it is first sent.
    pub(crate) fn next_message(
        &mut self,
        mut seal: impl FnMut(&Parcel<'_>) -> Option<Arc<Sealed>>,
        now: Instant,
    ) -> Option<(Node, Arc<Sealed>)> {
        loop {
            let (node, batch) = self.outbox.next()?;
            if let Some(sealed) = self.ledger.message(batch, &node, &mut seal) {
                return Some((node, sealed));
            }
            self.answered(node.peer, Answer::Withdrawn, now);
        }
    }

    /// Notes what became of the message on its way to `peer`.
    pub(crate) fn answered(&mut self, peer: PeerId, answer: Answer, now: Instant) {
        let closed = match answer {
            Answer::Lost if self.outbox.retry(&peer) => return,
            Answer::Lost | Answer::Unreachable => self.outbox.give_up(&peer),
            Answer::Stored | Answer::Refused | Answer::Withdrawn => {
                self.outbox.finish(&peer).into_iter().collect()
            }
        };
        let note = if answer == Answer::Stored { Note::Acknowledged(peer) } else { Note::Failed(peer) };
        for batch in closed {
            let job = self.ledger.close(batch, peer, answer, now);
            if let Some(job) = job.and_then(|job| self.jobs.get_mut(&job)) {
                job.open = job.open.saturating_sub(1);
                self.notes.push((job.task, note));
            }
        }
        self.finish_jobs();
    }

    /// What happened to the tasks since the last call.
    pub(crate) fn take_notes(&mut self) -> Vec<(Task, Note)> {
        std::mem::take(&mut self.notes)
    }

    /// How it goes: what is announced, and what is still to be told.
    pub(crate) fn backlog(&self) -> Backlog {
        Backlog {
            keys: self.ledger.len(),
            waiting: self.jobs.values().map(|job| job.waiting.len()).sum(),
            messages: self.outbox.len(),
            told: self.ledger.told(),
            last: self.ledger.last_told,
        }
    }

    fn add_job(&mut self, task: Task, keys: &[ProviderKey], ttl: Duration) -> JobId {
        self.stale = true;
        self.last_job += 1;
        let waiting = keys.iter().map(|key| (Position::of_key(key), *key)).collect();
        self.jobs.insert(self.last_job, Job { task, ttl, started: false, chosen: false, waiting, open: 0 });
        self.last_job
    }

    fn start(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id)
            && !job.started
        {
            job.started = true;
            self.notes.push((job.task, Note::Started));
        }
    }

    /// Sends waiting keys to nodes that are known already.
    fn use_regions(&mut self, now: Instant) {
        let mut found = Vec::new();
        for region in &self.regions {
            for (id, job) in &mut self.jobs {
                let positions: Vec<_> = job.waiting.range(region.keys()).map(|(at, _)| *at).collect();
                let keys: BTreeSet<_> = positions.iter().filter_map(|at| job.waiting.remove(at)).collect();
                if !keys.is_empty() {
                    found.push((*id, keys, job.ttl, region.nodes.clone()));
                }
            }
        }
        for (job, keys, ttl, nodes) in found {
            self.start(job);
            self.send(job, keys, Some(ttl), &nodes, now);
        }
        self.finish_jobs();
    }

    /// Queues keys for nodes, in messages that are not too long.
    fn send(
        &mut self,
        id: JobId,
        mut keys: BTreeSet<ProviderKey>,
        ttl: Option<Duration>,
        nodes: &[Node],
        now: Instant,
    ) {
        let Some(job) = self.jobs.get_mut(&id).filter(|_| !nodes.is_empty()) else { return };
        while !keys.is_empty() {
            let rest = keys.iter().nth(MAX_KEYS).copied().map(|first| keys.split_off(&first));
            let batch = self.ledger.open(id, keys, ttl, nodes.len(), (job.task.haste(), now));
            for node in nodes {
                self.outbox.push(node, batch, job.task.haste());
                self.notes.push((job.task, Note::Asked(node.peer)));
            }
            job.open += nodes.len();
            keys = rest.unwrap_or_default();
        }
    }

    fn finish_jobs(&mut self) {
        let Self { jobs, notes, .. } = self;
        jobs.retain(|_, job| {
            if job.waiting.is_empty() && !std::mem::replace(&mut job.chosen, true) {
                notes.push((job.task, Note::Chosen));
            }
            let going = !job.waiting.is_empty() || job.open > 0;
            if !going {
                notes.push((job.task, Note::Done));
            }
            going
        });
    }
}

#[cfg(test)]
mod tests;
