//! What needs no running node: naming and checking files, and the store of a home that nobody runs a node on.

use std::path::{Path, PathBuf};

use shoal_content::Cid;
use shoal_store::{PublishError, PublishOptions, Published, Selector, Share, Store};
use tokio::sync::watch;

use crate::{
    error::{ErrorKind, StoreError, hint_of_publish, of_publish},
    home::Home,
    job::Job,
    publish::{Observer, PublishProgress},
    tasks::Tasks,
};

impl Home {
    /// What is shared from here, and whether it still is what was published; and what [`Node::lost`] tells. Blocking.
    ///
    /// [`Node::lost`]: crate::Node::lost
    pub fn shares(&self) -> Result<(Vec<Share>, Vec<PathBuf>), StoreError> {
        let store = self.store()?;
        Ok((store.shares()?, store.lost()))
    }

    /// Stops sharing content; its announcements expire by themselves. Returns what was shared. Blocking.
    pub fn unpublish(&self, what: &Selector) -> Result<Vec<Share>, StoreError> {
        Ok(self.store()?.unpublish(what)?)
    }

    fn store(&self) -> Result<Store, StoreError> {
        Ok(Store::open_as_it_is(&self.paths().store)?)
    }
}

/// Naming under way: snapshots of its progress, then what would be published.
pub type Naming = Job<PublishProgress, Result<Published, NamingError>>;

/// Finds the name that a path would be published under. Nothing is written, and no node is needed.
pub fn name_of(path: impl Into<PathBuf>) -> Naming {
    let path = path.into();
    let tasks = Tasks::new();
    let work = {
        let tasks = tasks.clone();
        |progress: watch::Sender<PublishProgress>| async move {
            let cancel = shoal_store::Cancel::new();
            let _cancel = crate::job::CancelOnDrop(cancel.clone());
            let hashing = tasks.long(move || {
                shoal_store::hash_only(&path, &PublishOptions::default(), &Observer(progress), &cancel)
            });
            Ok(hashing.await.ok_or(NamingError::Stopped)??)
        }
    };
    Job::start(&tasks, "name", PublishProgress::default(), || Err(NamingError::Stopped), work)
}

/// Checks that the file or directory at `path` is `cid`.
///
/// # Cancel safety
///
/// Nothing is lost by dropping the future.
pub async fn verify_file(path: &Path, cid: &Cid) -> Result<(), VerifyError> {
    let found = name_of(path).await?.cid;
    if found == *cid {
        Ok(())
    } else {
        Err(VerifyError::Mismatch { path: path.to_owned(), cid: *cid, found })
    }
}

/// Why a path has no name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// It cannot be read, or cannot be published.
    #[error(transparent)]
    Files(#[from] PublishError),
    /// It was stopped.
    #[error("stopped before all was read")]
    Stopped,
}

impl NamingError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Files(error) => of_publish(error),
            Self::Stopped => ErrorKind::Interrupted,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Files(error) => hint_of_publish(error),
            Self::Stopped => None,
        }
    }
}

/// Why a path is not known to be what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is something else.
    #[error("{} is not {cid}: it is {found}", path.display())]
    Mismatch {
        /// What was checked.
        path: PathBuf,
        /// What it should be.
        cid: Cid,
        /// What it is.
        found: Cid,
    },
    /// It cannot be read.
    #[error(transparent)]
    Files(#[from] NamingError),
}

impl VerifyError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Mismatch { .. } => ErrorKind::Mismatch,
            Self::Files(error) => error.kind(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mismatch { .. } => None,
            Self::Files(error) => error.hint(),
        }
    }
}
