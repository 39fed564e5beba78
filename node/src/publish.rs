//! Publishing: hash in place, make it durable, then announce.

use std::{
    future::{Future, IntoFuture},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use shoal_content::{Cid, Kind, Problem};
use shoal_store::{Cancel, PublishObserver, PublishOptions, Published, Skipped};
use tokio::sync::{mpsc, watch};

use crate::{
    error::ErrorKind,
    events::Event,
    inner::Inner,
    job::{CancelOnDrop, Job},
    net::Acknowledged,
    node::Node,
};

/// Results of a publish of many paths that wait to be taken: those of one commit. When its caller is slower than the
/// disk, publishing waits.
const RESULTS: usize = 4096;

/// Up to so many things that were made durable together are announced one by one, so that it is known of each how many
/// nodes hold it.
const ANNOUNCED_ALONE: usize = 16;

/// A publish under way: snapshots of its progress, then what is shared.
pub type Publish = Job<PublishProgress, Result<Shared, PublishError>>;

/// How far a publish has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishProgress {
    /// Bytes that are hashed, or known to be unchanged.
    pub bytes: u64,
    /// All bytes, once the tree has been walked.
    pub bytes_total: Option<u64>,
    /// Files that are done.
    pub files: u64,
    /// All files, once the tree has been walked.
    pub files_total: Option<u64>,
    /// Entries of the tree that cannot be published.
    pub skipped: u64,
}

/// A publish that has not started.
#[derive(Debug, Clone)]
#[must_use = "nothing is published until it is awaited or started"]
pub struct PublishRequest {
    node: Node,
    path: PathBuf,
    name: Option<String>,
}

impl PublishRequest {
    pub(crate) fn new(node: Node, path: &Path) -> Self {
        Self { node, path: path.to_owned(), name: None }
    }

    /// Offers the content under this name instead of the last part of its path.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts hashing.
    pub fn start(self) -> Publish {
        let inner = self.node.inner.clone();
        let working = inner.working();
        Job::start(
            &self.node.inner.tasks,
            "publish",
            PublishProgress::default(),
            || Err(PublishError::Stopped),
            move |progress| async move {
                let _working = working;
                publish(inner, self.path, self.name, progress).await
            },
        )
    }
}

impl IntoFuture for PublishRequest {
    type Output = Result<Shared, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// Turns what the store tells into snapshots.
#[derive(Debug)]
pub(crate) struct Observer(pub(crate) watch::Sender<PublishProgress>);

impl PublishObserver for Observer {
    fn total(&self, bytes: u64, files: u64) {
        self.0.send_modify(|progress| {
            progress.bytes_total = Some(bytes);
            progress.files_total = Some(files);
        });
    }

    fn progress(&self, bytes: u64, files: u64) {
        self.0.send_modify(|progress| {
            progress.bytes = bytes;
            progress.files = files;
        });
    }

    fn skipped(&self, _: &Skipped) {
        self.0.send_modify(|progress| progress.skipped += 1);
    }
}

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

async fn publish(
    inner: Arc<Inner>,
    path: PathBuf,
    name: Option<String>,
    progress: watch::Sender<PublishProgress>,
) -> Result<Shared, PublishError> {
    let cancel = Cancel::new();
    let _cancel = CancelOnDrop(cancel.clone());
    let (store, home) = (inner.store.clone(), inner.paths.home.clone());
    let hashing = inner.tasks.long(move || {
        let options = PublishOptions { name, exclude: vec![home], ..PublishOptions::default() };
        store.publish(&path, &options, &Observer(progress), &cancel)
    });
    let published = hashing.await.ok_or(PublishError::Stopped)??;
    inner.events.send(Event::Published(published.cid));
    let announcement = Announcement::start(&inner, &published.cid).await;
    Ok(Shared { published, announcement })
}

/// Publishes again what a damaged database forgot, in its own time.
pub(crate) async fn restore(inner: Arc<Inner>) {
    for path in inner.store.lost() {
        tracing::warn!(path = %path.display(), "the store was damaged; publishing again what was shared");
        let (progress, _) = watch::channel(PublishProgress::default());
        if let Err(error) = publish(inner.clone(), path.clone(), None, progress).await {
            tracing::warn!(path = %path.display(), %error, "could not publish again what was shared");
        }
    }
}

/// What a publish made durable.
#[derive(Debug)]
pub struct Shared {
    published: Published,
    announcement: Announcement,
}

impl Shared {
    /// The name of the content.
    pub fn cid(&self) -> Cid {
        self.published.cid
    }

    /// Whether it is a file or a directory.
    pub fn kind(&self) -> Kind {
        self.published.cid.kind()
    }

    /// Where it is, and stays.
    pub fn path(&self) -> &Path {
        &self.published.path
    }

    /// The name that it is offered under.
    pub fn name(&self) -> &str {
        &self.published.name
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.published.size
    }

    /// Its number of files.
    pub fn files(&self) -> u64 {
        self.published.files
    }

    /// Bytes that had to be read; the rest was unchanged since the last publish.
    pub fn hashed_bytes(&self) -> u64 {
        self.published.hashed_bytes
    }

    /// Files that were unchanged since the last publish.
    pub fn unchanged_files(&self) -> u64 {
        self.published.unchanged_files
    }

    /// What could not be published, and why.
    pub fn skipped(&self) -> &[Skipped] {
        &self.published.skipped
    }

    /// Names that some systems cannot hold.
    pub fn warnings(&self) -> &[Problem] {
        &self.published.warnings
    }

    /// Waits until the network has been told.
    ///
    /// While no other node is connected this waits for one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: announcing goes on, and a later call goes on counting.
    pub async fn announced(&mut self) -> Announced {
        self.announcement.finished().await
    }
}

/// How many nodes know of a share; of very many that were published together, how many know of any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// Nodes that said they hold the record.
    pub acknowledged: usize,
    /// Nodes that were asked to hold it.
    pub asked: usize,
    /// From the first question to the last answer.
    pub elapsed: Duration,
}

#[derive(Clone, Debug)]
struct Announcement {
    progress: watch::Receiver<Acknowledged>,
    started: Instant,
}

impl Announcement {
    async fn start(inner: &Arc<Inner>, cid: &Cid) -> Self {
        Self::of(inner.announcer.announce_share(*cid).await)
    }

    fn of(progress: watch::Receiver<Acknowledged>) -> Self {
        Self { progress, started: Instant::now() }
    }

    async fn finished(&mut self) -> Announced {
        // An error means that nobody will say more: what was said last counts.
        drop(self.progress.wait_for(|acknowledged| acknowledged.last).await);
        let Acknowledged { acknowledged, asked, .. } = *self.progress.borrow();
        Announced { acknowledged, asked, elapsed: self.started.elapsed() }
    }
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The files or the store did not allow it.
    #[error(transparent)]
    Store(#[from] shoal_store::PublishError),
    /// The node stopped first.
    #[error("the node stopped before the publish was done")]
    Stopped,
}

impl PublishError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => crate::error::of_publish(error),
            Self::Stopped => ErrorKind::Interrupted,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => crate::error::hint_of_publish(error),
            Self::Stopped => None,
        }
    }
}

#[cfg(test)]
mod tests;
