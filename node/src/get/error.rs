//! Why a get did not end with the content in its place.

use std::{io, path::PathBuf, time::Duration};

use libp2p::PeerId;
use shoal_content::{Cid, ManifestError, RelPath};
use shoal_store::{FinishError, PartialError, WriteError};

use super::{others::Awaited, progress::Dropped};
use crate::{error::ErrorKind, hint::Unreached, human::human_size};

/// Why content could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// Nobody says that they have it.
    #[error("nobody offers {cid}{}", peers(unreached))]
    NoProvider {
        /// What was wanted.
        cid: Cid,
        /// Nodes that were asked who does.
        asked: usize,
        /// Peers that were named by their addresses and cannot be used.
        unreached: Vec<Unreached>,
    },
    /// All who offered it answered that they have it no more.
    #[error("nobody has {cid} any more{}", reasons(dropped))]
    Gone {
        /// What was wanted.
        cid: Cid,
        /// What each said.
        dropped: Vec<Dropped>,
    },
    /// Providers are known, and none can be reached or serves it.
    #[error(
        "{cid} has {} known to have it, and none {}{}{}",
        providers(*named), if dropped.is_empty() { "could be reached" } else { "gives it" },
        reasons(dropped), peers(unreached)
    )]
    Unreachable {
        /// What was wanted.
        cid: Cid,
        /// How many were named.
        named: usize,
        /// What went wrong with each.
        dropped: Vec<Dropped>,
        /// Peers that were named by their addresses and cannot be used.
        unreached: Vec<Unreached>,
    },
    /// All who offer it sent something else.
    #[error("what was sent is not {cid}{}", reasons(dropped))]
    Mismatch {
        /// What was wanted.
        cid: Cid,
        /// Who sent what.
        dropped: Vec<Dropped>,
    },
    /// A file of the directory could not be fetched.
    #[error("could not get {path}, which is in the directory")]
    File {
        /// Where it is in the directory.
        path: RelPath,
        /// Why not.
        source: Box<GetError>,
    },
    /// The list of files is not one that this version accepts; nothing was written.
    #[error("{cid} is not a directory that can be fetched")]
    Manifest {
        /// The directory.
        cid: Cid,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// No file of the directory matches what was asked for.
    #[error("no file of {cid} matches")]
    NothingMatches {
        /// The directory.
        cid: Cid,
    },
    /// The target holds something else.
    #[error("{} exists and holds something else", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// What lies where the content would grow is not of this node's making.
    #[error("{} is in the way, and was not made by this node", path.display())]
    Foreign {
        /// Where it would grow.
        path: PathBuf,
    },
    /// What had been received was taken away or written to before it was in its place.
    #[error("{} was changed, removed or replaced by another program while it was being received", path.display())]
    PartGone {
        /// Where it grew.
        path: PathBuf,
    },
    /// What should be a folder to save in is something else.
    #[error("{} is not a folder, so nothing can be saved in it", path.display())]
    NoFolder {
        /// What stands there.
        path: PathBuf,
    },
    /// Another get is fetching to the same place.
    #[error("{} is being fetched already", path.display())]
    Busy {
        /// Where it grows.
        path: PathBuf,
    },
    /// The disk has no room for the rest.
    #[error(
        "no space for {}: it needs {} more, and the disk has {}",
        path.display(), human_size(*need), human_size(*available)
    )]
    NoSpace {
        /// Where it grows.
        path: PathBuf,
        /// Bytes still to come.
        need: u64,
        /// Bytes that the disk has left.
        available: u64,
    },
    /// The disk did not take it.
    #[error("could not write {}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store did not take it.
    #[error("could not keep what was fetched")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing moved for as long as the caller was ready to wait.
    #[error("no progress for {} s{}", waited.as_secs(), reasons(dropped))]
    TimedOut {
        /// How long that was.
        waited: Duration,
        /// What went wrong with each source.
        dropped: Vec<Dropped>,
    },
    /// Somebody else is saving to the same target, and received nothing for as long as the caller was ready to wait.
    #[error("{other}, and has received nothing for {} s", waited.as_secs())]
    Stalled {
        /// Who.
        other: Awaited,
        /// How long that was.
        waited: Duration,
    },
    /// The node stopped first.
    #[error("the node stopped before the get was done")]
    Stopped,
}

fn providers(count: usize) -> String {
    if count == 1 { "1 peer".into() } else { format!("{count} peers") }
}

