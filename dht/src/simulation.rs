//! A network on paper: nodes with tables as Kademlia would have them, and a clock that jumps from answer to answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::identity::Keypair;
use shoal_content::ProviderKey;

use crate::pace::Patience;
use crate::position::{Node, Position};
use crate::search::Search;
use crate::walk::Walk;

/// Nodes that a table has for each number of shared bits.
const BUCKET: usize = 20;

/// One way to a node and back.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(100);

/// How long those who ask wait for an answer.
pub(crate) const PATIENCE: Patience =
    Patience { slow: Duration::from_millis(150), late: Duration::from_millis(300) };

/// What a node does when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Never answers.
    Dead,
    /// Answers that it knows nothing and nobody but these.
    Crowd(Vec<PeerId>),
}

/// All nodes.
pub(crate) struct Simulation {
    pub(crate) nodes: BTreeMap<PeerId, SimulatedNode>,
}

pub(crate) struct SimulatedNode {
    pub(crate) position: Position,
    pub(crate) manner: Manner,
    pub(crate) table: Vec<PeerId>,
    pub(crate) keys: BTreeSet<ProviderKey>,
}

/// What became of a node that the library's search knows.
enum Asked {
    Not,
    Until(Instant),
    Answered,
    InVain,
}

/// What one search took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Until the first provider was named.
    pub(crate) found: Option<Duration>,
    pub(crate) hops: u8,
    pub(crate) messages: u32,
    pub(crate) took: Duration,
}

pub(crate) fn peer(seed: u64) -> PeerId {
    let seed = *blake3::hash(&[b"peer".as_slice(), &seed.to_be_bytes()].concat()).as_bytes();
    Keypair::ed25519_from_bytes(seed).expect("32 bytes").public().to_peer_id()
}

pub(crate) fn key(seed: u64) -> ProviderKey {
    ProviderKey::from_bytes(*blake3::hash(&seed.to_be_bytes()).as_bytes())
}

pub(crate) fn node(peer: PeerId) -> Node {
    Node { peer, addresses: Vec::new() }
}

impl Simulation {
    /// So many honest nodes, each with a full table.
    pub(crate) fn new(count: u64) -> Self {
        let mut simulation = Self { nodes: BTreeMap::new() };
        for seed in 0..count {
            simulation.add(peer(seed), Manner::Honest);
        }
        simulation.fill_tables();
        simulation
    }

    pub(crate) fn add(&mut self, peer: PeerId, manner: Manner) {
        let position = Position::of_peer(&peer);
        self.nodes.insert(peer, SimulatedNode { position, manner, table: Vec::new(), keys: BTreeSet::new() });
    }

    /// Gives everybody the table that they would have: some of each distance, all of the nearest.
    pub(crate) fn fill_tables(&mut self) {
        let all: Vec<_> = self.nodes.iter().map(|(peer, node)| (*peer, node.position)).collect();
        for (number, node) in self.nodes.values_mut().enumerate() {
            let mut buckets: BTreeMap<u32, Vec<PeerId>> = BTreeMap::new();
            // Begin somewhere else for each, so that not all know the same.
            for step in 0..all.len() {
                let (peer, position) = all[(number * 7919 + step * 31) % all.len()];
                let bits = node.position.shared_bits(position);
                let bucket = buckets.entry(bits).or_default();
                if bits < 256 && bucket.len() < BUCKET && !bucket.contains(&peer) {
                    bucket.push(peer);
                }
            }
            node.table = buckets.into_values().flatten().collect();
        }
    }

    /// Kills every node whose number is `0` modulo `each`; tables still name them.
    pub(crate) fn kill_one_of(&mut self, each: usize) {
        for node in self.nodes.values_mut().step_by(each) {
            node.manner = Manner::Dead;
        }
    }

