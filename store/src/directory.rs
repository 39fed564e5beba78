//! Puts a directory together beside its final name.
//!
//! The files grow in a folder that the store made, and that gets the final name in one rename at the end. Each
//! file that is whole is noted with its digest like any file in place, many in one transaction, after one sync
//! for all of them; so it is served from there already, and is found again after a crash without being read.
//! Small files that arrive in short time are noted when the directory is finished, where they lie then.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use shoal_content::{Cid, Digest, Entry, Manifest, RelPath};

use crate::{
    FinishError, Partial, PartialError, Store,
    commit::{NewBlob, NewOutboard},
    db::Holder,
    disk::{DownloadRow, Outboard},
    files::Dir,
    finish::{How, Name, settle},
    lock::lock,
    owned,
    partial::{Body, Folder, PartFile, Place, SMALL_LEN},
    stamp::{FileId, Stamp},
};

mod finish;
mod small;
#[cfg(test)]
mod tests;

use small::Parents;
pub use small::{SmallFile, Standing};

/// Files noted at once, and bytes: each time costs a sync of all that was written, and a transaction. More would be read
/// again after a crash, and take memory until then.
const BATCH_FILES: usize = 16 * 1024;
const BATCH_BYTES: u64 = 64 * 1024 * 1024;

/// A folder in which a directory is being put together. All methods may be called from several threads.
///
/// Dropping it keeps the folder; the next one for the same directory and folder goes on from there.
#[derive(Debug)]
pub struct PartialDirectory {
    store: Store,
    cid: Cid,
    manifest: Arc<Manifest>,
    path: PathBuf,
    parent: Dir,
    name: OsString,
    folder: Dir,
    /// Whether there was nothing in the folder when it was opened.
    was_empty: bool,
    placed: Arc<Mutex<Placed>>,
}

/// Files that are whole.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// Whether each entry of the manifest is.
    done: Vec<bool>,
    /// Those that are not noted yet.
    unnoted: Vec<(PathBuf, NewBlob)>,
    unnoted_bytes: u64,
    /// Where among these each content is.
    by_digest: HashMap<Digest, usize>,
    /// Whether rows may speak of files in the folder.
    any_noted: bool,
    /// Records that are of no use once these are noted.
    stems: Vec<String>,
}

/// How far a file of a directory is.
#[derive(Debug)]
pub enum Member {
    /// It is in its place.
    Done {
        /// Its size.
        size: u64,
    },
    /// It is to be received, and then [placed](PartialDirectory::place).
    Wanted(Partial),
}

impl Store {
    /// Begins to put a directory together in the folder `part`, or goes on where it was left.
    ///
    /// # Errors
    ///
    /// A folder that is not empty and that this store did not make for this directory is
    /// [`PartialError::Foreign`].
    pub fn partial_directory(
        &self,
        manifest: impl Into<Arc<Manifest>>,
        part: &Path,
    ) -> Result<PartialDirectory, PartialError> {
        let io = |source| PartialError::Io { path: part.to_owned(), source };
        let foreign = || PartialError::Foreign { path: part.to_owned() };
        let manifest = manifest.into();
        let inner = &self.inner;
        let Name { dir: parent, name, path } = Name::new(&inner.files, part).map_err(io)?;
        let encoded = manifest.encode();
        let cid = encoded.cid();
        let known = inner.db.read(|read| read.download(&path))?;
        let folder = match parent.make_dir(&name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
            _ => parent.open_dir(&name).map_err(|_| foreign())?,
        };
        let id = FileId::of(&folder.metadata().map_err(io)?);
        let row = DownloadRow { cid, id };
        let was_empty = folder.names().map_err(io)?.is_empty();
        let any_noted = known.is_some();
        match known {
            Some(known) if known == row => {}
            // An empty folder is nobody's loss; a crash right after it was made leaves one.
            _ if !was_empty => return Err(foreign()),
            known => {
                parent.sync().map_err(io)?;
                inner.commit(&[], |change| {
                    if let Some(old) = known {
                        change.release_manifest(&old.cid.digest(), Holder::Download(&path))?;
                    }
                    change.put_manifest(&encoded, Holder::Download(&path))?;
                    change.write.set_download(&path, &row)
                })?;
            }
        }
        let done = vec![false; manifest.entries().len()];
        let placed = Arc::new(Mutex::new(Placed { done, any_noted, ..Placed::default() }));
        let mut all = lock(&inner.placed);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&placed));
        drop(all);
        let store = self.clone();
        Ok(PartialDirectory { store, cid, manifest, path, parent, name, folder, was_empty, placed })
    }
}

