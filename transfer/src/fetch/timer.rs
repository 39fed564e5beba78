//! One timer that is set again only when it must go off earlier.

use std::time::{Duration, Instant};

use futures::FutureExt;
use futures_timer::Delay;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Goes off at or before the time it was last set to: whoever waits checks what is due.
pub(crate) struct Timer {
    delay: Delay,
    due: Instant,
}

impl Timer {
    pub(crate) fn new(now: Instant, within: Duration) -> Self {
        Timer { delay: Delay::new(within), due: now + within }
    }

    pub(crate) fn set(&mut self, now: Instant, at: Instant) {
        if at < self.due || self.due <= now {
            self.due = at;
            self.delay.reset(at.saturating_duration_since(now));
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.delay.poll_unpin(cx)
    }
}
