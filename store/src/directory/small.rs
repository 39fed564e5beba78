//! Looks for many files of a directory at once, and puts many small ones in their places.

use std::{ffi::OsStr, io, path::Path};

use shoal_content::{Entry, RelPath, Tree};

use super::{Missing, PartialDirectory, Unnoted, found_whole, open_parent};
use crate::{
    FinishError, PartialError, Store,
    commit::NewOutboard,
    disk::{SourceRow, SourceState},
    files::{Dir, Handle},
    lock::lock,
    partial::SMALL_LEN,
    stamp::Stamp,
};

/// Files whose rows are read at once: those of a whole directory could be as many as a manifest may have.
const STANDINGS_AT_ONCE: usize = 4096;

/// How far a file of a directory is, as far as that can be told without beginning to receive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in its place.
    Done {
        /// Its size.
        size: u64,
    },
    /// Its bytes may be elsewhere on this disk.
    Known,
    /// It is to be received.
    Wanted,
}

/// A file of a directory that was received to memory, whole and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallFile {
    /// Its number in the manifest.
    pub index: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its hash tree: all pairs in pre-order, which is the order in which they are sent.
    pub pairs: Vec<u8>,
}

impl Store {
    /// Longest file that is received to memory, and then [placed](PartialDirectory::place_small) with others.
    pub const SMALL_LEN: u64 = SMALL_LEN;
}

impl PartialDirectory {
    /// Finds out how far the files with these numbers are. Begins nothing.
    pub fn standing(&self, indexes: &[usize]) -> Result<Vec<Standing>, PartialError> {
        let mut standings = Vec::with_capacity(indexes.len());
        for indexes in indexes.chunks(STANDINGS_AT_ONCE) {
            standings.extend(self.standing_of_some(indexes)?);
        }
        Ok(standings)
    }

    fn standing_of_some(&self, indexes: &[usize]) -> Result<Vec<Standing>, PartialError> {
        let known = self.store.inner.db.read(|read| {
            let of = |index: &usize| match self.entry(*index) {
                Some(entry) => {
                    // Nothing is noted of files in a folder that was just made.
                    let row = if self.was_empty { None } else { read.source(&self.path_of(&entry.path))? };
                    Ok((row, read.blob(&entry.digest)?.is_some()))
                }
                None => Ok((None, false)),
            };
            indexes.iter().map(of).collect::<Result<Vec<_>, _>>()
        })?;
        let mut parents = Parents::new(&self.folder, Missing::Fail);
        let mut standings = Vec::with_capacity(indexes.len());
        for (index, (row, is_known)) in indexes.iter().zip(known) {
            let entry = self.entry(*index).ok_or(PartialError::NoMember { index: *index })?;
            let is_placed = lock(&self.placed).done.get(*index).is_some_and(|done| *done);
            let done = match row {
                _ if is_placed => Some(entry.size),
                _ if self.was_empty => None,
                row => self.find(*index, entry, row, &mut parents)?,
            };
            standings.push(match done {
                Some(size) => Standing::Done { size },
                None if is_known => Standing::Known,
                None => Standing::Wanted,
            });
        }
        Ok(standings)
    }

    /// Looks whether a file is in its place, noted or not. Gives its size.
    pub(super) fn find(
        &self,
        index: usize,
        entry: &Entry,
        noted: Option<SourceRow>,
        parents: &mut Parents<'_>,
    ) -> Result<Option<u64>, PartialError> {
        let path = self.path_of(&entry.path);
        let stamp = || self.store.inner.files.stat(&path).map(|metadata| Stamp::of(&metadata)).ok();
        if let Some(row) = noted
            && row.digest == entry.digest
            && row.state != SourceState::Changed
            && Some(row.stamp) == stamp()
        {
            lock(&self.placed).mark(index);
            return Ok(Some(row.stamp.size));
        }
        let io = |source| PartialError::Io { path: path.clone(), source };
        let name = name_of(&entry.path);
        let dir = match parents.of(&entry.path) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let Some((stamp, outboard)) = found_whole(dir, name, entry).map_err(io)? else {
            return Ok(None);
        };
        lock(&self.placed).push(Unnoted { index, stamp, outboard }, None);
        Ok(Some(entry.size))
    }

    /// Puts small files in their places, where they are from now on served.
    ///
    /// They are durable once the directory is finished. What was placed before an error stays.
    pub fn place_small(&self, files: Vec<SmallFile>) -> Result<(), FinishError> {
        let mut parents = Parents::new(&self.folder, Missing::Make);
        let mut placed = Vec::with_capacity(files.len());
        let mut result = Ok(());
        for file in files {
            match self.write_small(&file, &mut parents) {
                Ok(unnoted) => placed.push(unnoted),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let mut all = lock(&self.placed);
        for unnoted in placed {
            all.push(unnoted, None);
        }
        result?;
        self.note_if_due(&mut all)
    }

    fn write_small(&self, file: &SmallFile, parents: &mut Parents<'_>) -> Result<Unnoted, FinishError> {
        let entry = self.entry(file.index);
        let entry = entry.ok_or_else(|| FinishError::Foreign { path: self.path.clone() })?;
        let path = || self.path_of(&entry.path);
        let (size, tree) = (file.bytes.len() as u64, Tree::new(entry.size));
        if size != entry.size {
            return Err(FinishError::WrongSize { path: path(), listed: entry.size, size });
        }
        if size > SMALL_LEN || file.pairs.len() as u64 != tree.outboard_len() {
            return Err(FinishError::Incomplete { path: path() });
        }
        let write = |dir: &Dir, name: &OsStr| {
            let handle = create(dir, name)?;
            handle.write_all_at(&file.bytes, 0)?;
            if entry.executable {
                handle.make_executable()?;
            }
            Ok(Stamp::of(&handle.metadata()?))
        };
        let written = parents.of(&entry.path).and_then(|dir| write(dir, name_of(&entry.path)));
        let stamp = written.map_err(|source| FinishError::Io { path: path(), source })?;
        Ok(Unnoted { index: file.index, stamp, outboard: NewOutboard::Inline(file.pairs.clone()) })
    }
}

/// Makes a file in a folder of ours. One that is there is left over, and replaced.
fn create(dir: &Dir, name: &OsStr) -> io::Result<Handle> {
    match dir.create(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            dir.remove(name)?;
            dir.create(name)
        }
        made => made,
    }
}

/// The folders that files are in. Neighbours in a manifest are mostly in the same one, so the last stays open.
pub(super) struct Parents<'a> {
    folder: &'a Dir,
    missing: Missing,
    last: Option<(RelPath, Dir)>,
}

impl<'a> Parents<'a> {
    pub(super) fn new(folder: &'a Dir, missing: Missing) -> Self {
        Self { folder, missing, last: None }
    }

    /// The open folder of a file.
    fn of(&mut self, path: &RelPath) -> io::Result<&Dir> {
        let same = |last: &RelPath| parent(last) == parent(path);
        if !self.last.as_ref().is_some_and(|(last, _)| same(last)) {
            let (dir, _) = open_parent(self.folder, path, self.missing)?;
            self.last = Some((path.clone(), dir));
        }
        self.last.as_ref().map(|(_, dir)| dir).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn name_of(path: &RelPath) -> &OsStr {
    OsStr::new(path.components().next_back().unwrap_or_default())
}

fn parent(path: &RelPath) -> Option<&Path> {
    Path::new(path.as_str()).parent()
}
