//! A few nodes that know each other, in temporary homes.

use std::path::Path;

use shoal_node::{Node, Transport};
use tempfile::TempDir;

/// A node and its home, which goes when this does.
pub(crate) struct Place {
    pub(crate) node: Node,
    pub(crate) folder: TempDir,
}

impl Place {
    /// A node that knows the given one.
    pub(crate) async fn start(knows: Option<&Node>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = start_in(&folder.path().join("home"), knows).await;
        Self { node, folder }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

pub(crate) async fn start_in(home: &Path, knows: Option<&Node>) -> Node {
    let mut builder =
        Node::builder().home(home).transport(Transport::Memory).network("test".parse().unwrap());
    for address in knows.map(Node::addresses).unwrap_or_default() {
        builder = builder.peer(address);
    }
    builder.start().await.unwrap()
}

/// Bytes that differ everywhere and are the same each time.
pub(crate) fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut stream = blake3::Hasher::new().update(&[seed]).finalize_xof();
    stream.fill(&mut bytes);
    bytes
}
