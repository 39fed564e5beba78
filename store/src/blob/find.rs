//! Finds a blob, and makes sure that what is found is still what was published.

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
    thread,
    time::SystemTime,
};

use shoal_content::{Digest, GroupRanges, ProviderKey, Tree};

use super::{Blob, Body, Held, Pairs, ReadError, Window};
use crate::{
    Cancel, ShareState, Store, StoreError,
    commit::NewOutboard,
    db::Read,
    disk::{BlobRow, Outboard, SourceRow, SourceState},
    files::Handle,
    hash::{HashError, Sink, hash_wide},
    lock::lock,
    partial,
    stamp::Stamp,
    store::{Inner, OUTBOARDS, outboard_name},
};

/// Files tried for one blob. Somebody who publishes ten thousand copies of a file and then edits them all
/// must not make each question for it look at all of them.
pub(crate) const MAX_PLACES: usize = 16;

impl Store {
    /// How much of a blob is here and can be read.
    ///
    /// A file whose stamp is not what it was, and whose size is, is read again first.
    pub fn held(&self, digest: &Digest) -> Result<Option<Held>, ReadError> {
        match self.inner.find(digest) {
            Ok(Some(found)) => {
                let (size, ranges) = (found.row.size, GroupRanges::all(Tree::new(found.row.size).groups()));
                Ok(Some(Held { size, ranges, complete: true }))
            }
            not_whole => match self.inner.live_partial(digest).and_then(|shared| shared.held()) {
                Some(held) => Ok(Some(held)),
                None => match self.inner.open_placed(digest) {
                    Some(blob) => Ok(Some(Held { size: blob.size(), ranges: blob.ranges, complete: true })),
                    None => not_whole.map(|_| None),
                },
            },
        }
    }

    /// Of a directory that is not whole here, the entries of its manifest, by their numbers, whose files are in their places
    /// while it is being received; nothing of one that is shared.
    pub fn files_held(&self, directory: &Digest) -> Result<Option<GroupRanges>, StoreError> {
        let is_partial = self
            .inner
            .db
            .read(|read| Ok(read.download_at(directory)?.is_some() && read.shared_at(directory)?.is_none()));
        if !is_partial? {
            return Ok(None);
        }
        let all = lock(&self.inner.placed);
        let placed = all.values().find_map(|(of, placed)| placed.upgrade().filter(|_| of == directory));
        drop(all);
        Ok(Some(placed.map(|placed| lock(&placed).held()).unwrap_or_default()))
    }

    /// Opens a blob, whole or the part of it that was received so far; nothing if it was never here.
    ///
    /// # Errors
    ///
    /// A file that has other bytes than were published is [`ReadError::Changed`], and stays so until it is
    /// published again or gets its old bytes back. A file that was only touched is read again first.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Blob>, ReadError> {
        match self.inner.find(digest) {
            Ok(Some(found)) => self.inner.open_found(digest, found).map(Some),
            not_whole => match self.inner.live_partial(digest).and_then(|shared| shared.blob()) {
                Some(blob) => Ok(Some(blob)),
                None => match self.inner.open_placed(digest) {
                    Some(blob) => Ok(Some(blob)),
                    None => not_whole.map(|_| None),
                },
            },
        }
    }

    /// The blob, whole or in part, whose providers are recorded under `key` on this store's network.
    pub fn digest_for(&self, key: &ProviderKey) -> Result<Option<Digest>, StoreError> {
        if let Some(shared) = self.inner.live(|shared| shared.key() == *key) {
            return Ok(Some(shared.digest()));
        }
        self.inner.db.read(|read| read.digest_for(key))
    }
}

/// A whole blob, found in a place that is as it was.
pub(crate) struct Found {
    row: BlobRow,
    place: Place,
}

enum Place {
    Owned(Vec<u8>),
    Source { path: PathBuf, file: Handle, stamp: Stamp, is_fresh: bool },
}

impl Inner {
    /// How a file in place is, which should have the content `digest`.
    pub(crate) fn state_of(&self, path: &Path, digest: &Digest) -> Result<ShareState, StoreError> {
        let row = self.db.read(|read| read.source(path))?;
        let Some(row) = row.filter(|row| row.digest == *digest) else {
            // Another content was published at this path since.
            return Ok(ShareState::Changed);
        };
        match self.files.stat(path) {
            Ok(metadata) if Stamp::of(&metadata) == row.stamp => match row.state {
                SourceState::Good | SourceState::Fresh => Ok(ShareState::Ok),
                SourceState::Changed => Ok(ShareState::Changed),
            },
            Ok(_) => match self.open_source(path, &row) {
                Ok(_) => Ok(ShareState::Ok),
                Err(ReadError::Missing { .. } | ReadError::Io { .. }) => Ok(ShareState::Missing),
                Err(_) => Ok(ShareState::Changed),
            },
            Err(_) => Ok(ShareState::Missing),
        }
    }

