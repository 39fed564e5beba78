//! Opens and accepts the substreams of the range protocol.
//!
//! Owns: opens that wait for a dial or a free slot, the connections of each peer, places and permits to serve.
//! Hears: orders of [`Opener`]s, connections made and lost, dials failed, substreams opened by peers.
//! Tells: callers their stream, [`Incoming`] each admitted stream; a peer beyond its share is told "busy".
//! Ends: with the Swarm; every open has a deadline of its own and is answered by then.

mod admission;
mod beside;
mod handler;
mod opener;
mod stream;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use futures_timer::Delay;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, StreamProtocol, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use shoal_content::NetworkName;

use self::admission::Admission;
pub(crate) use self::admission::Gate;
use self::beside::{Beside, Path};
pub(crate) use self::handler::refuse;
use self::handler::{Handler, OpenHere};
use self::opener::Order;
pub use self::opener::{OpenError, Opener};
pub(crate) use self::stream::Outdone;
pub use self::stream::RangeStream;
use self::stream::{Freed, Slots};
use crate::{Limits, wire};

/// Orders between callers and the behaviour; each waiting caller adds one of its own. Full means callers wait.
const ORDER_QUEUE: usize = 16;

/// Addresses of one dial, from all who wait for it. Orders beyond it wait for the next dial; without it every new
/// caller could make the dial longer.
const MAX_ADDRESSES_PER_DIAL: usize = 32;

/// The range protocol in a Swarm.
///
/// Put it after the behaviours that deny connections: it keeps nothing of a denied one, but they should not depend on
/// that.
pub struct Behaviour {
    local: PeerId,
    protocol: StreamProtocol,
    limits: Limits,
    orders: mpsc::Receiver<Order>,
    incoming: mpsc::Sender<Inbound>,
    admission: Admission,
    freed: Freed,
    /// Invariant: a peer is here only while it is connected, dialled by us, or waited for.
    peers: HashMap<PeerId, Peer>,
    events: VecDeque<ToSwarm<Infallible, OpenHere>>,
    /// Ends of waiting for better connections.
    patience: FuturesUnordered<BoxFuture<'static, PeerId>>,
}

/// A substream that a peer opened and that was admitted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inbound {
    /// Who opened it; the transport has proven this.
    pub peer: PeerId,
    /// The connection it came on.
    pub connection: ConnectionId,
    /// The substream. Dropping it makes room for another.
    pub stream: RangeStream,
    /// Where each request gets its permit.
    pub(crate) gate: Gate,
}

/// The admitted substreams, in the order in which they came. Bounded by [`Limits::total_inbound`].
pub struct Incoming(mpsc::Receiver<Inbound>);

impl futures::Stream for Incoming {
    type Item = Inbound;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        self.0.poll_next_unpin(cx)
    }
}

#[derive(Default)]
struct Peer {
    connections: Vec<Connection>,
    waiting: VecDeque<Waiting>,
    dial: Dial,
    beside: Beside,
    /// Where it may be dialled beside a connection over QUIC.
    tcp: Vec<Multiaddr>,
}

struct Connection {
    id: ConnectionId,
    path: Path,
    /// Where the other end is.
    machine: Option<IpAddr>,
    since: Instant,
    slots: Slots,
}

struct Waiting {
    order: Order,
    /// Whether the running dial knows this order's addresses, so that its failure is an answer.
    dialled: bool,
}

#[derive(Clone, Copy, Default)]
enum Dial {
    #[default]
    None,
    Ours(ConnectionId),
    /// Somebody else was dialling when we wanted to: their end decides whether we still must.
    Theirs,
}

