//! Dials that leave from the port where we listen, or from another when they may not.
//!
//! A peer that is dialled from our listening port sees where it can reach us. The transport binds that port on all
//! addresses of the machine for such a dial, and cannot where another program uses it on an address that we do not
//! listen on: where we listen on 127.0.0.1 alone, any connection of anybody over the network may have it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, PortUse, TransportError, TransportEvent},
};

use super::shared::Shared;

/// A transport whose dials do not fail for want of a port.
pub(super) struct AnyPort<T>(Shared<T>);

impl<T> AnyPort<T> {
    pub(super) fn new(transport: T) -> Self {
        Self(Shared::new(transport))
    }
}

impl<T> Transport for AnyPort<T>
where
    T: Transport<Error = io::Error> + Send + Unpin + 'static,
    T::Output: Send + 'static,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<T::Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let first = self.0.dial(address.clone(), options)?;
        let transport = self.0.clone();
        Ok(Box::pin(async move {
            match first.await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    let elsewhere = DialOpts { port_use: PortUse::New, ..options };
                    let again = transport.lock().dial(address, elsewhere).map_err(io::Error::other)?;
                    again.await
                }
                done => done,
            }
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

#[cfg(test)]
mod tests;
