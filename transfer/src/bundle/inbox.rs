//! Reads the answers to a bundle, many at a time, while what was verified goes to the disk.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures::stream::FuturesUnordered;
use futures::{AsyncRead, FutureExt, StreamExt};

use super::receive::{Batch, Ended};
use crate::RangeStream;
use crate::fetch::{Bit, broken};
use crate::pool::OnPool;
use crate::scheduler::Failure;
use crate::wire::{Header, MAX_HEADER_LEN, Mark, WireError};

/// Bytes read at once: many small answers in one system call and one turn of the task.
const READ_LEN: usize = 128 * 1024;

/// Files on their way to their places.
pub(super) type Writes = FuturesUnordered<OnPool<(Batch, Result<(), shoal_store::FinishError>)>>;

/// A stream, and what was read of it and not used yet.
pub(super) struct Inbox {
    stream: RangeStream,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    bit: Bit,
    is_stopped: bool,
}

/// What came first.
pub(super) enum Filled {
    Read,
    Stopped,
    /// A batch was placed, or could not be.
    Wrote(Result<(Batch, Result<(), shoal_store::FinishError>), crate::PoolClosed>),
}

impl Inbox {
    pub(super) fn new(stream: RangeStream, bit: Bit) -> Self {
        Inbox { stream, buffer: Vec::new(), at: 0, filled: 0, bit, is_stopped: false }
    }

    /// What is here.
    pub(super) fn ready(&self) -> &[u8] {
        self.buffer.get(self.at..self.filled).unwrap_or_default()
    }

    /// So much of it is used.
    pub(super) fn used(&mut self, len: usize) {
        self.at = (self.at + len).min(self.filled);
    }

    /// The next header, if all of it is here.
    pub(super) fn header(&mut self) -> Result<Option<Header>, Ended> {
        let Some((len, rest)) = self.ready().split_first_chunk::<4>() else { return Ok(None) };
        let claimed = u32::from_be_bytes(*len);
        let len = usize::try_from(claimed).ok().filter(|len| (1..=MAX_HEADER_LEN).contains(len));
        let len = len.ok_or_else(|| broken(WireError::TooLong(claimed)))?;
        let Some(frame) = rest.get(..len) else { return Ok(None) };
        let header = Header::decode(frame).map_err(broken)?;
        self.used(4 + len);
        Ok(Some(header))
    }

    /// The next mark, if all of it is here.
    pub(super) fn mark(&mut self) -> Result<Option<Mark>, Ended> {
        let Some(word) = self.ready().first_chunk::<4>() else { return Ok(None) };
        let mark = Mark::decode(*word).map_err(broken)?;
        self.used(4);
        Ok(Some(mark))
    }

    /// Reads some more, or hears of a write.
    pub(super) async fn fill(&mut self, writes: &mut Writes) -> Result<Filled, Failure> {
        if self.is_stopped {
            return Ok(Filled::Stopped);
        }
        if self.at > 0 {
            self.buffer.copy_within(self.at..self.filled, 0);
            self.filled -= self.at;
            self.at = 0;
        }
        let wanted = self.filled + READ_LEN;
        if self.buffer.len() < READ_LEN || self.filled * 2 > self.buffer.len() {
            self.buffer.resize(self.buffer.len().max(wanted), 0);
        }
        poll_fn(|cx| {
            if self.bit.poll_unpin(cx).is_ready() {
                self.is_stopped = true;
                return Poll::Ready(Ok(Filled::Stopped));
            }
            if let Poll::Ready(Some(wrote)) = writes.poll_next_unpin(cx) {
                return Poll::Ready(Ok(Filled::Wrote(wrote)));
            }
            // A muxer gives a frame at a time; all that are here are one look at the answers.
            let before = self.filled;
            loop {
                let space = self.buffer.get_mut(self.filled..).unwrap_or_default();
                if space.is_empty() {
                    return Poll::Ready(Ok(Filled::Read));
                }
                let polled = Pin::new(&mut self.stream).poll_read(cx, space);
                self.bit.held_back(self.stream.is_held_back());
                match polled {
                    Poll::Ready(Ok(read)) if read > 0 => {
                        self.bit.came(read);
                        self.filled += read;
                    }
                    _ if self.filled > before => return Poll::Ready(Ok(Filled::Read)),
                    Poll::Ready(_) => return Poll::Ready(Err(Failure::Lost)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// The stream, to be used again: nothing was read beyond the last answer.
    pub(super) fn into_stream(self) -> Option<RangeStream> {
        self.ready().is_empty().then_some(self.stream)
    }
}
