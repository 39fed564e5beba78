//! What publishing and getting tell.

use serde::{Deserialize, Serialize};

/// What a piece of work is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Reading and hashing what is published.
    Hashing,
    /// Looking for providers.
    Finding,
    /// Waiting for another get: of the same content, to copy from it, or to the same target.
    Waiting,
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

/// Somebody else is saving to the same target, and is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The target.
    pub path: String,
    /// What is being saved there, if that is known.
    pub cid: Option<String>,
    /// The process that does it, if that is known.
    pub pid: Option<u32>,
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
    /// Who was asked and sent nothing.
    #[serde(default)]
    pub silent: Vec<String>,
    /// The target was there with the right bytes.
    pub already_there: bool,
    /// The target was a folder with other files, and these are still in it.
    #[serde(default)]
    pub merged: bool,
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

/// Local bytes have the hash they should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The content.
    pub cid: String,
    /// The path.
    pub path: String,
}
