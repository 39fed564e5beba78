//! The questions of the searches: who is asked next, and what becomes of the answers.

use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{self, OutboundFailure, OutboundRequestId};
use libp2p::swarm::ConnectionId;

use super::Why;
use crate::codec::is_unsupported;
use crate::overlay::{Event, Overlay};
use crate::pace::Start;
use crate::position::Node;
use crate::scope::AddressClass;
use crate::search::{MAX_HOLDERS, WalkIndex};
use crate::under_way::Need;
use crate::wire::find::{Question, Reply};

/// Nodes that wait to be dialled ahead of what they will be told. While there is no room for such dials, walks find
/// more of them; the oldest are told without it.
const MAX_AHEAD: usize = 128;

/// A question on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) search: u64,
    walk: WalkIndex,
    at: Instant,
    start: Start,
}

impl Overlay {
    /// Asks whom a search wants to ask now, as far as there is room for dials. True when somebody was asked.
    pub(super) fn ask_next(&mut self, id: u64, now: Instant) -> bool {
        let Self { searches, protocols, pace, under_way, connections, outside, .. } = self;
        let Some(running) = searches.running.get_mut(&id) else { return false };
        let need = if matches!(running.why, Why::Lookup(_)) { Need::Lookup } else { Need::Upkeep };
        let find = &mut protocols.find;
        let mut began = false;
        loop {
            let start = |peer: &PeerId| if find.is_connected(peer) { Start::Warm } else { Start::Cold };
            let may_dial = under_way.has_room(need, connections.len());
            let next = running.search.next(now, |peer| {
                let start = start(peer);
                (start == Start::Warm || may_dial).then(|| pace.patience(peer, start, now))
            });
            let Some((walk, target, node)) = next else { return began };
            let start = start(&node.peer);
            if start == Start::Cold {
                under_way.begun(node.peer);
                outside.wait_for(node.peer, &node.addresses);
            }
            let question = Question { target, key: running.search.key() };
            let request = find.send_request_with_addresses(&node.peer, question, node.addresses);
            searches.asked.insert(request, Asked { search: id, walk, at: now, start });
            began = true;
        }
    }

    /// Hears of a question: a stranger's, or the end of one of ours.
    pub(in crate::overlay) fn on_find(
        &mut self,
        event: request_response::Event<Question, Reply>,
        now: Instant,
    ) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, connection_id, message: Message::Request { request, channel, .. } } => {
                // Dropping the channel tells a peer that asks too much that it gets no answer.
                if let Some(reply) = self.answer(&peer, connection_id, request, now) {
                    // It fails when the connection is gone, and then there is nobody to tell.
                    let _ = self.protocols.find.send_response(channel, reply);
                }
            }
            Event::Message { peer, connection_id, message: Message::Response { request_id, response } } => {
                self.on_reply(peer, connection_id, request_id, response, now);
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                tracing::trace!(%peer, %error, "question not answered");
                if let Some(asked) = self.searches.asked.remove(&request_id)
                    && let Some(running) = self.searches.running.get_mut(&asked.search)
                {
                    if self.under_way.was_refused(&peer) {
                        running.search.put_back(asked.walk, &peer);
                    } else {
                        running.search.failed(asked.walk, &peer);
                    }
                }
                // A dial that failed has been noted by itself.
                if matches!(error, OutboundFailure::Timeout) || is_unsupported(&error) {
                    self.silent(peer, now);
                }
                self.searches.is_stale = true;
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    /// Gives an answer to the search that asked for it, and what it found to the lookup.
    pub(in crate::overlay) fn on_reply(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        request: OutboundRequestId,
        reply: Reply,
        now: Instant,
    ) {
        self.absent.heard(&peer);
        self.dial_failures.remove(&peer);
        let Some(asked) = self.searches.asked.remove(&request) else { return };
        self.pace.answered(&peer, asked.start, now.saturating_duration_since(asked.at), now);
        self.searches.is_stale = true;
        let over = self.connections.get(&connection).map_or(AddressClass::Private, |remote| remote.class);
        let closer = self.take_nodes(reply.closer, over);
        let providers = self.take_nodes(reply.providers, over);
        let Self { searches, absent, protocols, .. } = self;
        let Some(running) = searches.running.get_mut(&asked.search) else { return };
        let doubtful = |peer: &PeerId| absent.contains(peer, now) && !protocols.find.is_connected(peer);
        running.search.answered(asked.walk, &peer, closer, !providers.is_empty(), doubtful);
        if let Why::Announce(_) = running.why {
            self.dial_ahead(asked.search, &peer);
            return;
        }
        let Why::Lookup(id) = running.why else { return };
        let effort = running.search.effort();
        let hops = running.search.has_found().then_some(effort.hops);
        for Node { peer, addresses } in providers {
            self.events.push_back(Event::Found { id, provider: peer, addresses, hops: hops.unwrap_or(0) });
        }
        self.events.push_back(Event::Walked { id, effort, over: false });
    }

    /// Dials those who will probably be told, while the walk still asks: what is told then takes one round trip, and not
    /// a handshake first.
    fn dial_ahead(&mut self, id: u64, answered: &PeerId) {
        let Self { searches, protocols, dials, .. } = self;
        let Some(running) = searches.running.get_mut(&id) else { return };
        for node in running.search.likely_holders(answered) {
            let is_new = running.awaited.len() < MAX_HOLDERS && running.awaited.insert(node.peer);
            if is_new && !protocols.find.is_connected(&node.peer) {
                dials.push_back(node);
            }
        }
        dials.drain(..dials.len().saturating_sub(MAX_AHEAD));
    }

    /// Takes the nodes that a peer connected over `over` named: others than ourselves, with the addresses of this
    /// scope, if they can be reached at all.
    ///
    /// What is said about them is not signed, and need not be: whoever answers a walk can invent nodes that sign
    /// anything, and what a node is worth shows when it is dialled.
    fn take_nodes(&self, nodes: Vec<Node>, over: AddressClass) -> Vec<Node> {
        let usable = |node: Node| Node { addresses: self.scope.usable(&node.addresses, over), ..node };
        let can_be_reached =
            |node: &Node| !node.addresses.is_empty() || self.protocols.find.is_connected(&node.peer);
        let others = nodes.into_iter().filter(|node| node.peer != self.local);
        others.map(usable).filter(can_be_reached).collect()
    }
}