    fn live_partial(&self, digest: &Digest) -> Option<Arc<partial::Shared>> {
        self.live(|shared| shared.digest() == *digest)
    }

    pub(crate) fn live(&self, wanted: impl Fn(&partial::Shared) -> bool) -> Option<Arc<partial::Shared>> {
        // One of these may have become the last clone when it is let go of, which takes the lock again.
        let alive: Vec<_> = lock(&self.live).values().filter_map(Weak::upgrade).collect();
        alive.into_iter().find(|shared| wanted(shared))
    }

    /// Opens a file of a directory that is being received: one that is whole, in its place, and not noted yet.
    fn open_placed(&self, digest: &Digest) -> Option<Blob> {
        let directories: Vec<_> =
            lock(&self.placed).values().filter_map(|(_, placed)| placed.upgrade()).collect();
        directories.iter().find_map(|placed| {
            let placed = lock(placed);
            let (path, blob) = placed.unnoted(digest)?;
            let (file, stamp) = (self.files.open_source(&path).ok()?, blob.stamp);
            if Stamp::of(&file.metadata().ok()?) != stamp {
                return None;
            }
            let pairs = match &blob.outboard {
                NewOutboard::Inline(pairs) => Pairs::Memory(pairs.clone()),
                NewOutboard::File { name, .. } => {
                    let file = self.partials.open(name).ok()?;
                    Pairs::File(Window { path: name.into(), file, piece: Mutex::new((0, Vec::new())) })
                }
            };
            let tree = Tree::new(stamp.size);
            let body = Body::Source { path, file, stamp, is_fresh: false, pairs };
            Some(Blob { tree, ranges: GroupRanges::all(tree.groups()), body })
        })
    }

    /// Looks for a whole blob. The error is that of the last place where it should have been.
    fn find(&self, digest: &Digest) -> Result<Option<Found>, ReadError> {
        let known = self.db.read(|read| {
            let Some(row) = read.blob(digest)? else {
                return Ok(None);
            };
            Ok(Some((row, read.owned(digest)?, sources_in(read, digest)?)))
        })?;
        let Some((row, owned, sources)) = known else {
            return Ok(None);
        };
        if let Some(bytes) = owned {
            if Digest::of(&bytes) != *digest {
                return Err(StoreError::Damaged("a manifest is not what it should be".to_owned()).into());
            }
            return Ok(Some(Found { row, place: Place::Owned(bytes) }));
        }
        let mut error = None;
        for (path, source) in sources {
            match self.open_source(&path, &source) {
                Ok((file, stamp, is_fresh)) => {
                    let place = Place::Source { path, file, stamp, is_fresh };
                    return Ok(Some(Found { row, place }));
                }
                Err(failed) => error = Some(failed),
            }
        }
        error.map_or(Ok(None), Err)
    }

    /// Opens a whole blob in a file where it should be.
    pub(super) fn open_at(
        &self,
        digest: &Digest,
        row: BlobRow,
        path: PathBuf,
        source: &SourceRow,
    ) -> Result<Blob, ReadError> {
        let (file, stamp, is_fresh) = self.open_source(&path, source)?;
        self.open_found(digest, Found { row, place: Place::Source { path, file, stamp, is_fresh } })
    }

    fn open_found(&self, digest: &Digest, found: Found) -> Result<Blob, ReadError> {
        let tree = Tree::new(found.row.size);
        let pairs = match found.row.outboard {
            Outboard::Inline(pairs) => Pairs::Memory(pairs),
            Outboard::File => {
                let name = outboard_name(digest);
                let path = self.path.join(OUTBOARDS).join(&name);
                let opened = self.outboards.open(&name);
                let file = opened.map_err(|source| ReadError::Io { path: path.clone(), source })?;
                Pairs::File(Window { path, file, piece: Mutex::new((0, Vec::new())) })
            }
        };
        let body = match (found.place, pairs) {
            (Place::Source { path, file, stamp, is_fresh }, pairs) => {
                Body::Source { path, file, stamp, is_fresh, pairs }
            }
            (Place::Owned(bytes), Pairs::Memory(pairs)) => Body::Owned { bytes, pairs },
            (Place::Owned(_), Pairs::File(_)) => {
                return Err(StoreError::Damaged("a manifest is too long".to_owned()).into());
            }
        };
        Ok(Blob { tree, ranges: GroupRanges::all(tree.groups()), body })
    }

