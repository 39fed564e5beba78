//! One connection of the range protocol: negotiates our streams, admits or refuses theirs.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt, pin_mut};
use futures_timer::Delay;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandlerEvent, DialUpgradeError, FullyNegotiatedInbound,
    FullyNegotiatedOutbound, StreamUpgradeError,
};
use libp2p::swarm::{ConnectionHandler, ConnectionId, Stream, StreamProtocol, SubstreamProtocol};
use libp2p::{PeerId, swarm};

use super::Inbound;
use super::admission::{Admission, Gate};
use super::opener::OpenError;
use super::stream::{RangeStream, Slot};
use crate::wire::{self, Header};

/// Refusals being written on one connection. Further streams are reset: a peer that opens this many beyond its
/// share is not one we owe an explanation.
const MAX_REFUSALS: usize = 64;

/// Time to hand over a refusal. A peer that does not read must not keep the stream.
const REFUSE_WITHIN: Duration = Duration::from_secs(5);

/// Opens one stream on this connection and answers its caller.
#[derive(Debug)]
pub struct OpenHere {
    pub(super) reply: oneshot::Sender<Result<RangeStream, OpenError>>,
    pub(super) slot: Slot,
}

/// The range protocol on one connection.
pub struct Handler {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) protocol: StreamProtocol,
    pub(super) negotiate_within: Duration,
    pub(super) admission: Admission,
    pub(super) incoming: mpsc::Sender<Inbound>,
    pub(super) orders: VecDeque<OpenHere>,
    pub(super) refusals: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Handler {
    fn on_inbound(&mut self, stream: Stream) {
        let stream = RangeStream::new(stream);
        let stream = match self.admission.streams.admit(self.peer) {
            None => stream,
            Some(place) => {
                let stream = stream.with_place(place);
                let Admission { local, transfers, spread, .. } = self.admission.clone();
                let gate = Gate { transfers, peer: self.peer, local, spread };
                let inbound = Inbound { peer: self.peer, connection: self.connection, stream, gate };
                match self.incoming.try_send(inbound) {
                    Ok(()) => return,
                    Err(refused) => refused.into_inner().stream,
                }
            }
        };
        tracing::debug!(peer = %self.peer, "no room for another stream");
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.push(refuse(stream, Header::Busy).boxed());
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenHere;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenHere;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn on_behaviour_event(&mut self, order: OpenHere) {
        self.orders.push_back(order);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, OpenHere, Infallible>> {
        while let Poll::Ready(Some(())) = self.refusals.poll_next_unpin(cx) {}
        while let Some(order) = self.orders.pop_front() {
            if order.reply.is_canceled() {
                continue;
            }
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), order)
                .with_timeout(self.negotiate_within);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), OpenHere>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.on_inbound(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                // A failed send means the caller left: the stream is dropped, which resets it.
                let _ = info.reply.send(Ok(RangeStream::with_slot(protocol, info.slot)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let error = match error {
                    StreamUpgradeError::Timeout => OpenError::TimedOut(self.negotiate_within),
                    StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                    StreamUpgradeError::Io(_) => OpenError::Lost,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = info.reply.send(Err(error));
            }
            _ => {}
        }
    }
}

/// Says why this stream ends, and waits for the peer to take it: closing at once with its request unread would reset the
/// stream and lose the word on some transports.
pub(crate) async fn refuse(mut stream: RangeStream, why: Header) {
    let say = async {
        stream.write_all(&why.to_frame()).await?;
        stream.close().await?;
        let mut sink = [0_u8; 1024];
        for _ in 0..wire::MAX_REQUEST_LEN / sink.len() {
            if stream.read(&mut sink).await? == 0 {
                break;
            }
        }
        Ok::<(), std::io::Error>(())
    };
    pin_mut!(say);
    if let Either::Right(_) = select(say, Delay::new(REFUSE_WITHIN)).await {
        tracing::debug!("a peer did not take its refusal");
    }
}

/// What the swarm is told to do with an order.
pub(super) fn notify(
    peer_id: PeerId,
    connection: ConnectionId,
    order: OpenHere,
) -> swarm::ToSwarm<Infallible, OpenHere> {
    swarm::ToSwarm::NotifyHandler { peer_id, handler: swarm::NotifyHandler::One(connection), event: order }
}
