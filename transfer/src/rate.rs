//! Divides a rate of bytes among those who share it.
//!
//! Everybody waits in one queue. Whoever is at its head may move a small piece and then queues again at the end. So
//! all who have something to move get the same share, and what somebody does not use is left to the others.
//!
//! Pure: `now` is an argument. Exact over time: a piece that was let through late is made up for, and except for a
//! burst of [`BURST`] none is let through early.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// How much may pass at once after a pause, as time at the full rate. Without it every late timer would cost speed;
/// more of it would fill the queues of the link that the limit is to keep short.
const BURST: Duration = Duration::from_millis(50);

/// The pieces of all together take about this long, so that a turn comes soon even when many wait.
const ROUND: Duration = Duration::from_millis(20);

/// The smallest piece. Below it a piece costs more than it moves.
const MIN_PIECE: u64 = 256;

/// The largest piece: small against what a link carries in the time that anybody would notice.
const MAX_PIECE: u64 = 64 * 1024;

const NANOS: u128 = 1_000_000_000;

/// Bytes per second, as many as make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// The lowest rate. Below it, one group takes longer than a peer waits for it.
    pub const MIN: u64 = 1000;

    /// So many bytes per second, unless that is less than [`Rate::MIN`].
    pub fn per_second(bytes: u64) -> Option<Self> {
        NonZeroU64::new(bytes).filter(|bytes| bytes.get() >= Self::MIN).map(Self)
    }

    /// Bytes per second.
    pub fn bytes(self) -> u64 {
        self.0.get()
    }

    fn within(self, time: Duration) -> u128 {
        u128::from(self.bytes()).saturating_mul(time.as_nanos())
    }
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn(u128);

/// Counts what passes against what may. Amounts are in bytes times [`NANOS`].
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Option<Rate>,
    passed: u128,
    allowed: u128,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Option<Rate>, now: Instant) -> Self {
        Bucket { rate, passed: 0, allowed: 0, at: now }
    }

    /// Changes the rate; those who wait go on waiting for what is before them, at the new one.
    pub(crate) fn set_rate(&mut self, rate: Option<Rate>, now: Instant) {
        self.advance(now);
        self.rate = rate;
        self.at = now;
    }

    pub(crate) fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// The end of the queue.
    pub(crate) fn join(&self) -> Turn {
        Turn(self.passed)
    }

    /// How long until `turn` comes; nothing if it is there.
    pub(crate) fn wait(&mut self, turn: Turn, now: Instant) -> Duration {
        self.advance(now);
        let Some(rate) = self.rate else { return Duration::ZERO };
        let short = turn.0.saturating_sub(self.allowed);
        let nanos = short.div_ceil(u128::from(rate.bytes()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// So many bytes passed, of somebody whose turn it was. Gives the next place of the same.
    pub(crate) fn pass(&mut self, bytes: u64, now: Instant) -> Turn {
        self.advance(now);
        if self.rate.is_some() {
            self.passed += u128::from(bytes).saturating_mul(NANOS);
        }
        self.join()
    }

    /// The bytes of one turn, when so many share the rate.
    pub(crate) fn piece(&self, sharers: usize) -> usize {
        let Some(rate) = self.rate else { return usize::MAX };
        let sharers = u128::try_from(sharers.max(1)).unwrap_or(u128::MAX);
        let fair = u64::try_from(rate.within(ROUND) / NANOS / sharers).unwrap_or(u64::MAX);
        usize::try_from(fair.clamp(MIN_PIECE, MAX_PIECE)).unwrap_or(usize::MAX)
    }

    fn advance(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        match self.rate {
            Some(rate) => {
                let most = self.passed.saturating_add(rate.within(BURST));
                self.allowed = self.allowed.saturating_add(rate.within(since)).min(most);
            }
            None => self.allowed = self.passed,
        }
    }
}
