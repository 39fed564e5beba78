//! Answers the requests on one substream, one after the other.
//!
//! A stream between two requests costs its place among the streams and nothing else. With the first byte of a request
//! comes the permit to serve it, or a refusal, and the request must be whole in time. Batches are read and encoded on
//! the blocking pool, the next one while the last is being written, so the muxer's back-pressure is the only queue. A
//! file that changes while it is read ends its answer with a word that says so; the receiver verifies what came before.

mod encode;
mod spread;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use futures::future::{Either, select};
use futures::{AsyncReadExt, AsyncWrite, pin_mut};
use futures_timer::Delay;
use libp2p::PeerId;
use shoal_content::{Digest, ProviderKey};
use shoal_store::{Blob, Lead, ReadError, Store};

use self::encode::{Answers, Batch, Between, Out};
#[cfg(test)]
pub(crate) use self::spread::Sending;
pub(crate) use self::spread::Spread;
use crate::behaviour::refuse;
use crate::pool::on_pool;
use crate::stall::Watchdog;
use crate::wire::{Header, Request, WireError};
use crate::{Inbound, Limits, Pool, PoolClosed, RangeStream};

/// Bytes that a peer must take within [`Limits::write_stall`]: a group. One that takes a byte now and then only wants to
/// keep its slot.
const SIGN_OF_LIFE: usize = 16 * 1024;

/// Where content comes from. All of it blocks and is called on the [`Pool`].
pub trait Library: Send + Sync {
    /// Looks up many contents that are about to be opened; gives a lead for each, in the same order.
    fn look_up(&self, digests: &[Digest]) -> Vec<Lead>;

    /// Opens a content, or the part of it that is here, by the lead to it if it was looked up.
    ///
    /// # Errors
    /// It was here and cannot be read, or is not what it was.
    fn open(&self, digest: &Digest, lead: Lead) -> Result<Option<Blob>, ReadError>;

    /// The content that is announced under this key, if it was ever here.
    fn digest_for(&self, key: &ProviderKey) -> Option<Digest>;

    /// A group that was about to be sent does not match: the file is not what it was, whatever its stamp says.
    fn report_bad(&self, digest: &Digest);
}

impl Library for Store {
    fn look_up(&self, digests: &[Digest]) -> Vec<Lead> {
        Store::look_up(self, digests)
    }

    fn open(&self, digest: &Digest, lead: Lead) -> Result<Option<Blob>, ReadError> {
        self.blob_by(digest, lead)
    }

    fn digest_for(&self, key: &ProviderKey) -> Option<Digest> {
        Store::digest_for(self, key)
            .inspect_err(|error| tracing::debug!(%error, "could not look up a key"))
            .ok()
            .flatten()
    }

    fn report_bad(&self, digest: &Digest) {
        if let Err(error) = Store::report_bad(self, digest) {
            tracing::debug!(%digest, %error, "could not look again at a file that changed");
        }
    }
}

/// What happens while a substream is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServeEvent {
    /// A request came and holds a permit.
    Began,
    /// It asks for some of this, and knows its digest.
    Asked(Digest),
    /// So many bytes of content and hashes were handed to the connection.
    Sent(u64),
    /// One of the wants of the request was answered.
    Served(Served),
    /// All of the request was answered, and its permit is free.
    Ended,
}

/// A want that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// What was asked for; nothing if it was named by a key under which nothing is here.
    pub digest: Option<Digest>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a want was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that was asked for and is here was sent.
    Sent,
    /// It is not here, or whoever asks does not know its digest.
    NotFound,
    /// Its file is being checked: the peer was told to ask later.
    Checking,
    /// Its file changed, before or while it was sent.
    Changed,
    /// Its file could not be read.
    Unreadable,
}

