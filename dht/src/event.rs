//! What the façade tells the node.

use libp2p::{Multiaddr, PeerId};

use crate::lookup::{LookupId, Outcome};
use crate::provide::{AnnounceId, WithdrawalId};

/// Something that happened in the overlays.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A lookup met a provider, or new addresses of one that it met before. Never ourselves.
    Found {
        /// The lookup.
        id: LookupId,
        /// Who says that it provides the key.
        provider: PeerId,
        /// Where it may be dialled. Empty when it is connected already and no address is known.
        addresses: Vec<Multiaddr>,
    },
    /// A lookup is over. Every lookup ends with exactly one of these.
    LookupEnded {
        /// The lookup.
        id: LookupId,
        /// How many nodes answered.
        asked: usize,
        /// How many referrals led to the first provider: 0 when we held its record ourselves, 1 when a node of our
        /// table did. When nothing was found, how many led to the farthest answer.
        hops: u8,
        /// How many questions were sent.
        messages: u32,
        /// How many of them were not answered in time.
        timeouts: u32,
        /// Why it ended.
        outcome: Outcome,
    },
    /// An announcement went on.
    ///
    /// It may go on after it was done: the others are still waited for, and an overlay that had no peers may gain
    /// some.
    Announced {
        /// The announcement.
        id: AnnounceId,
        /// Nodes that keep every key they were told.
        acknowledged: usize,
        /// Nodes that were chosen to be told.
        asked: usize,
        /// Whether three of four of them keep it, and nobody else will be asked; or it is over.
        done: bool,
        /// Whether every one of them has answered or was given up.
        over: bool,
    },
    /// A withdrawal is over: those known to hold the records were told. Every withdrawal ends with exactly one of these.
    Withdrawn {
        /// The withdrawal.
        id: WithdrawalId,
        /// Nodes that confirmed.
        acknowledged: usize,
        /// Nodes that were told.
        asked: usize,
    },
    /// A neighbour was heard by multicast DNS. It may belong to any libp2p application: dial it and see.
    PeerDiscovered {
        /// The neighbour.
        peer: PeerId,
        /// Where it says that it is.
        addresses: Vec<Multiaddr>,
    },
    /// A routing table gained or lost a peer, or learned another address.
    TableChanged,
}
