//! Tells the nodes close to our keys that we have them, in one overlay.
//!
//! Owns: the list of our own keys, what is still to be told, and who was told what.
//! Hears: keys to announce or withdraw, walks ended, answers, the table's size, the time.
//! Tells: which walks to begin, which messages to send, how each task goes.
//! Ends: a task ends when every node it concerns has answered or was given up; the keys stay, and are
//! told again at half of their time to live or twice a day, and to more nodes when the network turns out to be larger.
//!
//! Keys that nobody waits for have no task: they become due, and are announced region by region. When a region is
//! walked to because one of its keys is due, those that will soon be due go along. So a node sends each other node
//! only a few messages per period, spread over it, however many things it shares and in whatever order they came.

mod batch;
mod jobs;
mod ledger;
mod mark;
mod outbox;
pub(crate) mod own;
mod region;
mod task;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;

use crate::position::{Node, Position};
use crate::scope::Scope;
use crate::wire::{MAX_KEYS, Sealed};
use jobs::{JobId, Jobs, Ready};
use ledger::Ledger;
pub(crate) use ledger::Parcel;
pub(crate) use mark::{Clock, Mark, Marks};
use outbox::{Haste, Outbox};
use own::SharedKeys;
use region::Region;
pub(crate) use task::Answer;
pub use task::{AnnounceId, OwnKey, WithdrawalId};
pub(crate) use task::{Note, Task};

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

/// How long a withdrawal looks for those whom an earlier run of this node told. Without an end, one that meets nobody or
/// has no address to tell would keep its caller waiting for ever.
const WITHDRAWING: Duration = Duration::from_secs(60);

/// A walk to begin, and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Walk {
    /// None when nobody waits for it.
    job: Option<JobId>,
    pub(crate) target: Position,
}

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
    /// Messages sent so far.
    pub(crate) sent: u64,
}

/// The announcer of one overlay.
#[derive(Debug)]
pub(crate) struct Provide {
    ledger: Ledger,
    clock: Clock,
    mark: Mark,
    /// What an earlier run told; none once all that is to be kept announced is known.
    resumed: Option<Mark>,
    jobs: Jobs,
    regions: VecDeque<Region>,
    walks: Vec<Position>,
    outbox: Outbox,
    /// Where we are, as our announcements say.
    addresses: Vec<Multiaddr>,
    /// When the routing table last grew, unless that has been dealt with.
    grew: Option<Instant>,
    /// No walk before this.
    pause: Option<Instant>,
    /// Something changed that may allow a walk.
    stale: bool,
}

impl Provide {
    pub(crate) fn new(scope: Scope, keys: SharedKeys, clock: Clock) -> Self {
        Self {
            ledger: Ledger::new(scope, keys),
            clock,
            mark: Mark::default(),
            resumed: Some(Mark::default()),
            jobs: Jobs::default(),
            regions: VecDeque::new(),
            walks: Vec::new(),
            outbox: Outbox::default(),
            addresses: Vec::new(),
            grew: None,
            pause: None,
            stale: false,
        }
    }

    /// Takes keys into our own list, and queues them to be told.
    pub(crate) fn announce(&mut self, task: Task, keys: &[ProviderKey], ttl: Duration) {
        self.ledger.life = ttl;
        self.ledger.await_keys(keys);
        let job = self.jobs.add(task, keys.iter().copied(), Some(ttl), None);
        self.jobs.finish(job);
        self.stale = true;
    }

    /// Takes keys into our own list that are not there, to be told when their turn comes, unless an earlier run told
    /// them. All keys live so long when they are told again.
    pub(crate) fn keep(&mut self, keys: &[OwnKey], ttl: Duration, now: Instant) {
        let Self { ledger, resumed, clock, .. } = self;
        ledger.life = ttl;
        let since: HashMap<_, _> = keys.iter().map(|own| (own.key, own.since)).collect();
        ledger.keep(since.keys().copied(), |cell, key| {
            let since = since.get(key).copied().unwrap_or(u64::MAX);
            resumed.as_ref().and_then(|mark| mark.told(cell, since, *clock, now))
        });
        self.stale = true;
    }

