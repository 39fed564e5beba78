//! Small blobs that lie in the database: manifests and their pages.

use shoal_content::{Digest, PARENT_LEN, Tree};

use crate::{
    Partial, Store, StoreError, WriteError,
    disk::{BlobRow, Outboard},
    hash::hash_node,
    lock::lock,
    partial::Body,
};

#[cfg(test)]
mod tests;

impl Store {
    /// The bytes of a manifest, or a page of one, that the store keeps.
    pub fn small(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.db.read(|read| read.owned(digest))
    }
}

impl Partial {
    /// Gives the bytes of a whole blob that was received to memory.
    pub fn into_small(self) -> Result<Vec<u8>, WriteError> {
        let mut state = lock(&self.shared.state);
        let is_complete = state.is_complete() && !state.finished;
        state.finished |= is_complete;
        match &mut state.body {
            Body::Memory(memory) if is_complete => Ok(std::mem::take(&mut memory.data)),
            _ => Err(WriteError::Misfit),
        }
    }
}

/// What is known of a blob whose bytes are all here.
pub(crate) fn row(bytes: &[u8]) -> BlobRow {
    let tree = Tree::new(bytes.len() as u64);
    let mut pairs = vec![0; usize::try_from(tree.parents()).unwrap_or(0) * PARENT_LEN];
    hash_node(bytes, 0, tree.groups(), true, &mut pairs);
    BlobRow { size: tree.size(), outboard: Outboard::Inline(pairs) }
}
