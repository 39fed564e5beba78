//! A stream in use, and the request that is to be answered on it next.
//!
//! The waiting request is sent while the previous answer is still arriving, so that the source always has something
//! to send. If that answer breaks off, the waiting one is told so, and asks again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use futures::channel::oneshot;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, FutureExt};

use super::reins::Pulse;
use crate::RangeStream;
use crate::behaviour::Outdone;

/// A stream on which a request is being answered.
pub(super) struct Line {
    stream: RangeStream,
    queue: oneshot::Receiver<Next>,
    next: Option<Sending>,
}

/// The place behind the last request that is being answered on a stream or waits for it.
pub(super) struct Place {
    queue: oneshot::Sender<Next>,
    brought: Arc<AtomicU64>,
    outdone: Outdone,
}

/// Who waits for a stream.
pub(super) struct Waiting {
    taken: oneshot::Receiver<RangeStream>,
    queue: oneshot::Receiver<Next>,
}

/// A request that waits for a stream.
struct Next {
    frame: Vec<u8>,
    /// What comes on the stream until then is its sign of life too.
    pulse: Pulse,
    take: oneshot::Sender<RangeStream>,
}

/// A request that waits, and how much of it was sent.
struct Sending {
    next: Next,
    sent: usize,
    is_flushed: bool,
}

impl Line {
    /// A stream that is being used from now on, and the place behind its user.
    pub(super) fn new(stream: RangeStream) -> (Self, Place) {
        let (leave, queue) = oneshot::channel();
        let outdone = stream.outdone().clone();
        let place = Place { queue: leave, brought: stream.brought().clone(), outdone };
        (Line { stream, queue, next: None }, place)
    }

    /// The stream, to read how the answer begins.
    pub(super) fn stream(&mut self) -> &mut RangeStream {
        &mut self.stream
    }

    /// Whether it waits because of a limit of ours.
    pub(super) fn is_held_back(&self) -> bool {
        self.stream.is_held_back()
    }

    /// Reads, and sends what waits as far as there is room for it.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.next.is_none()
            && let Poll::Ready(Ok(next)) = self.queue.poll_unpin(cx)
        {
            self.next = Some(Sending { next, sent: 0, is_flushed: false });
        }
        if let Some(next) = &mut self.next
            && let Poll::Ready(Err(_)) = next.poll_send(&mut self.stream, cx)
        {
            // Whoever waits learns of it, and reading will tell what is wrong.
            self.next = None;
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, space);
        if let Some(Sending { next, .. }) = &self.next {
            next.pulse.held_back(self.stream.is_held_back());
            if let Poll::Ready(Ok(read)) = read {
                next.pulse.came(read);
            }
        }
        read
    }

    /// After the last word of an answer: leaves the stream to whoever waits for it, or gives it back.
    pub(super) async fn pass_on(mut self) -> Option<RangeStream> {
        // From here on nobody takes the place any more; somebody may just have done so.
        self.queue.close();
        let next = match self.next.take() {
            Some(next) => Some(next),
            None => {
                self.queue.try_recv().ok().flatten().map(|next| Sending { next, sent: 0, is_flushed: false })
            }
        };
        let Some(Sending { next, sent, is_flushed }) = next else { return Some(self.stream) };
        if sent == 0 && next.take.is_canceled() {
            return Some(self.stream);
        }
        if !is_flushed {
            self.stream.write_all(next.frame.get(sent..).unwrap_or_default()).await.ok()?;
            self.stream.flush().await.ok()?;
        }
        // What is answered on it now, nobody wants if this fails.
        let _ = next.take.send(self.stream);
        None
    }
}

impl Sending {
    fn poll_send(&mut self, stream: &mut RangeStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.next.frame.get(self.sent..).filter(|rest| !rest.is_empty()) {
            if self.sent == 0 && self.next.take.is_canceled() {
                return Poll::Ready(Err(io::ErrorKind::Interrupted.into()));
            }
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        if !self.is_flushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Place {
    /// Bytes that the stream has brought since it was opened.
    pub(super) fn brought(&self) -> u64 {
        self.brought.load(Ordering::Relaxed)
    }

    /// Whether whoever is before it still uses the stream or waits for it, and no other connection is better by now.
    pub(super) fn is_there(&self) -> bool {
        !self.queue.is_canceled() && !self.outdone.is()
    }

    /// Takes the place for a request; this is the one behind it from now on.
    pub(super) fn take(&mut self, frame: Vec<u8>, pulse: Pulse) -> Waiting {
        let (take, taken) = oneshot::channel();
        let (leave, queue) = oneshot::channel();
        // Nobody hears of it when the stream was given up just now, and so neither does the one who waits.
        let _ = std::mem::replace(&mut self.queue, leave).send(Next { frame, pulse, take });
        Waiting { taken, queue }
    }
}

impl Waiting {
    /// Gives the stream, to read the answer from; nothing if a request before this one does not come to its end.
    pub(super) async fn turn(self) -> Option<Line> {
        let stream = self.taken.await.ok()?;
        Some(Line { stream, queue: self.queue, next: None })
    }
}

#[cfg(test)]
mod tests;
