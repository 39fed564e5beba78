//! What an overlay does with the events of the behaviours underneath.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::PeerId;
use libp2p::request_response::{self, OutboundFailure};
use libp2p::swarm::ConnectionId;

use super::{Event, Overlay, ProtocolsEvent};
use crate::codec::is_unsupported;
use crate::provide::{Answer, Parcel};
use crate::record_store::Offer;
use crate::stay;
use crate::under_way::Need;
use crate::wire::{Receipt, Sealed, Term};

impl Overlay {
    /// Begins what may begin now: walks, and messages. True when the protocols have something new to do.
    pub(super) fn work(&mut self, now: Instant) -> bool {
        if self.can_announce() {
            for walk in self.provide.next_walks(now) {
                self.search_holders(walk, now);
            }
        }
        if self.has_peers()
            && let Some(aim) = self.refresh.next(now)
        {
            self.search_peers(aim, now);
        }
        let mut began = self.drive_searches(now);
        began |= self.send_handed(now);
        let Self {
            provide,
            protocols,
            network,
            keypair,
            scope,
            own_addresses,
            last_sequence,
            under_way,
            connections,
            outside,
            ..
        } = self;
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
        loop {
            let may_dial = under_way.has_room(Need::Upkeep, connections.len());
            let can_reach = |peer: &PeerId| may_dial || protocols.announce.is_connected(peer);
            let Some((node, sealed)) = provide.next_message(can_reach, &mut seal, now) else { break };
            if !protocols.announce.is_connected(&node.peer) {
                under_way.begun(node.peer);
                outside.wait_for(node.peer, &node.addresses);
            }
            protocols.announce.send_request_with_addresses(&node.peer, sealed, node.addresses);
            began = true;
        }
        self.events.extend(self.provide.take_notes().into_iter().map(|(task, note)| Event::Task(task, note)));
        began
    }

    pub(super) fn on_protocols(&mut self, event: ProtocolsEvent, now: Instant) {
        match event {
            ProtocolsEvent::Kademlia(asked) => self.on_asked(asked, now),
            ProtocolsEvent::Announce(event) => self.on_announce(event, now),
            ProtocolsEvent::Find(event) => self.on_find(event, now),
            ProtocolsEvent::Stay(stay::Ended { connection }) => self.anchors.lost(connection, now),
        }
    }

    fn on_announce(&mut self, event: request_response::Event<Arc<Sealed>, Receipt>, now: Instant) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, connection_id, message: Message::Request { request, channel, .. } } => {
                let receipt = self.receive(peer, connection_id, &request, now);
                // It fails when the connection is gone, and then there is nobody to tell.
                let _ = self.protocols.announce.send_response(channel, receipt);
            }
            Event::Message { peer, message: Message::Response { request_id, .. }, .. }
                if self.handed.remove(&request_id) =>
            {
                self.handing.answered(&peer, true);
            }
            Event::OutboundFailure { peer, request_id, error, .. } if self.handed.remove(&request_id) => {
                tracing::debug!(%peer, %error, "could not hand an announcement on");
                self.handing.answered(&peer, false);
            }
            Event::Message { peer, message: Message::Response { response, .. }, .. } => {
                let answer = if response.refused == 0 { Answer::Stored } else { Answer::Refused };
                self.provide.answered(peer, answer, now);
            }
            Event::OutboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "announcement not acknowledged");
                let answer = match error {
                    OutboundFailure::DialFailure if self.under_way.was_refused(&peer) => Answer::Postponed,
                    OutboundFailure::DialFailure => Answer::Unreachable,
                    error if is_unsupported(&error) => Answer::Unreachable,
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

    /// Takes a stranger's announcement, whose signature has been checked. Of one that somebody hands on we take what
    /// is near to us: its provider knows who should have it, and others might make us a dump.
    pub(super) fn receive(
        &mut self,
        sender: PeerId,
        connection: ConnectionId,
        sealed: &Sealed,
        now: Instant,
    ) -> Receipt {
        let announcement = sealed.announcement();
        let keys = announcement.keys.len();
        let refusal = Receipt { stored: 0, refused: u32::try_from(keys).unwrap_or(u32::MAX) };
        let Some(remote) = self.connections.get(&connection) else { return refusal };
        if !self.purses.may_send(remote.sender, now) {
            return refusal;
        }
        let addresses = self.scope.usable(&announcement.addresses, remote.class);
        let ttl = match announcement.term {
            Term::Withdrawn => None,
            // Its clock may be hours from ours, and what it brings itself it has just signed: both times are from there.
            Term::Until(second) if announcement.provider == sender => {
                Some(Duration::from_secs(second.saturating_sub(announcement.signed_at())))
            }
            Term::Until(second) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                Some(Duration::from_secs(second.saturating_sub(now)))
            }
        };
        // A withdrawal only makes room, so it needs no address and costs nothing of what may be announced: unless it may be
        // of a record that has not been read from the disk yet, and so has to be remembered.
        let is_of_use = ttl.is_none_or(|ttl| !ttl.is_zero() && !addresses.is_empty());
        let costs = ttl.is_some() || !self.records.is_loaded();
        if !is_of_use || costs && !self.purses.may_announce(remote.sender, keys, now) {
            return refusal;
        }
        if announcement.provider == self.local {
            return refusal;
        }
        let offer = Offer {
            provider: announcement.provider,
            sender: remote.sender,
            addresses,
            sequence: announcement.sequence,
            received: now,
            ttl,
        };
        if ttl.is_none() {
            return self.take_back(offer, sealed);
        }
        let signed = (sealed.as_bytes(), keys);
        if announcement.provider == sender {
            return self.records.apply_signed(offer, &announcement.keys, signed);
        }
        let near = self.near(&announcement.keys, now);
        let far = u32::try_from(keys - near.len()).unwrap_or(u32::MAX);
        let mut receipt = self.records.apply_signed(offer, near, signed);
        receipt.refused = receipt.refused.saturating_add(far);
        receipt
    }
}
