//! A substream of the range protocol, and the slots that bound how many of them one connection carries.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use futures::{AsyncRead, AsyncWrite, ready};

use super::admission::Permit;
use crate::Meter;

/// One substream: requests go one way, their responses the other.
///
/// Dropping it resets the substream and frees its slot, or the place under which it was admitted. While it is held its
/// connection is kept alive.
pub struct RangeStream {
    io: Pin<Box<dyn Duplex>>,
    /// What holds reading and writing to a rate.
    reads: Option<Meter>,
    writes: Option<Meter>,
    /// Bytes that were read.
    brought: Arc<AtomicU64>,
    outdone: Outdone,
    _held: Held,
}

/// Whether there is a better connection to the peer by now than that of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outdone(Arc<AtomicBool>);

impl Outdone {
    /// Whether the next request is better made on another connection.
    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// What goes with the stream.
enum Held {
    Nothing,
    /// Ours: its place among the streams we have open on a connection.
    Slot(#[expect(dead_code, reason = "held to be dropped")] Slot),
    /// Theirs: its place among the streams that peers have open to us.
    Place(#[expect(dead_code, reason = "held to be dropped")] Permit),
}

impl RangeStream {
    /// Wraps any byte stream, so that a source need not be a libp2p peer.
    pub fn new(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let brought = Arc::default();
        let outdone = Outdone::default();
        RangeStream { io: Box::pin(io), reads: None, writes: None, brought, outdone, _held: Held::Nothing }
    }

    pub(super) fn with_slot(io: impl AsyncRead + AsyncWrite + Send + 'static, slot: Slot) -> Self {
        RangeStream { outdone: slot.0.outdone.clone(), _held: Held::Slot(slot), ..Self::new(io) }
    }

    pub(super) fn with_place(self, place: Permit) -> Self {
        RangeStream { _held: Held::Place(place), ..self }
    }

    /// Reads no faster than `meter` lets it.
    #[must_use]
    pub fn paced_reads(self, meter: Meter) -> Self {
        RangeStream { reads: Some(meter), ..self }
    }

    /// Writes no faster than `meter` lets it.
    #[must_use]
    pub fn paced_writes(self, meter: Meter) -> Self {
        RangeStream { writes: Some(meter), ..self }
    }

    /// Bytes that were read from it since it was opened: the more, the more its peer may have under way on it.
    pub(crate) fn brought(&self) -> &Arc<AtomicU64> {
        &self.brought
    }

    /// Whether the next request is better made on another stream.
    pub(crate) fn outdone(&self) -> &Outdone {
        &self.outdone
    }

    /// Whether it waits for its turn under a limit of ours, so that nobody else is to blame for its silence.
    pub(crate) fn is_held_back(&self) -> bool {
        [&self.reads, &self.writes].into_iter().flatten().any(Meter::is_held_back)
    }
}

impl std::fmt::Debug for RangeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RangeStream").finish_non_exhaustive()
    }
}

impl AsyncRead for RangeStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let piece = match &mut self.reads {
            Some(meter) => ready!(meter.poll_turn(cx)).min(buf.len()),
            None => buf.len(),
        };
        let read = ready!(self.io.as_mut().poll_read(cx, buf.get_mut(..piece).unwrap_or_default()))?;
        self.brought.fetch_add(read as u64, Ordering::Relaxed);
        if let Some(meter) = &mut self.reads {
            meter.moved(read);
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for RangeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Some(meter) = &mut self.writes else {
            return self.io.as_mut().poll_write(cx, buf);
        };
        let piece = ready!(meter.poll_turn(cx)).min(buf.len());
        let written = ready!(self.io.as_mut().poll_write(cx, buf.get(..piece).unwrap_or_default()))?;
        if let Some(meter) = &mut self.writes {
            meter.moved(written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_close(cx)
    }
}

/// The streams we have open on one connection.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    used: Arc<AtomicUsize>,
    freed: Freed,
    outdone: Outdone,
}

impl Slots {
    pub(super) fn new(freed: Freed) -> Self {
        Slots { used: Arc::default(), freed, outdone: Outdone::default() }
    }

    /// Lets all streams know whether there is a better connection.
    pub(super) fn outdo(&self, is_outdone: bool) {
        self.outdone.0.store(is_outdone, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn is_outdone(&self) -> bool {
        self.outdone.is()
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// Takes a slot. Only the behaviour takes, so checking [`Slots::used`] before is no race.
    pub(super) fn take(&self) -> Slot {
        self.used.fetch_add(1, Ordering::AcqRel);
        Slot(self.clone())
    }
}

/// One open stream of a connection; dropping it lets the next waiting open go.
#[derive(Debug)]
pub(super) struct Slot(Slots);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.signal();
    }
}

/// Tells the behaviour that a slot became free somewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Freed(Arc<(AtomicBool, AtomicWaker)>);

impl Freed {
    fn signal(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.wake();
    }

    /// Whether a slot was freed since the last call; the caller is woken for the next one.
    pub(super) fn poll(&self, cx: &Context<'_>) -> bool {
        self.0.1.register(cx.waker());
        self.0.0.swap(false, Ordering::AcqRel)
    }
}
