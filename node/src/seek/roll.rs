//! Keeps the roll of one round: who is to be asked, who was, and what came of it.
//!
//! Pure. Invariant: nobody is on it twice, in however many ways it was named.

use std::collections::{HashSet, VecDeque};

use libp2p::PeerId;

use super::{Candidate, Round};
use crate::{hint::Hint, net::Walk};

/// Peers asked in one round. Whoever introduces more of them than this is not believed.
const MAX_CANDIDATES: usize = 256;

#[derive(Debug)]
pub(super) struct Roll {
    /// This node, which knows best what it has itself.
    me: PeerId,
    next: VecDeque<Candidate>,
    /// All who are on the roll.
    known: HashSet<PeerId>,
    /// Those of whom somebody says that they have it.
    named: HashSet<PeerId>,
    /// How many were named as providers by their addresses alone.
    nameless: usize,
    /// Who says that it does not have it.
    without: HashSet<PeerId>,
}

impl Roll {
    /// A roll with nobody to be asked; those who are named by `hints` are met first.
    pub(super) fn new(me: PeerId, hints: &[Hint]) -> Self {
        let providers = || hints.iter().filter(|hint| hint.provider);
        Self {
            me,
            next: VecDeque::new(),
            known: HashSet::from([me]),
            named: providers().filter_map(|hint| hint.peer).collect(),
            nameless: providers().filter(|hint| hint.peer.is_none()).count(),
            without: HashSet::new(),
        }
    }

    /// Puts a peer down to be asked, unless it is on the roll or that is full.
    pub(super) fn add(&mut self, candidate: Candidate) {
        if self.known.len() < MAX_CANDIDATES && self.known.insert(candidate.peer) {
            self.next.push_back(candidate);
        }
    }

    pub(super) fn add_all(&mut self, candidates: impl IntoIterator<Item = Candidate>) {
        candidates.into_iter().for_each(|candidate| self.add(candidate));
    }

    /// The same for one of whom somebody says that it has the content.
    pub(super) fn add_provider(&mut self, candidate: Candidate) {
        self.named.insert(candidate.peer);
        self.add(candidate);
    }

    /// Whether somebody says that a peer has it.
    pub(super) fn is_named(&self, peer: &PeerId) -> bool {
        self.named.contains(peer)
    }

    /// Whom to ask next.
    pub(super) fn next(&mut self) -> Option<Candidate> {
        self.next.pop_front()
    }

    /// Whether nobody is left to be asked.
    pub(super) fn is_done(&self) -> bool {
        self.next.is_empty()
    }

    /// A peer was asked; who was met at an address is on the roll only now.
    pub(super) fn asked(&mut self, peer: PeerId) {
        self.known.insert(peer);
    }

    /// A peer says that it does not have it.
    pub(super) fn without(&mut self, peer: PeerId) {
        self.without.insert(peer);
    }

    /// How the round ended, in which the walk took so much.
    pub(super) fn summary(mut self, walk: Walk) -> Round {
        self.named.remove(&self.me);
        Round {
            named: self.named.len() + self.nameless,
            gone: self.named.intersection(&self.without).count(),
            walk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Via, *};

    fn candidate(peer: PeerId, via: Via) -> Candidate {
        Candidate { peer, addresses: Vec::new(), via }
    }

    fn hint(peer: Option<PeerId>, provider: bool) -> Hint {
        Hint { peer, addresses: Vec::new(), provider }
    }

    #[test]
    fn whoever_is_named_in_several_ways_is_one_provider_and_asked_once() {
        let (me, peer) = (PeerId::random(), PeerId::random());
        let mut roll = Roll::new(me, &[hint(Some(peer), true)]);
        assert!(roll.is_named(&peer));
        roll.add(candidate(peer, Via::Neighbour));
        for via in [Via::Dht, Via::Introduced] {
            roll.add_provider(candidate(peer, via));
        }
        assert_eq!(roll.next().map(|candidate| candidate.via), Some(Via::Neighbour));
        assert!(roll.is_done());
        assert_eq!(roll.summary(Walk::default()).named, 1);
    }

    #[test]
    fn this_node_is_neither_asked_nor_named() {
        let me = PeerId::random();
        let mut roll = Roll::new(me, &[hint(Some(me), true)]);
        roll.add_provider(candidate(me, Via::Dht));
        assert!(roll.is_done());
        assert_eq!(roll.summary(Walk::default()).named, 0);
    }

    #[test]
    fn a_provider_without_it_is_gone_and_a_neighbour_without_it_is_not() {
        let (provider, neighbour) = (PeerId::random(), PeerId::random());
        let mut roll = Roll::new(PeerId::random(), &[hint(None, true), hint(None, false)]);
        roll.add_provider(candidate(provider, Via::Dht));
        roll.add(candidate(neighbour, Via::Neighbour));
        roll.without(provider);
        roll.without(neighbour);
        let Round { named, gone, .. } = roll.summary(Walk::default());
        assert_eq!((named, gone), (2, 1));
    }

    #[test]
    fn whoever_introduces_too_many_is_not_believed() {
        let mut roll = Roll::new(PeerId::random(), &[]);
        roll.add_all((0..2 * MAX_CANDIDATES).map(|_| candidate(PeerId::random(), Via::Introduced)));
        assert_eq!(std::iter::from_fn(|| roll.next()).count(), MAX_CANDIDATES - 1);
    }
}
