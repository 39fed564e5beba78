//! Stops or shortens a request that is under way, and tells whether it lives.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::channel::oneshot;

/// Bytes that count as a sign of life. A source that is allowed to send little brings a group only now and then; one
/// that sends a byte now and then only wants to look alive.
const SIGN_OF_LIFE: u64 = 1024;

/// The driver's end.
pub(crate) struct Reins {
    stop: oneshot::Sender<()>,
    shared: Arc<Shared>,
    /// How much had come when it last was seen alive.
    seen: u64,
}

/// The request's end: a future that is ready when it is to stop.
pub(crate) struct Bit {
    stopped: oneshot::Receiver<()>,
    shared: Arc<Shared>,
}

/// Tells of life for a request that waits for the stream of another.
pub(crate) struct Pulse(Arc<Shared>);

struct Shared {
    before: AtomicU64,
    /// Bytes that came, verified or not.
    came: AtomicU64,
    /// Whether it waits because of a limit of ours.
    held_back: AtomicBool,
}

pub(crate) fn reins() -> (Reins, Bit) {
    let (stop, stopped) = oneshot::channel();
    let shared = Shared {
        before: AtomicU64::new(u64::MAX),
        came: AtomicU64::new(0),
        held_back: AtomicBool::new(false),
    };
    let shared = Arc::new(shared);
    (Reins { stop, shared: shared.clone(), seen: 0 }, Bit { stopped, shared })
}

impl Reins {
    /// The request is to stop, if it has not ended just now.
    pub(crate) fn stop(self) {
        let _ = self.stop.send(());
    }

    /// The request is to end before this group.
    pub(crate) fn shorten(&self, before: u64) {
        self.shared.before.store(before, Ordering::Relaxed);
    }

    /// Whether its source is not to blame if nothing was verified since the last time: bytes came, or we did not read.
    pub(crate) fn is_alive(&mut self) -> bool {
        let came = self.shared.came.load(Ordering::Relaxed);
        let moves = came.saturating_sub(self.seen) >= SIGN_OF_LIFE;
        if moves {
            self.seen = came;
        }
        moves || self.is_held_back()
    }

    /// Whether it waits because of a limit of ours.
    pub(crate) fn is_held_back(&self) -> bool {
        self.shared.held_back.load(Ordering::Relaxed)
    }
}

impl Pulse {
    /// So many bytes came.
    pub(crate) fn came(&self, bytes: usize) {
        self.0.came(bytes);
    }

    /// It waits because of a limit of ours, or does not.
    pub(crate) fn held_back(&self, held_back: bool) {
        self.0.held_back(held_back);
    }
}

impl Shared {
    fn came(&self, bytes: usize) {
        self.came.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn held_back(&self, held_back: bool) {
        self.held_back.store(held_back, Ordering::Relaxed);
    }
}

impl Bit {
    /// For whoever brings this request its signs of life until it has a stream.
    pub(crate) fn pulse(&self) -> Pulse {
        Pulse(self.shared.clone())
    }

    /// The first group that is not wanted.
    pub(crate) fn before(&self) -> u64 {
        self.shared.before.load(Ordering::Relaxed)
    }

    /// So many bytes came.
    pub(crate) fn came(&self, bytes: usize) {
        self.shared.came(bytes);
    }

    /// It waits because of a limit of ours, or does not.
    pub(crate) fn held_back(&self, held_back: bool) {
        self.shared.held_back(held_back);
    }
}

impl Future for Bit {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.stopped.poll_unpin(cx).map(|_| ())
    }
}
