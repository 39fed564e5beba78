//! The overlay as a swarm sees it: everything goes to the behaviours underneath, within the scope.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::remote::Remote;
use super::{Event, Overlay, Protocols};
use crate::gate::{Gate, Offer};
use crate::position::Node;
use crate::scope::AddressClass;
use crate::table::Link;
use crate::under_way::Need;

impl Overlay {
    fn gate<H>(&self, handler: H, remote: &Multiaddr) -> Gate<H> {
        let is_ours = self.scope.speaks_over(AddressClass::of(remote));
        Gate::new(handler, if is_ours { Offer::Open } else { Offer::Closed })
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
    type ConnectionHandler = Gate<THandler<Protocols>>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let inner = self.protocols.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(self.gate(inner, remote))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        peer.iter().for_each(|peer| self.under_way.begun(*peer));
        Ok(peer.map(|peer| self.table.addresses(&peer).to_vec()).unwrap_or_default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let inner = self
            .protocols
            .handle_established_outbound_connection(connection, peer, remote, role, port_use)?;
        Ok(self.gate(inner, remote))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.protocols.on_swarm_event(event);
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let address = established.endpoint.get_remote_address();
                let way = established.endpoint.to_endpoint();
                let remote = Remote::new(established.peer_id, address, way);
                self.connections.insert(established.connection_id, remote);
                for address in established.failed_addresses {
                    self.not_found_at(&established.peer_id, address);
                }
                self.table.linked(&established.peer_id, Link::Connected);
                self.dial_failures.remove(&established.peer_id);
                self.absent.heard(&established.peer_id);
                self.dial_ended(&established.peer_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.connections.remove(&closed.connection_id);
                if closed.remaining_established == 0 {
                    self.table.linked(&closed.peer_id, Link::Disconnected);
                }
                self.anchors.lost(closed.connection_id, Instant::now());
                self.searches.wake();
            }
            FromSwarm::DialFailure(failure) => {
                if let Some(peer) = failure.peer_id {
                    self.on_dial_failure(peer, failure.error, Instant::now());
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.protocols.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            match self.protocols.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => self.on_protocols(event, Instant::now()),
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| unreachable!("taken above"))),
                Poll::Pending => {
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

fn dial<T>(node: Node, condition: PeerCondition) -> Poll<ToSwarm<Event, T>> {
    let opts = DialOpts::peer_id(node.peer).addresses(node.addresses).condition(condition).build();
    Poll::Ready(ToSwarm::Dial { opts })
}
