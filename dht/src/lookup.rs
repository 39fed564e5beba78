//! The books of running lookups: what was found for whom, what still walks, and when to give up.
//!
//! Owns: every lookup that was asked for and has not ended.  Hears: providers found, walks ended, peers
//! gained, the time.  Tells: which walks to begin, what is new to the caller, which lookups have ended.
//! Invariant: every lookup ends, exactly once.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;

use crate::scope::{MAX_ADDRESSES, Scope};
use crate::walk::Effort;

/// Providers reported to one lookup. A key that strangers squat on must not fill the caller's memory.
const MAX_FOUND: usize = 256;

/// Lookups that may wait for their turn. More of them means that the caller has no limit of its own.
const MAX_WAITING: usize = 4096;

/// How long a lookup waits for a first peer. A `get` that has just started its node finds the network
/// within a second or two; a machine without a network must hear so before it believes that we hang.
const FIRST_PEER_WAIT: Duration = Duration::from_secs(5);

/// Names one lookup; chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// How a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every node close to the key was asked.
    Finished,
    /// The caller had enough.
    Stopped,
    /// The deadline came first.
    TimedOut,
    /// There was nobody to ask.
    NoPeers,
    /// Too many lookups are waiting already.
    Refused,
}

/// A lookup that is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) id: LookupId,
    /// What it cost; its hops are those to the first provider, or to the farthest answer.
    pub(crate) effort: Effort,
    pub(crate) outcome: Outcome,
}

/// One walk through one overlay on behalf of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    pub(crate) id: LookupId,
    pub(crate) scope: Scope,
    pub(crate) key: ProviderKey,
}

/// All lookups.
#[derive(Debug)]
pub(crate) struct Lookups {
    max_running: usize,
    deadline: Duration,
    /// By age, so that the oldest run first.
    lookups: BTreeMap<u64, Lookup>,
    by_id: HashMap<LookupId, u64>,
    next_age: u64,
    ended: Vec<Ended>,
}

#[derive(Debug)]
struct Lookup {
    id: LookupId,
    key: ProviderKey,
    /// When it began to run, if it has.
    started: Option<Instant>,
    walks: BTreeMap<Scope, WalkState>,
    found: HashMap<PeerId, Vec<Multiaddr>>,
    /// Referrals to the first provider.
    found_at: Option<u8>,
    /// What walks cost that were walked again.
    spent: Effort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WalkState {
    /// Nobody to ask in this scope yet.
    Waiting,
    /// `grown`: the table gained peers since the walk began.
    Running {
        effort: Effort,
        grown: bool,
    },
    /// To be walked once more.
    Again,
    Done {
        effort: Effort,
    },
}

impl Lookups {
    pub(crate) fn new(max_running: usize, deadline: Duration) -> Self {
        Self {
            max_running,
            deadline,
            lookups: BTreeMap::new(),
            by_id: HashMap::new(),
            next_age: 0,
            ended: Vec::new(),
        }
    }

    /// Queues a lookup. An id that is in use goes on naming the lookup that it names.
    pub(crate) fn find(&mut self, id: LookupId, key: ProviderKey, scopes: impl Iterator<Item = Scope>) {
        if self.by_id.contains_key(&id) {
            return;
        }
        if self.lookups.len() >= MAX_WAITING {
            self.ended.push(Ended { id, effort: Effort::default(), outcome: Outcome::Refused });
            return;
        }
        let walks = scopes.map(|scope| (scope, WalkState::Waiting)).collect();
        let lookup = Lookup {
            id,
            key,
            started: None,
            walks,
            found: HashMap::new(),
            found_at: None,
            spent: Effort::default(),
        };
        self.by_id.insert(id, self.next_age);
        self.lookups.insert(self.next_age, lookup);
        self.next_age += 1;
    }

    pub(crate) fn stop(&mut self, id: LookupId) {
        if let Some(age) = self.by_id.get(&id).copied() {
            self.end(age, Outcome::Stopped);
        }
    }

    /// The walks to begin now, given the scopes in which there is somebody to ask.
    pub(crate) fn begin(&mut self, now: Instant, has_peers: impl Fn(Scope) -> bool) -> Vec<Walk> {
        let mut walks = Vec::new();
        for lookup in self.lookups.values_mut().take(self.max_running) {
            lookup.started.get_or_insert(now);
            for (&scope, state) in &mut lookup.walks {
                if matches!(state, WalkState::Waiting | WalkState::Again) && has_peers(scope) {
                    *state = WalkState::Running { effort: Effort::default(), grown: false };
                    walks.push(Walk { id: lookup.id, scope, key: lookup.key });
                }
            }
        }
        walks
    }

