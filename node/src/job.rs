//! A piece of work that reports snapshots of its progress and then its result.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use shoal_store::Cancel;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::DropGuard;

use crate::tasks::Tasks;

/// Work under way: a [`Stream`] of progress, of which a slow reader sees only the newest, and a [`Future`] of the result.
/// The stream ends when the work does.
///
/// # Cancel safety
///
/// Dropping a job stops its work. What the work had made durable until then stays.
pub struct Job<P, T> {
    progress: BoxStream<'static, P>,
    result: BoxFuture<'static, T>,
    _cancel: DropGuard,
}

impl<P, T> Job<P, T>
where
    P: Clone + Send + Sync + 'static,
    T: Send + 'static,
{
    /// Starts `work`, which tells its progress through the sender; `lost` is the result of work that panicked.
    pub(crate) fn start<F>(
        tasks: &Tasks,
        name: &'static str,
        first: P,
        lost: impl FnOnce() -> T + Send + 'static,
        work: impl FnOnce(watch::Sender<P>) -> F,
    ) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (progress, snapshots) = watch::channel(first);
        let (reply, result) = oneshot::channel();
        let cancel = tasks.stopping().child_token();
        let work = work(progress);
        let cancelled = cancel.clone();
        tasks.spawn(name, async move {
            if let Some(outcome) = cancelled.run_until_cancelled(work).await {
                // A failed send means that the caller left; the outcome has nobody to go to.
                drop(reply.send(outcome));
            }
        });
        Self {
            progress: snapshots_of(snapshots).boxed(),
            result: result.map(|outcome| outcome.unwrap_or_else(|_| lost())).boxed(),
            _cancel: cancel.drop_guard(),
        }
    }
}

/// Stops the blocking threads of a job when the future that waits for them is dropped.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(pub(crate) Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

pub(crate) fn snapshots_of<P: Clone + Send + Sync + 'static>(
    receiver: watch::Receiver<P>,
) -> impl Stream<Item = P> + Send {
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        let snapshot = receiver.borrow_and_update().clone();
        Some((snapshot, receiver))
    })
    // A reader that looks again after the end, as one in a `select!` may, is no reason to panic.
    .fuse()
}

impl<P, T> Stream for Job<P, T> {
    type Item = P;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<P>> {
        self.progress.poll_next_unpin(cx)
    }
}

impl<P, T> Future for Job<P, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.result.poll_unpin(cx)
    }
}

impl<P, T> std::fmt::Debug for Job<P, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}
