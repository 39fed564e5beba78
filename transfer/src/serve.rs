//! Answers one range request.
//!
//! The request must arrive whole and in time. Batches are read and encoded on the blocking pool, the next one while
//! the last is being written. A file that changes while it is read ends the response with a word that says so; the
//! receiver verifies what came before.

mod encode;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use futures::future::{Either, select};
use futures::{AsyncWrite, pin_mut};
use futures_timer::Delay;
use shoal_content::{Digest, GroupRanges, MAX_RANGE_PAIRS};
use shoal_store::{Blob, ReadError, Store};

use self::encode::{Batch, Encoder, End};
use crate::pool::{OnPool, on_pool};
use crate::stall::Watchdog;
use crate::wire::{Header, Request, WireError};
use crate::{Inbound, Limits, Pool, PoolClosed, RangeStream};

/// Where content comes from. All of it blocks and is called on the [`Pool`].
pub trait Library: Send + Sync {
    /// Opens a content, or the part of it that is here.
    ///
    /// # Errors
    /// It was here and cannot be read, or is not what it was.
    fn open(&self, digest: &Digest) -> Result<Option<Blob>, ReadError>;

    /// A group that was about to be sent does not match: the file is not what it was, whatever its stamp says.
    fn report_bad(&self, digest: &Digest);
}

impl Library for Store {
    fn open(&self, digest: &Digest) -> Result<Option<Blob>, ReadError> {
        self.blob(digest)
    }

    fn report_bad(&self, digest: &Digest) {
        if let Err(error) = Store::report_bad(self, digest) {
            tracing::debug!(%digest, %error, "could not look again at a file that changed");
        }
    }
}

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// What was asked for.
    pub digest: Digest,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that was asked for and is here was sent.
    Sent,
    /// It is not here.
    NotFound,
    /// Its file is being checked: the peer was told to ask later.
    Checking,
    /// Its file changed, before or while it was sent.
    Changed,
    /// Its file could not be read.
    Unreadable,
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The request did not arrive whole in time.
    #[error("the request did not arrive in time")]
    RequestTimedOut,
    /// The request could not be understood.
    #[error("the request could not be understood")]
    BadRequest(#[source] WireError),
    /// The peer took nothing for [`Limits::write_stall`].
    #[error("the peer stopped reading")]
    Stalled,
    /// The stream broke, most likely because the peer has what it wants.
    #[error("the stream broke")]
    Io(#[from] io::Error),
    /// The node is shutting down.
    #[error(transparent)]
    PoolClosed(#[from] PoolClosed),
}

/// Answers the request on an admitted substream, telling `observer` of the bytes of content and hashes that it hands
/// to the connection, as it does so: most streams end early, when the peer has what it wants or is gone.
///
/// # Errors
/// The request was not understood, or the peer stopped reading or left.
///
/// # Cancel safety
/// Dropping the future resets the substream, and gives the permit back.
pub async fn serve<L: Library + Clone + 'static>(
    inbound: Inbound,
    library: &L,
    pool: &dyn Pool,
    limits: &Limits,
    mut observer: impl FnMut(u64) + Send,
) -> Result<Served, ServeError> {
    let mut stream = inbound.stream;
    let request = read_request(&mut stream, limits).await;
    let mut writer = Writer { stream, watchdog: Watchdog::new(limits.write_stall) };
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            if matches!(error, ServeError::BadRequest(_)) {
                writer.refuse(&Header::BadRequest).await?;
            }
            return Err(error);
        }
    };
    let served = |outcome| Served { digest: request.digest, outcome };
    let opened = {
        let (library, digest) = (library.clone(), request.digest);
        on_pool(pool, move || library.open(&digest)).await?
    };
    let (header, outcome) = match opened {
        Ok(Some(blob)) => {
            let end = respond(&mut writer, &request, blob, pool, &mut observer).await?;
            if end == End::Bad {
                let (library, digest) = (library.clone(), request.digest);
                on_pool(pool, move || library.report_bad(&digest)).await?;
            }
            return Ok(served(end.outcome()));
        }
        Ok(None) | Err(ReadError::NotHere) => (Header::NotFound, Outcome::NotFound),
        Err(ReadError::Changed { .. } | ReadError::Missing { .. }) => (Header::Changed, Outcome::Changed),
        Err(ReadError::Checking { .. }) => (Header::Busy, Outcome::Checking),
        Err(error) => {
            tracing::debug!(digest = %request.digest, %error, "cannot serve");
            (Header::Failed, Outcome::Unreadable)
        }
    };
    writer.refuse(&header).await?;
    Ok(served(outcome))
}

