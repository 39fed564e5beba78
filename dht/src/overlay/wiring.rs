//! The overlay as a swarm sees it: everything goes to the behaviours underneath, within the scope.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::remote::Remote;
use super::{Event, Overlay, Protocols};
use crate::on_heap::HeapHandler;
use crate::position::Node;
use crate::scope::{AddressClass, without_peer};
use crate::table::Link;
use crate::under_way::Need;

/// What an overlay does on a connection. The `lan` overlay tells private addresses to whoever asks, so on a connection from
/// outside it is not there at all: it offers nothing to the other side, and asks nothing.
type Handler = Either<HeapHandler<THandler<Protocols>>, dummy::ConnectionHandler>;

impl Overlay {
    fn is_outside(&self, remote: &Multiaddr) -> bool {
        !self.scope.speaks_over(AddressClass::of(remote))
    }

    fn established(&mut self, event: ConnectionEstablished<'_>) {
        let peer = event.peer_id;
        let address = event.endpoint.get_remote_address();
        let remote = Remote::new(peer, address, event.endpoint.to_endpoint());
        let is_outside = self.is_outside(address);
        self.connections.insert(event.connection_id, remote);
        for address in event.failed_addresses {
            self.not_found_at(&peer, address);
        }
        self.dial_ended(&peer);
        if is_outside {
            self.outside.established(peer);
            return;
        }
        let other_established = event.other_established.saturating_sub(self.outside.connections(&peer));
        let within = ConnectionEstablished { other_established, ..event };
        self.protocols.on_swarm_event(FromSwarm::ConnectionEstablished(within));
        self.outside.ended(&peer);
        self.table.linked(&peer, Link::Connected);
        self.dial_failures.remove(&peer);
        self.absent.heard(&peer);
    }

    fn closed(&mut self, event: ConnectionClosed<'_>) {
        let peer = event.peer_id;
        self.searches.wake();
        let remote = self.connections.remove(&event.connection_id);
        if remote.is_some_and(|remote| !self.scope.speaks_over(remote.class)) {
            self.outside.closed(&peer);
            return;
        }
        let remaining_established =
            event.remaining_established.saturating_sub(self.outside.connections(&peer));
        let within = ConnectionClosed { remaining_established, ..event };
        self.protocols.on_swarm_event(FromSwarm::ConnectionClosed(within));
        if remaining_established == 0 {
            self.table.linked(&peer, Link::Disconnected);
        }
        self.anchors.lost(event.connection_id, Instant::now());
    }
}

impl Overlay {
    /// Whether the alarm rings, which is set here to what is due next.
    fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        let refresh = self.refresh.next_due().filter(|_| self.has_peers());
        let due = [self.searches.next_due(), refresh, self.under_way.next_due()];
        let Some(due) = due.into_iter().flatten().min() else {
            self.alarm = None;
            return false;
        };
        let wait = || due.saturating_duration_since(Instant::now());
        let (at, delay) = self.alarm.get_or_insert_with(|| (due, Delay::new(wait())));
        if *at != due {
            *at = due;
            delay.reset(wait());
        }
        let rings = delay.poll_unpin(cx).is_ready();
        if rings {
            self.alarm = None;
        }
        rings
    }
}

impl Overlay {
    fn may_dial(&self, need: Need) -> bool {
        self.under_way.has_room(need, self.connections.len())
    }
}

impl NetworkBehaviour for Overlay {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.is_outside(remote) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let inner = self.protocols.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(Either::Left(HeapHandler::new(inner)))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        dialled: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let Some(peer) = peer else { return Ok(Vec::new()) };
        self.under_way.begun(peer);
        // The swarm dials an address twice at once that it is told with the name of the peer and without.
        let is_new = |known: &&Multiaddr| !dialled.iter().any(|address| without_peer(address) == **known);
        Ok(self.table.addresses(&peer).iter().filter(is_new).cloned().collect())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if self.is_outside(remote) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let inner = self
            .protocols
            .handle_established_outbound_connection(connection, peer, remote, role, port_use)?;
        Ok(Either::Left(HeapHandler::new(inner)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => self.established(established),
            FromSwarm::ConnectionClosed(closed) => self.closed(closed),
            FromSwarm::AddressChange(change) => {
                let remote = self.connections.get(&change.connection_id);
                if remote.is_some_and(|remote| self.scope.speaks_over(remote.class)) {
                    self.protocols.on_swarm_event(event);
                }
            }
            FromSwarm::DialFailure(failure) => {
                self.protocols.on_swarm_event(event);
                if let Some(peer) = failure.peer_id {
                    self.on_dial_failure(peer, failure.error, Instant::now());
                }
            }
            _ => self.protocols.on_swarm_event(event),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self.protocols.on_connection_handler_event(peer, connection, *event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            match self.protocols.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => self.on_protocols(event, Instant::now()),
                Poll::Ready(ToSwarm::Dial { opts }) => {
                    // The library does not dial those who are connected, and they are not connected here.
                    let node = opts.get_peer_id().and_then(|peer| self.outside.awaited(&peer));
                    return node.map_or(Poll::Ready(ToSwarm::Dial { opts }), dial_within);
                }
                Poll::Ready(other) => {
                    return Poll::Ready(
                        other
                            .map_in(|event| Either::Left(Box::new(event)))
                            .map_out(|_| unreachable!("taken above")),
                    );
                }
                Poll::Pending => {
                    if let Some(node) = self.outside.next() {
                        return dial_within(node);
                    }
                    let now = Instant::now();
                    // Whoever had asked for a dial that was refused has heard it.
                    self.under_way.forget_refused();
                    if self.may_dial(Need::Upkeep)
                        && let Some(node) = self.check.next(now)
                    {
                        // It is connected, but the other way round.
                        return dial(node, PeerCondition::Always);
                    }
                    if self.may_dial(Need::Ahead)
                        && let Some(node) = self.dials.pop_front()
                    {
                        return dial(node, PeerCondition::DisconnectedAndNotDialing);
                    }
                    if self.work(now) || !self.events.is_empty() {
                        continue;
                    }
                    if !self.rings(cx) {
                        return Poll::Pending;
                    }
                    self.tick_searches(Instant::now());
                }
            }
        }
    }
}

/// Dials somebody who is connected outside the scope, where it is within it. A dial that is under way already shows whether
/// that is needed.
fn dial_within<T>(node: Node) -> Poll<ToSwarm<Event, T>> {
    dial(node, PeerCondition::NotDialing)
}

fn dial<T>(node: Node, condition: PeerCondition) -> Poll<ToSwarm<Event, T>> {
    let opts = DialOpts::peer_id(node.peer).addresses(node.addresses).condition(condition).build();
    Poll::Ready(ToSwarm::Dial { opts })
}
