//! How many streams peers may have open to us. For each a peer can have us keep a whole window that nobody reads yet.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use yamux::Stream;

/// Streams of one connection that its peer opened: twice what one peer is served on, and with a whole window each 16 MiB.
pub(super) const MAX_OPENED: usize = 64;

/// Those of them that a connection has whatever others have. A stranger who holds all that are shared must not keep others
/// from asking.
pub(super) const GUARANTEED: usize = 8;

/// Streams beyond these that all connections have together: eight for each of thirty-two who fetch at a time. Strangers
/// with many connections would otherwise have us keep the windows of all of them.
pub(super) const SHARED: usize = 256;

/// The places that all connections of a node share.
#[derive(Clone)]
pub(super) struct Pool(Arc<Semaphore>);

impl Pool {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(SHARED)))
    }
}

/// The places of one connection.
pub(super) struct Places {
    own: Arc<Semaphore>,
    more: Arc<Semaphore>,
    pool: Pool,
}

impl Places {
    pub(super) fn new(pool: Pool) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { own: semaphore(GUARANTEED), more: semaphore(MAX_OPENED - GUARANTEED), pool }
    }

    /// Gives a stream a place for as long as it lives, if there is one.
    pub(super) fn take(&self, stream: Stream) -> Option<Substream> {
        let take = |from: &Arc<Semaphore>| from.clone().try_acquire_owned().ok();
        let place = match take(&self.own) {
            Some(own) => [Some(own), None],
            None => [Some(take(&self.more)?), Some(take(&self.pool.0)?)],
        };
        Some(Substream { stream, _place: place })
    }
}

/// A stream of a connection, and its place if the peer opened it.
#[derive(Debug)]
pub(crate) struct Substream {
    stream: Stream,
    _place: [Option<OwnedSemaphorePermit>; 2],
}

impl From<Stream> for Substream {
    /// One that was opened here needs no place.
    fn from(stream: Stream) -> Self {
        Self { stream, _place: [None, None] }
    }
}

impl AsyncRead for Substream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Substream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
