//! The searches of an overlay: whom they ask, what is answered, and what we answer ourselves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::request_response::{self, OutboundFailure, OutboundRequestId};
use libp2p::swarm::ConnectionId;
use shoal_content::ProviderKey;

use super::{Event, Overlay};
use crate::codec::is_unsupported;
use crate::config::Defence;
use crate::lookup::LookupId;
use crate::pace::Start;
use crate::position::{Node, Position};
use crate::provide;
use crate::refresh::Aim;
use crate::scope::AddressClass;
use crate::search::{HOLDERS, MAX_HOLDERS, Search, WalkIndex};
use crate::under_way::Need;
use crate::wire::find::{Question, Reply};

/// Nodes of our table that a walk begins with. The nearest few are asked first; the others are there for when
/// those do not answer.
const SEEDS: usize = 32;

/// Nodes that are connected and are asked first by a lookup, wherever they are: they answer while others are still being
/// dialled. One of them may have died without a word.
const GUIDES: usize = 2;

/// Answers of the nearest nodes with which it is known who should hold a key. Each knows its neighbourhood, and
/// that the others live shows when they are told.
const WANTED_TO_ANNOUNCE: usize = 6;

/// Answers that a walk to a thin part of our table ends with, and one that only makes sure that nobody is new around us.
const WANTED_TO_REFRESH: usize = 3;

/// Nodes that wait to be dialled ahead of what they will be told. While there is no room for such dials, walks find
/// more of them; the oldest are told without it.
const MAX_AHEAD: usize = 128;

/// A search that takes longer hangs, and would keep others waiting. Lookups have a deadline of their own.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why a search runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Lookup(LookupId),
    Announce(provide::Walk),
    Refresh(Aim),
}

/// All searches of an overlay.
#[derive(Debug, Default)]
pub(super) struct Searches {
    running: BTreeMap<u64, Running>,
    asked: HashMap<OutboundRequestId, Asked>,
    last_id: u64,
    /// Something happened that may allow another question.
    is_stale: bool,
}

#[derive(Debug)]
struct Running {
    why: Why,
    search: Search,
    until: Instant,
    /// Who is dialled ahead of what will be told.
    awaited: HashSet<PeerId>,
}

/// A question on its way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    search: u64,
    walk: WalkIndex,
    at: Instant,
    start: Start,
}

impl Searches {
    /// When somebody will be late, or a search takes too long.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due =
            |running: &Running| running.search.next_due().map_or(running.until, |due| due.min(running.until));
        self.running.values().map(due).min()
    }

    /// A question on its way for an announcement.
    #[cfg(test)]
    pub(super) fn asked_to_announce(&self) -> Option<OutboundRequestId> {
        let announces = |asked: &Asked| {
            self.running.get(&asked.search).is_some_and(|running| matches!(running.why, Why::Announce(_)))
        };
        self.asked.iter().find(|(_, asked)| announces(asked)).map(|(request, _)| *request)
    }

    /// Notes that there may be room for another question.
    pub(super) fn wake(&mut self) {
        self.is_stale = true;
    }

    fn add(&mut self, why: Why, search: Search, until: Instant) {
        self.last_id += 1;
        self.running.insert(self.last_id, Running { why, search, until, awaited: HashSet::new() });
        self.is_stale = true;
    }
}

impl Overlay {
    /// Notes that a dial is over: there is room for another one.
    pub(super) fn dial_ended(&mut self, peer: &PeerId) {
        self.under_way.ended(peer);
        self.searches.wake();
    }

    /// Begins a lookup's search.
    pub(crate) fn find(&mut self, id: LookupId, key: ProviderKey, now: Instant) {
        self.search(Why::Lookup(id), Position::of_key(&key), Some(key), HOLDERS, now);
    }

    /// Ends the search of a lookup.
    pub(crate) fn stop_find(&mut self, id: LookupId) {
        self.searches.running.retain(|_, running| running.why != Why::Lookup(id));
    }

    /// Begins a search for those who should hold what is to be announced.
    pub(super) fn search_holders(&mut self, walk: provide::Walk, now: Instant) {
        self.search(Why::Announce(walk), walk.target, None, WANTED_TO_ANNOUNCE, now);
    }

