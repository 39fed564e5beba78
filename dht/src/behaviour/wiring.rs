//! The façade as a swarm sees it: events of the overlays go into the books, and what the books say comes out.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId, mdns};

use super::{Behaviour, ENOUGH, Inner, InnerEvent, TICK};
use crate::event::Event;
use crate::lookup::Ended;
use crate::neighbours::ears::Heard;
use crate::overlay::{self, Overlay};
use crate::provide::Task;
use crate::scope::Scope;
use crate::tally::Standing;
use crate::walk::Effort;

impl Behaviour {
    fn on_inner(&mut self, event: InnerEvent) {
        match event {
            InnerEvent::Lan(event) => self.on_overlay(Scope::Lan, event),
            InnerEvent::Wan(event) => self.on_overlay(Scope::Wan, event),
            InnerEvent::Mdns(Heard::Said(mdns::Event::Discovered(heard))) => {
                for (peer, address) in heard {
                    self.neighbours.heard(peer, &address);
                }
            }
            InnerEvent::Mdns(Heard::TooMany) => self.neighbours.forget(),
            InnerEvent::Mdns(Heard::Said(mdns::Event::Expired(gone))) => {
                for (peer, address) in gone {
                    self.neighbours.expired(&peer, &address);
                }
            }
        }
    }

    fn on_overlay(&mut self, scope: Scope, event: overlay::Event) {
        match event {
            overlay::Event::Found { id, provider, addresses, hops } => {
                self.on_found(id, provider, addresses, hops);
            }
            overlay::Event::Walked { id, effort, over: false } => self.lookups.answered(id, scope, effort),
            overlay::Event::Walked { id, effort, over: true } => {
                self.lookups.walk_ended(id, scope, effort, ENOUGH);
            }
            overlay::Event::Task(task, note) => self.tally.note(scope, task, note),
            overlay::Event::TableGrew => {
                self.lookups.table_grew(scope);
                self.table_changed = true;
            }
            overlay::Event::TableChanged => self.table_changed = true,
        }
    }

    /// Acts on what the books say. True when the overlays have something new to do.
    fn work(&mut self, now: Instant) -> bool {
        let has_peers = |overlay: &Toggle<Overlay>| overlay.as_ref().is_some_and(Overlay::has_peers);
        let (lan, wan) = (has_peers(&self.inner.lan), has_peers(&self.inner.wan));
        let walks = self.lookups.begin(now, |scope| if scope == Scope::Lan { lan } else { wan });
        let began = !walks.is_empty();
        for walk in walks {
            if let Some(overlay) = self.overlay(walk.scope) {
                overlay.find(walk.id, walk.key, now);
            }
        }
        for Ended { id, effort, outcome } in self.lookups.take_ended() {
            for overlay in self.overlays() {
                overlay.stop_find(id);
            }
            let Effort { answers: asked, hops, messages, timeouts } = effort;
            self.events.push_back(Event::LookupEnded { id, asked, hops, messages, timeouts, outcome });
        }
        for Standing { task, asked, acknowledged, done, over } in self.tally.take_changed() {
            match task {
                Task::Announce(id) => {
                    self.events.push_back(Event::Announced { id, acknowledged, asked, done, over });
                }
                Task::Withdraw(id) if over => {
                    self.events.push_back(Event::Withdrawn { id, acknowledged, asked });
                }
                Task::Withdraw(_) => {}
            }
        }
        while let Some((peer, addresses)) = self.neighbours.next(now) {
            self.events.push_back(Event::PeerDiscovered { peer, addresses });
        }
        if std::mem::take(&mut self.table_changed) {
            self.events.push_back(Event::TableChanged);
        }
        began
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        // All dials come by here right before the transport is asked for them, and ours right after they left `poll`.
        self.dials_now.store(self.last_dial == Some(connection), Ordering::Relaxed);
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, remote, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionEstablished(established) = &event {
            self.neighbours.met(&established.peer_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            match self.inner.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => {
                    self.on_inner(event);
                    continue;
                }
                Poll::Ready(other) => {
                    if let ToSwarm::Dial { opts } = &other {
                        self.last_dial = Some(opts.connection_id());
                    }
                    return Poll::Ready(other.map_out(|_| unreachable!("taken above")));
                }
                Poll::Pending => {}
            }
            let now = Instant::now();
            if self.timer.poll_unpin(cx).is_ready() {
                self.timer.reset(TICK);
                self.lookups.tick(now);
                self.neighbours.tick(now);
                for overlay in self.overlays() {
                    overlay.tick(now);
                }
                continue;
            }
            if !self.work(now) && self.events.is_empty() {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
}
