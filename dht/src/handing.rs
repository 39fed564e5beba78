//! Passes records on to newcomers that are near their keys, so that what they announce stays found while nodes come
//! and go.
//!
//! Owns: newcomers that wait for their turn, and what each is still to be sent.
//! Hears: who joined, what the records have for it, answers, the time.  Tells: what to send to whom.
//! Invariant: however many join and however much we hold, no more is sent than one purse of messages and one of
//! bytes allow; and a newcomer costs no more than [`MAX_MESSAGES`] and [`MAX_BYTES`].
//!
//! Only the few holders nearest to a key pass its record on: the newcomer needs it once, and a second time in case
//! the first of them is gone. Whoever passed a record on passes its withdrawal on too, because the provider does not
//! know who else has it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::PeerId;

use crate::allowance::Allowance;
use crate::position::{Node, Place};
use crate::record_store::{Handable, Name};
use crate::search::HOLDERS;

/// How many of the nodes nearest to a key hand its records on. One alone may have died a moment ago.
const HANDERS: usize = 3;

/// Nodes nearer to a key than ourselves beyond which we do not take its records from strangers: those that a
/// provider tells, and some more, for nobody knows all of its neighbours.
const NEAR: usize = HOLDERS + HOLDERS / 2;

/// How long a newcomer is left alone. Many leave at once; and until it has met its neighbourhood it cannot tell
/// what is near to it.
const DELAY: Duration = Duration::from_secs(3);

/// Newcomers that wait. When a whole network starts at once there is nothing to hand on yet, and whoever finds no
/// room is served by others, or when records are renewed.
const MAX_NEWCOMERS: usize = 64;

/// Newcomers served at once.
const MAX_HANDOUTS: usize = 4;

/// Announcements sent to one newcomer: half of what it takes of one sender at once.
const MAX_MESSAGES: usize = 128;

/// Bytes sent to one newcomer: identities cost nothing, and with any number of them one could make us send for ever.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Bytes sent to all newcomers per second for long, and at once, which is more than the longest announcement.
const BYTES_PER_SECOND: usize = 256 * 1024;
const BYTES_AT_ONCE: usize = 1024 * 1024;

/// Seconds' worth of messages that may be sent at once.
const BURST: usize = 4;

/// Newcomers remembered as served, so that one that comes and goes is sent only what is new to it.
const MAX_SERVED: usize = 1024;

/// Announcements remembered with one whom each was handed to. What is forgotten and then withdrawn stays with those who
/// were handed it, until it expires.
const MAX_HANDED: usize = 1024;

/// Peers to whom withdrawals are to be passed on. A provider that takes everything back at once could otherwise make us
/// keep a message for each of them.
const MAX_TAKING_BACK: usize = 64;

/// Who waits, and what is on its way.
#[derive(Debug)]
pub(crate) struct Handing {
    newcomers: VecDeque<Newcomer>,
    handouts: VecDeque<Handout>,
    served: HashMap<PeerId, Instant>,
    /// The served, the oldest first.
    order: VecDeque<PeerId>,
    /// What was handed to whom, the oldest first.
    handed: VecDeque<(Name, PeerId)>,
    messages: Allowance,
    bytes: Allowance,
}

/// A node that has just entered our table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newcomer {
    pub(crate) node: Node,
    joined: Instant,
    /// It was served then already.
    served: Option<Instant>,
}

impl Newcomer {
    /// Whether what came at some moment is new to it: what is announced once it is known, its provider tells it itself.
    pub(crate) fn lacks(&self, came: Instant) -> bool {
        came <= self.joined && self.served.is_none_or(|served| came > served)
    }
}

/// What a newcomer is still to be sent, one after the other.
#[derive(Debug)]
struct Handout {
    node: Node,
    messages: VecDeque<Arc<[u8]>>,
    is_open: bool,
}

impl Handing {
    /// Hands on so many messages per second for long; none with 0.
    pub(crate) fn new(per_second: usize, now: Instant) -> Self {
        Self {
            newcomers: VecDeque::new(),
            handouts: VecDeque::new(),
            served: HashMap::new(),
            order: VecDeque::new(),
            handed: VecDeque::new(),
            messages: Allowance::new(per_second.saturating_mul(BURST), per_second, now),
            bytes: Allowance::new(BYTES_AT_ONCE, BYTES_PER_SECOND, now),
        }
    }

    /// Notes that a node has entered our table.
    pub(crate) fn joined(&mut self, node: Node, now: Instant) {
        let is_known = self.newcomers.iter().any(|known| known.node.peer == node.peer)
            || self.handouts.iter().any(|known| known.node.peer == node.peer);
        if !is_known && self.newcomers.len() < MAX_NEWCOMERS {
            let served = self.served.get(&node.peer).copied();
            self.newcomers.push_back(Newcomer { node, joined: now, served });
        }
    }

    /// The next newcomer to look through the records for, if it is time.
    pub(crate) fn next_newcomer(&mut self, now: Instant) -> Option<Newcomer> {
        if self.handouts.len() >= MAX_HANDOUTS || self.newcomers.front()?.joined + DELAY > now {
            return None;
        }
        self.newcomers.pop_front()
    }

