//! Peers that are connected, but only from outside the scope, and what waits for a connection within it.
//!
//! Two machines of one local network may know each other by global addresses too, of IPv6 above all. A connection over
//! those says nothing to the `lan` overlay, so whom that asks is dialled once more, where it lives within the scope.
//!
//! Owns: connections from outside, whom a question or a message waits for.  Hears: connections made and lost, dials that
//! failed.  Tells: whom to dial within the scope.

use std::collections::{HashMap, VecDeque};

use libp2p::{Multiaddr, PeerId};

use crate::position::Node;
use crate::scope::Scope;

/// Who is where.
#[derive(Debug)]
pub(super) struct Outside {
    scope: Scope,
    /// How many connections there are to a peer from outside the scope.
    connections: HashMap<PeerId, usize>,
    /// Where those live whom something waits for. Invariant: a dial is under way to each of them, or queued here; how it
    /// ends takes them out.
    awaited: HashMap<PeerId, Vec<Multiaddr>>,
    /// Those of them who came from outside.
    queued: VecDeque<Node>,
}

impl Outside {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, connections: HashMap::new(), awaited: HashMap::new(), queued: VecDeque::new() }
    }

    /// Connections to a peer from outside.
    pub(super) fn connections(&self, peer: &PeerId) -> usize {
        self.connections.get(peer).copied().unwrap_or_default()
    }

    /// Notes that something waits for a peer that will be dialled.
    pub(super) fn wait_for(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        if self.scope == Scope::Wan {
            // Nobody comes from outside of it.
            return;
        }
        let known = self.awaited.entry(peer).or_default();
        for address in addresses {
            if !known.contains(address) {
                known.push(address.clone());
            }
        }
    }

    /// Notes a connection from outside. Whoever is waited for is dialled.
    pub(super) fn established(&mut self, peer: PeerId) {
        *self.connections.entry(peer).or_default() += 1;
        self.queued.extend(self.awaited(&peer));
    }

    pub(super) fn closed(&mut self, peer: &PeerId) {
        if let Some(count) = self.connections.get_mut(peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.connections.remove(peer);
            }
        }
    }

    /// Notes that nothing waits for a peer any more: it is connected within the scope, or could not be reached.
    pub(super) fn ended(&mut self, peer: &PeerId) {
        self.awaited.remove(peer);
    }

    /// A peer to dial within the scope, if that is connected from outside and something waits for it.
    pub(super) fn awaited(&self, peer: &PeerId) -> Option<Node> {
        let addresses = self.awaited.get(peer).filter(|_| self.connections.contains_key(peer))?;
        Some(Node { peer: *peer, addresses: addresses.clone() })
    }

    /// The next one to dial.
    pub(super) fn next(&mut self) -> Option<Node> {
        self.queued.pop_front()
    }
}
