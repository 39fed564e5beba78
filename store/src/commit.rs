//! What is noted together, and in which order it reaches the disk.
//!
//! Outboard files are durable under their final names before the transaction that refers to them, and files that
//! nothing refers to any more are removed after it. Only one thread at a time does either, so a file is never
//! removed that another has just put there.

use std::{
    borrow::Cow,
    collections::HashSet,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    panic,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use shoal_content::{Digest, Encoded, Entry, Kind, Root};

use crate::{
    StoreError,
    db::{Holder, Write},
    disk::{BlobRow, Outboard, ShareRow, SourceRow, SourceState},
    files::Handle,
    lock::lock,
    owned,
    stamp::Stamp,
    store::{Inner, outboard_name},
};

/// Syncs under way at once. A disk finishes many together in little more than the time of one.
const SYNC_THREADS: usize = 16;

/// A blob that lies in a file in place, and is not noted yet.
#[derive(Debug)]
pub(crate) struct NewBlob {
    pub(crate) digest: Digest,
    pub(crate) stamp: Stamp,
    pub(crate) is_fresh: bool,
    pub(crate) outboard: NewOutboard,
}

/// Its hash tree.
#[derive(Clone, Debug)]
pub(crate) enum NewOutboard {
    Inline(Vec<u8>),
    /// A file in `partials`, not synced yet.
    File {
        name: OsString,
        handle: Arc<Handle>,
    },
}

/// What is to be noted of such a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noting<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) stamp: Stamp,
    pub(crate) is_fresh: bool,
    pub(crate) outboard: &'a NewOutboard,
}

impl Noting<'_> {
    fn row(&self) -> BlobRow {
        let outboard = match self.outboard {
            NewOutboard::Inline(pairs) => Outboard::Inline(pairs.clone()),
            NewOutboard::File { .. } => Outboard::File,
        };
        BlobRow { size: self.stamp.size, outboard }
    }

    fn source(&self) -> SourceRow {
        let state = if self.is_fresh { SourceState::Fresh } else { SourceState::Good };
        SourceRow { digest: *self.digest, stamp: self.stamp, state }
    }
}

/// Blobs to be noted together, by number. There may be very many: what is noted of each is put together when its turn
/// comes.
pub(crate) trait NewBlobs {
    fn get(&self, at: usize) -> Option<Noting<'_>>;

    fn path(&self, at: usize) -> Cow<'_, Path>;

    /// Their numbers in the order of their paths. Of those with one path only the last.
    fn by_path(&self) -> Vec<usize>;
}

impl NewBlobs for &[(PathBuf, NewBlob)] {
    fn get(&self, at: usize) -> Option<Noting<'_>> {
        let (_, NewBlob { digest, stamp, is_fresh, outboard }) = <[_]>::get(self, at)?;
        Some(Noting { digest, stamp: *stamp, is_fresh: *is_fresh, outboard })
    }

    fn path(&self, at: usize) -> Cow<'_, Path> {
        <[_]>::get(self, at).map_or(Cow::default(), |(path, _)| path.into())
    }

    fn by_path(&self) -> Vec<usize> {
        let path = |at: usize| <[_]>::get(self, at).map(|(path, _)| path.as_os_str().as_bytes());
        let mut order: Vec<_> = (0..self.len()).collect();
        order.sort_by_key(|at| path(*at));
        keep_last(&mut order, |a, b| path(a) == path(b));
        order
    }
}

/// Keeps the last of neighbours that are the same.
pub(crate) fn keep_last(order: &mut Vec<usize>, is_same: impl Fn(usize, usize) -> bool) {
    order.dedup_by(|later, kept| {
        let is_same = is_same(*later, *kept);
        if is_same {
            *kept = *later;
        }
        is_same
    });
}

/// A transaction, and the outboard files to remove after it.
pub(crate) struct Change<'a, 'txn> {
    pub(crate) write: &'a mut Write<'txn>,
    publishing: &'a [PathBuf],
    freed: Vec<Digest>,
}

