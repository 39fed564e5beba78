//! TLS records between a connection and its socket, many at a time.
//!
//! Takes over when the handshake is done. What stands above writes frames, a header of twelve bytes and then a body, and
//! the usual stream makes a record and a system call of each. Here a header waits for its body, and records wait for
//! each other until they are worth a call or whoever wrote them has nothing more to say and flushes.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, ready};
use futures_rustls::TlsStream;
use rustls::Connection;

#[cfg(test)]
mod tests;

/// Longest write that waits for what follows. Without it each header of a frame is a record of its own.
const HELD: usize = 64;

/// Bytes encrypted before they are sent without waiting for a flush: large against a system call, small against the
/// second-level cache. Twice as much may wait for the peer; then whoever writes waits too.
const QUEUE: usize = 64 * 1024;

/// Most bytes that one write takes. Without it a long one would be encrypted whole before the first byte is sent.
const MAX_WRITE: usize = 64 * 1024;

/// Bytes read at once at first. Most connections carry a question now and then, and there are many of them.
const FIRST_READ: usize = 4 * 1024;

/// Bytes read at once when much comes.
const MAX_READ: usize = 64 * 1024;

/// The bytes of a connection whose handshake is done.
pub(crate) struct Stream<C> {
    socket: C,
    tls: Connection,
    /// The beginning of what is to be encrypted, too short for a record of its own.
    held: Vec<u8>,
    /// Bytes that are encrypted and wait to be sent, roughly.
    queued: usize,
    input: Input,
}

/// What came and is not decrypted.
#[derive(Default)]
struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<C> Stream<C> {
    pub(crate) fn new(stream: TlsStream<C>) -> Self {
        let (socket, mut tls) = match stream {
            TlsStream::Client(stream) => {
                let (socket, tls) = stream.into_inner();
                (socket, Connection::Client(tls))
            }
            TlsStream::Server(stream) => {
                let (socket, tls) = stream.into_inner();
                (socket, Connection::Server(tls))
            }
        };
        // What waits is counted here.
        tls.set_buffer_limit(None);
        Self { socket, tls, held: Vec::new(), queued: 0, input: Input::default() }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Stream<C> {
    /// Encrypts what is held and then `bytes`.
    fn encrypt(&mut self, bytes: &[u8]) -> io::Result<()> {
        let whole = self.held.len() + bytes.len();
        let taken = self.tls.writer().write_vectored(&[IoSlice::new(&self.held), IoSlice::new(bytes)])?;
        if taken != whole {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.held.clear();
        self.queued += whole;
        Ok(())
    }

    /// Sends all that is encrypted.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Blocking { socket: &mut self.socket, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(sent) => self.queued = self.queued.saturating_sub(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.queued = 0;
        Poll::Ready(Ok(()))
    }

    /// Sends what can be sent now; the task is woken when more can be.
    fn send_some(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// Reads from the socket and decrypts.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.input.is_empty() {
            ready!(self.input.fill(&mut self.socket, cx))?;
        }
        let mut unread = self.input.unread();
        let (is_end, taken) = (unread.is_empty(), self.tls.read_tls(&mut unread)?);
        if taken == 0 && !is_end {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        self.input.start += taken;
        if let Err(error) = self.tls.process_new_packets() {
            // The peer is told why, if it takes that at once.
            drop(self.send_some(cx));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(()))
    }
}

impl Input {
    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads what the socket has; nothing at its end.
    fn fill(&mut self, socket: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            self.buffer.resize(FIRST_READ, 0);
        }
        let read = ready!(Pin::new(socket).poll_read(cx, &mut self.buffer))?;
        (self.start, self.end) = (0, read);
        if read == self.buffer.len() && read < MAX_READ {
            self.buffer.resize(read * 2, 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            match this.tls.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(this.receive(cx))?,
                read => return Poll::Ready(read),
            }
        }
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.held.len() + buf.len() <= HELD {
            this.held.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        if this.queued >= QUEUE {
            this.send_some(cx)?;
            if this.queued >= QUEUE {
                return Poll::Pending;
            }
        }
        let taken = buf.get(..MAX_WRITE).unwrap_or(buf);
        this.encrypt(taken)?;
        if this.queued >= QUEUE {
            this.send_some(cx)?;
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.held.is_empty() {
            this.encrypt(&[])?;
        }
        ready!(this.send(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            self.encrypt(&[])?;
        }
        // Says it once, however often it is called.
        self.tls.send_close_notify();
        ready!(self.as_mut().poll_flush(cx))?;
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            closed => Poll::Ready(closed),
        }
    }
}

/// A socket as the TLS library wants it.
struct Blocking<'a, 'b, C> {
    socket: &'a mut C,
    cx: &'a mut Context<'b>,
}

impl<C: AsyncWrite + Unpin> Blocking<'_, '_, C> {
    fn done(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
        match polled {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<C: AsyncWrite + Unpin> io::Write for Blocking<'_, '_, C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::done(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::done(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
