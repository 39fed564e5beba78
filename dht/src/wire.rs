//! The signed announcement and its receipt, as bytes.
//!
//! An announcement travels as `[body, signature]`, both byte strings. The body is
//! `[1, scope, provider's public key, sequence, expiry, [address, …], keys]`, where the keys are one byte
//! string of 32 bytes each in ascending order, and the signature covers the network's name and the body.
//! A receiver checks the signature, not the sender, so that an announcement can be handed on.

pub(crate) mod find;
pub(crate) mod kad;

use std::{collections::BTreeSet, time::Duration};

use libp2p::identity::{Keypair, PublicKey, SigningError};
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};
use shoal_content::{NetworkName, ProviderKey};

use crate::scope::{MAX_ADDRESS_LEN, MAX_ADDRESSES, Scope};

/// Keys in one announcement. It bounds what is read into memory, and what one signature check costs,
/// before anything about the sender is known.
pub(crate) const MAX_KEYS: usize = 4096;

/// Bytes of a request: the keys, and room for the rest. More is refused unread.
pub(crate) const MAX_REQUEST_LEN: usize = MAX_KEYS * KEY_LEN + 2048;

/// Bytes of a receipt. More is refused unread.
pub(crate) const MAX_RECEIPT_LEN: usize = 64;

const VERSION: u8 = 1;
const KEY_LEN: usize = 32;

/// Separates these signatures from everything else that a node's identity signs.
const DOMAIN: &[u8] = b"shoal announcement v1";

/// The longest public key that is believed: an ed25519 one takes 36 bytes.
const MAX_PUBLIC_KEY_LEN: usize = 64;

/// What a provider says: "until then, I have these, and here is where I am".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) provider: PeerId,
    /// Later announcements of a provider carry higher numbers, and win: the microseconds since the Unix epoch, by its clock.
    pub(crate) sequence: u64,
    pub(crate) term: Term,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) keys: BTreeSet<ProviderKey>,
}

/// For how long an announcement holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// Until this second since the Unix epoch.
    Until(u64),
    /// Not any more.
    Withdrawn,
}

impl Announcement {
    /// The second since the Unix epoch in which its provider signed it, by its own clock.
    pub(crate) fn signed_at(&self) -> u64 {
        Duration::from_micros(self.sequence).as_secs()
    }
}

/// An announcement whose signature is known to be right, with the bytes that prove it.
#[derive(Debug)]
pub struct Sealed {
    announcement: Announcement,
    bytes: Vec<u8>,
}

/// What a receiver did with the keys of an announcement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) stored: u32,
    pub(crate) refused: u32,
}

/// Why bytes are not an announcement.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum OpenError {
    #[error("the announcement is not in canonical form")]
    Malformed,
    #[error("the announcement has version {0}")]
    Version(u8),
    #[error("the announcement is for another scope")]
    Scope,
    #[error("the announcement has too many keys or addresses")]
    TooLarge,
    #[error("the announcement is not signed by its provider")]
    Forged,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Envelope(ByteBuf, ByteBuf);

#[derive(Serialize, Deserialize, PartialEq)]
struct Body(u8, String, ByteBuf, u64, u64, Vec<ByteBuf>, ByteBuf);

impl Sealed {
    /// Signs an announcement.
    pub(crate) fn seal(
        sequence: u64,
        term: Term,
        addresses: &[Multiaddr],
        keys: BTreeSet<ProviderKey>,
        (network, scope): (&NetworkName, Scope),
        keypair: &Keypair,
    ) -> Result<Self, SigningError> {
        let body = encode(&Body(
            VERSION,
            scope.as_str().to_owned(),
            ByteBuf::from(keypair.public().encode_protobuf()),
            sequence,
            match term {
                Term::Until(second) => second,
                Term::Withdrawn => 0,
            },
            addresses.iter().map(|address| ByteBuf::from(address.to_vec())).collect(),
            ByteBuf::from(keys.iter().flat_map(ProviderKey::as_bytes).copied().collect::<Vec<u8>>()),
        ));
        let signature = keypair.sign(&signed_bytes(network, &body))?;
        let provider = keypair.public().to_peer_id();
        let announcement = Announcement { provider, sequence, term, addresses: addresses.to_vec(), keys };
        let bytes = encode(&Envelope(ByteBuf::from(body), ByteBuf::from(signature)));
        Ok(Self { announcement, bytes })
    }