impl Inner {
    /// Notes `blobs`, each at its path, and whatever else `change` does, durably and at once.
    pub(crate) fn commit<T>(
        &self,
        blobs: &[(PathBuf, NewBlob)],
        change: impl FnOnce(&mut Change<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.commit_all(&blobs, change)
    }

    /// The same for very many blobs.
    pub(crate) fn commit_all<T>(
        &self,
        blobs: &impl NewBlobs,
        change: impl FnOnce(&mut Change<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let all = || (0..).map_while(|at| blobs.get(at));
        sync_outboards(all()).map_err(StoreError::Io)?;
        let _names = lock(&self.outboard_names);
        let mut has_files = false;
        for blob in all() {
            if let NewOutboard::File { name, .. } = blob.outboard {
                self.name_outboard(name, blob.digest).map_err(StoreError::Io)?;
                has_files = true;
            }
        }
        if has_files {
            self.outboards.sync().map_err(StoreError::Io)?;
        }
        let publishing = lock(&self.publishing).clone();
        let (value, freed) = self.db.write(|write| {
            let mut under_way = Change { write, publishing: &publishing, freed: Vec::new() };
            under_way.put_sources(blobs)?;
            let value = change(&mut under_way)?;
            Ok((value, under_way.freed))
        })?;
        self.remove_outboards(&freed)?;
        Ok(value)
    }

    fn name_outboard(&self, name: &OsStr, digest: &Digest) -> io::Result<()> {
        let final_name = outboard_name(digest);
        match self.partials.rename(name, &self.outboards, &final_name) {
            // An earlier attempt that failed later has renamed it already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.outboards.open(&final_name).map(drop)
            }
            renamed => renamed,
        }
    }

    /// Removes outboard files unless their blobs came back meanwhile. What fails here is left to a later
    /// [`Store::collect`](crate::Store::collect).
    fn remove_outboards(&self, freed: &[Digest]) -> Result<(), StoreError> {
        for digest in freed {
            if self.db.read(|read| read.blob(digest))?.is_none()
                && let Err(error) = self.outboards.remove(&outboard_name(digest))
            {
                tracing::debug!(%error, "could not remove a hash tree that is not needed");
            }
        }
        Ok(())
    }
}

impl Change<'_, '_> {
    /// Notes files in place, each table by itself and in the order of its keys: however large a table is, each page of
    /// it is read and written once.
    fn put_sources(&mut self, blobs: &impl NewBlobs) -> Result<(), StoreError> {
        let mut order = blobs.by_path();
        let mut replaced = Vec::new();
        for at in &order {
            let (Some(blob), path) = (blobs.get(*at), blobs.path(*at)) else { continue };
            let old = self.write.set_source(&path, &blob.source())?.filter(|old| old.digest != *blob.digest);
            replaced.extend(old.map(|old| (old.digest, path.into_owned())));
        }
        order.sort_by_key(|at| blobs.get(*at).map(|blob| blob.digest));
        let mut unknown = Vec::new();
        for at in order {
            let (Some(blob), path) = (blobs.get(at), blobs.path(at)) else { continue };
            if self.write.set_blob(blob.digest, &blob.row(), Holder::Source(&path))? {
                unknown.push(*blob.digest);
            }
        }
        self.write.set_keys(&unknown)?;
        self.release_sources(replaced)
    }

    /// Drops files in place as reasons to keep blobs.
    fn release_sources<P: AsRef<Path>>(&mut self, mut sources: Vec<(Digest, P)>) -> Result<(), StoreError> {
        sources.sort_by_key(|(digest, _)| *digest);
        sources.iter().try_for_each(|(digest, path)| self.release(digest, Holder::Source(path.as_ref())))
    }

    /// Notes those files of `entries` that are known in the folder `from` where they lie now, in the folder `to`, each
    /// with the stamp that `look` finds there.
    pub(crate) fn move_sources(
        &mut self,
        entries: &[Entry],
        from: &Path,
        to: &Path,
        look: impl Fn(&Path, Stamp) -> Stamp,
    ) -> Result<(), StoreError> {
        let path_in = |folder: &Path, entry: &Entry| folder.join(entry.path.as_str());
        let mut moved = Vec::new();
        let mut replaced = Vec::new();
        for entry in entries {
            let Some(mut row) = self.write.remove_source(&path_in(from, entry))? else { continue };
            let path = path_in(to, entry);
            row.stamp = look(&path, row.stamp);
            let old = self.write.set_source(&path, &row)?.filter(|old| old.digest != row.digest);
            replaced.extend(old.map(|old| (old.digest, path)));
            moved.push((row.digest, entry));
        }
        moved.sort_by_key(|(digest, _)| *digest);
        for (digest, entry) in moved {
            let (old, new) = (path_in(from, entry), path_in(to, entry));
            self.write.move_holder(&digest, Holder::Source(&old), Holder::Source(&new))?;
        }
        self.release_sources(replaced)
    }

