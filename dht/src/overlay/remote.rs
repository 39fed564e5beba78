//! The other end of a connection: how close it is, and how much it may still announce.

use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::{Multiaddr, PeerId};

use crate::allowance::Allowance;
use crate::record_store::Sender;
use crate::scope::AddressClass;

/// Keys that one connection may announce at once: as many as a store takes, and again when the network has
/// grown. More is of no use, and work for the task that runs the swarm.
const KEYS_AT_ONCE: usize = 256 * 1024;

/// Keys that one connection may announce per second for long: a peer that never stops must not keep that
/// task busy.
const KEYS_PER_SECOND: usize = 4096;

/// Announcements that one connection may send at once: a whole store in full messages, and as much again in
/// withdrawals, with room to spare.
const MESSAGES_AT_ONCE: usize = 256;

/// Announcements that one connection may send per second for long. Even one that is refused costs a signature
/// check and an answer, so keys alone are not what is to be counted.
const MESSAGES_PER_SECOND: usize = 10;

/// Questions that one connection may ask at once, and per second for long. One lookup asks one question of a
/// node; whoever looks up hundreds of things a second is not served by one node.
const QUESTIONS_AT_ONCE: usize = 1024;
const QUESTIONS_PER_SECOND: usize = 128;

/// One connection's other end.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) class: AddressClass,
    /// Whom we dialled, and where; none when they dialled us.
    pub(super) dialled: Option<(PeerId, Multiaddr)>,
    /// Whose share its records take.
    pub(super) sender: Sender,
    keys: Allowance,
    messages: Allowance,
    questions: Allowance,
}

impl Remote {
    pub(super) fn new(peer: PeerId, address: &Multiaddr, way: Endpoint, now: Instant) -> Self {
        Self {
            class: AddressClass::of(address),
            dialled: way.is_dialer().then(|| (peer, address.clone())),
            sender: Sender::of(peer, address),
            keys: Allowance::new(KEYS_AT_ONCE, KEYS_PER_SECOND, now),
            messages: Allowance::new(MESSAGES_AT_ONCE, MESSAGES_PER_SECOND, now),
            questions: Allowance::new(QUESTIONS_AT_ONCE, QUESTIONS_PER_SECOND, now),
        }
    }

    /// Takes one announcement out of what it may send, withdrawals included; false when none is left.
    pub(super) fn may_send(&mut self, now: Instant) -> bool {
        self.messages.spend(1, now)
    }

    /// Takes `keys` out of what it may announce; false when that is more than is left.
    pub(super) fn may_announce(&mut self, keys: usize, now: Instant) -> bool {
        self.keys.spend(keys, now)
    }

    /// Takes one question out of what it may ask; false when none is left.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        self.questions.spend(1, now)
    }
}

#[cfg(test)]
mod tests;
