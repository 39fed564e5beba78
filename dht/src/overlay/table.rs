//! Who is offered to the routing table of an overlay, and who is taken out of it.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::connection_limits;
use libp2p::core::transport::TransportError;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId, StreamProtocol};

use super::{Event, Failures, MAX_DIAL_FAILURES, Overlay, SECOND_TRY};
use crate::causes::causes;
use crate::config::Defence;
use crate::position::{Node, Position};
use crate::refresh::Census;
use crate::scope::{AddressClass, Group, Scope, machine, without_peer};
use crate::search::HOLDERS;
use crate::table::{Link, Offered, Replaced};

/// Nodes of one group of addresses in a bucket, and in the table. One who owns a block of the internet can run
/// any number of nodes in it, and would otherwise be everybody that we know.
const MAX_GROUP_IN_BUCKET: usize = 2;
const MAX_GROUP_IN_TABLE: usize = 3;

/// How often the full parts of a table take a look at somebody new, who may replace a node that does not answer any
/// more. Each look is a dial of ours, and without a pause every stranger met would cause one, or two.
const REPLACEMENT: Duration = Duration::from_secs(10);

impl Overlay {
    /// Takes what identify learned over a connection to `over`: a peer that serves this overlay is offered to
    /// the table, one that does not leaves it.
    ///
    /// On the internet a peer is believed to be where we met it, and nowhere else: whoever could enter with the address
    /// of somebody else would make everybody that we name it to dial there.
    pub(crate) fn identified(
        &mut self,
        peer: PeerId,
        protocols: &[StreamProtocol],
        listen: &[Multiaddr],
        over: &Multiaddr,
    ) {
        let class = AddressClass::of(over);
        if !self.scope.speaks_over(class) {
            return;
        }
        if !protocols.contains(self.protocols.kademlia.protocol()) {
            self.remove_peer(&peer);
            return;
        }
        let (addresses, now) = (self.scope.usable(listen, class), Instant::now());
        let is_new = !self.table.contains(&peer);
        if self.scope == Scope::Lan || !self.defences.include(Defence::DialBack) {
            self.insert(peer, &addresses, now);
            self.joined(peer, is_new);
            return;
        }
        let met = self.met_at(&peer);
        let is_proven = |address: &Multiaddr| met.contains(&machine(address));
        let (proven, mut claimed): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_proven);
        if !proven.is_empty() {
            self.insert(peer, &proven, now);
            self.joined(peer, is_new);
        }
        let known = self.table.addresses(&peer);
        claimed.retain(|address| !known.contains(address));
        let may_enter = || self.has_room(&peer, now) && !self.is_crowded(&peer, &claimed);
        if !claimed.is_empty() && (self.table.contains(&peer) || may_enter()) {
            self.check.offer(Node { peer, addresses: claimed });
        }
    }

    /// Adds addresses that our own user or our own notes vouch for.
    pub(crate) fn add_known_peer(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        let addresses = self.scope.usable(addresses, AddressClass::Loopback);
        self.insert(peer, &addresses, Instant::now());
    }

    pub(crate) fn remove_peer(&mut self, peer: &PeerId) {
        self.dial_failures.remove(peer);
        if self.table.remove(peer) {
            if !self.has_peers() {
                // Whoever comes next finds us as lost as a newcomer.
                self.refresh.begin_anew(Instant::now());
            }
            self.events.push_back(Event::TableChanged);
        }
    }

    /// Everybody in the table.
    pub(crate) fn table(&self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.table.iter().map(|member| (member.peer, member.addresses.clone())).collect()
    }

    /// The nodes of the table nearest to a position, nearest first, without those that seem dead.
    pub(super) fn nearest(&self, target: Position, count: usize, now: Instant) -> Vec<Node> {
        self.table.nearest(target, count, |peer| !self.absent.contains(peer, now))
    }

    /// The table in numbers.
    pub(super) fn census(&mut self) -> Census {
        let mut near = self.table.distances(self.position);
        near.sort_unstable();
        let mut census = Census { peers: near.len(), ..Census::default() };
        for (distance, _) in &near {
            let bits = usize::try_from(distance.leading_zeros()).unwrap_or(usize::MAX);
            if census.buckets.len() <= bits {
                census.buckets.resize(bits + 1, 0);
            }
            if let Some(bucket) = census.buckets.get_mut(bits) {
                *bucket += 1;
            }
        }
        census.near = near.get(HOLDERS - 1).map_or(0, |(distance, _)| distance.leading_zeros());
        self.size.table(near.len(), near.into_iter().map(|(distance, _)| distance));
        census
    }

    /// Notes a dial that failed.
    pub(super) fn on_dial_failure(&mut self, peer: PeerId, error: &DialError, now: Instant) {
        let is_under_way = matches!(error, DialError::DialPeerConditionFalse(_));
        if !is_under_way {
            self.outside.ended(&peer);
        }
        if is_refused_by_us(error) {
            self.under_way.refused(peer, now);
            return;
        }
        if !is_under_way || self.protocols.find.is_connected(&peer) {
            self.dial_ended(&peer);
        }
        match error {
            DialError::WrongPeerId { address, .. } => self.is_not_at(&peer, address),
            DialError::Transport(failed) => {
                let tried = failed.iter().filter(|(_, failure)| !was_not_tried(failure));
                tried.for_each(|(address, _)| self.not_found_at(&peer, address));
            }
            _ => {}
        }
        // One who is connected is there, wherever else it says that it is.
        let is_there = self.protocols.find.is_connected(&peer);
        // That somebody of whom we know no address could not be dialled says nothing of it.
        let is_telling = match error {
            DialError::Transport(failed) => !failed.iter().any(|(_, failure)| was_not_tried(failure)),
            DialError::WrongPeerId { .. } => true,
            _ => false,
        };
        if is_telling && !is_there {
            self.missed(peer, now);
        }
    }

    /// Notes that a peer that is connected did not answer. Several questions may wait through one stall, so that together
    /// they count once: the dial that follows shows whether it is gone.
    pub(super) fn silent(&mut self, peer: PeerId, now: Instant) {
        if !self.dial_failures.contains_key(&peer) {
            self.missed(peer, now);
        }
    }

    /// Counts failures of peers in the table, and lets those go that seem dead.
    pub(super) fn missed(&mut self, peer: PeerId, now: Instant) {
        // When nobody at all can be reached it is our own network that is down.
        if self.connections.is_empty() {
            return;
        }
        self.absent.missed(peer, now);
        if !self.table.contains(&peer) {
            return;
        }
        let failures = self.dial_failures.entry(peer).or_insert(Failures { count: 0, last: now });
        failures.count += 1;
        failures.last = now;
        if failures.count >= MAX_DIAL_FAILURES {
            self.remove_peer(&peer);
        }
    }

    /// Dials those again that failed a while ago: searches leave them alone.
    pub(super) fn try_again(&mut self, now: Instant) {
        let is_due = |failures: &Failures| now.saturating_duration_since(failures.last) >= SECOND_TRY;
        let due: Vec<_> =
            self.dial_failures.iter().filter(|(_, known)| is_due(known)).map(|(peer, _)| *peer).collect();
        for peer in due {
            let addresses = self.table.addresses(&peer).to_vec();
            self.check.offer_own(Node { peer, addresses });
        }
        self.dial_failures.values_mut().filter(|known| is_due(known)).for_each(|known| known.last = now);
    }

    /// Notes that a peer was not at an address, which may be for a while only.
    pub(super) fn not_found_at(&mut self, peer: &PeerId, address: &Multiaddr) {
        self.table.remove_address(peer, &without_peer(address));
    }

    /// Notes that somebody else is at the address of a peer.
    fn is_not_at(&mut self, peer: &PeerId, address: &Multiaddr) {
        let address = without_peer(address);
        if self.table.addresses(peer) == [address.clone()] {
            self.remove_peer(peer);
        }
        self.table.remove_address(peer, &address);
    }

    /// Lets those into the table that waited for the place of somebody who did not answer.
    pub(super) fn replace(&mut self, now: Instant) {
        for Replaced { gone } in self.table.replace(now) {
            if let Some(gone) = gone {
                self.dial_failures.remove(&gone);
            }
            self.grew(now);
        }
    }

    fn insert(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        if !self.table.contains(&peer) {
            if self.is_crowded(&peer, addresses) {
                tracing::debug!(%peer, "not taken into the table: too many nodes of its address block are there");
                return;
            }
            if !self.has_room(&peer, now) {
                return;
            }
            if self.table.is_full(&peer) {
                self.next_replacement = now + REPLACEMENT;
            }
        }
        // Every address in the table was vouched for when it came.
        let all = self.table.addresses(&peer).iter().chain(addresses);
        let all = self.scope.usable(all, AddressClass::Loopback);
        let link = if self.protocols.find.is_connected(&peer) { Link::Connected } else { Link::Disconnected };
        match self.table.offer(peer, all, link, now) {
            Offered::Entered => self.grew(now),
            Offered::Moved => self.events.push_back(Event::TableChanged),
            Offered::Waits(first) => self.dials.push_back(first),
            Offered::Known | Offered::Refused => {}
        }
    }

    fn grew(&mut self, now: Instant) {
        self.provide.table_size(self.peers(), now);
        self.refresh.grew(self.peers(), now);
        self.events.push_back(Event::TableGrew);
    }

    /// Whether a peer that is not in the table may be offered to it now.
    fn has_room(&self, peer: &PeerId, now: Instant) -> bool {
        now >= self.next_replacement || !self.table.is_full(peer)
    }

    /// Whether the address blocks of a peer have more than their share of the table already.
    fn is_crowded(&self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        let groups: Vec<_> = addresses.iter().filter_map(Group::of).collect();
        if groups.is_empty() || !self.defences.include(Defence::AddressBlocks) {
            return false;
        }
        let (in_table, in_bucket) = self.table.count_groups(&groups, peer);
        in_table >= MAX_GROUP_IN_TABLE || in_bucket >= MAX_GROUP_IN_BUCKET
    }

    /// The machines at which we dialled this peer and found it.
    fn met_at(&self, peer: &PeerId) -> Vec<Option<IpAddr>> {
        let dialled = self.connections.values().filter_map(|remote| remote.dialled.as_ref());
        dialled.filter(|(met, _)| met == peer).map(|(_, address)| machine(address)).collect()
    }
}

/// Whether it was this node that has too much to do to dial, which says nothing about who lives there.
fn is_refused_by_us(error: &DialError) -> bool {
    match error {
        DialError::Denied { cause } => cause.downcast_ref::<connection_limits::Exceeded>().is_some(),
        DialError::Transport(failures) => {
            failures.iter().any(|(_, failure)| says(failure, io::ErrorKind::ResourceBusy))
        }
        _ => false,
    }
}

/// Whether an address was not tried, because too many dials to its machine failed: others live there too.
fn was_not_tried(failure: &TransportError<io::Error>) -> bool {
    says(failure, io::ErrorKind::QuotaExceeded)
}

fn says(failure: &TransportError<io::Error>, kind: io::ErrorKind) -> bool {
    let TransportError::Other(error) = failure else { return false };
    let mut io = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    io.any(|io| io.kind() == kind)
}
