//! Puts a directory together beside its final name.
//!
//! The files grow in a folder that the store made and that gets the final name in one rename at the end. Completed
//! files are recorded with their digests like any file in place, many in one transaction, after one sync for all of
//! them. So they are served from there already, and are found after a crash without being read. Small files that
//! arrive within a short time are recorded only when the directory is finished, in their final place.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
};

use shoal_content::{Cid, Digest, Entry, GroupRanges, Manifest, RelPath};

use crate::{
    FinishError, Partial, PartialError, Store,
    commit::NewOutboard,
    db::Holder,
    disk::{DownloadRow, Outboard},
    files::Dir,
    finish::{How, Name},
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

/// Small files that wait to be noted, and bytes of all that wait. Each time costs a sync of all that was written, and rows
/// that move when the directory gets its name; so an ordinary directory is noted once, where it lies then. More would be
/// read again after a crash, and take memory until then: some 150 bytes each.
const BATCH_FILES: usize = 128 * 1024;
const BATCH_BYTES: u64 = 256 * 1024 * 1024;

/// Long files that wait: each is an open file until then.
const BATCH_LONG_FILES: usize = 64;

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
#[derive(Debug)]
pub(crate) struct Placed {
    manifest: Arc<Manifest>,
    /// Where they are.
    path: PathBuf,
    /// Whether each entry of the manifest is.
    done: Vec<bool>,
    /// Those that are not noted yet.
    unnoted: Vec<Unnoted>,
    unnoted_bytes: u64,
    /// Where among these each content is, by the beginning of its digest.
    by_digest: HashMap<u64, u32>,
    /// Whether rows may speak of files in the folder.
    any_noted: bool,
    /// Records that are of no use once these are noted.
    stems: Vec<String>,
}

/// A file that is whole and not noted yet. There may be very many: what the manifest says of it is not repeated here.
#[derive(Debug)]
pub(crate) struct Unnoted {
    /// Its number in the manifest.
    index: usize,
    pub(crate) stamp: Stamp,
    pub(crate) outboard: NewOutboard,
}

/// Directories being put together: of each the folder, the digest of its manifest, and its files that are whole.
pub(crate) type Underway = HashMap<PathBuf, (Digest, Weak<Mutex<Placed>>)>;

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
    /// [`PartialError::Foreign`], and one in which a directory is being put together is [`PartialError::InUse`].
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
        let placed = Arc::new(Mutex::new(Placed::new(Arc::clone(&manifest), path.clone())));
        self.claim_folder(&path, cid.digest(), &placed)?;
        let known = inner.db.read(|read| read.download(&path))?;
        let folder = match parent.make_dir(&name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
            _ => parent.open_dir(&name).map_err(|_| foreign())?,
        };
        if !folder.hold() {
            return Err(PartialError::InUse { path: part.to_owned() });
        }
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
        lock(&placed).any_noted = any_noted;
        let store = self.clone();
        Ok(PartialDirectory { store, cid, manifest, path, parent, name, folder, was_empty, placed })
    }

    /// Notes who puts a directory together in this folder: two would each take the other's files for left-overs, also when
    /// one of them has given the folder its final name.
    fn claim_folder(
        &self,
        path: &Path,
        root: Digest,
        placed: &Arc<Mutex<Placed>>,
    ) -> Result<(), PartialError> {
        let mut all = lock(&self.inner.placed);
        all.retain(|_, (_, other)| other.strong_count() > 0);
        if all.contains_key(path) {
            return Err(PartialError::InUse { path: path.to_owned() });
        }
        all.insert(path.to_owned(), (root, Arc::downgrade(placed)));
        Ok(())
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
        let settled = partial.shared.settle(&mut state, file, &how)?;
        let stem = match &state.body {
            Body::Disk(disk) => Some(disk.stem.clone()),
            Body::Memory(_) => None,
        };
        state.finished = true;
        drop(state);
        let mut placed = lock(&self.placed);
        placed.push(Unnoted { index, stamp: settled.stamp, outboard: settled.outboard }, stem);
        self.note_if_due(&mut placed)
    }

    fn note_if_due(&self, placed: &mut Placed) -> Result<(), FinishError> {
        let is_due = placed.unnoted.len() >= BATCH_FILES
            || placed.unnoted_bytes >= BATCH_BYTES
            || placed.stems.len() >= BATCH_LONG_FILES;
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
    fn new(manifest: Arc<Manifest>, path: PathBuf) -> Self {
        Self {
            done: vec![false; manifest.entries().len()],
            manifest,
            path,
            unnoted: Vec::new(),
            unnoted_bytes: 0,
            by_digest: HashMap::new(),
            any_noted: false,
            stems: Vec::new(),
        }
    }

    /// The entries whose files are whole.
    pub(crate) fn held(&self) -> GroupRanges {
        let done = self.done.iter().enumerate().filter(|(_, done)| **done);
        done.map(|(index, _)| index as u64..index as u64 + 1).collect()
    }

    /// A file that is whole and not noted yet, and where it is.
    pub(crate) fn unnoted(&self, digest: &Digest) -> Option<(PathBuf, &Unnoted)> {
        let at = self.by_digest.get(&beginning(digest))?;
        let unnoted = self.unnoted.get(usize::try_from(*at).ok()?)?;
        let entry = self.manifest.entries().get(unnoted.index).filter(|entry| entry.digest == *digest)?;
        Some((self.path.join(entry.path.as_str()), unnoted))
    }

    /// Takes all that is not noted yet.
    fn take_unnoted(&mut self) -> Vec<Unnoted> {
        self.by_digest = HashMap::new();
        self.unnoted_bytes = 0;
        std::mem::take(&mut self.unnoted)
    }

    fn mark(&mut self, index: usize) {
        if let Some(done) = self.done.get_mut(index) {
            *done = true;
        }
    }

    fn push(&mut self, unnoted: Unnoted, stem: Option<String>) {
        if self.unnoted.is_empty() {
            // What grows by doubling leaves as much behind.
            let most = self.manifest.entries().len().min(BATCH_FILES);
            self.unnoted.reserve_exact(most);
            self.by_digest.reserve(most);
        }
        self.mark(unnoted.index);
        self.unnoted_bytes += unnoted.stamp.size;
        if let (Some(entry), Ok(at)) =
            (self.manifest.entries().get(unnoted.index), u32::try_from(self.unnoted.len()))
        {
            self.by_digest.insert(beginning(&entry.digest), at);
        }
        self.unnoted.push(unnoted);
        self.stems.extend(stem);
    }
}

/// Enough of a digest to find it by.
fn beginning(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
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
fn found_whole(dir: &Dir, name: &OsStr, entry: &Entry) -> io::Result<Option<(Stamp, NewOutboard)>> {
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
    Ok(Some((Stamp::of(&file.metadata()?), NewOutboard::Inline(pairs))))
}
