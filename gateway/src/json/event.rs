//! Everything that can stand on a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// The last line of every answer.
    Done(Done),
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

/// A node can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The node's name in the network.
    pub peer_id: String,
    /// Addresses that it listens on.
    pub addresses: Vec<String>,
    /// The Unix socket of this API.
    pub socket: String,
    /// The home of the node.
    pub home: String,
    /// The network that it joined.
    pub network: String,
    /// The process that runs it.
    pub pid: u32,
}

/// What a piece of work is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Reading and hashing what is published.
    Hashing,
    /// Looking for providers.
    Finding,
    /// Receiving and verifying.
    Fetching,
    /// Syncing and renaming into place.
    Finishing,
}

/// How far the work is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Bytes hashed, or received and verified.
    pub bytes: u64,
    /// All bytes, once known.
    pub total: Option<u64>,
    /// Files done.
    pub files: u64,
    /// All files, once known.
    pub files_total: Option<u64>,
    /// Who sent how much, in a get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<PeerBytes>,
}

/// What one peer sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerBytes {
    /// The peer.
    pub peer: String,
    /// Verified bytes from it.
    pub bytes: u64,
}

/// A file that was not published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Something the user may want to act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// One sentence.
    pub message: String,
}

/// A path is published and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The name of the content.
    pub cid: String,
    /// The path.
    pub path: String,
    /// The name offered to those who get it.
    pub name: String,
    /// Bytes in all files.
    pub size: u64,
    /// Number of files.
    pub files: u64,
    /// Bytes read and hashed; less than `size` where files were known and unchanged.
    pub hashed: u64,
    /// Files known and unchanged.
    pub unchanged: u64,
    /// Files left out; each had an event `skipped`.
    pub skipped: u64,
    /// The content's name with its size, its own name and addresses to ask; null where nothing was announced.
    pub ticket: Option<String>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// The network was told about a published path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The content.
    pub cid: String,
    /// Nodes that acknowledged.
    pub acknowledged: u64,
    /// Nodes that were asked.
    pub asked: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerNamed {
    /// Its name in the network.
    pub peer: String,
}

/// A peer is asked for nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The peer.
    pub peer: String,
    /// What it did.
    pub reason: String,
}

/// A get is complete and verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The content.
    pub cid: String,
    /// Where it is now; null where the bytes are sent instead.
    pub path: Option<String>,
    /// Bytes in all files.
    pub size: u64,
    /// Number of files.
    pub files: u64,
    /// Bytes received now; less than `size` where an earlier get had begun.
    pub received: u64,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Who sent how much.
    pub sources: Vec<PeerBytes>,
    /// Who was asked for nothing more, and why.
    pub dropped: Vec<Dropped>,
    /// The target was there with the right bytes.
    pub already_there: bool,
}

/// One file of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the directory, with `/` between names.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Whether it is a program.
    pub executable: bool,
    /// The name of its content: it can be got alone.
    pub cid: String,
}

/// Raw content follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// How many bytes.
    pub size: u64,
}

/// A peer that has content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The peer.
    pub peer: String,
    /// Where it can be reached.
    pub addresses: Vec<String>,
    /// It has all of it.
    pub complete: bool,
    /// Bytes of it that it has.
    pub held: u64,
    /// Bytes of all of it, as this peer says.
    pub size: u64,
    /// How it was found: `neighbour`, `hint`, `dht` or `introduced`.
    pub via: String,
    /// From question to answer, dialling included.
    pub round_trip_us: u64,
}

/// A search for holders is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Holders found.
    pub holders: u64,
    /// Peers that were named as holders and did not answer, or have it no more.
    pub silent: u64,
    /// Nodes of the network that were asked.
    pub asked: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// One published path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The content.
    pub cid: String,
    /// The path.
    pub path: String,
    /// The name offered to those who get it.
    pub name: String,
    /// Bytes in all files.
    pub size: u64,
    /// Number of files.
    pub files: u64,
    /// When it was published, in seconds since 1970.
    pub published_at: u64,
    /// `ok`, `changed` or `missing`.
    pub state: String,
}

/// The state of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The node's name in the network.
    pub peer_id: String,
    /// The network that it joined.
    pub network: String,
    /// `lan`, `wan` or `both`.
    pub scope: String,
    /// The process that runs it.
    pub pid: u32,
    /// The home of the node.
    pub home: String,
    /// For how long it runs.
    pub uptime_s: u64,
    /// Addresses that it listens on.
    pub addresses: Vec<String>,
    /// Addresses at which the user said that others reach it.
    pub external: Vec<String>,
    /// Connected peers.
    pub peers: u64,
    /// Those of them in this network.
    pub members: u64,
    /// Nodes in the routing table of each scope.
    pub tables: BTreeMap<String, u64>,
    /// Records of who has what, held for others and for itself.
    pub records: u64,
    /// Published paths.
    pub shares: u64,
    /// Records of its own that it keeps announced.
    pub announced: u64,
    /// Bytes of content sent since the start.
    pub sent: u64,
    /// Bytes of content received since the start.
    pub received: u64,
    /// Transfers going out.
    pub sending: u64,
    /// Publishes and gets under way.
    pub jobs: u64,
    /// Parts of the program that crashed; other than 0 is a defect worth reporting.
    pub panics: u64,
    /// Why peers on the local network are not found by multicast although that was asked for.
    pub mdns_failure: Option<String>,
    /// The limits in force.
    pub limits: BTreeMap<String, u64>,
}

/// One connected peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name in the network.
    pub peer: String,
    /// The addresses of its connections.
    pub addresses: Vec<String>,
    /// The program that it says it is.
    pub agent: String,
    /// `in` where it dialled, `out` where this node did.
    pub direction: String,
    /// The last ping.
    pub round_trip_us: Option<u64>,
    /// For how long it is connected.
    pub connected_s: u64,
    /// Whether it is a node of this network.
    pub member: bool,
}

/// Local bytes have the hash they should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The content.
    pub cid: String,
    /// The path.
    pub path: String,
}

/// The name of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name in the network.
    pub peer_id: String,
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathList {
    /// The home of the node.
    pub home: String,
    /// The configuration file, whether or not it exists.
    pub config: String,
    /// The node's secret key.
    pub identity: String,
    /// What this disk holds.
    pub store: String,
    /// The Unix socket of the API.
    pub socket: String,
    /// The file that a running node holds.
    pub lock: String,
}

/// Content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CidNamed {
    /// Its name.
    pub cid: String,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressNamed {
    /// A multiaddr.
    pub address: String,
}

/// The reader was too slow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many events are lost.
    pub count: u64,
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