    /// Lets an announcement go on without anybody who waits for it.
    pub(crate) fn unwatch(&mut self, task: Task) {
        let Some(keys) = self.jobs.unwatch(task) else { return };
        self.ledger.defer(keys.values());
        self.stale = true;
    }

    /// Forgets keys, and tells whoever may hold their records.
    pub(crate) fn withdraw(&mut self, task: Task, keys: &[ProviderKey], now: Instant) {
        self.jobs.forget(keys);
        let (known, unknown) = self.ledger.disown(keys);
        let job = self.jobs.add(task, unknown.into_iter(), None, Some(now + WITHDRAWING));
        self.jobs.start(job);
        for (keys, holders) in known {
            self.send(Some(job), keys, None, &holders, now);
        }
        self.jobs.finish_all();
        self.stale = true;
    }

    /// Takes what an earlier run told.
    pub(crate) fn resume(&mut self, mark: &Mark) {
        self.mark = mark.clone();
        self.resumed = Some(mark.clone());
    }

    /// Notes that everything is on the list that an earlier run may have told.
    pub(crate) fn all_kept(&mut self) {
        self.resumed = None;
    }

    /// What has been told by now; none before it is known what was to be.
    pub(crate) fn mark(&mut self, now: Instant) -> Option<Mark> {
        if self.resumed.is_some() {
            return None;
        }
        self.mark.update(&self.ledger, self.clock, now);
        Some(self.mark.clone())
    }

    /// Sets where we are. Every key is told again when that is somewhere new.
    pub(crate) fn set_addresses(&mut self, addresses: &[Multiaddr], now: Instant) {
        self.addresses = addresses.to_vec();
        if !addresses.iter().all(|address| self.mark.addresses.contains(address)) {
            self.mark.addresses = addresses.to_vec();
            self.mark.void();
            self.resumed.iter_mut().for_each(Mark::void);
            self.ledger.renew_all(now);
        }
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
        self.jobs.give_up_late(now);
        if self.grew.is_some_and(|grew| now.saturating_duration_since(grew) >= SETTLED) {
            self.grew = None;
            self.ledger.renew_outgrown(now);
        }
        self.stale |= self.ledger.find_due(now);
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
        for job in self.jobs.ids() {
            let mut from = Bound::Unbounded;
            while self.walks.len() < MAX_WALKS
                && let Some(target) = self.jobs.next_waiting(job, from)
            {
                from = Bound::Excluded(*target.neighbourhood(bits).end());
                if self.begin_walk(target, bits) {
                    walks.push(Walk { job: Some(job), target });
                }
            }
        }
        let mut from = Some(0);
        while self.walks.len() < UNHURRIED_WALKS
            && self.ledger.due() > 0
            && let Some(key) = from.and_then(|from| self.ledger.next_due(from))
        {
            let target = Position::of_key(&key);
            from = target.neighbourhood(bits).end().prefix().checked_add(1);
            if self.begin_walk(target, bits) {
                walks.push(Walk { job: None, target });
            }
        }
        for job in walks.iter().filter_map(|walk| walk.job) {
            self.jobs.start(job);
        }
        walks
    }

