//! Answers the standard Kademlia protocol of one overlay, for nodes of other makers and for older ways to ask.
//!
//! Owns: the streams that others open, within limits.  Hears: whether we serve, and what is to be answered.
//! Tells: what is asked. We ask nothing ourselves by this protocol: walks have their own. A node that does not serve
//! does not offer it, and that is what keeps it out of the tables of others.

mod handler;

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll};

use futures::channel::oneshot;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

use crate::wire::kad::Subject;
use handler::{Handler, Question};

/// Whether others may ask us, and keep us in their tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Client,
    Server,
}

/// The protocol of one overlay.
pub struct Behaviour {
    protocol: StreamProtocol,
    mode: Mode,
    connections: HashMap<ConnectionId, PeerId>,
    queued: VecDeque<ToSwarm<Asked, Mode>>,
}

/// Somebody asks something.
#[derive(Debug)]
pub struct Asked {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) subject: Subject,
    pub(crate) key: Vec<u8>,
    /// Takes the answer. Dropped, it ends the stream: the asker need not wait.
    pub(crate) answer: oneshot::Sender<Vec<u8>>,
}

impl Behaviour {
    pub(crate) fn new(protocol: StreamProtocol, mode: Mode) -> Self {
        Self { protocol, mode, connections: HashMap::new(), queued: VecDeque::new() }
    }

    /// What others call this protocol: whoever offers it belongs to the overlay.
    pub(crate) fn protocol(&self) -> &StreamProtocol {
        &self.protocol
    }

    #[cfg(test)]
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn set_mode(&mut self, mode: Mode) {
        if self.mode == mode {
            return;
        }
        self.mode = mode;
        let tell = |(connection, peer): (&ConnectionId, &PeerId)| ToSwarm::NotifyHandler {
            peer_id: *peer,
            handler: NotifyHandler::One(*connection),
            event: mode,
        };
        self.queued.extend(self.connections.iter().map(tell));
    }

    fn handler(&self) -> Handler {
        Handler::new(self.protocol.clone(), self.mode)
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Asked;

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
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                self.connections.insert(established.connection_id, established.peer_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.connections.remove(&closed.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        Question { subject, key, answer }: THandlerOutEvent<Self>,
    ) {
        let asked = Asked { peer, connection, subject, key, answer };
        self.queued.push_back(ToSwarm::GenerateEvent(asked));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Asked, THandlerInEvent<Self>>> {
        self.queued.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
