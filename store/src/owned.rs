//! Small blobs that lie in the database: manifests and their pages.

use shoal_content::{Digest, MAX_ROOT_LEN, PARENT_LEN, Tree};

use crate::{
    Partial, Store, StoreError, WriteError,
    db::Holder,
    disk::{BlobRow, Outboard},
    hash::hash_node,
    lock::lock,
    partial::Body,
};

#[cfg(test)]
mod tests;

/// Why a small blob could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmallError {
    /// It is longer than any manifest.
    #[error("{len} bytes are more than a manifest may have")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// The bytes of a manifest, or a page of one, that the store keeps.
    pub fn small(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.db.read(|read| read.owned(digest))
    }

    /// Keeps a manifest, or a page of one, until the next [`collect`](Self::collect) finds that no share and no
    /// download needs it.
    pub fn put_small(&self, bytes: &[u8]) -> Result<Digest, SmallError> {
        if bytes.len() > MAX_ROOT_LEN {
            return Err(SmallError::TooLong { len: bytes.len() });
        }
        let digest = Digest::of(bytes);
        self.inner.db.write(|write| {
            write.own(&digest, bytes)?;
            write.hold(&digest, &row(bytes), Holder::Cache)
        })?;
        Ok(digest)
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