fn reasons(dropped: &[Dropped]) -> String {
    let short = |peer: &PeerId| {
        let text = peer.to_base58();
        text.get(text.len().saturating_sub(8)..).unwrap_or_default().to_owned()
    };
    dropped.iter().map(|dropped| format!("; …{}: {}", short(&dropped.peer), dropped.reason)).collect()
}

fn peers(unreached: &[Unreached]) -> String {
    unreached.iter().map(|peer| format!("; {peer}")).collect()
}

impl GetError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } => source.kind(),
            Self::NoProvider { .. } | Self::Gone { .. } | Self::NothingMatches { .. } => ErrorKind::NotFound,
            Self::Unreachable { .. } => ErrorKind::Unreachable,
            Self::Mismatch { .. } | Self::Manifest { .. } => ErrorKind::Mismatch,
            Self::Exists { .. } | Self::Foreign { .. } => ErrorKind::Exists,
            Self::Disk { .. }
            | Self::NoSpace { .. }
            | Self::NoFolder { .. }
            | Self::PartGone { .. }
            | Self::Store(_) => ErrorKind::Disk,
            Self::Busy { .. } => ErrorKind::InUse,
            Self::TimedOut { .. } | Self::Stalled { .. } => ErrorKind::TimedOut,
            Self::Stopped => ErrorKind::Interrupted,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { source, .. } => source.hint(),
            Self::NoProvider { asked: 0, unreached, .. } if unreached.is_empty() => Some(
                "no other node of this network is connected: name one with --peer, or use a ticket".into(),
            ),
            Self::NoProvider { asked: 0, .. } => Some(
                "is it running there? `shoal status` on its machine shows its addresses and its network"
                    .into(),
            ),
            Self::NoProvider { .. } => {
                Some("is it published on this --network, and is its publisher running?".into())
            }
            Self::Gone { .. } => Some(
                "its file was changed, moved or unpublished there: ask its publisher to publish it again".into(),
            ),
            Self::Unreachable { .. } => Some("try again later; `shoal find CID` shows who has it".into()),
            Self::Mismatch { .. } => {
                Some("its holders may have changed their files; ask the publisher".into())
            }
            Self::NothingMatches { .. } => Some("`shoal get --list CID` shows its files".into()),
            Self::Exists { .. } => Some("use --overwrite, --rename, or -o with another path".into()),
            Self::Foreign { .. } => Some(
                "another node may be receiving it there: wait for that, or remove it, or use -o with another path"
                    .into(),
            ),
            Self::PartGone { .. } => Some("run it again".into()),
            Self::NoSpace { .. } => Some("free some space and run it again: what has arrived is kept".into()),
            Self::Disk { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space and run it again: what has arrived is kept".into())
            }
            Self::Busy { .. } => Some("wait for the other get to end".into()),
            Self::Stalled { .. } => {
                Some("end that, or use -o with another path, or wait longer with --timeout".into())
            }
            Self::TimedOut { .. } => Some("run it again: what has arrived is kept".into()),
            _ => None,
        }
    }
}

/// A blob that could not be received to its place.
pub(super) fn of_partial(error: PartialError) -> GetError {
    match error {
        PartialError::Foreign { path } => GetError::Foreign { path },
        PartialError::InUse { path } => GetError::Busy { path },
        PartialError::Io { path, source } => GetError::Disk { path, source },
        other => GetError::Store(Box::new(other)),
    }
}

/// Verified bytes that could not be written.
pub(super) fn of_write(error: WriteError) -> GetError {
    match error {
        WriteError::Foreign { path } => GetError::Foreign { path },
        WriteError::InUse { path } => GetError::Busy { path },
        WriteError::Io { path, source } => GetError::Disk { path, source },
        WriteError::NoSpace { path, need, available } => GetError::NoSpace { path, need, available },
        WriteError::Cancelled => GetError::Stopped,
        other => GetError::Store(Box::new(other)),
    }
}

/// A blob that is whole and could not be put in its place.
pub(super) fn of_finish(error: FinishError) -> GetError {
    match error {
        FinishError::Exists { path } => GetError::Exists { path },
        FinishError::Foreign { path } | FinishError::Incomplete { path } => GetError::PartGone { path },
        FinishError::Io { path, source } => GetError::Disk { path, source },
        other => GetError::Store(Box::new(other)),
    }
}
