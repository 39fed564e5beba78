//! Why a blob cannot be received.

use std::{io, path::PathBuf};

use crate::{ReadError, StoreError};

/// Why a blob cannot be received to some place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartialError {
    /// It is being received there already.
    #[error("{} is already being received", .path.display())]
    InUse {
        /// The part file or folder.
        path: PathBuf,
    },
    /// Somebody else's file or folder is in the way.
    #[error("{} is in the way, and was not made by this node", .path.display())]
    Foreign {
        /// The part file or folder.
        path: PathBuf,
    },
    /// The directory has no file with this number.
    #[error("the directory has no file {index}")]
    NoMember {
        /// The number.
        index: usize,
    },
    /// The disk failed or is full.
    #[error("could not prepare {}", .path.display())]
    Io {
        /// The part file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why verified bytes could not be written. What was written before is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// No size was claimed yet, or the bytes do not fit the tree of the size that was.
    #[error("these bytes do not fit the blob")]
    Misfit,
    /// The size is proven to be another.
    #[error("the blob has {proven} bytes, not {claimed}")]
    Size {
        /// The size.
        proven: u64,
        /// The claim.
        claimed: u64,
    },
    /// A manifest cannot be this long.
    #[error("{size} bytes are more than a manifest may have")]
    TooLong {
        /// The claim.
        size: u64,
    },
    /// Somebody else's file is in the way.
    #[error("{} is in the way, and was not made by this node", .path.display())]
    Foreign {
        /// The part file.
        path: PathBuf,
    },
    /// Another process is receiving to it.
    #[error("{} is already being received", .path.display())]
    InUse {
        /// The part file.
        path: PathBuf,
    },
    /// The disk has no room for the rest of the blob, whose size is proven.
    #[error("no space for {}: it needs {need} bytes more, and the disk has {available}", .path.display())]
    NoSpace {
        /// The part file.
        path: PathBuf,
        /// Bytes still to come.
        need: u64,
        /// Bytes the disk has left.
        available: u64,
    },
    /// The blob was put in its place or abandoned meanwhile.
    #[error("the blob is not being received any more")]
    Finished,
    /// The disk failed or is full.
    #[error("could not write {}", .path.display())]
    Io {
        /// The file that was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that were to be copied could not be read, or are not what they should be.
    #[error("could not copy the blob")]
    Read(#[source] ReadError),
    /// The caller asked to stop.
    #[error("stopped")]
    Cancelled,
}
