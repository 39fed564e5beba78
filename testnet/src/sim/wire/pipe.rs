//! Bytes on their way in one direction, and the streams made of two such ways.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::io::{AsyncRead, AsyncWrite};

use super::{
    clock::{Alarm, Clock, held},
    link::State,
    tap::Tap,
};

/// Bytes that a stream holds in flight: yamux's window. A writer waits when the reader is that far behind.
const WINDOW: usize = 256 * 1024;

/// One direction of a stream.
pub(super) struct Pipe {
    clock: Arc<Clock>,
    delay: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    chunks: VecDeque<(u64, Vec<u8>)>,
    /// Bytes of the first chunk that were read.
    read: usize,
    in_flight: usize,
    /// When the reader learns that this is all.
    end: Option<u64>,
    reader_left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Alarm for Pipe {
    fn ring(&self) {
        let reader = held(&self.inner).reader.take();
        reader.into_iter().for_each(Waker::wake);
    }
}

impl Pipe {
    pub(super) fn new(clock: Arc<Clock>, delay: Duration) -> Arc<Self> {
        Arc::new(Self { clock, delay, inner: Mutex::default() })
    }

    fn read(&self, cx: &Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut inner = held(&self.inner);
        let inner = &mut *inner;
        let mut count = 0;
        while let Some((due, chunk)) = inner.chunks.front()
            && self.clock.is_due(*due)
            && count < into.len()
        {
            let (left, room) = (chunk.get(inner.read..).unwrap_or_default(), &mut into[count..]);
            let len = left.len().min(room.len());
            room[..len].copy_from_slice(&left[..len]);
            count += len;
            inner.read += len;
            if len == left.len() {
                inner.chunks.pop_front();
                inner.read = 0;
            }
        }
        let over = inner.chunks.is_empty() && inner.end.is_some_and(|end| self.clock.is_due(end));
        if count == 0 && !over {
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        inner.in_flight -= count;
        inner.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn write(self: &Arc<Self>, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = held(&self.inner);
        if inner.reader_left || inner.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = bytes.len().min(WINDOW - inner.in_flight);
        if len == 0 && !bytes.is_empty() {
            inner.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        inner.in_flight += len;
        let due = self.clock.after(self.delay);
        let bytes = &bytes[..len];
        match inner.chunks.back_mut() {
            Some((other, chunk)) if *other == due => chunk.extend_from_slice(bytes),
            _ => {
                inner.chunks.push_back((due, bytes.to_vec()));
                drop(inner);
                self.clock.set(due, self.clone());
            }
        }
        Poll::Ready(Ok(len))
    }

    fn close(self: &Arc<Self>) {
        let mut inner = held(&self.inner);
        if inner.end.is_none() {
            let due = self.clock.after(self.delay);
            inner.end = Some(due);
            drop(inner);
            self.clock.set(due, self.clone());
        }
    }

    fn leave(&self) {
        let mut inner = held(&self.inner);
        inner.reader_left = true;
        inner.writer.take().into_iter().for_each(Waker::wake);
    }
}

/// One end of a stream.
pub(crate) struct Stream {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    state: Arc<State>,
    tap: Tap,
}

impl Stream {
    pub(super) fn new(incoming: Arc<Pipe>, outgoing: Arc<Pipe>, state: Arc<State>, tap: Tap) -> Self {
        Self { incoming, outgoing, state, tap }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let read = this.incoming.read(cx, into);
        if let Poll::Ready(Ok(1..)) = read {
            this.tap.heard();
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.state.is_silent() {
            // What is said to the dead is said, and nothing more.
            this.tap.said(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = this.outgoing.write(cx, bytes);
        if let Poll::Ready(Ok(len)) = written {
            this.tap.said(bytes.get(..len).unwrap_or_default());
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.state.is_silent() {
            self.outgoing.close();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.state.is_silent() {
            self.outgoing.close();
            self.incoming.leave();
        }
    }
}
