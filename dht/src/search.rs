//! Everything that is done to find one place: a walk, and more around it when the place looks crowded.
//!
//! Whoever wants to hide a key puts nodes of their own so close to it that they are all of its nearest ones.
//! Such a crowd is far denser than the rest of the network. Then the nodes that would be nearest without it
//! are looked for too: they live in the subtrees beside the crowd, and walks to places there find them,
//! because the crowd is not nearest to those.

use std::time::Instant;

use libp2p::PeerId;
use shoal_content::ProviderKey;

use crate::pace::Patience;
use crate::position::{K, Node, Position};
use crate::walk::{Effort, Walk};

/// Nodes that should hold a key.
pub(crate) const HOLDERS: usize = K;

/// Nodes told of a key: a few more, since some of those that others named will be gone, and since keys that lie
/// beside the place of a walk have some other nearest nodes.
const TOLD: usize = HOLDERS + 4;

/// Nodes told besides that are as near and did not answer the walk in time: where the line or the machine is slow,
/// they may be the true nearest. Most of them are gone, though, and each is a dial in vain.
const TOLD_LATE: usize = HOLDERS / 2;

/// Nodes told of a key at most. A crowd around a key must not cost us more than those that it hides.
pub(crate) const MAX_HOLDERS: usize = 64;

/// How many times denser than the network a place must be to look crowded, in powers of two. Chance alone
/// makes hardly any place four times as dense.
const CROWDED_BITS: u32 = 2;

/// Answers that a walk beside a crowd ends with. The subtree it goes to holds about as many nodes.
const BESIDE: usize = 8;

/// What one walk of a search is told apart by.
pub(crate) type WalkIndex = usize;

/// One search.
#[derive(Debug)]
pub(crate) struct Search {
    key: Option<ProviderKey>,
    /// The walk to the place itself, then those beside it.
    walks: Vec<Walk>,
    /// Referrals that led to the first node that knew a provider.
    found_at: Option<u8>,
}

impl Search {
    /// A search for a position that ends with the answers of the `wants` nearest nodes; with a key, each is asked who
    /// provides it.
    pub(crate) fn new(target: Position, key: Option<ProviderKey>, wants: usize) -> Self {
        Self { key, walks: vec![Walk::new(target, wants)], found_at: None }
    }

    pub(crate) fn key(&self) -> Option<ProviderKey> {
        self.key
    }

    /// Adds a node that we know ourselves.
    pub(crate) fn seed(&mut self, node: &Node, doubtful: bool) {
        for walk in &mut self.walks {
            walk.seed(node.clone(), doubtful);
        }
    }

    /// Adds a node that is asked at once.
    pub(crate) fn guide(&mut self, node: Node) {
        if let Some(main) = self.walks.first_mut() {
            main.guide(node);
        }
    }

    /// The next question: which walk asks it, where it goes, and of whom it is asked.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        patience: impl Fn(&PeerId) -> Option<Patience>,
    ) -> Option<(WalkIndex, Position, Node)> {
        let mut walks = self.walks.iter_mut().enumerate();
        walks.find_map(|(index, walk)| walk.next(now, &patience).map(|node| (index, walk.target(), node)))
    }

    /// Notes an answer to a question of one walk.
    pub(crate) fn answered(
        &mut self,
        index: WalkIndex,
        peer: &PeerId,
        named: Vec<Node>,
        knows_provider: bool,
        doubtful: impl Fn(&PeerId) -> bool,
    ) {
        let depth = self.walks.get_mut(index).and_then(|walk| walk.answered(peer, named, doubtful));
        if knows_provider {
            self.found_at = self.found_at.or(depth);
        }
    }

    pub(crate) fn failed(&mut self, index: WalkIndex, peer: &PeerId) {
        if let Some(walk) = self.walks.get_mut(index) {
            walk.failed(peer);
        }
    }

    /// Notes that a question was not sent after all.
    pub(crate) fn put_back(&mut self, index: WalkIndex, peer: &PeerId) {
        if let Some(walk) = self.walks.get_mut(index) {
            walk.put_back(peer);
        }
    }

    /// Notes that time has passed. Tells who did not answer in time.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<PeerId> {
        self.walks.iter_mut().flat_map(|walk| walk.tick(now)).collect()
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.walks.iter().filter_map(Walk::next_due).min()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.walks.iter().all(Walk::is_over)
    }

    /// The walk to the place itself.
    pub(crate) fn main(&self) -> Option<&Walk> {
        self.walks.first()
    }

    /// Begins the walks beside a crowded place, given how many bits a key shares with its region. Tells where to;
    /// they need seeds. Nothing when the place is not crowded, or they have begun before.
    pub(crate) fn look_beside(&mut self, region_bits: u32) -> Vec<Position> {
        let [main] = self.walks.as_slice() else { return Vec::new() };
        let crowded = region_bits + CROWDED_BITS;
        let farthest = main.nodes().nth(HOLDERS - 1).map(|(distance, _)| distance.leading_zeros());
        if farthest.is_none_or(|shared| shared < crowded) {
            return Vec::new();
        }
        let place = main.target();
        let bits = region_bits.saturating_sub(1)..=region_bits + 1;
        let targets: Vec<_> = bits.map(|bit| place.across(bit, Position::random())).collect();
        // The crowd has been asked, and would only name itself.
        let beside = |target: &Position| Walk::new(*target, BESIDE).avoiding(place, crowded);
        self.walks.extend(targets.iter().map(beside));
        targets
    }

    /// Who will probably be told of a key at the place, once a node has answered: when it is one of them itself, the
    /// walk is nearly there.
    pub(crate) fn likely_holders(&self, answered: &PeerId) -> Vec<Node> {
        let nearest: Vec<Node> =
            self.main().into_iter().flat_map(Walk::nodes).take(TOLD).map(|(_, node)| node.clone()).collect();
        if nearest.iter().any(|node| node.peer == *answered) { nearest } else { Vec::new() }
    }

    /// Who should be told of a key at the place, nearest first: the nearest nodes, and those of its region that a crowd would hide.
    pub(crate) fn holders(&self, region_bits: u32) -> Vec<Node> {
        let Some(main) = self.main() else { return Vec::new() };
        let mut holders: Vec<Node> = main.nodes().take(TOLD).map(|(_, node)| node.clone()).collect();
        let beside = self.walks.iter().skip(1).flat_map(Walk::answerers);
        let near = main.nodes().skip(TOLD);
        let reach = main.nodes().take(TOLD).last().map(|(distance, _)| distance);
        let late: Vec<_> = main.late().take_while(|(distance, _)| Some(*distance) < reach).collect();
        for (_, node) in beside.chain(near) {
            let shared = main.target().shared_bits(Position::of_peer(&node.peer));
            let is_new = holders.iter().all(|known| known.peer != node.peer);
            if holders.len() < MAX_HOLDERS && shared >= region_bits && is_new {
                holders.push(node.clone());
            }
        }
        holders.extend(late.into_iter().take(TOLD_LATE).map(|(_, node)| node.clone()));
        holders
    }

    /// What it all cost. Its hops are those to the first provider, or to the farthest answer.
    pub(crate) fn effort(&self) -> Effort {
        let mut effort = Effort::default();
        for walk in &self.walks {
            effort.add(walk.effort());
        }
        effort.hops = self.found_at.unwrap_or(effort.hops);
        effort
    }

    pub(crate) fn has_found(&self) -> bool {
        self.found_at.is_some()
    }
}

#[cfg(test)]
mod tests;
