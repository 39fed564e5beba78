//! Many streams over one connection: yamux, in frames that fill TLS records, and flushed when there is no more to send.
//!
//! libp2p's own upgrade sends frames of 16 KiB, which with their header take a record and a bit of the next, and flushes
//! after each of them.

mod echo;
mod places;

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    io, iter,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready as task_ready},
    time::Instant,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::{
    UpgradeInfo,
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
};
use yamux::{Connection, ConnectionError, DEFAULT_CREDIT, Mode};

use self::{
    echo::{Echo, Heard},
    places::{Places, Pool, Substream},
};

#[cfg(test)]
mod tests;

/// What libp2p calls this upgrade.
const PROTOCOL: &str = "/yamux/1.0.0";

/// Bytes of one frame beside its header: with it, four TLS records to the last byte.
const FRAME: usize = 4 * 16 * 1024 - 12;

/// Streams that a peer opened and nobody has taken yet, because so many others have not yet said what they are for that
/// no more are taken. Nobody reads them, so a stranger could have us keep a whole window for each. More are dropped.
const MAX_ARRIVED: usize = 32;

/// Bytes that are taken from a connection before those who wait for them have their turn. Without it a fast peer fills
/// the windows of its streams first, and who reads them finds nothing in the processor's caches any more.
const TURN: usize = 128 * 1024;

/// Streams of one connection, whoever opened them: what both sides need at the most. One more ends it; so does who opens
/// many and does not take the word that they are ended, for until then their windows are kept.
const MAX_STREAMS: usize = 256;

/// Bytes by which the windows of all streams of a connection may exceed the least that each has: five times what a way
/// of 1 Gbit/s and 100 ms bears. A peer can have us keep as much, when it sends faster than the disk takes.
const MAX_GROWTH: usize = 64 * 1024 * 1024;

/// Upgrades connections to yamux.
#[derive(Clone)]
pub(crate) struct Config {
    yamux: yamux::Config,
    pool: Pool,
}

impl Config {
    pub(crate) fn new() -> Self {
        let mut config = yamux::Config::default();
        config.set_split_send_size(FRAME);
        config.set_max_num_streams(MAX_STREAMS);
        let least = MAX_STREAMS.saturating_mul(usize::try_from(DEFAULT_CREDIT).unwrap_or(usize::MAX));
        config.set_max_connection_receive_window(Some(least.saturating_add(MAX_GROWTH)));
        Self { yamux: config, pool: Pool::new() }
    }

    fn connection<C: AsyncRead + AsyncWrite + Unpin>(self, socket: C, mode: Mode) -> Muxer<C> {
        let socket = Corked(Arc::new(Mutex::new(Turn { socket, left: TURN, echo: Echo::default() })));
        let connection = Connection::new(socket.clone(), self.yamux, mode);
        let places = Places::new(self.pool);
        Muxer { connection, socket, places, arrived: VecDeque::new(), taker: None }
    }
}

impl UpgradeInfo for Config {
    type Info = &'static str;
    type InfoIter = iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once(PROTOCOL)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Config {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, socket: C, _: &'static str) -> Self::Future {
        ready(Ok(self.connection(socket, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Config {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, socket: C, _: &'static str) -> Self::Future {
        ready(Ok(self.connection(socket, Mode::Client)))
    }
}

/// A connection that carries streams.
pub(crate) struct Muxer<C> {
    connection: Connection<Corked<C>>,
    socket: Corked<C>,
    places: Places,
    arrived: VecDeque<Substream>,
    /// Who waits for the next stream.
    taker: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    /// Moves frames both ways until a stream arrives that has a place, or there is nothing more to move.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Substream>> {
        self.socket.lock().left = TURN;
        // It ends: what streams come with is read, and no more than that is.
        while let Poll::Ready(arrived) = self.connection.poll_next_inbound(cx) {
            let stream = arrived.unwrap_or(Err(ConnectionError::Closed)).map_err(into_io)?;
            if let Some(stream) = self.places.take(stream) {
                return Poll::Ready(Ok(stream));
            }
            tracing::debug!("a peer has more streams than there are places for");
        }
        match Pin::new(&mut self.socket.lock().socket).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Substream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Substream>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let polled = self.drive(cx);
        if polled.is_pending() {
            self.taker = Some(cx.waker().clone());
        }
        polled
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Substream>> {
        self.connection.poll_new_outbound(cx).map_ok(Substream::from).map_err(into_io)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(cx).map_err(into_io)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let stream = match self.drive(cx) {
            Poll::Ready(stream) => stream?,
            Poll::Pending => return Poll::Pending,
        };
        if self.arrived.len() < MAX_ARRIVED {
            self.arrived.push_back(stream);
            self.taker.take().into_iter().for_each(Waker::wake);
        } else {
            tracing::debug!("a peer opens more streams than are taken");
        }
        // There may be more to move, but others come first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn into_io(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// A connection as yamux sees it, which flushes after every frame: here that does nothing.
struct Corked<C>(Arc<Mutex<Turn<C>>>);

/// A connection, and how much may still be read before others come.
struct Turn<C> {
    socket: C,
    left: usize,
    echo: Echo,
}

impl<C> Corked<C> {
    /// Only the task of the connection comes here, so nobody ever waits.
    fn lock(&self) -> MutexGuard<'_, Turn<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Clone for Corked<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Corked<C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Turn { socket, left, echo } = &mut *self.lock();
        if let Some(answer) = echo.answer(buf.len(), Instant::now) {
            buf.copy_from_slice(&answer);
            return Poll::Ready(Ok(answer.len()));
        }
        loop {
            if *left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let read = task_ready!(Pin::new(&mut *socket).poll_read(cx, buf))?;
            *left = left.saturating_sub(read);
            if echo.hears(buf.get(..read).unwrap_or_default(), Instant::now) == Heard::PassOn {
                return Poll::Ready(Ok(read));
            }
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Corked<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Turn { socket, echo, .. } = &mut *self.lock();
        let written = task_ready!(Pin::new(socket).poll_write(cx, buf))?;
        echo.says(buf.get(..written).unwrap_or_default(), Instant::now);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().socket).poll_close(cx)
    }
}
