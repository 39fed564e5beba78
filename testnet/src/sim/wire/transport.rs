//! The simulated internet as libp2p sees it.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use libp2p::{
    Multiaddr, PeerId,
    core::transport::{self, DialOpts, ListenerId, TransportError, TransportEvent},
};

use super::{
    host::{Host, Internet},
    link::Connection,
};

/// Connects one host.
pub(crate) struct Transport {
    internet: Arc<Internet>,
    host: Arc<Host>,
    listener: Option<(ListenerId, Told)>,
}

#[derive(PartialEq, Eq)]
enum Told {
    Nothing,
    Address,
}

impl Transport {
    pub(crate) fn new(internet: Arc<Internet>, host: Arc<Host>) -> Self {
        Self { internet, host, listener: None }
    }
}

impl transport::Transport for Transport {
    type Output = (PeerId, Connection);
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Self::Output>>;
    type Dial = Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        if address != self.host.address {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        self.listener = Some((id, Told::Nothing));
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listener.take_if(|(listener, _)| *listener == id).is_some()
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Dial, TransportError<io::Error>> {
        self.host.counts.dialled();
        let way = self.internet.way;
        let to = self.internet.at(&address);
        // Who is refused hears so after one round trip, before any handshake.
        let accepts = to.as_ref().is_some_and(|to| to.is_alive());
        let due = self.internet.clock.after(if accepts { way.handshake() } else { way.round_trip() });
        let bell = Arc::<AtomicWaker>::default();
        self.internet.clock.set(due, bell.clone());
        Ok(Dial { internet: self.internet.clone(), from: self.host.clone(), to, due, bell })
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let this = self.get_mut();
        let Some((listener_id, told)) = &mut this.listener else { return Poll::Pending };
        let listener_id = *listener_id;
        if std::mem::replace(told, Told::Address) == Told::Nothing {
            let listen_addr = this.host.address.clone();
            return Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr });
        }
        this.host.listener.register(cx.waker());
        match this.host.accept(&this.internet.clock) {
            Some((connection, from)) => Poll::Ready(TransportEvent::Incoming {
                listener_id,
                upgrade: ready(Ok((connection.remote, connection))),
                local_addr: this.host.address.clone(),
                send_back_addr: from,
            }),
            None => Poll::Pending,
        }
    }
}

/// A connection that is being made.
pub(crate) struct Dial {
    internet: Arc<Internet>,
    from: Arc<Host>,
    to: Option<Arc<Host>>,
    due: u64,
    bell: Arc<AtomicWaker>,
}

impl Future for Dial {
    type Output = io::Result<(PeerId, Connection)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.bell.register(cx.waker());
        if !self.internet.clock.is_due(self.due) {
            return Poll::Pending;
        }
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let Some(to) = &self.to else { return Poll::Ready(Err(refused())) };
        if to.is_silent() {
            // The timeout of the swarm ends it.
            return Poll::Pending;
        }
        let connected = self.internet.connect(&self.from, to).map(|connection| (to.peer, connection));
        Poll::Ready(connected.ok_or_else(refused))
    }
}