impl Behaviour {
    /// Creates the behaviour of `network` with its two handles.
    pub fn new(local: PeerId, network: &NetworkName, limits: Limits) -> (Self, Opener, Incoming) {
        let (order_sender, orders) = mpsc::channel(ORDER_QUEUE);
        // Each stream in this channel holds a place, so the channel is never full before the places are out.
        let (incoming, inbound) = mpsc::channel(limits.total_inbound);
        let opener = Opener { orders: order_sender, deadline: limits.open };
        let behaviour = Behaviour {
            local,
            protocol: wire::range_protocol(network),
            admission: Admission::new(local, &limits),
            limits,
            orders,
            incoming,
            freed: Freed::default(),
            peers: HashMap::new(),
            events: VecDeque::new(),
            patience: FuturesUnordered::new(),
        };
        (behaviour, opener, Incoming(inbound))
    }

    fn on_order(&mut self, order: Order) {
        if order.peer == self.local {
            let _ = order.reply.send(Err(OpenError::ToSelf));
            return;
        }
        if self.is_full(order.peer) {
            self.forget_abandoned();
            if self.is_full(order.peer) {
                let _ = order.reply.send(Err(OpenError::TooManyWaiting));
                return;
            }
        }
        let id = order.peer;
        let peer = self.peers.entry(id).or_default();
        peer.learn(&order.addresses);
        peer.waiting.push_back(Waiting { order, dialled: false });
        self.advance(id);
    }

    fn is_full(&self, peer: PeerId) -> bool {
        let of_peer = self.peers.get(&peer).map_or(0, |peer| peer.waiting.len());
        let total: usize = self.peers.values().map(|peer| peer.waiting.len()).sum();
        of_peer >= self.limits.waiting_per_peer || total >= self.limits.waiting_total
    }

    fn forget_abandoned(&mut self) {
        for peer in self.peers.values_mut() {
            peer.waiting.retain(|waiting| !waiting.order.reply.is_canceled());
        }
        self.peers.retain(|_, peer| peer.is_needed());
    }

    /// Notes where a peer says that it lives.
    pub fn lives_at(&mut self, id: &PeerId, addresses: &[Multiaddr]) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.learn(addresses);
            self.advance(*id);
        }
    }

    /// Sends the waiting opens of a peer to its best connection, or dials it.
    fn advance(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.waiting.retain(|waiting| !waiting.order.reply.is_canceled());
        loop {
            // After the first stream, so that it does not wait, and before those that do.
            if let Some(opts) = peer.dial_beside(id, Instant::now()) {
                self.events.push_back(ToSwarm::Dial { opts });
                self.patience.push(Delay::new(beside::PATIENCE).map(move |()| id).boxed());
            }
            if peer.waiting.is_empty() {
                break;
            }
            let Some(connection) = peer.best_connection(self.limits.streams_per_connection) else {
                break;
            };
            let (on, slot) = (connection.id, connection.slots.take());
            let Some(waiting) = peer.waiting.pop_front() else {
                break;
            };
            self.events.push_back(handler::notify(id, on, OpenHere { reply: waiting.order.reply, slot }));
        }
        if !peer.waiting.is_empty() && peer.connections.is_empty() && matches!(peer.dial, Dial::None) {
            let opts = dial_opts(id, &mut peer.waiting);
            peer.dial = Dial::Ours(opts.connection_id());
            self.events.push_back(ToSwarm::Dial { opts });
        }
        if !peer.is_needed() {
            self.peers.remove(&id);
        }
    }

    fn on_established(&mut self, event: ConnectionEstablished<'_>) {
        let peer = self.peers.entry(event.peer_id).or_default();
        peer.connections.push(Connection {
            id: event.connection_id,
            path: Path::of(event.endpoint),
            machine: beside::machine(event.endpoint.get_remote_address()),
            since: Instant::now(),
            slots: Slots::new(self.freed.clone()),
        });
        if matches!(peer.dial, Dial::Ours(ours) if ours == event.connection_id) {
            peer.connected_by_us();
        }
        peer.dial = Dial::None;
        peer.rank();
        self.advance(event.peer_id);
    }

    fn on_closed(&mut self, event: ConnectionClosed<'_>) {
        if let Some(peer) = self.peers.get_mut(&event.peer_id) {
            let is_it = |connection: &Connection| connection.id == event.connection_id;
            if let Some(at) = peer.connections.iter().position(is_it) {
                let lost = peer.connections.remove(at);
                peer.lost(&lost, Instant::now());
            }
            peer.rank();
        }
        self.advance(event.peer_id);
    }

    fn on_dial_failure(&mut self, event: DialFailure<'_>) {
        let Some(id) = event.peer_id else { return };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.not_beside(event.connection_id, Instant::now());
        match peer.dial {
            Dial::Ours(ours) if ours == event.connection_id => {
                if matches!(event.error, DialError::DialPeerConditionFalse(_)) {
                    peer.dial = Dial::Theirs;
                } else {
                    peer.dial = Dial::None;
                    let reason = dial_reason(event.error);
                    for waiting in std::mem::take(&mut peer.waiting) {
                        if waiting.dialled {
                            let error = OpenError::Dial { reason: reason.clone() };
                            let _ = waiting.order.reply.send(Err(error));
                        } else {
                            peer.waiting.push_back(waiting);
                        }
                    }
                }
            }
            Dial::Theirs => peer.dial = Dial::None,
            Dial::Ours(_) | Dial::None => {}
        }
        self.advance(id);
    }

    fn handler(&self, peer: PeerId, connection: ConnectionId) -> Handler {
        Handler {
            peer,
            connection,
            protocol: self.protocol.clone(),
            negotiate_within: self.limits.open,
            admission: self.admission.clone(),
            incoming: self.incoming.clone(),
            orders: VecDeque::new(),
            refusals: FuturesUnordered::new(),
        }
    }
}