    /// Notes that a walk is under way, unless one is whose target is the same in so many bits.
    fn begin_walk(&mut self, target: Position, bits: u32) -> bool {
        let is_new = !self.walks.iter().any(|other| other.shared_bits(target) >= bits);
        if is_new {
            self.walks.push(target);
        }
        is_new
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

    /// The next message to send, if one may be sent now to whom `can_reach` says that it can be; `seal` signs it when it
    /// is first sent.
    pub(crate) fn next_message(
        &mut self,
        can_reach: impl Fn(&PeerId) -> bool,
        mut seal: impl FnMut(&Parcel<'_>) -> Option<Arc<Sealed>>,
        now: Instant,
    ) -> Option<(Node, Arc<Sealed>)> {
        loop {
            let (node, batch) = self.outbox.next(&can_reach)?;
            let Self { ledger, mark, addresses, .. } = self;
            let mut seal = |parcel: &Parcel<'_>| {
                // What we do not say now was not said of every key.
                mark.addresses.retain(|address| parcel.ttl.is_none() || addresses.contains(address));
                seal(parcel)
            };
            if let Some(sealed) = ledger.message(batch, &node, &mut seal) {
                return Some((node, sealed));
            }
            self.answered(node.peer, Answer::Withdrawn, now);
        }
    }

    /// Notes what became of the message on its way to `peer`.
    pub(crate) fn answered(&mut self, peer: PeerId, answer: Answer, now: Instant) {
        let closed = match answer {
            Answer::Lost if self.outbox.retry(&peer) => return,
            Answer::Postponed if self.outbox.postpone(&peer) => return,
            Answer::Lost | Answer::Unreachable | Answer::Postponed => self.outbox.give_up(&peer),
            Answer::Stored | Answer::Refused | Answer::Withdrawn => {
                self.outbox.finish(&peer).into_iter().collect()
            }
        };
        for batch in closed {
            if let Some(job) = self.ledger.close(batch, peer, answer, now) {
                self.jobs.answered(job, peer, answer == Answer::Stored);
            }
        }
    }

    /// What happened to the tasks since the last call.
    pub(crate) fn take_notes(&mut self) -> Vec<(Task, Note)> {
        self.jobs.take_notes()
    }

    /// How it goes: what is announced, and what is still to be told.
    pub(crate) fn backlog(&self) -> Backlog {
        Backlog {
            keys: self.ledger.len(),
            waiting: self.jobs.waiting() + self.ledger.due(),
            messages: self.outbox.len(),
            told: self.ledger.told(),
            last: self.ledger.last_told,
            sent: self.outbox.sent(),
        }
    }

    /// Sends waiting keys to nodes that are known already.
    fn use_regions(&mut self, now: Instant) {
        let mut found = Vec::new();
        let is_any_due = self.ledger.due() > 0;
        for region in &self.regions {
            let ready = self.jobs.take_within(&region.keys());
            found.extend(ready.into_iter().map(|ready| (ready, region.nodes.clone())));
        }
        for (Ready { job, keys, ttl }, nodes) in found {
            self.jobs.start(job);
            self.send(Some(job), keys, ttl, &nodes, now);
            self.jobs.finish(job);
        }
        if !is_any_due {
            return;
        }
        let regions: Vec<_> =
            self.regions.iter().map(|region| (region.keys(), region.nodes.clone())).collect();
        for (range, nodes) in regions {
            if let Some(keys) = self.ledger.due_within(range, now) {
                self.send(None, keys, Some(self.ledger.life), &nodes, now);
            }
        }
    }

    /// Queues keys for nodes, in messages that are not too long.
    fn send(
        &mut self,
        job: Option<JobId>,
        mut keys: BTreeSet<ProviderKey>,
        ttl: Option<Duration>,
        nodes: &[Node],
        now: Instant,
    ) {
        if nodes.is_empty() {
            return;
        }
        let haste = if job.is_some() { Haste::Urgent } else { Haste::Unhurried };
        while !keys.is_empty() {
            let rest = keys.iter().nth(MAX_KEYS).copied().map(|first| keys.split_off(&first));
            let batch = match (ttl, job) {
                (Some(ttl), _) => self.ledger.open(job, &keys, ttl, nodes.len(), now),
                (None, Some(job)) => self.ledger.open_withdrawal(job, keys, nodes.len(), now),
                (None, None) => return,
            };
            for node in nodes {
                self.outbox.push(node, batch, haste);
            }
            if let Some(job) = job {
                self.jobs.asked(job, nodes);
            }
            keys = rest.unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests;
