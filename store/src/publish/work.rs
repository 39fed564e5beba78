//! A publish that is under way.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use shoal_content::{Cid, Digest, Encoded, Entry, Manifest, Problem, portability_problems};

use super::{
    PublishError, PublishOptions, Published,
    hashing::{Env, Outcome},
};
use crate::{
    SkipReason, Skipped, StoreError,
    commit::{NewBlob, NewOutboard},
    db::Read,
    disk::{ShareRow, SourceState},
    share::seconds,
    store::Inner,
    walk::{Found, Tree},
};

/// Rows noted in one transaction. Fewer cost a sync each for too little; more keep other writers waiting.
const BATCH_ROWS: usize = 10_000;

/// Outboard files noted in one transaction: all are open until then.
const BATCH_FILES: usize = 128;

pub(super) struct Work<'a> {
    env: &'a Env<'a>,
    root: PathBuf,
    is_directory: bool,
    found: Vec<Found>,
    /// The digest and size of each file found, as soon as they are known.
    contents: Vec<Option<(Digest, u64)>>,
    skipped: Vec<Skipped>,
    /// Files that were there the last time.
    stale: Vec<PathBuf>,
    hashed_bytes: u64,
    unchanged_files: u64,
}

impl<'a> Work<'a> {
    /// Compares what was found with what the store knows of it.
    pub(super) fn new(
        env: &'a Env<'a>,
        root: PathBuf,
        is_directory: bool,
        tree: Tree,
    ) -> Result<Self, PublishError> {
        let known = env.store.map(|store| look_up(store, &root, &tree.files)).transpose()?;
        let (contents, stale) = known.unwrap_or_else(|| (vec![None; tree.files.len()], Vec::new()));
        let unchanged = tree.files.iter().zip(&contents).filter(|(_, content)| content.is_some());
        let unchanged_files = unchanged.clone().count() as u64;
        let unchanged_bytes = unchanged.map(|(file, _)| file.stamp.size).sum();
        tree.skipped.iter().for_each(|skipped| env.observer.skipped(skipped));
        env.observer.total(tree.files.iter().map(|file| file.stamp.size).sum(), tree.files.len() as u64);
        env.tally.add(unchanged_bytes, unchanged_files);
        let (found, skipped) = (tree.files, tree.skipped);
        Ok(Self {
            env,
            root,
            is_directory,
            found,
            contents,
            skipped,
            stale,
            hashed_bytes: 0,
            unchanged_files,
        })
    }

    pub(super) fn run(mut self, options: &PublishOptions) -> Result<Published, PublishError> {
        let mut batch = Batch { store: self.env.store, blobs: Vec::new(), files: 0, is_first: true };
        self.hash_all(&mut batch)?;
        if self.env.cancel.is_cancelled() {
            return Err(PublishError::Cancelled);
        }
        let files = self.contents.iter().flatten().count() as u64;
        let size = self.contents.iter().flatten().map(|(_, size)| size).sum();
        let (cid, encoded, warnings) = self.name()?;
        let default_name = || self.root.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = options.name.clone().or_else(default_name).unwrap_or_else(|| cid.to_string());
        let published_at = seconds(SystemTime::now());
        let row = ShareRow { cid, name: name.clone(), size, files, published_at };
        batch.finish(&self.root, &row, encoded.as_ref(), &self.stale)?;
        Ok(Published {
            cid,
            name,
            path: self.root,
            size,
            files,
            hashed_bytes: self.hashed_bytes,
            unchanged_files: self.unchanged_files,
            skipped: self.skipped,
            warnings,
        })
    }

    /// Hashes every file whose content is not known, and notes them in batches.
    fn hash_all(&mut self, batch: &mut Batch<'_>) -> Result<(), PublishError> {
        let todo: Vec<usize> =
            self.contents.iter().enumerate().filter(|(_, known)| known.is_none()).map(|(at, _)| at).collect();
        let (root, found) = (&self.root, &self.found);
        let file = |at: usize| found.get(at).map(|file| (file.path_in(root), file.stamp.size));
        self.env.hash(&todo, &file, &mut |at, path, outcome| match outcome {
            Outcome::Hashed(blob) => {
                self.hashed_bytes += blob.stamp.size;
                if let Some(content) = self.contents.get_mut(at) {
                    *content = Some((blob.digest, blob.stamp.size));
                }
                batch.add(path, blob)
            }
            Outcome::Failed(reason) if self.is_directory => {
                let skipped = Skipped { path, reason };
                self.env.observer.skipped(&skipped);
                self.skipped.push(skipped);
                Ok(())
            }
            Outcome::Failed(SkipReason::Unreadable(source)) => Err(PublishError::Read { path, source }),
            Outcome::Failed(reason) => Err(PublishError::Refused { path, reason }),
            Outcome::StoreFailed(error) => Err(StoreError::Io(error).into()),
            Outcome::Cancelled => Err(PublishError::Cancelled),
        })
    }

