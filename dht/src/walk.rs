//! One walk through the overlay, towards the nodes nearest to a position.
//!
//! Owns: who was heard of on the way, who was asked, what it cost.  Hears: answers, failures, the time.
//! Tells: whom to ask next, how deep the chain of referrals is, who lives nearest.
//! Ends: when as many of the nearest as it wants have answered, counting those alone that answer in time, or
//! when nobody is left to ask.
//!
//! Invariant: nothing that a stranger answers makes a walk longer than [`MAX_MESSAGES`] or larger than
//! [`MAX_CANDIDATES`]; and one whose referrals lead nowhere is not followed further.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use libp2p::PeerId;

use crate::pace::Patience;
use crate::position::{Distance, Node, Position};

/// Questions open at once while the answers still lead closer: more would mostly ask nodes that the next
/// answer makes irrelevant.
const FEW: usize = 4;

/// Questions open at once when they do not any more: whoever is nearest has to be asked anyway.
const MANY: usize = 12;

/// Questions of one walk. Even with every other node dead, an honest network needs far fewer.
const MAX_MESSAGES: u32 = 160;

/// Nodes remembered by one walk; the farthest are forgotten first.
const MAX_CANDIDATES: usize = 256;

/// Dead referrals after which a node that gave no live one is not believed any more.
const MAX_DEAD_REFERRALS: u8 = 3;

/// One walk.
#[derive(Debug)]
pub(crate) struct Walk {
    target: Position,
    wants: usize,
    /// Nodes that share so many bits with this position are passed over.
    avoids: Option<(Position, u32)>,
    candidates: BTreeMap<Distance, Candidate>,
    /// Who is to be asked at once, wherever it is.
    guides: Vec<Distance>,
    tellers: HashMap<PeerId, Teller>,
    /// Answers in a row that named nobody nearer.
    stale: usize,
    effort: Effort,
}

/// What a walk cost, and how deep it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Nodes that answered.
    pub(crate) answers: usize,
    /// Questions sent.
    pub(crate) messages: u32,
    /// Questions that nobody answered in time.
    pub(crate) timeouts: u32,
    /// Referrals that led to the farthest answer, the first one from our own table.
    pub(crate) hops: u8,
}

#[derive(Debug)]
struct Candidate {
    node: Node,
    state: State,
    /// Referrals that led here.
    depth: u8,
    /// Who named it, when that was one node alone.
    teller: Option<PeerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// Believed to be gone: asked when nobody else is left.
    Doubtful,
    Asked {
        /// When it begins to be slow; nothing once it is.
        slow: Option<Instant>,
        /// When it is late.
        due: Instant,
    },
    /// Not waited for any more; its answer still counts.
    Late,
    Answered,
    Dead,
}

#[derive(Clone, Copy, Debug, Default)]
struct Teller {
    live: u8,
    dead: u8,
}

impl Effort {
    /// Adds what another walk for the same purpose cost.
    pub(crate) fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.messages = self.messages.saturating_add(other.messages);
        self.timeouts = self.timeouts.saturating_add(other.timeouts);
        self.hops = self.hops.max(other.hops);
    }
}

impl Walk {
    /// A walk that ends when the `wants` nearest nodes have answered.
    pub(crate) fn new(target: Position, wants: usize) -> Self {
        Self {
            target,
            wants,
            avoids: None,
            candidates: BTreeMap::new(),
            guides: Vec::new(),
            tellers: HashMap::new(),
            stale: 0,
            effort: Effort::default(),
        }
    }

    /// Makes the walk pass over every node that shares so many bits with a place.
    pub(crate) fn avoiding(mut self, place: Position, bits: u32) -> Self {
        self.avoids = Some((place, bits));
        self
    }

    pub(crate) fn target(&self) -> Position {
        self.target
    }

    pub(crate) fn effort(&self) -> Effort {
        self.effort
    }

    /// Adds a node that we know ourselves; `doubtful` when it is believed to be gone.
    pub(crate) fn seed(&mut self, node: Node, doubtful: bool) {
        self.hear(node, 1, None, doubtful);
    }

    /// Adds a node that answers soon, and is asked at once although others are nearer: those have to be dialled.
    pub(crate) fn guide(&mut self, node: Node) {
        self.guides.push(self.target.distance(Position::of_peer(&node.peer)));
        self.seed(node, false);
    }

