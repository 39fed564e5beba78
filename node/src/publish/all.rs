//! Publishing many paths at once: hashed together, made durable together, and announced as they are.

use std::{path::PathBuf, sync::Arc};

use shoal_content::Cid;
use shoal_store::{Cancel, PublishOptions, Published};
use tokio::sync::{mpsc, watch};

use super::{Announcement, Observer, PublishError, PublishProgress, Shared};
use crate::{events::Event, inner::Inner, job::CancelOnDrop, node::Node};

/// Results of a publish of many paths that wait to be taken: those of one commit. When its caller is slower than the
/// disk, publishing waits.
const RESULTS: usize = 4096;

/// Up to so many things that were made durable together are announced one by one, so that it is known of each how many
/// nodes hold it.
const ANNOUNCED_ALONE: usize = 16;

/// Several publishes under way, whose results come in the order of their paths, up to the first failure.
///
/// Dropping it stops what is not done yet.
#[derive(Debug)]
pub struct PublishAll {
    results: mpsc::Receiver<Result<Shared, PublishError>>,
    progress: watch::Receiver<PublishProgress>,
    /// Results that are still to come; none after a failure.
    left: usize,
    _cancel: CancelOnDrop,
}

impl PublishAll {
    pub(crate) fn start(node: &Node, paths: Vec<PathBuf>) -> Self {
        let inner = node.inner.clone();
        let (progress, watched) = watch::channel(PublishProgress::default());
        let (tell, results) = mpsc::channel(RESULTS);
        let cancel = Cancel::new();
        let stop = cancel.clone();
        let (working, left) = (inner.working(), paths.len());
        inner.tasks.clone().spawn_until_stop("publish", async move {
            let _working = working;
            publish_all(inner, paths, progress, tell, stop).await;
        });
        Self { results, progress: watched, left, _cancel: CancelOnDrop(cancel) }
    }

    /// The next result; none after the last. When the node stops first, the last is that failure.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Result<Shared, PublishError>> {
        let result = match self.results.recv().await {
            Some(result) => result,
            None if self.left > 0 => Err(PublishError::Stopped),
            None => return None,
        };
        self.left = if result.is_ok() { self.left.saturating_sub(1) } else { 0 };
        Some(result)
    }

    /// How far hashing has got, of what is hashed together now.
    pub fn progress(&self) -> PublishProgress {
        *self.progress.borrow()
    }
}

async fn publish_all(
    inner: Arc<Inner>,
    paths: Vec<PathBuf>,
    progress: watch::Sender<PublishProgress>,
    tell: mpsc::Sender<Result<Shared, PublishError>>,
    cancel: Cancel,
) {
    let _cancel = CancelOnDrop(cancel.clone());
    let (store, home) = (inner.store.clone(), inner.paths.home.clone());
    let (done, mut durable) = mpsc::channel(RESULTS);
    let mistake = cancel.clone();
    let hashing = inner.tasks.long(move || {
        let options = PublishOptions { exclude: vec![home], ..PublishOptions::default() };
        store.publish_all(&paths, &options, &Observer(progress), &cancel, |_, outcome| {
            // Whoever hands on a list wants to know of its first mistake, and nothing is published after it. A failed
            // send means that the caller left.
            let is_mistake = outcome.is_err();
            if done.blocking_send(outcome).is_err() || is_mistake {
                mistake.cancel();
            }
        });
    });
    let announcing = async {
        let mut batch = Vec::new();
        while durable.recv_many(&mut batch, RESULTS).await > 0 {
            let cids = |batch: &[Result<Published, _>]| -> Vec<Cid> {
                batch.iter().flatten().map(|published| published.cid).collect()
            };
            cids(&batch).into_iter().for_each(|cid| inner.events.send(Event::Published(cid)));
            // What was made durable together is announced together: thousands of announcements would each find and
            // tell the same nodes.
            let together = match cids(&batch) {
                few if few.len() <= ANNOUNCED_ALONE => None,
                many => Some(Announcement::of(inner.announcer.announce_shares(&many).await)),
            };
            for outcome in batch.drain(..) {
                let shared = match outcome {
                    Ok(published) => {
                        let announcement = match &together {
                            Some(announcement) => announcement.clone(),
                            None => Announcement::start(&inner, &published.cid).await,
                        };
                        Ok(Shared { published, announcement })
                    }
                    Err(error) => Err(error.into()),
                };
                if tell.send(shared).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::join!(hashing, announcing);
}

#[cfg(test)]
mod tests;
