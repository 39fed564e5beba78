//! The questions and answers of Kademlia as libp2p specifies them, in protobuf.
//!
//! Of a question only its kind and its key are looked at; what else is in it takes no memory. The kinds and the numbers
//! of the fields are those of the specification (libp2p's `kad-dht`).

use libp2p::{Multiaddr, PeerId};
use prost::Message;

use super::OpenError;
use super::find::Reply;
use crate::position::Node;

/// Bytes of a question. Those that are answered take fewer than a hundred; in longer ones there is something to be
/// stored, and stored it is not.
pub(crate) const MAX_REQUEST_LEN: usize = 4 * 1024;

/// Bytes of an answer: nodes of other makers read no more.
pub(crate) const MAX_ANSWER_LEN: usize = 16 * 1024;

/// Bytes around what is in an answer: its kind, and the number and the length of each node.
const HEAD_LEN: usize = 8;
const NODE_HEAD_LEN: usize = 4;

/// What somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Whether we are there.
    Ping,
    /// A question about some bytes, which is answered by what is known of them.
    About(Subject, Vec<u8>),
    /// To remember a provider without a signature. Nobody waits for an answer.
    AddProvider,
    /// To remember any bytes.
    PutValue,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The nodes nearest to something.
    Nodes,
    /// The providers of a key, and the nodes nearest to it.
    Providers,
    /// A value, which we never have, and the nodes nearest to its key.
    Value,
}

/// What of a question is looked at.
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

/// What is in an answer.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(message, repeated, tag = "8")]
    closer: Vec<Peer>,
    #[prost(message, repeated, tag = "9")]
    providers: Vec<Peer>,
}

#[derive(Clone, PartialEq, Message)]
struct Peer {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addresses: Vec<Vec<u8>>,
    /// 1 when we are connected to it, 0 when that is not known.
    #[prost(int32, tag = "3")]
    link: i32,
}

const PUT_VALUE: i32 = 0;
const GET_VALUE: i32 = 1;
const ADD_PROVIDER: i32 = 2;
const GET_PROVIDERS: i32 = 3;
const FIND_NODE: i32 = 4;
const PING: i32 = 5;

impl Request {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let Question { kind, key } = Question::decode(bytes).map_err(|_| OpenError::Malformed)?;
        match kind {
            PUT_VALUE => Ok(Self::PutValue),
            GET_VALUE => Ok(Self::About(Subject::Value, key)),
            ADD_PROVIDER => Ok(Self::AddProvider),
            GET_PROVIDERS => Ok(Self::About(Subject::Providers, key)),
            FIND_NODE => Ok(Self::About(Subject::Nodes, key)),
            PING => Ok(Self::Ping),
            _ => Err(OpenError::Malformed),
        }
    }
}

impl Subject {
    fn kind(self) -> i32 {
        match self {
            Self::Nodes => FIND_NODE,
            Self::Providers => GET_PROVIDERS,
            Self::Value => GET_VALUE,
        }
    }
}

/// The answer to a ping, with its length before it.
pub(crate) fn pong() -> Vec<u8> {
    Answer { kind: PING, ..Answer::default() }.encode_length_delimited_to_vec()
}

/// An answer, with its length before it. What does not fit is left out, providers first: there are others to ask for
/// them, while who knows no nearer nodes is at an end.
pub(crate) fn answer(subject: Subject, reply: &Reply, is_connected: impl Fn(&PeerId) -> bool) -> Vec<u8> {
    let mut room = MAX_ANSWER_LEN - HEAD_LEN;
    let mut peers = |nodes: &[Node]| {
        let peers = nodes.iter().map(|node| Peer {
            id: node.peer.to_bytes(),
            addresses: node.addresses.iter().map(Multiaddr::to_vec).collect(),
            link: i32::from(is_connected(&node.peer)),
        });
        let mut fits = |peer: &Peer| match room.checked_sub(peer.encoded_len() + NODE_HEAD_LEN) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        peers.filter(|peer| fits(peer)).collect()
    };
    let (closer, providers) = (peers(&reply.closer), peers(&reply.providers));
    Answer { kind: subject.kind(), closer, providers }.encode_length_delimited_to_vec()
}

#[cfg(test)]
mod tests;
