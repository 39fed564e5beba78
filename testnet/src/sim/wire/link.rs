//! A connection between two hosts, and the streams opened over it.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerEvent},
};

use super::{
    clock::{Alarm, Clock, held},
    host::Host,
    pipe::{Pipe, Stream},
    tap::Tap,
};

/// Whether one of the two hosts has died without a word. Shared by all streams of the connection.
#[derive(Default)]
pub(crate) struct State(AtomicBool);

impl State {
    pub(super) fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on nothing arrives, and nobody is told.
    pub(super) fn fall_silent(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What waits for one end of a connection.
#[derive(Default)]
struct End(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    streams: VecDeque<(u64, Stream)>,
    /// When this end learns that the other one has closed.
    closed: Option<u64>,
    left: bool,
    waker: Option<Waker>,
}

impl Alarm for End {
    fn ring(&self) {
        let waker = held(&self.0).waker.take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// One end of a connection.
pub(crate) struct Connection {
    clock: Arc<Clock>,
    delay: Duration,
    state: Arc<State>,
    /// Whoever is here, for the books.
    host: Arc<Host>,
    pub(super) remote: PeerId,
    near: Arc<End>,
    far: Arc<End>,
}

impl Connection {
    /// Both ends of a new connection, with what silences it.
    pub(super) fn pair(
        clock: &Arc<Clock>,
        delay: Duration,
        hosts: [Arc<Host>; 2],
    ) -> (Self, Self, Weak<State>) {
        let (near, far, state) = (Arc::<End>::default(), Arc::<End>::default(), Arc::<State>::default());
        let weak = Arc::downgrade(&state);
        let [here, there] = hosts;
        let end = |host, remote, near: &Arc<End>, far: &Arc<End>| Self {
            clock: clock.clone(),
            delay,
            state: state.clone(),
            host,
            remote,
            near: near.clone(),
            far: far.clone(),
        };
        let peers = [here.peer, there.peer];
        (end(here, peers[1], &near, &far), end(there, peers[0], &far, &near), weak)
    }

    fn open(&self) -> io::Result<Stream> {
        let there = Pipe::new(self.clock.clone(), self.delay);
        let back = Pipe::new(self.clock.clone(), self.delay);
        let mine = Stream::new(back.clone(), there.clone(), self.state.clone(), Tap::new(self.host.clone()));
        if self.state.is_silent() {
            return Ok(mine);
        }
        let theirs = Stream::new(there, back, self.state.clone(), Tap::deaf());
        let due = self.clock.after(self.delay);
        let mut far = held(&self.far.0);
        if far.left {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        far.streams.push_back((due, theirs));
        drop(far);
        self.clock.set(due, self.far.clone());
        Ok(mine)
    }

    fn close(&self) {
        let abandoned = {
            let mut near = held(&self.near.0);
            near.left = true;
            std::mem::take(&mut near.streams)
        };
        drop(abandoned);
        if !self.state.is_silent() {
            let due = self.clock.after(self.delay);
            held(&self.far.0).closed.get_or_insert(due);
            self.clock.set(due, self.far.clone());
        }
    }

    /// Fails once the other end is known to have closed.
    fn check(&self, waiting: &Waiting) -> io::Result<()> {
        match waiting.closed {
            Some(closed) if self.clock.is_due(closed) => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(()),
        }
    }
}

impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let mut waiting = held(&self.near.0);
        self.check(&waiting)?;
        if let Some((due, _)) = waiting.streams.front()
            && self.clock.is_due(*due)
            && let Some((_, stream)) = waiting.streams.pop_front()
        {
            if waiting.streams.is_empty() {
                // There are very many connections, and most of them are idle.
                waiting.streams = VecDeque::new();
            }
            return Poll::Ready(Ok(stream));
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        Poll::Ready(self.open())
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let mut waiting = held(&self.near.0);
        self.check(&waiting)?;
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}
