//! Puts what was received under its final name.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use shoal_content::{Cid, Digest};

use crate::{
    Partial, Share, ShareState, StoreError,
    commit::{NewBlob, NewOutboard},
    disk::ShareRow,
    files::{Dir, Files, Handle},
    lock::lock,
    partial::{Body, PartFile, PartTrouble, Place, SMALL_LEN, Shared, State, record},
    share::seconds,
    stamp::Stamp,
    store::Inner,
};

#[cfg(test)]
mod tests;

/// What to do when the final name is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replace {
    /// Fail with [`FinishError::Exists`] and change nothing.
    #[default]
    Never,
    /// Replace the file. In a directory, files of the same paths are replaced and others stay.
    Overwrite,
}

/// How to finish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinishOptions {
    /// What to do when the final name is taken.
    pub replace: Replace,
    /// The name under which to share it where it then lies; nothing if it is only to be there.
    pub share_as: Option<String>,
}

/// Why something could not be put under its final name. What was received is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// Something has the final name.
    #[error("{} exists", .path.display())]
    Exists {
        /// The final name.
        path: PathBuf,
    },
    /// Groups are still missing, or were damaged since they were received and have to be fetched again.
    #[error("{} is not complete", .path.display())]
    Incomplete {
        /// The part file.
        path: PathBuf,
    },
    /// The manifest says that a file has another size than it has, so there is no such directory.
    #[error("{} has {size} bytes, and its manifest says {listed}", .path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// The size in the manifest.
        listed: u64,
        /// The size.
        size: u64,
    },
    /// The part file is no longer the one that was written to.
    #[error("{} was replaced or removed meanwhile", .path.display())]
    Foreign {
        /// The part file.
        path: PathBuf,
    },
    /// The disk failed or is full.
    #[error("could not write {}", .path.display())]
    Io {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed. If it did so at the very end, everything is in place and only not shared.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Partial {
    /// Puts a whole file under its final name, and shares it there if asked to.
    ///
    /// It is durable when this returns. After a crash there is either the part file or the whole file. `target`
    /// must be on the same file system as the part file; after an error another one can be tried.
    pub fn finish(&self, target: &Path, options: &FinishOptions) -> Result<Option<Share>, FinishError> {
        let shared = &self.shared;
        let Place::File(place) = &shared.place else {
            return Err(FinishError::Incomplete { path: shared.path() });
        };
        let io = |source| FinishError::Io { path: target.to_owned(), source };
        let final_name = Name::new(&shared.store.inner.files, target).map_err(io)?;
        final_name.check(options.replace)?;
        let _order = lock(&shared.syncing);
        // All of it is there: whoever waits for this brings, or asks for, nothing new.
        let mut state = lock(&shared.state);
        let tree = state.tree.filter(|_| state.is_complete() && !state.finished);
        let tree = tree.ok_or_else(|| FinishError::Incomplete { path: place.path.clone() })?;
        let inner = &shared.store.inner;
        let how = How { durably: true, executable: false };
        let settled = shared.settle(&mut state, place, &how)?;
        if let Err(error) = final_name.take(&place.dir, &place.name, options.replace) {
            if matches!(state.body, Body::Memory(_)) {
                place.dir.remove(&place.name).map_err(io)?;
            }
            return Err(error);
        }
        state.finished = true;
        drop(state);
        place.dir.sync().map_err(io)?;
        let share = options.share_as.as_ref().map(|name| ShareRow {
            cid: Cid::file(shared.digest()),
            name: name.clone(),
            size: tree.size(),
            files: 1,
            published_at: seconds(SystemTime::now()),
        });
        let path = final_name.path.clone();
        if let Some(row) = &share {
            let blob = NewBlob {
                digest: shared.digest(),
                // Renaming moved the time of change.
                stamp: final_name.stamp().map_err(io)?,
                is_fresh: false,
                outboard: settled.outboard,
            };
            inner.commit(&[(path.clone(), blob)], |change| change.put_share(&path, row, None))?;
            inner.journal.note(&path, Some(row.cid)).map_err(StoreError::Io)?;
        }
        if let Body::Disk(disk) = &lock(&shared.state).body {
            record::remove(&inner.partials, &disk.stem).map_err(io)?;
        }
        Ok(share.map(|row| Share::new(path, row, ShareState::Ok)))
    }
}

impl PartTrouble {
    pub(crate) fn at(self, path: &Path) -> FinishError {
        match self {
            Self::Foreign => FinishError::Foreign { path: path.to_owned() },
            Self::Touched => FinishError::Incomplete { path: path.to_owned() },
            Self::Io(source) => FinishError::Io { path: path.to_owned(), source },
        }
    }
}

/// A final name, and the open folder it is in.
pub(crate) struct Name {
    pub(crate) dir: Dir,
    pub(crate) name: OsString,
    pub(crate) path: PathBuf,
}

impl Name {
    pub(crate) fn new(files: &Files, path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize()?;
        Ok(Self { dir: files.dir(&parent)?, path: parent.join(&name), name })
    }

    /// Says early what [`take`](Self::take) would say at the end.
    pub(crate) fn check(&self, replace: Replace) -> Result<(), FinishError> {
        let is_in_the_way = match self.dir.is_dir(&self.name) {
            Ok(is_dir) => is_dir || replace == Replace::Never,
            Err(_) => false,
        };
        if is_in_the_way { Err(FinishError::Exists { path: self.path.clone() }) } else { Ok(()) }
    }

    /// Gives the name to the file `name` of `dir`, durably.
    pub(crate) fn take(&self, dir: &Dir, name: &OsStr, replace: Replace) -> Result<(), FinishError> {
        let renamed = match replace {
            Replace::Never => dir.rename_new(name, &self.dir, &self.name),
            Replace::Overwrite => dir.rename(name, &self.dir, &self.name),
        };
        renamed.and_then(|()| self.dir.sync()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => FinishError::Exists { path: self.path.clone() },
            _ => FinishError::Io { path: self.path.clone(), source },
        })
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp::of(&self.dir.open(&self.name)?.metadata()?))
    }
}

