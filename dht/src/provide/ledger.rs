//! Our own keys in one overlay: which message told of each, to whom, and when it must be told again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use shoal_content::ProviderKey;

use super::batch::{Batch, Content, remember, renew_after, stagger};
use super::own::{BatchId, SharedKeys, State, place_of};
use super::{Answer, JobId, RETRY};
use crate::position::{Node, Position};
use crate::scope::Scope;
use crate::wire::Sealed;

/// The list of our own keys, which no store of records can shorten.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) scope: Scope,
    pub(super) keys: SharedKeys,
    pub(super) batches: BTreeMap<BatchId, Batch>,
    /// Keys that are to be told for the first time, and for which nobody waits.
    due: usize,
    /// How long announcements live that nobody waits for.
    pub(super) life: Duration,
    /// Peers in the routing table.
    pub(super) peers: usize,
    /// When a message was acknowledged last.
    pub(super) last_told: Option<Instant>,
    last_id: u32,
}

/// The content of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel<'a> {
    pub(crate) keys: &'a BTreeSet<ProviderKey>,
    /// None withdraws.
    pub(crate) ttl: Option<Duration>,
}

/// Keys that go the same way, and who may hold them.
type Held = (BTreeSet<ProviderKey>, Vec<Node>);

/// An earlier run of this node told a cell of the key space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) opened: Option<Instant>,
    pub(super) ttl: Duration,
    pub(super) renew: Instant,
    pub(super) peers: usize,
}

impl Ledger {
    pub(super) fn new(scope: Scope, keys: SharedKeys) -> Self {
        Self {
            scope,
            keys,
            batches: BTreeMap::new(),
            due: 0,
            life: Duration::ZERO,
            peers: 0,
            last_told: None,
            last_id: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.lock().count(self.scope)
    }

    /// How many batches were opened so far.
    pub(super) fn opened(&self) -> u32 {
        self.last_id
    }

    /// How many keys some node has acknowledged.
    pub(super) fn told(&self) -> usize {
        let told = self.batches.values().filter(|batch| batch.is_told());
        told.filter_map(|batch| batch.content.own()).sum()
    }

    /// How many peers the routing table held when keys were told that are ours: the least, where it differs.
    pub(super) fn least_peers(&self) -> usize {
        let told = self.batches.values().filter(|batch| batch.is_told());
        told.map(|batch| batch.peers_then).min().unwrap_or(self.peers)
    }

    /// How many keys are to be told without anybody waiting for it.
    pub(super) fn due(&self) -> usize {
        let renewed = self.batches.values().filter(|batch| batch.is_due);
        self.due + renewed.filter_map(|batch| batch.content.own()).sum::<usize>()
    }

    /// Takes keys in for which somebody waits.
    pub(super) fn await_keys(&mut self, keys: &[ProviderKey]) {
        let mut own = self.keys.lock();
        own.add(self.scope, keys.iter().copied(), |_, _| State::Awaited);
        for key in keys {
            if own.state(self.scope, key) == State::Due {
                own.set(self.scope, key, State::Awaited);
                self.due -= 1;
            }
        }
    }

    /// Lets keys be told later for which nobody waits any more.
    pub(super) fn defer<'a>(&mut self, keys: impl IntoIterator<Item = &'a ProviderKey>) {
        let mut own = self.keys.lock();
        for key in keys {
            if own.state(self.scope, key) == State::Awaited {
                own.set(self.scope, key, State::Due);
                self.due += 1;
            }
        }
    }

    /// Takes keys in that are not ours yet: those that an earlier run told, as `told` says by cell and key, and others
    /// that are to be told.
    pub(super) fn keep(
        &mut self,
        keys: impl IntoIterator<Item = ProviderKey>,
        mut told: impl FnMut(usize, &ProviderKey) -> Option<Told>,
    ) {
        let Self { keys: own, batches, due, last_id, scope, .. } = self;
        let mut restored: BTreeMap<usize, BatchId> = BTreeMap::new();
        own.lock().add(*scope, keys, |cell, key| {
            let Some(Told { opened, ttl, renew, peers }) = told(cell, key) else {
                *due += 1;
                return State::Due;
            };
            let place = place_of(key);
            let id = *restored.entry(cell).or_insert_with(|| {
                *last_id += 1;
                BatchId(*last_id)
            });
            let batch = batches.entry(id).or_insert_with(|| Batch {
                job: None,
                content: Content::Own { first: place, last: place, count: 0, ttl },
                holders: Vec::new(),
                sealed: None,
                open: 0,
                taken: 1,
                renew,
                is_due: false,
                is_restored: true,
                opened,
                peers_then: peers,
            });
            batch.add(place);
            State::In(id)
        });
    }

