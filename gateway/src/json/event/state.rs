//! What a node tells of itself, its peers and its shares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// How it was found: `neighbour`, `hint`, `dht`, `introduced` or `former`.
    pub via: String,
    /// From question to answer, dialling included.
    pub round_trip_us: u64,
}

/// A search for holders is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Holders found.
    pub holders: u64,
    /// Peers that were named as holders and say that they do not have it, or not any more.
    pub gone: u64,
    /// Peers that were named as holders and did not answer.
    pub silent: u64,
    /// Nodes of the network that answered.
    pub asked: u64,
    /// Referrals to the first node that knew a provider, or to the farthest that answered.
    pub hops: u64,
    /// Questions sent to the network.
    pub messages: u64,
    /// Those of them that were not answered in time.
    pub timeouts: u64,
    /// Of a directory, whose holders tell the size of its list: its files, if somebody gave the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// What is in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Number of files.
    pub files: u64,
    /// Bytes in all files.
    pub size: u64,
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
    /// What of its shares it announces: `files`, `roots` or `none`.
    pub announce: String,
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
    /// How each scope is doing.
    pub overlays: Vec<Overlay>,
    /// In words, why content may not be found.
    pub problems: Vec<String>,
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
    /// Peers that it was started with and that it cannot use now.
    #[serde(default)]
    pub unreached: Vec<Unreached>,
    /// Why peers on the local network are not found by multicast although that was asked for.
    pub mdns_failure: Option<String>,
    /// How fast content may move.
    #[serde(default)]
    pub rates: Rates,
    /// What it was told when it was started, word for word.
    #[serde(default)]
    pub started_with: StartedWith,
    /// The limits in force.
    pub limits: BTreeMap<String, u64>,
}

/// What a node was told when it was started, and that cannot be changed while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StartedWith {
    /// Addresses to listen on; none where it chose by itself.
    pub listen: Vec<String>,
    /// Addresses at which others reach it.
    pub external: Vec<String>,
    /// Peers to connect to.
    pub peers: Vec<String>,
    /// Whether to look for peers on the local network by multicast.
    pub mdns: bool,
}

/// How fast content may move, in bytes per second; null is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// Sent, to all peers together.
    pub up: Option<u64>,
    /// Received, from all peers together.
    pub down: Option<u64>,
    /// Sent to each peer.
    pub up_per_peer: Option<u64>,
    /// Received from each peer.
    pub down_per_peer: Option<u64>,
}

/// A peer that was named by its addresses and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreached {
    /// Where it should be.
    pub addresses: Vec<String>,
    /// Why, in words.
    pub reason: String,
}

/// How one scope is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// `lan` or `wan`.
    pub scope: String,
    /// Nodes in the routing table.
    pub peers: u64,
    /// Parts of the table that hold any.
    pub buckets: u64,
    /// Nodes that the scope seems to have.
    pub nodes: u64,
    /// Whether others may ask this node.
    pub serves: bool,
    /// Records held for others.
    pub records: u64,
    /// Records of its own.
    pub keys: u64,
    /// Those of them that some node has acknowledged.
    pub told: u64,
    /// Those of them whose nodes are not known yet.
    pub waiting: u64,
    /// Announcements on their way.
    pub messages: u64,
    /// Announcements sent since the start.
    pub sent: u64,
    /// How long ago one was acknowledged last.
    pub last_told_s: Option<u64>,
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