    /// The next node to ask, if one may be asked now; `patience` tells how long it is given, or that it cannot be asked
    /// yet.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        patience: impl Fn(&PeerId) -> Option<Patience>,
    ) -> Option<Node> {
        if self.effort.messages >= MAX_MESSAGES {
            return None;
        }
        let may_ask = |peer: &PeerId| patience(peer).is_some();
        let distance = match self.next_guide(may_ask) {
            Some(guide) => guide,
            None => self.next_of_frontier(may_ask)?,
        };
        let candidate = self.candidates.get_mut(&distance)?;
        let patience = patience(&candidate.node.peer)?;
        candidate.state = State::Asked { slow: Some(now + patience.slow), due: now + patience.late };
        self.effort.messages += 1;
        Some(candidate.node.clone())
    }

    /// Notes the answer of a node and whom it named. Tells how many referrals led to it, unless it was not asked.
    pub(crate) fn answered(
        &mut self,
        peer: &PeerId,
        named: Vec<Node>,
        doubtful: impl Fn(&PeerId) -> bool,
    ) -> Option<u8> {
        let nearest_before = self.reach();
        let candidate = self.candidates.get_mut(&self.target.distance(Position::of_peer(peer)))?;
        if !matches!(candidate.state, State::Asked { .. } | State::Late) {
            return None;
        }
        candidate.state = State::Answered;
        let (depth, teller) = (candidate.depth, candidate.teller);
        self.effort.answers += 1;
        self.effort.hops = self.effort.hops.max(depth);
        if let Some(teller) = teller {
            let known = self.tellers.entry(teller).or_default();
            known.live = known.live.saturating_add(1);
        }
        for node in named {
            let doubt = doubtful(&node.peer);
            self.hear(node, depth.saturating_add(1), Some(*peer), doubt);
        }
        self.stale = if self.reach() < nearest_before { 0 } else { self.stale + 1 };
        Some(depth)
    }

    /// Notes that a node cannot be asked.
    pub(crate) fn failed(&mut self, peer: &PeerId) {
        let Some(candidate) = self.candidates.get_mut(&self.target.distance(Position::of_peer(peer))) else {
            return;
        };
        if candidate.state == State::Answered {
            return;
        }
        // Who was late, or failed before, has been counted.
        let is_known = matches!(candidate.state, State::Late | State::Dead);
        candidate.state = State::Dead;
        if !is_known {
            let teller = candidate.teller;
            self.blame(teller);
        }
    }

    /// Notes that a question was not sent after all, for a reason of our own: the node is asked another time.
    pub(crate) fn put_back(&mut self, peer: &PeerId) {
        let candidate = self.candidates.get_mut(&self.target.distance(Position::of_peer(peer)));
        if let Some(candidate) = candidate
            && matches!(candidate.state, State::Asked { .. } | State::Late)
        {
            candidate.state = State::Waiting;
            self.effort.messages = self.effort.messages.saturating_sub(1);
        }
    }

    /// Notes that time has passed. Tells who did not answer in time.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<PeerId> {
        let mut late = Vec::new();
        let mut tellers = Vec::new();
        for candidate in self.candidates.values_mut() {
            match &mut candidate.state {
                State::Asked { due, .. } if *due <= now => {
                    candidate.state = State::Late;
                    late.push(candidate.node.peer);
                    tellers.push(candidate.teller);
                }
                State::Asked { slow, .. } if slow.is_some_and(|slow| slow <= now) => *slow = None,
                _ => {}
            }
        }
        self.effort.timeouts += u32::try_from(late.len()).unwrap_or(u32::MAX);
        for teller in tellers {
            self.blame(teller);
        }
        late
    }

    /// When somebody will be slow or late next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let due = |candidate: &Candidate| match candidate.state {
            State::Asked { slow, due } => Some(slow.unwrap_or(due)),
            _ => None,
        };
        self.candidates.values().filter_map(due).min()
    }

    /// Whether there is nothing left to ask or to wait for.
    pub(crate) fn is_over(&self) -> bool {
        let settled = |state: State| match state {
            State::Answered => true,
            State::Waiting => self.effort.messages >= MAX_MESSAGES,
            _ => false,
        };
        let last_hope = self.effort.answers == 0
            && self.candidates.values().any(|candidate| candidate.state == State::Doubtful);
        self.frontier().all(|(_, candidate)| settled(candidate.state)) && !last_hope
    }

    /// The nodes nearest to the target that answered, nearest first, with their distances.
    pub(crate) fn answerers(&self) -> impl Iterator<Item = (Distance, &Node)> {
        let answered = |candidate: &Candidate| candidate.state == State::Answered;
        let all = self.candidates.iter().filter(move |(_, candidate)| answered(candidate));
        all.map(|(distance, candidate)| (*distance, &candidate.node))
    }

    /// Everybody heard of who is not known to be gone, nearest first.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (Distance, &Node)> {
        let there = |candidate: &Candidate| {
            matches!(candidate.state, State::Waiting | State::Asked { .. } | State::Answered)
        };
        let all = self.candidates.iter().filter(move |(_, candidate)| there(candidate));
        all.map(|(distance, candidate)| (*distance, &candidate.node))
    }

    /// Those who have not answered in time and may yet, nearest first.
    pub(crate) fn late(&self) -> impl Iterator<Item = (Distance, &Node)> {
        let late = self.candidates.iter().filter(|(_, candidate)| candidate.state == State::Late);
        late.map(|(distance, candidate)| (*distance, &candidate.node))
    }

    fn hear(&mut self, node: Node, depth: u8, teller: Option<PeerId>, doubtful: bool) {
        let position = Position::of_peer(&node.peer);
        if self.avoids.is_some_and(|(place, bits)| place.shared_bits(position) >= bits) {
            return;
        }
        let distance = self.target.distance(position);
        if let Some(known) = self.candidates.get_mut(&distance) {
            known.depth = known.depth.min(depth);
            if known.teller != teller {
                known.teller = None;
            }
            return;
        }
        if self.candidates.len() >= MAX_CANDIDATES {
            let farthest = self.candidates.last_key_value().map(|(farthest, last)| (*farthest, last.state));
            match farthest {
                Some((farthest, State::Waiting | State::Doubtful)) if distance < farthest => {
                    self.candidates.remove(&farthest);
                }
                _ => return,
            }
        }
        let distrusted = teller.is_some_and(|teller| self.is_liar(&teller));
        let state = if doubtful || distrusted { State::Doubtful } else { State::Waiting };
        self.candidates.insert(distance, Candidate { node, state, depth, teller });
    }

    /// Nodes that matter now: the nearest that answer or may answer in time.
    fn frontier(&self) -> impl Iterator<Item = (&Distance, &Candidate)> {
        self.nearest(self.wants)
    }

    /// As many of those that answer or may answer in time.
    fn nearest(&self, count: usize) -> impl Iterator<Item = (&Distance, &Candidate)> {
        let there = |candidate: &Candidate| {
            matches!(candidate.state, State::Waiting | State::Asked { .. } | State::Answered)
        };
        self.candidates.iter().filter(move |(_, candidate)| there(candidate)).take(count)
    }

    /// How near the nearest few are. An answer that shortens this brings the walk on.
    fn reach(&self) -> Distance {
        let few = self.frontier().take(FEW).last();
        few.map_or(Distance::FARTHEST, |(distance, _)| *distance)
    }

    /// The next node that is asked wherever it is. One that is not connected any more is a node like all others.
    fn next_guide(&mut self, may_ask: impl Fn(&PeerId) -> bool) -> Option<Distance> {
        loop {
            let guide = self.guides.pop()?;
            let waits = |known: &Candidate| known.state == State::Waiting && may_ask(&known.node.peer);
            if self.candidates.get(&guide).is_some_and(waits) {
                return Some(guide);
            }
        }
    }

    /// The nearest node that matters and was not asked yet, if another question may be open.
    fn next_of_frontier(&self, may_ask: impl Fn(&PeerId) -> bool) -> Option<Distance> {
        let is_asked = |candidate: &Candidate| matches!(candidate.state, State::Asked { .. });
        let all = self.candidates.values().filter(|candidate| is_asked(candidate)).count();
        // A question to a node that does not matter any more must not hold up those that do.
        let open = self.frontier().filter(|(_, candidate)| is_asked(candidate)).count();
        let is_slow = |candidate: &Candidate| matches!(candidate.state, State::Asked { slow: None, .. });
        let slow = self.frontier().filter(|(_, candidate)| is_slow(candidate)).count();
        if open >= self.breadth() + slow || all >= MANY {
            return None;
        }
        // Many of those that are slow will be late: whoever takes their places is asked meanwhile. Otherwise the end of a
        // walk would wait for one dead node after the other, for each is asked only when its predecessor is given up.
        let mut waiting = self
            .nearest(self.wants + slow)
            .filter(|(_, candidate)| candidate.state == State::Waiting)
            .peekable();
        if waiting.peek().is_some() {
            let next = waiting.find(|(_, candidate)| may_ask(&candidate.node.peer));
            return next.map(|(distance, _)| *distance);
        }
        // With everybody else gone, those that seem dead are tried after all.
        let is_alone = self.effort.answers == 0 && all == 0;
        let is_hope = |candidate: &Candidate| {
            is_alone && candidate.state == State::Doubtful && may_ask(&candidate.node.peer)
        };
        self.candidates.iter().find(|(_, candidate)| is_hope(candidate)).map(|(distance, _)| *distance)
    }

    /// How many questions may be open: few while the answers lead closer, many when they do not, or are late.
    fn breadth(&self) -> usize {
        let late = self.candidates.values().filter(|candidate| candidate.state == State::Late).count();
        (FEW + 2 * self.stale + late).min(MANY)
    }

    /// Notes that a referral of `teller` led nowhere, and believes no other of a node that gave only such.
    fn blame(&mut self, teller: Option<PeerId>) {
        let Some(peer) = teller else { return };
        let known = self.tellers.entry(peer).or_default();
        known.dead = known.dead.saturating_add(1);
        if !self.is_liar(&peer) {
            return;
        }
        for candidate in self.candidates.values_mut() {
            if candidate.teller == Some(peer) && candidate.state == State::Waiting {
                candidate.state = State::Doubtful;
            }
        }
    }

    fn is_liar(&self, teller: &PeerId) -> bool {
        self.tellers.get(teller).is_some_and(|known| known.live == 0 && known.dead >= MAX_DEAD_REFERRALS)
    }
}

#[cfg(test)]
mod tests;