    /// Notes what there is for a newcomer. What brings it most for its bytes goes first.
    pub(crate) fn hand(&mut self, node: Node, mut found: Vec<Handable>, now: Instant) {
        self.note_served(node.peer, now);
        found.sort_by_key(|handable| (handable.bytes.len() / handable.keys.max(1), handable.nearest));
        let mut room = MAX_BYTES;
        let fitting = found.into_iter().take(MAX_MESSAGES).map_while(|handable| {
            room = room.checked_sub(handable.bytes.len())?;
            Some((handable.name, handable.bytes))
        });
        let (names, messages): (Vec<_>, VecDeque<_>) = fitting.unzip();
        self.handed.extend(names.into_iter().map(|name| (name, node.peer)));
        self.handed.drain(..self.handed.len().saturating_sub(MAX_HANDED));
        if !messages.is_empty() {
            self.handouts.push_back(Handout { node, messages, is_open: false });
        }
    }

    /// Whom any of these announcements was handed to.
    pub(crate) fn handed_to(&self, names: &BTreeSet<Name>) -> BTreeSet<PeerId> {
        self.handed.iter().filter(|(name, _)| names.contains(name)).map(|(_, peer)| *peer).collect()
    }

    /// Notes that a peer should hear that something which it was handed is withdrawn, after what is still on its way.
    pub(crate) fn take_back(&mut self, node: Node, withdrawal: &Arc<[u8]>) {
        let is_full = self.handouts.len() >= MAX_TAKING_BACK;
        let known = self.handouts.iter_mut().find(|handout| handout.node.peer == node.peer);
        match known {
            Some(handout) if handout.messages.len() < MAX_MESSAGES => {
                handout.messages.push_back(withdrawal.clone());
            }
            None if !is_full => {
                let messages = [withdrawal.clone()].into();
                self.handouts.push_back(Handout { node, messages, is_open: false });
            }
            _ => {}
        }
    }

    /// The next message to send, if one may be sent now. Each newcomer has one on its way at a time.
    pub(crate) fn next_message(&mut self, now: Instant) -> Option<(Node, Arc<[u8]>)> {
        let handout = self.handouts.iter_mut().find(|handout| !handout.is_open)?;
        let length = handout.messages.front()?.len();
        // Bytes that are wanting must not cost a message each time that they are asked for.
        if !self.bytes.covers(length, now) || !self.messages.spend(1, now) {
            return None;
        }
        self.bytes.spend(length, now);
        handout.is_open = true;
        Some((handout.node.clone(), handout.messages.pop_front()?))
    }

    /// Notes what became of the message on its way to `peer`. Whoever cannot be reached is not tried again.
    pub(crate) fn answered(&mut self, peer: &PeerId, arrived: bool) {
        for handout in self.handouts.iter_mut().filter(|handout| handout.node.peer == *peer) {
            handout.is_open = false;
            if !arrived {
                handout.messages.clear();
            }
        }
        self.handouts.retain(|handout| handout.is_open || !handout.messages.is_empty());
    }

    fn note_served(&mut self, peer: PeerId, now: Instant) {
        if self.served.insert(peer, now).is_some() {
            return;
        }
        self.order.push_back(peer);
        if self.order.len() > MAX_SERVED
            && let Some(oldest) = self.order.pop_front()
        {
            self.served.remove(&oldest);
        }
    }
}

/// Where our neighbours are, and we among them.
#[derive(Clone, Debug)]
pub(crate) struct Neighbourhood {
    ours: Place,
    others: Vec<Place>,
}

impl Neighbourhood {
    /// We are at `ours`, and `others` are the live nodes of our table.
    pub(crate) fn new(ours: Place, mut others: Vec<Place>) -> Self {
        // Those near to us are most probably near to what we hold.
        others.sort_unstable_by_key(|other| other.apart(ours));
        Self { ours, others }
    }

    /// Whether we should take a record from a stranger.
    pub(crate) fn is_ours(&self, key: Place) -> bool {
        self.nearer(key, self.ours, NEAR) < NEAR
    }

    /// How far a newcomer is from a key whose records we should hand to it. It is not among the others.
    pub(crate) fn hands(&self, key: Place, newcomer: Place) -> Option<u32> {
        let apart = newcomer.apart(key);
        let before = usize::from(self.ours.apart(key) < apart);
        let is_wanted = || before + self.nearer(key, newcomer, HOLDERS) < HOLDERS;
        (self.nearer(key, self.ours, HANDERS) < HANDERS && is_wanted()).then_some(apart)
    }

    /// How many of the others are nearer to a key than `to` is; counted up to `most`.
    fn nearer(&self, key: Place, to: Place, most: usize) -> usize {
        let apart = to.apart(key);
        self.others.iter().filter(|other| other.apart(key) < apart).take(most).count()
    }
}

#[cfg(test)]
mod tests;
