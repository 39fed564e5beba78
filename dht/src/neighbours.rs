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

/// Neighbours heard, and those not told yet.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    known: HashMap<PeerId, Vec<Multiaddr>>,
    waiting: VecDeque<PeerId>,
    second: Option<Instant>,
    told: u32,
}

impl Neighbours {
    /// Notes that a neighbour said where it is.
    pub(crate) fn heard(&mut self, peer: PeerId, address: &Multiaddr) {
        let Some(address) = usable(address) else { return };
        if self.known.len() >= MAX_KNOWN && !self.known.contains_key(&peer) {
            return;
        }
        let known = self.known.entry(peer).or_default();
        if known.len() < MAX_ADDRESSES && !known.contains(&address) {
            known.push(address);
            if !self.waiting.contains(&peer) {
                self.waiting.push_back(peer);
            }
        }
    }

    /// Notes that a neighbour has not said so for a while.
    pub(crate) fn expired(&mut self, peer: &PeerId, address: &Multiaddr) {
        let Some(address) = usable(address) else { return };
        if let Some(known) = self.known.get_mut(peer) {
            known.retain(|other| *other != address);
            if known.is_empty() {
                self.known.remove(peer);
            }
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
            if let Some(addresses) = self.known.get(&peer) {
                self.told += 1;
                return Some((peer, addresses.clone()));
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
