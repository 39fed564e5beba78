//! The speeds that the user allows: up and down, for all peers together and for each.

use futures::{FutureExt, future::BoxFuture};
use libp2p::{Multiaddr, PeerId};
use shoal_transfer::{Limiter, Open, OpenError, Opener, Pacer, RangeStream, Rate};

/// Limits on what moves content, in bytes per second; `None` is no limit. What nodes say to each other beside that is
/// not held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// What is sent, to all peers together.
    pub up: Option<Rate>,
    /// What is received, from all peers together.
    pub down: Option<Rate>,
    /// What is sent to each peer.
    pub up_per_peer: Option<Rate>,
    /// What is received from each peer.
    pub down_per_peer: Option<Rate>,
}

/// Holds the streams of a node to its [`Rates`]. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pacers {
    pub(crate) up: Pacer,
    pub(crate) down: Pacer,
}

impl Pacers {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            up: Pacer::new(rates.up, rates.up_per_peer),
            down: Pacer::new(rates.down, rates.down_per_peer),
        }
    }

    pub(crate) fn set(&self, rates: Rates) {
        self.up.set(rates.up, rates.up_per_peer);
        self.down.set(rates.down, rates.down_per_peer);
    }

    pub(crate) fn rates(&self) -> Rates {
        let ((up, up_per_peer), (down, down_per_peer)) = (self.up.rates(), self.down.rates());
        Rates { up, down, up_per_peer, down_per_peer }
    }
}

/// Opens streams that are read no faster than allowed.
#[derive(Debug)]
pub(crate) struct PacedOpener {
    pub(crate) opener: Opener,
    pub(crate) down: Pacer,
    /// The limit of this piece of work alone.
    pub(crate) own: Limiter,
}

impl Open for PacedOpener {
    fn open(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> BoxFuture<'static, Result<RangeStream, OpenError>> {
        let meter = self.down.meter(peer).and(self.own.clone());
        Open::open(&self.opener, peer, addresses).map(|opened| Ok(opened?.paced_reads(meter))).boxed()
    }

    fn rates(&self) -> (Option<Rate>, Option<Rate>) {
        let (all, each) = self.down.rates();
        (all.into_iter().chain(self.own.rate()).min(), each)
    }
}