impl Peer {
    /// The connection with the fewest streams among those of the best kind, or none if all of these are full, or if a
    /// better one may be there in a moment. Relayed ones are taken only where there is no direct one: a relay ends what is
    /// longer than a few messages.
    fn best_connection(&self, limit: usize) -> Option<&Connection> {
        let best = self.best_path()?;
        let connections = self.connections.iter().filter(|connection| connection.path == best);
        let connection = connections.min_by_key(|connection| connection.slots.used())?;
        (connection.slots.used() < limit && !self.is_worth_waiting(connection)).then_some(connection)
    }

    fn is_needed(&self) -> bool {
        !self.connections.is_empty() || !self.waiting.is_empty() || !matches!(self.dial, Dial::None)
    }
}

/// A dial that knows the addresses of every waiting order.
fn dial_opts(id: PeerId, waiting: &mut VecDeque<Waiting>) -> DialOpts {
    let mut addresses: Vec<Multiaddr> = Vec::new();
    for waiting in waiting {
        if addresses.len() >= MAX_ADDRESSES_PER_DIAL {
            break;
        }
        waiting.dialled = true;
        for address in &waiting.order.addresses {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
    }
    DialOpts::peer_id(id)
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .addresses(addresses)
        .extend_addresses_through_behaviour()
        .build()
}

/// One line for the user; the transport's own text lists every address with nested causes.
fn dial_reason(error: &DialError) -> String {
    match error {
        DialError::NoAddresses => "no address is known".into(),
        DialError::Transport(tried) => format!("{} addresses tried, none answered", tried.len()),
        DialError::WrongPeerId { .. } => "another peer answers at its address".into(),
        DialError::LocalPeerId { .. } => "its address is our own".into(),
        other => other.to_string(),
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(peer, connection))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(peer, connection))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.on_established(event),
            FromSwarm::ConnectionClosed(event) => self.on_closed(event),
            FromSwarm::DialFailure(event) => self.on_dial_failure(event),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, OpenHere>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            if self.freed.poll(cx) {
                let waiting: Vec<PeerId> = self
                    .peers
                    .iter()
                    .filter(|(_, peer)| !peer.waiting.is_empty())
                    .map(|(id, _)| *id)
                    .collect();
                for id in waiting {
                    self.advance(id);
                }
                continue;
            }
            if let Poll::Ready(Some(id)) = self.patience.poll_next_unpin(cx) {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.beside.is_late();
                }
                self.advance(id);
                continue;
            }
            match self.orders.poll_next_unpin(cx) {
                Poll::Ready(Some(order)) => self.on_order(order),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