    /// Forgets those files of `entries` that are known in the folder `from`.
    pub(crate) fn forget_sources(&mut self, entries: &[Entry], from: &Path) -> Result<(), StoreError> {
        let mut forgotten = Vec::new();
        for entry in entries {
            let path = from.join(entry.path.as_str());
            if let Some(row) = self.write.remove_source(&path)? {
                forgotten.push((row.digest, path));
            }
        }
        self.release_sources(forgotten)
    }

    /// Forgets files in place, unless something needs them: a share, a download, or a publish that is under way,
    /// but for the one of `own`.
    pub(crate) fn remove_sources(&mut self, paths: &[PathBuf], own: Option<&Path>) -> Result<(), StoreError> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut needed: HashSet<PathBuf> = self.publishing.iter().cloned().collect();
        for path in self.write.shared_paths()? {
            needed.insert(path?);
        }
        needed.extend(self.write.downloads()?.into_iter().map(|(path, _)| path));
        if let Some(own) = own {
            needed.remove(own);
        }
        let mut removed = Vec::new();
        for path in paths {
            if path.ancestors().any(|ancestor| needed.contains(ancestor)) {
                continue;
            }
            if let Some(old) = self.write.remove_source(path)? {
                removed.push((old.digest, path));
            }
        }
        self.release_sources(removed)
    }

    /// Notes what is published at `path`, in place of what was.
    pub(crate) fn put_share(
        &mut self,
        path: &Path,
        row: &ShareRow,
        encoded: Option<&Encoded>,
    ) -> Result<(), StoreError> {
        if let Some(encoded) = encoded {
            self.put_manifest(encoded, Holder::Share(path))?;
        }
        match self.write.set_share(path, row)? {
            Some(old) if old.cid != row.cid => self.release_share(path, &old),
            _ => Ok(()),
        }
    }

    /// Forgets what was published at `path`, but for the files.
    pub(crate) fn remove_share(&mut self, path: &Path, row: &ShareRow) -> Result<(), StoreError> {
        self.write.remove_share(path)?;
        self.release_share(path, row)
    }

    fn release_share(&mut self, path: &Path, row: &ShareRow) -> Result<(), StoreError> {
        match row.cid.kind() {
            Kind::Directory => self.release_manifest(&row.cid.digest(), Holder::Share(path)),
            Kind::File => Ok(()),
        }
    }

    /// Keeps a manifest with its pages.
    pub(crate) fn put_manifest(&mut self, encoded: &Encoded, holder: Holder<'_>) -> Result<(), StoreError> {
        let root = encoded.cid().digest();
        self.put_owned(&root, &encoded.root, holder)?;
        encoded
            .pages
            .iter()
            .try_for_each(|page| self.put_owned(&Digest::of(page), page, Holder::Manifest(&root)))
    }

    /// Keeps a manifest that is here already for one more reason. False if it is not.
    pub(crate) fn keep_manifest(&mut self, root: &Digest, holder: Holder<'_>) -> Result<bool, StoreError> {
        let Some(bytes) = self.write.owned(root)? else { return Ok(false) };
        self.write.hold(root, &owned::row(&bytes), holder)?;
        Ok(true)
    }

    fn put_owned(&mut self, digest: &Digest, bytes: &[u8], holder: Holder<'_>) -> Result<(), StoreError> {
        if !self.write.owns(digest, bytes)? {
            self.write.own(digest, bytes)?;
        }
        self.write.hold(digest, &owned::row(bytes), holder)
    }

    /// Drops a reason to keep a manifest, and its pages with the last.
    pub(crate) fn release_manifest(&mut self, root: &Digest, holder: Holder<'_>) -> Result<(), StoreError> {
        let bytes = self.write.owned(root)?;
        self.release(root, holder)?;
        if self.write.is_held(root)? {
            return Ok(());
        }
        if let Some(Ok(Root::Paged(pages))) = bytes.map(|bytes| Root::decode(&bytes)) {
            for page in pages.iter() {
                self.release(&page.digest, Holder::Manifest(root))?;
            }
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, digest: &Digest, holder: Holder<'_>) -> Result<(), StoreError> {
        if self.write.release(digest, holder)? {
            self.freed.push(*digest);
        }
        Ok(())
    }
}

fn sync_outboards<'a>(blobs: impl Iterator<Item = Noting<'a>>) -> io::Result<()> {
    let files: Vec<&Arc<Handle>> = blobs
        .filter_map(|blob| match blob.outboard {
            NewOutboard::File { handle, .. } => Some(handle),
            NewOutboard::Inline(_) => None,
        })
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            file.sync_data()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..SYNC_THREADS.min(files.len())).map(|_| scope.spawn(work)).collect();
        work()?;
        helpers.into_iter().try_for_each(|h| h.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })
}