    /// Takes keys off the list. Tells which nodes may hold which of them, and of which nobody knows that.
    pub(super) fn disown(&mut self, keys: &[ProviderKey]) -> (Vec<Held>, BTreeSet<ProviderKey>) {
        let mut told: BTreeMap<BatchId, BTreeSet<ProviderKey>> = BTreeMap::new();
        {
            let mut own = self.keys.lock();
            for key in keys {
                match own.remove(self.scope, key) {
                    State::In(batch) => {
                        told.entry(batch).or_default().insert(*key);
                    }
                    State::Due => self.due -= 1,
                    State::Awaited | State::Foreign => {}
                }
            }
        }
        let (mut holders, mut unknown) = (Vec::new(), BTreeSet::new());
        for (id, keys) in told {
            if let Some(batch) = self.batches.get_mut(&id) {
                batch.lost(keys.len());
                if batch.is_restored {
                    unknown.extend(keys);
                } else {
                    holders.push((keys, batch.holders.clone()));
                }
            }
            self.drop_if_over(id);
        }
        (holders, unknown)
    }

    /// The first key from `from` on that is to be told and that nobody waits for.
    pub(super) fn next_due(&self, from: u64) -> Option<ProviderKey> {
        let own = self.keys.lock();
        let mut due = own.range(self.scope, from..=u64::MAX).filter(|(.., state)| self.is_due(*state));
        due.next().map(|(_, key, _)| key)
    }

    /// What is to be told within these places and nobody waits for, if there is anything; and then also what would have
    /// to be told there soon, so that it goes along.
    pub(super) fn due_within(
        &self,
        range: RangeInclusive<Position>,
        now: Instant,
    ) -> Option<BTreeSet<ProviderKey>> {
        let places = range.start().prefix()..=range.end().prefix();
        let soon = now + renew_after(self.life) / 4;
        let own = self.keys.lock();
        let mut any = false;
        let mut keys = Vec::new();
        for (_, key, state) in own.range(self.scope, places) {
            let is_due = self.is_due(state);
            any |= is_due;
            if is_due || self.is_ripe(state, soon) {
                keys.push(key);
            }
        }
        any.then(|| keys.into_iter().collect())
    }

    fn is_due(&self, state: State) -> bool {
        match state {
            State::Due => true,
            State::In(batch) => self.batches.get(&batch).is_some_and(|batch| batch.is_due),
            State::Foreign | State::Awaited => false,
        }
    }

    fn is_ripe(&self, state: State, soon: Instant) -> bool {
        let State::In(id) = state else { return false };
        self.batches.get(&id).is_some_and(|batch| batch.open == 0 && batch.renew <= soon)
    }

    /// Opens a batch of messages to so many nodes, which tells of our keys for `ttl`.
    pub(super) fn open(
        &mut self,
        job: Option<JobId>,
        keys: &BTreeSet<ProviderKey>,
        ttl: Duration,
        nodes: usize,
        now: Instant,
    ) -> BatchId {
        let id = self.next_id();
        let mut moved: BTreeMap<BatchId, usize> = BTreeMap::new();
        let (mut first, mut last, mut count) = (u64::MAX, 0, 0);
        {
            let mut own = self.keys.lock();
            for key in keys {
                match own.set(self.scope, key, State::In(id)) {
                    State::Foreign => continue,
                    State::Due => self.due -= 1,
                    State::Awaited => {}
                    State::In(old) => *moved.entry(old).or_default() += 1,
                }
                let place = place_of(key);
                (first, last, count) = (first.min(place), last.max(place), count + 1);
            }
        }
        let mut wait = renew_after(ttl);
        if moved.is_empty() {
            // All that is told for the first time at one moment is not renewed at one moment.
            wait -= stagger(wait / 2, first);
        }
        let mut holders = Vec::new();
        for (old, count) in moved {
            if let Some(batch) = self.batches.get_mut(&old) {
                batch.lost(count);
                remember(&mut holders, &batch.holders);
            }
            self.drop_if_over(old);
        }
        let content = Content::Own { first, last, count, ttl };
        let batch = Batch { holders, renew: now + wait, ..self.batch(job, content, nodes, now) };
        self.batches.insert(id, batch);
        id
    }