    /// Opens a file in place if it has the bytes that its row says.
    fn open_source(&self, path: &Path, row: &SourceRow) -> Result<(Handle, Stamp, bool), ReadError> {
        let read_error = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                ReadError::Missing { path: path.to_owned() }
            }
            _ => ReadError::Io { path: path.to_owned(), source: error },
        };
        let file = self.files.open_source(path).map_err(read_error)?;
        let metadata = file.metadata().map_err(read_error)?;
        if !metadata.is_file() {
            return Err(ReadError::Changed { path: path.to_owned() });
        }
        let stamp = Stamp::of(&metadata);
        let state = if stamp == row.stamp { row.state } else { self.hash_again(path, &file, stamp, row)? };
        match state {
            SourceState::Changed => Err(ReadError::Changed { path: path.to_owned() }),
            SourceState::Good => Ok((file, stamp, false)),
            SourceState::Fresh => Ok((file, stamp, true)),
        }
    }

    /// Finds out whether a file whose stamp is not what it was still has its bytes, and notes the answer.
    fn hash_again(
        &self,
        path: &Path,
        file: &Handle,
        stamp: Stamp,
        row: &SourceRow,
    ) -> Result<SourceState, ReadError> {
        let mut state = SourceState::Changed;
        if stamp.size == row.stamp.size {
            let _checking = Checking::start(self, path)?;
            match hash_unchanging(file, stamp, &Cancel::new()) {
                Ok(digest) if digest == row.digest => {
                    let is_fresh = stamp.is_fresh(SystemTime::now());
                    state = if is_fresh { SourceState::Fresh } else { SourceState::Good };
                }
                Ok(_) => {}
                // Being written to: what it is now says nothing about what it is in the end.
                Err(HashError::Changed | HashError::Cancelled) => {
                    return Err(ReadError::Changed { path: path.to_owned() });
                }
                Err(HashError::Read(source) | HashError::Write(source)) => {
                    return Err(ReadError::Io { path: path.to_owned(), source });
                }
            }
        }
        let new = SourceRow { digest: row.digest, stamp, state };
        // Only saves the work next time; that the disk is full is no reason not to serve.
        if let Err(error) = self.note_sources(&[(path.to_owned(), row.clone(), new)]) {
            tracing::debug!(%error, "could not note what was found out about a file");
        }
        Ok(state)
    }

    /// Notes what was found out about files in place, but for those that were published again meanwhile.
    pub(crate) fn note_sources(&self, changes: &[(PathBuf, SourceRow, SourceRow)]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.db.write(|write| {
            for (path, old, new) in changes {
                if write.source(path)?.as_ref() == Some(old) {
                    write.set_source(path, new)?;
                }
            }
            Ok(())
        })
    }

    /// The files in place that should have a blob, with what is known of each.
    pub(crate) fn sources_of(&self, digest: &Digest) -> Result<Vec<(PathBuf, SourceRow)>, StoreError> {
        self.db.read(|read| sources_in(read, digest))
    }
}

fn sources_in(read: &Read, digest: &Digest) -> Result<Vec<(PathBuf, SourceRow)>, StoreError> {
    let mut sources = Vec::new();
    for path in read.places(digest, MAX_PLACES)? {
        let row = read.source(&path)?.filter(|row| row.digest == *digest);
        sources.extend(row.map(|row| (path, row)));
    }
    Ok(sources)
}

/// Hashes a file with all threads; it must look as it does before and after.
pub(crate) fn hash_unchanging(file: &Handle, stamp: Stamp, cancel: &Cancel) -> Result<Digest, HashError> {
    let digest = hash_wide(file, stamp.size, &Sink::Nowhere, all_threads(), &|_| {}, cancel)?;
    let after = Stamp::of(&file.metadata().map_err(HashError::Read)?);
    if after == stamp { Ok(digest) } else { Err(HashError::Changed) }
}

/// A file is hashed again by one thread at a time: a peer that asks for it a hundred times at once must not
/// make us read it a hundred times.
struct Checking<'a> {
    inner: &'a Inner,
    path: &'a Path,
}

impl<'a> Checking<'a> {
    fn start(inner: &'a Inner, path: &'a Path) -> Result<Self, ReadError> {
        if lock(&inner.checking).insert(path.to_owned()) {
            Ok(Self { inner, path })
        } else {
            Err(ReadError::Checking { path: path.to_owned() })
        }
    }
}

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        lock(&self.inner.checking).remove(self.path);
    }
}

/// As many threads as this machine runs at once.
pub(crate) fn all_threads() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
