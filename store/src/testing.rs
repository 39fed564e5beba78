//! What the tests of this crate share: a folder to work in, and blobs that arrive.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use shoal_content::{Decoder, Digest, GroupRanges, NetworkName, PARENT_LEN, Step, Tree};
use tempfile::TempDir;

use crate::{
    Cancel, Partial, PublishOptions, Published, Store, Verified, WriteError,
    files::{Files, fault::Faults},
    hash::hash_node,
};

/// A folder with a store in it and room for files beside.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.path("store"), &NetworkName::default()).unwrap()
    }

    /// Opens the store on a disk that fails.
    pub(crate) fn open_on(&self, faults: &Arc<Faults>) -> Result<Store, crate::OpenError> {
        let files = Files::with_faults(Arc::clone(faults));
        Store::open_on(&files, &self.path("store"), Some(&NetworkName::default()))
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

pub(crate) fn publish(store: &Store, path: &Path) -> Published {
    store.publish(path, &PublishOptions::default(), &(), &Cancel::new()).unwrap()
}

/// Makes a named pipe, which nobody ever writes to.
pub(crate) fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Bytes that look random, and differ with the seed.
pub(crate) fn pattern(len: u64, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap()];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A blob and its outboard, for playing the part of who sends it.
pub(crate) struct Sender {
    pub(crate) data: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) tree: Tree,
    pub(crate) pairs: Vec<u8>,
}

impl Sender {
    pub(crate) fn new(data: Vec<u8>) -> Self {
        let tree = Tree::new(data.len() as u64);
        let mut pairs = vec![0; usize::try_from(tree.parents()).unwrap() * PARENT_LEN];
        let root = hash_node(&data, 0, tree.groups(), true, &mut pairs);
        Self { data, digest: Digest::from_bytes(root), tree, pairs }
    }

    /// Sends some groups, verified on the way as a receiver does it.
    pub(crate) fn send(&self, partial: &Partial, ranges: &GroupRanges) -> Result<(), WriteError> {
        partial.claim_size(self.tree.size())?;
        partial.write(&self.verified(ranges))
    }

    /// Some groups, verified, with the pairs above them.
    pub(crate) fn verified(&self, ranges: &GroupRanges) -> Vec<Verified<'_>> {
        let mut decoder = Decoder::new(self.digest, self.tree, ranges);
        let mut items = Vec::new();
        while let Some(step) = decoder.next_step() {
            match step {
                Step::Parent { index, .. } => {
                    let start = usize::try_from(index).unwrap() * PARENT_LEN;
                    let pair = self.pairs[start..].first_chunk().unwrap();
                    decoder.push_parent(pair).unwrap();
                    items.push(Verified::Parent { index, pair });
                }
                Step::Leaf { group, offset, len, .. } => {
                    let bytes = &self.data[usize::try_from(offset).unwrap()..][..len];
                    decoder.push_leaf(bytes).unwrap();
                    items.push(Verified::Leaf { group, bytes });
                }
            }
        }
        items
    }

    pub(crate) fn send_all(&self, partial: &Partial) -> Result<(), WriteError> {
        self.send(partial, &GroupRanges::all(self.tree.groups()))
    }
}

/// Reads what a blob has through its own hash tree, as a receiver would verify it.
pub(crate) fn read_verified(blob: &crate::Blob, digest: Digest) -> Vec<u8> {
    let mut decoder = Decoder::new(digest, blob.tree(), blob.ranges());
    let mut bytes = Vec::new();
    while let Some(step) = decoder.next_step() {
        match step {
            Step::Parent { index, .. } => decoder.push_parent(&blob.parent(index).unwrap()).unwrap(),
            Step::Leaf { offset, len, .. } => {
                let mut group = vec![0; len];
                blob.read_at(offset, &mut group).unwrap();
                decoder.push_leaf(&group).unwrap();
                bytes.extend(group);
            }
        }
    }
    blob.recheck().unwrap();
    bytes
}
