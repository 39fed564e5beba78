//! The texts that name content, and why the others do not.

use data_encoding::{BASE32_NOPAD_NOCASE, HEXLOWER_PERMISSIVE};

use crate::{Cid, Digest};

/// Why a text, or some bytes, are not a CID of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCidError {
    /// No text at all.
    #[error("the CID is empty")]
    Empty,
    /// A `Qm…` of IPFS.
    #[error("this is a CIDv0 of IPFS, which names content by SHA-256; here it is named by BLAKE3")]
    Version0,
    /// Not one of the texts that name content.
    #[error("not a CID (bafkr4i… or bafyr4i…) and not a BLAKE3 checksum (64 hexadecimal digits)")]
    Unrecognised,
    /// It starts as a CID in base32 or base16 and does not go on as one.
    #[error("the CID is mistyped or cut short")]
    Mistyped,
    /// A checksum that is too short or too long.
    #[error("a BLAKE3 checksum has 64 hexadecimal digits, not {digits}")]
    ChecksumLength {
        /// How many digits there are.
        digits: usize,
    },
    /// The bytes of a CID in a form that no one writes.
    #[error("the bytes are not a CID")]
    Malformed,
    /// A CID of something that is not ours.
    #[error("the CID names content of codec 0x{codec:x}; files are 0x55 (raw), directories 0x71 (dag-cbor)")]
    Codec {
        /// The code in the multicodec table.
        codec: u64,
    },
    /// A CID with a hash that is not BLAKE3.
    #[error("the CID has a hash of type 0x{code:x}; content is named by 0x1e (BLAKE3)")]
    Hash {
        /// The code in the multicodec table.
        code: u64,
    },
    /// A truncated or extended hash, which is easier to forge or not BLAKE3's default.
    #[error("the CID has a hash of {len} bytes instead of 32")]
    DigestLength {
        /// Its length in bytes.
        len: usize,
    },
    /// An `ipns` name, whose content its owner can change.
    #[error("this is an IPNS name, which can point to anything; a CID is needed")]
    Mutable,
    /// A URL that is not that of content.
    #[error(
        "the URL has no CID in it: expected ipfs://CID, https://gateway/ipfs/CID or https://CID.ipfs.gateway/"
    )]
    Url,
    /// A path to something within a directory.
    #[error("the path after the CID names a part of it; give the CID alone")]
    Inside,
}

pub(super) fn parse(text: &str) -> Result<Cid, ParseCidError> {
    let name = strip_location(text)?;
    let is_hex = name.bytes().all(|b| b.is_ascii_hexdigit());
    match name.as_bytes() {
        [] => Err(ParseCidError::Empty),
        bytes if is_hex && bytes.len() == 64 => parse_checksum(name),
        [b'b' | b'B', base32 @ ..] => parse_bytes(BASE32_NOPAD_NOCASE.decode(base32)),
        [b'f' | b'F', base16 @ ..] => parse_bytes(HEXLOWER_PERMISSIVE.decode(base16)),
        bytes if name.starts_with("Qm") && bytes.len() == 46 => Err(ParseCidError::Version0),
        bytes if is_hex => Err(ParseCidError::ChecksumLength { digits: bytes.len() }),
        _ => Err(ParseCidError::Unrecognised),
    }
}

fn parse_checksum(hex: &str) -> Result<Cid, ParseCidError> {
    hex.parse::<Digest>().map(Cid::file).map_err(|_| ParseCidError::Mistyped)
}

fn parse_bytes(decoded: Result<Vec<u8>, data_encoding::DecodeError>) -> Result<Cid, ParseCidError> {
    match Cid::from_bytes(&decoded.map_err(|_| ParseCidError::Mistyped)?) {
        // A person can do nothing about the bytes; the text is what went wrong.
        Err(ParseCidError::Malformed) => Err(ParseCidError::Mistyped),
        other => other,
    }
}

/// Takes away what says where content can be had, and leaves what names it.
fn strip_location(text: &str) -> Result<&str, ParseCidError> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme.to_ascii_lowercase().as_str() {
            "ipfs" => alone(rest),
            "ipns" => Err(ParseCidError::Mutable),
            "http" | "https" => strip_gateway(rest),
            _ => Err(ParseCidError::Url),
        };
    }
    if text.starts_with("/ipns/") {
        return Err(ParseCidError::Mutable);
    }
    text.strip_prefix("/ipfs/").map_or(Ok(text), alone)
}

/// Finds the name in `gateway/ipfs/NAME` or `NAME.ipfs.gateway/`.
fn strip_gateway(url: &str) -> Result<&str, ParseCidError> {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    let mut labels = host.splitn(3, '.');
    match (labels.next(), labels.next(), labels.next()) {
        (Some(name), Some("ipfs"), Some(_)) if matches!(path, "" | "/") => return Ok(name),
        (Some(_), Some("ipfs"), Some(_)) => return Err(ParseCidError::Inside),
        (Some(_), Some("ipns"), Some(_)) => return Err(ParseCidError::Mutable),
        _ => {}
    }
    if path.starts_with("/ipns/") {
        return Err(ParseCidError::Mutable);
    }
    alone(path.strip_prefix("/ipfs/").ok_or(ParseCidError::Url)?)
}

/// Takes `NAME` or `NAME/`, but no path inside it.
fn alone(text: &str) -> Result<&str, ParseCidError> {
    let name = text.strip_suffix('/').unwrap_or(text);
    if name.contains('/') { Err(ParseCidError::Inside) } else { Ok(name) }
}
