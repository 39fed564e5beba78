//! What shows a holder of content that somebody knows its digest, without saying it.

use std::fmt;

use crate::Digest;

#[cfg(test)]
mod tests;

/// Shows one peer that another knows the digest of some content.
///
/// Who knows the digest can make and check it. To everybody else it is noise: it neither tells the digest nor lets its
/// bearer show it to a third, for it is good from this asker to this holder alone.
///
/// Two are compared in constant time, so that how long a refusal takes says nothing of how much of a forged one is right.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pass(blake3::Hash);

impl Pass {
    /// The pass with which `asker` asks `holder`, both named by the bytes of their peer ids.
    pub fn new(digest: &Digest, asker: &[u8], holder: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("shoal pass v1");
        hasher.update(digest.as_bytes());
        for peer in [asker, holder] {
            // The length comes first so that no id can continue into the other.
            hasher.update(&(peer.len() as u64).to_be_bytes()).update(peer);
        }
        Self(hasher.finalize())
    }

    /// Takes a pass that a peer sent.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(blake3::Hash::from_bytes(bytes))
    }

    /// Gives the pass as bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass({})", self.0)
    }
}
