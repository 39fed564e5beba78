//! What a search has found so far, and what of it is news.
//!
//! Pure.

use std::{
    collections::{BTreeMap, HashMap},
    task::Poll,
    time::Instant,
};

use libp2p::{Multiaddr, PeerId};

use super::{Found, Spent};
use crate::{
    hint::Unreached,
    seek::{Holder, Round},
};

/// Holders remembered. A get cannot use more of them, and they are what peers say they are.
pub(super) const MAX_HOLDERS: usize = 128;

/// Peers remembered of whom an answer is awaited: as many as one round of a search asks. Those who invent holders could
/// otherwise name others in every round of a get that waits for days.
pub(super) const MAX_UNANSWERED: usize = 256;

/// All of it, as those who listen share it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Who may well have it, and where. The search makes few guesses.
    pub(super) guesses: Vec<(PeerId, Vec<Multiaddr>)>,
    /// Each as it was found last, in the order of that.
    pub(super) holders: BTreeMap<u64, Holder>,
    /// How often any was found.
    found: u64,
    pub(super) rounds: usize,
    pub(super) last_round: Round,
    /// Who is said to have it and has not answered, since when.
    pub(super) unanswered: HashMap<PeerId, Instant>,
    pub(super) unreached: Vec<Unreached>,
}

/// How far one who listens has come.
#[derive(Debug, Default)]
pub(super) struct Heard {
    guesses: usize,
    holders: u64,
    /// The round since which all holders are spent. It outlives the telling of one that is found again in every round.
    useless_since: Option<usize>,
}

impl Seen {
    pub(super) fn add(&mut self, holder: Holder) {
        // One with news every second must not crowd out those who hold all.
        self.holders.retain(|_, known| known.peer != holder.peer);
        self.holders.insert(self.found, holder);
        self.found += 1;
        if self.holders.len() > MAX_HOLDERS {
            // Who holds all of a directory has no news, and is worth more than who fetches it.
            let first = self.holders.iter().find(|(_, holder)| holder.fetches());
            let first = first.or(self.holders.first_key_value()).map(|(at, _)| *at);
            first.and_then(|at| self.holders.remove(&at));
        }
    }

    /// Notes that somebody who is said to have it is asked.
    pub(super) fn asking(&mut self, peer: PeerId, now: Instant) {
        if self.unanswered.len() < MAX_UNANSWERED {
            self.unanswered.entry(peer).or_insert(now);
        }
    }

    /// The first that was found at this place or later, and the place after it.
    fn next(&self, from: u64) -> Option<(u64, &Holder)> {
        self.holders.range(from..).next().map(|(at, holder)| (at + 1, holder))
    }

    fn holds(&self, peer: &PeerId) -> bool {
        self.holders.values().any(|holder| holder.peer == *peer)
    }

    /// A whole round went by and nobody has it.
    pub(super) fn hopeless(&self) -> bool {
        self.holders.is_empty() && self.rounds > 0
    }

    /// What one who has heard so much is to be told next, to whom those who are spent are of no use: pending while there is
    /// nothing new, and none after a whole round that found nobody, or nobody but those.
    pub(super) fn tell(&self, heard: &mut Heard, spent: &Spent) -> Poll<Option<Found>> {
        let mut guesses = self.guesses.iter().enumerate().skip(heard.guesses);
        if let Some((at, (peer, addresses))) = guesses.find(|(_, (peer, _))| !self.holds(peer)) {
            heard.guesses = at + 1;
            return Poll::Ready(Some(Found::Guess { peer: *peer, addresses: addresses.clone() }));
        }
        if let Some((next, holder)) = self.next(heard.holders) {
            heard.holders = next;
            return Poll::Ready(Some(Found::Holder(holder.clone())));
        }
        let is_useless = !self.holders.is_empty() && spent.are_all(&self.holders);
        if !is_useless {
            heard.useless_since = None;
        } else if *heard.useless_since.get_or_insert(self.rounds) < self.rounds {
            return Poll::Ready(None);
        }
        if self.hopeless() { Poll::Ready(None) } else { Poll::Pending }
    }
}
