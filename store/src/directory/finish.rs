//! Gives a directory its final name, or gives it up.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use shoal_content::Entry;

use super::{Missing, PartialDirectory, Placed, Unnoted, open_parent};
use crate::{
    FinishError, FinishOptions, Replace, Share, ShareState, StoreError,
    commit::{NewBlobs, NewOutboard, Noting, keep_last},
    db::Holder,
    disk::ShareRow,
    files::Dir,
    finish::Name,
    lock::lock,
    partial::record,
    share::seconds,
    stamp::Stamp,
};

/// Files noted or moved in one transaction. With fewer, each page of the tables is written by more of them; with more,
/// other writers wait for longer.
const BATCH_ROWS: usize = 64 * 1024;

impl PartialDirectory {
    /// Gives the directory its final name in one step, and shares it there if asked to.
    ///
    /// It is durable when this returns. Files that were not placed are left out, which is an error if the
    /// directory is to be shared. With [`Replace::Overwrite`], a folder that has the name keeps its other files,
    /// and the step is one for each file.
    pub fn finish(&self, target: &Path, options: &FinishOptions) -> Result<Option<Share>, FinishError> {
        let io = |source| FinishError::Io { path: target.to_owned(), source };
        let mut placed = lock(&self.placed);
        if options.share_as.is_some() && placed.done.iter().any(|done| !done) {
            return Err(FinishError::Incomplete { path: self.path.clone() });
        }
        let final_name = Name::new(&self.store.inner.files, target).map_err(io)?;
        let existing = final_name.dir.open_dir(&final_name.name).ok();
        let existing = existing.filter(|_| options.replace == Replace::Overwrite);
        if placed.unnoted.is_empty() || (existing.is_none() && placed.is_found_again()) {
            self.sync(&placed).map_err(io)?;
        } else {
            self.note(&mut placed)?;
        }
        let moved = if let Some(existing) = &existing {
            self.merge(existing, &placed).map_err(io)?;
            Moved::Files
        } else {
            final_name.take(&self.parent, &self.name, Replace::Never)?;
            self.parent.sync().map_err(io)?;
            Moved::Folder
        };
        let share = options.share_as.as_ref().map(|name| ShareRow {
            cid: self.cid,
            name: name.clone(),
            size: self.manifest.total_size(),
            files: self.manifest.entries().len() as u64,
            published_at: seconds(SystemTime::now()),
        });
        // What is not noted yet is noted where it is now.
        let unnoted = if share.is_some() { placed.take_unnoted() } else { Vec::new() };
        let (first, last) = unnoted.split_at(unnoted.len().saturating_sub(BATCH_ROWS));
        self.note_in(&final_name.path, first)?;
        self.move_rows(
            &final_name.path,
            share.as_ref(),
            &Rows { moved, unnoted: last, any_noted: placed.any_noted },
        )?;
        if let Some(row) = &share {
            self.store.inner.journal.note(&final_name.path, Some(row.cid)).map_err(StoreError::Io)?;
        }
        Ok(share.map(|row| Share::new(final_name.path, row, ShareState::Ok)))
    }

    /// Removes what was placed, and the folder if there is nothing else in it.
    pub fn abandon(&self) -> Result<(), FinishError> {
        let mut placed = lock(&self.placed);
        *placed = Placed::new(Arc::clone(&self.manifest), self.path.clone());
        for entry in self.manifest.entries() {
            if let Ok((dir, name)) = open_parent(&self.folder, &entry.path, Missing::Fail) {
                dir.remove(&name).map_err(|source| FinishError::Io { path: self.path.clone(), source })?;
            }
        }
        self.remove_folders();
        let rows = Rows { moved: Moved::Folder, unnoted: &[], any_noted: true };
        self.move_rows(&self.path, None, &rows)
    }

    /// Notes what was placed since the last time, after making everything in the folder durable.
    pub(super) fn note(&self, placed: &mut Placed) -> Result<(), FinishError> {
        self.sync(placed).map_err(|source| FinishError::Io { path: self.path.clone(), source })?;
        let inner = &self.store.inner;
        placed.any_noted = true;
        self.note_in(&self.path, &placed.unnoted)?;
        placed.take_unnoted();
        for stem in placed.stems.drain(..) {
            if let Err(error) = record::forget(&inner.partials, &stem) {
                tracing::debug!(%error, "could not remove a record that is not needed");
            }
        }
        Ok(())
    }

    /// Notes files where they lie, in this folder.
    fn note_in(&self, folder: &Path, unnoted: &[Unnoted]) -> Result<(), StoreError> {
        let mut batches = unnoted.chunks(BATCH_ROWS);
        batches.try_for_each(|some| self.store.inner.commit_all(&self.lying_in(folder, some), |_| Ok(())))
    }