    /// Finds the name of what was hashed, with the manifest if it is a directory.
    fn name(&mut self) -> Result<(Cid, Option<Encoded>, Vec<Problem>), PublishError> {
        let path = || self.root.clone();
        if !self.is_directory {
            let content = self.contents.first().copied().flatten();
            let (digest, _) =
                content.ok_or_else(|| PublishError::Nothing { path: path(), skipped: Vec::new() })?;
            return Ok((Cid::file(digest), None, Vec::new()));
        }
        let files = std::mem::take(&mut self.found).into_iter().zip(&self.contents);
        let entries: Vec<Entry> = files
            .filter_map(|(file, content)| {
                let (digest, size) = (*content)?;
                Some(Entry { path: file.path?, size, digest, executable: file.executable })
            })
            .collect();
        if entries.is_empty() {
            let skipped = std::mem::take(&mut self.skipped);
            return Err(PublishError::Nothing { path: path(), skipped });
        }
        let manifest =
            Manifest::new(entries).map_err(|reason| PublishError::Manifest { path: path(), reason })?;
        let warnings = portability_problems(manifest.entries().iter().map(|entry| &entry.path));
        let encoded = manifest.encode();
        Ok((encoded.cid(), Some(encoded), warnings))
    }
}

/// What is known of the files that were found.
type Known = (Vec<Option<(Digest, u64)>>, Vec<PathBuf>);

pub(super) fn look_up(store: &Inner, root: &Path, found: &[Found]) -> Result<Known, StoreError> {
    store.db.read(|read| {
        let (mut contents, mut stale) = (vec![None; found.len()], Vec::new());
        // Both come in the order of their bytes, so one pass is enough.
        let mut next = found.iter().zip(&mut contents).peekable();
        for row in read.sources_below(root)? {
            let (path, row) = row?;
            let relative = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes();
            while next.next_if(|(file, _)| file.relative() < relative).is_some() {}
            let Some((file, content)) = next.next_if(|(file, _)| file.relative() == relative) else {
                stale.push(path);
                continue;
            };
            if let Some(row) = row
                && row.stamp == file.stamp
                && row.state != SourceState::Changed
            {
                *content = Some((row.digest, row.stamp.size));
            }
        }
        drop(next);
        Ok((contents, stale))
    })
}

/// What was hashed and is not noted yet.
struct Batch<'a> {
    /// Nothing if only the name is wanted.
    store: Option<&'a Inner>,
    blobs: Vec<(PathBuf, NewBlob)>,
    files: usize,
    is_first: bool,
}

impl Batch<'_> {
    fn add(&mut self, path: PathBuf, blob: NewBlob) -> Result<(), PublishError> {
        let Some(store) = self.store else { return Ok(()) };
        self.files += usize::from(matches!(blob.outboard, NewOutboard::File { .. }));
        self.blobs.push((path, blob));
        if self.blobs.len() >= BATCH_ROWS || self.files >= BATCH_FILES {
            (self.files, self.is_first) = (0, false);
            store.commit(&std::mem::take(&mut self.blobs), |_| Ok(()))?;
        }
        Ok(())
    }

    /// Notes what is left together with the share itself.
    fn finish(
        self,
        root: &Path,
        row: &ShareRow,
        encoded: Option<&Encoded>,
        stale: &[PathBuf],
    ) -> Result<(), PublishError> {
        let Some(store) = self.store else { return Ok(()) };
        let nothing_new = self.is_first && self.blobs.is_empty() && stale.is_empty();
        if nothing_new && store.db.read(|read| is_known(read, root, row, encoded))? {
            store.found(root);
            return Ok(());
        }
        store.commit(&self.blobs, |change| {
            change.remove_sources(stale, Some(root))?;
            change.put_share(root, row, encoded)
        })?;
        store.journal.note(root, Some(row.cid)).map_err(StoreError::Io)?;
        store.found(root);
        Ok(())
    }
}

/// Whether this is what is shared at `root` already, and its manifest is there as it should be.
fn is_known(read: &Read, root: &Path, row: &ShareRow, encoded: Option<&Encoded>) -> Result<bool, StoreError> {
    let known = read.share(root)?;
    if !known.is_some_and(|known| known.cid == row.cid && known.name == row.name) {
        return Ok(false);
    }
    for bytes in encoded.iter().flat_map(|encoded| encoded.pages.iter().chain([&encoded.root])) {
        if read.owned(&Digest::of(bytes))?.as_ref() != Some(bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}
