//! Tells the nodes close to our keys that we have them, in one overlay.
//!
//! Owns: the list of our own keys, what is still to be told, and who was told what.
//! Hears: keys to announce or withdraw, walks ended, answers, the table's size, the time.
//! Tells: which walks to begin, which messages to send, how each task goes.
//! Ends: a task ends when every node it concerns has answered or was given up; the keys stay, and are
//! told again at half of their time to live, and to more nodes when the network turns out to be larger.

mod outbox;
mod region;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use shoal_content::ProviderKey;

use crate::wire::{MAX_KEYS, Sealed};
use outbox::Outbox;
pub(crate) use region::Node;
use region::{Position, Region};

/// Walks at once. Each keeps several dials open; more would crowd out the lookups of our user.
const MAX_WALKS: usize = 16;

/// Pause after a walk that met nobody, or a batch that nobody took.
const RETRY: Duration = Duration::from_secs(30);

/// Answers of walks kept for further keys. In a network so large that this many regions are in use at
/// once, forgetting one costs a walk.
const MAX_REGIONS: usize = 256;

/// Nodes remembered as holders of a batch, over all its renewals. The oldest are forgotten first: their
/// records expire by themselves.
const MAX_HOLDERS: usize = 64;

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

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    Started,
    Asked(PeerId),
    Acknowledged(PeerId),
    Failed(PeerId),
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
}

/// A walk to begin: the node to look for is at the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Walk {
    job: u64,
    pub(crate) key: ProviderKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BatchId(u64);

/// The announcer of one overlay.
#[derive(Debug)]
pub(crate) struct Provide {
    own: HashMap<ProviderKey, Option<BatchId>>,
    jobs: BTreeMap<u64, Job>,
    batches: BTreeMap<BatchId, Batch>,
    regions: VecDeque<Region>,
    walks: Vec<Position>,
    outbox: Outbox,
    notes: Vec<(Task, Note)>,
    /// Size of the routing table when our keys were last told to all who should know.
    known_then: usize,
    /// No walk before this.
    pause: Option<Instant>,
    /// Something changed that may allow a walk.
    stale: bool,
    next_id: u64,
}

/// Keys on their way to the nodes that should hold them.
#[derive(Debug)]
struct Job {
    task: Task,
    ttl: Duration,
    started: bool,
    /// Keys whose nodes are not known yet, in the order of the key space.
    waiting: BTreeMap<Position, ProviderKey>,
    /// Messages not yet answered.
    open: usize,
}

/// Keys that go to the same nodes in one message.
#[derive(Debug)]
struct Batch {
    job: u64,
    task: Task,
    keys: BTreeSet<ProviderKey>,
    /// None withdraws.
    ttl: Option<Duration>,
    /// Who was sent this and may hold it; the latest last.
    holders: Vec<Node>,
    /// The message, once it was signed; none again when the keys change.
    sealed: Option<Arc<Sealed>>,
    /// Messages not yet answered, and how many were answered well.
    open: usize,
    taken: usize,
    renew: Instant,
}

/// The content of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel<'a> {
    pub(crate) keys: &'a BTreeSet<ProviderKey>,
    pub(crate) ttl: Option<Duration>,
}

impl Provide {
    pub(crate) fn new() -> Self {
        Self {
            own: HashMap::new(),
            jobs: BTreeMap::new(),
            batches: BTreeMap::new(),
            regions: VecDeque::new(),
            walks: Vec::new(),
            outbox: Outbox::default(),
            notes: Vec::new(),
            known_then: 0,
            pause: None,
            stale: false,
            next_id: 0,
        }
    }

    /// Takes keys into our own list, and queues them to be told.
    pub(crate) fn announce(&mut self, task: Task, keys: &[ProviderKey], ttl: Duration) {
        for key in keys {
            self.own.entry(*key).or_default();
        }
        let waiting = keys.iter().map(|key| (Position::of_key(key), *key)).collect();
        self.add_job(Job { task, ttl, started: false, waiting, open: 0 });
        self.finish_jobs();
    }

