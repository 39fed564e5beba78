//! Numbers that tell how the overlays are doing.

use std::time::Duration;

use crate::scope::Scope;

/// Numbers for a status page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Peers in the `lan` table.
    pub lan_peers: usize,
    /// Peers in the `wan` table.
    pub wan_peers: usize,
    /// Strangers' records held.
    pub records: usize,
    /// Keys of our own that are announced.
    pub own_keys: usize,
    /// Lookups that run or wait.
    pub lookups: usize,
}

/// How one overlay is doing, to find out why something cannot be found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayStats {
    /// Which one.
    pub scope: Scope,
    /// Peers in the routing table.
    pub peers: usize,
    /// Parts of the table that hold any.
    pub buckets: usize,
    /// Nodes that the overlay seems to have, roughly, from how densely they lie.
    pub nodes: usize,
    /// Whether others may keep us in their tables and ask us: not while no address of ours belongs here.
    pub serves: bool,
    /// Strangers' records held.
    pub records: usize,
    /// Keys of our own.
    pub keys: usize,
    /// Those of them that some node has acknowledged.
    pub told: usize,
    /// Those of them whose nodes are not known yet.
    pub waiting: usize,
    /// Announcements on their way, or waiting for their turn.
    pub messages: usize,
    /// Messages with announcements sent so far.
    pub sent: u64,
    /// How long ago an announcement was acknowledged last.
    pub last_told: Option<Duration>,
}
