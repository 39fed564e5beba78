//! Decides whom to ask again while a get runs, and when: what others hold grows as they fetch it themselves.
//!
//! Pure: `now` is an argument.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use shoal_content::GroupRanges;
use shoal_transfer::have::Holding;

use super::{Candidate, Via};

#[cfg(test)]
mod tests;

/// Peers asked again. More than a fetch asks for content would be questions for nothing.
const MAX_WATCHED: usize = 64;

/// How soon somebody is asked again from whom there was something new, where there are many: an answer names all the
/// pieces that a peer holds, and to hear the same of each in turn takes from the uplinks what they are to carry.
const SOON: Duration = Duration::from_secs(1);

/// How soon where there are few. Those who begin at the same time do not know of each other until they ask again, and a
/// short content is over by then.
const SOONEST: Duration = Duration::from_millis(125);

/// Time for each question, so that many are asked as often in all as few.
const A_QUESTION: Duration = Duration::from_millis(31);

/// How soon somebody is asked again at the latest; every answer without news doubles the pause.
const LATE: Duration = Duration::from_secs(16);

/// The longest pause for those who fetch a directory, in times of the shortest. They have no news until they have a whole
/// file, and others wait for each.
const MOST_OF_SOON: u32 = 4;

/// Questions in a row that may bring no holding. A round of the search finds again who comes back later.
const MAX_IN_VAIN: u32 = 4;

/// Whom to ask again.
#[derive(Debug, Default)]
pub(super) struct Watch(HashMap<PeerId, Watched>);

#[derive(Debug)]
struct Watched {
    addresses: Vec<Multiaddr>,
    via: Via,
    /// None while it is being asked.
    due: Option<Instant>,
    pause: Duration,
    /// Groups that it held, and files if it is a directory.
    held: (u64, Option<u64>),
    in_vain: u32,
}

impl Watch {
    /// A peer was introduced as one that holds some; it is asked at once, unless it is known. True if it is new.
    pub(super) fn introduced(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, now: Instant) -> bool {
        let is_new = self.0.len() < MAX_WATCHED && !self.0.contains_key(&peer);
        if is_new {
            let soon = self.soon();
            self.0.insert(peer, Watched::new(addresses, Via::Introduced, soon, now));
        }
        is_new
    }

    /// The search found a holder, and so it was asked just now.
    pub(super) fn found(&mut self, candidate: &Candidate, holding: &Holding, now: Instant) {
        if self.0.len() < MAX_WATCHED || self.0.contains_key(&candidate.peer) {
            let watched = Watched::new(candidate.addresses.clone(), candidate.via, self.soon(), now);
            self.0.entry(candidate.peer).or_insert(watched);
            self.answered(candidate.peer, Some(holding), false, now);
        }
    }

    /// A peer answered; `introduces` says whether it named anybody new. True if it holds what it did not hold before.
    pub(super) fn answered(
        &mut self,
        peer: PeerId,
        holding: Option<&Holding>,
        introduces: bool,
        now: Instant,
    ) -> bool {
        let soon = self.soon();
        let Some(watched) = self.0.get_mut(&peer) else { return false };
        let Some(holding) = holding else {
            self.in_vain(peer, now);
            return false;
        };
        watched.in_vain = 0;
        let held = (holding.ranges.len(), holding.files.as_ref().map(GroupRanges::len));
        let has_more = held != watched.held;
        watched.held = held;
        watched.again(has_more || introduces, soon, now);
        has_more
    }

    /// A peer did not answer, or holds nothing.
    pub(super) fn in_vain(&mut self, peer: PeerId, now: Instant) {
        let soon = self.soon();
        let Some(watched) = self.0.get_mut(&peer) else { return };
        watched.in_vain += 1;
        if watched.in_vain >= MAX_IN_VAIN {
            self.0.remove(&peer);
        } else {
            // Who has nothing yet may have some in a moment, and is not forgotten sooner where few are asked.
            watched.pause = watched.pause.max(SOON / 2);
            watched.again(false, soon, now);
        }
    }

    /// Whom to ask now. Every candidate is to be reported as answered or asked in vain.
    pub(super) fn next(&mut self, now: Instant) -> Option<Candidate> {
        let due = |watched: &Watched| watched.due.is_some_and(|due| due <= now);
        let (peer, watched) = self.0.iter_mut().find(|(_, watched)| due(watched))?;
        watched.due = None;
        Some(Candidate { peer: *peer, addresses: watched.addresses.clone(), via: watched.via })
    }

    /// How soon somebody with news is asked again.
    fn soon(&self) -> Duration {
        let watched = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        A_QUESTION.saturating_mul(watched).clamp(SOONEST, SOON)
    }

    /// When somebody is to be asked.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().filter_map(|watched| watched.due).min()
    }
}

impl Watched {
    fn new(addresses: Vec<Multiaddr>, via: Via, soon: Duration, now: Instant) -> Self {
        Watched { addresses, via, due: Some(now), pause: soon, held: (0, None), in_vain: 0 }
    }

    /// It is asked again `soon`, if there was something new.
    fn again(&mut self, has_news: bool, soon: Duration, now: Instant) {
        let fetches = self.held.1.is_some();
        let most = if fetches { soon.saturating_mul(MOST_OF_SOON) } else { LATE };
        self.pause = if has_news { soon } else { (self.pause * 2).min(most) };
        self.due = Some(now + self.pause);
    }
}