/// A whole blob in its part file.
pub(crate) struct Settled {
    pub(crate) stamp: Stamp,
    pub(crate) outboard: NewOutboard,
}

/// How to settle it.
pub(crate) struct How {
    pub(crate) durably: bool,
    pub(crate) executable: bool,
}

impl Shared {
    /// Puts a whole blob into its part file. Where somebody else wrote to that meanwhile it is read again, and it is not
    /// whole any more if they left other bytes.
    pub(crate) fn settle(
        &self,
        state: &mut State,
        place: &PartFile,
        how: &How,
    ) -> Result<Settled, FinishError> {
        let at = |trouble: PartTrouble| trouble.at(&place.path);
        match settle(&self.store.inner, &self.digest(), &state.body, place, how) {
            Err(PartTrouble::Touched) => {
                self.look_again(state).map_err(|source| at(source.into()))?;
                if !state.is_complete() {
                    return Err(at(PartTrouble::Touched));
                }
                settle(&self.store.inner, &self.digest(), &state.body, place, how).map_err(at)
            }
            settled => settled.map_err(at),
        }
    }
}

/// Puts a whole blob into its part file, which is not written to again.
fn settle(
    store: &Inner,
    digest: &Digest,
    body: &Body,
    place: &PartFile,
    how: &How,
) -> Result<Settled, PartTrouble> {
    match body {
        Body::Memory(memory) => {
            let file = write_whole(place, &memory.data)?;
            finish_file(&file, how)?;
            let stamp = Stamp::of(&file.metadata()?);
            Ok(Settled { stamp, outboard: NewOutboard::Inline(memory.pairs.clone()) })
        }
        Body::Disk(disk) => {
            if !place.is(disk.id)? {
                return Err(PartTrouble::Foreign);
            }
            disk.write_no_more();
            if how.durably {
                disk.data.sync_data()?;
            }
            if disk.was_touched()? {
                return Err(PartTrouble::Touched);
            }
            if how.executable {
                disk.data.make_executable()?;
            }
            let handle = record::open_pairs(store, &disk.stem, digest)?;
            let stamp = Stamp::of(&disk.data.metadata()?);
            let name = record::pairs_name(&disk.stem);
            Ok(Settled { stamp, outboard: NewOutboard::File { name, handle: Arc::new(handle) } })
        }
    }
}

fn finish_file(file: &Handle, how: &How) -> io::Result<()> {
    if how.executable {
        file.make_executable()?;
    }
    if how.durably { file.sync_data() } else { Ok(()) }
}

/// Writes a small file at once. One that is there already must be what is left of an earlier attempt.
fn write_whole(place: &PartFile, data: &[u8]) -> Result<Handle, PartTrouble> {
    let file = place.make(|found| Ok(is_remnant(&found.read_all(SMALL_LEN + 1)?, data)))?;
    file.write_all_at(data, 0)?;
    Ok(file)
}

/// Whether a file holds nothing but what a crash can leave of `data`: some of its bytes, and zeros for others.
/// Then writing to it loses nothing of anybody's.
fn is_remnant(found: &[u8], data: &[u8]) -> bool {
    found.len() <= data.len() && found.iter().zip(data).all(|(found, byte)| found == byte || *found == 0)
}