impl PartialDirectory {
    /// What is being put together.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Begins to receive the file with this number in the manifest, unless it is in its place already.
    pub fn member(&self, index: usize) -> Result<Member, PartialError> {
        let entry = self.entry(index).ok_or(PartialError::NoMember { index })?;
        let path = self.path_of(&entry.path);
        let known = self.store.inner.db.read(|read| read.source(&path))?;
        let mut parents = Parents::new(&self.folder, Missing::Fail);
        if let Some(size) = self.find(index, entry, known, &mut parents)? {
            return Ok(Member::Done { size });
        }
        let io = |source| PartialError::Io { path: path.clone(), source };
        let (dir, name) = open_parent(&self.folder, &entry.path, Missing::Make).map_err(io)?;
        let file = PartFile { dir, name, path, folder: Folder::Ours };
        self.store.partial_in(&entry.digest, Place::File(file)).map(Member::Wanted)
    }

    /// Puts a whole file in its place, where it is from now on served.
    ///
    /// It is durable once some more are placed, or the directory is finished.
    pub fn place(&self, index: usize, partial: &Partial) -> Result<(), FinishError> {
        let path = partial.shared.path();
        let (Some(entry), Place::File(file)) = (self.entry(index), &partial.shared.place) else {
            return Err(FinishError::Foreign { path });
        };
        let mut state = lock(&partial.shared.state);
        let is_this = path == self.path_of(&entry.path) && partial.digest() == entry.digest;
        let tree = state.tree.filter(|_| is_this && state.is_complete() && !state.finished);
        let size = tree.ok_or_else(|| FinishError::Incomplete { path: path.clone() })?.size();
        if size != entry.size {
            return Err(FinishError::WrongSize { path, listed: entry.size, size });
        }
        let how = How { durably: false, executable: entry.executable };
        let settled =
            settle(&self.store.inner, &entry.digest, &state.body, file, &how).map_err(|e| e.at(&path))?;
        let stem = match &state.body {
            Body::Disk(disk) => Some(disk.stem.clone()),
            Body::Memory(_) => None,
        };
        state.finished = true;
        drop(state);
        let (digest, stamp, outboard) = (entry.digest, settled.stamp, settled.outboard);
        let mut placed = lock(&self.placed);
        placed.push(index, path, NewBlob { digest, stamp, is_fresh: false, outboard }, stem);
        self.note_if_due(&mut placed)
    }

    fn note_if_due(&self, placed: &mut Placed) -> Result<(), FinishError> {
        let is_due = placed.unnoted.len() >= BATCH_FILES || placed.unnoted_bytes >= BATCH_BYTES;
        if is_due { self.note(placed) } else { Ok(()) }
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.manifest.entries().get(index)
    }

    /// Where a file of the directory is, for as long as the directory is not finished.
    fn path_of(&self, path: &RelPath) -> PathBuf {
        self.path.join(path.as_str())
    }
}

impl Placed {
    /// A file that is whole and not noted yet.
    pub(crate) fn unnoted(&self, digest: &Digest) -> Option<&(PathBuf, NewBlob)> {
        self.unnoted.get(*self.by_digest.get(digest)?)
    }

    /// Takes all that is not noted yet.
    fn take_unnoted(&mut self) -> Vec<(PathBuf, NewBlob)> {
        self.by_digest.clear();
        self.unnoted_bytes = 0;
        std::mem::take(&mut self.unnoted)
    }

    fn mark(&mut self, index: usize) {
        if let Some(done) = self.done.get_mut(index) {
            *done = true;
        }
    }

    fn push(&mut self, index: usize, path: PathBuf, blob: NewBlob, stem: Option<String>) {
        self.mark(index);
        self.unnoted_bytes += blob.stamp.size;
        self.by_digest.insert(blob.digest, self.unnoted.len());
        self.unnoted.push((path, blob));
        self.stems.extend(stem);
    }
}

/// What to do about folders that are missing on the way to a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Fail,
}

/// Opens the folder that a file of a directory is in, one name at a time, so that a symlink on the way is an
/// error and leads nowhere.
fn open_parent(folder: &Dir, path: &RelPath, missing: Missing) -> io::Result<(Dir, OsString)> {
    let mut names = path.components();
    let name = names.next_back().unwrap_or_default();
    let mut dir = folder.open_dir(OsStr::new("."))?;
    for name in names {
        let name = OsStr::new(name);
        dir = if missing == Missing::Make { dir.open_or_make_dir(name)? } else { dir.open_dir(name)? };
    }
    Ok((dir, name.into()))
}

/// Looks for a small file that was placed before a crash and not noted: hashing it costs next to nothing.
fn found_whole(dir: &Dir, name: &OsStr, entry: &Entry) -> io::Result<Option<NewBlob>> {
    if entry.size > SMALL_LEN {
        return Ok(None);
    }
    let file = match dir.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != entry.size {
        return Ok(None);
    }
    let bytes = file.read_all(SMALL_LEN)?;
    if Digest::of(&bytes) != entry.digest {
        return Ok(None);
    }
    if entry.executable {
        file.make_executable()?;
    }
    let Outboard::Inline(pairs) = owned::row(&bytes).outboard else {
        return Ok(None);
    };
    let (stamp, outboard) = (Stamp::of(&file.metadata()?), NewOutboard::Inline(pairs));
    Ok(Some(NewBlob { digest: entry.digest, stamp, is_fresh: false, outboard }))
}
