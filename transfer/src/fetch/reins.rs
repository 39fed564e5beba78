//! Stops or shortens a request that is under way.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::channel::oneshot;

/// The driver's end.
pub(super) struct Reins {
    stop: oneshot::Sender<()>,
    before: Arc<AtomicU64>,
}

/// The request's end: a future that is ready when it is to stop.
pub(super) struct Bit {
    stopped: oneshot::Receiver<()>,
    before: Arc<AtomicU64>,
}

pub(super) fn reins() -> (Reins, Bit) {
    let (stop, stopped) = oneshot::channel();
    let before = Arc::new(AtomicU64::new(u64::MAX));
    (Reins { stop, before: before.clone() }, Bit { stopped, before })
}

impl Reins {
    /// The request is to stop, if it has not ended just now.
    pub(super) fn stop(self) {
        let _ = self.stop.send(());
    }

    /// The request is to end before this group.
    pub(super) fn shorten(&self, before: u64) {
        self.before.store(before, Ordering::Relaxed);
    }
}

impl Bit {
    /// The first group that is not wanted.
    pub(super) fn before(&self) -> u64 {
        self.before.load(Ordering::Relaxed)
    }
}

impl Future for Bit {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.stopped.poll_unpin(cx).map(|_| ())
    }
}