    /// Notes a provider; what it returns is new to the caller of the lookup.
    pub(crate) fn found(
        &mut self,
        id: LookupId,
        provider: PeerId,
        addresses: Vec<Multiaddr>,
        hops: u8,
    ) -> Option<Vec<Multiaddr>> {
        let lookup = self.lookups.get_mut(self.by_id.get(&id)?)?;
        lookup.found_at.get_or_insert(hops);
        let first = !lookup.found.contains_key(&provider);
        if first && lookup.found.len() >= MAX_FOUND {
            return None;
        }
        let known = lookup.found.entry(provider).or_default();
        let mut fresh: Vec<_> = addresses.into_iter().filter(|address| !known.contains(address)).collect();
        // Two scopes may each contribute a full list.
        fresh.truncate((2 * MAX_ADDRESSES).saturating_sub(known.len()));
        known.extend(fresh.iter().cloned());
        (first || !fresh.is_empty()).then_some(fresh)
    }

    /// Notes what a walk cost so far.
    pub(crate) fn answered(&mut self, id: LookupId, scope: Scope, so_far: Effort) {
        let lookup = self.by_id.get(&id).and_then(|age| self.lookups.get_mut(age));
        if let Some(WalkState::Running { effort, .. }) =
            lookup.and_then(|lookup| lookup.walks.get_mut(&scope))
        {
            *effort = so_far;
        }
    }

    /// Notes that a walk is over. It is walked again when peers came meanwhile and fewer than `enough` of
    /// them could be asked: a node that has just started meets its network while it searches.
    pub(crate) fn walk_ended(&mut self, id: LookupId, scope: Scope, effort: Effort, enough: usize) {
        let Some(age) = self.by_id.get(&id).copied() else {
            return;
        };
        let Some(lookup) = self.lookups.get_mut(&age) else {
            return;
        };
        let Some(state) = lookup.walks.get_mut(&scope) else {
            return;
        };
        *state = match *state {
            WalkState::Running { grown: true, .. } if effort.answers < enough => {
                lookup.spent.add(Effort { answers: 0, ..effort });
                WalkState::Again
            }
            _ => WalkState::Done { effort },
        };
        // A scope without peers is waited for only while no other scope has answered.
        let going = |state: &WalkState| matches!(state, WalkState::Running { .. } | WalkState::Again);
        if !lookup.walks.values().any(going) {
            let outcome = if lookup.effort().answers > 0 { Outcome::Finished } else { Outcome::NoPeers };
            self.end(age, outcome);
        }
    }

    /// Notes that a table gained a peer.
    pub(crate) fn table_grew(&mut self, scope: Scope) {
        for lookup in self.lookups.values_mut() {
            if let Some(WalkState::Running { grown, .. }) = lookup.walks.get_mut(&scope) {
                *grown = true;
            }
        }
    }

    /// Ends the lookups whose time is over.
    pub(crate) fn tick(&mut self, now: Instant) {
        let over = |(age, lookup): (&u64, &Lookup)| {
            let ran = now.saturating_duration_since(lookup.started?);
            if ran >= FIRST_PEER_WAIT && lookup.is_alone() {
                return Some((*age, Outcome::NoPeers));
            }
            (ran >= self.deadline).then_some((*age, Outcome::TimedOut))
        };
        for (age, outcome) in self.lookups.iter().filter_map(over).collect::<Vec<_>>() {
            self.end(age, outcome);
        }
    }

    /// The lookups that ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    pub(crate) fn len(&self) -> usize {
        self.lookups.len()
    }

    fn end(&mut self, age: u64, outcome: Outcome) {
        if let Some(lookup) = self.lookups.remove(&age) {
            self.by_id.remove(&lookup.id);
            self.ended.push(Ended { id: lookup.id, effort: lookup.effort(), outcome });
        }
    }
}

impl Lookup {
    fn is_alone(&self) -> bool {
        self.walks.values().all(|state| *state == WalkState::Waiting)
    }

    fn effort(&self) -> Effort {
        let mut all = self.spent;
        for state in self.walks.values() {
            if let WalkState::Running { effort, .. } | WalkState::Done { effort } = state {
                all.add(*effort);
            }
        }
        all.hops = self.found_at.unwrap_or(all.hops);
        all
    }
}

#[cfg(test)]
mod tests;