    /// Forgets keys, and tells whoever may hold their records.
    pub(crate) fn withdraw(&mut self, task: Task, keys: &[ProviderKey], now: Instant) {
        let mut told: BTreeMap<BatchId, BTreeSet<ProviderKey>> = BTreeMap::new();
        for key in keys {
            if let Some(Some(batch)) = self.own.remove(key) {
                told.entry(batch).or_default().insert(*key);
            }
            for job in self.jobs.values_mut() {
                job.waiting.remove(&Position::of_key(key));
            }
        }
        let job = Job { task, ttl: Duration::ZERO, started: true, waiting: BTreeMap::new(), open: 0 };
        let job = self.add_job(job);
        self.notes.push((task, Note::Started));
        for (old, keys) in told {
            let Some(batch) = self.batches.get_mut(&old) else {
                continue;
            };
            batch.keys.retain(|key| !keys.contains(key));
            batch.sealed = None;
            let holders = batch.holders.clone();
            self.send(job, keys, None, holders.as_slice(), now);
            self.drop_if_empty(old);
        }
        self.finish_jobs();
    }

    /// Makes every key be told again, because what we say about ourselves has changed.
    pub(crate) fn renew_all(&mut self, now: Instant) {
        for batch in self.batches.values_mut() {
            batch.renew = batch.renew.min(now);
        }
    }

    /// Notes how many peers the routing table holds.
    ///
    /// A table twice as large means that our keys have other closest nodes than those that were told.
    pub(crate) fn table_size(&mut self, peers: usize, now: Instant) {
        if peers >= self.known_then.saturating_mul(2).max(1) {
            self.known_then = peers;
            self.regions.clear();
            self.renew_all(now);
        } else if peers < self.known_then / 2 {
            self.known_then = peers;
        }
    }

    /// Notes that the routing table gained a peer: "these are all there are" is no longer true.
    pub(crate) fn table_grew(&mut self) {
        self.regions.retain(|region| !region.is_everything());
        self.pause = None;
        self.stale = true;
    }

