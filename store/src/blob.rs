//! A blob that can be read and served.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use shoal_content::{GroupRanges, PARENT_LEN, Tree};

use crate::{StoreError, files::Handle, partial, stamp::Stamp};

mod find;
mod lead;
#[cfg(test)]
mod tests;

pub(crate) use find::{MAX_PLACES, all_threads, hash_unchanging};
pub use lead::Lead;

/// Length of the piece of an outboard that is read at once. Pairs are wanted mostly one after the other, and
/// a system call for each 64 bytes would cost more than hashing.
const WINDOW_LEN: u64 = 16 * 1024;

/// Why a blob cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file has other bytes than were published.
    #[error("{} has changed since it was published", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is gone.
    #[error("{} is gone", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file looks modified and is being hashed again right now: ask later.
    #[error("{} is being checked", .path.display())]
    Checking {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("could not read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// These bytes are beyond the end of the blob, or were not received yet.
    #[error("this part of the blob is not here")]
    NotHere,
    /// A copy on this disk has other bytes than its digest says.
    #[error("the copy on this disk is damaged")]
    NotThis,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How much of a blob is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The size of the blob: a claim if its last group is not in `ranges`.
    pub size: u64,
    /// The groups that are here.
    pub ranges: GroupRanges,
    /// Whether these are all.
    pub complete: bool,
}

/// A blob, or the part of it that is here, open to be read by several threads at once.
///
/// Nothing is locked: the owner of the file may change it at any time. Whoever sends the bytes to somebody
/// calls [`recheck`](Self::recheck) after reading them, and verifies them first if
/// [`needs_verifying`](Self::needs_verifying) says so.
#[derive(Debug)]
pub struct Blob {
    tree: Tree,
    ranges: GroupRanges,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// A file in place.
    Source { path: PathBuf, file: Handle, stamp: Stamp, is_fresh: bool, pairs: Pairs },
    /// Bytes from the database.
    Owned { bytes: Vec<u8>, pairs: Vec<u8> },
    /// What was received so far.
    Partial(Arc<partial::Shared>),
}

#[derive(Debug)]
enum Pairs {
    Memory(Vec<u8>),
    File(Window),
}

/// The piece of an outboard file that was read last.
#[derive(Debug)]
struct Window {
    path: PathBuf,
    file: Handle,
    /// Where the piece starts, and the piece.
    piece: Mutex<(u64, Vec<u8>)>,
}

impl Blob {
    /// What was received so far of a blob that still arrives.
    pub(crate) fn partial(tree: Tree, ranges: GroupRanges, shared: Arc<partial::Shared>) -> Self {
        Self { tree, ranges, body: Body::Partial(shared) }
    }

    /// The size in bytes: a claim if the last group is not in [`ranges`](Self::ranges).
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The shape of the hash tree.
    pub fn tree(&self) -> Tree {
        self.tree
    }

    /// The groups that are here.
    pub fn ranges(&self) -> &GroupRanges {
        &self.ranges
    }

    /// Whether all groups are here.
    pub fn is_complete(&self) -> bool {
        self.ranges.len() == self.tree.groups()
    }

    /// Fills `buffer` with the bytes from `offset` on, which must all lie in [`ranges`](Self::ranges).
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size());
        let end = end.ok_or(ReadError::NotHere)?;
        match &self.body {
            Body::Source { path, file, .. } => {
                file.read_exact_at(buffer, offset).map_err(|error| unread(path, error))
            }
            Body::Owned { bytes, .. } => {
                let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
                let bytes = range.and_then(|(start, end)| bytes.get(start..end));
                buffer.copy_from_slice(bytes.ok_or(ReadError::NotHere)?);
                Ok(())
            }
            Body::Partial(shared) => shared.read_at(self.tree, offset, buffer),
        }
    }

    /// The same for several buffers, one after the other, with as few calls as it takes.
    pub fn read_slices_at(&self, offset: u64, buffers: &mut [&mut [u8]]) -> Result<(), ReadError> {
        let len: u64 = buffers.iter().map(|buffer| buffer.len() as u64).sum();
        if offset.checked_add(len).is_none_or(|end| end > self.size()) {
            return Err(ReadError::NotHere);
        }
        if let Body::Source { path, file, .. } = &self.body {
            return file.read_slices_at(buffers, offset).map_err(|error| unread(path, error));
        }
        let mut at = offset;
        for buffer in buffers {
            self.read_at(at, buffer)?;
            at += buffer.len() as u64;
        }
        Ok(())
    }

    /// Gives the pair of hashes in a slot of the outboard, above some group of [`ranges`](Self::ranges).
    pub fn parent(&self, index: u64) -> Result<[u8; PARENT_LEN], ReadError> {
        if index >= self.tree.parents() {
            return Err(ReadError::NotHere);
        }
        match &self.body {
            Body::Source { pairs: Pairs::Memory(pairs), .. } | Body::Owned { pairs, .. } => {
                pair_in(pairs, index).ok_or(ReadError::NotHere)
            }
            Body::Source { pairs: Pairs::File(window), .. } => window.pair(index),
            Body::Partial(shared) => shared.parent(self.tree, index),
        }
    }

    /// Whether to verify each group before it is sent: the file had been modified so shortly before it was
    /// published that it may have been modified again without a trace.
    pub fn needs_verifying(&self) -> bool {
        matches!(self.body, Body::Source { is_fresh: true, .. })
    }

    /// Looks at the file again. It fails if what was read until now may not be what the blob has.
    pub fn recheck(&self) -> Result<(), ReadError> {
        let Body::Source { path, file, stamp, .. } = &self.body else {
            return Ok(());
        };
        let now = file.metadata().map_err(|source| ReadError::Io { path: path.clone(), source })?;
        if Stamp::of(&now) == *stamp { Ok(()) } else { Err(ReadError::Changed { path: path.clone() }) }
    }
}

impl Window {
    fn pair(&self, index: u64) -> Result<[u8; PARENT_LEN], ReadError> {
        let mut piece = self.piece.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, bytes) = &mut *piece;
        let at = index * PARENT_LEN as u64;
        if !(*start..*start + bytes.len() as u64).contains(&at) {
            let io = |source| ReadError::Io { path: self.path.clone(), source };
            let len = self.file.metadata().map_err(io)?.len();
            let want = len.saturating_sub(at).min(WINDOW_LEN);
            bytes.clear();
            bytes.resize(usize::try_from(want).unwrap_or(0), 0);
            *start = at;
            self.file.read_exact_at(bytes, at).inspect_err(|_| bytes.clear()).map_err(io)?;
        }
        pair_in(bytes, (at - *start) / PARENT_LEN as u64).ok_or(ReadError::NotHere)
    }
}

/// What it means that a file in place could not be read: one that was cut is not what it was.
fn unread(path: &Path, source: io::Error) -> ReadError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Changed { path: path.to_owned() },
        _ => ReadError::Io { path: path.to_owned(), source },
    }
}

/// Takes a pair out of a run of them.
pub(crate) fn pair_in(pairs: &[u8], index: u64) -> Option<[u8; PARENT_LEN]> {
    let start = usize::try_from(index).ok()?.checked_mul(PARENT_LEN)?;
    pairs.get(start..)?.first_chunk().copied()
}
