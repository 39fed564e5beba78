//! What happens in a node, for whoever wants to watch.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt, stream::BoxStream};
use libp2p::{Multiaddr, PeerId};
use shoal_content::Cid;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Events that a slow watcher may fall behind before it loses the oldest.
const BACKLOG: usize = 1024;

/// Something that happened in a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The node listens on one more address.
    Listening(Multiaddr),
    /// The first connection to a peer was made.
    PeerConnected(PeerId),
    /// The last connection to a peer was lost.
    PeerDisconnected(PeerId),
    /// Content is published and durable.
    Published(Cid),
    /// Content was fetched and is complete.
    Fetched(Cid),
    /// A published file no longer has the bytes that it had, or is gone: it is not served any more.
    ShareBroken(Cid),
    /// This many events were lost because the watcher was too slow.
    Missed(u64),
}

/// Where the parts of a node tell what happened.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    events: broadcast::Sender<Event>,
    /// Nothing happens any more, though handles may be kept.
    ended: CancellationToken,
}

impl Sink {
    pub(crate) fn new() -> Self {
        Self { events: broadcast::channel(BACKLOG).0, ended: CancellationToken::new() }
    }

    pub(crate) fn send(&self, event: Event) {
        // Fails when nobody watches, which is fine.
        drop(self.events.send(event));
    }

    /// Ends the streams of all who watch, once they have seen what happened.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    pub(crate) fn watch(&self) -> Events {
        let watching = (self.events.subscribe(), self.ended.clone());
        let events = futures::stream::unfold(watching, |(mut events, ended)| async move {
            let next = tokio::select! {
                biased;
                next = events.recv() => next,
                () = ended.cancelled() => return None,
            };
            let event = match next {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(missed)) => Event::Missed(missed),
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            Some((event, (events, ended)))
        });
        // Whoever looks again after the end is told the same.
        Events(events.fuse().boxed())
    }
}

/// A stream of [`Event`]s from now on; it ends when the node stops.
pub struct Events(BoxStream<'static, Event>);

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next_unpin(cx)
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
