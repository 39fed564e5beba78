//! Publishing: hash in place, make it durable, then announce.

mod all;
mod shared;

use std::{
    future::{Future, IntoFuture},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use shoal_content::safe_file_name;
use shoal_store::{Cancel, PublishObserver, PublishOptions, Skipped};
use tokio::sync::watch;

use self::shared::Announcement;
pub use self::{
    all::PublishAll,
    shared::{Announced, Shared},
};
use crate::{
    error::ErrorKind,
    events::Event,
    inner::Inner,
    job::{CancelOnDrop, Job},
    node::Node,
};

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

    /// Offers the content under this name instead of the last part of its path. It must be a
    /// [safe file name](shoal_content::safe_file_name): those who fetch it take no other.
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

async fn publish(
    inner: Arc<Inner>,
    path: PathBuf,
    name: Option<String>,
    progress: watch::Sender<PublishProgress>,
) -> Result<Shared, PublishError> {
    if let Some(name) = name.as_ref().filter(|name| safe_file_name(name).is_none()) {
        return Err(PublishError::Name { name: name.clone() });
    }
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

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The files or the store did not allow it.
    #[error(transparent)]
    Store(#[from] shoal_store::PublishError),
    /// Nobody who fetches it would take the name.
    #[error("{name:?} is not a name that every system can hold")]
    Name {
        /// The name that it should be offered under.
        name: String,
    },
    /// The node stopped first.
    #[error("the node stopped before the publish was done")]
    Stopped,
}

impl PublishError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => crate::error::of_publish(error),
            Self::Name { .. } => ErrorKind::Usage,
            Self::Stopped => ErrorKind::Interrupted,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => crate::error::hint_of_publish(error),
            Self::Name { .. } | Self::Stopped => None,
        }
    }
}
