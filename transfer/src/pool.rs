//! Where blocking work runs: the caller's threads.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::channel::oneshot;

/// Runs blocking jobs on threads that may block. Implemented by the node.
///
/// It need not count them: each transfer has a few jobs on it at a time, and transfers are counted.
///
/// A pool that is shut down drops the job unrun, which its waiter sees as [`PoolClosed`].
pub trait Pool: Send + Sync {
    /// Runs the job some time soon.
    fn run(&self, job: Box<dyn FnOnce() + Send>);
}

/// The pool was shut down before the job ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the blocking pool is shut down")]
pub struct PoolClosed;

/// Runs `job` on the pool. The job is handed over at once, not when the result is first polled.
pub(crate) fn on_pool<T: Send + 'static>(
    pool: &dyn Pool,
    job: impl FnOnce() -> T + Send + 'static,
) -> OnPool<T> {
    let (done, result) = oneshot::channel();
    pool.run(Box::new(move || {
        // A failed send means the waiter left.
        let _ = done.send(job());
    }));
    OnPool(result)
}

/// A job on the pool. Dropping it leaves the job running.
pub(crate) struct OnPool<T>(oneshot::Receiver<T>);

impl<T> Future for OnPool<T> {
    type Output = Result<T, PoolClosed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(cx).map_err(|_| PoolClosed)
    }
}