async fn read_request(stream: &mut RangeStream, limits: &Limits) -> Result<Request, ServeError> {
    let request = Request::read(stream);
    pin_mut!(request);
    match select(request, Delay::new(limits.request)).await {
        Either::Left((Ok(request), _)) => Ok(request),
        Either::Left((Err(WireError::Io(error)), _)) => Err(ServeError::Io(error)),
        Either::Left((Err(error), _)) => Err(ServeError::BadRequest(error)),
        Either::Right(((), _)) => Err(ServeError::RequestTimedOut),
    }
}

/// Sends what is here of what is asked for. Gives how it ended.
async fn respond(
    writer: &mut Writer,
    request: &Request,
    blob: Blob,
    pool: &dyn Pool,
    observer: &mut (impl FnMut(u64) + Send),
) -> Result<End, ServeError> {
    let tree = blob.tree();
    let asked = tree.clip(&request.ranges);
    // A set cut short on its way out is as good as one that was held in part.
    let here: GroupRanges = asked.intersection(blob.ranges()).iter().take(MAX_RANGE_PAIRS).collect();
    let header = Header::Follows { size: tree.size(), ranges: (here != asked).then(|| here.clone()) };

    let encoder = Encoder::new(blob, request, &here);
    // Two buffers: one is filled while the other is written.
    let mut spare = encoder.buffer();
    let mut batch = encode(pool, encoder, header.to_frame(), Vec::new());
    loop {
        let Batch { buffer, filled, payload, next } = batch.await?;
        let ready = buffer.get(..filled).unwrap_or_default();
        observer(payload);
        match next {
            Ok(encoder) => {
                batch = encode(pool, encoder, Vec::new(), std::mem::take(&mut spare));
                writer.write_all(ready).await?;
                spare = buffer;
            }
            Err(end) => {
                writer.write_all(ready).await?;
                writer.close().await?;
                return Ok(end);
            }
        }
    }
}

fn encode(pool: &dyn Pool, encoder: Encoder, prefix: Vec<u8>, buffer: Vec<u8>) -> OnPool<Batch> {
    on_pool(pool, move || encoder.fill(&prefix, buffer))
}

/// Writes to a peer that must keep reading.
struct Writer {
    stream: RangeStream,
    watchdog: Watchdog,
}

impl Writer {
    async fn refuse(&mut self, header: &Header) -> Result<(), ServeError> {
        self.write_all(&header.to_frame()).await?;
        self.close().await
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), ServeError> {
        while !bytes.is_empty() {
            let written = self.drive(|stream, cx| stream.poll_write(cx, bytes)).await?;
            bytes = bytes
                .get(written..)
                .filter(|_| written > 0)
                .ok_or(io::ErrorKind::WriteZero)
                .map_err(io::Error::from)?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), ServeError> {
        self.drive(AsyncWrite::poll_close).await
    }

    async fn drive<T>(
        &mut self,
        mut step: impl FnMut(Pin<&mut RangeStream>, &mut std::task::Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, ServeError> {
        self.watchdog.touch();
        poll_fn(|cx| match step(Pin::new(&mut self.stream), cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(ServeError::Io)),
            Poll::Pending => self.watchdog.poll_stalled(cx).map(|()| Err(ServeError::Stalled)),
        })
        .await
    }
}