    /// Everybody, nearest to a position first.
    pub(crate) fn nearest(&self, target: Position) -> Vec<PeerId> {
        let mut all: Vec<_> =
            self.nodes.iter().map(|(peer, node)| (node.position.distance(target), *peer)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, peer)| peer).collect()
    }

    /// Runs a search of `from` until nothing is left to do.
    pub(crate) fn run(&self, from: &PeerId, search: &mut Search, region_bits: u32) -> Run {
        let start = Instant::now();
        let mut now = start;
        let mut on_their_way: Vec<(Instant, usize, PeerId, Position)> = Vec::new();
        let mut found = None;
        let target = search.main().map(Walk::target).expect("a walk");
        for seed in self.answer(from, from, target, 32) {
            search.seed(&seed, false);
        }
        loop {
            while let Some((walk, target, node)) = search.next(now, |_| Some(PATIENCE)) {
                on_their_way.push((now + ROUND_TRIP, walk, node.peer, target));
            }
            if search.is_over() {
                for target in search.look_beside(region_bits) {
                    for seed in self.answer(from, from, target, 20) {
                        search.seed(&seed, false);
                    }
                }
                if search.is_over() {
                    let effort = search.effort();
                    let took = now - start;
                    return Run { found, hops: effort.hops, messages: effort.messages, took };
                }
                continue;
            }
            let due = on_their_way.iter().map(|(at, ..)| *at).chain(search.next_due()).min();
            now = due.expect("a search that is not over waits for something");
            for (at, walk, peer, target) in std::mem::take(&mut on_their_way) {
                if at > now {
                    on_their_way.push((at, walk, peer, target));
                    continue;
                }
                let Some(asked) = self.nodes.get(&peer).filter(|asked| asked.manner != Manner::Dead) else {
                    continue;
                };
                let knows = asked.manner == Manner::Honest
                    && search.key().is_some_and(|key| asked.keys.contains(&key));
                if knows {
                    found.get_or_insert(now - start);
                }
                search.answered(walk, &peer, self.answer(from, &peer, target, 20), knows, |_| false);
            }
            search.tick(now);
        }
    }

    /// Runs a search as the library's own lookups do it: so many questions open, ten seconds for whoever does not
    /// answer, and the end when the twenty nearest of the others have answered.
    pub(crate) fn run_as_the_library(
        &self,
        from: &PeerId,
        target: Position,
        key: &ProviderKey,
        open: usize,
    ) -> Run {
        const WAIT: Duration = Duration::from_secs(10);
        let start = Instant::now();
        let apart = |peer: &PeerId| self.nodes[peer].position.distance(target);
        let (mut now, mut found, mut messages) = (start, None, 0);
        let mut known: BTreeMap<_, (PeerId, Asked)> = BTreeMap::new();
        for seed in self.answer(from, from, target, 20) {
            known.insert(apart(&seed.peer), (seed.peer, Asked::Not));
        }
        loop {
            let nearest = |asked: &Asked| !matches!(asked, Asked::InVain);
            let mut waiting = known.values().filter(|(_, asked)| matches!(asked, Asked::Until(_))).count();
            let frontier = known.values_mut().filter(|(_, asked)| nearest(asked)).take(20);
            let mut is_over = true;
            for (peer, asked) in frontier {
                is_over &= matches!(asked, Asked::Answered);
                if matches!(asked, Asked::Not) && waiting < open {
                    let is_dead = self.nodes[peer].manner == Manner::Dead;
                    *asked = Asked::Until(now + if is_dead { WAIT } else { ROUND_TRIP });
                    waiting += 1;
                    messages += 1;
                }
            }
            if is_over {
                return Run { found, hops: 0, messages, took: now - start };
            }
            let due = known.values().filter_map(|(_, asked)| match asked {
                Asked::Until(at) => Some(*at),
                _ => None,
            });
            now = due.min().expect("a search that is not over waits for something");
            let mut named = Vec::new();
            for (peer, asked) in known.values_mut() {
                if !matches!(asked, Asked::Until(at) if *at <= now) {
                    continue;
                }
                let node = &self.nodes[peer];
                if node.manner == Manner::Dead {
                    *asked = Asked::InVain;
                    continue;
                }
                *asked = Asked::Answered;
                if node.keys.contains(key) {
                    found.get_or_insert(now - start);
                }
                named.extend(self.answer(from, peer, target, 20));
            }
            for node in named {
                known.entry(apart(&node.peer)).or_insert((node.peer, Asked::Not));
            }
        }
    }

    /// Whom a node names when it is asked for a position.
    fn answer(&self, asker: &PeerId, peer: &PeerId, target: Position, count: usize) -> Vec<Node> {
        let asked = &self.nodes[peer];
        if let Manner::Crowd(friends) = &asked.manner {
            return friends.iter().copied().map(node).take(count).collect();
        }
        let apart = |peer: &PeerId| self.nodes[peer].position.distance(target);
        let others = asked.table.iter().filter(|other| *other != asker);
        let mut known: Vec<_> = others.map(|peer| (apart(peer), *peer)).collect();
        known.sort_unstable();
        known.into_iter().take(count).map(|(_, peer)| node(peer)).collect()
    }
}
