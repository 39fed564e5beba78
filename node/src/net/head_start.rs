//! Lets the other transports go first: a dial over this one begins a moment later.
//!
//! A peer's addresses are dialled all at once and the first finished handshake wins. QUIC needs fewer round trips than
//! TCP with TLS, so it would win nearly always, while TCP moves bulk bytes faster and with less work. QUIC is there for
//! where TCP does not get through.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};

/// A transport whose dials wait.
#[derive(Debug)]
pub(crate) struct HeadStart<T> {
    inner: T,
    wait: Duration,
}

impl<T> HeadStart<T> {
    /// Gives every other transport a head start of `wait` over `inner`.
    pub(crate) fn new(inner: T, wait: Duration) -> Self {
        Self { inner, wait }
    }
}

impl<T> Transport for HeadStart<T>
where
    T: Transport + Unpin,
    T::Dial: Send + 'static,
    T::Output: Send,
    T::Error: Send,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<T::Error>> {
        let dial = self.inner.dial(address, options)?;
        let wait = self.wait;
        Ok(Box::pin(async move {
            tokio::time::sleep(wait).await;
            dial.await
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}