    /// Opens a batch of messages that take keys back.
    pub(super) fn open_withdrawal(
        &mut self,
        job: JobId,
        keys: BTreeSet<ProviderKey>,
        nodes: usize,
        now: Instant,
    ) -> BatchId {
        let id = self.next_id();
        let batch = self.batch(Some(job), Content::Withdrawn(keys), nodes, now);
        self.batches.insert(id, batch);
        id
    }

    fn batch(&self, job: Option<JobId>, content: Content, nodes: usize, now: Instant) -> Batch {
        Batch {
            job,
            content,
            holders: Vec::new(),
            sealed: None,
            open: nodes,
            taken: 0,
            renew: now,
            is_due: false,
            is_restored: false,
            opened: Some(now),
            peers_then: self.peers,
        }
    }

    fn next_id(&mut self) -> BatchId {
        self.last_id += 1;
        BatchId(self.last_id)
    }

    /// The message of a batch, signed by `seal` when it is first sent. None when all was withdrawn meanwhile.
    pub(super) fn message(
        &mut self,
        id: BatchId,
        to: &Node,
        seal: impl FnOnce(&Parcel<'_>) -> Option<Arc<Sealed>>,
    ) -> Option<Arc<Sealed>> {
        let Self { batches, keys: own, scope, .. } = self;
        let batch = batches.get_mut(&id)?;
        if batch.content.own() == Some(0) {
            return None;
        }
        if batch.sealed.is_none() {
            batch.sealed = match &batch.content {
                Content::Withdrawn(keys) => seal(&Parcel { keys, ttl: None }),
                Content::Own { first, last, ttl, .. } => {
                    let own = own.lock();
                    let here = own.range(*scope, *first..=*last);
                    let keys =
                        here.filter(|(.., state)| *state == State::In(id)).map(|(_, key, _)| key).collect();
                    seal(&Parcel { keys: &keys, ttl: Some(*ttl) })
                }
            };
        }
        remember(&mut batch.holders, [to]);
        batch.sealed.clone()
    }

    /// Notes that a message of a batch is over for a peer. Tells the job it belonged to.
    pub(super) fn close(&mut self, id: BatchId, peer: PeerId, answer: Answer, now: Instant) -> Option<JobId> {
        let batch = self.batches.get_mut(&id)?;
        batch.open = batch.open.saturating_sub(1);
        if answer == Answer::Stored {
            batch.taken += 1;
            self.last_told = Some(now);
        }
        if answer == Answer::Unreachable {
            batch.holders.retain(|node| node.peer != peer);
        }
        if batch.open == 0 {
            batch.sealed = None;
            if batch.taken == 0 {
                batch.renew = now + RETRY;
            }
        }
        let job = batch.job;
        self.drop_if_over(id);
        job
    }

    pub(super) fn renew_all(&mut self, now: Instant) {
        for batch in self.batches.values_mut() {
            batch.renew = batch.renew.min(now);
        }
    }

    /// A table twice as large as it was means that keys have other closest nodes than those that were told.
    pub(super) fn renew_outgrown(&mut self, now: Instant) {
        for batch in self.batches.values_mut() {
            if self.peers >= batch.peers_then.max(1).saturating_mul(2) {
                batch.renew = batch.renew.min(now);
            }
        }
    }

    /// Makes what is to be told again now due; true when that is anything.
    pub(super) fn find_due(&mut self, now: Instant) -> bool {
        let mut any = false;
        for batch in self.batches.values_mut() {
            let is_over = batch.renew <= now && batch.open == 0 && !batch.is_due;
            if is_over && batch.content.own().is_some() {
                batch.is_due = true;
                any = true;
            }
        }
        any
    }

    /// Forgets a batch that nobody will ask about: answered by all, and a withdrawal or without keys.
    fn drop_if_over(&mut self, id: BatchId) {
        let is_over = |batch: &Batch| batch.open == 0 && batch.content.own().unwrap_or(0) == 0;
        if self.batches.get(&id).is_some_and(is_over) {
            self.batches.remove(&id);
        }
    }
}