/// Why a stream was not served to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Too many transfers are served already, to this peer or to all.
    #[error("too many transfers are served already")]
    Busy,
    /// The request did not arrive whole in time.
    #[error("the request did not arrive in time")]
    RequestTimedOut,
    /// The request could not be understood.
    #[error("the request could not be understood")]
    BadRequest(#[source] WireError),
    /// The peer took less than a group in [`Limits::write_stall`].
    #[error("the peer stopped reading")]
    Stalled,
    /// The stream broke, most likely because the peer has what it wants.
    #[error("the stream broke")]
    Io(#[from] io::Error),
    /// The node is shutting down.
    #[error(transparent)]
    PoolClosed(#[from] PoolClosed),
}

/// Encodes the whole answer to a request, batch by batch, and gives its length: what a server does but for moving it.
#[doc(hidden)]
pub fn encode<L: Library + Clone>(library: L, request: Request) -> u64 {
    let mut len = 0;
    let between = Between { asker: PeerId::random(), holder: PeerId::random() };
    let answers = Answers::new(library, Spread::default(), between, request);
    let (mut rest, mut out) = (Some(answers), Out::default());
    while let Some(answers) = rest {
        let batch = answers.fill(out);
        len += batch.out.ready().len() as u64;
        (rest, out) = (batch.rest, batch.out);
    }
    len
}

/// Answers the requests on an admitted substream until the peer has no more, telling `observer` how it goes as it goes:
/// most streams end early, when the peer has what it wants or is gone.
///
/// # Errors
/// A request was refused or not understood, or the peer stopped reading or left in the middle.
///
/// # Cancel safety
/// Dropping the future resets the substream, and gives permit and place back.
pub async fn serve<L: Library + Clone + 'static>(
    inbound: Inbound,
    library: &L,
    pool: &dyn Pool,
    limits: &Limits,
    mut observer: impl FnMut(ServeEvent) + Send,
) -> Result<(), ServeError> {
    let Inbound { mut stream, gate, peer, .. } = inbound;
    let between = Between { asker: peer, holder: gate.local };
    loop {
        let Some(first) = first_byte(&mut stream, limits).await else {
            // All that was asked for was answered, and the peer may have closed the connection already.
            let _ = Writer::new(&mut stream, limits).close().await;
            return Ok(());
        };
        // Permits come before memory: a request may be long.
        let Some(_permit) = gate.admit() else {
            refuse(stream, Header::Busy).await;
            return Err(ServeError::Busy);
        };
        let request = match read_request(first, &mut stream, limits).await {
            Ok(request) => request,
            Err(error) => {
                if matches!(error, ServeError::BadRequest(_)) {
                    refuse(stream, Header::BadRequest).await;
                }
                return Err(error);
            }
        };
        observer(ServeEvent::Began);
        let answers = Answers::new(library.clone(), gate.spread.clone(), between, request);
        answer(&mut Writer::new(&mut stream, limits), answers, pool, &mut observer).await?;
        observer(ServeEvent::Ended);
    }
}

/// Waits for the next request; nothing when the peer has no more, or none for too long, or is gone.
async fn first_byte(stream: &mut RangeStream, limits: &Limits) -> Option<u8> {
    let mut byte = [0];
    match select(stream.read(&mut byte), Delay::new(limits.idle)).await {
        Either::Left((Ok(1), _)) => Some(byte[0]),
        Either::Left(_) | Either::Right(_) => None,
    }
}

async fn read_request(first: u8, stream: &mut RangeStream, limits: &Limits) -> Result<Request, ServeError> {
    let first = [first];
    let mut whole = AsyncReadExt::chain(first.as_slice(), stream);
    let request = Request::read(&mut whole);
    pin_mut!(request);
    match select(request, Delay::new(limits.request)).await {
        Either::Left((Ok(Some(request)), _)) => Ok(request),
        Either::Left((Ok(None), _)) => Err(ServeError::Io(io::ErrorKind::UnexpectedEof.into())),
        Either::Left((Err(WireError::Io(error)), _)) => Err(ServeError::Io(error)),
        Either::Left((Err(error), _)) => Err(ServeError::BadRequest(error)),
        Either::Right(((), _)) => Err(ServeError::RequestTimedOut),
    }
}

/// Sends all answers to a request.
async fn answer<L: Library + Clone + 'static>(
    writer: &mut Writer<'_>,
    answers: Answers<L>,
    pool: &dyn Pool,
    observer: &mut (impl FnMut(ServeEvent) + Send),
) -> Result<(), ServeError> {
    let library = answers.library();
    let fill = |answers: Answers<L>, out: Out| on_pool(pool, move || answers.fill(out));
    // Two buffers: one is filled while the other is written.
    let mut spare = Out::default();
    let mut next = Some(fill(answers, Out::default()));
    while let Some(batch) = next {
        let Batch { out, payload, asked, answered, bad, rest } = batch.await?;
        asked.into_iter().for_each(|digest| observer(ServeEvent::Asked(digest)));
        observer(ServeEvent::Sent(payload));
        next = rest.map(|answers| fill(answers, std::mem::take(&mut spare)));
        writer.write_all(out.ready()).await?;
        spare = out;
        answered.into_iter().for_each(|served| observer(ServeEvent::Served(served)));
        if let Some(digest) = bad {
            let library = library.clone();
            on_pool(pool, move || library.report_bad(&digest)).await?;
        }
    }
    writer.flush().await
}

/// Writes to a peer that must keep reading, for as long as nothing but the peer keeps us from writing.
struct Writer<'a> {
    stream: &'a mut RangeStream,
    watchdog: Watchdog,
    /// Bytes that the peer took since it last showed a sign of life.
    taken: usize,
}

impl<'a> Writer<'a> {
    fn new(stream: &'a mut RangeStream, limits: &Limits) -> Self {
        Writer { stream, watchdog: Watchdog::new(limits.write_stall), taken: 0 }
    }

    async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), ServeError> {
        while !bytes.is_empty() {
            let written = self.drive(|stream, cx| stream.poll_write(cx, bytes)).await?;
            bytes = bytes
                .get(written..)
                .filter(|_| written > 0)
                .ok_or(io::ErrorKind::WriteZero)
                .map_err(io::Error::from)?;
            self.taken += written;
            if self.taken >= SIGN_OF_LIFE {
                self.taken = 0;
                self.watchdog.progress();
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ServeError> {
        self.drive(AsyncWrite::poll_flush).await
    }

    async fn close(&mut self) -> Result<(), ServeError> {
        self.drive(AsyncWrite::poll_close).await
    }

    async fn drive<T>(
        &mut self,
        mut step: impl FnMut(Pin<&mut RangeStream>, &mut std::task::Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, ServeError> {
        poll_fn(|cx| match step(Pin::new(&mut *self.stream), cx) {
            Poll::Ready(result) => {
                self.watchdog.pause(Instant::now());
                Poll::Ready(result.map_err(ServeError::Io))
            }
            Poll::Pending if self.stream.is_held_back() => {
                self.watchdog.pause(Instant::now());
                Poll::Pending
            }
            Poll::Pending => {
                self.watchdog.poll_stalled(cx, Instant::now()).map(|()| Err(ServeError::Stalled))
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests;
