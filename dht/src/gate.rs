//! A connection handler that can refuse to hear its protocols.
//!
//! The `lan` overlay tells private addresses to whoever asks, so on a connection from outside it must not
//! be there at all: a closed gate offers none of the inner handler's protocols to the other side.

use std::task::{Context, Poll};

use libp2p::swarm::handler::DialUpgradeError;
use libp2p::swarm::handler::{
    ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound, InboundUpgradeSend, ListenUpgradeError,
    UpgradeInfoSend,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, Stream, SubstreamProtocol};

/// Whether the inner handler's protocols are offered on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The remote may open streams.
    Open,
    /// The remote is told that the protocols are not there.
    Closed,
}

/// The inner handler, heard only when the offer is open.
pub struct Gate<H> {
    inner: H,
    offer: Offer,
}

/// The inner upgrade, or none.
pub struct GatedUpgrade<U> {
    inner: U,
    offer: Offer,
}

impl<H> Gate<H> {
    pub(crate) fn new(inner: H, offer: Offer) -> Self {
        Self { inner, offer }
    }
}

impl<U: UpgradeInfoSend> UpgradeInfoSend for GatedUpgrade<U> {
    type Info = U::Info;
    type InfoIter = std::iter::Flatten<std::option::IntoIter<U::InfoIter>>;

    fn protocol_info(&self) -> Self::InfoIter {
        (self.offer == Offer::Open).then(|| self.inner.protocol_info()).into_iter().flatten()
    }
}

impl<U: InboundUpgradeSend> InboundUpgradeSend for GatedUpgrade<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_inbound(self, socket: Stream, info: Self::Info) -> Self::Future {
        self.inner.upgrade_inbound(socket, info)
    }
}

impl<H: ConnectionHandler> ConnectionHandler for Gate<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = GatedUpgrade<H::InboundProtocol>;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        let offer = self.offer;
        self.inner.listen_protocol().map_upgrade(|inner| GatedUpgrade { inner, offer })
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.inner.poll(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        use ConnectionEvent as Event;
        self.inner.on_connection_event(match event {
            Event::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }) => {
                Event::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
            }
            Event::ListenUpgradeError(ListenUpgradeError { info, error }) => {
                Event::ListenUpgradeError(ListenUpgradeError { info, error })
            }
            Event::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                Event::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
            }
            Event::DialUpgradeError(DialUpgradeError { info, error }) => {
                Event::DialUpgradeError(DialUpgradeError { info, error })
            }
            Event::AddressChange(change) => Event::AddressChange(change),
            Event::LocalProtocolsChange(change) => Event::LocalProtocolsChange(change),
            Event::RemoteProtocolsChange(change) => Event::RemoteProtocolsChange(change),
            // A kind of event that the library adds later cannot concern protocols written before it.
            _ => return,
        });
    }
}

#[cfg(test)]
mod tests;