    fn lying_in<'a>(&'a self, folder: &'a Path, unnoted: &'a [Unnoted]) -> LyingIn<'a> {
        LyingIn { folder, entries: self.manifest.entries(), unnoted }
    }

    /// Makes everything in the folder durable: with one call where there is such a call.
    fn sync(&self, placed: &Placed) -> io::Result<()> {
        if self.folder.sync_filesystem()? {
            return Ok(());
        }
        for entry in placed.unnoted.iter().filter_map(|unnoted| self.entry(unnoted.index)) {
            self.store.inner.files.open_source(&self.path_of(&entry.path))?.sync_data()?;
        }
        self.folders().iter().try_for_each(|path| self.store.inner.files.dir(path)?.sync())?;
        self.folder.sync()
    }

    /// The folders within, outermost first.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for entry in self.manifest.entries() {
            let path = self.path_of(&entry.path);
            let inside = path.ancestors().skip(1).take_while(|folder| *folder != self.path);
            folders.extend(inside.map(Path::to_owned));
        }
        folders
    }

    /// Removes the folders that are empty, innermost first.
    fn remove_folders(&self) {
        for path in self.folders().iter().rev() {
            if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
                && let Ok(parent) = self.store.inner.files.dir(parent)
            {
                // One with files of somebody else's stays.
                let _stays = parent.remove_dir(name);
            }
        }
        let _stays = self.parent.remove_dir(&self.name);
    }

    /// Moves each file into a folder that is there already.
    fn merge(&self, existing: &Dir, placed: &Placed) -> io::Result<()> {
        let done = self.manifest.entries().iter().zip(&placed.done).filter(|(_, done)| **done);
        for (entry, _) in done.clone() {
            let (from, name) = open_parent(&self.folder, &entry.path, Missing::Fail)?;
            let (to, _) = open_parent(existing, &entry.path, Missing::Make)?;
            match from.rename(&name, &to, &name) {
                // An earlier attempt that failed later has moved it already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => drop(to.open(&name)?),
                renamed => renamed?,
            }
        }
        if !existing.sync_filesystem()? {
            for (entry, _) in done {
                open_parent(existing, &entry.path, Missing::Fail)?.0.sync()?;
            }
        }
        self.remove_folders();
        Ok(())
    }

    /// Moves the rows of the files to where they lie now, or drops them if they are not shared.
    fn move_rows(&self, target: &Path, share: Option<&ShareRow>, rows: &Rows<'_>) -> Result<(), FinishError> {
        let inner = &self.store.inner;
        let noted = if rows.any_noted { self.manifest.entries() } else { &[] };
        let mut batches = noted.chunks(BATCH_ROWS).peekable();
        loop {
            let batch = batches.next().unwrap_or_default();
            let is_last = batches.peek().is_none();
            let blobs = self.lying_in(target, if is_last { rows.unnoted } else { &[] });
            inner.commit_all(&blobs, |change| {
                match share {
                    Some(_) => change.move_sources(batch, &self.path, target, |path, stamp| {
                        self.stamp_at(path, stamp, rows.moved)
                    })?,
                    None => change.forget_sources(batch, &self.path)?,
                }
                if is_last {
                    if let Some(row) = share {
                        // It was kept when the folder was made, and encoding all of it again takes time and memory.
                        let is_kept = change.keep_manifest(&self.cid.digest(), Holder::Share(target))?;
                        let encoded = (!is_kept).then(|| self.manifest.encode());
                        change.put_share(target, row, encoded.as_ref())?;
                    }
                    change.write.remove_download(&self.path)?;
                    change.release_manifest(&self.cid.digest(), Holder::Download(&self.path))?;
                }
                Ok(())
            })?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The stamp of a file that was moved to `path`: moving a file moves its time of change; moving the folder around it
    /// does not.
    fn stamp_at(&self, path: &Path, mut stamp: Stamp, moved: Moved) -> Stamp {
        if let Moved::Files = moved
            && let Ok(now) = self.store.inner.files.stat(path)
        {
            stamp.ctime_ns = Stamp::of(&now).ctime_ns;
        }
        stamp
    }
}

/// The rows of the files of a directory that has its final name.
struct Rows<'a> {
    moved: Moved,
    /// Those that are not noted yet.
    unnoted: &'a [Unnoted],
    /// Whether any others are.
    any_noted: bool,
}

/// Files of a directory that are not noted yet, and the folder that they are in. As a list with the path of each, those of
/// a batch would take more memory than all else that is known of the directory.
struct LyingIn<'a> {
    folder: &'a Path,
    entries: &'a [Entry],
    unnoted: &'a [Unnoted],
}

impl LyingIn<'_> {
    fn index(&self, at: usize) -> Option<usize> {
        self.unnoted.get(at).map(|unnoted| unnoted.index)
    }

    fn entry(&self, at: usize) -> Option<&Entry> {
        self.entries.get(self.index(at)?)
    }
}

impl NewBlobs for LyingIn<'_> {
    fn get(&self, at: usize) -> Option<Noting<'_>> {
        let (entry, Unnoted { stamp, outboard, .. }) = (self.entry(at)?, self.unnoted.get(at)?);
        Some(Noting { digest: &entry.digest, stamp: *stamp, is_fresh: false, outboard })
    }

    fn path(&self, at: usize) -> Cow<'_, Path> {
        self.entry(at).map_or(Cow::default(), |entry| self.folder.join(entry.path.as_str()).into())
    }

    fn by_path(&self) -> Vec<usize> {
        // The entries of a manifest are sorted by their paths.
        let mut order: Vec<_> = (0..self.unnoted.len()).collect();
        order.sort_by_key(|at| self.index(*at));
        keep_last(&mut order, |a, b| self.index(a) == self.index(b));
        order
    }
}

impl Placed {
    /// Whether everything that is not noted would be found again after a crash: a small file is, by hashing it.
    fn is_found_again(&self) -> bool {
        let is_small = |unnoted: &Unnoted| matches!(unnoted.outboard, NewOutboard::Inline(_));
        self.stems.is_empty() && self.unnoted.iter().all(is_small)
    }
}

/// What was renamed.
#[derive(Clone, Copy)]
enum Moved {
    Folder,
    Files,
}
