//! What a node knows of itself.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use shoal_content::NetworkName;
use shoal_dht::{OverlayStats, Scope, Scopes};

use crate::{Announce, Rates, Unreached};

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
    /// What of its shares it announces.
    pub announce: Announce,
    /// Addresses that it listens on.
    pub addresses: Vec<Multiaddr>,
    /// Addresses that the user says others reach it at.
    pub external: Vec<Multiaddr>,
    /// Addresses that it was told to listen on; none where it chose by itself.
    pub listen: Vec<Multiaddr>,
    /// Peers that it was told of when it started.
    pub named: Vec<Multiaddr>,
    /// Whether it was told to look for peers on the local network by multicast.
    pub mdns: bool,
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
    /// How each overlay is doing.
    pub overlays: Vec<OverlayStats>,
    /// In words, why content may not be found: what this node shares by others, and what others share by this node; and why
    /// what others announced does not outlive a restart of this node.
    pub problems: Vec<String>,
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

/// In words, what keeps content from being found, now or after a restart.
pub(crate) fn problems(
    overlays: &[OverlayStats],
    shares: u64,
    announces: bool,
    unkept: Option<&str>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut say = |problem: &str| problems.push(problem.to_owned());
    let lan = overlays.iter().find(|overlay| overlay.scope == Scope::Lan);
    let wan = overlays.iter().find(|overlay| overlay.scope == Scope::Wan);
    if overlays.iter().all(|overlay| overlay.peers == 0) {
        say(
            "no other node of this network is known: name one with --peer, or start one on the same local network",
        );
    } else if shares > 0 && announces && overlays.iter().all(|overlay| overlay.told == 0) {
        say("no node has acknowledged an announcement of what is shared here yet");
    }
    if wan.is_some_and(|wan| !wan.serves && (wan.peers > 0 || lan.is_none())) {
        say(
            "the internet is not told where this node is: if it can be reached from there, name the address with \
             --external",
        );
    }
    if shares > 0 && !announces {
        say("what is shared here is not announced: only those who know this node can get it");
    }
    unkept.into_iter().for_each(say);
    problems
}

#[cfg(test)]
mod tests;
