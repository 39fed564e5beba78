//! The routing table of an overlay: who enters, who leaves, and who is near to what.
//!
//! The buckets are Kademlia's: a full one dials its least recently seen node before it takes another, and
//! keeps whoever answers. This file decides who is offered to it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::kad::{self, KBucketKey};
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId, StreamProtocol};

use super::{Event, Failures, MAX_DIAL_FAILURES, Overlay, SECOND_TRY};
use crate::config::Defence;
use crate::position::{Distance, Node, Position};
use crate::refresh::Census;
use crate::scope::{AddressClass, Group, Scope, machine};
use crate::search::HOLDERS;

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
        if !protocols.contains(&self.kad_protocol) {
            self.remove_peer(&peer);
            return;
        }
        let (addresses, now) = (self.scope.usable(listen, class), Instant::now());
        let is_new = !self.contains(&peer);
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
        let known = self.table_addresses(&peer);
        claimed.retain(|address| !known.contains(address));
        if !claimed.is_empty() && (self.contains(&peer) || self.has_room(&peer, now)) {
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
        if self.protocols.kad.remove_peer(peer).is_some() {
            self.count_peers();
            if self.peers == 0 {
                // Whoever comes next finds us as lost as a newcomer.
                self.refresh.begin_anew(Instant::now());
            }
            self.events.push_back(Event::TableChanged);
        }
    }

    /// Everybody in the table.
    pub(crate) fn table(&mut self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let kad = &mut self.protocols.kad;
        kad.kbuckets()
            .flat_map(|bucket| {
                let peers = bucket
                    .iter()
                    .map(|entry| (*entry.node.key.preimage(), entry.node.value.iter().cloned().collect()));
                peers.collect::<Vec<_>>()
            })
            .collect()
    }

    /// The nodes of the table nearest to a position, nearest first, without those that seem dead.
    pub(super) fn nearest(&mut self, target: Position, count: usize, now: Instant) -> Vec<Node> {
        let mut near = self.distances(target);
        near.retain(|(_, peer)| !self.absent.contains(peer, now));
        if count > 0 && near.len() > count {
            near.select_nth_unstable(count - 1);
            near.truncate(count);
        }
        near.sort_unstable();
        let node = |(_, peer)| Node { peer, addresses: self.table_addresses(&peer) };
        near.into_iter().map(node).collect()
    }

    /// The table in numbers.
    pub(super) fn census(&mut self) -> Census {
        let mut near = self.distances(self.position);
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

    /// Drops what does not belong into the table: Kademlia adds each address it dialled, whatever its scope.
    pub(super) fn keep_in_scope(&mut self, peer: &PeerId, addresses: &[Multiaddr]) {
        // Every address in the table was vouched for when it came.
        let kept = self.scope.usable(addresses, AddressClass::Loopback);
        for address in addresses {
            let bare = self.scope.usable([address], AddressClass::Loopback);
            if !bare.iter().any(|bare| kept.contains(bare)) {
                self.protocols.kad.remove_address(peer, address);
            }
        }
    }

    pub(super) fn count_peers(&mut self) {
        self.peers = self.protocols.kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
    }

    /// The addresses of a peer in the table, bare: those that may be dialled.
    pub(super) fn table_addresses(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let no_connection = ConnectionId::new_unchecked(usize::MAX);
        let kad = &mut self.protocols.kad;
        let known = kad.handle_pending_outbound_connection(no_connection, Some(*peer), &[], Endpoint::Dialer);
        self.scope.usable(&known.unwrap_or_default(), AddressClass::Loopback)
    }

    /// Notes a dial that failed.
    pub(super) fn on_dial_failure(&mut self, peer: PeerId, error: &DialError, now: Instant) {
        if let DialError::WrongPeerId { address, .. } = error {
            self.protocols.kad.remove_address(&peer, address);
        }
        // One who is connected is there, wherever else it says that it is.
        let is_there = self.protocols.find.is_connected(&peer);
        let is_telling =
            matches!(error, DialError::Transport(_) | DialError::NoAddresses | DialError::WrongPeerId { .. });
        if is_telling && !is_there {
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
        if !self.contains(&peer) {
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
            let addresses = self.table_addresses(&peer);
            self.check.offer(Node { peer, addresses });
        }
        self.dial_failures.values_mut().filter(|known| is_due(known)).for_each(|known| known.last = now);
    }

    fn insert(&mut self, peer: PeerId, addresses: &[Multiaddr], now: Instant) {
        if !self.contains(&peer) {
            if self.is_crowded(&peer, addresses) {
                tracing::debug!(%peer, "not taken into the table: too many nodes of its address block are there");
                return;
            }
            if !self.has_room(&peer, now) {
                return;
            }
            if self.is_full(&peer) {
                self.next_replacement = now + REPLACEMENT;
            }
        }
        for address in addresses {
            self.protocols.kad.add_address(&peer, address.clone());
        }
        if self.peers <= HOLDERS {
            self.silence_kademlia();
        }
    }

    /// Whether a peer that is not in the table may be offered to it now.
    fn has_room(&mut self, peer: &PeerId, now: Instant) -> bool {
        now >= self.next_replacement || !self.is_full(peer)
    }

    /// Whether the part of the table that a peer belongs to is full.
    fn is_full(&mut self, peer: &PeerId) -> bool {
        let bucket = self.protocols.kad.kbucket(*peer);
        bucket.is_some_and(|bucket| bucket.num_entries() >= kad::K_VALUE.get())
    }

    /// Keeps Kademlia from filling the table its own way, which it begins half a second after a small one gained
    /// a peer: a bootstrap that is ended at once clears that timer, and costs no message.
    pub(super) fn silence_kademlia(&mut self) {
        if self.protocols.kad.bootstrap().is_ok() {
            self.end_kademlia_queries();
        }
    }

    pub(super) fn end_kademlia_queries(&mut self) {
        for mut query in self.protocols.kad.iter_queries_mut() {
            query.finish();
        }
    }

    /// Whether the address blocks of a peer have more than their share of the table already.
    fn is_crowded(&mut self, peer: &PeerId, addresses: &[Multiaddr]) -> bool {
        let groups: Vec<_> = addresses.iter().filter_map(Group::of).collect();
        if groups.is_empty() || !self.defences.include(Defence::AddressBlocks) {
            return false;
        }
        let bucket_of = |distance: Distance| distance.leading_zeros();
        let wanted = bucket_of(self.position.distance(Position::of_peer(peer)));
        let (mut in_table, mut in_bucket) = (0, 0);
        for bucket in self.protocols.kad.kbuckets() {
            for entry in bucket.iter() {
                if entry.node.value.iter().filter_map(Group::of).any(|group| groups.contains(&group)) {
                    in_table += 1;
                    let position = Position::of_hash(entry.node.key.hashed_bytes());
                    in_bucket += usize::from(bucket_of(self.position.distance(position)) == wanted);
                }
            }
        }
        in_table >= MAX_GROUP_IN_TABLE || in_bucket >= MAX_GROUP_IN_BUCKET
    }

    pub(super) fn distances(&mut self, target: Position) -> Vec<(Distance, PeerId)> {
        let kad = &mut self.protocols.kad;
        kad.kbuckets()
            .flat_map(|bucket| {
                let keys = bucket.iter().map(|entry| entry.node.key);
                let apart = |key: &KBucketKey<PeerId>| Position::of_hash(key.hashed_bytes()).distance(target);
                keys.map(|key| (apart(key), *key.preimage())).collect::<Vec<_>>()
            })
            .collect()
    }

    fn contains(&mut self, peer: &PeerId) -> bool {
        let bucket = self.protocols.kad.kbucket(*peer);
        bucket.is_some_and(|bucket| bucket.iter().any(|entry| entry.node.key.preimage() == peer))
    }

    /// The machines at which we dialled this peer and found it.
    fn met_at(&self, peer: &PeerId) -> Vec<Option<IpAddr>> {
        let dialled = self.connections.values().filter_map(|remote| remote.dialled.as_ref());
        dialled.filter(|(met, _)| met == peer).map(|(_, address)| machine(address)).collect()
    }
}
