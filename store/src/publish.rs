//! Shares a file or a directory where it lies.
//!
//! Walk, compare with what is known, hash what is new, and record it in batches. The share itself comes with the
//! last batch, so that whoever reads the store sees all of it or nothing. What a killed publish leaves behind is not
//! wasted: the next one finds these files unchanged.

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use shoal_content::{Cid, ManifestError, Problem};

use crate::{
    Cancel, PublishObserver, SkipReason, Skipped, Store, StoreError, blob::all_threads, commit::NewBlob,
    files::Files, lock::lock, observe::Tally, store::Inner, walk,
};

mod hashing;
mod many;
#[cfg(test)]
mod tests;
mod work;

use hashing::{Env, Outcome, Width};
use work::Work;

/// How to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// What to call the share; by default the name of the file or folder.
    pub name: Option<String>,
    /// Threads to hash with; by default as many as the machine runs at once.
    pub threads: Option<NonZeroUsize>,
    /// Folders that are never entered, whatever they lie in: the home of this node, with its secret key.
    pub exclude: Vec<PathBuf>,
}

/// What was published.
#[derive(Debug)]
pub struct Published {
    /// Its name on the network.
    pub cid: Cid,
    /// What it is called.
    pub name: String,
    /// Where it lies, without symlinks.
    pub path: PathBuf,
    /// The bytes of all its files.
    pub size: u64,
    /// How many files it has.
    pub files: u64,
    /// Bytes that were read and hashed.
    pub hashed_bytes: u64,
    /// Files that were known and had not changed.
    pub unchanged_files: u64,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// Names that other systems cannot hold.
    pub warnings: Vec<Problem>,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It is not there, or could not be read.
    #[error("could not read {}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is neither a file nor a folder, or belongs to this node, or kept changing.
    #[error("cannot publish {}: {reason}", .path.display())]
    Refused {
        /// What is not published.
        path: PathBuf,
        /// Why not.
        reason: SkipReason,
    },
    /// There is no file in the folder that could be published.
    #[error("{} has no files that could be published", .path.display())]
    Nothing {
        /// The folder.
        path: PathBuf,
        /// What was left out.
        skipped: Vec<Skipped>,
    },
    /// The files do not fit in a manifest.
    #[error("cannot publish {}: {reason}", .path.display())]
    Manifest {
        /// The folder.
        path: PathBuf,
        /// Why not.
        reason: ManifestError,
    },
    /// The store failed, or its disk is full.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller asked to stop.
    #[error("stopped")]
    Cancelled,
}

impl Store {
    /// Publishes the file or folder at `path`, where it lies.
    ///
    /// It is durable when this returns. Files that are known and look as they did are not read again. Symlinks
    /// in a folder, and whatever is not a regular file, are left out and reported; `path` itself may be a
    /// symlink. What was published at `path` before is replaced.
    pub fn publish(
        &self,
        path: &Path,
        options: &PublishOptions,
        observer: &dyn PublishObserver,
        cancel: &Cancel,
    ) -> Result<Published, PublishError> {
        publish(&self.inner.files, Some(&self.inner), path, options, observer, cancel)
    }
}

/// Finds the name that a file or folder would be published under, without a store and without writing anything.
pub fn hash_only(
    path: &Path,
    options: &PublishOptions,
    observer: &dyn PublishObserver,
    cancel: &Cancel,
) -> Result<Published, PublishError> {
    publish(&Files::default(), None, path, options, observer, cancel)
}

fn publish(
    files: &Files,
    store: Option<&Inner>,
    path: &Path,
    options: &PublishOptions,
    observer: &dyn PublishObserver,
    cancel: &Cancel,
) -> Result<Published, PublishError> {
    let read_error = |source| PublishError::Read { path: path.to_owned(), source };
    let root = path.canonicalize().map_err(read_error)?;
    let mut exclude: Vec<_> = options.exclude.iter().filter_map(|path| path.canonicalize().ok()).collect();
    exclude.extend(store.map(|store| store.path.clone()));
    if exclude.iter().any(|own| root.starts_with(own)) {
        return Err(PublishError::Refused { path: root, reason: SkipReason::Own });
    }
    let metadata = files.stat(&root).map_err(read_error)?;
    let (is_directory, tree) = if metadata.is_dir() {
        if walk::is_home(files, &root) {
            return Err(PublishError::Refused { path: root, reason: SkipReason::Home });
        }
        (true, walk::walk(files, &root, &exclude, cancel).map_err(read_error)?)
    } else if metadata.is_file() {
        (false, walk::Tree::lone(&metadata))
    } else {
        return Err(PublishError::Refused { path: root, reason: walk::special(&metadata) });
    };
    let publishing = root.clone();
    let _publishing = store.map(|store| Publishing::start(store, &publishing));
    let threads = options.threads.unwrap_or_else(all_threads);
    let env = Env { files, store, threads, observer, tally: Tally::new(observer), cancel };
    Work::new(&env, root, is_directory, tree)?.run(options)
}

/// Hashes a file that the store knows, to build its hash tree anew; nothing if it cannot be read.
pub(crate) fn hash_again(store: &Inner, path: &Path, cancel: &Cancel) -> Result<Option<NewBlob>, StoreError> {
    let tally = Tally::new(&());
    let env =
        Env { files: &store.files, store: Some(store), threads: all_threads(), observer: &(), tally, cancel };
    match env.hash_file(path, &mut Width::All) {
        Outcome::Hashed(blob) => Ok(Some(blob)),
        Outcome::StoreFailed(error) => Err(StoreError::Io(error)),
        Outcome::Failed(_) | Outcome::Cancelled => Ok(None),
    }
}

/// Notes that a path is being published, so that what is known of it already is not taken for left-overs.
struct Publishing<'a> {
    store: &'a Inner,
    root: &'a Path,
}

impl<'a> Publishing<'a> {
    fn start(store: &'a Inner, root: &'a Path) -> Self {
        lock(&store.publishing).push(root.to_owned());
        Self { store, root }
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        let mut publishing = lock(&self.store.publishing);
        if let Some(at) = publishing.iter().position(|path| path == self.root) {
            publishing.swap_remove(at);
        }
    }
}
