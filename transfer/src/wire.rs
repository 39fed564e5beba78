//! The messages of the range protocol, byte by byte.
//!
//! A substream carries request after request, and the responses in the same order. The requester writes a frame with
//! a [`Request`], and may write the next before the response to the last has ended. The server answers each want of it
//! with a frame that holds a [`Header`]; if that is [`Header::Follows`] the body comes next:
//! [chunks](Mark::Chunk) that together are the encoding which [`Tree::plan`](shoal_content::Tree::plan) gives for the
//! ranges that follow, and a last mark that says how it ended. A frame is a big-endian `u32` length and that many bytes
//! of canonical DAG-CBOR. What a stream did not answer when it ended was lost; if its last word was [`Header::Busy`],
//! that is why.

mod bounded;

#[cfg(test)]
mod tests;

use std::io;

use futures::{AsyncRead, AsyncReadExt};
use libp2p::{PeerId, StreamProtocol};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::{ByteArray, ByteBuf};
use shoal_content::{Digest, GroupRanges, NetworkName, Pass, ProviderKey};

pub(crate) use self::bounded::{Bounded, Pairs};

/// Longest request. Without it a stranger decides how much we read before we may refuse.
pub const MAX_REQUEST_LEN: usize = 256 * 1024;

/// Most blobs that one request names. Without it a request of a few bytes each is work for minutes.
pub const MAX_WANTS: usize = 1024;

/// Longest header. Room for as many ranges as a set may have.
pub const MAX_HEADER_LEN: usize = 64 * 1024;

/// Longest chunk of a body. A longer one is a length that was made up.
pub const MAX_CHUNK_LEN: u32 = 1024 * 1024;

/// Longest credential in a request. Room for a signed token and no more.
pub const MAX_CREDENTIAL_LEN: usize = 4096;

/// Flag of a request: send the hashes above the groups and not the groups.
const HASHES_ONLY: u64 = 1;

/// The last mark of a whole body.
const COMPLETE: u32 = 0;

/// The last mark of a body cut short because the source changed under it.
const CHANGED: u32 = u32::MAX;

/// The last mark of a body cut short because the source could not be read.
const FAILED: u32 = u32::MAX - 1;

/// The id of the range protocol on `network`.
pub(crate) fn range_protocol(network: &NetworkName) -> StreamProtocol {
    protocol(network, "range/1")
}

/// The id of one of our protocols on `network`.
pub(crate) fn protocol(network: &NetworkName, name: &str) -> StreamProtocol {
    #[expect(clippy::expect_used, reason = "a protocol id only has to start with a slash")]
    StreamProtocol::try_from_owned(format!("/shoal/{network}/{name}")).expect("starts with a slash")
}

/// Asks for ranges of some blobs: `[[[name, [[start, length], …], most or null, pass or null], …], flags, credential or null]`,
/// where the name is a digest, or with a pass a provider key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Of what and which; never empty. Each is answered, in this order.
    pub wants: Vec<Want>,
    /// The bytes and the hashes above them, or the hashes alone.
    pub body: Body,
    /// Why the server should agree; nothing uses it yet.
    pub credential: Option<Vec<u8>>,
}

/// The ranges that are wanted of one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Of what.
    pub name: Name,
    /// Which groups. Asking beyond the end asks for the last group, which proves the size.
    pub ranges: GroupRanges,
    /// Only so many of these groups, and the server chooses which: its header says so.
    pub most: Option<u64>,
}

/// How a want names its blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// By its digest, which tells it.
    Digest(Digest),
    /// By the key under which it is announced. Whoever does not have the blob learns nothing from that, and whoever does
    /// sees from the pass that the asker knows the digest.
    Key {
        /// Of which blob.
        key: ProviderKey,
        /// From the asker to the one who is asked.
        pass: Pass,
    },
}

impl Name {
    /// What `asker` calls a blob to `holder` without telling the digest.
    pub fn hidden(key: ProviderKey, digest: &Digest, asker: &PeerId, holder: &PeerId) -> Self {
        Name::Key { key, pass: pass(digest, asker, holder) }
    }
}

