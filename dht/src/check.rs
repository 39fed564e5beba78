//! Nodes that called us and say where they are: each is called back before it is believed.
//!
//! Nodes that can be reached only from inside their network, or that invent addresses, would fill tables with dead
//! ends. Members of our own table that are to be dialled wait here as well, and go first, so that no stranger keeps
//! us from checking them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::position::Node;
use crate::scope::Group;

/// Nodes that wait to be called back. Whoever finds no room comes again with its next connection.
const MAX_WAITING: usize = 64;

/// Of these, nodes of one block of addresses: who owns one could otherwise take every place.
const MAX_OF_GROUP: usize = 4;

/// Members of our table that wait. They are offered again when it is time for it.
const MAX_OWN: usize = 64;

/// Nodes called back per second: each is a dial that a stranger can make us try.
const PER_SECOND: u32 = 4;

/// Who is to be called back.
#[derive(Debug, Default)]
pub(crate) struct Check {
    waiting: VecDeque<Node>,
    own: VecDeque<Node>,
    second: Option<Instant>,
    called: u32,
}

impl Check {
    /// Notes a node that called us.
    pub(crate) fn offer(&mut self, node: Node) {
        let groups = |node: &Node| -> Vec<_> { node.addresses.iter().filter_map(Group::of).collect() };
        let its = groups(&node);
        let is_alike = |known: &&Node| groups(known).iter().any(|group| its.contains(group));
        let alike = self.waiting.iter().filter(is_alike).count();
        if alike < MAX_OF_GROUP {
            push(&mut self.waiting, node, MAX_WAITING);
        }
    }

    /// Notes a member of our table that is to be dialled.
    pub(crate) fn offer_own(&mut self, node: Node) {
        push(&mut self.own, node, MAX_OWN);
    }

    /// The next node to dial, if one may be dialled now.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Node> {
        if self.waiting.is_empty() && self.own.is_empty() {
            return None;
        }
        if self.second.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.called = 0;
        }
        if self.called >= PER_SECOND {
            return None;
        }
        self.called += 1;
        self.own.pop_front().or_else(|| self.waiting.pop_front())
    }
}

fn push(queue: &mut VecDeque<Node>, node: Node, most: usize) {
    let is_known = queue.iter().any(|known| known.peer == node.peer);
    if !is_known && queue.len() < most {
        queue.push_back(node);
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    #[test]
    fn a_flood_of_callers_costs_few_dials_and_little_memory() {
        let (mut check, start) = (Check::default(), Instant::now());
        for _ in 0..1000 {
            check.offer(Node { peer: PeerId::random(), addresses: Vec::new() });
        }
        assert_eq!(check.waiting.len(), MAX_WAITING);
        let mut dials = 0;
        for millis in 0..5000 {
            dials += usize::from(check.next(start + Duration::from_millis(millis)).is_some());
        }
        assert_eq!(dials, 20);
    }

    #[test]
    fn one_node_waits_once() {
        let (mut check, now) = (Check::default(), Instant::now());
        let node = Node { peer: PeerId::random(), addresses: Vec::new() };
        check.offer(node.clone());
        check.offer(node.clone());
        assert_eq!(check.next(now), Some(node));
        assert_eq!(check.next(now), None);
    }

    #[test]
    fn one_block_of_addresses_takes_no_place_of_others_nor_of_our_own() {
        let (mut check, now) = (Check::default(), Instant::now());
        let node = |address: String| {
            let addresses = vec![address.parse().expect("an address")];
            Node { peer: PeerId::random(), addresses }
        };
        for port in 1..=1000 {
            check.offer(node(format!("/ip4/8.8.8.8/tcp/{port}")));
        }
        assert_eq!(check.waiting.len(), MAX_OF_GROUP);
        let (honest, ours) = (node("/ip4/9.9.9.9/tcp/1".to_owned()), node("/ip4/1.1.1.1/tcp/1".to_owned()));
        check.offer(honest.clone());
        check.offer_own(ours.clone());
        assert_eq!(check.next(now), Some(ours));
        let called: Vec<_> = (0..8)
            .filter_map(|quarter| {
                check.next(now + Duration::from_secs(1) + quarter * Duration::from_millis(250))
            })
            .collect();
        assert!(called.contains(&honest), "{called:?}");
    }
}
