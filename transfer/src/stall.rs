//! Notices that a stream makes no progress, without a timer per byte.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures_timer::Delay;

/// Fires when it was not touched for its limit. Touching costs a look at the clock; the timer is set again only when
/// it goes off.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limit: Duration,
    touched: Instant,
    timer: Delay,
}

impl Watchdog {
    pub(crate) fn new(limit: Duration) -> Self {
        Watchdog { limit, touched: Instant::now(), timer: Delay::new(limit) }
    }

    pub(crate) fn touch(&mut self) {
        self.touched = Instant::now();
    }

    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.poll_unpin(cx).is_ready() {
            let quiet = self.touched.elapsed();
            if quiet >= self.limit {
                return Poll::Ready(());
            }
            self.timer.reset(self.limit - quiet);
        }
        Poll::Pending
    }
}