/// What shows `holder` that `asker` knows the digest.
pub(crate) fn pass(digest: &Digest, asker: &PeerId, holder: &PeerId) -> Pass {
    Pass::new(digest, &asker.to_bytes(), &holder.to_bytes())
}

/// What a request wants sent of its ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Groups and the hashes that lead to them.
    Content,
    /// Only the hashes, to find out where an old copy differs.
    HashesOnly,
}

type WantWire = (ByteArray<32>, Pairs, Option<u64>, Option<ByteArray<32>>);

type RequestWire = (Bounded<WantWire, MAX_WANTS>, u64, Option<ByteBuf>);

impl Request {
    /// Asks for ranges of one blob, by its digest.
    pub fn one(digest: Digest, ranges: GroupRanges) -> Self {
        let name = Name::Digest(digest);
        Request { wants: vec![Want { name, ranges, most: None }], body: Body::Content, credential: None }
    }

    /// Encodes the request as a frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let flags = match self.body {
            Body::Content => 0,
            Body::HashesOnly => HASHES_ONLY,
        };
        let want = |want: &Want| -> WantWire {
            let (name, pass) = match &want.name {
                Name::Digest(digest) => (digest.as_bytes(), None),
                Name::Key { key, pass } => (key.as_bytes(), Some(ByteArray::new(*pass.as_bytes()))),
            };
            (ByteArray::new(*name), Pairs(want.ranges.clone()), want.most, pass)
        };
        let wants = Bounded(self.wants.iter().map(want).collect());
        let wire: RequestWire = (wants, flags, self.credential.clone().map(ByteBuf::from));
        frame(&wire)
    }

    /// Decodes the content of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (Bounded(wants), flags, credential): RequestWire = decode(bytes)?;
        let body = match flags {
            0 => Body::Content,
            HASHES_ONLY => Body::HashesOnly,
            _ => return Err(WireError::Malformed("flags")),
        };
        if wants.is_empty() {
            return Err(WireError::Malformed("number of wants"));
        }
        if credential.as_ref().is_some_and(|credential| credential.len() > MAX_CREDENTIAL_LEN) {
            return Err(WireError::Malformed("credential"));
        }
        let want = |(name, Pairs(ranges), most, pass): WantWire| {
            let name = name.into_array();
            let name = match pass {
                None => Name::Digest(Digest::from_bytes(name)),
                Some(pass) => Name::Key {
                    key: ProviderKey::from_bytes(name),
                    pass: Pass::from_bytes(pass.into_array()),
                },
            };
            Want { name, ranges, most }
        };
        let wants = wants.into_iter().map(want).collect();
        Ok(Request { wants, body, credential: credential.map(ByteBuf::into_vec) })
    }

    /// Reads a request, or nothing where the stream ends instead. The caller sets the deadline.
    ///
    /// # Cancel safety
    /// What was read is lost with the future; the stream is of no more use.
    pub async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>, WireError> {
        match read_frame_or_end(io, MAX_REQUEST_LEN).await? {
            Some(bytes) => Request::decode(&bytes).map(Some),
            None => Ok(None),
        }
    }
}

/// Opens the answer to one want: `[status, size, [[start, length], …] or null]`, where only status 0 has a size and ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// The body follows.
    Follows {
        /// How long the whole content is: a claim, until its last group is verified.
        size: u64,
        /// The groups that follow, if they are not all that were asked for.
        ranges: Option<GroupRanges>,
    },
    /// The content is not here.
    NotFound,
    /// Ask later: too many transfers are served already, and then the stream ends; or this file is being checked.
    Busy,
    /// The content was here and its file changed since.
    Changed,
    /// The request could not be understood. The stream ends.
    BadRequest,
    /// The content is here and could not be read.
    Failed,
}

type HeaderWire = (u64, u64, Option<Pairs>);