    /// Checks and decodes an announcement that somebody sent.
    pub(crate) fn open(bytes: Vec<u8>, network: &NetworkName, scope: Scope) -> Result<Self, OpenError> {
        Self::read(bytes, scope, |provider, body, signature| {
            provider.verify(&signed_bytes(network, body), signature)
        })
    }

    /// Decodes an announcement whoever signed it, as the simplest overlay would.
    pub(crate) fn believe(bytes: Vec<u8>, scope: Scope) -> Result<Self, OpenError> {
        Self::read(bytes, scope, |_, _, _| true)
    }

    fn read(
        bytes: Vec<u8>,
        scope: Scope,
        is_signed: impl FnOnce(&PublicKey, &[u8], &[u8]) -> bool,
    ) -> Result<Self, OpenError> {
        if bytes.len() > MAX_REQUEST_LEN {
            return Err(OpenError::TooLarge);
        }
        let Envelope(body, signature) = decode(&bytes)?;
        let Body(version, said_scope, public_key, sequence, expires, addresses, keys) = decode(&body)?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        if said_scope != scope.as_str() {
            return Err(OpenError::Scope);
        }
        let too_long = addresses.iter().any(|address| address.len() > MAX_ADDRESS_LEN);
        if addresses.len() > MAX_ADDRESSES || too_long || public_key.len() > MAX_PUBLIC_KEY_LEN {
            return Err(OpenError::TooLarge);
        }
        let public_key = PublicKey::try_decode_protobuf(&public_key).map_err(|_| OpenError::Malformed)?;
        if !is_signed(&public_key, &body, &signature) {
            return Err(OpenError::Forged);
        }
        let addresses = addresses
            .into_iter()
            .map(|address| Multiaddr::try_from(address.into_vec()).map_err(|_| OpenError::Malformed))
            .collect::<Result<_, _>>()?;
        let announcement = Announcement {
            provider: public_key.to_peer_id(),
            sequence,
            term: if expires == 0 { Term::Withdrawn } else { Term::Until(expires) },
            addresses,
            keys: decode_keys(&keys)?,
        };
        Ok(Self { announcement, bytes })
    }

    pub(crate) fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Receipt {
    pub(crate) fn encode(self) -> Vec<u8> {
        encode(&(VERSION, self.stored, self.refused))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let (version, stored, refused): (u8, u32, u32) = decode(bytes)?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        Ok(Self { stored, refused })
    }
}

fn decode_keys(bytes: &[u8]) -> Result<BTreeSet<ProviderKey>, OpenError> {
    let (keys, rest) = bytes.as_chunks::<KEY_LEN>();
    if keys.len() > MAX_KEYS {
        return Err(OpenError::TooLarge);
    }
    if !rest.is_empty() || keys.is_empty() || !keys.is_sorted_by(|a, b| a < b) {
        return Err(OpenError::Malformed);
    }
    Ok(keys.iter().copied().map(ProviderKey::from_bytes).collect())
}

fn signed_bytes(network: &NetworkName, body: &[u8]) -> Vec<u8> {
    encode(&(Bytes::new(DOMAIN), network.as_str(), Bytes::new(body)))
}

#[expect(clippy::expect_used, reason = "numbers, texts and byte strings always have a dag-cbor form")]
fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_ipld_dagcbor::to_vec(value).expect("plain data is encodable")
}

/// Decodes what encodes to the same bytes again, and nothing else.
fn decode<T: Serialize + for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, OpenError> {
    let value: T = serde_ipld_dagcbor::from_slice(bytes).map_err(|_| OpenError::Malformed)?;
    if encode(&value) == bytes { Ok(value) } else { Err(OpenError::Malformed) }
}

#[cfg(test)]
mod tests;