    /// Begins a search that fills our table.
    pub(super) fn search_peers(&mut self, aim: Aim, now: Instant) {
        let (target, wants) = match aim {
            Aim::Ourselves => (self.position, HOLDERS),
            Aim::Glance => (self.position, WANTED_TO_REFRESH),
            Aim::Bucket(bits) => (self.position.across(bits, Position::random()), WANTED_TO_REFRESH),
        };
        self.search(Why::Refresh(aim), target, None, wants, now);
    }

    fn search(&mut self, why: Why, target: Position, key: Option<ProviderKey>, wants: usize, now: Instant) {
        let mut search = Search::new(target, key, wants);
        for node in self.seeds(target, now) {
            search.seed(&node, false);
        }
        if matches!(why, Why::Lookup(_)) {
            for node in self.nearest_connected(target, GUIDES) {
                search.guide(node);
            }
        }
        self.searches.add(why, search, now + DEADLINE);
    }

    /// The nodes to begin with. When everybody seems dead, they are tried all the same.
    fn seeds(&mut self, target: Position, now: Instant) -> Vec<Node> {
        let seeds = self.nearest(target, SEEDS, now);
        if seeds.is_empty() && self.has_peers() {
            self.absent.clear();
            return self.nearest(target, SEEDS, now);
        }
        seeds
    }

    /// Notes that time has passed.
    pub(super) fn tick_searches(&mut self, now: Instant) {
        self.under_way.tick(now);
        for running in self.searches.running.values_mut() {
            running.search.tick(now);
        }
        self.searches.is_stale = true;
    }

    /// Asks whom the searches want to ask, and ends those that are over. True when something was begun.
    pub(super) fn drive_searches(&mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.searches.is_stale) {
            return false;
        }
        let mut began = false;
        let ids: Vec<_> = self.searches.running.keys().copied().collect();
        for id in ids {
            began |= self.ask_next(id, now);
            if self.look_beside(id, now) {
                began |= self.ask_next(id, now);
            }
            let is_over = |running: &Running| running.search.is_over() || running.until <= now;
            if self.searches.running.get(&id).is_some_and(is_over)
                && let Some(running) = self.searches.running.remove(&id)
            {
                self.search_ended(running, now);
                began = true;
            }
        }
        began
    }

    fn ask_next(&mut self, id: u64, now: Instant) -> bool {
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

    /// Looks around a crowded place once the walk to it is over.
    fn look_beside(&mut self, id: u64, now: Instant) -> bool {
        let bits = self.size.region_bits();
        let looks_beside = self.defences.include(Defence::LookBeside);
        let Some(running) = self.searches.running.get_mut(&id) else { return false };
        if matches!(running.why, Why::Refresh(_)) || !running.search.is_over() || !looks_beside {
            return false;
        }
        let targets = running.search.look_beside(bits);
        for target in &targets {
            for node in self.nearest(*target, HOLDERS, now) {
                if let Some(running) = self.searches.running.get_mut(&id) {
                    running.search.seed(&node, false);
                }
            }
        }
        !targets.is_empty()
    }

    fn search_ended(&mut self, running: Running, now: Instant) {
        let Running { why, search, .. } = running;
        if let Some(main) = search.main()
            && !matches!(why, Why::Refresh(Aim::Bucket(_) | Aim::Glance))
        {
            self.size.walked(main.nodes().map(|(distance, _)| distance));
        }
        match why {
            Why::Lookup(id) => {
                self.events.push_back(Event::Walked { id, effort: search.effort(), over: true });
            }
            Why::Announce(walk) => {
                let looks_beside = self.defences.include(Defence::LookBeside);
                let holders = search.holders(if looks_beside { self.size.region_bits() } else { u32::MAX });
                self.provide.walk_ended(walk, holders, now);
            }
            Why::Refresh(aim) => {
                let census = self.census();
                self.refresh.ended(aim, &census, now);
            }
        }
    }

    pub(super) fn on_find(&mut self, event: request_response::Event<Question, Reply>, now: Instant) {
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

    pub(super) fn on_reply(
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
