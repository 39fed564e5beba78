//! What is written to those who ask for bytes, and how.
//!
//! A server may end a stream after one response, so libp2p's request-response can carry requests and responses of the
//! range protocol, as long as every byte is in the hands of the codec.

use std::{future, io, time::Duration};

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use shoal_transfer::wire::{Header, Mark, Request};

/// Bytes per chunk. Slow answers wait after each.
const CHUNK: usize = 16 * 1024;

/// The bytes of a response, and what follows them.
#[derive(Debug)]
pub(super) struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Debug)]
enum Then {
    /// The stream ends.
    End,
    /// Nothing more comes, and the stream stays.
    Silence,
    /// Chunks of zeros for as long as somebody takes them.
    Zeros,
    /// The stream ends, after the bytes came at this rate per second.
    EndSlowly(u32),
}

impl Reply {
    /// The end of the stream.
    pub(super) fn empty() -> Self {
        Self { bytes: Vec::new(), then: Then::End }
    }

    /// This, and if the stream has not ended with it, what comes next.
    pub(super) fn and(mut self, next: Self) -> Self {
        match (&self.then, &next.then) {
            (Then::End, _) | (Then::EndSlowly(_), Then::EndSlowly(_)) => {
                self.bytes.extend(next.bytes);
                self.then = next.then;
            }
            _ => {}
        }
        self
    }

    /// All that was asked for.
    pub(super) fn whole(size: u64, body: &[u8]) -> Self {
        Self { bytes: message(size, body, true), then: Then::End }
    }

    /// All that was asked for, at this rate.
    pub(super) fn slow(size: u64, body: &[u8], per_second: u32) -> Self {
        Self { bytes: message(size, body, true), then: Then::EndSlowly(per_second) }
    }

    /// All that was asked for, and no end.
    pub(super) fn endless(size: u64, body: &[u8]) -> Self {
        Self { bytes: message(size, body, false), then: Then::Zeros }
    }

    /// Not a byte.
    pub(super) fn silence() -> Self {
        Self { bytes: Vec::new(), then: Then::Silence }
    }

    /// "It is not here".
    pub(super) fn nothing() -> Self {
        Self { bytes: Header::NotFound.to_frame(), then: Then::End }
    }
}

fn message(size: u64, body: &[u8], complete: bool) -> Vec<u8> {
    let mut message = Header::Follows { size, ranges: None }.to_frame();
    for chunk in body.chunks(CHUNK) {
        message.extend(chunk_mark(chunk.len()));
        message.extend(chunk);
    }
    if complete {
        message.extend(Mark::Complete.to_bytes());
    }
    message
}

fn chunk_mark(len: usize) -> [u8; 4] {
    Mark::Chunk(u32::try_from(len).unwrap_or(u32::MAX)).to_bytes()
}

/// Reads requests and writes replies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RangeCodec;

impl request_response::Codec for RangeCodec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Reply;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        Request::read(io).await.map_err(io::Error::other)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Reply>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::Error::other("a liar asks for nothing"))
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, _: &mut T, _: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::Error::other("a liar asks for nothing"))
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, reply: Reply) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        if let Then::EndSlowly(per_second) = reply.then {
            for chunk in reply.bytes.chunks(CHUNK) {
                io.write_all(chunk).await?;
                io.flush().await?;
                let seconds = chunk.len() as f64 / f64::from(per_second.max(1));
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            }
            return Ok(());
        }
        io.write_all(&reply.bytes).await?;
        io.flush().await?;
        match reply.then {
            Then::End | Then::EndSlowly(_) => Ok(()),
            Then::Silence => future::pending().await,
            Then::Zeros => loop {
                io.write_all(&chunk_mark(CHUNK)).await?;
                io.write_all(&[0; CHUNK]).await?;
            },
        }
    }
}
