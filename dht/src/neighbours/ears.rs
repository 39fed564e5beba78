//! Listens to multicast DNS, and stops its ears for a while when too many speak.
//!
//! libp2p's mDNS remembers everybody it heard for as long as they ask it to, and goes through all of them for each
//! one that it hears. A flood of invented neighbours would fill memory and keep the task busy that runs the swarm.

use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::core::Endpoint;
use libp2p::core::transport::{ListenerId, PortUse};
use libp2p::swarm::behaviour::{ExpiredListenAddr, NewListenAddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId, mdns};

/// Addresses heard that are remembered: a local network with more neighbours has enough of them already.
const MAX_HEARD: usize = 512;

/// How long nobody is heard then.
const DEAF: Duration = Duration::from_secs(60);

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    Said(mdns::Event),
    /// So many spoke that all of them are forgotten.
    TooMany,
}

/// Multicast DNS within bounds. What is heard is told once and remembered by nobody else.
pub struct Ears {
    local: PeerId,
    open: Option<mdns::tokio::Behaviour>,
    /// What a behaviour that begins anew must be told.
    listens: Vec<(ListenerId, Multiaddr)>,
    again: Option<Delay>,
}

impl Ears {
    pub(crate) fn new(local: PeerId) -> io::Result<Self> {
        let open = Some(mdns::tokio::Behaviour::new(mdns::Config::default(), local)?);
        Ok(Self { local, open, listens: Vec::new(), again: None })
    }

    /// Stops listening, and forgets what was heard.
    fn stop(&mut self) {
        tracing::info!("too many neighbours speak by multicast dns: nobody is listened to for a minute");
        self.open = None;
        self.again = Some(Delay::new(DEAF));
    }

    fn listen_again(&mut self) {
        match mdns::tokio::Behaviour::new(mdns::Config::default(), self.local) {
            Ok(mut open) => {
                for (listener_id, addr) in &self.listens {
                    let told = NewListenAddr { listener_id: *listener_id, addr };
                    open.on_swarm_event(FromSwarm::NewListenAddr(told));
                }
                self.open = Some(open);
            }
            Err(error) => {
                tracing::debug!(%error, "multicast dns does not work any more; it is tried again");
                self.again = Some(Delay::new(DEAF));
            }
        }
    }
}

impl NetworkBehaviour for Ears {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Heard;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::NewListenAddr(NewListenAddr { listener_id, addr }) => {
                self.listens.push((listener_id, addr.clone()));
            }
            FromSwarm::ExpiredListenAddr(ExpiredListenAddr { listener_id, addr }) => {
                self.listens.retain(|(id, known)| *id != listener_id || known != addr);
            }
            _ => {}
        }
        if let Some(open) = &mut self.open {
            open.on_swarm_event(event);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Heard, THandlerInEvent<Self>>> {
        loop {
            if let Some(again) = &mut self.again {
                ready!(again.poll_unpin(cx));
                self.again = None;
                self.listen_again();
                continue;
            }
            let Some(open) = &mut self.open else { return Poll::Pending };
            if open.discovered_nodes().len() > MAX_HEARD {
                self.stop();
                return Poll::Ready(ToSwarm::GenerateEvent(Heard::TooMany));
            }
            match ready!(open.poll(cx)) {
                ToSwarm::GenerateEvent(said) => {
                    return Poll::Ready(ToSwarm::GenerateEvent(Heard::Said(said)));
                }
                // Whoever was heard is dialled at once, or is not worth remembering where it may be.
                ToSwarm::NewExternalAddrOfPeer { .. } => {}
                other => {
                    let never = |never: Infallible| match never {};
                    return Poll::Ready(other.map_out(Heard::Said).map_in(never));
                }
            }
        }
    }
}
