//! Takes what multicast DNS hears with care: anybody on the network can say anything, as often as they like.

pub(crate) mod ears;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::scope::{AddressClass, MAX_ADDRESSES, Scope};

/// Neighbours remembered, so that each is told once. A flood of invented ones must not fill memory.
const MAX_KNOWN: usize = 256;

/// Neighbours told per second: each is a dial.
const PER_SECOND: u32 = 8;

/// How soon a neighbour is told again that was not met: it may just have started, and a dial may be lost.
const AGAIN: Duration = Duration::from_secs(15);

/// How soon at the latest; the pause doubles. What is invented is dialled for as long as somebody says it.
const LATEST_AGAIN: Duration = Duration::from_secs(10 * 60);

/// Neighbours heard, and those not told yet.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    known: HashMap<PeerId, Known>,
    waiting: VecDeque<PeerId>,
    second: Option<Instant>,
    told: u32,
}

/// What is known of a neighbour.
#[derive(Debug)]
struct Known {
    addresses: Vec<Multiaddr>,
    /// When it is told again; none before it is told, and once it was met.
    again: Option<Instant>,
    pause: Duration,
}

impl Neighbours {
    /// Notes that a neighbour said where it is.
    pub(crate) fn heard(&mut self, peer: PeerId, address: &Multiaddr) {
        let Some(address) = usable(address) else { return };
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&peer) {
            return;
        }
        let new = || Known { addresses: Vec::new(), again: None, pause: AGAIN };
        let addresses = &mut self.known.entry(peer).or_insert_with(new).addresses;
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
            if !self.waiting.contains(&peer) {
                self.waiting.push_back(peer);
            }
        }
    }

    /// Notes that a neighbour has not said so for a while.
    pub(crate) fn expired(&mut self, peer: &PeerId, address: &Multiaddr) {
        let Some(address) = usable(address) else { return };
        if let Some(known) = self.known.get_mut(peer) {
            known.addresses.retain(|other| *other != address);
            if known.addresses.is_empty() {
                self.known.remove(peer);
            }
        }
    }

    /// Notes that a peer is connected. Whoever belongs to the network is in a table from then on.
    pub(crate) fn met(&mut self, peer: &PeerId) {
        if let Some(known) = self.known.get_mut(peer) {
            known.again = None;
        }
    }

    /// Notes that time has passed: when there is no news, those are told again that were not met.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.waiting.is_empty() {
            let is_due = |known: &Known| known.again.is_some_and(|again| again <= now);
            let due = self.known.iter().filter(|(_, known)| is_due(known)).map(|(peer, _)| *peer);
            self.waiting.extend(due);
        }
    }

    /// Forgets everybody: so many spoke that most of them are invented, and none was told to be gone.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
        self.waiting.clear();
    }

    /// The next neighbour to tell, if one may be told now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(PeerId, Vec<Multiaddr>)> {
        let is_new_second =
            self.second.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1));
        if is_new_second {
            self.second = Some(now);
            self.told = 0;
        }
        while self.told < PER_SECOND {
            let peer = self.waiting.pop_front()?;
            if let Some(known) = self.known.get_mut(&peer) {
                self.told += 1;
                known.again = Some(now + known.pause);
                known.pause = (known.pause * 2).min(LATEST_AGAIN);
                return Some((peer, known.addresses.clone()));
            }
        }
        None
    }
}

/// The bare address of a neighbour. On some networks neighbours have global ones.
fn usable(address: &Multiaddr) -> Option<Multiaddr> {
    [Scope::Lan, Scope::Wan].iter().find_map(|scope| scope.usable([address], AddressClass::Private).pop())
}

#[cfg(test)]
mod tests;
