//! What an overlay does with the events of the behaviours underneath.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::core::Endpoint;
use libp2p::kad::{self, GetClosestPeersError, GetClosestPeersOk, GetProvidersOk, QueryResult};
use libp2p::request_response::{self, OutboundFailure};
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId};

use super::{Event, MAX_DIAL_FAILURES, Overlay, ProtocolsEvent, Query};
use crate::lookup::LookupId;
use crate::provide::{Answer, Node, Parcel};
use crate::record_store::Offer;
use crate::scope::AddressClass;
use crate::wire::{Announcement, Receipt, Sealed, Term};

impl Overlay {
    /// Begins what may begin now: walks, and messages. True when the protocols have something new to do.
    pub(super) fn work(&mut self, now: Instant) -> bool {
        let mut began = false;
        if self.can_announce() {
            for walk in self.provide.next_walks(now) {
                let query = self.protocols.kad.get_closest_peers(walk.key.as_bytes().to_vec());
                self.queries.insert(query, Query::Walk(walk));
                began = true;
            }
        }
        let Self { provide, protocols, network, keypair, scope, last_sequence, .. } = self;
        let own_addresses = protocols.kad.store_mut().own_addresses();
        let mut seal = |parcel: &Parcel<'_>| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
            *last_sequence = micros.max(last_sequence.saturating_add(1));
            let until = |ttl| Term::Until(since_epoch.saturating_add(ttl).as_secs());
            let term = parcel.ttl.map_or(Term::Withdrawn, until);
            let keys = parcel.keys.clone();
            Sealed::seal(*last_sequence, term, own_addresses, keys, (network, *scope), keypair)
                .inspect_err(|error| tracing::error!(%error, "could not sign an announcement"))
                .ok()
                .map(Into::into)
        };
        while let Some((node, sealed)) = provide.next_message(&mut seal, now) {
            protocols.announce.send_request_with_addresses(&node.peer, sealed, node.addresses);
            began = true;
        }
        self.events.extend(self.provide.take_notes().into_iter().map(|(task, note)| Event::Task(task, note)));
        began
    }

    pub(super) fn on_protocols(&mut self, event: ProtocolsEvent, now: Instant) {
        match event {
            ProtocolsEvent::Kad(event) => self.on_kad(event, now),
            ProtocolsEvent::Announce(event) => self.on_announce(event, now),
        }
    }

    fn on_kad(&mut self, event: kad::Event, now: Instant) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, stats, step } => {
                let why = self.queries.get(&id).copied();
                if step.last {
                    self.queries.remove(&id);
                }
                match (why, result) {
                    (Some(Query::Lookup(id)), QueryResult::GetProviders(result)) => {
                        if let Ok(GetProvidersOk::FoundProviders { providers, .. }) = result {
                            self.on_providers(id, providers);
                        }
                        let asked = usize::try_from(stats.num_successes()).unwrap_or(usize::MAX);
                        self.events.push_back(Event::Walked { id, asked, over: step.last });
                    }
                    (Some(Query::Walk(walk)), QueryResult::GetClosestPeers(result)) => {
                        let (Ok(GetClosestPeersOk { peers, .. })
                        | Err(GetClosestPeersError::Timeout { peers, .. })) = result;
                        let node = |info: kad::PeerInfo| Node {
                            peer: info.peer_id,
                            addresses: self.scope.usable(&info.addrs, self.believes),
                        };
                        let nodes = peers.into_iter().map(node).collect();
                        self.provide.walk_ended(walk, nodes, now);
                    }
                    _ => {}
                }
            }
            kad::Event::RoutingUpdated { peer, is_new_peer, addresses, .. } => {
                self.keep_in_scope(&peer, &addresses.into_vec());
                self.refresh_table();
                self.provide.table_size(self.peers, now);
                self.events.push_back(if is_new_peer { Event::TableGrew } else { Event::TableChanged });
            }
            _ => {}
        }
    }

    /// Tells the providers that somebody named, with the addresses that came along.
    ///
    /// Kademlia does not report those, but would dial them; so it is asked for what it would dial. They are
    /// not signed, and need not be: whoever answers a walk can invent providers that sign anything, and what
    /// a provider is worth shows when it is dialled.
    fn on_providers(&mut self, id: LookupId, providers: impl IntoIterator<Item = PeerId>) {
        for provider in providers {
            if provider == self.local {
                continue;
            }
            let addresses = self.dial_addresses(provider);
            if !addresses.is_empty() || self.protocols.announce.is_connected(&provider) {
                self.events.push_back(Event::Found { id, provider, addresses });
            }
        }
    }

    /// The addresses of a peer that may be dialled: those in our table, which were checked when they came,
    /// and of those that running walks heard, the ones in scope.
    pub(super) fn dial_addresses(&mut self, peer: PeerId) -> Vec<Multiaddr> {
        let no_connection = ConnectionId::new_unchecked(usize::MAX);
        let kad = &mut self.protocols.kad;
        let heard = kad.handle_pending_outbound_connection(no_connection, Some(peer), &[], Endpoint::Dialer);
        let mut addresses = self.table_addresses(&peer);
        addresses.extend(self.scope.usable(&heard.unwrap_or_default(), self.believes));
        self.scope.usable(&addresses, AddressClass::Loopback)
    }

    /// Drops what does not belong into the table: Kademlia adds each address it dialled, whatever its scope.
    fn keep_in_scope(&mut self, peer: &PeerId, addresses: &[Multiaddr]) {
        // Every address in the table was vouched for when it came.
        let kept = self.scope.usable(addresses, AddressClass::Loopback);
        for address in addresses {
            let bare = self.scope.usable([address], AddressClass::Loopback);
            if !bare.iter().any(|bare| kept.contains(bare)) {
                self.protocols.kad.remove_address(peer, address);
            }
        }
    }

    /// Counts the table, and finds out whether strangers' loopback addresses mean anything: they do when
    /// somebody in it, who was vouched for over loopback, lives on this machine.
    pub(super) fn refresh_table(&mut self) {
        self.peers = 0;
        self.believes = AddressClass::Private;
        for bucket in self.protocols.kad.kbuckets() {
            for entry in bucket.iter() {
                self.peers += 1;
                let class = |address| AddressClass::of(address);
                if entry.node.value.iter().map(class).any(|class| class == AddressClass::Loopback) {
                    self.believes = AddressClass::Loopback;
                }
            }
        }
    }

    fn table_addresses(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let mut addresses = Vec::new();
        if let Some(bucket) = self.protocols.kad.kbucket(*peer) {
            for entry in bucket.iter().filter(|entry| entry.node.key.preimage() == peer) {
                addresses.extend(entry.node.value.iter().cloned());
            }
        }
        addresses
    }

    fn on_announce(&mut self, event: request_response::Event<Arc<Sealed>, Receipt>, now: Instant) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, connection_id, message: Message::Request { request, channel, .. } } => {
                let receipt = self.receive(peer, connection_id, request.announcement(), now);
                // It fails when the connection is gone, and then there is nobody to tell.
                let _ = self.protocols.announce.send_response(channel, receipt);
            }
            Event::Message { peer, message: Message::Response { response, .. }, .. } => {
                let answer = if response.refused == 0 { Answer::Stored } else { Answer::Refused };
                self.provide.answered(peer, answer, now);
            }
            Event::OutboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "announcement not acknowledged");
                let answer = match error {
                    OutboundFailure::DialFailure | OutboundFailure::UnsupportedProtocols => {
                        Answer::Unreachable
                    }
                    _ => Answer::Lost,
                };
                self.provide.answered(peer, answer, now);
            }
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "announcement refused");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    /// Takes a stranger's announcement, whose signature has been checked.
    pub(super) fn receive(
        &mut self,
        sender: PeerId,
        connection: ConnectionId,
        announcement: &Announcement,
        now: Instant,
    ) -> Receipt {
        let keys = announcement.keys.len();
        let refusal = Receipt { stored: 0, refused: u32::try_from(keys).unwrap_or(u32::MAX) };
        let Some(remote) = self.connections.get_mut(&connection) else { return refusal };
        let addresses = self.scope.usable(&announcement.addresses, remote.class);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ttl = match announcement.term {
            Term::Withdrawn => None,
            Term::Until(second) => Some(Duration::from_secs(second.saturating_sub(since_epoch))),
        };
        // A withdrawal only makes room, so it needs no address and costs nothing of what may be announced.
        if ttl.is_some_and(|ttl| ttl.is_zero() || addresses.is_empty() || !remote.spend(keys, now)) {
            return refusal;
        }
        if announcement.provider == self.local {
            return refusal;
        }
        let offer = Offer {
            provider: announcement.provider,
            sender,
            addresses,
            sequence: announcement.sequence,
            received: now,
            ttl,
        };
        self.protocols.kad.store_mut().records.apply(offer, &announcement.keys)
    }

    /// Counts failed dials of peers in the table, and lets those go that seem dead.
    pub(super) fn on_dial_failure(&mut self, peer: PeerId, error: &DialError) {
        if let DialError::WrongPeerId { address, .. } = error {
            self.protocols.kad.remove_address(&peer, address);
        }
        let is_their_fault =
            matches!(error, DialError::Transport(_) | DialError::NoAddresses | DialError::WrongPeerId { .. });
        // When nobody at all can be reached it is our own network that is down.
        if !is_their_fault || self.connections.is_empty() || self.table_addresses(&peer).is_empty() {
            return;
        }
        let failures = self.dial_failures.entry(peer).or_default();
        *failures += 1;
        if *failures >= MAX_DIAL_FAILURES {
            self.remove_peer(&peer);
        }
    }
}
