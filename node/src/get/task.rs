//! What every step of one get needs: who has the content, the streams to them, and threads to block.

use std::{
    future::Future,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::PeerId;
use shoal_content::{Cid, safe_file_name};
use shoal_store::Cancel;
use shoal_transfer::{Limiter, Lines};

use super::{
    GetError, GetProgress, Order,
    crowd::{self, Crowd, Spent, crowd},
    place::Placed,
    progress::Reporter,
    target,
};
use crate::{
    config::DEFAULT_TIMEOUT, hint::Hint, inner::Inner, job::CancelOnDrop, rates::PacedOpener, seek::Finding,
};

/// What every step of one get needs.
pub(super) struct Task {
    pub(super) inner: Arc<Inner>,
    pub(super) cid: Cid,
    pub(super) crowd: Crowd,
    pub(super) offered: Arc<OnceLock<String>>,
    gather: Mutex<Option<crowd::Gather>>,
    pub(super) reporter: Reporter,
    /// Those who fetch the directory too and did not bring a file of it in time.
    pub(super) slow: Spent,
    /// The streams to holders, shared by all its files.
    pub(super) lines: Arc<Lines>,
    pub(super) timeout: Duration,
    /// How long to wait for somebody else who saves to the same target and receives nothing; for ever unless it was said.
    pub(super) patience: Option<Duration>,
    pub(super) hints: Vec<Hint>,
}

impl Task {
    pub(super) fn new(inner: &Arc<Inner>, order: &Order, reporter: Reporter) -> Self {
        let (gather, crowd) = crowd();
        Self {
            inner: inner.clone(),
            cid: order.cid,
            crowd,
            offered: order.offered.clone(),
            gather: Mutex::new(Some(gather)),
            reporter,
            slow: Spent::default(),
            lines: Lines::new(Arc::new(PacedOpener {
                opener: inner.opener.clone(),
                down: inner.pacers.down.clone(),
                own: Limiter::new(order.down),
            })),
            timeout: order.timeout.unwrap_or(DEFAULT_TIMEOUT),
            patience: order.timeout,
            hints: order.hints.clone(),
        }
    }

    /// Runs `work` while the search for holders goes on beside it.
    pub(super) async fn while_gathering<T>(&self, work: impl Future<Output = T>) -> T {
        let gather = self.gather.lock().unwrap_or_else(PoisonError::into_inner).take();
        let search = self.inner.seek(self.cid.digest(), self.hints.clone()).start();
        let told = search.inspect(|finding| match finding {
            Finding::Unreached { peer, provider: false } => self.reporter.unreached(peer.clone()),
            Finding::Holder(holder) => {
                if let Some(name) = holder.holding.name.as_deref().and_then(safe_file_name) {
                    let _ = self.offered.set(name);
                }
            }
            _ => {}
        });
        let gathering = async {
            if let Some(gather) = gather {
                gather.run(told).await;
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            done = work => done,
            never = gathering => match never {},
        }
    }

    /// Everyone who was asked for content, or whether they have it, and had time to say something and did not.
    pub(super) fn silent(&self, seen: &GetProgress) -> Vec<PeerId> {
        let unanswered = self.crowd.silent(Instant::now());
        let mut silent = seen.silent();
        silent.extend(unanswered.into_iter().filter(|peer| !seen.mentions(peer)));
        silent
    }

    /// Runs a blocking piece of work that may take long.
    pub(super) async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, GetError> {
        self.inner.tasks.long(work).await.ok_or(GetError::Stopped)
    }

    /// What stands at `path`, if that is the content; `expected` are its bytes and files, if they are known.
    pub(super) async fn compare(
        &self,
        path: &Path,
        expected: Option<(u64, u64)>,
    ) -> Result<Option<Placed>, GetError> {
        let (path, cid, cancel) = (path.to_owned(), self.cid, Cancel::new());
        let _cancel = CancelOnDrop(cancel.clone());
        self.long(move || target::compare(&path, &cid, expected, &cancel)).await
    }

    /// Runs a short blocking piece of work.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, GetError> {
        self.inner.tasks.blocking(work).await.ok_or(GetError::Stopped)
    }
}
