//! Notices that a stream makes no progress, without a timer per byte.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures_timer::Delay;

/// Fires when so much was waited for the other end without progress. Time in which nobody waited for it does not
/// count, whatever else went on.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limit: Duration,
    /// Waited since the last progress, before now.
    waited: Duration,
    /// Since when it is waited now.
    since: Option<Instant>,
    timer: Delay,
}

impl Watchdog {
    pub(crate) fn new(limit: Duration) -> Self {
        Watchdog { limit, waited: Duration::ZERO, since: None, timer: Delay::new(limit) }
    }

    /// The other end does its part: what was waited is forgotten.
    pub(crate) fn progress(&mut self) {
        self.waited = Duration::ZERO;
        self.since = None;
    }

    /// Nobody waits for the other end now.
    pub(crate) fn pause(&mut self, now: Instant) {
        let waited = self.since.take().map(|since| now.saturating_duration_since(since));
        self.waited += waited.unwrap_or_default();
    }

    /// The other end is waited for. Ready when that has taken too long.
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let waited = self.waited + now.saturating_duration_since(*self.since.get_or_insert(now));
        if waited >= self.limit {
            return Poll::Ready(());
        }
        // The timer is set again only when it has gone off: most waits are short.
        while self.timer.poll_unpin(cx).is_ready() {
            self.timer.reset(self.limit - waited);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Waits for the other end for so long; tells whether that was too long.
    fn wait(watchdog: &mut Watchdog, now: &mut Instant, time: Duration) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(watchdog.poll_stalled(&mut cx, *now).is_pending());
        *now += time;
        watchdog.poll_stalled(&mut cx, *now).is_ready()
    }

    #[test]
    fn only_waiting_counts() {
        let (mut watchdog, mut now) = (Watchdog::new(LIMIT), Instant::now());
        now += 10 * LIMIT;
        assert!(!wait(&mut watchdog, &mut now, LIMIT / 2), "nobody waited before");
        watchdog.pause(now);
        now += 10 * LIMIT;
        assert!(!wait(&mut watchdog, &mut now, LIMIT / 4), "nor did anybody during the pause");
        assert!(wait(&mut watchdog, &mut now, LIMIT / 4));
    }

    #[test]
    fn short_waits_add_up_until_there_is_progress() {
        let (mut watchdog, mut now) = (Watchdog::new(LIMIT), Instant::now());
        for _ in 0..100 {
            assert!(!wait(&mut watchdog, &mut now, LIMIT / 2));
            watchdog.pause(now);
            assert!(!wait(&mut watchdog, &mut now, LIMIT / 4));
            watchdog.progress();
        }
        for _ in 0..3 {
            assert!(!wait(&mut watchdog, &mut now, LIMIT / 4));
            watchdog.pause(now);
        }
        assert!(wait(&mut watchdog, &mut now, LIMIT / 4));
    }
}
