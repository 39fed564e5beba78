//! Every task and every blocking job of a node, with an owner that can end them all.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Long blocking jobs (hashing a tree, copying a file) at a time. Each uses every core by itself; more of them would
/// only take turns on the disk.
const LONG_JOBS: usize = 4;

/// Owns the tasks of one node.
///
/// Invariant: nothing in this crate spawns except through this type, so [`Tasks::end`] returning `true` means that no
/// task of the node is left.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    long: Arc<Semaphore>,
    panics: Arc<AtomicU64>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            long: Arc::new(Semaphore::new(LONG_JOBS)),
            panics: Arc::default(),
        }
    }

    /// Is cancelled when the node winds down.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs `work` to its end; it watches [`Tasks::stopping`] by itself.
    pub(crate) fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let panics = self.panics.clone();
        self.track(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(task = name, "a task panicked; the node goes on without it");
            }
        });
    }

    /// Runs `work` until it ends or the node winds down, whichever comes first.
    pub(crate) fn spawn_until_stop(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            let _ = stop.run_until_cancelled(work).await;
        });
    }

    /// Runs a long blocking job when its turn comes; `None` when the job panicked.
    pub(crate) async fn long<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.long.acquire().await.ok()?;
        self.blocking(job).await
    }

    /// Runs a short blocking job; `None` when the job panicked.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.tracker.spawn_blocking(job).await.inspect_err(|_| self.count_panic()).ok()
    }

    /// Starts a short blocking job that nobody waits for.
    pub(crate) fn start_blocking(&self, job: impl FnOnce() + Send + 'static) {
        drop(self.tracker.spawn_blocking(job));
    }

    /// How many tasks have panicked since the start.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// How many tasks and blocking jobs run now.
    pub(crate) fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Asks every task to end and waits for it, for `deadline` at most; `false` when some did not end in time.
    pub(crate) async fn end(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }

    #[expect(clippy::let_underscore_future, reason = "the tracker owns the task; its handle would detach it")]
    fn track(&self, work: impl Future<Output = ()> + Send + 'static) {
        let _ = self.tracker.spawn(work);
    }

    fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lends the node's blocking threads to transfers.
///
/// How many jobs there are at a time is bounded by what they are for: what is sent to peers has permits, and a fetch so
/// many requests, each with a few batches on their way. The runtime bounds the threads, and what is more waits for one.
impl shoal_transfer::Pool for Tasks {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        self.start_blocking(job);
    }
}
