//! Connections that both sides keep although nothing is said on them.
//!
//! Each side of a connection ends it when it has been idle for a while. An open stream is the agreement not to: whoever
//! wants to stay opens one and says nothing, and whoever has enough of it ends it. Then the connection is as any other.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::AsyncRead;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

/// Others that may stay with us. Each holds a connection and its buffers for as long as it likes; a node in the tables of
/// many is wanted by many.
const MAX_GUESTS: usize = 64;

/// The protocol of one overlay.
pub struct Behaviour {
    protocol: StreamProtocol,
    guests: Arc<AtomicUsize>,
    connections: BTreeSet<(PeerId, ConnectionId)>,
    queued: VecDeque<ToSwarm<Ended, Command>>,
}

/// The other side does not want us to stay, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub(crate) connection: ConnectionId,
}

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command;

impl Behaviour {
    pub(crate) fn new(protocol: StreamProtocol) -> Self {
        Self { protocol, guests: Arc::default(), connections: BTreeSet::new(), queued: VecDeque::new() }
    }

    /// A connection to a peer, if there is any.
    pub(crate) fn connection(&self, peer: &PeerId) -> Option<ConnectionId> {
        let first = (*peer, ConnectionId::new_unchecked(0));
        let (other, connection) = self.connections.range(first..).next()?;
        (other == peer).then_some(*connection)
    }

    /// Keeps a connection until it ends, or [`Ended`] is told.
    pub(crate) fn stay(&mut self, peer_id: PeerId, connection: ConnectionId) {
        let handler = NotifyHandler::One(connection);
        self.queued.push_back(ToSwarm::NotifyHandler { peer_id, handler, event: Command });
    }

    fn handler(&self) -> Handler {
        Handler {
            protocol: self.protocol.clone(),
            guests: self.guests.clone(),
            guest: None,
            own: Own::Nothing,
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Ended;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                self.connections.insert((established.peer_id, established.connection_id));
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.connections.remove(&(closed.peer_id, closed.connection_id));
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        connection: ConnectionId,
        Over: THandlerOutEvent<Self>,
    ) {
        self.queued.push_back(ToSwarm::GenerateEvent(Ended { connection }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Ended, THandlerInEvent<Self>>> {
        self.queued.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One connection's part.
pub struct Handler {
    protocol: StreamProtocol,
    guests: Arc<AtomicUsize>,
    guest: Option<Guest>,
    own: Own,
}

/// A stream that the other side holds, and its place among all guests.
struct Guest {
    stream: Stream,
    guests: Arc<AtomicUsize>,
}

/// The stream that we hold.
enum Own {
    Nothing,
    Wanted,
    Opening,
    Open(Stream),
    /// It could not be opened.
    Refused,
}

/// Our stream is over.
#[derive(Clone, Copy, Debug)]
pub struct Over;

impl Guest {
    /// None when there are too many.
    fn admit(stream: Stream, guests: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |count: usize| (count < MAX_GUESTS).then_some(count + 1);
        guests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { stream, guests: guests.clone() })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the other side ended a stream, or broke its silence.
fn is_over(stream: &mut Stream, cx: &mut Context<'_>) -> bool {
    Pin::new(stream).poll_read(cx, &mut [0]).is_ready()
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Command;
    type ToBehaviour = Over;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Over>> {
        self.guest.take_if(|guest| is_over(&mut guest.stream, cx));
        match &mut self.own {
            Own::Wanted => {
                self.own = Own::Opening;
                let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ());
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
            Own::Nothing | Own::Opening => return Poll::Pending,
            Own::Open(stream) => {
                if !is_over(stream, cx) {
                    return Poll::Pending;
                }
            }
            Own::Refused => {}
        }
        self.own = Own::Nothing;
        Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Over))
    }

    fn on_behaviour_event(&mut self, Command: Command) {
        if matches!(self.own, Own::Nothing) {
            self.own = Own::Wanted;
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. })
                if self.guest.is_none() =>
            {
                self.guest = Guest::admit(stream, &self.guests);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream, ..
            }) => {
                self.own = Own::Open(stream);
            }
            ConnectionEvent::DialUpgradeError(_) => self.own = Own::Refused,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
