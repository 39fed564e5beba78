//! Everything that can stand on a line.

mod state;
mod work;

use serde::{Deserialize, Serialize};

pub use self::{
    state::{
        AddressNamed, CidNamed, Directory, Holder, Identity, Looked, Missed, Overlay, PathList, Peer, Rates,
        Ready, Share, StartedWith, Status, Unreached,
    },
    work::{
        Announced, Bytes, Dropped, Entry, Fetched, PeerBytes, PeerNamed, Progress, Published, Skipped, Stage,
        Verified, Waiting, Warning,
    },
};

use super::Failure;

/// What happened, or one result. The tag is the field `event`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A node can serve (`shoal start`).
    Ready(Ready),
    /// How far the work is. Newest wins; any number of them may be left out.
    Progress(Progress),
    /// A file was not published, and why.
    Skipped(Skipped),
    /// Something the user may want to act on; the work goes on.
    Warning(Warning),
    /// A path is published and durable.
    Published(Published),
    /// The network was told about a published path.
    Announced(Announced),
    /// A peer sent its first verified bytes.
    Source(PeerNamed),
    /// A peer is asked for nothing more, and why.
    Dropped(Dropped),
    /// Somebody else is saving to the same target, and is waited for.
    Waiting(Waiting),
    /// A get is complete and verified.
    Fetched(Fetched),
    /// One file of a directory (`get --list`).
    Entry(Entry),
    /// The next `size` bytes after this line's newline are content, not lines.
    Bytes(Bytes),
    /// A peer that has content, whole or in part.
    Holder(Holder),
    /// A search for holders is over.
    Looked(Looked),
    /// One published path (`ls`).
    Share(Share),
    /// A path that is published no more.
    Unpublished(Share),
    /// The state of the node.
    Status(Box<Status>),
    /// How fast content may move.
    Rates(Rates),
    /// One connected peer.
    Peer(Peer),
    /// Local bytes have the hash they should have (`verify`).
    Verified(Verified),
    /// The name of the node (`id`).
    Identity(Identity),
    /// Where everything is (`paths`).
    Paths(PathList),
    /// The node listens on one more address.
    Listening(AddressNamed),
    /// A peer connected.
    Connected(PeerNamed),
    /// The last connection to a peer closed.
    Disconnected(PeerNamed),
    /// Some caller's publish is durable.
    Shared(CidNamed),
    /// Some caller's get is complete.
    Got(CidNamed),
    /// A published file changed or is gone, and is not served any more.
    Broken(CidNamed),
    /// The reader was too slow: so many events are lost.
    Missed(Missed),
    /// Nothing happened for a while, and the node is still there.
    Alive,
    /// The last line of every answer.
    Done(Done),
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

/// The last line of every answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Whether all went well.
    pub ok: bool,
    /// The exit code of a command that ends so.
    pub exit: u8,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

impl From<Result<(), Failure>> for Done {
    fn from(result: Result<(), Failure>) -> Self {
        match result {
            Ok(()) => Self { ok: true, exit: 0, error: None },
            Err(failure) => Self { ok: false, exit: failure.kind.exit_code(), error: Some(failure) },
        }
    }
}
