//! The small questions between peers: which groups do you hold, who else does, and "you sent a bad group".

mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use shoal_content::{GroupRanges, NetworkName, ProviderKey};

use crate::wire::{WireError, frame, protocol, read_frame};

/// Longest message. An answer with as many ranges, files and holders as allowed is shorter than this.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;

/// Holders introduced per answer. More would make every answer an address list worth crawling.
pub const MAX_OTHERS: usize = 8;

/// Addresses per introduced holder. More would be dialled one after the other by everybody who asks.
pub const MAX_ADDRESSES: usize = 8;

/// Longest name hint, that of a file name on common systems.
pub const MAX_NAME_LEN: usize = 255;

/// Longest encoded address.
const MAX_ADDRESS_LEN: usize = 256;

/// Time for a question and its answer. Both are small, and the asker has others to ask.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Questions of one connection at a time. More are refused by the protocol, without our doing any work for them.
const MAX_STREAMS: usize = 64;

/// The questions in a Swarm: libp2p's request-response with our messages.
pub type Behaviour = request_response::Behaviour<Codec>;

/// Creates the behaviour of `network`.
pub fn behaviour(network: &NetworkName) -> Behaviour {
    let config = request_response::Config::default()
        .with_request_timeout(ANSWER_WITHIN)
        .with_max_concurrent_streams(MAX_STREAMS);
    request_response::Behaviour::new([(protocol(network, "have/1"), ProtocolSupport::Full)], config)
}

/// What one peer says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// "What do you hold of this?" Answered with [`Response::Answer`].
    Have(Have),
    /// "You sent me a group that does not match": look at your file. Answered with [`Response::Ack`].
    BadGroup {
        /// The key of the content: whoever sends bytes need not have it, nor know its digest.
        key: ProviderKey,
        /// Which group.
        group: u64,
    },
}

/// A question that hides the content from those who do not hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Have {
    /// The key under which the content is announced.
    pub key: ProviderKey,
}

/// What the other peer replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// To [`Request::Have`].
    Answer(Answer),
    /// To [`Request::BadGroup`].
    Ack,
}

/// What a peer holds and whom else it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What it holds itself, if anything.
    pub holding: Option<Holding>,
    /// Other holders; those beyond [`MAX_OTHERS`] are not sent.
    pub others: Vec<Holder>,
}

/// The part of a content that a peer says it holds. A claim: only verified groups prove anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// How long the whole content is.
    pub size: u64,
    /// Which groups; those beyond the first 1024 ranges are not sent.
    pub ranges: GroupRanges,
    /// Whether that is all of them.
    pub complete: bool,
    /// What the holder's file is called: a hint that must be made safe before use.
    pub name: Option<String>,
    /// Of a directory that the holder is fetching itself: the entries of the manifest, by their numbers, whose files it
    /// has; those beyond the first 1024 ranges are not sent. None from whoever has them all.
    pub files: Option<GroupRanges>,
}

/// A peer that is said to hold something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub peer: PeerId,
    /// Where; those beyond [`MAX_ADDRESSES`] are not sent.
    pub addresses: Vec<Multiaddr>,
}

/// Reads and writes the messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Codec;

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Response;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, MAX_MESSAGE_LEN).await.and_then(|bytes| wire::decode_request(&bytes)).map_err(invalid)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, MAX_MESSAGE_LEN).await.and_then(|bytes| wire::decode_response(&bytes)).map_err(invalid)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&frame(&wire::encode_request(&request))).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&frame(&wire::encode_response(&response))).await
    }
}

fn invalid(error: WireError) -> io::Error {
    match error {
        WireError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
