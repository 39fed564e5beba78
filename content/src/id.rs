//! The name of content.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;

use crate::Digest;

mod text;

#[cfg(test)]
mod tests;

pub use text::ParseCidError;

/// The codes that our CIDs are made of, as the multiformats table has them.
const RAW: u64 = 0x55;
const DAG_CBOR: u64 = 0x71;
const BLAKE3: u64 = 0x1e;
const VERSION: u8 = 1;

/// Version, codec, hash and digest length, a byte each, then the digest.
const CID_LEN: usize = 4 + 32;

/// What a CID names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Plain bytes.
    File,
    /// A manifest that names files.
    Directory,
}

impl Kind {
    const fn codec(self) -> u64 {
        match self {
            Self::File => RAW,
            Self::Directory => DAG_CBOR,
        }
    }
}

/// The name of content: `bafkr4i…` for a file, `bafyr4i…` for a directory.
///
/// A CIDv1 of codec raw or dag-cbor with a BLAKE3-256 multihash. The digest of a file is what `b3sum` prints
/// for it. Printing gives lower-case base32, the canonical text; parsing also takes what people paste:
///
/// | text | |
/// | --- | --- |
/// | `bafkr4i…`, `BAFKR4I…` | multibase base32, in any case |
/// | `f01551e20…` | multibase base16, in any case |
/// | 64 hexadecimal digits | a checksum of `b3sum`: names a file |
/// | `ipfs://CID`, `/ipfs/CID` | with or without a `/` at the end |
/// | `https://gateway/ipfs/CID`, `https://CID.ipfs.gateway/` | a query or fragment is ignored |
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid {
    kind: Kind,
    digest: Digest,
}

impl Cid {
    /// Names content of a kind.
    pub const fn new(kind: Kind, digest: Digest) -> Self {
        Self { kind, digest }
    }

    /// Names a file.
    pub const fn file(digest: Digest) -> Self {
        Self::new(Kind::File, digest)
    }

    /// Names a directory by the digest of the root of its manifest.
    pub const fn directory(digest: Digest) -> Self {
        Self::new(Kind::Directory, digest)
    }

    /// What the CID names.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The hash of the file, or of the root of the manifest.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Gives the binary form, 36 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CID_LEN);
        // Every code is below 0x80, so its varint is itself.
        bytes.push(VERSION);
        bytes.extend([self.kind.codec(), BLAKE3, 32].map(|code| code.to_le_bytes()[0]));
        bytes.extend(self.digest.as_bytes());
        bytes
    }

    /// Takes the binary form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseCidError> {
        let mut rest = bytes;
        let cid = cid::Cid::read_bytes(&mut rest).map_err(|_| ParseCidError::Malformed)?;
        if cid.version() == cid::Version::V0 {
            return Err(ParseCidError::Version0);
        }
        let kind = match cid.codec() {
            RAW => Kind::File,
            DAG_CBOR => Kind::Directory,
            codec => return Err(ParseCidError::Codec { codec }),
        };
        if cid.hash().code() != BLAKE3 {
            return Err(ParseCidError::Hash { code: cid.hash().code() });
        }
        let digest = cid.hash().digest();
        let len = digest.len();
        let digest = digest.try_into().map_err(|_| ParseCidError::DigestLength { len })?;
        let cid = Self::new(kind, Digest::from_bytes(digest));
        if rest.is_empty() && cid.to_bytes() == bytes { Ok(cid) } else { Err(ParseCidError::Malformed) }
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", BASE32_NOPAD.encode(&self.to_bytes()).to_ascii_lowercase())
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cid({self})")
    }
}

impl FromStr for Cid {
    type Err = ParseCidError;

    fn from_str(text: &str) -> Result<Self, ParseCidError> {
        text::parse(text)
    }
}
