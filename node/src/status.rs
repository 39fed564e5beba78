//! What a node knows of itself.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use shoal_content::NetworkName;
use shoal_dht::{Scope, Scopes};

use crate::{Rates, Unreached};

/// The state of a node at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The version of this library.
    pub version: &'static str,
    /// The node's name in the network.
    pub peer_id: PeerId,
    /// The overlay that it is in.
    pub network: NetworkName,
    /// Where it announces and looks up.
    pub scopes: Scopes,
    /// Addresses that it listens on.
    pub addresses: Vec<Multiaddr>,
    /// Addresses that the user says others reach it at.
    pub external: Vec<Multiaddr>,
    /// Since its start.
    pub uptime: Duration,
    /// Connected peers.
    pub peers: usize,
    /// Those of them in the same network.
    pub members: usize,
    /// Things it shares.
    pub shares: u64,
    /// Nodes in the routing table of each scope.
    pub tables: Vec<(Scope, usize)>,
    /// Provider records that it holds for others and for itself.
    pub records: usize,
    /// Keys of its own that it keeps announced.
    pub own_keys: usize,
    /// Bytes of content sent since the start.
    pub sent: u64,
    /// Bytes of content received since the start.
    pub received: u64,
    /// Ranges being sent now.
    pub sending: usize,
    /// Publishes and gets under way.
    pub jobs: usize,
    /// Tasks that panicked; anything but 0 is a defect worth reporting.
    pub panics: u64,
    /// Why multicast discovery is off although it was asked for.
    pub mdns_failure: Option<String>,
    /// Peers that the builder was given and that cannot be used now.
    pub unreached: Vec<Unreached>,
    /// How fast content may move.
    pub rates: Rates,
    /// The bounds that it keeps to, by name.
    pub limits: Vec<(&'static str, u64)>,
}
