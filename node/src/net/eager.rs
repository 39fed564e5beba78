//! Dials without asking first how the peer wants to be secured.
//!
//! Where one protocol alone is proposed, libp2p takes it for agreed, and the first word of the handshake goes out
//! together with the proposal: a round trip less for every new connection. So a dial proposes TLS and nothing else. A
//! peer that has no TLS says so, and is dialled once more with all that we speak.

use std::{
    error::Error,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        Endpoint,
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
        upgrade::{NegotiationError, Version},
    },
    identity::Keypair,
};

use shoal_dht::causes;

use super::{mux, security, shared::Shared};

type Connection = (PeerId, StreamMuxerBox);

/// A transport of bytes made one of secured connections with streams.
pub(crate) struct Eager {
    /// Accepts whatever we speak, and dials with it those who refused.
    whole: Shared<Boxed<Connection>>,
    /// Dials with TLS alone.
    tls: Boxed<Connection>,
}

impl Eager {
    /// Secures the connections of `bytes` with the identity `key`.
    pub(crate) fn new<T>(bytes: T, key: &Keypair) -> Result<Self, Box<dyn Error + Send + Sync>>
    where
        T: Transport + Send + Unpin + 'static,
        T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        T::Error: Send + Sync + 'static,
        T::Dial: Send + 'static,
        T::ListenerUpgrade: Send + 'static,
    {
        let (config, mux) = (security::Config::new(key)?, mux::Config::new());
        let bytes = Shared::new(bytes);
        let tls = bytes
            .clone()
            .upgrade(Version::V1Lazy)
            .authenticate(config.tls_alone())
            .multiplex(mux.clone())
            .boxed();
        let whole = bytes.upgrade(Version::V1Lazy).authenticate(config).multiplex(mux).boxed();
        Ok(Self { whole: Shared::new(whole), tls })
    }
}

impl Transport for Eager {
    type Output = Connection;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<Connection> as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<Connection>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.whole.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.whole.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        if options.role == Endpoint::Listener {
            // Then the peer is the one who proposes.
            return Ok(Box::pin(self.whole.dial(address, options)?));
        }
        let first = self.tls.dial(address.clone(), options)?;
        let whole = self.whole.clone();
        Ok(Box::pin(async move {
            match first.await {
                Err(error) if is_refusal(&error) => {
                    let again = whole.lock().dial(address, options).map_err(io::Error::other)?;
                    again.await
                }
                done => done,
            }
        }))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.whole).poll(cx)
    }
}

/// Whether the peer does not speak what was proposed.
fn is_refusal(error: &io::Error) -> bool {
    causes(error).any(|cause| matches!(cause.downcast_ref(), Some(NegotiationError::Failed)))
}

#[cfg(test)]
mod tests;
