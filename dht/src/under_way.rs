//! Counts the dials under way, so that an overlay begins no more of them than its node makes at once.
//!
//! Beyond a limit a node refuses its own dials, or lets them wait for so long that nobody waits for their end any more. A
//! walk that took those for dead nodes would end far from where it goes, and what it finds there would be told to the
//! wrong ones.
//!
//! Owns: who is being dialled.  Hears: dials begun, ended and refused by our own limits.  Tells: whether there is room for
//! one more.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// How long nothing is dialled after our own limits refused it: connections end, and dials too.
const PAUSE: Duration = Duration::from_millis(500);

/// What somebody is dialled for; what nobody waits for leaves room for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A lookup, which our user waits for.
    Lookup,
    /// To look around, or to announce.
    Upkeep,
    /// It will probably be told something soon.
    Ahead,
}

/// The dials of the whole node.
#[derive(Debug)]
pub(crate) struct UnderWay {
    most: usize,
    most_connections: usize,
    peers: HashSet<PeerId>,
    /// Those that our own limits refused a moment ago.
    refused: HashSet<PeerId>,
    /// Nothing is dialled before this.
    pause: Option<Instant>,
}

impl UnderWay {
    /// At most so many dials at once, and none for upkeep when there are so many connections.
    pub(crate) fn new(most: usize, most_connections: usize) -> Self {
        Self { most, most_connections, peers: HashSet::new(), refused: HashSet::new(), pause: None }
    }

    /// Whether one more may be begun, with so many connections open.
    pub(crate) fn has_room(&self, need: Need, connections: usize) -> bool {
        let most = match need {
            Need::Lookup => self.most,
            Need::Upkeep => self.most * 2 / 3,
            Need::Ahead => self.most / 2,
        };
        let is_full = need != Need::Lookup && connections + self.peers.len() >= self.most_connections;
        self.pause.is_none() && self.peers.len() < most.max(1) && !is_full
    }

    pub(crate) fn begun(&mut self, peer: PeerId) {
        self.refused.remove(&peer);
        self.peers.insert(peer);
    }

    pub(crate) fn ended(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// Notes that our own limits refused a dial.
    pub(crate) fn refused(&mut self, peer: PeerId, now: Instant) {
        self.peers.remove(&peer);
        self.refused.insert(peer);
        self.pause = Some(now + PAUSE);
    }

    /// Whether it is our own limits that kept us from dialling a peer just now.
    pub(crate) fn was_refused(&self, peer: &PeerId) -> bool {
        self.refused.contains(peer)
    }

    /// Notes that all have heard who was refused.
    pub(crate) fn forget_refused(&mut self) {
        self.refused.clear();
    }

    /// When a pause ends.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.pause
    }

    /// Notes that time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.pause = self.pause.filter(|until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_leaves_room_for_lookups() {
        let mut dials = UnderWay::new(12, 100);
        let room = |dials: &UnderWay, connections| {
            [Need::Lookup, Need::Upkeep, Need::Ahead].map(|need| dials.has_room(need, connections))
        };
        let peers: Vec<_> = (0..12).map(|_| PeerId::random()).collect();
        let mut counts = [0; 3];
        for peer in &peers {
            for (count, has_room) in counts.iter_mut().zip(room(&dials, 0)) {
                *count += usize::from(has_room);
            }
            dials.begun(*peer);
        }
        assert_eq!(counts, [12, 8, 6]);
        assert_eq!(room(&dials, 0), [false; 3]);
        peers.iter().for_each(|peer| dials.ended(peer));
        assert_eq!(room(&dials, 99), [true; 3]);
        assert_eq!(room(&dials, 100), [true, false, false]);
    }

    #[test]
    fn after_a_refusal_of_our_own_nothing_is_dialled_for_a_moment() {
        let (mut dials, peer, now) = (UnderWay::new(12, 100), PeerId::random(), Instant::now());
        dials.begun(peer);
        dials.refused(peer, now);
        assert!(dials.was_refused(&peer) && !dials.has_room(Need::Lookup, 0));
        dials.forget_refused();
        assert!(!dials.was_refused(&peer));
        let end = dials.next_due().expect("an end");
        dials.tick(end - Duration::from_millis(1));
        assert!(!dials.has_room(Need::Lookup, 0));
        dials.tick(end);
        assert!(dials.has_room(Need::Lookup, 0) && dials.next_due().is_none());
    }
}
