//! What may be spent at once, and is earned again with time.

use std::time::Instant;

/// One purse.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: usize,
    most: usize,
    per_second: usize,
    since: Instant,
}

impl Allowance {
    /// A full one.
    pub(crate) fn new(most: usize, per_second: usize, now: Instant) -> Self {
        Self { left: most, most, per_second, since: now }
    }

    /// Whether `amount` is left.
    pub(crate) fn covers(&mut self, amount: usize, now: Instant) -> bool {
        self.earn(now);
        amount <= self.left
    }

    /// Takes `amount` out; false when that is more than is left.
    pub(crate) fn spend(&mut self, amount: usize, now: Instant) -> bool {
        let covers = self.covers(amount, now);
        if covers {
            self.left -= amount;
        }
        covers
    }

    fn earn(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            let earned = usize::try_from(seconds).unwrap_or(usize::MAX).saturating_mul(self.per_second);
            self.left = self.left.saturating_add(earned).min(self.most);
            self.since = now;
        }
    }
}
