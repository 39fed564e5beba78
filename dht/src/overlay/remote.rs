//! The other end of a connection: how close it is, and whose share of our work it takes.

use libp2p::core::Endpoint;
use libp2p::{Multiaddr, PeerId};

use crate::record_store::Sender;
use crate::scope::AddressClass;

/// One connection's other end.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) class: AddressClass,
    /// Whom we dialled, and where; none when they dialled us.
    pub(super) dialled: Option<(PeerId, Multiaddr)>,
    /// Whose share its records and its messages take.
    pub(super) sender: Sender,
}

impl Remote {
    pub(super) fn new(peer: PeerId, address: &Multiaddr, way: Endpoint) -> Self {
        Self {
            class: AddressClass::of(address),
            dialled: way.is_dialer().then(|| (peer, address.clone())),
            sender: Sender::of(peer, address),
        }
    }
}