impl Header {
    /// Encodes the header as a frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let wire: HeaderWire = match self {
            Header::Follows { size, ranges } => (0, *size, ranges.clone().map(Pairs)),
            Header::NotFound => (1, 0, None),
            Header::Busy => (2, 0, None),
            Header::Changed => (3, 0, None),
            Header::BadRequest => (4, 0, None),
            Header::Failed => (5, 0, None),
        };
        frame(&wire)
    }

    /// Decodes the content of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        match decode::<HeaderWire>(bytes)? {
            (0, size, ranges) => Ok(Header::Follows { size, ranges: ranges.map(|Pairs(ranges)| ranges) }),
            (1, 0, None) => Ok(Header::NotFound),
            (2, 0, None) => Ok(Header::Busy),
            (3, 0, None) => Ok(Header::Changed),
            (4, 0, None) => Ok(Header::BadRequest),
            (5, 0, None) => Ok(Header::Failed),
            _ => Err(WireError::Malformed("status")),
        }
    }

    /// Reads a header. The caller sets the deadline.
    ///
    /// # Cancel safety
    /// What was read is lost with the future; the stream is of no more use.
    pub async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Self, WireError> {
        Header::decode(&read_frame(io, MAX_HEADER_LEN).await?)
    }
}

/// A word between the chunks of a body, a big-endian `u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// This many bytes of the encoding come next.
    Chunk(u32),
    /// All was sent.
    Complete,
    /// The source changed while it was read; what came before was from what it was.
    Changed,
    /// The source could not be read further.
    Failed,
}

impl Mark {
    /// Encodes the mark.
    pub fn to_bytes(self) -> [u8; 4] {
        match self {
            Mark::Chunk(len) => len,
            Mark::Complete => COMPLETE,
            Mark::Changed => CHANGED,
            Mark::Failed => FAILED,
        }
        .to_be_bytes()
    }

    /// Decodes the mark.
    pub fn decode(bytes: [u8; 4]) -> Result<Self, WireError> {
        match u32::from_be_bytes(bytes) {
            COMPLETE => Ok(Mark::Complete),
            CHANGED => Ok(Mark::Changed),
            FAILED => Ok(Mark::Failed),
            len if len <= MAX_CHUNK_LEN => Ok(Mark::Chunk(len)),
            len => Err(WireError::TooLong(len)),
        }
    }
}

/// Bytes that are not one of our messages, or that did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The stream broke or ended early.
    #[error("the stream broke")]
    Io(#[from] io::Error),
    /// A length beyond the cap, or a message of no bytes.
    #[error("a message of {0} bytes is not allowed")]
    TooLong(u32),
    /// Not canonical DAG-CBOR of the right shape.
    #[error("a message has a wrong {0}")]
    Malformed(&'static str),
}

/// Reads one frame, taking memory only as bytes arrive.
pub(crate) async fn read_frame(io: &mut (impl AsyncRead + Unpin), max: usize) -> Result<Vec<u8>, WireError> {
    let frame = read_frame_or_end(io, max).await?;
    frame.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
}

/// Reads one frame, or nothing where the stream ends before it.
async fn read_frame_or_end(
    io: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<Option<Vec<u8>>, WireError> {
    let mut len = [0; 4];
    let mut at = 0;
    while let Some(space) = len.get_mut(at..).filter(|space| !space.is_empty()) {
        match io.read(space).await? {
            0 if at == 0 => return Ok(None),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            read => at += read,
        }
    }
    let len = u32::from_be_bytes(len);
    if len == 0 || usize::try_from(len).map_or(true, |len| len > max) {
        return Err(WireError::TooLong(len));
    }
    let mut bytes = Vec::new();
    io.take(u64::from(len)).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 != u64::from(len) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(bytes))
}

/// Encodes a message with its length in front.
pub(crate) fn frame(message: &impl Serialize) -> Vec<u8> {
    let body = encode(message);
    // Our own messages are far below 4 GiB; the receiver's cap is what counts.
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [len.to_be_bytes().as_slice(), body.as_slice()].concat()
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "plain tuples of numbers and bytes always encode")]
    serde_ipld_dagcbor::to_vec(message).expect("a message encodes")
}

/// Decodes a message strictly: there is one way to write each.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let message: T = serde_ipld_dagcbor::from_slice(bytes).map_err(|_| WireError::Malformed("shape"))?;
    if encode(&message) == bytes { Ok(message) } else { Err(WireError::Malformed("encoding")) }
}
