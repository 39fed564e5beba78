//! How much everybody may still announce and ask.
//!
//! Owns: a purse for each sender, that is for each block of the internet, machine of the local network, or peer on this
//! one.  Hears: messages, keys, questions.  Tells: whether it may.
//! Invariant: whoever connects again, or many times at once, or as many peers, has the purse that it had.

use std::collections::HashMap;
use std::time::Instant;

use crate::allowance::Allowance;
use crate::record_store::Sender;

/// Keys that one sender may announce at once: as many as a store takes, and again when the network has
/// grown. More is of no use, and work for the task that runs the swarm.
const KEYS_AT_ONCE: usize = 256 * 1024;

/// Keys that one sender may announce per second for long: whoever never stops must not keep that task busy.
const KEYS_PER_SECOND: usize = 4096;

/// Announcements that one sender may send at once: a whole store in full messages, and as much again in
/// withdrawals, with room to spare.
const MESSAGES_AT_ONCE: usize = 256;

/// Announcements that one sender may send per second for long. Even one that is refused costs a signature
/// check and an answer, so keys alone are not what is to be counted.
const MESSAGES_PER_SECOND: usize = 10;

/// Questions that one sender may ask at once, and per second for long. One lookup asks one question of a
/// node; whoever looks up hundreds of things a second is not served by one node.
const QUESTIONS_AT_ONCE: usize = 1024;
const QUESTIONS_PER_SECOND: usize = 128;

/// Senders whose purses are kept. The one that was silent for longest is forgotten for a new one: who owns as many
/// blocks of addresses has as many purses anyway.
const MAX_SENDERS: usize = 4096;

/// What everybody has left.
#[derive(Debug, Default)]
pub(super) struct Purses {
    of: HashMap<Sender, Purse>,
}

#[derive(Debug)]
struct Purse {
    keys: Allowance,
    messages: Allowance,
    questions: Allowance,
    used: Instant,
}

impl Purses {
    /// Takes one announcement out of what a sender may send, withdrawals included; false when none is left.
    pub(super) fn may_send(&mut self, sender: Sender, now: Instant) -> bool {
        self.purse(sender, now).messages.spend(1, now)
    }

    /// Takes `keys` out of what a sender may announce; false when that is more than is left.
    pub(super) fn may_announce(&mut self, sender: Sender, keys: usize, now: Instant) -> bool {
        self.purse(sender, now).keys.spend(keys, now)
    }

    /// Takes one question out of what a sender may ask; false when none is left.
    pub(super) fn may_ask(&mut self, sender: Sender, now: Instant) -> bool {
        self.purse(sender, now).questions.spend(1, now)
    }

    fn purse(&mut self, sender: Sender, now: Instant) -> &mut Purse {
        if self.of.len() >= MAX_SENDERS && !self.of.contains_key(&sender) {
            let silent = self.of.iter().min_by_key(|(_, purse)| purse.used).map(|(sender, _)| *sender);
            silent.and_then(|silent| self.of.remove(&silent));
        }
        let purse = self.of.entry(sender).or_insert_with(|| Purse {
            keys: Allowance::new(KEYS_AT_ONCE, KEYS_PER_SECOND, now),
            messages: Allowance::new(MESSAGES_AT_ONCE, MESSAGES_PER_SECOND, now),
            questions: Allowance::new(QUESTIONS_AT_ONCE, QUESTIONS_PER_SECOND, now),
            used: now,
        });
        purse.used = now;
        purse
    }
}

#[cfg(test)]
mod tests;
