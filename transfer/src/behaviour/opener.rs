//! The caller's side of opening a substream.

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use futures::{SinkExt, pin_mut};
use futures_timer::Delay;
use libp2p::{Multiaddr, PeerId};
use std::time::Duration;

use super::stream::RangeStream;

/// Addresses tried per open. More would only lengthen the time to the first answer.
const MAX_DIAL_ADDRESSES: usize = 16;

/// Times an open is repeated because its connection vanished under it. More than this and the peer is flapping.
const MAX_ATTEMPTS: usize = 4;

/// Opens substreams to peers, dialling them where needed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Opener {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) deadline: Duration,
}

/// One open on its way to the behaviour.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) reply: oneshot::Sender<Result<RangeStream, OpenError>>,
}

/// Why no substream could be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer is this node.
    #[error("the peer is this node itself")]
    ToSelf,
    /// Too many opens are waiting already.
    #[error("too many streams are waiting to be opened")]
    TooManyWaiting,
    /// No connection could be made.
    #[error("could not connect: {reason}")]
    Dial {
        /// What the dial ended with.
        reason: String,
    },
    /// The peer does not speak the range protocol of this network.
    #[error("the peer does not speak the range protocol")]
    Unsupported,
    /// The connection broke while the stream was opened, several times in a row.
    #[error("the connection was lost")]
    Lost,
    /// The deadline passed.
    #[error("no stream within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The network is shut down.
    #[error("the network is shut down")]
    Closed,
}

impl Opener {
    /// Opens a substream to `peer`, dialling it at `addresses` if it is not connected.
    ///
    /// Concurrent opens share one dial; a direct connection is preferred to a relayed one. Ends within
    /// [`Limits::open`](crate::Limits::open) whatever the network does.
    ///
    /// # Cancel safety
    /// Dropping the future gives the open up; a stream that arrives later is reset.
    pub async fn open(&self, peer: PeerId, mut addresses: Vec<Multiaddr>) -> Result<RangeStream, OpenError> {
        addresses.truncate(MAX_DIAL_ADDRESSES);
        let open = self.open_until_done(peer, addresses);
        pin_mut!(open);
        match select(open, Delay::new(self.deadline)).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(OpenError::TimedOut(self.deadline)),
        }
    }

    async fn open_until_done(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Result<RangeStream, OpenError> {
        for _ in 0..MAX_ATTEMPTS {
            let (reply, answer) = oneshot::channel();
            let order = Order { peer, addresses: addresses.clone(), reply };
            self.orders.clone().send(order).await.map_err(|_| OpenError::Closed)?;
            // A reply dropped unanswered means that the connection went away with our order in its queue.
            if let Ok(result) = answer.await {
                return result;
            }
        }
        Err(OpenError::Lost)
    }
}