    /// Notes that time has passed: renews what is half over.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.pause.is_some_and(|until| until <= now) {
            self.pause = None;
            self.stale = true;
        }
        self.regions.retain(|region| region.is_fresh(now));
        // One renewal at a time: another one of the same keys could otherwise pile up behind it.
        if self.jobs.values().any(|job| job.task == Task::Renew) {
            return;
        }
        let due = |batch: &&mut Batch| batch.renew <= now && batch.open == 0;
        let mut waiting = BTreeMap::new();
        let mut common_ttl = None;
        for batch in self.batches.values_mut().filter(due) {
            let Some(ttl) = batch.ttl else { continue };
            if *common_ttl.get_or_insert(ttl) == ttl {
                batch.renew = now + ttl;
                waiting.extend(batch.keys.iter().map(|key| (Position::of_key(key), *key)));
            }
        }
        if let Some(ttl) = common_ttl {
            self.add_job(Job { task: Task::Renew, ttl, started: false, waiting, open: 0 });
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
        for (id, job) in &self.jobs {
            let mut from = Bound::Unbounded;
            while self.walks.len() < MAX_WALKS {
                let Some((position, key)) = job.waiting.range((from, Bound::Unbounded)).next() else {
                    break;
                };
                from = Bound::Excluded(*position.neighbourhood(bits).end());
                if !self.walks.iter().any(|other| other.shared_bits(*position) >= bits) {
                    self.walks.push(*position);
                    walks.push(Walk { job: *id, key: *key });
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
        let target = Position::of_key(&walk.key);
        self.walks.retain(|position| *position != target);
        self.stale = true;
        if nodes.is_empty() {
            self.pause = Some(now + RETRY);
            return;
        }
        self.regions.push_back(Region::new(target, nodes, now));
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
            let delivery = self.outbox.next()?;
            let node = Node { peer: delivery.peer, addresses: delivery.addresses };
            let batch = self.batches.get_mut(&delivery.batch).filter(|batch| !batch.keys.is_empty());
            let sealed = batch.and_then(|batch| {
                if batch.sealed.is_none() {
                    batch.sealed = seal(&Parcel { keys: &batch.keys, ttl: batch.ttl });
                }
                remember(&mut batch.holders, [&node]);
                batch.sealed.clone()
            });
            let Some(sealed) = sealed else {
                // Withdrawn before it was sent.
                self.outbox.finish(&node.peer);
                self.close(delivery.batch, node.peer, Answer::Unreachable, now);
                self.finish_jobs();
                continue;
            };
            return Some((node, sealed));
        }
    }

    /// Notes what became of the message on its way to `peer`.
    pub(crate) fn answered(&mut self, peer: PeerId, answer: Answer, now: Instant) {
        let closed = match answer {
            Answer::Lost if self.outbox.retry(&peer) => return,
            Answer::Lost | Answer::Unreachable => self.outbox.give_up(&peer),
            Answer::Stored | Answer::Refused => self.outbox.finish(&peer).into_iter().collect(),
        };
        for batch in closed {
            self.close(batch, peer, answer, now);
        }
        self.finish_jobs();
    }

    /// What happened to the tasks since the last call.
    pub(crate) fn take_notes(&mut self) -> Vec<(Task, Note)> {
        std::mem::take(&mut self.notes)
    }

    /// How many keys of our own there are.
    pub(crate) fn len(&self) -> usize {
        self.own.len()
    }

    fn add_job(&mut self, job: Job) -> u64 {
        self.stale = true;
        self.next_id += 1;
        self.jobs.insert(self.next_id, job);
        self.next_id
    }

    fn start(&mut self, id: u64) {
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
    }

    /// Queues keys for nodes.
    fn send(
        &mut self,
        job: u64,
        mut keys: BTreeSet<ProviderKey>,
        ttl: Option<Duration>,
        nodes: &[Node],
        now: Instant,
    ) {
        let Some(task) = self.jobs.get(&job).map(|job| job.task) else {
            return;
        };
        while !keys.is_empty() {
            let rest = keys.iter().nth(MAX_KEYS).copied().map(|first| keys.split_off(&first));
            self.next_id += 1;
            let id = BatchId(self.next_id);
            let renew = now + ttl.unwrap_or_default() / 2;
            let mut batch = Batch {
                job,
                task,
                keys,
                ttl,
                holders: Vec::new(),
                sealed: None,
                open: nodes.len(),
                taken: 0,
                renew,
            };
            if ttl.is_some() {
                self.replace_batches(id, &mut batch);
            }
            for node in nodes {
                self.outbox.push(node.peer, &node.addresses, id);
                self.notes.push((task, Note::Asked(node.peer)));
            }
            if let Some(job) = self.jobs.get_mut(&job) {
                job.open += nodes.len();
            }
            self.batches.insert(id, batch);
            self.drop_if_empty(id);
            keys = rest.unwrap_or_default();
        }
    }

    /// Moves the keys of a new batch out of the batches that held them, and takes over their holders.
    fn replace_batches(&mut self, id: BatchId, batch: &mut Batch) {
        let mut replaced = BTreeSet::new();
        for key in &batch.keys {
            if let Some(old) = self.own.insert(*key, Some(id)).flatten()
                && let Some(old_batch) = self.batches.get_mut(&old)
            {
                old_batch.keys.remove(key);
                old_batch.sealed = None;
                if replaced.insert(old) {
                    remember(&mut batch.holders, &old_batch.holders);
                }
            }
        }
        for old in replaced {
            self.drop_if_empty(old);
        }
    }

    /// Notes that a message of a batch is over for a peer.
    fn close(&mut self, id: BatchId, peer: PeerId, answer: Answer, now: Instant) {
        let Some(batch) = self.batches.get_mut(&id) else {
            return;
        };
        batch.open = batch.open.saturating_sub(1);
        if answer == Answer::Unreachable {
            batch.holders.retain(|node| node.peer != peer);
        }
        batch.taken += usize::from(answer == Answer::Stored);
        if batch.open == 0 && batch.taken == 0 {
            batch.renew = now + RETRY;
        }
        let note = if answer == Answer::Stored { Note::Acknowledged(peer) } else { Note::Failed(peer) };
        self.notes.push((batch.task, note));
        if let Some(job) = self.jobs.get_mut(&batch.job) {
            job.open = job.open.saturating_sub(1);
        }
        self.drop_if_empty(id);
    }

    /// Forgets a batch that nobody will ask about: answered by all, and without keys or a withdrawal.
    fn drop_if_empty(&mut self, id: BatchId) {
        let over = |batch: &Batch| batch.open == 0 && (batch.keys.is_empty() || batch.ttl.is_none());
        if self.batches.get(&id).is_some_and(over) {
            self.batches.remove(&id);
        }
    }

    fn finish_jobs(&mut self) {
        let Self { jobs, notes, .. } = self;
        jobs.retain(|_, job| {
            let going = !job.waiting.is_empty() || job.open > 0;
            if !going {
                notes.push((job.task, Note::Done));
            }
            going
        });
    }
}

/// Adds nodes to a list of holders, the latest last and each once.
fn remember<'a>(holders: &mut Vec<Node>, nodes: impl IntoIterator<Item = &'a Node>) {
    for node in nodes {
        holders.retain(|known| known.peer != node.peer);
        holders.push(node.clone());
    }
    holders.drain(..holders.len().saturating_sub(MAX_HOLDERS));
}

#[cfg(test)]
mod tests;
