//! The name that separates overlays, and the keys under which a network records its providers.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;

use crate::Digest;

#[cfg(test)]
mod tests;

/// Longest network name. It is part of every protocol id, and a peer lists dozens of those.
const MAX_NETWORK_NAME_LEN: usize = 32;

/// The name of an overlay: nodes of different networks never speak to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkName(String);

impl NetworkName {
    /// Parses 1 to 32 of the characters `a-z`, `0-9` and `-`.
    pub fn parse(text: &str) -> Result<Self, ParseNetworkNameError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=MAX_NETWORK_NAME_LEN).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseNetworkNameError)
        }
    }

    /// Gives the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for NetworkName {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NetworkName {
    type Err = ParseNetworkNameError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkNameError> {
        Self::parse(text)
    }
}

/// The text cannot name a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network name is 1 to 32 of the characters a-z, 0-9 and -")]
pub struct ParseNetworkNameError;

/// The DHT key under which a network records who provides some content.
///
/// Derived one way from the digest, so that whoever stores, relays or crawls provider records cannot
/// fetch what they index: only somebody who already knows the digest can compute its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderKey([u8; 32]);

impl ProviderKey {
    /// Derives the key of `digest` on `network`.
    pub fn derive(network: &NetworkName, digest: &Digest) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("shoal provider v1");
        // The length comes first so that no name can continue into the digest of another.
        let name_len = u8::try_from(network.0.len()).unwrap_or(u8::MAX);
        hasher.update(&[name_len]).update(network.0.as_bytes()).update(digest.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Takes a key that a peer sent.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Gives the key as bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderKey({})", HEXLOWER.encode(&self.0))
    }
}
