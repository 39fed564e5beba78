//! Stays connected to a few nodes of the table, so that the first answer of a lookup needs no dial.

use std::time::Instant;

use libp2p::PeerId;

use super::Overlay;
use crate::anchors::Anchors;
use crate::position::{Node, Position};
use crate::scope::Scope;

impl Overlay {
    /// Finds somebody for each place that is vacant: whoever of the table is connected anyway, or else one who is dialled.
    pub(super) fn fill_places(&mut self, now: Instant) {
        // Within a local network a dial takes no time.
        if self.scope == Scope::Lan {
            return;
        }
        let vacant = self.anchors.vacant(now);
        if vacant.is_empty() || !self.has_peers() {
            return;
        }
        // In an order that nobody can foresee, or choose by being near to something.
        let table = self.table.distances(Position::random());
        let mut dials = 1;
        for place in vacant {
            let belongs = |peer: &PeerId| Anchors::place_of(Position::of_peer(peer)) == place;
            let mut members: Vec<_> = table.iter().filter(|(_, peer)| belongs(peer)).collect();
            members.retain(|(_, peer)| !self.absent.contains(peer, now));
            members.sort_unstable();
            let stay = &mut self.protocols.stay;
            let connected = members.iter().find_map(|(_, peer)| Some((*peer, stay.connection(peer)?)));
            if let Some((peer, connection)) = connected {
                stay.stay(peer, connection);
                self.anchors.give(place, connection, now);
                continue;
            }
            if let Some((_, peer)) = members.first() {
                if dials == 0 {
                    continue;
                }
                dials -= 1;
                let addresses = self.table.addresses(peer).to_vec();
                self.check.offer_own(Node { peer: *peer, addresses });
            }
            self.anchors.tried(place, now);
        }
    }

    /// The nodes of the table nearest to a position among those that are connected.
    pub(super) fn nearest_connected(&mut self, target: Position, count: usize) -> Vec<Node> {
        let mut near = self.table.distances(target);
        near.retain(|(_, peer)| self.protocols.stay.connection(peer).is_some());
        near.sort_unstable();
        near.truncate(count);
        let node = |(_, peer)| Node { peer, addresses: self.table.addresses(&peer).to_vec() };
        near.into_iter().map(node).collect()
    }
}
