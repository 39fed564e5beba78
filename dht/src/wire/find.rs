//! The question of a walk and its answer, as bytes.
//!
//! A question is `[1, position, key or null]`: the nodes nearest to the position, and of the key, when there is
//! one, who provides it. Position and key are byte strings of 32 bytes; they need not belong together, since
//! one who looks for a key also asks around it. An answer is `[1, [node, …], [provider, …]]`, each
//! `[peer id, [address, …]]` as byte strings.

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shoal_content::ProviderKey;

use super::{KEY_LEN, OpenError, VERSION, decode, encode};
use crate::position::{K, Node, Position};
use crate::scope::MAX_ADDRESS_LEN;

/// Nodes in an answer: as many as should hold a record. More would let one liar name half of a walk.
pub(crate) const MAX_CLOSER: usize = K;

/// Providers in an answer. Whoever looks asks twenty nodes, each of which shows others.
pub(crate) const MAX_PROVIDERS: usize = 32;

/// Addresses of each of them. More would be dials that a stranger can make us try.
pub(crate) const MAX_ADDRESSES_TOLD: usize = 4;

/// Bytes of a question. More is refused unread.
pub(crate) const MAX_QUESTION_LEN: usize = 128;

/// Bytes of an answer, which a full one does not reach. More is refused unread.
pub(crate) const MAX_REPLY_LEN: usize = 64 * 1024;

/// Bytes of a peer id; ours take 38.
const MAX_PEER_LEN: usize = 64;

/// What a walk asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where to: the nodes nearest to this are asked for.
    pub(crate) target: Position,
    /// The key whose providers are asked for, if any.
    pub(crate) key: Option<ProviderKey>,
}

/// What a node answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Nodes nearer to the target, as far as the answerer knows.
    pub(crate) closer: Vec<Node>,
    /// Some of the providers of the key.
    pub(crate) providers: Vec<Node>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct QuestionRow(u8, ByteBuf, Option<ByteBuf>);

#[derive(Serialize, Deserialize, PartialEq)]
struct ReplyRow(u8, Vec<NodeRow>, Vec<NodeRow>);

#[derive(Serialize, Deserialize, PartialEq)]
struct NodeRow(ByteBuf, Vec<ByteBuf>);

impl Question {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let key = self.key.map(|key| ByteBuf::from(key.as_bytes().to_vec()));
        encode(&QuestionRow(VERSION, ByteBuf::from(self.target.as_bytes().to_vec()), key))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let QuestionRow(version, target, key) = decode(bytes)?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        let exactly =
            |bytes: ByteBuf| <[u8; KEY_LEN]>::try_from(bytes.as_slice()).map_err(|_| OpenError::Malformed);
        let key = key.map(exactly).transpose()?.map(ProviderKey::from_bytes);
        Ok(Self { target: Position::from_bytes(exactly(target)?), key })
    }
}

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let rows = |nodes: &[Node], max| nodes.iter().take(max).map(NodeRow::of).collect();
        encode(&ReplyRow(VERSION, rows(&self.closer, MAX_CLOSER), rows(&self.providers, MAX_PROVIDERS)))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let ReplyRow(version, closer, providers) = decode(bytes)?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        if closer.len() > MAX_CLOSER || providers.len() > MAX_PROVIDERS {
            return Err(OpenError::TooLarge);
        }
        let nodes = |rows: Vec<NodeRow>| rows.into_iter().map(NodeRow::read).collect::<Result<_, _>>();
        Ok(Self { closer: nodes(closer)?, providers: nodes(providers)? })
    }
}

impl NodeRow {
    fn of(node: &Node) -> Self {
        let addresses = node.addresses.iter().take(MAX_ADDRESSES_TOLD);
        Self(
            ByteBuf::from(node.peer.to_bytes()),
            addresses.map(|address| ByteBuf::from(address.to_vec())).collect(),
        )
    }

    fn read(self) -> Result<Node, OpenError> {
        let Self(peer, addresses) = self;
        let too_long = addresses.iter().any(|address| address.len() > MAX_ADDRESS_LEN);
        if peer.len() > MAX_PEER_LEN || addresses.len() > MAX_ADDRESSES_TOLD || too_long {
            return Err(OpenError::TooLarge);
        }
        let address =
            |bytes: ByteBuf| Multiaddr::try_from(bytes.into_vec()).map_err(|_| OpenError::Malformed);
        Ok(Node {
            peer: PeerId::from_bytes(&peer).map_err(|_| OpenError::Malformed)?,
            addresses: addresses.into_iter().map(address).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests;
