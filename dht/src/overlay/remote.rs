//! The other end of a connection: how close it is, and how much it may still announce.

use std::time::Instant;

use crate::scope::AddressClass;

/// Keys that one connection may announce at once: as many as a store takes, and again when the network has
/// grown. More is of no use, and work for the task that runs the swarm.
const KEYS_AT_ONCE: usize = 256 * 1024;

/// Keys that one connection may announce per second for long: a peer that never stops must not keep that
/// task busy.
const KEYS_PER_SECOND: usize = 4096;

/// One connection's other end.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) class: AddressClass,
    keys_left: usize,
    since: Instant,
}

impl Remote {
    pub(super) fn new(class: AddressClass, now: Instant) -> Self {
        Self { class, keys_left: KEYS_AT_ONCE, since: now }
    }

    /// Takes `keys` out of what it may announce; false when that is more than is left.
    pub(super) fn spend(&mut self, keys: usize, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            let earned = usize::try_from(seconds).unwrap_or(usize::MAX).saturating_mul(KEYS_PER_SECOND);
            self.keys_left = self.keys_left.saturating_add(earned).min(KEYS_AT_ONCE);
            self.since = now;
        }
        match self.keys_left.checked_sub(keys) {
            Some(left) => {
                self.keys_left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
