//! The searches of an overlay: what they are for, where they begin, and how they end.

mod asking;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::request_response::OutboundRequestId;
use shoal_content::ProviderKey;

use self::asking::Asked;
use super::{Event, Overlay};
use crate::config::Defence;
use crate::lookup::LookupId;
use crate::position::{Node, Position};
use crate::provide;
use crate::refresh::Aim;
use crate::search::{HOLDERS, Search};

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
}
