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
        Ok(Dial {
            internet: self.internet.clone(),
            from: self.host.clone(),
            address,
            under_way: None,
            bell: Arc::default(),
        })
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

/// A connection that is being made, from when it is first polled.
pub(crate) struct Dial {
    internet: Arc<Internet>,
    from: Arc<Host>,
    address: Multiaddr,
    /// Who lives there, and when their answer is here.
    under_way: Option<(Option<Arc<Host>>, u64)>,
    bell: Arc<AtomicWaker>,
}

impl Dial {
    fn begin(&self) -> (Option<Arc<Host>>, u64) {
        self.from.counts.dialled();
        let way = self.internet.way;
        let to = self.internet.at(&self.address);
        if let Some(to) = &to {
            to.counts.knocked();
        }
        // Who is refused hears so after one round trip, before any handshake.
        let accepts = to.as_ref().is_some_and(|to| to.is_alive());
        let due = self.internet.clock.after(if accepts { way.handshake() } else { way.round_trip() });
        self.internet.clock.set(due, self.bell.clone());
        (to, due)
    }
}

impl Future for Dial {
    type Output = io::Result<(PeerId, Connection)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.bell.register(cx.waker());
        let (to, due) = match self.under_way.take() {
            Some(under_way) => under_way,
            None => self.begin(),
        };
        // The timeout of the swarm ends a dial to one who is silent.
        if !self.internet.clock.is_due(due) || to.as_ref().is_some_and(|to| to.is_silent()) {
            self.under_way = Some((to, due));
            return Poll::Pending;
        }
        let connected = to.and_then(|to| Some((to.peer, self.internet.connect(&self.from, &to)?)));
        Poll::Ready(connected.ok_or_else(|| io::ErrorKind::ConnectionRefused.into()))
    }
}
